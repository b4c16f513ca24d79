//! The sessions of one stream.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use super::cmcd::{Cmcd, PlayerState};
use super::qoe::{Counted, SessionQoe, StreamQoe};
use super::{ByMethod, ByProtocol, Count, Method, Protocol, Qoe, Who};

/// Sessions that are tracked at one time; past it the count stays at the cap rather than eat memory.
const MOST_SESSIONS: usize = 100_000;
/// Playlist readers and ended sessions that are remembered.
const MOST_REMEMBERED: usize = 16_384;
/// Longest that a full buffer keeps a silent player counted.
const LONGEST_BUFFER: Duration = Duration::from_secs(600);
/// Shortest time between two walks over all sessions.
const BETWEEN_SWEEPS: Duration = Duration::from_millis(250);
/// Longest user agent that is kept.
const LONGEST_AGENT: usize = 96;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) first: Duration,
    pub(super) last: Duration,
    /// Counted until then, unless something is heard of it before.
    until: Duration,
    pub(super) method: Method,
    pub(super) protocol: Protocol,
    pub(super) address: IpAddr,
    pub(super) agent: Box<str>,
    /// Open connections that hold it present.
    pins: u32,
    pub(super) qoe: SessionQoe,
}

#[derive(Debug)]
pub(super) struct StreamSessions {
    pub(super) window: Duration,
    /// When the stream was created, so that counts are not taken over by another one of the same id.
    pub(super) born_ms: u64,
    pub(super) sessions: HashMap<u128, Session>,
    playlists: HashMap<u128, Duration>,
    /// Sessions that are over, with what they told: they are not new when they are heard of again.
    ended: HashMap<u128, Option<Counted>>,
    ended_order: VecDeque<u128>,
    /// The same from before a restart.
    resumed: HashMap<u128, Option<Counted>>,
    /// No session can end before this: saves a walk over all of them at each fetch.
    next_sweep: Duration,
    peak: u64,
    total: u64,
    watched: Duration,
    pub(super) qoe: StreamQoe,
}

impl Default for StreamSessions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(15),
            born_ms: 0,
            sessions: HashMap::new(),
            playlists: HashMap::new(),
            ended: HashMap::new(),
            ended_order: VecDeque::new(),
            resumed: HashMap::new(),
            next_sweep: Duration::ZERO,
            peak: 0,
            total: 0,
            watched: Duration::ZERO,
            qoe: StreamQoe::default(),
        }
    }
}

impl StreamSessions {
    /// Goes on where an earlier run of the server was.
    pub(super) fn restore(
        &mut self,
        peak: u64,
        total: u64,
        watched: Duration,
        qoe: StreamQoe,
        keys: impl Iterator<Item = (u128, Option<Counted>)>,
    ) {
        (self.peak, self.total, self.watched, self.qoe) = (peak, total, watched, qoe);
        self.resumed = keys.take(MOST_REMEMBERED).collect();
    }

    pub(super) fn saw_playlist(&mut self, key: u128, now: Duration) {
        if self.playlists.len() >= MOST_REMEMBERED {
            let window = self.window;
            self.playlists.retain(|_, at| now.saturating_sub(*at) <= window);
        }
        if self.playlists.len() < MOST_REMEMBERED {
            self.playlists.insert(key, now);
        }
    }

    pub(super) fn had_playlist(&self, key: u128, now: Duration) -> bool {
        self.playlists.get(&key).is_some_and(|at| now.saturating_sub(*at) <= self.window)
    }

    pub(super) fn is_current(&self, key: u128, now: Duration) -> bool {
        self.sessions.get(&key).is_some_and(|s| s.pins > 0 || now <= s.until)
    }

    /// Media went to `key`, or its player reported that it plays.
    pub(super) fn heard(&mut self, key: u128, method: Method, protocol: Protocol, who: &Who, now: Duration) {
        self.sweep(now);
        let window = self.window;
        if !self.sessions.contains_key(&key) {
            if self.sessions.len() >= MOST_SESSIONS {
                return;
            }
            // Someone who comes back from a long pause with the same session id is not a new viewer.
            let known = self.resumed.remove(&key).or_else(|| self.ended.get(&key).copied());
            let session = Session {
                first: now,
                last: now,
                until: now,
                method,
                protocol,
                address: who.address,
                agent: shortened(&who.agent).into(),
                pins: 0,
                qoe: SessionQoe::going_on(known.flatten()),
            };
            self.sessions.insert(key, session);
            self.total += u64::from(known.is_none());
            self.peak = self.peak.max(self.sessions.len() as u64);
        }
        if let Some(session) = self.sessions.get_mut(&key) {
            (session.last, session.protocol) = (now, protocol);
            let mut quiet = window;
            if let Some(report) = &who.cmcd {
                session.qoe.take(report, now);
                // A full buffer is a reason not to ask for anything, and no reason not to watch.
                let buffered = Duration::from_millis(report.buffer_ms.unwrap_or(0).into());
                quiet = quiet.max(buffered.min(LONGEST_BUFFER));
            }
            session.until = now + quiet;
            self.next_sweep = self.next_sweep.min(session.until);
        }
    }

    /// An event of a session that is known. `true` when it was.
    pub(super) fn event(&mut self, key: u128, report: &Cmcd, now: Duration) -> bool {
        self.sweep(now);
        let window = self.window;
        let Some(session) = self.sessions.get_mut(&key) else { return false };
        session.qoe.take(report, now);
        match report.state.or(session.qoe.state) {
            // Nobody is watching a player that was left, stands at its end or has failed.
            Some(PlayerState::Quit | PlayerState::Ended | PlayerState::Failed) => {
                session.last = now;
                self.end(key);
            }
            // Nor one that waits to be started, which may come at any moment.
            Some(PlayerState::Preloading) => {}
            _ => {
                let buffered = Duration::from_millis(report.buffer_ms.unwrap_or(0).into());
                session.last = now;
                session.until = session.until.max(now + window.max(buffered.min(LONGEST_BUFFER)));
            }
        }
        true
    }

    pub(super) fn pin(&mut self, key: u128) {
        if let Some(session) = self.sessions.get_mut(&key) {
            session.pins += 1;
        }
    }

    pub(super) fn unpin(&mut self, key: u128, now: Duration) {
        let window = self.window;
        if let Some(session) = self.sessions.get_mut(&key) {
            session.pins = session.pins.saturating_sub(1);
            session.last = session.last.max(now);
            session.until = session.until.max(now + window);
            self.next_sweep = self.next_sweep.min(session.until);
        }
    }

    pub(super) fn count(&mut self, now: Duration) -> Count {
        self.sweep(now);
        let (mut by_protocol, mut by_method) = (ByProtocol::default(), ByMethod::default());
        for session in self.sessions.values() {
            match session.protocol {
                Protocol::Hls => by_protocol.hls += 1,
                Protocol::Dash => by_protocol.dash += 1,
                Protocol::Progressive => by_protocol.progressive += 1,
            }
            match session.method {
                Method::Exact => by_method.exact += 1,
                Method::Cmcd => by_method.cmcd += 1,
                Method::Heuristic => by_method.heuristic += 1,
            }
        }
        let current = self.sessions.len() as u64;
        Count {
            current,
            peak: self.peak,
            total: self.total,
            watch_seconds: (self.watched(now).as_secs_f64() * 10.0).round() / 10.0,
            by_protocol,
            by_method,
            estimated_share: if current == 0 { 0.0 } else { by_method.heuristic as f64 / current as f64 },
        }
    }

    /// Watched by past and current sessions.
    pub(super) fn watched(&self, now: Duration) -> Duration {
        let current = self.sessions.values().map(|session| {
            let until = if session.pins > 0 { now } else { session.last };
            until.saturating_sub(session.first)
        });
        self.watched + current.sum::<Duration>()
    }

    /// With what the current sessions told so far.
    pub(super) fn quality_so_far(&self) -> StreamQoe {
        let mut all = self.qoe.clone();
        for session in self.sessions.values() {
            all.add(&session.qoe);
        }
        all
    }

    pub(super) fn totals(&self) -> (u64, u64) {
        (self.peak, self.total)
    }

    pub(super) fn quality(&mut self, now: Duration) -> Qoe {
        self.sweep(now);
        self.qoe.report(self.sessions.values().map(|session| &session.qoe))
    }

    /// Ends one session now.
    pub(super) fn end(&mut self, key: u128) -> bool {
        let Some(session) = self.sessions.remove(&key) else { return false };
        self.over(key, &session);
        true
    }

    /// Ends all of them: the stream is over, what was counted stays.
    pub(super) fn end_all(&mut self) {
        for (key, session) in std::mem::take(&mut self.sessions) {
            self.over(key, &session);
        }
        self.forget_oldest();
    }

    fn over(&mut self, key: u128, session: &Session) {
        self.watched += session.last.saturating_sub(session.first);
        self.qoe.add(&session.qoe);
        // A guess may be somebody else the next time; only told identities come back as themselves.
        if session.method != Method::Heuristic && self.ended.insert(key, session.qoe.counted()).is_none() {
            self.ended_order.push_back(key);
        }
    }

    fn forget_oldest(&mut self) {
        while self.ended_order.len() > MOST_REMEMBERED {
            if let Some(key) = self.ended_order.pop_front() {
                self.ended.remove(&key);
            }
        }
    }

    /// Ends the sessions of which nothing was heard for long enough.
    pub(super) fn sweep(&mut self, now: Duration) {
        if now <= self.next_sweep {
            return;
        }
        let (mut gone, mut next) = (Vec::new(), now + self.window);
        for (key, session) in &self.sessions {
            if session.pins > 0 {
                continue;
            }
            if now <= session.until {
                next = next.min(session.until);
            } else {
                gone.push(*key);
            }
        }
        for key in gone {
            self.end(key);
        }
        self.forget_oldest();
        // Many that end one after the other are swept together.
        self.next_sweep = next.max(now + BETWEEN_SWEEPS);
    }
}

fn shortened(agent: &str) -> String {
    agent.chars().filter(|c| !c.is_control()).take(LONGEST_AGENT).collect()
}
