use super::{Sample, Segment, Span, Tag};

/// A sample with the rung it came from: after a replacement one segment may hold two.
#[derive(Clone, Debug)]
pub(super) struct Stored<P> {
    pub(super) sample: Sample<P>,
    pub(super) rung: usize,
}

/// One segment in the buffer.
#[derive(Debug)]
pub(super) struct Run<P> {
    /// The stretch that the manifest gives to it.
    pub(super) nominal: (i64, i64),
    /// In decode order.
    samples: Vec<Stored<P>>,
    from: i64,
    to: i64,
    bytes: usize,
    time: i64,
    spans: Vec<Span>,
}

impl<P: Clone> Run<P> {
    pub(super) fn new(segment: Segment<P>) -> Self {
        let rung = segment.tag.rung;
        let samples = segment.samples.into_iter().map(|sample| Stored { sample, rung }).collect();
        Self::with(samples, (segment.start, segment.end))
    }

    pub(super) fn with(samples: Vec<Stored<P>>, nominal: (i64, i64)) -> Self {
        let from = samples.iter().map(|stored| stored.sample.pts).min();
        let to = samples.iter().map(|stored| stored.sample.end()).max();
        let bytes = samples.iter().map(|stored| stored.sample.bytes).sum();
        let time = samples.iter().map(|stored| stored.sample.duration).sum();
        let mut spans: Vec<Span> = Vec::new();
        for Stored { sample, rung } in &samples {
            match spans.last_mut() {
                Some(span) if span.rung == *rung => {
                    span.start = span.start.min(sample.pts);
                    span.end = span.end.max(sample.end());
                }
                _ => spans.push(Span { start: sample.pts, end: sample.end(), rung: *rung }),
            }
        }
        Self {
            nominal,
            samples,
            from: from.unwrap_or(nominal.0),
            to: to.unwrap_or(nominal.1),
            bytes,
            time,
            spans,
        }
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
        *self = Self::with(samples, self.nominal);
    }
}
