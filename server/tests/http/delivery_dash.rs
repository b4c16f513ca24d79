//! DASH as a client meets it: the rules for manifests that do not change, that do, and that are ahead of their segments.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};
use weir_server::store::OpenSegment;

use super::delivery_live::OnAir;
use super::support::Server;

const MANIFEST: &str = "/stream/air/dash/manifest.mpd";

async fn manifest(server: &Server) -> String {
    let answer = server.get(MANIFEST).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/dash+xml")));
    let text = answer.text();
    super::mpd_schema::check(&text);
    text
}

fn all<'a>(document: &'a Document<'_>, name: &str) -> Vec<Node<'a, 'a>> {
    document.descendants().filter(|node| node.has_tag_name(("urn:mpeg:dash:schema:mpd:2011", name))).collect()
}

/// Number, start and duration of every segment of a representation's timeline, by the rules of the standard.
fn timeline(template: Node<'_, '_>) -> Vec<(u64, u64, u64)> {
    let number = |node: Node<'_, '_>, name: &str| node.attribute(name).map(|v| v.parse::<u64>().unwrap());
    let mut found = Vec::new();
    let mut at = 0;
    let mut next = number(template, "startNumber").unwrap();
    for s in template.descendants().filter(|node| node.has_tag_name(("urn:mpeg:dash:schema:mpd:2011", "S"))) {
        let (start, duration) = (number(s, "t").unwrap_or(at), number(s, "d").unwrap());
        assert!(found.is_empty() || start == at, "no gap and no overlap inside a Period");
        at = start;
        for _ in 0..=number(s, "r").unwrap_or(0) {
            found.push((next, at, duration));
            (next, at) = (next + 1, at + duration);
        }
    }
    found
}

/// Ids of everything that has one, in order.
fn ids(document: &Document<'_>) -> Vec<(String, String)> {
    let named = |name: &'static str| {
        all(document, name).into_iter().map(move |n| (name.to_owned(), n.attribute("id").unwrap().to_owned()))
    };
    named("Period").chain(named("AdaptationSet")).chain(named("Representation")).collect()
}

#[tokio::test]
async fn a_low_latency_manifest_says_all_that_a_player_needs() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (2000, 500), 60).await;
    air.segments(1..=6);
    air.begin(7, false, 0);
    air.part();
    let text = manifest(&server).await;
    let document = Document::parse(&text).unwrap();
    let mpd = document.root_element();
    for (name, value) in [
        ("type", "dynamic"),
        ("availabilityStartTime", "2026-03-01T00:00:00.000Z"),
        ("minimumUpdatePeriod", "PT2.0S"),
        ("timeShiftBufferDepth", "PT60S"),
        ("suggestedPresentationDelay", "PT6S"),
        ("maxSegmentDuration", "PT2S"),
        ("minBufferTime", "PT2S"),
    ] {
        assert_eq!(mpd.attribute(name), Some(value), "{name}");
    }
    assert!(mpd.attribute("publishTime").is_some_and(|time| time.ends_with('Z')));
    assert!(mpd.attribute("mediaPresentationDuration").is_none());
    // The order of the schema: a validating reader wants it.
    let children: Vec<_> = mpd.children().filter(Node::is_element).map(|n| n.tag_name().name()).collect();
    assert_eq!(children, ["ServiceDescription", "Period", "UTCTiming", "UTCTiming"]);
    let latency = all(&document, "Latency")[0];
    assert_eq!(
        ["target", "min", "max"].map(|name| latency.attribute(name).unwrap()),
        ["3000", "1500", "6000"],
        "milliseconds"
    );
    assert_eq!(all(&document, "PlaybackRate").len(), 1);
    let utc = all(&document, "UTCTiming")[0];
    let time = server.get(utc.attribute("value").unwrap()).await;
    assert_eq!((time.status, time.header("cache-control")), (200, Some("no-store")));
    // Whoever sets the machine's clock does not move the stream: players are told the time that it goes by.
    let media = server.app.media(utc.attribute("value").unwrap().split("stream=").nth(1).unwrap()).unwrap();
    media.clock().set(1_772_323_200_000);
    let time = server.get(utc.attribute("value").unwrap()).await.text();
    assert!(time.starts_with("2026-03-01T00:0"), "{time}");
    assert_ne!(server.get("/api/time").await.text().get(..13), time.get(..13), "the server's own");
    for template in all(&document, "SegmentTemplate") {
        assert_eq!(template.attribute("availabilityTimeOffset"), Some("1.5"), "a segment less one chunk");
        assert_eq!(template.attribute("availabilityTimeComplete"), Some("false"));
        let scale: u64 = template.attribute("timescale").unwrap().parse().unwrap();
        let expected: Vec<_> = (1..=7).map(|n| (n, (n - 1) * 2 * scale, 2 * scale)).collect();
        assert_eq!(timeline(template), expected, "the one in progress is announced");
    }
    for reference in all(&document, "ProducerReferenceTime") {
        assert_eq!(reference.attribute("wallClockTime"), Some("2026-03-01T00:00:00.000Z"));
        assert_eq!(reference.attribute("presentationTime"), Some("0"));
    }
    assert_eq!(all(&document, "ProducerReferenceTime").len(), 2);
    let paths = addresses(&document, 7);
    assert_eq!(paths.len(), 2);
    let answers = futures_util::future::join_all(paths.iter().map(|path| async {
        let head = server.send("HEAD", path, &[], "").await;
        (head.status, head.header("content-length").map(str::to_owned))
    }));
    assert_eq!(answers.await, [(200, None), (200, None)], "in progress: no length");
    let early: Vec<_> = addresses(&document, 8);
    for path in early {
        assert_eq!(server.get(&path).await.problem(404), "not-found", "too early");
    }
    let cached = server.get(MANIFEST).await;
    assert_eq!(cached.header("cache-control"), Some("public, max-age=1, s-maxage=1"));
}

/// Where every representation's segment of that number is, or would be as the next.
fn addresses(document: &Document<'_>, number: u64) -> Vec<String> {
    all(document, "SegmentTemplate")
        .into_iter()
        .map(|template| {
            let listed = timeline(template);
            let next = listed.last().map(|(number, start, duration)| (number + 1, start + duration, 0));
            let (_, start, _) = listed.into_iter().chain(next).find(|(at, ..)| *at == number).unwrap();
            address(template, start)
        })
        .collect()
}

/// Where a representation's segment is that begins at `start`.
fn address(template: Node<'_, '_>, start: u64) -> String {
    let id = template.parent_element().unwrap().attribute("id").unwrap();
    let media = template.attribute("media").unwrap().replace("$RepresentationID$", id);
    assert!(media.contains("$Time$"), "{media}");
    format!("/stream/air/dash/{}", media.replace("$Time$", &start.to_string()))
}

#[tokio::test]
async fn what_a_rendition_lacks_belongs_to_what_follows_and_all_that_is_listed_can_be_had() {
    let server = Server::with(|_| {}, &[]).await;
    let mut air = OnAir::start(&server, "air", (1000, 500), 0).await;
    air.segments(1..=3);
    // The sound has nothing of the segments 4 to 6, and none of their names means another one afterwards.
    let audio = air.tracks.pop().unwrap();
    air.segments(4..=6);
    air.store.append_gaps(&audio, 7, 6 * 48_000);
    air.tracks.push(audio);
    air.segments(7..=8);
    air.begin(9, false, 0);
    air.part();
    for ended in [false, true] {
        if ended {
            air.end().await;
        }
        let text = manifest(&server).await;
        let document = Document::parse(&text).unwrap();
        let templates = all(&document, "SegmentTemplate");
        assert_eq!(templates.len(), 2, "one Period");
        let mut starts = Vec::new();
        for template in &templates {
            let listed = timeline(*template);
            let scale: u64 = template.attribute("timescale").unwrap().parse().unwrap();
            starts.push(listed.iter().map(|(_, start, d)| (start / scale, d / scale)).collect::<Vec<_>>());
            for (_, start, _) in listed {
                let path = address(*template, start);
                assert_eq!(server.send("HEAD", &path, &[], "").await.status, 200, "{path}");
            }
        }
        let whole: Vec<_> = (0..9).map(|at| (at, 1)).collect();
        assert_eq!(starts[0][..8], whole[..8]);
        assert_eq!(starts[1][..5], [(0, 1), (1, 1), (2, 1), (3, 4), (7, 1)]);
        for tick in [1, 4 * 48_000, 6 * 48_000 + 1, 99 * 48_000] {
            assert_eq!(server.get(&address(templates[1], tick)).await.problem(404), "not-found", "{tick}");
        }
        // By either name it is the segment behind the hole.
        let behind = server.get(&address(templates[1], 3 * 48_000)).await;
        let itself = server.get(&address(templates[1], 6 * 48_000)).await;
        assert_eq!((behind.status, behind.header("etag")), (200, itself.header("etag")));
        let list = server.get("/stream/air/hls/audio/index.m3u8").await.text();
        assert_eq!(list.matches("#EXT-X-GAP").count(), 3, "{list}");
        // What is listed by its time and by its number is the same bytes.
        let by_time = server.get(&address(templates[0], 90_000)).await;
        let number = list.lines().find(|line| line.starts_with("00002-")).unwrap();
        let by_number = server.get(&format!("/stream/air/dash/source/{number}")).await;
        assert_eq!((by_time.status, by_time.body), (200, by_number.body));
    }
}

#[tokio::test]
async fn it_is_published_anew_if_and_only_if_it_changed_and_its_ids_and_start_stay() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (1000, 500), 10).await;
    air.segments(1..=4);
    let first = manifest(&server).await;
    assert_eq!(manifest(&server).await, first);
    air.begin(5, false, 0);
    air.part();
    let second = manifest(&server).await;
    assert_ne!(second, first, "a segment in progress is news");
    air.part();
    assert_eq!(manifest(&server).await, second, "a second part of it is none");
    air.finish();
    assert_eq!(manifest(&server).await, second, "nor is that it has become as long as was said");
    let before = Document::parse(&second).unwrap();
    air.segments(6..=30);
    let later = manifest(&server).await;
    let after = Document::parse(&later).unwrap();
    assert_eq!(ids(&after), ids(&before));
    for name in ["availabilityStartTime", "timeShiftBufferDepth"] {
        assert_eq!(after.root_element().attribute(name), before.root_element().attribute(name), "{name}");
    }
    for template in all(&after, "SegmentTemplate") {
        let list = timeline(template);
        assert!(list[0].0 > 1, "the window slid");
        let scale: u64 = template.attribute("timescale").unwrap().parse().unwrap();
        assert!(list.iter().all(|(number, start, d)| *start == (number - 1) * scale && *d == scale));
    }
}

#[tokio::test]
async fn a_break_begins_a_period_whose_start_stays_when_its_first_segments_leave() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (1000, 500), 8).await;
    air.segments(1..=5);
    air.begin(6, true, 0);
    air.part();
    let period = |text: &str, index: usize| {
        let document = Document::parse(text).unwrap();
        let period = all(&document, "Period")[index];
        let template = period.descendants().find(|n| n.tag_name().name() == "SegmentTemplate").unwrap();
        (
            ["id", "start"].map(|name| period.attribute(name).unwrap().to_owned()),
            template.attribute("presentationTimeOffset").map(str::to_owned),
            template.attribute("startNumber").unwrap().to_owned(),
        )
    };
    let text = manifest(&server).await;
    assert_eq!(period(&text, 0), (["0".into(), "PT0S".into()], None, "1".into()));
    let second = (["1".to_owned(), "PT5.0S".to_owned()], Some("450000".to_owned()));
    assert_eq!(period(&text, 1), (second.0.clone(), second.1.clone(), "6".into()));
    air.part();
    air.finish();
    air.segments(7..=20);
    let text = manifest(&server).await;
    let (name, offset, number) = period(&text, 0);
    assert_eq!((name, offset), second, "although segment 6 is gone");
    assert_eq!(number, "13");
}

#[tokio::test]
async fn the_end_makes_it_static_with_the_same_addresses() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (1000, 500), 0).await;
    air.segments(1..=5);
    let before = manifest(&server).await;
    air.end().await;
    let text = manifest(&server).await;
    let document = Document::parse(&text).unwrap();
    let mpd = document.root_element();
    assert_eq!(
        (mpd.attribute("type"), mpd.attribute("mediaPresentationDuration")),
        (Some("static"), Some("PT5.0S"))
    );
    for name in [
        "availabilityStartTime",
        "publishTime",
        "minimumUpdatePeriod",
        "suggestedPresentationDelay",
        "timeShiftBufferDepth",
    ] {
        assert!(mpd.attribute(name).is_none(), "{name}");
    }
    assert!(all(&document, "UTCTiming").is_empty() && all(&document, "ServiceDescription").is_empty());
    assert!(!text.contains("availabilityTime"));
    assert_eq!(addresses(&document, 3), addresses(&Document::parse(&before).unwrap(), 3));
    for path in addresses(&document, 3) {
        assert_eq!(server.get(&path).await.status, 200);
    }
    let cached = server.get(MANIFEST).await;
    assert_eq!(cached.header("cache-control"), Some("public, max-age=30, s-maxage=30"));
}

/// Begins segment `number` where the one before it ended.
fn begin_at(air: &OnAir, number: u32, at_ms: u64) {
    for track in &air.tracks {
        let start = at_ms * u64::from(track.info().timescale) / 1000;
        let open =
            OpenSegment { number, start, init: 0, discontinuity: false, wall_ms: None, independent: true };
        air.store.begin_segment(track, open).unwrap();
    }
}

#[tokio::test]
async fn of_what_a_manifest_has_said_only_the_length_of_the_segment_in_progress_is_corrected() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (2000, 500), 0).await;
    air.segments(1..=3);
    // By representation and number: start, duration, and whether it was finished.
    let mut told = BTreeMap::new();
    let mut corrected = 0;
    let mut look = |text: &str, open: Option<u64>| {
        let document = Document::parse(text).unwrap();
        let templates = all(&document, "SegmentTemplate");
        assert_eq!(templates.len(), 2);
        for template in templates {
            let id = template.parent_element().unwrap().attribute("id").unwrap().to_owned();
            let listed = timeline(template);
            assert_eq!(
                listed.last().map(|last| last.0).filter(|_| open.is_some()),
                open,
                "the newest is listed"
            );
            for (number, start, duration) in listed {
                let now = (start, duration, Some(number) != open);
                let before = told.insert((id.clone(), number), now);
                if let Some((was, long, finished)) = before {
                    assert_eq!(start, was, "{id} {number}");
                    assert!(duration == long || !finished, "{id} {number}: {long} became {duration}");
                    corrected += u32::from(duration != long);
                }
            }
        }
    };
    let mut at_ms = 6000;
    for (number, parts) in (4..).zip([3, 4, 4, 2, 4]) {
        begin_at(&air, number, at_ms);
        for _ in 0..parts {
            air.part();
            look(&manifest(&server).await, Some(number.into()));
        }
        air.finish();
        at_ms += parts * 500;
        look(&manifest(&server).await, None);
    }
    // Where the length changed from one segment to the next, in both representations.
    assert_eq!(corrected, 2 * 4);
}

#[tokio::test]
async fn a_picture_that_changes_its_codec_and_size_is_told_so_in_both_worlds() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (1000, 500), 8).await;
    air.segments(1..=3);
    // Twice as large, of another level: as when somebody changes the settings of an encoder.
    let mut avcc = super::support::AVCC.to_vec();
    // Profile, compatibility and level stand in the record and again in its parameter set.
    let sps = avcc.iter().position(|byte| *byte == 0x67).unwrap();
    (avcc[3], avcc[sps + 3]) = (0x29, 0x29);
    let other = weir_server::package::VideoConfig::from_avcc(640, 360, &avcc).unwrap();
    let init = weir_server::package::video_init(&other, 90_000);
    let (_, index) = air.store.live_rendition(air.tracks[0].info().clone(), init).unwrap();
    air.begin(4, true, index);
    air.part();
    let told = async || {
        let text = manifest(&server).await;
        let document = Document::parse(&text).unwrap();
        all(&document, "Representation")
            .iter()
            .filter_map(|r| Some((r.attribute("codecs")?.to_owned(), r.attribute("width")?.to_owned())))
            .collect::<Vec<_>>()
    };
    let (before, after) = (air.tracks[0].info().codecs.clone(), other.codec_string());
    assert_ne!(before, after);
    assert_eq!(told().await, [(before.clone(), "320".to_owned()), (after.clone(), "640".to_owned())]);
    let master = async || server.get("/stream/air/hls/master.m3u8").await.text();
    let text = master().await;
    assert!(text.contains(&format!("CODECS=\"{after},{before},mp4a.40.2\",RESOLUTION=640x360")), "{text}");
    air.part();
    air.finish();
    for number in 5..=14 {
        air.begin(number, false, index);
        air.part();
        air.part();
        air.finish();
    }
    assert_eq!(told().await, [(after.clone(), "640".to_owned())], "what has left is not spoken of");
    assert!(master().await.contains(&format!("CODECS=\"{after},mp4a.40.2\"")));
}
