//! SIGTERM: nothing is cut that can end, nobody is kept waiting, and a second one does not wait.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::process::{Process, until};
use super::publishers;
use super::support::{Answer, PATIENCE, uris};

fn card(server: &Process, id: &str, height: u32, seconds: u32) {
    let body = format!(
        r#"{{"id": "{id}", "source": {{"type": "testcard", "height": {height}, "duration_s": {seconds}}}}}"#
    );
    assert_eq!(server.send("POST", "/api/stream/create", "", &body).status, 201);
}

/// Asks for `path` over one connection until the server ends it; how many answers were whole.
fn keep_asking(mut socket: TcpStream, path: &str, answers: &AtomicUsize) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let (mut got, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        if socket.write_all(request.as_bytes()).is_err() {
            return;
        }
        got.clear();
        let mut wanted = None;
        while wanted.is_none_or(|wanted| got.len() < wanted) {
            match socket.read(&mut buffer) {
                Ok(0) | Err(_) => {
                    assert!(got.is_empty(), "an answer was cut after {} bytes", got.len());
                    return;
                }
                Ok(read) => got.extend_from_slice(&buffer[..read]),
            }
            if wanted.is_none()
                && let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(&got[..end]).to_ascii_lowercase();
                let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
                wanted = Some(end + 4 + length.parse::<usize>().unwrap());
            }
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_stop_under_load_cuts_no_answer_and_releases_who_waits() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(&folder.path().join("data"), &[]);
    card(&server, "film", 96, 8);
    until("the film is ready", || server.get("/api/stream/film").json()["state"] == "ready");
    let playlist = server.get("/stream/film/hls/96p/index.m3u8").text();
    let segment = format!("/stream/film/hls/96p/{}", uris(&playlist)[0]);
    // One that takes long, and one that waits behind it: its viewers are held.
    card(&server, "long", 2160, 3600);
    card(&server, "queued", 96, 8);
    let answers = Arc::new(AtomicUsize::new(0));
    let askers: Vec<_> = (0..20)
        .map(|_| {
            let (segment, answers) = (segment.clone(), Arc::clone(&answers));
            let socket = TcpStream::connect(&server.address).unwrap();
            std::thread::spawn(move || keep_asking(socket, &segment, &answers))
        })
        .collect();
    let waiters: Vec<_> = (0..20)
        .map(|_| {
            let address = server.address.clone();
            std::thread::spawn(move || {
                let mut socket = TcpStream::connect(address).unwrap();
                let request =
                    "GET /stream/queued/hls/master.m3u8 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
                socket.write_all(request.as_bytes()).unwrap();
                let mut all = Vec::new();
                socket.read_to_end(&mut all).unwrap();
                Answer::parse(&all)
            })
        })
        .collect();
    until("the load is on", || answers.load(Ordering::Relaxed) > 100);
    until("all wait", || server.get("/metrics").text().contains("\nweir_held_requests 20\n"));
    server.signal(Signal::TERM);
    let (status, took) = server.wait(Duration::from_secs(12));
    assert!(status.success() && took <= Duration::from_secs(10), "{status} after {took:?}");
    for asker in askers {
        asker.join().expect("no answer was cut");
    }
    for waiter in waiters {
        let answer = waiter.join().unwrap();
        assert_eq!(answer.status, 503);
        assert!(answer.header("retry-after").is_some(), "told to come again");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(&folder.path().join("data"), &[]);
    // An upload that is under way would have the whole grace.
    let mut upload = TcpStream::connect(&server.address).unwrap();
    upload
        .write_all(b"POST /api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nabc")
        .unwrap();
    let uploads = folder.path().join("data/uploads");
    until("the upload has begun", || std::fs::read_dir(&uploads).unwrap().count() > 0);
    server.signal(Signal::TERM);
    let log = folder.path().join("log");
    until("it is stopping", || std::fs::read_to_string(&log).unwrap().contains("stopping"));
    let start = Instant::now();
    server.signal(Signal::INT);
    let (status, _) = server.wait(Duration::from_secs(12));
    assert_eq!(status.code(), Some(130));
    assert!(start.elapsed() < Duration::from_secs(4), "it did not wait for the upload");
}

/// Takes requests on a thread of its own; gives each one's event name and body.
pub fn receiver() -> (std::net::SocketAddr, std::sync::mpsc::Receiver<(String, serde_json::Value)>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, receive(listener))
}

fn receive(listener: std::net::TcpListener) -> std::sync::mpsc::Receiver<(String, serde_json::Value)> {
    let (told, came) = std::sync::mpsc::sync_channel(64);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let (mut all, mut some) = (Vec::new(), [0; 4096]);
            let body = loop {
                let read = socket.read(&mut some).unwrap_or(0);
                all.extend_from_slice(&some[..read]);
                let text = String::from_utf8_lossy(&all);
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let head = head.to_ascii_lowercase();
                    let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
                    if body.len() >= length.parse::<usize>().unwrap() {
                        break body.to_owned();
                    }
                }
                assert!(read > 0, "a whole request");
            };
            let _ = socket.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            if told.send((body["type"].as_str().unwrap().to_owned(), body)).is_err() {
                return;
            }
        }
    });
    came
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_ends_live_streams_tells_viewers_at_once_and_webhooks_after_the_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let flags = ["--on-stop", "endlist", "--allow-private-sources"];
    let mut server = publishers::start(&data, &flags);
    let key = publishers::camera(&server, r#", "record": true, "dvr_s": 0"#);
    // Nobody listens there yet.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hook = format!(r#"{{"url": "http://{address}/"}}"#);
    assert_eq!(server.send("POST", "/api/webhooks", "", &hook).status, 201);
    let rtmp = publishers::rtmp_address(folder.path(), "RTMP");
    let (mut client, _) = super::rtmp_client::RtmpClient::publish(rtmp, &key).await;
    client.configure().await;
    client.play(0, 7000).await;
    let playlist = "/stream/cam/hls/source/index.m3u8";
    until("three segments are listed", || uris(&server.get(playlist).text()).len() >= 3);
    until("it is known to be on air", || server.get("/api/stream/cam").json()["state"] == "live");
    // One viewer waits for what does not come any more.
    let to = server.address.clone();
    let waiter =
        std::thread::spawn(move || Process::ask(&to, "GET", &format!("{playlist}?_HLS_msn=5"), "", b""));
    until("the viewer waits", || server.get("/metrics").text().contains("\nweir_held_requests 1\n"));
    until("the webhook has been tried", || {
        let hooks = server.get("/api/webhooks").json();
        hooks["items"][0]["waiting"].as_u64().unwrap_or(0) >= 1
    });
    server.signal(Signal::TERM);
    let (status, _) = server.wait(Duration::from_secs(12));
    assert!(status.success(), "{status}");
    let answer = waiter.join().unwrap();
    assert!(
        answer.status == 503 || answer.text().contains("#EXT-X-ENDLIST"),
        "{}: {}",
        answer.status,
        answer.text()
    );
    let came = receive(std::net::TcpListener::bind(address).unwrap());
    let server = publishers::start(&data, &flags);
    assert_eq!(server.get("/api/stream/cam").json()["state"], "ended");
    let text = server.get(playlist).text();
    assert!(text.contains("#EXT-X-ENDLIST") && uris(&text).len() == 4, "{text}");
    let told: Vec<String> = (0..3).map(|_| came.recv_timeout(PATIENCE).expect("it is told").0).collect();
    assert_eq!(told, ["stream.started", "stream.ended", "recording.ready"]);
}
