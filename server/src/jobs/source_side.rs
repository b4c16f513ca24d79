//! The pictures of a source that passes through: its own access units, cut where the plan says.

use std::path::Path;
use std::sync::Arc;

use super::JobError;
use super::manager::JobControl;
use super::pace::Pace;
use super::place::Place;
use super::plan::{Plan, SOURCE, SourceRung};
use crate::ladder::{NextUnit, SOURCE_TIMESCALE, SourceFormat, SourceSample, UnitReader, source_ticks};
use crate::package::{Sample, VIDEO_TRACK, media_segment, video_init_delayed};
use crate::store::{RenditionInfo, TrackKind};

/// Segments that this rung may be ahead of the encoded ones.
const LEAD: u64 = 2;

/// Packages the source rung.
#[derive(Debug)]
pub(super) struct SourceSide<'a> {
    pub(super) plan: Plan,
    pub(super) rung: SourceRung,
    pub(super) path: &'a Path,
    pub(super) stream: &'a Arc<dyn Place>,
    pub(super) control: &'a JobControl,
    pub(super) pace: &'a Pace<'a>,
    pub(super) nice: i32,
    /// Segment to begin with, counted from 0.
    pub(super) first_segment: u64,
}

impl SourceSide<'_> {
    /// Reads the file to its end.
    pub(super) fn run(&self) -> Result<(), JobError> {
        let voice = self.control.voice.named(SOURCE);
        let stop = || self.pace.stopped();
        let gone = || JobError::Other("the source's video cannot be read any more".to_owned());
        let reader = UnitReader::open(self.path, self.nice, &voice, &stop)?.ok_or_else(gone)?;
        // What an earlier run stored may be more than what is there on every rung.
        let stored = self.stream.stored(SOURCE);
        let mut segment = self.first_segment.max(stored);
        let Some(first) = self.cut(segment) else { return Ok(()) };
        if segment > 0 {
            let at = (first as i64 + self.plan.origin_ns - 500_000_000).max(0) as u64;
            reader.seek(at, &stop)?;
        }
        reader.play()?;
        let mut known: Option<SourceFormat> = None;
        let mut units: Vec<(u64, SourceSample)> = Vec::new();
        loop {
            if self.pace.stopped() {
                return Err(JobError::Cancelled);
            }
            let (unit, format) = match reader.next()? {
                NextUnit::Unit(unit, format) => (unit, format),
                NextUnit::Waiting => continue,
                NextUnit::End => break,
            };
            let time = (unit.pts_ns - self.plan.origin_ns).max(0) as u64;
            // Only the first cut is nominal: the pictures may begin a little after the sound.
            let fresh = known.is_none();
            let begins = |k: u64| unit.key && (k == 0 && fresh || self.cut(k) == Some(time));
            if units.is_empty() && !begins(segment) {
                continue; // before the place to go on from
            }
            match &known {
                None => {
                    self.register(&format)?;
                    known = Some(format);
                }
                Some(known) if *known == format => {}
                Some(_) => return Err(JobError::Other("the source's coding changes on the way".to_owned())),
            }
            if !units.is_empty() && begins(segment + 1) {
                self.store(segment, &mut units, time)?;
                segment += 1;
                let lead = LEAD * self.plan.timeline().segment_length_ns();
                if !self.pace.source_at(time, lead) {
                    return Err(JobError::Cancelled);
                }
            }
            units.push((time, unit));
        }
        if units.is_empty() || segment + 1 != self.rung.cuts.len() as u64 {
            return Err(JobError::Other(
                "the source is not the one that was looked at; package it again".to_owned(),
            ));
        }
        // The last picture is shown until everything ends.
        let end = self.pace.common_end().ok_or(JobError::Cancelled)?.max(self.rung.end_ns);
        self.store(segment, &mut units, end)
    }

    fn cut(&self, segment: u64) -> Option<u64> {
        self.rung.cuts.get(usize::try_from(segment).ok()?).copied()
    }

    fn register(&self, format: &SourceFormat) -> Result<(), JobError> {
        let config = format.set_up().map_err(|e| JobError::Other(e.to_string()))?;
        let info = RenditionInfo {
            language: None,
            name: SOURCE.to_owned(),
            kind: TrackKind::Video,
            codecs: config.codec_string(),
            width: format.width,
            height: format.height,
            frame_rate: self.rung.fast.unwrap_or(self.plan.frame_rate),
            sample_rate: 0,
            channels: 0,
            bandwidth: self.rung.bandwidth,
            timescale: SOURCE_TIMESCALE,
        };
        let voice = self.control.voice.named(SOURCE);
        voice.info(format!(
            "{} {}x{} at {} kbit/s passes through as it is",
            info.codecs,
            info.width,
            info.height,
            info.bandwidth / 1000
        ));
        self.stream.add(info, video_init_delayed(&config, SOURCE_TIMESCALE, self.rung.delay))?;
        Ok(())
    }

    /// Stores the units, in decode order, as a segment that ends at `end_ns`.
    fn store(&self, segment: u64, units: &mut Vec<(u64, SourceSample)>, end_ns: u64) -> Result<(), JobError> {
        let other = |why: String| JobError::Other(why);
        let number = u32::try_from(segment + 1).map_err(|_| other("too many segments".to_owned()))?;
        let units = std::mem::take(units);
        let (start, samples) = samples(units, end_ns, self.rung.delay);
        let duration = samples.iter().map(|sample| u64::from(sample.duration)).sum();
        let bytes = media_segment(VIDEO_TRACK, number, start, &samples).map_err(|e| other(e.to_string()))?;
        Ok(self.stream.append(SOURCE, number, start, duration, bytes)?)
    }
}

/// Decode times for units of a closed GOP or several: the times of presentation in rising order. So they need
/// nothing from the container, never run backwards, and a segment begins with its first picture. Pictures are shown up
/// to `delay` ticks before they are due to be decoded then; offsets are raised by it, and the init segment's edit list
/// takes it off.
fn samples(units: Vec<(u64, SourceSample)>, end_ns: u64, delay: u32) -> (u64, Vec<Sample>) {
    let mut times: Vec<u64> = units.iter().map(|(time, _)| source_ticks(*time)).collect();
    times.sort_unstable();
    let start = times.first().copied().unwrap_or(0);
    let last = times.last().copied().unwrap_or(0);
    times.push(source_ticks(end_ns).max(last + 1));
    let steps = times.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)));
    let samples = units
        .into_iter()
        .zip(steps)
        .map(|((time, unit), (decode, next))| Sample {
            duration: (next - decode).min(u64::from(u32::MAX)) as u32,
            composition_offset: (source_ticks(time) as i64 - decode as i64 + i64::from(delay)) as i32,
            key: unit.key,
            data: unit.data,
        })
        .collect();
    (start, samples)
}
