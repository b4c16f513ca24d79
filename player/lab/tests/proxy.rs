//! The proxy on real sockets: what a client gets through it, and when.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use url::Url;
use weir_lab::proxy::{Proxy, ProxyArgs, UpstreamDown};

type Body = http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>;

fn full(data: impl Into<Bytes>) -> Body {
    Full::new(data.into()).boxed()
}

/// Serves `/bytes/N`, `/chunked`, `/head`, `/echo`, `/manifest.m3u8` and `/moved`; remembers request heads.
async fn answer(
    seen: Arc<Mutex<Vec<String>>>,
    address: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, hyper::Error> {
    let path = request.uri().path_and_query().unwrap().to_string();
    seen.lock().unwrap().push(format!("{} {path} {:?}", request.method(), request.headers()));
    let mut response = Response::new(full(""));
    if let Some(count) = path.strip_prefix("/bytes/") {
        let count: usize = count.split('?').next().unwrap().parse().unwrap();
        if request.headers().contains_key("range") {
            *response.status_mut() = hyper::StatusCode::PARTIAL_CONTENT;
            response.headers_mut().insert("content-range", "bytes 1-3/10".parse().unwrap());
            *response.body_mut() = full("bcd");
        } else if request.headers().contains_key("if-none-match") {
            *response.status_mut() = hyper::StatusCode::NOT_MODIFIED;
        } else if request.method() == "HEAD" {
            response.headers_mut().insert("content-length", count.into());
        } else {
            *response.body_mut() = full(vec![b'x'; count]);
        }
    } else if path == "/chunked" {
        let pieces = ["one ", "two ", "three"].map(|p| {
            Ok::<_, std::convert::Infallible>(hyper::body::Frame::data(Bytes::from_static(p.as_bytes())))
        });
        *response.body_mut() = StreamBody::new(futures_util::stream::iter(pieces)).boxed();
    } else if path == "/echo" {
        let body = request.into_body().collect().await?.to_bytes();
        *response.body_mut() = full(body);
    } else if path == "/manifest.m3u8" {
        *response.body_mut() = full(format!("#EXTM3U\nhttp://{address}/a.ts\nb.ts\n"));
    } else if path == "/moved" {
        *response.status_mut() = hyper::StatusCode::FOUND;
        response.headers_mut().insert("location", format!("http://{address}/chunked").parse().unwrap());
    } else {
        *response.status_mut() = hyper::StatusCode::NOT_FOUND;
    }
    Ok(response)
}

struct Upstream {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Upstream {
    async fn start_at(address: SocketAddr) -> Self {
        // A port that was just left may take a moment to become free.
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let memory = seen.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let memory = memory.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(memory.clone(), address, request));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, seen, task }
    }

    async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    fn url(&self) -> Url {
        format!("http://{}", self.address).parse().unwrap()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn proxy(upstream: &Upstream, change: impl FnOnce(&mut ProxyArgs)) -> Proxy {
    let mut args = ProxyArgs::new(upstream.url());
    change(&mut args);
    Proxy::start(args).await.unwrap()
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

fn url(proxy: &Proxy, path: &str) -> String {
    format!("http://{}{path}", proxy.address())
}

/// Downloads and gives the arrival of each byte count, seconds since `start`.
async fn arrivals(client: &reqwest::Client, url: String, start: Instant) -> Vec<(f64, usize)> {
    let mut response = client.get(url).send().await.unwrap();
    let mut got = 0;
    let mut arrivals = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        got += chunk.len();
        arrivals.push((start.elapsed().as_secs_f64(), got));
    }
    arrivals
}

fn received_until(arrivals: &[(f64, usize)], time: f64) -> usize {
    arrivals.iter().take_while(|(t, _)| *t <= time).last().map_or(0, |(_, got)| *got)
}

fn trace_file(points: &[(u32, u32)]) -> tempfile::NamedTempFile {
    use std::io::Write as _;
    let points: Vec<String> = points.iter().map(|(ms, kbps)| format!("[{ms},{kbps},0]")).collect();
    let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
    writeln!(file, "{{\"name\":\"t\",\"points\":[{}]}}", points.join(",")).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn goodput_is_within_five_percent_of_the_rate() {
    let upstream = Upstream::start().await;
    for kbps in [600.0, 4000.0] {
        let proxy = proxy(&upstream, |args| args.rate = Some(kbps)).await;
        let bytes = (kbps * 1000.0 / 8.0 * 3.5) as usize;
        let start = Instant::now();
        let got = arrivals(&client(), url(&proxy, &format!("/bytes/{bytes}")), start).await;
        let took = start.elapsed().as_secs_f64();
        assert_eq!(got.last().unwrap().1, bytes);
        let measured = bytes as f64 * 8.0 / 1000.0 / took;
        assert!((measured / kbps - 1.0).abs() < 0.05, "{measured:.0} instead of {kbps} kbit/s");
        // It arrives steadily, as from a real link.
        for (time, bytes) in [(1.0, bytes as f64 / 3.5), (2.0, bytes as f64 / 3.5 * 2.0)] {
            let share = received_until(&got, time) as f64 / bytes;
            assert!((0.85..1.1).contains(&share), "{share} after {time} s");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_steps_of_a_trace_are_followed_and_it_starts_over() {
    let upstream = Upstream::start().await;
    let file = trace_file(&[(1000, 4000), (1000, 800)]);
    let proxy = proxy(&upstream, |args| args.trace = Some(file.path().display().to_string())).await;
    // The trace starts with the first request, not with the proxy.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let start = Instant::now();
    let got = arrivals(&client(), url(&proxy, "/bytes/1200000"), start).await;
    for (from, to, kbps) in [(0.1, 0.9, 4000.0), (1.1, 1.9, 800.0), (2.1, 2.9, 4000.0), (3.1, 3.5, 800.0)] {
        let bits = (received_until(&got, to) - received_until(&got, from)) as f64 * 8.0;
        let measured = bits / (to - from) / 1000.0;
        assert!((measured / kbps - 1.0).abs() < 0.25, "{measured:.0} instead of {kbps} kbit/s from {from} s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_lets_nothing_through() {
    let upstream = Upstream::start().await;
    let file = trace_file(&[(500, 2000), (1500, 0), (60_000, 2000)]);
    let proxy = proxy(&upstream, |args| args.trace = Some(file.path().display().to_string())).await;
    let start = Instant::now();
    let got = arrivals(&client(), url(&proxy, "/bytes/250000"), start).await;
    let before = received_until(&got, 0.65);
    let after = received_until(&got, 1.9);
    assert!(before > 80_000, "{before}");
    assert!(after - before < 12_000, "{before} {after}");
    let end = got.last().unwrap().0;
    assert!((2.4..3.0).contains(&end), "{end}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latency_is_added_to_each_request() {
    let upstream = Upstream::start().await;
    let proxy = proxy(&upstream, |args| {
        args.rate = Some(50_000.0);
        args.latency = Some(Duration::from_millis(150));
    })
    .await;
    let client = client();
    let first = Instant::now();
    client.get(url(&proxy, "/bytes/10")).send().await.unwrap().bytes().await.unwrap();
    let first = first.elapsed();
    let again = Instant::now();
    client.get(url(&proxy, "/bytes/10")).send().await.unwrap().bytes().await.unwrap();
    let again = again.elapsed();
    // The first request also pays for the connection's set-up.
    assert!(first >= Duration::from_millis(300), "{first:?}");
    assert!(again >= Duration::from_millis(150) && again < Duration::from_millis(290), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_connections_of_a_client_share_one_link() {
    let upstream = Upstream::start().await;
    let proxy = proxy(&upstream, |args| args.rate = Some(4000.0)).await;
    let start = Instant::now();
    let (one, two) = (client(), client());
    let (a, b) = tokio::join!(
        arrivals(&one, url(&proxy, "/bytes/800000"), start),
        arrivals(&two, url(&proxy, "/bytes/800000"), start)
    );
    let took = start.elapsed().as_secs_f64();
    assert!((took / 3.2 - 1.0).abs() < 0.06, "{took}");
    let (a, b) = (received_until(&a, 1.6) as f64, received_until(&b, 1.6) as f64);
    assert!((a / b - 1.0).abs() < 0.25, "unfair: {a} and {b}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_pass_through_unchanged() {
    let upstream = Upstream::start().await;
    let proxy = proxy(&upstream, |_| {}).await;
    let client = client();
    let response =
        client.get(url(&proxy, "/bytes/10?a=b%20c")).header("range", "bytes=1-3").send().await.unwrap();
    assert_eq!(response.status(), 206);
    assert_eq!(response.headers()["content-range"], "bytes 1-3/10");
    assert_eq!(response.text().await.unwrap(), "bcd");
    let response =
        client.get(url(&proxy, "/bytes/10")).header("if-none-match", "\"e\"").send().await.unwrap();
    assert_eq!(response.status(), 304);
    let response = client.head(url(&proxy, "/bytes/123")).send().await.unwrap();
    assert_eq!(response.headers()["content-length"], "123");
    let response = client.get(url(&proxy, "/chunked")).send().await.unwrap();
    assert_eq!(response.headers()["transfer-encoding"], "chunked");
    assert_eq!(response.text().await.unwrap(), "one two three");
    let response = client.post(url(&proxy, "/echo")).body("up").send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "up");
    assert_eq!(client.get(url(&proxy, "/none")).send().await.unwrap().status(), 404);
    let response = client.get(url(&proxy, "/moved")).send().await.unwrap();
    assert_eq!(response.headers()["location"], url(&proxy, "/chunked").as_str());
    let seen = upstream.seen.lock().unwrap().join("\n");
    assert!(seen.contains("GET /bytes/10?a=b%20c"), "{seen}");
    assert!(seen.contains("bytes=1-3"), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manifests_are_rewritten_only_if_asked_to() {
    let upstream = Upstream::start().await;
    let plain = proxy(&upstream, |_| {}).await;
    let rewriting = proxy(&upstream, |args| args.rewrite = true).await;
    let client = client();
    let text = client.get(url(&plain, "/manifest.m3u8")).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, format!("#EXTM3U\nhttp://{}/a.ts\nb.ts\n", upstream.address));
    let text = client.get(url(&rewriting, "/manifest.m3u8")).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, format!("#EXTM3U\nhttp://{}/a.ts\nb.ts\n", rewriting.address()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_hit_the_requests_that_they_name() {
    let upstream = Upstream::start().await;
    let proxy = proxy(&upstream, |args| {
        args.faults =
            ["503@/bytes/11#2", "truncate=40%@/bytes/1000", "reset@/bytes/13", "corrupt@/bytes/128"]
                .map(|fault| fault.parse().unwrap())
                .to_vec();
        args.faults.push("stall@/bytes/2000".parse().unwrap());
    })
    .await;
    let client = client();
    for status in [200, 503, 200] {
        assert_eq!(client.get(url(&proxy, "/bytes/11")).send().await.unwrap().status(), status);
    }
    let mut response = client.get(url(&proxy, "/bytes/1000")).send().await.unwrap();
    assert_eq!(response.headers()["content-length"], "1000");
    let mut got = 0;
    let error = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => got += chunk.len(),
            Ok(None) => panic!("the body ended as if it were whole"),
            Err(error) => break error,
        }
    };
    assert_eq!(got, 400, "{error}");
    assert!(client.get(url(&proxy, "/bytes/13")).send().await.is_err());
    let body = client.get(url(&proxy, "/bytes/128")).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(body.iter().filter(|byte| **byte != b'x').count(), 2);
    let mut response = client.get(url(&proxy, "/bytes/2000")).send().await.unwrap();
    let stalled = tokio::time::timeout(Duration::from_millis(700), async {
        while response.chunk().await.unwrap().is_some() {}
    });
    assert!(stalled.await.is_err(), "the body ended in spite of the stall");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_is_a_tcp_reset() {
    let upstream = Upstream::start().await;
    let proxy = proxy(&upstream, |args| args.faults = vec!["reset@*".parse().unwrap()]).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let error = stream.read(&mut [0; 64]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_server_gives_502_and_recovers_when_it_is_back() {
    let upstream = Upstream::start().await;
    let address = upstream.address;
    let proxy_502 = proxy(&upstream, |_| {}).await;
    let proxy_reset = proxy(&upstream, |args| args.upstream_down = UpstreamDown::Reset).await;
    let client = client();
    assert_eq!(client.get(url(&proxy_502, "/bytes/5")).send().await.unwrap().status(), 200);
    upstream.task.abort();
    drop(upstream);
    let start = Instant::now();
    loop {
        // A connection that was open may still be answered.
        if client.get(url(&proxy_502, "/bytes/5")).send().await.unwrap().status() == 502 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    assert!(client.get(url(&proxy_reset, "/bytes/5")).send().await.is_err());
    let _upstream = Upstream::start_at(address).await;
    for proxy in [&proxy_502, &proxy_reset] {
        assert_eq!(client.get(url(proxy, "/bytes/5")).send().await.unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_logged_once_with_what_became_of_it() {
    let upstream = Upstream::start().await;
    let log = tempfile::NamedTempFile::new().unwrap();
    let proxy = proxy(&upstream, |args| {
        args.log = Some(log.path().to_owned());
        args.faults = vec!["truncate=10@/bytes/300".parse().unwrap()];
    })
    .await;
    let client = client();
    client.get(url(&proxy, "/bytes/500")).send().await.unwrap().bytes().await.unwrap();
    client.get(url(&proxy, "/chunked")).send().await.unwrap().bytes().await.unwrap();
    assert!(client.get(url(&proxy, "/bytes/300")).send().await.unwrap().bytes().await.is_err());
    let lines = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(log.path()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let start = Instant::now();
    while lines().len() < 3 && start.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let lines = lines();
    let about: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["url"].as_str().unwrap(),
                line["bytes"].as_u64().unwrap(),
                line["complete"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(about, [("/bytes/500", 500, true), ("/chunked", 13, true), ("/bytes/300", 10, false)]);
    assert_eq!(lines[0]["status"], 200);
}
