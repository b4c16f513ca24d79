//! AAC in ADTS frames (ISO/IEC 13818-7, 6.2), inside MPEG-TS or packed as segments of their own (RFC 8216, 3.4).

use bytes::Bytes;

use super::DemuxError;
use super::ts::{Output, Unwrap};
use crate::live::{Codec, LiveUnit, TrackSetup};
use crate::store::TrackKind;

const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350];

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    object_type: u8,
    rate_index: u8,
    channels: u8,
    head: usize,
    whole: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [0xff, second, third, fourth, fifth, sixth, _, ..] = bytes else { return None };
        if second & 0xf6 != 0xf0 {
            return None;
        }
        let head = if second & 1 == 0 { 9 } else { 7 };
        let whole = usize::from(fourth & 3) << 11 | usize::from(*fifth) << 3 | usize::from(sixth >> 5);
        let rate_index = third >> 2 & 15;
        (whole > head && usize::from(rate_index) < RATES.len()).then_some(Self {
            object_type: (third >> 6) + 1,
            rate_index,
            channels: (third & 1) << 2 | fourth >> 6,
            head,
            whole,
        })
    }

    fn rate(self) -> u32 {
        RATES.get(usize::from(self.rate_index)).copied().unwrap_or(48_000)
    }

    fn setup(self) -> TrackSetup {
        // A channel configuration of 0 is told in the frames; two is what it mostly is.
        let channels = if self.channels == 0 { 2 } else { self.channels };
        let config =
            u16::from(self.object_type) << 11 | u16::from(self.rate_index) << 7 | u16::from(channels) << 3;
        TrackSetup {
            language: None,
            kind: TrackKind::Audio,
            codec: Codec::Aac,
            config: Bytes::copy_from_slice(&config.to_be_bytes()),
            width: 0,
            height: 0,
            frame_rate: None,
            sample_rate: self.rate(),
            channels: if channels == 7 { 8 } else { channels.into() },
            bitrate: None,
        }
    }
}

/// Cuts frames out of what arrives in pieces, each with the time of the first frame that begins in it.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pending: Vec<u8>,
    /// Time of the next frame.
    next_ns: Option<i64>,
    setup: Option<Header>,
    pub(super) setups: Vec<(i64, TrackSetup)>,
    pub(super) units: Vec<LiveUnit>,
}

impl Frames {
    pub(super) fn push(&mut self, at_ns: Option<i64>, bytes: &[u8]) {
        let begun = self.pending.len();
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        let mut stamp = at_ns;
        while let Some(rest) = self.pending.get(at..).filter(|rest| rest.len() >= 7) {
            let Some(header) = Header::read(rest) else {
                at += 1;
                continue;
            };
            let Some(frame) = rest.get(header.head..header.whole) else { break };
            if at >= begun
                && let Some(stamp) = stamp.take()
            {
                self.next_ns = Some(stamp);
            }
            if let Some(now) = self.next_ns {
                if self.setup.is_none_or(|known| {
                    (known.rate_index, known.channels, known.object_type)
                        != (header.rate_index, header.channels, header.object_type)
                }) {
                    self.setup = Some(header);
                    self.setups.push((now, header.setup()));
                }
                let data = Bytes::copy_from_slice(frame);
                self.units.push(LiveUnit {
                    kind: TrackKind::Audio,
                    dts_ns: now,
                    pts_ns: now,
                    key: true,
                    data,
                });
                self.next_ns = Some(now + 1_024_000_000_000 / i64::from(header.rate()));
            }
            at += header.whole;
        }
        // What is left is the beginning of a frame; a frame has 8 KiB at most.
        self.pending.drain(..at.min(self.pending.len()));
        if let Some(stamp) = stamp.filter(|_| self.next_ns.is_none()) {
            self.next_ns = Some(stamp);
        }
    }
}

/// The set-ups and units of a segment of ADTS frames behind an ID3 tag, which says their time.
pub(super) fn packed(bytes: &[u8], clock: &mut Unwrap) -> Result<Output, DemuxError> {
    let wrong = |why: &str| DemuxError::Malformed("AAC segment", why.to_owned());
    let (mut rest, mut stamp) = (bytes, None);
    while rest.starts_with(b"ID3") {
        let sizes = rest.get(6..10).ok_or_else(|| wrong("its ID3 tag is cut short"))?;
        let size = sizes.iter().fold(0_usize, |size, byte| size << 7 | usize::from(byte & 0x7f));
        let tag = rest.get(10..10 + size).ok_or_else(|| wrong("its ID3 tag is cut short"))?;
        stamp = stamp.or_else(|| timestamp(tag));
        rest = rest.get(10 + size..).unwrap_or_default();
    }
    let stamp = stamp.ok_or_else(|| wrong("no ID3 tag says its time"))?;
    let mut frames = Frames::default();
    frames.push(Some(clock.nanoseconds(stamp)), rest);
    if frames.units.is_empty() {
        return Err(wrong("it holds no frame"));
    }
    Ok((frames.setups, frames.units))
}

/// The MPEG-TS time in a PRIV frame of an ID3v2 tag.
fn timestamp(tag: &[u8]) -> Option<u64> {
    const OWNER: &[u8] = b"com.apple.streaming.transportStreamTimestamp\0";
    let at = tag.windows(OWNER.len()).position(|window| window == OWNER)? + OWNER.len();
    tag.get(at..)?.first_chunk().map(|eight| u64::from_be_bytes(*eight) & ((1 << 33) - 1))
}
