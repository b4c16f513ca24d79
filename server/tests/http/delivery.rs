//! Playlists, media, the progressive stream.

use std::sync::Arc;
use std::time::Duration;

use m3u8_rs::MediaPlaylistType;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weir_server::catalog::State;

use super::support::{Answer, PATIENCE, Server, add_segment, uris};

const BASE: &str = "/stream/film/hls";

async fn first_segment(server: &Server) -> String {
    let playlist = server.get(&format!("{BASE}/360p/index.m3u8")).await.text();
    format!("{BASE}/360p/{}", uris(&playlist)[0])
}

#[tokio::test]
async fn the_multivariant_playlist_says_what_players_need() {
    let server = Server::with_film().await;
    let answer = server.get(&format!("{BASE}/master.m3u8")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/vnd.apple.mpegurl"));
    let master = m3u8_rs::parse_master_playlist_res(&answer.body).unwrap();
    assert!(master.independent_segments);
    let key_frames: Vec<_> = master.variants.iter().map(|v| v.is_i_frame).collect();
    assert_eq!(key_frames, [false, false, true, true], "two rungs, and their key frames");
    let top = &master.variants[1];
    assert_eq!((top.resolution.unwrap().width, top.resolution.unwrap().height), (640, 360));
    assert_eq!(top.codecs.as_deref(), Some("avc1.64000d,mp4a.40.2"));
    assert_eq!(top.frame_rate, Some(25.0));
    assert_eq!(top.audio.as_deref(), Some("audio"));
    let renditions = server.app.media("film").unwrap().renditions();
    let peak: u64 = renditions[1..].iter().map(|r| r.peak_bandwidth().unwrap()).sum();
    assert_eq!(top.bandwidth, peak, "picture and sound together, as measured");
    assert_eq!(master.alternatives[0].uri.as_deref(), Some("audio/index.m3u8"));
}

#[tokio::test]
async fn a_complete_media_playlist_is_vod_and_all_it_names_is_there() {
    let server = Server::with_film().await;
    for rendition in ["180p", "360p", "audio"] {
        let answer = server.get(&format!("{BASE}/{rendition}/index.m3u8")).await;
        let playlist = m3u8_rs::parse_media_playlist_res(&answer.body).unwrap();
        assert_eq!(playlist.playlist_type, Some(MediaPlaylistType::Vod));
        assert!(playlist.end_list);
        assert_eq!((playlist.target_duration, playlist.segments.len()), (4, 3));
        assert!(playlist.segments.iter().all(|s| (s.duration - 4.0).abs() < 1e-6));
        let init = playlist.segments[0].map.as_ref().unwrap().uri.clone();
        for name in std::iter::once(init).chain(playlist.segments.iter().map(|s| s.uri.clone())) {
            let media = server.get(&format!("{BASE}/{rendition}/{name}")).await;
            assert_eq!(media.status, 200, "{name}");
            assert_eq!(media.header("content-length"), Some(media.body.len().to_string().as_str()));
            assert_eq!(media.header("cache-control"), Some("public, max-age=31536000, immutable"));
            assert_eq!(media.header("accept-ranges"), Some("bytes"));
            let mime = if rendition == "audio" { "audio/mp4" } else { "video/mp4" };
            assert_eq!(media.header("content-type"), Some(mime));
            assert!(media.header("etag").is_some_and(|tag| tag.starts_with('"')), "a strong tag");
        }
    }
}

#[tokio::test]
async fn a_growing_playlist_is_an_event_that_only_grows_and_ends_once() {
    let server =
        Server::with(|_| {}, &[("film", State::Failed, 0, false), ("grow", State::Ready, 1, false)]).await;
    // As the catalogue has it during packaging; the store is what grows.
    server.app.catalog.update("grow", |stream| stream.state = State::Packaging).await.unwrap();
    let media = server.app.media("grow").unwrap();
    let path = "/stream/grow/hls/360p/index.m3u8";
    let mut before: Option<Answer> = None;
    for number in 2..=4 {
        let answer = server.get(path).await;
        let playlist = m3u8_rs::parse_media_playlist_res(&answer.body).unwrap();
        assert_eq!(playlist.playlist_type, Some(MediaPlaylistType::Event));
        assert!(!playlist.end_list);
        assert_eq!(playlist.target_duration, 4);
        assert_eq!(playlist.segments.len() as u32, number - 1);
        assert_eq!(
            answer.header("cache-control"),
            Some("public, max-age=2, s-maxage=2"),
            "half a target duration"
        );
        if let Some(before) = before {
            assert!(answer.text().starts_with(&before.text()), "what was listed stays");
            assert_ne!(answer.header("etag"), before.header("etag"));
        }
        before = Some(answer);
        add_segment(&media, number);
    }
    media.complete().unwrap();
    let playlist = server.get(path).await.text();
    assert!(playlist.contains("#EXT-X-PLAYLIST-TYPE:VOD") && playlist.ends_with("#EXT-X-ENDLIST\n"));
    let master = server.get("/stream/grow/hls/master.m3u8").await;
    assert_eq!(master.header("cache-control"), Some("public, max-age=30, s-maxage=30"));
}

#[tokio::test]
async fn the_multivariant_playlist_waits_for_the_first_segment_of_every_rendition() {
    let server = Server::with(|_| {}, &[("grow", State::Ready, 0, false)]).await;
    server.app.catalog.update("grow", |stream| stream.state = State::Packaging).await.unwrap();
    let (first, ()) = tokio::join!(server.get("/stream/grow/hls/master.m3u8"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        add_segment(&server.app.media("grow").unwrap(), 1);
    });
    assert_eq!(first.status, 200);
    assert!(first.text().contains("BANDWIDTH=1206400"), "nominal while packaging: {}", first.text());
}

#[tokio::test]
async fn a_stream_that_failed_says_why_at_once_and_what_it_has_is_closed() {
    let streams = [("broken", State::Failed, 0, false), ("partly", State::Failed, 2, false)];
    let server = Server::with(|_| {}, &streams).await;
    let answer = server.get("/stream/broken/hls/master.m3u8").await;
    assert_eq!(answer.problem(404), "stream-failed");
    assert!(answer.text().contains("the source is broken"));
    let playlist = server.get("/stream/partly/hls/360p/index.m3u8").await.text();
    assert!(playlist.ends_with("#EXT-X-ENDLIST\n"), "nobody waits for what will not come: {playlist}");
}

#[tokio::test]
async fn ranges_conditions_and_head_work_on_segments() {
    let server = Server::with_film().await;
    let path = first_segment(&server).await;
    let whole = server.get(&path).await;
    let (length, tag) = (whole.body.len(), whole.header("etag").unwrap().to_owned());

    let part = server.get_with(&path, &[("Range", "bytes=8-15")]).await;
    assert_eq!((part.status, part.body.as_slice()), (206, &whole.body[8..16]));
    assert_eq!(part.header("content-range"), Some(format!("bytes 8-15/{length}").as_str()));
    assert_eq!(part.header("content-length"), Some("8"));

    let tail = server.get_with(&path, &[("Range", "bytes=-5")]).await;
    assert_eq!((tail.status, tail.body.as_slice()), (206, &whole.body[length - 5..]));

    let several = server.get_with(&path, &[("Range", "bytes=0-1,4-5")]).await;
    assert_eq!((several.status, several.body.len()), (200, length));

    for range in [format!("bytes={length}-"), "bytes=9-2".into(), "bytes=a-b".into()] {
        let refused = server.get_with(&path, &[("Range", &range)]).await;
        assert_eq!(refused.problem(416), "range-not-satisfiable", "{range}");
        assert_eq!(refused.header("content-range"), Some(format!("bytes */{length}").as_str()));
    }

    let known = server.get_with(&path, &[("If-None-Match", &tag)]).await;
    assert_eq!((known.status, known.body.len(), known.header("etag")), (304, 0, Some(tag.as_str())));
    let other = server.get_with(&path, &[("If-None-Match", "\"other\"")]).await;
    assert_eq!(other.status, 200);
    let same = server.get_with(&path, &[("Range", "bytes=0-0"), ("If-Range", &tag)]).await;
    assert_eq!(same.status, 206);
    let changed = server.get_with(&path, &[("Range", "bytes=0-0"), ("If-Range", "\"old\"")]).await;
    assert_eq!((changed.status, changed.body.len()), (200, length));

    let head = server.send("HEAD", &path, &[], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(length.to_string().as_str()));
    assert_eq!(head.header("etag"), Some(tag.as_str()));
}

#[tokio::test]
async fn playlists_are_gzipped_for_those_who_take_it_and_revalidate() {
    let server = Server::with_film().await;
    let path = format!("{BASE}/360p/index.m3u8");
    let plain = server.get(&path).await;
    let packed = server.get_with(&path, &[("Accept-Encoding", "gzip, deflate")]).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(
        (plain.header("vary"), packed.header("vary")),
        (Some("Accept-Encoding"), Some("Accept-Encoding"))
    );
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut text).unwrap();
    assert_eq!(text, plain.text());
    assert_ne!(packed.header("etag"), plain.header("etag"));
    let tag = packed.header("etag").unwrap();
    let again = server.get_with(&path, &[("Accept-Encoding", "gzip"), ("If-None-Match", tag)]).await;
    assert_eq!(again.status, 304);
}

#[tokio::test]
async fn other_origins_may_read_and_ask_first() {
    let server = Server::with_film().await;
    let path = first_segment(&server).await;
    let answer = server.get_with(&path, &[("Origin", "https://player.example")]).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let exposed = answer.header("access-control-expose-headers").unwrap();
    for name in ["Content-Length", "Content-Range", "Date", "ETag"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    assert!(answer.header("set-cookie").is_none());
    let preflight = server
        .send(
            "OPTIONS",
            &path,
            &[("Origin", "https://player.example"), ("Access-Control-Request-Method", "GET")],
            "",
        )
        .await;
    assert_eq!(preflight.status, 204);
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("Range"));
    assert!(!preflight.header("access-control-allow-methods").unwrap().contains("DELETE"));
    let error = server.get("/stream/none/hls/master.m3u8").await;
    assert_eq!(error.header("access-control-allow-origin"), Some("*"), "a page must be able to read errors");
}

#[tokio::test]
async fn bad_paths_are_refused_with_a_problem() {
    let server = Server::with_film().await;
    let rows = [
        ("/stream/none/hls/master.m3u8", 404),
        ("/stream/film/hls/999p/index.m3u8", 404),
        ("/stream/film/hls/360p/99999-0.m4s", 404),
        ("/stream/film/hls/360p/journal", 404),
        ("/stream/film/hls/360p/rendition.json", 404),
        ("/stream/film/hls/360p/..%2f..%2fstream.json", 404),
        ("/stream/film/hls/..%2f../x.m4s", 404),
        ("/stream/..%2f..%2fetc/hls/master.m3u8", 400),
        ("/stream/%2e%2e/hls/master.m3u8", 400),
        ("/stream/Film/hls/master.m3u8", 400),
        ("/stream/a%00b", 400),
        ("/stream/%ff%fe", 400),
        ("/stream/none/poster.jpg", 404),
        ("/stream/film/poster.jpg", 404),
        ("/../../etc/passwd", 404),
        ("/assets/../Cargo.toml", 404),
        ("/nowhere", 404),
    ];
    for (path, status) in rows {
        let answer = server.get(path).await;
        answer.problem(status);
    }
    let wrong = server.send("POST", "/api/streams", &[], "").await;
    assert_eq!(wrong.problem(405), "method-not-allowed");
    assert!(wrong.header("allow").is_some_and(|allow| allow.contains("GET")), "{:?}", wrong.headers);
}

#[tokio::test]
async fn media_of_a_deleted_and_recreated_stream_has_other_names() {
    let server = Server::with_film().await;
    let old = first_segment(&server).await;
    server.app.delete("film").await.unwrap();
    assert_eq!(server.get(&old).await.problem(404), "no-such-stream");
    let source = weir_server::catalog::Source::TestCard { height: 360, duration_s: 4.0, frame_rate: 25.0 };
    let mut again =
        weir_server::catalog::Stream::new("film", "Again", source, weir_server::ladder::Profile::default());
    again.state = State::Ready;
    let catalog = &server.app.catalog;
    catalog.create(again, None).await.unwrap();
    let media = server.app.store.create("film").unwrap();
    super::support::add_renditions(&media);
    add_segment(&media, 1);
    media.complete().unwrap();
    let new = first_segment(&server).await;
    assert_ne!(new, old, "caches keep media for ever");
    assert_eq!(server.get(&old).await.status, 404);
    assert_eq!(server.get(&new).await.status, 200);
}

#[tokio::test]
async fn what_does_not_ask_for_html_gets_one_chunked_mp4_of_picture_and_sound_in_turn() {
    let server = Server::with_film().await;
    let answer = server.get("/stream/film").await;
    assert_eq!((answer.status, answer.complete), (200, true));
    assert_eq!(answer.header("content-type"), Some("video/mp4"));
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert!(answer.header("content-length").is_none());
    let boxes = boxes(&answer.body);
    assert_eq!(&boxes[..2], ["ftyp", "moov"]);
    assert_eq!(boxes.iter().filter(|name| *name == "moof").count(), 6, "3 of picture, 3 of sound: {boxes:?}");
    assert_eq!(tracks(&answer.body), [1, 2, 1, 2, 1, 2]);

    let low = server.get("/stream/film?rung=180p").await;
    assert!(low.body.len() < answer.body.len());
    let sound = server.get("/stream/film?rung=audio").await;
    assert_eq!(tracks(&sound.body), [2, 2, 2]);
    let none = server.get("/stream/film?rung=4320p").await;
    assert_eq!(none.problem(404), "not-found");
    assert!(none.text().contains("180p, 360p, audio"));
    let head = server.send("HEAD", "/stream/film", &[], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let other = server.get_with("/stream/film", &[("Accept", "application/json")]).await;
    assert_eq!(other.problem(406), "not-acceptable");
    assert_eq!(other.header("vary"), Some("Accept"));
}

#[tokio::test]
async fn the_progressive_stream_follows_the_packaging_to_its_end() {
    let server = Server::with(|_| {}, &[("grow", State::Ready, 1, false)]).await;
    server.app.catalog.update("grow", |stream| stream.state = State::Packaging).await.unwrap();
    let media = server.app.media("grow").unwrap();
    let (answer, ()) = tokio::join!(server.get("/stream/grow"), async {
        for number in 2..=3 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            add_segment(&media, number);
        }
        media.complete().unwrap();
    });
    assert!(answer.complete);
    assert_eq!(tracks(&answer.body), [1, 2, 1, 2, 1, 2]);
}

#[tokio::test]
async fn a_progressive_stream_of_a_deleted_stream_is_cut_and_not_ended() {
    let server = Server::with(|_| {}, &[("grow", State::Ready, 1, false)]).await;
    server.app.catalog.update("grow", |stream| stream.state = State::Packaging).await.unwrap();
    let mut socket = server.connect().await;
    socket.write_all(b"GET /stream/grow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut all = vec![0; 1000];
    socket.read_exact(&mut all).await.unwrap();
    let app = Arc::clone(&server.app);
    app.delete("grow").await.unwrap();
    let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut all)).await.unwrap();
    assert!(read.is_err() || !Answer::parse(&all).complete, "the client must see that something is missing");
}

#[tokio::test]
async fn dash_describes_the_same_segments() {
    let server = Server::with_film().await;
    let answer = server.get("/stream/film/dash/manifest.mpd").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/dash+xml")));
    let text = answer.text();
    super::mpd_schema::check(&text);
    assert!(text.contains("type=\"static\" mediaPresentationDuration=\"PT12.0S\""), "{text}");
    assert_eq!(text.matches("<Representation ").count(), 3);
    assert_eq!(text.matches("<S t=\"0\" d=\"100000\" r=\"2\"/>").count(), 2);
    let playlist = server.get(&format!("{BASE}/360p/index.m3u8")).await.text();
    for name in uris(&playlist) {
        let dash = server.get(&format!("/stream/film/dash/360p/{name}")).await;
        let hls = server.get(&format!("{BASE}/360p/{name}")).await;
        assert_eq!((dash.status, dash.body), (200, hls.body));
    }
}

#[tokio::test]
async fn the_manifest_of_a_growing_stream_is_dynamic_and_its_start_never_moves() {
    let server = Server::with(|_| {}, &[("grow", State::Ready, 1, false)]).await;
    server.app.catalog.update("grow", |stream| stream.state = State::Packaging).await.unwrap();
    let media = server.app.media("grow").unwrap();
    let path = "/stream/grow/dash/manifest.mpd";
    let first = server.get(path).await.text();
    let attribute = |text: &str, name: &str| {
        text.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned)
    };
    assert_eq!(attribute(&first, " type").as_deref(), Some("dynamic"));
    assert_eq!(server.get(path).await.text(), first, "publishTime changes only with the manifest");
    add_segment(&media, 2);
    let second = server.get(path).await.text();
    super::mpd_schema::check(&second);
    assert!(second.contains("<S t=\"0\" d=\"100000\" r=\"1\"/>"), "{second}");
    let start = |text: &str| attribute(text, "availabilityStartTime").unwrap();
    assert_eq!(start(&second), start(&first));
    media.complete().unwrap();
    let last = server.get(path).await.text();
    assert_eq!(attribute(&last, " type").as_deref(), Some("static"));
    assert!(
        attribute(&last, "availabilityStartTime").is_none()
            && attribute(&last, "minimumUpdatePeriod").is_none()
    );
}

fn each_box(bytes: &[u8]) -> impl Iterator<Item = (String, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let size = u32::from_be_bytes(rest.get(..4)?.try_into().unwrap()) as usize;
        let (this, next) = rest.split_at(size);
        rest = next;
        Some((String::from_utf8_lossy(&this[4..8]).into_owned(), &this[8..]))
    })
}

fn boxes(bytes: &[u8]) -> Vec<String> {
    each_box(bytes).map(|(name, _)| name).collect()
}

/// Track of each fragment, whose sequence numbers must count up.
fn tracks(bytes: &[u8]) -> Vec<u32> {
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes[4..8].try_into().unwrap());
    let mut sequence = 0;
    each_box(bytes)
        .filter(|(name, _)| name == "moof")
        .map(|(_, moof)| {
            let mfhd = each_box(moof).find(|(name, _)| name == "mfhd").unwrap().1;
            sequence += 1;
            assert_eq!(number(mfhd), sequence);
            let traf = each_box(moof).find(|(name, _)| name == "traf").unwrap().1;
            number(each_box(traf).find(|(name, _)| name == "tfhd").unwrap().1)
        })
        .collect()
}

#[tokio::test]
async fn an_address_that_needs_decoding_gets_the_same_answer_by_another_way() {
    let server = Server::with_film().await;
    let segment = first_segment(&server).await;
    let paths = [
        format!("{BASE}/360p/index.m3u8"),
        format!("{BASE}/360p/iframes.m3u8"),
        segment.replace("/hls/", "/dash/"),
        segment,
        format!("{BASE}/360p/99-nothing.m4s"),
        format!("{BASE}/4k/index.m3u8"),
        "/stream/film/smooth/360p/index.m3u8".to_owned(),
        "/stream/none/hls/360p/index.m3u8".to_owned(),
    ];
    let ranges: [&[(&str, &str)]; 3] = [&[], &[("Range", "bytes=0-9")], &[("If-None-Match", "*")]];
    for path in &paths {
        for method in ["GET", "HEAD", "DELETE"] {
            for headers in ranges {
                let encoded = path.replacen("/stream/", "/stream/%", 1);
                let id = encoded.split('%').nth(1).unwrap().chars().next().unwrap();
                let encoded = encoded.replacen(&format!("%{id}"), &format!("%{:02x}", id as u32), 1);
                let seen = |answer: Answer| {
                    let mut headers = answer.headers;
                    headers.retain(|(name, _)| name != "date");
                    headers.sort();
                    (answer.status, headers, answer.body)
                };
                let short = seen(server.send(method, path, headers, "").await);
                let long = seen(server.send(method, &encoded, headers, "").await);
                assert_eq!(short, long, "{method} {path} {headers:?}");
            }
        }
    }
}
