//! A disk that is full: told, nothing torn, and well again when there is room.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::process::{Process, until};
use super::publishers::{camera, rtmp_address, session};
use super::support::uris;

/// Whether this machine lets a test mount a small file system of its own.
fn may_mount() -> bool {
    let folder = tempfile::tempdir().unwrap();
    Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "none"])
        .arg(folder.path())
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn wait_for_end(server: &Process, id: &str) -> serde_json::Value {
    let start = Instant::now();
    loop {
        let stream = server.get(&format!("/api/stream/{id}")).json();
        if ["failed", "ready"].contains(&stream["state"].as_str().unwrap()) {
            return stream;
        }
        assert!(start.elapsed() < Duration::from_secs(90), "{stream}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn card(id: &str, height: u32, seconds: u32) -> String {
    format!(
        r#"{{"id": "{id}", "source": {{"type": "testcard", "height": {height}, "duration_s": {seconds}}}}}"#
    )
}

fn start(data: &Path, more: &[&str]) -> Process {
    Process::start_under(
        &[
            "unshare",
            "-rm",
            "sh",
            "-c",
            "mount -t tmpfs -o size=6m none \"$0\" && exec \"$@\"",
            data.to_str().unwrap(),
        ],
        data,
        more,
    )
}

/// Fills the disk of `server` to the last piece.
fn fill(server: &Process) {
    // Down to pieces that a stream fills within seconds.
    for size in [2_000_000, 1_000_000, 500_000, 250_000, 125_000, 60_000, 30_000, 10_000, 4_000] {
        while server.send("POST", "/api/upload", "", &"x".repeat(size)).status == 201 {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_stream_goes_on_over_a_full_disk_and_is_recorded_again_when_there_is_room() {
    if !may_mount() {
        // The store's own tests have a disk that fails; this one needs a file system that is small.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let server = start(&data, &["--rtmp", "127.0.0.1:0", "--live-rungs", "0"]);
    // What will make room: a source that a stream holds on to.
    let upload = server.send("POST", "/api/upload", "", &"x".repeat(2_500_000)).json()["upload"].clone();
    let body = serde_json::json!({"id": "room", "source": {"type": "upload", "upload": upload}}).to_string();
    assert_eq!(server.send("POST", "/api/stream/create", "", &body).status, 201);
    let key = camera(&server, r#", "record": true, "dvr_s": 0"#);
    let (mut client, status) =
        super::rtmp_client::RtmpClient::publish(rtmp_address(folder.path(), "RTMP"), &key).await;
    assert_eq!(status, "NetStream.Publish.Start");
    let publisher = tokio::spawn(async move {
        client.configure().await;
        // Four times as fast as in life, until it is aborted.
        for second in 0.. {
            client.play(second * 1000, 1000).await;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    });
    let list = || server.get("/stream/cam/hls/source/index.m3u8").text();
    until("it is listed", || uris(&list()).len() >= 3);
    // Uploads take the room, until recordings have to leave what is left to the catalogue.
    until("the disk is full", || {
        server.send("POST", "/api/upload", "", &"x".repeat(100_000));
        !session(&server)["recording_failure"].is_null()
    });
    let why = session(&server)["recording_failure"].as_str().unwrap().to_owned();
    assert!(why.contains("no space left"), "{why}");
    let listed = uris(&list());
    // It goes on, and all that it lists can be had.
    until("it goes on", || uris(&list()).len() >= listed.len() + 4);
    assert_eq!(session(&server)["state"], "live");
    let whole = |names: &[String]| {
        for name in names {
            let segment = server.get(&format!("/stream/cam/hls/source/{name}"));
            assert!(segment.status == 200 && segment.complete, "{name}: {}", segment.status);
        }
    };
    let now = uris(&list());
    assert!(now.starts_with(&listed), "nothing that was listed is lost");
    whole(&now);
    // With room it is recorded again, what was in memory meanwhile included.
    assert_eq!(server.send("DELETE", "/api/stream/room", "", "").status, 204);
    until("it is tried again", || session(&server)["recording_failure"].is_null());
    let well = uris(&list()).len();
    until("it goes on", || uris(&list()).len() > well);
    assert_eq!(server.send("POST", "/api/stream/cam/stop", "", "").status, 200);
    publisher.abort();
    let text = list();
    assert!(text.contains("#EXT-X-ENDLIST") && !text.contains("#EXT-X-GAP"), "{text}");
    assert!(uris(&text).starts_with(&now));
    whole(&uris(&text));
    let files = format!("/proc/{}/root{}/streams/cam/source", server.child.id(), data.display());
    let stored = std::fs::read_dir(files).unwrap().flatten();
    let stored = stored.filter(|file| file.path().extension().is_some_and(|kind| kind == "m4s")).count();
    assert_eq!(stored, uris(&text).len(), "all of it is on the disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_stream_that_starts_on_a_full_disk_goes_on_air_and_is_recorded_when_there_is_room() {
    if !may_mount() {
        // The store's own tests have a disk that fails; this one needs a file system that is small.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let server = start(&data, &["--rtmp", "127.0.0.1:0", "--live-rungs", "0"]);
    let upload = server.send("POST", "/api/upload", "", &"x".repeat(2_500_000)).json()["upload"].clone();
    let body = serde_json::json!({"id": "room", "source": {"type": "upload", "upload": upload}}).to_string();
    assert_eq!(server.send("POST", "/api/stream/create", "", &body).status, 201);
    let key = camera(&server, r#", "record": true, "dvr_s": 0"#);
    // Less is left than recordings leave to the catalogue.
    while server.send("POST", "/api/upload", "", &"x".repeat(1_000_000)).status == 201 {}
    let (mut client, status) =
        super::rtmp_client::RtmpClient::publish(rtmp_address(folder.path(), "RTMP"), &key).await;
    assert_eq!(status, "NetStream.Publish.Start");
    let publisher = tokio::spawn(async move {
        client.configure().await;
        // Four times as fast as in life, until it is aborted.
        for second in 0.. {
            client.play(second * 1000, 1000).await;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    });
    let list = || server.get("/stream/cam/hls/source/index.m3u8").text();
    let whole = |names: &[String]| {
        for name in names {
            let segment = server.get(&format!("/stream/cam/hls/source/{name}"));
            assert!(segment.status == 200 && segment.complete, "{name}: {}", segment.status);
        }
    };
    until("it is on air", || uris(&list()).len() >= 3);
    let now = session(&server);
    assert_eq!(now["state"], "live");
    assert!(now["recording_failure"].as_str().is_some_and(|why| why.contains("space left")), "{now}");
    let early = uris(&list());
    whole(&early);
    assert_eq!(server.send("DELETE", "/api/stream/room", "", "").status, 204);
    until("it is recorded", || session(&server)["recording_failure"].is_null());
    let well = uris(&list()).len();
    until("it goes on", || uris(&list()).len() > well);
    assert_eq!(server.send("POST", "/api/stream/cam/stop", "", "").status, 200);
    publisher.abort();
    let text = list();
    assert!(text.contains("#EXT-X-ENDLIST") && !text.contains("#EXT-X-GAP"), "{text}");
    assert!(uris(&text).starts_with(&early), "from its first segment on");
    whole(&uris(&text));
    let files = format!("/proc/{}/root{}/streams/cam/source", server.child.id(), data.display());
    let names: Vec<_> = std::fs::read_dir(files)
        .unwrap()
        .flatten()
        .map(|file| file.file_name().into_string().unwrap())
        .collect();
    let stored = names.iter().filter(|name| name.ends_with(".m4s")).count();
    assert_eq!(stored, uris(&text).len(), "all of it is on the disk: {names:?}");
    assert!(["rendition.json", "init.mp4", "journal"].iter().all(|name| names.contains(&(*name).to_owned())));
}

#[test]
fn a_full_disk_is_told_and_nothing_is_torn() {
    if !may_mount() {
        // The quota below is tested everywhere; the rest needs a file system that is small.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let server = start(&data, &[]);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let announced = server.send("POST", "/api/upload", "", &"x".repeat(10_000_000));
    assert_eq!(announced.status, 507, "it is known before the first byte that there is no room");
    // Of unknown length: the disk ends under it, and what came is given back.
    let pieces = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20)).repeat(8) + "0\r\n\r\n";
    assert_eq!(server.send_raw("POST", "/api/upload", chunked, &pieces).status, 507);

    // A stream that does not fit beside what fills the disk fails with the reason; what it lists can be played.
    assert_eq!(server.send("POST", "/api/stream/create", "", &card("large", 96, 3600)).status, 201);
    until("it has begun", || {
        let playlist = server.get("/stream/large/hls/96p/index.m3u8");
        playlist.status == 200 && !uris(&playlist.text()).is_empty()
    });
    fill(&server);
    let large = wait_for_end(&server, "large");
    assert_eq!(large["state"], "failed");
    let error = large["error"].as_str().unwrap();
    assert!(error.contains("No space left") || error.contains("full"), "{error}");
    let playlist = server.get("/stream/large/hls/96p/index.m3u8").text();
    assert!(!uris(&playlist).is_empty(), "it had begun: {playlist}");
    for name in uris(&playlist) {
        let segment = server.get(&format!("/stream/large/hls/96p/{name}"));
        let length: usize = segment.header("content-length").unwrap().parse().unwrap();
        assert!(segment.status == 200 && segment.body.len() == length, "{name}");
    }
    // With room again the server goes on as if nothing had been.
    assert_eq!(server.send("DELETE", "/api/stream/large", "", "").status, 204);
    assert_eq!(server.send("POST", "/api/stream/create", "", &card("small", 96, 4)).status, 201);
    assert_eq!(wait_for_end(&server, "small")["state"], "ready");
}

#[test]
fn uploads_leave_the_reserve_alone() {
    let folder = tempfile::tempdir().unwrap();
    // More than any disk has.
    let server = Process::start(&folder.path().join("data"), &["--disk-reserve-mb", "9000000000000"]);
    assert_eq!(server.send("POST", "/api/upload", "", "xxxx").status, 507);
}
