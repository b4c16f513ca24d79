//! Private streams: what opens them, what does not, and what caches are told.

use serde_json::{Value, json};
use weir_server::catalog::State;
use weir_server::config::Config;

use super::support::{Answer, Server, uris};

const ADMIN: &str = "Bearer 0123456789abcdef";
const ANNA: &str = "Basic YW5uYTpjb3JyZWN0IGhvcnNl"; // anna:correct horse

/// With `film` public and `secret` private, which Anna may watch.
async fn server() -> Server {
    let settings = |config: &mut Config| config.token = Some("0123456789abcdef".to_owned());
    let streams = [("film", State::Ready, 3, true), ("secret", State::Ready, 3, true)];
    let server = Server::with(settings, &streams).await;
    let auth = json!({"auth": {"view": "private", "users": [{"name": "anna", "password": "correct horse"}]}});
    let answer = admin(&server, "PATCH", "/api/stream/secret", &auth).await;
    assert_eq!(
        (answer.status, &answer.json()["auth"]),
        (200, &json!({"view": "private", "users": ["anna"]}))
    );
    server
}

async fn admin(server: &Server, method: &str, path: &str, body: &Value) -> Answer {
    let headers = [("Authorization", ADMIN), ("Content-Type", "application/json")];
    server.send(method, path, &headers, body.to_string()).await
}

async fn token(server: &Server, seconds: u64) -> String {
    let made = admin(server, "POST", "/api/stream/secret/tokens", &json!({"expires_s": seconds})).await;
    assert_eq!((made.status, made.header("cache-control")), (201, Some("no-store")), "{}", made.text());
    made.json()["token"].as_str().unwrap().to_owned()
}

/// Everything that belongs to a stream, below its address.
async fn everything(server: &Server, base: &str) -> Vec<String> {
    let list = server.get_with(&format!("{base}/hls/360p/index.m3u8"), &[("Authorization", ANNA)]).await;
    let playlist = list.text();
    let segment = uris(&playlist)[0].clone();
    let init = playlist.split("#EXT-X-MAP:URI=\"").nth(1).unwrap().split('"').next().unwrap();
    ["/hls/master.m3u8", "/hls/360p/index.m3u8", "/hls/360p/iframes.m3u8", "/dash/manifest.mpd", ""]
        .into_iter()
        .map(|path| format!("{base}{path}"))
        .chain([segment.as_str(), init].map(|file| format!("{base}/hls/360p/{file}")))
        .chain([format!("{base}/dash/360p/{segment}"), format!("{base}/hls/audio/index.m3u8")])
        .collect()
}

#[tokio::test]
async fn nothing_of_a_private_stream_comes_without_being_let_in() {
    let server = server().await;
    let mut paths = everything(&server, "/stream/secret").await;
    paths.extend(
        ["/poster.jpg", "/thumbnails.vtt", "/thumbs/1.jpg"].map(|path| format!("/stream/secret{path}")),
    );
    paths.extend(["/api/stream/secret".to_owned(), "/api/stream/secret/subtitles".to_owned()]);
    // The same in another spelling, which the router decodes.
    paths.extend(
        ["/stream/%73ecret/hls/360p/index.m3u8", "/stream/secret/hls/%3360p/index.m3u8"].map(str::to_owned),
    );
    for path in &paths {
        for method in ["GET", "HEAD"] {
            for (name, value) in [
                ("X-Nothing", ""),
                ("Authorization", "Bearer wrong"),
                ("Authorization", "Basic YW5uYTp3cm9uZw=="),
                ("Authorization", "Basic !"),
            ] {
                let answer = server.send(method, path, &[(name, value)], "").await;
                let refused = [401, 429].contains(&answer.status);
                assert!(refused, "{method} {path} with {value}: {}", answer.status);
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
                assert!(
                    answer.status != 401 || answer.header("www-authenticate").is_some(),
                    "{method} {path}"
                );
            }
        }
    }
    let film = server.get("/stream/film/hls/master.m3u8").await;
    assert_eq!((film.status, film.header("cache-control")), (200, Some("public, max-age=30, s-maxage=30")));
    let everybody = server.get("/api/streams").await.json();
    let all = admin(&server, "GET", "/api/streams", &Value::Null).await.json();
    assert_eq!(everybody["items"].as_array().map(Vec::len), Some(1), "only the public one is listed");
    assert_eq!((&everybody["total"], &all["total"]), (&json!(1), &json!(2)));
    assert!(!server.get("/").await.text().contains("secret"));
}

#[tokio::test]
async fn a_link_a_password_and_the_admin_open_it_and_caches_of_others_keep_nothing() {
    let server = server().await;
    let token = token(&server, 3600).await;
    let plain = everything(&server, "/stream/secret").await;
    let linked = everything(&server, &format!("/stream/secret/~{token}")).await;
    let mut bodies = Vec::new();
    for path in &plain {
        for header in [ANNA, ADMIN, &format!("Bearer {token}")] {
            let answer = server.get_with(path, &[("Authorization", header)]).await;
            assert_eq!(answer.status, 200, "{path} with {header}");
            let control = answer.header("cache-control").unwrap();
            assert!(!control.contains("public") && !control.contains("s-maxage"), "{path}: {control}");
            assert!(control.contains("private") || control == "no-store", "{path}: {control}");
            bodies.push((path.trim_start_matches("/stream/secret").to_owned(), answer.body));
        }
    }
    for path in &linked {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        let name = path.split_once('~').unwrap().1.trim_start_matches(&token);
        let (_, known) = bodies.iter().find(|(known, _)| known == name).unwrap();
        assert!(
            answer.body == *known,
            "{path}: one text for all viewers, since the addresses in it are relative"
        );
        assert!(!String::from_utf8_lossy(&answer.body).contains(&token));
    }
    // Media stays with the one who watched it; its name is never used twice.
    let segment = server.get(linked.iter().find(|path| path.ends_with(".m4s")).unwrap()).await;
    assert_eq!(segment.header("cache-control"), Some("private, max-age=31536000, immutable"));
    // In the query it is sent into the path, where what follows finds it.
    let led = server.get(&format!("/stream/secret/hls/master.m3u8?token={token}&x=1")).await;
    let there = format!("/stream/secret/~{token}/hls/master.m3u8?x=1");
    assert_eq!((led.status, led.header("location")), (307, Some(there.as_str())));
    // A page knows addresses that its scripts can use; so does the description.
    let page = server.get_with(&format!("/stream/secret/~{token}"), &[("Accept", "text/html")]).await.text();
    assert!(page.contains(&format!("data-hls=\"/stream/secret/~{token}/hls/master.m3u8\"")));
    assert!(page.contains(&format!("data-api=\"/api/stream/secret?token={token}\"")));
    let view = server.get(&format!("/api/stream/secret?token={token}")).await.json();
    assert_eq!(
        (&view["urls"]["page"], &view["auth"]),
        (&json!(format!("/stream/secret/~{token}")), &json!({"view": "private", "users": []}))
    );
    let page =
        server.get_with("/stream/secret", &[("Accept", "text/html"), ("Authorization", ANNA)]).await.text();
    assert!(
        page.contains("data-hls=\"/stream/secret/~"),
        "a page that a password opened asks for no password again"
    );
    let refused = server.get_with("/stream/secret", &[("Accept", "text/html")]).await;
    assert_eq!((refused.status, refused.header("content-type")), (401, Some("text/html; charset=utf-8")));
    assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"secret\", charset=\"UTF-8\""));
}

#[tokio::test]
async fn links_end_with_their_time_with_their_revocation_and_with_their_stream() {
    let server = server().await;
    let token = token(&server, 3600).await;
    let open =
        async |token: &str| server.get(&format!("/stream/secret/~{token}/hls/master.m3u8")).await.status;
    assert_eq!(open(&token).await, 200);
    let (expires, signature) = token.split_once('-').unwrap();
    for forged in [
        format!("ffffffff-{signature}"),
        format!("{expires}-{}", "0".repeat(32)),
        expires.to_owned(),
        String::new(),
    ] {
        assert_eq!(open(&forged).await, 401, "{forged}");
    }
    // Signed by the server, and over.
    let stream = server.app.catalog.get("secret").unwrap();
    let over = weir_server::deliver::pass::token(&server.app, &stream, 1_000_000_000).unwrap();
    let answer = server.get(&format!("/stream/secret/~{over}/hls/master.m3u8")).await;
    assert_eq!((answer.status, answer.json()["title"].as_str()), (401, Some("The link has expired")));
    assert_eq!(
        server.get(&format!("/stream/film/~{token}/hls/master.m3u8")).await.status,
        200,
        "that one is public"
    );
    assert_eq!(admin(&server, "DELETE", "/api/stream/secret/tokens", &Value::Null).await.status, 204);
    assert_eq!(open(&token).await, 401);
    let public = admin(&server, "PATCH", "/api/stream/secret", &json!({"auth": null})).await;
    assert_eq!((public.status, server.get("/stream/secret/hls/master.m3u8").await.status), (200, 200));
    assert_eq!(
        admin(&server, "POST", "/api/stream/secret/tokens", &json!({})).await.problem(409),
        "public-stream"
    );
}

#[tokio::test]
async fn wrong_passwords_are_counted_apart_from_the_admins_token() {
    let server = server().await;
    let with = async |login: &str| {
        server.get_with("/stream/secret/hls/master.m3u8", &[("Authorization", login)]).await.status
    };
    let most = server.app.settings.now().wrong_tokens;
    for _ in 0..most {
        assert_eq!(with("Basic YW5uYTp3cm9uZw==").await, 401);
    }
    assert_eq!(with("Basic YW5uYTp3cm9uZw==").await, 429);
    assert_eq!(with(ANNA).await, 429, "who guessed too often is not told that this one is right");
    assert_eq!(
        admin(&server, "GET", "/api/stream/secret", &Value::Null).await.json()["auth"]["users"],
        json!(["anna"])
    );
}

#[tokio::test]
async fn a_stream_is_made_private_with_a_key_of_ones_own() {
    let server = server().await;
    let body = json!({"id": "cam", "mode": "live", "auth": {"view": "private", "publish_key": "my-own.key_0123456"}});
    let made = admin(&server, "POST", "/api/stream/create", &body).await;
    assert_eq!((made.status, &made.json()["stream_key"]), (201, &json!("my-own.key_0123456")));
    assert_eq!(
        server.app.admit(None, "my-own.key_0123456").map(|stream| stream.id.clone()),
        Ok("cam".to_owned())
    );
    assert_eq!(server.get("/stream/cam/hls/master.m3u8").await.status, 401);
    let other = json!({"auth": {"publish_key": "another-key-0123456"}});
    let patched = admin(&server, "PATCH", "/api/stream/cam", &other).await.json();
    assert_eq!(
        (&patched["stream_key"], &patched["auth"]["view"]),
        (&json!("another-key-0123456"), &json!("private"))
    );
    assert!(server.app.admit(None, "my-own.key_0123456").is_err());
    assert!(server.app.admit(None, "another-key-0123456").is_ok());
    let shown = admin(&server, "GET", "/api/stream/cam", &Value::Null).await.text();
    assert!(!shown.contains("another-key"), "it is shown to whoever chose it, and not again");
    let wrong = json!({"mode": "live", "auth": {"view": "secret", "users": "anna", "publish_key": "short"}});
    let fields = admin(&server, "POST", "/api/stream/create", &wrong).await;
    assert_eq!(fields.problem(422), "invalid-fields");
    for field in ["auth.view", "auth.users", "auth.publish_key"] {
        assert!(fields.text().contains(field), "{field}: {}", fields.text());
    }
}
