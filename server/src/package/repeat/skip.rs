//! A picture of skipped macroblocks: it looks like the one that it refers to, and takes some thirty bytes.

use super::params::Picture;
use crate::package::bits::BitWriter;
use crate::package::sps::{Order, Sequence};

/// Which picture is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Skip {
    pub(super) frame_num: u32,
    /// `pic_order_cnt_lsb`.
    pub(super) order: u32,
    /// How many `frame_num` before this one the picture that it repeats is; at least 1.
    pub(super) back: u32,
}

/// The NAL unit of a P slice, no reference picture, that repeats another picture.
pub(super) fn nal(sequence: &Sequence, picture: &Picture, skip: &Skip) -> Vec<u8> {
    /// The quantizer changes nothing here; the coarsest gives the coder the best guess to begin with.
    const QUANTIZER: i64 = 51;
    let mut out = BitWriter::default();
    out.ue(0);
    out.ue(5); // all slices of the picture are P
    out.ue(picture.id);
    out.put(skip.frame_num, sequence.frame_num_bits);
    if let Order::Told(length) = sequence.order {
        out.put(skip.order, length);
        if picture.bottom_order {
            out.se(0);
        }
    }
    if picture.redundant {
        out.ue(0);
    }
    // One reference picture, by name: which would be the first of the list depends on what came before.
    out.bit(true);
    out.ue(0);
    out.bit(true);
    out.ue(0);
    out.ue(skip.back.saturating_sub(1));
    out.ue(3);
    if picture.weighted {
        out.ue(0);
        if sequence.chroma != 0 {
            out.ue(0);
        }
        out.bit(false);
        if sequence.chroma != 0 {
            out.bit(false);
        }
    }
    if picture.cabac {
        out.ue(0);
    }
    out.se(QUANTIZER - picture.quantizer);
    if picture.deblocking_control {
        out.ue(1);
    }
    let macroblocks = sequence.width_mbs * sequence.height_mbs;
    if picture.cabac {
        out.align_with(true);
        Coder::new(&mut out).skipped(macroblocks);
    } else {
        out.ue(macroblocks);
        out.bit(true);
    }
    out.align_with(false);
    escape(1, &out.bytes)
}

/// A NAL unit with its header byte, and with emulation prevention (7.4.1).
fn escape(header: u8, rbsp: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rbsp.len() + 8);
    out.push(header);
    let mut zeros = 0;
    for byte in rbsp.iter().copied() {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// The arithmetic coder (9.3.4), for the one decision that is met here.
struct Coder<'a> {
    out: &'a mut BitWriter,
    low: u32,
    range: u32,
    /// Bits that wait for a carry.
    outstanding: u32,
    first: bool,
}

/// `mb_skip_flag` of P slices with `cabac_init_idc` 0 at the coarsest quantizer (table 9-13): the likelier value is 1,
/// from this state on.
const STATE: usize = 42;
/// Table 9-44 from that state on.
const LPS: [[u8; 4]; 21] = [
    [16, 20, 23, 27],
    [15, 19, 22, 25],
    [14, 18, 21, 24],
    [14, 17, 20, 23],
    [13, 16, 19, 22],
    [12, 15, 18, 21],
    [12, 14, 17, 20],
    [11, 14, 16, 19],
    [11, 13, 15, 18],
    [10, 12, 15, 17],
    [10, 12, 14, 16],
    [9, 11, 13, 15],
    [9, 11, 12, 14],
    [8, 10, 12, 14],
    [8, 9, 11, 13],
    [7, 9, 11, 12],
    [7, 9, 10, 12],
    [7, 8, 10, 11],
    [6, 8, 9, 11],
    [6, 7, 9, 10],
    [6, 7, 8, 9],
];

impl<'a> Coder<'a> {
    fn new(out: &'a mut BitWriter) -> Self {
        Self { out, low: 0, range: 510, outstanding: 0, first: true }
    }

    /// That many macroblocks that are skipped, and the end of the slice behind the last.
    fn skipped(&mut self, macroblocks: u32) {
        let mut state = STATE;
        for left in (0..macroblocks).rev() {
            // All neighbours are skipped or not there, so there is one context.
            let row = LPS.get(state - STATE).unwrap_or(&[6, 7, 8, 9]);
            let lps = row.get((self.range >> 6 & 3) as usize).copied().unwrap_or(6);
            self.range -= u32::from(lps);
            state = (state + 1).min(62);
            self.renormalize();
            self.terminate(left == 0);
        }
    }

    fn terminate(&mut self, end: bool) {
        self.range -= 2;
        if !end {
            self.renormalize();
            return;
        }
        self.low += self.range;
        self.range = 2;
        self.renormalize();
        self.put(self.low >> 9 & 1 == 1);
        // The last of these is the stop bit.
        self.out.put(self.low >> 7 & 3 | 1, 2);
    }

    fn renormalize(&mut self) {
        while self.range < 256 {
            if self.low < 256 {
                self.put(false);
            } else if self.low >= 512 {
                self.low -= 512;
                self.put(true);
            } else {
                self.low -= 256;
                self.outstanding += 1;
            }
            self.range <<= 1;
            self.low <<= 1;
        }
    }

    fn put(&mut self, bit: bool) {
        if self.first {
            self.first = false;
        } else {
            self.out.bit(bit);
        }
        for _ in 0..std::mem::take(&mut self.outstanding) {
            self.out.bit(!bit);
        }
    }
}
