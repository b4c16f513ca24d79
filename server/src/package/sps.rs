//! What the parameter sets say about pictures: size and frame rate.

use super::bits::{Bits, obus, unescape};

/// Size in pixels after cropping, and frames a second where they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureInfo {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Numerator and denominator.
    pub frame_rate: Option<(u32, u32)>,
}

/// Longest parameter set that is looked at.
const LIMIT: usize = 4096;
/// Largest picture side that makes sense.
const SIDE: u32 = 16_384;

fn checked(width: u32, height: u32, frame_rate: Option<(u32, u32)>) -> Option<PictureInfo> {
    let fine = (1..=SIDE).contains(&width) && (1..=SIDE).contains(&height);
    let frame_rate = frame_rate.filter(|(num, den)| *num > 0 && *den > 0 && num / den <= 1000);
    let frame_rate = frame_rate.map(|(num, den)| {
        let (mut a, mut b) = (num, den);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        (num / a, den / a)
    });
    fine.then_some(PictureInfo { width, height, frame_rate })
}

/// How an H.264 sequence orders its pictures (ITU-T H.264, 8.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Type 0: each slice says it, in so many bits.
    Told(u32),
    /// Type 1: a cycle of offsets.
    Cycle,
    /// Type 2: pictures are shown as they are decoded.
    Decoding,
}

/// What an H.264 sequence parameter set says up to the picture's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) id: u32,
    /// `chroma_format_idc`.
    pub(super) chroma: u32,
    pub(super) separate_planes: bool,
    pub(super) frame_num_bits: u32,
    pub(super) order: Order,
    /// Reference pictures that are kept.
    pub(super) references: u32,
    pub(super) width_mbs: u32,
    /// Of a frame, or of a field where `frames_only` is not set.
    pub(super) height_mbs: u32,
    pub(super) frames_only: bool,
}

/// H.264 (ITU-T H.264, 7.3.2.1.1). `nal` begins with its NAL header.
pub(super) fn h264_sequence(nal: &[u8]) -> Option<Sequence> {
    let rbsp = unescape(nal.get(1..)?, LIMIT);
    sequence(&mut Bits::new(&rbsp))
}

fn sequence(bits: &mut Bits<'_>) -> Option<Sequence> {
    let profile = bits.take(8)?;
    bits.skip(16)?;
    let id = bits.ue()?;
    let (mut chroma, mut separate_planes) = (1, false);
    if [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].contains(&profile) {
        chroma = bits.ue()?;
        if chroma == 3 {
            separate_planes = bits.bit()?;
        }
        bits.ue()?; // bit depths
        bits.ue()?;
        bits.skip(1)?;
        if bits.bit()? {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.bit()? {
                    scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    let frame_num_bits = bits.ue()?.checked_add(4)?;
    let order = match bits.ue()? {
        0 => Order::Told(bits.ue()?.checked_add(4)?),
        1 => {
            bits.skip(1)?;
            bits.se()?;
            bits.se()?;
            let cycle = bits.ue()?;
            if cycle > 255 {
                return None;
            }
            for _ in 0..cycle {
                bits.se()?;
            }
            Order::Cycle
        }
        _ => Order::Decoding,
    };
    let references = bits.ue()?;
    bits.skip(1)?;
    let width_mbs = bits.ue()?.checked_add(1).filter(|n| *n <= SIDE / 16)?;
    let height_mbs = bits.ue()?.checked_add(1).filter(|n| *n <= SIDE / 16)?;
    let frames_only = bits.bit()?;
    Some(Sequence {
        id,
        chroma,
        separate_planes,
        frame_num_bits,
        order,
        references,
        width_mbs,
        height_mbs,
        frames_only,
    })
}

/// H.264 (ITU-T H.264, 7.3.2.1.1). `nal` begins with its NAL header.
pub(super) fn h264(nal: &[u8]) -> Option<PictureInfo> {
    let rbsp = unescape(nal.get(1..)?, LIMIT);
    let mut bits = Bits::new(&rbsp);
    let Sequence { chroma, width_mbs, height_mbs, frames_only, .. } = sequence(&mut bits)?;
    if !frames_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let fields = if frames_only { 1 } else { 2 };
    let (mut width, mut height) = (width_mbs * 16, height_mbs * 16 * fields);
    if bits.bit()? {
        let (x, y) = match chroma {
            1 => (2, 2 * fields),
            2 => (2, fields),
            _ => (1, fields),
        };
        let crop = [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?];
        width = width.checked_sub(crop[0].checked_add(crop[1])?.checked_mul(x)?)?;
        height = height.checked_sub(crop[2].checked_add(crop[3])?.checked_mul(y)?)?;
    }
    let frame_rate = if bits.bit()? { h264_timing(&mut bits) } else { None };
    checked(width, height, frame_rate)
}

fn scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// The part of the VUI up to the timing information (annex E.1.1).
fn h264_timing(bits: &mut Bits<'_>) -> Option<(u32, u32)> {
    if bits.bit()? && bits.take(8)? == 255 {
        bits.skip(32)?;
    }
    if bits.bit()? {
        bits.skip(1)?;
    }
    if bits.bit()? {
        bits.skip(4)?;
        if bits.bit()? {
            bits.skip(24)?;
        }
    }
    if bits.bit()? {
        bits.ue()?;
        bits.ue()?;
    }
    if !bits.bit()? {
        return None;
    }
    let (units, scale) = (bits.take(32)?, bits.take(32)?);
    Some((scale, units.checked_mul(2)?))
}

/// HEVC (ITU-T H.265, 7.3.2.2.1), without the frame rate. `nal` begins with its two-byte NAL header.
pub(super) fn h265(nal: &[u8]) -> Option<PictureInfo> {
    let rbsp = unescape(nal.get(2..)?, LIMIT);
    let mut bits = Bits::new(&rbsp);
    bits.skip(4)?;
    let sub_layers = bits.take(3)?;
    bits.skip(1)?;
    bits.skip(88)?; // general profile
    bits.skip(8)?; // general level
    let mut present = Vec::new();
    for _ in 0..sub_layers {
        present.push((bits.bit()?, bits.bit()?));
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers as usize))?;
    }
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    bits.ue()?; // id
    let chroma = bits.ue()?;
    if chroma == 3 {
        bits.skip(1)?;
    }
    let (mut width, mut height) = (bits.ue()?, bits.ue()?);
    if bits.bit()? {
        let (x, y) = match chroma {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let crop = [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?];
        width = width.checked_sub(crop[0].checked_add(crop[1])?.checked_mul(x)?)?;
        height = height.checked_sub(crop[2].checked_add(crop[3])?.checked_mul(y)?)?;
    }
    checked(width, height, None)
}

/// What an AV1 sequence header says of the headers of its frames (section 5.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Frames {
    /// `reduced_still_picture_header`.
    pub(super) reduced: bool,
    /// `decoder_model_info_present_flag`.
    pub(super) decoder_model: bool,
    /// Length of a frame's identity, 0 where frames have none.
    pub(super) id_bits: u32,
    /// `OrderHintBits`.
    pub(super) order_bits: u32,
    /// `seq_force_screen_content_tools`.
    pub(super) screen_content: u32,
    /// `seq_force_integer_mv`.
    pub(super) integer_mv: u32,
}

/// AV1 (section 5.5.1): the largest picture of the sequence header among `obus`.
pub(super) fn av1(obus: &[u8]) -> Option<PictureInfo> {
    let told = av1_sizes(&mut Bits::new(sequence_header(obus)?), &mut Frames::default())?;
    checked(told.width, told.height, told.frame_rate)
}

/// AV1: what the sequence header among `obus` says of frames.
pub(super) fn av1_frames(obus: &[u8]) -> Option<Frames> {
    const SELECT: u32 = 2;
    let mut frames = Frames::default();
    let mut bits = Bits::new(sequence_header(obus)?);
    av1_sizes(&mut bits, &mut frames)?;
    if frames.reduced {
        return Some(frames);
    }
    if bits.bit()? {
        frames.id_bits = bits.take(4)? + 2 + bits.take(3)? + 1;
    }
    bits.skip(3 + 4)?; // from the size of superblocks to enable_dual_filter
    let ordered = bits.bit()?;
    if ordered {
        bits.skip(2)?;
    }
    frames.screen_content = if bits.bit()? { SELECT } else { bits.take(1)? };
    frames.integer_mv = if frames.screen_content == 0 || bits.bit()? { SELECT } else { bits.take(1)? };
    if ordered {
        frames.order_bits = bits.take(3)? + 1;
    }
    Some(frames)
}

/// Reads as far as the sizes, which are not checked.
fn av1_sizes(bits: &mut Bits<'_>, frames: &mut Frames) -> Option<PictureInfo> {
    bits.skip(3)?; // profile
    bits.skip(1)?; // still picture
    let mut frame_rate = None;
    frames.reduced = bits.bit()?;
    if frames.reduced {
        bits.skip(5)?; // level only
    } else {
        let mut decoder_model = None;
        if bits.bit()? {
            let (units, scale) = (bits.take(32)?, bits.take(32)?);
            if bits.bit()? {
                let ticks = bits.uvlc()?.checked_add(1)?;
                frame_rate = Some((scale, units.checked_mul(ticks)?));
            }
            if bits.bit()? {
                decoder_model = Some(bits.take(5)? + 1);
                bits.skip(32 + 5 + 5)?;
            }
        }
        frames.decoder_model = decoder_model.is_some();
        let initial_delay = bits.bit()?;
        for _ in 0..=bits.take(5)? {
            bits.skip(12)?;
            if bits.take(5)? > 7 {
                bits.skip(1)?;
            }
            if let Some(length) = decoder_model
                && bits.bit()?
            {
                bits.skip(2 * length as usize + 1)?;
            }
            if initial_delay && bits.bit()? {
                bits.skip(4)?;
            }
        }
    }
    let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
    let (width, height) = (bits.take(width_bits)? + 1, bits.take(height_bits)? + 1);
    Some(PictureInfo { width, height, frame_rate })
}

/// The payload of the first sequence header OBU.
fn sequence_header(data: &[u8]) -> Option<&[u8]> {
    obus(data).find(|obu| obu.kind == 1).map(|obu| obu.payload)
}
