//! `weir play`.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use anyhow::anyhow;
use clap::{Args, builder::PossibleValuesParser};
use url::Url;
use weir_abr::{
    Bitrate, control,
    planner::{Caps, QualityChoice},
};
use weir_engine::{Options, Player, Snapshot, State, SubtitleChoice};

use super::window::{self, WindowArgs};
use crate::{
    address, session, settings, text,
    ui::{self, Launch},
};

/// Options of `weir play`.
#[derive(Args, Debug)]
pub(super) struct PlayArgs {
    /// Address of a stream (http or https), or a playlist or MPD in a folder.
    #[arg(value_name = "URL", value_parser = address::parse)]
    url: Url,
    /// Play at this quality instead of choosing automatically, e.g. 720p.
    #[arg(long, value_name = "QUALITY")]
    quality: Option<String>,
    /// Automatic quality stays below this bitrate, e.g. 3M or 750k.
    #[arg(long, value_name = "RATE", value_parser = text::parse_bitrate, allow_negative_numbers = true)]
    cap: Option<Bitrate>,
    /// Start here, e.g. 90 or 1:30.
    #[arg(long, value_name = "TIME", value_parser = text::parse_time, allow_negative_numbers = true)]
    start: Option<Duration>,
    /// Playback rate, 0.25 to 4.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<f64>,
    /// Play sound in this language or of this name, e.g. en, where the stream offers a choice.
    #[arg(long, value_name = "LANG")]
    sound: Option<String>,
    /// Show subtitles in this language or of this name, e.g. en; `off` for none. Otherwise the stream's own default.
    #[arg(long, value_name = "LANG|off")]
    subtitles: Option<String>,
    /// Volume in percent, 0 to 100.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100), allow_negative_numbers = true)]
    volume: Option<u8>,
    /// Who chooses the quality.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(control::NAMES))]
    algorithm: Option<String>,
    /// Hold at most so many seconds ahead, 1 to 3600.
    #[arg(long, value_name = "SECONDS", value_parser = max_buffer, allow_negative_numbers = true)]
    max_buffer: Option<Duration>,
    /// Stop after so much time.
    #[arg(long, value_name = "TIME", value_parser = text::parse_time)]
    duration: Option<Duration>,
    /// Write what happens to FILE, one JSON object a line; `-` is standard output. See docs/events.md.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Play without a display and without a sound card, at real speed.
    #[arg(long, conflicts_with_all = ["fullscreen", "window_size", "painter", "screenshot"])]
    headless: bool,
    /// Measure how well sound and picture of the test card agree.
    #[arg(long)]
    measure_sync: bool,
    /// Fill the screen.
    #[arg(long)]
    fullscreen: bool,
    #[command(flatten)]
    window: WindowArgs,
}

fn max_buffer(text: &str) -> Result<Duration, String> {
    let time = text::parse_time(text)?;
    let range = Duration::from_secs(1)..=Duration::from_secs(3600);
    if range.contains(&time) { Ok(time) } else { Err(format!("{text:?} is not between 1 and 3600 seconds")) }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.trim_end_matches(['x', '×']).parse::<f64>() {
        Ok(rate) if (0.25..=4.0).contains(&rate) => Ok(rate),
        _ => Err(format!("{text:?} is not a playback rate: write a number from 0.25 to 4")),
    }
}

/// Plays, in a window or without.
pub(super) fn run(args: PlayArgs) -> anyhow::Result<()> {
    let (mut settings, state) = window::remembered();
    let mut options = Options {
        headless: args.headless,
        events: args.events,
        start_at: args.start,
        stop_after: args.duration,
        measure_sync: args.measure_sync,
        state_dir: state.clone(),
        caps: Caps { bitrate: args.cap, height: None },
        sound: args.sound.clone(),
        subtitles: args.subtitles.as_deref().map_or(SubtitleChoice::Auto, settings::subtitle_choice),
        ..Options::default()
    };
    if let Some(algorithm) = args.algorithm {
        options.planner.controller = algorithm;
    }
    if let Some(most) = args.max_buffer {
        options.planner.max_buffer = most;
    }
    let quality = args.quality.filter(|quality| !quality.eq_ignore_ascii_case("auto"));
    let volume = args.volume.map(|percent| f64::from(percent) / 100.0);
    if args.headless {
        return headless(args.url, options, quality.as_deref(), args.rate, volume);
    }
    settings.for_this_run(|settings| {
        if let Some(volume) = volume {
            (settings.volume, settings.muted) = (volume, false);
        }
        if args.sound.is_some() {
            settings.sound = args.sound;
        }
        if args.subtitles.is_some() {
            settings.subtitles = args.subtitles;
        }
        if let Some(cap) = args.cap {
            settings.cap_kbps = Some(cap.kbps());
        }
    });
    let title = address::title(&args.url);
    let mut launch = Launch {
        open: Some((args.url, title)),
        options,
        quality,
        rate: args.rate,
        duration: args.duration,
        full_screen: args.fullscreen,
        ..Launch::default()
    };
    args.window.apply(&mut launch);
    ui::run(launch, settings, state, session::engine())
}

fn headless(
    url: Url,
    options: Options,
    quality: Option<&str>,
    rate: Option<f64>,
    volume: Option<f64>,
) -> anyhow::Result<()> {
    let (changed, changes) = mpsc::sync_channel(1);
    // Full means that somebody is about to look anyway.
    let wake = Arc::new(move || {
        let _ = changed.try_send(());
    });
    let player = weir_engine::open(url, options, wake);
    if let Some(rate) = rate {
        player.set_rate(rate);
    }
    if let Some(volume) = volume {
        player.set_volume(volume);
    }
    if let Some(label) = quality {
        choose(&player, label, &changes)?;
    }
    finished(&player.wait())
}

/// Chooses a rung as soon as the ladder is known.
fn choose(player: &Player, label: &str, changes: &mpsc::Receiver<()>) -> anyhow::Result<()> {
    loop {
        let snapshot = player.snapshot();
        if matches!(snapshot.state, State::Ended | State::Failed) {
            return Ok(());
        }
        if !snapshot.video.rungs.is_empty() {
            let rung = ui::find_quality(&snapshot, label).ok_or_else(|| {
                let known: Vec<_> = snapshot.video.rungs.iter().map(|view| view.label.as_str()).collect();
                anyhow!("this stream has no quality {label:?}; it has {}", known.join(", "))
            })?;
            player.set_quality(QualityChoice::Manual(rung));
            return Ok(());
        }
        // A session may end without a last call: look now and then.
        let _ = changes.recv_timeout(Duration::from_millis(200));
    }
}

fn finished(last: &Snapshot) -> anyhow::Result<()> {
    match (&last.error, last.state) {
        (Some(error), State::Failed) => {
            Err(anyhow!("{} {}", text::sentence(&error.what), text::sentence(&error.advice)))
        }
        (None, State::Failed) => Err(anyhow!("playback failed, and nothing said why; --events shows more")),
        _ => Ok(()),
    }
}
