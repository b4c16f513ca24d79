//! A segment while it grows: its chunks, shared with everyone who reads along.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;

use super::entry::{OpenSegment, PartEntry, SegmentEntry};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    chunks: usize,
    finished: bool,
}

#[derive(Debug, Default)]
struct Chunks {
    bytes: Vec<Bytes>,
    parts: Vec<PartEntry>,
    /// All of them in one piece, once finished; the chunks are slices of it then.
    whole: Option<Bytes>,
}

/// A segment in memory, in progress or finished. The session appends; readers never block it.
#[derive(Debug)]
pub(super) struct HotSegment {
    pub(super) open: OpenSegment,
    chunks: RwLock<Chunks>,
    progress: watch::Sender<Progress>,
}

impl HotSegment {
    pub(super) fn new(open: OpenSegment) -> Self {
        Self { open, chunks: RwLock::default(), progress: watch::Sender::default() }
    }

    pub(super) fn push(&self, bytes: Bytes, duration: u64, independent: bool) -> PartEntry {
        let part = {
            let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
            let (start, offset) = chunks
                .parts
                .last()
                .map_or((self.open.start, 0), |last| (last.start + last.duration, last.offset + last.bytes));
            let part = PartEntry {
                segment: self.open.number,
                index: chunks.parts.len() as u32,
                start,
                duration,
                offset,
                bytes: bytes.len() as u64,
                independent,
            };
            chunks.bytes.push(bytes);
            chunks.parts.push(part);
            part
        };
        self.progress.send_modify(|progress| progress.chunks += 1);
        part
    }

    /// Joins the chunks and releases who waits for more. `None` without a chunk.
    pub(super) fn finish(&self) -> Option<SegmentEntry> {
        let entry = {
            let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
            let total: usize = chunks.bytes.iter().map(Bytes::len).sum();
            let mut whole = BytesMut::with_capacity(total);
            for chunk in &chunks.bytes {
                whole.extend_from_slice(chunk);
            }
            let whole = whole.freeze();
            let Chunks { bytes, parts, .. } = &mut *chunks;
            for (chunk, part) in bytes.iter_mut().zip(parts.iter()) {
                let from = part.offset as usize;
                *chunk = whole.slice(from..from + part.bytes as usize);
            }
            let duration: u64 = parts.iter().map(|part| part.duration).sum();
            let OpenSegment { number, start, init, discontinuity, wall_ms, independent } = self.open;
            chunks.whole = Some(whole);
            (duration > 0).then_some(SegmentEntry {
                number,
                start,
                duration,
                bytes: total as u64,
                init,
                discontinuity,
                wall_ms,
                independent,
            })
        };
        self.progress.send_modify(|progress| progress.finished = true);
        entry
    }

    pub(super) fn chunk(&self, index: usize) -> Option<Bytes> {
        self.chunks.read().unwrap_or_else(PoisonError::into_inner).bytes.get(index).cloned()
    }

    /// The finished segment in one piece.
    pub(super) fn whole(&self) -> Option<Bytes> {
        self.chunks.read().unwrap_or_else(PoisonError::into_inner).whole.clone()
    }
}

/// Reads a segment from its first chunk on, waiting for those to come. Chunks are shared, not copied.
#[derive(Debug)]
pub struct Growing {
    segment: Arc<HotSegment>,
    progress: watch::Receiver<Progress>,
    next: usize,
}

impl Growing {
    pub(super) fn new(segment: Arc<HotSegment>) -> Self {
        let progress = segment.progress.subscribe();
        Self { segment, progress, next: 0 }
    }

    /// Number of the segment.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.segment.open.number
    }

    /// The whole segment when it is finished already: answer with a length then.
    #[must_use]
    pub fn finished(&self) -> Option<Bytes> {
        self.segment.whole()
    }

    /// A chunk that is there already, without waiting.
    pub fn try_next(&mut self) -> Option<Bytes> {
        let chunk = self.segment.chunk(self.next)?;
        self.next += 1;
        Some(chunk)
    }

    /// The next chunk, as soon as it exists; `None` after the last one of a finished segment.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            // Before the look: a chunk that comes in between is then seen by the look.
            let finished = self.progress.borrow_and_update().finished;
            if let Some(chunk) = self.try_next() {
                return Some(chunk);
            }
            if finished || self.progress.changed().await.is_err() {
                return None;
            }
        }
    }
}
