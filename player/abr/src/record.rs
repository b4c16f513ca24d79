//! A session as data: one [`Entry`] for each thing that happened. The engine and the simulator write it,
//! QoE figures, reports and replays read it. On disk it is one JSON object a line (`docs/events.md`).

use crate::{RungId, TrackKind};

/// One line of a session's record.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Entry {
    /// Milliseconds since the session's start.
    pub t_ms: f64,
    /// What happened.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub event: Event,
}

/// What can happen. `_s` are seconds, `_ms` milliseconds, `kbps` 1000 bit/s.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "event", rename_all = "snake_case"))]
#[expect(missing_docs, reason = "docs/events.md describes each field")]
pub enum Event {
    /// A manifest or playlist was loaded.
    Manifest {
        url: String,
        protocol: String,
        kind: String,
        live: Option<bool>,
        duration_s: Option<f64>,
        ms: f64,
    },
    /// What there is to choose from on a track.
    Ladder { track: TrackKind, kbps: Vec<f64>, heights: Vec<Option<u32>> },
    /// A request went out.
    Request { track: Option<TrackKind>, index: Option<u64>, rung: Option<RungId>, url: String },
    /// A segment arrived. `ms` from request to last byte, `ttfb_ms` to the first; `buffer_s` after it.
    Segment {
        track: TrackKind,
        index: u64,
        rung: RungId,
        kbps: f64,
        bytes: u64,
        ms: f64,
        ttfb_ms: f64,
        start_s: f64,
        duration_s: f64,
        replaced: bool,
        buffer_s: f64,
    },
    /// A download was given up.
    Abort { track: TrackKind, index: u64, rung: RungId, bytes: u64, reason: String },
    /// A rung was chosen.
    Decision {
        track: TrackKind,
        index: u64,
        rung: RungId,
        estimate_kbps: Option<f64>,
        buffer_s: f64,
        rule: String,
        reason: String,
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
        scores: Vec<f64>,
    },
    /// The picture on screen changed its rung.
    Switch { from_kbps: f64, to_kbps: f64, pos_s: f64 },
    /// The first picture is shown.
    FirstFrame { height: u32 },
    /// Where playback is, by the sink's clock; every 100 ms.
    Position { pos_s: f64, buffer_s: f64, height: u32 },
    /// Playback ran dry.
    StallStart { pos_s: f64 },
    /// Playback goes on; `ms` is how long it stood.
    StallEnd { pos_s: f64, ms: f64 },
    /// The viewer jumped. Written when the picture of the new place is shown; `ms` since the wish.
    Seek { from_s: f64, to_s: f64, ms: f64, in_buffer: bool },
    /// The viewer paused or resumed.
    Paused { paused: bool, pos_s: f64 },
    /// The playback rate changed.
    Rate { rate: f64 },
    /// The viewer chose a quality (`auto`, or the rung's label), or a cap changed.
    Quality { choice: String, cap_kbps: Option<f64>, cap_height: Option<u32> },
    /// A segment was given up and jumped over.
    Skip { track: TrackKind, index: u64, reason: String },
    /// A beep or a flash of the test card at the sinks, for measuring audio/video sync.
    Sync { flash_s: f64, beep_s: f64, offset_ms: f64 },
    /// Something failed.
    Error { fatal: bool, code: String, reason: String },
    /// Playback came to the end.
    Ended { pos_s: f64 },
    /// The session's figures.
    Summary {
        startup_ms: Option<f64>,
        rebuffer_ms: f64,
        rebuffer_count: u32,
        played_s: f64,
        played_kbps: f64,
        switches: u32,
        qoe_lin: Option<f64>,
        dropped_frames: u64,
        frames: u64,
        bytes: u64,
        wasted_bytes: u64,
    },
}
