//! Subtitles beside a stream: each language is one WebVTT file, which HLS wants in a playlist of its own.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;

use super::found::{Found, generation_of};
use super::hls;
use super::hls::master::Subtitles;
use super::text::decimal;
use super::timing::Freshness;
use crate::catalog::Stream;
use crate::http::{Entity, Problem};
use crate::store::TextTrack;

/// What the name of a language's folder begins with.
const PREFIX: &str = "text-";

/// What playlists and manifests list. None while a stream is on air: one file cannot follow it.
pub(super) fn listed(found: &Found) -> Vec<Subtitles> {
    if found.on_air().is_some() {
        return Vec::new();
    }
    let generation = found.generation();
    let of = |track: &TextTrack| Subtitles {
        name: format!("{PREFIX}{}", track.lang),
        language: track.lang.clone(),
        label: track.label.clone(),
        default: track.default,
        file: file_name(track, &generation),
    };
    found.store.subtitles().iter().map(of).collect()
}

/// Changes with the text: caches may keep what it names for ever.
fn file_name(track: &TextTrack, generation: &str) -> String {
    format!("{}-{generation}.vtt", track.version)
}

/// Where a track's text is for a player that takes it as it is.
pub(crate) fn address(stream: &Stream, track: &TextTrack) -> String {
    let file = file_name(track, &generation_of(stream));
    format!("/stream/{}/hls/{PREFIX}{}/{file}", stream.id, track.lang)
}

/// The track whose folder is `name`.
pub(super) fn track(found: &Found, name: &str) -> Option<TextTrack> {
    let lang = name.strip_prefix(PREFIX)?;
    found.store.subtitles().iter().find(|track| track.lang == lang).cloned()
}

/// A file of a language's folder: its playlist or its text.
pub(super) async fn file(
    found: &Found,
    track: TextTrack,
    name: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let vtt = file_name(&track, &found.generation());
    if name == "index.m3u8" {
        let text = playlist(&track, &vtt, found.timing().target);
        let freshness = Freshness::Multivariant.header(found.timing().target);
        return Ok(Entity::text(text, hls::CONTENT_TYPE).cache(freshness).answer(method, headers));
    }
    if name != vtt {
        return Err(found.unknown("There is no such text; playlists list those that exist."));
    }
    let (store, lang) = (Arc::clone(&found.store), track.lang.clone());
    let bytes = tokio::task::spawn_blocking(move || store.subtitle(&lang))
        .await
        .map_err(|_| Problem::internal("reading subtitles"))?
        .ok_or_else(|| found.unknown("These subtitles were taken away."))?;
    let mut response = Entity::text(bytes, "text/vtt; charset=utf-8")
        .cache("public, max-age=31536000, immutable")
        .answer(method, headers);
    if let Ok(language) = HeaderValue::from_str(&track.lang) {
        response.headers_mut().insert(header::CONTENT_LANGUAGE, language);
    }
    Ok(response)
}

/// One segment that is the whole text (RFC 8216bis, section 3.1.4).
fn playlist(track: &TextTrack, file: &str, target: u32) -> String {
    let seconds = track.end_ms.div_ceil(1000).max(u64::from(target));
    let duration = decimal(track.end_ms.max(1), 1000);
    format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{seconds}\n#EXT-X-MEDIA-SEQUENCE:1\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:{duration},\n{file}\n#EXT-X-ENDLIST\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_segment_holds_the_whole_text() {
        let track = TextTrack {
            lang: "de".into(),
            label: "Deutsch".into(),
            default: false,
            end_ms: 61_250,
            version: 3,
            bytes: 10,
        };
        let text = playlist(&track, &file_name(&track, "k"), 4);
        let parsed = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
        assert_eq!((parsed.target_duration, parsed.segments.len(), parsed.end_list), (62, 1, true));
        assert_eq!((parsed.segments[0].uri.as_str(), parsed.segments[0].duration), ("3-k.vtt", 61.25));
    }
}
