//! The MPD as a tree of what a player needs, inheritance resolved.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use roxmltree::Node;
use url::Url;

use super::{
    addressing::{Addressing, Kind, ListEntry, Named},
    timeline::{Entry, Timeline},
    xml::{self, child, children, duration, integer, text},
};
use crate::{
    Error, Warning,
    error::Warnings,
    mirror::{self, Address, Mirror},
    steering::ContentSteering,
    time,
};

/// What a Representation carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Video,
    Audio,
    Text,
    Image,
    Other,
}

impl Content {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Text => "text",
            Self::Image => "image",
            Self::Other => "other",
        }
    }
}

/// One Representation.
#[derive(Clone, Debug)]
pub(crate) struct Representation {
    pub(crate) id: String,
    pub(crate) bandwidth: Option<u64>,
    pub(crate) content: Content,
    pub(crate) codecs: Option<String>,
    pub(crate) width: Option<u32>,
    pub(crate) height: Option<u32>,
    pub(crate) frame_rate: Option<f64>,
    pub(crate) base: Url,
    /// A BaseURL stands on some level.
    pub(crate) has_base: bool,
    pub(crate) addressing: Addressing,
    /// How it is protected, by the name that the manifest uses.
    pub(crate) protection: Option<String>,
}

impl Representation {
    /// Bytes of text that it holds, inherited ones included.
    fn weight(&self) -> usize {
        let addressing = &self.addressing;
        let texts = [&self.codecs, &self.protection, &addressing.media, &addressing.init_template];
        texts.iter().map(|text| text.as_ref().map_or(0, String::len)).sum::<usize>()
            + 2 * self.base.as_str().len()
    }
}

/// Most Representations that are read.
const MOST_REPRESENTATIONS: usize = 100_000;
/// Most bytes of text that they may hold together: what is inherited multiplies.
const MOST_BYTES: usize = 128 * 1024 * 1024;
/// Longest address or template.
const LONGEST_TEXT: usize = 16 * 1024;

/// One AdaptationSet.
#[derive(Clone, Debug)]
pub(crate) struct AdaptationSet {
    pub(crate) id: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) roles: Vec<String>,
    /// Pictures for fast forward, not for playing.
    pub(crate) trick: bool,
    /// Columns and rows of small pictures in each image (DASH-IF IOP, 6.2.6).
    pub(crate) tiles: Option<(u32, u32)>,
    /// Ids of other sets that a player may switch to.
    pub(crate) switching: Vec<String>,
    /// CEA-608 in its pictures: channel and language.
    pub(crate) captions: Vec<(String, Option<String>)>,
    pub(crate) representations: Vec<Representation>,
}

/// One Period.
#[derive(Clone, Debug)]
pub(crate) struct Period {
    pub(crate) id: Option<String>,
    /// From the presentation's start.
    pub(crate) start: Duration,
    /// `None` while it is not known.
    pub(crate) duration: Option<Duration>,
    pub(crate) sets: Vec<AdaptationSet>,
}

/// A whole MPD.
#[derive(Clone, Debug)]
pub(crate) struct Mpd {
    pub(crate) dynamic: bool,
    /// `@mediaPresentationDuration`.
    pub(crate) duration: Option<Duration>,
    /// `@availabilityStartTime`, in seconds since the Unix epoch.
    pub(crate) available_from: Option<f64>,
    pub(crate) window: Option<Duration>,
    pub(crate) update_after: Option<Duration>,
    pub(crate) suggested_delay: Option<Duration>,
    pub(crate) max_segment: Option<Duration>,
    /// `ServiceDescription/Latency@target`.
    pub(crate) latency: Option<Duration>,
    /// `UTCTiming`: scheme and value.
    pub(crate) clocks: Vec<(String, String)>,
    /// Where to reload it from.
    pub(crate) location: Option<Url>,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) steering: Option<ContentSteering>,
    pub(crate) periods: Vec<Period>,
    warnings: Warnings,
}

impl Mpd {
    pub(crate) fn warnings(&self) -> &[Warning] {
        self.warnings.list()
    }

    /// End of the presentation, where it is known.
    pub(crate) fn end(&self) -> Option<Duration> {
        self.duration.or_else(|| {
            let last = self.periods.last()?;
            Some(last.start.saturating_add(last.duration?))
        })
    }

    pub(crate) fn parse(text_of: &str, url: &Url) -> Result<Self, Error> {
        // An XML declaration must stand first, but blank lines before it do occur.
        let declared = xml::declared(text_of.trim_start())?;
        let text_of = &*declared;
        let document = xml::document(text_of)?;
        let root = document.root_element();
        if root.tag_name().name() != "MPD" {
            return Err(Error::NotAManifest(format!(
                "<{}>",
                crate::error::one_line(root.tag_name().name(), 40)
            )));
        }
        let mut warnings = Warnings::default();
        let steering = steering(root, url);
        let base = Base::new(url, steering.is_some()).below(root, &mut warnings);
        // Which segments there are does not depend on these.
        let mut hint = |name| {
            duration(root, name).unwrap_or_else(|reason| {
                warnings.push(root.range().start, || reason.to_string());
                None
            })
        };
        let latency = child(root, "ServiceDescription")
            .and_then(|service| child(service, "Latency"))
            .and_then(|latency| text(latency, "target")?.parse::<u64>().ok())
            .map(Duration::from_millis);
        let mut mpd = Self {
            dynamic: text(root, "type") == Some("dynamic"),
            duration: duration(root, "mediaPresentationDuration")?,
            available_from: text(root, "availabilityStartTime").and_then(time::xs_date_time),
            window: hint("timeShiftBufferDepth"),
            update_after: hint("minimumUpdatePeriod"),
            suggested_delay: hint("suggestedPresentationDelay"),
            max_segment: hint("maxSegmentDuration"),
            latency,
            clocks: children(root, "UTCTiming")
                .filter_map(|clock| {
                    Some((text(clock, "schemeIdUri")?.to_owned(), text(clock, "value")?.to_owned()))
                })
                .take(100)
                .collect(),
            location: child(root, "Location")
                .and_then(|location| url.join(xml::content(location).trim()).ok()),
            mirrors: Vec::new(),
            steering,
            periods: Vec::new(),
            warnings: Warnings::default(),
        };
        let nodes: Vec<Node<'_, '_>> = children(root, "Period").collect();
        let starts: Vec<Option<Duration>> =
            nodes.iter().map(|period| duration(*period, "start")).collect::<Result<_, _>>()?;
        let mut end = Some(Duration::ZERO);
        let (mut count, mut held) = (0, 0);
        for (at, node) in nodes.iter().enumerate() {
            let start = match starts.get(at).copied().flatten().or(end) {
                Some(start) => start,
                None => {
                    warnings.push(node.range().start, || {
                        "the start of this Period is not known; taken as 0".into()
                    });
                    Duration::ZERO
                }
            };
            let next = starts.get(at + 1).copied().flatten();
            let is_last = at + 1 == nodes.len();
            // Some packagers count the whole duration from the first Period, not from zero.
            let till = |whole: Duration| {
                let first = starts.first().copied().flatten().unwrap_or_default();
                let from = if whole > start { start } else { start.saturating_sub(first) };
                whole.checked_sub(from).filter(|length| !length.is_zero())
            };
            let length = duration(*node, "duration")?
                .or_else(|| Some(next?.saturating_sub(start)))
                .or_else(|| mpd.duration.filter(|_| is_last).and_then(till));
            end = length.map(|length| start.saturating_add(length).min(time::LONGEST));
            let period = period(*node, start, length, &base, &mut warnings)?;
            for representation in period.sets.iter().flat_map(|set| &set.representations) {
                count += 1;
                held += representation.weight();
                if count > MOST_REPRESENTATIONS || held > MOST_BYTES {
                    return Err(Error::TooLarge {
                        what: "representations",
                        limit: MOST_REPRESENTATIONS.min(count),
                    });
                }
            }
            mpd.periods.push(period);
        }
        if mpd.periods.is_empty() {
            return Err(Error::incomplete("the MPD has no Period", "check that the stream has started"));
        }
        warnings.offsets_to_lines(text_of);
        mpd.mirrors = base.mirrors.take();
        mpd.warnings = warnings;
        Ok(mpd)
    }
}

/// Address that relative references stand on.
#[derive(Clone)]
struct Base {
    url: Url,
    given: bool,
    /// A steering server says which of several is used.
    steered: bool,
    /// Where several are given side by side; of the whole MPD.
    mirrors: Rc<RefCell<Vec<Mirror>>>,
}

impl Base {
    fn new(url: &Url, steered: bool) -> Self {
        Self { url: url.clone(), given: false, steered, mirrors: Rc::default() }
    }

    /// The base for what is inside `node`: its first BaseURL counts, those beside it are kept for when that fails.
    fn below(&self, node: Node<'_, '_>, warnings: &mut Warnings) -> Self {
        let Some(element) = child(node, "BaseURL") else { return self.clone() };
        let written = |element: Node<'_, '_>| {
            let mut reference = xml::content(element).trim().to_owned();
            if reference.len() > LONGEST_TEXT {
                reference
                    .truncate((0..=LONGEST_TEXT).rfind(|at| reference.is_char_boundary(*at)).unwrap_or(0));
            }
            reference
        };
        let reference = &*written(element);
        match self.url.join(reference) {
            Ok(url) => {
                let all = children(node, "BaseURL").filter_map(|base| {
                    let url = self.url.join(&written(base)).ok()?;
                    let location = text(base, "serviceLocation").filter(|_| self.steered);
                    Some(Address { url, pathway: location.map(str::to_owned) })
                });
                let mut mirrors = self.mirrors.borrow_mut();
                if mirrors.len() < mirror::MOST
                    && let Some(mirror) = Mirror::of(all, None)
                    && !mirrors.contains(&mirror)
                {
                    mirrors.push(mirror);
                }
                Self { url, given: true, steered: self.steered, mirrors: Rc::clone(&self.mirrors) }
            }
            Err(reason) => {
                let reference = crate::error::one_line(reference, 60);
                warnings.push(element.range().start, || {
                    format!("the BaseURL {reference:?} cannot be used ({reason})")
                });
                self.clone()
            }
        }
    }
}

/// `ContentSteering` (ETSI TS 103 998, 5.2).
fn steering(root: Node<'_, '_>, url: &Url) -> Option<ContentSteering> {
    let node = child(root, "ContentSteering")?;
    let server = url.join(xml::content(node).trim()).ok()?;
    let first = text(node, "defaultServiceLocation").unwrap_or_default();
    Some(ContentSteering {
        server,
        first: first.split_whitespace().take(mirror::MOST).map(str::to_owned).collect(),
        before_start: text(node, "queryBeforeStart") == Some("true"),
    })
}

fn period(
    node: Node<'_, '_>,
    start: Duration,
    length: Option<Duration>,
    base: &Base,
    warnings: &mut Warnings,
) -> Result<Period, Error> {
    let base = base.below(node, warnings);
    let addressing = addressing(node, &Addressing::default())?;
    let mut sets = Vec::new();
    for set in children(node, "AdaptationSet") {
        sets.push(adaptation_set(set, &base, &addressing, warnings)?);
    }
    Ok(Period { id: text(node, "id").map(str::to_owned), start, duration: length, sets })
}

fn adaptation_set(
    node: Node<'_, '_>,
    base: &Base,
    inherited: &Addressing,
    warnings: &mut Warnings,
) -> Result<AdaptationSet, Error> {
    let base = base.below(node, warnings);
    let inherited = addressing(node, inherited)?;
    let roles: Vec<String> =
        children(node, "Role").filter_map(|role| text(role, "value")).take(100).map(str::to_owned).collect();
    let property = |names: [&'static str; 2], scheme: &str| {
        names
            .into_iter()
            .flat_map(|name| children(node, name))
            .find(|property| text(*property, "schemeIdUri").is_some_and(|uri| uri.contains(scheme)))
    };
    let both = ["EssentialProperty", "SupplementalProperty"];
    let switching = property(both, "adaptation-set-switching")
        .and_then(|property| text(property, "value"))
        .map(|ids| ids.split(',').take(100).map(|id| id.trim().to_owned()).collect());
    let own = protection(node);
    let component = child(node, "ContentComponent").and_then(|component| text(component, "contentType"));
    let mut representations = Vec::new();
    for representation_node in children(node, "Representation") {
        let base = base.below(representation_node, warnings);
        let addressing = addressing(representation_node, &inherited)?.settled();
        let either = |name: &str| text(representation_node, name).or_else(|| text(node, name));
        let small = |name: &str| either(name).and_then(|value| value.parse::<u32>().ok());
        let bandwidth = text(representation_node, "bandwidth").and_then(xml::whole);
        if bandwidth.is_none() {
            warnings.push(representation_node.range().start, || {
                "Representation has no @bandwidth, which it must have".into()
            });
        }
        representations.push(Representation {
            id: text(representation_node, "id").unwrap_or_default().to_owned(),
            bandwidth,
            content: content(node, representation_node, &roles, component),
            codecs: either("codecs").map(str::to_owned),
            width: small("width"),
            height: small("height"),
            frame_rate: either("frameRate").and_then(rate),
            base: base.url,
            has_base: base.given,
            addressing,
            protection: protection(representation_node).or_else(|| own.clone()),
        });
    }
    let label = child(node, "Label").and_then(|label| label.text()).map(|label| label.trim().to_owned());
    Ok(AdaptationSet {
        id: text(node, "id").map(str::to_owned),
        language: text(node, "lang").map(str::to_owned),
        label: label.or_else(|| text(node, "label").map(str::to_owned)),
        trick: property(both, "trickmode").is_some(),
        tiles: tiles(node),
        switching: switching.unwrap_or_default(),
        roles,
        captions: captions(node),
        representations,
    })
}

/// CEA-608 in the pictures of a set (ANSI/SCTE 214-1, 7.2): `CC1=eng;CC3=swe`, or languages alone.
fn captions(set: Node<'_, '_>) -> Vec<(String, Option<String>)> {
    let is_captions = |node: &Node<'_, '_>| {
        text(*node, "schemeIdUri").is_some_and(|scheme| scheme.starts_with("urn:scte:dash:cc:cea-608:"))
    };
    let Some(node) = children(set, "Accessibility").find(is_captions) else { return Vec::new() };
    let value = text(node, "value").unwrap_or_default();
    let written = value.split(';').map(str::trim).take(4).enumerate();
    let captions = written.map(|(at, part)| {
        let (channel, language) = match part.split_once('=') {
            Some((channel, language)) => (channel.trim().to_owned(), language.trim()),
            None => (format!("CC{}", at * 2 + 1), part),
        };
        (channel, Some(language.to_owned()).filter(|language| !language.is_empty()))
    });
    captions.collect()
}

/// `10x5`, of the set or of its first Representation.
fn tiles(set: Node<'_, '_>) -> Option<(u32, u32)> {
    let nodes = std::iter::once(set).chain(children(set, "Representation"));
    let said = nodes.flat_map(|node| {
        children(node, "EssentialProperty").chain(children(node, "SupplementalProperty")).collect::<Vec<_>>()
    });
    let tiles = said.into_iter().find(|property| {
        text(*property, "schemeIdUri")
            .is_some_and(|scheme| scheme.ends_with("//dashif.org/guidelines/thumbnail_tile"))
    })?;
    let (columns, rows) = text(tiles, "value")?.split_once('x')?;
    let count = |text: &str| text.trim().parse().ok().filter(|count| (1..=100).contains(count));
    Some((count(columns)?, count(rows)?))
}

/// `30000/1001` or `25`.
fn rate(text: &str) -> Option<f64> {
    let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
    let rate = numerator.trim().parse::<f64>().ok()? / denominator.trim().parse::<f64>().ok()?;
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

/// The scheme's `value` (`cenc`, `cbcs`) where it has one, else the scheme.
fn protection(node: Node<'_, '_>) -> Option<String> {
    let all: Vec<Node<'_, '_>> = children(node, "ContentProtection").take(100).collect();
    let first = *all.first()?;
    let common =
        all.iter().find(|p| text(**p, "schemeIdUri").is_some_and(|uri| uri.contains("mp4protection")));
    let named = common.and_then(|p| text(*p, "value")).or_else(|| text(first, "schemeIdUri"));
    Some(named.unwrap_or("ContentProtection").to_owned())
}

fn content(
    set: Node<'_, '_>,
    representation: Node<'_, '_>,
    roles: &[String],
    component: Option<&str>,
) -> Content {
    let either = |name: &str| text(representation, name).or_else(|| text(set, name)).unwrap_or_default();
    let (codecs, mime) = (either("codecs"), either("mimeType").to_ascii_lowercase());
    let codec = codecs.split(['.', ',']).next().unwrap_or_default().trim().to_ascii_lowercase();
    if matches!(codec.as_str(), "stpp" | "wvtt" | "stpc")
        || mime.contains("ttml")
        || mime.contains("vtt")
        || mime.contains("subrip")
    {
        return Content::Text;
    }
    let declared = text(representation, "contentType").or_else(|| text(set, "contentType")).or(component);
    let major = declared.unwrap_or_else(|| mime.split('/').next().unwrap_or_default());
    match major.to_ascii_lowercase().as_str() {
        "video" => return Content::Video,
        "audio" => return Content::Audio,
        "text" => return Content::Text,
        "image" => return Content::Image,
        _ => {}
    }
    match codec.as_str() {
        "avc1" | "avc3" | "hvc1" | "hev1" | "av01" | "vp09" | "vp8" | "vp9" | "dvh1" | "dvhe" | "vvc1"
        | "mp4v" => Content::Video,
        "mp4a" | "ac-3" | "ec-3" | "ac-4" | "opus" | "flac" | "dtsc" | "dtse" | "mhm1" => Content::Audio,
        _ if roles.iter().any(|role| role == "subtitle" || role == "caption") => Content::Text,
        _ => Content::Other,
    }
}

/// What `node` says of its segments, on top of what stands above it.
fn addressing(node: Node<'_, '_>, inherited: &Addressing) -> Result<Addressing, Error> {
    let found =
        [("SegmentTemplate", Kind::Template), ("SegmentList", Kind::List), ("SegmentBase", Kind::Base)]
            .into_iter()
            .find_map(|(name, kind)| Some((child(node, name)?, kind)));
    let Some((element, kind)) = found else { return Ok(inherited.clone()) };
    // Another way of addressing replaces the one above; the same way adds to it.
    let mut out = if inherited.kind == kind || inherited.kind == Kind::Whole {
        inherited.clone()
    } else {
        Addressing {
            timescale: inherited.timescale,
            offset: inherited.offset,
            ept_delta: inherited.ept_delta,
            duration: inherited.duration,
            start_number: inherited.start_number,
            timeline: inherited.timeline.clone(),
            unsplit: inherited.unsplit.clone(),
            init: inherited.init.clone(),
            ..Addressing::default()
        }
    };
    out.kind = kind;
    out.timescale = integer(element, "timescale")?.or(out.timescale);
    if let Some(scale) =
        text(element, "timescale").filter(|scale| scale.trim_end_matches(['0', '.']).contains('.'))
    {
        // Half a tick of it would be felt.
        return Err(xml::wrong(element, "timescale", "a whole number", scale));
    }
    out.offset = integer(element, "presentationTimeOffset")?.or(out.offset);
    out.start_number = integer(element, "startNumber")?.or(out.start_number);
    out.end_number = integer(element, "endNumber")?.or(out.end_number);
    if let Some(duration) = integer(element, "duration")? {
        out.duration = Some(duration);
        (out.timeline, out.unsplit) = (None, None);
    }
    out.ept_delta = text(element, "eptDelta").and_then(|delta| delta.parse().ok()).or(out.ept_delta);
    out.early = text(element, "availabilityTimeOffset")
        .and_then(|early| if early == "INF" { Some(f64::INFINITY) } else { early.parse().ok() })
        .or(out.early);
    out.early_whole =
        text(element, "availabilityTimeComplete").map(|complete| complete != "false").or(out.early_whole);
    if let Some(range) = xml::range(element, "indexRange") {
        out.index_range = Some(range);
    }
    if let Some(media) = text(element, "media") {
        out.media = Some(media.to_owned());
    }
    if let Some(init) = text(element, "initialization") {
        out.init_template = Some(init.to_owned());
    }
    if let Some(init) = child(element, "Initialization") {
        let url = text(init, "sourceURL").map(str::to_owned);
        out.init = Some(Named { url, range: xml::range(init, "range") });
    }
    if let Some(timeline) = child(element, "SegmentTimeline") {
        // There may be millions, which are not kept beside the timeline.
        let (mut problem, mut split) = (None, false);
        let read = Timeline::new(children(timeline, "S").map_while(|entry| match run(entry) {
            Ok(run) => {
                split |= run.sequence.is_some_and(|sequence| sequence > 1);
                Some(run)
            }
            Err(error) => {
                problem = Some(error);
                None
            }
        }));
        if let Some(problem) = problem {
            return Err(problem);
        }
        let entries = children(timeline, "S").map_while(|entry| run(entry).ok());
        let unsplit = || Timeline::new(entries.map(|entry| Entry { sequence: None, ..entry }));
        out.unsplit = split.then(|| Arc::new(unsplit()));
        out.timeline = Some(Arc::new(read));
    }
    if kind == Kind::List {
        let list: Vec<ListEntry> = children(element, "SegmentURL")
            .map(|entry| ListEntry {
                media: text(entry, "media").map(str::to_owned),
                range: xml::range(entry, "mediaRange"),
            })
            .collect();
        if !list.is_empty() || out.list.is_none() {
            out.list = Some(Arc::new(list));
        }
    }
    Ok(out)
}

/// What an `S` says.
fn run(entry: Node<'_, '_>) -> Result<Entry, Error> {
    // One walk over the attributes instead of a search for each.
    let mut out = Entry::default();
    let mut length = None;
    for attribute in entry.attributes().filter(|attribute| attribute.namespace().is_none()) {
        let value = attribute.value().trim();
        let wrong = || xml::wrong(entry, attribute.name(), "a whole number", value);
        match attribute.name() {
            "t" => out.time = Some(xml::whole(value).ok_or_else(wrong)?),
            "d" => length = Some(xml::whole(value).ok_or_else(wrong)?),
            "r" => out.repeat = value.parse().map_err(|_| wrong())?,
            "n" => out.number = Some(xml::whole(value).ok_or_else(wrong)?),
            "k" => out.sequence = Some(xml::whole(value).ok_or_else(wrong)?),
            _ => {}
        }
    }
    out.duration =
        length.ok_or_else(|| Error::syntax(xml::line(entry), "S has no @d, the segment's duration"))?;
    Ok(out)
}
