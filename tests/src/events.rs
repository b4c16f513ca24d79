//! The player's event log as data.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;
use weir_abr::record::{Entry, Event};

/// All entries of a session, in order.
#[derive(Clone, Debug, Default)]
pub struct Log(pub Vec<Entry>);

/// One `position` entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// Since the session's start.
    pub t_ms: f64,
    /// On the presentation timeline.
    pub pos_s: f64,
    /// Ahead of the playhead.
    pub buffer_s: f64,
    /// Of the picture at the sink.
    pub height: u32,
}

impl Log {
    /// Reads a log; a last line that is still being written is left out.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("not an event: {line}")))
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// All positions.
    pub fn positions(&self) -> Vec<Position> {
        self.0
            .iter()
            .filter_map(|entry| match entry.event {
                Event::Position { pos_s, buffer_s, height } => {
                    Some(Position { t_ms: entry.t_ms, pos_s, buffer_s, height })
                }
                _ => None,
            })
            .collect()
    }

    /// The last position, 0 before the first.
    pub fn position(&self) -> f64 {
        self.positions().last().map_or(0.0, |position| position.pos_s)
    }

    /// How many entries are like this.
    pub fn count(&self, like: impl Fn(&Event) -> bool) -> usize {
        self.0.iter().filter(|entry| like(&entry.event)).count()
    }

    /// Stalls that began.
    pub fn stalls(&self) -> usize {
        self.count(|event| matches!(event, Event::StallStart { .. }))
    }

    /// Did playback come to the end?
    pub fn ended(&self) -> bool {
        self.count(|event| matches!(event, Event::Ended { .. })) == 1
    }

    /// The figures at the end.
    pub fn summary(&self) -> Option<&Event> {
        self.0.iter().rev().map(|entry| &entry.event).find(|event| matches!(event, Event::Summary { .. }))
    }

    /// The last lines, for a failed test's message.
    pub fn tail(&self, lines: usize) -> String {
        let mut text = String::new();
        for entry in &self.0[self.0.len().saturating_sub(lines)..] {
            let _ = writeln!(text, "{}", serde_json::to_string(entry).unwrap_or_default());
        }
        text
    }
}
