//! Which segment and rung a decoded picture comes from.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use gstreamer as gst;

use crate::samples::Tag;

/// A picture may be shown this much before the sample that it was decoded from, nanoseconds: rounding of time scales.
const ROUNDING: i64 = 1_000_000;

/// A stretch of samples of one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) tag: Tag,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// What was handed to the decoder since the last seek, by the time from which it is shown.
#[derive(Debug, Default)]
pub(super) struct TagLog {
    entries: Mutex<VecDeque<(i64, Origin)>>,
}

impl TagLog {
    pub(super) fn record(&self, pts: i64, tag: Tag, caps: &gst::CapsRef) {
        let mut entries = self.lock();
        if entries.back().is_some_and(|(_, origin)| origin.tag == tag) {
            return;
        }
        let size = |field| {
            let value = caps.structure(0).and_then(|structure| structure.get::<i32>(field).ok());
            value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0)
        };
        entries.push_back((pts, Origin { tag, width: size("width"), height: size("height") }));
    }

    /// Where the picture at `pts` comes from; what is older is forgotten.
    pub(super) fn origin(&self, pts: i64) -> Option<Origin> {
        let mut entries = self.lock();
        while entries.get(1).is_some_and(|(from, _)| *from <= pts + ROUNDING) {
            entries.pop_front();
        }
        entries.front().map(|(_, origin)| *origin)
    }

    /// The origin of what was handed over last.
    pub(super) fn latest(&self) -> Option<Origin> {
        self.lock().back().map(|(_, origin)| *origin)
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(i64, Origin)>> {
        // A panic elsewhere must not become a second one inside a GStreamer callback.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_find_their_segment() {
        gst::init().unwrap();
        let caps = gst::Caps::new_empty_simple("video/x-h264");
        let log = TagLog::default();
        let tag = |segment| Tag { segment, rung: segment as usize };
        for (pts, segment) in [(0, 0), (40_000_000, 0), (2_000_000_000, 1), (4_000_000_000, 2)] {
            log.record(pts, tag(segment), &caps);
        }
        let segment = |pts| log.origin(pts).unwrap().tag.segment;
        assert_eq!(segment(1_960_000_000), 0);
        assert_eq!(segment(1_999_999_999), 1, "rounded down by a nanosecond");
        assert_eq!(segment(3_000_000_000), 1);
        assert_eq!(segment(9_000_000_000), 2);
        log.clear();
        assert_eq!(log.origin(0), None);
    }
}
