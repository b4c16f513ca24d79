//! From Y'CbCr to R'G'B': one set of coefficients for the shader and for the processor.
//!
//! Gamma-coded values go in and out: egui's frame buffer is not linear, so R'G'B' is what it wants.
//! Formulas: ITU-R BT.601-7 (2.5), BT.709-6 (3), BT.2020-2 (non-constant luminance).

use weir_engine::playback::{Matrix, PictureView, PixelFormat};

/// R'G'B' = `matrix` x (Y'CbCr - `offset`), everything as a share of the largest code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients {
    /// Rows for R', G', B'; columns for Y', Cb, Cr.
    pub matrix: [[f32; 3]; 3],
    /// What stands for no light and no colour.
    pub offset: [f32; 3],
    /// From what a texture gives (the container's largest value is 1) to a share of the largest code.
    pub scale: f32,
}

/// Weights of red and blue in luma.
fn weights(matrix: Matrix) -> (f64, f64) {
    match matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020 => (0.2627, 0.0593),
    }
}

impl Coefficients {
    /// For pictures of this kind.
    pub fn new(format: PixelFormat, matrix: Matrix, full_range: bool) -> Self {
        let ten = matches!(format, PixelFormat::P010 | PixelFormat::I420Ten);
        // Codes of the limited range are those of 8 bits, shifted (BT.709-6, 3.4).
        let (largest, step) = if ten { (1023.0, 4.0) } else { (255.0, 1.0) };
        let (black, luma_span, chroma_span) = if full_range {
            (0.0, 1.0, 1.0)
        } else {
            (16.0 * step / largest, 219.0 * step / largest, 224.0 * step / largest)
        };
        let (red, blue) = weights(matrix);
        let green = 1.0 - red - blue;
        let luma = 1.0 / luma_span;
        let (cr_red, cb_blue) = (2.0 * (1.0 - red) / chroma_span, 2.0 * (1.0 - blue) / chroma_span);
        let scale = match format {
            // Ten bits on top of sixteen: 1023 << 6 is the largest.
            PixelFormat::P010 => 65535.0 / 65472.0,
            PixelFormat::I420Ten => 65535.0 / 1023.0,
            _ => 1.0,
        };
        Self {
            matrix: [
                [luma, 0.0, cr_red],
                [luma, -cb_blue * blue / green, -cr_red * red / green],
                [luma, cb_blue, 0.0],
            ]
            .map(|row| row.map(|value| value as f32)),
            offset: [black, 128.0 * step / largest, 128.0 * step / largest].map(|value| value as f32),
            scale,
        }
    }

    /// One colour; `codes` are shares of the largest code.
    pub fn apply(&self, codes: [f32; 3]) -> [f32; 3] {
        let [y, cb, cr] = [codes[0] - self.offset[0], codes[1] - self.offset[1], codes[2] - self.offset[2]];
        self.matrix.map(|[a, b, c]| (a * y + b * cb + c * cr).clamp(0.0, 1.0))
    }
}

/// The picture as RGBA rows without padding. Chroma is taken from the nearest sample: this is the way for
/// machines without a usable shader, where the engine is asked for RGBA and this only bridges the first frames.
/// `None` when the planes are shorter than they should be.
pub fn to_rgba(picture: &PictureView<'_>) -> Option<Vec<u8>> {
    let (width, height) = (picture.width, picture.height);
    let mut out = Vec::with_capacity(width.checked_mul(height)?.checked_mul(4)?);
    let [first, second, third] = picture.planes;
    if picture.format == PixelFormat::Rgba {
        for y in 0..height {
            out.extend_from_slice(first.data.get(y * first.stride..)?.get(..width * 4)?);
        }
        return Some(out);
    }
    let coefficients = Coefficients::new(picture.format, picture.matrix, picture.full_range);
    let bytes = bytes_per_sample(picture.format);
    let chroma = width.div_ceil(2);
    for y in 0..height {
        let luma = first.data.get(y * first.stride..)?.get(..width * bytes)?;
        let row = |plane: weir_engine::playback::Plane<'_>, samples: usize| {
            plane
                .data
                .get(y / 2 * plane.stride..)
                .and_then(|data| data.get(..samples * bytes))
                .map(<[u8]>::to_owned)
        };
        let (pairs, blue, red);
        let (cb, cr, step) = match picture.format {
            PixelFormat::Nv12 | PixelFormat::P010 => {
                pairs = row(second, chroma * 2)?;
                (&pairs[..], &pairs[bytes..], 2)
            }
            _ => {
                (blue, red) = (row(second, chroma)?, row(third, chroma)?);
                (&blue[..], &red[..], 1)
            }
        };
        for x in 0..width {
            let code = |data: &[u8], at: usize| sample(data, at, bytes) * coefficients.scale;
            let codes = [code(luma, x), code(cb, x / 2 * step), code(cr, x / 2 * step)];
            let [r, g, b] = coefficients.apply(codes).map(|value| (value * 255.0).round() as u8);
            out.extend_from_slice(&[r, g, b, 255]);
        }
    }
    Some(out)
}

/// Bytes of one sample of one component.
pub fn bytes_per_sample(format: PixelFormat) -> usize {
    match format {
        PixelFormat::P010 | PixelFormat::I420Ten => 2,
        PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Rgba => 1,
    }
}

/// As a texture unit would give it: the container's largest value is 1.
fn sample(data: &[u8], at: usize, bytes: usize) -> f32 {
    if bytes == 1 {
        f32::from(data.get(at).copied().unwrap_or(0)) / 255.0
    } else {
        let pair = data.get(at * 2..at * 2 + 2).unwrap_or(&[0, 0]);
        f32::from(u16::from_le_bytes([pair[0], pair[1]])) / 65535.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::made::{BARS, Made, encode};

    const FORMATS: [PixelFormat; 4] =
        [PixelFormat::Nv12, PixelFormat::I420, PixelFormat::P010, PixelFormat::I420Ten];

    #[test]
    fn bars_keep_their_colours_in_every_matrix_range_and_format() {
        for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] {
            for full_range in [false, true] {
                for format in FORMATS {
                    let made = Made::bars(format, 320, 180, matrix, full_range);
                    let rgba = to_rgba(&made.view()).unwrap();
                    for (index, bar) in BARS.iter().enumerate() {
                        let x = (index * 2 + 1) * 320 / (BARS.len() * 2);
                        let at = (90 * 320 + x) * 4;
                        for (got, wanted) in rgba[at..at + 3].iter().zip(bar) {
                            assert!(
                                got.abs_diff(*wanted) <= 2,
                                "bar {index} {matrix:?} {full_range} {format:?}: {got} for {wanted}"
                            );
                        }
                        assert_eq!(rgba[at + 3], 255);
                    }
                }
            }
        }
    }

    #[test]
    fn a_wrong_matrix_would_be_noticed() {
        let mut made = Made::bars(PixelFormat::Nv12, 320, 180, Matrix::Bt709, false);
        made.matrix = Matrix::Bt601;
        let rgba = to_rgba(&made.view()).unwrap();
        let green = (90 * 320 + 3 * 320 / 8 + 20) * 4;
        assert!(rgba[green + 1].abs_diff(BARS[3][1]) > 10, "601 read as 709 shifts green");
    }

    #[test]
    fn limited_black_and_white_are_the_ends() {
        for format in FORMATS {
            let coefficients = Coefficients::new(format, Matrix::Bt709, false);
            let (largest, step) = if bytes_per_sample(format) == 2 { (1023.0, 4.0) } else { (255.0, 1.0) };
            let at = |y: f32| {
                coefficients.apply([y * step / largest, 128.0 * step / largest, 128.0 * step / largest])
            };
            for value in at(16.0) {
                assert!(value.abs() < 0.001);
            }
            for value in at(235.0) {
                assert!((value - 1.0).abs() < 0.001);
            }
        }
    }

    #[test]
    fn encoding_and_decoding_are_inverse() {
        for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] {
            for rgb in [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [12, 200, 99]] {
                let codes = encode(rgb, matrix, true, 10);
                let coefficients = Coefficients::new(PixelFormat::I420Ten, matrix, true);
                let back = coefficients.apply(codes.map(|code| f32::from(code) / 1023.0));
                for (got, wanted) in back.iter().zip(rgb) {
                    assert!((got * 255.0 - f32::from(wanted)).abs() < 1.0, "{matrix:?} {rgb:?} {back:?}");
                }
            }
        }
    }

    #[test]
    fn planes_that_are_too_short_give_nothing_instead_of_a_panic() {
        let made = Made::bars(PixelFormat::I420, 64, 64, Matrix::Bt601, false);
        let mut view = made.view();
        view.planes[2].data = &view.planes[2].data[..10];
        assert!(to_rgba(&view).is_none());
        view.height = usize::MAX;
        assert!(to_rgba(&view).is_none());
    }

    #[test]
    fn odd_sizes_have_a_last_chroma_sample() {
        for format in FORMATS {
            let made = Made::bars(format, 33, 17, Matrix::Bt709, false);
            assert_eq!(to_rgba(&made.view()).unwrap().len(), 33 * 17 * 4);
        }
    }
}
