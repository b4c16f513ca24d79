//! Parts of finished segments, cut out of them again: a client that is behind asks for what an earlier playlist listed,
//! also when the stream has ended or the server was started again meanwhile.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::rendition::Rendition;
use super::stream::StreamStore;

impl StreamStore {
    /// A part of a finished segment of a live stream, from memory or out of its segment; `None` when the segment has no
    /// such part, or there is no such segment.
    ///
    /// # Errors
    /// The disk's.
    pub async fn read_part(
        self: &Arc<Self>,
        rendition: &Rendition,
        segment: u32,
        part: u32,
    ) -> io::Result<Option<Bytes>> {
        if let Some(bytes) = rendition.part_bytes(segment, part) {
            return Ok(Some(bytes));
        }
        // What was packaged once never had parts.
        if self.live().is_none_or(|live| live.part_ms == 0) || rendition.segment(segment).is_none() {
            return Ok(None);
        }
        match self.read_segment(rendition.name(), segment).await {
            Ok(whole) => Ok(chunks(&whole).into_iter().nth(part as usize)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A segment's chunks: each `moof` with its `mdat` and what stands before it. Shares the segment's bytes.
#[must_use]
pub fn chunks(segment: &Bytes) -> Vec<Bytes> {
    let mut found = Vec::new();
    let (mut begin, mut at) = (0, 0);
    while let Some(head) = segment.get(at..at + 8) {
        let size = head.first_chunk().map_or(0, |four| u32::from_be_bytes(*four) as usize);
        let end = at.saturating_add(size);
        if size < 8 || end > segment.len() {
            break;
        }
        if head.ends_with(b"mdat") {
            found.push(segment.slice(begin..end));
            begin = end;
        }
        at = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::{Sample, VIDEO_TRACK, media_segment};

    fn chunk(number: u8) -> Bytes {
        let sample =
            Sample { duration: 1, composition_offset: 0, key: true, data: Bytes::from(vec![number; 9]) };
        media_segment(VIDEO_TRACK, 1, 0, &[sample]).unwrap()
    }

    #[test]
    fn a_segment_of_several_chunks_falls_apart_into_them() {
        let several = [chunk(1), chunk(2), chunk(3)];
        let segment = Bytes::from(several.concat());
        assert_eq!(chunks(&segment), several);
        assert_eq!(chunks(&several[0]), [several[0].clone()]);
        assert!(chunks(&Bytes::from_static(b"\0\0\0\x04mdatxxxx")).is_empty());
        assert_eq!(chunks(&segment.slice(..segment.len() - 1)).len(), 2, "a torn one is left out");
    }
}
