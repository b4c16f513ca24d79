//! HLS playlists (RFC 8216) as a client of them needs them: absolute addresses, numbered segments, what stands for all
//! that follow carried forward.

use std::collections::HashMap;
use std::sync::Arc;

use m3u8_rs::{AlternativeMediaType, KeyMethod, MasterPlaylist, MediaPlaylist};
use url::Url;

use super::PullError;
use crate::ingest::fetch::{ByteRange, shown};

/// Segments in one playlist: a day in segments of one second.
const MOST_SEGMENTS: usize = 90_000;

/// A playlist of either kind.
#[derive(Debug)]
pub(super) enum Playlist {
    Multivariant(Box<MasterPlaylist>),
    Media(Media),
}

/// Which playlists make up the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// The variant's media playlist.
    pub(super) variant: Url,
    /// The media playlist of its sound, where that is not in the variant.
    pub(super) sound: Option<Url>,
    /// Announced peak in bit/s; 0 where nothing is announced.
    pub(super) bandwidth: u64,
    /// Announced size of the pictures in pixels.
    pub(super) resolution: Option<(u32, u32)>,
}

/// A media playlist as it is now.
#[derive(Debug, Clone)]
pub(super) struct Media {
    /// Longest segment in seconds, at least 1.
    pub(super) target_s: u64,
    pub(super) segments: Vec<Segment>,
    /// Number that the segment after the last one will have.
    pub(super) next: u64,
    /// Nothing will be added.
    pub(super) ended: bool,
}

/// A segment of a media playlist.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// Its discontinuity sequence number: the same in every rendition.
    pub(super) run: u64,
    pub(super) resource: Resource,
    pub(super) seconds: f64,
    pub(super) key: Option<Arc<Key>>,
    pub(super) map: Option<Arc<Map>>,
    /// It is not there and will not be.
    pub(super) gap: bool,
}

/// Something to download.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Resource {
    pub(super) url: Url,
    pub(super) range: Option<ByteRange>,
}

/// How segments are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) url: Url,
    /// Where none is given the segment's number is it.
    pub(super) iv: Option<[u8; 16]>,
}

/// An init segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) resource: Resource,
    pub(super) key: Option<Arc<Key>>,
}

/// Whether a body is a playlist, by its beginning.
pub(crate) fn is_playlist(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    head.trim_ascii_start().starts_with(b"#EXTM3U")
}

/// Reads a playlist that came from `base`.
pub(super) fn parse(base: &Url, body: &[u8]) -> Result<Playlist, PullError> {
    let wrong = |why: &str| PullError::Playlist { url: shown(base), why: why.to_owned() };
    if !is_playlist(body) {
        return Err(wrong("it does not begin with #EXTM3U"));
    }
    let text = String::from_utf8_lossy(body);
    if text.contains("#EXT-X-DEFINE") {
        return Err(wrong("it uses variables (EXT-X-DEFINE), which this server does not know"));
    }
    let text = plain(&text);
    let parsed = m3u8_rs::parse_playlist_res(text.as_bytes());
    match parsed.map_err(|_| wrong("it does not parse"))? {
        m3u8_rs::Playlist::MasterPlaylist(master) => Ok(Playlist::Multivariant(Box::new(master))),
        m3u8_rs::Playlist::MediaPlaylist(media) => read(base, media).map(Playlist::Media),
    }
}

/// The text without what the parser trips over: a byte order mark, blanks around lines, a target duration with decimals,
/// and the end of encryption, which it takes for wrong without an IV.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim();
        match line.strip_prefix("#EXT-X-TARGETDURATION:").and_then(|value| value.parse::<f64>().ok()) {
            Some(seconds) => {
                out.push_str(&format!(
                    "#EXT-X-TARGETDURATION:{}",
                    seconds.clamp(1.0, 86_400.0).ceil() as u64
                ));
            }
            None => out.push_str(line),
        }
        if line.starts_with("#EXT-X-KEY:") && line.contains("METHOD=NONE") && !line.contains("IV=") {
            out.push_str(",IV=0x0");
        }
        out.push('\n');
    }
    out
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
    let sound = sound.and_then(|media| media.uri.as_deref());
    Ok(Choice {
        variant: join(base, &best.uri)?,
        sound: sound.map(|uri| join(base, uri)).transpose()?,
        bandwidth: best.bandwidth,
        resolution: size(best),
    })
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

fn join(base: &Url, uri: &str) -> Result<Url, PullError> {
    base.join(uri.trim()).map_err(|error| PullError::Playlist {
        url: shown(base),
        why: format!("it names {:?}, which is no address: {error}", uri.chars().take(80).collect::<String>()),
    })
}

fn read(base: &Url, media: MediaPlaylist) -> Result<Media, PullError> {
    let wrong = |why: String| PullError::Playlist { url: shown(base), why };
    if media.i_frames_only {
        return Err(wrong(
            "it lists key frames only; give the address of the multivariant playlist".to_owned(),
        ));
    }
    if media.segments.len() > MOST_SEGMENTS {
        return Err(wrong(format!("it lists more than {MOST_SEGMENTS} segments")));
    }
    let (mut number, mut run) = (media.media_sequence, media.discontinuity_sequence);
    let (mut key, mut map): (Option<Arc<Key>>, Option<Arc<Map>>) = (None, None);
    // Where a byte range without an offset goes on.
    let mut ends: HashMap<Url, u64> = HashMap::new();
    let mut segments = Vec::with_capacity(media.segments.len());
    for (index, segment) in media.segments.into_iter().enumerate() {
        if let Some(new) = &segment.key {
            key = read_key(base, new)?;
        }
        if let Some(new) = &segment.map {
            let url = join(base, &new.uri)?;
            let range = new
                .byte_range
                .as_ref()
                .map(|range| ByteRange { offset: range.offset.unwrap_or(0), length: range.length });
            let resource = Resource { url, range };
            if map.as_ref().is_none_or(|known| known.resource != resource) {
                map = Some(Arc::new(Map { resource, key: key.clone() }));
            }
        }
        run = run.saturating_add(u64::from(segment.discontinuity && index > 0));
        let url = join(base, &segment.uri)?;
        let range = segment.byte_range.as_ref().map(|range| {
            let offset = range.offset.unwrap_or_else(|| ends.get(&url).copied().unwrap_or(0));
            ends.insert(url.clone(), offset.saturating_add(range.length));
            ByteRange { offset, length: range.length }
        });
        if range.is_some_and(|range| range.length == 0) {
            return Err(wrong("a segment has a byte range of no bytes".to_owned()));
        }
        segments.push(Segment {
            number,
            run,
            resource: Resource { url, range },
            seconds: f64::from(segment.duration).clamp(0.0, 3600.0),
            key: key.clone(),
            map: map.clone(),
            gap: segment.unknown_tags.iter().any(|tag| tag.tag == "X-GAP"),
        });
        number = number.saturating_add(1);
    }
    Ok(Media {
        target_s: media.target_duration.clamp(1, 86_400),
        segments,
        next: number,
        ended: media.end_list,
    })
}

fn read_key(base: &Url, key: &m3u8_rs::Key) -> Result<Option<Arc<Key>>, PullError> {
    let refused = |method: String| PullError::Encrypted { url: shown(base), method };
    match &key.method {
        KeyMethod::None => return Ok(None),
        KeyMethod::AES128 => {}
        KeyMethod::SampleAES => return Err(refused("SAMPLE-AES".to_owned())),
        KeyMethod::Other(other) => return Err(refused(other.chars().take(40).collect())),
    }
    if key.keyformat.as_deref().is_some_and(|format| format != "identity") {
        return Err(refused("AES-128 with a key system".to_owned()));
    }
    let uri = key.uri.as_deref().ok_or_else(|| refused("AES-128 without a key's address".to_owned()))?;
    let iv = key.iv.as_deref().map(|text| {
        let digits = text.trim_start_matches("0x").trim_start_matches("0X");
        let value = u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes);
        value.ok_or_else(|| refused("AES-128 with an IV that is no 128-bit number".to_owned()))
    });
    Ok(Some(Arc::new(Key { url: join(base, uri)?, iv: iv.transpose()? })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("http://host/live/master.m3u8?token=1").unwrap()
    }

    fn media(text: &str) -> Media {
        match parse(&base(), text.as_bytes()).unwrap() {
            Playlist::Media(media) => media,
            Playlist::Multivariant(_) => panic!("a media playlist"),
        }
    }

    fn chosen(text: &str) -> Choice {
        match parse(&base(), text.as_bytes()).unwrap() {
            Playlist::Multivariant(master) => choose(&base(), &master).unwrap(),
            Playlist::Media(_) => panic!("a multivariant playlist"),
        }
    }

    #[test]
    fn the_best_variant_is_chosen_with_its_sound() {
        let choice = chosen(
            "\u{feff}#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"de\",URI=\"de.m3u8\"\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"en\",DEFAULT=YES,AUTOSELECT=YES,URI=\"../en.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=9000000,CODECS=\"dvh1.05.01\",RESOLUTION=1920x1080,AUDIO=\"a\"\nd.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=800000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=640x360,AUDIO=\"a\"\nl.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=3000000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,AUDIO=\"a\"\nh.m3u8 \n\
             #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=99000000,URI=\"i.m3u8\"\n",
        );
        assert_eq!(choice.variant.as_str(), "http://host/live/h.m3u8");
        assert_eq!(choice.sound.unwrap().as_str(), "http://host/en.m3u8");
        assert_eq!((choice.bandwidth, choice.resolution), (3_000_000, Some((1280, 720))));
    }

    #[test]
    fn what_stands_for_all_that_follow_is_carried_forward() {
        let list = media(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4.5\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n\
             #EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\n#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"100@0\"\n\
             #EXTINF:4,\n#EXT-X-BYTERANGE:50@100\nm.mp4\n#EXTINF:4.5,\n#EXT-X-BYTERANGE:60\nm.mp4\n\
             #EXT-X-DISCONTINUITY\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:2,\n#EXT-X-GAP\nx.ts\n",
        );
        assert_eq!((list.target_s, list.next, list.ended, list.segments.len()), (5, 10, false, 3));
        let [a, b, c] = &list.segments[..] else { panic!("three") };
        assert_eq!((a.number, a.run, b.run, c.run, c.gap, b.gap), (7, 3, 3, 4, true, false));
        assert_eq!(b.resource.range, Some(ByteRange { offset: 150, length: 60 }));
        assert!(a.key.is_some() && b.key == a.key && c.key.is_none());
        assert!(a.map.is_some() && a.map == b.map && c.map == a.map, "one init segment");
        assert_eq!(a.map.as_ref().unwrap().resource.range, Some(ByteRange { offset: 0, length: 100 }));
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
            (format!("{head}#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n"), "EXT-X-DEFINE"),
        ];
        for (text, part) in rows {
            let error = parse(&base(), text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("token=1"), "{part}: {error}");
        }
        let none =
            parse(&base(), b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"vp09.00\"\na.m3u8\n").unwrap();
        let Playlist::Multivariant(none) = none else { panic!("multivariant") };
        assert!(choose(&base(), &none).unwrap_err().to_string().contains("vp09"));
    }

    #[test]
    fn garbage_never_panics() {
        let good = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x1\n#EXTINF:4,\n#EXT-X-BYTERANGE:5@1\na\n";
        for at in 0..good.len() {
            for byte in [0, b'\n', b'"', b':', 0xff] {
                let mut bad = good.as_bytes().to_vec();
                bad[at] = byte;
                let _ = parse(&base(), &bad);
                let _ = parse(&base(), &good.as_bytes()[..at]);
            }
        }
    }
}
