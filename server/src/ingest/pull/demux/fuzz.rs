//! Segments of other servers, made wrong.

use super::tests::{film, packed, transport};
use super::*;
use crate::fuzz::boxes::mutate_boxes;
use crate::fuzz::{Random, fuzz, mutate, odd, pick};

const ALL: Wanted = Wanted { pictures: true, sound: true };
/// What is kept of a sample or packet beside its bytes: a vector that has grown, and the one that it grew from.
const A_UNIT: usize = 700;

/// Bytes that the units in it account for.
fn read(demuxer: &mut Demuxer, init: Option<&Bytes>, bytes: &[u8]) -> (bool, usize) {
    match demuxer.segment(init, &Bytes::copy_from_slice(bytes), 0) {
        Ok(found) => (true, found.len() * A_UNIT),
        // What was read before the error.
        Err(_) => (false, bytes.len() * A_UNIT / 16),
    }
}

#[test]
fn init_segments_and_fragments_of_mp4() {
    let (init, segment) = film();
    let (mut good, mut bad, mut turn) = (0_u32, 0_u32, 0);
    let make = |random: &mut Random| {
        turn += 1;
        mutate_boxes(random, if turn % 3 == 0 { &init } else { &segment })
    };
    let mut turn = 0;
    fuzz(20_000, make, |bytes| {
        turn += 1;
        let mut demuxer = Demuxer::new(ALL);
        let (fine, units) = if turn % 3 == 0 {
            read(&mut demuxer, Some(&Bytes::copy_from_slice(bytes)), &segment)
        } else {
            read(&mut demuxer, Some(&init), bytes)
        };
        *(if fine { &mut good } else { &mut bad }) += 1;
        // What it was read from is beside it.
        units + init.len() + segment.len() * 4
    });
    assert!(good > 2000 && bad > 2000, "{good} read, {bad} refused");
}

/// Packets of a transport stream made wrong one by one.
fn mutate_packets(random: &mut Random, whole: &[u8]) -> Vec<u8> {
    let mut packets: Vec<Vec<u8>> = whole.chunks(188).map(<[u8]>::to_vec).collect();
    for _ in 0..1 + random.below(5) {
        let at = random.below(packets.len());
        let Some(packet) = packets.get_mut(at) else { break };
        match random.below(10) {
            0 => drop(packets.remove(at)),
            1 => {
                let copy = vec![packet.clone(); 1 + random.below(4)];
                packets.splice(at..at, copy);
            }
            2 => {
                let other = random.below(packets.len());
                packets.swap(at, other);
            }
            // Its PID, its start, its adaptation field and how long that is.
            3..=6 => {
                let place = 1 + random.below(4);
                if let Some(byte) = packet.get_mut(place) {
                    *byte = if random.below(3) == 0 { *byte ^ 0x40 } else { odd(random) as u8 };
                }
            }
            7 => packet.truncate(random.below(189)),
            // The header of what it carries, or a start code within.
            8 => {
                let place = 4 + random.below(40);
                if let Some(byte) = packet.get_mut(place) {
                    *byte = odd(random) as u8;
                }
            }
            _ => {
                let place = random.below(packet.len().max(1));
                const CODES: [&[u8]; 4] = [&[0, 0, 1], &[0, 0, 1, 0xe0], &[0, 0, 1, 0x67], &[0xff, 0xf1]];
                let code = *pick(random, &CODES);
                let end = (place + code.len()).min(packet.len());
                packet.splice(place..end, code.iter().copied());
                packet.resize(188, 0xff);
            }
        }
        if packets.is_empty() {
            break;
        }
    }
    packets.concat()
}

#[test]
fn segments_of_mpeg_ts() {
    let seed = transport(900_000);
    let (mut good, mut bad) = (0_u32, 0_u32);
    let make = |random: &mut Random| {
        if random.below(5) == 0 { mutate(random, &seed, &seed) } else { mutate_packets(random, &seed) }
    };
    fuzz(20_000, make, |bytes| {
        let (fine, units) = read(&mut Demuxer::new(ALL), None, bytes);
        *(if fine { &mut good } else { &mut bad }) += 1;
        units
    });
    assert!(good > 2000 && bad > 200, "{good} read, {bad} refused");
}

#[test]
fn packed_segments_of_sound() {
    let seed = packed();
    let (mut good, mut bad) = (0_u32, 0_u32);
    let make = |random: &mut Random| {
        mutate(random, &seed, b"ID3\x04\0\0\xff\xff\xff\x7f\xff\xf1\x4c\x80\xff\xff\xfc")
    };
    fuzz(20_000, make, |bytes| {
        let (fine, units) = read(&mut Demuxer::new(ALL), None, bytes);
        *(if fine { &mut good } else { &mut bad }) += 1;
        // A packet of sound has seven bytes at least.
        units + bytes.len() / 7 * A_UNIT
    });
    assert!(good > 2000 && bad > 1000, "{good} read, {bad} refused");
}
