//! A response's body on its way through, with what a fault does to it.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tokio::time::Sleep;

use super::{io::Control, journal::Entry};

/// Where the bytes come from.
#[derive(Debug)]
enum Source {
    Upstream(reqwest::Body),
    Here(Full<Bytes>),
}

/// What a fault does to a body.
#[derive(Debug)]
pub(super) enum Spoil {
    /// Ends with an error after so many bytes.
    Cut(u64),
    /// Waits this long (`None`: for ever) after so many bytes.
    Stall(u64, Option<Duration>),
    /// Flips bits.
    Corrupt,
}

#[derive(Debug)]
pub(super) struct ProxyBody {
    source: Source,
    spoil: Option<Spoil>,
    stalled: Option<Pin<Box<Sleep>>>,
    /// What waits behind a stall.
    held: Option<Bytes>,
    passed: u64,
    control: Option<Arc<Control>>,
    entry: Option<Entry>,
}

impl ProxyBody {
    pub(super) fn upstream(
        body: reqwest::Body,
        spoil: Option<Spoil>,
        control: Arc<Control>,
        entry: Entry,
    ) -> Self {
        Self {
            source: Source::Upstream(body),
            spoil,
            stalled: None,
            held: None,
            passed: 0,
            control: Some(control),
            entry: Some(entry),
        }
    }

    pub(super) fn text(text: impl Into<Bytes>, entry: Entry) -> Self {
        let source = Source::Here(Full::new(text.into()));
        Self { source, spoil: None, stalled: None, held: None, passed: 0, control: None, entry: Some(entry) }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(held) = self.held.take() {
            return Poll::Ready(Some(Ok(held)));
        }
        loop {
            let frame = match &mut self.source {
                Source::Upstream(body) => {
                    ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(io::Error::other))
                }
                Source::Here(body) => {
                    ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(io::Error::other))
                }
            };
            match frame {
                // Trailers do not pass a proxy that speaks for itself.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(_) => {}
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// Applies the fault to the next piece.
    fn spoil(&mut self, mut data: Bytes) -> Bytes {
        match &self.spoil {
            Some(Spoil::Cut(at)) => {
                let left = at.saturating_sub(self.passed);
                data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                data
            }
            Some(Spoil::Stall(at, time)) if self.passed + data.len() as u64 > *at => {
                let far = Duration::from_secs(24 * 3600);
                self.stalled = Some(Box::pin(tokio::time::sleep(time.unwrap_or(far))));
                self.held = Some(data.split_off(usize::try_from(at - self.passed).unwrap_or(0)));
                self.spoil = None;
                data
            }
            Some(Spoil::Corrupt) => {
                let mut changed = BytesMut::from(&data[..]);
                let offset = usize::try_from((64 - self.passed % 64) % 64).unwrap_or(0);
                for byte in changed.iter_mut().skip(offset).step_by(64) {
                    *byte ^= 0x55;
                }
                changed.freeze()
            }
            Some(Spoil::Stall(..)) | None => data,
        }
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if let Some(sleep) = &mut this.stalled {
            ready!(sleep.as_mut().poll(cx));
            this.stalled = None;
        }
        if let Some(Spoil::Cut(at)) = this.spoil
            && this.passed >= at
        {
            // An error drops what hyper has buffered: let that out first.
            if let Some(control) = &this.control {
                ready!(control.poll_drained(cx));
            }
            return Poll::Ready(Some(Err(io::Error::other("the body is cut off here on purpose"))));
        }
        match ready!(this.poll_source(cx)) {
            Some(piece) => {
                let piece = piece.map(|data| this.spoil(data));
                if let Ok(data) = &piece {
                    this.passed += data.len() as u64;
                    if let Some(entry) = &mut this.entry {
                        entry.line.bytes = this.passed;
                    }
                }
                Poll::Ready(Some(piece.map(Frame::data)))
            }
            None => {
                if let Some(mut entry) = this.entry.take() {
                    entry.line.complete = true;
                }
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // Only a body that is empty from the start says so: the others are polled to their end,
        // which is what marks them complete in the log.
        self.passed == 0
            && match &self.source {
                Source::Upstream(body) => body.is_end_stream(),
                Source::Here(body) => body.is_end_stream(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        // What was announced, even if a fault will not let it all through.
        match &self.source {
            Source::Upstream(body) => body.size_hint(),
            Source::Here(body) => body.size_hint(),
        }
    }
}

impl Drop for ProxyBody {
    fn drop(&mut self) {
        // hyper stops polling once the announced length is through.
        let whole = self.size_hint().exact() == Some(0) || self.is_end_stream();
        if let (true, Some(entry)) = (whole && self.spoil.is_none(), &mut self.entry) {
            entry.line.complete = true;
        }
    }
}
