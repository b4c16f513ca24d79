//! Publishers whose pictures come unevenly: screens that are captured, phones, browsers.

mod media;

use self::media::{Coded, av1_units, codec, decode, decode_av1, encode};
use super::read::samples;
use super::*;
use crate::package::{Repeater, VideoConfig, init_delay};
use crate::store::chunks;

const X264: &str = "x264enc speed-preset=veryfast pass=quant quantizer=22 threads=1 b-adapt=false option-string=scenecut=0 \
                    key-int-max=1000";

const AV1: &str = "av1enc cpu-used=8 threads=1 lag-in-frames=0 usage-profile=realtime keyframe-max-dist=1000 \
                   target-bitrate=4000 end-usage=vbr max-quantizer=20";

/// When pictures come, in milliseconds.
fn patterns() -> Vec<(&'static str, Vec<i64>)> {
    let steps = |steps: &[i64]| -> Vec<i64> {
        steps.iter().scan(0, |at, step| Some(std::mem::replace(at, *at + step))).collect()
    };
    let mut seed = 7_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((seed >> 33) % below) as i64
    };
    let uneven: Vec<i64> = (0..60).map(|_| 5 + random(430)).collect();
    let jitter: Vec<i64> = (0..120).map(|n| n * 83 + if n == 0 { 0 } else { random(25) }).collect();
    let mut freeze = vec![33; 50];
    freeze.extend([3000]);
    freeze.extend([33; 60]);
    freeze.extend([1400]);
    freeze.extend([33; 31]);
    let mut faster = vec![133; 40];
    faster.extend([17; 180]);
    faster.extend([1000; 5]);
    vec![
        ("one a second", (0..14).map(|n| n * 1000).collect()),
        ("one every four seconds", (0..5).map(|n| n * 4000).collect()),
        ("uneven", steps(&uneven)),
        ("with jitter", jitter),
        ("frozen", steps(&freeze)),
        ("slow, fast, slow", steps(&faster)),
    ]
}

/// A publisher's pictures and sound, both in the order of their decode times.
fn publish(rig: &mut Rig, codec: Codec, config: &Bytes, pictures: &[Coded]) {
    let setup = TrackSetup { codec, config: config.clone(), frame_rate: Some((30, 1)), ..video_setup() };
    rig.send(LiveEvent::Setup(setup));
    rig.send(LiveEvent::Setup(audio_setup()));
    let mut packets = 0_u32;
    for picture in pictures {
        loop {
            let sound = f64::from(packets) * 1024.0 / 48.0;
            if sound > picture.dts_ms as f64 {
                break;
            }
            rig.unit(TrackKind::Audio, sound, sound, true);
            packets += 1;
        }
        send(rig, picture);
    }
}

fn send(rig: &mut Rig, picture: &Coded) {
    let ns = |ms: i64| ms * 1_000_000;
    let Coded { dts_ms, pts_ms, key, ref data } = *picture;
    let data = data.clone();
    let unit = LiveUnit { kind: TrackKind::Video, dts_ns: ns(dts_ms), pts_ns: ns(pts_ms), key, data };
    rig.send(LiveEvent::Unit(unit));
}

/// Every part's length is what RFC 8216bis, 4.4.4.9 asks for, and every segment's what 4.4.3.1 does. Gives the number of
/// parts.
fn check_parts(rig: &Rig, name: &str, what: &str) -> usize {
    let live = rig.stream.live().unwrap();
    let target = f64::from(live.part_ms);
    let rendition = rig.stream.rendition(name).unwrap();
    let timescale = f64::from(rendition.info().timescale);
    let mut count = 0;
    for entry in rendition.segments().iter() {
        let seconds = entry.seconds(rendition.info().timescale);
        assert!(
            seconds.round() <= f64::from(live.target_s),
            "{what}: {name} {} of {seconds} s",
            entry.number
        );
        let parts = chunks(&rig.stream.segment_bytes(name, entry.number).unwrap());
        for (index, part) in parts.iter().enumerate() {
            let ms: f64 = samples(part, timescale, 0).iter().map(|sample| sample.duration * 1000.0).sum();
            let last = index + 1 == parts.len();
            let number = entry.number;
            assert!(ms <= target + 1e-6, "{what}: {name} {number}.{index} of {} lasts {ms}", parts.len());
            assert!(
                last || ms >= target * 0.85,
                "{what}: {name} {number}.{index} of {} lasts {ms}",
                parts.len()
            );
            count += 1;
        }
    }
    count
}

/// Init segment and segments as one file.
fn file(rig: &Rig, name: &str) -> Vec<u8> {
    let rendition = rig.stream.rendition(name).unwrap();
    let mut file = rendition.init(0).unwrap().to_vec();
    for entry in rendition.segments().iter() {
        file.extend_from_slice(&rig.stream.segment_bytes(name, entry.number).unwrap());
    }
    file
}

/// Samples of a rendition.
fn count(rig: &Rig, name: &str) -> usize {
    let rendition = rig.stream.rendition(name).unwrap();
    let delay = init_delay(&rendition.init(0).unwrap());
    samples(&file(rig, name)[rendition.init(0).unwrap().len()..], 90_000.0, delay).len()
}

/// Every segment that begins with a key frame begins when that is shown, as those of encoded rungs do, which know no other
/// times; where the publisher holds back for longer than the init segment takes off, before that. Gives the number of those
/// that are exact.
fn check_lengths(rig: &Rig, what: &str) -> usize {
    let rendition = rig.stream.rendition("source").unwrap();
    let delay = init_delay(&rendition.init(0).unwrap());
    let mut exact = 0;
    let mut ended = None;
    for entry in rendition.segments().iter() {
        let bytes = rig.stream.segment_bytes("source", entry.number).unwrap();
        let read = samples(&bytes, 90_000.0, delay);
        let (start, end) = (entry.start_seconds(90_000), entry.end() as f64 / 90_000.0);
        if entry.independent {
            let shown = read.first().unwrap().show;
            assert!(shown > start - 0.003, "{what}: {} begins at {start}, shows {shown}", entry.number);
            exact += usize::from(shown < start + 0.003);
        }
        assert!(ended.is_none_or(|ended: f64| (ended - start).abs() < 0.002), "{what}: {ended:?} {start}");
        ended = Some(end);
    }
    exact
}

/// Every pattern through one encoder: parts keep to the target, and at every moment there is to be seen what the publisher
/// showed then.
fn check(encoder: &str, launch: &str) {
    let mut tried = 0;
    for (pattern, times) in patterns() {
        let what = format!("{encoder}, {pattern}");
        let (config, pictures) = encode(launch, &times, 2000);
        if pictures[0].pts_ms - pictures[0].dts_ms > 5000 {
            continue; // is taken for a mistake of the publisher's
        }
        tried += 1;
        let mut rig = Rig::new(settings());
        publish(&mut rig, codec(launch), &config, &pictures);
        rig.session.disconnect().unwrap();
        assert_eq!(rig.session.told.discontinuities, 0, "{what}");
        let parts = check_parts(&rig, "source", &what);
        check_parts(&rig, "audio", &what);
        check_lengths(&rig, &what);
        let seconds = times[times.len() - 1] as f64 / 1000.0;
        assert!(parts as f64 > (seconds * 2.0).floor() - 1.0, "{what}: {parts} parts");
        let shown = decode(codec(launch), file(&rig, "source"));
        assert_eq!(shown.len(), count(&rig, "source"), "{what}: every sample is a picture");
        for pair in shown.windows(2) {
            assert!(pair[0].0 <= pair[1].0, "{what}: shown in another order: {pair:?}");
        }
        let mut seen = vec![false; times.len()];
        for (at, number) in &shown {
            // Stamps are rounded to milliseconds.
            let wanted = times.iter().rposition(|time| *time <= at + 2).unwrap();
            assert_eq!(*number as usize, wanted, "{what}: at {at} ms of {shown:?}");
            seen[wanted] = true;
        }
        assert!(seen.iter().all(|seen| *seen), "{what}: {seen:?}");
    }
    assert!(tried >= 4, "{encoder}: {tried} patterns");
}

#[test]
fn segments_of_reordered_pictures_that_come_faster_begin_when_they_are_shown() {
    // 7.5 a second, later 30: what is held back gets shorter.
    let times: Vec<i64> = (0..40).map(|n| n * 133).chain((0..240).map(|n| 5320 + n * 33)).collect();
    let (config, pictures) = encode(&format!("{X264} bframes=2 b-pyramid=false"), &times, 2000);
    assert!(pictures[0].pts_ms - pictures[0].dts_ms > 100, "they are reordered");
    let mut rig = Rig::new(settings());
    publish(&mut rig, Codec::Avc, &config, &pictures);
    rig.session.disconnect().unwrap();
    let all = rig.segments("source").len();
    assert_eq!((check_lengths(&rig, "faster"), check_parts(&rig, "source", "faster") > 20), (all, true));
}

/// Milliseconds of pictures that are listed.
fn listed(rig: &Rig) -> i64 {
    let window = rig.stream.rendition("source").map(|rendition| rendition.window());
    let last = window.and_then(|window| window.parts.last().map(|part| part.start + part.duration));
    last.map_or(0, |ticks| (ticks / 90) as i64)
}

/// 2.5 s of 30 pictures a second, then three seconds of nothing, then a picture that needs the last one.
fn pausing() -> (Bytes, Vec<Coded>) {
    let times: Vec<i64> = (0..75).map(|n| n * 1000 / 30).chain([5500, 5533, 5566]).collect();
    encode(&format!("{X264} tune=zerolatency bframes=0"), &times, 2000)
}

#[test]
fn parts_come_while_pictures_do_not_and_the_sound_goes_on() {
    let (config, pictures) = pausing();
    let mut rig = Rig::new(settings());
    rig.send(LiveEvent::Setup(TrackSetup { config, ..video_setup() }));
    rig.send(LiveEvent::Setup(audio_setup()));
    let mut pictures = pictures.iter().peekable();
    for packet in 0..258 {
        let sound = f64::from(packet) * 1024.0 / 48.0;
        while let Some(picture) = pictures.next_if(|picture| picture.dts_ms as f64 <= sound) {
            send(&mut rig, picture);
        }
        rig.unit(TrackKind::Audio, sound, sound, true);
        // A part, what a picture may be late, and what is not believed at first.
        let most = if sound < 3000.0 { 1300.0 } else { 850.0 };
        assert!(sound - listed(&rig) as f64 <= most, "at {sound} ms {} are listed", listed(&rig));
    }
    assert!(pictures.peek().is_some(), "they come later");
    for picture in pictures {
        send(&mut rig, picture);
    }
    rig.session.disconnect().unwrap();
    check_parts(&rig, "source", "pausing");
    let shown = decode(Codec::Avc, file(&rig, "source"));
    assert_eq!(
        shown.iter().rev().map(|(_, number)| *number).take(2).collect::<Vec<_>>(),
        [77, 76],
        "{shown:?}"
    );
    assert!(
        rig.session.told.warnings.iter().all(|text| !text.contains("no pictures")),
        "{:?}",
        rig.session.told
    );
}

#[test]
fn parts_come_while_nothing_does_by_the_wall_clock() {
    let (config, pictures) = pausing();
    let mut rig = Rig::new(settings());
    rig.send(LiveEvent::Setup(TrackSetup { config, ..video_setup() }));
    let mut pictures = pictures.iter().peekable();
    for now in 0..5500 {
        rig.now_ms = now as u64;
        while let Some(picture) = pictures.next_if(|picture| picture.dts_ms <= now) {
            send(&mut rig, picture);
        }
        let wall = WALL_MS + rig.now_ms;
        if rig.session.due_ms().is_some_and(|due| due <= wall) {
            rig.session.tick(wall).unwrap();
            assert!(rig.session.due_ms().is_none_or(|due| due > wall), "once");
        }
        let most = if now < 3000 { 1300 } else { 850 };
        assert!(
            now - listed(&rig) <= most,
            "at {now} ms {} are listed, {:?}",
            listed(&rig),
            rig.session.due_ms()
        );
    }
    pictures.for_each(|picture| send(&mut rig, picture));
    rig.session.disconnect().unwrap();
    check_parts(&rig, "source", "pausing");
    let shown = decode(Codec::Avc, file(&rig, "source"));
    assert_eq!(
        shown.iter().rev().map(|(_, number)| *number).take(3).collect::<Vec<_>>(),
        [77, 76, 75],
        "{shown:?}"
    );
}

#[test]
fn pictures_that_come_behind_what_stood_in_for_them_cut_no_segments() {
    let times: Vec<i64> = (0..250).map(|n| n * 40).collect();
    let (config, pictures) = encode(&format!("{X264} tune=zerolatency bframes=0"), &times, 2000);
    let mut rig = Rig::new(settings());
    rig.send(LiveEvent::Setup(TrackSetup { config, ..video_setup() }));
    rig.send(LiveEvent::Setup(audio_setup()));
    let mut packets = 0_u32;
    for picture in &pictures {
        // From the fourth second on the sound is 1.2 s ahead all of a sudden.
        let ahead = if picture.dts_ms < 4000 { 0.0 } else { 1200.0 };
        while f64::from(packets) * 64.0 / 3.0 <= picture.dts_ms as f64 + ahead {
            let at = f64::from(packets) * 64.0 / 3.0;
            rig.unit(TrackKind::Audio, at, at, true);
            packets += 1;
        }
        send(&mut rig, picture);
    }
    rig.session.disconnect().unwrap();
    let timescale = rig.stream.rendition("source").unwrap().info().timescale;
    let lengths: Vec<f64> = rig.segments("source").iter().map(|entry| entry.seconds(timescale)).collect();
    assert!(lengths.len() <= 6, "{lengths:?}");
    let shown = decode(Codec::Avc, file(&rig, "source"));
    assert_eq!(shown.last().map(|(_, number)| *number), Some(249));
}

#[test]
fn every_picture_of_av1_is_shown_again_and_nothing_else_changes() {
    let units = av1_units();
    let config = {
        // The first unit begins with a sequence header of main profile, 4:2:0.
        let length = 2 + usize::from(units[0][1]);
        [&[0x81, 0, 0x0c, 0], &units[0][..length]].concat()
    };
    let config = VideoConfig::from_av1c(64, 64, &config).unwrap();
    let mut repeater = Repeater::new(&config).expect("these can be repeated");
    let (mut doubled, mut last) = (Vec::new(), None);
    for (at, unit) in (0_i64..).zip(&units) {
        repeater.see(at * 3600, unit);
        assert_eq!(repeater.repeat_before(at * 3600), last, "before {at}");
        assert_eq!(repeater.repeat(at * 3600 - 1), None, "it is not shown yet");
        let again = repeater.repeat(at * 3600 + 900).unwrap_or_else(|| panic!("{at} cannot be repeated"));
        let key = unit[0] == 0x0a;
        assert_eq!((again.pts, again.key), (at * 3600 + 900, key));
        assert!(key || again.data.len() < 60, "{at}: {} bytes", again.data.len());
        doubled.extend([unit.clone(), again.data.clone(), again.data]);
        last = repeater.repeat((at + 1) * 3600);
    }
    let (plain, doubled) = (decode_av1(&units), decode_av1(&doubled));
    assert_eq!((plain.len(), doubled.len()), (units.len(), units.len() * 3));
    for (at, shown) in doubled.iter().enumerate() {
        assert!(*shown == plain[at / 3], "picture {} of unit {}", at % 3, at / 3);
    }
    let changes = plain.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes > 6, "the pictures differ: {changes}");
}

#[test]
fn who_sends_pictures_unevenly_that_cannot_be_repeated_is_told() {
    // A configuration of HEVC; nothing looks into its pictures.
    let config = Bytes::from_static(&[
        1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93, 0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f, 3, 0xa0,
        0, 1, 0, 3, 0x40, 1, 12, 0xa1, 0, 1, 0, 3, 0x42, 1, 1, 0xa2, 0, 1, 0, 3, 0x44, 1, 0xc1,
    ]);
    let warnings = |step: fn(u32) -> u32| {
        let mut rig = Rig::new(settings());
        rig.send(LiveEvent::Setup(TrackSetup {
            codec: Codec::Hevc,
            config: config.clone(),
            ..video_setup()
        }));
        let mut at = 0;
        for n in 0..100 {
            rig.unit(TrackKind::Video, at.into(), at.into(), n % 25 == 0);
            at += step(n);
        }
        std::mem::take(&mut rig.session.told.warnings)
    };
    assert_eq!(warnings(|_| 40), Vec::<String>::new());
    let told = warnings(|n| if n % 10 == 9 { 700 } else { 40 });
    let told: Vec<_> = told.iter().filter(|text| text.contains("unevenly")).collect();
    assert!(told.len() == 1 && told[0].contains("HEVC"), "{told:?}");
}

#[test]
fn nothing_that_a_publisher_sends_makes_repetitions_panic_or_grow() {
    let times: Vec<i64> = (0..30).map(|n| n * 100).collect();
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 48) as usize
    };
    let x264 = |options| format!("{X264} {options}");
    for launch in [x264("bframes=3 b-pyramid=true ref=4"), x264("bframes=0 cabac=false"), AV1.to_owned()] {
        let (config, pictures) = encode(&launch, &times, 2000);
        let config = match codec(&launch) {
            Codec::Av1 => VideoConfig::from_av1c(160, 96, &config).unwrap(),
            _ => VideoConfig::from_avcc(160, 96, &config).unwrap(),
        };
        let mut repeated = 0;
        for round in 0..200 {
            let mut repeater = Repeater::new(&config).expect("these pictures can be repeated");
            for picture in &pictures {
                let mut data = picture.data.to_vec();
                for _ in 0..round % 4 {
                    let at = random() % data.len().min(60);
                    data[at] = random() as u8;
                }
                data.truncate(data.len() - if round % 5 == 4 { random() % data.len() } else { 0 });
                repeater.see(picture.pts_ms * 90, &data.into());
                for pts in [0, picture.pts_ms * 90, i64::MAX, i64::MIN] {
                    let found = repeater.repeat(pts).or_else(|| repeater.repeat_before(pts));
                    repeated += usize::from(found.is_some());
                    assert!(found.is_none_or(|found| found.data.len() <= 100_000));
                }
            }
        }
        assert!(repeated > 1000, "{launch}: {repeated}");
    }
}

/// A test for each encoder as publishers use them.
macro_rules! uneven_pictures {
    ($($name:ident: $launch:expr;)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name), &$launch);
        })*
    };
}

uneven_pictures! {
    uneven_pictures_of_x264_as_obs_sets_it: format!("{X264} bframes=2 b-pyramid=false rc-lookahead=10");
    uneven_pictures_of_x264_without_latency: format!("{X264} tune=zerolatency bframes=0");
    uneven_pictures_of_the_baseline_profile: format!("{X264} bframes=0 cabac=false dct8x8=false ref=1");
    uneven_pictures_of_a_pyramid: format!("{X264} bframes=3 b-pyramid=true weightb=true ref=4");
    uneven_pictures_reordered_without_arithmetic_coding: format!("{X264} bframes=3 cabac=false");
    uneven_pictures_of_av1: AV1;
    uneven_pictures_of_openh264: "openh264enc gop-size=1000 bitrate=900000";
}
