//! One rung's video encoder: pictures of any size in, H.264 access units out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use gstreamer_video as gst_video;
use serde::{Deserialize, Serialize};

use super::collect::{Collector, UnitSink};
use super::log::Voice;
use super::pipeline::{Guarded, make};
use super::{LadderError, Rung, Speed};

/// Which H.264 encoder; part of a stream's plan, for its segments must all come from the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum VideoEncoderKind {
    /// x264.
    #[value(name = "x264enc")]
    X264,
    /// OpenH264.
    #[value(name = "openh264enc")]
    Openh264,
    /// VA-API, the newer elements.
    #[value(name = "vah264enc")]
    Va,
    /// VA-API, the older ones.
    #[value(name = "vaapih264enc")]
    Vaapi,
    /// NVENC.
    #[value(name = "nvh264enc")]
    Nv,
}

impl VideoEncoderKind {
    /// For files: software first, for it gives the best picture at a bitrate.
    pub const FILES: [Self; 5] = [Self::X264, Self::Openh264, Self::Nv, Self::Va, Self::Vaapi];
    /// For live streams: hardware first, for it leaves the processor to delivery.
    pub const LIVE: [Self; 5] = [Self::Nv, Self::Va, Self::Vaapi, Self::X264, Self::Openh264];

    /// The first of `order` that works here.
    pub(crate) fn first_of(order: &[Self]) -> Result<Self, LadderError> {
        order.iter().copied().find(|kind| super::probe::works(*kind)).ok_or_else(|| Self::missing(order))
    }

    pub(crate) fn missing(order: &[Self]) -> LadderError {
        let names: Vec<_> = order.iter().map(|kind| kind.element()).collect();
        LadderError::Missing(format!("an H.264 encoder that works ({})", names.join(", ")))
    }

    /// The GStreamer element.
    #[must_use]
    pub fn element(self) -> &'static str {
        match self {
            Self::X264 => "x264enc",
            Self::Openh264 => "openh264enc",
            Self::Va => "vah264enc",
            Self::Vaapi => "vaapih264enc",
            Self::Nv => "nvh264enc",
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
    /// Pictures come in real time: no look-ahead, and a full queue refuses instead of waiting.
    pub(crate) live: bool,
}

/// What [`VideoEncoder::offer`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    Taken,
    /// The encoder is behind; the picture is left out.
    Full,
    /// [`VideoEncoder::finish`] says why.
    Dead,
}

/// A running encoder.
#[derive(Debug)]
pub(crate) struct VideoEncoder {
    collector: Collector,
    begun: AtomicBool,
    /// Bytes that may wait in front of it.
    room: u64,
}

/// Pictures that may wait in front of an encoder.
const QUEUE: u64 = 6;
/// How long an encoder is waited for that is a little behind, and how often it is looked at.
const PATIENCE: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(2);
/// How far peaks may exceed the average: a decoder model buffer of 2.5 s bounds a 4 s segment to 1.6 times.
const VBV_MS: u32 = 2500;

impl VideoEncoder {
    pub(crate) fn start(spec: &VideoEncoderSpec, voice: &Voice, sink: UnitSink) -> Result<Self, LadderError> {
        let guarded = Guarded::new(spec.nice, voice);
        let rung = &spec.rung;
        let source = AppSrc::builder()
            .caps(&picture_caps(spec, spec.input.width(), spec.input.height()))
            .format(gst::Format::Time)
            .max_bytes(QUEUE * spec.input.size() as u64)
            .block(!spec.live)
            .build();
        let mut chain: Vec<gst::Element> = vec![source.clone().upcast()];
        // Passes pictures through that have the size already.
        let scale = make("videoscale")?;
        scale.set_property("add-borders", false);
        let size = make("capsfilter")?;
        size.set_property("caps", picture_caps(spec, rung.width, rung.height));
        chain.extend([scale, size]);
        if !matches!(spec.kind, VideoEncoderKind::X264 | VideoEncoderKind::Openh264) {
            chain.push(make("videoconvert")?); // the hardware wants NV12
        }
        chain.push(encoder(spec)?);
        if spec.kind != VideoEncoderKind::X264 {
            chain.push(make("h264parse")?);
        }
        let mut coded =
            gst::Caps::builder("video/x-h264").field("stream-format", "avc").field("alignment", "au");
        if spec.kind == VideoEncoderKind::X264 {
            coded = coded.field("profile", "high");
        }
        let output = AppSink::builder().caps(&coded.build()).sync(false).max_buffers(64).build();
        chain.push(output.clone().upcast());
        let collector = Collector::start(&rung.name, guarded, source, &chain, output, sink)?;
        let room = QUEUE * spec.input.size() as u64;
        Ok(Self { collector, begun: AtomicBool::new(false), room })
    }

    pub(crate) fn name(&self) -> &str {
        self.collector.name()
    }

    /// Says that the pictures to come have another size.
    pub(crate) fn set_input_size(&self, spec: &VideoEncoderSpec, width: u32, height: u32) {
        self.collector.source().set_caps(Some(&picture_caps(spec, width, height)));
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
            self.collector.source().send_event(event);
        }
        // Shares the pixels; only time stamps are the copy's own.
        let buffer = picture.make_mut();
        buffer.set_pts(time);
        buffer.set_dts(None::<gst::ClockTime>);
        buffer.set_duration(gst::ClockTime::from_nseconds(duration_ns));
        self.collector.push(picture)
    }

    /// [`push`](Self::push) that does not wait, or half a second at most when it is `patient`: while the encoder is
    /// behind, pictures are refused. One that begins a segment is taken nevertheless, up to twice the room.
    pub(crate) fn offer(
        &self,
        picture: gst::Buffer,
        running_ns: u64,
        duration_ns: u64,
        key: bool,
        patient: bool,
    ) -> Offer {
        let room = if key { self.room * 2 } else { self.room };
        let until = Instant::now() + PATIENCE;
        while self.collector.source().current_level_bytes() >= room {
            if self.collector.is_over() {
                return Offer::Dead;
            }
            if !patient || Instant::now() >= until {
                return Offer::Full;
            }
            // Nobody tells when an encoder has taken a picture; it takes some milliseconds for each.
            std::thread::sleep(LOOK);
        }
        if self.push(picture, running_ns, duration_ns, key) { Offer::Taken } else { Offer::Dead }
    }

    /// From here on [`push`](Self::push) waits while the encoder is behind, also in a live stream: for its last pictures.
    pub(crate) fn wait_for_room(&self) {
        self.collector.source().set_block(true);
    }

    /// Says that no picture follows, and waits for the last unit to be taken.
    pub(crate) fn finish(self) -> Result<(), LadderError> {
        self.collector.finish()
    }

    /// Stops without taking what is still inside.
    pub(crate) fn abort(self) {
        self.collector.abort();
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
            if spec.live {
                encoder.set_property_from_str("tune", "zerolatency");
            }
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
        VideoEncoderKind::Va | VideoEncoderKind::Vaapi | VideoEncoderKind::Nv => hardware(spec, period),
    }
}

/// Drivers differ in what they can be told: each property is set where it exists.
fn hardware(spec: &VideoEncoderSpec, period: u32) -> Result<gst::Element, LadderError> {
    let encoder = make(spec.kind.element())?;
    let period = period.min(1023).to_string();
    let kbps = spec.rung.kbps.to_string();
    let wanted = [
        ("bitrate", kbps.as_str()),
        ("key-int-max", &period),
        ("keyframe-period", &period),
        ("gop-size", &period),
        ("b-frames", "0"),
        ("bframes", "0"),
        ("max-bframes", "0"),
        ("rate-control", "cbr"),
        ("rc-mode", "cbr"),
        ("zerolatency", if spec.live { "true" } else { "false" }),
    ];
    for (name, value) in wanted {
        if let Some(property) = encoder.find_property(name)
            && gst::glib::Value::deserialize(value, property.value_type()).is_ok()
        {
            encoder.set_property_from_str(name, value);
        }
    }
    Ok(encoder)
}
