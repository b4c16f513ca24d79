//! The buffer and what was played from it, with Sabre's figures.

use std::collections::VecDeque;

use super::Film;

#[derive(Clone, Debug)]
pub(super) struct Buffer<'a> {
    film: &'a Film,
    rungs: VecDeque<u8>,
    /// Part of the first segment that is played, in ms.
    played_ms: f64,
    last: Option<u8>,
    pub(super) total_ms: f64,
    pub(super) stall_ms: f64,
    pub(super) stalls: u32,
    pub(super) utility: f64,
    pub(super) kbps: f64,
    pub(super) change_kbps: f64,
    /// Ramp-up is measured from here.
    pub(super) rampup_origin_ms: f64,
    pub(super) rampup_ms: Option<f64>,
}

impl<'a> Buffer<'a> {
    pub(super) fn new(film: &'a Film) -> Self {
        Self {
            film,
            rungs: VecDeque::with_capacity(64),
            played_ms: 0.0,
            last: None,
            total_ms: 0.0,
            stall_ms: 0.0,
            stalls: 0,
            utility: 0.0,
            kbps: 0.0,
            change_kbps: 0.0,
            rampup_origin_ms: 0.0,
            rampup_ms: None,
        }
    }

    pub(super) fn level_ms(&self) -> f64 {
        self.film.segment_ms * self.rungs.len() as f64 - self.played_ms
    }

    pub(super) fn push(&mut self, rung: usize) {
        self.rungs.push_back(rung as u8);
    }

    /// Plays for so long, or stalls. `ramped_up` says from which rung on playback counts as ramped up.
    pub(super) fn play(&mut self, mut time_ms: f64, ramped_up: impl Fn() -> usize) {
        if self.rungs.is_empty() {
            self.stall_ms += time_ms;
            self.total_ms += time_ms;
            return;
        }
        let segment_ms = self.film.segment_ms;
        if self.played_ms > 0.0 {
            if time_ms + self.played_ms < segment_ms {
                self.played_ms += time_ms;
                self.total_ms += time_ms;
                return;
            }
            time_ms -= segment_ms - self.played_ms;
            self.total_ms += segment_ms - self.played_ms;
            self.rungs.pop_front();
            self.played_ms = 0.0;
        }
        while time_ms > 0.0
            && let Some(rung) = self.rungs.front().copied()
        {
            self.show(rung, &ramped_up);
            if time_ms >= segment_ms {
                self.rungs.pop_front();
                self.total_ms += segment_ms;
                time_ms -= segment_ms;
            } else {
                self.played_ms = time_ms;
                self.total_ms += time_ms;
                time_ms = 0.0;
            }
        }
        if time_ms > 0.0 {
            self.stall_ms += time_ms;
            self.total_ms += time_ms;
            self.stalls += 1;
        }
    }

    fn show(&mut self, rung: u8, ramped_up: &impl Fn() -> usize) {
        let at = usize::from(rung);
        self.utility += self.film.utility[at];
        self.kbps += self.film.kbps[at];
        if let Some(last) = self.last.replace(rung)
            && last != rung
        {
            self.change_kbps += (self.film.kbps[at] - self.film.kbps[usize::from(last)]).abs();
        }
        if self.rampup_ms.is_none() && at >= ramped_up() {
            self.rampup_ms = Some(self.total_ms - self.rampup_origin_ms);
        }
    }

    /// Plays all that is left.
    pub(super) fn play_out(&mut self, ramped_up: impl Fn() -> usize) {
        self.play(self.level_ms(), ramped_up);
        self.clear();
    }

    pub(super) fn clear(&mut self) {
        self.rungs.clear();
        self.played_ms = 0.0;
    }

    /// How far from the buffer's end the earliest segment of a lower rung is that may still be replaced
    /// (1 is the last one); segments that play soon are left alone.
    pub(super) fn replaceable(&self, rung: usize) -> Option<usize> {
        let skip = (1.5 + self.played_ms / self.film.segment_ms).ceil() as usize;
        (skip..self.rungs.len())
            .find(|at| usize::from(self.rungs[*at]) < rung)
            .map(|at| self.rungs.len() - at)
    }

    /// Replaces the segment so far from the buffer's end, if it is still there.
    pub(super) fn replace(&mut self, from_end: usize, rung: usize) {
        if let Some(at) = self.rungs.len().checked_sub(from_end) {
            self.rungs[at] = rung as u8;
        }
    }
}
