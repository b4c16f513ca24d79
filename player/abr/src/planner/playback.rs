//! Start, stall, resume, seek: whether pictures move.

use std::time::Duration;

use super::{Command, Phase, Planner, State, buffer::Run};

/// The rest of a segment has to come so many times faster than it would be missed.
const SAFETY: f64 = 1.2;
/// A download that is younger says nothing about its rate.
const TELLING: Duration = Duration::from_millis(250);

/// Whether what is still to come of the segment that `run` ends in will be there in time. A picture that stands again a
/// second later is worse than one that comes a second later.
fn keeps_up(state: &State, run: &Run, now: Duration, drain: f64) -> bool {
    if run.part.is_zero() {
        return true;
    }
    let fetch = state.fetch.as_ref().filter(|fetch| run.next == Some(fetch.index) && !fetch.replace);
    let segment = run.next.and_then(|index| state.track.segment(index));
    let (Some(fetch), Some(segment)) = (fetch, segment) else { return false };
    // It comes as fast as it is made.
    if fetch.is_paced() {
        return true;
    }
    let in_flight = fetch.in_flight(now);
    if in_flight.elapsed.saturating_sub(in_flight.ttfb.unwrap_or_default()) < TELLING {
        return false;
    }
    let plays = (run.level + segment.end().saturating_sub(run.end)).as_secs_f64() / drain.max(0.1);
    in_flight.bits_left() * SAFETY <= plays * in_flight.recent_bps
}

impl Planner {
    pub(super) fn playhead(&mut self, now: Duration, position: Duration) {
        match self.phase {
            Phase::Playing => {
                self.position = position;
                self.anchor = (!self.paused).then_some(now);
            }
            // The clock is held: where it stands is known, and late news must not move it back.
            Phase::Stalled => self.position = self.position.max(position),
            // News from before a seek.
            Phase::Waiting | Phase::Starting | Phase::Seeking | Phase::Ended | Phase::Failed => {}
        }
    }

    /// Whether playback can go on at `position` with `need` of media, as far as there is so much.
    pub(super) fn is_ready(&self, now: Duration, position: Duration, need: Duration) -> bool {
        // At the edge there is never more than the wanted distance, and no more than half of it can be asked for.
        let need = match self.live.filter(|_| self.low.is_some()) {
            Some(live) => need.min(live.target_latency / 2),
            None => need,
        };
        !self.tracks.is_empty()
            && self.tracks.iter().all(|state| {
                let mut run = state.run(position);
                let segment = run.next.and_then(|index| state.track.segment(index));
                if !keeps_up(state, &run, now, self.drain_rate()) {
                    run.level = run.level.saturating_sub(run.part);
                }
                match (segment, self.live) {
                    (None, None) => true,
                    // All that is listed is here; more will come.
                    (None, Some(live)) => run.level >= need.min(live.target_latency / 2),
                    // No room for more counts as enough.
                    (Some(segment), _) => {
                        run.level >= need
                            || (!run.level.is_zero()
                                && run.level + segment.duration > self.config.max_buffer.max(need))
                    }
                }
            })
    }

    fn is_dry(&self, position: Duration) -> bool {
        self.tracks.iter().any(|state| {
            let run = state.run(position);
            run.level < self.config.stall_buffer && (run.next.is_some() || self.live.is_some())
        })
    }

    pub(super) fn update_playback(&mut self, now: Duration) {
        let position = self.position_at(now);
        match self.phase {
            Phase::Starting if self.is_ready(now, self.position, self.config.start_buffer) => {
                if self.begins_better(now) {
                    return;
                }
                self.position = self.past_holes(self.nearer_to_edge(now));
                self.run_on();
                self.say(Command::Start { position: self.position });
            }
            Phase::Seeking if self.is_ready(now, self.position, self.config.start_buffer) => {
                self.position = self.past_holes(self.position);
                self.run_on();
                self.say(Command::SeekReady { position: self.position });
            }
            Phase::Stalled if self.is_ready(now, self.position, self.config.resume_buffer) => {
                self.run_on();
                self.say(Command::Resume);
            }
            Phase::Playing if !self.paused && self.is_dry(position) => {
                self.position = position;
                self.anchor = None;
                self.phase = Phase::Stalled;
                self.dry_since = Some(now);
                self.say(Command::Stall);
            }
            _ => {}
        }
    }

    /// Where playback starts: the edge has gone on while the first media came, and what is behind by that would have to be
    /// caught up on.
    fn nearer_to_edge(&self, now: Duration) -> Duration {
        let wanted = match self.latency(now).filter(|_| self.low.is_some() && self.at_edge) {
            Some((latency, target)) => self.position + latency.saturating_sub(target),
            None => return self.position,
        };
        if self.is_ready(now, wanted, self.config.start_buffer) { wanted } else { self.position }
    }

    fn run_on(&mut self) {
        self.phase = Phase::Playing;
        // The clock counts from the first report after this.
        self.anchor = None;
        self.dry_since = None;
    }

    fn past_holes(&self, position: Duration) -> Duration {
        self.tracks.first().map_or(position, |state| state.buffer.past_hole(&state.track, position))
    }

    pub(super) fn seek(&mut self, now: Duration, target: Duration) {
        match self.phase {
            Phase::Failed => return,
            Phase::Waiting => {
                self.start_at = Some(target);
                return;
            }
            _ => {}
        }
        let target = self.clamp(target);
        let in_buffer = self.is_ready(now, target, self.config.start_buffer);
        for at in 0..self.tracks.len() {
            let Some(state) = self.tracks.get_mut(at) else { continue };
            let run = state.run(target);
            let wanted = state.fetch.as_ref().is_some_and(|fetch| {
                let from = state.track.index_at(target).unwrap_or(u64::MAX);
                if fetch.replace { in_buffer && fetch.index > from } else { run.next == Some(fetch.index) }
            });
            if !wanted {
                state.forced = None;
                self.drop_fetch(now, at, "the viewer went elsewhere");
            }
        }
        self.position = target;
        self.anchor = None;
        self.at_edge = self.is_near_edge(now, target);
        if self.phase == Phase::Starting {
            self.origin = target;
            return;
        }
        if in_buffer {
            self.run_on();
            self.say(Command::SeekReady { position: target });
        } else {
            self.phase = Phase::Seeking;
            self.origin = target;
            self.dry_since = Some(now);
            self.controller.restarted();
            for state in &mut self.tracks {
                state.hold_until = now;
                state.idle_since = None;
            }
        }
    }

    /// Whether playback stands for want of media.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Seeking | Phase::Stalled)
    }
}
