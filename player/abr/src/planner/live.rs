//! The live edge: staying at the wanted distance from it, and inside the window.

use std::time::Duration;

use super::{Command, Live, Phase, Planner};

/// Catch-up and slow-down rates: a change of five percent is hardly heard.
const FASTER: f64 = 1.05;
const SLOWER: f64 = 0.95;

/// The edge of a stream whose newest segment can be had while it is being made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    /// End of what can be had.
    pub at: Duration,
    /// It grows in steps of this; zero where it grows steadily.
    pub step: Duration,
    /// When it was said.
    pub seen: Duration,
}

impl Planner {
    /// End of what can be had now, where the listed segments end at `end`.
    pub(super) fn newest(&self, end: Duration) -> Duration {
        self.low.map_or(end, |low| low.at.min(end))
    }

    /// The step in which the end of what can be had grows: nothing is extrapolated further.
    fn step(&self) -> Duration {
        let segment = self.tracks.first().and_then(|state| state.track.segments.last());
        let segment = segment.map_or(Duration::from_secs(1), |segment| segment.duration);
        self.low.map_or(segment, |low| low.step)
    }

    /// Where the live edge is, the listed end taken as growing steadily.
    fn live_edge(&self, now: Duration) -> Option<(Duration, Live)> {
        let live = self.live.filter(|live| live.start_at_edge)?;
        let segment = self.tracks.first()?.track.segments.last()?.duration;
        if let Some(low) = self.low {
            let most = if low.step.is_zero() { segment } else { low.step };
            return Some((low.at + now.saturating_sub(low.seen).min(most), live));
        }
        let grown = now.saturating_sub(self.edge_moved).min(segment);
        Some((self.edge + grown, live))
    }

    /// Distance to the live edge, and the wanted one; `None` where there is no edge to keep to.
    pub fn latency(&self, now: Duration) -> Option<(Duration, Duration)> {
        let (edge, live) = self.live_edge(now)?;
        Some((edge.saturating_sub(self.position_at(now)), live.target_latency))
    }

    /// Whether who plays at `position` means to watch live: a viewer who went further back wants to see that, at its own
    /// speed.
    pub(super) fn is_near_edge(&self, now: Duration, position: Duration) -> bool {
        let Some((edge, live)) = self.live_edge(now) else { return true };
        let segment = self.tracks.first().and_then(|state| state.track.segments.last());
        let slack = segment.map_or(Duration::ZERO, |segment| segment.duration * 2) + Duration::from_secs(1);
        edge.saturating_sub(position) <= live.target_latency + slack
    }

    pub(super) fn follow_edge(&mut self, now: Duration) {
        let wanted = self.wanted_live_rate(now);
        if (wanted - self.live_rate).abs() > f64::EPSILON {
            self.position = self.position_at(now);
            self.anchor = self.anchor.map(|_| now);
            self.live_rate = wanted;
            self.say(Command::SetRate(wanted * self.rate));
        }
    }

    fn wanted_live_rate(&self, now: Duration) -> f64 {
        let Some((latency, target)) = self.latency(now) else { return 1.0 };
        if !self.at_edge || self.phase != Phase::Playing || (self.rate - 1.0).abs() > f64::EPSILON {
            return 1.0;
        }
        let (latency, target) = (latency.as_secs_f64(), target.as_secs_f64());
        // The listed end comes in steps, so the extrapolated one is up to one of them ahead of it; where they are small, half
        // of one in the mean.
        let step = if self.low.is_some() { self.step() / 2 } else { self.step() };
        let late = latency - target - step.as_secs_f64();
        let level = self.level(self.position_at(now)).as_secs_f64();
        let comfortable = level > (0.3 * target).max(2.0 * self.config.stall_buffer.as_secs_f64());
        // Each change of rate is a flush: not for what nobody notices.
        let slack = (0.15 * target).clamp(if self.low.is_some() { 0.3 } else { 0.2 }, 2.0);
        if self.live_rate > 1.0 {
            if late > 0.0 && comfortable { FASTER } else { 1.0 }
        } else if self.live_rate < 1.0 {
            if latency < target && level < 0.5 * target { SLOWER } else { 1.0 }
        } else if late > slack && comfortable {
            FASTER
        } else if latency < target - slack && level < 0.3 * target {
            SLOWER
        } else {
            1.0
        }
    }

    /// What stood at the playhead is not listed any more.
    fn is_behind_window(&self, now: Duration) -> bool {
        self.live.is_some() && self.position_at(now) + Duration::from_millis(100) < self.first_position()
    }

    /// The viewer paused, and what he would see next has left the window meanwhile: whatever is fetched now would leave it too.
    pub(super) fn is_overtaken(&self, now: Duration) -> bool {
        self.paused && self.phase == Phase::Playing && self.is_behind_window(now)
    }

    /// Jumps forward when the window has left the playhead behind: to the edge who was there, to what is nearest who had gone
    /// back or paused.
    pub(super) fn keep_in_window(&mut self, now: Duration) {
        let Some(live) = self.live else { return };
        if self.phase == Phase::Ended || !self.is_behind_window(now) || self.is_overtaken(now) {
            return;
        }
        if self.level(self.position_at(now)) > self.config.stall_buffer {
            return;
        }
        let first = self.first_position();
        let main = self.newest(self.tracks.first().map(|state| state.track.end()).unwrap_or_default());
        let edge = main.saturating_sub(live.target_latency).max(first);
        let target = if self.at_edge { edge } else { self.past_oldest(first).min(edge) };
        if self.phase == Phase::Playing && !self.paused {
            self.say(Command::Stall);
        }
        self.seek(now, target);
    }

    /// Not the very first segment: it is the next to go.
    fn past_oldest(&self, first: Duration) -> Duration {
        let segment = self.tracks.first().and_then(|state| state.track.segments.get(1));
        segment.map_or(first, |second| second.end().max(first + Duration::from_secs(2)))
    }
}
