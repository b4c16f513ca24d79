//! The two branches of the pipeline: elements for pictures, elements for sound, and what is looked at on the way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gstreamer::{self as gst, prelude::*};
use gstreamer_app as gst_app;
use gstreamer_audio as gst_audio;

use super::{
    PlaybackError,
    feeder::{Feed, Feeder},
    graph::{Plan, lock},
    mailbox::Mail,
    time,
    video::{self, Screen},
};
use crate::demux::StreamKind;

/// An appsrc asks for more below half of this.
const QUEUE: gst::ClockTime = gst::ClockTime::from_mseconds(1000);

/// A picture later than this is not shown, nanoseconds: from 45 ms on people see that sound comes first (ITU-R BT.1359).
const MAX_LATENESS: i64 = 40_000_000;

/// What painters can read, dearest to convert last.
const PLANAR: &str = "video/x-raw,format={NV12,I420,P010_10LE,I420_10LE}";

#[derive(Debug)]
pub(super) struct Branch {
    pub(super) source: gst_app::AppSrc,
    pub(super) feeder: Feeder,
}

/// Whether a branch has something at its sink since the last flush.
#[derive(Debug, Default)]
pub(super) struct Ready(Mutex<(bool, bool)>);

impl Ready {
    pub(super) fn set(&self, kind: StreamKind, ready: bool) {
        let mut both = self.lock();
        match kind {
            StreamKind::Video => both.0 = ready,
            StreamKind::Audio => both.1 = ready,
        }
    }

    pub(super) fn all(&self, video: bool, audio: bool) -> bool {
        let both = self.lock();
        (both.0 || !video) && (both.1 || !audio)
    }

    fn lock(&self) -> MutexGuard<'_, (bool, bool)> {
        // A panic elsewhere must not become a second one inside a GStreamer callback.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Unfed {
    kind: StreamKind,
    source: gst_app::AppSrc,
}

impl Unfed {
    pub(super) fn feed(
        self,
        plan: &Plan<'_>,
        track: Arc<crate::samples::SharedTrack>,
        plays_through_holes: bool,
    ) -> Result<Branch, PlaybackError> {
        let tags = match self.kind {
            StreamKind::Video => Arc::clone(&plan.screen.tags),
            StreamKind::Audio => Arc::default(),
        };
        let feeder = Feeder::start(Feed {
            kind: self.kind,
            source: self.source.clone(),
            track,
            tags,
            mailbox: Arc::clone(plan.mailbox),
            plays_through_holes,
            border: plan.borders.of(self.kind),
        })
        .map_err(setup)?;
        Ok(Branch { source: self.source, feeder })
    }
}

pub(super) struct VideoChain {
    pub(super) filter: gst::Element,
    pub(super) sink: gst::Element,
}

pub(super) fn video_branch(
    pipeline: &gst::Pipeline,
    plan: &Plan<'_>,
    ready: &Arc<Ready>,
    decoder: &Arc<Mutex<Option<gst::Element>>>,
) -> Result<(Unfed, VideoChain), PlaybackError> {
    let source = source("video-source");
    let decode = make("decodebin3", "video-decode")?;
    let queue = make("queue", "video-queue")?;
    queue.set_property("max-size-buffers", 2_u32);
    queue.set_property("max-size-bytes", 0_u32);
    queue.set_property("max-size-time", 0_u64);
    let convert = make("videoconvertscale", "video-convert")?;
    let filter = make("capsfilter", "video-filter")?;
    filter.set_property("caps", caps_for(plan.options.rgba_height));
    let sink = gst_app::AppSink::builder()
        .name("video-sink")
        .sync(true)
        .qos(true)
        .max_lateness(MAX_LATENESS)
        .enable_last_sample(false)
        .max_buffers(2)
        .drop(true)
        .build();
    let chain = [&queue, &convert, &filter, sink.upcast_ref()];
    assemble(pipeline, source.upcast_ref(), &decode, &chain)?;

    let (at_preroll, mailbox) = (Arc::clone(ready), Arc::clone(plan.mailbox));
    video::watch(
        &sink,
        plan.screen,
        Arc::new(move || {
            at_preroll.set(StreamKind::Video, true);
            mailbox.post(Mail::Poke);
        }),
    );
    let input = pad(sink.upcast_ref(), "sink")?;
    let (ready, screen) = (Arc::clone(ready), Arc::clone(plan.screen));
    input.add_probe(gst::PadProbeType::EVENT_FLUSH, move |_, info| {
        if info.event().is_some_and(|event| event.type_() == gst::EventType::FlushStop) {
            ready.set(StreamKind::Video, false);
            if let Some(meter) = &screen.meter {
                meter.reset();
            }
        }
        gst::PadProbeReturn::Ok
    });
    once(&pad(&queue, "sink")?);
    let (colour, decoder) = (Arc::clone(plan.colour), Arc::clone(decoder));
    link_when_decoded(&decode, &queue, "video/", move |pad| {
        let (colour, decoder) = (Arc::clone(&colour), Arc::clone(&decoder));
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            let Some(gst::EventView::Caps(event)) = info.event().map(|event| event.view()) else {
                return gst::PadProbeReturn::Ok;
            };
            let encoded =
                lock(&decoder).as_ref().and_then(|decoder| decoder.static_pad("sink")?.current_caps());
            let tag = encoded.as_ref().and_then(|caps| caps.structure(0)?.get::<&str>("colorimetry").ok());
            if let Some(caps) = colour.rewrite(event.caps(), tag) {
                let event = gst::event::Caps::builder(&caps).seqnum(event.seqnum()).build();
                info.data = Some(gst::PadProbeData::Event(event));
            }
            gst::PadProbeReturn::Ok
        });
    });
    let sink = sink.upcast();
    Ok((Unfed { kind: StreamKind::Video, source }, VideoChain { filter, sink }))
}

/// Lets pictures through in the order in which they are shown. One that comes again, because a rung was entered before
/// the place where the other one ends, was needed by the decoder only.
fn once(pad: &gst::Pad) {
    let newest: Mutex<Option<gst::ClockTime>> = Mutex::default();
    let kinds =
        gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |_, info| {
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let mut newest = lock(&newest);
                match (buffer.pts(), *newest) {
                    (Some(pts), Some(before)) if pts <= before => {
                        // The buffer goes with this closure's data; `Drop` would have it let go of twice.
                        return gst::PadProbeReturn::Handled;
                    }
                    (Some(pts), _) => *newest = Some(pts),
                    (None, _) => {}
                }
            }
            Some(gst::PadProbeData::Event(event))
                if matches!(event.type_(), gst::EventType::FlushStop | gst::EventType::Segment) =>
            {
                *lock(&newest) = None;
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

pub(super) struct AudioChain {
    pub(super) volume: gst::Element,
    pub(super) sink: gst::Element,
}

pub(super) fn audio_branch(
    pipeline: &gst::Pipeline,
    plan: &Plan<'_>,
    ready: &Arc<Ready>,
) -> Result<(Unfed, AudioChain), PlaybackError> {
    let source = source("audio-source");
    let decode = make("decodebin3", "audio-decode")?;
    let convert = make("audioconvert", "audio-convert")?;
    let resample = make("audioresample", "audio-resample")?;
    let tempo = make("scaletempo", "audio-tempo")?;
    let filter = make("capsfilter", "audio-filter")?;
    if plan.screen.meter.is_some() {
        filter.set_property(
            "caps",
            "audio/x-raw,format=F32LE,layout=interleaved".parse::<gst::Caps>().map_err(setup)?,
        );
    }
    let volume = make("volume", "audio-volume")?;
    let sink = if plan.silent {
        let sink = make("fakesink", "audio-sink")?;
        sink.set_property("sync", true);
        sink
    } else {
        make("autoaudiosink", "audio-sink")?
    };
    let chain = [&convert, &resample, &tempo, &filter, &volume, &sink];
    assemble(pipeline, source.upcast_ref(), &decode, &chain)?;
    link_when_decoded(&decode, &convert, "audio/", |_| {});

    // Sound is looked at before its volume is changed.
    let input = pad(&volume, "sink")?;
    let (ready, mailbox, screen) = (Arc::clone(ready), Arc::clone(plan.mailbox), Arc::clone(plan.screen));
    let kinds =
        gst::PadProbeType::EVENT_FLUSH | gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER;
    input.add_probe(kinds, move |pad, info| {
        let arrived = match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => {
                measure(&screen, pad, buffer);
                true
            }
            Some(gst::PadProbeData::Event(event)) => match event.type_() {
                gst::EventType::FlushStop => {
                    ready.set(StreamKind::Audio, false);
                    false
                }
                gst::EventType::Eos => true,
                _ => false,
            },
            _ => false,
        };
        if arrived && !ready.all(false, true) {
            ready.set(StreamKind::Audio, true);
            mailbox.post(Mail::Poke);
        }
        gst::PadProbeReturn::Ok
    });
    Ok((Unfed { kind: StreamKind::Audio, source }, AudioChain { volume, sink }))
}

/// Looks for the test card's beep in `buffer`.
fn measure(screen: &Screen, pad: &gst::Pad, buffer: &gst::Buffer) -> Option<()> {
    let meter = screen.meter.as_ref()?;
    let info = gst_audio::AudioInfo::from_caps(pad.current_caps()?.as_ref()).ok()?;
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    let at = segment.segment().downcast_ref::<gst::ClockTime>()?.to_stream_time(buffer.pts()?)?;
    let map = buffer.map_readable().ok()?;
    let samples: Vec<f32> =
        map.chunks_exact(4).filter_map(|bytes| Some(f32::from_le_bytes(bytes.try_into().ok()?))).collect();
    let channels = usize::try_from(info.channels()).ok()?;
    screen.tell_sync(meter.sound(&samples, channels, info.rate(), time::from_pipeline(at)));
    Some(())
}

fn source(name: &str) -> gst_app::AppSrc {
    let source = gst_app::AppSrc::builder()
        .name(name)
        .format(gst::Format::Time)
        .stream_type(gst_app::AppStreamType::Seekable)
        .max_bytes(0)
        .min_percent(50)
        .build();
    source.set_property("max-time", QUEUE);
    source
}

/// Adds all to the pipeline and links what can be linked without data.
fn assemble(
    pipeline: &gst::Pipeline,
    source: &gst::Element,
    decode: &gst::Element,
    chain: &[&gst::Element],
) -> Result<(), PlaybackError> {
    pipeline.add_many([source, decode]).map_err(setup)?;
    pipeline.add_many(chain.iter().copied()).map_err(setup)?;
    source.link(decode).map_err(setup)?;
    gst::Element::link_many(chain.iter().copied()).map_err(setup)
}

/// Links the decoder's pad of the wanted kind to `next` when it appears, also when it takes the place of another.
fn link_when_decoded(
    decode: &gst::Element,
    next: &gst::Element,
    kind: &'static str,
    prepare: impl Fn(&gst::Pad) + Send + Sync + 'static,
) {
    let next = next.downgrade();
    decode.connect_pad_added(move |_, pad| {
        let is_wanted = |stream: gst::Stream| match kind {
            "video/" => stream.stream_type().contains(gst::StreamType::VIDEO),
            _ => stream.stream_type().contains(gst::StreamType::AUDIO),
        };
        let wanted =
            pad.stream().map_or_else(|| pad.name().starts_with(kind.trim_end_matches('/')), is_wanted);
        let Some(input) = next.upgrade().and_then(|next| next.static_pad("sink")) else { return };
        if !wanted {
            return;
        }
        if let Some(old) = input.peer() {
            let _ = old.unlink(&input);
        }
        prepare(pad);
        if let Err(error) = pad.link(&input) {
            tracing::warn!("a decoder's output could not be linked: {error}");
        }
    });
}

pub(super) fn caps_for(rgba_height: Option<u32>) -> gst::Caps {
    let caps = match rgba_height {
        None => PLANAR.parse(),
        Some(height) => {
            let height = height.clamp(2, 8192);
            format!("video/x-raw,format=RGBA,pixel-aspect-ratio=1/1,height=[1,{height}]").parse()
        }
    };
    caps.unwrap_or_else(|_| gst::Caps::new_any())
}

fn make(factory: &'static str, name: &str) -> Result<gst::Element, PlaybackError> {
    let package = match factory {
        "autoaudiosink" | "scaletempo" => "gstreamer1.0-plugins-good",
        "queue" | "capsfilter" | "fakesink" => "libgstreamer1.0-0",
        _ => "gstreamer1.0-plugins-base",
    };
    gst::ElementFactory::make(factory)
        .name(name)
        .build()
        .map_err(|_| PlaybackError::MissingElement { element: factory, package })
}

pub(super) fn pad(element: &gst::Element, name: &str) -> Result<gst::Pad, PlaybackError> {
    element
        .static_pad(name)
        .ok_or_else(|| PlaybackError::Setup(format!("{} has no pad {name}", element.name())))
}

pub(super) fn setup(error: impl std::fmt::Display) -> PlaybackError {
    PlaybackError::Setup(error.to_string())
}
