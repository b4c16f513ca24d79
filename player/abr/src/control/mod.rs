//! Which rung comes next: controllers, each in a file of its own behind [`Controller`], all over the same plain inputs,
//! so that the planner drives them in a player and the lab can drive them by themselves.
//!
//! No controller allocates when it decides.

mod bba;
mod bola;
mod dynamic;
mod l2a;
mod lolp;
mod lolp_weights;
mod mpc;
mod presets;
mod reason;
mod registry;
mod soda;
mod throughput;
mod weir;

use std::{fmt, time::Duration};

pub use bba::Bba0;
pub use bola::{Bola, BolaE, Cap};
pub use dynamic::{Dynamic, DynamicDash};
pub use l2a::L2aLl;
pub use lolp::LolPlus;
pub use mpc::RobustMpc;
pub use presets::{DashJs, ExoPlayer, GStreamer, HlsJs, Lowest, Shaka};
pub use reason::Reason;
pub use registry::{NAMES, create};
pub use soda::Soda;
pub use throughput::Throughput;
pub use weir::{Weights, Weir};

use crate::{
    Ladder, RungId, SegmentInfo,
    estimate::{Estimate, Kind},
};

/// What a controller decides on.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Time since the session's start.
    pub now: Duration,
    /// What there is to choose from.
    pub ladder: &'a Ladder,
    /// Highest rung that is allowed.
    pub limit: RungId,
    /// The segments to come, the one to choose for first; never empty. May end before the presentation does.
    pub upcoming: &'a [SegmentInfo],
    /// Media ahead of the playhead.
    pub buffer: Duration,
    /// Media to hold ahead of the playhead at most.
    pub max_buffer: Duration,
    /// Rung of the segment before the one to choose for.
    pub last: Option<RungId>,
    /// What is expected of the network; `None` before anything is known.
    pub estimate: Option<Estimate>,
    /// Media from the start of this run of playback (the presentation's start, or the last seek) to the segment to
    /// choose for.
    pub since_start: Duration,
    /// Media from the segment to choose for to the presentation's end; `None` when it is not known (live).
    pub to_end: Option<Duration>,
    /// Distance to the live edge, and the one that is wanted; `None` unless live.
    pub latency: Option<(Duration, Duration)>,
    /// Playback rate: the buffer drains that fast.
    pub rate: f64,
    /// Playback stands and waits for the segment to choose for.
    pub waiting: bool,
}

impl Context<'_> {
    /// Seconds of the segment to choose for, above zero.
    pub fn duration(&self) -> f64 {
        self.upcoming.first().map_or(1.0, |segment| segment.duration.as_secs_f64()).max(0.001)
    }

    /// Bits of the upcoming segment number `ahead` (0 is the one to choose for) at `rung`.
    pub fn bits(&self, ahead: usize, rung: usize) -> f64 {
        self.upcoming
            .get(ahead)
            .or(self.upcoming.last())
            .map_or(0.0, |segment| segment.size(RungId(rung), self.ladder) as f64 * 8.0)
    }

    /// Average bit/s of a rung.
    pub fn bps(&self, rung: usize) -> f64 {
        self.ladder.rung(RungId(rung)).bitrate.bps() as f64
    }

    /// How many rungs are allowed, at least one.
    pub fn rungs(&self) -> usize {
        self.limit.0.min(self.ladder.top().0) + 1
    }

    /// Expected rate in bit/s, 0 where nothing is known.
    pub fn estimate_bps(&self) -> f64 {
        self.estimate.map_or(0.0, |estimate| estimate.mean.bps() as f64)
    }

    /// Highest allowed rung whose average is at most `bps`, else the lowest.
    pub fn highest_below(&self, bps: f64) -> usize {
        (0..self.rungs()).rev().find(|rung| self.bps(*rung) <= bps).unwrap_or(0)
    }
}

/// What a controller decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// This rung.
    pub rung: RungId,
    /// Fetch it so much later (the buffer is fuller than the controller wants it).
    pub wait: Duration,
    /// Name of the rule that won.
    pub rule: &'static str,
    /// Why.
    pub reason: Reason,
}

impl Choice {
    /// Fetch at once.
    pub fn now(rung: usize, rule: &'static str, reason: Reason) -> Self {
        Self { rung: RungId(rung), wait: Duration::ZERO, rule, reason }
    }
}

/// A finished download, as a controller sees it.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// Its rung.
    pub rung: RungId,
    /// Its size.
    pub bytes: u64,
    /// From request to last byte.
    pub took: Duration,
    /// Of that, to the first byte.
    pub ttfb: Duration,
    /// What it plays.
    pub duration: Duration,
    /// Media ahead of the playhead when it was asked for.
    pub buffer_before: Duration,
    /// Media ahead of the playhead, it included.
    pub buffer_after: Duration,
    /// It replaced a segment of lower quality.
    pub replaced: bool,
}

/// A download under way, as a controller sees it.
#[derive(Clone, Copy, Debug)]
pub struct InFlight {
    /// Its rung.
    pub rung: RungId,
    /// Bytes so far.
    pub bytes: u64,
    /// Bytes in all, as far as known.
    pub size: u64,
    /// Since the request.
    pub elapsed: Duration,
    /// From request to first byte; `None` while waiting for it.
    pub ttfb: Option<Duration>,
    /// Rate over the last seconds in bit/s, silence included.
    pub recent_bps: f64,
    /// Since bytes last came, or since its first byte.
    pub silent: Duration,
    /// What came since the last silence of [`SILENCE`] or more; `None` without one.
    pub resumed: Option<Resumed>,
}

/// A silence of a download so long that it is told apart from slowness.
pub const SILENCE: Duration = Duration::from_millis(1500);

/// A download that goes on after a silence.
#[derive(Clone, Copy, Debug)]
pub struct Resumed {
    /// All silences of the download together.
    pub silences: Duration,
    /// Since bytes came again.
    pub elapsed: Duration,
    /// Bytes since then.
    pub bytes: u64,
}

impl InFlight {
    /// Bits that are still to come.
    pub fn bits_left(&self) -> f64 {
        self.size.saturating_sub(self.bytes) as f64 * 8.0
    }
}

/// Chooses rungs. A controller may keep state between calls; equal calls in equal order give equal answers.
pub trait Controller: fmt::Debug + Send {
    /// Its name in [`NAMES`].
    fn name(&self) -> &'static str;

    /// The estimator that it is meant to be used with.
    fn estimator(&self) -> Kind {
        Kind::default()
    }

    /// Chooses the rung of `context.upcoming[0]`. Each rung's score goes into `scores` (cleared first, left empty where
    /// there are none); its capacity is reused.
    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice;

    /// Whether the download under way is better given up, and for which rung. `context` is as of now, its first upcoming
    /// segment is the one under way.
    fn abandon(&mut self, context: &Context<'_>, transfer: &InFlight) -> Option<RungId> {
        abandon_late(context, transfer)
    }

    /// What it costs to fetch so many bits now for something that is buffered already, and to have no more of the film
    /// after it than before: in utility of segments at the top rung instead of at the lowest. `context` is as of now, and
    /// was chosen on before. `None` where the controller cannot tell.
    fn price(&self, context: &Context<'_>, bits: f64) -> Option<f64> {
        let _ = (context, bits);
        None
    }

    /// Whether it can tell a [`price`](Controller::price).
    fn prices(&self) -> bool {
        false
    }

    /// A download came to its end.
    fn delivered(&mut self, delivery: &Delivery) {
        let _ = delivery;
    }

    /// Nothing was asked for during this time because the buffer was full.
    fn idled(&mut self, time: Duration) {
        let _ = time;
    }

    /// Playback begins anew elsewhere (a seek).
    fn restarted(&mut self) {}
}

/// Gives a download up that would arrive after the buffer has run dry, when a lower rung comes sooner.
///
/// The rate is the one of the last seconds, but not above the estimate. The new rung is the best one that arrives within
/// 0.8 of the buffer, else the lowest (reference rule: dash.js `AbandonRequestsRule`; time limits as in hls.js).
pub fn abandon_late(context: &Context<'_>, transfer: &InFlight) -> Option<RungId> {
    let waiting_for_head = transfer.ttfb.is_none();
    let elapsed = transfer.elapsed.as_secs_f64();
    let ttfb = context.estimate.map_or(0.0, |estimate| estimate.ttfb.as_secs_f64());
    if transfer.rung.0 == 0 || elapsed < 0.5 || (waiting_for_head && elapsed < ttfb * 2.0 + 0.5) {
        return None;
    }
    let buffer = context.buffer.as_secs_f64() / context.rate.max(0.1);
    let rate = transfer.recent_bps;
    let left = if rate > 0.0 { transfer.bits_left() / rate } else { f64::INFINITY };
    // With nothing buffered every second counts twice: a viewer looks at a still picture.
    let allowed = if context.waiting { 1.5 } else { buffer.max(0.5) };
    if left <= allowed {
        return None;
    }
    let allowed = 0.8 * allowed;
    let fetch = |rung: usize| if rate > 0.0 { ttfb + context.bits(0, rung) / rate } else { f64::INFINITY };
    let target = (0..transfer.rung.0).rev().find(|rung| fetch(*rung) <= allowed).unwrap_or(0);
    let worth_it = if rate > 0.0 {
        fetch(target) < 0.6 * left
    } else {
        context.bits(0, target) < 0.6 * transfer.bits_left()
    };
    worth_it.then_some(RungId(target))
}
