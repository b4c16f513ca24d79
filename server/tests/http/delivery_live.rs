//! Low-latency HLS as a client meets it: every row of the request table, over the real router.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weir_server::catalog::{Live, Source, State, Stream};
use weir_server::ladder::Profile;
use weir_server::package::{
    AUDIO_TRACK, AudioConfig, Sample, VIDEO_TRACK, VideoConfig, audio_init, media_segment, video_init,
};
use weir_server::store::{LiveInfo, OpenSegment, Rendition, RenditionInfo, StreamStore, TrackKind};

use super::support::{AVCC, Answer, PATIENCE, Server, uris};

/// A live stream of pictures and sound that its test moves by hand: 1 s segments of two parts, or what the test says.
pub struct OnAir {
    pub store: Arc<StreamStore>,
    pub tracks: Vec<Arc<Rendition>>,
    segment_ms: u64,
    part_ms: u64,
}

const STARTED_MS: u64 = 1_772_323_200_000;

impl OnAir {
    /// With this many segments of `segment_ms` in parts of `part_ms`, listed for `window_s`.
    pub async fn start(server: &Server, id: &str, (segment_ms, part_ms): (u32, u32), window_s: u32) -> Self {
        let mut stream =
            Stream::new(id, "On air", Source::Publisher, Profile::default()).with_live(Live::default());
        stream.state = State::Live;
        server.app.catalog.create(stream, None).await.unwrap();
        let store = server.app.store.create(id).unwrap();
        let target_s = segment_ms.div_ceil(1000);
        let info =
            LiveInfo { segment_ms, part_ms, window_s, target_s, started_ms: STARTED_MS, record: false };
        store.set_live(info).unwrap();
        store.expect_renditions(&["source".to_owned(), "audio".to_owned()]).unwrap();
        let video = VideoConfig::from_avcc(320, 180, AVCC).unwrap();
        let sound = AudioConfig::from_asc(48_000, 2, 128_000, &[0x11, 0x90]).unwrap();
        let common = RenditionInfo {
            language: None,
            name: "source".into(),
            kind: TrackKind::Video,
            codecs: video.codec_string(),
            width: 320,
            height: 180,
            frame_rate: (25, 1),
            sample_rate: 0,
            channels: 0,
            bandwidth: 100_000,
            timescale: 90_000,
        };
        let audio = RenditionInfo {
            language: None,
            name: "audio".into(),
            kind: TrackKind::Audio,
            codecs: sound.codec_string(),
            width: 0,
            height: 0,
            frame_rate: (0, 1),
            sample_rate: 48_000,
            channels: 2,
            bandwidth: 128_000,
            timescale: 48_000,
        };
        let (source, _) = store.live_rendition(common, video_init(&video, 90_000)).unwrap();
        let (audio, _) = store.live_rendition(audio, audio_init(&sound)).unwrap();
        Self { store, tracks: vec![source, audio], segment_ms: segment_ms.into(), part_ms: part_ms.into() }
    }

    fn ticks(rendition: &Rendition, ms: u64) -> u64 {
        ms * u64::from(rendition.info().timescale) / 1000
    }

    pub fn begin(&self, number: u32, discontinuity: bool, init: u32) {
        self.open(number, discontinuity, init, true);
    }

    /// `key`: its pictures begin with a key frame.
    fn open(&self, number: u32, discontinuity: bool, init: u32, key: bool) {
        for track in &self.tracks {
            let at_ms = u64::from(number - 1) * self.segment_ms;
            let init = if track.name() == "source" { init } else { 0 };
            let open = OpenSegment {
                number,
                start: Self::ticks(track, at_ms),
                init,
                discontinuity,
                wall_ms: Some(STARTED_MS + at_ms),
                independent: key || track.name() == "audio",
            };
            self.store.begin_segment(track, open).unwrap();
        }
    }

    /// The next part of every rendition's segment in progress.
    pub fn part(&self) {
        for track in &self.tracks {
            let window = track.window();
            let open = window.open.unwrap();
            let index = window.parts_of(open.number).count() as u32;
            let duration = Self::ticks(track, self.part_ms);
            let start = open.start + u64::from(index) * duration;
            let kind = if track.name() == "source" { VIDEO_TRACK } else { AUDIO_TRACK };
            let key = (index == 0 && open.independent) || kind == AUDIO_TRACK;
            let data = Bytes::from(vec![(open.number * 16 + index) as u8; 900]);
            let sample = Sample { duration: duration as u32, composition_offset: 0, key, data };
            let bytes = media_segment(kind, open.number * 100 + index, start, &[sample]).unwrap();
            self.store.append_part(track, bytes, duration, key);
        }
    }

    pub fn finish(&self) {
        for track in &self.tracks {
            self.store.finish_segment(track).unwrap();
        }
    }

    pub fn segments(&self, numbers: std::ops::RangeInclusive<u32>) {
        for number in numbers {
            self.begin(number, false, 0);
            for _ in 0..self.segment_ms / self.part_ms {
                self.part();
            }
            self.finish();
        }
    }

    pub async fn end(&self) {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || store.complete_live()).await.unwrap().unwrap();
    }
}

/// Waits until this many requests are held.
pub async fn held(server: &Server, count: usize) {
    let reached = async {
        while server.app.holds.count() != count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("the request to be held");
}

const LIST: &str = "/stream/air/hls/source/index.m3u8";

/// A reload that waits for a segment.
async fn reload(server: &Server, segment: u32) -> Answer {
    server.get(&format!("{LIST}?_HLS_msn={segment}")).await
}

fn parse(answer: &Answer) -> broadcast_hls::MediaPlaylist {
    assert_eq!(answer.status, 200, "{}", answer.text());
    broadcast_hls::MediaPlaylist::parse(&answer.text()).unwrap()
}

/// Number of the last part or segment that a playlist names.
fn edge(answer: &Answer) -> (u64, usize) {
    let playlist = parse(answer);
    let last = playlist.media_sequence + playlist.segments.len() as u64 - 1;
    (last, playlist.open_segment.map_or(0, |open| open.parts.len()))
}

#[tokio::test]
async fn requests_that_need_no_wait_are_answered_by_the_table() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (2000, 500), 16).await;
    air.segments(1..=20);
    air.begin(21, false, 0);
    air.part();
    air.part();
    let (now, waited) = ("public, max-age=1, s-maxage=1", "public, max-age=12, s-maxage=12");
    let refused = "public, max-age=8, s-maxage=8";
    let rows = [
        ("", 200, now),
        ("?_HLS_msn=20", 200, waited),
        ("?_HLS_msn=13", 200, waited),
        ("?_HLS_msn=1", 200, waited),
        ("?_HLS_msn=0&_HLS_part=7", 200, waited),
        ("?_HLS_msn=20&_HLS_part=3", 200, waited),
        ("?_HLS_msn=20&_HLS_part=9", 200, waited),
        ("?_HLS_msn=21&_HLS_part=1", 200, waited),
        ("?_HLS_part=1&_HLS_msn=21", 200, waited),
        ("?_HLS_x=1&_HLS_x=2&sid=a", 200, now),
        ("?_HLS_skip=NO", 200, now),
        ("?_HLS_part=1", 400, refused),
        ("?_HLS_msn=23", 400, refused),
        ("?_HLS_msn=18446744073709551615", 400, refused),
        ("?_HLS_msn=21&_HLS_part=8", 400, refused),
        ("?_HLS_msn=22&_HLS_part=6", 400, refused),
        ("?_HLS_msn=x", 400, refused),
        ("?_HLS_msn=-1", 400, refused),
        ("?_HLS_msn=", 400, refused),
        ("?_HLS_msn=20&_HLS_msn=20", 400, refused),
        ("?_HLS_msn=20&_HLS_part=1&_HLS_part=1", 400, refused),
        ("?_HLS_msn=20&_HLS_part=-1", 400, refused),
    ];
    for (query, status, cache) in rows {
        let answer = server.get(&format!("{LIST}{query}")).await;
        assert_eq!((answer.status, answer.header("cache-control")), (status, Some(cache)), "{query}");
        assert!(answer.header("set-cookie").is_none(), "{query}");
        if status == 200 {
            assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{query}");
            assert_eq!(edge(&answer), (20, 2), "{query}");
            assert!(!answer.text().contains("_HLS"), "nothing is echoed");
        } else {
            assert_eq!(answer.problem(400), "bad-request", "{query}");
        }
    }
    assert_eq!(server.app.holds.count(), 0);
}

#[tokio::test]
async fn a_delta_update_is_given_to_who_asks_and_the_rest_is_the_same() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (1000, 500), 60).await;
    air.segments(1..=20);
    let whole = server.get(LIST).await;
    for skip in ["YES", "v2"] {
        let delta = server.get(&format!("{LIST}?_HLS_skip={skip}")).await;
        let parsed = parse(&delta);
        assert_eq!((parsed.version, parsed.segments.len()), (9, 7));
        assert_eq!(parsed.skip.unwrap().skipped_segments, 13);
        let tail = delta.text().split("SKIPPED-SEGMENTS=13\n").nth(1).unwrap().to_owned();
        assert!(whole.text().ends_with(&tail));
    }
    let both = server.get(&format!("{LIST}?_HLS_msn=20&_HLS_skip=YES")).await;
    assert!(both.text().contains("#EXT-X-SKIP"));
    let packed = server.get_with(&format!("{LIST}?_HLS_skip=YES"), &[("Accept-Encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let tag = whole.header("etag").unwrap();
    assert_eq!(server.get_with(LIST, &[("If-None-Match", tag)]).await.status, 304);
    let head = server.send("HEAD", LIST, &[], "").await;
    assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, Some(tag)));
    air.begin(21, false, 0);
    air.part();
    assert_eq!(server.get_with(LIST, &[("If-None-Match", tag)]).await.status, 200, "it moved");
}

#[tokio::test]
async fn a_blocked_reload_is_answered_by_the_part_or_segment_that_it_waits_for() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (4000, 2000), 0).await;
    air.segments(1..=2);
    air.begin(3, false, 0);
    let ask = |query: &'static str| {
        let server = &server;
        async move { server.get(&format!("{LIST}?{query}")).await }
    };
    // A part, the same as "past the end of segment 2", and a whole segment.
    let (part, past, segment, later, ()) = tokio::join!(
        ask("_HLS_msn=3&_HLS_part=0"),
        ask("_HLS_msn=2&_HLS_part=2"),
        ask("_HLS_msn=3"),
        ask("_HLS_msn=3&_HLS_part=1"),
        async {
            held(&server, 4).await;
            air.part();
            held(&server, 2).await;
            air.part();
            held(&server, 1).await;
            air.finish();
        }
    );
    assert_eq!((edge(&part), edge(&past)), ((2, 1), (2, 1)));
    assert_eq!((edge(&later), edge(&segment)), ((2, 2), (3, 0)));
    assert_eq!(part.header("cache-control"), Some("public, max-age=24, s-maxage=24"));
    assert_eq!(server.app.holds.count(), 0);
}

#[tokio::test]
async fn what_does_not_come_in_three_target_durations_is_503_with_a_time_to_come_again() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (1000, 500), 0).await;
    air.segments(1..=3);
    let _silent = OnAir::start(&server, "silent", (1000, 500), 0).await;
    let generation = generation(&server, "air");
    let began = std::time::Instant::now();
    let (reload, hint, first) = tokio::join!(
        server.get("/stream/air/hls/source/index.m3u8?_HLS_msn=4"),
        async { server.get(&format!("/stream/air/hls/source/00004.0-{generation}.m4s")).await },
        server.get("/stream/silent/hls/source/index.m3u8"),
    );
    assert!(began.elapsed() >= Duration::from_secs(3));
    for answer in [reload, hint, first] {
        assert_eq!(answer.problem(503), "not-in-time");
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    assert_eq!(server.app.holds.count(), 0);
}

fn generation(server: &Server, id: &str) -> String {
    format!("{:x}", server.app.catalog.get(id).unwrap().created_ms)
}

#[tokio::test]
async fn the_first_segment_answers_who_came_before_it() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (4000, 2000), 0).await;
    let (list, master, manifest, ()) = tokio::join!(
        server.get(LIST),
        server.get("/stream/air/hls/master.m3u8"),
        server.get("/stream/air/dash/manifest.mpd"),
        async {
            held(&server, 3).await;
            air.segments(1..=1);
        }
    );
    assert_eq!((edge(&list), master.status, manifest.status), ((1, 0), 200, 200));
    assert_eq!(master.header("cache-control"), Some("public, max-age=4, s-maxage=4"));
}

#[tokio::test]
async fn the_end_of_the_stream_releases_who_waits_and_ends_the_directives() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (4000, 2000), 0).await;
    air.segments(1..=2);
    air.begin(3, false, 0);
    let generation = generation(&server, "air");
    let hint = format!("/stream/air/hls/source/00003.0-{generation}.m4s");
    let (list, part, ()) = tokio::join!(reload(&server, 4), server.get(&hint), async {
        held(&server, 2).await;
        air.end().await;
    });
    assert!(list.text().ends_with("#EXT-X-ENDLIST\n"), "{}", list.text());
    assert_eq!(part.problem(404), "not-found");
    let plain = server.get(LIST).await.text();
    for query in ["?_HLS_msn=99", "?_HLS_part=1", "?_HLS_msn=x", "?_HLS_skip=YES", "?_HLS_msn=1&_HLS_msn=1"] {
        let answer = server.get(&format!("{LIST}{query}")).await;
        assert_eq!((answer.status, answer.text() == plain), (200, true), "{query}");
    }
    assert!(!plain.contains("PRELOAD-HINT") && !plain.contains("EXT-X-PART"));
}

#[tokio::test]
async fn a_stopping_server_lets_go_of_who_waits() {
    let mut server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (4000, 2000), 0).await;
    air.segments(1..=2);
    let (list, ()) = tokio::join!(reload(&server, 3), async {
        held(&server, 1).await;
        server.app.stop.cancel();
    });
    assert_eq!(list.problem(503), "stopping");
    assert!(list.header("retry-after").is_some());
    server.ended().await;
}

#[tokio::test]
async fn a_deleted_stream_lets_go_of_who_waits() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (4000, 2000), 0).await;
    air.segments(1..=2);
    let (list, ()) = tokio::join!(reload(&server, 3), async {
        held(&server, 1).await;
        server.app.delete("air").await.unwrap();
    });
    assert_eq!(list.problem(404), "no-such-stream");
}

#[tokio::test]
async fn the_hinted_part_is_held_for_get_and_head_and_others_are_not_there() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (4000, 2000), 0).await;
    air.segments(1..=2);
    air.begin(3, false, 0);
    air.part();
    let generation = generation(&server, "air");
    let part =
        |segment: u32, index: u32| format!("/stream/air/hls/source/{segment:05}.{index}-{generation}.m4s");
    for (segment, index) in [(3, 2), (4, 0), (2, 2), (99, 0), (0, 0)] {
        let answer = server.get(&part(segment, index)).await;
        assert_eq!(answer.problem(404), "not-found", "{segment}.{index}");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=4, s-maxage=4"));
    }
    let named = server.get(LIST).await.text();
    let hint = named.split("PRELOAD-HINT:TYPE=PART,URI=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(part(3, 1).ends_with(hint));
    let path = part(3, 1);
    let (get, head, ()) = tokio::join!(server.get(&path), server.send("HEAD", &path, &[], ""), async {
        held(&server, 2).await;
        air.part();
    });
    assert_eq!((get.status, head.status, head.body.len()), (200, 200, 0));
    assert_eq!(
        get.header("content-length"),
        Some(get.body.len().to_string().as_str()),
        "whole, with its length"
    );
    assert_eq!(head.header("content-length"), get.header("content-length"));
    assert_eq!(get.header("cache-control"), Some("public, max-age=31536000, immutable"));
    // The next hint is part 2, which never comes: the segment ends.
    let path = part(3, 2);
    let (abandoned, ()) = tokio::join!(server.get(&path), async {
        held(&server, 1).await;
        air.finish();
    });
    assert_eq!(abandoned.problem(404), "not-found");
    let range = server.get_with(&part(3, 1), &[("Range", "bytes=0-7")]).await;
    assert_eq!((range.status, range.body.len()), (206, 8));
}

#[tokio::test]
async fn all_that_a_playlist_names_is_there_and_parts_are_slices_of_their_segment() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (1000, 500), 0).await;
    air.segments(1..=8);
    air.begin(9, false, 0);
    air.part();
    for rendition in ["source", "audio"] {
        let base = format!("/stream/air/hls/{rendition}");
        let playlist = parse(&server.get(&format!("{base}/index.m3u8")).await);
        assert_eq!(playlist.rendition_reports.len(), 1, "one for the other rendition");
        assert!(playlist.segments.iter().all(|s| s.program_date_time.is_some()));
        let mut listed = 0;
        for segment in &playlist.segments {
            let whole = server.get(&format!("{base}/{}", segment.uri)).await;
            assert_eq!((whole.status, whole.header("accept-ranges")), (200, Some("bytes")));
            assert_eq!(whole.header("content-length"), Some(whole.body.len().to_string().as_str()));
            let mut joined = Vec::new();
            for part in &segment.parts {
                joined.extend(server.get(&format!("{base}/{}", part.uri)).await.body);
                listed += 1;
            }
            assert!(segment.parts.is_empty() || joined == whole.body, "{}", segment.uri);
        }
        assert_eq!(listed, 6, "parts of what ends within three target durations of the end");
        let map = playlist.segments[0].map.clone().unwrap().uri;
        assert_eq!(server.get(&format!("{base}/{map}")).await.status, 200);
        // Not listed any more, but not gone either.
        let old = format!("{base}/00005.1-{}.m4s", generation(&server, "air"));
        assert_eq!(server.get(&old).await.status, 200);
    }
    let master = server.get("/stream/air/hls/master.m3u8").await.text();
    let parsed = broadcast_hls::MasterPlaylist::parse(&master).unwrap();
    assert_eq!(parsed.variants.len(), 1);
    let iframes = parse(&server.get("/stream/air/hls/source/iframes.m3u8").await);
    assert!(iframes.iframes_only && !iframes.endlist);
    assert_eq!(iframes.segments.len(), 8);
    assert!(master.contains("URI=\"source/iframes.m3u8\""), "{master}");
    let sound = server.get("/stream/air/hls/audio/iframes.m3u8").await;
    assert_eq!(sound.problem(404), "not-found");
}

#[tokio::test]
async fn what_a_playlist_named_before_the_end_is_there_after_it() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (1000, 500), 8).await;
    let named = |playlist: &broadcast_hls::MediaPlaylist| -> Vec<String> {
        let map = playlist.segments[0].map.clone().unwrap().uri;
        let open = playlist.open_segment.iter().flat_map(|open| &open.parts);
        let parts = playlist.segments.iter().flat_map(|s| &s.parts).chain(open).map(|part| part.uri.clone());
        parts.chain(playlist.segments.iter().map(|s| s.uri.clone())).chain([map]).collect()
    };
    air.segments(1..=12);
    let long_ago = named(&parse(&server.get(LIST).await));
    air.segments(13..=15);
    air.begin(16, false, 0);
    air.part();
    let mut known = Vec::new();
    for rendition in ["source", "audio"] {
        let base = format!("/stream/air/hls/{rendition}");
        let playlist = parse(&server.get(&format!("{base}/index.m3u8")).await);
        let names = named(&playlist);
        assert_eq!(
            names.iter().filter(|name| name.contains('.') && name.matches('.').count() == 2).count(),
            7
        );
        for name in names.into_iter().chain(if rendition == "source" { long_ago.clone() } else { vec![] }) {
            let path = format!("{base}/{name}");
            let answer = server.get(&path).await;
            assert_eq!(answer.status, 200, "{path}");
            known.push((path, answer.body));
        }
    }
    let hint = format!("/stream/air/hls/source/00016.1-{}.m4s", generation(&server, "air"));
    air.end().await;
    for (path, body) in &known {
        let answer = server.get(path).await;
        assert_eq!((answer.status, &answer.body), (200, body), "{path}");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"), "{path}");
    }
    assert_eq!(server.get(&hint).await.problem(404), "not-found", "a hint that nothing came of");
    let part = known.iter().find(|(path, _)| path.contains("00015.1-")).unwrap();
    let range = server.get_with(&part.0, &[("Range", "bytes=4-7")]).await;
    assert_eq!((range.status, &range.body[..]), (206, &part.1[4..8]));
    // Nor does a rendition take what it had along when the stream has it no more.
    air.store.retire_rendition("audio").unwrap();
    let gone = server.get("/stream/air/hls/audio/index.m3u8").await;
    assert_eq!(gone.problem(404), "not-found");
    for (path, body) in &known {
        assert_eq!(&server.get(path).await.body, body, "{path}");
    }
}

#[tokio::test]
async fn segments_that_begin_without_a_key_frame_are_not_said_to_have_one() {
    const TAG: &str = "#EXT-X-INDEPENDENT-SEGMENTS";
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (1000, 500), 8).await;
    let text = async |path: &str| server.get(&format!("/stream/air/{path}")).await.text();
    let sets = async || {
        let text = text("dash/manifest.mpd").await;
        super::mpd_schema::check(&text);
        let lines: Vec<_> = text.lines().filter(|line| line.contains("<AdaptationSet")).collect();
        lines.iter().map(|line| line.contains("startWithSAP=\"1\"")).collect::<Vec<_>>()
    };
    air.segments(1..=3);
    assert!(text("hls/source/index.m3u8").await.contains(TAG));
    assert_eq!(sets().await, [true, true]);
    // In progress it is known already.
    air.open(4, false, 0, false);
    air.part();
    let list = text("hls/source/index.m3u8").await;
    assert!(!list.contains(TAG), "{list}");
    assert!(
        list.contains("00003.0-")
            && !list.contains(&format!("00004.0-{}.m4s\",INDEP", generation(&server, "air")))
    );
    assert!(text("hls/audio/index.m3u8").await.contains(TAG), "sound has nothing to wait for");
    assert_eq!(sets().await, [false, true]);
    air.part();
    air.finish();
    air.segments(5..=5);
    assert!(!text("hls/source/index.m3u8").await.contains(TAG));
    assert!(!text("hls/source/index.m3u8?_HLS_skip=YES").await.contains(TAG));
    assert!(!text("hls/master.m3u8").await.contains(TAG), "nobody knows what is to come");
    let frames = parse(&server.get("/stream/air/hls/source/iframes.m3u8").await);
    let gaps: Vec<_> = frames.segments.iter().map(|s| s.gap).collect();
    assert_eq!(gaps, [false, false, false, true, false]);
    // What leaves the list counts no more; what it ends with does.
    air.segments(6..=14);
    assert!(text("hls/source/index.m3u8").await.contains(TAG));
    assert_eq!(sets().await, [true, true]);
    air.open(15, false, 0, false);
    air.part();
    air.end().await;
    assert!(!text("hls/source/index.m3u8").await.contains(TAG));
    assert!(!text("hls/master.m3u8").await.contains(TAG));
    assert_eq!(sets().await, [false, true]);
}

#[tokio::test]
async fn a_segment_in_progress_comes_chunk_by_chunk_and_a_finished_one_with_its_length() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (1000, 500), 0).await;
    air.segments(1..=2);
    air.begin(3, false, 0);
    air.part();
    let path = format!("/stream/air/dash/source/00003-{}.m4s", generation(&server, "air"));
    let mut socket = server.connect().await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let first = air.tracks[0].part_bytes(3, 0).unwrap();
    let mut all = Vec::new();
    let came = async {
        while !all.windows(first.len()).any(|bytes| bytes == first) {
            let mut some = [0; 4096];
            let count = socket.read(&mut some).await.unwrap();
            assert!(count > 0, "the end came before the first chunk");
            all.extend_from_slice(&some[..count]);
        }
    };
    tokio::time::timeout(PATIENCE, came).await.expect("the first chunk before the segment is finished");
    air.part();
    air.finish();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut all)).await.unwrap().unwrap();
    let growing = Answer::parse(&all);
    assert_eq!((growing.status, growing.complete), (200, true));
    assert_eq!(growing.header("transfer-encoding"), Some("chunked"));
    assert!(growing.header("content-length").is_none());
    let whole = server.get(&path).await;
    assert_eq!(whole.header("content-length"), Some(whole.body.len().to_string().as_str()));
    assert_eq!(whole.body, growing.body);
    let early = format!("/stream/air/dash/source/00004-{}.m4s", generation(&server, "air"));
    assert_eq!(server.get(&early).await.problem(404), "not-found");
}

#[tokio::test]
async fn a_window_slides_without_a_type_and_counts_what_left() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (1000, 500), 8).await;
    air.segments(1..=2);
    let source = &air.tracks[0];
    let other = video_init(&VideoConfig::from_avcc(640, 360, AVCC).unwrap(), 90_000);
    let (_, init) = air.store.live_rendition(source.info().clone(), other).unwrap();
    air.begin(3, true, init);
    air.part();
    air.part();
    air.finish();
    let text = server.get(LIST).await.text();
    let name = format!("init-{}-1.mp4", generation(&server, "air"));
    assert!(text.contains(&format!("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"{name}\"\n")), "{text}");
    let map = server.get(&format!("/stream/air/hls/source/{name}")).await;
    assert_eq!((map.status, map.header("content-type")), (200, Some("video/mp4")));
    for number in 4..=20 {
        air.begin(number, false, init);
        air.part();
        air.part();
        air.finish();
    }
    let playlist = parse(&server.get(LIST).await);
    assert_eq!(playlist.playlist_type, None);
    assert!(playlist.media_sequence > 3 && playlist.segments.len() >= 6, "{playlist:?}");
    assert_eq!(playlist.discontinuity_sequence, 1);
    assert!(playlist.segments[0].map.as_ref().is_some_and(|map| map.uri == name));
    assert_eq!(playlist.target_duration, 1);
}

#[tokio::test]
async fn the_progressive_stream_of_a_live_one_begins_at_the_newest_key_frame_and_follows() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (1000, 500), 0).await;
    air.segments(1..=5);
    air.begin(6, false, 0);
    air.part();
    server.app.viewers.open("air", Duration::from_secs(1));
    let (answer, ()) = tokio::join!(server.get("/stream/air"), async {
        while server.app.viewers.count("air").current == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        air.part();
        air.finish();
        air.segments(7..=7);
        air.end().await;
    });
    assert!(answer.complete);
    let mut data: Vec<u8> = samples(&answer.body);
    assert_eq!(data.first(), Some(&0x60), "6.0 first");
    // How sound and picture follow each other depends on what there was when the viewer was looked after.
    data.sort_unstable();
    assert_eq!(data, [0x60, 0x60, 0x61, 0x61, 0x70, 0x70, 0x71, 0x71], "6.0 of both, 6.1, then 7");
}

/// First byte of each fragment's data.
fn samples(mut rest: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    while rest.len() >= 8 {
        let size = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        if &rest[4..8] == b"mdat" {
            found.push(rest[8]);
        }
        rest = &rest[size..];
    }
    found
}

#[tokio::test]
async fn key_frames_of_a_film_can_be_fetched_by_themselves() {
    let server = Server::with_film().await;
    let master = server.get("/stream/film/hls/master.m3u8").await.text();
    assert_eq!(master.matches("#EXT-X-I-FRAME-STREAM-INF").count(), 2, "{master}");
    let answer = server.get("/stream/film/hls/360p/iframes.m3u8").await;
    let playlist = parse(&answer);
    assert!(playlist.iframes_only && playlist.endlist);
    assert_eq!(playlist.segments.len(), uris(&answer.text()).len());
    assert_eq!(playlist.segments.len(), 3);
    for segment in &playlist.segments {
        let range = segment.byte_range.unwrap();
        let from = range.offset.unwrap();
        let bytes = format!("bytes={from}-{}", from + range.length - 1);
        let path = format!("/stream/film/hls/360p/{}", segment.uri);
        let frame = server.get_with(&path, &[("Range", &bytes)]).await;
        assert_eq!((frame.status, &frame.body[4..8]), (206, b"moof".as_slice()));
        assert_eq!(frame.body.len() as u64, range.length);
    }
}
