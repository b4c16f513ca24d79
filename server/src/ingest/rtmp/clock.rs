//! The publisher's clock: 32-bit milliseconds that wrap, jitter and start anew.

use crate::store::TrackKind;

/// A step back by less than this is jitter or a burst of equal stamps, and is smoothed; by more, the clock started anew.
const JITTER_MS: i64 = 1000;
/// Frames of the other track that may still carry the old clock after it started anew.
const STRAGGLERS: u32 = 250;

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// At this many milliseconds, later than every earlier frame of its track.
    At(i64),
    /// The same, and the clock started anew with it.
    Anew(i64),
    /// On the clock that was given up; to be dropped.
    Stale,
}

/// Turns the wire's stamps of one connection into milliseconds that only grow on each track.
#[derive(Debug, Default)]
pub struct Clock {
    /// The last stamp as it came and as it was understood, whatever its track.
    last: Option<(u32, i64)>,
    /// The clock before this one, while the other track may still carry it.
    before: Option<Before>,
    video: Option<i64>,
    audio: Option<i64>,
}

/// A clock that was given up.
#[derive(Debug, Clone, Copy)]
struct Before {
    /// Its last stamp.
    last: u32,
    /// The track that has not followed yet.
    track: TrackKind,
    /// How many of its frames may still carry it.
    left: u32,
}

impl Clock {
    /// Takes the stamp of the next frame of a track.
    pub fn stamp(&mut self, kind: TrackKind, raw: u32) -> Stamp {
        let Some((last_raw, last)) = self.last else {
            self.last = Some((raw, i64::from(raw)));
            *self.track(kind) = Some(i64::from(raw));
            return Stamp::At(i64::from(raw));
        };
        if let Some(before) = self.before.filter(|before| before.track == kind) {
            let is_old = distance(raw, before.last) < distance(raw, last_raw);
            self.before = None;
            if is_old && let Some(left) = before.left.checked_sub(1) {
                self.before = Some(Before { left, ..before });
                return Stamp::Stale;
            }
        }
        // The shorter way round the circle: a wrap is a step of a few milliseconds forward.
        let now = last + i64::from(raw.wrapping_sub(last_raw) as i32);
        match *self.track(kind) {
            Some(previous) if now + JITTER_MS <= previous => {
                let track = if kind == TrackKind::Video { TrackKind::Audio } else { TrackKind::Video };
                self.before = Some(Before { last: last_raw, track, left: STRAGGLERS });
                (self.video, self.audio) = (None, None);
                self.last = Some((raw, i64::from(raw)));
                *self.track(kind) = Some(i64::from(raw));
                Stamp::Anew(i64::from(raw))
            }
            previous => {
                let now_on_track = previous.map_or(now, |previous| now.max(previous + 1));
                *self.track(kind) = Some(now_on_track);
                self.last = Some((raw, now));
                Stamp::At(now_on_track)
            }
        }
    }

    fn track(&mut self, kind: TrackKind) -> &mut Option<i64> {
        match kind {
            TrackKind::Video => &mut self.video,
            _ => &mut self.audio,
        }
    }
}

/// Milliseconds between two stamps, the shorter way round.
fn distance(a: u32, b: u32) -> u32 {
    (a.wrapping_sub(b) as i32).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Stamp::{Anew, At, Stale};
    use TrackKind::{Audio, Video};

    fn stamps(rows: &[(TrackKind, u32)]) -> Vec<Stamp> {
        let mut clock = Clock::default();
        rows.iter().map(|(kind, raw)| clock.stamp(*kind, *raw)).collect()
    }

    #[test]
    fn a_wrap_goes_on_and_keeps_the_tracks_together() {
        let end = u32::MAX;
        let rows = [(Video, end - 39), (Audio, end - 20), (Video, 0), (Audio, 2), (Video, 40)];
        let base = i64::from(end);
        assert_eq!(stamps(&rows), [At(base - 39), At(base - 20), At(base + 1), At(base + 3), At(base + 41)]);
    }

    #[test]
    fn equal_and_slightly_earlier_stamps_still_grow() {
        let rows = [(Video, 0), (Video, 0), (Video, 0), (Audio, 0), (Video, 33), (Video, 20), (Video, 66)];
        assert_eq!(stamps(&rows), [At(0), At(1), At(2), At(0), At(33), At(34), At(66)]);
    }

    #[test]
    fn a_clock_that_starts_anew_is_told_once_and_stragglers_are_dropped() {
        let rows = [(Video, 60_000), (Audio, 60_010), (Video, 0), (Audio, 60_030), (Audio, 5), (Video, 40)];
        assert_eq!(stamps(&rows), [At(60_000), At(60_010), Anew(0), Stale, At(5), At(40)]);
    }

    #[test]
    fn the_new_clock_may_pass_where_the_old_one_ended() {
        let mut clock = Clock::default();
        for at in (0..2000).step_by(40) {
            clock.stamp(Video, at);
            clock.stamp(Audio, at);
        }
        assert_eq!((clock.stamp(Video, 0), clock.stamp(Audio, 0)), (Anew(0), At(0)));
        for at in (40..4000).step_by(40) {
            let both = (clock.stamp(Video, at), clock.stamp(Audio, at));
            assert_eq!(both, (At(i64::from(at)), At(i64::from(at))));
        }
    }

    #[test]
    fn a_track_that_never_follows_is_not_dropped_for_ever() {
        let mut clock = Clock::default();
        clock.stamp(Video, 60_000);
        clock.stamp(Audio, 60_000);
        assert_eq!(clock.stamp(Video, 0), Anew(0));
        let taken = (0..1000).find(|at| clock.stamp(Audio, 60_010 + at * 20) != Stale);
        assert_eq!(taken, Some(STRAGGLERS));
    }

    #[test]
    fn a_jump_ahead_is_left_to_the_session() {
        assert_eq!(stamps(&[(Video, 0), (Video, 500_000)]), [At(0), At(500_000)]);
    }
}
