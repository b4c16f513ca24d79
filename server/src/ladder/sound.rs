//! A file's sound as it is coded: what a rendition is made of that passes through, and whether it can.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;

use super::LadderError;
use super::collect::bytes_of;
use super::log::Voice;
use super::pipeline::{Guarded, make};
use super::timeline::AAC_SAMPLES;
use super::units::{PREROLL_LIMIT, demuxed};
use crate::package::language::tag_of;
use crate::package::{AudioCodec, AudioConfig, PackageError};

/// Units that are looked at: a day at 48 kHz.
const MOST_UNITS: u64 = 4_100_000;
/// How far a unit may lie from where those before it say that it is due. Matroska rounds times to milliseconds.
const JITTER_NS: i64 = 3_000_000;

/// A track of sound that can pass through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SoundTrack {
    /// Which of the file's tracks of sound it is, counted from 0.
    pub(crate) place: u32,
    /// RFC 5646, where the file tells it.
    pub(crate) language: Option<String>,
    pub(crate) codec: AudioCodec,
    /// What [`AudioConfig::from_set_up`] takes.
    pub(crate) config: Vec<u8>,
    pub(crate) channels: u16,
    /// Ticks a second.
    pub(crate) rate: u32,
    /// Ticks that a unit lasts, each the same.
    pub(crate) unit: u64,
    /// Presentation time of the first unit on the file's timeline, edit lists applied; below 0 for what only primes
    /// the decoder.
    pub(crate) first_ns: i64,
    pub(crate) units: u64,
    pub(crate) bytes: u64,
}

impl SoundTrack {
    /// Reads a track of sound from beginning to end. The inner error is a sentence that says why it cannot pass through.
    pub(crate) fn scan(
        path: &Path,
        place: u32,
        nice: i32,
        stop: &dyn Fn() -> bool,
    ) -> Result<Result<Self, String>, LadderError> {
        match Self::read(path, place, nice, stop) {
            Err(error) if !stop() => Ok(Err(format!("it cannot be read without being decoded: {error}"))),
            result => result,
        }
    }

    fn read(
        path: &Path,
        place: u32,
        nice: i32,
        stop: &dyn Fn() -> bool,
    ) -> Result<Result<Self, String>, LadderError> {
        let Some(reader) = SoundReader::open(path, place, nice, &Voice::unheard(), stop)? else {
            return Ok(Err("it is not AAC, Opus or (E-)AC-3 in MP4 or Matroska".to_owned()));
        };
        reader.play()?;
        let mut found: Option<(Self, AudioConfig)> = None;
        loop {
            if stop() {
                return Err(LadderError::Decode("cancelled".to_owned()));
            }
            let unit = match reader.next()? {
                NextSound::Unit(unit) => unit,
                NextSound::Waiting => continue,
                NextSound::End => break,
            };
            let config = match unit.config() {
                Ok(config) => config,
                Err(error) => return Ok(Err(error.to_string())),
            };
            let ns = u128::from(config.packet_ns(&unit.data));
            let ticks = ((ns * u128::from(config.sample_rate) + 500_000_000) / 1_000_000_000) as u64;
            let (track, first) = match &mut found {
                Some(found) => found,
                None => {
                    if config.codec() == AudioCodec::Aac && ticks != AAC_SAMPLES {
                        return Ok(Err("its units are not of 1024 samples".to_owned()));
                    }
                    let track = Self {
                        place,
                        language: None,
                        codec: config.codec(),
                        config: config.set_up().to_vec(),
                        channels: match config.codec() {
                            AudioCodec::Aac => config.told_channels().unwrap_or(unit.channels.max(1)),
                            _ => config.channels,
                        },
                        rate: config.sample_rate,
                        unit: ticks,
                        first_ns: unit.pts_ns,
                        units: 0,
                        bytes: 0,
                    };
                    found.insert((track, config.clone()))
                }
            };
            if !first.same_decoder(&config) {
                return Ok(Err("its coding changes on the way".to_owned()));
            }
            if ticks != track.unit {
                return Ok(Err("its units are of different lengths".to_owned()));
            }
            if track.codec == AudioCodec::Opus && track.units == 1 {
                // What only primes the decoder is cut off the first unit's time, and not off the unit.
                track.first_ns = unit.pts_ns - track.ns_of(1) as i64;
            }
            if (unit.pts_ns - track.first_ns - track.ns_of(track.units) as i64).abs() > JITTER_NS {
                return Ok(Err("it has gaps, or times that do not fit".to_owned()));
            }
            track.units += 1;
            track.bytes += unit.data.len() as u64;
            if track.units > MOST_UNITS {
                return Ok(Err("it is longer than can be indexed".to_owned()));
            }
        }
        let Some((mut track, _)) = found else { return Ok(Err("it is empty".to_owned())) };
        track.language = reader.language();
        Ok(Ok(track))
    }

    /// Length of so many units, in nanoseconds.
    pub(crate) fn ns_of(&self, units: u64) -> u64 {
        let samples = u128::from(units) * u128::from(self.unit);
        (samples * 1_000_000_000 / u128::from(self.rate.max(1))) as u64
    }

    /// End of the last unit on the file's timeline, in nanoseconds.
    pub(crate) fn end_ns(&self) -> i64 {
        self.first_ns + self.ns_of(self.units) as i64
    }

    /// Average bitrate in bit/s.
    pub(crate) fn bandwidth(&self) -> u64 {
        let ns = u128::from(self.ns_of(self.units).max(1));
        (u128::from(self.bytes) * 8 * 1_000_000_000 / ns) as u64
    }
}

/// One coded unit of sound.
#[derive(Debug, Clone)]
pub(crate) struct SoundUnit {
    /// Presentation time on the file's timeline, edit lists applied.
    pub(crate) pts_ns: i64,
    pub(crate) data: Bytes,
    codec: AudioCodec,
    /// What the container says of the decoder's set-up; empty where units say it themselves.
    config: Bytes,
    channels: u16,
}

impl SoundUnit {
    fn config(&self) -> Result<AudioConfig, PackageError> {
        match self.codec {
            AudioCodec::Aac => AudioConfig::from_asc(0, 0, 0, &self.config),
            // Times are those of the container, which has taken off what only primes the decoder.
            AudioCodec::Opus => Ok(AudioConfig::from_dops(0, &self.config)?.without_pre_skip()),
            AudioCodec::Ac3 | AudioCodec::Eac3 => AudioConfig::from_dolby_unit(&self.data),
        }
    }
}

/// What a pull brought.
#[derive(Debug)]
pub(crate) enum NextSound {
    Unit(SoundUnit),
    /// Nothing yet: look whether to stop, then ask again.
    Waiting,
    End,
}

/// A file one of whose tracks of sound is read and not decoded.
#[derive(Debug)]
pub(crate) struct SoundReader {
    guarded: Guarded,
    found: Arc<Mutex<Found>>,
}

#[derive(Debug, Default)]
struct Found {
    /// Tracks of sound that came so far.
    tracks: u32,
    sink: Option<(AppSink, AudioCodec)>,
}

impl SoundReader {
    /// Opens the file. `None` for a container, or a codec of this track, that cannot pass through.
    pub(crate) fn open(
        path: &Path,
        place: u32,
        nice: i32,
        voice: &Voice,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, LadderError> {
        let decode = |why: String| LadderError::Decode(why);
        let Some((guarded, demuxer)) = demuxed(path, nice, voice)? else { return Ok(None) };
        let found = Arc::new(Mutex::new(Found::default()));
        let (weak, shared) = (guarded.pipeline.downgrade(), Arc::clone(&found));
        demuxer.connect_pad_added(move |_, pad| {
            let Some(pipeline) = weak.upgrade() else { return };
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            if !caps.structure(0).is_some_and(|caps| caps.name().starts_with("audio/")) {
                return;
            }
            let mut found = shared.lock().unwrap_or_else(PoisonError::into_inner);
            found.tracks += 1;
            if found.tracks == place + 1 {
                found.sink = connect(&pipeline, pad, &caps);
            }
        });
        guarded.set_state(gst::State::Paused).map_err(decode)?;
        let opened = guarded.watcher.wait_async_done(PREROLL_LIMIT, stop);
        let this = Self { guarded, found };
        if this.sink().is_none() {
            return if stop() { Err(decode("cancelled".to_owned())) } else { Ok(None) };
        }
        opened.map_err(decode)?;
        Ok(Some(this))
    }

    /// Lets it run, as fast as it is read.
    pub(crate) fn play(&self) -> Result<(), LadderError> {
        self.guarded.set_state(gst::State::Playing).map_err(LadderError::Decode)
    }

    /// The next unit; waits a fifth of a second at most.
    pub(crate) fn next(&self) -> Result<NextSound, LadderError> {
        let Some((sink, codec)) = self.sink() else { return Ok(NextSound::End) };
        match sink.try_pull_sample(gst::ClockTime::from_mseconds(200)) {
            Some(sample) => match unit(&sample, codec) {
                Some(unit) => Ok(NextSound::Unit(unit)),
                None => Err(LadderError::Decode("a unit of sound has no time or no set-up".to_owned())),
            },
            None => match self.guarded.watcher.error() {
                Some(error) => Err(LadderError::Decode(error)),
                None if sink.is_eos() => Ok(NextSound::End),
                None => Ok(NextSound::Waiting),
            },
        }
    }

    /// The track's language (RFC 5646), where the file tells one.
    fn language(&self) -> Option<String> {
        language_of(&self.sink()?.0)
    }

    fn sink(&self) -> Option<(AppSink, AudioCodec)> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).sink.clone()
    }
}

/// The language (RFC 5646) of what comes to a sink, where its file tells one.
pub(super) fn language_of(sink: &AppSink) -> Option<String> {
    let pad = sink.static_pad("sink")?;
    // Tags of the file and of the track come one by one.
    let tags = (0..8).map_while(|at| pad.sticky_event::<gst::event::Tag>(at));
    let codes = tags
        .filter_map(|event| event.tag().get::<gst::tags::LanguageCode>().map(|code| code.get().to_owned()));
    codes.last().as_deref().and_then(tag_of)
}

fn connect(pipeline: &gst::Pipeline, pad: &gst::Pad, caps: &gst::Caps) -> Option<(AppSink, AudioCodec)> {
    let found = caps.structure(0)?;
    let wanted = gst::Caps::builder(found.name().as_str());
    let (codec, wanted) = match found.name().as_str() {
        "audio/mpeg" if found.get::<i32>("mpegversion") == Ok(4) => {
            (AudioCodec::Aac, wanted.field("mpegversion", 4).field("stream-format", "raw"))
        }
        "audio/x-opus" => (AudioCodec::Opus, wanted),
        "audio/x-ac3" => (AudioCodec::Ac3, wanted),
        "audio/x-eac3" => (AudioCodec::Eac3, wanted),
        _ => return None,
    };
    let wanted = wanted.build();
    let sink = AppSink::builder().caps(&wanted).sync(false).max_buffers(64).build();
    let chain = [make("queue").ok()?, sink.clone().upcast()];
    pipeline.add_many(&chain).ok()?;
    gst::Element::link_many(&chain).ok()?;
    for element in &chain {
        element.sync_state_with_parent().ok()?;
    }
    pad.link(&chain.first()?.static_pad("sink")?).ok()?;
    Some((sink, codec))
}

/// The `OpusHead` of a stream (RFC 7845, 5.1); where the container's is not handed on, what it says for mono and stereo.
fn opus_head(caps: &gst::StructureRef) -> Option<Bytes> {
    let kept = caps.get::<gst::ArrayRef<'_>>("streamheader").ok();
    let kept = kept.and_then(|headers| headers.first()?.get::<gst::Buffer>().ok());
    if let Some(head) = kept {
        return bytes_of(&head).ok();
    }
    let channels = caps.get::<i32>("channels").ok().and_then(|count| u8::try_from(count).ok())?;
    let plain = caps.get::<i32>("channel-mapping-family").unwrap_or(0) == 0 && (1..=2).contains(&channels);
    plain.then(|| {
        let mut head = b"OpusHead".to_vec();
        // Version, channels, pre-skip, 48 kHz, gain, mapping family.
        head.extend_from_slice(&[1, channels, 0, 0, 0x80, 0xbb, 0, 0, 0, 0, 0]);
        head.into()
    })
}

fn unit(sample: &gst::Sample, codec: AudioCodec) -> Option<SoundUnit> {
    let buffer = sample.buffer()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let pts = segment.to_stream_time_full(buffer.pts()?)?;
    let magnitude = i64::try_from(pts.abs().nseconds()).ok()?;
    let caps = sample.caps()?.structure(0)?;
    let config = match codec {
        AudioCodec::Aac => bytes_of(caps.get::<gst::Buffer>("codec_data").ok()?.as_ref()).ok()?,
        AudioCodec::Opus => opus_head(caps)?,
        AudioCodec::Ac3 | AudioCodec::Eac3 => Bytes::new(),
    };
    Some(SoundUnit {
        pts_ns: if pts.is_negative() { -magnitude } else { magnitude },
        data: bytes_of(buffer).ok()?,
        codec,
        config,
        channels: caps.get::<i32>("channels").ok().and_then(|count| u16::try_from(count).ok()).unwrap_or(0),
    })
}
