//! The figures of a session: components of quality of experience, and the composites made of them.
//!
//! Every figure is defined in `docs/lab.md`. Composites are given side by side, never one alone.

use serde::{Deserialize, Serialize};

use crate::{content::Content, sim::Session};

/// Weight of stalls in Sabre's score, seconds of utility a second.
const SABRE_GAMMA: f64 = 5.0;

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

impl Figures {
    /// Adds a session up.
    pub fn of(session: &Session, content: &Content) -> Self {
        let kbps = content.kbps();
        let rate = |rung: usize| kbps.get(rung).or(kbps.last()).copied().unwrap_or(1.0);
        let (low, high) = (rate(0), rate(usize::MAX));
        let span = (high / low).ln();
        let plays: Vec<(f64, f64)> = session
            .played
            .iter()
            .map(|played| (rate(played.rung.0), played.duration.as_secs_f64()))
            .collect();
        let count = plays.len().max(1) as f64;
        let played_s: f64 = plays.iter().map(|(_, time)| time).sum();
        let by_time = |value: &dyn Fn(f64) -> f64| {
            plays.iter().map(|(rate, time)| value(*rate) * time).sum::<f64>() / played_s.max(1e-9)
        };
        let log = |rate: f64| (rate / low).ln();
        let changes = || plays.windows(2).filter_map(|pair| <[_; 2]>::try_from(pair).ok());
        let change = |value: &dyn Fn(f64) -> f64| {
            changes().map(|[(a, _), (b, _)]| (value(b) - value(a)).abs()).sum::<f64>()
        };
        let switches = changes().filter(|[(a, _), (b, _)]| a != b).count();
        let stall_s: f64 = session.stalls.iter().map(|stall| stall.length.as_secs_f64()).sum();
        let rebuffer_ratio = if stall_s > 0.0 { stall_s / (stall_s + played_s) } else { 0.0 };
        let startup_s = session.startup.unwrap_or(session.end).as_secs_f64();
        let utility = by_time(&log);
        let mean_u = if span > 0.0 {
            plays.iter().map(|(rate, _)| log(*rate)).sum::<f64>() / span / count
        } else {
            1.0
        };
        let switch_rate = switches as f64 / (count - 1.0).max(1.0);
        let mbps = |rate: f64| rate / 1000.0;
        let per_segment = |value: &dyn Fn(f64) -> f64, mu: f64| {
            (plays.iter().map(|(rate, _)| value(*rate)).sum::<f64>() - change(value) - mu * stall_s) / count
        };
        let errors: Vec<f64> = session
            .estimates
            .iter()
            .filter(|(_, measured)| *measured > 0.0)
            .map(|(expected, measured)| (expected - measured) / measured)
            .collect();
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
            if count > 0.0 { sum / count } else { 0.0 }
        };
        let bytes = session.bytes.max(1) as f64;
        Self {
            qoe_s: mean_u - 10.0 * rebuffer_ratio - switch_rate,
            qoe_lin: per_segment(&mbps, mbps(high)),
            qoe_log: per_segment(&log, span),
            score: (utility * played_s - SABRE_GAMMA * stall_s) / (played_s + stall_s + startup_s).max(1e-9),
            startup_s,
            played_s,
            stall_s,
            stalls: u32::try_from(session.stalls.len()).unwrap_or(u32::MAX),
            max_stall_s: session.stalls.iter().map(|stall| stall.length.as_secs_f64()).fold(0.0, f64::max),
            rebuffer_ratio,
            kbps: by_time(&|rate| rate),
            utility,
            switches: u32::try_from(switches).unwrap_or(u32::MAX),
            switch_rate,
            change_kbps: change(&|rate| rate) / (count - 1.0).max(1.0),
            change_log: change(&log) / (count - 1.0).max(1.0),
            lowest_share: by_time(&|rate| f64::from(u8::from(rate == low))),
            rampup_s: 0.0,
            bytes: session.bytes,
            aborted_share: session.aborted_bytes as f64 / bytes,
            replaced_share: session.replaced_bytes as f64 / bytes,
            estimate_bias: mean(&mut errors.iter().copied()),
            estimate_mape: mean(&mut errors.iter().map(|error| error.abs())),
            live_latency_s: session.live_latency_s.unwrap_or(0.0),
            seek_s: mean(&mut session.seeks.iter().map(|(_, took)| took.as_secs_f64())),
            finished: session.finished,
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
