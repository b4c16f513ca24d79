//! The test card: drawn at every rung's own size, so that its codes are crisp on each. The layout is a
//! contract with whoever measures a player; it is written down in `docs/test-card.md`.

mod canvas;
mod font;
mod live;
mod picture;
mod process;
mod texture;

use canvas::Layout as CardPlanes;
use canvas::{BLACK, Canvas, Layout, Rect, WHITE};
pub(crate) use live::air;
pub use process::card_for_parent;
use texture::{Texture, grain};

/// Draws the card for one rung, frame by frame.
#[derive(Debug)]
pub(crate) struct CardPainter {
    layout: Layout,
    rung: u32,
    label: String,
    frame_rate: (u64, u64),
    background: Texture,
    grain: Texture,
    /// Chroma of the background and the bars: never moves.
    chroma: [Vec<u8>; 2],
}

/// Colour bars (BT.709, 75 %): Y, Cb, Cr of white, yellow, cyan, green, magenta, red, blue, black.
const BARS: [[u8; 3]; 8] = [
    [180, 128, 128],
    [168, 44, 136],
    [145, 147, 44],
    [133, 63, 52],
    [63, 193, 204],
    [51, 109, 212],
    [28, 212, 120],
    [16, 128, 128],
];

impl CardPainter {
    /// `rung` counts from 0 = lowest; `label` is what is written for people.
    pub(crate) fn new(layout: Layout, rung: u32, label: &str, frame_rate: (u32, u32), seed: u64) -> Self {
        let (width, height) = (layout.width, layout.height);
        let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(rung));
        let mut picture = vec![0; layout.size];
        let mut canvas = Canvas::new(&layout, &mut picture);
        canvas.gradient_chroma();
        for (bar, [_, cb, cr]) in layout.bars().into_iter().zip(BARS) {
            canvas.fill_chroma(bar, cb, cr);
        }
        for neutral in [layout.flash(), layout.band(), layout.text(), layout.grain()] {
            canvas.fill_chroma(neutral, 128, 128);
        }
        let plane = |at: usize| {
            let end = if at == 1 { layout.offsets[2] } else { layout.size };
            picture.get(layout.offsets[at]..end).unwrap_or_default().to_vec()
        };
        Self {
            rung,
            label: label.to_owned(),
            frame_rate: (u64::from(frame_rate.0), u64::from(frame_rate.1)),
            background: Texture::landscape(width + texture::PAN, height + texture::PAN / 2, seed),
            grain: grain(layout.grain().width + texture::PAN, layout.grain().height + texture::PAN, seed),
            chroma: [plane(1), plane(2)],
            layout,
        }
    }

    /// Bytes of a picture.
    pub(crate) fn picture_size(&self) -> usize {
        self.layout.size
    }

    /// Draws frame `n` over whatever `picture` held.
    pub(crate) fn paint(&self, n: u64, picture: &mut [u8]) {
        let layout = &self.layout;
        let mut canvas = Canvas::new(layout, picture);
        canvas.restore_chroma(&self.chroma);
        let whole = Rect { x: 0, y: 0, width: layout.width, height: layout.height };
        canvas.blit(whole, &self.background, pan(n));
        for (bar, [y, _, _]) in layout.bars().into_iter().zip(BARS) {
            canvas.fill(bar, y);
        }
        // A new cut-out every frame: nothing to predict it from, so the rung's whole bitrate finds a use.
        let grain = layout.grain();
        canvas.blit(grain, &self.grain, texture::jump(n, texture::PAN, texture::PAN));
        self.paint_shapes(&mut canvas, n);
        self.paint_text(&mut canvas, n);
        canvas.fill(layout.flash(), if self.flashes(n) { WHITE } else { BLACK });
        self.paint_code(&mut canvas, n);
    }

    /// The frame's presentation time lies in the first tenth of a second.
    fn flashes(&self, n: u64) -> bool {
        let (num, den) = self.frame_rate;
        (n * den % num) * 10 < num
    }

    /// A disc that swings across the texture in four seconds and a hand that goes round once a second.
    fn paint_shapes(&self, canvas: &mut Canvas<'_>, n: u64) {
        let (num, den) = self.frame_rate;
        let seconds = (n * den) as f64 / num as f64;
        let lane = self.layout.lane();
        let radius = lane.height as f64 * 0.4;
        let swing = 0.5 - 0.5 * (seconds * std::f64::consts::TAU / 4.0).cos();
        let x = lane.x as f64 + radius + swing * (lane.width as f64 - 2.0 * radius).max(0.0);
        let y = lane.y as f64 + lane.height as f64 / 2.0;
        canvas.disc(x, y, radius, 200);
        let angle = seconds.fract() * std::f64::consts::TAU;
        canvas.disc(x + angle.sin() * radius * 0.7, y - angle.cos() * radius * 0.7, radius * 0.2, BLACK);
    }

    fn paint_text(&self, canvas: &mut Canvas<'_>, n: u64) {
        let (num, den) = self.frame_rate;
        let second = n * den / num;
        let frame = n - (second * num).div_ceil(den);
        let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
        let text = self.layout.text();
        canvas.fill(text, BLACK);
        let scale =
            (text.width / (12 * (font::WIDTH + 1))).min(text.height / (3 * (font::HEIGHT + 2))).max(1);
        let lines = [
            format!("{hours:02}:{minutes:02}:{seconds:02}:{frame:02}"),
            format!("FRAME {n:06}"),
            self.label.clone(),
        ];
        for (row, line) in lines.iter().enumerate() {
            let y = text.y + scale + row * scale * (font::HEIGHT + 2);
            canvas.text(text.x + scale, y, scale, line, WHITE);
        }
    }

    /// The band at the bottom that machines read.
    fn paint_code(&self, canvas: &mut Canvas<'_>, n: u64) {
        let code = code_bits(n, self.rung);
        for (cell, bit) in code.into_iter().enumerate() {
            canvas.fill(self.layout.cell(cell), if bit { WHITE } else { BLACK });
        }
    }
}

/// The 32 cells of the band, `true` = white.
fn code_bits(n: u64, rung: u32) -> [bool; 32] {
    let mut cells = [false; 32];
    cells[0] = true;
    for i in 0..24 {
        cells[2 + i] = n >> (23 - i) & 1 == 1;
    }
    for i in 0..4 {
        cells[26 + i] = rung >> (3 - i) & 1 == 1;
    }
    cells[30] = cells[2..=29].iter().filter(|bit| **bit).count() % 2 == 1;
    cells
}

/// Where the background's cut-out is: to and fro, three pixels a frame.
fn pan(n: u64) -> (usize, usize) {
    let there_and_back = |n: u64, range: usize| {
        let at = (n % (2 * range as u64)) as usize;
        if at < range { at } else { 2 * range - 1 - at }
    };
    (there_and_back(3 * n, texture::PAN), there_and_back(n, texture::PAN / 2))
}

const BEEP_HZ: f64 = 1000.0;

/// Sample `i` (48 kHz) of the sound: a 1 kHz sine for the first 100 ms of every second, else silence.
pub(crate) fn beep(i: i64) -> f32 {
    let within = i.rem_euclid(48_000);
    if i < 0 || within >= 4800 {
        return 0.0;
    }
    (0.5 * (within as f64 * BEEP_HZ / 48_000.0 * std::f64::consts::TAU).sin()) as f32
}

#[cfg(test)]
mod tests;
