//! Where things are on the card, and the few strokes that draw them into an I420 picture.

use super::font;
use super::texture::Texture;

/// Luma of white and black in limited range.
pub(super) const WHITE: u8 = 235;
pub(super) const BLACK: u8 = 16;

/// In luma pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rect {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// Sizes and planes of a picture.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Bytes from row to row of the planes Y, Cb, Cr.
    pub(crate) strides: [usize; 3],
    /// Where the planes start.
    pub(crate) offsets: [usize; 3],
    /// Bytes of the whole picture.
    pub(crate) size: usize,
}

impl Layout {
    /// A part of the picture in per cent of its sides, on even pixels so that chroma fits.
    fn part(&self, left: usize, right: usize, top: usize, bottom: usize) -> Rect {
        let even = |side: usize, percent: usize| side * percent / 100 / 2 * 2;
        let (x, y) = (even(self.width, left), even(self.height, top));
        Rect { x, y, width: even(self.width, right) - x, height: even(self.height, bottom) - y }
    }

    pub(super) fn band(&self) -> Rect {
        let height = (self.height / 12 / 2 * 2).max(16).min(self.height);
        Rect { x: 0, y: self.height - height, width: self.width, height }
    }

    pub(super) fn cell(&self, i: usize) -> Rect {
        let band = self.band();
        let (from, to) = (i * self.width / 32, (i + 1) * self.width / 32);
        Rect { x: from, width: to - from, ..band }
    }

    pub(super) fn flash(&self) -> Rect {
        self.part(80, 98, 5, 30)
    }

    pub(super) fn bars(&self) -> [Rect; 8] {
        std::array::from_fn(|i| self.part(2 + i * 9, 11 + i * 9, 5, 20))
    }

    /// Where the disc swings.
    pub(super) fn lane(&self) -> Rect {
        self.part(2, 74, 22, 34)
    }

    pub(super) fn grain(&self) -> Rect {
        self.part(2, 46, 36, 86)
    }

    pub(super) fn text(&self) -> Rect {
        self.part(50, 98, 36, 74)
    }
}

/// A picture being drawn.
#[derive(Debug)]
pub(super) struct Canvas<'a> {
    layout: &'a Layout,
    picture: &'a mut [u8],
}

impl<'a> Canvas<'a> {
    pub(super) fn new(layout: &'a Layout, picture: &'a mut [u8]) -> Self {
        Self { layout, picture }
    }

    /// `length` pixels of plane `plane` from (`x`, `y`); empty where that is outside.
    fn row(&mut self, plane: usize, x: usize, y: usize, length: usize) -> &mut [u8] {
        let from = self.layout.offsets[plane] + y * self.layout.strides[plane] + x;
        self.picture.get_mut(from..from + length).unwrap_or_default()
    }

    pub(super) fn fill(&mut self, rect: Rect, luma: u8) {
        for y in rect.y..rect.y + rect.height {
            self.row(0, rect.x, y, rect.width).fill(luma);
        }
    }

    pub(super) fn fill_chroma(&mut self, rect: Rect, cb: u8, cr: u8) {
        for y in rect.y / 2..(rect.y + rect.height).div_ceil(2) {
            for (plane, value) in [(1, cb), (2, cr)] {
                self.row(plane, rect.x / 2, y, rect.width.div_ceil(2)).fill(value);
            }
        }
    }

    /// A quiet sweep of colours from corner to corner.
    pub(super) fn gradient_chroma(&mut self) {
        let (width, height) = (self.layout.width.div_ceil(2), self.layout.height.div_ceil(2));
        for y in 0..height {
            let cr = 140 - (24 * y / height) as u8;
            self.row(2, 0, y, width).fill(cr);
            for (x, value) in self.row(1, 0, y, width).iter_mut().enumerate() {
                *value = 116 + (24 * x / width) as u8;
            }
        }
    }

    pub(super) fn restore_chroma(&mut self, planes: &[Vec<u8>; 2]) {
        for (plane, pixels) in [1, 2].into_iter().zip(planes) {
            let from = self.layout.offsets[plane];
            if let Some(target) = self.picture.get_mut(from..from + pixels.len()) {
                target.copy_from_slice(pixels);
            }
        }
    }

    /// Copies the part of `texture` that starts at `at`.
    pub(super) fn blit(&mut self, rect: Rect, texture: &Texture, at: (usize, usize)) {
        for y in 0..rect.height {
            let from = (at.1 + y) * texture.width + at.0;
            let target = self.row(0, rect.x, rect.y + y, rect.width);
            if let Some(source) = texture.pixels.get(from..from + target.len()) {
                target.copy_from_slice(source);
            }
        }
    }

    pub(super) fn disc(&mut self, x: f64, y: f64, radius: f64, luma: u8) {
        let top = (y - radius).max(0.0) as usize;
        for row in top..=(y + radius).max(0.0) as usize {
            let half = (radius * radius - (row as f64 - y).powi(2)).max(0.0).sqrt();
            let left = (x - half).max(0.0) as usize;
            let right = ((x + half).max(0.0) as usize).min(self.layout.width);
            self.row(0, left, row, right.saturating_sub(left)).fill(luma);
        }
    }

    pub(super) fn text(&mut self, x: usize, y: usize, scale: usize, text: &str, luma: u8) {
        for (i, sign) in text.chars().enumerate() {
            let left = x + i * scale * (font::WIDTH + 1);
            for (row, bits) in font::rows(sign).into_iter().enumerate() {
                for column in (0..font::WIDTH).filter(|c| bits >> (font::WIDTH - 1 - c) & 1 == 1) {
                    let dot =
                        Rect { x: left + column * scale, y: y + row * scale, width: scale, height: scale };
                    self.fill(dot, luma);
                }
            }
        }
    }
}
