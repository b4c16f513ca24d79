//! LoL+ (Bentaleb, Akcay, Lim, Begen, Zimmermann, "Catching the Moment with LoL+ in Twitch-like Low-Latency Live
//! Streaming Platforms", IEEE TMM 2021; the constants are those of dash.js's `LoLpRule`): one neuron a rung in a
//! self-organising map over throughput, latency, stall and switch; the neuron nearest to the wanted state wins, by
//! weights that are chosen anew for each segment, and the map learns what came of it.
//!
//! Where the original draws random numbers (weights until the first can be chosen), a fixed sequence stands in, so that
//! equal inputs give equal choices.

use super::{Choice, Context, Controller, Reason, lolp_weights};
use crate::estimate::Kind;

/// Level in seconds below which a stall is taken as near.
pub(super) const MIN_BUFFER: f64 = 0.3;
/// How much a neuron learns from what came of it, and how far its neighbours do.
const LEARNING_RATE: f64 = 0.01;
const NEIGHBOURHOOD: f64 = 0.1;
/// Latencies are seconds over this.
const LATENCY_NORM: f64 = 100.0;
/// The link must carry so many bit/s more than a rung.
const HEADROOM: f64 = 10_000.0;
/// Weight of the throughput for a rung that is not to be taken.
const FORBIDDEN: f64 = 100.0;
/// Share of the expected rate that is reckoned with.
const SAFETY: f64 = 0.9;

/// Throughput, latency, stall, switch.
pub(super) type Features = [f64; 4];

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub struct LolPlus {
    /// State of each rung's neuron, those included that are not allowed now.
    neurons: Vec<Features>,
    /// Length of the vector of all bitrates: rates are given in it.
    norm: f64,
    weights: Features,
    latency_before: f64,
}

pub(super) fn distance(a: &Features, b: &Features, weights: &Features) -> f64 {
    a.iter().zip(b).zip(weights).map(|((a, b), weight)| weight * (a - b) * (a - b)).sum::<f64>().sqrt()
}

/// The buffer after a segment that takes `fetch` seconds and plays `segment` seconds.
pub(super) fn next_buffer(level: f64, fetch: f64, segment: f64) -> f64 {
    if fetch > segment { level - segment } else { level + segment - fetch }
}

impl LolPlus {
    fn begin(&mut self, context: &Context<'_>) {
        let rungs = context.ladder.len();
        self.norm = (0..rungs).map(|rung| context.bps(rung).powi(2)).sum::<f64>().sqrt().max(1.0);
        self.neurons.clear();
        self.neurons.extend((0..rungs).map(|rung| [context.bps(rung) / self.norm, 0.0, 0.0, 0.0]));
        self.weights = lolp_weights::first(rungs, self.neurons.last().map_or(1.0, |top| top[0]));
    }

    fn learn(&mut self, winner: usize, seen: &Features) {
        let Some(centre) = self.neurons.get(winner).copied() else { return };
        for neuron in &mut self.neurons {
            let apart = distance(neuron, &centre, &[1.0; 4]);
            let reach = (-apart * apart / (2.0 * NEIGHBOURHOOD * NEIGHBOURHOOD)).exp();
            for (own, seen) in neuron.iter_mut().zip(seen) {
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
        if self.neurons.len() != context.ladder.len() {
            self.begin(context);
        }
        let bps = (SAFETY * context.estimate_bps()).max(1.0);
        let segment = context.duration();
        let level = context.buffer.as_secs_f64();
        let latency = context.latency.map_or(0.0, |(latency, _)| latency.as_secs_f64());
        let current = context.last.map_or(0, |last| last.0.min(rungs - 1));
        let fetch = |rung: usize| context.bps(rung) * segment / bps;
        let stall = (fetch(current) - level).max(0.0);
        if level - fetch(current) < MIN_BUFFER {
            // Down at once, past the map: the highest below that the link carries; where there is none, no further down.
            let lower = (0..current).rev().find(|rung| context.bps(*rung) < bps).unwrap_or(current);
            return Choice::now(lower, "lolp", Reason::ShortBuffer { buffer: context.buffer });
        }
        let state = lolp_weights::State {
            latency,
            latency_before: std::mem::replace(&mut self.latency_before, latency),
            level,
            segment,
            bps,
        };
        let allowed = self.neurons.get(..rungs).unwrap_or_default();
        if let Some(weights) = lolp_weights::choose(context, allowed, &state) {
            self.weights = weights;
        }
        let top = self.neurons.iter().map(|neuron| neuron[0]).fold(0.0, f64::max);
        let rate = if bps > self.norm { top } else { bps / self.norm };
        let goal = [rate, 0.0, 0.0, 0.0];
        for (rung, neuron) in self.neurons.iter().take(rungs).enumerate() {
            let low = next_buffer(level, fetch(rung), segment) < MIN_BUFFER;
            let mut weights = self.weights;
            if rung > 0 && (context.bps(rung) > bps - HEADROOM || low) {
                weights[0] = FORBIDDEN;
            }
            scores.push(-distance(neuron, &goal, &weights));
        }
        let rung = super::bola::best(scores);
        let switch = (context.bps(current) - context.bps(rung)).abs() / self.norm;
        self.learn(current, &[rate, latency / LATENCY_NORM, stall, switch]);
        self.learn(rung, &[rate, 0.0, 0.0, switch]);
        let reason = context
            .latency
            .map_or(Reason::BufferMap { buffer: context.buffer }, |(latency, _)| Reason::Latency { latency });
        Choice::now(rung, "lolp", reason)
    }

    fn restarted(&mut self) {
        self.latency_before = 0.0;
    }
}
