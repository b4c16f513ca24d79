//! The clock that a live stream goes by.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::catalog::unix_ms;

/// The wall clock, looked at when the stream starts; from then on the monotonic clock tells. An administrator, NTP or
/// a leap second that sets the wall clock moves no stream: segments keep their times, and players that ask for the
/// stream's time find its edge where it is.
#[derive(Debug, Default)]
pub struct StreamClock(Mutex<Option<(u64, Instant)>>);

impl StreamClock {
    /// Milliseconds since 1970-01-01 UTC; the wall clock's before the stream is started.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((then_ms, at)) => {
                then_ms.saturating_add(u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX))
            }
            None => unix_ms(),
        }
    }

    /// Sets it, for a stream that starts.
    pub fn set(&self, now_ms: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now_ms, Instant::now()));
    }
}
