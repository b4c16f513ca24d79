//! Requests that want too much, point elsewhere, or are no requests at all.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::json;

use super::process::{Process, until};
use super::support::{Answer, PATIENCE};

/// Sends bytes in pieces until the server answers or closes; what came back.
fn pour(address: &str, head: &str, piece: &[u8], times: usize) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut open = socket.write_all(head.as_bytes()).is_ok();
    for _ in 0..times {
        open = open && socket.write_all(piece).is_ok();
    }
    // Nothing more will come: whoever waits for it can stop.
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let mut all = Vec::new();
    let _ = socket.read_to_end(&mut all);
    all
}

#[test]
fn what_is_too_large_is_refused_and_costs_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(&folder.path().join("data"), &["--max-source-mb", "1"]);
    assert_eq!(server.get("/healthz").status, 200);
    let before = server.resident_kb();
    let json = |length: &str| {
        format!(
            "POST /api/stream/create HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n{length}\r\n\r\n",
            server.address
        )
    };
    let address = &server.address;
    for _ in 0..3 {
        let rows: Vec<(&str, Vec<u8>, &[u16])> = vec![
            ("a head of 1 MB", pour(address, "GET / HTTP/1.1\r\nX-Large: ", &[b'a'; 1 << 20], 1), &[431]),
            (
                "a query of 100 000 keys",
                pour(address, "GET /api/streams?", "k=v&".repeat(100_000).as_bytes(), 1),
                &[414, 431],
            ),
            (
                "10 GB of JSON, announced",
                pour(address, &json("Content-Length: 10000000000"), b"", 0),
                &[413, 400],
            ),
            (
                "JSON without end, in chunks",
                pour(address, &json("Transfer-Encoding: chunked"), &chunk(64 * 1024), 400),
                &[413, 400],
            ),
            (
                "chunks with extensions without end",
                pour(
                    address,
                    &json("Transfer-Encoding: chunked"),
                    b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n ",
                    60_000,
                ),
                &[413, 400],
            ),
            (
                "gzip that unpacks to 1 GB",
                gzip_bomb(address, &json("Content-Encoding: gzip\r\nContent-Length: LENGTH")),
                &[400, 413, 415],
            ),
            (
                "an upload past the limit",
                server
                    .send("POST", "/api/upload", "", &"x".repeat(1_100_000))
                    .status
                    .to_string()
                    .into_bytes(),
                &[413],
            ),
        ];
        for (what, answer, expected) in rows {
            let status = std::str::from_utf8(&answer).ok().and_then(|text| text.parse().ok());
            let status = status.unwrap_or_else(|| status_of_answer(&answer));
            assert!(status == 0 || expected.contains(&status), "{what}: {status}");
        }
    }
    let grown = server.resident_kb().saturating_sub(before);
    assert!(grown < 16 * 1024, "the server grew by {grown} kB");
    assert_eq!(server.get("/healthz").status, 200);
}

fn status_of_answer(answer: &[u8]) -> u16 {
    // A reset may overtake the answer.
    if answer.is_empty() { 0 } else { Answer::parse(answer).status }
}

fn chunk(bytes: usize) -> Vec<u8> {
    [format!("{bytes:x}\r\n").as_bytes(), &vec![b' '; bytes], b"\r\n"].concat()
}

fn gzip_bomb(address: &str, head: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..16 {
        packer.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bomb = packer.finish().unwrap();
    pour(address, &head.replace("LENGTH", &bomb.len().to_string()), &bomb, 1)
}

#[test]
fn no_path_leads_out_of_the_folders() {
    let folder = tempfile::tempdir().unwrap();
    let (films, data) = (folder.path().join("films"), folder.path().join("data"));
    std::fs::create_dir(&films).unwrap();
    let secret = folder.path().join("secret.mp4");
    std::fs::write(&secret, "the secret text").unwrap();
    std::os::unix::fs::symlink(&secret, films.join("link.mp4")).unwrap();
    let server =
        Process::start(&data, &["--allow-path", films.to_str().unwrap(), "--token", "0123456789abcdef"]);
    let up = [
        "../",
        "..%2f",
        "%2e%2e/",
        "%2e%2e%2f",
        "..\\",
        "..%5c",
        "....//",
        "%252e%252e%252f",
        "..%c0%af",
        "..;/",
    ];
    let targets = ["secret.mp4", "data/token", "data/secret", "etc/passwd", "%00", "secret.mp4%00.m4s"];
    for up in up {
        for target in targets {
            for depth in [1, 3, 6] {
                let out = format!("{}{target}", up.repeat(depth));
                for path in [
                    format!("/{out}"),
                    format!("/stream/film/hls/360p/{out}"),
                    format!("/stream/film/hls/{out}"),
                    format!("/stream/{out}"),
                    format!("/assets/{out}"),
                    format!("/api/upload/{out}"),
                ] {
                    let answer = server.get(&path);
                    assert!([400, 404, 405].contains(&answer.status), "{path}: {}", answer.status);
                    let text = String::from_utf8_lossy(&answer.body).into_owned();
                    assert!(!text.contains("the secret text") && !text.contains("root:"), "{path}: {text}");
                }
            }
        }
    }
    let token = "Authorization: Bearer 0123456789abcdef\r\n";
    for path in [
        "../secret.mp4",
        "link.mp4",
        secret.to_str().unwrap(),
        "/etc/passwd",
        "/dev/zero",
        "/proc/self/environ",
        "..\\secret.mp4",
        "C:\\secret.mp4",
        "%2e%2e/secret.mp4",
        "secret.mp4\0",
        "file:///etc/passwd",
        "",
    ] {
        let body = json!({"id": "out", "source": {"type": "file", "path": path}}).to_string();
        assert_eq!(
            server.send("POST", "/api/stream/create", token, &body).problem(422),
            "invalid-fields",
            "{path:?}"
        );
    }
    assert_eq!(server.get("/api/streams").json()["total"], 0);
}

#[test]
fn no_source_is_fetched_from_inside() {
    let folder = tempfile::tempdir().unwrap();
    // Someone inside, who shall never be called.
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let port = inside.local_addr().unwrap().port();
    let file = folder.path().join("weir.toml");
    std::fs::write(&file, "").unwrap();
    let server = Process::start(&folder.path().join("data"), &["--config", file.to_str().unwrap()]);
    for url in [
        format!("http://127.0.0.1:{port}/a.mp4"),
        format!("http://127.1:{port}/a.mp4"),
        format!("http://0x7f.1:{port}/a.mp4"),
        format!("http://2130706433:{port}/a.mp4"),
        format!("http://0177.0.0.1:{port}/a.mp4"),
        format!("http://localhost:{port}/a.mp4"),
        format!("http://[::1]:{port}/a.mp4"),
        format!("http://[::ffff:127.0.0.1]:{port}/a.mp4"),
        format!("http://[::ffff:7f00:1]:{port}/a.mp4"),
        format!("http://0.0.0.0:{port}/a.mp4"),
        format!("http://user:password@127.0.0.1:{port}/a.mp4"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://10.0.0.1/a.mp4".to_owned(),
        "http://192.168.0.1/a.mp4".to_owned(),
        "http://100.64.0.1/a.mp4".to_owned(),
        "http://[fe80::1]/a.mp4".to_owned(),
        "http://[fd00::1]/a.mp4".to_owned(),
        "http://[64:ff9b::7f00:1]/a.mp4".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1/x".to_owned(),
        "ftp://127.0.0.1/a.mp4".to_owned(),
        "data:video/mp4;base64,AAAA".to_owned(),
        "http:///a.mp4".to_owned(),
        "a.mp4".to_owned(),
    ] {
        let body = json!({"id": "in", "source": {"type": "url", "url": url}}).to_string();
        let answer = server.send("POST", "/api/stream/create", "", &body);
        assert_eq!(answer.problem(422), "invalid-fields", "{url}");
    }
    assert!(inside.accept().is_err(), "nobody called inside");

    // A source that was allowed sends the server inside, where it may not go any more.
    std::fs::write(&file, "allow-private-sources = true\n").unwrap();
    assert_eq!(server.send("POST", "/api/reload", "", "").status, 200);
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let body = json!({"id": "turned", "source": {"type": "url", "url":
        format!("http://{}/a.mp4", outside.local_addr().unwrap())}});
    assert_eq!(server.send("POST", "/api/stream/create", "", &body.to_string()).status, 201);
    let (mut call, _) = outside.accept().unwrap();
    std::fs::write(&file, "").unwrap();
    assert_eq!(server.send("POST", "/api/reload", "", "").status, 200);
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/a.mp4\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    call.write_all(redirect.as_bytes()).unwrap();
    until("the stream has failed", || server.get("/api/stream/turned").json()["state"] == "failed");
    assert!(inside.accept().is_err(), "nobody was sent inside");
}

#[test]
fn garbage_ends_its_own_connection_only() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(&folder.path().join("data"), &[]);
    let files = server.open_files();
    let mut random = super::mutate::Random::new(7);
    for round in 0..200 {
        let mut bytes: Vec<u8> = (0..1 + random.below(2000)).map(|_| random.next() as u8).collect();
        match round % 4 {
            0 => bytes.splice(0..0, *b"GET /api/streams HTTP/1.1\r\nHost: x\r\n").for_each(drop),
            1 => bytes.splice(0..0, *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").for_each(drop),
            _ => {}
        }
        bytes.extend(b"\r\n\r\n");
        let mut socket = TcpStream::connect(&server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = socket.write_all(&bytes);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let _ = socket.read_to_end(&mut Vec::new());
    }
    assert_eq!(server.get("/healthz").status, 200);
    until("every connection is given back", || server.open_files() <= files + 2);
}

/// Streams of HTTP/2 that are opened and reset at once (CVE-2023-44487) end their connection, not the server.
#[test]
fn a_flood_of_resets_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(&folder.path().join("data"), &[]);
    let mut socket = TcpStream::connect(&server.address).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec();
    // GET, http, / and the authority "a", all of the static table but the last.
    let head = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
    let mut cut = false;
    let mut buffer = vec![0; 1 << 16];
    for stream in (1..200_000_u32).step_by(2) {
        bytes.extend([0, 0, head.len() as u8, 1, 5]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(head);
        bytes.extend([0, 0, 4, 3, 0]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(8_u32.to_be_bytes());
        if bytes.len() > 1 << 15 {
            if socket.write_all(&bytes).is_err() {
                cut = true;
                break;
            }
            bytes.clear();
            if matches!(socket.read(&mut buffer), Ok(0)) {
                cut = true;
                break;
            }
        }
    }
    assert!(cut, "it was let go on");
    assert_eq!(server.get("/healthz").status, 200);
}

/// An answer is not lost where more came from the client than was read.
#[test]
fn a_last_answer_comes_whole_though_something_is_left_unread() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(&folder.path().join("data"), &[]);
    for length in [2, 100_000] {
        let mut socket = TcpStream::connect(&server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = "GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let _ = socket.write_all(&[head.as_bytes(), &vec![b'\n'; length]].concat());
        let mut all = Vec::new();
        let _ = socket.read_to_end(&mut all);
        assert!(all.starts_with(b"HTTP/1.1 200"), "{length} bytes more: {} bytes came", all.len());
    }
}
