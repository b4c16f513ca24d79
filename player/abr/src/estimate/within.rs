//! A change of the link within one transfer.
//!
//! A transfer's mean says what the link did while it ran, not what it does now: one that began at 5 Mbit/s and ended at
//! 0.6 says 2.4. Where the rate up to some moment and the rate from there on differ by far, the two are samples of their
//! own. The moment is the likeliest one (maximum likelihood of a Poisson process with one change of its rate; Page,
//! Biometrika 1955, for the problem).

use std::time::Duration;

use super::Sample;

/// Moments that are remembered; when they get too many, every other one is forgotten.
const MARKS: usize = 64;
/// The time between two of them at first.
const APART: Duration = Duration::from_millis(90);
/// Neither part is shorter than this: rates that vary from second to second are told better by their mean.
const SHORTEST: Duration = Duration::from_millis(2500);
/// So many times as fast as the second part the first one must be.
const FALL: f64 = 3.0;
/// And so many times as fast as the first part the second one: an outage is over.
const RETURN: f64 = 4.0;
/// What the link does at the very end is taken over this time: a pause that is over is no fall.
const END: Duration = Duration::from_millis(500);

/// The course of one measured stretch.
#[derive(Clone, Debug)]
pub struct Within {
    marks: Vec<Sample>,
    /// Least time between two marks.
    apart: Duration,
}

impl Default for Within {
    fn default() -> Self {
        Self { marks: Vec::with_capacity(MARKS), apart: APART }
    }
}

impl Within {
    /// The stretch has come to this.
    pub fn mark(&mut self, so_far: Sample) {
        if self.marks.last().is_some_and(|last| so_far.busy < last.busy + self.apart) {
            return;
        }
        if self.marks.len() == MARKS {
            let mut at = 0;
            self.marks.retain(|_| {
                at += 1;
                at % 2 == 0
            });
            self.apart *= 2;
        }
        self.marks.push(so_far);
    }

    /// The stretch is over and a new one begins.
    pub fn clear(&mut self) {
        self.marks.clear();
        self.apart = APART;
    }

    /// The two parts of `whole`, when the link has fallen for good in it, or come back.
    pub fn split(&self, whole: &Sample) -> Option<(Sample, Sample)> {
        let rest = |from: &Sample| Sample {
            bytes: whole.bytes.saturating_sub(from.bytes),
            busy: whole.busy.saturating_sub(from.busy),
            silent: whole.silent.saturating_sub(from.silent),
            outages: whole.outages.saturating_sub(from.outages),
        };
        let likelihood = |sample: &Sample| sample.bytes as f64 * sample.bps().max(1.0).ln();
        let both = |parts: &(Sample, Sample)| likelihood(&parts.0) + likelihood(&parts.1);
        let parts = self
            .marks
            .iter()
            .map(|mark| (*mark, rest(mark)))
            .filter(|(before, after)| before.busy >= SHORTEST && after.busy >= SHORTEST);
        let (before, after) = parts.max_by(|a, b| both(a).total_cmp(&both(b)))?;
        let end = self.marks.iter().rev().find(|mark| whole.busy >= mark.busy + END).map(rest)?;
        let fell = after.bps().max(end.bps()) * FALL <= before.bps();
        let returned = after.bps().min(end.bps()) >= RETURN * before.bps();
        (fell || returned).then_some((before, after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Marks every 100 ms at these rates in kbit/s, each for so many seconds; and all of it.
    fn course(rates: &[(u64, u64)]) -> (Within, Sample) {
        let mut within = Within::default();
        let mut sample = Sample::default();
        for (kbps, seconds) in rates {
            for _ in 0..seconds * 10 {
                sample.bytes += kbps * 125 / 10;
                sample.busy += Duration::from_millis(100);
                within.mark(sample);
            }
        }
        (within, sample)
    }

    #[test]
    fn a_fall_is_found_where_it_was() {
        let (within, whole) = course(&[(5000, 3), (600, 4)]);
        let (before, after) = within.split(&whole).unwrap();
        assert!((before.bps() - 5e6).abs() < 1e4 && (after.bps() - 6e5).abs() < 1e4, "{before:?} {after:?}");
        assert_eq!(after.busy, Duration::from_secs(4));
        assert_eq!(before.bytes + after.bytes, whole.bytes);
    }

    #[test]
    fn an_outage_that_is_over_is_told_from_what_comes_after_it() {
        let (within, whole) = course(&[(100, 6), (5000, 3)]);
        let (before, after) = within.split(&whole).unwrap();
        assert!((before.bps() - 1e5).abs() < 1e3 && (after.bps() - 5e6).abs() < 1e4, "{before:?} {after:?}");
    }

    #[test]
    fn a_pause_that_is_over_a_short_dip_and_a_steady_link_are_no_fall() {
        for rates in [
            &[(5000, 3), (0, 3), (5000, 1)][..],
            &[(5000, 5), (600, 1)],
            &[(5000, 3), (2500, 5)],
            &[(5000, 9)],
            &[(1500, 4), (5000, 4)],
        ] {
            let (within, whole) = course(rates);
            assert_eq!(within.split(&whole), None, "{rates:?}");
        }
    }

    #[test]
    fn a_long_course_keeps_few_marks_and_still_shows_its_fall() {
        let (within, whole) = course(&[(5000, 60), (600, 60)]);
        assert!(within.marks.len() <= MARKS && within.marks.capacity() == MARKS);
        let (before, after) = within.split(&whole).unwrap();
        assert!(before.bps() > 4e6 && after.bps() < 8e5, "{before:?} {after:?}");
    }

    #[test]
    fn nothing_is_left_of_a_course_that_was_taken() {
        let (mut within, whole) = course(&[(5000, 3), (600, 4)]);
        within.clear();
        assert_eq!(within.split(&whole), None);
    }
}
