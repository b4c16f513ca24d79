//! Sabre's own model (Spiteri, Sitaraman, Sparacio: "From theory to practice: improving bitrate adaptation in the DASH
//! reference player", MMSys 2018), reproduced to the last printed digit.
//!
//! It is here to prove the lab's arithmetic against published results, and as a fast baseline. It shares nothing with
//! the player's planner: one download at a time, whole segments, the published rules with their published quirks.
//! Units are Sabre's: bits, milliseconds, kbit/s.

mod average;
mod bola;
mod bola_e;
mod buffer;
mod dynamic;
mod network;
mod rule;
mod session;
mod throughput;

pub use session::{Outcome, simulate};

use crate::content::Movie;

/// Which rule chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Highest rung below 0.9 of the throughput, with the insufficient-buffer rule.
    Throughput,
    /// BOLA with a fixed V.
    BolaBasic,
    /// BOLA with a smaller V near start and end.
    Bola,
    /// BOLA-E without the insufficient-buffer rule.
    BolaPl,
    /// BOLA-E.
    BolaE,
    /// BOLA or THROUGHPUT, by buffer level and rung.
    Dynamic,
    /// The same with BOLA's fixed V.
    DynamicBasic,
    /// BOLA-E above 10 s of buffer, THROUGHPUT below 5 s.
    DynamicDash,
}

impl Algorithm {
    /// All, as their names are listed.
    pub const ALL: [(&'static str, Self); 8] = [
        ("throughput", Self::Throughput),
        ("bola-basic", Self::BolaBasic),
        ("bola", Self::Bola),
        ("bola-pl", Self::BolaPl),
        ("bola-e", Self::BolaE),
        ("dynamic", Self::Dynamic),
        ("dynamic-basic", Self::DynamicBasic),
        ("dynamic-dash", Self::DynamicDash),
    ];

    /// By name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }
}

/// Whether Sabre's mistakes are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Compatibility {
    /// As in Sabre of 2020-03-05: after a download is given up the rule is asked again, as if nothing had been decided.
    #[default]
    Sabre,
    /// The rung for which a download was given up is fetched next.
    Corrected,
}

/// Settings of a session; the defaults are those of the paper's scripts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Which rule chooses.
    pub algorithm: Algorithm,
    /// Largest buffer in ms (`-b`).
    pub max_buffer_ms: f64,
    /// Limit up-switches to what the throughput sustains (`-ao`): BOLA-O instead of BOLA-U.
    pub limit_oscillation: bool,
    /// Replace buffered segments of lower quality, the earliest first (`-r left`).
    pub replace: bool,
    /// Give downloads up (all but `-noa`).
    pub abandon: bool,
    /// gamma p in seconds (`-gp`).
    pub gamma_p: f64,
    /// Rung at which playback counts as ramped up (`-rmp`); else the one that the network sustains.
    pub rampup_rung: Option<usize>,
    /// Play so many seconds, repeating or cutting the movie (`-ml`).
    pub movie_length_s: Option<f64>,
    /// When a seek happens, and where to, in seconds of media (`-s`).
    pub seek_s: Option<(f64, f64)>,
    /// Keep Sabre's mistakes.
    pub compatibility: Compatibility,
}

impl Options {
    /// The paper's settings for this rule and buffer.
    pub fn new(algorithm: Algorithm, max_buffer_s: f64) -> Self {
        Self {
            algorithm,
            max_buffer_ms: max_buffer_s * 1000.0,
            limit_oscillation: true,
            replace: false,
            abandon: true,
            gamma_p: 5.0,
            rampup_rung: None,
            movie_length_s: None,
            seek_s: None,
            compatibility: Compatibility::Sabre,
        }
    }
}

/// A movie prepared for many sessions.
#[derive(Clone, Debug)]
pub struct Film {
    /// Length of a segment in ms.
    pub(crate) segment_ms: f64,
    /// Nominal bitrates in kbit/s.
    pub(crate) kbps: Vec<f64>,
    /// ln(bitrate).
    pub(crate) ln: Vec<f64>,
    /// ln(bitrate / lowest).
    pub(crate) utility: Vec<f64>,
    /// Sizes in bits, rung by rung within segment by segment.
    sizes: Vec<f64>,
}

impl Film {
    /// Prepares a movie.
    pub fn new(movie: &Movie) -> Self {
        let ln: Vec<f64> = movie.bitrates_kbps.iter().map(|kbps| kbps.ln()).collect();
        let offset = -ln.first().copied().unwrap_or(0.0);
        Self {
            segment_ms: movie.segment_duration_ms,
            kbps: movie.bitrates_kbps.clone(),
            utility: ln.iter().map(|ln| ln + offset).collect(),
            ln,
            sizes: movie.segment_sizes_bits.iter().flatten().copied().collect(),
        }
    }

    /// Number of segments in the file.
    pub(crate) fn segments(&self) -> usize {
        self.sizes.len() / self.kbps.len()
    }

    /// Size in bits; the movie repeats.
    pub(crate) fn size(&self, segment: usize, rung: usize) -> f64 {
        self.sizes[segment % self.segments() * self.kbps.len() + rung]
    }

    pub(crate) fn rungs(&self) -> usize {
        self.kbps.len()
    }

    /// Highest rung whose segment arrives within its own length at `kbps`, the latency included.
    pub(crate) fn sustained(&self, kbps: f64, latency_ms: f64) -> usize {
        let mut rung = 0;
        while rung + 1 < self.rungs()
            && latency_ms + self.segment_ms * self.kbps[rung + 1] / kbps <= self.segment_ms
        {
            rung += 1;
        }
        rung
    }
}
