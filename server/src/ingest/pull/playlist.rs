//! HLS playlists (RFC 8216bis) as a client of them needs them: which of its variants a stream is pulled by.

use m3u8_rs::{AlternativeMediaType, MasterPlaylist};
use url::Url;

use super::PullError;
use super::define::{self, Variables};
use super::media::{self, Media, join};
use crate::ingest::fetch::shown;
use crate::ingest::subtitles;
use crate::package::language::tag_of;

/// A playlist of either kind.
#[derive(Debug)]
pub(super) enum Playlist {
    Multivariant(Box<MasterPlaylist>),
    Media(Box<Media>),
}

/// Which playlists make up the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// The variant's media playlist.
    pub(super) variant: Url,
    /// The media playlist of its sound, where that is not in the variant.
    pub(super) sound: Option<Url>,
    /// The sound's language (RFC 5646), where one is named.
    pub(super) language: Option<String>,
    /// Announced peak in bit/s; 0 where nothing is announced.
    pub(super) bandwidth: u64,
    /// Announced size of the pictures in pixels.
    pub(super) resolution: Option<(u32, u32)>,
}

/// Whether a body is a playlist, by its beginning.
pub(crate) fn is_playlist(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    head.trim_ascii_start().starts_with(b"#EXTM3U")
}

/// Reads a playlist that came from `base`, and the variables that it defines. `imported` are those of the multivariant
/// playlist that led to it.
pub(super) fn parse(
    base: &Url,
    body: &[u8],
    imported: Option<&Variables>,
) -> Result<(Playlist, Variables), PullError> {
    let wrong = |why: String| PullError::Playlist { url: shown(base), why };
    if !is_playlist(body) {
        return Err(wrong("it does not begin with #EXTM3U".to_owned()));
    }
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let (text, variables) = define::resolve(base, text, imported).map_err(wrong)?;
    if !is_multivariant(&text) {
        return Ok((Playlist::Media(Box::new(media::read(base, &text)?)), variables));
    }
    // The parser trips over blanks around lines.
    let lines: String = text.lines().flat_map(|line| [line.trim(), "\n"]).collect();
    match m3u8_rs::parse_playlist_res(lines.as_bytes()) {
        Ok(m3u8_rs::Playlist::MasterPlaylist(master)) => {
            Ok((Playlist::Multivariant(Box::new(master)), variables))
        }
        _ => Err(wrong("it does not parse".to_owned())),
    }
}

fn is_multivariant(text: &str) -> bool {
    let tags = ["#EXT-X-STREAM-INF:", "#EXT-X-I-FRAME-STREAM-INF:", "#EXT-X-MEDIA:"];
    text.lines().any(|line| tags.iter().any(|tag| line.trim_start().starts_with(tag)))
}

/// The best variant that this server can carry, and the sound that goes with it.
pub(super) fn choose(base: &Url, master: &MasterPlaylist) -> Result<Choice, PullError> {
    let wrong = |why: String| PullError::Playlist { url: shown(base), why };
    let variants = || master.variants.iter().filter(|variant| !variant.is_i_frame);
    let size = |variant: &m3u8_rs::VariantStream| {
        let side = |pixels: u64| u32::try_from(pixels).unwrap_or(u32::MAX);
        variant.resolution.map(|resolution| (side(resolution.width), side(resolution.height)))
    };
    let pixels =
        |variant: &m3u8_rs::VariantStream| size(variant).map_or(0, |(w, h)| u64::from(w) * u64::from(h));
    let carried = |variant: &&m3u8_rs::VariantStream| variant.codecs.as_deref().is_none_or(can_carry);
    let best = variants().filter(carried).max_by_key(|variant| (pixels(variant), variant.bandwidth));
    let Some(best) = best else {
        let codecs: Vec<_> = variants().filter_map(|variant| variant.codecs.as_deref()).take(4).collect();
        return Err(wrong(match codecs.is_empty() {
            true => "it lists no variant with a BANDWIDTH".to_owned(),
            false => format!(
                "none of its variants has codecs that this server carries (H.264, HEVC, AV1, AAC, Opus), only {}",
                codecs.join("; ")
            ),
        }));
    };
    let group = best.audio.as_deref();
    let in_group = || {
        master.alternatives.iter().filter(|media| {
            media.media_type == AlternativeMediaType::Audio && Some(media.group_id.as_str()) == group
        })
    };
    let sound = in_group().max_by_key(|media| (media.default, media.autoselect));
    let named = sound.and_then(|media| media.language.as_deref());
    let sound = sound.and_then(|media| media.uri.as_deref());
    Ok(Choice {
        variant: join(base, &best.uri)?,
        sound: sound.map(|uri| join(base, uri)).transpose()?,
        language: named.and_then(language_of),
        bandwidth: best.bandwidth,
        resolution: size(best),
    })
}

/// A rendition's language as this server writes it.
fn language_of(named: &str) -> Option<String> {
    let tag = subtitles::language(named)?;
    // Some write the codes of three letters that are for containers.
    if tag.len() > 3 { Some(tag) } else { tag_of(&tag) }
}

fn can_carry(codecs: &str) -> bool {
    const PICTURES: [&str; 5] = ["avc1", "avc3", "hvc1", "hev1", "av01"];
    const SOUND: [&str; 3] = ["mp4a.40", "opus", "Opus"];
    // Of what else is in there, a sound that is unknown costs the sound, and text costs nothing.
    codecs
        .split(',')
        .map(str::trim)
        .any(|codec| PICTURES.iter().chain(&SOUND).any(|known| codec.starts_with(known)))
        && !codecs
            .split(',')
            .map(str::trim)
            .any(|codec| ["vp0", "dvh", "dav", "mjp"].iter().any(|no| codec.starts_with(no)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("http://host/live/master.m3u8?token=1").unwrap()
    }

    fn chosen(text: &str) -> Choice {
        match parse(&base(), text.as_bytes(), None).unwrap().0 {
            Playlist::Multivariant(master) => choose(&base(), &master).unwrap(),
            Playlist::Media(_) => panic!("a multivariant playlist"),
        }
    }

    #[test]
    fn the_best_variant_is_chosen_with_its_sound() {
        let choice = chosen(
            "\u{feff}#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"de\",URI=\"de.m3u8\"\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"en\",LANGUAGE=\"eng\",DEFAULT=YES,AUTOSELECT=YES,URI=\"../en.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=9000000,CODECS=\"dvh1.05.01\",RESOLUTION=1920x1080,AUDIO=\"a\"\nd.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=800000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=640x360,AUDIO=\"a\"\nl.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=3000000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,AUDIO=\"a\"\nh.m3u8 \n\
             #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=99000000,URI=\"i.m3u8\"\n",
        );
        assert_eq!(choice.variant.as_str(), "http://host/live/h.m3u8");
        assert_eq!(choice.sound.unwrap().as_str(), "http://host/en.m3u8");
        assert_eq!(choice.language.as_deref(), Some("en"));
        let languages = ["", "und", "pt-BR", "x\u{a0}y"].map(language_of);
        assert_eq!(languages, [None, None, Some("pt-br".to_owned()), None]);
        assert_eq!((choice.bandwidth, choice.resolution), (3_000_000, Some((1280, 720))));
    }

    #[test]
    fn what_cannot_be_played_is_refused_with_a_reason() {
        let head = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n";
        let rows = [
            ("<html>no</html>".to_owned(), "#EXTM3U"),
            (String::new(), "#EXTM3U"),
            (format!("{head}#EXT-X-I-FRAMES-ONLY\n#EXTINF:4,\na\n"), "key frames"),
            (format!("{head}#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n#EXTINF:4,\na\n"), "SAMPLE-AES"),
            (
                format!("{head}#EXT-X-KEY:METHOD=AES-128,URI=\"k\",KEYFORMAT=\"com.x\"\n#EXTINF:4,\na\n"),
                "key system",
            ),
            (format!("{head}#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0xzz\n#EXTINF:4,\na\n"), "IV"),
            (format!("{head}#EXTINF:4,\nhttp://[\n"), "no address"),
            (format!("{head}#EXT-X-BYTERANGE:0@1\n#EXTINF:4,\na\n"), "no bytes"),
            (format!("{head}#EXT-X-DEFINE:IMPORT=\"a\"\n"), "no multivariant"),
        ];
        for (text, part) in rows {
            let error = parse(&base(), text.as_bytes(), None).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("token=1"), "{part}: {error}");
        }
        let none = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"vp09.00\"\na.m3u8\n";
        let Playlist::Multivariant(none) = parse(&base(), none, None).unwrap().0 else {
            panic!("multivariant")
        };
        assert!(choose(&base(), &none).unwrap_err().to_string().contains("vp09"));
    }

    #[test]
    fn garbage_never_panics() {
        let good = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x1\n#EXTINF:4,\n#EXT-X-BYTERANGE:5@1\na\n";
        for at in 0..good.len() {
            for byte in [0, b'\n', b'"', b':', 0xff] {
                let mut bad = good.as_bytes().to_vec();
                bad[at] = byte;
                let _ = parse(&base(), &bad, None);
                let _ = parse(&base(), &good.as_bytes()[..at], None);
            }
        }
    }
}
