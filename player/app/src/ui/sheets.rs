//! Sheets over a page: keyboard help, and all commands by name.

use egui::{Align, Button, Id, Key, Layout, Modal, RichText, ScrollArea, TextEdit, Ui, vec2};

use super::{
    icons::{self, Icon},
    theme, tokens,
};
use crate::command::{Command, Section, Spec};

/// The sheet that is open.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Sheet {
    /// None.
    #[default]
    None,
    /// Keyboard help.
    Help,
    /// All commands: what is searched for, and which hit is marked.
    Palette(String, usize),
}

impl Sheet {
    /// Draws it; gives the command that was chosen.
    pub(crate) fn show(&mut self, ctx: &egui::Context, in_player: bool) -> Option<Command> {
        let mut chosen = None;
        let mut close = false;
        let size = ctx.content_rect().size();
        match self {
            Self::None => return None,
            Self::Help => {
                let modal = sheet("help", ctx).show(ctx, |ui| {
                    ui.set_width((size.x - 64.0).min(700.0));
                    close = title(ui, "Keyboard");
                    ScrollArea::vertical()
                        .auto_shrink([false, true])
                        .max_height(size.y - 140.0)
                        .show(ui, help);
                });
                close |= modal.should_close();
            }
            Self::Palette(query, marked) => {
                let modal = sheet("palette", ctx).show(ctx, |ui| {
                    ui.set_width((size.x - 64.0).min(460.0));
                    chosen = palette(ui, query, marked, in_player, size.y - 160.0);
                });
                close |= modal.should_close() || chosen.is_some();
            }
        }
        if close {
            *self = Self::None;
        }
        chosen
    }
}

fn sheet(name: &str, ctx: &egui::Context) -> Modal {
    let frame = egui::Frame::popup(&ctx.global_style())
        .inner_margin(egui::Margin::same(20))
        .corner_radius(egui::CornerRadius::same(tokens::ROUND_LARGE));
    Modal::new(Id::unique(name)).frame(frame).backdrop_color(tokens::BACKDROP)
}

fn title(ui: &mut Ui, text: &str) -> bool {
    ui.horizontal(|ui| {
        ui.heading(text);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            icons::button(ui, Icon::Close, "Close (Esc)").clicked()
        })
        .inner
    })
    .inner
}

/// One line of the help sheet: some keys, and what they do.
fn lines(section: Section) -> Vec<(Vec<String>, &'static str)> {
    Command::ALL
        .into_iter()
        .filter(|command| command.spec().section == section)
        .filter_map(|command| match command {
            // Ten keys of one kind take one line.
            Command::Tenth(0) => {
                Some((vec!["0".to_owned(), "…".to_owned(), "9".to_owned()], "To 0 % … 90 %"))
            }
            Command::Tenth(_) => None,
            _ => {
                let Spec { name, shortcuts, .. } = command.spec();
                Some((shortcuts.into_iter().map(crate::command::Shortcut::label).collect(), name))
            }
        })
        .collect()
}

fn help(ui: &mut Ui) {
    let sections = |ui: &mut Ui, sections: &[Section]| {
        ui.spacing_mut().interact_size.y = 24.0;
        ui.spacing_mut().item_spacing.y = 2.0;
        for section in sections {
            ui.add_space(tokens::GAP);
            ui.label(RichText::new(section.name()).font(theme::strong_font(tokens::TEXT)));
            ui.add_space(tokens::GRID);
            for (keys, name) in lines(*section) {
                ui.horizontal(|ui| {
                    let start = ui.cursor().left();
                    for key in keys {
                        keycap(ui, &key);
                    }
                    ui.add_space((start + 128.0 - ui.cursor().left()).max(0.0));
                    ui.add(egui::Label::new(name).truncate());
                });
            }
        }
    };
    let [playback, sound, quality, window] = Section::ALL;
    if ui.available_width() > 560.0 {
        ui.columns_const(|[left, right]| {
            sections(left, &[playback, sound]);
            sections(right, &[quality, window]);
        });
    } else {
        sections(ui, &Section::ALL);
    }
}

fn keycap(ui: &mut Ui, key: &str) {
    let colours = theme::colours(ui.ctx());
    if key == "…" {
        ui.label("…");
        return;
    }
    let galley =
        ui.painter().layout_no_wrap(key.to_owned(), theme::strong_font(tokens::TEXT_SMALL), colours.text);
    let size = vec2((galley.size().x + 12.0).max(24.0), 22.0);
    let (rect, response) = ui.allocate_exact_size(size, egui::Sense::hover());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Label, true, key));
    let stroke = egui::Stroke::new(1.0, colours.line);
    ui.painter().rect(rect, tokens::ROUND - 2, colours.raised, stroke, egui::StrokeKind::Inside);
    ui.painter().galley(rect.center() - galley.size() / 2.0, galley, colours.text);
}

/// The commands whose name holds all words of the query, best first: those that begin with it.
fn find(query: &str, in_player: bool) -> Vec<Command> {
    let query = query.trim().to_lowercase();
    let mut hits: Vec<Command> = Command::ALL
        .into_iter()
        .filter(|command| {
            let spec = command.spec();
            let name = spec.name.to_lowercase();
            (in_player || !spec.in_player) && query.split_whitespace().all(|word| name.contains(word))
        })
        .filter(|command| *command != Command::Palette)
        // Ten of a kind only when they are asked for.
        .filter(|command| !query.is_empty() || !matches!(command, Command::Tenth(_)))
        .collect();
    hits.sort_by_key(|command| !command.name().to_lowercase().starts_with(&query));
    hits
}

fn palette(
    ui: &mut Ui,
    query: &mut String,
    marked: &mut usize,
    in_player: bool,
    height: f32,
) -> Option<Command> {
    let (up, down, enter) = ui.input_mut(|input| {
        let none = egui::Modifiers::NONE;
        (
            input.consume_key(none, Key::ArrowUp),
            input.consume_key(none, Key::ArrowDown),
            input.key_pressed(Key::Enter),
        )
    });
    let field = TextEdit::singleline(query)
        .hint_text("What do you want to do?")
        .desired_width(f32::INFINITY)
        .margin(egui::Margin::symmetric(12, 9));
    let field = ui.add(field).accessible_name("Find a command");
    field.request_focus();
    if field.changed() {
        *marked = 0;
    }
    let hits = find(query, in_player);
    *marked = match (up, down) {
        (true, _) => marked.saturating_sub(1),
        (_, true) => *marked + 1,
        _ => *marked,
    }
    .min(hits.len().saturating_sub(1));
    let mut chosen = hits.get(*marked).copied().filter(|_| enter);
    if hits.is_empty() {
        ui.weak("No command is called that.");
    }
    ScrollArea::vertical().auto_shrink([false, true]).max_height(height.max(80.0)).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        for (index, command) in hits.into_iter().enumerate() {
            let spec = command.spec();
            let keys: Vec<_> = spec.shortcuts.iter().map(|shortcut| shortcut.label()).collect();
            let button = Button::selectable(index == *marked, spec.name)
                .shortcut_text(RichText::new(keys.join("   ")).weak())
                .min_size(vec2(ui.available_width(), 30.0));
            let line = ui.add(button);
            if index == *marked && (up || down) {
                line.scroll_to_me(None);
            }
            if line.clicked() {
                chosen = Some(command);
            }
        }
    });
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_sheet_shows_every_command_once() {
        let shown: usize = Section::ALL.into_iter().map(|section| lines(section).len()).sum();
        assert_eq!(shown, Command::ALL.len() - 9, "ten keys for tenths take one line");
    }

    #[test]
    fn commands_are_found_by_any_word_of_their_name() {
        assert_eq!(find("screen", true)[..1], [Command::FullScreen], "found inside a word, too");
        assert_eq!(find("back 10", true), [Command::BackFar]);
        assert!(find("play", true)[0] == Command::PlayPause);
        assert!(find("zebra", true).is_empty());
        assert!(!find("", true).contains(&Command::Palette), "it is open already");
        assert!(find("", false).iter().all(|command| !command.spec().in_player));
    }
}
