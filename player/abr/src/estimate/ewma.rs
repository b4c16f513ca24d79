//! Dual exponentially weighted moving average (dash.js, hls.js, Shaka; Sabre's default): samples weighted by how long
//! they took, two half-lives, the lower average counts, so that it falls fast and rises slowly.

use super::{Estimator, Sample};

/// One average, corrected for starting at zero.
#[derive(Clone, Debug)]
pub struct Average {
    half_life: f64,
    sum: f64,
    weight: f64,
}

impl Average {
    /// `half_life` in the unit of the weights, above zero.
    pub fn new(half_life: f64) -> Self {
        Self { half_life: half_life.max(f64::MIN_POSITIVE), sum: 0.0, weight: 0.0 }
    }

    /// Takes in a value with a weight.
    pub fn add(&mut self, weight: f64, value: f64) {
        let keep = 0.5_f64.powf(weight / self.half_life);
        self.sum = keep * self.sum + (1.0 - keep) * value;
        self.weight += weight;
    }

    /// The average; `None` before the first value.
    pub fn get(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / (1.0 - 0.5_f64.powf(self.weight / self.half_life)))
    }

    /// What [`get`](Self::get) would give after [`add`](Self::add).
    fn with(&self, weight: f64, value: f64) -> Option<f64> {
        let mut copy = self.clone();
        copy.add(weight, value);
        copy.get()
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.sum = 0.0;
        self.weight = 0.0;
    }
}

/// See the module's page.
#[derive(Clone, Debug)]
pub struct DualEwma {
    fast: Average,
    slow: Average,
    least: f64,
}

/// Weight of a remembered estimate, in seconds of transfer.
const SEED_WEIGHT: f64 = 0.25;

impl DualEwma {
    /// Half-lives in seconds of transfer.
    pub fn new(fast: f64, slow: f64) -> Self {
        Self::paced(fast, slow, 0.0)
    }

    /// The same, but a sample weighs no less than `least` seconds.
    pub fn paced(fast: f64, slow: f64, least: f64) -> Self {
        Self { fast: Average::new(fast), slow: Average::new(slow), least }
    }
}

impl Estimator for DualEwma {
    fn add(&mut self, sample: &Sample) {
        let weight = sample.busy.as_secs_f64().max(self.least);
        self.fast.add(weight, sample.bps());
        self.slow.add(weight, sample.bps());
    }

    fn bps(&self, pending: Option<&Sample>) -> Option<f64> {
        let now = self.fast.get()?.min(self.slow.get()?);
        let Some(pending) = pending else { return Some(now) };
        let weight = pending.busy.as_secs_f64();
        let ahead = self.fast.with(weight, pending.bps())?.min(self.slow.with(weight, pending.bps())?);
        Some(now.min(ahead))
    }

    fn seed(&mut self, bps: f64) {
        if self.fast.get().is_none() {
            self.fast.add(SEED_WEIGHT, bps);
            self.slow.add(SEED_WEIGHT, bps);
        }
    }

    fn reset(&mut self) {
        self.fast.reset();
        self.slow.reset();
    }
}
