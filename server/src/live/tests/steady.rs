//! Streams whose publisher keeps time.

use super::read::{boxes, rendition, samples};
use super::*;
use crate::package::init_delay;

fn lengths(rig: &Rig, name: &str) -> Vec<f64> {
    let timescale = rig.stream.rendition(name).unwrap().info().timescale;
    rig.segments(name).iter().map(|entry| entry.seconds(timescale)).collect()
}

#[test]
fn picture_and_sound_are_cut_together_into_segments_and_parts() {
    let mut rig = Rig::new(settings());
    rig.set_up();
    rig.play(FEED, 777_000.0, 0.0, 11.0);
    let live = rig.stream.live().unwrap();
    assert_eq!((live.target_s, live.part_ms, live.segment_ms), (2, 500, 2000));
    let names: Vec<String> = rig.stream.renditions().iter().map(|r| r.name().to_owned()).collect();
    assert_eq!(names, ["source", "audio"]);
    assert!(rig.stream.edge().borrow().playable());
    for name in ["source", "audio"] {
        let lengths = lengths(&rig, name);
        assert_eq!(lengths.len(), 5, "{name} {lengths:?}");
        assert!(lengths.iter().all(|length| (length - 2.0).abs() < 0.0214), "{name} {lengths:?}");
        let window = rig.stream.rendition(name).unwrap().window();
        let timescale = f64::from(rig.stream.rendition(name).unwrap().info().timescale);
        assert_eq!(window.open.unwrap().number, 6, "{name}");
        for segment in window.segments.iter().rev().take(3) {
            let parts: Vec<_> = window.parts_of(segment.number).collect();
            for (index, part) in parts.iter().enumerate() {
                let ms = part.duration as f64 * 1000.0 / timescale;
                let last = index + 1 == parts.len();
                assert!(ms <= 500.0 + 1e-9 && (last || ms >= 425.0), "{name} part {index}: {ms}");
                assert_eq!(part.independent, name == "audio" || index == 0);
            }
            // A segment is its parts, one after the other, each one chunk.
            let joined: Vec<u8> = parts
                .iter()
                .flat_map(|part| {
                    rig.stream.rendition(name).unwrap().part_bytes(segment.number, part.index).unwrap()
                })
                .collect();
            assert_eq!(rig.stream.segment_bytes(name, segment.number).unwrap(), joined);
            let kinds: Vec<String> = boxes(&joined).into_iter().map(|(kind, ..)| kind).collect();
            assert_eq!(kinds[..4], ["styp", "prft", "moof", "mdat"]);
            assert_eq!(kinds.iter().filter(|kind| *kind == "moof").count(), parts.len());
            let wall = segment.wall_ms.unwrap() - live.started_ms;
            assert!((wall as f64 - segment.start as f64 * 1000.0 / timescale).abs() <= 1.0);
        }
    }
    // Same numbers begin at the same moment, within one AAC frame.
    for (video, audio) in rig.segments("source").iter().zip(rig.segments("audio").iter()) {
        let apart = audio.start as f64 / 48_000.0 - video.start as f64 / 90_000.0;
        assert!((-0.0005..0.0219).contains(&apart), "segment {}: {apart}", video.number);
    }
    assert_eq!(live.started_ms / 100, WALL_MS / 100, "the beginning is when the first unit came");
    let video = rendition(&rig, "source");
    let given: Vec<String> = (0..250).map(|n| format!("{:.3}", 777_000.0 + f64::from(n) * 40.0)).collect();
    assert_eq!(video.iter().map(|sample| sample.text.clone()).collect::<Vec<_>>(), given, "nothing is lost");
}

#[test]
fn streams_of_sound_or_pictures_alone_work() {
    for (video, audio, name, other) in [(true, false, "source", "audio"), (false, true, "audio", "source")] {
        let mut rig = Rig::new(settings());
        rig.send(LiveEvent::Setup(if video { video_setup() } else { audio_setup() }));
        rig.play(Feed { video, audio, ..FEED }, 0.0, 0.0, 13.0);
        assert!(rig.stream.rendition(other).is_none());
        let lengths = lengths(&rig, name);
        assert!((5..=6).contains(&lengths.len()), "{name} {lengths:?}");
        assert!(lengths.iter().all(|length| (length - 2.0).abs() < 0.022), "{lengths:?}");
        assert_eq!(rig.stream.live().unwrap().target_s, 2);
        assert_eq!(rendition(&rig, name)[0].text, "0.000", "nothing of the beginning is lost");
    }
}

#[test]
fn a_sound_track_that_was_promised_and_does_not_come_is_not_waited_for() {
    let mut rig = Rig::new(settings());
    rig.set_up();
    rig.play(Feed { audio: false, ..FEED }, 0.0, 0.0, 7.0);
    assert_eq!(rig.segments("source").len(), 3);
    assert!(rig.stream.rendition("audio").is_none());
    assert!(rig.stream.edge().borrow().playable());
    // It comes after all.
    rig.play(FEED, 0.0, 7.0, 15.0);
    let audio = rig.segments("audio");
    let first = audio.first().unwrap();
    assert!(first.number >= 4, "it joins at a boundary: {}", first.number);
    let video = rig.segments("source");
    let same = video.iter().find(|entry| entry.number == first.number).unwrap();
    assert!((first.start as f64 / 48_000.0 - same.start as f64 / 90_000.0).abs() < 0.022);
}

#[test]
fn reordered_pictures_keep_their_presentation_times() {
    let mut rig = Rig::new(settings());
    rig.set_up();
    // I P B B in decode order, 40 ms each, presentation 80 ms behind.
    let shown = [0, 3, 1, 2];
    for n in 0..600_u32 {
        let (group, place) = (n / 4, n % 4);
        let dts = f64::from(n) * 40.0;
        let pts = 80.0 + f64::from(group * 4 + shown[place as usize]) * 40.0;
        rig.unit(TrackKind::Video, dts, pts, n % 48 == 0);
        rig.unit(TrackKind::Audio, pts.min(dts), pts.min(dts), true);
    }
    let video = rendition(&rig, "source");
    assert!(video.len() > 500);
    for (n, sample) in (0_u32..).zip(&video) {
        let pts = 80.0 + f64::from(n / 4 * 4 + shown[(n % 4) as usize]) * 40.0;
        // The first key frame's presentation is the timeline's 0.
        assert!((sample.show * 1000.0 - (pts - 80.0)).abs() < 1e-6, "frame {n}: {sample:?}");
    }
    let delay = init_delay(&rig.stream.rendition("source").unwrap().init(0).unwrap());
    assert_eq!(delay, 82 * 90, "two pictures, and what rounding to milliseconds may add");
    for entry in rig.segments("source").iter() {
        let bytes = rig.stream.segment_bytes("source", entry.number).unwrap();
        let first = &samples(&bytes, 90_000.0, delay)[0];
        assert!((first.show - first.decode).abs() < 1e-9, "a segment begins with what it shows first");
    }
    let audio = rendition(&rig, "audio");
    let first: f64 = audio[0].text.parse().unwrap();
    assert!(
        (audio[0].show * 1000.0 - (first - 80.0)).abs() < 1.0,
        "sound keeps its distance: {:?}",
        audio[0]
    );
}

/// Farthest that any written time is from the publisher's, in seconds.
fn worst(rig: &Rig, name: &str, origin_ms: f64) -> f64 {
    rendition(rig, name)
        .iter()
        .map(|sample| (sample.show - (sample.text.parse::<f64>().unwrap() - origin_ms) / 1000.0).abs())
        .fold(0.0, f64::max)
}

#[test]
fn an_hour_of_milliseconds_does_not_drift() {
    // 44.1 kHz and 29.97 frames a second come in whole milliseconds; only the last two minutes stay listed.
    let feed = Feed { frame_rate: 30_000.0 / 1001.0, gop: 60, sample_rate: 44_100.0, ..FEED };
    let mut rig = Rig::new(LiveSettings { window_s: 120, ..settings() });
    let sound =
        TrackSetup { config: Bytes::from_static(&[0x12, 0x10]), sample_rate: 44_100, ..audio_setup() };
    rig.send(LiveEvent::Setup(TrackSetup { frame_rate: None, ..video_setup() }));
    rig.send(LiveEvent::Setup(sound));
    rig.play(feed, 5000.0, 0.0, 3600.0);
    assert_eq!(rig.session.told.dropped, 0);
    assert_eq!(rig.session.told.discontinuities, 0);
    let last = rig.segments("source").last().copied().unwrap();
    assert!(last.end() as f64 / 90_000.0 > 3590.0);
    assert_eq!(rig.segments("audio").last().unwrap().number, last.number);
    for name in ["source", "audio"] {
        let worst = worst(&rig, name, 5000.0);
        assert!(worst < 0.021, "{name} is off by {worst} s after an hour");
    }
}

#[test]
fn a_sound_card_that_runs_fast_is_followed() {
    // 300 ppm: a second an hour. Ten minutes are 180 ms.
    let mut rig = Rig::new(LiveSettings { window_s: 60, ..settings() });
    rig.set_up();
    rig.play(Feed { sample_rate: 48_000.0 * 1.0003, ..FEED }, 0.0, 0.0, 600.0);
    assert_eq!(rig.session.told.dropped, 0);
    let worst = worst(&rig, "audio", 0.0);
    assert!(worst < 0.025, "the sound is off by {worst} s");
}

#[test]
fn parts_are_whole_frames_when_frames_are_long() {
    let mut rig = Rig::new(settings());
    rig.send(LiveEvent::Setup(TrackSetup { frame_rate: Some((5, 1)), ..video_setup() }));
    rig.play(Feed { audio: false, frame_rate: 5.0, gop: 10, ..FEED }, 0.0, 0.0, 9.0);
    let target = f64::from(rig.stream.live().unwrap().part_ms);
    let window = rig.stream.rendition("source").unwrap().window();
    for part in window.parts.iter() {
        let ms = part.duration as f64 / 90.0;
        assert!(ms <= target && ms >= target * 0.85, "{ms} of {target}");
    }
    assert!(window.parts.len() > 8);
}

#[test]
fn a_gop_of_ten_seconds_makes_segments_of_ten_seconds() {
    let mut rig = Rig::new(settings());
    rig.set_up();
    rig.play(Feed { gop: 250, ..FEED }, 0.0, 0.0, 41.0);
    assert_eq!(rig.stream.live().unwrap().target_s, 10);
    assert!(lengths(&rig, "source").iter().all(|length| (length - 10.0).abs() < 0.05));
    assert!(rig.session.told.warnings.is_empty(), "{:?}", rig.session.told.warnings);
    // Then none for a minute: the target duration is kept, and said why that is bad.
    rig.play(Feed { gop: 100_000, ..FEED }, 0.0, 41.0, 90.0);
    assert!(lengths(&rig, "source").iter().all(|length| *length < 10.5));
    assert!(rig.session.told.warnings[0].contains("key frame interval"), "{:?}", rig.session.told.warnings);
}

#[test]
fn a_segment_that_had_to_begin_without_a_key_frame_is_told_apart_also_after_a_restart() {
    let mut rig = Rig::new(settings());
    rig.set_up();
    rig.play(FEED, 0.0, 0.0, 8.0);
    // From here on key frames come every 8 s, and the target duration is 2 s.
    rig.play(Feed { gop: 200, ..FEED }, 0.0, 8.0, 33.0);
    let flags = |rig: &Rig| -> Vec<(u64, bool)> {
        rig.segments("source").iter().map(|entry| (entry.start / 90, entry.independent)).collect()
    };
    let told = flags(&rig);
    for (start_ms, independent) in &told {
        let on_key = if *start_ms <= 8000 { start_ms % 2000 == 0 } else { start_ms % 8000 == 0 };
        assert_eq!(*independent, on_key, "{told:?}");
    }
    assert!(told.iter().filter(|(_, independent)| !independent).count() > 5, "{told:?}");
    assert!(rig.segments("audio").iter().all(|entry| entry.independent));
    let window = rig.stream.rendition("source").unwrap().window();
    for part in window.parts.iter() {
        let begins = window.parts_of(part.segment).next().map(|first| first.index) == Some(part.index);
        assert!(!part.independent || begins || part.start % (8 * 90_000) == 0, "{part:?}");
    }
    rig.restart(settings());
    assert_eq!(flags(&rig)[..told.len()], told[..]);
}

#[test]
fn pictures_whose_sound_is_far_ahead_from_the_start_keep_their_distances() {
    let mut rig = Rig::new(settings());
    rig.set_up();
    // The sound is 2 s further whenever a picture comes, which comes first.
    for n in 0..200_u32 {
        let at = f64::from(n) * 40.0;
        rig.now_ms = u64::from(n) * 40;
        rig.unit(TrackKind::Video, at, at, n % 50 == 0);
        for packet in n * 15 / 8..(n + 1) * 15 / 8 {
            let sound = 2000.0 + f64::from(packet) * 64.0 / 3.0;
            rig.unit(TrackKind::Audio, sound, sound, true);
        }
    }
    rig.session.disconnect().unwrap();
    let pictures = rendition(&rig, "source");
    assert_eq!(pictures.len(), 200, "none is repeated");
    for read in &pictures {
        assert!((read.duration - 0.04).abs() < 0.002, "{read:?}");
        assert!((read.show * 1000.0 - read.text.parse::<f64>().unwrap()).abs() < 2.0, "{read:?}");
    }
    assert_eq!(rig.session.told.warnings, Vec::<String>::new());
}
