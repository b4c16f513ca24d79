//! The rules of shipped players, with their constants as of 2025 and 2026, read from their sources: named baselines, not
//! claims about the products (downloads, buffers and decoders of those players are their own).

use std::time::Duration;

use super::{Choice, Context, Controller, Delivery, InFlight, Reason, bola::BolaE};
use crate::{Bitrate, RungId, estimate::Kind};

fn declared_peak(context: &Context<'_>, rung: usize) -> f64 {
    let rung = context.ladder.rung(RungId(rung));
    rung.peak.unwrap_or(rung.bitrate).bps() as f64
}

fn fits(name: &'static str, context: &Context<'_>, rung: usize, allowed: f64) -> Choice {
    let allowed = Bitrate::from_bps(allowed as u64);
    let reason = match context.estimate {
        None => Reason::Unknown,
        Some(_) if context.bps(rung) > allowed.bps() as f64 => Reason::NothingFits { allowed },
        Some(_) => Reason::FitsRate { allowed },
    };
    Choice::now(rung, name, reason)
}

/// hls.js (`abr-controller.ts`): from the top down, the first whose rate fits and which arrives in time.
#[derive(Clone, Debug, Default)]
pub struct HlsJs;

impl HlsJs {
    const STAY: f64 = 0.95;
    const UP: f64 = 0.7;
    /// A buffer of nothing may starve for this long, or one segment.
    const STARVATION: f64 = 4.0;
}

impl Controller for HlsJs {
    fn name(&self) -> &'static str {
        "hlsjs"
    }

    fn estimator(&self) -> Kind {
        Kind::DualEwma { fast: 3.0, slow: 9.0 }
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        let Some(estimate) = context.estimate else { return Choice::now(0, "hlsjs", Reason::Unknown) };
        let (bps, ttfb) = (estimate.mean.bps() as f64, estimate.ttfb.as_secs_f64());
        let (level, segment) = (context.buffer.as_secs_f64(), context.duration());
        let last = context.last.map_or(0, |last| last.0);
        // First without any stall, then with the one that is tolerated.
        for tolerated in [0.0, segment.min(Self::STARVATION)] {
            for rung in (0..context.rungs()).rev() {
                let adjusted = bps * if rung > last { Self::UP } else { Self::STAY };
                let long = level >= 2.0 * segment && tolerated == 0.0;
                let rate = if long { context.bps(rung) } else { declared_peak(context, rung) };
                let fetch = ttfb + rate * segment / adjusted.max(1.0);
                if adjusted >= rate && fetch < level + tolerated {
                    return fits("hlsjs", context, rung, adjusted);
                }
            }
        }
        fits("hlsjs", context, 0, bps * Self::STAY)
    }

    /// `_abandonRulesCheck`.
    fn abandon(&mut self, context: &Context<'_>, transfer: &InFlight) -> Option<RungId> {
        let (segment, level) = (context.duration(), context.buffer.as_secs_f64() / context.rate.max(0.1));
        let ttfb = context.estimate.map_or(0.1, |estimate| estimate.ttfb.as_secs_f64());
        let elapsed = transfer.elapsed.as_secs_f64();
        if transfer.rung.0 == 0 || elapsed <= ttfb.max(segment / 2.0) {
            return None;
        }
        let loaded = elapsed - transfer.ttfb.map_or(elapsed, |ttfb| ttfb.as_secs_f64());
        let bps = if transfer.bytes > 0 && loaded > 0.0 {
            transfer.bytes as f64 * 8.0 / loaded
        } else {
            context.estimate_bps()
        };
        let left = transfer.bits_left() / bps.max(1.0);
        if left <= level {
            return None;
        }
        let fetch = |rung: usize| ttfb + context.bps(rung) * segment / (0.8 * bps).max(1.0);
        let allowed = level.min(segment + ttfb);
        let target = (0..transfer.rung.0).rev().find(|rung| fetch(*rung) < allowed).unwrap_or(0);
        (fetch(target) < left && fetch(target) < 10.0 * segment).then_some(RungId(target))
    }
}

/// dash.js 5 (`ABRRulesCollection`): throughput below 9 s, BOLA-E from 18 s, insufficient buffer over all.
#[derive(Clone, Debug, Default)]
pub struct DashJs {
    bola: BolaE,
    on_bola: bool,
    decisions: u32,
    held_until: Duration,
}

impl DashJs {
    const SAFETY: f64 = 0.9;
    const TO_BOLA: Duration = Duration::from_secs(18);
    const TO_THROUGHPUT: Duration = Duration::from_secs(9);
    /// The insufficient-buffer rule leaves the first segments alone.
    const FIRST: u32 = 2;
    const INSUFFICIENT: f64 = 0.7;
    const LATE: f64 = 1.8;
    const HOLD: Duration = Duration::from_secs(10);
}

impl Controller for DashJs {
    fn name(&self) -> &'static str {
        "dashjs"
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        self.decisions += 1;
        // A share of the largest buffer where that is smaller than what dash.js has in mind.
        let up = Self::TO_BOLA.min(context.max_buffer.mul_f64(0.75));
        let down = Self::TO_THROUGHPUT.min(context.max_buffer.mul_f64(0.375));
        if context.buffer >= up {
            self.on_bola = true;
        } else if context.buffer < down {
            self.on_bola = false;
        }
        let mut choice = if self.on_bola {
            self.bola.choose(context, scores)
        } else {
            let allowed = Self::SAFETY * context.estimate_bps();
            fits("dashjs", context, context.highest_below(allowed), allowed)
        };
        if self.decisions > Self::FIRST && context.estimate.is_some() {
            let share = context.buffer.as_secs_f64() / context.duration();
            let allowed = Self::INSUFFICIENT * context.estimate_bps() * share;
            let most = context.highest_below(allowed);
            if most < choice.rung.0 {
                choice = Choice::now(most, "short-buffer", Reason::ShortBuffer { buffer: context.buffer });
            }
        }
        match context.last {
            Some(last) if context.now < self.held_until && choice.rung > last => {
                Choice::now(last.0, "dashjs", Reason::HeldBack)
            }
            _ => choice,
        }
    }

    /// `AbandonRequestsRule`.
    fn abandon(&mut self, context: &Context<'_>, transfer: &InFlight) -> Option<RungId> {
        let segment = context.duration();
        let loading = transfer.elapsed.saturating_sub(transfer.ttfb?).as_secs_f64();
        if transfer.rung.0 == 0 || loading < 0.5 || context.buffer > Self::TO_BOLA {
            return None;
        }
        let bps = transfer.bytes as f64 * 8.0 / loading;
        let whole = loading + transfer.bits_left() / bps.max(1.0);
        if whole <= Self::LATE * segment {
            return None;
        }
        let target = context.highest_below(bps).min(transfer.rung.0);
        let smaller = context.bits(0, target) < transfer.bits_left();
        (target < transfer.rung.0 && smaller).then(|| {
            self.held_until = context.now + Self::HOLD;
            RungId(target)
        })
    }

    fn delivered(&mut self, delivery: &Delivery) {
        self.bola.delivered(delivery);
    }

    fn idled(&mut self, time: Duration) {
        self.bola.idled(time);
    }

    fn restarted(&mut self) {
        self.bola.restarted();
        self.on_bola = false;
        self.decisions = 0;
    }
}

/// Shaka (`simple_abr_manager.js`): the highest declared rate within 0.95 of the estimate, at most one change in 8 s.
#[derive(Clone, Debug, Default)]
pub struct Shaka {
    changed: Option<Duration>,
}

impl Shaka {
    const SAFETY: f64 = 0.95;
    const INTERVAL: Duration = Duration::from_secs(8);
}

impl Controller for Shaka {
    fn name(&self) -> &'static str {
        "shaka"
    }

    fn estimator(&self) -> Kind {
        Kind::DualEwma { fast: 2.0, slow: 5.0 }
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        let allowed = Self::SAFETY * context.estimate_bps();
        let highest = (0..context.rungs()).rev().find(|rung| declared_peak(context, *rung) <= allowed);
        let rung = highest.unwrap_or(0);
        if let (Some(last), Some(changed)) = (context.last, self.changed)
            && last.0 != rung
            && context.now.saturating_sub(changed) < Self::INTERVAL
        {
            return Choice::now(last.0.min(context.rungs() - 1), "shaka", Reason::Stay);
        }
        if context.last.is_none_or(|last| last.0 != rung) {
            self.changed = Some(context.now);
        }
        fits("shaka", context, rung, allowed)
    }

    /// Only on a switch in mid-request: when the new segment still fits the buffer, or is smaller than what is left.
    fn abandon(&mut self, context: &Context<'_>, transfer: &InFlight) -> Option<RungId> {
        let allowed = Self::SAFETY * context.estimate_bps();
        let target =
            (0..context.rungs()).rev().find(|rung| declared_peak(context, *rung) <= allowed).unwrap_or(0);
        let due = self.changed.is_none_or(|changed| context.now.saturating_sub(changed) >= Self::INTERVAL);
        if target >= transfer.rung.0 || !due {
            return None;
        }
        let bits = context.bits(0, target);
        let in_time = bits / context.estimate_bps().max(1.0) < context.buffer.as_secs_f64();
        (in_time || transfer.bits_left() > bits).then_some(RungId(target))
    }
}

/// ExoPlayer (`AdaptiveTrackSelection`): the highest declared rate within 0.7 of the estimate; up only with 10 s buffered,
/// down only with less than 25 s.
#[derive(Clone, Debug, Default)]
pub struct ExoPlayer;

impl ExoPlayer {
    const SAFETY: f64 = 0.7;
    const UP: Duration = Duration::from_secs(10);
    const DOWN: Duration = Duration::from_secs(25);
}

impl Controller for ExoPlayer {
    fn name(&self) -> &'static str {
        "exoplayer"
    }

    fn estimator(&self) -> Kind {
        Kind::Percentile { percentile: 0.5, weight: 2000.0 }
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        let allowed = Self::SAFETY * context.estimate_bps();
        let ideal = (0..context.rungs()).rev().find(|rung| declared_peak(context, *rung) <= allowed);
        let ideal = ideal.unwrap_or(0);
        // Live: three quarters of what is available.
        let available = context.latency.map(|(latency, _)| latency.mul_f64(0.75));
        let up = available.map_or(Self::UP, |available| available.min(Self::UP));
        if let Some(last) = context.last {
            let too_early = ideal > last.0 && context.buffer < up;
            let no_hurry = ideal < last.0 && context.buffer >= Self::DOWN;
            if (too_early || no_hurry) && last.0 < context.rungs() {
                return Choice::now(last.0, "exoplayer", Reason::Stay);
            }
        }
        fits("exoplayer", context, ideal, allowed)
    }

    /// `shouldCancelChunkLoad` is off unless an application overrides it.
    fn abandon(&mut self, _context: &Context<'_>, _transfer: &InFlight) -> Option<RungId> {
        None
    }
}

/// GStreamer's adaptivedemux2: the highest declared rate within 0.8 of the estimate.
#[derive(Clone, Debug, Default)]
pub struct GStreamer;

impl Controller for GStreamer {
    fn name(&self) -> &'static str {
        "gstreamer"
    }

    fn estimator(&self) -> Kind {
        Kind::LastFew(3)
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        let allowed = 0.8 * context.estimate_bps();
        let rung =
            (0..context.rungs()).rev().find(|rung| declared_peak(context, *rung) <= allowed).unwrap_or(0);
        fits("gstreamer", context, rung, allowed)
    }

    fn abandon(&mut self, _context: &Context<'_>, _transfer: &InFlight) -> Option<RungId> {
        None
    }
}

/// Always the lowest rung: the floor that every comparison should show.
#[derive(Clone, Debug, Default)]
pub struct Lowest;

impl Controller for Lowest {
    fn name(&self) -> &'static str {
        "lowest"
    }

    fn choose(&mut self, context: &Context<'_>, scores: &mut Vec<f64>) -> Choice {
        scores.clear();
        let allowed = context.ladder.rung(RungId(0)).bitrate;
        Choice::now(0, "lowest", Reason::FitsRate { allowed })
    }
}
