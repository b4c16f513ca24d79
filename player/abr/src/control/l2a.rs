//! L2A-LL (Karagkioules et al., MMSys 2020; as in dash.js's `L2ARule`): online gradient steps on the simplex of rung
//! probabilities, with a Lagrange multiplier for the buffer. For low latency.

use super::{Choice, Context, Controller, Delivery, Reason};
use crate::{Bitrate, estimate::Kind};

/// Segments over which the regret is bounded, and the weight of the buffer's constraint that follows from it.
const HORIZON: f64 = 4.0;
/// Steps up may be this much eager.
const REACTION: f64 = 2.0;
/// Below this buffer in seconds the multiplier grows.
const TARGET: f64 = 1.5;

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub struct L2aLl {
    weights: Vec<f64>,
    multiplier: f64,
    /// Rate and media length of the last download.
    last: Option<(f64, f64)>,
    sorted: Vec<f64>,
}

impl L2aLl {
    /// Nearest point of the simplex (Wang and Carreira-Perpinan, 2013).
    fn project(&mut self) {
        self.sorted.clear();
        self.sorted.extend(self.weights.iter().copied());
        self.sorted.sort_by(|a, b| b.total_cmp(a));
        let (mut sum, mut shift) = (0.0, 0.0);
        for (at, value) in self.sorted.iter().enumerate() {
            sum += value;
            let candidate = (sum - 1.0) / (at + 1) as f64;
            if *value - candidate > 0.0 {
                shift = candidate;
            }
        }
        for weight in &mut self.weights {
            *weight = (*weight - shift).max(0.0);
        }
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
        let fitting = context.highest_below(0.9 * context.estimate_bps());
        let Some((bps, segment)) = self.last.filter(|_| context.estimate.is_some()) else {
            return Choice::now(fitting, "l2a-ll", Reason::Unknown);
        };
        if self.weights.len() != rungs {
            self.weights.clear();
            self.weights.resize(rungs, 0.0);
            if let Some(weight) = self.weights.get_mut(fitting) {
                *weight = 1.0;
            }
            self.multiplier = 0.0;
        }
        let last = context.last.map_or(0, |last| last.0.min(rungs - 1));
        let constraint = HORIZON.powf(0.99);
        let alpha = HORIZON.sqrt().max(constraint * HORIZON.sqrt());
        // Rates in Mbit/s, as the constants were chosen for.
        let rate = (bps / 1e6).max(0.001);
        let bitrate = |rung: usize| context.bps(rung) / 1e6;
        let previous = self.weights.get(last).copied().unwrap_or_default();
        for rung in 0..rungs {
            let sign = if bitrate(rung) <= REACTION * rate { -1.0 } else { 1.0 };
            if let Some(weight) = self.weights.get_mut(rung) {
                *weight += (segment / (2.0 * alpha))
                    * ((constraint + self.multiplier) * sign * bitrate(rung)
                        / rate.min(bitrate(rung)).max(0.001));
            }
        }
        self.project();
        let mut slope = 0.0;
        for rung in 0..rungs {
            let weight = self.weights.get(rung).copied().unwrap_or_default();
            let change = if rung == last { weight - previous } else { weight };
            slope += bitrate(rung) / rate.min(bitrate(rung)).max(0.001) * (weight + change);
        }
        let short = TARGET - context.buffer.as_secs_f64();
        self.multiplier = (self.multiplier + segment * slope - segment + short.min(0.0)).max(0.0);
        let mean: f64 =
            (0..rungs).map(|rung| bitrate(rung) * self.weights.get(rung).copied().unwrap_or_default()).sum();
        scores.extend(self.weights.iter().copied());
        let nearest = |from: f64| {
            (0..rungs)
                .min_by(|a, b| (bitrate(*a) - from).abs().total_cmp(&(bitrate(*b) - from).abs()))
                .unwrap_or(0)
        };
        let mut rung = nearest(mean);
        if rung > last && bitrate(last + 1) <= rate {
            // Upwards step by step, and never above what the last download showed.
            rung = last + 1;
        } else if rung > last {
            rung = last;
        }
        if bitrate(rung) >= rate {
            rung = context.highest_below(bps);
        }
        let allowed = Bitrate::from_bps(bps as u64);
        Choice::now(rung, "l2a-ll", Reason::FitsRate { allowed })
    }

    fn delivered(&mut self, delivery: &Delivery) {
        let seconds = delivery.took.saturating_sub(delivery.ttfb).as_secs_f64().max(0.001);
        self.last = Some((delivery.bytes as f64 * 8.0 / seconds, delivery.duration.as_secs_f64()));
    }

    fn restarted(&mut self) {
        *self = Self::default();
    }
}
