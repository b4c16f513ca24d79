//! Thumbnails for the scrub bar: tiles on JPEG sheets, and the WebVTT index that says which tile shows when.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::picture::Rgb;

/// Width of a tile in pixels.
const TILE_WIDTH: u32 = 160;
/// Tiles in a row of a sheet.
const COLUMNS: u32 = 10;
/// Tiles on a sheet.
const PER_SHEET: u32 = 100;
const QUALITY: u8 = 70;
/// No index is longer: 2 days at one tile every 10 s.
const MOST_TILES: usize = 17_280;

/// Time between tiles in milliseconds: about a hundred for a short film, one every 10 s for a long one.
pub(crate) fn interval_ms(duration_ms: Option<u64>) -> u64 {
    duration_ms.map_or(5_000, |ms| ms / 100).clamp(2_000, 10_000)
}

/// Size of the tiles of a stream that is shown `width` to `height`.
pub(crate) fn tile_size((width, height): (u32, u32)) -> (u32, u32) {
    (TILE_WIDTH, (TILE_WIDTH * height.max(1) / width.max(1)).clamp(16, 2 * TILE_WIDTH) / 2 * 2)
}

/// What has to be written after a tile was added.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Number of the sheet, its JPEG, and the index that goes with it.
    pub(crate) sheet: Option<(u32, Vec<u8>, String)>,
    /// Sheets that the index names no more.
    pub(crate) dropped: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tile {
    /// Counted from 0 over all sheets.
    number: u32,
    start_ms: u64,
}

/// Puts tiles on sheets. Knows neither files nor clocks.
#[derive(Debug)]
pub(crate) struct Sheets {
    tile: (u32, u32),
    tiles: VecDeque<Tile>,
    /// Number of the next tile.
    next: u32,
    end_ms: u64,
    /// The sheet that is being filled.
    sheet: Rgb,
    /// Tiles on it that were not written yet.
    unwritten: u32,
}

/// Number of the sheet that an index goes on with.
pub(crate) fn newest_sheet(index: &str) -> u32 {
    index.lines().filter(|line| line.contains(" --> ")).take(MOST_TILES).count() as u32 / PER_SHEET + 1
}

impl Sheets {
    pub(crate) fn new(tile: (u32, u32)) -> Self {
        Self { tile, tiles: VecDeque::new(), next: 0, end_ms: 0, sheet: Rgb::default(), unwritten: 0 }
    }

    /// Goes on where an earlier run stopped: `index` is what it wrote last, of which the tiles that start before
    /// `before_ms` are kept; `sheet` reads a sheet of it back.
    pub(crate) fn resume(
        tile: (u32, u32),
        index: &str,
        before_ms: u64,
        sheet: impl FnOnce(u32) -> Option<Vec<u8>>,
    ) -> Self {
        let mut this = Self::new(tile);
        let starts = index.lines().filter_map(|line| line.split_once(" --> ")).map(|(from, _)| from);
        let known = starts.map_while(parse_timestamp).take_while(|ms| *ms < before_ms).take(MOST_TILES);
        this.tiles = (0..).zip(known).map(|(number, start_ms)| Tile { number, start_ms }).collect();
        this.next = this.tiles.len() as u32;
        this.end_ms = before_ms;
        if !this.next.is_multiple_of(PER_SHEET) {
            let stored = sheet(this.next / PER_SHEET + 1).as_deref().and_then(Rgb::from_jpeg);
            this.sheet = stored.filter(|known| known.width == tile.0 * COLUMNS).unwrap_or_default();
        }
        this
    }

    /// Size of the tiles.
    pub(crate) fn tile(&self) -> (u32, u32) {
        self.tile
    }

    /// Tiles in the index.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.tiles.len()
    }

    /// Adds the tile that is shown from `start_ms` on, until `end_ms` if none follows, and drops those that end
    /// before `from_ms`.
    pub(crate) fn add(&mut self, tile: &Rgb, start_ms: u64, end_ms: u64, from_ms: u64) -> Written {
        let place = self.next % PER_SHEET;
        if place == 0 {
            self.sheet = Rgb::default();
        }
        self.put(tile, place);
        self.tiles.push_back(Tile { number: self.next, start_ms });
        self.next = self.next.wrapping_add(1);
        self.end_ms = end_ms.max(start_ms + 1);
        self.unwritten += 1;
        let dropped = self.drop_before(from_ms);
        // Often at first, when each tile counts, then as the sheet doubles; a full one at once.
        let filled = place + 1;
        let due = filled.is_power_of_two() || filled == PER_SHEET || self.unwritten >= 16;
        Written { sheet: if due { self.written() } else { None }, dropped }
    }

    /// What is there that was not written yet; the last tile lasts until `end_ms`.
    pub(crate) fn finish(&mut self, end_ms: u64) -> Option<(u32, Vec<u8>, String)> {
        let end_ms = end_ms.max(self.tiles.back()?.start_ms + 1);
        let moved = std::mem::replace(&mut self.end_ms, end_ms) != end_ms;
        if moved || self.unwritten > 0 { self.written() } else { None }
    }

    fn written(&mut self) -> Option<(u32, Vec<u8>, String)> {
        let number = self.tiles.back()?.number / PER_SHEET + 1;
        let jpeg = self.sheet.jpeg(QUALITY)?;
        self.unwritten = 0;
        Some((number, jpeg, self.index()))
    }

    fn put(&mut self, tile: &Rgb, place: u32) {
        let (wide, high) = self.tile;
        let (left, top) = ((place % COLUMNS * wide) as usize, (place / COLUMNS * high) as usize);
        let stride = (wide * COLUMNS * 3) as usize;
        let rows = top + high as usize;
        if self.sheet.pixels.len() < rows * stride {
            self.sheet.pixels.resize(rows * stride, 0);
        }
        (self.sheet.width, self.sheet.height) = (wide * COLUMNS, (self.sheet.pixels.len() / stride) as u32);
        let row_bytes = wide as usize * 3;
        for (y, row) in tile.pixels.chunks_exact(row_bytes).take(high as usize).enumerate() {
            let at = (top + y) * stride + left * 3;
            if let Some(place) = self.sheet.pixels.get_mut(at..at + row_bytes) {
                place.copy_from_slice(row);
            }
        }
    }

    /// Whole sheets go when their last tile has left the window; the index forgets tiles one by one.
    fn drop_before(&mut self, from_ms: u64) -> Vec<u32> {
        let mut dropped = Vec::new();
        while let (Some(first), Some(second)) = (self.tiles.front(), self.tiles.get(1)) {
            if second.start_ms > from_ms && self.tiles.len() <= MOST_TILES {
                break;
            }
            if first.number / PER_SHEET != second.number / PER_SHEET {
                dropped.push(first.number / PER_SHEET + 1);
            }
            self.tiles.pop_front();
        }
        dropped
    }

    /// The index: one cue a tile, without holes.
    pub(crate) fn index(&self) -> String {
        let mut text = String::from("WEBVTT\n");
        let (wide, high) = self.tile;
        for (i, tile) in self.tiles.iter().enumerate() {
            let end = self.tiles.get(i + 1).map_or(self.end_ms, |next| next.start_ms);
            let place = tile.number % PER_SHEET;
            let _ = write!(
                text,
                "\n{} --> {}\nthumbs/{}#xywh={},{},{wide},{high}\n",
                timestamp(tile.start_ms),
                timestamp(end.max(tile.start_ms + 1)),
                crate::store::sheet_name(tile.number / PER_SHEET + 1),
                place % COLUMNS * wide,
                place / COLUMNS * high,
            );
        }
        text
    }
}

/// `hh:mm:ss.ttt` (WebVTT, section 4.1).
fn timestamp(ms: u64) -> String {
    let (s, ms) = (ms / 1000, ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

/// Reads one that [`timestamp`] wrote.
fn parse_timestamp(text: &str) -> Option<u64> {
    let (hours, rest) = text.trim().split_once(':')?;
    let (minutes, rest) = rest.split_once(':')?;
    let (seconds, ms) = rest.split_once('.')?;
    let [hours, minutes, seconds, ms] = [hours, minutes, seconds, ms].map(|part| part.parse::<u32>().ok());
    Some(
        u64::from(hours?) * 3_600_000
            + u64::from(minutes?) * 60_000
            + u64::from(seconds?) * 1000
            + u64::from(ms?),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TILE: (u32, u32) = (160, 90);

    fn grey(value: u8) -> Rgb {
        Rgb { width: TILE.0, height: TILE.1, pixels: vec![value; (TILE.0 * TILE.1 * 3) as usize] }
    }

    #[test]
    fn tiles_fill_sheets_in_reading_order_and_the_index_finds_them() {
        let mut sheets = Sheets::new(TILE);
        let mut last = Written::default();
        for n in 0..112_u64 {
            let written = sheets.add(&grey((n * 2) as u8), n * 2000, n * 2000 + 2000, 0);
            assert!(written.dropped.is_empty());
            if written.sheet.is_some() {
                last = written;
            }
        }
        let (number, jpeg, index) = sheets.finish(225_500).unwrap();
        assert_eq!((number, last.sheet.map(|s| s.0)), (2, Some(2)));
        let cues: Vec<_> = index.split("\n\n").skip(1).collect();
        assert_eq!(cues.len(), 112);
        assert_eq!(cues[0], "00:00:00.000 --> 00:00:02.000\nthumbs/00001.jpg#xywh=0,0,160,90");
        assert_eq!(cues[99], "00:03:18.000 --> 00:03:20.000\nthumbs/00001.jpg#xywh=1440,810,160,90");
        assert_eq!(cues[111].trim(), "00:03:42.000 --> 00:03:45.500\nthumbs/00002.jpg#xywh=160,90,160,90");
        let sheet = Rgb::from_jpeg(&jpeg).unwrap();
        assert_eq!((sheet.width, sheet.height), (1600, 180));
        let pixel = |x: u32, y: u32| sheet.pixels[((y * sheet.width + x) * 3) as usize];
        for (tile, x, y) in [(100, 80, 45), (109, 1520, 45), (110, 80, 135), (111, 240, 135)] {
            assert!(pixel(x, y).abs_diff((tile * 2) as u8) <= 3, "tile {tile}: {}", pixel(x, y));
        }
    }

    #[test]
    fn a_window_drops_tiles_and_then_whole_sheets() {
        let mut sheets = Sheets::new((16, 16));
        let tile = Rgb { width: 16, height: 16, pixels: vec![0; 768] };
        let mut dropped = Vec::new();
        for n in 0..350_u64 {
            dropped.extend(
                sheets.add(&tile, n * 1000, n * 1000 + 1000, (n * 1000).saturating_sub(30_000)).dropped,
            );
        }
        assert_eq!(dropped, [1, 2, 3]);
        assert_eq!(sheets.len(), 31);
        let index = sheets.index();
        assert!(index.starts_with("WEBVTT\n\n00:05:19.000 -->"), "{index}");
        assert!(!index.contains("00003.jpg") && index.contains("00004.jpg"));
    }

    #[test]
    fn a_resumed_run_keeps_the_tiles_that_were_there() {
        let mut sheets = Sheets::new(TILE);
        let mut stored = None;
        for n in 0..4_u64 {
            stored = sheets.add(&grey(50), n * 2000, n * 2000 + 2000, 0).sheet.or(stored);
        }
        let (_, jpeg, index) = stored.unwrap();
        let mut sheets = Sheets::resume(TILE, &index, 6000, |number| (number == 1).then_some(jpeg));
        assert_eq!(sheets.len(), 3);
        sheets.add(&grey(200), 6000, 8000, 0);
        let (_, jpeg, index) = sheets.finish(9000).unwrap();
        assert_eq!(index.matches("-->").count(), 4);
        let sheet = Rgb::from_jpeg(&jpeg).unwrap();
        let pixel = |x: u32| sheet.pixels[((45 * sheet.width + x) * 3) as usize];
        assert!(pixel(400).abs_diff(50) <= 4 && pixel(560).abs_diff(200) <= 4);
    }

    #[test]
    fn intervals_suit_the_length() {
        let rows = [(None, 5000), (Some(10_000), 2000), (Some(600_000), 6000), (Some(7_200_000), 10_000)];
        for (duration, interval) in rows {
            assert_eq!(interval_ms(duration), interval);
        }
        assert_eq!((tile_size((1920, 1080)), tile_size((1080, 1920))), ((160, 90), (160, 284)));
        assert_eq!(timestamp(3_723_004), "01:02:03.004");
    }
}
