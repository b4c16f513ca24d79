//! The lower of the last sample and the mean of the last few (GStreamer's adaptivedemux2).

use std::collections::VecDeque;

use super::{Estimator, Sample};

/// See the module's page.
#[derive(Clone, Debug)]
pub struct LastFew {
    window: VecDeque<f64>,
    count: usize,
}

impl LastFew {
    /// Mean of the last `count` samples, at least one.
    pub fn new(count: usize) -> Self {
        let count = count.max(1);
        Self { window: VecDeque::with_capacity(count + 1), count }
    }
}

impl Estimator for LastFew {
    fn add(&mut self, sample: &Sample) {
        self.window.push_back(sample.bps());
        if self.window.len() > self.count {
            self.window.pop_front();
        }
    }

    fn bps(&self, pending: Option<&Sample>) -> Option<f64> {
        let last = *self.window.back()?;
        let mean = self.window.iter().sum::<f64>() / self.window.len() as f64;
        let now = last.min(mean);
        Some(pending.map_or(now, |sample| now.min(sample.bps())))
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
