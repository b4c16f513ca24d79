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

/// Whether the beginning of a segment tells enough to read on: a whole `moof`, or the first `mdat` behind something that
/// describes it. `Some(false)` when it never will.
pub(super) fn tells(data: &[u8]) -> Option<bool> {
    let mut rest = data;
    let mut described = false;
    while let Some((kind, _, missing, after)) = next_box(rest) {
        match kind {
            b"mdat" => return Some(described),
            _ if missing > 0 => return None,
            b"moof" => return Some(true),
            b"moov" => described = true,
            _ => {}
        }
        rest = after;
    }
    None
}

/// What is still to come of a box that goes on to the end, or has a size that cannot be.
const ENDLESS: u64 = 1 << 62;

/// Follows the boxes of a segment that comes in pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walker {
    /// As much of the box's header as has come.
    header: Vec<u8>,
    /// Bytes of the box that are still to come, once its header is known.
    left: Option<u64>,
    media: bool,
}

impl Walker {
    /// The next bytes.
    pub(crate) fn walk(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if let Some(left) = self.left {
                let step = left.min(data.len() as u64);
                data = data.get(step as usize..).unwrap_or_default();
                self.left = Some(left - step).filter(|left| *left > 0);
                continue;
            }
            let wanted = if self.header.starts_with(&[0, 0, 0, 1]) { 16 } else { 8 };
            let (head, rest) = data.split_at(data.len().min(wanted - self.header.len().min(wanted)));
            self.header.extend_from_slice(head);
            data = rest;
            let wanted = if self.header.starts_with(&[0, 0, 0, 1]) { 16 } else { 8 };
            if self.header.len() < wanted {
                continue;
            }
            let size = match (self.header.first_chunk(), self.header.get(8..16)) {
                (_, Some(long)) => long.first_chunk().map_or(0, |long| u64::from_be_bytes(*long)),
                (Some(short), None) => u64::from(u32::from_be_bytes(*short)),
                (None, None) => 0,
            };
            self.media = self.header.get(4..8) == Some(b"mdat");
            // A size of zero goes to the end; one that cannot be ends all hope of finding another box.
            let body = size.checked_sub(wanted as u64).unwrap_or(ENDLESS);
            self.left = Some(body).filter(|body| *body > 0);
            self.header.clear();
        }
    }

    /// No box is under way.
    pub(crate) fn is_between(&self) -> bool {
        self.left.is_none() && self.header.is_empty()
    }

    /// A box is under way whose end is known.
    pub(crate) fn lacks_something(&self) -> bool {
        !self.header.is_empty() || self.left.is_some_and(|left| left < ENDLESS)
    }

    /// Media ended here: with a segment that is still being made, all that there is has come.
    pub(crate) fn is_after_media(&self) -> bool {
        self.media && self.is_between()
    }
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
    fn follows_boxes_however_they_are_cut() {
        let moof = wrap(b"moof", &[1; 20]);
        let long = [&[0, 0, 0, 1][..], b"mdat", &116_u64.to_be_bytes(), &[7; 100]].concat();
        let chunk = [moof, long].concat();
        for size in 1..40 {
            let mut walker = Walker::default();
            for (at, piece) in chunk.chunks(size).enumerate() {
                walker.walk(piece);
                let at_end = (at + 1) * size >= chunk.len();
                assert_eq!(walker.is_after_media(), at_end, "pieces of {size}, piece {at}");
            }
            walker.walk(&wrap(b"styp", b"msdh"));
            assert!(walker.is_between() && !walker.is_after_media());
        }
        let mut odd = Walker::default();
        odd.walk(&[0, 0, 0, 3, b'm', b'd', b'a', b't', 0, 0, 0, 0]);
        assert!(!odd.is_between());
    }

    #[test]
    fn the_beginning_of_a_segment_tells_when_its_fragment_is_described() {
        let moof = wrap(b"moof", &wrap(b"traf", &[]));
        let start = [wrap(b"styp", b"msdh"), moof.clone()].concat();
        assert_eq!(tells(&start[..start.len() - 1]), None);
        assert_eq!(tells(&start), Some(true));
        assert_eq!(tells(&[wrap(b"ftyp", b"isom"), wrap(b"moov", b"")].concat()), None);
        assert_eq!(tells(&[wrap(b"moov", b""), wrap(b"mdat", b"")].concat()), Some(true));
        assert_eq!(tells(&wrap(b"mdat", &[0; 9])), Some(false));
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
