//! What is told about a live stream.

use std::net::IpAddr;

use serde::Serialize;

use super::Codec;
use crate::ladder::Profile;
use crate::store::TrackKind;

/// How a live stream is cut, kept and guarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSettings {
    /// Length that segments aim at, 500 to 10 000 ms.
    pub segment_ms: u32,
    /// Longest part, 100 to 2000 ms.
    pub part_ms: u32,
    /// Seconds that stay listed; 0 keeps all.
    pub window_s: u32,
    /// Keep everything and become an on-demand stream at the end.
    pub record: bool,
    /// How long the stream waits for a publisher who went away, in milliseconds.
    pub grace_ms: u32,
    /// How long a publisher may be connected and send nothing, in milliseconds, before it counts as one who went
    /// away: viewers get what there is, and the stream waits for `grace_ms`.
    pub quiet_ms: u32,
    /// Which rungs to encode below the source.
    pub profile: Profile,
    /// A second publisher replaces the first instead of being refused.
    pub takeover: bool,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self {
            segment_ms: 2000,
            part_ms: 500,
            window_s: 120,
            record: false,
            grace_ms: 10_000,
            quiet_ms: 6_000,
            profile: Profile::default(),
            takeover: true,
        }
    }
}

/// Who publishes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PublisherInfo {
    /// Where from; `None` for the server's own test card.
    pub address: Option<IpAddr>,
    /// "rtmp", "testcard".
    pub app: String,
    /// The publisher's program, as it names itself.
    pub agent: Option<String>,
}

/// Where a live stream is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LiveState {
    /// No publisher has come yet, or none since the server's start.
    #[default]
    Idle,
    /// A publisher sends.
    Live,
    /// The publisher went away, or is there and sends nothing; the stream waits for it.
    Grace,
    /// Over. A publisher who comes now is refused.
    Ended,
}

/// A track as it arrives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LiveTrack {
    /// Picture or sound.
    pub kind: TrackKind,
    /// The codec.
    pub codec: Codec,
    /// RFC 6381.
    pub codecs: String,
    /// Pixels; 0 for sound.
    pub width: u32,
    /// Pixels; 0 for sound.
    pub height: u32,
    /// Hz; 0 for pictures.
    pub sample_rate: u32,
    /// Channels; 0 for pictures.
    pub channels: u32,
}

/// How a rung is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RungState {
    /// Nothing has come out of its encoder yet.
    Starting,
    /// It is part of the stream.
    Running,
    /// Its encoder has died and is started again; segments without it are gaps.
    Restarting,
    /// It was given up; the stream goes on without it.
    Lost,
    /// The machine cannot carry it now.
    LeftOut,
}

/// A rung of a live stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RungStatus {
    /// As the rendition's.
    pub name: String,
    /// How it is.
    pub state: RungState,
    /// The element that encodes it, "copy" for the source's own pictures; none for one that never was encoded.
    pub encoder: Option<String>,
    /// Why it is not running.
    pub error: Option<String>,
    /// How often its encoder has died in this take.
    pub restarts: u32,
}

impl RungStatus {
    pub(super) fn new(name: &str, state: RungState, encoder: Option<&str>) -> Self {
        Self { name: name.to_owned(), state, encoder: encoder.map(str::to_owned), error: None, restarts: 0 }
    }
}

/// A live stream's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LiveStatus {
    /// Where it is.
    pub state: LiveState,
    /// Since when it is there, in milliseconds since 1970-01-01 UTC.
    pub since_ms: u64,
    /// Who publishes now.
    pub publisher: Option<PublisherInfo>,
    /// What arrives.
    pub tracks: Vec<LiveTrack>,
    /// Its video, rung by rung: the source, then the encoded ones, lowest first.
    pub rungs: Vec<RungStatus>,
    /// Arriving bits a second, over the last seconds.
    pub bitrate: u64,
    /// Units taken since the server's start.
    pub units: u64,
    /// Units that could not be used.
    pub dropped: u64,
    /// Discontinuities since the server's start.
    pub discontinuities: u32,
    /// Length of the timeline so far in milliseconds.
    pub duration_ms: u64,
    /// Why nothing is recorded (or kept on disk) any more.
    pub recording_failure: Option<String>,
    /// What the publisher should know, newest last, at most 20.
    pub warnings: Vec<String>,
}
