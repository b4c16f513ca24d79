//! How far expectations were off lately: the spread of an estimate, learnt from its own errors.

use std::collections::VecDeque;

use super::QUANTILES;

/// Ratios that are remembered.
const WINDOW: usize = 24;
/// What is believed before anything was measured: rather too high an expectation than too low. Every second measured
/// ratio takes the place of the first that is left.
const PRIOR: [f64; 6] = [0.55, 1.4, 0.75, 1.15, 0.9, 1.0];

/// Ratios of what came to what was expected, and their quantiles.
#[derive(Clone, Debug)]
pub struct ErrorWindow {
    ratios: VecDeque<f64>,
    sorted: Vec<f64>,
    quantiles: [f64; 5],
}

impl Default for ErrorWindow {
    fn default() -> Self {
        let mut window = Self {
            ratios: VecDeque::with_capacity(WINDOW + 1),
            sorted: Vec::with_capacity(WINDOW + PRIOR.len()),
            quantiles: [1.0; 5],
        };
        window.update();
        window
    }
}

impl ErrorWindow {
    /// An expectation of `expected` met `actual` (same unit); the ratio is clamped to 0.05..=3.
    pub fn add(&mut self, expected: f64, actual: f64) {
        if expected > 0.0 && actual.is_finite() {
            self.ratios.push_back((actual / expected).clamp(0.05, 3.0));
            if self.ratios.len() > WINDOW {
                self.ratios.pop_front();
            }
            self.update();
        }
    }

    /// Factors for [`QUANTILES`].
    pub fn quantiles(&self) -> [f64; 5] {
        self.quantiles
    }

    fn update(&mut self) {
        self.sorted.clear();
        let believed = PRIOR.iter().skip(self.ratios.len() / 2);
        self.sorted.extend(self.ratios.iter().chain(believed).copied());
        self.sorted.sort_by(f64::total_cmp);
        let top = self.sorted.len().saturating_sub(1) as f64;
        for (factor, quantile) in self.quantiles.iter_mut().zip(QUANTILES) {
            let place = quantile * top;
            let low = self.sorted.get(place.floor() as usize).copied().unwrap_or(1.0);
            let high = self.sorted.get(place.ceil() as usize).copied().unwrap_or(low);
            *factor = low + (high - low) * place.fract();
        }
    }
}
