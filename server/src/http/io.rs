//! A connection's own timers, below HTTP: a head that drips, a reader that does not read.
//!
//! hyper's header timer also runs while a kept-alive connection waits for its next request, so it cannot be both
//! strict on slow heads and patient with idle players, and it is set and cleared with each request. Here one timer runs on
//! from request to request and looks at what is due only when it fires.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::backing::Backing;
use super::socket::Socket;

/// A reader with room for less is given what was read ahead.
const FEW: usize = 64;
/// Bytes that are read ahead: a player's first request.
const AHEAD: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// Between requests since then: the next byte starts a head.
    Idle(Instant),
    /// A head has begun and must be complete by then.
    Reading(Instant),
    /// A request is being answered.
    Answering,
    /// HTTP/2 with this many open requests: its library times heads, and nothing may stay for ever without any.
    Multiplexed { open: usize, idle_since: Instant },
}

/// What the connection's service tells its socket.
#[derive(Debug)]
pub struct ConnectionTimers {
    head: Mutex<Head>,
    head_limit: Duration,
    idle_limit: Duration,
    stall_ms: AtomicU64,
    backing: Mutex<Option<Backing>>,
    /// What is being sent is all that will be.
    last: AtomicBool,
}

impl ConnectionTimers {
    /// A fresh connection: its first head must be there within `head_limit`; a peer that takes no byte for `stall`
    /// is dropped, and so is a connection that has had no request open for `idle_limit`.
    pub fn new(head_limit: Duration, idle_limit: Duration, stall: Duration) -> Arc<Self> {
        Arc::new(Self {
            head: Mutex::new(Head::Reading(Instant::now() + head_limit)),
            head_limit,
            idle_limit,
            stall_ms: AtomicU64::new(stall.as_millis() as u64),
            backing: Mutex::default(),
            last: AtomicBool::new(false),
        })
    }

    /// Allows this connection's reader to rest longer, as a paused player of a progressive stream does.
    pub fn allow_stall(&self, stall: Duration) {
        self.stall_ms.fetch_max(stall.as_millis() as u64, Ordering::Relaxed);
    }

    /// The answer to come holds bytes that a file holds too. What is sent is the same either way.
    pub fn send_from(&self, backing: Backing) {
        *self.backing() = Some(backing);
    }

    /// The answer to come is whole, and the connection ends with it.
    pub(super) fn ends_with_answer(&self) {
        self.last.store(true, Ordering::Relaxed);
    }

    fn backs(&self, slice: &[u8]) -> bool {
        self.backing().as_ref().is_some_and(|backing| backing.locate(slice).is_some())
    }

    fn backing(&self) -> MutexGuard<'_, Option<Backing>> {
        self.backing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request's head is complete.
    pub fn request_begins(&self, multiplexed: bool) {
        *self.backing() = None;
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        *head = match *head {
            Head::Multiplexed { open, idle_since } => Head::Multiplexed { open: open + 1, idle_since },
            _ if multiplexed => Head::Multiplexed { open: 1, idle_since: Instant::now() },
            _ => Head::Answering,
        };
    }

    /// The answer is out.
    pub fn request_ends(&self) {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *head {
            Head::Answering => *head = Head::Idle(Instant::now()),
            Head::Multiplexed { open, idle_since } => {
                *open = open.saturating_sub(1);
                *idle_since = Instant::now();
            }
            Head::Idle(_) | Head::Reading(_) => {}
        }
    }

    fn is_answering(&self) -> bool {
        matches!(*self.head.lock().unwrap_or_else(PoisonError::into_inner), Head::Answering)
    }

    fn bytes_came(&self) {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*head, Head::Idle(_)) {
            *head = Head::Reading(Instant::now() + self.head_limit);
        }
    }

    pub(super) fn read_deadline(&self) -> Option<Instant> {
        match *self.head.lock().unwrap_or_else(PoisonError::into_inner) {
            Head::Reading(deadline) => Some(deadline),
            Head::Idle(since) | Head::Multiplexed { open: 0, idle_since: since } => {
                Some(since + self.idle_limit)
            }
            Head::Answering | Head::Multiplexed { .. } => None,
        }
    }

    fn stall(&self) -> Duration {
        Duration::from_millis(self.stall_ms.load(Ordering::Relaxed))
    }
}

/// A socket with those timers.
pub(crate) struct TimedStream {
    inner: Socket,
    /// What was read for a reader that had room for less.
    ahead: Vec<u8>,
    /// The end of what is sent waits for the connection's end.
    held: bool,
    corked: bool,
    timers: Arc<ConnectionTimers>,
    read_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl TimedStream {
    /// Of a socket that does not block.
    pub(crate) fn new(inner: TcpStream, timers: Arc<ConnectionTimers>) -> Self {
        Self {
            inner: Socket::new(inner),
            ahead: Vec::new(),
            held: false,
            corked: false,
            timers,
            read_timer: None,
            write_timer: None,
        }
    }

    /// Reads what there is. Who asks for a few bytes only, as whoever looks at a connection's first bytes for its protocol
    /// does, gets the rest of the same packet without another call.
    fn poll_bytes(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            if self.timers.is_answering() {
                return self.inner.poll_left(cx, buf);
            }
            if buf.remaining() >= FEW {
                return self.inner.poll_read(cx, buf);
            }
            let mut room = [0; AHEAD];
            let mut read = ReadBuf::new(&mut room);
            std::task::ready!(self.inner.poll_read(cx, &mut read))?;
            self.ahead.extend_from_slice(read.filled());
        }
        let count = self.ahead.len().min(buf.remaining());
        buf.put_slice(self.ahead.get(..count).unwrap_or_default());
        self.ahead.drain(..count);
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Sends `slice` from the file that holds it, as far as the socket takes it. `None` when there is no such file.
    fn poll_from_file(&mut self, cx: &mut Context<'_>, slice: &[u8]) -> Option<Poll<io::Result<usize>>> {
        let (file, mut offset) = self.timers.backing().as_ref()?.locate(slice)?;
        self.hold_end_of_file();
        let sent = self.inner.poll_writable(cx, |socket| {
            Ok(rustix::fs::sendfile(socket, &*file, Some(&mut offset), slice.len())?)
        });
        match sent {
            Poll::Ready(Ok(sent)) if sent > 0 => {
                if sent == slice.len() {
                    // Nobody keeps a segment in memory for a connection that rests.
                    *self.timers.backing() = None;
                }
                Some(Poll::Ready(Ok(sent)))
            }
            Poll::Pending => Some(Poll::Pending),
            // A file that is shorter than it was, a disk that fails: the bytes are in memory all the same.
            Poll::Ready(result) => {
                tracing::debug!(?result, "sending from a file failed");
                *self.timers.backing() = None;
                None
            }
        }
    }

    /// Whether the end of what is sent is held back: the last packet of a last answer says too that it was the last, and the
    /// peer is woken once for both. It goes out when the connection is shut down, which comes next.
    fn holds_end(&mut self) -> bool {
        self.held |= self.timers.last.load(Ordering::Relaxed);
        self.held
    }

    /// As far as a file is concerned, whose sending takes no flags.
    fn hold_end_of_file(&mut self) {
        if !self.corked && self.holds_end() {
            self.corked = true;
            let corked = self.inner.as_fd().and_then(|fd| Ok(rustix::net::sockopt::set_tcp_cork(fd, true)?));
            if let Err(error) = corked {
                tracing::debug!(%error, "cannot hold an answer's end back");
            }
        }
    }

    fn watch_write<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write_timer = None;
            return result;
        }
        let stall = self.timers.stall();
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        if timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes no data")));
        }
        Poll::Pending
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if let Poll::Ready(result) = this.poll_bytes(cx, buf) {
            if buf.filled().len() > before {
                this.timers.bytes_came();
            }
            return Poll::Ready(result);
        }
        if !this.inner.is_watched() {
            // Whoever reads was told to come again.
            return Poll::Pending;
        }
        let Some(deadline) = this.timers.read_deadline() else {
            // Nobody need read again when the answer is out: the timer sees to it that the rest that follows has an end.
            let later = || Instant::now() + this.timers.idle_limit;
            match &mut this.read_timer {
                Some(timer) if !timer.is_elapsed() => {}
                Some(timer) => {
                    timer.as_mut().reset(later());
                    let _ = timer.as_mut().poll(cx);
                }
                none => {
                    let _ = none.insert(Box::pin(tokio::time::sleep_until(later()))).as_mut().poll(cx);
                }
            }
            return Poll::Pending;
        };
        let timer = this.read_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        // What fires too early was set for an earlier request.
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request came in time")));
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = match bufs {
            [body] => this.poll_from_file(cx, body),
            // The head of an answer and its body.
            [head, body] if this.timers.backs(body) => Some(this.inner.poll_write(cx, &[*head], true)),
            _ => None,
        };
        let result = match result {
            Some(result) => result,
            None => {
                let more = this.holds_end();
                this.inner.poll_write(cx, bufs, more)
            }
        };
        this.watch_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Else whoever shuts it down lets go of it next, and closing tells the peer as well. What is held is not left to that:
        // where something of the client's is unread, closing would be a reset, and what is held be lost.
        Poll::Ready(if self.held { self.inner.shutdown() } else { Ok(()) })
    }
}
