//! Figures from records whose figures are known.

use weir_abr::{
    RungId, TrackKind,
    qoe::{Figures, P1203, Session},
    record::{Entry, Event},
};

fn entry(t_ms: f64, event: Event) -> Entry {
    Entry { t_ms, event }
}

fn segment(t_ms: f64, index: u64, rung: usize, bytes: u64) -> Entry {
    entry(
        t_ms,
        Event::Segment {
            track: TrackKind::Video,
            index,
            rung: RungId(rung),
            kbps: [1000.0, 4000.0][rung],
            bytes,
            ms: 500.0,
            ttfb_ms: 100.0,
            start_s: index as f64 * 4.0,
            duration_s: 4.0,
            replaced: false,
            buffer_s: 4.0,
            sized: false,
            progress: Vec::new(),
        },
    )
}

fn positions(record: &mut Vec<Entry>, t_ms: f64, from_s: f64, to_s: f64) {
    let steps = ((to_s - from_s) * 10.0).round() as u32;
    for step in 0..=steps {
        let pos_s = from_s + f64::from(step) / 10.0;
        record.push(entry(
            t_ms + f64::from(step) * 100.0,
            Event::Position { pos_s, buffer_s: 4.0, height: 360 },
        ));
    }
}

/// Two segments low, one stall of 2 s, two segments high; the third was fetched low first and replaced.
fn record() -> Vec<Entry> {
    let mut record = vec![
        entry(
            0.0,
            Event::Ladder {
                track: TrackKind::Video,
                kbps: vec![1000.0, 4000.0],
                heights: vec![Some(360), Some(720)],
            },
        ),
        segment(500.0, 0, 0, 500_000),
        entry(600.0, Event::FirstFrame { height: 360 }),
        segment(1000.0, 1, 0, 500_000),
        segment(1500.0, 2, 0, 500_000),
        segment(2500.0, 2, 1, 2_000_000),
        entry(
            2600.0,
            Event::Abort {
                track: TrackKind::Video,
                index: 3,
                rung: RungId(1),
                bytes: 100_000,
                reason: "late".to_owned(),
                ms: Some(90.0),
                ttfb_ms: Some(20.0),
                progress: Vec::new(),
            },
        ),
    ];
    positions(&mut record, 600.0, 0.0, 6.0);
    record.push(entry(6600.0, Event::StallStart { pos_s: 6.0 }));
    record.push(entry(8600.0, Event::StallEnd { pos_s: 6.0, ms: 2000.0 }));
    record.push(segment(8600.0, 3, 1, 2_000_000));
    positions(&mut record, 8600.0, 6.0, 16.0);
    record.push(entry(18_600.0, Event::Ended { pos_s: 16.0 }));
    record
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6
}

#[test]
fn figures_of_a_known_session() {
    let session = Session::from_record(&record());
    let figures = Figures::of(&session);
    assert!(near(figures.startup_ms.unwrap(), 600.0));
    assert!(near(figures.played_s, 16.0), "{}", figures.played_s);
    assert!(near(figures.rebuffer_ms, 2000.0) && figures.rebuffer_count == 1);
    assert!(near(figures.rebuffer_ratio, 2.0 / 18.0));
    assert!(near(figures.played_kbps, 2500.0), "{}", figures.played_kbps);
    assert_eq!((figures.segments, figures.switches), (4, 1));
    assert!(near(figures.utility_share, 0.5) && near(figures.lowest_share, 0.5));
    assert!(near(figures.qoe_s, 0.5 - 10.0 * 2.0 / 18.0 - 0.25), "{}", figures.qoe_s);
    // 1 + 1 + 4 + 4 Mbit/s, one change by 3, 2 s of stall at 4.
    assert!(near(figures.qoe_lin, (10.0 - 3.0 - 8.0) / 4.0), "{}", figures.qoe_lin);
    let ln4 = 4.0_f64.ln();
    assert!(near(figures.qoe_log, (2.0 * ln4 - ln4 - 2.0 * ln4) / 4.0));
    assert!(near(figures.sabre_score, (8.0 * ln4 - 10.0) / 18.0));
    assert_eq!((figures.bytes, figures.wasted_bytes), (5_600_000, 600_000));
    assert!(session.ended && !session.failed);
}

#[test]
fn a_session_without_a_picture_is_a_failed_join() {
    let figures = Figures::of(&Session::from_record(&[]));
    assert!(figures.join_failed && figures.startup_ms.is_none());
    assert!(figures.qoe_s.is_finite() && figures.qoe_lin.is_finite());
}

#[test]
fn a_stall_that_never_ends_counts_to_the_last_entry() {
    let mut record = record();
    record.push(entry(20_000.0, Event::StallStart { pos_s: 16.0 }));
    record.push(entry(25_000.0, Event::Position { pos_s: 16.0, buffer_s: 0.0, height: 720 }));
    assert!(near(Figures::of(&Session::from_record(&record)).rebuffer_ms, 7000.0));
}

#[test]
fn waiting_after_a_seek_is_no_stall_and_skipped_media_is_not_played() {
    let mut record = record();
    record.truncate(record.len() - 1);
    record.push(entry(19_000.0, Event::Seek { from_s: 16.0, to_s: 2.0, ms: 300.0, in_buffer: true }));
    positions(&mut record, 19_000.0, 2.0, 4.0);
    let figures = Figures::of(&Session::from_record(&record));
    assert!(near(figures.played_s, 18.0), "{}", figures.played_s);
    assert_eq!(figures.rebuffer_count, 1);
}

#[test]
fn the_summary_is_the_figures() {
    let figures = Figures::of(&Session::from_record(&record()));
    let Event::Summary { rebuffer_count, switches, frames, dropped_frames, qoe_lin, .. } =
        figures.summary(3, 384)
    else {
        panic!("a summary");
    };
    assert_eq!((rebuffer_count, switches, frames, dropped_frames), (1, 1, 384, 3));
    assert!(near(qoe_lin.unwrap(), figures.qoe_lin));
}

#[test]
fn stalls_in_a_report_are_placed_by_media_time() {
    let report = P1203::of(&Session::from_record(&record()), 24.0, 128.0);
    assert_eq!(report.video.segments.len(), 4);
    assert_eq!(report.stalling.stalling.len(), 2);
    assert!(near(report.stalling.stalling[0][1], 0.6));
    assert!(near(report.stalling.stalling[1][0], 6.0) && near(report.stalling.stalling[1][1], 2.0));
    assert_eq!(report.video.segments[3].resolution.as_deref(), Some("1280x720"));
}

#[test]
fn what_is_shown_before_its_segment_is_complete_counts_when_it_is() {
    let mut record = vec![entry(400.0, Event::FirstFrame { height: 360 })];
    positions(&mut record, 400.0, 0.0, 1.5);
    record.push(segment(2000.0, 0, 1, 2_000_000));
    positions(&mut record, 2000.0, 1.6, 6.0);
    let half = Session::from_record(&record);
    assert!((half.played_s() - 4.0).abs() < 0.01, "{}", half.played_s());
    record.push(segment(6500.0, 1, 0, 500_000));
    positions(&mut record, 6500.0, 6.1, 8.0);
    let all = Session::from_record(&record);
    assert!((all.played_s() - 8.0).abs() < 0.01, "{}", all.played_s());
    let rungs: Vec<_> = all.played.iter().map(|played| (played.index, played.rung.0)).collect();
    assert_eq!(rungs, [(0, 1), (1, 0)]);
}
