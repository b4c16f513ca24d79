//! A track as the brain wants it.

use std::time::Duration;

use weir_abr::{Bitrate, Ladder, Rung, SegmentInfo, TrackKind};

use crate::model::{MediaKind, Rendition, Segment, Track};

/// No rendition needs more, in bit/s; what is declared above it is a mistake, with which the brain would reckon.
const MOST_BPS: u64 = 100_000_000_000;
/// No segment is larger, in bytes.
const MOST_BYTES: u64 = 1 << 40;

/// The rate by which renditions are sorted and judged, in bit/s: the average where it is known, else the declared one.
pub(crate) fn rate(rendition: &Rendition) -> u64 {
    rendition.average_bandwidth.unwrap_or(rendition.bandwidth)
}

/// The rendition that knows most of what can be fetched now: the one whose list reaches furthest.
pub(crate) fn reference(track: &Track) -> Option<&Rendition> {
    track
        .renditions
        .iter()
        .filter(|rendition| !rendition.segments.is_empty())
        .max_by_key(|rendition| (rendition.last().map(|last| last.number), rendition.segments.len()))
}

/// `track` as the brain's ladder and list of segments. Rung *i* is rendition *i*.
///
/// Renditions that were not loaded yet are taken to have the segments of the one that reaches furthest. `main` says
/// that this is the presentation's first track, which the brain calls video even when it carries sound alone.
/// `None` when there is no rendition; no segments as long as no playlist was loaded.
pub fn to_brain_track(track: &Track, main: bool) -> Option<weir_abr::Track> {
    let rungs = track
        .renditions
        .iter()
        .map(|rendition| Rung {
            bitrate: Bitrate::from_bps(rate(rendition).clamp(1, MOST_BPS)),
            peak: rendition.average_bandwidth.map(|_| Bitrate::from_bps(rendition.bandwidth.min(MOST_BPS))),
            width: rendition.width,
            height: rendition.height,
            frame_rate: rendition.frame_rate,
        })
        .collect();
    let ladder = Ladder::new(rungs)?;
    let reference = reference(track);
    let listed = reference.map(|rendition| rendition.segments.as_slice()).unwrap_or_default();
    let growing = reference.and_then(|rendition| rendition.growing.as_deref());
    let mut segments: Vec<SegmentInfo> = Vec::with_capacity(listed.len() + 1);
    for segment in listed.iter().chain(growing) {
        // The brain wants no overlaps; rounding in manifests makes some of a nanosecond.
        let floor = segments.last().map_or(Duration::ZERO, SegmentInfo::end);
        let start = segment.start.max(floor);
        let end = segment.start.saturating_add(segment.duration);
        segments.push(SegmentInfo {
            start,
            duration: end.saturating_sub(start),
            sizes: sizes(track, segment.number),
            gap: segment.gap,
        });
    }
    Some(weir_abr::Track {
        kind: if main || track.kind == MediaKind::Video { TrackKind::Video } else { TrackKind::Audio },
        ladder,
        first_index: listed.first().map_or(0, |segment| segment.number),
        segments,
    })
}

/// Sizes of segment `number` at each rung; empty unless all are known.
fn sizes(track: &Track, number: u64) -> Box<[u64]> {
    track
        .renditions
        .iter()
        .map(|rendition| find(&rendition.segments, number).and_then(size))
        .collect::<Option<Vec<_>>>()
        .unwrap_or_default()
        .into_boxed_slice()
}

fn size(segment: &Segment) -> Option<u64> {
    let size = segment
        .size
        .or_else(|| segment.media.range.as_ref().map(|range| range.end.saturating_sub(range.start)));
    size.map(|size| size.min(MOST_BYTES))
}

/// The segment with `number`. Numbers rise by one from segment to segment.
pub(crate) fn find(segments: &[Segment], number: u64) -> Option<&Segment> {
    let first = segments.first()?.number;
    segments.get(usize::try_from(number.checked_sub(first)?).ok()?)
}
