//! One rendition on its way into a progressive stream.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::store::{PartEntry, Rendition, SegmentEntry, StreamStore, TrackKind, chunks};

/// What comes next of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A whole segment.
    Segment(SegmentEntry),
    /// A part, of a segment in progress or of one whose beginning was sent already.
    Part(PartEntry),
    /// The rest of a finished segment whose parts are not listed any more.
    Rest(SegmentEntry),
    /// It is still to come.
    Wait,
    /// It needs an init segment that the stream did not begin with.
    OtherInit,
    /// It is gone.
    Lost,
}

/// A place in a rendition.
#[derive(Debug)]
pub(super) struct Track {
    rendition: Arc<Rendition>,
    init: u32,
    segment: u32,
    part: u32,
    /// Start of what comes next, in ticks.
    ticks: u64,
}

impl Track {
    /// At the first segment that is listed.
    pub(super) fn from_start(rendition: Arc<Rendition>) -> Self {
        let window = rendition.window();
        let first = window.segments.first();
        let (init, ticks) = first.map_or((0, 0), |s| (s.init, s.start));
        Self { init, segment: window.first_number(), part: 0, ticks, rendition }
    }

    /// At the part, or the segment, that plays at `start` nanoseconds of the stream's timeline.
    pub(super) fn at(rendition: Arc<Rendition>, start: u128) -> Self {
        let window = rendition.window();
        let timescale = rendition.info().timescale;
        let later = |ticks: u64| nanoseconds(ticks, timescale) > start;
        let init_of = |number| {
            let open = window.open.filter(|open| open.number == number).map(|open| open.init);
            window.segment(number).map(|s| s.init).or(open).unwrap_or(0)
        };
        if let Some(part) = window.parts.iter().find(|p| later(p.start + p.duration)) {
            return Self {
                init: init_of(part.segment),
                segment: part.segment,
                part: part.index,
                ticks: part.start,
                rendition,
            };
        }
        match window.segments.iter().find(|s| later(s.end())).or(window.segments.last()) {
            Some(s) => Self { init: s.init, segment: s.number, part: 0, ticks: s.start, rendition },
            None => Self::from_start(rendition),
        }
    }

    pub(super) fn rendition(&self) -> &Arc<Rendition> {
        &self.rendition
    }

    pub(super) fn init_index(&self) -> u32 {
        self.init
    }

    pub(super) fn init(&self) -> Bytes {
        self.rendition.init(self.init).unwrap_or_default()
    }

    /// Start of what comes next, in nanoseconds of the stream's timeline.
    pub(super) fn position(&self) -> u128 {
        nanoseconds(self.ticks, self.rendition.info().timescale)
    }

    /// A time of the stream in the rendition's ticks.
    pub(super) fn ticks_at(&self, ns: u128) -> u64 {
        let ticks = ns * u128::from(self.rendition.info().timescale) / 1_000_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    pub(super) fn step(&mut self) -> Step {
        let window = self.rendition.window();
        let mut finished = self.rendition.segment(self.segment);
        // What the rendition missed is passed over.
        while let Some(gap) = finished.filter(SegmentEntry::is_gap) {
            (self.segment, self.part, self.ticks) = (self.segment + 1, 0, gap.end());
            finished = self.rendition.segment(self.segment);
        }
        if self.part > 0 && finished.is_some_and(|segment| self.ticks >= segment.end()) {
            (self.segment, self.part) = (self.segment + 1, 0);
            finished = self.rendition.segment(self.segment);
        }
        let part = window.parts_of(self.segment).find(|part| part.index == self.part).copied();
        let open = window.open.filter(|open| open.number == self.segment);
        let init = finished.map(|s| s.init).or(open.map(|open| open.init));
        if init.is_some_and(|init| init != self.init) {
            return Step::OtherInit;
        }
        match (finished, part) {
            (Some(segment), _) if self.part == 0 => Step::Segment(segment),
            (_, Some(part)) => Step::Part(part),
            (None, None) if self.segment < window.first_number() => Step::Lost,
            (Some(segment), None) => Step::Rest(segment),
            _ => Step::Wait,
        }
    }

    /// The fragments of a step, in order; the track moves past it.
    pub(super) async fn take(&mut self, step: Step, store: &Arc<StreamStore>) -> io::Result<Vec<Bytes>> {
        match step {
            Step::Segment(segment) => {
                let bytes = store.read_segment(self.rendition.name(), segment.number).await?;
                (self.segment, self.part, self.ticks) = (segment.number + 1, 0, segment.end());
                Ok(chunks(&bytes))
            }
            Step::Rest(segment) => {
                let bytes = store.read_segment(self.rendition.name(), segment.number).await?;
                let rest = chunks(&bytes).into_iter().skip(self.part as usize).collect();
                (self.segment, self.part, self.ticks) = (segment.number + 1, 0, segment.end());
                Ok(rest)
            }
            Step::Part(part) => {
                let gone = || io::Error::other("a part has left the memory");
                let bytes = self.rendition.part_bytes(part.segment, part.index).ok_or_else(gone)?;
                (self.part, self.ticks) = (part.index + 1, part.start + part.duration);
                Ok(vec![bytes])
            }
            Step::Wait | Step::OtherInit | Step::Lost => Ok(Vec::new()),
        }
    }
}

/// The newest moment from which the stream can be decoded, in nanoseconds of its timeline.
pub(super) fn newest_start(renditions: &[Arc<Rendition>]) -> u128 {
    let leading = renditions.iter().find(|r| r.info().kind == TrackKind::Video).or(renditions.first());
    let Some(rendition) = leading else { return 0 };
    let window = rendition.window();
    let part = window.parts.iter().rfind(|part| part.independent).map(|part| part.start);
    let segment = window.segments.iter().rfind(|segment| segment.independent).map(|segment| segment.start);
    let oldest = || window.segments.first().map(|segment| segment.start);
    nanoseconds(part.or(segment).or_else(oldest).unwrap_or(0), rendition.info().timescale)
}

fn nanoseconds(ticks: u64, timescale: u32) -> u128 {
    u128::from(ticks) * 1_000_000_000 / u128::from(timescale.max(1))
}
