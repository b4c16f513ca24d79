//! Dual exponentially weighted moving average (dash.js, hls.js, Shaka; Sabre's default): samples weighted by how long
//! they took, two half-lives, the lower average counts, so that it falls fast and rises slowly.

use super::{Estimator, Plateau, Sample};

/// One average, corrected for starting at zero.
#[derive(Clone, Debug)]
pub struct Average {
    half_life: f64,
    sum: f64,
    weight: f64,
    /// What `sum` is short of the average by; kept, for it is asked for far more often than it changes.
    norm: f64,
}

impl Average {
    /// `half_life` in the unit of the weights, above zero.
    pub fn new(half_life: f64) -> Self {
        Self { half_life: half_life.max(f64::MIN_POSITIVE), sum: 0.0, weight: 0.0, norm: 1.0 }
    }

    /// Takes in a value with a weight.
    pub fn add(&mut self, weight: f64, value: f64) {
        let keep = 0.5_f64.powf(weight / self.half_life);
        self.sum = keep * self.sum + (1.0 - keep) * value;
        self.weight += weight;
        self.norm = 1.0 - 0.5_f64.powf(self.weight / self.half_life);
    }

    /// The average; `None` before the first value.
    pub fn get(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.norm)
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
    /// A level that was held lifts the averages to it; only where samples are paced.
    plateau: Option<Plateau>,
}

/// Weight of a remembered estimate, in seconds of transfer.
const SEED_WEIGHT: f64 = 0.25;

impl DualEwma {
    /// Half-lives in seconds of transfer.
    pub fn new(fast: f64, slow: f64) -> Self {
        Self { fast: Average::new(fast), slow: Average::new(slow), least: 0.0, plateau: None }
    }

    /// The same, but a sample weighs no less than `least` seconds, and a level that several transfers in a row agree on
    /// counts at once.
    pub fn paced(fast: f64, slow: f64, least: f64) -> Self {
        Self { least, plateau: Some(Plateau::default()), ..Self::new(fast, slow) }
    }
}

impl Estimator for DualEwma {
    fn add(&mut self, sample: &Sample) {
        let weight = sample.busy.as_secs_f64().max(self.least);
        self.fast.add(weight, sample.bps());
        self.slow.add(weight, sample.bps());
        if let Some(plateau) = &mut self.plateau {
            plateau.add(sample.bps());
        }
    }

    fn level(&self) -> Option<f64> {
        self.plateau.as_ref()?.get()
    }

    fn bps(&self, pending: Option<&Sample>) -> Option<f64> {
        let average = self.fast.get()?.min(self.slow.get()?);
        let now = self.level().map_or(average, |level| level.max(average));
        let Some(pending) = pending else { return Some(now) };
        let weight = pending.busy.as_secs_f64();
        let ahead = self.fast.with(weight, pending.bps())?.min(self.slow.with(weight, pending.bps())?);
        // What is pending lowers a level by as much as it lowers the averages.
        Some(now * (ahead / average).min(1.0))
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
        if let Some(plateau) = &mut self.plateau {
            *plateau = Plateau::default();
        }
    }
}
