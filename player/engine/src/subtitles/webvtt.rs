//! WebVTT (W3C, <https://www.w3.org/TR/webvtt1/>), read as its parser section asks: forgiving.

use super::{
    cue::{Align, Anchor, Line, Placement, Vertical},
    document::{Clock, Document, LONGEST_TEXT, MOST_CUES, Timed, Unreadable},
    markup,
    style::Head,
};

const SECOND: i64 = 1_000_000_000;

/// Reads a document that starts with `WEBVTT`.
pub(super) fn read(text: &str) -> Result<Document, Unreadable> {
    let mut lines = Lines { rest: text, number: 0 };
    let head = lines.next().unwrap_or_default();
    if !matches!(head.as_bytes().get(6), None | Some(b' ' | b'\t')) {
        return Err(Unreadable::Syntax(1, "WEBVTT is not followed by a blank or the line's end".into()));
    }
    let mut clock = Clock::Unsaid;
    let mut cues = Vec::new();
    let mut head = Head::default();
    // Some packagers leave out the empty line after the header: a cue's times end it as well.
    let mut pending: Option<&str> = None;
    while let Some(line) = lines.next() {
        if line.is_empty() {
            break;
        }
        if line.contains("-->") {
            pending = Some(line);
            break;
        }
        if let Some(map) = line.strip_prefix("X-TIMESTAMP-MAP=") {
            clock = timestamp_map(map)
                .ok_or_else(|| Unreadable::Syntax(lines.number, "X-TIMESTAMP-MAP cannot be read".into()))?;
        }
    }
    while let Some(line) = pending.take().or_else(|| lines.next()) {
        if line.is_empty() {
            continue;
        }
        let mut id = "";
        let timing = if line.contains("-->") {
            line
        } else {
            if let Some(block) = block(line) {
                let text = lines.block();
                match block {
                    "STYLE" => head.style(text),
                    "REGION" => head.region(text),
                    _ => {}
                }
                continue;
            }
            id = line;
            // The name of a cue.
            match lines.next() {
                Some(line) if line.contains("-->") => line,
                Some("") | None => continue,
                Some(_) => {
                    lines.block();
                    continue;
                }
            }
        };
        let times = times(timing);
        let mut text = String::new();
        while let Some(line) = lines.next() {
            if line.is_empty() {
                break;
            }
            if line.contains("-->") {
                pending = Some(line);
                break;
            }
            if text.len() + line.len() < LONGEST_TEXT {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(line);
            }
        }
        let Some((start, end, place)) = times.filter(|(start, end, _)| start < end) else { continue };
        let place = in_region(timing, &head, place);
        let spans = markup::spans(&text, &head, id);
        if !spans.is_empty() {
            cues.push(Timed { start, end, spans, place });
        }
        if cues.len() >= MOST_CUES {
            break;
        }
    }
    Ok(Document { cues, clock })
}

/// The rules and regions of a document of which only the head is there.
pub(super) fn head(text: &str) -> Head {
    let mut head = Head::default();
    let mut lines = Lines { rest: text, number: 0 };
    while let Some(line) = lines.next() {
        match block(line) {
            Some("STYLE") => head.style(lines.block()),
            Some("REGION") => head.region(lines.block()),
            _ => {}
        }
    }
    head
}

fn in_region(settings: &str, head: &Head, place: Placement) -> Placement {
    match settings.split_whitespace().find_map(|word| word.strip_prefix("region:")) {
        Some(region) => head.place(region, place),
        None => place,
    }
}

/// Where a cue with these settings stands.
pub(super) fn placed(settings: &str, head: &Head) -> Placement {
    in_region(settings, head, placement(settings.split_whitespace()))
}

fn block(line: &str) -> Option<&'static str> {
    ["NOTE", "STYLE", "REGION"].into_iter().find(|name| {
        line.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
    })
}

/// Lines, whatever ends them.
struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let Some(at) = self.rest.find(['\n', '\r']) else { return Some(std::mem::take(&mut self.rest)) };
        let (line, rest) = self.rest.split_at(at);
        self.rest = rest.strip_prefix("\r\n").or_else(|| rest.get(1..)).unwrap_or_default();
        Some(line)
    }

    /// All up to the next empty line.
    fn block(&mut self) -> &'a str {
        let from = self.rest;
        while self.next().is_some_and(|line| !line.is_empty()) {}
        from.get(..from.len() - self.rest.len()).unwrap_or_default()
    }
}

/// `MPEGTS:900000,LOCAL:00:00:00.000`, in either order.
fn timestamp_map(text: &str) -> Option<Clock> {
    let (mut local, mut media) = (None, None);
    for part in text.split(',') {
        let (name, value) = part.trim().split_once(':')?;
        match name.trim() {
            "LOCAL" => local = Some(time(value.trim())?),
            "MPEGTS" => {
                let ticks: u64 = value.trim().parse().ok()?;
                media = Some(i64::try_from(u128::from(ticks % (1 << 33)) * 100_000 / 9).ok()?);
            }
            _ => {}
        }
    }
    Some(Clock::Mapped(media?.saturating_sub(local?)))
}

/// `00:00:01.000 --> 00:00:02.000 line:0 align:left`.
fn times(line: &str) -> Option<(i64, i64, Placement)> {
    let (start, rest) = line.split_once("-->")?;
    let mut words = rest.split_whitespace();
    let (start, end) = (time(start.trim())?, time(words.next()?)?);
    Some((start, end, placement(words)))
}

/// Hours may be left out; some writers use a comma.
pub(super) fn time(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let mut fields = whole.split(':').rev();
    let mut field = |most: i64| {
        let field = fields.next()?;
        let digits = !field.is_empty() && field.len() <= 9 && field.bytes().all(|byte| byte.is_ascii_digit());
        field.parse::<i64>().ok().filter(|value| digits && *value <= most)
    };
    let (seconds, minutes) = (field(59)?, field(59)?);
    let hours = field(1_000_000).unwrap_or(0);
    if fields.next().is_some() || part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part: i64 = format!("{part:0<9}").get(..9)?.parse().ok()?;
    Some((hours * 3600 + minutes * 60 + seconds) * SECOND + part)
}

/// Settings of a cue; those that cannot be read are as if they were not there.
fn placement<'a>(settings: impl Iterator<Item = &'a str>) -> Placement {
    let mut place = Placement::default();
    for setting in settings.take(32) {
        let Some((name, value)) = setting.split_once(':') else { continue };
        let (value, anchor) =
            value.split_once(',').map_or((value, None), |(value, anchor)| (value, Some(anchor)));
        match name {
            "line" => {
                let line = match part(value) {
                    Some(part) => Some(Line::Part(part)),
                    None => value.parse().ok().map(Line::Number),
                };
                place.line = line.or(place.line);
                place.line_anchor = anchor.and_then(self::anchor).unwrap_or(place.line_anchor);
            }
            "position" => {
                place.position = part(value).or(place.position);
                place.position_anchor = anchor.and_then(self::anchor).or(place.position_anchor);
            }
            "vertical" => {
                place.vertical = match value {
                    "rl" => Some(Vertical::RightToLeft),
                    "lr" => Some(Vertical::LeftToRight),
                    _ => place.vertical,
                };
            }
            "size" => place.size = part(value).unwrap_or(place.size),
            "align" => {
                place.align = match value {
                    "start" => Align::Start,
                    "center" | "middle" => Align::Center,
                    "end" => Align::End,
                    "left" => Align::Left,
                    "right" => Align::Right,
                    _ => place.align,
                };
            }
            _ => {}
        }
    }
    place
}

fn part(text: &str) -> Option<f32> {
    let part: f32 = text.strip_suffix('%')?.parse().ok()?;
    (0.0..=100.0).contains(&part).then_some(part / 100.0)
}

fn anchor(text: &str) -> Option<Anchor> {
    match text {
        "start" | "line-left" => Some(Anchor::Start),
        "center" | "middle" => Some(Anchor::Center),
        "end" | "line-right" => Some(Anchor::End),
        _ => None,
    }
}
