//! The normalising pass: bytes to clean lines.

/// One line without blanks around it, never empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// Counted from 1.
    pub(crate) number: usize,
    pub(crate) text: &'a str,
}

/// The lines that say something. Ends of line may be LF, CRLF or CR.
#[derive(Clone, Debug)]
pub(crate) struct Lines<'a> {
    rest: &'a str,
    number: usize,
    /// What is left of a line that holds lone carriage returns.
    inner: &'a str,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text, number: 0, inner: "" }
    }

    fn physical(&mut self) -> Option<&'a str> {
        if !self.inner.is_empty() {
            let (line, inner) = self.inner.split_once('\r').unwrap_or((self.inner, ""));
            self.inner = inner;
            return Some(line);
        }
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Some((first, inner)) = line.split_once('\r') {
            self.inner = inner;
            return Some(first);
        }
        Some(line)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        loop {
            let line = self.physical()?;
            self.number += 1;
            let text = trim(line);
            if !text.is_empty() {
                return Some(Line { number: self.number, text });
            }
        }
    }
}

/// `line` without blanks, marks and zero bytes around it. Most lines have none, and millions of them are looked at.
fn trim(line: &str) -> &str {
    let plain = |byte: Option<&u8>| byte.is_some_and(|byte| (b'!'..=b'~').contains(byte));
    if plain(line.as_bytes().first()) && plain(line.as_bytes().last()) {
        return line;
    }
    line.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}' || c == '\0')
}

/// Name and value of a tag line (`#EXT...`), without blanks around either; `None` for addresses and comments.
pub(crate) fn tag(line: &str) -> Option<(&str, &str)> {
    let tag = line.strip_prefix('#').filter(|tag| tag.starts_with("EXT"))?;
    let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
    Some((name.trim_end(), value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_every_kind_of_line_end_and_counts_right() {
        let lines: Vec<_> =
            Lines::new("\u{feff}#EXTM3U\r\n\r\n a.ts \t\n\n#X\rb.ts").map(|l| (l.number, l.text)).collect();
        assert_eq!(lines, [(1, "#EXTM3U"), (3, "a.ts"), (5, "#X"), (6, "b.ts")]);
    }

    #[test]
    fn tells_tags_from_comments_and_addresses() {
        assert_eq!(tag("#EXTINF: 4.0 ,"), Some(("EXTINF", "4.0 ,")));
        assert_eq!(tag("#EXT-X-ENDLIST"), Some(("EXT-X-ENDLIST", "")));
        assert_eq!(tag("# a comment"), None);
        assert_eq!(tag("a.ts"), None);
    }
}
