//! A short-lived chain of elements that is pushed through by hand: everything happens on the calling thread, so the
//! end of `push` is the end of the work, and no clock, thread or state change is waited for.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use gstreamer::{self as gst, prelude::*};

use super::{DemuxError, StreamKind};

/// A sample as it left the chain. Times are stream time, nanoseconds.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) pts: Option<i64>,
    pub(super) dts: Option<i64>,
    pub(super) caps: gst::Caps,
    pub(super) buffer: gst::Buffer,
}

/// What one pad of the demuxer gave.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) kind: StreamKind,
    /// PID in a transport stream.
    pub(super) pid: Option<u16>,
    /// Stream time of the first buffer before any parser.
    pub(super) first: Option<i64>,
    pub(super) samples: Vec<Raw>,
    caps: Option<gst::Caps>,
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
}

#[derive(Debug)]
struct State {
    /// Reading what was pushed last ends then.
    deadline: Instant,
    streams: Vec<Collected>,
    /// Pads of ours: a pad lives as long as someone holds it.
    pads: Vec<gst::Pad>,
    failed: Option<DemuxError>,
}

/// What came out in the end.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) streams: Vec<Collected>,
    /// The first error that an element reported.
    pub(super) error: Option<String>,
    pub(super) timed_out: bool,
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct Chain {
    bin: gst::Bin,
    bus: gst::Bus,
    source: gst::Pad,
    state: Arc<Mutex<State>>,
    limit: Duration,
    begun: bool,
}

impl Chain {
    /// A chain that starts with a demuxer: its pads are followed as they appear. Each piece that is pushed may take so long.
    pub(super) fn demuxer(element: &'static str, limit: Duration) -> Result<Self, DemuxError> {
        let chain = Self::new(limit)?;
        let demuxer = chain.add(element)?;
        let bin = chain.bin.downgrade();
        let state = Arc::downgrade(&chain.state);
        demuxer.connect_pad_added(move |_, pad| {
            if let (Some(bin), Some(state)) = (bin.upgrade(), state.upgrade())
                && let Err(error) = follow(&bin, &state, pad)
            {
                lock(&state).failed.get_or_insert(error);
            }
        });
        chain.start(&demuxer)?;
        Ok(chain)
    }

    /// A chain that is one parser for sound.
    pub(super) fn parser(element: &'static str, limit: Duration) -> Result<Self, DemuxError> {
        let chain = Self::new(limit)?;
        let parser = chain.add(element)?;
        let pad =
            parser.static_pad("src").ok_or_else(|| DemuxError::Setup(format!("{element} has no source")))?;
        let at = collect(&chain.state, StreamKind::Audio, None);
        let sink = sink_pad(&chain.state, at);
        pad.link(&sink).map_err(setup)?;
        lock(&chain.state).pads.push(sink);
        chain.start(&parser)?;
        Ok(chain)
    }

    fn new(limit: Duration) -> Result<Self, DemuxError> {
        let bin = gst::Bin::new();
        let bus = gst::Bus::new();
        bin.set_bus(Some(&bus));
        let source = gst::Pad::builder(gst::PadDirection::Src).name("src").build();
        source.set_active(true).map_err(setup)?;
        let deadline = Instant::now() + limit;
        let state = State { deadline, streams: Vec::new(), pads: Vec::new(), failed: None };
        Ok(Self { bin, bus, source, state: Arc::new(Mutex::new(state)), limit, begun: false })
    }

    fn add(&self, element: &'static str) -> Result<gst::Element, DemuxError> {
        add(&self.bin, element)
    }

    fn start(&self, first: &gst::Element) -> Result<(), DemuxError> {
        let sink =
            first.static_pad("sink").ok_or_else(|| DemuxError::Setup("an element has no sink".to_owned()))?;
        self.source.link(&sink).map_err(setup)?;
        self.bin.set_state(gst::State::Playing).map_err(setup)?;
        Ok(())
    }

    /// Pushes everything through and gives what came out. In a chain with time, `timed` is the time of the first byte.
    pub(super) fn run(mut self, pieces: impl IntoIterator<Item = Bytes>, timed: bool) -> Outcome {
        self.allow();
        for piece in pieces {
            if !self.push(piece, timed) || self.is_late() {
                break;
            }
        }
        self.finish()
    }

    /// The time allowed begins anew.
    pub(super) fn allow(&self) {
        lock(&self.state).deadline = Instant::now() + self.limit;
    }

    fn is_late(&self) -> bool {
        Instant::now() > lock(&self.state).deadline
    }

    /// Pushes a piece through; `false` when nothing more is taken. What stops the flow is on the bus, or was the deadline.
    pub(super) fn push(&mut self, piece: Bytes, timed: bool) -> bool {
        let source = &self.source;
        let first = !std::mem::replace(&mut self.begun, true);
        if first {
            source.push_event(gst::event::StreamStart::new("segment"));
            let segment = if timed {
                gst::FormattedSegment::<gst::ClockTime>::new().upcast()
            } else {
                gst::FormattedSegment::<gst::format::Bytes>::new().upcast()
            };
            source.push_event(gst::event::Segment::new(&segment));
        }
        let mut buffer = gst::Buffer::from_slice(piece);
        if let Some(buffer) = buffer.get_mut().filter(|_| timed && first) {
            buffer.set_pts(gst::ClockTime::ZERO);
            buffer.set_dts(gst::ClockTime::ZERO);
        }
        source.push(buffer).is_ok()
    }

    /// Takes what has come out so far: for each pad of the demuxer its samples since the last call.
    pub(super) fn drain<T>(&self, mut take: impl FnMut(usize, &Collected, Vec<Raw>) -> T) -> Vec<T> {
        let mut state = lock(&self.state);
        let streams = state.streams.iter_mut().enumerate();
        streams
            .map(|(at, stream)| {
                let samples = std::mem::take(&mut stream.samples);
                take(at, stream, samples)
            })
            .collect()
    }

    /// Pushes the end through and gives what is left.
    pub(super) fn finish(self) -> Outcome {
        self.source.push_event(gst::event::Eos::new());
        let timed_out = self.is_late();
        let mut error = None;
        while let Some(message) = self.bus.pop_filtered(&[gst::MessageType::Error]) {
            if let gst::MessageView::Error(message) = message.view() {
                error.get_or_insert_with(|| message.error().to_string());
            }
        }
        let mut state = lock(&self.state);
        if let Some(failed) = state.failed.take() {
            error.get_or_insert(failed.to_string());
        }
        let streams = std::mem::take(&mut state.streams);
        drop(state);
        Outcome { streams, error, timed_out }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // An element that refuses to stop has nothing left to do anyway.
        let _ = self.bin.set_state(gst::State::Null);
        self.bus.set_flushing(true);
        lock(&self.state).pads.clear();
    }
}

/// Follows a new pad of the demuxer: a parser where it takes one, then a pad that collects.
fn follow(bin: &gst::Bin, state: &Arc<Mutex<State>>, pad: &gst::Pad) -> Result<(), DemuxError> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let Some(structure) = caps.structure(0) else { return Ok(()) };
    let name = structure.name().as_str();
    let kind = match name.split('/').next() {
        Some("video") => StreamKind::Video,
        Some("audio") => StreamKind::Audio,
        // Encrypted media keeps its kind in a field.
        _ => match structure.get::<&str>("original-media-type") {
            Ok(original) if original.starts_with("video/") => StreamKind::Video,
            Ok(_) => StreamKind::Audio,
            Err(_) => return Ok(()),
        },
    };
    if lock(state).streams.iter().any(|stream| stream.kind == kind) {
        return Ok(());
    }
    let pid = pad.name().rsplit('_').next().and_then(|pid| u16::from_str_radix(pid, 16).ok());
    let at = collect(state, kind, pid);
    let watched = Arc::downgrade(state);
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let time = info.buffer().and_then(|buffer| buffer.pts()).and_then(|pts| {
            let segment = pad.sticky_event::<gst::event::Segment>(0)?;
            stream_time(segment.segment().downcast_ref()?, pts)
        });
        if let (Some(time), Some(state)) = (time, watched.upgrade())
            && let Some(stream) = lock(&state).streams.get_mut(at)
        {
            stream.first = Some(time);
            return gst::PadProbeReturn::Remove;
        }
        gst::PadProbeReturn::Ok
    });
    let sink = sink_pad(state, at);
    match parser_for(structure, bin) {
        Some(parser) => {
            let parser = add(bin, parser)?;
            let (Some(input), Some(output)) = (parser.static_pad("sink"), parser.static_pad("src")) else {
                return Ok(());
            };
            output.link(&sink).map_err(setup)?;
            parser.sync_state_with_parent().map_err(setup)?;
            pad.link(&input).map_err(setup)?;
        }
        None => {
            pad.link(&sink).map_err(setup)?;
        }
    }
    lock(state).pads.push(sink);
    Ok(())
}

/// Transport streams need parsers for key flags, frame borders and picture sizes; MP4 has all that.
fn parser_for(structure: &gst::StructureRef, bin: &gst::Bin) -> Option<&'static str> {
    if bin.by_name("qtdemux").is_some() {
        return None;
    }
    let version = structure.get::<i32>("mpegversion").unwrap_or(0);
    match (structure.name().as_str(), version) {
        ("video/x-h264", _) => Some("h264parse"),
        ("video/x-h265", _) => Some("h265parse"),
        ("video/mpeg", 1 | 2) => Some("mpegvideoparse"),
        ("audio/mpeg", 1) => Some("mpegaudioparse"),
        ("audio/mpeg", _) => Some("aacparse"),
        ("audio/x-ac3" | "audio/x-eac3", _) => Some("ac3parse"),
        ("audio/x-opus", _) => Some("opusparse"),
        _ => None,
    }
}

fn collect(state: &Mutex<State>, kind: StreamKind, pid: Option<u16>) -> usize {
    let mut state = lock(state);
    state.streams.push(Collected { kind, pid, first: None, samples: Vec::new(), caps: None, segment: None });
    state.streams.len() - 1
}

/// A pad that puts what it gets into stream `at`.
fn sink_pad(state: &Arc<Mutex<State>>, at: usize) -> gst::Pad {
    let events = Arc::downgrade(state);
    let buffers = Arc::downgrade(state);
    let pad = gst::Pad::builder(gst::PadDirection::Sink)
        .event_function(move |_, _, event| {
            let Some(state) = events.upgrade() else { return false };
            let mut state = lock(&state);
            let Some(stream) = state.streams.get_mut(at) else { return false };
            match event.view() {
                gst::EventView::Caps(caps) => stream.caps = Some(caps.caps_owned()),
                gst::EventView::Segment(segment) => {
                    stream.segment = segment.segment().clone().downcast::<gst::ClockTime>().ok();
                }
                _ => {}
            }
            true
        })
        .chain_function(move |_, _, buffer| {
            let Some(state) = buffers.upgrade() else { return Err(gst::FlowError::Flushing) };
            let mut state = lock(&state);
            if Instant::now() > state.deadline {
                return Err(gst::FlowError::Error);
            }
            let Some(stream) = state.streams.get_mut(at) else { return Err(gst::FlowError::Error) };
            // Without caps nobody could decode it: `NotNegotiated` is what a real sink would say.
            let Some(caps) = stream.caps.clone() else { return Err(gst::FlowError::NotNegotiated) };
            let time =
                |time: Option<gst::ClockTime>| stream.segment.as_ref().and_then(|s| stream_time(s, time?));
            let (pts, dts) = (time(buffer.pts()), time(buffer.dts()));
            stream.samples.push(Raw { pts, dts, caps, buffer });
            Ok(gst::FlowSuccess::Ok)
        })
        .build();
    // A pad without a peer and a parent has nothing that could refuse.
    let _ = pad.set_active(true);
    pad
}

fn stream_time(segment: &gst::FormattedSegment<gst::ClockTime>, time: gst::ClockTime) -> Option<i64> {
    let time = segment.to_stream_time_full(time)?;
    let nanoseconds = i64::try_from(time.abs().nseconds()).ok()?;
    Some(if time.is_negative() { -nanoseconds } else { nanoseconds })
}

fn add(bin: &gst::Bin, element: &'static str) -> Result<gst::Element, DemuxError> {
    let made = gst::ElementFactory::make(element)
        .name(element)
        .build()
        .map_err(|_| DemuxError::MissingElement { element, package: package(element) })?;
    bin.add(&made).map_err(setup)?;
    Ok(made)
}

fn package(element: &str) -> &'static str {
    match element {
        "qtdemux" | "aacparse" | "mpegaudioparse" | "ac3parse" => "gstreamer1.0-plugins-good",
        _ => "gstreamer1.0-plugins-bad",
    }
}

fn setup(error: impl std::fmt::Display) -> DemuxError {
    DemuxError::Setup(error.to_string())
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A panic elsewhere must not become a second one inside a GStreamer callback.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
