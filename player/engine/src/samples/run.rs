use super::{Sample, Segment, Span, Tag};

/// A sample with the rung it came from: after a replacement one segment may hold two.
#[derive(Clone, Debug)]
pub(super) struct Stored<P> {
    pub(super) sample: Sample<P>,
    pub(super) rung: usize,
    /// What is shown then comes from other samples: the decoder needs it for those behind it.
    pub(super) lead: bool,
}

/// One segment in the buffer.
#[derive(Debug)]
pub(super) struct Run<P> {
    /// The stretch that the manifest gives to it.
    pub(super) nominal: (i64, i64),
    /// In decode order.
    samples: Vec<Stored<P>>,
    /// The download that brings it, while that may bring more.
    pub(super) source: Option<u64>,
    /// More samples of it are to come, from this download or from another one.
    pub(super) open: bool,
    from: i64,
    to: i64,
    bytes: usize,
    time: i64,
    spans: Vec<Span>,
}

impl<P: Clone> Run<P> {
    pub(super) fn new(segment: Segment<P>) -> Self {
        let rung = segment.tag.rung;
        let samples =
            segment.samples.into_iter().map(|sample| Stored { sample, rung, lead: false }).collect();
        Self::with(samples, (segment.start, segment.end))
    }

    /// More samples of the same rung, as far as they start before `limit`.
    pub(super) fn push(&mut self, samples: Vec<Sample<P>>, rung: usize, limit: Option<i64>) {
        let lead_until = self.samples.last().filter(|last| last.lead).map(|_| self.to);
        for sample in samples {
            if limit.is_some_and(|limit| sample.pts >= limit) {
                break;
            }
            // It goes on with what leads in.
            let lead = lead_until.is_some_and(|until| sample.pts < until);
            let stored = Stored { sample, rung, lead };
            self.count(&stored);
            self.samples.push(stored);
        }
    }

    fn count(&mut self, stored: &Stored<P>) {
        let Stored { sample, rung, lead } = stored;
        self.bytes += sample.bytes;
        if *lead {
            return;
        }
        let first = self.spans.is_empty();
        self.from = if first { sample.pts } else { self.from.min(sample.pts) };
        self.to = if first { sample.end() } else { self.to.max(sample.end()) };
        self.time += sample.duration;
        match self.spans.last_mut() {
            Some(span) if span.rung == *rung => {
                span.start = span.start.min(sample.pts);
                span.end = span.end.max(sample.end());
            }
            _ => self.spans.push(Span { start: sample.pts, end: sample.end(), rung: *rung }),
        }
    }

    pub(super) fn with(samples: Vec<Stored<P>>, nominal: (i64, i64)) -> Self {
        let (from, to) = nominal;
        let (source, open) = (None, false);
        let mut run = Self {
            nominal,
            samples: Vec::new(),
            source,
            open,
            from,
            to,
            bytes: 0,
            time: 0,
            spans: Vec::new(),
        };
        for stored in &samples {
            run.count(stored);
        }
        run.samples = samples;
        run
    }

    /// The same, brought by this download, and perhaps with more to come.
    pub(super) fn brought_by(self, source: Option<u64>, open: bool) -> Self {
        Self { source, open, ..self }
    }

    /// Its samples, in decode order; none where the segment was skipped.
    pub(super) fn samples(&self) -> &[Stored<P>] {
        &self.samples
    }

    pub(super) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Earliest presentation time; that of the manifest when there are no samples.
    pub(super) fn from(&self) -> i64 {
        self.from
    }

    /// Latest presentation end; that of the manifest when there are no samples.
    pub(super) fn to(&self) -> i64 {
        self.to
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn time(&self) -> i64 {
        self.time
    }

    pub(super) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Rung of its last sample.
    pub(super) fn rung(&self) -> Option<usize> {
        self.samples.last().map(|stored| stored.rung)
    }

    pub(super) fn tag_at(&self, index: u64, at: usize) -> Tag {
        Tag { segment: index, rung: self.samples.get(at).map_or(0, |stored| stored.rung) }
    }

    /// Place of the last key frame that is shown at or before `position`.
    pub(super) fn key_at_or_before(&self, position: i64) -> Option<usize> {
        self.samples.iter().rposition(|stored| stored.sample.key && stored.sample.pts <= position)
    }

    /// Place of the first key frame that is shown at or after `position`.
    pub(super) fn key_at_or_after(&self, position: i64) -> Option<usize> {
        self.samples.iter().position(|stored| stored.sample.key && stored.sample.pts >= position)
    }

    /// Drops what is decoded from the first sample on that is shown at or after `time`, but never one of the first
    /// `keep`: the reader has them.
    pub(super) fn cut_tail(&mut self, time: i64, keep: usize) {
        let first = self.samples.iter().position(|stored| stored.sample.pts >= time);
        let Some(first) = first.map(|first| first.max(keep)).filter(|first| *first < self.samples.len())
        else {
            return;
        };
        let mut samples = std::mem::take(&mut self.samples);
        samples.truncate(first);
        let (source, open) = (self.source, self.open);
        *self = Self::with(samples, self.nominal).brought_by(source, open);
    }
}
