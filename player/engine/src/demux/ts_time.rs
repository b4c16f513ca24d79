//! Absolute times of a transport stream: tsdemux gives times that start anew with each pipeline.

use std::collections::BTreeMap;

use super::{
    StreamKind,
    sniff::{TS_PACKET, ts_start},
};

/// What the packets of a segment tell, looked at one after another.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The first presentation timestamp of each elementary stream, by PID, in 1/90000 s (33 bit).
    pub(super) stamps: BTreeMap<u16, u64>,
    /// PID of the table that lists the first program's streams.
    table: Option<u16>,
    /// Kinds of the streams that it lists; empty before it came.
    pub(super) kinds: Vec<StreamKind>,
}

impl Scan {
    /// Whole packets, from a border on.
    pub(super) fn look(&mut self, packets: &[u8]) {
        for packet in packets.chunks_exact(TS_PACKET) {
            if let Some((pid, pts)) = timestamp(packet) {
                self.stamps.entry(pid).or_insert(pts);
            } else if self.kinds.is_empty() {
                self.tables(packet);
            }
        }
    }

    /// Program association and program map (ISO/IEC 13818-1, 2.4.4), as far as they fit into one packet.
    fn tables(&mut self, packet: &[u8]) -> Option<()> {
        let (pid, payload) = start_of(packet)?;
        let section = payload.get(1 + usize::from(*payload.first()?)..)?;
        let [table, high, low, ..] = *section else { return None };
        let length = usize::from(high & 0x0F) << 8 | usize::from(low);
        // Without the checksum at its end.
        let body = section.get(8..(3 + length).checked_sub(4)?.min(section.len()))?;
        if pid == 0 && table == 0 {
            let program = body.chunks_exact(4).find(|entry| entry.get(..2) != Some(&[0, 0]))?;
            let [_, _, high, low] = *program else { return None };
            self.table = Some(u16::from(high & 0x1F) << 8 | u16::from(low));
        } else if table == 2 && self.table == Some(pid) {
            let [_, _, high, low, ..] = *body else { return None };
            let mut rest = body.get(4 + (usize::from(high & 0x0F) << 8 | usize::from(low))..)?;
            while let [kind, _, _, high, low, ..] = *rest {
                match kind {
                    0x01 | 0x02 | 0x10 | 0x1B | 0x24 => self.kinds.push(StreamKind::Video),
                    0x03 | 0x04 | 0x0F | 0x11 | 0x81 | 0x87 => self.kinds.push(StreamKind::Audio),
                    _ => {}
                }
                rest = rest.get(5 + (usize::from(high & 0x0F) << 8 | usize::from(low))..)?;
            }
        }
        Some(())
    }
}

/// The first presentation timestamp of each elementary stream, by PID, in 1/90000 s (33 bit).
pub(super) fn first_timestamps(media: &[u8]) -> BTreeMap<u16, u64> {
    let mut scan = Scan::default();
    if let Some(packets) = ts_start(media).and_then(|start| media.get(start..)) {
        scan.look(packets);
    }
    scan.stamps
}

/// PID and payload of a packet in which something starts.
fn start_of(packet: &[u8]) -> Option<(u16, &[u8])> {
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
    Some((u16::from(flags & 0x1F) << 8 | u16::from(pid_low), packet.get(4 + adaptation..)?))
}

/// PID and PTS of the packet that starts a PES packet (ISO/IEC 13818-1, 2.4.3).
fn timestamp(packet: &[u8]) -> Option<(u16, u64)> {
    let (pid, payload) = start_of(packet)?;
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
    Some((pid, pts))
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
    fn reads_which_streams_there_are() {
        let table = |pid: u16, section: &[u8]| {
            let mut packet = vec![0x47, 0x40 | (pid >> 8) as u8, pid as u8, 0x10, 0];
            packet.extend(section);
            packet.resize(TS_PACKET, 0xFF);
            packet
        };
        let association = [0, 0xB0, 13, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0x00, 1, 2, 3, 4];
        let map = [
            2, 0xB0, 23, 0, 1, 0xC1, 0, 0, 0xE1, 0, 0xF0, 0, 0x1B, 0xE1, 0, 0xF0, 0, 0x0F, 0xE1, 1, 0xF0, 0,
            1, 2, 3, 4,
        ];
        let mut scan = Scan::default();
        scan.look(&[table(0, &association), table(0x1000, &map)].concat());
        assert_eq!(scan.kinds, [StreamKind::Video, StreamKind::Audio]);
        // Cut short, and of lengths that cannot be.
        for cut in 0..map.len() {
            let mut odd = Scan { table: Some(0x1000), ..Scan::default() };
            let mut section = map[..cut].to_vec();
            section.resize(cut + 160, 0xFF);
            odd.look(&table(0x1000, &section));
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
