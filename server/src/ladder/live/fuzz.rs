//! Frames between the server and its encoders, made wrong: neither side believes the other.

use std::io::Read;

use super::words::{Task, Word};
use crate::fuzz::{Random, fuzz, mutate, odd, pick};
use crate::ladder::wire::{self, FrameReader};

const ORDER: &[u8] =
    b"{\"codec\":\"avc\",\"size\":[320,180],\"frame_rate\":[25,1],\"kind\":\"x264\",\"speed\":\"ultrafast\",\
    \"rungs\":[{\"name\":\"90p\",\"width\":160,\"height\":90,\"kbps\":200}],\"stills\":[[320,180],5000]}";

/// Frames of every kind, whose lengths and fields are mostly right.
fn frames(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..1 + random.below(6) {
        if random.below(3) == 0 {
            let number = |random: &mut Random| odd(random).to_le_bytes();
            let [lost, segment] = [random.below(4), random.below(90)].map(|n| (n as u64).to_le_bytes());
            let (dts, pts, key) = (number(random), number(random), number(random));
            match random.below(3) {
                0 => wire::write(&mut out, 1, &[ORDER, b"avcC", b"WEBVTT\n", b"jpeg"]),
                1 => wire::write(&mut out, 2, &[&lost, &dts, &pts, &key, &segment, b"unit"]),
                _ => wire::write(&mut out, 2, &[b"360p", &dts, &key, b"unit"]),
            }
            continue;
        }
        let fields: Vec<Vec<u8>> = (0..random.below(8))
            .map(|_| match random.below(6) {
                0 => odd(random).to_le_bytes().to_vec(),
                1 => u64::from(random.below(4) as u32).to_le_bytes().to_vec(),
                2 => b"360p".to_vec(),
                3 => pick(random, &[ORDER, b"{}", b"[[[[", b"\xff\xfe"]).to_vec(),
                4 => vec![0xff; random.below(300)],
                _ => Vec::new(),
            })
            .collect();
        let borrowed: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
        let begin = out.len();
        wire::write(&mut out, random.below(12) as u8, &borrowed);
        if random.below(6) == 0 {
            let size = (odd(random) as u32).to_le_bytes();
            out[begin..begin + 4].copy_from_slice(&size);
        }
    }
    if random.below(3) == 0 { mutate(random, &out, b"\xff\xff\xff\x0f\x02\x06") } else { out }
}

/// Gives what it has in pieces of any size.
struct Pieces<'a>(&'a [u8], Random);

impl Read for Pieces<'_> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let now = (1 + self.1.below(700)).min(self.0.len()).min(room.len());
        let (piece, rest) = self.0.split_at(now);
        room[..now].copy_from_slice(piece);
        self.0 = rest;
        Ok(now)
    }
}

#[test]
fn frames_between_processes() {
    let (mut words, mut tasks, mut bad) = (0_u32, 0_u32, 0_u32);
    fuzz(30_000, frames, |bytes| {
        for as_words in [true, false] {
            let mut reader = FrameReader::new(Pieces(bytes, Random::new(bytes.len() as u64)));
            for turn in 0.. {
                assert!(turn <= bytes.len(), "it does not end");
                let frame = match reader.next() {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break,
                    Err(_) => {
                        bad += 1;
                        break;
                    }
                };
                let read = if as_words {
                    Word::read(frame).map(|_| words += 1)
                } else {
                    Task::read(frame).map(|_| tasks += 1)
                };
                bad += u32::from(read.is_err());
            }
        }
        // What is read at once, in a buffer that has grown.
        256 << 10
    });
    assert!(words > 10_000 && tasks > 1000 && bad > 10_000, "{words} words, {tasks} tasks, {bad} refused");
}
