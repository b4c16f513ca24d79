//! What there is to choose from: rungs, ladders, tracks and their segments.

use std::time::Duration;

use crate::Bitrate;

/// The place of a rung in its [`Ladder`]: 0 is the lowest bitrate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct RungId(pub usize);

/// One quality in which a track can be had.
#[derive(Clone, Debug, PartialEq)]
pub struct Rung {
    /// Average bitrate where the manifest gives it, else the declared one.
    /// Horizons are judged by this, never by the VBR peak.
    pub bitrate: Bitrate,
    /// Declared peak (`BANDWIDTH` in HLS), where it is known apart from the average.
    pub peak: Option<Bitrate>,
    /// Picture width in pixels; `None` for audio and where unknown.
    pub width: Option<u32>,
    /// Picture height in lines; `None` for audio and where unknown.
    pub height: Option<u32>,
    /// Frames per second where known.
    pub frame_rate: Option<f64>,
}

impl Rung {
    /// A rung of which only the bitrate is known.
    pub fn with_bitrate(bitrate: Bitrate) -> Self {
        Self { bitrate, peak: None, width: None, height: None, frame_rate: None }
    }

    /// What a quality menu calls it: "720p", or the bitrate where the height is unknown.
    pub fn label(&self) -> String {
        self.height.map_or_else(|| self.bitrate.to_string(), |height| format!("{height}p"))
    }
}

/// The rungs of one track, lowest bitrate first; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder(Vec<Rung>);

impl Ladder {
    /// `None` when `rungs` is empty or not sorted by rising bitrate (equal neighbours are allowed).
    pub fn new(rungs: Vec<Rung>) -> Option<Self> {
        (!rungs.is_empty() && rungs.is_sorted_by_key(|rung| rung.bitrate)).then_some(Self(rungs))
    }

    /// All rungs, lowest first.
    pub fn rungs(&self) -> &[Rung] {
        &self.0
    }

    /// The rung at `id`; an id past the top gives the top rung.
    pub fn rung(&self, id: RungId) -> &Rung {
        // Never empty by construction, so the clamped index is always valid.
        &self.0[id.0.min(self.0.len() - 1)]
    }

    /// How many rungs there are, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a ladder is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The highest rung.
    pub fn top(&self) -> RungId {
        RungId(self.0.len() - 1)
    }
}

/// One segment as the planner sees it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SegmentInfo {
    /// Where it starts on the presentation timeline.
    pub start: Duration,
    /// How long it plays.
    pub duration: Duration,
    /// Size in bytes at each rung, in the ladder's order; empty where sizes are not known.
    pub sizes: Box<[u64]>,
    /// The server says that it has no media here (`EXT-X-GAP`): skip it.
    pub gap: bool,
}

impl SegmentInfo {
    /// Where it ends on the presentation timeline.
    pub fn end(&self) -> Duration {
        self.start + self.duration
    }

    /// Its size at `rung` in bytes: exact where known, else average bitrate times duration.
    pub fn size(&self, rung: RungId, ladder: &Ladder) -> u64 {
        self.sizes.get(rung.0).copied().unwrap_or_else(|| ladder.rung(rung).bitrate.bytes_in(self.duration))
    }
}

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum TrackKind {
    /// The main track: video, or video and audio in one, or audio where there is nothing else.
    Video,
    /// Audio in segments of its own.
    Audio,
}

/// One track of a presentation: a ladder, and segments that are aligned over its rungs.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// What it carries.
    pub kind: TrackKind,
    /// Its qualities.
    pub ladder: Ladder,
    /// Number of the first segment in `segments`; segment numbers never change for the same media.
    pub first_index: u64,
    /// The segments that can be fetched now, in order, without overlaps.
    pub segments: Vec<SegmentInfo>,
}

impl Track {
    /// The segment with number `index`, when it is listed.
    pub fn segment(&self, index: u64) -> Option<&SegmentInfo> {
        self.segments.get(usize::try_from(index.checked_sub(self.first_index)?).ok()?)
    }

    /// Number of the segment that covers `position`, or of the next one after it.
    pub fn index_at(&self, position: Duration) -> Option<u64> {
        let at = self
            .guess(position)
            .unwrap_or_else(|| self.segments.partition_point(|segment| segment.end() <= position));
        (at < self.segments.len()).then(|| self.first_index + at as u64)
    }

    /// Its place, where all segments are about as long: players ask for it many times a second.
    fn guess(&self, position: Duration) -> Option<usize> {
        let (first, last) = (self.segments.first()?, self.segments.last()?);
        let all = last.end().saturating_sub(first.start).as_secs_f64();
        let share = position.saturating_sub(first.start).as_secs_f64() / all;
        let guess = (share * self.segments.len() as f64) as usize;
        let fits = |at: usize| {
            let ends_after = self.segments.get(at).is_some_and(|segment| segment.end() > position);
            let before = at.checked_sub(1).and_then(|before| self.segments.get(before));
            ends_after && before.is_none_or(|before| before.end() <= position)
        };
        [guess, guess.saturating_sub(1), guess.saturating_add(1)].into_iter().find(|at| fits(*at))
    }

    /// Where its listed segments end.
    pub fn end(&self) -> Duration {
        self.segments.last().map_or(Duration::ZERO, SegmentInfo::end)
    }
}
