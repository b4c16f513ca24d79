//! The live streams of a server: a thread each, publishers that come and go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::session::Session;
use super::{LiveEvent, LiveLadders, LiveSettings, LiveState, LiveStatus, PublisherInfo};
use crate::catalog::unix_ms;
use crate::store::{Store, StoreError, StreamStore};

/// Events that may wait between a publisher and its session.
const QUEUE: usize = 512;
/// Bytes that may wait there.
const QUEUE_BYTES: usize = 32 << 20;
/// Commands that may wait for a session.
const COMMANDS: usize = 64;
/// How often the status is brought up to date.
const STATUS_EVERY: Duration = Duration::from_millis(500);
/// How long encoders get to give what they hold when a take is over. A stop of the server waits that long, too.
const TAIL_LIMIT: Duration = Duration::from_secs(3);
/// How long a stop waits for a session.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Why a publisher is turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The stream is not started, or there is none.
    #[error("stream {0:?} does not take a publisher now: start it first")]
    NotStarted(String),
    /// Somebody else publishes, and the stream's policy is to refuse.
    #[error("stream {0:?} has a publisher already")]
    Busy(String),
}

/// The session does not want more: the stream was ended, or another publisher took over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream was ended, or another publisher took over")]
pub struct Ended;

/// Why a stream could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No thread could be started.
    #[error("cannot start the stream's thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The stream is one that was packaged once.
    #[error("stream {0:?} is not a live stream")]
    NotLive(String),
    /// It runs, and has not got round to what it was told before.
    #[error("stream {0:?} is busy; try again in a moment")]
    Busy(String),
}

struct Message {
    event: LiveEvent,
    _room: OwnedSemaphorePermit,
}

enum Control {
    Connect(mpsc::Receiver<Message>, PublisherInfo),
    Settings(LiveSettings),
    Kick,
    End(oneshot::Sender<()>),
    /// Stop without an end: the next start of the server goes on.
    Leave(oneshot::Sender<()>),
}

/// A publisher's way into its session. Dropping it starts the stream's grace period.
#[derive(Debug)]
pub struct Publisher {
    sender: mpsc::Sender<Message>,
    room: Arc<Semaphore>,
    _token: Arc<()>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message").finish_non_exhaustive()
    }
}

impl Publisher {
    /// Hands an event over, waiting while the session is behind.
    ///
    /// # Errors
    /// [`Ended`] when the session does not listen any more: close the connection.
    pub async fn send(&self, event: LiveEvent) -> Result<(), Ended> {
        let bytes = match &event {
            LiveEvent::Unit(unit) => unit.data.len(),
            LiveEvent::Setup(setup) => setup.config.len(),
            LiveEvent::Discontinuity => 0,
            LiveEvent::Warning(text) => text.len(),
        };
        let wanted = (bytes + 64).min(QUEUE_BYTES) as u32;
        let room = tokio::select! {
            room = Arc::clone(&self.room).acquire_many_owned(wanted) => room.map_err(|_| Ended)?,
            () = self.sender.closed() => return Err(Ended),
        };
        self.sender.send(Message { event, _room: room }).await.map_err(|_| Ended)
    }

    /// Waits until the session does not listen any more.
    pub async fn ended(&self) {
        self.sender.closed().await;
    }
}

#[derive(Debug)]
struct Handle {
    control: mpsc::Sender<Control>,
    status: watch::Receiver<LiveStatus>,
    takeover: bool,
    /// Gone when no publisher holds on to it.
    publisher: Weak<()>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect(..) => "Connect",
            Self::Settings(_) => "Settings",
            Self::Kick => "Kick",
            Self::End(_) => "End",
            Self::Leave(_) => "Leave",
        })
    }
}

impl Handle {
    fn is_running(&self) -> bool {
        !self.control.is_closed()
    }
}

/// Starts, feeds, watches and ends live streams. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LiveManager {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<Store>,
    ladders: RwLock<Option<Arc<dyn LiveLadders>>>,
    sessions: Mutex<HashMap<String, Handle>>,
}

impl LiveManager {
    /// A manager without streams.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self { inner: Arc::new(Inner { store, ladders: RwLock::default(), sessions: Mutex::default() }) }
    }

    /// Lets `ladders` encode lower rungs for streams that begin a take from now on.
    pub fn set_ladders(&self, ladders: Arc<dyn LiveLadders>) {
        *self.inner.ladders.write().unwrap_or_else(PoisonError::into_inner) = Some(ladders);
    }

    /// Starts a stream: it takes a publisher from now on. One that runs already takes over the settings. One that
    /// was live before, in this process or an earlier one, goes on with a discontinuity. Touches the disk.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(&self, id: &str, settings: LiveSettings) -> Result<(), OpenError> {
        let mut sessions = self.lock();
        if let Some(handle) = sessions.get_mut(id) {
            match handle.control.try_send(Control::Settings(settings.clone())) {
                Ok(()) => {
                    handle.takeover = settings.takeover;
                    return Ok(());
                }
                // It runs: a second one would write into the same store.
                Err(TrySendError::Full(_)) => return Err(OpenError::Busy(id.to_owned())),
                Err(TrySendError::Closed(_)) => {}
            }
        }
        let stream = self.inner.store.get_or_create(id)?;
        if stream.live().is_none() && !stream.renditions().is_empty() {
            return Err(OpenError::NotLive(id.to_owned()));
        }
        stream.resume_live()?;
        // Looked at once: see the stream's clock.
        stream.clock().set(unix_ms());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (control, commands) = mpsc::channel(COMMANDS);
        let (status, watcher) = watch::channel(LiveStatus { since_ms: unix_ms(), ..LiveStatus::default() });
        let ladders = self.inner.ladders.read().unwrap_or_else(PoisonError::into_inner).clone();
        let takeover = settings.takeover;
        let session = Session::new(Arc::clone(&stream), settings.clone(), ladders);
        let driver = Driver { stream, session, settings, status, commands, quiet: None };
        std::thread::Builder::new()
            .name("weir-live".to_owned())
            .spawn(move || runtime.block_on(driver.run()))?;
        let handle = Handle { control, status: watcher, takeover, publisher: Weak::new() };
        sessions.insert(id.to_owned(), handle);
        Ok(())
    }

    /// Lets a publisher in. One that is there already is cut off when the stream's policy is takeover.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn publish(&self, id: &str, who: PublisherInfo) -> Result<Publisher, Refused> {
        let mut sessions = self.lock();
        let handle = sessions
            .get_mut(id)
            .filter(|handle| handle.is_running())
            .ok_or_else(|| Refused::NotStarted(id.to_owned()))?;
        if !handle.takeover && handle.publisher.strong_count() > 0 {
            return Err(Refused::Busy(id.to_owned()));
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        if handle.control.try_send(Control::Connect(receiver, who)).is_err() {
            return Err(Refused::NotStarted(id.to_owned()));
        }
        let token = Arc::new(());
        handle.publisher = Arc::downgrade(&token);
        Ok(Publisher { sender, room: Arc::new(Semaphore::new(QUEUE_BYTES)), _token: token })
    }

    /// Cuts the publisher off, as if its connection had broken. `false` when the stream does not run.
    pub fn kick(&self, id: &str) -> bool {
        self.lock().get(id).is_some_and(|handle| handle.control.try_send(Control::Kick).is_ok())
    }

    /// Ends a stream: it becomes complete in the store. Waits until it is, at most 30 s.
    pub async fn end(&self, id: &str) {
        self.stop(id, Control::End).await;
    }

    /// Stops a stream without ending it: [`open`](Self::open) goes on, also after a restart of the server. For
    /// deletion, and for the server's stop.
    pub async fn leave(&self, id: &str) {
        self.stop(id, Control::Leave).await;
    }

    async fn stop(&self, id: &str, how: impl FnOnce(oneshot::Sender<()>) -> Control) {
        let (done, wait) = oneshot::channel();
        let control = self.lock().get(id).map(|handle| handle.control.clone());
        let asked = match control {
            Some(control) => control.send(how(done)).await.is_ok(),
            None => false,
        };
        if asked && tokio::time::timeout(STOP_LIMIT, wait).await.is_err() {
            tracing::error!(stream = id, "the live session does not stop");
        }
    }

    /// Stops all streams, ending them when `end`, else to go on at the next start of the server.
    pub async fn stop_all(&self, end: bool) {
        let ids: Vec<String> = self.lock().keys().cloned().collect();
        let stops = ids.iter().map(|id| async move {
            if end {
                self.end(id).await;
            } else {
                self.leave(id).await;
            }
        });
        futures_util::future::join_all(stops).await;
    }

    /// Forgets a stream that was stopped and deleted.
    pub fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    /// A stream's state; `None` when it was not started since the server's start.
    #[must_use]
    pub fn status(&self, id: &str) -> Option<LiveStatus> {
        self.lock().get(id).map(|handle| handle.status.borrow().clone())
    }

    /// Watches a stream's state. It changes at least twice a second while a publisher sends.
    #[must_use]
    pub fn watch(&self, id: &str) -> Option<watch::Receiver<LiveStatus>> {
        self.lock().get(id).map(|handle| handle.status.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Handle>> {
        self.inner.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a session on its thread.
struct Driver {
    stream: Arc<StreamStore>,
    session: Session,
    settings: LiveSettings,
    status: watch::Sender<LiveStatus>,
    commands: mpsc::Receiver<Control>,
    /// A publisher that is connected and sends nothing.
    quiet: Option<PublisherInfo>,
}

enum Next {
    Control(Option<Control>),
    Event(Option<Message>),
    Rung(Option<super::RungEvent>),
    GraceOver,
    Quiet,
    Look,
    TailOver,
    Due,
}

impl Driver {
    async fn run(mut self) {
        let mut connection: Option<mpsc::Receiver<Message>> = None;
        let mut grace: Option<Instant> = None;
        let mut rate = Rate::default();
        let mut heard = Instant::now();
        // Which end of a take is waited for, and until when.
        let mut tail: Option<(u64, Instant)> = None;
        loop {
            tail = self.session.tail().map(|number| match tail {
                Some((known, until)) if known == number => (known, until),
                _ => (number, Instant::now() + TAIL_LIMIT),
            });
            let tail_over = tail.map(|(_, until)| until);
            let due = self.session.due_ms().filter(|_| connection.is_some()).map(|due| {
                Instant::now() + Duration::from_millis(due.saturating_sub(self.stream.clock().now_ms()))
            });
            let over = grace;
            let silence = heard + Duration::from_millis(self.settings.quiet_ms.into());
            let silence = (connection.is_some() && self.quiet.is_none()).then_some(silence);
            // Also when nothing comes: the last units are told, and a rate that falls.
            let look = connection.is_some().then(|| rate.next());
            let next = {
                tokio::select! {
                    biased;
                    control = self.commands.recv() => Next::Control(control),
                    event = receive(self.session.rungs()) => Next::Rung(event),
                    message = receive(connection.as_mut()) => Next::Event(message),
                    () = wait_until(over) => Next::GraceOver,
                    () = wait_until(silence) => Next::Quiet,
                    () = wait_until(look) => Next::Look,
                    () = wait_until(tail_over) => Next::TailOver,
                    () = wait_until(due) => Next::Due,
                }
            };
            let result = match next {
                Next::Control(Some(Control::Connect(receiver, who))) => {
                    self.drain(&mut connection);
                    let replaced = connection.replace(receiver).is_some();
                    let result = if replaced { self.session.disconnect() } else { Ok(()) };
                    grace = None;
                    (self.quiet, heard) = (None, Instant::now());
                    tracing::info!(stream = self.stream.id(), publisher = ?who, replaced, "a publisher has come");
                    self.tell(LiveState::Live, Some(who));
                    result
                }
                Next::Control(Some(Control::Settings(settings))) => {
                    self.settings = settings.clone();
                    self.session.set(settings)
                }
                Next::Control(Some(Control::Kick)) => {
                    self.drain(&mut connection);
                    if connection.take().is_some() { self.lost(&mut grace) } else { Ok(()) }
                }
                Next::Control(Some(Control::End(done))) => {
                    self.drain(&mut connection);
                    drop(connection);
                    self.end().await;
                    let _ = done.send(());
                    return;
                }
                Next::Control(Some(Control::Leave(done))) => {
                    self.drain(&mut connection);
                    drop(connection);
                    if let Err(error) = self.close().await {
                        tracing::error!(stream = self.stream.id(), %error, "cannot close the last segments");
                    }
                    self.stream.flush_live();
                    self.tell(LiveState::Idle, None);
                    let _ = done.send(());
                    return;
                }
                // The manager is gone: so is the server.
                Next::Control(None) => return,
                Next::Event(Some(message)) => {
                    heard = Instant::now();
                    if let Some(who) = self.quiet.take() {
                        grace = None;
                        tracing::info!(stream = self.stream.id(), "the publisher sends again");
                        self.tell(LiveState::Live, Some(who));
                    }
                    self.session.handle(message.event, self.stream.clock().now_ms())
                }
                Next::Quiet => {
                    tracing::info!(stream = self.stream.id(), "the publisher is there and sends nothing");
                    let who = self.status.borrow().publisher.clone();
                    self.quiet = Some(who.clone().unwrap_or_default());
                    grace = Some(self.patience());
                    let result = self.session.pause();
                    self.tell(LiveState::Grace, who);
                    result
                }
                Next::Look => Ok(()),
                Next::Event(None) => {
                    connection = None;
                    self.lost(&mut grace)
                }
                Next::Rung(Some(event)) => self.session.rung(event),
                Next::Rung(None) => self.session.rungs_ended(),
                Next::TailOver => self.session.give_up_tail(),
                Next::Due => self.session.tick(self.stream.clock().now_ms()),
                Next::GraceOver => {
                    tracing::info!(
                        stream = self.stream.id(),
                        "the publisher did not come back: the stream ends"
                    );
                    self.commands.close();
                    self.end().await;
                    return;
                }
            };
            if let Err(error) = result {
                self.session.told.warn(self.stream.id(), format!("a part of the stream was lost: {error}"));
            }
            if rate.due() {
                self.refresh(&mut rate);
            }
        }
    }

    /// Takes what the publisher has sent already, before it is cut off.
    fn drain(&mut self, connection: &mut Option<mpsc::Receiver<Message>>) {
        let Some(receiver) = connection else { return };
        receiver.close();
        while let Ok(message) = receiver.try_recv() {
            if let Err(error) = self.session.handle(message.event, self.stream.clock().now_ms()) {
                self.session.told.warn(self.stream.id(), format!("a part of the stream was lost: {error}"));
            }
        }
    }

    /// The connection is gone: what there is becomes segments, and the grace period begins.
    fn lost(&mut self, grace: &mut Option<Instant>) -> Result<(), StoreError> {
        *grace = Some(self.patience());
        self.quiet = None;
        tracing::info!(stream = self.stream.id(), "the publisher has gone");
        self.refresh(&mut Rate::default());
        let result = self.session.disconnect();
        self.tell(LiveState::Grace, None);
        result
    }

    /// By when a publisher must have come back.
    fn patience(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.settings.grace_ms.into())
    }

    /// Ends the take, with what the encoders still hold.
    async fn close(&mut self) -> Result<(), StoreError> {
        let mut result = self.session.disconnect();
        let until = Instant::now() + TAIL_LIMIT;
        while self.session.tail().is_some() {
            let step = match tokio::time::timeout_at(until, receive(self.session.rungs())).await {
                Ok(Some(event)) => self.session.rung(event),
                Ok(None) => self.session.rungs_ended(),
                Err(_) => self.session.give_up_tail(),
            };
            result = result.and(step);
        }
        result
    }

    async fn end(&mut self) {
        self.refresh(&mut Rate::default());
        if let Err(error) = self.close().await.and_then(|()| self.stream.complete_live()) {
            tracing::error!(stream = self.stream.id(), %error, "the stream's end is not stored");
        }
        self.tell(LiveState::Ended, None);
    }

    fn tell(&mut self, state: LiveState, publisher: Option<PublisherInfo>) {
        let since_ms = self.stream.clock().now_ms();
        self.status.send_modify(|status| {
            status.state = state;
            status.since_ms = since_ms;
            status.publisher = publisher;
        });
        self.refresh(&mut Rate::default());
    }

    fn refresh(&mut self, rate: &mut Rate) {
        let bitrate = rate.measure(self.session.told.bytes);
        let (tracks, rungs) = (self.session.tracks(), self.session.rung_statuses());
        let told = &self.session.told;
        let (duration_ms, recording_failure) =
            (self.session.edge_ns() / 1_000_000, self.stream.recording_failure());
        self.status.send_modify(|status| {
            // What came last stays to be seen when its publisher is gone.
            if !tracks.is_empty() {
                status.tracks = tracks;
            }
            if !rungs.is_empty() {
                status.rungs = rungs;
            }
            status.bitrate =
                bitrate.unwrap_or(if status.state == LiveState::Live { status.bitrate } else { 0 });
            status.units = told.units;
            status.dropped = told.dropped;
            status.discontinuities = told.discontinuities;
            status.duration_ms = duration_ms;
            status.recording_failure = recording_failure;
            status.warnings.clone_from(&told.warnings);
        });
    }
}

/// Bits a second over the last four seconds or so.
#[derive(Debug, Default)]
struct Rate {
    samples: std::collections::VecDeque<(std::time::Instant, u64)>,
}

impl Rate {
    fn due(&self) -> bool {
        self.samples.back().is_none_or(|(at, _)| at.elapsed() >= STATUS_EVERY)
    }

    /// When the next sample is due.
    fn next(&self) -> Instant {
        self.samples.back().map_or_else(Instant::now, |(at, _)| Instant::from_std(*at + STATUS_EVERY))
    }

    fn measure(&mut self, bytes: u64) -> Option<u64> {
        let now = std::time::Instant::now();
        self.samples.push_back((now, bytes));
        if self.samples.len() > 9 {
            self.samples.pop_front();
        }
        let (from, before) = self.samples.front()?;
        let seconds = now.duration_since(*from).as_secs_f64();
        (seconds > 0.2).then(|| (bytes.saturating_sub(*before) as f64 * 8.0 / seconds) as u64)
    }
}

async fn receive<T>(receiver: Option<&mut mpsc::Receiver<T>>) -> Option<T> {
    match receiver {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
