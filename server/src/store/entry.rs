//! What lists are made of: segments, parts, and the window of them that is listed now.

use std::sync::Arc;

/// One finished segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentEntry {
    /// Counted from 1, without holes, never used twice.
    pub number: u32,
    /// Decode time of its first sample, in ticks of the rendition's timescale.
    pub start: u64,
    /// Sum of its samples' durations, in ticks of the rendition's timescale; at least 1.
    pub duration: u64,
    /// Size in bytes; 0 for a gap.
    pub bytes: u64,
    /// Which of the rendition's init segments it needs: see [`Rendition::init`](super::Rendition::init).
    pub init: u32,
    /// Its times or its codec do not follow from the segment before it.
    pub discontinuity: bool,
    /// Wall-clock time of its start in milliseconds since 1970-01-01 UTC; `None` for what was not live.
    pub wall_ms: Option<u64>,
    /// It can be decoded without the one before it. Not where key frames were too far apart to begin with one.
    pub independent: bool,
}

impl SegmentEntry {
    /// A segment of a stream that is packaged once: one init segment, no clock.
    #[must_use]
    pub fn plain(number: u32, start: u64, duration: u64, bytes: u64) -> Self {
        Self {
            number,
            start,
            duration,
            bytes,
            init: 0,
            discontinuity: false,
            wall_ms: None,
            independent: true,
        }
    }

    /// The rendition has no such segment, though the others have: `EXT-X-GAP` (RFC 8216bis, 4.4.4.7).
    #[must_use]
    pub fn is_gap(&self) -> bool {
        self.bytes == 0
    }

    /// Duration in seconds.
    #[must_use]
    pub fn seconds(&self, timescale: u32) -> f64 {
        ticks_to_seconds(self.duration, timescale)
    }

    /// Start in seconds from the stream's beginning.
    #[must_use]
    pub fn start_seconds(&self, timescale: u32) -> f64 {
        ticks_to_seconds(self.start, timescale)
    }

    /// Tick at which it ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.duration)
    }
}

fn ticks_to_seconds(ticks: u64, timescale: u32) -> f64 {
    ticks as f64 / f64::from(timescale.max(1))
}

/// One part of a segment: one CMAF chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartEntry {
    /// Number of its segment.
    pub segment: u32,
    /// Its place in the segment, from 0.
    pub index: u32,
    /// Decode time of its first sample in ticks.
    pub start: u64,
    /// In ticks.
    pub duration: u64,
    /// Where it begins in its segment, in bytes.
    pub offset: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// It begins with a key frame.
    pub independent: bool,
}

/// What a rendition lists at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window {
    /// Finished segments; the first one's number may be above 1.
    pub segments: Arc<[SegmentEntry]>,
    /// Parts of the segments within three target durations of the edge, and of the one in progress.
    pub parts: Arc<[PartEntry]>,
    /// Discontinuities of segments that were listed once and are no more.
    pub discontinuity_sequence: u64,
    /// The segment in progress. It has an entry in `parts` for each part so far, maybe none yet.
    pub open: Option<OpenSegment>,
}

/// What is known of a segment before it is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenSegment {
    /// Its number.
    pub number: u32,
    /// Decode time of its first sample in ticks.
    pub start: u64,
    /// The init segment that it needs.
    pub init: u32,
    /// It does not follow from the one before.
    pub discontinuity: bool,
    /// Wall-clock time of its start in milliseconds since 1970.
    pub wall_ms: Option<u64>,
    /// It begins with a key frame.
    pub independent: bool,
}

impl Window {
    /// Every listed segment, the one in progress among them, can be decoded without the one before it.
    #[must_use]
    pub fn is_independent(&self) -> bool {
        self.segments.iter().all(|segment| segment.independent)
            && self.open.is_none_or(|open| open.independent)
    }

    /// Number of the newest finished segment; 0 before the first.
    #[must_use]
    pub fn last_number(&self) -> u32 {
        self.segments.last().map_or(0, |segment| segment.number)
    }

    /// Number of the first listed segment; the next one's when nothing is listed.
    #[must_use]
    pub fn first_number(&self) -> u32 {
        self.segments.first().map(|segment| segment.number).or(self.open.map(|open| open.number)).unwrap_or(1)
    }

    /// The listed segment of that number.
    #[must_use]
    pub fn segment(&self, number: u32) -> Option<&SegmentEntry> {
        let first = self.segments.first()?.number;
        self.segments.get(number.checked_sub(first)? as usize)
    }

    /// Parts of one segment, in order.
    pub fn parts_of(&self, number: u32) -> impl Iterator<Item = &PartEntry> {
        self.parts.iter().filter(move |part| part.segment == number)
    }

    /// Sum of the listed segments' durations in ticks.
    #[must_use]
    pub fn duration(&self) -> u64 {
        self.segments.iter().map(|segment| segment.duration).sum()
    }
}
