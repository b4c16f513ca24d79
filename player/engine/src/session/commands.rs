//! To and from the brain: events in, commands carried out; news and wishes on their way to it.

use std::time::Duration;

use weir_abr::{
    TrackKind,
    planner::{Command, Event, Failure, QualityChoice},
    record,
};

use super::{Session, input::Input, media::Outcome, transfers, trouble};
use crate::{
    log::{round, seconds},
    player::ErrorView,
};

impl Session {
    /// Something happened that the brain should know of.
    pub(super) fn feed(&mut self, event: Event) {
        let now = self.now();
        self.feed_at(now, event);
    }

    pub(super) fn feed_at(&mut self, at: Duration, event: Event) {
        self.newest = self.newest.max(at);
        self.events.push_back((self.newest, event));
    }

    /// Lets the brain think about what happened, and does what it says.
    pub(super) fn think(&mut self) {
        while let Some((at, event)) = self.events.pop_front() {
            self.planner.handle(at, event);
            while let Some(command) = self.planner.poll(at) {
                self.carry_out(command);
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Fetch { id, track, index, rung, replace, decision } => {
                let now = self.now();
                self.view.decided(now, &decision);
                self.note(record::Event::Decision {
                    track,
                    index,
                    rung,
                    estimate_kbps: decision.estimate.map(|estimate| round(estimate.kbps())),
                    buffer_s: seconds(decision.buffer),
                    rule: decision.rule.to_owned(),
                    reason: decision.reason,
                    scores: decision.scores.into_iter().map(round).collect(),
                });
                self.fetch(id, track, index, rung, replace);
            }
            Command::Abandon { id, reason } => self.abandon(id, reason),
            Command::Skip { track, index, reason } => {
                if let Some(times) = self.catalog.as_ref().and_then(|catalog| catalog.times(track, index)) {
                    self.media.skip(track, index, times);
                    self.tell_appended();
                }
                self.view.skipped = Some((track, index, reason.clone()));
                self.note(record::Event::Skip { track, index, reason });
            }
            Command::Start { position } => {
                self.note(record::Event::Start { pos_s: seconds(position) });
                self.start(position);
            }
            Command::Stall => self.stall(),
            Command::Resume => self.resume(),
            Command::SeekReady { position } => self.seek_ready(position),
            Command::SetRate(rate) => {
                self.shared.playback(|playback| playback.drift(rate));
                self.note(record::Event::Rate { rate });
            }
            Command::Fail { reason } => {
                // The brain knows what it gave up, the last failure why.
                let view = match self.view.last_trouble.take() {
                    // No decoder helps, whatever the brain makes of it.
                    Some(last) if last.code == "drm_protected" => last,
                    Some(last) => ErrorView { what: format!("{reason} Last: {}", last.what), ..last },
                    None => trouble::view("unplayable", reason, "Open the stream again, or choose another."),
                };
                self.fail(view);
            }
            Command::WakeAt(at) => self.wake = Some(at),
        }
    }

    pub(super) fn take_in(&mut self, input: Input) {
        match input {
            Input::Manifest(result) => self.manifest(result),
            Input::Listed(request, result) => self.listed(&request, result),
            Input::Retrying(error) => self.note_trouble(trouble::net("loading a playlist", &error)),
            Input::Clock(error) => self.clock(error),
            Input::Steered(result) => self.steered(result),
            Input::Progress(id, at, step) => self.progress(id, at, step),
            Input::Fetched(id, at, result) => self.fetched(id, at, result),
            Input::Appended(id, batch) => {
                self.media.append(id, *batch);
                self.tell_appended();
                self.prepare();
            }
            Input::Subtitles(generation, segment, result) => self.subtitles_came(generation, segment, result),
            Input::ThumbnailIndex(tiles) => self.thumbnail_index(tiles),
            Input::Thumbnails(resource, pictures) => self.thumbnails_came(resource, pictures),
            Input::Demuxed(job, result) => match result {
                Ok(demuxed) => {
                    if let Some(damage) = &demuxed.damage {
                        let what = format!(
                            "{} segment {} is damaged: {damage}",
                            transfers::name(job.track),
                            job.index
                        );
                        let advice =
                            "What can be read of it is played; check the stream with `weir inspect`.";
                        self.note_trouble(trouble::view("segment_damaged", what, advice));
                    }
                    let index = job.index;
                    if self.media.insert(job, demuxed) == Outcome::TooLate {
                        tracing::debug!(index, "came too late to replace what was playing");
                    }
                    self.tell_appended();
                    self.prepare();
                }
                Err(error) => {
                    let doing = format!("reading {} segment {}", transfers::name(job.track), job.index);
                    self.note_trouble(trouble::demux(&doing, &error));
                    self.media.held.remove(&(job.track, job.index));
                    self.media.give_up(job.id);
                    self.feed(Event::TransferFailed(job.id, Failure::Corrupt));
                }
            },
        }
    }

    /// Tells the brain how far media of the downloads under way can be played.
    fn tell_appended(&mut self) {
        for (id, until) in self.media.settle() {
            self.feed(Event::MediaAppended(id, until));
        }
    }

    pub(super) fn take_wishes(&mut self) {
        let wishes = self.shared.wishes.take();
        self.done |= wishes.stop;
        if let Some(paused) = wishes.paused {
            self.set_paused(paused);
        }
        if let Some(seek) = wishes.seek {
            self.wish_seek(seek);
        }
        if let Some(volume) = wishes.volume {
            self.volume = volume;
            self.shared.playback(|playback| playback.set_volume(volume));
        }
        if let Some(muted) = wishes.muted {
            self.muted = muted;
            self.shared.playback(|playback| playback.set_muted(muted));
        }
        if let Some(rate) = wishes.rate {
            self.rate = rate;
            self.shared.playback(|playback| playback.set_rate(rate));
            self.note(record::Event::Rate { rate });
            self.feed(Event::Rate(rate));
        }
        if let Some(height) = wishes.rgba_height {
            self.rgba_height = height;
            self.shared.playback(|playback| playback.set_rgba_height(height));
        }
        if let Some(at) = wishes.thumbnail {
            self.wish_thumbnail(at);
        }
        if let Some(track) = wishes.sound {
            self.wish_sound(track);
        }
        if let Some(choice) = wishes.subtitles {
            self.choose_subtitles(choice, "viewer");
        }
        let asked = wishes.quality.is_some() || wishes.caps.is_some();
        if let Some(quality) = wishes.quality {
            self.quality = quality;
            self.feed(Event::Quality(quality));
        }
        if let Some(caps) = wishes.caps {
            self.caps = caps;
            self.feed(Event::Caps(caps));
        }
        if asked {
            self.note_quality();
        }
        self.view.changed = true;
    }

    fn note_quality(&mut self) {
        let track = self.catalog.as_ref().and_then(|catalog| catalog.track(TrackKind::Video));
        let choice = match self.quality {
            QualityChoice::Auto => "auto".to_owned(),
            QualityChoice::Manual(rung) => {
                track.map_or_else(|| format!("rung {}", rung.0), |track| track.ladder.rung(rung).label())
            }
        };
        self.note(record::Event::Quality {
            choice,
            cap_kbps: self.caps.bitrate.map(|cap| round(cap.kbps())),
            cap_height: self.caps.height,
        });
    }
}
