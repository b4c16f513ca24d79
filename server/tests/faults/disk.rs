//! A disk that is full: told, nothing torn, and well again when there is room.

use std::path::{Path, PathBuf};
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

/// A server on a small disk with a live stream that is recorded whole, and another one whose source takes up room until it
/// is deleted.
struct Recording {
    server: Process,
    data: PathBuf,
    key: String,
    folder: tempfile::TempDir,
}

impl Recording {
    /// None where no small file system can be mounted; the store's own tests have a disk that fails.
    fn prepare() -> Option<Self> {
        if !may_mount() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let server = start(&data, &["--rtmp", "127.0.0.1:0", "--live-rungs", "0"]);
        let upload = server.send("POST", "/api/upload", "", &"x".repeat(2_500_000)).json()["upload"].clone();
        let body = serde_json::json!({"id": "room", "source": {"type": "upload", "upload": upload}});
        assert_eq!(server.send("POST", "/api/stream/create", "", &body.to_string()).status, 201);
        let key = camera(&server, r#", "record": true, "dvr_s": 0"#);
        Some(Self { server, data, key, folder })
    }

    /// Four times as fast as in life, until it is aborted.
    async fn publish(&self) -> tokio::task::JoinHandle<()> {
        let address = rtmp_address(self.folder.path(), "RTMP");
        let (mut client, status) = super::rtmp_client::RtmpClient::publish(address, &self.key).await;
        assert_eq!(status, "NetStream.Publish.Start");
        tokio::spawn(async move {
            client.configure().await;
            for second in 0.. {
                client.play(second * 1000, 1000).await;
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        })
    }

    fn list(&self) -> String {
        self.server.get("/stream/cam/hls/source/index.m3u8").text()
    }

    /// Segments that are listed.
    fn listed(&self) -> Vec<String> {
        uris(&self.list())
    }

    /// Each of these can be had, whole.
    fn check(&self, names: &[String]) {
        for name in names {
            let segment = self.server.get(&format!("/stream/cam/hls/source/{name}"));
            assert!(segment.status == 200 && segment.complete, "{name}: {}", segment.status);
        }
    }

    /// Makes room, waits until it is recorded again, and ends: all that was ever listed is on the disk.
    fn recover(&self, publisher: &tokio::task::JoinHandle<()>, before: &[String]) -> Vec<String> {
        assert_eq!(self.server.send("DELETE", "/api/stream/room", "", "").status, 204);
        until("it is recorded again", || session(&self.server)["recording_failure"].is_null());
        let well = self.listed().len();
        until("it goes on", || self.listed().len() > well);
        assert_eq!(self.server.send("POST", "/api/stream/cam/stop", "", "").status, 200);
        publisher.abort();
        let text = self.list();
        assert!(text.contains("#EXT-X-ENDLIST") && !text.contains("#EXT-X-GAP"), "{text}");
        assert!(uris(&text).starts_with(before), "from its first segment on");
        self.check(&uris(&text));
        let (id, data) = (self.server.child.id(), self.data.display());
        let files = std::fs::read_dir(format!("/proc/{id}/root{data}/streams/cam/source")).unwrap().flatten();
        let names: Vec<_> = files.map(|file| file.file_name().into_string().unwrap()).collect();
        let stored = names.iter().filter(|name| name.ends_with(".m4s")).count();
        assert_eq!(stored, uris(&text).len(), "all of it is on the disk: {names:?}");
        names
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_stream_goes_on_over_a_full_disk_and_is_recorded_again_when_there_is_room() {
    let Some(cam) = Recording::prepare() else { return };
    let publisher = cam.publish().await;
    until("it is listed", || cam.listed().len() >= 3);
    // Uploads take the room, until recordings have to leave what is left to the catalogue.
    until("the disk is full", || {
        cam.server.send("POST", "/api/upload", "", &"x".repeat(100_000));
        !session(&cam.server)["recording_failure"].is_null()
    });
    let why = session(&cam.server)["recording_failure"].as_str().unwrap().to_owned();
    assert!(why.contains("no space left"), "{why}");
    let listed = cam.listed();
    // It goes on, and all that it lists can be had.
    until("it goes on", || cam.listed().len() >= listed.len() + 4);
    assert_eq!(session(&cam.server)["state"], "live");
    let now = cam.listed();
    assert!(now.starts_with(&listed), "nothing that was listed is lost");
    cam.check(&now);
    // With room it is recorded again, what was in memory meanwhile included.
    cam.recover(&publisher, &now);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_stream_that_starts_on_a_full_disk_goes_on_air_and_is_recorded_when_there_is_room() {
    let Some(cam) = Recording::prepare() else { return };
    // Less is left than recordings leave to the catalogue.
    while cam.server.send("POST", "/api/upload", "", &"x".repeat(1_000_000)).status == 201 {}
    let publisher = cam.publish().await;
    until("it is on air", || cam.listed().len() >= 3);
    let now = session(&cam.server);
    assert_eq!(now["state"], "live");
    assert!(now["recording_failure"].as_str().is_some_and(|why| why.contains("space left")), "{now}");
    let early = cam.listed();
    cam.check(&early);
    let names = cam.recover(&publisher, &early);
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
