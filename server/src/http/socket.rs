//! A socket that the runtime watches only once there is something to wait for.
//!
//! A connection for one request is mostly over before that: the request came right behind the connection, and the socket
//! takes the answer whole. Having the runtime watch it, and then not, costs such a connection a tenth.

use std::io::{self, IoSlice};
use std::mem;
use std::net::TcpStream as Plain;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use tokio::io::{AsyncRead as _, AsyncWrite as _, Interest, ReadBuf};
use tokio::net::TcpStream;

/// Reads and writes of an unwatched socket: past them others get their turn, as the runtime sees to with those it watches.
const UNWATCHED: u8 = 8;

#[derive(Debug)]
enum State {
    Unwatched {
        socket: Plain,
        left: u8,
    },
    Watched(TcpStream),
    /// The runtime would not take it.
    Lost,
}

/// A connection's socket, which must not block.
#[derive(Debug)]
pub(super) struct Socket {
    state: State,
    /// Somebody who reads only to see whether the peer leaves was put off.
    put_off: bool,
}

impl Socket {
    pub(super) fn new(socket: Plain) -> Self {
        Self { state: State::Unwatched { socket, left: UNWATCHED }, put_off: false }
    }

    pub(super) fn is_watched(&self) -> bool {
        matches!(self.state, State::Watched(_))
    }

    fn watched(&mut self) -> io::Result<&mut TcpStream> {
        if !self.is_watched()
            && let State::Unwatched { socket, .. } = mem::replace(&mut self.state, State::Lost)
        {
            self.state = State::Watched(TcpStream::from_std(socket)?);
        }
        match &mut self.state {
            State::Watched(socket) => Ok(socket),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Does it at once, where nobody watches the socket yet and it need not wait.
    fn at_once<T>(&mut self, work: impl FnOnce(&Plain) -> io::Result<T>) -> Option<io::Result<T>> {
        let State::Unwatched { socket, left } = &mut self.state else { return None };
        *left = left.checked_sub(1)?;
        let blocks = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
        };
        Some(work(socket)).filter(|result| !result.as_ref().is_err_and(blocks))
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.at_once(|socket| {
            Ok(rustix::net::recv(socket, buf.initialize_unfilled(), RecvFlags::DONTWAIT)?.0)
        });
        match read {
            Some(Ok(count)) => {
                buf.advance(count);
                Poll::Ready(Ok(()))
            }
            Some(Err(error)) => Poll::Ready(Err(error)),
            None => Pin::new(self.watched()?).poll_read(cx, buf),
        }
    }

    /// As [`poll_read`](Self::poll_read), for whoever has a request to answer and wants to be told when the peer leaves:
    /// where the answer is there at once nobody need watch for that.
    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if matches!(self.state, State::Unwatched { .. }) && !mem::replace(&mut self.put_off, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(self.watched()?).poll_read(cx, buf)
    }

    /// Writes; what is `more` goes into one packet with what follows.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
        more: bool,
    ) -> Poll<io::Result<usize>> {
        if self.is_watched() && !more {
            return Pin::new(self.watched()?).poll_write_vectored(cx, pieces);
        }
        let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
        self.poll_writable(cx, |socket| {
            Ok(rustix::net::sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), flags)?)
        })
    }

    /// Writes by this call, which does not wait.
    pub(super) fn poll_writable(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if let Some(result) = self.at_once(|socket| write(socket.as_fd())) {
            return Poll::Ready(result);
        }
        let socket = self.watched()?;
        loop {
            ready!(socket.poll_write_ready(cx))?;
            match socket.try_io(Interest::WRITABLE, || write(socket.as_fd())) {
                // The socket is full after all: wait for it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Says that nothing more will be written.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self.as_fd()?, Shutdown::Write)?)
    }

    pub(super) fn as_fd(&self) -> io::Result<BorrowedFd<'_>> {
        match &self.state {
            State::Unwatched { socket, .. } => Ok(socket.as_fd()),
            State::Watched(socket) => Ok(socket.as_fd()),
            State::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}
