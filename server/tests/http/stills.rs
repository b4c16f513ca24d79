//! Poster, thumbnails and their index over HTTP.

use super::support::Server;

const JPEG: &[u8] = &[0xff, 0xd8, 0xff, 0xe0, 1, 2, 3, 0xff, 0xd9];
const INDEX: &str = "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nthumbs/00001.jpg#xywh=0,0,160,90\n";

#[tokio::test]
async fn pictures_are_found_where_the_index_and_the_api_say() {
    let server = Server::with_film().await;
    for path in ["poster.jpg", "thumbnails.vtt", "thumbs/00001.jpg"] {
        let answer = server.get(&format!("/stream/film/{path}")).await;
        assert_eq!((answer.status, answer.header("cache-control")), (404, Some("no-store")), "{path}");
        assert_eq!(server.get(&format!("/stream/none/{path}")).await.problem(404), "no-such-stream");
    }
    let urls = server.get("/api/stream/film").await.json()["urls"].clone();
    assert!(urls["poster"].is_null() && urls["thumbnails"].is_null(), "{urls}");

    let store = server.app.media("film").unwrap();
    store.put_poster(JPEG).unwrap();
    store.put_thumbnail_sheet(1, JPEG).unwrap();
    store.put_thumbnails(INDEX).unwrap();
    let urls = server.get("/api/stream/film").await.json()["urls"].clone();
    let index = server.get(urls["thumbnails"].as_str().unwrap()).await;
    assert_eq!((index.status, index.text().as_str()), (200, INDEX));
    assert!(index.header("content-type").unwrap().starts_with("text/vtt"));
    // The name in the index counts from the index's own address.
    let sheet = "/stream/film/thumbs/00001.jpg";
    for path in [urls["poster"].as_str().unwrap(), sheet] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/jpeg")), "{path}");
        assert_eq!(answer.body, JPEG, "{path}");
        let tag = answer.header("etag").expect("an ETag").to_owned();
        let again = server.get_with(path, &[("If-None-Match", &tag)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        let head = server.send("HEAD", path, &[], "").await;
        assert_eq!((head.status, head.header("content-length")), (200, Some("9")), "{path}");
    }
}

#[tokio::test]
async fn names_that_the_index_never_gives_are_not_found() {
    let server = Server::with_film().await;
    let store = server.app.media("film").unwrap();
    store.put_thumbnail_sheet(1, JPEG).unwrap();
    for name in
        ["1.jpg", "00002.jpg", "00001.png", "000001.jpg", "..%2Fposter.jpg", "%00.jpg", "thumbnails.vtt"]
    {
        let answer = server.get(&format!("/stream/film/thumbs/{name}")).await;
        assert!([400, 404].contains(&answer.status), "{name}: {}", answer.status);
    }
}
