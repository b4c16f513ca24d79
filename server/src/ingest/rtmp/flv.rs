//! Bodies of video and audio messages: FLV tags as Adobe's specification (version 10.1, annex E) has them, and the
//! extended ones of Enhanced RTMP v1 and v2.

use bytes::{Buf as _, Bytes};

/// A codec as a tag names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagCodec {
    /// H.264.
    Avc,
    /// H.265.
    Hevc,
    /// AV1.
    Av1,
    /// AAC.
    Aac,
    /// Opus.
    Opus,
    /// A codec number of the legacy form that is not taken.
    LegacyVideo(u8),
    /// The same for sound.
    LegacyAudio(u8),
    /// A four-character code that is not taken.
    Other([u8; 4]),
}

impl TagCodec {
    /// Its name for people.
    #[must_use]
    pub fn name(self) -> String {
        let name = match self {
            Self::Avc => "H.264",
            Self::Hevc => "HEVC",
            Self::Av1 => "AV1",
            Self::Aac => "AAC",
            Self::Opus => "Opus",
            Self::LegacyVideo(2) => "Sorenson H.263",
            Self::LegacyVideo(3 | 6) => "Screen video",
            Self::LegacyVideo(4 | 5) => "VP6",
            Self::LegacyAudio(0 | 3) => "PCM",
            Self::LegacyAudio(1) => "ADPCM",
            Self::LegacyAudio(2 | 14) => "MP3",
            Self::LegacyAudio(4..=6) => "Nellymoser",
            Self::LegacyAudio(7 | 8) => "G.711",
            Self::LegacyAudio(11) => "Speex",
            Self::LegacyVideo(id) | Self::LegacyAudio(id) => return format!("codec {id}"),
            Self::Other(code) => match &code {
                b"vp08" => "VP8",
                b"vp09" => "VP9",
                b"vvc1" => "VVC",
                b".mp3" => "MP3",
                b"fLaC" => "FLAC",
                b"ac-3" => "AC-3",
                b"ec-3" => "E-AC-3",
                _ => return format!("codec \"{}\"", code.escape_ascii()),
            },
        };
        name.to_owned()
    }

    fn of_code(code: [u8; 4]) -> Self {
        match &code {
            b"avc1" => Self::Avc,
            b"hvc1" => Self::Hevc,
            b"av01" => Self::Av1,
            b"mp4a" => Self::Aac,
            b"Opus" => Self::Opus,
            _ => Self::Other(code),
        }
    }
}

/// What a tag holds of track 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its codec.
    pub codec: TagCodec,
    /// What it is.
    pub content: Content,
    /// There were other tracks, which are left out.
    pub more_tracks: bool,
}

/// What a tag is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The decoder's configuration.
    Config(Bytes),
    /// An access unit.
    Frame {
        /// Decoding can start here.
        key: bool,
        /// Presentation less decode time in milliseconds.
        offset_ms: i32,
        /// The access unit.
        data: Bytes,
    },
    /// End of the sequence, metadata, a command: nothing to pass on.
    Nothing,
}

/// A tag that does not have its form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a media tag is cut short or malformed")]
pub struct BadTag;

type Parsed = Result<Option<Tag>, BadTag>;

const MOD_EX: u8 = 7;

/// Reads a video tag; `None` when it holds nothing of track 0.
///
/// # Errors
/// When it is cut short.
pub fn video(mut body: Bytes) -> Parsed {
    let first = u8_of(&mut body)?;
    let (frame, low) = ((first >> 4) & 7, first & 15);
    let command = frame == 5;
    let key = matches!(frame, 1 | 4);
    if first & 0x80 == 0 {
        let codec = match low {
            7 => TagCodec::Avc,
            // Not in the specification, but what many encoders sent before Enhanced RTMP.
            12 => TagCodec::Hevc,
            other => return tag(TagCodec::LegacyVideo(other), Content::Nothing, false),
        };
        if command {
            return tag(codec, Content::Nothing, false);
        }
        let kind = u8_of(&mut body)?;
        let offset_ms = offset(&mut body)?;
        let content = match kind {
            0 => Content::Config(body),
            1 => Content::Frame { key, offset_ms, data: body },
            _ => Content::Nothing,
        };
        return tag(codec, content, false);
    }
    let mut kind = low;
    skip_mod_ex(&mut body, &mut kind)?;
    if command && kind != 4 {
        return Ok(None);
    }
    let Some((codec, kind, mut body, more_tracks)) = track_zero(body, kind, 6)? else { return Ok(None) };
    let content = match kind {
        0 => Content::Config(body),
        1 if matches!(codec, TagCodec::Avc | TagCodec::Hevc) => {
            let offset_ms = offset(&mut body)?;
            Content::Frame { key, offset_ms, data: body }
        }
        1 | 3 => Content::Frame { key, offset_ms: 0, data: body },
        _ => Content::Nothing,
    };
    tag(codec, content, more_tracks)
}

/// Reads an audio tag; `None` when it holds nothing of track 0.
///
/// # Errors
/// When it is cut short.
pub fn audio(mut body: Bytes) -> Parsed {
    let first = u8_of(&mut body)?;
    let (format, mut kind) = (first >> 4, first & 15);
    let frame = |data| Content::Frame { key: true, offset_ms: 0, data };
    match format {
        10 => {
            let content = match u8_of(&mut body)? {
                0 => Content::Config(body),
                1 => frame(body),
                _ => Content::Nothing,
            };
            tag(TagCodec::Aac, content, false)
        }
        9 => {
            skip_mod_ex(&mut body, &mut kind)?;
            let Some((codec, kind, body, more_tracks)) = track_zero(body, kind, 5)? else { return Ok(None) };
            let content = match kind {
                0 => Content::Config(body),
                1 => frame(body),
                _ => Content::Nothing,
            };
            tag(codec, content, more_tracks)
        }
        other => tag(TagCodec::LegacyAudio(other), Content::Nothing, false),
    }
}

fn tag(codec: TagCodec, content: Content, more_tracks: bool) -> Parsed {
    Ok(Some(Tag { codec, content, more_tracks }))
}

/// Passes over the modifiers that Enhanced RTMP v2 may put before the body.
fn skip_mod_ex(body: &mut Bytes, kind: &mut u8) -> Result<(), BadTag> {
    while *kind == MOD_EX {
        let mut size = usize::from(u8_of(body)?) + 1;
        if size == 256 {
            size = usize::from(body.try_get_u16().map_err(|_| BadTag)?) + 1;
        }
        if body.len() < size {
            return Err(BadTag);
        }
        body.advance(size);
        *kind = u8_of(body)? & 15;
    }
    Ok(())
}

/// Codec, packet type and body of track 0, and whether there are more tracks.
fn track_zero(
    mut body: Bytes,
    kind: u8,
    multitrack: u8,
) -> Result<Option<(TagCodec, u8, Bytes, bool)>, BadTag> {
    if kind != multitrack {
        let codec = code(&mut body)?;
        return Ok(Some((codec, kind, body, false)));
    }
    let packed = u8_of(&mut body)?;
    let (layout, kind) = (packed >> 4, packed & 15);
    let shared = if layout == 2 { None } else { Some(code(&mut body)?) };
    let mut found = None;
    let mut more_tracks = false;
    while body.has_remaining() {
        let codec = match shared {
            Some(codec) => codec,
            None => code(&mut body)?,
        };
        let id = u8_of(&mut body)?;
        let size = match layout {
            0 => body.len(),
            _ => body.try_get_uint(3).map_err(|_| BadTag)? as usize,
        };
        if body.len() < size {
            return Err(BadTag);
        }
        let track = body.split_to(size);
        if id == 0 {
            found = Some((codec, track));
        } else {
            more_tracks = true;
        }
    }
    Ok(found.map(|(codec, body)| (codec, kind, body, more_tracks)))
}

fn u8_of(body: &mut Bytes) -> Result<u8, BadTag> {
    body.try_get_u8().map_err(|_| BadTag)
}

fn code(body: &mut Bytes) -> Result<TagCodec, BadTag> {
    let code = body.try_get_u32().map_err(|_| BadTag)?;
    Ok(TagCodec::of_code(code.to_be_bytes()))
}

fn offset(body: &mut Bytes) -> Result<i32, BadTag> {
    body.try_get_int(3).map(|offset| offset as i32).map_err(|_| BadTag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(key: bool, offset_ms: i32, data: &'static [u8]) -> Content {
        Content::Frame { key, offset_ms, data: Bytes::from_static(data) }
    }

    fn config(data: &'static [u8]) -> Content {
        Content::Config(Bytes::from_static(data))
    }

    #[test]
    fn every_form_of_video_tag_is_read() {
        use TagCodec::{Av1, Avc, Hevc, LegacyVideo, Other};
        let rows: &[(&[u8], TagCodec, Content, bool)] = &[
            (&[0x17, 0, 0, 0, 0, 1, 2], Avc, config(&[1, 2]), false),
            (&[0x17, 1, 0, 0, 80, 9], Avc, frame(true, 80, &[9]), false),
            (&[0x27, 1, 0xff, 0xff, 0xd8, 9], Avc, frame(false, -40, &[9]), false),
            (&[0x17, 2, 0, 0, 0], Avc, Content::Nothing, false),
            (&[0x57, 0], Avc, Content::Nothing, false),
            (&[0x1c, 1, 0, 0, 0, 9], Hevc, frame(true, 0, &[9]), false),
            (&[0x12, 1], LegacyVideo(2), Content::Nothing, false),
            (b"\x90hvc1\x01\x02", Hevc, config(&[1, 2]), false),
            (b"\x91hvc1\x00\x00\x28\x09", Hevc, frame(true, 40, &[9]), false),
            (b"\xa3hvc1\x09", Hevc, frame(false, 0, &[9]), false),
            (b"\x90av01\x81", Av1, config(&[0x81]), false),
            (b"\x91av01\x09\x09\x09\x09", Av1, frame(true, 0, &[9; 4]), false),
            (b"\x94hvc1\x02", Hevc, Content::Nothing, false),
            (b"\x92hvc1", Hevc, Content::Nothing, false),
            (b"\x90vp09\x01", Other(*b"vp09"), config(&[1]), false),
            // Modifier of four bytes before a coded frame.
            (b"\x97\x03\x00\x00\x00\x00\x01avc1\x00\x00\x00\x09", Avc, frame(true, 0, &[9]), false),
            // One track; many tracks of one codec; many tracks of many codecs.
            (b"\x96\x01avc1\x00\x00\x00\x28\x09", Avc, frame(true, 40, &[9]), false),
            (
                b"\x96\x11avc1\x01\x00\x00\x04\x00\x00\x00\x08\x00\x00\x00\x04\x00\x00\x00\x09",
                Avc,
                frame(true, 0, &[9]),
                true,
            ),
            (b"\x96\x20av01\x00\x00\x00\x01\x81hvc1\x01\x00\x00\x01\x02", Av1, config(&[0x81]), true),
        ];
        for (bytes, codec, content, more_tracks) in rows {
            let expected = Tag { codec: *codec, content: content.clone(), more_tracks: *more_tracks };
            assert_eq!(video(Bytes::from_static(bytes)), Ok(Some(expected)), "{}", bytes.escape_ascii());
        }
        // A command (seek), and a track other than 0.
        for bytes in [&b"\xd1\x00"[..], b"\x96\x01avc1\x03\x00\x00\x28\x09"] {
            assert_eq!(video(Bytes::copy_from_slice(bytes)), Ok(None));
        }
    }

    #[test]
    fn every_form_of_audio_tag_is_read() {
        use TagCodec::{Aac, LegacyAudio, Opus, Other};
        let rows: &[(&[u8], TagCodec, Content, bool)] = &[
            (&[0xaf, 0, 0x11, 0x90], Aac, config(&[0x11, 0x90]), false),
            (&[0xaf, 1, 9], Aac, frame(true, 0, &[9]), false),
            (&[0x2f, 9], LegacyAudio(2), Content::Nothing, false),
            (b"\x90OpusOpusHead", Opus, config(b"OpusHead"), false),
            (b"\x91Opus\x09", Opus, frame(true, 0, &[9]), false),
            (b"\x91mp4a\x09", Aac, frame(true, 0, &[9]), false),
            (b"\x94Opus\x09", Opus, Content::Nothing, false),
            (b"\x91.mp3\x09", Other(*b".mp3"), frame(true, 0, &[9]), false),
            (b"\x95\x11mp4a\x00\x00\x00\x01\x09\x01\x00\x00\x01\x08", Aac, frame(true, 0, &[9]), true),
        ];
        for (bytes, codec, content, more_tracks) in rows {
            let expected = Tag { codec: *codec, content: content.clone(), more_tracks: *more_tracks };
            assert_eq!(audio(Bytes::from_static(bytes)), Ok(Some(expected)), "{}", bytes.escape_ascii());
        }
        assert_eq!(LegacyAudio(2).name(), "MP3");
        assert_eq!(Other(*b"ab\n\"").name(), "codec \"ab\\n\\\"\"");
    }

    #[test]
    fn every_cut_is_an_error_or_a_shorter_tag() {
        let tags: &[&'static [u8]] = &[
            b"\x97\x03\x00\x00\x00\x00\x01avc1\x00\x00\x00\x09",
            b"\x97\xff\x00\x01\x00\x00\x01avc1\x00\x00\x00\x09",
            b"\x96\x11avc1\x01\x00\x00\x04\x00\x00\x00\x08\x00\x00\x00\x04\x00\x00\x00\x09",
            b"\x95\x21mp4a\x00\x00\x00\x01\x09Opus\x01\x00\x00\x01\x08",
        ];
        for tag in tags {
            for end in 0..tag.len() {
                let _ = (video(Bytes::from_static(&tag[..end])), audio(Bytes::from_static(&tag[..end])));
            }
        }
        assert_eq!(video(Bytes::new()), Err(BadTag));
        assert_eq!(video(Bytes::from_static(b"\x96\x11avc1\x00\xff\xff\xff\x00")), Err(BadTag));
    }
}
