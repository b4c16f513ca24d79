use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use gstreamer as gst;
use tokio::sync::mpsc;

use super::{
    Event, VideoFrame,
    control::Control,
    decoders,
    mailbox::{Mail, Mailbox, Wish},
    video::Screen,
    view::View,
};
use crate::samples::SharedTrack;

/// How to play.
#[derive(Clone, Debug)]
pub struct Options {
    /// No sound card: a silent sink keeps time.
    pub headless: bool,
    /// Look for the test card's flashes and beeps.
    pub measure_sync: bool,
    /// Give RGBA frames of at most this height instead of planes.
    pub rgba_height: Option<u32>,
    /// Lines of the highest rung, where known: an untagged presentation of 720 lines or more is BT.709.
    pub top_height: Option<u32>,
    /// 0.0 to 1.0.
    pub volume: f64,
    /// Silenced.
    pub muted: bool,
    /// 0.25 to 4.0.
    pub rate: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            headless: false,
            measure_sync: false,
            rgba_height: None,
            top_height: None,
            volume: 1.0,
            muted: false,
            rate: 1.0,
        }
    }
}

/// Where the samples come from; at least one of them.
#[derive(Clone, Debug, Default)]
pub struct Tracks {
    /// Pictures.
    pub video: Option<Arc<SharedTrack>>,
    /// Sound.
    pub audio: Option<Arc<SharedTrack>>,
}

/// Frames at the video sink since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// In time.
    pub shown: u64,
    /// Too late to be shown, or not decoded for being too late.
    pub dropped: u64,
}

/// Why playback could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaybackError {
    /// There is neither pictures nor sound.
    #[error("there is nothing to play: neither a video nor an audio track")]
    NoTracks,
    /// A GStreamer element is not installed.
    #[error("the GStreamer element {element} is missing: install the package {package}")]
    MissingElement {
        /// Its name.
        element: &'static str,
        /// Where Debian and Ubuntu have it.
        package: &'static str,
    },
    /// GStreamer or a thread would not start.
    #[error("playback could not be set up: {0}")]
    Setup(String),
}

/// One presentation being played. Dropping it stops everything and waits for its threads.
#[derive(Debug)]
pub struct Playback {
    mailbox: Arc<Mailbox>,
    pub(super) view: Arc<View>,
    pub(super) screen: Arc<Screen>,
    thread: Option<JoinHandle<()>>,
}

impl Playback {
    /// Sets up the pipeline, held, without data: call [`Self::prepare`] next. `wake` is called from a streaming
    /// thread for each new frame in the slot: it must return at once and must not panic. Events that find the channel
    /// full are lost, so give it room (64 is plenty) and read it.
    ///
    /// Hardware decoders are tried first; the environment variable `WEIR_HARDWARE_DECODING=off` leaves them out.
    ///
    /// # Errors
    /// See [`PlaybackError`].
    pub fn new(
        options: Options,
        tracks: Tracks,
        events: mpsc::Sender<Event>,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, PlaybackError> {
        gst::init().map_err(|error| PlaybackError::Setup(error.to_string()))?;
        decoders::rank();
        let mailbox = Arc::<Mailbox>::default();
        let view = Arc::<View>::default();
        let screen = Arc::new(Screen::new(events, wake, options.measure_sync));
        let mut options = options;
        options.rate = sane_rate(options.rate);
        let control =
            Control::new(options, tracks, Arc::clone(&screen), Arc::clone(&mailbox), Arc::clone(&view))?;
        let thread = thread::Builder::new()
            .name("weir-playback".to_owned())
            .spawn(move || control.run())
            .map_err(|error| PlaybackError::Setup(format!("no thread could be started: {error}")))?;
        Ok(Self { mailbox, view, screen, thread: Some(thread) })
    }

    /// Gets ready at `position`: [`Event::Seeked`] says when the first picture is there.
    /// It may be called as soon as the tracks are known; samples may come later.
    pub fn prepare(&self, position: Duration) {
        self.seek(position, true);
    }

    /// Lets the clock run, as soon as everything is ready.
    pub fn play(&self) {
        self.mailbox.post(Mail::Playing(true));
    }

    /// Holds the clock: for a pause, and for a stall before the buffers run dry.
    pub fn hold(&self) {
        self.mailbox.post(Mail::Playing(false));
    }

    /// Flushes and goes to `to`: exact, the first picture is the one whose interval contains `to`; else it is the
    /// key frame before. The samples should be buffered; if not, the old picture stays until they are.
    /// A seek during another one takes its place. Playing or held stays as it was.
    pub fn seek(&self, to: Duration, exact: bool) {
        self.mailbox.wish(Wish { to, exact }, || self.view.set_target(to));
    }

    /// 0.25 to 4.0, else brought into that range; the pitch stays.
    pub fn set_rate(&self, rate: f64) {
        self.mailbox.post(Mail::Rate(sane_rate(rate)));
    }

    /// As [`Self::set_rate`], without a break: from the next key frame on that was not handed to the decoder yet, a second or
    /// a few later. For small changes, which sound and picture make together.
    pub fn drift(&self, rate: f64) {
        self.mailbox.post(Mail::Drift(sane_rate(rate)));
    }

    /// 0.0 to 1.0, else brought into that range.
    pub fn set_volume(&self, volume: f64) {
        self.mailbox.post(Mail::Volume(volume));
    }

    /// Silence without losing the volume.
    pub fn set_muted(&self, muted: bool) {
        self.mailbox.post(Mail::Muted(muted));
    }

    /// RGBA frames of at most this height, or planes; from the next decoded picture on.
    pub fn set_rgba_height(&self, height: Option<u32>) {
        self.mailbox.post(Mail::RgbaHeight(height));
    }

    /// Where playback is, by the sink's clock; the target while a seek is under way. `None` before [`Self::prepare`].
    pub fn position(&self) -> Option<Duration> {
        self.view.position()
    }

    /// The newest frame that is due, when it was not taken before.
    pub fn take_frame(&self) -> Option<VideoFrame> {
        self.screen.take()
    }

    /// Frames so far.
    pub fn stats(&self) -> FrameCounts {
        FrameCounts { shown: self.screen.shown(), dropped: self.view.dropped() }
    }
}

impl Drop for Playback {
    fn drop(&mut self) {
        self.mailbox.post(Mail::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the playback thread had panicked");
        }
        // A picture in the slot is memory of the decoder.
        drop(self.screen.take());
    }
}

fn sane_rate(rate: f64) -> f64 {
    if rate.is_finite() { rate.clamp(0.25, 4.0) } else { 1.0 }
}
