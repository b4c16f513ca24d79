//! I-frame playlists: one entry a key frame, as a byte range of its segment (RFC 8216bis, section 4.4.3.6).

use std::fmt::Write as _;

use crate::deliver::names::{init_name, segment_name};
use crate::deliver::text::decimal;

use super::media::Growth;

/// A key frame that can be fetched by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFrame {
    /// Number of its segment.
    pub segment: u32,
    /// Decode time in ticks.
    pub start: u64,
    /// Time until the next listed key frame or the end of the list, in ticks.
    pub duration: u64,
    /// Where its fragment begins in the segment.
    pub offset: u64,
    /// Bytes from there to the frame's end; 0 for a gap.
    pub bytes: u64,
    /// Init segment that it needs.
    pub init: u32,
    /// It is the first after a discontinuity.
    pub discontinuity: bool,
}

/// What an I-frame playlist is made of.
#[derive(Debug)]
pub struct IFrameInput<'a> {
    /// The key frames of the listed segments.
    pub frames: &'a [KeyFrame],
    /// Ticks a second of their times.
    pub timescale: u32,
    /// Number of the first listed segment.
    pub first: u32,
    /// Discontinuities in front of it.
    pub discontinuity_sequence: u64,
    /// Part of media names.
    pub generation: &'a str,
    /// `EXT-X-TARGETDURATION` of the media playlists.
    pub target: u32,
    /// How it may still change.
    pub growth: Growth,
}

/// The playlist.
pub fn playlist(input: &IFrameInput<'_>) -> String {
    let timescale = u64::from(input.timescale.max(1));
    let longest = input.frames.iter().map(|f| (f.duration + timescale / 2) / timescale).max().unwrap_or(0);
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{}\n",
        longest.max(u64::from(input.target)),
        input.first
    );
    if input.growth == Growth::Sliding || input.discontinuity_sequence > 0 {
        let _ = writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", input.discontinuity_sequence);
    }
    match input.growth {
        Growth::Event => text.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n"),
        Growth::Ended => text.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n"),
        Growth::Sliding => {}
    }
    text.push_str("#EXT-X-I-FRAMES-ONLY\n");
    let mut map = None;
    for frame in input.frames {
        if frame.discontinuity {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if map != Some(frame.init) {
            map = Some(frame.init);
            let _ = writeln!(text, "#EXT-X-MAP:URI=\"{}\"", init_name(input.generation, frame.init));
        }
        let duration = decimal(frame.duration, timescale);
        let name = segment_name(frame.segment, input.generation);
        // Also what is missing has its entry, so that entries count as segments do.
        let _ = match frame.bytes {
            0 => write!(text, "#EXTINF:{duration},\n#EXT-X-GAP\n{name}\n"),
            bytes => write!(text, "#EXTINF:{duration},\n#EXT-X-BYTERANGE:{bytes}@{}\n{name}\n", frame.offset),
        };
    }
    if input.growth == Growth::Ended {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    text
}

/// The highest bitrate that showing every key frame in its own time takes, in bit/s (section 4.4.6.3).
pub fn peak(frames: &[KeyFrame], timescale: u32) -> Option<u64> {
    frames
        .iter()
        .filter_map(|f| (u128::from(f.bytes) * 8 * u128::from(timescale)).checked_div(u128::from(f.duration)))
        .max()
        .and_then(|rate| u64::try_from(rate).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(segment: u32, offset: u64, bytes: u64) -> KeyFrame {
        KeyFrame {
            segment,
            start: u64::from(segment - 1) * 8000,
            duration: 8000,
            offset,
            bytes,
            init: 0,
            discontinuity: false,
        }
    }

    fn input(frames: &[KeyFrame]) -> IFrameInput<'_> {
        IFrameInput {
            frames,
            timescale: 2000,
            first: 1,
            discontinuity_sequence: 0,
            generation: "k",
            target: 4,
            growth: Growth::Ended,
        }
    }

    #[test]
    fn every_key_frame_is_a_range_of_its_segment() {
        let frames = [frame(1, 24, 5000), KeyFrame { init: 1, discontinuity: true, ..frame(2, 0, 4000) }];
        let expected = "\
#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-I-FRAMES-ONLY
#EXT-X-MAP:URI=\"init-k.mp4\"
#EXTINF:4.0,
#EXT-X-BYTERANGE:5000@24
00001-k.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI=\"init-k-1.mp4\"
#EXTINF:4.0,
#EXT-X-BYTERANGE:4000@0
00002-k.m4s
#EXT-X-ENDLIST
";
        assert_eq!(playlist(&input(&frames)), expected);
        assert_eq!(peak(&frames, 2000), Some(10_000));
        let parsed = broadcast_hls::MediaPlaylist::parse(expected).unwrap();
        assert!(parsed.iframes_only);
        assert_eq!(
            parsed.segments[0].byte_range.as_ref().map(|r| (r.length, r.offset)),
            Some((5000, Some(24)))
        );
    }

    #[test]
    fn a_sliding_list_is_neither_typed_nor_ended() {
        let frames = [frame(9, 0, 10)];
        let text = playlist(&IFrameInput { first: 9, growth: Growth::Sliding, ..input(&frames) });
        assert!(
            text.contains("#EXT-X-MEDIA-SEQUENCE:9\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-I-FRAMES-ONLY\n"),
            "{text}"
        );
        assert!(!text.contains("ENDLIST") && !text.contains("TYPE"));
    }

    #[test]
    fn no_key_frame_is_no_rate() {
        assert_eq!(peak(&[], 2000), None);
        assert_eq!(peak(&[KeyFrame { duration: 0, ..frame(1, 0, 10) }], 2000), None);
    }
}
