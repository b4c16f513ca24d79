//! The media playlist (RFC 8216, 4.3.2 and 4.3.3; RFC 8216bis, 4.4.3 to 4.4.5).

use std::{borrow::Cow, ops::Range, sync::Arc, time::Duration};

use url::Url;

use super::{
    Kind,
    attributes::Attributes,
    core, is_known, kind_of,
    lines::{Lines, tag},
    misplaced,
    multivariant::{LONGEST_URI, resolve},
    variables::Variables,
};
use crate::{
    Error, Warning,
    error::Warnings,
    time::{decimal_seconds, xs_date_time},
};

/// `EXT-X-PLAYLIST-TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaylistType {
    /// Grows at its end, loses nothing at its start.
    Event,
    /// Never changes.
    Vod,
}

/// One `EXT-X-KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// As written: `AES-128`, `SAMPLE-AES` ...
    pub method: String,
    /// Where the key is.
    pub uri: Option<String>,
    /// Initialization vector, where it is given.
    pub iv: Option<[u8; 16]>,
    /// `identity` where none is given.
    pub format: String,
}

/// One `EXT-X-MAP`: the initialization segment of what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Its address, as written.
    pub uri: String,
    /// Bytes of it, end exclusive.
    pub byte_range: Option<Range<u64>>,
}

/// One `EXT-X-PART`: a piece of a segment that can be had before the segment is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its address, as written.
    pub uri: String,
    /// How long it plays.
    pub duration: Duration,
    /// Starts with a key frame.
    pub independent: bool,
    /// Bytes of it, end exclusive.
    pub byte_range: Option<Range<u64>>,
    /// No media here.
    pub gap: bool,
}

/// One `EXT-X-PRELOAD-HINT`: what will come next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreloadHint {
    /// It is an initialization segment, not a part.
    pub map: bool,
    /// Its address, as written.
    pub uri: String,
    /// First byte of it.
    pub start: u64,
    /// How many bytes, where it is known.
    pub length: Option<u64>,
}

/// One `EXT-X-RENDITION-REPORT`: how far another rendition has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenditionReport {
    /// Its playlist, as written.
    pub uri: String,
    /// Media sequence number of its last segment.
    pub last_sequence: Option<u64>,
    /// Number of its last part.
    pub last_part: Option<u64>,
}

/// `EXT-X-SERVER-CONTROL`: what may be asked of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerControl {
    /// Requests for a playlist to come are held until it is there.
    pub can_block_reload: bool,
    /// Segments further than this from the end may be left out of an update.
    pub can_skip_until: Option<Duration>,
    /// Distance to keep from the end.
    pub hold_back: Option<Duration>,
    /// Distance to keep from the end when playing parts.
    pub part_hold_back: Option<Duration>,
}

/// One segment, as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaSegment {
    /// Line of its address, counted from 1.
    pub line: usize,
    /// Its address, as written, variables replaced.
    pub uri: String,
    /// How long it plays.
    pub duration: Duration,
    /// Bytes of it, end exclusive.
    pub byte_range: Option<Range<u64>>,
    /// `EXT-X-DISCONTINUITY` stands before it.
    pub discontinuity: bool,
    /// No media here.
    pub gap: bool,
    /// Wall-clock time of its first sample in seconds since the Unix epoch, where it is given for this segment.
    pub program_date_time: Option<f64>,
    /// Initialization segment in force.
    pub map: Option<Arc<Map>>,
    /// Keys in force, one for each format; empty when it is not encrypted.
    pub keys: Option<Arc<[Key]>>,
    /// Its parts, as far as they are listed.
    pub parts: Vec<Part>,
}

/// What a media playlist says apart from its segments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaHeader {
    /// `EXT-X-VERSION`.
    pub version: Option<usize>,
    /// `EXT-X-TARGETDURATION`; the longest segment, rounded up, when the playlist breaks the rule that it must be
    /// given, and `None` when there is no segment either.
    pub target_duration: Option<Duration>,
    /// The playlist does not give `target_duration`.
    pub target_guessed: bool,
    /// Number of the first segment, skipped ones counted.
    pub media_sequence: u64,
    /// Discontinuities before the first segment.
    pub discontinuity_sequence: u64,
    /// `EXT-X-PLAYLIST-TYPE`.
    pub playlist_type: Option<PlaylistType>,
    /// `EXT-X-ENDLIST`: nothing more will come.
    pub ended: bool,
    /// Each segment is one picture.
    pub iframes_only: bool,
    /// Each segment is an image of small pictures: columns and rows (`EXT-X-TILES` of the first one).
    pub tiles: Option<(u32, u32)>,
    /// `EXT-X-START`: where to start, in seconds from the beginning, or from the end when negative.
    pub start_offset: Option<f64>,
    /// `EXT-X-SERVER-CONTROL`.
    pub server_control: ServerControl,
    /// `EXT-X-PART-INF`: longest part.
    pub part_target: Option<Duration>,
    /// `EXT-X-SKIP`: segments left out after the one that `media_sequence` numbers; the loader has them.
    pub skipped: u64,
    /// Line of the first `EXT-X-KEY`.
    pub first_key: Option<usize>,
    /// Parts after the last segment.
    pub parts: Vec<Part>,
    /// The segment that is still being made: `parts` as a segment, with what is in force there. Its address is empty.
    pub growing: Option<Box<MediaSegment>>,
    /// What will come next.
    pub preload_hints: Vec<PreloadHint>,
    /// How far other renditions have come.
    pub rendition_reports: Vec<RenditionReport>,
    warnings: Warnings,
}

impl MediaHeader {
    /// What was odd but could be read.
    pub fn warnings(&self) -> &[Warning] {
        self.warnings.list()
    }

    /// More segments may be appended. `None` when the playlist says that it never changes but also does not end.
    pub fn live(&self) -> Option<bool> {
        match (self.ended, self.playlist_type) {
            (true, _) => Some(false),
            (false, Some(PlaylistType::Vod)) => None,
            (false, _) => Some(true),
        }
    }
}

/// A media playlist.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaPlaylist {
    /// All but the segments.
    pub header: MediaHeader,
    /// The segments, in file order.
    pub segments: Vec<MediaSegment>,
}

/// Most segments that are kept: more than four weeks of four seconds each.
const MOST_SEGMENTS: usize = 1_000_000;
/// Highest number of a segment: a thousand segments a second since the beginning of time stay below it, and sums fit.
const MOST_NUMBER: u64 = 1 << 60;
/// Parts, hints and reports kept beside the segments.
const MOST_EXTRAS: usize = 10_000;

impl MediaPlaylist {
    /// Reads one that was loaded from `url`. `imported` holds what the multivariant playlist defines.
    pub(crate) fn parse(text: &str, url: &Url, imported: Option<&Variables>) -> Result<Self, Error> {
        let mut segments = Vec::new();
        let header = walk(text, url, imported, &mut |segment| {
            if segments.len() >= MOST_SEGMENTS {
                return Err(Error::TooLarge { what: "segments", limit: MOST_SEGMENTS });
            }
            segments.push(segment);
            Ok(())
        })?;
        let first = header.media_sequence.max(header.skipped).max(header.discontinuity_sequence);
        if first > MOST_NUMBER {
            return Err(Error::incomplete(
                format_args!("a sequence number is {first}, which no stream reaches"),
                "correct EXT-X-MEDIA-SEQUENCE, EXT-X-DISCONTINUITY-SEQUENCE or EXT-X-SKIP",
            ));
        }
        Ok(Self { header, segments })
    }
}

type Sink<'s> = &'s mut dyn FnMut(MediaSegment) -> Result<(), Error>;

/// Reads a playlist and hands its segments over one by one, so that any length can be read in bounded memory.
pub(crate) fn walk(
    text: &str,
    url: &Url,
    imported: Option<&Variables>,
    sink: Sink<'_>,
) -> Result<MediaHeader, Error> {
    let mut walker = Walker {
        url,
        imported,
        sink,
        header: MediaHeader::default(),
        once: String::new(),
        variables: Variables::default(),
        duration: None,
        same: (String::new(), Duration::ZERO),
        gap: false,
        tags: Tags::default(),
        keys: Vec::new(),
        keys_now: None,
        map: None,
        previous: None,
        part_end: None,
        parts: Vec::new(),
        longest: Duration::ZERO,
    };
    for line in Lines::new(text) {
        match tag(line.text) {
            Some((name, value)) => walker.tag(line.number, name, value)?,
            None if line.text.starts_with('#') => {}
            None => walker.address(line.number, line.text)?,
        }
    }
    walker.finish()
}

/// Length and, where it is given, offset.
type Piece = (u64, Option<u64>);

/// What the tags before a segment's address say of it alone.
#[derive(Clone, Copy, Debug, Default)]
struct Tags {
    byte_range: Option<Piece>,
    discontinuity: bool,
    program_date_time: Option<f64>,
}

struct Walker<'a> {
    url: &'a Url,
    imported: Option<&'a Variables>,
    sink: Sink<'a>,
    header: MediaHeader,
    /// Canonical lines of tags that stand once.
    once: String,
    variables: Variables,
    duration: Option<Duration>,
    /// The last EXTINF, as written and as read.
    same: (String, Duration),
    gap: bool,
    tags: Tags,
    /// In force, one for each format.
    keys: Vec<Key>,
    /// The same, shared by the segments that they apply to.
    keys_now: Option<Arc<[Key]>>,
    map: Option<Arc<Map>>,
    /// Address and end of the last byte range.
    previous: Option<(String, u64)>,
    part_end: Option<(String, u64)>,
    parts: Vec<Part>,
    longest: Duration,
}

impl Walker<'_> {
    fn tag(&mut self, line: usize, name: &str, value: &str) -> Result<(), Error> {
        // Only attributes hold variables (RFC 8216bis, 4.3): a title, or a tag that nobody knows, is not looked at.
        let substituted = if name.starts_with("EXT-X-") && is_known(name) {
            self.variables.substitute(line, value)?
        } else {
            Cow::Borrowed(value)
        };
        let value = &*substituted;
        match name {
            "EXTINF" => self.extinf(line, value.split(',').next().unwrap_or_default())?,
            "EXT-X-BYTERANGE" => {
                let range =
                    piece(value).ok_or_else(|| Error::syntax(line, "EXT-X-BYTERANGE wants length@offset"))?;
                self.tags.byte_range = Some(range);
            }
            "EXT-X-DISCONTINUITY" => self.tags.discontinuity = true,
            "EXT-X-PROGRAM-DATE-TIME" => {
                self.tags.program_date_time = xs_date_time(value);
                if self.tags.program_date_time.is_none() {
                    self.header.warnings.push(line, || "the date cannot be read; it is left out".into());
                }
            }
            "EXT-X-MAP" => self.map(line, &Attributes::new(value))?,
            "EXT-X-KEY" => self.key(line, &Attributes::new(value))?,
            "EXT-X-GAP" => self.gap = true,
            "EXT-X-DEFINE" => {
                self.variables.define(line, &Attributes::new(value), self.url, self.imported)?;
            }
            "EXT-X-PART" => self.part(line, &Attributes::new(value))?,
            _ if kind_of(name) == Some(Kind::Multivariant) => return Err(misplaced(line, name, Kind::Media)),
            _ => self.playlist_tag(line, name, value),
        }
        Ok(())
    }

    fn extinf(&mut self, line: usize, seconds: &str) -> Result<(), Error> {
        // Most segments last as long as the one before.
        if self.same.0 != seconds || seconds.is_empty() {
            let wrong = || format!("EXTINF wants a duration in seconds, not {seconds:?}");
            let duration = match decimal_seconds(seconds) {
                Some(duration) => duration,
                None => {
                    // Something that should stand behind a comma, or a unit.
                    let end =
                        seconds.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(seconds.len());
                    let number = seconds.get(..end).and_then(decimal_seconds);
                    let duration = number.ok_or_else(|| Error::syntax(line, wrong()))?;
                    self.header.warnings.push(line, || format!("{}; taken as {duration:?}", wrong()));
                    duration
                }
            };
            self.same = (seconds.to_owned(), duration);
        }
        self.duration = Some(self.same.1);
        Ok(())
    }

    /// Tags that concern the playlist as a whole.
    fn playlist_tag(&mut self, line: usize, name: &str, value: &str) {
        match name {
            "EXT-X-TARGETDURATION" => match decimal_seconds(value) {
                Some(duration) => self.header.target_duration = Some(duration),
                None => self.header.warnings.push(line, || {
                    format!("EXT-X-TARGETDURATION wants seconds, not {value:?}; it is left out")
                }),
            },
            "EXT-X-VERSION"
            | "EXT-X-MEDIA-SEQUENCE"
            | "EXT-X-DISCONTINUITY-SEQUENCE"
            | "EXT-X-PLAYLIST-TYPE"
            | "EXT-X-ENDLIST"
            | "EXT-X-I-FRAMES-ONLY" => {
                let number = name.ends_with("SEQUENCE") || name.ends_with("VERSION");
                if number && value.parse::<u64>().is_err() {
                    self.header
                        .warnings
                        .push(line, || format!("{name} wants a number, not {value:?}; it is left out"));
                } else if self.once.len() < 4096 && value.len() < 100 {
                    self.once.push('#');
                    self.once.push_str(name);
                    if !value.is_empty() {
                        self.once.push(':');
                        self.once.push_str(value);
                    }
                    self.once.push('\n');
                }
            }
            "EXT-X-START" => {
                let offset = Attributes::new(value).get("TIME-OFFSET").and_then(|offset| offset.parse().ok());
                self.header.start_offset = offset.filter(|offset: &f64| offset.is_finite());
            }
            "EXT-X-SERVER-CONTROL" => {
                let list = Attributes::new(value);
                self.header.server_control = ServerControl {
                    can_block_reload: list.yes("CAN-BLOCK-RELOAD"),
                    can_skip_until: list.seconds("CAN-SKIP-UNTIL"),
                    hold_back: list.seconds("HOLD-BACK"),
                    part_hold_back: list.seconds("PART-HOLD-BACK"),
                };
            }
            "EXT-X-TILES" => {
                let list = Attributes::new(value);
                let layout = list.get("LAYOUT").and_then(|layout| layout.split_once('x'));
                let count = |text: &str| text.parse::<u32>().ok().filter(|count| (1..=100).contains(count));
                let layout = layout.and_then(|(columns, rows)| Some((count(columns)?, count(rows)?)));
                self.header.tiles = self.header.tiles.or(layout);
            }
            "EXT-X-PART-INF" => self.header.part_target = Attributes::new(value).seconds("PART-TARGET"),
            "EXT-X-SKIP" => match Attributes::new(value).integer("SKIPPED-SEGMENTS") {
                Some(skipped) => self.header.skipped = skipped,
                None => self.header.warnings.push(line, || "EXT-X-SKIP has no SKIPPED-SEGMENTS".into()),
            },
            "EXT-X-PRELOAD-HINT" => {
                let list = Attributes::new(value);
                if let Some(uri) = list.text("URI").filter(|_| self.header.preload_hints.len() < MOST_EXTRAS)
                {
                    self.header.preload_hints.push(PreloadHint {
                        map: list.get("TYPE") == Some("MAP"),
                        uri: uri.to_owned(),
                        start: list.integer("BYTERANGE-START").unwrap_or(0),
                        length: list.integer("BYTERANGE-LENGTH"),
                    });
                }
            }
            "EXT-X-RENDITION-REPORT" => {
                let list = Attributes::new(value);
                if let Some(uri) =
                    list.text("URI").filter(|_| self.header.rendition_reports.len() < MOST_EXTRAS)
                {
                    self.header.rendition_reports.push(RenditionReport {
                        uri: uri.to_owned(),
                        last_sequence: list.integer("LAST-MSN"),
                        last_part: list.integer("LAST-PART"),
                    });
                }
            }
            _ => {}
        }
    }

    /// A key holds until the next one of its format; METHOD=NONE ends them all.
    fn key(&mut self, line: usize, list: &Attributes<'_>) -> Result<(), Error> {
        self.header.first_key.get_or_insert(line);
        let method = list.text("METHOD").ok_or_else(|| Error::syntax(line, "EXT-X-KEY has no METHOD"))?;
        if method == "NONE" {
            self.keys.clear();
            self.keys_now = None;
            return Ok(());
        }
        let iv = match list.text("IV") {
            None => None,
            Some(hex) => Some(parse_iv(hex).ok_or_else(|| {
                Error::syntax(
                    line,
                    format_args!("the IV of EXT-X-KEY wants 0x and up to 32 hex digits, not {hex:?}"),
                )
            })?),
        };
        let key = Key {
            method: method.to_owned(),
            uri: list.text("URI").map(str::to_owned),
            iv,
            format: list.text("KEYFORMAT").unwrap_or("identity").to_owned(),
        };
        self.keys_now = None;
        // In the order in which they were given: the first that stands is the first in force.
        self.keys.retain(|other| other.format != key.format);
        if self.keys.len() < 32 {
            self.keys.push(key);
        } else {
            self.header.warnings.push(line, || "more than 32 key formats; this one is left out".into());
        }
        Ok(())
    }

    /// An initialization segment for the segments to come.
    fn map(&mut self, line: usize, list: &Attributes<'_>) -> Result<(), Error> {
        let uri = list.text("URI").ok_or_else(|| Error::syntax(line, "EXT-X-MAP has no URI"))?;
        let byte_range = match list.text("BYTERANGE") {
            None => None,
            Some(text) => {
                let (length, at) =
                    piece(text).ok_or_else(|| Error::syntax(line, "EXT-X-MAP cannot be read"))?;
                let at = at.unwrap_or(0);
                Some(at..at.saturating_add(length))
            }
        };
        self.map = Some(Arc::new(Map { uri: uri.to_owned(), byte_range }));
        Ok(())
    }

    fn part(&mut self, line: usize, list: &Attributes<'_>) -> Result<(), Error> {
        let uri = list.text("URI").ok_or_else(|| Error::syntax(line, "EXT-X-PART has no URI"))?;
        let duration =
            list.seconds("DURATION").ok_or_else(|| Error::syntax(line, "EXT-X-PART has no DURATION"))?;
        let byte_range = match list.text("BYTERANGE") {
            None => None,
            Some(text) => {
                let range = piece(text).ok_or_else(|| {
                    Error::syntax(line, format_args!("EXT-X-PART has the BYTERANGE {text:?}"))
                })?;
                Some(follow(&mut self.part_end, uri, range))
            }
        };
        let (independent, gap) = (list.yes("INDEPENDENT"), list.yes("GAP"));
        self.parts.push(Part { uri: uri.to_owned(), duration, independent, byte_range, gap });
        if self.parts.len() > MOST_EXTRAS {
            return Err(Error::TooLarge { what: "parts in one segment", limit: MOST_EXTRAS });
        }
        Ok(())
    }

    fn address(&mut self, line: usize, text: &str) -> Result<(), Error> {
        let uri = self.variables.substitute(line, text)?;
        if uri.len() > LONGEST_URI {
            // Said by who resolves it.
            resolve(self.url, &uri, line)?;
        }
        let Some(duration) = self.duration.take() else {
            self.header.warnings.push(line, || "an address without EXTINF is left out".into());
            return Ok(());
        };
        self.longest = self.longest.max(duration);
        if self.keys_now.is_none() && !self.keys.is_empty() {
            self.keys_now = Some(self.keys.as_slice().into());
        }
        let tags = std::mem::take(&mut self.tags);
        let byte_range = match tags.byte_range {
            Some(range) => Some(follow(&mut self.previous, &uri, range)),
            None => {
                self.previous = None;
                None
            }
        };
        (self.sink)(MediaSegment {
            line,
            uri: uri.into_owned(),
            duration,
            byte_range,
            discontinuity: tags.discontinuity,
            gap: std::mem::take(&mut self.gap),
            program_date_time: tags.program_date_time,
            map: self.map.clone(),
            keys: self.keys_now.clone(),
            parts: std::mem::take(&mut self.parts),
        })
    }

    fn finish(self) -> Result<MediaHeader, Error> {
        let once = core::header(&self.once);
        let mut header = self.header;
        let hinted = header.preload_hints.iter().any(|hint| !hint.map);
        if header.part_target.is_some()
            && header.server_control.can_block_reload
            && !once.end_list
            && (hinted || !self.parts.is_empty())
        {
            let keys = (!self.keys.is_empty()).then(|| self.keys.as_slice().into());
            header.growing = Some(Box::new(MediaSegment {
                line: 0,
                uri: String::new(),
                duration: self.parts.iter().map(|part| part.duration).sum(),
                byte_range: None,
                discontinuity: self.tags.discontinuity,
                gap: false,
                program_date_time: self.tags.program_date_time,
                map: self.map,
                keys,
                parts: self.parts.clone(),
            }));
        }
        header.parts = self.parts;
        header.version = once.version;
        header.media_sequence = once.media_sequence;
        header.discontinuity_sequence = once.discontinuity_sequence;
        header.ended = once.end_list;
        header.iframes_only = once.i_frames_only;
        header.playlist_type = match once.playlist_type {
            Some(m3u8_rs::MediaPlaylistType::Event) => Some(PlaylistType::Event),
            Some(m3u8_rs::MediaPlaylistType::Vod) => Some(PlaylistType::Vod),
            _ => None,
        };
        if header.target_duration.is_none() && !self.longest.is_zero() {
            let longest = Duration::from_secs(self.longest.as_secs_f64().ceil() as u64);
            header.warnings.push(1, || format!("EXT-X-TARGETDURATION is missing; taken as {longest:?}"));
            header.target_duration = Some(longest);
            header.target_guessed = true;
        }
        Ok(header)
    }
}

/// Bytes of a range that may continue the one before it in the same resource.
fn follow(previous: &mut Option<(String, u64)>, uri: &str, (length, offset): Piece) -> Range<u64> {
    let continued = previous.as_ref().filter(|(of, _)| of == uri).map_or(0, |(_, end)| *end);
    let start = offset.unwrap_or(continued);
    let end = start.saturating_add(length);
    match previous {
        Some((of, at)) if of == uri => *at = end,
        _ => *previous = Some((uri.to_owned(), end)),
    }
    start..end
}

/// `length[@offset]`, perhaps in quotes or with blanks.
fn piece(text: &str) -> Option<Piece> {
    let number = |text: &str| text.trim_matches(|c: char| c.is_whitespace() || c == '"').parse::<u64>().ok();
    match text.split_once('@') {
        Some((length, offset)) if offset.trim().is_empty() => Some((number(length)?, None)),
        Some((length, offset)) => Some((number(length)?, Some(number(offset)?))),
        None => Some((number(text)?, None)),
    }
}

fn parse_iv(hex: &str) -> Option<[u8; 16]> {
    let digits = hex.strip_prefix("0x").or_else(|| hex.strip_prefix("0X"))?;
    if digits.is_empty() || digits.len() > 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)
}

/// Absolute address of something that a playlist names.
pub(crate) fn absolute(base: &Url, uri: &str, line: usize) -> Result<Url, Error> {
    resolve(base, uri, line)
}
