//! One publisher's socket.

use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::server::Shared;
use super::session::{Event, PublishRequest, Session, SessionError};
use super::tracks::{TagError, Tracks};
use crate::app::Denied;
use crate::live::{Ended, LiveEvent, Publisher, PublisherInfo};

/// Bytes read at a time.
const READ: usize = 64 * 1024;
/// Malformed access units after which a connection is given up.
const MOST_DROPPED: u64 = 10_000;

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Tag(#[from] TagError),
    #[error("{0} took too long")]
    Slow(&'static str),
    #[error("more than {MOST_DROPPED} access units could not be used")]
    Unusable,
}

/// A publisher that is on air.
struct OnAir {
    stream: String,
    publisher: Publisher,
    tracks: Tracks,
    told_of_tracks: bool,
}

/// Why the conversation goes no further although nothing is wrong.
type Why = &'static str;

/// What a connection is held over: TCP, or TLS on it.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

pub(super) struct Connection<'a> {
    shared: &'a Shared,
    socket: Box<dyn Socket>,
    peer: SocketAddr,
    session: Session,
    input: BytesMut,
    opened: Instant,
    on_air: Option<OnAir>,
    was_publishing: bool,
}

impl<'a> Connection<'a> {
    pub(super) fn new(shared: &'a Shared, socket: Box<dyn Socket>, peer: SocketAddr) -> Self {
        Self {
            shared,
            socket,
            peer,
            session: Session::default(),
            input: BytesMut::new(),
            opened: Instant::now(),
            on_air: None,
            was_publishing: false,
        }
    }

    /// Whether it got as far as to publish.
    pub(super) fn was_publishing(&self) -> bool {
        self.was_publishing
    }

    /// Holds the conversation to its end.
    pub(super) async fn run(&mut self, stop: &CancellationToken) -> Result<Why, ConnectionError> {
        let result = self.talk(stop).await;
        // First the place is free, then the client is told that it lost it.
        if let Some(on_air) = self.on_air.take() {
            self.goodbye(&on_air);
        }
        // What a refusal says is worth a last attempt.
        let _ = self.flush().await;
        result
    }

    async fn talk(&mut self, stop: &CancellationToken) -> Result<Why, ConnectionError> {
        loop {
            while let Some(event) = self.session.next(&mut self.input)? {
                if let Some(ended) = self.act(event).await? {
                    return Ok(ended);
                }
            }
            self.flush().await?;
            let (deadline, what) = self.deadline();
            let gone = async {
                match &self.on_air {
                    Some(on_air) => on_air.publisher.ended().await,
                    None => std::future::pending().await,
                }
            };
            self.input.reserve(READ);
            let read = tokio::select! {
                () = stop.cancelled() => return Ok("the server stops"),
                () = gone => {
                    self.session.refuse("NetStream.Publish.Denied", &Ended.to_string());
                    return Ok("ended by the server");
                }
                read = timeout_at(deadline, self.socket.read_buf(&mut self.input)) => read,
            };
            match read {
                Err(_) => return Err(ConnectionError::Slow(what)),
                Ok(read) => match read? {
                    0 => return Ok("closed by the publisher"),
                    count => self.session.received(count),
                },
            }
        }
    }

    /// By when the client must have said something, and what it is late with else.
    fn deadline(&self) -> (Instant, &'static str) {
        let limits = &self.shared.limits;
        if !self.session.is_shaken() {
            (self.opened + limits.handshake, "the handshake")
        } else if self.was_publishing {
            (Instant::now() + limits.idle, "the next byte")
        } else {
            (self.opened + limits.publish, "the publish command")
        }
    }

    async fn act(&mut self, event: Event) -> Result<Option<Why>, ConnectionError> {
        let mut events = Vec::new();
        match (event, &mut self.on_air) {
            (Event::Publish(request), _) => return Ok(self.publish(&request).await.err()),
            (Event::Unpublish, on_air) => {
                if let Some(on_air) = on_air.take() {
                    self.goodbye(&on_air);
                }
            }
            (Event::Metadata(data), Some(on_air)) => on_air.tracks.metadata(&data),
            (Event::Video { timestamp, body }, Some(on_air)) => {
                let taken = on_air.tracks.video(timestamp, body, &mut events);
                self.check(taken).await?;
            }
            (Event::Audio { timestamp, body }, Some(on_air)) => {
                let taken = on_air.tracks.audio(timestamp, body, &mut events);
                self.check(taken).await?;
            }
            (_, None) => {}
        }
        if events.is_empty() {
            return Ok(None);
        }
        self.pass_on(events).await
    }

    /// Asks for the stream. `Err` when it is not to be had; the client is told.
    async fn publish(&mut self, request: &PublishRequest) -> Result<(), Why> {
        let (peer, address) = (self.peer, self.peer.ip());
        let Shared { app, wrong_keys, .. } = self.shared;
        if wrong_keys.are_too_many(address, std::time::Instant::now()) {
            tracing::debug!(%peer, "a publisher is refused: too many wrong keys came from there");
            let why = "Too many wrong keys came from this address; wait a minute.";
            self.session.refuse("NetStream.Publish.Unauthorized", why);
            return Err("too many wrong keys");
        }
        let stream = match app.admit(request.name.as_deref(), &request.key) {
            Ok(stream) => stream,
            Err(denied) => {
                tracing::warn!(%peer, agent = request.agent, why = %denied, "a publisher is refused");
                let code = match denied {
                    Denied::WrongKey => {
                        wrong_keys.count(address, std::time::Instant::now());
                        "NetStream.Publish.Unauthorized"
                    }
                    Denied::Stopped(_) => "NetStream.Publish.Denied",
                };
                self.session.refuse(code, &denied.to_string());
                return Err("refused");
            }
        };
        let who = PublisherInfo {
            address: Some(address.to_canonical()),
            app: "rtmp".into(),
            agent: Some(request.agent.clone()).filter(|agent| !agent.is_empty()),
        };
        match app.publish_live(&stream, who).await {
            Ok(publisher) => {
                tracing::info!(stream = stream.id, %peer, agent = request.agent, "publishing by RTMP");
                self.session.accept();
                self.was_publishing = true;
                self.on_air = Some(OnAir {
                    stream: stream.id.clone(),
                    publisher,
                    tracks: Tracks::default(),
                    told_of_tracks: false,
                });
                Ok(())
            }
            Err(refused) => {
                tracing::warn!(stream = stream.id, %peer, why = %refused, "a publisher is refused");
                // The one status that encoders show as "the name is in use".
                self.session.refuse("NetStream.Publish.BadName", &refused.to_string());
                Err("refused")
            }
        }
    }

    /// Gives events to the session, which may take its time: meanwhile nothing is read from the publisher.
    async fn pass_on(&mut self, events: Vec<LiveEvent>) -> Result<Option<Why>, ConnectionError> {
        let Some(on_air) = &mut self.on_air else { return Ok(None) };
        if on_air.tracks.more_tracks() && !on_air.told_of_tracks {
            on_air.told_of_tracks = true;
            tracing::warn!(
                stream = on_air.stream,
                "the publisher sends several tracks of a kind; the first of each is taken"
            );
        }
        if on_air.tracks.dropped() > MOST_DROPPED {
            return Err(ConnectionError::Unusable);
        }
        for event in events {
            if let Err(ended) = on_air.publisher.send(event).await {
                self.session.refuse("NetStream.Publish.Denied", &ended.to_string());
                return Ok(Some("ended by the server"));
            }
        }
        Ok(None)
    }

    /// Tells the client, and who asks for the stream, of a tag that cannot be used.
    async fn check(&mut self, taken: Result<(), TagError>) -> Result<(), TagError> {
        if let Err(error) = &taken {
            self.session.refuse("NetStream.Publish.Rejected", &error.to_string());
            if let Some(on_air) = &self.on_air {
                let told = LiveEvent::Warning(format!("a publisher was sent away: {error}"));
                let _ = on_air.publisher.send(told).await;
            }
        }
        taken
    }

    fn goodbye(&self, on_air: &OnAir) {
        let peer = self.peer;
        let (stream, dropped) = (&on_air.stream, on_air.tracks.dropped());
        let encoder = on_air.tracks.encoder().unwrap_or("");
        tracing::info!(stream, %peer, encoder, dropped, "the publisher is gone; it may come back");
    }

    async fn flush(&mut self) -> Result<(), ConnectionError> {
        let out = self.session.take_output();
        if out.is_empty() {
            return Ok(());
        }
        match timeout(self.shared.limits.idle, self.socket.write_all(&out)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(ConnectionError::Slow("taking our answer")),
        }
    }
}
