//! Key frames of a segment as small pictures, for a scrub bar.

use bytes::Bytes;
use gstreamer::{self as gst, prelude::*};
use gstreamer_app as gst_app;
use gstreamer_video::{self as gst_video, VideoFrameExt as _};

use super::{DemuxError, Demuxer, GstDemuxer, InitSegment, StreamKind};

/// Pictures of one segment, at most: each is decoded.
const MOST: usize = 5;
/// One picture takes a few milliseconds; who waits so long has a broken one.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(3);

/// A key frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Still {
    /// From the segment's first picture to this one, nanoseconds.
    pub(crate) offset: i64,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// R, G, B, A for each pixel, without gaps.
    pub(crate) rgba: Bytes,
}

/// The key frames of a segment in order, scaled to fit into `within` (pixels across and down). Blocking.
///
/// # Errors
/// As [`Demuxer::append`]; [`DemuxError::Corrupt`] when there is no key frame, or it cannot be decoded.
pub(crate) fn stills(
    init: Option<&InitSegment>,
    media: Bytes,
    within: (u32, u32),
) -> Result<Vec<Still>, DemuxError> {
    let demuxed = GstDemuxer::new()?.append(init, media)?;
    let corrupt = |reason: &str| DemuxError::Corrupt(reason.to_owned());
    let pictures = demuxed.streams.into_iter().find(|stream| stream.kind == StreamKind::Video);
    let pictures = pictures.ok_or_else(|| corrupt("it holds no pictures"))?;
    let first = pictures.samples.iter().map(|sample| sample.pts).min().unwrap_or(0);
    let keys: Vec<_> = pictures.samples.iter().filter(|sample| sample.key).collect();
    // Where there are more, they are taken evenly.
    let step = keys.len().div_ceil(MOST).max(1);
    let keys: Vec<_> = keys.into_iter().step_by(step).collect();
    let decoder = Decoder::start(&pictures.caps, within)?;
    for (at, sample) in keys.iter().enumerate() {
        decoder.push(sample.payload.buffer.copy(), at)?;
    }
    let mut stills = Vec::with_capacity(keys.len());
    decoder.end();
    while let Some((at, width, height, rgba)) = decoder.pull()? {
        let Some(sample) = keys.get(at) else { continue };
        stills.push(Still { offset: sample.pts - first, width, height, rgba });
        if stills.len() == keys.len() {
            break;
        }
    }
    if stills.is_empty() {
        return Err(corrupt("none of its key frames could be decoded"));
    }
    stills.sort_by_key(|still| still.offset);
    Ok(stills)
}

/// A pipeline of its own: playback does not notice.
struct Decoder {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Decoder {
    fn start(caps: &gst::Caps, (width, height): (u32, u32)) -> Result<Self, DemuxError> {
        let setup = |error: &dyn std::fmt::Display| DemuxError::Setup(error.to_string());
        let most = |size: u32| i32::try_from(size.max(2)).unwrap_or(i32::MAX);
        let wanted = gst::Caps::builder("video/x-raw")
            .field("format", "RGBA")
            .field("width", gst::IntRange::new(2, most(width)))
            .field("height", gst::IntRange::new(2, most(height)))
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .build();
        let source = gst_app::AppSrc::builder().caps(caps).format(gst::Format::Time).build();
        let sink = gst_app::AppSink::builder().caps(&wanted).sync(false).build();
        let make = |name: &'static str| {
            gst::ElementFactory::make(name).build().map_err(|_| DemuxError::MissingElement {
                element: name,
                package: "gstreamer1.0-plugins-base",
            })
        };
        let (decode, convert) = (make("decodebin")?, make("videoconvertscale")?);
        let pipeline = gst::Pipeline::new();
        let elements = [source.upcast_ref(), &decode, &convert, sink.upcast_ref()];
        pipeline.add_many(elements).map_err(|error| setup(&error))?;
        source.link(&decode).map_err(|error| setup(&error))?;
        convert.link(&sink).map_err(|error| setup(&error))?;
        let next = convert.downgrade();
        decode.connect_pad_added(move |_, pad| {
            if let Some(input) = next.upgrade().and_then(|next| next.static_pad("sink"))
                && !input.is_linked()
            {
                // What cannot be linked gives no picture, which is noticed.
                let _ = pad.link(&input);
            }
        });
        let decoder = Self { pipeline, source, sink };
        decoder.pipeline.set_state(gst::State::Playing).map_err(|error| setup(&error))?;
        Ok(decoder)
    }

    /// Times tell the pictures apart when they come out, whatever their own are.
    fn push(&self, mut buffer: gst::Buffer, at: usize) -> Result<(), DemuxError> {
        let time = gst::ClockTime::from_seconds(at as u64);
        let writable = buffer.make_mut();
        writable.set_pts(time);
        writable.set_dts(time);
        writable.set_duration(gst::ClockTime::SECOND);
        self.source.push_buffer(buffer).map(drop).map_err(|error| DemuxError::Corrupt(error.to_string()))
    }

    fn end(&self) {
        // It only fails when nothing runs any more, which the sink notices.
        let _ = self.source.end_of_stream();
    }

    /// The next picture with its number and its size; `None` after the last one.
    fn pull(&self) -> Result<Option<(usize, u32, u32, Bytes)>, DemuxError> {
        let corrupt = |reason: &str| DemuxError::Corrupt(reason.to_owned());
        let Some(sample) = self.sink.try_pull_sample(PATIENCE) else { return Ok(None) };
        let info = sample.caps().and_then(|caps| gst_video::VideoInfo::from_caps(caps).ok());
        let (Some(info), Some(buffer)) = (info, sample.buffer()) else {
            return Err(corrupt("a key frame came out without a size"));
        };
        let at = buffer.pts().map_or(0, gst::ClockTime::seconds);
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)
            .map_err(|_| corrupt("a key frame cannot be read"))?;
        let stride = usize::try_from(frame.plane_stride().first().copied().unwrap_or(0)).unwrap_or(0);
        let plane = frame.plane_data(0).map_err(|_| corrupt("a key frame is empty"))?;
        let row = info.width() as usize * 4;
        let mut rgba = Vec::with_capacity(row * info.height() as usize);
        for line in plane.chunks(stride.max(1)).take(info.height() as usize) {
            rgba.extend_from_slice(line.get(..row).ok_or_else(|| corrupt("a key frame is cut short"))?);
        }
        Ok(Some((usize::try_from(at).unwrap_or(usize::MAX), info.width(), info.height(), rgba.into())))
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // An element that refuses to stop has nothing left to do anyway.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demux::test_media::{self, LARGE, Order, SMALL};

    /// Frame and rung that a still of the test card names.
    fn reads(still: &Still) -> Option<(u64, usize)> {
        let luma: Vec<u8> = still.rgba.chunks_exact(4).map(|pixel| pixel[1]).collect();
        let (width, height) = (still.width as usize, still.height as usize);
        test_media::read_band(&luma, width, width, height)
    }

    #[test]
    fn the_key_frames_of_a_segment_become_small_pictures_with_their_times() {
        gst::init().unwrap();
        for order in [Order::Straight, Order::Reordered] {
            let cut = test_media::video_mp4(LARGE, 4, order);
            let init = InitSegment { bytes: cut.init.clone().unwrap() };
            let found = stills(Some(&init), cut.segments[1].clone(), (320, 220)).unwrap();
            // A key frame each second, scaled to fit without being bent.
            let offsets: Vec<_> = found.iter().map(|still| still.offset / 10_000_000).collect();
            assert_eq!(offsets, [0, 100], "{order:?}");
            assert!(found.iter().all(|still| (still.width, still.height) == (320, 180)));
            let read: Vec<_> = found.iter().map(reads).collect();
            assert_eq!(read, [Some((50, 1)), Some((75, 1))], "{order:?}");
        }
        let ts = test_media::muxed_ts(SMALL, 4, Order::Straight);
        let found = stills(None, ts.segments[0].clone(), (320, 220)).unwrap();
        assert_eq!(reads(&found[0]), Some((0, 0)));
        // The beginning of a segment, as lists of key frames name it.
        let cut = ts.segments[0].slice(..ts.segments[0].len() / 376 * 188);
        assert_eq!(reads(&stills(None, cut, (320, 220)).unwrap()[0]), Some((0, 0)));
    }

    #[test]
    fn what_holds_no_picture_gives_none() {
        assert!(stills(None, Bytes::from_static(b"<html>"), (320, 180)).is_err());
    }
}
