//! kill -9 at random moments: what was listed stays, what was half done is not shown.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::mutate::Random;
use super::process::{Process, until};
use super::rtmp_client::RtmpClient;
use super::support::uris;

const RENDITIONS: [&str; 2] = ["96p", "audio"];
const SECONDS: f64 = 240.0;

/// Segment names of a rendition, when it has a playlist yet.
fn listed(server: &Process, rendition: &str) -> Vec<String> {
    let answer = server.get(&format!("/stream/card/hls/{rendition}/index.m3u8"));
    if answer.status != 200 {
        assert!([404, 503].contains(&answer.status), "{}", answer.status);
        return Vec::new();
    }
    let parsed = m3u8_rs::parse_media_playlist_res(&answer.body);
    assert!(parsed.is_ok(), "a playlist that others can read: {}", answer.text());
    uris(&answer.text())
}

fn fetch(server: &Process, rendition: &str, name: &str) -> Vec<u8> {
    let answer = server.get(&format!("/stream/card/hls/{rendition}/{name}"));
    assert!(answer.status == 200 && answer.complete, "{rendition}/{name}: {}", answer.status);
    let length: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert_eq!(answer.body.len(), length, "{rendition}/{name} is whole");
    answer.body
}

fn start(data: &Path) -> Process {
    Process::start(data, &[])
}

#[test]
fn twenty_kills_during_ingest_lose_nothing_that_was_listed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut random = Random::new(20);
    let mut server = start(&data);
    let body = format!(
        r#"{{"id": "card", "source": {{"type": "testcard", "height": 96, "duration_s": {SECONDS}}}}}"#
    );
    assert_eq!(server.send("POST", "/api/stream/create", "", &body).status, 201);
    let mut seen: BTreeMap<(&str, String), Vec<u8>> = BTreeMap::new();
    for round in 0..20 {
        std::thread::sleep(Duration::from_millis(random.below(150) as u64));
        for rendition in RENDITIONS {
            for name in listed(&server, rendition).into_iter().rev().take(2) {
                let bytes = fetch(&server, rendition, &name);
                seen.insert((rendition, name), bytes);
            }
        }
        server.kill();
        server = start(&data);
        let stream = server.get("/api/stream/card").json();
        assert_ne!(stream["state"], "failed", "round {round}: {stream}");
        for ((rendition, name), bytes) in &seen {
            let listed = listed(&server, rendition);
            assert!(listed.contains(name), "round {round}: {rendition}/{name} is not listed any more");
            assert!(
                fetch(&server, rendition, name) == *bytes,
                "round {round}: {rendition}/{name} is another"
            );
        }
        // The newest few are looked at again, the rest at the end.
        while seen.len() > 8 {
            seen.pop_first();
        }
    }
    let begun = Instant::now();
    while server.get("/api/stream/card").json()["state"] != "ready" {
        assert!(begun.elapsed() < Duration::from_secs(120), "it is never finished");
        std::thread::sleep(Duration::from_millis(100));
    }
    for rendition in RENDITIONS {
        let playlist = server.get(&format!("/stream/card/hls/{rendition}/index.m3u8"));
        let parsed = m3u8_rs::parse_media_playlist_res(&playlist.body).unwrap();
        let seconds: f64 = parsed.segments.iter().map(|segment| f64::from(segment.duration)).sum();
        assert!(parsed.end_list && (seconds - SECONDS).abs() < 0.2, "{rendition}: {seconds} s");
        for name in uris(&playlist.text()) {
            fetch(&server, rendition, &name);
        }
    }
}

/// Where the newest start of the server takes publishers.
fn rtmp_address(folder: &Path) -> std::net::SocketAddr {
    let log = std::fs::read_to_string(folder.join("log")).unwrap();
    let line = log.lines().rfind(|line| line.contains("taken by RTMP")).expect("RTMP is told");
    line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

/// Seconds and segment names of the recording, and how often its clock was cut.
fn recording(server: &Process) -> (f64, Vec<String>, usize) {
    let answer = server.get("/stream/cam/hls/source/index.m3u8");
    if answer.status != 200 {
        return (0.0, Vec::new(), 0);
    }
    let parsed = m3u8_rs::parse_media_playlist_res(&answer.body);
    assert!(parsed.is_ok(), "{}", answer.text());
    let text = answer.text();
    let seconds = text
        .lines()
        .filter_map(|line| line.strip_prefix("#EXTINF:")?.split(',').next()?.parse::<f64>().ok())
        .sum();
    (seconds, uris(&text), text.matches("#EXT-X-DISCONTINUITY\n").count())
}

#[tokio::test]
async fn kills_during_a_live_recording_lose_at_most_what_was_being_written() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = || Process::start(&data, &["--rtmp", "127.0.0.1:0"]);
    let mut random = Random::new(9);
    let mut server = start();
    let body = r#"{"id": "cam", "mode": "live", "record": true, "dvr_s": 0}"#;
    let made = server.send("POST", "/api/stream/create", "", body).json();
    let key = made["stream_key"].as_str().unwrap().to_owned();
    let (mut seconds, mut published) = (0.0, 0);
    for round in 0..8 {
        // The same key is good after every restart.
        let (mut publisher, status) = RtmpClient::publish(rtmp_address(folder.path()), &key).await;
        assert_eq!(status, "NetStream.Publish.Start", "round {round}");
        publisher.configure().await;
        let length = 4000 + random.below(5000) as u32;
        publisher.play(0, length).await;
        published += 1;
        until("the media is listed", || recording(&server).0 > seconds + 1.5);
        tokio::time::sleep(Duration::from_millis(random.below(200) as u64)).await;
        let (before, names, _) = recording(&server);
        server.kill();
        server = start();
        let (after, kept, cuts) = recording(&server);
        // The newest segment may have been on its way to the disk.
        let lost = names.iter().filter(|name| !kept.contains(name)).count();
        assert!(lost <= 1, "round {round}: {before} s before, {after} s after: {names:?} {kept:?}");
        assert!(cuts < published, "a clock that started anew is told, others are not: {cuts}");
        for name in kept.iter().rev().take(3) {
            let answer = server.get(&format!("/stream/cam/hls/source/{name}"));
            let length: usize = answer.header("content-length").unwrap().parse().unwrap();
            assert!(answer.status == 200 && answer.body.len() == length, "round {round}: {name}");
        }
        seconds = after;
    }
    assert!(recording(&server).2 >= 5, "gaps are shown");
    assert_eq!(server.send("POST", "/api/stream/cam/stop", "", "").status, 200);
    until("it has become a recording", || {
        server.get("/stream/cam/hls/source/index.m3u8").text().contains("#EXT-X-ENDLIST")
    });
}
