//! A live stream from the real server, watched as close to its edge as it asks for.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use serde_json::json;
use weir_abr::record::Event;
use weir_tests::{Log, Player, Proxy, Server, fixture, http, screen::until};

/// A server with a low-latency test card on air, of which enough is there to start at its edge.
fn on_air() -> (tempfile::TempDir, Server) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_at(data.path(), 0, &["--rtmp", "off"]).unwrap();
    let card = json!({"type": "testcard", "height": 360, "frame_rate": 25});
    let body = json!({"id": "air", "title": "Air", "mode": "live", "latency": "low", "source": card});
    let created = http::post_json(&format!("{}/api/stream/create", server.url), &body).unwrap();
    assert_eq!(created.status, 201, "{}", String::from_utf8_lossy(&created.body));
    fixture::wait_stream(&server, "air", Duration::from_secs(20), |stream| stream["playable"] == true)
        .unwrap();
    let list = format!("{}/stream/air/hls/source/index.m3u8", server.url);
    until(Duration::from_secs(20), || {
        let text = String::from_utf8(http::get(&list)?.body)?;
        Ok((text.matches("#EXTINF").count() >= 3).then_some(()))
    })
    .unwrap();
    (data, server)
}

/// Seconds behind the wall clock at which the pictures were made, in order.
fn latencies(log: &Log) -> Vec<f64> {
    log.0
        .iter()
        .filter_map(|entry| match entry.event {
            Event::Latency { latency_s, .. } => latency_s,
            _ => None,
        })
        .collect()
}

fn watched(url: &str, most: f64) {
    let log = Player::headless(url, &["--duration", "12"]).unwrap().finish(Duration::from_secs(40)).unwrap();
    assert_eq!(log.stalls(), 0, "{}", log.tail(60));
    assert_eq!(log.count(|event| matches!(event, Event::Error { .. })), 0, "{}", log.tail(60));
    let latencies = latencies(&log);
    assert!(latencies.len() >= 7, "{}", log.tail(60));
    // The first second is the start; a busy machine may be late once.
    let behind = latencies[1..].iter().filter(|latency| **latency > most).count();
    assert!(behind <= latencies.len() / 3, "{latencies:?} s behind, {most} are wanted");
}

#[test]
fn hls_is_watched_part_by_part() {
    let (_data, server) = on_air();
    // Parts of half a second, three of them as the distance to keep; a segment of two seconds is not waited for.
    watched(&server.hls("air"), 3.2);
}

#[test]
fn dash_is_watched_while_its_segments_are_made() {
    let (_data, server) = on_air();
    watched(&format!("{}/stream/air/dash/manifest.mpd", server.url), 4.2);
}

#[test]
fn waiting_for_the_encoder_is_not_taken_for_a_slow_link() {
    let (_data, server) = on_air();
    let proxy = Proxy::start(&server.url, &["--rate", "8M", "--latency", "20ms"]).unwrap();
    let log = Player::headless(&proxy.hls("air"), &["--duration", "12"])
        .unwrap()
        .finish(Duration::from_secs(40))
        .unwrap();
    assert_eq!(log.stalls(), 0, "{}", log.tail(60));
    let estimates: Vec<f64> = log
        .0
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Decision { estimate_kbps, .. } => *estimate_kbps,
            _ => None,
        })
        .collect();
    let last = estimates[estimates.len() - 1];
    // Paced by the encoder it would be the stream's own rate, a fraction of this.
    assert!(last > 3500.0, "the link carries 8000 kbit/s: {estimates:?}");
}
