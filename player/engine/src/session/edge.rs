//! The live edge after an outage: who meant to watch live goes back to it, instead of hurrying after it for minutes.

use std::time::Duration;

use weir_abr::{planner::Event, record};

use super::{Session, trouble};
use crate::log::seconds;

/// Further behind than so many wanted distances, and by this much at least, nothing is caught up on by playing faster: at
/// 1.05 of the speed a second behind takes twenty.
const FEW: u32 = 4;
const LEAST: Duration = Duration::from_secs(5);

impl Session {
    /// From here on playback is too far behind to be called live.
    fn too_far(target: Duration) -> Duration {
        (target * FEW).max(target + LEAST)
    }

    /// The viewer went to `to`: further back than live, that is where he wants to be.
    pub(crate) fn went_to(&mut self, to: Duration) {
        if let Some((_, edge, target)) = self.latency() {
            let edge = self.position().saturating_add(edge);
            self.away = edge.saturating_sub(to) > Self::too_far(target);
        }
    }

    /// The viewer goes on after a pause: what was missed meanwhile is to be seen.
    pub(crate) fn went_on(&mut self) {
        if let Some((_, edge, target)) = self.latency() {
            self.away |= edge > Self::too_far(target);
        }
    }

    /// Goes to the edge when a stall left playback far behind it. `true` when there is something for the brain.
    pub(crate) fn watch_edge(&mut self) -> bool {
        if !self.is_stalled() || self.away || self.playing.paused || self.is_seeking() || self.is_over() {
            return false;
        }
        let Some((_, behind, target)) = self.latency() else { return false };
        if behind <= Self::too_far(target) || self.edge_asked {
            return false;
        }
        // Once a stall: where nothing can be had at the edge either, that is not asked for again and again.
        self.edge_asked = true;
        let to = self.position().saturating_add(behind);
        self.feed(Event::Seek(to));
        true
    }

    /// The brain goes on at `to` of its own accord: at the edge after an outage, or past what has left the window.
    pub(crate) fn jumped(&mut self, from: Duration, to: Duration) {
        let skipped = to.saturating_sub(from);
        if !self.is_live() || skipped < Duration::from_secs(1) {
            return;
        }
        let skipped = skipped.as_secs_f64().round();
        let reason = if self.away {
            format!(
                "The stream does not keep this place any more: it goes on {skipped:.0} s later, at the oldest that there is."
            )
        } else {
            format!("The stream was away too long: {skipped:.0} s are left out, to be live again.")
        };
        self.note(record::Event::LiveJump {
            from_s: seconds(from),
            to_s: seconds(to),
            reason: reason.clone(),
        });
        let advice = "Go back on the bar to see what was left out, as far as the stream keeps it.";
        self.view.warning = Some(trouble::view("live_jump", reason, advice));
        self.view.changed = true;
    }
}
