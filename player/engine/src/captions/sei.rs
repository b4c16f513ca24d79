//! The captions' bytes in an access unit (ATSC A/53, part 4, 6.2.3; ITU-T H.264 and H.265, annex D).

use std::borrow::Cow;

use gstreamer as gst;

/// Most bytes of an access unit that are looked through for its beginnings: SEI messages come before the picture.
const LOOKED_AT: usize = 64 << 10;
/// Most messages of one access unit.
const MOST: usize = 64;

/// How a stream's units are set apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    hevc: bool,
    /// Bytes of the length before each unit; 0: start codes.
    length: usize,
}

impl Form {
    /// From caps; `None` where no captions can be.
    pub(super) fn of(caps: &gst::CapsRef) -> Option<Self> {
        let structure = caps.structure(0)?;
        let hevc = match structure.name().as_str() {
            "video/x-h264" => false,
            "video/x-h265" => true,
            _ => return None,
        };
        if structure.get::<&str>("stream-format").is_ok_and(|form| form == "byte-stream") {
            return Some(Self { hevc, length: 0 });
        }
        let config = structure.get::<gst::Buffer>("codec_data").ok()?;
        let config = config.map_readable().ok()?;
        let at = if hevc { 21 } else { 4 };
        Some(Self { hevc, length: usize::from(config.get(at)? & 3) + 1 })
    }

    fn kind(self, unit: &[u8]) -> Option<Kind> {
        let first = *unit.first()?;
        Some(match (self.hevc, if self.hevc { first >> 1 & 0x3F } else { first & 0x1F }) {
            (false, 1..=5) | (true, 0..=31) => Kind::Picture,
            (false, 6) | (true, 39) => Kind::Message,
            _ => Kind::Other,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Picture,
    Message,
    Other,
}

/// Hands each pair of an access unit to `pair`: its kind and its two bytes. 0 and 1 are the fields of CEA-608, parity taken off;
/// 3 begins a packet of CEA-708 and 2 goes on with it.
pub(super) fn pairs(data: &[u8], form: Form, mut pair: impl FnMut(u8, u8, u8)) {
    for unit in units(data, form.length).take(MOST * 4) {
        match form.kind(unit) {
            Some(Kind::Picture) | None => return,
            Some(Kind::Other) => {}
            Some(Kind::Message) => {
                let header = if form.hevc { 2 } else { 1 };
                let message = unescaped(unit.get(header..).unwrap_or_default());
                messages(&message, &mut pair);
            }
        }
    }
}

/// The units of an access unit, as far as they are looked at.
fn units(data: &[u8], length: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = if length == 0 { after_start(data.get(..LOOKED_AT).unwrap_or(data)) } else { Some(data) };
    std::iter::from_fn(move || {
        let data = rest.take()?;
        if length == 0 {
            let end = start_code(data).unwrap_or(data.len());
            rest = data.get(end..).and_then(after_start);
            return data.get(..end);
        }
        let size = data.get(..length)?.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
        let unit = data.get(length..)?;
        // One that is cut short still says what it is.
        rest = unit.get(size..);
        Some(unit.get(..size).unwrap_or(unit))
    })
}

fn start_code(data: &[u8]) -> Option<usize> {
    data.windows(3).position(|code| code == [0, 0, 1])
}

fn after_start(data: &[u8]) -> Option<&[u8]> {
    data.get(start_code(data)? + 3..)
}

/// Without the bytes that keep start codes from appearing.
fn unescaped(unit: &[u8]) -> Cow<'_, [u8]> {
    if !unit.windows(3).any(|three| three == [0, 0, 3]) {
        return Cow::Borrowed(unit);
    }
    let mut out = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    Cow::Owned(out)
}

fn messages(mut data: &[u8], pair: &mut impl FnMut(u8, u8, u8)) {
    // Type and size are written as so many times 255 and the rest.
    fn number<'a>(data: &mut &'a [u8]) -> Option<usize> {
        let mut sum = 0_usize;
        loop {
            let (&first, rest): (&u8, &'a [u8]) = data.split_first()?;
            *data = rest;
            sum += usize::from(first);
            if first != 0xFF {
                return Some(sum);
            }
        }
    }
    for _ in 0..MOST {
        let (Some(kind), Some(size)) = (number(&mut data), number(&mut data)) else { return };
        let Some(payload) = data.get(..size) else { return };
        // User data registered by ITU-T T.35: United States, ATSC, `GA94`, captions.
        if let (4, Some(captions)) = (kind, payload.strip_prefix(b"\xB5\x00\x31GA94\x03")) {
            triples(captions, pair);
        }
        data = data.get(size..).unwrap_or_default();
    }
}

/// `cc_data` (CTA-708, 4.4).
fn triples(data: &[u8], pair: &mut impl FnMut(u8, u8, u8)) {
    let Some((&[flags, _], rest)) = data.split_first_chunk::<2>() else { return };
    if flags & 0x40 == 0 {
        return;
    }
    for triple in rest.chunks_exact(3).take(usize::from(flags & 0x1F)) {
        if let &[head, first, second] = triple
            && head & 4 != 0
        {
            let kind = head & 3;
            let bits = if kind < 2 { 0x7F } else { 0xFF };
            pair(kind, first & bits, second & bits);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An SEI message with these pairs of field 1, as a unit without its start code.
    pub(crate) fn message(pairs: &[(u8, u8)], hevc: bool) -> Vec<u8> {
        let mut payload = b"\xB5\x00\x31GA94\x03".to_vec();
        payload.extend([0xC0 | pairs.len() as u8, 0xFF]);
        for (first, second) in pairs {
            payload.extend([0xFC, *first, *second]);
        }
        payload.push(0xFF);
        let mut unit = if hevc { vec![39 << 1, 1] } else { vec![6] };
        unit.extend([4, payload.len() as u8]);
        unit.extend(payload);
        unit.push(0x80);
        unit
    }

    fn found(data: &[u8], form: Form) -> Vec<(u8, u8, u8)> {
        let mut all = Vec::new();
        pairs(data, form, |field, first, second| all.push((field, first, second)));
        all
    }

    #[test]
    fn pairs_are_found_by_lengths_and_by_start_codes_in_either_codec() {
        let expected = [(0, 0x14, 0x2C), (0, 0x41, 0x42)];
        for hevc in [false, true] {
            let unit = message(&[(0x94, 0x2C), (0xC1, 0xC2)], hevc);
            let picture = if hevc { [1 << 1, 1, 9].as_slice() } else { &[0x65, 9] };
            let mut sized = Vec::new();
            let mut coded = Vec::new();
            for unit in [unit.as_slice(), picture] {
                sized.extend((unit.len() as u32).to_be_bytes());
                sized.extend(unit);
                coded.extend([0, 0, 0, 1]);
                coded.extend(unit);
            }
            assert_eq!(found(&sized, Form { hevc, length: 4 }), expected);
            assert_eq!(found(&coded, Form { hevc, length: 0 }), expected);
        }
    }

    #[test]
    fn what_stands_behind_the_picture_or_is_cut_short_is_not_read() {
        let unit = message(&[(0x14, 0x2C)], false);
        let form = Form { hevc: false, length: 0 };
        let mut late = vec![0, 0, 1, 0x65, 9, 0, 0, 1];
        late.extend(&unit);
        assert!(found(&late, form).is_empty());
        for end in 0..unit.len() - 3 {
            let mut short = vec![0, 0, 1];
            short.extend(&unit[..end]);
            found(&short, form);
            found(&short, Form { length: 4, ..form });
        }
    }

    #[test]
    fn bytes_that_avoid_start_codes_are_taken_out() {
        assert_eq!(&*unescaped(&[1, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [1, 0, 0, 1, 0, 0, 0, 0]);
        assert!(matches!(unescaped(&[1, 2]), Cow::Borrowed(_)));
    }
}
