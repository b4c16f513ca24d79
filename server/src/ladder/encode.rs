//! One rung's video encoder: pictures of any size in, H.264 access units out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use gstreamer_video as gst_video;
use serde::{Deserialize, Serialize};

use super::pipeline::{Guarded, Watcher, has, lower_priority, make};
use super::{LadderError, Rung, Speed};

/// Which H.264 encoder; part of a stream's plan, for its segments must all come from the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VideoEncoderKind {
    X264,
    Openh264,
}

impl VideoEncoderKind {
    /// The best that is installed.
    pub(crate) fn installed() -> Result<Self, LadderError> {
        if has("x264enc") {
            Ok(Self::X264)
        } else if has("openh264enc") && has("h264parse") {
            Ok(Self::Openh264)
        } else {
            Err(LadderError::Missing("an H.264 encoder (x264enc or openh264enc)".to_owned()))
        }
    }
}

/// What an encoder is to do.
#[derive(Debug, Clone)]
pub(crate) struct VideoEncoderSpec {
    pub(crate) rung: Rung,
    /// What [`VideoEncoder::push`] will be given first; scaled to the rung's size.
    pub(crate) input: gst_video::VideoInfo,
    pub(crate) frame_rate: (u32, u32),
    pub(crate) kind: VideoEncoderKind,
    pub(crate) speed: Speed,
    pub(crate) nice: i32,
}

/// One coded picture or AAC frame.
#[derive(Debug)]
pub(crate) struct EncodedUnit {
    /// Nanoseconds since the first picture's running time 0.
    pub(crate) running_ns: u64,
    pub(crate) key: bool,
    pub(crate) data: Bytes,
    /// The decoder configuration from the caps: `avcC` or `AudioSpecificConfig`.
    pub(crate) codec_data: Bytes,
}

/// Takes coded units in order; an error ends the encoder.
pub(crate) type UnitSink = Box<dyn FnMut(EncodedUnit) -> Result<(), String> + Send>;

/// A running encoder.
#[derive(Debug)]
pub(crate) struct VideoEncoder {
    name: String,
    source: AppSrc,
    guarded: Arc<Guarded>,
    collector: Option<JoinHandle<Result<(), String>>>,
    begun: AtomicBool,
}

/// Pictures that may wait in front of an encoder.
const QUEUE: u64 = 6;
/// How far peaks may exceed the average: a decoder model buffer of 2.5 s bounds a 4 s segment to 1.6 times.
const VBV_MS: u32 = 2500;

impl VideoEncoder {
    pub(crate) fn start(spec: &VideoEncoderSpec, sink: UnitSink) -> Result<Self, LadderError> {
        let guarded = Arc::new(Guarded::new(spec.nice));
        let rung = &spec.rung;
        let source = AppSrc::builder()
            .caps(&picture_caps(spec, spec.input.width(), spec.input.height()))
            .format(gst::Format::Time)
            .max_bytes(QUEUE * spec.input.size() as u64)
            .block(true)
            .build();
        let mut chain: Vec<gst::Element> = vec![source.clone().upcast()];
        // Passes pictures through that have the size already.
        let scale = make("videoscale")?;
        scale.set_property("add-borders", false);
        let size = make("capsfilter")?;
        size.set_property("caps", picture_caps(spec, rung.width, rung.height));
        chain.extend([scale, size]);
        chain.push(encoder(spec)?);
        if spec.kind == VideoEncoderKind::Openh264 {
            chain.push(make("h264parse")?);
        }
        let mut coded =
            gst::Caps::builder("video/x-h264").field("stream-format", "avc").field("alignment", "au");
        if spec.kind == VideoEncoderKind::X264 {
            coded = coded.field("profile", "high");
        }
        let output = AppSink::builder().caps(&coded.build()).sync(false).max_buffers(64).build();
        chain.push(output.clone().upcast());
        let encode_error = |why: String| LadderError::Encode { rendition: rung.name.clone(), why };
        guarded.pipeline.add_many(&chain).map_err(|e| encode_error(e.to_string()))?;
        gst::Element::link_many(&chain).map_err(|e| encode_error(e.to_string()))?;
        guarded.set_state(gst::State::Playing).map_err(encode_error)?;
        let collector = collect(&rung.name, Arc::clone(&guarded), output, spec.nice, sink)
            .map_err(|e| encode_error(e.to_string()))?;
        Ok(Self {
            name: rung.name.clone(),
            source,
            guarded,
            collector: Some(collector),
            begun: AtomicBool::new(false),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Says that the pictures to come have another size.
    pub(crate) fn set_input_size(&self, spec: &VideoEncoderSpec, width: u32, height: u32) {
        self.source.set_caps(Some(&picture_caps(spec, width, height)));
    }

    /// Hands over one picture, waiting while the encoder is behind; `key` makes it an IDR picture. `false`
    /// when the encoder has died: [`finish`](Self::finish) says why.
    pub(crate) fn push(
        &self,
        mut picture: gst::Buffer,
        running_ns: u64,
        duration_ns: u64,
        key: bool,
    ) -> bool {
        let time = gst::ClockTime::from_nseconds(running_ns);
        // The first picture is one anyway, and to ask for it would keep GStreamer 1.22 from hearing any later
        // request: it remembers when, by x264enc's clock, which is 1000 hours ahead.
        if key && self.begun.swap(true, Ordering::Relaxed) {
            let event = gst_video::DownstreamForceKeyUnitEvent::builder()
                .running_time(time)
                .all_headers(false)
                .build();
            self.source.send_event(event);
        }
        // Shares the pixels; only time stamps are the copy's own.
        let buffer = picture.make_mut();
        buffer.set_pts(time);
        buffer.set_dts(None::<gst::ClockTime>);
        buffer.set_duration(gst::ClockTime::from_nseconds(duration_ns));
        self.source.push_buffer(picture).is_ok()
    }

    /// Says that no picture follows, and waits for the last unit to be taken.
    pub(crate) fn finish(mut self) -> Result<(), LadderError> {
        let _ = self.source.end_of_stream();
        self.join()
    }

    /// Stops without taking what is still inside.
    pub(crate) fn abort(mut self) {
        self.guarded.stop();
        let _ = self.join();
    }

    fn join(&mut self) -> Result<(), LadderError> {
        let joined = match self.collector.take() {
            Some(thread) => thread.join().unwrap_or_else(|_| Err("its thread panicked".to_owned())),
            None => Ok(()),
        };
        joined.map_err(|why| LadderError::Encode { rendition: self.name.clone(), why })
    }
}

/// I420 of one size in square pixels. The colorimetry is the source's on every rung: left out, GStreamer
/// would guess it from the height, and the colours would change at a switch.
fn picture_caps(spec: &VideoEncoderSpec, width: u32, height: u32) -> gst::Caps {
    let rate = gst::Fraction::new(spec.frame_rate.0 as i32, spec.frame_rate.1 as i32);
    gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", width as i32)
        .field("height", height as i32)
        .field("framerate", rate)
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .field("interlace-mode", "progressive")
        .field("colorimetry", spec.input.colorimetry().to_string())
        .build()
}

fn encoder(spec: &VideoEncoderSpec) -> Result<gst::Element, LadderError> {
    let rung = &spec.rung;
    // Key frames are asked for one by one; the encoder's own period only must not come before.
    let period = spec.frame_rate.0 / spec.frame_rate.1.max(1) * 20 + 1;
    match spec.kind {
        VideoEncoderKind::X264 => {
            let encoder = make("x264enc")?;
            let preset = match spec.speed {
                Speed::Ultrafast => "ultrafast",
                Speed::Veryfast if rung.height.min(rung.width) <= 720 => "veryfast",
                Speed::Superfast | Speed::Veryfast => "superfast",
            };
            encoder.set_property_from_str("speed-preset", preset);
            encoder.set_property("bitrate", rung.kbps);
            encoder.set_property("vbv-buf-capacity", VBV_MS);
            encoder.set_property("key-int-max", period);
            encoder.set_property("bframes", 0_u32);
            encoder.set_property("qp-min", 12_u32);
            // The rungs are encoded side by side; more threads would only add delay.
            encoder.set_property("threads", if rung.height >= 1080 { 2_u32 } else { 1 });
            encoder.set_property("option-string", "scenecut=0:open-gop=0");
            Ok(encoder)
        }
        VideoEncoderKind::Openh264 => {
            let encoder = make("openh264enc")?;
            encoder.set_property("bitrate", rung.kbps * 1000);
            encoder.set_property("max-bitrate", rung.kbps * 1600);
            encoder.set_property("gop-size", period);
            encoder.set_property_from_str("rate-control", "bitrate");
            encoder.set_property_from_str("complexity", "low");
            Ok(encoder)
        }
    }
}

/// The thread that takes units out of a pipeline until its end, an error, or a stop.
pub(super) fn collect(
    name: &str,
    guarded: Arc<Guarded>,
    output: AppSink,
    nice: i32,
    mut sink: UnitSink,
) -> std::io::Result<JoinHandle<Result<(), String>>> {
    std::thread::Builder::new().name(format!("weir-enc-{name}")).spawn(move || {
        lower_priority(nice);
        let result = take_all(&guarded.watcher, &output, &mut sink);
        // Releases a producer that is blocked in `push`.
        guarded.stop();
        result
    })
}

fn take_all(watcher: &Watcher, output: &AppSink, sink: &mut UnitSink) -> Result<(), String> {
    loop {
        match output.try_pull_sample(gst::ClockTime::from_mseconds(200)) {
            Some(sample) => sink(unit(&sample)?)?,
            None => {
                if let Some(error) = watcher.error() {
                    return Err(error);
                }
                if output.is_eos() {
                    return Ok(());
                }
            }
        }
    }
}

fn unit(sample: &gst::Sample) -> Result<EncodedUnit, String> {
    let missing = |what: &str| format!("the encoder gave a unit without {what}");
    let buffer = sample.buffer().ok_or_else(|| missing("data"))?;
    let pts = buffer.pts().ok_or_else(|| missing("a time"))?;
    // x264enc shifts its times and the segment by 1000 hours; the running time is ours again.
    let running = sample
        .segment()
        .and_then(|segment| segment.downcast_ref::<gst::ClockTime>())
        .and_then(|segment| segment.to_running_time(pts))
        .ok_or_else(|| missing("a running time"))?;
    let codec_data = sample
        .caps()
        .and_then(|caps| caps.structure(0))
        .and_then(|caps| caps.get::<gst::Buffer>("codec_data").ok())
        .ok_or_else(|| missing("a codec configuration"))?;
    let bytes = |buffer: &gst::BufferRef| {
        let map = buffer.map_readable().map_err(|e| e.to_string())?;
        Ok::<_, String>(Bytes::copy_from_slice(&map))
    };
    Ok(EncodedUnit {
        running_ns: running.nseconds(),
        key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
        data: bytes(buffer)?,
        codec_data: bytes(&codec_data)?,
    })
}
