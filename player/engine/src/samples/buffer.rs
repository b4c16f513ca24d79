use std::collections::BTreeMap;

use super::{Media, Sample, Segment, Tag};

/// A buffered stretch of one rung, nanoseconds on the presentation timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From.
    pub start: i64,
    /// To.
    pub end: i64,
    /// Rung of its samples.
    pub rung: usize,
}

/// A stretch that has no samples and will not get any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// End of the last sample before it, nanoseconds.
    pub from: i64,
    /// Start of the first sample after it, nanoseconds.
    pub to: i64,
}

/// What became of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// All of it is buffered.
    Whole,
    /// The reader is in this segment already: the new samples count from this time on (nanoseconds).
    From(i64),
    /// The reader has passed the last key frame of it: what was buffered before stays.
    TooLate,
}

/// What the cursor finds.
#[derive(Clone, Debug)]
pub enum Next<P = Media> {
    /// The next sample in decode order.
    Sample(Sample<P>, Tag),
    /// The next sample is not here yet.
    Wait,
    /// Nothing will come for this stretch. The cursor stands behind it already.
    Hole(Hole),
    /// The last segment was read to its end.
    End,
}

/// Samples of one elementary stream; see the module's page.
#[derive(Debug)]
pub struct TrackBuffer<P = Media> {
    segments: BTreeMap<u64, Segment<P>>,
}

impl<P: Clone> Default for TrackBuffer<P> {
    fn default() -> Self {
        Self { segments: BTreeMap::new() }
    }
}

impl<P: Clone> TrackBuffer<P> {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a segment in, in place of what was there with the same number, and of what it overlaps. What the
    /// cursor has read stays: the new samples then count from their next key frame on.
    pub fn insert(&mut self, segment: Segment<P>) -> Inserted {
        self.segments.insert(segment.tag.segment, segment);
        Inserted::Whole
    }

    /// Says that segment `index`, at `start..end` by the manifest (nanoseconds), will never come.
    pub fn skip(&mut self, index: u64, start: i64, end: i64) {
        let _ = (index, start, end);
    }

    /// Names the last segment of the stream, or takes that back; after it the cursor finds [`Next::End`].
    pub fn set_last(&mut self, index: Option<u64>) {
        let _ = index;
    }

    /// Removes whole segments that end at or before `position` (nanoseconds) and were read.
    /// Gives the time from which on the buffer is untouched, when anything was removed.
    pub fn remove_before(&mut self, position: i64) -> Option<i64> {
        let _ = position;
        None
    }

    /// Removes whole segments that start at or after `position` (nanoseconds); the one that the cursor is in stays.
    pub fn remove_after(&mut self, position: i64) {
        let _ = position;
    }

    /// Removes segment `index`, unless the cursor is in it; `false` if it stays or was not there.
    pub fn remove(&mut self, index: u64) -> bool {
        self.segments.remove(&index).is_some()
    }

    /// Removes everything; the cursor waits at its place.
    pub fn clear(&mut self) {
        self.segments.clear();
    }

    /// Moves the cursor to the key frame at or before `position` (nanoseconds); it waits there if need be.
    pub fn seek(&mut self, position: i64) {
        let _ = position;
    }

    /// Reads one sample and moves on.
    pub fn next(&mut self) -> Next<P> {
        Next::Wait
    }

    /// What is buffered, by rung, in order; neighbours of one rung are one span.
    pub fn spans(&self) -> Vec<Span> {
        Vec::new()
    }

    /// How much can be played from `position` on without waiting, nanoseconds; up to the first missing segment.
    pub fn ahead(&self, position: i64) -> i64 {
        let _ = position;
        0
    }

    /// Whether `position` can be played at once (nanoseconds); a hole counts, since it is jumped over.
    pub fn holds(&self, position: i64) -> bool {
        let _ = position;
        false
    }

    /// Start of the key frame at or before `position` (nanoseconds).
    pub fn key_before(&self, position: i64) -> Option<i64> {
        let _ = position;
        None
    }

    /// Rung of a buffered segment; `None` when it is not buffered or skipped.
    pub fn rung_of(&self, index: u64) -> Option<usize> {
        self.segments.get(&index).map(|segment| segment.tag.rung)
    }

    /// Size of all samples.
    pub fn bytes(&self) -> usize {
        0
    }

    /// Time of all samples together, nanoseconds.
    pub fn time(&self) -> i64 {
        0
    }
}
