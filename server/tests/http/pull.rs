//! Streams that are pulled from another server by HLS.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gstreamer::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use weir_server::package::{Sample, VIDEO_TRACK, VideoConfig, media_segment, video_init};

use super::support::{AVCC, Server, uris};

/// Long enough for a machine that is busy encoding.
const LONG: Duration = Duration::from_secs(60);

async fn pulling() -> Server {
    Server::with(|config| config.allow_private_sources = true, &[]).await
}

/// Asks for the stream until it `is` so.
async fn until(server: &Server, id: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let wait = async {
        let mut changes = server.app.catalog.changes();
        loop {
            last = server.get(&format!("/api/stream/{id}")).await.json();
            if is(&last) {
                return;
            }
            // What a session or a pull tells is no change of the catalogue.
            let _ = tokio::time::timeout(Duration::from_millis(100), changes.changed()).await;
        }
    };
    if tokio::time::timeout(LONG, wait).await.is_err() {
        panic!("never {what}: {last}");
    }
    last
}

async fn pull(server: &Server, url: &str, mode: &str) {
    let body = json!({"id": "copy", "mode": mode, "source": {"type": "url", "url": url}});
    let made = server.post_json("/api/stream/create", &body).await;
    assert_eq!(made.status, 201, "{}", made.text());
}

#[tokio::test]
async fn a_recording_is_pulled_and_packaged_like_a_file_and_a_live_stream_goes_on_air() {
    let (source, copy) = (Server::with(|_| {}, &[]).await, pulling().await);
    let card = json!({"type": "testcard", "height": 96, "duration_s": 4, "frame_rate": 25});
    source.post_json("/api/stream/create", &json!({"id": "card", "source": card})).await;
    source.post_json("/api/stream/create", &json!({"id": "air", "mode": "live", "source": card})).await;
    until(&source, "card", "packaged", |stream| stream["state"] == "ready").await;
    let base = format!("http://{}/stream", source.address);
    pull(&copy, &format!("{base}/card/hls/master.m3u8"), "vod").await;
    let stream = until(&copy, "copy", "packaged", |s| s["state"] == "ready" || s["state"] == "failed").await;
    assert_eq!((&stream["state"], &stream["error"]), (&json!("ready"), &Value::Null));
    assert!((stream["duration_s"].as_f64().unwrap() - 4.0).abs() < 0.1, "{stream}");
    let names: Vec<_> = stream["renditions"].as_array().unwrap().iter().map(|r| r["name"].clone()).collect();
    assert_eq!(names, ["source", "audio"]);

    until(&source, "air", "two segments", |s| s["renditions"][0]["segments"].as_u64() > Some(1)).await;
    let body = json!({
        "id": "relay", "mode": "live",
        "source": {"type": "url", "url": format!("{base}/air/hls/master.m3u8")},
    });
    assert_eq!(copy.post_json("/api/stream/create", &body).await.status, 201);
    let relay = until(&copy, "relay", "on air", |s| s["renditions"][0]["segments"].as_u64() > Some(0)).await;
    let (session, pull) = (&relay["live"]["session"], &relay["live"]["pull"]);
    assert_eq!((&relay["state"], &session["publisher"]["app"]), (&json!("live"), &json!("pull")));
    assert_eq!((session["tracks"].as_array().unwrap().len(), &session["discontinuities"]), (2, &json!(0)));
    assert_eq!((&pull["state"], &pull["error"], &pull["lost"]), (&json!("playing"), &Value::Null, &json!(0)));
    assert_eq!(pull["resolution"][1], 96);
    let list = copy.get("/stream/relay/hls/source/index.m3u8").await.text();
    let segment = copy.get(&format!("/stream/relay/hls/source/{}", uris(&list)[0])).await;
    assert!(segment.status == 200 && segment.body.len() > 1000);
    // The source's end is the copy's.
    source.send("POST", "/api/stream/air/stop", &[], "").await;
    let relay = until(&copy, "relay", "over", |s| s["state"] == "ended").await;
    assert_eq!(relay["live"]["pull"]["state"], "ended");
    assert_eq!(relay["live"]["session"]["discontinuities"], 0, "{relay}");
}

/// Answers that a test can change.
type Answers = Arc<Mutex<HashMap<String, (u16, Bytes)>>>;

/// A source that says what the test wants. `None` in its table: 404; an empty answer of status 0: the connection breaks.
async fn source() -> (SocketAddr, Answers) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, answers) = (listener.local_addr().unwrap(), Answers::default());
    let table = Arc::clone(&answers);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let table = Arc::clone(&table);
            tokio::spawn(async move {
                let mut head = Vec::new();
                let mut buffer = [0; 1024];
                while !head.ends_with(b"\r\n\r\n") {
                    match socket.read(&mut buffer).await {
                        Ok(count) if count > 0 => head.extend_from_slice(&buffer[..count]),
                        _ => return,
                    }
                }
                let path = String::from_utf8_lossy(&head).split([' ', '?']).nth(1).unwrap_or("").to_owned();
                let answer = table.lock().unwrap().get(&path).cloned();
                let (status, body) = answer.unwrap_or((404, Bytes::new()));
                if status == 0 {
                    return;
                }
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                let _ = socket.write_all(&[head.as_bytes(), &body].concat()).await;
            });
        }
    });
    (address, answers)
}

fn put(answers: &Answers, path: &str, body: impl Into<Bytes>) {
    answers.lock().unwrap().insert(path.to_owned(), (200, body.into()));
}

/// A second of pictures that nobody needs to decode.
fn second(number: u32) -> Bytes {
    let picture = |key: bool| Sample {
        duration: 3600,
        composition_offset: 0,
        key,
        data: Bytes::from_static(if key { &[0, 0, 0, 2, 0x65, 1] } else { &[0, 0, 0, 2, 0x41, 1] }),
    };
    let samples: Vec<_> = (0..25).map(|n| picture(n == 0)).collect();
    media_segment(VIDEO_TRACK, number, u64::from(number) * 90_000, &samples).unwrap()
}

/// A live playlist of these seconds.
fn on_air(answers: &Answers, numbers: std::ops::Range<u32>, end: bool) {
    let mut list = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{}\n#EXT-X-MAP:URI=\"init.mp4\"\n",
        numbers.start
    );
    for number in numbers {
        put(answers, &format!("/{number}.m4s"), second(number));
        list += &format!("#EXTINF:1,\n{number}.m4s\n");
    }
    put(answers, "/live.m3u8", list + if end { "#EXT-X-ENDLIST\n" } else { "" });
    let config = VideoConfig::from_avcc(320, 180, AVCC).unwrap();
    put(answers, "/init.mp4", video_init(&config, 90_000));
}

/// Half a second of pictures; the first half of a second begins with a key frame.
fn half(number: u32) -> Bytes {
    let picture = |key: bool| Sample {
        duration: 3600,
        composition_offset: 0,
        key,
        data: Bytes::from_static(if key { &[0, 0, 0, 2, 0x65, 1] } else { &[0, 0, 0, 2, 0x41, 1] }),
    };
    let (from, count) = if number.is_multiple_of(2) { (0, 12) } else { (12, 13) };
    let samples: Vec<_> = (0..count).map(|n| picture(from + n == 0)).collect();
    let start = u64::from(number / 2) * 90_000 + from * 3600;
    media_segment(VIDEO_TRACK, number + 1, start, &samples).unwrap()
}

/// A low-latency playlist of the first halves of seconds. Whole seconds cannot be had, only their halves.
fn on_air_in_parts(answers: &Answers, halves: u32, end: bool) {
    let mut list = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n\
                    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n#EXT-X-PART-INF:PART-TARGET=0.52\n\
                    #EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-MAP:URI=\"init.mp4\"\n"
        .to_owned();
    for number in 0..halves {
        put(answers, &format!("/secret/{number}.m4s"), half(number));
        let (seconds, key) =
            if number.is_multiple_of(2) { ("0.48", ",INDEPENDENT=YES") } else { ("0.52", "") };
        list += &format!("#EXT-X-PART:DURATION={seconds},URI=\"{{$token}}/{number}.m4s\"{key}\n");
        if number % 2 == 1 {
            list += &format!("#EXTINF:1,\nwhole-{}.m4s\n", number / 2);
        }
    }
    put(answers, "/live.m3u8", list + if end { "#EXT-X-ENDLIST\n" } else { "" });
    let config = VideoConfig::from_avcc(320, 180, AVCC).unwrap();
    put(answers, "/init.mp4", video_init(&config, 90_000));
}

#[tokio::test]
async fn a_low_latency_source_is_pulled_part_by_part() {
    let ((address, answers), copy) = (source().await, pulling().await);
    on_air_in_parts(&answers, 9, false);
    pull(&copy, &format!("http://{address}/live.m3u8?token=secret"), "live").await;
    // One and a half seconds from the end is within 2; the half that is in progress is there already.
    let duration = |s: &Value| s["live"]["session"]["duration_ms"].as_u64().unwrap_or(0);
    until(&copy, "copy", "at the half in progress", |s| duration(s) >= 2000).await;
    for halves in 10..=13 {
        on_air_in_parts(&answers, halves, false);
        let wanted = 2000 + u64::from(halves - 9) * 480;
        until(&copy, "copy", "one half further", |s| duration(s) >= wanted).await;
    }
    on_air_in_parts(&answers, 14, true);
    let over = until(&copy, "copy", "over", |s| s["live"]["pull"]["state"] == "ended").await;
    let (pull, session) = (&over["live"]["pull"], &over["live"]["session"]);
    assert_eq!((&pull["lost"], &pull["error"]), (&json!(0), &Value::Null), "{over}");
    assert_eq!((&session["discontinuities"], &session["dropped"]), (&json!(0), &json!(0)), "{over}");
    assert_eq!(pull["segments"], 5, "seconds 2 to 6, each counted once: {over}");
}

#[tokio::test]
async fn a_recording_in_hevc_and_ts_is_packaged_in_hevc() {
    let ((address, answers), copy) = (source().await, pulling().await);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film.ts");
    let text = format!(
        "mpegtsmux name=m ! filesink location={} videotestsrc num-buffers=75 \
         ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 \
         ! x265enc key-int-max=25 speed-preset=ultrafast option-string=open-gop=0 ! h265parse ! queue ! m. \
         audiotestsrc num-buffers=140 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 \
         ! avenc_aac ! aacparse ! queue ! m.",
        path.display()
    );
    tokio::task::spawn_blocking(move || run(&text)).await.unwrap();
    put(&answers, "/film.ts", std::fs::read(path).unwrap());
    put(&answers, "/film.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfilm.ts\n#EXT-X-ENDLIST\n");
    pull(&copy, &format!("http://{address}/film.m3u8"), "vod").await;
    let stream = until(&copy, "copy", "packaged", |s| s["state"] == "ready" || s["state"] == "failed").await;
    assert_eq!((&stream["state"], &stream["error"]), (&json!("ready"), &Value::Null));
    let found = stream["renditions"].as_array().unwrap();
    let source = found.iter().find(|r| r["name"] == "source").unwrap_or_else(|| panic!("{stream}"));
    assert!(source["codecs"].as_str().unwrap().starts_with("hvc1.1."), "{source}");
    assert_eq!((&source["width"], &source["height"]), (&json!(320), &json!(180)));
    assert!((stream["duration_s"].as_f64().unwrap() - 3.0).abs() < 0.1, "{stream}");
    // Each of its pictures is there, and decodes: as the progressive stream of that rung.
    let film = copy.get("/stream/copy?rung=source").await;
    let file = folder.path().join("source.mp4");
    std::fs::write(&file, &film.body).unwrap();
    let text = format!(
        "filesrc location={} ! qtdemux name=d d.video_0 ! h265parse ! avdec_h265 ! appsink name=out sync=false",
        file.display()
    );
    let pictures = tokio::task::spawn_blocking(move || run(&text)).await.unwrap();
    assert_eq!(pictures, 75);
}

#[tokio::test]
async fn a_recording_whose_coding_changes_on_the_way_is_packaged_whole() {
    let ((address, answers), copy) = (source().await, pulling().await);
    let folder = tempfile::tempdir().unwrap();
    let parts = [
        ("a.ts", "width=320,height=180", "x264enc speed-preset=ultrafast key-int-max=25 ! h264parse", true),
        ("b.ts", "width=640,height=360", "x265enc speed-preset=ultrafast key-int-max=25 ! h265parse", true),
        ("c.ts", "width=320,height=180", "x264enc speed-preset=ultrafast key-int-max=25 ! h264parse", false),
    ];
    for (name, size, encoder, sound) in parts {
        let path = folder.path().join(name);
        let mut text = format!(
            "mpegtsmux name=m ! filesink location={} videotestsrc num-buffers=50 \
             ! video/x-raw,format=I420,{size},framerate=25/1 ! {encoder} ! queue ! m.",
            path.display()
        );
        if sound {
            text += " audiotestsrc num-buffers=93 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 \
                     ! avenc_aac ! aacparse ! queue ! m.";
        }
        tokio::task::spawn_blocking(move || run(&text)).await.unwrap();
        put(&answers, &format!("/{name}"), std::fs::read(path).unwrap());
    }
    let list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:2,\nb.ts\n\
                #EXT-X-DISCONTINUITY\n#EXTINF:2,\nc.ts\n#EXT-X-ENDLIST\n";
    put(&answers, "/film.m3u8", list);
    pull(&copy, &format!("http://{address}/film.m3u8"), "vod").await;
    let stream = until(&copy, "copy", "packaged", |s| s["state"] == "ready" || s["state"] == "failed").await;
    assert_eq!((&stream["state"], &stream["error"]), (&json!("ready"), &Value::Null));
    assert!((stream["duration_s"].as_f64().unwrap() - 6.0).abs() < 0.15, "{stream}");
    let found = stream["renditions"].as_array().unwrap();
    let names: Vec<_> = found.iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["240p", "360p", "audio"], "as large as its largest pictures");
    let film = copy.get("/stream/copy?rung=360p").await;
    let file = folder.path().join("whole.mp4");
    std::fs::write(&file, &film.body).unwrap();
    let text = format!(
        "filesrc location={} ! decodebin name=d ! video/x-raw ! appsink name=out sync=false",
        file.display()
    );
    let pictures = tokio::task::spawn_blocking(move || run(&text)).await.unwrap();
    assert!((148..=153).contains(&pictures), "{pictures} pictures of 150");
    let left = std::fs::read_dir(copy.app.media("copy").unwrap().folder()).unwrap().flatten();
    let left: Vec<_> = left.map(|file| file.file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.starts_with("source.media")), "{left:?}");
}

/// Runs a pipeline to its end, and counts what its appsink `out` gets, if it has one.
fn run(text: &str) -> u32 {
    gstreamer::init().unwrap();
    let pipeline = gstreamer::parse::launch(text).unwrap().downcast::<gstreamer::Pipeline>().unwrap();
    pipeline.set_state(gstreamer::State::Playing).unwrap();
    let mut count = 0;
    if let Some(out) = pipeline.by_name("out") {
        let out = out.downcast::<gstreamer_app::AppSink>().unwrap();
        while out.pull_sample().is_ok() {
            count += 1;
        }
    }
    let kinds = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
    let end = pipeline.bus().unwrap().timed_pop_filtered(gstreamer::ClockTime::from_seconds(60), &kinds);
    assert!(matches!(end.as_ref().map(|end| end.view()), Some(gstreamer::MessageView::Eos(_))), "{end:?}");
    pipeline.set_state(gstreamer::State::Null).unwrap();
    count
}

#[tokio::test]
async fn a_source_that_goes_away_is_asked_again_and_told() {
    let ((address, answers), copy) = (source().await, pulling().await);
    let url = format!("http://{address}/live.m3u8?token=secret");
    // Nothing is there yet: it is asked again.
    pull(&copy, &url, "live").await;
    let waiting = until(&copy, "copy", "waiting", |s| s["live"]["pull"]["error"].is_string()).await;
    let error = waiting["live"]["pull"]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("404") && !error.contains("secret"), "{error}");
    assert_eq!(waiting["state"], "idle");
    on_air(&answers, 10..14, false);
    until(&copy, "copy", "on air", |s| s["live"]["session"]["state"] == "live").await;
    let playing = until(&copy, "copy", "playing", |s| s["live"]["pull"]["state"] == "playing").await;
    assert_eq!(
        (&playing["live"]["pull"]["error"], &playing["live"]["pull"]["attempts"]),
        (&Value::Null, &json!(0))
    );
    // Nothing new comes any more, and then nothing at all.
    answers.lock().unwrap().insert("/live.m3u8".to_owned(), (0, Bytes::new()));
    let lost = until(&copy, "copy", "lost", |s| s["live"]["pull"]["error"].is_string()).await;
    assert!(lost["live"]["pull"]["error"].as_str().unwrap().contains("no new segment"), "{lost}");
    assert_eq!(lost["state"], "live", "within the grace");
    // It comes back with numbers and times of its own.
    on_air(&answers, 100..104, true);
    let ended = until(&copy, "copy", "over", |s| s["live"]["pull"]["state"] == "ended").await;
    assert_eq!(ended["live"]["session"]["discontinuities"], 1, "{ended}");
    until(&copy, "copy", "ended", |s| s["state"] == "ended").await;
}

#[tokio::test]
async fn a_lost_segment_is_a_discontinuity_and_no_end() {
    let ((address, answers), copy) = (source().await, pulling().await);
    on_air(&answers, 1..8, true);
    answers.lock().unwrap().remove("/3.m4s");
    put(&answers, "/5.m4s", "<html>this is no segment</html>");
    pull(&copy, &format!("http://{address}/live.m3u8"), "live").await;
    let over = until(&copy, "copy", "over", |s| s["live"]["pull"]["state"] == "ended").await;
    assert_eq!((&over["live"]["pull"]["lost"], &over["live"]["pull"]["segments"]), (&json!(2), &json!(5)));
    assert_eq!(over["live"]["session"]["discontinuities"], 2, "{over}");
}

#[tokio::test]
async fn bad_sources_fail_with_a_reason_and_stop_at_once_when_told() {
    let ((address, answers), copy) = (source().await, pulling().await);
    let base = format!("http://{address}");
    let variant = |uri: &str| format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{uri}\n");
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n";
    put(&answers, "/loop.m3u8", variant("loop.m3u8"));
    put(&answers, "/none.m3u8", variant("missing.m3u8"));
    put(&answers, "/garbage.m3u8", format!("{head}\u{1}\u{2}#EXTINF:x\n#EXT-X-ENDLIST"));
    put(&answers, "/gone.m3u8", format!("{head}#EXTINF:1,\nmissing.ts\n#EXT-X-ENDLIST\n"));
    put(&answers, "/html.m3u8", format!("{head}#EXTINF:1,\nhtml.m3u8\n#EXT-X-ENDLIST\n"));
    put(&answers, "/file.m3u8", format!("{head}#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"));
    put(
        &answers,
        "/drm.m3u8",
        format!("{head}#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n#EXTINF:1,\na\n#EXT-X-ENDLIST\n"),
    );
    on_air(&answers, 1..3, false);
    let rows = [
        ("loop", "lists variants again"),
        ("none", "404"),
        ("garbage", "neither"),
        ("gone", "404"),
        ("html", "neither"),
        ("file", "file"),
        ("drm", "SAMPLE-AES"),
        ("live", "\"mode\": \"live\""),
    ];
    for (name, why) in rows {
        let body = json!({"id": name, "source": {"type": "url", "url": format!("{base}/{name}.m3u8")}});
        assert_eq!(copy.post_json("/api/stream/create", &body).await.status, 201);
        let failed = until(&copy, name, "failed", |s| s["state"] == "failed").await;
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains(why), "{name}: {error}");
    }
    // As live streams they are asked again, until somebody stops that.
    pull(&copy, &format!("{base}/loop.m3u8"), "live").await;
    until(&copy, "copy", "told", |s| s["live"]["pull"]["error"].is_string()).await;
    copy.send("POST", "/api/stream/copy/stop", &[], "").await;
    until(&copy, "copy", "stopped", |s| s["live"]["pull"]["state"] == "stopped").await;
    copy.send("POST", "/api/stream/copy/start", &[], "").await;
    until(&copy, "copy", "asked again", |s| s["live"]["pull"]["state"] != "stopped").await;
    assert_eq!(copy.send("DELETE", "/api/stream/copy", &[], "").await.status, 204);
    copy.get("/api/stream/copy").await.problem(404);
}

#[tokio::test]
async fn private_addresses_are_refused_as_sources_and_behind_them() {
    let ((address, answers), guarded) = (source().await, Server::with(|_| {}, &[]).await);
    on_air(&answers, 1..3, false);
    for mode in ["vod", "live"] {
        let body =
            json!({"mode": mode, "source": {"type": "url", "url": format!("http://{address}/live.m3u8")}});
        let refused = guarded.post_json("/api/stream/create", &body).await;
        refused.problem(422);
        assert_eq!(refused.json()["errors"][0]["field"], "source.url");
    }
}
