//! The catalogue: which streams exist, where they come from and how far they are.
//!
//! SQLite in WAL mode is the truth and survives `kill -9`; one thread owns the connection. Readers see a copy in
//! memory that is renewed after each commit, so no request waits for the disk to learn what exists.

pub mod auth;
mod ballast;
pub mod live;
mod model;
mod store;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

pub use auth::Auth;
pub use live::{Latency, Live, StreamKey};
pub use model::{Source, State, Stream, valid_id};
use writer::Writer;

/// Why the catalogue could not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// A stream of that id exists.
    #[error("a stream with the id \"{0}\" exists already; choose another id or delete that one first")]
    Exists(String),
    /// The `Idempotency-Key` came with another request, which made this stream.
    #[error(
        "this Idempotency-Key made the stream \"{0}\" for another request; send this one with a key of its own"
    )]
    KeyUsed(String),
    /// There is no such stream.
    #[error("there is no stream with the id \"{0}\"")]
    Missing(String),
    /// SQLite failed.
    #[error("the catalogue's database failed: {0}; check the data folder's disk")]
    Database(#[from] rusqlite::Error),
    /// A row or a value does not have its form.
    #[error("the catalogue holds a value that this version cannot read: {0}")]
    Form(#[from] serde_json::Error),
    /// The writer is gone, which happens only at the end.
    #[error("the catalogue is closed")]
    Closed,
}

type Streams = BTreeMap<String, Arc<Stream>>;

/// Handle to the catalogue; clones share it.
#[derive(Debug, Clone)]
pub struct Catalog {
    writer: Writer,
    streams: Arc<RwLock<Streams>>,
    changed: watch::Sender<u64>,
}

impl Catalog {
    /// Opens or creates the database in `folder`.
    ///
    /// # Errors
    /// When the database cannot be opened, is newer than this program, or holds rows that it cannot read.
    pub async fn open(folder: &Path) -> Result<Self, CatalogError> {
        let (writer, rows) = Writer::start(folder.join("catalog.sqlite3")).await?;
        let streams = rows.into_iter().map(|stream| (stream.id.clone(), Arc::new(stream))).collect();
        Ok(Self { writer, streams: Arc::new(RwLock::new(streams)), changed: watch::Sender::new(0) })
    }

    /// A stream by its id.
    pub fn get(&self, id: &str) -> Option<Arc<Stream>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// All streams, newest first.
    pub fn list(&self) -> Vec<Arc<Stream>> {
        let mut all: Vec<_> =
            self.streams.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_by(|a, b| b.created_ms.cmp(&a.created_ms).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// Counts changes; await it to learn of the next.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Adds a stream. With the key of an earlier request, made the same way, it returns the stream that that one made.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] when the id is taken, [`CatalogError::KeyUsed`] when the key was another request's.
    pub async fn create(
        &self,
        stream: Stream,
        key: Option<RequestKey>,
    ) -> Result<(Arc<Stream>, Made), CatalogError> {
        let (stream, made) = self.writer.run(move |db| store::create(db, stream, key.as_ref())).await?;
        let stream = Arc::new(stream);
        if made == Made::New {
            self.put(Arc::clone(&stream));
        }
        Ok((stream, made))
    }

    /// The stream that an earlier request of this key made.
    ///
    /// # Errors
    /// [`CatalogError::KeyUsed`] when that one was another request.
    pub async fn made_before(&self, key: RequestKey) -> Result<Option<Arc<Stream>>, CatalogError> {
        let made = self.writer.run(move |db| store::made_before(db, &key)).await?;
        Ok(made.map(Arc::new))
    }

    /// Removes a stream and returns it.
    ///
    /// # Errors
    /// [`CatalogError::Missing`] when there is none.
    pub async fn delete(&self, id: &str) -> Result<Arc<Stream>, CatalogError> {
        let wanted = id.to_owned();
        let gone = self.writer.run(move |db| store::delete(db, &wanted)).await?;
        let old = self.streams.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.tell();
        old.filter(|_| gone).ok_or_else(|| CatalogError::Missing(id.to_owned()))
    }

    /// Changes a stream and stores it.
    ///
    /// # Errors
    /// [`CatalogError::Missing`] when there is none.
    pub async fn update(
        &self,
        id: &str,
        change: impl FnOnce(&mut Stream) + Send + 'static,
    ) -> Result<Arc<Stream>, CatalogError> {
        let wanted = id.to_owned();
        let stream = self.writer.run(move |db| store::update(db, &wanted, change)).await?;
        let stream = Arc::new(stream);
        self.put(Arc::clone(&stream));
        Ok(stream)
    }

    /// Whether the database answers.
    pub async fn healthy(&self) -> bool {
        self.writer.run(store::ping).await.is_ok()
    }

    fn put(&self, stream: Arc<Stream>) {
        self.streams.write().unwrap_or_else(PoisonError::into_inner).insert(stream.id.clone(), stream);
        self.tell();
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

/// What tells a repeated request from another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The request's `Idempotency-Key`.
    pub key: String,
    /// Stands for what was asked for: differs between requests that differ.
    pub request: String,
}

/// Whether [`Catalog::create`] made the stream or found that an earlier request had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// By this request.
    New,
    /// By an earlier one with the same `Idempotency-Key`.
    Before,
}

/// Milliseconds since 1970-01-01 UTC.
pub fn unix_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO).as_millis() as u64
}

#[cfg(test)]
mod tests;
