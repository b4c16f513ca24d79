//! How LoL+ weighs throughput, latency, stall and switch: of all vectors of five steps a place the one that promises the
//! best QoE for some rung, as long as the latency and the buffer that follow are allowed.

use super::{
    Context,
    lolp::{Features, MIN_BUFFER, distance, next_buffer},
};

/// What a weight may be.
const STEPS: [f64; 5] = [0.2, 0.4, 0.6, 0.8, 1.0];
/// Distance to the live edge in seconds that is aimed at.
const TARGET_LATENCY: f64 = 1.5;
/// Seconds of latency up to which it costs little.
const LITTLE_LATENCY: f64 = 1.1;
/// A stall is never quite out of the question.
const LEAST_STALL: f64 = 1e-5;

/// What the choice goes by; seconds and bit/s.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) latency: f64,
    pub(super) latency_before: f64,
    pub(super) level: f64,
    pub(super) segment: f64,
    pub(super) bps: f64,
}

/// QoE of one segment (TMM 2021, 4.2): its bitrate by time, less stall, latency and change of speed; kbit/s and seconds.
fn qoe(state: &State, ladder: (f64, f64), kbps: f64, stall: f64, latency: f64, speed: f64) -> f64 {
    let (least, most) = ladder;
    let late = if latency <= LITTLE_LATENCY { 0.05 * least } else { 0.1 * most };
    state.segment * kbps - most * stall - late * latency - least * (1.0 - speed).abs()
}

/// The weights; `None` when nothing is allowed, and what was before stays.
pub(super) fn choose(context: &Context<'_>, neurons: &[Features], state: &State) -> Option<Features> {
    // The map does not change the latency of now: it may not grow by more than it just did.
    if state.latency > TARGET_LATENCY + (state.latency - state.latency_before).abs() {
        return None;
    }
    let kbps = |rung: usize| context.bps(rung) / 1000.0;
    let ladder = (kbps(0), kbps(neurons.len().saturating_sub(1)));
    let mut best: Option<(f64, Features)> = None;
    for (rung, neuron) in neurons.iter().enumerate() {
        let fetch = context.bps(rung) * state.segment / state.bps;
        let next = next_buffer(state.level, fetch, state.segment);
        if next < MIN_BUFFER {
            continue;
        }
        let stall = (fetch - next).max(LEAST_STALL);
        // Throughput and switch do not enter the QoE, so the first of their steps wins.
        for latency in STEPS {
            for buffer in STEPS {
                let qoe = qoe(state, ladder, kbps(rung), stall / buffer, neuron[1] / latency, context.rate);
                if best.is_none_or(|(most, _)| qoe > most) {
                    best = Some((qoe, [STEPS[0], latency, buffer, STEPS[0]]));
                }
            }
        }
    }
    best.map(|(_, weights)| weights)
}

/// Weights to begin with: centres by k-means++ in a cloud of points, sorted by their distance from the one that is least
/// like the others; the last of them. `top` is the highest throughput of a neuron.
pub(super) fn first(rungs: usize, top: f64) -> Features {
    // SplitMix64: any sequence without a pattern does.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = seed;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let cloud: Vec<Features> =
        (0..rungs.min(64).pow(2)).map(|_| [random() * top, random(), random(), random()]).collect();
    let apart = |a: &Features, b: &Features| distance(a, b, &[1.0; 4]);
    let mut centres: Vec<Features> = cloud.first().copied().into_iter().collect();
    while centres.len() < rungs.min(64) {
        let nearest = |point: &Features| {
            centres.iter().map(|centre| apart(point, centre)).fold(f64::INFINITY, f64::min)
        };
        let furthest = cloud.iter().max_by(|a, b| nearest(a).total_cmp(&nearest(b)));
        let Some(furthest) = furthest.copied() else { break };
        centres.push(furthest);
    }
    let alone = |centre: &Features| centres.iter().map(|other| apart(centre, other)).sum::<f64>();
    let odd = centres.iter().copied().max_by(|a, b| alone(a).total_cmp(&alone(b)));
    let last =
        odd.and_then(|odd| centres.iter().copied().max_by(|a, b| apart(&odd, a).total_cmp(&apart(&odd, b))));
    last.unwrap_or([0.4; 4])
}
