//! A trace as a function of time: what the link carries from when to when.

use super::{Point, Trace};

/// A trace prepared for look-ups. Times are milliseconds since its start and may lie past its end: it wraps.
#[derive(Clone, Debug)]
pub struct Link {
    points: Vec<Point>,
    /// Start of each point, and the end of the last.
    starts_ms: Vec<f64>,
    /// Bits that one round carried before each point, and in all.
    bits: Vec<f64>,
}

impl Link {
    /// Prepares a trace.
    pub fn new(trace: &Trace) -> Self {
        let points = trace.points().to_vec();
        let mut starts_ms = vec![0.0];
        let mut bits = vec![0.0];
        let (mut time, mut sum) = (0.0, 0.0);
        for point in &points {
            time += point.duration_ms;
            // kbit/s times ms is bits.
            sum += point.kbps * point.duration_ms;
            starts_ms.push(time);
            bits.push(sum);
        }
        Self { points, starts_ms, bits }
    }

    /// One round in milliseconds.
    pub fn round_ms(&self) -> f64 {
        self.starts_ms.last().copied().unwrap_or(1.0)
    }

    fn round_bits(&self) -> f64 {
        self.bits.last().copied().unwrap_or(1.0)
    }

    /// The point in force at `t_ms`, with the time at which it began in that round.
    fn at(&self, t_ms: f64) -> (usize, f64) {
        let in_round = t_ms.rem_euclid(self.round_ms());
        let index = self.starts_ms.partition_point(|start| *start <= in_round).saturating_sub(1);
        (index.min(self.points.len() - 1), in_round)
    }

    /// Rate at `t_ms` in kbit/s.
    pub fn kbps_at(&self, t_ms: f64) -> f64 {
        self.points[self.at(t_ms).0].kbps
    }

    /// Latency of a request made at `t_ms`, in milliseconds.
    pub fn latency_at(&self, t_ms: f64) -> f64 {
        self.points[self.at(t_ms).0].latency_ms
    }

    /// When the rate in force at `t_ms` ends, in milliseconds; always after `t_ms`.
    pub fn next_change(&self, t_ms: f64) -> f64 {
        let (index, in_round) = self.at(t_ms);
        let left = self.starts_ms[index + 1] - in_round;
        // Rounding may leave nothing: move on by a microsecond at least, so that loops end.
        t_ms + left.max(1e-3)
    }

    /// Bits carried from the start until `t_ms`.
    pub fn bits_until(&self, t_ms: f64) -> f64 {
        if t_ms <= 0.0 {
            return 0.0;
        }
        let rounds = (t_ms / self.round_ms()).floor();
        let (index, in_round) = self.at(t_ms);
        rounds * self.round_bits()
            + self.bits[index]
            + self.points[index].kbps * (in_round - self.starts_ms[index])
    }

    /// Mean rate from `from_ms` to `to_ms`, in kbit/s.
    pub fn mean_kbps(&self, from_ms: f64, to_ms: f64) -> f64 {
        if to_ms > from_ms {
            (self.bits_until(to_ms) - self.bits_until(from_ms)) / (to_ms - from_ms)
        } else {
            self.kbps_at(from_ms)
        }
    }

    /// When `bits` are through, if they start at `from_ms` and have the link to themselves.
    pub fn finish_ms(&self, from_ms: f64, bits: f64) -> f64 {
        if bits <= 0.0 {
            return from_ms;
        }
        // Most transfers end within a point or two: walk those, search only for long ones.
        let (mut index, in_round) = self.at(from_ms);
        let mut left = bits;
        let mut offset = in_round - self.starts_ms[index];
        let mut now = from_ms;
        for _ in 0..8 {
            let point = self.points[index];
            let room_ms = point.duration_ms - offset;
            if point.kbps * room_ms >= left {
                return now + left / point.kbps;
            }
            left -= point.kbps * room_ms;
            now += room_ms;
            offset = 0.0;
            index = (index + 1) % self.points.len();
        }
        let target = self.bits[index] + left;
        let rounds = (target / self.round_bits()).floor();
        let in_round_bits = target - rounds * self.round_bits();
        let found = self
            .bits
            .partition_point(|bits| *bits < in_round_bits)
            .saturating_sub(1)
            .min(self.points.len() - 1);
        let point = self.points[found];
        let within = if point.kbps > 0.0 { (in_round_bits - self.bits[found]) / point.kbps } else { 0.0 };
        now - self.starts_ms[index] + rounds * self.round_ms() + self.starts_ms[found] + within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(points: &[(f64, f64)]) -> Link {
        let points = points
            .iter()
            .map(|(duration_ms, kbps)| Point { duration_ms: *duration_ms, kbps: *kbps, latency_ms: 0.0 })
            .collect();
        Link::new(&Trace::new("test", points).unwrap())
    }

    #[test]
    fn a_transfer_across_a_step_takes_the_time_of_both_parts() {
        let link = link(&[(1000.0, 1000.0), (1000.0, 500.0)]);
        assert_eq!(link.finish_ms(0.0, 1_250_000.0), 1500.0);
        assert_eq!(link.kbps_at(1500.0), 500.0);
        assert_eq!(link.next_change(1500.0), 2000.0);
    }

    #[test]
    fn an_outage_holds_the_transfer_until_it_is_over() {
        let link = link(&[(1000.0, 1000.0), (5000.0, 0.0)]);
        assert_eq!(link.finish_ms(500.0, 600_000.0), 6100.0);
    }

    #[test]
    fn long_transfers_wrap_many_rounds_and_agree_with_the_carried_bits() {
        let link = link(&[(100.0, 1000.0), (300.0, 0.0), (50.0, 4000.0)]);
        for start in [0.0, 30.0, 120.0, 430.0, 12_345.0] {
            for bits in [10.0, 99_000.0, 1_234_567.0, 77_000_000.0] {
                let end = link.finish_ms(start, bits);
                let carried = link.bits_until(end) - link.bits_until(start);
                assert!((carried - bits).abs() < 1e-3 * bits.max(1.0), "{start} {bits}: {carried}");
                assert!(link.bits_until(end - 0.01) - link.bits_until(start) < bits);
            }
        }
    }
}
