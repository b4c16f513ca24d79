//! One rendition of a live stream: samples in, parts and segments into the store.

use std::sync::Arc;

use bytes::Bytes;

use super::cutter::longest_segment;
use crate::package::{AUDIO_TRACK, ProducerTime, Sample, VIDEO_TRACK, chunk};
use crate::store::{OpenSegment, Rendition, SegmentEntry, StoreError, StreamStore, TrackKind};

/// A segment that the next sample is to begin.
#[derive(Debug, Clone, Copy)]
struct Opening {
    number: u32,
    discontinuity: bool,
}

/// A sample whose duration is not known before the next one comes.
#[derive(Debug)]
struct Waiting {
    dts: u64,
    offset: i64,
    key: bool,
    data: Bytes,
}

/// Bytes of one part; more are cut into a further one whatever its duration.
const PART_BYTES: usize = 16 << 20;

/// Packs one rendition.
#[derive(Debug)]
pub(super) struct TrackWriter {
    stream: Arc<StreamStore>,
    rendition: Arc<Rendition>,
    init: u32,
    timescale: u32,
    /// Added to every composition offset; the init segment takes it off.
    delay: i64,
    part_ticks: u64,
    /// Wall-clock time of tick 0.
    started_ms: u64,
    sequence: u32,
    opening: Option<Opening>,
    open: bool,
    first_part: bool,
    part_start: u64,
    part_duration: u64,
    part_bytes: usize,
    samples: Vec<Sample>,
    waiting: Option<Waiting>,
    /// Of the last sample that had one.
    usual: u64,
    /// No sample may begin before this tick.
    floor: u64,
}

impl TrackWriter {
    pub(super) fn new(
        stream: &Arc<StreamStore>,
        rendition: Arc<Rendition>,
        init: u32,
        part_ms: u32,
        started_ms: u64,
    ) -> Self {
        let timescale = rendition.info().timescale.max(1);
        let floor = rendition.window().segments.last().map_or(0, SegmentEntry::end);
        let sequence = rendition.window().last_number().saturating_mul(64);
        Self {
            stream: Arc::clone(stream),
            rendition,
            init,
            timescale,
            delay: 0,
            part_ticks: u64::from(part_ms) * u64::from(timescale) / 1000,
            started_ms,
            sequence,
            opening: None,
            open: false,
            first_part: true,
            part_start: 0,
            part_duration: 0,
            part_bytes: 0,
            samples: Vec::new(),
            waiting: None,
            usual: u64::from(timescale) / 50,
            floor,
        }
    }

    /// Raises every composition offset by `ticks`, as the init segment says.
    pub(super) fn delayed(self, ticks: u32) -> Self {
        Self { delay: ticks.into(), ..self }
    }

    pub(super) fn rendition(&self) -> &Arc<Rendition> {
        &self.rendition
    }

    /// The init segment that segments begun from now on need.
    pub(super) fn set_init(&mut self, init: u32) {
        self.init = init;
    }

    /// What a stretch of time is in ticks, rounded to the nearest.
    pub(super) fn ticks(&self, ns: u64) -> u64 {
        ((u128::from(ns) * u128::from(self.timescale) + 500_000_000) / 1_000_000_000) as u64
    }

    pub(super) fn signed_ticks(&self, ns: i64) -> i64 {
        let ticks = self.ticks(ns.unsigned_abs()) as i64;
        if ns < 0 { -ticks } else { ticks }
    }

    /// The next sample begins segment `number`. The one in progress is to be closed before.
    pub(super) fn begin(&mut self, number: u32, discontinuity: bool) {
        self.opening = Some(Opening { number, discontinuity });
    }

    /// Whether the segment in progress would be longer than the target duration allows if `dts` did not begin the next.
    pub(super) fn is_overdue(&self, dts: u64) -> bool {
        let Some(open) = self.rendition.window().open.filter(|_| self.is_begun()) else { return false };
        let target_s = self.stream.live().map_or(0, |live| live.target_s);
        let longest = longest_segment(target_s);
        dts.saturating_add(self.usual).saturating_sub(open.start) > self.ticks(longest)
    }

    /// Number of the segment in progress or about to begin.
    pub(super) fn at(&self) -> Option<u32> {
        self.opening.map(|opening| opening.number).or_else(|| {
            let open = self.rendition.window().open;
            open.filter(|_| self.open).map(|open| open.number)
        })
    }

    /// Whether the segment in progress has a sample.
    pub(super) fn is_begun(&self) -> bool {
        self.opening.is_none() && self.open
    }

    /// Takes a sample. Its decode time is moved behind the last one's where it is not.
    pub(super) fn push(&mut self, dts: u64, offset: i64, key: bool, data: Bytes) -> Result<(), StoreError> {
        let mut dts = dts.max(self.floor);
        if let Some(waiting) = self.waiting.take() {
            dts = dts.max(waiting.dts + 1);
            let duration = dts - waiting.dts;
            self.usual = duration;
            self.commit(waiting, duration)?;
        }
        self.floor = dts;
        self.waiting = Some(Waiting { dts, offset, key, data });
        Ok(())
    }

    /// Finishes the segment in progress. `end` is where the next one is going to begin, where that is known.
    pub(super) fn close(&mut self, end: Option<u64>) -> Result<Option<SegmentEntry>, StoreError> {
        if let Some(waiting) = self.waiting.take() {
            let duration = match end {
                Some(end) if end > waiting.dts => end - waiting.dts,
                _ => self.usual.max(1),
            };
            self.floor = waiting.dts + duration;
            self.commit(waiting, duration)?;
        }
        self.flush()?;
        if !self.open {
            return Ok(None);
        }
        self.open = false;
        Ok(self.stream.finish_segment(&self.rendition))
    }

    fn commit(&mut self, mut sample: Waiting, duration: u64) -> Result<(), StoreError> {
        if let Some(Opening { number, discontinuity }) = self.opening.take() {
            self.flush()?;
            self.fill_gaps(number, sample.dts);
            let behind = self.rendition.segment(number.saturating_sub(1)).map_or(0, |last| last.end());
            sample.dts = sample.dts.max(behind);
            let wall_ms = Some(self.started_ms + sample.dts * 1000 / u64::from(self.timescale));
            let (init, independent) = (self.init, sample.key);
            let open = OpenSegment { number, start: sample.dts, init, discontinuity, wall_ms, independent };
            self.stream.begin_segment(&self.rendition, open)?;
            (self.open, self.first_part) = (true, true);
        }
        if !self.open {
            return Ok(());
        }
        let full = self.part_duration + duration > self.part_ticks
            || self.part_bytes + sample.data.len() > PART_BYTES;
        if !self.samples.is_empty() && full {
            self.flush()?;
        }
        if self.samples.is_empty() {
            self.part_start = sample.dts;
        }
        self.part_duration += duration;
        self.part_bytes += sample.data.len();
        self.samples.push(Sample {
            duration: u32::try_from(duration).unwrap_or(u32::MAX),
            composition_offset: sample
                .offset
                .saturating_add(self.delay)
                .clamp(i32::MIN.into(), i32::MAX.into()) as i32,
            key: sample.key,
            data: sample.data,
        });
        // One more would be too many: what there is goes out now, if it is long enough to be a part.
        let long_enough = self.part_duration * 100 >= self.part_ticks * 85;
        if long_enough && self.part_duration + duration > self.part_ticks {
            self.flush()?;
        }
        Ok(())
    }

    /// Segments that the other renditions had and this one has not.
    fn fill_gaps(&self, number: u32, start: u64) {
        let window = self.rendition.window();
        if !window.segments.is_empty() && window.last_number().saturating_add(1) < number {
            self.stream.append_gaps(&self.rendition, number, start);
        }
    }

    /// Sends what there is as a part.
    fn flush(&mut self) -> Result<(), StoreError> {
        let samples = std::mem::take(&mut self.samples);
        let (duration, independent) = (self.part_duration, samples.first().is_some_and(|s| s.key));
        (self.part_duration, self.part_bytes) = (0, 0);
        if samples.is_empty() || !self.open {
            return Ok(());
        }
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let track = match self.rendition.info().kind {
            TrackKind::Video => VIDEO_TRACK,
            _ => AUDIO_TRACK,
        };
        let first = std::mem::take(&mut self.first_part);
        let produced = first.then(|| ProducerTime {
            unix_ms: self.started_ms + self.part_start * 1000 / u64::from(self.timescale),
        });
        let bytes = chunk(track, self.sequence, self.part_start, &samples, first, produced);
        let bytes = bytes.map_err(|error| StoreError::Mismatch {
            what: format!("a part of {}", self.rendition.name()),
            why: error.to_string(),
        })?;
        self.stream.append_part(&self.rendition, bytes, duration, independent);
        Ok(())
    }
}
