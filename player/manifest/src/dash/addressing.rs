//! Which segments a Representation has in its Period, and where they are.

use std::{ops::Range, sync::Arc, time::Duration};

use url::Url;

use super::template::{self, Values};
use crate::time::ticks;

/// Equal segments in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Start of the first one, in ticks of media time.
    pub(crate) time: u64,
    /// Length of each, in ticks, at least 1.
    pub(crate) duration: u64,
    /// How many; `None` in the last run: until the Period ends.
    pub(crate) count: Option<u64>,
    /// How many segments stand before it.
    pub(crate) index: u64,
}

impl Run {
    fn start(&self, index: u64) -> u128 {
        u128::from(self.time) + u128::from(index - self.index) * u128::from(self.duration)
    }
}

/// Runs by rising time; a plain `@duration` is one open run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timeline(Vec<Run>);

impl Timeline {
    /// Takes `S` elements as (`@t`, `@d`, `@r`). A `@t` within the segment before it is believed, for it is part of the
    /// address (packagers round); one that goes back further is moved to the end of what stands before it.
    pub(crate) fn new(entries: impl Iterator<Item = (Option<u64>, u64, i64)>) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut end = 0_u64;
        // Start of the last segment so far.
        let mut last = None;
        let mut index = 0_u64;
        for (time, duration, repeat) in entries {
            if let Some(open) = runs.last_mut().filter(|run| run.count.is_none()) {
                // r=-1 in the middle: up to here.
                let until =
                    time.unwrap_or(open.time.saturating_add(open.duration)).max(open.time.saturating_add(1));
                let count = (until - open.time).div_ceil(open.duration);
                open.count = Some(count);
                index = index.saturating_add(count);
                end = until;
                last = Some(until.saturating_sub(1));
            }
            let duration = duration.max(1);
            let time = match time {
                Some(time) if last.is_none_or(|last| time > last) => time,
                other => other.unwrap_or(end).max(end),
            };
            let count = u64::try_from(repeat).ok().map(|repeat| repeat.saturating_add(1));
            // Many packagers write each segment on its own: those that go on alike are one run.
            let alike = runs.last_mut().filter(|run| {
                let until = run.count.map(|known| u128::from(known) * u128::from(run.duration));
                run.duration == duration
                    && until.is_some_and(|until| u128::from(run.time) + until == u128::from(time))
            });
            match (alike.map(|run| &mut run.count), count) {
                (Some(Some(known)), Some(more)) => *known = known.saturating_add(more),
                _ => runs.push(Run { time, duration, count, index }),
            }
            if let Some(count) = count {
                end = time.saturating_add(duration.saturating_mul(count));
                last = Some(end.saturating_sub(duration).max(time));
                index = index.saturating_add(count);
            }
        }
        Self(runs)
    }

    pub(crate) fn constant(time: u64, duration: u64) -> Self {
        Self(vec![Run { time, duration: duration.max(1), count: None, index: 0 }])
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
        let fitting = (limit - u128::from(run.time)).div_ceil(u128::from(run.duration));
        let fitting = u64::try_from(fitting).unwrap_or(u64::MAX);
        run.index.saturating_add(run.count.map_or(fitting, |count| count.min(fitting)))
    }

    /// How many segments end at or before `limit`.
    pub(crate) fn ending_by(&self, limit: u128) -> u64 {
        let at = self.0.partition_point(|run| u128::from(run.time) + u128::from(run.duration) <= limit);
        let Some(run) = at.checked_sub(1).and_then(|at| self.0.get(at)) else { return 0 };
        let fitting =
            u64::try_from((limit - u128::from(run.time)) / u128::from(run.duration)).unwrap_or(u64::MAX);
        run.index.saturating_add(run.count.map_or(fitting, |count| count.min(fitting)))
    }

    /// Start and length in ticks of segment `index`, counted from 0.
    pub(crate) fn at(&self, index: u64) -> Option<(u64, u64)> {
        let at = self.0.partition_point(|run| run.index <= index);
        let run = self.0.get(at.checked_sub(1)?)?;
        if run.count.is_some_and(|count| index - run.index >= count) {
            return None;
        }
        Some((u64::try_from(run.start(index)).unwrap_or(u64::MAX), run.duration))
    }
}

/// `SegmentURL`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListEntry {
    pub(crate) media: Option<String>,
    pub(crate) range: Option<Range<u64>>,
}

/// A resource that is named by an element (`Initialization`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) url: Option<String>,
    pub(crate) range: Option<Range<u64>>,
}

/// How media are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing but a BaseURL.
    #[default]
    Whole,
    Base,
    List,
    Template,
}

/// `SegmentBase`, `SegmentList` or `SegmentTemplate`, with what is inherited from the levels above.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Addressing {
    pub(crate) kind: Kind,
    pub(crate) timescale: Option<u64>,
    /// `@presentationTimeOffset`.
    pub(crate) offset: Option<u64>,
    pub(crate) duration: Option<u64>,
    pub(crate) start_number: Option<u64>,
    pub(crate) end_number: Option<u64>,
    pub(crate) media: Option<String>,
    pub(crate) init_template: Option<String>,
    pub(crate) init: Option<Named>,
    pub(crate) index_range: Option<Range<u64>>,
    pub(crate) timeline: Option<Arc<Timeline>>,
    pub(crate) list: Option<Arc<Vec<ListEntry>>>,
    /// `@eptDelta`: how much later than the Period's start the first segment of a plain `@duration` starts, in ticks.
    pub(crate) ept_delta: Option<i64>,
    /// `@availabilityTimeOffset` in seconds; infinite for `INF`.
    pub(crate) early: Option<f64>,
    /// `@availabilityTimeComplete` is not false.
    pub(crate) early_whole: Option<bool>,
}

impl Addressing {
    pub(crate) fn timescale(&self) -> u64 {
        self.timescale.unwrap_or(1).max(1)
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset.unwrap_or(0)
    }

    pub(crate) fn start_number(&self) -> u64 {
        self.start_number.unwrap_or(1)
    }

    fn ept(&self) -> i64 {
        self.ept_delta.unwrap_or(0)
    }

    /// Ticks in `time`, rounded up.
    fn ticks_in(&self, time: Duration) -> u128 {
        (time.as_nanos() * u128::from(self.timescale())).div_ceil(1_000_000_000)
    }

    /// The timeline; `None` when there is one segment that lasts for the Period, or nothing to tell.
    pub(crate) fn timeline(&self) -> Option<Arc<Timeline>> {
        match (&self.timeline, self.duration) {
            (Some(timeline), _) => Some(timeline.clone()),
            (None, Some(duration)) if duration > 0 => {
                Some(Arc::new(Timeline::constant(self.offset().saturating_add_signed(self.ept()), duration)))
            }
            _ => None,
        }
    }

    /// Segments of a Period that lasts for `period`, as indices: those with media inside it. `None` when the end is
    /// not known, or only the file's own index can tell.
    pub(crate) fn indices(&self, period: Option<Duration>) -> Option<Range<u64>> {
        let listed = self.list.as_ref().map(|list| list.len() as u64);
        let by_number =
            self.end_number.map(|end| (end.saturating_add(1)).saturating_sub(self.start_number()));
        match self.kind {
            Kind::Whole | Kind::Base => None,
            Kind::List if self.timeline.is_none() => Some(0..listed.unwrap_or(0)),
            Kind::Template if self.media.is_none() => None,
            Kind::List | Kind::Template => {
                let Some(timeline) = self.timeline() else { return Some(0..by_number.unwrap_or(1)) };
                let offset = u128::from(self.offset());
                let first = self.first();
                let end = match (period, self.duration) {
                    // Without a list of times, in numbers that may be below zero.
                    (Some(period), Some(duration)) if self.timeline.is_none() => {
                        let span = self.ticks_in(period).cast_signed() - i128::from(self.ept());
                        let count = span.max(0).cast_unsigned().div_ceil(u128::from(duration.max(1)));
                        Some(u64::try_from(count).unwrap_or(u64::MAX))
                    }
                    (Some(period), _) => Some(timeline.starting_before(offset + self.ticks_in(period))),
                    (None, _) => timeline.total(),
                };
                let end = [end, by_number, listed].into_iter().flatten().min()?;
                Some(first.min(end)..end)
            }
        }
    }

    /// Segments that the manifest names for a Period that lasts for `period`: as [`indices`](Self::indices), but what
    /// is listed one by one is not lost to a Period whose length is rounded down (a last segment that ends within a
    /// second of its end), nor to times that all lie outside of it.
    pub(crate) fn listed(&self, period: Option<Duration>) -> Option<Range<u64>> {
        let inside = self.indices(period)?;
        let Some(total) = self.timeline.as_ref().and_then(|timeline| timeline.total()) else {
            return Some(inside);
        };
        let whole = self.indices(None)?.end.min(total);
        if inside.is_empty() {
            return Some(0..whole);
        }
        let rounded = |period: Duration| {
            let (time, length) = self.timeline.as_ref()?.at(inside.end)?;
            let limit =
                u128::from(self.offset()) + self.ticks_in(period.saturating_add(Duration::from_secs(1)));
            (u128::from(time) + u128::from(length) < limit).then_some(whole)
        };
        let end = period
            .filter(|_| whole.checked_sub(1) == Some(inside.end))
            .and_then(rounded)
            .unwrap_or(inside.end);
        Some(inside.start..end)
    }

    /// Start, from the Period's start, and length of segment `index`, both possibly cut by the Period; with its start
    /// in ticks of media time.
    pub(crate) fn span(&self, timeline: Option<&Timeline>, index: u64) -> Option<(Duration, Duration, u64)> {
        let (time, length) = timeline?.at(index)?;
        let scale = self.timescale();
        // With a shift that the unsigned time cannot hold.
        let shifted = i128::from(self.offset()) + i128::from(self.ept());
        let lost = if self.timeline.is_none() { shifted.min(0) } else { 0 };
        let start = i128::from(time) - i128::from(self.offset()) + lost;
        let end = start + i128::from(length);
        let clip = |at: i128| ticks(u128::try_from(at).unwrap_or(0), scale);
        Some((clip(start), clip(end).saturating_sub(clip(start)), time))
    }

    /// Address and byte range of segment `index`.
    pub(crate) fn media(
        &self,
        base: &Url,
        id: &str,
        bandwidth: u64,
        index: u64,
        time: u64,
    ) -> Option<(Url, Option<Range<u64>>)> {
        match self.kind {
            Kind::Whole | Kind::Base => Some((base.clone(), None)),
            Kind::List => {
                let entry = self.list.as_ref()?.get(usize::try_from(index).ok()?)?;
                let url = match &entry.media {
                    Some(media) => base.join(media).ok()?,
                    None => base.clone(),
                };
                Some((url, entry.range.clone()))
            }
            Kind::Template => {
                let number = self.start_number().saturating_add(index);
                let values = Values { id, bandwidth, number, time };
                Some((base.join(&template::fill(self.media.as_deref()?, values)).ok()?, None))
            }
        }
    }

    /// Address and byte range of the initialization segment.
    pub(crate) fn init(&self, base: &Url, id: &str, bandwidth: u64) -> Option<(Url, Option<Range<u64>>)> {
        if let (Kind::Template, Some(template)) = (self.kind, &self.init_template) {
            let values = Values { id, bandwidth, number: self.start_number(), time: 0 };
            return Some((base.join(&template::fill(template, values)).ok()?, None));
        }
        let named = self.init.as_ref()?;
        let url = match &named.url {
            Some(url) => base.join(url).ok()?,
            None => base.clone(),
        };
        Some((url, named.range.clone()))
    }

    /// Index of the first segment with media inside the Period.
    pub(crate) fn first(&self) -> u64 {
        match (&self.timeline, self.duration) {
            (Some(timeline), _) => timeline.ending_by(u128::from(self.offset())),
            (None, Some(duration)) => self.ept().min(0).unsigned_abs() / duration.max(1),
            (None, None) => 0,
        }
    }

    /// Which segments there are depends on the time of day (in a dynamic MPD).
    pub(crate) fn is_clocked(&self) -> bool {
        match &self.timeline {
            Some(timeline) => timeline.total().is_none(),
            None => self.kind == Kind::Template && self.duration.is_some(),
        }
    }

    /// All media are in one resource, whose own index tells the segments.
    pub(crate) fn is_one_resource(&self) -> bool {
        matches!(self.kind, Kind::Whole | Kind::Base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(entries: &[(Option<u64>, u64, i64)]) -> Timeline {
        Timeline::new(entries.iter().copied())
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
    fn a_plain_duration_rounds_the_last_segment_up() {
        let addressing = Addressing {
            kind: Kind::Template,
            timescale: Some(1000),
            duration: Some(4000),
            media: Some("$Number$.m4s".into()),
            ..Addressing::default()
        };
        assert_eq!(addressing.indices(Some(Duration::from_secs(12))), Some(0..3));
        assert_eq!(addressing.indices(Some(Duration::from_millis(12_001))), Some(0..4));
        assert_eq!(addressing.indices(None), None);
        let limited = Addressing { end_number: Some(2), ..addressing };
        assert_eq!(limited.indices(Some(Duration::from_secs(12))), Some(0..2));
    }

    #[test]
    fn a_first_segment_may_start_before_or_after_its_period() {
        let template = |ept: i64, offset: u64| Addressing {
            kind: Kind::Template,
            timescale: Some(1000),
            duration: Some(4000),
            offset: Some(offset),
            ept_delta: Some(ept),
            media: Some("$Number$.m4s".into()),
            ..Addressing::default()
        };
        let twelve = Some(Duration::from_secs(12));
        assert_eq!(template(-1000, 0).indices(twelve), Some(0..4));
        assert_eq!(template(-1000, 90_000).indices(twelve), Some(0..4));
        assert_eq!(template(-9000, 0).indices(twelve), Some(2..6));
        assert_eq!(template(4000, 0).indices(twelve), Some(0..2));
        assert_eq!(template(i64::MIN, u64::MAX).indices(twelve).map(|r| r.start), Some((1 << 63) / 4000));
        for offset in [0, 90_000] {
            let early = template(-1000, offset);
            let line = early.timeline();
            let second = early.span(line.as_deref(), 1).map(|(start, length, _)| (start, length));
            assert_eq!(second, Some((Duration::from_secs(3), Duration::from_secs(4))), "{offset}");
        }
    }

    #[test]
    fn what_is_listed_one_by_one_is_not_lost_to_a_rounded_period() {
        let listed = |entries: &[(Option<u64>, u64, i64)], offset: u64, millis: u64| {
            let addressing = Addressing {
                kind: Kind::Template,
                timescale: Some(1000),
                offset: Some(offset),
                media: Some("$Time$".into()),
                timeline: Some(Arc::new(timeline(entries))),
                ..Addressing::default()
            };
            addressing.listed(Some(Duration::from_millis(millis)))
        };
        let short_last: &[_] = &[(Some(0), 2000, 4), (None, 23, 0)];
        assert_eq!(listed(short_last, 0, 10_000), Some(0..6), "10.023 s, written as 10 s");
        assert_eq!(listed(short_last, 0, 8_000), Some(0..4), "two too many are no rounding");
        assert_eq!(listed(&[(Some(0), 2000, 5)], 0, 10_000), Some(0..5), "a whole segment too many");
        assert_eq!(listed(&[(None, 2000, 2)], 90_000, 6_000), Some(0..3), "all of it outside");
        assert_eq!(listed(&[(Some(0), 2000, 9)], 4_000, 6_000), Some(2..5), "a cut on both sides");
        assert_eq!(listed(&[(Some(0), 2000, -1)], 0, 5_000), Some(0..3), "open");
    }
}
