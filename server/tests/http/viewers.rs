//! Viewers as the API tells them; who counts as what is in the truth table of the counter itself.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weir_server::catalog::State;

use super::support::{Server, uris};

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
