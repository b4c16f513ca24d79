//! The state machine: one event in, commands out.
//!
//! Every event changes the state, then [`plan`](Planner::handle) looks at the whole of it: does playback start, stall or go
//! on, is a download better given up, what is fetched next, when is there something to look at again.

mod abandon;
mod begin;
mod buffer;
mod choose;
mod failures;
mod fetch;
mod live;
mod outcome;
mod playback;
mod replace;
mod transfer;
mod types;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use buffer::{Buffer, Run};
use failures::Failures;
use transfer::Transfer;
pub use types::{Caps, Command, Config, Event, Failure, FetchId, Live, QualityChoice, UnknownController};

use crate::{
    Bitrate, RungId, Track, TrackKind,
    control::{self, Controller},
    estimate::{Bandwidth, Estimate, Memory},
};

/// Finished downloads that may still turn out unusable.
const REMEMBERED: usize = 64;
/// The playhead is not thought further than this beyond what was last said.
const LONGEST_GUESS: Duration = Duration::from_millis(500);

/// What playback is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There is no presentation yet.
    Waiting,
    /// Filling the buffer for the first picture.
    Starting,
    Playing,
    Stalled,
    Seeking,
    Ended,
    Failed,
}

/// One track and what is known about it.
#[derive(Debug)]
struct State {
    track: Arc<Track>,
    buffer: Buffer,
    fetch: Option<Transfer>,
    failures: Failures,
    /// This segment must be fetched at this rung: the target of an abandonment.
    forced: Option<(u64, RungId)>,
    /// Rung of the last decision.
    last: Option<RungId>,
    /// Nothing is fetched before: the controller wants the buffer to drain.
    hold_until: Duration,
    /// What is buffered is kept until then: a replacement came too late.
    keep_until: Duration,
    /// Since when nothing is fetched because the buffer is full.
    idle_since: Option<Duration>,
    /// Newest last.
    done: VecDeque<(FetchId, u64, RungId)>,
}

impl State {
    fn new(track: Arc<Track>) -> Self {
        Self {
            track,
            buffer: Buffer::default(),
            fetch: None,
            failures: Failures::default(),
            forced: None,
            last: None,
            hold_until: Duration::ZERO,
            keep_until: Duration::ZERO,
            idle_since: None,
            done: VecDeque::with_capacity(REMEMBERED),
        }
    }

    fn run(&self, position: Duration) -> Run {
        self.buffer.run(&self.track, position)
    }
}

/// The state machine; see the crate's page for its run loop.
#[derive(Debug)]
pub struct Planner {
    config: Config,
    controller: Box<dyn Controller>,
    bandwidth: Bandwidth,
    /// The main track first, then separate audio.
    tracks: Vec<State>,
    phase: Phase,
    /// Last known place of the playhead, and when it was there if the clock runs.
    position: Duration,
    anchor: Option<Duration>,
    /// Where this run of playback began: start or last seek.
    origin: Duration,
    /// A place to start at that was asked for before there was a presentation.
    start_at: Option<Duration>,
    paused: bool,
    rate: f64,
    live: Option<Live>,
    live_rate: f64,
    /// Playback keeps to the edge: the viewer has not gone back in the window.
    at_edge: bool,
    /// Where media end that can be had before their segment is complete.
    low: Option<live::Edge>,
    /// When the listed end last moved.
    edge_moved: Duration,
    edge: Duration,
    quality: QualityChoice,
    caps: Caps,
    withheld: Vec<RungId>,
    drops: choose::Drops,
    queue: VecDeque<Command>,
    wake: Option<Duration>,
    next_id: u64,
    /// Since when playback stands for want of media.
    dry_since: Option<Duration>,
    scores: Vec<f64>,
}

impl Planner {
    /// A planner for one session. The error names a controller that does not exist.
    pub fn new(config: Config) -> Result<Self, UnknownController> {
        let controller = control::create(&config.controller)?;
        Ok(Self::with_controller(config, controller))
    }

    /// A planner with a controller that is not in the registry, or has settings of its own.
    pub fn with_controller(config: Config, controller: Box<dyn Controller>) -> Self {
        let bandwidth = Bandwidth::new(controller.estimator());
        Self {
            config,
            controller,
            bandwidth,
            tracks: Vec::with_capacity(2),
            phase: Phase::Waiting,
            position: Duration::ZERO,
            anchor: None,
            origin: Duration::ZERO,
            start_at: None,
            paused: false,
            rate: 1.0,
            live: None,
            live_rate: 1.0,
            at_edge: true,
            low: None,
            edge_moved: Duration::ZERO,
            edge: Duration::ZERO,
            quality: QualityChoice::Auto,
            caps: Caps::default(),
            withheld: Vec::new(),
            drops: choose::Drops::default(),
            queue: VecDeque::new(),
            wake: None,
            next_id: 0,
            dry_since: None,
            scores: Vec::new(),
        }
    }

    /// Takes in one event that happened at `now`; `now` never goes back.
    pub fn handle(&mut self, now: Duration, event: Event) {
        match event {
            Event::Presentation { tracks, live } => self.presentation(now, tracks, live),
            Event::TransferStarted(id) => {
                // One that was given up before its request went out has ended already.
                if let Some(transfer) = self.transfer_mut(id) {
                    transfer.asked = now;
                    transfer.moved = now;
                    self.bandwidth.started(id, now);
                }
            }
            Event::FirstByte(id) => {
                self.bandwidth.first_byte(id, now);
                if let Some(transfer) = self.transfer_mut(id) {
                    transfer.progress(now, 0);
                }
            }
            Event::TransferSize(id, bytes) => {
                if let Some(transfer) = self.transfer_mut(id) {
                    transfer.size = bytes.max(1);
                    transfer.size_known = true;
                }
            }
            Event::TransferProgress(id, bytes) => {
                self.bandwidth.progress(id, bytes, now);
                if let Some(transfer) = self.transfer_mut(id) {
                    transfer.progress(now, bytes);
                }
            }
            Event::MediaAppended(id, until) => {
                let state = self
                    .tracks
                    .iter_mut()
                    .find(|state| state.fetch.as_ref().is_some_and(|fetch| fetch.id == id && !fetch.replace));
                if let Some(state) = state
                    && let Some(index) = state.fetch.as_ref().map(|fetch| fetch.index)
                {
                    state.buffer.append(index, until);
                }
            }
            Event::TransferIdle(id) => {
                self.bandwidth.idle(id, now);
                if let Some(transfer) = self.transfer_mut(id) {
                    transfer.idle(now);
                }
            }
            Event::Edge { at, step } => {
                if self.low.is_none_or(|low| low.at != at) {
                    self.low = Some(live::Edge { at, step, seen: now });
                }
            }
            Event::TransferDone(id, bytes) => self.transfer_done(now, id, bytes),
            Event::TransferFailed(id, failure) => self.transfer_failed(now, id, failure),
            Event::Playhead(position) => self.playhead(now, position),
            Event::Seek(target) => self.seek(now, target),
            Event::Evicted(kind, before) => {
                if let Some(state) = self.tracks.iter_mut().find(|state| state.track.kind == kind) {
                    let State { buffer, track, failures, .. } = state;
                    buffer.evict(track, before);
                    failures.forget_before(track.index_at(before).unwrap_or(u64::MAX));
                }
            }
            Event::Paused(paused) => {
                self.position = self.position_at(now);
                self.anchor = None;
                if self.paused && !paused {
                    self.at_edge &= self.is_near_edge(now, self.position);
                }
                self.paused = paused;
            }
            Event::Rate(rate) if rate.is_finite() => {
                self.position = self.position_at(now);
                self.anchor = self.anchor.map(|_| now);
                self.rate = rate.clamp(0.1, 16.0);
            }
            Event::Quality(choice) => self.choose_quality(now, choice),
            Event::Caps(caps) => self.caps = caps,
            Event::Withheld(rungs) => {
                self.withheld = rungs;
                self.withhold();
            }
            Event::DroppedFrames { dropped, total } => self.dropped_frames(now, dropped, total),
            Event::RememberedThroughput(rate, age) => self.bandwidth.remember(rate, age),
            Event::ReachedEnd => {
                if self.live.is_none() && self.phase != Phase::Waiting && self.phase != Phase::Failed {
                    self.phase = Phase::Ended;
                    self.anchor = None;
                }
            }
            Event::Rate(_) | Event::Wake => {}
        }
        self.plan(now);
    }

    /// What to do next; `None` until something else happens.
    pub fn poll(&mut self, now: Duration) -> Option<Command> {
        let _ = now;
        self.queue.pop_front()
    }

    /// Media buffered ahead of the playhead on the track that has least of it.
    pub fn buffer_level(&self) -> Duration {
        self.level(self.position)
    }

    /// The throughput that is expected now, where there is an estimate.
    pub fn estimate(&self) -> Option<Bitrate> {
        self.bandwidth.memory().map(|memory| memory.rate).or_else(|| self.bandwidth.remembered())
    }

    /// What a later session on the same network should know.
    pub fn memory(&self) -> Option<Memory> {
        self.bandwidth.memory()
    }

    /// The network changed (another interface, another access point): measure anew.
    pub fn network_changed(&mut self) {
        self.bandwidth.reset();
    }

    fn plan(&mut self, now: Duration) {
        if matches!(self.phase, Phase::Waiting | Phase::Failed) {
            return;
        }
        // Who waits for the encoder is not dead.
        for fetch in self.tracks.iter_mut().filter_map(|state| state.fetch.as_mut()) {
            if fetch.idle.is_some() {
                fetch.moved = now;
            }
        }
        self.keep_in_window(now);
        self.update_playback(now);
        self.give_up_downloads(now);
        self.fetch_more(now);
        self.give_up_session(now);
        self.follow_edge(now);
        self.set_wake(now);
    }

    fn presentation(&mut self, now: Duration, tracks: Vec<Arc<Track>>, live: Option<Live>) {
        for at in (0..self.tracks.len()).rev() {
            let listed = self
                .tracks
                .get(at)
                .is_some_and(|state| tracks.iter().any(|track| track.kind == state.track.kind));
            if !listed {
                self.drop_fetch(now, at, "the track is not part of the presentation any more");
                self.tracks.remove(at);
            }
        }
        let mut tracks: Vec<_> = tracks.into_iter().filter(|track| !track.segments.is_empty()).collect();
        tracks.sort_by_key(|track| track.kind);
        for track in tracks {
            match self.tracks.iter_mut().find(|state| state.track.kind == track.kind) {
                Some(state) => {
                    if state.track.ladder.len() != track.ladder.len() {
                        state.last = None;
                    }
                    state.track = track;
                    state.buffer.track_changed();
                }
                None => self.tracks.push(State::new(track)),
            }
        }
        self.tracks.sort_by_key(|state| state.track.kind);
        self.withhold();
        let Some(main) = self.tracks.first() else { return };
        let end = main.track.end();
        if end != self.edge || self.live.is_none() {
            self.edge = end;
            self.edge_moved = now;
        }
        self.live = live;
        if live.is_none() {
            self.low = None;
        }
        if self.phase == Phase::Waiting {
            self.phase = Phase::Starting;
            self.dry_since = Some(now);
            let first = self.first_position();
            let position = match (self.start_at.take(), live) {
                (Some(asked), _) => self.clamp(asked),
                (None, Some(live)) if live.start_at_edge => {
                    self.newest(end).saturating_sub(live.target_latency).max(first)
                }
                _ => first,
            };
            self.position = position;
            self.origin = position;
            self.at_edge = self.is_near_edge(now, position);
        }
    }

    /// Tells the main track which of its rungs are not to be used.
    fn withhold(&mut self) {
        if let Some(main) = self.tracks.first_mut() {
            main.failures.withhold(&self.withheld, main.track.ladder.len());
        }
    }

    /// Where the listed media begins on every track.
    fn first_position(&self) -> Duration {
        let starts = self.tracks.iter().filter_map(|state| state.track.segments.first());
        starts.map(|segment| segment.start).min().unwrap_or_default()
    }

    fn clamp(&self, position: Duration) -> Duration {
        let end = self.newest(self.tracks.first().map_or(Duration::ZERO, |state| state.track.end()));
        // Nearer to a live edge than is wanted there is next to nothing to play.
        let live = self.live.filter(|live| live.start_at_edge).map(|live| live.target_latency);
        let margin = live.unwrap_or(Duration::from_millis(100));
        position.min(end.saturating_sub(margin)).max(self.first_position())
    }

    fn transfer_mut(&mut self, id: FetchId) -> Option<&mut Transfer> {
        self.tracks.iter_mut().filter_map(|state| state.fetch.as_mut()).find(|transfer| transfer.id == id)
    }

    /// Where the playhead is thought to be.
    fn position_at(&self, now: Duration) -> Duration {
        match self.anchor {
            Some(since) if self.phase == Phase::Playing && !self.paused => {
                let passed = now.saturating_sub(since).min(LONGEST_GUESS);
                self.position + passed.mul_f64(self.drain_rate())
            }
            _ => self.position,
        }
    }

    /// Media seconds that playback takes in a second.
    fn drain_rate(&self) -> f64 {
        self.rate * self.live_rate
    }

    /// Media ahead of `position` on the track that has least; one that is buffered to the presentation's end does not
    /// hold the others back.
    fn level(&self, position: Duration) -> Duration {
        let runs = || self.tracks.iter().map(|state| state.run(position));
        let finished = self.live.is_none();
        runs()
            .filter(|run| !finished || run.next.is_some())
            .map(|run| run.level)
            .min()
            .or_else(|| runs().map(|run| run.level).max())
            .unwrap_or_default()
    }

    fn expected(&self, now: Duration) -> Option<Estimate> {
        self.bandwidth.estimate(now)
    }

    fn say(&mut self, command: Command) {
        self.queue.push_back(command);
    }

    fn fail(&mut self, now: Duration, reason: String) {
        for at in 0..self.tracks.len() {
            self.drop_fetch(now, at, "playback failed");
        }
        self.phase = Phase::Failed;
        self.anchor = None;
        self.say(Command::Fail { reason });
    }

    /// Gives the download of a track up, if there is one.
    fn drop_fetch(&mut self, now: Duration, at: usize, reason: &str) -> Option<Transfer> {
        let transfer = self.tracks.get_mut(at)?.fetch.take()?;
        self.bandwidth.ended(transfer.id, now);
        self.say(Command::Abandon { id: transfer.id, reason: reason.to_owned() });
        Some(transfer)
    }

    /// The name of a track in sentences.
    fn name(kind: TrackKind) -> &'static str {
        match kind {
            TrackKind::Video => "video",
            TrackKind::Audio => "audio",
        }
    }
}
