//! Segments through the demuxers, onto the timeline, into the sample buffers.

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use tokio::sync::mpsc;
use weir_abr::{RungId, TrackKind, planner::FetchId};

use super::{
    input::{Input, Job},
    timeline::{Placed, Timeline},
    units::{from_nanos, nanos},
};
use crate::{
    demux::{DemuxError, Demuxed, Demuxer, GstDemuxer, StreamKind},
    samples::{Inserted, Segment, SharedTrack, Tag, TrackBuffer},
};

/// Segments that may wait for a demuxer; one takes milliseconds, a download takes longer.
const JOBS: usize = 64;

/// Sound that may wait for the first picture of its discontinuity.
const PENDING: usize = 64;

/// A thread that takes segments of one track apart.
#[derive(Debug)]
struct Worker {
    jobs: mpsc::Sender<Box<Job>>,
}

impl Worker {
    fn start(track: TrackKind, inbox: mpsc::Sender<Input>) -> std::io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel::<Box<Job>>(JOBS);
        let name = match track {
            TrackKind::Video => "weir-demux-main",
            TrackKind::Audio => "weir-demux-snd",
        };
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut demuxer = None;
            while let Some(mut job) = waiting.blocking_recv() {
                let result = demux(&mut demuxer, &mut job);
                if inbox.blocking_send(Input::Demuxed(job, result)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { jobs })
    }
}

fn demux(demuxer: &mut Option<GstDemuxer>, job: &mut Job) -> Result<Demuxed, DemuxError> {
    let demuxer = match demuxer {
        Some(demuxer) => demuxer,
        None => demuxer.insert(GstDemuxer::new()?),
    };
    demuxer.append(job.init.as_ref(), std::mem::take(&mut job.media))
}

/// A segment that the brain counts as buffered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) id: FetchId,
    pub(crate) rung: RungId,
}

/// What became of a segment that was taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is buffered.
    Buffered,
    /// Playback was there already: its bytes were for nothing.
    TooLate,
    /// It waits for the main track.
    Pending,
    /// Nobody wants it any more.
    Unwanted,
}

/// Sample buffers and what fills them.
#[derive(Debug)]
pub(crate) struct Media {
    inbox: mpsc::Sender<Input>,
    workers: BTreeMap<TrackKind, Worker>,
    timeline: Timeline,
    pending: Vec<(Box<Job>, Demuxed)>,
    pub(crate) video: Arc<SharedTrack>,
    pub(crate) audio: Arc<SharedTrack>,
    /// Streams seen in the main track.
    pub(crate) has_video: bool,
    pub(crate) has_sound: bool,
    /// Sound comes in segments of its own.
    pub(crate) separate_audio: bool,
    pub(crate) held: BTreeMap<(TrackKind, u64), Held>,
    /// Codecs as the demuxer names them.
    pub(crate) codecs: Vec<String>,
}

impl Media {
    pub(crate) fn new(inbox: mpsc::Sender<Input>) -> Self {
        Self {
            inbox,
            workers: BTreeMap::new(),
            timeline: Timeline::default(),
            pending: Vec::new(),
            video: Arc::new(SharedTrack::new()),
            audio: Arc::new(SharedTrack::new()),
            has_video: false,
            has_sound: false,
            separate_audio: false,
            held: BTreeMap::new(),
            codecs: Vec::new(),
        }
    }

    /// Hands a segment to its demuxer; `false` when that is not there or hopelessly behind.
    pub(crate) fn demux(&mut self, job: Box<Job>) -> bool {
        let track = job.track;
        // A worker that ended (a panic in a plug-in's callback would take the process; one of ours does not) is replaced.
        self.workers.retain(|_, worker| !worker.jobs.is_closed());
        if !self.workers.contains_key(&track) {
            match Worker::start(track, self.inbox.clone()) {
                Ok(worker) => {
                    self.workers.insert(track, worker);
                }
                Err(error) => {
                    tracing::error!(%error, "no thread for the demuxer");
                    return false;
                }
            }
        }
        self.workers.get(&track).is_some_and(|worker| worker.jobs.try_send(job).is_ok())
    }

    /// Puts a segment into the buffers. `times` are those that the manifest gives.
    pub(crate) fn insert(&mut self, job: Box<Job>, demuxed: Demuxed) -> Outcome {
        let main = job.track == TrackKind::Video;
        let mut outcome = self.place(job, demuxed, main);
        if self.pending.is_empty() {
            return outcome;
        }
        // The main track may just have told where sound that came before it belongs.
        for (job, demuxed) in std::mem::take(&mut self.pending) {
            if self.place(job, demuxed, false) == Outcome::TooLate && outcome == Outcome::Pending {
                outcome = Outcome::TooLate;
            }
        }
        outcome
    }

    fn place(&mut self, job: Box<Job>, mut demuxed: Demuxed, anchors: bool) -> Outcome {
        if self.held.get(&(job.track, job.index)).is_none_or(|held| held.id != job.id) {
            return Outcome::Unwanted;
        }
        let main = job.track == TrackKind::Video;
        if self.timeline.place(&job.segment, &mut demuxed, anchors) == Placed::NotYet {
            if self.pending.len() < PENDING {
                self.pending.push((job, demuxed));
            }
            return Outcome::Pending;
        }
        for stream in &demuxed.streams {
            if !self.codecs.contains(&stream.codec) {
                self.codecs.push(stream.codec.clone());
            }
        }
        let mut found = |kind: StreamKind| {
            let at = demuxed.streams.iter().position(|stream| stream.kind == kind)?;
            Some(demuxed.streams.swap_remove(at).samples)
        };
        let video = if main { found(StreamKind::Video) } else { None };
        let sound = if main && self.separate_audio { None } else { found(StreamKind::Audio) };
        self.has_video |= video.is_some();
        self.has_sound |= main && sound.is_some();

        let segment = |samples| Segment {
            tag: Tag { segment: job.index, rung: job.rung.0 },
            start: nanos(job.segment.start),
            end: nanos(job.segment.start + job.segment.duration),
            samples,
        };
        let mut late = false;
        // A stream that is missing from one segment is a hole in its buffer, or the feeder would wait for it for ever.
        if main && self.has_video {
            let inserted = self.video.edit(|buffer| buffer.insert(segment(video.unwrap_or_default())));
            late = inserted == Inserted::TooLate;
        }
        if !main || self.has_sound {
            self.audio.edit(|buffer| buffer.insert(segment(sound.unwrap_or_default())));
        }
        if late { Outcome::TooLate } else { Outcome::Buffered }
    }

    /// Buffers that a track fills.
    fn buffers(&self, track: TrackKind) -> impl Iterator<Item = &SharedTrack> {
        let video = (track == TrackKind::Video && self.has_video).then_some(&*self.video);
        let sound = match track {
            TrackKind::Video => self.has_sound,
            TrackKind::Audio => true,
        };
        video.into_iter().chain(sound.then_some(&*self.audio))
    }

    /// A segment will never come.
    pub(crate) fn skip(&mut self, track: TrackKind, index: u64, (start, end): (Duration, Duration)) {
        self.held.remove(&(track, index));
        for buffer in self.buffers(track) {
            buffer.edit(|buffer| buffer.skip(index, nanos(start), nanos(end)));
        }
        // Its discontinuity may get no other main segment: sound goes by the manifest then.
        if track == TrackKind::Video {
            for (job, demuxed) in std::mem::take(&mut self.pending) {
                self.place(job, demuxed, true);
            }
        }
    }

    /// Names the first and the last segment of a track, or says that they are not known.
    pub(crate) fn set_bounds(&self, track: TrackKind, first: Option<u64>, last: Option<u64>) {
        let name = |buffer: &mut TrackBuffer| {
            buffer.set_first(first);
            buffer.set_last(last);
        };
        // Muxed sound shows itself with the first segment only: naming them beforehand does no harm.
        if track == TrackKind::Video {
            self.video.edit(name);
        }
        if track == TrackKind::Audio || !self.separate_audio {
            self.audio.edit(name);
        }
    }

    /// Whether playback could go on at `position` at once.
    pub(crate) fn holds(&self, position: Duration) -> bool {
        let at = nanos(position);
        let video = !self.has_video || self.video.look(|buffer| buffer.holds(at));
        let sound = !(self.has_sound || self.separate_audio) || self.audio.look(|buffer| buffer.holds(at));
        video && sound && (self.has_video || self.has_sound || self.separate_audio)
    }

    /// Drops what ends before `position`. Gives, for each track, the number of the last segment that went.
    pub(crate) fn evict(&mut self, position: Duration) -> Vec<(TrackKind, u64)> {
        let at = nanos(position);
        let mut gone = Vec::new();
        for track in [TrackKind::Video, TrackKind::Audio] {
            let mut changed = false;
            for buffer in self.buffers(track) {
                changed |= buffer.edit(|buffer| buffer.remove_before(at)).is_some();
            }
            if !changed {
                continue;
            }
            // Muxed sound may linger a segment longer: the brain hears of a segment when all of it is gone.
            let last = self
                .held
                .range((track, 0)..=(track, u64::MAX))
                .map(|((_, index), _)| *index)
                .take_while(|index| {
                    self.buffers(track).all(|buffer| buffer.look(|buffer| buffer.rung_of(*index).is_none()))
                })
                .last();
            if let Some(last) = last {
                self.held.retain(|(kind, index), _| *kind != track || *index > last);
                gone.push((track, last));
            }
        }
        gone
    }

    /// Drops all samples of a rung from segment `from` on: nothing here can decode them. Gives the downloads that
    /// brought them. The cursor goes back to `position`.
    pub(crate) fn drop_rung(
        &mut self,
        track: TrackKind,
        rung: RungId,
        from: u64,
        position: Duration,
    ) -> Vec<FetchId> {
        let concerned: Vec<(u64, FetchId)> = self
            .held
            .range((track, from)..=(track, u64::MAX))
            .filter(|(_, held)| held.rung == rung)
            .map(|((_, index), held)| (*index, held.id))
            .collect();
        for buffer in self.buffers(track) {
            buffer.edit(|buffer| {
                buffer.seek(nanos(position));
                for (index, _) in &concerned {
                    buffer.remove(*index);
                }
            });
        }
        for (index, _) in &concerned {
            self.held.remove(&(track, *index));
        }
        concerned.into_iter().map(|(_, id)| id).collect()
    }

    /// What is buffered of a track, from, to and rung.
    pub(crate) fn spans(&self, track: TrackKind) -> Vec<(Duration, Duration, usize)> {
        let Some(buffer) = self.buffers(track).next() else { return Vec::new() };
        let spans = buffer.look(TrackBuffer::spans);
        spans.iter().map(|span| (from_nanos(span.start), from_nanos(span.end), span.rung)).collect()
    }
}
