//! Time as a value, so that tests need not wait.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// What the counter asks about time.
pub trait Clock: std::fmt::Debug + Send + Sync {
    /// Monotonic time since some start.
    fn now(&self) -> Duration;
    /// Days since 1970-01-01 UTC.
    fn day(&self) -> u64;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn day(&self) -> u64 {
        SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / 86_400)
    }
}

/// A clock that only moves when told to.
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Duration>);

impl ManualClock {
    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn day(&self) -> u64 {
        self.now().as_secs() / 86_400
    }
}
