//! Slice headers of H.264 (ITU-T H.264, 7.3.3), as far as reference pictures depend on them.

use super::params::Picture;
use crate::package::bits::{Bits, unescape};
use crate::package::sps::{Order, Sequence};

/// What happens to the reference pictures before a picture (8.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Marking {
    /// The oldest makes room where there is none.
    Sliding,
    /// Those so many `frame_num` before this picture are dropped, one after the other.
    Drop(Vec<u32>),
    /// Something that is not followed here: long-term pictures, or all are dropped.
    Other,
}

/// The first slice of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) idr: bool,
    pub(super) reference: bool,
    pub(super) picture: u32,
    pub(super) frame_num: u32,
    /// `pic_order_cnt_lsb`; 0 where pictures are shown as they are decoded.
    pub(super) order: u32,
    pub(super) marking: Marking,
}

/// A slice's header is within so many bytes.
const LIMIT: usize = 512;
/// Entries of a reference list.
const ENTRIES: u32 = 32;

impl Slice {
    /// `nal` begins with its NAL header. `None` where it cannot be read, or is no first slice of a frame.
    pub(super) fn parse(nal: &[u8], sequence: &Sequence, pictures: &[Picture]) -> Option<Self> {
        let header = *nal.first()?;
        let (kind, reference) = (header & 31, header & 0x60 != 0);
        let idr = kind == 5;
        let rbsp = unescape(nal.get(1..)?, LIMIT);
        let mut bits = Bits::new(&rbsp);
        if bits.ue()? != 0 {
            return None;
        }
        let slice_type = bits.ue()? % 5;
        let id = bits.ue()?;
        let picture = pictures.iter().find(|known| known.id == id)?;
        let frame_num = bits.take(sequence.frame_num_bits)?;
        if idr {
            bits.ue()?;
        }
        let mut order = 0;
        if let Order::Told(length) = sequence.order {
            order = bits.take(length)?;
            if picture.bottom_order {
                bits.se()?;
            }
        }
        let marking = match reference {
            false => Marking::Sliding,
            true if idr => {
                if picture.redundant {
                    bits.ue()?;
                }
                bits.skip(1)?;
                if bits.bit()? { Marking::Other } else { Marking::Sliding }
            }
            true => rest(&mut bits, sequence, picture, slice_type)?,
        };
        Some(Self { idr, reference, picture: id, frame_num, order, marking })
    }
}

/// What stands between the order count and the marking, and the marking. Only for reference pictures.
fn rest(bits: &mut Bits<'_>, sequence: &Sequence, picture: &Picture, slice_type: u32) -> Option<Marking> {
    const P: u32 = 0;
    const B: u32 = 1;
    const SP: u32 = 3;
    if picture.redundant {
        bits.ue()?;
    }
    if slice_type == B {
        bits.skip(1)?;
    }
    let mut sizes = picture.list_sizes;
    let lists = match slice_type {
        B => 2,
        P | SP => 1,
        _ => 0,
    };
    if lists > 0 && bits.bit()? {
        for size in sizes.iter_mut().take(lists) {
            *size = bits.ue()?.checked_add(1).filter(|size| *size <= ENTRIES)?;
        }
    }
    for _ in 0..lists {
        if bits.bit()? {
            let mut left = ENTRIES * 2;
            while bits.ue()? != 3 {
                bits.ue()?;
                left = left.checked_sub(1)?;
            }
        }
    }
    let weights = match slice_type {
        B => picture.weighted_b,
        P | SP => picture.weighted,
        _ => false,
    };
    if weights {
        weight_table(bits, sequence, sizes.get(..lists)?)?;
    }
    if !bits.bit()? {
        return Some(Marking::Sliding);
    }
    let mut dropped = Vec::new();
    let mut other = false;
    for _ in 0..ENTRIES * 2 {
        match bits.ue()? {
            0 => return Some(if other { Marking::Other } else { Marking::Drop(dropped) }),
            1 => dropped.push(bits.ue()?.checked_add(1)?),
            3 => {
                bits.ue()?;
                bits.ue()?;
                other = true;
            }
            2 | 4 | 6 => {
                bits.ue()?;
                other = true;
            }
            _ => other = true,
        }
    }
    None
}

fn weight_table(bits: &mut Bits<'_>, sequence: &Sequence, sizes: &[u32]) -> Option<()> {
    let colour = sequence.chroma != 0;
    bits.ue()?;
    if colour {
        bits.ue()?;
    }
    for size in sizes {
        for _ in 0..*size {
            if bits.bit()? {
                bits.se()?;
                bits.se()?;
            }
            if colour && bits.bit()? {
                for _ in 0..4 {
                    bits.se()?;
                }
            }
        }
    }
    Some(())
}
