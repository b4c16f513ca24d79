//! Weir's own controller: it knows what every place of a session is worth, and goes where that is most.
//!
//! A session is a Markov decision process. Its state is the rate that the network has strayed to, the rung, and the
//! buffer; what moves it is learnt in the session ([`Outlook`]); what is wanted are the weights below, the same that
//! QoE_S has (SODA, SIGCOMM 2024). `value` solves it anew with each sample, from the last solution on. A choice then
//! weighs the true size of the segment, and a download under way is given up when beginning again is worth more.

mod abandon;
mod value;

use std::time::Duration;

use super::{Choice, Context, Controller, Delivery, InFlight, Reason};
use crate::{
    RungId,
    estimate::{Estimate, Kind, Outlook},
};
use value::{Fetch, Table, Taste};

/// What is wanted, in units of the utility between the lowest rung (0) and the highest (1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Cost of any change of rung: somewhat more than it has in QoE_S, since a plan that is made anew each time changes
    /// more often than it foresees.
    pub switch: f64,
    /// Cost of a second of stall, times the segment's length in seconds.
    pub stall: f64,
    /// Seconds of buffer below which no download should end; no more than [`RESERVE_SHARE`] of the largest buffer.
    pub reserve: f64,
    /// Cost of each second that is missing from it, times the segment's length in seconds.
    pub thin: f64,
    /// What comes later counts less: by half in so many seconds.
    pub outlook: f64,
    /// Share of a change of the network that is reckoned with: of all that come, some are answered before they matter.
    pub drift: f64,
    /// A download is given up when beginning again at another rung is worth more by this.
    pub margin: f64,
}

impl Weights {
    /// Sets one by its name; `false` when there is none of this name.
    pub fn set(&mut self, name: &str, value: f64) -> bool {
        let field = match name {
            "switch" => &mut self.switch,
            "stall" => &mut self.stall,
            "reserve" => &mut self.reserve,
            "thin" => &mut self.thin,
            "outlook" => &mut self.outlook,
            "drift" => &mut self.drift,
            "margin" => &mut self.margin,
            _ => return false,
        };
        *field = value;
        value.is_finite() && value >= 0.0
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self { switch: 1.4, stall: 10.0, reserve: 3.0, thin: 2.0, outlook: 60.0, drift: 0.4, margin: 0.3 }
    }
}

/// Most of the largest buffer that is kept in reserve: what is kept cannot be played with.
const RESERVE_SHARE: f64 = 0.22;
/// Rounds of two sweeps over the table when nothing is known yet, and with each new sample.
const FIRST_ROUNDS: usize = 2;
const ROUNDS: usize = 1;
/// Variance of the logarithm of segments' sizes about the average that is expected, and where sizes are not known.
const SIZES: f64 = 0.04;
/// How much of it is learnt with each sample.
const SIZES_MEMORY: f64 = 0.05;
/// Segments may differ so much in length before they count as another presentation's.
const SAME_LENGTH: f64 = 1.3;
/// Segments after the next whose true sizes count, and how much of what they take more than the average is believed to
/// be fetched at the same rung.
const COMING: usize = 4;
const EXCESS: f64 = 0.7;

/// A steady link carries a rung when it is so many times as fast.
const ROOM: f64 = 1.08;
/// Segments that must be buffered to rely on that.
const ENOUGH: f64 = 1.5;

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub struct Weir {
    weights: Weights,
    utilities: Vec<f64>,
    /// Of a segment of average size, by rung.
    bits: Vec<f64>,
    table: Table,
    /// Length of a segment in seconds; 0 before the first.
    segment: f64,
    sizes: f64,
    /// Rung of the newest segment.
    delivered: Option<usize>,
    /// What the table was last solved for.
    solved: Option<(Outlook, Taste)>,
}

impl Weir {
    /// With other weights than the default ones.
    pub fn with_weights(weights: Weights) -> Self {
        Self { weights, ..Self::default() }
    }

    fn outlook(&self, estimate: &Estimate) -> Outlook {
        Outlook { gain: self.weights.drift * estimate.outlook.gain, ..estimate.outlook }
    }

    fn taste(&mut self, context: &Context<'_>) -> Taste {
        let length = context.duration();
        if self.segment > SAME_LENGTH * length || length > SAME_LENGTH * self.segment {
            // The last segment is often short: no reason to think anew.
            if self.segment == 0.0 || context.upcoming.len() > 1 {
                self.segment = length;
                self.solved = None;
            }
        }
        // At the live edge no more can be ahead than what is there.
        let room = context.latency.map_or(context.max_buffer, |(_, target)| target.min(context.max_buffer));
        let room = room.as_secs_f64().max(self.segment);
        Taste {
            switch: self.weights.switch,
            stall: self.weights.stall / self.segment,
            discount: 0.5_f64.powf(self.segment / self.weights.outlook.max(1.0)),
            segment: self.segment,
            max_buffer: room,
            rate: context.rate.max(0.1),
            reserve: self.weights.reserve.min(RESERVE_SHARE * room),
            thin: self.weights.thin / self.segment,
        }
    }

    /// Brings the table up to what is known now.
    fn solve(&mut self, context: &Context<'_>, outlook: &Outlook, taste: &Taste, ttfb: f64) {
        let rungs = context.rungs();
        // What comes next moves with the clock, the model only with samples.
        let model = Outlook { next: 0.0, ..*outlook };
        if self.solved == Some((model, *taste)) && self.table.is_for(rungs) {
            return;
        }
        let span = (context.bps(rungs - 1) / context.bps(0).max(1.0)).ln();
        let ln = |rung: usize| (context.bps(rung) / context.bps(0).max(1.0)).max(1.0).ln();
        self.utilities.clear();
        self.utilities.extend((0..rungs).map(|rung| if span > 0.0 { ln(rung) / span } else { 1.0 }));
        self.bits.clear();
        self.bits.extend((0..rungs).map(|rung| context.bps(rung) * taste.segment));
        let mut rounds = ROUNDS;
        if self.solved.is_none() || !self.table.is_for(rungs) {
            self.table.reset(rungs);
            self.sizes = SIZES;
            rounds = FIRST_ROUNDS;
        }
        self.learn_sizes(context);
        self.table.model(outlook, taste, ttfb, &self.bits, self.sizes.sqrt());
        for _ in 0..rounds {
            self.table.sweep(taste, &self.utilities, true);
            self.table.sweep(taste, &self.utilities, false);
        }
        self.solved = Some((model, *taste));
    }

    /// How much segments vary about the average of their rung.
    fn learn_sizes(&mut self, context: &Context<'_>) {
        let known = context.upcoming.first().is_some_and(|segment| !segment.sizes.is_empty());
        if !known {
            self.sizes = SIZES;
            return;
        }
        let rung = context.rungs() / 2;
        let of = |(at, segment): (usize, &crate::SegmentInfo)| {
            let average = context.bps(rung) * segment.duration.as_secs_f64().max(0.001);
            (context.bits(at, rung) / average.max(1.0)).max(0.1).ln().powi(2)
        };
        let sum: f64 = context.upcoming.iter().enumerate().map(of).sum();
        let now = sum / context.upcoming.len().max(1) as f64;
        self.sizes += SIZES_MEMORY * (now - self.sizes);
    }
}

/// What the segments after the next are larger than the average of a rung, in bits.
fn excess(context: &Context<'_>, rung: usize) -> f64 {
    let coming = context.upcoming.iter().enumerate().skip(1).take(COMING);
    let more = |(at, segment): (usize, &crate::SegmentInfo)| {
        context.bits(at, rung) - context.bps(rung) * segment.duration.as_secs_f64()
    };
    EXCESS * coming.map(more).sum::<f64>()
}

/// How much of a segment's length answers may be off by, in the mean, on a steady link.
const OFF: f64 = 0.05;

/// Where a link is steady there is nothing to wait for: the rung that it carries at once, where that pays for the change,
/// and no change after that, unless a large segment would use up the buffer. What is best by the table may lie on both sides
/// of it, by turns.
fn settle(
    context: &Context<'_>,
    estimate: &Estimate,
    best: usize,
    last: usize,
    gain: impl Fn(usize) -> f64,
) -> usize {
    let Some(steady) = estimate.steady.map(|rate| rate.bps() as f64) else { return best };
    let answers_vary = estimate.ttfb_off.as_secs_f64() * context.rate.max(0.1) > OFF * context.duration();
    if answers_vary || estimate.outlook.outages > 0.0 {
        return best;
    }
    // Nothing comes while an answer is waited for, and each segment waits for one. What that takes is usually little, and
    // part of the room.
    let waits = estimate.ttfb.as_secs_f64() * context.rate.max(0.1) / context.duration();
    let flows = steady * (1.0 - waits).max(0.0);
    let carried = context.highest_below(flows.min(steady / ROOM));
    let steady = steady.min(flows * ROOM);
    let segments = context.buffer.as_secs_f64() / context.duration();
    if last < carried {
        if best >= last && segments >= ENOUGH && gain(carried) > 0.0 { carried } else { best.min(carried) }
    } else if context.bps(last) <= steady {
        let left =
            context.buffer.as_secs_f64() - context.bits(0, last) / steady.max(1.0) * context.rate.max(0.1);
        if segments >= ENOUGH && left >= 0.0 { last } else { best.min(last) }
    } else {
        best.min(carried)
    }
}

impl Controller for Weir {
    fn name(&self) -> &'static str {
        "weir"
    }

    fn estimator(&self) -> Kind {
        Kind::PacedEwma { fast: 3.0, slow: 8.0, least: 2.0 }
    }

    fn abandon(&mut self, context: &Context<'_>, transfer: &InFlight) -> Option<RungId> {
        self.begin_again(context, transfer)
    }

    fn prices(&self) -> bool {
        true
    }

    fn price(&self, context: &Context<'_>, bits: f64) -> Option<f64> {
        let (_, taste) = self.solved.as_ref().filter(|_| self.table.is_for(context.rungs()))?;
        let estimate = context.estimate?;
        let outlook = self.outlook(&estimate);
        let last = context.last.map_or(0, |last| last.0.min(context.rungs() - 1));
        let outcomes = self.table.outcomes(&outlook, taste);
        let fetch = Fetch { rung: last, bits, ttfb: estimate.ttfb.as_secs_f64(), ..Fetch::default() };
        Some(self.table.price(&outcomes, taste, &fetch, context.buffer.as_secs_f64()))
    }

    fn delivered(&mut self, delivery: &Delivery) {
        if !delivery.replaced {
            self.delivered = Some(delivery.rung.0);
        }
    }

    fn restarted(&mut self) {
        self.delivered = None;
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        let rungs = context.rungs();
        let Some(estimate) = context.estimate else {
            let rung = context.last.map_or(0, |last| last.0.min(rungs - 1));
            return Choice::now(rung, "weir", Reason::Unknown);
        };
        let taste = self.taste(context);
        let outlook = self.outlook(&estimate);
        let ttfb = estimate.ttfb.as_secs_f64();
        self.solve(context, &outlook, &taste, ttfb);
        let last =
            context.last.map_or_else(|| context.highest_below(0.9 * context.estimate_bps()), |last| last.0);
        let last = last.min(rungs - 1);
        let outcomes = self.table.outcomes(&outlook, &taste);
        let (mut best, mut outcome) = (0, (0.0, 0.0));
        for rung in 0..rungs {
            let fetch = Fetch {
                rung,
                bits: context.bits(0, rung),
                ttfb,
                excess: excess(context, rung),
                average: context.bps(rung),
                duration: context.duration(),
            };
            let ahead = self.table.judge(&outcomes, &taste, &fetch, context.buffer.as_secs_f64());
            let change = if rung == last { 0.0 } else { taste.switch };
            let utility = self.utilities.get(rung).copied().unwrap_or(0.0);
            scores.push(utility - change + ahead.value);
            if scores[rung] > scores[best] || rung == 0 {
                (best, outcome) = (rung, (ahead.stall, ahead.buffer));
            }
        }
        let (stall, buffer) = outcome;
        let utility = |rung: usize| self.utilities.get(rung).copied().unwrap_or(0.0);
        let left =
            context.to_end.map_or(self.weights.outlook, |end| end.as_secs_f64().min(self.weights.outlook));
        let gain =
            |rung: usize| (utility(rung) - utility(last)) * (left / taste.segment.max(0.1)) - taste.switch;
        let settled = settle(context, &estimate, best, last, gain);
        if settled != best {
            return Choice::now(
                settled,
                "weir",
                Reason::Steady { rate: estimate.steady.unwrap_or_default() },
            );
        }
        let buffer = Duration::try_from_secs_f64(buffer).unwrap_or_default();
        Choice::now(best, "weir", Reason::BestValue { stall, buffer })
    }
}
