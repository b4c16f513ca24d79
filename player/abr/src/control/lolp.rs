//! LoL+ (Bentaleb, Akcay, Lim, Begen, Zimmermann, IEEE TMM 2021; as in dash.js's `LoLpRule`): one neuron a rung in a
//! self-organising map over throughput, latency, stalls and switches; the neuron nearest to the wanted state wins.

use super::{Choice, Context, Controller, Delivery, Reason};
use crate::estimate::Kind;

/// Level below which a stall is taken as near.
const MIN_BUFFER: f64 = 0.3;
/// How much a neuron learns from what came of it, and how far its neighbours do.
const LEARNING_RATE: f64 = 0.01;
const NEIGHBOURHOOD: f64 = 0.1;
const FEATURES: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
struct Neuron {
    /// Throughput, latency, stall, switch; each 0..=1.
    state: [f64; FEATURES],
}

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub struct LolPlus {
    neurons: Vec<Neuron>,
    last: Option<Delivery>,
}

fn distance(a: &[f64; FEATURES], b: &[f64; FEATURES], weights: &[f64; FEATURES]) -> f64 {
    let squared: f64 = a.iter().zip(b).zip(weights).map(|((a, b), weight)| weight * (a - b) * (a - b)).sum();
    squared.sqrt()
}

impl LolPlus {
    fn learn(&mut self, winner: usize, state: &[f64; FEATURES]) {
        let Some(centre) = self.neurons.get(winner).copied() else { return };
        for neuron in &mut self.neurons {
            let apart = distance(&neuron.state, &centre.state, &[1.0; FEATURES]);
            let reach = (-apart * apart / (2.0 * NEIGHBOURHOOD * NEIGHBOURHOOD)).exp();
            for (own, seen) in neuron.state.iter_mut().zip(state) {
                *own += LEARNING_RATE * reach * (seen - *own);
            }
        }
    }
}

impl Controller for LolPlus {
    fn name(&self) -> &'static str {
        "lolp"
    }

    fn estimator(&self) -> Kind {
        Kind::Chunked
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        if context.estimate.is_none() {
            return Choice::now(0, "lolp", Reason::Unknown);
        }
        let rungs = context.rungs();
        let top = context.bps(rungs - 1).max(1.0);
        if self.neurons.len() != rungs {
            self.neurons.clear();
            self.neurons
                .extend((0..rungs).map(|rung| Neuron { state: [context.bps(rung) / top, 0.0, 0.0, 0.0] }));
        }
        let bps = context.estimate_bps();
        let (latency, wanted) = context
            .latency
            .map_or((0.0, 1.0), |(latency, wanted)| (latency.as_secs_f64(), wanted.as_secs_f64().max(0.1)));
        let late = (latency / (2.0 * wanted)).min(1.0);
        let level = context.buffer.as_secs_f64();
        let current = context.last.map_or(0, |last| last.0.min(rungs - 1));
        if let Some(last) = self.last.take() {
            let seen = last.bytes as f64 * 8.0 / last.took.as_secs_f64().max(0.001);
            let stalled = f64::from(u8::from(last.took > last.buffer_before));
            self.learn(last.rung.0.min(rungs - 1), &[(seen / top).min(1.0), late, stalled, 0.0]);
        }
        // Weights move to what is in danger: short buffer to stalls, much latency to latency.
        let danger = (1.0 - level / (4.0 * context.duration())).clamp(0.1, 1.0);
        let weights = [0.4, 0.4 * late.max(0.1), 0.4 * danger, 0.4];
        let goal = [(bps / top).min(1.0), 0.0, 0.0, 0.0];
        let segment = context.duration();
        for rung in 0..rungs {
            let fetch = segment * context.bps(rung) / bps.max(1.0);
            let stall = if level - fetch < MIN_BUFFER { 1.0 } else { 0.0 };
            let switch = (context.bps(rung) - context.bps(current)).abs() / top;
            let Some(neuron) = self.neurons.get(rung) else { continue };
            let state = [neuron.state[0], neuron.state[1], f64::max(neuron.state[2], stall), switch.min(1.0)];
            // What the link does not carry is no candidate unless it is the lowest.
            let over = if rung > 0 && context.bps(rung) > bps { 1.0 } else { 0.0 };
            scores.push(-(distance(&state, &goal, &weights) + over));
        }
        let rung = super::bola::best(scores);
        let reason = context
            .latency
            .map_or(Reason::BufferMap { buffer: context.buffer }, |(latency, _)| Reason::Latency { latency });
        Choice::now(rung, "lolp", reason)
    }

    fn delivered(&mut self, delivery: &Delivery) {
        self.last = Some(*delivery);
    }

    fn restarted(&mut self) {
        self.last = None;
    }
}
