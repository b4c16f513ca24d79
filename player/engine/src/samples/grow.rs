//! Segments that come in while they are downloaded.

use super::{Inserted, Segment, TrackBuffer, buffer::Cursor, run::Run};

impl<P: Clone> TrackBuffer<P> {
    /// Adds the next samples of a segment that download `source` brings in pieces; its `samples` follow those of the call
    /// before. What another download brought of the segment stays until this one reaches further.
    pub fn append(&mut self, segment: Segment<P>, source: u64) {
        let (index, rung) = (segment.tag.segment, segment.tag.rung);
        let limit = self.next_begins(index);
        if let Some(run) = self.runs.get_mut(&index).filter(|run| run.source == Some(source)) {
            run.push(segment.samples, rung, limit);
            return;
        }
        let reached = self.runs.get(&index).filter(|run| !run.is_empty()).map(Run::to);
        let nominal = (segment.start, segment.end);
        let mut new = match self.staged.remove(&index) {
            Some(staged) if staged.source == Some(source) => staged,
            _ => Run::with(Vec::new(), nominal).brought_by(Some(source), true),
        };
        new.push(segment.samples, rung, limit);
        let further = reached.is_none_or(|reached| new.to() > reached);
        if new.is_empty() {
            return;
        }
        if further {
            self.take_over(index, new);
        } else {
            self.staged.insert(index, new);
        }
    }

    /// Download `source` has brought all of segment `index`.
    pub fn finish(&mut self, index: u64, source: u64) -> Inserted {
        if let Some(mut staged) = self.staged.remove(&index) {
            if staged.source == Some(source) {
                (staged.open, staged.source) = (false, None);
                return self.take_over(index, staged);
            }
            self.staged.insert(index, staged);
        }
        if let Some(run) = self.runs.get_mut(&index).filter(|run| run.source == Some(source)) {
            (run.open, run.source) = (false, None);
        }
        Inserted::Whole
    }

    /// Whether download `source` has brought samples of segment `index`.
    pub fn grows(&self, index: u64, source: u64) -> bool {
        let of = |run: &Run<P>| run.source == Some(source);
        self.runs.get(&index).is_some_and(of) || self.staged.get(&index).is_some_and(of)
    }

    /// Removes parts of `rung` whose rest has not come, from the segment that the cursor is in on.
    pub fn remove_parts(&mut self, rung: usize) {
        self.staged.retain(|_, run| run.rung() != Some(rung));
        self.runs.retain(|_, run| !(run.open && run.rung() == Some(rung)));
        if let Cursor::At { index, at, read_to } = self.cursor
            && at > 0
            && !self.runs.contains_key(&index)
        {
            self.cursor = Cursor::Pending(read_to.unwrap_or(0));
        }
    }

    fn take_over(&mut self, index: u64, run: Run<P>) -> Inserted {
        let closed = !run.open;
        let result = self.place(index, run);
        // Where it came too late, what is there is all that there will be.
        if result == Inserted::TooLate
            && closed
            && let Some(old) = self.runs.get_mut(&index)
        {
            old.open = false;
        }
        result
    }
}
