//! Encoders that are killed and that cannot keep up: what they cost is their own rungs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::sync::mpsc;
use weir_server::ingest::{SourceSpec, TestCardSpec};
use weir_server::jobs::{JobManager, JobOptions};
use weir_server::ladder::{
    EncodedLadders, EncoderProgram, LadderOptions, Profile, RungSpec, Speed, StreamLogs,
};
use weir_server::live::{Codec, LiveLadders as _, RungEvent, SourceUnit, TrackSetup};
use weir_server::store::{Store, TrackKind};

use super::process::{Process, until};

/// Processes that `parent` has started and that live.
fn children(parent: u32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn encoders(parent: u32) -> Vec<i32> {
    let is_encoder = |id: &i32| {
        let name = std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        name.trim() == "weir-encoder"
    };
    children(parent).into_iter().filter(is_encoder).collect()
}

fn kill(id: i32) {
    kill_process(Pid::from_raw(id).unwrap(), Signal::KILL).unwrap();
}

fn rung(server: &Process, name: &str) -> Value {
    let stream = server.get("/api/stream/cam").json();
    let rungs = stream["live"]["session"]["rungs"].as_array().cloned().unwrap_or_default();
    rungs.into_iter().find(|rung| rung["name"] == name).unwrap_or_default()
}

fn playlist(server: &Process, rendition: &str) -> m3u8_rs::MediaPlaylist {
    let answer = server.get(&format!("/stream/cam/hls/{rendition}/index.m3u8"));
    m3u8_rs::parse_media_playlist_res(&answer.body).unwrap()
}

fn gap(segment: &m3u8_rs::MediaSegment) -> bool {
    segment.unknown_tags.iter().any(|tag| tag.tag == "X-GAP")
}

#[test]
fn a_killed_encoder_is_started_again_and_the_source_has_no_gap() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(&folder.path().join("data"), &["--encoder", "x264enc,openh264enc"]);
    let body = r#"{"id": "cam", "mode": "live", "source": {"type": "testcard", "height": 180, "frame_rate": 20},
        "profile": {"segment_ms": 1000, "gop_ms": 1000, "speed": "ultrafast", "rungs": [{"lines": 90, "kbps": 150}]}}"#;
    assert_eq!(server.send("POST", "/api/stream/create", "", body).status, 201);
    until("the rung runs", || rung(&server, "90p")["state"] == "running");
    let running = rung(&server, "90p");
    assert!(["x264enc", "openh264enc"].contains(&running["encoder"].as_str().unwrap()), "{running}");
    assert_eq!(rung(&server, "source")["encoder"], "copy");
    let renditions = server.get("/api/stream/cam").json()["renditions"].clone();
    assert_eq!(renditions[0]["encoder"], running["encoder"], "{renditions}");
    let listed = |rendition: &str| {
        let answer = server.get(&format!("/stream/cam/hls/{rendition}/index.m3u8"));
        if answer.status == 200 { playlist(&server, rendition).segments.len() } else { 0 }
    };
    until("both have segments", || listed("90p") >= 2 && listed("source") >= 2);
    let before = encoders(server.child.id());
    assert_eq!(before.len(), 1, "one process for the stream's rungs");
    kill(before[0]);
    until("it is noticed", || rung(&server, "90p")["restarts"] == 1);
    until("the rung is back", || rung(&server, "90p")["state"] == "running");
    let after = encoders(server.child.id());
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
    let (source, encoded) = (listed("source"), listed("90p"));
    until("both go on", || listed("source") > source + 1 && listed("90p") > encoded + 1);
    let (source, encoded) = (playlist(&server, "source"), playlist(&server, "90p"));
    assert!(source.segments.iter().all(|segment| !gap(segment) && !segment.discontinuity), "{source:?}");
    let seconds =
        |list: &m3u8_rs::MediaPlaylist| list.segments.iter().map(|s| f64::from(s.duration)).sum::<f64>();
    assert!((seconds(&source) / source.segments.len() as f64 - 1.0).abs() < 0.2, "{source:?}");
    assert!(encoded.segments.iter().all(|segment| !segment.discontinuity), "{encoded:?}");
    assert!(!gap(encoded.segments.last().unwrap()), "{encoded:?}");
    let log = server.get("/api/stream/cam/log").text();
    assert!(log.contains("signal 9") && log.contains("\"from\":\"encoder\""), "{log}");
    // With the server go its encoders.
    let encoder = after[0];
    server.kill();
    until("the encoder has gone with its server", || {
        std::fs::read_to_string(format!("/proc/{encoder}/comm"))
            .map_or(true, |name| name.trim() != "weir-encoder")
    });
}

/// A live card with a rung below it, of which both have this many segments.
fn card_on_air(server: &Process, segments: usize) {
    let body = r#"{"id": "cam", "mode": "live", "source": {"type": "testcard", "height": 180, "frame_rate": 20},
        "profile": {"segment_ms": 1000, "gop_ms": 1000, "speed": "ultrafast", "rungs": [{"lines": 90, "kbps": 150}]}}"#;
    assert_eq!(server.send("POST", "/api/stream/create", "", body).status, 201);
    let listed = |rendition: &str| {
        let answer = server.get(&format!("/stream/cam/hls/{rendition}/index.m3u8"));
        if answer.status == 200 { playlist(server, rendition).segments.len() } else { 0 }
    };
    until("both are on air", || listed("90p") >= segments && listed("source") >= segments);
}

#[test]
fn rungs_end_with_the_sources_last_picture_when_the_server_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments = ["--on-stop", "endlist"];
    let mut server = Process::start(&data, &arguments);
    card_on_air(&server, 3);
    server.signal(Signal::TERM);
    let (status, took) = server.wait(Duration::from_secs(15));
    assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}");
    let server = Process::start(&data, &arguments);
    let (source, rung) = (playlist(&server, "source"), playlist(&server, "90p"));
    assert!(source.end_list && rung.end_list);
    let last = |list: &m3u8_rs::MediaPlaylist| {
        let segments = list.segments.iter();
        let seconds: f64 = segments.map(|segment| f64::from(segment.duration)).sum();
        (list.media_sequence + list.segments.len() as u64, seconds)
    };
    let ((source, seconds), (rung, encoded)) = (last(&source), last(&rung));
    assert_eq!(source, rung, "the same last segment");
    // A picture takes 0.05 s.
    assert!((seconds - encoded).abs() < 0.06, "{seconds} s of the source, {encoded} s of its rung");
}

#[test]
fn an_encoder_that_hangs_when_its_stream_ends_costs_its_last_pictures_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(&folder.path().join("data"), &[]);
    card_on_air(&server, 2);
    let stuck = encoders(server.child.id());
    assert_eq!(stuck.len(), 1);
    kill_process(Pid::from_raw(stuck[0]).unwrap(), Signal::STOP).unwrap();
    let listed = playlist(&server, "source").segments.len();
    until("the source goes on", || playlist(&server, "source").segments.len() > listed + 1);
    assert_eq!(server.send("POST", "/api/stream/cam/stop", "", "").status, 200);
    let (source, rung) = (playlist(&server, "source"), playlist(&server, "90p"));
    assert!(source.end_list && rung.end_list);
    assert!(source.segments.len() > listed + 1 && source.segments.iter().all(|segment| !gap(segment)));
    assert!(!rung.segments.is_empty());
    let session = server.get("/api/stream/cam").json()["live"]["session"].clone();
    assert_eq!(session["state"], "ended");
    assert!(session["warnings"].to_string().contains("end a little early"), "{session}");
    until("it is ended, too", || encoders(server.child.id()).is_empty());
}

#[test]
fn a_killed_test_card_is_on_air_again_and_costs_the_server_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(&folder.path().join("data"), &["--live-rungs", "0"]);
    let body = r#"{"id": "cam", "mode": "live", "source": {"type": "testcard", "height": 90, "frame_rate": 20},
        "profile": {"segment_ms": 1000, "gop_ms": 1000, "speed": "ultrafast"}}"#;
    assert_eq!(server.send("POST", "/api/stream/create", "", body).status, 201);
    let session = || server.get("/api/stream/cam").json()["live"]["session"].clone();
    let duration = || session()["duration_ms"].as_u64().unwrap_or(0);
    until("it is on air", || duration() >= 2000);
    let named = |id: &i32| {
        std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name.trim() == "weir-card")
    };
    let cards = || children(server.child.id()).into_iter().filter(named).collect::<Vec<_>>();
    let before = cards();
    assert_eq!(before.len(), 1, "a process for the card");
    kill(before[0]);
    until("another one draws it", || cards().len() == 1 && cards() != before);
    let reached = duration();
    until("it goes on", || duration() >= reached + 2000);
    let now = session();
    assert_eq!((&now["state"], &now["discontinuities"]), (&"live".into(), &1.into()), "{now}");
    let log = server.get("/api/stream/cam/log").text();
    assert!(log.contains("signal 9") && log.contains("\"from\":\"testcard\""), "{log}");
    // Stopped, it ends; and with the server go its processes.
    assert_eq!(server.send("POST", "/api/stream/cam/stop", "", "").status, 200);
    until("its process has ended", || cards().is_empty());
    assert_eq!(server.send("POST", "/api/stream/cam/start", "", "").status, 200);
    let mut card = None;
    // The kernel's list of children may leave one out while another ends: what was seen once counts.
    until("it is on air again", || {
        card = cards().first().copied();
        card.is_some()
    });
    let card = card.unwrap();
    server.kill();
    until("it has gone with its server", || !named(&card));
}

#[test]
fn a_killed_packaging_process_is_replaced_by_one_that_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(&folder.path().join("data"), &[]);
    let body = r#"{"id": "card", "source": {"type": "testcard", "height": 180, "duration_s": 120},
        "profile": {"speed": "ultrafast", "rungs": [{"lines": 90, "kbps": 150}]}}"#;
    assert_eq!(server.send("POST", "/api/stream/create", "", body).status, 201);
    let stream = || server.get("/api/stream/card").json();
    let segments =
        || stream()["renditions"].as_array().unwrap().iter().map(|r| r["segments"].as_u64().unwrap()).min();
    let mut killed = Vec::new();
    for _ in 0..2 {
        let before = segments().unwrap_or(0);
        until("it moves on", || stream()["state"] == "ready" || segments().unwrap_or(0) > before);
        let Some(id) = encoders(server.child.id()).into_iter().find(|id| !killed.contains(id)) else { break };
        kill(id);
        killed.push(id);
    }
    assert!(!killed.is_empty(), "it was done at once: {}", stream());
    let begun = Instant::now();
    while stream()["state"] != "ready" {
        assert!(stream()["state"] != "failed" && begun.elapsed() < Duration::from_secs(120), "{}", stream());
        std::thread::sleep(Duration::from_millis(100));
    }
    let whole = stream();
    for rendition in whole["renditions"].as_array().unwrap() {
        assert_eq!(rendition["segments"], 30, "{rendition}");
        assert!(rendition["encoder"].as_str().is_some_and(|element| element.contains("enc")), "{rendition}");
    }
    assert!((whole["duration_s"].as_f64().unwrap() - 120.0).abs() < 0.1, "{whole}");
    let log = server.get("/api/stream/card/log").text();
    assert!(
        log.contains("signal 9") && log.contains("another one goes on") && log.contains("resuming"),
        "{log}"
    );
    for path in ["poster.jpg", "thumbnails.vtt"] {
        assert_eq!(server.get(&format!("/stream/card/{path}")).status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_file_that_kills_every_process_fails_and_says_how() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("crash");
    std::fs::write(&program, "#!/bin/sh\necho 'no such box' >&2\nkill -SEGV $$\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let store = Arc::new(Store::open(&folder.path().join("data")).unwrap());
    let logs = Arc::new(StreamLogs::default());
    let program = Some(EncoderProgram::at(program.to_str().unwrap()));
    let jobs =
        JobManager::new(store, JobOptions { program, logs: Arc::clone(&logs), ..JobOptions::default() });
    let source =
        SourceSpec::TestCard(TestCardSpec { duration_ms: 2000, lines: 90, ..TestCardSpec::default() });
    let mut status = jobs.start("card", source, Profile::default()).unwrap();
    let over =
        tokio::time::timeout(Duration::from_secs(60), status.wait_for(|status| status.state.is_over()));
    let error = over.await.unwrap().unwrap().error.clone().unwrap();
    assert!(error.contains("signal 11") && error.contains("2 times"), "{error}");
    let (lines, _) = logs.of("card").lines();
    assert!(lines.iter().any(|line| line.from == "encoder" && line.text == "no such box"), "{lines:?}");
}

/// H.264, a key frame every 25 pictures, a segment with each.
fn source(pictures: u32) -> (TrackSetup, Vec<SourceUnit>) {
    weir_server::ladder::init().unwrap();
    let text = format!(
        "videotestsrc num-buffers={pictures} ! video/x-raw,format=I420,width=640,height=360,framerate=25/1 \
         ! x264enc bframes=0 key-int-max=25 speed-preset=ultrafast option-string=scenecut=0 \
         ! video/x-h264,stream-format=avc,alignment=au ! appsink name=out sync=false"
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let output = pipeline.by_name("out").unwrap().downcast::<AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let (mut units, mut config) = (Vec::new(), Bytes::new());
    while let Ok(sample) = output.pull_sample() {
        let buffer = sample.buffer().unwrap();
        let caps = sample.caps().unwrap().structure(0).unwrap();
        config =
            Bytes::copy_from_slice(&caps.get::<gst::Buffer>("codec_data").unwrap().map_readable().unwrap());
        let (number, key) = (units.len() as u64, units.len() % 25 == 0);
        let time = number * 40_000_000;
        let segment = key.then_some(number as u32 / 25 + 1);
        let data = Bytes::copy_from_slice(&buffer.map_readable().unwrap());
        units.push(SourceUnit { dts_ns: time, pts_ns: time, key, segment, data });
    }
    pipeline.set_state(gst::State::Null).unwrap();
    let setup = TrackSetup {
        language: None,
        kind: TrackKind::Video,
        codec: Codec::Avc,
        config,
        width: 640,
        height: 360,
        frame_rate: Some((25, 1)),
        sample_rate: 0,
        channels: 0,
        bitrate: None,
    };
    (setup, units)
}

#[test]
fn an_encoder_that_cannot_keep_up_sheds_its_dearest_rung_and_never_holds_the_source_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path()).unwrap());
    store.create("cam").unwrap();
    let options = LadderOptions {
        most: 9,
        encoders: Vec::new(),
        program: Some(EncoderProgram::at(env!("CARGO_BIN_EXE_weir-server"))),
    };
    let logs = Arc::new(StreamLogs::default());
    let ladders = EncodedLadders::new(store, Arc::clone(&logs), options);
    let profile = Profile {
        rungs: [(48, 60), (90, 150)].map(|(lines, kbps)| RungSpec { lines, kbps }).to_vec(),
        speed: Speed::Ultrafast,
        ..Profile::default()
    };
    let (setup, units) = source(50);
    let (output, mut events) = mpsc::channel(64);
    let mut ladder = ladders.start("cam", &setup, &profile, output).unwrap();
    let started = ladder.rungs().len();
    assert!(started > 0, "this machine carries a rung of 48 lines");
    // No encoder keeps up with a publisher whose hours are minutes.
    let (mut lost, mut slowest) = (Vec::new(), Duration::ZERO);
    let begun = Instant::now();
    for round in 0.. {
        for unit in &units {
            let later = round * 50 * 40_000_000;
            let begun = Instant::now();
            ladder.push(SourceUnit {
                dts_ns: unit.dts_ns + later,
                pts_ns: unit.pts_ns + later,
                ..unit.clone()
            });
            slowest = slowest.max(begun.elapsed());
        }
        while let Ok(event) = events.try_recv() {
            if let RungEvent::Lost { rung, why } = event {
                assert!(why.contains("does not keep up"), "{rung}: {why}");
                lost.push(rung);
            }
        }
        if !lost.is_empty() || begun.elapsed() > Duration::from_secs(60) {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(lost.first().map(String::as_str), Some(if started == 2 { "90p" } else { "48p" }));
    assert!(slowest < Duration::from_secs(5), "the source waited {slowest:?}");
    let (lines, _) = logs.of("cam").lines();
    assert!(lines.iter().any(|line| line.text.contains("goes on without this rung")), "{lines:?}");
    drop(ladder);
    // The process ends, and with it the last sender.
    while events.blocking_recv().is_some() {}
    assert!(encoders(std::process::id()).is_empty(), "none is left behind");
}
