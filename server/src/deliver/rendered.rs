//! What was rendered last, and what must be remembered of a stream between two renderings, so that a thousand readers
//! cost one rendering and one gzip.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::http::Entity;
use crate::store::RenditionInfo;

use super::dash::periods::Anchors;
use super::front::Front;
use super::hls::iframes::KeyFrame;
use super::hls::master::Subtitles;
use super::rates::Rates;

/// What a rendering depends on; another value means to render anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// How far each rendition is, the one in question first.
    pub fronts: Vec<Front>,
    /// What each rendition announces, where the text depends on that alone.
    pub rates: Vec<Rates>,
    /// What each rendition is, where the text depends on it and it may change.
    pub infos: Vec<RenditionInfo>,
    /// Subtitles beside them.
    pub subtitles: Vec<Subtitles>,
    /// Nothing will be added any more.
    pub ended: bool,
}

/// A rendering that is kept.
#[derive(Debug)]
struct Kept {
    version: Version,
    entity: Arc<Entity>,
    /// The text without its own date; see [`Documents::get_dated`].
    basis: String,
}

/// A stream's documents and memory.
#[derive(Debug, Default)]
pub struct Documents {
    /// When the stream was created: another one may have its id by now.
    created_ms: u64,
    kept: Mutex<HashMap<String, Kept>>,
    memory: Mutex<Memory>,
    /// Held while key frames are being looked up.
    pub looking_up: tokio::sync::Mutex<()>,
}

/// What a stream's texts must not forget from one version to the next.
#[derive(Debug, Default)]
pub struct Memory {
    /// The manifest's Periods.
    pub periods: Anchors,
    /// Key frames of each rendition's segments, as far as they were looked up.
    pub key_frames: HashMap<String, Vec<KeyFrame>>,
}

impl Documents {
    /// The document in this version, rendered if the kept one is another.
    ///
    /// `name` is that of something that exists, so that the map stays as small as the stream is.
    pub fn get(&self, name: &str, version: Version, render: impl FnOnce() -> Entity) -> Arc<Entity> {
        if let Some(entity) = self.find(name, &version) {
            return entity;
        }
        // Outside the lock: two readers may render the same at the same time, none waits for the other.
        let entity = Arc::new(render());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(name.to_owned(), Kept { version, entity: Arc::clone(&entity), basis: String::new() });
        entity
    }

    /// As [`get`](Self::get) for a text that holds its own date: `render` gets a date and gives the text. The date changes if
    /// and only if the rest of the text does.
    pub fn get_dated(
        &self,
        name: &str,
        version: Version,
        now_ms: u64,
        render: impl Fn(u64) -> String,
        entity: impl FnOnce(String) -> Entity,
    ) -> Arc<Entity> {
        if let Some(entity) = self.find(name, &version) {
            return entity;
        }
        let basis = render(0);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get_mut(name)
            && known.basis == basis
        {
            known.version = version;
            return Arc::clone(&known.entity);
        }
        let entity = Arc::new(entity(render(now_ms)));
        kept.insert(name.to_owned(), Kept { version, entity: Arc::clone(&entity), basis });
        entity
    }

    /// Works on the stream's memory.
    pub fn with_memory<T>(&self, work: impl FnOnce(&mut Memory) -> T) -> T {
        work(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The document, when it is kept in this version.
    pub fn find(&self, name: &str, version: &Version) -> Option<Arc<Entity>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(name).filter(|known| known.version == *version).map(|known| Arc::clone(&known.entity))
    }
}

/// The documents of every stream.
#[derive(Debug, Default)]
pub struct Rendered(Mutex<HashMap<String, Arc<Documents>>>);

impl Rendered {
    /// Those of one stream; empty ones when it was deleted and made again since.
    pub fn of(&self, stream: &str, created_ms: u64) -> Arc<Documents> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(stream).filter(|known| known.created_ms == created_ms) {
            return Arc::clone(known);
        }
        let fresh = Arc::new(Documents { created_ms, ..Documents::default() });
        all.insert(stream.to_owned(), Arc::clone(&fresh));
        fresh
    }

    /// Drops a deleted stream's documents.
    pub fn forget(&self, stream: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(last: u32) -> Version {
        Version { fronts: vec![Front { last, ..Front::default() }], ..Version::default() }
    }

    #[test]
    fn a_version_is_rendered_once() {
        let rendered = Rendered::default();
        let render = |text: &'static str| move || Entity::text(text, "text/plain");
        let documents = rendered.of("s", 1);
        assert_eq!(documents.get("a", version(1), render("one")).len(), 3);
        assert_eq!(documents.get("a", version(1), render("other")).len(), 3);
        assert_eq!(documents.get("a", version(2), render("other")).len(), 5);
        assert_eq!(rendered.of("s", 1).get("a", version(2), render("")).len(), 5);
        assert_eq!(rendered.of("s", 2).get("a", version(2), render("")).len(), 0, "another stream by now");
    }

    #[test]
    fn a_date_changes_if_and_only_if_the_rest_does() {
        let documents = Documents::default();
        let get = |last, now, body: &str| {
            let body = body.to_owned();
            let entity = documents.get_dated(
                "m",
                version(last),
                now,
                move |date| format!("{date} {body}"),
                |text| Entity::text(text, "text/plain"),
            );
            String::from_utf8(entity.bytes().to_vec()).unwrap()
        };
        assert_eq!(get(1, 10, "a"), "10 a");
        assert_eq!(get(2, 20, "a"), "10 a");
        assert_eq!(get(2, 30, "b"), "10 a", "the version says that nothing changed");
        assert_eq!(get(3, 30, "b"), "30 b");
    }
}
