//! Media playlists: the whole list, and the delta update (RFC 8216bis, sections 4.4.3 to 4.4.5 and 6.2).

use std::fmt::Write as _;

use crate::deliver::front::Front;
use crate::deliver::names::{init_name, part_name, segment_name};
use crate::deliver::text::{date_time, decimal};
use crate::deliver::timing::Timing;
use crate::store::{OpenSegment, PartEntry, SegmentEntry, Window};

/// Protocol version of a whole playlist: `EXT-X-MAP` for fMP4.
const VERSION: u32 = 7;
/// Protocol version of a delta update: `EXT-X-SKIP`.
const DELTA_VERSION: u32 = 9;

/// How a playlist may still change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// Segments are added, none is taken away: a file that is being packaged, or a live stream whose whole length is kept.
    Event,
    /// Old segments leave it: a live stream with a window.
    Sliding,
    /// It does not change any more.
    Ended,
}

/// How far another rendition of the stream is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Report {
    /// The rendition's name.
    pub name: String,
    /// Its front.
    pub front: Front,
}

/// What a media playlist is made of.
#[derive(Debug)]
pub struct MediaInput<'a> {
    /// Ticks a second of the window's times.
    pub timescale: u32,
    /// What is there.
    pub window: &'a Window,
    /// Part of media names.
    pub generation: &'a str,
    /// Durations to announce.
    pub timing: Timing,
    /// How it may still change.
    pub growth: Growth,
    /// Made in real time: blocking reload, delta updates, date and time; parts where [`Timing::part_ms`] is not 0.
    pub live: bool,
    /// The other renditions' fronts.
    pub reports: &'a [Report],
}

impl MediaInput<'_> {
    /// Whether live tags belong into it: they never stand beside `EXT-X-ENDLIST`.
    fn is_live(&self) -> bool {
        self.live && self.growth != Growth::Ended
    }

    fn has_parts(&self) -> bool {
        self.is_live() && self.timing.part_ms > 0
    }
}

/// The whole playlist.
pub fn playlist(input: &MediaInput<'_>) -> String {
    render(input, 0)
}

/// A delta update, or the whole playlist when there is nothing to skip.
pub fn delta_update(input: &MediaInput<'_>) -> String {
    render(input, skippable(input))
}

/// Segments that are further from the playlist's end than the skip boundary.
fn skippable(input: &MediaInput<'_>) -> usize {
    if !input.is_live() {
        return 0;
    }
    let boundary = u64::from(input.timing.skip_until()) * u64::from(input.timescale);
    let end = end_ticks(input.window);
    input.window.segments.iter().take_while(|s| end.saturating_sub(s.end()) > boundary).count()
}

/// End of the last part or segment, in ticks.
fn end_ticks(window: &Window) -> u64 {
    let segment = window.segments.last().map_or(0, SegmentEntry::end);
    let part = window.parts.last().map_or(0, |p| p.start + p.duration);
    segment.max(part)
}

fn render(input: &MediaInput<'_>, skipped: usize) -> String {
    let segments = &input.window.segments;
    let mut text =
        String::with_capacity(512 + (segments.len() - skipped) * 128 + input.window.parts.len() * 80);
    head(&mut text, input, skipped);
    if skipped > 0 {
        let _ = writeln!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
    }
    // The map that is in force where the list goes on: a client carries it over from what it skipped.
    let mut map = skipped.checked_sub(1).and_then(|at| segments.get(at)).map(|s| s.init);
    let parts_from = first_with_parts(input);
    for segment in segments.get(skipped..).unwrap_or_default() {
        segment_head(&mut text, input, &SegmentHead::from(segment), &mut map);
        if segment.number >= parts_from {
            parts(&mut text, input, segment.number);
        }
        let duration = decimal(segment.duration, u64::from(input.timescale));
        let gap = if segment.is_gap() { "#EXT-X-GAP\n" } else { "" };
        let name = segment_name(segment.number, input.generation);
        let _ = write!(text, "#EXTINF:{duration},\n{gap}{name}\n");
    }
    if input.has_parts() {
        let front = Front::of(input.window);
        if let Some(open) = input.window.open.filter(|_| front.open_parts > 0) {
            segment_head(&mut text, input, &SegmentHead::from(&open), &mut map);
            parts(&mut text, input, open.number);
        }
        let (segment, part) = front.next_part();
        let _ = writeln!(
            text,
            "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}\"",
            part_name(segment, part, input.generation)
        );
        for report in input.reports {
            if let Some((msn, part)) = report.front.report() {
                let _ = write!(
                    text,
                    "#EXT-X-RENDITION-REPORT:URI=\"../{}/index.m3u8\",LAST-MSN={msn}",
                    report.name
                );
                if let Some(part) = part {
                    let _ = write!(text, ",LAST-PART={part}");
                }
                text.push('\n');
            }
        }
    }
    if input.growth == Growth::Ended {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    text
}

fn head(text: &mut String, input: &MediaInput<'_>, skipped: usize) {
    let version = if skipped > 0 { DELTA_VERSION } else { VERSION };
    let Timing { target, part_ms } = input.timing;
    let _ = write!(text, "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target}\n");
    if input.is_live() {
        let _ = write!(
            text,
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={}.0,HOLD-BACK={}.0",
            input.timing.skip_until(),
            input.timing.hold_back()
        );
        if part_ms > 0 {
            let hold_back = decimal(u64::from(input.timing.part_hold_back_ms()), 1000);
            let target = decimal(u64::from(part_ms), 1000);
            let _ = write!(text, ",PART-HOLD-BACK={hold_back}\n#EXT-X-PART-INF:PART-TARGET={target}");
        }
        text.push('\n');
    }
    let _ = writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{}", input.window.first_number());
    let breaks = input.window.segments.iter().any(|s| s.discontinuity);
    if input.live || breaks || input.window.discontinuity_sequence > 0 {
        let _ = writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", input.window.discontinuity_sequence);
    }
    match input.growth {
        Growth::Event => text.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n"),
        Growth::Ended => text.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n"),
        Growth::Sliding => {}
    }
    // Where key frames are too far apart for the target duration, segments begin without one.
    if input.window.is_independent() {
        text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
}

/// What is known of a segment before it is finished.
struct SegmentHead {
    init: u32,
    discontinuity: bool,
    wall_ms: Option<u64>,
}

impl From<&SegmentEntry> for SegmentHead {
    fn from(&SegmentEntry { init, discontinuity, wall_ms, .. }: &SegmentEntry) -> Self {
        Self { init, discontinuity, wall_ms }
    }
}

impl From<&OpenSegment> for SegmentHead {
    fn from(&OpenSegment { init, discontinuity, wall_ms, .. }: &OpenSegment) -> Self {
        Self { init, discontinuity, wall_ms }
    }
}

/// What stands before a segment's parts and its own lines.
fn segment_head(text: &mut String, input: &MediaInput<'_>, segment: &SegmentHead, map: &mut Option<u32>) {
    if segment.discontinuity {
        text.push_str("#EXT-X-DISCONTINUITY\n");
    }
    if *map != Some(segment.init) {
        *map = Some(segment.init);
        let _ = writeln!(text, "#EXT-X-MAP:URI=\"{}\"", init_name(input.generation, segment.init));
    }
    if let Some(wall_ms) = segment.wall_ms {
        let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", date_time(wall_ms));
    }
}

/// Number of the first segment whose parts are listed: those that end within three target durations of the playlist's end.
fn first_with_parts(input: &MediaInput<'_>) -> u32 {
    if !input.has_parts() {
        return u32::MAX;
    }
    let far = u64::from(input.timing.hold_back()) * u64::from(input.timescale);
    let end = end_ticks(input.window);
    let near = |s: &&SegmentEntry| end.saturating_sub(s.end()) < far;
    input.window.segments.iter().find(near).map_or(u32::MAX, |s| s.number)
}

fn parts(text: &mut String, input: &MediaInput<'_>, segment: u32) {
    for PartEntry { index, duration, independent, .. } in input.window.parts_of(segment) {
        let duration = decimal(*duration, u64::from(input.timescale));
        let name = part_name(segment, *index, input.generation);
        let independent = if *independent { ",INDEPENDENT=YES" } else { "" };
        let _ = writeln!(text, "#EXT-X-PART:DURATION={duration},URI=\"{name}\"{independent}");
    }
}

#[cfg(test)]
mod tests;
