//! Who is watching.
//!
//! A viewer is one playback session on one stream that fetched media within the window `W = max(15 s, 3 x target
//! duration)`. Playlists, HEAD requests, crawlers and prefetches make no viewer. Counting observes deliveries; it
//! never decides whether somebody gets media.
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
mod cmcd;
mod hmac;
mod session;
mod who;

#[cfg(test)]
mod truth_table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

pub use clock::{Clock, ManualClock, SystemClock};
pub use hmac::hmac_sha256;
pub use who::Who;

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
    /// Most at one time since the server started.
    pub peak: u64,
    /// Sessions since the server started.
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
    secret: [u8; 32],
    streams: Mutex<HashMap<String, StreamSessions>>,
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
        Self { clock, secret, streams: Mutex::new(HashMap::new()) }
    }

    /// Starts counting a stream, or only updates its window.
    pub fn open(&self, stream: &str, target_duration: Duration) {
        let window = (target_duration * 3).max(Duration::from_secs(15));
        self.with(|streams| {
            streams.entry(stream.to_owned()).or_default().window = window;
        });
    }

    /// The stream is over or gone: nobody watches it any more, and late deliveries count no one.
    pub fn close(&self, stream: &str) {
        self.with(|streams| streams.remove(stream));
    }

    /// A playlist, manifest or page went out: not a view, but it makes a following init segment one.
    pub fn playlist(&self, stream: &str, who: &Who) {
        if who.is_machine() {
            return;
        }
        let (now, key) = (self.clock.now(), self.heuristic_keys(stream, who)[0]);
        self.with(|streams| {
            if let Some(sessions) = streams.get_mut(stream) {
                sessions.saw_playlist(key, now);
            }
        });
    }

    /// An init segment went out: a view only for someone who fetched a playlist within the window.
    pub fn init(&self, stream: &str, who: &Who, protocol: Protocol) {
        let (now, key) = (self.clock.now(), self.heuristic_keys(stream, who)[0]);
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
        let (method, keys) = self.keys(stream, who);
        self.with(|streams| {
            let sessions = streams.get_mut(stream)?;
            // Yesterday's salt finds a session that goes on past midnight.
            let key = keys.iter().copied().find(|key| sessions.is_current(*key, now)).unwrap_or(keys[0]);
            sessions.fetched(key, method, protocol, now);
            Some(key)
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

    /// A session id for our own page: random, and signed so that it counts as exact. 49 characters, which is inside
    /// CMCD's limit of 64 for `sid`.
    pub fn mint(&self) -> String {
        let random = uuid::Uuid::new_v4().simple().to_string();
        let id = random.get(..16).unwrap_or(&random).to_owned();
        let signature = self.signature(&id);
        format!("{id}.{signature}")
    }

    fn signature(&self, id: &str) -> String {
        hmac_sha256(&self.secret, &[b"sid", id.as_bytes()])
            .iter()
            .take(16)
            .map(|b| format!("{b:02x}"))
            .collect()
    }

    fn is_ours(&self, token: &str) -> bool {
        token.split_once('.').is_some_and(|(id, signature)| {
            let expected = self.signature(id);
            expected.len() == signature.len()
                && expected.bytes().zip(signature.bytes()).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
        })
    }

    /// The identity by the first key that the request has: signed token, CMCD, playback session, `?s=`, heuristic.
    fn keys(&self, stream: &str, who: &Who) -> (Method, [u128; 2]) {
        let exact = |id: &str| (Method::Exact, [self.key(stream, b"exact", id); 2]);
        if let Some(token) = who.token.as_deref().filter(|token| self.is_ours(token)) {
            return exact(token);
        }
        if let Some(sid) = who.cmcd.as_deref() {
            // Our page sends its signed token as CMCD's sid.
            return if self.is_ours(sid) {
                exact(sid)
            } else {
                (Method::Cmcd, [self.key(stream, b"cmcd", sid); 2])
            };
        }
        if let Some(id) = who.playback.as_deref() {
            return (Method::Exact, [self.key(stream, b"playback", id); 2]);
        }
        if let Some(own) = who.own.as_deref().filter(|own| self.is_ours(own)) {
            return exact(own);
        }
        (Method::Heuristic, self.heuristic_keys(stream, who))
    }

    fn key(&self, stream: &str, kind: &[u8], id: &str) -> u128 {
        first_16(&hmac_sha256(&self.secret, &[kind, stream.as_bytes(), id.as_bytes()]))
    }

    /// Keys under today's and yesterday's salt.
    fn heuristic_keys(&self, stream: &str, who: &Who) -> [u128; 2] {
        let day = self.clock.day();
        [day, day.wrapping_sub(1)].map(|day| {
            let salt = hmac_sha256(&self.secret, &[b"salt", &day.to_be_bytes()]);
            first_16(&hmac_sha256(&salt, &[stream.as_bytes(), &who.prefix(), who.agent.as_bytes()]))
        })
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

fn first_16(digest: &[u8; 32]) -> u128 {
    digest.iter().take(16).fold(0, |acc, byte| acc << 8 | u128::from(*byte))
}
