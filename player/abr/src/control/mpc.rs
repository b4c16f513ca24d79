//! RobustMPC (Yin, Jindal, Sekar, Sinopoli, SIGCOMM 2015, 5), with the objective and the horizon of its public
//! re-implementation beside Pensieve (SIGCOMM 2017): all sequences over five segments, the throughput's harmonic mean
//! lowered by the largest error of late.

use std::collections::VecDeque;

use super::{Choice, Context, Controller, Delivery, Reason, bola};
use crate::{RungId, estimate::Kind};

const HORIZON: usize = 5;
const WINDOW: usize = 5;

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub struct RobustMpc {
    /// Relative errors of the last predictions.
    errors: VecDeque<f64>,
    predicted: Option<f64>,
    /// Quality in Mbit/s by rung.
    quality: Vec<f64>,
    /// Seconds to fetch by segment and rung.
    fetch: Vec<f64>,
}

struct Search<'a> {
    quality: &'a [f64],
    fetch: &'a [f64],
    horizon: usize,
    segment: f64,
    max_buffer: f64,
    stall_cost: f64,
    best: &'a mut [f64],
}

impl Search<'_> {
    fn extend(&mut self, depth: usize, first: usize, last: usize, level: f64, total: f64) {
        let top = self.quality.last().copied().unwrap_or_default();
        if depth == self.horizon {
            let best = &mut self.best[first];
            *best = best.max(total);
            return;
        }
        // No rest can earn more than the top rung without stall or change.
        if depth > 0 && total + (self.horizon - depth) as f64 * top <= self.best[first] {
            return;
        }
        // From the top, so that good plans come early and prune.
        for rung in (0..self.quality.len()).rev() {
            let fetch = self.fetch[depth * self.quality.len() + rung];
            let stall = (fetch - level).max(0.0);
            let next = ((level - fetch).max(0.0) + self.segment).min(self.max_buffer);
            let change = (self.quality[rung] - self.quality[last]).abs();
            let total = total + self.quality[rung] - change - self.stall_cost * stall;
            self.extend(depth + 1, if depth == 0 { rung } else { first }, rung, next, total);
        }
    }
}

impl Controller for RobustMpc {
    fn name(&self) -> &'static str {
        "robust-mpc"
    }

    fn estimator(&self) -> Kind {
        Kind::Harmonic(WINDOW)
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        let Some(estimate) = context.estimate else { return Choice::now(0, "robust-mpc", Reason::Unknown) };
        let mean = estimate.mean.bps() as f64;
        self.predicted = Some(mean);
        let worst = self.errors.iter().copied().fold(0.0, f64::max);
        let bps = (mean / (1.0 + worst)).max(1.0);
        let rungs = context.rungs();
        self.quality.clear();
        self.quality.extend((0..rungs).map(|rung| context.bps(rung) / 1e6));
        let horizon = HORIZON.min(context.upcoming.len()).max(1);
        self.fetch.clear();
        let ttfb = estimate.ttfb.as_secs_f64();
        for ahead in 0..horizon {
            self.fetch.extend((0..rungs).map(|rung| ttfb + context.bits(ahead, rung) / bps));
        }
        scores.resize(rungs, f64::NEG_INFINITY);
        let last = context.last.map_or(0, |last| last.0.min(rungs - 1));
        let level = context.buffer.as_secs_f64();
        let mut search = Search {
            quality: &self.quality,
            fetch: &self.fetch,
            horizon,
            segment: context.duration(),
            max_buffer: context.max_buffer.as_secs_f64(),
            stall_cost: self.quality.last().copied().unwrap_or_default(),
            best: scores,
        };
        search.extend(0, 0, last, level, 0.0);
        let rung = bola::best(scores);
        let reason = Reason::BestPlan { horizon, stall: 0.0, buffer: context.buffer };
        Choice { rung: RungId(rung), ..Choice::now(rung, "robust-mpc", reason) }
    }

    fn delivered(&mut self, delivery: &Delivery) {
        let seconds = delivery.took.saturating_sub(delivery.ttfb).as_secs_f64();
        let actual = delivery.bytes as f64 * 8.0 / seconds.max(0.001);
        if let Some(predicted) = self.predicted.take() {
            self.errors.push_back((predicted - actual).abs() / actual.max(1.0));
            if self.errors.len() > WINDOW {
                self.errors.pop_front();
            }
        }
    }
}
