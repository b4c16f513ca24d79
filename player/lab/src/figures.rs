//! The figures of a session: components of quality of experience, and the composites made of them.
//!
//! Every figure is defined in `docs/lab.md`. Composites are given side by side, never one alone.

use serde::{Deserialize, Serialize};

use weir_abr::{RungId, qoe};

use crate::{content::Content, sim::Session};

/// What a session was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// QoE_S of SODA (SIGCOMM 2024): mean utility - 10 x rebuffer ratio - switch rate.
    pub qoe_s: f64,
    /// Yin et al. (SIGCOMM 2015), linear, a segment: q = Mbit/s, lambda 1, mu the top rung's Mbit/s.
    pub qoe_lin: f64,
    /// The same with q = ln(rate / lowest), mu the top rung's q (Pensieve).
    pub qoe_log: f64,
    /// Sabre's "time average score", gamma p = 5.
    pub score: f64,
    /// Until the first picture, in seconds.
    pub startup_s: f64,
    /// Media played, in seconds.
    pub played_s: f64,
    /// Time without pictures after the first, in seconds.
    pub stall_s: f64,
    /// How often.
    pub stalls: u32,
    /// Longest of them, in seconds.
    pub max_stall_s: f64,
    /// stall / (stall + played).
    pub rebuffer_ratio: f64,
    /// Mean nominal bitrate of what was played, in kbit/s.
    pub kbps: f64,
    /// Mean ln(rate / lowest), by time.
    pub utility: f64,
    /// Changes of the rung on screen.
    pub switches: u32,
    /// Changes a segment.
    pub switch_rate: f64,
    /// Mean size of the change from one segment to the next, in kbit/s.
    pub change_kbps: f64,
    /// The same in ln(rate).
    pub change_log: f64,
    /// Share of time at the lowest rung.
    pub lowest_share: f64,
    /// Until the first segment on screen that the link's mean rate sustains, in seconds of session time.
    pub rampup_s: f64,
    /// Bytes downloaded.
    pub bytes: u64,
    /// Share of them that was given up half-way.
    pub aborted_share: f64,
    /// Share of them that was replaced before it was shown.
    pub replaced_share: f64,
    /// Mean of (estimate - measured) / measured over complete segments.
    pub estimate_bias: f64,
    /// Mean of |estimate - measured| / measured.
    pub estimate_mape: f64,
    /// Mean distance to the live edge in seconds; 0 on demand.
    pub live_latency_s: f64,
    /// Mean time from a seek to pictures in seconds; 0 without seeks.
    pub seek_s: f64,
    /// The end was reached.
    pub finished: bool,
}

/// A simulated session in the form that figures are computed from.
pub fn to_qoe(session: &Session, content: &Content) -> qoe::Session {
    let ladder_kbps = content.kbps();
    let rate = |rung: RungId| ladder_kbps.get(rung.0).or(ladder_kbps.last()).copied().unwrap_or(1.0);
    qoe::Session {
        startup_ms: session.startup.map(|time| time.as_secs_f64() * 1000.0),
        played: session
            .played
            .iter()
            .map(|played| qoe::Played {
                index: played.index,
                rung: played.rung,
                kbps: rate(played.rung),
                start_s: content
                    .main()
                    .segment(played.index)
                    .map_or(0.0, |segment| segment.start.as_secs_f64()),
                duration_s: played.duration.as_secs_f64(),
            })
            .collect(),
        stalls: session
            .stalls
            .iter()
            .map(|stall| qoe::Stall {
                pos_s: stall.position.as_secs_f64(),
                ms: stall.length.as_secs_f64() * 1000.0,
            })
            .collect(),
        downloads: session
            .estimates
            .iter()
            .map(|(expected, actual)| qoe::Download { expected_kbps: Some(*expected), actual_kbps: *actual })
            .collect(),
        bytes: session.bytes,
        wasted_bytes: session.aborted_bytes + session.replaced_bytes,
        ended: session.finished,
        failed: session.failed.is_some(),
        heights: content.main().ladder.rungs().iter().map(|rung| rung.height).collect(),
        ladder_kbps,
    }
}

impl Figures {
    /// Adds a session up. What the record tells as well is computed by `weir_abr::qoe`, as in the player.
    pub fn of(session: &Session, content: &Content) -> Self {
        let common = qoe::Figures::of(&to_qoe(session, content));
        let bytes = session.bytes.max(1) as f64;
        let seeks = session.seeks.len().max(1) as f64;
        Self {
            startup_s: session.startup.unwrap_or(session.end).as_secs_f64(),
            aborted_share: session.aborted_bytes as f64 / bytes,
            replaced_share: session.replaced_bytes as f64 / bytes,
            live_latency_s: session.live_latency_s.unwrap_or(0.0),
            seek_s: session.seeks.iter().map(|(_, took)| took.as_secs_f64()).sum::<f64>() / seeks + 0.0,
            finished: session.finished,
            ..Self::from(&common)
        }
    }

    /// The same with the ramp-up time, which needs the link's mean rate.
    #[must_use]
    pub fn with_rampup(mut self, session: &Session, content: &Content, mean_kbps: f64) -> Self {
        let kbps = content.kbps();
        let sustained = kbps.iter().rposition(|rate| *rate <= mean_kbps).unwrap_or(0);
        let reached = session.played.iter().find(|played| played.rung.0 >= sustained);
        self.rampup_s = reached.map_or(session.end, |played| played.at).as_secs_f64();
        self
    }
}

impl From<&qoe::Figures> for Figures {
    /// What a record tells; the rest is zero.
    fn from(common: &qoe::Figures) -> Self {
        let bytes = common.bytes.max(1) as f64;
        Self {
            qoe_s: common.qoe_s,
            qoe_lin: common.qoe_lin,
            qoe_log: common.qoe_log,
            score: common.sabre_score,
            startup_s: common.startup_ms.unwrap_or_default() / 1000.0,
            played_s: common.played_s,
            // An empty sum is minus zero: here and below.
            stall_s: common.rebuffer_ms / 1000.0 + 0.0,
            stalls: common.rebuffer_count,
            max_stall_s: common.rebuffer_longest_ms / 1000.0,
            rebuffer_ratio: common.rebuffer_ratio + 0.0,
            kbps: common.played_kbps,
            utility: common.utility,
            switches: common.switches,
            switch_rate: common.switch_rate,
            change_kbps: common.change_kbps,
            change_log: common.change_ln,
            lowest_share: common.lowest_share + 0.0,
            bytes: common.bytes,
            aborted_share: common.wasted_bytes as f64 / bytes,
            estimate_bias: common.estimate_bias.unwrap_or_default(),
            estimate_mape: common.estimate_mape.unwrap_or_default(),
            ..Self::default()
        }
    }
}
