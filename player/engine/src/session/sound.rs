//! Which of several sounds is heard: a language, a commentary.
//!
//! Other sound takes over once its playlist is there. What was buffered of the one before is dropped, and playback goes to
//! where it is: pictures are there already, so that it waits for a moment of sound only. Sound that comes with the pictures is
//! another matter: nobody kept it, so that both are fetched again.

use std::time::Instant;

use weir_abr::{RungId, TrackKind, planner::Event, record};

use super::{Session, catalog::Catalog, subtitles::fits, wishes::SeekWish};
use crate::player::{ErrorView, SoundTrackView, SoundsView};

/// A place among the presentation's tracks; `None` is the sound in the pictures' segments.
type Sound = Option<usize>;

/// Which sound is wanted.
#[derive(Debug, Default)]
pub(crate) struct Sounds {
    /// It was chosen and is not there yet.
    coming: Option<Sound>,
    /// What was heard before the last choice: there is a decoder for that.
    before: Option<Sound>,
}

impl Session {
    /// The sound to begin with, where one was asked for.
    pub(crate) fn first_sound(&mut self, catalog: &mut Catalog) {
        let Some(wanted) = self.options.sound.clone() else { return };
        let heard = catalog.sound();
        let fitting = catalog.sounds().into_iter().filter_map(|sound| {
            let (name, language) = catalog.sound_named(sound)?;
            let default = match sound {
                Some(at) => catalog.presentation().tracks.get(at).is_some_and(|track| track.default),
                None => heard.is_none(),
            };
            // Of equals the default.
            Some((fits(language, name, &wanted)?, !default, sound))
        });
        let Some((_, _, found)) = fitting.min() else { return };
        if heard != found {
            let event = chosen(catalog, found, "option");
            catalog.choose_sound(found);
            self.sounds.before = Some(heard);
            self.note(event);
        }
    }

    /// The viewer chose a sound, by its place among them.
    pub(crate) fn wish_sound(&mut self, nth: usize) {
        let Some(catalog) = self.catalog.as_ref().filter(|_| !self.is_over()) else { return };
        let Some(sound) = catalog.sounds().get(nth).copied() else { return };
        self.sounds.coming = Some(sound).filter(|sound| catalog.sound() != *sound);
        let requests = sound.map(|track| catalog.source.wanted(track, 0)).unwrap_or_default();
        if self.sounds.coming.is_some() {
            for request in requests {
                self.load(request);
            }
        }
        self.follow_sound();
        self.view.changed = true;
    }

    /// Takes the chosen sound when its segments are known.
    pub(crate) fn follow_sound(&mut self) {
        let (Some(sound), Some(catalog)) = (self.sounds.coming, &self.catalog) else { return };
        if sound.is_some_and(|track| !catalog.source.wanted(track, 0).is_empty()) {
            return;
        }
        self.take_sound(sound, "viewer");
    }

    fn take_sound(&mut self, sound: Sound, by: &str) {
        let Some(catalog) = &mut self.catalog else { return };
        self.sounds = Sounds { coming: None, before: Some(catalog.sound()) };
        catalog.choose_sound(sound);
        let event = chosen(catalog, sound, by);
        let live = catalog.live();
        let pictures = catalog.tracks().iter().filter(|track| track.kind == TrackKind::Video).cloned();
        // Without sound for the blink of an eye: what the brain knew of the one before is gone. Where sound comes with the
        // pictures, without anything.
        let tracks = if sound.is_some() { pictures.collect() } else { Vec::new() };
        // Held for a moment: that the new sound is not there yet is no stall.
        self.feed(Event::Paused(true));
        self.feed(Event::Presentation { tracks, live });
        // Downloads that it gives up end now, not among the next ones.
        self.think();
        self.view.audio_loading = Some(RungId(0));
        self.media.change_sound(sound.is_some());
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
        let given_up = self.sounds.coming.take_if(|wanted| *wanted == Some(track)).is_some();
        self.view.changed |= given_up;
        given_up
    }

    /// Nothing here decodes the sound that was chosen: the one before comes back, if there was one.
    pub(crate) fn takes_sound_back(&mut self, problem: &ErrorView) -> bool {
        let Some(before) = self.sounds.before.take() else { return false };
        self.note_trouble(problem.clone());
        self.take_sound(before, "fallback");
        self.sounds.before = None;
        true
    }

    pub(crate) fn sounds_view(&self) -> SoundsView {
        let Some(catalog) = &self.catalog else { return SoundsView::default() };
        let all = catalog.sounds();
        let heard = self.sounds.coming.unwrap_or(catalog.sound());
        let view = |sound: &Sound| {
            let named = catalog.sound_named(*sound);
            let (name, language) = named?;
            // The same in several codings.
            let alike = all.iter().filter(|other| catalog.sound_named(**other) == named).count() > 1;
            let coding = catalog.coding(*sound).filter(|_| alike);
            let label = coding.map_or_else(|| name.to_owned(), |coding| format!("{name} ({coding})"));
            Some(SoundTrackView { label, language: language.map(str::to_owned) })
        };
        SoundsView {
            tracks: all.iter().filter_map(view).collect(),
            chosen: all.iter().position(|sound| *sound == heard),
        }
    }
}

fn chosen(catalog: &Catalog, sound: Sound, by: &str) -> record::Event {
    let named = catalog.sound_named(sound);
    record::Event::Sound {
        language: named.and_then(|(_, language)| language.map(str::to_owned)),
        label: named.map(|(name, _)| name.to_owned()).unwrap_or_default(),
        by: by.to_owned(),
    }
}
