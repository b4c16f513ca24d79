//! MPEG transport streams (ISO/IEC 13818-1): the pictures and the sound of the first programme.

use super::adts::Frames;
use super::{DemuxError, nal};
use crate::live::{Codec, LiveUnit, TrackSetup};
use crate::store::TrackKind;

const PACKET: usize = 188;
/// Ticks after which 33-bit time stamps begin anew.
const WRAP: i64 = 1 << 33;
/// Longest section of a table.
const LONGEST_SECTION: usize = 1024;

/// Makes time stamps of 33 bits follow on from each other.
#[derive(Debug, Default)]
pub(super) struct Unwrap(Option<i64>);

impl Unwrap {
    /// 90 kHz ticks modulo 2^33 as nanoseconds that do not wrap.
    pub(super) fn nanoseconds(&mut self, ticks: u64) -> i64 {
        let ticks = (ticks % (1 << 33)) as i64;
        let ticks = match self.0 {
            None => ticks,
            Some(last) => {
                let step = (ticks - last).rem_euclid(WRAP);
                last + if step >= WRAP / 2 { step - WRAP } else { step }
            }
        };
        self.0 = Some(ticks);
        (i128::from(ticks) * 100_000 / 9).clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}

/// What a programme's streams are.
#[derive(Debug, Default)]
struct Programme {
    video: Option<(u16, Codec)>,
    sound: Option<u16>,
    others: Vec<String>,
}

/// A packet of an elementary stream as it comes together.
#[derive(Debug, Default)]
struct Pes(Vec<u8>);

/// Time stamps of a packet, presentation and decoding, in ticks.
#[derive(Debug, Clone, Copy)]
struct Stamps {
    pts: Option<u64>,
    dts: Option<u64>,
}

impl Pes {
    /// Its stamps and payload; `None` when it is none.
    fn read(&self) -> Option<(Stamps, &[u8])> {
        let [0, 0, 1, _, high, low, _, flags, length, rest @ ..] = self.0.as_slice() else { return None };
        let stamps = Stamps {
            pts: if flags & 0x80 != 0 { stamp(rest) } else { None },
            dts: if flags & 0xc0 == 0xc0 { stamp(rest.get(5..)?) } else { None },
        };
        // Its own length, where it says one: what follows is stuffing.
        let said = usize::from(u16::from_be_bytes([*high, *low]));
        let payload = rest.get(usize::from(*length)..)?;
        let rest = said.checked_sub(3 + usize::from(*length)).filter(|_| said > 0);
        Some((stamps, rest.and_then(|rest| payload.get(..rest)).unwrap_or(payload)))
    }
}

fn stamp(bytes: &[u8]) -> Option<u64> {
    let [a, b, c, d, e, ..] = bytes else { return None };
    let (a, b, c, d, e) = (u64::from(*a), u64::from(*b), u64::from(*c), u64::from(*d), u64::from(*e));
    Some((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1)
}

/// Set-ups with their times, and units.
pub(super) type Output = (Vec<(i64, TrackSetup)>, Vec<LiveUnit>);

/// The set-ups and units of a segment. Without `pictures` only the sound's time counts for the clock.
pub(super) fn segment(bytes: &[u8], pictures: bool, clock: &mut Unwrap) -> Result<Output, DemuxError> {
    let mut reader = Reader {
        pictures,
        clock,
        map: None,
        programme: Programme::default(),
        section: Vec::new(),
        video: Pes::default(),
        sound: Pes::default(),
        frames: Frames::default(),
        setups: Vec::new(),
        units: Vec::new(),
    };
    for packet in bytes.chunks_exact(PACKET) {
        reader.packet(packet)?;
    }
    reader.finish()
}

struct Reader<'a> {
    pictures: bool,
    clock: &'a mut Unwrap,
    map: Option<u16>,
    programme: Programme,
    section: Vec<u8>,
    video: Pes,
    sound: Pes,
    frames: Frames,
    setups: Vec<(i64, TrackSetup)>,
    units: Vec<LiveUnit>,
}

impl Reader<'_> {
    fn packet(&mut self, packet: &[u8]) -> Result<(), DemuxError> {
        let [0x47, second, third, fourth, rest @ ..] = packet else {
            return Err(DemuxError::Malformed(
                "MPEG-TS",
                "a packet does not begin with its sync byte".to_owned(),
            ));
        };
        if second & 0x80 != 0 {
            return Ok(()); // damaged on its way
        }
        if fourth & 0xc0 != 0 {
            return Err(DemuxError::Encrypted);
        }
        let (pid, begins) = (u16::from_be_bytes([second & 0x1f, *third]), second & 0x40 != 0);
        let payload = match fourth >> 4 & 3 {
            1 => Some(rest),
            3 => rest.first().and_then(|length| rest.get(1 + usize::from(*length)..)),
            _ => None,
        };
        let Some(payload) = payload else { return Ok(()) };
        if pid == 0 || Some(pid) == self.map {
            self.table(pid, begins, payload);
        } else if self.programme.video.is_some_and(|(video, _)| video == pid) {
            if begins {
                self.picture();
            }
            self.video.0.extend_from_slice(payload);
        } else if self.programme.sound == Some(pid) {
            if begins {
                self.packet_of_sound();
            }
            self.sound.0.extend_from_slice(payload);
        }
        Ok(())
    }

    fn table(&mut self, pid: u16, begins: bool, payload: &[u8]) {
        if begins {
            let pointer = payload.first().map_or(0, |pointer| usize::from(*pointer));
            self.section = payload.get(1 + pointer..).unwrap_or_default().to_vec();
        } else if self.section.len() < LONGEST_SECTION {
            self.section.extend_from_slice(payload);
        }
        let [_, high, low, ..] = self.section.as_slice() else { return };
        let length = usize::from(u16::from_be_bytes([high & 0x0f, *low]));
        let Some(section) = self.section.get(..3 + length) else { return };
        // Without its check sum.
        let Some(body) = section.get(8..section.len().saturating_sub(4)) else { return };
        if pid == 0 {
            // The first programme; number 0 is the network's table.
            let entry = body.as_chunks::<4>().0.iter().find(|[a, b, ..]| (*a, *b) != (0, 0));
            self.map = entry.map(|[_, _, high, low]| u16::from_be_bytes([high & 0x1f, *low])).or(self.map);
        } else if self.programme.video.is_none() && self.programme.sound.is_none() {
            self.programme = programme(body);
        }
    }

    /// The picture that has come together.
    fn picture(&mut self) {
        let pes = std::mem::take(&mut self.video);
        let Some((_, codec)) = self.programme.video.filter(|_| self.pictures) else { return };
        let Some((Stamps { pts, dts }, stream)) = pes.read() else { return };
        let Some(pts) = pts else { return };
        let dts_ns = self.clock.nanoseconds(dts.unwrap_or(pts));
        // From the decode time: the clock only looks at those.
        let ahead = (pts.wrapping_sub(dts.unwrap_or(pts)) % (1 << 33)) as i64;
        let ahead = if ahead >= WRAP / 2 { ahead - WRAP } else { ahead };
        let picture = nal::picture(codec, stream);
        if let Some(config) = picture.config {
            let setup = TrackSetup {
                language: None,
                kind: TrackKind::Video,
                codec,
                config,
                width: 0,
                height: 0,
                frame_rate: None,
                sample_rate: 0,
                channels: 0,
                bitrate: None,
            };
            if self
                .setups
                .iter()
                .rfind(|(_, known)| known.kind == TrackKind::Video)
                .is_none_or(|(_, known)| *known != setup)
            {
                self.setups.push((dts_ns, setup));
            }
        }
        if picture.data.is_empty() {
            return;
        }
        self.units.push(LiveUnit {
            kind: TrackKind::Video,
            dts_ns,
            pts_ns: dts_ns + ahead * 100_000 / 9,
            key: picture.key,
            data: picture.data,
        });
    }

    fn packet_of_sound(&mut self) {
        let pes = std::mem::take(&mut self.sound);
        let Some((stamps, payload)) = pes.read() else { return };
        let at = stamps.pts.map(|pts| self.clock.nanoseconds(pts));
        self.frames.push(at, payload);
    }

    fn finish(mut self) -> Result<Output, DemuxError> {
        self.picture();
        self.packet_of_sound();
        self.setups.append(&mut self.frames.setups);
        self.units.append(&mut self.frames.units);
        if self.units.is_empty() {
            let Programme { video, sound, others } = &self.programme;
            return Err(match (video, sound) {
                (None, None) if self.map.is_none() => {
                    DemuxError::Malformed("MPEG-TS", "it has no programme table".to_owned())
                }
                (None, None) => DemuxError::Codecs(others.join(", ")),
                _ => DemuxError::Malformed("MPEG-TS", "it holds no picture and no sound".to_owned()),
            });
        }
        Ok((self.setups, self.units))
    }
}

/// The streams of a programme map (2.4.4.8) from its body on.
fn programme(body: &[u8]) -> Programme {
    let mut found = Programme::default();
    let Some(info) = body.get(2..4).and_then(|two| two.first_chunk::<2>()) else { return found };
    let skip = usize::from(u16::from_be_bytes(*info) & 0x0fff);
    let mut rest = body.get(4 + skip..).unwrap_or_default();
    while let [kind, high, low, info_high, info_low, after @ ..] = rest {
        let pid = u16::from_be_bytes([high & 0x1f, *low]);
        match kind {
            0x1b if found.video.is_none() => found.video = Some((pid, Codec::Avc)),
            0x24 if found.video.is_none() => found.video = Some((pid, Codec::Hevc)),
            0x0f if found.sound.is_none() => found.sound = Some(pid),
            kind if found.others.len() < 8 => found.others.push(match kind {
                0x01 | 0x02 => "MPEG-2 video".to_owned(),
                0x03 | 0x04 => "MPEG audio".to_owned(),
                0x11 => "AAC in LATM".to_owned(),
                0x81 => "AC-3".to_owned(),
                kind => format!("a stream of type {kind:#04x}"),
            }),
            _ => {}
        }
        let skip = usize::from(u16::from_be_bytes([info_high & 0x0f, *info_low]));
        rest = after.get(skip..).unwrap_or_default();
    }
    found
}
