//! Viewers as the API tells them; who counts as what is in the truth table of the counter itself.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weir_server::catalog::State;

use super::support::{Server, uris};

const FILM: [(&str, State, u32, bool); 1] = [("film", State::Ready, 3, true)];

async fn viewers(server: &Server) -> Value {
    server.get("/api/stream/film").await.json()["viewers"].clone()
}

async fn names(server: &Server, rendition: &str) -> (String, String) {
    let base = format!("/stream/film/hls/{rendition}");
    let text = server.get_with(&format!("{base}/index.m3u8"), &[("User-Agent", "looker")]).await.text();
    let init = text.split("#EXT-X-MAP:URI=\"").nth(1).unwrap().split('"').next().unwrap();
    (format!("{base}/{init}"), format!("{base}/{}", uris(&text)[0]))
}

#[tokio::test]
async fn only_media_makes_a_viewer() {
    let server = Server::with_film().await;
    let (init, segment) = names(&server, "360p").await;
    let player = ("User-Agent", "player/1");
    for path in ["/stream/film/hls/master.m3u8", "/stream/film/dash/manifest.mpd", "/api/stream/film", "/"] {
        server.get_with(path, &[player]).await;
    }
    server.send("HEAD", &segment, &[player], "").await;
    server.send("OPTIONS", &segment, &[player], "").await;
    server.get_with(&segment, &[("User-Agent", "examplebot/2.0")]).await;
    server.get_with(&segment, &[player, ("Range", "bytes=999999999-")]).await;
    server.get_with(&init, &[("User-Agent", "never-read-a-playlist")]).await;
    server.get_with("/stream/film/hls/360p/00099-0.m4s", &[player]).await;
    assert_eq!(viewers(&server).await["total"], 0);

    server.get_with(&init, &[player]).await;
    assert_eq!(viewers(&server).await["current"], 1, "an init segment after a playlist");
    let (_, other) = names(&server, "180p").await;
    server.get_with(&other, &[player]).await;
    server.get_with(&other, &[player, ("Range", "bytes=0-99")]).await;
    let now = viewers(&server).await;
    assert_eq!((&now["current"], &now["total"]), (&1.into(), &1.into()), "a rendition switch stays one");
    assert_eq!(now["by_method"]["heuristic"], 1);
}

#[tokio::test]
async fn a_player_that_names_its_session_is_told_apart_behind_one_address() {
    let server = Server::with_film().await;
    let (_, segment) = names(&server, "360p").await;
    for id in ["a", "b", "a"] {
        server.get_with(&segment, &[("User-Agent", "AppleCoreMedia"), ("X-Playback-Session-Id", id)]).await;
    }
    server.get_with(&segment, &[("CMCD-Session", "sid=\"c\",sf=h")]).await;
    let now = viewers(&server).await;
    assert_eq!(
        (&now["current"], &now["by_method"]["exact"], &now["by_method"]["cmcd"]),
        (&3.into(), &2.into(), &1.into())
    );
}

#[tokio::test]
async fn viewers_leave_after_the_window_and_at_once_when_the_stream_goes() {
    let server = Server::with_film().await;
    let (_, segment) = names(&server, "360p").await;
    server.get_with(&segment, &[("CMCD-Session", "sid=\"c\"")]).await;
    server.clock.advance(Duration::from_secs(15));
    assert_eq!(viewers(&server).await["current"], 1);
    server.clock.advance(Duration::from_secs(1));
    let after = viewers(&server).await;
    assert_eq!((&after["current"], &after["peak"], &after["total"]), (&0.into(), &1.into(), &1.into()));

    server.get_with(&segment, &[("CMCD-Session", "sid=\"d\"")]).await;
    server.app.delete("film").await.unwrap();
    assert_eq!(server.app.viewers.count("film").current, 0);
    assert!(!server.get("/metrics").await.text().contains("film"));
}

#[tokio::test]
async fn a_progressive_viewer_counts_until_a_window_after_it_left() {
    let server = Server::with(|_| {}, &[("film", State::Ready, 1, false)]).await;
    server.app.catalog.update("film", |stream| stream.state = State::Packaging).await.unwrap();
    let mut socket = server.connect().await;
    socket.write_all(b"GET /stream/film HTTP/1.1\r\nHost: x\r\nUser-Agent: curl/8\r\n\r\n").await.unwrap();
    let mut some = [0; 512];
    socket.read_exact(&mut some).await.unwrap();
    server.clock.advance(Duration::from_secs(600));
    let now = viewers(&server).await;
    assert_eq!((&now["current"], &now["by_protocol"]["progressive"]), (&1.into(), &1.into()));
    // As kill -9 of the client leaves it: the socket is closed by the system.
    drop(socket);
    let gone = async {
        loop {
            server.clock.advance(Duration::from_secs(16));
            if viewers(&server).await["current"] == 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::support::PATIENCE, gone).await.expect("the viewer is gone");
}

#[tokio::test]
async fn an_admin_sees_the_sessions_and_removes_one() {
    let server = Server::with(|config| config.token = Some("0123456789abcdef".into()), &FILM).await;
    let (_, segment) = names(&server, "360p").await;
    let report = "sid=\"c\",ot=v,br=800,d=4000,bl=9000,mtp=5000,su";
    let cmcd = ("CMCD-Session", report);
    server.get_with(&segment, &[cmcd]).await;
    let token = ("Authorization", "Bearer 0123456789abcdef");
    assert_eq!(server.get("/api/stream/film/viewers").await.problem(401), "token-needed");
    let list = server.get_with("/api/stream/film/viewers", &[token]).await.json();
    let session = &list["items"][0];
    assert_eq!(
        (&list["total"], &session["bitrate_kbps"], &session["buffer_ms"]),
        (&1.into(), &800.into(), &9000.into())
    );
    assert_eq!(session["address"], "127.0.0.0/24");
    assert_eq!(list["qoe"]["reporting"], 1);

    let path = format!("/api/session/{}", session["sid"].as_str().unwrap());
    assert_eq!(server.send("DELETE", &path, &[], "").await.problem(401), "token-needed");
    assert_eq!(
        server.send("DELETE", &format!("{path}?seconds=0"), &[token], "").await.problem(400),
        "bad-request"
    );
    assert_eq!(server.send("DELETE", &format!("{path}?seconds=60"), &[token], "").await.status, 204);
    assert_eq!(server.send("DELETE", &path, &[token], "").await.problem(404), "no-such-session");
    assert_eq!(viewers(&server).await["current"], 0);
    assert_eq!(server.get_with(&segment, &[cmcd]).await.problem(403), "removed");
    assert_eq!(server.get_with(&segment, &[("CMCD-Session", "sid=\"d\"")]).await.status, 200);
    assert_eq!(server.get_with("/stream/film", &[cmcd, ("Accept", "text/html")]).await.status, 200);
    server.clock.advance(Duration::from_secs(61));
    assert_eq!(server.get_with(&segment, &[cmcd]).await.status, 200);
}

#[tokio::test]
async fn a_removed_progressive_viewer_is_cut_off() {
    let server = Server::with(|_| {}, &[("film", State::Ready, 1, false)]).await;
    server.app.catalog.update("film", |stream| stream.state = State::Packaging).await.unwrap();
    let mut socket = server.connect().await;
    socket.write_all(b"GET /stream/film HTTP/1.1\r\nHost: x\r\nUser-Agent: curl/8\r\n\r\n").await.unwrap();
    let mut some = [0; 512];
    socket.read_exact(&mut some).await.unwrap();
    let list = server.get("/api/stream/film/viewers").await.json();
    let path = format!("/api/session/{}", list["items"][0]["sid"].as_str().unwrap());
    assert_eq!(server.send("DELETE", &path, &[], "").await.status, 204);
    // Its next segment is the end of it.
    super::support::add_segment(&server.app.media("film").unwrap(), 2);
    let mut rest = Vec::new();
    tokio::time::timeout(super::support::PATIENCE, socket.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "cut, not ended");
    assert_eq!(viewers(&server).await["current"], 0);
}

#[tokio::test]
async fn beacons_tell_quality_and_need_neither_token_nor_preflight_rights() {
    let server = Server::with(|config| config.token = Some("0123456789abcdef".into()), &FILM).await;
    let (_, segment) = names(&server, "360p").await;
    server.get_with(&segment, &[("CMCD-Session", "sid=\"c\",ot=v,br=800,d=4000,v=2")]).await;
    let foreign = [("Origin", "https://player.example"), ("Content-Type", "application/cmcd")];
    let lines = "cid=\"film\",e=ps,msd=700,sid=\"c\",sta=p,ts=1000,v=2\ncid=\"film\",e=ps,sid=\"c\",sta=r,ts=5000,v=2\n\
                 garbage,,,\"\ncid=\"film\",e=ps,sid=\"c\",sta=p,ts=6500,v=2\n";
    assert_eq!(server.send("POST", "/api/beacon", &foreign, lines).await.status, 204);
    let qoe = server.get("/api/stream/film").await.json()["qoe"].clone();
    assert_eq!((&qoe["sessions"], &qoe["stalls"]["count"]), (&1.into(), &1.into()));
    assert!((qoe["stalls"]["seconds"].as_f64().unwrap() - 1.5).abs() < 1e-6);
    let startup = qoe["startup_ms"]["median"].as_u64().unwrap();
    assert!((640..=770).contains(&startup), "{startup}");

    assert_eq!(server.send("POST", "/api/beacon", &foreign, "nothing").await.problem(400), "bad-request");
    assert_eq!(server.send("POST", "/api/beacon", &foreign, [0xff, 0xfe]).await.problem(400), "bad-request");
    let large = "x".repeat(70_000);
    assert_eq!(server.send("POST", "/api/beacon", &foreign, large).await.problem(413), "too-large");
    let preflight = server.send("OPTIONS", "/api/beacon", &foreign, "").await;
    assert_eq!(preflight.header("access-control-allow-methods"), Some("POST, OPTIONS"));
    // Through a cache that answers all media, the report alone makes the viewer.
    let cached = "e=ps,sid=\"behind-a-cache\",sta=p,v=2";
    assert_eq!(server.send("POST", "/api/beacon?stream=film", &foreign, cached).await.status, 204);
    assert_eq!(viewers(&server).await["current"], 2);
}

#[tokio::test]
async fn a_caching_proxy_in_front_is_not_one_viewer_and_its_clients_are_told_apart() {
    let proxy: std::net::IpAddr = "127.0.0.1".parse().unwrap();
    let server = Server::with(|config| config.trusted_proxies = vec![proxy], &FILM).await;
    let (_, segment) = names(&server, "360p").await;
    let agent = ("User-Agent", "player/1");
    for client in ["198.51.100.1", "198.51.100.2", "203.0.113.9, 198.51.100.2"] {
        server.get_with(&segment, &[agent, ("X-Forwarded-For", client)]).await;
    }
    // A cache that revalidates still says whom it asks for.
    let tag = server.get_with(&segment, &[("User-Agent", "bot")]).await.header("etag").unwrap().to_owned();
    let again = [agent, ("X-Forwarded-For", "198.51.100.3"), ("If-None-Match", tag.as_str())];
    assert_eq!(server.get_with(&segment, &again).await.status, 304);
    assert_eq!(viewers(&server).await["current"], 3);
    // What a cache keeps carries nothing of one viewer.
    let answer = server.get_with(&segment, &[agent]).await;
    assert!(answer.header("set-cookie").is_none());
    assert!(answer.header("cache-control").unwrap().contains("immutable"));
}

#[tokio::test]
async fn counts_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    for expected in [1, 2] {
        let data = folder.path().to_owned();
        let server =
            Server::with(move |config| config.data = data, if expected == 1 { &FILM } else { &[] }).await;
        let (_, segment) = names(&server, "360p").await;
        let sid = format!("sid=\"{expected}\"");
        server.get_with(&segment, &[("CMCD-Session", &sid)]).await;
        assert_eq!(viewers(&server).await["total"], expected);
        server.app.stop.cancel();
        let written = async {
            while !std::fs::read_to_string(folder.path().join("viewers.json"))
                .is_ok_and(|text| text.contains(&format!("\"total\":{expected}")))
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(super::support::PATIENCE, written)
            .await
            .expect("counts are written at the stop");
    }
}

#[tokio::test]
async fn the_end_of_a_live_stream_leaves_nobody_watching_and_keeps_what_was_counted() {
    let server = Server::with_film().await;
    let set = |state| server.app.catalog.update("film", move |stream| stream.state = state);
    set(State::Live).await.unwrap();
    let (_, segment) = names(&server, "360p").await;
    for sid in ["a", "b"] {
        server.get_with(&segment, &[("CMCD-Session", &format!("sid=\"{sid}\""))]).await;
    }
    assert_eq!(viewers(&server).await["current"], 2);
    set(State::Ended).await.unwrap();
    let empty = async {
        while viewers(&server).await["current"] != 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::support::PATIENCE, empty).await.expect("nobody watches");
    let after = viewers(&server).await;
    assert_eq!((&after["peak"], &after["total"]), (&2.into(), &2.into()));
    // Who goes on with the recording is the same viewer.
    server.get_with(&segment, &[("CMCD-Session", "sid=\"a\"")]).await;
    let after = viewers(&server).await;
    assert_eq!((&after["current"], &after["total"]), (&1.into(), &2.into()));
}
