//! Reading a record, one JSON object a line.

use std::{
    io::BufRead as _,
    path::{Path, PathBuf},
};

use weir_abr::record::Entry;

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be opened or read.
    #[error("reading the record {}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{}:{line}: {reason}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// All entries of a file, in its order. Events that are not known are left out, and so is a last line that was cut off.
pub fn read(path: &Path) -> Result<Vec<Entry>, RecordError> {
    let io = |reason| RecordError::Io { path: path.to_owned(), reason };
    let bad = |line, reason| RecordError::Bad { path: path.to_owned(), line, reason };
    let file = std::fs::File::open(path).map_err(io)?;
    let mut entries = Vec::new();
    let mut broken: Option<RecordError> = None;
    for (at, line) in std::io::BufReader::new(file).split(b'\n').enumerate() {
        let line = line.map_err(io)?;
        let line = line.strip_prefix(b"\xEF\xBB\xBF").filter(|_| at == 0).unwrap_or(&line);
        let line = std::str::from_utf8(line).map_err(|_| bad(at + 1, format!("it is no text; {WANTED}")))?;
        if line.trim().is_empty() {
            continue;
        }
        if let Some(number) = beyond_reason(line) {
            return Err(bad(at + 1, format!("{number} is beyond what any session has")));
        }
        // A line that is followed by another was not cut off: it is wrong.
        if let Some(error) = broken.take() {
            return Err(error);
        }
        match serde_json::from_str::<Entry>(line) {
            Ok(entry) => entries.push(entry),
            Err(error) => match serde_json::from_str::<serde_json::Value>(line) {
                Ok(value) if is_unknown_event(&value) => {}
                Ok(value) if value.get("t_ms").is_none() || value.get("event").is_none() => {
                    return Err(bad(at + 1, format!("there is no t_ms and event; {WANTED}")));
                }
                Ok(_) => return Err(bad(at + 1, error.to_string())),
                Err(_) if entries.is_empty() => broken = Some(bad(at + 1, format!("{error}; {WANTED}"))),
                Err(_) => broken = Some(bad(at + 1, error.to_string())),
            },
        }
    }
    if let (Some(error), true) = (broken, entries.is_empty()) {
        return Err(error);
    }
    if entries.is_empty() {
        return Err(bad(1, "the record is empty".to_owned()));
    }
    Ok(entries)
}

const WANTED: &str = "is it a session's record (one JSON object a line, as --events writes it)?";

/// A number outside of strings that is too large for arithmetic: sums of such would not fit.
fn beyond_reason(line: &str) -> Option<&str> {
    const MOST: f64 = 1e15;
    let (mut text, mut escaped, mut start) = (false, false, None);
    for (at, byte) in line.bytes().enumerate() {
        let part = !text && (byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
        match (part, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                let number = line.get(from..at).unwrap_or_default();
                // Most are short, and need not be read twice.
                let long = number.len() > 15 || number.contains(['e', 'E']);
                if long && number.parse::<f64>().is_ok_and(|number| number.abs() > MOST) {
                    return Some(number);
                }
                start = None;
            }
            _ => {}
        }
        match byte {
            b'"' if !escaped => text = !text,
            b'\\' if text && !escaped => {
                escaped = true;
                continue;
            }
            _ => {}
        }
        escaped = false;
    }
    None
}

/// Names that this version knows.
const KNOWN: &[&str] = &[
    "session",
    "manifest",
    "ladder",
    "request",
    "segment",
    "abort",
    "decision",
    "switch",
    "first_frame",
    "position",
    "stall_start",
    "stall_end",
    "seek",
    "paused",
    "rate",
    "quality",
    "skip",
    "sync",
    "error",
    "ended",
    "summary",
];

fn is_unknown_event(value: &serde_json::Value) -> bool {
    let number = value.get("t_ms").is_some_and(serde_json::Value::is_number);
    let name = value.get("event").and_then(serde_json::Value::as_str);
    number && name.is_some_and(|name| !KNOWN.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::beyond_reason;

    #[test]
    fn only_numbers_that_stand_for_themselves_are_looked_at() {
        for (line, wanted) in [
            (r#"{"t_ms":1.5,"bytes":999999999999999}"#, None),
            (r#"{"t_ms":1.2345678901234567,"x":1e-300}"#, None),
            (r#"{"url":"http://h/18446744073709551615\"99999999999999999999","n":1}"#, None),
            (r#"{"bytes":18446744073709551615}"#, Some("18446744073709551615")),
            (r#"{"a":true,"t_ms":-1e308,"b":1}"#, Some("-1e308")),
        ] {
            assert_eq!(beyond_reason(line), wanted, "{line}");
        }
    }
}
