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

use super::{
    Options, PlaybackError, Tracks,
    branches::{Branch, Ready, audio_branch, caps_for, pad, video_branch},
    colour::Colour,
    decoders,
    mailbox::{Mail, Mailbox},
    time,
    turn::{self, Turn},
    video::Screen,
};
use crate::demux::StreamKind;

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

    pub(super) fn of(self, kind: StreamKind) -> Option<i64> {
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere must not become a second one inside a GStreamer callback.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
