//! The manifest and the playlists: first load, the ones that a choice needs, reloads on time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weir_abr::{
    Bitrate, RungId, TrackKind,
    planner::{Event, Failure, QualityChoice},
    record,
};
use weir_manifest::{
    Change, Now, Request, Source, What,
    model::{Protocol, Resource},
};

use super::{
    Session,
    catalog::{Catalog, Place},
    input::Input,
    trouble,
};
use crate::{
    log::{millis, round, seconds},
    net::{Ask, Document, NetError, Retry},
};

/// A clock that is off by less, in seconds, is as good as right.
const EXACT: f64 = 0.1;

/// A server's clock by the head of its answer is good for seconds only: it says whether this machine's is right at all.
const ROUGH: f64 = 5.0;

/// Without any estimate nothing above this is tried first, as in the brain.
const BLIND: Bitrate = Bitrate::from_bps(1_000_000);

/// Share of a remembered estimate on which the first playlist is chosen, as in the brain.
const MEMORY_SHARE: f64 = 0.7;

/// A live playlist that cannot be had for so long, with nothing left to play, ends the session.
const LOST: Duration = Duration::from_secs(60);

/// What is being loaded, and what for.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    loading: Vec<What>,
    /// The brain knows the presentation.
    announced: bool,
    /// Rung whose playlist was loaded for the start, and those that could not be had.
    first: Option<RungId>,
    unavailable: Vec<RungId>,
    /// When the source wants to be asked again.
    wake: Option<Duration>,
    /// Since when reloads fail.
    failing: Option<Duration>,
}

impl Session {
    /// The time as the manifest wants it.
    pub(crate) fn manifest_now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ahead = Duration::try_from_secs_f64(self.clock_error.abs()).unwrap_or_default();
        let unix = if self.clock_error > 0.0 { unix.saturating_sub(ahead) } else { unix + ahead };
        Now { session: self.now(), unix }
    }

    /// This machine's clock may be off by hours, and then a live MPD has nothing yet, or what is long gone: goes by what the
    /// server said with its answer. `true` when that is another time.
    fn go_by(&mut self, said: Option<f64>) -> bool {
        let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let Some(error) = said.map(|said| here.as_secs_f64() - said).filter(|it| it.abs() > ROUGH) else {
            return false;
        };
        tracing::info!(error, "this machine's clock is off by so many seconds");
        self.clock_error = error;
        true
    }

    /// Asks the clock that a live MPD names: this machine's may be off, and then segments are asked for too early or too late.
    fn ask_clock(&mut self) {
        let Some(catalog) = &self.catalog else { return };
        let clocks = catalog.source.clocks().iter();
        let known = clocks.filter_map(|(scheme, value)| match scheme.as_str() {
            "urn:mpeg:dash:utc:http-iso:2014" | "urn:mpeg:dash:utc:http-xsdate:2014" => {
                self.http_base.join(value.split_whitespace().next()?).ok()
            }
            _ => None,
        });
        let Some(url) = known.into_iter().next() else { return };
        let (http, inbox) = (self.http.clone(), self.inbox.clone());
        self.runtime.spawn(async move {
            let idle = Duration::from_secs(3);
            let ask = Ask { url, range: None, limit: 4096, compressed: false, idle };
            let Ok(body) = http.get(ask, |_| ()).await else { return };
            let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            // It was read half-way between request and answer.
            let there = std::str::from_utf8(&body.bytes).ok().and_then(weir_manifest::read_clock);
            if let Some(there) = there {
                let error = here.as_secs_f64() - body.first_byte.as_secs_f64() / 2.0 - there;
                let _ = inbox.send(Input::Clock(error)).await;
            }
        });
    }

    /// The clock that the MPD names was read: this machine's is so many seconds ahead of it.
    pub(crate) fn clock(&mut self, error: f64) {
        if (error - self.clock_error).abs() < EXACT || !error.is_finite() {
            return;
        }
        tracing::info!(error, "this machine's clock is off by so many seconds");
        self.clock_error = error;
        let now = self.manifest_now();
        if let Some(catalog) = &mut self.catalog {
            catalog.source.clock_changed(now);
        }
        self.lists_due();
    }

    /// Loads what was opened.
    pub(crate) fn load_manifest(&mut self) {
        let url = self.url.clone();
        self.note(record::Event::Request { track: None, index: None, rung: None, url: url.to_string() });
        let (http, inbox) = (self.http.clone(), self.inbox.clone());
        let patience = http.limits.idle;
        self.runtime.spawn(async move {
            let resource = Resource { url, range: None };
            let told = inbox.clone();
            let failed = |error: &NetError, _| {
                let _ = told.try_send(Input::Retrying(error.clone()));
            };
            let result = http.document(&resource, Retry::OPEN, patience, failed).await;
            let _ = inbox.send(Input::Manifest(result)).await;
        });
    }

    /// What was opened is here.
    pub(crate) fn manifest(&mut self, result: Result<Document, NetError>) {
        let document = match result {
            Ok(document) => document,
            Err(error) => {
                self.fail(trouble::net(&format!("loading the manifest {}", self.url), &error));
                return;
            }
        };
        let read = |now: Now| Source::new(&document.url, &document.bytes, now);
        let source = match read(self.manifest_now()) {
            Ok(source) => {
                let live = source.presentation().live && source.presentation().protocol == Protocol::Dash;
                match live && self.go_by(document.clock) {
                    true => read(self.manifest_now()).unwrap_or(source),
                    false => source,
                }
            }
            Err(error) => {
                self.fail(trouble::manifest(&format!("reading the manifest {}", document.url), &error));
                return;
            }
        };
        for warning in source.warnings() {
            tracing::warn!(url = %document.url, line = warning.line, what = warning.what, "odd manifest");
        }
        let mut catalog = match Catalog::new(source) {
            Ok(catalog) => catalog,
            Err(error) => {
                let what = format!("reading the manifest {}: {error}", document.url);
                self.fail(trouble::view("nothing_to_play", what, "Check the stream with `weir inspect`."));
                return;
            }
        };
        let presentation = catalog.presentation();
        self.http.mirrors.set(&presentation.mirrors);
        let listed = catalog.is_listed();
        let (protocol, kind) = match presentation.protocol {
            Protocol::Hls if listed => ("hls", "media"),
            Protocol::Hls => ("hls", "multivariant"),
            Protocol::Dash => ("dash", "mpd"),
        };
        let manifest = record::Event::Manifest {
            url: document.url.to_string(),
            protocol: protocol.to_owned(),
            kind: kind.to_owned(),
            live: listed.then_some(presentation.live),
            duration_s: catalog.duration().filter(|_| listed).map(seconds),
            ms: millis(document.took),
            http: Some(document.http.clone()),
        };
        self.first_sound(&mut catalog);
        self.media.separate_audio = catalog.has_audio_track();
        self.view.codecs = catalog.codecs();
        self.catalog = Some(catalog);
        self.http_base = document.url;
        self.ask_clock();
        self.note(manifest);
        self.note_ladders();
        self.recovered();
        if !self.begin_steering() {
            self.begin_media();
        }
    }

    /// What is to be played is known: what it takes to play it is loaded.
    pub(crate) fn begin_media(&mut self) {
        self.load_first();
        self.announce();
        self.first_subtitles();
        self.lists_due();
    }

    pub(crate) fn note_ladders(&mut self) {
        let Some(catalog) = &self.catalog else { return };
        let ladders: Vec<_> = catalog
            .tracks()
            .iter()
            .map(|track| record::Event::Ladder {
                track: track.kind,
                kbps: track.ladder.rungs().iter().map(|rung| round(rung.bitrate.kbps())).collect(),
                heights: track.ladder.rungs().iter().map(|rung| rung.height).collect(),
            })
            .collect();
        for ladder in ladders {
            self.note(ladder);
        }
    }

    /// Loads the playlists that the first segments need, and no others: each costs a round trip.
    fn load_first(&mut self) {
        let Some(catalog) = &self.catalog else { return };
        let Some(rung) = self.first_rung(catalog) else {
            let what = format!("loading {}: none of its playlists could be had", self.url);
            let advice = "Check that the stream is still published, then open it again.";
            let (what, advice) = match &self.view.last_trouble {
                Some(last) => (format!("{what}; the last: {}", last.what), last.advice.clone()),
                None => (what, advice.to_owned()),
            };
            self.fail(trouble::view("playlists_unavailable", what, &advice));
            return;
        };
        let places: Vec<_> = [(TrackKind::Video, rung), (TrackKind::Audio, RungId(0))]
            .into_iter()
            .filter_map(|(track, rung)| catalog.place(track, rung))
            .collect();
        let wanted: Vec<_> = places
            .into_iter()
            .flat_map(|(track, rendition)| catalog.source.wanted(track, rendition))
            .collect();
        self.lists.first = Some(rung);
        for request in wanted {
            self.load(request);
        }
    }

    /// The rung that the brain will most likely begin with.
    fn first_rung(&self, catalog: &Catalog) -> Option<RungId> {
        let ladder = &catalog.tracks().first()?.ladder;
        let mut usable: Vec<RungId> =
            (0..ladder.len()).map(RungId).filter(|rung| !self.lists.unavailable.contains(rung)).collect();
        let here: Vec<_> =
            usable.iter().copied().filter(|rung| !self.steering.withheld.contains(rung)).collect();
        if !here.is_empty() {
            usable = here;
        }
        if let QualityChoice::Manual(rung) = self.quality
            && usable.contains(&rung)
        {
            return Some(rung);
        }
        let below = |limit: Bitrate| move |rung: &RungId| ladder.rung(*rung).bitrate <= limit;
        if let Some(cap) = self.caps.bitrate {
            let allowed: Vec<_> = usable.iter().copied().filter(below(cap)).collect();
            if !allowed.is_empty() {
                usable = allowed;
            }
        }
        let chosen = match self.remembered.get(&self.host) {
            Some((seen, _)) => {
                let safe = Bitrate::from_kbps(seen.kbps() * MEMORY_SHARE);
                usable.iter().copied().rfind(below(safe))
            }
            None => {
                let middle = RungId((ladder.len() - 1) / 2);
                usable.iter().copied().filter(|rung| *rung <= middle).rfind(below(BLIND))
            }
        };
        chosen.or_else(|| usable.first().copied())
    }

    /// Loads a playlist or an index, unless that is under way.
    pub(crate) fn load(&mut self, request: Request) {
        if self.lists.loading.contains(&request.what) {
            return;
        }
        self.lists.loading.push(request.what);
        let url = self.http.mirrors.first(&request.resource.url, Instant::now()).to_string();
        self.note(record::Event::Request { track: None, index: None, rung: None, url });
        let target = self.catalog.as_ref().map_or(Duration::ZERO, |it| it.presentation().target_duration);
        let patience = if request.blocking {
            target.saturating_mul(3).max(self.http.limits.idle)
        } else {
            self.http.limits.idle
        };
        // Before playback someone waits for the picture or the message.
        let retry = if self.lists.announced { Retry::PLAYING } else { Retry::OPEN };
        let (http, inbox) = (self.http.clone(), self.inbox.clone());
        self.runtime.spawn(async move {
            let told = inbox.clone();
            let failed = |error: &NetError, _| {
                let _ = told.try_send(Input::Retrying(error.clone()));
            };
            let result = http.document(&request.resource, retry, patience, failed).await;
            let _ = inbox.send(Input::Listed(request, result)).await;
        });
    }

    /// A playlist or an index is here, or cannot be had.
    pub(crate) fn listed(&mut self, request: &Request, result: Result<Document, NetError>) {
        self.lists.loading.retain(|what| *what != request.what);
        let now = self.manifest_now();
        let Some(catalog) = &mut self.catalog else { return };
        let url = &request.resource.url;
        let complete = catalog.complete(request);
        let (problem, failure) = match result {
            Ok(document) => match catalog.source.supply(request, &document.url, &document.bytes, now) {
                Ok(change) => {
                    let apart = match request.what {
                        What::Playlist { track, rendition } => catalog.is_cut_apart((track, rendition)),
                        _ => false,
                    };
                    if change == Change::Changed || !self.lists.announced {
                        catalog.refresh();
                        self.http.mirrors.set(&catalog.presentation().mirrors);
                    }
                    // A part more is not worth a line.
                    let parts = complete.is_some() && complete == catalog.complete(request);
                    if (change == Change::Changed && !parts) || !self.lists.announced {
                        let (protocol, kind) = match catalog.presentation().protocol {
                            Protocol::Hls => ("hls", "media"),
                            Protocol::Dash => ("dash", "mpd"),
                        };
                        let listed = record::Event::Manifest {
                            url: document.url.to_string(),
                            protocol: protocol.to_owned(),
                            kind: kind.to_owned(),
                            live: Some(catalog.presentation().live),
                            duration_s: catalog.duration().map(seconds),
                            ms: millis(document.took),
                            http: Some(document.http.clone()),
                        };
                        self.note(listed);
                    }
                    self.lists.failing = None;
                    self.lists_recovered();
                    if apart {
                        let what = format!("{url} is cut into other segments than the quality before");
                        let advice = "This quality is left out; check the stream with `weir inspect`.";
                        self.note_trouble(trouble::view("segments_unaligned", what, advice));
                    }
                    self.announce();
                    self.tell_growth();
                    self.start_waiting();
                    self.lists_due();
                    self.follow_subtitles();
                    self.follow_sound();
                    return;
                }
                Err(error) => {
                    (trouble::manifest(&format!("reading the playlist {url}"), &error), Failure::Corrupt)
                }
            },
            Err(error) => (trouble::net("loading a playlist", &error), error.failure()),
        };
        catalog.source.failed(request, now);
        if let What::Playlist { track, .. } | What::Index { track, .. } = request.what
            && (self.is_beside(track) || self.gives_sound_up(track))
        {
            if self.is_beside(track) {
                self.unlisted(track, problem.what);
            } else {
                self.note_trouble(problem);
            }
            self.lists_due();
            return;
        }
        self.lists.failing.get_or_insert(now.session);
        self.note_trouble(problem);
        let (What::Playlist { track, rendition, .. } | What::Index { track, rendition, .. }) = request.what
        else {
            self.lists_due();
            return;
        };
        if self.lists.announced {
            // A reload is asked for again by the source; a rung that was to be switched to is not to be had.
            self.fail_waiting((track, rendition), failure);
            self.lists_due();
        } else if self.is_first_of_main(track, rendition) {
            self.lists.unavailable.extend(self.lists.first);
            self.load_first();
        } else if let Some(problem) = self.view.last_trouble.take() {
            // Sound has no other rung to fall back on before it was ever heard.
            self.fail(problem);
        }
    }

    fn is_first_of_main(&self, track: usize, rendition: usize) -> bool {
        let place = |rung| self.catalog.as_ref().and_then(|catalog| catalog.place(TrackKind::Video, rung));
        self.lists.first.and_then(place) == Some((track, rendition))
    }

    /// Tells the brain and the buffers what is listed now.
    pub(crate) fn announce(&mut self) {
        let Some(catalog) = &self.catalog else { return };
        if !catalog.is_listed() {
            let ended =
                !catalog.presentation().live && catalog.presentation().target_duration > Duration::ZERO;
            if ended && !self.lists.announced && self.lists.loading.is_empty() {
                let what = format!("{}: its playlist is complete and lists no media", self.url);
                let advice = "The stream is empty, or was cleared: check with who publishes it.";
                self.fail(trouble::view("nothing_to_play", what, advice));
            }
            return;
        }
        let edge = catalog.presentation().edge.filter(|_| catalog.presentation().live);
        let presentation = Event::Presentation { tracks: catalog.tracks().to_vec(), live: catalog.live() };
        for track in [TrackKind::Video, TrackKind::Audio] {
            if catalog.track(track).is_some() {
                self.media.set_bounds(track, catalog.first(track), catalog.last(track));
            }
        }
        if !std::mem::replace(&mut self.lists.announced, true) {
            self.feed_settings();
        }
        if let Some(edge) = edge {
            self.feed(Event::Edge { at: edge.at, step: edge.step });
        }
        self.feed(presentation);
    }

    /// What the brain has to know before it chooses for the first time.
    fn feed_settings(&mut self) {
        if let Some((rate, age)) = self.remembered.get(&self.host) {
            self.feed(Event::RememberedThroughput(rate, age));
        }
        self.feed(Event::Quality(self.quality));
        self.feed(Event::Caps(self.caps));
        self.feed(Event::Rate(self.rate));
    }

    /// Asks the source what to reload, when it is time.
    pub(crate) fn lists_tick(&mut self) {
        self.hurry_lists();
        if self.lists.wake.is_some_and(|wake| wake <= self.now()) {
            self.lists_due();
        }
        self.start_waiting();
        let lost = self.lists.failing.is_some_and(|since| self.now().saturating_sub(since) >= LOST);
        if lost && self.is_stalled() && self.is_live() {
            let what = match self.view.last_trouble.take() {
                Some(last) => format!("the stream's playlist cannot be loaded any more: {}", last.what),
                None => "the stream's playlist cannot be loaded any more".to_owned(),
            };
            let advice = "The stream may have ended, or its server is in trouble: open it again.";
            self.fail(trouble::view("playlist_lost", what, advice));
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.catalog.as_ref().is_some_and(|catalog| catalog.presentation().live)
    }

    /// Renditions whose lists are kept up to date.
    fn active(&self, catalog: &Catalog) -> Vec<Place> {
        let rung = self.view.loading.or(self.lists.first).unwrap_or(RungId(0));
        let audio = self.view.audio_loading.unwrap_or(RungId(0));
        [(TrackKind::Video, rung), (TrackKind::Audio, audio)]
            .into_iter()
            .filter_map(|(track, rung)| catalog.place(track, rung))
            // The picture first: text is asked for when there is one.
            .chain(self.subtitles.place().filter(|_| self.playing.visible))
            .collect()
    }

    /// A film that is still being made grows at a pace of its own, mostly faster than it is played: who asks for more once a
    /// segment's time has just run dry by then. The nearer the end of what is listed, the sooner it is asked again.
    fn hurry_lists(&mut self) {
        let Some(catalog) = self.catalog.as_ref().filter(|catalog| catalog.is_growing()) else { return };
        let Some((_, end)) = catalog.window() else { return };
        let target = catalog.presentation().target_duration;
        let left = end.saturating_sub(self.playing.position);
        if left >= target * 2 {
            return;
        }
        let active = self.active(catalog);
        // Who stands already waits with more patience: it may be for long.
        let least = if self.is_stalled() { target / 8 } else { Duration::from_millis(300).min(target / 2) };
        let wait = (left / 2).clamp(least, target / 2);
        if let Some(catalog) = &mut self.catalog {
            catalog.source.hurry(&active, wait);
        }
        self.lists_due();
    }

    pub(crate) fn lists_due(&mut self) {
        let now = self.manifest_now();
        // A live stream may have no segment yet: its playlist is followed all the same.
        if self.lists.first.is_none() {
            return;
        }
        let Some(active) = self.catalog.as_ref().map(|catalog| self.active(catalog)) else { return };
        let Some(catalog) = &mut self.catalog else { return };
        let due = catalog.source.due(&active, now);
        self.lists.wake = due.wake_at;
        if due.change == Change::Changed {
            catalog.refresh();
            self.announce();
            self.tell_growth();
            self.start_waiting();
        }
        for request in due.requests {
            self.load(request);
        }
    }
}
