//! Key frames for trick play: looked up once a segment, from its first bytes.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use super::found::Found;
use super::front::Front;
use super::hls;
use super::hls::iframes::{self, IFrameInput, KeyFrame};
use super::keyframes::{FirstSample, Look, first_sample};
use super::rates::Rates;
use super::rendered::Version;
use crate::app::App;
use crate::http::{Entity, Problem};
use crate::store::{Rendition, SegmentEntry, StreamStore, TrackKind};

/// First look at a segment's file, in bytes: the head of a few seconds fits.
const FIRST_LOOK: usize = 8 * 1024;
/// Segments that are looked at to say how much bandwidth key frames take.
const SAMPLED: usize = 8;
/// Head room over the sampled ones, in per cent.
const HEAD_ROOM_PERCENT: u64 = 125;

/// The I-frame playlist of a video rendition.
pub(super) async fn playlist(
    app: &App,
    found: &Found,
    rendition: &Arc<Rendition>,
) -> Result<Arc<Entity>, Problem> {
    let (ended, growth) = (found.ended(), found.growth());
    let window = found.window(rendition);
    // Parts do not show here.
    let front = Front { open_parts: 0, last_parts: 0, ..Front::of(&window) };
    let version = Version { fronts: vec![front], ended, ..Version::default() };
    let documents = found.documents(app);
    let name = format!("{}/iframes", rendition.name());
    if let Some(entity) = documents.find(&name, &version) {
        return Ok(entity);
    }
    // One at a time: the others find what the first looked up.
    let _turn = documents.looking_up.lock().await;
    let known =
        documents.with_memory(|memory| memory.key_frames.remove(rendition.name())).unwrap_or_default();
    let (store, of, segments) =
        (Arc::clone(&found.store), Arc::clone(rendition), Arc::clone(&window.segments));
    let frames = tokio::task::spawn_blocking(move || look_up(&store, &of, &segments, known))
        .await
        .map_err(|_| Problem::internal("looking for key frames"))?;
    let entity = documents.get(&name, version, || {
        let text = iframes::playlist(&IFrameInput {
            frames: &frames,
            timescale: rendition.info().timescale,
            first: window.first_number(),
            discontinuity_sequence: window.discontinuity_sequence,
            generation: &found.generation(),
            target: found.timing().target,
            growth,
        });
        Entity::text(text, hls::CONTENT_TYPE)
    });
    documents.with_memory(|memory| memory.key_frames.insert(rendition.name().to_owned(), frames));
    Ok(entity)
}

/// What each rendition's key frames take at most, in bit/s; `None` for sound.
pub(super) async fn peaks(found: &Found, renditions: &[Arc<Rendition>], rates: &[Rates]) -> Vec<Option<u64>> {
    let mut peaks = Vec::new();
    for (rendition, rates) in renditions.iter().zip(rates) {
        if rendition.info().kind != TrackKind::Video {
            peaks.push(None);
            continue;
        }
        // A key frame is a part of its segment, so their peak is at most the segments'.
        let bound = rates.peak;
        let sampled = if found.ended() { sample(found, rendition).await } else { None };
        peaks.push(Some(sampled.map_or(bound, |peak| (peak * HEAD_ROOM_PERCENT / 100).min(bound))));
    }
    peaks
}

async fn sample(found: &Found, rendition: &Arc<Rendition>) -> Option<u64> {
    let segments = rendition.segments();
    let step = (segments.len() / SAMPLED).max(1);
    let some: Vec<_> = segments.iter().step_by(step).copied().collect();
    let (store, of) = (Arc::clone(&found.store), Arc::clone(rendition));
    let timescale = rendition.info().timescale;
    let frames = tokio::task::spawn_blocking(move || look_up(&store, &of, &some, Vec::new())).await.ok()?;
    iframes::peak(&frames, timescale)
}

/// The key frame of each segment: those that are `known`, the others by a look at the segment. Blocks on the disk.
fn look_up(
    store: &StreamStore,
    rendition: &Rendition,
    segments: &[SegmentEntry],
    known: Vec<KeyFrame>,
) -> Vec<KeyFrame> {
    let mut known = known.into_iter().peekable();
    segments
        .iter()
        .map(|segment| {
            while known.next_if(|frame| frame.segment < segment.number).is_some() {}
            if let Some(frame) = known.next_if(|frame| frame.segment == segment.number) {
                return frame;
            }
            // A segment that tells nothing is its own key frame: more bytes, but no hole in the list. One that does
            // not begin with a key frame has none to show.
            let bytes = if segment.independent { segment.bytes } else { 0 };
            let whole = FirstSample { offset: 0, bytes };
            let found = if bytes == 0 { None } else { head(store, rendition, segment.number) };
            let found = found.filter(|f| f.offset + f.bytes <= segment.bytes);
            let FirstSample { offset, bytes } = found.unwrap_or(whole);
            KeyFrame {
                segment: segment.number,
                start: segment.start,
                duration: segment.duration,
                offset,
                bytes,
                init: segment.init,
                discontinuity: segment.discontinuity,
            }
        })
        .collect()
}

fn head(store: &StreamStore, rendition: &Rendition, number: u32) -> Option<FirstSample> {
    let found = |bytes: &[u8]| match first_sample(bytes) {
        Look::Found(found) => Some(found),
        Look::Need(_) | Look::Unknown => None,
    };
    if let Some(part) = rendition.part_bytes(number, 0) {
        return found(&part);
    }
    let Ok(mut file) = File::open(rendition.segment_path(number)) else {
        return found(&store.segment_bytes(rendition.name(), number).ok()?);
    };
    let mut bytes = Vec::new();
    let mut want = FIRST_LOOK;
    loop {
        let more = want.saturating_sub(bytes.len());
        let came = file.by_ref().take(more as u64).read_to_end(&mut bytes).ok()?;
        match first_sample(&bytes) {
            Look::Found(found) => return Some(found),
            Look::Need(needed) if came == more && needed > bytes.len() => want = needed,
            Look::Need(_) | Look::Unknown => return None,
        }
    }
}
