//! How downloads end.

use std::time::Duration;

use super::{
    Command, Failure, FetchId, Phase, Planner, REMEMBERED,
    buffer::Held,
    failures::{PATIENCE, REFUSED, REFUSED_LIVE, Verdict, sentence},
};
use crate::{RungId, control::Delivery};

/// What one more given up would end the session is asked for again this often, as long as there is something to play.
const PROBE: Duration = Duration::from_secs(3);

impl Planner {
    fn place_of(&self, id: FetchId) -> Option<usize> {
        self.tracks.iter().position(|state| state.fetch.as_ref().is_some_and(|fetch| fetch.id == id))
    }

    pub(super) fn transfer_done(&mut self, now: Duration, id: FetchId, bytes: u64) {
        let position = self.position_at(now);
        self.bandwidth.progress(id, bytes, now);
        self.bandwidth.ended(id, now);
        let Some(at) = self.place_of(id) else { return };
        let Some(state) = self.tracks.get_mut(at) else { return };
        let Some(fetch) = state.fetch.take() else { return };
        state.failures.worked(fetch.index, fetch.rung);
        state.buffer.insert(fetch.index, Held::Media { rung: fetch.rung, bytes });
        if state.done.len() >= REMEMBERED {
            state.done.pop_front();
        }
        state.done.push_back((id, fetch.index, fetch.rung));
        if state.forced.is_some_and(|(index, _)| index == fetch.index) {
            state.forced = None;
        }
        if fetch.replace && self.phase == Phase::Starting {
            // A better beginning: what is fetched next goes on from here.
            state.last = Some(fetch.rung);
        }
        if at == 0 {
            let duration =
                state.track.segment(fetch.index).map_or(Duration::ZERO, |segment| segment.duration);
            let delivery = Delivery {
                rung: fetch.rung,
                bytes,
                took: fetch.clock(now).saturating_sub(fetch.asked),
                ttfb: fetch.first_byte.unwrap_or(fetch.clock(now)).saturating_sub(fetch.asked),
                duration,
                buffer_before: fetch.buffer_before,
                buffer_after: state.run(position).level,
                replaced: fetch.replace,
            };
            self.controller.delivered(&delivery);
        }
    }

    pub(super) fn transfer_failed(&mut self, now: Duration, id: FetchId, failure: Failure) {
        self.bandwidth.ended(id, now);
        if let Some(at) = self.place_of(id) {
            let Some(fetch) = self.tracks.get_mut(at).and_then(|state| state.fetch.take()) else { return };
            self.segment_failed(now, at, fetch.index, fetch.rung, failure, fetch.replace);
            return;
        }
        // It arrived, and then turned out to be of no use.
        let found = self.tracks.iter_mut().enumerate().find_map(|(at, state)| {
            let place = state.done.iter().position(|(done, ..)| *done == id)?;
            let (_, index, rung) = state.done.remove(place)?;
            // Unless something better took its place meanwhile.
            (state.buffer.rung(index) == Some(rung)).then(|| {
                state.buffer.remove(index);
                (at, index, rung)
            })
        });
        if let Some((at, index, rung)) = found {
            self.segment_failed(now, at, index, rung, failure, false);
        }
    }

    pub(super) fn segment_failed(
        &mut self,
        now: Duration,
        at: usize,
        index: u64,
        rung: RungId,
        failure: Failure,
        replace: bool,
    ) {
        let position = self.position_at(now);
        let Some(state) = self.tracks.get_mut(at) else { return };
        let rungs = state.track.ladder.len();
        let kind = state.track.kind;
        let verdict = state.failures.failed(now, index, rung, failure, rungs);
        if state.forced.is_some_and(|(forced, _)| forced == index) {
            state.forced = None;
        }
        if failure == Failure::Unplayable {
            let from = state.track.index_at(position).unwrap_or(index);
            state.buffer.drop_rung(rung, from);
            if state.fetch.as_ref().is_some_and(|fetch| fetch.rung == rung) {
                self.drop_fetch(now, at, "this quality cannot be decoded here");
            }
        }
        match verdict {
            Verdict::Hopeless => {
                let reason = format!(
                    "None of the {rungs} qualities of the {} can be decoded here. Install a decoder for this \
                     format, or choose another stream.",
                    Self::name(kind)
                );
                self.fail(now, reason);
            }
            // What is buffered stays.
            Verdict::Skip if replace => {}
            Verdict::Skip => self.skip(now, at, index, &sentence(failure)),
            Verdict::Retry => {}
        }
    }

    /// Gives a segment up.
    pub(super) fn skip(&mut self, now: Duration, at: usize, index: u64, why: &str) {
        // What is buffered is played first: the server may come to its senses meanwhile, and a live stream may come back.
        let plays = self.level(self.position_at(now)) > self.config.stall_buffer;
        let Some(state) = self.tracks.get_mut(at) else { return };
        let waits = plays || (self.live.is_some() && state.failures.refused_since().is_some());
        if waits && state.failures.would_be_too_many(index, state.buffer.media_before(index)) {
            state.failures.put_off(index, now + PROBE);
            return;
        }
        let kind = state.track.kind;
        let rungs = state.track.ladder.len();
        state.buffer.insert(index, Held::Hole);
        let hopeless = state.failures.too_many_skips(index, state.buffer.media_before(index));
        // Nothing is left to begin with: there will never be a picture.
        let nothing = self.live.is_none() && self.phase == Phase::Starting && {
            let run = state.run(self.position);
            run.next.is_none() && run.level.is_zero()
        };
        let qualities = if rungs > 1 { format!("at any of {rungs} qualities: ") } else { String::new() };
        let reason = format!("{} segment {index} cannot be had {qualities}{why}", Self::name(kind));
        self.say(Command::Skip { track: kind, index, reason });
        if hopeless {
            let reason = format!(
                "Many {} segments in a row up to number {index} could not be had: {why}. Check that the stream is \
                 still published and that you may watch it, then open it again.",
                Self::name(kind)
            );
            self.fail(now, reason);
        } else if nothing {
            let reason = format!(
                "None of the {} segments could be had: {why}. Check that the stream is still published and that you \
                 may watch it, then open it again.",
                Self::name(kind)
            );
            self.fail(now, reason);
        }
    }

    /// Ends a session for which waiting has not helped.
    pub(super) fn give_up_session(&mut self, now: Duration) {
        let Some(dry) = self.dry_since.filter(|_| self.is_waiting()) else { return };
        let dry = now.saturating_sub(dry);
        let refused = if self.live.is_some() { REFUSED_LIVE } else { REFUSED };
        let hopeless = self.tracks.iter().find_map(|state| {
            let long = |since: Option<Duration>, least: Duration, dry_least: Duration| {
                let waited = now.saturating_sub(since?);
                (waited >= least && dry >= dry_least).then_some(waited.as_secs())
            };
            let (name, last) = (Self::name(state.track.kind), &state.failures.last);
            if let Some(seconds) = long(state.failures.refused_since(), refused, REFUSED) {
                return Some(format!(
                    "The server has given out no {name} for {seconds} seconds: {last}. It is in trouble, or the \
                     stream is gone: try again later."
                ));
            }
            let seconds = long(state.failures.waiting_since(), PATIENCE, PATIENCE / 3)?;
            Some(format!(
                "No {name} could be loaded for {seconds} seconds: {last}. Check the network connection and that the \
                 server is running, then open the stream again."
            ))
        });
        if let Some(reason) = hopeless {
            self.fail(now, reason);
        }
    }
}
