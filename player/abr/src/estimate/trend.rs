//! Where the rate goes from here: how far it strays from what the network comes back to, and how long that lasts.
//!
//! The logarithm of the rate is taken for a level that drifts back to a long average, seen through noise. How fast it
//! drifts and how much of a surprise is noise differ from network to network, so a small bank of such models runs side
//! by side, and each counts by how well it has foretold the samples of this session (Bayesian model averaging with
//! Laplace errors; the models are steady-state Kalman filters).
//!
//! Outages are counted by themselves. As part of a rate they would make a small download look safe in the next one and a
//! large one deadly, while all that helps is what is buffered.

use std::time::Duration;

use super::Average;

/// Shares of the outcomes that each of [`Outlook::surprises`] stands for.
pub const SHARES: [f64; 6] = [0.05, 0.15, 0.2, 0.2, 0.2, 0.2];

/// Time constants of the way back, in seconds.
const REVERSIONS: [f64; 3] = [6.0, 30.0, 150.0];
/// Shares of a surprise that are taken for a change of the level.
const GAINS: [f64; 3] = [0.15, 0.4, 0.8];
const MODELS: usize = REVERSIONS.len() * GAINS.len();
/// Half-life of the long average, and the most of the silence before a sample that it speaks for, both in seconds.
const LONG_HALF_LIFE: f64 = 100.0;
const SILENCE: f64 = 3.0;
/// How fast old successes of a model are forgotten, a sample.
const FORGET: f64 = 0.97;
/// Size of a surprise that is expected before anything was measured, and how many samples that counts for.
const FIRST_SPREAD: f64 = 0.35;
const FIRST_WEIGHT: f64 = 3.0;
/// Samples by which the spread of a model is judged.
const SPREAD_MEMORY: f64 = 30.0;
/// Rates below this, in bit/s, are taken for it.
const SLOWEST: f64 = 1000.0;
/// Surprises that are remembered.
const WINDOW: usize = 40;
/// Surprises beyond these say no more than these.
const WORST: f64 = -4.0;
const BEST: f64 = 1.5;
/// Ratios of what comes to what is expected that are believed before anything was measured, and how many seconds each
/// of them lasts. They stay: what a session has seen so far never tells all that may come.
const PRIOR: [f64; 8] = [0.35, 0.6, 0.8, 0.9, 1.0, 1.07, 1.14, 1.33];
const PRIOR_LASTING: f64 = 2.0;

/// Surprises up to this count as none, and so many of them in a row make a steady link.
const CALM: f64 = 0.04;
const CALM_COUNT: u32 = 5;
/// And so many seconds, since short segments come by the dozen before anything can happen.
const CALM_SECONDS: f64 = 10.0;

/// Outages by which the length of the next one is judged.
const OUTAGES: usize = 16;
/// Each that was seen counts so many times: those while nothing was fetched were not seen.
const UNSEEN: f64 = 1.5;
/// Seconds without an outage that are taken for granted before the first sample.
const OUTAGE_FREE: f64 = 30.0;

/// What is expected of the rate, in logarithms of bit/s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// Expected for the next transfer.
    pub next: f64,
    /// What it comes back to.
    pub settled: f64,
    /// Time constant of the way back in seconds.
    pub reversion: f64,
    /// Share of a surprise that stays.
    pub gain: f64,
    /// Surprises, from bad to good, that are as likely as [`SHARES`] says.
    pub surprises: [f64; 6],
    /// How long each of them lasts, in seconds.
    pub lasting: [f64; 6],
    /// Outages to be reckoned with in a second.
    pub outages: f64,
    /// What the shorter and the longer half of them last in the mean, in seconds.
    pub silent: [f64; 2],
}

impl Outlook {
    /// A rate that stays as it is.
    pub fn exact(bps: f64) -> Self {
        let log = bps.max(1.0).ln();
        Self {
            next: log,
            settled: log,
            reversion: 60.0,
            gain: 0.5,
            surprises: [0.0; 6],
            lasting: [1.0; 6],
            outages: 0.0,
            silent: [0.0; 2],
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Model {
    level: f64,
    /// Mean size of its surprises.
    spread: f64,
    score: f64,
}

/// See the module's page.
#[derive(Clone, Debug)]
pub struct Trend {
    settled: Average,
    models: [Model; MODELS],
    weights: [f64; MODELS],
    seen: f64,
    at: Duration,
    /// When the first sample came.
    begun: Duration,
    /// So many surprises in a row were small, in so many seconds.
    calm: u32,
    calm_seconds: f64,
    recent: [(f64, f64); WINDOW],
    sorted: Vec<(f64, f64)>,
    surprises: [f64; 6],
    lasting: [f64; 6],
    /// Outages in all, how long the last ones were, and what [`Outlook::silent`] makes of that.
    outages: u32,
    silences: [f64; OUTAGES],
    silent: [f64; 2],
}

impl Default for Trend {
    fn default() -> Self {
        let mut trend = Self {
            settled: Average::new(LONG_HALF_LIFE),
            models: [Model { level: 0.0, spread: FIRST_SPREAD, score: 0.0 }; MODELS],
            weights: [1.0 / MODELS as f64; MODELS],
            seen: 0.0,
            at: Duration::ZERO,
            begun: Duration::ZERO,
            calm: 0,
            calm_seconds: 0.0,
            recent: [(0.0, 0.0); WINDOW],
            sorted: Vec::with_capacity(WINDOW + PRIOR.len()),
            surprises: [0.0; 6],
            lasting: [0.0; 6],
            outages: 0,
            silences: [0.0; OUTAGES],
            silent: [0.0; 2],
        };
        trend.rank();
        trend
    }
}

impl Trend {
    fn reversion(model: usize) -> f64 {
        REVERSIONS[model / GAINS.len()]
    }

    fn expect(&self, model: usize, settled: f64, passed: f64) -> f64 {
        let keep = (-passed / Self::reversion(model)).exp();
        settled + keep * (self.models[model].level - settled)
    }

    /// Takes in the rate of a transfer that took so many seconds and ended at `now`.
    pub fn add(&mut self, now: Duration, bps: f64, seconds: f64) {
        let log = bps.max(SLOWEST).ln();
        let Some(settled) = self.settled.get().map(|bps| bps.max(SLOWEST).ln()) else {
            self.settled.add(seconds.max(SILENCE), bps);
            for model in &mut self.models {
                model.level = log;
            }
            (self.at, self.begun) = (now, now);
            return;
        };
        let passed = now.saturating_sub(self.at).as_secs_f64();
        let expected: [f64; MODELS] = std::array::from_fn(|model| self.expect(model, settled, passed));
        let mean: f64 = expected.iter().zip(&self.weights).map(|(expected, weight)| expected * weight).sum();
        let slot = self.seen as usize % WINDOW;
        self.recent[slot] = ((log - mean).clamp(WORST, BEST), seconds.max(0.2));
        self.calm = if (log - mean).abs() <= CALM { self.calm + 1 } else { 0 };
        self.calm_seconds = if self.calm > 0 { self.calm_seconds + passed } else { 0.0 };
        self.seen += 1.0;
        let memory = 1.0 / (self.seen + FIRST_WEIGHT).min(SPREAD_MEMORY);
        for (at, expected) in expected.into_iter().enumerate() {
            let model = &mut self.models[at];
            let surprise = log - expected;
            let size = surprise.abs();
            model.score = FORGET * model.score - model.spread.ln() - size / model.spread;
            model.spread = ((1.0 - memory) * model.spread + memory * size).max(0.01);
            model.level = expected + GAINS[at % GAINS.len()] * surprise;
        }
        let best = self.models.iter().map(|model| model.score).fold(f64::NEG_INFINITY, f64::max);
        let mut total = 0.0;
        for (weight, model) in self.weights.iter_mut().zip(&self.models) {
            *weight = (model.score - best).exp();
            total += *weight;
        }
        for weight in &mut self.weights {
            *weight /= total;
        }
        self.settled.add(passed.min(SILENCE).max(seconds), bps);
        self.at = now;
        self.rank();
    }

    /// Whether the network has done what was expected of it for a while.
    pub fn is_calm(&self) -> bool {
        self.calm >= CALM_COUNT && self.calm_seconds >= CALM_SECONDS
    }

    /// Takes in outages of so many seconds each.
    pub fn outage(&mut self, seconds: f64, count: u32) {
        for _ in 0..count.min(OUTAGES as u32) {
            self.silences[self.outages as usize % OUTAGES] = seconds;
            self.outages = self.outages.saturating_add(1);
        }
        let mut sorted = self.silences;
        let (known, _) = sorted.split_at_mut((self.outages as usize).min(OUTAGES));
        known.sort_unstable_by(f64::total_cmp);
        let (short, long) = known.split_at(known.len() / 2);
        let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len().max(1) as f64;
        self.silent = [mean(if short.is_empty() { long } else { short }), mean(long)];
    }

    fn rank(&mut self) {
        self.sorted.clear();
        let seen = (self.seen as usize).min(WINDOW);
        self.sorted.extend_from_slice(&self.recent[..seen]);
        self.sorted.extend(PRIOR.iter().map(|ratio| (ratio.ln(), PRIOR_LASTING)));
        self.sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let count = self.sorted.len() as f64;
        let mut from = 0.0;
        for (at, share) in SHARES.into_iter().enumerate() {
            // Means over the part of the sorted list that the share covers.
            let to = from + share * count;
            let (mut surprise, mut lasting, mut weight) = (0.0, 0.0, 0.0);
            for (place, (log, seconds)) in self.sorted.iter().enumerate() {
                let part = (to.min(place as f64 + 1.0) - f64::max(from, place as f64)).max(0.0);
                surprise += part * log;
                lasting += part * seconds;
                weight += part;
            }
            self.surprises[at] = surprise / weight.max(1e-9);
            self.lasting[at] = lasting / weight.max(1e-9);
            from = to;
        }
    }

    /// What to expect at `now`; `None` before the first sample.
    pub fn get(&self, now: Duration) -> Option<Outlook> {
        let settled = self.settled.get()?.max(SLOWEST).ln();
        let passed = now.saturating_sub(self.at).as_secs_f64();
        let mix = |value: &dyn Fn(usize) -> f64| -> f64 {
            self.weights.iter().enumerate().map(|(at, weight)| weight * value(at)).sum()
        };
        Some(Outlook {
            next: mix(&|at| self.expect(at, settled, passed)),
            settled,
            reversion: mix(&|at| Self::reversion(at).ln()).exp(),
            gain: mix(&|at| GAINS[at % GAINS.len()]),
            surprises: self.surprises,
            lasting: self.lasting,
            outages: UNSEEN * f64::from(self.outages)
                / (self.at.saturating_sub(self.begun).as_secs_f64() + OUTAGE_FREE),
            silent: self.silent,
        })
    }
}
