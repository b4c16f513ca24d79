use std::{fmt, time::Duration};

/// A rate of bits in time, in whole bits per second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Bitrate(u64);

impl Bitrate {
    /// No bits at all.
    pub const ZERO: Self = Self(0);

    /// From bits per second.
    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }

    /// From kilobits (1000 bits) per second; negative and non-finite values become zero.
    pub fn from_kbps(kbps: f64) -> Self {
        // `as` saturates, and maps NaN to 0.
        Self((kbps * 1000.0).round() as u64)
    }

    /// What `bytes` in `time` amount to; `None` when no time passed.
    pub fn from_transfer(bytes: u64, time: Duration) -> Option<Self> {
        let seconds = time.as_secs_f64();
        (seconds > 0.0).then(|| Self((bytes as f64 * 8.0 / seconds).round() as u64))
    }

    /// Bits per second.
    pub const fn bps(self) -> u64 {
        self.0
    }

    /// Kilobits per second.
    pub fn kbps(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// How long `bytes` take at this rate; `None` at rate zero.
    pub fn time_for(self, bytes: u64) -> Option<Duration> {
        (self.0 > 0)
            .then(|| Duration::try_from_secs_f64(bytes as f64 * 8.0 / self.0 as f64).unwrap_or(Duration::MAX))
    }

    /// How many bytes this rate carries in `time`.
    pub fn bytes_in(self, time: Duration) -> u64 {
        (self.0 as f64 * time.as_secs_f64() / 8.0) as u64
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 1_000_000 {
            write!(f, "{:.2} Mbit/s", self.0 as f64 / 1e6)
        } else {
            write!(f, "{:.0} kbit/s", self.kbps())
        }
    }
}

impl fmt::Debug for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
