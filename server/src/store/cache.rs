//! Segments that are asked for now, in memory: bounded by bytes, least recently used out first.
//!
//! Large ones keep their file open beside, so that they may be sent without a copy.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Files that are held open; further segments are served from memory alone.
const MOST_FILES: usize = 256;
/// A segment below this size is not worth a file.
const LARGE: usize = 64 * 1024;

/// A segment in memory.
#[derive(Debug, Clone)]
pub struct Cached {
    /// All of it.
    pub bytes: Bytes,
    /// The file that it was read from, which holds the same and never changes.
    pub file: Option<Arc<File>>,
}

/// Stream, rendition, segment number.
type Key = (String, String, u32);

#[derive(Debug)]
pub(super) struct SegmentCache {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, (Cached, u64)>,
    by_use: BTreeMap<u64, Key>,
    bytes: usize,
    files: usize,
    clock: u64,
}

impl State {
    fn add(&mut self, cached: &Cached) {
        self.bytes += cached.bytes.len();
        self.files += usize::from(cached.file.is_some());
    }

    fn subtract(&mut self, cached: &Cached) {
        self.bytes -= cached.bytes.len();
        self.files -= usize::from(cached.file.is_some());
    }
}

impl From<Bytes> for Cached {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, file: None }
    }
}

impl SegmentCache {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    pub(super) fn get(&self, stream: &str, rendition: &str, number: u32) -> Option<Cached> {
        let key = (stream.to_owned(), rendition.to_owned(), number);
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        let (cached, used) = state.entries.get_mut(&key)?;
        let before = std::mem::replace(used, now);
        let cached = cached.clone();
        state.by_use.remove(&before);
        state.by_use.insert(now, key);
        Some(cached)
    }

    /// Whether a segment of this size should be read again to have its file beside it.
    pub(super) fn wants_file(&self, bytes: usize) -> bool {
        bytes >= LARGE && bytes <= self.limit / 4 && self.lock().files < MOST_FILES
    }

    /// Keeps `cached` unless its bytes alone would fill more than a quarter of the cache.
    pub(super) fn put(&self, stream: &str, rendition: &str, number: u32, mut cached: Cached) {
        let size = cached.bytes.len();
        if size > self.limit / 4 {
            return;
        }
        let key = (stream.to_owned(), rendition.to_owned(), number);
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        if state.files >= MOST_FILES {
            cached.file = None;
        }
        state.add(&cached);
        if let Some((old, used)) = state.entries.insert(key.clone(), (cached, now)) {
            state.subtract(&old);
            state.by_use.remove(&used);
        }
        state.by_use.insert(now, key);
        while state.bytes > self.limit {
            let Some((_, oldest)) = state.by_use.pop_first() else { break };
            if let Some((gone, _)) = state.entries.remove(&oldest) {
                state.subtract(&gone);
            }
        }
    }

    /// Drops everything of one stream.
    pub(super) fn forget(&self, stream: &str) {
        let mut state = self.lock();
        let gone: Vec<Key> = state.entries.keys().filter(|key| key.0 == stream).cloned().collect();
        for key in gone {
            if let Some((cached, used)) = state.entries.remove(&key) {
                state.subtract(&cached);
                state.by_use.remove(&used);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_segment_leaves_first_and_the_bound_holds() {
        let cache = SegmentCache::new(1000);
        for number in 1..=4 {
            cache.put("s", "v", number, Bytes::from(vec![0; 250]).into());
        }
        assert!(cache.get("s", "v", 1).is_some(), "touch the oldest");
        cache.put("s", "v", 5, Bytes::from(vec![0; 250]).into());
        assert!(cache.get("s", "v", 2).is_none());
        assert!(cache.get("s", "v", 1).is_some());
        assert!(cache.lock().bytes <= 1000);
        cache.put("s", "v", 6, Bytes::from(vec![0; 251]).into());
        assert!(cache.get("s", "v", 6).is_none(), "too large to be worth the others");
        cache.forget("s");
        assert_eq!(cache.lock().bytes, 0);
        assert!(cache.lock().by_use.is_empty());
    }

    #[test]
    fn files_are_counted_and_closed_with_their_segments() {
        let cache = SegmentCache::new(8 * LARGE);
        let file = Arc::new(tempfile::tempfile().unwrap());
        let large = || Cached { bytes: Bytes::from(vec![0; LARGE]), file: Some(Arc::clone(&file)) };
        assert!(cache.wants_file(LARGE));
        assert!(!cache.wants_file(LARGE - 1), "too small");
        assert!(!cache.wants_file(3 * LARGE), "it would not be kept");
        for number in 1..=20 {
            cache.put("s", "v", number, large());
        }
        assert_eq!((cache.lock().files, Arc::strong_count(&file)), (8, 9), "those that left are closed");
        cache.put("s", "v", 20, Bytes::from(vec![0; LARGE]).into());
        assert_eq!(cache.lock().files, 7);
        cache.forget("s");
        assert_eq!((cache.lock().files, Arc::strong_count(&file)), (0, 1));
        cache.lock().files = MOST_FILES;
        assert!(!cache.wants_file(LARGE));
        cache.put("s", "v", 1, large());
        assert_eq!(Arc::strong_count(&file), 1, "past the bound a segment is kept without its file");
    }
}
