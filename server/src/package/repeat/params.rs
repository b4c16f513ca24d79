//! What a slice header needs to know of an H.264 picture parameter set.

use crate::package::bits::{Bits, unescape};
use crate::package::sps::{Order, Sequence};

/// A picture parameter set (ITU-T H.264, 7.3.2.2), as far as slice headers depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) id: u32,
    pub(super) cabac: bool,
    /// Slices tell a second order count, for the bottom field.
    pub(super) bottom_order: bool,
    /// Entries of the two reference lists where a slice says nothing else.
    pub(super) list_sizes: [u32; 2],
    /// P slices bring a table of weights.
    pub(super) weighted: bool,
    /// B slices bring one.
    pub(super) weighted_b: bool,
    pub(super) quantizer: i64,
    pub(super) deblocking_control: bool,
    pub(super) redundant: bool,
}

/// Longest parameter set that is looked at.
const LIMIT: usize = 4096;

impl Picture {
    /// `nal` begins with its NAL header. `None` also where pictures are made of slice groups.
    pub(super) fn parse(nal: &[u8]) -> Option<(Self, u32)> {
        let rbsp = unescape(nal.get(1..)?, LIMIT);
        let mut bits = Bits::new(&rbsp);
        let (id, sequence) = (bits.ue()?, bits.ue()?);
        let cabac = bits.bit()?;
        let bottom_order = bits.bit()?;
        if bits.ue()? != 0 {
            return None;
        }
        let list_sizes = [bits.ue()?.checked_add(1)?, bits.ue()?.checked_add(1)?];
        let weighted = bits.bit()?;
        let weighted_b = bits.take(2)? == 1;
        let quantizer = bits.se()? + 26;
        bits.se()?;
        bits.se()?;
        let deblocking_control = bits.bit()?;
        bits.skip(1)?;
        let redundant = bits.bit()?;
        let found = Self {
            id,
            cabac,
            bottom_order,
            list_sizes,
            weighted,
            weighted_b,
            quantizer,
            deblocking_control,
            redundant,
        };
        Some((found, sequence))
    }
}

/// Pictures of such a sequence can be repeated: whole frames, in an order that leaves room.
pub(super) fn is_usable(sequence: &Sequence) -> bool {
    sequence.frames_only
        && !sequence.separate_planes
        && sequence.order != Order::Cycle
        && sequence.references > 0
        && sequence.frame_num_bits <= 16
        && !matches!(sequence.order, Order::Told(bits) if bits > 16)
}
