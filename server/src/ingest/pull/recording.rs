//! A recording in the making: fragmented MP4 of one or two tracks, in as many files as its coding changes.
//!
//! All of them are on one timeline: each file says where on it its fragments lie.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use url::Url;

use super::PullError;
use super::demux::Timed;
use super::media::Segment;
use crate::ingest::fetch::shown;
use crate::live::{Codec, LiveEvent, LiveUnit, TrackSetup};
use crate::package::{
    AUDIO_TRACK, AudioConfig, PackageError, Sample, VIDEO_TRACK, VideoConfig, audio_init_in, media_segment,
    muxed_init, video_init,
};
use crate::store::TrackKind;

/// The file's time of what comes first: sound may begin a little before the pictures.
const HEAD_NS: i64 = 1_000_000_000;
/// Length that a fragment of the file has at least.
const FRAGMENT_NS: i64 = 2_000_000_000;
/// How long a file's beginning waits for its second track.
const SECOND_TRACK_NS: i64 = 10_000_000_000;
const VIDEO_TIMESCALE: u32 = 90_000;
/// Files of one recording.
const MOST_FILES: usize = 500;

/// The name of a recording's file: its own for the first, with a number behind for those after.
pub(crate) fn numbered(path: &Path, index: usize) -> PathBuf {
    if index == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{index}"));
    name.into()
}

/// A track.
struct Out {
    setup: TrackSetup,
    number: u32,
    timescale: u32,
    /// The file in the making has it.
    begun: bool,
    pending: Vec<LiveUnit>,
}

/// A recording in the making.
pub(super) struct Recording {
    path: PathBuf,
    /// Files that are complete.
    done: usize,
    file: BufWriter<File>,
    video: Option<Out>,
    sound: Option<Out>,
    /// The file in the making has its beginning.
    begun: bool,
    sequence: u32,
    run: Option<u64>,
    /// Added to the source's times, in this run.
    shift_ns: i64,
    /// End of what there is.
    end_ns: i64,
}

impl Recording {
    /// Begins the file at `path`; further ones have a [number](numbered) behind their name.
    pub(super) fn create(path: &Path) -> Result<Self, PullError> {
        Ok(Self {
            file: BufWriter::new(File::create(path)?),
            path: path.to_owned(),
            done: 0,
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
    pub(super) fn take(
        &mut self,
        events: Vec<Timed>,
        from: &Segment,
        complete: bool,
    ) -> Result<(), PullError> {
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
                LiveEvent::Unit(unit) => self.unit(unit, from)?,
                LiveEvent::Discontinuity | LiveEvent::Warning(_) => {}
            }
        }
        if complete && (self.begun || self.is_clear()) { self.flush(false) } else { Ok(()) }
    }

    fn outs(&mut self) -> impl Iterator<Item = &mut Out> {
        [&mut self.video, &mut self.sound].into_iter().flatten()
    }

    /// Whether it is clear which tracks the file has.
    fn is_clear(&self) -> bool {
        let outs = || [&self.video, &self.sound].into_iter().flatten();
        let span = |out: &Out| match (out.pending.first(), out.pending.last()) {
            (Some(first), Some(last)) => last.dts_ns - first.dts_ns,
            _ => 0,
        };
        outs().all(|out| !out.pending.is_empty()) || outs().any(|out| span(out) > SECOND_TRACK_NS)
    }

    fn set_up(&mut self, setup: TrackSetup, from: &Segment) -> Result<(), PullError> {
        let (place, number) = match setup.kind {
            TrackKind::Video => (&mut self.video, VIDEO_TRACK),
            TrackKind::Audio => (&mut self.sound, AUDIO_TRACK),
        };
        match place {
            Some(known) if known.setup == setup => return Ok(()),
            Some(known) if known.begun || !known.pending.is_empty() => self.next_file(from)?,
            _ => {}
        }
        let timescale = match setup.sample_rate {
            _ if setup.kind == TrackKind::Video => VIDEO_TIMESCALE,
            0 => 48_000,
            rate => rate,
        };
        let out = Out { setup, number, timescale, begun: false, pending: Vec::new() };
        match out.setup.kind {
            TrackKind::Video => self.video = Some(out),
            TrackKind::Audio => self.sound = Some(out),
        }
        Ok(())
    }

    fn unit(&mut self, mut unit: LiveUnit, from: &Segment) -> Result<(), PullError> {
        let kind = unit.kind;
        let place = |this: &Self| match kind {
            TrackKind::Video => this.video.as_ref().map(|out| out.begun),
            TrackKind::Audio => this.sound.as_ref().map(|out| out.begun),
        };
        match place(self) {
            None => return Ok(()),
            // A track that comes when the file has begun without it.
            Some(false) if self.begun => self.next_file(from)?,
            Some(_) => {}
        }
        let out = match kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.sound,
        };
        let Some(out) = out else { return Ok(()) };
        unit.dts_ns = unit.dts_ns.saturating_add(self.shift_ns);
        unit.pts_ns = unit.pts_ns.saturating_add(self.shift_ns);
        let last = out.pending.last().map_or(0, |last| last.dts_ns);
        // Before the file's beginning, or not in the order of decoding: packets that a run repeats from the one before.
        if unit.dts_ns < 0 || unit.dts_ns < last {
            return Ok(());
        }
        self.end_ns = self.end_ns.max(unit.dts_ns.saturating_add(20_000_000));
        out.pending.push(unit);
        Ok(())
    }

    /// What follows is coded in another way: a file holds one.
    fn next_file(&mut self, from: &Segment) -> Result<(), PullError> {
        self.flush(true)?;
        self.file.flush()?;
        self.file.get_ref().sync_data()?;
        self.done += 1;
        if self.done >= MOST_FILES {
            return Err(PullError::Changes { most: MOST_FILES, url: shown(&from.resource.url) });
        }
        self.file = BufWriter::new(File::create(numbered(&self.path, self.done))?);
        self.begun = false;
        self.outs().for_each(|out| out.begun = false);
        Ok(())
    }

    /// Writes what has come together; all of it at the `end`.
    fn flush(&mut self, end: bool) -> Result<(), PullError> {
        if !self.begun {
            self.outs().for_each(|out| out.begun = !out.pending.is_empty());
            let init = self.init().map_err(|error| unusable(&error))?;
            self.file.write_all(&init)?;
            self.begun = true;
        }
        for out in [&mut self.video, &mut self.sound].into_iter().flatten().filter(|out| out.begun) {
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
        let there = |out: &&Out| out.begun;
        let video = self.video.as_ref().filter(there).map(|out| {
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
        let sound = self.sound.as_ref().filter(there).map(|out| {
            let channels = u16::try_from(out.setup.channels).unwrap_or(0);
            let config = match out.setup.codec {
                Codec::Opus => AudioConfig::from_dops(128_000, &out.setup.config),
                _ => AudioConfig::from_asc(out.setup.sample_rate, channels, 128_000, &out.setup.config),
            };
            Ok(audio_init_in(&config?, out.timescale, out.setup.language.as_deref()))
        });
        match (video.transpose()?, sound.transpose()?) {
            (Some(video), Some(sound)) => muxed_init(&video, &sound),
            (Some(one), None) | (None, Some(one)) => Ok(one),
            (None, None) => Err(PackageError::Malformed("no track".to_owned())),
        }
    }

    /// Writes the rest, and says how many files there are.
    pub(super) fn finish(mut self, url: &Url) -> Result<usize, PullError> {
        if self.video.is_none() && self.sound.is_none() {
            let why = "it lists no segment with pictures or sound".to_owned();
            return Err(PullError::Playlist { url: shown(url), why });
        }
        self.flush(true)?;
        self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_data()?;
        Ok(self.done + 1)
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
