//! DASH presentations as the engine loads them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::time::Duration;

use url::Url;
use weir_manifest::{
    Change, Lookup, Now, Source, What,
    model::{Encryption, MediaKind, Segment},
    to_brain_track,
};

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

/// Availability starts at Unix time 1 767 225 600 (2026-01-01) in the live examples.
fn at(session: f64) -> Now {
    let session = Duration::from_secs_f64(session);
    Now { session, unix: Duration::from_secs(1_767_225_600 + 100) + session }
}

fn mpd(attributes: &str, body: &str) -> String {
    format!("<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" {attributes}>{body}</MPD>")
}

fn open(attributes: &str, body: &str) -> Source {
    Source::new(&url("https://h.example/a/live.mpd"), mpd(attributes, body).as_bytes(), at(0.0)).unwrap()
}

fn segments(source: &Source, place: (usize, usize)) -> &[Segment] {
    &source.presentation().tracks[place.0].renditions[place.1].segments
}

fn layout(source: &Source, place: (usize, usize)) -> Vec<(u64, u128, String)> {
    segments(source, place)
        .iter()
        .map(|s| (s.number, s.start.as_millis(), s.media.url.path().to_owned()))
        .collect()
}

const VOD: &str = "type=\"static\" mediaPresentationDuration=\"PT10S\"";

const TWO_SETS: &str = "<Period><AdaptationSet contentType=\"video\" mimeType=\"video/mp4\">\
    <SegmentTemplate timescale=\"90000\" duration=\"360000\" presentationTimeOffset=\"900000\" media=\"$RepresentationID$/$Number$.m4s\" initialization=\"$RepresentationID$/i.mp4\"/>\
    <Representation id=\"hi\" bandwidth=\"3000000\" width=\"1280\" height=\"720\" frameRate=\"30000/1001\" codecs=\"avc1.64001f\"/>\
    <Representation id=\"lo\" bandwidth=\"800000\" width=\"640\" height=\"360\" codecs=\"avc1.4d401e\"/></AdaptationSet>\
    <AdaptationSet contentType=\"audio\" lang=\"en\" mimeType=\"audio/mp4\" codecs=\"mp4a.40.2\">\
    <SegmentTemplate timescale=\"48000\" media=\"a/$Time$.m4s\"><SegmentTimeline><S t=\"0\" d=\"192000\" r=\"1\"/><S d=\"96000\"/></SegmentTimeline></SegmentTemplate>\
    <Representation id=\"a\" bandwidth=\"128000\"/></AdaptationSet>\
    <AdaptationSet contentType=\"audio\" lang=\"de\" mimeType=\"audio/mp4\" codecs=\"mp4a.40.2\"><Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"dub\"/>\
    <SegmentTemplate duration=\"10\" media=\"d/$Number$.m4s\"/><Representation id=\"d\" bandwidth=\"128000\"/></AdaptationSet></Period>";

#[test]
fn a_static_manifest_needs_no_further_request() {
    let mut source = open(VOD, TWO_SETS);
    assert!(source.wanted(0, 0).is_empty() && source.wanted(1, 0).is_empty());
    let now = source.presentation();
    assert_eq!((now.live, now.duration), (false, Some(Duration::from_secs(10))));
    let kinds: Vec<_> = now.tracks.iter().map(|t| (t.kind, t.language.as_deref(), t.default)).collect();
    assert_eq!(
        kinds,
        [
            (MediaKind::Video, None, true),
            (MediaKind::Audio, Some("en"), true),
            (MediaKind::Audio, Some("de"), false)
        ]
    );
    let path = |n: u32| format!("/a/lo/{n}.m4s");
    assert_eq!(layout(&source, (0, 0)), [(1, 0, path(1)), (2, 4000, path(2)), (3, 8000, path(3))]);
    let last = &segments(&source, (0, 0))[2];
    assert_eq!(last.duration, Duration::from_secs(2), "cut by the end of the period");
    assert_eq!(last.media_time_offset, Some(10.0));
    assert_eq!(last.init.as_ref().unwrap().url.path(), "/a/lo/i.mp4");
    assert_eq!(segments(&source, (1, 0))[2].media.url.path(), "/a/a/384000.m4s");
    let track = to_brain_track(&source.presentation().tracks[0], true).unwrap();
    assert_eq!(track.ladder.rungs().iter().map(|r| r.height).collect::<Vec<_>>(), [Some(360), Some(720)]);
    assert!((track.ladder.rungs()[1].frame_rate.unwrap() - 29.97).abs() < 0.001);
    assert!(matches!(source.segment(0, 1, 3, at(1.0)), Lookup::Ready(_)));
    assert_eq!(source.segment(0, 1, 4, at(1.0)), Lookup::Gone);
    assert_eq!(source.due(&[(0, 0)], at(50.0)).wake_at, None);
}

#[test]
fn periods_follow_each_other_with_timelines_of_their_own() {
    let period = |id: &str, length: u32, offset: u32| {
        format!(
            "<Period id=\"{id}\" duration=\"PT{length}S\"><AdaptationSet mimeType=\"video/mp4\" codecs=\"avc1.4d401e\">\
             <SegmentTemplate duration=\"4\" presentationTimeOffset=\"{offset}\" media=\"{id}/$RepresentationID$/$Number$\"/>\
             <Representation id=\"{id}-1\" bandwidth=\"1000\" height=\"360\"/><Representation id=\"{id}-2\" bandwidth=\"2000\" height=\"720\"/></AdaptationSet></Period>"
        )
    };
    let source = open("type=\"static\"", &(period("p0", 8, 0) + &period("ad", 6, 100)));
    assert_eq!(
        layout(&source, (0, 1)),
        [
            (1, 0, "/a/p0/p0-2/1".into()),
            (2, 4000, "/a/p0/p0-2/2".into()),
            (3, 8000, "/a/ad/ad-2/1".into()),
            (4, 12000, "/a/ad/ad-2/2".into())
        ]
    );
    let all = segments(&source, (0, 1));
    assert_eq!(all.iter().map(|s| s.discontinuity).collect::<Vec<_>>(), [0, 0, 1, 1]);
    assert_eq!(all[2].media_time_offset, Some(92.0), "media time 100 stands at 8");
    assert_eq!(source.presentation().duration, Some(Duration::from_secs(14)));
}

const LIVE: &str = "type=\"dynamic\" availabilityStartTime=\"2026-01-01T00:00:00Z\" minimumUpdatePeriod=\"PT4S\" \
    timeShiftBufferDepth=\"PT20S\" suggestedPresentationDelay=\"PT8S\"";

#[test]
fn a_numbered_live_stream_grows_with_the_clock_alone() {
    let body = |early: &str| {
        format!(
            "<Period id=\"1\" start=\"PT0S\"><AdaptationSet mimeType=\"video/mp4\"><SegmentTemplate duration=\"4\" startNumber=\"1\" media=\"$Number$\" {early}/>\
             <Representation id=\"v\" bandwidth=\"1000\"/></AdaptationSet></Period>"
        )
    };
    let mut source = open(LIVE, &body(""));
    // 100 s after the start 25 segments are complete, and those that ended 20 s ago or earlier are gone.
    let numbers = |source: &Source| {
        let all = segments(source, (0, 0));
        (all.first().unwrap().number, all.last().unwrap().number)
    };
    assert_eq!(numbers(&source), (21, 25));
    assert_eq!(segments(&source, (0, 0))[0].start, Duration::ZERO, "positions begin with what is there");
    let now = source.presentation();
    assert!(now.live && now.start_at_edge);
    assert_eq!(
        (now.target_latency, now.target_duration),
        (Some(Duration::from_secs(8)), Duration::from_secs(4))
    );
    assert!(matches!(source.segment(0, 0, 26, at(0.0)), Lookup::Later(_)));
    let due = source.due(&[(0, 0)], at(3.9));
    assert_eq!((due.change, due.requests.len()), (Change::Unchanged, 0));
    let due = source.due(&[(0, 0)], at(5.5));
    assert_eq!((due.change, due.requests.len()), (Change::Changed, 1));
    assert_eq!(due.requests[0].what, What::Manifest);
    assert_eq!(numbers(&source), (22, 26));
    assert_eq!(segments(&source, (0, 0))[0].start, Duration::from_secs(4));
    // Segments in progress are not listed, complete ones that may be had early are.
    let source = open(LIVE, &body("availabilityTimeOffset=\"3.5\" availabilityTimeComplete=\"false\""));
    assert_eq!(numbers(&source).1, 25);
    let source = open(LIVE, &body("availabilityTimeOffset=\"4\""));
    assert_eq!(numbers(&source).1, 26);
}

fn timeline(entries: &str) -> String {
    format!(
        "<Period id=\"1\" start=\"PT0S\"><AdaptationSet mimeType=\"video/mp4\"><SegmentTemplate timescale=\"10\" media=\"$Time$\">\
         <SegmentTimeline>{entries}</SegmentTimeline></SegmentTemplate><Representation id=\"v\" bandwidth=\"1000\"/></AdaptationSet></Period>"
    )
}

#[test]
fn a_live_timeline_keeps_numbers_and_positions_over_updates() {
    let mut source = open(LIVE, &timeline("<S t=\"800\" d=\"40\" r=\"3\"/>"));
    let first = layout(&source, (0, 0));
    assert_eq!(first.iter().map(|s| s.1).collect::<Vec<_>>(), [0, 4000, 8000, 12000]);
    let due = source.due(&[(0, 0)], at(4.0));
    let text = mpd(LIVE, &timeline("<S t=\"880\" d=\"40\" r=\"2\"/>"));
    let located = due.requests[0].resource.url.clone();
    assert_eq!(source.supply(&due.requests[0], &located, text.as_bytes(), at(4.1)).unwrap(), Change::Changed);
    let second = layout(&source, (0, 0));
    assert_eq!(second[..2], first[2..]);
    assert_eq!(second[2].0, first[3].0 + 1);
    // The end: it becomes static, the same segments stay.
    let due = source.due(&[(0, 0)], at(9.0));
    let text = mpd(
        "type=\"static\" mediaPresentationDuration=\"PT100S\"",
        &timeline("<S t=\"880\" d=\"40\" r=\"2\"/>"),
    );
    source.supply(&due.requests[0], &located, text.as_bytes(), at(9.1)).unwrap();
    assert_eq!(layout(&source, (0, 0)), second);
    let now = source.presentation();
    assert_eq!((now.live, now.duration), (false, Some(Duration::from_secs(20))));
    assert_eq!(source.due(&[(0, 0)], at(99.0)).wake_at, None);
}

#[test]
fn a_failed_or_useless_reload_leaves_all_as_it_was() {
    let mut source = open(LIVE, &timeline("<S t=\"800\" d=\"40\" r=\"3\"/>"));
    let before = layout(&source, (0, 0));
    let due = source.due(&[(0, 0)], at(4.0));
    let located = due.requests[0].resource.url.clone();
    for body in ["", "<html/>", "<MPD/>", "#EXTM3U\n#EXTINF:1,\na\n"] {
        assert!(source.supply(&due.requests[0], &located, body.as_bytes(), at(4.1)).is_err(), "{body}");
    }
    source.failed(&due.requests[0], at(4.2));
    assert_eq!(layout(&source, (0, 0)), before);
    assert_eq!(source.due(&[(0, 0)], at(4.3)).wake_at, Some(Duration::from_millis(6200)));
}

/// A `sidx` with segments of 4 s at 1000 ticks a second.
fn sidx(sizes: &[u32]) -> Vec<u8> {
    let mut body = vec![0; 4];
    for value in [1, 1000, 0, 0] {
        body.extend(u32::to_be_bytes(value));
    }
    body.extend([0, 0]);
    body.extend((sizes.len() as u16).to_be_bytes());
    for size in sizes {
        body.extend(size.to_be_bytes());
        body.extend(4000_u32.to_be_bytes());
        body.extend([0; 4]);
    }
    let mut out = (body.len() as u32 + 8).to_be_bytes().to_vec();
    out.extend(b"sidx");
    out.extend(body);
    out
}

fn single_file(inner: &str) -> String {
    format!(
        "<Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"v\" bandwidth=\"1000\"><BaseURL>v.mp4</BaseURL>{inner}</Representation></AdaptationSet></Period>"
    )
}

#[test]
fn the_index_of_a_single_file_gives_its_segments() {
    let index = sidx(&[500, 600, 700]);
    let end = 999 + index.len() as u64;
    let ranged =
        format!("<SegmentBase indexRange=\"1000-{end}\"><Initialization range=\"0-999\"/></SegmentBase>");
    let mut source = open(VOD, &single_file(&ranged));
    let request = source.wanted(0, 0).pop().unwrap();
    assert_eq!(request.resource.range, Some(1000..end + 1));
    assert!(matches!(source.segment(0, 0, 0, at(0.0)), Lookup::Load(_)));
    let located = request.resource.url.clone();
    assert!(source.supply(&request, &located, b"nonsense, not an index", at(0.0)).is_err());
    source.supply(&request, &located, &index, at(0.0)).unwrap();
    assert!(source.wanted(0, 0).is_empty());
    let all = segments(&source, (0, 0));
    let from = end + 1;
    assert_eq!(
        all.iter().map(|s| s.media.range.clone().unwrap()).collect::<Vec<_>>(),
        [from..from + 500, from + 500..from + 1100, from + 1100..from + 1800]
    );
    assert_eq!(all[0].init.as_ref().unwrap().range, Some(0..1000));
    let track = to_brain_track(&source.presentation().tracks[0], true).unwrap();
    assert_eq!(*track.segments[1].sizes, [600]);
}

#[test]
fn a_file_without_a_given_index_is_searched_for_one() {
    let mut source = open(VOD, &single_file(""));
    let request = source.wanted(0, 0).pop().unwrap();
    assert_eq!(request.resource.range, Some(0..65_536));
    let moov = |length: u32| {
        let mut moov = length.to_be_bytes().to_vec();
        moov.extend(b"moov");
        moov.resize(length as usize, 0);
        moov
    };
    // A big moov: more is asked for.
    let file = [moov(100_000), sidx(&[10, 20])].concat();
    let located = request.resource.url.clone();
    source.supply(&request, &located, &file[..65_536], at(0.0)).unwrap();
    let request = source.wanted(0, 0).pop().unwrap();
    assert!(request.resource.range.clone().unwrap().end > file.len() as u64);
    source.supply(&request, &located, &file, at(0.0)).unwrap();
    assert_eq!(segments(&source, (0, 0))[0].init.as_ref().unwrap().range, Some(0..100_000));
    assert_eq!(segments(&source, (0, 0)).len(), 2);
    // None at all: one segment.
    let mut source = open(VOD, &single_file(""));
    source.supply(&request, &located, &moov(100), at(0.0)).unwrap();
    assert_eq!(layout(&source, (0, 0)).len(), 1);
    assert_eq!(segments(&source, (0, 0))[0].duration, Duration::from_secs(10));
}

#[test]
fn protection_is_told_and_pictures_for_fast_forward_are_not_played() {
    let body = "<Period><AdaptationSet mimeType=\"video/mp4\" codecs=\"avc1.4d\"><EssentialProperty schemeIdUri=\"http://dashif.org/guidelines/trickmode\" value=\"1\"/>\
        <SegmentTemplate duration=\"5\" media=\"t$Number$\"/><Representation id=\"t\" bandwidth=\"10\"/></AdaptationSet>\
        <AdaptationSet mimeType=\"video/mp4\" codecs=\"hvc1.1\"><SegmentTemplate duration=\"5\" media=\"h$Number$\"/><Representation id=\"h\" bandwidth=\"10\"/></AdaptationSet>\
        <AdaptationSet mimeType=\"video/mp4\" codecs=\"avc1.4d\"><ContentProtection schemeIdUri=\"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\"/>\
        <ContentProtection schemeIdUri=\"urn:mpeg:dash:mp4protection:2011\" value=\"cenc\"/>\
        <SegmentTemplate duration=\"5\" media=\"v$Number$\"/><Representation id=\"v\" bandwidth=\"10\"/></AdaptationSet></Period>";
    let source = open(VOD, body);
    let main = &source.presentation().tracks[0].renditions;
    assert_eq!(main.len(), 1);
    assert_eq!(main[0].id, "v");
    assert_eq!(main[0].segments[0].encryption, Some(Encryption::Unsupported("cenc".into())));
    let keys = source.presentation().tracks.iter().find(|track| track.kind == MediaKind::KeyFrames).unwrap();
    assert_eq!(keys.renditions[0].segments[1].media.url.path(), "/a/t2", "for a scrub bar");
}

#[test]
fn base_urls_side_by_side_are_mirrors() {
    let text = "<MPD type='static' mediaPresentationDuration='PT8S'>\
        <BaseURL>http://a/s/</BaseURL><BaseURL>http://b/t/</BaseURL><Period>\
        <AdaptationSet mimeType='video/mp4'><SegmentTemplate media='v/$Number$.m4s' duration='4'/>\
        <Representation id='v' bandwidth='1000000'/></AdaptationSet></Period></MPD>";
    let url = Url::parse("http://h/x.mpd").unwrap();
    let now = Now { session: Duration::ZERO, unix: Duration::from_secs(1_800_000_000) };
    let source = Source::new(&url, text.as_bytes(), now).unwrap();
    let presentation = source.presentation();
    let first = &presentation.tracks[0].renditions[0].segments[0].media.url;
    assert_eq!(first.as_str(), "http://a/s/v/1.m4s");
    let others: Vec<Url> = presentation.mirrors.iter().flat_map(|mirror| mirror.others(first)).collect();
    assert_eq!(others, [Url::parse("http://b/t/v/1.m4s").unwrap()]);
}

#[test]
fn captions_in_the_pictures_are_listed_with_their_languages() {
    let captions = |value: &str| {
        let body = format!(
            "<Period><AdaptationSet mimeType=\"video/mp4\">\
            <Accessibility schemeIdUri=\"urn:scte:dash:cc:cea-608:2015\" value=\"{value}\"/>\
            <SegmentTemplate duration=\"5\" media=\"v$Number$\"/><Representation id=\"v\" bandwidth=\"10\"/></AdaptationSet></Period>"
        );
        let captions = open(VOD, &body).presentation().captions.clone();
        captions.into_iter().map(|one| (one.channel, one.language.unwrap_or_default())).collect::<Vec<_>>()
    };
    let pair = |channel: &str, language: &str| (channel.to_owned(), language.to_owned());
    assert_eq!(captions("CC1=eng;CC2=spa"), [pair("CC1", "eng"), pair("CC2", "spa")]);
    assert_eq!(captions("eng;swe"), [pair("CC1", "eng"), pair("CC3", "swe")]);
    assert_eq!(captions(""), [pair("CC1", "")]);
}

#[test]
fn service_locations_of_a_steered_mpd_are_its_pathways() {
    let text = "<MPD type='static' mediaPresentationDuration='PT8S'>\
        <BaseURL serviceLocation='alpha'>http://a/s/</BaseURL><BaseURL serviceLocation='beta'>http://b/t/</BaseURL>\
        <ContentSteering defaultServiceLocation='beta alpha' queryBeforeStart='true'>/steer</ContentSteering><Period>\
        <AdaptationSet mimeType='video/mp4'><SegmentTemplate media='v/$Number$.m4s' duration='4'/>\
        <Representation id='v' bandwidth='1000000'/></AdaptationSet></Period></MPD>";
    let url = Url::parse("http://h/x.mpd").unwrap();
    let now = Now { session: Duration::ZERO, unix: Duration::from_secs(1_800_000_000) };
    let source = Source::new(&url, text.as_bytes(), now).unwrap();
    let presentation = source.presentation();
    let steering = presentation.steering.as_ref().unwrap();
    assert_eq!((steering.server.as_str(), steering.before_start), ("http://h/steer", true));
    assert_eq!(steering.first, ["beta", "alpha"]);
    let first = &presentation.tracks[0].renditions[0].segments[0].media.url;
    let places: Vec<_> = presentation.mirrors.iter().flat_map(|mirror| mirror.places(first)).collect();
    let ids: Vec<_> = places.iter().map(|place| place.pathway.as_deref()).collect();
    assert_eq!(ids, [Some("alpha"), Some("beta")]);
}

#[test]
fn text_and_thumbnail_tiles_are_tracks_that_say_nothing_of_the_medias_pace() {
    let beside = "<AdaptationSet contentType=\"text\" mimeType=\"text/vtt\" lang=\"de\"><Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"forced-subtitle\"/>\
        <Representation id=\"t\" bandwidth=\"100\"><BaseURL>de.vtt</BaseURL></Representation></AdaptationSet>\
        <AdaptationSet contentType=\"image\" mimeType=\"image/jpeg\"><SegmentTemplate media=\"$Number$.jpg\" duration=\"100\"/>\
        <Representation id=\"i\" bandwidth=\"9000\" width=\"1600\" height=\"900\">\
        <EssentialProperty schemeIdUri=\"http://dashif.org/guidelines/thumbnail_tile\" value=\"10x5\"/></Representation></AdaptationSet>\
        <AdaptationSet contentType=\"image\" mimeType=\"image/jpeg\"><SegmentTemplate media=\"p$Number$.jpg\" duration=\"100\"/>\
        <Representation id=\"p\" bandwidth=\"9000\"/></AdaptationSet></Period>";
    let source =
        open("type=\"static\" mediaPresentationDuration=\"PT150S\"", &TWO_SETS.replace("</Period>", beside));
    let tracks = &source.presentation().tracks;
    let text = tracks.iter().find(|track| track.kind == MediaKind::Text).unwrap();
    assert_eq!((text.forced, text.default, text.language.as_deref()), (true, false, Some("de")));
    assert_eq!(text.renditions[0].segments.len(), 1);
    let images: Vec<_> = tracks.iter().filter(|track| track.kind == MediaKind::Image).collect();
    assert_eq!(images.iter().map(|track| track.tiles).collect::<Vec<_>>(), [Some((10, 5))]);
    let segments = &images[0].renditions[0].segments;
    assert_eq!((segments.len(), segments[1].start), (2, Duration::from_secs(100)));
    assert!(source.presentation().target_duration <= Duration::from_secs(10));
}

#[test]
fn what_an_mpd_refers_to_elsewhere_is_left_out_and_said_when_nothing_is_left() {
    let remote = "<Period xlink:href='http://a/ad.xml' xlink:actuate='onLoad'/>";
    let period = "<Period duration='PT8S'><AdaptationSet mimeType='video/mp4'><SegmentTemplate media='$Number$' duration='4'/>\
        <Representation id='v' bandwidth='1'/></AdaptationSet></Period>";
    let mpd = |body: &str| format!("<MPD xmlns:xlink='http://www.w3.org/1999/xlink'>{body}</MPD>");
    let load = |text: &str| Source::new(&url("http://h/x.mpd"), text.as_bytes(), at(0.0));
    let both = load(&mpd(&format!("{remote}{period}"))).unwrap();
    assert_eq!(both.presentation().tracks[0].renditions[0].segments.len(), 2);
    let alone = load(&mpd(remote)).unwrap_err().to_string();
    assert!(alone.contains("xlink"), "{alone}");
}
