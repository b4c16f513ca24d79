//! The JSON API.

use serde_json::{Value, json};
use weir_server::catalog::State;

use super::support::Server;

fn card(id: &str) -> Value {
    json!({"id": id, "title": "A card", "source": {"type": "testcard", "height": 96, "duration_s": 1, "frame_rate": 25}})
}

#[tokio::test]
async fn a_stream_is_created_found_listed_renamed_and_deleted() {
    let server = Server::with(|_| {}, &[]).await;
    let made = server.post_json("/api/stream/create", &card("one")).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.header("location"), Some("/api/stream/one"));
    assert_eq!(made.json()["urls"]["hls"], "/stream/one/hls/master.m3u8");

    let one = server.get("/api/stream/one").await;
    assert_eq!((one.status, one.header("content-type")), (200, Some("application/json")));
    let one = one.json();
    assert_eq!((&one["title"], &one["source"]["type"]), (&json!("A card"), &json!("testcard")));
    assert_eq!(one["viewers"]["current"], 0);
    assert!(["queued", "packaging", "ready"].contains(&one["state"].as_str().unwrap()), "{one}");

    let list = server.get("/api/streams").await.json();
    assert_eq!(
        (&list["total"], &list["page"], &list["items"][0]["id"]),
        (&json!(1), &json!(1), &json!("one"))
    );

    let json = [("Content-Type", "application/merge-patch+json")];
    let renamed = server.send("PATCH", "/api/stream/one", &json, r#"{"title": "Better"}"#).await;
    assert_eq!((renamed.status, &renamed.json()["title"]), (200, &json!("Better")));
    let refused = server.send("PATCH", "/api/stream/one", &json, r#"{"id": "two"}"#).await;
    assert_eq!(refused.problem(422), "invalid-fields");

    assert_eq!(server.send("DELETE", "/api/stream/one", &[], "").await.status, 204);
    assert_eq!(server.get("/api/stream/one").await.problem(404), "no-such-stream");
    assert_eq!(server.send("DELETE", "/api/stream/one", &[], "").await.problem(404), "no-such-stream");
    assert_eq!(server.get("/api/streams").await.json()["total"], 0);
    assert!(!server.app.config.data.join("streams/one").exists());
}

#[tokio::test]
async fn the_same_id_is_refused_and_the_same_idempotency_key_is_not() {
    let server = Server::with(|_| {}, &[]).await;
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k-1")];
    let first = server.send("POST", "/api/stream/create", &headers, card("one").to_string()).await;
    assert_eq!(first.status, 201);
    let again = server.send("POST", "/api/stream/create", &headers, card("one").to_string()).await;
    assert_eq!((again.status, &again.json()["id"]), (200, &json!("one")));
    let other = server.send("POST", "/api/stream/create", &headers, card("two").to_string()).await;
    assert_eq!(other.problem(422), "invalid-fields");
    assert_eq!(other.json()["errors"][0]["field"], "Idempotency-Key");
    // The same id or none at all: another request is another request, the order of its members is not.
    let mut another = card("one");
    another["title"] = json!("Two");
    for changed in [another, json!({"source": card("one")["source"]})] {
        let refused = server.send("POST", "/api/stream/create", &headers, changed.to_string()).await;
        assert_eq!(refused.json()["errors"][0]["field"], "Idempotency-Key", "{changed}");
    }
    let members = card("one");
    let turned: Vec<_> = members
        .as_object()
        .unwrap()
        .iter()
        .rev()
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    let turned = format!("{{{}}}", turned.join(" ,"));
    assert_eq!(server.send("POST", "/api/stream/create", &headers, turned).await.status, 200);
    assert_eq!(server.post_json("/api/stream/create", &card("one")).await.problem(409), "id-taken");
    assert_eq!(server.get("/api/streams").await.json()["total"], 1);
    let empty = [("Content-Type", "application/json"), ("Idempotency-Key", "")];
    let bad = server.send("POST", "/api/stream/create", &empty, card("two").to_string()).await;
    assert_eq!(bad.problem(400), "bad-request");
}

#[tokio::test]
async fn without_an_id_one_is_made_of_the_title() {
    let server = Server::with(|_| {}, &[]).await;
    let body =
        json!({"title": "Sintel & Friends", "source": {"type": "testcard", "height": 96, "duration_s": 1}});
    let made = server.post_json("/api/stream/create", &body).await.json();
    assert!(made["id"].as_str().unwrap().starts_with("sintel-friends-"), "{made}");
}

/// Headers and body of a request, status of its answer.
type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, u16);

#[tokio::test]
async fn bodies_that_are_not_right_change_nothing() {
    let server = Server::with(|_| {}, &[]).await;
    let json = [("Content-Type", "application/json")];
    let deep = "[".repeat(30_000);
    let rows: &[Row] = &[
        (&json, "", 400),
        (&json, "{", 400),
        (&json, "[]", 400),
        (&json, "\u{0}", 400),
        (&json, &deep, 400),
        (&json, r#"{"id": "x"}"#, 422),
        (&json, r#"{"id": "../x", "source": {"type": "testcard"}}"#, 422),
        (&json, r#"{"id": "x", "source": {"type": "testcard", "height": 100000}}"#, 422),
        (&json, r#"{"id": "x", "source": {"type": "testcard", "duration_s": -1}}"#, 422),
        (&json, r#"{"id": "x", "source": {"type": "testcard", "duration_s": 1e300}}"#, 422),
        (&json, r#"{"id": "x", "source": {"type": "testcard", "frame_rate": 0}}"#, 422),
        (&json, r#"{"id": "x", "source": {"type": "testcard"}, "profile": {"segment_ms": 1}}"#, 422),
        (&json, r#"{"id": "x", "title": "a\u0007b", "source": {"type": "testcard"}}"#, 422),
        (&[("Content-Type", "text/plain")], r#"{"id": "x", "source": {"type": "testcard"}}"#, 415),
        (&[], r#"{"id": "x", "source": {"type": "testcard"}}"#, 415),
    ];
    for (headers, body, status) in rows {
        let answer = server.send("POST", "/api/stream/create", headers, body).await;
        answer.problem(*status);
    }
    let large = format!(r#"{{"id": "x", "title": "{}"}}"#, "a".repeat(100_000));
    let answer = server.send("POST", "/api/stream/create", &json, large).await;
    assert_eq!(answer.problem(413), "too-large");
    assert_eq!(server.get("/api/streams").await.json()["total"], 0);
}

#[tokio::test]
async fn field_errors_come_one_by_one() {
    let server = Server::with(|_| {}, &[]).await;
    let body = json!({"id": "Bad Id", "source": {"type": "tape"}});
    let problem = server.post_json("/api/stream/create", &body).await.json();
    let fields: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["id", "source.type"]);
}

#[tokio::test]
async fn files_come_only_from_allowed_folders() {
    let root = tempfile::tempdir().unwrap();
    let films = root.path().canonicalize().unwrap().join("films");
    std::fs::create_dir(&films).unwrap();
    std::fs::write(films.join("a.mp4"), "not really").unwrap();
    std::fs::write(root.path().join("secret.mp4"), "secret").unwrap();
    std::os::unix::fs::symlink(root.path().join("secret.mp4"), films.join("link.mp4")).unwrap();
    let roots = vec![films.clone()];
    let server = Server::with(|config| config.roots = roots, &[]).await;
    let ask = |path: String| {
        let server = &server;
        async move {
            let body = json!({"title": "x", "source": {"type": "file", "path": path}});
            server.post_json("/api/stream/create", &body).await
        }
    };
    for bad in [
        "../secret.mp4",
        "link.mp4",
        "/etc/passwd",
        "/proc/self/environ",
        "a.mp4\0",
        "..\\secret.mp4",
        "",
        ".",
    ] {
        assert_eq!(ask(bad.to_owned()).await.problem(422), "invalid-fields", "{bad:?}");
    }
    assert_eq!(server.get("/api/streams").await.json()["total"], 0);
    assert_eq!(ask("a.mp4".to_owned()).await.status, 201);
    assert_eq!(ask(films.join("a.mp4").to_str().unwrap().to_owned()).await.status, 201);

    let closed = Server::with(|_| {}, &[]).await;
    let body = json!({"source": {"type": "file", "path": films.join("a.mp4")}});
    let refused = closed.post_json("/api/stream/create", &body).await;
    refused.problem(422);
    assert!(refused.text().contains("--allow-path"));
}

#[tokio::test]
async fn sources_on_private_addresses_are_refused_unless_allowed() {
    let server = Server::with(|_| {}, &[]).await;
    for bad in [
        "http://127.0.0.1:9/a.mp4",
        "http://localhost:9/a.mp4",
        "http://[::1]:9/a.mp4",
        "http://[::ffff:127.0.0.1]/a.mp4",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/a.mp4",
        "http://192.168.1.1/a.mp4",
        "http://0.0.0.0/a.mp4",
        "http://2130706433/a.mp4",
        "http://0x7f.1/a.mp4",
        "file:///etc/passwd",
        "ftp://example.org/a.mp4",
        "gopher://127.0.0.1/",
        "//example.org/a.mp4",
        "not a url",
    ] {
        let body = json!({"source": {"type": "url", "url": bad}});
        let answer = server.post_json("/api/stream/create", &body).await;
        assert_eq!(answer.problem(422), "invalid-fields", "{bad}");
    }
    let open = Server::with(|config| config.allow_private_sources = true, &[]).await;
    let body = json!({"id": "x", "source": {"type": "url", "url": "http://127.0.0.1:9/a.mp4"}});
    assert_eq!(open.post_json("/api/stream/create", &body).await.status, 201);
    let body = json!({"source": {"type": "url", "url": "file:///etc/passwd"}});
    open.post_json("/api/stream/create", &body).await.problem(422);
}

#[tokio::test]
async fn the_list_is_filtered_and_paged() {
    let streams =
        [("ants", State::Ready, 1, true), ("bees", State::Failed, 0, false), ("cats", State::Ready, 1, true)];
    let server = Server::with(|_| {}, &streams).await;
    let rows = [
        ("", 3, 3),
        ("?state=ready", 2, 2),
        ("?state=failed", 1, 1),
        ("?mode=live", 0, 0),
        ("?mode=vod&source=testcard", 3, 3),
        ("?source=publisher", 0, 0),
        ("?protocol=dash", 0, 0),
        ("?q=BEE", 1, 1),
        ("?q=the%20c", 1, 1),
        ("?q=none", 0, 0),
        ("?per_page=2", 3, 2),
        ("?per_page=2&page=2", 3, 1),
        ("?page=9", 3, 0),
        ("?page=1000000000", 3, 0),
        ("?unknown=1", 3, 3),
    ];
    for (query, total, items) in rows {
        let list = server.get(&format!("/api/streams{query}")).await.json();
        assert_eq!(
            (list["total"].as_u64(), list["items"].as_array().unwrap().len()),
            (Some(total), items),
            "{query}"
        );
    }
    for query in [
        "?state=odd",
        "?mode=odd",
        "?source=odd",
        "?protocol=odd",
        "?page=0",
        "?page=-1",
        "?page=x",
        "?page=18446744073709551615",
        "?per_page=201",
        "?per_page=0",
    ] {
        server.get(&format!("/api/streams{query}")).await.problem(400);
    }
    let many = format!("/api/streams?{}", "a=1&".repeat(2000));
    assert_eq!(server.get(&many).await.status, 200);
    let list = server.get("/api/streams").await;
    let tag = list.header("etag").unwrap();
    assert_eq!(server.get_with("/api/streams", &[("If-None-Match", tag)]).await.status, 304);
}

#[tokio::test]
async fn with_a_token_every_write_needs_it_and_sources_are_for_its_holder() {
    let server = Server::with(
        |config| config.token = Some("0123456789abcdef".into()),
        &[("film", State::Ready, 1, true)],
    )
    .await;
    let writes = [
        ("POST", "/api/stream/create"),
        ("PATCH", "/api/stream/film"),
        ("DELETE", "/api/stream/film"),
        ("POST", "/api/upload"),
        ("PATCH", "/api/upload/2b0a4c3e-7d5f-4e07-9f0a-0a3b5a1b2c3d"),
        ("DELETE", "/api/upload/2b0a4c3e-7d5f-4e07-9f0a-0a3b5a1b2c3d"),
    ];
    for (method, path) in writes {
        for headers in
            [vec![], vec![("Authorization", "Bearer wrong")], vec![("Authorization", "Basic Zm9v")]]
        {
            let answer = server.send(method, path, &headers, "").await;
            assert_eq!(answer.problem(401), "token-needed", "{method} {path}");
            assert!(answer.header("www-authenticate").is_some());
        }
    }
    // What nobody may do is told as such: no token would help.
    for method in ["PROPFIND", "TRACE", "post"] {
        let answer = server.send(method, "/api/stream/film", &[], "").await;
        assert_eq!(answer.problem(405), "method-not-allowed", "{method}");
        assert_eq!(answer.header("allow").map(|allow| allow.contains("PATCH")), Some(true), "{method}");
    }
    assert_eq!(server.get("/api/stream/film").await.json()["source"], json!({"type": "testcard"}));
    let admin = ("Authorization", "Bearer 0123456789abcdef");
    let full = server.get_with("/api/stream/film", &[admin]).await.json();
    assert_eq!(full["source"]["height"], 360);
    assert_eq!(server.send("DELETE", "/api/stream/film", &[admin], "").await.status, 204);
}

#[tokio::test]
async fn pages_of_other_origins_cannot_write_to_an_open_server() {
    let server = Server::with_film().await;
    let rows: &[&[(&str, &str)]] = &[
        &[("Origin", "https://evil.example")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Host", "rebound.example")],
    ];
    for headers in rows {
        let answer = server.send("DELETE", "/api/stream/film", headers, "").await;
        assert_eq!(answer.problem(403), "foreign-origin", "{headers:?}");
    }
    assert_eq!(server.get("/api/stream/film").await.status, 200);
}

#[tokio::test]
async fn operations_have_their_answers() {
    let server = Server::with_film().await;
    assert_eq!(server.get("/healthz").await.text(), "ok\n");
    assert_eq!(server.get("/readyz").await.text(), "ready\n");
    let time = server.get("/api/time").await;
    assert_eq!((time.text().len(), time.header("cache-control")), (24, Some("no-store")));
    assert!(time.header("date").is_some());
    let metrics = server.get("/metrics").await.text();
    for line in [
        "weir_streams{state=\"ready\"} 1",
        "weir_viewers{stream=\"film\"} 0",
        "# TYPE weir_viewer_sessions_total counter",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    server.app.stop.cancel();
}

#[tokio::test]
async fn who_changes_too_much_or_guesses_too_often_has_to_wait() {
    let server = Server::with(
        |config| {
            config.token = Some("0123456789abcdef".to_owned());
            (config.writes_per_minute, config.wrong_tokens) = (20, 5);
        },
        &[],
    )
    .await;
    let right = ("Authorization", "Bearer 0123456789abcdef");
    let wrong = ("Authorization", "Bearer wrong-wrong-wrong");
    let delete =
        async |headers: &[(&str, &str)]| server.send("DELETE", "/api/stream/none", headers, "").await;
    for _ in 0..5 {
        assert_eq!(delete(&[wrong]).await.status, 401);
    }
    // Not told any more whether one was right, nor on a read; without one, reads go on.
    for headers in [[wrong], [right]] {
        let answer = delete(&headers).await;
        assert_eq!(answer.problem(429), "too-often");
        assert!(answer.header("retry-after").is_some_and(|s| (1..=13).contains(&s.parse::<u32>().unwrap())));
        assert_eq!(server.get_with("/api/streams", &headers).await.status, 429);
    }
    assert_eq!(server.get("/api/streams").await.status, 200);

    let server = Server::with(|config| config.writes_per_minute = 6, &[]).await;
    let patch = async || server.send("DELETE", "/api/stream/none", &[], "").await;
    for _ in 0..6 {
        assert_eq!(patch().await.status, 404);
    }
    assert_eq!(patch().await.problem(429), "too-often");
    let beacon = "sid=\"a\",cid=\"none\",sta=p,e=ps";
    assert_eq!(
        server.send("POST", "/api/beacon", &[], beacon).await.status,
        204,
        "players' reports are none"
    );
}

#[tokio::test]
async fn why_a_stream_failed_is_told_to_those_who_have_the_token() {
    let token = |config: &mut weir_server::config::Config| config.token = Some("0123456789abcdef".to_owned());
    let server = Server::with(token, &[("bad", State::Failed, 0, false)]).await;
    let right = ("Authorization", "Bearer 0123456789abcdef");
    let page = ("Accept", "text/html");
    for path in ["/api/stream/bad", "/api/streams", "/", "/stream/bad", "/stream/bad/hls/master.m3u8"] {
        let answer = server.get_with(path, &[page]).await;
        assert!(!answer.text().contains("the source is broken"), "{path}: {}", answer.text());
    }
    for path in ["/api/stream/bad", "/api/streams"] {
        assert!(server.get_with(path, &[right]).await.text().contains("the source is broken"), "{path}");
    }
}
