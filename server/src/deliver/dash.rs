//! DASH manifests as views on the store (ISO/IEC 23009-1), from the same segments as HLS.

use std::fmt::Write as _;

use super::hls::{decimal, init_name};
use crate::store::{Rendition, SegmentEntry, TrackKind};

/// MIME type of manifests.
pub const CONTENT_TYPE: &str = "application/dash+xml";

/// What a manifest is made of.
pub struct ManifestInput<'a> {
    /// Renditions as the store sorts them.
    pub renditions: &'a [std::sync::Arc<Rendition>],
    /// The stream's generation, part of media names.
    pub generation: &'a str,
    /// Length that the packager aims at, in seconds.
    pub target_seconds: u32,
    /// Nothing will be added any more: a static manifest.
    pub ended: bool,
    /// When packaging began, in milliseconds since 1970: the availability start of a growing stream.
    pub started_ms: u64,
    /// Now, in the same measure.
    pub now_ms: u64,
}

/// The manifest: static when the stream is complete, else dynamic with everything since the start available.
pub fn manifest(input: &ManifestInput<'_>) -> String {
    let longest = input
        .renditions
        .iter()
        .filter_map(|r| {
            let segments = r.segments();
            let last = segments.last()?;
            Some((last.start + last.duration) * 1000 / u64::from(r.info().timescale.max(1)))
        })
        .max()
        .unwrap_or(0);
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    text.push_str(
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011\"",
    );
    let target = input.target_seconds;
    let _ = write!(text, " minBufferTime=\"PT{target}S\" maxSegmentDuration=\"PT{target}S\"");
    if input.ended {
        let _ = write!(text, " type=\"static\" mediaPresentationDuration=\"PT{}S\"", decimal(longest, 1000));
    } else {
        // Availability starts once and never moves; where packaging is shows in the timelines.
        let _ = write!(
            text,
            " type=\"dynamic\" availabilityStartTime=\"{}\" publishTime=\"{}\" minimumUpdatePeriod=\"PT2S\" \
             suggestedPresentationDelay=\"PT{}S\"",
            date_time(input.started_ms),
            date_time(input.now_ms),
            target * 3
        );
    }
    text.push_str(">\n  <Period id=\"0\" start=\"PT0S\">\n");
    for kind in [TrackKind::Video, TrackKind::Audio] {
        adaptation_set(&mut text, input, kind);
    }
    text.push_str("  </Period>\n");
    if !input.ended {
        text.push_str("  <UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"/api/time\"/>\n");
    }
    text.push_str("</MPD>\n");
    text
}

fn adaptation_set(text: &mut String, input: &ManifestInput<'_>, kind: TrackKind) {
    let of_kind: Vec<_> = input.renditions.iter().filter(|r| r.info().kind == kind).collect();
    if of_kind.is_empty() {
        return;
    }
    let (id, name, mime) = match kind {
        TrackKind::Video => (0, "video", "video/mp4"),
        TrackKind::Audio => (1, "audio", "audio/mp4"),
    };
    let _ = writeln!(
        text,
        "    <AdaptationSet id=\"{id}\" contentType=\"{name}\" mimeType=\"{mime}\" segmentAlignment=\"true\" \
         startWithSAP=\"1\">"
    );
    for rendition in of_kind {
        let info = rendition.info();
        let bandwidth = if input.ended { rendition.peak_bandwidth() } else { None }.unwrap_or(info.bandwidth);
        let _ = write!(
            text,
            "      <Representation id=\"{}\" codecs=\"{}\" bandwidth=\"{bandwidth}\"",
            info.name, info.codecs
        );
        match kind {
            TrackKind::Video => {
                let (frames, seconds) = info.frame_rate;
                let _ = writeln!(
                    text,
                    " width=\"{}\" height=\"{}\" frameRate=\"{frames}/{seconds}\">",
                    info.width, info.height
                );
            }
            TrackKind::Audio => {
                let _ = writeln!(
                    text,
                    " audioSamplingRate=\"{}\">\n        <AudioChannelConfiguration \
                     schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" value=\"{}\"/>",
                    info.sample_rate, info.channels
                );
            }
        }
        let _ = writeln!(
            text,
            "        <SegmentTemplate timescale=\"{}\" startNumber=\"1\" initialization=\"$RepresentationID$/{}\" \
             media=\"$RepresentationID$/$Number%05d$-{}.m4s\">",
            info.timescale,
            init_name(input.generation),
            input.generation
        );
        timeline(text, &rendition.segments());
        text.push_str("        </SegmentTemplate>\n      </Representation>\n");
    }
    text.push_str("    </AdaptationSet>\n");
}

/// `S` elements with runs of equal durations folded.
fn timeline(text: &mut String, segments: &[SegmentEntry]) {
    text.push_str("          <SegmentTimeline>\n");
    let mut rest = segments;
    let mut expected = None;
    while let Some(first) = rest.first() {
        let run = rest
            .iter()
            .enumerate()
            .take_while(|(i, s)| {
                s.duration == first.duration && s.start == first.start + *i as u64 * first.duration
            })
            .count()
            .max(1);
        text.push_str("            <S");
        if expected != Some(first.start) {
            let _ = write!(text, " t=\"{}\"", first.start);
        }
        let _ = write!(text, " d=\"{}\"", first.duration);
        if run > 1 {
            let _ = write!(text, " r=\"{}\"", run - 1);
        }
        text.push_str("/>\n");
        expected = Some(first.start + run as u64 * first.duration);
        rest = rest.get(run..).unwrap_or(&[]);
    }
    text.push_str("          </SegmentTimeline>\n");
}

/// `xs:dateTime` in UTC with milliseconds.
pub fn date_time(unix_ms: u64) -> String {
    let (days, in_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        in_day / 3_600_000,
        in_day / 60_000 % 60,
        in_day / 1000 % 60,
        in_day % 1000
    )
}

/// Days since 1970-01-01 as a date of the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    let leap = |y: u64| (y.is_multiple_of(4) && !y.is_multiple_of(100)) || y.is_multiple_of(400);
    // Whole cycles of 400 years first, so that the loops below stay short.
    let (mut year, mut left) = (1970 + days / 146_097 * 400, days % 146_097);
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        let rows = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_772_323_199_999, "2026-02-28T23:59:59.999Z"),
            (1_772_323_200_000, "2026-03-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (ms, text) in rows {
            assert_eq!(date_time(ms), text);
        }
    }

    #[test]
    fn equal_durations_become_one_run_and_gaps_are_timed() {
        let entry = |number, start, duration| SegmentEntry::plain(number, start, duration, 1);
        let mut text = String::new();
        timeline(
            &mut text,
            &[entry(1, 0, 4), entry(2, 4, 4), entry(3, 8, 4), entry(4, 12, 2), entry(5, 20, 4)],
        );
        let lines: Vec<_> = text.lines().map(str::trim).filter(|l| l.starts_with("<S ")).collect();
        assert_eq!(lines, ["<S t=\"0\" d=\"4\" r=\"2\"/>", "<S d=\"2\"/>", "<S t=\"20\" d=\"4\"/>"]);
    }
}
