//! Subtitles through the API.

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
