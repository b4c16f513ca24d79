//! Whether pictures move: the brain's commands, the pipeline's news, the viewer's pauses.

use std::time::Duration;

use tokio::sync::mpsc;
use weir_abr::{
    RungId, TrackKind,
    planner::{Event, Failure},
    record,
};

use super::{Session, transfers, trouble};
use crate::{
    demux::StreamKind,
    log::{millis, round, seconds},
    playback::{self, FrameCounts, Playback, Tracks},
    player::ErrorView,
};

/// Events of the pipeline that may wait.
const EVENTS: usize = 256;

/// Playback that should move and does not is helped on after so long.
const STUCK: Duration = Duration::from_secs(4);

/// A pipeline that shows nothing for so long after it was told where to begin never will.
const FIRST_PICTURE: Duration = Duration::from_secs(30);

/// So far it is then moved: past a damaged picture, not past a scene.
const NUDGE: Duration = Duration::from_millis(200);

/// An end of this length that is missing is a failure, a shorter one a remark.
const MUCH: Duration = Duration::from_secs(10);

/// So often, then it is given up.
const NUDGES: u32 = 6;

/// The picture that is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Showing {
    pub(crate) rung: RungId,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// What playback is doing.
#[derive(Debug, Default)]
pub(crate) struct Playing {
    /// The brain said start, at this place.
    pub(crate) start: Option<Duration>,
    /// When the pipeline was told where to begin.
    prepared: Option<Duration>,
    /// It plays sound.
    sound: bool,
    /// The first picture (or sound) was there.
    pub(crate) visible: bool,
    pub(crate) paused: bool,
    /// Since when it stalls.
    stalled: Option<Duration>,
    /// A decoder gave up: a flush is needed to go on.
    broken: bool,
    pub(crate) ended: bool,
    /// What the pipeline was told last.
    running: bool,
    pub(crate) showing: Option<Showing>,
    pub(crate) position: Duration,
    /// Since when the position has not moved, and how often it was helped on.
    still_since: Option<Duration>,
    nudges: u32,
    pub(crate) counts: FrameCounts,
    told_counts: FrameCounts,
}

impl Playing {
    /// A flush is on its way.
    pub(crate) fn clear_broken(&mut self) {
        self.broken = false;
    }
}

impl Session {
    /// The brain wants playback to begin.
    pub(crate) fn start(&mut self, position: Duration) {
        self.playing.start = Some(position);
        self.playing.position = position;
        // A jump from before the first picture has no answer of its own: this is it.
        self.seek_starts();
        self.prepare();
        self.drive();
    }

    /// Sets the pipeline up as soon as there is a place to start at and it is known what streams there are.
    pub(crate) fn prepare(&mut self) {
        let Some(mut position) = self.playing.start else { return };
        if !(self.media.has_video || self.media.has_sound) {
            return;
        }
        let sound = self.media.has_sound || self.media.separate_audio;
        if self.playing.prepared.is_some() {
            if !sound || self.playing.sound {
                return;
            }
            // The first sound comes with a later segment than the first picture: the pipeline was made without it.
            position = self.position();
            drop(self.shared.set_playback(None));
            self.media.video.edit(|buffer| buffer.seek(super::units::nanos(position)));
            self.playing.running = false;
        }
        self.playing.sound = sound;
        let tracks = Tracks {
            video: self.media.has_video.then(|| self.media.video.clone()),
            audio: sound.then(|| self.media.audio.clone()),
        };
        let options = playback::Options {
            headless: self.options.headless,
            measure_sync: self.options.measure_sync,
            rgba_height: self.rgba_height,
            top_height: self.catalog.as_ref().and_then(super::catalog::Catalog::top_height),
            volume: self.volume,
            muted: self.muted,
            rate: self.rate,
        };
        let (events, receiver) = mpsc::channel(EVENTS);
        match Playback::new(options, tracks, events, self.shared.wake.clone()) {
            Ok(playback) => {
                playback.prepare(position);
                self.playback_events = Some(receiver);
                self.shared.set_playback(Some(playback));
                self.playing.prepared = Some(self.now());
                self.drive();
            }
            Err(error) => {
                let advice = "Check the installation of GStreamer 1.22 or newer and its plug-ins.";
                self.fail(trouble::view("playback_setup", error.to_string(), advice));
            }
        }
    }

    /// Lets the clock run or holds it, as everything together says.
    pub(crate) fn drive(&mut self) {
        if self.playing.prepared.is_none() {
            return;
        }
        let run = !self.playing.paused
            && self.playing.stalled.is_none()
            && !self.playing.ended
            && !self.playing.broken
            && !self.waits_for_seek()
            && !self.is_over();
        if run != self.playing.running {
            self.playing.running = run;
            self.playing.still_since = None;
            self.shared.playback(|playback| if run { playback.play() } else { playback.hold() });
        }
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.playing.stalled.is_some()
    }

    /// The brain says that the buffer ran dry.
    pub(crate) fn stall(&mut self) {
        let now = self.now();
        if self.playing.stalled.is_none() {
            self.playing.stalled = Some(now);
            self.edge_asked = false;
            self.drive();
            let pos_s = seconds(self.position());
            self.note(record::Event::StallStart { pos_s });
        }
    }

    /// The brain says that enough is buffered again.
    pub(crate) fn resume(&mut self) {
        self.end_stall();
        if std::mem::take(&mut self.playing.broken) {
            let position = self.playing.position;
            self.shared.playback(|playback| playback.seek(position, true));
        }
        self.drive();
    }

    /// A stall is over: there is media again, or the viewer went elsewhere.
    pub(crate) fn end_stall(&mut self) {
        let Some(since) = self.playing.stalled.take() else { return };
        let ms = millis(self.now().saturating_sub(since));
        let pos_s = seconds(self.position());
        self.note(record::Event::StallEnd { pos_s, ms });
    }

    /// The viewer pauses or goes on.
    pub(crate) fn set_paused(&mut self, paused: bool) {
        if paused == self.playing.paused {
            return;
        }
        self.playing.paused = paused;
        self.drive();
        let pos_s = seconds(self.position());
        self.note(record::Event::Paused { paused, pos_s });
        if !paused {
            self.went_on();
        }
        self.feed(Event::Paused(paused));
    }

    /// Where playback is; the last known place when the pipeline does not say.
    pub(crate) fn position(&self) -> Duration {
        self.shared.playback(Playback::position).flatten().unwrap_or(self.playing.position)
    }

    /// The pipeline has news.
    pub(crate) fn playback_event(&mut self, event: playback::Event) {
        match event {
            playback::Event::FirstFrame { height } => self.first_picture(height),
            playback::Event::Showing { rung, width, height, position, .. } => {
                self.showing(Showing { rung: RungId(rung), width, height }, position);
            }
            playback::Event::Seeked { position } => {
                self.playing.position = position;
                self.playing.still_since = None;
                if !self.media.has_video {
                    self.first_picture(0);
                }
                self.seeked(position);
                self.feed(Event::Playhead(position));
            }
            playback::Event::Skipped { kind, from, to } => {
                tracing::info!(?kind, ?from, ?to, "jumped over a hole");
                let position = self.position();
                self.feed(Event::Playhead(position));
            }
            playback::Event::Ended => self.reached_end(),
            playback::Event::DecodeError { kind, message, missing, rung } => {
                self.decode_error(kind, message, missing.as_deref(), rung);
            }
            playback::Event::AudioDeviceLost { message } => {
                let advice = "Plug the sound device in again, or choose another one; pictures go on.";
                self.note_trouble(trouble::view("audio_device_lost", message, advice));
            }
            playback::Event::Sync { flash, beep } => self.note(record::Event::Sync {
                flash_s: seconds(flash),
                beep_s: seconds(beep),
                offset_ms: round((beep.as_secs_f64() - flash.as_secs_f64()) * 1000.0),
            }),
            playback::Event::Failed { message } => {
                let advice = "Open the stream again; if it stays, check it with `weir inspect`.";
                self.fail(trouble::view("playback_failed", message, advice));
            }
        }
    }

    fn first_picture(&mut self, height: u32) {
        if !std::mem::replace(&mut self.playing.visible, true) {
            self.note(record::Event::FirstFrame { height });
        }
    }

    /// The picture at the sink comes from elsewhere than the one before.
    fn showing(&mut self, showing: Showing, position: Duration) {
        let before = self.playing.showing.replace(showing);
        if let Some(before) = before.filter(|before| before.rung != showing.rung) {
            let (from_kbps, to_kbps) =
                (self.kbps(TrackKind::Video, before.rung), self.kbps(TrackKind::Video, showing.rung));
            self.note(record::Event::Switch { from_kbps, to_kbps, pos_s: seconds(position) });
        }
        self.view.changed = true;
    }

    fn reached_end(&mut self) {
        if self.is_live() || std::mem::replace(&mut self.playing.ended, true) {
            return;
        }
        self.end_stall();
        if let Some((lost, much)) = self.lost_end() {
            if much {
                self.fail(lost);
                return;
            }
            self.note_trouble(lost);
        }
        self.drive();
        let pos_s = seconds(self.position());
        self.note(record::Event::Ended { pos_s });
        self.feed(Event::ReachedEnd);
        // A window stays open for a seek back; without one there is nobody to seek.
        self.done |= self.options.headless;
    }

    /// What there is to say when the end of the stream could not be had, and whether that is much of it.
    fn lost_end(&self) -> Option<(ErrorView, bool)> {
        let (track, index, reason) = self.view.skipped.as_ref()?;
        let catalog = self.catalog.as_ref()?;
        let duration = catalog.duration().filter(|_| catalog.last(*track) == Some(*index))?;
        let position = self.position();
        let missing = duration.saturating_sub(position);
        if missing < Duration::from_millis(500) {
            return None;
        }
        let what = format!(
            "the end of the stream, its last {:.1} s, could not be had: {reason}",
            missing.as_secs_f64()
        );
        let last = self.view.last_trouble.as_ref();
        let code = last.map_or("segment_unlisted", |last| last.code.as_str());
        let advice =
            "Try again later, or ask who publishes the stream: its last segments are missing or damaged.";
        Some((trouble::view(code, what, advice), missing >= MUCH || missing * 5 >= duration))
    }

    /// Nothing here can decode a rung: the brain goes on with others, if there are any.
    fn decode_error(
        &mut self,
        kind: StreamKind,
        message: String,
        missing: Option<&str>,
        rung: Option<usize>,
    ) {
        let position = self.position();
        let track = match kind {
            StreamKind::Audio if self.media.separate_audio => TrackKind::Audio,
            StreamKind::Video | StreamKind::Audio => TrackKind::Video,
        };
        let advice = match missing {
            Some(codec) => format!("Install a GStreamer decoder for {codec}, or choose another quality."),
            None => "Choose another quality, or another stream.".to_owned(),
        };
        let view = trouble::view("codec_unplayable", message, &advice);
        if kind == StreamKind::Audio && self.takes_sound_back(&view) {
            return;
        }
        let rung = rung.map(RungId).or(match track {
            TrackKind::Video => self.playing.showing.map(|showing| showing.rung),
            TrackKind::Audio => self.view.audio_loading,
        });
        let index = self.catalog.as_ref().and_then(|catalog| catalog.track(track)?.index_at(position));
        let (Some(rung), Some(index)) = (rung, index) else {
            self.fail(view);
            return;
        };
        self.playing.broken = true;
        self.playing.position = position;
        self.drive();
        let dropped = self.media.drop_rung(track, rung, index, position);
        tracing::warn!(track = transfers::name(track), rung = rung.0, what = %view.what, "cannot be decoded");
        if dropped.is_empty() {
            self.fail(view);
            return;
        }
        self.note_trouble(view);
        for id in dropped {
            self.feed(Event::TransferFailed(id, Failure::Unplayable));
        }
    }

    /// Looks at the pipeline: place, frames, whether it moves.
    pub(crate) fn look_at_playback(&mut self) {
        let now = self.now();
        let Some((position, counts)) =
            self.shared.playback(|playback| (playback.position(), playback.stats()))
        else {
            return;
        };
        self.playing.counts = counts;
        let silent = self.playing.prepared.filter(|_| !self.playing.visible && !self.playing.broken);
        if silent.is_some_and(|since| now.saturating_sub(since) >= FIRST_PICTURE) {
            let what = format!("no picture came from the decoder within {} s", FIRST_PICTURE.as_secs());
            let advice =
                "Choose another quality; check the stream with `weir inspect` and the installed decoders.";
            self.fail(trouble::view("playback_stuck", what, advice));
            return;
        }
        let Some(position) = position.filter(|_| self.playing.visible && !self.is_seeking()) else { return };
        let before = std::mem::replace(&mut self.playing.position, position);
        let moved = position.saturating_sub(before);
        if moved > Duration::ZERO {
            self.playing.nudges = 0;
        }
        if self.playing.running {
            self.feed(Event::Playhead(position));
        }
        self.watch(now, moved > Duration::ZERO);
    }

    /// Helps playback on that stands although it should move: a wait without a bound is a hang.
    fn watch(&mut self, now: Duration, moved: bool) {
        if moved || !self.playing.running {
            self.playing.still_since = None;
            return;
        }
        let since = *self.playing.still_since.get_or_insert(now);
        if now.saturating_sub(since) < STUCK {
            return;
        }
        self.playing.still_since = None;
        let position = self.playing.position;
        let end = self.catalog.as_ref().and_then(super::catalog::Catalog::duration);
        if end.is_some_and(|end| position + Duration::from_millis(500) >= end) {
            tracing::warn!(?position, "the pipeline did not say that it reached the end");
            self.reached_end();
            return;
        }
        self.playing.nudges += 1;
        if self.playing.nudges > NUDGES {
            let what = format!("playback stands at {:.1} s and cannot be moved on", position.as_secs_f64());
            let advice = "The stream may be damaged there: seek past it, or check it with `weir inspect`.";
            self.fail(trouble::view("playback_stuck", what, advice));
            return;
        }
        let to = position + NUDGE * self.playing.nudges;
        tracing::warn!(?position, ?to, "playback stands: moving it on");
        self.note(record::Event::Error {
            fatal: false,
            code: "playback_stood".to_owned(),
            reason: format!("playback stood at {:.3} s and was moved on", position.as_secs_f64()),
        });
        self.shared.playback(|playback| playback.seek(to, true));
    }

    /// Tells the brain of frames that came too late.
    pub(crate) fn tell_drops(&mut self) {
        let (now, told) = (self.playing.counts, self.playing.told_counts);
        self.playing.told_counts = now;
        let dropped = now.dropped.saturating_sub(told.dropped);
        let total = dropped + now.shown.saturating_sub(told.shown);
        if total > 0 {
            let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
            self.feed(Event::DroppedFrames { dropped: small(dropped), total: small(total) });
        }
    }
}
