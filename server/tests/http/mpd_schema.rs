//! What the schema of ISO/IEC 23009-1 (the 4th edition's DASH-MPD.xsd) says of the elements that our manifests are made
//! of: which attributes they may have, of which type, which they must have, and which children in which order.

use roxmltree::{Document, Node};

/// A type of attribute.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Anything.
    Text,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// xs:unsignedInt
    U32,
    /// xs:unsignedLong
    U64,
    /// xs:integer
    Integer,
    /// xs:double
    Number,
    /// xs:boolean
    Bool,
    /// xs:duration, as we write it
    Duration,
    /// xs:dateTime with its zone
    Time,
    /// xs:language
    Language,
    /// Without white space
    Word,
    /// Pictures a second
    FrameRate,
    /// URNs and addresses, comma-separated
    Profiles,
    /// 0 to 6
    Sap,
    /// One or two
    SamplingRates,
}

use Kind::*;

struct Rule {
    element: &'static str,
    /// Those with a mark must be there.
    attributes: &'static [(&'static str, Kind, bool)],
    /// In this order.
    children: &'static [&'static str],
}

const MUST: bool = true;
const MAY: bool = false;

/// Attributes and children that adaptation sets and representations share.
const COMMON: &[(&str, Kind, bool)] = &[
    ("profiles", Profiles, MAY),
    ("width", U32, MAY),
    ("height", U32, MAY),
    ("frameRate", FrameRate, MAY),
    ("audioSamplingRate", SamplingRates, MAY),
    ("mimeType", Text, MAY),
    ("codecs", Text, MAY),
    ("startWithSAP", Sap, MAY),
];
const COMMON_CHILDREN: &[&str] = &[
    "FramePacking",
    "AudioChannelConfiguration",
    "ContentProtection",
    "EssentialProperty",
    "SupplementalProperty",
    "InbandEventStream",
    "Switching",
    "RandomAccess",
    "GroupLabel",
    "Label",
    "ProducerReferenceTime",
    "ContentPopularityRate",
];

const DESCRIPTOR: &[(&str, Kind, bool)] =
    &[("schemeIdUri", Text, MUST), ("value", Text, MAY), ("id", Text, MAY)];

const RULES: &[Rule] = &[
    Rule {
        element: "MPD",
        attributes: &[
            ("id", Text, MAY),
            ("profiles", Profiles, MUST),
            ("type", OneOf(&["static", "dynamic"]), MAY),
            ("availabilityStartTime", Time, MAY),
            ("availabilityEndTime", Time, MAY),
            ("publishTime", Time, MAY),
            ("mediaPresentationDuration", Duration, MAY),
            ("minimumUpdatePeriod", Duration, MAY),
            ("minBufferTime", Duration, MUST),
            ("timeShiftBufferDepth", Duration, MAY),
            ("suggestedPresentationDelay", Duration, MAY),
            ("maxSegmentDuration", Duration, MAY),
        ],
        children: &[
            "ProgramInformation",
            "BaseURL",
            "Location",
            "ServiceDescription",
            "InitializationSet",
            "Period",
            "Metrics",
            "EssentialProperty",
            "SupplementalProperty",
            "UTCTiming",
            "LeapSecondInformation",
        ],
    },
    Rule {
        element: "ServiceDescription",
        attributes: &[("id", U32, MAY)],
        children: &["Scope", "Latency", "PlaybackRate", "OperatingQuality", "OperatingBandwidth"],
    },
    Rule {
        element: "Latency",
        attributes: &[("referenceId", U32, MAY), ("target", U32, MAY), ("max", U32, MAY), ("min", U32, MAY)],
        children: &["QualityLatency"],
    },
    Rule {
        element: "PlaybackRate",
        attributes: &[("max", Number, MAY), ("min", Number, MAY)],
        children: &[],
    },
    Rule {
        element: "Period",
        attributes: &[("id", Text, MAY), ("start", Duration, MAY), ("duration", Duration, MAY)],
        children: &[
            "BaseURL",
            "SegmentBase",
            "SegmentList",
            "SegmentTemplate",
            "AssetIdentifier",
            "EventStream",
            "ServiceDescription",
            "AdaptationSet",
            "Subset",
            "SupplementalProperty",
        ],
    },
    Rule {
        element: "AdaptationSet",
        attributes: &[
            ("id", U32, MAY),
            ("group", U32, MAY),
            ("lang", Language, MAY),
            ("contentType", OneOf(&["text", "image", "audio", "video", "application", "font"]), MAY),
            ("segmentAlignment", Bool, MAY),
            ("subsegmentAlignment", Bool, MAY),
            ("bitstreamSwitching", Bool, MAY),
        ],
        children: &[
            "Accessibility",
            "Role",
            "Rating",
            "Viewpoint",
            "ContentComponent",
            "BaseURL",
            "SegmentBase",
            "SegmentList",
            "SegmentTemplate",
            "Representation",
        ],
    },
    Rule {
        element: "Representation",
        attributes: &[("id", Word, MUST), ("bandwidth", U32, MUST), ("qualityRanking", U32, MAY)],
        children: &["BaseURL", "SubRepresentation", "SegmentBase", "SegmentList", "SegmentTemplate"],
    },
    Rule { element: "Role", attributes: DESCRIPTOR, children: &[] },
    Rule { element: "AudioChannelConfiguration", attributes: DESCRIPTOR, children: &[] },
    Rule { element: "UTCTiming", attributes: DESCRIPTOR, children: &[] },
    Rule { element: "Label", attributes: &[("id", U32, MAY), ("lang", Language, MAY)], children: &[] },
    Rule { element: "BaseURL", attributes: &[("serviceLocation", Text, MAY)], children: &[] },
    Rule {
        element: "ProducerReferenceTime",
        attributes: &[
            ("id", U32, MUST),
            ("inband", Bool, MAY),
            ("type", OneOf(&["encoder", "captured", "application"]), MAY),
            ("applicationScheme", Text, MAY),
            ("wallClockTime", Text, MUST),
            ("presentationTime", U64, MUST),
        ],
        children: &["UTCTiming"],
    },
    Rule {
        element: "SegmentTemplate",
        attributes: &[
            ("timescale", U32, MAY),
            ("presentationTimeOffset", U64, MAY),
            ("timeShiftBufferDepth", Duration, MAY),
            ("availabilityTimeOffset", Number, MAY),
            ("availabilityTimeComplete", Bool, MAY),
            ("duration", U32, MAY),
            ("startNumber", U32, MAY),
            ("endNumber", U32, MAY),
            ("media", Text, MAY),
            ("index", Text, MAY),
            ("initialization", Text, MAY),
        ],
        children: &[
            "Initialization",
            "RepresentationIndex",
            "FailoverContent",
            "SegmentTimeline",
            "BitstreamSwitching",
        ],
    },
    Rule { element: "SegmentTimeline", attributes: &[], children: &["S"] },
    Rule {
        element: "S",
        attributes: &[
            ("t", U64, MAY),
            ("n", U64, MAY),
            ("d", U64, MUST),
            ("r", Integer, MAY),
            ("k", U64, MAY),
        ],
        children: &[],
    },
];

impl Kind {
    fn takes(self, value: &str) -> bool {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match self {
            Text => true,
            OneOf(values) => values.contains(&value),
            U32 => digits(value) && value.parse::<u32>().is_ok(),
            U64 => digits(value) && value.parse::<u64>().is_ok(),
            Integer => digits(value.strip_prefix('-').unwrap_or(value)),
            Number => value.parse::<f64>().is_ok_and(f64::is_finite),
            Bool => ["true", "false", "1", "0"].contains(&value),
            Duration => {
                value.strip_prefix("PT").and_then(|rest| rest.strip_suffix('S')).is_some_and(|seconds| {
                    match seconds.split_once('.') {
                        Some((whole, fraction)) => digits(whole) && digits(fraction),
                        None => digits(seconds),
                    }
                })
            }
            Time => {
                let shape: String = value.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
                ["0000-00-00T00:00:00.000Z", "0000-00-00T00:00:00Z"].contains(&shape.as_str())
            }
            Language => value.split('-').enumerate().all(|(at, part)| {
                (1..=8).contains(&part.len())
                    && part.chars().all(|c| c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit()))
            }),
            Word => !value.contains(char::is_whitespace),
            FrameRate => match value.split_once('/') {
                Some((frames, seconds)) => digits(frames) && digits(seconds) && !seconds.starts_with('0'),
                None => digits(value),
            },
            Profiles => !value.is_empty() && !value.contains(char::is_whitespace),
            Sap => matches!(value.parse::<u32>(), Ok(0..=6)),
            SamplingRates => {
                let rates: Vec<_> = value.split(' ').collect();
                (1..=2).contains(&rates.len()) && rates.into_iter().all(digits)
            }
        }
    }
}

/// Fails when a manifest is not as the schema wants it, and says where.
pub fn check(text: &str) {
    let document = Document::parse(text).unwrap();
    let wrong: Vec<_> = document.descendants().filter(Node::is_element).flat_map(wrong_with).collect();
    assert!(wrong.is_empty(), "{wrong:?}\n{text}");
    beyond_the_schema(&document);
}

fn wrong_with(node: Node<'_, '_>) -> Vec<String> {
    let name = node.tag_name().name();
    if node.tag_name().namespace() != Some("urn:mpeg:dash:schema:mpd:2011") {
        return vec![format!("{name} is in another namespace")];
    }
    let Some(rule) = RULES.iter().find(|rule| rule.element == name) else {
        return vec![format!("{name} has no rule")];
    };
    let common = ["AdaptationSet", "Representation"].contains(&name);
    let attributes: Vec<_> =
        rule.attributes.iter().chain(if common { COMMON } else { &[] }).copied().collect();
    let mut wrong = Vec::new();
    for attribute in node.attributes() {
        match attributes.iter().find(|(known, ..)| *known == attribute.name()) {
            None => wrong.push(format!("{name} has no attribute {}", attribute.name())),
            Some((_, kind, _)) if !kind.takes(attribute.value()) => {
                wrong.push(format!("{name}@{} = {:?} is no {kind:?}", attribute.name(), attribute.value()));
            }
            Some(_) => {}
        }
    }
    let missing = attributes.iter().filter(|(known, _, must)| *must && node.attribute(*known).is_none());
    wrong.extend(missing.map(|(known, ..)| format!("{name} lacks {known}")));
    let order: Vec<_> =
        if common { COMMON_CHILDREN } else { &[] }.iter().chain(rule.children).copied().collect();
    let places: Vec<_> = node
        .children()
        .filter(Node::is_element)
        .map(|child| order.iter().position(|known| *known == child.tag_name().name()))
        .collect();
    if places.iter().any(Option::is_none) || !places.is_sorted() {
        wrong.push(format!("{name} has its children in another order, or others: {places:?}"));
    }
    wrong
}

/// What the standard's text asks for and a schema cannot say.
fn beyond_the_schema(document: &Document<'_>) {
    let mpd = document.root_element();
    let dynamic = mpd.attribute("type") == Some("dynamic");
    assert_eq!(mpd.attribute("availabilityStartTime").is_some(), dynamic);
    assert_eq!(mpd.attribute("publishTime").is_some(), dynamic);
    assert_eq!(mpd.attribute("mediaPresentationDuration").is_some(), !dynamic);
    let ids = |within: Node<'_, '_>, name: &str| -> Vec<String> {
        let named = within.descendants().filter(|node| node.tag_name().name() == name);
        named.map(|node| node.attribute("id").unwrap_or_default().to_owned()).collect()
    };
    let once = |ids: Vec<String>| {
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "{ids:?}");
    };
    once(ids(mpd, "Period"));
    for period in mpd.children().filter(|node| node.tag_name().name() == "Period") {
        once(ids(period, "AdaptationSet"));
        once(ids(period, "Representation"));
        assert!(!ids(period, "AdaptationSet").is_empty(), "a Period has something to play");
    }
}

#[test]
fn what_the_schema_forbids_is_found() {
    let good = "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:x\" minBufferTime=\"PT2S\" \
                mediaPresentationDuration=\"PT4.0S\"><Period id=\"0\" start=\"PT0S\"><AdaptationSet id=\"0\">\
                <Representation id=\"a\" bandwidth=\"1\"><SegmentTemplate timescale=\"1\"><SegmentTimeline>\
                <S d=\"4\"/></SegmentTimeline></SegmentTemplate></Representation></AdaptationSet></Period></MPD>";
    check(good);
    for (from, to) in [
        (" profiles=\"urn:x\"", ""),
        ("PT2S", "2"),
        ("bandwidth=\"1\"", "bandwidth=\"4294967296\""),
        ("id=\"a\"", "id=\"a b\""),
        ("<S d=\"4\"/>", "<S t=\"0\"/>"),
        ("<SegmentTemplate", "<Label>x</Label><SegmentTemplate startWithSAP=\"1\""),
        ("<Representation id", "<Role schemeIdUri=\"a\"/><Label>x</Label><Representation id"),
        ("id=\"0\">", "id=\"0\" startWithSAP=\"7\">"),
        ("mediaPresentationDuration=\"PT4.0S\"", ""),
    ] {
        assert!(good.contains(from), "{from}");
        let bad = good.replacen(from, to, 1);
        assert!(std::panic::catch_unwind(|| check(&bad)).is_err(), "{bad}");
    }
}
