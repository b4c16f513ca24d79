//! Subtitles through the API.

use weir_server::catalog::State;

use super::support::Server;

const VTT: &str = "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nGood <i>morning</i>\n";
const SRT: &str =
    "1\n00:00:01,000 --> 00:00:02,500\nGuten Morgen\n\n2\n00:00:03,000 --> 00:00:04,000\nGute Nacht\n";

#[tokio::test]
async fn subtitles_are_added_replaced_listed_and_taken_away() {
    let server = Server::with_film().await;
    let path = "/api/stream/film/subtitles";
    let answer = server.send("PUT", &format!("{path}/en-GB?label=English&default=1"), &[], VTT).await;
    assert_eq!((answer.status, answer.json()["lang"].as_str()), (201, Some("en-gb")), "{}", answer.text());
    assert_eq!(server.send("PUT", &format!("{path}/de"), &[], SRT).await.status, 201);
    let answer = server.send("PUT", &format!("{path}/de?label=Deutsch"), &[], SRT).await;
    assert_eq!((answer.status, answer.json()["label"].as_str()), (200, Some("Deutsch")));
    let items = server.get(path).await.json()["items"].clone();
    let shown: Vec<_> =
        items.as_array().unwrap().iter().map(|i| (&i["lang"], &i["default"], &i["end_s"])).collect();
    assert_eq!(
        shown,
        [(&"en-gb".into(), &true.into(), &2.5.into()), (&"de".into(), &false.into(), &4.0.into())]
    );
    assert_eq!(server.get("/api/stream/film").await.json()["subtitles"], items);
    let stored = server.app.media("film").unwrap().subtitle("de").unwrap();
    assert!(stored.starts_with(b"WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nGuten Morgen\n"), "{stored:?}");
    assert_eq!(server.send("DELETE", &format!("{path}/en-gb"), &[], "").await.status, 204);
    assert_eq!(server.send("DELETE", &format!("{path}/en-gb"), &[], "").await.problem(404), "not-found");
}

#[tokio::test]
async fn what_is_no_subtitles_is_refused_with_the_line() {
    let server = Server::with_film().await;
    let path = "/api/stream/film/subtitles";
    let answer = server.send("PUT", &format!("{path}/en"), &[], "WEBVTT\n\n00:05.000 --> 00:01.000\nx").await;
    assert_eq!(answer.problem(422), "invalid-fields");
    assert!(answer.json()["detail"].as_str().unwrap().contains("line 3"), "{}", answer.text());
    let answer = server.send("PUT", &format!("{path}/english_gb"), &[], VTT).await;
    assert_eq!(answer.problem(422), "invalid-fields");
    assert_eq!(
        server.send("PUT", "/api/stream/none/subtitles/en", &[], VTT).await.problem(404),
        "no-such-stream"
    );
    let huge = "x".repeat((2 << 20) + 1);
    assert_eq!(server.send("PUT", &format!("{path}/en"), &[], huge).await.problem(413), "too-large");
    assert_eq!(server.get(path).await.json()["items"], serde_json::json!([]));
}

#[tokio::test]
async fn a_stream_is_made_with_its_subtitles_and_lists_them_while_on_air() {
    let films = tempfile::tempdir().unwrap();
    std::fs::write(films.path().join("film.de.srt"), SRT).unwrap();
    let root = films.path().canonicalize().unwrap();
    let server = Server::with(|config| config.roots.push(root), &[("film", State::Ready, 3, true)]).await;
    let create = |id: &str, subtitles: serde_json::Value| {
        let body = serde_json::json!({"id": id, "mode": "live", "subtitles": subtitles});
        let server = &server;
        async move { server.post_json("/api/stream/create", &body).await }
    };
    let given = serde_json::json!([
        {"lang": "en-GB", "label": "English", "default": true, "text": VTT},
        {"lang": "de", "path": "film.de.srt"},
    ]);
    let made = create("cam", given).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let shown = made.json()["subtitles"].clone();
    let names: Vec<_> =
        shown.as_array().unwrap().iter().map(|t| (&t["lang"], &t["label"], &t["end_s"])).collect();
    let (en, de) = (("en-gb", "English", 2.5), ("de", "de", 4.0));
    let expected =
        [en, de].map(|(lang, label, end)| [lang.into(), label.into(), serde_json::Value::from(end)]);
    let names: Vec<_> = names.into_iter().map(|(a, b, c)| [a.clone(), b.clone(), c.clone()]).collect();
    assert_eq!(names, expected);
    assert_eq!(server.get("/api/stream/cam").await.json()["subtitles"], shown, "idle, and they are there");

    for (given, word) in [
        (serde_json::json!([{"lang": "en"}]), "one of text, path and url"),
        (
            serde_json::json!([{"lang": "en", "text": VTT, "path": "film.de.srt"}]),
            "one of text, path and url",
        ),
        (serde_json::json!([{"lang": "english_gb", "text": VTT}]), "language tag"),
        (serde_json::json!([{"lang": "en", "text": VTT}, {"lang": "EN", "text": VTT}]), "twice"),
        (serde_json::json!([{"lang": "en", "text": "WEBVTT\n\n00:05.000 --> 00:01.000\nx"}]), "line 3"),
        (serde_json::json!([{"lang": "en", "path": "../secret.vtt"}]), "allowed folder"),
        (serde_json::json!([{"lang": "en", "url": "http://127.0.0.1:9/x.vtt"}]), "private"),
        (serde_json::json!([{"lang": "en", "colour": 1}]), "colour"),
        (serde_json::json!("en"), "list"),
    ] {
        let answer = create("other", given).await;
        assert_eq!(answer.problem(422), "invalid-fields");
        assert!(answer.text().contains(word), "{word}: {}", answer.text());
        assert_eq!(server.get("/api/stream/other").await.status, 404, "nothing is made");
    }
}

#[tokio::test]
async fn subtitles_are_listed_in_both_worlds_and_served() {
    let server = Server::with_film().await;
    let film = server.app.media("film").unwrap();
    let track = weir_server::store::TextTrack {
        lang: "de".into(),
        label: "Deutsch".into(),
        default: true,
        end_ms: 11_000,
        version: 0,
        bytes: 0,
    };
    let before = server.get("/stream/film/hls/master.m3u8").await.text();
    assert!(!before.contains("SUBTITLES"));
    film.put_subtitles(track, "WEBVTT\n\n00:01.000 --> 00:11.000\nGuten Tag\n").unwrap();
    let master = server.get("/stream/film/hls/master.m3u8").await.text();
    let parsed = m3u8_rs::parse_master_playlist_res(master.as_bytes()).unwrap();
    assert!(parsed.variants.iter().filter(|v| !v.is_i_frame).all(|v| v.subtitles.as_deref() == Some("text")));
    let list = server.get("/stream/film/hls/text-de/index.m3u8").await;
    let parsed = m3u8_rs::parse_media_playlist_res(&list.body).unwrap();
    assert!(parsed.end_list);
    let vtt = server.get(&format!("/stream/film/hls/text-de/{}", parsed.segments[0].uri)).await;
    assert_eq!((vtt.status, vtt.header("content-type")), (200, Some("text/vtt; charset=utf-8")));
    assert!(vtt.text().contains("Guten Tag"));
    let manifest = server.get("/stream/film/dash/manifest.mpd").await.text();
    super::mpd_schema::check(&manifest);
    let base = format!("<BaseURL>text-de/{}</BaseURL>", parsed.segments[0].uri);
    assert!(manifest.contains("contentType=\"text\"") && manifest.contains(&base), "{manifest}");
    assert_eq!(
        server.get(&format!("/stream/film/dash/text-de/{}", parsed.segments[0].uri)).await.status,
        200
    );
    assert_eq!(server.get("/stream/film/hls/text-de/other.vtt").await.problem(404), "not-found");
    assert_eq!(server.get("/stream/film/hls/text-fr/index.m3u8").await.problem(404), "not-found");
}
