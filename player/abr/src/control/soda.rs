//! SODA (SIGCOMM 2024): over time slots of one segment, the sequence that only rises or only falls and costs least in
//! distortion, distance of the buffer from its target, and changes. The paper publishes no weights: these are our own.

use super::{Choice, Context, Controller, Reason, throughput::ShortBuffer};
use crate::RungId;

/// Weight of the buffer's distance from its target (beta of the paper).
const BETA: f64 = 0.03;
/// Weight of changes (gamma).
const GAMMA: f64 = 80.0;
/// Target level as a share of the largest.
const TARGET: f64 = 0.65;
/// A buffer above its target costs so much less than one below (epsilon).
const ABOVE: f64 = 0.1;
const HORIZON: usize = 3;
/// Longest horizon in seconds.
const HORIZON_SECONDS: f64 = 10.0;
/// Share of the estimate that is used.
const SAFETY: f64 = 0.85;

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub struct Soda {
    short_buffer: ShortBuffer,
    /// Distortion by rung, 0 at the top, 1 at the bottom.
    distortion: Vec<f64>,
}

struct Search<'a> {
    context: &'a Context<'a>,
    distortion: &'a [f64],
    bps: f64,
    slot: f64,
    horizon: usize,
    cap: usize,
    max_buffer: f64,
    best: &'a mut [f64],
}

impl Search<'_> {
    fn extend(&mut self, depth: usize, first: usize, last: usize, direction: i8, level: f64, cost: f64) {
        if depth > 0 && -cost <= self.best[first] {
            return;
        }
        if depth == self.horizon {
            self.best[first] = -cost;
            return;
        }
        let target = TARGET * self.max_buffer;
        for rung in 0..=self.cap {
            let step = match rung.cmp(&last) {
                std::cmp::Ordering::Greater => 1,
                std::cmp::Ordering::Less => -1,
                std::cmp::Ordering::Equal => direction,
            };
            if direction != 0 && step != direction {
                continue;
            }
            let got = self.bps * self.slot / self.context.bps(rung).max(1.0);
            let next = level + got - self.slot;
            if !(0.0..=self.max_buffer).contains(&next) {
                continue;
            }
            let off = target - next;
            let buffer = if off >= 0.0 { off * off } else { ABOVE * off * off };
            let change = self.distortion[rung] - self.distortion[last];
            let cost = cost + self.distortion[rung] * got + BETA * buffer + GAMMA * change * change;
            self.extend(depth + 1, if depth == 0 { rung } else { first }, rung, step, next, cost);
        }
    }
}

impl Controller for Soda {
    fn name(&self) -> &'static str {
        "soda"
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        if context.estimate.is_none() {
            return Choice::now(0, "soda", Reason::Unknown);
        }
        let bps = (SAFETY * context.estimate_bps()).max(1.0);
        let rungs = context.rungs();
        let span = (context.bps(context.ladder.top().0) / context.bps(0).max(1.0)).ln();
        self.distortion.clear();
        self.distortion.extend((0..rungs).map(|rung| {
            let below = (context.bps(context.ladder.top().0) / context.bps(rung).max(1.0)).ln();
            if span > 0.0 { below / span } else { 0.0 }
        }));
        let slot = context.duration();
        let horizon = HORIZON.min((HORIZON_SECONDS / slot) as usize).max(1);
        // Nothing above the first rung that the link does not carry.
        let cap = (0..rungs).find(|rung| context.bps(*rung) >= bps).unwrap_or(rungs - 1);
        scores.resize(rungs, f64::NEG_INFINITY);
        let last = context.last.map_or(0, |last| last.0.min(rungs - 1));
        let max_buffer = context.max_buffer.as_secs_f64();
        let mut search = Search {
            context,
            distortion: &self.distortion,
            bps,
            slot,
            horizon,
            cap,
            max_buffer,
            best: scores,
        };
        search.extend(0, 0, last, 0, context.buffer.as_secs_f64(), 0.0);
        // Where every choice overflows, the best for the link; where every choice runs dry, the lowest.
        let found = scores.iter().any(|score| score.is_finite());
        let overflows = context.buffer.as_secs_f64() > 0.5 * max_buffer;
        let rung = match (found, overflows) {
            (true, _) => super::bola::best(scores),
            (false, true) => cap,
            (false, false) => 0,
        };
        let limited = self.short_buffer.limit(context, rung);
        if limited < rung {
            return Choice::now(limited, "short-buffer", Reason::ShortBuffer { buffer: context.buffer });
        }
        let reason = Reason::BestPlan { horizon, stall: 0.0, buffer: context.buffer };
        Choice { rung: RungId(rung), ..Choice::now(rung, "soda", reason) }
    }

    fn restarted(&mut self) {
        self.short_buffer = ShortBuffer::default();
    }
}
