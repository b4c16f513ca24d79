//! Adaptation sets, representations and their segment timelines.

use std::fmt::Write as _;

use crate::deliver::names::{init_name, timed_template};
use crate::deliver::text::{date_time, decimal};
use crate::store::{RenditionInfo, SegmentEntry, TrackKind};

use super::manifest::{ManifestInput, Representation, utc_timing};
use super::periods::{Anchor, Run, runs, ticks};

/// Families of codecs: players switch inside one only, so each has a set of its own. The place is the set's id, which
/// therefore stays the same whatever else the stream has.
const FAMILIES: [(TrackKind, &str); 8] = [
    (TrackKind::Video, "avc1"),
    (TrackKind::Audio, "mp4a"),
    (TrackKind::Video, "hvc1"),
    (TrackKind::Video, "av01"),
    (TrackKind::Audio, "opus"),
    (TrackKind::Audio, "Opus"),
    (TrackKind::Video, ""),
    (TrackKind::Audio, ""),
];
/// Name of the main sound, with which those of others begin.
const MAIN_SOUND: &str = "audio";
/// Id of the first set of sound beside the main one.
const BESIDE_ID: usize = 20;
/// Every segment begins with a key frame, and nothing after it needs what was before.
const STARTS_WITH_KEY: &str = " startWithSAP=\"1\"";
/// Shown without being asked for.
const MAIN_ROLE: &str = "      <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"main\"/>\n";
/// Id of the first set of subtitles.
const TEXT_ID: usize = 100;

/// Every adaptation set of one Period.
pub(super) fn sets(text: &mut String, input: &ManifestInput<'_>, ordinal: u64, anchor: Anchor) {
    // Of sound beside the main one, each is a set of its own: what players switch between by themselves is the same.
    let beside = |r: &Representation<'_>| {
        r.info.kind == TrackKind::Audio
            && r.info.name.len() > MAIN_SOUND.len()
            && r.info.name.starts_with(MAIN_SOUND)
    };
    let sets = FAMILIES.into_iter().enumerate().map(|(id, (kind, _))| (id, kind, None));
    let others = input.representations.iter().filter(|r| beside(r)).enumerate();
    let others = others.map(|(at, r)| (BESIDE_ID + at, r.info.kind, Some(r.info.name.as_str())));
    for (id, kind, name) in sets.chain(others) {
        let members: Vec<_> = input
            .representations
            .iter()
            .filter(|r| name.map_or_else(|| !beside(r), |name| r.info.name == name))
            .filter_map(|r| {
                let run =
                    runs(&r.window, input.low_latency()).into_iter().find(|run| run.ordinal == ordinal)?;
                Some((r, run))
            })
            .filter(|(r, run)| name.is_some() || family(r.info_at(run.init())) == id)
            .collect();
        if members.is_empty() {
            continue;
        }
        let (name, mime) = match kind {
            TrackKind::Video => ("video", "video/mp4"),
            TrackKind::Audio => ("audio", "audio/mp4"),
        };
        let language = members.first().and_then(|(r, _)| r.info.language());
        let language = language.map_or_else(String::new, |tag| format!(" lang=\"{tag}\""));
        // Said of the set where it is so of all of it, else of those of which it is.
        let of_set = members.iter().all(|(_, run)| run.is_independent());
        let _ = writeln!(
            text,
            "    <AdaptationSet id=\"{id}\" contentType=\"{name}\" mimeType=\"{mime}\"{language} segmentAlignment=\"true\"{}>",
            if of_set { STARTS_WITH_KEY } else { "" }
        );
        for (member, run) in &members {
            let alone = if !of_set && run.is_independent() { STARTS_WITH_KEY } else { "" };
            representation(text, input, member, run, anchor, alone);
        }
        text.push_str("    </AdaptationSet>\n");
    }
    for (index, subtitles) in input.subtitles.iter().enumerate() {
        let _ = write!(
            text,
            "    <AdaptationSet id=\"{}\" contentType=\"text\" mimeType=\"text/vtt\" lang=\"{}\">\n      \
             <Label>{}</Label>\n      <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"subtitle\"/>\n{}      \
             <Representation id=\"{}\" bandwidth=\"1000\">\n        <BaseURL>{}/{}</BaseURL>\n      \
             </Representation>\n    </AdaptationSet>\n",
            TEXT_ID + index,
            escaped(&subtitles.language),
            escaped(&subtitles.label),
            if subtitles.default { MAIN_ROLE } else { "" },
            subtitles.name,
            subtitles.name,
            subtitles.file
        );
    }
}

fn family(info: &RenditionInfo) -> usize {
    FAMILIES
        .iter()
        .position(|(kind, codec)| *kind == info.kind && info.codecs.starts_with(codec))
        .unwrap_or(FAMILIES.len())
}

fn representation(
    text: &mut String,
    input: &ManifestInput<'_>,
    member: &Representation<'_>,
    run: &Run<'_>,
    anchor: Anchor,
    starts: &str,
) {
    // Of a Period, as it is there.
    let (info, rates) = (member.info_at(run.init()), &member.rates);
    let _ = write!(
        text,
        "      <Representation id=\"{}\" codecs=\"{}\" bandwidth=\"{}\"{starts}",
        info.name, info.codecs, rates.peak
    );
    match info.kind {
        TrackKind::Video => {
            if info.width > 0 && info.height > 0 {
                let _ = write!(text, " width=\"{}\" height=\"{}\"", info.width, info.height);
            }
            let (frames, seconds) = info.frame_rate;
            if frames > 0 {
                let _ = write!(text, " frameRate=\"{frames}/{seconds}\"");
            }
            text.push_str(">\n");
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
    let offset = ticks(anchor.start_ms, info.timescale);
    // The clock by its own element: without it players take the time for NTP's.
    if input.low_latency()
        && let (Some(wall_ms), Some(dynamic)) = (anchor.wall_ms, input.dynamic)
    {
        let _ = writeln!(
            text,
            "        <ProducerReferenceTime id=\"0\" type=\"encoder\" wallClockTime=\"{}\" presentationTime=\"{offset}\">\n          \
             {}\n        </ProducerReferenceTime>",
            date_time(wall_ms),
            utc_timing(dynamic.id)
        );
    }
    let _ = write!(
        text,
        "        <SegmentTemplate timescale=\"{}\" startNumber=\"{}\"",
        info.timescale,
        run.first_number()
    );
    if offset > 0 {
        let _ = write!(text, " presentationTimeOffset=\"{offset}\"");
    }
    if input.low_latency() {
        // A segment may be asked for as soon as its first chunk is there.
        let early = input.segment_ms.saturating_sub(input.timing.part_ms);
        let _ = write!(
            text,
            " availabilityTimeOffset=\"{}\" availabilityTimeComplete=\"false\"",
            decimal(u64::from(early), 1000)
        );
    }
    let _ = writeln!(
        text,
        " initialization=\"$RepresentationID$/{}\" media=\"$RepresentationID$/{}\">",
        init_name(input.generation, run.init()),
        timed_template(input.generation)
    );
    let mut listed: Vec<_> = run.segments.iter().filter(|s| !s.is_gap()).copied().collect();
    if let Some(open) = run.open {
        // How long it will be is not known yet: as long as the one before it, or as what the packager aims at.
        let aim = ticks(u64::from(input.segment_ms), info.timescale).max(1);
        let duration = run.segments.last().map_or(aim, |s| s.duration);
        listed.push(SegmentEntry::plain(open.number, open.start, duration, 0));
    }
    bridge(&mut listed);
    timeline(text, &listed);
    text.push_str("        </SegmentTemplate>\n      </Representation>\n");
}

/// Makes each segment begin where the one before it ended. Where a rendition lacks something there is nothing to list, and
/// dash.js looks for the next segment at the end of the last: the one that follows a hole covers it, and has its media at its
/// end, so that players jump to where it begins. Unlike the other way round this changes nothing that was said before.
fn bridge(listed: &mut [SegmentEntry]) {
    let mut ended = None;
    for segment in listed {
        let end = segment.end();
        if let Some(ended) = ended {
            segment.start = ended;
            segment.duration = end.saturating_sub(ended);
        }
        ended = Some(end);
    }
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

/// Text as an attribute's value.
fn escaped(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_durations_become_one_run_and_holes_belong_to_what_follows() {
        let entry = |number, start, duration| SegmentEntry::plain(number, start, duration, 1);
        let mut text = String::new();
        let mut listed = [
            entry(1, 1, 4),
            entry(2, 5, 4),
            entry(3, 9, 4),
            entry(4, 13, 2),
            entry(7, 21, 4),
            entry(8, 25, 4),
        ];
        bridge(&mut listed);
        timeline(&mut text, &listed);
        let lines: Vec<_> = text.lines().map(str::trim).filter(|l| l.starts_with("<S ")).collect();
        assert_eq!(lines, ["<S t=\"1\" d=\"4\" r=\"2\"/>", "<S d=\"2\"/>", "<S d=\"10\"/>", "<S d=\"4\"/>"]);
    }
}
