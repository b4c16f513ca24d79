//! Discontinuities at the same places in every rendition (RFC 8216bis, section 4.4.4.3).
//!
//! A rung whose encoder came late, or came back, has breaks of its own and lacks earlier ones. Segments of the same number
//! belong together, so the breaks of one rendition, the one that has been there longest, count for all.

use std::sync::Arc;

use crate::store::{OpenSegment, SegmentEntry, Window};

/// The window whose breaks count: the one that lists most, of those with the fewest breaks.
pub fn leading(windows: &[Arc<Window>]) -> Option<Arc<Window>> {
    let filled = windows.iter().filter(|window| !window.segments.is_empty());
    filled.min_by_key(|window| (window.first_number(), breaks(window))).cloned()
}

/// Breaks since the stream's beginning, as far as a window knows.
fn breaks(window: &Window) -> u64 {
    window.discontinuity_sequence + window.segments.iter().filter(|s| s.discontinuity).count() as u64
}

/// `window` with the breaks of `leading`.
pub fn align(window: Arc<Window>, leading: &Window) -> Arc<Window> {
    if Arc::as_ptr(&window) == std::ptr::from_ref(leading) {
        return window;
    }
    let flag = |number: u32, own: bool| {
        let open = leading.open.filter(|open| open.number == number).map(|open| open.discontinuity);
        leading.segment(number).map(|s| s.discontinuity).or(open).unwrap_or(own)
    };
    let (first, leads_from) = (window.first_number(), leading.first_number());
    let before = if first >= leads_from {
        let passed =
            leading.segments.iter().take_while(|s| s.number < first).filter(|s| s.discontinuity).count();
        leading.discontinuity_sequence + passed as u64
    } else {
        let own =
            window.segments.iter().take_while(|s| s.number < leads_from).filter(|s| s.discontinuity).count();
        leading.discontinuity_sequence.saturating_sub(own as u64)
    };
    let same = before == window.discontinuity_sequence
        && window.segments.iter().all(|s| flag(s.number, s.discontinuity) == s.discontinuity)
        && window.open.is_none_or(|open| flag(open.number, open.discontinuity) == open.discontinuity);
    if same {
        return window;
    }
    let segments = window
        .segments
        .iter()
        .map(|s| SegmentEntry { discontinuity: flag(s.number, s.discontinuity), ..*s })
        .collect();
    let open =
        window.open.map(|open| OpenSegment { discontinuity: flag(open.number, open.discontinuity), ..open });
    Arc::new(Window { segments, open, discontinuity_sequence: before, parts: Arc::clone(&window.parts) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(numbers: std::ops::RangeInclusive<u32>, breaks: &[u32], before: u64) -> Arc<Window> {
        let entry = |number: u32| SegmentEntry {
            discontinuity: breaks.contains(&number),
            ..SegmentEntry::plain(number, u64::from(number) * 10, 10, 1)
        };
        Arc::new(Window {
            segments: numbers.map(entry).collect(),
            discontinuity_sequence: before,
            ..Window::default()
        })
    }

    fn flags(window: &Window) -> Vec<u32> {
        window.segments.iter().filter(|s| s.discontinuity).map(|s| s.number).collect()
    }

    #[test]
    fn a_rung_that_came_late_counts_the_breaks_before_it() {
        let source = window(5..=20, &[7, 15], 2);
        let late = window(10..=20, &[10, 15], 0);
        assert_eq!(leading(&[late.clone(), source.clone()]), Some(source.clone()));
        let aligned = align(late, &source);
        assert_eq!((aligned.discontinuity_sequence, flags(&aligned)), (3, vec![15]), "joining is no break");
        assert_eq!(align(source.clone(), &source), source);
    }

    #[test]
    fn a_rung_that_came_back_has_no_break_of_its_own() {
        let source = window(1..=9, &[], 0);
        let rung = window(1..=9, &[6], 0);
        assert_eq!(leading(&[rung.clone(), source.clone()]), Some(source.clone()));
        assert!(flags(&align(rung, &source)).is_empty());
    }

    #[test]
    fn a_rendition_that_slid_less_still_counts_the_same() {
        let source = window(8..=12, &[10], 3);
        let sound = window(5..=12, &[6, 10], 2);
        let aligned = align(sound, &source);
        assert_eq!((aligned.discontinuity_sequence, flags(&aligned)), (2, vec![6, 10]));
    }

    #[test]
    fn what_the_leading_one_does_not_have_yet_keeps_its_own() {
        let source = window(1..=4, &[], 0);
        let ahead = window(1..=5, &[5], 0);
        assert_eq!(flags(&align(ahead, &source)), [5]);
        assert_eq!(leading(&[]), None);
    }
}
