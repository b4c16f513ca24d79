//! Synthetic traces, the same on every machine for the same options.

use super::{Invalid, Point, Trace};
use crate::rng::Rng;

/// Rates in turn, each for the same time.
pub fn steps(name: &str, kbps: &[f64], step_ms: f64, latency_ms: f64) -> Result<Trace, Invalid> {
    let points = kbps.iter().map(|kbps| Point { duration_ms: step_ms, kbps: *kbps, latency_ms }).collect();
    Trace::new(name, points)
}

/// Rises in a straight line, a point a second, and falls back at once.
pub fn sawtooth(
    name: &str,
    (low_kbps, high_kbps): (f64, f64),
    period_s: u32,
    latency_ms: f64,
) -> Result<Trace, Invalid> {
    let count = period_s.max(2);
    let points = (0..count)
        .map(|second| {
            let part = f64::from(second) / f64::from(count - 1);
            let kbps = (low_kbps + (high_kbps - low_kbps) * part).round();
            Point { duration_ms: 1000.0, kbps, latency_ms }
        })
        .collect();
    Trace::new(name, points)
}

/// A steady rate with a hole of growing length at the end of each period.
pub fn outages(
    name: &str,
    kbps: f64,
    period_ms: f64,
    outages_ms: &[f64],
    latency_ms: f64,
) -> Result<Trace, Invalid> {
    let points = outages_ms
        .iter()
        .flat_map(|outage| {
            [
                Point { duration_ms: period_ms - outage, kbps, latency_ms },
                Point { duration_ms: *outage, kbps: 0.0, latency_ms },
            ]
        })
        .collect();
    Trace::new(name, points)
}

/// How strongly the random walk is drawn back to its mean, a second.
const PULL: f64 = 0.06;
/// Deviation of its steps, in ln(rate).
const STEP: f64 = 0.22;
/// Chance of a fade, a second, and its depth.
const FADE_CHANCE: f64 = 0.012;
const FADE_FACTOR: f64 = 0.08;

/// A mobile link: the logarithm of the rate walks around its mean, a point a second, with fades of 2 to 8 seconds.
pub fn walk(name: &str, mean_kbps: f64, length_s: u32, seed: u64, latency_ms: f64) -> Result<Trace, Invalid> {
    let mut rng = Rng::new(seed);
    let mut offset = 0.0;
    let mut fade = 0;
    let points: Vec<Point> = (0..length_s.max(1))
        .map(|_| {
            offset += -PULL * offset + STEP * rng.normal();
            if fade == 0 && rng.next_f64() < FADE_CHANCE {
                fade = 2 + rng.below(7);
            }
            let factor = if fade > 0 { FADE_FACTOR } else { 1.0 };
            fade = fade.saturating_sub(1);
            let kbps = mean_kbps * offset.exp() * factor;
            let jitter = (latency_ms * 0.3 * rng.next_f64()).round();
            Point { duration_ms: 1000.0, kbps, latency_ms: latency_ms + jitter }
        })
        .collect();
    // Drawn around the mean, then moved onto it.
    let drawn = points.iter().map(|point| point.kbps).sum::<f64>() / points.len() as f64;
    let points =
        points.into_iter().map(|p| Point { kbps: (p.kbps * mean_kbps / drawn).round(), ..p }).collect();
    Trace::new(name, points)
}
