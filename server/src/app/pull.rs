//! Live streams that are pulled from another server: one task each, which asks again as long as the stream is wanted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::App;
use crate::catalog::{CatalogError, Source, Stream};
use crate::ingest::Getter;
use crate::ingest::fetch_shown;
use crate::ingest::pull::{End, PullError, PullState, PullStatus, Session};
use crate::ladder::Voice;
use crate::live::PublisherInfo;

/// Pause before the second attempt; each is twice the one before it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause while viewers wait for the stream to come back.
const LONGEST_IN_GRACE: Duration = Duration::from_secs(2);
/// Longest pause after that.
const LONGEST: Duration = Duration::from_secs(30);
/// Pause after what asking again does not mend by itself.
const LASTING: Duration = Duration::from_secs(60);

/// The pulls of a server.
#[derive(Debug, Default)]
pub(super) struct Pulls(Mutex<HashMap<String, Pull>>);

#[derive(Debug)]
struct Pull {
    status: watch::Receiver<PullStatus>,
    stop: CancellationToken,
}

impl Pulls {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Pull>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks no more for a stream.
    pub(super) fn stop(&self, id: &str) {
        if let Some(pull) = self.lock().get(id) {
            pull.stop.cancel();
        }
    }

    /// Forgets a stream that is deleted.
    pub(super) fn forget(&self, id: &str) {
        self.stop(id);
        self.lock().remove(id);
    }
}

impl App {
    /// How a stream's pull goes; none where nothing was pulled since the server's start.
    pub fn pull_status(&self, id: &str) -> Option<PullStatus> {
        self.pulls.lock().get(id).map(|pull| pull.status.borrow().clone())
    }

    /// Begins to pull a live stream whose source is an address, unless it does already.
    pub(super) fn pull(self: &Arc<Self>, stream: &Stream) {
        let Source::Url { url } = &stream.source else { return };
        if !stream.live.as_ref().is_some_and(|live| live.enabled) {
            return;
        }
        // It was checked when the stream was made.
        let Ok(url) = Url::parse(url) else { return };
        let mut pulls = self.pulls.lock();
        // A task that ends lets go of its status.
        if pulls
            .get(&stream.id)
            .is_some_and(|pull| pull.status.has_changed().is_ok() && !pull.stop.is_cancelled())
        {
            return;
        }
        let (told, status) = watch::channel(PullStatus::default());
        let stop = self.stop.child_token();
        pulls.insert(stream.id.clone(), Pull { status, stop: stop.clone() });
        let voice = Voice::new(&self.logs.of(&stream.id), "pull");
        let puller = Puller { app: Arc::clone(self), id: stream.id.clone(), url, told, voice };
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => puller.told.send_modify(|told| told.state = PullState::Stopped),
                () = puller.run() => {}
            }
        });
    }
}

/// Pulls one stream.
struct Puller {
    app: Arc<App>,
    id: String,
    url: Url,
    told: watch::Sender<PullStatus>,
    voice: Voice,
}

impl Puller {
    async fn run(&self) {
        let mut pause = FIRST_PAUSE;
        let mut lost: Option<Instant> = None;
        loop {
            let Some(stream) = self.wanted() else {
                return self.told.send_modify(|told| told.state = PullState::Stopped);
            };
            self.told.send_modify(|told| {
                (told.state, told.retry_ms) = (PullState::Connecting, None);
                told.attempts += 1;
            });
            let played = Instant::now();
            let (result, began) = self.attempt(&stream).await;
            if began {
                (pause, lost) = (FIRST_PAUSE, None);
            }
            let next = match result {
                Ok(End::Source) => {
                    self.voice.info(format!("the source {} is over", fetch_shown(&self.url)));
                    // Told before the stream's own end is: who sees that one asks for this one next.
                    self.told.send_modify(|told| told.state = PullState::Ended);
                    self.app.live.end(&self.id).await;
                    return self.over().await;
                }
                // Sent away, or the stream was stopped: the next round tells.
                Ok(End::NotWanted) => FIRST_PAUSE,
                Err(error) => {
                    self.voice.warn(error.to_string());
                    self.told.send_modify(|told| told.error = Some(error.to_string()));
                    let since = *lost.get_or_insert(if began { Instant::now() } else { played });
                    let grace = Duration::from_millis(super::live::GRACE_MS.into());
                    let longest = if since.elapsed() < grace { LONGEST_IN_GRACE } else { LONGEST };
                    let now = if error.lasts() { LASTING } else { pause.min(longest) };
                    pause = (pause * 2).min(LONGEST);
                    now
                }
            };
            self.told.send_modify(|told| {
                told.state = PullState::Waiting;
                told.retry_ms = Some(next.as_millis() as u64);
            });
            tokio::time::sleep(next).await;
        }
    }

    /// Nobody shall ask again, not after a restart either, until the stream is started.
    async fn over(&self) {
        let shut = |stream: &mut Stream| {
            if let Some(live) = &mut stream.live {
                live.enabled = false;
            }
        };
        match self.app.catalog.update(&self.id, shut).await {
            Ok(_) | Err(CatalogError::Missing(_)) => {}
            Err(error) => tracing::error!(stream = self.id, %error, "cannot store that a pull is over"),
        }
    }

    /// The stream, as long as it shall be pulled.
    fn wanted(&self) -> Option<Arc<Stream>> {
        let stream = self.app.catalog.get(&self.id)?;
        stream.live.as_ref().is_some_and(|live| live.enabled).then_some(stream)
    }

    /// One connection to the source, and whether it played.
    async fn attempt(&self, stream: &Stream) -> (Result<End, PullError>, bool) {
        let opened = async {
            let getter = Getter::new(Arc::clone(&self.app.policy))?;
            Session::open(&getter, &self.url, &self.told).await
        };
        let mut session = match opened.await {
            Ok(session) => session,
            Err(error) => return (Err(error), false),
        };
        let who = PublisherInfo { app: "pull".to_owned(), ..PublisherInfo::default() };
        let publisher = match self.app.publish_live(stream, who).await {
            Ok(publisher) => publisher,
            Err(error) => return (Err(PullError::Session(error.to_string())), false),
        };
        self.voice.info(format!("{} plays", fetch_shown(&self.url)));
        self.told.send_modify(|told| {
            (told.state, told.error, told.attempts) = (PullState::Playing, None, 0);
        });
        (session.play(&publisher).await, true)
    }
}
