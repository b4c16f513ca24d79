//! Between `Duration`s and the sample buffers' nanoseconds.

use std::time::Duration;

/// Nanoseconds; saturates after 292 years.
pub(crate) fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// From nanoseconds; what lies before zero becomes zero.
pub(crate) fn from_nanos(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
