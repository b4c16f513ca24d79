//! Requests that are held back until a stream has moved: how many there may be, and how long.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::http::Problem;

/// How many requests may be held at the same time.
#[derive(Debug, Clone, Copy)]
pub struct HoldLimits {
    /// For one stream.
    pub per_stream: usize,
    /// For one client address.
    pub per_address: usize,
}

impl Default for HoldLimits {
    fn default() -> Self {
        Self { per_stream: 20_000, per_address: 4_096 }
    }
}

#[derive(Debug, Default)]
struct Held {
    by_stream: HashMap<String, usize>,
    by_address: HashMap<IpAddr, usize>,
}

/// Counts the requests that are held.
#[derive(Debug, Default)]
pub struct Holds {
    limits: HoldLimits,
    held: Mutex<Held>,
}

/// One held request's place; free again when dropped.
#[derive(Debug)]
pub struct Place {
    holds: Arc<Holds>,
    stream: String,
    address: IpAddr,
}

impl Holds {
    /// With these limits.
    pub fn new(limits: HoldLimits) -> Self {
        Self { limits, held: Mutex::default() }
    }

    /// A place for a request from `address` that waits for `stream`.
    ///
    /// # Errors
    /// 503 when there is none left.
    pub fn take(self: &Arc<Self>, stream: &str, address: IpAddr) -> Result<Place, Problem> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let of_stream = held.by_stream.get(stream).copied().unwrap_or(0);
        let of_address = held.by_address.get(&address).copied().unwrap_or(0);
        if of_stream >= self.limits.per_stream || of_address >= self.limits.per_address {
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too-many-waiting",
                "Too many requests are waiting",
                "The server holds as many requests for this stream, or from this address, as it will. Ask without \
                 _HLS_msn, or again in a second.",
            )
            .header(header::RETRY_AFTER, HeaderValue::from_static("1")));
        }
        held.by_stream.insert(stream.to_owned(), of_stream + 1);
        held.by_address.insert(address, of_address + 1);
        Ok(Place { holds: Arc::clone(self), stream: stream.to_owned(), address })
    }

    /// Requests that are held now, all in all.
    pub fn count(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).by_stream.values().sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.holds.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Held { by_stream, by_address } = &mut *held;
        if let Some(count) = by_stream.get_mut(&self.stream) {
            *count -= 1;
            if *count == 0 {
                by_stream.remove(&self.stream);
            }
        }
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

/// Why waiting ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaveUp {
    /// The time is over.
    TimedOut,
    /// The server stops.
    Stopping,
    /// The stream was deleted.
    Removed,
}

/// Looks at every change of a rendition until `look` finds something, for `longest` at most.
///
/// A part of another rendition wakes nobody here: with three renditions a crowd would be woken three times for each.
///
/// # Errors
/// See [`GaveUp`].
pub async fn wait<T>(
    mut changes: watch::Receiver<u64>,
    removed: impl Fn() -> bool,
    stop: &CancellationToken,
    longest: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Result<T, GaveUp> {
    let deadline = Instant::now() + longest;
    loop {
        changes.mark_unchanged();
        if removed() {
            return Err(GaveUp::Removed);
        }
        if let Some(found) = look() {
            return Ok(found);
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() {
                return Err(GaveUp::Removed);
            },
            () = stop.cancelled() => return Err(GaveUp::Stopping),
            () = tokio::time::sleep_until(deadline) => return Err(GaveUp::TimedOut),
        }
    }
}

/// The answer to a request that was held for `longest` in vain.
pub fn in_vain(why: GaveUp, stream: &str, longest: Duration) -> Problem {
    let unavailable =
        |kind, title, detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, detail);
    match why {
        GaveUp::TimedOut => unavailable(
            "not-in-time",
            "It did not come in time",
            format!(
                "Nothing new came to the stream \"{stream}\" for {} seconds: its publisher may be away. Ask again in a \
                 few seconds.",
                longest.as_secs()
            ),
        )
        .header(header::RETRY_AFTER, HeaderValue::from_static("2")),
        GaveUp::Stopping => unavailable(
            "stopping",
            "The server is stopping",
            "The server stops and lets go of the requests that it held; it may be back soon.".to_owned(),
        )
        .header(header::RETRY_AFTER, HeaderValue::from_static("5")),
        GaveUp::Removed => Problem::no_stream(stream),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn places_are_limited_by_stream_and_by_address_and_come_back() {
        let holds = Arc::new(Holds::new(HoldLimits { per_stream: 3, per_address: 2 }));
        let first = holds.take("a", address(1)).unwrap();
        let _second = holds.take("b", address(1)).unwrap();
        assert_eq!(holds.take("a", address(1)).unwrap_err().status(), StatusCode::SERVICE_UNAVAILABLE);
        let _third = holds.take("a", address(2)).unwrap();
        let _fourth = holds.take("a", address(2)).unwrap();
        assert!(holds.take("a", address(3)).is_err(), "three of stream a");
        drop(first);
        let again = holds.take("a", address(1)).unwrap();
        assert_eq!(holds.count(), 4);
        drop((again, _second, _third, _fourth));
        assert_eq!(holds.count(), 0);
        let held = holds.held.lock().unwrap();
        assert!(
            held.by_stream.is_empty() && held.by_address.is_empty(),
            "nothing is kept of those that left"
        );
    }

    #[tokio::test]
    async fn waiting_ends_with_the_find_the_time_the_server_or_the_stream() {
        let (sender, changes) = watch::channel(0_u64);
        let there = || false;
        let stop = CancellationToken::new();
        let short = Duration::from_millis(40);
        let began = Instant::now();
        let nothing = wait(changes.clone(), there, &stop, short, || None::<()>).await;
        assert_eq!(nothing, Err(GaveUp::TimedOut));
        assert!(began.elapsed() >= short);
        let longest = Duration::from_secs(60);

        let found = wait(changes.clone(), there, &stop, longest, || Some(1)).await;
        assert_eq!(found, Ok(1), "what is there already is found at once");
        let mut looks = 0;
        let (found, ()) = tokio::join!(
            wait(changes.clone(), there, &stop, longest, || {
                looks += 1;
                (looks == 3).then_some(looks)
            }),
            async {
                for _ in 0..2 {
                    // The other side runs until it waits.
                    tokio::task::yield_now().await;
                    sender.send_modify(|count| *count += 1);
                }
            }
        );
        assert_eq!(found, Ok(3), "one look a move");

        let (released, ()) =
            tokio::join!(wait(changes.clone(), there, &stop, longest, || None::<()>), async {
                stop.cancel();
            });
        assert_eq!(released, Err(GaveUp::Stopping));
        let gone = wait(changes.clone(), || true, &CancellationToken::new(), longest, || None::<()>).await;
        assert_eq!(gone, Err(GaveUp::Removed));
        drop(sender);
        let gone = wait(changes, there, &CancellationToken::new(), longest, || None::<()>).await;
        assert_eq!(gone, Err(GaveUp::Removed));
    }
}
