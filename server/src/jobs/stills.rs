//! The pictures that stand still: the poster and the thumbnails of the scrub bar.

use gstreamer as gst;
use gstreamer_video as gst_video;

use super::place::Place;
use super::plan::Plan;
use crate::ladder::{Rgb, Sheets, interval_ms, poster_jpeg, tile_size};
use crate::store::StoreError;

/// Takes from the pictures of a job what the poster and the thumbnails need.
pub(super) struct Stills<'a> {
    stream: &'a dyn Place,
    plan: &'a Plan,
    /// As the stream is shown.
    size: (u32, u32),
    /// Frame of the better poster, at a tenth of the stream.
    later: Option<u64>,
    missing: bool,
    sheets: Sheets,
    interval_ms: u64,
    next_ms: u64,
}

impl<'a> Stills<'a> {
    pub(super) fn new(stream: &'a dyn Place, plan: &'a Plan, first_segment: u64) -> Self {
        let timeline = plan.timeline();
        let later = plan.duration_ns.map(|ns| timeline.frame_at(ns / 10)).filter(|n| *n > 0);
        let size = plan.shown.or(plan.rungs.last().map(|rung| (rung.width, rung.height))).unwrap_or((16, 9));
        let interval_ms = interval_ms(plan.duration_ns.map(|ns| ns / 1_000_000));
        let from_ms = timeline.frame_ns(timeline.first_frame(first_segment)) / 1_000_000;
        let tile = tile_size(size);
        let kept = stream.stills();
        let sheets = match kept.index {
            Some(index) if first_segment > 0 => {
                let index = String::from_utf8_lossy(&index);
                Sheets::resume(tile, &index, from_ms, |_| kept.sheet.map(Vec::from))
            }
            _ => Sheets::new(tile),
        };
        let next_ms = from_ms.div_ceil(interval_ms) * interval_ms;
        Self { stream, plan, size, later, missing: !kept.poster, sheets, interval_ms, next_ms }
    }

    /// Looks at frame `n`.
    pub(super) fn see(&mut self, n: u64, picture: &gst::Buffer, info: &gst_video::VideoInfo) {
        if self.missing || self.later == Some(n) {
            self.missing = false;
            if let Some(jpeg) = poster_jpeg(picture, info, self.size) {
                self.tell(self.stream.put_poster(&jpeg));
            }
        }
        let now_ms = self.plan.timeline().frame_ns(n) / 1_000_000;
        if now_ms < self.next_ms {
            return;
        }
        self.next_ms = (now_ms / self.interval_ms + 1) * self.interval_ms;
        let Some(tile) = Rgb::of(picture, info, self.sheets.tile()) else { return };
        let written = self.sheets.add(&tile, now_ms, self.next_ms, 0);
        self.write(written.sheet);
    }

    /// Writes what was not written yet; the last tile lasts until `end_ns`.
    pub(super) fn finish(&mut self, end_ns: u64) {
        let written = self.sheets.finish(end_ns / 1_000_000);
        self.write(written);
    }

    fn write(&self, sheet: Option<(u32, Vec<u8>, String)>) {
        let Some((number, jpeg, index)) = sheet else { return };
        self.tell(self.stream.put_sheet(number, &jpeg, &index));
    }

    /// A picture that cannot be stored is not worth the stream.
    fn tell(&self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            tracing::warn!(stream = self.stream.id(), %error, "cannot store a thumbnail");
        }
    }
}
