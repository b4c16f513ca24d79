//! What it is worth to stand at a place: the value function of the viewer's experience.
//!
//! A place is the rate's deviation from its long average, the last rung, and the buffer. From each, a segment is fetched
//! at some rung; how long that takes is random as [`Outlook`] says, and so is where it leads to. The value of a place is
//! the best sum of what is seen from there on, discounted: the solution of Bellman's equation, found by value iteration
//! (Puterman, Markov Decision Processes, 1994, 6.3). The model changes little from segment to segment, so each solution
//! starts from the last one and a few sweeps do.

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

/// Values over levels, with room beyond the highest for what a download adds.
type Levels = [f32; 2 * LEVELS + 2];

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
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetch {
    pub rung: usize,
    pub bits: f64,
    /// Seconds to its first byte.
    pub ttfb: f64,
    /// Bits that the segments after it take more than the average.
    pub excess: f64,
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
    /// By state, rung, level.
    values: Vec<f32>,
    /// Of the state in work, by rung and level: value after fetching at the rung.
    after: Vec<f32>,
    /// Of the state in work, by level: the best of them.
    best: Vec<f32>,
    /// Between two states, in logarithms of the rate; between two levels, in seconds.
    spacing: f64,
    step: f64,
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
        for (list, length) in [
            (&mut self.values, STATES * rungs * LEVELS),
            (&mut self.after, rungs * LEVELS),
            (&mut self.best, LEVELS),
        ] {
            list.clear();
            list.resize(length, 0.0);
        }
    }

    /// Spreads the states over what the rate does, and the levels over the buffer.
    pub(super) fn scale(&mut self, outlook: &Outlook, taste: &Taste) {
        let kept = kept(outlook, taste);
        let spread: f64 = SHARES.iter().zip(outlook.surprises).map(|(share, log)| share * log * log).sum();
        let drift = outlook.gain * kept * (spread / (1.0 - kept * kept).max(1e-3)).sqrt();
        self.spacing = (REACH * drift / (STATES / 2) as f64).clamp(CLOSEST, FARTHEST);
        self.step = (taste.max_buffer - taste.segment).max(taste.segment) / (LEVELS - 1) as f64;
    }

    /// The lower of the two states around a deviation, and the share of the upper one.
    fn place(&self, deviation: f64) -> (usize, f32) {
        let at = (deviation / self.spacing + (STATES / 2) as f64).clamp(0.0, (STATES - 1) as f64);
        let low = (at as usize).min(STATES - 2);
        (low, (at - low as f64) as f32)
    }

    fn row(&self, state: usize, rung: usize) -> &[f32] {
        let from = (state * self.rungs + rung) * LEVELS;
        self.values.get(from..from + LEVELS).unwrap_or(&[0.0; LEVELS])
    }

    /// One sweep of value iteration over all places. `bits` are those of an average segment by rung, `sizes` is the
    /// standard deviation of the logarithm of a segment's size.
    pub(super) fn sweep(
        &mut self,
        outlook: &Outlook,
        taste: &Taste,
        ttfb: f64,
        utilities: &[f64],
        bits: &[f64],
        sizes: f64,
    ) {
        let kept = kept(outlook, taste);
        let arrival = Arrival {
            step: self.step as f32,
            segment: taste.segment as f32,
            stall: (taste.stall / taste.rate) as f32,
            discount: taste.discount as f32,
        };
        // By level after a download, what it brought included.
        let thin: [f32; LEVELS] = std::array::from_fn(|level| {
            let left = (level as f64 * self.step - taste.segment).max(0.0);
            (taste.thinness(left) / taste.discount) as f32
        });
        let mut values: Levels = [0.0; 2 * LEVELS + 2];
        for state in 0..STATES {
            let deviation = (state as f64 - (STATES / 2) as f64) * self.spacing;
            self.after.fill(0.0);
            for (at, share) in SHARES.into_iter().enumerate() {
                let surprise = outlook.surprises[at];
                let pace = Pace::new(outlook, outlook.settled + deviation, at);
                // A larger segment is as bad as a slower link.
                let stretch = surprise.hypot(sizes * NORMAL[at]) - surprise.abs();
                let stretch = (-stretch * NORMAL[at].signum()).exp();
                let (low, upper) = self.place(kept * (deviation + outlook.gain * surprise));
                for ((rung, bits), out) in bits.iter().enumerate().zip(self.after.chunks_exact_mut(LEVELS)) {
                    let from = (low * self.rungs + rung) * LEVELS;
                    let above = from + self.rungs * LEVELS;
                    let rows =
                        self.values[from..from + LEVELS].iter().zip(&self.values[above..above + LEVELS]);
                    for ((value, (low, high)), thin) in values.iter_mut().zip(rows).zip(&thin) {
                        *value = low + upper * (high - low) - thin;
                    }
                    let top = values[LEVELS - 1];
                    values[LEVELS..].fill(top);
                    let fetch = (ttfb + pace.seconds(bits * stretch)) * taste.rate;
                    arrival.add(&values, fetch as f32, share as f32, out);
                }
            }
            self.decide(state, taste.switch as f32, utilities);
        }
    }

    /// The best choice at every place of a state: stay at the rung, or pay for a change to the best one.
    fn decide(&mut self, state: usize, switch: f32, utilities: &[f64]) {
        self.best.fill(f32::NEG_INFINITY);
        for (after, utility) in self.after.chunks_exact_mut(LEVELS).zip(utilities) {
            for (after, best) in after.iter_mut().zip(&mut self.best) {
                *after += *utility as f32;
                *best = best.max(*after);
            }
        }
        let from = state * self.rungs * LEVELS;
        let rows = self.values[from..from + self.rungs * LEVELS].chunks_exact_mut(LEVELS);
        for (row, stay) in rows.zip(self.after.chunks_exact(LEVELS)) {
            for ((value, stay), best) in row.iter_mut().zip(stay).zip(&self.best) {
                *value = stay.max(best - switch);
            }
        }
    }

    /// What is ahead when this is fetched now with `buffer` seconds ahead of the playhead.
    pub(super) fn judge(&self, outlook: &Outlook, taste: &Taste, fetch: &Fetch, buffer: f64) -> Ahead {
        let kept = kept(outlook, taste);
        let deviation = outlook.next - outlook.settled;
        let mut ahead = Ahead::default();
        for (at, share) in SHARES.into_iter().enumerate() {
            let surprise = outlook.surprises[at];
            let pace = Pace::new(outlook, outlook.next, at);
            let left = buffer - (fetch.ttfb + pace.seconds(fetch.bits)) * taste.rate;
            let stall = (-left).max(0.0) / taste.rate;
            let left = left.max(0.0);
            // What the segments to come take more than usual is as good as gone.
            let level = left + fetch.duration - fetch.excess / pace.later * taste.rate;
            let (low, upper) = self.place(kept * (deviation + outlook.gain * surprise));
            let value = |state| self.at(state, fetch.rung, level);
            let value = value(low) + f64::from(upper) * (value(low + 1) - value(low));
            ahead.value += share * (taste.discount * value - taste.stall * stall - taste.thinness(left));
            ahead.stall += share * stall;
            ahead.buffer += share * (left + fetch.duration).min(taste.max_buffer);
        }
        ahead
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
struct Pace {
    first: f64,
    lasting: f64,
    later: f64,
}

impl Pace {
    fn new(outlook: &Outlook, expected: f64, at: usize) -> Self {
        let surprise = outlook.surprises[at];
        let later = (expected + outlook.gain * surprise).exp();
        Self { first: (expected + surprise).exp(), lasting: outlook.lasting[at], later }
    }

    /// What so many bits take.
    fn seconds(&self, bits: f64) -> f64 {
        let first = self.first * self.lasting;
        if bits <= first { bits / self.first } else { self.lasting + (bits - first) / self.later }
    }
}

/// Where a download leads to.
struct Arrival {
    step: f32,
    segment: f32,
    stall: f32,
    discount: f32,
}

impl Arrival {
    /// Adds, for each level before a download that takes `fetch` media seconds, `share` of the value after it.
    fn add(&self, values: &Levels, fetch: f32, share: f32, out: &mut [f32]) {
        // After a stall there is the segment alone.
        let place = self.segment / self.step;
        let below = (place as usize).min(2 * LEVELS);
        let dry = values[below] + (place - below as f32) * (values[below + 1] - values[below]);
        let first = ((fetch / self.step).ceil() as usize).min(LEVELS).min(out.len());
        let (stalled, smooth) = out.split_at_mut(first);
        for (at, out) in stalled.iter_mut().enumerate() {
            *out += share * (self.discount * dry + self.stall * (at as f32 * self.step - fetch));
        }
        // All others go by the same number of levels, so that two neighbours and two weights do for all.
        let to = (first as f32 + (self.segment - fetch) / self.step).max(0.0);
        let below = (to as usize).min(LEVELS);
        let part = (to - below as f32).clamp(0.0, 1.0);
        let (lower, upper) = (share * self.discount * (1.0 - part), share * self.discount * part);
        for (out, pair) in smooth.iter_mut().zip(values[below..].windows(2)) {
            *out += lower * pair[0] + upper * pair[1];
        }
    }
}
