//! BOLA (Spiteri, Urgaonkar, Sitaraman, INFOCOM 2016) and BOLA-E (MMSys 2018, 3): the buffer chooses, by a Lyapunov
//! argument: the rung with the highest (V (u + gp) - buffer) / rate.

use std::time::Duration;

use super::{Choice, Context, Controller, Delivery, Reason, throughput};
use crate::RungId;

/// How an up-switch beyond what the network sustains is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// Not at all.
    None,
    /// To one rung above the sustainable one (BOLA-U).
    U,
    /// To the sustainable rung, or the last one if that is higher (BOLA-O).
    O,
}

/// BOLA as in INFOCOM 2016: `basic` with a fixed V, else with a smaller one near start and end.
#[derive(Clone, Debug)]
pub struct Bola {
    name: &'static str,
    basic: bool,
    cap: Cap,
}

/// gp of the paper: how strongly stalls are avoided.
const GP: f64 = 5.0;

impl Bola {
    /// Fixed V over the whole presentation (BOLA-BASIC).
    pub fn basic() -> Self {
        Self { name: "bola-basic", basic: true, cap: Cap::None }
    }

    /// BOLA-FINITE with a cap on up-switches.
    pub fn finite(cap: Cap) -> Self {
        let name = match cap {
            Cap::None => "bola",
            Cap::U => "bola-u",
            Cap::O => "bola-o",
        };
        Self { name, basic: false, cap }
    }
}

fn utility(context: &Context<'_>, rung: usize) -> f64 {
    (context.bps(rung) / context.bps(0).max(1.0)).max(1.0).ln()
}

impl Controller for Bola {
    fn name(&self) -> &'static str {
        self.name
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        let segment = context.duration();
        let top = utility(context, context.rungs() - 1);
        let mut room = context.max_buffer.as_secs_f64();
        if !self.basic {
            let left = context.to_end.map_or(f64::INFINITY, |left| left.as_secs_f64());
            let near = context.since_start.as_secs_f64().min(left) / 2.0;
            room = room.min(near.max(3.0 * segment));
        }
        let v = (room - segment).max(segment) / (top + GP);
        let level = context.buffer.as_secs_f64();
        scores.extend(
            (0..context.rungs())
                .map(|rung| (v * (utility(context, rung) + GP) - level) / context.bps(rung).max(1.0)),
        );
        let mut rung = best(scores);
        let mut wait = Duration::ZERO;
        let last = context.last.map_or(0, |last| last.0);
        if self.cap != Cap::None && rung > last {
            let fits = throughput::sustainable(context, 0.9);
            if rung > fits {
                rung = match self.cap {
                    Cap::O => last.max(fits),
                    _ => rung.min(last.max(fits + 1)),
                };
                if self.cap == Cap::O {
                    // The buffer is past what this rung needs: let it drain instead of flapping.
                    let most = v * (utility(context, rung) + GP);
                    wait = Duration::try_from_secs_f64(level - most).unwrap_or_default();
                }
            }
        }
        let reason = Reason::BestForBuffer { buffer: context.buffer };
        Choice { rung: RungId(rung), wait, rule: self.name, reason }
    }
}

pub(super) fn best(scores: &[f64]) -> usize {
    let mut best = 0;
    for (rung, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = rung;
        }
    }
    best
}

/// BOLA-E: BOLA with a placeholder buffer that makes it start at the throughput's rung, and the insufficient-buffer rule.
#[derive(Clone, Debug)]
pub struct BolaE {
    placeholder: f64,
    started: bool,
    short_buffer: Option<throughput::ShortBuffer>,
    /// Of the last decision, for the clamp when its download is complete.
    parameters: Option<Parameters>,
    utilities: Vec<f64>,
}

/// V and gp, from the ladder and the buffer's size.
#[derive(Clone, Copy, Debug)]
struct Parameters {
    v: f64,
    gp: f64,
}

const MINIMUM: f64 = 10.0;
const PER_RUNG: f64 = 2.0;

impl BolaE {
    /// With the insufficient-buffer rule, as published.
    pub fn new() -> Self {
        Self {
            placeholder: 0.0,
            started: false,
            short_buffer: Some(throughput::ShortBuffer::default()),
            parameters: None,
            utilities: Vec::new(),
        }
    }

    /// Without it (Sabre's BOLA-PL).
    pub fn without_short_buffer_rule() -> Self {
        Self { short_buffer: None, ..Self::new() }
    }

    fn prepare(&mut self, context: &Context<'_>) -> Parameters {
        self.utilities.clear();
        let lowest = context.bps(0).max(1.0).ln();
        self.utilities
            .extend((0..context.rungs()).map(|rung| context.bps(rung).max(1.0).ln() + (1.0 - lowest)));
        let buffer = context.max_buffer.as_secs_f64().max(MINIMUM + PER_RUNG * self.utilities.len() as f64);
        let top = self.utilities.last().copied().unwrap_or(1.0);
        // A single rung, or equal ones, leave nothing to trade.
        let gp = ((top - 1.0) / (buffer / MINIMUM - 1.0)).max(0.01);
        let parameters = Parameters { v: MINIMUM / gp, gp };
        self.parameters = Some(parameters);
        parameters
    }

    fn most(&self, parameters: Parameters, rung: usize) -> f64 {
        parameters.v * (self.utilities.get(rung).copied().unwrap_or(1.0) + parameters.gp)
    }

    fn least(&self, context: &Context<'_>, parameters: Parameters, rung: usize) -> f64 {
        let rate = context.bps(rung);
        let u = self.utilities.get(rung).copied().unwrap_or(1.0);
        (0..rung)
            .filter(|lower| context.bps(*lower) < rate)
            .map(|lower| {
                let lower_u = self.utilities.get(lower).copied().unwrap_or(1.0);
                let lower_rate = context.bps(lower);
                parameters.v * (parameters.gp + (rate * lower_u - lower_rate * u) / (rate - lower_rate))
            })
            .fold(0.0, f64::max)
    }
}

impl Default for BolaE {
    fn default() -> Self {
        Self::new()
    }
}

impl Controller for BolaE {
    fn name(&self) -> &'static str {
        if self.short_buffer.is_some() { "bola-e" } else { "bola-pl" }
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        let parameters = self.prepare(context);
        let level = context.buffer.as_secs_f64();
        let fits = throughput::sustainable(context, 0.9);
        if !self.started {
            self.started = context.estimate.is_some();
            self.placeholder = (self.least(context, parameters, fits) - level).max(0.0);
        }
        let virtual_level = level + self.placeholder;
        for rung in 0..context.rungs() {
            let score = (self.most(parameters, rung) - virtual_level) / context.bps(rung).max(1.0);
            scores.push(score);
        }
        let mut rung = best(scores);
        let mut wait = 0.0;
        let last = context.last.map_or(0, |last| last.0);
        if rung > last && rung > fits {
            rung = last.max(fits);
            let excess = virtual_level - self.most(parameters, rung);
            if excess > 0.0 {
                let taken = excess.min(self.placeholder);
                self.placeholder -= taken;
                wait = excess - taken;
            }
        }
        if let Some(short_buffer) = &mut self.short_buffer {
            let limited = short_buffer.limit(context, rung);
            if limited < rung {
                return Choice::now(limited, "short-buffer", Reason::ShortBuffer { buffer: context.buffer });
            }
        }
        let reason = Reason::BestForBuffer { buffer: context.buffer };
        let wait = Duration::try_from_secs_f64(wait).unwrap_or_default();
        Choice { rung: RungId(rung), wait, rule: "bola-e", reason }
    }

    fn delivered(&mut self, delivery: &Delivery) {
        let Some(parameters) = self.parameters else { return };
        if delivery.replaced {
            self.placeholder += delivery.duration.as_secs_f64();
        }
        // The virtual level stays where the delivered rung is what BOLA would choose.
        let before = delivery.buffer_before.as_secs_f64();
        let most = self.most(parameters, delivery.rung.0);
        self.placeholder = self.placeholder.min((most - before).max(0.0));
    }

    fn idled(&mut self, time: Duration) {
        self.placeholder += time.as_secs_f64();
    }

    fn restarted(&mut self) {
        let utilities = std::mem::take(&mut self.utilities);
        let new = if self.short_buffer.is_some() { Self::new() } else { Self::without_short_buffer_rule() };
        // The room is kept: a decision must not allocate.
        *self = Self { utilities, ..new };
    }
}
