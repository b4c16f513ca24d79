//! NAL units of H.264 and HEVC: from byte streams to length prefixes, and configurations made of parameter sets.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::live::Codec;
use crate::package::{nal_units, unescape};

/// Whether decoding can start at a unit with four-byte lengths, by what is in it; `None` where that cannot be told.
pub(super) fn is_key(codec: Codec, data: &[u8]) -> Option<bool> {
    matches!(codec, Codec::Avc | Codec::Hevc)
        .then(|| nal_units(data).any(|unit| unit.first().is_some_and(|head| starts(codec, *head))))
}

/// IDR pictures of H.264, IRAP pictures of HEVC.
fn starts(codec: Codec, head: u8) -> bool {
    match codec {
        Codec::Avc => head & 31 == 5,
        _ => (16..=21).contains(&(head >> 1 & 63)),
    }
}

/// The NAL units of a byte stream (ITU-T H.264, annex B).
fn units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start(stream);
    std::iter::from_fn(move || {
        let here = rest?;
        let end = here.windows(3).position(|three| three == [0, 0, 1]);
        rest = end.and_then(|end| here.get(end + 3..));
        let unit = here.get(..end.unwrap_or(here.len()))?;
        // Zeros before the next start code belong to it.
        let length = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        unit.get(..length)
    })
}

fn after_start(stream: &[u8]) -> Option<&[u8]> {
    let at = stream.windows(3).position(|three| three == [0, 0, 1])?;
    stream.get(at + 3..)
}

/// A picture out of a byte stream.
#[derive(Debug, Default)]
pub(super) struct Picture {
    /// NAL units with four-byte lengths, without parameter sets and delimiters.
    pub(super) data: Bytes,
    pub(super) key: bool,
    /// `avcC` or `hvcC`, where the picture brings its parameter sets.
    pub(super) config: Option<Bytes>,
}

/// Turns a picture of a byte stream into what MP4 wants.
pub(super) fn picture(codec: Codec, stream: &[u8]) -> Picture {
    let mut data = BytesMut::with_capacity(stream.len() + 16);
    let mut sets: [Vec<&[u8]>; 3] = Default::default();
    let mut key = false;
    for unit in units(stream) {
        let Some(head) = unit.first().copied() else { continue };
        // Video, sequence and picture parameter sets by their place; None: left out.
        let set = match codec {
            Codec::Avc => match head & 31 {
                7 => Some(1),
                8 => Some(2),
                9 | 12 => continue,
                _ => None,
            },
            _ => match head >> 1 & 63 {
                kind @ 32..=34 => Some(usize::from(kind - 32)),
                35 | 38 => continue,
                _ => None,
            },
        };
        if let Some(set) = set {
            if let Some(set) = sets.get_mut(set).filter(|set| set.len() < 16 && !set.contains(&unit)) {
                set.push(unit);
            }
            continue;
        }
        key |= starts(codec, head);
        data.put_u32(u32::try_from(unit.len()).unwrap_or(0));
        data.put_slice(unit);
    }
    let config = match codec {
        Codec::Avc => avcc(&sets),
        _ => hvcc(&sets),
    };
    Picture { data: data.freeze(), key, config }
}

fn put_unit(out: &mut Vec<u8>, unit: &[u8]) -> Option<()> {
    out.extend_from_slice(&u16::try_from(unit.len()).ok()?.to_be_bytes());
    out.extend_from_slice(unit);
    Some(())
}

/// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1).
fn avcc([_, sps, pps]: &[Vec<&[u8]>; 3]) -> Option<Bytes> {
    let [_, profile, compatibility, level, ..] = sps.first()? else { return None };
    pps.first()?;
    let mut out = vec![1, *profile, *compatibility, *level, 0xff, 0xe0 | sps.len() as u8];
    sps.iter().try_for_each(|unit| put_unit(&mut out, unit))?;
    out.push(pps.len() as u8);
    pps.iter().try_for_each(|unit| put_unit(&mut out, unit))?;
    if matches!(profile, 100 | 110 | 122 | 144) {
        // 4:2:0 at 8 bits, but for the profiles that say otherwise by being there.
        let depth = if *profile == 110 { 2 } else { 0 };
        let chroma = if *profile == 122 { 2 } else { 1 };
        out.extend_from_slice(&[0xfc | chroma, 0xf8 | depth, 0xf8 | depth, 0]);
    }
    Some(out.into())
}

/// `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 8.3.3.1).
fn hvcc(sets: &[Vec<&[u8]>; 3]) -> Option<Bytes> {
    let [vps, sps, pps] = sets;
    let (first, _, _) = (sps.first()?, vps.first()?, pps.first()?);
    let rbsp = unescape(first.get(2..)?, 64);
    let (layers, general) = (*rbsp.first()?, rbsp.get(1..13)?);
    let depth = if general.first()? & 31 == 2 { 2 } else { 0 };
    let mut out = vec![1];
    out.extend_from_slice(general);
    // No spatial segmentation, no parallelism told, 4:2:0, the profile's depth, no frame rate told.
    out.extend_from_slice(&[0xf0, 0, 0xfc, 0xfc | 1, 0xf8 | depth, 0xf8 | depth, 0, 0]);
    // Temporal layers and their nesting as in the SPS; four-byte lengths.
    out.push((((layers >> 1) & 7) + 1) << 3 | (layers & 1) << 2 | 3);
    out.push(3);
    for (kind, units) in [(32, vps), (33, sps), (34, pps)] {
        out.push(0x80 | kind);
        out.extend_from_slice(&u16::try_from(units.len()).ok()?.to_be_bytes());
        units.iter().try_for_each(|unit| put_unit(&mut out, unit))?;
    }
    Some(out.into())
}
