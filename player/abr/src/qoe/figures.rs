//! Figures of a session.

use super::Session;
use crate::record::Event;

/// Everything that can be said about a session's quality. Composites are means per segment (or over time, where said), so
/// that sessions of different length compare.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Figures {
    /// Time to the first picture; `None` when there was none.
    pub startup_ms: Option<f64>,
    /// Nothing was ever shown.
    pub join_failed: bool,
    /// All stalls together.
    pub rebuffer_ms: f64,
    /// How many stalls.
    pub rebuffer_count: u32,
    /// Longest stall.
    pub rebuffer_longest_ms: f64,
    /// Stalls over played and stalled time, 0..=1.
    pub rebuffer_ratio: f64,
    /// Media seconds shown.
    pub played_s: f64,
    /// Average bitrate over the time shown.
    pub played_kbps: f64,
    /// Mean of ln(r / r_min) over the time shown.
    pub utility: f64,
    /// The same as a share of the ladder, 0..=1.
    pub utility_share: f64,
    /// Segments that were shown.
    pub segments: u32,
    /// Changes of rung on screen.
    pub switches: u32,
    /// Switches per segment.
    pub switch_rate: f64,
    /// Mean change of bitrate from segment to segment, in kbit/s.
    pub change_kbps: f64,
    /// Mean change of ln bitrate from segment to segment.
    pub change_ln: f64,
    /// Share of the time shown at the lowest rung.
    pub lowest_share: f64,
    /// SODA's test QoE (SIGCOMM 2024): utility share - 10 x rebuffer ratio - switch rate.
    pub qoe_s: f64,
    /// Yin et al. (SIGCOMM 2015), linear: mean over segments of q - |change| - r_max x stall, in Mbit/s; without start-up.
    pub qoe_lin: f64,
    /// The same with start-up time weighted like stalls.
    pub qoe_lin_startup: f64,
    /// Pensieve (SIGCOMM 2017), log: mean over segments of ln(r/r_min) - |change| - ln(r_max/r_min) x stall.
    pub qoe_log: f64,
    /// Sabre's score: time average of ln(r / r_min) less 5 x stall, stalls in the time.
    pub sabre_score: f64,
    /// Bytes that came.
    pub bytes: u64,
    /// Of these, thrown away.
    pub wasted_bytes: u64,
    /// Mean of expected over actual throughput, less one; `None` without expectations.
    pub estimate_bias: Option<f64>,
    /// Mean absolute relative error of the expectations.
    pub estimate_mape: Option<f64>,
}

/// Sabre's weight of stalls.
const GP: f64 = 5.0;

impl Figures {
    /// Computes all of them. The ladder's ends default to the lowest and highest bitrate shown.
    pub fn of(session: &Session) -> Self {
        let shown = || session.played.iter().map(|played| played.kbps);
        let lowest =
            session.ladder_kbps.first().copied().unwrap_or_else(|| shown().fold(f64::INFINITY, f64::min));
        let highest = session.ladder_kbps.last().copied().unwrap_or_else(|| shown().fold(0.0, f64::max));
        let lowest = if lowest.is_finite() { lowest.max(1.0) } else { 1.0 };
        let span = (highest.max(lowest) / lowest).ln();
        let ln = |kbps: f64| (kbps.max(1.0) / lowest).ln();

        let played_s = session.played_s();
        let stalled_s = session.stalled_ms() / 1000.0;
        let total_s = played_s + stalled_s;
        let share = |value: f64, of: f64| if of > 0.0 { value / of } else { 0.0 };
        let over_time = |value: &dyn Fn(f64) -> f64| {
            share(session.played.iter().map(|played| value(played.kbps) * played.duration_s).sum(), played_s)
        };
        let utility = over_time(&ln);
        let utility_share = if span > 0.0 { utility / span } else { over_time(&|_| 1.0) };

        // Per segment: a segment whose rung changed on screen counts once for each stretch.
        let segments = session.played.len();
        let count = segments as f64;
        let pairs = || session.played.iter().zip(session.played.iter().skip(1));
        let switches = pairs().filter(|(a, b)| a.rung != b.rung).count();
        let change_kbps: f64 = pairs().map(|(a, b)| (b.kbps - a.kbps).abs()).sum();
        let change_ln: f64 = pairs().map(|(a, b)| (ln(b.kbps) - ln(a.kbps)).abs()).sum();
        let switch_rate = share(switches as f64, count);
        let rebuffer_ratio = share(stalled_s, total_s);
        let startup_s = session.startup_ms.unwrap_or_default() / 1000.0;
        let mbps: f64 = shown().map(|kbps| kbps / 1000.0).sum();
        let lin = mbps - change_kbps / 1000.0 - highest / 1000.0 * stalled_s;
        let log = shown().map(ln).sum::<f64>() - change_ln - span * stalled_s;
        let at_lowest: f64 =
            session.played.iter().filter(|played| played.rung.0 == 0).map(|played| played.duration_s).sum();

        let errors = || {
            session.downloads.iter().filter_map(|download| {
                let expected = download.expected_kbps?;
                (download.actual_kbps > 0.0).then(|| expected / download.actual_kbps - 1.0)
            })
        };
        let judged = errors().count();
        let mean = |sum: f64| (judged > 0).then(|| sum / judged as f64);
        Self {
            startup_ms: session.startup_ms,
            join_failed: session.startup_ms.is_none(),
            rebuffer_ms: session.stalled_ms(),
            rebuffer_count: u32::try_from(session.stalls.len()).unwrap_or(u32::MAX),
            rebuffer_longest_ms: session.stalls.iter().map(|stall| stall.ms).fold(0.0, f64::max),
            rebuffer_ratio,
            played_s,
            played_kbps: over_time(&|kbps| kbps),
            utility,
            utility_share,
            segments: u32::try_from(segments).unwrap_or(u32::MAX),
            switches: u32::try_from(switches).unwrap_or(u32::MAX),
            switch_rate,
            change_kbps: share(change_kbps, count),
            change_ln: share(change_ln, count),
            lowest_share: share(at_lowest, played_s),
            qoe_s: utility_share - 10.0 * rebuffer_ratio - switch_rate,
            qoe_lin: share(lin, count),
            qoe_lin_startup: share(lin - highest / 1000.0 * startup_s, count),
            qoe_log: share(log, count),
            sabre_score: share(utility * played_s - GP * stalled_s, total_s),
            bytes: session.bytes,
            wasted_bytes: session.wasted_bytes,
            estimate_bias: mean(errors().sum()),
            estimate_mape: mean(errors().map(f64::abs).sum()),
        }
    }

    /// The record's last entry. Frames are counted by whoever shows them.
    pub fn summary(&self, dropped_frames: u64, frames: u64) -> Event {
        let shown = |figure: f64| (self.segments > 0).then_some(figure);
        Event::Summary {
            startup_ms: self.startup_ms,
            rebuffer_ms: self.rebuffer_ms,
            rebuffer_count: self.rebuffer_count,
            played_s: self.played_s,
            played_kbps: self.played_kbps,
            switches: self.switches,
            qoe_lin: shown(self.qoe_lin),
            qoe_log: shown(self.qoe_log),
            qoe_s: shown(self.qoe_s),
            sabre_score: shown(self.sabre_score),
            dropped_frames,
            frames,
            bytes: self.bytes,
            wasted_bytes: self.wasted_bytes,
        }
    }
}
