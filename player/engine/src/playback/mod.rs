//! Decoding and showing what the sample buffers hold.
//!
//! [`Playback`] owns one pipeline and a thread that steers it: no call here waits for GStreamer. What happens is
//! told through a channel of [`Event`]s; pictures wait in a slot.

mod branches;
mod colour;
mod control;
mod decoders;
mod event;
mod feeder;
mod graph;
mod mailbox;
mod picture;
mod player;
mod sync;
mod tags;
#[cfg(test)]
mod tests;
mod time;
mod turn;
mod video;
mod view;

use std::{fmt, time::Duration};

use gstreamer_video as gst_video;

pub use event::Event;
pub use picture::{PictureView, PixelFormat, Plane};
pub use player::{FrameCounts, Options, Playback, PlaybackError, Tracks};

/// Coefficients from Y'CbCr to R'G'B'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matrix {
    /// ITU-R BT.601.
    Bt601,
    /// ITU-R BT.709.
    Bt709,
    /// ITU-R BT.2020, non-constant luminance.
    Bt2020,
}

/// A decoded picture, still mapped in the decoder's memory: nothing was copied.
pub struct VideoFrame {
    /// Pixels: NV12, I420, P010_10LE, I420_10LE or RGBA (alpha 255).
    pub frame: gst_video::VideoFrame<gst_video::video_frame::Readable>,
    /// Matrix to use; decided once per presentation, so that a switch does not change the hue.
    pub matrix: Matrix,
    /// Luma 0-255 instead of 16-235.
    pub full_range: bool,
    /// Where it stands on the presentation timeline.
    pub position: Duration,
    /// Counts up by one for each frame that the sink let through.
    pub serial: u64,
}

impl fmt::Debug for VideoFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VideoFrame {} at {:?}", self.serial, self.position)
    }
}
