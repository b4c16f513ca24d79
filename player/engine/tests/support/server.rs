//! A web server on the loopback that can be told to misbehave.

use std::{
    collections::HashMap,
    convert::Infallible,
    io::Write as _,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, runtime::Runtime, task::JoinSet};
use url::Url;

type Body = BoxBody<Bytes, std::io::Error>;
type Dynamic = Arc<dyn Fn() -> String + Send + Sync>;

/// What to do instead of answering well.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answer with this status.
    Status(u16),
    /// Announce all, send half, close.
    Truncate,
    /// Send noise of the right length.
    Noise,
    /// Wait so long first.
    Delay(Duration),
    /// Send so many bytes every 10 ms.
    Slow(usize),
    /// Too busy: come again in so many seconds.
    Busy(u64),
    /// Send it without saying how long it is.
    Unsized,
    /// Compress it, asked to or not.
    Gzip,
    /// It is elsewhere, at this address relative to its own.
    Moved(&'static str),
}

#[derive(Clone)]
enum Page {
    Fixed(Bytes),
    Dynamic(Dynamic),
}

#[derive(Default)]
struct Inner {
    pages: HashMap<String, Page>,
    /// Part of a path, what to do, how often.
    faults: Vec<(String, Fault, u32)>,
    requests: Vec<String>,
    /// What `Authorization` must be.
    authorization: Option<String>,
}

/// What is served; outlives a server that is stopped.
#[derive(Clone, Default)]
pub struct Site(Arc<Mutex<Inner>>);

impl Site {
    pub fn put(&self, path: &str, body: impl Into<Bytes>) {
        self.0.lock().unwrap().pages.insert(path.to_owned(), Page::Fixed(body.into()));
    }

    /// A page that is made anew for each request.
    pub fn put_dynamic(&self, path: &str, page: impl Fn() -> String + Send + Sync + 'static) {
        self.0.lock().unwrap().pages.insert(path.to_owned(), Page::Dynamic(Arc::new(page)));
    }

    /// Writes all fixed pages below `folder`.
    pub fn save(&self, folder: &Path) {
        for (path, page) in &self.0.lock().unwrap().pages {
            if let Page::Fixed(bytes) = page {
                let file = folder.join(path.trim_start_matches('/'));
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, bytes).unwrap();
            }
        }
    }

    pub fn text(&self, path: &str) -> String {
        String::from_utf8(self.bytes(path).to_vec()).unwrap()
    }

    pub fn bytes(&self, path: &str) -> Bytes {
        match &self.0.lock().unwrap().pages[path] {
            Page::Fixed(bytes) => bytes.clone(),
            Page::Dynamic(page) => page().into(),
        }
    }

    /// A fixed page, if there is one of that name.
    pub fn get(&self, path: &str) -> Option<Bytes> {
        match self.0.lock().unwrap().pages.get(path)? {
            Page::Fixed(bytes) => Some(bytes.clone()),
            Page::Dynamic(_) => None,
        }
    }

    /// The next `times` requests whose path contains `part` go wrong.
    pub fn fault(&self, part: &str, fault: Fault, times: u32) {
        self.0.lock().unwrap().faults.push((part.to_owned(), fault, times));
    }

    /// Only requests with this `Authorization` are answered from now on.
    pub fn require(&self, authorization: &str) {
        self.0.lock().unwrap().authorization = Some(authorization.to_owned());
    }

    /// Everything goes well from now on.
    pub fn mend(&self) {
        self.0.lock().unwrap().faults.clear();
    }

    /// Paths that were asked for, in order.
    pub fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().requests.clone()
    }

    fn take_fault(&self, path: &str) -> Option<Fault> {
        let faults = &mut self.0.lock().unwrap().faults;
        let fault = faults.iter_mut().find(|(part, _, times)| *times > 0 && path.contains(part.as_str()))?;
        fault.2 -= 1;
        Some(fault.1.clone())
    }

    async fn answer(&self, path: &str) -> Response<Body> {
        self.0.lock().unwrap().requests.push(path.to_owned());
        let fault = self.take_fault(path);
        if let Some(Fault::Delay(time)) = fault {
            tokio::time::sleep(time).await;
        }
        let page = self.0.lock().unwrap().pages.get(path).cloned();
        let bytes = match page {
            Some(Page::Fixed(bytes)) => bytes,
            Some(Page::Dynamic(page)) => page().into(),
            None if matches!(fault, Some(Fault::Moved(_))) => Bytes::new(),
            None => return status(404),
        };
        match fault {
            Some(Fault::Status(code)) => status(code),
            Some(Fault::Noise) => {
                let noise: Vec<u8> =
                    (0..bytes.len()).map(|at| (at as u32).wrapping_mul(2_654_435_761) as u8).collect();
                whole(noise.into())
            }
            Some(Fault::Truncate) => {
                let half = bytes.slice(..bytes.len() / 2);
                let cut = async {
                    // Lets the half arrive first.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Err(std::io::Error::other("the test cuts this body"))
                };
                let frames = stream::once(async { Ok(Frame::data(half)) }).chain(stream::once(cut));
                Response::builder()
                    .header(CONTENT_LENGTH, bytes.len())
                    .body(BodyExt::boxed(StreamBody::new(frames)))
                    .unwrap()
            }
            Some(Fault::Slow(piece)) => {
                let pieces: Vec<Bytes> = bytes.chunks(piece).map(Bytes::copy_from_slice).collect();
                let frames = stream::iter(pieces).then(|piece| async move {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    Ok(Frame::data(piece))
                });
                Response::builder()
                    .header(CONTENT_LENGTH, bytes.len())
                    .body(BodyExt::boxed(StreamBody::new(frames)))
                    .unwrap()
            }
            Some(Fault::Busy(seconds)) => {
                let mut response = status(503);
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
                response
            }
            Some(Fault::Unsized) => {
                let pieces: Vec<Bytes> = bytes.chunks(10_000).map(Bytes::copy_from_slice).collect();
                let frames = stream::iter(pieces).map(|piece| Ok(Frame::data(piece)));
                Response::new(BodyExt::boxed(StreamBody::new(frames)))
            }
            Some(Fault::Gzip) => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&bytes).unwrap();
                let mut response = whole(encoder.finish().unwrap().into());
                response.headers_mut().insert(CONTENT_ENCODING, "gzip".parse().unwrap());
                response
            }
            Some(Fault::Moved(to)) => {
                let mut response = status(302);
                response.headers_mut().insert(LOCATION, to.parse().unwrap());
                response
            }
            Some(Fault::Delay(_)) | None => {
                let mut response = whole(bytes);
                if path.ends_with(".m3u8") {
                    let kind = "application/vnd.apple.mpegurl".parse().unwrap();
                    response.headers_mut().insert(CONTENT_TYPE, kind);
                }
                response
            }
        }
    }
}

fn whole(bytes: Bytes) -> Response<Body> {
    Response::new(Full::new(bytes).map_err(|never: Infallible| match never {}).boxed())
}

fn status(code: u16) -> Response<Body> {
    let mut response = whole(Bytes::new());
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

/// A running server; dropping it closes its port and its connections.
pub struct Server {
    runtime: Option<Runtime>,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(site: &Site) -> Self {
        Self::start_at(site, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// On a given port: a server that comes back.
    pub fn start_at(site: &Site, address: SocketAddr) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        // Bound outside the runtime, so that tests that run on one themselves can start a server too.
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn({
            let site = site.clone();
            async move { serve(TcpListener::from_std(listener).unwrap(), site).await }
        });
        Self { runtime: Some(runtime), address }
    }

    pub fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Blocks, which a thread that runs a runtime may not.
            let stop = move || runtime.shutdown_timeout(Duration::from_secs(1));
            std::thread::spawn(stop).join().unwrap();
        }
    }
}

async fn serve(listener: TcpListener, site: Site) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        let site = site.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let site = site.clone();
            async move {
                let wanted = site.0.lock().unwrap().authorization.clone();
                let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
                let refused = wanted.is_some() && wanted.as_deref() != given;
                Ok::<_, Infallible>(match refused {
                    true => status(401),
                    false => site.answer(request.uri().path()).await,
                })
            }
        });
        connections.spawn(async move {
            // A connection that the client closes is no news.
            let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(connection), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}
