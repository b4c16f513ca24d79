//! Real pictures with numbers on them, coded and decoded by GStreamer.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use gstreamer_video as gst_video;

use super::*;

const WIDTH: usize = 160;
const HEIGHT: usize = 96;
/// Columns that tell a picture's number, a bit each.
const BITS: usize = 10;

fn pipeline(text: &str) -> (gst::Pipeline, AppSrc, AppSink) {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let source = pipeline.by_name("in").unwrap().downcast::<AppSrc>().unwrap();
    let sink = pipeline.by_name("out").unwrap().downcast::<AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    (pipeline, source, sink)
}

/// A picture whose columns tell its number.
fn picture(number: u32) -> gst::Buffer {
    let mut bytes = vec![128_u8; WIDTH * HEIGHT * 3 / 2];
    for (at, luma) in bytes[..WIDTH * HEIGHT].iter_mut().enumerate() {
        let column = at % WIDTH / (WIDTH / BITS);
        *luma = if number >> column & 1 == 1 { 220 } else { 30 };
    }
    gst::Buffer::from_slice(bytes)
}

/// The number that a decoded picture shows; what is between black and white belongs to none.
fn number(luma: &[u8], stride: usize) -> u32 {
    (0..BITS).fold(0, |number, column| {
        let from = column * (WIDTH / BITS);
        let cell = (8..HEIGHT - 8).flat_map(|row| &luma[row * stride + from + 2..row * stride + from + 14]);
        let (mut sum, mut count) = (0_u32, 0);
        for value in cell {
            sum += u32::from(*value);
            count += 1;
        }
        let mean = sum / count;
        assert!(!(90..160).contains(&mean), "column {column} is neither black nor white: {mean}");
        number | u32::from(mean > 125) << column
    })
}

/// One coded picture.
#[derive(Debug, Clone)]
pub(super) struct Coded {
    pub(super) dts_ms: i64,
    pub(super) pts_ms: i64,
    pub(super) key: bool,
    pub(super) data: Bytes,
}

/// Temporal units of AV1 at 64x64, as SVT-AV1 makes them with `-preset 10 -g 9` of FFmpeg's test picture: key frames, hidden
/// frames that are shown later, frames that are not kept. Without their delimiters.
pub(super) fn av1_units() -> Vec<Bytes> {
    let file: &[u8] = include_bytes!("pictures.obu");
    let starts: Vec<_> = (0..file.len()).filter(|at| file[*at..].starts_with(&[0x12, 0])).collect();
    let ends = starts.iter().skip(1).copied().chain([file.len()]);
    starts.iter().zip(ends).map(|(from, to)| Bytes::from_static(&file[from + 2..to])).collect()
}

/// Decodes temporal units of AV1: the bytes of every picture, as they come out.
pub(super) fn decode_av1(units: &[Bytes]) -> Vec<Vec<u8>> {
    let (pipeline, source, sink) = pipeline(
        "appsrc name=in format=time caps=video/x-av1,stream-format=obu-stream,alignment=tu,width=64,height=64 \
         ! av1dec ! video/x-raw,format=I420 ! appsink name=out sync=false",
    );
    for (number, unit) in (0_u64..).zip(units) {
        let mut buffer = gst::Buffer::from_slice([&[0x12, 0], &unit[..]].concat());
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(number * 40));
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let mut pictures = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        pictures.push(sample.buffer().unwrap().map_readable().unwrap().to_vec());
    }
    let told = pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error, gst::MessageType::Warning]);
    assert!(told.is_none(), "{told:?}");
    pipeline.set_state(gst::State::Null).unwrap();
    pictures
}

/// The codec of what an encoder makes.
pub(super) fn codec(encoder: &str) -> Codec {
    if encoder.starts_with("av1enc") { Codec::Av1 } else { Codec::Avc }
}

/// The `av1C` of a stream that begins with a temporal delimiter and a sequence header of main profile, 4:2:0.
fn av1c(data: &[u8]) -> Bytes {
    let header = &data[2..];
    assert_eq!((header[0], header[1] < 128), (0x0a, true), "a sequence header with its length");
    [&[0x81, 0, 0x0c, 0], &header[..2 + usize::from(header[1])]].concat().into()
}

/// Codes a picture for each of `times` (milliseconds), with a key frame at the first one of every `gop_ms`. Gives the
/// `avcC` or `av1C` and the pictures in the order of decoding.
pub(super) fn encode(encoder: &str, times: &[i64], gop_ms: i64) -> (Bytes, Vec<Coded>) {
    let parser = match codec(encoder) {
        Codec::Av1 => "av1parse ! video/x-av1,stream-format=obu-stream,alignment=tu",
        _ => "h264parse ! video/x-h264,stream-format=avc,alignment=au",
    };
    let text = format!(
        "appsrc name=in format=time caps=video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate=0/1 \
         ! {encoder} ! {parser} ! appsink name=out sync=false"
    );
    let (pipeline, source, sink) = pipeline(&text);
    let mut period = 0;
    for (number, ms) in (0_u32..).zip(times) {
        if ms / gop_ms > period {
            period = ms / gop_ms;
            let key = gst_video::DownstreamForceKeyUnitEvent::builder().all_headers(false).build();
            source.send_event(key);
        }
        let mut buffer = picture(number);
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(*ms as u64));
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let (mut config, mut coded) = (Bytes::new(), Vec::new());
    let mut origin = None;
    while let Ok(sample) = sink.pull_sample() {
        let caps = sample.caps().unwrap().structure(0).unwrap();
        let buffer = sample.buffer().unwrap();
        let mut data = Bytes::copy_from_slice(&buffer.map_readable().unwrap());
        if config.is_empty() {
            config = match codec(encoder) {
                Codec::Av1 => av1c(&data),
                _ => {
                    let data = caps.get::<gst::Buffer>("codec_data").unwrap();
                    Bytes::copy_from_slice(&data.map_readable().unwrap())
                }
            };
        }
        if data.starts_with(&[0x12, 0]) {
            data = data.slice(2..); // publishers leave temporal delimiters out
        }
        let pts = buffer.pts().unwrap().nseconds() as i64;
        // x264enc counts from 1000 hours on.
        let origin = *origin.get_or_insert(pts - times[0] * 1_000_000);
        let ms = |ns: i64| (ns - origin + 500_000).div_euclid(1_000_000);
        coded.push(Coded {
            // A temporal unit of AV1 is shown when it is decoded, whatever GStreamer guesses.
            dts_ms: ms(match (codec(encoder), buffer.dts()) {
                (Codec::Avc, Some(dts)) => dts.nseconds() as i64,
                _ => pts,
            }),
            pts_ms: ms(pts),
            key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            data,
        });
    }
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(coded.len(), times.len());
    (config, coded)
}

/// Decodes a rendition's file: presentation time in milliseconds and number of every picture, as they come out.
pub(super) fn decode(codec: Codec, file: Vec<u8>) -> Vec<(i64, u32)> {
    // Each fragment's own frame rate in the caps would have GStreamer's AV1 decoder begin anew.
    let steady = "capssetter caps=\"video/x-av1,framerate=(fraction)25/1\" ! av1dec";
    let decoder = if codec == Codec::Av1 { steady } else { "avdec_h264" };
    let (pipeline, source, sink) = pipeline(&format!(
        "appsrc name=in ! qtdemux ! {decoder} ! video/x-raw,format=I420 ! appsink name=out sync=false"
    ));
    source.push_buffer(gst::Buffer::from_slice(file)).unwrap();
    source.end_of_stream().unwrap();
    let mut shown = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let buffer = sample.buffer().unwrap();
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).unwrap();
        let number = number(frame.plane_data(0).unwrap(), info.stride()[0] as usize);
        // Through the edit list, if there is one.
        let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap();
        let at = segment.to_stream_time(buffer.pts().unwrap()).unwrap();
        shown.push((((at.nseconds() + 500_000) / 1_000_000) as i64, number));
    }
    let bus = pipeline.bus().unwrap();
    let told = bus.pop_filtered(&[gst::MessageType::Error, gst::MessageType::Warning]);
    assert!(told.is_none(), "{told:?}");
    pipeline.set_state(gst::State::Null).unwrap();
    shown
}
