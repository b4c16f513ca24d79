//! Subtitles whose lines run from top to bottom: signs upright, one below the other, in columns.

use std::sync::Arc;

use egui::{Align as Side, Galley, Painter, Rect, pos2, vec2};
use weir_engine::subtitles::{Align, Anchor, Cue, Line, Vertical};

use super::captions::{Screen, Text, along, outlined};
use crate::ui::tokens;

/// From one sign to the next, as a part of their size.
const STEP: f32 = 1.12;
/// From one column to the next.
const COLUMN: f32 = 1.45;
/// So many letters or digits stand beside each other in one place: "21", "TV".
const TOGETHER: usize = 2;
/// Signs of a cue that are set.
const MOST: usize = 400;

/// A cue's text in columns.
pub(super) struct Columns {
    /// In the order in which they are read.
    columns: Vec<Vec<Arc<Galley>>>,
    /// Of one place.
    step: f32,
    width: f32,
    edge: f32,
}

impl Columns {
    pub(super) fn new(painter: &Painter, cue: &Cue, screen: &Screen) -> Self {
        let step = screen.size * STEP;
        let (top, bottom) = room(cue, screen);
        let most = ((bottom - top) / step).floor().max(1.0) as usize;
        let mut columns = Vec::new();
        let mut signs = 0;
        for line in Text::of(&cue.spans).lines() {
            let places = places(&line.text);
            for column in places.chunks(most) {
                let column = column.iter().take(MOST.saturating_sub(signs));
                let column: Vec<_> = column
                    .map(|(from, to)| {
                        let sign = line.slice(*from, *to).job(screen.size, Side::Min, f32::INFINITY);
                        painter.layout_job(sign)
                    })
                    .collect();
                signs += column.len();
                columns.push(column);
            }
        }
        Self {
            columns,
            step,
            width: screen.size * COLUMN,
            edge: (screen.size * tokens::CAPTION_OUTLINE).max(1.0),
        }
    }

    fn size(&self) -> egui::Vec2 {
        let longest = self.columns.iter().map(Vec::len).max().unwrap_or(0);
        vec2(self.width * self.columns.len() as f32, self.step * longest as f32)
    }

    /// The box of a cue that stands clear of those before it; `None` when there is no room.
    pub(super) fn area(
        &self,
        cue: &Cue,
        direction: Vertical,
        screen: &Screen,
        taken: &[Rect],
    ) -> Option<Rect> {
        let size = self.size();
        let safe = screen.safe;
        let (top, bottom) = room(cue, screen);
        let top = match side(cue.place.align) {
            Side::Min => top,
            Side::Center => f32::midpoint(top, bottom) - size.y / 2.0,
            Side::Max => bottom - size.y,
        };
        // Columns are counted from the side where the first one is; the last one is where subtitles stand by themselves.
        let from_first = |line: i32| match direction {
            Vertical::RightToLeft => (safe.right() - self.width * line as f32 - size.x, false),
            Vertical::LeftToRight => (safe.left() + self.width * line as f32, true),
        };
        let from_last = |line: i32| match direction {
            Vertical::RightToLeft => (safe.left() + self.width * line as f32, true),
            Vertical::LeftToRight => (safe.right() - self.width * line as f32 - size.x, false),
        };
        let (left, rightwards) = match cue.place.line {
            None => from_last(0),
            Some(Line::Number(line)) if line >= 0 => from_first(line),
            Some(Line::Number(line)) => from_last(line.saturating_add(1).saturating_abs()),
            Some(Line::Part(part)) => {
                let at = screen.place.left() + screen.place.width() * part;
                let left = match cue.place.line_anchor {
                    Anchor::Start => at,
                    Anchor::Center => at - size.x / 2.0,
                    Anchor::End => at - size.x,
                };
                (left, part < 0.5)
            }
        };
        let left = left.clamp(safe.left(), (safe.right() - size.x).max(safe.left()));
        let top = top.clamp(safe.top(), (safe.bottom() - size.y).max(safe.top()));
        let mut area = Rect::from_min_size(pos2(left, top), size);
        // Each step passes one of those in the way.
        for _ in 0..=taken.len() {
            let Some(other) = taken.iter().find(|other| other.intersects(area.shrink(0.5))) else {
                return Some(area);
            };
            let left = if rightwards { other.right() } else { other.left() - size.x };
            area = Rect::from_min_size(pos2(left, top), size);
        }
        taken.iter().all(|other| !other.intersects(area.shrink(0.5))).then_some(area)
    }

    pub(super) fn paint(&self, painter: &Painter, area: Rect, direction: Vertical) {
        for (at, column) in self.columns.iter().enumerate() {
            let middle = self.width * (at as f32 + 0.5);
            let x = match direction {
                Vertical::RightToLeft => area.right() - middle,
                Vertical::LeftToRight => area.left() + middle,
            };
            for (row, sign) in column.iter().enumerate() {
                let centre = pos2(x, area.top() + self.step * (row as f32 + 0.5));
                outlined(painter, centre - sign.size() / 2.0, sign, self.edge);
            }
        }
    }
}

fn side(align: Align) -> Side {
    match align {
        Align::Start | Align::Left => Side::Min,
        Align::Center => Side::Center,
        Align::End | Align::Right => Side::Max,
    }
}

/// From where to where down the picture a cue may go.
fn room(cue: &Cue, screen: &Screen) -> (f32, f32) {
    let (at, most, before) = along(cue, side(cue.place.align));
    let size = cue.place.size.min(most);
    let top = screen.place.top() + screen.place.height() * (at - size * before);
    let (from, to) =
        (top.max(screen.safe.top()), (top + screen.place.height() * size).min(screen.safe.bottom()));
    if to - from < screen.size * 3.0 { (screen.safe.top(), screen.safe.bottom()) } else { (from, to) }
}

/// What stands in each place, as ranges of bytes: a sign with its marks, or a short number or word of Latin letters.
fn places(text: &str) -> Vec<(usize, usize)> {
    let mut out: Vec<(usize, usize)> = Vec::new();
    let narrow = |c: char| c.is_ascii_alphanumeric();
    let mut signs = text.char_indices().peekable();
    while let Some((at, sign)) = signs.next() {
        let mut end = at + sign.len_utf8();
        let marks = unicode_bidi::bidi_class(sign) == unicode_bidi::BidiClass::NSM;
        if marks && let Some(last) = out.last_mut() {
            last.1 = end;
            continue;
        }
        if narrow(sign) {
            let word = text.get(at..).unwrap_or_default().chars().take_while(|c| narrow(*c)).count();
            for _ in 1..word.min(if word <= TOGETHER { word } else { 1 }) {
                if let Some((next, sign)) = signs.next() {
                    end = next + sign.len_utf8();
                }
            }
            // The rest of a longer word goes on letter by letter, without being looked at as a word of its own.
            if word > TOGETHER {
                out.push((at, end));
                for _ in 1..word {
                    if let Some((next, sign)) = signs.next() {
                        out.push((next, next + sign.len_utf8()));
                    }
                }
                continue;
            }
        }
        out.push((at, end));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_and_words_stand_in_one_place_and_long_ones_below_each_other() {
        let read = |text: &'static str| -> Vec<&str> {
            places(text).into_iter().map(|(from, to)| &text[from..to]).collect()
        };
        assert_eq!(read("平成21年"), ["平", "成", "21", "年"]);
        assert_eq!(read("2021年"), ["2", "0", "2", "1", "年"]);
        assert_eq!(read("か\u{3099}TV"), ["か\u{3099}", "TV"]);
        assert!(read("").is_empty());
    }
}
