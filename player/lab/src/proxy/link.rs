//! The shaped link: hands out the right to send, at the trace's rate.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::trace;

/// Bytes are handed out in portions of about this long, so that progress looks like that of a real link.
const QUANTUM_MS: f64 = 5.0;
const MIN_QUANTUM: usize = 128;
const MAX_QUANTUM: usize = 64 * 1024;
/// A sender that comes back within this time kept the link busy.
const BUSY_GAP: Duration = Duration::from_millis(8);
/// Timers that fire late are made good up to this much.
const MAX_LAG_MS: f64 = 200.0;

/// One link, shared by the connections of a client. It is a fluid queue: each portion is through when all
/// portions before it and its own bits are, by the trace.
#[derive(Debug)]
pub(super) struct ShapedLink {
    trace: trace::Link,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Time zero of the trace.
    origin: Option<Instant>,
    /// When everything handed out so far is through, in ms since the origin.
    busy_until_ms: f64,
    /// When a sender last wrote its portion, and whether that was without having to wait for the receiver.
    last_write: Option<Instant>,
}

impl ShapedLink {
    pub(super) fn new(trace: trace::Link, origin: Option<Instant>) -> Self {
        Self { trace, state: Mutex::new(State { origin, busy_until_ms: 0.0, last_write: None }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the trace unless it runs already.
    pub(super) fn start(&self, now: Instant) {
        self.state().origin.get_or_insert(now);
    }

    /// Milliseconds since the trace started; 0 before.
    pub(super) fn elapsed_ms(&self, now: Instant) -> f64 {
        self.state().origin.map_or(0.0, |origin| ms(now.saturating_duration_since(origin)))
    }

    /// Latency in force.
    pub(super) fn latency(&self, now: Instant) -> Duration {
        Duration::from_secs_f64(self.trace.latency_at(self.elapsed_ms(now)) / 1000.0)
    }

    /// Takes a place in the queue for up to `wanted` bytes: how many are granted, and when they are through.
    pub(super) fn reserve(&self, now: Instant, wanted: usize) -> (usize, Instant) {
        let mut state = self.state();
        let origin = *state.origin.get_or_insert(now);
        let now_ms = ms(now.saturating_duration_since(origin));
        let busy = state.last_write.is_some_and(|last| now.saturating_duration_since(last) <= BUSY_GAP);
        let earliest = if busy { now_ms - MAX_LAG_MS } else { now_ms };
        let from_ms = state.busy_until_ms.max(earliest).max(0.0);
        let quantum = (self.trace.kbps_at(from_ms) * QUANTUM_MS / 8.0) as usize;
        let granted = wanted.min(quantum.clamp(MIN_QUANTUM, MAX_QUANTUM));
        state.busy_until_ms = self.trace.finish_ms(from_ms, granted as f64 * 8.0);
        let through = Duration::try_from_secs_f64(state.busy_until_ms / 1000.0).unwrap_or(Duration::MAX);
        let far = Duration::from_secs(30 * 24 * 3600);
        (granted, origin + through.min(far))
    }

    /// A portion was written.
    pub(super) fn written(&self, now: Instant, receiver_was_slow: bool) {
        self.state().last_write = (!receiver_was_slow).then_some(now);
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Point, Trace};

    fn link(points: &[(f64, f64)]) -> ShapedLink {
        let points = points
            .iter()
            .map(|(duration_ms, kbps)| Point { duration_ms: *duration_ms, kbps: *kbps, latency_ms: 0.0 })
            .collect();
        ShapedLink::new(trace::Link::new(&Trace::new("test", points).unwrap()), None)
    }

    /// Sends `bytes` as a writer would whose timers fire `late` after the deadline.
    fn send(link: &ShapedLink, mut now: Instant, bytes: usize, late: Duration) -> Instant {
        let mut left = bytes;
        while left > 0 {
            let (granted, through) = link.reserve(now, left);
            now = now.max(through) + late;
            link.written(now, false);
            left -= granted;
        }
        now
    }

    #[test]
    fn late_timers_do_not_lower_the_rate() {
        let link = link(&[(60_000.0, 8000.0)]);
        let start = Instant::now();
        let end = send(&link, start, 2_000_000, Duration::from_millis(2));
        let took = (end - start).as_secs_f64();
        assert!((took - 2.0).abs() < 0.01, "{took}");
    }

    #[test]
    fn an_idle_link_saves_nothing_up() {
        let link = link(&[(60_000.0, 8000.0)]);
        let start = Instant::now();
        let end = send(&link, start, 1000, Duration::ZERO);
        let again = end + Duration::from_secs(5);
        let took = (send(&link, again, 1_000_000, Duration::ZERO) - again).as_secs_f64();
        assert!((took - 1.0).abs() < 0.01, "{took}");
    }

    #[test]
    fn an_outage_holds_what_was_asked_for_before_it() {
        let link = link(&[(1000.0, 800.0), (3000.0, 0.0)]);
        let start = Instant::now();
        let took = (send(&link, start, 110_000, Duration::ZERO) - start).as_secs_f64();
        assert!((took - 4.1).abs() < 0.01, "{took}");
    }

    #[test]
    fn portions_are_a_few_milliseconds_long() {
        let link = link(&[(60_000.0, 1500.0)]);
        let now = Instant::now();
        let (granted, through) = link.reserve(now, 1_000_000);
        assert_eq!(granted, 937);
        assert!((through - now).as_secs_f64() < 0.006);
    }
}
