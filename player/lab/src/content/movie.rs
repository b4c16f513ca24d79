//! Sabre's movie files.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{Content, MOST_KBPS};

/// A terabyte.
const MOST_BITS: f64 = 8e12;

/// `{"segment_duration_ms", "bitrates_kbps", "segment_sizes_bits"}`, as Sabre reads it.
#[derive(Clone, Debug, Deserialize)]
pub struct Movie {
    /// Length of every segment in milliseconds.
    pub segment_duration_ms: f64,
    /// Nominal bitrates, lowest first.
    pub bitrates_kbps: Vec<f64>,
    /// Sizes in bits, `[segment][rung]`.
    pub segment_sizes_bits: Vec<Vec<f64>>,
}

/// Why a movie file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum MovieError {
    /// It cannot be read.
    #[error("reading the movie {}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// It is not a movie.
    #[error("{}:{line}: {reason}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong, and what was wanted.
        reason: String,
    },
}

impl Movie {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, MovieError> {
        let text = std::fs::read_to_string(path)
            .map_err(|reason| MovieError::Io { path: path.to_owned(), reason })?;
        let bad = |line, reason| MovieError::Bad { path: path.to_owned(), line, reason };
        let movie: Self = serde_json::from_str(&text).map_err(|error| {
            let wanted = "segment_duration_ms, bitrates_kbps and segment_sizes_bits";
            bad(error.line().max(1), format!("{error}; wanted {wanted}"))
        })?;
        movie.check().map_err(|reason| bad(1, reason))?;
        Ok(movie)
    }

    fn check(&self) -> Result<(), String> {
        if !(self.segment_duration_ms >= 1.0 && self.segment_duration_ms <= 3_600_000.0) {
            return Err("segment_duration_ms must be from 1 to an hour".to_owned());
        }
        if self.bitrates_kbps.is_empty()
            || self.bitrates_kbps.iter().any(|kbps| !(*kbps > 0.0 && *kbps <= MOST_KBPS))
        {
            return Err("bitrates_kbps must hold numbers above 0, 100 Gbit/s at most".to_owned());
        }
        if !self.bitrates_kbps.is_sorted() {
            return Err("bitrates_kbps must rise".to_owned());
        }
        if self.segment_sizes_bits.is_empty() {
            return Err("segment_sizes_bits is empty".to_owned());
        }
        let rungs = self.bitrates_kbps.len();
        for (at, sizes) in self.segment_sizes_bits.iter().enumerate() {
            if sizes.len() != rungs {
                return Err(format!("segment {at} has {} sizes; there are {rungs} bitrates", sizes.len()));
            }
            if sizes.iter().any(|size| !(*size > 0.0 && *size <= MOST_BITS)) {
                return Err(format!("segment {at} has a size that is not above 0, or above a terabyte"));
            }
        }
        Ok(())
    }

    /// As content for the simulator; sizes are rounded to bytes.
    pub fn to_content(&self, name: &str) -> Option<Content> {
        let sizes = self
            .segment_sizes_bits
            .iter()
            .map(|sizes| sizes.iter().map(|bits| (bits / 8.0).round() as u64).collect())
            .collect();
        Content::new(
            name,
            &self.bitrates_kbps,
            Duration::from_secs_f64(self.segment_duration_ms / 1000.0),
            sizes,
        )
    }
}
