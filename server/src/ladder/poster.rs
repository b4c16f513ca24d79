//! The thumbnail of a stream.

use gstreamer as gst;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;
use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder};

/// Width in pixels.
const WIDTH: u32 = 320;

/// A JPEG, 320 pixels wide, of an I420 picture that is shown `width` to `height`. `None` when the buffer
/// cannot be read.
pub(crate) fn poster_jpeg(
    buffer: &gst::Buffer,
    info: &gst_video::VideoInfo,
    (width, height): (u32, u32),
) -> Option<Vec<u8>> {
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info).ok()?;
    let planes = [frame.plane_data(0).ok()?, frame.plane_data(1).ok()?, frame.plane_data(2).ok()?];
    let strides: Vec<usize> = frame.plane_stride().iter().map(|s| (*s).max(0) as usize).collect();
    let (wide, high) = (info.width(), info.height());
    let out_height = (WIDTH * height.max(1) / width.max(1)).clamp(16, 4 * WIDTH);
    let mut rgb = Vec::with_capacity((WIDTH * out_height * 3) as usize);
    let bt709 = info.colorimetry().matrix() == gst_video::VideoColorMatrix::Bt709;
    for y in 0..out_height {
        let rows = (y * high / out_height, ((y + 1) * high / out_height).min(high));
        for x in 0..WIDTH {
            let columns = (x * wide / WIDTH, ((x + 1) * wide / WIDTH).min(wide));
            let mean = |plane: usize, shift: u32| {
                area_mean(planes.get(plane)?, *strides.get(plane)?, rows, columns, shift)
            };
            rgb.extend(to_rgb(mean(0, 0)?, mean(1, 1)?, mean(2, 1)?, bt709));
        }
    }
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 80)
        .write_image(&rgb, WIDTH, out_height, ExtendedColorType::Rgb8)
        .ok()?;
    Some(jpeg)
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
