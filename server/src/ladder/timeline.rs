//! The one clock of a stream: which frame and which audio frame lie in which segment, in whole numbers.

use std::sync::Arc;

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
///
/// Beside a rung that is not encoded, segments begin at its key frames instead: at the frame nearest to each of
/// the given cuts, and the AAC frame at or after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    segment_ms: u64,
    gop_ms: u64,
    num: u64,
    den: u64,
    scale: u64,
    /// Where segments begin instead, in nanoseconds, the first at 0.
    cuts: Option<Arc<[u64]>>,
}

impl Timeline {
    /// `frame_rate` is numerator and denominator, both above 0 (0 is taken as 1).
    #[must_use]
    pub fn new(segment_ms: u32, gop_ms: u32, frame_rate: (u32, u32)) -> Self {
        let (num, den) = (u64::from(frame_rate.0.max(1)), u64::from(frame_rate.1.max(1)));
        // Whole ticks a frame, at least 10 000 ticks a second.
        let scale = if num >= 10_000 { 1 } else { 1000 };
        Self {
            segment_ms: u64::from(segment_ms.max(1)),
            gop_ms: u64::from(gop_ms.max(1)),
            num,
            den,
            scale,
            cuts: None,
        }
    }

    /// The same with segments that begin at `cuts`, nanoseconds in rising order, the first at 0.
    #[must_use]
    pub fn cut_at(mut self, cuts: &[u64]) -> Self {
        self.cuts = Some(cuts.into());
        self
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
        if let Some(cuts) = &self.cuts {
            return cuts.get(k as usize).map_or(u64::MAX, |cut| self.frame_at(*cut));
        }
        (k * self.segment_ms * self.num).div_ceil(1000 * self.den)
    }

    /// The segment, counted from 0, that holds frame `n`.
    #[must_use]
    pub fn segment_of_frame(&self, n: u64) -> u64 {
        if let Some(cuts) = &self.cuts {
            return segment_of(cuts, |cut| self.frame_at(cut) <= n);
        }
        n * 1000 * self.den / (self.segment_ms * self.num)
    }

    /// Frame `n` begins a GOP.
    #[must_use]
    pub fn is_key(&self, n: u64) -> bool {
        let (n, cut) = match &self.cuts {
            Some(_) => {
                let first = self.first_frame(self.segment_of_frame(n));
                (n.saturating_sub(first), n == first)
            }
            None => (n, false),
        };
        let period = |n: u64| n * 1000 * self.den / (self.gop_ms * self.num);
        cut || n == 0 || period(n) != period(n - 1)
    }

    /// First AAC frame of segment `k`.
    #[must_use]
    pub fn first_unit(&self, k: u64) -> u64 {
        if let Some(cuts) = &self.cuts {
            return cuts.get(k as usize).map_or(u64::MAX, |cut| unit_after(*cut));
        }
        (k * self.segment_ms * u64::from(SAMPLE_RATE)).div_ceil(1000 * AAC_SAMPLES)
    }

    /// The segment, counted from 0, that holds AAC frame `unit`.
    #[must_use]
    pub fn segment_of_unit(&self, unit: u64) -> u64 {
        if let Some(cuts) = &self.cuts {
            return segment_of(cuts, |cut| unit_after(cut) <= unit);
        }
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
        match &self.cuts {
            Some(cuts) => cuts.get(k as usize).or(cuts.last()).copied().unwrap_or(0),
            None => k * self.segment_ms * 1_000_000,
        }
    }

    /// Length that segments aim at, in nanoseconds.
    #[must_use]
    pub fn segment_length_ns(&self) -> u64 {
        self.segment_ms * 1_000_000
    }
}

/// The last of the cuts that `begun` holds for.
fn segment_of(cuts: &[u64], begun: impl Fn(u64) -> bool) -> u64 {
    (cuts.partition_point(|cut| begun(*cut)) as u64).saturating_sub(1)
}

/// The first AAC frame at or after a time in nanoseconds.
fn unit_after(ns: u64) -> u64 {
    (u128::from(ns) * u128::from(SAMPLE_RATE)).div_ceil(u128::from(AAC_SAMPLES) * NANOS) as u64
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

    #[test]
    fn cuts_at_key_frames_of_the_source_bind_both_sides() {
        for rate in RATES {
            let cuts: Vec<u64> = [0, 3_600, 4_400, 8_000, 12_200].map(|ms| ms * 1_000_000).to_vec();
            let timeline = Timeline::new(4000, 2000, rate).cut_at(&cuts);
            for (k, cut) in cuts.iter().enumerate().skip(1) {
                let (k, first) = (k as u64, timeline.first_frame(k as u64));
                assert_eq!(
                    (timeline.segment_of_frame(first), timeline.segment_of_frame(first - 1)),
                    (k, k - 1)
                );
                assert!(timeline.is_key(first));
                let frame = 1e9 * f64::from(rate.1) / f64::from(rate.0);
                assert!((timeline.frame_ns(first) as f64 - *cut as f64).abs() <= frame / 2.0 + 1.0);
                let unit = timeline.first_unit(k);
                assert_eq!((timeline.segment_of_unit(unit), timeline.segment_of_unit(unit - 1)), (k, k - 1));
            }
            assert_eq!(timeline.segment_of_frame(1_000_000), 4, "the last one has no end");
            let frames = timeline.frame_at(14_000_000_000);
            let units = timeline.units_for(14_000_000_000, frames);
            assert_eq!(timeline.segment_of_unit(units - 1), timeline.segment_of_frame(frames - 1));
            let keys: Vec<u64> = (0..frames).filter(|n| timeline.is_key(*n)).collect();
            let times: Vec<u64> = keys.iter().map(|n| timeline.frame_ns(*n) / 1_000_000).collect();
            assert_eq!(times.len(), 9, "a GOP is never longer than 2 s: {times:?}");
        }
    }
}
