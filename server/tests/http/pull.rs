//! Streams that are pulled from another server by HLS.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
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
    assert_eq!(relay["live"]["session"]["discontinuities"], 0);
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
