//! Pages for browsers.

use weir_server::catalog::State;

use super::support::Server;

const HTML: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
const EVIL: &str = r#""><script>alert('x')</script><img src=x onerror=alert(1)>&"#;

#[tokio::test]
async fn the_list_names_the_streams_without_a_script() {
    let server =
        Server::with(|_| {}, &[("film", State::Ready, 3, true), ("broken", State::Failed, 0, false)]).await;
    let page = server.get_with("/", &[HTML]).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let text = page.text();
    for part in
        ["href=\"/stream/film\">The film</a>", "0 viewers", "the source is broken", "<form method=\"post\""]
    {
        assert!(text.contains(part), "{part}");
    }
}

#[tokio::test]
async fn browsers_get_a_page_where_there_is_nothing_and_programs_a_problem() {
    let server = Server::with_film().await;
    let rows = [
        ("/stream/filn", "There is no stream &quot;filn&quot; on this server."),
        ("/stream/film/", "There is nothing at this address."),
        ("/nothing", "There is nothing at this address."),
    ];
    for (path, words) in rows {
        let page = server.get_with(path, &[HTML]).await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (404, Some("text/html; charset=utf-8")),
            "{path}"
        );
        assert!(page.header("content-security-policy").is_some(), "{path}");
        let text = page.text();
        assert!(text.contains(words) && text.contains("<a href=\"/\">All streams</a>"), "{path}: {text}");
        let told = server.get(path).await;
        assert_eq!(told.header("content-type"), Some("application/problem+json"), "{path}");
        assert_eq!(told.status, 404, "{path}");
    }
    let api = server.get_with("/api/nothing", &[HTML]).await;
    assert_eq!(api.problem(404), "not-found");
}

#[tokio::test]
async fn titles_cannot_become_markup() {
    let server = Server::with_film().await;
    server
        .app
        .catalog
        .update("film", |stream| {
            stream.title = EVIL.to_owned();
            stream.state = State::Failed;
            stream.error = Some(EVIL.to_owned());
        })
        .await
        .unwrap();
    for path in ["/", "/stream/film"] {
        let text = server.get_with(path, &[HTML]).await.text();
        assert!(!text.contains("<script>alert") && !text.contains("<img src=x"), "{path}");
        assert!(text.contains("&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)"), "{path}");
    }
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere_and_what_they_load_is_there() {
    let server = Server::with_film().await;
    for path in ["/", "/stream/film", "/admin", "/api"] {
        let page = server.get_with(path, &[HTML]).await;
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
        let text = page.text();
        assert!(
            !text.contains("http://")
                || text.replace("http://www.w3.org", "").matches("http://").count() == 0
        );
        let assets = text.split(['"']).filter(|part| part.starts_with("/assets/"));
        let mut count = 0;
        for asset in assets {
            let answer = server.get(asset).await;
            assert_eq!(answer.status, 200, "{asset}");
            assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
            count += 1;
        }
        assert!(count >= 3, "{path} loads {count} assets");
    }
}

#[tokio::test]
async fn each_watch_page_gets_a_session_of_its_own_that_counts_as_exact() {
    let server = Server::with_film().await;
    let mut sids = Vec::new();
    for _ in 0..2 {
        let page = server.get_with("/stream/film", &[HTML]).await;
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("vary"), Some("Accept"));
        let text = page.text();
        sids.push(text.split("data-sid=\"").nth(1).unwrap().split('"').next().unwrap().to_owned());
    }
    assert_ne!(sids[0], sids[1]);
    let playlist = server.get("/stream/film/hls/360p/index.m3u8").await.text();
    let segment = format!("/stream/film/hls/360p/{}", super::support::uris(&playlist)[0]);
    for sid in &sids {
        assert_eq!(server.get(&format!("{segment}?CMCD=sid%3D%22{sid}%22")).await.status, 200);
    }
    let viewers = server.get("/api/stream/film").await.json()["viewers"].clone();
    assert_eq!((&viewers["current"], &viewers["by_method"]["exact"]), (&2.into(), &2.into()));
}

#[tokio::test]
async fn the_form_creates_a_stream_without_a_script() {
    let server = Server::with(|_| {}, &[]).await;
    let field = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let form = |rows: &[(&str, &str)]| {
        let fields: String = rows.iter().map(|(name, value)| field(name, value)).collect();
        format!(
            "{fields}--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n\r\n--b--\r\n"
        )
    };
    let multipart = ("Content-Type", "multipart/form-data; boundary=b");
    let rows =
        [("title", "From a form"), ("type", "testcard"), ("height", "96"), ("duration_s", "1"), ("url", "")];
    let made = server.send("POST", "/create", &[multipart], form(&rows)).await;
    assert_eq!(made.status, 303, "{}", made.text());
    assert!(made.header("location").unwrap().starts_with("/stream/from-a-form-"));

    let rows = [("title", "<b>Bold</b>"), ("type", "url"), ("url", "http://127.0.0.1/x.mp4")];
    let refused = server.send("POST", "/create", &[multipart], form(&rows)).await;
    assert_eq!((refused.status, refused.header("content-type")), (422, Some("text/html; charset=utf-8")));
    assert!(refused.text().contains("was not created. source.url"), "the page says why");
    let rows = [("type", "testcard"), ("height", "tall")];
    assert_eq!(server.send("POST", "/create", &[multipart], form(&rows)).await.status, 422);
    let foreign = [multipart, ("Origin", "https://evil.example")];
    assert_eq!(server.send("POST", "/create", &foreign, form(&[("type", "testcard")])).await.status, 403);
    assert_eq!(server.get("/api/streams").await.json()["total"], 1);
}

#[tokio::test]
async fn with_a_token_the_form_needs_it() {
    let server = Server::with(|config| config.token = Some("0123456789abcdef".into()), &[]).await;
    let multipart = ("Content-Type", "multipart/form-data; boundary=b");
    let form = |token: &str| {
        let fields = [("type", "testcard"), ("height", "96"), ("duration_s", "1"), ("token", token)];
        let fields: String = fields
            .iter()
            .map(|(name, value)| {
                format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
            })
            .collect();
        format!("{fields}--b--\r\n")
    };
    assert!(server.get_with("/", &[HTML]).await.text().contains("name=\"token\""));
    assert_eq!(server.send("POST", "/create", &[multipart], form("wrong")).await.status, 401);
    assert_eq!(server.send("POST", "/create", &[multipart], form("0123456789abcdef")).await.status, 303);
}

#[tokio::test]
async fn the_admin_page_holds_nothing_before_its_scripts_have_asked_with_the_token() {
    let server = Server::with(
        |config| config.token = Some("0123456789abcdef".into()),
        &[("film", State::Ready, 3, true)],
    )
    .await;
    let page = server.get_with("/admin", &[HTML]).await;
    assert_eq!((page.status, page.header("cache-control")), (200, Some("no-store")));
    let text = page.text();
    assert!(
        text.contains("id=\"login\"") && !text.contains("0123456789abcdef") && !text.contains("The film")
    );
    assert!(
        !text.contains("<script>") && !text.contains("onclick") && !text.contains("style="),
        "nothing inline"
    );
}

#[tokio::test]
async fn scripts_put_text_in_as_text() {
    // Titles, user agents, log lines and answers of receivers come from strangers.
    let scripts =
        ["ui.js", "list.js", "watch.js", "player.js", "report.js", "scrub.js", "admin.js", "apidoc.js"];
    let more = ["admin-api.js", "admin-upload.js", "admin-create.js", "admin-stream.js", "admin-webhooks.js"];
    for name in scripts.iter().chain(&more) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web").join(name);
        let text = std::fs::read_to_string(path).unwrap();
        for sink in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "localStorage",
        ] {
            assert!(!text.contains(sink), "{name}: {sink}");
        }
    }
}

#[tokio::test]
async fn a_live_stream_has_its_badge_and_its_player_starts_at_the_edge() {
    let server = Server::with_film().await;
    server.app.catalog.update("film", |stream| stream.state = State::Live).await.unwrap();
    let list = server.get_with("/", &[HTML]).await.text();
    assert!(list.contains("<span class=\"badge\">Live</span>") && list.contains(">on air</span>"));
    let page = server.get_with("/stream/film", &[HTML]).await.text();
    assert!(page.contains("data-live=\"1\"") && page.contains("data-dashjs=\"/assets/"));
    assert!(
        !page.contains("<script src=\"/assets/") || !page.contains("dash.min.js\" defer"),
        "dash.js only on choice"
    );
}

#[tokio::test]
async fn a_live_stream_that_is_not_on_air_says_so_and_what_it_waits_for() {
    use weir_server::catalog::{Live, Source, Stream};
    use weir_server::ladder::Profile;

    let server = Server::with(|_| {}, &[]).await;
    let rows = [
        ("camera", Source::Publisher, State::Idle, true, "not on air: waiting for a publisher"),
        (
            "relay",
            Source::Url { url: "https://example.org/a.m3u8".to_owned() },
            State::Idle,
            true,
            "not on air: waiting for its source",
        ),
        ("door", Source::Publisher, State::Idle, false, "not on air: stopped"),
        ("gone", Source::Publisher, State::Ended, false, "ended: stopped"),
        ("show", Source::Publisher, State::Live, true, "on air"),
    ];
    for (id, source, state, enabled, _) in &rows {
        let live = Live { enabled: *enabled, ..Live::default() };
        let mut stream = Stream::new(*id, *id, source.clone(), Profile::default()).with_live(live);
        stream.state = *state;
        server.app.catalog.create(stream, None).await.unwrap();
    }
    let list = server.get_with("/", &[HTML]).await.text();
    for (id, _, state, _, status) in &rows {
        // For programs the state stays the one word that it was.
        let stream = server.get(&format!("/api/stream/{id}")).await.json();
        assert_eq!(
            (stream["status"].as_str(), stream["state"].as_str()),
            (Some(*status), Some(state.name()))
        );
        let page = server.get_with(&format!("/stream/{id}"), &[HTML]).await.text();
        let card = list
            .split("<li class=\"card\"")
            .find(|card| card.contains(&format!("data-id=\"{id}\"")))
            .unwrap();
        for text in [card, &page] {
            assert!(text.contains(&format!(">{status}</span>")), "{id}: {text}");
        }
        assert_eq!(card.contains("Not on air</span>"), *id != "show", "{card}");
    }
}
