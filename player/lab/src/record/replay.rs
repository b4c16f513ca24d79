//! A recorded session, rebuilt, to ask what others would have done.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use weir_abr::{
    Bitrate, Ladder, Rung, RungId, SegmentInfo, Track, TrackKind,
    record::{Entry, Event},
};

use super::{
    circumstances,
    flow::{flows, link},
};
use crate::{
    content::Content,
    sim::{Circumstances, Setup},
    trace::{Link, Point, Trace},
};

/// The link goes on as it was last for so long after the record's end.
const TAIL_MS: f64 = 24.0 * 3_600_000.0;
/// Content is not thought longer than so many segments.
const MOST_SEGMENTS: u64 = 100_000;

/// What could be rebuilt from a record.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The link as its downloads saw it, from the first segment's request on.
    pub trace: Trace,
    /// What was streamed. Sizes of what was never downloaded follow from those that were.
    pub content: Content,
    /// Whether the manifest told the segments' sizes.
    pub sized: bool,
    /// What else the record shows of player and server.
    pub circumstances: Circumstances,
    /// For each segment of the main track that was shown, in order: the rung that was chosen for it first, and that was
    /// kept.
    pub chosen: Vec<(u64, RungId, RungId)>,
    /// How far it was shown.
    pub shown: Duration,
    /// When the first segment was asked for, in ms of the record.
    pub start_ms: f64,
}

/// Why nothing can be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// There is no ladder.
    #[error("the record has no ladder of the main track: it ended before the manifest was read")]
    NoLadder,
    /// There are no segments.
    #[error("the record has no complete segment of the main track")]
    NoSegments,
    /// The link came to nothing.
    #[error("the record's downloads make no link")]
    NoLink(#[from] crate::trace::Invalid),
}

impl Replay {
    /// Rebuilds link and content. `film` is the whole content with its exact sizes, where the manifest is at hand; without
    /// it the content is what the record shows.
    pub fn new(entries: &[Entry], film: Option<Content>) -> Result<Self, RebuildError> {
        let flows = flows(entries);
        let start_ms = flows.iter().map(|flow| flow.asked).fold(f64::INFINITY, f64::min);
        if !start_ms.is_finite() {
            return Err(RebuildError::NoSegments);
        }
        let content = match film {
            Some(content) => content,
            None => rebuilt(entries)?,
        };
        Ok(Self {
            trace: link(&flows, start_ms)?,
            chosen: chosen(entries),
            sized: entries.iter().any(|entry| {
                matches!(entry.event, Event::Segment { track: TrackKind::Video, sized: true, .. })
            }),
            circumstances: circumstances::of(entries, &content, start_ms),
            shown: time(shown_s(entries)),
            content,
            start_ms,
        })
    }

    /// The link, which goes on after the record's end as it was last.
    pub fn link(&self) -> Link {
        let mut points = self.trace.points().to_vec();
        if let Some(last) = points.last().copied() {
            points.push(Point { duration_ms: TAIL_MS, ..last });
        }
        // What was a trace with a point more is one still.
        let longer = Trace::new(self.trace.name(), points);
        Link::new(longer.as_ref().unwrap_or(&self.trace))
    }

    /// What to simulate on that link to have the session again.
    pub fn setup<'a>(&'a self, link: &'a Link) -> Setup<'a> {
        Setup {
            hide_sizes: !self.sized,
            circumstances: Some(&self.circumstances),
            ..Setup::new(&self.content, link)
        }
    }

    /// The part of the content of which something was shown.
    pub fn seen(&self) -> Content {
        let cut = |track: &Arc<Track>| {
            let mut track = track.as_ref().clone();
            track.segments.retain(|segment| segment.start <= self.shown);
            Arc::new(track)
        };
        Content { name: self.content.name.clone(), tracks: self.content.tracks.iter().map(cut).collect() }
    }
}

/// Seconds of a record as a time; thirty years at most.
fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, 1e9)).unwrap_or_default()
}

/// The furthest that was shown, in seconds.
fn shown_s(entries: &[Entry]) -> f64 {
    let positions = entries.iter().filter_map(|entry| match entry.event {
        Event::Position { pos_s, .. } | Event::Ended { pos_s } => Some(pos_s),
        _ => None,
    });
    positions.fold(f64::NEG_INFINITY, f64::max)
}

fn rebuilt(entries: &[Entry]) -> Result<Content, RebuildError> {
    let mut tracks = Vec::new();
    for kind in [TrackKind::Video, TrackKind::Audio] {
        match track(entries, kind) {
            Ok(track) => tracks.push(Arc::new(track)),
            Err(error) if kind == TrackKind::Video => return Err(error),
            Err(_) => {}
        }
    }
    Ok(Content { name: "recorded".to_owned(), tracks })
}

fn track(entries: &[Entry], kind: TrackKind) -> Result<Track, RebuildError> {
    let ladder = entries.iter().rev().find_map(|entry| match &entry.event {
        Event::Ladder { track, kbps, heights } if *track == kind => Some((kbps, heights)),
        _ => None,
    });
    let (kbps, heights) = ladder.ok_or(RebuildError::NoLadder)?;
    let rungs = kbps
        .iter()
        .enumerate()
        .map(|(at, kbps)| Rung {
            height: heights.get(at).copied().flatten(),
            ..Rung::with_bitrate(Bitrate::from_kbps(*kbps))
        })
        .collect();
    let ladder = Ladder::new(rungs).ok_or(RebuildError::NoLadder)?;
    // Start and length, and what was downloaded at which rung.
    let mut known: BTreeMap<u64, (f64, f64, BTreeMap<usize, u64>)> = BTreeMap::new();
    for entry in entries {
        if let Event::Segment { track, index, rung, bytes, start_s, duration_s, .. } = &entry.event
            && *track == kind
        {
            let slot = known.entry(*index).or_insert_with(|| (*start_s, *duration_s, BTreeMap::new()));
            slot.2.insert(rung.0, *bytes);
        }
    }
    let (Some(first), Some(last)) = (known.keys().next().copied(), known.keys().next_back().copied()) else {
        return Err(RebuildError::NoSegments);
    };
    let mean = known.values().map(|(_, length, _)| length).sum::<f64>() / known.len() as f64;
    let mut end = 0.0;
    // What was to come counts: a player knows how far it is to the end.
    let whole_s = entries.iter().rev().find_map(|entry| match entry.event {
        Event::Manifest { live: Some(false), duration_s, .. } => duration_s,
        _ => None,
    });
    let last_end = known.values().next_back().map_or(0.0, |(start, length, _)| start + length);
    let more = whole_s.map_or(0.0, |whole| ((whole - last_end) / mean.max(0.001)).round().max(0.0));
    let last = last.saturating_add(more as u64).min(first.saturating_add(MOST_SEGMENTS));
    let segments = (first..=last)
        .map(|index| {
            let segment = known.get(&index);
            let start = segment.map_or(end, |(start, ..)| start.max(end));
            let length = segment.map_or(mean, |(start_s, length, _)| (start_s + length - start).max(0.001));
            end = start + length;
            let sizes = kbps.iter().enumerate().map(|(rung, rate)| {
                let sizes = segment.map(|(_, _, sizes)| sizes);
                // As much above or below its nominal size as the nearest rung that is known.
                sizes
                    .and_then(|sizes| sizes.iter().min_by_key(|(known, _)| known.abs_diff(rung)))
                    .and_then(|(known, bytes)| Some(*bytes as f64 * rate / kbps.get(*known)?))
                    .unwrap_or(rate * 125.0 * length)
                    .max(1.0) as u64
            });
            SegmentInfo { start: time(start), duration: time(length), sizes: sizes.collect(), gap: false }
        })
        .collect();
    Ok(Track { kind, ladder, first_index: first, segments })
}

/// Segments that were fetched and not shown might still have been replaced: they are left out.
fn chosen(entries: &[Entry]) -> Vec<(u64, RungId, RungId)> {
    let mut chosen: BTreeMap<u64, (RungId, RungId)> = BTreeMap::new();
    let shown_s = shown_s(entries);
    for entry in entries {
        if let Event::Segment { track: TrackKind::Video, index, rung, start_s, .. } = &entry.event
            && *start_s <= shown_s
        {
            chosen.entry(*index).and_modify(|slot| slot.1 = *rung).or_insert((*rung, *rung));
        }
    }
    chosen.into_iter().map(|(index, (first, kept))| (index, first, kept)).collect()
}
