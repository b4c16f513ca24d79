use std::{fmt, time::Duration};

use crate::Bitrate;

/// Why a rung was chosen, without the words: a controller gives it away without allocating, and whoever wants a sentence
/// prints it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// Nothing is known yet.
    Unknown,
    /// The highest rung that fits into this share of the expected rate.
    FitsRate {
        /// Rate that was allowed.
        allowed: Bitrate,
    },
    /// Even the lowest rung does not fit into the expected rate.
    NothingFits {
        /// Rate that was allowed.
        allowed: Bitrate,
    },
    /// What is buffered makes this rung the best of utility against buffer.
    BestForBuffer {
        /// Media ahead of the playhead.
        buffer: Duration,
    },
    /// The buffer alone sets the rung, between a reservoir and a cushion.
    BufferMap {
        /// Media ahead of the playhead.
        buffer: Duration,
    },
    /// A plan over the next segments promised most.
    BestPlan {
        /// How many segments were planned for.
        horizon: usize,
        /// Its expected seconds of stall.
        stall: f64,
        /// Where the buffer is expected to end.
        buffer: Duration,
    },
    /// The link is steady and carries this rung.
    Steady {
        /// What it has held.
        rate: Bitrate,
    },
    /// What is to come is worth most after this choice.
    BestValue {
        /// Expected seconds of stall before the segment is there.
        stall: f64,
        /// Expected buffer when it is.
        buffer: Duration,
    },
    /// The buffer is short, so what arrives in time counts most.
    ShortBuffer {
        /// Media ahead of the playhead.
        buffer: Duration,
    },
    /// It stays where it was: a change would not last or not pay.
    Stay,
    /// It is held back after a download that had to be given up.
    HeldBack,
    /// Distance to the live edge and the network together.
    Latency {
        /// Distance to the live edge.
        latency: Duration,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "nothing is known about the network yet"),
            Self::FitsRate { allowed } => write!(f, "the highest that fits into {allowed}"),
            Self::NothingFits { allowed } => write!(f, "nothing fits into {allowed}, so the lowest"),
            Self::BestForBuffer { buffer } => {
                write!(f, "the best trade of quality against {:.1} s of buffer", buffer.as_secs_f64())
            }
            Self::BufferMap { buffer } => {
                write!(f, "what {:.1} s of buffer allow", buffer.as_secs_f64())
            }
            Self::BestPlan { horizon, stall, buffer } if *stall < 0.05 => write!(
                f,
                "the best plan for {horizon} segments, which leaves {:.1} s of buffer",
                buffer.as_secs_f64()
            ),
            Self::BestPlan { horizon, stall, buffer } => write!(
                f,
                "the best plan for {horizon} segments, which risks {stall:.1} s of stall and leaves {:.1} s of buffer",
                buffer.as_secs_f64()
            ),
            Self::Steady { rate } => write!(f, "what the network carries, steady at {rate}"),
            Self::BestValue { stall, buffer } if *stall < 0.05 => {
                write!(
                    f,
                    "worth most in the long run, with {:.1} s buffered when it is there",
                    buffer.as_secs_f64()
                )
            }
            Self::BestValue { stall, buffer } => write!(
                f,
                "worth most in the long run, at the risk of {stall:.1} s of stall, with {:.1} s buffered when it is there",
                buffer.as_secs_f64()
            ),
            Self::ShortBuffer { buffer } => {
                write!(f, "only {:.1} s are buffered, so what arrives in time", buffer.as_secs_f64())
            }
            Self::Stay => write!(f, "a change would not pay"),
            Self::HeldBack => write!(f, "held back after a download that was given up"),
            Self::Latency { latency } => {
                write!(f, "what the network allows {:.1} s behind the live edge", latency.as_secs_f64())
            }
        }
    }
}
