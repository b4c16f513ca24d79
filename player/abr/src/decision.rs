//! Every decision as data: what went in, what each rung scored, the rule that won, and one plain sentence.

use std::time::Duration;

use crate::{Bitrate, RungId, TrackKind};

/// Why a segment is fetched at the rung that was chosen.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Decision {
    /// Track that the segment belongs to.
    pub track: TrackKind,
    /// Number of the segment.
    pub index: u64,
    /// Chosen rung.
    pub rung: RungId,
    /// Rung of the decision before, on the same track.
    pub previous: Option<RungId>,
    /// Throughput that was expected, where there was an estimate.
    pub estimate: Option<Bitrate>,
    /// Media buffered ahead of the playhead when the choice was made.
    pub buffer: Duration,
    /// Short name of the rule that decided: `start`, `weir`, `bola`, `manual`, `cap`, `abandon`, `retry` ...
    pub rule: &'static str,
    /// One sentence for people: what was chosen and why.
    pub reason: String,
    /// Score of each rung in the ladder's order, higher is better; empty when the rule has no scores.
    pub scores: Vec<f64>,
}
