//! Weir's own controller: a plan over the next segments, judged under several futures at once.
//!
//! It stands on model predictive control (Yin et al., SIGCOMM 2015), searches only sequences that rise or only fall and
//! rewards a stable buffer (SODA, SIGCOMM 2024), and takes its futures from the empirical quantiles of the estimate's own
//! errors instead of one worst case.

use std::time::Duration;

use super::{Choice, Context, Controller, InFlight, Reason, abandon_when};
use crate::{
    RungId,
    estimate::{Estimate, Kind},
};

/// What is wanted, in units of the utility between the lowest rung (0) and the highest (1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Cost of any change of rung.
    pub switch: f64,
    /// Cost of a change by the whole ladder.
    pub swing: f64,
    /// Cost of a second of stall, times the segment's length in seconds.
    pub stall: f64,
    /// Cost of a buffer that ends empty instead of at its target, times the segment's length in seconds.
    pub buffer: f64,
    /// What comes after the horizon counts for so many seconds: a change must pay within about this time.
    pub outlook: f64,
    /// Share of the expected rate that the long run may use.
    pub share: f64,
    /// Level that the buffer is steered to, as a share of the largest.
    pub target: f64,
    /// Level to which the buffer is filled before a rung that takes all of the link, as a share of the largest.
    pub full: f64,
    /// A download is given up when it would arrive after so many times the buffer.
    pub patience: f64,
    /// Level above which the buffer may be used up to stay at a rung, as a share of the largest.
    pub spare: f64,
}

impl Weights {
    /// Sets one by its name; `false` when there is none of this name.
    pub fn set(&mut self, name: &str, value: f64) -> bool {
        let field = match name {
            "switch" => &mut self.switch,
            "swing" => &mut self.swing,
            "stall" => &mut self.stall,
            "buffer" => &mut self.buffer,
            "outlook" => &mut self.outlook,
            "share" => &mut self.share,
            "target" => &mut self.target,
            "full" => &mut self.full,
            "patience" => &mut self.patience,
            "spare" => &mut self.spare,
            _ => return false,
        };
        *field = value;
        value.is_finite() && value >= 0.0
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            switch: 1.0,
            swing: 0.5,
            stall: 10.0,
            buffer: 12.0,
            outlook: 65.0,
            share: 1.0,
            target: 1.0,
            full: 0.55,
            patience: 1.5,
            spare: 0.4,
        }
    }
}

/// Segments that are planned for at most, and their total length in seconds at most.
const HORIZON: usize = 5;
const HORIZON_SECONDS: f64 = 12.0;
const SCENARIOS: usize = 5;
/// A buffer of so many seconds counts as full, however large it may get.
const FULL_SECONDS: f64 = 20.0;

/// How much the long average counts in what the network is expected to be after the horizon.
const OUTLOOK_LONG: f64 = 0.7;

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub struct Weir {
    weights: Weights,
    utilities: Vec<f64>,
    /// What it is worth to end the horizon at a rung.
    outlook: Vec<f64>,
    /// Seconds to fetch: segment, rung, scenario.
    fetch: Vec<[f64; SCENARIOS]>,
}

impl Weir {
    /// With other weights than the default ones.
    pub fn with_weights(weights: Weights) -> Self {
        Self { weights, ..Self::default() }
    }
}

impl Weir {
    /// Judges each rung as a place to go on from: stay there where the long run allows it, or change once to what it does.
    fn look_out(&mut self, context: &Context<'_>, estimate: &Estimate, segment: f64) {
        let segments = self.weights.outlook / segment;
        // The long run lies between now and what the network comes back to.
        let now = (estimate.mean.bps() as f64).max(1.0);
        let long = (estimate.long.bps() as f64).max(1.0);
        let mean = now.powf(1.0 - OUTLOOK_LONG) * long.powf(OUTLOOK_LONG);
        // What is buffered carries a rung that is a little above the link for so much longer; what lacks must be filled
        // again, sooner for a rung that is not there yet.
        let level = context.buffer.as_secs_f64();
        let largest = context.max_buffer.as_secs_f64();
        let outlook = self.weights.outlook.max(1.0);
        let to_stay = (1.0 + (level - self.weights.spare * largest) / outlook).max(0.5);
        let full = (self.weights.full * largest).min(FULL_SECONDS);
        let to_rise = (1.0 - (full - level).max(0.0) / outlook).max(0.5);
        let last = context.last.map_or(0, |last| last.0);
        self.outlook.clear();
        for rung in 0..self.utilities.len() {
            let mut total = 0.0;
            for quantile in estimate.quantiles {
                let rate = self.weights.share * mean * (quantile.bps() as f64 / now);
                let reach = |rung: usize| rate * if rung <= last { to_stay } else { to_rise };
                let lasts = |rung: &usize| context.bps(*rung) <= reach(*rung);
                let lasting = (0..self.utilities.len()).rev().find(lasts).unwrap_or(0);
                let change = self.weights.switch
                    + self.weights.swing * (self.utilities[rung] - self.utilities[lasting]).abs();
                let moved = segments * self.utilities[lasting] - if lasting == rung { 0.0 } else { change };
                let stayed =
                    if rung <= lasting { segments * self.utilities[rung] } else { f64::NEG_INFINITY };
                total += moved.max(stayed);
            }
            self.outlook.push(total / SCENARIOS as f64);
        }
    }
}

struct Search<'a> {
    weights: Weights,
    utilities: &'a [f64],
    outlook: &'a [f64],
    best_outlook: f64,
    fetch: &'a [[f64; SCENARIOS]],
    durations: [f64; HORIZON],
    horizon: usize,
    target: f64,
    max_buffer: f64,
    rate: f64,
    /// Best total of any plan so far: the bound that prunes.
    best: f64,
    /// Best total by first rung.
    by_first: &'a mut [f64],
    /// Of the best plan: mean stall and mean final level.
    outcome: (f64, f64),
}

/// Where a plan has come to.
#[derive(Clone, Copy)]
struct Node {
    depth: usize,
    rung: usize,
    first: usize,
    /// +1 rises, -1 falls, 0 has stayed so far.
    direction: i8,
    total: f64,
    stall: f64,
    levels: [f64; SCENARIOS],
}

impl Search<'_> {
    fn extend(&mut self, node: Node) {
        if node.depth == self.horizon {
            let mut shortage = 0.0;
            let mut level_sum = 0.0;
            for level in node.levels {
                let short = ((self.target - level) / self.target).max(0.0);
                shortage += short * short;
                level_sum += level;
            }
            let total =
                node.total + self.outlook[node.rung] - self.weights.buffer * shortage / SCENARIOS as f64;
            if total > self.by_first[node.first] {
                self.by_first[node.first] = total;
            }
            if total > self.best {
                self.best = total;
                self.outcome = (node.stall, level_sum / SCENARIOS as f64);
            }
            return;
        }
        let (low, high) = match node.direction {
            1 => (node.rung, self.utilities.len() - 1),
            -1 => (0, node.rung),
            _ => (0, self.utilities.len() - 1),
        };
        for rung in low..=high {
            self.step(&node, rung);
        }
    }

    fn step(&mut self, node: &Node, rung: usize) {
        let first = if node.depth == 0 { rung } else { node.first };
        let change = self.utilities[rung] - self.utilities[node.rung];
        let mut total = node.total + self.utilities[rung] - self.weights.swing * change.abs();
        if rung != node.rung {
            total -= self.weights.switch;
        }
        let rest = (self.horizon - node.depth - 1) as f64 + self.best_outlook;
        // Nothing to come can earn more than 1 a segment and the best outlook.
        if node.depth > 0 && total + rest <= self.by_first[first] {
            return;
        }
        let duration = self.durations[node.depth];
        let fetch = &self.fetch[node.depth * self.utilities.len() + rung];
        let mut levels = node.levels;
        let mut stalled = 0.0;
        for (level, fetch) in levels.iter_mut().zip(fetch) {
            let drained = *level - fetch * self.rate;
            stalled += (-drained).max(0.0);
            *level = (drained.max(0.0) + duration).min(self.max_buffer);
        }
        stalled /= SCENARIOS as f64;
        total -= self.weights.stall * stalled;
        if node.depth > 0 && total + rest <= self.by_first[first] {
            return;
        }
        let direction = match rung.cmp(&node.rung) {
            std::cmp::Ordering::Greater => 1,
            std::cmp::Ordering::Less => -1,
            std::cmp::Ordering::Equal => node.direction,
        };
        self.extend(Node {
            depth: node.depth + 1,
            rung,
            first,
            direction,
            total,
            stall: node.stall + stalled,
            levels,
        });
    }
}

impl Controller for Weir {
    fn name(&self) -> &'static str {
        "weir"
    }

    fn estimator(&self) -> Kind {
        Kind::PacedEwma { fast: 3.0, slow: 8.0, least: 2.0 }
    }

    /// A link that varies often recovers within a download: what is late is not given up at once, but while there is
    /// still enough buffered for something smaller to arrive.
    fn abandon(&mut self, context: &Context<'_>, transfer: &InFlight) -> Option<RungId> {
        abandon_when(context, transfer, self.weights.patience)
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        let Some(estimate) = context.estimate else {
            return Choice::now(
                context.last.map_or(0, |last| last.0.min(context.rungs() - 1)),
                "weir",
                Reason::Unknown,
            );
        };
        let rungs = context.rungs();
        let span = (context.bps(context.ladder.top().0) / context.bps(0).max(1.0)).ln();
        self.utilities.clear();
        self.utilities.extend((0..rungs).map(|rung| {
            if span > 0.0 { (context.bps(rung) / context.bps(0).max(1.0)).ln() / span } else { 1.0 }
        }));
        let segment = context.duration();
        let horizon = HORIZON.min((HORIZON_SECONDS / segment) as usize).min(context.upcoming.len()).max(1);
        let ttfb = estimate.ttfb.as_secs_f64();
        self.fetch.clear();
        let mut durations = [segment; HORIZON];
        for (ahead, duration) in durations.iter_mut().enumerate().take(horizon) {
            *duration = context.upcoming.get(ahead).map_or(segment, |segment| segment.duration.as_secs_f64());
            for rung in 0..rungs {
                let bits = context.bits(ahead, rung);
                self.fetch.push(estimate.quantiles.map(|rate| ttfb + bits / (rate.bps() as f64).max(1.0)));
            }
        }
        self.look_out(context, &estimate, segment);
        let last =
            context.last.unwrap_or_else(|| RungId(context.highest_below(0.9 * context.estimate_bps())));
        let last = last.0.min(rungs - 1);
        scores.resize(rungs, f64::NEG_INFINITY);
        let max_buffer = context.max_buffer.as_secs_f64().max(segment);
        let mut search = Search {
            // A second weighs more where segments are short: utilities count by segment.
            weights: Weights {
                stall: self.weights.stall / segment,
                buffer: self.weights.buffer / segment,
                ..self.weights
            },
            utilities: &self.utilities,
            best_outlook: self.outlook.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            outlook: &self.outlook,
            fetch: &self.fetch,
            durations,
            horizon,
            target: self.weights.target * max_buffer,
            max_buffer,
            rate: context.rate.max(0.1),
            best: f64::NEG_INFINITY,
            by_first: scores,
            outcome: (0.0, 0.0),
        };
        search.extend(Node {
            depth: 0,
            rung: last,
            first: last,
            direction: 0,
            total: 0.0,
            stall: 0.0,
            levels: [context.buffer.as_secs_f64(); SCENARIOS],
        });
        let (stall, level) = search.outcome;
        let rung = super::bola::best(scores);
        let buffer = Duration::try_from_secs_f64(level).unwrap_or_default();
        Choice::now(rung, "weir", Reason::BestPlan { horizon, stall, buffer })
    }
}
