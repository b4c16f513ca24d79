//! The window over a made-up session, for looking at it without a stream:
//! `cargo run -p weir --example look -- --scene playing --window-size 960x540`

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use url::Url;
use weir_abr::{
    Bitrate, RungId,
    planner::{Caps, QualityChoice},
};
use weir_app::{
    session::{Session, Wake},
    settings::{Look, Settings},
    text,
    ui::{self, Launch},
    video::{
        PainterChoice, Picture,
        made::{BARS, Made},
    },
};
use weir_engine::{
    BufferedRange, DecisionView, ErrorView, PlotPoint, QualityView, Snapshot, SoundsView, State,
    SubtitleChoice, SubtitleTrackView, SubtitlesView, TrackView,
    playback::{Matrix, PixelFormat},
    subtitles::{Align, Cue, Line, Placement, Span},
};

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Scene {
    Playing,
    Loading,
    Stalled,
    Warned,
    Failed,
    Live,
    Bars,
    Subtitles,
}

#[derive(Parser)]
struct Args {
    #[arg(long, value_enum, default_value = "playing")]
    scene: Scene,
    #[arg(long, default_value = "960x540")]
    window_size: String,
    #[arg(long)]
    light: bool,
    #[arg(long)]
    statistics: bool,
    #[arg(long, value_enum, default_value_t)]
    painter: PainterChoice,
    #[arg(long)]
    screenshot: Option<PathBuf>,
    #[arg(long, value_parser = text::parse_time, default_value = "2")]
    after: Duration,
    #[arg(long, default_value = "A rather long title of a stream that does not fit into a small window")]
    title: String,
    /// Format of the bars: nv12, i420, p010, i42010, rgba.
    #[arg(long, default_value = "nv12")]
    format: String,
    #[arg(long)]
    bt601: bool,
    #[arg(long)]
    full_range: bool,
}

fn format(name: &str) -> PixelFormat {
    match name {
        "i420" => PixelFormat::I420,
        "p010" => PixelFormat::P010,
        "i42010" => PixelFormat::I420Ten,
        "rgba" => PixelFormat::Rgba,
        _ => PixelFormat::Nv12,
    }
}

struct Wishes {
    rgba: bool,
    paused: bool,
    offset: f64,
    rate: f64,
    volume: f64,
    muted: bool,
    quality: QualityChoice,
    caps: Caps,
    subtitles: bool,
}

struct Fake {
    scene: Scene,
    format: PixelFormat,
    matrix: Matrix,
    full_range: bool,
    start: Instant,
    wishes: Mutex<Wishes>,
    taken: Mutex<u64>,
    running: Arc<AtomicBool>,
}

const LENGTH: f64 = 754.0;

impl Fake {
    fn open(args: &Args, wake: Wake) -> Self {
        let running = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&running);
        std::thread::spawn(move || {
            while flag.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                wake();
            }
        });
        Self {
            scene: args.scene,
            format: format(&args.format),
            matrix: if args.bt601 { Matrix::Bt601 } else { Matrix::Bt709 },
            full_range: args.full_range,
            start: Instant::now(),
            wishes: Mutex::new(Wishes {
                rgba: false,
                paused: false,
                offset: 132.0,
                rate: 1.0,
                volume: 1.0,
                muted: false,
                quality: QualityChoice::Auto,
                caps: Caps::default(),
                subtitles: args.scene == Scene::Subtitles,
            }),
            taken: Mutex::new(0),
            running,
        }
    }

    fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.wishes.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn now(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn position(&self, wishes: &Wishes) -> f64 {
        wishes.offset + if wishes.paused { 0.0 } else { self.now() * wishes.rate }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.running.store(false, Ordering::Relaxed);
    }
}

fn seconds(value: f64) -> Duration {
    Duration::from_secs_f64(value.max(0.0))
}

impl Session for Fake {
    fn play(&self) {
        self.wish(|w| w.paused = false);
    }
    fn pause(&self) {
        let at = self.position(&self.wishes.lock().unwrap_or_else(PoisonError::into_inner));
        self.wish(|w| {
            w.paused = true;
            w.offset = at;
        });
    }
    fn seek(&self, to: Duration, _exact: bool) {
        let now = self.now();
        self.wish(|w| w.offset = to.as_secs_f64() - if w.paused { 0.0 } else { now * w.rate });
    }
    fn set_rate(&self, rate: f64) {
        self.wish(|w| w.rate = rate);
    }
    fn set_volume(&self, volume: f64) {
        self.wish(|w| w.volume = volume);
    }
    fn set_muted(&self, muted: bool) {
        self.wish(|w| w.muted = muted);
    }
    fn set_quality(&self, choice: QualityChoice) {
        self.wish(|w| w.quality = choice);
    }
    fn set_caps(&self, caps: Caps) {
        self.wish(|w| w.caps = caps);
    }
    fn set_subtitles(&self, choice: SubtitleChoice) {
        self.wish(|w| w.subtitles = matches!(choice, SubtitleChoice::Track(_)));
    }
    fn set_sound(&self, _track: usize) {}

    fn want_thumbnail(&self, _at: Option<Duration>) {}
    fn set_rgba_height(&self, height: Option<u32>) {
        self.wish(|w| w.rgba = height.is_some());
    }

    fn snapshot(&self) -> Snapshot {
        let w = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        let position = self.position(&w);
        let rung = |label: &str, kbps: f64, height| QualityView {
            label: label.to_owned(),
            bitrate: Bitrate::from_kbps(kbps),
            height: Some(height),
        };
        let rungs = vec![
            rung("240p", 300.0, 240),
            rung("360p", 750.0, 360),
            rung("480p", 1200.0, 480),
            rung("720p", 2800.0, 720),
            rung("1080p", 5000.0, 1080),
        ];
        let range = |from: f64, to: f64, rung| BufferedRange { start: seconds(from), end: seconds(to), rung };
        let buffered = vec![
            range(position - 40.0, position - 16.0, 0),
            range(position - 16.0, position - 4.0, 2),
            range(position - 4.0, position + 12.0, 3),
            range(position + 12.0, position + 26.0, 4),
            range(520.0, 600.0, 1),
        ];
        let at = self.now() + 90.0;
        let plot: VecDeque<PlotPoint> = (0..360)
            .map(|n| {
                let t = at - f64::from(360 - n) * 0.25;
                let wave = 4200.0 + 1800.0 * (t / 7.0).sin() + 900.0 * (t * 1.3).sin();
                let playing = if t % 40.0 < 14.0 { 1200.0 } else { 2800.0 };
                PlotPoint {
                    at: seconds(t),
                    estimate: Some(Bitrate::from_kbps(3600.0 + 1300.0 * ((t - 3.0) / 7.0).sin())),
                    throughput: Bitrate::from_kbps(wave.max(0.0)),
                    playing: Some(Bitrate::from_kbps(playing)),
                    loading: Some(Bitrate::from_kbps(if t % 40.0 < 8.0 { 1200.0 } else { 2800.0 })),
                    buffer: seconds(16.0 + 9.0 * (t / 9.0).sin()),
                    stalled: (30.0..32.5).contains(&(t % 60.0)),
                }
            })
            .collect();
        let (state, warning, error) = match self.scene {
            Scene::Loading => (State::Loading, None, None),
            Scene::Stalled => (State::Stalled, None, None),
            Scene::Failed => {
                let error = ErrorView {
                    code: "manifest_status".to_owned(),
                    what: "The server at 127.0.0.1:8080 answered 404 (not found) to /stream/nothing/hls/master.m3u8.".to_owned(),
                    advice: "Check the address; the stream may have been deleted or renamed.".to_owned(),
                };
                (State::Failed, None, Some(error))
            }
            Scene::Warned => {
                let warning = ErrorView {
                    code: "segment_status".to_owned(),
                    what: "A segment could not be had (503, third try); a lower quality is loaded instead."
                        .to_owned(),
                    advice: String::new(),
                };
                (State::Playing, Some(warning), None)
            }
            _ if w.paused => (State::Paused, None, None),
            _ => (State::Playing, None, None),
        };
        let loading = self.scene == Scene::Loading;
        Snapshot {
            state,
            position: seconds(if loading { 0.0 } else { position }),
            duration: (!loading && self.scene != Scene::Live).then(|| seconds(LENGTH)),
            growing: false,
            live_window: (self.scene == Scene::Live).then(|| (seconds(position - 590.0), seconds(position + 1.5))),
            latency: (self.scene == Scene::Live).then(|| Duration::from_millis(1980)),
            live_target: (self.scene == Scene::Live).then(|| Duration::from_millis(1500)),
            buffer: seconds(26.0),
            video: if loading {
                TrackView::default()
            } else {
                let showing = match w.quality {
                    QualityChoice::Manual(RungId(rung)) => rung,
                    QualityChoice::Auto => 3,
                };
                TrackView { rungs, showing: Some(showing), loading: Some(4), buffered }
            },
            audio: None,
            subtitles: SubtitlesView {
                tracks: vec![
                    SubtitleTrackView { label: "English".into(), language: Some("en".into()), ..SubtitleTrackView::default() },
                    SubtitleTrackView { label: "עברית".into(), language: Some("he".into()), ..SubtitleTrackView::default() },
                    SubtitleTrackView {
                        label: "Pictures".into(),
                        obstacle: Some("its text is pictures (IMSC image profile)".into()),
                        ..SubtitleTrackView::default()
                    },
                ],
                chosen: w.subtitles.then_some(0),
                cues: Arc::new(if w.subtitles { cues() } else { Vec::new() }),
            },
            sounds: SoundsView::default(),
            thumbnail: None,
            quality: w.quality,
            caps: w.caps,
            volume: w.volume,
            muted: w.muted,
            rate: w.rate,
            estimate: Some(Bitrate::from_kbps(4230.0)),
            decision: (!loading).then(|| DecisionView {
                at: seconds(at - 1.2),
                rule: "weir".to_owned(),
                reason: "1080p: 4.2 Mbit/s expected and 26 s in the buffer carry 5.0 Mbit/s for the next four segments.".to_owned(),
            }),
            plot: Arc::new(if loading { VecDeque::new() } else { plot }),
            frames: (3140, 4),
            stalls: (1, Duration::from_millis(2480)),
            switches: 3,
            picture: (!loading).then_some((1280, 720)),
            codecs: if loading { String::new() } else { "avc1.64001f, mp4a.40.2".to_owned() },
            pathway: None,
            warning,
            error,
        }
    }

    fn take_picture(&self) -> Option<Picture> {
        if self.scene == Scene::Loading {
            return None;
        }
        let serial = (self.now() * 10.0) as u64 + 1;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if *taken == serial {
            return None;
        }
        *taken = serial;
        let rgba =
            self.wishes.lock().unwrap_or_else(PoisonError::into_inner).rgba && self.scene != Scene::Bars;
        let format = if rgba { PixelFormat::Rgba } else { self.format };
        let mut made = if self.scene == Scene::Bars {
            Made::bars(format, 640, 360, self.matrix, self.full_range)
        } else {
            let shift = serial as usize * 6 % 640;
            Made::paint(format, 640, 360, self.matrix, self.full_range, |x, y| {
                if y > 300 {
                    BARS[(x + shift) % 640 * 8 / 640].map(|v| v / 2 + 40)
                } else {
                    let glow = 60 + (y / 3) as u8;
                    [glow / 2, glow, 90 + (x * 100 / 640) as u8]
                }
            })
        };
        made.serial = serial;
        Some(Picture::Made(made))
    }
}

/// Subtitles in many ways.
fn cues() -> Vec<Arc<Cue>> {
    let span = |text: &str| Span { text: text.into(), ..Span::default() };
    let cue = |spans: Vec<Span>, place: Placement| {
        Arc::new(Cue { start: Duration::ZERO, end: Duration::from_secs(3600), spans, place })
    };
    let place = Placement::default();
    vec![
        cue(vec![span("A line in the middle,\nand "), Span { italic: true, ..span("one below it") }], place),
        cue(vec![span("שלום עולם, בשנת 1984 (אז)! مرحبا بالعالم 🎬")], place),
        cue(
            vec![Span { colour: Some([255, 255, 0]), bold: true, ..span("- Yellow, at the left") }],
            Placement { align: Align::Start, position: Some(0.1), line: Some(Line::Part(0.3)), ..place },
        ),
        cue(
            vec![Span { background: Some([0, 0, 160]), ..span("At the top") }],
            Placement { line: Some(Line::Number(0)), ..place },
        ),
    ]
}

#[expect(clippy::expect_used, reason = "an example")]
fn main() {
    let args = Args::parse();
    let (width, height) = args.window_size.split_once('x').expect("WxH");
    let launch = Launch {
        open: Some((
            Url::parse("http://127.0.0.1:8080/stream/look/hls/master.m3u8").expect("valid"),
            args.title.clone(),
        )),
        size: Some((width.parse().expect("number"), height.parse().expect("number"))),
        painter: args.painter,
        screenshot: args.screenshot.clone().map(|file| (file, args.after)),
        duration: args.screenshot.is_some().then(|| args.after + Duration::from_secs(2)),
        ..Launch::default()
    };
    let settings = Settings {
        look: if args.light { Look::Light } else { Look::Dark },
        statistics: args.statistics,
        ..Settings::default()
    };
    let opener =
        Box::new(move |_url, _options, wake| -> Box<dyn Session> { Box::new(Fake::open(&args, wake)) });
    if let Err(error) = ui::run(launch, settings, None, opener) {
        tracing::error!("{error:#}");
        std::process::exit(1);
    }
}
