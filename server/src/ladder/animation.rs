//! Pictures that move and are no film: GIF, whose demuxer finds no end and whose decoder forgets the times (GStreamer 1.22),
//! and those that no decoder here plays.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read as _};
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

/// Whole pictures of a GIF; `None` for any other file, and for one without any.
fn pictures(path: &Path) -> Option<u64> {
    let mut file = BufReader::new(std::fs::File::open(path).ok()?);
    let mut head = [0; 13];
    file.read_exact(&mut head).ok()?;
    if !head.starts_with(b"GIF8") {
        return None;
    }
    let mut count = 0;
    // A file that breaks off has those that came before.
    let _ = walk(&mut file, head[10], &mut count);
    (count > 0).then_some(count)
}

/// Goes from block to block, as long as there is one.
fn walk(file: &mut impl BufRead, flags: u8, count: &mut u64) -> io::Result<()> {
    let colours = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    skip(file, colours(flags))?;
    let mut byte = [0];
    loop {
        file.read_exact(&mut byte)?;
        let [kind] = byte;
        match kind {
            // An extension's label; of a picture its place, its colours and the width of its codes.
            0x21 => skip(file, 1)?,
            0x2c => {
                let mut place = [0; 9];
                file.read_exact(&mut place)?;
                skip(file, colours(place[8]) + 1)?;
            }
            _ => return Ok(()),
        }
        loop {
            file.read_exact(&mut byte)?;
            match byte {
                [0] => break,
                [length] => skip(file, length.into())?,
            }
        }
        *count += u64::from(kind == 0x2c);
    }
}

fn skip(file: &mut impl BufRead, mut length: usize) -> io::Result<()> {
    while length > 0 {
        let there = file.fill_buf()?.len().min(length);
        if there == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.consume(there);
        length -= there;
    }
    Ok(())
}

/// Gives the pictures of a GIF their times back, and an end behind the last of them, where `decoder` decodes one.
pub(super) fn complete(decoder: &gst::Element, path: &Path) {
    let Some(count) = pictures(path) else { return };
    let Some(bin) = decoder.downcast_ref::<gst::Bin>() else { return };
    bin.connect_deep_element_added(move |_, _, element| {
        if element.factory().is_some_and(|factory| factory.name() == FORGETFUL)
            && let (Some(sink), Some(src)) = (element.static_pad("sink"), element.static_pad("src"))
        {
            remember(&sink, &src, count);
        }
    });
}

/// Pictures that went in and did not come out, by their times, and how many went in.
#[derive(Debug, Default)]
struct Inside {
    times: VecDeque<(Option<gst::ClockTime>, Option<gst::ClockTime>)>,
    came: u64,
}

fn remember(sink: &gst::Pad, src: &gst::Pad, count: u64) {
    let inside = Arc::new(Mutex::new(Inside::default()));
    let shared = Arc::clone(&inside);
    sink.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH, move |pad, info| {
        let mut inside = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(buffer) = info.buffer() else {
            // A seek: what was inside never comes out, and a GIF begins anew.
            *inside = Inside::default();
            return gst::PadProbeReturn::Ok;
        };
        inside.times.push_back((buffer.pts(), buffer.duration()));
        if inside.times.len() > MOST_INSIDE {
            inside.times.pop_front();
        }
        inside.came += 1;
        if inside.came == count
            && let Some(element) = pad.parent_element()
        {
            // Behind this picture, which holds the pad until it is decoded.
            let pad = pad.clone();
            element.call_async(move |_| {
                pad.send_event(gst::event::Eos::new());
            });
        }
        gst::PadProbeReturn::Ok
    });
    src.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let known = inside.lock().unwrap_or_else(PoisonError::into_inner).times.pop_front();
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
        let webp =
            |flags: u8| [&b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0"[..], &[flags, 0, 0, 0], &[0; 16]].concat();
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

    #[test]
    fn whole_pictures_of_a_gif_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let picture = [
            0x21, 0xf9, 4, 0, 5, 0, 0, 0, 0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0x80, 0, 0, 0, 9, 9, 9, 2, 2, 0x4c,
            1, 0,
        ];
        let head = |flags: u8, colours: usize| {
            [b"GIF89a\x01\0\x01\0".as_slice(), &[flags, 0, 0], &vec![0; colours]].concat()
        };
        for (name, bytes, expected) in [
            ("two", [head(0x80, 6), picture.to_vec(), picture.to_vec(), vec![0x3b]].concat(), Some(2)),
            ("no colours", [head(0, 0), picture.to_vec(), vec![0x3b]].concat(), Some(1)),
            ("cut", [head(0, 0), picture.to_vec(), picture[..20].to_vec()].concat(), Some(1)),
            ("none", [head(0, 0), vec![0x3b]].concat(), None),
            ("other", b"\x89PNG\r\n\x1a\n and more".to_vec(), None),
            ("short", b"GIF8".to_vec(), None),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(pictures(&path), expected, "{name}");
        }
    }
}
