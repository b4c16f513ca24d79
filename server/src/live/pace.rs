//! How far behind the time a publisher's pictures are, to know when one does not come.

/// Longer than this nothing is waited for.
const LONGEST_NS: u64 = 1_500_000_000;
/// More is not told apart.
const FURTHEST_NS: u64 = 2 * LONGEST_NS;
/// Waited for beyond what was seen.
const MARGIN_NS: u64 = 60_000_000;
/// How long something that was seen counts, about.
const MEMORY_NS: u64 = 2_000_000_000;
/// Clocks differ by up to one part in so many.
const DRIFT: u64 = 4000;

/// Follows the pictures of one take. The time is that of the sound where there is some, else that of the wall clock.
#[derive(Debug)]
pub(super) struct Pace {
    /// How much later than the earliest ones pictures come, by the time.
    lag_ns: u64,
    /// When the newest picture is decoded.
    last_ns: u64,
    /// What the wall clock was when the stream's time was 0, as far as the earliest pictures tell.
    origin_ns: Option<u64>,
}

impl Pace {
    /// Before anything is known pictures are expected to be late by `lag_ns`.
    pub(super) fn new(lag_ns: u64) -> Self {
        Self { lag_ns, last_ns: 0, origin_ns: None }
    }

    /// A picture has come that is decoded at `at_ns`; the sound had got to `sound_ns`, and the wall clock to `wall_ns`.
    pub(super) fn arrived(&mut self, at_ns: u64, sound_ns: Option<u64>, wall_ns: u64) {
        let elapsed = at_ns.saturating_sub(self.last_ns).min(MEMORY_NS);
        self.last_ns = self.last_ns.max(at_ns);
        let origin = wall_ns.saturating_sub(at_ns);
        let known = self.origin_ns.map_or(u64::MAX, |known| known.saturating_add(elapsed / DRIFT));
        self.origin_ns = Some(origin.min(known));
        let clock = sound_ns.or_else(|| self.reading(wall_ns)).unwrap_or(at_ns);
        let faded =
            self.lag_ns - (u128::from(self.lag_ns) * u128::from(elapsed) / u128::from(MEMORY_NS)) as u64;
        self.lag_ns = faded.max(clock.saturating_sub(at_ns)).min(FURTHEST_NS);
    }

    /// How long a picture is waited for. Where they come so late that nobody would wait, they are not guessed at.
    fn slack(&self) -> Option<u64> {
        (self.lag_ns <= LONGEST_NS).then(|| (self.lag_ns + self.lag_ns / 4 + MARGIN_NS).min(LONGEST_NS))
    }

    /// Whether a picture of `due_ns` would have come when the time is `clock_ns`.
    pub(super) fn is_late(&self, due_ns: u64, clock_ns: u64) -> bool {
        self.slack().is_some_and(|slack| clock_ns >= due_ns.saturating_add(slack))
    }

    /// The stream's time by the wall clock.
    pub(super) fn reading(&self, wall_ns: u64) -> Option<u64> {
        self.origin_ns.map(|origin| wall_ns.saturating_sub(origin))
    }

    /// When a picture of `due_ns` is late, by the wall clock.
    pub(super) fn due_at(&self, due_ns: u64) -> Option<u64> {
        Some(due_ns.saturating_add(self.slack()?).saturating_add(self.origin_ns?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const WALL: u64 = 1_700_000_000_000 * MS;

    #[test]
    fn pictures_that_come_evenly_are_soon_missed() {
        let mut pace = Pace::new(500 * MS);
        for n in 0..400 {
            pace.arrived(n * 33 * MS, None, WALL + n * 33 * MS + n % 3 * 4 * MS);
        }
        let due = 400 * 33 * MS;
        let late = pace.due_at(due).unwrap() - WALL - due;
        assert!((60 * MS..120 * MS).contains(&late), "{late}");
        assert!(pace.is_late(due, due + 120 * MS) && !pace.is_late(due, due + 50 * MS));
    }

    #[test]
    fn pictures_that_come_behind_the_sound_are_waited_for() {
        let mut pace = Pace::new(500 * MS);
        for n in 0..400 {
            pace.arrived(n * 33 * MS, Some(n * 33 * MS + 300 * MS), WALL);
        }
        let due = 400 * 33 * MS;
        assert!(!pace.is_late(due, due + 300 * MS) && pace.is_late(due, due + 500 * MS));
    }

    #[test]
    fn pictures_that_come_too_far_behind_the_sound_are_not_missed() {
        let mut pace = Pace::new(500 * MS);
        for n in 0..100 {
            pace.arrived(n * 40 * MS, Some(n * 40 * MS + 2000 * MS), WALL);
        }
        assert!(!pace.is_late(4000 * MS, 100_000 * MS));
        // They have caught up.
        for n in 100..200 {
            pace.arrived(n * 40 * MS, Some(n * 40 * MS + 100 * MS), WALL);
        }
        assert!(pace.is_late(8000 * MS, 9500 * MS));
    }

    #[test]
    fn a_clock_that_runs_slow_is_followed() {
        // 100 parts in a million: a third of a second an hour.
        let mut pace = Pace::new(500 * MS);
        for n in 0..3600 {
            pace.arrived(n * 1000 * MS, None, WALL + n * 1000 * MS + n * 100_000);
        }
        let due = 3600 * 1000 * MS;
        let late = pace.due_at(due).unwrap() - WALL - due - 360 * MS;
        assert!((50 * MS..100 * MS).contains(&late), "{late}");
    }
}
