//! Bytes in memory that a file holds too: the kernel can send them from its page cache without a copy.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

/// Shorter writes are not worth a call of their own.
const SHORTEST: usize = 16 * 1024;

/// Bytes with the file that holds the same from its beginning on, and never changes.
///
/// It keeps the bytes, so that no other bytes can be where these are as long as it exists: a slice that lies inside them
/// *is* a part of them, and may be sent from the file as well as from memory.
#[derive(Debug, Clone)]
pub struct Backing {
    bytes: Bytes,
    file: Arc<File>,
}

impl Backing {
    /// `file` holds `bytes`.
    pub fn new(bytes: Bytes, file: Arc<File>) -> Self {
        Self { bytes, file }
    }

    /// The file and the offset in it at which it holds `slice`, when that is one of these bytes' parts.
    pub(super) fn locate(&self, slice: &[u8]) -> Option<(Arc<File>, u64)> {
        if slice.len() < SHORTEST {
            return None;
        }
        let offset = slice.as_ptr().addr().checked_sub(self.bytes.as_ptr().addr())?;
        (offset.checked_add(slice.len())? <= self.bytes.len())
            .then(|| (Arc::clone(&self.file), offset as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_of_the_very_bytes_are_found() {
        let bytes = Bytes::from(vec![7; 4 * SHORTEST]);
        let backing = Backing::new(bytes.clone(), Arc::new(tempfile::tempfile().unwrap()));
        let offset = |slice: &[u8]| backing.locate(slice).map(|(_, offset)| offset);
        assert_eq!(offset(&bytes), Some(0));
        assert_eq!(offset(&bytes[100..]), Some(100));
        assert_eq!(offset(&bytes.slice(SHORTEST..2 * SHORTEST)), Some(SHORTEST as u64));
        assert_eq!(offset(&bytes[..SHORTEST - 1]), None, "too short to be worth it");
        let copy = Vec::from(&bytes[..]);
        assert_eq!(offset(&copy), None, "a copy is somewhere else");
    }
}
