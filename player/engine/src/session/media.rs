//! Segments through the demuxers, onto the timeline, into the sample buffers.

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use tokio::sync::mpsc;
use weir_abr::{RungId, TrackKind, planner::FetchId};

use super::{
    input::{Input, Job},
    timeline::{Placed, Timeline, shift},
    units::{from_nanos, nanos},
};
use crate::{
    demux::{Batch, DemuxError, Demuxed, Demuxer, Growing, GstDemuxer, StreamKind},
    net::{Piece, Unlock},
    samples::{Inserted, Sample, Segment, SharedTrack, Tag, TrackBuffer},
};

/// Segments that may wait for a demuxer; one takes milliseconds, a download takes longer.
const JOBS: usize = 64;

/// Sound that may wait for the first picture of its discontinuity.
const PENDING: usize = 64;

/// Pieces of a download that may wait for the demuxer.
pub(crate) const PIECES: usize = 64;

/// What a demuxer has to do.
#[derive(Debug)]
enum Work {
    /// A segment that is here.
    Whole(Box<Job>),
    /// One that comes in pieces, and is given up when they end without [`Piece::End`].
    Growing(Box<Job>, mpsc::Receiver<Piece>),
}

/// A thread that takes segments of one track apart.
#[derive(Debug)]
struct Worker {
    jobs: mpsc::Sender<Work>,
}

impl Worker {
    fn start(track: TrackKind, inbox: mpsc::Sender<Input>) -> std::io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel::<Work>(JOBS);
        let name = match track {
            TrackKind::Video => "weir-demux-main",
            TrackKind::Audio => "weir-demux-snd",
        };
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut demuxer = None;
            while let Some(work) = waiting.blocking_recv() {
                let (job, result) = match work {
                    Work::Whole(mut job) => {
                        let result = demux(&mut demuxer, &mut job);
                        (job, result)
                    }
                    Work::Growing(job, pieces) => match demux_growing(&job, pieces, &inbox) {
                        Some(result) => (job, result),
                        None => continue,
                    },
                };
                if inbox.blocking_send(Input::Demuxed(job, result)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { jobs })
    }
}

/// Samples as a segment of the buffers.
fn segment_of(job: &Job, samples: Vec<Sample>) -> Segment {
    Segment {
        tag: Tag { segment: job.index, rung: job.rung.0 },
        start: nanos(job.segment.start),
        end: nanos(job.segment.start + job.segment.duration),
        samples,
    }
}

fn demux(demuxer: &mut Option<GstDemuxer>, job: &mut Job) -> Result<Demuxed, DemuxError> {
    let demuxer = match demuxer {
        Some(demuxer) => demuxer,
        None => demuxer.insert(GstDemuxer::new()?),
    };
    demuxer.append(job.init.as_ref(), std::mem::take(&mut job.media))
}

/// Takes a segment apart as its bytes come. `None` when it was given up.
fn demux_growing(
    job: &Job,
    mut pieces: mpsc::Receiver<Piece>,
    inbox: &mpsc::Sender<Input>,
) -> Option<Result<Demuxed, DemuxError>> {
    let mut growing: Option<Growing> = None;
    let mut unlock: Option<Unlock> = None;
    let mut waiting = Vec::new();
    loop {
        let Some(piece) = pieces.blocking_recv() else {
            // GStreamer's demuxers complain when they are torn down in the middle of something.
            if let Some(growing) = growing {
                let _ = growing.finish();
            }
            return None;
        };
        let mut next = Some(piece);
        // All that is here goes in before anything is taken out: each batch wakes the session.
        while let Some(piece) = next {
            match (piece, &mut growing) {
                (Piece::Prepared(init, key), growing) => {
                    unlock = key;
                    let growing = growing.insert(Growing::new(init));
                    for piece in waiting.drain(..) {
                        if let Err(error) = take(growing, unlock.as_mut(), piece) {
                            return Some(Err(error));
                        }
                    }
                }
                (piece @ (Piece::Data(_) | Piece::Cut), Some(growing)) => {
                    if let Err(error) = take(growing, unlock.as_mut(), piece) {
                        return Some(Err(error));
                    }
                }
                (piece @ (Piece::Data(_) | Piece::Cut), None) => waiting.push(piece),
                (Piece::End, growing) => {
                    let mut growing = growing.take()?;
                    if let Some(unlock) = unlock {
                        match unlock.finish() {
                            Ok(rest) => growing.push(rest),
                            Err(error) => return Some(Err(DemuxError::Corrupt(error.to_string()))),
                        }
                    }
                    return Some(growing.finish());
                }
            }
            next = pieces.try_recv().ok();
        }
        if let Some(batch) = growing.as_mut().and_then(Growing::take) {
            inbox.blocking_send(Input::Appended(job.id, Box::new(batch))).ok()?;
        }
    }
}

fn take(growing: &mut Growing, unlock: Option<&mut Unlock>, piece: Piece) -> Result<(), DemuxError> {
    let plain = match (piece, unlock) {
        (Piece::Data(bytes), Some(unlock)) => unlock.push(&bytes),
        (Piece::Data(bytes), None) => bytes,
        (Piece::Cut, Some(unlock)) => unlock.cut().map_err(|error| DemuxError::Corrupt(error.to_string()))?,
        (Piece::Cut | Piece::Prepared(..) | Piece::End, _) => return Ok(()),
    };
    if !plain.is_empty() {
        growing.push(plain);
    }
    Ok(())
}

/// A segment of which samples come while it is downloaded.
#[derive(Debug)]
struct Opened {
    job: Job,
    /// Streams that it says that it has.
    kinds: Vec<StreamKind>,
    /// What is not in the buffers yet.
    fresh: Option<Demuxed>,
    /// From its media time to the presentation's; `None` before its place is known.
    shift: Option<i64>,
    /// Up to where each stream is complete, nanoseconds.
    video_to: Option<i64>,
    sound_to: Option<i64>,
    /// What the brain was told last.
    told: Option<Duration>,
}

/// Adds the samples of `more` to those of `first`.
fn merge(first: Option<Demuxed>, more: Demuxed) -> Demuxed {
    let Some(mut first) = first else { return more };
    for stream in more.streams {
        match first.streams.iter_mut().find(|known| known.kind == stream.kind) {
            Some(known) => known.samples.extend(stream.samples),
            None => first.streams.push(stream),
        }
    }
    first.streams.sort_by_key(|stream| stream.kind != StreamKind::Video);
    first.damage = first.damage.or(more.damage);
    first
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
    open: BTreeMap<FetchId, Opened>,
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
            open: BTreeMap::new(),
            video: Arc::new(SharedTrack::new()),
            audio: Arc::new(SharedTrack::new()),
            has_video: false,
            has_sound: false,
            separate_audio: false,
            held: BTreeMap::new(),
            codecs: Vec::new(),
        }
    }

    /// How media time and the presentation's relate.
    pub(crate) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Hands a segment to its demuxer; `false` when that is not there or hopelessly behind.
    pub(crate) fn demux(&mut self, job: Box<Job>) -> bool {
        self.work(job.track, Work::Whole(job))
    }

    /// Has a segment taken apart while its `pieces` come.
    pub(crate) fn demux_growing(&mut self, job: Job, pieces: mpsc::Receiver<Piece>) -> bool {
        let id = job.id;
        let opened = Opened {
            job: job.clone(),
            kinds: Vec::new(),
            fresh: None,
            shift: None,
            video_to: None,
            sound_to: None,
            told: None,
        };
        let taken = self.work(job.track, Work::Growing(Box::new(job), pieces));
        if taken {
            self.open.insert(id, opened);
        }
        taken
    }

    /// A download was given up: what came of it stays, as a part that another one completes.
    pub(crate) fn give_up(&mut self, id: FetchId) {
        self.open.remove(&id);
    }

    fn work(&mut self, track: TrackKind, work: Work) -> bool {
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
        self.workers.get(&track).is_some_and(|worker| worker.jobs.try_send(work).is_ok())
    }

    /// Puts samples of a download under way into the buffers, as soon as it is known where they belong.
    pub(crate) fn append(&mut self, id: FetchId, batch: Batch) {
        let Some(opened) = self.open.get_mut(&id) else { return };
        opened.kinds = batch.kinds;
        opened.fresh = Some(merge(opened.fresh.take(), batch.demuxed));
    }

    /// Puts what can be placed into the buffers. Gives, for each download that got on, up to where it can be played.
    pub(crate) fn settle(&mut self) -> Vec<(FetchId, Duration)> {
        let mut settled = Vec::new();
        // The main track first: it may tell where sound belongs, whole segments that wait for that before those that grow.
        for track in [TrackKind::Video, TrackKind::Audio] {
            let growing = self.open.iter().filter(|(_, opened)| opened.job.track == track);
            for id in growing.map(|(id, _)| *id).collect::<Vec<_>>() {
                settled.extend(self.settle_one(id).map(|until| (id, until)));
            }
            self.place_pending();
        }
        settled
    }

    /// Puts sound that came before the main track told where it belongs; `true` when some of it came too late.
    fn place_pending(&mut self) -> bool {
        let mut late = false;
        for (job, demuxed) in std::mem::take(&mut self.pending) {
            late |= self.place(job, demuxed, false) == Outcome::TooLate;
        }
        late
    }

    fn settle_one(&mut self, id: FetchId) -> Option<Duration> {
        let mut opened = self.open.remove(&id)?;
        self.place_fresh(&mut opened);
        let until = self.reaches(&opened).filter(|until| opened.told.is_none_or(|told| told < *until));
        opened.told = until.or(opened.told);
        self.open.insert(id, opened);
        until
    }

    fn place_fresh(&mut self, opened: &mut Opened) {
        let Some(mut demuxed) = opened.fresh.take() else { return };
        match opened.shift {
            Some(by) => shift(&mut demuxed, by),
            None => {
                let main = opened.job.track == TrackKind::Video;
                let before = demuxed.start();
                if !self.tells(opened, &demuxed)
                    || self.timeline.place(&opened.job.segment, &mut demuxed, main) == Placed::NotYet
                {
                    opened.fresh = Some(demuxed);
                    return;
                }
                opened.shift = before.zip(demuxed.start()).map(|(before, after)| before - after);
            }
        }
        self.put(opened, demuxed);
    }

    /// Whether what has come of a segment is enough to find its place.
    fn tells(&self, opened: &Opened, demuxed: &Demuxed) -> bool {
        let has = |kind: StreamKind| demuxed.streams.iter().any(|stream| stream.kind == kind);
        if opened.job.track != TrackKind::Video {
            return true;
        }
        // The pipeline is made for the streams that the first segment has.
        let known = self.has_video || self.has_sound;
        if !(known || opened.kinds.iter().all(|kind| has(*kind))) {
            return false;
        }
        if self.timeline.knows(&opened.job.segment) || !opened.kinds.contains(&StreamKind::Video) {
            return true;
        }
        // Its first picture anchors all: the one that is shown first may be decoded third.
        let video = demuxed.streams.iter().find(|stream| stream.kind == StreamKind::Video);
        video.is_some_and(|video| {
            let first = video.samples.iter().map(|sample| sample.pts).min();
            video.samples.last().zip(first).is_some_and(|(last, first)| last.dts >= first)
        })
    }

    /// Puts placed samples into the buffers.
    fn put(&mut self, opened: &mut Opened, mut demuxed: Demuxed) {
        let main = opened.job.track == TrackKind::Video;
        let (video, sound) = self.take_streams(main, &mut demuxed);
        let source = opened.job.id.0;
        // Whatever comes later is decoded after the last one, and shown no sooner than it is decoded.
        if let Some(last) = video.as_ref().and_then(|samples| samples.last()) {
            opened.video_to = Some(last.dts.saturating_add(last.duration));
        }
        if let Some(last) = sound.as_ref().and_then(|samples| samples.last()) {
            opened.sound_to = Some(last.end());
        }
        if let Some(samples) = video {
            self.video.edit(|buffer| buffer.append(segment_of(&opened.job, samples), source));
        }
        if let Some(samples) = sound {
            self.audio.edit(|buffer| buffer.append(segment_of(&opened.job, samples), source));
        }
    }

    /// Up to where a download under way can be played.
    fn reaches(&self, opened: &Opened) -> Option<Duration> {
        opened.shift?;
        let ends = match opened.job.track {
            TrackKind::Audio => [Some(opened.sound_to), None],
            TrackKind::Video => {
                [self.has_video.then_some(opened.video_to), self.has_sound.then_some(opened.sound_to)]
            }
        };
        // A stream that has brought nothing yet holds the others back.
        let ends: Option<Vec<i64>> = ends.into_iter().flatten().collect();
        ends?.into_iter().min().map(from_nanos)
    }

    /// Takes the streams that are played out of a segment: pictures, sound.
    fn take_streams(
        &mut self,
        main: bool,
        demuxed: &mut Demuxed,
    ) -> (Option<Vec<Sample>>, Option<Vec<Sample>>) {
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
        if main && sound.is_some() && !std::mem::replace(&mut self.has_sound, true) {
            // It may begin segments after the pictures: before it there is silence, not something to wait for.
            let silent: Vec<u64> =
                self.held.keys().filter(|(of, _)| *of == TrackKind::Video).map(|(_, index)| *index).collect();
            self.audio.edit(|buffer| {
                for index in silent {
                    if let Some((start, end)) = self.video.look(|video| video.nominal(index)) {
                        buffer.skip(index, start, end);
                    }
                }
            });
        }
        (video, sound)
    }

    /// The last of a segment that came in pieces.
    fn close(&mut self, mut opened: Opened, mut rest: Demuxed, by: i64) -> Outcome {
        let job = &opened.job;
        if self.held.get(&(job.track, job.index)).is_none_or(|held| held.id != job.id) {
            return Outcome::Unwanted;
        }
        let (index, source, track) = (job.index, job.id.0, job.track);
        shift(&mut rest, by);
        let rest = merge(opened.fresh.take(), rest);
        self.put(&mut opened, rest);
        let mut outcome = Outcome::Buffered;
        for buffer in self.buffers(track) {
            let inserted = buffer.edit(|buffer| {
                if buffer.grows(index, source) {
                    return buffer.finish(index, source);
                }
                // A stream that is missing from one segment is a hole in its buffer.
                buffer.insert(segment_of(&opened.job, Vec::new()))
            });
            if inserted == Inserted::TooLate {
                outcome = Outcome::TooLate;
            }
        }
        outcome
    }

    /// Puts a segment, or the rest of one, into the buffers.
    pub(crate) fn insert(&mut self, job: Box<Job>, demuxed: Demuxed) -> Outcome {
        let main = job.track == TrackKind::Video;
        let mut outcome = match self.open.remove(&job.id) {
            Some(opened) => match opened.shift {
                Some(by) => self.close(opened, demuxed, by),
                None => self.place(job, merge(opened.fresh, demuxed), main),
            },
            None => self.place(job, demuxed, main),
        };
        // The main track may just have told where sound that came before it belongs.
        if self.place_pending() && outcome == Outcome::Pending {
            outcome = Outcome::TooLate;
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
        let (video, sound) = self.take_streams(main, &mut demuxed);
        let segment = |samples| segment_of(&job, samples);
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
        // Which streams there are may not be known yet; what nobody reads does no harm.
        let video = (track == TrackKind::Video).then_some(&self.video);
        let sound = (track == TrackKind::Audio || !self.separate_audio).then_some(&self.audio);
        for buffer in video.into_iter().chain(sound) {
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

    /// Other sound takes the place of what is buffered: in segments of its own, or with the pictures, which come again then.
    pub(crate) fn change_sound(&mut self, separate: bool) {
        self.audio.edit(TrackBuffer::clear);
        self.pending.clear();
        if separate {
            self.held.retain(|(kind, _), _| *kind != TrackKind::Audio);
        } else {
            self.video.edit(TrackBuffer::clear);
            self.open.clear();
            self.held.clear();
        }
        self.separate_audio = separate;
        self.has_sound = false;
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
        self.open.retain(|_, opened| opened.job.track != track || opened.job.rung != rung);
        for buffer in self.buffers(track) {
            buffer.edit(|buffer| {
                buffer.seek(nanos(position));
                buffer.remove_parts(rung.0);
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
