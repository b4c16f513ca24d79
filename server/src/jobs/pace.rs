//! How video and audio of one job keep step, and agree where the stream ends.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::manager::JobControl;

#[derive(Debug, Default)]
struct State {
    video_ns: u64,
    video_end: Option<u64>,
    audio_end: Option<u64>,
    failed: bool,
    /// Video's place when audio last lost its patience with it.
    gave_up_at: Option<u64>,
}

/// Shared by the two sides of a job.
#[derive(Debug)]
pub(super) struct Pace<'a> {
    control: &'a JobControl,
    state: Mutex<State>,
    changed: Condvar,
}

/// Audio waits no longer than this for video that does not move: a badly interleaved file may need the
/// audio out of the way first.
const PATIENCE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(200);

impl<'a> Pace<'a> {
    /// A side that does not exist counts as ended at 0.
    pub(super) fn new(control: &'a JobControl, has_video: bool, has_audio: bool) -> Self {
        let end = |exists: bool| if exists { None } else { Some(0) };
        let state = State { video_end: end(has_video), audio_end: end(has_audio), ..State::default() };
        Self { control, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The job was cancelled or the other side failed.
    pub(super) fn stopped(&self) -> bool {
        self.control.is_cancelled() || self.lock().failed
    }

    pub(super) fn fail(&self) {
        self.lock().failed = true;
        self.changed.notify_all();
    }

    pub(super) fn video_at(&self, ns: u64) {
        self.lock().video_ns = ns;
        self.changed.notify_all();
    }

    pub(super) fn video_ended(&self, ns: u64) {
        self.lock().video_end = Some(ns);
        self.changed.notify_all();
    }

    pub(super) fn audio_ended(&self, ns: u64) {
        self.lock().audio_end = Some(ns);
        self.changed.notify_all();
    }

    /// Holds audio at `ns` back until video is at most `lead_ns` behind.
    pub(super) fn hold_audio(&self, ns: u64, lead_ns: u64) {
        let mut waited = Duration::ZERO;
        let mut state = self.lock();
        let mut seen = state.video_ns;
        while state.video_end.is_none()
            && !state.failed
            && !self.control.is_cancelled()
            && ns > state.video_ns + lead_ns
            && state.gave_up_at != Some(state.video_ns)
        {
            if waited >= PATIENCE {
                state.gave_up_at = Some(state.video_ns);
                return;
            }
            let (next, timeout) =
                self.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if state.video_ns > seen {
                seen = state.video_ns;
                waited = Duration::ZERO;
            } else if timeout.timed_out() {
                waited += TICK;
            }
        }
    }

    /// Where the longer side ends, once both are there; `None` when the job is stopped before.
    pub(super) fn common_end(&self) -> Option<u64> {
        let mut state = self.lock();
        loop {
            if state.failed || self.control.is_cancelled() {
                return None;
            }
            if let (Some(video), Some(audio)) = (state.video_end, state.audio_end) {
                return Some(video.max(audio));
            }
            state = self.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
