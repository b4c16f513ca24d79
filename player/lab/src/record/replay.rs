//! The link and the content of a recorded session, rebuilt, to ask what others would have done.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use weir_abr::{
    Bitrate, Ladder, Rung, RungId, SegmentInfo, Track, TrackKind,
    record::{Entry, Event},
};

use crate::{
    content::Content,
    trace::{Point, Trace},
};

/// What could be rebuilt from a record.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The link as its downloads saw it, from the first segment's request on.
    pub trace: Trace,
    /// What was streamed. Sizes of what was never downloaded follow from those that were.
    pub content: Content,
    /// For each segment of the main track, in order: the rung that was chosen for it first, and that was kept.
    pub chosen: Vec<(u64, RungId, RungId)>,
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
    #[error("the record's downloads make no link: {0}")]
    NoLink(#[from] crate::trace::Invalid),
}

/// One download: when its bytes flowed, and how many.
#[derive(Clone, Copy, Debug)]
struct Flow {
    asked: f64,
    first: f64,
    last: f64,
    bits: f64,
}

/// Rates are rebuilt in steps of at least this.
const STEP_MS: f64 = 100.0;
/// A gap between downloads shorter than this says nothing about the link.
const LATENCY_MS: f64 = 40.0;

impl Replay {
    /// Rebuilds link and content.
    pub fn new(entries: &[Entry]) -> Result<Self, RebuildError> {
        let flows = flows(entries);
        let first_asked = flows.iter().map(|flow| flow.asked).fold(f64::INFINITY, f64::min);
        if !first_asked.is_finite() {
            return Err(RebuildError::NoSegments);
        }
        let trace = link(&flows, first_asked)?;
        let mut tracks = Vec::new();
        for kind in [TrackKind::Video, TrackKind::Audio] {
            match track(entries, kind) {
                Ok(track) => tracks.push(Arc::new(track)),
                Err(error) if kind == TrackKind::Video => return Err(error),
                Err(_) => {}
            }
        }
        let content = Content { name: "recorded".to_owned(), tracks };
        Ok(Self { trace, content, chosen: chosen(entries), start_ms: first_asked })
    }
}

fn flows(entries: &[Entry]) -> Vec<Flow> {
    let mut asked: BTreeMap<(TrackKind, u64), f64> = BTreeMap::new();
    let mut flows = Vec::new();
    for entry in entries {
        match &entry.event {
            Event::Request { track: Some(track), index: Some(index), .. } => {
                asked.insert((*track, *index), entry.t_ms);
            }
            Event::Segment { bytes, ms, ttfb_ms, .. } => flows.push(Flow {
                asked: entry.t_ms - ms,
                first: entry.t_ms - ms + ttfb_ms,
                last: entry.t_ms,
                bits: *bytes as f64 * 8.0,
            }),
            Event::Abort { track, index, bytes, .. } => {
                if let Some(asked) = asked.get(&(*track, *index)) {
                    let first = (asked + LATENCY_MS).min(entry.t_ms);
                    flows.push(Flow { asked: *asked, first, last: entry.t_ms, bits: *bytes as f64 * 8.0 });
                }
            }
            _ => {}
        }
    }
    flows.retain(|flow| flow.last > flow.first);
    flows
}

/// The sum of all flows over time. Where nothing flowed the link is taken to be as it was before.
fn link(flows: &[Flow], start: f64) -> Result<Trace, crate::trace::Invalid> {
    let mut edges: Vec<f64> =
        flows.iter().flat_map(|flow| [flow.first, flow.last]).map(|t| t - start).collect();
    edges.push(0.0);
    edges.sort_by(f64::total_cmp);
    // Edges that nearly coincide would make points of no length.
    edges.dedup_by(|later, earlier| *later - *earlier < 1.0);
    let latency = |from: f64| {
        let of = |flow: &Flow| (flow.first - flow.asked).max(0.0);
        let after = flows.iter().filter(|flow| flow.first - start >= from);
        after.min_by(|a, b| a.first.total_cmp(&b.first)).or(flows.last()).map_or(LATENCY_MS, of)
    };
    let mut points: Vec<Point> = Vec::with_capacity(edges.len());
    let mut last_kbps = None;
    for pair in edges.windows(2) {
        let &[from, to] = pair else { continue };
        let mut asked_for = false;
        let mut bits = 0.0;
        for flow in flows {
            let (first, last) = (flow.first - start, flow.last - start);
            let overlap = last.min(to) - first.max(from);
            if overlap > 0.0 {
                asked_for = true;
                bits += flow.bits * overlap / (last - first);
            }
        }
        // Something was asked for and nothing came: an outage. Nothing was asked for: nobody knows.
        let kbps = if asked_for { Some(bits / (to - from)) } else { last_kbps };
        let point = Point { duration_ms: to - from, kbps: kbps.unwrap_or(-1.0), latency_ms: latency(from) };
        last_kbps = kbps;
        match points.last_mut() {
            // Short stretches are joined with the one before: two downloads never end quite together.
            Some(before) if before.duration_ms < STEP_MS && before.kbps >= 0.0 && point.kbps >= 0.0 => {
                let length = before.duration_ms + point.duration_ms;
                let sum = before.kbps * before.duration_ms + point.kbps * point.duration_ms;
                *before = Point { duration_ms: length, kbps: sum / length, latency_ms: before.latency_ms };
            }
            _ => points.push(point),
        }
    }
    // Before the first byte nothing is known: as it was then.
    let first = points.iter().map(|point| point.kbps).find(|kbps| *kbps >= 0.0).unwrap_or(0.0);
    for point in &mut points {
        if point.kbps < 0.0 {
            point.kbps = first;
        }
    }
    Trace::new("recorded link", points)
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
            SegmentInfo {
                start: Duration::from_secs_f64(start),
                duration: Duration::from_secs_f64(length),
                sizes: sizes.collect(),
                gap: false,
            }
        })
        .collect();
    Ok(Track { kind, ladder, first_index: first, segments })
}

fn chosen(entries: &[Entry]) -> Vec<(u64, RungId, RungId)> {
    let mut chosen: BTreeMap<u64, (RungId, RungId)> = BTreeMap::new();
    for entry in entries {
        if let Event::Segment { track: TrackKind::Video, index, rung, .. } = &entry.event {
            chosen.entry(*index).and_modify(|slot| slot.1 = *rung).or_insert((*rung, *rung));
        }
    }
    chosen.into_iter().map(|(index, (first, kept))| (index, first, kept)).collect()
}
