use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{Event, VideoFrame};
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
    _private: (),
}

impl Playback {
    /// Sets up the pipeline, held, without data: call [`Self::prepare`] next. `wake` is called from a streaming thread for each
    /// new frame in the slot: it must return at once. Events that find the channel full are lost, so give it room
    /// (64 is plenty) and read it.
    ///
    /// # Errors
    /// See [`PlaybackError`].
    pub fn new(
        options: Options,
        tracks: Tracks,
        events: mpsc::Sender<Event>,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, PlaybackError> {
        let _ = (options, tracks, events, wake);
        Ok(Self { _private: () })
    }

    /// Gets ready at `position`: [`Event::Seeked`] says when the first picture is there.
    /// It may be called as soon as the tracks are known; samples may come later.
    pub fn prepare(&self, position: Duration) {
        let _ = position;
    }

    /// Lets the clock run, as soon as everything is ready.
    pub fn play(&self) {}

    /// Holds the clock: for a pause, and for a stall before the buffers run dry.
    pub fn hold(&self) {}

    /// Flushes and goes to `to`: exact, the first picture is the one whose interval contains `to`; else it is the
    /// key frame before. The samples should be buffered; if not, the old picture stays until they are.
    /// A seek during another one takes its place. Playing or held stays as it was.
    pub fn seek(&self, to: Duration, exact: bool) {
        let _ = (to, exact);
    }

    /// 0.25 to 4.0, else brought into that range; the pitch stays.
    pub fn set_rate(&self, rate: f64) {
        let _ = rate;
    }

    /// 0.0 to 1.0, else brought into that range.
    pub fn set_volume(&self, volume: f64) {
        let _ = volume;
    }

    /// Silence without losing the volume.
    pub fn set_muted(&self, muted: bool) {
        let _ = muted;
    }

    /// RGBA frames of at most this height, or planes.
    pub fn set_rgba_height(&self, height: Option<u32>) {
        let _ = height;
    }

    /// Where playback is, by the sink's clock; the target while a seek is under way. `None` before [`Self::prepare`].
    pub fn position(&self) -> Option<Duration> {
        None
    }

    /// The newest frame that is due, when it was not taken before.
    pub fn take_frame(&self) -> Option<VideoFrame> {
        None
    }

    /// Frames so far.
    pub fn stats(&self) -> FrameCounts {
        FrameCounts::default()
    }
}
