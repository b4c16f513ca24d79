//! Whether a download under way is better given up: what it is worth to wait for it, against beginning again.

use super::{Weir, value::Fetch};
use crate::{
    RungId,
    control::{Context, InFlight, SILENCE, abandon_late},
    estimate::OUTAGE,
};

/// Nothing is judged sooner than this after the request, or after its first byte, in seconds.
const SOONEST: f64 = 0.5;
/// With less than this ahead, in seconds, a request that is not answered is made anew.
const LAST_CALL: f64 = 1.0;
/// Slowness that has lasted for a while goes on for this share of it, and for so many seconds at most.
const LASTS: f64 = 0.5;
const LONGEST: f64 = 4.0;
/// After so many seconds a slow download says as much as a whole sample, and four times as much after twice as many: a
/// dip is over sooner or later, a link that got slow is not.
const TELLING: f64 = 3.0;
/// The same on a link that did just what was expected of it until now: such a link has no dips.
const TELLING_AFTER_CALM: f64 = 1.5;
/// It goes on as was expected while it is no slower than by this, in logarithms: nothing is new then.
const SLOWER: f64 = -0.1;
/// Nothing is given up with more than this share of the largest buffer ahead: most dips are over before it is gone, and
/// a lower rung for one segment is two switches on screen.
const ENOUGH: f64 = 0.45;
/// A rate over less than this, in seconds, says nothing, and one over more than this is the recent one.
const BRIEF: f64 = 0.3;
const RECENT: f64 = 2.0;
/// The rate falls by no more than this, in logarithms, for one download.
const WORST: f64 = -4.0;

impl Weir {
    pub(super) fn begin_again(&self, context: &Context<'_>, transfer: &InFlight) -> Option<RungId> {
        let rungs = context.rungs();
        let known = self.solved.as_ref().zip(context.estimate).filter(|_| self.table.is_for(rungs));
        let Some(((_, taste), estimate)) = known else { return abandon_late(context, transfer) };
        let elapsed = transfer.elapsed.as_secs_f64();
        let ttfb = estimate.ttfb.as_secs_f64();
        let current = transfer.rung.0;
        // An outage is waited for while there is something to see; then it is time to ask once more, and for less.
        let time_left = context.buffer.as_secs_f64() > LAST_CALL && context.latency.is_none();
        let patience = if time_left { OUTAGE.as_secs_f64() } else { ttfb + SOONEST };
        let no_head = transfer.ttfb.is_none() && elapsed < ttfb + patience;
        if current == 0 || current >= rungs || elapsed < SOONEST || no_head {
            return None;
        }
        // With so much ahead there is time to see what the link does next, and to give up then.
        if context.buffer.as_secs_f64() > (ENOUGH * taste.max_buffer).max(taste.reserve) {
            return None;
        }
        let flowing = elapsed - transfer.ttfb.map_or(ttfb, |ttfb| ttfb.as_secs_f64());
        if transfer.ttfb.is_some() && flowing < SOONEST {
            // An answer that took long says nothing of how fast it comes.
            return None;
        }
        if transfer.silent >= SILENCE {
            // Anything else would not come either. Once bytes come again it can be given up as well as now.
            return None;
        }
        let mut outlook = self.outlook(&estimate);
        let silences = transfer.resumed.map_or(0.0, |resumed| resumed.silences.as_secs_f64());
        let (elapsed, flowing) = ((elapsed - silences).max(0.1), (flowing - silences).max(0.1));
        let rate = match transfer.resumed.map(|resumed| (resumed.elapsed.as_secs_f64(), resumed.bytes)) {
            Some((since, _)) if since < BRIEF => outlook.next.exp(),
            Some((since, bytes)) if since < RECENT => bytes as f64 * 8.0 / since,
            _ => transfer.recent_bps,
        };
        let rate = rate.max(1.0);
        let slowest = (transfer.bytes as f64 * 8.0 / flowing).min(rate).max(1.0);
        let fall = (slowest.ln() - outlook.next).clamp(WORST, 0.0);
        if fall > SLOWER && transfer.resumed.is_none() {
            return None;
        }
        let telling = if estimate.steady.is_some() { TELLING_AFTER_CALM } else { TELLING };
        let believed = 1.0 - (1.0 - estimate.outlook.gain).max(0.0).powf((elapsed / telling).powi(2));
        outlook.next += believed * fall;
        let dip = if rate < outlook.next.exp() { LASTS * elapsed.min(LONGEST) } else { 0.0 };
        let buffer = context.buffer.as_secs_f64();
        let outcomes = self.table.outcomes(&outlook, taste);
        let before = self.delivered.unwrap_or(current);
        let worth = |rung: usize, bits: f64, head: f64| {
            // What comes through before the network is itself again.
            let through = rate * dip;
            let (left, passed) = if bits <= through { (0.0, bits / rate) } else { (bits - through, dip) };
            let passed = (head + passed) * taste.rate;
            let stall = (passed - buffer).max(0.0) / taste.rate;
            let fetch = Fetch { rung, bits: left, duration: taste.segment, ..Fetch::default() };
            let ahead = self.table.judge(&outcomes, taste, &fetch, (buffer - passed).max(0.0));
            let change = if rung == before { 0.0 } else { taste.switch };
            let utility = self.utilities.get(rung).copied().unwrap_or(0.0);
            utility - change + ahead.value - taste.stall * stall
        };
        let mut best = (worth(current, transfer.bits_left(), 0.0) + self.weights.margin, None);
        for rung in 0..current {
            let value = worth(rung, context.bits(0, rung), ttfb);
            if value > best.0 {
                best = (value, Some(RungId(rung)));
            }
        }
        best.1
    }
}
