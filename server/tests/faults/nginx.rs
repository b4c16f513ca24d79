//! Behind a real nginx with the configuration that is shipped: one request an object reaches the server, blocked reloads are
//! collapsed, and viewers are still counted.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::process::{Process, until};
use super::support::{Answer, PATIENCE, uris};

const SAMPLE: &str = include_str!("../../packaging/nginx.conf");

/// An nginx with the sample's cache, on a port of its own and without TLS.
struct Nginx {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Nginx {
    fn start(folder: &Path, origin: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let site: Vec<_> = adapted(folder, origin)
            .lines()
            .filter(|line| !line.contains("ssl_"))
            .map(|line| line.replace(" ssl http2", ""))
            .filter(|line| !line.contains("[::]"))
            .map(|line| line.replace("listen 443", &format!("listen {address}")))
            .collect();
        let log = folder.join("asked");
        let config = write(folder, "nginx.conf", &site.join("\n"));
        let child = nginx().args(["-c", config.to_str().unwrap(), "-p"]).arg(folder).spawn().unwrap();
        let started = Self { child, address, log };
        until("nginx listens", || TcpStream::connect(address).is_ok());
        started
    }

    /// What a viewer of this number gets, who has an address of its own.
    fn get(&self, viewer: usize, target: &str, headers: &str) -> Answer {
        self.send(viewer, "GET", target, headers, "")
    }

    fn send(&self, viewer: usize, method: &str, target: &str, headers: &str, body: &str) -> Answer {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 1, 1 + viewer as u8], 0)).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let mut socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: stream.example.org\r\nUser-Agent: player\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut all = Vec::new();
        socket.read_to_end(&mut all).unwrap();
        Answer::parse(&all)
    }

    /// How often the server was asked for each object below `/stream/`, as nginx tells.
    fn asked(&self) -> BTreeMap<String, usize> {
        let mut asked = BTreeMap::new();
        for line in fs::read_to_string(&self.log).unwrap().lines() {
            let (object, status) = line.split_once(' ').unwrap();
            if object.starts_with("/stream/") && status != "-" {
                *asked.entry(object.to_owned()).or_default() += 1;
            }
        }
        asked
    }

    fn lines(&self) -> usize {
        fs::read_to_string(&self.log).unwrap().lines().count()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master takes its workers along.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

fn nginx() -> Command {
    let found = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"];
    let path = found.into_iter().find(|path| Path::new(path).exists());
    Command::new(
        path.expect("nginx is needed for this test: apt-get install nginx-light (`.ci/deps test` does it)"),
    )
}

/// The sample with this machine's places in it.
fn adapted(folder: &Path, origin: &str) -> String {
    let place = |name: &str| folder.join(name).display().to_string();
    SAMPLE
        .replace("127.0.0.1:8080", origin)
        .replace("/var/cache/nginx/weir", &place("cache"))
        .replace("/etc/letsencrypt/live/stream.example.org/fullchain.pem", &place("cert.pem"))
        .replace("/etc/letsencrypt/live/stream.example.org/privkey.pem", &place("key.pem"))
}

/// What the distribution's nginx.conf has around a site.
fn write(folder: &Path, name: &str, site: &str) -> PathBuf {
    let path = folder.join(name);
    let place = |name: &str| folder.join(name).display().to_string();
    // A master that is root has its workers run as somebody else, who cannot enter a test's folder.
    let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {};\n", place(kind)))
        .concat();
    // One worker: between two of them nginx's cache lock has a gap (one looks for the file, the other finishes it and lets the
    // lock go, the first takes the lock and asks again), which is not what is tested here.
    let text = format!(
        "daemon off;\n{user}\nworker_processes 1;\npid {};\nerror_log {};\nevents {{ worker_connections 1024; }}\nhttp {{\n\
         log_format asked '$uri?$weir_args $upstream_status';\naccess_log {} asked;\n{temporary}{site}\n}}\n",
        place("nginx.pid"),
        place("errors"),
        place("asked"),
    );
    fs::write(&path, text).unwrap();
    path
}

fn origin(folder: &Path) -> Process {
    let arguments = ["--trusted-proxy", "127.0.0.1", "--token", "0123456789abcdef"];
    let server = Process::start(&folder.join("data"), &arguments);
    let card = |height: u32| json!({"type": "testcard", "height": height, "duration_s": 8, "frame_rate": 10});
    let film = json!({"id": "film", "source": card(96), "profile": {"segment_ms": 2000}});
    let cam = json!({"id": "cam", "mode": "live", "latency": "low", "source": card(96)});
    for body in [film, cam] {
        let token = "Authorization: Bearer 0123456789abcdef\r\n";
        let made = server.send("POST", "/api/stream/create", token, &body.to_string());
        assert_eq!(made.status, 201, "{}", made.text());
    }
    until("both can be watched", || {
        let state = |id: &str| server.get(&format!("/api/stream/{id}")).json();
        state("film")["state"] == "ready" && state("cam")["playable"] == true
    });
    server
}

#[test]
fn the_shipped_configuration_is_one_that_nginx_takes() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let config = write(folder.path(), "nginx.conf", &adapted(folder.path(), "127.0.0.1:8080"));
    let said =
        nginx().args(["-t", "-c", config.to_str().unwrap(), "-p"]).arg(folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && !text.contains("[warn]"), "{text}");
}

#[test]
fn behind_nginx_each_object_is_asked_for_once_and_every_viewer_is_counted() {
    const VIEWERS: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let server = origin(folder.path());
    let nginx = Nginx::start(folder.path(), &server.address);
    let count = || server.get("/api/stream/film").json()["viewers"].clone();

    // They differ in all that must not matter: address, CMCD, how they spell what they take.
    let encodings = [
        "Accept-Encoding: gzip\r\n",
        "Accept-Encoding: gzip, deflate, br, zstd\r\n",
        "Accept-Encoding: br\r\n",
        "",
    ];
    let watch = |viewer: usize| {
        let cmcd = format!("CMCD=bl%3D{viewer}%2Csid%3D%22viewer-{viewer}%22");
        let headers = encodings[viewer % encodings.len()];
        let mut texts = Vec::new();
        for list in ["hls/master.m3u8", "hls/96p/index.m3u8", "hls/96p/iframes.m3u8", "dash/manifest.mpd"] {
            let answer = nginx.get(viewer, &format!("/stream/film/{list}?{cmcd}"), headers);
            assert_eq!(answer.status, 200, "{list}");
            let packed = answer.header("content-encoding") == Some("gzip");
            assert_eq!(packed, headers.contains("gzip"), "{list} {headers:?}");
            assert!(answer.header("vary").is_some_and(|vary| vary.contains("Accept-Encoding")));
            texts.push(if packed { unpacked(&answer.body) } else { answer.text() });
        }
        for name in uris(&texts[1]) {
            let answer = nginx.get(viewer, &format!("/stream/film/hls/96p/{name}?{cmcd}"), headers);
            assert!(answer.status == 200 && !answer.body.is_empty(), "{name}");
        }
        texts
    };
    let texts: HashSet<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..VIEWERS).map(|viewer| scope.spawn(move || watch(viewer))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(texts.len(), 1, "playlists are the same for everybody");
    let objects = 4 + uris(&texts.iter().next().unwrap()[1]).len();
    until("nginx has told it all", || nginx.lines() >= VIEWERS * objects);
    let asked = nginx.asked();
    assert_eq!(asked.len(), objects, "{asked:?}");
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");

    // What the cache gave is not seen here: a viewer for each segment at most. Players that report are all seen, at once and
    // as many as they are, and gone when they say so.
    let seen = count()["current"].as_u64().unwrap();
    assert!((1..=objects as u64).contains(&seen), "{seen}");
    let report = |viewer: usize, state: &str| {
        let body = format!("cid=\"film\",e=ps,sid=\"viewer-{viewer}\",sta={state},v=2\n");
        assert_eq!(
            nginx.send(viewer, "POST", "/api/beacon", "Content-Type: text/plain\r\n", &body).status,
            204
        );
    };
    (0..VIEWERS).for_each(|viewer| report(viewer, "p"));
    assert_eq!((count()["current"].as_u64(), count()["by_method"]["cmcd"].as_u64()), (Some(40), Some(40)));
    let list = server
        .send("GET", "/api/stream/film/viewers", "Authorization: Bearer 0123456789abcdef\r\n", "")
        .json();
    let networks: HashSet<_> =
        list["items"].as_array().unwrap().iter().map(|v| v["address"].to_string()).collect();
    assert_eq!(networks.len(), 1, "the address is the viewer's, not nginx's: {networks:?}");
    assert!(networks.iter().all(|network| network.contains("127.0.1.0/24")), "{networks:?}");
    (0..VIEWERS).for_each(|viewer| report(viewer, "q"));
    assert_eq!((count()["current"].as_u64(), count()["peak"].as_u64()), (Some(0), Some(40)));

    // A player that names no session and reports nothing is one by its address, if the server hears of it at all.
    let part = uris(&nginx.get(1, "/stream/film/hls/audio/index.m3u8", "").text()).remove(0);
    for viewer in 0..3 {
        assert_eq!(nginx.get(viewer, &format!("/stream/film/hls/audio/{part}"), "").status, 200);
    }
    assert_eq!(count()["current"].as_u64(), Some(1));
}

#[test]
fn behind_nginx_a_crowd_of_blocked_reloads_is_one_request() {
    let folder = tempfile::tempdir().unwrap();
    let server = origin(folder.path());
    let nginx = Nginx::start(folder.path(), &server.address);
    let rendition = uris(&nginx.get(0, "/stream/cam/hls/master.m3u8", "").text()).remove(0);
    let base = &format!("/stream/cam/hls/{}", rendition.trim_end_matches("/index.m3u8"));
    let text = nginx.get(0, &format!("{base}/index.m3u8"), "").text();
    let first: u64 = value(&text, "#EXT-X-MEDIA-SEQUENCE:").parse().unwrap();
    let next = first + uris(&text).len() as u64 + 1;
    let target = format!("{base}/index.m3u8?_HLS_msn={next}&_HLS_part=0");
    let ask = |viewer: usize| {
        // Where the key stands in the query must not matter either.
        let query =
            if viewer.is_multiple_of(2) { format!("{target}&CMCD=bl%3D{viewer}") } else { target.clone() };
        let answer = nginx.get(viewer, &query, "");
        assert_eq!(answer.status, 200);
        (answer.text(), answer.header("x-cache").map(str::to_owned))
    };
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..40).map(|viewer| scope.spawn(move || ask(viewer))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let texts: HashSet<_> = answers.iter().map(|(text, _)| text).collect();
    assert_eq!(texts.len(), 1, "all get the same");
    let text = &answers[0].0;
    assert!(text.contains(&format!("{next:05}.0-")), "{next}: {text}");
    assert_eq!(answers.iter().filter(|(_, cache)| cache.as_deref() == Some("MISS")).count(), 1);

    // The part that is hinted at is waited for in the same way.
    let hint = value(&nginx.get(0, &format!("{target}&again"), "").text(), "TYPE=PART,URI=\"");
    let hint = hint.split('"').next().unwrap().to_owned();
    let part = format!("{base}/{hint}");
    let parts: HashSet<_> = std::thread::scope(|scope| {
        let (nginx, path) = (&nginx, &part);
        let threads: Vec<_> =
            (0..20).map(|viewer| scope.spawn(move || nginx.get(viewer, path, ""))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .map(|answer| (answer.status, answer.body))
            .collect()
    });
    assert_eq!(parts.len(), 1);
    assert!(parts.iter().all(|(status, body)| *status == 200 && !body.is_empty()));
    until("nginx has told it all", || nginx.lines() >= 63);
    let asked = nginx.asked();
    assert_eq!(asked.get(&format!("{part}?")), Some(&1), "{asked:?}");
    assert_eq!(asked.get(&target), Some(&1), "{asked:?}");
}

/// Reads an answer as far as its first chunk of media, and gives what to read on from.
fn first_chunk(nginx: &Nginx, path: &str) -> (TcpStream, Vec<u8>) {
    let mut socket = TcpStream::connect(nginx.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: stream.example.org\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut all = Vec::new();
    let mut some = [0; 4096];
    while !all.windows(4).any(|four| four == b"mdat") {
        let count = socket.read(&mut some).unwrap();
        assert!(count > 0, "the end came before media: {}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&some[..count]);
    }
    (socket, all)
}

#[test]
fn behind_nginx_a_segment_in_progress_comes_to_everybody_while_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let server = origin(folder.path());
    let nginx = Nginx::start(folder.path(), &server.address);
    // Long segments: there is time to see that one is not finished.
    let slow = json!({"id": "slow", "mode": "live", "source": {"type": "testcard", "height": 96, "frame_rate": 10},
        "profile": {"segment_ms": 8000, "gop_ms": 8000, "rungs": [{"lines": 96, "kbps": 100}]}});
    let token = "Authorization: Bearer 0123456789abcdef\r\n";
    let made = server.send("POST", "/api/stream/create", token, &slow.to_string());
    assert_eq!(made.status, 201, "{}", made.text());
    until("it has a segment", || server.get("/api/stream/slow").json()["playable"] == true);
    let finished = || uris(&server.get("/stream/slow/hls/source/index.m3u8").text());
    let generation = finished()[0].split('-').nth(1).unwrap().to_owned();
    // Where a segment ends between the look and the request, another one will do.
    let mut seen = None;
    until("all have the beginning of one that is not finished", || {
        let name = format!("{:05}-{generation}", finished().len() + 1);
        let path = format!("/stream/slow/dash/source/{name}");
        if server.send("HEAD", &path, "", "").status != 200 {
            return false; // without a part yet
        }
        let begun: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| first_chunk(&nginx, &path))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let in_time = !finished().contains(&name);
        if in_time {
            seen = Some((path, begun));
        }
        in_time
    });
    let (path, begun) = seen.unwrap();
    let bodies: HashSet<_> = begun
        .into_iter()
        .map(|(mut socket, mut all)| {
            socket.read_to_end(&mut all).unwrap();
            let answer = Answer::parse(&all);
            assert!(answer.status == 200 && answer.complete);
            answer.body
        })
        .collect();
    assert_eq!(bodies.len(), 1, "all get all of it");
    let whole = nginx.get(0, &path, "");
    assert_eq!((whole.status, bodies.contains(&whole.body)), (200, true));
    until("it is kept, too", || nginx.get(0, &path, "").header("x-cache") == Some("HIT"));
}

fn value(text: &str, key: &str) -> String {
    let rest = text.split(key).nth(1).unwrap_or_else(|| panic!("no {key} in {text}"));
    rest.lines().next().unwrap().to_owned()
}

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}
