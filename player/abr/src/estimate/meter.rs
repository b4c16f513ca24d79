//! One meter for all transfers: bytes against the wall-clock time in which at least one of them was past its first byte.

use std::time::Duration;

use super::{SHORTEST, Sample};
use crate::planner::FetchId;

/// Bytes that come within this time of the head were in flight with it: they say nothing about the rate ...
const WITH_HEAD: Duration = Duration::from_millis(2);
/// ... unless there are more of them than a receiver takes in before it is looked at. Without this bound a link so fast
/// that whole segments come with their heads would never be measured.
const MOST_WITH_HEAD: u64 = 32 << 10;

/// A burst that comes in one piece took no more than this.
const AT_ONCE: Duration = Duration::from_millis(2);

/// So many bytes are a sample however fast they came ...
const PLENTY: u64 = 100_000;

#[derive(Clone, Copy, Debug)]
struct Active {
    id: FetchId,
    started: Duration,
    first_byte: Option<Duration>,
    /// Bytes so far, and when they last grew.
    bytes: u64,
    moved: Duration,
    /// All that there is has come: time does not count before the next byte.
    idle: bool,
    /// Bytes with which the newest burst began, while nothing has come behind them.
    first: u64,
}

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    active: Vec<Active>,
    open: Sample,
    /// How much of its time had passed when bytes last came.
    heard: Duration,
    /// Up to when busy time is counted in `open`.
    counted: Duration,
}

impl Meter {
    fn count_time(&mut self, now: Duration) {
        if self.active.iter().any(|transfer| transfer.first_byte.is_some()) {
            self.open.busy += now.saturating_sub(self.counted);
        }
        self.counted = now;
    }

    /// A request went out.
    pub fn started(&mut self, id: FetchId, now: Duration) {
        self.count_time(now);
        self.active.push(Active {
            id,
            started: now,
            first_byte: None,
            bytes: 0,
            moved: now,
            idle: false,
            first: 0,
        });
    }

    /// Its answer began; returns how long that took.
    pub fn first_byte(&mut self, id: FetchId, now: Duration) -> Option<Duration> {
        self.count_time(now);
        let transfer = self.active.iter_mut().find(|transfer| transfer.id == id)?;
        if transfer.first_byte.is_some() {
            return None;
        }
        transfer.first_byte = Some(now);
        transfer.moved = now;
        Some(now.saturating_sub(transfer.started))
    }

    /// All that there is has come: the server waits for the encoder.
    pub fn idle(&mut self, id: FetchId, now: Duration) {
        self.count_time(now);
        if let Some(transfer) = self.active.iter_mut().find(|transfer| transfer.id == id) {
            let all_at_once = std::mem::take(&mut transfer.first);
            if all_at_once > 0 {
                self.open.bytes += all_at_once;
                self.open.busy += AT_ONCE;
            }
            transfer.first_byte = None;
            transfer.idle = true;
        }
    }

    /// It has brought `bytes` in all; returns how many of them are new.
    pub fn progress(&mut self, id: FetchId, bytes: u64, now: Duration) -> u64 {
        self.count_time(now);
        if let Some(transfer) = self.active.iter_mut().find(|transfer| transfer.id == id) {
            let new = bytes.saturating_sub(transfer.bytes);
            if transfer.idle && new > 0 {
                // As with a head: what comes first was under way before it was noticed.
                transfer.idle = false;
                transfer.first_byte = Some(now);
                transfer.bytes = bytes;
                transfer.moved = now;
                transfer.first = new;
                return new;
            }
            if new > 0 {
                transfer.first = 0;
            }
            if transfer.first_byte.is_none() && new > 0 {
                // Nobody said when the answer began, so all of the time counts.
                transfer.first_byte = Some(transfer.started);
                self.open.busy += now.saturating_sub(transfer.started);
            }
            let since_head = now.saturating_sub(*transfer.first_byte.get_or_insert(now));
            let with_head = transfer.bytes == 0 && since_head <= WITH_HEAD && !since_head.is_zero();
            self.open.bytes += if with_head { new.saturating_sub(MOST_WITH_HEAD) } else { new };
            if new > 0 {
                transfer.bytes = bytes;
                transfer.moved = now;
            }
            return new;
        }
        0
    }

    /// Bytes came; returns how much of the stretch had passed without any.
    pub fn hear(&mut self) -> Duration {
        let silence = self.open.busy.saturating_sub(self.heard);
        self.heard = self.open.busy;
        silence
    }

    /// That silence was an outage.
    pub fn outage(&mut self, silence: Duration) {
        self.open.silent += silence;
        self.open.outages += 1;
    }

    /// It is over, whichever way.
    pub fn ended(&mut self, id: FetchId, now: Duration) {
        self.count_time(now);
        self.active.retain(|transfer| transfer.id != id);
    }

    /// The stretch since the last [`take`](Self::take), when it says something: at least so many bytes and so much time,
    /// or so many bytes that the time hardly matters.
    pub fn take(&mut self, min_bytes: u64, min_busy: Duration) -> Option<Sample> {
        let enough = self.open.bytes >= min_bytes && self.open.busy >= min_busy || self.open.bytes >= PLENTY;
        let sample = enough.then(|| std::mem::take(&mut self.open))?;
        self.heard = Duration::ZERO;
        Some(Sample { busy: sample.busy.max(SHORTEST), ..sample })
    }

    /// The stretch since the last [`take`](Self::take), as far as it was reported.
    pub fn open(&self) -> Sample {
        self.open
    }

    /// The stretch as it stands at `now`. A request that is unanswered for longer than `ttfb` counts as time without bytes.
    pub fn pending(&self, now: Duration, ttfb: Duration) -> Sample {
        let mut sample = self.open;
        if self.active.iter().any(|transfer| transfer.first_byte.is_some()) {
            sample.busy += now.saturating_sub(self.counted);
        } else if let Some(oldest) =
            self.active.iter().filter(|transfer| !transfer.idle).map(|transfer| transfer.started).min()
        {
            sample.busy += now.saturating_sub(oldest).saturating_sub(ttfb);
        }
        sample
    }

    /// Whether one transfer alone is under way.
    pub fn is_single(&self) -> bool {
        self.active.len() == 1
    }

    /// Whether anything is under way.
    pub fn is_active(&self) -> bool {
        !self.active.is_empty()
    }
}
