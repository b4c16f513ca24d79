//! Uploads.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::support::{Answer, PATIENCE, Server};

fn files(server: &Server) -> usize {
    std::fs::read_dir(server.app.config.data.join("uploads")).unwrap().count()
}

fn stored(server: &Server, answer: &Answer) -> Vec<u8> {
    let id = answer.json()["upload"].as_str().unwrap().to_owned();
    std::fs::read(server.app.upload_path(&id)).unwrap()
}

#[tokio::test]
async fn a_raw_upload_and_a_forms_file_are_stored_as_they_came() {
    let server = Server::with(|_| {}, &[]).await;
    let raw = server.send("POST", "/api/upload", &[("Content-Type", "video/mp4")], b"raw bytes").await;
    assert_eq!((raw.status, &raw.json()["bytes"]), (201, &json!(9)));
    assert_eq!(stored(&server, &raw), b"raw bytes");
    let body = "--b\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nx\r\n--b\r\nContent-Disposition: form-data; \
                name=\"file\"; filename=\"../../evil.mp4\"\r\n\r\nform bytes\r\n--b--\r\n";
    let form = server
        .send("POST", "/api/upload", &[("Content-Type", "multipart/form-data; boundary=b")], body)
        .await;
    assert_eq!(form.status, 201, "{}", form.text());
    assert_eq!(stored(&server, &form), b"form bytes");
    assert_eq!(files(&server), 2, "and nothing else was written");

    let id = form.json()["upload"].clone();
    let made = server
        .post_json("/api/stream/create", &json!({"id": "u", "source": {"type": "upload", "upload": id}}))
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    for bad in [json!("../catalog.sqlite3"), json!("2b0a4c3e-7d5f-4e07-9f0a-0a3b5a1b2c3d"), json!("")] {
        let body = json!({"source": {"type": "upload", "upload": bad}});
        server.post_json("/api/stream/create", &body).await.problem(422);
    }
}

#[tokio::test]
async fn an_upload_too_large_is_refused_before_its_first_byte_and_at_the_cap() {
    let server = Server::with(|config| config.max_source = 1000, &[]).await;
    let head = "POST /api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n";
    let announced = server.raw(format!("{head}Content-Length: 1001\r\n\r\n").as_bytes()).await;
    assert_eq!(announced.problem(413), "too-large");
    let chunk = format!("200\r\n{}\r\n", "x".repeat(0x200));
    let bomb = server
        .raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(3)).as_bytes())
        .await;
    assert_eq!(bomb.problem(413), "too-large");
    assert_eq!(
        server.send("POST", "/api/upload", &[("Upload-Length", "1001")], "").await.problem(413),
        "too-large"
    );
    assert_eq!(server.send("POST", "/api/upload", &[], "").await.problem(400), "bad-request");
    assert_eq!(files(&server), 0, "nothing stays of what was refused");
}

#[tokio::test]
async fn an_upload_that_would_fill_the_disk_is_refused() {
    let server = Server::with(|config| config.disk_reserve = u64::MAX / 2, &[]).await;
    assert_eq!(server.send("POST", "/api/upload", &[], "some bytes").await.problem(507), "no-space");
    assert_eq!(files(&server), 0);
}

#[tokio::test]
async fn a_broken_upload_goes_on_where_it_stopped() {
    let server = Server::with(|_| {}, &[]).await;
    let begun =
        server.send("POST", "/api/upload", &[("Upload-Length", "10"), ("Tus-Resumable", "1.0.0")], "").await;
    assert_eq!((begun.status, begun.header("tus-resumable")), (201, Some("1.0.0")));
    let path = begun.header("location").unwrap().to_owned();
    let kind = ("Content-Type", "application/offset+octet-stream");

    // The line breaks after four of ten bytes.
    let mut socket = server.connect().await;
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpload-Offset: 0\r\nContent-Length: 10\r\n\
         Content-Type: application/offset+octet-stream\r\n\r\nabcd"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await.unwrap();

    let offset = || async {
        let head = server.send("HEAD", &path, &[], "").await;
        assert_eq!(head.header("upload-length"), Some("10"));
        head.header("upload-offset").unwrap().to_owned()
    };
    let reached = async {
        while offset().await != "4" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("four bytes are there");
    let wrong = server.send("PATCH", &path, &[kind, ("Upload-Offset", "3")], "xyz").await;
    assert_eq!(wrong.problem(409), "wrong-offset");
    let too_much = server.send("PATCH", &path, &[kind, ("Upload-Offset", "4")], "efghijk").await;
    assert_eq!(too_much.problem(413), "too-large");
    assert_eq!(offset().await, "4");
    assert_eq!(
        server.send("PATCH", &path, &[("Upload-Offset", "4")], "ef").await.problem(415),
        "unsupported-media-type"
    );
    let done = server.send("PATCH", &path, &[kind, ("Upload-Offset", "4")], "efghij").await;
    assert_eq!((done.status, done.header("upload-offset")), (204, Some("10")));
    assert_eq!(stored(&server, &begun), b"abcdefghij");
    server.send("PATCH", &path, &[kind, ("Upload-Offset", "10")], "k").await.problem(404);

    assert_eq!(server.send("DELETE", &path, &[], "").await.status, 204);
    assert_eq!(files(&server), 0);
    server.send("DELETE", &path, &[], "").await.problem(404);
    server.send("HEAD", "/api/upload/..%2fsecret", &[], "").await;
    server.send("DELETE", "/api/upload/..%2fcatalog.sqlite3", &[], "").await.problem(404);
    assert!(server.app.config.data.join("catalog.sqlite3").exists());
}
