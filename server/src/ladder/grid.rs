//! Puts decoded pictures and samples onto the stream's grid: constant frame rate, no holes, no overlaps.

use super::Timeline;
use super::timeline::SAMPLE_RATE;

/// Turns pictures at any times into one picture per frame of the timeline.
///
/// Frame `n` shows the latest picture that is due before the middle of its display time, so jitter below
/// half a frame changes nothing, sparse pictures are repeated and superfluous ones dropped.
#[derive(Debug)]
pub(crate) struct FrameGrid<P> {
    timeline: Timeline,
    next: u64,
    held: Option<P>,
    end_ns: i64,
}

impl<P> FrameGrid<P> {
    pub(crate) fn new(timeline: Timeline, first_frame: u64) -> Self {
        Self { timeline, next: first_frame, held: None, end_ns: 0 }
    }

    /// Takes the next picture, due at `start_ns` of the stream, and emits the frames that it ends. `emit`
    /// returns `false` to stop, and so does this.
    pub(crate) fn push(
        &mut self,
        start_ns: i64,
        duration_ns: Option<u64>,
        picture: P,
        emit: &mut dyn FnMut(u64, &P) -> bool,
    ) -> bool {
        let frame = self.timeline.frame_ns(1) as i64;
        self.end_ns = start_ns + duration_ns.map_or(frame, |d| d as i64);
        // The first picture also stands for what lies before it.
        let shown = self.held.as_ref().unwrap_or(&picture);
        while self.middle(self.next) < start_ns {
            if !emit(self.next, shown) {
                return false;
            }
            self.next += 1;
        }
        self.held = Some(picture);
        true
    }

    /// End of the last picture taken.
    pub(crate) fn end_ns(&self) -> u64 {
        self.end_ns.max(0) as u64
    }

    /// Repeats the last picture up to frame `frames` (not included).
    pub(crate) fn finish(&mut self, frames: u64, emit: &mut dyn FnMut(u64, &P) -> bool) -> bool {
        let Some(shown) = &self.held else { return true };
        while self.next < frames {
            if !emit(self.next, shown) {
                return false;
            }
            self.next += 1;
        }
        true
    }

    fn middle(&self, n: u64) -> i64 {
        ((self.timeline.frame_ns(n) + self.timeline.frame_ns(n + 1)) / 2) as i64
    }
}

/// Deviation that is taken as jitter of time stamps: 40 ms, below what is noticed as lip-sync error.
const TOLERANCE: i64 = SAMPLE_RATE as i64 / 25;

/// Turns blocks of interleaved stereo samples at any times into one unbroken run.
#[derive(Debug)]
pub(crate) struct SampleGrid {
    next: i64,
    /// Real samples were taken.
    started: bool,
}

impl SampleGrid {
    /// `first` is the stream's sample that is wanted first; it may be negative.
    pub(crate) fn new(first: i64) -> Self {
        Self { next: first, started: false }
    }

    /// The stream's sample that comes next.
    pub(crate) fn next_sample(&self) -> i64 {
        self.next
    }

    /// Takes the next block, due at `start_ns` of the stream: what overlaps is cut off, what is missing
    /// becomes silence.
    pub(crate) fn push(
        &mut self,
        start_ns: i64,
        block: &[f32],
        emit: &mut dyn FnMut(&[f32]) -> bool,
    ) -> bool {
        let due = (i128::from(start_ns) * i128::from(SAMPLE_RATE) + 500_000_000).div_euclid(1_000_000_000);
        let due = due as i64;
        let mut offset = self.next - due;
        let frames = block.len() as i64 / 2;
        // A block that is due about now follows the one before; only a real hole or overlap is mended. At
        // the start everything before the wanted sample is cut exactly.
        if offset.abs() <= TOLERANCE && self.started {
            offset = 0;
        }
        if offset < 0 {
            if !self.silence(-offset, emit) {
                return false;
            }
            offset = 0;
        }
        if offset >= frames {
            return true;
        }
        self.next += frames - offset;
        self.started = true;
        emit(block.get(offset as usize * 2..).unwrap_or_default())
    }

    /// Silence up to sample `end` (not included).
    pub(crate) fn finish(&mut self, end: i64, emit: &mut dyn FnMut(&[f32]) -> bool) -> bool {
        let missing = end - self.next;
        missing <= 0 || self.silence(missing, emit)
    }

    fn silence(&mut self, frames: i64, emit: &mut dyn FnMut(&[f32]) -> bool) -> bool {
        const BLOCK: [f32; 4096] = [0.0; 4096];
        let mut left = frames;
        while left > 0 {
            let now = left.min(BLOCK.len() as i64 / 2);
            if !emit(BLOCK.get(..now as usize * 2).unwrap_or_default()) {
                return false;
            }
            self.next += now;
            left -= now;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(pictures: &[(i64, char)], first: u64, total: u64) -> String {
        let mut grid = FrameGrid::new(Timeline::new(4000, 2000, (25, 1)), first);
        let mut shown = String::new();
        let mut expected = first;
        let mut emit = |n: u64, picture: &char| {
            assert_eq!(n, expected);
            expected += 1;
            shown.push(*picture);
            true
        };
        for (ms, picture) in pictures {
            assert!(grid.push(ms * 1_000_000, None, *picture, &mut emit));
        }
        assert!(grid.finish(total, &mut emit));
        shown
    }

    #[test]
    fn a_steady_source_passes_through() {
        assert_eq!(frames(&[(0, 'a'), (40, 'b'), (80, 'c'), (120, 'd')], 0, 4), "abcd");
    }

    #[test]
    fn jitter_below_half_a_frame_changes_nothing() {
        assert_eq!(frames(&[(5, 'a'), (33, 'b'), (95, 'c'), (119, 'd')], 0, 4), "abcd");
    }

    #[test]
    fn holes_repeat_and_crowds_drop() {
        assert_eq!(frames(&[(0, 'a'), (120, 'b'), (160, 'c'), (170, 'd'), (200, 'e')], 0, 6), "aaabde");
    }

    #[test]
    fn the_first_picture_stands_for_what_lies_before_it_and_the_last_for_what_lies_after() {
        assert_eq!(frames(&[(80, 'a'), (120, 'b')], 0, 6), "aaabbb");
    }

    #[test]
    fn resuming_skips_what_was_shown() {
        assert_eq!(frames(&[(0, 'a'), (40, 'b'), (80, 'c'), (120, 'd'), (160, 'e')], 2, 5), "cde");
    }

    fn samples(first: i64, blocks: &[(i64, usize)], end: i64) -> Vec<f32> {
        let mut grid = SampleGrid::new(first);
        let mut out = Vec::new();
        let mut emit = |block: &[f32]| {
            out.extend(block.chunks(2).map(|frame| frame[0]));
            true
        };
        for (i, (at, length)) in blocks.iter().enumerate() {
            let block = vec![(i + 1) as f32; length * 2];
            assert!(grid.push(at * 1_000_000_000 / 48_000, &block, &mut emit));
        }
        assert!(grid.finish(end, &mut emit));
        assert_eq!(out.len() as i64, end - first);
        out
    }

    #[test]
    fn blocks_in_a_row_stay_in_a_row_despite_rounded_times() {
        let out = samples(0, &[(0, 1024), (1023, 1024), (2050, 1024)], 3072);
        assert_eq!((out[1023], out[1024], out[2047], out[2048]), (1.0, 2.0, 2.0, 3.0));
    }

    #[test]
    fn holes_become_silence_and_overlaps_are_cut() {
        let out = samples(-100, &[(4800, 4800), (19_200, 4800), (21_600, 4800)], 26_400);
        let at = |sample: i64| out[(sample + 100) as usize];
        assert_eq!((at(-100), at(4799), at(4800), at(9599), at(9600)), (0.0, 0.0, 1.0, 1.0, 0.0));
        assert_eq!((at(19_200), at(23_999), at(24_000), at(26_399)), (2.0, 2.0, 3.0, 3.0));
    }

    #[test]
    fn resuming_cuts_to_the_sample() {
        let out = samples(1500, &[(0, 1024), (1024, 1024), (2048, 1024)], 3072);
        assert_eq!((out[0], out[547], out[548]), (2.0, 2.0, 3.0));
    }
}
