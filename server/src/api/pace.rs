//! How often one address may change something, and guess at the token.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, header};

use super::auth::bearer;
use crate::app::App;
use crate::http::{Peer, Problem};

/// Networks that are remembered; past it the most patient ones are forgotten.
const MOST_NETWORKS: usize = 16_384;

/// What each network has used up lately.
#[derive(Debug, Default)]
pub struct Pace {
    writes: Mutex<Buckets>,
    guesses: Mutex<Buckets>,
    logins: Mutex<Buckets>,
}

/// Buckets that fill again: `most` a minute, `most` at once.
#[derive(Debug, Default)]
struct Buckets(HashMap<u128, Bucket>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn now(self, most: f64, now: Instant) -> f64 {
        (self.left + now.saturating_duration_since(self.at).as_secs_f64() * most / 60.0).min(most)
    }
}

impl Buckets {
    /// Whether one more is left to `network`; if not, how long until it is.
    fn left(&self, network: u128, most: u32, now: Instant) -> Result<(), Duration> {
        let most = f64::from(most.max(1));
        let left = self.0.get(&network).map_or(most, |bucket| bucket.now(most, now));
        if left >= 1.0 { Ok(()) } else { Err(Duration::from_secs_f64((1.0 - left) * 60.0 / most)) }
    }

    fn take(&mut self, network: u128, most: u32, now: Instant) -> Result<(), Duration> {
        self.left(network, most, now)?;
        let most = f64::from(most.max(1));
        if self.0.len() >= MOST_NETWORKS && !self.0.contains_key(&network) {
            // Those that are full again tell nothing; if all are at it, the one that asked longest ago goes.
            self.0.retain(|_, bucket| bucket.now(most, now) < most);
            if self.0.len() >= MOST_NETWORKS
                && let Some(oldest) = self.0.iter().min_by_key(|(_, bucket)| bucket.at).map(|(key, _)| *key)
            {
                self.0.remove(&oldest);
            }
        }
        let bucket = self.0.entry(network).or_insert(Bucket { left: most, at: now });
        *bucket = Bucket { left: bucket.now(most, now) - 1.0, at: now };
        Ok(())
    }
}

/// Checks how often the sender of a request has written, or guessed at the token.
///
/// # Errors
/// 429 with `Retry-After` when it was too often.
pub fn check(app: &App, request: &Request) -> Result<(), Problem> {
    let path = request.uri().path();
    let writes = is_write(request.method(), path);
    // The form carries its token in its body, where its handler finds it.
    let carries = app.gate.needs_token()
        && (request.headers().contains_key(header::AUTHORIZATION) || path == crate::web::FORM_PATH);
    if !writes && !carries {
        return Ok(());
    }
    let network = network_of(app, request.extensions(), request.headers());
    if carries {
        // A viewer's token is no guess: it is judged where it opens something.
        let given = bearer(request.headers()).filter(|_| writes || !path.starts_with("/stream/"));
        let wrong = given.is_some_and(|given| !app.gate.accepts(given));
        // Who guessed too often is not told whether this one was right.
        app.pace.guess(app, network, wrong)?;
    }
    if writes {
        let mut buckets = app.pace.writes.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = buckets.take(network, app.settings.now().writes_per_minute, Instant::now());
        taken.map_err(|wait| too_often("This address asks for too many changes in a short time", wait))?;
    }
    Ok(())
}

impl Pace {
    /// Counts a wrong token, or only asks whether there were too many.
    ///
    /// # Errors
    /// 429 with `Retry-After` when there were.
    pub(crate) fn guess(&self, app: &App, network: u128, wrong: bool) -> Result<(), Problem> {
        let (most, now) = (app.settings.now().wrong_tokens, Instant::now());
        let result = counted(&self.guesses, network, most, now, wrong);
        result.map_err(|wait| too_often("This address tried too many wrong tokens", wait))
    }

    /// The same for a viewer's password: whoever forgot it does not shut out an admin of the same address.
    ///
    /// # Errors
    /// As [`guess`](Self::guess).
    pub(crate) fn login(&self, app: &App, network: u128, wrong: bool) -> Result<(), Problem> {
        let (most, now) = (app.settings.now().wrong_tokens, Instant::now());
        let result = counted(&self.logins, network, most, now, wrong);
        result.map_err(|wait| too_often("This address tried too many wrong passwords", wait))
    }
}

fn counted(
    buckets: &Mutex<Buckets>,
    network: u128,
    most: u32,
    now: Instant,
    wrong: bool,
) -> Result<(), Duration> {
    let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
    if wrong { buckets.take(network, most, now) } else { buckets.left(network, most, now) }
}

/// The network that a request comes from.
pub(crate) fn network_of(app: &App, extensions: &Extensions, headers: &HeaderMap) -> u128 {
    network_behind(app, extensions.get::<Peer>(), headers)
}

/// The network at the other end of a connection, or behind the proxy there.
pub(crate) fn network_behind(app: &App, peer: Option<&Peer>, headers: &HeaderMap) -> u128 {
    network(peer.map(|peer| app.client_address(peer.address.ip(), headers)))
}

/// Whether a request counts: pieces of an upload come as fast as the line is, and reports of players have bounds of
/// their own.
fn is_write(method: &Method, path: &str) -> bool {
    let piece = *method == Method::PATCH && path.starts_with("/api/upload/");
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        && !piece
        && path != super::viewers::BEACON_PATH
}

/// What one household or machine has of addresses: all of IPv4, the /64 of IPv6.
fn network(address: Option<IpAddr>) -> u128 {
    match address.map(|address| address.to_canonical()) {
        None => 0,
        Some(IpAddr::V4(address)) => u128::from(u32::from(address)),
        Some(IpAddr::V6(address)) => u128::from(address) & !u128::from(u64::MAX),
    }
}

fn too_often(what: &str, wait: Duration) -> Problem {
    let seconds = wait.as_secs() + 1;
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too-often",
        "Too many requests",
        format!("{what}; try again in {seconds} s."),
    )
    .header(header::RETRY_AFTER, HeaderValue::from(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_share_at_once_and_again_over_a_minute() {
        let (mut buckets, start) = (Buckets::default(), Instant::now());
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        for _ in 0..6 {
            assert_eq!(buckets.take(1, 6, at(0.0)), Ok(()));
        }
        assert_eq!(buckets.take(1, 6, at(0.0)), Err(Duration::from_secs(10)));
        assert_eq!(buckets.take(2, 6, at(0.0)), Ok(()), "others have theirs");
        assert_eq!(buckets.take(1, 6, at(9.0)), Err(Duration::from_secs(1)));
        assert_eq!(buckets.take(1, 6, at(10.5)), Ok(()));
        assert!(buckets.take(1, 6, at(10.5)).is_err());
        // A larger share counts from now on, a smaller one as well.
        assert_eq!(buckets.take(1, 600, at(11.0)), Ok(()));
        assert_eq!((0..9).filter(|_| buckets.take(1, 3, at(600.0)).is_ok()).count(), 3);
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let (mut buckets, now) = (Buckets::default(), Instant::now());
        for network in 0..(MOST_NETWORKS as u128 + 500) {
            assert_eq!(buckets.take(network, 10, now), Ok(()));
        }
        assert_eq!(buckets.0.len(), MOST_NETWORKS);
    }

    #[test]
    fn neither_pieces_of_uploads_nor_beacons_nor_reads_are_writes() {
        let rows = [
            (Method::POST, "/api/stream/create", true),
            (Method::POST, "/create", true),
            (Method::DELETE, "/api/stream/a", true),
            (Method::POST, "/api/upload", true),
            (Method::PATCH, "/api/upload/x", false),
            (Method::POST, "/api/beacon", false),
            (Method::GET, "/api/streams", false),
            (Method::HEAD, "/api/upload/x", false),
        ];
        for (method, path, counts) in rows {
            assert_eq!(is_write(&method, path), counts, "{method} {path}");
        }
        let v6 = |text: &str| network(Some(text.parse().unwrap()));
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::2"));
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
        assert_eq!(v6("::ffff:192.0.2.1"), v6("192.0.2.1"));
    }
}
