//! The sound of a job: from the decoder or the test card to the AAC encoder.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::JobError;
use super::manager::JobControl;
use super::pace::Pace;
use super::place::Place;
use super::plan::Plan;
use super::writer::{Track, TrackWriter};
use crate::ingest::beep;
use crate::ladder::{AudioEncoder, AudioEncoderKind, Next, SampleGrid, Sequence, Timeline};

/// What both kinds of source need to drive the encoder.
#[derive(Debug)]
pub(super) struct AudioSide<'a> {
    pub(super) plan: Plan,
    pub(super) kind: AudioEncoderKind,
    pub(super) stream: &'a Arc<dyn Place>,
    pub(super) control: &'a JobControl,
    pub(super) pace: &'a Pace<'a>,
    pub(super) nice: i32,
    /// Segment to begin with, counted from 0.
    pub(super) first_segment: u64,
    /// What is due later than this is no time of the source's; see [`longest`](super::run::longest).
    pub(super) longest_ns: i64,
}

struct Running {
    encoder: AudioEncoder,
    writer: Arc<Mutex<TrackWriter>>,
    /// AAC frames of the whole stream, once known.
    units: Arc<AtomicU64>,
}

const SECOND_NS: i128 = 1_000_000_000;

fn to_ns(samples: i64) -> u64 {
    (i128::from(samples.max(0)) * SECOND_NS / 48_000) as u64
}

impl AudioSide<'_> {
    /// Packages a file's sound.
    pub(super) fn run_file(&self, decoder: &Sequence<'_>) -> Result<(), JobError> {
        let timeline = self.plan.timeline();
        let mut running = self.start(&timeline)?;
        let mut grid = SampleGrid::new(running.encoder.first_sample());
        let mut strays = 0_u64;
        loop {
            if self.pace.stopped() {
                running.encoder.abort();
                return Err(JobError::Cancelled);
            }
            let block = match decoder.next_audio()? {
                Next::Buffer(block) => block,
                Next::Waiting => continue,
                Next::End => break,
            };
            let Ok(bytes) = block.buffer.map_readable() else { continue };
            let samples: Vec<f32> =
                bytes.as_chunks::<4>().0.iter().map(|sample| f32::from_le_bytes(*sample)).collect();
            let due = block.start_ns.saturating_sub(self.plan.origin_ns);
            if due > self.longest_ns {
                strays += 1;
                continue;
            }
            if !grid.push(due, &samples, &mut |block| running.encoder.push(block)) {
                return Err(running.died());
            }
            self.moved(&timeline, to_ns(grid.next_sample()));
        }
        super::run::tell_strays(self.control, "blocks of sound", strays);
        self.pace.audio_ended(to_ns(grid.next_sample()));
        let Some(end) = self.pace.common_end() else {
            running.encoder.abort();
            return Err(JobError::Cancelled);
        };
        let frames = if !self.plan.has_video() { 0 } else { timeline.frame_at(end).max(1) };
        let units = timeline.units_for(end, frames);
        running.units.store(units, Ordering::Release);
        let last = running.encoder.end_sample(units, self.kind);
        if !grid.finish(last, &mut |block| running.encoder.push(block)) {
            return Err(running.died());
        }
        running.finish()
    }

    /// Packages the test card's sound.
    pub(super) fn run_card(&self) -> Result<(), JobError> {
        let timeline = self.plan.timeline();
        let end = self.plan.duration_ns.unwrap_or(0);
        let units = timeline.units_for(end, timeline.frame_at(end).max(1));
        let mut running = self.start(&timeline)?;
        running.units.store(units, Ordering::Release);
        let mut next = running.encoder.first_sample();
        // The last AAC frame may reach beyond the end, where the next beep would begin.
        let silent_from = (i128::from(end) * 48_000 / SECOND_NS) as i64;
        let sound = |i: i64| if i < silent_from { beep(i) } else { 0.0 };
        let last = running.encoder.end_sample(units, self.kind);
        while next < last {
            if self.pace.stopped() {
                running.encoder.abort();
                return Err(JobError::Cancelled);
            }
            let to = (next + 4800).min(last);
            let block: Vec<f32> = (next..to).flat_map(|i| [sound(i); 2]).collect();
            if !running.encoder.push(&block) {
                return Err(running.died());
            }
            next = to;
            self.moved(&timeline, to_ns(next));
        }
        self.pace.audio_ended(end);
        running.finish()
    }

    fn start(&self, timeline: &Timeline) -> Result<Running, JobError> {
        let kbps = self.plan.profile.audio_kbps;
        let track = Track::Audio { kbps, language: self.plan.language.clone() };
        let writer = TrackWriter::new(self.stream, timeline.clone(), track);
        let writer = Arc::new(Mutex::new(writer));
        let units = Arc::new(AtomicU64::new(u64::MAX));
        let (sink, limit) = (Arc::clone(&writer), Arc::clone(&units));
        let first = timeline.first_unit(self.first_segment);
        let voice = self.control.voice.named("audio");
        voice.info(format!("AAC at {kbps} kbit/s by {}", self.kind.element()));
        let take = move |number, unit| {
            if number >= limit.load(Ordering::Acquire) {
                return Ok(()); // what the encoder's delay pushed out behind the end
            }
            sink.lock().unwrap_or_else(PoisonError::into_inner).take(number, unit)
        };
        let encoder = AudioEncoder::start(self.kind, kbps, first, self.nice, &voice, take)?;
        Ok(Running { encoder, writer, units })
    }

    /// Keeps step with the pictures: one segment ahead at most, so that neither side is long without the
    /// other.
    fn moved(&self, timeline: &Timeline, ns: u64) {
        if !self.plan.has_video() {
            super::run::report_progress(self.control, ns, self.plan.duration_ns);
        } else {
            self.pace.audio_at(ns, timeline.segment_length_ns());
        }
    }
}

impl Running {
    fn died(self) -> JobError {
        let error = self.encoder.finish().err();
        let failure = self.writer.lock().unwrap_or_else(PoisonError::into_inner).failure();
        match (failure, error) {
            (Some(failure), _) => JobError::Other(failure),
            (None, Some(error)) => error.into(),
            (None, None) => JobError::Other("the audio encoder stopped too early".to_owned()),
        }
    }

    fn finish(self) -> Result<(), JobError> {
        let writer = Arc::clone(&self.writer);
        self.encoder.finish()?;
        let result = writer.lock().unwrap_or_else(PoisonError::into_inner).flush();
        result.map_err(JobError::Other)
    }
}
