use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;

use super::{
    DemuxError, Demuxed, DemuxedStream, Demuxer, Format, InitSegment, StreamKind, WRAP, boxes,
    chain::{Chain, Collected, Outcome, Raw},
    codec::codec_name,
    id3, sniff, ts_time,
};
use crate::samples::{Media, Sample};

/// Longest time for one segment: a thousand times what a good one takes.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// An empty box. The demuxer looks for 16 bytes where a box begins: without this, an `mdat` of a few bytes (the last frame of
/// some sound) is never read.
pub(super) static TRAILER: [u8; 16] = *b"\0\0\0\x10free\0\0\0\0\0\0\0\0";

/// A transport stream is pushed in pieces of so many packets, to look at the clock in between.
const PIECE: usize = 2048 * sniff::TS_PACKET;

/// A [`Demuxer`] on GStreamer's demuxers and parsers, a new chain of elements for each segment: a demuxer that is
/// reset by a flush keeps the codec configuration of the rung before (GStreamer before 1.24).
#[derive(Debug)]
pub struct GstDemuxer {
    _private: (),
}

impl GstDemuxer {
    /// Sets GStreamer up.
    ///
    /// # Errors
    /// [`DemuxError::Setup`] when GStreamer cannot start.
    pub fn new() -> Result<Self, DemuxError> {
        gst::init().map_err(|error| DemuxError::Setup(error.to_string()))?;
        Ok(Self { _private: () })
    }
}

impl Demuxer for GstDemuxer {
    fn append(&mut self, init: Option<&InitSegment>, media: Bytes) -> Result<Demuxed, DemuxError> {
        match sniff::sniff(&media) {
            Some(Format::Mp4) => mp4(init, media),
            Some(Format::MpegTs) => mpeg_ts(&media),
            Some(Format::PackedAudio) => packed_audio(&media),
            None => Err(DemuxError::UnknownFormat { len: media.len(), head: head(&media) }),
        }
    }
}

fn mp4(init: Option<&InitSegment>, media: Bytes) -> Result<Demuxed, DemuxError> {
    let outline = boxes::outline(&media);
    // Plain files bring their own `moov`; a second one would count as a change of tracks.
    let init = init.filter(|_| !outline.has_moov).map(|init| init.bytes.clone());
    if init.is_none() && !outline.has_moov {
        return Err(DemuxError::MissingInit);
    }
    let damage = (outline.missing > 0).then(|| "it ends in the middle of a box".to_owned());
    let trailer = damage.is_none().then(|| Bytes::from_static(&TRAILER));
    let pieces = init.into_iter().chain([media]).chain(trailer);
    let outcome = Chain::demuxer("qtdemux", LIMIT)?.run(pieces, false);
    let timed = outline.has_decode_time || !outline.has_moof;
    assemble(Format::Mp4, outcome, 0, damage, timed)
}

fn mpeg_ts(media: &Bytes) -> Result<Demuxed, DemuxError> {
    let stamps = ts_time::first_timestamps(media);
    let start = sniff::ts_start(media).unwrap_or(0);
    let odd = (media.len() - start) % sniff::TS_PACKET;
    let damage = (odd != 0).then(|| "it ends in the middle of a packet".to_owned());
    let pieces = (0..media.len()).step_by(PIECE).map(|at| media.slice(at..media.len().min(at + PIECE)));
    let outcome = Chain::demuxer("tsdemux", LIMIT)?.run(pieces, false);
    // All streams share one clock. A stream whose first packet was not used would ask for too little.
    let offset = outcome
        .streams
        .iter()
        .filter_map(|stream| {
            let stamp = stamps.get(&stream.pid?)?;
            Some(ticks_to_ns(*stamp) - stream.first?)
        })
        .max();
    let mut demuxed = assemble(Format::MpegTs, outcome, offset.unwrap_or(0), damage, offset.is_some())?;
    demuxed.wrap = Some(WRAP);
    Ok(demuxed)
}

fn packed_audio(media: &Bytes) -> Result<Demuxed, DemuxError> {
    let (tags, stamp) = id3::read(media);
    let audio = media.slice(tags..);
    let parser = match *audio {
        [0x0B, 0x77, ..] => "ac3parse",
        // Layer bits 00 are ADTS, others MPEG audio.
        [0xFF, second, ..] if second & 0xE0 == 0xE0 && second & 0x06 != 0 => "mpegaudioparse",
        [0xFF, second, ..] if second & 0xE0 == 0xE0 => "aacparse",
        _ => return Err(DemuxError::UnknownFormat { len: audio.len(), head: head(&audio) }),
    };
    let outcome = Chain::parser(parser, LIMIT)?.run([audio], true);
    let offset = stamp.map(ticks_to_ns);
    let mut demuxed = assemble(Format::PackedAudio, outcome, offset.unwrap_or(0), None, offset.is_some())?;
    demuxed.wrap = offset.map(|_| WRAP);
    Ok(demuxed)
}

fn assemble(
    format: Format,
    outcome: Outcome,
    offset: i64,
    damage: Option<String>,
    timed: bool,
) -> Result<Demuxed, DemuxError> {
    let mut streams: Vec<_> =
        outcome.streams.into_iter().filter_map(|stream| stream_from(stream, offset)).collect();
    if streams.is_empty() {
        if outcome.timed_out {
            return Err(DemuxError::TimedOut(LIMIT.as_secs()));
        }
        let reason =
            outcome.error.or(damage).unwrap_or_else(|| "it holds no picture and no sound".to_owned());
        return Err(DemuxError::Corrupt(reason));
    }
    streams.sort_by_key(|stream| stream.kind != StreamKind::Video);
    let damage = damage
        .or(outcome.error)
        .or_else(|| outcome.timed_out.then(|| format!("reading was given up after {} s", LIMIT.as_secs())));
    Ok(Demuxed { format, streams, wrap: None, timed, damage })
}

fn stream_from(stream: Collected, offset: i64) -> Option<DemuxedStream> {
    let kind = stream.kind;
    let mut samples: Vec<Sample> = Vec::with_capacity(stream.samples.len());
    for Raw { pts, dts, caps, buffer } in stream.samples {
        samples.extend(sample_from(Raw { pts, dts, caps, buffer }, offset, samples.last()));
    }
    fill_durations(&mut samples);
    let caps = samples.first()?.payload.caps.clone();
    let codec = codec_name(&caps);
    Some(DemuxedStream { kind, caps, codec, samples })
}

/// What came out of the chain as a sample; `None` when there is nothing in it, or it cannot be placed.
pub(super) fn sample_from(raw: Raw, offset: i64, before: Option<&Sample>) -> Option<Sample> {
    let Raw { pts, dts, caps, buffer } = raw;
    let (size, flags) = (buffer.size(), buffer.flags());
    if size == 0 || flags.contains(gst::BufferFlags::GAP) {
        return None;
    }
    // A frame without a time of its own follows the one before; one that has none before it cannot be placed.
    let pts = pts.map(|pts| pts.saturating_add(offset)).or(before.map(Sample::end))?;
    let dts = dts.map(|dts| dts.saturating_add(offset));
    let dts = dts.unwrap_or_else(|| before.map_or(pts, |before| pts.min(before.dts + before.duration)));
    let duration = buffer.duration().and_then(|duration| i64::try_from(duration.nseconds()).ok());
    Some(Sample {
        pts,
        dts,
        duration: duration.unwrap_or(0),
        key: !flags.contains(gst::BufferFlags::DELTA_UNIT),
        bytes: size,
        payload: Media { caps, buffer },
    })
}

/// Gives samples without a duration the time to the next one shown; the last takes that of the one before.
fn fill_durations(samples: &mut [Sample]) {
    if samples.iter().all(|sample| sample.duration > 0) {
        return;
    }
    let mut shown: Vec<i64> = samples.iter().map(|sample| sample.pts).collect();
    shown.sort_unstable();
    let mut longest_known = 0;
    for sample in samples.iter_mut() {
        if sample.duration > 0 {
            continue;
        }
        let next = shown.get(shown.partition_point(|pts| *pts <= sample.pts));
        sample.duration = next.map_or(0, |next| next - sample.pts);
        longest_known = longest_known.max(sample.duration);
    }
    for sample in samples.iter_mut().filter(|sample| sample.duration == 0) {
        sample.duration = longest_known;
    }
}

/// 1/90000 s to nanoseconds.
pub(super) fn ticks_to_ns(ticks: u64) -> i64 {
    // 33 bits at most come in.
    i64::try_from(ticks.saturating_mul(100_000) / 9).unwrap_or(i64::MAX)
}

pub(super) fn head(data: &[u8]) -> String {
    data.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
