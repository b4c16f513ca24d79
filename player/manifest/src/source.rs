//! A presentation that is loaded piece by piece: what to load, and what it makes of it.

use std::time::Duration;

use url::Url;

use crate::{
    Error, Warning,
    dash::DashSource,
    hls::HlsSource,
    model::{Presentation, Resource, Segment},
};

/// When something happens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Now {
    /// Since the session's start; never goes back.
    pub session: Duration,
    /// Wall-clock time since the Unix epoch. A live DASH manifest says what can be had at which wall-clock time.
    pub unix: Duration,
}

/// Something that must be loaded; give it back with its bytes to [`Source::supply`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to ask for.
    pub resource: Resource,
    /// What it is.
    pub what: What,
    /// The server holds the answer until there is news (`_HLS_msn`): allow for three target durations.
    pub blocking: bool,
}

/// What a [`Request`] is about. Tracks and renditions by their place in the presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The manifest itself (DASH).
    Manifest,
    /// The playlist of a rendition (HLS).
    Playlist {
        /// Place of the track.
        track: usize,
        /// Place of the rendition in its track.
        rendition: usize,
    },
    /// The segment index of a rendition (DASH `SegmentBase`).
    Index {
        /// Place of the track.
        track: usize,
        /// Place of the rendition in its track.
        rendition: usize,
        /// Period that the file belongs to, in the order in which they were first seen.
        period: u64,
    },
}

/// What a piece of news did to the presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: tell the brain nothing.
    Unchanged,
    /// Segments came or went, or it ended: tell the brain.
    Changed,
}

/// What is known of a segment.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup<'a> {
    /// Here it is.
    Ready(&'a Segment),
    /// It will be known after this was loaded.
    Load(Request),
    /// Not listed yet; ask again at this time (session) or after the next change.
    Later(Duration),
    /// No longer listed, or past the end.
    Gone,
}

/// What to do about a presentation that changes by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// Load these now. Each is given once, until it was supplied or [`Source::failed`].
    pub requests: Vec<Request>,
    /// Time alone changed the presentation (live DASH).
    pub change: Change,
    /// Ask again then (session time); `None` when nothing changes any more.
    pub wake_at: Option<Duration>,
}

/// One HLS or DASH presentation. See the crate's page for the sequence of calls.
#[derive(Clone, Debug)]
pub struct Source {
    inner: Inner,
}

#[derive(Clone, Debug)]
enum Inner {
    Hls(Box<HlsSource>),
    Dash(Box<DashSource>),
}

impl Source {
    /// Reads the manifest that was loaded from `url` (after redirects).
    ///
    /// # Errors
    /// The text is no manifest, breaks a rule that matters, or lists nothing that can be played.
    pub fn new(url: &Url, bytes: &[u8], now: Now) -> Result<Self, Error> {
        let text = crate::text(bytes)?;
        let inner = match crate::detect(&text)? {
            crate::Found::Hls(kind) => Inner::Hls(Box::new(HlsSource::new(url, &text, kind, now)?)),
            crate::Found::Dash => Inner::Dash(Box::new(DashSource::new(url, &text, now)?)),
        };
        Ok(Self { inner })
    }

    /// What is known now. Renditions that were not loaded yet have no segments.
    pub fn presentation(&self) -> &Presentation {
        match &self.inner {
            Inner::Hls(hls) => hls.presentation(),
            Inner::Dash(dash) => dash.presentation(),
        }
    }

    /// What must be loaded before anything is known of the segments of this rendition; empty when they are known.
    pub fn wanted(&self, track: usize, rendition: usize) -> Vec<Request> {
        match &self.inner {
            Inner::Hls(hls) => hls.wanted(track, rendition),
            Inner::Dash(dash) => dash.wanted(track, rendition),
        }
    }

    /// Takes in what `request` brought. `located` is the address that answered, after redirects.
    ///
    /// # Errors
    /// The bytes are not what was asked for; what was known before stays as it is.
    pub fn supply(
        &mut self,
        request: &Request,
        located: &Url,
        bytes: &[u8],
        now: Now,
    ) -> Result<Change, Error> {
        match &mut self.inner {
            Inner::Hls(hls) => hls.supply(request, located, bytes, now),
            Inner::Dash(dash) => dash.supply(request, located, bytes, now),
        }
    }

    /// `request` could not be loaded, or [`supply`](Self::supply) did not take it: [`due`](Self::due) gives it again
    /// after half a target duration.
    pub fn failed(&mut self, request: &Request, now: Now) {
        match &mut self.inner {
            Inner::Hls(hls) => hls.failed(request, now),
            Inner::Dash(dash) => dash.failed(request, now),
        }
    }

    /// What to reload now. `active` are the renditions that are being played, as (track, rendition).
    pub fn due(&mut self, active: &[(usize, usize)], now: Now) -> Due {
        match &mut self.inner {
            Inner::Hls(hls) => hls.due(active, now),
            Inner::Dash(dash) => dash.due(active, now),
        }
    }

    /// Media come from another pathway from now on: playlists are due again, for they name its segments. HLS only; an MPD
    /// names those of all.
    pub fn moved(&mut self, now: Now) {
        if let Inner::Hls(hls) = &mut self.inner {
            hls.moved(now);
        }
    }

    /// All that these renditions list will soon be played, and more may have been made long ago: their playlists are due
    /// `wait` after their last load at the latest. HLS only; an MPD says itself how often it changes.
    pub fn hurry(&mut self, active: &[(usize, usize)], wait: Duration) {
        if let Inner::Hls(hls) = &mut self.inner {
            hls.hurry(active, wait);
        }
    }

    /// Segment `number` of a rendition, or what to do to get to know it.
    pub fn segment(&self, track: usize, rendition: usize, number: u64, now: Now) -> Lookup<'_> {
        match &self.inner {
            Inner::Hls(hls) => hls.segment(track, rendition, number, now),
            Inner::Dash(dash) => dash.segment(track, rendition, number, now),
        }
    }

    /// Clocks that a live DASH manifest names for [`Now::unix`], as scheme and value, the preferred one first.
    pub fn clocks(&self) -> &[(String, String)] {
        match &self.inner {
            Inner::Hls(_) => &[],
            Inner::Dash(dash) => dash.clocks(),
        }
    }

    /// [`Now::unix`] jumped, because it was set right: what there is by the clock is looked at anew with the next
    /// [`due`](Self::due).
    pub fn clock_changed(&mut self, now: Now) {
        if let Inner::Dash(dash) = &mut self.inner {
            dash.clock_changed(now);
        }
    }

    /// What was odd in the manifest but could be read.
    pub fn warnings(&self) -> &[Warning] {
        match &self.inner {
            Inner::Hls(hls) => hls.warnings(),
            Inner::Dash(dash) => dash.warnings(),
        }
    }
}
