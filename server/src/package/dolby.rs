//! What a frame of AC-3 or E-AC-3 says of itself (ETSI TS 102 366), and the boxes that say it in MP4 (annex F).

use super::bits::Bits;

/// Samples of a block; an AC-3 frame has six.
const BLOCK: u32 = 256;
const RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// kbit/s of AC-3, by half of `frmsizecod`.
const KBPS: [u32; 19] =
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
/// Channels of each `acmod`, the one for low frequencies not counted.
const CHANNELS: [u16; 8] = [2, 1, 2, 3, 3, 4, 4, 5];

/// The frames of one unit, which all say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    /// E-AC-3, else AC-3.
    pub(super) enhanced: bool,
    fscod: u32,
    bsid: u32,
    bsmod: u32,
    acmod: u32,
    lfe: bool,
    rate_code: u32,
    /// How long it sounds, in samples.
    pub(super) samples: u32,
    bytes: usize,
}

impl Unit {
    /// Reads a unit as MP4 and Matroska hold it: a frame of AC-3, or frames of one E-AC-3 substream. `None` for anything
    /// else, further substreams among it.
    pub(super) fn read(unit: &[u8]) -> Option<Self> {
        let mut whole: Option<Self> = None;
        let mut rest = unit;
        while !rest.is_empty() {
            let frame = frame(rest)?;
            rest = rest.get(frame.bytes..)?;
            whole = Some(match whole {
                None => frame,
                Some(before) if frame.enhanced && before.same(&frame) => Self {
                    samples: before.samples + frame.samples,
                    bytes: before.bytes + frame.bytes,
                    ..before
                },
                Some(_) => return None,
            });
        }
        whole
    }

    fn same(&self, other: &Self) -> bool {
        let parts = |unit: &Self| (unit.enhanced, unit.fscod, unit.bsid, unit.acmod, unit.lfe);
        parts(self) == parts(other)
    }

    /// Hz.
    pub(super) fn sample_rate(&self) -> u32 {
        RATES.get(self.fscod as usize).copied().unwrap_or(48_000)
    }

    /// The body of `dac3` or `dec3`.
    pub(super) fn record(&self) -> Vec<u8> {
        let lfe = u32::from(self.lfe);
        if self.enhanced {
            // Of 6144 blocks a second at most, and 4 KiB a frame: far below what 13 bits hold.
            let kbps = (self.bytes as u64 * 8 * u64::from(self.sample_rate()))
                / (u64::from(self.samples.max(1)) * 1000);
            let [_, _, first, second] = ((kbps.min(0x1fff) as u32) << 3).to_be_bytes();
            // No associated service, no dependent substream.
            let substream =
                self.fscod << 22 | self.bsid << 17 | self.bsmod << 12 | self.acmod << 9 | lfe << 8;
            let [_, third, fourth, fifth] = substream.to_be_bytes();
            return vec![first, second, third, fourth, fifth];
        }
        let bits = self.fscod << 22
            | self.bsid << 17
            | self.bsmod << 14
            | self.acmod << 11
            | lfe << 10
            | self.rate_code << 5;
        bits.to_be_bytes().get(1..).unwrap_or_default().to_vec()
    }
}

/// Sample rate and channels that the body of a `dac3` tells.
pub(super) fn of_dac3(record: &[u8]) -> Option<(u32, u16)> {
    let bits = &mut Bits::new(record);
    let rate = RATES.get(bits.take(2)? as usize).copied()?;
    bits.take(5 + 3)?;
    Some((rate, channels(bits.take(3)?, bits.bit()?)?)).filter(|_| record.len() == 3)
}

/// As [`of_dac3`], of a `dec3` with one substream.
pub(super) fn of_dec3(record: &[u8]) -> Option<(u32, u16)> {
    let bits = &mut Bits::new(record);
    bits.take(13)?;
    let alone = bits.take(3)? == 0;
    let rate = RATES.get(bits.take(2)? as usize).copied()?;
    bits.take(5 + 1 + 1 + 3)?;
    let channels = channels(bits.take(3)?, bits.bit()?)?;
    bits.take(3)?;
    Some((rate, channels)).filter(|_| alone && bits.take(4) == Some(0))
}

fn channels(acmod: u32, lfe: bool) -> Option<u16> {
    Some(CHANNELS.get(acmod as usize)? + u16::from(lfe))
}

fn frame(bytes: &[u8]) -> Option<Unit> {
    let bits = &mut Bits::new(bytes);
    if bits.take(16)? != 0x0b77 {
        return None;
    }
    // Both kinds have it at the same place.
    let bsid = u32::from(*bytes.get(5)? >> 3);
    match bsid {
        0..=8 => ac3(bits),
        11..=16 => eac3(bits),
        _ => None,
    }
}

/// Section 4.3.
fn ac3(bits: &mut Bits<'_>) -> Option<Unit> {
    bits.take(16)?; // checksum
    let fscod = bits.take(2)?;
    let rate = RATES.get(fscod as usize).copied()?;
    let size = bits.take(6)?;
    let kbps = KBPS.get(size as usize / 2).copied()?;
    let words = match rate {
        44_100 => kbps * 96_000 / rate + size % 2,
        rate => kbps * 96_000 / rate,
    };
    let (bsid, bsmod, acmod) = (bits.take(5)?, bits.take(3)?, bits.take(3)?);
    // How centre and surround are mixed down, how a stereo pair is to be heard.
    let mixed = [acmod & 1 != 0 && acmod != 1, acmod & 4 != 0, acmod == 2];
    bits.take(mixed.into_iter().map(|there| if there { 2 } else { 0 }).sum())?;
    let lfe = bits.bit()?;
    let (enhanced, rate_code, samples) = (false, size / 2, 6 * BLOCK);
    Some(Unit { enhanced, fscod, bsid, bsmod, acmod, lfe, rate_code, samples, bytes: words as usize * 2 })
}

/// Annex E, 1.2.2.
fn eac3(bits: &mut Bits<'_>) -> Option<Unit> {
    // Dependent substreams, and those beside the first, are for decoders with more channels than the first has.
    if bits.take(2)? != 0 || bits.take(3)? != 0 {
        return None;
    }
    let bytes = (bits.take(11)? as usize + 1) * 2;
    // Half rates are of the past.
    let fscod = bits.take(2).filter(|code| *code < 3)?;
    let blocks = [1, 2, 3, 6].get(bits.take(2)? as usize).copied()?;
    let (acmod, lfe, bsid) = (bits.take(3)?, bits.bit()?, bits.take(5)?);
    // What service it is stands behind all of how it is mixed: the complete main one, as nearly always.
    let (enhanced, bsmod, rate_code, samples) = (true, 0, 0, blocks * BLOCK);
    Some(Unit { enhanced, fscod, bsid, bsmod, acmod, lfe, rate_code, samples, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First bytes of a frame of 384 kbit/s with five channels and one for low frequencies, at 48 kHz.
    fn surround() -> Vec<u8> {
        let mut frame = vec![0x0b, 0x77, 0, 0, 0x1c, 0x40, 0xe1];
        frame.resize(1536, 0);
        frame
    }

    #[test]
    fn a_frame_of_ac3_is_read_and_told_in_its_box() {
        let unit = Unit::read(&surround()).unwrap();
        assert_eq!((unit.enhanced, unit.samples, unit.sample_rate()), (false, 1536, 48_000));
        // fscod 0, bsid 8, bsmod 0, acmod 7, lfe, bit rate 14.
        assert_eq!(unit.record(), [0b0001_0000, 0b0011_1101, 0b1100_0000]);
        assert_eq!(of_dac3(&unit.record()), Some((48_000, 6)));
    }

    #[test]
    fn frames_of_eac3_add_up_to_a_unit() {
        // 256 bytes, 48 kHz, two blocks, stereo, bsid 16.
        let mut frame = vec![0x0b, 0x77, 0x00, 0x7f, 0x14, 0x80];
        frame.resize(256, 0);
        let unit = Unit::read(&frame.repeat(3)).unwrap();
        assert_eq!((unit.enhanced, unit.samples), (true, 1536));
        assert_eq!(of_dec3(&unit.record()), Some((48_000, 2)));
        // 768 bytes in 32 ms.
        assert_eq!(unit.record()[..2], ((192_u16) << 3).to_be_bytes());
    }

    #[test]
    fn what_is_cut_short_or_has_more_substreams_is_no_unit() {
        let whole = surround();
        for bytes in [&[][..], &whole[..100], &whole[1..], &[whole.clone(), vec![0]].concat()] {
            assert_eq!(Unit::read(bytes), None, "{} bytes", bytes.len());
        }
        assert_eq!(Unit::read(&whole.repeat(2)), None, "two frames of AC-3 are two units");
        let dependent = [0x0b, 0x77, 0x40, 0x7f, 0x14, 0x80];
        assert_eq!(Unit::read(&[&dependent[..], &[0; 250]].concat()), None);
    }
}
