//! What the session and the handle on it share.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use super::wishes::WishBox;
use crate::{
    playback::{Playback, VideoFrame},
    player::{Snapshot, State},
};

/// How the session is doing, for whoever waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// Ended or failed.
    over: bool,
    /// The session's thread is done: the record is complete.
    closed: bool,
}

/// The few things that cross the thread boundary; every lock is held for a moment only.
pub(crate) struct Shared {
    pub(crate) wishes: WishBox,
    pub(crate) wake: Arc<dyn Fn() + Send + Sync>,
    snapshot: Mutex<Snapshot>,
    playback: Mutex<Option<Playback>>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("wishes", &self.wishes).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(wake: Arc<dyn Fn() + Send + Sync>, first: Snapshot) -> Self {
        Self {
            wishes: WishBox::default(),
            wake,
            snapshot: Mutex::new(first),
            playback: Mutex::new(None),
            progress: Mutex::new(Progress::default()),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        lock(&self.snapshot).clone()
    }

    /// Puts up what everybody sees from now on.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        let over = matches!(snapshot.state, State::Ended | State::Failed);
        *lock(&self.snapshot) = snapshot;
        self.note(|progress| progress.over = over);
    }

    /// Runs `with` on the playback, when there is one.
    pub(crate) fn playback<T>(&self, with: impl FnOnce(&Playback) -> T) -> Option<T> {
        lock(&self.playback).as_ref().map(with)
    }

    /// Puts a playback in place and gives back the one before. Dropping that one waits for its threads, so it is not done
    /// under the lock.
    pub(crate) fn set_playback(&self, playback: Option<Playback>) -> Option<Playback> {
        std::mem::replace(&mut *lock(&self.playback), playback)
    }

    pub(crate) fn take_frame(&self) -> Option<VideoFrame> {
        lock(&self.playback).as_ref().and_then(Playback::take_frame)
    }

    /// The session's thread is done.
    pub(crate) fn close(&self) {
        self.note(|progress| progress.closed = true);
        (self.wake)();
    }

    /// Blocks until the session is closed or, unless `to_the_end`, ended or failed.
    pub(crate) fn wait(&self, to_the_end: bool) {
        let mut progress = lock(&self.progress);
        while !(progress.closed || (progress.over && !to_the_end)) {
            progress = self.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn note(&self, change: impl FnOnce(&mut Progress)) {
        let mut progress = lock(&self.progress);
        let before = *progress;
        change(&mut progress);
        if *progress != before {
            self.changed.notify_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is replaced as a whole: a panic elsewhere cannot leave it half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
