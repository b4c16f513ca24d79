//! What is done to live streams as a whole.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::App;
use crate::catalog::live::digest;
use crate::catalog::{CatalogError, Source, State, Stream};
use crate::config::OnStop;
use crate::ingest::{SourceSpec, air};
use crate::ladder::Voice;
use crate::live::{LiveSettings, LiveState, LiveStatus, OpenError, Publisher, PublisherInfo, Refused};

/// How long a stream that was on air when the server went down waits for its publisher.
const AFTER_RESTART: Duration = Duration::from_secs(30);
/// How long one waits whose publisher went away, in milliseconds.
pub(super) const GRACE_MS: u32 = 10_000;

/// How long one may be connected and send nothing, in milliseconds.
const QUIET_MS: u32 = 6_000;

/// Why a publisher is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// No stream has this key. The message does not say which streams there are.
    #[error("no stream has this key; take the stream key from the server's admin page or API")]
    WrongKey,
    /// The stream was stopped.
    #[error("the stream \"{0}\" is stopped; start it first")]
    Stopped(String),
}

/// Why somebody who may publish cannot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The stream's session said no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The stream could not be started.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The server stops.
    #[error("the server stops")]
    Stopping,
}

impl App {
    /// The live stream that a publisher's key opens. `name` is its id, when the publisher gives one beside the key.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn admit(&self, name: Option<&str>, key: &str) -> Result<Arc<Stream>, Denied> {
        let given = digest(key);
        let found = self.catalog.list().into_iter().find(|stream| {
            name.is_none_or(|name| name == stream.id)
                && stream.live.as_ref().is_some_and(|live| live.accepts(&given))
        });
        let stream = found.ok_or(Denied::WrongKey)?;
        match &stream.live {
            Some(live) if live.enabled => Ok(stream),
            _ => Err(Denied::Stopped(stream.id.clone())),
        }
    }

    /// Lets a publisher in whose key [`admit`](Self::admit) took. The stream is started if it does not run: one that
    /// ended goes on.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish_live(
        self: &Arc<Self>,
        stream: &Stream,
        who: PublisherInfo,
    ) -> Result<Publisher, PublishError> {
        if self.stop.is_cancelled() {
            return Err(PublishError::Stopping);
        }
        match self.live.publish(&stream.id, who.clone()) {
            Err(Refused::NotStarted(_)) => {}
            other => return Ok(other?),
        }
        self.open_live(stream).await?;
        Ok(self.live.publish(&stream.id, who)?)
    }

    /// Sends a stream's publisher away; it may come back, as the server's own test card does at once. Says whether
    /// there was one.
    pub fn kick(self: &Arc<Self>, id: &str) -> bool {
        let kicked = self.live.status(id).is_some_and(|now| now.publisher.is_some()) && self.live.kick(id);
        if kicked {
            tracing::info!(stream = id, "the publisher is sent away");
            let (app, id) = (Arc::clone(self), id.to_owned());
            tokio::spawn(async move { app.air_again(&id).await });
        }
        kicked
    }

    /// Has the test card do what any encoder does that was cut off.
    async fn air_again(self: &Arc<Self>, id: &str) {
        let Some(mut status) = self.live.watch(id) else { return };
        // An error is the session's end, after which nothing comes back by itself.
        if status.wait_for(|now| now.publisher.is_none()).await.is_ok()
            && let Some(stream) = self.catalog.get(id)
        {
            self.air_card(&stream).await;
        }
    }

    /// Lets publishers in again.
    ///
    /// # Errors
    /// When the catalogue fails.
    pub async fn start_live(self: &Arc<Self>, stream: &Stream) -> Result<Arc<Stream>, CatalogError> {
        let change = |stream: &mut Stream| {
            if let Some(live) = &mut stream.live {
                live.enabled = true;
            }
            if stream.state != State::Live {
                stream.state = State::Idle;
            }
        };
        let started = self.catalog.update(&stream.id, change).await?;
        self.air_card(&started).await;
        self.pull(&started);
        Ok(started)
    }

    /// Puts the server's own test card on air, where that is the stream's source and it is not there yet.
    pub(super) async fn air_card(self: &Arc<Self>, stream: &Stream) {
        let wanted = stream.live.as_ref().is_some_and(|live| live.enabled);
        let on_air = self.live.status(&stream.id).is_some_and(|now| now.publisher.is_some());
        let Ok(SourceSpec::TestCard(card)) = self.source_spec(&stream.source) else { return };
        if !wanted || on_air {
            return;
        }
        let who = PublisherInfo { app: "testcard".to_owned(), ..PublisherInfo::default() };
        let aired: Result<(), String> = match self.publish_live(stream, who).await {
            Ok(publisher) => {
                let voice = Voice::new(&self.logs.of(&stream.id), "testcard");
                let (profile, runtime) = (stream.profile.clone(), Handle::current());
                let program = self.settings.now().encoder_program.clone();
                let started = tokio::task::spawn_blocking(move || {
                    air(program, card, &profile, publisher, runtime, voice).map_err(|e| e.to_string())
                });
                started.await.unwrap_or_else(|error| Err(error.to_string()))
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = aired {
            self.fail(&stream.id, format!("the test card cannot go on air: {why}")).await;
        }
    }

    /// Ends the stream, now and without a grace period, and lets no publisher in until it is started.
    ///
    /// # Errors
    /// When the catalogue fails.
    pub async fn stop_live(&self, stream: &Stream) -> Result<Arc<Stream>, CatalogError> {
        let shut = |stream: &mut Stream| {
            if let Some(live) = &mut stream.live {
                live.enabled = false;
            }
        };
        // First nobody comes in any more, then those who are in go.
        self.catalog.update(&stream.id, shut).await?;
        self.pulls.stop(&stream.id);
        self.live.end(&stream.id).await;
        tracing::info!(stream = stream.id, "stopped");
        self.catalog.update(&stream.id, |stream| stream.state = State::Ended).await
    }

    /// Has a running session follow what was changed.
    pub fn live_settings_changed(&self, stream: &Stream) {
        let Some(settings) = settings(stream).filter(|_| self.is_on_air(&stream.id)) else { return };
        if let Err(error) = self.live.open(&stream.id, settings) {
            tracing::error!(stream = stream.id, %error, "the session does not take the changed settings");
        }
    }

    /// Stops every live stream as the settings say: to go on at the next start, or for good.
    pub(super) async fn stop_live_streams(&self) {
        let end = self.settings.now().on_stop == OnStop::Endlist;
        self.live.stop_all(end).await;
        let on_air = self.catalog.list().into_iter().filter(|stream| end && stream.state == State::Live);
        for stream in on_air {
            self.record(&stream.id, State::Ended, None).await;
        }
    }

    /// Goes on with a stream that was on air when the server went down, for as long as its publisher may take to
    /// come back.
    pub(super) async fn take_up_live(self: &Arc<Self>, stream: &Arc<Stream>) {
        if matches!(stream.source, Source::TestCard { .. }) && stream.state != State::Ended {
            return self.air_card(stream).await;
        }
        // Also one that ended while its source was away; not one whose source was over, which is stopped.
        self.pull(stream);
        if stream.state != State::Live {
            return;
        }
        if let Err(error) = self.open_live(stream).await {
            return self.fail(&stream.id, error.to_string()).await;
        }
        let (app, id) = (Arc::clone(self), stream.id.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(AFTER_RESTART) => {}
                () = app.stop.cancelled() => return,
            }
            if app.live.status(&id).is_some_and(|now| now.state == LiveState::Idle) {
                tracing::info!(
                    stream = id,
                    "the publisher did not come back after the restart: the stream ends"
                );
                app.live.end(&id).await;
            }
        });
    }

    /// Whether its session runs.
    pub(super) fn is_on_air(&self, id: &str) -> bool {
        self.live.watch(id).is_some_and(|status| status.has_changed().is_ok())
    }

    /// Starts the session and keeps the catalogue's state in step with it. One that runs is left alone.
    async fn open_live(self: &Arc<Self>, stream: &Stream) -> Result<(), OpenError> {
        let Some(settings) = settings(stream) else { return Err(OpenError::NotLive(stream.id.clone())) };
        // Two publishers at once shall not start it twice.
        let _one = self.opening.lock().await;
        if self.is_on_air(&stream.id) {
            return Ok(());
        }
        let (live, id) = (self.live.clone(), stream.id.clone());
        tokio::task::spawn_blocking(move || live.open(&id, settings))
            .await
            .unwrap_or_else(|error| Err(OpenError::Thread(std::io::Error::other(error))))?;
        if let Some(status) = self.live.watch(&stream.id) {
            tokio::spawn(Arc::clone(self).follow(stream.id.clone(), status));
        }
        Ok(())
    }

    /// Notes the end of a stream that was on air; one that was started again meanwhile is left as it is.
    async fn ended(&self, id: &str) {
        let change = |stream: &mut Stream| {
            if stream.state == State::Live {
                stream.state = State::Ended;
            }
        };
        match self.catalog.update(id, change).await {
            Ok(_) | Err(CatalogError::Missing(_)) => {}
            Err(error) => tracing::error!(stream = id, %error, "cannot store the stream's state"),
        }
    }

    async fn follow(self: Arc<Self>, id: String, mut status: watch::Receiver<LiveStatus>) {
        let mut known = LiveState::Idle;
        loop {
            let now = status.borrow_and_update().state;
            if now != known {
                known = now;
                match now {
                    LiveState::Live | LiveState::Grace => self.record(&id, State::Live, None).await,
                    LiveState::Ended => self.ended(&id).await,
                    // Left for the next start of the server, which finds it as it was.
                    LiveState::Idle => {}
                }
            }
            if status.changed().await.is_err() {
                return;
            }
        }
    }

    /// Where publishers connect by RTMP: `rtmp://host[:port]/live`. A listener on every address is named as the
    /// request named this server.
    pub fn rtmp_url(&self, host: &str) -> Option<String> {
        self.rtmp.get().map(|address| ingest_url("rtmp", *address, 1935, host))
    }

    /// Where they do so over TLS: `rtmps://host[:port]/live`.
    pub fn rtmps_url(&self, host: &str) -> Option<String> {
        self.rtmps.get().map(|address| ingest_url("rtmps", *address, 443, host))
    }

    /// Tells where RTMP listens, in the clear or with `tls`. Only the first time counts.
    pub fn set_rtmp_address(&self, address: SocketAddr, tls: bool) {
        // A second listener of the same server would be one too many, and the first is as good.
        let _ = if tls { &self.rtmps } else { &self.rtmp }.set(address);
    }
}

fn settings(stream: &Stream) -> Option<LiveSettings> {
    let live = stream.live.as_ref()?;
    Some(LiveSettings {
        segment_ms: stream.profile.segment_ms,
        part_ms: live.latency.part_ms(),
        window_s: live.dvr_s,
        record: live.record,
        grace_ms: GRACE_MS,
        quiet_ms: QUIET_MS,
        profile: stream.profile.clone(),
        takeover: live.takeover,
    })
}

fn ingest_url(scheme: &str, address: SocketAddr, usual: u16, host: &str) -> String {
    // A certificate is for a name, as the request has it.
    let named = address.ip().is_unspecified() || scheme == "rtmps";
    let name = if named { host_name(host) } else { literal(address) };
    let port = if address.port() == usual { String::new() } else { format!(":{}", address.port()) };
    format!("{scheme}://{name}{port}/{}", crate::ingest::rtmp::APP)
}

fn literal(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

/// The name in a `Host` header, without its port.
fn host_name(host: &str) -> String {
    let name = match (host.starts_with('['), host.find(']')) {
        (true, Some(end)) => host.get(..=end).unwrap_or(""),
        _ => host.split(':').next().unwrap_or(""),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    if name.is_empty() || !name.chars().all(plain) { "localhost".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_taken_without_their_port() {
        for (host, name) in [
            ("example.org:8080", "example.org"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]:8080", "[::1]"),
            ("", "localhost"),
            ("a b", "localhost"),
            ("<script>", "localhost"),
        ] {
            assert_eq!(host_name(host), name, "{host}");
        }
    }
}
