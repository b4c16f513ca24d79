//! How far a rendition is, and what that means for a request that may be held back (RFC 8216bis, section 6.2.5.2).

use crate::store::Window;

/// The live end of a rendition's window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Front {
    /// First segment that is listed; 0 when none is.
    pub first: u32,
    /// Last complete segment; 0 before the first.
    pub last: u32,
    /// Parts that the last complete segment has; 0 when they are not known any more.
    pub last_parts: u32,
    /// Parts of the segment after it that are there.
    pub open_parts: u32,
}

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer now.
    Ready,
    /// Hold the answer until the window has moved.
    Wait,
    /// It asks for what is too far in the future: 400.
    TooFar,
}

impl Front {
    /// The front of a window.
    pub fn of(window: &Window) -> Self {
        let first = window.segments.first().map_or(0, |s| s.number);
        // Segments may have been dropped down to none while the next one is being made.
        let before_open = window.open.map_or(0, |open| open.number.saturating_sub(1));
        let last = window.segments.last().map_or(before_open, |s| s.number);
        let parts = |segment| window.parts_of(segment).count() as u32;
        Self { first, last, last_parts: parts(last), open_parts: parts(last + 1) }
    }

    /// The part that follows everything there is: what `EXT-X-PRELOAD-HINT` names.
    pub fn next_part(&self) -> (u32, u32) {
        (self.last + 1, self.open_parts)
    }

    /// `LAST-MSN` and `LAST-PART` of a rendition report; `None` while there is nothing to report.
    pub fn report(&self) -> Option<(u32, Option<u32>)> {
        match (self.open_parts, self.last, self.last_parts) {
            (0, 0, _) => None,
            (0, last, parts) => Some((last, parts.checked_sub(1))),
            (parts, last, _) => Some((last + 1, Some(parts - 1))),
        }
    }

    /// Judges `_HLS_msn` and `_HLS_part`. `advance` is the Advance Part Limit: how many parts beyond the last may be asked
    /// for.
    pub fn judge(&self, msn: u64, part: Option<u64>, advance: u64) -> Verdict {
        let last = u64::from(self.last);
        if msn > last + 2 {
            return Verdict::TooFar;
        }
        let Some(part) = part else {
            return if msn <= last { Verdict::Ready } else { Verdict::Wait };
        };
        let open_parts = u64::from(self.open_parts);
        if msn < last || (msn == last && (part < u64::from(self.last_parts) || open_parts > 0)) {
            return Verdict::Ready;
        }
        // A part past the end of a finished segment stands for the first part of the next.
        let (msn, part) = if msn == last { (last + 1, 0) } else { (msn, part) };
        if msn == last + 1 {
            if part < open_parts {
                Verdict::Ready
            } else if part >= open_parts + advance {
                Verdict::TooFar
            } else {
                Verdict::Wait
            }
        } else if part >= advance {
            // The segment in between may end with the parts that it has.
            Verdict::TooFar
        } else {
            Verdict::Wait
        }
    }
}

/// The Advance Part Limit of a part target: three seconds' worth of parts shorter than one second, else three parts.
pub fn advance_part_limit(part_ms: u32) -> u64 {
    if part_ms == 0 || part_ms >= 1000 { 3 } else { u64::from(3000_u32.div_ceil(part_ms)) }
}

#[cfg(test)]
mod tests {
    use Verdict::{Ready, TooFar, Wait};

    use super::*;

    #[test]
    fn requests_are_judged_by_the_table() {
        // Segments 5 to 10 are complete, 10 has 4 parts; 2 parts of 11 are there; parts of 500 ms.
        let front = Front { first: 5, last: 10, last_parts: 4, open_parts: 2 };
        let rows = [
            (0, None, Ready),             // gone long ago
            (4, Some(3), Ready),          // just gone
            (5, None, Ready),             // listed
            (10, None, Ready),            // the last one
            (11, None, Wait),             // being made
            (12, None, Wait),             // the one after it
            (13, None, TooFar),           // more than the last plus two
            (u64::MAX, None, TooFar),     //
            (10, Some(3), Ready),         // the last part of a finished segment
            (10, Some(4), Ready),         // past its end: part 0 of 11
            (10, Some(999), Ready),       // the same
            (11, Some(1), Ready),         // there
            (11, Some(2), Wait),          // next
            (11, Some(7), Wait),          // 6 beyond the last part: the limit
            (11, Some(8), TooFar),        // 7 beyond
            (12, Some(5), Wait),          //
            (12, Some(6), TooFar),        //
            (12, Some(u64::MAX), TooFar), //
            (13, Some(0), TooFar),        //
        ];
        for (msn, part, verdict) in rows {
            assert_eq!(front.judge(msn, part, advance_part_limit(500)), verdict, "{msn} {part:?}");
        }
    }

    #[test]
    fn a_part_past_a_finished_segment_waits_for_the_first_of_the_next() {
        let front = Front { first: 5, last: 10, last_parts: 4, open_parts: 0 };
        assert_eq!(front.judge(10, Some(4), 6), Wait);
        assert_eq!(front.judge(10, Some(3), 6), Ready);
        assert_eq!(front.judge(11, Some(0), 6), Wait);
        assert_eq!(front.judge(11, Some(6), 6), TooFar);
        assert_eq!(front.next_part(), (11, 0));
        assert_eq!(front.report(), Some((10, Some(3))));
    }

    #[test]
    fn before_the_first_segment_only_its_parts_can_be_waited_for() {
        let front = Front::default();
        assert_eq!((front.judge(1, Some(0), 6), front.judge(3, None, 6)), (Wait, TooFar));
        assert_eq!((front.next_part(), front.report()), ((1, 0), None));
    }

    #[test]
    fn the_advance_limit_is_three_seconds_of_short_parts() {
        let rows = [(200, 15), (333, 10), (500, 6), (999, 4), (1000, 3), (2000, 3), (0, 3)];
        for (part_ms, limit) in rows {
            assert_eq!(advance_part_limit(part_ms), limit, "{part_ms}");
        }
    }
}
