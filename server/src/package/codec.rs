//! Codec configurations and the strings that playlists name them by (RFC 6381).

use std::fmt::Write as _;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::PackageError;
use super::bits::Bits;
use super::dolby;
use super::silence;
use super::sps::{self, PictureInfo};

/// How pictures are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoCodec {
    /// H.264.
    Avc,
    /// H.265.
    Hevc,
    /// AV1.
    Av1,
}

/// What the init segment says about the pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoConfig {
    /// Coded width in pixels.
    pub width: u16,
    /// Coded height in pixels.
    pub height: u16,
    codec: VideoCodec,
    /// The body of `avcC`, `hvcC` or `av1C`, checked.
    record: Vec<u8>,
}

/// Longest configuration that is taken; real ones are below a kilobyte.
const LONGEST: usize = 16 << 10;

fn bad(codec: &'static str, why: &str) -> PackageError {
    PackageError::Codec { codec, why: why.to_owned() }
}

impl VideoConfig {
    /// Takes an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15), as GStreamer's `codec_data` holds it.
    ///
    /// # Errors
    /// When it is not one, or NAL lengths are not four bytes long.
    pub fn from_avcc(width: u16, height: u16, avcc: &[u8]) -> Result<Self, PackageError> {
        let bad = |why| bad("H.264", why);
        let [version, profile, compatibility, level, lengths, _, ..] = avcc else {
            return Err(bad("it is shorter than its fixed part"));
        };
        if *version != 1 {
            return Err(bad("its version is not 1"));
        }
        if lengths & 3 != 3 {
            return Err(bad("NAL units are not prefixed with four-byte lengths"));
        }
        if avcc.len() > LONGEST {
            return Err(bad("it is longer than 16 KiB"));
        }
        let sps = avcc_sps(avcc).map_err(bad)?;
        if sps.get(1..4) != Some(&[*profile, *compatibility, *level][..]) {
            return Err(bad("profile and level differ from its SPS"));
        }
        Ok(Self { width, height, codec: VideoCodec::Avc, record: avcc.to_vec() })
    }

    /// Takes an `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15).
    ///
    /// # Errors
    /// When it is not one, NAL lengths are not four bytes long, or a parameter set is missing.
    pub fn from_hvcc(width: u16, height: u16, hvcc: &[u8]) -> Result<Self, PackageError> {
        let bad = |why| bad("HEVC", why);
        if hvcc.first() != Some(&1) {
            return Err(bad("its version is not 1"));
        }
        if hvcc.get(21).is_none_or(|byte| byte & 3 != 3) {
            return Err(bad("NAL units are not prefixed with four-byte lengths"));
        }
        if hvcc.len() > LONGEST {
            return Err(bad("it is longer than 16 KiB"));
        }
        for (kind, name) in [(32, "VPS"), (33, "SPS"), (34, "PPS")] {
            if hvcc_unit(hvcc, kind).map_err(bad)?.is_none() {
                return Err(PackageError::Codec { codec: "HEVC", why: format!("it holds no {name}") });
            }
        }
        Ok(Self { width, height, codec: VideoCodec::Hevc, record: hvcc.to_vec() })
    }

    /// Takes an `AV1CodecConfigurationRecord` (AV1 in ISOBMFF, section 2.3.3).
    ///
    /// # Errors
    /// When it is not one.
    pub fn from_av1c(width: u16, height: u16, av1c: &[u8]) -> Result<Self, PackageError> {
        let bad = |why| bad("AV1", why);
        if av1c.len() < 4 {
            return Err(bad("it is shorter than its fixed part"));
        }
        if av1c.first() != Some(&0x81) {
            return Err(bad("its marker and version are not those of version 1"));
        }
        if av1c.len() > LONGEST {
            return Err(bad("it is longer than 16 KiB"));
        }
        Ok(Self { width, height, codec: VideoCodec::Av1, record: av1c.to_vec() })
    }

    /// The codec.
    #[must_use]
    pub fn codec(&self) -> VideoCodec {
        self.codec
    }

    /// Size and frame rate as the parameter sets tell them; `None` when they cannot be read.
    #[must_use]
    pub fn picture(&self) -> Option<PictureInfo> {
        match self.codec {
            VideoCodec::Avc => sps::h264(avcc_sps(&self.record).ok()?),
            VideoCodec::Hevc => sps::h265(hvcc_unit(&self.record, 33).ok()??),
            VideoCodec::Av1 => sps::av1(self.record.get(4..)?),
        }
    }

    /// "avc1.PPCCLL", "hvc1.P.CC.LNNN.BB" or "av01.P.LLT.DD".
    #[must_use]
    pub fn codec_string(&self) -> String {
        match (self.codec, self.record.as_slice()) {
            (VideoCodec::Avc, [_, profile, constraints, level, ..]) => {
                format!("avc1.{profile:02x}{constraints:02x}{level:02x}")
            }
            (VideoCodec::Hevc, record) => hevc_string(record).unwrap_or_else(|| "hvc1".to_owned()),
            (VideoCodec::Av1, [_, first, second, ..]) => {
                let tier = if second & 0x80 == 0 { 'M' } else { 'H' };
                let depth = match (second & 0x40 != 0, second & 0x20 != 0) {
                    (false, _) => 8,
                    (true, false) => 10,
                    (true, true) => 12,
                };
                format!("av01.{}.{:02}{tier}.{depth:02}", first >> 5, first & 31)
            }
            _ => "avc1".to_owned(),
        }
    }

    /// The NAL units of an H.264 configuration's parameter sets; none for other codecs.
    pub(super) fn parameter_sets(&self) -> Vec<&[u8]> {
        if self.codec == VideoCodec::Avc { avcc_units(&self.record).unwrap_or_default() } else { Vec::new() }
    }

    /// Kinds of the sample entry and of the box in it.
    pub(super) fn boxes(&self) -> (&'static [u8; 4], &'static [u8; 4]) {
        match self.codec {
            VideoCodec::Avc => (b"avc1", b"avcC"),
            VideoCodec::Hevc => (b"hvc1", b"hvcC"),
            VideoCodec::Av1 => (b"av01", b"av1C"),
        }
    }

    pub(super) fn record(&self) -> &[u8] {
        &self.record
    }
}

fn avcc_sps(avcc: &[u8]) -> Result<&[u8], &'static str> {
    let [_, _, _, _, _, count, rest @ ..] = avcc else { return Err("it holds no SPS") };
    let [high, low, sps @ ..] = rest else { return Err("it holds no SPS") };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    sps.get(..length).filter(|_| count & 31 > 0).ok_or("its SPS is cut short")
}

/// SPSs, then PPSs.
fn avcc_units(avcc: &[u8]) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    let mut rest = avcc.get(5..)?;
    for mask in [31, 0xff] {
        let [count, behind @ ..] = rest else { return None };
        rest = behind;
        for _ in 0..count & mask {
            let (length, behind) = rest.split_first_chunk::<2>()?;
            let nal = behind.get(..usize::from(u16::from_be_bytes(*length)))?;
            rest = behind.get(nal.len()..)?;
            found.push(nal);
        }
    }
    Some(found)
}

/// The first NAL unit of a kind.
fn hvcc_unit(hvcc: &[u8], kind: u8) -> Result<Option<&[u8]>, &'static str> {
    const CUT: &str = "its parameter sets are cut short";
    let arrays = *hvcc.get(22).ok_or(CUT)?;
    let mut rest = hvcc.get(23..).ok_or(CUT)?;
    for _ in 0..arrays {
        let [header, high, low, units @ ..] = rest else { return Err(CUT) };
        rest = units;
        for _ in 0..u16::from_be_bytes([*high, *low]) {
            let [high, low, unit @ ..] = rest else { return Err(CUT) };
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let found = unit.get(..length).ok_or(CUT)?;
            if header & 0x3f == kind {
                return Ok(Some(found));
            }
            rest = unit.get(length..).ok_or(CUT)?;
        }
    }
    Ok(None)
}

/// ISO/IEC 14496-15, annex E.3.
fn hevc_string(record: &[u8]) -> Option<String> {
    let general = *record.get(1)?;
    let compatibility = u32::from_be_bytes(*record.get(2..6)?.first_chunk()?);
    let constraints = record.get(6..12)?;
    let level = record.get(12)?;
    let space = ["", "A", "B", "C"].get(usize::from(general >> 6))?;
    let tier = if general & 0x20 == 0 { 'L' } else { 'H' };
    let mut text = format!("hvc1.{space}{}.{:X}.{tier}{level}", general & 31, compatibility.reverse_bits());
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for byte in constraints.iter().take(used) {
        let _ = write!(text, ".{byte:X}");
    }
    Some(text)
}

/// How sound is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioCodec {
    /// AAC.
    #[default]
    Aac,
    /// Opus.
    Opus,
    /// AC-3.
    Ac3,
    /// E-AC-3.
    Eac3,
}

/// What the init segment says about the sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioConfig {
    /// Hz.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u16,
    /// Average bitrate in bit/s.
    pub bitrate: u32,
    codec: AudioCodec,
    /// The `AudioSpecificConfig` (ISO/IEC 14496-3) or the body of `dOps`, `dac3` or `dec3`, checked.
    record: Vec<u8>,
}

/// What an `AudioSpecificConfig` says that matters here (ISO/IEC 14496-3, 1.6.2.1).
#[derive(Debug, Clone, Copy)]
struct Asc {
    object_type: u32,
    core_rate: u32,
    channels: u32,
    short_frames: bool,
}

const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350];

impl Asc {
    fn parse(asc: &[u8]) -> Option<Self> {
        fn object(bits: &mut Bits<'_>) -> Option<u32> {
            match bits.take(5)? {
                31 => Some(32 + bits.take(6)?),
                kind => Some(kind),
            }
        }
        fn rate(bits: &mut Bits<'_>) -> Option<u32> {
            match bits.take(4)? {
                15 => bits.take(24),
                index => RATES.get(index as usize).copied(),
            }
        }
        let mut bits = Bits::new(asc);
        let object_type = object(&mut bits)?;
        let core_rate = rate(&mut bits)?;
        let channels = bits.take(4)?;
        if object_type == 5 || object_type == 29 {
            rate(&mut bits)?;
            object(&mut bits)?;
        }
        let short_frames = bits.bit().unwrap_or(false);
        Some(Self { object_type, core_rate, channels, short_frames })
    }
}

impl AudioConfig {
    /// Takes an `AudioSpecificConfig`, as GStreamer's `codec_data` holds it. A `sample_rate` or `channels` of 0
    /// is read from it.
    ///
    /// # Errors
    /// When it is not AAC or longer than 64 bytes.
    pub fn from_asc(sample_rate: u32, channels: u16, bitrate: u32, asc: &[u8]) -> Result<Self, PackageError> {
        let error = || PackageError::Codec {
            codec: "AAC",
            why: format!("{} bytes that are no AudioSpecificConfig", asc.len()),
        };
        let parsed = Asc::parse(asc).filter(|_| (2..=64).contains(&asc.len())).ok_or_else(error)?;
        if !(1..=30).contains(&parsed.object_type) || !(7000..=192_000).contains(&parsed.core_rate) {
            return Err(error());
        }
        let or = |given: u32, read: u32| if given == 0 { read } else { given };
        let config = Self {
            sample_rate: or(sample_rate, parsed.core_rate),
            channels: or(channels.into(), parsed.channels).clamp(1, 64) as u16,
            bitrate,
            codec: AudioCodec::Aac,
            record: asc.to_vec(),
        };
        Ok(config)
    }

    /// Takes the body of a `dOps` box (Opus in ISOBMFF, 4.3.2), or an `OpusHead` packet (RFC 7845, 5.1), which
    /// says the same in another byte order.
    ///
    /// # Errors
    /// When it is neither.
    pub fn from_dops(bitrate: u32, config: &[u8]) -> Result<Self, PackageError> {
        let bad = |why| bad("Opus", why);
        let record = match config.strip_prefix(b"OpusHead") {
            None => config.to_vec(),
            Some([_, channels, skip_low, skip_high, r0, r1, r2, r3, g0, g1, rest @ ..]) => {
                let mut record = vec![0, *channels, *skip_high, *skip_low, *r3, *r2, *r1, *r0, *g1, *g0];
                record.extend_from_slice(rest);
                record
            }
            Some(_) => return Err(bad("its OpusHead is cut short")),
        };
        let [0, channels, _, _, _, _, _, _, _, _, family, mapping @ ..] = record.as_slice() else {
            return Err(bad("it is shorter than its fixed part, or of another version"));
        };
        let needed = if *family == 0 { 0 } else { 2 + usize::from(*channels) };
        if *channels == 0 || (*family == 0 && *channels > 2) || mapping.len() < needed {
            return Err(bad("its channel mapping does not fit its channels"));
        }
        let (channels, length) = (u16::from(*channels), 11 + needed);
        let mut record = record;
        record.truncate(length);
        Ok(Self { sample_rate: 48_000, channels, bitrate, codec: AudioCodec::Opus, record })
    }

    /// Takes the body of a `dac3` or `dec3` box (ETSI TS 102 366, annex F), by `codec`.
    ///
    /// # Errors
    /// When it is none, or one of several substreams.
    pub fn from_dolby(codec: AudioCodec, bitrate: u32, record: &[u8]) -> Result<Self, PackageError> {
        let (name, found) = match codec {
            AudioCodec::Ac3 => ("AC-3", dolby::of_dac3(record)),
            AudioCodec::Eac3 => ("E-AC-3", dolby::of_dec3(record)),
            AudioCodec::Aac | AudioCodec::Opus => ("AC-3", None),
        };
        let (sample_rate, channels) = found.ok_or_else(|| bad(name, "its set-up cannot be read"))?;
        Ok(Self { sample_rate, channels, bitrate, codec, record: record.to_vec() })
    }

    /// Takes a unit of AC-3 or E-AC-3 as MP4 and Matroska hold it, which brings its own set-up.
    ///
    /// # Errors
    /// When it is none, or holds more than one substream.
    pub fn from_dolby_unit(unit: &[u8]) -> Result<Self, PackageError> {
        let unit = dolby::Unit::read(unit)
            .ok_or_else(|| bad("AC-3", "a unit is no whole frame, or has further substreams"))?;
        let codec = if unit.enhanced { AudioCodec::Eac3 } else { AudioCodec::Ac3 };
        Self::from_dolby(codec, 0, &unit.record())
    }

    /// Takes what [`set_up`](Self::set_up) gave. A `sample_rate` or `channels` of 0 is read from it.
    ///
    /// # Errors
    /// When it is not of this codec.
    pub fn from_set_up(
        codec: AudioCodec,
        sample_rate: u32,
        channels: u16,
        bitrate: u32,
        set_up: &[u8],
    ) -> Result<Self, PackageError> {
        match codec {
            AudioCodec::Aac => Self::from_asc(sample_rate, channels, bitrate, set_up),
            AudioCodec::Opus => Self::from_dops(bitrate, set_up),
            AudioCodec::Ac3 | AudioCodec::Eac3 => Self::from_dolby(codec, bitrate, set_up),
        }
    }

    /// The same for sound whose times leave out what only primes the decoder: nothing more is to be skipped.
    #[must_use]
    pub fn without_pre_skip(mut self) -> Self {
        if let (AudioCodec::Opus, Some(skip)) = (self.codec, self.record.get_mut(2..4)) {
            skip.fill(0);
        }
        self
    }

    /// Whether a decoder that is set up for one goes on with the other. The rate that E-AC-3 tells is only told.
    #[must_use]
    pub fn same_decoder(&self, other: &Self) -> bool {
        let told = if self.codec == AudioCodec::Eac3 { 2 } else { 0 };
        self.codec == other.codec && self.record.get(told..) == other.record.get(told..)
    }

    /// What a decoder is set up with: the `AudioSpecificConfig`, or the body of the box in the codec's place.
    #[must_use]
    pub fn set_up(&self) -> &[u8] {
        &self.record
    }

    /// The codec.
    #[must_use]
    pub fn codec(&self) -> AudioCodec {
        self.codec
    }

    /// "mp4a.40.2" for AAC-LC, "opus", "ac-3", "ec-3".
    #[must_use]
    pub fn codec_string(&self) -> String {
        match self.codec {
            AudioCodec::Aac => format!("mp4a.40.{}", self.object_type()),
            AudioCodec::Opus => "opus".to_owned(),
            AudioCodec::Ac3 => "ac-3".to_owned(),
            AudioCodec::Eac3 => "ec-3".to_owned(),
        }
    }

    /// Channels that come out of a decoder with this set-up, as far as an `AudioSpecificConfig` tells: it may leave them to
    /// the units. Containers often say 2 of anything.
    #[must_use]
    pub fn told_channels(&self) -> Option<u16> {
        let asc = Asc::parse(&self.record).filter(|_| self.codec == AudioCodec::Aac)?;
        match (asc.object_type, asc.channels) {
            // Parametric stereo is coded in one.
            (29, 1) => Some(2),
            (_, count @ 1..=6) => Some(count as u16),
            (_, 7) => Some(8),
            _ => None,
        }
    }

    /// How long one packet sounds, in nanoseconds.
    #[must_use]
    pub fn packet_ns(&self, packet: &[u8]) -> u64 {
        match self.codec {
            AudioCodec::Aac => {
                let (rate, short) = Asc::parse(&self.record)
                    .map_or((self.sample_rate, false), |asc| (asc.core_rate, asc.short_frames));
                let samples: u64 = if short { 960 } else { 1024 };
                samples * 1_000_000_000 / u64::from(rate.max(1))
            }
            AudioCodec::Opus => opus_ns(packet),
            AudioCodec::Ac3 | AudioCodec::Eac3 => {
                let samples = dolby::Unit::read(packet).map_or(0, |unit| u64::from(unit.samples));
                samples * 1_000_000_000 / u64::from(self.sample_rate.max(1))
            }
        }
    }

    /// A packet of silence, where one is known for this configuration: AAC-LC, HE-AAC and Opus in any layout of channels.
    #[must_use]
    pub fn silence(&self) -> Option<Bytes> {
        let packet = match self.codec {
            AudioCodec::Aac => silence::aac(&self.record),
            AudioCodec::Opus => silence::opus(&self.record),
            AudioCodec::Ac3 | AudioCodec::Eac3 => None,
        };
        packet.map(Bytes::from)
    }

    fn object_type(&self) -> u8 {
        self.record.first().map_or(0, |first| first >> 3)
    }
}

/// Length of an Opus packet (RFC 6716, 3.1 and 3.2), 120 ms at most.
fn opus_ns(packet: &[u8]) -> u64 {
    const MS: u64 = 1_000_000;
    let Some(toc) = packet.first().copied() else { return 20 * MS };
    let config = toc >> 3;
    let frame = match config {
        0..=11 => [10, 20, 40, 60].get(usize::from(config & 3)).copied().unwrap_or(20) * MS,
        12..=15 => [10, 20].get(usize::from(config & 1)).copied().unwrap_or(20) * MS,
        _ => (5 * MS / 2) << (config & 3),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1).map_or(1, |count| count & 63)),
    };
    (frame * frames).clamp(5 * MS / 2, 120 * MS)
}
