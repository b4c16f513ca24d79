//! Publishers that send what no publisher should: messages made from their grammar, cut into chunks, and then made wrong.

use bytes::{Bytes, BytesMut};

use super::amf::{self, Value};
use super::chunk;
use super::flv;
use super::session::{Event, Session};
use super::tracks::Tracks;
use crate::fuzz::{Random, fuzz, mutate, odd, pick};
use crate::live::{LiveEvent, check_setup};

const AVCC: &[u8] = &[
    1, 0x64, 0, 0x0d, 0xff, 0xe1, 0, 8, 0x67, 0x64, 0, 0x0d, 0xac, 0xd9, 0x41, 0x41, 1, 0, 4, 0x68, 0xeb,
    0xec, 0xb2,
];

/// A value, and values within it.
fn value(random: &mut Random, depth: u32) -> Vec<u8> {
    let text = |random: &mut Random| {
        let length = random.below(12);
        let mut out = (length as u16).to_be_bytes().to_vec();
        out.extend((0..length).map(|_| *pick(random, b"abc\0\xff\xe4{\"")));
        out
    };
    let mut out = Vec::new();
    match random.below(if depth > 0 { 11 } else { 7 }) {
        0 => out.extend([&[0][..], &f64::from_bits(odd(random)).to_be_bytes()].concat()),
        1 => out.extend([1, random.below(3) as u8]),
        2 | 3 => out.extend([&[2][..], &text(random)].concat()),
        4 => out.push(*pick(random, &[5, 6, 4, 7, 13, 15, 16, 17, 0xff])),
        5 => out.extend([&[11][..], &random.next().to_be_bytes(), &[0, 0]].concat()),
        6 => out
            .extend([&[12][..], &(*pick(random, &[0, 3, 1 << 20, u32::MAX])).to_be_bytes(), b"abc"].concat()),
        7 => {
            out.push(10);
            let count = random.below(4) as u32;
            let said = if random.below(4) == 0 { odd(random) as u32 } else { count };
            out.extend(said.to_be_bytes());
            for _ in 0..count {
                out.extend(value(random, depth - 1));
            }
        }
        kind => {
            match kind {
                8 => out.extend([&[8][..], &(odd(random) as u32).to_be_bytes()].concat()),
                9 => out.extend([&[16][..], &text(random)].concat()),
                _ => out.push(3),
            }
            for _ in 0..random.below(5) {
                out.extend(text(random));
                out.extend(value(random, depth - 1));
            }
            if random.below(8) > 0 {
                out.extend([0, 0, 9]);
            }
        }
    }
    out
}

fn values(random: &mut Random) -> Vec<u8> {
    (0..random.below(6)).flat_map(|_| value(random, 4)).collect()
}

/// The body of a video or audio tag: old, Enhanced, with modifiers, of many tracks.
fn tag(random: &mut Random) -> Vec<u8> {
    const CODES: [&[u8; 4]; 8] = [b"avc1", b"hvc1", b"av01", b"mp4a", b"Opus", b"vp09", b"ac-3", b"\0\0\0\0"];
    const BODIES: [&[u8]; 9] = [
        AVCC,
        &[0, 0, 0, 4, 0x65, 1, 2, 3],
        &[0, 0, 0, 200, 0x65],
        &[0, 2, 0x65, 1, 0xff],
        &[0x11, 0x90],
        b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0",
        &[0x81, 0, 0x0c, 0, 10, 11, 0, 0, 0, 4],
        &[0x12, 0, 0x0a, 1, 9],
        &[],
    ];
    let mut out = Vec::new();
    if random.below(2) == 0 {
        out.push(*pick(random, &[0x17, 0x27, 0x1c, 0x57, 0xaf, 0xa0, 0x2f, 0x12, 0xff]));
        out.push(random.below(3) as u8);
        let offset = (odd(random) as u32).to_be_bytes();
        out.extend(&offset[1..]);
    } else {
        let mut kind = random.below(8) as u8;
        out.push(*pick(random, &[0x80, 0x90, 0xa0, 0xd0]) | kind);
        for _ in 0..3 {
            if kind != 7 {
                break;
            }
            let size = odd(random) as u8;
            out.push(size);
            out.extend(vec![1; random.below(usize::from(size).min(40) + 2)]);
            kind = random.below(8) as u8;
            out.push(kind);
        }
        if kind == 6 || kind == 5 {
            let layout = random.below(4) as u8;
            out.push(layout << 4 | random.below(6) as u8);
            for track in 0..random.below(4) {
                if layout == 2 || track == 0 {
                    out.extend(*pick(random, &CODES));
                }
                let body = *pick(random, &BODIES);
                out.push(track as u8);
                if layout != 0 {
                    let size = if random.below(6) == 0 { odd(random) as u32 } else { body.len() as u32 };
                    out.extend(&size.to_be_bytes()[1..]);
                }
                out.extend(body);
            }
            return out;
        }
        out.extend(*pick(random, &CODES));
        if random.below(2) == 0 {
            out.extend([0, 0, odd(random) as u8]);
        }
    }
    let body = *pick(random, &BODIES);
    out.extend(if random.below(4) == 0 { mutate(random, body, AVCC) } else { body.to_vec() });
    out
}

/// All that a well-behaved publisher says: connect, publish, metadata, configurations old and Enhanced, a little media.
fn well_behaved() -> Vec<u8> {
    let mut out = Vec::new();
    let mut message = |kind: u8, stream: u32, at: u32, payload: &[u8]| {
        chunk::write(&mut out, 3 + kind % 32, kind, stream, at, payload, 128);
    };
    let object = Value::object([("app", "live".into()), ("flashVer", "test/1".into())]);
    message(20, 0, 0, &amf::write(&["connect".into(), 1.0.into(), object]));
    message(20, 0, 0, &amf::write(&["createStream".into(), 2.0.into(), Value::Null]));
    message(20, 1, 0, &amf::write(&["publish".into(), 3.0.into(), Value::Null, "key".into(), "live".into()]));
    let data = Value::object([("width", 320.0.into()), ("height", 180.0.into()), ("framerate", 25.0.into())]);
    message(18, 1, 0, &amf::write(&["@setDataFrame".into(), "onMetaData".into(), data]));
    message(9, 1, 0, &[&[0x17, 0, 0, 0, 0], AVCC].concat());
    message(8, 1, 0, &[0xaf, 0, 0x11, 0x90]);
    message(9, 1, 0, &[&[0x90][..], b"hvc1", &[1; 30]].concat());
    message(9, 1, 20, &[&[0x96, 0x00][..], b"av01", &[0, 0x81, 0, 0x0c, 0]].concat());
    for at in (0..400).step_by(40) {
        let first = if at == 0 { 0x17 } else { 0x27 };
        message(9, 1, at, &[first, 1, 0, 0, 80, 0, 0, 0, 4, 0x65, 1, 2, 3]);
        message(8, 1, at, &[0xaf, 1, 0x21, 0x21, 0x21]);
    }
    out
}

fn conversation(random: &mut Random) -> Vec<u8> {
    if random.below(8) == 0 {
        let whole = well_behaved();
        return mutate(random, &whole, &whole);
    }
    let mut out = Vec::new();
    let mut size = 128_u32;
    let message = |out: &mut Vec<u8>, random: &mut Random, size: u32, kind: u8, payload: &[u8]| {
        let at = if random.below(4) == 0 { odd(random) as u32 } else { random.below(100_000) as u32 };
        let channels = if random.below(20) == 0 { 60 } else { 8 };
        let channel = 2 + random.below(channels) as u8;
        chunk::write(out, channel, kind, u32::from(kind > 7), at, payload, size);
    };
    let object = Value::object([("app", "live".into()), ("flashVer", "test/1".into())]);
    message(&mut out, random, size, 20, &amf::write(&["connect".into(), 1.0.into(), object]));
    message(&mut out, random, size, 20, &amf::write(&["createStream".into(), 2.0.into(), Value::Null]));
    let publish = ["publish".into(), 3.0.into(), Value::Null, "key".into(), "live".into()];
    message(&mut out, random, size, 20, &amf::write(&publish));
    // A camera that does what it should, before or between what it should not.
    let camera = random.below(4) > 0;
    if camera {
        message(&mut out, random, size, 9, &[&[0x17, 0, 0, 0, 0], AVCC].concat());
        message(&mut out, random, size, 8, &[0xaf, 0, 0x11, 0x90]);
    }
    for _ in 0..random.below(20) {
        if camera && random.below(2) == 0 {
            message(&mut out, random, size, 9, &[0x17, 1, 0, 0, 80, 0, 0, 0, 4, 0x65, 1, 2, 3]);
            message(&mut out, random, size, 8, &[0xaf, 1, 0x21, 0x21, 0x21]);
        }
        match random.below(12) {
            0 => {
                let new =
                    if random.below(4) == 0 { odd(random) as u32 } else { 1 + random.below(5000) as u32 };
                message(&mut out, random, size, 1, &new.to_be_bytes());
                size = new.clamp(1, 1 << 20);
            }
            1 => {
                let (kind, word) = (*pick(random, &[2, 3, 4, 5, 6]), odd(random) as u32);
                message(&mut out, random, size, kind, &word.to_be_bytes());
            }
            2 => {
                let data = [&b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData"[..], &values(random)].concat();
                message(&mut out, random, size, 18, &data);
            }
            3 => {
                let name =
                    *pick(random, &["connect", "publish", "FCUnpublish", "deleteStream", "play", "_error"]);
                let data = [&amf::write(&[name.into(), 4.0.into()])[..], &values(random)].concat();
                message(&mut out, random, size, 20, &data);
            }
            // Several messages in one.
            4 => {
                let inner = tag(random);
                let mut body = vec![9];
                let said = if random.below(4) == 0 { odd(random) as u32 } else { inner.len() as u32 };
                body.extend(&said.to_be_bytes()[1..]);
                body.extend([0; 7]);
                body.extend(inner);
                message(&mut out, random, size, 22, &body);
            }
            // Headers that refer to what was or was not there before.
            5 => out.extend([(random.below(4) as u8) << 6 | random.below(64) as u8, 0, 0, 1, 0, 0, 9, 9]),
            6 => {
                let (kind, body) = (odd(random) as u8, values(random));
                message(&mut out, random, size, kind, &body);
            }
            _ => {
                let kind = 8 + random.below(2) as u8;
                let body = tag(random);
                message(&mut out, random, size, kind, &body);
            }
        }
    }
    if random.below(3) == 0 { mutate(random, &out, &[0xff; 8]) } else { out }
}

#[test]
fn conversations_of_publishers() {
    let shaken: Vec<u8> = [&[3][..], &[7; 1536], &[7; 1536]].concat();
    let (mut units, mut setups, mut refused) = (0_u32, 0_u32, 0_u32);
    fuzz(20_000, conversation, |bytes| {
        let mut input = BytesMut::from(&[&shaken, bytes].concat()[..]);
        let (mut session, mut tracks, mut events) = (Session::default(), Tracks::default(), Vec::new());
        session.received(input.len());
        // An input cannot hold more events than bytes: past that it goes round in circles.
        for turn in 0.. {
            assert!(turn <= input.len() + bytes.len() + 3073, "it does not end");
            let event = match session.next(&mut input) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().len() > 10, "{error:?}");
                    break;
                }
            };
            let done = match event {
                Event::Publish(_) => {
                    session.accept();
                    Ok(())
                }
                Event::Video { timestamp, body } => tracks.video(timestamp, body, &mut events),
                Event::Audio { timestamp, body } => tracks.audio(timestamp, body, &mut events),
                Event::Metadata(value) => {
                    tracks.metadata(&value);
                    Ok(())
                }
                _ => Ok(()),
            };
            if done.is_err() {
                break;
            }
        }
        let said = session.take_output().len();
        assert!(said <= 8 * bytes.len() + 8192, "{said} bytes of answers to {}", bytes.len());
        let mut held = 0;
        for event in &events {
            match event {
                LiveEvent::Setup(setup) => {
                    setups += 1;
                    let _ = check_setup(setup);
                }
                LiveEvent::Unit(unit) => {
                    units += 1;
                    held += unit.data.len();
                }
                LiveEvent::Discontinuity | LiveEvent::Warning(_) => {}
            }
        }
        assert!(held <= 4 * bytes.len(), "{held} bytes of media out of {}", bytes.len());
        // The handshake, answers, and what is kept of each event.
        16 * 1024 + said * 4 + events.len() * 400 + values_of(bytes)
    });
    assert!(
        units > 5000 && setups > 2000 && refused > 1000,
        "{units} units, {setups} set-ups, {refused} refused"
    );
}

/// A value of AMF takes a byte at least, and a name and a value in memory.
fn values_of(bytes: &[u8]) -> usize {
    bytes.len() * 60
}

#[test]
fn values_of_amf() {
    let (mut good, mut bad) = (0_u32, 0_u32);
    let make = |random: &mut Random| {
        let whole = values(random);
        if random.below(3) == 0 {
            mutate(random, &whole, b"\x0a\xff\xff\xff\xff\x03\0\0\x09\x08")
        } else {
            whole
        }
    };
    fuzz(40_000, make, |bytes| {
        match amf::read(Bytes::copy_from_slice(bytes)) {
            Ok(read) => {
                good += 1;
                // What was read can be said again, and is understood again.
                assert!(amf::read(amf::write(&read).into()).is_ok(), "{read:?}");
            }
            Err(error) => {
                bad += 1;
                assert!(error.to_string().len() > 10);
            }
        }
        values_of(bytes)
    });
    assert!(good > 3000 && bad > 3000, "{good} read, {bad} refused");
}

#[test]
fn tags_of_flv() {
    let (mut good, mut bad) = (0_u32, 0_u32);
    let make = |random: &mut Random| {
        let whole = tag(random);
        if random.below(4) == 0 { mutate(random, &whole, AVCC) } else { whole }
    };
    fuzz(60_000, make, |bytes| {
        let body = Bytes::copy_from_slice(bytes);
        for read in [flv::video(body.clone()), flv::audio(body)] {
            *(if read.is_ok() { &mut good } else { &mut bad }) += 1;
        }
        0
    });
    assert!(good > 10_000 && bad > 5000, "{good} read, {bad} refused");
}
