//! Network traces: what a link carried over time, in the file formats of the field.
//!
//! A [`Trace`] is a list of [`Point`]s that play one after the other and start over at the end.
//! [`read`] tells the formats apart by content and file name; [`Format::write`] writes each of them back.

mod clock;
mod csv;
pub mod generate;
mod mahimahi;
mod pensieve;
mod read;
mod sabre;
mod weir;

pub use clock::Link;
pub use read::{BadLine, Format, ReadError, read, read_one};

/// A stretch of time in which the link does not change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// How long it lasts, in milliseconds; above 0.
    pub duration_ms: f64,
    /// What the link carries, in kbit/s (1000 bit/s); 0 is an outage.
    pub kbps: f64,
    /// Delay of a request until its first byte, in milliseconds.
    pub latency_ms: f64,
}

impl Point {
    /// Says what is wrong with it as the point of this number, counted from 1.
    fn check(&self, index: usize) -> Result<(), Invalid> {
        let bad = |field, value, wanted| Err(Invalid::Point { index, field, value, wanted });
        if !(self.duration_ms > 0.0 && self.duration_ms <= MOST_MS) {
            return bad("duration_ms", self.duration_ms, "a number above 0, a year at most");
        }
        if !(0.0..=MOST_KBPS).contains(&self.kbps) {
            return bad("kbps", self.kbps, "a number from 0 to a billion (1 Tbit/s)");
        }
        if !(0.0..=MOST_LATENCY_MS).contains(&self.latency_ms) {
            return bad("latency_ms", self.latency_ms, "a number from 0 to an hour");
        }
        Ok(())
    }
}

/// A named network trace; never empty, and never an outage for ever.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    name: String,
    points: Vec<Point>,
}

/// Why a list of points is not a trace.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Invalid {
    /// There are no points.
    #[error("it has no points")]
    Empty,
    /// A point has a field that cannot be.
    #[error("point {index} has {field} {value:?}; wanted {wanted}")]
    Point {
        /// Which point, counted from 1.
        index: usize,
        /// Which field.
        field: &'static str,
        /// What it is.
        value: f64,
        /// What it should be.
        wanted: &'static str,
    },
    /// Nothing ever gets through.
    #[error("its rate is 0 at all times, so that nothing could ever be downloaded")]
    Dead,
}

/// Beyond these a figure is a mistake in the file (a wrong unit), or made to cost time.
const MOST_MS: f64 = 366.0 * 24.0 * 3_600_000.0;
const MOST_KBPS: f64 = 1e9;
const MOST_LATENCY_MS: f64 = 3_600_000.0;

impl Trace {
    /// Checks the points: durations above zero, rates and latencies not negative and within reason, not all zero.
    pub fn new(name: impl Into<String>, points: Vec<Point>) -> Result<Self, Invalid> {
        if points.is_empty() {
            return Err(Invalid::Empty);
        }
        for (at, point) in points.iter().enumerate() {
            point.check(at + 1)?;
        }
        if points.iter().all(|point| point.kbps == 0.0) {
            return Err(Invalid::Dead);
        }
        Ok(Self { name: name.into(), points })
    }

    /// A link that never changes.
    pub fn constant(kbps: f64, latency_ms: f64) -> Result<Self, Invalid> {
        Self::new(format!("{kbps:.0} kbit/s"), vec![Point { duration_ms: 3_600_000.0, kbps, latency_ms }])
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its points in order.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// One round of it, in milliseconds.
    pub fn duration_ms(&self) -> f64 {
        self.points.iter().map(|point| point.duration_ms).sum()
    }

    /// Mean rate over one round, in kbit/s.
    pub fn mean_kbps(&self) -> f64 {
        self.points.iter().map(|point| point.kbps * point.duration_ms).sum::<f64>() / self.duration_ms()
    }

    /// The same trace with another latency at every point.
    #[must_use]
    pub fn with_latency(mut self, latency_ms: f64) -> Self {
        for point in &mut self.points {
            point.latency_ms = latency_ms.max(0.0);
        }
        self
    }

    /// The same trace under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}
