//! As much of ISO/IEC 14496-12 as it takes to see whether a segment is whole.

/// What the top level of a segment shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outline {
    /// There is a `moov`.
    pub(super) has_moov: bool,
    /// There is a `moof`.
    pub(super) has_moof: bool,
    /// The first `moof` says when it is decoded (`tfdt`).
    pub(super) has_decode_time: bool,
    /// The last box goes on for so many bytes behind the end.
    pub(super) missing: u64,
}

pub(super) fn outline(data: &[u8]) -> Outline {
    let mut outline = Outline::default();
    let mut rest = data;
    while let Some((kind, body, missing, after)) = next_box(rest) {
        match kind {
            b"moov" => outline.has_moov = true,
            b"moof" if !outline.has_moof => {
                outline.has_moof = true;
                outline.has_decode_time = has_tfdt(body);
            }
            _ => {}
        }
        outline.missing = missing;
        rest = after;
    }
    if !rest.is_empty() && outline.missing == 0 {
        // Less than a box header, or a size that cannot be.
        outline.missing = 1;
    }
    outline
}

fn has_tfdt(moof: &[u8]) -> bool {
    boxes_named(moof, b"traf").any(|traf| boxes_named(traf, b"tfdt").next().is_some())
}

fn boxes_named<'a>(mut data: &'a [u8], name: &'a [u8; 4]) -> impl Iterator<Item = &'a [u8]> {
    std::iter::from_fn(move || {
        let (kind, body, _, after) = next_box(data)?;
        data = after;
        Some((kind, body))
    })
    .filter(move |(kind, _)| *kind == name)
    .map(|(_, body)| body)
}

/// Name and body of a box, the bytes that it lacks, and what follows it.
type NextBox<'a> = (&'a [u8; 4], &'a [u8], u64, &'a [u8]);

fn next_box(data: &[u8]) -> Option<NextBox<'_>> {
    let size = u64::from(u32::from_be_bytes(*data.first_chunk()?));
    let kind = data.get(4..8)?.first_chunk()?;
    let (header, size) = match size {
        // To the end of the file.
        0 => (8, data.len() as u64),
        1 => (16, u64::from_be_bytes(*data.get(8..16)?.first_chunk()?)),
        size => (8, size),
    };
    let missing = size.saturating_sub(data.len() as u64);
    let end = usize::try_from(size).unwrap_or(usize::MAX).min(data.len());
    Some((kind, data.get(header..end)?, missing, data.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
    }

    #[test]
    fn sees_fragments_and_their_times() {
        let traf = wrap(b"traf", &[wrap(b"tfhd", &[0; 8]), wrap(b"tfdt", &[0; 8])].concat());
        let moof = wrap(b"moof", &[wrap(b"mfhd", &[0; 8]), traf].concat());
        let segment = [wrap(b"styp", b"msdh"), moof, wrap(b"mdat", &[7; 100])].concat();
        let whole = Outline { has_moof: true, has_decode_time: true, ..Outline::default() };
        assert_eq!(outline(&segment), whole);
        assert_eq!(outline(&segment[..segment.len() - 10]).missing, 10);
        assert!(!outline(&wrap(b"moof", &wrap(b"traf", &[]))).has_decode_time);
    }

    #[test]
    fn survives_sizes_that_cannot_be() {
        assert_eq!(outline(&[0, 0, 0, 1, b'm', b'd', b'a', b't']).missing, 1);
        assert_eq!(outline(&[0, 0, 0, 4, b'm', b'd', b'a', b't', 0]).missing, 1);
        assert_eq!(outline(&[0, 0]).missing, 1);
        let huge = [&[0, 0, 0, 1][..], b"mdat", &u64::MAX.to_be_bytes(), &[0; 4]].concat();
        assert!(outline(&huge).missing > 0);
    }
}
