//! A small world to put the planner in: a virtual clock, a shared link, a server with faults, and a player that plays what
//! it was given and complains when it was not.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use weir_abr::{
    Bitrate, Command, Event, Ladder, Planner, Rung, SegmentInfo, Track, TrackKind,
    planner::{Config, Failure, FetchId, Live},
};

/// The ladder of most tests, kbit/s.
pub const KBPS: [f64; 5] = [300.0, 750.0, 1200.0, 2800.0, 5000.0];
const HEIGHTS: [u32; 5] = [240, 360, 480, 720, 1080];
const TICK: Duration = Duration::from_millis(10);

pub fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A track of equal segments; sizes vary a little, and are not told.
pub fn track(kind: TrackKind, kbps: &[f64], count: usize, seconds: f64) -> Track {
    let rungs = kbps
        .iter()
        .zip(HEIGHTS.iter().cycle())
        .map(|(kbps, height)| Rung {
            height: (kind == TrackKind::Video).then_some(*height),
            ..Rung::with_bitrate(Bitrate::from_kbps(*kbps))
        })
        .collect();
    let segments = (0..count)
        .map(|at| SegmentInfo {
            start: secs(seconds) * at as u32,
            duration: secs(seconds),
            ..SegmentInfo::default()
        })
        .collect();
    Track { kind, ladder: Ladder::new(rungs).unwrap(), first_index: 0, segments }
}

/// What the server does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    Fine,
    /// This status, after one round trip.
    Status(u16),
    /// The connection is refused, after one round trip.
    Refused,
    /// Nothing ever comes.
    Silence,
    /// It breaks off half-way.
    Truncated,
    /// All of it comes, and is rubbish.
    Corrupt,
    /// All of it comes, and cannot be decoded.
    Unplayable,
}

/// A request as the server sees it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub at: f64,
    pub track: TrackKind,
    pub index: u64,
    pub rung: usize,
}

#[derive(Debug)]
struct Transfer {
    id: FetchId,
    request: Request,
    replace: bool,
    begins: Duration,
    head_told: bool,
    size: f64,
    came: f64,
    told: f64,
    told_at: Duration,
    answer: Answer,
}

/// What was fetched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fetched {
    pub at: f64,
    pub track: TrackKind,
    pub index: u64,
    pub rung: usize,
    pub replace: bool,
}

type Hook<T, R> = Box<dyn FnMut(T) -> R>;

pub struct World {
    pub planner: Planner,
    pub now: Duration,
    tracks: Vec<Arc<Track>>,
    live: Option<Live>,
    rate: Hook<f64, f64>,
    answer: Hook<Request, Answer>,
    rtt: Duration,
    transfers: Vec<Transfer>,
    held: BTreeMap<(TrackKind, u64), Option<(usize, f64)>>,
    position: Duration,
    playing: bool,
    pub started: bool,
    pub paused: bool,
    stalled_at: Option<Duration>,
    wake: Option<Duration>,
    /// The server says how long an answer is.
    pub tells_size: bool,
    pub max_buffer: f64,
    pub max_bytes: u64,
    pub rate_set: f64,
    /// What happened.
    pub startup: Option<f64>,
    pub stalls: Vec<(f64, f64)>,
    pub fetches: Vec<Fetched>,
    pub aborts: Vec<(f64, String)>,
    pub skips: Vec<(TrackKind, u64)>,
    pub failed: Option<(f64, String)>,
    pub seeks_ready: Vec<(f64, f64)>,
    pub commands: Vec<String>,
    /// Rung on screen by time: (time, rung) at each change.
    pub shown: Vec<(f64, usize)>,
    pub bytes: f64,
    pub wasted: f64,
    pub played: f64,
    pub played_bits: f64,
    pub ended: bool,
    /// Longest time in which nothing was under way although there was room.
    pub idle: f64,
    pub idle_longest: f64,
}

impl World {
    pub fn new(config: Config, tracks: Vec<Track>, rate: impl FnMut(f64) -> f64 + 'static) -> Self {
        let (max_buffer, max_bytes) = (config.max_buffer.as_secs_f64(), config.max_bytes);
        Self {
            planner: Planner::new(config).unwrap(),
            now: Duration::ZERO,
            tracks: tracks.into_iter().map(Arc::new).collect(),
            live: None,
            rate: Box::new(rate),
            answer: Box::new(|_| Answer::Fine),
            rtt: Duration::from_millis(40),
            transfers: Vec::new(),
            held: BTreeMap::new(),
            position: Duration::ZERO,
            playing: false,
            started: false,
            paused: false,
            stalled_at: None,
            wake: None,
            tells_size: true,
            max_buffer,
            max_bytes,
            rate_set: 1.0,
            startup: None,
            stalls: Vec::new(),
            fetches: Vec::new(),
            aborts: Vec::new(),
            skips: Vec::new(),
            failed: None,
            seeks_ready: Vec::new(),
            commands: Vec::new(),
            shown: Vec::new(),
            bytes: 0.0,
            wasted: 0.0,
            played: 0.0,
            played_bits: 0.0,
            ended: false,
            idle: 0.0,
            idle_longest: 0.0,
        }
    }

    /// Video only, the usual ladder, segments of 4 s.
    pub fn video(seconds: f64, rate: impl FnMut(f64) -> f64 + 'static) -> Self {
        let track = track(TrackKind::Video, &KBPS, (seconds / 4.0) as usize, 4.0);
        Self::new(Config::default(), vec![track], rate)
    }

    pub fn with_answers(mut self, answer: impl FnMut(Request) -> Answer + 'static) -> Self {
        self.answer = Box::new(answer);
        self
    }

    pub fn with_live(mut self, live: Live) -> Self {
        self.live = Some(live);
        self
    }

    pub fn begin(mut self) -> Self {
        let event = Event::Presentation { tracks: self.tracks.clone(), live: self.live };
        self.tell(event);
        self
    }

    /// Hands a changed presentation over.
    pub fn change(&mut self, tracks: Vec<Track>, live: Option<Live>) {
        self.tracks = tracks.into_iter().map(Arc::new).collect();
        self.live = live;
        let event = Event::Presentation { tracks: self.tracks.clone(), live };
        self.tell(event);
    }

    fn time(&self) -> f64 {
        self.now.as_secs_f64()
    }

    pub fn position(&self) -> f64 {
        self.position.as_secs_f64()
    }

    /// One event in, commands out.
    pub fn tell(&mut self, event: Event) {
        if let Event::Seek(target) = &event
            && self.started
        {
            self.position = *target;
            self.playing = false;
        }
        if let Event::Paused(paused) = &event {
            self.paused = *paused;
        }
        self.planner.handle(self.now, event);
        while let Some(command) = self.planner.poll(self.now) {
            self.carry_out(command);
        }
    }

    fn carry_out(&mut self, command: Command) {
        self.commands.push(format!("{:.2} {command:?}", self.time()));
        match command {
            Command::Fetch { id, track, index, rung, replace, decision } => {
                assert!(!decision.reason.is_empty() && !decision.rule.is_empty());
                assert!(
                    !self.transfers.iter().any(|transfer| transfer.request.track == track),
                    "two downloads at a time on one track"
                );
                let media = self.tracks.iter().find(|media| media.kind == track).unwrap();
                let segment = media.segment(index).expect("fetches what is listed");
                // A third up and down around the average, the same at every run.
                let vary = 1.0 + 0.33 * ((index as f64 * 2.3).sin());
                let size = segment.size(rung, &media.ladder) as f64 * vary;
                let request = Request { at: self.time(), track, index, rung: rung.0 };
                let answer = (self.answer)(request);
                self.fetches.push(Fetched { at: self.time(), track, index, rung: rung.0, replace });
                self.transfers.push(Transfer {
                    id,
                    request,
                    replace,
                    begins: self.now + self.rtt,
                    head_told: false,
                    size,
                    came: 0.0,
                    told: 0.0,
                    told_at: self.now,
                    answer,
                });
                self.tell(Event::TransferStarted(id));
            }
            Command::Abandon { id, reason } => {
                let at = self.transfers.iter().position(|transfer| transfer.id == id).expect("is under way");
                self.wasted += self.transfers.remove(at).came;
                self.aborts.push((self.time(), reason));
            }
            Command::Skip { track, index, .. } => {
                self.skips.push((track, index));
                self.held.insert((track, index), None);
            }
            Command::Start { position } => {
                assert!(!self.started, "starts once");
                self.started = true;
                self.startup = Some(self.time());
                self.position = position;
                self.playing = true;
                self.tell(Event::Playhead(position));
            }
            Command::Stall => {
                assert!(self.playing, "only what plays stalls");
                self.playing = false;
                self.stalled_at = Some(self.now);
            }
            Command::Resume => {
                self.playing = true;
                self.end_stall();
                let position = self.position;
                self.tell(Event::Playhead(position));
            }
            Command::SeekReady { position } => {
                self.seeks_ready.push((self.time(), position.as_secs_f64()));
                self.position = position;
                self.playing = true;
                self.end_stall();
                self.tell(Event::Playhead(position));
            }
            Command::SetRate(rate) => self.rate_set = rate,
            Command::Fail { reason } => {
                self.playing = false;
                self.failed = Some((self.time(), reason));
            }
            Command::WakeAt(time) => {
                assert!(time > self.now, "wakes in the future");
                self.wake = Some(time);
            }
        }
    }

    fn end_stall(&mut self) {
        if let Some(since) = self.stalled_at.take() {
            self.stalls.push((since.as_secs_f64(), (self.now - since).as_secs_f64()));
        }
    }

    pub fn stalled_for(&self) -> f64 {
        self.stalls.iter().map(|(_, length)| length).sum::<f64>()
            + self.stalled_at.map_or(0.0, |since| (self.now - since).as_secs_f64())
    }

    fn move_link(&mut self) {
        let time = self.time();
        let rate = (self.rate)(time);
        let (now, tick) = (self.now, TICK.as_secs_f64());
        let flows = |transfer: &Transfer| transfer.begins < now && transfer.answer != Answer::Silence;
        let count = self.transfers.iter().filter(|transfer| flows(transfer)).count().max(1) as f64;
        let mut events = Vec::new();
        for transfer in self.transfers.iter_mut().filter(|transfer| flows(transfer)) {
            match transfer.answer {
                Answer::Status(status) => {
                    events.push(Event::TransferFailed(transfer.id, Failure::Status(status)));
                    continue;
                }
                Answer::Refused => {
                    events.push(Event::TransferFailed(transfer.id, Failure::Network));
                    continue;
                }
                _ => {}
            }
            if rate <= 0.0 {
                continue;
            }
            if !transfer.head_told {
                transfer.head_told = true;
                events.push(Event::FirstByte(transfer.id));
                if self.tells_size {
                    events.push(Event::TransferSize(transfer.id, transfer.size as u64));
                }
            }
            let came = (rate / count * tick / 8.0).min(transfer.size - transfer.came);
            transfer.came += came;
            self.bytes += came;
            if transfer.answer == Answer::Truncated && transfer.came > transfer.size / 2.0 {
                events.push(Event::TransferFailed(transfer.id, Failure::Truncated));
            } else if transfer.came >= transfer.size - 0.5 {
                events.push(Event::TransferDone(transfer.id, transfer.came as u64));
            } else if now - transfer.told_at >= Duration::from_millis(50) && transfer.came > transfer.told {
                transfer.told = transfer.came;
                transfer.told_at = now;
                events.push(Event::TransferProgress(transfer.id, transfer.came as u64));
            }
        }
        for event in events {
            self.deliver(event);
        }
    }

    fn deliver(&mut self, event: Event) {
        let id = match &event {
            Event::TransferDone(id, _) | Event::TransferFailed(id, _) => Some(*id),
            Event::FirstByte(id) | Event::TransferSize(id, _) | Event::TransferProgress(id, _) => {
                if !self.transfers.iter().any(|transfer| transfer.id == *id) {
                    return;
                }
                None
            }
            _ => None,
        };
        let Some(id) = id else { return self.tell(event) };
        let Some(at) = self.transfers.iter().position(|transfer| transfer.id == id) else { return };
        let transfer = self.transfers.remove(at);
        let key = (transfer.request.track, transfer.request.index);
        let mut after = None;
        if matches!(event, Event::TransferDone(..)) {
            match transfer.answer {
                Answer::Corrupt => after = Some(Failure::Corrupt),
                Answer::Unplayable => after = Some(Failure::Unplayable),
                _ => {}
            }
            if after.is_none()
                && let Some(Some((_, old))) =
                    self.held.insert(key, Some((transfer.request.rung, transfer.size)))
            {
                assert!(transfer.replace, "{key:?} fetched twice");
                self.wasted += old;
            }
        } else {
            self.wasted += transfer.came;
        }
        self.tell(event);
        if let Some(failure) = after {
            self.wasted += transfer.size;
            self.tell(Event::TransferFailed(id, failure));
        }
    }

    fn play(&mut self) {
        if !self.playing || self.paused || self.ended {
            return;
        }
        let step = TICK.as_secs_f64() * self.rate_set;
        for media in self.tracks.clone() {
            let Some(index) = media.index_at(self.position) else { continue };
            match self.held.get(&(media.kind, index)) {
                Some(Some((rung, size))) => {
                    if media.kind == TrackKind::Video {
                        let (rung, size) = (*rung, *size);
                        if self.shown.last().is_none_or(|(_, last)| *last != rung) {
                            self.shown.push((self.time(), rung));
                        }
                        let duration = media.segment(index).unwrap().duration.as_secs_f64();
                        self.played += step;
                        self.played_bits += size * 8.0 * step / duration;
                    }
                }
                Some(None) => {
                    if media.kind == TrackKind::Video {
                        self.position = media.segment(index).unwrap().end();
                    }
                }
                None => panic!(
                    "played {:?} {index} at {:.2}, which is not there; last: {:#?}",
                    media.kind,
                    self.time(),
                    &self.commands[self.commands.len().saturating_sub(20)..]
                ),
            }
        }
        self.position += secs(step);
        let end = self.tracks[0].end();
        if self.live.is_none() && self.position >= end {
            self.ended = true;
            self.tell(Event::ReachedEnd);
        }
    }

    fn watch(&mut self) {
        if !self.started || self.ended || self.failed.is_some() {
            return;
        }
        let mut ahead = 0.0;
        for media in &self.tracks {
            let mut level = 0.0;
            let mut wanted = false;
            if let Some(mut index) = media.index_at(self.position) {
                while let Some(segment) = media.segment(index) {
                    match self.held.get(&(media.kind, index)) {
                        Some(Some((_, size))) => {
                            level +=
                                segment.end().saturating_sub(self.position.max(segment.start)).as_secs_f64();
                            ahead += size;
                        }
                        Some(None) => {}
                        None => {
                            wanted = level + segment.duration.as_secs_f64() <= self.max_buffer - 0.05;
                            break;
                        }
                    }
                    index += 1;
                }
            }
            // A jump back makes what is ahead longer than what was asked for.
            assert!(
                level <= self.max_buffer + 0.02 || !self.seeks_ready.is_empty(),
                "{:?} holds {level:.2} s at {:.2}",
                media.kind,
                self.time()
            );
            if media.kind == TrackKind::Video {
                if wanted && self.transfers.is_empty() {
                    self.idle += TICK.as_secs_f64();
                    self.idle_longest = self.idle_longest.max(self.idle);
                } else {
                    self.idle = 0.0;
                }
            }
        }
        // Segments turn out up to a third larger than was told.
        assert!(ahead <= self.max_bytes as f64 * 1.34 + 1.0, "holds {ahead:.0} bytes");
    }

    /// Lets this much time pass.
    pub fn run(&mut self, seconds: f64) -> &mut Self {
        let until = self.now + secs(seconds);
        let mut tick = 0_u64;
        while self.now < until && !(self.ended || self.failed.is_some()) {
            self.now += TICK;
            tick += 1;
            self.move_link();
            self.play();
            if self.playing && !self.paused && tick.is_multiple_of(10) && !self.ended {
                let position = self.position;
                self.tell(Event::Playhead(position));
            }
            if self.wake.is_some_and(|wake| wake <= self.now) {
                self.wake = None;
                self.tell(Event::Wake);
            }
            self.watch();
        }
        self
    }

    /// Changes of the rung on screen after this time.
    pub fn switches_after(&self, time: f64) -> usize {
        self.shown.iter().skip(1).filter(|(at, _)| *at > time).count()
    }

    /// The rung on screen at this time.
    pub fn shown_at(&self, time: f64) -> usize {
        self.shown.iter().rfind(|(at, _)| *at <= time).map_or(0, |(_, rung)| *rung)
    }

    pub fn played_kbps(&self) -> f64 {
        self.played_bits / self.played.max(0.01) / 1000.0
    }

    pub fn wasted_share(&self) -> f64 {
        self.wasted / self.bytes.max(1.0)
    }
}
