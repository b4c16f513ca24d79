//! A model of variable bitrate, for ladders without recorded sizes.

use std::time::Duration;

use super::Content;
use crate::rng::Rng;

/// Segment sizes that vary as those of real encodes do: scenes make all rungs larger or smaller together, slowly.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Nominal bitrates in kbit/s, lowest first.
    pub kbps: Vec<f64>,
    /// Length of a segment.
    pub segment: Duration,
    /// Number of segments.
    pub count: usize,
    /// Deviation of the logarithm of the sizes; 0 is constant bitrate, 0.35 a usual film.
    pub spread: f64,
    /// Equal seeds give equal sizes.
    pub seed: u64,
}

/// From one segment to the next, so much of a scene's weight stays.
const MEMORY: f64 = 0.7;
/// Share of the spread that each rung has for itself.
const OWN: f64 = 0.15;
/// Sizes stay within these factors of nominal, as a rate control with a buffer keeps them.
const LIMITS: (f64, f64) = (0.3, 2.2);

impl Model {
    /// Draws the sizes. The mean over each rung is its nominal bitrate. `None` when the ladder is empty or not sorted.
    pub fn to_content(&self, name: &str) -> Option<Content> {
        let mut rng = Rng::new(self.seed);
        let mut scene = rng.normal();
        let mut factors: Vec<Vec<f64>> = Vec::with_capacity(self.count);
        for _ in 0..self.count {
            scene = MEMORY * scene + (1.0 - MEMORY * MEMORY).sqrt() * rng.normal();
            factors.push(
                self.kbps
                    .iter()
                    .map(|_| (self.spread * (scene + OWN * rng.normal())).exp().clamp(LIMITS.0, LIMITS.1))
                    .collect(),
            );
        }
        let seconds = self.segment.as_secs_f64();
        let means: Vec<f64> = (0..self.kbps.len())
            .map(|rung| factors.iter().map(|row| row[rung]).sum::<f64>() / self.count.max(1) as f64)
            .collect();
        let sizes = factors
            .iter()
            .map(|row| {
                row.iter()
                    .zip(&means)
                    .zip(&self.kbps)
                    .map(|((factor, mean), kbps)| ((kbps * 125.0 * seconds * factor / mean) as u64).max(1))
                    .collect()
            })
            .collect();
        Content::new(name, &self.kbps, self.segment, sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(spread: f64) -> Content {
        let kbps = vec![300.0, 1200.0, 4300.0];
        let segment = Duration::from_secs(4);
        Model { kbps, segment, count: 150, spread, seed: 3 }.to_content("m").unwrap()
    }

    #[test]
    fn the_mean_of_each_rung_is_its_nominal_bitrate() {
        let content = model(0.35);
        for (rung, kbps) in [300.0, 1200.0, 4300.0].into_iter().enumerate() {
            let bytes: u64 = content.main().segments.iter().map(|segment| segment.sizes[rung]).sum();
            let mean = bytes as f64 * 8.0 / 600.0 / 1000.0;
            assert!((mean / kbps - 1.0).abs() < 0.001, "{mean}");
        }
    }

    #[test]
    fn without_spread_all_segments_are_equal() {
        let content = model(0.0);
        assert!(
            content.main().segments.iter().all(|segment| *segment.sizes == [150_000, 600_000, 2_150_000])
        );
    }

    #[test]
    fn scenes_make_rungs_larger_together() {
        let content = model(0.35);
        let large = |rung: usize, nominal: f64| -> Vec<bool> {
            content.main().segments.iter().map(|segment| segment.sizes[rung] as f64 > nominal).collect()
        };
        let same = large(0, 150_000.0).iter().zip(large(2, 2_150_000.0)).filter(|(a, b)| **a == *b).count();
        assert!(same > 130, "{same} of 150");
    }
}
