//! A decoded picture as plain slices, for whoever paints it: no GStreamer type is needed to read one.

use std::time::Duration;

use gstreamer_video::{self as gst_video, prelude::*};

use super::{Matrix, VideoFrame};

/// How the samples of a picture lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// 8 bit luma, then chroma pairs at half width and height.
    Nv12,
    /// 8 bit luma, Cb and Cr planes; chroma at half width and height.
    I420,
    /// 10 bit in the upper bits of 16, little-endian, laid out as NV12.
    P010,
    /// 10 bit in the lower bits of 16, little-endian, laid out as I420.
    I420Ten,
    /// 8 bit red, green, blue, alpha 255.
    Rgba,
}

/// One plane of a picture.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plane<'a> {
    /// Rows from top to bottom.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// A picture that can be read; borrowed from a [`VideoFrame`].
#[derive(Clone, Copy, Debug)]
pub struct PictureView<'a> {
    /// How to read `planes`.
    pub format: PixelFormat,
    /// Pixels.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// Width of one pixel over its height, 1.0 for square ones.
    pub pixel_aspect: f32,
    /// One to three planes, as the format has; the others are empty.
    pub planes: [Plane<'a>; 3],
    /// Matrix from Y'CbCr; of no meaning for RGBA.
    pub matrix: Matrix,
    /// Luma 0-255 instead of 16-235; of no meaning for RGBA.
    pub full_range: bool,
    /// Where it stands on the presentation timeline.
    pub position: Duration,
    /// Counts up by one for each frame that the sink let through.
    pub serial: u64,
}

impl VideoFrame {
    /// Its samples; `None` when the format is none of [`PixelFormat`].
    pub fn view(&self) -> Option<PictureView<'_>> {
        let info = self.frame.info();
        let format = match info.format() {
            gst_video::VideoFormat::Nv12 => PixelFormat::Nv12,
            gst_video::VideoFormat::I420 => PixelFormat::I420,
            gst_video::VideoFormat::P01010le => PixelFormat::P010,
            gst_video::VideoFormat::I42010le => PixelFormat::I420Ten,
            gst_video::VideoFormat::Rgba => PixelFormat::Rgba,
            _ => return None,
        };
        let mut planes = [Plane::default(); 3];
        for ((index, plane), stride) in (0..).zip(&mut planes).zip(info.stride()) {
            *plane = Plane {
                data: self.frame.plane_data(index).ok()?,
                // A negative stride (bottom-up) never comes from a decoder.
                stride: usize::try_from(*stride).ok()?,
            };
        }
        let par = info.par();
        Some(PictureView {
            format,
            width: info.width() as usize,
            height: info.height() as usize,
            pixel_aspect: if par.numer() > 0 && par.denom() > 0 {
                par.numer() as f32 / par.denom() as f32
            } else {
                1.0
            },
            planes,
            matrix: self.matrix,
            full_range: self.full_range,
            position: self.position,
            serial: self.serial,
        })
    }
}
