//! The estimate that decisions are made on: a meter over all transfers, an estimator, and the spread of its errors.

use std::time::Duration;

use super::{Average, ErrorWindow, Estimate, Estimator, Kind, Meter, OUTAGE, Outlook, Sample, Trend, Within};
use crate::{Bitrate, planner::FetchId};

/// Less than this says nothing about the rate.
const MIN_BYTES: u64 = 16_000;
/// Less than this cannot be timed.
const MIN_BUSY: Duration = Duration::from_millis(50);
/// While something else is under way less than this is measured together with it: where a short download of sound ends
/// must not decide whether the pictures beside it count once or twice.
const BESIDE_BYTES: u64 = 64_000;
const BESIDE_BUSY: Duration = Duration::from_millis(250);
/// A request that is unanswered for this much longer than usual lowers the estimate.
const TTFB_GRACE: Duration = Duration::from_millis(400);
/// An answer faster than this, and much faster than expected, came from a cache.
const CACHE_TTFB: Duration = Duration::from_millis(5);
const CACHE_FACTOR: f64 = 10.0;
/// Half-life of the long average, and the least weight of a sample in it, both in seconds.
const LONG_HALF_LIFE: f64 = 70.0;
const LONG_LEAST: f64 = 3.0;
/// What comes first after an outage takes less than this share of its time by itself.
const LITTLE: f64 = 0.25;
/// So many of them in a row are no cache but a network that got that much better.
const CACHE_RUN: u32 = 3;
/// A remembered estimate older than this is worth nothing.
const MEMORY_LIFE: Duration = Duration::from_secs(24 * 3600);

/// What is worth keeping between sessions, per host or network.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Memory {
    /// Rate that was expected at the end.
    pub rate: Bitrate,
    /// Ratio of a bad (one in ten) outcome to the expected one: 1 is a steady network.
    pub spread: f64,
    /// Time to first byte in milliseconds.
    pub ttfb_ms: f64,
}

/// See the module's page.
#[derive(Debug)]
pub struct Bandwidth {
    meter: Meter,
    estimator: Box<dyn Estimator>,
    errors: ErrorWindow,
    /// Seconds; the slower of a quick and a slow average, weighted by request.
    ttfb: [Average; 2],
    /// By how much it was off, in seconds.
    ttfb_off: Average,
    last_ttfb: Duration,
    /// The last answer came after an outage.
    late: bool,
    last: Option<Sample>,
    remembered: Option<f64>,
    left_out: u32,
    long: Average,
    trend: Trend,
    within: Within,
    /// Outages are no part of the rate: what makes use of [`Outlook::outages`] reckons with them itself.
    apart: bool,
}

impl Bandwidth {
    /// Nothing known yet.
    pub fn new(kind: Kind) -> Self {
        Self {
            meter: Meter::default(),
            estimator: kind.create(),
            errors: ErrorWindow::default(),
            ttfb: [Average::new(1.0), Average::new(3.0)],
            ttfb_off: Average::new(3.0),
            last_ttfb: Duration::ZERO,
            late: false,
            last: None,
            remembered: None,
            left_out: 0,
            long: Average::new(LONG_HALF_LIFE),
            trend: Trend::default(),
            within: Within::default(),
            apart: matches!(kind, Kind::PacedEwma { .. }),
        }
    }

    /// Starts from an earlier session's estimate of this age. It weighs little: one real sample nearly replaces it.
    pub fn remember(&mut self, rate: Bitrate, age: Duration) {
        if age >= MEMORY_LIFE || rate == Bitrate::ZERO {
            return;
        }
        // Full worth for ten minutes, then half as much every two hours.
        let stale = age.saturating_sub(Duration::from_secs(600)).as_secs_f64() / 7200.0;
        let bps = rate.bps() as f64 * 0.5_f64.powf(stale);
        self.remembered = Some(bps);
        self.estimator.seed(bps);
    }

    /// What an earlier session knew, aged.
    pub fn remembered(&self) -> Option<Bitrate> {
        self.remembered.map(|bps| Bitrate::from_bps(bps as u64))
    }

    /// Whether anything was measured in this session.
    pub fn is_measured(&self) -> bool {
        self.last.is_some()
    }

    /// What a later session should know; `None` before anything was measured.
    pub fn memory(&self) -> Option<Memory> {
        self.last?;
        let rate = Bitrate::from_bps(self.estimator.bps(None)? as u64);
        Some(Memory { rate, spread: self.errors.quantiles()[0], ttfb_ms: self.ttfb().as_secs_f64() * 1000.0 })
    }

    /// A request went out.
    pub fn started(&mut self, id: FetchId, now: Duration) {
        self.meter.started(id, now);
    }

    /// Its answer began.
    pub fn first_byte(&mut self, id: FetchId, now: Duration) {
        if let Some(ttfb) = self.meter.first_byte(id, now) {
            self.last_ttfb = ttfb;
            self.answered(ttfb.as_secs_f64());
        }
    }

    fn answered(&mut self, seconds: f64) {
        if let Some(usual) = self.ttfb[1].get() {
            let off = seconds - usual;
            // One such answer is an outage, two in a row are a server that is slow to answer.
            self.late = self.apart && !self.late && off >= OUTAGE.as_secs_f64();
            if self.late {
                self.trend.outage(off, 1);
                return;
            }
            self.ttfb_off.add(1.0, off.abs());
        }
        for average in &mut self.ttfb {
            average.add(1.0, seconds);
        }
    }

    /// It has brought `bytes` in all.
    pub fn progress(&mut self, id: FetchId, bytes: u64, now: Duration) {
        let new = self.meter.progress(id, bytes, now);
        if new > 0 {
            let silence = self.meter.hear();
            let own = self.estimator.bps(None).map(|bps| Duration::try_from_secs_f64(new as f64 * 8.0 / bps));
            // What was under way all along without being told of needed most of that time itself.
            if let Some(Ok(own)) = own
                && silence >= OUTAGE
                && own < silence.mul_f64(LITTLE)
            {
                self.meter.outage(silence - own);
            }
        }
        self.within.mark(self.meter.open());
        // Side by side, each has only a part of the link: no burst says what all of it carries.
        if new > 0 && self.meter.is_single() {
            self.estimator.arrived(now, new);
        }
    }

    /// All that there is has come; it waits for the encoder.
    pub fn idle(&mut self, id: FetchId, now: Duration) {
        self.meter.idle(id, now);
        self.within.mark(self.meter.open());
    }

    /// It is complete, or was given up, or failed: what it brought counts.
    pub fn ended(&mut self, id: FetchId, now: Duration) {
        self.meter.ended(id, now);
        self.estimator.finished();
        let (bytes, busy) =
            if self.meter.is_active() { (BESIDE_BYTES, BESIDE_BUSY) } else { (MIN_BYTES, MIN_BUSY) };
        if let Some(sample) = self.meter.take(bytes, busy) {
            self.add(now, sample);
            self.within.clear();
        }
    }

    fn add(&mut self, now: Duration, whole: Sample) {
        if whole.outages > 0 {
            self.trend.outage(whole.silent.as_secs_f64() / f64::from(whole.outages), whole.outages);
        }
        let sample = if self.apart { whole.flowing() } else { whole };
        if let Some(expected) = self.estimator.bps(None) {
            if self.last_ttfb < CACHE_TTFB && self.last.is_some() && sample.bps() > CACHE_FACTOR * expected {
                self.left_out += 1;
                if self.left_out < CACHE_RUN {
                    return;
                }
            }
            self.errors.add(expected, sample.bps());
        }
        self.left_out = 0;
        self.estimator.add(&sample);
        self.long.add(sample.busy.as_secs_f64().max(LONG_LEAST), sample.bps());
        let parts = self.within.split(&whole).map(|(before, after)| (before.flowing(), after.flowing()));
        // Beside an outage a part may be a handful of bytes.
        let telling = |(before, after): &(Sample, Sample)| {
            whole.outages == 0 || before.bytes.min(after.bytes) > MIN_BYTES
        };
        if let Some((before, after)) = parts.filter(telling) {
            self.trend.add(now.saturating_sub(after.busy), before.bps(), before.busy.as_secs_f64());
            self.trend.add(now, after.bps(), after.busy.as_secs_f64());
        } else {
            let flowing = whole.flowing();
            self.trend.add(now, flowing.bps(), flowing.busy.as_secs_f64());
        }
        self.last = Some(sample);
    }

    /// Time to first byte to expect.
    pub fn ttfb(&self) -> Duration {
        let worst = self.ttfb.iter().filter_map(Average::get).fold(0.0, f64::max);
        Duration::try_from_secs_f64(worst).unwrap_or_default()
    }

    /// What to expect now; what is under way may lower it. `None` before anything was measured or remembered.
    pub fn estimate(&self, now: Duration) -> Option<Estimate> {
        let ttfb = self.ttfb();
        let pending = self.meter.pending(now, ttfb + TTFB_GRACE);
        let pending = (self.meter.is_active() && pending.busy >= MIN_BUSY).then_some(pending);
        let bps = self.estimator.bps(pending.as_ref()).or_else(|| {
            // The first transfer of all: better than nothing once it says something.
            pending.filter(|sample| sample.bytes >= 2 * MIN_BYTES).map(|sample| sample.bps())
        })?;
        let mean = Bitrate::from_bps(bps as u64);
        let quantiles = self.errors.quantiles().map(|factor| Bitrate::from_bps((bps * factor) as u64));
        let last = self.last.map_or(mean, |sample| Bitrate::from_bps(sample.bps() as u64));
        // What came before a level says less about the minutes to come than the level does.
        let level = self.estimator.level();
        let long =
            self.long.get().map_or(mean, |bps| Bitrate::from_bps(bps.max(level.unwrap_or(0.0)) as u64));
        let outlook = self.trend.get(now).unwrap_or_else(|| Outlook::exact(bps));
        let steady = self.trend.is_calm().then(|| Bitrate::from_bps(outlook.next.exp() as u64));
        let ttfb_off = Duration::try_from_secs_f64(self.ttfb_off.get().unwrap_or(0.0)).unwrap_or_default();
        Some(Estimate { mean, quantiles, ttfb, ttfb_off, last, long, outlook, steady })
    }

    /// The network changed: measure anew.
    pub fn reset(&mut self) {
        self.estimator.reset();
        self.errors = ErrorWindow::default();
        self.last = None;
        self.long.reset();
        self.trend = Trend::default();
        self.within.clear();
        self.remembered = None;
    }
}
