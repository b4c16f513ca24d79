//! The sessions of one stream.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::{ByMethod, ByProtocol, Count, Method, Protocol};

/// Sessions that are tracked at one time; past it the count stays at the cap rather than eat memory.
const MOST_SESSIONS: usize = 100_000;
/// Playlist readers and ended sessions that are remembered.
const MOST_REMEMBERED: usize = 16_384;

#[derive(Debug)]
struct Session {
    first: Duration,
    last: Duration,
    method: Method,
    protocol: Protocol,
    /// Open connections that hold it present.
    pins: u32,
}

#[derive(Debug)]
pub(super) struct StreamSessions {
    pub(super) window: Duration,
    sessions: HashMap<u128, Session>,
    playlists: HashMap<u128, Duration>,
    ended: HashSet<u128>,
    ended_order: VecDeque<u128>,
    /// No session can end before this: saves a walk over all of them at each fetch.
    next_sweep: Duration,
    peak: u64,
    total: u64,
    watched: Duration,
}

impl Default for StreamSessions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(15),
            sessions: HashMap::new(),
            playlists: HashMap::new(),
            ended: HashSet::new(),
            ended_order: VecDeque::new(),
            next_sweep: Duration::ZERO,
            peak: 0,
            total: 0,
            watched: Duration::ZERO,
        }
    }
}

impl StreamSessions {
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
        self.sessions.get(&key).is_some_and(|s| s.pins > 0 || now.saturating_sub(s.last) <= self.window)
    }

    pub(super) fn fetched(&mut self, key: u128, method: Method, protocol: Protocol, now: Duration) {
        self.sweep(now);
        if let Some(session) = self.sessions.get_mut(&key) {
            session.last = now;
            session.protocol = protocol;
            return;
        }
        if self.sessions.len() >= MOST_SESSIONS {
            return;
        }
        self.sessions.insert(key, Session { first: now, last: now, method, protocol, pins: 0 });
        // Someone who comes back from a long pause with the same session id is not a new viewer.
        if !self.ended.contains(&key) {
            self.total += 1;
        }
        self.peak = self.peak.max(self.sessions.len() as u64);
    }

    pub(super) fn pin(&mut self, key: u128) {
        if let Some(session) = self.sessions.get_mut(&key) {
            session.pins += 1;
        }
    }

    pub(super) fn unpin(&mut self, key: u128, now: Duration) {
        if let Some(session) = self.sessions.get_mut(&key) {
            session.pins = session.pins.saturating_sub(1);
            session.last = session.last.max(now);
            self.next_sweep = self.next_sweep.min(now + self.window);
        }
    }

    pub(super) fn count(&mut self, now: Duration) -> Count {
        self.sweep(now);
        let (mut by_protocol, mut by_method) = (ByProtocol::default(), ByMethod::default());
        let mut watched = self.watched;
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
            let until = if session.pins > 0 { now } else { session.last };
            watched += until.saturating_sub(session.first);
        }
        let current = self.sessions.len() as u64;
        Count {
            current,
            peak: self.peak,
            total: self.total,
            watch_seconds: (watched.as_secs_f64() * 10.0).round() / 10.0,
            by_protocol,
            by_method,
            estimated_share: if current == 0 { 0.0 } else { by_method.heuristic as f64 / current as f64 },
        }
    }

    /// Ends the sessions that fetched nothing for a window.
    fn sweep(&mut self, now: Duration) {
        if now < self.next_sweep {
            return;
        }
        let window = self.window;
        let (watched, ended, order) = (&mut self.watched, &mut self.ended, &mut self.ended_order);
        let mut oldest = now;
        self.sessions.retain(|key, session| {
            if session.pins > 0 || now.saturating_sub(session.last) <= window {
                oldest = oldest.min(if session.pins > 0 { now } else { session.last });
                return true;
            }
            *watched += session.last.saturating_sub(session.first);
            // A guess may be somebody else the next time; only told identities come back as themselves.
            if session.method != Method::Heuristic && ended.insert(*key) {
                order.push_back(*key);
            }
            false
        });
        while order.len() > MOST_REMEMBERED {
            if let Some(key) = order.pop_front() {
                ended.remove(&key);
            }
        }
        self.next_sweep = oldest + window;
    }
}
