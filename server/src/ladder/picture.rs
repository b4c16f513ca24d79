//! Small pictures for people to choose by: posters and the tiles of thumbnail sheets.

use gstreamer as gst;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;
use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder};

/// Width of a poster in pixels.
const WIDTH: u32 = 320;

/// 24-bit pixels, row by row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rgb {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixels: Vec<u8>,
}

impl Rgb {
    /// An I420 picture, scaled. `None` when the buffer cannot be read.
    pub(crate) fn of(
        buffer: &gst::Buffer,
        info: &gst_video::VideoInfo,
        (width, height): (u32, u32),
    ) -> Option<Self> {
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info).ok()?;
        let planes = [frame.plane_data(0).ok()?, frame.plane_data(1).ok()?, frame.plane_data(2).ok()?];
        let strides: Vec<usize> = frame.plane_stride().iter().map(|s| (*s).max(0) as usize).collect();
        let (wide, high) = (info.width(), info.height());
        let mut pixels = Vec::with_capacity((width * height * 3) as usize);
        let bt709 = info.colorimetry().matrix() == gst_video::VideoColorMatrix::Bt709;
        for y in 0..height {
            let rows = (y * high / height, ((y + 1) * high / height).min(high));
            for x in 0..width {
                let columns = (x * wide / width, ((x + 1) * wide / width).min(wide));
                let mean = |plane: usize, shift: u32| {
                    area_mean(planes.get(plane)?, *strides.get(plane)?, rows, columns, shift)
                };
                pixels.extend(to_rgb(mean(0, 0)?, mean(1, 1)?, mean(2, 1)?, bt709));
            }
        }
        Some(Self { width, height, pixels })
    }

    /// As JPEG; `quality` is 1 to 100.
    pub(crate) fn jpeg(&self, quality: u8) -> Option<Vec<u8>> {
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, quality)
            .write_image(&self.pixels, self.width, self.height, ExtendedColorType::Rgb8)
            .ok()?;
        Some(jpeg)
    }

    /// Reads a JPEG back.
    pub(crate) fn from_jpeg(jpeg: &[u8]) -> Option<Self> {
        let image = image::load_from_memory_with_format(jpeg, image::ImageFormat::Jpeg).ok()?.into_rgb8();
        Some(Self { width: image.width(), height: image.height(), pixels: image.into_raw() })
    }
}

/// A JPEG, 320 pixels wide, of an I420 picture that is shown `width` to `height`. `None` when the buffer
/// cannot be read.
pub(crate) fn poster_jpeg(
    buffer: &gst::Buffer,
    info: &gst_video::VideoInfo,
    (width, height): (u32, u32),
) -> Option<Vec<u8>> {
    let out_height = (WIDTH * height.max(1) / width.max(1)).clamp(16, 4 * WIDTH);
    Rgb::of(buffer, info, (WIDTH, out_height))?.jpeg(80)
}

/// Mean of the pixels that one output pixel covers, at most 8 by 8 of them.
fn area_mean(plane: &[u8], stride: usize, rows: (u32, u32), columns: (u32, u32), shift: u32) -> Option<f32> {
    let bounds = |(from, to): (u32, u32)| (from >> shift, (to >> shift).max((from >> shift) + 1));
    let ((top, bottom), (left, right)) = (bounds(rows), bounds(columns));
    let step = |from: u32, to: u32| ((to - from) / 8).max(1) as usize;
    let (mut sum, mut count) = (0.0, 0.0);
    for y in (top..bottom).step_by(step(top, bottom)) {
        for x in (left..right).step_by(step(left, right)) {
            sum += f32::from(*plane.get(y as usize * stride + x as usize)?);
            count += 1.0;
        }
    }
    Some(sum / count)
}

/// Limited-range Y'CbCr to R'G'B' (BT.709 or BT.601).
fn to_rgb(y: f32, cb: f32, cr: f32, bt709: bool) -> [u8; 3] {
    let (y, cb, cr) = ((y - 16.0) * 1.164, cb - 128.0, cr - 128.0);
    let (r, g1, g2, b) = if bt709 { (1.793, 0.213, 0.533, 2.112) } else { (1.596, 0.392, 0.813, 2.017) };
    [y + r * cr, y - g1 * cb - g2 * cr, y + b * cb].map(|v| v.round().clamp(0.0, 255.0) as u8)
}
