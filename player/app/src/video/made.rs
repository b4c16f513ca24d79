//! Pictures that no decoder made: for tests, and for looking at the window without a stream.

use std::time::Duration;

use weir_engine::playback::{Matrix, PictureView, PixelFormat, Plane};

/// Colour bars at 75 % and 100 %, then a grey: R', G', B'.
pub const BARS: [[u8; 3]; 8] = [
    [191, 191, 191],
    [191, 191, 0],
    [0, 191, 191],
    [0, 191, 0],
    [191, 0, 191],
    [255, 0, 0],
    [0, 0, 255],
    [64, 64, 64],
];

/// A picture with its own memory.
#[derive(Clone, Debug)]
pub struct Made {
    /// How the planes are laid out.
    pub format: PixelFormat,
    /// Pixels.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// Data and stride of each plane.
    pub planes: [(Vec<u8>, usize); 3],
    /// Matrix that it was made with.
    pub matrix: Matrix,
    /// Range that it was made with.
    pub full_range: bool,
    /// Its place on the timeline.
    pub position: Duration,
    /// Its number.
    pub serial: u64,
}

/// Codes of a colour at a depth of 8 or 10 bits, by the defining equations of BT.601, 709 and 2020.
pub fn encode(rgb: [u8; 3], matrix: Matrix, full_range: bool, bits: u32) -> [u16; 3] {
    let (kr, kb) = match matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020 => (0.2627, 0.0593),
    };
    let [r, g, b] = rgb.map(|value| f64::from(value) / 255.0);
    let y = kr * r + (1.0 - kr - kb) * g + kb * b;
    let (cb, cr) = ((b - y) / (2.0 * (1.0 - kb)), (r - y) / (2.0 * (1.0 - kr)));
    let step = f64::from(1 << (bits - 8));
    let largest = f64::from((1 << bits) - 1);
    if full_range {
        [y * largest, cb * largest + 128.0 * step, cr * largest + 128.0 * step]
    } else {
        [(219.0 * y + 16.0) * step, (224.0 * cb + 128.0) * step, (224.0 * cr + 128.0) * step]
    }
    .map(|code| code.round().clamp(0.0, largest) as u16)
}

impl Made {
    /// Eight vertical bars, [`BARS`].
    pub fn bars(format: PixelFormat, width: usize, height: usize, matrix: Matrix, full_range: bool) -> Self {
        Self::paint(format, width, height, matrix, full_range, |x, _| {
            BARS[(x * BARS.len() / width.max(1)).min(7)]
        })
    }

    /// A picture of any colours; chroma is taken at every second pixel and line.
    pub fn paint(
        format: PixelFormat,
        width: usize,
        height: usize,
        matrix: Matrix,
        full_range: bool,
        colour: impl Fn(usize, usize) -> [u8; 3],
    ) -> Self {
        let ten = matches!(format, PixelFormat::P010 | PixelFormat::I420Ten);
        let bytes = if ten { 2 } else { 1 };
        let put = |out: &mut Vec<u8>, code: u16| match format {
            PixelFormat::P010 => out.extend_from_slice(&(code << 6).to_le_bytes()),
            PixelFormat::I420Ten => out.extend_from_slice(&code.to_le_bytes()),
            _ => out.push(code as u8),
        };
        let codes = |x, y| encode(colour(x, y), matrix, full_range, if ten { 10 } else { 8 });
        // Rows longer than the picture, as decoders make them.
        let pad = |data: &mut Vec<u8>| data.resize(data.len() + 8 * bytes, 0);
        let (mut first, mut second, mut third) = (Vec::new(), Vec::new(), Vec::new());
        for y in 0..height {
            for x in 0..width {
                if format == PixelFormat::Rgba {
                    first.extend_from_slice(&colour(x, y));
                    first.push(255);
                } else {
                    put(&mut first, codes(x, y)[0]);
                }
            }
            pad(&mut first);
        }
        let (chroma_width, chroma_height) = (width.div_ceil(2), height.div_ceil(2));
        let paired = matches!(format, PixelFormat::Nv12 | PixelFormat::P010);
        if format != PixelFormat::Rgba {
            for y in 0..chroma_height {
                for x in 0..chroma_width {
                    let [_, cb, cr] = codes(x * 2, y * 2);
                    put(&mut second, cb);
                    put(if paired { &mut second } else { &mut third }, cr);
                }
                pad(&mut second);
                if !paired {
                    pad(&mut third);
                }
            }
        }
        let stride = |samples: usize| (samples + 8) * bytes;
        let first_stride = if format == PixelFormat::Rgba { width * 4 + 8 } else { stride(width) };
        let second_stride = stride(if paired { chroma_width * 2 } else { chroma_width });
        Self {
            format,
            width,
            height,
            planes: [(first, first_stride), (second, second_stride), (third, stride(chroma_width))],
            matrix,
            full_range,
            position: Duration::ZERO,
            serial: 0,
        }
    }

    /// To read it.
    pub fn view(&self) -> PictureView<'_> {
        PictureView {
            format: self.format,
            width: self.width,
            height: self.height,
            pixel_aspect: 1.0,
            planes: [0, 1, 2].map(|n: usize| Plane { data: &self.planes[n].0, stride: self.planes[n].1 }),
            matrix: self.matrix,
            full_range: self.full_range,
            position: self.position,
            serial: self.serial,
        }
    }
}
