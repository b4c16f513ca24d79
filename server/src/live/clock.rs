//! From a publisher's clock to the stream's timeline.
//!
//! Every connection has a clock of its own, with any origin, and clocks jump. The timeline begins at 0 with the
//! stream's first unit, only goes forward, and keeps pace with the wall clock over outages, so that what DASH
//! calls the availability start never has to move.

use super::LiveUnit;
use crate::store::TrackKind;

const SECOND: i64 = 1_000_000_000;
/// A unit this much before the last one of its track is not merely out of order.
const BACKWARDS: i64 = SECOND;
/// A unit this much after everything before it does not follow from it.
const FORWARDS: i64 = 5 * SECOND;
/// Units that agree on another clock before it is believed.
const WITNESSES: usize = 3;
/// Units that may be held while it is not clear which clock is right.
const HELD: usize = 32;

/// What a unit's time stamp says about the clock.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It follows from what came before.
    Good,
    /// It does not; it is held until others tell.
    Held,
    /// Enough units agree: the clock jumped. These are they.
    Jumped(Vec<LiveUnit>),
}

/// Watches one connection's time stamps for jumps.
#[derive(Debug, Default)]
pub(super) struct JumpWatch {
    last: [Option<i64>; 2],
    held: Vec<LiveUnit>,
    /// Units that were thrown away because they stood alone with their time.
    pub(super) strays: u64,
}

pub(super) fn slot(kind: TrackKind) -> usize {
    usize::from(kind != TrackKind::Video)
}

impl JumpWatch {
    /// The clock starts anew.
    pub(super) fn reset(&mut self) {
        self.last = [None; 2];
        self.strays += self.held.len() as u64;
        self.held.clear();
    }

    /// Looks at a unit. On [`Verdict::Held`] and [`Verdict::Jumped`] the unit was taken (a clone, which shares
    /// its data).
    pub(super) fn see(&mut self, unit: &LiveUnit) -> Verdict {
        let own = self.last.get(slot(unit.kind)).copied().flatten();
        let newest = self.last.iter().flatten().max().copied();
        let follows = match (own, newest) {
            (_, None) => true,
            (Some(own), Some(newest)) => {
                unit.dts_ns >= own.saturating_sub(BACKWARDS) && unit.dts_ns <= newest.saturating_add(FORWARDS)
            }
            (None, Some(newest)) => unit.dts_ns.abs_diff(newest) <= FORWARDS as u64,
        };
        if follows {
            // Whoever stood alone was wrong.
            self.strays += self.held.len() as u64;
            self.held.clear();
            self.note(unit);
            return Verdict::Good;
        }
        let agrees = self.held.last().is_none_or(|last| {
            let step = unit.dts_ns.saturating_sub(last.dts_ns);
            (-BACKWARDS..=FORWARDS).contains(&step)
        });
        if !agrees || self.held.len() >= HELD {
            self.strays += self.held.len() as u64;
            self.held.clear();
        }
        self.held.push(unit.clone());
        // A burst of equal time stamps is no clock.
        let times = || self.held.iter().map(|unit| unit.dts_ns);
        let moves = times().min() != times().max();
        if self.held.len() < WITNESSES || !moves {
            return Verdict::Held;
        }
        let held = std::mem::take(&mut self.held);
        self.last = [None; 2];
        for unit in &held {
            self.note(unit);
        }
        Verdict::Jumped(held)
    }

    fn note(&mut self, unit: &LiveUnit) {
        if let Some(last) = self.last.get_mut(slot(unit.kind)) {
            *last = Some(last.map_or(unit.dts_ns, |last| last.max(unit.dts_ns)));
        }
    }
}

/// Units this close to the one before them, of the same track, were not stamped by a clock.
const NO_STEP: u64 = 1_500_000;
/// So many of them in a row, and it is told.
const STANDING: u32 = 50;

/// Watches for a publisher whose time stamps stay the same.
#[derive(Debug, Default)]
pub(super) struct Standstill {
    last: [Option<i64>; 2],
    in_a_row: [u32; 2],
}

impl Standstill {
    /// The clock starts anew.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Looks at a unit. `true` when the clock of its track stands still.
    pub(super) fn see(&mut self, unit: &LiveUnit) -> bool {
        let slot = slot(unit.kind);
        let (Some(last), Some(in_a_row)) = (self.last.get_mut(slot), self.in_a_row.get_mut(slot)) else {
            return false;
        };
        let stands = last.replace(unit.dts_ns).is_some_and(|last| unit.dts_ns.abs_diff(last) <= NO_STEP);
        *in_a_row = if stands { in_a_row.saturating_add(1) } else { 0 };
        *in_a_row >= STANDING
    }
}

/// Where a connection's clock stands on the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    /// The publisher's presentation time ...
    pub(super) theirs_ns: i64,
    /// ... that is this time of the stream.
    pub(super) ours_ns: u64,
    /// Added to decode times of pictures, so that a key frame is decoded when it is shown: segments begin at
    /// their first sample's decode time then, whatever the reordering. Settled anew with each of them.
    pub(super) reorder_ns: i64,
}

impl Anchor {
    /// [`reorder_ns`](Self::reorder_ns) as a length of time.
    pub(super) fn reorder(&self) -> u64 {
        self.reorder_ns.max(0).unsigned_abs()
    }

    /// The stream's time of the publisher's; `None` for what lies before the beginning.
    pub(super) fn map(&self, theirs_ns: i64) -> Option<u64> {
        let distance = i128::from(theirs_ns) - i128::from(self.theirs_ns);
        u64::try_from(i128::from(self.ours_ns) + distance).ok().filter(|_| distance >= 0)
    }

    /// As [`map`](Self::map) for presentation times, which may lie a little before the key frame that the
    /// anchor was dropped at: such frames are shown with it.
    pub(super) fn map_or_start(&self, theirs_ns: i64) -> u64 {
        self.map(theirs_ns).unwrap_or(self.ours_ns)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn unit(kind: TrackKind, ms: i64) -> LiveUnit {
        let ns = ms * 1_000_000;
        LiveUnit { kind, dts_ns: ns, pts_ns: ns, key: true, data: Bytes::new() }
    }

    fn run(times: &[i64]) -> (Vec<i64>, Vec<i64>, u64) {
        let mut watch = JumpWatch::default();
        let (mut good, mut jumps) = (Vec::new(), Vec::new());
        for ms in times {
            match watch.see(&unit(TrackKind::Video, *ms)) {
                Verdict::Good => good.push(*ms),
                Verdict::Held => {}
                Verdict::Jumped(held) => jumps.push(held[0].dts_ns / 1_000_000),
            }
        }
        watch.reset();
        (good, jumps, watch.strays)
    }

    #[test]
    fn a_jump_is_believed_when_several_units_agree() {
        type Row<'a> = (&'a [i64], &'a [i64], &'a [i64], u64);
        let rows: [Row<'_>; 6] = [
            (&[0, 40, 80, 120], &[0, 40, 80, 120], &[], 0),
            // backwards: the publisher's clock started anew
            (&[90_000, 90_040, 0, 40, 80, 120], &[90_000, 90_040, 120], &[0], 0),
            // forwards
            (&[0, 40, 99_000, 99_040, 99_080], &[0, 40], &[99_000], 0),
            // a burst of zeros inside a stream
            (&[60_000, 60_040, 0, 0, 0, 0, 60_080, 60_120], &[60_000, 60_040, 60_080, 60_120], &[], 4),
            // a single stray
            (&[60_000, 900_000, 60_040], &[60_000, 60_040], &[], 1),
            // a little out of order is not a jump
            (&[0, 40, 20, 80, 4000], &[0, 40, 20, 80, 4000], &[], 0),
        ];
        for (times, good, jumps, strays) in rows {
            assert_eq!(run(times), (good.to_vec(), jumps.to_vec(), strays), "{times:?}");
        }
    }

    #[test]
    fn endless_bursts_of_equal_times_are_bounded() {
        let mut watch = JumpWatch::default();
        watch.see(&unit(TrackKind::Video, 60_000));
        for _ in 0..1000 {
            assert_eq!(watch.see(&unit(TrackKind::Video, 0)), Verdict::Held);
            assert!(watch.held.len() <= HELD);
        }
        assert!(watch.strays >= 900);
    }

    #[test]
    fn a_clock_that_stands_still_is_seen_and_one_that_stutters_is_none() {
        let mut still = Standstill::default();
        // Stamps of 0 come as steps of a millisecond: see the RTMP clock.
        let seen = (0..60).position(|ms| still.see(&unit(TrackKind::Video, ms)));
        assert_eq!(seen, Some(50));
        assert!(!still.see(&unit(TrackKind::Video, 100)));
        still.reset();
        // Bursts of 40 equal ones, 240 pictures a second, the other track between.
        for n in 0..1000 {
            assert!(!still.see(&unit(TrackKind::Video, n / 40 * 1000)));
            assert!(!still.see(&unit(TrackKind::Audio, n * 25 / 6)));
        }
    }

    #[test]
    fn sound_that_pauses_while_pictures_go_on_is_no_jump() {
        let mut watch = JumpWatch::default();
        assert_eq!(watch.see(&unit(TrackKind::Audio, 0)), Verdict::Good);
        for ms in (0..20_000).step_by(40) {
            assert_eq!(watch.see(&unit(TrackKind::Video, ms)), Verdict::Good);
        }
        assert_eq!(watch.see(&unit(TrackKind::Audio, 20_000)), Verdict::Good);
    }

    #[test]
    fn times_that_do_not_fit_a_clock_are_no_panic() {
        let mut watch = JumpWatch::default();
        for ns in [i64::MIN, i64::MAX, 0, -1, i64::MIN, i64::MAX, i64::MAX - 1, 1] {
            let mut odd = unit(TrackKind::Video, 0);
            odd.dts_ns = ns;
            watch.see(&odd);
        }
        let anchor = Anchor { theirs_ns: i64::MIN, ours_ns: u64::MAX, reorder_ns: 0 };
        assert_eq!(anchor.map(i64::MAX), None);
        assert_eq!(Anchor { theirs_ns: 10, ours_ns: 5, reorder_ns: 0 }.map(9), None);
        assert_eq!(Anchor { theirs_ns: 10, ours_ns: 5, reorder_ns: 0 }.map(12), Some(7));
    }
}
