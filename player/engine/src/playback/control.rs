//! The thread that steers the pipeline: one thing after another, so that no seek meets a change of state half-way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gstreamer as gst;

use super::{
    Event, Options, PlaybackError, Tracks,
    colour::Colour,
    decoders,
    graph::{Borders, Graph, Place, Plan},
    mailbox::{Mail, Mailbox, Wish},
    time, turn,
    video::Screen,
    view::View,
};
use crate::{
    demux::{StreamKind, codec_name, decoder_package},
    samples::{Hole, TrackBuffer},
};

/// How often the position is looked at while a jump comes nearer; it is made so much early at most.
const NEAR: Duration = Duration::from_millis(20);

/// A seek may take so long before a newer wish breaks it off: while dragging, some pictures are to be seen.
const PATIENCE: Duration = Duration::from_millis(250);

/// Codings of pictures and sound that change within this time change at once.
const TOGETHER: Duration = Duration::from_millis(500);

/// On the way to another place.
#[derive(Clone, Copy, Debug)]
enum Going {
    /// Its samples are not here yet.
    Waiting(Wish),
    /// The pipeline was flushed; its sinks wait for the first samples from this position (nanoseconds) on.
    Flushed(i64, Instant),
}

/// A seek of our own that is due when playback comes to a place (nanoseconds).
#[derive(Clone, Copy, Debug)]
struct Jump {
    at: i64,
    to: i64,
    /// What is behind it needs another pipeline.
    rebuild: bool,
}

/// See the module's page.
pub(super) struct Control {
    options: Options,
    tracks: Tracks,
    screen: Arc<Screen>,
    colour: Arc<Colour>,
    mailbox: Arc<Mailbox>,
    view: Arc<View>,
    graph: Option<Graph>,
    silent: bool,
    playing: bool,
    going: Option<Going>,
    jump: Option<Jump>,
    borders: Borders,
    /// The end came while the seek that led there was under way.
    end_came: bool,
}

impl Control {
    pub(super) fn new(
        options: Options,
        tracks: Tracks,
        screen: Arc<Screen>,
        mailbox: Arc<Mailbox>,
        view: Arc<View>,
    ) -> Result<Self, PlaybackError> {
        let colour = Arc::new(Colour::new(options.top_height));
        let silent = options.headless;
        let mut control = Self {
            options,
            tracks,
            screen,
            colour,
            mailbox,
            view,
            graph: None,
            silent,
            playing: false,
            going: None,
            jump: None,
            borders: Borders::default(),
            end_came: false,
        };
        control.build()?;
        Ok(control)
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self) {
        loop {
            let busy = match self.going {
                Some(Going::Flushed(_, since)) => Some(PATIENCE.saturating_sub(since.elapsed())),
                _ => None,
            };
            let busy = busy.filter(|left| !left.is_zero());
            let near_jump = (self.jump.is_some() && self.playing).then_some(NEAR);
            let limit = busy.or(near_jump);
            match self.mailbox.wait(limit, busy.is_none()) {
                Mail::Stop => break,
                mail => self.handle(mail),
            }
            if busy.is_none()
                && let Some(wish) = self.mailbox.take_wish()
            {
                self.begin(wish);
            }
            self.advance();
        }
        self.drop_graph();
    }

    fn handle(&mut self, mail: Mail) {
        match mail {
            Mail::Playing(playing) => {
                self.playing = playing;
                self.follow_state();
            }
            Mail::Rate(rate) => self.set_rate(rate),
            Mail::Drift(rate) => self.drift(rate),
            Mail::Volume(volume) => {
                self.options.volume = volume;
                self.apply_volume();
            }
            Mail::Muted(muted) => {
                self.options.muted = muted;
                self.apply_volume();
            }
            Mail::RgbaHeight(height) => {
                self.options.rgba_height = height;
                if let Some(graph) = &self.graph {
                    graph.set_rgba_height(height);
                }
            }
            Mail::Bus(message) => self.bus(&message),
            Mail::Hole(StreamKind::Audio, hole) if self.tracks.video.is_some() => {
                self.tell_skipped(StreamKind::Audio, hole);
            }
            Mail::Hole(_, hole) => self.jump = Some(Jump { at: hole.from, to: hole.to, rebuild: false }),
            Mail::Codec(kind, at) => self.coding_changes(kind, at),
            Mail::Poke | Mail::Stop => {}
        }
    }

    /// From `at` on another pipeline is needed.
    fn coding_changes(&mut self, kind: StreamKind, at: i64) {
        match self.going {
            // What the seek led to is of the other codec already.
            Some(Going::Flushed(to, _)) if at <= to => {
                self.borders.set(kind, at);
                self.rebuild();
            }
            Some(Going::Waiting(_)) => {}
            _ => {
                self.borders.set(kind, at);
                // Pictures and sound mostly change together.
                let (from, to) = match self.jump {
                    Some(jump) if jump.rebuild && jump.at.abs_diff(at) < TOGETHER.as_nanos() as u64 => {
                        (jump.at.min(at), jump.to.max(at))
                    }
                    _ => (at, at),
                };
                self.jump = Some(Jump { at: from, to, rebuild: true });
            }
        }
    }

    /// Plays or holds, as is wanted, unless a seek is under way: that does it when it is done.
    fn follow_state(&mut self) {
        if self.going.is_some() {
            return;
        }
        let Some(graph) = self.graph.as_ref().filter(|graph| graph.is_prepared()) else { return };
        let result = if self.playing { graph.play() } else { graph.hold() };
        if let Err(error) = result {
            // The bus says why.
            tracing::debug!("the playback pipeline did not change its state: {error}");
        }
    }

    fn set_rate(&mut self, rate: f64) {
        if (rate - self.options.rate).abs() < f64::EPSILON {
            return;
        }
        self.options.rate = rate;
        let prepared = self.graph.as_ref().is_some_and(Graph::is_prepared);
        let here = match self.going {
            // It takes the new rate along.
            Some(Going::Waiting(_)) => None,
            Some(Going::Flushed(to, _)) => Some(time::duration(to)),
            None => self.view.position().filter(|_| prepared),
        };
        if let Some(to) = here {
            self.go(Wish { to, exact: true });
        }
    }

    /// Changes the rate without a break, where the pipeline runs.
    fn drift(&mut self, rate: f64) {
        let is_normal = |rate: f64| (rate - 1.0).abs() < 2.0 * (turn::STEADY - 1.0);
        if is_normal(rate) && is_normal(self.options.rate) {
            return;
        }
        let rate = if is_normal(rate) { turn::STEADY } else { rate };
        let graph = self.graph.as_ref().filter(|graph| self.going.is_none() && graph.is_prepared());
        match graph {
            Some(graph) if (rate - self.options.rate).abs() > f64::EPSILON => {
                self.options.rate = rate;
                graph.turn(rate);
            }
            Some(_) => {}
            // On the way to a place: that takes it along.
            None => self.set_rate(rate),
        }
    }

    fn apply_volume(&self) {
        if let Some(graph) = &self.graph {
            graph.set_volume(self.options.volume, self.options.muted);
        }
    }

    /// A wish of our own; the viewer's comes first.
    fn go(&mut self, wish: Wish) {
        self.mailbox.unless_wished(|| self.view.set_target(wish.to));
        self.begin(wish);
    }

    fn begin(&mut self, wish: Wish) {
        self.jump = None;
        self.end_came = false;
        self.going = Some(Going::Waiting(wish));
        // Feeders say when samples come: without them the wait would not end.
        if self.graph.is_none()
            && let Err(error) = self.build()
        {
            self.fail(format!("the playback pipeline could not be built anew: {error}"));
            return;
        }
        if let Some(graph) = self.graph.as_ref().filter(|graph| graph.is_prepared()) {
            // Until the samples are here the old picture stays.
            let _ = graph.hold();
        }
    }

    fn advance(&mut self) {
        match self.going {
            Some(Going::Waiting(wish)) => {
                if let Some(start) = self.start_of(wish) {
                    self.flush_to(start);
                }
            }
            Some(Going::Flushed(position, _)) => {
                if self.graph.as_ref().is_some_and(Graph::is_ready) {
                    self.arrive(position);
                }
            }
            None => self.jump(false),
        }
    }

    /// Where playback starts (nanoseconds), once its samples are here.
    fn start_of(&self, wish: Wish) -> Option<i64> {
        let main = self.tracks.video.as_ref().or(self.tracks.audio.as_ref())?;
        let position = time::nanoseconds(wish.to);
        let start = |buffer: &TrackBuffer| {
            let exact = buffer.start_from(position)?;
            if wish.exact {
                return Some(exact);
            }
            Some(buffer.key_before(position).map_or(exact, |key| key.max(0)))
        };
        main.look(start)
    }

    fn flush_to(&mut self, position: i64) {
        self.mailbox.forget(gst::MessageType::Eos);
        self.mailbox.forget_jumps();
        self.mailbox.unless_wished(|| self.view.set_target(time::duration(position)));
        self.going = Some(Going::Flushed(position, Instant::now()));
        let Some(graph) = &mut self.graph else { return };
        if let Err(error) = graph.seek(position, self.options.rate) {
            self.fail(format!("the seek failed: {error}"));
        }
    }

    fn arrive(&mut self, position: i64) {
        self.going = None;
        let position = time::duration(position);
        self.mailbox.unless_wished(|| self.view.arrive(position));
        self.screen.tell(Event::Seeked { position });
        self.follow_state();
        if std::mem::take(&mut self.end_came) {
            self.screen.tell(Event::Ended);
        }
    }

    /// Makes the jump when it is due, or `now`.
    fn jump(&mut self, now: bool) {
        let Some(Jump { at, to, rebuild }) = self.jump else { return };
        let near = at.saturating_sub(time::nanoseconds(NEAR));
        if !now && self.view.position().is_none_or(|now| time::nanoseconds(now) < near) {
            return;
        }
        if rebuild {
            self.drop_graph();
        } else {
            let kind = if self.tracks.video.is_some() { StreamKind::Video } else { StreamKind::Audio };
            self.tell_skipped(kind, Hole { from: at, to });
        }
        self.go(Wish { to: time::duration(to), exact: true });
        self.advance();
    }

    fn tell_skipped(&self, kind: StreamKind, hole: Hole) {
        let (from, to) = (time::duration(hole.from), time::duration(hole.to));
        self.screen.tell(Event::Skipped { kind, from, to });
    }

    fn bus(&mut self, message: &gst::Message) {
        let Some(graph) = &self.graph else { return };
        let place = graph.place(message.src());
        match message.view() {
            // All that was before the jump was played.
            gst::MessageView::Eos(_) if self.jump.is_some() && self.going.is_none() => self.jump(true),
            gst::MessageView::Eos(_) if graph.at_end() => {
                if self.going.is_some() {
                    self.end_came = true;
                } else {
                    self.screen.tell(Event::Ended);
                }
            }
            gst::MessageView::ClockLost(_) if self.playing && self.going.is_none() => {
                // A new clock is chosen on the way up.
                let _ = graph.hold();
                self.follow_state();
            }
            gst::MessageView::Latency(_) => graph.recalculate_latency(),
            gst::MessageView::Element(element) => {
                if let Some(structure) = element.structure() {
                    self.missing_decoder(place, structure);
                }
            }
            gst::MessageView::Error(error) => {
                let detail = error.debug().map(|debug| debug.to_string()).unwrap_or_default();
                tracing::debug!("playback pipeline: {}: {detail}", error.error());
                self.failed(place, error.error().to_string());
            }
            _ => {}
        }
    }

    fn missing_decoder(&mut self, place: Place, structure: &gst::StructureRef) {
        let kind = match place {
            Place::Decoding(kind) => kind,
            Place::AudioOutput | Place::Elsewhere => StreamKind::Video,
        };
        let codec = structure
            .get::<gst::Caps>("detail")
            .map(|caps| codec_name(&caps))
            .or_else(|_| structure.get::<String>("name"))
            .unwrap_or_else(|_| "an unknown codec".to_owned());
        let package = decoder_package(&codec);
        let message = format!(
            "no decoder for {codec} is installed: install the package {package}, then open the stream again"
        );
        self.decoding_failed(kind, message, Some(codec));
    }

    fn failed(&mut self, place: Place, message: String) {
        match place {
            Place::AudioOutput if !self.silent => {
                self.silent = true;
                self.screen.tell(Event::AudioDeviceLost { message });
                self.rebuild();
            }
            Place::Decoding(StreamKind::Video) if self.give_up_hardware() => {
                tracing::warn!("a hardware decoder failed ({message}): decoding goes on in software");
                self.rebuild();
            }
            Place::Decoding(kind) => {
                let message = format!(
                    "decoding failed: {message}; the segment may be damaged, or the codec's profile not be supported"
                );
                self.decoding_failed(kind, message, None);
            }
            Place::AudioOutput | Place::Elsewhere => self.fail(message),
        }
    }

    fn give_up_hardware(&self) -> bool {
        let decoder = self.graph.as_ref().and_then(Graph::video_decoder);
        decoder.is_some_and(|decoder| decoders::give_up(&decoder))
    }

    /// Goes on at the same place with a new pipeline.
    fn rebuild(&mut self) {
        let position = self.view.position();
        let going = self.going;
        self.drop_graph();
        match (going, position) {
            (Some(Going::Waiting(wish)), _) => self.go(wish),
            (_, Some(to)) => self.go(Wish { to, exact: true }),
            (_, None) => {}
        }
    }

    fn decoding_failed(&mut self, kind: StreamKind, message: String, missing: Option<String>) {
        let rung =
            (kind == StreamKind::Video).then(|| self.screen.tags.latest().map(|origin| origin.tag.rung));
        self.drop_graph();
        self.screen.tell(Event::DecodeError { kind, message, missing, rung: rung.flatten() });
    }

    fn fail(&mut self, message: String) {
        self.drop_graph();
        self.screen.tell(Event::Failed { message });
    }

    fn build(&mut self) -> Result<(), PlaybackError> {
        let graph = Graph::build(&Plan {
            options: &self.options,
            tracks: &self.tracks,
            screen: &self.screen,
            colour: &self.colour,
            mailbox: &self.mailbox,
            silent: self.silent,
            borders: self.borders,
        })?;
        graph.set_volume(self.options.volume, self.options.muted);
        self.view.attach(graph.sink(), self.tracks.video.is_some(), graph.late_in_decoder());
        self.graph = Some(graph);
        Ok(())
    }

    fn drop_graph(&mut self) {
        self.view.detach();
        self.graph = None;
        self.mailbox.forget_pipeline();
        self.going = None;
        self.jump = None;
        let Some(position) = self.view.position() else { return };
        self.mailbox.unless_wished(|| self.view.arrive(position));
        // Nobody reads now: what was read may be replaced.
        for track in self.tracks.video.iter().chain(&self.tracks.audio) {
            track.seek(time::nanoseconds(position));
        }
    }
}
