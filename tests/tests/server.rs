//! The server as an admin and a viewer meet it, beyond what its own tests check in-process.

use std::time::Duration;

use weir_tests::{Player, Server, fixture, http, screen::until};

const NONE: &[&str] = &[];

/// Names and sizes of a rendition's listed segments.
fn listed(server: &Server, id: &str, rendition: &str) -> anyhow::Result<Vec<(String, usize)>> {
    let base = format!("{}/stream/{id}/hls/{rendition}", server.url);
    let answer = http::get(&format!("{base}/index.m3u8"))?;
    if answer.status != 200 {
        return Ok(Vec::new());
    }
    let text = String::from_utf8(answer.body)?;
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|name| {
            let segment = http::get(&format!("{base}/{name}"))?;
            anyhow::ensure!(segment.status == 200, "{name}: {}", segment.status);
            Ok((name.to_owned(), segment.body.len()))
        })
        .collect()
}

#[test]
fn kill_9_while_packaging_loses_no_finished_segment_and_the_job_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(data.path()).unwrap();
    fixture::create_card(&server, "card", 32, 360).unwrap();
    let before = until(Duration::from_secs(60), || {
        let segments = listed(&server, "card", "360p")?;
        Ok((segments.len() >= 2).then_some(segments))
    })
    .unwrap();
    server.kill();

    let server = Server::start(data.path()).unwrap();
    let at_once = listed(&server, "card", "360p").unwrap();
    assert_eq!(at_once[..before.len()], before[..], "what was finished is still there, unchanged");
    fixture::wait_ready(&server, "card", Duration::from_secs(120)).unwrap();
    let after = listed(&server, "card", "360p").unwrap();
    assert_eq!(after.len(), 8, "32 s in segments of 4 s: {after:?}");
    assert_eq!(after[..before.len()], before[..]);

    let log = Player::headless(&server.hls("card"), NONE).unwrap().finish(Duration::from_secs(60)).unwrap();
    assert!(log.ended() && log.stalls() == 0, "{}", log.tail(20));
    assert!((log.position() - 32.0).abs() < 0.5, "ended at {} of 32 s", log.position());
}

#[test]
fn a_player_is_one_viewer_while_it_plays_and_none_after_the_window() {
    let data = fixture::packaged().unwrap();
    let server = Server::start(data.path()).unwrap();
    let url = format!("{}/api/stream/{}", server.url, fixture::LONG);
    let viewers = || http::get_json(&url).map(|stream| stream["viewers"].clone());
    assert_eq!(viewers().unwrap()["current"], 0);

    let first = Player::headless(&server.hls(fixture::LONG), &["--duration", "6"]).unwrap();
    let second = Player::headless(&server.hls(fixture::LONG), &["--duration", "6"]).unwrap();
    until(Duration::from_secs(6), || Ok((viewers()?["current"] == 2).then_some(()))).unwrap();
    first.finish(Duration::from_secs(20)).unwrap();
    second.finish(Duration::from_secs(20)).unwrap();

    until(Duration::from_secs(30), || Ok((viewers()?["current"] == 0).then_some(()))).unwrap();
    let after = viewers().unwrap();
    assert_eq!((&after["peak"], &after["total"]), (&2.into(), &2.into()), "{after}");
}
