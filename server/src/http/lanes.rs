//! Threads that serve connections, one a processor.
//!
//! A connection stays where it was accepted: what its requests touch stays in one processor's caches, and nobody wakes
//! another thread in order to answer. A pool whose threads take work from each other costs a segment a tenth more.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZero;
use std::os::fd::AsRawFd as _;
use std::task::{Context, Poll, ready};
use std::thread;

use rustix::net::SocketFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Connections that the kernel holds for a lane until it accepts them.
const BACKLOG: u32 = 1024;
/// How often the system is asked for a port of its choice before that is an error.
const TRIES: usize = 4;

/// A thread that is to be, with its socket.
#[derive(Debug)]
pub(super) struct Lane {
    /// There until the thread is, as the runtime is until the thread ends.
    socket: Option<TcpListener>,
    runtime: Option<Runtime>,
}

impl Drop for Lane {
    fn drop(&mut self) {
        // Whoever drops it may be a task, and those may not wait for a runtime to end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lanes for `address`, and the address itself; the kernel deals connections out among them. Port 0 lets the system choose.
///
/// # Errors
/// When the address is taken or not ours, or the system gives no more descriptors.
pub(super) fn bind(address: SocketAddr) -> io::Result<(Vec<Lane>, SocketAddr)> {
    let lanes = thread::available_parallelism().map_or(1, NonZero::get);
    let mut result = bind_all(address, lanes);
    for _ in 1..TRIES {
        match &result {
            // Somebody else was given the same port in between.
            Err(error) if address.port() == 0 && error.kind() == io::ErrorKind::AddrInUse => {
                result = bind_all(address, lanes);
            }
            _ => break,
        }
    }
    result
}

fn bind_all(address: SocketAddr, lanes: usize) -> io::Result<(Vec<Lane>, SocketAddr)> {
    // A socket that shares its address is not refused one at which another server of this user listens: ask with one that
    // does not.
    let alone = socket(address)?;
    alone.bind(address)?;
    let address = alone.local_addr()?;
    drop(alone);
    let lane = |_| {
        let socket = socket(address)?;
        socket.set_reuseport(true)?;
        // Accepted sockets have it from the one that listens.
        socket.set_nodelay(true)?;
        after_first_bytes(&socket)?;
        socket.bind(address)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Who was held for a part is let go before those who have it ask for more: a live stream's thread wakes a crowd
            // by the queue of what comes from other threads, which is else looked at every now and then only.
            .global_queue_interval(1)
            .build()?;
        Ok(Lane { socket: Some(socket.listen(BACKLOG)?.into_std()?), runtime: Some(runtime) })
    };
    Ok(((0..lanes).map(lane).collect::<io::Result<_>>()?, address))
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // What an earlier run left in TIME_WAIT is in nobody's way.
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

/// Has the kernel hand connections over with their first bytes (tcp(7), `TCP_DEFER_ACCEPT`): clients of HTTP and of TLS speak
/// first, and who is woken before that only sees that there is nothing yet, which costs a connection for one request more than
/// answering it does. Whose client keeps silent is handed over all the same, after about a second.
#[expect(unsafe_code, reason = "no crate at hand has this option")]
fn after_first_bytes(socket: &TcpSocket) -> io::Result<()> {
    let seconds: libc::c_int = 1;
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and the value outlives the call, which reads as many
    // bytes of it as it has.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of_val(&seconds) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A lane's socket at work.
pub(super) struct Accepting(AsyncFd<TcpListener>);

impl Accepting {
    #[expect(unsafe_code, reason = "tokio's own listener has each connection watched at once")]
    fn new(socket: TcpListener) -> io::Result<Self> {
        // SAFETY: a `TcpListener` owns its descriptor and keeps the same one, open, until it is dropped; what is put here is
        // not taken out again.
        let watched = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self(watched?))
    }

    /// The next connection: a socket that does not block, and that the runtime does not watch yet.
    ///
    /// # Errors
    /// When the system gives no more descriptors, or the connection is gone again.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            let accepted = ready.try_io(|socket| Ok(rustix::net::acceptfrom_with(socket, flags)?));
            let Ok(accepted) = accepted else { continue };
            let (socket, address) = accepted?;
            let address = address.and_then(|address| SocketAddr::try_from(address).ok());
            // As good as gone.
            let address = address.ok_or(io::ErrorKind::ConnectionAborted)?;
            return Poll::Ready(Ok((socket.into(), address)));
        }
    }
}

impl Lane {
    /// Starts its thread, which does `work`. What is given back resolves when that is over.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start<F>(
        mut self,
        number: usize,
        work: impl FnOnce(Accepting) -> F + Send + 'static,
    ) -> io::Result<oneshot::Receiver<()>>
    where
        F: Future<Output = ()>,
    {
        let (ended, end) = oneshot::channel();
        thread::Builder::new().name(format!("weir-http-{number}")).spawn(move || {
            if let (Some(socket), Some(runtime)) = (self.socket.take(), &self.runtime) {
                runtime.block_on(async {
                    match Accepting::new(socket) {
                        Ok(socket) => work(socket).await,
                        Err(error) => tracing::error!(%error, number, "cannot watch a socket"),
                    }
                });
            }
            // A blocking read that is still under way must not hold the end up.
            drop((self, ended));
        })?;
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;

    /// A lane's socket, and its address.
    fn listening() -> (Accepting, SocketAddr) {
        let (mut lanes, address) = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        lanes.truncate(1);
        (Accepting::new(lanes[0].socket.take().unwrap()).unwrap(), address)
    }

    #[tokio::test]
    async fn an_address_at_which_another_server_listens_is_refused() {
        let (lanes, address) = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        assert!(!lanes.is_empty() && address.port() > 0);
        let again = bind(address).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        drop(lanes);
        bind(address).unwrap();
    }

    #[tokio::test]
    async fn accepted_connections_send_without_delay() {
        let (listener, address) = listening();
        let client = async {
            let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
            client.write_all(b"G").await.unwrap();
            client
        };
        let (_client, accepted) = tokio::join!(client, poll_fn(|cx| listener.poll_next(cx)));
        assert!(accepted.unwrap().0.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_silent_client_is_accepted_all_the_same() {
        let (listener, address) = listening();
        let client = tokio::net::TcpStream::connect(address).await.unwrap();
        let accepted = tokio::time::timeout(Duration::from_secs(30), poll_fn(|cx| listener.poll_next(cx)));
        let (_, peer) = accepted.await.expect("in about a second").unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    }
}
