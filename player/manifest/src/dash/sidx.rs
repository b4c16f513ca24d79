//! The segment index box (ISO/IEC 14496-12, 8.16.3).

use std::ops::Range;

use crate::Error;

/// One subsegment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Bytes in the file.
    pub(crate) range: Range<u64>,
    /// Start in ticks.
    pub(crate) time: u64,
    /// Length in ticks.
    pub(crate) duration: u64,
}

/// A parsed index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) timescale: u64,
    pub(crate) references: Vec<Reference>,
    /// Where the `moov` box ends, when it was among the bytes.
    pub(crate) init_end: Option<u64>,
}

/// What the bytes of a file tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Index(Index),
    /// There is no index before the media.
    None,
    /// The file must be read at least up to this offset.
    More(u64),
}

/// Subsegments that last less than this in the mean, in seconds, are not worth a request each.
const TINY: u64 = 1;
/// They are fetched in pieces of about so many seconds.
const PIECE: u64 = 2;

impl Index {
    /// The same with subsegments that are very short put together. Which ones depends on their times alone, so that all
    /// Representations whose subsegments agree come out alike.
    pub(crate) fn coalesced(mut self) -> Self {
        let (Some(first), Some(last)) = (self.references.first(), self.references.last()) else {
            return self;
        };
        let start = first.time;
        let total = last.time.saturating_add(last.duration).saturating_sub(start);
        let count = self.references.len() as u64;
        let scale = u128::from(self.timescale);
        if count < 2 || u128::from(total) >= u128::from(count) * u128::from(TINY) * scale {
            return self;
        }
        // Rounding in one of them must not move a border: it lies a little before the time at which one may begin.
        let early = u128::from(total / count / 4);
        let piece = u128::from(PIECE) * scale;
        let of = |reference: &Reference| (u128::from(reference.time - start) + early) / piece;
        let mut pieces: Vec<(u128, Reference)> = Vec::new();
        for reference in self.references {
            let piece = of(&reference);
            match pieces.last_mut() {
                Some((same, whole)) if *same == piece => {
                    whole.range.end = reference.range.end;
                    whole.duration = whole.duration.saturating_add(reference.duration);
                }
                _ => pieces.push((piece, reference)),
            }
        }
        self.references = pieces.into_iter().map(|(_, reference)| reference).collect();
        self
    }
}

fn be(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(length)?)?;
    Some(field.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// Looks for the index in `bytes`, which stand at `offset` in the file at `url`.
pub(crate) fn find(bytes: &[u8], offset: u64, url: &str) -> Result<Found, Error> {
    let bad = |what: &str| Error::Index { url: crate::error::one_line(url, 200), what: what.to_owned() };
    let mut at = 0_usize;
    let mut init_end = None;
    loop {
        let (Some(size), Some(kind)) = (be(bytes, at, 4), bytes.get(at + 4..at + 8)) else {
            return Ok(Found::More(offset.saturating_add(at as u64 + 16)));
        };
        let (header, size) = match size {
            0 => return if kind == b"sidx" { Err(bad("it has no size")) } else { Ok(Found::None) },
            1 => match be(bytes, at + 8, 8) {
                Some(size) => (16, size),
                None => return Ok(Found::More(offset.saturating_add(at as u64 + 16))),
            },
            size => (8, size),
        };
        if size < header {
            return Err(bad("a box is smaller than its header"));
        }
        let end = offset.saturating_add(at as u64).saturating_add(size);
        match kind {
            b"sidx" => {
                let length = usize::try_from(size).unwrap_or(usize::MAX);
                let Some(body) = bytes.get(at + header as usize..at.saturating_add(length)) else {
                    return Ok(Found::More(end));
                };
                let mut index = parse(body, end).map_err(bad)?;
                index.init_end = init_end;
                return Ok(Found::Index(index));
            }
            b"moov" => init_end = Some(end),
            b"mdat" | b"moof" => return Ok(Found::None),
            _ => {}
        }
        let next = usize::try_from(end - offset).unwrap_or(usize::MAX);
        if next >= bytes.len() {
            return Ok(Found::More(end.saturating_add(16)));
        }
        at = next;
    }
}

fn parse(body: &[u8], end_of_box: u64) -> Result<Index, &'static str> {
    let be = |body, at, length| be(body, at, length).ok_or("its fields do not fit its size");
    let version = body.first().copied().unwrap_or(0);
    let timescale = be(body, 8, 4)?.max(1);
    let (time, first, mut at) = if version == 0 {
        (be(body, 12, 4)?, be(body, 16, 4)?, 20)
    } else {
        (be(body, 12, 8)?, be(body, 20, 8)?, 28)
    };
    let count = be(body, at + 2, 2)?;
    at += 4;
    let mut position = end_of_box.saturating_add(first);
    let mut time = time;
    let mut references = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let size = be(body, at, 4)?;
        if size >> 31 == 1 {
            return Err("it refers to further indexes, which are not read");
        }
        let duration = be(body, at + 4, 4)?;
        let end = position.saturating_add(size);
        references.push(Reference { range: position..end, time, duration });
        position = end;
        time = time.saturating_add(duration);
        at += 12;
    }
    Ok(Index { timescale, references, init_end: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(version: u8, references: &[(u32, u32)]) -> Vec<u8> {
        let mut body = vec![version, 0, 0, 0];
        body.extend(1_u32.to_be_bytes());
        body.extend(1000_u32.to_be_bytes());
        if version == 0 {
            body.extend(500_u32.to_be_bytes());
            body.extend(10_u32.to_be_bytes());
        } else {
            body.extend(500_u64.to_be_bytes());
            body.extend(10_u64.to_be_bytes());
        }
        body.extend(0_u16.to_be_bytes());
        body.extend((references.len() as u16).to_be_bytes());
        for (size, duration) in references {
            body.extend(size.to_be_bytes());
            body.extend(duration.to_be_bytes());
            body.extend(0x9000_0000_u32.to_be_bytes());
        }
        boxed(b"sidx", &body)
    }

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut out = (body.len() as u32 + 8).to_be_bytes().to_vec();
        out.extend(kind);
        out.extend(body);
        out
    }

    #[test]
    fn reads_both_versions_wherever_they_stand() {
        for version in [0, 1] {
            let sidx = index(version, &[(100, 4000), (200, 2000)]);
            let Found::Index(read) = find(&sidx, 1000, "u").unwrap() else { panic!("no index") };
            let end = 1000 + sidx.len() as u64 + 10;
            assert_eq!(
                read.references,
                [
                    Reference { range: end..end + 100, time: 500, duration: 4000 },
                    Reference { range: end + 100..end + 300, time: 4500, duration: 2000 },
                ]
            );
            let file = [boxed(b"ftyp", b"isom"), boxed(b"moov", &[0; 50]), sidx.clone()].concat();
            let Found::Index(read) = find(&file, 0, "u").unwrap() else { panic!("no index") };
            assert_eq!(read.init_end, Some(12 + 58));
        }
    }

    #[test]
    fn tiny_subsegments_are_put_together_alike_at_all_rungs_and_longer_ones_are_left_alone() {
        let read = |references: &[(u32, u32)]| {
            let Found::Index(index) = find(&index(0, references), 0, "u").unwrap() else {
                panic!("no index")
            };
            index.coalesced().references
        };
        // A third of a second, rounded this way and that.
        let thirds = |sizes: u32, ticks: [u32; 3]| -> Vec<(u32, u32)> {
            (0..100).map(|at| (sizes, ticks[at % 3])).collect()
        };
        let (low, high) = (read(&thirds(100, [333, 333, 334])), read(&thirds(9000, [334, 333, 333])));
        assert_eq!(low.len(), 17);
        assert!(
            low.iter()
                .take(16)
                .all(|piece| piece.duration == 2000 && piece.range.end - piece.range.start == 600)
        );
        let times = |pieces: &[Reference]| pieces.iter().map(|piece| piece.time / 10).collect::<Vec<_>>();
        assert_eq!(times(&low), times(&high));
        assert!(low.windows(2).all(|two| two[0].range.end == two[1].range.start));
        let long = [(100, 1000), (100, 1000), (50, 200)];
        assert_eq!(read(&long[..2]).len(), 2);
        assert_eq!(read(&long[2..]).len(), 1);
        assert_eq!(read(&[]).len(), 0);
        assert_eq!(read(&[(0, u32::MAX), (0, 0)]).len(), 2, "times that cannot be are left as they are");
    }

    #[test]
    fn asks_for_more_or_gives_up_without_guessing() {
        let sidx = index(0, &[(100, 4000)]);
        let file = [boxed(b"moov", &[0; 50]), sidx].concat();
        assert_eq!(find(&file[..20], 0, "u").unwrap(), Found::More(58 + 16));
        assert_eq!(find(&file[..70], 0, "u").unwrap(), Found::More(file.len() as u64));
        assert_eq!(find(&boxed(b"mdat", b"x"), 0, "u").unwrap(), Found::None);
        assert!(find(&boxed(b"sidx", &[0; 10]), 0, "u").is_err());
        assert!(find(&index(0, &[(0x8000_0001, 1)]), 0, "u").is_err());
        assert_eq!(find(b"", 0, "u").unwrap(), Found::More(16));
    }
}
