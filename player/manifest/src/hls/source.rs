//! An HLS presentation: playlists come in one by one and are merged.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use url::Url;

use super::{
    Kind, MediaPlaylist, Multivariant, Variables,
    media::{Key, MediaHeader, PlaylistType},
    select,
    timeline::{self, Known, Placement},
};
use crate::{
    Error, Warning,
    model::{Edge, Encryption, MediaKind, Presentation, Protocol, Rendition, Resource, Segment, Track},
    source::{Change, Due, Lookup, Now, Request, What},
};

/// Never reload faster than this, whatever the playlist says.
const SHORTEST_RELOAD: Duration = Duration::from_millis(300);

/// What is kept of a loaded playlist beside its segments.
#[derive(Clone, Debug)]
struct Loaded {
    /// Session time of the last load that succeeded.
    at: Duration,
    /// Session time of the next one.
    next: Duration,
    offset: i128,
    epoch: u32,
    /// Media sequence number of the first segment that is not complete yet.
    next_sequence: u64,
    header: MediaHeader,
    /// The next load must bring the whole playlist.
    needs_whole: bool,
    /// It was loaded from another pathway than the one that is used now.
    elsewhere: bool,
}

type Place = (usize, usize);

/// An HLS presentation.
#[derive(Clone, Debug)]
pub(crate) struct HlsSource {
    presentation: Presentation,
    variables: Variables,
    loaded: BTreeMap<Place, Loaded>,
    /// Loads that were given out.
    pending: Vec<Place>,
    /// Loads that failed before anything was loaded, with the time to try again.
    retry: BTreeMap<Place, Duration>,
    warnings: Vec<Warning>,
}

impl HlsSource {
    pub(crate) fn new(url: &Url, text: &str, kind: Kind, now: Now) -> Result<Self, Error> {
        let mut source = Self {
            presentation: Presentation {
                protocol: Protocol::Hls,
                tracks: Vec::new(),
                live: false,
                start_at_edge: false,
                duration: None,
                reload_after: None,
                target_duration: Duration::ZERO,
                target_latency: None,
                edge: None,
                muxed_sound: None,
                captions: Vec::new(),
                mirrors: Vec::new(),
                steering: None,
            },
            variables: Variables::default(),
            loaded: BTreeMap::new(),
            pending: Vec::new(),
            retry: BTreeMap::new(),
            warnings: Vec::new(),
        };
        match kind {
            Kind::Multivariant => {
                let playlist = Multivariant::parse(text, url)?;
                source.presentation.tracks = select::tracks(&playlist);
                source.presentation.captions = select::captions(&playlist);
                source.presentation.muxed_sound = select::muxed_sound(&playlist);
                source.presentation.mirrors = select::mirrors(&playlist);
                source.presentation.steering = playlist.steering.clone();
                if source.presentation.tracks.is_empty() {
                    return Err(Error::incomplete(
                        "the multivariant playlist lists no variant with an address",
                        "check that the stream has started",
                    ));
                }
                source.warnings = playlist.warnings().to_vec();
                source.variables = playlist.variables;
            }
            Kind::Media => {
                let playlist = MediaPlaylist::parse(text, url, None)?;
                source.warnings = playlist.header.warnings().to_vec();
                source.presentation.tracks = vec![single_track(url, &playlist)];
                source.merge((0, 0), &playlist, url, now)?;
            }
        }
        Ok(source)
    }

    pub(crate) fn presentation(&self) -> &Presentation {
        &self.presentation
    }

    pub(crate) fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn rendition(&self, (track, rendition): Place) -> Option<&Rendition> {
        self.presentation.tracks.get(track)?.renditions.get(rendition)
    }

    pub(crate) fn wanted(&self, track: usize, rendition: usize) -> Vec<Request> {
        let place = (track, rendition);
        if self.loaded.contains_key(&place) {
            Vec::new()
        } else {
            self.request(place, Duration::ZERO).into_iter().collect()
        }
    }

    /// The request for a playlist, with the directives that its server offers (RFC 8216bis, 6.2.5).
    fn request(&self, place: Place, now: Duration) -> Option<Request> {
        let mut url = self.rendition(place)?.playlist.clone()?;
        let mut blocking = false;
        if let Some(loaded) = self.loaded.get(&place) {
            let control = &loaded.header.server_control;
            let mut directives = String::new();
            if control.can_block_reload {
                directives = format!("_HLS_msn={}", loaded.next_sequence);
                // The part that comes next; should the segment end before it, the first of the next segment counts.
                if loaded.header.part_target.is_some() {
                    let _ = write!(directives, "&_HLS_part={}", loaded.header.parts.len());
                }
                blocking = true;
            }
            // A copy older than half the skip boundary may lack what would be skipped.
            let age = now.saturating_sub(loaded.at);
            if control.can_skip_until.is_some_and(|until| age < until / 2) && !loaded.needs_whole {
                directives.push_str(if directives.is_empty() { "_HLS_skip=YES" } else { "&_HLS_skip=YES" });
            }
            if !directives.is_empty() {
                let query =
                    url.query().map_or_else(|| directives.clone(), |query| format!("{query}&{directives}"));
                url.set_query(Some(&query));
            }
        } else if let Some(directives) = self.report(place, &url) {
            let query =
                url.query().map_or_else(|| directives.clone(), |query| format!("{query}&{directives}"));
            url.set_query(Some(&query));
        }
        let what = What::Playlist { track: place.0, rendition: place.1 };
        Some(Request { resource: Resource { url, range: None }, what, blocking })
    }

    /// How far a rendition that was not loaded yet has come, as another one of its track reports (`EXT-X-RENDITION-REPORT`):
    /// asked for like this, no cache answers with an older copy.
    fn report(&self, place: Place, url: &Url) -> Option<String> {
        let of_track = self.loaded.iter().filter(|(other, _)| other.0 == place.0);
        let (other, loaded) = of_track.max_by_key(|(_, loaded)| loaded.at)?;
        if !loaded.header.server_control.can_block_reload || loaded.header.live() != Some(true) {
            return None;
        }
        let base = self.rendition(*other)?.playlist.as_ref()?;
        let same = |uri: &str| {
            base.join(uri)
                .is_ok_and(|reported| (reported.host_str(), reported.path()) == (url.host_str(), url.path()))
        };
        let report = loaded.header.rendition_reports.iter().find(|report| same(&report.uri))?;
        let mut directives = format!("_HLS_msn={}", report.last_sequence?);
        if let Some(part) = report.last_part {
            let _ = write!(directives, "&_HLS_part={part}");
        }
        Some(directives)
    }

    pub(crate) fn supply(
        &mut self,
        request: &Request,
        located: &Url,
        bytes: &[u8],
        now: Now,
    ) -> Result<Change, Error> {
        let What::Playlist { track, rendition } = request.what else { return Ok(Change::Unchanged) };
        let place = (track, rendition);
        let text = crate::text(bytes)?;
        let crate::Found::Hls(Kind::Media) = crate::detect(&text)? else {
            return Err(Error::Changed {
                url: located.to_string(),
                was: "the address of a playlist of segments",
                is: "another kind of manifest",
            });
        };
        let playlist = MediaPlaylist::parse(&text, located, Some(&self.variables))?;
        let change = self.merge(place, &playlist, located, now)?;
        self.pending.retain(|pending| *pending != place);
        if self.loaded.contains_key(&place) {
            self.retry.remove(&place);
        }
        Ok(change)
    }

    pub(crate) fn failed(&mut self, request: &Request, now: Now) {
        let What::Playlist { track, rendition } = request.what else { return };
        let place = (track, rendition);
        self.pending.retain(|pending| *pending != place);
        let wait =
            self.presentation.target_duration.clamp(Duration::from_secs(1), Duration::from_secs(12)) / 2;
        match self.loaded.get_mut(&place) {
            Some(loaded) => {
                loaded.next = now.session + wait;
                // What is missing may be the very base of a delta update.
                loaded.needs_whole = true;
            }
            None => {
                self.retry.insert(place, now.session + wait);
            }
        }
    }

    pub(crate) fn due(&mut self, active: &[Place], now: Now) -> Due {
        let mut due = Due { requests: Vec::new(), change: Change::Unchanged, wake_at: None };
        for &place in active {
            let at = match self.loaded.get(&place) {
                Some(loaded) if loaded.header.live() != Some(true) && !loaded.elsewhere => continue,
                Some(loaded) => loaded.next,
                None => self.retry.get(&place).copied().unwrap_or(Duration::ZERO),
            };
            if self.pending.contains(&place) {
                continue;
            }
            if at > now.session {
                due.wake_at = Some(due.wake_at.map_or(at, |other| other.min(at)));
            } else if let Some(request) = self.request(place, now.session) {
                self.pending.push(place);
                due.requests.push(request);
            }
        }
        due
    }

    pub(crate) fn moved(&mut self, now: Now) {
        for loaded in self.loaded.values_mut() {
            loaded.elsewhere = true;
            loaded.needs_whole = true;
            loaded.next = now.session;
        }
    }

    pub(crate) fn hurry(&mut self, active: &[Place], wait: Duration) {
        for place in active {
            if let Some(loaded) = self.loaded.get_mut(place) {
                loaded.next = loaded.next.min(loaded.at.saturating_add(wait.max(SHORTEST_RELOAD)));
            }
        }
    }

    pub(crate) fn segment(&self, track: usize, rendition: usize, number: u64, now: Now) -> Lookup<'_> {
        let place = (track, rendition);
        let Some(this) = self.rendition(place) else { return Lookup::Gone };
        let Some(loaded) = self.loaded.get(&place) else {
            return self.request(place, now.session).map_or(Lookup::Gone, Lookup::Load);
        };
        if let Some(segment) = this.segment(number) {
            return Lookup::Ready(segment);
        }
        if this.segments.first().is_some_and(|first| number < first.number)
            || loaded.header.live() != Some(true)
        {
            return Lookup::Gone;
        }
        // Another rendition lists it already: this list is old.
        let reference = self.presentation.tracks.get(track).and_then(crate::brain::reference);
        let listed = reference.is_some_and(|other| other.segment(number).is_some());
        let soonest = if listed { loaded.at + SHORTEST_RELOAD } else { loaded.next };
        if soonest > now.session || self.pending.contains(&place) {
            return Lookup::Later(soonest.max(now.session + SHORTEST_RELOAD / 2));
        }
        self.request(place, now.session).map_or(Lookup::Gone, Lookup::Load)
    }

    fn known(&self, place: Place) -> Option<Known<'_>> {
        let loaded = self.loaded.get(&place)?;
        Some(Known {
            segments: &self.rendition(place)?.segments,
            offset: loaded.offset,
            epoch: loaded.epoch,
            complete: loaded.header.playlist_type.is_some() || loaded.header.ended,
        })
    }

    /// The rendition of `track` that knows most, `except` left out: latest restart, then furthest.
    fn furthest(&self, track: usize, except: Option<Place>) -> Option<Known<'_>> {
        let places = self.loaded.keys().filter(|place| place.0 == track && Some(**place) != except);
        places
            .filter_map(|place| self.known(*place))
            .max_by_key(|known| (known.epoch, known.segments.last().map(|last| last.number)))
    }

    fn merge(
        &mut self,
        place: Place,
        playlist: &MediaPlaylist,
        located: &Url,
        now: Now,
    ) -> Result<Change, Error> {
        let main = if place.0 == 0 {
            self.loaded.keys().find(|other| other.0 != 0).and_then(|other| self.furthest(other.0, None))
        } else {
            self.furthest(0, None)
        };
        let trimmed =
            timeline::trimmed(playlist, self.known(place), self.furthest(place.0, Some(place)).or(main));
        let playlist = trimmed.as_ref().unwrap_or(playlist);
        let placement =
            timeline::place(playlist, self.known(place), self.furthest(place.0, Some(place)), main);
        let target = playlist.header.target_duration.unwrap_or(Duration::from_secs(6));
        let at = match placement {
            Placement::At(at) => at,
            Placement::Stale | Placement::NeedsWhole => {
                let whole = placement == Placement::NeedsWhole;
                let later = now.session.saturating_add((target / 2).max(SHORTEST_RELOAD));
                match self.loaded.get_mut(&place) {
                    Some(loaded) => {
                        // Ask for the whole at once, but when it is no whole either, do not ask in a tight loop.
                        let again = whole && !loaded.needs_whole;
                        loaded.at = now.session;
                        loaded.elsewhere = false;
                        loaded.next = if again { now.session } else { later };
                        loaded.needs_whole |= whole;
                    }
                    None => {
                        self.retry.insert(place, later);
                    }
                }
                return Ok(Change::Unchanged);
            }
        };
        let old: &[Segment] = self.rendition(place).map(|this| this.segments.as_slice()).unwrap_or_default();
        // After a restart the old numbers mean other media.
        let same_run = self.loaded.get(&place).is_some_and(|loaded| loaded.epoch == at.epoch);
        let mut fresh = timeline::segments(playlist, located, at, if same_run { old } else { &[] })?;
        let growing = fresh.pop_if(|last| last.growing).map(Box::new);
        // Nothing can be read of parts that are protected otherwise than by a plain key.
        let growing =
            growing.filter(|growing| !matches!(growing.encryption, Some(Encryption::Unsupported(_))));
        let grown = self.rendition(place).is_some_and(|this| this.growing != growing);
        let ended_before = self.loaded.get(&place).is_some_and(|loaded| loaded.header.ended);
        let changed = grown
            || fresh != old
            || ended_before != playlist.header.ended
            || !self.loaded.contains_key(&place);
        let wait = match (changed, playlist.header.server_control.can_block_reload) {
            (true, true) => Duration::ZERO,
            (true, false) => target,
            (false, _) => target / 2,
        };
        let floor = if changed && playlist.header.server_control.can_block_reload {
            Duration::ZERO
        } else {
            SHORTEST_RELOAD
        };
        self.loaded.insert(
            place,
            Loaded {
                at: now.session,
                next: now.session.saturating_add(wait.max(floor)),
                offset: i128::from(at.number) - i128::from(playlist.header.media_sequence),
                epoch: at.epoch,
                next_sequence: playlist
                    .header
                    .media_sequence
                    .saturating_add(playlist.header.skipped)
                    .saturating_add(playlist.segments.len() as u64),
                header: playlist.header.clone(),
                needs_whole: false,
                elsewhere: false,
            },
        );
        let tracks = &mut self.presentation.tracks;
        if let Some(track) = tracks.get_mut(place.0).filter(|track| track.kind == MediaKind::Image) {
            track.tiles = Some(playlist.header.tiles.unwrap_or((1, 1)));
        }
        if let Some(this) = tracks.get_mut(place.0).and_then(|track| track.renditions.get_mut(place.1)) {
            this.segments = fresh;
            this.growing = growing;
        }
        self.summarise(place, target, wait);
        Ok(if changed { Change::Changed } else { Change::Unchanged })
    }

    /// Brings what is said of the presentation as a whole up to date.
    fn summarise(&mut self, place: Place, target: Duration, wait: Duration) {
        let Some(header) = self.loaded.get(&place).map(|loaded| loaded.header.clone()) else { return };
        let presentation = &mut self.presentation;
        // The subtitles of a film may be a single segment, and an image hold a hundred pictures: that says nothing of the media.
        let beside =
            |track: &Track| matches!(track.kind, MediaKind::Text | MediaKind::Image | MediaKind::KeyFrames);
        if !presentation.tracks.get(place.0).is_some_and(beside) || presentation.tracks.len() == 1 {
            presentation.target_duration = presentation.target_duration.max(target);
        }
        // The main track decides; sound of its own may end a moment earlier or later.
        if place.0 != 0 {
            return;
        }
        let live = header.live() == Some(true);
        presentation.live = live;
        // Parts are for those who want to be near the edge: an event with them is a live stream that keeps everything, one
        // without is a film that is still being made.
        let event = header.playlist_type == Some(PlaylistType::Event) && header.part_target.is_none();
        presentation.start_at_edge = live && !event;
        presentation.reload_after = live.then_some(wait);
        let end = presentation
            .tracks
            .first()
            .and_then(crate::brain::reference)
            .and_then(|reference| reference.segments.last())
            .map(|last| last.start.saturating_add(last.duration));
        presentation.duration = if live { None } else { end };
        let is_plain = |key: &Key| key.method == "AES-128" && key.format == "identity" && key.uri.is_some();
        let keys = header.growing.as_ref().and_then(|growing| growing.keys.as_ref());
        let encrypted = keys.is_some_and(|keys| !keys.iter().any(is_plain));
        let parts =
            header.part_target.filter(|_| live && header.server_control.can_block_reload && !encrypted);
        let hold_back = match parts {
            Some(part) => header.server_control.part_hold_back.unwrap_or(part * 3).max(part * 2),
            None => header.server_control.hold_back.unwrap_or(target * 3),
        };
        presentation.target_latency = live.then_some(hold_back);
        let this = presentation.tracks.get(place.0).and_then(|track| track.renditions.get(place.1));
        let end = this.and_then(|this| match &this.growing {
            Some(growing) => Some(growing.start + header.growing.as_ref()?.duration),
            None => this.segments.last().map(|last| last.start.saturating_add(last.duration)),
        });
        // Another rendition may be a part behind.
        presentation.edge = parts
            .zip(end)
            .map(|(step, at)| Edge { at: presentation.edge.map_or(at, |before| before.at.max(at)), step });
    }
}

/// The only track of a media playlist that was opened by itself.
fn single_track(url: &Url, playlist: &MediaPlaylist) -> Track {
    let first = playlist.segments.first().map(|segment| segment.uri.as_str()).unwrap_or_default();
    let path = first.split(['?', '#']).next().unwrap_or(first);
    let audio = [".aac", ".mp3", ".ac3", ".ec3", ".m4a"].iter().any(|ending| path.ends_with(ending));
    let text = path.ends_with(".vtt") || path.ends_with(".webvtt");
    let ranges = playlist.segments.iter().filter_map(|segment| segment.byte_range.as_ref());
    let bits = ranges.map(|range| (range.end - range.start) as f64 * 8.0).sum::<f64>();
    let seconds: f64 = playlist.segments.iter().map(|segment| segment.duration.as_secs_f64()).sum();
    // Byte ranges tell the rate; otherwise nothing does.
    let known = if bits > 0.0 && seconds > 0.0 { Some((bits / seconds) as u64) } else { None };
    Track {
        id: "main".into(),
        kind: if audio {
            MediaKind::Audio
        } else if text {
            MediaKind::Text
        } else {
            MediaKind::Video
        },
        language: None,
        name: "Main".into(),
        default: true,
        autoselect: true,
        forced: false,
        tiles: None,
        renditions: vec![Rendition::listed(
            "v0".into(),
            known.unwrap_or(if audio { 128_000 } else { 1_500_000 }),
            url.clone(),
        )],
    }
}
