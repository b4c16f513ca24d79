//! Reads what the server's test card burns into each picture (`docs/test-card.md`).

/// A grey picture.
#[derive(Clone, Debug)]
pub struct Luma {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// One byte a pixel, row by row, 0 black to 255 white.
    pub data: Vec<u8>,
}

/// What the band at the bottom says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Number of the frame since the stream's start.
    pub frame: u32,
    /// Place of the rung in the ladder, 0 is the lowest.
    pub rung: u8,
}

impl Luma {
    /// A part of the picture.
    pub fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Self {
        let data = (y..(y + height).min(self.height))
            .flat_map(|row| self.data[row * self.width + x..][..width.min(self.width - x)].iter().copied())
            .collect();
        Self { width: width.min(self.width - x), height: height.min(self.height - y), data }
    }

    /// Mean brightness of a box around a point.
    fn mean(&self, x: f64, y: f64, radius: usize) -> f64 {
        let (x, y) = (x as usize, y as usize);
        let mut sum = 0.0;
        let mut count = 0.0;
        for row in y.saturating_sub(radius)..=(y + radius).min(self.height - 1) {
            for column in x.saturating_sub(radius)..=(x + radius).min(self.width - 1) {
                sum += f64::from(self.data[row * self.width + column]);
                count += 1.0;
            }
        }
        sum / count
    }

    /// The code, when the picture carries one that is whole (sync cells, contrast and parity).
    pub fn code(&self) -> Option<Code> {
        const CELLS: usize = 32;
        let radius = (self.width / CELLS / 8).max(1);
        let y = self.height as f64 - self.height as f64 / 24.0;
        let cell =
            |index: usize| self.mean((index as f64 + 0.5) * self.width as f64 / CELLS as f64, y, radius);
        let (white, black) = (cell(0), cell(1));
        if white < black + 80.0 {
            return None;
        }
        let middle = (white + black) / 2.0;
        let bit = |index: usize| u32::from(cell(index) > middle);
        let ones: u32 = (2..=29).map(bit).sum();
        if ones % 2 != bit(30) || bit(31) != 0 {
            return None;
        }
        let number = |from: usize, to: usize| (from..=to).fold(0, |value, index| value << 1 | bit(index));
        Some(Code { frame: number(2, 25), rung: number(26, 29) as u8 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(frame: u32, rung: u32, width: usize, height: usize) -> Luma {
        let mut bits = vec![1, 0];
        bits.extend((0..24).rev().map(|bit| frame >> bit & 1));
        bits.extend((0..4).rev().map(|bit| rung >> bit & 1));
        bits.push(bits[2..].iter().sum::<u32>() % 2);
        bits.push(0);
        let mut data = vec![90; width * height];
        for y in height - height / 12..height {
            for x in 0..width {
                data[y * width + x] = if bits[x * 32 / width] == 1 { 235 } else { 16 };
            }
        }
        Luma { width, height, data }
    }

    #[test]
    fn reads_frame_and_rung_at_any_size() {
        for (width, height) in [(426, 240), (640, 360), (1280, 720)] {
            let code = card(1_234_567, 3, width, height).code();
            assert_eq!(code, Some(Code { frame: 1_234_567, rung: 3 }));
        }
    }

    #[test]
    fn refuses_a_picture_without_a_code_and_a_code_with_a_flipped_bit() {
        let mut picture = card(77, 1, 640, 360);
        assert!(picture.code().is_some());
        for y in 330..360 {
            for x in 200..220 {
                picture.data[y * 640 + x] = 251 - picture.data[y * 640 + x];
            }
        }
        assert_eq!(picture.code(), None);
        picture.data.fill(128);
        assert_eq!(picture.code(), None);
    }
}
