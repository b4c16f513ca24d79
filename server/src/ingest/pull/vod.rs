//! A recording behind a playlist as one file, which is packaged like any other.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use url::Url;

use super::demux::Timed;
use super::playlist::{Media, Segment};
use super::track::Track;
use super::{PullError, open};
use crate::ingest::fetch::{FetchError, FetchPolicy, Getter, Limits, shown};
use crate::live::{Codec, LiveEvent, LiveUnit, TrackSetup};
use crate::package::{
    AUDIO_TRACK, AudioConfig, PackageError, Sample, VIDEO_TRACK, VideoConfig, audio_init_at, media_segment,
    muxed_init, video_init,
};
use crate::store::TrackKind;

/// One segment of a recording.
const SEGMENT: Limits = Limits { bytes: 256 << 20, time: Duration::from_secs(300) };
/// How often a segment is asked for whose connection broke.
const TRIES: u32 = 4;
/// The file's time of what comes first: sound may begin a little before the pictures.
const HEAD_NS: i64 = 1_000_000_000;
/// Length that a fragment of the file has at least.
const FRAGMENT_NS: i64 = 2_000_000_000;
const VIDEO_TIMESCALE: u32 = 90_000;

/// Downloads the best variant of the recording behind `url` into a fragmented MP4 at `to`. `progress` gets milliseconds done
/// and in all; it returns `false` to stop.
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
    let result = write(url, Path::new(&part), policy, &mut progress).await;
    match result {
        Ok(()) => Ok(std::fs::rename(&part, to)?),
        Err(error) => {
            let _ = std::fs::remove_file(&part);
            Err(error)
        }
    }
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
) -> Result<(), PullError> {
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
    let mut file = Mp4::create(part)?;
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

/// A track of the file.
struct Out {
    setup: TrackSetup,
    number: u32,
    timescale: u32,
    pending: Vec<LiveUnit>,
}

/// A fragmented MP4 of one or two tracks in the making.
struct Mp4 {
    file: BufWriter<File>,
    video: Option<Out>,
    sound: Option<Out>,
    begun: bool,
    sequence: u32,
    run: Option<u64>,
    /// Added to the source's times, in this run.
    shift_ns: i64,
    /// End of what there is.
    end_ns: i64,
}

impl Mp4 {
    fn create(path: &Path) -> Result<Self, PullError> {
        Ok(Self {
            file: BufWriter::new(File::create(path)?),
            video: None,
            sound: None,
            begun: false,
            sequence: 0,
            run: None,
            shift_ns: 0,
            end_ns: HEAD_NS,
        })
    }

    /// Takes a segment. `complete` says that every rendition has brought one.
    fn take(&mut self, events: Vec<Timed>, from: &Segment, complete: bool) -> Result<(), PullError> {
        let first = events.iter().find_map(|timed| match &timed.event {
            LiveEvent::Unit(unit) => Some(unit.dts_ns),
            _ => None,
        });
        if let Some(first) = first.filter(|_| self.run != Some(from.run)) {
            // Where the times start anew they follow on from what there is.
            self.shift_ns = self.end_ns.saturating_sub(first);
            self.run = Some(from.run);
        }
        for timed in events {
            match timed.event {
                LiveEvent::Setup(setup) => self.set_up(setup, from)?,
                LiveEvent::Unit(unit) => self.unit(unit),
                LiveEvent::Discontinuity => {}
            }
        }
        if complete { self.flush(false) } else { Ok(()) }
    }

    fn set_up(&mut self, setup: TrackSetup, from: &Segment) -> Result<(), PullError> {
        let begun = self.begun;
        let (place, number, what) = match setup.kind {
            TrackKind::Video => (&mut self.video, VIDEO_TRACK, "pictures' codec settings"),
            TrackKind::Audio => (&mut self.sound, AUDIO_TRACK, "sound's codec settings"),
        };
        match place {
            Some(known) if known.setup == setup => Ok(()),
            None if !begun => {
                let timescale = match setup.sample_rate {
                    _ if setup.kind == TrackKind::Video => VIDEO_TIMESCALE,
                    0 => 48_000,
                    rate => rate,
                };
                *place = Some(Out { setup, number, timescale, pending: Vec::new() });
                Ok(())
            }
            _ => Err(PullError::Changes { what, url: shown(&from.resource.url) }),
        }
    }

    fn unit(&mut self, mut unit: LiveUnit) {
        let out = match unit.kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.sound,
        };
        unit.dts_ns = unit.dts_ns.saturating_add(self.shift_ns);
        unit.pts_ns = unit.pts_ns.saturating_add(self.shift_ns);
        let Some(out) = out else { return };
        let last = out.pending.last().map_or(0, |last| last.dts_ns);
        // Before the file's beginning, or not in the order of decoding: packets that a run repeats from the one before.
        if unit.dts_ns < 0 || unit.dts_ns < last {
            return;
        }
        self.end_ns = self.end_ns.max(unit.dts_ns.saturating_add(20_000_000));
        out.pending.push(unit);
    }

    /// Writes what has come together; all of it at the `end`.
    fn flush(&mut self, end: bool) -> Result<(), PullError> {
        if !self.begun {
            let init = self.init().map_err(|error| unusable(&error))?;
            self.file.write_all(&init)?;
            self.begun = true;
        }
        for out in [&mut self.video, &mut self.sound].into_iter().flatten() {
            let (Some(first), Some(last)) = (out.pending.first(), out.pending.last()) else { continue };
            if !end && last.dts_ns - first.dts_ns < FRAGMENT_NS {
                continue;
            }
            // The last one's duration is not known before its successor.
            let keep = usize::from(!end);
            let units: Vec<LiveUnit> = out.pending.drain(..out.pending.len() - keep).collect();
            let next = out.pending.first().map(|unit| unit.dts_ns);
            self.sequence = self.sequence.wrapping_add(1).max(1);
            let bytes = fragment(out.number, self.sequence, out.timescale, &units, next)
                .map_err(|error| unusable(&error))?;
            self.file.write_all(&bytes)?;
        }
        Ok(())
    }

    fn init(&self) -> Result<Bytes, PackageError> {
        let video = self.video.as_ref().map(|out| {
            let TrackSetup { codec, config, width, height, .. } = &out.setup;
            let make = match codec {
                Codec::Hevc => VideoConfig::from_hvcc,
                Codec::Av1 => VideoConfig::from_av1c,
                _ => VideoConfig::from_avcc,
            };
            let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
            let mut made = make(side(*width), side(*height), config)?;
            if let Some(picture) = made.picture() {
                (made.width, made.height) = (side(picture.width), side(picture.height));
            }
            Ok(video_init(&made, VIDEO_TIMESCALE))
        });
        let sound = self.sound.as_ref().map(|out| {
            let channels = u16::try_from(out.setup.channels).unwrap_or(0);
            let config = match out.setup.codec {
                Codec::Opus => AudioConfig::from_dops(128_000, &out.setup.config),
                _ => AudioConfig::from_asc(out.setup.sample_rate, channels, 128_000, &out.setup.config),
            };
            Ok(audio_init_at(&config?, out.timescale))
        });
        match (video.transpose()?, sound.transpose()?) {
            (Some(video), Some(sound)) => muxed_init(&video, &sound),
            (Some(one), None) | (None, Some(one)) => Ok(one),
            (None, None) => Err(PackageError::Malformed("no track".to_owned())),
        }
    }

    fn finish(mut self, url: &Url) -> Result<(), PullError> {
        if self.video.is_none() && self.sound.is_none() {
            let why = "it lists no segment with pictures or sound".to_owned();
            return Err(PullError::Playlist { url: shown(url), why });
        }
        self.flush(true)?;
        Ok(self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_data()?)
    }
}

fn unusable(error: &PackageError) -> PullError {
    PullError::Segment { url: "of the recording".to_owned(), why: error.to_string() }
}

fn fragment(
    track: u32,
    sequence: u32,
    timescale: u32,
    units: &[LiveUnit],
    next_ns: Option<i64>,
) -> Result<Bytes, PackageError> {
    let ticks = |ns: i64| {
        let scaled = i128::from(ns) * i128::from(timescale);
        i64::try_from((scaled + 500_000_000) / 1_000_000_000).unwrap_or(i64::MAX)
    };
    let times: Vec<i64> = units.iter().map(|unit| ticks(unit.dts_ns)).collect();
    let start = times.first().copied().unwrap_or(0);
    let mut usual = 1;
    let samples: Vec<Sample> = units
        .iter()
        .zip(&times)
        .enumerate()
        .map(|(index, (unit, time))| {
            let next = times.get(index + 1).copied().or_else(|| next_ns.map(ticks));
            usual = next.map_or(usual, |next| (next - time).max(0));
            Sample {
                duration: u32::try_from(usual).unwrap_or(u32::MAX),
                composition_offset: i32::try_from(ticks(unit.pts_ns) - time).unwrap_or(0),
                key: unit.key,
                data: unit.data.clone(),
            }
        })
        .collect();
    media_segment(track, sequence, u64::try_from(start).unwrap_or(0), &samples)
}
