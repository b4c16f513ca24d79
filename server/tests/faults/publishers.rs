//! Publishers that come, go, stall and are sent away, again and again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::mutate::Random;
use super::process::{Process, until};
use super::rtmp_client::RtmpClient;
use super::support::uris;

/// Where the newest start of the server takes publishers, in the clear or by TLS.
pub fn rtmp_address(folder: &Path, protocol: &str) -> std::net::SocketAddr {
    // Told a little after the line that says that the server listens, so as many times as that.
    let log = || std::fs::read_to_string(folder.join("log")).unwrap();
    let (starts, told) = ("listening address=", format!("taken by {protocol} "));
    until("it is told", || log().matches(&told).count() >= log().matches(starts).count().max(1));
    let log = log();
    let line = log.lines().rfind(|line| line.contains(&told)).unwrap();
    line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

/// Makes the live stream `cam`; gives its key.
pub fn camera(server: &Process, more: &str) -> String {
    let made =
        server.send("POST", "/api/stream/create", "", &format!(r#"{{"id": "cam", "mode": "live"{more}}}"#));
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["stream_key"].as_str().unwrap().to_owned()
}

pub fn session(server: &Process) -> serde_json::Value {
    server.get("/api/stream/cam").json()["live"]["session"].clone()
}

fn units(server: &Process) -> u64 {
    session(server)["units"].as_u64().unwrap_or(0)
}

pub fn start(data: &Path, more: &[&str]) -> Process {
    Process::start(data, &[&["--rtmp", "127.0.0.1:0", "--live-rungs", "0"][..], more].concat())
}

/// A playlist that others can read, whose numbers only go up.
fn check_playlist(server: &Process, newest: &mut i32) {
    let answer = server.get("/stream/cam/hls/source/index.m3u8");
    let parsed = m3u8_rs::parse_media_playlist_res(&answer.body).expect("a playlist");
    let last = i32::try_from(parsed.media_sequence).unwrap() + i32::try_from(parsed.segments.len()).unwrap();
    assert!(last >= *newest, "{last} after {newest}");
    *newest = last;
}

fn tasks(server: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", server.child.id())).unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reconnections_keep_the_stream_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder.path().join("data"), &[]);
    let key = camera(&server, r#", "dvr_s": 60"#);
    let address = rtmp_address(folder.path(), "RTMP");
    let (mut newest, mut early) = (0, (0, 0));
    let mut held = None;
    for round in 0..100_u64 {
        let (mut client, status) = RtmpClient::publish(address, &key).await;
        assert_eq!(status, "NetStream.Publish.Start", "round {round}");
        client.configure().await;
        client.play(round as u32 * 77, 2000).await;
        // Some go in order, some break off, and some are still there when the next one comes.
        match round % 3 {
            0 => drop(client),
            1 => {
                until("its units are there", || units(&server) > round * 60);
                client.raw(&[0xff; 3000]).await;
                client.closed().await;
            }
            _ => held = Some(client),
        }
        if round % 3 == 0 {
            held = None;
        }
        if round >= 2 && round % 10 == 0 {
            check_playlist(&server, &mut newest);
        }
        if round == 20 {
            early = (server.open_files(), tasks(&server));
        }
    }
    drop(held);
    until("the last one has gone", || session(&server)["publisher"].is_null());
    check_playlist(&server, &mut newest);
    assert!(newest > 33, "at least those that were waited for: {newest} segments");
    // Whatever a connection or a take held is given back.
    until("descriptors and threads are given back", || {
        server.open_files() <= early.0 + 4 && tasks(&server) <= early.1 + 8
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_sends_nothing_is_told_apart_and_sent_away() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder.path().join("data"), &[]);
    let key = camera(&server, r#", "record": true, "dvr_s": 0"#);
    let (mut client, _) = RtmpClient::publish(rtmp_address(folder.path(), "RTMP"), &key).await;
    client.configure().await;
    client.play(0, 5000).await;
    until("it is waited for", || session(&server)["state"] == "grace");
    assert!(!session(&server)["publisher"].is_null(), "and still connected");
    let text = server.get("/stream/cam/hls/source/index.m3u8").text();
    assert!(!text.contains("ENDLIST"), "viewers wait, too");
    assert_eq!(uris(&text).len(), 3, "they have all there is: {text}");
    client.closed().await;
    until("it has ended clearly", || {
        server.get("/stream/cam/hls/source/index.m3u8").text().contains("#EXT-X-ENDLIST")
    });
}

#[tokio::test]
async fn publishers_are_taken_over_tls_with_the_certificate_of_https() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let pair = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let _server = start(&folder.path().join("data"), &[&pair[..], &["--rtmps", "127.0.0.1:0"][..]].concat());
    let address = rtmp_address(folder.path(), "RTMPS");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let socket = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    // The right answer to a wrong key comes out of the same conversation as in the clear.
    let (_, status) = RtmpClient::publish_over(Box::new(socket), "wrong").await;
    assert_eq!(status, "NetStream.Publish.Unauthorized");
    // In the clear nobody talks to it.
    let mut plain = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut plain, &[3; 1537]).await.unwrap();
    let mut got = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut plain, &mut got).await;
    assert!(got.len() < 100, "no RTMP handshake: {} bytes", got.len());
}

/// One viewer that follows the stream until it is told to stop; the segments that it got.
fn watch(address: &str, name: &str, stop: &AtomicBool, got: &AtomicU64) {
    let mut last = String::new();
    while !stop.load(Ordering::Relaxed) {
        let header = format!("X-Playback-Session-Id: {name}\r\n");
        let ask = |path: &str| Process::ask(address, "GET", path, &header, b"");
        let list = ask("/stream/cam/hls/source/index.m3u8");
        if list.status == 200
            && let Some(newest) = uris(&list.text()).pop()
            && newest != last
        {
            let segment = ask(&format!("/stream/cam/hls/source/{newest}"));
            assert!(segment.status == 200 && segment.complete, "{newest}: {}", segment.status);
            got.fetch_add(1, Ordering::Relaxed);
            last = newest;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Publishes, breaks off, comes back and is watched: for a few seconds, or `WEIR_SOAK=minutes`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_under_steady_change_costs_the_same_all_along() {
    const VIEWERS: usize = 6;
    let minutes: Option<f64> = std::env::var("WEIR_SOAK").ok().map(|text| text.parse().expect("minutes"));
    let length = Duration::from_secs_f64(minutes.map_or(6.0, |minutes| minutes * 60.0));
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder.path().join("data"), &[]);
    let key = camera(&server, r#", "dvr_s": 30"#);
    let address = rtmp_address(folder.path(), "RTMP");
    let (stop, got) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let viewers: Vec<_> = (0..VIEWERS)
        .map(|n| {
            let (to, stop, got) = (server.address.clone(), Arc::clone(&stop), Arc::clone(&got));
            std::thread::spawn(move || watch(&to, &format!("viewer-number-{n:04}"), &stop, &got))
        })
        .collect();
    let mut random = Random::new(7);
    let (begun, mut at, mut rounds, mut newest) = (Instant::now(), 0_u32, 0_u32, 0);
    let (mut early, mut most) = (None, (0, 0));
    while begun.elapsed() < length || rounds < 4 {
        let (mut client, status) = RtmpClient::publish(address, &key).await;
        assert_eq!(status, "NetStream.Publish.Start", "round {rounds}");
        client.configure().await;
        for _ in 0..1 + random.below(6) {
            // Sixteen times as fast as in life.
            client.play(at, 4000).await;
            at = at.wrapping_add(4000);
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        match random.below(3) {
            0 => drop(client),
            1 => assert_eq!(server.send("POST", "/api/stream/cam/kick", "", "").status, 200),
            _ => {
                client.raw(&[0xff; 3000]).await;
                client.closed().await;
            }
        }
        rounds += 1;
        if rounds > 3 {
            check_playlist(&server, &mut newest);
        }
        let now = (server.resident_kb(), server.open_files());
        if early.is_none() && begun.elapsed() >= length / 4 {
            early = Some(now);
        }
        most = (most.0.max(now.0), most.1.max(now.1));
    }
    let count = server.get("/api/stream/cam/viewers").json();
    stop.store(true, Ordering::Relaxed);
    for viewer in viewers {
        viewer.join().expect("nobody got a broken segment");
    }
    let early = early.unwrap_or(most);
    let last = (server.resident_kb(), server.open_files());
    let figures = format!(
        "{rounds} rounds, {newest} segments, {} fetched; memory {} kB, {} at most, {} at the end; descriptors {}, {}, {}",
        got.load(Ordering::Relaxed),
        early.0,
        most.0,
        last.0,
        early.1,
        most.1,
        last.1
    );
    // Past the lint, which is for the program.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{figures}\n{count}\n").as_bytes());
    assert!(got.load(Ordering::Relaxed) >= VIEWERS as u64, "{figures}");
    assert!(last.0 < early.0 + 32_000 && last.1 <= early.1 + 8, "{figures}");
    assert_eq!(
        server.get("/api/stream/cam").json()["viewers"]["total"],
        VIEWERS,
        "each is counted once: {count}"
    );
}
