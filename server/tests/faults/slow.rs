//! Clients that are slow on purpose, and those that must not notice.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weir_server::catalog::State;

use super::support::{PATIENCE, Server, uris};

/// 500 sockets that drip a byte of their head now and then are cut at the limit, and 100 viewers do not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_dripping_heads_are_cut_and_viewers_do_not_notice() {
    let limit = Duration::from_secs(2);
    let server = Server::with(|config| config.limits.head = limit, &[("film", State::Ready, 3, true)]).await;
    let mut dripping = tokio::task::JoinSet::new();
    for number in 0..500_u32 {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        dripping.spawn(async move {
            let start = Instant::now();
            if number % 2 == 0 {
                socket.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").await.unwrap();
            }
            // Until it is closed on us.
            let (mut reader, mut writer) = socket.split();
            let mut byte = [0; 1];
            loop {
                tokio::select! {
                    read = reader.read(&mut byte) => match read {
                        Ok(0) | Err(_) => return start.elapsed(),
                        Ok(_) => {}
                    },
                    () = tokio::time::sleep(Duration::from_millis(400)) => {
                        if writer.write_all(b"a").await.is_err() {
                            return start.elapsed();
                        }
                    }
                }
            }
        });
    }
    // Meanwhile a hundred play, over connections of their own.
    let playlist = server.get("/stream/film/hls/360p/index.m3u8").await.text();
    let segment = format!("/stream/film/hls/360p/{}", uris(&playlist)[0]);
    let mut playing = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (address, segment) = (server.address, segment.clone());
        playing.spawn(async move {
            let request = format!("GET {segment} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            let mut slowest = Duration::ZERO;
            for _ in 0..5 {
                let start = Instant::now();
                let mut socket = TcpStream::connect(address).await.unwrap();
                socket.write_all(request.as_bytes()).await.unwrap();
                let mut all = Vec::new();
                socket.read_to_end(&mut all).await.unwrap();
                assert!(all.starts_with(b"HTTP/1.1 200") && all.len() > 200_000);
                slowest = slowest.max(start.elapsed());
            }
            slowest
        });
    }
    let mut slowest: Vec<_> = playing.join_all().await;
    slowest.sort();
    // Far above what it takes, far below what waiting for the drippers would: this is about being held up at all.
    assert!(slowest[98] < Duration::from_secs(10), "p99 {:?}", slowest[98]);
    let cut = tokio::time::timeout(PATIENCE, dripping.join_all()).await.expect("all were cut");
    assert_eq!(cut.len(), 500);
    assert!(cut.iter().all(|open| *open >= limit - Duration::from_millis(500)), "cut at the limit");
}

/// A body that drips just fast enough not to be idle is bounded by what it may become.
#[tokio::test]
async fn a_dripping_body_holds_its_own_connection_only() {
    let server = Server::with(|config| config.limits.body = Duration::from_millis(300), &[]).await;
    let mut sockets = Vec::new();
    for _ in 0..50 {
        let mut socket = server.connect().await;
        let head = "POST /api/stream/create HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
                    Content-Length: 60000\r\n\r\n{";
        socket.write_all(head.as_bytes()).await.unwrap();
        sockets.push(socket);
    }
    for _ in 0..3 {
        for socket in &mut sockets {
            socket.write_all(b" ").await.unwrap();
        }
        assert_eq!(server.get("/healthz").await.status, 200);
    }
    // When nothing more comes they are ended.
    for mut socket in sockets {
        let mut all = Vec::new();
        let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut all)).await.expect("ended");
        assert!(read.is_err() || all.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&all));
    }
}

/// A reader of 1 KB/s of a large body gets on; one that stops is cut.
#[tokio::test]
async fn a_slow_reader_may_be_slow_but_not_stop() {
    let server = Server::with(
        |config| config.limits.stall = Duration::from_millis(500),
        &[("film", State::Ready, 3, true)],
    )
    .await;
    let playlist = server.get("/stream/film/hls/360p/index.m3u8").await.text();
    let segment = format!("/stream/film/hls/360p/{}", uris(&playlist)[0]);
    let mut socket = server.connect().await;
    // Many requests in a row, so that more waits than the kernel's buffers take.
    let request = format!("GET {segment} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(100);
    let (mut reader, mut writer) = socket.split();
    let (mut got, mut buffer) = (0, vec![0; 64 * 1024]);
    let slowly = async {
        writer.write_all(request.as_bytes()).await.unwrap();
        for _ in 0..10 {
            got += reader.read(&mut buffer).await.unwrap();
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    };
    slowly.await;
    assert!(got > 0, "a slow reader is served");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let rest = async {
        let mut all = 0;
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) | Err(_) => return all,
                Ok(read) => all += read,
            }
        }
    };
    let rest = tokio::time::timeout(PATIENCE, rest).await.expect("closed");
    assert!(got + rest < 100 * 200_000, "it was cut before the end");
}
