//! Durations that a live stream announces, and what follows from them.

/// Least number of segments that a sliding playlist shall have room for.
const LEAST_SEGMENTS: u64 = 6;

/// Longest that anybody waits for a stream to begin. Players call a server silent that says nothing for longer.
const LONGEST_BEFORE_THE_FIRST: std::time::Duration = std::time::Duration::from_secs(6);

/// What playlists, holds and caches derive from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timing {
    /// `EXT-X-TARGETDURATION` in seconds, at least 1; the same for every rendition, and constant.
    pub target: u32,
    /// `PART-TARGET` in milliseconds; 0 without parts.
    pub part_ms: u32,
}

impl Timing {
    /// `EXT-X-TARGETDURATION` for a segment length.
    pub fn target_of(segment_ms: u32) -> u32 {
        ((segment_ms.saturating_add(500)) / 1000).max(1)
    }

    /// `HOLD-BACK` in seconds: three target durations.
    pub fn hold_back(self) -> u32 {
        self.target.saturating_mul(3)
    }

    /// `PART-HOLD-BACK` in milliseconds: three part targets.
    pub fn part_hold_back_ms(self) -> u32 {
        self.part_ms.saturating_mul(3)
    }

    /// `CAN-SKIP-UNTIL` in seconds: six target durations.
    pub fn skip_until(self) -> u32 {
        self.target.saturating_mul(LEAST_SEGMENTS as u32)
    }

    /// Longest that a request is held: three target durations.
    pub fn longest_hold(self) -> std::time::Duration {
        std::time::Duration::from_secs(u64::from(self.hold_back()))
    }

    /// Longest that a request is held before there is a first segment: 6 s, or three target durations where that is less.
    pub fn longest_hold_before_the_first(self) -> std::time::Duration {
        self.longest_hold().min(LONGEST_BEFORE_THE_FIRST)
    }
}

/// How an answer may be cached, from the caching advice of the draft (RFC 8216bis, appendix B).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// A playlist that was asked for as it is now.
    Plain,
    /// A playlist that was waited for: it is the only answer to that question.
    Blocking,
    /// A client's mistake.
    PlainError,
    /// A client's mistake in delivery directives.
    BlockingError,
    /// A multivariant playlist.
    Multivariant,
    /// The text of a stream that has ended: it stays as it is until the stream is deleted.
    Ended,
}

impl Freshness {
    /// `Cache-Control` with a target duration in seconds.
    pub fn header(self, target: u32) -> String {
        let seconds = match self {
            Self::Plain => target / 2,
            Self::Blocking => target.saturating_mul(6),
            Self::PlainError => target,
            Self::BlockingError => target.saturating_mul(4),
            Self::Multivariant => target.min(30),
            Self::Ended => 30,
        };
        format!("public, max-age={seconds}, s-maxage={seconds}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_told_multiples_of_the_target_duration() {
        let rows = [
            (Freshness::Plain, 1, 0),
            (Freshness::Plain, 2, 1),
            (Freshness::Plain, 6, 3),
            (Freshness::Blocking, 2, 12),
            (Freshness::PlainError, 2, 2),
            (Freshness::BlockingError, 2, 8),
            (Freshness::Multivariant, 4, 4),
            (Freshness::Multivariant, 60, 30),
            (Freshness::Ended, 2, 30),
        ];
        for (freshness, target, seconds) in rows {
            let expected = format!("public, max-age={seconds}, s-maxage={seconds}");
            assert_eq!(freshness.header(target), expected, "{freshness:?} {target}");
        }
    }

    #[test]
    fn a_first_segment_is_waited_for_no_longer_than_players_wait_for_a_word() {
        for (target, seconds) in [(1, 3), (2, 6), (4, 6), (60, 6)] {
            let hold = Timing { target, part_ms: 0 }.longest_hold_before_the_first();
            assert_eq!(hold.as_secs(), seconds, "{target}");
        }
    }

    #[test]
    fn segments_of_any_length_have_a_target() {
        let rows = [(0, 1), (400, 1), (1499, 1), (1500, 2), (2000, 2), (4004, 4), (u32::MAX, 4_294_967)];
        for (ms, target) in rows {
            assert_eq!(Timing::target_of(ms), target, "{ms}");
        }
    }
}
