//! Which of several sounds is heard: a language, a commentary.
//!
//! Other sound takes over once its playlist is there. What was buffered of the one before is dropped, and playback goes to
//! where it is: pictures are there already, so that it waits for a moment of sound only.

use std::time::Instant;

use weir_abr::{RungId, TrackKind, planner::Event, record};
use weir_manifest::model::Track;

use super::{Session, catalog::Catalog, subtitles::fits, wishes::SeekWish};
use crate::player::{SoundTrackView, SoundsView};

impl Session {
    /// The sound to begin with, where one was asked for.
    pub(crate) fn first_sound(&mut self, catalog: &mut Catalog) {
        let Some(wanted) = self.options.sound.clone() else { return };
        let tracks = &catalog.presentation().tracks;
        let fitting = catalog.sounds().filter_map(|at| {
            let track = tracks.get(at)?;
            // Of equals the default.
            Some((fits(track.language.as_deref(), &track.name, &wanted)?, !track.default, at))
        });
        let Some((_, _, found)) = fitting.min() else { return };
        if catalog.sound() != Some(found) {
            let event = chosen(tracks.get(found), "option");
            catalog.choose_sound(found);
            self.note(event);
        }
    }

    /// The viewer chose a sound, by its place among them.
    pub(crate) fn wish_sound(&mut self, nth: usize) {
        let Some(catalog) = self.catalog.as_ref().filter(|_| !self.is_over()) else { return };
        let Some(track) = catalog.sounds().nth(nth) else { return };
        self.sound = Some(track).filter(|track| catalog.sound() != Some(*track));
        let requests = catalog.source.wanted(track, 0);
        if self.sound.is_some() {
            for request in requests {
                self.load(request);
            }
        }
        self.follow_sound();
        self.view.changed = true;
    }

    /// Takes the chosen sound when its segments are known.
    pub(crate) fn follow_sound(&mut self) {
        let (Some(track), Some(catalog)) = (self.sound, &mut self.catalog) else { return };
        if !catalog.source.wanted(track, 0).is_empty() {
            return;
        }
        self.sound = None;
        catalog.choose_sound(track);
        let event = chosen(catalog.presentation().tracks.get(track), "viewer");
        let pictures = catalog.tracks().iter().filter(|track| track.kind == TrackKind::Video).cloned();
        // Without sound for the blink of an eye: what the brain knew of the one before is gone.
        let alone = Event::Presentation { tracks: pictures.collect(), live: catalog.live() };
        // Held for a moment: that the new sound is not there yet is no stall.
        self.feed(Event::Paused(true));
        self.feed(alone);
        self.view.audio_loading = Some(RungId(0));
        self.media.clear_sound();
        self.note(event);
        self.announce();
        self.note_ladders();
        self.sound_changed();
        // Before the start nothing was heard, and after the end nothing is to be.
        if self.playing.start.is_some() && !self.playing.ended {
            self.wish_seek(SeekWish { to: self.position(), exact: true, at: Instant::now() });
        }
        self.feed(Event::Paused(self.playing.paused));
        self.lists_due();
        self.view.changed = true;
    }

    /// The list of the sound that was chosen cannot be had: the one before stays. `false` when it is another list.
    pub(crate) fn gives_sound_up(&mut self, track: usize) -> bool {
        let given_up = self.sound.take_if(|wanted| *wanted == track).is_some();
        self.view.changed |= given_up;
        given_up
    }

    pub(crate) fn sounds_view(&self) -> SoundsView {
        let Some(catalog) = &self.catalog else { return SoundsView::default() };
        let all: Vec<usize> = catalog.sounds().collect();
        let heard = self.sound.or(catalog.sound());
        let view = |at: &usize| {
            let track = catalog.presentation().tracks.get(*at)?;
            Some(SoundTrackView { label: track.name.clone(), language: track.language.clone() })
        };
        SoundsView {
            tracks: all.iter().filter_map(view).collect(),
            chosen: all.iter().position(|at| Some(*at) == heard),
        }
    }
}

fn chosen(track: Option<&Track>, by: &str) -> record::Event {
    record::Event::Sound {
        language: track.and_then(|track| track.language.clone()),
        label: track.map(|track| track.name.clone()).unwrap_or_default(),
        by: by.to_owned(),
    }
}
