//! Downloads that are better given up.

use std::{sync::Arc, time::Duration};

use super::{Command, Failure, Phase, Planner, QualityChoice};
use crate::control::{self, Context};

/// A download that has not moved for so long is dead: the connection is, or the server.
const DEAD: Duration = Duration::from_secs(10);

impl Planner {
    pub(super) fn give_up_downloads(&mut self, now: Duration) {
        for at in 0..self.tracks.len() {
            self.give_up_dead(now, at);
            if self.phase == Phase::Failed {
                return;
            }
            self.give_up_slow(now, at);
        }
    }

    fn give_up_dead(&mut self, now: Duration, at: usize) {
        let Some(fetch) = self.tracks.get(at).and_then(|state| state.fetch.as_ref()) else { return };
        if now.saturating_sub(fetch.moved.max(fetch.asked)) < DEAD {
            return;
        }
        let reason = format!("nothing came for {} seconds", DEAD.as_secs());
        if let Some(fetch) = self.drop_fetch(now, at, &reason) {
            self.segment_failed(now, at, fetch.index, fetch.rung, Failure::Network, fetch.replace);
            if let Some(state) = self.tracks.get_mut(at) {
                state.failures.at_once(fetch.index);
            }
        }
    }

    fn give_up_slow(&mut self, now: Duration, at: usize) {
        let position = self.position_at(now);
        let Some(state) = self.tracks.get(at) else { return };
        let Some(fetch) = &state.fetch else { return };
        let (index, replace) = (fetch.index, fetch.replace);
        let run = state.run(position);
        if replace {
            self.give_up_replacement(now, position, &run);
            return;
        }
        if at == 0 && self.quality != QualityChoice::Auto {
            return;
        }
        let track = Arc::clone(&state.track);
        let in_flight = fetch.in_flight(now);
        let Some(context) = self.context(&track, now, index, run.level) else { return };
        let target = if at == 0 {
            self.controller.abandon(&context, &in_flight)
        } else {
            control::abandon_late(&Context { limit: track.ladder.top(), ..context }, &in_flight)
        };
        let Some(target) = target.filter(|target| target.0 < in_flight.rung.0) else { return };
        let reason = format!(
            "{} of {} kB came in {:.1} s and {:.1} s are buffered: {} comes sooner.",
            in_flight.bytes / 1000,
            in_flight.size / 1000,
            in_flight.elapsed.as_secs_f64(),
            run.level.as_secs_f64(),
            track.ladder.rung(target).label(),
        );
        let Some(state) = self.tracks.get_mut(at) else { return };
        state.forced = Some((index, target));
        let Some(fetch) = state.fetch.take() else { return };
        self.bandwidth.ended(fetch.id, now);
        self.say(Command::Abandon { id: fetch.id, reason });
    }
}
