//! Where a job's work goes: into the store, or to the server that started this process.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::ladder::wire;
use crate::store::{RenditionInfo, StoreError, StreamStore};

/// What a job needs of a stream.
pub(super) trait Place: Debug + Send + Sync {
    fn id(&self) -> &str;
    fn folder(&self) -> &Path;
    /// Segments of a rendition that are there.
    fn stored(&self, rendition: &str) -> u64;
    /// No rendition has a segment.
    fn is_empty(&self) -> bool;
    fn expect(&self, names: &[String]) -> Result<(), StoreError>;
    fn add(&self, info: RenditionInfo, init: Bytes) -> Result<(), StoreError>;
    fn append(
        &self,
        rendition: &str,
        number: u32,
        start: u64,
        duration: u64,
        bytes: Bytes,
    ) -> Result<(), StoreError>;
    fn retire(&self, rendition: &str) -> Result<(), StoreError>;
    fn put_poster(&self, jpeg: &[u8]) -> Result<(), StoreError>;
    /// Stores a sheet, and then the index that names it.
    fn put_sheet(&self, number: u32, jpeg: &[u8], index: &str) -> Result<(), StoreError>;
    /// What there is already.
    fn stills(&self) -> Kept;
}

/// Pictures that an earlier run has left.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    pub(super) poster: bool,
    pub(super) index: Option<Bytes>,
    /// The newest sheet.
    pub(super) sheet: Option<Bytes>,
}

impl Place for StreamStore {
    fn id(&self) -> &str {
        Self::id(self)
    }

    fn folder(&self) -> &Path {
        Self::folder(self)
    }

    fn stored(&self, rendition: &str) -> u64 {
        self.rendition(rendition).map_or(0, |rendition| rendition.len() as u64)
    }

    fn is_empty(&self) -> bool {
        self.renditions().iter().all(|rendition| rendition.is_empty())
    }

    fn expect(&self, names: &[String]) -> Result<(), StoreError> {
        self.expect_renditions(names)
    }

    fn add(&self, info: RenditionInfo, init: Bytes) -> Result<(), StoreError> {
        self.add_rendition(info, init).map(|_| ())
    }

    fn append(
        &self,
        rendition: &str,
        number: u32,
        start: u64,
        duration: u64,
        bytes: Bytes,
    ) -> Result<(), StoreError> {
        self.append_segment(rendition, number, start, duration, bytes)
    }

    fn retire(&self, rendition: &str) -> Result<(), StoreError> {
        self.retire_rendition(rendition)
    }

    fn put_poster(&self, jpeg: &[u8]) -> Result<(), StoreError> {
        Self::put_poster(self, jpeg)
    }

    fn put_sheet(&self, number: u32, jpeg: &[u8], index: &str) -> Result<(), StoreError> {
        self.put_thumbnail_sheet(number, jpeg).and_then(|()| self.put_thumbnails(index))
    }

    fn stills(&self) -> Kept {
        let index = self.thumbnails();
        let newest =
            index.as_deref().map(|index| crate::ladder::newest_sheet(&String::from_utf8_lossy(index)));
        let sheet = newest.and_then(|number| self.thumbnail_sheet(&crate::store::sheet_name(number)));
        Kept { poster: self.poster().is_some(), index, sheet }
    }
}

/// Kinds of the frames that a packaging process sends.
pub(super) mod kind {
    pub(crate) const EXPECT: u8 = 1;
    pub(crate) const ADD: u8 = 2;
    pub(crate) const APPEND: u8 = 3;
    pub(crate) const RETIRE: u8 = 4;
    pub(crate) const POSTER: u8 = 5;
    pub(crate) const SHEET: u8 = 6;
    pub(crate) const LOG: u8 = 7;
    pub(crate) const STATUS: u8 = 8;
    pub(crate) const DONE: u8 = 9;
    pub(crate) const FAILED: u8 = 10;
}

/// The server's end of a packaging process's connection, as the process sees it.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) id: String,
    pub(super) folder: PathBuf,
    pub(super) stored: BTreeMap<String, u64>,
    pub(super) kept: Kept,
    pub(super) socket: Mutex<UnixStream>,
}

impl Remote {
    /// Sends a frame, waiting while the server is behind.
    pub(super) fn send(&self, kind: u8, fields: &[&[u8]]) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        wire::write(&mut bytes, kind, fields);
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.write_all(&bytes).map_err(|error| StoreError::Mismatch {
            what: "what was packaged".to_owned(),
            why: format!("the server takes it no more ({error})"),
        })
    }

    fn send_json(&self, kind: u8, value: &impl serde::Serialize, more: &[u8]) -> Result<(), StoreError> {
        // Names and numbers only: it cannot fail.
        self.send(kind, &[&serde_json::to_vec(value).unwrap_or_default(), more])
    }
}

impl Place for Remote {
    fn id(&self) -> &str {
        &self.id
    }

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn stored(&self, rendition: &str) -> u64 {
        self.stored.get(rendition).copied().unwrap_or(0)
    }

    fn is_empty(&self) -> bool {
        self.stored.values().all(|count| *count == 0)
    }

    fn expect(&self, names: &[String]) -> Result<(), StoreError> {
        self.send_json(kind::EXPECT, &names, &[])
    }

    fn add(&self, info: RenditionInfo, init: Bytes) -> Result<(), StoreError> {
        self.send_json(kind::ADD, &info, &init)
    }

    fn append(
        &self,
        rendition: &str,
        number: u32,
        start: u64,
        duration: u64,
        bytes: Bytes,
    ) -> Result<(), StoreError> {
        let (number, start, duration) =
            (u64::from(number).to_le_bytes(), start.to_le_bytes(), duration.to_le_bytes());
        self.send(kind::APPEND, &[rendition.as_bytes(), &number, &start, &duration, &bytes])
    }

    fn retire(&self, rendition: &str) -> Result<(), StoreError> {
        self.send(kind::RETIRE, &[rendition.as_bytes()])
    }

    fn put_poster(&self, jpeg: &[u8]) -> Result<(), StoreError> {
        self.send(kind::POSTER, &[jpeg])
    }

    fn put_sheet(&self, number: u32, jpeg: &[u8], index: &str) -> Result<(), StoreError> {
        self.send(kind::SHEET, &[&u64::from(number).to_le_bytes(), jpeg, index.as_bytes()])
    }

    fn stills(&self) -> Kept {
        self.kept.clone()
    }
}
