//! A client's connection with its writes held to the link's rate.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

use super::link::ShapedLink;

/// What a request's handler asks of its connection.
#[derive(Debug, Default)]
pub(super) struct Control {
    reset: AtomicBool,
    drain: Mutex<Drain>,
}

#[derive(Debug, Default)]
enum Drain {
    #[default]
    Unasked,
    Asked(Waker),
    Done,
}

impl Control {
    /// End with a TCP reset instead of an orderly close.
    pub(super) fn ask_reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }

    /// Ready when all that was handed to the connection before the first call is written.
    pub(super) fn poll_drained(&self, cx: &Context<'_>) -> Poll<()> {
        let mut drain = self.drain.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*drain, Drain::Done) {
            return Poll::Ready(());
        }
        *drain = Drain::Asked(cx.waker().clone());
        Poll::Pending
    }

    /// hyper flushes the socket only when its own buffer is empty.
    fn flushed(&self) {
        let mut drain = self.drain.lock().unwrap_or_else(PoisonError::into_inner);
        if let Drain::Asked(waker) = &*drain {
            waker.wake_by_ref();
            *drain = Drain::Done;
        }
    }
}

#[derive(Debug)]
pub(super) struct ShapedIo {
    stream: TcpStream,
    link: Option<Arc<ShapedLink>>,
    /// Bytes granted and through by now, but not yet written.
    credit: usize,
    /// Bytes granted, and the timer that says when they are through.
    pending: Option<(usize, Pin<Box<Sleep>>)>,
    /// The receiver's window was full at the last attempt.
    blocked: bool,
    control: Arc<Control>,
}

impl ShapedIo {
    pub(super) fn new(stream: TcpStream, link: Option<Arc<ShapedLink>>, control: Arc<Control>) -> Self {
        Self { stream, link, credit: 0, pending: None, blocked: false, control }
    }
}

impl AsyncRead for ShapedIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ShapedIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(link) = &this.link else {
            return Pin::new(&mut this.stream).poll_write(cx, buf);
        };
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if this.credit == 0 {
            if this.pending.is_none() {
                let (granted, through) = link.reserve(Instant::now(), buf.len());
                this.pending = Some((granted, Box::pin(tokio::time::sleep_until(through))));
            }
            if let Some((granted, sleep)) = &mut this.pending {
                ready!(sleep.as_mut().poll(cx));
                this.credit = *granted;
                this.pending = None;
            }
        }
        let portion = &buf[..buf.len().min(this.credit)];
        match Pin::new(&mut this.stream).poll_write(cx, portion) {
            Poll::Ready(Ok(written)) => {
                this.credit -= written.min(this.credit);
                link.written(Instant::now(), this.blocked);
                this.blocked = false;
                Poll::Ready(Ok(written))
            }
            Poll::Pending => {
                this.blocked = true;
                Poll::Pending
            }
            failed => failed,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        this.control.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.control.is_reset() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

impl Drop for ShapedIo {
    fn drop(&mut self) {
        if self.control.is_reset() {
            // Closing with a linger time of zero sends RST. Failing to set it only makes the close orderly.
            let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}
