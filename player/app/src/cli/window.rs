//! What concerns the window, whatever it shows.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use url::Url;

use crate::{
    session,
    settings::{self, Settings},
    text,
    ui::{self, Launch},
    video::PainterChoice,
};

/// Options of the window.
#[derive(Args, Clone, Debug)]
pub(super) struct WindowArgs {
    /// Size of the window, e.g. 640x360, instead of the remembered one.
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub(super) window_size: Option<(u32, u32)>,
    /// How pictures get to the screen.
    #[arg(long, value_enum, default_value_t, env = "WEIR_PAINTER")]
    pub(super) painter: PainterChoice,
    /// Save a picture of the window as this PNG file.
    #[arg(long, value_name = "FILE")]
    pub(super) screenshot: Option<PathBuf>,
    /// When to save it: so long after the start.
    #[arg(long, value_name = "TIME", value_parser = text::parse_time, requires = "screenshot")]
    pub(super) screenshot_after: Option<Duration>,
}

impl WindowArgs {
    /// Puts them into what the window is opened with.
    pub(super) fn apply(self, launch: &mut Launch) {
        launch.size = self.window_size;
        launch.painter = self.painter;
        launch.screenshot =
            self.screenshot.map(|file| (file, self.screenshot_after.unwrap_or(Duration::from_secs(5))));
    }
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once(['x', 'X', '×']).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    match parsed {
        Some((w, h)) if (160..=16384).contains(&w) && (120..=16384).contains(&h) => Ok((w, h)),
        _ => Err(format!("{text:?} is not a size: write width x height in points, for example 640x360")),
    }
}

/// Remembered settings, and the folder for what else is remembered.
pub(super) fn remembered() -> (Settings, Option<PathBuf>) {
    match settings::folders() {
        Some((config, state)) => (Settings::load(config.join("settings.json")), Some(state)),
        None => (Settings::default(), None),
    }
}

/// Opens the window with the server's streams.
pub(super) fn home(server: Option<Url>, window: WindowArgs) -> anyhow::Result<()> {
    let (mut settings, state) = remembered();
    if let Some(server) = server {
        settings.server = Some(server.to_string());
        if let Err(error) = settings.save() {
            tracing::warn!("the server is not remembered: {error}");
        }
    }
    let mut launch = Launch::default();
    launch.options.state_dir.clone_from(&state);
    window.apply(&mut launch);
    ui::run(launch, settings, state, session::engine())
}
