//! The one clock of a stream: which frame and which audio frame lie in which segment, in whole numbers.

/// Samples of one AAC frame.
pub(crate) const AAC_SAMPLES: u64 = 1024;
/// Every stream's audio sample rate in Hz.
pub(crate) const SAMPLE_RATE: u32 = 48_000;

const NANOS: u128 = 1_000_000_000;

/// Frame and segment arithmetic of one stream.
///
/// Frame `n` is shown from `n / rate` on. Segment `k` starts at the first frame, and on the audio side the
/// first AAC frame, at or after `k * segment length`: so boundaries never drift, whatever the frame rate,
/// and both sides can find them without knowing each other. GOPs begin in the same way at every multiple of
/// the GOP length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeline {
    segment_ms: u64,
    gop_ms: u64,
    num: u64,
    den: u64,
    scale: u64,
}

impl Timeline {
    /// `frame_rate` is numerator and denominator, both above 0 (0 is taken as 1).
    #[must_use]
    pub fn new(segment_ms: u32, gop_ms: u32, frame_rate: (u32, u32)) -> Self {
        let (num, den) = (u64::from(frame_rate.0.max(1)), u64::from(frame_rate.1.max(1)));
        // Whole ticks a frame, at least 10 000 ticks a second.
        let scale = if num >= 10_000 { 1 } else { 1000 };
        Self { segment_ms: u64::from(segment_ms.max(1)), gop_ms: u64::from(gop_ms.max(1)), num, den, scale }
    }

    /// Ticks a second of the video tracks.
    #[must_use]
    pub fn video_timescale(&self) -> u32 {
        (self.num * self.scale) as u32
    }

    /// Ticks that a frame lasts.
    #[must_use]
    pub fn frame_ticks(&self) -> u32 {
        (self.den * self.scale) as u32
    }

    /// When frame `n` is shown, in nanoseconds from the beginning, rounded to the nearest.
    #[must_use]
    pub fn frame_ns(&self, n: u64) -> u64 {
        ((u128::from(n) * u128::from(self.den) * NANOS + u128::from(self.num) / 2) / u128::from(self.num))
            as u64
    }

    /// The frame that is shown at `ns`, rounded to the nearest.
    #[must_use]
    pub fn frame_at(&self, ns: u64) -> u64 {
        let unit = u128::from(self.den) * NANOS;
        ((u128::from(ns) * u128::from(self.num) + unit / 2) / unit) as u64
    }

    /// First frame of segment `k`, `k` counted from 0.
    #[must_use]
    pub fn first_frame(&self, k: u64) -> u64 {
        (k * self.segment_ms * self.num).div_ceil(1000 * self.den)
    }

    /// The segment, counted from 0, that holds frame `n`.
    #[must_use]
    pub fn segment_of_frame(&self, n: u64) -> u64 {
        n * 1000 * self.den / (self.segment_ms * self.num)
    }

    /// Frame `n` begins a GOP.
    #[must_use]
    pub fn is_key(&self, n: u64) -> bool {
        let period = |n: u64| n * 1000 * self.den / (self.gop_ms * self.num);
        n == 0 || period(n) != period(n - 1)
    }

    /// First AAC frame of segment `k`.
    #[must_use]
    pub fn first_unit(&self, k: u64) -> u64 {
        (k * self.segment_ms * u64::from(SAMPLE_RATE)).div_ceil(1000 * AAC_SAMPLES)
    }

    /// The segment, counted from 0, that holds AAC frame `unit`.
    #[must_use]
    pub fn segment_of_unit(&self, unit: u64) -> u64 {
        unit * AAC_SAMPLES * 1000 / (self.segment_ms * u64::from(SAMPLE_RATE))
    }

    /// AAC frames that cover `ns`, give or take one, so that they reach into exactly the segments that
    /// `frames` video frames reach into.
    #[must_use]
    pub fn units_for(&self, ns: u64, frames: u64) -> u64 {
        let samples = (u128::from(ns) * u128::from(SAMPLE_RATE)).div_ceil(NANOS) as u64;
        let cover = samples.div_ceil(AAC_SAMPLES).max(1);
        match frames.checked_sub(1) {
            Some(last) => {
                let segment = self.segment_of_frame(last);
                cover.clamp(self.first_unit(segment) + 1, self.first_unit(segment + 1))
            }
            None => cover,
        }
    }

    /// When segment `k` starts, nominally, in nanoseconds.
    #[must_use]
    pub fn segment_ns(&self, k: u64) -> u64 {
        k * self.segment_ms * 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [(u32, u32); 8] =
        [(25, 1), (24_000, 1001), (30_000, 1001), (24, 1), (30, 1), (60_000, 1001), (50, 1), (7, 1)];

    #[test]
    fn segments_start_at_the_first_frame_at_or_after_each_boundary() {
        for rate in RATES {
            let timeline = Timeline::new(4000, 2000, rate);
            for k in 1..2000 {
                let first = timeline.first_frame(k);
                assert!(u128::from(first) * u128::from(rate.1) >= u128::from(k) * 4 * u128::from(rate.0));
                assert!(u128::from(first - 1) * u128::from(rate.1) < u128::from(k) * 4 * u128::from(rate.0));
                assert_eq!(timeline.segment_of_frame(first), k, "{rate:?}");
                assert_eq!(timeline.segment_of_frame(first - 1), k - 1, "{rate:?}");
                assert!(timeline.is_key(first), "{rate:?} segment {k}");
            }
        }
    }

    #[test]
    fn audio_and_video_boundaries_stay_within_a_frame_of_each_other_for_hours() {
        for rate in RATES {
            let timeline = Timeline::new(4000, 2000, rate);
            for k in [1, 10, 901, 9000] {
                let unit = timeline.first_unit(k);
                assert_eq!(timeline.segment_of_unit(unit), k);
                assert_eq!(timeline.segment_of_unit(unit - 1), k - 1);
                let audio = unit as f64 * 1024.0 / 48_000.0;
                let nominal = k as f64 * 4.0;
                assert!((0.0..0.0214).contains(&(audio - nominal)), "{audio} {nominal}");
                let frame = 1e9 * f64::from(rate.1) / f64::from(rate.0);
                assert!((timeline.frame_ns(timeline.first_frame(k)) as f64 - nominal * 1e9) < frame);
            }
        }
    }

    #[test]
    fn frame_times_round_trip_and_ticks_are_whole() {
        for rate in RATES {
            let timeline = Timeline::new(4000, 2000, rate);
            for n in [0, 1, 2, 100, 12_345, 1_000_001] {
                assert_eq!(timeline.frame_at(timeline.frame_ns(n)), n);
            }
            let seconds = f64::from(timeline.frame_ticks()) / f64::from(timeline.video_timescale());
            assert!((seconds - f64::from(rate.1) / f64::from(rate.0)).abs() < 1e-12);
        }
    }

    #[test]
    fn both_sides_get_the_same_number_of_segments() {
        for rate in RATES {
            let timeline = Timeline::new(4000, 2000, rate);
            for frames in 1..2000 {
                let units = timeline.units_for(timeline.frame_ns(frames), frames);
                assert_eq!(
                    timeline.segment_of_unit(units - 1),
                    timeline.segment_of_frame(frames - 1),
                    "{rate:?} {frames}"
                );
            }
        }
    }
}
