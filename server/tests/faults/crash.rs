//! kill -9 at random moments: what was listed stays, what was half done is not shown.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::mutate::Random;
use super::process::{Process, until};
use super::publishers::rtmp_address;
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

/// What a rendition of the stream lists.
struct Shown {
    /// Seconds of whole segments and of the parts behind them.
    seconds: f64,
    segments: Vec<String>,
    /// Longest part.
    part_s: f64,
    discontinuities: usize,
}

fn shown(server: &Process, rendition: &str) -> Option<Shown> {
    let answer = server.get(&format!("/stream/cam/hls/{rendition}/index.m3u8"));
    if answer.status != 200 {
        return None;
    }
    let text = answer.text();
    assert!(m3u8_rs::parse_media_playlist_res(&answer.body).is_ok(), "{text}");
    let number = |text: &str| text.split(',').next().and_then(|text| text.parse::<f64>().ok());
    let (mut seconds, mut parts, mut part_s) = (0.0, 0.0, 0.0);
    for line in text.lines() {
        if let Some(duration) = line.strip_prefix("#EXTINF:").and_then(number) {
            // Its parts came before it.
            (seconds, parts) = (seconds + duration, 0.0);
        } else if let Some(part) = line.strip_prefix("#EXT-X-PART:") {
            parts += part.split("DURATION=").nth(1).and_then(number).expect("how long a part is");
        } else if let Some(target) = line.strip_prefix("#EXT-X-PART-INF:PART-TARGET=") {
            part_s = number(target).unwrap();
        }
    }
    let discontinuities = text.matches("#EXT-X-DISCONTINUITY\n").count();
    Some(Shown { seconds: seconds + parts, segments: uris(&text), part_s, discontinuities })
}

/// Where the moments come from: `WEIR_SEED`, or a new one each time. Shown when the test fails.
fn seed() -> u64 {
    let given = std::env::var("WEIR_SEED").ok().map(|text| text.parse().expect("WEIR_SEED is a number"));
    let seed = given.unwrap_or_else(|| {
        std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 % 1_000_000_007
    });
    // Past the lint, which is for the program.
    let _ = writeln!(std::io::stderr(), "WEIR_SEED={seed}");
    seed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_during_a_live_recording_lose_one_part_each_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = || Process::start(&data, &["--rtmp", "127.0.0.1:0", "--live-rungs", "0"]);
    let mut random = Random::new(seed());
    let mut server = start();
    let body = r#"{"id": "cam", "mode": "live", "record": true, "dvr_s": 0}"#;
    let made = server.send("POST", "/api/stream/create", "", body);
    assert_eq!(made.status, 201, "{}", made.text());
    let key = made.json()["stream_key"].as_str().unwrap().to_owned();
    let mut had = 0.0;
    for round in 0..20 {
        // The same key is good after every restart.
        let (mut publisher, status) = RtmpClient::publish(rtmp_address(folder.path(), "RTMP"), &key).await;
        assert_eq!(status, "NetStream.Publish.Start", "round {round}");
        let sending = tokio::spawn(async move {
            publisher.configure().await;
            // In pieces, so that there are moments of all kinds; it is cut off long before its end.
            for n in 0..600 {
                publisher.play(n * 1000, 1000).await;
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        });
        until("more is listed", || shown(&server, "source").is_some_and(|now| now.seconds > had + 1.0));
        tokio::time::sleep(Duration::from_millis(random.below(120) as u64)).await;
        let before = ["source", "audio"].map(|rendition| shown(&server, rendition).unwrap());
        server.kill();
        sending.abort();
        server = start();
        for (rendition, before) in ["source", "audio"].into_iter().zip(before) {
            let after = shown(&server, rendition).unwrap();
            let lost = before.seconds - after.seconds;
            assert!(lost <= before.part_s + 0.001, "round {round}: {rendition} lost {lost} s");
            assert!(
                before.segments.iter().all(|name| after.segments.contains(name)),
                "round {round}: {rendition} had {:?} and has {:?}",
                before.segments,
                after.segments
            );
            assert!(after.discontinuities <= round, "a clock that started anew is told, others are not");
            for name in after.segments.iter().rev().take(2) {
                let answer = server.get(&format!("/stream/cam/hls/{rendition}/{name}"));
                let length: usize = answer.header("content-length").unwrap().parse().unwrap();
                assert!(answer.status == 200 && answer.body.len() == length, "round {round}: {name}");
            }
            had = after.seconds.max(had);
        }
    }
    assert!(shown(&server, "source").unwrap().discontinuities >= 15, "gaps are shown");
    assert_eq!(server.send("POST", "/api/stream/cam/stop", "", "").status, 200);
    until("it has become a recording", || {
        server.get("/stream/cam/hls/source/index.m3u8").text().contains("#EXT-X-ENDLIST")
    });
}
