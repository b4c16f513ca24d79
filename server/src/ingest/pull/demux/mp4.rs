//! Fragmented MP4 (ISO/IEC 14496-12): tracks of an init segment, samples of a media segment.

use bytes::Bytes;

use super::{DemuxError, nal};
use crate::live::{Codec, LiveUnit, TrackSetup};
use crate::package::language::unpacked;
use crate::store::TrackKind;

/// Samples in one segment; a minute of sound has 3 000.
const MOST_SAMPLES: usize = 200_000;

fn wrong(why: &str) -> DemuxError {
    DemuxError::Malformed("MP4", why.to_owned())
}

/// A box: its kind, its body, and where it begins.
type Found<'a> = ([u8; 4], &'a [u8], usize);

/// The boxes side by side; ends at one that does not fit.
fn boxes(buffer: &[u8]) -> impl Iterator<Item = Found<'_>> {
    let mut at = 0_usize;
    std::iter::from_fn(move || {
        let rest = buffer.get(at..)?;
        let (size, kind) = (word(rest, 0)?, *rest.get(4..)?.first_chunk::<4>()?);
        let (head, size) = match size {
            0 => (8, rest.len()),
            1 => (16, usize::try_from(long(rest, 8)?).ok()?),
            size => (8, size as usize),
        };
        let body = rest.get(head..size)?;
        let begin = at;
        at = at.checked_add(size)?;
        Some((kind, body, begin))
    })
}

fn child<'a>(buffer: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(buffer).find(|(kind, ..)| kind == wanted).map(|(_, body, _)| body)
}

fn path<'a>(buffer: &'a [u8], kinds: &[&[u8; 4]]) -> Option<&'a [u8]> {
    kinds.iter().try_fold(buffer, |body, kind| child(body, kind))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|eight| u64::from_be_bytes(*eight))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
}

/// Duration, size and flags of samples that do not say their own.
#[derive(Debug, Clone, Copy, Default)]
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

#[derive(Debug)]
struct Track {
    id: u32,
    timescale: u32,
    /// Media time that is presentation time 0, in ticks: what the edit list cuts off, less what it puts in front.
    begin: i64,
    setup: TrackSetup,
    defaults: Defaults,
}

/// The tracks of an init segment that can be carried.
#[derive(Debug)]
pub(super) struct Init {
    tracks: Vec<Track>,
}

impl Init {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, DemuxError> {
        let moov = child(bytes, b"moov").ok_or_else(|| wrong("its init segment has no moov box"))?;
        let movie = child(moov, b"mvhd").and_then(scale).unwrap_or(1000);
        let (mut tracks, mut others) = (Vec::new(), Vec::new());
        for (_, trak, _) in boxes(moov).filter(|(kind, ..)| kind == b"trak").take(16) {
            match track(moov, trak, movie) {
                Ok(Some(track)) => tracks.push(track),
                Ok(None) => {}
                Err(Some(error)) => return Err(error),
                Err(None) => others.push(entry_name(trak)),
            }
        }
        if tracks.is_empty() {
            others.truncate(4);
            return Err(DemuxError::Codecs(if others.is_empty() {
                "no track".to_owned()
            } else {
                others.join(", ")
            }));
        }
        // Of several tracks of a kind the first one is taken.
        let mut seen = [false; 2];
        tracks.retain(|track| {
            let place = seen.get_mut(usize::from(track.setup.kind != TrackKind::Video));
            place.is_some_and(|seen| !std::mem::replace(seen, true))
        });
        Ok(Self { tracks })
    }

    pub(super) fn setups(&self) -> impl Iterator<Item = TrackSetup> {
        self.tracks.iter().map(|track| track.setup.clone())
    }
}

fn scale(header: &[u8]) -> Option<u32> {
    let at = if header.first() == Some(&1) { 20 } else { 12 };
    word(header, at).filter(|ticks| *ticks > 0)
}

fn entry_name(trak: &[u8]) -> String {
    let stsd = path(trak, &[b"mdia", b"minf", b"stbl", b"stsd"]);
    let kind = stsd.and_then(|stsd| stsd.get(12..16)).unwrap_or(b"????");
    kind.iter().map(|b| if b.is_ascii_graphic() { char::from(*b) } else { '?' }).collect()
}

/// `Err(None)`: a track of no use.
fn track(moov: &[u8], trak: &[u8], movie: u32) -> Result<Option<Track>, Option<DemuxError>> {
    let mdia = child(trak, b"mdia").ok_or(None)?;
    let stsd = path(mdia, &[b"minf", b"stbl", b"stsd"]).ok_or(None)?;
    let entry = boxes(stsd.get(8..).unwrap_or_default()).next();
    let Some((kind, entry, _)) = entry else { return Err(None) };
    let setup = match &kind {
        b"encv" | b"enca" => return Err(Some(DemuxError::Encrypted)),
        b"avc1" | b"avc3" => visual(entry, Codec::Avc, b"avcC"),
        b"hvc1" | b"hev1" => visual(entry, Codec::Hevc, b"hvcC"),
        b"av01" => visual(entry, Codec::Av1, b"av1C"),
        b"mp4a" => aac(entry),
        b"Opus" => opus(entry),
        _ => return Err(None),
    };
    let mut setup =
        setup.ok_or_else(|| Some(wrong("a track's sample entry is cut short or of another codec")))?;
    let missing = || Some(wrong("a track has no header"));
    let tkhd = child(trak, b"tkhd").ok_or_else(missing)?;
    let id = word(tkhd, if tkhd.first() == Some(&1) { 20 } else { 12 }).ok_or_else(missing)?;
    let mdhd = child(mdia, b"mdhd").ok_or_else(missing)?;
    let timescale = scale(mdhd).ok_or_else(missing)?;
    if setup.kind == TrackKind::Audio {
        setup.language = short(mdhd, if mdhd.first() == Some(&1) { 32 } else { 20 }).and_then(unpacked);
    }
    let begin = path(trak, &[b"edts", b"elst"]).map_or(0, |elst| begin(elst, timescale, movie));
    let mvex = child(moov, b"mvex").unwrap_or_default();
    let trex = boxes(mvex).find(|(kind, body, _)| kind == b"trex" && word(body, 4) == Some(id));
    let defaults = trex.map_or_else(Defaults::default, |(_, trex, _)| Defaults {
        duration: word(trex, 12).unwrap_or(0),
        size: word(trex, 16).unwrap_or(0),
        flags: word(trex, 20).unwrap_or(0),
    });
    Ok(Some(Track { id, timescale, begin, setup, defaults }))
}

/// What an edit list (8.6.6) says of the beginning: empty edits put it off, the first other one cuts it.
fn begin(elst: &[u8], timescale: u32, movie: u32) -> i64 {
    let long_entries = elst.first() == Some(&1);
    let count = word(elst, 4).unwrap_or(0).min(16) as usize;
    let mut delay = 0_i64;
    for index in 0..count {
        let at = 8 + index * if long_entries { 20 } else { 12 };
        let (duration, media) = if long_entries {
            (long(elst, at), long(elst, at + 8).map(u64::cast_signed))
        } else {
            (word(elst, at).map(u64::from), word(elst, at + 4).map(|time| i64::from(time.cast_signed())))
        };
        let (Some(duration), Some(media)) = (duration, media) else { break };
        if media >= 0 {
            return media.saturating_sub(delay);
        }
        let ticks = u128::from(duration) * u128::from(timescale) / u128::from(movie.max(1));
        delay = delay.saturating_add(i64::try_from(ticks).unwrap_or(0));
    }
    -delay
}

fn visual(entry: &[u8], codec: Codec, record: &[u8; 4]) -> Option<TrackSetup> {
    let config = child(entry.get(78..)?, record)?;
    let at = match codec {
        Codec::Avc => Some(4),
        Codec::Hevc => Some(21),
        _ => None,
    };
    if let Some(at) = at {
        // Other lengths than four bytes are as good as never met.
        config.get(at).filter(|byte| **byte & 3 == 3)?;
    }
    Some(TrackSetup {
        language: None,
        kind: TrackKind::Video,
        codec,
        config: Bytes::copy_from_slice(config),
        width: short(entry, 24)?.into(),
        height: short(entry, 26)?.into(),
        frame_rate: None,
        sample_rate: 0,
        channels: 0,
        bitrate: None,
    })
}

/// The boxes of a sound's sample entry; QuickTime's later versions have more fields before them.
fn sound_boxes(entry: &[u8]) -> Option<&[u8]> {
    let at = match short(entry, 8)? {
        1 => 44,
        2 => 64,
        _ => 28,
    };
    entry.get(at..)
}

fn sound(entry: &[u8], codec: Codec, config: &[u8]) -> Option<TrackSetup> {
    Some(TrackSetup {
        language: None,
        kind: TrackKind::Audio,
        codec,
        config: Bytes::copy_from_slice(config),
        width: 0,
        height: 0,
        frame_rate: None,
        // The codec's own description knows better.
        sample_rate: 0,
        channels: short(entry, 16)?.into(),
        bitrate: None,
    })
}

fn opus(entry: &[u8]) -> Option<TrackSetup> {
    sound(entry, Codec::Opus, child(sound_boxes(entry)?, b"dOps")?)
}

fn aac(entry: &[u8]) -> Option<TrackSetup> {
    let boxes = sound_boxes(entry)?;
    let esds = child(boxes, b"esds").or_else(|| path(boxes, &[b"wave", b"esds"]))?;
    let config = specific(esds.get(4..)?)?;
    let mut setup = sound(entry, Codec::Aac, config)?;
    (setup.sample_rate, setup.channels) = crate::ingest::rtmp::tracks::asc(config)?;
    Some(setup)
}

/// The decoder specific information in an ES descriptor (ISO/IEC 14496-1, 7.2.6), where the stream is AAC.
fn specific(mut rest: &[u8]) -> Option<&[u8]> {
    fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8])> {
        let (tag, mut rest) = bytes.split_first()?;
        let mut length = 0_usize;
        for _ in 0..4 {
            let (byte, after) = rest.split_first()?;
            rest = after;
            length = length << 7 | usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                break;
            }
        }
        Some((*tag, rest.get(..length)?))
    }
    let (tag, body) = descriptor(rest)?;
    if tag != 3 {
        return None;
    }
    let flags = *body.get(2)?;
    let mut at = 3;
    at += if flags & 0x80 != 0 { 2 } else { 0 };
    if flags & 0x40 != 0 {
        at += 1 + usize::from(*body.get(at)?);
    }
    at += if flags & 0x20 != 0 { 2 } else { 0 };
    rest = body.get(at..)?;
    let (tag, body) = descriptor(rest)?;
    // AAC of MPEG-4; MP3 and others travel in the same box.
    if tag != 4 || body.first() != Some(&0x40) {
        return None;
    }
    let (tag, body) = descriptor(body.get(13..)?)?;
    (tag == 5).then_some(body)
}

/// The samples of a media segment. `offset` is where it begins in its file: absolute data offsets count from there.
pub(super) fn segment(init: &Init, bytes: &Bytes, offset: u64) -> Result<Vec<LiveUnit>, DemuxError> {
    let mut units = Vec::new();
    // Where a track's next fragment begins, should it not say so.
    let mut next: Vec<(u32, u64)> = Vec::new();
    for (_, moof, begin) in boxes(bytes).filter(|(kind, ..)| kind == b"moof") {
        for (_, traf, _) in boxes(moof).filter(|(kind, ..)| kind == b"traf") {
            fragment(init, bytes, (begin, offset), traf, &mut next, &mut units)?;
        }
    }
    if units.is_empty() { Err(wrong("it holds no sample of its tracks")) } else { Ok(units) }
}

fn fragment(
    init: &Init,
    bytes: &Bytes,
    (moof, offset): (usize, u64),
    traf: &[u8],
    next: &mut Vec<(u32, u64)>,
    units: &mut Vec<LiveUnit>,
) -> Result<(), DemuxError> {
    let cut = || wrong("a fragment is cut short");
    let tfhd = child(traf, b"tfhd").ok_or_else(cut)?;
    let (flags, id) = (word(tfhd, 0).ok_or_else(cut)?, word(tfhd, 4).ok_or_else(cut)?);
    let Some(track) = init.tracks.iter().find(|track| track.id == id) else { return Ok(()) };
    let mut at = 8;
    let mut field = |flag: u32, length: usize| {
        let here = at;
        let there = flags & flag != 0;
        at += if there { length } else { 0 };
        there.then_some(here)
    };
    let absolute = field(0x01, 8).map(|at| long(tfhd, at).ok_or_else(cut)).transpose()?;
    let _description = field(0x02, 4);
    let duration = field(0x08, 4).and_then(|at| word(tfhd, at)).unwrap_or(track.defaults.duration);
    let size = field(0x10, 4).and_then(|at| word(tfhd, at)).unwrap_or(track.defaults.size);
    let default_flags = field(0x20, 4).and_then(|at| word(tfhd, at)).unwrap_or(track.defaults.flags);
    let defaults = Defaults { duration, size, flags: default_flags };
    let base = match absolute {
        Some(absolute) => usize::try_from(absolute.saturating_sub(offset)).map_err(|_| cut())?,
        None => moof,
    };
    let known = next.iter().find(|(known, _)| *known == id).map(|(_, time)| *time);
    let mut time = match child(traf, b"tfdt") {
        Some(tfdt) if tfdt.first() == Some(&1) => long(tfdt, 4).ok_or_else(cut)?,
        Some(tfdt) => word(tfdt, 4).ok_or_else(cut)?.into(),
        None => known.ok_or_else(|| wrong("a fragment does not say its time"))?,
    };
    let mut data = base;
    for (_, trun, _) in boxes(traf).filter(|(kind, ..)| kind == b"trun") {
        run(track, bytes, trun, defaults, (base, &mut data, &mut time), units)?;
    }
    next.retain(|(known, _)| *known != id);
    next.push((id, time));
    Ok(())
}

fn run(
    track: &Track,
    bytes: &Bytes,
    trun: &[u8],
    defaults: Defaults,
    (base, data, time): (usize, &mut usize, &mut u64),
    units: &mut Vec<LiveUnit>,
) -> Result<(), DemuxError> {
    let cut = || wrong("a fragment is cut short");
    let flags = word(trun, 0).ok_or_else(cut)?;
    let count = word(trun, 4).ok_or_else(cut)? as usize;
    if units.len().saturating_add(count) > MOST_SAMPLES {
        return Err(wrong("it holds too many samples"));
    }
    let mut at = 8;
    let mut field = |there: bool| -> Result<Option<u32>, DemuxError> {
        if !there {
            return Ok(None);
        }
        let value = word(trun, at).ok_or_else(cut)?;
        at += 4;
        Ok(Some(value))
    };
    if let Some(offset) = field(flags & 0x01 != 0)? {
        *data = base.checked_add_signed(offset.cast_signed() as isize).ok_or_else(cut)?;
    }
    let first_flags = field(flags & 0x04 != 0)?;
    for index in 0..count {
        let duration = field(flags & 0x0100 != 0)?.unwrap_or(defaults.duration);
        let size = field(flags & 0x0200 != 0)?.unwrap_or(defaults.size) as usize;
        let own = field(flags & 0x0400 != 0)?.or(first_flags.filter(|_| index == 0));
        let own = own.unwrap_or(defaults.flags);
        let shift = field(flags & 0x0800 != 0)?.unwrap_or(0).cast_signed();
        let end = data.checked_add(size).filter(|end| *end <= bytes.len()).ok_or_else(cut)?;
        let sample = bytes.slice(*data..end);
        *data = end;
        let dts = i64::try_from(*time).map_err(|_| cut())?.saturating_sub(track.begin);
        *time = time.saturating_add(duration.into());
        if sample.is_empty() {
            continue;
        }
        let codec = track.setup.codec;
        units.push(LiveUnit {
            kind: track.setup.kind,
            dts_ns: nanoseconds(dts, track.timescale),
            pts_ns: nanoseconds(dts.saturating_add(shift.into()), track.timescale),
            key: nal::is_key(codec, &sample).unwrap_or(own & 0x0001_0000 == 0),
            data: sample,
        });
    }
    Ok(())
}

fn nanoseconds(ticks: i64, timescale: u32) -> i64 {
    let ns = i128::from(ticks) * 1_000_000_000 / i128::from(timescale.max(1));
    ns.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}
