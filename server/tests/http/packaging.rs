//! Trying a failed stream again, and the log of its packaging.

use weir_server::catalog::State;

use super::support::{PATIENCE, Server};

#[tokio::test]
async fn a_failed_stream_is_packaged_again_and_tells_how_it_goes() {
    let server = Server::with(|_| {}, &[("broken", State::Failed, 0, false)]).await;
    let mut changes = server.app.catalog.changes();
    let answer = server.send("POST", "/api/stream/broken/retry", &[], "").await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!((answer.json()["state"].as_str(), &answer.json()["error"]), (Some("queued"), &().into()));
    let packaging = async {
        while server.app.catalog.get("broken").unwrap().state != State::Packaging {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, packaging).await.expect("it is taken up");
    assert_eq!(server.send("POST", "/api/stream/broken/retry", &[], "").await.problem(409), "not-failed");
    // Stops the job, and waits for it.
    server.app.stop_jobs().await;
    let log = server.get("/api/stream/broken/log").await.json();
    let lines = log["items"].as_array().unwrap();
    assert_eq!(lines.last().unwrap()["text"], "stopped", "{log}");
    assert!(lines.iter().all(|line| line["at"].as_str().unwrap().ends_with('Z')), "{log}");
}

#[tokio::test]
async fn only_what_failed_can_be_tried_again() {
    let server = Server::with_film().await;
    assert_eq!(server.send("POST", "/api/stream/film/retry", &[], "").await.problem(409), "not-failed");
    assert_eq!(server.send("POST", "/api/stream/none/retry", &[], "").await.problem(404), "no-such-stream");
}

#[tokio::test]
async fn the_log_is_for_admins() {
    let token = "0123456789abcdef";
    let change = |config: &mut weir_server::config::Config| config.token = Some(token.to_owned());
    let server = Server::with(change, &[("film", State::Ready, 3, true)]).await;
    assert_eq!(server.get("/api/stream/film/log").await.problem(401), "token-needed");
    let bearer = format!("Bearer {token}");
    let answer = server.get_with("/api/stream/film/log", &[("Authorization", &bearer)]).await;
    assert_eq!((answer.status, answer.json()["items"].as_array().unwrap().len()), (200, 0));
    let answer = server.get_with("/api/stream/none/log", &[("Authorization", &bearer)]).await;
    assert_eq!(answer.problem(404), "no-such-stream");
}
