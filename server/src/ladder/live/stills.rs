//! Poster and thumbnails of a live stream, renewed while it runs.

use std::sync::Arc;

use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::ladder::log::Voice;
use crate::ladder::{Rgb, Sheets, poster_jpeg, tile_size};
use crate::store::{StoreError, StreamStore, sheet_name};

/// Between two posters, in milliseconds.
const POSTER_MS: u64 = 10_000;
/// Between two tiles of a short window, in milliseconds; long ones have them farther apart.
const TILE_MS: u64 = 2_000;

/// Takes pictures from a live decoder.
pub(super) struct LiveStills {
    stream: Arc<StreamStore>,
    size: (u32, u32),
    interval_ms: u64,
    window_ms: Option<u64>,
    sheets: Option<Sheets>,
    next_tile_ms: u64,
    next_poster_ms: u64,
    last_ms: u64,
    voice: Voice,
    told: bool,
}

impl LiveStills {
    /// `size` is how the stream is shown.
    pub(super) fn new(stream: Arc<StreamStore>, size: (u32, u32), voice: Voice) -> Self {
        let window_ms = stream.live().map(|live| u64::from(live.window_s) * 1000).filter(|ms| *ms > 0);
        // A window without end grows for hours; a DVR window of 10 min gets a tile every 6 s.
        let interval_ms = window_ms.map_or(10_000, |ms| ms / 100).clamp(TILE_MS, 10_000);
        Self {
            stream,
            size,
            interval_ms,
            window_ms,
            sheets: None,
            next_tile_ms: 0,
            next_poster_ms: 0,
            last_ms: 0,
            voice,
            told: false,
        }
    }

    /// Looks at the picture that is shown at `pts_ns` of the stream.
    pub(super) fn see(&mut self, pts_ns: u64, picture: &gst::Buffer, info: &gst_video::VideoInfo) {
        let now_ms = pts_ns / 1_000_000;
        self.last_ms = now_ms;
        if now_ms >= self.next_poster_ms {
            self.next_poster_ms = now_ms + POSTER_MS;
            if let Some(jpeg) = poster_jpeg(picture, info, self.size) {
                self.tell(self.stream.put_poster(&jpeg));
            }
        }
        if now_ms < self.next_tile_ms {
            return;
        }
        self.next_tile_ms = (now_ms / self.interval_ms + 1) * self.interval_ms;
        let tile_size = tile_size(self.size);
        let mut sheets = match self.sheets.take() {
            Some(sheets) => sheets,
            None => resumed(&self.stream, tile_size, now_ms),
        };
        if let Some(tile) = Rgb::of(picture, info, tile_size) {
            let from_ms = self.window_ms.map_or(0, |window| now_ms.saturating_sub(window));
            let written = sheets.add(&tile, now_ms, self.next_tile_ms, from_ms);
            self.write(written.sheet);
            for number in written.dropped {
                self.tell(self.stream.drop_thumbnail_sheet(number));
            }
        }
        self.sheets = Some(sheets);
    }

    /// Writes what was not written yet.
    pub(super) fn finish(&mut self) {
        let written = self.sheets.as_mut().and_then(|sheets| sheets.finish(self.last_ms));
        self.write(written);
    }

    fn write(&mut self, sheet: Option<(u32, Vec<u8>, String)>) {
        let Some((number, jpeg, index)) = sheet else { return };
        let stored = self.stream.put_thumbnail_sheet(number, &jpeg);
        self.tell(stored.and_then(|()| self.stream.put_thumbnails(&index)));
    }

    /// A picture that cannot be stored is not worth the stream, and one line in the log is enough.
    fn tell(&mut self, result: Result<(), StoreError>) {
        if let Err(error) = result
            && !std::mem::replace(&mut self.told, true)
        {
            self.voice.warn(format!("no thumbnails: {error}"));
        }
    }
}

/// What a publisher's earlier connection, or the server before its restart, has left.
fn resumed(stream: &StreamStore, tile: (u32, u32), now_ms: u64) -> Sheets {
    let index = stream.thumbnails().map(|index| String::from_utf8_lossy(&index).into_owned());
    match index {
        // Tiles of another shape do not fit on the same sheets.
        Some(index) if index.trim_end().ends_with(&format!(",{},{}", tile.0, tile.1)) => {
            let read = |number| stream.thumbnail_sheet(&sheet_name(number)).map(Vec::from);
            Sheets::resume(tile, &index, now_ms, read)
        }
        _ => Sheets::new(tile),
    }
}
