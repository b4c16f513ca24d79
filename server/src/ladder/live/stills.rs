//! Poster and thumbnails of a live stream, renewed while it runs.

use gstreamer as gst;
use gstreamer_video as gst_video;

use super::words::{Outlet, Still, Stills, Word};
use crate::ladder::{Rgb, Sheets, poster_jpeg, tile_size};

/// Between two posters, in milliseconds.
const POSTER_MS: u64 = 10_000;
/// Between two tiles of a short window, in milliseconds; long ones have them farther apart.
const TILE_MS: u64 = 2_000;

/// Takes pictures from a live decoder.
pub(super) struct LiveStills {
    begun: Stills,
    outlet: Outlet,
    interval_ms: u64,
    sheets: Option<Sheets>,
    next_tile_ms: u64,
    next_poster_ms: u64,
    last_ms: u64,
}

impl LiveStills {
    pub(super) fn new(begun: Stills, outlet: Outlet) -> Self {
        // A window without end grows for hours; a DVR window of 10 min gets a tile every 6 s.
        let interval_ms = begun.window_ms.map_or(10_000, |ms| ms / 100).clamp(TILE_MS, 10_000);
        Self { begun, outlet, interval_ms, sheets: None, next_tile_ms: 0, next_poster_ms: 0, last_ms: 0 }
    }

    /// Looks at the picture that is shown at `pts_ns` of the stream.
    pub(super) fn see(&mut self, pts_ns: u64, picture: &gst::Buffer, info: &gst_video::VideoInfo) {
        let now_ms = pts_ns / 1_000_000;
        self.last_ms = now_ms;
        if now_ms >= self.next_poster_ms {
            self.next_poster_ms = now_ms + POSTER_MS;
            if let Some(jpeg) = poster_jpeg(picture, info, self.begun.size) {
                self.tell(Still::Poster(jpeg.into()));
            }
        }
        if now_ms < self.next_tile_ms {
            return;
        }
        self.next_tile_ms = (now_ms / self.interval_ms + 1) * self.interval_ms;
        let tile_size = tile_size(self.begun.size);
        let mut sheets = match self.sheets.take() {
            Some(sheets) => sheets,
            None => resumed(&mut self.begun, tile_size, now_ms),
        };
        if let Some(tile) = Rgb::of(picture, info, tile_size) {
            let from_ms = self.begun.window_ms.map_or(0, |window| now_ms.saturating_sub(window));
            let written = sheets.add(&tile, now_ms, self.next_tile_ms, from_ms);
            self.write(written.sheet);
            for number in written.dropped {
                self.tell(Still::Dropped(number));
            }
        }
        self.sheets = Some(sheets);
    }

    /// Writes what was not written yet.
    pub(super) fn finish(&mut self) {
        let written = self.sheets.as_mut().and_then(|sheets| sheets.finish(self.last_ms));
        self.write(written);
    }

    fn write(&self, sheet: Option<(u32, Vec<u8>, String)>) {
        if let Some((number, jpeg, index)) = sheet {
            self.tell(Still::Sheet { number, jpeg: jpeg.into(), index });
        }
    }

    /// When nobody listens any more, the ladder is about to be stopped.
    fn tell(&self, still: Still) {
        let _ = (self.outlet)(Word::Still(still));
    }
}

/// What a publisher's earlier connection, the server before its restart, or a process that died has left.
fn resumed(begun: &mut Stills, tile: (u32, u32), now_ms: u64) -> Sheets {
    let sheet = begun.sheet.take().map(Vec::from);
    match begun.index.take() {
        // Tiles of another shape do not fit on the same sheets.
        Some(index) if index.trim_end().ends_with(&format!(",{},{}", tile.0, tile.1)) => {
            Sheets::resume(tile, &index, now_ms, |_| sheet)
        }
        _ => Sheets::new(tile),
    }
}
