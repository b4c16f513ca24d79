//! Downloads under way, from the brain's command to the demuxer.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};
use weir_abr::{
    RungId, TrackKind,
    planner::{Event, Failure, FetchId},
    record::{self, Curve},
};
use weir_manifest::{Lookup, model::Segment};

use super::{
    Session,
    input::{Input, Job},
    media::{Held, PIECES},
    trouble,
};
use crate::{
    demux::InitSegment,
    log::{millis, round, seconds},
    net::{Growth, NetError, Piece, Progress, SegmentBody},
};

/// A segment that takes longer than this in all, and a multiple of its length, is given up: a server that sends a byte
/// now and then is as good as dead.
const LONGEST: Duration = Duration::from_secs(60);

/// A segment that is not listed yet is waited for so long, beside three target durations.
const LISTING: Duration = Duration::from_secs(5);

/// One download.
#[derive(Debug)]
pub(crate) struct Transfer {
    track: TrackKind,
    index: u64,
    rung: RungId,
    replace: bool,
    /// When the brain asked for it.
    asked: Duration,
    /// When the request went out; `None` while its playlist is being loaded.
    started: Option<Duration>,
    first_byte: Option<Duration>,
    bytes: u64,
    curve: Curve,
    segment: Option<Box<Segment>>,
    /// Tells the download what the playlists say of a segment that is still being made.
    growth: Option<watch::Sender<Growth>>,
    task: Option<AbortHandle>,
}

impl Transfer {
    pub(crate) fn is_for(&self, track: TrackKind) -> bool {
        self.track == track
    }

    /// The record of its untimely end.
    fn aborted(self, at: Duration, reason: String) -> record::Event {
        let since = |from: Duration, to: Duration| millis(to.saturating_sub(from));
        record::Event::Abort {
            track: self.track,
            index: self.index,
            rung: self.rung,
            bytes: self.bytes,
            reason,
            ms: self.started.map(|started| since(started, at)),
            ttfb_ms: self.started.zip(self.first_byte).map(|(started, first)| since(started, first)),
            progress: self.curve.into_points(),
        }
    }
}

/// All downloads.
pub(crate) type Transfers = HashMap<FetchId, Transfer>;

impl Session {
    /// The brain wants a segment.
    pub(crate) fn fetch(&mut self, id: FetchId, track: TrackKind, index: u64, rung: RungId, replace: bool) {
        if track == TrackKind::Video {
            self.view.loading = Some(rung);
        } else {
            self.view.audio_loading = Some(rung);
        }
        let asked = self.now();
        self.transfers.insert(
            id,
            Transfer {
                track,
                index,
                rung,
                replace,
                asked,
                started: None,
                first_byte: None,
                bytes: 0,
                curve: Curve::default(),
                segment: None,
                growth: None,
                task: None,
            },
        );
        self.start_transfer(id);
    }

    /// Sends the request of a download, as soon as it is known what to request.
    fn start_transfer(&mut self, id: FetchId) {
        let manifest_now = self.manifest_now();
        let now = self.now();
        let (Some(transfer), Some(catalog)) = (self.transfers.get_mut(&id), &self.catalog) else { return };
        let waited = now.saturating_sub(transfer.asked);
        if catalog.is_apart(transfer.track, transfer.rung) {
            // Its numbers mean other pieces of the film.
            self.transfers.remove(&id);
            self.feed(Event::TransferFailed(id, Failure::Unplayable));
            return;
        }
        let segment = match catalog.segment(transfer.track, transfer.rung, transfer.index, manifest_now) {
            Lookup::Ready(segment) if !segment.gap => Box::new(segment.clone()),
            Lookup::Load(request) => {
                self.load(request);
                return;
            }
            Lookup::Later(_)
                if waited < LISTING + catalog.presentation().target_duration.saturating_mul(3) =>
            {
                // Looked at again with each tick and each change.
                return;
            }
            Lookup::Ready(_) | Lookup::Later(_) | Lookup::Gone => {
                self.transfer_failed(id, Failure::Status(404));
                return;
            }
        };
        transfer.started = Some(now);
        transfer.segment = Some(segment.clone());
        let request = record::Event::Request {
            track: Some(transfer.track),
            index: Some(transfer.index),
            rung: Some(transfer.rung),
            url: self.http.mirrors.first(&segment.media.url, Instant::now()).to_string(),
        };
        // What replaces something is put in when it is complete; all else is played while it comes.
        let pieces = if transfer.replace {
            None
        } else {
            let (pieces, waiting) = mpsc::channel(PIECES);
            let job = Job {
                id,
                track: transfer.track,
                index: transfer.index,
                rung: transfer.rung,
                segment: segment.clone(),
                init: None,
                media: Bytes::new(),
            };
            if !self.media.demux_growing(job, waiting) {
                self.transfer_failed(id, Failure::Corrupt);
                return;
            }
            Some(pieces)
        };
        let growing = segment.growing;
        let (growth, grows) = watch::channel(Growth::of(&segment));
        transfer.growth = growing.then_some(growth);
        let (fetcher, inbox) = (self.fetcher.clone(), self.inbox.clone());
        let task = self.runtime.spawn(async move {
            let progress = |step| {
                // The next one says more: nothing is lost when there is no room.
                let _ = inbox.try_send(Input::Progress(id, Instant::now(), step));
            };
            let longest = LONGEST + segment.duration.saturating_mul(20);
            let fetch = async {
                match &pieces {
                    Some(pieces) => fetcher.stream(&segment, progress, pieces.clone(), grows).await,
                    None => fetcher.fetch(&segment, progress).await,
                }
            };
            let result = tokio::time::timeout(longest, fetch).await;
            let result = result.unwrap_or_else(|_| Err(NetError::too_slow(&segment.media.url, longest)));
            let complete = result.is_ok();
            // The session is gone when this fails, and nobody asks.
            let _ = inbox.send(Input::Fetched(id, Instant::now(), result)).await;
            // Behind the news that it is complete, so that what the demuxer makes of the rest comes after that too.
            if let Some(pieces) = pieces.filter(|_| complete) {
                let _ = pieces.send(Piece::End).await;
            }
        });
        transfer.task = Some(task.abort_handle());
        self.note(request);
        self.feed(Event::TransferStarted(id));
        if growing {
            // It comes when it is made.
            self.feed(Event::TransferIdle(id));
        }
    }

    /// Tells the downloads of segments that are still being made what is listed of them now.
    pub(crate) fn tell_growth(&self) {
        let Some(catalog) = &self.catalog else { return };
        let now = self.manifest_now();
        for transfer in self.transfers.values() {
            let Some(growth) = &transfer.growth else { continue };
            let news = match catalog.segment(transfer.track, transfer.rung, transfer.index, now) {
                Lookup::Ready(segment) => Growth::of(segment),
                Lookup::Gone => growth.borrow().gone(),
                Lookup::Load(_) | Lookup::Later(_) => continue,
            };
            growth.send_if_modified(|growth| {
                let new = *growth != news;
                *growth = news;
                new
            });
        }
    }

    /// Looks again at the downloads whose segment was not listed.
    pub(crate) fn start_waiting(&mut self) {
        let waiting: Vec<_> = self
            .transfers
            .iter()
            .filter(|(_, transfer)| transfer.started.is_none())
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.start_transfer(id);
        }
    }

    /// Downloads that wait for the playlist at `place` fail with it.
    pub(crate) fn fail_waiting(&mut self, place: super::catalog::Place, failure: Failure) {
        let Some(catalog) = &self.catalog else { return };
        let waiting: Vec<_> = self
            .transfers
            .iter()
            .filter(|(_, transfer)| {
                transfer.started.is_none() && catalog.place(transfer.track, transfer.rung) == Some(place)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.transfer_failed(id, failure);
        }
    }

    fn transfer_failed(&mut self, id: FetchId, failure: Failure) {
        if let Some(transfer) = self.transfers.remove(&id) {
            let reason =
                format!("{} segment {} could not be had: {failure:?}", name(transfer.track), transfer.index);
            self.note_trouble(trouble::view("segment_unlisted", reason, "Check the stream's playlists."));
            self.feed(Event::TransferFailed(id, failure));
        }
    }

    /// A download got on.
    pub(crate) fn progress(&mut self, id: FetchId, at: Instant, step: Progress) {
        let at = self.since_start(at);
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        match step {
            Progress::Head(size) => {
                transfer.first_byte = Some(at);
                self.feed_at(at, Event::FirstByte(id));
                if let Some(size) = size {
                    self.feed_at(at, Event::TransferSize(id, size));
                }
            }
            Progress::Idle => self.feed_at(at, Event::TransferIdle(id)),
            Progress::Bytes(bytes) => {
                self.view.received += bytes.saturating_sub(transfer.bytes);
                transfer.bytes = bytes;
                if let Some(started) = transfer.started {
                    transfer.curve.add(millis(at.saturating_sub(started)), bytes);
                }
                self.feed_at(at, Event::TransferProgress(id, bytes));
            }
        }
    }

    /// A download came to its end.
    pub(crate) fn fetched(&mut self, id: FetchId, at: Instant, result: Result<SegmentBody, NetError>) {
        let at = self.since_start(at);
        let Some(transfer) = self.transfers.remove(&id) else { return };
        let body = match result {
            Ok(body) => body,
            Err(error) => {
                let doing = format!("loading {} segment {}", name(transfer.track), transfer.index);
                self.media.give_up(id);
                if transfer.bytes > 0 {
                    self.note_at(at, transfer.aborted(at, error.to_string()));
                }
                self.note_trouble(trouble::net(&doing, &error));
                self.feed_at(at, Event::TransferFailed(id, error.failure()));
                return;
            }
        };
        let growing = !transfer.replace;
        let (Some(segment), Some(started)) = (transfer.segment, transfer.started) else { return };
        self.view.received += body.transferred.saturating_sub(transfer.bytes);
        self.recovered();
        if let Some(doubt) = &body.doubt {
            let doing = format!("loading {} segment {}", name(transfer.track), transfer.index);
            let trouble = trouble::net(&doing, doubt);
            self.view.skipped = Some((transfer.track, transfer.index, trouble.what.clone()));
            self.note_trouble(trouble);
        }
        let held = Held { id, rung: transfer.rung };
        self.media.held.insert((transfer.track, transfer.index), held);
        self.feed_at(at, Event::TransferDone(id, body.transferred));
        let first_byte = transfer.first_byte.unwrap_or(started + body.first_byte);
        let kbps = self.kbps(transfer.track, transfer.rung);
        let sized = self.is_sized(transfer.track, transfer.index);
        self.note_at(
            at,
            record::Event::Segment {
                track: transfer.track,
                index: transfer.index,
                rung: transfer.rung,
                kbps,
                bytes: body.transferred,
                ms: millis(at.saturating_sub(started)),
                ttfb_ms: millis(first_byte.saturating_sub(started)),
                start_s: seconds(segment.start),
                duration_s: seconds(segment.duration),
                replaced: transfer.replace,
                buffer_s: seconds(self.planner.buffer_level()),
                sized,
                progress: transfer.curve.into_points(),
            },
        );
        if growing {
            // The demuxer has it.
            return;
        }
        let job = Box::new(Job {
            id,
            track: transfer.track,
            index: transfer.index,
            rung: transfer.rung,
            segment,
            init: body.init.map(|bytes| InitSegment { bytes: bytes.as_ref().clone() }),
            media: body.media,
        });
        if !self.media.demux(job) {
            self.feed(Event::TransferFailed(id, Failure::Corrupt));
        }
    }

    /// The brain gives a download up.
    pub(crate) fn abandon(&mut self, id: FetchId, reason: String) {
        let Some(transfer) = self.transfers.remove(&id) else { return };
        if let Some(task) = &transfer.task {
            task.abort();
        }
        self.media.give_up(id);
        let now = self.now();
        self.note_at(now, transfer.aborted(now, reason));
    }

    /// Stops everything.
    pub(crate) fn abandon_all(&mut self) {
        for (id, transfer) in self.transfers.drain() {
            self.media.give_up(id);
            if let Some(task) = transfer.task {
                task.abort();
            }
        }
    }

    /// The brain knew the segment's sizes before it was asked for.
    fn is_sized(&self, track: TrackKind, index: u64) -> bool {
        let track = self.catalog.as_ref().and_then(|catalog| catalog.track(track));
        track.and_then(|track| track.segment(index)).is_some_and(|segment| !segment.sizes.is_empty())
    }

    /// Bitrate of a rung, in kbit/s.
    pub(crate) fn kbps(&self, track: TrackKind, rung: RungId) -> f64 {
        self.catalog
            .as_ref()
            .and_then(|catalog| catalog.track(track))
            .map_or(0.0, |track| round(track.ladder.rung(rung).bitrate.kbps()))
    }
}

/// What people call a track.
pub(crate) fn name(track: TrackKind) -> &'static str {
    match track {
        TrackKind::Video => "video",
        TrackKind::Audio => "audio",
    }
}
