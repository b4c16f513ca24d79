//! Servers whose bodies are not what they say: lengths that are wrong, answers that break off, and nothing but refusals.

#![allow(clippy::unwrap_used, reason = "in a test that is the report")]

mod support;

use support::{
    Record, media, open, play,
    raw::{Asked, Raw, head, rest, sized},
    server::{Fault, Server, Site},
    wait_until,
};
use weir_engine::{Options, State};

/// A film of four seconds, its segments answered by `answer`: the whole segment, and what was asked for.
fn film(ts: bool, answer: impl Fn(&[u8], &Asked) -> Vec<u8> + Send + Sync + 'static) -> (Raw, &'static str) {
    let site = Site::default();
    let path = if ts {
        media::ts(&site, 4, None);
        "/ts/master.m3u8"
    } else {
        media::fmp4(&site, &[media::LOW], 4);
        "/fmp4/master.m3u8"
    };
    let server = Raw::start(move |asked| {
        let Some(body) = site.get(&asked.path) else { return head("404 Not Found", "content-length: 0\r\n") };
        let media = [".ts", ".m4s"].iter().any(|end| asked.path.ends_with(end));
        if media { answer(&body, asked) } else { sized(&body, body.len()) }
    });
    (server, path)
}

/// Plays to the end without anything left out.
fn plays(server: &Raw, path: &str) -> Record {
    let (last, record) = play(&server.url(path), Options::default());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert!(record.all("skip").is_empty(), "{:#?}", record.all("skip"));
    let end = record.one("ended")["pos_s"].as_f64().unwrap();
    assert!((3.5..4.5).contains(&end), "ended at {end}");
    record
}

fn resumed(server: &Raw) -> usize {
    server.asked().iter().filter(|asked| asked.from.is_some_and(|from| from > 0)).count()
}

#[test]
fn a_body_that_breaks_off_is_gone_on_with_where_it_ended() {
    for ts in [false, true] {
        let (server, path) = film(ts, |body, asked| match asked.from {
            Some(from) => rest(body, from),
            None => sized(&body[..body.len() / 2], body.len()),
        });
        plays(&server, path);
        assert!(resumed(&server) >= 2, "{:?}", server.asked());
    }
}

#[test]
fn a_body_in_chunks_that_breaks_off_is_gone_on_with() {
    let (server, path) = film(true, |body, asked| match asked.from {
        Some(from) => rest(body, from),
        None => {
            let half = body.len() / 2;
            let size = format!("{half:x}\r\n").into_bytes();
            [head("200 OK", "transfer-encoding: chunked\r\n"), size, body[..half].to_vec()].concat()
        }
    });
    plays(&server, path);
    assert!(resumed(&server) >= 2, "{:?}", server.asked());
}

#[test]
fn a_length_that_is_too_long_does_not_matter_where_all_has_come() {
    // One server knows better when it is asked for the rest, one tells the same tale again.
    for knows in [true, false] {
        let (server, path) = film(true, move |body, asked| match asked.from {
            Some(from) if knows => rest(body, from),
            _ => sized(body, body.len() + 100_000),
        });
        plays(&server, path);
    }
}

#[test]
fn what_a_length_that_is_too_short_hides_is_asked_for() {
    for ts in [false, true] {
        let (server, path) = film(ts, |body, asked| match asked.from {
            Some(from) => rest(body, from),
            // In the middle of a packet and of a box.
            None => sized(body, body.len() / 2 / 188 * 188 + 50),
        });
        plays(&server, path);
        assert!(resumed(&server) >= 2, "{:?}", server.asked());
    }
}

#[test]
fn an_end_that_never_comes_is_said_to_be_missing() {
    let site = Site::default();
    media::ts(&site, 4, None);
    let server = Server::start(&site);
    site.fault("/high-1.ts", Fault::Truncate, u32::MAX);
    let (last, record) = play(&server.url("/ts/master.m3u8"), Options::default());
    assert_eq!(last.state, State::Failed, "a quarter of it is missing");
    let error = last.error.unwrap();
    assert!(error.what.contains("the end of the stream") && !error.advice.is_empty(), "{error:?}");
    // What came of it was played.
    assert!(record.numbers("position", "pos_s").last().is_some_and(|last| *last > 2.1));
}

#[test]
fn a_server_that_refuses_everything_is_told_of_at_once_and_believed_once_nothing_is_left() {
    let site = Site::default();
    media::fmp4(&site, &[media::LOW], 12);
    let server = Server::start(&site);
    for number in 4..12 {
        site.fault(&format!("/low-{number}.m4s"), Fault::Status(404), u32::MAX);
    }
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");
    let player = open(&server.url("/fmp4/master.m3u8"), &events, Options::default());
    let told = wait_until(&player, "the warning", |snapshot| snapshot.warning.is_some());
    assert_eq!(told.warning.unwrap().code, "http_status");
    let last = player.wait();
    drop(player);
    assert_eq!(last.state, State::Failed);
    assert_eq!(last.error.as_ref().unwrap().code, "http_status", "{:?}", last.error);
    // What was buffered was played to its end first.
    let record = Record::read(&events);
    assert!(record.numbers("position", "pos_s").last().is_some_and(|last| *last > 3.5), "{last:?}");
}

#[test]
fn a_server_that_comes_to_its_senses_is_played_on_from() {
    let site = Site::default();
    media::fmp4(&site, &[media::LOW], 6);
    let server = Server::start(&site);
    site.fault("/low-2.m4s", Fault::Status(500), 4);
    let (last, record) = play(&server.url("/fmp4/master.m3u8"), Options::default());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert!(record.all("skip").is_empty(), "{:#?}", record.all("skip"));
}

#[test]
fn a_rung_that_is_refused_gives_way_to_one_that_is_not() {
    let site = Site::default();
    media::fmp4(&site, &[media::LOW, media::HIGH], 4);
    let server = Server::start(&site);
    site.fault("/low-", Fault::Status(500), u32::MAX);
    let (last, record) = play(&server.url("/fmp4/master.m3u8"), Options::default());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert_eq!(record.one("first_frame")["height"], 180);
}
