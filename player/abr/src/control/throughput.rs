//! The highest rung that fits into a share of the expected throughput, and arrives before a short buffer runs dry
//! (Sabre's THROUGHPUT with its insufficient-buffer rule; Spiteri et al., MMSys 2018, 4.3).

use super::{Choice, Context, Controller, Reason};
use crate::Bitrate;

/// Share of the estimate that is used.
const SAFETY: f64 = 0.9;

/// See the module's page.
#[derive(Clone, Debug)]
pub struct Throughput {
    safety: f64,
    short_buffer: ShortBuffer,
}

impl Default for Throughput {
    fn default() -> Self {
        Self { safety: SAFETY, short_buffer: ShortBuffer::default() }
    }
}

impl Controller for Throughput {
    fn name(&self) -> &'static str {
        "throughput"
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        let fitting = sustainable(context, self.safety);
        let rung = self.short_buffer.limit(context, fitting);
        if rung < fitting {
            return Choice::now(rung, "short-buffer", Reason::ShortBuffer { buffer: context.buffer });
        }
        let allowed = Bitrate::from_kbps(context.estimate_bps() * self.safety / 1000.0);
        let reason = match context.estimate {
            None => Reason::Unknown,
            Some(_) if context.bps(rung) > allowed.bps() as f64 => Reason::NothingFits { allowed },
            Some(_) => Reason::FitsRate { allowed },
        };
        Choice::now(rung, "throughput", reason)
    }

    fn restarted(&mut self) {
        self.short_buffer = ShortBuffer::default();
    }
}

/// Highest rung of which a segment, its latency included, takes no longer to fetch than to play at `safety` of the
/// estimate (Sabre `quality_from_throughput`).
pub(super) fn sustainable(context: &Context<'_>, safety: f64) -> usize {
    let bps = context.estimate_bps() * safety;
    let duration = context.duration();
    let latency = context.estimate.map_or(0.0, |estimate| estimate.ttfb.as_secs_f64());
    let mut rung = 0;
    while rung + 1 < context.rungs()
        && bps > 0.0
        && latency + duration * context.bps(rung + 1) / bps <= duration
    {
        rung += 1;
    }
    rung
}

/// The insufficient-buffer rule: a segment must arrive within a share of the buffer that gets smaller with each decision.
#[derive(Clone, Debug)]
pub(super) struct ShortBuffer {
    share: f64,
}

impl Default for ShortBuffer {
    fn default() -> Self {
        Self { share: 0.9 }
    }
}

impl ShortBuffer {
    const SMALLEST: f64 = 0.5;

    pub(super) fn limit(&mut self, context: &Context<'_>, mut rung: usize) -> usize {
        let Some(estimate) = context.estimate else { return rung };
        let time = (context.buffer.as_secs_f64() - estimate.ttfb.as_secs_f64()).max(0.0);
        let bits = self.share * time * context.estimate_bps();
        while rung > 0 && context.duration() * context.bps(rung) > bits {
            rung -= 1;
        }
        self.share = (self.share * 0.9).max(Self::SMALLEST);
        rung
    }
}
