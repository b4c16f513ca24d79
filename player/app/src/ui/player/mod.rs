//! The page with the picture.

mod captions;
pub(crate) mod controls;
pub(crate) mod menus;
pub(crate) mod stats;
mod vertical;
mod waits;

use std::time::Duration;

use egui::{Align2, Popup, Rect, Ui, Vec2, ViewportCommand, pos2, vec2};
use url::Url;
use weir_abr::planner::{Caps, QualityChoice};
use weir_engine::{ErrorView, Snapshot, State, SubtitleChoice};

use super::{
    icons::Icon,
    parts,
    scrub::Scrubbed,
    theme,
    thumbs::Thumbs,
    toasts::{Toasts, Weight},
    tokens,
};
use crate::{
    command::Command,
    desktop,
    session::Session,
    settings::Settings,
    text,
    video::{self, Shown, VideoPainter},
};
use controls::Action;
use menus::Choice;

/// How long a wish to go somewhere is shown as the position while playback is on its way.
const SEEK_PATIENCE: f64 = 3.0;
/// Seconds between two wishes while the viewer drags.
const DRAG_STEP: f64 = 0.1;

/// What the page wants of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Back to the streams.
    Home,
    /// Open the same stream again.
    Retry,
}

/// A place that playback is on the way to.
#[derive(Clone, Copy, Debug)]
struct Heading {
    to: Duration,
    since: f64,
}

/// One open stream.
pub(crate) struct PlayerPage {
    /// Its address.
    pub url: Url,
    /// Its name.
    pub title: String,
    session: Box<dyn Session>,
    snapshot: Snapshot,
    picture: Option<Vec2>,
    /// Time of the picture on screen: what is written in it goes by that.
    picture_at: Option<Duration>,
    /// The controls are seen.
    controls: bool,
    /// The pointer rests on them: they stay.
    over_controls: bool,
    shown: Shown,
    dragged: Option<(Duration, f64)>,
    heading: Option<Heading>,
    moved_at: f64,
    stalled_since: Option<f64>,
    wanted_quality: Option<String>,
    /// Physical lines that the picture fills, roughly.
    lines: Option<u32>,
    caps: Option<Caps>,
    warning: Option<ErrorView>,
    quality_button: Option<egui::Id>,
    thumbs: Thumbs,
    /// What was shown before subtitles were switched off.
    subtitles_before: Option<String>,
}

impl PlayerPage {
    /// A page for a session that was just opened. `quality` is the label of a rung to choose once the ladder is known.
    pub(crate) fn new(
        url: Url,
        title: String,
        session: Box<dyn Session>,
        quality: Option<String>,
        now: f64,
    ) -> Self {
        Self {
            url,
            title,
            session,
            snapshot: Snapshot::default(),
            picture: None,
            picture_at: None,
            controls: false,
            over_controls: false,
            shown: Shown::default(),
            dragged: None,
            heading: None,
            moved_at: now,
            stalled_since: None,
            wanted_quality: quality,
            lines: None,
            caps: None,
            warning: None,
            quality_button: None,
            thumbs: Thumbs::default(),
            subtitles_before: None,
        }
    }

    /// The last snapshot.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Where another attempt goes on: where a recording was. A live stream goes on live.
    pub(crate) fn goes_on_at(&self) -> Option<Duration> {
        let recording = self.snapshot.live_window.is_none() && self.snapshot.duration.is_some();
        Some(self.position()).filter(|position| recording && !position.is_zero())
    }

    /// Takes in what the session has to say. Runs also while the window is hidden, when nothing is drawn.
    pub(crate) fn logic(
        &mut self,
        ctx: &egui::Context,
        settings: &Settings,
        toasts: &mut Toasts,
        statistics: bool,
    ) {
        let now = ctx.input(|input| input.time);
        self.snapshot = self.session.snapshot();
        if let Some(label) = self.wanted_quality.take_if(|_| !self.snapshot.video.rungs.is_empty()) {
            match menus::find_quality(&self.snapshot, &label) {
                Some(rung) => self.session.set_quality(QualityChoice::Manual(rung)),
                None => toasts.say(
                    now,
                    Weight::Warning,
                    format!("This stream has no quality {label}; Auto chooses."),
                ),
            }
        }
        if self.snapshot.state == State::Failed {
            toasts.settle();
        }
        if self.snapshot.warning != self.warning {
            self.warning.clone_from(&self.snapshot.warning);
            // Who waits is told in the middle of the picture.
            let told = self.stalled_since.is_some_and(|since| now - since >= tokens::PATIENCE);
            if let Some(warning) = self.warning.as_ref().filter(|_| !told) {
                toasts.warn(now, &warning.code, waits::trouble(warning));
            }
        }
        if let Some(heading) = self.heading {
            let arrived = self.snapshot.state != State::Seeking
                && self.snapshot.position.abs_diff(heading.to) < Duration::from_millis(1500);
            if arrived || now - heading.since > SEEK_PATIENCE {
                self.heading = None;
            }
        }
        self.stalled_since = match self.snapshot.state {
            State::Stalled | State::Loading | State::Starting | State::Seeking => {
                self.stalled_since.or(Some(now))
            }
            _ => None,
        };
        self.limit(settings);
        // Pictures wake the window themselves; this keeps clocks and plots going where there are none.
        match self.snapshot.state {
            State::Paused | State::Ended | State::Failed if !statistics => {}
            _ => ctx.request_repaint_after(stats::TICK),
        }
    }

    fn limit(&mut self, settings: &Settings) {
        let height = self.lines.filter(|_| settings.fit_window);
        let caps = Caps { bitrate: settings.cap(), height };
        if self.caps != Some(caps) {
            self.caps = Some(caps);
            self.session.set_caps(caps);
        }
    }

    /// Draws the page.
    pub(crate) fn ui(
        &mut self,
        ui: &mut Ui,
        painter: &mut dyn VideoPainter,
        settings: &mut Settings,
        toasts: &mut Toasts,
    ) -> Option<Wish> {
        let rect = ui.max_rect();
        if self.snapshot.state == State::Failed {
            return self.failure(ui);
        }
        ui.painter().rect_filled(rect, 0.0, tokens::LETTERBOX);
        let place = self.picture(ui, rect, painter);
        let full_screen = ui.ctx().input(|input| input.viewport().fullscreen.unwrap_or(false));
        let surface = controls::surface(ui, rect);
        let mut wish = None;
        let mut run = |page: &mut Self, ctx: &egui::Context, command| {
            if let Some(wanted) = page.run(ctx, command, settings, toasts) {
                wish = Some(wanted);
            }
        };
        if surface.double_clicked() {
            // The first of the two clicks paused; the second takes that back.
            run(self, ui.ctx(), Command::PlayPause);
            run(self, ui.ctx(), Command::FullScreen);
        } else if surface.clicked() && !Popup::is_any_open(ui.ctx()) {
            run(self, ui.ctx(), Command::PlayPause);
        }
        let mut free = rect.y_range();
        if self.controls {
            free = egui::Rangef::new(free.min + tokens::HEADER, free.max - tokens::CONTROLS);
        }
        let at = self.picture_at.unwrap_or(self.snapshot.position);
        captions::show(ui.painter(), &self.snapshot.subtitles, at, place, free);
        self.waiting(ui, rect);
        if settings.statistics {
            self.statistics(ui, rect, place, &*painter, settings);
        }
        for action in self.strips(ui, rect, full_screen, settings) {
            match action {
                Action::Do(command) => {
                    if let Some(wanted) = self.run(ui.ctx(), command, settings, toasts) {
                        wish = Some(wanted);
                    }
                }
                Action::Scrub(scrubbed) => self.scrub(ui.ctx(), scrubbed),
                Action::Volume(volume) => self.set_volume(volume, settings),
                Action::Choose(choice) => self.choose(choice, settings),
            }
        }
        wish
    }

    /// Takes the newest picture and paints it; gives the place of the picture.
    fn picture(&mut self, ui: &Ui, rect: Rect, painter: &mut dyn VideoPainter) -> Rect {
        if let Some(picture) = self.session.take_picture() {
            if let Some(view) = picture.view() {
                self.picture = Some(vec2(view.width as f32 * view.pixel_aspect, view.height as f32));
                self.shown.count(view.serial);
                self.picture_at = Some(view.position);
            }
            painter.set(ui.ctx(), picture);
        }
        let scale = ui.pixels_per_point();
        let place = video::fit(self.picture.unwrap_or(vec2(16.0, 9.0)), rect, scale);
        let lines = (place.height() * scale).round().max(1.0) as u32;
        // A window that is being dragged larger does not make the engine start over for every pixel.
        if self.lines.is_none_or(|known| known.abs_diff(lines) * 10 > known) {
            self.lines = Some(lines);
            self.session.set_rgba_height(painter.wants_rgba().then_some(lines));
        }
        if self.picture.is_some() {
            painter.paint(ui, place);
        }
        place
    }

    /// Says that something is being waited for, once that takes long enough to be noticed.
    fn waiting(&self, ui: &Ui, rect: Rect) {
        let Some(since) = self.stalled_since else { return };
        let ctx = ui.ctx();
        let waited = ctx.input(|input| input.time) - since;
        if waited < tokens::PATIENCE {
            ctx.request_repaint_after_secs((tokens::PATIENCE - waited) as f32);
            return;
        }
        let label = match self.snapshot.state {
            State::Loading => "Opening".to_owned(),
            State::Starting => "Starting".to_owned(),
            State::Seeking => {
                format!("Going to {}", text::clock(self.heading.map_or(self.snapshot.position, |h| h.to)))
            }
            _ => "Buffering".to_owned(),
        };
        let galley = ui.painter().layout_no_wrap(label, theme::strong_font(tokens::TEXT), tokens::DARK.text);
        let size = galley.size() + vec2(56.0, 20.0);
        let place = Rect::from_center_size(rect.center(), size);
        ui.painter().rect_filled(place, size.y / 2.0, tokens::GLASS);
        ui.painter().galley(pos2(place.left() + 40.0, place.top() + 10.0), galley, tokens::DARK.text);
        if let Some(why) = waits::reason(&self.snapshot, &self.url, waited) {
            let font = egui::FontId::proportional(tokens::TEXT);
            let wide = (rect.width() - 2.0 * tokens::PAGE - 28.0).min(420.0);
            let mut job = egui::text::LayoutJob::simple(why, font, tokens::DARK.text, wide);
            job.halign = egui::Align::Center;
            let galley = ui.painter().layout_job(job);
            let below = pos2(rect.center().x, place.bottom() + tokens::GAP);
            let words = galley.rect.translate(below.to_vec2() + vec2(0.0, 8.0));
            ui.painter().rect_filled(words.expand2(vec2(14.0, 8.0)), tokens::ROUND + 2, tokens::GLASS);
            ui.painter().galley(below + vec2(0.0, 8.0), galley, tokens::DARK.text);
        }
        // Three dots in turn, four steps a second: calm, and cheap where the processor draws.
        let step = (waited * 4.0) as usize % 4;
        for dot in 0..3_usize {
            let strength = if dot < step { 1.0 } else { 0.3 };
            let at = pos2(place.left() + 15.0 + dot as f32 * 8.0, place.center().y);
            ui.painter().circle_filled(at, 2.5, tokens::DARK.accent.gamma_multiply(strength));
        }
        ctx.request_repaint_after(stats::TICK);
    }

    fn statistics(
        &self,
        ui: &mut Ui,
        rect: Rect,
        place: Rect,
        painter: &dyn VideoPainter,
        settings: &mut Settings,
    ) {
        let scale = ui.pixels_per_point();
        let local = stats::Local {
            place: ((place.width() * scale).round() as u32, (place.height() * scale).round() as u32),
            painter: painter.name(),
            shown: self.shown,
        };
        let top = rect.top() + tokens::HEADER;
        let height = rect.height() - tokens::HEADER - tokens::CONTROLS;
        let area =
            Rect::from_min_size(pos2(rect.left() + 12.0, top), vec2(rect.width() - 24.0, height.max(80.0)));
        if stats::show(ui, area, &self.snapshot, &local) {
            settings.statistics = false;
        }
    }

    /// The controls, faded in and out.
    fn strips(&mut self, ui: &mut Ui, rect: Rect, full_screen: bool, settings: &Settings) -> Vec<Action> {
        let ctx = ui.ctx().clone();
        let (now, moving) =
            ctx.input(|input| (input.time, input.pointer.is_moving() || input.pointer.any_down()));
        if moving {
            self.moved_at = now;
        }
        let rests = matches!(self.snapshot.state, State::Paused | State::Ended | State::Loading);
        let busy = self.dragged.is_some()
            || Popup::is_any_open(&ctx)
            || self.over_controls
            || ctx.memory(|memory| memory.focused().is_some());
        let left = tokens::HIDE_AFTER - (now - self.moved_at);
        let wanted = rests || busy || left > 0.0;
        if wanted && !rests && !busy {
            ctx.request_repaint_after_secs(left as f32 + 0.02);
        }
        let opacity = ctx.animate_bool(egui::Id::unique("controls"), wanted);
        self.controls = wanted;
        if opacity <= 0.0 {
            ctx.set_cursor_icon(egui::CursorIcon::None);
            self.over_controls = false;
            return Vec::new();
        }
        let view = controls::View {
            title: &self.title,
            held: self.dragged.map(|(to, _)| to).or(self.heading.map(|heading| heading.to)),
            full_screen,
            statistics: settings.statistics,
            fit_window: settings.fit_window,
        };
        let shown = ui
            .scope(|ui| {
                theme::over_picture(ui);
                ui.set_opacity(opacity);
                controls::show(ui, rect, &self.snapshot, view, &mut self.thumbs)
            })
            .inner;
        if let Some(wanted) = self.thumbs.take_wish() {
            self.session.want_thumbnail(wanted);
        }
        self.quality_button = Some(Popup::default_response_id(&shown.quality));
        self.over_controls = shown.hovered;
        shown.actions
    }

    fn scrub(&mut self, ctx: &egui::Context, scrubbed: Scrubbed) {
        let now = ctx.input(|input| input.time);
        match scrubbed {
            Scrubbed::Dragging(to) => {
                let asked = self.dragged.map_or(0.0, |(_, asked)| asked);
                let ask = now - asked >= DRAG_STEP;
                if ask {
                    self.session.seek(to, false);
                }
                self.dragged = Some((to, if ask { now } else { asked }));
            }
            Scrubbed::To(to) => {
                self.dragged = None;
                self.seek(now, to);
            }
        }
    }

    fn seek(&mut self, now: f64, to: Duration) {
        let (from, end) = self.limits();
        let to = to.clamp(from, end);
        self.heading = Some(Heading { to, since: now });
        self.session.seek(to, true);
    }

    fn limits(&self) -> (Duration, Duration) {
        let whole = self.snapshot.duration.map(|duration| (Duration::ZERO, duration));
        let target = self.snapshot.live_target.unwrap_or_default();
        // Nearer to the edge than the stream wants it there is nothing to play.
        let live =
            self.snapshot.live_window.map(|(from, edge)| (from, edge.saturating_sub(target).max(from)));
        live.or(whole).unwrap_or((Duration::ZERO, Duration::MAX))
    }

    /// Where the viewer thinks that playback is.
    fn position(&self) -> Duration {
        self.heading.map_or(self.snapshot.position, |heading| heading.to)
    }

    fn set_volume(&self, volume: f64, settings: &mut Settings) {
        settings.volume = volume.clamp(0.0, 1.0);
        settings.muted = false;
        self.session.set_volume(settings.volume);
        self.session.set_muted(false);
    }

    fn choose(&mut self, choice: Choice, settings: &mut Settings) {
        match choice {
            Choice::Quality(quality) => self.session.set_quality(quality),
            Choice::Cap(cap) => settings.cap_kbps = cap.map(weir_abr::Bitrate::kbps),
            Choice::FitWindow(fit) => settings.fit_window = fit,
            Choice::Rate(rate) => self.session.set_rate(rate),
            Choice::Sound(track) => self.sound(track, settings),
            Choice::Subtitles(track) => self.subtitles(track, settings),
        }
        self.limit(settings);
    }

    /// Plays another sound, and remembers that for other streams.
    fn sound(&self, track: usize, settings: &mut Settings) {
        let Some(view) = self.snapshot.sounds.tracks.get(track) else { return };
        self.session.set_sound(track);
        settings.sound = Some(view.language.clone().unwrap_or_else(|| view.label.clone()));
    }

    /// Shows a track of subtitles, or none, and remembers that for other streams.
    fn subtitles(&self, track: Option<usize>, settings: &mut Settings) {
        let view = track.and_then(|track| self.snapshot.subtitles.tracks.get(track));
        self.session.set_subtitles(track.map_or(SubtitleChoice::Off, SubtitleChoice::Track));
        settings.subtitles = Some(match view {
            Some(view) => view.language.clone().unwrap_or_else(|| view.label.clone()),
            None => "off".to_owned(),
        });
    }

    /// Switches subtitles on or off, or to the next ones; says what is shown now.
    fn switch_subtitles(&self, next: bool, settings: &mut Settings) -> String {
        let tracks = &self.snapshot.subtitles.tracks;
        if tracks.iter().all(|track| track.obstacle.is_some()) {
            return match tracks.iter().find_map(|track| track.obstacle.as_deref()) {
                Some(obstacle) => format!("The subtitles cannot be shown: {obstacle}"),
                None => "This stream has no subtitles".to_owned(),
            };
        }
        let shown = self.snapshot.subtitles.chosen;
        // Switched on again, those that were chosen before are meant.
        let last = settings.subtitles.as_deref().filter(|last| *last != "off");
        let of = |wanted: &str| {
            tracks.iter().position(|track| {
                track.obstacle.is_none()
                    && (track.language.as_deref() == Some(wanted) || track.label == wanted)
            })
        };
        let track = if next {
            menus::next_subtitles(&self.snapshot)
        } else if shown.is_some() {
            None
        } else {
            self.subtitles_before
                .as_deref()
                .or(last)
                .and_then(of)
                .or_else(|| menus::next_subtitles(&self.snapshot))
        };
        self.subtitles(track, settings);
        match track.and_then(|track| tracks.get(track)) {
            Some(track) => format!("Subtitles: {}", track.label),
            None => "Subtitles off".to_owned(),
        }
    }

    /// Does what a media key or the desktop's panel asks for.
    pub(crate) fn remote(
        &mut self,
        ctx: &egui::Context,
        wish: desktop::Wish,
        settings: &mut Settings,
        toasts: &mut Toasts,
    ) -> Option<Wish> {
        let now = ctx.input(|input| input.time);
        let stands = matches!(self.snapshot.state, State::Paused | State::Ended | State::Failed);
        match wish {
            desktop::Wish::PlayPause => return self.run(ctx, Command::PlayPause, settings, toasts),
            desktop::Wish::Play if stands => return self.run(ctx, Command::PlayPause, settings, toasts),
            desktop::Wish::Pause if !stands => self.session.pause(),
            desktop::Wish::Stop => return Some(Wish::Home),
            desktop::Wish::SeekBy(by) => {
                let (at, step) = (self.position(), Duration::from_micros(by.unsigned_abs()));
                self.seek(now, if by < 0 { at.saturating_sub(step) } else { at.saturating_add(step) });
            }
            desktop::Wish::SeekTo(to) => self.seek(now, to),
            desktop::Wish::Rate(rate) => self.session.set_rate(rate),
            desktop::Wish::Volume(volume) => self.set_volume(volume, settings),
            _ => {}
        }
        None
    }

    /// Carries out a command; says what the window has to do about it.
    pub(crate) fn run(
        &mut self,
        ctx: &egui::Context,
        command: Command,
        settings: &mut Settings,
        toasts: &mut Toasts,
    ) -> Option<Wish> {
        let now = ctx.input(|input| input.time);
        let mut jump = |page: &mut Self, by: f64| {
            let step = Duration::from_secs_f64(by.abs());
            let at = page.position();
            page.seek(now, if by < 0.0 { at.saturating_sub(step) } else { at + step });
            toasts.note(now, format!("{}{} s", if by < 0.0 { "−" } else { "+" }, by.abs()));
        };
        match command {
            Command::PlayPause => match self.snapshot.state {
                State::Ended => {
                    self.seek(now, self.limits().0);
                    self.session.play();
                }
                State::Paused => self.session.play(),
                State::Failed => return Some(Wish::Retry),
                _ => self.session.pause(),
            },
            Command::Back => jump(self, -5.0),
            Command::Forward => jump(self, 5.0),
            Command::BackFar => jump(self, -10.0),
            Command::ForwardFar => jump(self, 10.0),
            Command::Tenth(tenth) => {
                let (from, end) = self.limits();
                if end < Duration::MAX {
                    let to = from + (end - from) * u32::from(tenth) / 10;
                    self.seek(now, to);
                    toasts.note(now, text::clock(to));
                }
            }
            Command::Start => self.seek(now, self.limits().0),
            Command::End => {
                let end = self.limits().1;
                if end < Duration::MAX {
                    self.seek(now, end);
                }
            }
            Command::VolumeUp | Command::VolumeDown => {
                let step = if command == Command::VolumeUp { 0.05 } else { -0.05 };
                self.set_volume(((settings.volume + step) * 20.0).round() / 20.0, settings);
                toasts.note(now, format!("Volume {:.0} %", settings.volume * 100.0));
            }
            Command::Mute => {
                settings.muted = !settings.muted;
                self.session.set_muted(settings.muted);
                toasts.note(now, if settings.muted { "Muted" } else { "Sound on" });
            }
            Command::Slower | Command::Faster | Command::NormalRate => {
                let old = if self.snapshot.rate > 0.0 { self.snapshot.rate } else { 1.0 };
                let rate = match command {
                    Command::NormalRate => 1.0,
                    _ => menus::next_rate(old, command == Command::Faster),
                };
                self.session.set_rate(rate);
                toasts.note(now, format!("Speed {}", text::rate(rate)));
            }
            Command::Quality => {
                self.moved_at = now;
                if let Some(id) = self.quality_button {
                    Popup::toggle_id(ctx, id);
                }
            }
            Command::QualityUp | Command::QualityDown => {
                if let Some(rung) = menus::neighbour(&self.snapshot, command == Command::QualityUp) {
                    self.session.set_quality(QualityChoice::Manual(rung));
                    if let Some(view) = self.snapshot.video.rungs.get(rung.0) {
                        toasts.note(now, format!("Quality {}", view.label));
                    }
                }
            }
            Command::QualityAuto => {
                self.session.set_quality(QualityChoice::Auto);
                toasts.note(now, "Automatic quality");
            }
            Command::Subtitles | Command::NextSubtitles => {
                let chosen = self.snapshot.subtitles.chosen;
                if let Some(track) = chosen.and_then(|chosen| self.snapshot.subtitles.tracks.get(chosen)) {
                    self.subtitles_before = track.language.clone().or_else(|| Some(track.label.clone()));
                }
                let said = self.switch_subtitles(command == Command::NextSubtitles, settings);
                toasts.note(now, said);
            }
            Command::Statistics => settings.statistics = !settings.statistics,
            Command::CopyAddress => {
                ctx.copy_text(self.url.to_string());
                toasts.note(now, "Address copied");
            }
            Command::FullScreen => toggle_full_screen(ctx),
            Command::Retry if self.snapshot.state == State::Failed => return Some(Wish::Retry),
            Command::Leave => {
                if Popup::is_any_open(ctx) {
                    Popup::close_all(ctx);
                } else if ctx.input(|input| input.viewport().fullscreen.unwrap_or(false)) {
                    toggle_full_screen(ctx);
                } else {
                    return Some(Wish::Home);
                }
            }
            // The window's own.
            Command::Retry
            | Command::Screenshot
            | Command::OpenAddress
            | Command::Theme
            | Command::Palette
            | Command::Help
            | Command::Quit => {}
        }
        None
    }

    /// Nothing more can be played: what, why, and what to do.
    fn failure(&mut self, ui: &mut Ui) -> Option<Wish> {
        let unknown = ErrorView {
            code: "unknown".to_owned(),
            what: "Playback stopped, and nothing said why.".to_owned(),
            advice: "Try again; if it happens every time, look at the event log (--events).".to_owned(),
        };
        let mut error = self.snapshot.error.clone().unwrap_or(unknown);
        error.what = text::sentence(&error.what);
        error.advice = text::sentence(&error.advice);
        let colours = theme::colours(ui.ctx());
        let mut wish = None;
        ui.painter().rect_filled(ui.max_rect(), 0.0, colours.page);
        let whole = ui.max_rect();
        let shown = egui::ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            let headline = text::headline(&error.code);
            let lines = [error.what.as_str(), error.advice.as_str()];
            parts::message(ui, Icon::Warning, colours.error, headline, &lines, |ui| {
                if parts::primary(ui, "Try again").clicked() {
                    wish = Some(Wish::Retry);
                }
                if parts::secondary(ui, "Back to the streams").clicked() {
                    wish = Some(Wish::Home);
                }
                if parts::secondary(ui, "Copy details").clicked() {
                    ui.ctx()
                        .copy_text(format!("{}\n{}\n{}\n{}", error.code, error.what, error.advice, self.url));
                }
            });
            ui.add_space(tokens::GAP);
        });
        // For whoever reports it; a small window has no room for what the sentences say already.
        let font = egui::FontId::proportional(tokens::TEXT_SMALL);
        let origin = format!("{}  ·  {}", error.code, self.url);
        let mut job = egui::text::LayoutJob::simple_singleline(origin, font, colours.weak);
        job.wrap = egui::text::TextWrapping::truncate_at_width(whole.width() - 2.0 * tokens::PAGE);
        let galley = ui.painter().layout_job(job);
        let place = Align2::CENTER_BOTTOM
            .anchor_size(whole.center_bottom() - vec2(0.0, 2.0 * tokens::GAP), galley.size());
        if shown.inner_rect.top() + shown.content_size.y + tokens::GAP < place.top() {
            ui.painter().galley(place.min, galley, colours.weak);
        }
        wish
    }
}

/// Fills the screen, or stops doing so.
pub(crate) fn toggle_full_screen(ctx: &egui::Context) {
    let full = ctx.input(|input| input.viewport().fullscreen.unwrap_or(false));
    ctx.send_viewport_cmd(ViewportCommand::Fullscreen(!full));
}
