//! Connections: slow, many, large, and at the end.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weir_server::catalog::State;
use weir_server::http::Limits;

use super::delivery_live::{OnAir, held};
use super::support::{Answer, PATIENCE, Server, uris};

const FILM: &[(&str, State, u32, bool)] = &[("film", State::Ready, 3, true)];

async fn until_closed(socket: &mut tokio::net::TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is a close too.
    let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("the server closes");
    rest
}

#[tokio::test]
async fn a_head_that_drips_is_cut_while_others_are_served() {
    let server = Server::with(|config| config.limits.head = Duration::from_millis(400), FILM).await;
    for first in ["", "G", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let mut socket = server.connect().await;
        socket.write_all(first.as_bytes()).await.unwrap();
        let start = Instant::now();
        let (mut reader, mut writer) = socket.split();
        let drip = async {
            // A byte now and then shall not buy time.
            while writer.write_all(if first.is_empty() { b"" } else { b"a" }).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let closed = async {
            let mut rest = Vec::new();
            let _ = reader.read_to_end(&mut rest).await;
        };
        tokio::select! {
            () = drip => {}
            () = closed => {}
            () = tokio::time::sleep(PATIENCE) => panic!("{first:?} is still open"),
        }
        assert!(start.elapsed() >= Duration::from_millis(300), "{first:?} was cut too early");
        assert_eq!(server.get("/healthz").await.status, 200);
    }
}

/// The kernel may hold a connection back until its client speaks.
#[tokio::test]
async fn who_connects_early_may_ask_late() {
    let server = Server::with(|_| {}, FILM).await;
    let early = |rest: u64| {
        let server = &server;
        async move {
            let mut socket = server.connect().await;
            tokio::time::sleep(Duration::from_millis(rest)).await;
            for last in [false, true] {
                let close = if last { "Connection: close\r\n" } else { "" };
                let request = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{close}\r\n");
                socket.write_all(request.as_bytes()).await.unwrap();
            }
            String::from_utf8(until_closed(&mut socket).await).unwrap()
        }
    };
    let (at_once, soon, late) = tokio::join!(early(0), early(300), early(2500));
    for answers in [at_once, soon, late] {
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_clients_that_say_nothing() {
    let mut server = Server::with(|config| config.limits.grace = Duration::from_secs(60), FILM).await;
    let mut silent = [server.connect().await, server.connect().await];
    // One that the kernel may still hold back, and one that it does not any more.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut late = server.connect().await;
    server.app.stop.cancel();
    tokio::time::timeout(PATIENCE, server.ended()).await.expect("nothing is to be finished");
    // Whom the kernel held back learns of it when it speaks.
    let _ = late.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    for socket in silent.iter_mut().chain([&mut late]) {
        assert_eq!(until_closed(socket).await, b"");
    }
}

#[tokio::test]
async fn a_request_without_a_host_or_with_two_is_refused() {
    let server = Server::with(|_| {}, FILM).await;
    let rows = [
        ("GET /healthz HTTP/1.1\r\n", 400),
        ("GET /stream/film/hls/master.m3u8 HTTP/1.1\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost:\r\n", 200),
        ("GET /healthz HTTP/1.0\r\n", 200),
    ];
    for (head, status) in rows {
        let mut socket = server.connect().await;
        socket.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        assert_eq!(Answer::parse(&until_closed(&mut socket).await).status, status, "{head}");
    }
}

#[tokio::test]
async fn who_leaves_while_the_first_request_is_held_is_not_waited_for() {
    let server = Server::with(|_| {}, &[]).await;
    let air = OnAir::start(&server, "air", (20_000, 5_000), 0).await;
    air.segments(1..=3);
    let request = b"GET /stream/air/hls/source/index.m3u8?_HLS_msn=4 HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut socket = server.connect().await;
        socket.write_all(request).await.unwrap();
        sockets.push(socket);
    }
    held(&server, 3).await;
    sockets.truncate(1);
    held(&server, 1).await;
    air.begin(4, false, 0);
    air.part();
    air.finish();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(PATIENCE, sockets[0].read(&mut answer)).await.unwrap().unwrap();
    assert_eq!(Answer::parse(&answer[..read]).status, 200, "who stays gets what was waited for");
}

#[tokio::test]
async fn a_kept_alive_connection_may_rest_longer_than_a_head_may_take() {
    let server = Server::with(|config| config.limits.head = Duration::from_millis(200), FILM).await;
    let mut socket = server.connect().await;
    for _ in 0..3 {
        socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 4096];
        let read = tokio::time::timeout(PATIENCE, socket.read(&mut answer)).await.unwrap().unwrap();
        let answer = Answer::parse(&answer[..read]);
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok\n"[..]));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_the_end() {
    let server = Server::with(|config| config.limits.idle = Duration::from_millis(300), FILM).await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(until_closed(&mut socket).await.ends_with(b"ok\n"));
}

#[tokio::test]
async fn an_idle_connection_is_closed_also_behind_an_answer_that_was_long_in_coming() {
    let limits = |limits: &mut Limits| {
        (limits.head, limits.idle) = (Duration::from_millis(200), Duration::from_millis(300));
    };
    let server = Server::with(|config| limits(&mut config.limits), &[]).await;
    let air = OnAir::start(&server, "air", (20_000, 5_000), 0).await;
    air.segments(1..=3);
    let mut socket = server.connect().await;
    let request = b"GET /stream/air/hls/source/index.m3u8?_HLS_msn=4 HTTP/1.1\r\nHost: x\r\n\r\n";
    socket.write_all(request).await.unwrap();
    held(&server, 1).await;
    // Longer than anything else may take.
    tokio::time::sleep(Duration::from_millis(700)).await;
    air.segments(4..=4);
    let answer = until_closed(&mut socket).await;
    assert!(String::from_utf8_lossy(&answer).contains("\n00004-"), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_stops_coming_is_ended() {
    let server = Server::with(|config| config.limits.body = Duration::from_millis(300), FILM).await;
    let mut socket = server.connect().await;
    let head = b"POST /api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nabc";
    socket.write_all(head).await.unwrap();
    let answer = Answer::parse(&until_closed(&mut socket).await);
    assert_eq!(answer.problem(400), "bad-request");
    assert_eq!(std::fs::read_dir(server.app.config.data.join("uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_closed() {
    let server = Server::with(|config| config.limits.stall = Duration::from_millis(300), &[]).await;
    // Far more than the kernel's buffers take.
    let folder = &server.app.config.data;
    std::fs::create_dir_all(folder).unwrap();
    let media = big_stream(&server).await;
    let mut socket = server.connect().await;
    socket.write_all(format!("GET {media} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let got = until_closed(&mut socket).await.len();
    assert!(got < BIG, "{got} of {BIG} bytes came although nobody read for long");
}

const BIG: usize = 64 << 20;

async fn big_stream(server: &Server) -> String {
    use weir_server::catalog::{Source, Stream};
    let source = Source::TestCard { height: 96, duration_s: 4.0, frame_rate: 25.0 };
    let mut stream = Stream::new("big", "Big", source, weir_server::ladder::Profile::default());
    stream.state = State::Ready;
    server.app.catalog.create(stream, None).await.unwrap();
    let media = server.app.store.create("big").unwrap();
    super::support::add_renditions(&media);
    media.append_segment("360p", 1, 0, 100_000, bytes::Bytes::from(vec![7; BIG])).unwrap();
    let playlist = server.get("/stream/big/hls/360p/index.m3u8").await.text();
    format!("/stream/big/hls/360p/{}", uris(&playlist)[0])
}

#[tokio::test]
async fn heads_past_the_limit_are_refused() {
    let server = Server::with_film().await;
    let large = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "a".repeat(1 << 20));
    assert_eq!(server.raw(large.as_bytes()).await.status, 431);
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(5000));
    assert_eq!(server.raw(many.as_bytes()).await.status, 431);
    let path = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000));
    let status = server.raw(path.as_bytes()).await.status;
    assert!([414, 431].contains(&status), "{status}");
    assert_eq!(server.raw(b"\x16\x03\x01 not http\r\n\r\n").await.status, 400);
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn one_address_gets_its_share_of_connections_and_no_more() {
    let server = Server::with(|config| config.limits.per_address = 3, FILM).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut socket = server.connect().await;
        socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(socket.read(&mut [0; 1024]).await.unwrap() > 0);
        open.push(socket);
    }
    let refused = server.get("/healthz").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    open.pop();
    let served = async {
        while server.get("/healthz").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, served).await.expect("a place is free again");
}

#[tokio::test]
async fn http_2_without_tls_is_served_too() {
    let server = Server::with_film().await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let url = format!("http://{}/stream/film/hls/master.m3u8", server.address);
    let answer = client.get(url).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
}

#[tokio::test]
async fn at_the_end_open_streams_are_cut_within_the_grace_and_no_one_new_is_let_in() {
    let mut server = Server::with(
        |config| config.limits.grace = Duration::from_secs(5),
        &[("grow", State::Ready, 1, false)],
    )
    .await;
    server.app.catalog.update("grow", |stream| stream.state = State::Packaging).await.unwrap();
    let mut progressive = server.connect().await;
    progressive.write_all(b"GET /stream/grow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    progressive.read_exact(&mut [0; 512]).await.unwrap();
    let mut events = server.connect().await;
    events.write_all(b"GET /api/events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    events.read_exact(&mut [0; 64]).await.unwrap();
    let start = Instant::now();
    server.app.stop.cancel();
    server.ended().await;
    assert!(start.elapsed() < Duration::from_secs(5), "it waited for answers that have no end");
    until_closed(&mut progressive).await;
    until_closed(&mut events).await;
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
}
