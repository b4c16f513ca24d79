//! Positions on the presentation timeline and times in the pipeline.

use std::time::Duration;

use gstreamer as gst;

/// Pipeline time of position 0. GStreamer has no times below zero, but the priming of an audio codec needs them.
const BASE: i64 = 1_000 * 1_000_000_000;

/// Pipeline time of a position in nanoseconds; `None` before all time.
pub(super) fn to_pipeline(nanoseconds: i64) -> Option<gst::ClockTime> {
    u64::try_from(nanoseconds.saturating_add(BASE)).ok().map(gst::ClockTime::from_nseconds)
}

/// Position, in nanoseconds, of a pipeline time.
pub(super) fn from_pipeline(time: gst::ClockTime) -> i64 {
    i64::try_from(time.nseconds()).unwrap_or(i64::MAX).saturating_sub(BASE)
}

/// Nanoseconds as a position; what lies before zero is zero.
pub(super) fn duration(nanoseconds: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

/// A position in nanoseconds.
pub(super) fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
