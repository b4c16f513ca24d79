//! What is streamed: rungs, segments and their true sizes.
//!
//! From a Sabre movie file, from a real manifest, or from a model of variable bitrate; see [`Spec`].

pub mod manifest;
mod model;
mod movie;
mod spec;

use std::{sync::Arc, time::Duration};

use weir_abr::{Bitrate, Ladder, Rung, RungId, SegmentInfo, Track, TrackKind};

pub use model::Model;
pub use movie::{Movie, MovieError};
pub use spec::{Spec, SpecError};

/// Rungs above this, in kbit/s, are mistakes, and too much for arithmetic.
const MOST_KBPS: f64 = 1e8;

/// A presentation to simulate: the main track and, where the manifest has one, its separate audio.
#[derive(Clone, Debug)]
pub struct Content {
    /// What it is called in results.
    pub name: String,
    /// With true sizes; the main track first.
    pub tracks: Vec<Arc<Track>>,
}

impl Content {
    /// A main track from nominal bitrates in kbit/s, one length for all segments but perhaps the last,
    /// and true sizes in bytes, `sizes[segment][rung]`. `None` when the ladder is empty or not sorted.
    pub fn new(name: &str, kbps: &[f64], segment: Duration, sizes: Vec<Box<[u64]>>) -> Option<Self> {
        let rungs = kbps.iter().map(|kbps| Rung::with_bitrate(Bitrate::from_kbps(*kbps))).collect();
        let segments = sizes
            .into_iter()
            .enumerate()
            .map(|(index, sizes)| SegmentInfo {
                start: segment * u32::try_from(index).unwrap_or(u32::MAX),
                duration: segment,
                sizes,
                gap: false,
            })
            .collect();
        let track = Track { kind: TrackKind::Video, ladder: Ladder::new(rungs)?, first_index: 0, segments };
        Some(Self { name: name.to_owned(), tracks: vec![Arc::new(track)] })
    }

    /// The main track.
    pub fn main(&self) -> &Track {
        &self.tracks[0]
    }

    /// How long it plays.
    pub fn duration(&self) -> Duration {
        self.tracks.iter().map(|track| track.end()).max().unwrap_or_default()
    }

    /// Nominal bitrates of the main track's rungs in kbit/s.
    pub fn kbps(&self) -> Vec<f64> {
        self.main().ladder.rungs().iter().map(|rung| rung.bitrate.kbps()).collect()
    }

    /// The tracks as a player sees them whose manifest says nothing of sizes.
    pub fn without_sizes(&self) -> Vec<Arc<Track>> {
        self.tracks
            .iter()
            .map(|track| {
                let mut track = Track::clone(track);
                for segment in &mut track.segments {
                    segment.sizes = Box::default();
                }
                Arc::new(track)
            })
            .collect()
    }

    /// Does the lowest rung alone play on a link, with so much buffer, with at most this share of stalls? (Start-up is
    /// left out.)
    pub fn is_feasible(&self, link: &crate::trace::Link, max_buffer: Duration, max_stall_share: f64) -> bool {
        let max_buffer = max_buffer.as_secs_f64() * 1000.0;
        let track = self.main();
        let mut now = 0.0;
        let mut play_end: f64 = 0.0;
        let mut stalled = 0.0;
        let mut played = 0.0;
        for (at, segment) in track.segments.iter().enumerate() {
            let length = segment.duration.as_secs_f64() * 1000.0;
            let bits = segment.size(RungId(0), &track.ladder) as f64 * 8.0;
            if at > 0 {
                // Asked for when there is room.
                now = f64::max(now, play_end.min(play_end + length - max_buffer));
            }
            now = link.finish_ms(now + link.latency_at(now), bits);
            if at > 0 && now > play_end {
                stalled += now - play_end;
            }
            play_end = f64::max(play_end, now) + length;
            played += length;
        }
        stalled <= max_stall_share * (played + stalled)
    }
}
