//! Playing real streams from the real server, headless, at real speed.

use std::{fs, time::Duration};

use serde_json::json;
use weir_abr::{TrackKind, record::Event};
use weir_tests::{Log, Player, Proxy, Server, fixture, http};

const NONE: &[&str] = &[];

fn heights(log: &Log) -> Vec<u32> {
    let mut heights: Vec<_> = log.positions().iter().map(|position| position.height).collect();
    heights.dedup();
    heights
}

/// Declared bitrates of the video segments that were asked for between two moments and came whole, in kbit/s.
fn fetched_kbps(log: &Log, from_s: f64, to_s: f64) -> Vec<f64> {
    let asked = from_s * 1000.0..to_s * 1000.0;
    log.0
        .iter()
        .filter_map(|entry| match entry.event {
            // The one that was under way when the link fell may well come whole, out of the buffer's time.
            Event::Segment { track: TrackKind::Video, kbps, ms, .. }
                if asked.contains(&(entry.t_ms - ms)) =>
            {
                Some(kbps)
            }
            _ => None,
        })
        .collect()
}

#[test]
fn plays_a_packaged_file_to_its_end_without_a_stall() {
    let data = fixture::packaged().unwrap();
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("film.mp4");
    let allow = ["--allow-path".as_ref(), files.path().as_os_str()];
    let server = Server::start_at(data.path(), 0, &allow).unwrap();
    // The server's own progressive stream is the file that it packages here.
    http::download(&format!("{}/stream/{}?rung=360p", server.url, fixture::SHORT), &file).unwrap();
    let body = json!({"id": "film", "title": "A film", "source": {"type": "file", "path": file}});
    let answer = http::post_json(&format!("{}/api/stream/create", server.url), &body).unwrap();
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    fixture::wait_ready(&server, "film", Duration::from_secs(120)).unwrap();

    let log = Player::headless(&server.hls("film"), NONE).unwrap().finish(Duration::from_secs(60)).unwrap();

    assert!(log.ended(), "{}", log.tail(20));
    assert_eq!(log.stalls(), 0, "{}", log.tail(20));
    assert!((log.position() - 24.0).abs() < 0.5, "ended at {} of 24 s", log.position());
    assert_eq!(heights(&log).last(), Some(&360), "a fast link gets the top rung: {}", log.tail(400));
    let positions = log.positions();
    let (first, last) = (positions[0], positions[positions.len() - 1]);
    let pace = (last.pos_s - first.pos_s) / ((last.t_ms - first.t_ms) / 1000.0);
    assert!((0.93..1.07).contains(&pace), "played at {pace} of real speed");
}

#[test]
fn a_stream_is_watched_while_it_is_still_being_packaged() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path()).unwrap();
    fixture::create_card(&server, "growing", 20, 360).unwrap();
    fixture::wait_stream(&server, "growing", Duration::from_secs(60), |_| {
        http::get(&server.hls("growing")).is_ok_and(|answer| answer.status == 200)
    })
    .unwrap();

    let log =
        Player::headless(&server.hls("growing"), NONE).unwrap().finish(Duration::from_secs(90)).unwrap();

    assert!(log.ended(), "{}", log.tail(20));
    assert!((log.position() - 20.0).abs() < 0.5, "ended at {} of 20 s", log.position());
}

#[test]
fn switches_down_and_up_again_without_a_stall_when_the_link_steps_down_and_up() {
    let data = fixture::packaged().unwrap();
    let server = Server::start(data.path()).unwrap();
    let trace = data.path().join("step.jsonl");
    fs::write(
        &trace,
        r#"{"name": "step", "points": [[20000, 5000, 40], [28000, 600, 40], [600000, 5000, 40]]}"#,
    )
    .unwrap();
    let proxy = Proxy::start(&server.url, &["--trace".as_ref(), trace.as_os_str()]).unwrap();

    let log = Player::headless(&proxy.hls(fixture::LONG), &["--max-buffer", "15", "--duration", "78"])
        .unwrap()
        .finish(Duration::from_secs(120))
        .unwrap();

    assert_eq!(log.stalls(), 0, "{}", log.tail(20));
    let before = fetched_kbps(&log, 10.0, 20.0);
    let during = fetched_kbps(&log, 30.0, 48.0);
    let after = fetched_kbps(&log, 60.0, 78.0);
    let highest = |kbps: &[f64]| kbps.iter().copied().fold(0.0, f64::max);
    assert!(highest(&before) > 2000.0, "at 5 Mbit/s it fetched {before:?}");
    assert!(!during.is_empty() && highest(&during) < 600.0, "at 0.6 Mbit/s it fetched {during:?}");
    assert!(highest(&after) > 2000.0, "back at 5 Mbit/s it fetched {after:?}");
    let shown = heights(&log);
    let down = shown.iter().position(|height| *height == 240).expect("240p was shown");
    assert!(shown[..down].contains(&720) && shown[down..].contains(&720), "shown: {shown:?}");
    let positions = log.positions();
    assert!(positions[positions.len() - 1].pos_s > 72.0, "{}", log.tail(10));
}

#[test]
fn survives_a_server_that_is_killed_and_restarted() {
    let data = fixture::packaged().unwrap();
    let mut server = Server::start(data.path()).unwrap();
    let port = server.port();
    let mut player = Player::headless(&server.hls(fixture::SHORT), &["--max-buffer", "10"]).unwrap();
    player.wait_for(Duration::from_secs(20), |log| log.position() > 3.0).unwrap();

    server.kill();
    let log = player
        .wait_for(Duration::from_secs(20), |log| {
            log.count(|event| matches!(event, Event::Error { fatal: false, .. })) > 0
        })
        .unwrap();
    assert_eq!(log.count(|event| matches!(event, Event::Error { fatal: true, .. })), 0);
    std::thread::sleep(Duration::from_secs(3));
    let _server = Server::start_at(data.path(), port, NONE).unwrap();

    let log = player.finish(Duration::from_secs(60)).unwrap();
    assert!(log.ended(), "{}", log.tail(20));
    assert_eq!(log.stalls(), 0, "{}", log.tail(40));
}

#[test]
fn sound_and_picture_of_the_test_card_stay_within_40_ms() {
    let data = fixture::packaged().unwrap();
    let server = Server::start(data.path()).unwrap();

    let log = Player::headless(&server.hls(fixture::SHORT), &["--measure-sync", "--duration", "14"])
        .unwrap()
        .finish(Duration::from_secs(40))
        .unwrap();

    let offsets: Vec<_> = log
        .0
        .iter()
        .filter_map(|entry| match entry.event {
            Event::Sync { offset_ms, .. } => Some(offset_ms),
            _ => None,
        })
        .collect();
    assert!(offsets.len() >= 10, "only {} beeps with flashes in 14 s", offsets.len());
    // Whatever the machine is busy with: streams that are put together wrongly are off at each beep.
    let mut sorted = offsets.clone();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted[sorted.len() / 2];
    assert!(middle.abs() <= 10.0, "{offsets:?}");
    // A picture is shown late when the processor was not to be had in time, and then the next one is on time again.
    let late = offsets.iter().filter(|offset| offset.abs() > 40.0).count();
    assert!(late <= 1, "{offsets:?}");
}

#[test]
fn a_server_that_is_not_there_ends_in_a_message_that_names_it() {
    let port = weir_tests::process::free_port();
    let url = format!("http://127.0.0.1:{port}/stream/x/hls/master.m3u8");
    let output = weir_tests::process::run("weir", &["play", &url, "--headless"]).unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(&format!("127.0.0.1:{port}")), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn broken_segments_are_replaced_or_jumped_over_and_playback_goes_on() {
    let data = fixture::packaged().unwrap();
    let server = Server::start(data.path()).unwrap();
    // One is refused once, one comes cut short, for any rung; both can be had at the next try.
    let proxy = Proxy::start(
        &server.url,
        &["--rate", "50M", "--fault", "404@/480p/00003-#1", "--fault", "truncate@/480p/00005-#1"],
    )
    .unwrap();

    let log =
        Player::headless(&proxy.hls(fixture::SHORT), NONE).unwrap().finish(Duration::from_secs(60)).unwrap();

    assert!(log.ended(), "{}", log.tail(20));
    assert!(log.count(|event| matches!(event, Event::Error { fatal: false, .. })) > 0, "{}", log.tail(60));
    assert_eq!(log.stalls(), 0, "{}", log.tail(60));
}
