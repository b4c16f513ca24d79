//! The text of a WebVTT cue: tags and entities (WebVTT, 6.4).

use super::{
    cue::Span,
    style::{Change, Head},
};

/// Tags inside each other; more are read as if they were not there.
const DEEPEST: usize = 16;

/// What a tag changes.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    italic: bool,
    bold: bool,
    underline: bool,
    colour: Option<[u8; 3]>,
    background: Option<[u8; 3]>,
    /// Of a note on how something is pronounced: left out, for it would stand in the middle of the words.
    hidden: bool,
}

impl Look {
    fn change(&mut self, change: Change) {
        self.italic = change.italic.unwrap_or(self.italic);
        self.bold = change.bold.unwrap_or(self.bold);
        self.underline = change.underline.unwrap_or(self.underline);
        self.colour = change.colour.unwrap_or(self.colour);
        self.background = change.background.unwrap_or(self.background);
    }
}

/// Spans of the cue `id`; none when nothing is to be seen.
pub(super) fn spans(text: &str, head: &Head, id: &str) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    let mut open: Vec<(&str, Look)> = Vec::new();
    let mut look = Look::default();
    head.of_cue(id).for_each(|change| look.change(change));
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find('<').unwrap_or(rest.len());
        let (plain, after) = rest.split_at(end);
        if !plain.is_empty() && !look.hidden {
            push(&mut out, look, &entities(plain));
        }
        let Some(tag) = after.strip_prefix('<') else { break };
        let (tag, after) = tag.split_once('>').unwrap_or((tag, ""));
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            if let Some(at) = open.iter().rposition(|(open, _)| *open == name.trim()) {
                look = open.get(at).map_or(look, |(_, before)| *before);
                open.truncate(at);
            }
            continue;
        }
        let (name, voice) = tag.split_once([' ', '\t', '\n']).unwrap_or((tag, ""));
        let mut parts = name.split('.');
        let kind = parts.next().unwrap_or_default();
        if !matches!(kind, "i" | "b" | "u" | "c" | "v" | "lang" | "ruby" | "rt") || open.len() >= DEEPEST {
            continue;
        }
        open.push((kind, look));
        match kind {
            "i" => look.italic = true,
            "b" => look.bold = true,
            "u" => look.underline = true,
            "rt" => look.hidden = true,
            _ => {}
        }
        let classes: Vec<&str> = parts.take(DEEPEST).collect();
        for class in &classes {
            match class.strip_prefix("bg_") {
                Some(name) => look.background = colour(name).or(look.background),
                None => look.colour = colour(class).or(look.colour),
            }
        }
        head.of_tag(kind, &classes, voice.trim()).for_each(|change| look.change(change));
    }
    if out.iter().all(|span| span.text.chars().all(|c| c.is_whitespace() || c == '\u{200b}')) {
        out.clear();
    }
    out
}

fn push(out: &mut Vec<Span>, look: Look, text: &str) {
    let span = Span {
        text: String::new(),
        italic: look.italic,
        bold: look.bold,
        underline: look.underline,
        colour: look.colour,
        background: look.background,
    };
    let same = |last: &Span| Span { text: String::new(), ..last.clone() } == span;
    match out.last_mut() {
        Some(last) if same(last) => last.text.push_str(text),
        _ => out.push(Span { text: text.to_owned(), ..span }),
    }
}

/// The colours that WebVTT knows by name (5.2).
pub(super) fn colour(name: &str) -> Option<[u8; 3]> {
    Some(match name {
        "white" => [255, 255, 255],
        "lime" => [0, 255, 0],
        "cyan" | "aqua" => [0, 255, 255],
        "red" => [255, 0, 0],
        "yellow" => [255, 255, 0],
        "magenta" | "fuchsia" => [255, 0, 255],
        "blue" => [0, 0, 255],
        "black" => [0, 0, 0],
        _ => return None,
    })
}

/// As style sheets and TTML write colours; `None` for one that is not known or not to be seen.
pub(super) fn css_colour(text: &str) -> Option<[u8; 3]> {
    if let Some(hex) = text.strip_prefix('#') {
        if matches!(hex.len(), 3 | 4) {
            let digit = |at: usize| Some(u8::from_str_radix(hex.get(at..=at)?, 16).ok()? * 17);
            let seen = hex.len() < 4 || digit(3)? > 0;
            return seen.then_some([digit(0)?, digit(1)?, digit(2)?]);
        }
        let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        let seen = hex.len() < 8 || byte(6)? > 0;
        return seen.then_some([byte(0)?, byte(2)?, byte(4)?]);
    }
    if let Some(list) =
        text.strip_prefix("rgb").and_then(|rest| rest.trim_start_matches('a').strip_prefix('('))
    {
        let mut parts = list.trim_end_matches(')').split(',').map(|part| part.trim().parse::<f32>().ok());
        let mut byte =
            || parts.next()?.filter(|value| (0.0..=255.0).contains(value)).map(|value| value as u8);
        let rgb = [byte()?, byte()?, byte()?];
        return (parts.next() != Some(Some(0.0))).then_some(rgb);
    }
    match text {
        "green" => Some([0, 128, 0]),
        "gray" => Some([128, 128, 128]),
        "silver" => Some([192, 192, 192]),
        "orange" => Some([255, 165, 0]),
        name => colour(name),
    }
}

/// Replaces entities; what is none stays as it is.
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (plain, after) = rest.split_at(at);
        out.push_str(plain);
        // None that is known is longer.
        let named =
            after.char_indices().take(12).find(|(_, c)| *c == ';').and_then(|(end, _)| after.get(1..end));
        match named.and_then(|name| Some((name, entity(name)?))) {
            Some((name, c)) => {
                out.push(c);
                rest = after.get(name.len() + 2..).unwrap_or_default();
            }
            None => {
                out.push('&');
                rest = after.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "lrm" => '\u{200e}',
        "rlm" => '\u{200f}',
        "hellip" => '…',
        "mdash" => '—',
        "ndash" => '–',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code).filter(|c| !c.is_control())?
        }
    })
}
