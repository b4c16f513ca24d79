//! What it is worth to stand at a place: the value function of the viewer's experience.
//!
//! A place is the rate's deviation from its long average, the last rung, and the buffer. From each, a segment is fetched
//! at some rung; how long that takes is random as [`Outlook`] says, and so is where it leads to. The value of a place is
//! the best sum of what is seen from there on, discounted: the solution of Bellman's equation, found by value iteration
//! (Puterman, Markov Decision Processes, 1994, 6.3). The model changes little from segment to segment, so each solution
//! starts from the last one, moved to where the rates now are, and two sweeps do.

use crate::estimate::{Outlook, SHARES};

/// Deviations of the rate that are told apart; odd, the middle one is none.
const STATES: usize = 7;
/// Levels of the buffer that are told apart.
const LEVELS: usize = 24;
/// The outermost deviations in standard deviations of the level, and the least and most between two of them.
const REACH: f64 = 2.0;
const CLOSEST: f64 = 0.05;
const FARTHEST: f64 = 0.9;
/// Means of the normal distribution over the parts of [`SHARES`].
const NORMAL: [f64; SHARES.len()] = [-2.06, -1.18, -0.53, 0.0, 0.53, 1.4];

/// What may come of a download: the link may be at any of [`SHARES`], or fail for a shorter or a longer while.
const OUTCOMES: usize = SHARES.len() + 2;
/// No more of the outcomes than this are outages.
const MOST_OUTAGES: f64 = 0.9;

/// A row of places with room at both ends, so that it can be looked at from any of them on.
const ROW: usize = 3 * LEVELS;

/// What a viewer wants, and how it is streamed. Times in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Taste {
    /// Cost of any change of rung.
    pub switch: f64,
    /// Cost of a second without pictures.
    pub stall: f64,
    /// What the next segment counts for, against this one.
    pub discount: f64,
    /// Length of a segment.
    pub segment: f64,
    /// Largest buffer.
    pub max_buffer: f64,
    /// Media seconds that are played in a second.
    pub rate: f64,
    /// Buffer below which no download should end, and the cost of each second that is missing.
    pub reserve: f64,
    pub thin: f64,
}

impl Taste {
    /// What it costs that so many seconds are left when a download ends, besides what it brought.
    fn thinness(&self, left: f64) -> f64 {
        self.thin * (self.reserve - left).max(0.0)
    }
}

/// A download that is judged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fetch {
    pub rung: usize,
    pub bits: f64,
    /// Seconds to its first byte.
    pub ttfb: f64,
    /// Bits that the segments after it take more than the average.
    pub excess: f64,
    /// Bits a second of the rung: what it cannot have it does not take.
    pub average: f64,
    /// Seconds that it plays.
    pub duration: f64,
}

/// What is ahead after a download.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    /// All of it, stalls counted in.
    pub value: f64,
    /// Mean seconds of stall before it is there.
    pub stall: f64,
    /// Mean seconds that are then buffered.
    pub buffer: f64,
}

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    rungs: usize,
    /// How many outcomes are told apart: outages only where there were some.
    outcomes: usize,
    /// By state, rung, level.
    values: Vec<f32>,
    /// The same, less what it costs to arrive with little left, in the middle of each row; what follows it is its end.
    arrived: Vec<[f32; ROW]>,
    /// By state, outcome, rung: where a download leads to.
    ways: Vec<Way>,
    /// Of the state in work, by rung: the chance of each of the two outages.
    chances: Vec<f64>,
    /// Of the state in work, by rung and level: value after fetching at the rung.
    after: Vec<f32>,
    /// Room to move values in.
    moved: Vec<f32>,
    /// Between two states, in logarithms of the rate; between two levels, in seconds.
    spacing: f64,
    step: f64,
    /// What the middle state stands for.
    middle: f64,
    /// Levels in a second.
    levels: f64,
    /// What the largest buffer and a segment's length make of levels.
    thin: [f32; LEVELS],
}

/// Where a download leads to from every level, at one state, outcome and rung.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// The lower of the two states.
    low: u16,
    /// Levels below this see a stall.
    first: u8,
    /// Where the first level without one leads to.
    below: u8,
    /// Weights of the four places around it: lower state and level, lower state, lower level, none.
    weights: [f32; 4],
    /// Weights of the two states where the buffer is full or was dry.
    full: [f32; 2],
    /// Cost at the lowest level, and how much less it is at each next one.
    stall: [f32; 2],
}

/// One of the outcomes that are reckoned with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    share: f64,
    pace: Pace,
    low: usize,
    upper: f64,
    /// Seconds in which nothing comes.
    silent: f64,
}

/// All of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcomes {
    list: [Outcome; OUTCOMES],
    outlook: Outlook,
}

impl Outcomes {
    /// What may come of so many bits. The longer a download takes, the more often the link fails meanwhile.
    fn of(&self, taste: &Taste, bits: f64) -> impl Iterator<Item = Outcome> {
        let chance = chance(&self.outlook, taste, bits / self.outlook.next.exp());
        let shared = move |(at, outcome): (usize, Outcome)| {
            let share = if at < SHARES.len() { outcome.share * (1.0 - 2.0 * chance) } else { chance };
            Outcome { share, ..outcome }
        };
        let count = if chance > 0.0 { OUTCOMES } else { SHARES.len() };
        self.list.into_iter().take(count).enumerate().map(shared)
    }
}

/// Chance of the shorter outage, and of the longer one, during a download that would take so many seconds without. One
/// that takes less than its segment plays is followed by a pause in which the link may fail as well.
fn chance(outlook: &Outlook, taste: &Taste, seconds: f64) -> f64 {
    if outlook.outages <= 0.0 {
        return 0.0;
    }
    let time = taste.segment.max(seconds);
    0.5 * (1.0 - (-outlook.outages * time).exp()).min(MOST_OUTAGES)
}

/// Share of a deviation that is left after a segment's time.
fn kept(outlook: &Outlook, taste: &Taste) -> f64 {
    (-taste.segment / outlook.reversion.max(0.1)).exp()
}

impl Table {
    pub(super) fn is_for(&self, rungs: usize) -> bool {
        self.rungs == rungs
    }

    /// Forgets all values.
    pub(super) fn reset(&mut self, rungs: usize) {
        self.rungs = rungs;
        // Nothing to be moved yet.
        self.spacing = 0.0;
        let fill = |list: &mut Vec<f32>, length| {
            list.clear();
            list.resize(length, 0.0);
        };
        fill(&mut self.values, STATES * rungs * LEVELS);
        fill(&mut self.moved, STATES * rungs * LEVELS);
        fill(&mut self.after, rungs * LEVELS);
        self.arrived.clear();
        self.arrived.resize(STATES * rungs, [0.0; ROW]);
        self.ways.clear();
        self.ways.resize(STATES * OUTCOMES * rungs, Way::default());
        self.chances.clear();
        self.chances.resize(rungs, 0.0);
    }

    /// Takes in a model: spreads the states over what the rate does, and the levels over the buffer. `bits` are those of
    /// an average segment by rung, `sizes` is the standard deviation of the logarithm of a segment's size.
    pub(super) fn model(&mut self, outlook: &Outlook, taste: &Taste, ttfb: f64, bits: &[f64], sizes: f64) {
        let kept = kept(outlook, taste);
        let spread: f64 = SHARES.iter().zip(outlook.surprises).map(|(share, log)| share * log * log).sum();
        let drift = outlook.gain * kept * (spread / (1.0 - kept * kept).max(1e-3)).sqrt();
        let spacing = (REACH * drift / (STATES / 2) as f64).clamp(CLOSEST, FARTHEST);
        self.spread(outlook.settled, spacing);
        self.step = (taste.max_buffer - taste.segment).max(taste.segment) / (LEVELS - 1) as f64;
        self.levels = 1.0 / self.step;
        // By level after a download, what it brought included.
        self.thin = std::array::from_fn(|level| {
            let left = (level as f64 * self.step - taste.segment).max(0.0);
            (taste.thinness(left) / taste.discount) as f32
        });
        let stretches: [f64; SHARES.len()] = std::array::from_fn(|at| {
            // A larger segment is as bad as a slower link.
            let surprise = outlook.surprises[at];
            let stretch = surprise.hypot(sizes * NORMAL[at]) - surprise.abs();
            (-stretch * NORMAL[at].signum()).exp()
        });
        self.outcomes = if outlook.outages > 0.0 { OUTCOMES } else { SHARES.len() };
        let mut chances = std::mem::take(&mut self.chances);
        let paces: [Pace; SHARES.len()] = std::array::from_fn(|at| Pace::new(outlook, outlook.settled, at));
        let mut ways = std::mem::take(&mut self.ways);
        let mut out = ways.iter_mut();
        for state in 0..STATES {
            let deviation = (state as f64 - (STATES / 2) as f64) * self.spacing;
            let factor = deviation.exp();
            let flowing = (outlook.settled + deviation).exp();
            if outlook.outages > 0.0 {
                for (chance_of, bits) in chances.iter_mut().zip(bits) {
                    *chance_of = chance(outlook, taste, bits / flowing);
                }
            }
            for (at, share) in SHARES.into_iter().enumerate() {
                let pace = paces[at].times(factor);
                let (low, upper) = self.place(kept * (deviation + outlook.gain * outlook.surprises[at]));
                for ((bits, chance), way) in bits.iter().zip(&chances).zip(&mut out) {
                    let fetch = (ttfb + pace.seconds(bits * stretches[at])) * taste.rate;
                    *way = self.way(taste, low, upper, fetch, share * (1.0 - 2.0 * chance));
                }
            }
            if outlook.outages > 0.0 {
                let (low, upper) = self.place(kept * deviation);
                for silent in outlook.silent {
                    for ((bits, chance), way) in bits.iter().zip(&chances).zip(&mut out) {
                        let fetch = (ttfb + silent + bits / flowing) * taste.rate;
                        *way = self.way(taste, low, upper, fetch, *chance);
                    }
                }
            }
        }
        self.ways = ways;
        self.chances = chances;
        let (values, _) = self.values.as_chunks::<LEVELS>();
        for (arrived, values) in self.arrived.iter_mut().zip(values) {
            arrive(arrived, values, &self.thin);
        }
    }

    /// Spreads the states anew about `middle`; what is known of the rates that they stand for goes with them.
    fn spread(&mut self, middle: f64, spacing: f64) {
        let (from, scale) = (self.middle, self.spacing);
        (self.middle, self.spacing) = (middle, spacing);
        if scale == 0.0 {
            return;
        }
        let (values, _) = self.values.as_chunks::<LEVELS>();
        let (moved, _) = self.moved.as_chunks_mut::<LEVELS>();
        for (state, rows) in moved.chunks_exact_mut(self.rungs).enumerate() {
            let rate = middle + (state as f64 - (STATES / 2) as f64) * spacing;
            let at = ((rate - from) / scale + (STATES / 2) as f64).clamp(0.0, (STATES - 1) as f64);
            let low = (at as usize).min(STATES - 2);
            let upper = (at - low as f64) as f32;
            let old = values.iter().skip(low * self.rungs).zip(values.iter().skip((low + 1) * self.rungs));
            for (row, (low, high)) in rows.iter_mut().zip(old) {
                for level in 0..LEVELS {
                    row[level] = low[level] + upper * (high[level] - low[level]);
                }
            }
        }
        std::mem::swap(&mut self.values, &mut self.moved);
    }

    fn way(&self, taste: &Taste, low: usize, upper: f64, fetch: f64, share: f64) -> Way {
        let levels = fetch * self.levels;
        let whole = levels as i32;
        let first = (whole + i32::from(f64::from(whole) < levels)).min(LEVELS as i32);
        // All levels without a stall go by the same number of levels, so that two neighbours and two weights do for all.
        let to = (f64::from(first) + taste.segment * self.levels - levels).max(0.0);
        let below = (to as i32).min(LEVELS as i32 - 1);
        let part = (to - f64::from(below)).clamp(0.0, 1.0);
        let full = [share * taste.discount * (1.0 - upper), share * taste.discount * upper];
        let cost = share * taste.stall / taste.rate;
        Way {
            low: low as u16,
            first: first as u8,
            below: below as u8,
            weights: [full[0] * (1.0 - part), full[0] * part, full[1] * (1.0 - part), full[1] * part]
                .map(|weight| weight as f32),
            full: full.map(|weight| weight as f32),
            stall: [-cost * fetch, cost * self.step].map(|cost| cost as f32),
        }
    }

    /// The lower of the two states around a deviation, and the share of the upper one.
    fn place(&self, deviation: f64) -> (usize, f64) {
        let at = (deviation / self.spacing + (STATES / 2) as f64).clamp(0.0, (STATES - 1) as f64);
        let low = (at as usize).min(STATES - 2);
        (low, at - low as f64)
    }

    fn row(&self, state: usize, rung: usize) -> &[f32] {
        let from = (state * self.rungs + rung) * LEVELS;
        self.values.get(from..from + LEVELS).unwrap_or(&[0.0; LEVELS])
    }

    /// One sweep of value iteration over all places, for the model that was taken in last, from the best rate on or from
    /// the worst: what has changed goes both ways through the states.
    pub(super) fn sweep(&mut self, taste: &Taste, utilities: &[f64], from_best: bool) {
        // After a stall there is the segment alone.
        let place = (taste.segment / self.step).clamp(0.0, (LEVELS - 1) as f64);
        let alone =
            ((place as usize).min(LEVELS - 2), (place - (place as usize).min(LEVELS - 2) as f64) as f32);
        for at in 0..STATES {
            let state = if from_best { STATES - 1 - at } else { at };
            let mut ways = self.ways.iter().skip(state * self.outcomes * self.rungs);
            let (after, _) = self.after.as_chunks_mut::<LEVELS>();
            let arrived = &self.arrived;
            for (out, utility) in after.iter_mut().zip(utilities) {
                *out = [*utility as f32; LEVELS];
            }
            for _ in 0..self.outcomes {
                for (rung, (out, way)) in after.iter_mut().zip(&mut ways).enumerate() {
                    let from = usize::from(way.low) * self.rungs + rung;
                    if let (Some(low), Some(high)) = (arrived.get(from), arrived.get(from + self.rungs)) {
                        way.add(low, high, alone, out);
                    }
                }
            }
            self.decide(state, taste.switch as f32);
        }
    }

    /// The best choice at every place of a state: stay at the rung, or pay for a change to the best one.
    fn decide(&mut self, state: usize, switch: f32) {
        let (after, _) = self.after.as_chunks::<LEVELS>();
        let mut best = [f32::NEG_INFINITY; LEVELS];
        for after in after {
            for (best, after) in best.iter_mut().zip(after) {
                *best = if *after > *best { *after } else { *best };
            }
        }
        let from = state * self.rungs;
        let (values, _) = self.values.as_chunks_mut::<LEVELS>();
        let rows = values.iter_mut().zip(&mut self.arrived).skip(from).zip(after);
        for ((value, arrived), stay) in rows {
            for level in 0..LEVELS {
                let change = best[level] - switch;
                value[level] = if stay[level] > change { stay[level] } else { change };
            }
            arrive(arrived, value, &self.thin);
        }
    }

    /// What may come of a download that begins now.
    pub(super) fn outcomes(&self, outlook: &Outlook, taste: &Taste) -> Outcomes {
        let kept = kept(outlook, taste);
        let deviation = outlook.next - outlook.settled;
        let list = std::array::from_fn(|at| {
            if let Some(share) = SHARES.get(at) {
                let (low, upper) = self.place(kept * (deviation + outlook.gain * outlook.surprises[at]));
                let pace = Pace::new(outlook, outlook.next, at);
                Outcome { share: *share, pace, low, upper, silent: 0.0 }
            } else {
                let (low, upper) = self.place(kept * deviation);
                let silent = outlook.silent.get(at - SHARES.len()).copied().unwrap_or(0.0);
                Outcome { share: 0.0, pace: Pace::expected(outlook.next), low, upper, silent }
            }
        });
        Outcomes { list, outlook: *outlook }
    }

    /// What is ahead when this is fetched now with `buffer` seconds ahead of the playhead.
    pub(super) fn judge(&self, outcomes: &Outcomes, taste: &Taste, fetch: &Fetch, buffer: f64) -> Ahead {
        let mut ahead = Ahead::default();
        for outcome in outcomes.of(taste, fetch.bits) {
            let left = buffer - (fetch.ttfb + outcome.silent + outcome.pace.seconds(fetch.bits)) * taste.rate;
            let stall = (-left).max(0.0) / taste.rate;
            let left = left.max(0.0);
            // What the segments to come take more than usual is as good as gone.
            let level =
                left + fetch.duration - fetch.excess / outcome.pace.later.max(fetch.average) * taste.rate;
            let value = |state| self.at(state, fetch.rung, level);
            let value = value(outcome.low) + outcome.upper * (value(outcome.low + 1) - value(outcome.low));
            let share = outcome.share;
            ahead.value += share * (taste.discount * value - taste.stall * stall - taste.thinness(left));
            ahead.stall += share * stall;
            ahead.buffer += share * (left + fetch.duration).min(taste.max_buffer);
        }
        ahead
    }

    /// What it costs to fetch this now and have no more of the film after it than before: the buffer gets shorter by the
    /// time that it takes.
    pub(super) fn price(&self, outcomes: &Outcomes, taste: &Taste, fetch: &Fetch, buffer: f64) -> f64 {
        let cost = |outcome: Outcome| {
            let left = buffer - (fetch.ttfb + outcome.silent + outcome.pace.seconds(fetch.bits)) * taste.rate;
            let stall = (-left).max(0.0) / taste.rate;
            let left = left.max(0.0);
            let value = |level| {
                let value = |state| self.at(state, fetch.rung, level);
                value(outcome.low) + outcome.upper * (value(outcome.low + 1) - value(outcome.low))
            };
            outcome.share * (value(buffer) - value(left) + taste.stall * stall + taste.thinness(left))
        };
        outcomes.of(taste, fetch.bits).map(cost).sum()
    }

    fn at(&self, state: usize, rung: usize, level: f64) -> f64 {
        let row = self.row(state, rung);
        let place = (level / self.step).clamp(0.0, (LEVELS - 1) as f64);
        let below = (place as usize).min(LEVELS - 2);
        let part = (place - below as f64) as f32;
        f64::from(row[below] + part * (row[below + 1] - row[below]))
    }
}

/// How fast a download goes: a surprise lasts for a while, what stays of it for longer.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    first: f64,
    lasting: f64,
    later: f64,
    /// What a bit takes, by both.
    first_seconds: f64,
    later_seconds: f64,
}

impl Pace {
    fn new(outlook: &Outlook, expected: f64, at: usize) -> Self {
        let surprise = outlook.surprises[at];
        let first = (expected + surprise).exp();
        let later = (expected + outlook.gain * surprise).exp();
        Self {
            first,
            lasting: outlook.lasting[at],
            later,
            first_seconds: first.recip(),
            later_seconds: later.recip(),
        }
    }

    /// As fast as is expected.
    fn expected(log: f64) -> Self {
        let rate = log.exp();
        let seconds = rate.recip();
        Self { first: rate, lasting: 1.0, later: rate, first_seconds: seconds, later_seconds: seconds }
    }

    /// So many times as fast.
    fn times(&self, factor: f64) -> Self {
        let slower = factor.recip();
        Self {
            first: self.first * factor,
            lasting: self.lasting,
            later: self.later * factor,
            first_seconds: self.first_seconds * slower,
            later_seconds: self.later_seconds * slower,
        }
    }

    /// What so many bits take.
    fn seconds(&self, bits: f64) -> f64 {
        let first = self.first * self.lasting;
        if bits <= first {
            bits * self.first_seconds
        } else {
            self.lasting + (bits - first) * self.later_seconds
        }
    }
}

/// Writes a row of what it is worth to arrive at each level.
fn arrive(row: &mut [f32; ROW], values: &[f32; LEVELS], thin: &[f32; LEVELS]) {
    let (rows, _) = row.as_chunks_mut::<LEVELS>();
    if let [_, levels, beyond] = rows {
        for level in 0..LEVELS {
            levels[level] = values[level] - thin[level];
        }
        *beyond = [levels[LEVELS - 1]; LEVELS];
    }
}

/// So many levels of a row from `start` on.
fn window(row: &[f32; ROW], start: usize, count: usize) -> &[f32] {
    row.get(start..start + count).unwrap_or_default()
}

/// The levels by number.
const NUMBERS: [f32; LEVELS] = {
    let mut numbers = [0.0; LEVELS];
    let mut level = 1;
    while level < LEVELS {
        numbers[level] = numbers[level - 1] + 1.0;
        level += 1;
    }
    numbers
};

impl Way {
    /// Adds, for each level before the download, the value after it. `alone` is the place of a segment alone.
    ///
    /// All of a row is gone through with no branch, which is what makes it fast. It stays a function of slices of any
    /// length: where the length is known, compilers unroll the loop and do one level at a time.
    #[inline(never)]
    fn add(&self, low: &[f32; ROW], high: &[f32; ROW], alone: (usize, f32), out: &mut [f32]) {
        let (at, part) = (LEVELS + alone.0.min(LEVELS - 2), alone.1);
        let value = |row: &[f32; ROW]| row[at] + part * (row[at + 1] - row[at]);
        let dry = self.full[0] * value(low) + self.full[1] * value(high) + self.stall[0];
        let start = LEVELS + usize::from(self.below) - usize::from(self.first).min(LEVELS);
        let lows = window(low, start, out.len()).iter().zip(window(low, start + 1, out.len()));
        let highs = window(high, start, out.len()).iter().zip(window(high, start + 1, out.len()));
        let [a, b, c, d] = self.weights;
        let (first, slope) = (f32::from(self.first), self.stall[1]);
        for (((out, level), low), high) in out.iter_mut().zip(&NUMBERS).zip(lows).zip(highs) {
            let smooth = (a * low.0 + b * low.1) + (c * high.0 + d * high.1);
            *out += if *level < first { dry + slope * level } else { smooth };
        }
    }
}
