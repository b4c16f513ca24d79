//! The MPD itself: what it says of the whole presentation.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::deliver::hls::master::Subtitles;
use crate::deliver::rates::Rates;
use crate::deliver::text::{date_time, decimal};
use crate::deliver::timing::Timing;
use crate::store::RenditionInfo;
use crate::store::Window;

use super::adaptation;
use super::periods::{Anchor, milliseconds};

/// A rendition as it is now.
#[derive(Debug)]
pub struct Representation<'a> {
    /// What it is.
    pub info: &'a RenditionInfo,
    /// What it is in segments that need another init segment than the first: by its index, from 1 on.
    pub others: Vec<RenditionInfo>,
    /// What is there.
    pub window: Arc<Window>,
    /// Its rates.
    pub rates: Rates,
}

impl Representation<'_> {
    /// What it is in segments that need this init segment.
    pub fn info_at(&self, init: u32) -> &RenditionInfo {
        init.checked_sub(1).and_then(|at| self.others.get(at as usize)).unwrap_or(self.info)
    }
}

/// What a manifest that will change needs besides.
#[derive(Debug, Clone, Copy)]
pub struct Dynamic<'a> {
    /// The stream's id.
    pub id: &'a str,
    /// When the stream's timeline was 0, in milliseconds since 1970. Never moves.
    pub started_ms: u64,
    /// When this version came to be, in the same measure.
    pub published_ms: u64,
    /// How far back the window reaches, in seconds; 0 for all the way.
    pub window_s: u32,
}

/// What a manifest is made of.
#[derive(Debug)]
pub struct ManifestInput<'a> {
    /// Renditions as the store sorts them.
    pub representations: &'a [Representation<'a>],
    /// Subtitles beside them.
    pub subtitles: &'a [Subtitles],
    /// Periods to list, from [`Anchors::update`](super::periods::Anchors::update).
    pub periods: &'a BTreeMap<u64, Anchor>,
    /// The stream's generation, part of media names.
    pub generation: &'a str,
    /// Durations to announce; parts make it a low-latency manifest while it changes.
    pub timing: Timing,
    /// Length that the packager aims at, in milliseconds.
    pub segment_ms: u32,
    /// `None`: nothing will be added any more, the manifest is static.
    pub dynamic: Option<Dynamic<'a>>,
}

impl ManifestInput<'_> {
    /// Segments in progress are announced and may be asked for.
    pub fn low_latency(&self) -> bool {
        self.dynamic.is_some() && self.timing.part_ms > 0
    }
}

/// Where a client takes the time from: the stream's own clock, by which its segments are available.
pub(super) fn utc_timing(id: &str) -> String {
    format!("<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"/api/time?stream={id}\"/>")
}

/// The manifest.
pub fn manifest(input: &ManifestInput<'_>) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let mut profiles = String::from("urn:mpeg:dash:profile:isoff-live:2011");
    if input.low_latency() {
        profiles.push_str(",http://www.dashif.org/guidelines/low-latency-live-v5");
    }
    let target = input.timing.target;
    let _ = write!(
        text,
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"{profiles}\" minBufferTime=\"PT{target}S\" \
         maxSegmentDuration=\"PT{target}S\""
    );
    match input.dynamic {
        None => {
            let _ = write!(
                text,
                " type=\"static\" mediaPresentationDuration=\"PT{}S\"",
                decimal(end_ms(input), 1000)
            );
        }
        Some(dynamic) => {
            let _ = write!(
                text,
                " type=\"dynamic\" availabilityStartTime=\"{}\" publishTime=\"{}\" minimumUpdatePeriod=\"PT{}S\" \
                 suggestedPresentationDelay=\"PT{}S\"",
                date_time(dynamic.started_ms),
                date_time(dynamic.published_ms),
                decimal(u64::from(input.segment_ms), 1000),
                input.timing.hold_back()
            );
            if dynamic.window_s > 0 {
                let _ = write!(text, " timeShiftBufferDepth=\"PT{}S\"", dynamic.window_s);
            }
        }
    }
    text.push_str(">\n");
    if input.low_latency() {
        service_description(&mut text, input);
    }
    for (index, (ordinal, anchor)) in input.periods.iter().enumerate() {
        period(&mut text, input, *ordinal, *anchor, index == 0);
    }
    if let Some(dynamic) = input.dynamic {
        let _ = writeln!(text, "  {}", utc_timing(dynamic.id));
        // For clients that reach nothing but the manifest: as exact as the manifest is fresh.
        let _ = writeln!(
            text,
            "  <UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:direct:2014\" value=\"{}\"/>",
            date_time(dynamic.published_ms)
        );
    }
    text.push_str("</MPD>\n");
    text
}

/// Latency in milliseconds: a segment and two parts behind, at best three parts, at worst three segments.
fn service_description(text: &mut String, input: &ManifestInput<'_>) {
    let (segment, part) = (input.segment_ms, input.timing.part_ms);
    let _ = write!(
        text,
        "  <ServiceDescription id=\"0\">\n    <Latency referenceId=\"0\" target=\"{}\" min=\"{}\" max=\"{}\"/>\n    \
         <PlaybackRate min=\"0.96\" max=\"1.04\"/>\n  </ServiceDescription>\n",
        segment.saturating_add(part.saturating_mul(2)),
        input.timing.part_hold_back_ms(),
        segment.saturating_mul(3)
    );
}

/// End of the longest rendition in milliseconds.
fn end_ms(input: &ManifestInput<'_>) -> u64 {
    let end = |r: &Representation<'_>| Some(milliseconds(r.window.segments.last()?.end(), r.info.timescale));
    input.representations.iter().filter_map(end).max().unwrap_or(0)
}

/// Start of the earliest listed segment in milliseconds.
fn begin_ms(input: &ManifestInput<'_>) -> u64 {
    let begin =
        |r: &Representation<'_>| Some(milliseconds(r.window.segments.first()?.start, r.info.timescale));
    input.representations.iter().filter_map(begin).min().unwrap_or(0)
}

fn period(text: &mut String, input: &ManifestInput<'_>, ordinal: u64, anchor: Anchor, first: bool) {
    // A complete presentation begins where its first segment does; times inside it stay what they were.
    let start_ms = if first && input.dynamic.is_none() { begin_ms(input) } else { anchor.start_ms };
    let anchor = Anchor {
        start_ms,
        wall_ms: anchor.wall_ms.map(|wall| (wall + start_ms).saturating_sub(anchor.start_ms)),
    };
    let start = match start_ms {
        0 => "PT0S".to_owned(),
        ms => format!("PT{}S", decimal(ms, 1000)),
    };
    let _ = writeln!(text, "  <Period id=\"{ordinal}\" start=\"{start}\">");
    adaptation::sets(text, input, ordinal, anchor);
    text.push_str("  </Period>\n");
}
