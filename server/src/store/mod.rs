//! Where finished media lives: one folder a stream, one sub-folder a rendition.
//!
//! ```text
//! data/streams/{id}/stream.json              which renditions make up the stream; complete or not
//! data/streams/{id}/poster.jpg               the thumbnail, once there is one
//! data/streams/{id}/{rendition}/rendition.json, init.mp4, 00001.m4s ..., journal
//! ```
//!
//! A live stream grows part by part in memory and goes to the disk behind its edge, chunk by chunk: see
//! [`StreamStore::begin_segment`]. A killed process loses at most the part that it was writing.
//!
//! A segment is written to a temporary name and renamed, and only then gets its line in the rendition's
//! append-only journal. What the journal lists is whole; what it does not list does not exist for readers.
//! So a killed process loses at most the segment that it was writing. Readers never wait for the writer:
//! they take snapshots ([`Rendition::segments`]) and may await the edge ([`StreamStore::edge`]).

mod atomic;
mod cache;
mod clock;
mod disk;
mod entry;
mod growing;
mod journal;
mod live;
mod parts;
mod rendition;
mod side;
mod stream;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

pub use cache::Cached;
use cache::SegmentCache;
pub use clock::StreamClock;
pub use disk::{DiskWriter, PlainDisk};
pub use entry::{OpenSegment, PartEntry, SegmentEntry, Window};
pub use growing::Growing;
pub use live::LiveInfo;
pub use parts::chunks;
pub use rendition::{Rendition, RenditionInfo, TrackKind};
pub use side::TextTrack;
pub(crate) use side::sheet_name;
pub use stream::{Edge, StreamStore};

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A stream id that cannot be a folder's name.
    #[error("stream id {0:?} is not usable: use 1 to 64 of a-z, A-Z, 0-9, '-' and '_'")]
    BadId(String),
    /// The id is in use.
    #[error("stream {0:?} exists already: choose another id or delete that stream first")]
    Exists(String),
    /// A rendition of that name is not (or no longer) part of the stream.
    #[error("stream {stream:?} has no rendition {rendition:?}")]
    NoRendition {
        /// The stream's id.
        stream: String,
        /// The rendition's name.
        rendition: String,
    },
    /// What was found on disk or handed in contradicts what is stored.
    #[error("{what} does not fit what is stored: {why}")]
    Mismatch {
        /// What was being written or read.
        what: String,
        /// The contradiction.
        why: String,
    },
    /// The disk said no.
    #[error("cannot {action} {}: {source}; check free space and permissions", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl StoreError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}

/// How the store writes and how much it keeps in memory.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Flush every segment to the disk itself before it is listed. Needed to survive a power cut, not to
    /// survive a killed process.
    pub fsync: bool,
    /// Upper bound of the segment cache that all streams share, in bytes.
    pub cache_bytes: usize,
    /// How a live stream's chunks are written.
    pub writer: Arc<dyn DiskWriter>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { fsync: false, cache_bytes: 256 << 20, writer: Arc::new(PlainDisk) }
    }
}

/// All streams of one data folder. Share it in an [`Arc`].
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    options: StoreOptions,
    cache: Arc<SegmentCache>,
    streams: RwLock<HashMap<String, Arc<StreamStore>>>,
}

impl Store {
    /// Opens (and creates where missing) the store below `data_dir` with default options.
    ///
    /// # Errors
    /// When the folder cannot be created or read.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(data_dir, StoreOptions::default())
    }

    /// Opens the store below `data_dir`.
    ///
    /// # Errors
    /// When the folder cannot be created or read.
    pub fn open_with(data_dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let root = data_dir.join("streams");
        std::fs::create_dir_all(&root).map_err(|e| StoreError::io("create", &root, e))?;
        // What a removal that was cut short left behind.
        for entry in std::fs::read_dir(&root).map_err(|e| StoreError::io("list", &root, e))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(TRASH) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let cache = Arc::new(SegmentCache::new(options.cache_bytes));
        Ok(Self { root, options, cache, streams: RwLock::default() })
    }

    /// Makes the folder of a new stream.
    ///
    /// # Errors
    /// [`StoreError::BadId`], [`StoreError::Exists`], or the disk's.
    pub fn create(&self, id: &str) -> Result<Arc<StreamStore>, StoreError> {
        check_id(id)?;
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let dir = self.root.join(id);
        if streams.contains_key(id) || dir.exists() {
            return Err(StoreError::Exists(id.to_owned()));
        }
        match std::fs::create_dir_all(&dir) {
            // A live stream goes on from memory; a file's packaging says so at its first write.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                tracing::warn!(stream = id, %error, "the stream has no folder yet");
            }
            made => made.map_err(|e| StoreError::io("create", &dir, e))?,
        }
        let stream = Arc::new(self.load(id, dir)?);
        streams.insert(id.to_owned(), Arc::clone(&stream));
        Ok(stream)
    }

    /// The stream, from memory or (after a restart) read back from its folder. `None` when there is none or
    /// its folder cannot be read, which is logged. The first call for a stream touches the disk.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<StreamStore>> {
        check_id(id).ok()?;
        if let Some(stream) = self.streams.read().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Some(Arc::clone(stream));
        }
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = streams.get(id) {
            return Some(Arc::clone(stream));
        }
        let dir = self.root.join(id);
        if !dir.is_dir() {
            return None;
        }
        match self.load(id, dir) {
            Ok(stream) => {
                let stream = Arc::new(stream);
                streams.insert(id.to_owned(), Arc::clone(&stream));
                Some(stream)
            }
            Err(error) => {
                tracing::error!(stream = id, %error, "cannot read the stream back");
                None
            }
        }
    }

    fn load(&self, id: &str, dir: PathBuf) -> Result<StreamStore, StoreError> {
        let StoreOptions { fsync, writer, .. } = &self.options;
        StreamStore::load(id, dir, *fsync, Arc::clone(&self.cache), Arc::clone(writer))
    }

    /// [`get`](Self::get), or [`create`](Self::create) when there is none yet.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn get_or_create(&self, id: &str) -> Result<Arc<StreamStore>, StoreError> {
        match self.get(id) {
            Some(stream) => Ok(stream),
            None => self.create(id),
        }
    }

    /// Deletes a stream and its media; `false` when there was none. Whoever awaits its edge is released.
    /// Stop its packaging job first. Touches the disk.
    ///
    /// # Errors
    /// When the folder cannot be moved away. Files that cannot be deleted after that are retried at the next
    /// start.
    pub fn remove(&self, id: &str) -> Result<bool, StoreError> {
        check_id(id)?;
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = streams.remove(id) {
            stream.close();
        }
        self.cache.forget(id);
        let dir = self.root.join(id);
        if !dir.is_dir() {
            return Ok(false);
        }
        let trash = self.root.join(format!("{TRASH}{}", uuid::Uuid::new_v4()));
        std::fs::rename(&dir, &trash).map_err(|e| StoreError::io("move away", &dir, e))?;
        drop(streams);
        if let Err(error) = std::fs::remove_dir_all(&trash) {
            tracing::warn!(path = %trash.display(), %error, "cannot delete a removed stream's files");
        }
        Ok(true)
    }

    /// Ids of all streams that have a folder.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn ids(&self) -> Result<Vec<String>, StoreError> {
        let list = std::fs::read_dir(&self.root).map_err(|e| StoreError::io("list", &self.root, e))?;
        let mut ids: Vec<String> = list
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| check_id(name).is_ok())
            .collect();
        ids.sort();
        Ok(ids)
    }
}

/// Writes a whole file or none, for what the packager keeps in a stream's folder.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    atomic::write(path, bytes, false)
}

const TRASH: &str = ".removed-";

fn check_id(id: &str) -> Result<(), StoreError> {
    let fine = (1..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fine { Ok(()) } else { Err(StoreError::BadId(id.to_owned())) }
}

#[cfg(test)]
mod live_tests;
#[cfg(test)]
mod tests;
