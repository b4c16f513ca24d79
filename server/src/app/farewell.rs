//! Live streams that were deleted while they were on air: gone for everybody but those who watch, who get to the end of
//! what there is, with `EXT-X-ENDLIST` there, instead of an error in the middle.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::App;
use crate::catalog::Stream;
use crate::store::{Store, StoreError, write_atomic};

/// In the folder of a stream that is deleted: whatever happens to the process, its files go.
const MARK: &str = "deleted";
/// Shortest and longest time that viewers get.
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(30);

/// The streams that are being left.
#[derive(Debug, Default)]
pub(super) struct Farewells {
    streams: RwLock<HashMap<String, Arc<Stream>>>,
    /// Held while one's files are removed, so that none of the same id is made meanwhile.
    removing: tokio::sync::Mutex<()>,
}

impl Farewells {
    fn get(&self, id: &str) -> Option<Arc<Stream>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn put(&self, stream: Arc<Stream>) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.insert(stream.id.clone(), stream);
    }

    fn take(&self, id: &str) -> Option<Arc<Stream>> {
        self.streams.write().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}

impl App {
    /// A stream as viewers find it: also one that was deleted under them.
    pub fn watched(&self, id: &str) -> Option<Arc<Stream>> {
        self.catalog.get(id).or_else(|| self.farewells.get(id))
    }

    /// Ends a stream that the catalogue lists no more, and has its files removed when its viewers had the time to see
    /// the end: three target durations.
    pub(super) async fn bid_farewell(self: &Arc<Self>, stream: Arc<Stream>) {
        let id = stream.id.clone();
        let target = Duration::from_millis(stream.profile.segment_ms.into());
        self.live.end(&id).await;
        self.live.forget(&id);
        let (app, lasting) = (Arc::clone(self), (target * 3).clamp(SHORTEST, LONGEST));
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(lasting) => {}
                () = app.stop.cancelled() => {}
            }
            // Another one of the same id may have taken its place, and seen to its files.
            if app.farewells.get(&id).is_some_and(|left| left.created_ms == stream.created_ms)
                && let Err(error) = app.finish_farewell(&id).await
            {
                tracing::error!(stream = id, %error, "a deleted stream's files stay until the next start");
            }
        });
    }

    /// Takes a stream out of the catalogue while its viewers still find it.
    pub(super) fn begin_farewell(&self, stream: Arc<Stream>) {
        if let Some(media) = self.media(&stream.id)
            && let Err(error) = write_atomic(&media.folder().join(MARK), b"")
        {
            tracing::warn!(stream = stream.id, %error, "cannot mark a stream as deleted");
        }
        self.farewells.put(stream);
    }

    /// Removes the files of a stream that is being left, if there is one of this id.
    ///
    /// # Errors
    /// The disk's.
    pub(super) async fn finish_farewell(&self, id: &str) -> Result<(), StoreError> {
        let _alone = self.farewells.removing.lock().await;
        if self.farewells.take(id).is_none() {
            return Ok(());
        }
        self.rendered.forget(id);
        let (store, name) = (Arc::clone(&self.store), id.to_owned());
        let removed = tokio::task::spawn_blocking(move || store.remove(&name)).await;
        removed.unwrap_or(Ok(false)).map(|_| ())
    }
}

/// Removes what an earlier run had marked as deleted, unless `known` says that there is such a stream.
pub(super) fn sweep(store: &Store, folder: &Path, known: impl Fn(&str) -> bool) {
    let ids = match store.ids() {
        Ok(ids) => ids,
        Err(error) => return tracing::warn!(%error, "cannot look for deleted streams"),
    };
    for id in ids.iter().filter(|id| !known(id) && folder.join(id).join(MARK).exists()) {
        match store.remove(id) {
            Ok(_) => tracing::info!(stream = id, "the files of a deleted stream are gone"),
            Err(error) => tracing::warn!(stream = id, %error, "cannot remove a deleted stream's files"),
        }
    }
}
