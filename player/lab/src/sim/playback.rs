//! What is buffered, where the playhead is, and what was seen.

use std::time::Duration;

use weir_abr::{RungId, Track};

/// A segment that came on screen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Played {
    /// Its number.
    pub index: u64,
    /// Its rung.
    pub rung: RungId,
    /// How long it plays.
    pub duration: Duration,
    /// When its first picture came.
    pub at: Duration,
}

/// A time without pictures after playback had begun.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// When it began.
    pub at: Duration,
    /// How long it took.
    pub length: Duration,
    /// Where on the presentation timeline.
    pub position: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Slot {
    Empty,
    Media(RungId),
    Hole,
}

/// The segments of one track that are held.
#[derive(Clone, Debug)]
pub(super) struct Held {
    first: u64,
    slots: Vec<Slot>,
}

impl Held {
    pub(super) fn new(track: &Track) -> Self {
        Self { first: track.first_index, slots: vec![Slot::Empty; track.segments.len()] }
    }

    fn at(&self, index: u64) -> Option<usize> {
        usize::try_from(index.checked_sub(self.first)?).ok().filter(|at| *at < self.slots.len())
    }

    pub(super) fn set(&mut self, index: u64, slot: Slot) {
        if let Some(at) = self.at(index) {
            self.slots[at] = slot;
        }
    }

    pub(super) fn get(&self, index: u64) -> Slot {
        self.at(index).map_or(Slot::Empty, |at| self.slots[at])
    }

    /// Where media that plays on from `position` ends.
    pub(super) fn end(&self, track: &Track, position: Duration) -> Duration {
        let Some(mut index) = track.index_at(position) else { return position };
        let mut end = position;
        while self.get(index) != Slot::Empty {
            let Some(segment) = track.segment(index) else { break };
            end = segment.end();
            index += 1;
        }
        end
    }
}

/// The clock of the pictures.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    position: Duration,
    /// Since when it runs from `position`.
    running: Option<Duration>,
    rate: f64,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { position: Duration::ZERO, running: None, rate: 1.0 }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Where it is at `now`, but not past `end`.
    pub(super) fn position(&self, now: Duration, end: Duration) -> Duration {
        match self.running {
            Some(since) => {
                let passed = now.saturating_sub(since).mul_f64(self.rate);
                (self.position + passed).min(end.max(self.position))
            }
            None => self.position,
        }
    }

    /// When it gets to `position`; `None` when it stands.
    pub(super) fn time_of(&self, position: Duration) -> Option<Duration> {
        let since = self.running?;
        Some(since + position.saturating_sub(self.position).div_f64(self.rate))
    }

    pub(super) fn run_from(&mut self, now: Duration, position: Duration) {
        self.position = position;
        self.running = Some(now);
    }

    pub(super) fn hold(&mut self, position: Duration) {
        self.position = position;
        self.running = None;
    }

    pub(super) fn set_rate(&mut self, now: Duration, end: Duration, rate: f64) {
        self.position = self.position(now, end);
        if self.running.is_some() {
            self.running = Some(now);
        }
        self.rate = rate.clamp(0.1, 16.0);
    }
}
