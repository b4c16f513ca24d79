//! The parts of a running server, and what is done to a stream as a whole.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::http::HeaderMap;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::api::Feed;
use crate::api::auth::Gate;
use crate::api::measures::Answers;
use crate::api::pace::Pace;
use crate::catalog::{Catalog, CatalogError, Made, RequestKey, Source, State, Stream};
use crate::config::Config;
use crate::deliver::hls;
use crate::deliver::hold::Holds;
use crate::deliver::pass::Known;
use crate::deliver::rendered::Rendered;
use crate::ingest::{FetchPolicy, SourceSpec, TestCardSpec, exact_rate};
use crate::jobs::{JobManager, JobOptions, JobState, JobStatus, StartError};
use crate::ladder::{EncodedLadders, LadderOptions, StreamLogs, VideoEncoderKind};
use crate::live::LiveManager;
use crate::reload::{Reloader, Settings, SourcePolicy};
use crate::store::{Store, StreamStore};
use crate::viewers::saved::Saved;
use crate::viewers::{Clock, Viewers};
use crate::webhooks::{self, Patience, Webhooks};

mod farewell;
mod live;
mod pull;

pub use live::{Denied, PublishError};

/// Everything that a request may need; handlers share it.
#[derive(Debug)]
pub struct App {
    /// The settings that the server started with.
    pub config: Config,
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// Reads them again; set by the program, which knows where they come from.
    pub reloader: OnceLock<Reloader>,
    /// Which streams exist.
    pub catalog: Catalog,
    /// Their media.
    pub store: Arc<Store>,
    /// Who watches.
    pub viewers: Arc<Viewers>,
    /// The list of streams for those who follow it.
    pub feed: Feed,
    /// Who is told what happens.
    pub webhooks: Arc<Webhooks>,
    /// What happened, as they are told.
    pub(crate) watcher: Mutex<webhooks::watch::Watcher>,
    /// Who may write.
    pub gate: Gate,
    /// How often.
    pub pace: Pace,
    /// Viewers' passwords that were right.
    pub passwords: Known,
    /// How requests were answered.
    pub answers: Answers,
    /// Playlists as they were last rendered.
    pub rendered: Rendered,
    /// Requests that wait for a stream to move.
    pub holds: Arc<Holds>,
    /// Cancelled when the server stops: answers without an end of their own must end then.
    pub stop: CancellationToken,
    /// When the server started.
    pub started: Instant,
    /// What happened to each stream's packaging and encoders.
    pub logs: Arc<StreamLogs>,
    /// Where publishers connect by RTMP, once that listens.
    rtmp: OnceLock<SocketAddr>,
    /// The same over TLS.
    rtmps: OnceLock<SocketAddr>,
    /// Live sessions.
    pub live: LiveManager,
    /// Held while a live session is started.
    opening: tokio::sync::Mutex<()>,
    pulls: pull::Pulls,
    farewells: farewell::Farewells,
    jobs: JobManager,
    policy: Arc<dyn FetchPolicy>,
}

impl App {
    /// Opens the data folder and takes up what was left unfinished.
    ///
    /// # Errors
    /// When the data folder, its catalogue or its token cannot be used.
    pub async fn open(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<Self>> {
        let data = config.data.clone();
        std::fs::create_dir_all(data.join("uploads"))
            .with_context(|| format!("cannot create the data folder {}", data.display()))?;
        let catalog = Catalog::open(&data).await.with_context(|| format!("opening {}", data.display()))?;
        let folder = data.clone();
        let listed: Vec<_> = catalog.list().iter().map(|stream| stream.id.clone()).collect();
        let opened = move || {
            let store = Store::open(&folder)?;
            farewell::sweep(&store, &folder.join("streams"), |id| listed.iter().any(|known| known == id));
            anyhow::Ok(store)
        };
        let store = Arc::new(tokio::task::spawn_blocking(opened).await??);
        let settings = Settings::new(config.clone());
        let policy: Arc<dyn FetchPolicy> = Arc::new(SourcePolicy(Arc::clone(&settings)));
        let logs = Arc::new(StreamLogs::default());
        let options = JobOptions {
            parallel: config.jobs,
            fetch_policy: Arc::clone(&policy),
            logs: Arc::clone(&logs),
            encoders: encoders_for_files(&config),
            program: config.encoder_program.clone(),
            ..JobOptions::default()
        };
        let gate = Gate::open(&config)?;
        let stop = CancellationToken::new();
        let webhooks = Webhooks::open(
            config.data.join("webhooks.json"),
            Arc::clone(&policy),
            &config.webhooks,
            Patience::default(),
            stop.clone(),
        )?;
        let ladder = LadderOptions {
            most: config.live_rungs,
            encoders: config.encoders.clone(),
            program: config.encoder_program.clone(),
        };
        let ladders = EncodedLadders::new(Arc::clone(&store), Arc::clone(&logs), ladder);
        let app = Arc::new(Self {
            live: LiveManager::new(Arc::clone(&store)),
            opening: tokio::sync::Mutex::default(),
            pulls: pull::Pulls::default(),
            farewells: farewell::Farewells::default(),
            jobs: JobManager::new(Arc::clone(&store), options),
            viewers: Arc::new(Viewers::new(clock, gate.secret())),
            gate,
            pace: Pace::default(),
            passwords: Known::default(),
            answers: Answers::default(),
            catalog,
            store,
            rendered: Rendered::default(),
            holds: Arc::default(),
            stop,
            started: Instant::now(),
            rtmp: OnceLock::new(),
            rtmps: OnceLock::new(),
            logs,
            policy,
            config,
            settings,
            reloader: OnceLock::new(),
            webhooks,
            watcher: Mutex::default(),
            feed: Feed::default(),
        });
        app.live.set_ladders(Arc::new(ladders));
        app.viewers.restore(Saved::read(&app.config.data)?);
        app.take_up().await;
        tokio::spawn(webhooks::watch::run(Arc::clone(&app)));
        tokio::spawn(Arc::clone(&app.viewers).keep(app.config.data.clone(), app.stop.clone()));
        Ok(app)
    }

    /// Counts viewers of every stream and restarts unfinished jobs, oldest first.
    async fn take_up(self: &Arc<Self>) {
        let mut streams = self.catalog.list();
        streams.reverse();
        for stream in streams {
            self.count_viewers(&stream);
            // Read back now, so that the first viewer does not wait for it.
            let (store, id) = (Arc::clone(&self.store), stream.id.clone());
            if tokio::task::spawn_blocking(move || store.get(&id)).await.is_err() {
                tracing::error!(stream = stream.id, "reading the stream back failed");
            }
            if stream.live.is_some() {
                self.take_up_live(&stream).await;
            } else if stream.state.unfinished()
                && let Err(error) = self.package(&stream)
            {
                self.fail(&stream.id, error.to_string()).await;
            }
        }
    }

    fn count_viewers(&self, stream: &Stream) {
        let target = hls::target_seconds(stream.profile.segment_ms);
        self.viewers.open_from(&stream.id, Duration::from_secs(u64::from(target)), stream.created_ms);
    }

    /// Adds a stream and starts to package it.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub async fn create(
        self: &Arc<Self>,
        stream: Stream,
        key: Option<RequestKey>,
    ) -> Result<(Arc<Stream>, Made), CreateError> {
        self.finish_farewell(&stream.id).await?;
        let (stream, made) = self.catalog.create(stream, key).await?;
        if made == Made::Before {
            return Ok((stream, made));
        }
        self.count_viewers(&stream);
        // A live stream waits for its publisher.
        if stream.live.is_none()
            && let Err(error) = self.package(&stream)
        {
            // Nobody shall find a stream that the answer says was refused.
            self.viewers.close(&stream.id);
            self.catalog.delete(&stream.id).await?;
            return Err(error.into());
        }
        if stream.live.is_some() {
            self.air_card(&stream).await;
            self.pull(&stream);
        }
        tracing::info!(stream = stream.id, source = crate::api::view::kind(&stream.source), "created");
        Ok((stream, made))
    }

    /// Packages a stream again whose packaging failed; what was finished stays, and it goes on from there.
    ///
    /// # Errors
    /// See [`RetryError`].
    pub async fn retry(self: &Arc<Self>, id: &str) -> Result<Arc<Stream>, RetryError> {
        let stream = self.catalog.get(id).ok_or_else(|| CatalogError::Missing(id.to_owned()))?;
        if stream.state != State::Failed {
            return Err(RetryError::NotFailed(id.to_owned(), stream.state.name()));
        }
        // First the state: the job reports its own from here on.
        let queued = |stream: &mut Stream| (stream.state, stream.error) = (State::Queued, None);
        let queued = self.catalog.update(id, queued).await?;
        if let Err(error) = self.package(&queued) {
            self.fail(id, error.to_string()).await;
            return Err(error.into());
        }
        tracing::info!(stream = id, "packaging is tried again");
        Ok(queued)
    }

    /// Removes a stream, its job, its media and its viewers. One that is on air is ended first, and what there is of it
    /// stays a little for those who watch.
    ///
    /// # Errors
    /// When there is none, or its files cannot be removed.
    pub async fn delete(self: &Arc<Self>, id: &str) -> Result<(), DeleteError> {
        let stream = self.catalog.get(id).ok_or_else(|| CatalogError::Missing(id.to_owned()))?;
        if !self.jobs.cancel_and_wait(id).await {
            return Err(DeleteError::Busy(id.to_owned()));
        }
        let on_air = stream.state == State::Live && self.is_on_air(id);
        if on_air {
            self.begin_farewell(Arc::clone(&stream));
        }
        self.viewers.close(id);
        // First the catalogue: what it does not list is not served, whatever lies on the disk.
        self.catalog.delete(id).await?;
        if on_air {
            self.pulls.forget(id);
            self.bid_farewell(stream).await;
            self.logs.forget(id);
            tracing::info!(stream = id, "deleted; its viewers get to the end of what there is");
            return Ok(());
        }
        // Whoever publishes is sent away, and finds no stream when it comes back.
        self.pulls.forget(id);
        self.live.leave(id).await;
        self.live.forget(id);
        self.rendered.forget(id);
        self.logs.forget(id);
        let (store, name) = (Arc::clone(&self.store), id.to_owned());
        let upload = match &stream.source {
            Source::Upload { upload } => Some(self.upload_path(upload)),
            _ => None,
        };
        tokio::task::spawn_blocking(move || {
            if let Some(path) = upload
                && let Err(error) = std::fs::remove_file(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "cannot delete an upload");
            }
            store.remove(&name)
        })
        .await
        .map_err(|_| CatalogError::Closed)??;
        tracing::info!(stream = id, "deleted");
        Ok(())
    }

    /// Where an upload lies; `id` is one that this server gave out.
    pub fn upload_path(&self, id: &str) -> PathBuf {
        self.config.data.join("uploads").join(id)
    }

    /// Where downloads may come from.
    pub fn policy(&self) -> &dyn FetchPolicy {
        self.policy.as_ref()
    }

    /// The same, to be handed on.
    pub(crate) fn fetch_policy(&self) -> Arc<dyn FetchPolicy> {
        Arc::clone(&self.policy)
    }

    /// The job's progress, when one was started since the server's start.
    pub fn job(&self, id: &str) -> Option<JobStatus> {
        self.jobs.status(id)
    }

    /// A stream's media, when it has any.
    pub fn media(&self, id: &str) -> Option<Arc<StreamStore>> {
        self.store.get(id)
    }

    /// The client's address: the socket's, or the one that a trusted proxy names.
    pub fn client_address(&self, socket: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.settings.now().trusted_proxies.contains(&socket) {
            return socket;
        }
        // The last entry is the one that our proxy wrote; those before it are the client's claims.
        headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|entry| entry.trim().parse().ok())
            .next_back()
            .unwrap_or(socket)
    }

    /// Stops jobs and live streams; what they finished stays and is continued at the next start, unless the settings
    /// have live streams end with the server.
    pub async fn stop_jobs(self: &Arc<Self>) {
        self.stop_live_streams().await;
        webhooks::watch::look(self).await;
        let jobs = self.jobs.clone();
        if tokio::task::spawn_blocking(move || jobs.shutdown()).await.is_err() {
            tracing::error!("stopping the packaging jobs failed");
        }
    }

    fn package(self: &Arc<Self>, stream: &Stream) -> Result<(), StartError> {
        let source = self.source_spec(&stream.source)?;
        let mut status = self.jobs.start(&stream.id, source, stream.profile.clone())?;
        let (app, id) = (Arc::clone(self), stream.id.clone());
        tokio::spawn(async move {
            let mut known = State::Queued;
            loop {
                let now = status.borrow_and_update().clone();
                match now.state {
                    JobState::Queued => {}
                    JobState::Fetching | JobState::Packaging => {
                        if known != State::Packaging {
                            known = State::Packaging;
                            app.record(&id, State::Packaging, None).await;
                        }
                    }
                    JobState::Done => return app.record(&id, State::Ready, None).await,
                    JobState::Failed => {
                        return app.fail(&id, now.error.unwrap_or_else(|| "packaging failed".into())).await;
                    }
                    // The stream is being deleted, or the server stops and will go on at its next start.
                    JobState::Cancelled => return,
                }
                if status.changed().await.is_err() {
                    return;
                }
            }
        });
        Ok(())
    }

    async fn fail(&self, id: &str, why: String) {
        self.record(id, State::Failed, Some(why)).await;
    }

    async fn record(&self, id: &str, state: State, error: Option<String>) {
        let change = move |stream: &mut Stream| {
            stream.state = state;
            stream.error = error;
        };
        match self.catalog.update(id, change).await {
            Ok(_) | Err(CatalogError::Missing(_)) => {}
            Err(error) => tracing::error!(stream = id, %error, "cannot store the stream's state"),
        }
    }

    fn source_spec(&self, source: &Source) -> Result<SourceSpec, StartError> {
        Ok(match source {
            Source::File { path } => {
                SourceSpec::File { path: Path::new(path).to_owned(), remove_when_done: false }
            }
            Source::Upload { upload } => {
                SourceSpec::File { path: self.upload_path(upload), remove_when_done: true }
            }
            Source::Url { url } => SourceSpec::Url {
                url: Url::parse(url).map_err(|error| StartError::Invalid(format!("source.url: {error}")))?,
            },
            Source::Publisher => {
                return Err(StartError::Invalid("a publisher's stream is live; it is not packaged".into()));
            }
            Source::TestCard { height, duration_s, frame_rate } => SourceSpec::TestCard(TestCardSpec {
                duration_ms: (duration_s * 1000.0).round() as u64,
                frame_rate: exact_rate(*frame_rate),
                lines: *height,
                ..TestCardSpec::default()
            }),
        })
    }
}

fn encoders_for_files(config: &Config) -> Vec<VideoEncoderKind> {
    if config.encoders.is_empty() { VideoEncoderKind::FILES.to_vec() } else { config.encoders.clone() }
}

/// Why a stream could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The catalogue refused or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Its packaging could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The files of an earlier stream of this id are in the way.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

/// Why a failed stream could not be taken up again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetryError {
    /// The catalogue refused or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// There is nothing to try again.
    #[error("the stream \"{0}\" is {1}; only a failed one can be tried again")]
    NotFailed(String, &'static str),
    /// Its packaging could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Why a stream could not be removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// The catalogue refused or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Its packaging would not stop.
    #[error("the packaging of \"{0}\" has not stopped yet; try again in a moment")]
    Busy(String),
    /// Its files are still there.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_rates_become_the_fractions_that_they_stand_for() {
        let rows = [
            (25.0, (25, 1)),
            (29.97, (30_000, 1001)),
            (23.976, (24_000, 1001)),
            (59.94, (60_000, 1001)),
            (60.0, (60, 1)),
            (12.5, (12_500, 1000)),
        ];
        for (rate, expected) in rows {
            assert_eq!(exact_rate(rate), expected, "{rate}");
        }
    }
}
