//! What happened to a stream's packaging and encoders, kept for the admin: a bounded ring a stream.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;

/// Lines kept of one stream; older ones are dropped and counted.
const LINES: usize = 400;
/// Characters kept of one line.
const LONGEST: usize = 600;

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What was decided or done.
    Info,
    /// Something was lost, the stream goes on.
    Warn,
    /// The stream, or this run of it, ended.
    Error,
}

impl LogLevel {
    /// As it is sent between processes.
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Info => 0,
            Self::Warn => 1,
            Self::Error => 2,
        }
    }

    /// What [`LogLevel::number`] gave; any other number is an error's.
    pub(crate) fn of_number(number: u64) -> Self {
        match number {
            0 => Self::Info,
            1 => Self::Warn,
            _ => Self::Error,
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// Milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
    /// How serious it is.
    pub level: LogLevel,
    /// Who says it: "job", "source", a rendition's name.
    pub from: String,
    /// A sentence for a person.
    pub text: String,
}

/// The log of one stream.
#[derive(Debug, Default)]
pub struct StreamLog {
    ring: Mutex<Ring>,
    relay: Option<Relay>,
}

/// Where the lines go of a log that keeps none.
struct Relay(Box<Hear>);

type Hear = dyn Fn(LogLevel, &str, &str) + Send + Sync;

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Relay")
    }
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<LogLine>,
    dropped: u64,
}

impl StreamLog {
    /// A log that keeps nothing and hands every line on.
    pub(crate) fn relayed(to: impl Fn(LogLevel, &str, &str) + Send + Sync + 'static) -> Self {
        Self { ring: Mutex::default(), relay: Some(Relay(Box::new(to))) }
    }

    /// Adds a line. A line that says the same as the one before only renews its time, so that a plug-in that
    /// repeats itself does not push everything else out.
    pub fn add(&self, level: LogLevel, from: &str, text: impl Into<String>) {
        let text: String = text.into().chars().take(LONGEST).collect();
        if let Some(Relay(relay)) = &self.relay {
            return relay(level, from, &text);
        }
        let at_ms = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO).as_millis() as u64;
        let mut ring = self.lock();
        if let Some(last) = ring.lines.back_mut()
            && (last.level, last.from.as_str(), last.text.as_str()) == (level, from, text.as_str())
        {
            last.at_ms = at_ms;
            return;
        }
        if ring.lines.len() >= LINES {
            ring.lines.pop_front();
            ring.dropped += 1;
        }
        ring.lines.push_back(LogLine { at_ms, level, from: from.to_owned(), text });
    }

    /// The lines, oldest first, and how many older ones were dropped.
    #[must_use]
    pub fn lines(&self) -> (Vec<LogLine>, u64) {
        let ring = self.lock();
        (ring.lines.iter().cloned().collect(), ring.dropped)
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The logs of all streams.
#[derive(Debug, Default)]
pub struct StreamLogs {
    streams: Mutex<HashMap<String, Arc<StreamLog>>>,
}

impl StreamLogs {
    /// The log of a stream, made when there is none.
    #[must_use]
    pub fn of(&self, id: &str) -> Arc<StreamLog> {
        Arc::clone(self.lock().entry(id.to_owned()).or_default())
    }

    /// The log of a stream that has said something since the server's start.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Arc<StreamLog>> {
        self.lock().get(id).cloned()
    }

    /// Drops the log of a deleted stream.
    pub fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<StreamLog>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name in a stream's log.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    log: Arc<StreamLog>,
    from: String,
}

impl Voice {
    pub(crate) fn new(log: &Arc<StreamLog>, from: &str) -> Self {
        Self { log: Arc::clone(log), from: from.to_owned() }
    }

    /// A voice that nobody hears.
    pub(crate) fn unheard() -> Self {
        Self { log: Arc::default(), from: String::new() }
    }

    /// Another name in the same log.
    pub(crate) fn named(&self, from: &str) -> Self {
        Self::new(&self.log, from)
    }

    pub(crate) fn say(&self, level: LogLevel, text: impl Into<String>) {
        self.log.add(level, &self.from, text);
    }

    pub(crate) fn info(&self, text: impl Into<String>) {
        self.log.add(LogLevel::Info, &self.from, text);
    }

    pub(crate) fn warn(&self, text: impl Into<String>) {
        self.log.add(LogLevel::Warn, &self.from, text);
    }

    pub(crate) fn error(&self, text: impl Into<String>) {
        self.log.add(LogLevel::Error, &self.from, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_go_and_are_counted() {
        let log = StreamLog::default();
        for i in 0..LINES + 7 {
            log.add(LogLevel::Info, "job", format!("line {i}"));
        }
        let (lines, dropped) = log.lines();
        assert_eq!((lines.len(), dropped, lines[0].text.as_str()), (LINES, 7, "line 7"));
    }

    #[test]
    fn a_repeated_line_is_kept_once_and_a_long_one_is_cut() {
        let log = StreamLog::default();
        for _ in 0..1000 {
            log.add(LogLevel::Warn, "720p", "x".repeat(10_000));
        }
        log.add(LogLevel::Warn, "360p", "other");
        let (lines, dropped) = log.lines();
        assert_eq!((lines.len(), dropped, lines[0].text.len()), (2, 0, LONGEST));
    }
}
