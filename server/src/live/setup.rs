//! From a publisher's set-up to what the store and the playlists want to know.

use bytes::Bytes;

use super::{Codec, LiveTrack, LiveUnit, TrackSetup};
use crate::package::{
    AudioConfig, PackageError, VideoConfig, audio_init_at, init_delay, video_init, video_init_delayed,
};
use crate::store::{RenditionInfo, TrackKind};

/// Ticks a second of pictures; whole for every millisecond and for the usual frame rates.
pub(super) const VIDEO_TIMESCALE: u32 = 90_000;

/// A checked codec configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Config {
    Video(VideoConfig),
    Audio(AudioConfig),
}

/// Checks a set-up and tells what it describes: for ingest, to refuse a publisher with a clear message.
///
/// # Errors
/// What is wrong with its configuration.
pub fn check_setup(setup: &TrackSetup) -> Result<LiveTrack, PackageError> {
    Config::of(setup).map(|config| config.describe(setup))
}

impl Config {
    pub(super) fn of(setup: &TrackSetup) -> Result<Self, PackageError> {
        if setup.codec.kind() != setup.kind {
            return Err(PackageError::Codec {
                codec: setup.codec.name(),
                why: "it came as the wrong kind of track".to_owned(),
            });
        }
        let channels = u16::try_from(setup.channels).unwrap_or(0);
        let bitrate = setup.bitrate.and_then(|b| u32::try_from(b).ok()).unwrap_or(128_000);
        let sized = |make: fn(u16, u16, &[u8]) -> Result<VideoConfig, PackageError>| {
            let mut config = make(clamp(setup.width), clamp(setup.height), &setup.config)?;
            // The parameter sets know better than what a publisher writes in its metadata.
            if let Some(picture) = config.picture() {
                (config.width, config.height) = (clamp(picture.width), clamp(picture.height));
            }
            Ok(Self::Video(config))
        };
        match setup.codec {
            Codec::Avc => sized(VideoConfig::from_avcc),
            Codec::Hevc => sized(VideoConfig::from_hvcc),
            Codec::Av1 => sized(VideoConfig::from_av1c),
            Codec::Aac => {
                AudioConfig::from_asc(setup.sample_rate, channels, bitrate, &setup.config).map(Self::Audio)
            }
            Codec::Opus => AudioConfig::from_dops(bitrate, &setup.config).map(Self::Audio),
        }
    }

    pub(super) fn describe(&self, setup: &TrackSetup) -> LiveTrack {
        let (codecs, width, height, sample_rate, channels) = match self {
            Self::Video(video) => (video.codec_string(), video.width.into(), video.height.into(), 0, 0),
            Self::Audio(audio) => (audio.codec_string(), 0, 0, audio.sample_rate, audio.channels.into()),
        };
        LiveTrack { kind: setup.kind, codec: setup.codec, codecs, width, height, sample_rate, channels }
    }
}

fn clamp(side: u32) -> u16 {
    side.min(16_384) as u16
}

/// Frames a second: what the publisher says, what the parameter sets say, or what the first units show.
pub(super) fn frame_rate<'a>(
    setup: &TrackSetup,
    config: &Config,
    units: impl Iterator<Item = &'a LiveUnit>,
) -> (u32, u32) {
    let sane = |rate: &(u32, u32)| rate.0 > 0 && rate.1 > 0 && rate.0 / rate.1 <= 300;
    if let Some(rate) = setup.frame_rate.filter(sane) {
        return rate;
    }
    if let Config::Video(video) = config
        && let Some(rate) = video.picture().and_then(|picture| picture.frame_rate).filter(sane)
    {
        return rate;
    }
    let mut times: Vec<i64> = units.filter(|u| u.kind == TrackKind::Video).map(|u| u.dts_ns).collect();
    times.sort_unstable();
    times.dedup();
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return (25, 1) };
    let span = last.abs_diff(*first);
    if span == 0 {
        return (25, 1);
    }
    let rate = (times.len() - 1) as f64 * 1e9 / span as f64;
    let usual = [24.0, 25.0, 30.0, 48.0, 50.0, 60.0];
    match usual.iter().find(|usual| (rate - **usual).abs() < 0.7) {
        Some(usual) => (*usual as u32, 1),
        None => ((rate.clamp(1.0, 300.0) * 1000.0).round() as u32, 1000),
    }
}

/// The longest part in milliseconds: what was asked for, unless so few pictures or packets of sound fit in that parts would
/// fall below 85 % of it (RFC 8216bis, 4.4.4.9). It is a whole number of both then, as nearly as can be.
///
/// `rate` is that of the pictures; where they can be `repeated`, slow ones need no long parts. `packet_ns` is the length of a
/// packet of sound.
pub(super) fn part_length(
    wished_ms: u32,
    rate: Option<(u32, u32)>,
    repeated: bool,
    packet_ns: Option<u64>,
) -> u32 {
    let frame_ms = rate.map(|(frames, seconds)| f64::from(seconds) * 1000.0 / f64::from(frames.max(1)));
    let frame_ms = frame_ms.filter(|frame| !repeated || *frame <= f64::from(wished_ms) * 1.25);
    let packet_ms = packet_ns.map(|ns| ns as f64 / 1e6);
    let longest = frame_ms.unwrap_or(0.0).max(packet_ms.unwrap_or(0.0)) * 1.1;
    let furthest = longest.max(f64::from(wished_ms) * 2.0).min(60_000.0) as u32 - wished_ms.min(60_000);
    let fits = |length: u32, sound: bool| {
        frame_ms.is_none_or(|frame| fits(frame, 10.0, length))
            && (!sound || packet_ms.is_none_or(|packet| fits(packet, 1.0, length)))
    };
    // The nearest to what was asked for.
    let lengths =
        || (0..=furthest).flat_map(|far| [wished_ms + far, wished_ms.saturating_sub(far).max(wished_ms / 2)]);
    lengths()
        .find(|length| fits(*length, true))
        .or_else(|| lengths().find(|length| fits(*length, false)))
        .unwrap_or(wished_ms)
}

/// Whether parts of at most `length_ms` can be made of what lasts `unit_ms`, give or take `jitter_ms` in all.
fn fits(unit_ms: f64, jitter_ms: f64, length_ms: u32) -> bool {
    let length = f64::from(length_ms);
    let enough = |units: f64| units * unit_ms >= length * 0.9;
    let units = (length / unit_ms).floor();
    let room = length - units * unit_ms >= jitter_ms.min(unit_ms / 10.0);
    units >= 1.0 && ((room && enough(units)) || (units > 1.0 && enough(units - 1.0)))
}

/// Ticks that the source's composition offsets are raised by, for none to be negative. `reorder_ns` is how long the
/// first key frame is shown after its decode time: no picture is shown before its own, so none is ahead by more.
///
/// It is fixed with the init segment that says it: `known` are those that the rendition has, and where one is of
/// this configuration its delay stays, 0 in a stream whose earlier segments were written without.
pub(super) fn source_delay(config: &VideoConfig, timescale: u32, reorder_ns: i64, known: &[Bytes]) -> u32 {
    /// Many publishers round to milliseconds: measured at another key frame, it may be a little longer.
    const ROUNDING_NS: i64 = 2_000_000;
    /// More is no reordering but a publisher's mistake. H.264 and HEVC hold back 16 pictures at most.
    const LONGEST_NS: i64 = 5_000_000_000;
    let same = |init: &&Bytes| video_init_delayed(config, timescale, init_delay(init)) == **init;
    if let Some(init) = known.iter().find(same) {
        return init_delay(init);
    }
    if !(1..=LONGEST_NS).contains(&reorder_ns) {
        return 0;
    }
    let ticks = i128::from(reorder_ns + ROUNDING_NS) * i128::from(timescale) / 1_000_000_000;
    i32::try_from(ticks).map_or(0, i32::unsigned_abs)
}

/// The source rendition and its init segment, with the `delay` of [`source_delay`].
pub(super) fn source_info(
    setup: &TrackSetup,
    config: &VideoConfig,
    frame_rate: (u32, u32),
    measured: Option<u64>,
    timescale: u32,
    delay: u32,
) -> (RenditionInfo, Bytes) {
    let info = RenditionInfo {
        language: None,
        name: super::SOURCE.to_owned(),
        kind: TrackKind::Video,
        codecs: config.codec_string(),
        width: config.width.into(),
        height: config.height.into(),
        frame_rate,
        sample_rate: 0,
        channels: 0,
        bandwidth: setup.bitrate.filter(|b| *b > 10_000).or(measured).unwrap_or(2_500_000),
        timescale,
    };
    let init = video_init_delayed(config, timescale, delay);
    (info, init)
}

/// A rung and its init segment.
pub(super) fn rung_info(
    plan: &super::RungPlan,
    config: &VideoConfig,
    timescale: Option<u32>,
) -> (RenditionInfo, Bytes) {
    let info = RenditionInfo {
        language: None,
        name: plan.name.clone(),
        kind: TrackKind::Video,
        codecs: config.codec_string(),
        width: plan.width,
        height: plan.height,
        frame_rate: plan.frame_rate,
        sample_rate: 0,
        channels: 0,
        bandwidth: plan.bandwidth,
        timescale: timescale.unwrap_or(VIDEO_TIMESCALE),
    };
    let init = video_init(config, info.timescale);
    (info, init)
}

/// The sound's rendition and its init segment.
pub(super) fn sound_info(
    setup: &TrackSetup,
    config: &AudioConfig,
    timescale: Option<u32>,
) -> (RenditionInfo, Bytes) {
    let info = RenditionInfo {
        language: setup.language.clone(),
        name: super::AUDIO.to_owned(),
        kind: TrackKind::Audio,
        codecs: config.codec_string(),
        width: 0,
        height: 0,
        frame_rate: (0, 1),
        sample_rate: config.sample_rate,
        channels: config.channels.into(),
        bandwidth: setup.bitrate.filter(|b| *b > 1000).unwrap_or(128_000),
        timescale: timescale.unwrap_or(config.sample_rate),
    };
    let init = audio_init_at(config, info.timescale);
    (info, init)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_long_as_asked_for_or_a_whole_number_of_pictures_and_packets() {
        const AAC: u64 = 21_333_333;
        // Asked for, pictures a second, can be repeated, packet of sound: longest part.
        let rows = [
            (500, Some((25, 1)), true, Some(AAC), 500),
            (500, Some((30_000, 1001)), false, Some(AAC), 500),
            (1000, Some((24, 1)), false, Some(AAC), 1000),
            (500, Some((5, 1)), true, None, 444),
            (500, Some((10, 1)), true, Some(AAC), 510),
            // Slower than parts: repeated, or one a part.
            (500, Some((1, 1)), true, Some(AAC), 500),
            (500, Some((1, 1)), false, Some(AAC), 1010),
            // AAC of 8 kHz: four packets, not three.
            (500, None, true, Some(128_000_000), 513),
            (500, Some((25, 1)), true, Some(128_000_000), 513),
            (500, Some((25, 1)), true, Some(20_000_000), 500),
        ];
        for (wished, rate, repeated, packet, expected) in rows {
            let got = part_length(wished, rate, repeated, packet);
            assert_eq!(got, expected, "{wished} {rate:?} {repeated} {packet:?}");
        }
    }
}
