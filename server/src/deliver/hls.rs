//! HLS playlists as views on the store (RFC 8216bis).

use std::fmt::Write as _;

use crate::store::{Rendition, RenditionInfo, TrackKind};

/// MIME type of playlists (RFC 8216bis, section 10).
pub const CONTENT_TYPE: &str = "application/vnd.apple.mpegurl";

/// Head room of the announced peak over the encoder's target while nothing is measured yet, in per cent.
const NOMINAL_PEAK_PERCENT: u64 = 130;

/// What a variant needs of a rendition.
pub struct RenditionView<'a> {
    /// What it is.
    pub info: &'a RenditionInfo,
    /// Measured peak and average in bit/s, once the rendition is complete.
    pub measured: Option<(u64, u64)>,
}

impl<'a> RenditionView<'a> {
    /// A view with measured rates when `complete`.
    pub fn of(rendition: &'a Rendition, complete: bool) -> Self {
        let measured = rendition.peak_bandwidth().zip(rendition.average_bandwidth());
        Self { info: rendition.info(), measured: measured.filter(|_| complete) }
    }

    /// Announced peak and average in bit/s.
    fn rates(&self) -> (u64, u64) {
        self.measured.unwrap_or_else(|| {
            let nominal = self.info.bandwidth;
            (nominal * NOMINAL_PEAK_PERCENT / 100, nominal)
        })
    }
}

/// The multivariant playlist: a variant per video rendition, all with the audio group when there is one.
pub fn multivariant(renditions: &[RenditionView<'_>]) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    let audio: Vec<_> = renditions.iter().filter(|r| r.info.kind == TrackKind::Audio).collect();
    let video: Vec<_> = renditions.iter().filter(|r| r.info.kind == TrackKind::Video).collect();
    let peak_audio = audio.iter().map(|r| r.rates().0).max().unwrap_or(0);
    let average_audio = audio.iter().map(|r| r.rates().1).max().unwrap_or(0);
    if video.is_empty() {
        for rendition in &audio {
            let (peak, average) = rendition.rates();
            let info = rendition.info;
            let _ = write!(
                text,
                "\n#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},CODECS=\"{}\"\n{}/index.m3u8\n",
                info.codecs, info.name
            );
        }
        return text;
    }
    for (index, rendition) in audio.iter().enumerate() {
        let info = rendition.info;
        let default = if index == 0 { "YES" } else { "NO" };
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"{}\",DEFAULT={default},AUTOSELECT=YES,\
             CHANNELS=\"{}\",URI=\"{}/index.m3u8\"",
            info.name, info.channels, info.name
        );
    }
    for rendition in &video {
        let info = rendition.info;
        let (peak, average) = rendition.rates();
        let mut codecs = info.codecs.clone();
        if let Some(audio) = audio.first() {
            codecs.push(',');
            codecs.push_str(&audio.info.codecs);
        }
        let (frames, seconds) = info.frame_rate;
        let frame_rate = f64::from(frames) / f64::from(seconds.max(1));
        let _ = write!(
            text,
            "\n#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{codecs}\",RESOLUTION={}x{},\
             FRAME-RATE={frame_rate:.3}",
            peak + peak_audio,
            average + average_audio,
            info.width,
            info.height
        );
        if !audio.is_empty() {
            text.push_str(",AUDIO=\"audio\"");
        }
        let _ = write!(text, "\n{}/index.m3u8\n", info.name);
    }
    text
}

/// A media playlist. `segment_ms` is the length that the packager aims at; `ended` says that nothing will be added any
/// more, until then it is an EVENT playlist.
pub fn media(rendition: &Rendition, generation: &str, segment_ms: u32, ended: bool) -> String {
    let segments = rendition.segments();
    let timescale = u64::from(rendition.info().timescale.max(1));
    // Durations are compared after rounding to whole seconds (section 4.4.3.1). The packager keeps its length, so
    // this never changes while a playlist grows.
    let target = segments
        .iter()
        .map(|s| (s.duration + timescale / 2) / timescale)
        .fold(u64::from(target_seconds(segment_ms)), u64::max);
    let kind = if ended { "VOD" } else { "EVENT" };
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:1\n\
         #EXT-X-PLAYLIST-TYPE:{kind}\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"{}\"\n",
        init_name(generation)
    );
    for segment in segments.iter() {
        let duration = decimal(segment.duration, timescale);
        let _ = write!(text, "#EXTINF:{duration},\n{}\n", segment_name(segment.number, generation));
    }
    if ended {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    text
}

/// `EXT-X-TARGETDURATION` for a segment length.
pub fn target_seconds(segment_ms: u32) -> u32 {
    ((segment_ms + 500) / 1000).max(1)
}

/// Name of the init segment. The generation makes a deleted and recreated stream's names differ, so that caches may
/// keep media for ever.
pub fn init_name(generation: &str) -> String {
    format!("init-{generation}.mp4")
}

/// Name of a segment.
pub fn segment_name(number: u32, generation: &str) -> String {
    format!("{number:05}-{generation}.m4s")
}

/// What a media file's name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaName {
    /// The init segment.
    Init,
    /// A segment by its number.
    Segment(u32),
}

/// Reads a name back; `None` for one that this generation of the stream never gave out.
pub fn parse_name(name: &str, generation: &str) -> Option<MediaName> {
    if name == init_name(generation) {
        return Some(MediaName::Init);
    }
    let number = name.split_once('-')?.0.parse().ok()?;
    (segment_name(number, generation) == name).then_some(MediaName::Segment(number))
}

/// `ticks / timescale` as a decimal, exact where one of nine digits exists, rounded to them otherwise, without
/// passing through floating point.
pub fn decimal(ticks: u64, timescale: u64) -> String {
    const NANO: u128 = 1_000_000_000;
    let timescale = u128::from(timescale.max(1));
    let nanos = (u128::from(ticks) * NANO + timescale / 2) / timescale;
    let fraction = format!("{:09}", nanos % NANO);
    let fraction = fraction.trim_end_matches('0');
    let whole = nanos / NANO;
    if fraction.is_empty() { format!("{whole}.0") } else { format!("{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(name: &str, height: u32, bandwidth: u64) -> RenditionInfo {
        RenditionInfo {
            name: name.into(),
            kind: TrackKind::Video,
            codecs: "avc1.64001f".into(),
            width: height * 16 / 9,
            height,
            frame_rate: (30_000, 1001),
            sample_rate: 0,
            channels: 0,
            bandwidth,
            timescale: 90_000,
        }
    }

    fn audio() -> RenditionInfo {
        RenditionInfo {
            name: "audio".into(),
            kind: TrackKind::Audio,
            codecs: "mp4a.40.2".into(),
            width: 0,
            height: 0,
            frame_rate: (0, 1),
            sample_rate: 48_000,
            channels: 2,
            bandwidth: 128_000,
            timescale: 48_000,
        }
    }

    #[test]
    fn decimals_are_exact() {
        let rows = [
            (360_000, 90_000, "4.0"),
            (360_360, 90_000, "4.004"),
            (192_512, 48_000, "4.010666667"),
            (1, 3, "0.333333333"),
            (2, 3, "0.666666667"),
            (u64::MAX, 1, "18446744073709551615.0"),
            (5, 0, "5.0"),
        ];
        for (ticks, timescale, text) in rows {
            assert_eq!(decimal(ticks, timescale), text);
        }
    }

    #[test]
    fn names_are_read_back_and_strangers_refused() {
        assert_eq!(parse_name(&segment_name(7, "k2"), "k2"), Some(MediaName::Segment(7)));
        assert_eq!(parse_name(&segment_name(123_456, "k2"), "k2"), Some(MediaName::Segment(123_456)));
        assert_eq!(parse_name(&init_name("k2"), "k2"), Some(MediaName::Init));
        for name in
            ["7-k2.m4s", "00007-k1.m4s", "00007-k2.mp4", "+0007-k2.m4s", "..", "", "init.mp4", "-1-k2.m4s"]
        {
            assert_eq!(parse_name(name, "k2"), None, "{name}");
        }
    }

    #[test]
    fn a_complete_stream_announces_measured_rates_with_the_audio_in_them() {
        let (low, high, sound) = (video("360p", 360, 750_000), video("720p", 720, 2_800_000), audio());
        let text = multivariant(&[
            RenditionView { info: &low, measured: Some((900_000, 700_000)) },
            RenditionView { info: &high, measured: Some((3_000_000, 2_700_000)) },
            RenditionView { info: &sound, measured: Some((130_000, 128_500)) },
        ]);
        assert_eq!(
            text,
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"audio/index.m3u8\"\n\
             \n#EXT-X-STREAM-INF:BANDWIDTH=1030000,AVERAGE-BANDWIDTH=828500,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=29.970,AUDIO=\"audio\"\n360p/index.m3u8\n\
             \n#EXT-X-STREAM-INF:BANDWIDTH=3130000,AVERAGE-BANDWIDTH=2828500,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO=\"audio\"\n720p/index.m3u8\n"
        );
    }

    #[test]
    fn a_growing_stream_announces_nominal_rates_and_parses_elsewhere() {
        let (low, sound) = (video("360p", 360, 750_000), audio());
        let text = multivariant(&[
            RenditionView { info: &low, measured: None },
            RenditionView { info: &sound, measured: None },
        ]);
        let parsed = m3u8_rs::parse_master_playlist_res(text.as_bytes()).unwrap();
        assert_eq!(parsed.variants.len(), 1);
        assert_eq!(parsed.variants[0].bandwidth, (750_000 + 128_000) * 130 / 100);
        assert_eq!(parsed.variants[0].average_bandwidth, Some(878_000));
        assert_eq!(parsed.alternatives.len(), 1);
    }

    #[test]
    fn a_stream_without_sound_has_no_audio_group() {
        let low = video("360p", 360, 750_000);
        let text = multivariant(&[RenditionView { info: &low, measured: None }]);
        assert!(!text.contains("AUDIO") && text.contains("CODECS=\"avc1.64001f\""), "{text}");
    }

    #[test]
    fn a_stream_of_sound_alone_is_a_variant() {
        let sound = audio();
        let text = multivariant(&[RenditionView { info: &sound, measured: None }]);
        assert!(text.contains("CODECS=\"mp4a.40.2\"\naudio/index.m3u8"), "{text}");
    }
}
