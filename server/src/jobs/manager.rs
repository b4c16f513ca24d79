//! The queue of packaging jobs and the workers that empty it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::run;
use crate::ingest::{FetchPolicy, PublicInternet, SourceSpec};
use crate::ladder::{EncoderProgram, Profile, StreamLogs, VideoEncoderKind, Voice};
use crate::store::Store;

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for a worker.
    Queued,
    /// Downloads its source.
    Fetching,
    /// Encodes and writes segments.
    Packaging,
    /// The stream is complete.
    Done,
    /// Gave up; [`JobStatus::error`] says why.
    Failed,
    /// Was cancelled or the server is stopping. Finished segments stay; starting it again continues.
    Cancelled,
}

impl JobState {
    /// The job will not move any more.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// A job's progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Where it is.
    pub state: JobState,
    /// 0 to 1 within the state `Fetching` or `Packaging`; 1 when `Done`.
    pub progress: f32,
    /// Length of the source, once known.
    pub duration_s: Option<f64>,
    /// Why it failed: one or two sentences for a person.
    pub error: Option<String>,
    /// What went wrong without ending the job, a lost rung for instance.
    pub warnings: Vec<String>,
}

impl JobStatus {
    fn queued() -> Self {
        Self { state: JobState::Queued, progress: 0.0, duration_s: None, error: None, warnings: Vec::new() }
    }
}

/// How jobs are run.
#[derive(Debug, Clone)]
pub struct JobOptions {
    /// Jobs that run at the same time, 1 or 2 on small machines; the others wait.
    pub parallel: usize,
    /// Jobs that may wait; [`JobManager::start`] refuses more.
    pub queue_limit: usize,
    /// How much lower than the rest of the server encoder threads are scheduled (a nice value, 0 to 19).
    pub nice: i32,
    /// Where downloads may come from.
    pub fetch_policy: Arc<dyn FetchPolicy>,
    /// Where jobs and their encoders tell what happens to a stream.
    pub logs: Arc<StreamLogs>,
    /// The encoders that may be used, best first.
    pub encoders: Vec<VideoEncoderKind>,
    /// How packaging processes are started; without it, jobs run in this process, and may take it along.
    pub program: Option<EncoderProgram>,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            parallel: 1,
            queue_limit: 1000,
            nice: 10,
            fetch_policy: Arc::new(PublicInternet { max_bytes: 20 << 30 }),
            logs: Arc::default(),
            encoders: VideoEncoderKind::FILES.to_vec(),
            program: None,
        }
    }
}

/// Why a job could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A job for that stream is queued or running.
    #[error("stream {0:?} is being packaged already")]
    Running(String),
    /// Too many jobs wait.
    #[error("{0} jobs wait already: try again when some have finished")]
    QueueFull(usize),
    /// Source or profile are out of range.
    #[error("{0}")]
    Invalid(String),
    /// [`JobManager::shutdown`] was called.
    #[error("the server is stopping")]
    Stopping,
    /// No thread could be started.
    #[error("cannot start a worker thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What the worker threads of one job need to know and say.
#[derive(Debug)]
pub(crate) struct JobControl {
    pub(super) id: String,
    /// The job's voice in the stream's log.
    pub(super) voice: Voice,
    cancelled: AtomicBool,
    status: watch::Sender<JobStatus>,
}

impl JobControl {
    pub(crate) fn new(id: &str, voice: Voice) -> Self {
        Self {
            id: id.to_owned(),
            voice,
            cancelled: AtomicBool::new(false),
            status: watch::Sender::new(JobStatus::queued()),
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut JobStatus)) {
        self.status.send_modify(change);
    }

    /// Moves the progress when it differs by half a per cent or more.
    pub(crate) fn update_progress(&self, progress: f32) {
        self.status.send_if_modified(|status| {
            let moved = (progress - status.progress).abs() >= 0.005;
            if moved {
                status.progress = progress;
            }
            moved
        });
    }

    pub(crate) fn watch(&self) -> watch::Receiver<JobStatus> {
        self.status.subscribe()
    }
}

#[derive(Debug)]
struct Waiting {
    control: Arc<JobControl>,
    source: SourceSpec,
    profile: Profile,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    jobs: HashMap<String, Arc<JobControl>>,
    running: usize,
    stopping: bool,
}

#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    options: JobOptions,
    queue: Mutex<Queue>,
    idle: Condvar,
}

/// Starts, watches and stops packaging jobs. Cheap to clone.
///
/// Starting a job for a stream that was packaged in part (the process was killed, or the job cancelled)
/// continues at the first segment that is not finished on every rendition; for a complete stream it does
/// nothing and is `Done` at once. So after a restart just start every stream that is not complete again.
#[derive(Debug, Clone)]
pub struct JobManager {
    shared: Arc<Shared>,
}

impl JobManager {
    /// A manager without jobs.
    #[must_use]
    pub fn new(store: Arc<Store>, options: JobOptions) -> Self {
        Self { shared: Arc::new(Shared { store, options, queue: Mutex::default(), idle: Condvar::new() }) }
    }

    /// Queues the packaging of `source` into stream `id` (its folder is made when there is none) and returns
    /// its progress.
    ///
    /// # Errors
    /// See [`StartError`]. Everything that goes wrong later is in [`JobStatus::error`].
    pub fn start(
        &self,
        id: &str,
        source: SourceSpec,
        profile: Profile,
    ) -> Result<watch::Receiver<JobStatus>, StartError> {
        profile.check().map_err(StartError::Invalid)?;
        if let SourceSpec::TestCard(card) = &source {
            card.check().map_err(StartError::Invalid)?;
        }
        let mut queue = self.shared.lock();
        if queue.stopping {
            return Err(StartError::Stopping);
        }
        if queue.jobs.get(id).is_some_and(|job| !job.status.borrow().state.is_over()) {
            return Err(StartError::Running(id.to_owned()));
        }
        if queue.waiting.len() >= self.shared.options.queue_limit {
            return Err(StartError::QueueFull(queue.waiting.len()));
        }
        let voice = Voice::new(&self.shared.options.logs.of(id), "job");
        let control = Arc::new(JobControl::new(id, voice));
        let receiver = control.watch();
        if queue.running < self.shared.options.parallel.max(1) {
            let shared = Arc::clone(&self.shared);
            std::thread::Builder::new().name("weir-package".to_owned()).spawn(move || shared.work())?;
            queue.running += 1;
        }
        queue.jobs.insert(id.to_owned(), Arc::clone(&control));
        queue.waiting.push_back(Waiting { control, source, profile });
        Ok(receiver)
    }

    /// A job's progress; `None` when none was started since the server's start.
    #[must_use]
    pub fn status(&self, id: &str) -> Option<JobStatus> {
        self.shared.lock().jobs.get(id).map(|job| job.status.borrow().clone())
    }

    /// Watches a job's progress.
    #[must_use]
    pub fn watch(&self, id: &str) -> Option<watch::Receiver<JobStatus>> {
        self.shared.lock().jobs.get(id).map(|job| job.watch())
    }

    /// Asks a job to stop and returns a receiver that shows when it has; `None` when there is none. What is
    /// finished stays.
    #[must_use = "wait for the job to be over before you delete its stream"]
    pub fn cancel(&self, id: &str) -> Option<watch::Receiver<JobStatus>> {
        let mut queue = self.shared.lock();
        let control = queue.jobs.get(id).cloned()?;
        control.cancel();
        let before = queue.waiting.len();
        queue.waiting.retain(|waiting| waiting.control.id != id);
        if queue.waiting.len() < before {
            control.update(|status| status.state = JobState::Cancelled);
        }
        Some(control.watch())
    }

    /// Cancels the job of a stream that is to be deleted, waits until it has stopped (at most 30 s), and
    /// forgets it. `false` when it would not stop.
    pub async fn cancel_and_wait(&self, id: &str) -> bool {
        let Some(mut receiver) = self.cancel(id) else { return true };
        let over = receiver.wait_for(|status| status.state.is_over());
        let stopped = tokio::time::timeout(STOP_LIMIT, over).await.is_ok();
        if stopped {
            self.shared.lock().jobs.remove(id);
        }
        stopped
    }

    /// Cancels everything and waits until the workers have stopped, at most 30 s. Blocks: call it from a
    /// blocking thread.
    pub fn shutdown(&self) {
        let mut queue = self.shared.lock();
        queue.stopping = true;
        for waiting in queue.waiting.drain(..) {
            waiting.control.update(|status| status.state = JobState::Cancelled);
        }
        for job in queue.jobs.values() {
            job.cancel();
        }
        let _ = self
            .shared
            .idle
            .wait_timeout_while(queue, STOP_LIMIT, |queue| queue.running > 0)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

const STOP_LIMIT: Duration = Duration::from_secs(30);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker: takes jobs until none waits.
    fn work(&self) {
        loop {
            let job = {
                let mut queue = self.lock();
                match queue.waiting.pop_front() {
                    Some(job) => job,
                    None => {
                        queue.running = queue.running.saturating_sub(1);
                        self.idle.notify_all();
                        return;
                    }
                }
            };
            self.run_one(&job);
        }
    }

    fn run_one(&self, job: &Waiting) {
        let control = &job.control;
        let begun = Instant::now();
        let outcome = run::run(&self.store, &self.options, control, &job.source, &job.profile);
        match &outcome {
            Ok(()) => control.voice.info(format!("complete after {:.1} s", begun.elapsed().as_secs_f64())),
            Err(_) if control.is_cancelled() => control.voice.info("stopped"),
            Err(error) => control.voice.error(error.to_string()),
        }
        control.update(|status| match outcome {
            Ok(()) => {
                status.state = JobState::Done;
                status.progress = 1.0;
            }
            Err(_) if control.is_cancelled() => status.state = JobState::Cancelled,
            Err(error) => {
                tracing::error!(stream = control.id, %error, "packaging failed");
                status.state = JobState::Failed;
                status.error = Some(error.to_string());
            }
        });
    }
}
