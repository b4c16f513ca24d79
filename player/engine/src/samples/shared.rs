use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Next, TrackBuffer};
use crate::captions::Captions;

type Listener = Arc<dyn Fn() + Send + Sync>;

/// A [`TrackBuffer`] between the thread that fills it and the feeder of the playback pipeline.
#[derive(Default)]
pub struct SharedTrack {
    buffer: Mutex<TrackBuffer>,
    listener: Mutex<Option<Listener>>,
    /// What is written in its pictures, as far as they were read.
    pub(crate) captions: Captions,
}

impl SharedTrack {
    /// With an empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes the buffer and tells the feeder.
    pub fn edit<T>(&self, change: impl FnOnce(&mut TrackBuffer) -> T) -> T {
        let result = change(&mut lock(&self.buffer));
        // Called without a lock, so that it may take others.
        let listener = lock(&self.listener).clone();
        if let Some(listener) = listener {
            listener();
        }
        result
    }

    /// Looks into the buffer.
    pub fn look<T>(&self, look: impl FnOnce(&TrackBuffer) -> T) -> T {
        look(&lock(&self.buffer))
    }

    /// Moves the cursor; see [`TrackBuffer::seek`].
    pub(crate) fn seek(&self, position: i64) {
        lock(&self.buffer).seek(position);
    }

    /// Reads one sample; see [`TrackBuffer::next`].
    pub(crate) fn next(&self) -> Next {
        lock(&self.buffer).next()
    }

    /// Who is told about changes. It must return at once.
    pub(crate) fn listen(&self, listener: Option<Listener>) {
        *lock(&self.listener) = listener;
    }
}

impl fmt::Debug for SharedTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTrack").field("spans", &self.look(TrackBuffer::spans)).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves the buffer in a state that can be read: nothing in it spans two calls.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
