//! Absolute times of a transport stream: tsdemux gives times that start anew with each pipeline.

use std::collections::BTreeMap;

use super::sniff::{TS_PACKET, ts_start};

/// The first presentation timestamp of each elementary stream, by PID, in 1/90000 s (33 bit).
pub(super) fn first_timestamps(media: &[u8]) -> BTreeMap<u16, u64> {
    let mut found = BTreeMap::new();
    let Some(packets) = ts_start(media).and_then(|start| media.get(start..)) else {
        return found;
    };
    for packet in packets.chunks_exact(TS_PACKET) {
        if let Some((pid, pts)) = timestamp(packet) {
            found.entry(pid).or_insert(pts);
        }
    }
    found
}

/// PID and PTS of the packet that starts a PES packet (ISO/IEC 13818-1, 2.4.3).
fn timestamp(packet: &[u8]) -> Option<(u16, u64)> {
    let [0x47, flags, pid_low, control, ..] = *packet else {
        return None;
    };
    let starts = flags & 0x40 != 0;
    let has_payload = control & 0x10 != 0;
    if !starts || !has_payload {
        return None;
    }
    let has_adaptation = control & 0x20 != 0;
    let adaptation = if has_adaptation { 1 + usize::from(*packet.get(4)?) } else { 0 };
    let payload = packet.get(4 + adaptation..)?;
    let [0, 0, 1, _stream, _, _, marker, pts_flags, _, a, b, c, d, e, ..] = *payload else {
        return None;
    };
    // Sections and the stream types without a header extension do not have the marker bits 10.
    if marker & 0xC0 != 0x80 || pts_flags & 0x80 == 0 {
        return None;
    }
    let pts = u64::from(a >> 1 & 7) << 30
        | u64::from(b) << 22
        | u64::from(c >> 1) << 15
        | u64::from(d) << 7
        | u64::from(e >> 1);
    Some((u16::from(flags & 0x1F) << 8 | u16::from(pid_low), pts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(pid: u16, pts: Option<u64>, adaptation: Option<u8>) -> Vec<u8> {
        let mut packet = vec![0x47, 0x40 | (pid >> 8) as u8, pid as u8, 0x10];
        if let Some(length) = adaptation {
            packet[3] |= 0x20;
            packet.push(length);
            packet.extend(std::iter::repeat_n(0, usize::from(length)));
        }
        packet.extend([0, 0, 1, 0xE0, 0, 0, 0x80]);
        if let Some(pts) = pts {
            packet.extend([0x80, 5]);
            packet.push(0x21 | (pts >> 29) as u8 & 0x0E);
            packet.extend([(pts >> 22) as u8, (pts >> 14) as u8 | 1, (pts >> 7) as u8, (pts << 1) as u8 | 1]);
        } else {
            packet.extend([0, 0]);
        }
        packet.resize(TS_PACKET, 0xFF);
        packet
    }

    #[test]
    fn reads_all_33_bits() {
        for pts in [0, 1, 126_000, 0x1_FFFF_FFFF, 0x1_5555_5555, 0xAAAA_AAAA] {
            let media = [packet(0x41, None, None), packet(0x41, Some(pts), Some(7))].concat();
            assert_eq!(first_timestamps(&media), BTreeMap::from([(0x41, pts)]), "{pts:#x}");
        }
    }

    #[test]
    fn takes_the_first_of_each_stream() {
        let media =
            [packet(0x1FF, Some(900), None), packet(0x41, Some(500), None), packet(0x1FF, Some(1000), None)];
        assert_eq!(first_timestamps(&media.concat()), BTreeMap::from([(0x1FF, 900), (0x41, 500)]));
    }

    #[test]
    fn survives_rubbish() {
        let mut media = packet(0x41, Some(1), Some(200));
        media.extend([0x47; TS_PACKET]);
        media.extend([0x47; 20]);
        assert!(first_timestamps(&media).len() <= 1);
        assert!(first_timestamps(&[]).is_empty());
    }
}
