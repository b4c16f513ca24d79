//! A manifest as JSON: everything that it lists, whether it could be played or not.

use std::{sync::Arc, time::Duration};

use serde_json::{Map as Object, Value, json};
use url::Url;

use crate::{
    Error, Found, Warning,
    dash::{Addressing, Mpd, Representation},
    hls::{
        Kind, Multivariant,
        media::{self, Key},
        multivariant::{Media, MediaType},
    },
};

/// Describes the manifest in `bytes` as if it had just been loaded from `base_url`. Nothing is loaded, and nothing
/// depends on the time of the call. The keys are those of `docs/inspect.md`.
///
/// # Errors
/// The text is no manifest, or breaks a rule that matters. The message is one line.
pub fn inspect(bytes: &[u8], base_url: &Url) -> Result<Value, Error> {
    let text = crate::text(bytes)?;
    match crate::detect(&text)? {
        Found::Hls(Kind::Multivariant) => multivariant(&text, base_url),
        Found::Hls(Kind::Media) => media_playlist(&text, base_url),
        Found::Dash => mpd(&text, base_url),
    }
}

/// A value that is left out when the manifest does not give it.
fn put(object: &mut Object<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value.into());
    }
}

/// The number that stands nearest to what was written, not what adding up two binary fractions gives.
fn seconds(time: Duration) -> Value {
    let text = format!("{}.{:09}", time.as_secs(), time.subsec_nanos());
    json!(text.parse::<f64>().unwrap_or(time.as_secs_f64()))
}

fn warnings(list: &[Warning]) -> Value {
    list.iter().map(|warning| json!({"line": warning.line, "what": warning.what})).collect()
}

fn multivariant(text: &str, base: &Url) -> Result<Value, Error> {
    let playlist = Multivariant::parse(text, base)?;
    let variants: Vec<Value> = playlist
        .variants
        .iter()
        .map(|variant| {
            let mut out = Object::new();
            put(&mut out, "bandwidth", variant.bandwidth);
            put(&mut out, "average_bandwidth", variant.average_bandwidth);
            put(&mut out, "width", variant.resolution.map(|(width, _)| width));
            put(&mut out, "height", variant.resolution.map(|(_, height)| height));
            put(&mut out, "codecs", variant.codecs.as_deref());
            put(&mut out, "frame_rate", variant.frame_rate);
            put(&mut out, "audio_group", variant.audio.as_deref());
            put(&mut out, "subtitles_group", variant.subtitles.as_deref());
            put(&mut out, "video_range", variant.video_range.as_deref());
            put(&mut out, "url", variant.url.as_ref().map(Url::as_str));
            Value::Object(out)
        })
        .collect();
    let of = |kind: MediaType| -> Vec<Value> {
        playlist.media.iter().filter(|media| media.kind == kind).map(alternative).collect()
    };
    Ok(json!({
        "protocol": "hls",
        "kind": "multivariant",
        "live": null,
        "duration_s": null,
        "variants": variants,
        "audio": of(MediaType::Audio),
        "subtitles": of(MediaType::Subtitles),
        "iframe_variants": playlist.iframe_variants,
        "warnings": warnings(playlist.warnings()),
    }))
}

fn alternative(media: &Media) -> Value {
    let mut out = Object::new();
    put(&mut out, "group", Some(media.group.as_str()));
    put(&mut out, "name", Some(media.name.as_str()));
    put(&mut out, "language", media.language.as_deref());
    put(&mut out, "default", Some(media.default));
    put(&mut out, "channels", media.channels.as_deref());
    put(&mut out, "url", media.url.as_ref().map(Url::as_str));
    Value::Object(out)
}

/// What is kept of the segments while they go by.
#[derive(Default)]
struct Sums {
    count: u64,
    time: Duration,
    first: Option<(String, usize)>,
    last: Option<(String, usize)>,
    discontinuities: u64,
    byte_ranges: u64,
    gaps: u64,
    parts: usize,
    init: Option<(Arc<media::Map>, usize)>,
    key: Option<Arc<[Key]>>,
}

fn media_playlist(text: &str, base: &Url) -> Result<Value, Error> {
    let mut sums = Sums::default();
    let header = media::walk(text, base, None, &mut |segment| {
        sums.count += 1;
        sums.time = sums.time.saturating_add(segment.duration);
        sums.discontinuities += u64::from(segment.discontinuity);
        sums.byte_ranges += u64::from(segment.byte_range.is_some());
        sums.gaps += u64::from(segment.gap);
        sums.parts += segment.parts.len();
        if sums.init.is_none() {
            sums.init = segment.map.map(|map| (map, segment.line));
        }
        if sums.key.is_none() {
            sums.key = segment.keys;
        }
        let named = (segment.uri, segment.line);
        if sums.first.is_none() {
            sums.first = Some(named.clone());
        }
        sums.last = Some(named);
        Ok(())
    })?;
    let address = |named: Option<(String, usize)>| -> Result<Value, Error> {
        let Some((uri, line)) = named else { return Ok(Value::Null) };
        Ok(media::absolute(base, &uri, line)?.as_str().into())
    };
    let init = sums.init.map(|(map, line)| (map.uri.clone(), line));
    let mut out = json!({
        "protocol": "hls",
        "kind": "media",
        "live": header.live(),
        "duration_s": seconds(sums.time),
        "segments": {
            "count": sums.count,
            "first_url": address(sums.first)?,
            "last_url": address(sums.last)?,
            "target_duration_s": header.target_duration.filter(|_| !header.target_guessed).map(seconds),
            "media_sequence": header.media_sequence,
            "discontinuities": sums.discontinuities,
            "byte_ranges": sums.byte_ranges,
            "gaps": sums.gaps,
            "init_url": address(init)?,
            "parts": sums.parts + header.parts.len(),
        },
        "encryption": sums.key.as_deref().and_then(<[Key]>::first).map_or("none", |key| key.method.as_str()),
        "warnings": warnings(header.warnings()),
    });
    if let Some(object) = out.as_object_mut() {
        put(object, "version", header.version);
        put(object, "discontinuity_sequence", Some(header.discontinuity_sequence));
        put(object, "part_target_s", header.part_target.map(seconds));
        put(object, "skipped_segments", (header.skipped > 0).then_some(header.skipped));
        put(object, "can_block_reload", header.server_control.can_block_reload.then_some(true));
    }
    Ok(out)
}

fn mpd(text: &str, base: &Url) -> Result<Value, Error> {
    let mpd = Mpd::parse(text, base)?;
    let mut representations = Vec::new();
    for period in &mpd.periods {
        for representation in period.sets.iter().flat_map(|set| &set.representations) {
            let mut out = Object::new();
            put(&mut out, "id", Some(representation.id.as_str()).filter(|id| !id.is_empty()));
            put(&mut out, "bandwidth", representation.bandwidth);
            put(&mut out, "content_type", Some(representation.content.name()));
            put(&mut out, "codecs", representation.codecs.as_deref());
            put(&mut out, "width", representation.width);
            put(&mut out, "height", representation.height);
            put(&mut out, "frame_rate", representation.frame_rate);
            put(&mut out, "encryption", representation.protection.as_deref());
            put(&mut out, "segments", Some(segments(representation, period.duration)));
            representations.push(Value::Object(out));
        }
    }
    let clocks: Vec<Value> =
        mpd.clocks.iter().map(|(scheme, value)| json!({"scheme": scheme, "value": value})).collect();
    let mut out = json!({
        "protocol": "dash",
        "kind": "mpd",
        "live": mpd.dynamic,
        "duration_s": mpd.end().map(seconds),
        "periods": mpd.periods.len(),
        "adaptation_sets": mpd.periods.iter().map(|period| period.sets.len()).sum::<usize>(),
        "representations": representations,
        "utc_timing": clocks,
        "warnings": warnings(mpd.warnings()),
    });
    if let Some(object) = out.as_object_mut() {
        put(object, "target_latency_s", mpd.latency.or(mpd.suggested_delay).map(seconds));
        put(object, "minimum_update_period_s", mpd.update_after.map(seconds));
        put(object, "time_shift_buffer_s", mpd.window.map(seconds));
    }
    Ok(out)
}

fn segments(representation: &Representation, period: Option<Duration>) -> Value {
    let Representation { id, base, addressing, .. } = representation;
    let bandwidth = representation.bandwidth.unwrap_or(0);
    if addressing.is_one_resource() {
        let known = representation.has_base || addressing.index_range.is_some() || addressing.init.is_some();
        let url = known.then(|| base.as_str());
        let init = addressing.init(base, id, bandwidth).filter(|(init, _)| init != base);
        return json!({
            "count": null,
            "first_url": url,
            "last_url": url,
            "init_url": init.map(|(url, _)| url.to_string()),
        });
    }
    let indices = addressing.listed(period);
    let timeline = addressing.timeline();
    let url = |index: u64| {
        addressing.media(base, id, bandwidth, timeline.as_deref(), index).map(|(url, _)| url.to_string())
    };
    let first = match &indices {
        Some(indices) => (!indices.is_empty()).then_some(indices.start),
        // An open end: the first one is known all the same.
        None => addressing.media.is_some().then(|| addressing.first()),
    };
    let last = indices.as_ref().filter(|indices| !indices.is_empty()).map(|indices| indices.end - 1);
    json!({
        "count": indices.as_ref().map(|indices| indices.end - indices.start),
        "first_url": first.and_then(url),
        "last_url": last.and_then(url),
        "init_url": init_url(addressing, base, id, bandwidth),
    })
}

fn init_url(addressing: &Addressing, base: &Url, id: &str, bandwidth: u64) -> Option<String> {
    // A byte range of the media's own resource is no resource of its own.
    let own =
        addressing.init.as_ref().is_some_and(|init| init.url.is_some()) || addressing.init_template.is_some();
    own.then(|| addressing.init(base, id, bandwidth).map(|(url, _)| url.to_string()))?
}
