//! The video sink: the newest picture waits in a slot.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use gstreamer::{self as gst, prelude::*};
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use tokio::sync::mpsc;

use super::{
    Event, VideoFrame, colour,
    sync::{SyncMeter, is_lit},
    tags::{Origin, TagLog},
    time,
};

/// What sinks and handle share, whichever pipeline is in use.
pub(super) struct Screen {
    slot: Mutex<Option<VideoFrame>>,
    wake: Arc<dyn Fn() + Send + Sync>,
    events: mpsc::Sender<Event>,
    pub(super) tags: Arc<TagLog>,
    pub(super) meter: Option<SyncMeter>,
    showing: Mutex<Option<Origin>>,
    /// Time of the picture that waits at the sink: it is in the slot already when it becomes due.
    waiting: Mutex<Option<gst::ClockTime>>,
    first_frame: AtomicBool,
    serial: AtomicU64,
    shown: AtomicU64,
}

impl Screen {
    pub(super) fn new(
        events: mpsc::Sender<Event>,
        wake: Arc<dyn Fn() + Send + Sync>,
        measure_sync: bool,
    ) -> Self {
        Self {
            slot: Mutex::default(),
            wake,
            events,
            tags: Arc::default(),
            meter: measure_sync.then(SyncMeter::default),
            showing: Mutex::default(),
            waiting: Mutex::default(),
            first_frame: AtomicBool::new(true),
            serial: AtomicU64::new(0),
            shown: AtomicU64::new(0),
        }
    }

    pub(super) fn take(&self) -> Option<VideoFrame> {
        lock(&self.slot).take()
    }

    pub(super) fn shown(&self) -> u64 {
        self.shown.load(Ordering::Relaxed)
    }

    /// Never waits: a streaming thread that did would stop the pictures.
    pub(super) fn tell(&self, event: Event) {
        if let Err(error) = self.events.try_send(event) {
            tracing::debug!("an event of the playback pipeline was not read: {error}");
        }
    }

    /// Flash and beep that belong together.
    pub(super) fn tell_sync(&self, pair: Option<(i64, i64)>) {
        if let Some((flash, beep)) = pair {
            self.tell(Event::Sync { flash: time::duration(flash), beep: time::duration(beep) });
        }
    }

    /// A picture is at the sink: `due` while playing, else it waits there.
    fn picture(&self, sample: &gst::Sample, now: Option<gst::ClockTime>, due: bool) -> Option<()> {
        let caps = sample.caps()?;
        let info = gst_video::VideoInfo::from_caps(caps).ok()?;
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        let buffer = sample.buffer_owned()?;
        let pts = buffer.pts()?;
        let position = time::from_pipeline(segment.to_stream_time(pts)?);
        let frame = gst_video::VideoFrame::from_buffer_readable(buffer, &info).ok()?;
        let waited = std::mem::replace(&mut *lock(&self.waiting), (!due).then_some(pts));
        if due {
            self.shown.fetch_add(1, Ordering::Relaxed);
            self.measure(&frame, segment, pts, now);
            if waited == Some(pts) {
                return Some(());
            }
        }
        let (matrix, full_range) = colour::of(&info);
        let serial = self.serial.fetch_add(1, Ordering::Relaxed) + 1;
        let position_shown = time::duration(position);
        let frame = VideoFrame { frame, matrix, full_range, position: position_shown, serial };
        *lock(&self.slot) = Some(frame);
        self.tell_origin(position, &info);
        (self.wake)();
        Some(())
    }

    fn measure(
        &self,
        frame: &gst_video::VideoFrame<gst_video::video_frame::Readable>,
        segment: &gst::FormattedSegment<gst::ClockTime>,
        pts: gst::ClockTime,
        now: Option<gst::ClockTime>,
    ) -> Option<()> {
        let meter = self.meter.as_ref()?;
        let lit = is_lit(frame)?;
        // When it really came, which is what a viewer sees, and never before it was due.
        let running = now.max(segment.to_running_time(pts))?;
        let at = segment.to_stream_time(segment.position_from_running_time(running)?)?;
        self.tell_sync(meter.picture(lit, time::from_pipeline(at)));
        Some(())
    }

    fn tell_origin(&self, position: i64, info: &gst_video::VideoInfo) {
        let Some(mut origin) = self.tags.origin(position) else { return };
        // Coded size where the container tells it; pictures may be scaled on their way here.
        if origin.height == 0 {
            (origin.width, origin.height) = (info.width(), info.height());
        }
        if lock(&self.showing).replace(origin) == Some(origin) {
            return;
        }
        if self.first_frame.swap(false, Ordering::Relaxed) {
            self.tell(Event::FirstFrame { height: origin.height });
        }
        self.tell(Event::Showing {
            rung: origin.tag.rung,
            segment: origin.tag.segment,
            width: origin.width,
            height: origin.height,
            position: time::duration(position),
        });
    }
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("shown", &self.shown()).finish_non_exhaustive()
    }
}

/// Gives pictures of `sink` to `screen`; `ready` is called when one waits there, or none will come.
pub(super) fn watch(sink: &gst_app::AppSink, screen: &Arc<Screen>, ready: Arc<dyn Fn() + Send + Sync>) {
    let (waiting, due) = (Arc::clone(screen), Arc::clone(screen));
    let (at_preroll, at_end) = (Arc::clone(&ready), ready);
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_preroll(move |sink| {
                if let Ok(sample) = sink.pull_preroll() {
                    waiting.picture(&sample, None, false);
                    at_preroll();
                }
                Ok(gst::FlowSuccess::Ok)
            })
            .new_sample(move |sink| {
                if let Ok(sample) = sink.pull_sample() {
                    due.picture(&sample, sink.current_running_time(), true);
                }
                Ok(gst::FlowSuccess::Ok)
            })
            .eos(move |_| at_end())
            .build(),
    );
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere must not become a second one inside a GStreamer callback.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
