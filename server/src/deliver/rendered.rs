//! Playlists as they were last rendered, so that a thousand readers cost one rendering and one gzip.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::http::Entity;

/// What a rendering depends on; another value means to render anew.
pub type Version = (usize, bool, String);

/// A stream's documents by name.
type Documents = HashMap<String, (Version, Arc<Entity>)>;

/// The last rendering of each document of each stream.
#[derive(Debug, Default)]
pub struct Rendered(Mutex<HashMap<String, Documents>>);

impl Rendered {
    /// The document in this version, rendered if the kept one is another.
    ///
    /// `document` is the name of something that exists, so that the map stays as small as the stream is.
    pub fn get(
        &self,
        stream: &str,
        document: &str,
        version: Version,
        render: impl FnOnce() -> Entity,
    ) -> Arc<Entity> {
        {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, entity)) = kept.get(stream).and_then(|documents| documents.get(document))
                && *at == version
            {
                return Arc::clone(entity);
            }
        }
        // Outside the lock: two readers may render the same at the same time, none waits for the other.
        let entity = Arc::new(render());
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.entry(stream.to_owned())
            .or_default()
            .insert(document.to_owned(), (version, Arc::clone(&entity)));
        entity
    }

    /// Drops a deleted stream's documents.
    pub fn forget(&self, stream: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(stream);
    }
}
