//! From all that a multivariant playlist lists to the tracks that are played.

use std::collections::{HashMap, HashSet};

use url::Url;

use super::multivariant::{KeyFrames, Media, MediaType, Multivariant, Variant};
use crate::{
    mirror::{self, Address, Mirror},
    model::{Captions, MediaKind, MuxedSound, Rendition, Track},
    steering::Stable,
};

/// Declared rate where the playlist gives none.
const UNKNOWN_VIDEO_BPS: u64 = 1_500_000;

/// Most captions that are listed: CEA-608 has 4 of them, CEA-708 has 63.
const MOST_CAPTIONS: usize = 67;

/// Video codec families, the most widely playable one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Avc,
    Hevc,
    Av1,
    Vp9,
    Other,
}

fn family(variant: &Variant) -> Family {
    family_of(variant.codecs.as_deref().unwrap_or_default())
}

fn family_of(codecs: &str) -> Family {
    let video =
        codecs.split(',').map(str::trim).find(|codec| !is_audio_codec(codec) && !is_text_codec(codec));
    match video.map(|codec| codec.split('.').next().unwrap_or(codec)) {
        // Without CODECS nothing speaks against the codec that nearly all streams use.
        None | Some("" | "avc1" | "avc3") => Family::Avc,
        Some("hvc1" | "hev1") => Family::Hevc,
        Some("av01") => Family::Av1,
        Some("vp09" | "vp9" | "vp08") => Family::Vp9,
        Some(_) => Family::Other,
    }
}

fn is_audio_codec(codec: &str) -> bool {
    let name = codec.split('.').next().unwrap_or(codec).to_ascii_lowercase();
    matches!(
        name.as_str(),
        "mp4a"
            | "ac-3"
            | "ec-3"
            | "ac-4"
            | "opus"
            | "flac"
            | "fl ac"
            | "alac"
            | "vorbis"
            | "mp3"
            | "dtsc"
            | "dtse"
            | "dtsx"
    )
}

fn is_text_codec(codec: &str) -> bool {
    let name = codec.split('.').next().unwrap_or(codec);
    matches!(name, "wvtt" | "stpp")
}

/// It has sound and no picture.
fn is_audio_only(variant: &Variant) -> bool {
    variant.resolution.is_none()
        && variant.codecs.as_deref().is_some_and(|codecs| {
            let mut codecs = codecs.split(',').map(str::trim).filter(|codec| !codec.is_empty()).peekable();
            codecs.peek().is_some() && codecs.all(is_audio_codec)
        })
}

/// AAC first: every platform decodes it.
fn sound_rank(variant: &Variant) -> usize {
    let codecs = variant.codecs.as_deref().unwrap_or_default();
    match codecs.split(',').map(str::trim).find(|codec| is_audio_codec(codec)) {
        None => 0,
        Some(codec) if codec.starts_with("mp4a") => 0,
        Some(codec) if codec.eq_ignore_ascii_case("opus") => 1,
        Some(_) => 2,
    }
}

/// The variants of the main track: one codec family, one rendition for each address.
fn main_variants(playlist: &Multivariant) -> Vec<&Variant> {
    let mut usable: Vec<&Variant> =
        playlist.variants.iter().filter(|variant| variant.url.is_some()).collect();
    // Where a stream is steered the rungs are those of one pathway, for which the others stand, and those that only others
    // have.
    if let Some(initial) = initial_pathway(playlist) {
        let groups = redundant(playlist);
        let own = |group: &&Vec<&Variant>| group.iter().any(|variant| pathway(variant) == initial);
        let stood_for: HashSet<usize> =
            groups.iter().filter(own).flatten().map(|variant| variant.line).collect();
        usable.retain(|variant| pathway(variant) == initial || !stood_for.contains(&variant.line));
    }
    let mut rungs: Vec<&Variant> = usable.iter().copied().filter(|variant| !is_audio_only(variant)).collect();
    if rungs.is_empty() {
        rungs = usable;
    }
    keep_if_any(&mut rungs, |variant| variant.bandwidth.is_some());
    keep_if_any(&mut rungs, |variant| variant.video_range.as_deref().is_none_or(|range| range == "SDR"));
    let count = |of: Family, rungs: &[&Variant]| rungs.iter().filter(|variant| family(variant) == of).count();
    let families = [Family::Avc, Family::Hevc, Family::Av1, Family::Vp9, Family::Other];
    let most = families.iter().map(|of| count(*of, &rungs)).max().unwrap_or(0);
    // The most playable family wins unless another one offers more than twice its rungs.
    let chosen = families.into_iter().find(|of| count(*of, &rungs) * 2 >= most.max(1));
    if let Some(chosen) = chosen {
        rungs.retain(|variant| family(variant) == chosen);
    }
    // The same pictures are often listed once for each sound that goes with them.
    rungs.sort_by_key(|variant| (sound_rank(variant), variant.bandwidth));
    let mut seen = HashSet::new();
    rungs.retain(|variant| seen.insert(variant.url.clone()));
    // Redundant variants: equal but for the address. The first one listed is the preferred one.
    rungs.sort_by_key(|variant| variant.line);
    let mut seen = HashSet::new();
    rungs.retain(|variant| seen.insert(quality(variant)));
    rungs
}

/// The pathway that a steered stream begins with.
fn initial_pathway(playlist: &Multivariant) -> Option<&str> {
    let steering = playlist.steering.as_ref()?;
    let usable = || playlist.variants.iter().filter(|variant| variant.url.is_some());
    let first = steering.first.iter().map(String::as_str).chain(usable().next().map(pathway));
    first.into_iter().find(|id| usable().any(|variant| pathway(variant) == *id))
}

/// The pathway of a variant (RFC 8216bis, 4.4.6.2).
fn pathway(variant: &Variant) -> &str {
    variant.pathway.as_deref().unwrap_or(".")
}

/// What redundant variants have in common.
fn quality(variant: &Variant) -> impl Eq + std::hash::Hash + use<> {
    (
        variant.bandwidth,
        variant.average_bandwidth,
        variant.resolution,
        variant.codecs.clone(),
        variant.frame_rate.map(f64::to_bits),
    )
}

/// Variants that stand for each other, in file order: those of one name, else those that are equal but for their address.
fn redundant(playlist: &Multivariant) -> Vec<Vec<&Variant>> {
    let mut places = HashMap::new();
    let mut groups: Vec<Vec<&Variant>> = Vec::new();
    for variant in &playlist.variants {
        let key = match &variant.stable_id {
            Some(id) => (Some(id), None),
            None => (None, Some(quality(variant))),
        };
        let at = *places.entry(key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(at) {
            group.push(variant);
        }
    }
    groups
}

/// The addresses of variants, and of what goes with them, that are equal but for them.
pub(crate) fn mirrors(playlist: &Multivariant) -> Vec<Mirror> {
    let steered = playlist.steering.is_some();
    let groups = redundant(playlist);
    let of_variants = groups.iter().filter_map(|group| {
        let addresses = group.iter().filter_map(|variant| {
            let pathway = steered.then(|| pathway(variant).to_owned());
            Some(Address { url: variant.url.clone()?, pathway })
        });
        let stable = group.iter().find_map(|variant| variant.stable_id.clone());
        Mirror::of(addresses, stable.map(Stable::Variant))
    });
    of_variants.chain(media_mirrors(playlist, &groups)).take(mirror::MOST).collect()
}

/// Sound and text of variants that stand for each other: what has the same name in their groups.
fn media_mirrors<'a>(playlist: &Multivariant, redundant: &[Vec<&'a Variant>]) -> Vec<Mirror> {
    // For each group of renditions the one that it stands for, and the only pathway that uses it. Variants that nothing stands
    // for say least of that.
    let mut used = HashMap::new();
    let (several, single): (Vec<_>, Vec<_>) = redundant.iter().partition(|variants| variants.len() > 1);
    for variants in several.into_iter().chain(single) {
        for kind in [MediaType::Audio, MediaType::Subtitles] {
            let of = |variant: &&'a Variant| match kind {
                MediaType::Audio => variant.audio.as_deref(),
                _ => variant.subtitles.as_deref(),
            };
            let Some(first) = variants.iter().find_map(of) else { continue };
            for variant in variants {
                let Some(group) = of(variant) else { continue };
                let pathway = pathway(variant);
                let (_, only) = used.entry((kind, group)).or_insert((first, Some(pathway)));
                *only = only.filter(|only| *only == pathway);
            }
        }
    }
    let steered = playlist.steering.is_some();
    let mut places = HashMap::new();
    let mut found: Vec<(Option<&String>, Vec<Address>)> = Vec::new();
    for media in &playlist.media {
        let Some((first, pathway)) = used.get(&(media.kind, media.group.as_str())) else { continue };
        let Some(url) = &media.url else { continue };
        let key = (media.kind, *first, &media.name, &media.language);
        let at = *places.entry(key).or_insert_with(|| {
            found.push((None, Vec::new()));
            found.len() - 1
        });
        if let Some((stable, addresses)) = found.get_mut(at) {
            *stable = stable.or(media.stable_id.as_ref());
            let pathway = pathway.filter(|_| steered).map(str::to_owned);
            addresses.push(Address { url: url.clone(), pathway });
        }
    }
    let mirror = |(stable, addresses): (Option<&String>, Vec<Address>)| {
        Mirror::of(addresses, stable.cloned().map(Stable::Rendition))
    };
    found.into_iter().filter_map(mirror).collect()
}

fn keep_if_any<T: Copy>(list: &mut Vec<T>, keep: impl Fn(T) -> bool) {
    if list.iter().any(|item| keep(*item)) {
        list.retain(|item| keep(*item));
    }
}

/// The tracks of a multivariant playlist, the main one first; empty when no variant has an address.
pub(crate) fn tracks(playlist: &Multivariant) -> Vec<Track> {
    let variants = main_variants(playlist);
    if variants.is_empty() {
        return Vec::new();
    }
    let kind = if variants.iter().all(|variant| is_audio_only(variant)) {
        MediaKind::Audio
    } else {
        MediaKind::Video
    };
    let mut renditions: Vec<Rendition> = variants
        .iter()
        .map(|variant| Rendition {
            id: format!("v{}", variant.line),
            bandwidth: variant.bandwidth.filter(|rate| *rate > 0).unwrap_or(UNKNOWN_VIDEO_BPS),
            average_bandwidth: variant.average_bandwidth.filter(|rate| *rate > 0),
            width: variant.resolution.map(|(width, _)| width),
            height: variant.resolution.map(|(_, height)| height),
            codecs: variant.codecs.clone(),
            frame_rate: variant.frame_rate,
            playlist: variant.url.clone(),
            segments: Vec::new(),
            growing: None,
        })
        .collect();
    renditions.sort_by_key(crate::brain::rate);
    let addresses: Vec<Option<Url>> = variants.iter().map(|variant| variant.url.clone()).collect();
    let mut tracks = vec![Track {
        id: "main".into(),
        kind,
        language: None,
        name: "Main".into(),
        default: true,
        autoselect: true,
        forced: false,
        tiles: None,
        renditions,
    }];
    let groups = |of: fn(&Variant) -> Option<&String>| {
        let mut groups: Vec<(String, u64)> = Vec::new();
        let mut by_rate = variants.clone();
        // Groups of other pathways stand for those of the one that the stream begins with.
        if let Some(initial) = initial_pathway(playlist) {
            keep_if_any(&mut by_rate, |variant| pathway(variant) == initial);
        }
        by_rate.sort_by_key(|variant| variant.bandwidth);
        for variant in by_rate {
            if let Some(group) = of(variant).filter(|group| !groups.iter().any(|(known, _)| known == *group))
            {
                groups.push((group.clone(), variant.bandwidth.unwrap_or(UNKNOWN_VIDEO_BPS)));
            }
        }
        groups
    };
    let audio = groups(|variant| variant.audio.as_ref());
    tracks.extend(alternatives(playlist, MediaType::Audio, &audio, &addresses));
    let text = groups(|variant| variant.subtitles.as_ref());
    tracks.extend(alternatives(playlist, MediaType::Subtitles, &text, &addresses));
    tracks.extend(images(playlist));
    if kind == MediaKind::Video {
        tracks.extend(key_frames(playlist));
    }
    tracks
}

/// Captions in the pictures of the variants that are played.
pub(crate) fn captions(playlist: &Multivariant) -> Vec<Captions> {
    let groups: HashSet<&str> =
        main_variants(playlist).into_iter().filter_map(|variant| variant.captions.as_deref()).collect();
    let mut found: Vec<Captions> = Vec::new();
    let of_kind = playlist.media.iter().filter(|media| media.kind == MediaType::ClosedCaptions);
    for media in of_kind.filter(|media| groups.contains(media.group.as_str())) {
        let Some(channel) = &media.instream_id else { continue };
        if found.len() < MOST_CAPTIONS && !found.iter().any(|known| known.channel == *channel) {
            let (name, language) = (media.name.clone(), media.language.clone());
            found.push(Captions { channel: channel.clone(), name, language });
        }
    }
    found
}

/// Sound in the segments of the variants that are played, where it is listed beside other sound.
pub(crate) fn muxed_sound(playlist: &Multivariant) -> Option<MuxedSound> {
    let variants = main_variants(playlist);
    let is_main = |media: &Media| match &media.url {
        None => true,
        Some(url) => variants.iter().any(|variant| variant.url.as_ref() == Some(url)),
    };
    let used = |media: &Media| variants.iter().any(|variant| variant.audio.as_ref() == Some(&media.group));
    let media =
        playlist.media.iter().filter(|media| media.kind == MediaType::Audio && used(media) && is_main(media));
    let media = media.min_by_key(|media| !media.default)?;
    Some(MuxedSound { name: media.name.clone(), language: media.language.clone() })
}

/// Small pictures for a scrub bar; how many are in an image is known with their playlist.
fn images(playlist: &Multivariant) -> Option<Track> {
    let rendition = |(at, (bandwidth, url)): (usize, &(u64, Url))| {
        Rendition::listed(format!("image-{at}"), (*bandwidth).max(1), url.clone())
    };
    let mut renditions: Vec<_> = playlist.images.iter().enumerate().map(rendition).collect();
    renditions.sort_by_key(|rendition| rendition.bandwidth);
    (!renditions.is_empty()).then(|| Track {
        id: "image-0".into(),
        kind: MediaKind::Image,
        language: None,
        name: "image".into(),
        default: false,
        autoselect: false,
        forced: false,
        tiles: None,
        renditions,
    })
}

/// Key frames for a scrub bar: of the most widely playable codec, and where a stream is steered those of the pathway that it
/// begins with.
fn key_frames(playlist: &Multivariant) -> Option<Track> {
    let initial = initial_pathway(playlist);
    let of_pathway =
        |it: &&KeyFrames| initial.is_none() || it.pathway.as_deref().is_none_or(|id| Some(id) == initial);
    let mut lists: Vec<&KeyFrames> = playlist.key_frames.iter().filter(of_pathway).collect();
    let family = |it: &KeyFrames| family_of(it.codecs.as_deref().unwrap_or_default());
    let playable = lists.iter().map(|it| family(it)).min()?;
    lists.retain(|it| family(it) == playable);
    let mut seen = HashSet::new();
    lists.retain(|it| seen.insert(&it.url));
    let mut renditions: Vec<Rendition> = lists
        .into_iter()
        .enumerate()
        .map(|(at, it)| Rendition {
            width: it.resolution.map(|(width, _)| width),
            height: it.resolution.map(|(_, height)| height),
            codecs: it.codecs.clone(),
            ..Rendition::listed(format!("key-frames-{at}"), it.bandwidth.max(1), it.url.clone())
        })
        .collect();
    renditions.sort_by_key(|rendition| rendition.bandwidth);
    Some(Track {
        id: "key-frames-0".into(),
        kind: MediaKind::KeyFrames,
        language: None,
        name: "key frames".into(),
        default: false,
        autoselect: false,
        forced: false,
        tiles: None,
        renditions,
    })
}

/// One track for each language and name in `groups`; each group adds a rendition to it.
fn alternatives(
    playlist: &Multivariant,
    kind: MediaType,
    groups: &[(String, u64)],
    main: &[Option<Url>],
) -> Vec<Track> {
    let of_kind: Vec<&Media> = playlist.media.iter().filter(|media| media.kind == kind).collect();
    let mut tracks: Vec<Track> = Vec::new();
    for (rank, (group, _)) in groups.iter().enumerate() {
        for media in of_kind.iter().filter(|media| media.group == *group) {
            // Without an address, or with that of a variant, its media come with the main track.
            let Some(url) = media.url.as_ref().filter(|url| !main.contains(&Some((*url).clone()))) else {
                continue;
            };
            let id = format!("{group}/{}", media.name);
            let rendition = Rendition::listed(id, rate_of(media, rank), url.clone());
            let same = |track: &&mut Track| track.name == media.name && track.language == media.language;
            if let Some(track) = tracks.iter_mut().find(same) {
                if !track.renditions.iter().any(|other| other.playlist.as_ref() == Some(url)) {
                    track.renditions.push(rendition);
                }
                continue;
            }
            tracks.push(Track {
                id: format!("{}-{}", if kind == MediaType::Audio { "audio" } else { "text" }, tracks.len()),
                kind: if kind == MediaType::Audio { MediaKind::Audio } else { MediaKind::Text },
                language: media.language.clone(),
                name: media.name.clone(),
                default: media.default,
                // RFC 8216, 4.3.4.1: what is chosen by default may be chosen.
                autoselect: media.autoselect || media.default,
                forced: media.forced,
                tiles: None,
                renditions: vec![rendition],
            });
        }
    }
    for track in &mut tracks {
        track.renditions.sort_by_key(crate::brain::rate);
    }
    // Sound is never left out: when every choice is a resource of its own and none is the default, the first one is.
    // Where one choice has no address it is in the main segments, and is what plays by default.
    let muxed = of_kind
        .iter()
        .any(|media| media.url.is_none() && groups.iter().any(|(group, _)| *group == media.group));
    let silent = kind == MediaType::Audio && !muxed && !tracks.iter().any(|track| track.default);
    if let Some(first) = tracks.first_mut().filter(|_| silent) {
        first.default = true;
    }
    tracks
}

/// `EXT-X-MEDIA` gives no rate. Sound is estimated by its channels and by the place of its group among the groups.
fn rate_of(media: &Media, rank: usize) -> u64 {
    let channels =
        media.channels.as_deref().and_then(|channels| channels.split('/').next()?.parse::<u64>().ok());
    let base = match (media.kind, channels) {
        (MediaType::Subtitles, _) => 2_000,
        (_, Some(channels)) if channels > 2 => 384_000,
        _ => 128_000,
    };
    base + 64_000 * rank.min(16) as u64
}
