//! Streams whose newest segment can be had while it is made.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::time::Duration;

use url::Url;
use weir_manifest::{
    Change, Lookup, Now, Source,
    model::{Edge, Rendition, Segment},
    to_brain_track,
};

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

/// Availability starts at Unix time 1 767 225 600 (2026-01-01) in the DASH examples.
fn at(session: f64) -> Now {
    let session = Duration::from_secs_f64(session);
    Now { session, unix: Duration::from_secs(1_767_225_600 + 100) + session }
}

const TWO: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=500000\nlow/index.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=2000000\nhigh/index.m3u8\n";

const HEAD: &str = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n\
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
    #EXT-X-MEDIA-SEQUENCE:10\n#EXT-X-MAP:URI=\"init.mp4\"\n";

fn part(segment: u64, at: u64) -> String {
    format!("#EXT-X-PART:DURATION=0.5,URI=\"s{segment}.{at}.m4s\"\n")
}

/// Segments 10 and 11, and so many parts of segment 12.
fn list(parts: u64) -> String {
    let whole: String = (10..12)
        .map(|n| (0..4).map(|at| part(n, at)).collect::<String>() + &format!("#EXTINF:2,\ns{n}.m4s\n"))
        .collect();
    let open: String = (0..parts).map(|at| part(12, at)).collect();
    format!(
        "{HEAD}{whole}{open}#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"s12.{parts}.m4s\"\n\
         #EXT-X-RENDITION-REPORT:URI=\"../high/index.m3u8\",LAST-MSN=12,LAST-PART=1\n"
    )
}

fn open() -> Source {
    let mut source = Source::new(&url("https://h.example/a/master.m3u8"), TWO.as_bytes(), at(0.0)).unwrap();
    let request = source.wanted(0, 0).pop().unwrap();
    assert_eq!(request.resource.url.query(), None, "nothing is known yet");
    source.supply(&request, &request.resource.url.clone(), list(2).as_bytes(), at(0.0)).unwrap();
    source
}

fn rendition(source: &Source, at: usize) -> &Rendition {
    &source.presentation().tracks[0].renditions[at]
}

fn names(segment: &Segment) -> (Vec<String>, Option<String>) {
    let parts = segment.parts.as_ref().unwrap();
    let name = |url: &Url| url.path_segments().unwrap().next_back().unwrap().to_owned();
    (parts.list.iter().map(|part| name(&part.url)).collect(), parts.next.as_ref().map(|next| name(&next.url)))
}

#[test]
fn the_segment_in_progress_is_listed_with_its_parts_and_the_one_to_come() {
    let source = open();
    let growing = rendition(&source, 0).growing.as_ref().unwrap();
    assert!(growing.growing);
    assert_eq!(
        (growing.number, growing.start, growing.duration),
        (12, Duration::from_secs(4), Duration::from_secs(2))
    );
    assert_eq!(names(growing), (vec!["s12.0.m4s".into(), "s12.1.m4s".into()], Some("s12.2.m4s".into())));
    assert!(growing.init.is_some());
    let presentation = source.presentation();
    assert_eq!(
        presentation.edge,
        Some(Edge { at: Duration::from_secs(5), step: Duration::from_millis(500) })
    );
    assert_eq!(presentation.target_latency, Some(Duration::from_millis(1500)), "PART-HOLD-BACK");
    // The brain may ask for it.
    let brain = to_brain_track(&presentation.tracks[0], true).unwrap();
    assert_eq!((brain.segments.len(), brain.first_index, brain.end()), (3, 10, Duration::from_secs(6)));
    assert!(matches!(source.segment(0, 0, 12, at(0.1)), Lookup::Ready(segment) if segment.growing));
}

#[test]
fn reloads_ask_for_the_next_part_and_the_segment_ends_with_all_of_its_parts() {
    let mut source = open();
    let due = source.due(&[(0, 0)], at(0.0));
    assert_eq!(due.requests[0].resource.url.query(), Some("_HLS_msn=12&_HLS_part=2"));
    assert!(due.requests[0].blocking);
    let located = due.requests[0].resource.url.clone();
    let change = source.supply(&due.requests[0], &located, list(3).as_bytes(), at(0.5)).unwrap();
    assert_eq!(change, Change::Changed, "a part is news");
    assert_eq!(source.presentation().edge.unwrap().at, Duration::from_millis(5500));
    let due = source.due(&[(0, 0)], at(0.5));
    assert_eq!(
        due.requests[0].resource.url.query(),
        Some("_HLS_msn=12&_HLS_part=3"),
        "and asked again at once"
    );

    let complete = list(4).replace(
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"s12.4.m4s\"\n",
        "#EXTINF:2,\ns12.m4s\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"s13.0.m4s\"\n",
    );
    let located = due.requests[0].resource.url.clone();
    source.supply(&due.requests[0], &located, complete.as_bytes(), at(1.0)).unwrap();
    let Lookup::Ready(segment) = source.segment(0, 0, 12, at(1.0)) else { panic!("it is listed") };
    assert!(!segment.growing && segment.media.url.path().ends_with("s12.m4s"));
    assert_eq!(names(segment).0.len(), 4, "who fetches it by parts sees where it ends");
    let Lookup::Ready(next) = source.segment(0, 0, 13, at(1.0)) else { panic!("it is announced") };
    assert_eq!(names(next), (Vec::new(), Some("s13.0.m4s".into())));
    assert_eq!(source.presentation().edge.unwrap().at, Duration::from_secs(6));
}

#[test]
fn a_rendition_report_tells_what_to_ask_for_at_a_switch() {
    let source = open();
    let request = source.wanted(0, 1).pop().unwrap();
    assert_eq!(request.resource.url.as_str(), "https://h.example/a/high/index.m3u8?_HLS_msn=12&_HLS_part=1");
}

#[test]
fn an_answer_without_an_end_is_no_part_where_parts_are_ranges() {
    let ranges = list(1).replace("DURATION=0.5,", "DURATION=0.5,BYTERANGE=\"100@0\",");
    let mut source = open();
    let due = source.due(&[(0, 0)], at(0.0));
    let located = due.requests[0].resource.url.clone();
    source.supply(&due.requests[0], &located, ranges.as_bytes(), at(0.5)).unwrap();
    let growing = rendition(&source, 0).growing.as_ref().unwrap();
    assert_eq!(names(growing), (vec!["s12.0.m4s".into()], None));
    assert_eq!(growing.parts.as_ref().unwrap().list[0].range, Some(0..100));
}

#[test]
fn a_server_that_does_not_hold_requests_is_followed_by_segments() {
    let plain = list(2).replace("CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5", "HOLD-BACK=6");
    let source = Source::new(&url("https://h.example/a/i.m3u8"), plain.as_bytes(), at(0.0)).unwrap();
    assert!(rendition(&source, 0).growing.is_none());
    assert_eq!(source.presentation().edge, None);
    assert_eq!(source.presentation().target_latency, Some(Duration::from_secs(6)));
}

#[test]
fn encrypted_parts_are_taken_where_a_plain_key_opens_them() {
    let locked = |key: &str| {
        let text = list(2).replace("#EXT-X-MAP", &format!("#EXT-X-KEY:{key}\n#EXT-X-MAP"));
        Source::new(&url("https://h.example/a/i.m3u8"), text.as_bytes(), at(0.0)).unwrap()
    };
    let source = locked("METHOD=AES-128,URI=\"k\"");
    let growing = rendition(&source, 0).growing.as_ref().unwrap();
    assert!(matches!(growing.encryption, Some(weir_manifest::model::Encryption::Aes128 { .. })));
    assert!(source.presentation().edge.is_some());
    let source = locked("METHOD=SAMPLE-AES,URI=\"skd://k\",KEYFORMAT=\"com.apple.streamingkeydelivery\"");
    assert!(rendition(&source, 0).growing.is_none());
    assert_eq!(source.presentation().edge, None);
}

#[test]
fn a_stream_that_has_no_segment_yet_is_asked_for_its_first_one() {
    let empty = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n";
    let mut source = Source::new(&url("https://h.example/a/i.m3u8"), empty.as_bytes(), at(0.0)).unwrap();
    let due = source.due(&[(0, 0)], at(5.0));
    assert_eq!(due.requests[0].resource.url.query(), Some("_HLS_msn=0"));
}

fn dash(template: &str, session: f64) -> Source {
    let text = format!(
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"dynamic\" availabilityStartTime=\"2026-01-01T00:00:00Z\" \
         minimumUpdatePeriod=\"PT2S\" timeShiftBufferDepth=\"PT20S\" suggestedPresentationDelay=\"PT3S\">\
         <ServiceDescription id=\"0\"><Latency target=\"1200\"/></ServiceDescription>\
         <Period start=\"PT0S\"><AdaptationSet mimeType=\"video/mp4\"><SegmentTemplate media=\"$Number$.m4s\" \
         initialization=\"i.mp4\" availabilityTimeOffset=\"1.5\" availabilityTimeComplete=\"false\" {template}\
         <Representation id=\"a\" bandwidth=\"1\"/></AdaptationSet></Period></MPD>"
    );
    Source::new(&url("https://h.example/a/live.mpd"), text.as_bytes(), at(session)).unwrap()
}

#[test]
fn in_dash_the_segment_in_progress_can_be_asked_for_from_its_first_chunk_on() {
    // At 100.4 s the chunk up to 100.5 is not there; at 100.6 it is.
    for (session, last, growing) in [(0.4, 50, false), (0.6, 51, true), (1.9, 51, true)] {
        let source = dash("timescale=\"1\" duration=\"2\"/>", session);
        let segment = rendition(&source, 0).segments.last().unwrap();
        assert_eq!(
            (segment.media.url.path(), segment.growing),
            (&*format!("/a/{last}.m4s"), growing),
            "{session}"
        );
    }
}

#[test]
fn in_dash_the_edge_is_the_clock_and_the_target_that_of_the_service_description() {
    let source = dash("timescale=\"1\" duration=\"2\"/>", 0.6);
    let presentation = source.presentation();
    assert_eq!(presentation.target_latency, Some(Duration::from_millis(1200)));
    let first = rendition(&source, 0).segments.first().unwrap();
    let shown = presentation.edge.unwrap().at.as_secs_f64() - first.start.as_secs_f64();
    let listed = rendition(&source, 0).segments.len() as f64 * 2.0;
    assert!((shown - (listed - 2.0 + 0.6)).abs() < 0.01, "{shown} of {listed} s");
    let made = first.program_date_time.unwrap() - 1_767_225_600.0;
    assert!((80.0..82.0).contains(&made), "{made}");
}

#[test]
fn in_dash_the_next_segment_is_listed_the_moment_its_first_chunk_is_there() {
    let mut source = dash("timescale=\"1\" duration=\"2\"/>", 0.6);
    let wake = source.due(&[(0, 0)], at(0.6)).wake_at.unwrap();
    assert!(wake <= Duration::from_secs_f64(1.2), "{wake:?}");
    source.due(&[(0, 0)], at(2.4));
    let wake = source.due(&[(0, 0)], at(2.4)).wake_at.unwrap();
    assert!((wake.as_secs_f64() - 2.5).abs() < 0.01, "{wake:?}");
}

#[test]
fn a_list_that_names_the_segment_in_progress_is_read_again_when_the_next_one_begins() {
    let body = |count: u64| {
        format!(
            "timescale=\"1\"><SegmentTimeline><S t=\"90\" d=\"2\" r=\"{}\"/></SegmentTimeline></SegmentTemplate>",
            count - 1
        )
    };
    // 90 to 102 s: the last one ends in 1.4 s.
    let mut source = dash(&body(6), 0.6);
    let last = rendition(&source, 0).segments.last().unwrap();
    assert!(last.growing);
    assert!(!rendition(&source, 0).segments[4].growing);
    assert!(source.due(&[(0, 0)], at(2.0)).requests.is_empty());
    let due = source.due(&[(0, 0)], at(2.55));
    assert_eq!(due.requests.len(), 1, "102.5 s have passed: the next one has begun");
}
