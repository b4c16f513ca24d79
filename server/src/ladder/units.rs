//! Reads a file's own access units: what a pass-through rung is made of.

use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;

use super::LadderError;
use super::boxes::Boxes;
use super::collect::bytes_of;
use super::log::Voice;
use super::pipeline::{Guarded, make};
use crate::package::{PackageError, VideoCodec, VideoConfig, nal_units};

/// One access unit of the source's video, in decode order.
#[derive(Debug, Clone)]
pub(crate) struct SourceSample {
    /// Presentation time on the file's timeline, edit lists applied.
    pub(crate) pts_ns: i64,
    pub(crate) duration_ns: Option<u64>,
    /// Decoding can start here: an IDR picture, for HEVC an IRAP, for AV1 a key frame.
    pub(crate) key: bool,
    pub(crate) data: Bytes,
}

/// How the source's video is coded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceFormat {
    pub(crate) codec: VideoCodec,
    /// `avcC`, `hvcC` or `av1C`.
    pub(crate) config: Bytes,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Pixels are square and lines follow each other.
    pub(crate) plain: bool,
    /// Turned or mirrored by a tag.
    pub(crate) turned: bool,
}

impl SourceFormat {
    /// What an init segment says of it.
    ///
    /// # Errors
    /// When the decoder's set-up cannot be used.
    pub(crate) fn set_up(&self) -> Result<VideoConfig, PackageError> {
        let (width, height) = (self.width.min(65_535) as u16, self.height.min(65_535) as u16);
        match self.codec {
            VideoCodec::Avc => VideoConfig::from_avcc(width, height, &self.config),
            VideoCodec::Hevc => VideoConfig::from_hvcc(width, height, &self.config),
            VideoCodec::Av1 => VideoConfig::from_av1c(width, height, &self.config),
        }
    }

    /// H.264 in a profile that every player decodes: Baseline, Main, Extended or High, which are 8 bits in 4:2:0.
    pub(crate) fn plays_everywhere(&self) -> bool {
        self.codec == VideoCodec::Avc
            && self.config.get(1).is_some_and(|profile| [66, 77, 88, 100].contains(profile))
    }
}

/// What a pull brought.
#[derive(Debug)]
pub(crate) enum NextUnit {
    Unit(SourceSample, SourceFormat),
    /// Nothing yet: look whether to stop, then ask again.
    Waiting,
    End,
}

/// A file whose video is parsed and not decoded.
#[derive(Debug)]
pub(crate) struct UnitReader {
    guarded: Guarded,
    sink: Arc<Mutex<Option<(AppSink, VideoCodec)>>>,
    /// The `av1C` that the file has, where it is MP4.
    av1c: Option<Bytes>,
}

/// A pipeline that takes a file apart, and the element that does, whose outputs are not connected yet. `None` for a
/// container of which nothing can pass through.
pub(super) fn demuxed(
    path: &Path,
    nice: i32,
    voice: &Voice,
) -> Result<Option<(Guarded, gst::Element)>, LadderError> {
    let decode = |error: gst::glib::BoolError| LadderError::Decode(error.to_string());
    // Not parsebin: it would pass H.264 through a byte stream, which adds parameter sets and delimiters.
    let Some(demuxer) = demuxer(path) else { return Ok(None) };
    let guarded = Guarded::new(nice, voice);
    let source = make("filesrc")?;
    source.set_property("location", path.to_string_lossy().as_ref());
    let demuxer = make(demuxer)?;
    guarded.pipeline.add_many([&source, &demuxer]).map_err(decode)?;
    source.link(&demuxer).map_err(decode)?;
    Ok(Some((guarded, demuxer)))
}

pub(super) const PREROLL_LIMIT: Duration = Duration::from_secs(60);

impl UnitReader {
    /// Opens the file. `None` for a container or a codec that cannot pass through.
    pub(crate) fn open(
        path: &Path,
        nice: i32,
        voice: &Voice,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, LadderError> {
        let decode = |why: String| LadderError::Decode(why);
        let Some((guarded, demuxer)) = demuxed(path, nice, voice)? else { return Ok(None) };
        let sink = Arc::new(Mutex::new(None));
        let (weak, shared) = (guarded.pipeline.downgrade(), Arc::clone(&sink));
        demuxer.connect_pad_added(move |_, pad| {
            let Some(pipeline) = weak.upgrade() else { return };
            let mut sink = shared.lock().unwrap_or_else(PoisonError::into_inner);
            // Whatever cannot be connected stays unlinked, as sound does: then nothing passes through.
            if sink.is_none() {
                *sink = connect(&pipeline, pad);
            }
        });
        guarded.set_state(gst::State::Paused).map_err(decode)?;
        let opened = guarded.watcher.wait_async_done(PREROLL_LIMIT, stop);
        let mut this = Self { guarded, sink, av1c: None };
        // A demuxer none of whose outputs is connected reports an error, which only says so.
        let Some((_, codec)) = this.sink() else {
            return if stop() { Err(decode("cancelled".to_owned())) } else { Ok(None) };
        };
        opened.map_err(decode)?;
        if codec == VideoCodec::Av1 {
            this.av1c = av1c_of(path);
        }
        Ok(Some(this))
    }

    /// Continues at the key frame before `ns`; where the file cannot be sought in, at its beginning.
    pub(crate) fn seek(&self, ns: u64, stop: &dyn Fn() -> bool) -> Result<(), LadderError> {
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT | gst::SeekFlags::SNAP_BEFORE;
        if self.guarded.pipeline.seek_simple(flags, gst::ClockTime::from_nseconds(ns)).is_err() {
            return Ok(());
        }
        self.guarded.watcher.wait_async_done(PREROLL_LIMIT, stop).map_err(LadderError::Decode)
    }

    /// Lets it run, as fast as it is read.
    pub(crate) fn play(&self) -> Result<(), LadderError> {
        self.guarded.set_state(gst::State::Playing).map_err(LadderError::Decode)
    }

    /// The next unit; waits a fifth of a second at most.
    pub(crate) fn next(&self) -> Result<NextUnit, LadderError> {
        let Some((sink, codec)) = self.sink() else { return Ok(NextUnit::End) };
        match sink.try_pull_sample(gst::ClockTime::from_mseconds(200)) {
            Some(sample) => match unit(&sample, codec, &sink, self.av1c.as_ref()) {
                Some((unit, format)) => Ok(NextUnit::Unit(unit, format)),
                None => Err(LadderError::Decode("an access unit has no time or no set-up".to_owned())),
            },
            None => match self.guarded.watcher.error() {
                Some(error) => Err(LadderError::Decode(error)),
                None if sink.is_eos() => Ok(NextUnit::End),
                None => Ok(NextUnit::Waiting),
            },
        }
    }

    fn sink(&self) -> Option<(AppSink, VideoCodec)> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The demuxer of a container whose samples are what CMAF wants, told by the first bytes.
fn demuxer(path: &Path) -> Option<&'static str> {
    let mut head = [0; 8];
    std::fs::File::open(path).ok()?.read_exact(&mut head).ok()?;
    match head {
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some("matroskademux"),
        [_, _, _, _, kind @ ..]
            if [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp"].contains(&&kind) =>
        {
            Some("qtdemux")
        }
        _ => None,
    }
}

fn connect(pipeline: &gst::Pipeline, pad: &gst::Pad) -> Option<(AppSink, VideoCodec)> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let (codec, parser, format, alignment) = match caps.structure(0)?.name().as_str() {
        "video/x-h264" => (VideoCodec::Avc, "h264parse", "avc", "au"),
        "video/x-h265" => (VideoCodec::Hevc, "h265parse", "hvc1", "au"),
        "video/x-av1" => (VideoCodec::Av1, "av1parse", "obu-stream", "tu"),
        _ => return None,
    };
    let wanted = gst::Caps::builder(caps.structure(0)?.name().as_str())
        .field("stream-format", format)
        .field("alignment", alignment)
        .build();
    let sink = AppSink::builder().caps(&wanted).sync(false).max_buffers(32).build();
    let chain = [make("queue").ok()?, make(parser).ok()?, sink.clone().upcast()];
    pipeline.add_many(&chain).ok()?;
    gst::Element::link_many(&chain).ok()?;
    for element in &chain {
        element.sync_state_with_parent().ok()?;
    }
    pad.link(&chain.first()?.static_pad("sink")?).ok()?;
    Some((sink, codec))
}

fn unit(
    sample: &gst::Sample,
    codec: VideoCodec,
    sink: &AppSink,
    av1c: Option<&Bytes>,
) -> Option<(SourceSample, SourceFormat)> {
    let buffer = sample.buffer()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let pts = segment.to_stream_time_full(buffer.pts()?)?;
    let magnitude = i64::try_from(pts.abs().nseconds()).ok()?;
    let mut data = bytes_of(buffer).ok()?;
    if codec == VideoCodec::Av1 && data.starts_with(&[0x12, 0]) {
        data = data.slice(2..); // a temporal delimiter has no place in a sample
    }
    let delta = buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    let caps = sample.caps()?.structure(0)?;
    // GStreamer 1.22 leaves out the first five bytes of an MP4's av1C.
    let config = match av1c {
        Some(av1c) => av1c.clone(),
        None => bytes_of(caps.get::<gst::Buffer>("codec_data").ok()?.as_ref()).ok()?,
    };
    let pixels = caps.get::<gst::Fraction>("pixel-aspect-ratio").map_or(true, |r| r.numer() == r.denom());
    let lines = caps.get::<&str>("interlace-mode").is_ok_and(|mode| mode != "progressive");
    let size = |name| caps.get::<i32>(name).ok().and_then(|side| u32::try_from(side).ok());
    let unit = SourceSample {
        pts_ns: if pts.is_negative() { -magnitude } else { magnitude },
        duration_ns: buffer.duration().map(gst::ClockTime::nseconds),
        key: is_key(codec, &data, delta),
        data,
    };
    let format = SourceFormat {
        codec,
        config,
        width: size("width")?,
        height: size("height")?,
        plain: pixels && !lines,
        turned: turned(sink),
    };
    Some((unit, format))
}

/// Largest index of an MP4 that is looked through.
const MOST_INDEX: u64 = 64 << 20;

/// The `av1C` of an MP4's first track of AV1.
fn av1c_of(path: &Path) -> Option<Bytes> {
    let mut boxes = Boxes::of(path)?;
    let moov = boxes.find(|one| &one.kind == b"moov")?;
    let index = boxes.contents(&moov, MOST_INDEX)?;
    let found = index.windows(4).position(|name| name == b"av1C")?;
    let size = u32::from_be_bytes(*index.get(found.checked_sub(4)?..found)?.first_chunk()?) as usize;
    let record = index.get(found + 4..(found - 4).checked_add(size)?)?;
    record.starts_with(&[0x81]).then(|| Bytes::copy_from_slice(record))
}

/// A tag turns or mirrors the pictures.
fn turned(sink: &AppSink) -> bool {
    let Some(pad) = sink.static_pad("sink") else { return false };
    let mut index = 0;
    while let Some(event) = pad.sticky_event::<gst::event::Tag>(index) {
        if event.tag().get::<gst::tags::ImageOrientation>().is_some_and(|tag| tag.get() != "rotate-0") {
            return true;
        }
        index += 1;
    }
    false
}

/// Whether decoding can start at a unit, by what is in it and not by what the container says.
fn is_key(codec: VideoCodec, data: &[u8], delta: bool) -> bool {
    match codec {
        VideoCodec::Avc => nal_units(data).any(|nal| nal.first().is_some_and(|head| head & 31 == 5)),
        VideoCodec::Hevc => {
            nal_units(data).any(|nal| nal.first().is_some_and(|head| (16..=21).contains(&(head >> 1 & 63))))
        }
        VideoCodec::Av1 => !delta,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_are_told_by_their_nal_units() {
        let avc = |kind: u8| [&[0, 0, 0, 2, 0x09, 0x10][..], &[0, 0, 0, 2, 0x60 | kind, 1]].concat();
        assert!(is_key(VideoCodec::Avc, &avc(5), true) && !is_key(VideoCodec::Avc, &avc(1), false));
        let hevc = |kind: u8| [0, 0, 0, 2, kind << 1, 1];
        for (kind, key) in [(19, true), (20, true), (21, true), (1, false), (8, false), (32, false)] {
            assert_eq!(is_key(VideoCodec::Hevc, &hevc(kind), !key), key, "NAL type {kind}");
        }
        for torn in [&[0, 0, 0, 9, 5][..], &[0xff; 8], &[], &[0, 0, 0]] {
            assert!(!is_key(VideoCodec::Avc, torn, false));
        }
    }
}
