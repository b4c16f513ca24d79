//! The strips over the picture: title and way back above, scrub bar and buttons below.

use egui::{Align, Layout, Rect, Response, RichText, Sense, Ui, UiBuilder, pos2, vec2};
use weir_engine::{Snapshot, State};

use super::menus;
use crate::{
    command::Command,
    text,
    ui::{
        icons::{self, Icon},
        parts,
        scrub::{self, Scrubbed},
        theme,
        thumbs::Thumbs,
        tokens,
    },
};

/// What was done with the controls.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// The same as a shortcut.
    Do(Command),
    /// Something on the scrub bar.
    Scrub(Scrubbed),
    /// The volume was set.
    Volume(f64),
    /// Something in a menu.
    Choose(menus::Choice),
}

/// What the controls need to know beside the snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// The stream's name.
    pub title: &'a str,
    /// Where the viewer holds the scrub bar, or where playback is on the way to.
    pub held: Option<std::time::Duration>,
    /// The window fills the screen.
    pub full_screen: bool,
    /// The statistics are open.
    pub statistics: bool,
    /// The window's size limits the quality.
    pub fit_window: bool,
}

/// What was drawn.
#[derive(Debug)]
pub(crate) struct Shown {
    /// What was done, in order.
    pub actions: Vec<Action>,
    /// The quality button, for its shortcut.
    pub quality: Response,
    /// The pointer is over a strip.
    pub hovered: bool,
}

/// Draws both strips into `rect`.
pub(crate) fn show(
    ui: &mut Ui,
    rect: Rect,
    snapshot: &Snapshot,
    view: View<'_>,
    thumbs: &mut Thumbs,
) -> Shown {
    let mut actions = Vec::new();
    let top = Rect::from_min_max(rect.min, pos2(rect.right(), rect.top() + tokens::HEADER));
    let bottom = Rect::from_min_max(pos2(rect.left(), rect.bottom() - tokens::CONTROLS), rect.max);
    parts::shade(ui, top.with_max_y(top.bottom() + 24.0), false);
    parts::shade(ui, bottom.with_min_y(bottom.top() - 40.0), true);

    ui.scope_builder(UiBuilder::new().max_rect(top.shrink2(vec2(12.0, 10.0))), |ui| {
        header(ui, snapshot, view, &mut actions);
    });
    let inner = bottom.shrink2(vec2(12.0, 0.0)).with_max_y(bottom.bottom() - 8.0);
    let quality = ui
        .scope_builder(UiBuilder::new().max_rect(inner), |ui| {
            ui.spacing_mut().item_spacing = vec2(tokens::GRID, tokens::GRID);
            ui.add_space(tokens::CONTROLS - 8.0 - 24.0 - tokens::GRID - tokens::TOUCH);
            let (_, scrubbed) = scrub::show(ui, snapshot, view.held, thumbs);
            actions.extend(scrubbed.map(Action::Scrub));
            row(ui, snapshot, view, rect.height() - tokens::CONTROLS - 40.0, &mut actions)
        })
        .inner;
    // Where it is now: one that left the window is over nothing.
    let pointer = ui.ctx().pointer_hover_pos();
    let hovered = pointer.is_some_and(|at| top.contains(at) || bottom.contains(at));
    Shown { actions, quality, hovered }
}

fn header(ui: &mut Ui, snapshot: &Snapshot, view: View<'_>, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        if icons::button(ui, Icon::Back, "Back to the streams (Esc)").clicked() {
            actions.push(Action::Do(Command::Leave));
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if let Some((_, edge)) = snapshot.live_window {
                let behind = snapshot.latency.unwrap_or_else(|| edge.saturating_sub(snapshot.position));
                live(ui, behind, snapshot.live_target.unwrap_or_default(), actions);
            }
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let title = RichText::new(view.title).font(theme::strong_font(tokens::TEXT + 2.0));
                ui.add(egui::Label::new(title).truncate());
            });
        });
    });
}

/// A viewer who is so much further behind than the stream wants it has gone back.
const AWAY: std::time::Duration = std::time::Duration::from_secs(8);

/// Says how far behind what happens playback is; a click goes to the edge.
fn live(ui: &mut Ui, behind: std::time::Duration, target: std::time::Duration, actions: &mut Vec<Action>) {
    let at_edge = behind < target + AWAY;
    let label = if at_edge {
        format!("LIVE {}", text::span(behind))
    } else {
        format!("LIVE −{}", text::clock(behind))
    };
    let ground = if at_edge { tokens::LIVE } else { tokens::DARK.hover };
    let label = RichText::new(label).font(theme::strong_font(tokens::TEXT_SMALL)).color(tokens::ON_LIVE);
    let tip = format!("{} behind what happens now; click to go to the live edge (End)", text::span(behind));
    if ui.add(egui::Button::new(label).fill(ground)).on_hover_text(tip).clicked() {
        actions.push(Action::Do(Command::End));
    }
}

fn row(
    ui: &mut Ui,
    snapshot: &Snapshot,
    view: View<'_>,
    menu_height: f32,
    actions: &mut Vec<Action>,
) -> Response {
    let narrow = ui.available_width() < 520.0;
    ui.horizontal(|ui| {
        ui.set_height(tokens::TOUCH);
        let (icon, name) = match snapshot.state {
            State::Ended => (Icon::Replay, "Play again (Space)"),
            State::Paused => (Icon::Play, "Play (Space)"),
            _ => (Icon::Pause, "Pause (Space)"),
        };
        if icons::button(ui, icon, name).clicked() {
            actions.push(Action::Do(Command::PlayPause));
        }
        volume(ui, snapshot, narrow, actions);
        ui.add_space(tokens::GRID);
        time(ui, snapshot, view);

        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let (icon, name) = if view.full_screen {
                (Icon::Shrink, "Leave full screen (F)")
            } else {
                (Icon::Enlarge, "Full screen (F)")
            };
            if icons::button(ui, icon, name).clicked() {
                actions.push(Action::Do(Command::FullScreen));
            }
            if !narrow && icons::button(ui, Icon::Help, &Command::Help.tip()).clicked() {
                actions.push(Action::Do(Command::Help));
            }
            if icons::toggle(ui, Icon::Statistics, &Command::Statistics.tip(), view.statistics).clicked() {
                actions.push(Action::Do(Command::Statistics));
            }
            let sounds = snapshot.sounds.tracks.len() > 1;
            if sounds || !snapshot.subtitles.tracks.is_empty() {
                let on = snapshot.subtitles.chosen.is_some();
                let name = match (sounds, snapshot.subtitles.tracks.is_empty()) {
                    (true, true) => "Sound",
                    (true, false) => "Sound and subtitles (C)",
                    (false, _) => "Subtitles (C)",
                };
                let button = icons::toggle(ui, Icon::Subtitles, name, on);
                actions.extend(menus::languages(&button, snapshot, menu_height).map(Action::Choose));
            }
            let rate = if snapshot.rate > 0.0 { snapshot.rate } else { 1.0 };
            let button = plain(ui, &text::rate(rate)).on_hover_text("Speed (< and >)");
            actions.extend(menus::rate(&button, rate, menu_height).map(Action::Choose));
            let button = plain(ui, &menus::quality_label(snapshot)).on_hover_text(Command::Quality.tip());
            actions
                .extend(menus::quality(&button, snapshot, view.fit_window, menu_height).map(Action::Choose));
            button
        })
        .inner
    })
    .inner
}

/// A button that is only text until the pointer comes.
fn plain(ui: &mut Ui, text: &str) -> Response {
    ui.add(egui::Button::new(text).frame_when_inactive(false).min_size(vec2(0.0, tokens::TOUCH - 2.0)))
}

fn volume(ui: &mut Ui, snapshot: &Snapshot, narrow: bool, actions: &mut Vec<Action>) {
    let silent = snapshot.muted || snapshot.volume <= 0.0;
    let waves = if silent { 0 } else { 1 + u8::from(snapshot.volume > 0.5) };
    let name = if snapshot.muted { "Unmute (M)" } else { "Mute (M)" };
    if icons::button(ui, Icon::Volume(waves), name).clicked() {
        actions.push(Action::Do(Command::Mute));
    }
    if narrow {
        return;
    }
    let volume = if snapshot.muted { 0.0 } else { snapshot.volume.clamp(0.0, 1.0) };
    let (touch, response) = ui.allocate_exact_size(vec2(80.0, 24.0), Sense::click_and_drag());
    response.widget_info(|| egui::WidgetInfo::slider(true, volume, "Volume"));
    let (left, width) = (touch.left() + 6.0, touch.width() - 12.0);
    if let Some(pointer) = response.interact_pointer_pos()
        && (response.dragged() || response.clicked())
    {
        actions.push(Action::Volume(f64::from((pointer.x - left) / width).clamp(0.0, 1.0)));
    }
    let here = pos2(left + width * volume as f32, touch.center().y);
    let rail = |to: f32| Rect::from_x_y_ranges(left..=to, (here.y - 2.0)..=(here.y + 2.0));
    ui.painter().rect_filled(rail(left + width), 2.0, tokens::BAR_EMPTY);
    ui.painter().rect_filled(rail(here.x), 2.0, tokens::DARK.text);
    let grown = ui.ctx().animate_bool(response.id, response.hovered() || response.dragged());
    ui.painter().circle_filled(here, 5.0 + 1.5 * grown, tokens::DARK.text);
    response.on_hover_text(format!("Volume {:.0} %", snapshot.volume * 100.0));
}

fn time(ui: &mut Ui, snapshot: &Snapshot, view: View<'_>) {
    let font = egui::FontId::proportional(tokens::TEXT);
    let position = view.held.unwrap_or(snapshot.position);
    let (text, tip) = match (snapshot.live_window, snapshot.duration) {
        (Some((_, edge)), _) => {
            (format!("−{}", text::clock(edge.saturating_sub(position))), "Behind the newest picture")
        }
        (None, Some(duration)) if snapshot.growing => (
            format!("{} / {} +", text::clock_like(position, duration), text::clock(duration)),
            "Position / length so far: the stream is still being made",
        ),
        (None, Some(duration)) => (
            format!("{} / {}", text::clock_like(position, duration), text::clock(duration)),
            "Position / duration",
        ),
        (None, None) => (text::clock(position), "Position"),
    };
    parts::tabular(ui, &text, &font, tokens::DARK.text).on_hover_text(tip);
}

/// The picture itself: a click pauses, two clicks fill the screen.
pub(crate) fn surface(ui: &mut Ui, rect: Rect) -> Response {
    let response = ui.interact(rect, ui.scope_id().with("picture"), Sense::click());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Image, true, "Picture"));
    response
}
