//! One session: the loop that stands in for engine, network and viewer.

use std::{sync::Arc, time::Duration};

use weir_abr::{
    Bitrate, Command, Event, Planner, RungId, Track, TrackKind,
    planner::{Config, FetchId},
    record::{Curve, Entry},
};

use super::{
    live::LiveEdge,
    network::{Network, Transport},
    playback::{Clock, Held, Played, Slot, Stall},
    recorder::Recorder,
};
use crate::{content::Content, trace::Link};

/// A recorded session and its replay begin playback at the same word when it was said within this of the other.
const SAME_WORD: Duration = Duration::from_millis(500);
/// Progress and playhead are reported this often, on a grid.
const TICK: Duration = Duration::from_millis(100);
/// Played media further back than this is dropped, as the engine does.
const BACK_BUFFER: Duration = Duration::from_secs(30);
/// A session that takes longer than this many times its content is given up.
const MAX_STRETCH: u32 = 20;

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// What is streamed.
    pub content: &'a Content,
    /// Over which link.
    pub link: &'a Link,
    /// Transport effects.
    pub transport: Transport,
    /// The manifest says nothing of sizes.
    pub hide_sizes: bool,
    /// Published live.
    pub live: Option<LiveEdge>,
    /// What the viewer does, by session time, in order.
    pub script: &'a [(Duration, Event)],
    /// Keep the record (costs time and memory).
    pub record: bool,
    /// What a recorded session showed of its player and server.
    pub circumstances: Option<&'a Circumstances>,
}

/// What a record shows beyond link and content: needed to play a session again as it was.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// For each track and rung: what the first request at the rung waits for its playlist.
    pub openings: Vec<Vec<Duration>>,
    /// When the planner said that playback begins.
    pub begun: Option<Duration>,
    /// From the planner's word to start until pictures move.
    pub picture_delay: Duration,
    /// What was known of the network, and its age.
    pub remembered: Option<(Bitrate, Duration)>,
    /// The session is ended then.
    pub until: Option<Duration>,
}

impl<'a> Setup<'a> {
    /// On demand, plain transport, no viewer's actions, no record.
    pub fn new(content: &'a Content, link: &'a Link) -> Self {
        Self {
            content,
            link,
            transport: Transport::default(),
            hide_sizes: false,
            live: None,
            script: &[],
            record: false,
            circumstances: None,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// Segments of the main track as they came on screen.
    pub played: Vec<Played>,
    /// Times without pictures.
    pub stalls: Vec<Stall>,
    /// Until the first picture; `None` when there never was one.
    pub startup: Option<Duration>,
    /// When it ended.
    pub end: Duration,
    /// Playback came to the end of the content.
    pub finished: bool,
    /// Why the planner gave up.
    pub failed: Option<String>,
    /// Bytes downloaded in all.
    pub bytes: u64,
    /// Of those, bytes of downloads that were given up.
    pub aborted_bytes: u64,
    /// Of those, bytes that were replaced before they were shown.
    pub replaced_bytes: u64,
    /// Downloads given up.
    pub aborts: u32,
    /// Segments replaced.
    pub replacements: u32,
    /// For each complete main segment: expected and measured rate in kbit/s.
    pub estimates: Vec<(f64, f64)>,
    /// Mean distance to the live edge while playing, in seconds; `None` unless live.
    pub live_latency_s: Option<f64>,
    /// Times of seeks, and until pictures came again.
    pub seeks: Vec<(Duration, Duration)>,
    /// The record, when asked for.
    pub record: Vec<Entry>,
}

/// A download under way.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) id: FetchId,
    pub(super) track: usize,
    pub(super) index: u64,
    pub(super) rung: RungId,
    pub(super) replace: bool,
    /// When the request goes out.
    pub(super) asked: Duration,
    /// It went out.
    pub(super) sent: bool,
    pub(super) first_byte: Option<Duration>,
    pub(super) estimate_kbps: Option<f64>,
    pub(super) curve: Curve,
}

struct Runner<'a> {
    setup: Setup<'a>,
    tracks: Vec<Arc<Track>>,
    planner: Planner,
    network: Network<'a>,
    held: Vec<Held>,
    /// For each track the segment of which a part can be played, and up to where. Only where a recorded session is played
    /// again: the player plays segments while they come, the suites compare by whole ones.
    parts: Vec<Option<(u64, Duration)>>,
    fetches: Vec<Fetch>,
    clock: Clock,
    now: Duration,
    wake: Option<Duration>,
    /// Main segment that is on screen.
    entered: Option<u64>,
    stall_since: Option<Duration>,
    seek_since: Option<(Duration, Duration)>,
    next_listing: Option<Duration>,
    /// When pictures began to move.
    moving: Duration,
    /// Rungs of which the playlist is there.
    opened: Vec<Vec<bool>>,
    script_at: usize,
    latency_sum: f64,
    latency_count: u32,
    out: Session,
    recorder: Recorder,
}

fn to_ms(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e6
}

/// The first nanosecond at or after `ms`.
fn at_ms(ms: f64) -> Duration {
    let nanos = (ms * 1e6).ceil() as u64;
    let time = Duration::from_nanos(nanos);
    if to_ms(time) < ms { time + Duration::from_nanos(1) } else { time }
}

/// Runs a session to its end with this controller; `None` when there is no controller of that name.
pub fn simulate(setup: Setup<'_>, config: Config) -> Result<Session, weir_abr::planner::UnknownController> {
    let mut recorder = Recorder::new(setup.record);
    recorder.session(&config.controller, config.max_buffer, &setup.content.name);
    let planner = Planner::new(config)?;
    Ok(Runner::new(setup, planner, recorder).run())
}

impl<'a> Runner<'a> {
    fn new(setup: Setup<'a>, planner: Planner, recorder: Recorder) -> Self {
        let tracks =
            if setup.hide_sizes { setup.content.without_sizes() } else { setup.content.tracks.clone() };
        let held = setup.content.tracks.iter().map(|track| Held::new(track)).collect();
        Self {
            setup,
            tracks,
            planner,
            network: Network::new(setup.link, setup.transport),
            parts: vec![None; setup.content.tracks.len()],
            held,
            fetches: Vec::with_capacity(2),
            clock: Clock::new(),
            now: Duration::ZERO,
            wake: None,
            entered: None,
            stall_since: None,
            seek_since: None,
            next_listing: None,
            moving: Duration::ZERO,
            opened: setup.content.tracks.iter().map(|track| vec![false; track.ladder.len()]).collect(),
            script_at: 0,
            latency_sum: 0.0,
            latency_count: 0,
            out: Session::default(),
            recorder,
        }
    }

    fn run(mut self) -> Session {
        self.recorder.ladders(&self.tracks);
        if let Some((rate, age)) = self.setup.circumstances.and_then(|it| it.remembered) {
            self.planner.handle(self.now, Event::RememberedThroughput(rate, age));
        }
        self.announce();
        let limit = self.setup.content.duration() * MAX_STRETCH + Duration::from_secs(600);
        let limit = self.setup.circumstances.and_then(|it| it.until).unwrap_or(limit);
        while !self.out.finished && self.out.failed.is_none() && self.now < limit {
            let Some(next) = self.next_time() else {
                self.out.failed = Some("the planner waits for nothing".to_owned());
                break;
            };
            self.now = next.max(self.now);
            self.network.advance(to_ms(self.now));
            self.step();
        }
        self.finish()
    }

    /// When something happens next.
    fn next_time(&self) -> Option<Duration> {
        let mut next = [self.wake, self.next_listing].into_iter().flatten().min();
        let mut sooner = |time: Duration| next = Some(next.map_or(time, |next: Duration| next.min(time)));
        if let Some((time, _)) = self.setup.script.get(self.script_at) {
            sooner(*time);
        }
        for fetch in self.fetches.iter().filter(|fetch| !fetch.sent) {
            sooner(fetch.asked);
        }
        let network = self.network.next_event_ms();
        if network.is_finite() {
            sooner(at_ms(network));
        }
        let receiving = self.network.flows().iter().any(|flow| flow.announced);
        if receiving || self.clock.is_running() {
            let ticks = self.now.as_nanos() / TICK.as_nanos() + 1;
            sooner(Duration::from_nanos((ticks * TICK.as_nanos()) as u64));
        }
        if let Some(end) = self.clock.time_of(self.setup.content.duration())
            && end > self.now
        {
            sooner(end);
        }
        next
    }

    fn step(&mut self) {
        self.send_requests();
        self.first_bytes();
        self.completed();
        if self.now.as_nanos().is_multiple_of(TICK.as_nanos()) {
            self.tick();
        }
        self.look_at_end();
        while let Some((time, event)) = self.setup.script.get(self.script_at)
            && *time <= self.now
        {
            self.script_at += 1;
            self.viewer(event.clone());
        }
        if self.next_listing.is_some_and(|time| time <= self.now) {
            self.announce();
        }
        if self.wake.is_some_and(|wake| wake <= self.now) {
            self.wake = None;
            self.tell(Event::Wake);
        }
    }

    /// Hands the planner the presentation as it is listed now.
    fn announce(&mut self) {
        let (tracks, live) = match self.setup.live {
            None => (self.tracks.clone(), None),
            Some(live) => {
                let listed = self.tracks.iter().map(|track| live.listed(track, self.now)).collect();
                self.next_listing = self.tracks.iter().filter_map(|track| live.next(track, self.now)).min();
                (listed, self.next_listing.map(|_| live.live()))
            }
        };
        self.tell(Event::Presentation { tracks, live });
    }

    /// Sends the requests that waited for a playlist.
    fn send_requests(&mut self) {
        loop {
            let due = self.fetches.iter_mut().find(|fetch| !fetch.sent && fetch.asked <= self.now);
            let Some(fetch) = due else { break };
            fetch.sent = true;
            let (id, track, index, rung) = (fetch.id, fetch.track, fetch.index, fetch.rung);
            self.network.start(id.0, self.size(track, index, rung));
            self.tell(Event::TransferStarted(id));
        }
    }

    /// What the first request at a rung waits for.
    fn opening(&mut self, track: usize, rung: RungId) -> Duration {
        let Some(circumstances) = self.setup.circumstances else { return Duration::ZERO };
        let opened = self.opened.get_mut(track).and_then(|rungs| rungs.get_mut(rung.0));
        if opened.is_none_or(|opened| std::mem::replace(opened, true)) {
            return Duration::ZERO;
        }
        let waits = circumstances.openings.get(track);
        waits.and_then(|waits| waits.get(rung.0)).copied().unwrap_or_default()
    }

    fn first_bytes(&mut self) {
        let now_ms = to_ms(self.now);
        loop {
            let mut flows = self.network.flows_mut().iter_mut();
            let Some(flow) = flows.find(|flow| !flow.announced && flow.first_byte_ms() <= now_ms) else {
                break;
            };
            flow.announced = true;
            let id = FetchId(flow.id);
            let mut size = None;
            if let Some(fetch) = self.fetches.iter_mut().find(|fetch| fetch.id == id) {
                fetch.first_byte = Some(self.now);
                size = self.setup.hide_sizes.then_some((fetch.track, fetch.index, fetch.rung));
            }
            self.tell(Event::FirstByte(id));
            // A response says how long it is; where the manifest does, the planner knows.
            if let Some((track, index, rung)) = size {
                self.tell(Event::TransferSize(id, self.size(track, index, rung)));
            }
        }
    }

    fn completed(&mut self) {
        loop {
            let done = self.network.flows().iter().find(|flow| flow.announced && flow.is_done());
            let Some(id) = done.map(|flow| flow.id) else { break };
            let _ = self.network.stop(id);
            let Some(at) = self.fetches.iter().position(|fetch| fetch.id == FetchId(id)) else { continue };
            let fetch = self.fetches.swap_remove(at);
            // What the others have brought until now belongs to the same measurement.
            self.progress();
            self.arrived(fetch);
        }
    }

    fn size(&self, track: usize, index: u64, rung: RungId) -> u64 {
        let track = &self.setup.content.tracks[track];
        track.segment(index).map_or(0, |segment| segment.size(rung, &track.ladder)).max(1)
    }

    fn arrived(&mut self, fetch: Fetch) {
        let bytes = self.size(fetch.track, fetch.index, fetch.rung);
        if let Slot::Media(old) = self.held[fetch.track].get(fetch.index) {
            self.out.replaced_bytes += self.size(fetch.track, fetch.index, old);
        }
        if fetch.replace {
            self.out.replacements += 1;
        }
        self.held[fetch.track].set(fetch.index, Slot::Media(fetch.rung));
        let first_byte = fetch.first_byte.unwrap_or(fetch.asked);
        let took = self.now.saturating_sub(first_byte).as_secs_f64();
        if let (0, Some(expected), true) = (fetch.track, fetch.estimate_kbps, took > 0.0) {
            self.out.estimates.push((expected, bytes as f64 * 8.0 / took / 1000.0));
        }
        self.tell(Event::TransferDone(fetch.id, bytes));
        let position = self.position();
        let buffer = self.held_end(position).saturating_sub(position);
        let track = &self.setup.content.tracks[fetch.track];
        let times = (fetch.asked, first_byte, self.now);
        let flags = (fetch.replace, !self.setup.hide_sizes);
        self.recorder.segment(track, fetch.index, fetch.rung, bytes, times, flags, buffer, fetch.curve);
    }

    fn progress(&mut self) {
        for at in 0..self.network.flows().len() {
            let Some(flow) = self.network.flows().get(at) else { break };
            if flow.announced {
                let (id, bytes) = (flow.id, flow.bytes());
                if self.setup.record
                    && let Some(fetch) = self.fetches.iter_mut().find(|fetch| fetch.id.0 == id)
                {
                    fetch.curve.add(to_ms(self.now.saturating_sub(fetch.asked)), bytes);
                }
                let share = flow.share();
                self.tell(Event::TransferProgress(FetchId(id), bytes));
                self.append(FetchId(id), share);
            }
        }
    }

    /// So much of a segment has come, and can be played.
    fn append(&mut self, id: FetchId, share: f64) {
        let fetch = self.fetches.iter().find(|fetch| fetch.id == id && !fetch.replace);
        let Some(fetch) = fetch.filter(|_| self.setup.circumstances.is_some()) else { return };
        let (track, index) = (fetch.track, fetch.index);
        let Some(segment) = self.setup.content.tracks.get(track).and_then(|track| track.segment(index))
        else {
            return;
        };
        let until = segment.start + segment.duration.mul_f64(share);
        if let Some(part) = self.parts.get_mut(track) {
            let before = part.filter(|(of, _)| *of == index).map(|(_, until)| until);
            *part = Some((index, before.map_or(until, |before| before.max(until))));
        }
        self.tell(Event::MediaAppended(id, until));
    }

    fn tick(&mut self) {
        self.progress();
        if self.clock.is_running() && self.now >= self.moving {
            let position = self.position();
            if let Some(live) = self.setup.live {
                self.latency_sum += live.edge(self.now).saturating_sub(position).as_secs_f64();
                self.latency_count += 1;
            }
            if self.setup.record {
                let buffer = self.held_end(position).saturating_sub(position);
                let height = self.height_at(position);
                self.recorder.position(self.now, position, buffer, height);
            }
            self.tell(Event::Playhead(position));
        }
    }

    fn height_at(&self, position: Duration) -> u32 {
        let track = self.setup.content.main();
        match track.index_at(position).map(|index| self.held[0].get(index)) {
            Some(Slot::Media(rung)) => track.ladder.rung(rung).height.unwrap_or(0),
            _ => 0,
        }
    }

    /// Where media of all tracks together ends from `position` on.
    fn held_end(&self, position: Duration) -> Duration {
        let duration = self.setup.content.duration();
        self.setup
            .content
            .tracks
            .iter()
            .zip(self.held.iter().zip(&self.parts))
            .map(|(track, (held, part))| {
                let end = held.end(track, position);
                // A part goes on where whole segments end.
                let part = part.filter(|(index, _)| track.index_at(end) == Some(*index));
                let end = part.map_or(end, |(_, until)| until.max(end));
                // A track that ends before the others does not stop them.
                if end >= track.end() { duration } else { end }
            })
            .min()
            .unwrap_or(position)
    }

    /// Where the playhead is; notes what came on screen since the last look, and jumps over holes.
    fn position(&mut self) -> Duration {
        let content = self.setup.content;
        let track = content.main();
        let known = self.clock.position(self.now, Duration::MAX);
        let mut position = if self.clock.is_running() {
            // The end is looked for from where the picture was last seen.
            let from =
                self.entered.and_then(|index| track.segment(index)).map_or(known, |s| s.start.min(known));
            self.clock.position(self.now, self.held_end(from))
        } else {
            known
        };
        while let Some(index) = track.index_at(position)
            && self.clock.is_running()
            && self.held[0].get(index) == Slot::Hole
            && let Some(segment) = track.segment(index)
        {
            position = segment.end();
            self.clock.run_from(self.now, position);
        }
        self.enter_until(position);
        position
    }

    fn enter_until(&mut self, position: Duration) {
        if self.out.startup.is_none() || self.seek_since.is_some() {
            return;
        }
        let content = self.setup.content;
        let track = content.main();
        let Some(current) = track.index_at(position) else { return };
        let mut index = self.entered.map_or(current, |entered| entered + 1);
        while index <= current {
            if let (Slot::Media(rung), Some(segment)) = (self.held[0].get(index), track.segment(index)) {
                let at = self.clock.time_of(segment.start).unwrap_or(self.now).min(self.now);
                self.recorder.entered(track, rung, at, segment.start);
                self.out.played.push(Played { index, rung, duration: segment.duration, at });
                self.entered = Some(index);
                let back = segment.start.saturating_sub(BACK_BUFFER);
                if !back.is_zero() {
                    self.planner.handle(self.now, Event::Evicted(TrackKind::Video, back));
                }
            } else if self.held[0].get(index) == Slot::Hole {
                self.entered = Some(index);
            } else {
                break;
            }
            index += 1;
        }
    }

    fn look_at_end(&mut self) {
        let over = self.setup.live.is_none() || self.next_listing.is_none();
        if over && self.clock.is_running() && self.position() >= self.setup.content.duration() {
            self.clock.hold(self.setup.content.duration());
            self.out.finished = true;
            self.tell(Event::ReachedEnd);
        }
    }

    fn viewer(&mut self, event: Event) {
        match event {
            Event::Seek(target) => {
                let position = self.position();
                self.end_stall(position);
                self.clock.hold(position);
                self.seek_since = Some((self.now, position));
                self.tell(Event::Seek(target));
            }
            Event::Rate(rate) => {
                let position = self.position();
                self.clock.set_rate(self.now, self.held_end(position), rate);
                self.tell(Event::Rate(rate));
            }
            Event::Paused(paused) => {
                let position = self.position();
                if paused {
                    self.clock.hold(position);
                } else if self.stall_since.is_none() && self.out.startup.is_some() {
                    self.clock.run_from(self.now, position);
                }
                self.tell(Event::Paused(paused));
            }
            other => self.tell(other),
        }
    }

    /// One event in, then all commands out.
    fn tell(&mut self, event: Event) {
        self.planner.handle(self.now, event);
        while let Some(command) = self.planner.poll(self.now) {
            self.carry_out(command);
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Fetch { id, track, index, rung, replace, decision } => {
                let Some(at) = self.tracks.iter().position(|candidate| candidate.kind == track) else {
                    return;
                };
                let opening = self.opening(at, rung);
                let sent = opening.is_zero();
                self.fetches.push(Fetch {
                    id,
                    track: at,
                    index,
                    rung,
                    replace,
                    asked: self.now + opening,
                    sent,
                    first_byte: None,
                    estimate_kbps: decision.estimate.map(Bitrate::kbps),
                    curve: Curve::default(),
                });
                self.recorder.decision(self.now, decision);
                if sent {
                    let bytes = self.size(at, index, rung);
                    self.network.start(id.0, bytes);
                    self.planner.handle(self.now, Event::TransferStarted(id));
                }
            }
            Command::Abandon { id, reason } => {
                let Some(at) = self.fetches.iter().position(|fetch| fetch.id == id) else { return };
                let fetch = self.fetches.swap_remove(at);
                let bytes = self.network.stop(id.0).unwrap_or(0);
                self.out.aborted_bytes += bytes;
                self.out.aborts += 1;
                let kind = self.tracks[fetch.track].kind;
                self.recorder.abort(self.now, kind, fetch, bytes, reason);
            }
            Command::Skip { track, index, reason } => {
                if let Some(at) = self.tracks.iter().position(|candidate| candidate.kind == track) {
                    self.held[at].set(index, Slot::Hole);
                }
                self.recorder.skip(self.now, track, index, reason);
            }
            Command::Start { position } => {
                let height = self.height_at(position);
                self.recorder.start(self.now, position, height);
                self.moving = self.pictures_move();
                self.out.startup = Some(self.moving);
                self.clock.run_from(self.moving, position);
                self.enter_until(position);
            }
            Command::Stall => {
                let position = self.position();
                self.clock.hold(position);
                self.stall_since = Some(self.now);
                self.recorder.stall_start(self.now, position);
            }
            Command::Resume => {
                let position = self.position();
                self.end_stall(position);
                self.clock.run_from(self.now, position);
            }
            Command::SeekReady { position } => {
                if let Some((since, from)) = self.seek_since.take() {
                    self.out.seeks.push((since, self.now - since));
                    self.recorder.seek(self.now, from, position, since);
                }
                self.entered = None;
                self.clock.run_from(self.now, position);
                self.enter_until(position);
            }
            Command::SetRate(rate) => {
                let position = self.position();
                self.clock.set_rate(self.now, self.held_end(position), rate);
                self.recorder.rate(self.now, rate);
            }
            Command::Fail { reason } => {
                self.recorder.error(self.now, &reason);
                self.out.failed = Some(reason);
            }
            Command::WakeAt(time) => self.wake = Some(time.max(self.now + Duration::from_nanos(1))),
        }
    }

    /// When pictures move, if playback is begun now.
    fn pictures_move(&self) -> Duration {
        let Some(circumstances) = self.setup.circumstances else { return self.now };
        // A word near the recorded one is the same word: progress is looked at on a grid here, and by a busy machine there.
        let same = circumstances.begun.filter(|begun| begun.abs_diff(self.now) <= SAME_WORD);
        (same.unwrap_or(self.now) + circumstances.picture_delay).max(self.now)
    }

    fn end_stall(&mut self, position: Duration) {
        if let Some(since) = self.stall_since.take() {
            let length = self.now - since;
            self.out.stalls.push(Stall { at: since, length, position });
            self.recorder.stall_end(self.now, position, length);
        }
    }

    fn finish(mut self) -> Session {
        let position = self.position();
        // A stall that lasts until the session is given up counts as far as it went.
        self.end_stall(position);
        self.out.end = self.now;
        // A recorded session that was cut short showed only a part of its last segment.
        if self.setup.circumstances.is_some()
            && !self.out.finished
            && let Some(last) = self.out.played.last_mut()
            && let Some(segment) = self.setup.content.main().segment(last.index)
        {
            last.duration = position.saturating_sub(segment.start).min(last.duration);
        }
        self.out.bytes = self.network.carried_bytes();
        if self.latency_count > 0 {
            self.out.live_latency_s = Some(self.latency_sum / f64::from(self.latency_count));
        }
        if self.out.finished {
            self.recorder.ended(self.now, position);
        }
        self.recorder.summary(self.now, &self.out, self.setup.content);
        self.out.record = self.recorder.into_entries();
        self.out
    }
}
