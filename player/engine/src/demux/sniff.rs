//! Which container a segment is in, by its first bytes.

use super::Format;

/// Size of a transport stream packet (ISO/IEC 13818-1, 2.4.3.2).
pub(super) const TS_PACKET: usize = 188;
const TS_SYNC: u8 = 0x47;

/// Boxes that a segment or a file may start with (ISO/IEC 14496-12, ISO/IEC 23009-1).
const FIRST_BOXES: [&[u8; 4]; 12] = [
    b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"ssix", b"emsg", b"prft", b"mdat", b"free", b"skip",
    b"wide",
];

pub(crate) fn sniff(media: &[u8]) -> Option<Format> {
    if let Some(kind) = media.get(4..8)
        && FIRST_BOXES.iter().any(|known| kind == *known)
    {
        return Some(Format::Mp4);
    }
    if ts_start(media).is_some() {
        return Some(Format::MpegTs);
    }
    let audio = match media {
        [b'I', b'D', b'3', ..] | [0x0B, 0x77, ..] => true,
        // ADTS (layer bits 00) and MPEG audio (layer bits not 00) share the sync word.
        [0xFF, second, ..] => second & 0xE0 == 0xE0,
        _ => false,
    };
    audio.then_some(Format::PackedAudio)
}

/// Where the first packet of a transport stream starts; a little rubbish before it is allowed.
pub(super) fn ts_start(media: &[u8]) -> Option<usize> {
    (0..TS_PACKET).find(|start| {
        // Three packets in a row, or as many as there are.
        let mut packets = (0..3).map_while(|packet| media.get(start + packet * TS_PACKET));
        media.len() >= start + TS_PACKET && packets.all(|byte| *byte == TS_SYNC)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_containers_apart() {
        let mut ts = vec![0_u8; TS_PACKET * 4];
        for packet in ts.chunks_mut(TS_PACKET) {
            packet[0] = TS_SYNC;
        }
        assert_eq!(sniff(&ts), Some(Format::MpegTs));
        ts.splice(0..0, [1, 2, 3]);
        assert_eq!(sniff(&ts), Some(Format::MpegTs));
        assert_eq!(ts_start(&ts), Some(3));
        assert_eq!(sniff(b"\0\0\0\x18stypmsdh"), Some(Format::Mp4));
        assert_eq!(sniff(b"ID3\x04\0\0"), Some(Format::PackedAudio));
        assert_eq!(sniff(&[0xFF, 0xF1, 0x50, 0x80]), Some(Format::PackedAudio));
        assert_eq!(sniff(&[0xFF, 0xFB, 0x90, 0x00]), Some(Format::PackedAudio));
    }

    #[test]
    fn knows_what_it_does_not_know() {
        for media in [&b""[..], b"G", b"<!DOCTYPE html><html></html>", b"#EXTM3U\n", &[0xFF, 0x00]] {
            assert_eq!(sniff(media), None, "{media:?}");
        }
    }
}
