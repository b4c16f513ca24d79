//! Small pictures for the scrub bar: looked for when somebody points at it, fetched when nothing more urgent is.
//!
//! From images that the manifest lists (DASH-IF thumbnail tiles, `EXT-X-IMAGE-STREAM-INF`), else from the WebVTT index that our own server has beside
//! its streams. A few images are kept.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use url::Url;
use weir_manifest::model::{MediaKind, Resource, Segment};

use super::{Session, input::Input};
use crate::{
    net::{Ask, Retry},
    player::{Crop, Thumbnail},
    subtitles::read,
};

/// Images that are kept.
const KEPT: usize = 6;
/// Largest image, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;
/// Media come first while there is less than this to play.
const ENOUGH: Duration = Duration::from_secs(4);
/// An index that failed, or ends before the place that is asked for, is loaded again after so long.
const AGAIN: Duration = Duration::from_secs(10);

/// One picture of an index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tile {
    start: Duration,
    end: Duration,
    url: Url,
    crop: Crop,
}

/// Where pictures are listed beside the manifest.
#[derive(Debug, Default)]
enum Index {
    #[default]
    Unknown,
    Loading,
    /// As of then.
    Known(Vec<Tile>, Duration),
    /// It could not be had, as of then.
    Missing(Duration),
}

/// What is known and what is asked for.
#[derive(Debug, Default)]
pub(crate) struct Thumbnails {
    index: Index,
    wanted: Option<Duration>,
    loading: Option<Resource>,
    /// The one that was used last at the end; without bytes where it could not be had.
    images: Vec<(Resource, Option<Bytes>)>,
    shown: Option<Arc<Thumbnail>>,
    /// When the manifest's list of them was asked for.
    listed: Option<Duration>,
}

/// A tile of an image that a manifest lists.
fn tile_of(segment: &Segment, (columns, rows): (u32, u32), at: Duration) -> (Duration, Duration, Crop) {
    let count = columns.saturating_mul(rows).max(1);
    let each = segment.duration / count;
    let inside = at.saturating_sub(segment.start).as_secs_f64();
    let tile = if each.is_zero() { 0 } else { ((inside / each.as_secs_f64()) as u32).min(count - 1) };
    let start = segment.start + each * tile;
    (start, start + each, Crop::Tile { column: tile % columns, row: tile / columns, columns, rows })
}

/// Reads a WebVTT index: cues name images and, by a media fragment, a part of each.
fn parse(url: &Url, bytes: &[u8]) -> Vec<Tile> {
    let Ok(document) = read(None, bytes) else { return Vec::new() };
    let tile = |cue: crate::subtitles::Timed| {
        let text: String = cue.spans.iter().map(|span| span.text.as_str()).collect();
        let mut image = url.join(text.lines().next()?.trim()).ok()?;
        let crop = match image.fragment().and_then(|fragment| fragment.strip_prefix("xywh=")) {
            None => Crop::Whole,
            Some(numbers) => {
                let mut numbers =
                    numbers.trim_start_matches("pixel:").split(',').map(|n| n.parse::<u32>().ok());
                let mut next = || numbers.next().flatten();
                let (x, y, width, height) = (next()?, next()?, next()?, next()?);
                (width > 0 && height > 0).then_some(Crop::Pixels { x, y, width, height })?
            }
        };
        image.set_fragment(None);
        let time = |nanos: i64| Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
        Some(Tile { start: time(cue.start), end: time(cue.end), url: image, crop })
    };
    let mut tiles: Vec<Tile> = document.cues.into_iter().filter_map(tile).collect();
    tiles.sort_by_key(|tile| tile.start);
    tiles
}

/// Where our own server has its index: beside the folder of the manifest.
fn beside(manifest: &Url) -> Option<Url> {
    let path: Vec<&str> = manifest.path_segments()?.collect();
    let known = matches!(
        path.as_slice(),
        [.., "stream", _, "hls", "master.m3u8"] | [.., "stream", _, "dash", "manifest.mpd"]
    );
    known.then(|| manifest.join("../thumbnails.vtt").ok()).flatten()
}

impl Session {
    /// The viewer points at a place on the scrub bar, or away from it.
    pub(crate) fn wish_thumbnail(&mut self, at: Option<Duration>) {
        self.thumbnails.wanted = at;
        self.follow_thumbnails();
    }

    /// Fetches what is missing for the picture that is wanted, when that takes nothing from playback.
    pub(crate) fn follow_thumbnails(&mut self) {
        let Some(at) = self.thumbnails.wanted else { return };
        let Some((resource, start, end, crop)) = self.locate_thumbnail(at) else {
            self.load_thumbnail_index(at);
            return;
        };
        let images = &mut self.thumbnails.images;
        if let Some(known) = images.iter().position(|(known, _)| *known == resource) {
            let entry = images.remove(known);
            images.push(entry.clone());
            let Some(bytes) = entry.1 else { return };
            let same = |shown: &Arc<Thumbnail>| shown.start == start && shown.crop == crop;
            if !self.thumbnails.shown.as_ref().is_some_and(same) {
                let id = match resource.range {
                    Some(range) => format!("{}#{}", resource.url, range.start),
                    None => resource.url.to_string(),
                };
                self.thumbnails.shown = Some(Arc::new(Thumbnail { start, end, image: bytes, id, crop }));
                self.view.changed = true;
            }
            return;
        }
        if self.thumbnails.loading.is_some() || !self.is_idle() {
            return;
        }
        let (http, inbox) = (self.http.clone(), self.inbox.clone());
        let asked = resource.clone();
        self.thumbnails.loading = Some(resource);
        self.runtime.spawn(async move {
            let Resource { url, range } = asked.clone();
            let ask = Ask { url, range, limit: LARGEST, compressed: false, idle: http.limits.idle };
            let body = http.get(ask, |_| ()).await.map(|body| body.bytes);
            let _ = inbox.send(Input::Thumbnails(asked, body.ok())).await;
        });
    }

    /// Whether a request more takes nothing from what is needed to play.
    fn is_idle(&self) -> bool {
        self.planner.buffer_level() >= ENOUGH || self.transfers.is_empty()
    }

    fn locate_thumbnail(&self, at: Duration) -> Option<(Resource, Duration, Duration, Crop)> {
        let tracks = &self.catalog.as_ref()?.presentation().tracks;
        let mut images = tracks.iter().filter(|track| track.kind == MediaKind::Image);
        if let Some((track, tiles)) = images.find_map(|track| Some((track, track.tiles?))) {
            // The smallest that there is: it is shown small.
            let segments = &track.renditions.first()?.segments;
            let before = segments.partition_point(|segment| segment.start <= at);
            let segment = segments.get(before.checked_sub(1)?)?;
            let (start, end, crop) = tile_of(segment, tiles, at);
            return Some((segment.media.clone(), start, end, crop));
        }
        let Index::Known(tiles, _) = &self.thumbnails.index else { return None };
        let before = tiles.partition_point(|tile| tile.start <= at);
        let tile = tiles.get(before.checked_sub(1)?)?;
        // The last one stands for what is left of the film.
        (at < tile.end || (before == tiles.len() && !self.is_live()))
            .then(|| (Resource { url: tile.url.clone(), range: None }, tile.start, tile.end, tile.crop))
    }

    fn load_thumbnail_index(&mut self, at: Duration) {
        let Some(catalog) = self.catalog.as_ref() else { return };
        let images = catalog.presentation().tracks.iter().position(|track| track.kind == MediaKind::Image);
        let now = self.now();
        if let Some(track) = images {
            let known = catalog.presentation().tracks.get(track).and_then(|track| track.renditions.first());
            let empty = known.is_some_and(|rendition| rendition.segments.is_empty());
            let again = self.thumbnails.listed.is_none_or(|at| now.saturating_sub(at) >= AGAIN);
            if empty && again && self.is_idle() {
                self.thumbnails.listed = Some(now);
                for request in catalog.source.wanted(track, 0) {
                    self.load(request);
                }
            }
            return;
        }
        // A live window's times are not those of the index.
        if catalog.presentation().start_at_edge {
            return;
        }
        let due = match &self.thumbnails.index {
            Index::Unknown => true,
            Index::Loading => false,
            Index::Missing(since) => now.saturating_sub(*since) >= AGAIN,
            Index::Known(tiles, since) => {
                let ends = tiles.last().map_or(Duration::ZERO, |last| last.end);
                at >= ends && now.saturating_sub(*since) >= AGAIN
            }
        };
        let Some(url) = beside(&self.http_base).filter(|_| due && self.is_idle()) else { return };
        self.thumbnails.index = Index::Loading;
        let (http, inbox) = (self.http.clone(), self.inbox.clone());
        self.runtime.spawn(async move {
            let resource = Resource { url, range: None };
            let patience = http.limits.idle;
            let document = http.document(&resource, Retry::PLAYING, patience, |_, _| ()).await;
            let tiles = document.ok().map(|document| parse(&document.url, &document.bytes));
            let _ = inbox.send(Input::ThumbnailIndex(tiles)).await;
        });
    }

    pub(crate) fn thumbnail_index(&mut self, tiles: Option<Vec<Tile>>) {
        let now = self.now();
        self.thumbnails.index = match tiles {
            Some(tiles) => Index::Known(tiles, now),
            None => Index::Missing(now),
        };
        self.follow_thumbnails();
    }

    pub(crate) fn thumbnails_came(&mut self, resource: Resource, bytes: Option<Bytes>) {
        self.thumbnails.loading = None;
        let images = &mut self.thumbnails.images;
        if images.len() >= KEPT {
            images.remove(0);
        }
        images.push((resource, bytes));
        self.follow_thumbnails();
    }

    pub(crate) fn thumbnail_view(&self) -> Option<Arc<Thumbnail>> {
        self.thumbnails.wanted.and(self.thumbnails.shown.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_images_and_their_parts() {
        let url = Url::parse("http://a/stream/x/thumbnails.vtt").unwrap();
        let text = "WEBVTT\n\n00:00.000 --> 00:02.000\nthumbs/1.jpg#xywh=0,90,160,90\n\n00:02.000 --> 00:04.000\nhttp://b/2.png\n\n\
            00:04.000 --> 00:06.000\nthumbs/1.jpg#xywh=0,90,160\n";
        let tiles = parse(&url, text.as_bytes());
        assert_eq!(tiles.len(), 2, "a part that is no rectangle is left out");
        assert_eq!(tiles[0].url.as_str(), "http://a/stream/x/thumbs/1.jpg");
        assert_eq!(tiles[0].crop, Crop::Pixels { x: 0, y: 90, width: 160, height: 90 });
        assert_eq!((tiles[1].url.as_str(), tiles[1].crop), ("http://b/2.png", Crop::Whole));
        assert!(parse(&url, b"<html>").is_empty());
    }

    #[test]
    fn our_servers_index_is_beside_its_manifests_and_nobody_elses_is_guessed_at() {
        let beside = |url: &str| beside(&Url::parse(url).unwrap()).map(|url| url.to_string());
        let index = Some("http://a/stream/x/thumbnails.vtt".to_owned());
        assert_eq!(beside("http://a/stream/x/hls/master.m3u8?t=1"), index);
        assert_eq!(beside("http://a/stream/x/dash/manifest.mpd"), index);
        assert_eq!(beside("http://a/vod/x/hls/master.m3u8"), None);
    }
}
