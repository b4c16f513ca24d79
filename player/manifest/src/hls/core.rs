//! The RFC 8216 core as m3u8-rs reads it: the tags that stand once in a media playlist, variants and renditions.
//!
//! That crate never sees the playlist itself. It sees lines in canonical form, and in place of each address the number by
//! which we know what it belongs to. So a tag that it does not accept cannot make it take a tag for an address, shift
//! what follows, or lose an entry unnoticed. The tags of segments are read beside it (`media`): there may be millions.

use std::fmt::Write as _;

use m3u8_rs::{AlternativeMediaType, MediaPlaylistType};

use super::attributes::Attributes;
use crate::Error;

const HEAD: &str = "#EXTM3U\n";

/// Tags that stand once in a media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Header {
    pub(super) version: Option<usize>,
    pub(super) media_sequence: u64,
    pub(super) discontinuity_sequence: u64,
    pub(super) playlist_type: Option<MediaPlaylistType>,
    pub(super) end_list: bool,
    pub(super) i_frames_only: bool,
}

/// Reads the playlist's own tags out of canonical lines, each with its line end.
pub(super) fn header(lines: &str) -> Header {
    m3u8_rs::parse_media_playlist_res(format!("{HEAD}{lines}").as_bytes())
        .map(|playlist| Header {
            version: playlist.version,
            media_sequence: playlist.media_sequence,
            discontinuity_sequence: playlist.discontinuity_sequence,
            playlist_type: playlist.playlist_type,
            end_list: playlist.end_list,
            i_frames_only: playlist.i_frames_only,
        })
        .unwrap_or_default()
}

/// What m3u8-rs reads from an `EXT-X-STREAM-INF`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StreamInf {
    pub(super) bandwidth: u64,
    pub(super) average_bandwidth: Option<u64>,
    pub(super) codecs: Option<String>,
    pub(super) resolution: Option<(u32, u32)>,
    pub(super) frame_rate: Option<f64>,
    pub(super) audio: Option<String>,
    pub(super) subtitles: Option<String>,
    pub(super) video_range: Option<String>,
}

/// What an `EXT-X-MEDIA` describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Text that is a resource of its own.
    Subtitles,
    /// Text inside the video.
    ClosedCaptions,
}

/// What m3u8-rs reads from an `EXT-X-MEDIA`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MediaTag {
    pub(super) kind: MediaType,
    pub(super) language: Option<String>,
    pub(super) channels: Option<String>,
    pub(super) default: bool,
    pub(super) autoselect: bool,
}

/// Canonical lines of variants and alternative renditions.
#[derive(Debug)]
pub(super) struct Entries {
    text: String,
    variants: usize,
    media: usize,
}

impl Entries {
    pub(super) fn new() -> Self {
        Self { text: HEAD.to_owned(), variants: 0, media: 0 }
    }

    /// Adds a variant, in the form that m3u8-rs takes: a number where it wants one, quotes where it wants them, no
    /// empty value, and always a BANDWIDTH, without which it drops the variant.
    pub(super) fn variant(&mut self, list: &Attributes<'_>, bandwidth: Option<u64>) {
        let _ = write!(self.text, "#EXT-X-STREAM-INF:BANDWIDTH={}", bandwidth.unwrap_or(0));
        if let Some(average) = list.integer("AVERAGE-BANDWIDTH") {
            let _ = write!(self.text, ",AVERAGE-BANDWIDTH={average}");
        }
        let size = list.text("RESOLUTION").and_then(|size| size.split_once(['x', 'X', '*']));
        let size = size.and_then(|(width, height)| {
            Some((width.trim().parse::<u32>().ok()?, height.trim().parse::<u32>().ok()?))
        });
        if let Some((width, height)) = size {
            let _ = write!(self.text, ",RESOLUTION={width}x{height}");
        }
        let rate = list.text("FRAME-RATE").and_then(|rate| rate.parse::<f64>().ok());
        if let Some(rate) = rate.filter(|rate| rate.is_finite() && *rate > 0.0) {
            let _ = write!(self.text, ",FRAME-RATE={rate}");
        }
        if let Some(range) = list.text("VIDEO-RANGE") {
            let _ = write!(self.text, ",VIDEO-RANGE=\"{range}\"");
        }
        for name in ["CODECS", "AUDIO", "SUBTITLES"] {
            if let Some(value) = list.text(name) {
                let _ = write!(self.text, ",{name}=\"{value}\"");
            }
        }
        let _ = write!(self.text, "\n{}\n", self.variants);
        self.variants += 1;
    }

    /// Adds an alternative rendition; `false` when its TYPE is unknown. GROUP-ID and NAME may be missing or empty in
    /// the playlist, which m3u8-rs does not stand; the caller reads them.
    pub(super) fn media(&mut self, list: &Attributes<'_>) -> bool {
        let kind = match list.get("TYPE") {
            Some(kind @ ("AUDIO" | "VIDEO" | "SUBTITLES")) => kind,
            Some("CLOSED-CAPTIONS") => "CLOSED-CAPTIONS,INSTREAM-ID=\"CC1\"",
            _ => return false,
        };
        let _ = write!(self.text, "#EXT-X-MEDIA:TYPE={kind},GROUP-ID=\"-\",NAME=\"{}\"", self.media);
        for name in ["LANGUAGE", "CHANNELS"] {
            if let Some(value) = list.text(name) {
                let _ = write!(self.text, ",{name}=\"{value}\"");
            }
        }
        for name in ["DEFAULT", "AUTOSELECT"] {
            if list.yes(name) {
                let _ = write!(self.text, ",{name}=YES");
            }
        }
        self.text.push('\n');
        self.media += 1;
        true
    }

    /// Gives all in the order in which they were added.
    pub(super) fn parse(self) -> Result<(Vec<StreamInf>, Vec<MediaTag>), Error> {
        let lost = || {
            Error::incomplete(
                "an EXT-X-STREAM-INF or EXT-X-MEDIA holds an attribute that cannot be read",
                "write its attributes as RFC 8216 asks",
            )
        };
        if self.variants + self.media == 0 {
            return Ok((Vec::new(), Vec::new()));
        }
        let playlist = m3u8_rs::parse_master_playlist_res(self.text.as_bytes()).map_err(|_| lost())?;
        if playlist.variants.len() != self.variants || playlist.alternatives.len() != self.media {
            return Err(lost());
        }
        let variants = playlist
            .variants
            .into_iter()
            .map(|stream| StreamInf {
                bandwidth: stream.bandwidth,
                average_bandwidth: stream.average_bandwidth,
                codecs: stream.codecs,
                resolution: stream
                    .resolution
                    .and_then(|r| Some((r.width.try_into().ok()?, r.height.try_into().ok()?))),
                frame_rate: stream.frame_rate,
                audio: stream.audio,
                subtitles: stream.subtitles,
                video_range: stream
                    .other_attributes
                    .and_then(|others| others.get("VIDEO-RANGE").map(|range| range.as_str().to_owned())),
            })
            .collect();
        let media = playlist
            .alternatives
            .into_iter()
            .filter_map(|media| {
                let kind = match media.media_type {
                    AlternativeMediaType::Audio => MediaType::Audio,
                    AlternativeMediaType::Video => MediaType::Video,
                    AlternativeMediaType::Subtitles => MediaType::Subtitles,
                    AlternativeMediaType::ClosedCaptions => MediaType::ClosedCaptions,
                    AlternativeMediaType::Other(_) => return None,
                };
                Some(MediaTag {
                    kind,
                    language: media.language,
                    channels: media.channels,
                    default: media.default,
                    autoselect: media.autoselect,
                })
            })
            .collect();
        Ok((variants, media))
    }
}
