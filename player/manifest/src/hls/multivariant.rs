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
use crate::{Error, Warning, error::Warnings};

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
    /// Its media playlist; `None` when its media are in the variants' segments.
    pub url: Option<Url>,
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
    /// Number of `EXT-X-I-FRAME-STREAM-INF`.
    pub iframe_variants: usize,
    /// What it defines for the media playlists that it lists.
    pub variables: Variables,
    warnings: Warnings,
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
        let mut variants: Vec<(usize, Option<u64>, Option<Url>)> = Vec::new();
        let mut media: Vec<(String, String, Option<Url>, bool)> = Vec::new();
        let mut images = Vec::new();
        let mut iframe_variants = 0;
        let mut waiting = false;
        for line in Lines::new(text) {
            let number = line.number;
            let Some((name, value)) = tag(line.text) else {
                if line.text.starts_with('#') {
                    continue;
                }
                let uri = variables.substitute(number, line.text)?;
                match variants.last_mut() {
                    Some(variant) if waiting => variant.2 = Some(resolve(url, &uri, number)?),
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
                    variants.push((number, bandwidth, None));
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
                    media.push((text("GROUP-ID"), text("NAME"), uri, list.yes("FORCED")));
                }
                "EXT-X-I-FRAME-STREAM-INF" => iframe_variants += 1,
                "EXT-X-IMAGE-STREAM-INF" => {
                    let value = variables.substitute(number, value)?;
                    let list = Attributes::new(&value);
                    if let Some(uri) = list.text("URI") {
                        images.push((list.integer("BANDWIDTH").unwrap_or(0), resolve(url, uri, number)?));
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
            if variants.len() + media.len() + images.len() > MOST {
                return Err(Error::TooLarge { what: "variants and renditions", limit: MOST });
            }
        }
        if waiting {
            warnings.push(variants.last().map_or(0, |variant| variant.0), || {
                "the last variant has no address".into()
            });
        }
        let (streams, tags) = entries.parse()?;
        let variants = streams
            .into_iter()
            .zip(variants)
            .map(|(stream, (line, bandwidth, url))| Variant {
                bandwidth: bandwidth.map(|_| stream.bandwidth),
                average_bandwidth: stream.average_bandwidth,
                codecs: stream.codecs,
                resolution: stream.resolution,
                frame_rate: stream.frame_rate,
                audio: stream.audio,
                subtitles: stream.subtitles,
                video_range: stream.video_range,
                url,
                line,
            })
            .collect();
        let media = tags
            .into_iter()
            .zip(media)
            .map(|(tag, (group, name, url, forced))| Media {
                kind: tag.kind,
                group,
                name,
                language: tag.language,
                channels: tag.channels,
                default: tag.default,
                autoselect: tag.autoselect,
                forced,
                url,
            })
            .collect();
        Ok(Self { variants, media, images, iframe_variants, variables, warnings })
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
