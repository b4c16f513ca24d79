//! Codec configurations as encoders write them, and as nobody should.

use super::*;

/// x264, 426x240, 30000/1001 frames a second.
const AVCC: &[u8] = &[
    0x01, 0x64, 0x00, 0x15, 0xff, 0xe1, 0x00, 0x18, 0x67, 0x64, 0x00, 0x15, 0xac, 0xd9, 0x41, 0xb1, 0xfe,
    0x4f, 0x01, 0x10, 0x00, 0x00, 0x3e, 0x90, 0x00, 0x0e, 0xa6, 0x00, 0xf1, 0x62, 0xd9, 0x60, 0x01, 0x00,
    0x06, 0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0, 0xfd, 0xf8, 0xf8, 0x00,
];
/// x265, 426x240, without its SEI.
const HVCC: &[u8] = &[
    0x01, 0x01, 0x60, 0x00, 0x00, 0x00, 0x90, 0x00, 0x00, 0x00, 0x00, 0x00, 0x3c, 0xf0, 0x00, 0xfc, 0xfd,
    0xf8, 0xf8, 0x00, 0x00, 0x0f, 0x03, 0xa0, 0x00, 0x01, 0x00, 0x18, 0x40, 0x01, 0x0c, 0x01, 0xff, 0xff,
    0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x3c, 0x95, 0x98,
    0x09, 0xa1, 0x00, 0x01, 0x00, 0x29, 0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00,
    0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x3c, 0xa0, 0x0d, 0x88, 0x0f, 0x1c, 0x9e, 0x59, 0x59, 0xa4, 0x93,
    0x2b, 0xc0, 0x5a, 0x02, 0x00, 0x00, 0x07, 0xd2, 0x00, 0x00, 0xea, 0x60, 0x10, 0xa2, 0x00, 0x01, 0x00,
    0x07, 0x44, 0x01, 0xc1, 0x72, 0xb4, 0x62, 0x40,
];
/// libaom, 426x240.
const AV1C: &[u8] =
    &[0x81, 0x00, 0x0c, 0x00, 0x0a, 0x0b, 0x00, 0x00, 0x00, 0x04, 0x3e, 0xa7, 0xbc, 0xff, 0xf9, 0x80, 0x40];
/// libopus, stereo.
const DOPS: &[u8] = &[0x00, 0x02, 0x01, 0x38, 0x00, 0x00, 0xbb, 0x80, 0x00, 0x00, 0x00];

type Make = fn(u16, u16, &[u8]) -> Result<VideoConfig, PackageError>;

/// How to read it, the record, its string, its sample entry, and the frame rate that it tells.
type Row = (Make, &'static [u8], &'static str, &'static [u8; 4], Option<(u32, u32)>);

const VIDEO: [Row; 3] = [
    (VideoConfig::from_avcc, AVCC, "avc1.640015", b"avc1", Some((30_000, 1001))),
    (VideoConfig::from_hvcc, HVCC, "hvc1.1.6.L60.90", b"hvc1", None),
    (VideoConfig::from_av1c, AV1C, "av01.0.00M.08", b"av01", None),
];

#[test]
fn strings_sizes_and_sample_entries_follow_the_configuration() {
    for (make, record, string, entry, rate) in VIDEO {
        let config = make(426, 240, record).unwrap();
        assert_eq!(config.codec_string(), string);
        let picture = PictureInfo { width: 426, height: 240, frame_rate: rate };
        assert_eq!(config.picture(), Some(picture), "{string}");
        let init = video_init(&config, 90_000);
        let at = init.windows(4).position(|bytes| bytes == entry).unwrap();
        assert!(init[at..].windows(record.len()).any(|bytes| bytes == record), "{string}");
    }
}

#[test]
fn the_other_parser_reads_every_init_segment() {
    use shiguredo_mp4::Decode;
    use shiguredo_mp4::boxes::{MoovBox, SampleEntry};
    let entry = |init: &[u8]| {
        let top = boxes::children(init).unwrap();
        let moov = MoovBox::decode(boxes::find(&top, b"moov").unwrap().whole).unwrap().0;
        moov.trak_boxes[0].mdia_box.minf_box.stbl_box.stsd_box.entries[0].clone()
    };
    for (make, record, ..) in VIDEO {
        let entry = entry(&video_init(&make(426, 240, record).unwrap(), 90_000));
        assert!(
            matches!(entry, SampleEntry::Avc1(_) | SampleEntry::Hvc1(_) | SampleEntry::Av01(_)),
            "{entry:?}"
        );
    }
    let opus = AudioConfig::from_dops(96_000, DOPS).unwrap();
    let SampleEntry::Opus(opus) = entry(&audio_init_at(&opus, 48_000)) else { panic!("not Opus") };
    assert_eq!((opus.audio.channelcount, opus.dops_box.pre_skip), (2, 312));
}

#[test]
fn an_opus_head_says_the_same_as_dops() {
    let head = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
    let (one, other) = (AudioConfig::from_dops(1, head).unwrap(), AudioConfig::from_dops(1, DOPS).unwrap());
    assert_eq!(one, other);
    assert_eq!((one.codec_string(), one.channels, one.sample_rate), ("opus".to_owned(), 2, 48_000));
    for (packet, ms) in
        [(&[0xfc_u8][..], 20.0), (&[0xe0], 2.5), (&[0x08], 20.0), (&[0xfb, 0x03], 60.0), (&[], 20.0)]
    {
        assert_eq!(one.packet_ns(packet) as f64 / 1e6, ms, "{packet:?}");
    }
}

#[test]
fn aac_tells_its_own_frame_length() {
    // AAC-LC 48 kHz; HE-AAC at 24 kHz with 48 kHz out; AAC-LC at 44.1 kHz with frames of 960 samples.
    let rows: [(&[u8], u64, &str); 3] = [
        (&[0x11, 0x90], 21_333_333, "mp4a.40.2"),
        (&[0x2b, 0x11, 0x88, 0x00], 42_666_666, "mp4a.40.5"),
        (&[0x12, 0x14], 21_768_707, "mp4a.40.2"),
    ];
    for (asc, ns, string) in rows {
        let config = AudioConfig::from_asc(0, 0, 128_000, asc).unwrap();
        assert_eq!((config.packet_ns(&[]), config.codec_string().as_str()), (ns, string), "{asc:x?}");
        assert!(config.sample_rate > 0 && config.channels > 0);
    }
}

#[test]
fn cut_and_mutated_configurations_are_refused_or_read_but_never_panic() {
    let (mut refused, mut taken) = (0, 0);
    let mut look = |result: Result<VideoConfig, PackageError>| match result {
        Ok(config) => {
            let _ = config.picture();
            assert!(!video_init(&config, 90_000).is_empty());
            assert!(config.codec_string().len() < 64);
            taken += 1;
        }
        Err(error) => {
            assert!(error.to_string().contains("not usable"));
            refused += 1;
        }
    };
    for (make, record, ..) in VIDEO {
        for cut in 0..record.len() {
            look(make(426, 240, &record[..cut]));
        }
        for at in 0..record.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, record[at] ^ 0x10] {
                let mut changed = record.to_vec();
                changed[at] = value;
                look(make(426, 240, &changed));
            }
        }
        assert!(make(426, 240, &vec![1; 20_000]).is_err());
    }
    assert!(refused > 100 && taken > 100, "{refused} {taken}");
    for cut in 0..DOPS.len() {
        assert!(AudioConfig::from_dops(1, &DOPS[..cut]).is_err());
    }
    for at in 0..DOPS.len() {
        for value in 0..=255 {
            let mut changed = DOPS.to_vec();
            changed[at] = value;
            let _ = AudioConfig::from_dops(1, &changed);
        }
    }
    for first in 0..=255 {
        for second in 0..=255 {
            if let Ok(config) = AudioConfig::from_asc(0, 0, 1, &[first, second, 0xff, 0x01]) {
                assert!(config.packet_ns(&[]) > 0);
            }
        }
    }
}

#[test]
fn a_segment_of_several_chunks_is_renumbered_chunk_by_chunk() {
    let samples =
        |n: u8| vec![Sample { duration: 1024, composition_offset: -3, key: true, data: vec![n; 5].into() }];
    let produced = Some(ProducerTime { unix_ms: 1_700_000_000_500 });
    let make = |sequence: u32| {
        let first = chunk(VIDEO_TRACK, sequence, 0, &samples(1), true, produced).unwrap();
        let second = chunk(VIDEO_TRACK, sequence + 1, 1024, &samples(2), false, None).unwrap();
        bytes::Bytes::from([first, second].concat())
    };
    let (pieces, count) = with_sequences(&make(1), 41).unwrap();
    assert_eq!(count, 2);
    assert_eq!(pieces.concat(), make(41));
    assert!(with_sequences(&bytes::Bytes::from_static(b"\0\0\0\x08free"), 1).is_err());
    let top = make(1);
    let top = boxes::children(&top).unwrap();
    let kinds: Vec<&[u8]> = top.iter().map(|found| &found.kind[..]).collect();
    assert_eq!(kinds, [&b"styp"[..], b"prft", b"moof", b"mdat", b"moof", b"mdat"]);
    let prft = boxes::find(&top, b"prft").unwrap().body;
    // Version 1, flags 24, track 1, then NTP: seconds since 1900 and half a second.
    assert_eq!(prft[..8], [1, 0, 0, 24, 0, 0, 0, 1]);
    assert_eq!(prft[8..16], ((1_700_000_000_u64 + 2_208_988_800) << 32 | 0x8000_0000).to_be_bytes());
}

#[test]
fn an_aac_set_up_tells_its_channels_or_leaves_them_to_the_units() {
    // LC at 48 kHz with channel configurations 1, 2, 6, 7 and 0; parametric stereo at 24 kHz.
    for (asc, channels) in [
        ([0x11, 0x88, 0, 0].as_slice(), Some(1)),
        (&[0x11, 0x90], Some(2)),
        (&[0x11, 0xb0], Some(6)),
        (&[0x11, 0xb8], Some(8)),
        (&[0x11, 0x80], None),
        (&[0xeb, 0x09, 0x88, 0x00], Some(2)),
    ] {
        let config = AudioConfig::from_asc(0, 2, 96_000, asc).unwrap();
        assert_eq!(config.told_channels(), channels, "{asc:02x?}");
    }
}
