//! What is downloaded next, within the quotas, and when there is something to look at again.

use std::time::Duration;

use super::{
    Command, FetchId, Phase, Planner, QualityChoice,
    buffer::{Held, Run},
    choose::Wish,
    transfer::Transfer,
};
use crate::{RungId, TrackKind};

/// A download may be looked at again this often while the buffer is at risk.
const LOOK: Duration = Duration::from_millis(100);
/// With less than this a download under way is watched closely.
const AT_RISK: Duration = Duration::from_secs(10);
/// One track may be ahead of the other by this, or by one and a half of its segments.
const LEAD: Duration = Duration::from_secs(3);
/// Never woken sooner than this, so that time goes on.
const TICK: Duration = Duration::from_millis(1);

impl Planner {
    pub(super) fn fetch_more(&mut self, now: Duration) {
        if self.phase == Phase::Ended || self.is_overtaken(now) {
            return;
        }
        for at in 0..self.tracks.len() {
            self.fill_holes(now, at);
            if self.phase == Phase::Failed {
                return;
            }
            if self.tracks.get(at).is_some_and(|state| state.fetch.is_none()) {
                self.fetch_for(now, at);
            }
        }
    }

    /// Segments of which the server says that there is no media are jumped over.
    fn fill_holes(&mut self, now: Duration, at: usize) {
        let position = self.position_at(now);
        while let Some(state) = self.tracks.get(at)
            && let Some(index) = state.run(position).next
            && state.track.segment(index).is_some_and(|segment| segment.gap)
        {
            let Some(state) = self.tracks.get_mut(at) else { return };
            state.buffer.insert(index, Held::Hole);
            let kind = state.track.kind;
            let reason = format!("the server says that {} segment {index} has no media", Self::name(kind));
            self.say(Command::Skip { track: kind, index, reason });
        }
    }

    /// Whether there is room for a segment of so much time and so many bytes after `run`.
    fn has_room(&self, run: &Run, all_bytes: u64, time: Duration, bytes: u64) -> bool {
        // A player that may not hold one segment cannot play.
        let needed = self.config.resume_buffer.max(self.config.start_buffer);
        run.level < needed.min(self.config.max_buffer)
            || (run.level + time <= self.config.max_buffer && all_bytes + bytes <= self.config.max_bytes)
    }

    /// Bytes ahead of the playhead, those under way included.
    pub(super) fn bytes_ahead(&self, position: Duration) -> u64 {
        self.tracks
            .iter()
            .map(|state| {
                state.run(position).bytes
                    + state.fetch.as_ref().map_or(0, |fetch| fetch.size.max(fetch.bytes))
            })
            .sum()
    }

    /// Whether a track may get further ahead although the other one has less.
    fn may_lead(&self, at: usize, run: &Run, position: Duration) -> bool {
        self.tracks.iter().enumerate().all(|(other, state)| {
            if other == at {
                return true;
            }
            let theirs = state.run(position);
            let segment = run
                .next
                .and_then(|index| self.tracks.get(at)?.track.segment(index))
                .map_or(Duration::ZERO, |segment| segment.duration);
            theirs.next.is_none() || run.level <= theirs.level + LEAD.max(segment * 3 / 2)
        })
    }

    fn fetch_for(&mut self, now: Duration, at: usize) {
        let position = self.position_at(now);
        let Some(state) = self.tracks.get(at) else { return };
        let run = state.run(position);
        if now < state.hold_until {
            return;
        }
        let next = run.next.and_then(|index| Some((index, state.track.segment(index)?.duration)));
        let kind = state.track.kind;
        let Some((index, duration)) = next else {
            if kind == TrackKind::Video {
                self.replace_something(now, position, &run);
            }
            return;
        };
        if now < state.failures.not_before(index) {
            return;
        }
        let lowest =
            state.track.segment(index).map_or(0, |segment| segment.size(RungId(0), &state.track.ladder));
        let bytes = self.bytes_ahead(position);
        if !self.has_room(&run, bytes, duration, lowest) || !self.may_lead(at, &run, position) {
            if let Some(state) = self.tracks.get_mut(at) {
                state.idle_since.get_or_insert(now);
            }
            if kind == TrackKind::Video {
                self.replace_something(now, position, &run);
            }
            return;
        }
        if kind == TrackKind::Video && self.replace_before_more(now, position, &run) {
            return;
        }
        let wish = if at == 0 {
            self.end_idling(now, at);
            self.choose_video(now, index, run.level)
        } else {
            self.choose_audio(now, at)
        };
        let Some(wish) = wish else { return };
        if !wish.wait.is_zero() && !self.is_waiting() {
            if let Some(state) = self.tracks.get_mut(at) {
                state.hold_until = now + wish.wait;
            }
            return;
        }
        let Some(wish) = self.fit_bytes(at, index, bytes, wish, &run) else {
            if let Some(state) = self.tracks.get_mut(at) {
                state.idle_since.get_or_insert(now);
            }
            return;
        };
        self.start_fetch(now, at, index, wish, false);
    }

    fn end_idling(&mut self, now: Duration, at: usize) {
        let Some(state) = self.tracks.get_mut(at) else { return };
        if let Some(since) = state.idle_since.take() {
            let idle = now.saturating_sub(since);
            if !idle.is_zero() {
                self.controller.idled(idle);
            }
        }
    }

    /// The chosen rung must not break the byte quota. There is time to wait for room (`None`): a lower rung every now and
    /// then would cost two switches and save nothing. Only what would stall otherwise is fetched in lower quality, unless
    /// the viewer chose.
    fn fit_bytes(&self, at: usize, index: u64, bytes: u64, mut wish: Wish, run: &Run) -> Option<Wish> {
        let Some(state) = self.tracks.get(at) else { return Some(wish) };
        let Some(segment) = state.track.segment(index) else { return Some(wish) };
        let ladder = &state.track.ladder;
        let fits = |rung: RungId| bytes + segment.size(rung, ladder) <= self.config.max_bytes;
        if !fits(wish.rung) {
            if run.level >= self.config.resume_buffer {
                return None;
            }
            if at == 0 && matches!(self.quality, QualityChoice::Manual(_)) {
                return Some(wish);
            }
            while wish.rung.0 > 0 && !fits(wish.rung) {
                wish.rung.0 -= 1;
            }
            wish.rule = "quota";
            wish.reason =
                format!("{}: more does not fit into the memory allowed.", ladder.rung(wish.rung).label());
        }
        Some(wish)
    }

    pub(super) fn start_fetch(&mut self, now: Duration, at: usize, index: u64, wish: Wish, replace: bool) {
        let Some(decision) = self.decide(now, at, index, wish) else {
            if !replace {
                let why = self.tracks.get(at).map(|state| state.failures.last.clone()).unwrap_or_default();
                self.skip(now, at, index, &why);
            }
            return;
        };
        let position = self.position_at(now);
        let id = FetchId(self.next_id);
        self.next_id += 1;
        let Some(state) = self.tracks.get_mut(at) else { return };
        let level = state.run(position).level;
        let size =
            state.track.segment(index).map_or(1, |segment| segment.size(decision.rung, &state.track.ladder));
        let mut transfer = Transfer::new(id, index, decision.rung, size, now);
        transfer.replace = replace;
        transfer.size_known = state.track.segment(index).is_some_and(|segment| !segment.sizes.is_empty());
        transfer.buffer_before = level;
        state.fetch = Some(transfer);
        if !replace {
            state.last = Some(decision.rung);
        }
        let (track, rung) = (state.track.kind, decision.rung);
        self.say(Command::Fetch { id, track, index, rung, replace, decision });
    }

    pub(super) fn choose_quality(&mut self, now: Duration, choice: QualityChoice) {
        self.quality = choice;
        let QualityChoice::Manual(rung) = choice else { return };
        let Some(main) = self.tracks.first_mut() else { return };
        main.forced = None;
        main.hold_until = now;
        // Less than half done at another quality: begin again at the chosen one.
        let wasteful =
            main.fetch.as_ref().is_some_and(|fetch| fetch.rung != rung && fetch.bytes < fetch.size / 2);
        if wasteful {
            self.drop_fetch(now, 0, "the viewer chose another quality");
        }
    }

    /// Says when to look again if nothing else happens.
    pub(super) fn set_wake(&mut self, now: Duration) {
        if matches!(self.phase, Phase::Failed | Phase::Ended) {
            return;
        }
        let position = self.position_at(now);
        let mut wake: Option<Duration> = None;
        let mut at = |time: Duration| wake = Some(wake.map_or(time, |other| other.min(time)));
        let drain = self.drain_rate().max(0.1);
        let running = self.phase == Phase::Playing && !self.paused && self.anchor.is_some();
        for state in &self.tracks {
            let run = state.run(position);
            if running && (run.next.is_some() || self.live.is_some()) {
                let spare = run.level.saturating_sub(self.config.stall_buffer);
                at(now + spare.div_f64(drain) + TICK);
            }
            if let Some(fetch) = &state.fetch {
                let risky = self.is_waiting() || run.level < AT_RISK || fetch.replace;
                at(if risky { now + LOOK } else { now + (run.level - AT_RISK).div_f64(drain) + LOOK });
                continue;
            }
            let Some(index) = run.next else { continue };
            let not_before = state.failures.not_before(index).max(state.hold_until);
            if not_before > now {
                at(not_before);
            }
            if let Some(segment) = state.track.segment(index).filter(|_| running) {
                let excess = (run.level + segment.duration).saturating_sub(self.config.max_buffer);
                if !excess.is_zero() {
                    at(now + excess.div_f64(drain) + TICK);
                }
            }
        }
        let failing = |failures: &super::Failures| {
            failures.waiting_since().or_else(|| failures.refused_since()).is_some()
        };
        if self.is_waiting() && self.tracks.iter().any(|state| failing(&state.failures)) {
            at(now + Duration::from_secs(1));
        }
        if let Some(wake) = wake.map(|wake| wake.max(now + TICK))
            && self.wake.is_none_or(|last| last <= now || last != wake)
        {
            self.wake = Some(wake);
            self.say(Command::WakeAt(wake));
        }
    }
}
