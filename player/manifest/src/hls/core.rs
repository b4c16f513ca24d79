//! The RFC 8216 core as m3u8-rs reads it.
//!
//! That crate never sees the playlist itself. It sees lines in canonical form, a bounded number at a time, and in place
//! of each address the number by which we know what it belongs to. So a tag that it does not accept cannot make it take
//! a tag for an address, shift what follows, or lose an entry unnoticed, and its time and memory stay bounded.

use std::fmt::Write as _;

use m3u8_rs::{AlternativeMediaType, MediaPlaylistType};

use super::attributes::Attributes;
use crate::Error;

/// Length and, where it is given, offset.
pub(super) type Range = (u64, Option<u64>);

/// Tags of one segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SegmentTags {
    pub(super) byte_range: Option<Range>,
    pub(super) discontinuity: bool,
    pub(super) map: Option<(String, Option<Range>)>,
    /// Seconds since the Unix epoch.
    pub(super) program_date_time: Option<f64>,
}

/// Canonical lines of some segments.
#[derive(Debug)]
pub(super) struct Block {
    text: String,
    /// The segment that the next tag belongs to has tags already.
    open: bool,
}

const HEAD: &str = "#EXTM3U\n";

impl Block {
    pub(super) fn new() -> Self {
        Self { text: HEAD.to_owned(), open: false }
    }

    /// A byte range of the segment to come.
    pub(super) fn byte_range(&mut self, value: &str) {
        self.line(format_args!("#EXT-X-BYTERANGE:{}", compact(value)));
    }

    /// A discontinuity before the segment to come.
    pub(super) fn discontinuity(&mut self) {
        self.line(format_args!("#EXT-X-DISCONTINUITY"));
    }

    /// An initialization segment for the segments to come. `uri` is not empty.
    pub(super) fn map(&mut self, uri: &str, byte_range: Option<&str>) {
        match byte_range {
            Some(range) => {
                self.line(format_args!("#EXT-X-MAP:URI=\"{uri}\",BYTERANGE=\"{}\"", compact(range)));
            }
            None => self.line(format_args!("#EXT-X-MAP:URI=\"{uri}\"")),
        }
    }

    /// The wall-clock time of the segment to come. Zones without a colon and missing zones are common.
    pub(super) fn program_date_time(&mut self, value: &str) {
        let mut date = value.replacen(' ', "T", 1).replace(['z'], "Z");
        let zone = date.rfind(['+', '-']).filter(|at| *at > 10);
        match zone {
            Some(at) if date.len() == at + 5 && date.get(at + 3..).is_some_and(|m| !m.contains(':')) => {
                date.insert(at + 3, ':');
            }
            Some(at) if date.len() == at + 3 => date.push_str(":00"),
            None if !date.ends_with('Z') => date.push('Z'),
            _ => {}
        }
        self.line(format_args!("#EXT-X-PROGRAM-DATE-TIME:{date}"));
    }

    /// Ends the tags of segment `index`.
    pub(super) fn segment(&mut self, index: usize) {
        if std::mem::take(&mut self.open) {
            // Writing to a string cannot fail.
            let _ = writeln!(self.text, "{index}");
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.open = true;
        let _ = writeln!(self.text, "{line}");
    }

    /// Gives the tags by segment, and starts anew.
    pub(super) fn parse(&mut self) -> Vec<(usize, SegmentTags)> {
        if self.text.len() == HEAD.len() {
            return Vec::new();
        }
        let playlist = m3u8_rs::parse_media_playlist_res(self.text.as_bytes());
        let segments = playlist.map(|playlist| playlist.segments).unwrap_or_default();
        self.text.truncate(HEAD.len());
        segments
            .into_iter()
            .filter_map(|segment| {
                let range = |range: m3u8_rs::ByteRange| (range.length, range.offset);
                let tags = SegmentTags {
                    byte_range: segment.byte_range.map(range),
                    discontinuity: segment.discontinuity,
                    map: segment.map.map(|map| (map.uri, map.byte_range.map(range))),
                    program_date_time: segment
                        .program_date_time
                        .map(|date| date.timestamp_micros() as f64 / 1_000_000.0),
                };
                Some((segment.uri.parse().ok()?, tags))
            })
            .collect()
    }
}

/// `value` without blanks and quotes.
fn compact(value: &str) -> String {
    value.chars().filter(|c| !c.is_whitespace() && *c != '"').collect()
}

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
