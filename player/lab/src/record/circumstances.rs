//! What a record shows of player and server beside link and content.

use std::{collections::BTreeMap, time::Duration};

use weir_abr::{
    Bitrate, RungId, TrackKind,
    record::{Entry, Event},
};

use crate::{content::Content, sim::Circumstances};

/// Longer waits for the first picture are not the decoder's.
const LONGEST_DELAY_MS: f64 = 3000.0;

fn duration(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default()
}

/// Reads them from a record of `content` of which the first segment was asked for at `start_ms`.
pub(super) fn of(entries: &[Entry], content: &Content, start_ms: f64) -> Circumstances {
    let remembered = entries.iter().find_map(|entry| match entry.event {
        Event::Session { remembered_kbps: Some(kbps), remembered_age_s, .. } => {
            let age = duration(remembered_age_s.unwrap_or(0.0) * 1000.0);
            Some((Bitrate::from_kbps(kbps), age))
        }
        _ => None,
    });
    let ended = entries.iter().any(|entry| matches!(entry.event, Event::Ended { .. }));
    let until = entries.last().filter(|_| !ended).map(|last| duration(last.t_ms - start_ms));
    let beginning = beginning(entries, start_ms);
    let kinds = content.tracks.iter().map(|track| (track.kind, track.ladder.len()));
    Circumstances {
        openings: kinds.map(|(kind, rungs)| openings(entries, kind, rungs)).collect(),
        begun: beginning.map(|(begun, _)| duration(begun)),
        picture_delay: duration(beginning.map_or(0.0, |(_, delay)| delay)),
        remembered,
        until,
    }
}

/// What the first request at each rung waited after it was decided on; at rungs that were never chosen, as at the others.
fn openings(entries: &[Entry], kind: TrackKind, rungs: usize) -> Vec<Duration> {
    let mut decided: BTreeMap<(u64, RungId), f64> = BTreeMap::new();
    let mut waited: BTreeMap<RungId, f64> = BTreeMap::new();
    for entry in entries {
        match &entry.event {
            Event::Decision { track, index, rung, .. } if *track == kind => {
                decided.insert((*index, *rung), entry.t_ms);
            }
            Event::Request { track: Some(track), index: Some(index), rung: Some(rung), .. }
                if *track == kind =>
            {
                if let Some(at) = decided.remove(&(*index, *rung)) {
                    waited.entry(*rung).or_insert(entry.t_ms - at);
                }
            }
            _ => {}
        }
    }
    // The playlists of the first rungs are there before anything is decided.
    let later: Vec<f64> = waited.values().copied().filter(|ms| *ms > 1.0).collect();
    let usual = if later.is_empty() { 0.0 } else { later.iter().sum::<f64>() / later.len() as f64 };
    (0..rungs).map(|rung| duration(waited.get(&RungId(rung)).copied().unwrap_or(usual).max(0.0))).collect()
}

/// When playback was begun, since `start_ms`, and how long it took from there until pictures moved. The word is the
/// planner's, or where the record has none the arrival of what playback began with.
fn beginning(entries: &[Entry], start_ms: f64) -> Option<(f64, f64)> {
    let word = entries.iter().find_map(|entry| match entry.event {
        Event::Start { pos_s } => Some((entry.t_ms, pos_s)),
        _ => None,
    });
    let (there, begin_s) = word.or_else(|| first_media(entries))?;
    let moving = entries.iter().find_map(|entry| match entry.event {
        // The first that is past the first picture: the clock runs.
        Event::Position { pos_s, .. } if pos_s > begin_s => Some(entry.t_ms - (pos_s - begin_s) * 1000.0),
        _ => None,
    })?;
    Some((there - start_ms, (moving - there).clamp(0.0, LONGEST_DELAY_MS)))
}

/// When the first segment of every track was there, and where the main one begins.
fn first_media(entries: &[Entry]) -> Option<(f64, f64)> {
    let mut first_of: BTreeMap<TrackKind, (f64, f64)> = BTreeMap::new();
    for entry in entries {
        if let Event::Segment { track, start_s, .. } = &entry.event {
            first_of.entry(*track).or_insert((entry.t_ms, *start_s));
        }
    }
    let there = first_of.values().map(|(at, _)| *at).fold(0.0, f64::max);
    Some((there, first_of.get(&TrackKind::Video)?.1))
}
