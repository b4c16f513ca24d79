//! L2A-LL, "Learn2Adapt-LowLatency" (Karagkioules, Mekuria, Griffioen, Wagenaar, MMSys 2020; the constants are those of
//! dash.js's `L2ARule`): online gradient steps on the simplex of rung probabilities, with a Lagrange multiplier for the
//! buffer's displacement. For low latency.
//!
//! Until so much is buffered as it aims at, the throughput decides. From then on each downloaded segment makes one step:
//! the probability of a rung that the last download's rate carries grows, that of the others shrinks, both the more the
//! larger the rung and the multiplier are; the rung nearest to the expected bitrate is played, upwards one at a time.

use super::{Choice, Context, Controller, Delivery, Reason};
use crate::{Bitrate, estimate::Kind};

/// Steps that convergence takes.
const HORIZON: f64 = 4.0;
/// Exponent of the horizon that makes the cautiousness.
const CAUTION: f64 = 0.99;
/// After a choice above the rate the multiplier grows by this.
const REACTION: f64 = 2.0;
/// Seconds of buffer after which the throughput decides no longer.
const TARGET: f64 = 1.5;
/// Share of the expected rate that is taken until then.
const SAFETY: f64 = 0.9;

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub struct L2aLl {
    /// Probability of each rung; empty until the buffer is there.
    weights: Vec<f64>,
    before: Vec<f64>,
    multiplier: f64,
    /// Rate in kbit/s and media seconds of the last download.
    last: Option<(f64, f64)>,
    /// It has not made its step yet.
    fresh: bool,
    /// What the last step came to.
    rung: usize,
    sorted: Vec<f64>,
}

/// Nearest point of the simplex (Chen and Ye, 2011). `sorted` is room to work in.
fn project(weights: &mut [f64], sorted: &mut Vec<f64>) {
    sorted.clear();
    sorted.extend_from_slice(weights);
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let (mut sum, mut shift) = (0.0, 0.0);
    for (at, value) in sorted.iter().enumerate() {
        sum += value;
        let candidate = (sum - 1.0) / (at + 1) as f64;
        if *value - candidate > 0.0 {
            shift = candidate;
        }
    }
    for weight in weights {
        *weight = (*weight - shift).max(0.0);
    }
}

impl L2aLl {
    fn caution() -> f64 {
        HORIZON.powf(CAUTION)
    }

    /// The throughput's rung takes all of the probability.
    fn begin(&mut self, rung: usize, rungs: usize) {
        self.multiplier = Self::caution();
        self.weights.clear();
        self.weights.extend((0..rungs).map(|at| if at == rung { 1.0 } else { 0.0 }));
        self.rung = rung;
        self.fresh = false;
    }

    /// One step, for a download of `seconds` at `rate` kbit/s.
    fn step(&mut self, context: &Context<'_>, rate: f64, seconds: f64) -> usize {
        let caution = Self::caution();
        let size = HORIZON.max(caution * HORIZON.sqrt());
        let bitrate = |rung: usize| context.bps(rung) / 1000.0;
        let speed = context.rate.max(0.1);
        self.before.clone_from(&self.weights);
        for (rung, weight) in self.weights.iter_mut().enumerate() {
            let load = speed * bitrate(rung) / rate;
            let sign = if load > 1.0 { -1.0 } else { 1.0 };
            *weight += sign * (seconds / (2.0 * size)) * (self.multiplier + caution) * load;
        }
        project(&mut self.weights, &mut self.sorted);
        let (mut mean, mut change) = (0.0, 0.0);
        for (rung, (weight, before)) in self.weights.iter().zip(&self.before).enumerate() {
            mean += bitrate(rung) * weight;
            change += bitrate(rung) * (weight - before);
        }
        let displaced = seconds * speed * (mean + change) / rate - seconds;
        self.multiplier = (self.multiplier + displaced).max(0.0);
        let mut nearest = 0;
        for rung in 1..self.weights.len() {
            if (bitrate(rung) - mean).abs() < (bitrate(nearest) - mean).abs() {
                nearest = rung;
            }
        }
        if nearest > self.rung && bitrate(self.rung + 1) <= rate {
            nearest = self.rung + 1;
        }
        if bitrate(nearest) >= rate {
            // Too much was expected of the link: the next step is to go further down.
            self.multiplier = REACTION * self.multiplier.max(caution);
        }
        nearest
    }
}

impl Controller for L2aLl {
    fn name(&self) -> &'static str {
        "l2a-ll"
    }

    fn estimator(&self) -> Kind {
        Kind::Chunked
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        let rungs = context.rungs();
        if context.estimate.is_none() {
            return Choice::now(0, "l2a-ll", Reason::Unknown);
        }
        let Some((rate, seconds)) = self.last.filter(|_| self.weights.len() == rungs) else {
            let allowed = SAFETY * context.estimate_bps();
            let rung = context.highest_below(allowed);
            if self.last.is_some() && context.buffer.as_secs_f64() >= TARGET {
                self.begin(rung, rungs);
            }
            let allowed = Bitrate::from_bps(allowed as u64);
            return Choice::now(rung, "l2a-ll", Reason::FitsRate { allowed });
        };
        if std::mem::take(&mut self.fresh) {
            self.rung = self.step(context, rate, seconds);
        }
        scores.extend_from_slice(&self.weights);
        let allowed = Bitrate::from_kbps(rate);
        Choice::now(self.rung, "l2a-ll", Reason::FitsRate { allowed })
    }

    fn delivered(&mut self, delivery: &Delivery) {
        if delivery.replaced {
            return;
        }
        let seconds = delivery.took.saturating_sub(delivery.ttfb).as_secs_f64().max(0.001);
        // A link that carries nothing must not divide by nothing.
        let rate = (delivery.bytes as f64 * 8.0 / seconds / 1000.0).max(1.0);
        self.last = Some((rate, delivery.duration.as_secs_f64()));
        self.fresh = true;
    }

    fn restarted(&mut self) {
        self.weights.clear();
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projection_is_the_nearest_distribution() {
        let mut room = Vec::new();
        for (from, to) in [
            ([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),
            ([2.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
            ([0.5, 0.5, 0.5], [1.0 / 3.0; 3]),
            ([0.9, 0.7, -3.0], [0.6, 0.4, 0.0]),
        ] {
            let mut weights = from;
            project(&mut weights, &mut room);
            assert!(weights.iter().zip(to).all(|(a, b)| (a - b).abs() < 1e-12), "{from:?} gave {weights:?}");
        }
    }
}
