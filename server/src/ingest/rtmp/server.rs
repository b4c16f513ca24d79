//! Accepts publishers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Connection, Socket};
use super::limits::{Connections, RtmpLimits, WrongKeys};
use crate::app::App;
use crate::http::Tls;

/// Wait after a failed accept, which means that there are no descriptors left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
/// Time that connections have to end when the server stops.
const GOODBYE: Duration = Duration::from_secs(3);

/// Accepts publishers.
#[derive(Debug)]
pub struct RtmpServer {
    listener: TcpListener,
    address: SocketAddr,
    limits: RtmpLimits,
    tls: Option<Arc<Tls>>,
}

/// What the connections of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) app: Arc<App>,
    pub(super) limits: RtmpLimits,
    pub(super) wrong_keys: WrongKeys,
}

impl RtmpServer {
    /// Binds the address; connections are accepted by [`serve`](Self::serve).
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(address: SocketAddr, limits: RtmpLimits) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, limits, tls: None })
    }

    /// Speaks RTMPS with this certificate, the one that is current at each connection.
    #[must_use]
    pub fn with_tls(self, tls: Arc<Tls>) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// The address with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts publishers for `app` until `stop`.
    pub async fn serve(self, app: Arc<App>, stop: CancellationToken) {
        app.set_rtmp_address(self.address, self.tls.is_some());
        let acceptor = self.tls.as_ref().map(|tls| tls.plain_acceptor());
        let connections = Connections::default();
        let wrong_keys = WrongKeys::new(self.limits.wrong_keys, self.limits.wrong_keys_window);
        let shared = Arc::new(Shared { app, limits: self.limits, wrong_keys });
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an RTMP connection");
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(ACCEPT_AGAIN) => continue,
                    }
                }
            };
            let Some(place) = connections.enter(peer.ip(), &shared.limits) else {
                tracing::debug!(%peer, "an RTMP connection is refused: too many");
                continue;
            };
            let (shared, stop, acceptor) = (Arc::clone(&shared), stop.clone(), acceptor.clone());
            tasks.spawn(async move {
                let _place = place;
                run(&shared, socket, acceptor, peer, &stop).await;
            });
        }
        tasks.close();
        if tokio::time::timeout(GOODBYE, tasks.wait()).await.is_err() {
            tracing::warn!("RTMP connections are cut at the end");
        }
    }
}

async fn run(
    shared: &Shared,
    socket: TcpStream,
    acceptor: Option<TlsAcceptor>,
    peer: SocketAddr,
    stop: &CancellationToken,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot turn Nagle's algorithm off");
    }
    let socket: Box<dyn Socket> = match acceptor {
        None => Box::new(socket),
        Some(acceptor) => {
            let shaken = tokio::select! {
                () = stop.cancelled() => return,
                shaken = tokio::time::timeout(shared.limits.handshake, acceptor.accept(socket)) => shaken,
            };
            match shaken {
                Ok(Ok(socket)) => Box::new(socket),
                Ok(Err(error)) => return tracing::debug!(%peer, %error, "an RTMPS handshake failed"),
                Err(_) => return tracing::debug!(%peer, "an RTMPS handshake took too long"),
            }
        }
    };
    let mut connection = Connection::new(shared, socket, peer);
    match connection.run(stop).await {
        Ok(why) => tracing::debug!(%peer, why, "an RTMP connection ended"),
        Err(error) if connection.was_publishing() => {
            tracing::warn!(%peer, %error, "an RTMP publisher's connection failed");
        }
        Err(error) => tracing::debug!(%peer, %error, "an RTMP connection failed"),
    }
}
