use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::TrackBuffer;

/// A [`TrackBuffer`] between the thread that fills it and the feeder of the playback pipeline.
#[derive(Debug, Default)]
pub struct SharedTrack {
    buffer: Mutex<TrackBuffer>,
    changed: Condvar,
}

impl SharedTrack {
    /// With an empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes the buffer and tells the feeder.
    pub fn edit<T>(&self, change: impl FnOnce(&mut TrackBuffer) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Looks into the buffer.
    pub fn look<T>(&self, look: impl FnOnce(&TrackBuffer) -> T) -> T {
        look(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, TrackBuffer> {
        // A panic elsewhere leaves the buffer in a state that can be read: nothing in it spans two calls.
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
