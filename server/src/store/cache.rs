//! Segments that are asked for now, in memory: bounded by bytes, least recently used out first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Stream, rendition, segment number.
type Key = (String, String, u32);

#[derive(Debug)]
pub(super) struct SegmentCache {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, (Bytes, u64)>,
    by_use: BTreeMap<u64, Key>,
    bytes: usize,
    clock: u64,
}

impl SegmentCache {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    pub(super) fn get(&self, stream: &str, rendition: &str, number: u32) -> Option<Bytes> {
        let key = (stream.to_owned(), rendition.to_owned(), number);
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        let (bytes, used) = state.entries.get_mut(&key)?;
        let before = std::mem::replace(used, now);
        let bytes = bytes.clone();
        state.by_use.remove(&before);
        state.by_use.insert(now, key);
        Some(bytes)
    }

    /// Keeps `bytes` unless they alone would fill more than a quarter of the cache.
    pub(super) fn put(&self, stream: &str, rendition: &str, number: u32, bytes: Bytes) {
        if bytes.len() > self.limit / 4 {
            return;
        }
        let key = (stream.to_owned(), rendition.to_owned(), number);
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        state.bytes += bytes.len();
        if let Some((old, used)) = state.entries.insert(key.clone(), (bytes, now)) {
            state.bytes -= old.len();
            state.by_use.remove(&used);
        }
        state.by_use.insert(now, key);
        while state.bytes > self.limit {
            let Some((_, oldest)) = state.by_use.pop_first() else { break };
            if let Some((gone, _)) = state.entries.remove(&oldest) {
                state.bytes -= gone.len();
            }
        }
    }

    /// Drops everything of one stream.
    pub(super) fn forget(&self, stream: &str) {
        let mut state = self.lock();
        let State { entries, by_use, bytes, .. } = &mut *state;
        entries.retain(|key, (held, used)| {
            let keep = key.0 != stream;
            if !keep {
                *bytes -= held.len();
                by_use.remove(used);
            }
            keep
        });
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
            cache.put("s", "v", number, Bytes::from(vec![0; 250]));
        }
        assert!(cache.get("s", "v", 1).is_some(), "touch the oldest");
        cache.put("s", "v", 5, Bytes::from(vec![0; 250]));
        assert!(cache.get("s", "v", 2).is_none());
        assert!(cache.get("s", "v", 1).is_some());
        assert!(cache.lock().bytes <= 1000);
        cache.put("s", "v", 6, Bytes::from(vec![0; 251]));
        assert!(cache.get("s", "v", 6).is_none(), "too large to be worth the others");
        cache.forget("s");
        assert_eq!(cache.lock().bytes, 0);
        assert!(cache.lock().by_use.is_empty());
    }
}
