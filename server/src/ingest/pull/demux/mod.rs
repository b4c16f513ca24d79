//! From a segment's bytes to access units: fragmented MP4, MPEG-TS and packed AAC, in pure Rust and within bounds.

mod adts;
mod mp4;
mod nal;
mod ts;

use bytes::Bytes;

use crate::live::{LiveEvent, LiveUnit, TrackSetup};
use crate::store::TrackKind;

/// Why a segment cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DemuxError {
    #[error("it is neither fragmented MP4 nor MPEG-TS nor AAC")]
    Unknown,
    #[error("it is fragmented MP4 and its playlist names no init segment (EXT-X-MAP)")]
    NoInit,
    #[error("it is not a sound {0}: {1}")]
    Malformed(&'static str, String),
    #[error("it holds nothing that this server carries (H.264, HEVC, AV1, AAC, Opus); it holds {0}")]
    Codecs(String),
    #[error("its samples are encrypted")]
    Encrypted,
}

/// What a rendition is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) pictures: bool,
    pub(super) sound: bool,
}

impl Wanted {
    fn takes(self, kind: TrackKind) -> bool {
        match kind {
            TrackKind::Video => self.pictures,
            TrackKind::Audio => self.sound,
        }
    }
}

/// An event with the decode time that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timed {
    pub(super) at_ns: i64,
    pub(super) event: LiveEvent,
}

/// Reads the segments of one rendition in order.
#[derive(Debug)]
pub(super) struct Demuxer {
    wanted: Wanted,
    language: Option<String>,
    init: Option<(Bytes, mp4::Init)>,
    clock: ts::Unwrap,
    known: [Option<TrackSetup>; 2],
}

impl Demuxer {
    pub(super) fn new(wanted: Wanted) -> Self {
        Self { wanted, language: None, init: None, clock: ts::Unwrap::default(), known: [None, None] }
    }

    /// The sound's language by word of whoever lists it, which counts more than what the media say.
    pub(super) fn in_language(self, language: Option<String>) -> Self {
        Self { language, ..self }
    }

    pub(super) fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// The clock starts anew: set-ups are told again.
    pub(super) fn restart(&mut self) {
        self.clock = ts::Unwrap::default();
        self.known = [None, None];
    }

    /// A segment's set-ups, where they are new, and units, in the order of their decode times. `init` is the init
    /// segment that its playlist names; `offset` is where the segment begins in its file.
    pub(super) fn segment(
        &mut self,
        init: Option<&Bytes>,
        bytes: &Bytes,
        offset: u64,
    ) -> Result<Vec<Timed>, DemuxError> {
        let (setups, units) = match kind(bytes) {
            Some(Kind::Mp4) => {
                let init = init.ok_or(DemuxError::NoInit)?;
                if self.init.as_ref().is_none_or(|(known, _)| known != init) {
                    self.init = Some((init.clone(), mp4::Init::read(init)?));
                }
                let Some((_, init)) = &self.init else { return Err(DemuxError::NoInit) };
                let units = mp4::segment(init, bytes, offset)?;
                // Before everything in the segment.
                let setups = init.setups().map(|setup| (i64::MIN, setup)).collect();
                (setups, units)
            }
            Some(Kind::Ts) => ts::segment(bytes, self.wanted.pictures, &mut self.clock)?,
            Some(Kind::Packed) => adts::packed(bytes, &mut self.clock)?,
            None => return Err(DemuxError::Unknown),
        };
        let mut found: Vec<Timed> = Vec::with_capacity(units.len() + 2);
        for (at_ns, mut setup) in setups {
            if setup.kind == TrackKind::Audio && self.language.is_some() {
                setup.language.clone_from(&self.language);
            }
            let place = self.known.get_mut(usize::from(setup.kind != TrackKind::Video));
            if let Some(place) =
                place.filter(|place| self.wanted.takes(setup.kind) && place.as_ref() != Some(&setup))
            {
                *place = Some(setup.clone());
                found.push(Timed { at_ns, event: LiveEvent::Setup(setup) });
            }
        }
        let units = units.into_iter().filter(|unit: &LiveUnit| self.wanted.takes(unit.kind));
        found.extend(units.map(|unit| Timed { at_ns: unit.dts_ns, event: LiveEvent::Unit(unit) }));
        // Stable: what belongs to one time stays in order, a set-up before its unit.
        found.sort_by_key(|timed| timed.at_ns);
        Ok(found)
    }
}

enum Kind {
    Mp4,
    Ts,
    Packed,
}

fn kind(bytes: &[u8]) -> Option<Kind> {
    const BOXES: [&[u8; 4]; 9] =
        [b"styp", b"moof", b"sidx", b"ftyp", b"moov", b"emsg", b"prft", b"free", b"mdat"];
    match bytes {
        [0x47, ..] => Some(Kind::Ts),
        [b'I', b'D', b'3', ..] => Some(Kind::Packed),
        [0xff, second, ..] if second & 0xf6 == 0xf0 => Some(Kind::Packed),
        [_, _, _, _, kind @ ..] => {
            BOXES.iter().any(|known| kind.starts_with(known.as_slice())).then_some(Kind::Mp4)
        }
        _ => None,
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
