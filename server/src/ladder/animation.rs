//! Pictures that move and are no film: GIF, whose decoder forgets its times, and those that no decoder here plays.

use std::collections::VecDeque;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

/// The decoder that hands pictures on without the times that they came with (GStreamer 1.22).
const FORGETFUL: &str = "avdec_gif";
/// Pictures that may be inside it; it gives out one for each that goes in.
const MOST_INSIDE: usize = 64;
/// What is read of a file to find out: the chunk that tells stands before the first picture.
const HEAD: u64 = 64 * 1024;

/// An animation of which no decoder here makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Animation {
    /// Its first picture is decoded, as that of any PNG.
    Apng,
    /// Nothing of it is.
    WebP,
}

/// Looks whether a file is an animation of that kind. One that cannot be read is none: opening it tells why.
pub(crate) fn animation(path: &Path) -> Option<Animation> {
    let mut head = Vec::new();
    std::fs::File::open(path).ok()?.take(HEAD).read_to_end(&mut head).ok()?;
    if head.get(..4) == Some(b"RIFF") && head.get(8..16) == Some(b"WEBPVP8X") {
        return (head.get(20)? & 2 != 0).then_some(Animation::WebP);
    }
    let mut rest = head.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    loop {
        let length = u32::from_be_bytes(*rest.first_chunk::<4>()?) as usize;
        match rest.get(4..8)? {
            b"acTL" => return Some(Animation::Apng),
            b"IDAT" | b"IEND" => return None,
            _ => rest = rest.get(length.checked_add(12)?..)?,
        }
    }
}

/// Gives the pictures of a GIF their times back, wherever `decoder` comes to have such a decoder inside.
pub(super) fn keep_times(decoder: &gst::Element) {
    let Some(bin) = decoder.downcast_ref::<gst::Bin>() else { return };
    bin.connect_deep_element_added(|_, _, element| {
        if element.factory().is_some_and(|factory| factory.name() == FORGETFUL)
            && let (Some(sink), Some(src)) = (element.static_pad("sink"), element.static_pad("src"))
        {
            remember(&sink, &src);
        }
    });
}

type Times = VecDeque<(Option<gst::ClockTime>, Option<gst::ClockTime>)>;

fn remember(sink: &gst::Pad, src: &gst::Pad) {
    let times = Arc::new(Mutex::new(Times::new()));
    let shared = Arc::clone(&times);
    sink.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH, move |_, info| {
        let mut times = shared.lock().unwrap_or_else(PoisonError::into_inner);
        match info.buffer() {
            Some(buffer) => {
                times.push_back((buffer.pts(), buffer.duration()));
                if times.len() > MOST_INSIDE {
                    times.pop_front();
                }
            }
            // A seek: what was inside never comes out.
            None => times.clear(),
        }
        gst::PadProbeReturn::Ok
    });
    src.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let known = times.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if let (Some((pts, duration)), Some(buffer)) = (known, info.buffer_mut()) {
            let buffer = buffer.make_mut();
            buffer.set_pts(pts);
            buffer.set_duration(duration);
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn animations_are_told_by_what_stands_before_their_first_picture() {
        let folder = tempfile::tempdir().unwrap();
        let chunk = |kind: &[u8; 4], data: &[u8]| {
            [&(data.len() as u32).to_be_bytes()[..], kind, data, &[0; 4]].concat()
        };
        let png = |chunks: &[Vec<u8>]| [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat();
        let (header, still) = (chunk(b"IHDR", &[0; 13]), chunk(b"IDAT", &[0; 5]));
        let webp = |flags: u8| [&b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0"[..], &[flags, 0, 0, 0], &[0; 16]].concat();
        for (name, bytes, expected) in [
            ("apng", png(&[header.clone(), chunk(b"acTL", &[0; 8]), still.clone()]), Some(Animation::Apng)),
            ("png", png(&[header.clone(), still, chunk(b"acTL", &[0; 8])]), None),
            ("cut", png(&[header]), None),
            ("long", png(&[chunk(b"tEXt", &[0; 5]), [&[0xff; 4][..], b"tEXt"].concat()]), None),
            ("webp", webp(2), Some(Animation::WebP)),
            ("alpha", webp(16), None),
            ("nothing", Vec::new(), None),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(animation(&path), expected, "{name}");
        }
        assert_eq!(animation(&folder.path().join("missing")), None);
    }
}
