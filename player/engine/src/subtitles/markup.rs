//! The text of a WebVTT cue: tags and entities (WebVTT, 6.4).

use super::cue::Span;

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

/// Spans of a cue; none when nothing is to be seen.
pub(super) fn spans(text: &str) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    let mut open: Vec<(&str, Look)> = Vec::new();
    let mut look = Look::default();
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
        let name = tag.split([' ', '\t', '\n']).next().unwrap_or_default();
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
        for class in parts {
            match class.strip_prefix("bg_") {
                Some(name) => look.background = colour(name).or(look.background),
                None => look.colour = colour(class).or(look.colour),
            }
        }
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
