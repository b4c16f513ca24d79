//! The listening side: accepts connections and gives each its link.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::Instant,
};

use super::{
    args::{ProxyArgs, Share, TraceStart},
    fault::Faults,
    forward::{Connection, Context, serve},
    io::{Control, ShapedIo},
    journal::Journal,
    link::ShapedLink,
};
use crate::trace;

/// Kernel buffer towards a client. Small, so that it cannot hide the link; Linux doubles it.
const SEND_BUFFER: usize = 16 * 1024;
/// Links of clients that left are forgotten above this number.
const MAX_IDLE_LINKS: usize = 1024;
/// Connections at a time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 4096;

/// A running proxy; it stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Binds and starts serving on the current tokio runtime.
    pub async fn start(args: ProxyArgs) -> anyhow::Result<Self> {
        let trace = args.load_trace()?;
        // Another part of the program may have installed one; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .no_proxy()
            .connect_timeout(Duration::from_secs(3))
            .build()
            .context("setting up the connection to the upstream")?;
        let listener = TcpListener::bind(args.listen)
            .await
            .with_context(|| format!("listening on {}; is the port taken?", args.listen))?;
        let address = listener.local_addr().context("asking for the listening address")?;
        let now = Instant::now();
        let links = Links {
            trace: trace.as_ref().map(trace::Link::new),
            share: args.share,
            origin: (args.start == TraceStart::Now).then_some(now),
            by_client: Mutex::default(),
        };
        let context = Arc::new(Context {
            upstream: args.upstream,
            client,
            faults: Faults::new(args.faults, args.seed),
            journal: Arc::new(Journal::open(args.log.as_deref(), now)?),
            upstream_down: args.upstream_down,
            rewrite: args.rewrite,
        });
        let task = tokio::spawn(accept(listener, context, links));
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections' tasks belong to the accept loop's JoinSet and end with it.
        self.task.abort();
    }
}

/// Gives each connection its link.
#[derive(Debug)]
struct Links {
    trace: Option<trace::Link>,
    share: Share,
    origin: Option<Instant>,
    by_client: Mutex<HashMap<Option<IpAddr>, Arc<ShapedLink>>>,
}

impl Links {
    fn get(&self, peer: SocketAddr) -> Option<Arc<ShapedLink>> {
        let trace = self.trace.as_ref()?;
        let new = || Arc::new(ShapedLink::new(trace.clone(), self.origin));
        let key = match self.share {
            Share::Connection => return Some(new()),
            Share::Client => Some(peer.ip().to_canonical()),
            Share::All => None,
        };
        let mut links = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        if links.len() > MAX_IDLE_LINKS {
            links.retain(|_, link| Arc::strong_count(link) > 1);
        }
        Some(links.entry(key).or_insert_with(new).clone())
    }
}

async fn accept(listener: TcpListener, context: Arc<Context>, links: Links) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, peer)) => {
                connections.spawn(connection(stream, peer, context.clone(), links.get(peer)));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Most often there are no file descriptors left: trying again at once would only spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    context: Arc<Context>,
    link: Option<Arc<ShapedLink>>,
) {
    let _ = stream.set_nodelay(true);
    if let Some(link) = &link {
        if let Err(error) = socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER) {
            tracing::debug!(%error, "cannot make the send buffer small");
        }
        // One round trip for the connection's set-up.
        tokio::time::sleep(link.latency(Instant::now())).await;
    }
    let control = Arc::new(Control::default());
    let io = ShapedIo::new(stream, link.clone(), control.clone());
    let about = Connection { peer, link, control: control.clone() };
    let service = service_fn(move |request| serve(context.clone(), about.clone(), request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(64 * 1024)
        .half_close(false)
        .serve_connection(TokioIo::new(io), service)
        .await;
    if let Err(error) = served
        && !control.is_reset()
    {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}
