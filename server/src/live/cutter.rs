//! Where segments begin.

/// Longest segment there ever is.
const LONGEST_NS: u64 = 10_000_000_000;
/// A segment's duration, rounded to whole seconds, must not exceed the target duration.
const ROUNDING_NS: u64 = 450_000_000;

/// Why a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Not here.
    No,
    /// At a key frame (or, without pictures, when it is long enough).
    Clean,
    /// Key frames are too far apart: the next segment begins without one.
    Forced,
}

/// How long a segment may be, in nanoseconds, with a target duration of so many seconds; 0 is one that is still to be
/// settled.
pub(super) fn longest_segment(target_s: u32) -> u64 {
    if target_s == 0 { LONGEST_NS } else { u64::from(target_s) * 1_000_000_000 + ROUNDING_NS }
}

/// Cuts at the key frame nearest to the wished length, and never later than the target duration allows.
#[derive(Debug, Clone)]
pub(super) struct Cutter {
    wished_ns: u64,
    /// In whole seconds; `None` until the first segment is finished, which decides it.
    target_s: Option<u32>,
    start_ns: u64,
    /// When the segment's first picture is shown.
    start_shown_ns: u64,
    last_key_ns: u64,
    last_ns: u64,
    /// From the last but one picture to the last.
    step_ns: u64,
}

impl Cutter {
    pub(super) fn new(segment_ms: u32, target_s: Option<u32>, start_ns: u64) -> Self {
        Self {
            wished_ns: u64::from(segment_ms) * 1_000_000,
            target_s,
            start_ns,
            start_shown_ns: start_ns,
            last_key_ns: start_ns,
            last_ns: start_ns,
            step_ns: 0,
        }
    }

    /// No segment may last longer.
    fn cap(&self) -> u64 {
        longest_segment(self.target_s.unwrap_or(0))
    }

    /// Where the segment in progress began.
    pub(super) fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// A picture that is decoded at `at_ns` and shown at `shown_ns` is about to be added.
    pub(super) fn picture(&mut self, at_ns: u64, shown_ns: u64, key: bool) -> Cut {
        let elapsed = at_ns.saturating_sub(self.start_ns);
        // Encoded rungs go by the times of showing, and where pictures come unevenly the two differ.
        let longest = elapsed.max(shown_ns.saturating_sub(self.start_shown_ns));
        let step = at_ns.saturating_sub(self.last_ns);
        self.last_ns = at_ns;
        self.step_ns = step;
        let cut = if key {
            let gop = at_ns.saturating_sub(self.last_key_ns);
            self.last_key_ns = at_ns;
            let nearest = elapsed + gop / 2 >= self.wished_ns && elapsed * 2 >= self.wished_ns;
            // Time stamps of whole milliseconds: the next key frame may come a little late.
            let no_later = longest + gop > self.cap();
            if elapsed > 0 && (nearest || no_later) { Cut::Clean } else { Cut::No }
        } else if elapsed > 0 && longest + step > self.cap() {
            Cut::Forced
        } else {
            Cut::No
        };
        if cut != Cut::No {
            self.start_shown_ns = shown_ns;
        }
        self.take(cut, at_ns, elapsed)
    }

    /// Without pictures: a packet at `at_ns` is about to be added.
    pub(super) fn sound(&mut self, at_ns: u64) -> Cut {
        let elapsed = at_ns.saturating_sub(self.start_ns);
        if elapsed < self.wished_ns {
            return Cut::No;
        }
        // The next one is measured from where this one should have ended, so that nothing adds up.
        let due = self.start_ns + self.wished_ns;
        let from = if elapsed - self.wished_ns < self.wished_ns { due } else { at_ns };
        let cut = self.take(Cut::Clean, from, self.wished_ns);
        self.last_ns = at_ns;
        cut
    }

    fn take(&mut self, cut: Cut, at_ns: u64, elapsed: u64) -> Cut {
        if cut != Cut::No {
            self.start_ns = at_ns;
            self.settle(elapsed);
        }
        cut
    }

    /// Nothing follows: a first segment that was not cut settles the target duration as it is.
    pub(super) fn end(&mut self) {
        self.settle(self.last_ns.saturating_sub(self.start_ns) + self.step_ns);
    }

    fn settle(&mut self, elapsed: u64) {
        self.target_s.get_or_insert_with(|| {
            let longest = elapsed.max(self.wished_ns).min(LONGEST_NS);
            (((longest + 500_000_000) / 1_000_000_000) as u32).max(1)
        });
    }

    /// The target duration, once the first segment is finished.
    pub(super) fn target_s(&self) -> Option<u32> {
        self.target_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Segment lengths in milliseconds when frames come every 40 ms and keys where `key` says.
    fn cuts(segment_ms: u32, frames: u64, key: impl Fn(u64) -> bool) -> (Vec<u64>, u32, usize) {
        let mut cutter = Cutter::new(segment_ms, None, 0);
        let (mut lengths, mut forced, mut from) = (Vec::new(), 0, 0);
        for frame in 0..frames {
            let at = frame * 40 * MS;
            match cutter.picture(at, at, key(frame)) {
                Cut::No => continue,
                Cut::Clean => {}
                Cut::Forced => forced += 1,
            }
            lengths.push((at - from) / MS);
            from = at;
        }
        (lengths, cutter.target_s().unwrap_or(0), forced)
    }

    #[test]
    fn segments_end_at_the_key_frame_nearest_to_the_wished_length() {
        // Key frames every so many frames of 40 ms, expected length, expected target duration.
        let rows = [
            (25, 2000, 2),
            (50, 2000, 2),
            (100, 4000, 4),
            (30, 2400, 2),
            (37, 1480, 2),
            (1, 1960, 2),
            (250, 10_000, 10),
        ];
        for (distance, length, target) in rows {
            let (lengths, got, forced) = cuts(2000, 2000, |frame| frame % distance == 0);
            assert!(lengths.iter().all(|got| got.abs_diff(length) <= 40), "{distance}: {lengths:?}");
            assert_eq!((got, forced), (target, 0), "{distance}");
        }
    }

    #[test]
    fn key_frames_too_far_apart_are_not_waited_for() {
        // 12 s apart from the beginning on: 10 s is the limit.
        let (lengths, target, forced) = cuts(2000, 1000, |frame| frame % 300 == 0);
        assert_eq!((lengths[0], target), (10_000, 10));
        assert!(forced > 0);
        // At first every 2 s, then every 8: the target duration stays.
        let (lengths, target, forced) =
            cuts(2000, 2000, |frame| if frame < 500 { frame % 50 == 0 } else { frame % 200 == 0 });
        assert_eq!(target, 2);
        assert!(forced > 0 && lengths.iter().all(|length| *length <= 2450), "{lengths:?}");
        // None at all.
        let (lengths, target, _) = cuts(2000, 2000, |frame| frame == 0);
        assert!(target == 10 && lengths.iter().all(|length| *length <= 10_450), "{lengths:?}");
    }

    #[test]
    fn a_segment_that_is_never_cut_settles_the_target_duration() {
        for (frames, target) in [(1, 2), (20, 2), (100, 4), (163, 7), (250, 10)] {
            let mut cutter = Cutter::new(2000, None, 0);
            assert!((0..frames).all(|n| cutter.picture(n * 40 * MS, n * 40 * MS, n == 0) == Cut::No));
            cutter.end();
            assert_eq!(cutter.target_s(), Some(target), "{frames}");
        }
        let mut cutter = Cutter::new(2000, Some(3), 0);
        cutter.picture(9000 * MS, 9000 * MS, true);
        cutter.end();
        assert_eq!(cutter.target_s(), Some(3), "what is settled stays");
    }

    #[test]
    fn a_scene_cut_does_not_make_a_tiny_segment() {
        let (lengths, _, _) = cuts(2000, 1000, |frame| frame % 50 == 0 || frame % 50 == 7);
        assert!(lengths.iter().all(|length| *length >= 1000), "{lengths:?}");
    }

    #[test]
    fn sound_alone_is_cut_without_drift() {
        let mut cutter = Cutter::new(2000, None, 0);
        let packet = 1024 * 1_000_000_000_u64 / 44_100;
        let mut starts = Vec::new();
        for n in 0..160_000_u64 {
            if cutter.sound(n * packet) == Cut::Clean {
                starts.push(n * packet);
            }
        }
        for (k, start) in (1..).zip(&starts) {
            assert!(start - k * 2000 * MS < packet, "segment {k} begins at {start}");
        }
        assert_eq!(cutter.target_s(), Some(2));
        assert!(starts.len() > 1800);
    }

    #[test]
    fn no_segment_is_shown_for_longer_than_the_target_duration_allows() {
        // Key frames 1.2 s apart; from 1.3 s on pictures are shown 0.35 s after they are decoded.
        let mut cutter = Cutter::new(2000, Some(2), 0);
        let cuts: Vec<u64> = (0..60_u64)
            .filter_map(|n| {
                let at = n * 100 * MS;
                let shown = at + if n >= 13 { 350 * MS } else { 0 };
                (cutter.picture(at, shown, n % 12 == 0) != Cut::No).then_some(shown / MS)
            })
            .collect();
        let lengths: Vec<u64> =
            std::iter::once(0).chain(cuts.iter().copied()).zip(&cuts).map(|(from, to)| to - from).collect();
        assert!(lengths.len() > 1 && lengths.iter().all(|length| *length <= 2450), "{lengths:?}");
    }
}
