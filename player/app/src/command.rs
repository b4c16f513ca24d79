//! Everything that a viewer can do, in one place: menus, shortcuts, tooltips, the palette and the help sheet are made from it.

use egui::{Key, Modifiers};

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Pause, go on, or start again from the beginning after the end.
    PlayPause,
    /// Five seconds back.
    Back,
    /// Five seconds on.
    Forward,
    /// Ten seconds back.
    BackFar,
    /// Ten seconds on.
    ForwardFar,
    /// To so many tenths of the duration, 0 to 9.
    Tenth(u8),
    /// To the beginning.
    Start,
    /// To the end, or to the live edge.
    End,
    /// Louder.
    VolumeUp,
    /// Softer.
    VolumeDown,
    /// Sound off or on.
    Mute,
    /// The next slower rate.
    Slower,
    /// The next faster rate.
    Faster,
    /// Rate 1.
    NormalRate,
    /// Fill the screen, or stop doing so.
    FullScreen,
    /// Leave what is open: sheet, menu, full screen, then the player.
    Leave,
    /// Show or hide the statistics.
    Statistics,
    /// Open the quality menu.
    Quality,
    /// Choose the next higher quality by hand.
    QualityUp,
    /// Choose the next lower quality by hand.
    QualityDown,
    /// Let Weir choose the quality.
    QualityAuto,
    /// Show or hide subtitles.
    Subtitles,
    /// Show the next subtitles that there are.
    NextSubtitles,
    /// Try again after a failure, or load the server's list anew.
    Retry,
    /// Save the window's picture.
    Screenshot,
    /// Copy the stream's address.
    CopyAddress,
    /// Write an address.
    OpenAddress,
    /// Light or dark.
    Theme,
    /// Find a command by its name.
    Palette,
    /// Show the help sheet.
    Help,
    /// Close Weir.
    Quit,
}

/// Where the help sheet lists a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Play, pause and move.
    Playback,
    /// Picture and sound.
    Sound,
    /// What the picture looks like, and what is written in it.
    Quality,
    /// The window.
    Window,
}

impl Section {
    /// All, in the sheet's order.
    pub const ALL: [Self; 4] = [Self::Playback, Self::Sound, Self::Quality, Self::Window];

    /// Its heading.
    pub fn name(self) -> &'static str {
        match self {
            Self::Playback => "Playback",
            Self::Sound => "Sound and speed",
            Self::Quality => "Quality and subtitles",
            Self::Window => "Window",
        }
    }
}

/// What triggers a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shortcut {
    /// A key with exactly these modifiers.
    Key(Modifiers, Key),
    /// A character, wherever the keyboard's layout puts it.
    Char(char),
}

impl Shortcut {
    /// As the help sheet and tooltips write it.
    pub fn label(self) -> String {
        match self {
            Self::Char(c) => c.to_string(),
            Self::Key(modifiers, key) => {
                let mut text = String::new();
                for (held, name) in
                    [(modifiers.ctrl, "Ctrl+"), (modifiers.alt, "Alt+"), (modifiers.shift, "Shift+")]
                {
                    if held {
                        text.push_str(name);
                    }
                }
                text.push_str(match key {
                    Key::ArrowLeft => "←",
                    Key::ArrowRight => "→",
                    Key::ArrowUp => "↑",
                    Key::ArrowDown => "↓",
                    Key::Escape => "Esc",
                    other => other.name(),
                });
                text
            }
        }
    }
}

/// A command for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// What it does, as a menu says it.
    pub name: &'static str,
    /// Where the help sheet lists it.
    pub section: Section,
    /// What triggers it; the first one is shown in tooltips.
    pub shortcuts: Vec<Shortcut>,
    /// It does something only while a stream is open.
    pub in_player: bool,
}

impl Command {
    /// Every command, in the help sheet's order.
    pub const ALL: [Self; 40] = [
        Self::PlayPause,
        Self::Back,
        Self::Forward,
        Self::BackFar,
        Self::ForwardFar,
        Self::Tenth(0),
        Self::Tenth(1),
        Self::Tenth(2),
        Self::Tenth(3),
        Self::Tenth(4),
        Self::Tenth(5),
        Self::Tenth(6),
        Self::Tenth(7),
        Self::Tenth(8),
        Self::Tenth(9),
        Self::Start,
        Self::End,
        Self::VolumeUp,
        Self::VolumeDown,
        Self::Mute,
        Self::Slower,
        Self::Faster,
        Self::NormalRate,
        Self::Quality,
        Self::QualityUp,
        Self::QualityDown,
        Self::QualityAuto,
        Self::Subtitles,
        Self::NextSubtitles,
        Self::Statistics,
        Self::FullScreen,
        Self::Leave,
        Self::OpenAddress,
        Self::CopyAddress,
        Self::Screenshot,
        Self::Retry,
        Self::Theme,
        Self::Palette,
        Self::Help,
        Self::Quit,
    ];

    /// What people see of it.
    pub fn spec(self) -> Spec {
        use Section::{Playback, Quality, Sound, Window};
        let key = |key| Shortcut::Key(Modifiers::NONE, key);
        let ctrl = |key| Shortcut::Key(Modifiers::CTRL, key);
        let shift = |key| Shortcut::Key(Modifiers::SHIFT, key);
        let (name, section, shortcuts) = match self {
            Self::PlayPause => ("Play or pause", Playback, vec![key(Key::Space), key(Key::K)]),
            Self::Back => ("Back 5 seconds", Playback, vec![key(Key::ArrowLeft)]),
            Self::Forward => ("Forward 5 seconds", Playback, vec![key(Key::ArrowRight)]),
            Self::BackFar => ("Back 10 seconds", Playback, vec![key(Key::J)]),
            Self::ForwardFar => ("Forward 10 seconds", Playback, vec![key(Key::L)]),
            Self::Tenth(tenth) => {
                let (name, key_of) = TENTHS[usize::from(tenth.min(9))];
                (name, Playback, vec![key(key_of)])
            }
            Self::Start => ("To the beginning", Playback, vec![key(Key::Home)]),
            Self::End => ("To the end or the live edge", Playback, vec![key(Key::End)]),
            Self::VolumeUp => ("Louder", Sound, vec![key(Key::ArrowUp)]),
            Self::VolumeDown => ("Softer", Sound, vec![key(Key::ArrowDown)]),
            Self::Mute => ("Mute", Sound, vec![key(Key::M)]),
            Self::Slower => ("Slower", Sound, vec![Shortcut::Char('<')]),
            Self::Faster => ("Faster", Sound, vec![Shortcut::Char('>')]),
            Self::NormalRate => ("Normal speed", Sound, vec![key(Key::Backspace)]),
            Self::Quality => ("Quality menu", Quality, vec![key(Key::Q)]),
            Self::QualityUp => ("Next higher quality", Quality, vec![shift(Key::ArrowUp)]),
            Self::QualityDown => ("Next lower quality", Quality, vec![shift(Key::ArrowDown)]),
            Self::QualityAuto => ("Automatic quality", Quality, vec![key(Key::A)]),
            Self::Subtitles => ("Subtitles on or off", Quality, vec![key(Key::C)]),
            Self::NextSubtitles => ("Next subtitles", Quality, vec![shift(Key::C)]),
            Self::Statistics => ("Statistics", Quality, vec![key(Key::I), key(Key::S)]),
            Self::FullScreen => ("Full screen", Window, vec![key(Key::F), key(Key::F11)]),
            Self::Leave => ("Close or go back", Window, vec![key(Key::Escape)]),
            Self::OpenAddress => ("Open an address", Window, vec![ctrl(Key::L), ctrl(Key::O)]),
            Self::CopyAddress => ("Copy the stream's address", Window, vec![ctrl(Key::U)]),
            Self::Screenshot => ("Save a screenshot", Window, vec![ctrl(Key::S)]),
            Self::Retry => ("Try again or reload", Window, vec![key(Key::F5), ctrl(Key::R)]),
            Self::Theme => ("Light or dark", Window, vec![ctrl(Key::T)]),
            Self::Palette => ("All commands", Window, vec![ctrl(Key::K), ctrl(Key::P)]),
            Self::Help => ("Keyboard help", Window, vec![Shortcut::Char('?'), key(Key::F1)]),
            Self::Quit => ("Quit", Window, vec![ctrl(Key::Q)]),
        };
        let in_player = !matches!(
            self,
            Self::Leave
                | Self::OpenAddress
                | Self::Screenshot
                | Self::Retry
                | Self::Theme
                | Self::Palette
                | Self::Help
                | Self::Quit
                | Self::FullScreen
        );
        Spec { name, section, shortcuts, in_player }
    }

    /// What it does, as a menu says it.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// "Mute (M)": the name with the first shortcut, for tooltips.
    pub fn tip(self) -> String {
        let spec = self.spec();
        spec.shortcuts
            .first()
            .map_or_else(|| spec.name.to_owned(), |first| format!("{} ({})", spec.name, first.label()))
    }

    /// Holding its key does it again and again.
    fn repeats(self) -> bool {
        matches!(
            self,
            Self::Back | Self::Forward | Self::BackFar | Self::ForwardFar | Self::VolumeUp | Self::VolumeDown
        )
    }

    /// The commands whose shortcuts were pressed, taken out of the input so that nothing else reacts to them.
    pub fn take_pressed(input: &mut egui::InputState, in_player: bool, keep_space: bool) -> Vec<Self> {
        let mut pressed = Vec::new();
        for command in Self::ALL {
            let spec = command.spec();
            if spec.in_player && !in_player {
                continue;
            }
            for shortcut in spec.shortcuts {
                let hit = match shortcut {
                    // A focused button wants the space bar for itself.
                    Shortcut::Key(_, Key::Space) if keep_space => false,
                    Shortcut::Key(modifiers, key) => take_key(input, modifiers, key, command.repeats()),
                    Shortcut::Char(wanted) => take_char(input, wanted),
                };
                if hit && !pressed.contains(&command) {
                    pressed.push(command);
                }
            }
        }
        pressed
    }
}

const TENTHS: [(&str, Key); 10] = [
    ("To 0 %", Key::Num0),
    ("To 10 %", Key::Num1),
    ("To 20 %", Key::Num2),
    ("To 30 %", Key::Num3),
    ("To 40 %", Key::Num4),
    ("To 50 %", Key::Num5),
    ("To 60 %", Key::Num6),
    ("To 70 %", Key::Num7),
    ("To 80 %", Key::Num8),
    ("To 90 %", Key::Num9),
];

fn take_key(input: &mut egui::InputState, wanted: Modifiers, wanted_key: Key, repeats: bool) -> bool {
    let mut hit = false;
    input.events.retain(|event| match event {
        egui::Event::Key { key, modifiers, pressed: true, repeat, .. }
            if *key == wanted_key && modifiers.matches_exact(wanted) =>
        {
            hit |= repeats || !repeat;
            false
        }
        _ => true,
    });
    hit
}

fn take_char(input: &mut egui::InputState, wanted: char) -> bool {
    let before = input.events.len();
    input.events.retain(|event| {
        !matches!(event, egui::Event::Text(text)
            if text.chars().eq([wanted]))
    });
    input.events.len() != before
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap, HashSet};

    use super::*;

    #[test]
    fn every_command_is_listed_once() {
        let all: HashSet<_> = Command::ALL.into_iter().collect();
        assert_eq!(all.len(), Command::ALL.len());
        // One look at each variant: a new one does not compile until it is thought of here.
        for command in Command::ALL {
            match command {
                Command::Tenth(tenth) => assert!(tenth < 10),
                Command::PlayPause
                | Command::Back
                | Command::Forward
                | Command::BackFar
                | Command::ForwardFar
                | Command::Start
                | Command::End
                | Command::VolumeUp
                | Command::VolumeDown
                | Command::Mute
                | Command::Slower
                | Command::Faster
                | Command::NormalRate
                | Command::FullScreen
                | Command::Leave
                | Command::Statistics
                | Command::Quality
                | Command::QualityUp
                | Command::QualityDown
                | Command::QualityAuto
                | Command::Retry
                | Command::Subtitles
                | Command::NextSubtitles
                | Command::Screenshot
                | Command::CopyAddress
                | Command::OpenAddress
                | Command::Theme
                | Command::Palette
                | Command::Help
                | Command::Quit => {}
            }
        }
        let tenths = Command::ALL.into_iter().filter(|c| matches!(c, Command::Tenth(_))).count();
        assert_eq!((Command::ALL.len() - tenths, tenths), (30, 10), "ALL holds every variant");
    }

    #[test]
    fn no_shortcut_means_two_things() {
        let mut seen = HashMap::new();
        for command in Command::ALL {
            let shortcuts = command.spec().shortcuts;
            assert!(!shortcuts.is_empty(), "{command:?} cannot be reached by keyboard");
            for shortcut in shortcuts {
                if let Some(other) = seen.insert(shortcut, command) {
                    panic!("{} means {other:?} and {command:?}", shortcut.label());
                }
            }
        }
    }

    #[test]
    fn names_are_unique_and_every_section_has_some() {
        let names: BTreeSet<_> = Command::ALL.map(Command::name).into_iter().collect();
        assert_eq!(names.len(), Command::ALL.len());
        for section in Section::ALL {
            assert!(Command::ALL.iter().any(|c| c.spec().section == section), "{}", section.name());
        }
    }

    fn press(events: Vec<egui::Event>, in_player: bool) -> Vec<Command> {
        passes(&[events], in_player)
    }

    /// What the last of several passes gives.
    fn passes(passes: &[Vec<egui::Event>], in_player: bool) -> Vec<Command> {
        let context = egui::Context::default();
        let mut taken = Vec::new();
        for events in passes {
            let input = egui::RawInput { events: events.clone(), ..Default::default() };
            let mut output = context.run_ui(input, |ui| {
                taken = ui.ctx().input_mut(|input| Command::take_pressed(input, in_player, false));
            });
            output.textures_delta.clear();
        }
        taken
    }

    fn key(key: Key, modifiers: Modifiers) -> egui::Event {
        egui::Event::Key { key, physical_key: None, pressed: true, repeat: false, modifiers }
    }

    #[test]
    fn keys_become_commands_with_exactly_their_modifiers() {
        assert_eq!(press(vec![key(Key::L, Modifiers::NONE)], true), [Command::ForwardFar]);
        assert_eq!(press(vec![key(Key::L, Modifiers::CTRL)], true), [Command::OpenAddress]);
        // As a desktop without a Mac's keyboard sends it.
        let ctrl = Modifiers { ctrl: true, command: true, ..Modifiers::NONE };
        assert_eq!(press(vec![key(Key::L, ctrl)], true), [Command::OpenAddress]);
        assert_eq!(press(vec![key(Key::L, Modifiers::ALT)], true), []);
        assert_eq!(press(vec![egui::Event::Text("?".to_owned())], true), [Command::Help]);
        assert_eq!(press(vec![egui::Event::Text(">".to_owned())], true), [Command::Faster]);
    }

    #[test]
    fn a_held_key_repeats_only_what_makes_sense_to_repeat() {
        // A second press without a release between is what a held key sends.
        let held =
            |wanted| passes(&[vec![key(wanted, Modifiers::NONE)], vec![key(wanted, Modifiers::NONE)]], true);
        assert_eq!(held(Key::ArrowRight), [Command::Forward]);
        assert_eq!(held(Key::F), []);
    }

    #[test]
    fn playback_keys_do_nothing_without_a_stream() {
        assert_eq!(press(vec![key(Key::Space, Modifiers::NONE)], false), []);
        assert_eq!(press(vec![key(Key::F, Modifiers::NONE)], false), [Command::FullScreen]);
    }

    #[test]
    fn the_keyboard_page_names_every_shortcut() {
        let page = include_str!("../../../docs/keyboard.md");
        for command in Command::ALL {
            if matches!(command, Command::Tenth(1..=8)) {
                continue; // The page writes "`0` to `9`".
            }
            for shortcut in command.spec().shortcuts {
                assert!(
                    page.contains(&format!("`{}`", shortcut.label())),
                    "{} ({command:?})",
                    shortcut.label()
                );
            }
        }
    }
}
