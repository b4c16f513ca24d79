//! How fast the network is: estimators, each in a file of its own behind [`Estimator`], and [`Bandwidth`], which feeds
//! one of them from transfers as they happen.
//!
//! Rate and time to first byte are kept apart: a fetch takes `ttfb + bits / rate`. Samples that are too small to tell
//! a rate are merged with the next; answers that came from a cache are left out; transfers that run side by side share
//! one meter over the wall-clock time in which bytes were flowing; bytes that do not come count as well. Where nothing
//! comes for long, that is an outage, and counted by itself for who reckons with it ([`Outlook::outages`]).

mod bandwidth;
mod chunked;
mod errors;
mod ewma;
mod harmonic;
mod last_few;
mod meter;
mod percentile;
mod plateau;
mod trend;
mod within;

use std::{fmt, time::Duration};

pub use bandwidth::{Bandwidth, Memory};
pub use chunked::Chunked;
pub use errors::ErrorWindow;
pub use ewma::{Average, DualEwma};
pub use harmonic::Harmonic;
pub use last_few::LastFew;
pub use meter::Meter;
pub use percentile::Percentile;
pub use plateau::Plateau;
pub use trend::{Outlook, SHARES, Trend};
pub use within::Within;

use crate::Bitrate;

/// The shares of outcomes that lie below each of [`Estimate::quantiles`].
pub const QUANTILES: [f64; 5] = [0.1, 0.3, 0.5, 0.7, 0.9];

/// A silence that lasts so long is no slow network but none: what is fetched does not change how long it lasts.
pub const OUTAGE: Duration = Duration::from_secs(4);
/// No stretch counts as shorter than this: clocks and wake-ups are not that exact.
const SHORTEST: Duration = Duration::from_millis(10);

/// One measured stretch in which bytes were flowing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Bytes that came.
    pub bytes: u64,
    /// In how much time, waiting for first bytes left out.
    pub busy: Duration,
    /// Of that, in outages: stretches of [`OUTAGE`] and more in which nothing came.
    pub silent: Duration,
    /// How many they were.
    pub outages: u32,
}

impl Sample {
    /// What came while something came: outages left out.
    #[must_use]
    pub fn flowing(&self) -> Self {
        let busy =
            if self.outages > 0 { self.busy.saturating_sub(self.silent).max(SHORTEST) } else { self.busy };
        Self { bytes: self.bytes, busy, ..Self::default() }
    }

    /// Its rate in bit/s; zero when no time passed.
    pub fn bps(&self) -> f64 {
        let seconds = self.busy.as_secs_f64();
        if seconds > 0.0 { self.bytes as f64 * 8.0 / seconds } else { 0.0 }
    }
}

/// What is expected of the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The rate to expect.
    pub mean: Bitrate,
    /// Rates that [`QUANTILES`] of the outcomes stay below, from how far earlier expectations were off.
    pub quantiles: [Bitrate; 5],
    /// Time from request to first byte.
    pub ttfb: Duration,
    /// By how much that was off of late, in the mean.
    pub ttfb_off: Duration,
    /// Rate of the newest sample alone.
    pub last: Bitrate,
    /// Average over the last minutes: what the network comes back to.
    pub long: Bitrate,
    /// Where the rate goes from here.
    pub outlook: Outlook,
    /// The rate that the link has held for several transfers in a row, if it has.
    pub steady: Option<Bitrate>,
}

impl Estimate {
    /// An estimate without spread.
    pub fn exact(rate: Bitrate) -> Self {
        let outlook = Outlook::exact(rate.bps() as f64);
        Self {
            mean: rate,
            quantiles: [rate; 5],
            ttfb: Duration::ZERO,
            ttfb_off: Duration::ZERO,
            last: rate,
            long: rate,
            outlook,
            steady: None,
        }
    }

    /// The same, with every rate changed by `change`.
    #[must_use]
    pub fn map(self, change: impl Fn(Bitrate) -> Bitrate) -> Self {
        let shift = |log: f64| (change(Bitrate::from_bps(log.exp() as u64)).bps() as f64).max(1.0).ln();
        let outlook =
            Outlook { next: shift(self.outlook.next), settled: shift(self.outlook.settled), ..self.outlook };
        Self {
            outlook,
            steady: self.steady.map(&change),
            mean: change(self.mean),
            quantiles: self.quantiles.map(&change),
            ttfb: self.ttfb,
            ttfb_off: self.ttfb_off,
            last: change(self.last),
            long: change(self.long),
        }
    }

    /// The same, scaled.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        self.map(|rate| Bitrate::from_kbps(rate.kbps() * factor))
    }

    /// How long `bytes` take at the mean rate, the first byte's delay included; `Duration::MAX` at rate zero.
    pub fn fetch_time(&self, bytes: u64) -> Duration {
        self.mean.time_for(bytes).map_or(Duration::MAX, |time| time.saturating_add(self.ttfb))
    }

    /// How long `bytes` take at the quantile with this place in [`QUANTILES`].
    pub fn fetch_time_at(&self, quantile: usize, bytes: u64) -> Duration {
        let rate = self.quantiles.get(quantile).copied().unwrap_or(self.mean);
        rate.time_for(bytes).map_or(Duration::MAX, |time| time.saturating_add(self.ttfb))
    }
}

/// Turns samples into a rate.
pub trait Estimator: fmt::Debug + Send {
    /// Takes in a sample.
    fn add(&mut self, sample: &Sample);

    /// The rate to expect in bit/s; `None` before there is anything to go by. `pending` is a stretch that still goes on:
    /// it may lower the answer, never raise it.
    fn bps(&self, pending: Option<&Sample>) -> Option<f64>;

    /// A level in bit/s that the link has held for several transfers, where the estimator looks for one.
    fn level(&self) -> Option<f64> {
        None
    }

    /// Starts from what an earlier session knew, with little weight: the first real sample nearly replaces it.
    fn seed(&mut self, bps: f64);

    /// `bytes` arrived at `now`, for estimators that look inside a transfer. Arrivals of one transfer at a time.
    fn arrived(&mut self, now: Duration, bytes: u64) {
        let _ = (now, bytes);
    }

    /// The transfer whose bytes arrived is over.
    fn finished(&mut self) {}

    /// Forgets everything (the network changed).
    fn reset(&mut self);
}

/// Which estimator, and its constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Two exponentially weighted averages, the lower one counts; half-lives in seconds of transfer.
    DualEwma {
        /// Half-life of the fast one.
        fast: f64,
        /// Half-life of the slow one.
        slow: f64,
    },
    /// The same, but a sample weighs no less than so many seconds: short downloads on a link that got fast count soon.
    PacedEwma {
        /// Half-life of the fast one.
        fast: f64,
        /// Half-life of the slow one.
        slow: f64,
        /// Least weight of a sample in seconds.
        least: f64,
    },
    /// Harmonic mean of the last so many samples.
    Harmonic(usize),
    /// Percentile (0..1) of samples weighted by the root of their size; total weight at most so much.
    Percentile {
        /// Which percentile, 0.5 is the median.
        percentile: f64,
        /// Total weight that is kept.
        weight: f64,
    },
    /// The lower of the last sample and the mean of the last so many.
    LastFew(usize),
    /// Bursts of chunks, for low latency.
    Chunked,
}

impl Kind {
    /// Makes it.
    pub fn create(self) -> Box<dyn Estimator> {
        match self {
            Self::DualEwma { fast, slow } => Box::new(DualEwma::new(fast, slow)),
            Self::PacedEwma { fast, slow, least } => Box::new(DualEwma::paced(fast, slow, least)),
            Self::Harmonic(count) => Box::new(Harmonic::new(count)),
            Self::Percentile { percentile, weight } => Box::new(Percentile::new(percentile, weight)),
            Self::LastFew(count) => Box::new(LastFew::new(count)),
            Self::Chunked => Box::new(Chunked::new()),
        }
    }
}

impl Default for Kind {
    /// Sabre's and dash.js's half-lives.
    fn default() -> Self {
        Self::DualEwma { fast: 3.0, slow: 8.0 }
    }
}
