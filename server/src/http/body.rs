//! Request bodies that must keep coming.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// A body that fails when nothing arrives for `limit`.
pub struct IdleLimited {
    inner: Body,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

impl IdleLimited {
    /// Wraps `inner`; the timer starts with the first poll's wait and again with every frame.
    pub fn new(inner: Body, limit: Duration) -> Self {
        Self { inner, limit, timer: Box::pin(tokio::time::sleep(limit)) }
    }
}

impl http_body::Body for IdleLimited {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            this.timer.as_mut().reset(Instant::now() + this.limit);
            return Poll::Ready(frame);
        }
        if this.timer.as_mut().poll(cx).is_ready() {
            let why = std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("no byte of the request's body came for {} s", this.limit.as_secs()),
            );
            return Poll::Ready(Some(Err(axum::Error::new(why))));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Puts the idle limit on a request's body, when it has one.
pub fn idle_limited(limit: Duration, request: Request) -> Request {
    if http_body::Body::is_end_stream(request.body()) {
        return request;
    }
    request.map(|body| Body::new(IdleLimited::new(body, limit)))
}
