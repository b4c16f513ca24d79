//! What the viewer wants. The newest wish of a kind replaces the one before, so that scrubbing never queues up.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use weir_abr::planner::{Caps, QualityChoice};

use crate::player::SubtitleChoice;

/// To go to a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeekWish {
    pub(crate) to: Duration,
    pub(crate) exact: bool,
    pub(crate) at: Instant,
}

/// All that is wished and not yet met.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) paused: Option<bool>,
    pub(crate) seek: Option<SeekWish>,
    pub(crate) rate: Option<f64>,
    pub(crate) volume: Option<f64>,
    pub(crate) muted: Option<bool>,
    pub(crate) quality: Option<QualityChoice>,
    pub(crate) caps: Option<Caps>,
    pub(crate) sound: Option<usize>,
    pub(crate) subtitles: Option<SubtitleChoice>,
    pub(crate) thumbnail: Option<Option<Duration>>,
    pub(crate) rgba_height: Option<Option<u32>>,
    pub(crate) stop: bool,
}

/// Where wishes wait for the session.
#[derive(Debug, Default)]
pub(crate) struct WishBox {
    wishes: Mutex<Wishes>,
    /// Something was put in.
    pub(crate) arrived: Notify,
}

impl WishBox {
    /// Puts a wish in.
    pub(crate) fn put(&self, wish: impl FnOnce(&mut Wishes)) {
        wish(&mut self.lock());
        self.arrived.notify_one();
    }

    /// Takes all out.
    pub(crate) fn take(&self) -> Wishes {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_seek_replaces_those_before() {
        let wishes = WishBox::default();
        for second in 0..50 {
            let to = Duration::from_secs(second);
            wishes.put(|wishes| wishes.seek = Some(SeekWish { to, exact: false, at: Instant::now() }));
        }
        assert_eq!(wishes.take().seek.map(|seek| seek.to), Some(Duration::from_secs(49)));
        assert!(wishes.take().seek.is_none());
    }
}
