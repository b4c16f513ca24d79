//! Small pictures for the scrub bar: looked for when somebody points at it, fetched when nothing more urgent is.
//!
//! From images that the manifest lists (DASH-IF thumbnail tiles, `EXT-X-IMAGE-STREAM-INF`), else from the WebVTT index that our own server has beside
//! its streams, else from key frames: those that are listed for that purpose (`EXT-X-I-FRAME-STREAM-INF`, DASH trick mode),
//! or those of the lowest rung. A few are kept.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::task::AbortHandle;
use url::Url;
use weir_abr::{RungId, TrackKind};
use weir_manifest::{
    Lookup,
    model::{MediaKind, Resource, Segment},
};

use super::{Session, input::Input};
use crate::{
    demux::{InitSegment, Still, stills},
    net::{Ask, Retry},
    player::{Crop, Thumbnail, ThumbnailImage},
    subtitles::read,
};

/// Bytes of pictures that are kept, the newest one in any case.
const KEPT: usize = 12 * 1024 * 1024;
/// Entries that are kept, those that could not be had included.
const ENTRIES: usize = 256;
/// Decoded key frames fit into this, in pixels.
const STILL: (u32, u32) = (320, 220);
/// A live stream near its edge never has much buffered: it has enough for something else besides while the network carries
/// so many times what is played.
const SPARE: u64 = 4;
/// Largest image, or segment for the sake of its key frames, in bytes.
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
    loading: Option<(Resource, AbortHandle)>,
    /// The one that was used last at the end.
    kept: Vec<(Resource, Pictures)>,
    shown: Option<Arc<Thumbnail>>,
    /// When the manifest's list of them was asked for.
    listed: Option<Duration>,
}

/// What a request brought.
#[derive(Clone, Debug)]
pub(crate) enum Pictures {
    /// It could not be had, or nothing was in it.
    Nothing,
    /// An image, whole or cut into tiles.
    Image(Bytes),
    /// Key frames of a segment, in order.
    Stills(Arc<[Still]>),
}

impl Pictures {
    fn bytes(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Image(bytes) => bytes.len(),
            Self::Stills(stills) => stills.iter().map(|still| still.rgba.len()).sum(),
        }
    }
}

/// Where the picture of a place is.
#[derive(Debug)]
enum Found {
    /// In an image.
    Tile { resource: Resource, start: Duration, end: Duration, crop: Crop },
    /// Among the key frames of a segment.
    Segment(Box<Segment>),
}

impl Found {
    fn resource(&self) -> &Resource {
        match self {
            Self::Tile { resource, .. } => resource,
            Self::Segment(segment) => &segment.media,
        }
    }

    /// The picture for `at`; `None` where there is none among `pictures`.
    fn picture(&self, pictures: &Pictures, at: Duration) -> Option<Thumbnail> {
        let resource = self.resource();
        let name = match &resource.range {
            Some(range) => format!("{}#{}", resource.url, range.start),
            None => resource.url.to_string(),
        };
        match (self, pictures) {
            (Self::Tile { start, end, crop, .. }, Pictures::Image(bytes)) => Some(Thumbnail {
                start: *start,
                end: *end,
                image: ThumbnailImage::Encoded(bytes.clone()),
                id: name,
                crop: *crop,
            }),
            (Self::Segment(segment), Pictures::Stills(stills)) => {
                let inside = i64::try_from(at.saturating_sub(segment.start).as_nanos()).unwrap_or(i64::MAX);
                let next = stills.partition_point(|still| still.offset <= inside).max(1);
                let still = stills.get(next - 1)?;
                let time = |still: &Still| {
                    segment.start + Duration::from_nanos(u64::try_from(still.offset).unwrap_or(0))
                };
                let end = segment.start + segment.duration;
                Some(Thumbnail {
                    start: if next == 1 { segment.start } else { time(still) },
                    end: stills.get(next).map_or(end, |next| time(next).min(end)),
                    image: ThumbnailImage::Rgba {
                        width: still.width,
                        height: still.height,
                        bytes: still.rgba.clone(),
                    },
                    id: format!("{name}@{}", still.offset),
                    crop: Crop::Whole,
                })
            }
            _ => None,
        }
    }
}

/// What a segment will probably take, in bytes.
fn expected(segment: &Segment, bandwidth: u64) -> u64 {
    let ranged = segment.media.range.as_ref().map(|range| range.end.saturating_sub(range.start));
    let by_rate = (bandwidth as f64 / 8.0 * segment.duration.as_secs_f64()) as u64;
    segment.size.or(ranged).unwrap_or(by_rate)
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
        // What is needed to play comes first, also when it was not expected to be short.
        if !self.is_idle()
            && let Some((_, task)) = self.thumbnails.loading.take()
        {
            task.abort();
        }
        let Some(at) = self.thumbnails.wanted else { return };
        let Some(found) = self.locate_thumbnail(at) else {
            self.load_thumbnail_index(at);
            return;
        };
        let kept = &mut self.thumbnails.kept;
        if let Some(known) = kept.iter().position(|(known, _)| known == found.resource()) {
            let entry = kept.remove(known);
            let picture = found.picture(&entry.1, at);
            kept.push(entry);
            let Some(picture) = picture else { return };
            let same = |shown: &Arc<Thumbnail>| {
                shown.start == picture.start && shown.crop == picture.crop && shown.id == picture.id
            };
            if !self.thumbnails.shown.as_ref().is_some_and(same) {
                self.thumbnails.shown = Some(Arc::new(picture));
                self.view.changed = true;
            }
            return;
        }
        if self.thumbnails.loading.is_none() && self.is_idle() {
            self.load_thumbnail(found);
        }
    }

    fn load_thumbnail(&mut self, found: Found) {
        let (http, inbox, fetcher) = (self.http.clone(), self.inbox.clone(), self.fetcher.clone());
        let asked = found.resource().clone();
        let runtime = self.runtime.clone();
        let resource = asked.clone();
        let task = self.runtime.spawn(async move {
            let pictures = match found {
                Found::Tile { resource: Resource { url, range }, .. } => {
                    let ask = Ask { url, range, limit: LARGEST, compressed: false, idle: http.limits.idle };
                    let body = http.get(ask, |_| ()).await.map(|body| body.bytes);
                    body.map_or(Pictures::Nothing, Pictures::Image)
                }
                Found::Segment(segment) => match fetcher.fetch(&segment, |_| ()).await {
                    Ok(body) => {
                        let init = body.init.map(|bytes| InitSegment { bytes: bytes.as_ref().clone() });
                        let decoded =
                            runtime.spawn_blocking(move || stills(init.as_ref(), body.media, STILL)).await;
                        match decoded {
                            Ok(Ok(stills)) => Pictures::Stills(stills.into()),
                            Ok(Err(error)) => {
                                tracing::debug!(url = %resource.url, %error, "no picture for the scrub bar");
                                Pictures::Nothing
                            }
                            Err(_) => Pictures::Nothing,
                        }
                    }
                    Err(_) => Pictures::Nothing,
                },
            };
            let _ = inbox.send(Input::Thumbnails(resource, pictures)).await;
        });
        self.thumbnails.loading = Some((asked, task.abort_handle()));
    }

    /// Whether a request more takes nothing from what is needed to play.
    fn is_idle(&self) -> bool {
        let level = self.planner.buffer_level();
        let spare = || {
            let (_, _, target) = self.latency()?;
            let rung = self.view.loading?;
            let rate = self.catalog.as_ref()?.track(TrackKind::Video)?.ladder.rung(rung).bitrate;
            let carries = self.planner.estimate()?.bps() >= rate.bps().saturating_mul(SPARE);
            Some(carries && level >= target / 2)
        };
        level >= ENOUGH || self.transfers.is_empty() || spare().unwrap_or(false)
    }

    fn locate_thumbnail(&self, at: Duration) -> Option<Found> {
        let tracks = &self.catalog.as_ref()?.presentation().tracks;
        let mut images = tracks.iter().filter(|track| track.kind == MediaKind::Image);
        if let Some((track, tiles)) = images.find_map(|track| Some((track, track.tiles?))) {
            // The smallest that there is: it is shown small.
            let segments = &track.renditions.first()?.segments;
            let before = segments.partition_point(|segment| segment.start <= at);
            let segment = segments.get(before.checked_sub(1)?)?;
            let (start, end, crop) = tile_of(segment, tiles, at);
            return Some(Found::Tile { resource: segment.media.clone(), start, end, crop });
        }
        let Index::Known(tiles, _) = &self.thumbnails.index else { return self.locate_key_frames(at) };
        let before = tiles.partition_point(|tile| tile.start <= at);
        let tile = tiles.get(before.checked_sub(1)?)?;
        // The last one stands for what is left of the film.
        (at < tile.end || (before == tiles.len() && !self.is_live())).then(|| Found::Tile {
            resource: Resource { url: tile.url.clone(), range: None },
            start: tile.start,
            end: tile.end,
            crop: tile.crop,
        })
    }

    /// The stream has key frames only.
    fn has_no_index(&self) -> bool {
        let Some(catalog) = &self.catalog else { return false };
        let presentation = catalog.presentation();
        let listed = presentation.tracks.iter().any(|track| track.kind == MediaKind::Image);
        // A live window's times are not those of the index.
        let beside = !presentation.start_at_edge && beside(&self.http_base).is_some();
        !listed && (!beside || matches!(self.thumbnails.index, Index::Missing(_)))
    }

    /// The track and the rendition whose key frames are shown: listed ones, else the lowest rung's.
    fn key_frames(&self) -> Option<(usize, usize)> {
        let catalog = self.catalog.as_ref().filter(|_| self.has_no_index())?;
        let tracks = &catalog.presentation().tracks;
        let listed = tracks.iter().position(|track| track.kind == MediaKind::KeyFrames);
        let (track, rendition) = match listed {
            Some(track) => (track, 0),
            None => catalog.place(TrackKind::Video, RungId(0))?,
        };
        let pictures = matches!(tracks.get(track)?.kind, MediaKind::KeyFrames | MediaKind::Video);
        pictures.then_some((track, rendition))
    }

    fn locate_key_frames(&self, at: Duration) -> Option<Found> {
        let (track, rendition) = self.key_frames()?;
        let rendition = self.catalog.as_ref()?.presentation().tracks.get(track)?.renditions.get(rendition)?;
        let before = rendition.segments.partition_point(|segment| segment.start <= at);
        let segment = rendition.segments.get(before.checked_sub(1)?)?;
        let fits = at < segment.start + segment.duration && !segment.gap && !segment.growing;
        let bandwidth = rendition.average_bandwidth.unwrap_or(rendition.bandwidth);
        (fits && expected(segment, bandwidth) <= LARGEST).then(|| Found::Segment(Box::new(segment.clone())))
    }

    /// Loads the list of the key frames, or what came to it: of a live stream the list is as old as its last use.
    fn load_key_frames(&mut self, at: Duration) {
        let Some((track, rendition)) = self.key_frames() else { return };
        let now = self.now();
        let due = self.thumbnails.listed.is_none_or(|listed| now.saturating_sub(listed) >= AGAIN);
        if !due || !self.is_idle() {
            return;
        }
        let manifest_now = self.manifest_now();
        let Some(catalog) = &self.catalog else { return };
        let mut requests = catalog.source.wanted(track, rendition);
        let listed = catalog.presentation().tracks.get(track);
        let known = listed.and_then(|it| it.renditions.get(rendition)).and_then(|it| it.segments.last());
        if let Some(last) = known.filter(|last| at >= last.start + last.duration)
            && let Lookup::Load(request) =
                catalog.source.segment(track, rendition, last.number.saturating_add(1), manifest_now)
        {
            requests.push(request);
        }
        if requests.is_empty() {
            return;
        }
        self.thumbnails.listed = Some(now);
        for request in requests {
            self.load(request);
        }
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
        if self.has_no_index() {
            self.load_key_frames(at);
        }
        let Some(catalog) = self.catalog.as_ref() else { return };
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

    pub(crate) fn thumbnails_came(&mut self, resource: Resource, pictures: Pictures) {
        self.thumbnails.loading = None;
        let kept = &mut self.thumbnails.kept;
        kept.retain(|(known, _)| *known != resource);
        kept.push((resource, pictures));
        let mut bytes: usize = kept.iter().map(|(_, pictures)| pictures.bytes()).sum();
        while kept.len() > 1 && (bytes > KEPT || kept.len() > ENTRIES) {
            bytes -= kept.remove(0).1.bytes();
        }
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
    fn of_a_segments_key_frames_the_last_one_before_the_place_is_shown() {
        let still = |offset: i64| Still { offset, width: 16, height: 9, rgba: Bytes::new() };
        let pictures = Pictures::Stills([still(0), still(2_000_000_000), still(4_000_000_000)].into());
        let url = Url::parse("http://a/1.ts").unwrap();
        let segment = Segment {
            number: 3,
            start: Duration::from_secs(60),
            duration: Duration::from_secs(6),
            media: Resource { url, range: Some(100..200) },
            init: None,
            discontinuity: 0,
            media_time_offset: None,
            encryption: None,
            size: None,
            gap: false,
            growing: false,
            parts: None,
            program_date_time: None,
        };
        assert_eq!(expected(&segment, 1_000_000), 100, "a range is known exactly");
        let found = Found::Segment(Box::new(segment));
        let seconds = |at: u64| {
            let picture = found.picture(&pictures, Duration::from_secs(at)).unwrap();
            (picture.start.as_secs(), picture.end.as_secs(), picture.id)
        };
        assert_eq!(seconds(61), (60, 62, "http://a/1.ts#100@0".to_owned()));
        assert_eq!(seconds(62), (62, 64, "http://a/1.ts#100@2000000000".to_owned()));
        assert_eq!(seconds(65), (64, 66, "http://a/1.ts#100@4000000000".to_owned()));
        assert!(found.picture(&Pictures::Nothing, Duration::from_secs(61)).is_none());
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
