//! Subtitles from outside: WebVTT checked, SubRip converted, both written anew as plain WebVTT.
//!
//! What is kept: cues in the order of their times, with identifiers and settings, and `STYLE`, `REGION` and `NOTE`
//! blocks. What goes: the header's metadata, so that times count from the stream's beginning (RFC 8216bis, 3.1.4).

use std::fmt::Write as _;

/// Largest file that is taken, in bytes.
pub const MOST_BYTES: usize = 2 << 20;
/// Most cues in a file.
const MOST_CUES: usize = 50_000;
/// Longest block in bytes.
const LONGEST_BLOCK: usize = 16 << 10;
/// No cue begins or ends later: 100 hours, in milliseconds.
const LATEST_MS: u64 = 360_000_000;

/// Subtitles as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtitles {
    /// A whole WebVTT file.
    pub vtt: String,
    /// Number of cues.
    pub cues: usize,
    /// End of the cue that ends last, in milliseconds.
    pub end_ms: u64,
}

/// Why a file was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct SubtitleError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there, and what would be right.
    pub why: String,
}

struct Cue {
    start_ms: u64,
    end_ms: u64,
    /// Identifier line, if there is one.
    id: String,
    settings: String,
    text: String,
}

/// Reads WebVTT (W3C) or SubRip, told apart by the first line.
///
/// # Errors
/// [`SubtitleError`] with the first line that is not right; for a file of more than [`MOST_BYTES`] too.
pub fn parse(bytes: &[u8]) -> Result<Subtitles, SubtitleError> {
    let fail = |line: usize, why: &str| SubtitleError { line, why: why.to_owned() };
    if bytes.len() > MOST_BYTES {
        return Err(fail(1, "the file is larger than 2 MiB"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        fail(line, "not UTF-8; save the file as UTF-8")
    })?;
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    if text.contains('\0') {
        return Err(fail(1, "the file holds zero bytes; is it text?"));
    }
    let is_vtt = text
        .strip_prefix("WEBVTT")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n']));
    let mut blocks = blocks(&text);
    if is_vtt {
        blocks.next(); // the header with its metadata
    }
    let (mut cues, mut kept) = (Vec::new(), String::new());
    for (line, block) in blocks {
        if block.iter().map(|text| text.len()).sum::<usize>() > LONGEST_BLOCK {
            return Err(fail(line, "a cue of more than 16 KiB"));
        }
        if is_vtt && is_kept(&block) {
            let _ = write!(kept, "\n{}\n", block.join("\n"));
            continue;
        }
        cues.push(cue(line, &block, is_vtt)?);
        if cues.len() > MOST_CUES {
            return Err(fail(line, "more than 50000 cues"));
        }
    }
    if cues.is_empty() {
        return Err(fail(
            1,
            "there are no cues; a WebVTT file begins with WEBVTT, a SubRip file with a number",
        ));
    }
    cues.sort_by_key(|cue| cue.start_ms);
    let mut vtt = format!("WEBVTT\n{kept}");
    for Cue { start_ms, end_ms, id, settings, text } in &cues {
        let id = if id.is_empty() { String::new() } else { format!("{id}\n") };
        let (start, end) = (timestamp(*start_ms), timestamp(*end_ms));
        let space = if settings.is_empty() { "" } else { " " };
        let _ = write!(vtt, "\n{id}{start} --> {end}{space}{settings}\n{text}\n");
    }
    let end_ms = cues.iter().map(|cue| cue.end_ms).max().unwrap_or(0);
    Ok(Subtitles { vtt, cues: cues.len(), end_ms })
}

/// Runs of lines that are not empty, with the number of the first.
fn blocks(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    let mut lines = (1..).zip(text.split('\n')).peekable();
    std::iter::from_fn(move || {
        while lines.next_if(|(_, line)| line.trim().is_empty()).is_some() {}
        let (first, _) = *lines.peek()?;
        let mut block = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.trim().is_empty()) {
            block.push(line);
        }
        Some((first, block))
    })
}

/// A block that is no cue.
fn is_kept(block: &[&str]) -> bool {
    let first = block.first().copied().unwrap_or_default();
    let word = first.split([' ', '\t']).next().unwrap_or_default();
    matches!(word, "NOTE" | "STYLE" | "REGION") && !block.iter().any(|line| line.contains("-->"))
}

fn cue(line: usize, block: &[&str], is_vtt: bool) -> Result<Cue, SubtitleError> {
    let fail = |line: usize, why: String| SubtitleError { line, why };
    // The identifier may be left out.
    let at = usize::from(block.first().is_some_and(|first| !first.contains("-->")));
    let example = if is_vtt { "00:00:01.000 --> 00:00:02.000" } else { "00:00:01,000 --> 00:00:02,000" };
    let timing = block.get(at).copied().unwrap_or_default();
    let bad_times = || fail(line + at, format!("expected times like \"{example}\""));
    let (start, rest) = timing.split_once("-->").ok_or_else(bad_times)?;
    let (end, settings) = match rest.trim_start().split_once([' ', '\t']) {
        Some((end, settings)) => (end, settings.trim()),
        None => (rest.trim(), ""),
    };
    let start_ms = milliseconds(start.trim()).ok_or_else(bad_times)?;
    let end_ms = milliseconds(end).ok_or_else(bad_times)?;
    if end_ms <= start_ms {
        return Err(fail(line + at, "the cue ends before it begins".to_owned()));
    }
    if end_ms > LATEST_MS {
        return Err(fail(line + at, "the cue is later than 100 hours".to_owned()));
    }
    let payload = block.get(at + 1..).unwrap_or_default();
    if let Some(place) = payload.iter().position(|text| text.contains("-->")) {
        return Err(fail(
            line + at + 1 + place,
            "\"-->\" within a cue; is an empty line missing before it?".to_owned(),
        ));
    }
    let id = block.first().filter(|_| at == 1).map(|id| id.trim().to_owned()).unwrap_or_default();
    let text = payload.join("\n");
    Ok(if is_vtt {
        Cue { start_ms, end_ms, id, settings: settings.to_owned(), text }
    } else {
        // SubRip's numbers and coordinates mean nothing in WebVTT.
        Cue { start_ms, end_ms, id: String::new(), settings: String::new(), text: converted(&text) }
    })
}

/// `hh:mm:ss.ttt`, hours optional, SubRip's comma too.
fn milliseconds(text: &str) -> Option<u64> {
    let (clock, fraction) = text.split_once(['.', ','])?;
    let digits = |text: &str, most: usize| {
        let fine = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        fine.then(|| text.parse::<u64>().ok()).flatten()
    };
    if fraction.len() != 3 {
        return None;
    }
    let mut parts = clock.rsplit(':');
    let seconds = digits(parts.next()?, 2).filter(|s| *s < 60)?;
    let minutes = digits(parts.next()?, 2).filter(|m| *m < 60)?;
    let hours = parts.next().map_or(Some(0), |hours| digits(hours, 4))?;
    let nothing_more = parts.next().is_none();
    nothing_more.then_some(digits(fraction, 3)? + 1000 * (seconds + 60 * (minutes + 60 * hours)))
}

fn timestamp(ms: u64) -> String {
    let (s, ms) = (ms / 1000, ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

/// SubRip's text: bold, italic and underlined stay, other tags and `{...}` commands go, and the rest is escaped.
fn converted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let close = match c {
            '<' => Some('>'),
            '{' => Some('}'),
            _ => None,
        };
        let inside = close.and_then(|close| {
            let end = rest.find(close)?;
            rest.get(1..end).filter(|inside| inside.len() < 200).map(|inside| (inside, end + 1))
        });
        match inside {
            Some((tag, after)) if c == '<' && is_tag(tag) => {
                let plain = tag.to_ascii_lowercase();
                if matches!(plain.as_str(), "b" | "i" | "u" | "/b" | "/i" | "/u") {
                    let _ = write!(out, "<{plain}>");
                }
                rest = rest.get(after..).unwrap_or_default();
                continue;
            }
            Some((command, after)) if c == '{' && command.starts_with('\\') => {
                rest = rest.get(after..).unwrap_or_default();
                continue;
            }
            _ => {}
        }
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            other => out.push(other),
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    out
}

fn is_tag(inside: &str) -> bool {
    inside.trim_start_matches('/').chars().next().is_some_and(|c| c.is_ascii_alphabetic())
}

/// A language tag (BCP 47) in lower case; `None` for what is not one.
#[must_use]
pub fn language(text: &str) -> Option<String> {
    let mut parts = text.split('-');
    let letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let first = parts.next().is_some_and(|part| (2..=8).contains(&part.len()) && letters(part));
    let rest = parts
        .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    (first && rest && text.len() <= 35).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_vtt_keeps_its_cues_styles_and_settings() {
        let text = "\u{feff}WEBVTT - a film\r\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\r\n\r\nSTYLE\r\n\
                    ::cue { color: lime }\r\n\r\nsecond\r\n00:02.000 --> 00:03.500 line:0 align:start\r\n<i>Two</i>\r\nlines\r\n\r\n\
                    NOTE nothing\r\n\r\n00:00:01.000 --> 01:00:02.000\r\nOne &amp; only\r\n";
        let found = parse(text.as_bytes()).unwrap();
        assert_eq!((found.cues, found.end_ms), (2, 3_602_000));
        assert_eq!(
            found.vtt,
            "WEBVTT\n\nSTYLE\n::cue { color: lime }\n\nNOTE nothing\n\n00:00:01.000 --> 01:00:02.000\nOne &amp; only\n\n\
             second\n00:00:02.000 --> 00:00:03.500 line:0 align:start\n<i>Two</i>\nlines\n"
        );
        assert_eq!(parse(found.vtt.as_bytes()).unwrap(), found, "what is written is read back the same");
    }

    #[test]
    fn sub_rip_is_converted() {
        let text = "1\n00:00:01,500 --> 00:00:02,000 X1:10 X2:20\n{\\an8}<B>Tom</b> & <font color=\"red\">Jerry</font>\n\n\n\
                    2\n100:00:00,000 --> 100:00:00,000\n";
        let error = parse(text.as_bytes()).unwrap_err();
        assert_eq!((error.line, error.why.as_str()), (7, "the cue ends before it begins"));
        let text =
            text.replace("100:00:00,000 --> 100:00:00,000", "0:00:03,000 --> 0:00:04,000\n3 < 4 <3 {x}");
        let found = parse(text.as_bytes()).unwrap();
        assert_eq!(
            found.vtt,
            "WEBVTT\n\n00:00:01.500 --> 00:00:02.000\n<b>Tom</b> &amp; Jerry\n\n\
             00:00:03.000 --> 00:00:04.000\n3 &lt; 4 &lt;3 {x}\n"
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let rows: [(&[u8], usize, &str); 10] = [
            (b"", 1, "no cues"),
            (b"WEBVTT\n", 1, "no cues"),
            (b"WEBVTT\n\n00:01.000 -> 00:02.000\nx", 4, "expected times"),
            (b"WEBVTT\n\n00:01.000 --> 00:02,00\nx", 3, "expected times"),
            (b"WEBVTT\n\n00:61.000 --> 01:02.000\nx", 3, "expected times"),
            (b"WEBVTT\n\nid\n00:03.000 --> 00:02.000\nx", 4, "ends before"),
            (b"WEBVTT\n\n00:01.000 --> 00:02.000\nx\n00:03.000 --> 00:04.000\ny", 5, "empty line"),
            (b"1\n00:00:01,000 --> 00:00:02,000\n\xff\xfe", 3, "UTF-8"),
            (b"\x00\x01\x02", 1, "zero bytes"),
            (b"{\"json\": true}", 2, "expected times"),
        ];
        for (text, line, why) in rows {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line, line, "{error} in {text:?}");
            assert!(error.why.contains(why), "{error}");
        }
    }

    #[test]
    fn nothing_grows_without_bound() {
        assert!(parse(&vec![b'a'; MOST_BYTES + 1]).is_err());
        let long = format!("WEBVTT\n\n00:01.000 --> 00:02.000\n{}", "x\n".repeat(LONGEST_BLOCK));
        assert!(parse(long.as_bytes()).unwrap_err().why.contains("16 KiB"));
        let many = "1\n00:00:01,000 --> 00:00:02,000\n\n".repeat(MOST_CUES + 1);
        assert!(parse(many.as_bytes()).unwrap_err().why.contains("50000"));
        let braces = format!("1\n00:00:01,000 --> 00:00:02,000\n{}", "<{".repeat(8000));
        assert!(parse(braces.as_bytes()).is_ok());
    }

    #[test]
    fn mutated_files_are_read_or_refused() {
        let good = b"WEBVTT\n\nSTYLE\n::cue{}\n\nid\n00:01.000 --> 00:02.000 line:0\n<i>x</i> &amp;\n\n00:02.000 --> 00:03.000\ny\n";
        let mut state = 7_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut taken = 0;
        for _ in 0..20_000 {
            let mut bytes = good.to_vec();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes[at] = random(256) as u8,
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b"\n:->.<{0"[random(8)]),
                }
            }
            if let Ok(found) = parse(&bytes) {
                taken += 1;
                assert!(found.vtt.starts_with("WEBVTT\n") && found.cues > 0);
                assert_eq!(
                    parse(found.vtt.as_bytes()).map(|again| again.cues),
                    Ok(found.cues),
                    "{}",
                    found.vtt
                );
            }
        }
        assert!(taken > 1000, "{taken}");
    }

    #[test]
    fn language_tags() {
        for (text, want) in [("en", "en"), ("pt-BR", "pt-br"), ("zh-Hans-CN", "zh-hans-cn"), ("deu", "deu")] {
            assert_eq!(language(text).as_deref(), Some(want));
        }
        for text in
            ["", "e", "english-language-of-a-very-long-tag-x", "en_GB", "en-", "../x", "1n", "en-\u{e9}"]
        {
            assert_eq!(language(text), None, "{text}");
        }
    }
}
