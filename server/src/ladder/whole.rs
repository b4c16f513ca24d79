//! Whether an MP4 file is all there: what is cut off in a copy or an upload is its end, and there many have their index.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Boxes of the outermost level that are looked at.
const MOST: usize = 10_000;

/// Where an MP4 file ends although one of its boxes goes on, if its index (`moov`) was not met before: its length and what
/// it should be at least, in bytes. `None` for other files, and for those that are whole or have their index in front.
pub(super) fn cut_before_index(path: &Path) -> Option<(u64, u64)> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let mut at = 0_u64;
    for _ in 0..MOST {
        let mut head = [0; 16];
        let room = usize::try_from(length - at).unwrap_or(usize::MAX).min(head.len());
        file.seek(SeekFrom::Start(at)).ok()?;
        file.read_exact(head.get_mut(..room)?).ok()?;
        let [a, b, c, d, kind @ .., _, _, _, _, _, _, _, _] = head;
        if at == 0 && &kind != b"ftyp" {
            return None;
        }
        if &kind == b"moov" {
            return None;
        }
        let size = match u32::from_be_bytes([a, b, c, d]) {
            0 => return None, // up to the end, wherever that is
            1 => u64::from_be_bytes(head.get(8..)?.try_into().ok()?),
            size => size.into(),
        };
        let end = at.checked_add(size.max(8))?;
        if end > length {
            return Some((length, end));
        }
        if end == length {
            return None;
        }
        at = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(boxes: &[(&[u8; 4], usize)], kept: usize) -> Option<(u64, u64)> {
        let mut bytes = Vec::new();
        for (kind, size) in boxes {
            bytes.extend_from_slice(&(*size as u32).to_be_bytes());
            bytes.extend_from_slice(*kind);
            bytes.resize(bytes.len() + size - 8, 0);
        }
        bytes.truncate(kept);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        cut_before_index(file.path())
    }

    #[test]
    fn a_file_that_ends_before_its_index_is_known() {
        let behind: &[(&[u8; 4], usize)] = &[(b"ftyp", 24), (b"free", 8), (b"mdat", 1000), (b"moov", 200)];
        assert_eq!(of(behind, usize::MAX), None);
        assert_eq!(of(behind, 700), Some((700, 1032)));
        // Inside the index that is the decoder's to tell.
        assert_eq!(of(behind, 1100), None);
        let before: &[(&[u8; 4], usize)] = &[(b"ftyp", 24), (b"moov", 200), (b"mdat", 1000)];
        assert_eq!(of(before, 700), None);
        assert_eq!(of(&[(b"RIFF", 500)], 100), None);
        for kept in 0..24 {
            assert!(of(behind, kept).is_none_or(|(length, _)| length == kept as u64), "{kept}");
        }
    }
}
