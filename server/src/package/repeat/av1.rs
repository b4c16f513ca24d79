//! AV1: a frame header that shows a frame which the decoder holds (`show_existing_frame`), which takes three bytes.
//!
//! A key frame may not be shown so again (6.8.2), and a frame that refreshes nothing is not held. Both change nothing
//! when they are decoded a second time on top of themselves, so that is what they are.

use bytes::Bytes;

use super::Repetition;
use crate::package::VideoConfig;
use crate::package::bits::{Bits, Obu, obus};
use crate::package::sps::{Frames, av1_frames};

const SEQUENCE_HEADER: u8 = 1;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;
/// Frames that a decoder holds.
const SLOTS: usize = 8;
const SELECT: u32 = 2;

/// What a decoder holds in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    key: bool,
    /// `RefFrameId`, where frames have one.
    id: u32,
}

/// How the frame on the screen is shown again.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Again {
    /// From any of these places, one a bit.
    Held(u8),
    /// By decoding these bytes once more.
    Decoded { key: bool, data: Bytes },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    pts: i64,
    /// The header's extension: its layer.
    extension: Option<u8>,
    again: Again,
}

#[derive(Debug, Clone, Default)]
struct Decoder {
    held: [Option<Held>; SLOTS],
    shown: Option<Shown>,
}

/// What a frame header says up to the frames that it replaces (5.9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    Existing(usize),
    New { key: bool, shown: bool, id: u32, refresh: u8 },
}

/// See [`Repeater`](super::Repeater).
#[derive(Debug, Clone)]
pub(super) struct Av1 {
    frames: Frames,
    now: Decoder,
    /// Before the last sample.
    before: Decoder,
}

impl Av1 {
    /// `None` for sequences whose frames cannot be repeated.
    pub(super) fn new(config: &VideoConfig) -> Option<Self> {
        let frames = av1_frames(config.record().get(4..)?).filter(is_usable)?;
        Some(Self { frames, now: Decoder::default(), before: Decoder::default() })
    }

    pub(super) fn see(&mut self, pts: i64, data: &Bytes) {
        self.before = self.now.clone();
        if self.note(pts, data).is_none() {
            // Not understood: nothing is repeated before the next key frame.
            self.now = Decoder::default();
        }
    }

    fn note(&mut self, pts: i64, data: &Bytes) -> Option<()> {
        let mut sequence: Option<Obu<'_>> = None;
        for obu in obus(data) {
            match obu.kind {
                SEQUENCE_HEADER => {
                    self.frames = av1_frames(data.get(obu.at..)?).filter(is_usable)?;
                    sequence = Some(obu);
                }
                FRAME_HEADER | FRAME => {
                    // Spatial layers: several frames of one moment.
                    if obu.extension.is_some_and(|extension| extension >> 3 & 3 != 0) {
                        return None;
                    }
                    let header = Header::parse(obu.payload, &self.frames)?;
                    self.frame(pts, header, &obu, || {
                        let own = data.get(obu.at..)?;
                        let head = sequence.as_ref().and_then(|head| data.get(head.at..head.end));
                        Some([head.unwrap_or(&[]), own].concat().into())
                    })?;
                }
                _ => {}
            }
        }
        Some(())
    }

    /// A frame; `bytes` are what it takes to decode it.
    fn frame(
        &mut self,
        pts: i64,
        header: Header,
        obu: &Obu<'_>,
        bytes: impl FnOnce() -> Option<Bytes>,
    ) -> Option<()> {
        let decoder = &mut self.now;
        match header {
            Header::Existing(slot) => {
                let held = (*decoder.held.get(slot)?)?;
                // A key frame that was hidden: it takes all places, and may not be shown a second time.
                if held.key {
                    *decoder = Decoder { held: [Some(held); SLOTS], shown: None };
                } else {
                    let again = Again::Held(1 << slot);
                    decoder.shown = Some(Shown { pts, extension: obu.extension, again });
                }
            }
            Header::New { key, shown, id, refresh } => {
                for (slot, held) in decoder.held.iter_mut().enumerate() {
                    if refresh >> slot & 1 == 1 {
                        *held = Some(Held { key, id });
                    }
                }
                if shown {
                    let again = if !key && refresh != 0 {
                        Some(Again::Held(refresh))
                    } else if key || self.frames.id_bits == 0 {
                        Some(Again::Decoded { key, data: bytes()? })
                    } else {
                        None // a frame must not have the identity of the one before
                    };
                    decoder.shown = again.map(|again| Shown { pts, extension: obu.extension, again });
                } else {
                    let kept = |shown: Shown| match shown.again {
                        Again::Held(slots) if slots & !refresh != 0 => {
                            Some(Shown { again: Again::Held(slots & !refresh), ..shown })
                        }
                        _ => None,
                    };
                    decoder.shown = decoder.shown.take().and_then(kept);
                }
            }
        }
        Some(())
    }

    pub(super) fn repeat(&self, pts: i64) -> Option<Repetition> {
        self.of(&self.now, pts)
    }

    pub(super) fn repeat_before(&self, pts: i64) -> Option<Repetition> {
        self.of(&self.before, pts)
    }

    fn of(&self, decoder: &Decoder, pts: i64) -> Option<Repetition> {
        let shown = decoder.shown.as_ref().filter(|shown| shown.pts <= pts)?;
        let pts = pts.max(shown.pts.saturating_add(1));
        match &shown.again {
            Again::Decoded { key, data } => Some(Repetition { pts, key: *key, data: data.clone() }),
            Again::Held(slots) => {
                let slot = slots.trailing_zeros();
                let held = (*decoder.held.get(slot as usize)?)?;
                let data = existing(slot, held.id, self.frames.id_bits, shown.extension);
                Some(Repetition { pts, key: false, data: data.into() })
            }
        }
    }
}

/// Whether the frames of a sequence can be repeated. With a decoder model every frame says when it is shown.
fn is_usable(frames: &Frames) -> bool {
    !frames.reduced && !frames.decoder_model
}

impl Header {
    fn parse(payload: &[u8], frames: &Frames) -> Option<Self> {
        const KEY: u32 = 0;
        const INTRA_ONLY: u32 = 2;
        const SWITCH: u32 = 3;
        let mut bits = Bits::new(payload);
        if bits.bit()? {
            return Some(Self::Existing(bits.take(3)? as usize));
        }
        let kind = bits.take(2)?;
        let shown = bits.bit()?;
        if !shown {
            bits.skip(1)?; // showable_frame
        }
        let whole = kind == SWITCH || (kind == KEY && shown);
        let resilient = whole || bits.bit()?;
        bits.skip(1)?; // disable_cdf_update
        let screen = match frames.screen_content {
            SELECT => bits.bit()?,
            told => told == 1,
        };
        if screen && frames.integer_mv == SELECT {
            bits.skip(1)?;
        }
        let id = bits.take(frames.id_bits)?;
        if kind != SWITCH {
            bits.skip(1)?; // frame_size_override_flag
        }
        bits.take(frames.order_bits)?;
        if !(kind == KEY || kind == INTRA_ONLY || resilient) {
            bits.skip(3)?; // primary_ref_frame
        }
        let refresh = if whole { 0xff } else { bits.take(8)? as u8 };
        Some(Self::New { key: kind == KEY, shown, id, refresh })
    }
}

/// A frame header OBU that shows what a decoder holds in `slot`.
fn existing(slot: u32, id: u32, id_bits: u32, extension: Option<u8>) -> Vec<u8> {
    // show_existing_frame, the slot, the frame's identity, and a one behind it (5.3.4).
    let value = ((u64::from(8 | slot) << id_bits | u64::from(id)) << 1) | 1;
    let length = 4 + id_bits + 1;
    let bytes = length.div_ceil(8);
    let payload = (value << (bytes * 8 - length)).to_be_bytes();
    let payload = payload.get(8 - (bytes as usize).min(8)..).unwrap_or(&[]);
    let mut out = vec![FRAME_HEADER << 3 | 2 | u8::from(extension.is_some()) << 2];
    out.extend(extension);
    out.push(payload.len() as u8);
    out.extend_from_slice(payload);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_shown_again_by_its_place_and_its_identity() {
        // Slot, identity, its length, extension: OBU.
        type Row<'a> = (u32, u32, u32, Option<u8>, &'a [u8]);
        let rows: [Row<'_>; 4] = [
            (0, 0, 0, None, &[0x1a, 1, 0b1000_1000]),
            (5, 0, 0, None, &[0x1a, 1, 0b1101_1000]),
            (7, 0, 0, Some(0x20), &[0x1e, 0x20, 1, 0b1111_1000]),
            (2, 0x1234, 15, None, &[0x1a, 3, 0b1010_0010, 0b0100_0110, 0b1001_0000]),
        ];
        for (slot, id, id_bits, extension, expected) in rows {
            let got = existing(slot, id, id_bits, extension);
            assert_eq!(got, expected, "{slot}");
            let frames = Frames { id_bits, ..Frames::default() };
            let parsed = obus(&got).map(|obu| (obu.kind, obu.extension, Header::parse(obu.payload, &frames)));
            let parsed: Vec<_> = parsed.collect();
            assert_eq!(parsed, [(FRAME_HEADER, extension, Some(Header::Existing(slot as usize)))]);
        }
    }
}
