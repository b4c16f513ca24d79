//! The boxes of an MP4 file's outermost level, without reading what is in them.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// So many are looked at.
const MOST: usize = 10_000;

/// One of them.
pub(super) struct TopBox {
    pub(super) kind: [u8; 4],
    /// Where it begins, in bytes.
    pub(super) at: u64,
    /// Where its contents begin.
    pub(super) body: u64,
    /// Where it ends, by what it says: the file may end before.
    pub(super) end: u64,
}

/// Goes over them, as far as the file can be read.
pub(super) struct Boxes {
    file: File,
    length: u64,
    at: u64,
    left: usize,
}

impl Boxes {
    /// `None` for a file that cannot be opened.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        Some(Self { file, length, at: 0, left: MOST })
    }

    /// The file's length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// What is in one of them, where that is no more than `most` bytes.
    pub(super) fn contents(&mut self, of: &TopBox, most: u64) -> Option<Vec<u8>> {
        let length = of.end.checked_sub(of.body).filter(|length| *length <= most)?;
        let mut contents = Vec::new();
        self.file.seek(SeekFrom::Start(of.body)).ok()?;
        (&self.file).take(length).read_to_end(&mut contents).ok()?;
        Some(contents)
    }
}

impl Iterator for Boxes {
    type Item = TopBox;

    fn next(&mut self) -> Option<TopBox> {
        self.left = self.left.checked_sub(1)?;
        let at = self.at;
        let mut head = [0; 16];
        let room = self.length.checked_sub(at).filter(|room| *room > 0)?;
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(head.len());
        self.file.seek(SeekFrom::Start(at)).ok()?;
        self.file.read_exact(head.get_mut(..room)?).ok()?;
        let [a, b, c, d, kind @ .., _, _, _, _, _, _, _, _] = head;
        let (size, header) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (self.length - at, 8), // up to the end, wherever that is
            1 => (u64::from_be_bytes(*head.last_chunk()?), 16),
            size => (size.into(), 8),
        };
        let end = at.checked_add(size.max(8))?;
        self.at = end;
        Some(TopBox { kind, at, body: at + header, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxes(bytes: &[u8]) -> Boxes {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Boxes::of(file.path()).unwrap()
    }

    #[test]
    fn sizes_of_all_three_kinds_are_read_and_contents_only_up_to_a_limit() {
        let mut bytes = vec![0, 0, 0, 10];
        bytes.extend_from_slice(b"ftyp12");
        bytes.extend_from_slice(&[0, 0, 0, 1]);
        bytes.extend_from_slice(b"moov\0\0\0\0\0\0\0\x13abc");
        bytes.extend_from_slice(b"\0\0\0\0mdat56789");
        let mut all = boxes(&bytes);
        let found: Vec<_> = all.by_ref().map(|one| (one.kind, one.at, one.body, one.end)).collect();
        assert_eq!(found, [(*b"ftyp", 0, 8, 10), (*b"moov", 10, 26, 29), (*b"mdat", 29, 37, 42)]);
        let moov = TopBox { kind: *b"moov", at: 10, body: 26, end: 29 };
        assert_eq!(all.contents(&moov, 3).as_deref(), Some(&b"abc"[..]));
        assert_eq!(all.contents(&moov, 2), None);
    }

    #[test]
    fn a_file_of_nothing_but_tiny_boxes_is_not_gone_through_to_its_end() {
        assert_eq!(boxes(&b"\0\0\0\x08free".repeat(MOST + 5)).count(), MOST);
        assert_eq!(boxes(&[0; 4]).count(), 1, "a size that says less than a head moves on all the same");
        assert_eq!(boxes(&[]).count(), 0);
    }
}
