//! Sessions that an admin has removed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Removed sessions that are remembered; past it the one that is free soonest goes.
const MOST: usize = 4096;

/// Keys with the time until which they are refused.
#[derive(Debug, Default)]
pub(super) struct Kicks {
    until: Mutex<HashMap<u128, Duration>>,
    /// Of the map, so that the usual case, none, takes no lock.
    count: AtomicUsize,
}

impl Kicks {
    pub(super) fn add(&self, key: u128, now: Duration, until: Duration) {
        let mut map = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        map.retain(|_, until| now < *until);
        if map.len() >= MOST
            && let Some(soonest) = map.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key)
        {
            map.remove(&soonest);
        }
        map.insert(key, until);
        self.count.store(map.len(), Ordering::Release);
    }

    pub(super) fn none(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    pub(super) fn holds(&self, key: u128, now: Duration) -> bool {
        if self.none() {
            return false;
        }
        let mut map = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        match map.get(&key) {
            None => false,
            Some(until) if now < *until => true,
            Some(_) => {
                map.remove(&key);
                self.count.store(map.len(), Ordering::Release);
                false
            }
        }
    }
}
