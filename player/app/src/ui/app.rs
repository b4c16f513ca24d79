//! The window's state: which page is shown, and what goes from one to the other.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use eframe::{CreationContext, glow};
use egui::{ThemePreference, Ui, ViewportCommand};
use url::Url;
use weir_engine::{ErrorView, Options, State};

use super::{
    Launch,
    home::{self, HomePage},
    player::{self, PlayerPage},
    screenshot::{self, Reports},
    sheets::Sheet,
    theme,
    toasts::{Toasts, Weight},
};
use crate::{
    address,
    catalog::Catalog,
    command::Command,
    desktop::{self, Desktop, Playing, Status},
    session::{Opener, Wake},
    settings::{Look, Settings},
    text,
    video::{self, VideoPainter},
};

/// Why the program ends as failed, when it does.
pub(crate) type Outcome = Arc<Mutex<Option<ErrorView>>>;

/// The window.
pub(crate) struct WeirApp {
    settings: Settings,
    saved: Settings,
    catalog: Catalog,
    home: HomePage,
    page: Option<PlayerPage>,
    painter: Box<dyn VideoPainter>,
    toasts: Toasts,
    sheet: Sheet,
    opener: Opener,
    wake: Wake,
    /// For streams that the viewer opens.
    options: Options,
    /// For the stream that the command line named, also when it is tried again.
    first: Option<(Url, Options)>,
    quality: Option<String>,
    rate: Option<f64>,
    duration: Option<Duration>,
    pending_shot: Option<(PathBuf, Duration)>,
    reports: Reports,
    /// A screenshot that the command line asked for is on its way to the disk.
    saving: bool,
    title: String,
    outcome: Outcome,
    desktop: Desktop,
}

impl WeirApp {
    /// Builds the window's contents once there is a window.
    pub(crate) fn new(
        creation: &CreationContext<'_>,
        launch: Launch,
        settings: Settings,
        opener: Opener,
        outcome: Outcome,
    ) -> std::io::Result<Self> {
        let ctx = creation.egui_ctx.clone();
        theme::install(&ctx);
        apply_look(&ctx, settings.look);
        // Zooming is the desktop's business; Ctrl+plus would change what a playlist's window cap means.
        ctx.options_mut(|options| options.zoom_with_keyboard = false);
        let wake: Wake = Arc::new(move || ctx.request_repaint());
        let painter = video::painter(launch.painter, creation.gl.as_ref());
        let later = Options { events: None, start_at: None, stop_after: None, ..launch.options.clone() };
        let mut app = Self {
            catalog: Catalog::start(Arc::clone(&wake))?,
            desktop: Desktop::start(Arc::clone(&wake)),
            home: HomePage::default(),
            page: None,
            painter,
            toasts: Toasts::default(),
            sheet: Sheet::None,
            opener,
            wake,
            options: later,
            first: launch.open.as_ref().map(|(url, _)| (url.clone(), launch.options)),
            quality: launch.quality,
            rate: launch.rate,
            duration: launch.duration,
            pending_shot: launch.screenshot,
            reports: Reports::default(),
            saving: false,
            title: String::new(),
            saved: settings.clone(),
            settings,
            outcome,
        };
        if let Some((url, title)) = launch.open {
            app.open(&creation.egui_ctx, url, title);
        }
        Ok(app)
    }

    /// Opens a stream, in place of one that may be open.
    fn open(&mut self, ctx: &egui::Context, url: Url, title: String) {
        self.open_at(ctx, url, title, None);
    }

    /// As [`open`](Self::open), at a place of a recording.
    fn open_at(&mut self, ctx: &egui::Context, url: Url, title: String, at: Option<Duration>) {
        self.leave();
        let now = ctx.input(|input| input.time);
        let (mut options, named) = match &self.first {
            Some((first, options)) if *first == url => (options.clone(), true),
            _ => (self.options.clone(), false),
        };
        if at.is_some() {
            options.start_at = at;
        } else if options.start_at.is_none()
            && let Some(position) = self.settings.resume_at(&url)
        {
            options.start_at = Some(position);
            self.toasts.say(
                now,
                Weight::Note,
                format!("Goes on at {}. Press Home for the beginning.", text::clock(position)),
            );
        }
        options.caps.bitrate = self.settings.cap();
        options.sound.clone_from(&self.settings.sound);
        options.subtitles = self.settings.subtitles();
        // About what fits until the window's size is known.
        options.rgba_height = self.painter.wants_rgba().then_some(360);
        let session = (self.opener)(url.clone(), options, Arc::clone(&self.wake));
        session.set_volume(self.settings.volume);
        session.set_muted(self.settings.muted);
        if let Some(rate) = self.rate.filter(|_| named) {
            session.set_rate(rate);
        }
        self.settings.opened(&url, &title);
        let quality = self.quality.clone().filter(|_| named);
        self.page = Some(PlayerPage::new(url, title, session, quality, now));
    }

    /// Closes the open stream and remembers where it was.
    fn leave(&mut self) {
        if let Some(page) = self.page.take() {
            let snapshot = page.snapshot();
            let position = if snapshot.state == State::Ended { Duration::ZERO } else { snapshot.position };
            let duration = snapshot.duration.filter(|_| snapshot.live_window.is_none());
            // One that failed before anything was seen says nothing about the place.
            if snapshot.state != State::Failed || !position.is_zero() {
                self.settings.left(&page.url, position, duration);
            }
            self.painter.clear();
            self.home.ask_again();
        }
        self.save_settings();
    }

    fn save_settings(&mut self) {
        if self.settings != self.saved {
            if let Err(error) = self.settings.save() {
                tracing::warn!("settings were not saved: {error}");
            }
            self.saved = self.settings.clone();
        }
    }

    fn run(&mut self, ctx: &egui::Context, command: Command) {
        match command {
            Command::Leave if self.sheet != Sheet::None => self.sheet = Sheet::None,
            Command::Help => self.sheet = if self.sheet == Sheet::Help { Sheet::None } else { Sheet::Help },
            Command::Palette => {
                self.sheet = match self.sheet {
                    Sheet::Palette(..) => Sheet::None,
                    _ => Sheet::Palette(String::new(), 0),
                };
            }
            Command::Theme => {
                self.settings.look = match ctx.theme() {
                    egui::Theme::Dark => Look::Light,
                    egui::Theme::Light => Look::Dark,
                };
                apply_look(ctx, self.settings.look);
            }
            Command::OpenAddress => {
                self.leave();
                self.home.focus_address();
            }
            Command::Screenshot => {
                let title = self.page.as_ref().map_or("weir", |page| page.title.as_str());
                let file = screenshot::name(&crate::settings::pictures(), title);
                screenshot::take(ctx, file, &self.reports);
            }
            Command::Quit => ctx.send_viewport_cmd(ViewportCommand::Close),
            _ => match &mut self.page {
                Some(page) => {
                    let wish = page.run(ctx, command, &mut self.settings, &mut self.toasts);
                    self.grant(ctx, wish);
                }
                None => match command {
                    Command::Retry => self.home.ask_again(),
                    Command::FullScreen => player::toggle_full_screen(ctx),
                    Command::Leave if ctx.input(|input| input.viewport().fullscreen.unwrap_or(false)) => {
                        player::toggle_full_screen(ctx);
                    }
                    _ => {}
                },
            },
        }
    }

    fn grant(&mut self, ctx: &egui::Context, wish: Option<player::Wish>) {
        match wish {
            None => {}
            Some(player::Wish::Home) => self.leave(),
            Some(player::Wish::Retry) => {
                let again =
                    self.page.as_ref().map(|page| (page.url.clone(), page.title.clone(), page.goes_on_at()));
                if let Some((url, title, at)) = again {
                    self.open_at(ctx, url, title, at);
                }
            }
        }
    }

    fn shortcuts(&mut self, ctx: &egui::Context) {
        // Somebody is writing: letters are letters.
        if ctx.text_edit_focused() || matches!(self.sheet, Sheet::Palette(..)) {
            return;
        }
        let focused = ctx.memory(|memory| memory.focused().is_some());
        let in_player = self.page.is_some() && self.sheet == Sheet::None;
        let pressed = ctx.input_mut(|input| Command::take_pressed(input, in_player, focused));
        for command in pressed {
            self.run(ctx, command);
        }
    }

    fn dropped(&mut self, ctx: &egui::Context) {
        let files = ctx.input(|input| input.raw.dropped_files.clone());
        let Some(file) = files.first() else { return };
        match address::from_path(file.path()) {
            Ok(url) => {
                let title = address::title(&url);
                self.open(ctx, url, title);
            }
            Err(why) => self.home.refuse(why),
        }
    }

    /// What the command line asked for at a certain time.
    fn timed(&mut self, ctx: &egui::Context) {
        let now = ctx.input(|input| input.time);
        let wait = |at: Duration| at.as_secs_f64() - now;
        if let Some((file, at)) = self.pending_shot.take() {
            if wait(at) <= 0.0 {
                self.saving = true;
                screenshot::take(ctx, file, &self.reports);
            } else {
                ctx.request_repaint_after_secs(wait(at) as f32);
                self.pending_shot = Some((file, at));
            }
        }
        let reports = std::mem::take(&mut *self.reports.lock().unwrap_or_else(PoisonError::into_inner));
        self.saving &= reports.is_empty();
        for report in reports {
            match report {
                Ok(file) => self.toasts.say(now, Weight::Note, format!("Saved as {}", file.display())),
                Err(why) => self.toasts.say(now, Weight::Warning, why),
            }
        }
        if let Some(duration) = self.duration.filter(|_| !self.saving) {
            let state = self.page.as_ref().map(|page| page.snapshot().state);
            let over = self.pending_shot.is_none() && matches!(state, Some(State::Ended | State::Failed));
            if wait(duration) <= 0.0 || over {
                if let Some(page) = &self.page {
                    let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
                    outcome.clone_from(&page.snapshot().error);
                }
                ctx.send_viewport_cmd(ViewportCommand::Close);
            } else {
                ctx.request_repaint_after_secs(wait(duration) as f32);
            }
        }
    }

    /// Tells the desktop what plays, and does what its panel and its media keys ask for.
    fn follow_desktop(&mut self, ctx: &egui::Context) {
        let full_screen = ctx.input(|input| input.viewport().fullscreen.unwrap_or(false));
        self.desktop.tell(self.page.as_ref().map_or_else(Status::default, |page| {
            let snapshot = page.snapshot();
            Status {
                playing: match snapshot.state {
                    State::Paused | State::Ended => Playing::Paused,
                    State::Failed => Playing::Stopped,
                    // It goes on as it was.
                    State::Seeking => self.desktop.playing(),
                    _ => Playing::Yes,
                },
                title: page.title.clone(),
                url: page.url.to_string(),
                length: snapshot.duration.filter(|_| snapshot.live_window.is_none()),
                position: snapshot.position,
                rate: if snapshot.rate > 0.0 { snapshot.rate } else { 1.0 },
                volume: if snapshot.muted { 0.0 } else { snapshot.volume },
                full_screen,
            }
        }));
        let wishes: Vec<_> = self.desktop.wishes().collect();
        for wish in wishes {
            match wish {
                desktop::Wish::Raise => {
                    ctx.send_viewport_cmd(ViewportCommand::Minimized(false));
                    ctx.send_viewport_cmd(ViewportCommand::Focus);
                }
                desktop::Wish::Quit => self.run(ctx, Command::Quit),
                desktop::Wish::FullScreen(wanted) if wanted != full_screen => {
                    self.run(ctx, Command::FullScreen);
                }
                wish => {
                    let Some(page) = &mut self.page else { continue };
                    let wish = page.remote(ctx, wish, &mut self.settings, &mut self.toasts);
                    self.grant(ctx, wish);
                }
            }
        }
    }

    fn name_window(&mut self, ctx: &egui::Context) {
        let title =
            self.page.as_ref().map_or_else(|| "Weir".to_owned(), |page| format!("{} – Weir", page.title));
        if title != self.title {
            ctx.send_viewport_cmd(ViewportCommand::Title(title.clone()));
            self.title = title;
        }
    }
}

impl eframe::App for WeirApp {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        if let Some(page) = &mut self.page {
            page.logic(ctx, &self.settings, &mut self.toasts, self.settings.statistics);
        }
        self.timed(ctx);
        self.follow_desktop(ctx);
        self.name_window(ctx);
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        let ctx = ui.ctx().clone();
        self.shortcuts(&ctx);
        self.dropped(&ctx);
        match &mut self.page {
            Some(page) => {
                let wish = page.ui(ui, &mut *self.painter, &mut self.settings, &mut self.toasts);
                self.grant(&ctx, wish);
            }
            None => match self.home.ui(ui, &self.catalog, &mut self.settings) {
                None => {}
                Some(home::Wish::Open(url, title)) => self.open(&ctx, url, title),
                Some(home::Wish::Do(command)) => self.run(&ctx, command),
            },
        }
        if let Some(command) = self.sheet.show(&ctx, self.page.is_some()) {
            self.run(&ctx, command);
        }
        self.toasts.show(ui);
        if ctx.input(|input| !input.raw.hovered_files.is_empty()) {
            drop_here(ui);
        }
    }

    fn save(&mut self, _storage: &mut dyn eframe::Storage) {
        self.save_settings();
    }

    fn on_exit(&mut self, gl: Option<&glow::Context>) {
        self.leave();
        self.painter.destroy(gl);
    }

    fn persist_egui_memory(&self) -> bool {
        false
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }
}

fn apply_look(ctx: &egui::Context, look: Look) {
    ctx.set_theme(match look {
        Look::System => ThemePreference::System,
        Look::Light => ThemePreference::Light,
        Look::Dark => ThemePreference::Dark,
    });
}

/// Shows that a file can be let go here.
fn drop_here(ui: &Ui) {
    let colours = theme::colours(ui.ctx());
    let layer = egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop"));
    let painter = ui.ctx().layer_painter(layer);
    let rect = ui.ctx().content_rect();
    painter.rect_filled(rect, 0.0, super::tokens::BACKDROP);
    let stroke = egui::Stroke::new(2.0, colours.accent);
    painter.rect_stroke(rect.shrink(16.0), super::tokens::ROUND_LARGE, stroke, egui::StrokeKind::Inside);
    let font = theme::strong_font(super::tokens::TEXT_LARGE);
    painter.text(
        rect.center(),
        egui::Align2::CENTER_CENTER,
        "Drop a playlist to play it",
        font,
        super::tokens::DARK.text,
    );
}
