//! Publishing by RTMP, from the socket to the store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use weir_server::app::App;
use weir_server::catalog::State;
use weir_server::ingest::rtmp::amf::Value;
use weir_server::ingest::rtmp::{RtmpLimits, RtmpServer};
use weir_server::live::{LiveState, LiveStatus};

use super::rtmp_client::{ASC, AVCC, RtmpClient};
use super::support::{PATIENCE, Server};

/// A server with RTMP, and the live stream `cam` with its key.
async fn with_rtmp(limits: RtmpLimits, settings: serde_json::Value) -> (Server, SocketAddr, String) {
    let server = Server::with(|_| {}, &[]).await;
    let rtmp = RtmpServer::bind(([127, 0, 0, 1], 0).into(), limits).await.unwrap();
    let address = rtmp.address();
    tokio::spawn(rtmp.serve(Arc::clone(&server.app), server.app.stop.clone()));
    let mut body = json!({"id": "cam", "mode": "live"});
    body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let made = server.post_json("/api/stream/create", &body).await.json();
    (server, address, made["stream_key"].as_str().unwrap().to_owned())
}

async fn until(server: &Server, what: &str, is: impl Fn(&LiveStatus) -> bool) -> LiveStatus {
    let wait = async {
        let mut status = server.app.live.watch("cam").expect("a session");
        status.wait_for(|status| is(status)).await.map(|status| status.clone())
    };
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(Ok(status)) => status,
        _ => panic!("never {what}: {:?}", server.app.live.status("cam")),
    }
}

async fn until_state(server: &Server, state: State) {
    let wait = async {
        let mut changes = server.app.catalog.changes();
        while server.app.catalog.get("cam").unwrap().state != state {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never {state:?}"));
}

/// Seconds listed in each of the stream's playlists of these renditions.
fn listed(server: &Server, rendition: &str) -> f64 {
    let media = server.app.media("cam").unwrap();
    let rendition = media.rendition(rendition).expect("the rendition");
    let timescale = f64::from(rendition.info().timescale);
    rendition.window().segments.iter().map(|segment| segment.duration as f64 / timescale).sum()
}

#[tokio::test]
async fn what_is_published_is_packaged_and_told() {
    let (server, address, key) = with_rtmp(RtmpLimits::default(), json!({"dvr_s": 0})).await;
    let (mut client, status) = RtmpClient::publish(address, &key).await;
    assert_eq!(status, "NetStream.Publish.Start");
    client.configure().await;
    client.play(0, 8000).await;
    let now = until(&server, "eight seconds", |now| now.duration_ms >= 6000).await;
    assert_eq!((now.state, now.tracks.len(), now.discontinuities), (LiveState::Live, 2, 0));
    until_state(&server, State::Live).await;
    let view = server.get("/api/stream/cam").await.json();
    let publisher = &view["live"]["session"]["publisher"];
    assert_eq!(
        (&publisher["address"], &publisher["app"], &publisher["agent"]),
        (&json!("127.0.0.1"), &json!("rtmp"), &json!("test/1"))
    );
    assert_eq!(view["state"], "live");
    let names: Vec<_> = view["renditions"].as_array().unwrap().iter().map(|r| r["name"].clone()).collect();
    assert!(names.contains(&json!("source")) && names.contains(&json!("audio")), "{names:?}");

    let stopped = server.send("POST", "/api/stream/cam/stop", &[], "").await;
    assert_eq!(stopped.json()["state"], "ended");
    assert_eq!(client.status().await, "NetStream.Publish.Denied");
    client.closed().await;
    for rendition in ["source", "audio"] {
        assert!(
            (7.5..8.5).contains(&listed(&server, rendition)),
            "{rendition}: {}",
            listed(&server, rendition)
        );
    }
    let (_, status) = RtmpClient::publish(address, &key).await;
    assert_eq!(status, "NetStream.Publish.Denied", "not before it is started again");
    server.send("POST", "/api/stream/cam/start", &[], "").await;
    let (mut client, status) = RtmpClient::publish(address, &key).await;
    assert_eq!(status, "NetStream.Publish.Start");
    client.configure().await;
    client.play(0, 4000).await;
    until(&server, "on air again", |now| now.duration_ms >= 10_000).await;
    until_state(&server, State::Live).await;
}

#[tokio::test]
async fn wrong_keys_are_refused_and_then_the_address() {
    let limits = RtmpLimits { wrong_keys: 3, ..RtmpLimits::default() };
    let (_server, address, key) = with_rtmp(limits, json!({})).await;
    for wrong in ["", "guess", "cam", &key[1..]] {
        let (mut client, status) = RtmpClient::publish(address, wrong).await;
        assert_eq!(status, "NetStream.Publish.Unauthorized", "{wrong}");
        client.closed().await;
    }
    let (_, status) = RtmpClient::publish(address, &key).await;
    assert_eq!(status, "NetStream.Publish.Unauthorized", "the address has to wait, whatever key comes");
}

#[tokio::test]
async fn a_second_publisher_takes_over_or_is_refused() {
    let (server, address, key) = with_rtmp(RtmpLimits::default(), json!({})).await;
    let (mut first, _) = RtmpClient::publish(address, &key).await;
    let (mut second, status) = RtmpClient::publish(address, &format!("cam?key={key}")).await;
    assert_eq!(status, "NetStream.Publish.Start");
    assert_eq!(
        first.status().await,
        "NetStream.Publish.Denied",
        "the first is told although it sends nothing"
    );
    first.closed().await;
    let headers = [("Content-Type", "application/merge-patch+json")];
    let patched = server.send("PATCH", "/api/stream/cam", &headers, r#"{"takeover": false}"#).await;
    assert_eq!(patched.status, 200, "{}", patched.text());
    let (mut third, status) = RtmpClient::publish(address, &key).await;
    assert_eq!(status, "NetStream.Publish.BadName");
    third.closed().await;
    second.configure().await;
    second.play(0, 3000).await;
    until(&server, "the second's pictures", |now| now.units > 50).await;
    assert_eq!(server.send("POST", "/api/stream/cam/kick", &[], "").await.json(), json!({"kicked": true}));
    assert_eq!(second.status().await, "NetStream.Publish.Denied");
    let (_, status) = RtmpClient::publish(address, &key).await;
    assert_eq!(status, "NetStream.Publish.Start", "the place is free again");
}

#[tokio::test]
async fn a_publisher_that_comes_back_goes_on() {
    let (server, address, key) = with_rtmp(RtmpLimits::default(), json!({"dvr_s": 0})).await;
    for (round, unpublish) in [(0, true), (1, false), (2, true)] {
        let (mut client, status) = RtmpClient::publish(address, &key).await;
        assert_eq!(status, "NetStream.Publish.Start", "round {round}");
        client.configure().await;
        client.play(0, 4000).await;
        until(&server, "all units", |now| now.units >= (round + 1) * 280).await;
        if unpublish {
            let gone = ["deleteStream".into(), 4.0.into(), Value::Null, 1.0.into()];
            client.command(0, &gone).await;
            assert_eq!(client.status().await, "NetStream.Unpublish.Success");
        }
        drop(client);
        until(&server, "grace", |now| now.state == LiveState::Grace).await;
        assert_eq!(server.app.catalog.get("cam").unwrap().state, State::Live, "viewers wait");
    }
    let now = server.app.live.status("cam").unwrap();
    assert_eq!(now.discontinuities, 2);
    assert!((11.5..14.0).contains(&listed(&server, "source")), "{}", listed(&server, "source"));
}

#[tokio::test]
async fn wraps_jumps_and_codec_changes_stay_one_stream() {
    let (server, address, key) = with_rtmp(RtmpLimits::default(), json!({"dvr_s": 0})).await;
    let (mut client, _) = RtmpClient::publish(address, &key).await;
    client.configure().await;
    client.play(u32::MAX - 2019, 4000).await;
    let now = until(&server, "the wrap", |now| now.units >= 280).await;
    assert_eq!((now.discontinuities, now.state), (0, LiveState::Live), "a wrap is none: {:?}", now.warnings);
    // The encoder starts anew on the same connection.
    client.play(0, 4000).await;
    let now = until(&server, "the new clock", |now| now.units >= 560).await;
    assert_eq!(now.discontinuities, 1, "{:?}", now.warnings);
    // Another level, as after a change of the encoder's settings.
    let mut other = AVCC.to_vec();
    (other[3], other[11]) = (0x1e, 0x1e);
    client.video(4000, &[&[0x17, 0, 0, 0, 0], &other[..]].concat()).await;
    client.play(4000, 4000).await;
    until(&server, "the other configuration", |now| now.discontinuities == 2).await;
    let end = until(&server, "its units", |now| now.units >= 830).await;
    assert!(end.tracks.iter().any(|track| track.codecs == "avc1.64001e"), "{:?}", end.tracks);
    server.send("POST", "/api/stream/cam/stop", &[], "").await;
    assert!((11.0..13.5).contains(&listed(&server, "source")), "{}", listed(&server, "source"));
    assert!((listed(&server, "source") - listed(&server, "audio")).abs() < 0.5);
}

#[tokio::test]
async fn codecs_that_nobody_could_watch_are_refused_by_name() {
    let (server, address, key) = with_rtmp(RtmpLimits::default(), json!({})).await;
    for body in [&[0x2f, 1, 2, 3][..], b"\x90fLaC\x01"] {
        let (mut client, status) = RtmpClient::publish(address, &key).await;
        assert_eq!(status, "NetStream.Publish.Start");
        client.audio(0, body).await;
        assert_eq!(client.status().await, "NetStream.Publish.Rejected");
        client.closed().await;
    }
    // Who asks for the stream is told, too.
    let now = until(&server, "both reasons", |now| now.warnings.len() == 2).await;
    for (warning, codec) in now.warnings.iter().zip(["MP3", "FLAC"]) {
        assert!(warning.contains("was sent away") && warning.contains(codec), "{warning}");
    }
    // Only sound is fine.
    let (mut client, _) = RtmpClient::publish(address, &key).await;
    client.audio(0, &[&[0xaf, 0], ASC].concat()).await;
    for at in 0..200_u32 {
        client.audio(at * 64 / 3, &[0xaf, 1, 0x21, 0x10, 4]).await;
    }
    until(&server, "sound alone", |now| now.units >= 200).await;
}

#[tokio::test]
async fn hundred_connections_and_garbage_leave_nothing_behind() {
    let (server, address, key) = with_rtmp(RtmpLimits::default(), json!({})).await;
    let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (client, _) = RtmpClient::publish(address, &key).await;
    drop(client);
    until(&server, "the first gone", |now| now.state == LiveState::Grace).await;
    let before = files();
    for round in 0..100_u32 {
        let (mut client, status) = RtmpClient::publish(address, &key).await;
        assert_eq!(status, "NetStream.Publish.Start", "round {round}");
        match round % 4 {
            0 => client.raw(&[round as u8; 3000]).await,
            1 => client.video(0, &[round as u8; 40]).await,
            2 => client.configure().await,
            // A message that is announced and never comes.
            _ => client.raw(&[6, 0, 0, 0, 0xff, 0, 0, 9, 1, 0, 0, 0, 1, 2]).await,
        }
    }
    let mut client = RtmpClient::connect(address).await;
    client.raw(&[0xff; 4000]).await;
    client.closed().await;
    drop(client);
    until(&server, "all gone", |now| now.state == LiveState::Grace).await;
    let few = async {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while files() > before + 10 {
            look.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, few)
        .await
        .unwrap_or_else(|_| panic!("{before} files before, {} now", files()));
    let (mut client, status) = RtmpClient::publish(address, &key).await;
    assert_eq!(status, "NetStream.Publish.Start");
    client.configure().await;
    client.play(0, 3000).await;
    until(&server, "media after it all", |now| now.duration_ms >= 2000).await;
}

#[tokio::test]
async fn connections_are_limited_in_number_and_in_patience() {
    let limits = RtmpLimits {
        per_address: 2,
        handshake: Duration::from_millis(300),
        publish: Duration::from_millis(600),
        ..RtmpLimits::default()
    };
    let (_server, address, _) = with_rtmp(limits, json!({})).await;
    let mut silent = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut idle = RtmpClient::connect(address).await;
    let mut third = tokio::net::TcpStream::connect(address).await.unwrap();
    let ended = async |socket: &mut tokio::net::TcpStream| {
        let mut bytes = [0; 16];
        let read = tokio::io::AsyncReadExt::read(socket, &mut bytes);
        // A refused connection may end with a reset.
        assert_eq!(tokio::time::timeout(PATIENCE, read).await.expect("an end").unwrap_or(0), 0);
    };
    ended(&mut third).await;
    ended(&mut silent).await;
    idle.closed().await;
    // Their places are free again.
    RtmpClient::connect(address).await;
    // What is no RTMP is let go at its first byte.
    let mut browser = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut browser, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    ended(&mut browser).await;
}

/// Six seconds of H.264 with B-frames (where the encoder has them) and AAC as FLV tags of another program's making:
/// type, time stamp and body.
fn real_tags() -> Vec<(u8, u32, Vec<u8>)> {
    gstreamer::init().unwrap();
    let has = |name| gstreamer::ElementFactory::find(name).is_some();
    let video = if has("x264enc") {
        "x264enc key-int-max=25 bframes=2 speed-preset=ultrafast"
    } else {
        "openh264enc gop-size=25"
    };
    let audio = if has("avenc_aac") { "avenc_aac" } else { "voaacenc" };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("real.flv");
    let text = format!(
        "flvmux name=mux ! filesink location={} \
         videotestsrc num-buffers=150 ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 ! {video} ! h264parse ! mux. \
         audiotestsrc num-buffers=282 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 ! audioconvert ! \
         {audio} ! aacparse ! mux.",
        path.display()
    );
    run_to_end(&text);
    let file = std::fs::read(path).unwrap();
    let mut rest = &file[13..];
    let mut tags = Vec::new();
    while let [kind, l2, l1, l0, t2, t1, t0, t3, _, _, _, body @ ..] = rest {
        let length = u32::from_be_bytes([0, *l2, *l1, *l0]) as usize;
        tags.push((*kind, u32::from_be_bytes([*t3, *t2, *t1, *t0]), body[..length].to_vec()));
        rest = &body[length + 4..];
    }
    tags
}

/// Runs a pipeline until it has ended.
fn run_to_end(text: &str) {
    use gstreamer::prelude::*;
    let pipeline = gstreamer::parse::launch(text).unwrap();
    pipeline.set_state(gstreamer::State::Playing).unwrap();
    let kinds = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
    let patience = gstreamer::ClockTime::from_seconds(PATIENCE.as_secs() * 3);
    let message = pipeline.bus().unwrap().timed_pop_filtered(patience, &kinds).expect("an end");
    assert_eq!(message.type_(), gstreamer::MessageType::Eos, "{message:?}");
    pipeline.set_state(gstreamer::State::Null).unwrap();
}

#[tokio::test]
async fn a_real_encoder_s_stream_is_recorded_whole_and_decodes() {
    let (server, address, key) = with_rtmp(RtmpLimits::default(), json!({"record": true, "dvr_s": 0})).await;
    let tags = tokio::task::spawn_blocking(real_tags).await.unwrap();
    let (mut client, status) = RtmpClient::publish(address, &key).await;
    assert_eq!(status, "NetStream.Publish.Start");
    for (kind, at, body) in &tags {
        match kind {
            9 => client.video(*at, body).await,
            8 => client.audio(*at, body).await,
            _ => client.data(body).await,
        }
    }
    // One video and one audio tag are configurations, the last of H.264 is an end of sequence.
    let frames = |wanted: u8| tags.iter().filter(|(kind, _, body)| *kind == wanted && body[1] == 1).count();
    let (pictures, units) = (frames(9), (frames(8) + frames(9)) as u64);
    assert_eq!(pictures, 150);
    let now = until(&server, "all units", |now| now.units >= units).await;
    // Sound from before the first picture may go.
    assert!(now.discontinuities == 0 && now.dropped <= 3, "{now:?}");
    let view = server.get("/api/stream/cam").await.json();
    assert_eq!(view["live"]["session"]["tracks"][0]["width"], 320);
    server.send("POST", "/api/stream/cam/stop", &[], "").await;
    let master = server.get("/stream/cam/hls/master.m3u8").await;
    assert_eq!(master.status, 200, "{}", master.text());
    assert!(master.text().contains("avc1.") && master.text().contains("mp4a.40.2"), "{}", master.text());
    let film = server.get("/stream/cam?rung=source").await;
    assert!(film.status == 200 && film.complete);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film.mp4");
    std::fs::write(&path, &film.body).unwrap();
    let decoded = tokio::task::spawn_blocking(move || {
        use gstreamer::prelude::*;
        let text = format!(
            "filesrc location={} ! qtdemux name=demux demux.video_0 ! queue ! h264parse ! avdec_h264 ! \
             appsink name=out sync=false",
            path.display()
        );
        let pipeline = gstreamer::parse::launch(&text).unwrap().downcast::<gstreamer::Bin>().unwrap();
        let out = pipeline.by_name("out").unwrap().downcast::<gstreamer_app::AppSink>().unwrap();
        pipeline.set_state(gstreamer::State::Playing).unwrap();
        let patience = gstreamer::ClockTime::from_seconds(PATIENCE.as_secs());
        let pictures = std::iter::from_fn(|| out.try_pull_sample(patience)).count();
        pipeline.set_state(gstreamer::State::Null).unwrap();
        pictures
    })
    .await
    .unwrap();
    assert_eq!(decoded, 150, "every picture comes out");
}

#[tokio::test]
async fn a_stream_that_was_on_air_goes_on_after_a_restart_of_the_server() {
    let (server, address, key) = with_rtmp(RtmpLimits::default(), json!({"dvr_s": 0})).await;
    let (mut client, _) = RtmpClient::publish(address, &key).await;
    client.configure().await;
    client.play(0, 6000).await;
    until(&server, "all units", |now| now.units >= 430).await;
    until_state(&server, State::Live).await;
    server.app.stop.cancel();
    server.app.stop_jobs().await;
    client.closed().await;
    assert_eq!(server.app.catalog.get("cam").unwrap().state, State::Live, "it is not over");
    let before = listed(&server, "source");

    let again = App::open(server.app.config.clone(), server.clock.clone()).await.unwrap();
    assert_eq!(again.catalog.get("cam").unwrap().state, State::Live);
    let rtmp = RtmpServer::bind(([127, 0, 0, 1], 0).into(), RtmpLimits::default()).await.unwrap();
    let address = rtmp.address();
    tokio::spawn(rtmp.serve(Arc::clone(&again), again.stop.clone()));
    let (mut client, status) = RtmpClient::publish(address, &key).await;
    assert_eq!(status, "NetStream.Publish.Start", "the same key");
    client.configure().await;
    client.play(0, 6000).await;
    let mut status = again.live.watch("cam").unwrap();
    let wait = status.wait_for(|now| now.units >= 430);
    tokio::time::timeout(PATIENCE, wait).await.expect("all units again").unwrap();
    again.live.end("cam").await;
    let media = again.media("cam").unwrap();
    let window = media.rendition("source").unwrap().window();
    let ticks = f64::from(media.rendition("source").unwrap().info().timescale);
    let total: f64 = window.segments.iter().map(|segment| segment.duration as f64 / ticks).sum();
    assert!(before > 5.0 && total > before + 5.0, "{before} s before, {total} s after");
    assert_eq!(window.segments.iter().filter(|segment| segment.discontinuity).count(), 1);
    assert!(window.segments.windows(2).all(|pair| pair[1].number == pair[0].number + 1));
    again.stop.cancel();
}
