//! The program itself: what it prints, how it ends, what it keeps.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::support::{Answer, PATIENCE};

struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_weir-server"))
            .args(["--listen", "127.0.0.1:0", "--disk-reserve-mb", "0", "--data"])
            .arg(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect(&line).to_owned();
        Self { child, address }
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(
            socket,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}",
            self.address
        )
        .unwrap();
        let mut all = Vec::new();
        socket.read_to_end(&mut all).unwrap();
        Answer::parse(&all)
    }

    fn terminate(&mut self) -> ExitStatus {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(12), "it did not stop within its time");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn card(id: &str, seconds: u32) -> String {
    format!(r#"{{"id": "{id}", "source": {{"type": "testcard", "height": 96, "duration_s": {seconds}}}}}"#)
}

#[test]
fn what_was_confirmed_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let mut server = Process::start(folder.path(), &[]);
        let total = server.send("GET", "/api/streams", "").json()["total"].clone();
        assert_eq!(total, round, "everything that was confirmed before");
        assert_eq!(server.send("POST", "/api/stream/create", &card(&format!("s{round}"), 3600)).status, 201);
        server.child.kill().unwrap();
        server.child.wait().unwrap();
    }
    let server = Process::start(folder.path(), &[]);
    let list = server.send("GET", "/api/streams", "").json();
    for item in list["items"].as_array().unwrap() {
        assert!(["queued", "packaging"].contains(&item["state"].as_str().unwrap()), "taken up again: {item}");
    }
    assert_eq!(server.send("DELETE", "/api/stream/s1", "").status, 204);
}

#[test]
fn sigterm_ends_it_in_time_while_it_packages() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path(), &[]);
    assert_eq!(server.send("POST", "/api/stream/create", &card("long", 3600)).status, 201);
    assert!(server.terminate().success());
}

#[test]
fn a_test_card_is_packaged_and_played_from_the_same_process() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path(), &[]);
    assert_eq!(server.send("POST", "/api/stream/create", &card("card", 6)).status, 201);
    let start = Instant::now();
    let stream = loop {
        let stream = server.send("GET", "/api/stream/card", "").json();
        assert_ne!(stream["state"], "failed", "{stream}");
        if stream["state"] == "ready" {
            break stream;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{stream}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!((&stream["progress"], &stream["playable"]), (&1.0.into(), &true.into()));
    assert!((stream["duration_s"].as_f64().unwrap() - 6.0).abs() < 0.1, "{stream}");
    let master = server.send("GET", "/stream/card/hls/master.m3u8", "");
    assert!(m3u8_rs::parse_master_playlist_res(&master.body).is_ok());
    let poster = server.send("GET", stream["urls"]["poster"].as_str().expect("a poster"), "");
    assert_eq!((poster.status, poster.header("content-type")), (200, Some("image/jpeg")));
    let progressive = server.send("GET", "/stream/card", "");
    assert!(progressive.complete && progressive.body.len() > 10_000);
}

#[test]
fn the_demo_publishes_samples_once() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let mut server = Process::start(folder.path(), &["--demo"]);
        let list = server.send("GET", "/api/streams", "").json();
        assert_eq!(list["total"], 2, "{list}");
        assert!(server.terminate().success());
    }
}

#[test]
fn wrong_settings_are_told_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.toml");
    let check = || {
        let output = Command::new(env!("CARGO_BIN_EXE_weir-server"))
            .arg("check-config")
            .arg("--config")
            .arg(&file)
            .current_dir(folder.path())
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    std::fs::write(&file, "listen = \"127.0.0.1:9999\"\njobs = 2\n").unwrap();
    let (fine, text) = check();
    assert!(fine && text.contains("127.0.0.1:9999") && text.contains("jobs at a time        2"), "{text}");
    std::fs::write(&file, "jobs = 0\n").unwrap();
    let (fine, text) = check();
    assert!(!fine && text.contains("line 1, jobs: must be at least 1"), "{text}");
    std::fs::write(&file, "colour = 1\n").unwrap();
    let (fine, text) = check();
    assert!(!fine && text.contains("line 1, colour: there is no such setting"), "{text}");
    for (line, why) in [
        ("log = \"info,=x=\"", "line 2, log: log = \"info,=x=\" is no filter"),
        ("data = \"weir.toml/data\"", "line 2, data: weir.toml/data: weir.toml is not a folder"),
        // Nothing can be made there, whoever asks.
        ("data = \"/proc/weir\"", "line 2, data: /proc/weir: "),
        (
            "tls-cert = \"/no/cert.pem\"\ntls-key = \"/no/key.pem\"",
            "line 2, tls-cert: cannot read certificate in /no/cert.pem",
        ),
    ] {
        std::fs::write(&file, format!("jobs = 1\n{line}\n")).unwrap();
        let (fine, text) = check();
        assert!(!fine && text.contains(why) && text.contains("weir.toml are not right"), "{line}: {text}");
    }
    // One that is yet to be made, and one that is there; nothing is left behind by the trial.
    for data in ["new/data", "."] {
        std::fs::write(&file, format!("data = \"{data}\"\n")).unwrap();
        let (fine, text) = check();
        assert!(fine, "{data}: {text}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the settings and nothing else");
}

#[test]
fn what_the_units_check_sees_is_what_its_server_sees() {
    const UNIT: &str = include_str!("../../packaging/weir-server.service");
    let line = |name: &str| UNIT.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let server = line("ExecStart=/usr/local/bin/weir-server ");
    assert_eq!(line("ExecStartPre=/usr/local/bin/weir-server check-config "), server, "the same settings");
    // As the unit's user, with the folder that the unit gives it.
    let folder = tempfile::tempdir().unwrap();
    let settings = include_str!("../../packaging/weir.toml");
    assert!(settings.contains("\ndata = \"/var/lib/weir\"\n") && UNIT.contains("\nStateDirectory=weir\n"));
    let file = folder.path().join("weir.toml");
    std::fs::write(&file, settings.replace("/var/lib/weir", folder.path().to_str().unwrap())).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_weir-server"))
        .args(["check-config", "--config"])
        .arg(&file)
        .current_dir("/")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
