//! Whether an MP4 file is all there: what is cut off in a copy or an upload is its end, and there many have their index.

use std::path::Path;

use super::boxes::Boxes;

/// Where an MP4 file ends although one of its boxes goes on, if its index (`moov`) was not met before: its length and what
/// it should be at least, in bytes. `None` for other files, and for those that are whole or have their index in front.
pub(super) fn cut_before_index(path: &Path) -> Option<(u64, u64)> {
    let boxes = Boxes::of(path)?;
    let length = boxes.length();
    for one in boxes {
        if &one.kind == b"moov" || (one.at == 0 && &one.kind != b"ftyp") {
            return None;
        }
        if one.end > length {
            return Some((length, one.end));
        }
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
