//! Sliding percentile of samples weighted by the root of their size (ExoPlayer's `SlidingPercentile`).

use std::collections::VecDeque;

use super::{Estimator, Sample};

/// See the module's page.
#[derive(Clone, Debug)]
pub struct Percentile {
    /// Weight and rate, oldest first.
    window: VecDeque<(f64, f64)>,
    /// Kept sorted by rate.
    sorted: Vec<(f64, f64)>,
    percentile: f64,
    max_weight: f64,
}

/// The window never holds more samples than this, whatever their weight.
const MAX_SAMPLES: usize = 256;

impl Percentile {
    /// `percentile` in 0..=1, `max_weight` in roots of bytes.
    pub fn new(percentile: f64, max_weight: f64) -> Self {
        Self {
            window: VecDeque::new(),
            sorted: Vec::new(),
            percentile: percentile.clamp(0.0, 1.0),
            max_weight,
        }
    }

    fn resort(&mut self) {
        self.sorted.clear();
        self.sorted.extend(self.window.iter().copied());
        self.sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
    }

    /// The percentile of the window and `extra` (weight, rate).
    fn value(&self, extra: Option<(f64, f64)>) -> Option<f64> {
        let extra_weight = extra.map_or(0.0, |(weight, _)| weight);
        let wanted =
            (self.sorted.iter().map(|(weight, _)| weight).sum::<f64>() + extra_weight) * self.percentile;
        let mut extra = extra;
        let (mut seen, mut last) = (0.0, None);
        let mut rest = self.sorted.iter().copied().peekable();
        loop {
            let take_extra = extra.is_some_and(|(_, bps)| rest.peek().is_none_or(|(_, next)| bps <= *next));
            let item = if take_extra { extra.take() } else { rest.next() };
            let Some((weight, bps)) = item else { return last };
            seen += weight;
            last = Some(bps);
            if seen >= wanted {
                return last;
            }
        }
    }
}

impl Estimator for Percentile {
    fn add(&mut self, sample: &Sample) {
        self.window.push_back(((sample.bytes as f64).sqrt(), sample.bps()));
        let mut total: f64 = self.window.iter().map(|(weight, _)| weight).sum();
        while total > self.max_weight {
            let excess = total - self.max_weight;
            let Some(oldest) = self.window.front_mut() else { break };
            if oldest.0 <= excess {
                total -= oldest.0;
                self.window.pop_front();
            } else {
                oldest.0 -= excess;
                break;
            }
        }
        if self.window.len() > MAX_SAMPLES {
            self.window.pop_front();
        }
        self.resort();
    }

    fn bps(&self, pending: Option<&Sample>) -> Option<f64> {
        let now = self.value(None)?;
        let ahead = pending.and_then(|sample| {
            // Silence weighs as much as what should have come in that time.
            let due = now * sample.busy.as_secs_f64() / 8.0;
            self.value(Some(((sample.bytes as f64).max(due).sqrt().max(1.0), sample.bps())))
        });
        Some(ahead.map_or(now, |ahead| now.min(ahead)))
    }

    fn seed(&mut self, bps: f64) {
        if self.window.is_empty() {
            self.window.push_back((1.0, bps));
            self.resort();
        }
    }

    fn reset(&mut self) {
        self.window.clear();
        self.sorted.clear();
    }
}
