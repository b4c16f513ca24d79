//! Distributions in fixed space: how a figure lies over many sessions.

use serde::{Deserialize, Serialize};

/// Buckets an octave: neighbours lie within 9 % of each other.
const PER_OCTAVE: usize = 8;
/// Octaves: values up to 2^27, which is 37 hours in milliseconds and 134 Gbit/s in kbit/s.
const OCTAVES: usize = 27;
const BUCKETS: usize = PER_OCTAVE * OCTAVES + 1;

/// Counts of values in buckets whose bounds grow by the eighth root of two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Histogram {
    /// Empty until the first value: most streams have none.
    counts: Vec<u32>,
    count: u64,
    sum: f64,
}

/// A distribution as the API shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Sessions that told the figure.
    pub count: u64,
    /// One in twenty is below.
    pub p5: Option<u32>,
    /// Half are below.
    pub median: Option<u32>,
    /// One in twenty is above.
    pub p95: Option<u32>,
}

impl Histogram {
    pub(super) fn add(&mut self, value: u32) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        if let Some(count) = self.counts.get_mut(bucket(value)) {
            *count = count.saturating_add(1);
            self.count += 1;
            self.sum += f64::from(value);
        }
    }

    /// Whether it may have been made here: what was read from a file is not taken at its word.
    pub(super) fn is_sane(&self) -> bool {
        let counted: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        [0, BUCKETS].contains(&self.counts.len()) && counted == self.count && self.sum.is_finite()
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    /// Values that are not greater than 2^`power`, exactly.
    pub(super) fn up_to_power(&self, power: usize) -> u64 {
        self.counts.iter().take(power * PER_OCTAVE + 1).map(|count| u64::from(*count)).sum()
    }

    pub(super) fn spread(&self) -> Spread {
        Spread {
            count: self.count,
            p5: self.quantile(0.05),
            median: self.quantile(0.5),
            p95: self.quantile(0.95),
        }
    }

    fn quantile(&self, q: f64) -> Option<u32> {
        let wanted = (q * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if *count > 0 && seen >= wanted {
                return Some(middle(at));
            }
        }
        None
    }
}

/// Bucket 0 holds 0 and 1; bucket n the values above 2^((n-1)/8) up to 2^(n/8).
fn bucket(value: u32) -> usize {
    if value <= 1 {
        return 0;
    }
    // Powers of two have exact logarithms, so they fall on the side that `up_to_power` needs.
    let place = (f64::from(value).log2() * PER_OCTAVE as f64).ceil();
    (place as usize).min(BUCKETS - 1)
}

fn middle(bucket: usize) -> u32 {
    if bucket == 0 {
        return 0;
    }
    ((bucket as f64 - 0.5) / PER_OCTAVE as f64).exp2().round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_bucket_of_the_truth() {
        let mut histogram = Histogram::default();
        for value in 1..=10_000 {
            histogram.add(value);
        }
        let spread = histogram.spread();
        for (found, truth) in [(spread.p5, 500.0), (spread.median, 5000.0), (spread.p95, 9500.0)] {
            let found = f64::from(found.unwrap());
            assert!((found / truth - 1.0).abs() < 0.09, "{found} for {truth}");
        }
    }

    #[test]
    fn bounds_at_powers_of_two_are_exact() {
        let mut histogram = Histogram::default();
        for value in [0, 1, 2, 3, 127, 128, 129, 1024, 1025, u32::MAX] {
            histogram.add(value);
        }
        let rows = [(0, 2), (1, 3), (2, 4), (7, 6), (8, 7), (10, 8), (11, 9)];
        for (power, expected) in rows {
            assert_eq!(histogram.up_to_power(power), expected, "2^{power}");
        }
        assert_eq!(histogram.count(), 10);
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(Histogram::default().spread(), Spread::default());
    }
}
