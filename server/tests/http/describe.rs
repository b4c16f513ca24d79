//! The API's description and the router say the same.

use serde_json::Value;

use super::support::Server;

const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];

fn described() -> Vec<(String, Vec<String>)> {
    let document: Value = serde_json::from_str(include_str!("../../src/api/openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .map(|(path, item)| {
            let methods = item.as_object().unwrap().keys().filter(|key| METHODS.contains(&key.as_str()));
            (path.clone(), methods.map(|method| method.to_uppercase()).collect())
        })
        .collect()
}

/// Paths as the sources register them.
fn routed() -> Vec<String> {
    let sources = [
        include_str!("../../src/api/mod.rs"),
        include_str!("../../src/deliver/mod.rs"),
        include_str!("../../src/web/mod.rs"),
    ];
    let mut paths: Vec<String> = sources
        .iter()
        .flat_map(|source| source.split(".route(").skip(1))
        .map(|rest| match rest.trim_start().strip_prefix('"') {
            Some(rest) => rest.split('"').next().unwrap().replace("{*", "{"),
            None => "/create".to_owned(),
        })
        // One route for both protocols' files.
        .flat_map(|path| match path.split_once("{protocol}") {
            Some((before, after)) => ["hls", "dash"].map(|name| format!("{before}{name}{after}")).to_vec(),
            None => vec![path],
        })
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let mut described: Vec<_> = described().into_iter().map(|(path, _)| path).collect();
    described.sort();
    assert_eq!(described, routed());
}

#[tokio::test]
async fn exactly_the_described_methods_apply() {
    let server = Server::with_film().await;
    for (path, methods) in described() {
        // An id of the right form that names nothing.
        let path = path
            .replace("{id}", "none")
            .replace("{rendition}", "r")
            .replace("{file}", "f")
            .replace("{lang}", "en");
        for method in METHODS.map(str::to_uppercase) {
            if path == "/api/events" && method == "GET" {
                // It has no end; connections.rs reads it.
                continue;
            }
            let answer = server.send(&method, &path, &[], "").await;
            let expected =
                methods.contains(&method) || (method == "HEAD" && methods.iter().any(|m| m == "GET"));
            assert_eq!(answer.status != 405, expected, "{method} {path}: {}", answer.status);
            assert!(answer.status < 500 || answer.status == 503, "{method} {path}: {}", answer.status);
        }
    }
    for (path, mut methods) in described() {
        if methods.iter().any(|method| method == "GET") {
            methods.extend(["HEAD".to_owned()]);
        }
        let path = path.replace("{id}", "none").replace("{rendition}", "r").replace("{file}", "f");
        let answer = server.send("OPTIONS", &path.replace("{lang}", "en"), &[], "").await;
        let mut allowed: Vec<_> = answer.header("allow").unwrap_or("").split(',').map(str::trim).collect();
        allowed.sort_unstable();
        methods.sort();
        methods.dedup();
        assert_eq!((answer.status, allowed), (204, methods.iter().map(String::as_str).collect()), "{path}");
    }
    assert_eq!(server.send("OPTIONS", "/api/nothing", &[], "").await.status, 404);
    let tus = server.send("OPTIONS", "/api/upload", &[], "").await;
    assert_eq!(tus.header("tus-version"), Some("1.0.0"));
    assert_eq!(server.get("/openapi.json").await.json()["openapi"], "3.1.0");
}
