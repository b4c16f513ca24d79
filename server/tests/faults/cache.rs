//! Behind a cache that many viewers share: one request an object reaches the server, and all get the same.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::support::{Answer, Server, uris};

/// One object's place: whoever holds the lock asks for it, the others wait.
type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Vec<u8>)>>>;

/// A cache as a CDN is one: keyed by path and query without CMCD, one request at a time for each object, kept as long
/// as the answer's headers allow.
#[derive(Default)]
struct Cache {
    slots: Mutex<HashMap<String, Slot>>,
    asked: Mutex<BTreeMap<String, usize>>,
}

impl Cache {
    async fn answer(&self, origin: SocketAddr, target: &str) -> Vec<u8> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let rest: Vec<_> =
            query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("CMCD=")).collect();
        let key = format!("{path}?{}", rest.join("&"));
        let slot = Arc::clone(self.slots.lock().unwrap().entry(key.clone()).or_default());
        let mut kept = slot.lock().await;
        if let Some((until, bytes)) = &*kept
            && Instant::now() < *until
        {
            return bytes.clone();
        }
        *self.asked.lock().unwrap().entry(key).or_default() += 1;
        let mut socket = TcpStream::connect(origin).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: {origin}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).await.unwrap();
        if let Some(time) = shared_time(&Answer::parse(&bytes)) {
            *kept = Some((Instant::now() + time, bytes.clone()));
        }
        bytes
    }
}

/// How long a shared cache may keep an answer (RFC 9111, sections 3 and 4.2.1).
fn shared_time(answer: &Answer) -> Option<Duration> {
    let control = answer.header("cache-control").unwrap_or("");
    let forbidden = ["no-store", "private", "no-cache"].iter().any(|word| control.contains(word));
    if forbidden
        || answer.header("set-cookie").is_some()
        || answer.header("vary").is_some_and(|vary| vary != "Accept-Encoding")
    {
        return None;
    }
    let seconds = |name| control.split(',').find_map(|part| part.trim().strip_prefix(name)?.parse().ok());
    seconds("s-maxage=").or_else(|| seconds("max-age=")).filter(|s| *s > 0).map(Duration::from_secs)
}

async fn get(address: SocketAddr, target: &str) -> Answer {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.unwrap();
    Answer::parse(&bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_viewers_behind_a_cache_cost_one_request_an_object() {
    let server = Server::with_film().await;
    let cache = Arc::new(Cache::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (edge, origin) = (listener.local_addr().unwrap(), server.address);
    let serving = Arc::clone(&cache);
    let accepting = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let cache = Arc::clone(&serving);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match socket.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let text = String::from_utf8(head).unwrap();
                let answer = cache.answer(origin, text.split(' ').nth(1).unwrap()).await;
                let _ = socket.write_all(&answer).await;
            });
        }
    });
    let mut viewers = tokio::task::JoinSet::new();
    for viewer in 0..100 {
        viewers.spawn(async move {
            let cmcd = format!("?CMCD=sid%3D%22viewer-{viewer}%22");
            let mut texts = Vec::new();
            for (base, list) in
                [("hls/", "master.m3u8"), ("hls/360p/", "index.m3u8"), ("dash/", "manifest.mpd")]
            {
                let answer = get(edge, &format!("/stream/film/{base}{list}{cmcd}")).await;
                assert_eq!(answer.status, 200, "{list}");
                texts.push(answer.text());
            }
            for name in uris(&texts[1]) {
                let answer = get(edge, &format!("/stream/film/hls/360p/{name}{cmcd}")).await;
                assert!(answer.status == 200 && answer.body.len() > 200_000, "{name}");
            }
            texts
        });
    }
    let texts: HashSet<_> = viewers.join_all().await.into_iter().collect();
    accepting.abort();
    assert_eq!(texts.len(), 1, "playlists are the same for everybody");
    let asked = cache.asked.lock().unwrap();
    assert_eq!(asked.len(), 6, "{asked:?}");
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");
}
