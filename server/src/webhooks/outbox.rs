//! What is still to be delivered, on the disk: one file an event, in the order in which they happened.
//!
//! ```text
//! data/outbox/{webhook}/0000000000000042.json    {"id", "event", "created_at", "body"}
//! ```
//!
//! A file is written before the first attempt and deleted when its event was taken or given up, so that neither a stop
//! nor `kill -9` loses one. An event whose answer was lost in between goes out again under the same id.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// The delivery's id, the same at each attempt.
    pub(super) id: String,
    /// The event's name.
    pub(super) event: String,
    /// When it happened, `xs:dateTime` in UTC.
    pub(super) created_at: String,
    /// What is posted.
    pub(super) body: String,
}

/// A webhook's events, oldest first.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    folder: PathBuf,
    waiting: VecDeque<(u64, Waiting)>,
    next: u64,
    /// Somebody delivers.
    pub(super) busy: bool,
}

impl Outbox {
    /// Reads what an earlier run left; at most `most`, oldest first. What cannot be read is deleted, which is logged.
    pub(super) fn open(folder: PathBuf, most: usize) -> Self {
        let mut numbers: Vec<u64> = std::fs::read_dir(&folder)
            .map(|files| files.flatten().filter_map(|file| number(&file.path())).collect())
            .unwrap_or_default();
        numbers.sort_unstable();
        let next = numbers.last().map_or(0, |last| last.saturating_add(1));
        let mut outbox = Self { folder, waiting: VecDeque::new(), next, busy: false };
        for number in numbers {
            let path = outbox.path(number);
            let read = std::fs::read(&path).map_err(|error| error.to_string());
            match read.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string())) {
                Ok(waiting) if outbox.waiting.len() < most => outbox.waiting.push_back((number, waiting)),
                Ok(_) => outbox.delete(number),
                Err(error) => {
                    tracing::warn!(path = %path.display(), error, "an event that waited cannot be read");
                    outbox.delete(number);
                }
            }
        }
        outbox
    }

    /// All that waits.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter().map(|(_, waiting)| waiting)
    }

    /// Adds one behind the others. Blocks on the disk; where that is full the event is kept in memory only.
    pub(super) fn push(&mut self, waiting: Waiting) {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        let path = self.path(number);
        let written = std::fs::create_dir_all(&self.folder)
            .map_err(|error| error.to_string())
            .and_then(|()| serde_json::to_vec(&waiting).map_err(|error| error.to_string()))
            .and_then(|text| crate::store::write_atomic(&path, &text).map_err(|error| error.to_string()));
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), error, "an event waits in memory only");
        }
        self.waiting.push_back((number, waiting));
    }

    /// The oldest.
    pub(super) fn first(&self) -> Option<Waiting> {
        self.waiting.front().map(|(_, waiting)| waiting.clone())
    }

    /// The oldest is settled.
    pub(super) fn pop(&mut self) {
        if let Some((number, _)) = self.waiting.pop_front() {
            self.delete(number);
        }
    }

    /// Deletes everything.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        if let Err(error) = std::fs::remove_dir_all(&self.folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.folder.display(), %error, "cannot delete a removed webhook's events");
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016}.json"))
    }

    fn delete(&self, number: u64) {
        let path = self.path(number);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot delete an event that was delivered");
        }
    }
}

fn number(path: &Path) -> Option<u64> {
    if path.extension()? != "json" {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

/// Deletes the outboxes of webhooks that there are no more.
pub(super) fn remove_others(folder: &Path, known: impl Fn(&str) -> bool) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_none_or(|name| !known(name))
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "cannot delete a removed webhook's events");
        }
    }
}
