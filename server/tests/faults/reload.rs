//! SIGHUP and `POST /api/reload`: settings change, connections stay.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;

use super::process::{Process, until};
use super::publishers;
use super::rtmp_client::RtmpClient;
use super::support::PATIENCE;

#[test]
fn settings_change_under_open_connections_and_the_rest_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (file, films) = (folder.path().join("weir.toml"), folder.path().join("films"));
    std::fs::create_dir(&films).unwrap();
    std::fs::write(&file, "jobs = 1\n").unwrap();
    let data = folder.path().join("data");
    let server = Process::start(&data, &["--config", file.to_str().unwrap()]);
    let mut events = TcpStream::connect(&server.address).unwrap();
    events.set_read_timeout(Some(PATIENCE)).unwrap();
    events.write_all(b"GET /api/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(events.read(&mut [0; 4096]).unwrap() > 0);

    let text = format!(
        "jobs = 2\nallow-path = [\"{}\"]\ntoken = \"0123456789abcdef\"\nmax-source-mb = 1\nlog = \"debug\"\n",
        films.display()
    );
    std::fs::write(&file, text).unwrap();
    let changes = server.send("POST", "/api/reload", "", "").json();
    assert_eq!(changes["applied"], serde_json::json!(["allow-path", "token", "max-source-mb", "log"]));
    assert_eq!(changes["needs_restart"], serde_json::json!(["jobs"]));
    assert_eq!(server.send("POST", "/api/reload", "", "").problem(401), "token-needed");
    let token = "Authorization: Bearer 0123456789abcdef\r\n";
    let body = r#"{"id": "a", "source": {"type": "file", "path": "missing.mp4"}}"#;
    let refused = server.send("POST", "/api/stream/create", token, body).json();
    assert!(
        !refused["detail"].as_str().unwrap().contains("allow-path"),
        "folders are allowed now: {refused}"
    );
    let upload = server.send("POST", "/api/upload", token, &"x".repeat(1_000_001));
    assert_eq!(upload.status, 413);
    let log = folder.path().join("log");
    until("the log speaks at the new level", || std::fs::read_to_string(&log).unwrap().contains("DEBUG"));

    // Wrong settings change nothing; the signal does the same as the request.
    std::fs::write(&file, "token = \"short\"\n").unwrap();
    assert_eq!(server.send("POST", "/api/reload", token, "").problem(422), "settings-not-right");
    std::fs::write(&file, "token = \"fedcba9876543210\"\n").unwrap();
    server.signal(Signal::HUP);
    let new = "Authorization: Bearer fedcba9876543210\r\n";
    until("the new token holds", || server.send("POST", "/api/reload", new, "").status == 200);

    // Whoever was connected still is: the next event comes over the old connection.
    let body = r#"{"id": "card", "source": {"type": "testcard", "height": 96, "duration_s": 600}}"#;
    assert_eq!(server.send("POST", "/api/stream/create", new, body).status, 201);
    assert!(events.read(&mut [0; 4096]).unwrap() > 0);
}

#[test]
fn the_service_manager_is_told_when_it_is_ready_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut got = [0; 64];
        let length = manager.recv(&mut got).unwrap();
        String::from_utf8(got[..length].to_vec()).unwrap()
    };
    let mut server = Process::start_with(&folder.path().join("data"), &[], &[("NOTIFY_SOCKET", &path)]);
    assert_eq!(next(), "READY=1");
    server.signal(Signal::TERM);
    assert_eq!(next(), "STOPPING=1");
    assert!(server.wait(Duration::from_secs(10)).0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_of_the_settings_come_and_go_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.toml");
    std::fs::write(&file, "allow-private-sources = true\n").unwrap();
    let data = folder.path().join("data");
    let server = publishers::start(&data, &["--config", file.to_str().unwrap()]);
    let key = publishers::camera(&server, "");
    let hooks = || server.get("/api/webhooks").json()["items"].as_array().unwrap().len();
    assert_eq!(hooks(), 0);
    let (address, came) = super::stop::receiver();
    let text = format!(
        "allow-private-sources = true\n[[webhook]]\nurl = \"http://{address}/\"\nsecret = \"0123456789abcdef\"\n\
         events = [\"stream.started\"]\n"
    );
    std::fs::write(&file, &text).unwrap();
    server.signal(Signal::HUP);
    until("it is there", || hooks() == 1);
    let (mut client, _) = RtmpClient::publish(publishers::rtmp_address(folder.path(), "RTMP"), &key).await;
    client.configure().await;
    client.play(0, 3000).await;
    let (kind, body) = came.recv_timeout(PATIENCE).expect("it is told");
    assert_eq!((kind.as_str(), &body["stream"]), ("stream.started", &serde_json::json!("cam")));
    // Wrong settings change nothing; the right ones without it take it away.
    std::fs::write(&file, text.replace("stream.started", "stream.startled")).unwrap();
    assert_eq!(server.send("POST", "/api/reload", "", "").problem(422), "settings-not-right");
    assert_eq!(hooks(), 1);
    std::fs::write(&file, "allow-private-sources = true\n").unwrap();
    server.signal(Signal::HUP);
    until("it is gone", || hooks() == 0);
}
