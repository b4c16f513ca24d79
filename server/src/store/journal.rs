//! The list of a rendition's finished segments, on disk: one line a segment, appended, never rewritten.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::StoreError;

/// One finished segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentEntry {
    /// Counted from 1, without holes.
    pub number: u32,
    /// Decode time of its first sample, in ticks of the rendition's timescale.
    pub start: u64,
    /// Sum of its samples' durations, in ticks of the rendition's timescale; at least 1.
    pub duration: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
}

impl SegmentEntry {
    /// Duration in seconds.
    #[must_use]
    pub fn seconds(&self, timescale: u32) -> f64 {
        ticks_to_seconds(self.duration, timescale)
    }

    /// Start in seconds from the stream's beginning.
    #[must_use]
    pub fn start_seconds(&self, timescale: u32) -> f64 {
        ticks_to_seconds(self.start, timescale)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        let entry = Self {
            number: fields.next()?.parse().ok()?,
            start: fields.next()?.parse().ok()?,
            duration: fields.next()?.parse().ok()?,
            bytes: fields.next()?.parse().ok()?,
        };
        (fields.next().is_none() && entry.duration > 0).then_some(entry)
    }
}

fn ticks_to_seconds(ticks: u64, timescale: u32) -> f64 {
    ticks as f64 / f64::from(timescale.max(1))
}

/// The entries that can be trusted, and the length in bytes of the journal up to there.
///
/// A line counts when it ends in a line feed, follows the line before without a hole, and its file has the
/// listed size. The first that does not ends the list: it is what was being written when the process died.
fn read(folder: &Path, text: &str) -> (Vec<SegmentEntry>, u64) {
    let mut entries: Vec<SegmentEntry> = Vec::new();
    let mut trusted = 0;
    for line in text.split_inclusive('\n') {
        let Some(entry) = line.strip_suffix('\n').and_then(SegmentEntry::parse) else { break };
        let follows = match entries.last() {
            None => entry.number == 1,
            Some(last) => entry.number == last.number + 1 && entry.start >= last.start + last.duration,
        };
        let on_disk = std::fs::metadata(segment_path(folder, entry.number)).map(|m| m.len());
        if !follows || on_disk.ok() != Some(entry.bytes) {
            break;
        }
        entries.push(entry);
        trusted += line.len() as u64;
    }
    (entries, trusted)
}

pub(super) fn segment_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:05}.m4s"))
}

/// The journal, open for appending.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Reads `folder/journal` (none is an empty one), cuts off a torn tail, and opens it for appending.
    pub(super) fn open(folder: &Path) -> Result<(Self, Vec<SegmentEntry>), StoreError> {
        let path = folder.join("journal");
        let raw = match std::fs::read(&path) {
            Ok(raw) => raw,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(StoreError::io("read", &path, error)),
        };
        let (entries, trusted) = read(folder, &String::from_utf8_lossy(&raw));
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|e| StoreError::io("open", &path, e))?;
        if (raw.len() as u64) > trusted {
            tracing::info!(path = %path.display(), kept = entries.len(), "cut a torn tail off the journal");
            file.set_len(trusted).map_err(|e| StoreError::io("shorten", &path, e))?;
        }
        Ok((Self { path, file }, entries))
    }

    /// Adds one line in one write.
    pub(super) fn append(&mut self, entry: &SegmentEntry, fsync: bool) -> Result<(), StoreError> {
        let SegmentEntry { number, start, duration, bytes } = entry;
        let line = format!("{number} {start} {duration} {bytes}\n");
        self.file.write_all(line.as_bytes()).map_err(|e| StoreError::io("append to", &self.path, e))?;
        if fsync {
            self.file.sync_data().map_err(|e| StoreError::io("flush", &self.path, e))?;
        }
        Ok(())
    }
}
