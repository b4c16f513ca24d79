//! Which segments a Representation has in its Period, and where they are.

use std::{ops::Range, sync::Arc, time::Duration};

use url::Url;

use super::{
    template::{self, Values},
    timeline::{Name, Timeline},
};
use crate::time::ticks;

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
    /// The same with each sequence of segments (`S@k`) as one.
    pub(crate) unsplit: Option<Arc<Timeline>>,
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

    /// Sequences of segments (`S@k`) are only told apart by an address that says which of them is meant.
    pub(crate) fn settled(mut self) -> Self {
        if let Some(unsplit) = self.unsplit.take()
            && !self.media.as_deref().is_some_and(|media| media.contains("$SubNumber"))
        {
            self.timeline = Some(unsplit);
        }
        self
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
        match self.kind {
            Kind::Whole | Kind::Base => None,
            Kind::List if self.timeline.is_none() => Some(0..listed.unwrap_or(0)),
            Kind::Template if self.media.is_none() => None,
            Kind::List | Kind::Template => {
                let start = self.start_number();
                let Some(timeline) = self.timeline() else {
                    return Some(
                        0..self.end_number.map_or(1, |end| end.saturating_add(1).saturating_sub(start)),
                    );
                };
                let by_number = self.end_number.map(|end| timeline.numbered_to(end, start));
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

    /// What the address of segment `index` is made of.
    fn name(&self, timeline: Option<&Timeline>, index: u64) -> Name {
        let number = self.start_number().saturating_add(index);
        let plain = Name { number, time: self.offset(), sub: 0 };
        timeline.and_then(|timeline| timeline.name(index, self.start_number())).unwrap_or(plain)
    }

    /// Address and byte range of segment `index`.
    pub(crate) fn media(
        &self,
        base: &Url,
        id: &str,
        bandwidth: u64,
        timeline: Option<&Timeline>,
        index: u64,
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
                let Name { number, time, sub } = self.name(timeline, index);
                let values = Values { id, bandwidth, number, time, sub };
                Some((base.join(&template::fill(self.media.as_deref()?, values)).ok()?, None))
            }
        }
    }

    /// Address and byte range of the initialization segment.
    pub(crate) fn init(&self, base: &Url, id: &str, bandwidth: u64) -> Option<(Url, Option<Range<u64>>)> {
        if let (Kind::Template, Some(template)) = (self.kind, &self.init_template) {
            let values = Values { id, bandwidth, number: self.start_number(), time: 0, sub: 0 };
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
    use super::{super::timeline::tests::timeline, *};

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
