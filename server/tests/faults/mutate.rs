//! Inputs made wrong: deterministic, so that a failure can be had again.

/// A small generator (splitmix64); the same seed gives the same numbers for ever.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `end`, without `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Values that programs stumble over.
const EDGES: [&[u8]; 10] = [
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\0\0\0\0\0\0\0\0",
    b"\"",
    b"%",
    b"\xf0\x9f",
    b"-1",
];

/// A variation of `seed`: a few bits, bytes, lengths, pieces doubled, dropped or taken from `other`.
pub fn mutate(random: &mut Random, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(9) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
            2 => {
                let edge = EDGES[random.below(EDGES.len())];
                let end = (at + edge.len()).min(bytes.len());
                bytes.splice(at..end, edge.iter().copied());
            }
            3 => {
                let edge = EDGES[random.below(EDGES.len())];
                bytes.splice(at..at, edge.iter().copied());
            }
            4 => bytes.truncate(at),
            5 => {
                let end = (at + 1 + random.below(32)).min(bytes.len());
                bytes.drain(at..end);
            }
            6 => {
                let end = (at + 1 + random.below(64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                for _ in 0..=random.below(8) {
                    bytes.splice(at..at, piece.iter().copied());
                }
            }
            7 if !other.is_empty() => {
                let from = random.below(other.len());
                let to = (from + 1 + random.below(64)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                // A length or count, made a little or much too large.
                if let Some(four) = bytes.get_mut(at..at.saturating_add(4)) {
                    let value = u32::from_be_bytes([four[0], four[1], four[2], four[3]]);
                    let new =
                        if random.below(2) == 0 { value.wrapping_add(1) } else { value.wrapping_mul(256) };
                    four.copy_from_slice(&new.to_be_bytes());
                }
            }
        }
    }
    bytes.truncate(4 * seed.len() + 4096);
    bytes
}

/// One of several.
pub fn pick<'a, T>(random: &mut Random, of: &'a [T]) -> &'a T {
    &of[random.below(of.len())]
}

/// A number that programs stumble over, or any.
pub fn odd(random: &mut Random) -> u64 {
    const EDGES: [u64; 16] = [
        0,
        1,
        2,
        7,
        0x7f,
        0x80,
        0xff,
        0xffff,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fffe,
        0xffff_ffff,
        0x1_0000_0000,
        i64::MAX as u64,
        1 << 63,
        u64::MAX,
    ];
    if random.below(3) == 0 { random.next() } else { *pick(random, &EDGES) }
}
