use bytes::Bytes;
use shiguredo_mp4::Decode;
use shiguredo_mp4::boxes::{MoofBox, MoovBox, SampleEntry};

use super::boxes::{children, find};
use super::*;

/// SPS and PPS of a 320x180 High@1.3 stream.
const AVCC: &[u8] = &[
    1, 0x64, 0x00, 0x0d, 0xff, 0xe1, 0, 8, 0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 1, 0, 4, 0x68,
    0xeb, 0xec, 0xb2,
];

fn video() -> VideoConfig {
    VideoConfig::from_avcc(320, 180, AVCC).unwrap()
}

fn audio() -> AudioConfig {
    AudioConfig::from_asc(48_000, 2, 128_000, &[0x11, 0x90]).unwrap()
}

fn moov(init: &[u8]) -> MoovBox {
    let top = children(init).unwrap();
    assert_eq!(find(&top, b"ftyp").unwrap().offset, 0);
    MoovBox::decode(find(&top, b"moov").unwrap().whole).unwrap().0
}

fn samples(keys: &[bool], duration: u32) -> Vec<Sample> {
    keys.iter()
        .enumerate()
        .map(|(i, key)| Sample {
            duration,
            composition_offset: 0,
            key: *key,
            data: Bytes::from(vec![i as u8; i + 1]),
        })
        .collect()
}

#[test]
fn codec_strings_name_profile_and_level() {
    assert_eq!(video().codec_string(), "avc1.64000d");
    assert_eq!(audio().codec_string(), "mp4a.40.2");
}

#[test]
fn broken_codec_configurations_are_refused() {
    for cut in 0..17 {
        assert!(VideoConfig::from_avcc(320, 180, &AVCC[..cut.min(15)]).is_err());
    }
    let mut short_lengths = AVCC.to_vec();
    short_lengths[4] = 0xfc;
    assert!(VideoConfig::from_avcc(320, 180, &short_lengths).is_err());
    assert!(AudioConfig::from_asc(48_000, 2, 0, &[]).is_err());
    assert!(AudioConfig::from_asc(48_000, 2, 0, &[0x11; 65]).is_err());
}

#[test]
fn init_segments_parse_back() {
    let moov = moov(&video_init(&video(), 25_000));
    let trak = &moov.trak_boxes[0];
    assert_eq!(trak.tkhd_box.track_id, VIDEO_TRACK);
    assert_eq!(trak.mdia_box.mdhd_box.timescale.get(), 25_000);
    assert!(trak.edts_box.is_none());
    let SampleEntry::Avc1(avc1) = &trak.mdia_box.minf_box.stbl_box.stsd_box.entries[0] else {
        panic!("not avc1")
    };
    assert_eq!((avc1.visual.width, avc1.visual.height), (320, 180));
    assert_eq!(avc1.avcc_box.avc_level_indication, 13);
    assert_eq!(moov.mvex_box.unwrap().trex_boxes[0].track_id, VIDEO_TRACK);
}

#[test]
fn an_edit_list_takes_off_what_composition_offsets_were_raised_by() {
    let init = video_init_delayed(&video(), 90_000, 6000);
    assert_eq!((init_delay(&init), init_delay(&video_init(&video(), 90_000))), (6000, 0));
    assert_eq!(video_init_delayed(&video(), 90_000, 0), video_init(&video(), 90_000));
    let muxed = muxed_init(&init, &audio_init(&audio())).unwrap();
    for init in [&init, &muxed] {
        let moov = moov(init);
        let elst = moov.trak_boxes[0].edts_box.as_ref().unwrap().elst_box.as_ref().unwrap();
        let [entry] = &elst.entries[..] else { panic!("not one edit") };
        assert_eq!((entry.edit_duration, entry.media_time), (0, 6000), "all there is, from the delay on");
        assert_eq!((entry.media_rate.integer, entry.media_rate.fraction), (1, 0));
        assert!(moov.trak_boxes[1..].iter().all(|trak| trak.edts_box.is_none()), "sound has no delay");
    }
    for cut in 0..init.len() {
        assert!([0, 6000].contains(&init_delay(&init[..cut])));
    }
}

#[test]
fn the_audio_init_segment_parses_back() {
    let moov = moov(&audio_init(&audio()));
    let trak = &moov.trak_boxes[0];
    assert_eq!(trak.tkhd_box.track_id, AUDIO_TRACK);
    let SampleEntry::Mp4a(mp4a) = &trak.mdia_box.minf_box.stbl_box.stsd_box.entries[0] else {
        panic!("not mp4a")
    };
    let config = &mp4a.esds_box.es.dec_config_descr;
    assert_eq!(config.object_type_indication, 0x40);
    assert_eq!(config.dec_specific_info.as_ref().unwrap().payload, [0x11, 0x90]);
    assert_eq!(mp4a.audio.samplerate.integer, 48_000);
}

#[test]
fn a_media_segment_says_when_it_starts_and_where_its_samples_are() {
    let samples = samples(&[true, false, false], 1000);
    let segment = media_segment(VIDEO_TRACK, 7, 1 << 33, &samples).unwrap();
    let top = children(&segment).unwrap();
    let kinds: Vec<&[u8]> = top.iter().map(|b| &b.kind[..]).collect();
    assert_eq!(kinds, [b"styp", b"moof", b"mdat"]);
    let moof = find(&top, b"moof").unwrap();
    let parsed = MoofBox::decode(moof.whole).unwrap().0;
    assert_eq!(parsed.mfhd_box.sequence_number, 7);
    let traf = &parsed.traf_boxes[0];
    assert_eq!(traf.tfdt_box.as_ref().unwrap().base_media_decode_time, 1 << 33);
    assert!(traf.tfhd_box.default_base_is_moof);
    assert_eq!(traf.tfhd_box.default_sample_duration, Some(1000));
    let trun = &traf.trun_boxes[0];
    assert!(!trun.first_sample_flags.unwrap().sample_is_non_sync_sample());
    assert!(traf.tfhd_box.default_sample_flags.unwrap().sample_is_non_sync_sample());
    let mut at = moof.offset + trun.data_offset.unwrap() as usize;
    for (sample, listed) in samples.iter().zip(&trun.samples) {
        let size = listed.size.unwrap() as usize;
        assert_eq!(&segment[at..at + size], &sample.data[..]);
        at += size;
    }
    assert_eq!(at, segment.len());
}

#[test]
fn key_frames_inside_a_segment_and_uneven_durations_are_listed() {
    let mut samples = samples(&[true, false, true, false], 1000);
    samples[3].duration = 500;
    samples[1].composition_offset = -5;
    let segment = media_segment(VIDEO_TRACK, 1, 0, &samples).unwrap();
    let top = children(&segment).unwrap();
    let parsed = MoofBox::decode(find(&top, b"moof").unwrap().whole).unwrap().0;
    let listed = &parsed.traf_boxes[0].trun_boxes[0].samples;
    let sync: Vec<bool> = listed.iter().map(|s| !s.flags.unwrap().sample_is_non_sync_sample()).collect();
    assert_eq!(sync, [true, false, true, false]);
    assert_eq!(listed[3].duration, Some(500));
    assert_eq!(listed[1].composition_time_offset, Some(-5));
    assert!(media_segment(VIDEO_TRACK, 1, 0, &[]).is_err());
}

#[test]
fn the_muxed_init_segment_has_both_tracks() {
    let init = muxed_init(&video_init(&video(), 25_000), &audio_init(&audio())).unwrap();
    let moov = moov(&init);
    let ids: Vec<u32> = moov.trak_boxes.iter().map(|t| t.tkhd_box.track_id).collect();
    assert_eq!(ids, [VIDEO_TRACK, AUDIO_TRACK]);
    let extended: Vec<u32> = moov.mvex_box.unwrap().trex_boxes.iter().map(|t| t.track_id).collect();
    assert_eq!(extended, [VIDEO_TRACK, AUDIO_TRACK]);
    assert_eq!(moov.mvhd_box.next_track_id, 3);
    assert!(muxed_init(b"nonsense", &audio_init(&audio())).is_err());
}

#[test]
fn an_init_segment_tells_what_it_is_for() {
    let made = video();
    let format = init_format(&video_init_delayed(&made, 90_000, 3000)).unwrap();
    assert_eq!(
        (format.codecs, format.width, format.height, format.channels),
        (made.codec_string(), made.width.into(), made.height.into(), 0)
    );
    let opus = AudioConfig::from_dops(96_000, &[0, 2, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0]).unwrap();
    for made in [audio(), opus] {
        let format = init_format(&audio_init_at(&made, 44_100)).unwrap();
        assert_eq!(
            (format.codecs, format.sample_rate, format.channels, format.width),
            (made.codec_string(), made.sample_rate, made.channels.into(), 0)
        );
    }
    let init = video_init(&made, 90_000);
    for cut in 0..init.len() {
        let _ = init_format(&init[..cut]);
    }
    assert_eq!(init_format(b"nonsense"), None);
}

#[test]
fn renumbering_changes_the_sequence_number_and_nothing_else() {
    let segment = media_segment(AUDIO_TRACK, 1, 48_000, &samples(&[true, true], 1024)).unwrap();
    let [head, rest] = with_sequence(&segment, 41).unwrap();
    let joined = [head, rest].concat();
    assert_eq!(joined, media_segment(AUDIO_TRACK, 41, 48_000, &samples(&[true, true], 1024)).unwrap());
    assert!(with_sequence(&Bytes::from_static(b"\0\0\0\x08free"), 1).is_err());
}
