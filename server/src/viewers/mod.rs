//! Who is watching.
//!
//! A viewer is one playback session on one stream that fetched media within the window `W = max(15 s, 3 x target
//! duration)`, or whose player said then that its buffer lasts longer. Playlists, HEAD requests, crawlers and
//! prefetches make no viewer. Counting observes deliveries; only a session that an admin has removed is refused.
//!
//! ```
//! use std::{net::IpAddr, sync::Arc, time::Duration};
//! use weir_server::viewers::{ManualClock, Protocol, Viewers, Who};
//!
//! let clock = Arc::new(ManualClock::default());
//! let viewers = Viewers::new(clock.clone(), [7; 32]);
//! viewers.open("demo", Duration::from_secs(4));
//! let who = Who::from_address(IpAddr::from([192, 0, 2, 1]), "mpv 0.37");
//! viewers.media("demo", &who, Protocol::Hls);
//! assert_eq!(viewers.count("demo").current, 1);
//! clock.advance(Duration::from_secs(16));
//! assert_eq!(viewers.count("demo").current, 0);
//! ```

mod clock;
pub mod cmcd;
mod hmac;
mod kick;
pub mod metrics;
mod newcomers;
mod qoe;
pub mod saved;
mod session;
mod spread;
mod who;

#[cfg(test)]
mod truth_table;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

pub use clock::{Clock, ManualClock, SystemClock};
pub(crate) use hmac::Key as HmacKey;
pub use hmac::hmac_sha256;
pub use qoe::{Qoe, Stalls};
pub use spread::Spread;
pub use who::Who;

use kick::Kicks;
use newcomers::Newcomers;
use session::StreamSessions;

/// How sure a session's identity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// A token that this server signed, a `?s=` of ours, or the player's own `X-Playback-Session-Id`.
    Exact,
    /// The `sid` of CMCD (CTA-5004).
    Cmcd,
    /// Address prefix and user agent: several players behind one address may look like one.
    Heuristic,
}

/// By what a session gets its media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP Live Streaming.
    Hls,
    /// MPEG-DASH.
    Dash,
    /// One long fragmented MP4.
    Progressive,
}

/// Sessions by protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ByProtocol {
    /// Over HLS.
    pub hls: u64,
    /// Over DASH.
    pub dash: u64,
    /// Over the progressive stream.
    pub progressive: u64,
}

/// Sessions by the way they were told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ByMethod {
    /// See [`Method::Exact`].
    pub exact: u64,
    /// See [`Method::Cmcd`].
    pub cmcd: u64,
    /// See [`Method::Heuristic`].
    pub heuristic: u64,
}

/// A stream's viewers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Count {
    /// Sessions within the window now.
    pub current: u64,
    /// Most at one time since the stream was made.
    pub peak: u64,
    /// Sessions since the stream was made.
    pub total: u64,
    /// Seconds watched by all sessions together, from first to last media fetch.
    pub watch_seconds: f64,
    /// Current sessions by protocol.
    pub by_protocol: ByProtocol,
    /// Current sessions by how they are told apart.
    pub by_method: ByMethod,
    /// Share of the current sessions that is told apart by guess, 0.0 to 1.0.
    pub estimated_share: f64,
}

/// Counts the viewers of every stream.
#[derive(Debug)]
pub struct Viewers {
    clock: Arc<dyn Clock>,
    secret: hmac::Key,
    /// The day and its salt.
    salt: Mutex<Option<(u64, hmac::Key)>>,
    streams: Mutex<HashMap<String, StreamSessions>>,
    kicks: Kicks,
    newcomers: Newcomers,
    /// Counts from before the server's start, until their streams are opened.
    before: Mutex<saved::Saved>,
}

/// A session as an admin sees it.
#[derive(Debug, Clone, Serialize)]
pub struct SessionView {
    /// Names the session to [`Viewers::kick`]; not what the player sends.
    pub sid: String,
    /// By what it gets its media.
    pub protocol: Protocol,
    /// How sure its identity is.
    pub method: Method,
    /// The network it comes from: the /24 of IPv4, the /48 of IPv6.
    pub address: String,
    /// User agent, shortened.
    pub agent: String,
    /// Seconds since its first media.
    pub age_s: f64,
    /// Seconds since it was heard of.
    pub idle_s: f64,
    /// Bitrate of the last picture that it asked for.
    pub bitrate_kbps: Option<u32>,
    /// Time-weighted mean of those.
    pub mean_bitrate_kbps: Option<u32>,
    /// Buffer at the last report.
    pub buffer_ms: Option<u32>,
    /// Throughput as the player measures it.
    pub throughput_kbps: Option<u32>,
    /// From being told to play to the first picture.
    pub startup_ms: Option<u32>,
    /// Distance from the live edge.
    pub latency_ms: Option<u32>,
    /// Stalls; absent for a player that tells nothing.
    pub stalls: Option<u32>,
    /// Their length together in seconds.
    pub stalled_s: Option<f64>,
    /// Frames dropped.
    pub dropped: Option<u32>,
}

/// A session that holds a connection open; it counts until this is dropped, and one window longer.
#[derive(Debug)]
pub struct Presence {
    viewers: Arc<Viewers>,
    stream: String,
    key: u128,
}

impl Viewers {
    /// A counter whose identities are keyed by `secret`; the salt of the heuristic changes every day (UTC).
    pub fn new(clock: Arc<dyn Clock>, secret: [u8; 32]) -> Self {
        Self {
            clock,
            secret: hmac::Key::new(&secret),
            salt: Mutex::default(),
            streams: Mutex::new(HashMap::new()),
            kicks: Kicks::default(),
            newcomers: Newcomers::default(),
            before: Mutex::default(),
        }
    }

    /// Starts counting a stream, or only updates its window.
    pub fn open(&self, stream: &str, target_duration: Duration) {
        let window = (target_duration * 3).max(Duration::from_secs(15));
        self.with(|streams| {
            streams.entry(stream.to_owned()).or_default().window = window;
        });
    }

    /// Starts counting a stream that was created at `born_ms`, where the last run of the server ended if it knew it.
    pub fn open_from(&self, stream: &str, target_duration: Duration, born_ms: u64) {
        self.open(stream, target_duration);
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).take(stream, born_ms);
        self.with(|streams| {
            if let Some(sessions) = streams.get_mut(stream) {
                sessions.born_ms = born_ms;
                if let Some(before) = before {
                    before.give(sessions);
                }
            }
        });
    }

    /// A live stream is over: nobody watches it now, and what was counted stays. Who asks for its recording later
    /// counts again.
    pub fn end(&self, stream: &str) {
        self.with(|streams| {
            if let Some(sessions) = streams.get_mut(stream) {
                sessions.end_all();
            }
        });
    }

    /// The stream is gone: nobody watches it any more, and late deliveries count no one.
    pub fn close(&self, stream: &str) {
        self.with(|streams| streams.remove(stream));
    }

    /// A playlist, manifest or page went out: not a view, but it makes a following init segment one.
    pub fn playlist(&self, stream: &str, who: &Who) {
        if who.is_machine() {
            return;
        }
        let (now, key) = (self.clock.now(), self.todays_key(stream, who));
        self.with(|streams| {
            if let Some(sessions) = streams.get_mut(stream) {
                sessions.saw_playlist(key, now);
            }
        });
    }

    /// An init segment went out: a view only for someone who fetched a playlist within the window.
    pub fn init(&self, stream: &str, who: &Who, protocol: Protocol) {
        let (now, key) = (self.clock.now(), self.todays_key(stream, who));
        let after_playlist =
            self.with(|streams| streams.get(stream).is_some_and(|sessions| sessions.had_playlist(key, now)));
        if after_playlist {
            self.media(stream, who, protocol);
        }
    }

    /// A segment or part went out. Returns the session's key when it counts.
    pub fn media(&self, stream: &str, who: &Who, protocol: Protocol) -> Option<u128> {
        if who.is_machine() {
            return None;
        }
        let now = self.clock.now();
        let (method, key) = self.key_of(stream, who);
        self.with(|streams| {
            let sessions = streams.get_mut(stream)?;
            let key = if method == Method::Heuristic && !sessions.is_current(key, now) {
                // Yesterday's salt finds a session that goes on past midnight.
                Some(self.yesterdays_key(stream, who))
                    .filter(|before| sessions.is_current(*before, now))
                    .unwrap_or(key)
            } else {
                key
            };
            sessions.heard(key, method, protocol, who, now);
            Some(key)
        })
    }

    /// A player's report of an event. One that says that it plays makes a viewer even when a cache in front of this
    /// server gave it all its media. `false` when it changes nothing: no such stream, session or state.
    pub fn event(&self, stream: &str, who: &Who) -> bool {
        let Some(report) = who.cmcd.as_ref().filter(|report| report.sid.is_some() && !who.is_machine())
        else {
            return false;
        };
        let now = self.clock.now();
        let (method, key) = self.key_of(stream, who);
        if self.kicks.holds(key, now) {
            return false;
        }
        self.with(|streams| {
            let Some(sessions) = streams.get_mut(stream) else { return false };
            if sessions.event(key, report, now) {
                return true;
            }
            let plays = report.state == Some(cmcd::PlayerState::Playing)
                && (method == Method::Exact || self.newcomers.admit(who.prefix(), now));
            if plays {
                let protocol = if report.format == Some('d') { Protocol::Dash } else { Protocol::Hls };
                sessions.heard(key, method, protocol, who, now);
            }
            plays
        })
    }

    /// Counts someone for as long as the answer is kept.
    pub fn hold(self: &Arc<Self>, stream: &str, who: &Who, protocol: Protocol) -> Option<Presence> {
        let key = self.media(stream, who, protocol)?;
        self.with(|streams| {
            if let Some(sessions) = streams.get_mut(stream) {
                sessions.pin(key);
            }
        });
        Some(Presence { viewers: Arc::clone(self), stream: stream.to_owned(), key })
    }

    /// A stream's figures now; all zero for one that is not open.
    pub fn count(&self, stream: &str) -> Count {
        let now = self.clock.now();
        self.with(|streams| streams.get_mut(stream).map(|sessions| sessions.count(now)).unwrap_or_default())
    }

    /// What the players of a stream tell about how well it plays.
    pub fn quality(&self, stream: &str) -> Qoe {
        let now = self.clock.now();
        self.with(|streams| streams.get_mut(stream).map(|sessions| sessions.quality(now)).unwrap_or_default())
    }

    /// The current sessions of a stream, longest first, at most `most`.
    pub fn list(&self, stream: &str, most: usize) -> Vec<SessionView> {
        let now = self.clock.now();
        let mut list: Vec<_> = self.with(|streams| {
            let Some(sessions) = streams.get_mut(stream) else { return Vec::new() };
            sessions.sweep(now);
            sessions.sessions.iter().map(|(key, session)| view(*key, session, now)).collect()
        });
        list.sort_by(|a, b| b.age_s.total_cmp(&a.age_s).then_with(|| a.sid.cmp(&b.sid)));
        list.truncate(most);
        list
    }

    /// Ends a session and refuses its requests for a while. `false` when no current session has that `sid`.
    pub fn kick(&self, sid: &str, lasting: Duration) -> bool {
        let Some(key) = (sid.len() == 32).then(|| u128::from_str_radix(sid, 16).ok()).flatten() else {
            return false;
        };
        let now = self.clock.now();
        let ended = self.with(|streams| {
            streams.values_mut().fold(false, |ended, sessions| {
                sessions.sweep(now);
                sessions.end(key) || ended
            })
        });
        if ended {
            self.kicks.add(key, now, now + lasting);
        }
        ended
    }

    /// Whether no session is refused now, so that nobody need be asked for.
    pub fn nobody_kicked(&self) -> bool {
        self.kicks.none()
    }

    /// The key under which `who` is refused, when an admin has removed it from the stream.
    pub fn kicked(&self, stream: &str, who: &Who) -> bool {
        if self.kicks.none() {
            return false;
        }
        let now = self.clock.now();
        let (method, key) = self.key_of(stream, who);
        let before = (method == Method::Heuristic).then(|| self.yesterdays_key(stream, who));
        std::iter::once(key).chain(before).any(|key| self.kicks.holds(key, now))
    }

    /// A session id for our own page: random, and signed so that it counts as exact. 49 characters, which is inside
    /// CMCD's limit of 64 for `sid`.
    pub fn mint(&self) -> String {
        let random = uuid::Uuid::new_v4().simple().to_string();
        let id = random.get(..16).unwrap_or(&random).to_owned();
        let signature = self.signature(&id);
        format!("{id}.{signature}")
    }

    fn signature(&self, id: &str) -> String {
        self.secret.of(&[b"sid", id.as_bytes()]).iter().take(16).map(|b| format!("{b:02x}")).collect()
    }

    fn is_ours(&self, token: &str) -> bool {
        token.split_once('.').is_some_and(|(id, signature)| {
            let expected = self.signature(id);
            expected.len() == signature.len()
                && expected.bytes().zip(signature.bytes()).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
        })
    }

    /// The identity by the first key that the request has: signed token, CMCD, playback session, `?s=`, heuristic.
    fn key_of(&self, stream: &str, who: &Who) -> (Method, u128) {
        let exact = |id: &str| (Method::Exact, self.key(stream, b"exact", id));
        if let Some(token) = who.token.as_deref().filter(|token| self.is_ours(token)) {
            return exact(token);
        }
        if let Some(sid) = who.cmcd.as_ref().and_then(|report| report.sid.as_deref()) {
            // Our page sends its signed token as CMCD's sid.
            return if self.is_ours(sid) {
                exact(sid)
            } else {
                (Method::Cmcd, self.key(stream, b"cmcd", sid))
            };
        }
        if let Some(id) = who.playback.as_deref() {
            return (Method::Exact, self.key(stream, b"playback", id));
        }
        if let Some(own) = who.own.as_deref().filter(|own| self.is_ours(own)) {
            return exact(own);
        }
        (Method::Heuristic, self.todays_key(stream, who))
    }

    fn key(&self, stream: &str, kind: &[u8], id: &str) -> u128 {
        first_16(&self.secret.of(&[kind, stream.as_bytes(), id.as_bytes()]))
    }

    /// The heuristic's key under today's salt, which is kept: this is worked out for every request.
    fn todays_key(&self, stream: &str, who: &Who) -> u128 {
        let today = self.clock.day();
        let mut kept = self.salt.lock().unwrap_or_else(PoisonError::into_inner);
        let salt = match &*kept {
            Some((day, salt)) if *day == today => salt.clone(),
            _ => kept.insert((today, self.salt_of(today))).1.clone(),
        };
        drop(kept);
        salted(&salt, stream, who)
    }

    /// The heuristic's key under the salt of the day before.
    fn yesterdays_key(&self, stream: &str, who: &Who) -> u128 {
        salted(&self.salt_of(self.clock.day().wrapping_sub(1)), stream, who)
    }

    fn salt_of(&self, day: u64) -> hmac::Key {
        hmac::Key::new(&self.secret.of(&[b"salt", &day.to_be_bytes()]))
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, StreamSessions>) -> T) -> T {
        work(&mut self.streams.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let now = self.viewers.clock.now();
        self.viewers.with(|streams| {
            if let Some(sessions) = streams.get_mut(&self.stream) {
                sessions.unpin(self.key, now);
            }
        });
    }
}

fn view(key: u128, session: &session::Session, now: Duration) -> SessionView {
    let qoe = &session.qoe;
    let counted = qoe.counted();
    let seconds = |time: Duration| (time.as_secs_f64() * 10.0).round() / 10.0;
    SessionView {
        sid: format!("{key:032x}"),
        protocol: session.protocol,
        method: session.method,
        address: network(session.address),
        agent: session.agent.to_string(),
        age_s: seconds(now.saturating_sub(session.first)),
        idle_s: seconds(now.saturating_sub(session.last)),
        bitrate_kbps: qoe.bitrate_kbps,
        mean_bitrate_kbps: qoe.mean_kbps(),
        buffer_ms: qoe.buffer_ms,
        throughput_kbps: qoe.throughput_kbps,
        startup_ms: qoe.startup_ms(),
        latency_ms: qoe.latency_ms,
        stalls: counted.map(|counted| counted.stalls),
        stalled_s: counted.map(|counted| counted.stalled_ms as f64 / 1000.0),
        dropped: counted.map(|counted| counted.dropped),
    }
}

/// The network of an address, so that a list of viewers is no list of persons.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{}/48", std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

fn salted(salt: &hmac::Key, stream: &str, who: &Who) -> u128 {
    first_16(&salt.of(&[stream.as_bytes(), &who.prefix(), who.agent.as_bytes()]))
}

fn first_16(digest: &[u8; 32]) -> u128 {
    digest.iter().take(16).fold(0, |acc, byte| acc << 8 | u128::from(*byte))
}
