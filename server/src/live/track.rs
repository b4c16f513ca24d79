//! One rendition of a live stream: samples in, parts and segments into the store.

use std::sync::Arc;

use bytes::Bytes;

use super::cutter::longest_segment;
use crate::package::{
    AUDIO_TRACK, ProducerTime, Repeater, Repetition, Sample, VIDEO_TRACK, VideoConfig, chunk,
};
use crate::store::{OpenSegment, Rendition, SegmentEntry, StoreError, StreamStore, TrackKind};

/// A segment that the next sample is to begin.
#[derive(Debug, Clone, Copy)]
struct Opening {
    number: u32,
    discontinuity: bool,
}

/// A sample in ticks of the rendition's timescale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timed {
    pub(super) dts: u64,
    /// Presentation after decoding.
    pub(super) offset: i64,
    pub(super) key: bool,
    pub(super) data: Bytes,
}

impl Timed {
    /// Presentation time.
    pub(super) fn pts(&self) -> i64 {
        i64::try_from(self.dts).unwrap_or(i64::MAX).saturating_add(self.offset)
    }
}

/// What a part lacks before the next sample: see [`TrackWriter::gap`].
#[derive(Debug)]
pub(super) enum Gap {
    /// This repetition of the picture on the screen.
    Repeat(Timed),
    /// The next sample, which is to be decoded a moment sooner: at this tick.
    Early(u64),
    /// The sample that waits is needed later: it was taken out, a repetition has its place, and it is to be packed again.
    Moved(Timed),
}

/// Bytes of one part; more are cut into a further one whatever its duration.
const PART_BYTES: usize = 16 << 20;
/// Hundredths of the longest part that every part lasts at least, but the last of a segment (RFC 8216bis, 4.4.4.9).
const SHORTEST_PART: u64 = 85;
/// How much sooner than its publisher says a picture may be decoded (not shown), so that it begins a part.
const EARLY_MS: u64 = 10;

/// Packs one rendition.
#[derive(Debug)]
pub(super) struct TrackWriter {
    stream: Arc<StreamStore>,
    rendition: Arc<Rendition>,
    init: u32,
    timescale: u32,
    /// Added to every composition offset; the init segment takes it off.
    delay: i64,
    /// How much later than its publisher says pictures are decoded.
    reorder: i64,
    /// Makes what parts lack, where the codec allows it.
    repeater: Option<Repeater>,
    /// Pictures that parts lacked and that could not be made.
    lacking: u32,
    /// When the last of these is shown.
    repeated: i64,
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
    /// Its duration is not known before the next one comes.
    waiting: Option<Timed>,
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
            reorder: 0,
            repeater: None,
            lacking: 0,
            repeated: i64::MIN,
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

    /// Says how its pictures are coded, and how much later than their publisher says they are decoded: from now on parts
    /// get what they lack.
    pub(super) fn repeats(&mut self, config: &VideoConfig, reorder_ns: i64) {
        self.repeater = Repeater::new(config);
        self.reordered(reorder_ns);
    }

    /// How much later than its publisher says pictures may be decoded, in nanoseconds: by what the init segment takes off.
    pub(super) fn most_held(&self) -> i64 {
        self.ns(self.delay.unsigned_abs()) as i64
    }

    /// Says how much later than its publisher says pictures are decoded from now on.
    pub(super) fn reordered(&mut self, ns: i64) {
        self.reorder = self.signed_ticks(ns.max(0));
    }

    /// How often a part lacked a picture that could not be made, because pictures of this coding cannot be repeated.
    pub(super) fn lacking(&self) -> u32 {
        self.lacking
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

    /// A stretch of time in nanoseconds.
    pub(super) fn ns(&self, ticks: u64) -> u64 {
        let timescale = u128::from(self.timescale);
        ((u128::from(ticks) * 1_000_000_000 + timescale / 2) / timescale) as u64
    }

    /// Where the part in progress has to end when nothing comes before `next`; `None` when it need not end before.
    pub(super) fn due(&self, next: u64) -> Option<u64> {
        let waiting = self.waiting.as_ref().filter(|_| self.part_ticks > 0)?;
        let fits = |start: u64| next.saturating_sub(start) <= self.part_ticks;
        let before = waiting.dts.saturating_sub(self.part_start);
        let begins = self.samples.is_empty()
            || self.opening.is_some()
            || (!fits(self.part_start) && before * 100 >= self.part_ticks * SHORTEST_PART);
        let start = if begins { waiting.dts } else { self.part_start };
        (!fits(start)).then(|| start.saturating_add(self.part_ticks))
    }

    /// Where the part in progress ends at the latest, when it is long enough without the sample that waits.
    pub(super) fn ripe(&self) -> Option<u64> {
        let waiting = self.waiting.as_ref().filter(|_| !self.samples.is_empty() && self.opening.is_none())?;
        let before = waiting.dts.saturating_sub(self.part_start);
        (before * 100 >= self.part_ticks * SHORTEST_PART).then(|| self.part_start + self.part_ticks)
    }

    /// Sends the part in progress without the sample that waits.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        self.flush()
    }

    /// What is to be packed before a sample at `next`, so that no part is too long or too short: ask again when it was.
    /// `key` where the sample is a key frame: it keeps its place, for it may begin a segment.
    pub(super) fn gap(&mut self, next: u64, key: bool) -> Option<Gap> {
        let at = self.due(next)?;
        if !key && next - at <= EARLY_MS * u64::from(self.timescale) / 1000 {
            return Some(Gap::Early(at));
        }
        let Some(repeater) = &self.repeater else {
            self.lacking = self.lacking.saturating_add(1);
            return None;
        };
        let waiting = self.waiting.as_ref()?;
        let shown = |dts: u64| i64::try_from(dts).unwrap_or(i64::MAX).saturating_sub(self.reorder);
        let (reorder, after) = (self.reorder, self.repeated.saturating_add(1));
        let timed = |dts: u64, Repetition { pts, key, data }| {
            let pts = pts.max(after);
            let offset = pts.saturating_sub(i64::try_from(dts).unwrap_or(i64::MAX)).max(-reorder);
            Timed { dts, offset, key, data }
        };
        if let Some(found) = repeater.repeat(shown(at)) {
            let unit = timed(at, found);
            self.repeated = unit.pts();
            return Some(Gap::Repeat(unit));
        }
        // The picture that waits is shown later than it is decoded, and was decoded on top of the one on the screen.
        if waiting.key || self.opening.is_some() || waiting.pts() < shown(at) {
            return None;
        }
        let repetition = timed(waiting.dts, repeater.repeat_before(shown(waiting.dts))?);
        self.repeated = repetition.pts();
        let mut moved = self.waiting.replace(repetition)?;
        moved.offset = moved.pts().saturating_sub(i64::try_from(at).unwrap_or(i64::MAX));
        moved.dts = at;
        Some(Gap::Moved(moved))
    }

    /// Packs what parts lack before a sample at `next`, and tells when that is to be decoded.
    pub(super) fn fill(&mut self, next: u64, key: bool) -> Result<u64, StoreError> {
        while let Some(gap) = self.gap(next, key) {
            match gap {
                Gap::Early(at) => return Ok(at),
                Gap::Repeat(unit) | Gap::Moved(unit) => self.pack(unit)?,
            }
        }
        Ok(next)
    }

    /// Takes a sample. Its decode time is moved behind the last one's where it is not.
    pub(super) fn push(&mut self, dts: u64, offset: i64, key: bool, data: Bytes) -> Result<(), StoreError> {
        let unit = Timed { dts, offset, key, data };
        if let Some(repeater) = &mut self.repeater {
            repeater.see(unit.pts(), &unit.data);
        }
        self.pack(unit)
    }

    /// As [`push`](Self::push), for what decoders see a second time or in another place.
    pub(super) fn pack(&mut self, unit: Timed) -> Result<(), StoreError> {
        let Timed { dts, mut offset, key, data } = unit;
        let mut later = dts.max(self.floor);
        if let Some(waiting) = self.waiting.take() {
            later = later.max(waiting.dts + 1);
            let duration = later - waiting.dts;
            if duration >= u64::from(self.timescale) / 1000 {
                self.usual = duration;
            }
            self.commit(waiting, duration)?;
        }
        if self.repeater.is_some() {
            // It is shown when it was to be shown, if it is decoded by then.
            let moved = i64::try_from(later - dts).unwrap_or(i64::MAX);
            offset = offset.saturating_sub(moved).max(offset.min(-self.reorder));
        }
        self.floor = later;
        self.waiting = Some(Timed { dts: later, offset, key, data });
        Ok(())
    }

    /// Finishes the segment in progress. `end` is where the next one is going to begin, where that is known.
    pub(super) fn close(&mut self, end: Option<u64>) -> Result<Option<SegmentEntry>, StoreError> {
        if let Some(end) = end {
            self.fill(end, true)?;
        }
        if let Some(waiting) = self.waiting.take() {
            let duration = match end {
                Some(end) if end > waiting.dts => end - waiting.dts,
                // Nobody knows how long it would have been shown; not so long that its part would be too long.
                _ => {
                    let usual = self.usual.max(1);
                    let before = waiting.dts.saturating_sub(self.part_start);
                    let begins = self.samples.is_empty()
                        || self.opening.is_some()
                        || before * 100 >= self.part_ticks * SHORTEST_PART;
                    let room = if begins { self.part_ticks } else { self.part_ticks.saturating_sub(before) };
                    usual.min(room.max(1))
                }
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

    fn commit(&mut self, mut sample: Timed, duration: u64) -> Result<(), StoreError> {
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
        let long_enough = self.part_duration * 100 >= self.part_ticks * SHORTEST_PART;
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
