//! What the handle may look at while the control thread is busy.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gstreamer::{self as gst, prelude::*};

use super::time;

#[derive(Debug, Default)]
struct State {
    /// Where it will be, while a seek is under way.
    target: Option<Duration>,
    /// When nothing better is known.
    last: Option<Duration>,
    /// The sink that knows the position, and whether it shows pictures.
    sink: Option<(gst::glib::WeakRef<gst::Element>, bool)>,
    late_in_decoder: Arc<AtomicU64>,
    /// Pictures that earlier pipelines dropped.
    dropped_before: u64,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct View {
    state: Mutex<State>,
}

impl View {
    pub(super) fn position(&self) -> Option<Duration> {
        let (target, last, sink) = {
            let state = self.lock();
            (state.target, state.last, state.sink.clone())
        };
        if target.is_some() {
            return target;
        }
        // Asked without the lock: the sink may take a while when its state changes.
        let now = sink.and_then(|(sink, _)| sink.upgrade()?.query_position::<gst::ClockTime>());
        let Some(now) = now.map(|now| time::duration(time::from_pipeline(now))) else { return last };
        let mut state = self.lock();
        if state.target.is_some() {
            return state.target;
        }
        state.last = Some(now);
        Some(now)
    }

    pub(super) fn dropped(&self) -> u64 {
        let state = self.lock();
        let at_sink = match &state.sink {
            Some((sink, true)) => sink.upgrade().map_or(0, |sink| {
                sink.property::<gst::Structure>("stats").get::<u64>("dropped").unwrap_or(0)
            }),
            _ => 0,
        };
        state.dropped_before + at_sink + state.late_in_decoder.load(Ordering::Relaxed)
    }

    /// On the way to `target`.
    pub(super) fn set_target(&self, target: Duration) {
        self.lock().target = Some(target);
    }

    /// Arrived at `position`.
    pub(super) fn arrive(&self, position: Duration) {
        let mut state = self.lock();
        state.target = None;
        state.last = Some(position);
    }

    /// A new pipeline is in use.
    pub(super) fn attach(&self, sink: &gst::Element, has_pictures: bool, late: &Arc<AtomicU64>) {
        let mut state = self.lock();
        state.sink = Some((sink.downgrade(), has_pictures));
        state.late_in_decoder = Arc::clone(late);
    }

    /// The pipeline is about to go.
    pub(super) fn detach(&self) {
        let dropped = self.dropped();
        let last = self.position();
        let mut state = self.lock();
        state.dropped_before = dropped;
        state.last = last;
        state.sink = None;
        state.late_in_decoder = Arc::default();
    }

    #[cfg(test)]
    pub(super) fn sink(&self) -> Option<gst::Element> {
        self.lock().sink.as_ref().and_then(|(sink, _)| sink.upgrade())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing here that spans two calls.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
