//! HLS playlists (RFC 8216 and its successor 8216bis) as they are written, before they become a
//! [`Presentation`](crate::model::Presentation).
//!
//! Three layers: [`lines`] brings the text into a form that m3u8-rs reads right, m3u8-rs parses the RFC 8216 core, and
//! the layer around it walks the same lines in order for what that crate drops or misplaces: parts, preload hints,
//! rendition reports, delta updates, server control, variables, gaps, and keys beyond the first.

mod attributes;
mod core;
pub(crate) mod lines;
pub mod media;
pub mod multivariant;
mod select;
mod source;
mod timeline;
pub mod variables;

pub use media::MediaPlaylist;
pub use multivariant::Multivariant;
pub(crate) use source::HlsSource;
pub use variables::Variables;

/// Which of the two kinds of playlist a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Multivariant,
    Media,
}

/// Which kind of playlist a tag belongs to, where it tells.
pub(crate) fn kind_of(tag: &str) -> Option<Kind> {
    Some(match tag {
        "EXT-X-STREAM-INF"
        | "EXT-X-I-FRAME-STREAM-INF"
        | "EXT-X-MEDIA"
        | "EXT-X-SESSION-DATA"
        | "EXT-X-SESSION-KEY" => Kind::Multivariant,
        "EXTINF"
        | "EXT-X-TARGETDURATION"
        | "EXT-X-MEDIA-SEQUENCE"
        | "EXT-X-ENDLIST"
        | "EXT-X-PLAYLIST-TYPE"
        | "EXT-X-PART"
        | "EXT-X-SKIP" => Kind::Media,
        _ => return None,
    })
}

/// Tags that one of the addresses, or a piece of media, goes with: a playlist that has both kinds of these is none (RFC
/// 8216, 4.3.2). The others may have strayed.
pub(crate) fn is_decisive(tag: &str) -> bool {
    match kind_of(tag) {
        Some(Kind::Multivariant) => true,
        Some(Kind::Media) => matches!(tag, "EXTINF" | "EXT-X-PART" | "EXT-X-SKIP"),
        None => false,
    }
}

/// Tags in which variables are replaced.
pub(crate) fn is_known(tag: &str) -> bool {
    kind_of(tag).is_some()
        || matches!(
            tag,
            "EXT-X-BYTERANGE"
                | "EXT-X-DEFINE"
                | "EXT-X-DISCONTINUITY-SEQUENCE"
                | "EXT-X-KEY"
                | "EXT-X-MAP"
                | "EXT-X-PART-INF"
                | "EXT-X-PRELOAD-HINT"
                | "EXT-X-PROGRAM-DATE-TIME"
                | "EXT-X-RENDITION-REPORT"
                | "EXT-X-SERVER-CONTROL"
                | "EXT-X-START"
        )
}

/// Tells the kind by the first tag that decides, else by the first that belongs to one.
pub(crate) fn kind(text: &str) -> Result<Kind, crate::Error> {
    let mut uri = false;
    let mut likely = None;
    for line in lines::Lines::new(text) {
        match lines::tag(line.text) {
            Some((name, _)) => {
                if let Some(kind) = kind_of(name) {
                    if is_decisive(name) {
                        return Ok(kind);
                    }
                    likely = likely.or(Some(kind));
                }
            }
            None => uri |= !line.text.starts_with('#'),
        }
    }
    if let Some(kind) = likely {
        return Ok(kind);
    }
    Err(crate::Error::incomplete(
        if uri {
            "the playlist lists addresses without EXTINF or EXT-X-STREAM-INF, so nothing is known of them"
        } else {
            "the playlist lists no segments and no variants"
        },
        "check that the stream has started and that the address is right",
    ))
}

/// A playlist with tags of both kinds MUST NOT be read (RFC 8216, 4.3.4).
pub(crate) fn misplaced(line: usize, tag: &str, read_as: Kind) -> crate::Error {
    let of = if read_as == Kind::Media { "segments" } else { "variants" };
    crate::Error::syntax(
        line,
        format_args!("{tag} does not belong here: this is a playlist of {of} by the tags before it"),
    )
}
