//! A download under way.

use std::{collections::VecDeque, time::Duration};

use super::FetchId;
use crate::{
    RungId,
    control::{InFlight, Resumed, SILENCE},
};

/// The rate of a download is taken over this time.
const RECENT: Duration = Duration::from_millis(2000);

#[derive(Clone, Debug)]
pub(super) struct Transfer {
    pub id: FetchId,
    pub index: u64,
    pub rung: RungId,
    pub replace: bool,
    pub asked: Duration,
    pub first_byte: Option<Duration>,
    pub bytes: u64,
    /// Expected in all.
    pub size: u64,
    /// The server or the manifest said so.
    pub size_known: bool,
    /// When bytes last came.
    pub moved: Duration,
    /// Media ahead of the playhead when it was asked for.
    pub buffer_before: Duration,
    /// Since when it waits for the encoder.
    pub idle: Option<Duration>,
    /// How long it has waited for the encoder in all, before that.
    waited: Duration,
    /// Silences of [`SILENCE`] and more, and when bytes came again after the last one, with how many there were.
    silences: Duration,
    resumed: Option<(Duration, u64)>,
    /// Time and bytes so far, a few per second.
    points: VecDeque<(Duration, u64)>,
}

impl Transfer {
    pub(super) fn new(id: FetchId, index: u64, rung: RungId, size: u64, now: Duration) -> Self {
        Self {
            id,
            index,
            rung,
            replace: false,
            asked: now,
            first_byte: None,
            bytes: 0,
            size: size.max(1),
            size_known: false,
            moved: now,
            buffer_before: Duration::ZERO,
            idle: None,
            waited: Duration::ZERO,
            silences: Duration::ZERO,
            resumed: None,
            points: VecDeque::with_capacity(24),
        }
    }

    /// All that there is has come.
    pub(super) fn idle(&mut self, now: Duration) {
        self.idle.get_or_insert(now);
    }

    /// It is, or was, slower than the network because the segment is still being made.
    pub(super) fn is_paced(&self) -> bool {
        self.idle.is_some() || !self.waited.is_zero()
    }

    /// The time of its own that it has had by `now`: waiting for the encoder left out.
    pub(super) fn clock(&self, now: Duration) -> Duration {
        self.idle.unwrap_or(now).saturating_sub(self.waited)
    }

    pub(super) fn progress(&mut self, now: Duration, bytes: u64) {
        if bytes > self.bytes
            && let Some(since) = self.idle.take()
        {
            self.waited += now.saturating_sub(since);
            self.moved = now;
        }
        let now = self.clock(now);
        self.first_byte.get_or_insert(now);
        if bytes > self.bytes {
            let silence = self.silent(now);
            if silence >= SILENCE {
                self.silences += silence;
                self.resumed = Some((now, self.bytes));
            }
            self.bytes = bytes;
            self.moved = now + self.waited;
        }
        if self.points.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= Duration::from_millis(100)) {
            self.points.push_back((now, self.bytes));
        }
        while self.points.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= RECENT) {
            self.points.pop_front();
        }
    }

    /// How long nothing has come, by the transfer's own clock.
    fn silent(&self, clock: Duration) -> Duration {
        self.first_byte.map_or(Duration::ZERO, |first| {
            clock.saturating_sub(first.max(self.moved.saturating_sub(self.waited)))
        })
    }

    /// Bit/s over the last two seconds, or since its first byte; silence counts.
    pub(super) fn recent_bps(&self, now: Duration) -> f64 {
        let now = self.clock(now);
        let begun = self.first_byte.unwrap_or(self.asked);
        let (from, bytes) = self
            .points
            .iter()
            .copied()
            .find(|(at, _)| now.saturating_sub(*at) <= RECENT)
            .filter(|(at, _)| now.saturating_sub(*at) >= Duration::from_millis(500))
            .unwrap_or_else(|| {
                let from = now.saturating_sub(RECENT).max(begun);
                let before = self.points.iter().rev().find(|(at, _)| *at <= from);
                (from, before.map_or(0, |(_, bytes)| *bytes))
            });
        let seconds = now.saturating_sub(from).as_secs_f64();
        if seconds > 0.0 { self.bytes.saturating_sub(bytes) as f64 * 8.0 / seconds } else { 0.0 }
    }

    /// What to reckon with: segments vary around the average, and one that is larger than was thought still has
    /// something to come.
    fn likely_size(&self) -> u64 {
        if self.size_known {
            self.size
        } else {
            (self.size + self.size / 4).max(self.bytes + self.bytes / 8 + 1)
        }
    }

    /// As a controller sees it.
    pub(super) fn in_flight(&self, now: Duration) -> InFlight {
        let clock = self.clock(now);
        let resumed = |(at, bytes): (Duration, u64)| Resumed {
            silences: self.silences,
            elapsed: clock.saturating_sub(at),
            bytes: self.bytes.saturating_sub(bytes),
        };
        InFlight {
            rung: self.rung,
            bytes: self.bytes,
            size: self.likely_size(),
            elapsed: clock.saturating_sub(self.asked),
            ttfb: self.first_byte.map(|at| at.saturating_sub(self.asked)),
            recent_bps: self.recent_bps(now),
            silent: self.silent(clock),
            resumed: self.resumed.map(resumed),
        }
    }
}
