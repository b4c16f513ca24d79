//! From a publisher's tags to what a live session takes.

use bytes::{Bytes, BytesMut};

use super::amf::Value;
use super::clock::{Clock, Stamp};
use super::flv::{self, Content, Tag, TagCodec};
use crate::ingest::exact_rate;
use crate::live::{Codec, LiveEvent, LiveUnit, TrackSetup};
use crate::package::nal_units;
use crate::store::TrackKind;

/// Presentation may be this far from decoding, in milliseconds; more is a broken stamp.
const FURTHEST_OFFSET_MS: i32 = 10_000;

/// A tag that ends the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TagError {
    /// A codec that no player of the adaptive formats could be served.
    #[error("{0} is not taken; publish H.264, HEVC or AV1 with AAC or Opus")]
    Codec(String),
    /// A tag that does not have its form.
    #[error(transparent)]
    Form(#[from] flv::BadTag),
    /// A decoder configuration that does not have its form.
    #[error("the {0} configuration is cut short or malformed")]
    Config(&'static str),
    /// Something that is reserved for the other medium.
    #[error("{0} came in a message of the wrong type")]
    Misplaced(String),
}

/// What the publisher said of its stream.
#[derive(Debug, Clone, Default, PartialEq)]
struct Hints {
    width: u32,
    height: u32,
    frame_rate: Option<(u32, u32)>,
    video_bitrate: Option<u64>,
    audio_bitrate: Option<u64>,
    encoder: Option<String>,
}

#[derive(Debug, Default)]
struct Track {
    /// The configuration in force, as it came.
    config: Option<(TagCodec, Bytes)>,
    codec: Option<Codec>,
    /// Bytes of a NAL length on the wire.
    length_size: usize,
    /// A key frame has come since the configuration.
    open: bool,
}

/// Turns the tags of one connection into events. Only the first track of each medium is taken.
#[derive(Debug, Default)]
pub struct Tracks {
    clock: Clock,
    hints: Hints,
    video: Track,
    audio: Track,
    /// Access units that were left out: before their configuration or key frame, stale, or malformed.
    dropped: u64,
    more_tracks: bool,
}

impl Tracks {
    /// Takes `onMetaData`. It comes before the tracks, and its figures are hints only.
    pub fn metadata(&mut self, data: &Value) {
        let number = |name| data.get(name).and_then(Value::number).filter(|n| (1.0..1e9).contains(n));
        let pixels = |name| number(name).filter(|n| *n <= 16_384.0).map_or(0, |n| n as u32);
        let kbps = |name| number(name).filter(|n| *n <= 1e6).map(|n| (n * 1000.0) as u64);
        let rate = number("framerate").or_else(|| number("fps")).filter(|rate| *rate <= 480.0);
        self.hints = Hints {
            width: pixels("width"),
            height: pixels("height"),
            frame_rate: rate.map(exact_rate),
            video_bitrate: kbps("videodatarate"),
            audio_bitrate: kbps("audiodatarate"),
            encoder: data.get("encoder").and_then(Value::text).map(super::session::plain),
        };
    }

    /// What the publisher calls its encoder.
    pub fn encoder(&self) -> Option<&str> {
        self.hints.encoder.as_deref()
    }

    /// Access units that were left out so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether the publisher sends tracks that are left out.
    pub fn more_tracks(&self) -> bool {
        self.more_tracks
    }

    /// Takes a video tag; its events go to `out`.
    ///
    /// # Errors
    /// See [`TagError`]; the connection cannot go on then.
    pub fn video(&mut self, timestamp: u32, body: Bytes, out: &mut Vec<LiveEvent>) -> Result<(), TagError> {
        let tag = if body.is_empty() { None } else { flv::video(body)? };
        self.tag(TrackKind::Video, timestamp, tag, out)
    }

    /// Takes an audio tag; its events go to `out`.
    ///
    /// # Errors
    /// See [`TagError`]; the connection cannot go on then.
    pub fn audio(&mut self, timestamp: u32, body: Bytes, out: &mut Vec<LiveEvent>) -> Result<(), TagError> {
        let tag = if body.is_empty() { None } else { flv::audio(body)? };
        self.tag(TrackKind::Audio, timestamp, tag, out)
    }

    fn tag(
        &mut self,
        kind: TrackKind,
        timestamp: u32,
        tag: Option<Tag>,
        out: &mut Vec<LiveEvent>,
    ) -> Result<(), TagError> {
        let Some(Tag { codec: named, content, more_tracks }) = tag else { return Ok(()) };
        self.more_tracks |= more_tracks;
        let codec = match named {
            TagCodec::Avc => Codec::Avc,
            TagCodec::Hevc => Codec::Hevc,
            TagCodec::Av1 => Codec::Av1,
            TagCodec::Aac => Codec::Aac,
            TagCodec::Opus => Codec::Opus,
            _ => return Err(TagError::Codec(named.name())),
        };
        if codec.kind() != kind {
            return Err(TagError::Misplaced(named.name()));
        }
        match content {
            Content::Config(config) => self.config(named, codec, config, out),
            Content::Frame { key, offset_ms, data } => {
                self.frame(kind, codec, timestamp, (key, offset_ms, data), out);
                Ok(())
            }
            Content::Nothing => Ok(()),
        }
    }

    fn config(
        &mut self,
        named: TagCodec,
        codec: Codec,
        config: Bytes,
        out: &mut Vec<LiveEvent>,
    ) -> Result<(), TagError> {
        let kind = codec.kind();
        let hints = self.hints.clone();
        let track = self.track(kind);
        // Encoders repeat it with every key frame.
        if track.config.as_ref().is_some_and(|known| *known == (named, config.clone())) {
            return Ok(());
        }
        let wrong = || TagError::Config(codec.name());
        let mut setup = TrackSetup {
            language: None,
            kind,
            codec,
            config: config.clone(),
            width: 0,
            height: 0,
            frame_rate: None,
            sample_rate: 0,
            channels: 0,
            bitrate: hints.audio_bitrate,
        };
        let mut length_size = 4;
        match codec {
            Codec::Avc | Codec::Hevc => {
                let at = if codec == Codec::Avc { 4 } else { 21 };
                length_size = usize::from(config.get(at).ok_or_else(wrong)? & 3) + 1;
                if length_size != 4 {
                    // The units are rewritten, so the record has to say four.
                    let mut rewritten = BytesMut::from(&*config);
                    if let Some(byte) = rewritten.get_mut(at) {
                        *byte |= 3;
                    }
                    setup.config = rewritten.freeze();
                }
            }
            Codec::Av1 => {}
            Codec::Aac => (setup.sample_rate, setup.channels) = asc(&config).ok_or_else(wrong)?,
            Codec::Opus => {
                setup.sample_rate = 48_000;
                setup.channels = u32::from(*config.get(9).ok_or_else(wrong)?);
            }
        }
        if kind == TrackKind::Video {
            (setup.width, setup.height) = (hints.width, hints.height);
            (setup.frame_rate, setup.bitrate) = (hints.frame_rate, hints.video_bitrate);
        }
        *track = Track { config: Some((named, config)), codec: Some(codec), length_size, open: false };
        out.push(LiveEvent::Setup(setup));
        Ok(())
    }

    fn frame(
        &mut self,
        kind: TrackKind,
        codec: Codec,
        timestamp: u32,
        (key, offset_ms, data): (bool, i32, Bytes),
        out: &mut Vec<LiveEvent>,
    ) {
        let track = self.track(kind);
        let known = track.codec == Some(codec) && (track.open || key);
        let data = if !known || data.is_empty() {
            None
        } else {
            match codec {
                Codec::Avc | Codec::Hevc => four_byte_lengths(data, track.length_size),
                Codec::Av1 => without_delimiter(data),
                Codec::Aac | Codec::Opus => Some(data),
            }
        };
        let Some(data) = data else {
            self.dropped += 1;
            return;
        };
        if !has_picture(codec, &data) {
            return;
        }
        track.open = true;
        let at = match self.clock.stamp(kind, timestamp) {
            Stamp::At(at) => at,
            Stamp::Anew(at) => {
                out.push(LiveEvent::Discontinuity);
                at
            }
            Stamp::Stale => {
                self.dropped += 1;
                return;
            }
        };
        let offset = if offset_ms.abs() > FURTHEST_OFFSET_MS { 0 } else { i64::from(offset_ms) };
        out.push(LiveEvent::Unit(LiveUnit {
            kind,
            dts_ns: at * 1_000_000,
            pts_ns: (at + offset) * 1_000_000,
            key,
            data,
        }));
    }

    fn track(&mut self, kind: TrackKind) -> &mut Track {
        match kind {
            TrackKind::Video => &mut self.video,
            _ => &mut self.audio,
        }
    }
}

/// Sampling rate and channels of an `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1).
pub(in crate::ingest) fn asc(config: &[u8]) -> Option<(u32, u32)> {
    const RATES: [u32; 13] = [
        96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
    ];
    let mut at = 0;
    let mut bits = |count: usize| {
        (0..count).try_fold(0_u32, |value, _| {
            let byte = config.get(at / 8)?;
            let bit = (byte >> (7 - at % 8)) & 1;
            at += 1;
            Some((value << 1) | u32::from(bit))
        })
    };
    if bits(5)? == 31 {
        bits(6)?;
    }
    let rate = match bits(4)? {
        15 => bits(24)?,
        index => *RATES.get(index as usize)?,
    };
    let channels = match bits(4)? {
        // Said in the stream itself; two is what it mostly is.
        0 => 2,
        count @ 1..=6 => count,
        7 => 8,
        _ => return None,
    };
    (8_000..=192_000).contains(&rate).then_some((rate, channels))
}

/// NAL units whose lengths take four bytes; `None` when the lengths do not add up.
fn four_byte_lengths(data: Bytes, size: usize) -> Option<Bytes> {
    let mut rest: &[u8] = &data;
    let mut units = 0;
    let mut out = BytesMut::new();
    while !rest.is_empty() {
        let (length, tail) = rest.split_at_checked(size)?;
        let length = length.iter().fold(0_usize, |value, byte| (value << 8) | usize::from(*byte));
        let (unit, tail) = tail.split_at_checked(length)?;
        if size != 4 && length > 0 {
            out.extend_from_slice(&(length as u32).to_be_bytes());
            out.extend_from_slice(unit);
        }
        units += usize::from(length > 0);
        rest = tail;
    }
    match (units, size) {
        (0, _) => None,
        (_, 4) => Some(data),
        _ => Some(out.freeze()),
    }
}

/// Whether an access unit is one. Some encoders send delimiters, parameter sets or messages in a packet of their own:
/// what they say of the coding is in the configuration, and a sample without a picture is an error to decoders.
fn has_picture(codec: Codec, data: &[u8]) -> bool {
    let any = |is: fn(u8) -> bool| nal_units(data).any(|nal| nal.first().is_some_and(|byte| is(*byte)));
    match codec {
        Codec::Avc => any(|byte| matches!(byte & 31, 1..=5)),
        Codec::Hevc => any(|byte| byte >> 1 & 63 < 32),
        Codec::Av1 | Codec::Aac | Codec::Opus => true,
    }
}

/// OBUs without temporal delimiters (AV1 specification, 5.3; ISO media files leave them out). The wire has them in
/// front only, so nothing is copied.
fn without_delimiter(mut data: Bytes) -> Option<Bytes> {
    while let Some(first) = data.first().copied() {
        let (kind, extended, sized) = ((first >> 3) & 15, first & 4 != 0, first & 2 != 0);
        if kind != 2 {
            return Some(data);
        }
        // A delimiter's payload is empty, and says so when it has a size.
        let length = 1 + usize::from(extended) + usize::from(sized);
        if sized && data.get(length - 1) != Some(&0) {
            return None;
        }
        data = data.get(length..).map(|_| data.slice(length..))?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const AVCC: &[u8] = &[1, 0x64, 0, 0x0d, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x0d, 1, 0, 1, 0x68];

    fn avc(kind: u8, key: bool, offset: i16, data: &[u8]) -> Bytes {
        let [high, low] = offset.to_be_bytes();
        let sign = if offset < 0 { 0xff } else { 0 };
        let mut body = vec![if key { 0x17 } else { 0x27 }, kind, sign, high, low];
        body.extend_from_slice(data);
        body.into()
    }

    fn units(out: &[LiveEvent]) -> Vec<(i64, i64, bool, Vec<u8>)> {
        let each = out.iter().filter_map(|event| match event {
            LiveEvent::Unit(u) => Some((u.dts_ns / 1_000_000, u.pts_ns / 1_000_000, u.key, u.data.to_vec())),
            _ => None,
        });
        each.collect()
    }

    #[test]
    fn h264_and_aac_become_setups_and_units() {
        let (mut tracks, mut out) = (Tracks::default(), Vec::new());
        tracks.metadata(&Value::object([
            ("width", 1280.0.into()),
            ("height", 720.0.into()),
            ("framerate", 29.97.into()),
            ("videodatarate", 2500.0.into()),
            ("audiodatarate", f64::NAN.into()),
            ("encoder", "Lavf60\n".into()),
        ]));
        tracks.video(0, avc(1, true, 0, &[0, 0, 0, 1, 5]), &mut out).unwrap();
        assert!(out.is_empty(), "nothing before the configuration");
        tracks.video(0, avc(0, true, 0, AVCC), &mut out).unwrap();
        tracks.audio(0, Bytes::from_static(&[0xaf, 0, 0x11, 0x90]), &mut out).unwrap();
        let [LiveEvent::Setup(video), LiveEvent::Setup(audio)] = &out[..] else { panic!("{out:?}") };
        assert_eq!((video.codec, video.width, video.height), (Codec::Avc, 1280, 720));
        assert_eq!((video.frame_rate, video.bitrate), (Some((30_000, 1001)), Some(2_500_000)));
        assert_eq!((audio.codec, audio.sample_rate, audio.channels), (Codec::Aac, 48_000, 2));
        assert_eq!((audio.bitrate, tracks.encoder()), (None, Some("Lavf60")));
        out.clear();
        tracks.video(10, avc(1, false, 0, &[0, 0, 0, 1, 1]), &mut out).unwrap();
        tracks.video(40, avc(1, true, 80, &[0, 0, 0, 1, 5]), &mut out).unwrap();
        tracks.video(80, avc(1, false, -40, &[0, 0, 0, 1, 1]), &mut out).unwrap();
        tracks.video(120, avc(0, true, 0, AVCC), &mut out).unwrap();
        tracks.audio(45, Bytes::from_static(&[0xaf, 1, 7]), &mut out).unwrap();
        let expected = [
            (40, 120, true, vec![0, 0, 0, 1, 5]),
            (80, 40, false, vec![0, 0, 0, 1, 1]),
            (45, 45, true, vec![7]),
        ];
        assert_eq!(units(&out), expected);
        assert_eq!((out.len(), tracks.dropped()), (3, 2), "no setup again, two units before the key frame");
    }

    #[test]
    fn another_configuration_is_a_setup_again_and_waits_for_a_key_frame() {
        let (mut tracks, mut out) = (Tracks::default(), Vec::new());
        tracks.video(0, avc(0, true, 0, AVCC), &mut out).unwrap();
        tracks.video(0, avc(1, true, 0, &[0, 0, 0, 1, 5]), &mut out).unwrap();
        tracks.video(40, Bytes::from_static(b"\x90av01\x81\x04\x0c\x00"), &mut out).unwrap();
        tracks.video(40, Bytes::from_static(b"\xa1av01\x32\x01\x09"), &mut out).unwrap();
        tracks.video(80, Bytes::from_static(b"\x91av01\x12\x00\x0a\x01\x09"), &mut out).unwrap();
        let kinds: Vec<_> = out
            .iter()
            .map(|event| match event {
                LiveEvent::Setup(setup) => setup.codec.name(),
                LiveEvent::Unit(_) => "unit",
                LiveEvent::Discontinuity => "discontinuity",
                LiveEvent::Warning(_) => "warning",
            })
            .collect();
        assert_eq!(kinds, ["H.264", "unit", "AV1", "unit"]);
        assert_eq!(units(&out)[1].3, [0x0a, 1, 9], "without the temporal delimiter");
    }

    #[test]
    fn short_nal_lengths_are_rewritten() {
        let (mut tracks, mut out) = (Tracks::default(), Vec::new());
        let mut record = AVCC.to_vec();
        record[4] = 0xfd;
        tracks.video(0, avc(0, true, 0, &record), &mut out).unwrap();
        let LiveEvent::Setup(setup) = &out[0] else { panic!("{out:?}") };
        assert_eq!(setup.config, AVCC);
        tracks.video(0, avc(1, true, 0, &[0, 2, 5, 6, 0, 0, 0, 1, 7]), &mut out).unwrap();
        assert_eq!(units(&out)[0].3, [0, 0, 0, 2, 5, 6, 0, 0, 0, 1, 7]);
    }

    #[test]
    fn units_that_do_not_add_up_are_dropped() {
        let (mut tracks, mut out) = (Tracks::default(), Vec::new());
        tracks.video(0, avc(0, true, 0, AVCC), &mut out).unwrap();
        out.clear();
        for bad in [&[0, 0, 0, 9, 1][..], &[0, 0, 1], &[0, 0, 0, 1], &[], &[0, 0, 0, 0], &[255; 8]] {
            tracks.video(0, avc(1, true, 0, bad), &mut out).unwrap();
        }
        assert_eq!((out.len(), tracks.dropped()), (0, 6));
        assert_eq!(without_delimiter(Bytes::from_static(&[0x12, 5, 1])), None);
        assert_eq!(without_delimiter(Bytes::from_static(&[0x12])), None);
        assert_eq!(without_delimiter(Bytes::from_static(&[0x12, 0])), None);
    }

    #[test]
    fn packets_without_a_picture_are_no_units() {
        let (mut tracks, mut out) = (Tracks::default(), Vec::new());
        tracks.video(0, avc(0, true, 0, AVCC), &mut out).unwrap();
        // Parameter sets, a delimiter and a message alone; with a key frame's flag, too.
        for alone in
            [&[0, 0, 0, 2, 0x67, 1, 0, 0, 0, 1, 0x68][..], &[0, 0, 0, 2, 9, 0xf0], &[0, 0, 0, 2, 6, 5]]
        {
            tracks.video(0, avc(1, true, 0, alone), &mut out).unwrap();
        }
        tracks.video(20, avc(1, false, 0, &[0, 0, 0, 1, 0x41]), &mut out).unwrap();
        tracks.video(40, avc(1, true, 0, &[0, 0, 0, 1, 6, 0, 0, 0, 1, 0x65]), &mut out).unwrap();
        assert_eq!(units(&out).len(), 1, "{out:?}");
        assert_eq!(tracks.dropped(), 1, "the picture before the first key frame");
        for (nal, is) in [(19, true), (1, true), (21, true), (32, false), (35, false), (39, false)] {
            assert_eq!(has_picture(Codec::Hevc, &[0, 0, 0, 2, nal << 1, 1]), is, "{nal}");
        }
    }

    #[test]
    fn a_clock_that_starts_anew_is_a_discontinuity() {
        let (mut tracks, mut out) = (Tracks::default(), Vec::new());
        tracks.audio(0, Bytes::from_static(&[0xaf, 0, 0x12, 0x10]), &mut out).unwrap();
        for at in [100_000, 0, 23] {
            tracks.audio(at, Bytes::from_static(&[0xaf, 1, 7]), &mut out).unwrap();
        }
        assert!(matches!(out[2], LiveEvent::Discontinuity), "{out:?}");
        assert_eq!(units(&out).iter().map(|u| u.0).collect::<Vec<_>>(), [100_000, 0, 23]);
    }

    #[test]
    fn other_codecs_are_refused_by_name() {
        let mut tracks = Tracks::default();
        let mut refused = |video: bool, body: &'static [u8]| {
            let (body, mut out) = (Bytes::from_static(body), Vec::new());
            let result =
                if video { tracks.video(0, body, &mut out) } else { tracks.audio(0, body, &mut out) };
            result.unwrap_err().to_string()
        };
        for (video, body, name) in [
            (false, &[0x2f, 1][..], "MP3"),
            (true, &[0x12, 1], "Sorenson"),
            (true, b"\x90vp09\x01", "VP9"),
            (false, b"\x90fLaC\x01", "FLAC"),
            (false, b"\x90hvc1\x01", "HEVC"),
            (true, &[0x17, 0, 0, 0, 0, 1], "H.264"),
            (false, &[0xaf, 0, 0xff], "AAC"),
        ] {
            assert!(refused(video, body).contains(name), "{name}");
        }
    }

    #[test]
    fn audio_configurations_are_read() {
        type Row<'a> = (&'a [u8], Option<(u32, u32)>);
        let rows: &[Row<'_>] = &[
            (&[0x11, 0x90], Some((48_000, 2))),
            (&[0x12, 0x08], Some((44_100, 1))),
            (&[0x2b, 0x92, 0x08, 0x00], Some((22_050, 2))),
            (&[0x17, 0x80, 0x5d, 0xc0, 0x10], Some((48_000, 2))),
            (&[0x11], None),
            (&[0x16, 0x90], None),
            (&[], None),
        ];
        for (config, expected) in rows {
            assert_eq!(asc(config), *expected, "{config:02x?}");
        }
    }
}
