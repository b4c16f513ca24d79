//! The language of CEA-608 (CTA-608-E): pop-on, paint-on and roll-up captions of one channel.

use super::screen::{COLUMNS, Look, ROWS, Screen};

/// How text gets onto the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// Nothing was said yet: what comes is the end of something.
    #[default]
    Unknown,
    /// Written unseen, then shown at once.
    PopOn,
    /// Written where it is seen.
    PaintOn,
    /// So many rows that go up by one with each new line.
    RollUp(usize),
    /// Text that is no caption.
    Text,
}

/// The decoder of one channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Decoder {
    mode: Mode,
    shown: Screen,
    hidden: Screen,
    row: usize,
    column: usize,
    look: Look,
}

const BOTTOM: usize = ROWS - 1;

impl Decoder {
    /// What is seen.
    pub(super) fn shown(&self) -> &Screen {
        &self.shown
    }

    fn screen(&mut self) -> Option<&mut Screen> {
        match self.mode {
            Mode::PopOn => Some(&mut self.hidden),
            Mode::PaintOn | Mode::RollUp(_) => Some(&mut self.shown),
            Mode::Unknown | Mode::Text => None,
        }
    }

    /// A printable byte.
    pub(super) fn character(&mut self, byte: u8) {
        if byte >= 0x20 {
            self.write(basic(byte));
        }
    }

    fn write(&mut self, c: char) {
        let (row, column, look) = (self.row, self.column, self.look);
        if let Some(screen) = self.screen() {
            screen.put(row, column, Some((c, look)));
            self.column = (column + 1).min(COLUMNS - 1);
        }
    }

    fn back(&mut self) {
        self.column = self.column.saturating_sub(1);
        let (row, column) = (self.row, self.column);
        if let Some(screen) = self.screen() {
            screen.put(row, column, None);
        }
    }

    /// A pair of which the first byte is 0x10 to 0x17, the channel's bit taken out.
    pub(super) fn control(&mut self, first: u8, second: u8) {
        match (first, second) {
            (_, 0x40..) => self.address(first, second),
            (0x11, 0x20..=0x2F) => self.mid_row(second),
            (0x11, 0x30..=0x3F) => match SPECIAL.get(usize::from(second - 0x30)) {
                // A place that shows what is behind it.
                Some('\u{a0}') => {
                    let (row, column) = (self.row, self.column);
                    if let Some(screen) = self.screen() {
                        screen.put(row, column, None);
                        self.column = (column + 1).min(COLUMNS - 1);
                    }
                }
                Some(c) => self.write(*c),
                None => {}
            },
            (0x12 | 0x13, 0x20..=0x3F) => {
                let table = if first == 0x12 { &SPANISH_FRENCH } else { &PORTUGUESE_GERMAN };
                if let Some(c) = table.get(usize::from(second - 0x20)) {
                    // It follows a plain character that stands for it in decoders that do not know it.
                    self.back();
                    self.write(*c);
                }
            }
            (0x14 | 0x15, 0x20..=0x2F) => self.command(second),
            (0x17, 0x21..=0x23) => {
                self.column = (self.column + usize::from(second - 0x20)).min(COLUMNS - 1);
            }
            _ => {}
        }
    }

    fn command(&mut self, second: u8) {
        match second {
            0x20 => self.mode = Mode::PopOn,
            0x21 => self.back(),
            0x24 => {
                let (row, column) = (self.row, self.column);
                if let Some(screen) = self.screen() {
                    screen.clear_row(row, column);
                }
            }
            0x25..=0x27 => {
                if !matches!(self.mode, Mode::RollUp(_)) {
                    (self.shown, self.hidden) = (Screen::default(), Screen::default());
                    self.row = BOTTOM;
                    self.column = 0;
                    self.look = Look::default();
                }
                self.mode = Mode::RollUp(usize::from(second - 0x23));
            }
            0x29 => self.mode = Mode::PaintOn,
            0x2A | 0x2B => self.mode = Mode::Text,
            0x2C => self.shown = Screen::default(),
            0x2D => {
                if let Mode::RollUp(count) = self.mode {
                    self.shown.roll(self.row, count);
                    self.column = 0;
                    self.look = Look::default();
                }
            }
            0x2E => self.hidden = Screen::default(),
            0x2F => {
                std::mem::swap(&mut self.shown, &mut self.hidden);
                self.mode = Mode::PopOn;
            }
            _ => {}
        }
    }

    /// Preamble address code: where the next text stands and how it looks.
    fn address(&mut self, first: u8, second: u8) {
        let pair: [usize; 2] = match first {
            0x10 => [10, 10],
            0x11 => [0, 1],
            0x12 => [2, 3],
            0x13 => [11, 12],
            0x14 => [13, 14],
            0x15 => [4, 5],
            0x16 => [6, 7],
            _ => [8, 9],
        };
        let row = if second & 0x20 == 0 { pair[0] } else { pair[1] };
        if let Mode::RollUp(count) = self.mode {
            // Rows that would not fit above are pushed down.
            let row = row.max(count - 1);
            if row != self.row {
                self.shown.shift(self.row, row, count);
            }
            self.row = row;
        } else {
            self.row = row;
        }
        let what = second >> 1 & 0x0F;
        self.column = if what >= 8 { usize::from(what - 8) * 4 } else { 0 };
        self.look = look(what, second);
    }

    fn mid_row(&mut self, second: u8) {
        let what = second >> 1 & 0x07;
        let before = self.look;
        // The code itself takes a place, which is blank.
        self.look = Look { underline: false, ..before };
        self.write(' ');
        self.look = look(what, second);
        // Italics keep the colour that was there.
        if what == 7 {
            self.look.colour = before.colour;
        }
    }
}

fn look(what: u8, second: u8) -> Look {
    let colour = match what {
        1 => Some([0, 255, 0]),
        2 => Some([0, 0, 255]),
        3 => Some([0, 255, 255]),
        4 => Some([255, 0, 0]),
        5 => Some([255, 255, 0]),
        6 => Some([255, 0, 255]),
        _ => None,
    };
    Look { italic: what == 7, underline: second & 1 == 1, colour }
}

/// CTA-608, table 50: ASCII but for some.
fn basic(byte: u8) -> char {
    match byte {
        0x27 => '’',
        0x2A => 'á',
        0x5C => 'é',
        0x5E => 'í',
        0x5F => 'ó',
        0x60 => 'ú',
        0x7B => 'ç',
        0x7C => '÷',
        0x7D => 'Ñ',
        0x7E => 'ñ',
        0x7F => '█',
        byte => char::from(byte),
    }
}

/// Table 49; a blank that cannot be broken stands for the transparent one.
const SPECIAL: [char; 16] =
    ['®', '°', '½', '¿', '™', '¢', '£', '♪', 'à', '\u{a0}', 'è', 'â', 'ê', 'î', 'ô', 'û'];

/// Tables 5 to 7.
const SPANISH_FRENCH: [char; 32] = [
    'Á', 'É', 'Ó', 'Ú', 'Ü', 'ü', '‘', '¡', '*', '\'', '—', '©', '℠', '•', '“', '”', 'À', 'Â', 'Ç', 'È', 'Ê',
    'Ë', 'ë', 'Î', 'Ï', 'ï', 'Ô', 'Ù', 'ù', 'Û', '«', '»',
];

/// Tables 8 to 10.
const PORTUGUESE_GERMAN: [char; 32] = [
    'Ã', 'ã', 'Í', 'Ì', 'ì', 'Ò', 'ò', 'Õ', 'õ', '{', '}', '\\', '^', '_', '|', '~', 'Ä', 'ä', 'Ö', 'ö', 'ß',
    '¥', '¤', '¦', 'Å', 'å', 'Ø', 'ø', '┌', '┐', '└', '┘',
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::subtitles::{Align, Cue, Line};

    fn say(decoder: &mut Decoder, text: &str) {
        text.bytes().for_each(|byte| decoder.character(byte));
    }

    fn seen(decoder: &Decoder) -> Vec<Cue> {
        decoder.shown().cues(Duration::ZERO, Duration::from_secs(1))
    }

    fn texts(decoder: &Decoder) -> Vec<String> {
        seen(decoder).iter().map(Cue::text).collect()
    }

    #[test]
    fn pop_on_text_is_seen_when_it_is_complete() {
        let mut decoder = Decoder::default();
        say(&mut decoder, "rest of something");
        for control in [(0x14, 0x20), (0x14, 0x2E), (0x13, 0x70 | 0x04), (0x17, 0x22)] {
            decoder.control(control.0, control.1);
        }
        say(&mut decoder, "- Hello");
        decoder.control(0x14, 0x54);
        say(&mut decoder, "- World");
        assert!(texts(&decoder).is_empty());
        decoder.control(0x14, 0x2F);
        assert_eq!(texts(&decoder), ["- Hello\n- World"]);
        let place = seen(&decoder)[0].place;
        assert_eq!(place.align, Align::Left);
        let Some(Line::Part(line)) = place.line else { panic!("{place:?}") };
        assert!((line - (0.1 + 0.8 * 14.0 / 15.0)).abs() < 1e-4, "{line}");
        decoder.control(0x14, 0x2C);
        assert!(texts(&decoder).is_empty());
    }

    #[test]
    fn roll_up_rows_go_up_and_the_first_leaves() {
        let mut decoder = Decoder::default();
        decoder.control(0x14, 0x25);
        for line in ["one", "two", "three"] {
            decoder.control(0x14, 0x2D);
            decoder.control(0x14, 0x70);
            say(&mut decoder, line);
        }
        assert_eq!(texts(&decoder), ["two\nthree"]);
        // The rows move as they are.
        decoder.control(0x11, 0x40);
        assert_eq!(texts(&decoder), ["two\nthree"]);
        let Some(Line::Part(line)) = seen(&decoder)[0].place.line else { panic!() };
        assert!((line - 0.1).abs() < 1e-4, "{line}");
        decoder.control(0x14, 0x20);
        decoder.control(0x14, 0x27);
        assert!(texts(&decoder).is_empty(), "another kind of caption begins");
    }

    #[test]
    fn looks_and_characters_of_other_languages_are_kept() {
        let mut decoder = Decoder::default();
        decoder.control(0x14, 0x29);
        // From column 12 on, green.
        decoder.control(0x14, 0x76);
        decoder.control(0x11, 0x22);
        say(&mut decoder, "ma");
        decoder.character(0x7E);
        say(&mut decoder, "anaA");
        decoder.control(0x12, 0x20);
        decoder.control(0x11, 0x37);
        decoder.control(0x11, 0x2E);
        say(&mut decoder, "x");
        let cues = seen(&decoder);
        assert_eq!(cues[0].text(), "mañanaÁ♪ x");
        let last = cues[0].spans.last().unwrap();
        assert!(last.italic && last.colour == Some([0, 255, 0]) && last.text == "x", "{cues:?}");
        decoder.control(0x14, 0x2C);
        decoder.control(0x14, 0x76);
        say(&mut decoder, "in a row");
        assert_eq!(seen(&decoder)[0].place.align, Align::Center);
    }

    #[test]
    fn nothing_that_can_be_sent_breaks_it() {
        let mut seed = 1_u32;
        let mut decoder = Decoder::default();
        for _ in 0..200_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [_, a, b, c] = seed.to_be_bytes();
            match c & 1 {
                0 => decoder.control(0x10 | a & 7, b & 0x7F),
                _ => decoder.character(a & 0x7F),
            }
        }
        assert!(seen(&decoder).len() <= ROWS);
    }
}
