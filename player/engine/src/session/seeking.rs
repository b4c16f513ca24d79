//! Jumps: wishes that come faster than they can be met are merged, each that is met is written down.

use std::time::Duration;

use weir_abr::{planner::Event, record};

use super::{Session, wishes::SeekWish};
use crate::log::{millis, seconds};

/// While the picture of one place is on its way, a newer wish waits for it, but not longer than this: scrubbing shows
/// pictures.
const MERGE: Duration = Duration::from_millis(400);

/// A flush that brings no picture for so long is repeated.
const LATE: Duration = Duration::from_secs(8);

/// How far a jump is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The brain fetches what is needed.
    Filling,
    /// The pipeline goes there since.
    Flushing(Duration),
}

/// A jump under way.
#[derive(Clone, Copy, Debug)]
struct Jump {
    from: Duration,
    to: Duration,
    exact: bool,
    wished: Duration,
    in_buffer: bool,
    stage: Stage,
}

/// Jumps.
#[derive(Debug, Default)]
pub(crate) struct Seeking {
    current: Option<Jump>,
    next: Option<SeekWish>,
}

impl Session {
    pub(crate) fn is_seeking(&self) -> bool {
        self.seeking.current.is_some()
    }

    /// Playback has to stand until the media of the new place are there.
    pub(crate) fn waits_for_seek(&self) -> bool {
        self.seeking.current.is_some_and(|jump| jump.stage == Stage::Filling)
    }

    /// Where the viewer wants to be.
    pub(crate) fn seek_target(&self) -> Option<Duration> {
        let next = self.seeking.next.map(|wish| wish.to);
        next.or(self.seeking.current.map(|jump| jump.to))
    }

    /// The viewer wants to go somewhere.
    pub(crate) fn wish_seek(&mut self, wish: SeekWish) {
        let now = self.now();
        let busy = self.seeking.current.is_some_and(
            |jump| matches!(jump.stage, Stage::Flushing(since) if now.saturating_sub(since) < MERGE),
        );
        if busy {
            self.seeking.next = Some(wish);
        } else {
            self.begin_seek(wish);
        }
    }

    fn begin_seek(&mut self, wish: SeekWish) {
        self.seeking.next = None;
        let from = self.seeking.current.map_or_else(|| self.position(), |jump| jump.from);
        let to = self.within_bounds(wish.to);
        self.went_to(to);
        self.end_stall();
        self.playing.ended = false;
        let jump = Jump {
            from,
            to,
            exact: wish.exact,
            wished: self.since_start(wish.at),
            in_buffer: self.media.holds(to),
            stage: Stage::Filling,
        };
        self.seeking.current = Some(jump);
        self.playing.position = to;
        if !jump.in_buffer {
            self.drive();
        }
        self.feed(Event::Seek(to));
        self.view.changed = true;
    }

    /// A place that can be played.
    fn within_bounds(&self, to: Duration) -> Duration {
        let Some((start, end)) = self.catalog.as_ref().and_then(super::catalog::Catalog::window) else {
            return to;
        };
        to.min(end.saturating_sub(Duration::from_millis(100))).max(start)
    }

    /// Playback begins at the place that was asked for.
    pub(crate) fn seek_starts(&mut self) {
        let now = self.now();
        if let Some(jump) = &mut self.seeking.current {
            jump.stage = Stage::Flushing(now);
        }
    }

    /// The brain says that playback can go on at `position`.
    pub(crate) fn seek_ready(&mut self, position: Duration) {
        let now = self.now();
        self.end_stall();
        let from = std::mem::replace(&mut self.playing.position, position);
        if self.seeking.current.is_none() {
            self.jumped(from, position);
        }
        let exact = match &mut self.seeking.current {
            Some(jump) => {
                jump.stage = Stage::Flushing(now);
                jump.exact
            }
            // A jump of the brain's own, over a hole or back into a live window.
            None => true,
        };
        if self.playing.start.is_none() {
            self.start(position);
        }
        self.playing.clear_broken();
        self.shared.playback(|playback| playback.seek(position, exact));
        self.drive();
    }

    /// The picture of the new place is there.
    pub(crate) fn seeked(&mut self, position: Duration) {
        // One from before this jump says nothing about it.
        if self.waits_for_seek() && self.playing.visible {
            return;
        }
        if let Some(jump) = self.seeking.current.take() {
            self.note(record::Event::Seek {
                from_s: seconds(jump.from),
                to_s: seconds(position),
                ms: millis(self.now().saturating_sub(jump.wished)),
                in_buffer: jump.in_buffer,
            });
            self.drive();
            self.view.changed = true;
        }
        if let Some(wish) = self.seeking.next.take() {
            self.begin_seek(wish);
        }
    }

    /// Repeats what got lost, and lets a wish through that waited long enough.
    pub(crate) fn watch_seek(&mut self) {
        let now = self.now();
        let Some(Jump { to, exact, stage: Stage::Flushing(since), .. }) = self.seeking.current else {
            return;
        };
        let waited = now.saturating_sub(since);
        if waited >= MERGE
            && let Some(wish) = self.seeking.next.take()
        {
            self.begin_seek(wish);
        } else if waited >= LATE {
            tracing::warn!(?to, "the pipeline does not come to the place of a seek: asking again");
            if let Some(jump) = &mut self.seeking.current {
                jump.stage = Stage::Flushing(now);
            }
            self.shared.playback(|playback| playback.seek(to, exact));
        }
    }
}
