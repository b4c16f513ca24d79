//! A DASH presentation: the MPD, its updates, the indexes of single files, and the clock of a live stream.

use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Duration};

use url::Url;

use super::{
    addressing::Addressing,
    mpd::{Content, Mpd, Period, Representation},
    select::{self, Key},
    sidx::{self, Index},
};
use crate::{
    Error, Warning,
    model::{Edge, Encryption, MediaKind, Presentation, Protocol, Resource, Segment},
    source::{Change, Due, Lookup, Now, Request, What},
    time,
};

/// Most segments that a rendition of a live presentation lists: the latest ones.
const MOST_LIVE: u64 = 10_000;
/// Most segments over all renditions.
const MOST_SEGMENTS: usize = 500_000;
/// Comparisons that finding all qualities in all Periods may take: 20 qualities in 2 000 Periods need a sixth of it.
const MOST_LOOKUPS: usize = 5_000_000;
/// Bytes at the start of a file in which its index is looked for at first, and at most.
const PROBE: (u64, u64) = (64 * 1024, 8 * 1024 * 1024);
/// Never reload faster than this, whatever the MPD says.
const SHORTEST_RELOAD: Duration = Duration::from_millis(500);
/// The same where segments can be had while they are made.
const SHORTEST_LOW: Duration = Duration::from_millis(200);
/// An encoder is behind the clock by so much.
const LATE: Duration = Duration::from_millis(500);
/// No manifest can ask for less: a picture has to be coded, sent and decoded.
const SHORTEST_LATENCY: Duration = Duration::from_millis(500);

/// What is known of a file's index.
#[derive(Clone, Debug)]
enum Known {
    Found(Index),
    /// It has none: the file is one segment.
    Absent,
    /// More bytes are needed.
    Probe(u64),
}

/// Period (by its ordinal) and Representation.
type File = (u64, Url);

#[derive(Clone, Debug)]
pub(crate) struct DashSource {
    presentation: Presentation,
    keys: Vec<Key>,
    mpd: Arc<Mpd>,
    url: Url,
    /// Position 0 of the presentation, from the MPD's own start: a live one would begin after years otherwise.
    origin: Option<Duration>,
    /// Periods in the order in which they were first seen.
    periods: Vec<(Option<String>, Duration)>,
    indexes: BTreeMap<File, Known>,
    next_load: Option<Duration>,
    next_tick: Option<Duration>,
    /// How long after the last look a segment can be had that the MPD does not list yet.
    unlisted: Option<Duration>,
    pending: bool,
}

impl DashSource {
    pub(crate) fn new(url: &Url, text: &str, now: Now) -> Result<Self, Error> {
        let mpd = Mpd::parse(text, url)?;
        // The first Period may be an advertisement without sound; the fullest one tells the tracks.
        let fullest = mpd.periods.iter().rev().max_by_key(|period| {
            let kinds = select::tracks(period).len();
            (
                period.sets.iter().any(|set| set.representations.iter().any(|r| r.content == Content::Video)),
                kinds,
            )
        });
        let captions = fullest.map(select::captions).unwrap_or_default();
        let (mirrors, steering) = (mpd.mirrors.clone(), mpd.steering.clone());
        let (keys, tracks): (Vec<_>, Vec<_>) =
            fullest.map(select::tracks).unwrap_or_default().into_iter().unzip();
        if tracks.is_empty() {
            let advice = if text.contains("xlink:href") {
                "what it refers to elsewhere (xlink) is not loaded: ask for an MPD that is complete"
            } else {
                "check that the stream has started"
            };
            return Err(Error::incomplete("the MPD lists no video, audio or text", advice));
        }
        let mut source = Self {
            presentation: Presentation {
                protocol: Protocol::Dash,
                tracks,
                live: false,
                start_at_edge: false,
                duration: None,
                reload_after: None,
                target_duration: Duration::ZERO,
                target_latency: None,
                edge: None,
                muxed_sound: None,
                captions,
                mirrors,
                steering,
            },
            keys,
            mpd: Arc::new(mpd),
            url: url.clone(),
            origin: None,
            periods: Vec::new(),
            indexes: BTreeMap::new(),
            next_load: None,
            next_tick: None,
            unlisted: None,
            pending: false,
        };
        source.refresh(now)?;
        Ok(source)
    }

    pub(crate) fn presentation(&self) -> &Presentation {
        &self.presentation
    }

    pub(crate) fn warnings(&self) -> &[Warning] {
        self.mpd.warnings()
    }

    pub(crate) fn clocks(&self) -> &[(String, String)] {
        &self.mpd.clocks
    }

    pub(crate) fn clock_changed(&mut self, now: Now) {
        if self.mpd.dynamic {
            self.next_tick = Some(now.session);
        }
    }

    fn ordinal(&mut self, period: &Period) -> u64 {
        let known = self.periods.iter().position(|(id, start)| match (id, &period.id) {
            (Some(a), Some(b)) => a == b,
            _ => *start == period.start,
        });
        let at = known.unwrap_or_else(|| {
            self.periods.push((period.id.clone(), period.start));
            self.periods.len() - 1
        });
        at as u64
    }

    /// Time since the MPD's availability start.
    fn clock(&self, now: Now) -> Duration {
        let from = self.mpd.available_from.unwrap_or(0.0);
        Duration::try_from_secs_f64(now.unix.as_secs_f64() - from).unwrap_or_default().min(time::LONGEST)
    }

    /// Files of a rendition whose index is not known yet.
    fn unknown(&self, track: usize, rendition: usize) -> Vec<(u64, &Representation)> {
        let Some((key, this)) = self
            .keys
            .get(track)
            .zip(self.presentation.tracks.get(track).and_then(|track| track.renditions.get(rendition)))
        else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for period in &self.mpd.periods {
            let Some(representation) = select::locate(key, this, period) else { continue };
            let ordinal = self.periods.iter().position(|(id, start)| match (id, &period.id) {
                (Some(a), Some(b)) => a == b,
                _ => *start == period.start,
            });
            let Some(ordinal) = ordinal.map(|ordinal| ordinal as u64) else { continue };
            let indexed = needs_index(representation);
            let file = (ordinal, representation.base.clone());
            if indexed && matches!(self.indexes.get(&file), None | Some(Known::Probe(_))) {
                out.push((ordinal, representation));
            }
        }
        out
    }

    pub(crate) fn wanted(&self, track: usize, rendition: usize) -> Vec<Request> {
        self.unknown(track, rendition)
            .into_iter()
            .map(|(period, representation)| {
                let probe = match self.indexes.get(&(period, representation.base.clone())) {
                    Some(Known::Probe(until)) => *until,
                    _ => PROBE.0,
                };
                let range = representation.addressing.index_range.clone().unwrap_or(0..probe);
                Request {
                    resource: Resource { url: representation.base.clone(), range: Some(range) },
                    what: What::Index { track, rendition, period },
                    blocking: false,
                }
            })
            .collect()
    }

    pub(crate) fn supply(
        &mut self,
        request: &Request,
        located: &Url,
        bytes: &[u8],
        now: Now,
    ) -> Result<Change, Error> {
        match request.what {
            What::Manifest => {
                let text = crate::text(bytes)?;
                let crate::Found::Dash = crate::detect(&text)? else {
                    return Err(Error::Changed {
                        url: located.to_string(),
                        was: "a DASH manifest",
                        is: "another kind of manifest",
                    });
                };
                let before = std::mem::replace(&mut self.mpd, Arc::new(Mpd::parse(&text, located)?));
                match self.refresh(now) {
                    Ok(change) => {
                        self.pending = false;
                        Ok(change)
                    }
                    Err(reason) => {
                        self.mpd = before;
                        Err(reason)
                    }
                }
            }
            What::Index { period, .. } => {
                let asked = request.resource.range.clone().unwrap_or(0..u64::MAX);
                // A server that ignores the range sends the file from its start.
                let length = bytes.len() as u64;
                let from_start = length > asked.end - asked.start;
                let offset = if from_start { 0 } else { asked.start };
                let file = (period, request.resource.url.clone());
                let given = asked.start > 0 && !from_start;
                let known = match sidx::find(bytes, offset, request.resource.url.as_str())? {
                    sidx::Found::Index(index) => Known::Found(index.coalesced()),
                    sidx::Found::More(until)
                        if !given && until > length && until <= PROBE.1 && length >= PROBE.0 =>
                    {
                        Known::Probe(until + 4096)
                    }
                    _ if given => {
                        return Err(Error::Index {
                            url: request.resource.url.to_string(),
                            what: "there is none in the range that the manifest gives".into(),
                        });
                    }
                    _ => Known::Absent,
                };
                self.indexes.insert(file, known);
                self.refresh(now)?;
                Ok(Change::Changed)
            }
            What::Playlist { .. } => Ok(Change::Unchanged),
        }
    }

    pub(crate) fn failed(&mut self, request: &Request, now: Now) {
        if request.what == What::Manifest {
            self.pending = false;
            let wait = self.presentation.target_duration / 2;
            self.next_load = Some(now.session + wait.clamp(SHORTEST_RELOAD, Duration::from_secs(6)));
        }
    }

    pub(crate) fn due(&mut self, active: &[(usize, usize)], now: Now) -> Due {
        let _ = active;
        let mut due = Due { requests: Vec::new(), change: Change::Unchanged, wake_at: None };
        if self.next_tick.is_some_and(|at| at <= now.session) {
            // What could be read once can be read again; only the clock moved.
            due.change = self.build(now).unwrap_or(Change::Unchanged);
        }
        match self.next_load {
            Some(at) if at <= now.session && !self.pending => {
                self.pending = true;
                let url = self.mpd.location.clone().unwrap_or_else(|| self.url.clone());
                let resource = Resource { url, range: None };
                due.requests.push(Request { resource, what: What::Manifest, blocking: false });
            }
            _ => {}
        }
        let load = self.next_load.filter(|_| !self.pending);
        due.wake_at = [load, self.next_tick].into_iter().flatten().min();
        due
    }

    pub(crate) fn segment(&self, track: usize, rendition: usize, number: u64, now: Now) -> Lookup<'_> {
        if let Some(request) = self.wanted(track, rendition).into_iter().next() {
            return Lookup::Load(request);
        }
        let this = self.presentation.tracks.get(track).and_then(|track| track.renditions.get(rendition));
        let Some(this) = this else { return Lookup::Gone };
        if let Some(segment) = crate::brain::find(&this.segments, number) {
            return Lookup::Ready(segment);
        }
        let past = this.segments.last().is_none_or(|last| number > last.number);
        if past && self.presentation.live {
            let soonest = [self.next_load, self.next_tick].into_iter().flatten().min();
            return Lookup::Later(soonest.unwrap_or(now.session).max(now.session + SHORTEST_RELOAD));
        }
        Lookup::Gone
    }

    /// After the MPD or an index came in.
    fn refresh(&mut self, now: Now) -> Result<Change, Error> {
        let change = self.build(now)?;
        let target = self.presentation.target_duration;
        let wait = self.mpd.update_after.map(|wait| if wait.is_zero() { target } else { wait });
        self.next_load = wait
            .filter(|_| self.mpd.dynamic)
            .map(|wait| match self.unlisted {
                // A list that names each segment is read again when the next one begins to be there.
                Some(unlisted) => wait.min(unlisted).max(SHORTEST_LOW),
                None => wait.max(SHORTEST_RELOAD),
            })
            .map(|wait| now.session.saturating_add(wait));
        self.presentation.reload_after = wait.filter(|_| self.mpd.dynamic);
        Ok(change)
    }

    /// Lists the segments anew and merges them with what was known.
    fn build(&mut self, now: Now) -> Result<Change, Error> {
        let mpd = self.mpd.clone();
        // Every quality is looked for among those of every Period.
        let qualities: usize = self.presentation.tracks.iter().map(|track| track.renditions.len()).sum();
        let listed =
            mpd.periods.iter().flat_map(|period| &period.sets).map(|set| set.representations.len() + 1);
        if qualities.saturating_mul(listed.sum()) > MOST_LOOKUPS {
            return Err(Error::TooLarge { what: "Representations times Periods", limit: MOST_LOOKUPS });
        }
        let ordinals: Vec<u64> = mpd.periods.iter().map(|period| self.ordinal(period)).collect();
        let clock = self.clock(now);
        let mut changed = false;
        let mut total = 0;
        let mut longest = Duration::ZERO;
        let mut ticking = false;
        let mut growing = false;
        // Until the next segment can be asked for while it is made: it is asked for at once.
        let mut soonest: Option<Duration> = None;
        let mut unlisted: Option<Duration> = None;
        for track in 0..self.keys.len() {
            let listed = self.presentation.tracks.get(track);
            let renditions = listed.map_or(0, |track| track.renditions.len());
            // The text of a film may be one segment, and an image a hundred pictures: that says nothing of the media.
            let is_media =
                listed.is_some_and(|track| matches!(track.kind, MediaKind::Video | MediaKind::Audio));
            for rendition in 0..renditions {
                let mut fresh = Vec::new();
                if self.unknown(track, rendition).is_empty() {
                    let Some((key, this)) = self.keys.get(track).zip(
                        self.presentation.tracks.get(track).and_then(|track| track.renditions.get(rendition)),
                    ) else {
                        continue;
                    };
                    for (period, ordinal) in mpd.periods.iter().zip(&ordinals) {
                        let Some(representation) = select::locate(key, this, period) else { continue };
                        let known = self.indexes.get(&(*ordinal, representation.base.clone()));
                        let open = mpd.dynamic.then_some((clock, mpd.window));
                        ticking |= mpd.dynamic && representation.addressing.is_clocked();
                        let room = MOST_SEGMENTS.saturating_sub(total + fresh.len());
                        list(&mut fresh, representation, period, *ordinal, known, open, room)?;
                        let wait = open
                            .and_then(|(clock, _)| next_growing(&representation.addressing, period, clock));
                        growing |= mpd.dynamic && while_made(&representation.addressing).is_some();
                        let next =
                            if representation.addressing.is_clocked() { &mut soonest } else { &mut unlisted };
                        *next = [*next, wait].into_iter().flatten().min();
                    }
                }
                if self.origin.is_none() && !fresh.is_empty() {
                    let first: Option<&Segment> = fresh.first();
                    self.origin =
                        Some(first.map_or(Duration::ZERO, |first| first.start).min(if mpd.dynamic {
                            Duration::MAX
                        } else {
                            Duration::ZERO
                        }));
                }
                let origin = self.origin.unwrap_or_default();
                for segment in &mut fresh {
                    let made = mpd.available_from.filter(|_| mpd.dynamic);
                    segment.program_date_time = made.map(|from| from + segment.start.as_secs_f64());
                    segment.start = segment.start.saturating_sub(origin);
                    segment.media_time_offset =
                        segment.media_time_offset.map(|offset| offset + origin.as_secs_f64());
                    if is_media {
                        longest = longest.max(segment.duration);
                    }
                }
                total += fresh.len();
                let tracks = &mut self.presentation.tracks;
                let Some(this) = tracks.get_mut(track) else { continue };
                let own = this.renditions.get(rendition).filter(|own| !own.segments.is_empty());
                let known = own.or_else(|| crate::brain::reference(this)).map(|r| r.segments.as_slice());
                number(&mut fresh, known.unwrap_or_default());
                if let Some(own) = this.renditions.get_mut(rendition) {
                    changed |= own.segments != fresh;
                    own.segments = fresh;
                }
            }
        }
        changed |= self.presentation.live != mpd.dynamic;
        let target = mpd.max_segment.unwrap_or(longest).max(longest);
        let presentation = &mut self.presentation;
        presentation.target_duration = target;
        presentation.live = mpd.dynamic;
        presentation.start_at_edge = mpd.dynamic;
        let end = mpd.end().map(|end| end.saturating_sub(self.origin.unwrap_or_default()));
        presentation.duration = end.filter(|_| !mpd.dynamic);
        let latency = mpd.latency.or(mpd.suggested_delay).unwrap_or(target.saturating_mul(3));
        // What can be had while it is made ends at the clock, all else up to a segment before it.
        let edge = clock.checked_sub(self.origin.unwrap_or_default()).filter(|_| mpd.dynamic && growing);
        self.unlisted = unlisted.filter(|_| mpd.dynamic);
        presentation.edge = edge.map(|at| Edge { at, step: Duration::ZERO });
        let least = if growing { SHORTEST_LATENCY } else { target };
        presentation.target_latency = mpd.dynamic.then(|| latency.max(least));
        let step = (target / 4).clamp(Duration::from_millis(250), Duration::from_secs(2));
        let step = soonest.map_or(step, |soonest| step.min(soonest.max(Duration::from_millis(20))));
        self.next_tick = ticking.then(|| now.session.saturating_add(step));
        Ok(if changed { Change::Changed } else { Change::Unchanged })
    }
}

fn needs_index(representation: &Representation) -> bool {
    representation.addressing.is_one_resource()
        && matches!(representation.content, Content::Video | Content::Audio)
}

/// Adds the segments that a Representation has in `period`; positions from the MPD's own start. `open` is the clock
/// since the availability start, and the window, of a dynamic MPD; `room` is how many more may be listed.
fn list(
    out: &mut Vec<Segment>,
    representation: &Representation,
    period: &Period,
    ordinal: u64,
    index: Option<&Known>,
    open: Option<(Duration, Option<Duration>)>,
    room: usize,
) -> Result<(), Error> {
    let Representation { id, base, addressing, .. } = representation;
    let bandwidth = representation.bandwidth.unwrap_or(0);
    let period_end = period.duration.map_or(time::LONGEST, |length| period.start.saturating_add(length));
    let offset = addressing.offset() as f64 / addressing.timescale() as f64;
    let template = Segment {
        number: 0,
        start: period.start,
        duration: Duration::ZERO,
        media: Resource { url: base.clone(), range: None },
        init: addressing.init(base, id, bandwidth).map(|(url, range)| Resource { url, range }),
        discontinuity: ordinal,
        media_time_offset: Some(offset - period.start.as_secs_f64()),
        encryption: representation.protection.clone().map(Encryption::Unsupported),
        size: None,
        gap: false,
        growing: false,
        parts: None,
        program_date_time: None,
    };
    if addressing.is_one_resource() {
        return one_resource(out, &template, addressing, index, period);
    }
    let timeline = addressing.timeline();
    let Some((indices, complete)) = available(addressing, period, open) else { return Ok(()) };
    if indices.end - indices.start > room as u64 {
        return Err(Error::TooLarge { what: "segments", limit: MOST_SEGMENTS });
    }
    for at in indices {
        // A single segment without a timeline lasts for its Period.
        let whole = (Duration::ZERO, period.duration.unwrap_or_default(), addressing.offset());
        let Some((start, length, _)) =
            addressing.span(timeline.as_deref(), at).or(timeline.is_none().then_some(whole))
        else {
            break;
        };
        let Some((url, range)) = addressing.media(base, id, bandwidth, timeline.as_deref(), at) else {
            continue;
        };
        let start = period.start.saturating_add(start);
        out.push(Segment {
            number: addressing.start_number().saturating_add(at),
            start,
            duration: start.saturating_add(length).min(period_end).saturating_sub(start),
            size: range.as_ref().map(|range| range.end - range.start),
            media: Resource { url, range },
            growing: at >= complete,
            ..template.clone()
        });
    }
    Ok(())
}

/// How long before the end of a segment it can be asked for although it comes at the pace of the encoder.
fn while_made(addressing: &Addressing) -> Option<Duration> {
    match (addressing.early, addressing.early_whole) {
        (Some(early), Some(false)) if early > 0.0 => {
            Some(Duration::try_from_secs_f64(early).unwrap_or(time::LONGEST))
        }
        _ => None,
    }
}

/// How long it is until a further segment can be asked for while it is made; `None` where that cannot be done.
fn next_growing(addressing: &Addressing, period: &Period, clock: Duration) -> Option<Duration> {
    let early = while_made(addressing)?;
    let timeline = addressing.timeline()?;
    let inside = clock.checked_sub(period.start)?;
    let (indices, _) = available(addressing, period, Some((clock, None)))?;
    let (start, length) = if addressing.is_clocked() {
        let (start, length, _) = addressing.span(Some(&timeline), indices.end)?;
        (start, length)
    } else {
        // It is not listed yet, and most likely as long as the last one.
        let (start, length, _) = addressing.span(Some(&timeline), indices.end.checked_sub(1)?)?;
        (start.saturating_add(length), length)
    };
    // One at a time: what is to come after the one that is being made is not there before that one is complete.
    let from = start.saturating_add(length).saturating_sub(early.min(length));
    Some(from.saturating_sub(inside))
}

/// Indices of the segments that can be had now, and the first of them that is still being made.
fn available(
    addressing: &Addressing,
    period: &Period,
    open: Option<(Duration, Option<Duration>)>,
) -> Option<(Range<u64>, u64)> {
    let whole = addressing.indices(period.duration);
    let Some((clock, window)) = open.filter(|_| addressing.is_clocked() || while_made(addressing).is_some())
    else {
        return whole.map(|whole| (whole, u64::MAX));
    };
    let timeline = addressing.timeline()?;
    let scale = u128::from(addressing.timescale());
    let offset = u128::from(addressing.offset());
    let to_ticks = |at: Duration| at.min(time::LONGEST).as_nanos() * scale / 1_000_000_000 + offset;
    let early = match (addressing.early, addressing.early_whole) {
        (Some(early), None | Some(true)) => Duration::try_from_secs_f64(early).unwrap_or_default(),
        _ => Duration::ZERO,
    };
    let inside = clock.checked_sub(period.start)?;
    if !addressing.is_clocked() {
        // The list says what there is; the last of it may still be in the making.
        let complete = timeline.ending_by(to_ticks(inside.saturating_sub(LATE)));
        return whole.map(|whole| (whole, complete));
    }
    let complete = timeline.ending_by(to_ticks(inside.saturating_add(early)));
    let end = match while_made(addressing) {
        // The one that is being made, and no further one.
        Some(early) => timeline
            .ending_by(to_ticks(inside.saturating_add(early)))
            .clamp(complete, complete.saturating_add(1)),
        None => complete,
    };
    let start = match window {
        Some(window) => inside.checked_sub(window).map_or(0, |from| timeline.ending_by(to_ticks(from))),
        None => 0,
    };
    let whole = whole.unwrap_or(addressing.first()..u64::MAX);
    let end = end.min(whole.end);
    let start = start.max(whole.start).max(end.saturating_sub(MOST_LIVE)).min(end);
    Some((start..end, complete))
}

/// Segments of a file by its index, or the file as one segment.
fn one_resource(
    out: &mut Vec<Segment>,
    template: &Segment,
    addressing: &Addressing,
    index: Option<&Known>,
    period: &Period,
) -> Result<(), Error> {
    let Some(Known::Found(index)) = index else {
        out.push(Segment { duration: period.duration.unwrap_or_default(), init: None, ..template.clone() });
        return Ok(());
    };
    let init_end = index
        .init_end
        .or_else(|| addressing.index_range.as_ref().map(|range| range.start))
        .filter(|end| *end > 0)
        .or_else(|| index.references.first().map(|first| first.range.start));
    let init = template
        .init
        .clone()
        .or_else(|| init_end.map(|end| Resource { url: template.media.url.clone(), range: Some(0..end) }));
    let offset = time::ticks(u128::from(addressing.offset()), addressing.timescale());
    for reference in &index.references {
        let start = time::ticks(u128::from(reference.time), index.timescale);
        let end = time::ticks(u128::from(reference.time) + u128::from(reference.duration), index.timescale);
        if end <= offset || period.duration.is_some_and(|length| start.saturating_sub(offset) >= length) {
            continue;
        }
        let begin = start.saturating_sub(offset);
        out.push(Segment {
            start: period.start.saturating_add(begin),
            duration: end.saturating_sub(offset).saturating_sub(begin),
            media: Resource { url: template.media.url.clone(), range: Some(reference.range.clone()) },
            init: init.clone(),
            size: Some(reference.range.end - reference.range.start),
            ..template.clone()
        });
    }
    Ok(())
}

/// Numbers `fresh` so that a number means the same media as in `known`.
fn number(fresh: &mut [Segment], known: &[Segment]) {
    let Some(first) = fresh.first().map(|first| first.number) else { return };
    let mut base = i128::from(first);
    if let (Some(oldest), Some(newest)) = (known.first(), known.last()) {
        let matched = fresh.iter().enumerate().find_map(|(at, segment)| {
            let next = known.partition_point(|other| other.start < segment.start);
            let near = [next.checked_sub(1), Some(next)].into_iter().flatten().filter_map(|at| known.get(at));
            let near = near.min_by_key(|other| other.start.abs_diff(segment.start))?;
            (near.start.abs_diff(segment.start) < segment.duration.max(near.duration) / 2)
                .then(|| i128::from(near.number) - at as i128)
        });
        let end = newest.start.saturating_add(newest.duration);
        let average = end.saturating_sub(oldest.start).as_secs_f64() / known.len() as f64;
        let start = fresh.first().map_or(Duration::ZERO, |first| first.start).as_secs_f64();
        base = matched.unwrap_or_else(|| {
            let steps = (start - end.as_secs_f64()) / average.max(0.001);
            i128::from(newest.number) + 1 + steps.round() as i128
        });
    }
    // A manifest that goes back before the first number ever given means other media; they still rise by one.
    let base = base.clamp(0, i128::from(u64::MAX) - fresh.len() as i128);
    for (at, segment) in fresh.iter_mut().enumerate() {
        segment.number = u64::try_from(base + at as i128).unwrap_or(0);
    }
}
