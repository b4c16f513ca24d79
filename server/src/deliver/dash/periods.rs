//! Runs of segments between discontinuities: each is a Period of the manifest.
//!
//! A Period's id and start must not change while it is listed, although segments leave it in front and with them what its
//! start was. So the first sight of a run is remembered for as long as a part of it is listed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::store::{OpenSegment, SegmentEntry, Window};

/// One run's segments in one rendition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run<'a> {
    /// Discontinuities before it since the stream's beginning: the same in every rendition.
    pub ordinal: u64,
    /// Its finished segments, without the gaps at either end.
    pub segments: &'a [SegmentEntry],
    /// The segment in progress, when it belongs here and has a part.
    pub open: Option<OpenSegment>,
}

impl Run<'_> {
    /// Init segment of the run.
    pub fn init(&self) -> u32 {
        self.segments.first().map(|s| s.init).or(self.open.map(|o| o.init)).unwrap_or(0)
    }

    /// Number of its first listed segment.
    pub fn first_number(&self) -> u32 {
        self.segments.first().map(|s| s.number).or(self.open.map(|o| o.number)).unwrap_or(1)
    }

    /// Start of its first listed segment in ticks.
    pub fn start(&self) -> u64 {
        self.segments.first().map(|s| s.start).or(self.open.map(|o| o.start)).unwrap_or(0)
    }

    /// Every segment of it can be decoded without the one before.
    pub fn is_independent(&self) -> bool {
        self.segments.iter().all(|s| s.independent) && self.open.is_none_or(|open| open.independent)
    }

    /// Wall-clock time of that start.
    pub fn wall_ms(&self) -> Option<u64> {
        self.segments.first().map(|s| s.wall_ms).or(self.open.map(|o| o.wall_ms)).flatten()
    }
}

/// The runs of a window. `with_open` adds the segment in progress as soon as it has a part.
pub fn runs(window: &Window, with_open: bool) -> Vec<Run<'_>> {
    let mut found: Vec<Run<'_>> = Vec::new();
    let mut ordinal = window.discontinuity_sequence;
    let mut rest: &[SegmentEntry] = &window.segments;
    while let Some(first) = rest.first() {
        ordinal += u64::from(first.discontinuity);
        let length = 1 + rest.iter().skip(1).take_while(|s| !s.discontinuity).count();
        let (segments, after) = rest.split_at(length);
        found.push(Run { ordinal, segments: without_gaps(segments), open: None });
        rest = after;
    }
    let open = window.open.filter(|open| with_open && window.parts_of(open.number).next().is_some());
    if let Some(open) = open {
        match found.last_mut().filter(|_| !open.discontinuity) {
            Some(last) => last.open = Some(open),
            None => {
                let ordinal = ordinal + u64::from(open.discontinuity);
                found.push(Run { ordinal, segments: &[], open: Some(open) });
            }
        }
    }
    // Where a rendition has nothing but gaps it is not there.
    found.retain(|run| !run.segments.is_empty() || run.open.is_some());
    found
}

/// What is between the gaps at both ends: where a run begins is where it has something. Those in the middle belong to
/// what follows them.
fn without_gaps(segments: &[SegmentEntry]) -> &[SegmentEntry] {
    let from = segments.iter().position(|segment| !segment.is_gap()).unwrap_or(segments.len());
    let to = segments.iter().rposition(|segment| !segment.is_gap()).map_or(from, |last| last + 1);
    segments.get(from..to).unwrap_or_default()
}

/// Where a Period begins, as it was first seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// `Period@start` in milliseconds of the stream's timeline.
    pub start_ms: u64,
    /// Wall-clock time of that instant, for a live stream.
    pub wall_ms: Option<u64>,
}

/// The Periods that clients have been told of, by ordinal.
#[derive(Debug, Default)]
pub struct Anchors {
    known: BTreeMap<u64, Anchor>,
    /// What an earlier process told clients was looked for.
    restored: bool,
    /// Something is known that is not on the disk.
    unsaved: bool,
}

/// Where they are kept in a stream's folder.
pub const FILE: &str = "periods.json";

impl Anchors {
    /// Takes note of the runs that there are now, forgets those that are gone, and gives the Periods to list.
    ///
    /// Each window comes with its timescale.
    pub fn update(&mut self, windows: &[(&Window, u32)], with_open: bool) -> BTreeMap<u64, Anchor> {
        let mut seen: BTreeMap<u64, Anchor> = BTreeMap::new();
        for (window, timescale) in windows {
            for run in runs(window, with_open) {
                let anchor =
                    Anchor { start_ms: milliseconds(run.start(), *timescale), wall_ms: run.wall_ms() };
                seen.entry(run.ordinal)
                    .and_modify(|known| {
                        if anchor.start_ms < known.start_ms {
                            *known = anchor;
                        }
                    })
                    .or_insert(anchor);
            }
        }
        let before = self.known.len();
        self.known.retain(|ordinal, _| seen.contains_key(ordinal));
        self.unsaved |= self.known.len() != before;
        for (ordinal, now) in seen {
            // The timeline's zero is where the first run began, listed or not.
            let first =
                Anchor { start_ms: 0, wall_ms: now.wall_ms.map(|wall| wall.saturating_sub(now.start_ms)) };
            self.unsaved |= !self.known.contains_key(&ordinal);
            self.known.entry(ordinal).or_insert(if ordinal == 0 { first } else { now });
        }
        self.known.clone()
    }

    /// Whether what an earlier process knew is still to be [restored](Self::restore).
    pub fn is_new(&self) -> bool {
        !self.restored
    }

    /// Takes up what an earlier process [saved](Self::to_save). What does not parse is as good as nothing; what is known
    /// already stays.
    pub fn restore(&mut self, saved: &[u8]) {
        self.restored = true;
        let saved: BTreeMap<u64, Anchor> = serde_json::from_slice(saved).unwrap_or_default();
        for (ordinal, anchor) in saved {
            self.known.entry(ordinal).or_insert(anchor);
        }
    }

    /// What to keep for the next process, where it changed since this was last asked for.
    pub fn to_save(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.unsaved).then(|| serde_json::to_vec(&self.known).unwrap_or_default())
    }
}

/// Ticks as whole milliseconds, rounded down.
pub fn milliseconds(ticks: u64, timescale: u32) -> u64 {
    u64::try_from(u128::from(ticks) * 1000 / u128::from(timescale.max(1))).unwrap_or(u64::MAX)
}

/// Milliseconds as ticks, rounded down.
pub fn ticks(ms: u64, timescale: u32) -> u64 {
    u64::try_from(u128::from(ms) * u128::from(timescale) / 1000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u32, discontinuity: bool) -> SegmentEntry {
        SegmentEntry {
            number,
            start: u64::from(number - 1) * 180_000,
            duration: 180_000,
            bytes: 1,
            init: 0,
            discontinuity,
            wall_ms: Some(u64::from(number) * 2000),
            independent: true,
        }
    }

    fn window(numbers: std::ops::RangeInclusive<u32>, breaks: &[u32], before: u64) -> Window {
        Window {
            segments: numbers.map(|n| entry(n, breaks.contains(&n))).collect(),
            discontinuity_sequence: before,
            ..Window::default()
        }
    }

    #[test]
    fn what_a_rendition_lacks_at_the_ends_of_a_run_is_not_listed() {
        // Segments 1 to 9, breaks before 4 and 7: gaps at the end of the first run, in the middle of the second, and all
        // of the third.
        let mut segments: Vec<_> =
            (1..=9).map(|number| entry(number, number % 3 == 1 && number > 1)).collect();
        for gap in [3, 5, 7, 8, 9] {
            segments[gap - 1].bytes = 0;
        }
        let window = Window { segments: segments.into(), ..Window::default() };
        let listed = |run: &Run<'_>| run.segments.iter().map(|s| s.number).collect::<Vec<_>>();
        let found: Vec<_> = runs(&window, true).iter().map(|run| (run.ordinal, listed(run))).collect();
        assert_eq!(found, [(0, vec![1, 2]), (1, vec![4, 5, 6])]);
        // At the beginning of one.
        let segments: Vec<_> = (1..=4)
            .map(|number| SegmentEntry { bytes: u64::from(number > 2), ..entry(number, false) })
            .collect();
        let window = Window { segments: segments.into(), ..Window::default() };
        let found = runs(&window, true);
        assert_eq!((found.len(), found[0].first_number(), found[0].start()), (1, 3, 2 * 180_000));
    }

    #[test]
    fn a_run_keeps_its_ordinal_while_the_window_slides() {
        let ordinals =
            |w: &Window| runs(w, true).iter().map(|r| (r.ordinal, r.segments.len())).collect::<Vec<_>>();
        assert_eq!(ordinals(&window(1..=6, &[4], 0)), [(0, 3), (1, 3)]);
        assert_eq!(ordinals(&window(3..=8, &[4, 7], 0)), [(0, 1), (1, 3), (2, 2)]);
        assert_eq!(ordinals(&window(4..=8, &[4, 7], 0)), [(1, 3), (2, 2)]);
        assert_eq!(ordinals(&window(5..=8, &[4, 7], 1)), [(1, 2), (2, 2)]);
    }

    #[test]
    fn a_period_starts_where_it_was_first_seen_to_start() {
        let mut anchors = Anchors::default();
        let starts = |a: &BTreeMap<u64, Anchor>| a.iter().map(|(o, a)| (*o, a.start_ms)).collect::<Vec<_>>();
        let at = |anchors: &mut Anchors, w: &Window| starts(&anchors.update(&[(w, 90_000)], true));
        assert_eq!(at(&mut anchors, &window(1..=6, &[4], 0)), [(0, 0), (1, 6000)]);
        assert_eq!(at(&mut anchors, &window(3..=8, &[4], 0)), [(0, 0), (1, 6000)]);
        assert_eq!(at(&mut anchors, &window(6..=11, &[4], 1)), [(1, 6000)], "although 4 and 5 are gone");
        assert_eq!(
            at(&mut Anchors::default(), &window(6..=11, &[4], 1)),
            [(1, 10_000)],
            "as good as can be known"
        );
    }

    #[test]
    fn a_period_keeps_its_start_over_a_restart() {
        let mut anchors = Anchors::default();
        let told = anchors.update(&[(&window(1..=6, &[4], 0), 90_000)], true);
        let saved = anchors.to_save().unwrap();
        anchors.update(&[(&window(2..=7, &[4], 0), 90_000)], true);
        assert_eq!(anchors.to_save(), None, "nothing new to keep");
        let mut next = Anchors::default();
        assert!(next.is_new());
        next.restore(&saved);
        let again = next.update(&[(&window(6..=11, &[4, 9], 1), 90_000)], true);
        assert_eq!((again[&1], again[&2].start_ms), (told[&1], 16_000));
        assert!(!again.contains_key(&0) && next.to_save().is_some(), "what is gone is forgotten");
        let mut torn = Anchors::default();
        torn.restore(&saved[..saved.len() / 2]);
        assert_eq!(torn.update(&[(&window(6..=11, &[4], 1), 90_000)], true)[&1].start_ms, 10_000);
    }

    #[test]
    fn renditions_that_begin_a_little_apart_share_the_earlier_start() {
        let video = window(3..=5, &[3], 0);
        let mut sound = window(3..=5, &[3], 0);
        sound.segments = sound.segments.iter().map(|s| SegmentEntry { start: s.start - 900, ..*s }).collect();
        let found = Anchors::default().update(&[(&video, 90_000), (&sound, 90_000)], true);
        assert_eq!(found[&1].start_ms, 3990);
    }

    #[test]
    fn a_segment_in_progress_counts_once_it_has_a_part() {
        use crate::store::PartEntry;
        let open = OpenSegment {
            number: 4,
            start: 540_000,
            init: 1,
            discontinuity: true,
            wall_ms: None,
            independent: true,
        };
        let mut window = Window { open: Some(open), ..window(1..=3, &[], 0) };
        assert_eq!(runs(&window, true).len(), 1);
        let part = PartEntry {
            segment: 4,
            index: 0,
            start: 540_000,
            duration: 1,
            offset: 0,
            bytes: 1,
            independent: true,
        };
        window.parts = [part].into();
        let found = runs(&window, true);
        assert_eq!((found.len(), found[1].ordinal, found[1].init(), found[1].first_number()), (2, 1, 1, 4));
        assert_eq!(runs(&window, false).len(), 1);
        window.open = Some(OpenSegment { discontinuity: false, ..open });
        assert_eq!((runs(&window, true).len(), runs(&window, true)[0].open.is_some()), (1, true));
    }
}
