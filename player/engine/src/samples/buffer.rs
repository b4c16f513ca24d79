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
    /// The next sample is not here yet.
    Wait,
    /// Nothing will come for this stretch. The cursor stands behind it already.
    Hole(Hole),
    /// The last segment was read to its end.
    End,
}

#[derive(Clone, Copy, Debug)]
enum Cursor {
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
    runs: BTreeMap<u64, Run<P>>,
    first: Option<u64>,
    last: Option<u64>,
    cursor: Cursor,
}

impl<P: Clone> Default for TrackBuffer<P> {
    fn default() -> Self {
        Self { runs: BTreeMap::new(), first: None, last: None, cursor: Cursor::Pending(0) }
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
        let mut run = Run::new(segment);
        if run.is_empty() {
            if self.rung_of(index).is_none() {
                self.runs.insert(index, run);
            }
            return Inserted::Whole;
        }
        let mut result = Inserted::Whole;
        if let Cursor::At { index: reading, at, read_to: Some(read_to) } = self.cursor
            && reading == index
            && at > 0
        {
            match splice(self.runs.get(&index), &run, at, read_to) {
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
        let next = self.runs.range(index.saturating_add(1)..).find(|(_, next)| !next.is_empty());
        if let Some(next_from) = next.map(|(_, next)| next.from())
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
        self.runs.retain(|index, run| run.from() < position || reading == Some(*index));
    }

    /// Removes segment `index`, unless the cursor is in it; `false` if it stays or was not there.
    pub fn remove(&mut self, index: u64) -> bool {
        self.reading() != Some(index) && self.runs.remove(&index).is_some()
    }

    /// Removes everything, the names of the first and last segment too. [`Self::seek`] is next.
    pub fn clear(&mut self) {
        if let Cursor::At { index, read_to, .. } = self.cursor {
            let nominal = self.runs.get(&index).map(|run| run.nominal.0);
            self.cursor = Cursor::Pending(read_to.or(nominal).unwrap_or(0));
        }
        self.runs.clear();
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
            let Some(next) = index.checked_add(1) else { break };
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

    /// The segment that the cursor has begun to read.
    fn reading(&self) -> Option<u64> {
        match self.cursor {
            Cursor::At { index, at, .. } if at > 0 => Some(index),
            _ => None,
        }
    }

    /// Finds the key frame from which `position` can be shown.
    fn locate(&self, position: i64) -> Located {
        let Some((index, run)) = self.runs.iter().find(|(_, run)| run.to() > position) else {
            let at_end = self.last.is_some_and(|last| self.runs.contains_key(&last));
            return if at_end { Located::End } else { Located::Missing };
        };
        let previous = index.checked_sub(1).filter(|previous| self.runs.contains_key(previous));
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
            if self.last == Some(index) {
                return Located::End;
            }
            let Some(next) = index.checked_add(1) else { break };
            index = next;
        }
        Located::Missing
    }
}

/// Joins what the cursor has read of `old` (`read` samples, shown up to `read_to`) and `new` from its next key frame
/// on. Gives the joined run, the cursor's place in it, and where `new` begins to count.
fn splice<P: Clone>(
    old: Option<&Run<P>>,
    new: &Run<P>,
    read: usize,
    read_to: i64,
) -> Option<(Run<P>, usize, i64)> {
    let key = new.key_at_or_after(read_to.saturating_sub(ROUNDING))?;
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
    Some((Run::with(samples, new.nominal), at, from))
}
