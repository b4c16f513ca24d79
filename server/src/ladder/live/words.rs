//! What a ladder is told and what it says, as frames.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ladder::log::LogLevel;
use crate::ladder::wire::{self, Frame, Malformed};
use crate::ladder::{Rung, Speed, VideoEncoderKind};
use crate::live::{Codec, SourceUnit, TrackSetup};
use crate::store::TrackKind;

/// Longest name of a rung that is believed.
const NAME: usize = 64;
/// Longest text that is believed.
const TEXT: usize = 1000;

/// What is to be encoded, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) setup: TrackSetup,
    pub(super) frame_rate: (u32, u32),
    pub(super) kind: VideoEncoderKind,
    pub(super) speed: Speed,
    /// Lowest first.
    pub(super) rungs: Vec<Rung>,
    /// None: nobody keeps pictures.
    pub(super) stills: Option<Stills>,
}

/// Which pictures are kept, and which are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stills {
    /// How the stream is shown.
    pub(super) size: (u32, u32),
    /// Length of the window in milliseconds, if it has an end.
    pub(super) window_ms: Option<u64>,
    /// The index of thumbnails that there is.
    pub(super) index: Option<String>,
    /// Its newest sheet.
    pub(super) sheet: Option<Bytes>,
}

/// The part of an order that is not bytes.
#[derive(Serialize, Deserialize)]
struct Plain {
    codec: Codec,
    size: (u32, u32),
    frame_rate: (u32, u32),
    kind: VideoEncoderKind,
    speed: Speed,
    rungs: Vec<Rung>,
    stills: Option<((u32, u32), Option<u64>)>,
}

/// What the server sends.
#[derive(Debug, Clone)]
pub(super) enum Task {
    /// First, and once.
    Start(Box<Order>),
    /// A picture of the source, and how many were lost before it because the ladder was behind.
    Unit(SourceUnit, u32),
}

/// What a ladder says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// H.264 configuration of a rung, before its first unit.
    Setup { rung: String, config: Bytes },
    /// A coded picture of a rung; decoded and shown at the same time.
    Unit { rung: String, time_ns: u64, key: bool, data: Bytes },
    /// A rung that was given up.
    Lost { rung: String, why: String },
    /// A line for the stream's log.
    Log { level: LogLevel, from: String, text: String },
    /// A picture to keep.
    Still(Still),
    /// It is there, and not stuck.
    Alive,
    /// Nothing follows.
    Done,
}

/// Pictures that stand still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Still {
    /// A JPEG.
    Poster(Bytes),
    /// A sheet of thumbnails and the index that names it.
    Sheet { number: u32, jpeg: Bytes, index: String },
    /// A sheet that the index names no more.
    Dropped(u32),
}

/// Where a ladder's words go; `false` when nobody listens any more. May wait.
pub(super) type Outlet = Arc<dyn Fn(Word) -> bool + Send + Sync>;

impl Task {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Start(order) => {
                let plain = Plain {
                    codec: order.setup.codec,
                    size: (order.setup.width, order.setup.height),
                    frame_rate: order.frame_rate,
                    kind: order.kind,
                    speed: order.speed,
                    rungs: order.rungs.clone(),
                    stills: order.stills.as_ref().map(|stills| (stills.size, stills.window_ms)),
                };
                // Numbers and names only: it cannot fail.
                let plain = serde_json::to_vec(&plain).unwrap_or_default();
                let stills = order.stills.as_ref();
                let index = stills.and_then(|stills| stills.index.as_deref()).unwrap_or_default();
                let sheet = stills.and_then(|stills| stills.sheet.as_deref()).unwrap_or_default();
                wire::write(out, 1, &[&plain, &order.setup.config, index.as_bytes(), sheet]);
            }
            Self::Unit(unit, lost) => {
                // No segment is number 0.
                let segment = u64::from(unit.segment.unwrap_or(0)).to_le_bytes();
                let (lost, key) = (u64::from(*lost).to_le_bytes(), u64::from(unit.key).to_le_bytes());
                let (dts, pts) = (unit.dts_ns.to_le_bytes(), unit.pts_ns.to_le_bytes());
                wire::write(out, 2, &[&lost, &dts, &pts, &key, &segment, &unit.data]);
            }
        }
    }

    pub(super) fn read(mut frame: Frame) -> Result<Self, Malformed> {
        match frame.kind {
            1 => {
                let plain: Plain = serde_json::from_slice(&frame.bytes()?)
                    .map_err(|_| Malformed("an order that cannot be read"))?;
                let config = frame.bytes()?;
                let index = Some(frame.text(usize::MAX)?).filter(|index| !index.is_empty());
                let sheet = Some(frame.bytes()?).filter(|sheet| !sheet.is_empty());
                let setup = TrackSetup {
                    language: None,
                    kind: TrackKind::Video,
                    codec: plain.codec,
                    config,
                    width: plain.size.0,
                    height: plain.size.1,
                    frame_rate: Some(plain.frame_rate),
                    sample_rate: 0,
                    channels: 0,
                    bitrate: None,
                };
                Ok(Self::Start(Box::new(Order {
                    setup,
                    frame_rate: plain.frame_rate,
                    kind: plain.kind,
                    speed: plain.speed,
                    rungs: plain.rungs,
                    stills: plain.stills.map(|(size, window_ms)| Stills { size, window_ms, index, sheet }),
                })))
            }
            2 => {
                let lost = frame.small()?;
                let (dts_ns, pts_ns, key) = (frame.number()?, frame.number()?, frame.flag()?);
                let segment = Some(frame.small()?).filter(|number| *number > 0);
                let data = frame.bytes()?;
                Ok(Self::Unit(SourceUnit { dts_ns, pts_ns, key, segment, data }, lost))
            }
            _ => Err(Malformed("a task of an unknown kind")),
        }
    }
}

impl Word {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Setup { rung, config } => wire::write(out, 1, &[rung.as_bytes(), config]),
            Self::Unit { rung, time_ns, key, data } => {
                let (time, key) = (time_ns.to_le_bytes(), u64::from(*key).to_le_bytes());
                wire::write(out, 2, &[rung.as_bytes(), &time, &key, data]);
            }
            Self::Lost { rung, why } => wire::write(out, 3, &[rung.as_bytes(), why.as_bytes()]),
            Self::Log { level, from, text } => {
                wire::write(out, 4, &[&level.number().to_le_bytes(), from.as_bytes(), text.as_bytes()]);
            }
            Self::Still(Still::Poster(jpeg)) => wire::write(out, 5, &[jpeg]),
            Self::Still(Still::Sheet { number, jpeg, index }) => {
                wire::write(out, 6, &[&u64::from(*number).to_le_bytes(), jpeg, index.as_bytes()]);
            }
            Self::Still(Still::Dropped(number)) => {
                wire::write(out, 7, &[&u64::from(*number).to_le_bytes()]);
            }
            Self::Alive => wire::write(out, 8, &[]),
            Self::Done => wire::write(out, 9, &[]),
        }
    }

    pub(super) fn read(mut frame: Frame) -> Result<Self, Malformed> {
        Ok(match frame.kind {
            1 => Self::Setup { rung: frame.text(NAME)?, config: frame.bytes()? },
            2 => Self::Unit {
                rung: frame.text(NAME)?,
                time_ns: frame.number()?,
                key: frame.flag()?,
                data: frame.bytes()?,
            },
            3 => Self::Lost { rung: frame.text(NAME)?, why: frame.text(TEXT)? },
            4 => {
                let level = LogLevel::of_number(frame.number()?);
                Self::Log { level, from: frame.text(NAME)?, text: frame.text(TEXT)? }
            }
            5 => Self::Still(Still::Poster(frame.bytes()?)),
            6 => Self::Still(Still::Sheet {
                number: frame.small()?,
                jpeg: frame.bytes()?,
                index: frame.text(usize::MAX)?,
            }),
            7 => Self::Still(Still::Dropped(frame.small()?)),
            8 => Self::Alive,
            9 => Self::Done,
            _ => return Err(Malformed("a word of an unknown kind")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ladder::wire::FrameReader;

    fn frame(out: &[u8]) -> Frame {
        FrameReader::new(out).next().unwrap().unwrap()
    }

    #[test]
    fn words_come_back_as_they_were() {
        let rung = || "360p".to_owned();
        let data = Bytes::from_static(b"abc");
        let words = [
            Word::Setup { rung: rung(), config: data.clone() },
            Word::Unit { rung: rung(), time_ns: u64::MAX, key: true, data: data.clone() },
            Word::Lost { rung: rung(), why: "gone".to_owned() },
            Word::Log { level: LogLevel::Warn, from: rung(), text: "hm".to_owned() },
            Word::Still(Still::Poster(data.clone())),
            Word::Still(Still::Sheet { number: 3, jpeg: data.clone(), index: "WEBVTT\n".to_owned() }),
            Word::Still(Still::Dropped(2)),
            Word::Alive,
            Word::Done,
        ];
        for word in words {
            let mut out = Vec::new();
            word.write(&mut out);
            assert_eq!(Word::read(frame(&out)), Ok(word));
        }
    }

    #[test]
    fn tasks_come_back_as_they_were() {
        let setup = TrackSetup {
            language: None,
            kind: TrackKind::Video,
            codec: Codec::Hevc,
            config: Bytes::from_static(b"hvcC"),
            width: 640,
            height: 360,
            frame_rate: Some((30, 1)),
            sample_rate: 0,
            channels: 0,
            bitrate: None,
        };
        let rungs = vec![Rung { name: "240p".to_owned(), width: 426, height: 240, kbps: 300 }];
        let stills = Stills { size: (640, 360), index: Some("WEBVTT\n".to_owned()), ..Stills::default() };
        let order = Order {
            setup,
            frame_rate: (30, 1),
            kind: VideoEncoderKind::Openh264,
            speed: Speed::Superfast,
            rungs,
            stills: Some(stills),
        };
        let mut out = Vec::new();
        Task::Start(Box::new(order.clone())).write(&mut out);
        assert!(matches!(Task::read(frame(&out)).unwrap(), Task::Start(read) if *read == order));
        for (key, segment) in [(true, Some(7)), (false, None)] {
            let data = Bytes::from_static(b"unit");
            let unit = SourceUnit { dts_ns: 1, pts_ns: 2, key, segment, data };
            out.clear();
            Task::Unit(unit.clone(), 9).write(&mut out);
            let Task::Unit(read, 9) = Task::read(frame(&out)).unwrap() else { panic!("{out:?}") };
            assert_eq!((read.dts_ns, read.pts_ns, read.key, read.segment), (1, 2, key, segment));
            assert_eq!(read.data, unit.data);
        }
    }
}
