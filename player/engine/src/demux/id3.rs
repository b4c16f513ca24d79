//! ID3 tags in front of packed audio (RFC 8216, 3.4).

const OWNER: &[u8] = b"com.apple.streaming.transportStreamTimestamp\0";

/// Size of all tags at the start of `data`, and the timestamp in them, in 1/90000 s (33 bit).
pub(super) fn read(data: &[u8]) -> (usize, Option<u64>) {
    let mut at = 0;
    let mut stamp = None;
    while let Some(tag) = data.get(at..).and_then(tag) {
        stamp = stamp.or_else(|| timestamp(tag));
        at += tag.len();
    }
    (at, stamp)
}

/// The tag that `data` starts with, header included; cut short where the data ends.
fn tag(data: &[u8]) -> Option<&[u8]> {
    let header: &[u8; 10] = data.first_chunk()?;
    let [b'I', b'D', b'3', _, _, flags, a, b, c, d] = *header else {
        return None;
    };
    // Seven bits a byte (ID3v2.4, 6.2); the footer has the size of the header.
    let body = [a, b, c, d].iter().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7F));
    let footer = if flags & 0x10 == 0 { 0 } else { 10 };
    data.get(..data.len().min(10 + body + footer))
}

fn timestamp(tag: &[u8]) -> Option<u64> {
    let at = tag.windows(OWNER.len()).position(|window| window == OWNER)? + OWNER.len();
    let value = u64::from_be_bytes(*tag.get(at..)?.first_chunk()?);
    Some(value & 0x1_FFFF_FFFF)
}

#[cfg(test)]
pub(super) fn stamped(stamp: u64) -> Vec<u8> {
    let frame = [OWNER, &stamp.to_be_bytes()].concat();
    let mut tag = b"ID3\x04\0\0".to_vec();
    let size = frame.len() + 10;
    tag.extend([0, 0, (size >> 7) as u8, (size & 0x7F) as u8]);
    tag.extend(b"PRIV");
    tag.extend([0, 0, 0, frame.len() as u8, 0, 0]);
    tag.extend(frame);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_timestamp_and_the_audio_behind_it() {
        let tag = stamped(0x1_2345_6789);
        let mut data = tag.clone();
        data.extend([0xFF, 0xF1]);
        assert_eq!(read(&data), (tag.len(), Some(0x1_2345_6789)));
    }

    #[test]
    fn reads_what_has_no_tag_or_half_of_one() {
        assert_eq!(read(&[0xFF, 0xF1, 0x50]), (0, None));
        assert_eq!(read(b"ID3"), (0, None));
        let tag = stamped(5);
        assert_eq!(read(&tag[..30]), (30, None));
    }
}
