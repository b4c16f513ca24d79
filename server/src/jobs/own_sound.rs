//! Sound that passes through: a file's own units, cut where the plan says.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::JobError;
use super::manager::JobControl;
use super::pace::Pace;
use super::place::Place;
use super::plan::{AUDIO, Plan};
use crate::ladder::{NextSound, SoundReader, SoundTrack, Timeline};
use crate::package::{AUDIO_TRACK, AudioCodec, AudioConfig, Sample, audio_init, media_segment};
use crate::store::{RenditionInfo, TrackKind};

/// Ticks of a unit of AAC.
const AAC_UNIT: u64 = 1024;
/// Ticks that the known silence of Opus lasts.
const OPUS_SILENCE: u64 = 960;
/// Segments that sound beside the main one may be ahead of the pictures.
const LEAD: u64 = 2;
/// How much later than the pictures the sound may begin, and how much earlier it may end.
const LATE_NS: i64 = 60_000_000;
const EARLY_NS: i64 = 500_000_000;

/// A track of sound that is a rendition as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OwnSound {
    /// Name of the rendition.
    pub(super) name: String,
    /// RFC 5646, where the file tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    /// Which of the file's tracks of sound it is, counted from 0.
    place: u32,
    #[serde(default)]
    codec: AudioCodec,
    config: Vec<u8>,
    channels: u16,
    /// Ticks a second.
    rate: u32,
    /// Ticks that a unit lasts.
    #[serde(default = "aac_unit")]
    unit: u64,
    bandwidth: u64,
    /// Units at the beginning that are left out: they would sound before the stream begins.
    skip: u64,
    /// When the first that is kept sounds, in ticks.
    start: u64,
    /// Units that there are, those that are left out not counted.
    units: u64,
}

/// Plans from before other codecs passed through say nothing of it.
fn aac_unit() -> u64 {
    AAC_UNIT
}

impl OwnSound {
    /// Of a track of a file whose time `origin_ns` is the stream's 0. `end_ns` is where the pictures end, `last_ns` where
    /// the last segment begins, both in nanoseconds of the stream; `None` without pictures. The error says why not.
    pub(super) fn of(
        track: &SoundTrack,
        origin_ns: i64,
        pictures: Option<(u64, u64)>,
    ) -> Result<Self, String> {
        let rate = i128::from(track.rate.max(1));
        // In ticks, rounded to the nearest: what it may be off by is less than a sample.
        let first = (i128::from(track.first_ns - origin_ns) * rate + 500_000_000).div_euclid(1_000_000_000);
        let skip = u64::try_from(-first).map_or(0, |early| early.div_ceil(track.unit.max(1)));
        let start = u64::try_from(first + i128::from(skip * track.unit))
            .map_err(|_| "it begins too early".to_owned())?;
        let units = track.units.checked_sub(skip).filter(|units| *units > 0).ok_or("it is empty")?;
        let late_ns = (i128::from(start) * 1_000_000_000 / rate) as i64;
        if late_ns > LATE_NS {
            return Err("it begins later than the pictures".to_owned());
        }
        let this = Self {
            name: AUDIO.to_owned(),
            language: track.language.clone(),
            place: track.place,
            codec: track.codec,
            config: track.config.clone(),
            channels: track.channels,
            rate: track.rate,
            unit: track.unit.max(1),
            bandwidth: track.bandwidth(),
            skip,
            start,
            units,
        };
        if let Some((end_ns, last_ns)) = pictures {
            // Each segment has a unit of it at least, also a last one that is shorter than that.
            let ends = track.end_ns() - origin_ns + EARLY_NS < end_ns as i64;
            if ends || this.first_from(last_ns) >= units {
                return Err("it ends before the pictures".to_owned());
            }
        }
        Ok(this)
    }

    /// When unit `n` of those that are kept sounds, in nanoseconds of the stream.
    fn ns_of(&self, n: u64) -> u64 {
        let ticks = u128::from(self.start + n * self.unit);
        (ticks * 1_000_000_000 / u128::from(self.rate.max(1))) as u64
    }

    /// First unit of segment `k`, counted from 0: the first that sounds at or after its beginning.
    fn first_of(&self, timeline: &Timeline, k: u64) -> u64 {
        if k == 0 { 0 } else { self.first_from(timeline.segment_ns(k)) }
    }

    /// First unit that sounds at or after a time in nanoseconds of the stream.
    fn first_from(&self, ns: u64) -> u64 {
        let ticks = (u128::from(ns) * u128::from(self.rate)).div_ceil(1_000_000_000) as u64;
        ticks.saturating_sub(self.start).div_ceil(self.unit.max(1))
    }
}

/// Packages one of them.
#[derive(Debug)]
pub(super) struct OwnSoundSide<'a> {
    pub(super) plan: Plan,
    pub(super) sound: OwnSound,
    /// The one whose place and end the other sides of the job go by; there is one at most, else the encoded one is it.
    pub(super) leads: bool,
    pub(super) path: &'a Path,
    pub(super) stream: &'a Arc<dyn Place>,
    pub(super) control: &'a JobControl,
    pub(super) pace: &'a Pace<'a>,
    pub(super) nice: i32,
    /// Segment to begin with, counted from 0.
    pub(super) first_segment: u64,
}

impl OwnSoundSide<'_> {
    /// Reads the file to its end.
    pub(super) fn run(&self) -> Result<(), JobError> {
        let Self { sound, stream, pace, .. } = self;
        let voice = self.control.voice.named(&sound.name);
        let stop = || pace.stopped();
        let changed = |how: &str| {
            JobError::Other(format!(
                "the source's sound is not the one that was looked at ({how}); package it again"
            ))
        };
        let reader = SoundReader::open(self.path, sound.place, self.nice, &voice, &stop)?
            .ok_or_else(|| changed("it cannot be opened any more"))?;
        let config = self.register()?;
        reader.play()?;
        let timeline = self.plan.timeline();
        let mut segment = self.first_segment.max(stream.stored(&sound.name));
        // Segments that there are: as many as the pictures have, or as the sound fills.
        let all = self.plan.source_rung.as_ref().map_or(u64::MAX, |rung| rung.cuts.len() as u64);
        let next_of =
            |segment: u64| if segment + 1 < all { sound.first_of(&timeline, segment + 1) } else { u64::MAX };
        let (mut n, mut skipped) = (0_u64, 0_u64);
        let begin = sound.first_of(&timeline, segment);
        let (mut first, mut next) = (begin, next_of(segment));
        let mut samples: Vec<Sample> = Vec::new();
        let store = |segment: u64, first: u64, samples: &mut Vec<Sample>| {
            let samples = std::mem::take(samples);
            if samples.is_empty() { Ok(()) } else { self.store(segment, first, &samples) }
        };
        loop {
            if pace.stopped() {
                return Err(JobError::Cancelled);
            }
            let unit = match reader.next()? {
                NextSound::Unit(unit) => unit,
                NextSound::Waiting => continue,
                NextSound::End => break,
            };
            if skipped < sound.skip {
                skipped += 1;
                continue;
            }
            if n == next {
                store(segment, first, &mut samples)?;
                segment += 1;
                (first, next) = (n, next_of(segment));
                self.moved(&timeline, sound.ns_of(n))?;
            }
            if n >= begin {
                samples.push(self.sample(unit.data));
            }
            n += 1;
        }
        if n != sound.units {
            return Err(changed(&format!("{n} units instead of {}", sound.units)));
        }
        if self.leads {
            pace.audio_ended(sound.ns_of(n));
        }
        let end_ns = pace.common_end().ok_or(JobError::Cancelled)?;
        if segment >= all {
            // An earlier run stored all of it.
            return Ok(());
        }
        if all != u64::MAX {
            if segment + 1 != all {
                return Err(changed(&format!("{} segments instead of {all}", segment + 1)));
            }
            // To the end of the pictures, where silence is known; a unit that reaches past it stays.
            let known = sound.codec != AudioCodec::Opus || sound.unit == OPUS_SILENCE;
            if let Some(silence) = config.silence().filter(|_| known) {
                while sound.ns_of(first + samples.len() as u64) < end_ns {
                    samples.push(self.sample(silence.clone()));
                }
            }
        }
        store(segment, first, &mut samples)
    }

    fn register(&self) -> Result<AudioConfig, JobError> {
        let sound = &self.sound;
        let bitrate = u32::try_from(sound.bandwidth).unwrap_or(u32::MAX);
        let config =
            AudioConfig::from_set_up(sound.codec, sound.rate, sound.channels, bitrate, &sound.config);
        let config = config.map_err(|error| JobError::Other(error.to_string()))?;
        let info = RenditionInfo {
            language: sound.language.clone(),
            name: sound.name.clone(),
            kind: TrackKind::Audio,
            codecs: config.codec_string(),
            width: 0,
            height: 0,
            frame_rate: (0, 1),
            sample_rate: config.sample_rate,
            channels: u32::from(config.channels),
            bandwidth: sound.bandwidth,
            timescale: sound.rate,
        };
        self.control.voice.named(&sound.name).info(format!(
            "{} of {} channels at {} kbit/s passes through as it is",
            info.codecs,
            info.channels,
            info.bandwidth / 1000
        ));
        self.stream.add(info, audio_init(&config))?;
        Ok(config)
    }

    /// Keeps step with the pictures.
    fn moved(&self, timeline: &Timeline, ns: u64) -> Result<(), JobError> {
        if self.leads && !self.plan.has_video() {
            super::run::report_progress(self.control, ns, self.plan.duration_ns);
        } else if self.leads {
            self.pace.audio_at(ns, timeline.segment_length_ns());
        } else if !self.pace.source_at(ns, LEAD * timeline.segment_length_ns()) {
            return Err(JobError::Cancelled);
        }
        Ok(())
    }

    fn store(&self, segment: u64, first: u64, samples: &[Sample]) -> Result<(), JobError> {
        let number =
            u32::try_from(segment + 1).map_err(|_| JobError::Other("too many segments".to_owned()))?;
        let start = self.sound.start + first * self.sound.unit;
        let duration = samples.len() as u64 * self.sound.unit;
        let bytes =
            media_segment(AUDIO_TRACK, number, start, samples).map_err(|e| JobError::Other(e.to_string()))?;
        Ok(self.stream.append(&self.sound.name, number, start, duration, bytes)?)
    }

    fn sample(&self, data: bytes::Bytes) -> Sample {
        Sample { duration: self.sound.unit as u32, composition_offset: 0, key: true, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_without_a_unit_for_the_last_segment_does_not_pass_through() {
        const S: u64 = 1_000_000_000;
        let track = |units| SoundTrack {
            place: 0,
            language: None,
            codec: AudioCodec::Aac,
            config: vec![0x11, 0x90],
            channels: 2,
            rate: 48_000,
            unit: AAC_UNIT,
            first_ns: 0,
            units,
            bytes: units * 300,
        };
        // The last unit begins at 188 * 1024 / 48000 = 4.0107 s and ends at 4.032 s.
        let of = |last_ms: u64| OwnSound::of(&track(189), 0, Some((4061 * S / 1000, last_ms * S / 1000)));
        assert_eq!(of(4010).map(|sound| sound.units), Ok(189));
        assert!(of(4011).unwrap_err().contains("before the pictures"), "it is in the segment before");
        assert!(OwnSound::of(&track(160), 0, Some((4061 * S / 1000, 0))).is_err());
    }
}
