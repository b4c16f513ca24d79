//! The pictures of a job: from the decoder or the test card to every rung's encoder.

use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer_video as gst_video;

use super::JobError;
use super::manager::JobControl;
use super::pace::Pace;
use super::place::Place;
use super::plan::Plan;
use super::stills::Stills;
use super::writer::{Track, TrackWriter};
use crate::ingest::{CardPainter, TestCardSpec};
use crate::ladder::{FrameGrid, LadderError, Next, Rung, Sequence, Timeline, VideoEncoder, VideoEncoderSpec};

/// What both kinds of source need to drive the encoders.
#[derive(Debug)]
pub(super) struct VideoSide<'a> {
    pub(super) plan: &'a Mutex<Plan>,
    pub(super) stream: &'a Arc<dyn Place>,
    pub(super) control: &'a JobControl,
    pub(super) pace: &'a Pace<'a>,
    pub(super) nice: i32,
    /// Segment to begin with, counted from 0.
    pub(super) first_segment: u64,
    /// What is due later than this is no time of the source's; see [`longest`](super::run::longest).
    pub(super) longest_ns: i64,
}

/// How far pictures may be ahead of the sound: a second, so that no picture is published long without it.
const LEAD_NS: u64 = 1_000_000_000;

struct RungJob {
    spec: VideoEncoderSpec,
    encoder: VideoEncoder,
    writer: Arc<Mutex<TrackWriter>>,
    input: (u32, u32),
}

/// All encoders of a job that still live.
struct Rungs<'a> {
    side: &'a VideoSide<'a>,
    timeline: Timeline,
    /// The source is a rung too: the stream lives on without any of these.
    has_source: bool,
    live: Vec<RungJob>,
}

impl VideoSide<'_> {
    fn plan(&self) -> Plan {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Packages a file's pictures.
    pub(super) fn run_file(&self, decoder: &Sequence<'_>) -> Result<(), JobError> {
        let plan = self.plan();
        let timeline = plan.timeline();
        let mut rungs = Rungs {
            side: self,
            timeline: timeline.clone(),
            has_source: plan.source_rung.is_some(),
            live: Vec::new(),
        };
        let mut grid = FrameGrid::new(timeline.clone(), timeline.first_frame(self.first_segment));
        let mut stills = Stills::new(self.stream.as_ref(), &plan, self.first_segment);
        let mut error = None;
        let mut started = false;
        let mut strays = 0_u64;
        loop {
            if self.pace.stopped() {
                rungs.abort();
                return Err(JobError::Cancelled);
            }
            let picture = match decoder.next_video()? {
                Next::Buffer(picture) => picture,
                Next::Waiting => continue,
                Next::End => break,
            };
            let info = gst_video::VideoInfo::from_caps(&picture.caps)
                .map_err(|_| LadderError::Decode("a picture without a size".to_owned()))?;
            if !std::mem::replace(&mut started, true) {
                for (_, rung) in plan.active_rungs() {
                    rungs.start(&plan, rung, info.clone())?;
                }
            }
            let due = picture.start_ns.saturating_sub(plan.origin_ns);
            if due > self.longest_ns {
                strays += 1;
                continue;
            }
            let mut emit = |n: u64, shown: &(gst::Buffer, gst_video::VideoInfo)| {
                stills.see(n, &shown.0, &shown.1);
                let pushed = rungs.push(n, |_| Some((shown.0.clone(), shown.1.width(), shown.1.height())));
                if let Err(failed) = pushed {
                    error = Some(failed);
                    return false;
                }
                self.report(&plan, timeline.frame_ns(n));
                true
            };
            if !grid.push(due, picture.duration_ns, (picture.buffer, info), &mut emit) {
                rungs.abort();
                return Err(error.unwrap_or(JobError::Cancelled));
            }
        }
        super::run::tell_strays(self.control, "pictures", strays);
        self.pace.video_ended(grid.end_ns());
        let Some(end) = self.pace.common_end() else {
            rungs.abort();
            return Err(JobError::Cancelled);
        };
        let frames = timeline.frame_at(end).max(1);
        let mut emit = |n: u64, shown: &(gst::Buffer, gst_video::VideoInfo)| {
            stills.see(n, &shown.0, &shown.1);
            let pushed = rungs.push(n, |_| Some((shown.0.clone(), shown.1.width(), shown.1.height())));
            error = pushed.err();
            error.is_none() && !self.control.is_cancelled()
        };
        if !grid.finish(frames, &mut emit) {
            rungs.abort();
            return Err(error.unwrap_or(JobError::Cancelled));
        }
        stills.finish(timeline.frame_ns(frames));
        rungs.finish()
    }

    /// Packages the test card's pictures.
    pub(super) fn run_card(&self, card: &TestCardSpec) -> Result<(), JobError> {
        let plan = self.plan();
        let timeline = plan.timeline();
        let frames = timeline.frame_at(plan.duration_ns.unwrap_or(0)).max(1);
        let mut rungs = Rungs {
            side: self,
            timeline: timeline.clone(),
            has_source: plan.source_rung.is_some(),
            live: Vec::new(),
        };
        let mut stills = Stills::new(self.stream.as_ref(), &plan, self.first_segment);
        let mut painters = Vec::new();
        for (place, rung) in plan.active_rungs() {
            let (info, painter) = CardPainter::for_rung(card, place, &rung).map_err(JobError::Other)?;
            rungs.start(&plan, rung.clone(), info.clone())?;
            painters.push((rung, info, painter));
        }
        // The smallest picture that is wide enough makes the thumbnail.
        let shown = painters.iter().position(|(rung, ..)| rung.width >= 320).unwrap_or(painters.len() - 1);
        for n in timeline.first_frame(self.first_segment)..frames {
            if self.pace.stopped() {
                rungs.abort();
                return Err(JobError::Cancelled);
            }
            let mut thumbnail = None;
            rungs.push(n, |name| {
                let (at, (_, info, painter)) =
                    painters.iter().enumerate().find(|(_, (rung, ..))| rung.name == name)?;
                let mut picture = vec![0; painter.picture_size()];
                painter.paint(n, &mut picture);
                let buffer = gst::Buffer::from_mut_slice(picture);
                if at == shown {
                    thumbnail = Some((buffer.clone(), info.clone()));
                }
                Some((buffer, info.width(), info.height()))
            })?;
            if let Some((buffer, info)) = &thumbnail {
                stills.see(n, buffer, info);
            }
            self.report(&plan, timeline.frame_ns(n));
        }
        self.pace.video_ended(timeline.frame_ns(frames));
        stills.finish(timeline.frame_ns(frames));
        rungs.finish()
    }

    fn report(&self, plan: &Plan, ns: u64) {
        self.pace.video_at(ns, LEAD_NS);
        super::run::report_progress(self.control, ns, plan.duration_ns);
    }
}

impl Rungs<'_> {
    fn start(&mut self, plan: &Plan, rung: Rung, input: gst_video::VideoInfo) -> Result<(), JobError> {
        let track = Track::Video(rung.clone(), plan.frame_rate);
        let writer = Arc::new(Mutex::new(TrackWriter::new(self.side.stream, self.timeline.clone(), track)));
        let size = (input.width(), input.height());
        let spec = VideoEncoderSpec {
            rung,
            input,
            frame_rate: plan.frame_rate,
            kind: plan.video_encoder,
            speed: plan.profile.speed,
            nice: self.side.nice,
            live: false,
        };
        let (timeline, sink) = (self.timeline.clone(), Arc::clone(&writer));
        let voice = self.side.control.voice.named(&spec.rung.name);
        voice.info(format!(
            "H.264 {}x{} at {} kbit/s by {}",
            spec.rung.width,
            spec.rung.height,
            spec.rung.kbps,
            spec.kind.element()
        ));
        let encoder = VideoEncoder::start(
            &spec,
            &voice,
            Box::new(move |unit| {
                let number = timeline.frame_at(unit.running_ns);
                sink.lock().unwrap_or_else(PoisonError::into_inner).take(number, unit)
            }),
        )?;
        self.live.push(RungJob { spec, encoder, writer, input: size });
        Ok(())
    }

    /// Gives frame `n` to every encoder that lives; `picture` makes it for a rung's name.
    fn push(
        &mut self,
        n: u64,
        mut picture: impl FnMut(&str) -> Option<(gst::Buffer, u32, u32)>,
    ) -> Result<(), JobError> {
        let (start, end) = (self.timeline.frame_ns(n), self.timeline.frame_ns(n + 1));
        let key = self.timeline.is_key(n);
        let mut at = 0;
        while let Some(rung) = self.live.get_mut(at) {
            if let Some((buffer, width, height)) = picture(rung.encoder.name()) {
                if rung.input != (width, height) {
                    rung.encoder.set_input_size(&rung.spec, width, height);
                    rung.input = (width, height);
                }
                if !rung.encoder.push(buffer, start, end - start, key) {
                    let rung = self.live.remove(at);
                    self.bury(rung)?;
                    continue;
                }
            }
            at += 1;
        }
        Ok(())
    }

    /// An encoder has died: the stream goes on without its rung, if any is left.
    fn bury(&mut self, rung: RungJob) -> Result<(), JobError> {
        let name = rung.spec.rung.name.clone();
        let why = match rung.encoder.finish() {
            Err(error) => error,
            Ok(()) => LadderError::Encode { rendition: name.clone(), why: "it stopped too early".to_owned() },
        };
        self.lose(&rung.writer, &name, why)
    }

    fn lose(&mut self, writer: &Mutex<TrackWriter>, name: &str, why: LadderError) -> Result<(), JobError> {
        if let Some(failure) = writer.lock().unwrap_or_else(PoisonError::into_inner).failure() {
            return Err(JobError::Other(failure));
        }
        if self.live.is_empty() && !self.has_source {
            return Err(why.into());
        }
        tracing::warn!(stream = self.side.stream.id(), rung = name, %why, "the stream goes on without a rung");
        self.side.control.voice.named(name).warn(format!("the stream goes on without this rung: {why}"));
        let plan = {
            let mut plan = self.side.plan.lock().unwrap_or_else(PoisonError::into_inner);
            plan.retired.push(name.to_owned());
            plan.clone()
        };
        plan.save(self.side.stream.as_ref())?;
        self.side.stream.retire(name)?;
        self.side.control.update(|status| status.warnings.push(why.to_string()));
        Ok(())
    }

    fn finish(mut self) -> Result<(), JobError> {
        while let Some(rung) = self.live.pop() {
            let name = rung.spec.rung.name.clone();
            if let Err(why) = rung.encoder.finish() {
                self.lose(&rung.writer, &name, why)?;
                continue;
            }
            rung.writer.lock().unwrap_or_else(PoisonError::into_inner).flush().map_err(JobError::Other)?;
        }
        Ok(())
    }

    fn abort(&mut self) {
        for rung in self.live.drain(..) {
            rung.encoder.abort();
        }
    }
}
