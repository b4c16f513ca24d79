//! Reading and writing traces in the field's formats; each format is described in `docs/lab.md`.

use std::{
    borrow::Cow,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::{Point, Trace, csv, mahimahi, pensieve, sabre, weir};

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One trace a line: `{"name": ..., "points": [[duration_ms, kbps, latency_ms], ...]}`.
    Weir,
    /// Sabre's JSON: a list of `{"duration_ms", "bandwidth_kbps", "latency_ms"}`.
    Sabre,
    /// Mahimahi's packet delivery times: one time in whole milliseconds a line, 1500 bytes each.
    Mahimahi,
    /// Pensieve's "cooked" traces: time in seconds and rate in Mbit/s a line.
    Pensieve,
    /// A table with a head: `duration_ms,kbps,latency_ms`, or `time_s,mbps` and the like.
    Csv,
}

/// Why a trace cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("reading the trace {}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// It was read, but it is not right.
    #[error("{}:{line}: {reason}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// Line in it, counted from 1.
        line: usize,
        /// What is wrong, and what was wanted.
        reason: String,
    },
    /// The file has no trace of that name or number.
    #[error("{} has no trace {wanted:?}; it has {known}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: String,
    },
}

/// Something wrong in a text: on which line, and what.
#[derive(Debug, Clone, PartialEq)]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong, and what was wanted.
    pub reason: String,
}

impl BadLine {
    pub(super) fn new(line: usize, reason: impl Into<String>) -> Self {
        Self { line, reason: reason.into() }
    }
}

impl Format {
    /// Guesses the format from a file's name and its first line with content.
    pub fn guess(path: &Path, text: &str) -> Self {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let first = first.unwrap_or_default();
        match ending.as_deref() {
            Some("jsonl") => return Self::Weir,
            Some("csv") => return Self::Csv,
            Some("down" | "up" | "mahi") => return Self::Mahimahi,
            _ => {}
        }
        if first.starts_with('{') {
            Self::Weir
        } else if first.starts_with('[') {
            Self::Sabre
        } else if first.contains([',', ';']) || csv::is_head(first) {
            Self::Csv
        } else if first.split_whitespace().count() >= 2 {
            Self::Pensieve
        } else {
            Self::Mahimahi
        }
    }

    /// Reads all traces of a text. `name` is used where the format has no names.
    pub fn parse(self, text: &str, name: &str) -> Result<Vec<Trace>, BadLine> {
        let one = |points: Result<Vec<Point>, BadLine>| {
            let points = points?;
            let trace = Trace::new(name, points).map_err(|invalid| BadLine::new(1, invalid.to_string()))?;
            Ok(vec![trace])
        };
        match self {
            Self::Weir => weir::parse(text),
            Self::Sabre => one(sabre::parse(text)),
            Self::Mahimahi => one(mahimahi::parse(text, mahimahi::BIN_MS)),
            Self::Pensieve => one(pensieve::parse(text)),
            Self::Csv => one(csv::parse(text)),
        }
    }

    /// Writes a trace. All but [`Format::Weir`] hold one trace a file and no name; Mahimahi and Pensieve hold no latency.
    pub fn write(self, trace: &Trace) -> String {
        match self {
            Self::Weir => weir::write(trace),
            Self::Sabre => sabre::write(trace),
            Self::Mahimahi => mahimahi::write(trace),
            Self::Pensieve => pensieve::write(trace),
            Self::Csv => csv::write(trace),
        }
    }

    /// The usual ending of such a file's name, without the dot.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Weir => "jsonl",
            Self::Sabre => "json",
            Self::Mahimahi => "down",
            Self::Pensieve => "log",
            Self::Csv => "csv",
        }
    }
}

/// All traces of a file.
pub fn read(path: &Path) -> Result<Vec<Trace>, ReadError> {
    let bad = |bad: BadLine| ReadError::Bad { path: path.to_owned(), line: bad.line, reason: bad.reason };
    let bytes = std::fs::read(path).map_err(|reason| ReadError::Io { path: path.to_owned(), reason })?;
    let text = &*to_text(&bytes).map_err(bad)?;
    let name = path.file_stem().map_or_else(|| "trace".into(), |name| name.to_string_lossy());
    Format::guess(path, text).parse(text, &name).map_err(bad)
}

/// UTF-8, with or without a mark; UTF-16 with one, as spreadsheets write it.
fn to_text(bytes: &[u8]) -> Result<Cow<'_, str>, BadLine> {
    let utf16 = |bytes: &[u8], read: fn([u8; 2]) -> u16| -> Cow<'_, str> {
        let units = bytes.chunks_exact(2).filter_map(|pair| Some(read(pair.try_into().ok()?)));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into()
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => return Ok(utf16(rest, u16::from_le_bytes)),
        [0xFE, 0xFF, rest @ ..] => return Ok(utf16(rest, u16::from_be_bytes)),
        [0x1F, 0x8B, ..] => return Err(BadLine::new(1, "the file is compressed with gzip; unpack it")),
        _ => {}
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    std::str::from_utf8(text).map(Cow::Borrowed).map_err(|error| {
        let before = text.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        BadLine::new(line, "the file is no text in UTF-8; is it a trace?")
    })
}

/// One trace: `FILE` (its first), `FILE#NAME`, or `FILE#NUMBER` counted from 1.
pub fn read_one(source: &str) -> Result<Trace, ReadError> {
    let (path, wanted) = match source.rsplit_once('#') {
        // A file may have the sign in its name.
        Some((path, wanted)) if !Path::new(source).exists() => (path, Some(wanted)),
        _ => (source, None),
    };
    let traces = read(Path::new(path))?;
    let Some(wanted) = wanted else {
        return traces.into_iter().next().ok_or_else(|| ReadError::Bad {
            path: path.into(),
            line: 1,
            reason: "there is no trace in the file".to_owned(),
        });
    };
    let by_name = traces.iter().position(|trace| trace.name() == wanted);
    let by_number = wanted.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    if let Some(trace) = by_name.or(by_number).and_then(|at| traces.get(at)) {
        return Ok(trace.clone());
    }
    let mut known = String::new();
    for trace in traces.iter().take(8) {
        let _ = write!(known, "{}{}", if known.is_empty() { "" } else { ", " }, trace.name());
    }
    if traces.len() > 8 {
        let _ = write!(known, " and {} more", traces.len() - 8);
    }
    Err(ReadError::Unknown { path: path.into(), wanted: wanted.to_owned(), known })
}
