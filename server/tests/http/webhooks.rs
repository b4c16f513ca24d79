//! Webhooks through the API; how they are delivered is in the tests of the module itself.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weir_server::catalog::State;

use super::support::{PATIENCE, Server};

const TOKEN: (&str, &str) = ("Authorization", "Bearer 0123456789abcdef");
const JSON: (&str, &str) = ("Content-Type", "application/json");

async fn server(private: bool) -> Server {
    let change = |config: &mut weir_server::config::Config| {
        config.token = Some("0123456789abcdef".into());
        config.allow_private_sources = private;
    };
    Server::with(change, &[("film", State::Ready, 3, true)]).await
}

#[tokio::test]
async fn they_are_made_changed_listed_and_removed_by_admins_only() {
    let server = server(false).await;
    for (method, path) in [
        ("GET", "/api/webhooks"),
        ("POST", "/api/webhooks"),
        ("GET", "/api/webhooks/x"),
        ("PATCH", "/api/webhooks/x"),
        ("DELETE", "/api/webhooks/x"),
        ("GET", "/api/webhooks/x/deliveries"),
        ("POST", "/api/webhooks/x/ping"),
    ] {
        assert_eq!(
            server.send(method, path, &[JSON], "{}").await.problem(401),
            "token-needed",
            "{method} {path}"
        );
    }
    let post = async |body: &serde_json::Value| {
        server.send("POST", "/api/webhooks", &[TOKEN, JSON], body.to_string()).await
    };
    for wrong in [
        json!({}),
        json!({"url": "http://127.0.0.1/"}),
        json!({"url": "https://example.org/", "secret": "short"}),
        json!({"url": "https://example.org/", "events": ["stream.sneezed"]}),
        json!({"url": "https://example.org/", "enabled": "yes"}),
        json!({"url": "https://example.org/", "colour": 1}),
    ] {
        assert_eq!(post(&wrong).await.problem(422), "invalid-fields", "{wrong}");
    }
    assert_eq!(post(&json!([])).await.problem(400), "bad-request");
    let made = post(&json!({"url": "https://example.org/in", "events": ["viewer.peak"]})).await;
    assert_eq!(made.status, 201);
    let path = made.header("location").unwrap().to_owned();
    let made = made.json();
    assert!(made["secret"].as_str().unwrap().len() >= 32);
    let one = server.get_with(&path, &[TOKEN]).await.json();
    assert_eq!((&one["secret"], &one["events"]), (&json!(null), &json!(["viewer.peak"])));
    let patch =
        server.send("PATCH", &path, &[TOKEN, JSON], r#"{"enabled": false, "events": null}"#).await.json();
    assert_eq!((&patch["enabled"], patch["events"].as_array().unwrap().len()), (&json!(false), 5));
    assert_eq!(
        server.send("POST", &format!("{path}/ping"), &[TOKEN], "").await.problem(409),
        "not-changeable"
    );
    assert_eq!(server.get_with("/api/webhooks", &[TOKEN]).await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(server.send("DELETE", &path, &[TOKEN], "").await.status, 204);
    assert_eq!(server.get_with(&path, &[TOKEN]).await.problem(404), "no-such-webhook");
}

#[tokio::test]
async fn a_stream_that_fails_is_told() {
    let server = server(true).await;
    let receiver = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in", receiver.local_addr().unwrap());
    let made = server.send("POST", "/api/webhooks", &[TOKEN, JSON], json!({"url": url}).to_string()).await;
    let path = made.header("location").unwrap().to_owned();
    // The ping shows that the receiver is reached before anything is changed.
    assert_eq!(server.send("POST", &format!("{path}/ping"), &[TOKEN], "").await.status, 202);
    let mut told = Vec::new();
    for event in ["ping", "stream.failed"] {
        let (mut socket, _) = tokio::time::timeout(PATIENCE, receiver.accept()).await.unwrap().unwrap();
        let mut all = vec![0; 8192];
        let read = socket.read(&mut all).await.unwrap();
        let text = String::from_utf8_lossy(&all[..read]).into_owned();
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(text.contains(&format!("weir-event: {event}\r\n")), "{text}");
        told.push(event);
        if event == "ping" {
            server.app.catalog.update("film", |stream| stream.state = State::Failed).await.unwrap();
        }
    }
    let log = async {
        loop {
            let log = server.get_with(&format!("{path}/deliveries"), &[TOKEN]).await.json();
            if log["items"].as_array().unwrap().iter().filter(|d| d["state"] == "delivered").count() == 2 {
                return log;
            }
            tokio::task::yield_now().await;
        }
    };
    let log = tokio::time::timeout(PATIENCE, log).await.expect("both are logged as delivered");
    assert_eq!(log["items"][0]["event"], "stream.failed");
}
