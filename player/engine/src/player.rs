//! The handle that a window or a command line holds.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use url::Url;
use weir_abr::{
    Bitrate,
    planner::{Caps, Config, QualityChoice},
};

use crate::{
    playback::VideoFrame,
    session::{self, SeekWish, Shared},
    subtitles::Cue,
};

/// How to play.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The brain's settings.
    pub planner: Config,
    /// Quality at the start.
    pub quality: QualityChoice,
    /// Limits at the start.
    pub caps: Caps,
    /// Sound at the start, by its language (`en`, `pt-BR`, `deu`) or its name; otherwise, and where there is no such, the
    /// stream's own default.
    pub sound: Option<String>,
    /// Subtitles at the start.
    pub subtitles: SubtitleChoice,
    /// No window and no sound card: decode, and let sinks keep time.
    pub headless: bool,
    /// Write the session's record here, one JSON object a line; `-` is standard output.
    pub events: Option<PathBuf>,
    /// Start here instead of at the beginning or the live edge.
    pub start_at: Option<Duration>,
    /// Stop after so much wall-clock time.
    pub stop_after: Option<Duration>,
    /// Write `sync` entries: flashes and beeps of the test card at the sinks.
    pub measure_sync: bool,
    /// Where estimates are kept between sessions; `None` keeps none.
    pub state_dir: Option<PathBuf>,
    /// Give RGBA frames of about this height at most instead of planes (software GL).
    pub rgba_height: Option<u32>,
}

/// Which subtitles are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SubtitleChoice {
    /// What the stream shows by default; else what is forced in the language that is heard.
    #[default]
    Auto,
    /// None.
    Off,
    /// Those in this language (`en`, `pt-BR`, `deu`), or of this name; none where there are none.
    Language(String),
    /// A track of [`SubtitlesView::tracks`], by its place.
    Track(usize),
}

/// A track of subtitles as a menu shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubtitleTrackView {
    /// For people.
    pub label: String,
    /// BCP 47, where given.
    pub language: Option<String>,
    /// Only what is said in another language than the sound's.
    pub forced: bool,
    /// Why it cannot be shown.
    pub obstacle: Option<String>,
}

/// Subtitles as the window shows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubtitlesView {
    /// What there is.
    pub tracks: Vec<SubtitleTrackView>,
    /// What is shown.
    pub chosen: Option<usize>,
    /// Cues of the chosen track from a little before to some seconds after the position, by their start: those that
    /// [are](Cue::is_at) at the position of the picture on screen are to be drawn.
    pub cues: Arc<Vec<Arc<Cue>>>,
}

/// A choice of sound as a menu shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SoundTrackView {
    /// For people.
    pub label: String,
    /// BCP 47, where given.
    pub language: Option<String>,
}

/// What there is to hear, where it comes apart from the pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SoundsView {
    /// What there is.
    pub tracks: Vec<SoundTrackView>,
    /// What is heard, or will be as soon as it is there.
    pub chosen: Option<usize>,
}

/// What of an image is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crop {
    /// All of it.
    Whole,
    /// A rectangle in pixels.
    Pixels {
        /// Left edge.
        x: u32,
        /// Upper edge.
        y: u32,
        /// Greater than 0.
        width: u32,
        /// Greater than 0.
        height: u32,
    },
    /// One of equal parts.
    Tile {
        /// From the left, below `columns`.
        column: u32,
        /// From the top, below `rows`.
        row: u32,
        /// At least 1.
        columns: u32,
        /// At least 1.
        rows: u32,
    },
}

/// An image of small pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThumbnailImage {
    /// A JPEG, PNG or other image, as the server sent it: check it.
    Encoded(bytes::Bytes),
    /// A key frame that was decoded here.
    Rgba {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// R, G, B, A for each pixel, row by row, without gaps.
        bytes: bytes::Bytes,
    },
}

/// A small picture of a place on the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// It stands for the time from here.
    pub start: Duration,
    /// Up to here.
    pub end: Duration,
    /// What there is to see.
    pub image: ThumbnailImage,
    /// The same for the same image.
    pub id: String,
    /// The part of `image`.
    pub crop: Crop,
}

/// What playback is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The manifest is being loaded.
    #[default]
    Loading,
    /// Filling the buffer before the first picture.
    Starting,
    /// Pictures move.
    Playing,
    /// The viewer paused.
    Paused,
    /// The buffer ran dry.
    Stalled,
    /// On the way to another place.
    Seeking,
    /// The end was reached.
    Ended,
    /// Nothing more can be played; see [`Snapshot::error`].
    Failed,
}

/// A stretch of buffered media.
#[derive(Clone, Debug, PartialEq)]
pub struct BufferedRange {
    /// From.
    pub start: Duration,
    /// To.
    pub end: Duration,
    /// Rung of it on the ladder of [`Snapshot::video`].
    pub rung: usize,
}

/// A rung as a menu shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct QualityView {
    /// "720p".
    pub label: String,
    /// Average bitrate.
    pub bitrate: Bitrate,
    /// Lines, where known.
    pub height: Option<u32>,
}

/// A track as the window shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrackView {
    /// Its rungs, lowest first.
    pub rungs: Vec<QualityView>,
    /// Rung of the picture on screen.
    pub showing: Option<usize>,
    /// Rung being fetched.
    pub loading: Option<usize>,
    /// What is buffered.
    pub buffered: Vec<BufferedRange>,
}

/// The last decision, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionView {
    /// When, since the session's start.
    pub at: Duration,
    /// Rule that won.
    pub rule: String,
    /// One sentence.
    pub reason: String,
}

/// One sample of the live plots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlotPoint {
    /// When, since the session's start.
    pub at: Duration,
    /// Expected throughput.
    pub estimate: Option<Bitrate>,
    /// Throughput measured over the last tick; zero when nothing was asked for.
    pub throughput: Bitrate,
    /// Bitrate of the rung on screen.
    pub playing: Option<Bitrate>,
    /// Bitrate of the rung being fetched.
    pub loading: Option<Bitrate>,
    /// Buffer level.
    pub buffer: Duration,
    /// A stall was going on.
    pub stalled: bool,
}

/// What went wrong, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorView {
    /// Short and stable: `manifest_status`, `server_unreachable`, `codec_unplayable` ...
    pub code: String,
    /// What failed and where.
    pub what: String,
    /// What to do.
    pub advice: String,
}

/// Everything that a window shows, taken at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What playback is doing.
    pub state: State,
    /// Where it is.
    pub position: Duration,
    /// How long the presentation is, once known; while it grows, how long it is so far.
    pub duration: Option<Duration>,
    /// It still grows at its end, but is no live stream: it is played from its beginning.
    pub growing: bool,
    /// For a live stream: the stretch that can be played now.
    pub live_window: Option<(Duration, Duration)>,
    /// For a live stream: how long ago what is shown was made, by the stream's own clock; where it tells none, the distance
    /// to the newest media that can be had.
    pub latency: Option<Duration>,
    /// For a live stream: the distance to its newest media at which it is watched.
    pub live_target: Option<Duration>,
    /// Buffer level of the track that has least.
    pub buffer: Duration,
    /// The main track.
    pub video: TrackView,
    /// Sound of its own, where there is any.
    pub audio: Option<TrackView>,
    /// What sound can be chosen.
    pub sounds: SoundsView,
    /// Subtitles.
    pub subtitles: SubtitlesView,
    /// The small picture that was [asked for](Player::want_thumbnail), or the last one while that is on its way.
    pub thumbnail: Option<Arc<Thumbnail>>,
    /// What the viewer chose.
    pub quality: QualityChoice,
    /// Limits in force.
    pub caps: Caps,
    /// 0.0 to 1.0.
    pub volume: f64,
    /// Silenced.
    pub muted: bool,
    /// 1.0 is normal.
    pub rate: f64,
    /// Expected throughput.
    pub estimate: Option<Bitrate>,
    /// The last decision.
    pub decision: Option<DecisionView>,
    /// The last five minutes, oldest first, four a second.
    pub plot: Arc<VecDeque<PlotPoint>>,
    /// Frames shown and frames that came too late.
    pub frames: (u64, u64),
    /// Stalls so far, and their time together.
    pub stalls: (u32, Duration),
    /// Switches of the picture's rung so far.
    pub switches: u32,
    /// Size of the picture on screen.
    pub picture: Option<(u32, u32)>,
    /// Codecs, as the manifest or the demuxer names them.
    pub codecs: String,
    /// Where a steered stream's media come from, by the name that the stream gives it.
    pub pathway: Option<String>,
    /// A fault that is being dealt with.
    pub warning: Option<ErrorView>,
    /// Why nothing more can be played.
    pub error: Option<ErrorView>,
}

/// One session. Dropping it ends the session and waits until its record is complete.
#[derive(Debug)]
pub struct Player {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    headless: bool,
}

/// Starts to play `url`. `wake` is called (from any thread) when there is a new frame or something to show changed.
///
/// A session without a window ends by itself: at the end, on an error, after [`Options::stop_after`], and on SIGINT or
/// SIGTERM. With a window it stays for a seek back until the [`Player`] is dropped or [stopped](Player::stop).
pub fn open(url: Url, options: Options, wake: Arc<dyn Fn() + Send + Sync>) -> Player {
    let first = Snapshot {
        quality: options.quality,
        caps: options.caps,
        volume: 1.0,
        rate: 1.0,
        ..Snapshot::default()
    };
    let headless = options.headless;
    let shared = Arc::new(Shared::new(wake, first));
    let thread = session::start(url, options, &shared);
    Player { shared, thread, headless }
}

impl Player {
    /// Goes on playing; after the end, from the beginning.
    pub fn play(&self) {
        if self.shared.snapshot().state == State::Ended {
            self.seek(Duration::ZERO, true);
        }
        self.shared.wishes.put(|wishes| wishes.paused = Some(false));
    }

    /// Holds.
    pub fn pause(&self) {
        self.shared.wishes.put(|wishes| wishes.paused = Some(true));
    }

    /// Goes to a place; wishes that come faster than they can be met are merged. `exact` is false while dragging.
    pub fn seek(&self, to: Duration, exact: bool) {
        let at = Instant::now();
        self.shared.wishes.put(|wishes| wishes.seek = Some(SeekWish { to, exact, at }));
    }

    /// 0.25 to 4.0, else brought into that range; the pitch stays.
    pub fn set_rate(&self, rate: f64) {
        if rate.is_finite() {
            self.shared.wishes.put(|wishes| wishes.rate = Some(rate.clamp(0.25, 4.0)));
        }
    }

    /// 0.0 to 1.0, else brought into that range.
    pub fn set_volume(&self, volume: f64) {
        if volume.is_finite() {
            self.shared.wishes.put(|wishes| wishes.volume = Some(volume.clamp(0.0, 1.0)));
        }
    }

    /// Silence without losing the volume.
    pub fn set_muted(&self, muted: bool) {
        self.shared.wishes.put(|wishes| wishes.muted = Some(muted));
    }

    /// Auto, or one rung.
    pub fn set_quality(&self, choice: QualityChoice) {
        self.shared.wishes.put(|wishes| wishes.quality = Some(choice));
    }

    /// Limits for Auto.
    pub fn set_caps(&self, caps: Caps) {
        self.shared.wishes.put(|wishes| wishes.caps = Some(caps));
    }

    /// Plays another sound of [`SoundsView::tracks`], by its place, from where playback is.
    pub fn set_sound(&self, track: usize) {
        self.shared.wishes.put(|wishes| wishes.sound = Some(track));
    }

    /// Shows other subtitles, or none.
    pub fn set_subtitles(&self, choice: SubtitleChoice) {
        self.shared.wishes.put(|wishes| wishes.subtitles = Some(choice));
    }

    /// Asks for the small picture of a place, which [`Snapshot::thumbnail`] has by and by where the stream has such; `None`
    /// when none is wanted any more.
    pub fn want_thumbnail(&self, at: Option<Duration>) {
        self.shared.wishes.put(|wishes| wishes.thumbnail = Some(at));
    }

    /// For software GL: give RGBA frames of at most this height from now on.
    pub fn set_rgba_height(&self, height: Option<u32>) {
        self.shared.wishes.put(|wishes| wishes.rgba_height = Some(height));
    }

    /// Everything to show, as of now; cheap enough to call for each drawn frame.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// The newest frame that is due, when it was not taken before.
    pub fn take_frame(&self) -> Option<VideoFrame> {
        self.shared.take_frame()
    }

    /// Ends the session; its record gets its summary. [`Player::wait`] says when that is done.
    pub fn stop(&self) {
        self.shared.wishes.put(|wishes| wishes.stop = true);
    }

    /// Blocks until the session ended, failed, was stopped or reached `stop_after`, then gives its final state. Without
    /// a window the record is complete by then.
    pub fn wait(&self) -> Snapshot {
        self.shared.wait(self.headless);
        self.snapshot()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the session's thread ended in a panic");
        }
    }
}
