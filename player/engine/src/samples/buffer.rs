use std::collections::BTreeMap;

use super::{
    Media, Sample, Segment, TOLERANCE, Tag,
    run::{Run, Stored},
};

/// Rounding between time scales leaves neighbours apart by so much at most.
const ROUNDING: i64 = 1_000_000;

/// A buffered stretch of one rung, nanoseconds on the presentation timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From.
    pub start: i64,
    /// To.
    pub end: i64,
    /// Rung of its samples.
    pub rung: usize,
}

/// A stretch that has no samples and will not get any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// End of the last sample before it, nanoseconds.
    pub from: i64,
    /// Start of the first sample after it, nanoseconds.
    pub to: i64,
}

/// What became of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// All of it is buffered.
    Whole,
    /// The cursor is in this segment already: the new samples count from this time on (nanoseconds).
    From(i64),
    /// The cursor has passed the last key frame of it: what was buffered before stays.
    TooLate,
}

/// What the cursor finds.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<P = Media> {
    /// The next sample in decode order.
    Sample(Sample<P>, Tag),
    /// As a sample, for the decoder only: what is shown at its time was read before, from another rung.
    Lead(Sample<P>, Tag),
    /// The next sample is not here yet.
    Wait,
    /// Nothing will come for this stretch. The cursor stands behind it already.
    Hole(Hole),
    /// The last segment was read to its end.
    End,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Cursor {
    /// Waits for samples at this time.
    Pending(i64),
    /// Sample `at` of segment `index` is next. `read_to` is the end of the latest sample that was read since the seek.
    At { index: u64, at: usize, read_to: Option<i64> },
}

enum Located {
    At(u64, usize),
    End,
    Missing,
}

/// Samples of one elementary stream; see the module's page.
#[derive(Debug)]
pub struct TrackBuffer<P = Media> {
    pub(super) runs: BTreeMap<u64, Run<P>>,
    /// Segments that take the place of a part that is in `runs`, as soon as they reach further than it does.
    pub(super) staged: BTreeMap<u64, Run<P>>,
    first: Option<u64>,
    last: Option<u64>,
    pub(super) cursor: Cursor,
}

impl<P: Clone> Default for TrackBuffer<P> {
    fn default() -> Self {
        let cursor = Cursor::Pending(0);
        Self { runs: BTreeMap::new(), staged: BTreeMap::new(), first: None, last: None, cursor }
    }
}

impl<P: Clone> TrackBuffer<P> {
    /// An empty buffer, its cursor waiting at 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a segment in, in place of what was there with the same number. What the cursor has read stays: the new
    /// samples then count from their next key frame on. Where neighbours overlap, the tail of the earlier one yields.
    pub fn insert(&mut self, segment: Segment<P>) -> Inserted {
        let index = segment.tag.segment;
        let run = Run::new(segment);
        self.staged.remove(&index);
        if run.is_empty() {
            match self.runs.get_mut(&index).filter(|old| !old.is_empty()) {
                // Nothing more comes of it.
                Some(old) => old.open = false,
                None => {
                    self.runs.insert(index, run);
                }
            }
            return Inserted::Whole;
        }
        self.place(index, run)
    }

    /// Puts a run in, in place of what was there.
    pub(super) fn place(&mut self, index: u64, mut run: Run<P>) -> Inserted {
        let mut result = Inserted::Whole;
        if let Cursor::At { index: reading, at, read_to: Some(read_to) } = self.cursor
            && reading == index
            && at > 0
        {
            let old = self.runs.get(&index);
            let reaches = old.filter(|old| old.open).map(Run::to);
            match splice(old, &run, at, read_to, reaches) {
                Some((spliced, at, from)) => {
                    run = spliced;
                    self.cursor = Cursor::At { index, at, read_to: Some(read_to) };
                    result = Inserted::From(from);
                }
                None if self.runs.contains_key(&index) => return Inserted::TooLate,
                // It was removed under the cursor, and nothing in it is still to come: the cursor stands at its end.
                None => {
                    self.cursor = Cursor::At { index, at: run.samples().len(), read_to: Some(read_to) };
                    result = Inserted::TooLate;
                }
            }
        }
        if let Some(next_from) = self.next_begins(index)
            && run.to() > next_from.saturating_add(ROUNDING)
            && run.from() < next_from
        {
            let keep = self.read_of(index);
            run.cut_tail(next_from, keep);
        }
        let from = run.from();
        let previous = self.runs.range_mut(..index).rev().find(|(_, previous)| !previous.is_empty());
        if let Some((previous_index, previous)) = previous
            && previous.to() > from.saturating_add(ROUNDING)
            && previous.from() < from
        {
            let keep = match self.cursor {
                Cursor::At { index, at, .. } if index == *previous_index => at,
                _ => 0,
            };
            previous.cut_tail(from, keep);
        }
        self.runs.insert(index, run);
        result
    }

    /// Says that segment `index`, at `start..end` by the manifest (nanoseconds), will never come.
    pub fn skip(&mut self, index: u64, start: i64, end: i64) {
        self.insert(Segment { tag: Tag { segment: index, rung: 0 }, start, end, samples: Vec::new() });
    }

    /// Names the first segment of the stream, or takes that back: nothing is waited for before it. Sound often begins a
    /// little after the pictures.
    pub fn set_first(&mut self, index: Option<u64>) {
        self.first = index;
    }

    /// Names the last segment of the stream, or takes that back; after it the cursor finds [`Next::End`].
    pub fn set_last(&mut self, index: Option<u64>) {
        self.last = index;
    }

    /// Removes whole segments that end at or before `position` (nanoseconds) and that the cursor has left behind.
    /// Gives the time from which on the buffer is untouched, when anything was removed.
    pub fn remove_before(&mut self, position: i64) -> Option<i64> {
        let before = self.runs.len();
        let cursor = self.cursor;
        self.staged.retain(|_, run| run.to() > position);
        self.runs.retain(|index, run| {
            let behind = match cursor {
                Cursor::Pending(waiting) => run.to() <= waiting,
                Cursor::At { index: reading, .. } => *index < reading,
            };
            !(behind && run.to() <= position)
        });
        (self.runs.len() < before)
            .then(|| self.runs.first_key_value().map_or(position, |(_, run)| run.from()))
    }

    /// Removes whole segments that start at or after `position` (nanoseconds); the one that the cursor is in stays.
    pub fn remove_after(&mut self, position: i64) {
        let reading = self.reading();
        self.staged.retain(|_, run| run.from() < position);
        self.runs.retain(|index, run| run.from() < position || reading == Some(*index));
    }

    /// Removes segment `index`, unless the cursor is in it; `false` if it stays or was not there.
    pub fn remove(&mut self, index: u64) -> bool {
        self.staged.remove(&index);
        self.reading() != Some(index) && self.runs.remove(&index).is_some()
    }

    /// Removes everything, the names of the first and last segment too. [`Self::seek`] is next.
    pub fn clear(&mut self) {
        if let Cursor::At { index, read_to, .. } = self.cursor {
            let nominal = self.runs.get(&index).map(|run| run.nominal.0);
            self.cursor = Cursor::Pending(read_to.or(nominal).unwrap_or(0));
        }
        self.runs.clear();
        self.staged.clear();
        self.first = None;
        self.last = None;
    }

    /// Moves the cursor to the key frame at or before `position` (nanoseconds); it waits there if need be.
    pub fn seek(&mut self, position: i64) {
        self.cursor = Cursor::Pending(position);
    }

    /// Reads one sample and moves on.
    #[expect(clippy::should_implement_trait, reason = "it goes on after `Wait`, which an iterator may not")]
    pub fn next(&mut self) -> Next<P> {
        if let Cursor::Pending(position) = self.cursor {
            match self.locate(position) {
                Located::At(index, at) => self.cursor = Cursor::At { index, at, read_to: None },
                Located::End => return Next::End,
                Located::Missing => return Next::Wait,
            }
        }
        let Cursor::At { mut index, mut at, read_to } = self.cursor else {
            return Next::Wait;
        };
        loop {
            let Some(run) = self.runs.get(&index) else {
                return Next::Wait;
            };
            if let Some(stored) = run.samples().get(at) {
                let sample = stored.sample.clone();
                if stored.lead && read_to.is_some_and(|end| sample.pts < end) {
                    let tag = run.tag_at(index, at);
                    self.cursor = Cursor::At { index, at: at + 1, read_to };
                    return Next::Lead(sample, tag);
                }
                if let Some(end) = read_to
                    && sample.key
                    && sample.pts.saturating_sub(end) > TOLERANCE
                {
                    self.cursor = Cursor::At { index, at, read_to: Some(sample.pts) };
                    return Next::Hole(Hole { from: end, to: sample.pts });
                }
                let read_to = Some(read_to.map_or(sample.end(), |end| end.max(sample.end())));
                let tag = run.tag_at(index, at);
                self.cursor = Cursor::At { index, at: at + 1, read_to };
                return Next::Sample(sample, tag);
            }
            if run.open {
                return Next::Wait;
            }
            if self.last == Some(index) {
                return Next::End;
            }
            let Some(following) = index.checked_add(1).and_then(|next| self.runs.get(&next)) else {
                return Next::Wait;
            };
            // Another rung can only be entered at a key frame.
            let enter = match (run.rung(), following.rung()) {
                (Some(here), Some(there)) if here == there => 0,
                _ => following.key_at_or_after(i64::MIN).unwrap_or(0),
            };
            (index, at) = (index + 1, enter);
            self.cursor = Cursor::At { index, at, read_to };
        }
    }

    /// What is buffered, by rung, in order; neighbours of one rung are one span.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut last_index = None;
        for (index, run) in &self.runs {
            let adjacent = last_index.is_some_and(|last: u64| last.checked_add(1) == Some(*index));
            for (at, span) in run.spans().iter().enumerate() {
                match spans.last_mut() {
                    Some(last)
                        if last.rung == span.rung
                            && (adjacent || at > 0)
                            && span.start - last.end <= TOLERANCE =>
                    {
                        last.end = last.end.max(span.end);
                    }
                    _ => spans.push(*span),
                }
            }
            last_index = Some(*index);
        }
        spans
    }

    /// How much can be played from `position` on without waiting, nanoseconds: up to the first missing segment, the
    /// holes not counted.
    pub fn ahead(&self, position: i64) -> i64 {
        let Located::At(mut index, _) = self.locate(position) else {
            return 0;
        };
        let mut end = position;
        let mut holes = 0;
        while let Some(run) = self.runs.get(&index) {
            if !run.is_empty() {
                let open = run.from() - end;
                if open > TOLERANCE {
                    holes += open;
                }
                end = end.max(run.to());
            }
            let Some(next) = index.checked_add(1).filter(|_| !run.open) else { break };
            index = next;
        }
        (end - position - holes).max(0)
    }

    /// Whether `position` can be played at once (nanoseconds); a hole counts, since it is jumped over.
    pub fn holds(&self, position: i64) -> bool {
        !matches!(self.locate(position), Located::Missing)
    }

    /// Where playback that is asked for at `position` would start (nanoseconds): there, behind the hole that it is
    /// in, or at the last sample when the stream ends before. `None` when its samples are not here.
    pub fn start_from(&self, position: i64) -> Option<i64> {
        match self.locate(position) {
            Located::At(index, at) => {
                let stored = self.runs.get(&index)?.samples().get(at)?;
                Some(position.max(stored.sample.pts))
            }
            Located::End => {
                let (_, run) = self.runs.iter().rev().find(|(_, run)| !run.is_empty())?;
                run.samples().iter().map(|stored| stored.sample.pts).max()
            }
            Located::Missing => None,
        }
    }

    /// Start of the key frame at or before `position` (nanoseconds), when its segment is buffered.
    pub fn key_before(&self, position: i64) -> Option<i64> {
        match self.locate(position) {
            Located::At(index, at) => Some(self.runs.get(&index)?.samples().get(at)?.sample.pts),
            Located::End | Located::Missing => None,
        }
    }

    /// Rung of a buffered segment; `None` when it is not buffered or skipped.
    pub fn rung_of(&self, index: u64) -> Option<usize> {
        self.runs.get(&index).and_then(Run::rung)
    }

    /// The stretch that the manifest gives to a segment that is here, nanoseconds.
    pub fn nominal(&self, index: u64) -> Option<(i64, i64)> {
        self.runs.get(&index).map(|run| run.nominal)
    }

    /// Size of all samples.
    pub fn bytes(&self) -> usize {
        self.runs.values().map(Run::bytes).sum()
    }

    /// Time of all samples together, nanoseconds.
    pub fn time(&self) -> i64 {
        self.runs.values().map(Run::time).sum()
    }

    /// How many samples of segment `index` the cursor has read.
    fn read_of(&self, index: u64) -> usize {
        match self.cursor {
            Cursor::At { index: reading, at, .. } if reading == index => at,
            _ => 0,
        }
    }

    /// Where the media behind segment `index` begin.
    pub(super) fn next_begins(&self, index: u64) -> Option<i64> {
        let next = self.runs.range(index.saturating_add(1)..).find(|(_, next)| !next.is_empty());
        next.map(|(_, next)| next.from())
    }

    /// The segment that the cursor has begun to read.
    pub(super) fn reading(&self) -> Option<u64> {
        match self.cursor {
            Cursor::At { index, at, .. } if at > 0 => Some(index),
            _ => None,
        }
    }

    /// Finds the key frame from which `position` can be shown.
    fn locate(&self, position: i64) -> Located {
        // A part with nothing in it yet plays nothing.
        let reaches = |run: &Run<P>| run.to() > position && !(run.open && run.is_empty());
        let Some((index, run)) = self.runs.iter().find(|(_, run)| reaches(run)) else {
            let last = self.last.and_then(|last| self.runs.get(&last));
            let at_end = last.is_some_and(|last| !last.open);
            return if at_end { Located::End } else { Located::Missing };
        };
        let previous = index.checked_sub(1).filter(|previous| self.runs.contains_key(previous));
        // The rest of that one is still to come.
        if run.from() > position
            && previous.and_then(|previous| self.runs.get(&previous)).is_some_and(|previous| previous.open)
        {
            return Located::Missing;
        }
        let starts_here = run.from() <= position
            || run.nominal.0 <= position.saturating_add(ROUNDING)
            || previous.is_some()
            || self.first.is_some_and(|first| *index <= first);
        if !starts_here {
            return Located::Missing;
        }
        if let Some(at) = run.key_at_or_before(position) {
            return Located::At(*index, at);
        }
        // A segment that does not start with a key frame: the one before may have it.
        if run.from() <= position
            && !run.is_empty()
            && let Some(previous) = previous
            && let Some(at) = self.runs.get(&previous).and_then(|run| run.key_at_or_before(position))
        {
            return Located::At(previous, at);
        }
        let mut index = *index;
        while let Some(run) = self.runs.get(&index) {
            if let Some(at) = run.key_at_or_after(i64::MIN) {
                return Located::At(index, at);
            }
            if self.last == Some(index) && !run.open {
                return Located::End;
            }
            let Some(next) = index.checked_add(1).filter(|_| !run.open) else { break };
            index = next;
        }
        Located::Missing
    }
}

/// Joins what the cursor has read of `old` (`read` samples, shown up to `read_to`) and `new` from its next key frame
/// on. Gives the joined run, the cursor's place in it, and where `new` begins to count. Where `old` is a part that ends at
/// `reaches`, before that key frame, `new` is entered at the one before, and leads in up to there.
fn splice<P: Clone>(
    old: Option<&Run<P>>,
    new: &Run<P>,
    read: usize,
    read_to: i64,
    reaches: Option<i64>,
) -> Option<(Run<P>, usize, i64)> {
    let key = new.key_at_or_after(read_to.saturating_sub(ROUNDING));
    let (source, open) = (new.source, new.open);
    if let (Some(old), Some(reaches)) = (old, reaches)
        && key.and_then(|key| new.samples().get(key)).is_none_or(|key| key.sample.pts > reaches + ROUNDING)
    {
        let key = new.key_at_or_before(reaches)?;
        let mut samples: Vec<Stored<P>> = old.samples().to_vec();
        let fresh = new.samples().get(key..)?.iter().cloned();
        samples.extend(fresh.map(|stored| Stored { lead: stored.sample.pts < reaches, ..stored }));
        return Some((Run::with(samples, new.nominal).brought_by(source, open), read, reaches));
    }
    let key = key?;
    let fresh = new.samples().get(key..)?;
    let from = fresh.first()?.sample.pts;
    let mut samples: Vec<Stored<P>> = Vec::new();
    if let Some(old) = old {
        let kept = old.samples().iter().enumerate();
        samples.extend(
            kept.take_while(|(at, stored)| *at < read || stored.sample.pts < from).map(|(_, s)| s.clone()),
        );
    }
    let at = read.min(samples.len());
    samples.extend(fresh.iter().cloned());
    Some((Run::with(samples, new.nominal).brought_by(source, open), at, from))
}
