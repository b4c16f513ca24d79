//! Where a media playlist's segments stand on the presentation timeline, so that a number always means the same media:
//! across reloads, when the window slides, after a restart, and on all renditions of a track.

use std::time::Duration;

use url::Url;

use super::media::{Key, MediaPlaylist, MediaSegment, absolute};
use crate::{
    Error,
    model::{Encryption, Parts, Resource, Segment},
};

/// What is known of a rendition that was loaded before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) segments: &'a [Segment],
    /// What to add to a media sequence number of the playlist to get a segment number.
    pub(crate) offset: i128,
    /// How often the playlist started anew.
    pub(crate) epoch: u32,
    /// Nothing was removed from its start.
    pub(crate) complete: bool,
}

/// Where the first segment of a playlist (skipped ones counted) stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) number: u64,
    pub(crate) start: Duration,
    pub(crate) discontinuity: u64,
    pub(crate) epoch: u32,
}

/// How a playlist relates to what was known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Placement {
    At(Place),
    /// An older copy than the one that is known, as caches give at times: nothing to learn from it.
    Stale,
    /// A delta update for a copy that is not known: the whole playlist is needed.
    NeedsWhole,
}

/// Number of the playlist's first listed segment, as it counts itself.
fn first_listed(playlist: &MediaPlaylist) -> i128 {
    i128::from(playlist.header.media_sequence) + i128::from(playlist.header.skipped)
}

fn complete(playlist: &MediaPlaylist) -> bool {
    playlist.header.playlist_type.is_some() || playlist.header.ended
}

/// Finds the place of `playlist`. `own` is what this rendition held before, `sibling` the rendition of the same track
/// that reaches furthest, `other` the main track where this is another one.
pub(crate) fn place(
    playlist: &MediaPlaylist,
    own: Option<Known<'_>>,
    sibling: Option<Known<'_>>,
    other: Option<Known<'_>>,
) -> Placement {
    let own = own.filter(|own| !own.segments.is_empty());
    let sibling = sibling.filter(|sibling| !sibling.segments.is_empty());
    let newer = sibling.filter(|sibling| own.is_none_or(|own| sibling.epoch > own.epoch));
    if let (Some(own), None) = (own, newer) {
        return after_reload(playlist, own, sibling);
    }
    if playlist.header.skipped > 0 {
        return Placement::NeedsWhole;
    }
    if let Some(sibling) = newer.or(sibling) {
        return Placement::At(beside(playlist, sibling));
    }
    let first = playlist.header.media_sequence;
    let discontinuity = playlist.header.discontinuity_sequence;
    let place = Place { number: first, start: Duration::ZERO, discontinuity, epoch: 0 };
    match other.filter(|other| !other.segments.is_empty()) {
        Some(other) if !(complete(playlist) && other.complete) => {
            let beside = beside(playlist, other);
            Placement::At(Place { start: beside.start, discontinuity: beside.discontinuity, ..place })
        }
        _ => Placement::At(place),
    }
}

/// The playlist without what lies before all that is known, where that has no place: a live stream that became a film is
/// listed from its beginning, and positions neither move nor go below zero. What was gone when the viewer came stays gone.
pub(crate) fn trimmed(
    playlist: &MediaPlaylist,
    own: Option<Known<'_>>,
    sibling: Option<Known<'_>>,
) -> Option<MediaPlaylist> {
    let listed = |known: &Known<'_>| !known.segments.is_empty();
    let known = own.filter(listed).or(sibling.filter(listed))?;
    let first = known.segments.first()?;
    let from = first_listed(playlist) + known.offset;
    let before = usize::try_from(i128::from(first.number) - from).ok().filter(|before| *before > 0)?;
    let lead: Duration = playlist.segments.get(..before)?.iter().map(|segment| segment.duration).sum();
    let kept = playlist.segments.get(before)?;
    let same = match (kept.program_date_time, first.program_date_time) {
        (Some(a), Some(b)) => (a - b).abs() < 0.5,
        _ => kept.duration == first.duration,
    };
    if playlist.header.skipped > 0 || lead <= first.start || !same {
        return None;
    }
    let mut playlist = playlist.clone();
    let gone = playlist.segments.drain(..before).filter(|segment| segment.discontinuity).count();
    playlist.header.media_sequence = playlist.header.media_sequence.saturating_add(before as u64);
    playlist.header.discontinuity_sequence =
        playlist.header.discontinuity_sequence.saturating_add(gone as u64);
    Some(playlist)
}

/// The same rendition again.
fn after_reload(playlist: &MediaPlaylist, own: Known<'_>, sibling: Option<Known<'_>>) -> Placement {
    let (Some(old_first), Some(old_last)) = (own.segments.first(), own.segments.last()) else {
        return Placement::NeedsWhole;
    };
    let first = first_listed(playlist) + own.offset;
    let last = first + playlist.segments.len() as i128 - 1;
    let (old_from, old_to) = (i128::from(old_first.number), i128::from(old_last.number));
    if playlist.header.skipped > 0 {
        let whole = i128::from(playlist.header.media_sequence) + own.offset;
        if whole < old_from || first > old_to + 1 || first < old_from {
            return Placement::NeedsWhole;
        }
        return at_known(own, whole);
    }
    if playlist.segments.is_empty() {
        return Placement::At(Place {
            number: clamp(first),
            start: end(old_last),
            discontinuity: old_last.discontinuity,
            epoch: own.epoch,
        });
    }
    if last < old_to {
        // It went back. An older copy lists the same media under the same numbers.
        let overlaps = last >= old_from;
        let same = (first.max(old_from)..=last).all(|number| {
            let at = usize::try_from(number - first).ok().and_then(|at| playlist.segments.get(at));
            let old = crate::brain::find(own.segments, clamp(number));
            match (at, old) {
                (Some(new), Some(old)) => {
                    new.duration == old.duration && same_name(&new.uri, old.media.url.path())
                }
                _ => false,
            }
        });
        if overlaps && same {
            return if playlist.header.ended { at_known(own, first) } else { Placement::Stale };
        }
        return restarted(own, old_last);
    }
    if first <= old_to {
        let start = crate::brain::find(own.segments, clamp(first)).map(|segment| segment.start);
        let moved = by_date(playlist, own).zip(start).is_some_and(|(dated, start)| {
            dated.abs_diff(start) > average(own.segments).max(Duration::from_secs(2))
        });
        return if moved { restarted(own, old_last) } else { at_known(own, first) };
    }
    // Segments came and went unseen. A rendition that saw them knows best.
    if let Some(sibling) =
        sibling.filter(|sibling| crate::brain::find(sibling.segments, clamp(first)).is_some())
    {
        return Placement::At(beside(playlist, sibling));
    }
    let missed = u32::try_from(first - old_to - 1).unwrap_or(u32::MAX);
    let start = by_date(playlist, own)
        .filter(|start| *start >= end(old_last))
        .unwrap_or_else(|| end(old_last).saturating_add(average(own.segments).saturating_mul(missed)));
    let discontinuity = playlist.header.discontinuity_sequence.max(old_last.discontinuity);
    Placement::At(Place { number: clamp(first), start, discontinuity, epoch: own.epoch })
}

/// The stream began anew: it goes on where the old one ended, as a run of its own.
fn restarted(own: Known<'_>, last: &Segment) -> Placement {
    Placement::At(Place {
        number: last.number.saturating_add(1),
        start: end(last),
        discontinuity: last.discontinuity.saturating_add(1),
        epoch: own.epoch + 1,
    })
}

/// The place of a number that is known, or that lies before everything known.
fn at_known(own: Known<'_>, number: i128) -> Placement {
    let found = crate::brain::find(own.segments, clamp(number)).or(own.segments.first());
    found.map_or(Placement::NeedsWhole, |segment| {
        // A list that grew at its start: step back from the first known one.
        let before = u32::try_from(i128::from(segment.number) - number).unwrap_or(0);
        Placement::At(Place {
            number: clamp(number),
            start: segment.start.saturating_sub(average(own.segments).saturating_mul(before)),
            discontinuity: segment.discontinuity,
            epoch: own.epoch,
        })
    })
}

/// A playlist of which nothing is known, beside one that is known.
fn beside(playlist: &MediaPlaylist, known: Known<'_>) -> Place {
    let raw = i128::from(playlist.header.media_sequence);
    let (Some(known_first), Some(known_last)) = (known.segments.first(), known.segments.last()) else {
        return Place { number: clamp(raw), start: Duration::ZERO, discontinuity: 0, epoch: known.epoch };
    };
    let average = average(known.segments).max(Duration::from_millis(1));
    let count = playlist.segments.len() as i128;
    let by_number = raw + known.offset;
    let number = if complete(playlist) && known.complete {
        i128::from(known_first.number)
    } else if let Some(start) = by_date(playlist, known) {
        let at = known.segments.iter().min_by_key(|segment| segment.start.abs_diff(start));
        let near = at.map_or(known_first, |segment| segment);
        let steps = (start.as_secs_f64() - near.start.as_secs_f64()) / average.as_secs_f64();
        i128::from(near.number) + steps.round() as i128
    } else if by_number <= i128::from(known_last.number) + count
        && by_number + 2 * count >= i128::from(known_first.number)
    {
        by_number
    } else {
        // Nothing in common but the present: both end at the live edge.
        i128::from(known_last.number) + 1 - count
    };
    let start = match crate::brain::find(known.segments, clamp(number)) {
        Some(segment) => segment.start,
        None if number > i128::from(known_last.number) => {
            let steps = u32::try_from(number - i128::from(known_last.number) - 1).unwrap_or(u32::MAX);
            end(known_last).saturating_add(average.saturating_mul(steps))
        }
        None => {
            let steps = u32::try_from(i128::from(known_first.number) - number).unwrap_or(u32::MAX);
            known_first.start.saturating_sub(average.saturating_mul(steps))
        }
    };
    // Dates are written in milliseconds; what is known of the number is exact.
    let start = by_date(playlist, known)
        .filter(|dated| dated.abs_diff(start) > Duration::from_millis(50))
        .unwrap_or(start);
    let discontinuity = crate::brain::find(known.segments, clamp(number)).map_or(
        if number > i128::from(known_last.number) {
            playlist.header.discontinuity_sequence.max(known_last.discontinuity)
        } else {
            playlist.header.discontinuity_sequence
        },
        |segment| {
            let tagged = playlist.segments.first().is_some_and(|first| first.discontinuity);
            segment.discontinuity.saturating_sub(u64::from(tagged))
        },
    );
    Place { number: clamp(number), start, discontinuity, epoch: known.epoch }
}

/// Start of the playlist's first listed segment by wall-clock dates, where both sides have them.
fn by_date(playlist: &MediaPlaylist, known: Known<'_>) -> Option<Duration> {
    let mut before = 0.0;
    let dated = playlist.segments.iter().find_map(|segment| {
        let at = before;
        before += segment.duration.as_secs_f64();
        segment.program_date_time.map(|date| date - at)
    })?;
    let nearest = known
        .segments
        .iter()
        .filter_map(|segment| Some((segment.program_date_time?, segment.start)))
        .min_by(|a, b| (a.0 - dated).abs().total_cmp(&(b.0 - dated).abs()))?;
    let start = nearest.1.as_secs_f64() + dated - nearest.0;
    // Further apart than a day, the dates belong to different clocks.
    ((dated - nearest.0).abs() < 86_400.0).then(|| Duration::try_from_secs_f64(start.max(0.0)).ok())?
}

fn same_name(uri: &str, path: &str) -> bool {
    let uri = uri.split(['?', '#']).next().unwrap_or(uri);
    uri.rsplit('/').next() == path.rsplit('/').next() || uri.contains(' ') || uri.contains('%')
}

fn end(segment: &Segment) -> Duration {
    segment.start.saturating_add(segment.duration)
}

fn average(segments: &[Segment]) -> Duration {
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return Duration::ZERO };
    end(last).saturating_sub(first.start) / u32::try_from(segments.len()).unwrap_or(u32::MAX)
}

fn clamp(number: i128) -> u64 {
    u64::try_from(number.max(0)).unwrap_or(u64::MAX)
}

/// Most bytes that addresses repeated in each segment may take.
const MOST_BYTES: usize = 512 * 1024 * 1024;

/// The playlist's segments on the presentation timeline, from `place` on. `old` holds what a delta update leaves out.
pub(crate) fn segments(
    playlist: &MediaPlaylist,
    base: &Url,
    place: Place,
    old: &[Segment],
) -> Result<Vec<Segment>, Error> {
    let mut out: Vec<Segment> = Vec::with_capacity(playlist.segments.len());
    let mut number = place.number;
    let mut discontinuity = place.discontinuity;
    let mut start = place.start;
    for _ in 0..playlist.header.skipped {
        // The place was found with these in view, so they are there.
        let Some(segment) = crate::brain::find(old, number) else { break };
        start = end(segment);
        discontinuity = segment.discontinuity;
        out.push(segment.clone());
        number = number.saturating_add(1);
    }
    let mut sequence = playlist.header.media_sequence.saturating_add(playlist.header.skipped);
    let mut date = out.last().and_then(|last| Some(last.program_date_time? + last.duration.as_secs_f64()));
    // The tags of skipped segments are left out too: what was in force there goes on until it is said anew.
    let carried = out.last().cloned();
    let skipped_to = sequence.saturating_sub(1);
    let mut init = None;
    let mut held = 0;
    let growing = playlist.header.growing.as_deref();
    for segment in playlist.segments.iter().chain(growing) {
        let complete = !segment.uri.is_empty();
        discontinuity = discontinuity.saturating_add(u64::from(segment.discontinuity));
        // What was said of this number before stays, so that positions never move.
        if let Some(known) = crate::brain::find(old, number) {
            start = known.start;
            discontinuity = known.discontinuity;
        }
        date = segment.program_date_time.or(date);
        if let Some(map) = &segment.map {
            let fresh = init.as_ref().is_none_or(|(of, _)| !std::sync::Arc::ptr_eq(of, map));
            if fresh {
                let url = absolute(base, &map.uri, segment.line)?;
                init = Some((map.clone(), Resource { url, range: map.byte_range.clone() }));
            }
        }
        let init_resource = init
            .as_ref()
            .map(|(_, resource)| resource.clone())
            .or_else(|| carried.as_ref().and_then(|before| before.init.clone()));
        // Long addresses of keys and maps are repeated in each segment.
        let key = |keys: &std::sync::Arc<[Key]>| {
            keys.iter().filter_map(|key| key.uri.as_ref()).map(String::len).sum()
        };
        held += segment.keys.as_ref().map_or(0, key) + base.as_str().len();
        held += init_resource.as_ref().map_or(0, |resource: &Resource| resource.url.as_str().len());
        if held > MOST_BYTES {
            return Err(Error::TooLarge { what: "bytes of addresses of keys and maps", limit: MOST_BYTES });
        }
        let parts = parts(playlist, segment, base)?;
        let media = match parts.as_ref().filter(|_| !complete) {
            None => Resource {
                url: absolute(base, &segment.uri, segment.line)?,
                range: segment.byte_range.clone(),
            },
            Some(parts) => match parts.list.first().or(parts.next.as_ref()) {
                Some(first) => first.clone(),
                None => break,
            },
        };
        // What is still being made is most likely as long as what was made before it.
        let expected = out.last().map(|last| last.duration).or(playlist.header.target_duration);
        let duration = match expected.filter(|_| !complete) {
            Some(expected) => expected.max(segment.duration),
            None => segment.duration,
        };
        out.push(Segment {
            number,
            start,
            duration,
            media,
            growing: !complete,
            parts: parts.map(std::sync::Arc::new),
            init: init_resource,
            discontinuity,
            media_time_offset: None,
            encryption: match &carried {
                Some(before)
                    if playlist.header.first_key.is_none_or(|line| complete && segment.line < line) =>
                {
                    carry(before.encryption.as_ref(), skipped_to, sequence)
                }
                _ => encryption(segment.keys.as_deref().unwrap_or_default(), base, sequence, segment.line)?,
            },
            size: segment.byte_range.as_ref().map(|range| range.end - range.start),
            gap: segment.gap,
            program_date_time: date,
        });
        start = start.saturating_add(segment.duration);
        date = date.map(|date| date + segment.duration.as_secs_f64());
        number = number.saturating_add(1);
        sequence = sequence.saturating_add(1);
    }
    Ok(out)
}

/// The parts of a segment near the edge.
fn parts(playlist: &MediaPlaylist, segment: &MediaSegment, base: &Url) -> Result<Option<Parts>, Error> {
    let header = &playlist.header;
    let growing = segment.uri.is_empty();
    // A gap in the middle has no bytes; what is behind it cannot be joined to what is before.
    let whole = !segment.parts.iter().any(|part| part.gap);
    if header.part_target.is_none() || !(growing || (whole && !segment.parts.is_empty())) {
        return Ok(None);
    }
    let mut list = Vec::with_capacity(segment.parts.len());
    for part in segment.parts.iter().take_while(|part| !part.gap) {
        let url = absolute(base, &part.uri, segment.line)?;
        list.push(Resource { url, range: part.byte_range.clone() });
    }
    let ranges = segment.parts.iter().chain(playlist.segments.iter().rev().take(3).flat_map(|of| &of.parts));
    let ranges = ranges.clone().any(|part| part.byte_range.is_some());
    let hint = header.preload_hints.iter().find(|hint| growing && !hint.map);
    let next = match hint {
        Some(hint) => {
            let url = absolute(base, &hint.uri, segment.line)?;
            match (hint.start, hint.length) {
                (start, Some(length)) => {
                    Some(Resource { url, range: Some(start..start.saturating_add(length)) })
                }
                // Without an end the answer goes on through the parts behind it.
                (0, None) if !ranges => Some(Resource { url, range: None }),
                (_, None) => None,
            }
        }
        None => None,
    };
    Ok(Some(Parts { list, next }))
}

/// The encryption of segment `from`, as it is for segment `to`.
fn carry(before: Option<&Encryption>, from: u64, to: u64) -> Option<Encryption> {
    Some(match before? {
        // Its number stood in for the vector.
        Encryption::Aes128 { key, iv } if *iv == u128::from(from).to_be_bytes() => {
            Encryption::Aes128 { key: key.clone(), iv: u128::from(to).to_be_bytes() }
        }
        other => other.clone(),
    })
}

/// What the keys in force mean. Without an IV it is the media sequence number (RFC 8216, 5.2).
fn encryption(keys: &[Key], base: &Url, sequence: u64, line: usize) -> Result<Option<Encryption>, Error> {
    let Some(first) = keys.first() else { return Ok(None) };
    let plain =
        keys.iter().find(|key| key.method == "AES-128" && key.format == "identity" && key.uri.is_some());
    Ok(Some(match plain {
        Some(Key { uri: Some(uri), iv, .. }) => Encryption::Aes128 {
            key: absolute(base, uri, line)?,
            iv: iv.unwrap_or_else(|| u128::from(sequence).to_be_bytes()),
        },
        _ => Encryption::Unsupported(first.method.clone()),
    }))
}
