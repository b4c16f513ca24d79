//! The multivariant playlist (RFC 8216, 4.3.4).

use url::Url;

pub use super::core::MediaType;
use super::{
    Kind,
    attributes::Attributes,
    core::Entries,
    is_decisive, kind_of,
    lines::{Lines, tag},
    misplaced,
    variables::Variables,
};
use crate::{ContentSteering, Error, Warning, error::Warnings};

/// One `EXT-X-STREAM-INF`.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Peak in bit/s; `None` when the playlist breaks the rule that it must be given.
    pub bandwidth: Option<u64>,
    /// Average in bit/s.
    pub average_bandwidth: Option<u64>,
    /// RFC 6381 strings, separated by commas.
    pub codecs: Option<String>,
    /// Pixels and lines.
    pub resolution: Option<(u32, u32)>,
    /// Frames per second.
    pub frame_rate: Option<f64>,
    /// Group of the sound that goes with it.
    pub audio: Option<String>,
    /// Group of the subtitles that go with it.
    pub subtitles: Option<String>,
    /// `SDR`, `HLG` or `PQ`.
    pub video_range: Option<String>,
    /// Group of the captions in its pictures.
    pub captions: Option<String>,
    /// The pathway that it belongs to (`PATHWAY-ID`).
    pub pathway: Option<String>,
    /// `STABLE-VARIANT-ID`.
    pub stable_id: Option<String>,
    /// Its media playlist; `None` when no address follows the tag.
    pub url: Option<Url>,
    /// Line of the tag, counted from 1.
    pub line: usize,
}

/// One `EXT-X-MEDIA`.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// What it carries.
    pub kind: MediaType,
    /// Group that variants refer to; empty when the playlist breaks the rule that it must be given.
    pub group: String,
    /// For people.
    pub name: String,
    /// BCP 47.
    pub language: Option<String>,
    /// First parameter is the number of audio channels.
    pub channels: Option<String>,
    /// To be played unless the viewer says otherwise.
    pub default: bool,
    /// May be chosen by the viewer's language.
    pub autoselect: bool,
    /// Subtitles of what is said in another language than the sound's.
    pub forced: bool,
    /// `STABLE-RENDITION-ID`.
    pub stable_id: Option<String>,
    /// Captions in the pictures: which of them (`CC1` to `CC4`, `SERVICE1` to `SERVICE63`).
    pub instream_id: Option<String>,
    /// Its media playlist; `None` when its media are in the variants' segments.
    pub url: Option<Url>,
}

/// One `EXT-X-I-FRAME-STREAM-INF` that has an address.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyFrames {
    /// Peak in bit/s; 0 where the playlist does not say.
    pub bandwidth: u64,
    /// RFC 6381 strings.
    pub codecs: Option<String>,
    /// Pixels and lines.
    pub resolution: Option<(u32, u32)>,
    /// The pathway that it belongs to.
    pub pathway: Option<String>,
    /// Its media playlist.
    pub url: Url,
}

/// A multivariant playlist.
#[derive(Clone, Debug, PartialEq)]
pub struct Multivariant {
    /// In file order.
    pub variants: Vec<Variant>,
    /// In file order.
    pub media: Vec<Media>,
    /// Playlists of small pictures (`EXT-X-IMAGE-STREAM-INF`): bit/s and address.
    pub images: Vec<(u64, Url)>,
    /// Playlists of key frames, in file order.
    pub key_frames: Vec<KeyFrames>,
    /// Number of `EXT-X-I-FRAME-STREAM-INF`.
    pub iframe_variants: usize,
    /// Who says which pathway is used.
    pub steering: Option<ContentSteering>,
    /// What it defines for the media playlists that it lists.
    pub variables: Variables,
    warnings: Warnings,
}

/// What is read here of an `EXT-X-STREAM-INF`.
struct ReadVariant {
    line: usize,
    bandwidth: Option<u64>,
    captions: Option<String>,
    pathway: Option<String>,
    stable_id: Option<String>,
    url: Option<Url>,
}

/// What is read here of an `EXT-X-MEDIA`.
struct ReadMedia {
    group: String,
    name: String,
    url: Option<Url>,
    forced: bool,
    stable_id: Option<String>,
    instream_id: Option<String>,
}

/// Most variants and renditions that are read.
const MOST: usize = 100_000;

impl Multivariant {
    /// What was odd but could be read.
    pub fn warnings(&self) -> &[Warning] {
        self.warnings.list()
    }

    /// Reads one that was loaded from `url`.
    pub(crate) fn parse(text: &str, url: &Url) -> Result<Self, Error> {
        let mut variables = Variables::default();
        let mut warnings = Warnings::default();
        let mut entries = Entries::new();
        let mut variants: Vec<ReadVariant> = Vec::new();
        let mut media: Vec<ReadMedia> = Vec::new();
        let mut steering = None;
        let mut images = Vec::new();
        let mut iframe_variants = 0;
        let mut key_frames = Vec::new();
        let mut waiting = false;
        for line in Lines::new(text) {
            let number = line.number;
            let Some((name, value)) = tag(line.text) else {
                if line.text.starts_with('#') {
                    continue;
                }
                let uri = variables.substitute(number, line.text)?;
                match variants.last_mut() {
                    Some(variant) if waiting => variant.url = Some(resolve(url, &uri, number)?),
                    _ => warnings.push(number, || "an address without EXT-X-STREAM-INF is left out".into()),
                }
                waiting = false;
                continue;
            };
            match name {
                "EXT-X-DEFINE" => {
                    let value = variables.substitute(number, value)?.into_owned();
                    variables.define(number, &Attributes::new(&value), url, None)?;
                }
                "EXT-X-STREAM-INF" => {
                    let value = variables.substitute(number, value)?;
                    let list = Attributes::new(&value);
                    let bandwidth = list.integer("BANDWIDTH");
                    if bandwidth.is_none() {
                        warnings
                            .push(number, || "EXT-X-STREAM-INF has no BANDWIDTH, which it must have".into());
                    }
                    if std::mem::replace(&mut waiting, true) {
                        warnings.push(number, || "the variant before this one has no address".into());
                    }
                    entries.variant(&list, bandwidth);
                    let text = |name| list.text(name).map(str::to_owned);
                    variants.push(ReadVariant {
                        line: number,
                        bandwidth,
                        captions: text("CLOSED-CAPTIONS").filter(|group| group != "NONE"),
                        pathway: text("PATHWAY-ID"),
                        stable_id: text("STABLE-VARIANT-ID"),
                        url: None,
                    });
                }
                "EXT-X-MEDIA" => {
                    let value = variables.substitute(number, value)?;
                    let list = Attributes::new(&value);
                    if !entries.media(&list) {
                        warnings.push(number, || "EXT-X-MEDIA of an unknown TYPE is left out".into());
                        continue;
                    }
                    let text = |name| list.get(name).unwrap_or_default().to_owned();
                    if list.text("GROUP-ID").is_none() || list.text("NAME").is_none() {
                        warnings.push(number, || "EXT-X-MEDIA lacks GROUP-ID or NAME".into());
                    }
                    let uri = list.text("URI").map(|uri| resolve(url, uri, number)).transpose()?;
                    let known = |name| list.text(name).map(str::to_owned);
                    media.push(ReadMedia {
                        group: text("GROUP-ID"),
                        name: text("NAME"),
                        url: uri,
                        forced: list.yes("FORCED"),
                        stable_id: known("STABLE-RENDITION-ID"),
                        instream_id: known("INSTREAM-ID"),
                    });
                }
                "EXT-X-I-FRAME-STREAM-INF" => {
                    iframe_variants += 1;
                    let value = variables.substitute(number, value)?;
                    let list = Attributes::new(&value);
                    // One that cannot be used is no reason not to play.
                    let address = list.text("URI").and_then(|uri| resolve(url, uri, number).ok());
                    if let Some(address) = address {
                        let text = |name| list.text(name).map(str::to_owned);
                        let resolution = list.text("RESOLUTION").and_then(|it| it.split_once(['x', 'X']));
                        key_frames.push(KeyFrames {
                            bandwidth: list.integer("BANDWIDTH").unwrap_or(0),
                            codecs: text("CODECS"),
                            resolution: resolution
                                .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?))),
                            pathway: text("PATHWAY-ID"),
                            url: address,
                        });
                    }
                }
                "EXT-X-IMAGE-STREAM-INF" => {
                    let value = variables.substitute(number, value)?;
                    let list = Attributes::new(&value);
                    if let Some(uri) = list.text("URI") {
                        images.push((list.integer("BANDWIDTH").unwrap_or(0), resolve(url, uri, number)?));
                    }
                }
                "EXT-X-CONTENT-STEERING" => {
                    let value = variables.substitute(number, value)?;
                    let list = Attributes::new(&value);
                    match list.text("SERVER-URI").map(|uri| resolve(url, uri, number)) {
                        Some(Ok(server)) => {
                            let first = list.text("PATHWAY-ID").map(str::to_owned).into_iter().collect();
                            steering = Some(ContentSteering { server, first, before_start: false });
                        }
                        Some(Err(reason)) => warnings.push(number, || reason.to_string()),
                        None => warnings.push(number, || {
                            "EXT-X-CONTENT-STEERING has no SERVER-URI, it is left out".into()
                        }),
                    }
                }
                _ if kind_of(name) == Some(Kind::Media) => {
                    if is_decisive(name) {
                        return Err(misplaced(number, name, Kind::Multivariant));
                    }
                    warnings.push(number, || format!("{name} has no meaning among variants; it is left out"));
                }
                _ => {}
            }
            if variants.len() + media.len() + images.len() + key_frames.len() > MOST {
                return Err(Error::TooLarge { what: "variants and renditions", limit: MOST });
            }
        }
        if waiting {
            warnings.push(variants.last().map_or(0, |variant| variant.line), || {
                "the last variant has no address".into()
            });
        }
        let (streams, tags) = entries.parse()?;
        let variants = streams
            .into_iter()
            .zip(variants)
            .map(|(stream, read)| Variant {
                bandwidth: read.bandwidth.map(|_| stream.bandwidth),
                average_bandwidth: stream.average_bandwidth,
                codecs: stream.codecs,
                resolution: stream.resolution,
                frame_rate: stream.frame_rate,
                audio: stream.audio,
                subtitles: stream.subtitles,
                video_range: stream.video_range,
                captions: read.captions,
                pathway: read.pathway,
                stable_id: read.stable_id,
                url: read.url,
                line: read.line,
            })
            .collect();
        let media = tags
            .into_iter()
            .zip(media)
            .map(|(tag, read)| Media {
                kind: tag.kind,
                group: read.group,
                name: read.name,
                language: tag.language,
                channels: tag.channels,
                default: tag.default,
                autoselect: tag.autoselect,
                forced: read.forced,
                stable_id: read.stable_id,
                instream_id: read.instream_id,
                url: read.url,
            })
            .collect();
        Ok(Self { variants, media, images, key_frames, iframe_variants, steering, variables, warnings })
    }
}

/// Longest address, in bytes; some hold a whole initialization segment (`data:`).
pub(super) const LONGEST_URI: usize = 1 << 20;

/// `uri` against the playlist's own address.
pub(super) fn resolve(base: &Url, uri: &str, line: usize) -> Result<Url, Error> {
    if uri.len() > LONGEST_URI {
        let what = format_args!("an address of {} bytes; {LONGEST_URI} are the most that is read", uri.len());
        return Err(Error::syntax(line, what));
    }
    base.join(uri).map_err(|reason| {
        Error::syntax(
            line,
            format_args!("the address {:?} cannot be used ({reason})", crate::error::one_line(uri, 80)),
        )
    })
}
