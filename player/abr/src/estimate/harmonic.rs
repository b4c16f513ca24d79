//! Harmonic mean of the last samples (FESTIVE, CoNEXT 2012, 3.1; the predictor of MPC, SIGCOMM 2015, 5.1): outliers
//! upwards hardly move it.

use std::collections::VecDeque;

use super::{Estimator, Sample};

/// See the module's page.
#[derive(Clone, Debug)]
pub struct Harmonic {
    window: VecDeque<f64>,
    count: usize,
}

/// Rates below this are taken as this, so that one outage does not give zero for ever.
const FLOOR_BPS: f64 = 1000.0;

impl Harmonic {
    /// Mean of the last `count` samples, at least one.
    pub fn new(count: usize) -> Self {
        let count = count.max(1);
        Self { window: VecDeque::with_capacity(count + 1), count }
    }

    fn mean(&self, extra: Option<f64>) -> Option<f64> {
        let skip = usize::from(extra.is_some() && self.window.len() >= self.count);
        let (mut total, mut count) = (0.0, 0.0);
        for bps in self.window.iter().copied().skip(skip).chain(extra) {
            total += 1.0 / bps.max(FLOOR_BPS);
            count += 1.0;
        }
        (count > 0.0).then(|| count / total)
    }
}

impl Estimator for Harmonic {
    fn add(&mut self, sample: &Sample) {
        self.window.push_back(sample.bps());
        if self.window.len() > self.count {
            self.window.pop_front();
        }
    }

    fn bps(&self, pending: Option<&Sample>) -> Option<f64> {
        let now = self.mean(None)?;
        Some(pending.and_then(|sample| self.mean(Some(sample.bps()))).map_or(now, |ahead| now.min(ahead)))
    }

    fn seed(&mut self, bps: f64) {
        if self.window.is_empty() {
            self.window.push_back(bps);
        }
    }

    fn reset(&mut self) {
        self.window.clear();
    }
}
