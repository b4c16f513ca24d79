//! H.264: a P picture of skipped macroblocks, which is no reference picture.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Repetition;
use super::params::{Picture, is_usable};
use super::skip::{self, Skip};
use super::slice::{Marking, Slice};
use crate::package::sps::{Order, Sequence, h264_sequence};
use crate::package::{VideoConfig, nal_units};

/// Pictures that are remembered to know which one is on the screen.
const REMEMBERED: usize = 40;

/// A picture that was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// Presentation time in ticks.
    pts: i64,
    /// `None` for one that no other may refer to.
    reference: Option<Reference>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reference {
    frame_num: u32,
    order: u32,
}

/// What a decoder holds.
#[derive(Debug, Clone, Default)]
struct Decoder {
    /// Reference pictures, the newest first.
    references: VecDeque<Reference>,
    /// Pictures since the last IDR picture in the order of decoding, the newest last.
    seen: VecDeque<Seen>,
    last: Option<Bytes>,
    /// Presentation time of the last IDR picture: what is decoded after it is shown after it.
    begun: i64,
    /// `frame_num` of the last reference picture.
    frame_num: u32,
    /// The picture parameter set of the last picture.
    picture: u32,
}

/// Follows a rendition's pictures and makes repetitions of them.
#[derive(Debug, Clone)]
pub(super) struct Avc {
    sequence: Sequence,
    pictures: Vec<Picture>,
    now: Decoder,
    /// Before the last picture.
    before: Decoder,
}

impl Avc {
    /// `None` for interlaced pictures and sequences without reference pictures.
    pub(super) fn new(config: &VideoConfig) -> Option<Self> {
        let (mut sequence, mut pictures) = (None, Vec::new());
        for nal in config.parameter_sets() {
            match nal.first()? & 31 {
                7 => sequence = sequence.or(h264_sequence(nal)),
                8 => pictures.extend(Picture::parse(nal)),
                _ => {}
            }
        }
        let sequence = sequence.filter(is_usable)?;
        let pictures: Vec<_> =
            pictures.into_iter().filter(|(_, of)| *of == sequence.id).map(|(found, _)| found).collect();
        let fresh = Decoder::default();
        (!pictures.is_empty()).then_some(Self { sequence, pictures, now: fresh.clone(), before: fresh })
    }

    pub(super) fn see(&mut self, pts: i64, data: &Bytes) {
        self.before = self.now.clone();
        if self.note(pts, data).is_none() {
            // Not understood: nothing is repeated before the next IDR picture.
            self.now = Decoder::default();
        }
    }

    fn note(&mut self, pts: i64, data: &Bytes) -> Option<()> {
        let mut first = None;
        for nal in nal_units(data) {
            match nal.first()? & 31 {
                // Parameter sets within the stream may say something else than the init segment.
                7 => self.sequence = h264_sequence(nal).filter(is_usable)?,
                8 => {
                    let (picture, _) = Picture::parse(nal).filter(|(_, of)| *of == self.sequence.id)?;
                    self.pictures.retain(|known| known.id != picture.id);
                    self.pictures.push(picture);
                }
                1 | 5 if first.is_none() => {
                    first = Some(Slice::parse(nal, &self.sequence, &self.pictures)?);
                }
                2..=4 => return None,
                _ => {}
            }
        }
        let slice = first?;
        let decoder = &mut self.now;
        if slice.idr {
            *decoder = Decoder { begun: pts, ..Decoder::default() };
        } else if decoder.seen.is_empty() {
            return None;
        }
        let most = 1_u32 << self.sequence.frame_num_bits;
        let own = Reference { frame_num: slice.frame_num, order: slice.order };
        if slice.reference {
            match slice.marking {
                Marking::Sliding => {}
                Marking::Drop(back) => {
                    for back in back {
                        let dropped = slice.frame_num.wrapping_sub(back) % most;
                        decoder.references.retain(|known| known.frame_num != dropped);
                    }
                }
                Marking::Other => return None,
            }
            decoder.references.push_front(own);
            decoder.references.truncate(self.sequence.references as usize);
            decoder.frame_num = slice.frame_num;
        }
        decoder.picture = slice.picture;
        decoder.seen.push_back(Seen { pts, reference: slice.reference.then_some(own) });
        if decoder.seen.len() > REMEMBERED {
            decoder.seen.pop_front();
        }
        decoder.last = Some(data.clone());
        Some(())
    }

    pub(super) fn repeat(&self, pts: i64) -> Option<Repetition> {
        self.of(&self.now, pts)
    }

    pub(super) fn repeat_before(&self, pts: i64) -> Option<Repetition> {
        self.of(&self.before, pts)
    }

    fn of(&self, decoder: &Decoder, pts: i64) -> Option<Repetition> {
        let pts = pts.max(decoder.begun);
        let shown = decoder.seen.iter().filter(|seen| seen.pts <= pts).max_by_key(|seen| seen.pts)?;
        let mut out = Vec::new();
        // Equal slice headers would make one picture of two, were it not for the delimiter.
        unit(&mut out, &[0x09, 0xf0]);
        match shown.reference {
            Some(reference) => {
                let known = decoder.references.iter().find(|known| **known == reference)?;
                let picture = self.pictures.iter().find(|known| known.id == decoder.picture)?;
                let most = 1_u32 << self.sequence.frame_num_bits;
                let frame_num = decoder.frame_num.wrapping_add(1) % most;
                let order = match self.sequence.order {
                    // Frames are two apart, for a frame has two fields: there is room for one number between them.
                    Order::Told(length) => (known.order + 1) % (1 << length),
                    _ => 0,
                };
                let back = frame_num.wrapping_sub(known.frame_num) % most;
                unit(&mut out, &skip::nal(&self.sequence, picture, &Skip { frame_num, order, back }));
            }
            // No other picture refers to it, so a decoder that has just decoded it can do so again.
            None if decoder.seen.back() == Some(shown) => {
                let slices = decoder
                    .last
                    .as_ref()
                    .map(|data| nal_units(data))?
                    .filter(|nal| nal.first().map(|b| b & 31) == Some(1));
                slices.for_each(|nal| unit(&mut out, nal));
            }
            None => return None,
        }
        Some(Repetition { pts: pts.max(shown.pts.saturating_add(1)), key: false, data: out.into() })
    }
}

fn unit(out: &mut Vec<u8>, nal: &[u8]) {
    out.extend_from_slice(&(nal.len() as u32).to_be_bytes());
    out.extend_from_slice(nal);
}
