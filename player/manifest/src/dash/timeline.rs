//! `SegmentTimeline` (ISO/IEC 23009-1, 5.3.9.6): arithmetic on runs of equal segments.

/// One `S`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `@t`.
    pub(crate) time: Option<u64>,
    /// `@d`.
    pub(crate) duration: u64,
    /// `@r`.
    pub(crate) repeat: i64,
    /// `@n`: number of the first one.
    pub(crate) number: Option<u64>,
    /// `@k`: each is a sequence of so many segments, which share its number and time.
    pub(crate) sequence: Option<u64>,
}

/// Equal segments in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Start of the first one, in ticks of media time.
    time: u64,
    /// Length of each sequence, in ticks, at least 1.
    duration: u64,
    /// Segments in each sequence, at least 1.
    sequence: u64,
    /// How many segments; `None` in the last run: until the Period ends.
    count: Option<u64>,
    /// How many segments stand before it.
    index: u64,
    /// What its numbers are counted from.
    number: Number,
}

/// The number of a run's first sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    /// So many after `@startNumber`.
    After(u64),
    /// Given.
    Is(u64),
}

impl Number {
    fn plus(self, count: u64) -> Self {
        match self {
            Self::After(number) => Self::After(number.saturating_add(count)),
            Self::Is(number) => Self::Is(number.saturating_add(count)),
        }
    }

    fn from(self, start: u64) -> u64 {
        match self {
            Self::After(number) => start.saturating_add(number),
            Self::Is(number) => number,
        }
    }
}

impl Run {
    fn start(&self, index: u64) -> u128 {
        let ticks = u128::from(index.saturating_sub(self.index)) * u128::from(self.duration);
        u128::from(self.time) + ticks / u128::from(self.sequence)
    }

    fn end(&self, index: u64) -> u128 {
        self.start(index.saturating_add(1))
    }

    /// Segments up to `fitting`, counted from its own start, and all before it.
    fn up_to(&self, fitting: u128) -> u64 {
        let fitting = u64::try_from(fitting).unwrap_or(u64::MAX);
        self.index.saturating_add(self.count.map_or(fitting, |count| count.min(fitting)))
    }
}

/// Runs by rising time; a plain `@duration` is one open run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timeline(Vec<Run>);

impl Timeline {
    /// Takes `S` elements. A `@t` within the segment before it is believed, for it is part of the address (packagers
    /// round); one that goes back further is moved to the end of what stands before it.
    pub(crate) fn new(entries: impl Iterator<Item = Entry>) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut end = 0_u64;
        // Start of the last sequence so far.
        let mut last = None;
        let mut index = 0_u64;
        let mut number = Number::After(0);
        for entry in entries {
            let time = entry.time;
            if let Some(open) = runs.last_mut().filter(|run| run.count.is_none()) {
                // r=-1 in the middle: up to here.
                let until =
                    time.unwrap_or(open.time.saturating_add(open.duration)).max(open.time.saturating_add(1));
                let sequences = (until - open.time).div_ceil(open.duration);
                let count = sequences.saturating_mul(open.sequence);
                open.count = Some(count);
                index = index.saturating_add(count);
                number = number.plus(sequences);
                end = until;
                last = Some(until.saturating_sub(1));
            }
            let duration = entry.duration.max(1);
            let sequence = entry.sequence.unwrap_or(1).max(1);
            let time = match time {
                Some(time) if last.is_none_or(|last| time > last) => time,
                other => other.unwrap_or(end).max(end),
            };
            let goes_on = entry.number.is_none_or(|given| Number::Is(given) == number);
            number = entry.number.map_or(number, Number::Is);
            let sequences = u64::try_from(entry.repeat).ok().map(|repeat| repeat.saturating_add(1));
            let count = sequences.map(|sequences| sequences.saturating_mul(sequence));
            // Many packagers write each segment on its own: those that go on alike are one run.
            let alike = runs.last_mut().filter(|run| {
                let until = run.count.map(|count| run.start(run.index.saturating_add(count)));
                goes_on
                    && (run.duration, run.sequence) == (duration, sequence)
                    && until == Some(u128::from(time))
            });
            match (alike.map(|run| &mut run.count), count) {
                (Some(Some(known)), Some(more)) => *known = known.saturating_add(more),
                _ => runs.push(Run { time, duration, sequence, count, index, number }),
            }
            if let (Some(sequences), Some(count)) = (sequences, count) {
                end = time.saturating_add(duration.saturating_mul(sequences));
                last = Some(end.saturating_sub(duration).max(time));
                index = index.saturating_add(count);
                number = number.plus(sequences);
            }
        }
        Self(runs)
    }

    pub(crate) fn constant(time: u64, duration: u64) -> Self {
        let number = Number::After(0);
        Self(vec![Run { time, duration: duration.max(1), sequence: 1, count: None, index: 0, number }])
    }

    /// Segments in all; `None` when the last run is open.
    pub(crate) fn total(&self) -> Option<u64> {
        let Some(last) = self.0.last() else { return Some(0) };
        Some(last.index.saturating_add(last.count?))
    }

    /// How many segments start before `limit`.
    pub(crate) fn starting_before(&self, limit: u128) -> u64 {
        let at = self.0.partition_point(|run| u128::from(run.time) < limit);
        let Some(run) = at.checked_sub(1).and_then(|at| self.0.get(at)) else { return 0 };
        let scaled = (limit - u128::from(run.time)).saturating_mul(u128::from(run.sequence));
        run.up_to(scaled.div_ceil(u128::from(run.duration)))
    }

    /// How many segments end at or before `limit`.
    pub(crate) fn ending_by(&self, limit: u128) -> u64 {
        let at = self.0.partition_point(|run| run.end(run.index) <= limit);
        let Some(run) = at.checked_sub(1).and_then(|at| self.0.get(at)) else { return 0 };
        // An end in the middle of a tick is rounded down to it.
        let after = (limit - u128::from(run.time)).saturating_add(1).saturating_mul(u128::from(run.sequence));
        run.up_to(after.div_ceil(u128::from(run.duration)) - 1)
    }

    /// How many segments have numbers up to `last`, where the numbers begin at `start`.
    pub(crate) fn numbered_to(&self, last: u64, start: u64) -> u64 {
        let at = self.0.partition_point(|run| run.number.from(start) <= last);
        let Some(run) = at.checked_sub(1).and_then(|at| self.0.get(at)) else { return 0 };
        let sequences = u128::from(last - run.number.from(start)) + 1;
        run.up_to(sequences.saturating_mul(u128::from(run.sequence)))
    }

    /// Start and length in ticks of segment `index`, counted from 0.
    pub(crate) fn at(&self, index: u64) -> Option<(u64, u64)> {
        let run = self.run(index)?;
        let start = u64::try_from(run.start(index)).unwrap_or(u64::MAX);
        Some((start, u64::try_from(run.end(index)).unwrap_or(u64::MAX).saturating_sub(start)))
    }

    /// What the address of segment `index` is made of, where the numbers begin at `start`.
    pub(crate) fn name(&self, index: u64, start: u64) -> Option<Name> {
        let run = self.run(index)?;
        let within = index.saturating_sub(run.index);
        let (sequences, sub) = (within / run.sequence, within % run.sequence);
        let time = u128::from(run.time) + u128::from(sequences) * u128::from(run.duration);
        Some(Name {
            number: run.number.plus(sequences).from(start),
            time: u64::try_from(time).unwrap_or(u64::MAX),
            sub,
        })
    }

    fn run(&self, index: u64) -> Option<&Run> {
        let at = self.0.partition_point(|run| run.index <= index);
        let run = self.0.get(at.checked_sub(1)?)?;
        run.count.is_none_or(|count| index - run.index < count).then_some(run)
    }
}

/// What tells a segment's address from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// `$Number$`.
    pub(crate) number: u64,
    /// `$Time$`, in ticks.
    pub(crate) time: u64,
    /// `$SubNumber$`: which segment of the sequence, from 0.
    pub(crate) sub: u64,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Of entries with `t`, `d` and `r`.
    pub(crate) fn timeline(entries: &[(Option<u64>, u64, i64)]) -> Timeline {
        let entries = entries.iter().copied();
        Timeline::new(entries.map(|(time, duration, repeat)| Entry {
            time,
            duration,
            repeat,
            ..Entry::default()
        }))
    }

    #[test]
    fn counts_runs_gaps_and_open_repeats() {
        let line = timeline(&[(Some(0), 10, 2), (Some(50), 5, -1), (Some(72), 8, 0)]);
        assert_eq!(line.total(), Some(3 + 5 + 1));
        assert_eq!(
            (line.at(2), line.at(3), line.at(7), line.at(8)),
            (Some((20, 10)), Some((50, 5)), Some((70, 5)), Some((72, 8)))
        );
        assert_eq!(line.at(9), None);
        assert_eq!((line.starting_before(20), line.starting_before(21), line.starting_before(51)), (2, 3, 4));
        assert_eq!(
            (line.ending_by(19), line.ending_by(20), line.ending_by(54), line.ending_by(55)),
            (1, 2, 3, 4)
        );
        let open = timeline(&[(None, 10, -1)]);
        assert_eq!((open.total(), open.starting_before(95)), (None, 10));
    }

    #[test]
    fn segments_that_go_on_alike_are_one_run() {
        let line = timeline(&[
            (Some(5), 10, 0),
            (None, 10, 1),
            (Some(35), 10, 0),
            (Some(46), 10, 0),
            (None, 10, -1),
        ]);
        assert_eq!(line.0.len(), 3);
        let starts: Vec<_> = (0..7).filter_map(|index| line.at(index)).map(|(start, _)| start).collect();
        assert_eq!(starts, [5, 15, 25, 35, 46, 56, 66]);
        assert_eq!((line.total(), line.starting_before(46), line.ending_by(45)), (None, 4, 4));
        // An open one that ends within a segment does not go on.
        let cut = timeline(&[(Some(0), 10, -1), (Some(25), 10, 0)]);
        assert_eq!((cut.total(), cut.at(2), cut.at(3)), (Some(4), Some((20, 10)), Some((25, 10))));
    }

    #[test]
    fn a_time_that_overlaps_a_little_is_part_of_the_address() {
        let line = timeline(&[(Some(0), 41, 1), (Some(80), 40, 0), (Some(10), 5, 0)]);
        assert_eq!(line.total(), Some(4));
        let starts: Vec<_> = (0..4).filter_map(|index| line.at(index)).map(|(start, _)| start).collect();
        assert_eq!(starts, [0, 41, 80, 120]);
        assert_eq!((line.starting_before(80), line.starting_before(81)), (2, 3));
    }

    #[test]
    fn hostile_timelines_stay_cheap() {
        let line = timeline(&[(Some(u64::MAX), u64::MAX, i64::MAX), (Some(0), 0, -1), (None, 1, i64::MAX)]);
        assert!(line.starting_before(u128::MAX) > 0);
        assert!(line.at(u64::MAX - 1).is_some() || line.total().is_some());
    }

    #[test]
    fn numbers_go_on_from_where_one_is_given() {
        let entry = |number, repeat| Entry { duration: 10, repeat, number, ..Entry::default() };
        let line = Timeline::new(
            [entry(None, 1), entry(Some(20), 1), entry(None, 0), entry(Some(23), 0)].into_iter(),
        );
        assert_eq!(line.0.len(), 2, "what goes on alike is one run");
        let numbers: Vec<_> =
            (0..6).filter_map(|index| line.name(index, 5)).map(|name| name.number).collect();
        assert_eq!(numbers, [5, 6, 20, 21, 22, 23]);
        assert_eq!((line.numbered_to(4, 5), line.numbered_to(5, 5), line.numbered_to(19, 5)), (0, 1, 2));
        assert_eq!((line.numbered_to(21, 5), line.numbered_to(99, 5)), (4, 6));
    }

    #[test]
    fn a_sequence_shares_number_and_time_and_divides_its_length() {
        let entry =
            |time, duration, repeat, sequence| Entry { time, duration, repeat, sequence, number: None };
        let line = Timeline::new(
            [entry(Some(100), 10, 1, Some(3)), entry(None, 12, 0, None), entry(None, 8, -1, Some(4))]
                .into_iter(),
        );
        let spans: Vec<_> = (0..8).filter_map(|index| line.at(index)).collect();
        assert_eq!(spans, [(100, 3), (103, 3), (106, 4), (110, 3), (113, 3), (116, 4), (120, 12), (132, 2)]);
        let names: Vec<_> =
            (3..9).filter_map(|i| line.name(i, 1)).map(|n| (n.number, n.time, n.sub)).collect();
        assert_eq!(names, [(2, 110, 0), (2, 110, 1), (2, 110, 2), (3, 120, 0), (4, 132, 0), (4, 132, 1)]);
        // By listing, as the arithmetic has to find.
        for limit in 95..150_u64 {
            let count = |of: &dyn Fn((u64, u64)) -> bool| {
                (0..40).filter_map(|i| line.at(i)).filter(|at| of(*at)).count()
            };
            let before = count(&|(start, _)| start < limit) as u64;
            let ended = count(&|(start, length)| start + length <= limit) as u64;
            assert_eq!(
                (line.starting_before(limit.into()), line.ending_by(limit.into())),
                (before, ended),
                "{limit}"
            );
        }
        let huge = entry(Some(0), u64::MAX, i64::MAX, Some(u64::MAX));
        let huge = Timeline::new([huge, huge].into_iter());
        assert!(
            huge.at(u64::MAX - 1).is_some() && huge.ending_by(u128::MAX) > 0 && huge.numbered_to(9, 1) > 0
        );
    }
}
