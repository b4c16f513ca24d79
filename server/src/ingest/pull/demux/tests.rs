use super::*;
use crate::live::Codec;
use crate::package::{
    AUDIO_TRACK, AudioConfig, Sample, VIDEO_TRACK, VideoConfig, audio_init_in, media_segment, muxed_init,
    video_init_delayed,
};

const SPS: &[u8] = &[0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41];
const PPS: &[u8] = &[0x68, 0xeb, 0xec, 0xb2];
const ALL: Wanted = Wanted { pictures: true, sound: true };

fn avcc() -> Vec<u8> {
    [&[1, 0x64, 0, 0x0d, 0xff, 0xe1, 0, 8][..], SPS, &[1, 0, 4], PPS].concat()
}

fn units(found: &[Timed]) -> Vec<(TrackKind, i64, i64, bool, Vec<u8>)> {
    let unit = |timed: &Timed| match &timed.event {
        LiveEvent::Unit(u) => {
            Some((u.kind, u.dts_ns / 1_000_000, u.pts_ns / 1_000_000, u.key, u.data.to_vec()))
        }
        _ => None,
    };
    found.iter().filter_map(unit).collect()
}

fn setups(found: &[Timed]) -> Vec<TrackSetup> {
    let setup = |timed: &Timed| match &timed.event {
        LiveEvent::Setup(setup) => Some(setup.clone()),
        _ => None,
    };
    found.iter().filter_map(setup).collect()
}

fn sample(duration: u32, composition_offset: i32, key: bool, data: &[u8]) -> Sample {
    Sample { duration, composition_offset, key, data: Bytes::copy_from_slice(data) }
}

pub(super) fn film() -> (Bytes, Bytes) {
    let video = video_init_delayed(&VideoConfig::from_avcc(320, 180, &avcc()).unwrap(), 90_000, 3600);
    let sound = AudioConfig::from_asc(48_000, 2, 128_000, &[0x11, 0x90]).unwrap();
    let sound = audio_init_in(&sound, 48_000, Some("de"));
    let pictures = [
        sample(3600, 3600, true, &[0, 0, 0, 2, 0x65, 1]),
        sample(3600, 7200, false, &[0, 0, 0, 2, 0x41, 2]),
        sample(3600, 3600, false, &[0, 0, 0, 2, 0x01, 3]),
    ];
    let packets = [sample(1024, 0, true, &[7]), sample(1024, 0, true, &[8])];
    let segment = [
        media_segment(VIDEO_TRACK, 1, 90_000, &pictures).unwrap(),
        media_segment(AUDIO_TRACK, 2, 48_000, &packets).unwrap(),
    ];
    (muxed_init(&video, &sound).unwrap(), segment.concat().into())
}

#[test]
fn fragmented_mp4_becomes_units_with_edit_lists_applied() {
    let (init, segment) = film();
    let mut demuxer = Demuxer::new(ALL);
    let found = demuxer.segment(Some(&init), &segment, 0).unwrap();
    let [video, sound] = &setups(&found)[..] else { panic!("{found:?}") };
    assert_eq!(
        (video.codec, video.config.as_ref(), video.width, video.height),
        (Codec::Avc, &avcc()[..], 320, 180)
    );
    assert_eq!((sound.codec, sound.sample_rate, sound.channels), (Codec::Aac, 48_000, 2));
    assert_eq!(sound.language.as_deref(), Some("de"));
    let mut listed = Demuxer::new(ALL).in_language(Some("de-at".to_owned()));
    let found_listed = setups(&listed.segment(Some(&init), &segment, 0).unwrap());
    let languages: Vec<_> = found_listed.iter().map(|setup| setup.language.as_deref()).collect();
    assert_eq!(languages, [None, Some("de-at")], "its playlist knows better");
    let expected = [
        (TrackKind::Video, 960, 1000, true, vec![0, 0, 0, 2, 0x65, 1]),
        (TrackKind::Video, 1000, 1080, false, vec![0, 0, 0, 2, 0x41, 2]),
        (TrackKind::Audio, 1000, 1000, true, vec![7]),
        (TrackKind::Audio, 1021, 1021, true, vec![8]),
        (TrackKind::Video, 1040, 1080, false, vec![0, 0, 0, 2, 0x01, 3]),
    ];
    assert_eq!(units(&found), expected);
    let again = demuxer.segment(Some(&init), &segment, 0).unwrap();
    assert_eq!((setups(&again).len(), again.len()), (0, 5), "what is known is not told again");
    let mut sound_only = Demuxer::new(Wanted { pictures: false, sound: true });
    assert_eq!(units(&sound_only.segment(Some(&init), &segment, 0).unwrap()).len(), 2);
    assert_eq!(Demuxer::new(ALL).segment(None, &segment, 0), Err(DemuxError::NoInit));
}

/// Packets of 188 bytes of one PID, the last one stuffed.
fn packets(pid: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = payload;
    while !rest.is_empty() || out.is_empty() {
        let [high, low] = pid.to_be_bytes();
        let begins = if out.is_empty() { 0x40 } else { 0 };
        let now = rest.len().min(184);
        let stuffing = 184 - now;
        out.extend_from_slice(&[0x47, high | begins, low, if stuffing > 0 { 0x30 } else { 0x10 }]);
        if stuffing > 0 {
            out.push((stuffing - 1) as u8);
            if stuffing > 1 {
                out.push(0);
                out.extend(std::iter::repeat_n(0xff, stuffing - 2));
            }
        }
        out.extend_from_slice(&rest[..now]);
        rest = &rest[now..];
    }
    out
}

fn table(pid: u16, id: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() + 9) as u8;
    let head = [0, id, 0xb0, length, 0, 1, 0xc1, 0, 0];
    packets(pid, &[&head[..], body, &[0; 4]].concat())
}

fn stamp(mark: u8, ticks: u64) -> [u8; 5] {
    let bits = |shift: u32, mask: u64| (ticks >> shift & mask) as u8;
    [
        mark << 4 | bits(30, 7) << 1 | 1,
        bits(22, 255),
        bits(15, 127) << 1 | 1,
        bits(7, 255),
        bits(0, 127) << 1 | 1,
    ]
}

fn pes(pid: u16, pts: u64, dts: Option<u64>, data: &[u8]) -> Vec<u8> {
    let mut head = vec![0, 0, 1, if pid == 256 { 0xe0 } else { 0xc0 }, 0, 0, 0x80];
    match dts {
        Some(dts) => {
            head.extend_from_slice(&[0xc0, 10]);
            head.extend(stamp(3, pts).into_iter().chain(stamp(1, dts)));
        }
        None => {
            head.extend_from_slice(&[0x80, 5]);
            head.extend(stamp(2, pts));
        }
    }
    if pid != 256 {
        let length = (head.len() - 6 + data.len()) as u16;
        head[4..6].copy_from_slice(&length.to_be_bytes());
    }
    packets(pid, &[&head, data].concat())
}

/// An ADTS frame of AAC-LC, 48 kHz, stereo.
fn adts(data: &[u8]) -> Vec<u8> {
    let length = data.len() + 7;
    let head = [
        0xff,
        0xf1,
        0x4c,
        0x80 | (length >> 11) as u8,
        (length >> 3) as u8,
        ((length & 7) << 5) as u8 | 0x1f,
        0xfc,
    ];
    [&head[..], data].concat()
}

pub(super) fn transport(first: u64) -> Vec<u8> {
    let picture = |nal: &[u8]| [&[0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1][..], nal].concat();
    let key =
        [&[0, 0, 0, 1, 9, 0xf0, 0, 0, 1][..], SPS, &[0, 0, 0, 1], PPS, &[0, 0, 1, 0x65, 1, 2, 3, 0]].concat();
    let frames = [adts(&[7; 20]), adts(&[8; 300])].concat();
    let wrapped = |ticks: u64| ticks % (1 << 33);
    [
        table(0, 0, &[0, 1, 0xf0, 0]),
        table(
            0x1000,
            2,
            &[0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0, 0x0f, 0xe1, 1, 0xf0, 0, 0x81, 0xe1, 2, 0xf0, 0],
        ),
        pes(256, wrapped(first + 7200), Some(wrapped(first)), &key),
        pes(257, wrapped(first + 1800), None, &frames[..200]),
        pes(256, wrapped(first + 10_800), Some(wrapped(first + 3600)), &picture(&[0x41; 400])),
        pes(257, wrapped(first + 5640), None, &[&frames[200..], &adts(&[9; 10])[..]].concat()),
    ]
    .concat()
}

#[test]
fn transport_streams_become_units_over_the_wrap_of_their_clock() {
    let mut demuxer = Demuxer::new(ALL);
    let found = demuxer.segment(None, &transport((1 << 33) - 3662).into(), 0).unwrap();
    let [video, sound] = &setups(&found)[..] else { panic!("{found:?}") };
    assert_eq!(video.config.get(..19), avcc().get(..19), "the parameter sets of the first picture");
    assert!(VideoConfig::from_avcc(0, 0, &video.config).is_ok());
    assert_eq!((sound.config.as_ref(), sound.sample_rate, sound.channels), (&[0x11, 0x90][..], 48_000, 2));
    let units = units(&found);
    let base = units[0].1;
    let times: Vec<_> = units
        .iter()
        .map(|(kind, dts, pts, key, data)| (*kind, dts - base, pts - base, *key, data.len()))
        .collect();
    assert_eq!(
        times,
        [
            (TrackKind::Video, 0, 80, true, 8),
            (TrackKind::Audio, 20, 20, true, 20),
            (TrackKind::Video, 40, 120, false, 404),
            // It began in the packet before.
            (TrackKind::Audio, 41, 41, true, 300),
            (TrackKind::Audio, 62, 62, true, 10),
        ]
    );
    assert_eq!(units[0].4, [0, 0, 0, 4, 0x65, 1, 2, 3], "no delimiter, no parameter sets, no trailing zero");
    let next = demuxer.segment(None, &transport((1 << 33) - 62).into(), 0).unwrap();
    assert_eq!(setups(&next), []);
    let LiveEvent::Unit(first) = &next[0].event else { panic!("{next:?}") };
    assert_eq!(first.dts_ns / 1_000_000 - base, 40);
}

pub(super) fn packed() -> Vec<u8> {
    const OWNER: &[u8] = b"com.apple.streaming.transportStreamTimestamp\0";
    let stamp = [OWNER, &900_000_u64.to_be_bytes()].concat();
    let frame = [&b"PRIV"[..], &(stamp.len() as u32).to_be_bytes(), &[0, 0], &stamp].concat();
    let tag = [&b"ID3\x04\0\0\0\0\0"[..], &[frame.len() as u8], &frame].concat();
    [tag.as_slice(), &adts(&[1; 9]), &adts(&[2; 9])].concat()
}

#[test]
fn packed_aac_takes_its_time_from_its_tag() {
    let found = Demuxer::new(ALL).segment(None, &packed().into(), 0).unwrap();
    let times: Vec<_> = units(&found).iter().map(|unit| unit.1).collect();
    assert_eq!((setups(&found).len(), times), (1, vec![10_000, 10_021]));
    let bare: Bytes = adts(&[1; 9]).into();
    assert!(matches!(Demuxer::new(ALL).segment(None, &bare, 0), Err(DemuxError::Malformed(..))));
}

#[test]
fn what_cannot_be_used_is_named() {
    let unknown = Bytes::from_static(b"<html>not found</html>");
    assert_eq!(Demuxer::new(ALL).segment(None, &unknown, 0), Err(DemuxError::Unknown));
    let map = table(0x1000, 2, &[0xe1, 0, 0xf0, 0, 0x02, 0xe1, 0, 0xf0, 0]);
    let mpeg2: Bytes = [table(0, 0, &[0, 1, 0xf0, 0]), map].concat().into();
    assert_eq!(Demuxer::new(ALL).segment(None, &mpeg2, 0), Err(DemuxError::Codecs("MPEG-2 video".into())));
    let (init, segment) = film();
    let kind = init.windows(4).position(|w| w == b"avc1").unwrap();
    let mut encrypted = init.to_vec();
    encrypted[kind..kind + 4].copy_from_slice(b"encv");
    assert_eq!(Demuxer::new(ALL).segment(Some(&encrypted.into()), &segment, 0), Err(DemuxError::Encrypted));
}
