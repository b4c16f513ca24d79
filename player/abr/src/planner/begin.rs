//! How playback begins: at once, and at a quality that is worth looking at.
//!
//! The first segment is fetched before anything is known of the network, so it is a small one. Where it came so fast that
//! a better one comes in next to no time, the better one is fetched in its place and shown: a switch less on screen.

use std::{sync::Arc, time::Duration};

use super::{
    Planner, QualityChoice,
    choose::{MEMORY_SHARE, Wish},
};
use crate::RungId;

/// Playback begins no later than this for a better first segment.
const WITHIN: Duration = Duration::from_millis(400);
/// Place of the quantile of the rate at which it must be there by then.
const PESSIMISTIC: usize = 1;

impl Planner {
    /// Whether playback should wait for a better first segment, which is then under way.
    pub(super) fn begins_better(&mut self, now: Duration) -> bool {
        let until = self.dry_since.unwrap_or(now) + WITHIN;
        let replacing = self.tracks.first().and_then(|state| state.fetch.as_ref()).map(|fetch| fetch.replace);
        match replacing {
            Some(true) if now < until => return true,
            Some(true) => {
                self.drop_fetch(now, 0, "playback begins with what is there");
                return false;
            }
            // More of the film is under way.
            Some(false) => return false,
            None => {}
        }
        let Some((index, rung)) = self.better_beginning(now, until) else { return false };
        let Some(state) = self.tracks.first() else { return false };
        let label = state.track.ladder.rung(rung).label();
        let reason = format!("{label} to begin with: the network is fast, it is there at once.");
        let wish = Wish { rung, rule: "start", reason, wait: Duration::ZERO, scored: false };
        self.start_fetch(now, 0, index, wish, true);
        self.tracks.first().is_some_and(|state| state.fetch.is_some())
    }

    fn better_beginning(&self, now: Duration, until: Duration) -> Option<(u64, RungId)> {
        // At the live edge, waiting is falling behind. Rules that others published begin as they were published.
        if !self.controller.prices()
            || self.quality != QualityChoice::Auto
            || self.live.is_some()
            || !self.bandwidth.is_measured()
        {
            return None;
        }
        let state = self.tracks.first()?;
        let track = Arc::clone(&state.track);
        let index = track.index_at(self.position)?;
        let (held, segment) = (state.buffer.rung(index)?, track.segment(index)?);
        if state.failures.has_failed(index) {
            return None;
        }
        let estimate = self.expected(now)?;
        let context = self.context(&track, now, index, Duration::ZERO)?;
        let carried = context.highest_below(MEMORY_SHARE * estimate.mean.bps() as f64);
        let fetch = |rung: RungId| estimate.fetch_time_at(PESSIMISTIC, segment.size(rung, &track.ladder));
        (held.0 + 1..=carried)
            .rev()
            .map(RungId)
            .find(|rung| now + fetch(*rung) <= until)
            .map(|rung| (index, rung))
    }
}
