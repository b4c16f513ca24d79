//! Finds the key frame that a segment of ours begins with, from the segment's first bytes alone.

/// The first fragment's start and the bytes from there to the end of its first sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FirstSample {
    /// Where the fragment's `moof` begins in the segment.
    pub(super) offset: u64,
    /// From there to the end of the first sample in `mdat`.
    pub(super) bytes: u64,
}

/// What a look at the first bytes gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// There it is.
    Found(FirstSample),
    /// This many bytes of the segment are needed to tell.
    Need(usize),
    /// Not a segment whose first sample could be found.
    Unknown,
}

/// Boxes before `moof` and inside it that are looked at, at most.
const MOST_BOXES: usize = 64;
/// Largest `moof` that is read: one of a segment of ten seconds takes a few kilobytes.
const LARGEST_HEAD: usize = 1 << 20;

/// Looks for the first sample. `head` is the beginning of a segment.
pub(super) fn first_sample(head: &[u8]) -> Look {
    let mut offset = 0;
    for _ in 0..MOST_BOXES {
        let Some((size, kind)) = header(head.get(offset..).unwrap_or_default()) else {
            return Look::Need(offset + 8);
        };
        let end = offset.saturating_add(size);
        if size < 8 || end > LARGEST_HEAD {
            return Look::Unknown;
        }
        if kind == *b"moof" {
            let Some(moof) = head.get(offset + 8..end) else { return Look::Need(end) };
            return match bytes_to_first_sample_end(moof) {
                Some(bytes) => Look::Found(FirstSample { offset: offset as u64, bytes }),
                None => Look::Unknown,
            };
        }
        offset = end;
    }
    Look::Unknown
}

/// From the beginning of `moof` to the end of the first sample (ISO/IEC 14496-12, 8.8.7 and 8.8.8).
fn bytes_to_first_sample_end(moof: &[u8]) -> Option<u64> {
    let traf = child(moof, *b"traf")?;
    let trun = child(traf, *b"trun")?;
    let flags = word(trun, 0)? & 0x00ff_ffff;
    if word(trun, 4)? == 0 || flags & 0x0001 == 0 {
        return None;
    }
    let data_offset = word(trun, 8)?;
    let mut at = 12;
    if flags & 0x0004 != 0 {
        at += 4; // flags of the first sample
    }
    if flags & 0x0100 != 0 {
        at += 4; // its duration
    }
    let size = if flags & 0x0200 != 0 { word(trun, at)? } else { default_size(child(traf, *b"tfhd")?)? };
    // A negative data offset has its top bit set: none of ours points before its moof.
    (data_offset < 1 << 31 && size > 0).then(|| u64::from(data_offset) + u64::from(size))
}

fn default_size(tfhd: &[u8]) -> Option<u32> {
    let flags = word(tfhd, 0)? & 0x00ff_ffff;
    let mut at = 8; // flags, track
    for (flag, length) in [(0x01, 8), (0x02, 4), (0x08, 4)] {
        if flags & flag != 0 {
            at += length; // base data offset, sample description, duration
        }
    }
    if flags & 0x10 == 0 { None } else { word(tfhd, at) }
}

fn child(mut rest: &[u8], wanted: [u8; 4]) -> Option<&[u8]> {
    for _ in 0..MOST_BOXES {
        let (size, kind) = header(rest)?;
        let body = rest.get(8..size)?;
        if kind == wanted {
            return Some(body);
        }
        rest = rest.get(size..)?;
    }
    None
}

fn header(bytes: &[u8]) -> Option<(usize, [u8; 4])> {
    let kind = bytes.get(4..8)?.try_into().ok()?;
    Some((word(bytes, 0)? as usize, kind))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::package::{Sample, VIDEO_TRACK, media_segment};

    fn segment(sizes: &[usize]) -> Bytes {
        let samples: Vec<_> = sizes
            .iter()
            .enumerate()
            .map(|(i, size)| Sample {
                duration: 1000 + i as u32 % 2,
                composition_offset: 0,
                key: i == 0,
                data: Bytes::from(vec![0xa0 + i as u8; *size]),
            })
            .collect();
        media_segment(VIDEO_TRACK, 1, 0, &samples).unwrap()
    }

    #[test]
    fn the_range_holds_the_fragments_head_and_its_first_sample() {
        let segment = segment(&[700, 20, 30]);
        let Look::Found(first) = first_sample(&segment) else { panic!("not found") };
        let (from, to) = (first.offset as usize, (first.offset + first.bytes) as usize);
        assert_eq!(&segment[from + 4..from + 8], b"moof");
        assert_eq!(&segment[to - 700..to], vec![0xa0; 700]);
        assert_eq!(segment[to], 0xa1, "and not a byte of the next");
    }

    #[test]
    fn it_asks_for_more_until_the_head_is_whole() {
        let segment = segment(&[50; 40]);
        let mut have = 4;
        let mut rounds = 0;
        let found = loop {
            rounds += 1;
            match first_sample(&segment[..have]) {
                Look::Found(found) => break found,
                Look::Need(more) => {
                    assert!(more > have && more <= segment.len());
                    have = more;
                }
                Look::Unknown => panic!("a segment of ours"),
            }
        };
        assert!(rounds <= 4, "{rounds}");
        assert_eq!(Look::Found(found), first_sample(&segment));
    }

    #[test]
    fn broken_segments_are_unknown_or_need_more() {
        let good = segment(&[70, 20]);
        for at in 0..good.len().min(200) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = good.to_vec();
                bad[at] = value;
                match first_sample(&bad) {
                    Look::Found(first) => assert!(first.bytes > 0),
                    Look::Need(more) => assert!(more > 0 && more <= LARGEST_HEAD + 8),
                    Look::Unknown => {}
                }
            }
        }
        assert_eq!(first_sample(&[0; 64]), Look::Unknown);
        assert_eq!(first_sample(b"\xff\xff\xff\xffmoofxxxx"), Look::Unknown);
    }
}
