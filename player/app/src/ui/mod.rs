//! The window.

mod app;
mod home;
mod icons;
mod parts;
mod player;
mod screenshot;
mod scrub;
mod sheets;
mod theme;
mod thumbs;
mod toasts;
mod tokens;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use eframe::NativeOptions;
use egui::{IconData, ViewportBuilder, vec2};
use url::Url;
use weir_engine::Options;

use crate::{session::Opener, settings::Settings, text, video::PainterChoice};

use app::WeirApp;

pub(crate) use player::menus::find_quality;

/// The application's name for desktops: window class, desktop file, Flatpak.
pub const APP_ID: &str = "io.github.weir_player.Weir";

/// What to show at the start, and how.
#[derive(Debug, Default)]
pub struct Launch {
    /// A stream to open, with what to call it.
    pub open: Option<(Url, String)>,
    /// How to play it; later streams get the same, but for `events`, `start_at` and `stop_after`.
    pub options: Options,
    /// Label of a rung to choose once the ladder is known.
    pub quality: Option<String>,
    /// Playback rate at the start.
    pub rate: Option<f64>,
    /// Close the window after so much time, or when playback ended before.
    pub duration: Option<Duration>,
    /// Fill the screen.
    pub full_screen: bool,
    /// Size of the window in points, instead of the remembered one.
    pub size: Option<(u32, u32)>,
    /// Save a picture of the window here, after so much time.
    pub screenshot: Option<(PathBuf, Duration)>,
    /// How to paint pictures.
    pub painter: PainterChoice,
}

/// Opens the window and runs until it is closed. `opener` starts sessions.
pub fn run(
    launch: Launch,
    settings: Settings,
    state_dir: Option<PathBuf>,
    opener: Opener,
) -> anyhow::Result<()> {
    let (width, height) = launch.size.unwrap_or((1120, 700));
    let mut viewport = ViewportBuilder::default()
        .with_app_id(APP_ID)
        .with_title("Weir")
        .with_inner_size(vec2(width as f32, height as f32))
        .with_min_inner_size(vec2(360.0, 240.0))
        .with_fullscreen(launch.full_screen)
        .with_drag_and_drop(true);
    if let Some(icon) = icon() {
        viewport = viewport.with_icon(Arc::new(icon));
    }
    let native = NativeOptions {
        viewport,
        renderer: eframe::Renderer::Glow,
        // Dithering would change the picture's colours by noise.
        dithering: false,
        persist_window: launch.size.is_none() && !launch.full_screen && state_dir.is_some(),
        persistence_path: state_dir.map(|folder| folder.join("window.ron")),
        ..NativeOptions::default()
    };
    let outcome = app::Outcome::default();
    let result = Arc::clone(&outcome);
    eframe::run_native(
        "Weir",
        native,
        Box::new(move |creation| Ok(Box::new(WeirApp::new(creation, launch, settings, opener, result)?))),
    )
    // The parts before the last one name places in a library.
    .map_err(|error| anyhow!("{}", error.to_string().rsplit(": ").next().unwrap_or_default()))
    .context(
        "opening the window: a display (X11 or Wayland) with OpenGL is needed; without one, use --headless",
    )?;
    match outcome.lock().map(|mut outcome| outcome.take()) {
        Ok(Some(error)) => Err(anyhow!("{} {}", text::sentence(&error.what), text::sentence(&error.advice))),
        _ => Ok(()),
    }
}

fn icon() -> Option<IconData> {
    let png = include_bytes!("../../../../assets/icons/weir-128.png");
    let image = image::load_from_memory(png).ok()?.to_rgba8();
    let (width, height) = image.dimensions();
    Some(IconData { rgba: image.into_raw(), width, height })
}
