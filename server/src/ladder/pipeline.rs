//! What every pipeline here needs: its end, its first error, low priority, and a sure stop.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::LadderError;
use super::log::Voice;

#[derive(Debug, Default)]
struct Seen {
    error: Option<String>,
    async_done: bool,
}

/// Hears a pipeline's bus in whichever thread posts, so no message waits and none piles up.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Watcher {
    /// The first error that was posted, as a sentence.
    pub(super) fn error(&self) -> Option<String> {
        self.lock().error.clone()
    }

    /// Waits until the pipeline has prerolled (or sought), an error comes, `stop` says so, or time is up.
    pub(super) fn wait_async_done(&self, limit: Duration, stop: &dyn Fn() -> bool) -> Result<(), String> {
        let until = Instant::now() + limit;
        let mut seen = self.lock();
        loop {
            if let Some(error) = &seen.error {
                return Err(error.clone());
            }
            if std::mem::take(&mut seen.async_done) {
                return Ok(());
            }
            if stop() {
                return Err("cancelled".to_owned());
            }
            if Instant::now() >= until {
                return Err(format!("nothing could be decoded within {} s", limit.as_secs()));
            }
            let waited = self.changed.wait_timeout(seen, Duration::from_millis(100));
            seen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, message: &gst::MessageRef, nice: i32, voice: &Voice) {
        match message.view() {
            gst::MessageView::Error(error) => {
                let text = sentence(&error.error().to_string(), error.debug().as_deref());
                voice.error(text.as_str());
                self.lock().error.get_or_insert(text);
                self.changed.notify_all();
            }
            gst::MessageView::Warning(warning) => {
                voice.warn(sentence(&warning.error().to_string(), warning.debug().as_deref()));
            }
            gst::MessageView::AsyncDone(_) => {
                self.lock().async_done = true;
                self.changed.notify_all();
            }
            gst::MessageView::StreamStatus(status) if status.get().0 == gst::StreamStatusType::Enter => {
                lower_priority(nice);
            }
            _ => (),
        }
    }
}

/// GStreamer's message and, when it says more than where in the source code it arose, its detail.
fn sentence(message: &str, debug: Option<&str>) -> String {
    let detail = debug.and_then(|text| text.lines().next_back()).unwrap_or_default().trim();
    let message = message.trim_end_matches('.');
    if detail.is_empty() || detail.contains(".c(") || detail == message {
        message.to_owned()
    } else {
        format!("{message} ({detail})")
    }
}

/// Makes the calling thread, and the ones that it starts, give way to the rest of the server.
pub(crate) fn lower_priority(nice: i32) {
    // Refused (the thread is nicer already, or a container forbids it) is fine: it only costs smoothness.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice);
}

/// A pipeline that is stopped when dropped.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) pipeline: gst::Pipeline,
    pub(super) watcher: Arc<Watcher>,
    /// Nice value of its threads.
    pub(super) nice: i32,
}

impl Guarded {
    /// An empty pipeline whose errors and warnings go to `voice`.
    pub(super) fn new(nice: i32, voice: &Voice) -> Self {
        let pipeline = gst::Pipeline::new();
        let watcher = Arc::new(Watcher::default());
        if let Some(bus) = pipeline.bus() {
            let (watcher, voice) = (Arc::clone(&watcher), voice.clone());
            bus.set_sync_handler(move |_, message| {
                watcher.hear(message, nice, &voice);
                gst::BusSyncReply::Drop
            });
        }
        Self { pipeline, watcher, nice }
    }

    pub(super) fn set_state(&self, state: gst::State) -> Result<(), String> {
        match self.pipeline.set_state(state) {
            Ok(_) => Ok(()),
            Err(_) => {
                Err(self.watcher.error().unwrap_or_else(|| format!("a GStreamer element refused {state:?}")))
            }
        }
    }

    /// Stops everything at once and releases whoever is blocked in it.
    pub(super) fn stop(&self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.stop();
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
        }
    }
}

/// Makes an element or says which plug-in is missing.
pub(super) fn make(factory: &str) -> Result<gst::Element, LadderError> {
    gst::ElementFactory::make(factory)
        .build()
        .map_err(|_| LadderError::Missing(format!("the GStreamer element {factory:?}")))
}

pub(super) fn has(factory: &str) -> bool {
    gst::ElementFactory::find(factory).is_some()
}
