//! What is buffered: segment by segment, at which rung.

use std::{cell::Cell, time::Duration};

use crate::{RungId, Track};

/// A place in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Media.
    Media { rung: RungId, bytes: u64 },
    /// Nothing can be had here: playback jumps over it.
    Hole,
}

/// The segments of one track that are held, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffer {
    /// By number. A few dozen, looked at many times for each that comes or goes.
    held: Vec<(u64, Held)>,
    /// A segment of which a download, under way or given up, has brought a part, and up to where that plays.
    part: Option<(u64, Duration)>,
    /// The last answer, as long as nothing has changed: each event asks for it again and again.
    known: Cell<Option<(Duration, Run)>>,
}

/// The media that plays on from a position without a break.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    /// Media that can be played, holes left out.
    pub level: Duration,
    /// Bytes of it.
    pub bytes: u64,
    /// First segment that is not held; `None` when nothing more is listed.
    pub next: Option<u64>,
    /// Where it ends.
    pub end: Duration,
    /// So much of `level` lies in the first part of segment `next`.
    pub part: Duration,
}

impl Buffer {
    fn place(&self, index: u64) -> Result<usize, usize> {
        self.held.binary_search_by_key(&index, |(index, _)| *index)
    }

    /// The track is another one: what was known of runs is not so any more.
    pub(super) fn track_changed(&mut self) {
        self.known.set(None);
    }

    /// Of segment `index` there is media up to `until`.
    pub(super) fn append(&mut self, index: u64, until: Duration) {
        self.known.set(None);
        self.part = match self.part {
            Some((of, before)) if of == index => Some((index, before.max(until))),
            _ => Some((index, until)),
        };
    }

    fn forget_part(&mut self, index: u64) {
        self.known.set(None);
        self.part = self.part.filter(|(of, _)| *of != index);
    }

    pub(super) fn insert(&mut self, index: u64, held: Held) {
        self.forget_part(index);
        match self.place(index) {
            Ok(at) => {
                if let Some(slot) = self.held.get_mut(at) {
                    slot.1 = held;
                }
            }
            Err(at) => self.held.insert(at, (index, held)),
        }
    }

    pub(super) fn get(&self, index: u64) -> Option<Held> {
        self.place(index).ok().and_then(|at| self.held.get(at)).map(|(_, held)| *held)
    }

    pub(super) fn remove(&mut self, index: u64) {
        self.forget_part(index);
        self.held.retain(|(held, _)| *held != index);
    }

    pub(super) fn rung(&self, index: u64) -> Option<RungId> {
        match self.get(index)? {
            Held::Media { rung, .. } => Some(rung),
            Held::Hole => None,
        }
    }

    /// Forgets segments that end at or before `position`.
    pub(super) fn evict(&mut self, track: &Track, position: Duration) {
        self.known.set(None);
        self.part = self.part.filter(|(_, until)| *until > position);
        self.held.retain(|(index, _)| match track.segment(*index) {
            Some(segment) => segment.end() > position,
            // Not listed any more: older than what is.
            None => *index >= track.first_index && position < Duration::MAX,
        });
    }

    /// Forgets the segments at `rung` from `index` on; whether there were any.
    pub(super) fn drop_rung(&mut self, rung: RungId, from: u64) -> bool {
        self.known.set(None);
        self.part = None;
        let before = self.held.len();
        self.held.retain(|(index, held)| {
            *index < from || !matches!(held, Held::Media { rung: this, .. } if *this == rung)
        });
        self.held.len() != before
    }

    /// What plays on from `position`.
    pub(super) fn run(&self, track: &Track, position: Duration) -> Run {
        if let Some((_, run)) = self.known.get().filter(|(of, _)| *of == position) {
            return run;
        }
        let run = self.look(track, position);
        self.known.set(Some((position, run)));
        run
    }

    fn look(&self, track: &Track, position: Duration) -> Run {
        let Some(mut index) = track.index_at(position) else {
            return Run { level: Duration::ZERO, bytes: 0, next: None, end: position, part: Duration::ZERO };
        };
        let (mut level, mut bytes, mut end) = (Duration::ZERO, 0, position);
        let from = self.place(index).unwrap_or(self.held.len());
        let mut held = self.held.get(from..).unwrap_or_default().iter();
        loop {
            let Some(segment) = track.segment(index) else {
                return Run { level, bytes, next: None, end, part: Duration::ZERO };
            };
            match held.next().filter(|(of, _)| *of == index) {
                Some((_, Held::Media { bytes: size, .. })) => {
                    level += segment.end().saturating_sub(segment.start.max(position)).min(segment.duration);
                    bytes += size;
                }
                Some((_, Held::Hole)) => {}
                None => {
                    let until =
                        self.part.filter(|(of, _)| *of == index).map(|(_, until)| until.min(segment.end()));
                    let from = segment.start.max(position);
                    let part = until.map_or(Duration::ZERO, |until| until.saturating_sub(from));
                    if !part.is_zero() {
                        end = from + part;
                    }
                    return Run { level: level + part, bytes, next: Some(index), end, part };
                }
            }
            end = segment.end();
            index = index.saturating_add(1);
        }
    }

    /// The last segment before `index` that is held as media.
    pub(super) fn media_before(&self, index: u64) -> Option<u64> {
        let until = self.held.partition_point(|(of, _)| *of < index);
        let back = self.held.get(..until).unwrap_or_default().iter().rev();
        back.filter(|(_, held)| *held != Held::Hole).map(|(of, _)| *of).next()
    }

    /// Where playback goes on from `position` when it stands in a hole: the end of the hole.
    pub(super) fn past_hole(&self, track: &Track, position: Duration) -> Duration {
        let mut position = position;
        while let Some(index) = track.index_at(position)
            && self.get(index) == Some(Held::Hole)
            && let Some(segment) = track.segment(index)
            && segment.end() > position
        {
            position = segment.end();
        }
        position
    }
}
