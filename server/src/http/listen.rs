//! The accept loop: HTTP/1.1 and HTTP/2 with timers and caps, and an orderly end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr, TcpStream as Plain};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{io, mem};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::io::{ConnectionTimers, TimedStream};
use super::lanes::{self, Accepting, Lane};
use super::tls::Tls;

/// What a connection may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A request's head must be complete within this time.
    pub head: Duration,
    /// A kept-alive connection without a request is closed after this time.
    pub idle: Duration,
    /// A connection whose peer takes no data for this long is closed.
    pub stall: Duration,
    /// A request whose body stops coming for this long is ended.
    pub body: Duration,
    /// Largest head in bytes (at least 8192).
    pub head_bytes: usize,
    /// Connections at the same time, all in all.
    pub connections: usize,
    /// Connections at the same time from one address.
    pub per_address: usize,
    /// Time that open requests get at the end before they are cut.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(30),
            body: Duration::from_secs(30),
            head_bytes: 32 * 1024,
            connections: 10_000,
            per_address: 1_024,
            grace: Duration::from_secs(8),
        }
    }
}

/// Who is at the other end; handlers find it among the request's extensions.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Address of the socket's other end.
    pub address: SocketAddr,
    /// Whether what is written goes out as it is, not encrypted.
    pub plain: bool,
    /// Timers of the connection.
    pub timers: Arc<ConnectionTimers>,
}

/// How many connections there may be; may be changed while the server runs.
#[derive(Debug)]
pub struct Caps {
    connections: AtomicUsize,
    per_address: AtomicUsize,
}

impl Caps {
    /// Takes the caps of `limits` from now on; connections past a lower cap stay.
    pub fn set(&self, limits: &Limits) {
        self.connections.store(limits.connections, Ordering::Relaxed);
        self.per_address.store(limits.per_address, Ordering::Relaxed);
    }
}

/// What answers requests.
pub trait Answer: Clone + Send + Sync + 'static {
    /// The answer to one request of `peer`.
    fn answer(&self, peer: Peer, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

impl Answer for Router {
    async fn answer(&self, peer: Peer, request: Request<Incoming>) -> Response<Body> {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        match self.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// A bound address that is ready to serve.
#[derive(Debug)]
pub struct Listener {
    lanes: Vec<Lane>,
    address: SocketAddr,
    limits: Limits,
    caps: Arc<Caps>,
    tls: Option<Arc<Tls>>,
}

impl Listener {
    /// Binds `address`; port 0 lets the system choose.
    ///
    /// # Errors
    /// When the address is taken or not ours, or the system gives no more descriptors.
    pub async fn bind(address: SocketAddr, limits: Limits) -> io::Result<Self> {
        let (lanes, address) = lanes::bind(address)?;
        let caps = Caps {
            connections: AtomicUsize::new(limits.connections),
            per_address: AtomicUsize::new(limits.per_address),
        };
        Ok(Self { lanes, address, limits, caps: Arc::new(caps), tls: None })
    }

    /// Speaks TLS, and nothing else, on this socket.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<Tls>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The address that it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The caps on connections, for changing them later.
    pub fn caps(&self) -> Arc<Caps> {
        Arc::clone(&self.caps)
    }

    /// Serves until `stop` is cancelled, then lets open requests finish within the grace time. Connections live on threads
    /// of their own, one a processor.
    pub async fn serve(self, site: impl Answer, stop: CancellationToken) {
        let Self { lanes, limits, caps, tls, .. } = self;
        // Whoever lets go of this future ends the threads too.
        let stop = stop.child_token();
        let _end = stop.clone().drop_guard();
        let places = Arc::<Places>::default();
        let mut ends = Vec::new();
        for (number, lane) in lanes.into_iter().enumerate() {
            let server = Arc::new(Server {
                site: site.clone(),
                builder: protocols(&limits),
                places: Arc::clone(&places),
                limits,
                caps: Arc::clone(&caps),
                tls: tls.clone(),
                stop: stop.child_token(),
            });
            match lane.start(number, move |socket| server.serve(socket)) {
                Ok(end) => ends.push(end),
                Err(error) => tracing::error!(%error, "cannot start a thread for connections"),
            }
        }
        for end in ends {
            let _ = end.await;
        }
    }
}

/// What one of the threads that serve connections needs; each has its own, so that they share as little as can be.
struct Server<S> {
    site: S,
    builder: auto::Builder<TokioExecutor>,
    places: Arc<Places>,
    limits: Limits,
    caps: Arc<Caps>,
    tls: Option<Arc<Tls>>,
    stop: CancellationToken,
}

impl<S: Answer> Server<S> {
    async fn serve(self: Arc<Self>, listener: Accepting) {
        let graceful = GracefulShutdown::new();
        let mut stopped = pin!(self.stop.cancelled());
        // Where the next connection begins.
        let mut start = Box::pin(None);
        loop {
            let accepted = poll_fn(|cx| match stopped.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => listener.poll_next(cx).map(Some),
            });
            let (socket, address) = match accepted.await {
                Some(Ok(accepted)) => accepted,
                Some(Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of descriptors is the usual cause: give others time to close.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                None => break,
            };
            let Some(connection) = self.take(socket, address, &graceful) else { continue };
            if let Some(tls) = &self.tls {
                tokio::spawn(connection.secured(tls.acceptor()));
                continue;
            }
            // It comes with its request: one that is for that alone is mostly over here, and needs no task.
            let address = connection.peer.address;
            let connection = AssertUnwindSafe(connection.plain()).catch_unwind().map(move |end| {
                // One connection's end is no other's.
                if end.is_err() {
                    tracing::error!(%address, "serving a connection failed");
                }
            });
            start.as_mut().set(Some(connection));
            let over = poll_fn(|cx| Poll::Ready(poll_started(start.as_mut(), cx).is_ready()));
            if !over.await {
                let mut started = mem::replace(&mut start, Box::pin(None));
                tokio::spawn(poll_fn(move |cx| poll_started(started.as_mut(), cx)));
            }
        }
        drop(listener);
        if tokio::time::timeout(self.limits.grace, graceful.shutdown()).await.is_err() {
            tracing::warn!(seconds = self.limits.grace.as_secs(), "cutting the requests that are still open");
        }
    }

    /// A connection, when there is a place for it.
    fn take(
        self: &Arc<Self>,
        socket: Plain,
        address: SocketAddr,
        graceful: &GracefulShutdown,
    ) -> Option<Connection<S>> {
        let Some(place) = self.places.take(address.ip(), &self.caps) else {
            // A handshake only to say no would be work that the cap is there to spare.
            if self.tls.is_none() {
                tokio::spawn(turn_away(socket));
            }
            return None;
        };
        let timers = ConnectionTimers::new(self.limits.head, self.limits.idle, self.limits.stall);
        let peer = Peer { address, plain: self.tls.is_none(), timers: Arc::clone(&timers) };
        let io = TimedStream::new(socket, timers);
        Some(Connection { server: Arc::clone(self), io, peer, watcher: graceful.watcher(), _place: place })
    }
}

/// Goes on with what was started; over, it is nothing any more.
fn poll_started(mut start: Pin<&mut Option<impl Future<Output = ()>>>, cx: &mut Context<'_>) -> Poll<()> {
    if let Some(started) = start.as_mut().as_pin_mut() {
        ready!(started.poll(cx));
    }
    start.set(None);
    Poll::Ready(())
}

fn protocols(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // The socket below has timers of its own.
        .header_read_timeout(None)
        .max_buf_size(limits.head_bytes.max(8192))
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.head_bytes as u32)
        .max_concurrent_streams(128)
        // What clients may send before we take it: requests are small, and an upload needs no more to fill a line.
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        // Streams that are opened and reset at once cost more than they look (CVE-2023-44487).
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(256)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// One accepted connection and what answers it.
struct Connection<S> {
    server: Arc<Server<S>>,
    io: TimedStream,
    peer: Peer,
    watcher: Watcher,
    _place: Place,
}

impl<S: Answer> Connection<S> {
    async fn plain(self) {
        let Self { server, io, peer, watcher, _place } = self;
        speak(&server, io, peer, watcher).await;
    }

    async fn secured(self, acceptor: TlsAcceptor) {
        let Self { server, io, peer, watcher, _place } = self;
        // The head's timer of the socket below bounds the handshake too.
        let handshake = tokio::select! {
            () = server.stop.cancelled() => return,
            handshake = acceptor.accept(io) => handshake,
        };
        match handshake {
            Ok(secured) => speak(&server, secured, peer, watcher).await,
            Err(error) => tracing::debug!(%error, address = %peer.address, "TLS handshake failed"),
        }
    }
}

/// HTTP over a connection, to its end.
async fn speak<I>(server: &Server<impl Answer>, io: I, peer: Peer, watcher: Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (site, address) = (server.site.clone(), peer.address);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        // At once, not with the first poll: before that hyper looks for what comes behind the request, and waiting for
        // that would be timed.
        let open = OpenRequest::begin(&peer.timers, request.version());
        answer(site.clone(), peer.clone(), request, open)
    });
    let connection = server.builder.serve_connection(TokioIo::new(io), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, %address, "connection ended early");
    }
}

async fn answer(
    site: impl Answer,
    peer: Peer,
    request: Request<Incoming>,
    open: OpenRequest,
) -> Result<Response<CountedBody>, Infallible> {
    let last = is_last(&request);
    let response = site.answer(peer, request).await;
    // A body of unknown length comes by and by, and each piece of it at once.
    if last && http_body::Body::size_hint(response.body()).exact().is_some() {
        open.0.ends_with_answer();
    }
    Ok(response.map(|body| CountedBody { body, _open: open }))
}

/// Whether this is a request without a body after which the client wants the connection closed (RFC 9112, section 9.3).
fn is_last(request: &Request<Incoming>) -> bool {
    let says = |word: &str| {
        let values = request.headers().get_all(hyper::header::CONNECTION).iter();
        let mut words = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        words.any(|given| given.trim().eq_ignore_ascii_case(word))
    };
    // Whose body is refused learns why before anything else becomes of the connection.
    if !http_body::Body::is_end_stream(request.body()) {
        return false;
    }
    match request.version() {
        hyper::Version::HTTP_11 => says("close"),
        hyper::Version::HTTP_10 => !says("keep-alive"),
        _ => false,
    }
}

/// Too many connections: says so and closes, without reading a byte.
async fn turn_away(socket: Plain) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
        Content-Length: 0\r\n\r\n";
    let sent = tokio::time::timeout(Duration::from_secs(1), async {
        let mut socket = TcpStream::from_std(socket)?;
        socket.write_all(ANSWER).await?;
        socket.shutdown().await
    });
    if !matches!(sent.await, Ok(Ok(()))) {
        tracing::debug!("a connection past the cap left before its answer");
    }
}

/// Open connections by address.
#[derive(Debug, Default)]
struct Places(Mutex<(usize, HashMap<IpAddr, usize>)>);

/// One connection's place; free again when dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Places {
    fn take(self: &Arc<Self>, address: IpAddr, caps: &Caps) -> Option<Place> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, by_address) = &mut *guard;
        let here = by_address.get(&address).copied().unwrap_or(0);
        let (connections, per_address) =
            (caps.connections.load(Ordering::Relaxed), caps.per_address.load(Ordering::Relaxed));
        if *all >= connections || here >= per_address {
            return None;
        }
        *all += 1;
        by_address.insert(address, here + 1);
        Some(Place { places: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut guard = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, by_address) = &mut *guard;
        *all = all.saturating_sub(1);
        if let Some(here) = by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

/// A request that is open for the connection's timers until this is dropped, answered or not.
struct OpenRequest(Arc<ConnectionTimers>);

impl OpenRequest {
    fn begin(timers: &Arc<ConnectionTimers>, version: hyper::Version) -> Self {
        timers.request_begins(version == hyper::Version::HTTP_2);
        Self(Arc::clone(timers))
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.request_ends();
    }
}

/// A response body that tells the connection when it is over.
struct CountedBody {
    body: Body,
    _open: OpenRequest,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_given_up_leaves_its_connection_idle() {
        let second = Duration::from_secs(1);
        let timers = ConnectionTimers::new(second, second, second);
        let open: Vec<_> = (0..2).map(|_| OpenRequest::begin(&timers, hyper::Version::HTTP_2)).collect();
        assert!(timers.read_deadline().is_none(), "what is answered is not timed");
        // As those of streams are that their client resets before there is an answer.
        drop(open);
        assert!(timers.read_deadline().is_some());
    }

    /// Does not survive every request.
    #[derive(Clone)]
    struct Fragile;

    impl Answer for Fragile {
        async fn answer(&self, _: Peer, request: Request<Incoming>) -> Response<Body> {
            assert_ne!(request.uri().path(), "/fail", "as a mistake of ours would");
            tokio::task::yield_now().await;
            assert_ne!(request.uri().path(), "/fail-later", "as a mistake of ours would");
            Response::new(Body::from("well"))
        }
    }

    #[tokio::test]
    async fn a_connection_that_fails_is_the_end_of_no_other() {
        use tokio::io::AsyncReadExt as _;

        let listener =
            Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Limits::default()).await.unwrap();
        let (address, stop) = (listener.address(), CancellationToken::new());
        let server = tokio::spawn(listener.serve(Fragile, stop.clone()));
        let ask = async |path: &str| {
            let mut socket = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // A reset is an end too.
            let _ = socket.read_to_end(&mut answer).await;
            String::from_utf8(answer).unwrap()
        };
        // Often enough for each of the threads that accept.
        for _ in 0..16 {
            assert_eq!(ask("/fail").await, "");
            assert_eq!(ask("/fail-later").await, "");
        }
        for _ in 0..16 {
            assert!(ask("/").await.ends_with("well"));
        }
        stop.cancel();
        server.await.unwrap();
    }
}
