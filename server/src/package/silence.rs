//! A packet of silence for what a publisher left out: without spectrum for AAC (ISO/IEC 14496-3, 4.4.2), an empty CELT frame
//! a stream for Opus (RFC 6716, RFC 7845).

use super::bits::{BitWriter, Bits};

/// Syntax elements of a raw data block (ISO/IEC 14496-3, table 4.71).
const SINGLE: u32 = 0;
const PAIR: u32 = 1;
const LOW: u32 = 3;
const END: u32 = 7;

/// An element and its instance tag.
type Element = (u32, u32);

/// CELT, full band, 20 ms, one frame; the stereo bit is the third lowest.
const OPUS_TOC: u8 = 0xf8;
const OPUS_STEREO: u8 = 0x04;
const OPUS_FRAME: [u8; 2] = [0xff, 0xfe];

/// By an `AudioSpecificConfig`: AAC-LC, also with SBR and PS, whose decoders take a packet without their data for one that
/// has nothing to add; every channel configuration that names its elements. `None` for others.
pub(super) fn aac(asc: &[u8]) -> Option<Vec<u8>> {
    let mut bits = Bits::new(asc);
    let mut kind = bits.take(5)?;
    rate(&mut bits)?;
    let configuration = bits.take(4)?;
    if kind == 5 || kind == 29 {
        rate(&mut bits)?;
        kind = bits.take(5)?;
    }
    if kind != 2 {
        return None;
    }
    // GASpecificConfig: length of frames, dependence on another coder, extension.
    bits.skip(1)?;
    if bits.bit()? {
        return None;
    }
    bits.skip(1)?;
    let elements: Vec<Element> = match configuration {
        0 => program(&mut bits)?,
        1 => vec![(SINGLE, 0)],
        2 => vec![(PAIR, 0)],
        3 => vec![(SINGLE, 0), (PAIR, 0)],
        4 => vec![(SINGLE, 0), (PAIR, 0), (SINGLE, 1)],
        5 => vec![(SINGLE, 0), (PAIR, 0), (PAIR, 1)],
        6 => vec![(SINGLE, 0), (PAIR, 0), (PAIR, 1), (LOW, 0)],
        7 => vec![(SINGLE, 0), (PAIR, 0), (PAIR, 1), (PAIR, 2), (LOW, 0)],
        _ => return None,
    };
    let mut out = BitWriter::default();
    for (element, tag) in elements {
        out.put(element, 3);
        out.put(tag, 4);
        if element == PAIR {
            out.put(1, 1); // both share what follows
            window(&mut out);
            out.put(0, 2); // no mid and side
            channel(&mut out, false);
            channel(&mut out, false);
        } else {
            channel(&mut out, true);
        }
    }
    out.put(END, 3);
    Some(out.bytes)
}

/// A channel whose spectrum has no band.
fn channel(out: &mut BitWriter, alone: bool) {
    out.put(140, 8); // global gain: of nothing
    if alone {
        window(out);
    }
    out.put(0, 3); // no pulses, no noise shaping, no gain control
}

fn window(out: &mut BitWriter) {
    out.put(0, 1); // reserved
    out.put(0, 2); // one long window ...
    out.put(1, 1); // ... of the Kaiser-Bessel kind
    out.put(0, 6); // no band
    out.put(0, 1); // no prediction
}

fn rate(bits: &mut Bits<'_>) -> Option<()> {
    if bits.take(4)? == 15 { bits.skip(24) } else { Some(()) }
}

/// The elements that a `program_config_element` lists (ISO/IEC 14496-3, table 4.2).
fn program(bits: &mut Bits<'_>) -> Option<Vec<Element>> {
    bits.skip(4 + 2 + 4)?;
    let [front, side, back] = [bits.take(4)?, bits.take(4)?, bits.take(4)?];
    let low = bits.take(2)?;
    bits.skip(3 + 4)?;
    for length in [4, 4, 3] {
        if bits.bit()? {
            bits.skip(length)?;
        }
    }
    let mut elements = Vec::new();
    for _ in 0..front + side + back {
        let kind = if bits.bit()? { PAIR } else { SINGLE };
        elements.push((kind, bits.take(4)?));
    }
    for _ in 0..low {
        elements.push((LOW, bits.take(4)?));
    }
    (!elements.is_empty()).then_some(elements)
}

/// By the body of `dOps`. `None` where it cannot be read.
pub(super) fn opus(record: &[u8]) -> Option<Vec<u8>> {
    let channels = *record.get(1)?;
    let (streams, coupled) = match record.get(10)? {
        0 => (1, u8::from(channels == 2)),
        _ => (*record.get(11)?, *record.get(12)?),
    };
    let mut out = Vec::new();
    for stream in 0..streams {
        out.push(OPUS_TOC | if stream < coupled { OPUS_STEREO } else { 0 });
        if stream + 1 < streams {
            // All but the last tell their length (RFC 6716, appendix B).
            out.push(OPUS_FRAME.len() as u8);
        }
        out.extend(OPUS_FRAME);
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::{AudioConfig, Sample, audio_init, media_segment};
    use gstreamer::{self as gst, prelude::*};

    #[test]
    fn one_and_two_channels_are_as_encoders_write_them() {
        assert_eq!(aac(&[0x11, 0x88]).unwrap(), [0x01, 0x18, 0x20, 0x07]);
        assert_eq!(aac(&[0x11, 0x90]).unwrap(), [0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c]);
        let dops = |channels, rest: &[u8]| {
            let mut record = vec![0, channels, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0];
            record.extend_from_slice(rest);
            opus(&record)
        };
        assert_eq!(dops(1, &[0]).unwrap(), [0xf8, 0xff, 0xfe]);
        assert_eq!(dops(2, &[0]).unwrap(), [0xfc, 0xff, 0xfe]);
        // 5.1: two pairs, two alone.
        let six = dops(6, &[1, 4, 2, 0, 4, 1, 2, 3, 5]).unwrap();
        assert_eq!(six, [0xfc, 2, 0xff, 0xfe, 0xfc, 2, 0xff, 0xfe, 0xf8, 2, 0xff, 0xfe, 0xf8, 0xff, 0xfe]);
        assert!(opus(&[]).is_none() && dops(6, &[1]).is_none() && dops(1, &[1, 0, 0]).is_none());
    }

    #[test]
    fn what_is_not_understood_has_no_silence() {
        // Low delay, a core coder, an unknown configuration, nothing.
        for asc in [&[0xb9, 0x88, 0][..], &[0x11, 0x8a], &[0x11, 0xc0], &[0x11], &[]] {
            assert_eq!(aac(asc), None, "{asc:x?}");
        }
    }

    /// 20 packets of it through a decoder: channels, samples a channel, and whether all of them are 0.
    fn decoded(config: &AudioConfig, decoder: &str) -> (usize, usize, bool) {
        let silence = config.silence().unwrap();
        let ticks = (config.packet_ns(&silence) * u64::from(config.sample_rate) / 1_000_000_000) as u32;
        let sample = Sample { duration: ticks, composition_offset: 0, key: true, data: silence };
        let mut file = audio_init(config).to_vec();
        file.extend_from_slice(&media_segment(2, 1, 0, &vec![sample; 20]).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let (path, out) = (folder.path().join("silence.mp4"), folder.path().join("out"));
        std::fs::write(&path, file).unwrap();
        gst::init().unwrap();
        let text = format!(
            "filesrc location={} ! qtdemux ! {decoder} name=decoder ! audioconvert dithering=none ! audio/x-raw,format=S16LE \
             ! filesink location={}",
            path.display(),
            out.display()
        );
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let end =
            pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(30), &ends).unwrap();
        let caps = pipeline.by_name("decoder").unwrap().static_pad("src").unwrap().current_caps();
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(end.type_(), gst::MessageType::Eos, "{end:?}");
        let channels = caps.unwrap().structure(0).unwrap().get::<i32>("channels").unwrap() as usize;
        let heard = std::fs::read(out).unwrap();
        (channels, heard.len() / 2 / channels, heard.iter().all(|byte| *byte == 0))
    }

    #[test]
    fn decoders_hear_nothing_in_any_configuration() {
        // Set-ups as encoders write them: 1 to 5.1 and 7.1 by number, 7.1 by its elements, SBR, PS.
        let rows: [(&[u8], usize); 10] = [
            (&[0x11, 0x88], 1),
            (&[0x11, 0x90], 2),
            (&[0x11, 0x98], 3),
            (&[0x11, 0xa0], 4),
            (&[0x11, 0xa8], 5),
            (&[0x11, 0xb0], 6),
            (&[0x11, 0xb8], 8),
            (&[0x11, 0x80, 0x04, 0xc8, 0x48, 0x00, 0x20, 0x00, 0xc6, 0x40, 0x00], 8),
            (&[0x2b, 0x11, 0x88, 0x00], 2),
            (&[0xeb, 0x09, 0x88, 0x00], 2),
        ];
        for (asc, channels) in rows {
            let config = AudioConfig::from_asc(0, channels as u16, 128_000, asc).unwrap();
            let (found, samples, silent) = decoded(&config, "avdec_aac");
            assert_eq!((found, silent), (channels, true), "{asc:x?}");
            assert!(samples >= 19 * 1024, "{asc:x?}: {samples}");
        }
        let six = [0, 6, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 1, 4, 2, 0, 4, 1, 2, 3, 5];
        let config = AudioConfig::from_dops(128_000, &six).unwrap();
        let (found, samples, silent) = decoded(&config, "opusdec");
        assert_eq!((found, silent), (6, true));
        assert!(samples >= 19 * 960 - 312, "{samples}");
    }
}
