//! How video and audio of one job keep step, and agree where the stream ends.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::manager::JobControl;

#[derive(Debug, Default)]
struct Side {
    at: u64,
    end: Option<u64>,
    /// The other side's place when this one last lost its patience with it.
    gave_up_at: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    video: Side,
    audio: Side,
    failed: bool,
}

/// Shared by the two sides of a job.
#[derive(Debug)]
pub(super) struct Pace<'a> {
    control: &'a JobControl,
    state: Mutex<State>,
    changed: Condvar,
}

/// No side waits longer than this for one that does not move: a badly interleaved file may need this side's
/// samples out of the way first.
const PATIENCE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(200);

impl<'a> Pace<'a> {
    /// A side that does not exist counts as ended at 0.
    pub(super) fn new(control: &'a JobControl, has_video: bool, has_audio: bool) -> Self {
        let side = |exists: bool| Side { end: (!exists).then_some(0), ..Side::default() };
        let state = State { video: side(has_video), audio: side(has_audio), failed: false };
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

    pub(super) fn video_ended(&self, ns: u64) {
        self.lock().video.end = Some(ns);
        self.changed.notify_all();
    }

    pub(super) fn audio_ended(&self, ns: u64) {
        self.lock().audio.end = Some(ns);
        self.changed.notify_all();
    }

    /// Audio has got to `ns`. Holds it back while it is more than `lead_ns` ahead of video.
    pub(super) fn audio_at(&self, ns: u64, lead_ns: u64) {
        let mut state = self.lock();
        state.audio.at = ns;
        self.changed.notify_all();
        self.hold(state, |state| (&mut state.audio, &state.video), lead_ns);
    }

    /// Video has got to `ns`. Holds it back while it is more than `lead_ns` ahead of audio.
    pub(super) fn video_at(&self, ns: u64, lead_ns: u64) {
        let mut state = self.lock();
        state.video.at = ns;
        self.changed.notify_all();
        self.hold(state, |state| (&mut state.video, &state.audio), lead_ns);
    }

    /// The source's own pictures have got to `ns`. Holds them back while they are more than `lead_ns` ahead of the
    /// encoded ones; `false` when the job is stopped.
    pub(super) fn source_at(&self, ns: u64, lead_ns: u64) -> bool {
        let mut state = self.lock();
        loop {
            if state.failed || self.control.is_cancelled() {
                return false;
            }
            if state.video.end.is_some() || ns <= state.video.at.saturating_add(lead_ns) {
                return true;
            }
            state = self.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn hold(
        &self,
        mut state: MutexGuard<'_, State>,
        sides: impl Fn(&mut State) -> (&mut Side, &Side),
        lead_ns: u64,
    ) {
        let mut waited = Duration::ZERO;
        let mut seen = None;
        while !state.failed && !self.control.is_cancelled() {
            let (own, other) = sides(&mut state);
            if other.end.is_some()
                || own.at <= other.at.saturating_add(lead_ns)
                || own.gave_up_at == Some(other.at)
            {
                return;
            }
            if seen != Some(other.at) {
                seen = Some(other.at);
                waited = Duration::ZERO;
            }
            if waited >= PATIENCE {
                own.gave_up_at = Some(other.at);
                return;
            }
            let (next, timeout) =
                self.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if timeout.timed_out() {
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
            if let (Some(video), Some(audio)) = (state.video.end, state.audio.end) {
                return Some(video.max(audio));
            }
            state = self.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Where the longer side ended; `None` while one of them goes on.
    pub(super) fn ended_at(&self) -> Option<u64> {
        let state = self.lock();
        Some(state.video.end?.max(state.audio.end?))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
