use std::sync::Arc;

use super::*;

/// Segments of 2 s and parts of 500 ms from `first` on: `complete` whole ones, then `open` parts of the next.
fn window(first: u32, complete: u32, open: u32) -> Window {
    let start = |number: u32| u64::from(number - 1) * 180_000;
    let wall = |number: u32| Some(1_772_323_200_000 + u64::from(number - 1) * 2000);
    let segments: Vec<_> = (first..first + complete)
        .map(|number| SegmentEntry {
            number,
            start: start(number),
            duration: 180_000,
            bytes: 400,
            init: 0,
            discontinuity: false,
            wall_ms: wall(number),
            independent: true,
        })
        .collect();
    let next = first + complete;
    let part = |segment: u32, index: u32| PartEntry {
        segment,
        index,
        start: start(segment) + u64::from(index) * 45_000,
        duration: 45_000,
        offset: u64::from(index) * 100,
        bytes: 100,
        independent: index == 0,
    };
    // The store keeps more than is listed: it is the playlist that drops them.
    let parts: Vec<_> = (first..next)
        .flat_map(|number| (0..4).map(move |index| part(number, index)))
        .chain((0..open).map(|index| part(next, index)))
        .collect();
    let open = OpenSegment {
        number: next,
        start: start(next),
        init: 0,
        discontinuity: false,
        wall_ms: wall(next),
        independent: true,
    };
    Window { segments: segments.into(), parts: parts.into(), discontinuity_sequence: 0, open: Some(open) }
}

fn input<'a>(window: &'a Window, reports: &'a [Report]) -> MediaInput<'a> {
    MediaInput {
        timescale: 90_000,
        window,
        generation: "k",
        timing: Timing { target: 2, part_ms: 500 },
        growth: Growth::Sliding,
        live: true,
        reports,
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn a_low_latency_playlist_is_this_text() {
    let window = window(7, 6, 2);
    let audio = Front { first: 7, last: 12, last_parts: 4, open_parts: 3 };
    let behind = Front { first: 7, last: 12, last_parts: 4, open_parts: 0 };
    let reports =
        [Report { name: "audio".into(), front: audio }, Report { name: "360p".into(), front: behind }];
    let expected = "\
#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,HOLD-BACK=6.0,PART-HOLD-BACK=1.5
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI=\"init-k.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T00:00:12.000Z
#EXTINF:2.0,
00007-k.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T00:00:14.000Z
#EXTINF:2.0,
00008-k.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T00:00:16.000Z
#EXTINF:2.0,
00009-k.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T00:00:18.000Z
#EXT-X-PART:DURATION=0.5,URI=\"00010.0-k.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.5,URI=\"00010.1-k.m4s\"
#EXT-X-PART:DURATION=0.5,URI=\"00010.2-k.m4s\"
#EXT-X-PART:DURATION=0.5,URI=\"00010.3-k.m4s\"
#EXTINF:2.0,
00010-k.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T00:00:20.000Z
#EXT-X-PART:DURATION=0.5,URI=\"00011.0-k.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.5,URI=\"00011.1-k.m4s\"
#EXT-X-PART:DURATION=0.5,URI=\"00011.2-k.m4s\"
#EXT-X-PART:DURATION=0.5,URI=\"00011.3-k.m4s\"
#EXTINF:2.0,
00011-k.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T00:00:22.000Z
#EXT-X-PART:DURATION=0.5,URI=\"00012.0-k.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.5,URI=\"00012.1-k.m4s\"
#EXT-X-PART:DURATION=0.5,URI=\"00012.2-k.m4s\"
#EXT-X-PART:DURATION=0.5,URI=\"00012.3-k.m4s\"
#EXTINF:2.0,
00012-k.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T00:00:24.000Z
#EXT-X-PART:DURATION=0.5,URI=\"00013.0-k.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.5,URI=\"00013.1-k.m4s\"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"00013.2-k.m4s\"
#EXT-X-RENDITION-REPORT:URI=\"../audio/index.m3u8\",LAST-MSN=13,LAST-PART=2
#EXT-X-RENDITION-REPORT:URI=\"../360p/index.m3u8\",LAST-MSN=12,LAST-PART=3
";
    assert_eq!(lines(&playlist(&input(&window, &reports))), lines(expected));
}

#[test]
fn another_parser_reads_the_same_from_it() {
    let window = window(7, 12, 3);
    let reports =
        [Report { name: "audio".into(), front: Front { first: 7, last: 18, last_parts: 4, open_parts: 4 } }];
    let parsed = broadcast_hls::MediaPlaylist::parse(&playlist(&input(&window, &reports))).unwrap();
    let low = parsed.low_latency.unwrap();
    assert!(low.can_block_reload);
    assert_eq!(low.part_target.map(broadcast_hls::DecimalSeconds::get), Some(0.5));
    assert_eq!(low.part_hold_back.map(broadcast_hls::DecimalSeconds::get), Some(1.5));
    assert_eq!(low.hold_back.map(broadcast_hls::DecimalSeconds::get), Some(6.0));
    assert_eq!(low.can_skip_until.map(broadcast_hls::DecimalSeconds::get), Some(12.0));
    assert_eq!(low.preload_hint_part.as_deref(), Some("00019.3-k.m4s"));
    assert_eq!((parsed.target_duration, parsed.media_sequence, parsed.segments.len()), (2, 7, 12));
    assert!(parsed.always_emit_discontinuity_sequence && parsed.independent_segments && !parsed.endlist);
    assert!(
        parsed.segments.iter().all(|s| s.program_date_time.is_some()),
        "date and time in every live playlist"
    );
    assert!(parsed.segments.iter().all(|s| s.map.as_ref().is_some_and(|map| map.uri == "init-k.mp4")));
    let listed: Vec<_> = parsed.segments.iter().map(|s| s.parts.len()).collect();
    assert_eq!(
        listed,
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4],
        "parts within three target durations of the end"
    );
    let open = parsed.open_segment.unwrap();
    assert_eq!(open.parts.len(), 3);
    assert!(open.program_date_time.is_some());
    assert!(open.parts[0].independent && !open.parts[1].independent);
    let report = &parsed.rendition_reports[0];
    assert_eq!((report.last_msn, report.last_part), (19, Some(3)));
}

#[test]
fn the_hint_names_the_part_that_comes_next_also_at_the_start_of_a_segment() {
    let mut window = window(1, 6, 0);
    let hint = |window: &Window| {
        let text = playlist(&input(window, &[]));
        assert_eq!(text.matches("#EXT-X-PRELOAD-HINT").count(), 1);
        text.split("PRELOAD-HINT:TYPE=PART,URI=\"")
            .nth(1)
            .and_then(|t| t.split('"').next())
            .unwrap()
            .to_owned()
    };
    assert_eq!(hint(&window), "00007.0-k.m4s");
    assert!(!playlist(&input(&window, &[])).contains("00:00:12.000Z"), "nothing of a segment without parts");
    window.open = None;
    assert_eq!(hint(&window), "00007.0-k.m4s");
}

#[test]
fn a_delta_update_skips_what_is_further_away_than_the_boundary() {
    // 20 segments and 2 parts: the end is at 41 s, the boundary at 29 s; segments 1 to 14 end before it.
    let window = window(1, 20, 2);
    let whole = playlist(&input(&window, &[]));
    let delta = delta_update(&input(&window, &[]));
    let parsed = broadcast_hls::MediaPlaylist::parse(&delta).unwrap();
    assert_eq!(parsed.version, 9);
    assert_eq!(parsed.skip.unwrap().skipped_segments, 14);
    assert_eq!((parsed.media_sequence, parsed.segments.len()), (1, 6));
    assert_eq!(delta.matches("#EXT-X-SKIP").count(), 1);
    let tail = whole.split("#EXTINF:2.0,\n00014-k.m4s\n").nth(1).unwrap();
    assert!(delta.ends_with(tail), "after what is skipped the text is the same");
    assert!(!delta.contains("EXT-X-MAP"), "the map in force is carried over");
    assert!(whole.starts_with("#EXTM3U\n#EXT-X-VERSION:7\n"));
}

#[test]
fn a_map_that_changed_inside_the_skipped_part_is_not_repeated_and_a_later_one_is_there() {
    let mut window = window(1, 20, 0);
    let mut segments = window.segments.to_vec();
    for segment in &mut segments {
        segment.init = u32::from(segment.number >= 5) + u32::from(segment.number >= 18);
        segment.discontinuity = segment.number == 5 || segment.number == 18;
    }
    window.segments = segments.into();
    window.open = window.open.map(|open| OpenSegment { init: 2, ..open });
    let delta = delta_update(&input(&window, &[]));
    assert_eq!(delta.matches("EXT-X-MAP").count(), 1);
    let expected = "#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-k-2.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2026-03-01T00:00:34.000Z\n";
    assert!(delta.contains(expected), "{delta}");
    assert!(delta.contains("#EXT-X-DISCONTINUITY-SEQUENCE:0\n"), "none of them left the playlist");
    let whole = playlist(&input(&window, &[]));
    assert_eq!(whole.matches("EXT-X-MAP").count(), 3);
    assert_eq!(whole.matches("#EXT-X-DISCONTINUITY\n").count(), 2);
}

#[test]
fn nothing_skippable_gives_the_whole_playlist() {
    for complete in [1, 6] {
        let window = window(1, complete, 1);
        assert_eq!(delta_update(&input(&window, &[])), playlist(&input(&window, &[])));
    }
}

#[test]
fn the_head_of_a_segment_in_progress_stands_before_its_first_part() {
    let mut window = window(1, 6, 1);
    window.open = window.open.map(|open| OpenSegment { init: 1, discontinuity: true, ..open });
    let text = playlist(&input(&window, &[]));
    let expected = "00006-k.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-k-1.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-03-01T00:00:12.000Z\n#EXT-X-PART:DURATION=0.5,URI=\"00007.0-k.m4s\",INDEPENDENT=YES\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn what_left_the_window_is_counted() {
    let mut window = window(101, 6, 1);
    window.discontinuity_sequence = 3;
    let text = playlist(&input(&window, &[]));
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:101\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n"), "{text}");
}

#[test]
fn the_type_says_how_it_may_change() {
    let window = window(1, 6, 2);
    let rows = [
        (Growth::Sliding, None),
        (Growth::Event, Some(broadcast_hls::PlaylistType::Event)),
        (Growth::Ended, Some(broadcast_hls::PlaylistType::Vod)),
    ];
    for (growth, expected) in rows {
        let input = MediaInput { growth, ..input(&window, &[]) };
        let text = playlist(&input);
        let parsed = broadcast_hls::MediaPlaylist::parse(&text).unwrap();
        assert_eq!(parsed.playlist_type, expected);
        assert_eq!(parsed.endlist, growth == Growth::Ended);
        assert_eq!(text.contains("PRELOAD-HINT"), growth != Growth::Ended, "never with ENDLIST");
        assert_eq!(text.contains("SERVER-CONTROL"), growth != Growth::Ended);
        assert_eq!(parsed.segments.len(), 6);
    }
}

#[test]
fn a_live_stream_without_parts_blocks_and_skips_all_the_same() {
    let window = Window { parts: Arc::from([]), ..window(1, 20, 0) };
    let input = MediaInput { timing: Timing { target: 2, part_ms: 0 }, ..input(&window, &[]) };
    let text = playlist(&input);
    assert!(
        text.contains("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,HOLD-BACK=6.0\n"),
        "{text}"
    );
    assert!(!text.contains("PART") && !text.contains("REPORT"));
    assert!(delta_update(&input).contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=13\n"));
}

#[test]
fn a_file_has_none_of_the_live_tags() {
    let mut window = window(1, 3, 0);
    window.segments = window.segments.iter().map(|s| SegmentEntry { wall_ms: None, ..*s }).collect();
    window.parts = Arc::from([]);
    window.open = None;
    let input = MediaInput { live: false, growth: Growth::Ended, ..input(&window, &[]) };
    let expected = "\
#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI=\"init-k.mp4\"
#EXTINF:2.0,
00001-k.m4s
#EXTINF:2.0,
00002-k.m4s
#EXTINF:2.0,
00003-k.m4s
#EXT-X-ENDLIST
";
    assert_eq!(lines(&playlist(&input)), lines(expected));
    assert_eq!(delta_update(&input), playlist(&input));
    let growing = MediaInput { growth: Growth::Event, ..input };
    assert_eq!(playlist(&growing), expected.replace("VOD", "EVENT").replace("#EXT-X-ENDLIST\n", ""));
}

#[test]
fn a_segment_that_is_missing_is_a_gap() {
    let mut window = window(1, 6, 1);
    window.segments = window
        .segments
        .iter()
        .map(|s| SegmentEntry { bytes: if s.number == 2 { 0 } else { s.bytes }, ..*s })
        .collect();
    let text = playlist(&input(&window, &[]));
    assert!(text.contains("#EXTINF:2.0,\n#EXT-X-GAP\n00002-k.m4s\n"), "{text}");
    let parsed = broadcast_hls::MediaPlaylist::parse(&text).unwrap();
    let gaps: Vec<_> = parsed.segments.iter().map(|s| s.gap).collect();
    assert_eq!(gaps, [false, true, false, false, false, false]);
}
