//! Subtitles in fragmented MP4 (ISO/IEC 14496-30): WebVTT (`wvtt`) and TTML (`stpp`).

use super::{
    document::{Clock, Document, LONGEST_TEXT, MOST_CUES, Timed, Unreadable},
    markup,
    style::Head,
    ttml, webvtt,
};

const SECOND: i128 = 1_000_000_000;
/// Most samples of a segment that are looked at.
const MOST_SAMPLES: u32 = 100_000;

pub(super) fn is_mp4(bytes: &[u8]) -> bool {
    matches!(
        bytes.get(4..8),
        Some(b"ftyp" | b"styp" | b"moov" | b"moof" | b"sidx" | b"emsg" | b"prft" | b"free")
    )
}

/// Boxes on one level: name, where the box begins, body.
fn boxes(data: &[u8]) -> impl Iterator<Item = (&[u8; 4], usize, &[u8])> {
    let mut at = 0_usize;
    std::iter::from_fn(move || {
        let begins = at;
        let rest = data.get(begins..)?;
        let size = u32_at(rest, 0)? as usize;
        let name = rest.get(4..8)?.first_chunk()?;
        let (header, size) = match size {
            0 => (8, rest.len()),
            1 => (16, usize::try_from(u64_at(rest, 8)?).ok()?),
            size => (8, size),
        };
        let size = size.min(rest.len());
        let body = rest.get(header..size)?;
        at = begins + size.max(8);
        Some((name, begins, body))
    })
}

fn child<'a>(data: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(data).find(|(found, ..)| *found == name).map(|(.., body)| body)
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    data.get(at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// What the initialization segment says.
struct Track {
    timescale: u32,
    codec: [u8; 4],
    /// Length of a sample that gives none.
    duration: u32,
    /// How WebVTT looks, and where it stands.
    head: Head,
}

fn track(init: &[u8]) -> Option<Track> {
    let moov = child(init, b"moov")?;
    let media = child(child(moov, b"trak")?, b"mdia")?;
    let header = child(media, b"mdhd")?;
    let timescale = u32_at(header, if header.first() == Some(&1) { 20 } else { 12 })?;
    let described = child(child(child(media, b"minf")?, b"stbl")?, b"stsd")?;
    let codec = described.get(12..16)?.first_chunk()?;
    let duration = child(moov, b"mvex").and_then(|mvex| u32_at(child(mvex, b"trex")?, 12)).unwrap_or(0);
    // Behind the head of the first entry.
    let config = described.get(24..).and_then(|entry| child(entry, b"vttC")).filter(|_| codec == b"wvtt");
    let head = config.map(|config| webvtt::head(&String::from_utf8_lossy(config))).unwrap_or_default();
    Some(Track { timescale: timescale.max(1), codec: *codec, duration, head })
}

/// One sample: from, to (ticks), bytes.
type Sample<'a> = (u64, u64, &'a [u8]);

pub(super) fn read(init: &[u8], media: &[u8]) -> Result<Document, Unreadable> {
    // A file that is played as a whole has its description in front.
    let track =
        track(init).or_else(|| track(media)).ok_or(Unreadable::Damaged("it does not say what it holds"))?;
    let nanos = |ticks: u64| (i128::from(ticks) * SECOND / i128::from(track.timescale)) as i64;
    let mut cues = Vec::new();
    for (start, end, data) in samples(&track, media) {
        let (start, end) = (nanos(start), nanos(end));
        match &track.codec {
            b"wvtt" => cues.extend(vtt_cues(&track.head, start, end, data)),
            b"stpp" => cues.extend(ttml_cues(start, end, data)?),
            other => return Err(Unreadable::Unsupported(String::from_utf8_lossy(other).into_owned())),
        }
        if cues.len() >= MOST_CUES {
            break;
        }
    }
    Ok(Document { cues: joined(cues), clock: Clock::Media })
}

fn samples<'a>(track: &Track, media: &'a [u8]) -> Vec<Sample<'a>> {
    let mut out = Vec::new();
    let mut left = MOST_SAMPLES;
    for (_, begins, moof) in boxes(media).filter(|(name, ..)| *name == b"moof") {
        for (_, _, traf) in boxes(moof).filter(|(name, ..)| *name == b"traf") {
            fragment(track, media, begins, traf, &mut left, &mut out);
        }
    }
    out
}

/// Adds the samples of a `traf`; `None` when it is damaged from somewhere on.
fn fragment<'a>(
    track: &Track,
    media: &'a [u8],
    moof_at: usize,
    traf: &[u8],
    left: &mut u32,
    out: &mut Vec<Sample<'a>>,
) -> Option<()> {
    let header = child(traf, b"tfhd")?;
    let flags = u32_at(header, 0)? & 0x00ff_ffff;
    let mut at = 8;
    let mut optional = |bit: u32, width: usize| {
        let here = at;
        (flags & bit != 0).then(|| {
            at += width;
            here
        })
    };
    let base = optional(0x01, 8).and_then(|at| u64_at(header, at));
    let _ = optional(0x02, 4);
    let duration = optional(0x08, 4).and_then(|at| u32_at(header, at)).unwrap_or(track.duration);
    let size = optional(0x10, 4).and_then(|at| u32_at(header, at)).unwrap_or(0);
    let base = base.and_then(|base| usize::try_from(base).ok()).unwrap_or(moof_at);
    let decode = child(traf, b"tfdt")?;
    let mut time =
        if decode.first() == Some(&1) { u64_at(decode, 4)? } else { u64::from(u32_at(decode, 4)?) };
    let mut place = None;
    for (_, _, run) in boxes(traf).filter(|(name, ..)| *name == b"trun") {
        let flags = u32_at(run, 0)? & 0x00ff_ffff;
        let count = u32_at(run, 4)?;
        let mut at = 8;
        if flags & 0x01 != 0 {
            let offset = i64::from(u32_at(run, at)?.cast_signed());
            place = usize::try_from(i64::try_from(base).ok()?.checked_add(offset)?).ok();
            at += 4;
        }
        at += if flags & 0x04 != 0 { 4 } else { 0 };
        let mut here = place.or_else(|| {
            let (_, begins, body) =
                boxes(media).find(|(name, begins, _)| *name == b"mdat" && *begins > moof_at)?;
            let header = boxes(media.get(begins..)?).next().map(|_| 8)?;
            (!body.is_empty()).then_some(begins + header)
        })?;
        for _ in 0..count {
            *left = left.checked_sub(1)?;
            let mut field = |bit: u32, default: u32| {
                if flags & bit == 0 {
                    return Some(default);
                }
                at += 4;
                u32_at(run, at - 4)
            };
            let (duration, size) = (field(0x100, duration)?, field(0x200, size)?);
            field(0x400, 0)?;
            let shift = field(0x800, 0)?;
            let end = here.checked_add(size as usize)?;
            let start = time.checked_add(u64::from(shift))?;
            out.push((start, start.checked_add(u64::from(duration))?, media.get(here..end)?));
            time = time.checked_add(u64::from(duration))?;
            here = end;
        }
        place = Some(here);
    }
    Some(())
}

fn vtt_cues(head: &Head, start: i64, end: i64, sample: &[u8]) -> Vec<Timed> {
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes.get(..LONGEST_TEXT).unwrap_or(bytes)).into_owned();
    boxes(sample)
        .filter(|(name, ..)| *name == b"vttc")
        .filter_map(|(.., cue)| {
            let id = child(cue, b"iden").map(text).unwrap_or_default();
            let spans = markup::spans(&text(child(cue, b"payl")?), head, &id);
            let settings = child(cue, b"sttg").map(text).unwrap_or_default();
            let place = webvtt::placed(&settings, head);
            (!spans.is_empty() && start < end).then_some(Timed { start, end, spans, place })
        })
        .collect()
}

/// A document counts for the time of its sample. Its own times are those of the track; some writers begin at the sample.
fn ttml_cues(start: i64, end: i64, sample: &[u8]) -> Result<Vec<Timed>, Unreadable> {
    let mut cues = ttml::read(&String::from_utf8_lossy(sample))?;
    let length = end - start;
    let inside = |cue: &Timed| cue.start < end && cue.end > start;
    if start > length && !cues.is_empty() && !cues.iter().any(inside) {
        for cue in &mut cues {
            (cue.start, cue.end) = (cue.start.saturating_add(start), cue.end.saturating_add(start));
        }
    }
    cues.retain(inside);
    for cue in &mut cues {
        (cue.start, cue.end) = (cue.start.max(start), cue.end.min(end));
    }
    Ok(cues)
}

/// A cue that goes on while others come and go is cut into samples: put together it does not flicker.
fn joined(cues: Vec<Timed>) -> Vec<Timed> {
    let mut out: Vec<Timed> = Vec::new();
    for cue in cues {
        let same = |known: &&mut Timed| {
            known.end == cue.start && known.spans == cue.spans && known.place == cue.place
        };
        // Only the last few can touch it.
        match out.iter_mut().rev().take(8).find(same) {
            Some(known) => known.end = cue.end,
            None => out.push(cue),
        }
    }
    out
}
