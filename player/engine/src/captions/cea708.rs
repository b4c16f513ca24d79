//! The language of CEA-708 (CTA-708-E): packets, service blocks, and the windows of one service.

use std::time::Duration;

use super::screen::{Look, lines, spans};
use crate::subtitles::{Align, Anchor, Cue, Line, Placement};

/// Services that are read: of the standard ones all.
pub(super) const SERVICES: usize = 6;
const WINDOWS: usize = 8;

/// The safe title area, in which windows stand, leaves so much free at each edge.
const MARGIN: f32 = 0.1;
/// Rows and columns that fill it.
const ROWS: f32 = 15.0;
const COLUMNS: f32 = 42.0;

/// Puts packets together from the bytes of the pictures (6.1, 6.2).
#[derive(Debug, Default)]
pub(super) struct Packets {
    bytes: Vec<u8>,
    size: usize,
}

impl Packets {
    /// Two bytes, of which the first may begin a packet. Gives a packet's data when it is complete.
    pub(super) fn take(&mut self, begins: bool, first: u8, second: u8) -> Option<Vec<u8>> {
        if begins {
            // One that is not complete by now never will be.
            self.bytes.clear();
            self.size = match first & 0x3F {
                0 => 128,
                code => usize::from(code) * 2,
            };
        } else if self.size == 0 {
            return None;
        }
        self.bytes.extend([first, second]);
        if self.bytes.len() < self.size {
            return None;
        }
        self.size = 0;
        let data = self.bytes.get(1..).map(<[u8]>::to_vec);
        self.bytes.clear();
        data
    }
}

/// The service blocks of a packet: number, counted from 1, and data.
pub(super) fn blocks(mut data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    std::iter::from_fn(move || {
        let (&head, mut rest) = data.split_first()?;
        let (mut service, size) = (usize::from(head >> 5), usize::from(head & 0x1F));
        if service == 7 && size > 0 {
            let (&extended, more) = rest.split_first()?;
            service = usize::from(extended & 0x3F);
            rest = more;
        }
        // What follows an empty block fills the packet up.
        if service == 0 || size == 0 {
            return None;
        }
        let block = rest.get(..size)?;
        data = rest.get(size..)?;
        Some((service, block))
    })
}

/// A window (8.4).
#[derive(Clone, Debug, Default)]
struct Window {
    visible: bool,
    /// Of the point of it that stands at `across` and `down`: 0 to 8, row by row.
    anchor: u8,
    /// Parts of the safe title area.
    across: f32,
    down: f32,
    rows: Vec<Vec<Option<(char, Look)>>>,
    columns: usize,
    row: usize,
    column: usize,
    look: Look,
    align: Align,
}

impl Window {
    fn clear(&mut self) {
        self.rows.iter_mut().for_each(|row| row.fill(None));
        (self.row, self.column) = (0, 0);
    }

    fn resize(&mut self, rows: usize, columns: usize) {
        self.rows.resize_with(rows, Vec::new);
        self.rows.iter_mut().for_each(|row| row.resize(columns, None));
        self.columns = columns;
        self.row = self.row.min(rows - 1);
        self.column = self.column.min(columns);
    }

    fn write(&mut self, c: char) {
        let (column, look) = (self.column, self.look);
        if let Some(cell) = self.rows.get_mut(self.row).and_then(|row| row.get_mut(column)) {
            *cell = Some((c, look));
            self.column += 1;
        }
    }

    fn next_row(&mut self) {
        self.column = 0;
        if self.row + 1 < self.rows.len() {
            self.row += 1;
        } else if let Some(first) = self.rows.first_mut() {
            first.fill(None);
            self.rows.rotate_left(1);
        }
    }

    /// What is to be seen of it.
    fn cue(&self, start: Duration, end: Duration) -> Option<Cue> {
        let seen = |cell: &Option<(char, Look)>| cell.is_some_and(|(c, _)| c != ' ');
        let filled = |row: &Vec<_>| row.iter().any(seen);
        let first = self.rows.iter().position(filled)?;
        let last = self.rows.iter().rposition(filled)?;
        let rows = self.rows.get(first..=last)?;
        let indent = rows.iter().filter_map(|row| row.iter().position(seen)).min()?;
        let spans = lines(rows.iter().map(|row| {
            let to = row.iter().rposition(seen).map_or(indent, |last| last + 1);
            spans(row.get(indent..to).unwrap_or_default())
        }));
        let (above, below) = (first as f32, (self.rows.len() - 1 - last) as f32);
        let (line_anchor, shift) = match self.anchor / 3 {
            0 => (Anchor::Start, above / ROWS),
            1 => (Anchor::Center, (above - below) / 2.0 / ROWS),
            _ => (Anchor::End, -below / ROWS),
        };
        let (position_anchor, indented) = match self.anchor % 3 {
            0 => (Anchor::Start, indent as f32 / COLUMNS),
            1 => (Anchor::Center, 0.0),
            _ => (Anchor::End, 0.0),
        };
        let part = |share: f32| MARGIN + (1.0 - 2.0 * MARGIN) * share.clamp(0.0, 1.0);
        let place = Placement {
            line: Some(Line::Part(part(self.down + shift))),
            line_anchor,
            position: Some(part(self.across + indented)),
            position_anchor: Some(position_anchor),
            size: 1.0,
            align: self.align,
            vertical: None,
        };
        Some(Cue { start, end, spans, place })
    }
}

/// The decoder of one service.
#[derive(Debug, Default)]
pub(super) struct Service {
    windows: [Option<Window>; WINDOWS],
    current: usize,
}

impl Service {
    /// All that is to be seen, as cues: one for each window.
    pub(super) fn cues(&self, start: Duration, end: Duration) -> Vec<Cue> {
        let visible = self.windows.iter().flatten().filter(|window| window.visible);
        visible.filter_map(|window| window.cue(start, end)).collect()
    }

    /// A service block. What a block that is cut short would have said is lost.
    pub(super) fn block(&mut self, mut data: &[u8]) {
        while let Some((&code, rest)) = data.split_first() {
            let Some(used) = self.code(code, rest) else { return };
            data = rest.get(used..).unwrap_or_default();
        }
    }

    /// One code; the bytes behind it that belong to it.
    fn code(&mut self, code: u8, rest: &[u8]) -> Option<usize> {
        match code {
            0x08 => self.pen(|window| {
                window.column = window.column.saturating_sub(1);
                if let Some(cell) = window.rows.get_mut(window.row).and_then(|row| row.get_mut(window.column))
                {
                    *cell = None;
                }
            }),
            0x0C => self.pen(Window::clear),
            0x0D => self.pen(Window::next_row),
            0x0E => self.pen(|window| {
                window.column = 0;
                if let Some(row) = window.rows.get_mut(window.row) {
                    row.fill(None);
                }
            }),
            0x10 => return self.extended(rest),
            // Not in use, and delays, which are for decoders that are ahead.
            0x11..=0x17 | 0x8D => return Some(1),
            0x18 => {
                let pair = [*rest.first()?, *rest.get(1)?];
                if let Some(c) = char::from_u32(u32::from(u16::from_be_bytes(pair))).filter(|c| *c >= ' ') {
                    self.pen(|window| window.write(c));
                }
                return Some(2);
            }
            0x19..=0x1F => return Some(2),
            0x7F => self.pen(|window| window.write('♪')),
            0x20..=0x7E | 0xA0..=0xFF => self.pen(|window| window.write(char::from(code))),
            0x80..=0x87 => {
                // A window that there is not is not gone to.
                let wanted = usize::from(code & 7);
                if self.windows.get(wanted).is_some_and(Option::is_some) {
                    self.current = wanted;
                }
            }
            0x88..=0x8C => {
                self.several(code, *rest.first()?);
                return Some(1);
            }
            0x8F => *self = Self::default(),
            0x90 => {
                let style = *rest.get(1)?;
                self.pen(|window| {
                    window.look.italic = style & 0x80 != 0;
                    window.look.underline = style & 0x40 != 0;
                });
                return Some(2);
            }
            0x91 => {
                let colour = colour(*rest.first()?);
                self.pen(|window| window.look.colour = colour);
                return Some(3);
            }
            0x92 => {
                let (row, column) = (usize::from(*rest.first()? & 0x0F), usize::from(*rest.get(1)? & 0x3F));
                self.pen(|window| {
                    window.row = row.min(window.rows.len().saturating_sub(1));
                    window.column = column.min(window.columns);
                });
                return Some(2);
            }
            0x97 => {
                let align = match rest.get(2)? & 3 {
                    1 => Align::Right,
                    2 => Align::Center,
                    _ => Align::Left,
                };
                self.pen(|window| window.align = align);
                return Some(4);
            }
            0x98..=0x9F => {
                self.define(usize::from(code & 7), rest.first_chunk()?);
                return Some(6);
            }
            _ => {}
        }
        Some(0)
    }

    fn pen(&mut self, act: impl FnOnce(&mut Window)) {
        if let Some(Some(window)) = self.windows.get_mut(self.current) {
            act(window);
        }
    }

    /// Codes of a further page; those that are not known are passed over.
    fn extended(&mut self, rest: &[u8]) -> Option<usize> {
        let code = *rest.first()?;
        Some(match code {
            0x00..=0x07 => 1,
            0x08..=0x0F => 2,
            0x10..=0x17 => 3,
            0x18..=0x1F => 4,
            0x80..=0x87 => 5,
            0x88..=0x8F => 6,
            0x90..=0x9F => 2 + usize::from(*rest.get(1)? & 0x3F),
            _ => {
                let c = further(code);
                self.pen(|window| window.write(c));
                1
            }
        })
    }

    /// What is done to several windows at once.
    fn several(&mut self, code: u8, which: u8) {
        for (at, slot) in self.windows.iter_mut().enumerate().filter(|(at, _)| which >> at & 1 == 1) {
            let Some(window) = slot else { continue };
            match code {
                0x88 => window.clear(),
                0x89 => window.visible = true,
                0x8A => window.visible = false,
                0x8B => window.visible = !window.visible,
                _ => {
                    *slot = None;
                    if self.current == at {
                        self.current = 0;
                    }
                }
            }
        }
    }

    fn define(&mut self, at: usize, [flags, down, across, size, columns, styles]: &[u8; 6]) {
        let Some(slot) = self.windows.get_mut(at) else { return };
        let new = slot.is_none();
        let window = slot.get_or_insert_default();
        window.visible = flags & 0x20 != 0;
        // Hundredths, or steps of a grid for wide pictures.
        let relative = down & 0x80 != 0;
        let (high, wide) = if relative { (100.0, 100.0) } else { (75.0, 210.0) };
        window.down = f32::from(down & 0x7F) / high;
        window.across = f32::from(*across) / wide;
        window.anchor = (size >> 4).min(8);
        window.resize(usize::from(size & 0x0F) + 1, usize::from(columns & 0x3F) + 1);
        let style = styles >> 3 & 7;
        if new || style != 0 {
            window.align = if matches!(style, 3 | 6) { Align::Center } else { Align::Left };
        }
        if new || styles & 7 != 0 {
            window.look = Look::default();
        }
        self.current = at;
    }
}

/// Opacity, then two bits each of red, green, blue. White is the window's own.
fn colour(byte: u8) -> Option<[u8; 3]> {
    let part = |shift: u8| (byte >> shift & 3) * 85;
    Some([part(4), part(2), part(0)]).filter(|colour| *colour != [255; 3])
}

/// The page of further characters.
fn further(code: u8) -> char {
    match code {
        0x25 => '…',
        0x2A => 'Š',
        0x2C => 'Œ',
        0x30 => '█',
        0x31 => '‘',
        0x32 => '’',
        0x33 => '“',
        0x34 => '”',
        0x35 => '•',
        0x39 => '™',
        0x3A => 'š',
        0x3C => 'œ',
        0x3D => '℠',
        0x3F => 'Ÿ',
        0x76 => '⅛',
        0x77 => '⅜',
        0x78 => '⅝',
        0x79 => '⅞',
        0x7A => '│',
        0x7B => '┐',
        0x7C => '└',
        0x7D => '─',
        0x7E => '┘',
        0x7F => '┌',
        0x20 | 0x21 => ' ',
        _ => '_',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Window 0 of two rows and 32 columns at the bottom, its middle at the picture's.
    const DEFINE: [u8; 7] = [0x98, 0x00, 0x80 | 100, 50, 7 << 4 | 1, 31, 3 << 3 | 1];
    const DISPLAY: [u8; 2] = [0x89, 1];

    fn service(codes: &[&[u8]]) -> Service {
        let mut service = Service::default();
        service.block(&codes.concat());
        service
    }

    fn seen(service: &Service) -> Vec<Cue> {
        service.cues(Duration::ZERO, Duration::from_secs(1))
    }

    fn texts(service: &Service) -> Vec<String> {
        seen(service).iter().map(Cue::text).collect()
    }

    #[test]
    fn a_window_is_seen_once_it_is_displayed_and_where_it_was_put() {
        let mut service = service(&[&DEFINE, b"Hello,\x0Dworld"]);
        assert!(texts(&service).is_empty());
        service.block(&DISPLAY);
        assert_eq!(texts(&service), ["Hello,\nworld"]);
        let place = seen(&service)[0].place;
        assert_eq!((place.align, place.line_anchor, place.position), (Align::Center, Anchor::End, Some(0.5)));
        let Some(Line::Part(line)) = place.line else { panic!("{place:?}") };
        assert!((line - 0.9).abs() < 1e-4, "{line}");
        // Rows go up where there is no room for more.
        service.block(b"\x0Dagain");
        assert_eq!(texts(&service), ["world\nagain"]);
        service.block(&[0x8A, 1]);
        assert!(texts(&service).is_empty(), "hidden");
        service.block(&[0x8B, 1, 0x8C, 1]);
        assert!(texts(&service).is_empty(), "gone");
    }

    #[test]
    fn looks_and_further_characters_are_kept() {
        let look: [&[u8]; 4] = [b"a ", &[0x90, 0x05, 0xC0], &[0x91, 0x30, 0, 0], &[0x10, 0x31, 0x7F, 0xE9]];
        let place = [0x92, 1, 4];
        let service = service(&[&DEFINE, &DISPLAY, &place, look[0], look[1], look[2], look[3]]);
        let cue = &seen(&service)[0];
        assert_eq!(cue.text(), "a ‘♪é");
        let last = cue.spans.last().unwrap();
        assert!(last.italic && last.underline && last.colour == Some([255, 0, 0]), "{cue:?}");
        assert_eq!(cue.spans[0].colour, None);
    }

    #[test]
    fn packets_and_blocks_are_put_together_from_pairs() {
        // One byte of sequence and size, three blocks: service 1, service 9 (extended), filling.
        let data = [0x22, b'h', b'i', 0xE1, 9, b'x', 0, 0, 0];
        let bytes: Vec<u8> = std::iter::once(0x05).chain(data).collect();
        let mut packets = Packets::default();
        assert_eq!(packets.take(false, 1, 2), None, "the end of something");
        assert_eq!(packets.take(true, 0x03, 1), None, "never completed");
        let mut whole = None;
        for (at, pair) in bytes.chunks(2).enumerate() {
            assert!(whole.is_none());
            whole = packets.take(at == 0, pair[0], pair[1]);
        }
        let whole = whole.unwrap();
        let found: Vec<_> = blocks(&whole).collect();
        assert_eq!(found, [(1, b"hi".as_slice()), (9, b"x".as_slice())]);
    }

    #[test]
    fn nothing_that_can_be_sent_breaks_it() {
        let mut seed = 7_u32;
        let mut next = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as u8
        };
        let mut packets = Packets::default();
        let mut services: [Service; SERVICES] = Default::default();
        for round in 0..400_000 {
            let begins = round % 9 == 0;
            let Some(data) = packets.take(begins, next(), next()) else { continue };
            for (number, block) in blocks(&data) {
                if let Some(service) = services.get_mut(number % SERVICES) {
                    service.block(block);
                    assert!(seen(service).len() <= WINDOWS);
                }
            }
        }
        // Every code at the end of a block, and before every other one.
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                let mut service = service(&[&DEFINE, &DISPLAY]);
                service.block(&[first, second]);
                service.block(&[second, first, b'x']);
                seen(&service);
            }
        }
    }
}
