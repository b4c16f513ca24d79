//! Pictures that repeat one which was there before, for H.264 and AV1.
//!
//! A part of a live stream must not be longer than the part target, and must hold a sample; a publisher's picture may
//! last longer. What is put in between shows the picture that is on the screen once more and changes nothing of what a
//! decoder holds, so what follows decodes as it would have without.
//!
//! HEVC has nothing of the kind. Two pictures between two IRAP pictures must not have the same picture order count, and
//! publishers count by one, so there is no number for one in between. Numbering all pictures anew would change how
//! motion vectors are scaled (8.5.3.2.8 rounds), and with that the pictures.

mod av1;
mod avc;
mod params;
mod skip;
mod slice;

use bytes::Bytes;

use self::av1::Av1;
use self::avc::Avc;
use super::{VideoCodec, VideoConfig};

/// An access unit that shows a picture again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repetition {
    /// When it is shown, in ticks: when it was asked for, or a tick behind the picture itself where that comes no sooner.
    pub pts: i64,
    /// It is a key frame once more, on which a decoder may begin.
    pub key: bool,
    /// As samples of its codec are.
    pub data: Bytes,
}

/// Follows a rendition's pictures and makes repetitions of them.
#[derive(Debug, Clone)]
pub struct Repeater(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Avc(Box<Avc>),
    Av1(Box<Av1>),
}

impl Repeater {
    /// `None` for pictures that cannot be repeated: HEVC, interlaced H.264, sequences without reference pictures, AV1 with
    /// a decoder model or in still pictures.
    #[must_use]
    pub fn new(config: &VideoConfig) -> Option<Self> {
        Some(Self(match config.codec() {
            VideoCodec::Avc => Kind::Avc(Box::new(Avc::new(config)?)),
            VideoCodec::Av1 => Kind::Av1(Box::new(Av1::new(config)?)),
            VideoCodec::Hevc => return None,
        }))
    }

    /// Takes note of a sample, in the order of decoding. `pts` is its presentation time in ticks.
    pub fn see(&mut self, pts: i64, data: &Bytes) {
        match &mut self.0 {
            Kind::Avc(avc) => avc.see(pts, data),
            Kind::Av1(av1) => av1.see(pts, data),
        }
    }

    /// Shows again what is on the screen at `pts`. It is to be decoded next. `None` where nothing can.
    #[must_use]
    pub fn repeat(&self, pts: i64) -> Option<Repetition> {
        match &self.0 {
            Kind::Avc(avc) => avc.repeat(pts),
            Kind::Av1(av1) => av1.repeat(pts),
        }
    }

    /// As [`repeat`](Self::repeat), but to be decoded before the picture that was seen last.
    #[must_use]
    pub fn repeat_before(&self, pts: i64) -> Option<Repetition> {
        match &self.0 {
            Kind::Avc(avc) => avc.repeat_before(pts),
            Kind::Av1(av1) => av1.repeat_before(pts),
        }
    }
}
