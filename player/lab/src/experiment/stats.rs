//! Means, percentiles and their uncertainty.

use crate::rng::Rng;

/// A value and the interval in which it lies with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The value.
    pub mean: f64,
    /// 2.5th percentile.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

/// Resamples for a confidence interval.
const RESAMPLES: usize = 1000;

/// Arithmetic mean; 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Percentile `p` (0 to 1) with linear interpolation; 0 of nothing.
pub fn percentile(values: &[f64], p: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = p.clamp(0.0, 1.0) * last as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    let high = (low + 1).min(last);
    sorted[low] * (1.0 - part) + sorted[high] * part
}

/// Mean with a percentile bootstrap interval over the values (Efron 1979). Equal values and seed give equal intervals.
pub fn bootstrap_mean(values: &[f64], seed: u64) -> Interval {
    let centre = mean(values);
    if values.len() < 2 {
        return Interval { mean: centre, low: centre, high: centre };
    }
    let mut rng = Rng::new(seed);
    let means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            (0..values.len()).map(|_| values[rng.below(values.len())]).sum::<f64>() / values.len() as f64
        })
        .collect();
    Interval { mean: centre, low: percentile(&means, 0.025), high: percentile(&means, 0.975) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_interpolate() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(percentile(&values, 0.0), 1.0);
        assert_eq!(percentile(&values, 0.5), 2.5);
        assert_eq!(percentile(&values, 1.0), 4.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }

    #[test]
    fn a_bootstrap_interval_covers_the_true_mean_about_as_often_as_it_says() {
        let mut rng = Rng::new(5);
        let hits = (0..200)
            .filter(|seed| {
                let sample: Vec<f64> = (0..40).map(|_| 3.0 + rng.normal()).collect();
                let interval = bootstrap_mean(&sample, *seed);
                interval.low <= 3.0 && 3.0 <= interval.high
            })
            .count();
        assert!((176..=199).contains(&hits), "{hits} of 200");
    }
}
