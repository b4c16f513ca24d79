//! BBA-0 (Huang et al., SIGCOMM 2014, 4): the buffer alone, mapped linearly from a reservoir to a cushion onto the ladder,
//! changed only when the map crosses a neighbouring rung.

use super::{Choice, Context, Controller, Reason};

/// Reservoir and upper reservoir as shares of the largest buffer (90 s and 24 s of 240 s in the paper).
const RESERVOIR: f64 = 0.375;
const UPPER: f64 = 0.1;

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub struct Bba0;

impl Controller for Bba0 {
    fn name(&self) -> &'static str {
        "bba-0"
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        let top = context.rungs() - 1;
        let last = context.last.map_or(0, |last| last.0.min(top));
        let (level, largest) = (context.buffer.as_secs_f64(), context.max_buffer.as_secs_f64());
        let reservoir = RESERVOIR * largest;
        let cushion = (1.0 - RESERVOIR - UPPER) * largest;
        let reason = Reason::BufferMap { buffer: context.buffer };
        let choose = |rung: usize| Choice::now(rung, "bba-0", reason);
        if level <= reservoir {
            return choose(0);
        }
        if level >= reservoir + cushion {
            return choose(top);
        }
        let (low, high) = (context.bps(0), context.bps(top));
        let mapped = low + (high - low) * (level - reservoir) / cushion.max(0.001);
        let above = context.bps((last + 1).min(top));
        let below = context.bps(last.saturating_sub(1));
        if mapped >= above && last < top {
            choose((0..=top).rev().find(|rung| context.bps(*rung) <= mapped).unwrap_or(0))
        } else if mapped <= below && last > 0 {
            choose((0..=top).find(|rung| context.bps(*rung) > mapped).unwrap_or(top).min(last))
        } else {
            choose(last)
        }
    }
}
