//! From AdaptationSets to tracks, and from a track back to its Representation in each Period.

use super::mpd::{AdaptationSet, Content, Period, Representation};
use crate::model::{Captions, MediaKind, Rendition, Track};

/// Codec name that decides what can be switched between: the part before the first dot.
fn codec(representation: &Representation) -> &str {
    let codecs = representation.codecs.as_deref().unwrap_or_default();
    let first = codecs.split([',', '.']).next().unwrap_or_default().trim();
    match first {
        "avc3" => "avc1",
        "hev1" => "hvc1",
        other => other,
    }
}

/// Captions in the pictures.
pub(crate) fn captions(period: &Period) -> Vec<Captions> {
    let sets = period.sets.iter().filter(|set| content(set) == Content::Video && !set.trick);
    let named = sets.flat_map(|set| &set.captions).take(64);
    let mut found: Vec<Captions> = Vec::new();
    for (channel, language) in named {
        if !found.iter().any(|known| known.channel == *channel) {
            let (channel, language) = (channel.clone(), language.clone());
            found.push(Captions { channel, name: String::new(), language });
        }
    }
    found
}

fn set_codec(set: &AdaptationSet) -> &str {
    set.representations.first().map(codec).unwrap_or_default()
}

/// Lower is more widely playable.
fn rank(codec: &str) -> usize {
    match codec {
        "" | "avc1" | "mp4a" => 0,
        "hvc1" | "opus" => 1,
        "av01" | "ec-3" | "ac-3" => 2,
        "vp09" | "vp9" => 3,
        _ => 4,
    }
}

fn content(set: &AdaptationSet) -> Content {
    set.representations.first().map_or(Content::Other, |representation| representation.content)
}

/// What identifies a track in every Period.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    content: Content,
    set: Option<String>,
    language: Option<String>,
    codec: String,
    /// Pictures for fast forward.
    trick: bool,
    /// It may be any set of its kind where none fits better.
    main: bool,
}

/// Representations of a set and of those that it may be switched with, trick play left out.
fn with_switching<'p>(set: &'p AdaptationSet, period: &'p Period) -> Vec<&'p Representation> {
    let wanted = set_codec(set);
    let linked = |other: &&AdaptationSet| {
        std::ptr::eq(*other, set)
            || (content(other) == content(set)
                && !other.trick
                && other.id.as_ref().is_some_and(|id| set.switching.contains(id)))
    };
    period
        .sets
        .iter()
        .filter(linked)
        .flat_map(|set| &set.representations)
        .filter(|representation| codec(representation) == wanted)
        .collect()
}

/// The tracks of a presentation, the main one first, with what finds each of them again.
pub(crate) fn tracks(period: &Period) -> Vec<(Key, Track)> {
    let usable = |kind: Content| {
        period
            .sets
            .iter()
            .filter(move |set| content(set) == kind && !set.trick && !set.representations.is_empty())
    };
    let mut out = Vec::new();
    let is_main = |set: &AdaptationSet| set.roles.is_empty() || set.roles.iter().any(|role| role == "main");
    let video = usable(Content::Video).min_by_key(|set| {
        let rungs = with_switching(set, period).len();
        (rank(set_codec(set)), !is_main(set), usize::MAX - rungs)
    });
    if let Some(set) = video {
        out.push(track(set, period, MediaKind::Video, 0, true));
    }
    let default = usable(Content::Audio).min_by_key(|set| (!is_main(set), rank(set_codec(set))));
    for (at, set) in usable(Content::Audio).enumerate() {
        let default = default.is_some_and(|default| std::ptr::eq(default, set));
        out.push(track(set, period, MediaKind::Audio, at, default));
    }
    if video.is_none() {
        // Sound alone: its default is the main track.
        out.sort_by_key(|(_, track)| !track.default);
    }
    for (at, set) in usable(Content::Text).enumerate() {
        // Where the manifest says of some that they are the main ones it means what HLS calls the default.
        let default = set.roles.iter().any(|role| role == "main") && !is_forced(set);
        out.push(track(set, period, MediaKind::Text, at, default));
    }
    for (at, set) in usable(Content::Image).filter(|set| set.tiles.is_some()).enumerate() {
        out.push(track(set, period, MediaKind::Image, at, false));
    }
    if video.is_some() {
        let trick = |set: &&AdaptationSet| {
            set.trick && content(set) == Content::Video && !set.representations.is_empty()
        };
        let playable = period.sets.iter().filter(trick).min_by_key(|set| rank(set_codec(set)));
        out.extend(playable.map(|set| track(set, period, MediaKind::KeyFrames, 0, false)));
    }
    out
}

/// Both ways of writing are met (ISO/IEC 23009-1, 5.8.5.5).
fn is_forced(set: &AdaptationSet) -> bool {
    set.roles.iter().any(|role| role == "forced-subtitle" || role == "forced_subtitle")
}

fn track(set: &AdaptationSet, period: &Period, kind: MediaKind, at: usize, default: bool) -> (Key, Track) {
    let mut renditions: Vec<Rendition> = with_switching(set, period)
        .into_iter()
        .map(|representation| Rendition {
            id: representation.id.clone(),
            bandwidth: representation.bandwidth.filter(|rate| *rate > 0).unwrap_or(match kind {
                MediaKind::Video => 1_500_000,
                MediaKind::Audio => 128_000,
                MediaKind::Text => 2_000,
                MediaKind::Image => 20_000,
                MediaKind::KeyFrames => 200_000,
            }),
            average_bandwidth: None,
            width: representation.width,
            height: representation.height,
            codecs: representation.codecs.clone(),
            frame_rate: representation.frame_rate,
            playlist: None,
            segments: Vec::new(),
            growing: None,
        })
        .collect();
    renditions.sort_by_key(|rendition| rendition.bandwidth);
    let prefix = match kind {
        MediaKind::Video => "video",
        MediaKind::Audio => "audio",
        MediaKind::Text => "text",
        MediaKind::Image => "image",
        MediaKind::KeyFrames => "key-frames",
    };
    let name = set.label.clone().or_else(|| set.language.clone()).unwrap_or_else(|| prefix.to_owned());
    let key = Key {
        content: content(set),
        set: set.id.clone(),
        language: set.language.clone(),
        codec: set_codec(set).to_owned(),
        trick: kind == MediaKind::KeyFrames,
        main: kind == MediaKind::Video || (default && kind == MediaKind::Audio),
    };
    let id = format!("{prefix}-{at}");
    let forced = is_forced(set);
    let language = set.language.clone();
    (key, Track { id, kind, language, name, default, autoselect: true, forced, tiles: set.tiles, renditions })
}

/// The Representation of `period` that stands for a rendition: the one of the same name, else of the nearest rate.
pub(crate) fn locate<'p>(key: &Key, rendition: &Rendition, period: &'p Period) -> Option<&'p Representation> {
    let set = period
        .sets
        .iter()
        .filter(|set| content(set) == key.content && set.trick == key.trick)
        .filter(|set| key.main || set.language == key.language)
        .min_by_key(|set| {
            (set.language != key.language, set_codec(set) != key.codec, set.id.is_none() || set.id != key.set)
        })?;
    let candidates = with_switching(set, period);
    candidates.iter().copied().find(|representation| representation.id == rendition.id).or_else(|| {
        candidates.into_iter().min_by_key(|representation| {
            let same_height = representation.height == rendition.height;
            (!same_height, representation.bandwidth.unwrap_or(0).abs_diff(rendition.bandwidth))
        })
    })
}
