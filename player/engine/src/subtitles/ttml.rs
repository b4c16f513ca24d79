//! TTML as IMSC text (<https://www.w3.org/TR/ttml-imsc1.2/>): paragraphs, their times, simple looks, regions.

use std::collections::HashMap;

use roxmltree::{Document, Node, ParsingOptions};

use super::{
    cue::{Align, Anchor, Line, Placement, Span},
    document::{LONGEST_TEXT, MOST_CUES, Timed, Unreadable},
    markup::css_colour,
};

const SECOND: f64 = 1e9;
/// Elements inside each other.
const DEEPEST: usize = 24;
/// Styles that refer to styles.
const LONGEST_CHAIN: usize = 6;

/// What is inherited.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    italic: bool,
    bold: bool,
    underline: bool,
    colour: Option<[u8; 3]>,
    background: Option<[u8; 3]>,
    align: Option<Align>,
}

#[derive(Clone, Copy, Debug)]
struct Rates {
    frames: f64,
    ticks: f64,
}

struct Reader<'a, 'input> {
    rates: Rates,
    styles: HashMap<&'a str, Node<'a, 'input>>,
    regions: HashMap<&'a str, Node<'a, 'input>>,
    cues: Vec<Timed>,
}

/// Longest tag, and most namespaces: the parser compares each attribute of an element with all others, and copies the
/// namespaces in force.
const LONGEST_TAG: usize = 4096;
const MOST_NAMESPACES: usize = 200;

pub(super) fn read(text: &str) -> Result<Vec<Timed>, Unreadable> {
    let tags = text
        .split('<')
        .skip(1)
        .filter(|tag| !tag.starts_with("!--"))
        .map(|rest| rest.find('>').unwrap_or(rest.len()));
    if tags.max().unwrap_or(0) > LONGEST_TAG || text.matches("xmlns").nth(MOST_NAMESPACES).is_some() {
        return Err(Unreadable::Damaged("it has a tag of more than 4096 bytes, or more than 200 namespaces"));
    }
    let options = ParsingOptions { allow_dtd: false, nodes_limit: 1_000_000, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| {
        Unreadable::Syntax(error.pos().row as usize, format!("no well-formed TTML: {error}"))
    })?;
    let root = document.root_element();
    if root.tag_name().name() != "tt" {
        return Err(Unreadable::Unknown);
    }
    let number =
        |name: &str| attribute(root, name).and_then(|value| value.parse::<f64>().ok()).filter(|n| *n > 0.0);
    let multiplier = attribute(root, "frameRateMultiplier").and_then(|text| {
        let (above, below) = text.split_once(' ')?;
        Some(above.parse::<f64>().ok()? / below.parse::<f64>().ok().filter(|below| *below > 0.0)?)
    });
    let frames = number("frameRate").unwrap_or(30.0) * multiplier.unwrap_or(1.0);
    let rates = Rates { frames, ticks: number("tickRate").unwrap_or(frames) };
    let named = |kind: &'static str| {
        let nodes = root.descendants().filter(move |node| node.tag_name().name() == kind);
        nodes.filter_map(|node| Some((attribute(node, "id")?, node))).collect::<HashMap<_, _>>()
    };
    let mut reader = Reader { rates, styles: named("style"), regions: named("region"), cues: Vec::new() };
    if let Some(body) = root.children().find(|node| node.tag_name().name() == "body") {
        if root.descendants().any(|node| attribute(node, "backgroundImage").is_some()) {
            return Err(Unreadable::Unsupported("pictures in TTML".into()));
        }
        reader.container(body, (0.0, f64::INFINITY), Look::default(), None, 0);
    }
    Ok(reader.cues)
}

/// An attribute in whatever namespace.
fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes().find(|attribute| attribute.name() == name).map(|attribute| attribute.value().trim())
}

impl<'a, 'input> Reader<'a, 'input> {
    /// When an element is shown, inside of `within`.
    fn span(&self, node: Node<'_, '_>, within: (f64, f64)) -> (f64, f64) {
        let at = |name| attribute(node, name).and_then(|text| time(text, self.rates));
        let begin = within.0 + at("begin").unwrap_or(0.0);
        let end = [at("end").map(|end| within.0 + end), at("dur").map(|length| begin + length)];
        (begin, end.into_iter().flatten().fold(within.1, f64::min))
    }

    /// The look of an element, on top of what it inherits.
    fn look(&self, node: Node<'_, '_>, mut look: Look, depth: usize) -> Look {
        if depth < LONGEST_CHAIN {
            for name in attribute(node, "style").into_iter().flat_map(str::split_whitespace) {
                if let Some(style) = self.styles.get(name) {
                    look = self.look(*style, look, depth + 1);
                }
            }
        }
        let is = |name: &str, yes: &[&str]| attribute(node, name).map(|value| yes.contains(&value));
        look.italic = is("fontStyle", &["italic", "oblique"]).unwrap_or(look.italic);
        look.bold = is("fontWeight", &["bold"]).unwrap_or(look.bold);
        look.underline = is("textDecoration", &["underline"]).unwrap_or(look.underline);
        look.colour = attribute(node, "color").and_then(css_colour).or(look.colour);
        look.background = attribute(node, "backgroundColor").map_or(look.background, css_colour);
        look.align = match attribute(node, "textAlign") {
            Some("left") => Some(Align::Left),
            Some("right") => Some(Align::Right),
            Some("center") => Some(Align::Center),
            Some("start") => Some(Align::Start),
            Some("end") => Some(Align::End),
            _ => look.align,
        };
        look
    }

    fn container(
        &mut self,
        node: Node<'a, 'input>,
        within: (f64, f64),
        look: Look,
        region: Option<&'a str>,
        depth: usize,
    ) {
        if depth > DEEPEST || self.cues.len() >= MOST_CUES {
            return;
        }
        let span = self.span(node, within);
        let region = attribute(node, "region").or(region);
        let look = self.look(node, look, 0);
        if node.tag_name().name() != "p" {
            for child in node.children().filter(Node::is_element) {
                self.container(child, span, look, region, depth + 1);
            }
            return;
        }
        let region = region.and_then(|name| self.regions.get(name)).copied();
        let look = match region {
            // What the region sets counts least.
            Some(region) => {
                Look { align: look.align.or(self.look(region, Look::default(), 0).align), ..look }
            }
            None => look,
        };
        let place = self.placement(region, look);
        // Parts of a paragraph may come one after the other.
        let mut pieces: Vec<((f64, f64), Vec<Span>)> = Vec::new();
        self.text(node, span, look, depth + 1, &mut pieces);
        for ((start, end), mut spans) in pieces {
            trim(&mut spans);
            let (start, end) = ((start * SECOND) as i64, (end * SECOND) as i64);
            if start < end && spans.iter().any(|span| !span.text.trim().is_empty()) {
                self.cues.push(Timed { start, end, spans, place });
            }
        }
    }

    fn text(
        &self,
        node: Node<'a, 'input>,
        within: (f64, f64),
        look: Look,
        depth: usize,
        out: &mut Vec<((f64, f64), Vec<Span>)>,
    ) {
        if depth > DEEPEST {
            return;
        }
        for child in node.children() {
            if let Some(text) = child.text().filter(|_| child.is_text()) {
                push(out, within, look, &collapsed(text));
                continue;
            }
            match child.tag_name().name() {
                "br" => push(out, within, look, "\n"),
                "span" => {
                    let (span, look) = (self.span(child, within), self.look(child, look, 0));
                    self.text(child, span, look, depth + 1, out);
                }
                _ => {}
            }
        }
    }

    fn placement(&self, region: Option<Node<'_, '_>>, look: Look) -> Placement {
        let mut place = Placement { align: look.align.unwrap_or_default(), ..Placement::default() };
        let Some(region) = region else { return place };
        let pair = |name: &str| {
            let mut parts = attribute(region, name)?.split_whitespace().map(|part| {
                let part: f32 = part.strip_suffix('%')?.parse().ok()?;
                (0.0..=100.0).contains(&part).then_some(part / 100.0)
            });
            Some((parts.next()??, parts.next()??))
        };
        let (Some((x, y)), Some((width, height))) = (pair("origin"), pair("extent")) else { return place };
        (place.line, place.line_anchor) = match attribute(region, "displayAlign") {
            Some("after") => (Some(Line::Part((y + height).min(1.0))), Anchor::End),
            Some("center") => (Some(Line::Part(y + height / 2.0)), Anchor::Center),
            _ => (Some(Line::Part(y)), Anchor::Start),
        };
        (place.position, place.position_anchor, place.size) = (Some(x), Some(Anchor::Start), width);
        place
    }
}

fn push(out: &mut Vec<((f64, f64), Vec<Span>)>, when: (f64, f64), look: Look, text: &str) {
    let Look { italic, bold, underline, colour, background, .. } = look;
    let span = Span { text: text.to_owned(), italic, bold, underline, colour, background };
    match out.last_mut() {
        Some((known, spans)) if *known == when => {
            if spans.iter().map(|span| span.text.len()).sum::<usize>() < LONGEST_TEXT {
                spans.push(span);
            }
        }
        // Blanks between two spans with times of their own are nobody's.
        _ if text.trim_matches(' ').is_empty() => {}
        _ => out.push((when, vec![span])),
    }
}

/// Line ends and tabs in the source are blanks, and several blanks are one.
fn collapsed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let c = if c.is_ascii_whitespace() { ' ' } else { c };
        if c != ' ' || !out.ends_with(' ') {
            out.push(c);
        }
    }
    out
}

/// Blanks at the ends of lines are of no meaning.
fn trim(spans: &mut [Span]) {
    let mut at_start = true;
    for span in spans.iter_mut() {
        let lines: Vec<&str> = span.text.split('\n').collect();
        let last = lines.len().saturating_sub(1);
        let mut out = String::with_capacity(span.text.len());
        for (at, line) in lines.into_iter().enumerate() {
            let line = if at_start { line.trim_start_matches(' ') } else { line };
            out.push_str(if at < last { line.trim_end_matches(' ') } else { line });
            if at < last {
                out.push('\n');
                at_start = true;
            } else if !line.is_empty() {
                at_start = false;
            }
        }
        span.text = out;
    }
    if let Some(last) = spans.last_mut() {
        last.text.truncate(last.text.trim_end().len());
    }
}

/// Seconds (TTML2, 12.3.1).
fn time(text: &str, rates: Rates) -> Option<f64> {
    let seconds = if text.contains(':') {
        let fields: Vec<f64> = text.split(':').map(|field| field.parse().ok()).collect::<Option<_>>()?;
        match fields.as_slice() {
            [h, m, s] => h * 3600.0 + m * 60.0 + s,
            [h, m, s, f] => h * 3600.0 + m * 60.0 + s + f / rates.frames,
            _ => return None,
        }
    } else {
        let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
        let (value, unit) = text.split_at(unit);
        let value: f64 = value.parse().ok()?;
        match unit {
            "h" => value * 3600.0,
            "m" => value * 60.0,
            "s" => value,
            "ms" => value / 1000.0,
            "f" => value / rates.frames,
            "t" => value / rates.ticks,
            _ => return None,
        }
    };
    (0.0..1e9).contains(&seconds).then_some(seconds)
}
