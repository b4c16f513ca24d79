//! Publishers that go, come back, change, or lose their clock.

use super::read::{Read, rendition};
use super::*;
use crate::package::{VideoConfig, init_delay, video_init};

fn times(rig: &Rig, name: &str) -> Vec<(u32, f64, bool)> {
    let timescale = rig.stream.rendition(name).unwrap().info().timescale;
    rig.segments(name).iter().map(|e| (e.number, e.start_seconds(timescale), e.discontinuity)).collect()
}

/// Numbers, times and wall clock only go forward, the same in both renditions.
fn check_order(rig: &Rig) {
    let (video, audio) = (rig.segments("source"), rig.segments("audio"));
    for entries in [&video, &audio] {
        for pair in entries.windows(2) {
            assert_eq!(pair[1].number, pair[0].number + 1);
            assert!(pair[1].start >= pair[0].end() && pair[1].wall_ms >= pair[0].wall_ms, "{pair:?}");
        }
    }
    for (video, audio) in video.iter().zip(audio.iter()) {
        assert_eq!((video.number, video.discontinuity), (audio.number, audio.discontinuity));
    }
}

#[test]
fn a_publisher_that_comes_back_goes_on_after_the_gap() {
    let mut rig = Rig::new(settings());
    rig.set_up();
    rig.play(FEED, 50_000.0, 0.0, 5.0);
    rig.session.disconnect().unwrap();
    assert_eq!(times(&rig, "source").len(), 3, "what there was is whole segments");
    assert!(rig.stream.rendition("source").unwrap().window().open.is_none());
    rig.now_ms += 4000;
    rig.set_up();
    rig.play(FEED, 3.0, 0.0, 7.0);
    check_order(&rig);
    let video = times(&rig, "source");
    assert_eq!(video[3].0, 4);
    assert!(video[3].2 && !video[4].2);
    assert!((video[3].1 - 9.0).abs() < 0.1, "the timeline keeps pace with the wall: {}", video[3].1);
    let wall = rig.segments("source")[3].wall_ms.unwrap() - WALL_MS;
    assert!((8900..9100).contains(&wall), "{wall}");
    // Picture and sound keep their offset: what was sent at one time is shown at one time.
    let (v, a) = (rendition(&rig, "source"), rendition(&rig, "audio"));
    let at = |read: &[Read]| {
        let sample = read.iter().rev().find(|sample| sample.text.parse::<f64>().unwrap() < 7000.0).unwrap();
        sample.show * 1000.0 - sample.text.parse::<f64>().unwrap()
    };
    assert!((at(&v) - at(&a)).abs() < 21.0, "{} {}", at(&v), at(&a));
}

#[test]
fn a_hundred_reconnections_leave_nothing_behind() {
    let mut rig = Rig::new(LiveSettings { window_s: 30, ..settings() });
    for round in 0..100 {
        rig.set_up();
        rig.play(FEED, f64::from(round) * 17.0, 0.0, 3.0);
        rig.session.disconnect().unwrap();
        rig.now_ms += 1000;
    }
    check_order(&rig);
    let window = rig.stream.rendition("source").unwrap().window();
    assert_eq!(window.last_number(), 200);
    assert!(window.segments.len() < 30 && window.discontinuity_sequence > 80);
    let inits =
        (0..10).filter(|index| rig.stream.rendition("source").unwrap().init(*index).is_some()).count();
    assert_eq!(inits, 1, "the same codec needs no further init segment");
}

/// A publisher whose pictures are reordered by `delay_ms`, for 5 s.
fn reordered(rig: &mut Rig, delay_ms: f64) {
    rig.set_up();
    let feed = Feed { delay_ms, ..FEED };
    rig.play(feed, 0.0, 0.0, 5.0);
    rig.session.disconnect().unwrap();
    rig.now_ms += 1000;
}

fn delays(rig: &Rig) -> Vec<u32> {
    rig.stream.rendition("source").unwrap().inits().iter().map(|init| init_delay(init)).collect()
}

#[test]
fn the_delay_of_reordering_is_fixed_with_the_init_segment() {
    let mut rig = Rig::new(settings());
    for delay_ms in [66.0, 67.0, 66.0] {
        reordered(&mut rig, delay_ms);
    }
    assert_eq!(delays(&rig), [68 * 90], "rounding needs no further init segment");
    rig.restart(settings());
    reordered(&mut rig, 67.0);
    assert_eq!(delays(&rig), [68 * 90], "nor does a restart");
    // Reads no offset below 0, and none but those that the edit list explains.
    let video = rendition(&rig, "source");
    assert!(video.len() > 450 && video.iter().all(|read| (read.show - read.decode).abs() < 1e-6));
}

#[test]
fn a_stream_that_began_without_an_edit_list_goes_on_without() {
    let mut rig = Rig::new(settings());
    reordered(&mut rig, 0.0);
    let config = VideoConfig::from_avcc(320, 180, AVCC).unwrap();
    assert_eq!(rig.stream.rendition("source").unwrap().inits(), [video_init(&config, 90_000)]);
    reordered(&mut rig, 80.0);
    assert_eq!(delays(&rig), [0]);
    check_order(&rig);
    let video = rendition(&rig, "source");
    assert!(video.iter().all(|read| (read.show - read.decode).abs() < 1e-6));
}

#[test]
fn a_clock_that_jumps_makes_a_discontinuity_and_no_hole_in_the_timeline() {
    for (second, explicit) in [(0.0, false), (900_000.0, false), (60_000.0, true)] {
        let mut rig = Rig::new(settings());
        rig.set_up();
        rig.play(FEED, 60_000.0, 0.0, 6.0);
        if explicit {
            rig.send(LiveEvent::Discontinuity);
        }
        rig.play(FEED, second, 0.0, 6.5);
        check_order(&rig);
        let video = times(&rig, "source");
        let breaks: Vec<_> = video.iter().filter(|(.., discontinuity)| *discontinuity).collect();
        assert_eq!(breaks.len(), 1, "{second}: {video:?}");
        assert!((breaks[0].1 - 6.0).abs() < 0.3, "{second}: {video:?}");
        assert_eq!(rig.session.told.discontinuities, 1);
        assert_eq!(rig.session.told.dropped, 0, "{second}");
    }
}

#[test]
fn a_burst_of_zero_time_stamps_is_left_out() {
    let mut rig = Rig::new(settings());
    rig.set_up();
    rig.play(FEED, 60_000.0, 0.0, 3.0);
    for _ in 0..20 {
        rig.unit(TrackKind::Video, 0.0, 0.0, false);
        rig.unit(TrackKind::Audio, 0.0, 0.0, true);
    }
    rig.play(FEED, 60_000.0, 3.0, 9.0);
    check_order(&rig);
    assert_eq!(rig.session.told.discontinuities, 0);
    assert_eq!(rig.session.told.dropped, 40);
    assert_eq!(rig.segments("source").len(), 4);
}

#[test]
fn equal_and_backward_steps_never_make_a_sample_of_no_duration() {
    let mut rig = Rig::new(settings());
    rig.set_up();
    for n in 0..400_u32 {
        // Every time stamp twice, and every tenth one 60 ms back.
        let ms = f64::from(n / 2) * 80.0 - if n % 10 == 9 { 60.0 } else { 0.0 };
        rig.unit(TrackKind::Video, ms, ms, n % 50 == 0);
        rig.unit(TrackKind::Audio, ms, ms, true);
    }
    check_order(&rig);
    let video = rendition(&rig, "source");
    assert!(video.len() > 300 && video.iter().all(|sample| sample.duration > 0.0));
}

#[test]
fn another_codec_configuration_gets_a_discontinuity_and_an_init_segment() {
    let mut rig = Rig::new(settings());
    rig.set_up();
    rig.play(FEED, 0.0, 0.0, 4.0);
    let change = |config: &'static [u8]| {
        LiveEvent::Setup(TrackSetup { config: Bytes::from_static(config), ..video_setup() })
    };
    rig.send(change(AVCC)); // the same again is nothing
    rig.send(change(OTHER_AVCC));
    rig.play(FEED, 0.0, 4.0, 8.0);
    rig.send(change(AVCC));
    rig.play(FEED, 0.0, 8.0, 12.5);
    check_order(&rig);
    let inits: Vec<(u32, bool)> = rig.segments("source").iter().map(|e| (e.init, e.discontinuity)).collect();
    let expected = [(0, false), (0, false), (1, true), (1, false), (0, true), (0, false)];
    assert_eq!(inits, expected);
    assert_eq!(times(&rig, "source")[2].1, 4.0, "the clock went on, so does the timeline");
    let init = rig.stream.rendition("source").unwrap().init(1).unwrap();
    assert!(init.windows(4).any(|bytes| bytes == [0x64, 0x00, 0x14, 0xff]));
}

#[test]
fn sound_that_falls_silent_is_replaced_by_silence() {
    let mut rig = Rig::new(settings());
    rig.set_up();
    rig.play(FEED, 0.0, 0.0, 5.0);
    rig.play(Feed { audio: false, ..FEED }, 0.0, 5.0, 15.0);
    assert_eq!(rig.segments("audio").len(), 6, "the playlists go on");
    assert!(rig.session.told.warnings[0].contains("silence"), "{:?}", rig.session.told.warnings);
    rig.play(FEED, 0.0, 15.0, 21.0);
    check_order(&rig);
    let audio = rendition(&rig, "audio");
    for sample in audio.iter().filter(|sample| sample.text.contains('.')) {
        let given = sample.text.parse::<f64>().unwrap() / 1000.0;
        assert!((sample.show - given).abs() < 0.022, "{sample:?}");
    }
    assert_eq!(rig.session.told.discontinuities, 0);
}

#[test]
fn surround_sound_that_falls_silent_is_replaced_by_silence_too() {
    let mut rig = Rig::new(settings());
    rig.send(LiveEvent::Setup(video_setup()));
    let six = TrackSetup { config: Bytes::from_static(&[0x11, 0xb0]), channels: 6, ..audio_setup() };
    rig.send(LiveEvent::Setup(six));
    rig.play(FEED, 0.0, 0.0, 5.0);
    rig.play(Feed { audio: false, ..FEED }, 0.0, 5.0, 12.0);
    rig.play(FEED, 0.0, 12.0, 16.5);
    check_order(&rig);
    let audio = rig.segments("audio");
    assert!(audio.iter().all(|entry| !entry.is_gap()), "{audio:?}");
    assert_eq!(audio.len(), rig.segments("source").len());
}

#[test]
fn sound_that_nothing_stands_in_for_is_a_gap_as_long_as_it_was_away() {
    let mut rig = Rig::new(settings());
    rig.send(LiveEvent::Setup(video_setup()));
    // AAC with a coding tool whose silence is not known (long-term prediction).
    let odd = TrackSetup { config: Bytes::from_static(&[0x21, 0x90]), ..audio_setup() };
    rig.send(LiveEvent::Setup(odd));
    rig.play(FEED, 0.0, 0.0, 5.0);
    rig.play(Feed { audio: false, ..FEED }, 0.0, 5.0, 11.0);
    rig.play(FEED, 0.0, 11.0, 16.5);
    let (audio, video) = (rig.segments("audio"), rig.segments("source"));
    let gaps: Vec<u32> = audio.iter().filter(|entry| entry.is_gap()).map(|entry| entry.number).collect();
    assert_eq!(gaps, [4, 5], "the segments that it has nothing of");
    for (sound, pictures) in audio.iter().zip(video.iter()) {
        assert_eq!(sound.number, pictures.number);
        let [start, end] = [sound.start_seconds(48_000), (sound.end()) as f64 / 48_000.0];
        let [from, to] = [pictures.start_seconds(90_000), pictures.end() as f64 / 90_000.0];
        assert!(sound.seconds(48_000) <= 2.5, "no longer than the target duration: {sound:?}");
        assert!((end - to).abs() < 0.03, "{sound:?} {pictures:?}");
        // Where it comes back it begins when it comes.
        let late = if sound.number == 6 { 1.03 } else { 0.03 };
        assert!(start - from < late && start - from > -0.03, "{sound:?} {pictures:?}");
    }
}

#[test]
fn pictures_that_freeze_are_held_until_they_come_back() {
    let mut rig = Rig::new(settings());
    rig.set_up();
    rig.play(FEED, 0.0, 0.0, 6.0);
    rig.play(Feed { video: false, ..FEED }, 0.0, 6.0, 16.0);
    let (video, audio) = (times(&rig, "source"), times(&rig, "audio"));
    assert!(video.last().unwrap().1 >= 12.0 && audio.len() >= 7, "the playlists go on: {video:?} {audio:?}");
    assert!(rig.session.told.warnings[0].contains("no pictures"), "{:?}", rig.session.told.warnings);
    // In the middle of a group of pictures: those that need what was lost are left out.
    rig.play(FEED, 0.0, 16.4, 24.5);
    check_order(&rig);
    assert!(times(&rig, "source").iter().all(|(.., discontinuity)| !discontinuity));
    let video = rendition(&rig, "source");
    let at = |seconds: f64| video.iter().rev().find(|read| read.show <= seconds + 1e-6).unwrap();
    assert_eq!(at(9.9).text, "4000.000", "the last key frame stands still");
    assert_eq!(at(17.9).text, "4000.000", "and does so until there is another");
    assert_eq!((at(18.0).text.as_str(), at(18.04).text.as_str()), ("18000.000", "18040.000"));
    assert!(
        video.iter().all(|read| read.duration <= 3.1),
        "no picture stands for longer than it takes to tell"
    );
    // Picture and sound go together before, while and after; the hole of 0.4 s in the sound is silence.
    let audio = rendition(&rig, "audio");
    assert!(audio.iter().all(|read| read.duration < 0.05), "no packet seems to last as long as the hole");
    for read in audio.iter().filter(|read| read.text.contains('.')) {
        assert!((read.show * 1000.0 - read.text.parse::<f64>().unwrap()).abs() < 22.0, "{read:?}");
    }
}

#[test]
fn a_publisher_that_is_silent_for_a_while_leaves_whole_segments() {
    let mut rig = Rig::new(settings());
    rig.set_up();
    rig.play(FEED, 0.0, 0.0, 5.0);
    rig.session.pause().unwrap();
    assert!(rig.stream.rendition("source").unwrap().window().open.is_none(), "viewers have all there is");
    assert_eq!(times(&rig, "source").len(), 3);
    // It goes on by the clock that it had.
    rig.now_ms += 15_000;
    rig.play(FEED, 0.0, 20.0, 26.5);
    check_order(&rig);
    let video = times(&rig, "source");
    assert!(video[3].2 && (video[3].1 - 20.0).abs() < 0.2, "{video:?}");
}

#[test]
fn a_wall_clock_that_is_set_while_the_server_is_down_moves_no_time_that_was_told() {
    const HOUR: u64 = 3_600_000;
    for (first, second) in [(HOUR as i64, -(HOUR as i64)), (-(HOUR as i64), HOUR as i64)] {
        let mut rig = Rig::new(LiveSettings { record: true, ..settings() });
        rig.now_ms = 2 * HOUR;
        rig.set_up();
        rig.play(FEED, 0.0, 0.0, 6.5);
        let before = (rig.stream.live().unwrap(), rig.segments("source").to_vec());
        for jump in [first, second] {
            rig.restart(LiveSettings { record: true, ..settings() });
            rig.stream.clock().set(WALL_MS + rig.now_ms.saturating_add_signed(jump));
            rig.now_ms = rig.now_ms.saturating_add_signed(jump) + 1000;
            rig.set_up();
            rig.play(FEED, 0.0, 0.0, 6.5);
        }
        check_order(&rig);
        let (live, segments) = before;
        assert_eq!(rig.stream.live().unwrap().started_ms, live.started_ms, "the beginning never moves");
        let after = rig.segments("source");
        assert_eq!(&after[..segments.len()], &segments[..]);
        for entry in after.iter() {
            let told = live.started_ms + entry.start / 90;
            assert!(entry.wall_ms.unwrap().abs_diff(told) <= 1, "one clock for the whole stream: {entry:?}");
        }
        let edge = live.started_ms + rig.session.edge_ns() / 1_000_000;
        let now = rig.stream.clock().now_ms();
        assert!(now.abs_diff(edge) < 60_000, "who asks for the stream's time finds its edge: {now} {edge}");
    }
}

#[test]
fn a_killed_server_goes_on_with_a_discontinuity() {
    let mut rig = Rig::new(LiveSettings { record: true, ..settings() });
    rig.set_up();
    rig.play(FEED, 0.0, 0.0, 7.3);
    let before = rig.stream.live().unwrap();
    rig.restart(LiveSettings { record: true, ..settings() });
    let last = *rig.segments("source").last().unwrap();
    assert_eq!(last.number, 4);
    let kept = last.end() as f64 / 90_000.0;
    assert!(kept > 7.3 - 0.6, "at most a part is lost: {kept}");
    assert_eq!(rig.segments("audio").last().unwrap().number, 4);
    rig.now_ms += 5000;
    rig.set_up();
    rig.play(FEED, 1_000_000.0, 0.0, 5.0);
    check_order(&rig);
    assert_eq!(rig.stream.live().unwrap(), before, "the beginning never moves");
    let video = times(&rig, "source");
    assert!(video[4].2 && (video[4].1 - 12.3).abs() < 0.1, "{video:?}");
    rig.session.disconnect().unwrap();
    rig.stream.complete_live().unwrap();
    assert_eq!(times(&rig, "source").first().unwrap().0, 1);
    assert!(rig.stream.is_complete());
}

#[test]
fn a_rendition_that_lost_more_than_the_other_lists_gaps() {
    let mut rig = Rig::new(settings());
    rig.set_up();
    rig.play(FEED, 0.0, 0.0, 7.0);
    rig.stream.flush_live();
    // The sound's last segments never got to the disk.
    let folder = rig.dir.path().join("streams/s/audio");
    std::fs::remove_file(folder.join("00003.m4s")).unwrap();
    rig.restart(settings());
    assert_eq!(rig.segments("audio").len(), 2);
    rig.set_up();
    rig.play(FEED, 0.0, 0.0, 5.0);
    check_order_of_numbers(&rig);
    let gaps: Vec<u32> = rig.segments("audio").iter().filter(|e| e.is_gap()).map(|e| e.number).collect();
    assert_eq!(gaps, [3, 4]);
    assert!(rig.stream.segment_bytes("audio", 3).is_err());
    rig.restart(settings());
    assert_eq!(rig.segments("audio").iter().filter(|e| e.is_gap()).count(), 2, "gaps are remembered");
}

#[test]
fn sound_that_was_gone_comes_back_as_it_was_with_another_set_up() {
    const OTHER_ASC: &[u8] = &[0x12, 0x10]; // 44.1 kHz
    for restarted in [false, true] {
        let mut rig = Rig::new(settings());
        rig.set_up();
        rig.play(FEED, 0.0, 0.0, 6.0);
        rig.session.disconnect().unwrap();
        let before = rig.segments("audio");
        let first_init = rig.stream.rendition("audio").unwrap().init(0).unwrap();
        rig.now_ms += 1000;
        rig.send(LiveEvent::Setup(video_setup()));
        rig.play(Feed { audio: false, ..FEED }, 0.0, 0.0, 6.0);
        rig.session.disconnect().unwrap();
        assert!(rig.stream.rendition("audio").is_none());
        let retired = rig.stream.retired_rendition("audio").unwrap();
        assert_eq!((retired.segment(2), retired.init(0)), (Some(before[1]), Some(first_init.clone())));
        if restarted {
            rig.restart(settings());
        }
        rig.now_ms += 1000;
        rig.send(LiveEvent::Setup(video_setup()));
        let config = Bytes::from_static(OTHER_ASC);
        rig.send(LiveEvent::Setup(TrackSetup { config, sample_rate: 44_100, ..audio_setup() }));
        rig.play(Feed { sample_rate: 44_100.0, ..FEED }, 0.0, 0.0, 6.0);
        rig.session.disconnect().unwrap();
        let audio = rig.stream.rendition("audio").unwrap();
        // What caches keep for ever under this name is still what it was.
        assert_eq!(
            (audio.init(0), audio.inits().len(), audio.info().timescale),
            (Some(first_init), 2, 48_000)
        );
        let (sound, pictures) = (rig.segments("audio"), rig.segments("source"));
        assert_eq!(sound[..before.len()], before[..]);
        let broken = |entries: &[crate::store::SegmentEntry]| -> Vec<u32> {
            entries.iter().filter(|entry| entry.discontinuity).map(|entry| entry.number).collect()
        };
        assert_eq!(broken(&sound), broken(&pictures), "what it missed breaks where the others do");
        assert_eq!(broken(&sound).len(), 2);
        let last = sound.last().unwrap();
        assert_eq!((last.init, last.number), (1, pictures.last().unwrap().number));
        let (sound, pictures) =
            (last.end() as f64 / 48_000.0, pictures.last().unwrap().end() as f64 / 90_000.0);
        assert!((sound - pictures).abs() < 0.1, "{sound} {pictures}");
        assert!(rig.stream.retired_rendition("audio").is_none());
    }
}

fn check_order_of_numbers(rig: &Rig) {
    for name in ["source", "audio"] {
        assert!(rig.segments(name).windows(2).all(|pair| pair[1].number == pair[0].number + 1));
    }
}

#[test]
fn hostile_set_ups_are_refused_with_a_reason() {
    let mut rig = Rig::new(settings());
    let mut refused = 0;
    for seed in AVCC {
        for at in 0..AVCC.len() {
            for codec in [Codec::Avc, Codec::Hevc, Codec::Av1, Codec::Aac, Codec::Opus] {
                let mut config = AVCC[..=at].to_vec();
                config[at / 2] ^= seed;
                let setup = TrackSetup { kind: codec.kind(), codec, config: config.into(), ..video_setup() };
                refused += usize::from(check_setup(&setup).is_err());
                rig.send(LiveEvent::Setup(setup));
            }
        }
    }
    assert!(refused > 1000);
    let wrong = TrackSetup { kind: TrackKind::Audio, ..video_setup() };
    assert!(check_setup(&wrong).unwrap_err().to_string().contains("wrong kind"));
    assert!(rig.session.told.warnings.len() <= 20);
    // And a good one works after all that.
    rig.set_up();
    rig.play(FEED, 0.0, 0.0, 5.0);
    assert_eq!(rig.segments("source").len(), 2);
}
