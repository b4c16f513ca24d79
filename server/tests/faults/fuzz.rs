//! Inputs from outside, made wrong at random: nothing panics, hangs or answers 500.
//!
//! Each target runs a fixed number of mutations, the same every time; with `WEIR_FUZZ_SECONDS` it goes on with others
//! for that long.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use gstreamer::prelude::*;
use serde_json::json;
use tower::ServiceExt as _;
use weir_server::package::{AudioConfig, VideoConfig, audio_init, muxed_init, video_init};
use weir_server::router::router;

use super::boxes::mutate_boxes;
use super::mutate::{Random, mutate};
use super::process::Process;
use super::rtmp_client::AVCC;
use super::support::Server;

/// Longest that one input may take on a busy machine.
const LONGEST: Duration = Duration::from_secs(10);
/// Longest for a file: GStreamer's decodebin loses some errors of broken files, and then our limit on its first
/// picture ends the job.
const LONGEST_FILE: Duration = Duration::from_secs(60);

/// Calls `target` with mutations of `seeds`: `times` of them, or as many as `WEIR_FUZZ_SECONDS` hold.
fn fuzz(times: u64, seeds: &[Vec<u8>], target: impl FnMut(&[u8])) {
    fuzz_within(LONGEST, times, seeds, target);
}

/// The same where one input may take longer.
fn fuzz_within(longest: Duration, times: u64, seeds: &[Vec<u8>], mut target: impl FnMut(&[u8])) {
    let seconds: Option<u64> = std::env::var("WEIR_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let (begun, mut seed) = (Instant::now(), 0);
    while match seconds {
        Some(seconds) => begun.elapsed() < Duration::from_secs(seconds),
        None => seed < times,
    } {
        seed += 1;
        let mut random = Random::new(seed);
        let (from, other) = (&seeds[random.below(seeds.len())], &seeds[random.below(seeds.len())]);
        let bytes = mutate(&mut random, from, other);
        let start = Instant::now();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target(&bytes)));
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
        assert!(outcome.is_ok(), "seed {seed} of {} bytes: {shown:?}", bytes.len());
        assert!(start.elapsed() < longest, "seed {seed} took {:?}: {shown:?}", start.elapsed());
    }
}

fn texts(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

const CMCD: &str = "bl=21300,br=3200,bs,cid=\"faec5fc2-ac30\",d=4004,dl=18500,mtp=48100,nor=\"..%2F300kbps%2Ftrack.m4v\",\
     nrr=\"12323-48763\",ot=v,pr=1.08,rtp=12000,sf=h,sid=\"6e2fb550-c457-11e9-bb97-0800200c9a66\",st=v,su,tb=6000,v=2";

/// Query strings, CMCD in queries and headers, ranges and conditions, against every route that reads them.
#[test]
fn queries_and_headers() {
    let runtime = runtime();
    let server = runtime.block_on(Server::with_film());
    let app = Arc::clone(&server.app);
    let encoded: String = url::form_urlencoded::byte_serialize(CMCD.as_bytes()).collect();
    let seeds = texts(&[
        &format!("CMCD={encoded}"),
        CMCD,
        "_HLS_msn=3&_HLS_part=1&_HLS_skip=YES",
        "sid=eyJzIjoiYSJ9.c2ln&s=abc&rung=360p&from=12.5",
        "state=ready&q=fi%6cm&page=1&per_page=200",
        "bytes=0-99,-5,200-",
        "W/\"18-360p-1-3\", \"*\", *",
        "text/html;q=0.9, */*;q=0.1, gzip;q=1.0, br",
    ]);
    let routes = [
        "/api/streams",
        "/stream/film/hls/master.m3u8",
        "/stream/film/hls/360p/index.m3u8",
        "/stream/film/dash/manifest.mpd",
        "/stream/film/poster.jpg",
        "/api/time",
        "/metrics",
        "/",
    ];
    let headers = [
        "cmcd-session",
        "cmcd-request",
        "range",
        "if-none-match",
        "if-range",
        "accept",
        "accept-encoding",
        "user-agent",
        "x-forwarded-for",
        "x-playback-session-id",
        "authorization",
        "if-match",
    ];
    let mut turn = 0;
    let mut answered = 0_u32;
    fuzz(3000, &seeds, |bytes| {
        turn += 1;
        // What hyper lets through: the rest never reaches a handler.
        let query: String =
            bytes.iter().filter(|b| b.is_ascii_graphic() && **b != b'#').map(|b| *b as char).collect();
        let mut request = Request::builder().uri(format!("{}?{query}", routes[turn % routes.len()]));
        if let Ok(value) = axum::http::HeaderValue::from_bytes(bytes) {
            request = request.header(headers[turn % headers.len()], value);
        }
        let Ok(request) = request.body(Body::empty()) else { return };
        let answer = runtime.block_on(router(Arc::clone(&app)).oneshot(request)).unwrap();
        assert!(answer.status().as_u16() < 500, "{}", answer.status());
        answered += 1;
    });
    assert!(answered > 1000, "most inputs are requests: {answered}");
}

/// Paths, method by method.
#[test]
fn paths() {
    let runtime = runtime();
    let server = runtime.block_on(Server::with_film());
    let app = Arc::clone(&server.app);
    let playlist = runtime.block_on(server.get("/stream/film/hls/360p/index.m3u8")).text();
    let names = super::support::uris(&playlist);
    let seeds = texts(&[
        &format!("stream/film/hls/360p/{}", names[0]),
        &format!("stream/film/dash/audio/{}", names[1]),
        "stream/film/hls/360p/index.m3u8",
        "api/stream/film",
        "api/upload/0192d5e5-0000-7000-8000-000000000000",
        "assets/app.css",
    ]);
    let mut turn = 0;
    fuzz(2000, &seeds, |bytes| {
        turn += 1;
        let path: String =
            bytes.iter().filter(|b| b.is_ascii_graphic() && **b != b'#').map(|b| *b as char).collect();
        let method = ["GET", "HEAD", "PUT", "PATCH"][turn % 4];
        let Ok(request) = Request::builder()
            .method(method)
            .uri(format!("/{path}"))
            .header("host", "127.0.0.1")
            .body(Body::empty())
        else {
            return;
        };
        let answer = runtime.block_on(router(Arc::clone(&app)).oneshot(request)).unwrap();
        assert!(answer.status().as_u16() < 500, "{path}: {}", answer.status());
    });
}

/// Bodies of the API.
#[test]
fn api_bodies() {
    let runtime = runtime();
    let server = runtime.block_on(Server::with_film());
    let app = Arc::clone(&server.app);
    let seeds = texts(&[
        &json!({"id": "a", "title": "Ä\u{1f600}", "mode": "vod", "source": {"type": "testcard", "height": 96,
            "duration_s": 4.5, "frame_rate": 29.97}, "profile": {"segment_ms": 2000}})
        .to_string(),
        &json!({"source": {"type": "url", "url": "http://127.0.0.1/a.mp4"}}).to_string(),
        &json!({"source": {"type": "file", "path": "../a.mp4"}}).to_string(),
        &json!({"mode": "live", "source": {"type": "publisher"}, "dvr_s": 60, "latency": "low", "record": true}).to_string(),
        &json!({"title": "new", "dvr_s": -1, "record": null}).to_string(),
        &json!({"url": "https://example.org/hook", "events": ["stream.started"], "secret": "x"}).to_string(),
        CMCD,
        &format!("[{}]", ["{}"; 40].join(",")),
        &"[".repeat(500),
    ]);
    let routes = [
        ("POST", "/api/stream/create", "application/json"),
        ("PATCH", "/api/stream/film", "application/merge-patch+json"),
        ("PATCH", "/api/stream/film", "application/json"),
        ("POST", "/api/beacon", "application/cmcd"),
        ("POST", "/api/beacon", "application/json"),
        ("POST", "/create", "multipart/form-data; boundary=x"),
        ("POST", "/api/upload", "multipart/form-data; boundary=x"),
        ("POST", "/api/webhooks", "application/json"),
    ];
    let mut turn = 0;
    fuzz(2500, &seeds, |bytes| {
        turn += 1;
        let (method, path, kind) = routes[turn % routes.len()];
        let mut body = bytes.to_vec();
        if kind.starts_with("multipart") {
            body.splice(0..0, *b"--x\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\n")
                .for_each(drop);
            body.extend(b"\r\n--x--\r\n");
        }
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1")
            .header("content-type", kind)
            .body(Body::from(body))
            .unwrap();
        let answer = runtime.block_on(router(Arc::clone(&app)).oneshot(request)).unwrap();
        let status = answer.status().as_u16();
        assert!(status < 500 || status == 503, "{method} {path}: {status}");
    });
}

/// Configurations of codecs, as publishers and files carry them.
#[test]
fn codec_configurations() {
    let hvcc = [
        &[1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93, 0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f, 1][..],
        &[0xa0, 0, 1, 0, 4, 0x40, 1, 12, 1],
    ]
    .concat();
    let seeds = [
        AVCC.to_vec(),
        hvcc,
        vec![0x81, 0, 0x0c, 0, 10, 11, 0, 0, 0, 4],
        vec![0x11, 0x90],
        vec![0x2b, 0x92, 0x08, 0x00],
        vec![0, 2, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0],
    ];
    let mut accepted = 0_u32;
    fuzz(20_000, &seeds, |bytes| {
        let sizes = [(320, 180), (0, 0), (u16::MAX, u16::MAX)];
        let video = VideoConfig::from_avcc(sizes[bytes.len() % 3].0, sizes[bytes.len() % 3].1, bytes);
        let audio = AudioConfig::from_asc(48_000, 2, 128_000, bytes);
        let others = [VideoConfig::from_hvcc(320, 180, bytes), VideoConfig::from_av1c(320, 180, bytes)];
        for other in others.into_iter().flatten() {
            assert!(other.codec_string().is_ascii() && !video_init(&other, 90_000).is_empty());
        }
        if let Ok(config) = AudioConfig::from_dops(96_000, bytes) {
            assert!(config.packet_ns(bytes) < 1_000_000_000 && !audio_init(&config).is_empty());
        }
        if let Ok(config) = &video {
            accepted += 1;
            assert!(config.codec_string().is_ascii());
            let init = video_init(config, 90_000);
            assert!(init.len() <= 4 * bytes.len() + 4096);
        }
        if let Ok(config) = &audio {
            accepted += 1;
            assert!(config.codec_string().is_ascii() && !audio_init(config).is_empty());
        }
        if let (Ok(video), Ok(audio)) = (&video, &audio) {
            let _ = muxed_init(&video_init(video, 90_000), &audio_init(audio));
        }
    });
    assert!(accepted > 100, "some are still good: {accepted}");
}

/// Lists of media data of players (CTA-5004), as text.
#[test]
fn cmcd_lists() {
    let seeds = texts(&[
        CMCD,
        "sid=\"a\",v=2,e=ps,ts=1700000000000,sta=p,bl=(v;1000 a;2000),bs",
        "nor=\"a,b\",sid=\"\\\"\"",
    ]);
    fuzz(20_000, &seeds, |bytes| {
        let parsed = weir_server::viewers::cmcd::Cmcd::parse(&String::from_utf8_lossy(bytes));
        assert!(format!("{parsed:?}").len() <= 16 * bytes.len() + 4096);
    });
}

/// A second of film in every kind of file that is uploaded: MP4 with its index in front, in fragments, Matroska, MPEG-TS.
fn films(folder: &Path) -> Vec<Vec<u8>> {
    gstreamer::init().unwrap();
    let kinds = ["mp4mux faststart=true", "mp4mux fragment-duration=400", "matroskamux", "mpegtsmux"];
    let film = |kind: &&str| {
        let path = folder.join("film");
        let text = format!(
            "{kind} name=m ! filesink location={} \
             videotestsrc num-buffers=25 ! video/x-raw,format=I420,width=64,height=48,framerate=25/1 \
             ! x264enc speed-preset=ultrafast bframes=2 b-adapt=false key-int-max=10 ! video/x-h264,profile=main \
             ! h264parse ! queue ! m. \
             audiotestsrc num-buffers=40 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 \
             ! avenc_aac ! aacparse ! queue ! m.",
            path.display()
        );
        let pipeline = gstreamer::parse::launch(&text).unwrap();
        pipeline.set_state(gstreamer::State::Playing).unwrap();
        let kinds = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
        let end = pipeline.bus().unwrap().timed_pop_filtered(gstreamer::ClockTime::from_seconds(60), &kinds);
        assert!(
            matches!(end.as_ref().map(|end| end.view()), Some(gstreamer::MessageView::Eos(_))),
            "{end:?}"
        );
        pipeline.set_state(gstreamer::State::Null).unwrap();
        std::fs::read(path).unwrap()
    };
    kinds.iter().map(film).collect()
}

/// Files, through the whole of upload, probe and packaging in a server of its own. What is wrong in an MP4 is wrong in
/// one of its boxes, with everything around it right.
#[test]
fn uploaded_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(&folder.path().join("data"), &["--jobs", "24"]);
    let films = films(folder.path());
    let (mut number, mut open) = (0, Vec::new());
    let mut ends = Ends::default();
    // How many, and for how long: what each is made of is said here.
    fuzz_within(LONGEST_FILE, 144, &[Vec::new()], |_| {
        number += 1;
        let mut random = Random::new(number);
        let film = &films[random.below(8).min(films.len() + 1) % films.len()];
        let file = match film.get(4..8) {
            Some(b"ftyp") => mutate_boxes(&mut random, film),
            // What is in front is what parsers read; media behind it is mostly noise to a mutation.
            _ => {
                let (head, media) = film.split_at(film.len().min(2500));
                [&mutate(&mut random, head, film)[..], media].concat()
            }
        };
        let length = format!("Content-Length: {}\r\n", file.len());
        let upload = server.send_raw("POST", "/api/upload", &length, &file);
        if file.is_empty() {
            assert_eq!(upload.status, 400);
            return;
        }
        assert_eq!(upload.status, 201);
        let upload = upload.json()["upload"].as_str().unwrap().to_owned();
        let body =
            json!({"id": format!("f{number}"), "source": {"type": "upload", "upload": upload}}).to_string();
        assert_eq!(server.send("POST", "/api/stream/create", "", &body).status, 201);
        open.push(number);
        if open.len() >= 48 {
            finish(&mut server, &mut open, &mut ends);
        }
    });
    finish(&mut server, &mut open, &mut ends);
    assert_eq!(server.get("/healthz").status, 200);
    eprintln!("{ends:?}");
    assert!(ends.ready > 10 && ends.failed > 10, "some can be played and some cannot: {ends:?}");
}

/// How files ended.
#[derive(Debug, Default)]
struct Ends {
    ready: u32,
    failed: u32,
}

/// Waits until every file is packaged or refused with a reason, and deletes its stream.
fn finish(server: &mut Process, open: &mut Vec<u64>, ends: &mut Ends) {
    let begun = Instant::now();
    for number in open.drain(..) {
        let path = format!("/api/stream/f{number}");
        loop {
            assert!(server.child.try_wait().unwrap().is_none(), "the server died of one of them");
            let stream = server.get(&path).json();
            match stream["state"].as_str().unwrap() {
                "ready" => {
                    ends.ready += 1;
                    break;
                }
                "failed" => {
                    ends.failed += 1;
                    assert!(stream["error"].as_str().is_some_and(|why| why.len() > 10), "{stream}");
                    break;
                }
                _ => assert!(begun.elapsed() < LONGEST_FILE, "it hangs: {stream}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(server.send("DELETE", &path, "", "").status, 204);
    }
}
