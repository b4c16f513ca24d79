//! What the window needs of a session: the engine's [`Player`], or a stand-in for looking at the window.

use std::{sync::Arc, time::Duration};

use url::Url;
use weir_abr::planner::{Caps, QualityChoice};
use weir_engine::{Options, Player, Snapshot, SubtitleChoice};

use crate::video::Picture;

/// Called from any thread when there is something new to show.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Starts sessions.
pub type Opener = Box<dyn Fn(Url, Options, Wake) -> Box<dyn Session>>;

/// One session; see [`Player`] for what each wish means.
pub trait Session {
    /// Goes on playing.
    fn play(&self);
    /// Holds.
    fn pause(&self);
    /// Goes to a place.
    fn seek(&self, to: Duration, exact: bool);
    /// Plays faster or slower.
    fn set_rate(&self, rate: f64);
    /// Sets the volume, 0.0 to 1.0.
    fn set_volume(&self, volume: f64);
    /// Silence without losing the volume.
    fn set_muted(&self, muted: bool);
    /// Auto, or one rung.
    fn set_quality(&self, choice: QualityChoice);
    /// Limits for Auto.
    fn set_caps(&self, caps: Caps);
    /// Plays another of the sounds that there are.
    fn set_sound(&self, track: usize);
    /// Shows other subtitles, or none.
    fn set_subtitles(&self, choice: SubtitleChoice);
    /// Asks for the small picture of a place, or for none any more.
    fn want_thumbnail(&self, at: Option<Duration>);
    /// Ask for RGBA pictures of about this height, or for planes.
    fn set_rgba_height(&self, height: Option<u32>);
    /// Everything to show.
    fn snapshot(&self) -> Snapshot;
    /// The newest picture that was not taken before.
    fn take_picture(&self) -> Option<Picture>;
}

impl Session for Player {
    fn play(&self) {
        Self::play(self);
    }
    fn pause(&self) {
        Self::pause(self);
    }
    fn seek(&self, to: Duration, exact: bool) {
        Self::seek(self, to, exact);
    }
    fn set_rate(&self, rate: f64) {
        Self::set_rate(self, rate);
    }
    fn set_volume(&self, volume: f64) {
        Self::set_volume(self, volume);
    }
    fn set_muted(&self, muted: bool) {
        Self::set_muted(self, muted);
    }
    fn set_quality(&self, choice: QualityChoice) {
        Self::set_quality(self, choice);
    }
    fn set_caps(&self, caps: Caps) {
        Self::set_caps(self, caps);
    }
    fn set_sound(&self, track: usize) {
        Self::set_sound(self, track);
    }
    fn set_subtitles(&self, choice: SubtitleChoice) {
        Self::set_subtitles(self, choice);
    }
    fn want_thumbnail(&self, at: Option<Duration>) {
        Self::want_thumbnail(self, at);
    }
    fn set_rgba_height(&self, height: Option<u32>) {
        Self::set_rgba_height(self, height);
    }
    fn snapshot(&self) -> Snapshot {
        Self::snapshot(self)
    }
    fn take_picture(&self) -> Option<Picture> {
        Self::take_frame(self).map(|frame| Picture::Decoded(Box::new(frame)))
    }
}

/// Sessions of the real engine.
pub fn engine() -> Opener {
    Box::new(|url, options, wake| Box::new(weir_engine::open(url, options, wake)))
}
