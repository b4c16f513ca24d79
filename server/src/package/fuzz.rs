//! Configurations of codecs, and our own boxes read back, made wrong.

use bytes::Bytes;

use super::{
    AUDIO_TRACK, AudioConfig, Sample, VIDEO_TRACK, VideoConfig, audio_init, init_delay, media_segment,
    muxed_init, video_init, video_init_delayed, with_sequences,
};
use crate::fuzz::boxes::mutate_boxes;
use crate::fuzz::{Random, fuzz, mutate, odd, pick};

/// Bits of a parameter set.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(&mut self, value: u64, count: u32) {
        self.0.extend((0..count).rev().map(|bit| bit < 64 && value >> bit & 1 == 1));
    }

    /// An Exp-Golomb code, mostly of a small number.
    fn golomb(&mut self, value: u32) {
        let value = u64::from(value) + 1;
        let length = 64 - value.leading_zeros();
        self.put(0, length - 1);
        self.put(value, length);
    }

    /// Some fields that make sense, then some that may not.
    fn random(mut self, random: &mut Random) -> Vec<u8> {
        for _ in 0..random.below(60) {
            match random.below(8) {
                0 => self.golomb(odd(random) as u32),
                1 => self.put(0, random.below(80) as u32),
                2 => self.put(random.next(), 1 + random.below(32) as u32),
                3 => self.put(random.next(), 1),
                _ => self.golomb(random.below(20) as u32),
            }
        }
        self.put(1, 1);
        let mut bytes: Vec<u8> = self
            .0
            .chunks(8)
            .map(|bits| bits.iter().enumerate().fold(0, |b, (n, bit)| b | u8::from(*bit) << (7 - n)))
            .collect();
        // Emulation prevention, where it is not forgotten.
        if random.below(4) > 0 {
            let mut escaped = Vec::new();
            let mut zeros = 0;
            for byte in bytes {
                if zeros >= 2 && byte <= 3 {
                    escaped.push(3);
                    zeros = 0;
                }
                zeros = if byte == 0 { zeros + 1 } else { 0 };
                escaped.push(byte);
            }
            bytes = escaped;
        }
        bytes
    }
}

fn h264(random: &mut Random) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0x67, 8);
    bits.put(*pick(random, &[66, 77, 88, 100, 110, 122, 244, 44, 83, 118]), 8);
    bits.put(0, 8);
    bits.put(31, 8);
    bits.golomb(0);
    bits.random(random)
}

fn h265(random: &mut Random) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0x4201, 16);
    bits.put(random.below(256) as u64, 8);
    bits.put(0x0160_0000_0090_0000, 64);
    bits.put(0x5d, 32);
    bits.random(random)
}

fn av1(random: &mut Random) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0x0a, 8);
    bits.put(random.below(40) as u64, 8);
    bits.random(random)
}

fn record(head: &[u8], units: &[(u8, Vec<u8>)], avc: bool) -> Vec<u8> {
    let mut out = head.to_vec();
    for (kind, unit) in units {
        if !avc {
            out.extend_from_slice(&[0x80 | kind, 0, 1]);
        }
        out.extend_from_slice(&(unit.len() as u16).to_be_bytes());
        out.extend_from_slice(unit);
        if avc {
            out.push(1);
        }
    }
    out
}

fn make(random: &mut Random) -> Vec<u8> {
    let whole = match random.below(5) {
        0 | 1 => {
            let sps = h264(random);
            let head = [1, sps[1], sps[2], sps[3], 0xff, 0xe1];
            record(&head, &[(7, sps), (8, vec![0x68, 0xeb])], true)
        }
        2 => {
            let mut head = vec![
                1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93, 0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f,
            ];
            head.push(3);
            let units = [(32, vec![0x40, 1, 12, 1]), (33, h265(random)), (34, vec![0x44, 1, 0xc1])];
            record(&head, &units, false)
        }
        3 => [&[0x81, 0, 0x0c, 0][..], &av1(random)].concat(),
        _ => pick(
            random,
            &[
                &[0x11_u8, 0x90][..],
                &[0x2b, 0x92, 0x08, 0x00],
                &[0, 2, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0],
                b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0",
            ],
        )
        .to_vec(),
    };
    if random.below(3) == 0 { mutate(random, &whole, b"\xff\xff\0\0\x03\x80") } else { whole }
}

#[test]
fn configurations_of_codecs_and_their_parameter_sets() {
    let (mut accepted, mut pictures) = (0_u32, 0_u32);
    fuzz(40_000, make, |bytes| {
        let configs = [
            VideoConfig::from_avcc(320, 180, bytes),
            VideoConfig::from_hvcc(320, 180, bytes),
            VideoConfig::from_av1c(320, 180, bytes),
        ];
        for config in configs.into_iter().flatten() {
            accepted += 1;
            assert!(config.codec_string().is_ascii());
            if let Some(picture) = config.picture() {
                pictures += 1;
                assert!(picture.width > 0 && picture.height > 0, "{picture:?}");
                assert!(picture.frame_rate.is_none_or(|(n, d)| n > 0 && d > 0), "{picture:?}");
            }
            assert!(!video_init(&config, 90_000).is_empty());
        }
        let sound = [AudioConfig::from_asc(0, 0, 128_000, bytes), AudioConfig::from_dops(96_000, bytes)];
        for config in sound.into_iter().flatten() {
            accepted += 1;
            assert!(config.codec_string().is_ascii() && config.packet_ns(bytes) <= 200_000_000);
            assert!(config.sample_rate > 0 && config.channels > 0 && !audio_init(&config).is_empty());
        }
        // What comes out holds it again, and is made in one go.
        4 * bytes.len() + 8192
    });
    assert!(accepted > 5000 && pictures > 500, "{accepted} accepted, {pictures} with a size");
}

#[test]
fn our_own_boxes_read_back() {
    let avcc = [
        1, 0x64, 0, 0x0d, 0xff, 0xe1, 0, 8, 0x67, 0x64, 0, 0x0d, 0xac, 0xd9, 0x41, 0x41, 1, 0, 4, 0x68, 0xeb,
        0xec, 0xb2,
    ];
    let video = video_init_delayed(&VideoConfig::from_avcc(320, 180, &avcc).unwrap(), 90_000, 3600);
    let sound = audio_init(&AudioConfig::from_asc(48_000, 2, 128_000, &[0x11, 0x90]).unwrap());
    let sample = |key| Sample {
        duration: 3600,
        composition_offset: 0,
        key,
        data: Bytes::from_static(&[0, 0, 0, 2, 0x65, 1]),
    };
    let one = media_segment(VIDEO_TRACK, 1, 0, &[sample(true), sample(false)]).unwrap();
    let two = media_segment(AUDIO_TRACK, 2, 0, &[sample(true)]).unwrap();
    let segment = [one, two].concat();
    let (mut good, mut bad, mut turn) = (0_u32, 0_u32, 0_usize);
    let seeds = [video.to_vec(), sound.to_vec(), segment];
    let make = |random: &mut Random| {
        turn += 1;
        mutate_boxes(random, &seeds[turn % 3])
    };
    let mut turn = 0_usize;
    fuzz(30_000, make, |bytes| {
        turn += 1;
        let fine = match turn % 3 {
            0 => init_delay(bytes) < u32::MAX && muxed_init(bytes, &sound).is_ok(),
            1 => muxed_init(&video, bytes).is_ok(),
            _ => with_sequences(&Bytes::copy_from_slice(bytes), 7).is_ok(),
        };
        *(if fine { &mut good } else { &mut bad }) += 1;
        (video.len() + sound.len()) * 8
    });
    assert!(good > 3000 && bad > 1000, "{good} read, {bad} refused");
}
