//! A session as data: one [`Entry`] for each thing that happened. The engine and the simulator write it,
//! QoE figures, reports and replays read it. On disk it is one JSON object a line (`docs/events.md`).

use crate::{RungId, TrackKind};

/// How a download got on: milliseconds since its request, and bytes of its body that had come by then. Both rise.
pub type Progress = Vec<(f64, u64)>;

/// Gathers a download's [`Progress`] within bounds: points are [`Curve::STEP_MS`] apart at least, and further when there
/// would be more than [`Curve::MOST`].
#[derive(Clone, Debug, Default)]
pub struct Curve {
    points: Progress,
    /// The distance was doubled so often.
    thinned: u32,
}

impl Curve {
    /// Least distance of points in milliseconds.
    pub const STEP_MS: f64 = 100.0;
    /// Most points.
    pub const MOST: usize = 600;

    /// `bytes` had come in all, `ms` after the request.
    pub fn add(&mut self, ms: f64, bytes: u64) {
        let step = Self::STEP_MS * f64::from(1_u32 << self.thinned.min(20));
        let last = self.points.last().copied();
        // A hair less than a step is let pass: reports come on a grid, and clocks are not that exact.
        if last.is_some_and(|(before, known)| ms < before + step - 1.0 || bytes < known) {
            return;
        }
        if self.points.len() >= Self::MOST {
            let mut at = 0_usize;
            self.points.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.thinned += 1;
        }
        self.points.push((ms, bytes));
    }

    /// What was gathered.
    pub fn into_points(self) -> Progress {
        self.points
    }
}

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
    /// A session begins: what was opened, who chooses, and what was known of the network.
    Session {
        url: String,
        algorithm: String,
        max_buffer_s: f64,
        remembered_kbps: Option<f64>,
        remembered_age_s: Option<f64>,
    },
    /// A manifest or playlist was loaded.
    Manifest {
        url: String,
        protocol: String,
        kind: String,
        live: Option<bool>,
        duration_s: Option<f64>,
        ms: f64,
        /// Protocol of the answer.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
        http: Option<String>,
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
        /// The manifest told its size beforehand.
        #[cfg_attr(feature = "serde", serde(default))]
        sized: bool,
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
        progress: Progress,
    },
    /// A download was given up. `ms` since the request, `ttfb_ms` from there to the first byte.
    Abort {
        track: TrackKind,
        index: u64,
        rung: RungId,
        bytes: u64,
        reason: String,
        #[cfg_attr(feature = "serde", serde(default))]
        ms: Option<f64>,
        #[cfg_attr(feature = "serde", serde(default))]
        ttfb_ms: Option<f64>,
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
        progress: Progress,
    },
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
    /// Enough is buffered to begin: what comes before pictures move now is the decoder's.
    Start { pos_s: f64 },
    /// The first picture is shown.
    FirstFrame { height: u32 },
    /// Where playback is, by the sink's clock; every 100 ms.
    Position { pos_s: f64, buffer_s: f64, height: u32 },
    /// How far a live stream is behind; once a second while it plays.
    Latency { pos_s: f64, latency_s: Option<f64>, edge_s: f64, target_s: f64 },
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
    /// Subtitles were chosen (`null`: none), by the stream's own default, by an option or by the viewer.
    Subtitles { language: Option<String>, label: Option<String>, forced: bool, by: String },
    /// Another sound of its own was chosen (a language, a commentary), by an option or by the viewer.
    Sound { language: Option<String>, label: String, by: String },
    /// A steering server said which pathways come first.
    Steering { url: String, ttl_s: f64, priority: Vec<String> },
    /// Media come from another pathway from now on.
    Pathway { from: Option<String>, to: String, reason: String },
    /// A live stream went on nearer to its edge, without being asked to.
    LiveJump { from_s: f64, to_s: f64, reason: String },
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
        #[cfg_attr(feature = "serde", serde(default))]
        qoe_log: Option<f64>,
        #[cfg_attr(feature = "serde", serde(default))]
        qoe_s: Option<f64>,
        #[cfg_attr(feature = "serde", serde(default))]
        sabre_score: Option<f64>,
        dropped_frames: u64,
        frames: u64,
        bytes: u64,
        wasted_bytes: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_keeps_its_distance_and_its_bound_however_long_a_download_takes() {
        let mut curve = Curve::default();
        for tick in 0..100_000_u32 {
            curve.add(f64::from(tick) * 25.0, u64::from(tick) * 100);
        }
        let points = curve.into_points();
        assert!((Curve::MOST / 4..=Curve::MOST).contains(&points.len()), "{} points", points.len());
        assert!(points.windows(2).all(|pair| pair[1].0 >= pair[0].0 + 99.0 && pair[1].1 > pair[0].1));
        assert!(points[0].0 < 1.0 && points[points.len() - 1].0 > 2_200_000.0);
    }
}
