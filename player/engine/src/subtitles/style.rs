//! What stands at the head of a WebVTT document: how its text looks (`STYLE`, 8.2) and where it stands (`REGION`, 6.1).

use super::{
    cue::{Align, Anchor, Line, Placement},
    markup,
};

/// Most rules, and most regions, of a document.
const MOST: usize = 256;
/// Longest block, in bytes.
const LONGEST: usize = 64 * 1024;
/// A line of a region, as part of the picture's height (WebVTT, 6.1).
const LINE: f32 = 0.0533;

/// The rules and regions of a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Head {
    rules: Vec<Rule>,
    regions: Vec<Region>,
}

/// What a rule changes; `None` leaves it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Change {
    pub(super) italic: Option<bool>,
    pub(super) bold: Option<bool>,
    pub(super) underline: Option<bool>,
    /// `Some(None)`: the window's own.
    pub(super) colour: Option<Option<[u8; 3]>>,
    pub(super) background: Option<Option<[u8; 3]>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    of: Selector,
    change: Change,
}

/// What a rule is about; everything where nothing is said.
#[derive(Clone, Debug, Default, PartialEq)]
struct Selector {
    /// `#name` of a cue.
    cue: Option<String>,
    tag: Option<String>,
    classes: Vec<String>,
    voice: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Region {
    id: String,
    width: f32,
    lines: f32,
    anchor: (f32, f32),
    viewport: (f32, f32),
}

impl Head {
    /// Adds what a `STYLE` block says; rules that are not understood are left out.
    pub(super) fn style(&mut self, text: &str) {
        let text = without_comments(text.get(..LONGEST).unwrap_or(text));
        for rule in text.split('}') {
            let Some((selectors, declarations)) = rule.split_once('{') else { continue };
            let change = change(declarations);
            for of in selectors.split(',').filter_map(selector) {
                if self.rules.len() < MOST && change != Change::default() {
                    self.rules.push(Rule { of, change });
                }
            }
        }
    }

    /// Adds what a `REGION` block says.
    pub(super) fn region(&mut self, text: &str) {
        let mut region =
            Region { id: String::new(), width: 1.0, lines: 3.0, anchor: (0.0, 1.0), viewport: (0.0, 1.0) };
        for (name, value) in text.split_whitespace().take(64).filter_map(|setting| setting.split_once(':')) {
            match name {
                "id" => region.id = value.to_owned(),
                "width" => region.width = part(value).unwrap_or(region.width),
                "lines" => {
                    let lines = value.parse::<u16>().ok().filter(|lines| *lines <= 100);
                    region.lines = lines.map_or(region.lines, f32::from);
                }
                "regionanchor" => region.anchor = pair(value).unwrap_or(region.anchor),
                "viewportanchor" => region.viewport = pair(value).unwrap_or(region.viewport),
                _ => {}
            }
        }
        if !region.id.is_empty() && self.regions.len() < MOST {
            self.regions.push(region);
        }
    }

    /// The place of a cue that stands in a region, unless it has one of its own.
    pub(super) fn place(&self, region: &str, place: Placement) -> Placement {
        let own = place.line.is_some() || place.size < 1.0;
        // The last one of a name counts.
        let Some(region) = self.regions.iter().rfind(|known| known.id == region).filter(|_| !own) else {
            return place;
        };
        let left = region.viewport.0 - region.anchor.0 * region.width;
        let bottom = region.viewport.1 + (1.0 - region.anchor.1) * region.lines * LINE;
        let (within, anchor) = match place.align {
            Align::Start | Align::Left => (0.0, Anchor::Start),
            Align::Center => (0.5, Anchor::Center),
            Align::End | Align::Right => (1.0, Anchor::End),
        };
        let position = left + region.width * place.position.unwrap_or(within);
        Placement {
            line: Some(Line::Part(bottom.clamp(0.0, 1.0))),
            line_anchor: Anchor::End,
            position: Some(position.clamp(0.0, 1.0)),
            position_anchor: Some(place.position_anchor.unwrap_or(anchor)),
            size: region.width,
            align: place.align,
            vertical: place.vertical,
        }
    }

    /// Changes to all of a cue, in order.
    pub(super) fn of_cue<'a>(&'a self, id: &'a str) -> impl Iterator<Item = Change> + 'a {
        let bare = |of: &Selector| of.tag.is_none() && of.classes.is_empty() && of.voice.is_none();
        let fits = move |rule: &&Rule| bare(&rule.of) && rule.of.cue.as_deref().is_none_or(|cue| cue == id);
        self.rules.iter().filter(fits).map(|rule| rule.change)
    }

    /// Changes to what stands in a tag, in order.
    pub(super) fn of_tag<'a>(
        &'a self,
        tag: &'a str,
        classes: &'a [&'a str],
        voice: &'a str,
    ) -> impl Iterator<Item = Change> + 'a {
        let fits = move |rule: &&Rule| {
            let of = &rule.of;
            let said = of.tag.is_some() || !of.classes.is_empty() || of.voice.is_some();
            said && of.cue.is_none()
                && of.tag.as_deref().is_none_or(|name| name == tag)
                && of.classes.iter().all(|class| classes.contains(&class.as_str()))
                && of.voice.as_deref().is_none_or(|name| tag == "v" && name == voice)
        };
        self.rules.iter().filter(fits).map(|rule| rule.change)
    }
}

fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        out.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, rest)| rest);
    }
    out.push_str(rest);
    out
}

/// `::cue`, `::cue(c.loud)`, `::cue(v[voice="Ann"])`, `::cue(#first)`.
fn selector(text: &str) -> Option<Selector> {
    let rest = text.trim().strip_prefix("::cue")?;
    let mut selector = Selector::default();
    if rest.is_empty() {
        return Some(selector);
    }
    let mut inner = rest.strip_prefix('(')?.strip_suffix(')')?.trim();
    if let Some((before, voice)) = inner.split_once("[voice=") {
        let voice = voice.strip_suffix(']')?.trim_matches(['"', '\'']);
        selector.voice = Some(voice.to_owned());
        inner = before;
    }
    if let Some(id) = inner.strip_prefix('#') {
        selector.cue = Some(id.to_owned());
        return Some(selector);
    }
    // Tags within tags, and states, are for those who know the whole language.
    if inner.contains([' ', '>', '+', '~', ':', '[', '*']) {
        return None;
    }
    let mut names = inner.split('.');
    selector.tag = names.next().filter(|tag| !tag.is_empty()).map(str::to_owned);
    selector.classes = names.take(16).map(str::to_owned).collect();
    let said = selector.tag.is_some() || !selector.classes.is_empty() || selector.voice.is_some();
    said.then_some(selector)
}

fn change(declarations: &str) -> Change {
    let mut change = Change::default();
    for declaration in declarations.split(';').take(64) {
        let Some((name, value)) = declaration.split_once(':') else { continue };
        let value = value.trim().trim_end_matches("!important").trim().to_ascii_lowercase();
        match name.trim().to_ascii_lowercase().as_str() {
            "color" => change.colour = Some(markup::css_colour(&value)).filter(|_| known(&value)),
            "background-color" | "background" => {
                change.background = Some(markup::css_colour(&value)).filter(|_| known(&value));
            }
            "font-style" => change.italic = Some(matches!(value.as_str(), "italic" | "oblique")),
            "font-weight" => {
                let heavy = value.parse::<u32>().is_ok_and(|weight| weight >= 600);
                change.bold = Some(heavy || matches!(value.as_str(), "bold" | "bolder"));
            }
            "text-decoration" | "text-decoration-line" => {
                change.underline = Some(value.split(' ').any(|word| word == "underline"));
            }
            _ => {}
        }
    }
    change
}

/// A colour that is read, or one that is none.
fn known(value: &str) -> bool {
    value == "transparent" || value.starts_with("rgba(") || markup::css_colour(value).is_some()
}

fn part(text: &str) -> Option<f32> {
    let part: f32 = text.strip_suffix('%')?.parse().ok()?;
    (0.0..=100.0).contains(&part).then_some(part / 100.0)
}

fn pair(text: &str) -> Option<(f32, f32)> {
    let (x, y) = text.split_once(',')?;
    Some((part(x)?, part(y)?))
}
