//! The loop that feeds the brain real events and carries its commands out.
//!
//! One task owns all state. Downloads run beside it on the runtime's threads, demuxers on threads of their own, the
//! pipeline on GStreamer's; all of them reach it through bounded channels, and it never waits for any of them.

mod captions;
mod catalog;
mod commands;
mod edge;
mod input;
mod lists;
mod media;
mod playing;
mod remember;
mod seeking;
mod shared;
mod sound;
mod steering;
mod stop;
mod subtitles;
mod thumbnails;
mod timeline;
mod transfers;
mod trouble;
mod units;
mod view;
mod wishes;

use std::{
    collections::VecDeque,
    future::pending,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{
    runtime,
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep_until},
};
use url::Url;
use weir_abr::{
    planner::{Caps, Event, Planner, QualityChoice},
    record,
};

use catalog::Catalog;
use input::Input;
use lists::Lists;
use media::Media;
use playing::Playing;
use remember::Remembered;
use seeking::Seeking;
use sound::Sounds;
use steering::Steering;
use subtitles::Subtitles;
use thumbnails::Thumbnails;
use transfers::Transfers;
use view::View;

pub(crate) use shared::Shared;
pub(crate) use wishes::SeekWish;

use crate::{
    log::{Recorder, round, seconds},
    net::{Http, Limits, SegmentFetcher},
    playback,
    player::{ErrorView, Options, Snapshot, State},
};

/// The session looks at the pipeline this often; every second time it writes the position down.
const TICK: Duration = Duration::from_millis(50);

/// Played media that is kept for a jump back.
const KEEP_BEHIND: Duration = Duration::from_secs(30);

/// Starts a session in a thread of its own.
pub(crate) fn start(url: Url, options: Options, shared: &Arc<Shared>) -> Option<JoinHandle<()>> {
    let for_thread = shared.clone();
    let run = move || {
        let shared = for_thread;
        if let Err(error) = run(url, options, &shared) {
            tracing::error!(code = error.code, what = error.what, "the session could not start");
            let snapshot = Snapshot { state: State::Failed, error: Some(error), ..shared.snapshot() };
            shared.publish(snapshot);
        }
        shared.close();
    };
    match thread::Builder::new().name("weir-session".to_owned()).spawn(run) {
        Ok(thread) => Some(thread),
        Err(error) => {
            let what = format!("starting the session: {error}");
            let error = trouble::view("threads", what, "Close other programs, then try again.");
            let snapshot = Snapshot { state: State::Failed, error: Some(error), ..shared.snapshot() };
            shared.publish(snapshot);
            shared.close();
            None
        }
    }
}

fn run(url: Url, options: Options, shared: &Arc<Shared>) -> Result<(), ErrorView> {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("weir-net")
        .enable_all()
        .build()
        .map_err(|error| {
            trouble::view("threads", format!("starting the network threads: {error}"), "Try again.")
        })?;
    let (sender, inbox) = mpsc::channel(input::ROOM);
    let session = Session::new(url, options, shared.clone(), runtime.handle().clone(), sender)?;
    runtime.block_on(session.run(inbox));
    // A request that hangs must not hold the end up.
    runtime.shutdown_background();
    Ok(())
}

/// All state of one session.
struct Session {
    url: Url,
    host: String,
    options: Options,
    began: Instant,
    /// Time of the newest event: time does not go back, whatever order news arrives in.
    newest: Duration,
    shared: Arc<Shared>,
    runtime: runtime::Handle,
    inbox: mpsc::Sender<Input>,
    recorder: Recorder,
    planner: Planner,
    events: VecDeque<(Duration, Event)>,
    wake: Option<Duration>,
    http: Http,
    /// Where the manifest was found: other addresses in it are relative to that.
    http_base: Url,
    /// This machine's clock is so many seconds ahead of the stream's.
    clock_error: f64,
    fetcher: SegmentFetcher,
    remembered: Remembered,
    catalog: Option<Catalog>,
    lists: Lists,
    transfers: Transfers,
    media: Media,
    playing: Playing,
    seeking: Seeking,
    sounds: Sounds,
    steering: Steering,
    subtitles: Subtitles,
    thumbnails: Thumbnails,
    playback_events: Option<mpsc::Receiver<playback::Event>>,
    view: View,
    quality: QualityChoice,
    caps: Caps,
    volume: f64,
    muted: bool,
    rate: f64,
    rgba_height: Option<u32>,
    /// The viewer went back, or paused: being behind is what he wants.
    away: bool,
    /// This stall has asked for the edge.
    edge_asked: bool,
    ticks: u64,
    done: bool,
}

/// What woke the loop up.
enum Woken {
    Wishes,
    Input(Box<Input>),
    Playback(playback::Event),
    Tick,
    Brain,
    Stop,
}

impl Session {
    fn new(
        mut url: Url,
        options: Options,
        shared: Arc<Shared>,
        runtime: runtime::Handle,
        inbox: mpsc::Sender<Input>,
    ) -> Result<Self, ErrorView> {
        let recorder = Recorder::open(options.events.as_deref())
            .map_err(|error| trouble::view("record_unwritable", error.to_string(), "Give another path."))?;
        let planner = Planner::new(options.planner.clone()).map_err(|error| {
            trouble::view("controller_unknown", error.to_string(), "Name one of the known controllers.")
        })?;
        let mut http =
            Http::new(Limits::default()).map_err(|error| trouble::net("setting up HTTP", &error))?;
        http.open(&mut url);
        let host = url.host_str().map_or_else(String::new, |host| match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        });
        Ok(Self {
            host,
            http_base: url.clone(),
            clock_error: 0.0,
            url,
            began: Instant::now(),
            newest: Duration::ZERO,
            shared,
            runtime,
            recorder,
            planner,
            events: VecDeque::new(),
            wake: None,
            fetcher: SegmentFetcher::new(http.clone()),
            http,
            remembered: Remembered::load(options.state_dir.as_deref()),
            catalog: None,
            lists: Lists::default(),
            transfers: Transfers::new(),
            media: Media::new(inbox.clone()),
            inbox,
            playing: Playing::default(),
            seeking: Seeking::default(),
            sounds: Sounds::default(),
            steering: Steering::default(),
            subtitles: Subtitles::new(options.subtitles.clone()),
            thumbnails: Thumbnails::default(),
            playback_events: None,
            view: View::default(),
            quality: options.quality,
            caps: options.caps,
            volume: 1.0,
            muted: false,
            rate: 1.0,
            rgba_height: options.rgba_height,
            away: false,
            edge_asked: false,
            ticks: 0,
            done: false,
            options,
        })
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Input>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut stop = Box::pin(stop::stop(self.options.stop_after, self.options.headless));
        self.note_session();
        if let Some(start_at) = self.options.start_at {
            self.wish_seek(SeekWish { to: start_at, exact: true, at: self.began });
        }
        self.load_manifest();
        self.publish();
        while !self.done {
            let wake = self.wake.map(|at| self.began + at);
            let shared = self.shared.clone();
            let playback_events = &mut self.playback_events;
            let woken = tokio::select! {
                biased;
                () = &mut stop => Woken::Stop,
                () = shared.wishes.arrived.notified() => Woken::Wishes,
                event = next(playback_events) => Woken::Playback(event),
                Some(input) = inbox.recv() => Woken::Input(Box::new(input)),
                _ = ticks.tick() => Woken::Tick,
                () = until(wake) => Woken::Brain,
            };
            match woken {
                Woken::Stop => self.done = true,
                Woken::Wishes => self.take_wishes(),
                Woken::Playback(event) => self.playback_event(event),
                Woken::Input(input) => self.take_in(*input),
                Woken::Tick => self.tick(),
                Woken::Brain => {
                    self.wake = None;
                    self.feed(Event::Wake);
                }
            }
            self.think();
            if self.watch_edge() {
                self.think();
            }
            if self.has_news() {
                self.publish();
            }
        }
        self.close();
    }

    /// The record begins with what the session was told.
    fn note_session(&mut self) {
        let remembered = self.remembered.get(&self.host);
        self.note(record::Event::Session {
            url: self.url.to_string(),
            algorithm: self.options.planner.controller.clone(),
            max_buffer_s: seconds(self.options.planner.max_buffer),
            remembered_kbps: remembered.map(|(rate, _)| round(rate.kbps())),
            remembered_age_s: remembered.map(|(_, age)| seconds(age)),
        });
    }

    /// Time since the session's start.
    fn now(&self) -> Duration {
        self.began.elapsed().max(self.newest)
    }

    fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.began)
    }

    fn tick(&mut self) {
        self.ticks += 1;
        self.look_at_playback();
        self.watch_seek();
        self.lists_tick();
        if self.ticks.is_multiple_of(2) {
            if self.playing.visible && !self.playing.ended {
                let position = record::Event::Position {
                    pos_s: seconds(self.playing.position),
                    buffer_s: seconds(self.planner.buffer_level()),
                    height: self.playing.showing.map_or(0, |showing| showing.height),
                };
                self.note(position);
            }
            self.publish();
        }
        if self.ticks.is_multiple_of(4) {
            self.follow_steering();
            self.follow_subtitles();
            self.follow_thumbnails();
        }
        if self.ticks.is_multiple_of(5) {
            self.plot();
        }
        if self.ticks.is_multiple_of(20) {
            self.note_latency();
            self.tell_drops();
            self.evict();
        }
    }

    /// How far behind the picture at the sink is: by the wall clock where the stream tells it, and from the edge.
    pub(crate) fn latency(&self) -> Option<(Option<Duration>, Duration, Duration)> {
        let (edge, target) = self.planner.latency(self.now())?;
        let position = self.playing.position;
        let made = self.catalog.as_ref().and_then(|catalog| catalog.made_at(position));
        let behind = made.map(|made| self.manifest_now().unix.saturating_sub(made));
        Some((behind, edge, target))
    }

    fn note_latency(&mut self) {
        if !self.playing.visible || self.playing.paused || self.is_stalled() {
            return;
        }
        if let Some((behind, edge, target)) = self.latency() {
            self.note(record::Event::Latency {
                pos_s: seconds(self.playing.position),
                latency_s: behind.map(seconds),
                edge_s: seconds(edge),
                target_s: seconds(target),
            });
        }
    }

    /// Drops what was played a while ago, and tells the brain.
    fn evict(&mut self) {
        let Some(before) = self.playing.position.checked_sub(KEEP_BEHIND) else { return };
        for (track, last) in self.media.evict(before) {
            let end =
                self.catalog.as_ref().and_then(|catalog| catalog.times(track, last)).map(|(_, end)| end);
            self.feed(Event::Evicted(track, end.unwrap_or(before)));
        }
    }

    /// Writes an entry, as of now.
    fn note(&mut self, event: record::Event) {
        let now = self.now();
        self.note_at(now, event);
    }

    fn note_at(&mut self, at: Duration, event: record::Event) {
        self.recorder.note(at, event);
    }

    /// A fault that is being dealt with.
    fn note_trouble(&mut self, trouble: ErrorView) {
        tracing::warn!(code = trouble.code, what = trouble.what, "going on");
        self.note(record::Event::Error {
            fatal: false,
            code: trouble.code.clone(),
            reason: trouble.what.clone(),
        });
        self.view.changed |= self.view.warning.as_ref().is_none_or(|known| known.code != trouble.code);
        self.view.last_trouble = Some(trouble.clone());
        self.view.warning = Some(trouble);
    }

    /// Things work again.
    fn recovered(&mut self) {
        self.view.changed |= self.view.warning.take().is_some();
    }

    /// Playlists come again: that says nothing about segments.
    fn lists_recovered(&mut self) {
        let of_segments = ["http_status", "body_truncated", "segment_corrupt", "segment_unlisted"];
        if self.view.warning.as_ref().is_some_and(|warning| !of_segments.contains(&warning.code.as_str())) {
            self.recovered();
        }
    }

    /// Nothing more can be played.
    fn fail(&mut self, error: ErrorView) {
        if self.view.error.is_some() {
            return;
        }
        tracing::error!(code = error.code, what = error.what, "cannot go on");
        self.end_stall();
        self.note(record::Event::Error {
            fatal: true,
            code: error.code.clone(),
            reason: format!("{} {}", error.what, error.advice),
        });
        self.view.error = Some(error);
        self.view.warning = None;
        self.abandon_all();
        self.drive();
        self.done |= self.options.headless;
    }

    fn is_over(&self) -> bool {
        self.view.error.is_some()
    }

    /// Stops everything, and writes the last lines.
    fn close(mut self) {
        self.abandon_all();
        let now = self.now();
        if let Some(estimate) = self.planner.memory().map(|memory| memory.rate)
            && let Err(error) = self.remembered.put(&self.host, estimate)
        {
            tracing::warn!(%error, "the throughput could not be remembered");
        }
        self.publish();
        let counts = self.playing.counts;
        self.recorder.close(now, (counts.shown + counts.dropped, counts.dropped));
        // Waits for the pipeline's threads; the record is on disk by then.
        drop(self.shared.set_playback(None));
    }
}

async fn next(events: &mut Option<mpsc::Receiver<playback::Event>>) -> playback::Event {
    match events {
        Some(receiver) => match receiver.recv().await {
            Some(event) => event,
            None => pending().await,
        },
        None => pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}
