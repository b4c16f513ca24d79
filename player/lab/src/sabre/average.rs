//! What the network is thought to be like: two exponentially weighted averages each of throughput and latency.

/// Half-lives in ms.
const HALF_LIVES: [f64; 2] = [3000.0, 8000.0];

#[derive(Clone, Debug)]
pub(super) struct Averages {
    latency_alpha: [f64; 2],
    latency_half_life: [f64; 2],
    kbps: [f64; 2],
    latency: [f64; 2],
    time: f64,
    count: f64,
}

/// What is expected: throughput in kbit/s and latency in ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) kbps: f64,
    pub(super) latency_ms: f64,
}

impl Averages {
    pub(super) fn new(segment_ms: f64) -> Self {
        let latency_half_life = HALF_LIVES.map(|half_life| half_life / segment_ms);
        Self {
            latency_alpha: latency_half_life.map(|half_life| 0.5f64.powf(1.0 / half_life)),
            latency_half_life,
            kbps: [0.0; 2],
            latency: [0.0; 2],
            time: 0.0,
            count: 0.0,
        }
    }

    /// Takes a download in: what is expected after it.
    pub(super) fn push(&mut self, time_ms: f64, kbps: f64, latency_ms: f64) -> Expected {
        self.time += time_ms;
        self.count += 1.0;
        let mut expected = Expected { kbps: f64::INFINITY, latency_ms: f64::NEG_INFINITY };
        for (at, half_life) in HALF_LIVES.into_iter().enumerate() {
            let alpha = 0.5f64.powf(time_ms / half_life);
            self.kbps[at] = alpha * self.kbps[at] + (1.0 - alpha) * kbps;
            let alpha = self.latency_alpha[at];
            self.latency[at] = alpha * self.latency[at] + (1.0 - alpha) * latency_ms;
            // The averages begin at zero: correct for the weight of that.
            let weight = 1.0 - 0.5f64.powf(self.time / half_life);
            expected.kbps = expected.kbps.min(self.kbps[at] / weight);
            let weight = 1.0 - 0.5f64.powf(self.count / self.latency_half_life[at]);
            expected.latency_ms = expected.latency_ms.max(self.latency[at] / weight);
        }
        expected
    }
}
