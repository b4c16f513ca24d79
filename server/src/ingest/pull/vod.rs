//! A recording behind a playlist as files that follow each other, mostly one, which are packaged like any other.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::demux::Timed;
use super::media::{Media, Segment};
use super::recording::{Recording, numbered};
use super::track::Track;
use super::{PullError, open};
use crate::ingest::fetch::{FetchError, FetchPolicy, Getter, Limits, shown};

/// One segment of a recording.
const SEGMENT: Limits = Limits { bytes: 256 << 20, time: Duration::from_secs(300) };
/// How often a segment is asked for whose connection broke.
const TRIES: u32 = 4;
/// Downloads the best variant of the recording behind `url` into a fragmented MP4 at `to`, and into further ones with a
/// [number](numbered) where its coding changes. `progress` gets milliseconds done and in all; it returns `false` to stop.
///
/// # Errors
/// See [`PullError`]. Nothing is left behind then.
pub(crate) async fn download(
    url: &Url,
    to: &Path,
    policy: Arc<dyn FetchPolicy>,
    mut progress: impl FnMut(u64, Option<u64>) -> bool + Send,
) -> Result<(), PullError> {
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let result = write(url, part, policy, &mut progress).await.and_then(|files| {
        // The first one last: what is there is whole then.
        (0..files).rev().try_for_each(|index| std::fs::rename(numbered(part, index), numbered(to, index)))?;
        Ok(())
    });
    if result.is_err() {
        for index in 0.. {
            let (part, whole) = (numbered(part, index), numbered(to, index));
            let gone = [part, whole].map(|path| std::fs::remove_file(path).is_err());
            if gone == [true, true] {
                break;
            }
        }
    }
    result
}

/// A rendition on its way.
struct Lane {
    track: Track,
    media: Media,
    next: usize,
    /// Seconds of its playlist that are done.
    at: f64,
}

impl Lane {
    fn segment(&self) -> Option<&Segment> {
        self.media.segments.get(self.next)
    }
}

async fn write(
    url: &Url,
    part: &Path,
    policy: Arc<dyn FetchPolicy>,
    progress: &mut (impl FnMut(u64, Option<u64>) -> bool + Send),
) -> Result<usize, PullError> {
    let getter = Getter::new(policy)?;
    let (_, tracks) = open(&getter, url).await?;
    let mut lanes = Vec::new();
    for track in tracks {
        let media = track.playlist().await?;
        if !media.ended {
            return Err(PullError::Live { url: track.name() });
        }
        lanes.push(Lane { track, media, next: 0, at: 0.0 });
    }
    let seconds = |lane: &Lane| lane.media.segments.iter().map(|s| s.seconds).sum::<f64>();
    let total = lanes.iter().map(seconds).fold(0.0, f64::max);
    let mut file = Recording::create(part)?;
    let mut received = 0_u64;
    // What plays first comes first, the pictures where both do: a run of both renditions before the next run of either.
    loop {
        let place = |lane: &&mut Lane| lane.segment().map(|segment| (segment.run, lane.at));
        let earlier = |a: &(u64, f64), b: &(u64, f64)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1));
        let due = lanes.iter_mut().filter_map(|lane| place(&lane).map(|at| (at, lane)));
        let Some((_, lane)) = due.min_by(|(a, _), (b, _)| earlier(a, b)) else { break };
        let Some(segment) = lane.segment().cloned() else { break };
        lane.next += 1;
        lane.at += segment.seconds;
        let done = lane.at;
        if segment.gap {
            continue;
        }
        let (size, events) = patiently(&mut lane.track, &segment).await?;
        received = received.saturating_add(size);
        if received > getter.max_bytes() {
            return Err(FetchError::TooLarge { url: shown(url), limit: getter.max_bytes() }.into());
        }
        let complete = lanes.iter().all(|lane| lane.next > 0);
        file.take(events, &segment, complete)?;
        let ms = |seconds: f64| (seconds * 1000.0) as u64;
        if !progress(ms(done), Some(ms(total))) {
            return Err(PullError::Cancelled);
        }
    }
    file.finish(url)
}

/// A segment; what broke on its way is asked for again.
async fn patiently(track: &mut Track, segment: &Segment) -> Result<(u64, Vec<Timed>), PullError> {
    let mut tried = 1;
    loop {
        let error = match track.segment(segment, SEGMENT).await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let may_help = match &error {
            PullError::Fetch(FetchError::Network { .. } | FetchError::TooSlow { .. }) => true,
            PullError::Fetch(FetchError::Status { status, .. }) => status.starts_with('5'),
            _ => false,
        };
        if !may_help || tried >= TRIES {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(500 << tried)).await;
        tried += 1;
    }
}
