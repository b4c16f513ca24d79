//! Live streams in the API.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_server::app::Denied;
use weir_server::catalog::Catalog;

use super::support::{Answer, Server, uris};

async fn patch(server: &Server, id: &str, body: &Value) -> Answer {
    let headers = [("Content-Type", "application/merge-patch+json")];
    server.send("PATCH", &format!("/api/stream/{id}"), &headers, &body.to_string()).await
}

async fn post(server: &Server, path: &str) -> Answer {
    server.send("POST", path, &[], "").await
}

#[tokio::test]
async fn a_live_stream_is_made_with_a_key_that_is_shown_once() {
    let server = Server::with(|_| {}, &[]).await;
    server.app.set_rtmp_address(([127, 0, 0, 1], 21_101).into(), false);
    let made =
        server.post_json("/api/stream/create", &json!({"id": "cam", "mode": "live", "dvr_s": 60})).await;
    assert_eq!((made.status, made.header("location")), (201, Some("/api/stream/cam")));
    let body = made.json();
    assert_eq!(
        (&body["mode"], &body["state"], &body["source"]["type"]),
        (&json!("live"), &json!("idle"), &json!("publisher"))
    );
    let settings = json!({"dvr_s": 60, "latency": "low", "record": false, "takeover": true, "enabled": true});
    for (name, value) in settings.as_object().unwrap() {
        assert_eq!(body["live"][name], *value, "{name}");
    }
    let key = body["stream_key"].as_str().unwrap().to_owned();
    assert!(key.len() >= 26, "at least 128 random bits: {key}");
    assert_eq!(body["ingest"]["rtmp"], "rtmp://127.0.0.1:21101/live");
    assert_eq!(body["ingest"]["rtmp_with_key"], format!("rtmp://127.0.0.1:21101/live/{key}"));
    assert_eq!(server.app.admit(None, &key).map(|stream| stream.id.clone()), Ok("cam".to_owned()));
    for path in ["/api/stream/cam", "/api/streams", "/"] {
        let text = server.get(path).await.text();
        assert!(text.contains("cam") && !text.contains(&key), "{path}");
        assert!(!text.contains("sha256"), "{path} tells nothing of the key");
    }
    // The key is not on the disk either.
    let files = std::fs::read_dir(&server.app.config.data).unwrap().flatten();
    for file in files.filter(|file| file.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(key.len()).any(|w| w == key.as_bytes()), "{}", file.path().display());
    }
}

#[tokio::test]
async fn a_repeated_request_makes_no_second_stream_and_tells_no_key() {
    let server = Server::with(|_| {}, &[]).await;
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "once")];
    let body = json!({"title": "Cam", "source": {"type": "publisher"}}).to_string();
    let first = server.send("POST", "/api/stream/create", &headers, &body).await;
    let second = server.send("POST", "/api/stream/create", &headers, &body).await;
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert!(first.json()["stream_key"].is_string() && second.json()["stream_key"].is_null());
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let server = Server::with(|_| {}, &[]).await;
    let rows = [
        (json!({"mode": "live", "dvr_s": 3}), "dvr_s"),
        (json!({"mode": "live", "latency": "ultra"}), "latency"),
        (json!({"mode": "live", "record": "yes"}), "record"),
        (json!({"mode": "live", "source": {"type": "publisher", "key": "mine"}}), "source"),
        (json!({"mode": "live", "source": {"type": "upload", "upload": "x"}}), "source"),
        (json!({"mode": "vod", "source": {"type": "publisher"}}), "mode"),
        (json!({"source": {"type": "testcard"}, "dvr_s": 60}), "dvr_s"),
    ];
    for (body, field) in rows {
        let answer = server.post_json("/api/stream/create", &body).await;
        assert_eq!(answer.problem(422), "invalid-fields", "{body}");
        let errors = answer.json()["errors"].clone();
        assert!(errors.as_array().unwrap().iter().any(|e| e["field"] == field), "{body}: {errors}");
    }
}

#[tokio::test]
async fn settings_change_and_stay_over_a_restart() {
    let server = Server::with(|_| {}, &[]).await;
    server.post_json("/api/stream/create", &json!({"id": "cam", "mode": "live"})).await;
    let answer = patch(&server, "cam", &json!({"title": "Door", "dvr_s": 0, "record": true})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!(
        (&body["title"], &body["live"]["dvr_s"], &body["live"]["record"]),
        (&json!("Door"), &json!(0), &json!(true))
    );
    assert_eq!(body["needs_restart"], json!([]), "nobody publishes, so nothing waits");
    let back = patch(&server, "cam", &json!({"dvr_s": null, "latency": "normal"})).await.json();
    assert_eq!((&back["live"]["dvr_s"], &back["live"]["latency"]), (&json!(300), &json!("normal")));
    patch(&server, "cam", &json!({"dvr_s": 5})).await.problem(422);
    patch(&server, "cam", &json!({"enabled": false})).await.problem(422);
    patch(&server, "none", &json!({"record": true})).await.problem(404);
    let catalog = Catalog::open(&server.app.config.data).await.unwrap();
    let live = catalog.get("cam").unwrap().live.clone().unwrap();
    assert!(live.record && live.key_sha256.is_some());
}

#[tokio::test]
async fn streams_are_stopped_started_and_given_other_keys() {
    let server = Server::with_film().await;
    let made = server.post_json("/api/stream/create", &json!({"id": "cam", "mode": "live"})).await.json();
    let key = made["stream_key"].as_str().unwrap().to_owned();
    let stopped = post(&server, "/api/stream/cam/stop").await.json();
    assert_eq!((&stopped["state"], &stopped["live"]["enabled"]), (&json!("ended"), &json!(false)));
    assert_eq!(server.app.admit(None, &key).unwrap_err(), Denied::Stopped("cam".into()));
    let started = post(&server, "/api/stream/cam/start").await.json();
    assert_eq!((&started["state"], &started["live"]["enabled"]), (&json!("idle"), &json!(true)));
    assert!(server.app.admit(None, &key).is_ok());
    assert_eq!(post(&server, "/api/stream/cam/kick").await.json(), json!({"kicked": false}));

    let rotated = post(&server, "/api/stream/cam/rotate-key").await;
    assert_eq!((rotated.status, rotated.header("cache-control")), (200, Some("no-store")));
    let new = rotated.json()["stream_key"].as_str().unwrap().to_owned();
    assert_ne!(new, key);
    assert_eq!(server.app.admit(None, &key).unwrap_err(), Denied::WrongKey);
    assert!(server.app.admit(Some("cam"), &new).is_ok());
    assert_eq!(server.app.admit(Some("film"), &new).unwrap_err(), Denied::WrongKey);
    assert_eq!(server.app.admit(None, "").unwrap_err(), Denied::WrongKey);

    for action in ["start", "stop", "kick", "rotate-key"] {
        assert_eq!(post(&server, &format!("/api/stream/film/{action}")).await.problem(409), "not-live");
        post(&server, &format!("/api/stream/none/{action}")).await.problem(404);
    }
    assert_eq!(server.send("DELETE", "/api/stream/cam", &[], "").await.status, 204);
    assert_eq!(server.app.admit(None, &new).unwrap_err(), Denied::WrongKey);
}

#[tokio::test]
async fn strangers_see_no_addresses_to_publish_to() {
    let server = Server::with(|config| config.token = Some("0123456789abcdef".into()), &[]).await;
    server.app.set_rtmp_address(([0, 0, 0, 0], 1935).into(), false);
    let admin = ("Authorization", "Bearer 0123456789abcdef");
    let headers = [admin, ("Content-Type", "application/json"), ("Host", "media.example.org:8080")];
    let made = server.send("POST", "/api/stream/create", &headers, r#"{"id": "cam", "mode": "live"}"#).await;
    assert_eq!(made.json()["ingest"]["rtmp"], "rtmp://media.example.org/live", "as the request named us");
    let seen = server.get("/api/stream/cam").await.json();
    assert!(seen["ingest"].is_null() && seen["stream_key"].is_null(), "{seen}");
    assert!(server.get_with("/api/stream/cam", &[admin]).await.json()["ingest"].is_object());
    for action in ["start", "stop", "kick", "rotate-key"] {
        assert_eq!(post(&server, &format!("/api/stream/cam/{action}")).await.problem(401), "token-needed");
    }
}

#[tokio::test]
async fn the_test_card_comes_back_after_a_kick_and_stays_away_after_a_stop() {
    let server = Server::with(|_| {}, &[]).await;
    let body = json!({"id": "card", "mode": "live", "source": {"type": "testcard", "height": 96}});
    let made = server.post_json("/api/stream/create", &body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let until = async |what: &str, is: &dyn Fn(&weir_server::live::LiveStatus) -> bool| {
        let mut status = server.app.live.watch("card").expect("a session");
        let wait = status.wait_for(|status| is(status));
        let reached = tokio::time::timeout(super::support::PATIENCE * 2, wait).await;
        assert!(matches!(reached, Ok(Ok(_))), "never {what}: {:?}", server.app.live.status("card"));
    };
    until("on air", &|now| now.units > 20).await;
    let kicked = server.send("POST", "/api/stream/card/kick", &[], "").await;
    assert_eq!(kicked.json(), json!({"kicked": true}));
    until("back", &|now| now.discontinuities == 1 && now.publisher.is_some()).await;
    let stopped = server.send("POST", "/api/stream/card/stop", &[], "").await;
    assert_eq!(stopped.json()["state"], "ended");
    assert!(server.app.live.status("card").unwrap().publisher.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_deleted_on_air_ends_for_those_who_watch_and_its_id_is_free() {
    let server = Arc::new(Server::with(|_| {}, &[]).await);
    let card = json!({"type": "testcard", "height": 96, "frame_rate": 10});
    let body = json!({"id": "cam", "mode": "live", "latency": "low", "source": card});
    assert_eq!(server.post_json("/api/stream/create", &body).await.status, 201);
    // Held until there is something to play.
    let master = server.get("/stream/cam/hls/master.m3u8").await;
    assert_eq!(master.status, 200, "{}", master.text());
    let rendition = uris(&master.text()).remove(0);
    let path = format!("/stream/cam/hls/{rendition}");
    let text = server.get(&path).await.text();
    let next = uris(&text).len() + 2;
    let (asking, target) = (Arc::clone(&server), format!("{path}?_HLS_msn={next}"));
    let held = tokio::spawn(async move { asking.get(&target).await });
    while server.app.holds.count() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.send("DELETE", "/api/stream/cam", &[], "").await.status, 204);
    let last = held.await.unwrap();
    assert!(last.status == 200 && last.text().ends_with("#EXT-X-ENDLIST\n"), "{}", last.text());
    // Who asks a little later gets there too, with all the media that is listed.
    let text = server.get(&path).await.text();
    assert!(text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
    let segment = path.replace("index.m3u8", uris(&text).last().unwrap());
    assert_eq!(server.get(&segment).await.status, 200);
    for gone in ["/api/stream/cam", "/api/stream/cam/viewers"] {
        assert_eq!(server.get(gone).await.status, 404, "{gone}");
    }
    assert_eq!(server.get("/api/streams").await.json()["total"], 0);
    // Another one under its id does not wait for that.
    assert_eq!(server.post_json("/api/stream/create", &body).await.status, 201);
    let text = server.get(&path).await;
    assert!(text.status != 200 || !text.text().contains("ENDLIST"), "{}", text.text());
    assert_eq!(server.get(&segment).await.status, 404);
}

#[tokio::test]
async fn files_of_a_stream_that_was_deleted_when_the_server_was_killed_go_at_the_next_start() {
    let server = Server::with(
        |config| {
            let folder = config.data.join("streams/old");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("deleted"), b"").unwrap();
            std::fs::create_dir_all(config.data.join("streams/other")).unwrap();
        },
        &[],
    )
    .await;
    let streams = server.app.config.data.join("streams");
    assert!(!streams.join("old").exists() && streams.join("other").exists());
}
