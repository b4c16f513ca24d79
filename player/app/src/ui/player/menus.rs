//! The quality menu and the speed menu.

use egui::{
    Button, Frame, Popup, PopupCloseBehavior, RectAlign, Response, RichText, ScrollArea, Theme, Ui, vec2,
};
use weir_abr::{Bitrate, RungId, planner::QualityChoice};
use weir_engine::Snapshot;

use crate::{
    text,
    ui::{icons::Icon, theme, tokens},
};

/// Rates that the menu offers.
pub(crate) const RATES: [f64; 8] = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 4.0];

/// Caps that the menu offers, in kbit/s.
const CAPS: [f64; 5] = [500.0, 1000.0, 2000.0, 4000.0, 8000.0];

/// What was chosen in a menu.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Choice {
    /// Auto, or a rung.
    Quality(QualityChoice),
    /// A cap on bitrate, or none.
    Cap(Option<Bitrate>),
    /// Whether the window's size is a cap.
    FitWindow(bool),
    /// A playback rate.
    Rate(f64),
    /// Sound of this place in the snapshot's list.
    Sound(usize),
    /// Subtitles of this place in the snapshot's list, or none.
    Subtitles(Option<usize>),
}

/// What the quality button says: "Auto (720p)", "720p", and the rung on the way where it differs.
pub(crate) fn quality_label(snapshot: &Snapshot) -> String {
    let label = |rung: Option<usize>| snapshot.video.rungs.get(rung?).map(|view| view.label.clone());
    let showing = label(snapshot.video.showing.or(snapshot.video.loading));
    match snapshot.quality {
        QualityChoice::Auto => {
            showing.map_or_else(|| "Auto".to_owned(), |showing| format!("Auto ({showing})"))
        }
        QualityChoice::Manual(RungId(rung)) => {
            let chosen = label(Some(rung)).unwrap_or_else(|| "Manual".to_owned());
            match showing {
                Some(showing) if showing != chosen => format!("{chosen} (now {showing})"),
                _ => chosen,
            }
        }
    }
}

/// The rung that `label` names: "720p", "720", or its bitrate as the menu writes it.
pub(crate) fn find_quality(snapshot: &Snapshot, label: &str) -> Option<RungId> {
    let wanted = label.trim().to_lowercase();
    let lines: Option<u32> = wanted.trim_end_matches('p').parse().ok();
    // Of several with one height the best is meant.
    snapshot
        .video
        .rungs
        .iter()
        .rposition(|view| view.label.to_lowercase() == wanted || (lines.is_some() && view.height == lines))
        .map(RungId)
}

/// The rung above or below the one that is chosen, or on screen in Auto.
pub(crate) fn neighbour(snapshot: &Snapshot, up: bool) -> Option<RungId> {
    let rungs = snapshot.video.rungs.len();
    let now = match snapshot.quality {
        QualityChoice::Manual(RungId(rung)) => rung,
        QualityChoice::Auto => snapshot.video.showing.or(snapshot.video.loading)?,
    };
    let next = if up { now + 1 } else { now.checked_sub(1)? };
    (next < rungs).then_some(RungId(next))
}

/// The rate after `rate` in the menu.
pub(crate) fn next_rate(rate: f64, faster: bool) -> f64 {
    let mut rates = RATES.into_iter();
    if faster {
        rates.find(|next| *next > rate + 0.001).unwrap_or(RATES[RATES.len() - 1])
    } else {
        rates.rev().find(|next| *next < rate - 0.001).unwrap_or(RATES[0])
    }
}

fn popup<'a>(button: &Response) -> Popup<'a> {
    // Dark like all that lies over the picture: its content is, whatever the theme.
    Popup::menu(button)
        .frame(Frame::popup(&button.ctx.style_of(Theme::Dark)))
        .align(RectAlign::TOP_END)
        .align_alternatives(&[RectAlign::TOP_START, RectAlign::BOTTOM_END])
        .gap(tokens::GAP)
        .close_behavior(PopupCloseBehavior::CloseOnClickOutside)
}

/// Height of a line of a menu.
const LINE: f32 = 28.0;
/// Room for the tick.
const INDENT: &str = "      ";

/// The lines of a menu, which may take `height`; more are scrolled to.
fn lines(ui: &mut Ui, height: f32, add: impl FnOnce(&mut Ui)) {
    // What the menu took when it was measured is not what it may take.
    ScrollArea::vertical().min_scrolled_height(height).max_height(height).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        add(ui);
    });
}

/// A line of a menu: a tick when chosen, a name, a side note. `true` when clicked.
fn line(ui: &mut Ui, chosen: bool, name: &str, note: &str) -> bool {
    let response = ui
        .scope(|ui| {
            ui.spacing_mut().button_padding = vec2(tokens::GAP, 0.0);
            ui.spacing_mut().interact_size.y = LINE;
            let width = ui.available_width();
            let note = RichText::new(note).size(tokens::TEXT_SMALL).weak();
            let button = Button::new(format!("{INDENT}{name}"))
                .shortcut_text(note)
                .frame_when_inactive(false)
                .min_size(vec2(width, LINE));
            ui.add(button)
        })
        .inner;
    if chosen {
        let left = response.rect.left_center() + vec2(6.0, -8.0);
        let place = egui::Rect::from_min_size(left, vec2(16.0, 16.0));
        Icon::Tick.paint(ui.painter(), place, ui.visuals().hyperlink_color);
    }
    response.clicked()
}

fn heading(ui: &mut Ui, text: &str) {
    ui.horizontal(|ui| {
        ui.spacing_mut().interact_size.y = LINE;
        ui.add_space(tokens::GAP);
        ui.label(RichText::new(text).font(theme::strong_font(tokens::TEXT_SMALL)).weak());
    });
}

/// The quality menu above its button.
pub(crate) fn quality(
    button: &Response,
    snapshot: &Snapshot,
    fit_window: bool,
    height: f32,
) -> Option<Choice> {
    let mut choice = None;
    popup(button).width(250.0).show(|ui| {
        theme::over_picture(ui);
        ui.set_min_width(250.0);
        lines(ui, height, |ui| {
            heading(ui, "Quality");
            let auto = snapshot.quality == QualityChoice::Auto;
            if line(ui, auto, "Auto", "follows the network") {
                choice = Some(Choice::Quality(QualityChoice::Auto));
            }
            for (rung, view) in snapshot.video.rungs.iter().enumerate().rev() {
                let chosen = snapshot.quality == QualityChoice::Manual(RungId(rung));
                let mut note = text::bitrate(view.bitrate);
                if snapshot.video.showing == Some(rung) {
                    note = format!("on screen  ·  {note}");
                }
                if line(ui, chosen, &view.label, &note) {
                    choice = Some(Choice::Quality(QualityChoice::Manual(RungId(rung))));
                }
            }
            ui.separator();
            heading(ui, "Automatic quality stays below");
            if line(ui, snapshot.caps.bitrate.is_none(), "No limit", "") {
                choice = Some(Choice::Cap(None));
            }
            let mut caps: Vec<Bitrate> = CAPS.into_iter().map(Bitrate::from_kbps).collect();
            if let Some(own) = snapshot.caps.bitrate.filter(|own| !caps.contains(own)) {
                caps.push(own);
                caps.sort();
            }
            for cap in caps {
                if line(ui, snapshot.caps.bitrate == Some(cap), &text::bitrate(cap), &hourly(cap)) {
                    choice = Some(Choice::Cap(Some(cap)));
                }
            }
            if line(ui, fit_window, "The window's size", "saves data") {
                choice = Some(Choice::FitWindow(!fit_window));
            }
        });
        if choice.is_some() {
            ui.close();
        }
    });
    choice
}

/// What an hour at this rate takes: people pay for gigabytes.
fn hourly(rate: Bitrate) -> String {
    format!("{:.1} GB an hour", rate.bps() as f64 * 3600.0 / 8e9)
}

/// The menu of sounds and subtitles above its button.
pub(crate) fn languages(button: &Response, snapshot: &Snapshot, height: f32) -> Option<Choice> {
    let mut choice = None;
    popup(button).width(220.0).show(|ui| {
        theme::over_picture(ui);
        ui.set_min_width(220.0);
        lines(ui, height, |ui| {
            let sounds = &snapshot.sounds;
            if sounds.tracks.len() > 1 {
                heading(ui, "Sound");
                for (at, track) in sounds.tracks.iter().enumerate() {
                    let note = track.language.as_deref().filter(|language| *language != track.label);
                    if line(ui, sounds.chosen == Some(at), &track.label, note.unwrap_or_default()) {
                        choice = Some(Choice::Sound(at));
                    }
                }
                if snapshot.subtitles.tracks.is_empty() {
                    return;
                }
                ui.separator();
            }
            heading(ui, "Subtitles");
            let chosen = snapshot.subtitles.chosen;
            if line(ui, chosen.is_none(), "Off", "") {
                choice = Some(Choice::Subtitles(None));
            }
            for (at, track) in snapshot.subtitles.tracks.iter().enumerate() {
                let mut note = track.language.clone().filter(|language| *language != track.label);
                if track.forced {
                    note =
                        Some(note.map_or("signs only".to_owned(), |note| format!("{note}  ·  signs only")));
                }
                if let Some(obstacle) = &track.obstacle {
                    let name = RichText::new(format!("{INDENT}{}: cannot be shown", track.label)).weak();
                    ui.horizontal(|ui| {
                        ui.add_space(tokens::GAP);
                        ui.label(name).on_hover_text(obstacle);
                    });
                } else if line(ui, chosen == Some(at), &track.label, note.as_deref().unwrap_or_default()) {
                    choice = Some(Choice::Subtitles(Some(at)));
                }
            }
        });
        if choice.is_some() {
            ui.close();
        }
    });
    choice
}

/// The subtitles after those that are shown, and after the last ones none.
pub(crate) fn next_subtitles(snapshot: &Snapshot) -> Option<usize> {
    let from = snapshot.subtitles.chosen.map_or(0, |chosen| chosen + 1);
    let mut tracks = snapshot.subtitles.tracks.iter().enumerate().skip(from);
    tracks.find(|(_, track)| track.obstacle.is_none()).map(|(at, _)| at)
}

/// The speed menu above its button.
pub(crate) fn rate(button: &Response, rate: f64, height: f32) -> Option<Choice> {
    let mut choice = None;
    popup(button).width(120.0).show(|ui| {
        theme::over_picture(ui);
        ui.set_min_width(120.0);
        lines(ui, height, |ui| {
            heading(ui, "Speed");
            for offered in RATES.into_iter().rev() {
                let note = if offered == 1.0 { "normal" } else { "" };
                if line(ui, (offered - rate).abs() < 0.001, &text::rate(offered), note) {
                    choice = Some(Choice::Rate(offered));
                }
            }
        });
        if choice.is_some() {
            ui.close();
        }
    });
    choice
}

#[cfg(test)]
mod tests {
    use weir_engine::QualityView;

    use super::*;

    fn snapshot() -> Snapshot {
        let rung = |lines: u32, kbps| QualityView {
            label: format!("{lines}p"),
            bitrate: Bitrate::from_kbps(kbps),
            height: Some(lines),
        };
        let mut snapshot = Snapshot::default();
        snapshot.video.rungs =
            vec![rung(240, 300.0), rung(480, 1200.0), rung(720, 2000.0), rung(720, 2800.0)];
        snapshot
    }

    #[test]
    fn the_button_always_says_what_is_on_screen() {
        let mut s = snapshot();
        assert_eq!(quality_label(&s), "Auto");
        s.video.loading = Some(1);
        assert_eq!(quality_label(&s), "Auto (480p)");
        s.video.showing = Some(0);
        assert_eq!(quality_label(&s), "Auto (240p)");
        s.quality = QualityChoice::Manual(RungId(2));
        assert_eq!(quality_label(&s), "720p (now 240p)");
        s.video.showing = Some(2);
        assert_eq!(quality_label(&s), "720p");
        s.quality = QualityChoice::Manual(RungId(99));
        assert_eq!(quality_label(&s), "Manual (now 720p)");
    }

    #[test]
    fn a_quality_is_found_by_its_label_or_its_lines() {
        let s = snapshot();
        assert_eq!(find_quality(&s, "480p"), Some(RungId(1)));
        assert_eq!(find_quality(&s, " 240 "), Some(RungId(0)));
        assert_eq!(find_quality(&s, "720p"), Some(RungId(3)), "the better one of two");
        assert_eq!(find_quality(&s, "1080p"), None);
        assert_eq!(find_quality(&s, "best"), None);
    }

    #[test]
    fn neighbours_end_at_the_ladders_ends() {
        let mut s = snapshot();
        assert_eq!(neighbour(&s, true), None, "nothing is on screen yet");
        s.video.showing = Some(0);
        assert_eq!(neighbour(&s, true), Some(RungId(1)));
        assert_eq!(neighbour(&s, false), None);
        s.quality = QualityChoice::Manual(RungId(3));
        assert_eq!(neighbour(&s, true), None);
        assert_eq!(neighbour(&s, false), Some(RungId(2)));
    }

    #[test]
    fn rates_step_through_the_menu_and_stop_at_its_ends() {
        assert_eq!(next_rate(1.0, true), 1.25);
        assert_eq!(next_rate(1.0, false), 0.75);
        assert_eq!(next_rate(1.1, true), 1.25);
        assert_eq!(next_rate(4.0, true), 4.0);
        assert_eq!(next_rate(0.25, false), 0.25);
    }

    #[test]
    fn subtitles_are_gone_through_in_turn_and_those_that_cannot_be_shown_are_left_out() {
        let mut s = snapshot();
        assert_eq!(next_subtitles(&s), None);
        let track = |obstacle: Option<&str>| weir_engine::SubtitleTrackView {
            obstacle: obstacle.map(str::to_owned),
            ..Default::default()
        };
        s.subtitles.tracks = vec![track(None), track(Some("pictures")), track(None)];
        assert_eq!(next_subtitles(&s), Some(0));
        s.subtitles.chosen = Some(0);
        assert_eq!(next_subtitles(&s), Some(2));
        s.subtitles.chosen = Some(2);
        assert_eq!(next_subtitles(&s), None);
    }

    #[test]
    fn a_cap_says_what_an_hour_takes() {
        assert_eq!(hourly(Bitrate::from_kbps(2000.0)), "0.9 GB an hour");
    }
}
