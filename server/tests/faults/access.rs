//! Every operation of the API's description, with no token, a wrong one and the right one.

use serde_json::Value;
use weir_server::catalog::State;
use weir_server::config::Config;

use super::support::Server;

const TOKEN: &str = "0123456789abcdef";
/// Writes that anybody may do: players report how they play.
const FOR_EVERYBODY: [&str; 1] = ["/api/beacon"];
/// The page's form carries the token among its fields; tests of the pages see to it.
const FORM: &str = "/create";

/// Method, path and whether the description says that a token is needed.
fn operations() -> Vec<(String, String, bool)> {
    let document: Value = serde_json::from_str(include_str!("../../src/api/openapi.json")).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "head", "post", "put", "patch", "delete"] {
            if let Some(operation) = item.get(method)
                && path != FORM
            {
                // A read of a private stream has its 401 from somewhere else: see the tests of those.
                let closed = operation["security"].as_array().is_some_and(|ways| !ways.is_empty());
                operations.push((method.to_uppercase(), path.clone(), closed));
            }
        }
    }
    operations
}

fn filled(path: &str) -> String {
    let path = path.replace("{id}", "film").replace("{rendition}", "360p").replace("{file}", "index.m3u8");
    // Whatever else there is has no such thing.
    let mut parts = path.split('{');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| text + "none" + part.split_once('}').map_or("", |(_, rest)| rest))
}

#[tokio::test]
async fn every_write_needs_the_token_and_says_so() {
    let settings = |config: &mut Config| {
        config.token = Some(TOKEN.to_owned());
        // Here everybody guesses at everything.
        (config.writes_per_minute, config.wrong_tokens) = (u32::MAX, u32::MAX);
    };
    let server = Server::with(settings, &[("film", State::Ready, 3, true)]).await;
    let operations = operations();
    assert!(operations.len() > 15, "the description was read");
    for (method, path, closed) in &operations {
        let open = matches!(method.as_str(), "GET" | "HEAD") || FOR_EVERYBODY.contains(&path.as_str());
        assert!(*closed || open, "{method} {path} changes something and its description names no 401");
        if !closed {
            continue;
        }
        let target = filled(path);
        for header in [
            None,
            Some("Bearer wrong"),
            Some("Bearer "),
            Some("Basic MDEyMzQ1Njc4OWFiY2RlZg=="),
            Some(&format!("Bearer {TOKEN}x") as &str),
            Some(&format!("Bearer {}", TOKEN.to_uppercase())),
        ] {
            let headers: Vec<(&str, &str)> =
                header.map(|value| ("Authorization", value)).into_iter().collect();
            let answer = server.send(method, &target, &headers, "").await;
            assert!(
                [401, 403].contains(&answer.status),
                "{method} {path} with {header:?}: {}",
                answer.status
            );
        }
    }
    assert_eq!(server.app.catalog.list().len(), 1, "nothing was made or deleted");
    for (method, path, _) in &operations {
        if path == "/api/events" || (method == "DELETE" && path == "/api/stream/{id}") {
            // The first has no end; the second comes last.
            continue;
        }
        let bearer = format!("Bearer {TOKEN}");
        let answer = server.send(method, &filled(path), &[("Authorization", &bearer)], "").await;
        assert!(
            ![401, 403].contains(&answer.status) && (answer.status < 500 || answer.status == 503),
            "{method} {path} with the token: {}",
            answer.status
        );
    }
}

#[tokio::test]
async fn a_server_that_others_can_reach_has_no_open_write_without_any_setting() {
    let server = Server::with(|config| config.listen = ([0, 0, 0, 0], 0).into(), &[]).await;
    assert!(server.app.gate.needs_token());
    for (method, path, closed) in operations() {
        if closed {
            let answer = server.send(&method, &filled(&path), &[("Host", "127.0.0.1")], "").await;
            assert_eq!(answer.status, 401, "{method} {path}");
        }
    }
}
