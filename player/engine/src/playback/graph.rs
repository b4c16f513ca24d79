//! One GStreamer pipeline: a branch for pictures, a branch for sound.
//!
//! ```text
//! appsrc ! decodebin3 ! queue ! videoconvertscale ! capsfilter ! appsink
//! appsrc ! decodebin3 ! audioconvert ! audioresample ! scaletempo ! capsfilter ! volume ! autoaudiosink | fakesink
//! ```

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gstreamer::{self as gst, prelude::*};
use gstreamer_app as gst_app;
use gstreamer_audio as gst_audio;

use super::{
    Options, PlaybackError, Tracks,
    colour::Colour,
    decoders,
    feeder::{Feed, Feeder},
    mailbox::{Mail, Mailbox},
    time,
    turn::{self, Turn},
    video::{self, Screen},
};
use crate::demux::StreamKind;

/// An appsrc asks for more below half of this.
const QUEUE: gst::ClockTime = gst::ClockTime::from_mseconds(1000);

/// A picture later than this is not shown, nanoseconds: from 45 ms on people see that sound comes first (ITU-R BT.1359).
const MAX_LATENESS: i64 = 40_000_000;

/// What painters can read, dearest to convert last.
const PLANAR: &str = "video/x-raw,format={NV12,I420,P010_10LE,I420_10LE}";

/// Whether a branch has something at its sink since the last flush.
#[derive(Debug, Default)]
struct Ready(Mutex<(bool, bool)>);

impl Ready {
    fn set(&self, kind: StreamKind, ready: bool) {
        let mut both = self.lock();
        match kind {
            StreamKind::Video => both.0 = ready,
            StreamKind::Audio => both.1 = ready,
        }
    }

    fn all(&self, video: bool, audio: bool) -> bool {
        let both = self.lock();
        (both.0 || !video) && (both.1 || !audio)
    }

    fn lock(&self) -> MutexGuard<'_, (bool, bool)> {
        // A panic elsewhere must not become a second one inside a GStreamer callback.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an error message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// From the samples to the decoded pictures or sound.
    Decoding(StreamKind),
    /// The sound card.
    AudioOutput,
    /// Anything else.
    Elsewhere,
}

#[derive(Debug)]
struct Branch {
    source: gst_app::AppSrc,
    feeder: Feeder,
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct Graph {
    pipeline: gst::Pipeline,
    video: Option<Branch>,
    audio: Option<Branch>,
    sink: gst::Element,
    audio_sink: Option<gst::Element>,
    filter: Option<gst::Element>,
    volume: Option<gst::Element>,
    ready: Arc<Ready>,
    decoder: Arc<Mutex<Option<gst::Element>>>,
    late_in_decoder: Arc<AtomicU64>,
    turn: Arc<Turn>,
    prepared: bool,
}

/// What a new graph needs to know.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) options: &'a Options,
    pub(super) tracks: &'a Tracks,
    pub(super) screen: &'a Arc<Screen>,
    pub(super) colour: &'a Arc<Colour>,
    pub(super) mailbox: &'a Arc<Mailbox>,
    /// Keep time without a sound card.
    pub(super) silent: bool,
    /// What is shown or heard before these times is in a coding for which this pipeline is not.
    pub(super) borders: Borders,
}

/// Where the coding of pictures and of sound changed last, nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Borders {
    pub(super) video: Option<i64>,
    pub(super) audio: Option<i64>,
}

impl Borders {
    pub(super) fn set(&mut self, kind: StreamKind, at: i64) {
        *match kind {
            StreamKind::Video => &mut self.video,
            StreamKind::Audio => &mut self.audio,
        } = Some(at);
    }

    fn of(self, kind: StreamKind) -> Option<i64> {
        match kind {
            StreamKind::Video => self.video,
            StreamKind::Audio => self.audio,
        }
    }
}

impl Graph {
    /// Builds the pipeline, stopped.
    pub(super) fn build(plan: &Plan<'_>) -> Result<Self, PlaybackError> {
        let pipeline = gst::Pipeline::with_name("playback");
        let ready = Arc::new(Ready::default());
        let decoder: Arc<Mutex<Option<gst::Element>>> = Arc::default();
        let late_in_decoder = Arc::new(AtomicU64::new(0));
        watch_decoders(&pipeline, &decoder);
        watch_bus(&pipeline, plan.mailbox, &late_in_decoder)?;

        let (mut video, mut filter, mut video_sink) = (None, None, None);
        if let Some(track) = &plan.tracks.video {
            let (branch, chain) = video_branch(&pipeline, plan, &ready, &decoder)?;
            video = Some(branch.feed(plan, Arc::clone(track), false)?);
            filter = Some(chain.filter);
            video_sink = Some(chain.sink);
        }
        let (mut audio, mut volume, mut audio_sink) = (None, None, None);
        if let Some(track) = &plan.tracks.audio {
            let (branch, chain) = audio_branch(&pipeline, plan, &ready)?;
            audio = Some(branch.feed(plan, Arc::clone(track), video.is_some())?);
            volume = Some(chain.volume);
            audio_sink = Some(chain.sink);
        }
        let turn = Arc::<Turn>::default();
        for (branch, kind) in [(&video, StreamKind::Video), (&audio, StreamKind::Audio)] {
            if let Some(branch) = branch {
                turn::watch(&pad(branch.source.upcast_ref(), "src")?, kind, &turn);
            }
        }
        let sink = video_sink.or_else(|| audio_sink.clone()).ok_or(PlaybackError::NoTracks)?;
        Ok(Self {
            pipeline,
            video,
            audio,
            sink,
            audio_sink,
            filter,
            volume,
            ready,
            decoder,
            late_in_decoder,
            turn,
            prepared: false,
        })
    }

    /// The element that knows the position.
    pub(super) fn sink(&self) -> &gst::Element {
        &self.sink
    }

    pub(super) fn play(&self) -> Result<(), gst::StateChangeError> {
        self.pipeline.set_state(gst::State::Playing).map(drop)
    }

    pub(super) fn hold(&self) -> Result<(), gst::StateChangeError> {
        self.pipeline.set_state(gst::State::Paused).map(drop)
    }

    /// Goes to `position` (nanoseconds) and stays held there; [`Self::is_ready`] tells when it is reached.
    pub(super) fn seek(&mut self, position: i64, rate: f64) -> Result<(), String> {
        let start = time::to_pipeline(position).ok_or("the position is before all time")?;
        let seek = gst::event::Seek::new(
            rate,
            gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE,
            gst::SeekType::Set,
            start,
            gst::SeekType::None,
            gst::ClockTime::NONE,
        );
        if self.prepared {
            self.hold().map_err(|_| "the pipeline cannot be held")?;
        } else {
            // A source that is not running yet keeps the seek as the place to start from.
            self.pipeline.set_state(gst::State::Ready).map_err(|_| "the pipeline cannot be set up")?;
        }
        self.turn.forget();
        for kind in [StreamKind::Video, StreamKind::Audio] {
            self.ready.set(kind, false);
        }
        // To the sources and not through the sinks: a branch whose decoder is not there yet has none.
        for branch in self.branches() {
            if !branch.source.send_event(seek.clone()) {
                return Err(format!("{} refused to seek", branch.source.name()));
            }
        }
        if !self.prepared {
            self.prepared = true;
            self.hold().map_err(|_| "the pipeline cannot be started")?;
        }
        Ok(())
    }

    /// Changes the rate from a place on that both branches come to.
    pub(super) fn turn(&self, rate: f64) {
        self.turn.want(rate);
    }

    /// Whether all branches have something at their sinks since the last seek.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.all(self.video.is_some(), self.audio.is_some())
    }

    /// Whether all samples were handed over.
    pub(super) fn at_end(&self) -> bool {
        self.branches().all(|branch| branch.feeder.at_end())
    }

    pub(super) fn set_volume(&self, level: f64, muted: bool) {
        if let Some(volume) = &self.volume {
            // Loudness as people hear it goes about with the cube of the level.
            volume.set_property("volume", level.clamp(0.0, 1.0).powi(3));
            volume.set_property("mute", muted);
        }
    }

    pub(super) fn set_rgba_height(&self, height: Option<u32>) {
        if let Some(filter) = &self.filter {
            filter.set_property("caps", caps_for(height));
        }
    }

    /// Counts pictures that the decoder left out for being late.
    pub(super) fn late_in_decoder(&self) -> &Arc<AtomicU64> {
        &self.late_in_decoder
    }

    /// Whether it was ever told where to start.
    pub(super) fn is_prepared(&self) -> bool {
        self.prepared
    }

    pub(super) fn recalculate_latency(&self) {
        if let Err(error) = self.pipeline.recalculate_latency() {
            tracing::debug!("the latency could not be set: {error}");
        }
    }

    /// The decoder for pictures that is in use.
    pub(super) fn video_decoder(&self) -> Option<gst::Element> {
        lock(&self.decoder).clone()
    }

    /// Where `source` of a message stands.
    pub(super) fn place(&self, source: Option<&gst::Object>) -> Place {
        let Some(source) = source else { return Place::Elsewhere };
        let within = |element: &gst::Element| {
            source == element.upcast_ref::<gst::Object>() || source.has_as_ancestor(element)
        };
        if self.audio_sink.as_ref().is_some_and(within) {
            return Place::AudioOutput;
        }
        let named = |name| self.pipeline.by_name(name).as_ref().is_some_and(within);
        if named("video-source") || named("video-decode") {
            Place::Decoding(StreamKind::Video)
        } else if named("audio-source") || named("audio-decode") {
            Place::Decoding(StreamKind::Audio)
        } else {
            Place::Elsewhere
        }
    }

    fn branches(&self) -> impl Iterator<Item = &Branch> {
        self.video.iter().chain(&self.audio)
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // The feeders first: what they push would find a closed door.
        self.video = None;
        self.audio = None;
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
            bus.set_flushing(true);
        }
        end(&self.pipeline);
        *lock(&self.decoder) = None;
    }
}

/// A pipeline ends in a moment. One that does not within this time never will: decodebin3 of GStreamer 1.22 stands in a lock
/// after some changes of the sound's coding.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Stops a pipeline, without being held up for ever by one that hangs.
fn end(pipeline: &gst::Pipeline) {
    let (done, ended) = std::sync::mpsc::sync_channel(1);
    let hung = pipeline.clone();
    let stop = move || {
        // There is nothing left to do when it refuses.
        let _ = hung.set_state(gst::State::Null);
        let _ = done.send(());
    };
    match std::thread::Builder::new().name("weir-playback-end".to_owned()).spawn(stop) {
        Ok(_) if ended.recv_timeout(END_WITHIN).is_err() => {
            tracing::error!("the pipeline does not stop; what it holds stays until the program ends");
        }
        Ok(_) => {}
        Err(_) => {
            let _ = pipeline.set_state(gst::State::Null);
        }
    }
}

struct Unfed {
    kind: StreamKind,
    source: gst_app::AppSrc,
}

impl Unfed {
    fn feed(
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

struct VideoChain {
    filter: gst::Element,
    sink: gst::Element,
}

fn video_branch(
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

struct AudioChain {
    volume: gst::Element,
    sink: gst::Element,
}

fn audio_branch(
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

fn watch_decoders(pipeline: &gst::Pipeline, decoder: &Arc<Mutex<Option<gst::Element>>>) {
    let decoder = Arc::downgrade(decoder);
    pipeline.connect_deep_element_added(move |_, _, element| {
        if let Some(decoder) = decoder.upgrade()
            && decoders::is_video_decoder(element)
        {
            decoders::limit_delay(element);
            *lock(&decoder) = Some(element.clone());
        }
    });
}

/// Hands on what the control thread wants to know, and counts pictures that the decoder left out for being late.
fn watch_bus(
    pipeline: &gst::Pipeline,
    mailbox: &Arc<Mailbox>,
    late: &Arc<AtomicU64>,
) -> Result<(), PlaybackError> {
    let bus = pipeline.bus().ok_or_else(|| PlaybackError::Setup("the pipeline has no bus".to_owned()))?;
    let (mailbox, late) = (Arc::downgrade(mailbox), Arc::clone(late));
    bus.set_sync_handler(move |_, message| {
        match message.view() {
            gst::MessageView::Error(_)
            | gst::MessageView::Eos(_)
            | gst::MessageView::ClockLost(_)
            | gst::MessageView::Latency(_) => post(&mailbox, message),
            gst::MessageView::Element(element)
                if element.structure().is_some_and(|structure| structure.name() == "missing-plugin") =>
            {
                post(&mailbox, message);
            }
            gst::MessageView::Qos(qos) => {
                let from_decoder = message
                    .src()
                    .and_then(|source| source.downcast_ref::<gst::Element>())
                    .is_some_and(decoders::is_video_decoder);
                if from_decoder && let (_, gst::GenericFormattedValue::Buffers(Some(dropped))) = qos.stats() {
                    // The decoder's own count; a flush may set it back.
                    late.fetch_max(u64::from(dropped), Ordering::Relaxed);
                }
            }
            gst::MessageView::Warning(warning) => {
                tracing::debug!("the playback pipeline warns: {}", warning.error());
            }
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
    Ok(())
}

fn post(mailbox: &std::sync::Weak<Mailbox>, message: &gst::Message) {
    if let Some(mailbox) = mailbox.upgrade() {
        mailbox.post(Mail::Bus(message.clone()));
    }
}

fn caps_for(rgba_height: Option<u32>) -> gst::Caps {
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

fn pad(element: &gst::Element, name: &str) -> Result<gst::Pad, PlaybackError> {
    element
        .static_pad(name)
        .ok_or_else(|| PlaybackError::Setup(format!("{} has no pad {name}", element.name())))
}

fn setup(error: impl std::fmt::Display) -> PlaybackError {
    PlaybackError::Setup(error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere must not become a second one inside a GStreamer callback.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
