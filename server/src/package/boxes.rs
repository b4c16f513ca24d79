//! Writing and finding ISO base media boxes (ISO/IEC 14496-12).

use super::PackageError;

/// Appends one box: header, then what `body` writes.
pub(super) fn write_box(out: &mut Vec<u8>, kind: &[u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    body(out);
    // Everything but `mdat` is far below 4 GiB, and `media_segment` bounds that one.
    let size = (out.len() - at) as u32;
    if let Some(field) = out.get_mut(at..at + 4) {
        field.copy_from_slice(&size.to_be_bytes());
    }
}

/// Appends one full box: a box whose body starts with version and flags.
pub(super) fn write_full_box(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    version: u8,
    flags: u32,
    body: impl FnOnce(&mut Vec<u8>),
) {
    write_box(out, kind, |out| {
        put_u32(out, u32::from(version) << 24 | (flags & 0x00ff_ffff));
        body(out);
    });
}

pub(super) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// A box found in a buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) kind: [u8; 4],
    /// Header included.
    pub(super) whole: &'a [u8],
    pub(super) body: &'a [u8],
    /// Where it starts in the buffer.
    pub(super) offset: usize,
}

/// The boxes side by side in `buffer`.
pub(super) fn children(buffer: &[u8]) -> Result<Vec<Found<'_>>, PackageError> {
    let mut found = Vec::new();
    let mut offset = 0;
    while offset < buffer.len() {
        let bad = || PackageError::Malformed(format!("box header at byte {offset}"));
        let rest = buffer.get(offset..).ok_or_else(bad)?;
        let (Some(size), Some(kind)) = (rest.first_chunk::<4>(), rest.get(4..8)) else { return Err(bad()) };
        let size = u32::from_be_bytes(*size) as usize;
        let whole = rest.get(..size).filter(|whole| whole.len() >= 8).ok_or_else(bad)?;
        let kind = kind.try_into().map_err(|_| bad())?;
        found.push(Found { kind, whole, body: whole.get(8..).unwrap_or_default(), offset });
        offset += size;
    }
    Ok(found)
}

/// The first box of a kind among `boxes`.
pub(super) fn find<'a>(boxes: &[Found<'a>], kind: &[u8; 4]) -> Result<Found<'a>, PackageError> {
    boxes
        .iter()
        .find(|found| &found.kind == kind)
        .copied()
        .ok_or_else(|| PackageError::Malformed(format!("no {} box", String::from_utf8_lossy(kind))))
}
