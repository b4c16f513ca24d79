use super::*;

const FRAME: i64 = SECOND / 10;

/// Ten frames a second, a key frame each `gop`, payload = rung.
fn segment_at(index: u64, rung: usize, start: i64, end: i64, gop: usize) -> Segment<usize> {
    let count = (end - start) / FRAME;
    let samples = (0..count)
        .map(|at| Sample {
            pts: start + at * FRAME,
            dts: start + at * FRAME,
            duration: FRAME,
            key: (at as usize).is_multiple_of(gop),
            bytes: 100,
            payload: rung,
        })
        .collect();
    Segment { tag: Tag { segment: index, rung }, start, end, samples }
}

/// Two seconds each, a key frame a second.
fn segment(index: u64, rung: usize) -> Segment<usize> {
    let start = index as i64 * 2 * SECOND;
    segment_at(index, rung, start, start + 2 * SECOND, 10)
}

fn filled(indices: std::ops::Range<u64>, rung: usize) -> TrackBuffer<usize> {
    let mut buffer = TrackBuffer::new();
    for index in indices {
        buffer.insert(segment(index, rung));
    }
    buffer
}

fn read(buffer: &mut TrackBuffer<usize>, count: usize) -> Vec<Sample<usize>> {
    let mut samples = Vec::new();
    while samples.len() < count {
        match buffer.next() {
            Next::Sample(sample, _) => samples.push(sample),
            _ => break,
        }
    }
    samples
}

fn times(samples: &[Sample<usize>]) -> Vec<i64> {
    samples.iter().map(|sample| sample.pts / FRAME).collect()
}

#[test]
fn waits_for_nothing_before_the_first_segment_of_the_stream() {
    let mut buffer = TrackBuffer::new();
    buffer.insert(segment_at(1, 0, 2 * FRAME, 20 * FRAME, 1));
    assert!(!buffer.holds(0), "segment 0 may still come");
    assert_eq!(buffer.next(), Next::Wait);
    buffer.set_first(Some(1));
    assert!(buffer.holds(0));
    assert_eq!(buffer.start_from(0), Some(2 * FRAME));
    assert_eq!(times(&read(&mut buffer, 2)), [2, 3]);
}

#[test]
fn reads_segments_in_order_and_waits_for_the_missing_one() {
    let mut buffer = filled(0..2, 0);
    buffer.insert(segment(3, 0));
    let samples = read(&mut buffer, 1000);
    assert_eq!(times(&samples), (0..40).collect::<Vec<_>>());
    assert_eq!(buffer.next(), Next::Wait);
    buffer.insert(segment(2, 0));
    assert_eq!(times(&read(&mut buffer, 1000)), (40..80).collect::<Vec<_>>());
}

#[test]
fn ends_behind_the_last_segment_only() {
    let mut buffer = filled(0..2, 0);
    read(&mut buffer, 1000);
    assert_eq!(buffer.next(), Next::Wait);
    buffer.set_last(Some(1));
    assert_eq!(buffer.next(), Next::End);
    buffer.set_last(None);
    assert_eq!(buffer.next(), Next::Wait);
}

#[test]
fn seeks_to_the_key_frame_at_or_before() {
    let mut buffer = filled(0..3, 0);
    for (to, first) in [(0, 0), (5, 0), (10, 10), (19, 10), (20, 20), (35, 30)] {
        buffer.seek(to * FRAME);
        assert_eq!(times(&read(&mut buffer, 1)), [first], "seek to {to}");
        assert_eq!(buffer.key_before(to * FRAME), Some(first * FRAME));
    }
}

#[test]
fn waits_after_a_seek_to_a_place_that_is_not_buffered() {
    let mut buffer = filled(0..1, 0);
    buffer.seek(9 * SECOND);
    assert_eq!(buffer.next(), Next::Wait);
    assert!(!buffer.holds(9 * SECOND));
    buffer.insert(segment(5, 0));
    assert_eq!(buffer.next(), Next::Wait);
    buffer.insert(segment(4, 0));
    assert_eq!(times(&read(&mut buffer, 1)), [90]);
    assert!(buffer.holds(9 * SECOND));
}

#[test]
fn starts_late_when_the_first_samples_are_late() {
    let mut buffer = TrackBuffer::new();
    let mut late = segment(0, 0);
    late.samples.drain(..10);
    buffer.insert(late);
    assert_eq!(buffer.start_from(0), Some(SECOND));
    buffer.seek(0);
    assert_eq!(times(&read(&mut buffer, 1)), [10]);
}

#[test]
fn replaces_a_segment_that_was_not_read() {
    let mut buffer = filled(0..3, 0);
    read(&mut buffer, 5);
    assert_eq!(buffer.insert(segment(1, 2)), Inserted::Whole);
    let rungs: Vec<_> = read(&mut buffer, 1000).iter().map(|sample| sample.payload).collect();
    assert_eq!(rungs, [vec![0; 15], vec![2; 20], vec![0; 20]].concat());
    assert_eq!(buffer.rung_of(1), Some(2));
}

#[test]
fn replaces_from_the_next_key_frame_what_is_being_read() {
    let mut buffer = filled(0..2, 0);
    read(&mut buffer, 4);
    assert_eq!(buffer.insert(segment(0, 1)), Inserted::From(SECOND));
    let rest = read(&mut buffer, 1000);
    assert_eq!(times(&rest), (4..40).collect::<Vec<_>>());
    let rungs: Vec<_> = rest.iter().map(|sample| sample.payload).collect();
    assert_eq!(rungs, [vec![0; 6], vec![1; 10], vec![0; 20]].concat());
}

#[test]
fn keeps_the_old_segment_when_its_replacement_comes_too_late() {
    let mut buffer = filled(0..2, 0);
    read(&mut buffer, 12);
    assert_eq!(buffer.insert(segment(0, 1)), Inserted::TooLate);
    assert_eq!(buffer.rung_of(0), Some(0));
    assert_eq!(times(&read(&mut buffer, 1000)), (12..40).collect::<Vec<_>>());
}

#[test]
fn plays_over_a_small_gap_and_reports_a_large_one() {
    for (gap, hole) in [(FRAME * 3, None), (FRAME * 12, Some(()))] {
        let mut buffer = filled(0..1, 0);
        buffer.insert(segment_at(1, 0, 2 * SECOND + gap, 4 * SECOND + gap, 10));
        assert_eq!(read(&mut buffer, 20).len(), 20);
        let next = buffer.next();
        if hole.is_some() {
            assert_eq!(next, Next::Hole(Hole { from: 2 * SECOND, to: 2 * SECOND + gap }));
            assert_eq!(read(&mut buffer, 1000).len(), 20);
        } else {
            assert!(matches!(next, Next::Sample(..)), "{next:?}");
        }
    }
}

#[test]
fn a_skipped_segment_is_a_hole_and_a_missing_one_is_not() {
    let mut buffer = filled(0..1, 0);
    buffer.insert(segment(2, 0));
    read(&mut buffer, 20);
    assert_eq!(buffer.next(), Next::Wait);
    buffer.skip(1, 2 * SECOND, 4 * SECOND);
    assert_eq!(buffer.next(), Next::Hole(Hole { from: 2 * SECOND, to: 4 * SECOND }));
    assert_eq!(times(&read(&mut buffer, 1)), [40]);
}

#[test]
fn a_seek_into_a_hole_lands_behind_it() {
    let mut buffer = filled(0..1, 0);
    buffer.skip(1, 2 * SECOND, 4 * SECOND);
    assert_eq!(buffer.start_from(3 * SECOND), None, "what follows is not here yet");
    buffer.insert(segment(2, 0));
    assert_eq!(buffer.start_from(3 * SECOND), Some(4 * SECOND));
    assert_eq!(buffer.start_from(SECOND + 1), Some(SECOND + 1));
}

#[test]
fn a_skipped_last_segment_ends_the_stream() {
    let mut buffer = filled(0..1, 0);
    buffer.skip(1, 2 * SECOND, 4 * SECOND);
    buffer.set_last(Some(1));
    read(&mut buffer, 20);
    assert_eq!(buffer.next(), Next::End);
    assert_eq!(buffer.start_from(3 * SECOND), Some(SECOND * 19 / 10), "a seek there shows the last frame");
}

#[test]
fn skipping_does_not_throw_away_what_is_buffered() {
    let mut buffer = filled(0..2, 0);
    buffer.skip(1, 2 * SECOND, 4 * SECOND);
    assert_eq!(buffer.rung_of(1), Some(0));
}

#[test]
fn the_tail_of_the_earlier_segment_yields_to_an_overlap() {
    let mut buffer = TrackBuffer::new();
    buffer.insert(segment_at(0, 0, 0, 2 * SECOND + 3 * FRAME, 10));
    buffer.insert(segment(1, 1));
    assert_eq!(times(&read(&mut buffer, 1000)), (0..40).collect::<Vec<_>>());

    let mut buffer = TrackBuffer::new();
    buffer.insert(segment(1, 1));
    buffer.insert(segment_at(0, 0, 0, 2 * SECOND + 3 * FRAME, 10));
    assert_eq!(times(&read(&mut buffer, 1000)), (0..40).collect::<Vec<_>>());
}

#[test]
fn another_rung_is_entered_at_its_key_frame() {
    let mut buffer = filled(0..1, 0);
    let mut other = segment(1, 1);
    other.samples[0].key = false;
    other.samples[1].key = true;
    buffer.insert(other);
    assert_eq!(times(&read(&mut buffer, 1000))[19..22], [19, 21, 22]);
}

#[test]
fn spans_join_neighbours_of_one_rung() {
    let mut buffer = filled(0..2, 0);
    buffer.insert(segment(2, 1));
    buffer.insert(segment(4, 1));
    assert_eq!(
        buffer.spans(),
        [
            Span { start: 0, end: 4 * SECOND, rung: 0 },
            Span { start: 4 * SECOND, end: 6 * SECOND, rung: 1 },
            Span { start: 8 * SECOND, end: 10 * SECOND, rung: 1 },
        ]
    );
    assert_eq!(buffer.ahead(SECOND), 5 * SECOND);
    assert_eq!(buffer.ahead(7 * SECOND), 0);
    assert_eq!(buffer.bytes(), 80 * 100);
    assert_eq!(buffer.time(), 8 * SECOND);
}

#[test]
fn a_hole_does_not_count_as_media_ahead() {
    let mut buffer = filled(0..1, 0);
    buffer.skip(1, 2 * SECOND, 4 * SECOND);
    buffer.insert(segment(2, 0));
    assert_eq!(buffer.ahead(0), 4 * SECOND);
}

#[test]
fn eviction_spares_what_was_not_read() {
    let mut buffer = filled(0..5, 0);
    read(&mut buffer, 50);
    assert_eq!(buffer.remove_before(9 * SECOND), Some(4 * SECOND), "the cursor is in segment 2");
    assert_eq!(buffer.rung_of(1), None);
    assert_eq!(times(&read(&mut buffer, 1)), [50]);
    assert_eq!(buffer.remove_before(0), None);
}

#[test]
fn removing_what_follows_spares_the_segment_being_read() {
    let mut buffer = filled(0..5, 0);
    read(&mut buffer, 25);
    buffer.remove_after(0);
    assert_eq!(buffer.rung_of(1), Some(0));
    assert_eq!(times(&read(&mut buffer, 1000)), (25..40).collect::<Vec<_>>());
    buffer.insert(segment(2, 1));
    assert_eq!(times(&read(&mut buffer, 1000)), (40..60).collect::<Vec<_>>());
    assert!(!buffer.remove(2), "the cursor is in it");
}

#[test]
fn frames_before_zero_are_kept() {
    let mut buffer = TrackBuffer::new();
    buffer.insert(segment_at(0, 0, -FRAME, 2 * SECOND, 1));
    buffer.seek(0);
    assert_eq!(times(&read(&mut buffer, 1)), [0]);
    assert_eq!(buffer.start_from(0), Some(0));
    buffer.seek(-FRAME);
    assert_eq!(times(&read(&mut buffer, 2)), [-1, 0]);
}

#[test]
fn reordered_frames_stay_in_decode_order() {
    let mut buffer = TrackBuffer::new();
    let mut reordered = segment(0, 0);
    reordered.samples.swap(1, 2);
    buffer.insert(reordered);
    buffer.insert(segment(1, 0));
    assert_eq!(times(&read(&mut buffer, 4)), [0, 2, 1, 3]);
    buffer.seek(FRAME);
    assert_eq!(times(&read(&mut buffer, 1)), [0]);
}

/// The samples of `segment` from `from` to `to`, as the next piece of it.
fn piece(segment: &Segment<usize>, range: std::ops::Range<usize>) -> Segment<usize> {
    Segment { samples: segment.samples[range].to_vec(), ..segment.clone() }
}

/// Time in frames, rung.
type Seen = Vec<(i64, usize)>;

/// What goes to the decoder, and what of it is shown.
fn decoded(buffer: &mut TrackBuffer<usize>) -> (Seen, Seen) {
    let (mut decoded, mut shown) = (Vec::new(), Vec::new());
    loop {
        match buffer.next() {
            Next::Sample(sample, tag) => {
                decoded.push((sample.pts / FRAME, tag.rung));
                shown.push((sample.pts / FRAME, tag.rung));
            }
            Next::Lead(sample, tag) => decoded.push((sample.pts / FRAME, tag.rung)),
            _ => return (decoded, shown),
        }
    }
}

#[test]
fn a_segment_is_read_while_it_grows() {
    let mut buffer = filled(0..1, 0);
    let next = segment(1, 0);
    read(&mut buffer, 1000);
    buffer.append(piece(&next, 0..5), 7);
    assert_eq!(times(&read(&mut buffer, 1000)), (20..25).collect::<Vec<_>>());
    assert_eq!(buffer.next(), Next::Wait);
    assert_eq!(buffer.ahead(0), 25 * FRAME);
    assert!(buffer.holds(24 * FRAME) && !buffer.holds(25 * FRAME));
    buffer.append(piece(&next, 5..20), 7);
    buffer.set_last(Some(1));
    assert_eq!(times(&read(&mut buffer, 1000)), (25..40).collect::<Vec<_>>());
    assert_eq!(buffer.next(), Next::Wait, "it is not complete");
    assert_eq!(buffer.finish(1, 7), Inserted::Whole);
    assert_eq!(buffer.next(), Next::End);
}

#[test]
fn what_is_behind_a_part_is_not_entered_before_the_rest_came() {
    let mut buffer = filled(0..1, 0);
    buffer.insert(segment(2, 0));
    buffer.append(piece(&segment(1, 0), 0..5), 7);
    read(&mut buffer, 25);
    assert_eq!(buffer.next(), Next::Wait);
    assert_eq!(buffer.ahead(0), 25 * FRAME);
    buffer.seek(30 * FRAME);
    assert_eq!(buffer.next(), Next::Wait);
    assert_eq!(buffer.start_from(30 * FRAME), None);
    buffer.append(piece(&segment(1, 0), 5..20), 7);
    buffer.finish(1, 7);
    assert_eq!(times(&read(&mut buffer, 1000)), (30..60).collect::<Vec<_>>());
}

#[test]
fn a_part_that_was_not_read_is_replaced_from_its_start_once_the_other_reaches_further() {
    let mut buffer = filled(0..1, 0);
    buffer.append(piece(&segment(1, 1), 0..8), 7);
    // Given up; another download brings it at another rung.
    buffer.append(piece(&segment(1, 0), 0..8), 8);
    assert_eq!(buffer.rung_of(1), Some(1), "what is there plays on");
    buffer.append(piece(&segment(1, 0), 8..12), 8);
    assert_eq!(buffer.rung_of(1), Some(0));
    buffer.append(piece(&segment(1, 0), 12..20), 8);
    buffer.finish(1, 8);
    let (decoded, shown) = decoded(&mut buffer);
    assert_eq!(decoded, shown);
    assert_eq!(shown, (0..40).map(|at| (at, 0)).collect::<Vec<_>>());
}

/// One key frame at the start: 20 frames.
fn one_gop(index: u64, rung: usize) -> Segment<usize> {
    let start = index as i64 * 2 * SECOND;
    segment_at(index, rung, start, start + 2 * SECOND, 100)
}

#[test]
fn a_part_that_is_being_read_is_completed_by_another_rung_without_a_hole_or_a_frame_twice() {
    for read_before in [1, 5, 8] {
        let mut buffer = TrackBuffer::new();
        buffer.append(piece(&one_gop(0, 1), 0..8), 7);
        let mut shown: Vec<_> =
            times(&read(&mut buffer, read_before)).into_iter().map(|at| (at, 1)).collect();
        for (from, to) in [(0, 4), (4, 8), (8, 11), (11, 20)] {
            buffer.append(piece(&one_gop(0, 0), from..to), 8);
        }
        assert_eq!(buffer.finish(0, 8), Inserted::Whole);
        let (decoded, more) = decoded(&mut buffer);
        shown.extend(more);
        let all: Vec<_> = (0..20).map(|at| (at, usize::from(at < 8))).collect();
        assert_eq!(shown, all, "{read_before} were read");
        // The decoder gets the other rung from its key frame on.
        let lead: Vec<_> = decoded.iter().filter(|(_, rung)| *rung == 0).map(|(at, _)| *at).collect();
        assert_eq!(lead, (0..20).collect::<Vec<_>>());
        assert_eq!(
            buffer.spans(),
            [Span { start: 0, end: 8 * FRAME, rung: 1 }, Span { start: 8 * FRAME, end: 20 * FRAME, rung: 0 }]
        );
    }
}

#[test]
fn sound_goes_on_at_the_very_sample() {
    let mut buffer = TrackBuffer::new();
    let all = |rung| segment_at(0, rung, 0, 2 * SECOND, 1);
    buffer.append(piece(&all(1), 0..8), 7);
    read(&mut buffer, 6);
    buffer.append(piece(&all(0), 0..20), 8);
    buffer.finish(0, 8);
    let (decoded, shown) = decoded(&mut buffer);
    assert_eq!(decoded, shown);
    assert_eq!(shown.iter().map(|(at, _)| *at).collect::<Vec<_>>(), (6..20).collect::<Vec<_>>());
}

#[test]
fn a_part_that_nothing_completes_ends_there_when_its_segment_is_skipped() {
    let mut buffer = filled(0..1, 0);
    buffer.append(piece(&segment(1, 0), 0..5), 7);
    buffer.insert(segment(2, 0));
    buffer.skip(1, 2 * SECOND, 4 * SECOND);
    assert_eq!(times(&read(&mut buffer, 25)).last(), Some(&24));
    assert_eq!(buffer.next(), Next::Hole(Hole { from: 25 * FRAME, to: 40 * FRAME }));
    assert_eq!(times(&read(&mut buffer, 1)), [40]);
}

#[test]
fn a_whole_segment_takes_the_place_of_a_part_that_is_being_read() {
    let mut buffer = TrackBuffer::new();
    buffer.append(piece(&one_gop(0, 1), 0..8), 7);
    read(&mut buffer, 3);
    buffer.insert(one_gop(0, 0));
    let (_, shown) = decoded(&mut buffer);
    assert_eq!(shown.iter().map(|(at, _)| *at).collect::<Vec<_>>(), (3..20).collect::<Vec<_>>());
}

#[test]
fn parts_of_a_rung_that_cannot_be_decoded_are_dropped() {
    let mut buffer = TrackBuffer::new();
    buffer.append(piece(&one_gop(0, 1), 0..8), 7);
    read(&mut buffer, 3);
    buffer.remove_parts(1);
    assert_eq!(buffer.next(), Next::Wait);
    buffer.append(piece(&one_gop(0, 0), 0..20), 8);
    assert_eq!(times(&read(&mut buffer, 1)), [0]);
}
