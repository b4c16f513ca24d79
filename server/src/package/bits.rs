//! Reading and writing codec headers bit by bit; reading within bounds.

/// A reader that gives `None` past the end, never a panic.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        Some(bit)
    }

    /// `count` bits, 32 at most.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count.min(32) {
            value = value << 1 | u32::from(self.bit()?);
        }
        Some(value)
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|at| *at <= self.bytes.len() * 8)?;
        Some(())
    }

    /// Unsigned Exp-Golomb (ITU-T H.264, 9.1).
    pub(super) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.take(zeros)?;
        (1_u32 << zeros).checked_sub(1)?.checked_add(rest)
    }

    /// Signed Exp-Golomb.
    pub(super) fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) })
    }

    /// `uvlc()` of AV1 (section 4.10.3).
    pub(super) fn uvlc(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros >= 32 {
                return Some(u32::MAX);
            }
        }
        let rest = self.take(zeros)?;
        Some(((1_u64 << zeros) - 1 + u64::from(rest)) as u32)
    }
}

/// Writes bits, the highest first.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    pub(super) bytes: Vec<u8>,
    used: u32,
}

impl BitWriter {
    pub(super) fn bit(&mut self, bit: bool) {
        if self.used == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut().filter(|_| bit) {
            *last |= 0x80 >> self.used;
        }
        self.used = (self.used + 1) % 8;
    }

    pub(super) fn put(&mut self, value: u32, count: u32) {
        for at in (0..count).rev() {
            self.bit(value >> at & 1 == 1);
        }
    }

    /// Unsigned Exp-Golomb (9.1).
    pub(super) fn ue(&mut self, value: u32) {
        let code = value.saturating_add(1);
        let length = 32 - code.leading_zeros();
        self.put(0, length - 1);
        self.put(code, length);
    }

    /// Signed Exp-Golomb (9.1.1).
    pub(super) fn se(&mut self, value: i64) {
        let code = if value > 0 { value * 2 - 1 } else { -value * 2 };
        self.ue(code as u32);
    }

    pub(super) fn align_with(&mut self, bit: bool) {
        while self.used != 0 {
            self.bit(bit);
        }
    }
}

/// A NAL unit's payload without emulation prevention bytes, at most the first `limit` bytes of it.
pub(crate) fn unescape(nal: &[u8], limit: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len().min(limit));
    let mut zeros = 0;
    for byte in nal.iter().copied() {
        if out.len() >= limit {
            break;
        }
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// NAL units behind four-byte lengths; ends at the first that does not fit.
pub(crate) fn nal_units(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        let (nal, after) = rest.split_at_checked(length)?;
        data = after;
        Some(nal)
    })
}

/// An open bitstream unit of AV1 (section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Obu<'a> {
    pub(super) kind: u8,
    /// Temporal and spatial layer.
    pub(super) extension: Option<u8>,
    pub(super) payload: &'a [u8],
    /// Where its header begins, and where its payload ends.
    pub(super) at: usize,
    pub(super) end: usize,
}

/// The units of a sample; ends at the first that does not fit.
pub(super) fn obus(data: &[u8]) -> impl Iterator<Item = Obu<'_>> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let at = next;
        let header = data.get(at).copied()?;
        let extended = header & 4 != 0;
        let extension = if extended { Some(*data.get(at + 1)?) } else { None };
        let mut from = at + if extended { 2 } else { 1 };
        let size = if header & 2 != 0 {
            let mut value = 0_usize;
            for i in 0..4 {
                let byte = data.get(from).copied()?;
                from += 1;
                value |= usize::from(byte & 0x7f) << (7 * i);
                if byte & 0x80 == 0 {
                    break;
                }
            }
            value
        } else {
            data.len().checked_sub(from)?
        };
        next = from.checked_add(size)?;
        let payload = data.get(from..next)?;
        Some(Obu { kind: header >> 3 & 15, extension, payload, at, end: next })
    })
}
