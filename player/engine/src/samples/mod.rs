//! Encoded samples of one elementary stream on the presentation timeline.
//!
//! A [`TrackBuffer`] holds whole segments, each tagged with its number and its rung, and one cursor that reads them
//! in decode order. A segment may grow sample by sample while it is downloaded. [`SharedTrack`] puts it between the
//! thread that fills it and the feeder that empties it.
//! Times are nanoseconds on the presentation timeline as `i64`: the priming of an audio codec lies before zero.

mod buffer;
mod grow;
mod run;
mod shared;
#[cfg(test)]
mod tests;

use gstreamer as gst;

pub use buffer::{Hole, Inserted, Next, Span, TrackBuffer};
pub use shared::SharedTrack;

/// Nanoseconds per second.
pub const SECOND: i64 = 1_000_000_000;

/// Timestamps of neighbours may leave this much open (nanoseconds): it is played over. More is a hole.
pub const TOLERANCE: i64 = SECOND / 2;

/// What a decoder needs beside the times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Codec, its configuration, picture size.
    pub caps: gst::Caps,
    /// One access unit; its own timestamps are of no meaning.
    pub buffer: gst::Buffer,
}

/// One encoded access unit. `P` is what goes to the decoder; tests put something lighter in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample<P = Media> {
    /// When it is shown, nanoseconds; negative before the timeline's zero.
    pub pts: i64,
    /// When it is decoded, nanoseconds.
    pub dts: i64,
    /// How long it is shown, nanoseconds, never negative.
    pub duration: i64,
    /// Decoding can start here.
    pub key: bool,
    /// Size of its data.
    pub bytes: usize,
    /// The data.
    pub payload: P,
}

impl<P> Sample<P> {
    /// When it stops being shown.
    pub fn end(&self) -> i64 {
        self.pts.saturating_add(self.duration)
    }
}

/// Where a sample comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    /// Number of the segment, as the planner counts.
    pub segment: u64,
    /// Rung of the segment.
    pub rung: usize,
}

/// A segment to insert: samples of one elementary stream in decode order, on the presentation timeline.
#[derive(Clone, Debug)]
pub struct Segment<P = Media> {
    /// Number and rung. Numbers of neighbours differ by one: that is how a missing segment is told from a hole.
    pub tag: Tag,
    /// Where the manifest says that it starts, nanoseconds.
    pub start: i64,
    /// Where the manifest says that it ends, nanoseconds.
    pub end: i64,
    /// Its samples; none for a segment that is skipped.
    pub samples: Vec<Sample<P>>,
}
