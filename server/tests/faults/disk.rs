//! A disk that is full: told, nothing torn, and well again when there is room.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::process::{Process, until};
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

fn start(data: &Path) -> Process {
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
        &[],
    )
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
    let server = start(&data);
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
    // Down to pieces that the card fills within seconds.
    for size in [2_000_000, 1_000_000, 500_000, 250_000, 125_000, 60_000, 30_000, 10_000, 4_000] {
        while server.send("POST", "/api/upload", "", &"x".repeat(size)).status == 201 {}
    }
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
