//! What can be wrong with a manifest.

use std::fmt;

/// Why a manifest cannot be used. Each message is one line: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither `#EXTM3U` nor an `MPD` element.
    #[error(
        "the text is neither an HLS playlist (#EXTM3U) nor a DASH manifest (<MPD>), it starts with {0:?}; \
         check that the address is that of a manifest"
    )]
    NotAManifest(String),
    /// The text breaks a rule that matters.
    #[error("line {line}: {what}; correct the manifest there")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The text as a whole lacks something.
    #[error("{what}; {advice}")]
    Incomplete {
        /// What is missing.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// More than is read, to keep time and memory bounded.
    #[error("the manifest lists more than {limit} {what}; split it, nothing that large is read")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How many at most.
        limit: usize,
    },
    /// A segment index (`sidx`) cannot be read.
    #[error("the segment index at {url} cannot be used: {what}; package the file again with an index")]
    Index {
        /// Where it came from.
        url: String,
        /// What is wrong.
        what: String,
    },
    /// A reload brought another kind of manifest than the one before.
    #[error("{url} held {was} before and now holds {is}; open the address again")]
    Changed {
        /// Where it came from.
        url: String,
        /// What it was.
        was: &'static str,
        /// What it is.
        is: &'static str,
    },
}

impl Error {
    pub(crate) fn syntax(line: usize, what: impl fmt::Display) -> Self {
        Self::Syntax { line, what: one_line(&what.to_string(), 300) }
    }

    pub(crate) fn incomplete(what: impl fmt::Display, advice: &'static str) -> Self {
        Self::Incomplete { what: one_line(&what.to_string(), 300), advice }
    }
}

/// `text` without line breaks and control characters, cut after `most` characters.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let mut out: String = text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        out.push_str("...");
    }
    out
}

/// Something odd that did not keep the manifest from being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Counted from 1.
    pub line: usize,
    /// What is odd, and how it was taken.
    pub what: String,
}

/// Collects the first warnings; hostile text may hold millions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Warnings(Vec<Warning>);

impl Warnings {
    const MOST: usize = 50;

    pub(crate) fn push(&mut self, line: usize, what: impl FnOnce() -> String) {
        if self.0.len() < Self::MOST {
            self.0.push(Warning { line, what: one_line(&what(), 200) });
        }
    }

    /// Turns offsets in `text`, pushed in place of lines, into lines. One pass over the text for all of them.
    pub(crate) fn offsets_to_lines(&mut self, text: &str) {
        self.0.sort_by_key(|warning| warning.line);
        let (mut offset, mut line) = (0, 1);
        for warning in &mut self.0 {
            let between = text.as_bytes().get(offset..warning.line).unwrap_or_default();
            line += between.iter().filter(|byte| **byte == b'\n').count();
            offset = warning.line;
            warning.line = line;
        }
    }

    pub(crate) fn list(&self) -> &[Warning] {
        &self.0
    }
}
