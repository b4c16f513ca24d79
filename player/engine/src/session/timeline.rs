//! From media time to presentation time, one map for each discontinuity.

use std::collections::BTreeMap;

use weir_manifest::model::Segment;

use super::units::nanos;
use crate::demux::{Demuxed, StreamKind};

/// Playlists round, and may be off by a little in all; more than this and the segment is from another timeline that
/// nobody announced.
const ASTRAY: i64 = 10 * crate::samples::SECOND;

/// The same for a segment beside one that was placed: the error grows slowly, so it can hardly differ between neighbours.
const ASTRAY_BESIDE: i64 = 3 * crate::samples::SECOND / 2;

/// Maps kept: a live stream with a break every few minutes must not grow.
const KEPT: usize = 64;

/// The maps known so far: what to take off media time, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    maps: BTreeMap<u64, i64>,
    /// The same for segments of the main track that do not fit their discontinuity's: sound goes with them.
    apart: BTreeMap<u64, i64>,
    /// The segment of the main track that was placed last, and how far it was from where the playlist has it.
    last: Option<(u64, i64)>,
}

/// Whether a segment found its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// Its samples are on the presentation timeline now.
    Yes,
    /// The map of its discontinuity is still to come, from the main track.
    NotYet,
}

impl Timeline {
    /// Whether the place of `segment` is known without its time stamps.
    pub(crate) fn knows(&self, segment: &Segment) -> bool {
        segment.media_time_offset.is_some() || self.maps.contains_key(&segment.discontinuity)
    }

    /// What to take off media time for presentation time, nanoseconds, where that is known for `segment`.
    pub(crate) fn offset(&self, segment: &Segment) -> Option<i64> {
        match segment.media_time_offset {
            Some(seconds) => Some((seconds * crate::samples::SECOND as f64) as i64),
            None => self.maps.get(&segment.discontinuity).copied(),
        }
    }

    /// One that knows a single discontinuity.
    #[cfg(test)]
    pub(crate) fn of(discontinuity: u64, offset: i64) -> Self {
        Self { maps: BTreeMap::from([(discontinuity, offset)]), ..Self::default() }
    }

    /// Puts `demuxed` on the presentation timeline. Only the main track (`anchors`) sets a map: sound that starts a few
    /// milliseconds apart from the picture has to stay apart from it.
    pub(crate) fn place(&mut self, segment: &Segment, demuxed: &mut Demuxed, anchors: bool) -> Placed {
        let listed = nanos(segment.start);
        let known = match segment.media_time_offset {
            Some(seconds) => Some((seconds * crate::samples::SECOND as f64) as i64),
            None => {
                let apart = self.apart.get(&segment.number).filter(|_| !anchors);
                apart.or(self.maps.get(&segment.discontinuity)).copied()
            }
        };
        if !demuxed.timed {
            let start = demuxed.start().unwrap_or(0);
            shift(demuxed, start - listed);
            return Placed::Yes;
        }
        if let Some(offset) = known {
            demuxed.align(listed + offset);
        }
        let Some(start) = anchor(demuxed) else { return Placed::Yes };
        let beside = self.last.filter(|(number, _)| anchors && number.abs_diff(segment.number) <= 1);
        let follows = |offset: i64| {
            let error = start - offset - listed;
            let limit = beside.map_or(ASTRAY, |_| ASTRAY_BESIDE.max(nanos(segment.duration) * 3 / 4));
            (error - beside.map_or(0, |(_, before)| before)).abs() <= limit && error.abs() <= ASTRAY
        };
        let offset = match known {
            Some(offset) if follows(offset) => offset,
            Some(_) => {
                tracing::warn!(
                    number = segment.number,
                    "the segment's time stamps do not follow on: placed by the manifest"
                );
                if anchors {
                    self.apart.insert(segment.number, start - listed);
                    while self.apart.len() > KEPT {
                        self.apart.pop_first();
                    }
                }
                start - listed
            }
            None if anchors => {
                self.maps.insert(segment.discontinuity, start - listed);
                while self.maps.len() > KEPT {
                    self.maps.pop_first();
                }
                start - listed
            }
            None => return Placed::NotYet,
        };
        if anchors {
            self.last = Some((segment.number, start - offset - listed));
        }
        shift(demuxed, offset);
        Placed::Yes
    }
}

/// Time that stands for the segment's start: its first picture, else its first sound.
fn anchor(demuxed: &Demuxed) -> Option<i64> {
    let video = demuxed.streams.iter().find(|stream| stream.kind == StreamKind::Video);
    match video {
        Some(video) => video.samples.iter().map(|sample| sample.pts).min(),
        None => demuxed.start(),
    }
}

/// Moves all samples back by so many nanoseconds.
pub(crate) fn shift(demuxed: &mut Demuxed, by: i64) {
    for sample in demuxed.streams.iter_mut().flat_map(|stream| &mut stream.samples) {
        sample.pts = sample.pts.saturating_sub(by);
        sample.dts = sample.dts.saturating_sub(by);
    }
}
