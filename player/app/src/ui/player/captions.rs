//! Subtitles over the picture: outlined, sized with it, clear of its edges and of the controls, where the cue wants to be.

use std::{sync::Arc, time::Duration};

use egui::{
    Align as Side, Color32, FontFamily, FontId, Galley, Painter, Rect, Stroke, TextFormat, pos2,
    text::{LayoutJob, LayoutSection, TextWrapping},
    vec2,
};
use unicode_bidi::{BidiClass, BidiInfo, bidi_class};
use weir_engine::{
    SubtitlesView,
    subtitles::{Align, Anchor, Cue, Line, Span},
};

use super::vertical::Columns;
use crate::ui::{theme, tokens};

/// Draws what is due at `position` into the picture at `place`; it stays between `free.min` and `free.max`, from
/// top to bottom.
pub(crate) fn show(
    painter: &Painter,
    subtitles: &SubtitlesView,
    position: Duration,
    place: Rect,
    free: egui::Rangef,
) {
    if subtitles.chosen.is_none() {
        return;
    }
    let screen = Screen::new(place, free);
    let mut taken: Vec<Rect> = Vec::new();
    for cue in subtitles.cues.iter().filter(|cue| cue.is_at(position)).take(tokens::CAPTIONS) {
        if let Some(direction) = cue.place.vertical {
            let set = Columns::new(painter, cue, &screen);
            if let Some(area) = set.area(cue, direction, &screen, &taken) {
                set.paint(painter, area, direction);
                taken.push(area);
            }
            continue;
        }
        let set = Set::new(painter, cue, &screen);
        if let Some(area) = screen.area(cue, &set, &taken) {
            set.paint(painter, area);
            taken.push(area);
        }
    }
}

/// Where text may stand.
pub(super) struct Screen {
    pub(super) place: Rect,
    pub(super) safe: Rect,
    pub(super) size: f32,
}

impl Screen {
    fn new(place: Rect, free: egui::Rangef) -> Self {
        // What a cinema picture in a narrow window leaves is not enough for its height's share.
        let size = (place.height() * tokens::CAPTION.0).min(place.width() * tokens::CAPTION.1);
        let size = size.max(tokens::CAPTION_LEAST);
        let mut safe = place.shrink2(vec2(place.width(), place.height()) * tokens::CAPTION_MARGIN);
        safe.min.y = safe.min.y.max(free.min);
        safe.max.y = safe.max.y.min(free.max).max(safe.min.y + size);
        Self { place, safe, size }
    }

    /// The box of a cue that stands clear of those before it; `None` when there is no room.
    fn area(&self, cue: &Cue, set: &Set, taken: &[Rect]) -> Option<Rect> {
        let height = set.size.y;
        let line_height = height / set.lines.max(1) as f32;
        let (top, upwards) = match cue.place.line {
            None => (self.safe.bottom() - height, true),
            Some(Line::Number(line)) if line >= 0 => (self.safe.top() + line_height * line as f32, false),
            Some(Line::Number(line)) => {
                let below = line_height * (line.saturating_add(1)).unsigned_abs() as f32;
                (self.safe.bottom() - below - height, true)
            }
            Some(Line::Part(part)) => {
                let at = self.place.top() + self.place.height() * part;
                let top = match cue.place.line_anchor {
                    Anchor::Start => at,
                    Anchor::Center => at - height / 2.0,
                    Anchor::End => at - height,
                };
                (top, part > 0.5)
            }
        };
        let highest = (self.safe.bottom() - height).max(self.safe.top());
        let mut area = Rect::from_min_size(pos2(set.left, top.clamp(self.safe.top(), highest)), set.size);
        // Each step passes one of those in the way.
        for _ in 0..=taken.len() {
            let Some(other) = taken.iter().find(|other| other.intersects(area.shrink(0.5))) else {
                return Some(area);
            };
            let top = if upwards { other.top() - height } else { other.bottom() };
            area = Rect::from_min_size(pos2(set.left, top), set.size);
        }
        taken.iter().all(|other| !other.intersects(area.shrink(0.5))).then_some(area)
    }

    /// From where to where a cue may go, and which side its lines keep to.
    fn columns(&self, cue: &Cue, rtl: bool) -> (f32, f32, Side) {
        let side = match (cue.place.align, rtl) {
            (Align::Left, _) | (Align::Start, false) | (Align::End, true) => Side::Min,
            (Align::Right, _) | (Align::End, false) | (Align::Start, true) => Side::Max,
            (Align::Center, _) => Side::Center,
        };
        let (at, most, before) = along(cue, side);
        // A place at the very edge leaves no room: then the whole width counts.
        let size = if most < 0.1 { 1.0 } else { cue.place.size.min(most) };
        let left = self.place.left() + self.place.width() * (at - size * before);
        let right = left + self.place.width() * size;
        let (left, right) = (left.max(self.safe.left()), right.min(self.safe.right()));
        if right - left < self.size * 3.0 {
            return (self.safe.left(), self.safe.right(), side);
        }
        (left, right, side)
    }
}

/// Where a cue stands along its lines, all in parts of the picture: its position, its largest size, and the part
/// of that size that lies before the position. `side` is the one that its lines keep to.
pub(super) fn along(cue: &Cue, side: Side) -> (f32, f32, f32) {
    let anchor = cue.place.position_anchor.unwrap_or(match side {
        Side::Min => Anchor::Start,
        Side::Center => Anchor::Center,
        Side::Max => Anchor::End,
    });
    let at = cue.place.position.unwrap_or(match side {
        Side::Min => 0.0,
        Side::Center => 0.5,
        Side::Max => 1.0,
    });
    match anchor {
        Anchor::Start => (at, 1.0 - at, 0.0),
        Anchor::Center => (at, 2.0 * at.min(1.0 - at), 0.5),
        Anchor::End => (at, at, 1.0),
    }
}

/// A cue's text, laid out.
struct Set {
    rows: Vec<Arc<Galley>>,
    /// Where the rows hang, in the same coordinates as `left`.
    anchor: f32,
    left: f32,
    size: egui::Vec2,
    lines: usize,
    outline: f32,
}

impl Set {
    fn new(painter: &Painter, cue: &Cue, screen: &Screen) -> Self {
        let text = Text::of(&cue.spans);
        let (left, right, side) = screen.columns(cue, text.is_rtl());
        let width = right - left;
        let mut rows = Vec::new();
        for paragraph in text.lines() {
            if paragraph.has_rtl() {
                for row in paragraph.wrapped(|word| word.width(painter, screen.size), width) {
                    rows.push(painter.layout_job(row.visual().job(screen.size, side, f32::INFINITY)));
                }
            } else {
                rows.push(painter.layout_job(paragraph.job(screen.size, side, width)));
            }
        }
        let anchor = match side {
            Side::Min => left,
            Side::Center => f32::midpoint(left, right),
            Side::Max => right,
        };
        let outermost = |pick: fn(&Rect) -> f32, fold: fn(f32, f32) -> f32| {
            rows.iter().map(|row| pick(&row.rect)).reduce(fold).unwrap_or_default()
        };
        let (from, to) = (outermost(Rect::left, f32::min), outermost(Rect::right, f32::max));
        let height = rows.iter().map(|row| row.rect.height()).sum();
        Self {
            lines: rows.iter().map(|row| row.rows.len()).sum(),
            anchor,
            left: anchor + from,
            size: vec2(to - from, height),
            outline: (screen.size * tokens::CAPTION_OUTLINE).max(1.0),
            rows,
        }
    }

    fn paint(&self, painter: &Painter, area: Rect) {
        let mut y = area.top();
        for row in &self.rows {
            let at = pos2(self.anchor, y);
            outlined(painter, at, row, self.outline);
            y += row.rect.height();
        }
    }
}

/// Draws text with an edge of so many points around it.
pub(super) fn outlined(painter: &Painter, at: egui::Pos2, text: &Arc<Galley>, edge: f32) {
    for step in 0..8 {
        let angle = std::f32::consts::TAU * step as f32 / 8.0;
        let offset = vec2(angle.cos(), angle.sin()) * edge;
        painter.galley_with_override_text_color(at + offset, text.clone(), tokens::CAPTION_EDGE);
    }
    painter.galley(at, text.clone(), tokens::CAPTION_TEXT);
}

/// Text with its looks: byte ranges, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Text {
    pub(super) text: String,
    looks: Vec<(usize, Span)>,
}

impl Text {
    pub(super) fn of(spans: &[Span]) -> Self {
        let mut out = Self::default();
        for span in spans {
            out.push(&span.text, &Span { text: String::new(), ..span.clone() });
        }
        out
    }

    fn push(&mut self, text: &str, look: &Span) {
        if text.is_empty() {
            return;
        }
        self.text.push_str(text);
        let end = self.text.len();
        match self.looks.last_mut() {
            Some((last, known)) if known == look => *last = end,
            _ => self.looks.push((end, look.clone())),
        }
    }

    /// A part of it.
    pub(super) fn slice(&self, from: usize, to: usize) -> Self {
        let mut out = Self::default();
        let mut start = from;
        for (end, look) in &self.looks {
            let end = (*end).min(to);
            if end > start {
                out.push(self.text.get(start..end).unwrap_or_default(), look);
                start = end;
            }
        }
        out
    }

    pub(super) fn lines(&self) -> Vec<Self> {
        let mut from = 0;
        let mut out = Vec::new();
        for line in self.text.split('\n') {
            out.push(self.slice(from, from + line.len()));
            from += line.len() + 1;
        }
        out
    }

    /// The direction of its first letter.
    fn is_rtl(&self) -> bool {
        let strong = self
            .text
            .chars()
            .map(bidi_class)
            .find(|class| matches!(class, BidiClass::L | BidiClass::R | BidiClass::AL));
        matches!(strong, Some(BidiClass::R | BidiClass::AL))
    }

    fn has_rtl(&self) -> bool {
        self.text.chars().any(|c| is_rtl(c) || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    }

    /// Cut into rows between words. In the order in which it is read: it is turned round row by row.
    fn wrapped(&self, width: impl Fn(&Self) -> f32, most: f32) -> Vec<Self> {
        let mut rows = Vec::new();
        let (mut from, mut end) = (0, 0);
        let breaks = self.text.match_indices(' ').map(|(at, _)| at).chain([self.text.len()]);
        for at in breaks {
            if end > from && width(&self.slice(from, at)) > most {
                rows.push(self.slice(from, end));
                // Without the blank.
                from = (end + 1).min(self.text.len());
            }
            end = at;
        }
        rows.push(self.slice(from, self.text.len()));
        rows
    }

    fn width(&self, painter: &Painter, size: f32) -> f32 {
        painter.layout_job(self.job(size, Side::Min, f32::INFINITY)).rect.width()
    }

    /// From the order in which it is read to the one in which it is drawn, from left to right (Unicode, UAX #9). Letters that
    /// run from right to left stay together in their own order: the font joins and turns them.
    fn visual(&self) -> Self {
        let info = BidiInfo::new(&self.text, None);
        let mut out = Self::default();
        for paragraph in &info.paragraphs {
            let (levels, runs) = info.visual_runs(paragraph, paragraph.range.clone());
            for run in runs {
                if levels.get(run.start).is_some_and(unicode_bidi::Level::is_rtl) {
                    for (from, to) in self.clusters(run.start, run.end).into_iter().rev() {
                        out.add(&self.slice(from, to), true);
                    }
                } else {
                    out.add(&self.slice(run.start, run.end), false);
                }
            }
        }
        out
    }

    fn add(&mut self, piece: &Self, mirrored: bool) {
        let mut from = 0;
        for (end, look) in &piece.looks {
            let shown = piece.text.get(from..*end).unwrap_or_default().chars();
            let shown = shown.filter(
                |c| !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'),
            );
            let shown: String = shown.map(|c| if mirrored { mirror(c) } else { c }).collect();
            self.push(&shown, look);
            from = *end;
        }
    }

    /// Stretches of letters from right to left in one look, everything else one by one.
    fn clusters(&self, from: usize, to: usize) -> Vec<(usize, usize)> {
        let mut out: Vec<(usize, usize)> = Vec::new();
        let mut open = false;
        for (at, c) in self.text.get(from..to).unwrap_or_default().char_indices() {
            let (start, end) = (from + at, from + at + c.len_utf8());
            let letter = is_rtl(c) || (open && bidi_class(c) == BidiClass::NSM);
            let same_look = !self.looks.iter().any(|(end, _)| *end == start);
            match out.last_mut() {
                Some((_, last)) if open && letter && same_look => *last = end,
                // Marks go with what they are on.
                Some((_, last)) if bidi_class(c) == BidiClass::NSM => *last = end,
                _ => out.push((start, end)),
            }
            open = letter;
        }
        out
    }

    pub(super) fn job(&self, size: f32, side: Side, width: f32) -> LayoutJob {
        let mut from = 0;
        let mut sections = Vec::new();
        for (end, look) in &self.looks {
            let family = if look.bold { theme::strong() } else { FontFamily::Proportional };
            let colour = |[r, g, b]: [u8; 3]| Color32::from_rgb(r, g, b);
            let text = look.colour.map_or(tokens::CAPTION_TEXT, colour);
            let format = TextFormat {
                font_id: FontId::new(size, family),
                color: text,
                background: look.background.map_or(Color32::TRANSPARENT, colour),
                italics: look.italic,
                underline: if look.underline {
                    Stroke::new((size / 14.0).max(1.0), text)
                } else {
                    Stroke::NONE
                },
                ..TextFormat::default()
            };
            let range = egui::text::ByteRange::from(egui::text::ByteIndex(from)..egui::text::ByteIndex(*end));
            sections.push(LayoutSection { leading_space: 0.0, byte_range: range, format });
            from = *end;
        }
        LayoutJob {
            text: self.text.clone(),
            sections,
            wrap: TextWrapping { max_width: width, ..TextWrapping::default() },
            halign: side,
            break_on_newline: false,
            ..LayoutJob::default()
        }
    }
}

fn is_rtl(c: char) -> bool {
    matches!(bidi_class(c), BidiClass::R | BidiClass::AL) && c != '\u{200f}'
}

/// Brackets open the other way round from right to left.
fn mirror(c: char) -> char {
    match c {
        '(' => ')',
        ')' => '(',
        '[' => ']',
        ']' => '[',
        '{' => '}',
        '}' => '{',
        '<' => '>',
        '>' => '<',
        '«' => '»',
        '»' => '«',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use weir_engine::subtitles::{Placement, Vertical};

    use super::*;

    fn text(plain: &str) -> Text {
        Text::of(&[Span { text: plain.into(), ..Span::default() }])
    }

    #[test]
    fn text_from_right_to_left_is_set_from_right_to_left_and_numbers_in_it_are_not_turned() {
        // Letters stay in the order in which they are read: the font turns them.
        assert_eq!(text("שלום עולם!").visual().text, "!עולם שלום");
        assert_eq!(text("בשנת 1984 (אז)").visual().text, "(אז) 1984 בשנת");
        assert_eq!(text("He said שלום עולם twice").visual().text, "He said עולם שלום twice");
        assert_eq!(text("\u{200f}abc").visual().text, "abc");
        assert!(text("- שלום").is_rtl() && !text("a שלום").is_rtl() && !text("123").is_rtl());
    }

    #[test]
    fn looks_stay_with_their_words_when_the_order_changes() {
        let spans = [
            Span { text: "שלום ".into(), italic: true, ..Span::default() },
            Span { text: "עולם".into(), ..Span::default() },
        ];
        let visual = Text::of(&spans).visual();
        assert_eq!(visual.text, "עולם שלום");
        let looks: Vec<_> = visual.looks.iter().map(|(end, look)| (*end, look.italic)).collect();
        assert_eq!(looks, [(8, false), (17, true)]);
    }

    #[test]
    fn rows_are_cut_between_words() {
        let rows = text("aa bb cc dddddd").wrapped(|row| row.text.len() as f32, 5.0);
        let rows: Vec<_> = rows.iter().map(|row| row.text.as_str()).collect();
        assert_eq!(rows, ["aa bb", "cc", "dddddd"]);
        assert_eq!(text("").wrapped(|_| 0.0, 5.0).len(), 1);
    }

    fn cue(plain: &str, place: Placement) -> Arc<Cue> {
        let spans = vec![Span { text: plain.into(), ..Span::default() }];
        Arc::new(Cue { start: Duration::ZERO, end: Duration::from_secs(9), spans, place })
    }

    const WHOLE: egui::Rangef = egui::Rangef { min: 0.0, max: 360.0 };

    /// Boxes of cues in a picture of 640 x 360 points.
    fn areas(cues: &[Arc<Cue>], free: egui::Rangef) -> Vec<Rect> {
        let context = egui::Context::default();
        theme::install(&context);
        let mut out = Vec::new();
        // Fonts are there from the second pass on.
        context.run_ui(egui::RawInput::default(), |_| {}).textures_delta.clear();
        let mut output = context.run_ui(egui::RawInput::default(), |ui| {
            let screen = Screen::new(Rect::from_min_size(pos2(0.0, 0.0), vec2(640.0, 360.0)), free);
            out.clear();
            for cue in cues {
                let set = Set::new(ui.painter(), cue, &screen);
                let area = screen.area(cue, &set, &out).unwrap();
                set.paint(ui.painter(), area);
                out.push(area);
            }
        });
        output.textures_delta.clear();
        out
    }

    #[test]
    fn cues_stand_at_the_bottom_above_each_other_and_above_the_controls() {
        let cues = [cue("one", Placement::default()), cue("two\nlines", Placement::default())];
        let found = areas(&cues, WHOLE);
        assert!(found[0].bottom() <= 360.0 * 0.96 && found[0].bottom() > 330.0, "{found:?}");
        assert!(found[1].bottom() <= found[0].top() + 0.5);
        assert!(found[1].height() > 1.9 * found[0].height());
        assert!((found[0].center().x - 320.0).abs() < 1.0);
        assert!(areas(&cues, egui::Rangef::new(60.0, 270.0))[0].bottom() <= 270.0);
    }

    #[test]
    fn vertical_text_stands_in_columns_inside_of_the_picture() {
        let boxed = |place: Placement, text: &str, before: &[Rect]| {
            let context = egui::Context::default();
            theme::install(&context);
            let mut out = None;
            context.run_ui(egui::RawInput::default(), |_| {}).textures_delta.clear();
            let mut output = context.run_ui(egui::RawInput::default(), |ui| {
                let screen = Screen::new(Rect::from_min_size(pos2(0.0, 0.0), vec2(640.0, 360.0)), WHOLE);
                let direction = place.vertical.unwrap();
                let cue = cue(text, place);
                let set = Columns::new(ui.painter(), &cue, &screen);
                out = set.area(&cue, direction, &screen, before);
                set.paint(ui.painter(), out.unwrap(), direction);
            });
            output.textures_delta.clear();
            out.unwrap()
        };
        let right =
            Placement { vertical: Some(Vertical::RightToLeft), align: Align::Start, ..Placement::default() };
        let left = Placement { vertical: Some(Vertical::LeftToRight), ..right };
        let first = Placement { line: Some(Line::Number(0)), ..right };
        let two = boxed(right, "one\ntwo", &[]);
        assert!(two.left() < 40.0 && two.top() < 20.0 && two.height() > two.width(), "{two:?}");
        assert!(boxed(left, "one", &[]).right() > 600.0, "the last column is on the other side");
        assert!(boxed(first, "one", &[]).right() > 600.0);
        let beside = boxed(right, "three", &[two]);
        assert!(beside.left() >= two.right() - 0.5, "{beside:?} beside {two:?}");
        let many = boxed(first, &"x".repeat(200), &[]);
        assert!(many.bottom() <= 360.0 && many.left() >= 0.0 && many.width() > 100.0, "{many:?}");
        let half = Placement { line: Some(Line::Part(0.5)), ..right };
        assert!((boxed(half, "one", &[]).left() - 320.0).abs() < 1.0);
    }

    #[test]
    fn settings_put_a_cue_where_they_say_and_never_over_the_edge() {
        let place = Placement::default();
        let top = Placement { line: Some(Line::Number(0)), ..place };
        let left =
            Placement { line: Some(Line::Part(0.5)), align: Align::Start, position: Some(0.1), ..place };
        let right = Placement { align: Align::End, ..place };
        let last = Placement { line: Some(Line::Number(-1)), ..place };
        let found = areas(&[cue("top", top), cue("left", left), cue("right", right)], WHOLE);
        assert!(found[0].top() < 30.0);
        let beside = areas(&[cue("top", top)], egui::Rangef::new(60.0, 270.0));
        assert!(beside[0].top() >= 60.0, "below the title: {beside:?}");
        assert!(
            (found[1].left() - 64.0).abs() < 1.0 && (found[1].top() - 180.0).abs() < 1.0,
            "{:?}",
            found[1]
        );
        assert!(found[2].right() > 590.0 && found[2].right() <= 640.0);
        assert!(areas(&[cue("low", last)], WHOLE)[0].bottom() > 330.0);
        let below = Placement { line: Some(Line::Part(1.0)), position: Some(1.0), ..place };
        let many = "word ".repeat(40);
        for cue in [cue("שלום عالم 🎬 👩‍👩‍👧 \u{202e}x", below), cue(&many, below), cue(&"ש ".repeat(200), place)]
        {
            let area = areas(&[cue], WHOLE)[0];
            assert!(area.left() >= 0.0 && area.right() <= 640.5 && area.top() >= 0.0, "{area:?}");
        }
    }
}
