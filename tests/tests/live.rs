//! A live stream from the real server, watched at its edge by the real player.

use std::time::Duration;

use serde_json::json;
use weir_abr::record::Event;
use weir_tests::{Player, Server, fixture, http, screen::until};

const NONE: &[&str] = &[];

/// Seconds of media that the server lists, from the stream's beginning (its window is longer than the test).
fn listed_s(server: &Server, id: &str) -> anyhow::Result<f64> {
    let answer = http::get(&format!("{}/stream/{id}/hls/source/index.m3u8", server.url))?;
    let text = String::from_utf8(answer.body)?;
    let durations = text.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.split(',').next());
    durations.map(|duration| Ok(duration.parse::<f64>()?)).sum()
}

#[test]
fn a_live_stream_is_watched_at_its_edge_and_to_its_end() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_at(data.path(), 0, &["--rtmp", "off"]).unwrap();
    let stream = format!("{}/api/stream/air", server.url);
    let card = json!({"type": "testcard", "height": 240, "frame_rate": 25});
    let body = json!({"id": "air", "title": "Air", "mode": "live", "source": card});
    let created = http::post_json(&format!("{}/api/stream/create", server.url), &body).unwrap();
    assert_eq!(created.status, 201, "{}", String::from_utf8_lossy(&created.body));
    fixture::wait_stream(&server, "air", Duration::from_secs(20), |stream| stream["playable"] == true)
        .unwrap();
    // As much as the viewer is to stay behind the edge, so that the start is not at the stream's first picture.
    until(Duration::from_secs(20), || Ok((listed_s(&server, "air")? >= 6.0).then_some(()))).unwrap();

    let mpd = format!("{}/stream/air/dash/manifest.mpd", server.url);
    let mut player = Player::headless(&mpd, NONE).unwrap();
    let log = player.wait_for(Duration::from_secs(20), |log| log.position() > 0.0).unwrap();
    let start = log.position();
    let log = player.wait_for(Duration::from_secs(20), |log| log.position() > start + 5.0).unwrap();

    // At most a segment is under way besides the wanted distance and what a busy machine takes.
    let latency = listed_s(&server, "air").unwrap() - log.position();
    assert!((0.0..9.0).contains(&latency), "{latency} s behind the edge: {}", log.tail(20));
    let viewers = http::get_json(&stream).unwrap()["viewers"].clone();
    assert_eq!((&viewers["current"], &viewers["total"]), (&1.into(), &1.into()), "{viewers}");

    let stopped = http::post_json(&format!("{stream}/stop"), &json!({})).unwrap();
    assert_eq!(stopped.status, 200, "{}", String::from_utf8_lossy(&stopped.body));
    let log = player.finish(Duration::from_secs(30)).unwrap();
    assert!(log.ended(), "{}", log.tail(20));
    assert_eq!(log.stalls(), 0, "{}", log.tail(60));
    assert_eq!(log.count(|event| matches!(event, Event::Error { .. })), 0, "{}", log.tail(60));
    let all = listed_s(&server, "air").unwrap();
    assert!((log.position() - all).abs() < 0.5, "ended at {} of {all} s", log.position());
}

#[test]
fn a_live_stream_plays_from_its_very_first_segment() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_at(data.path(), 0, &["--rtmp", "off"]).unwrap();
    let card = json!({"type": "testcard", "height": 240, "frame_rate": 25});
    let body = json!({"id": "air", "title": "Air", "mode": "live", "source": card});
    assert_eq!(http::post_json(&format!("{}/api/stream/create", server.url), &body).unwrap().status, 201);
    fixture::wait_stream(&server, "air", Duration::from_secs(20), |stream| stream["playable"] == true)
        .unwrap();

    let mpd = format!("{}/stream/air/dash/manifest.mpd", server.url);
    let mut player = Player::headless(&mpd, NONE).unwrap();
    let log = player.wait_for(Duration::from_secs(20), |log| log.position() > 3.0).unwrap();

    // Sound begins a little after the pictures there: nothing is waited for before it.
    let stood = |event: &Event| matches!(event, Event::Error { code, .. } if code == "playback_stood");
    assert_eq!(log.count(stood), 0, "{}", log.tail(60));
}
