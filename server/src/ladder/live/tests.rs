//! Ladders over real encoders, driven by what comes out of them instead of by a clock.

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use tokio::sync::mpsc;

use super::*;
use crate::ladder::log::LogLevel;
use crate::ladder::{RungSpec, Speed};
use crate::live::{Codec, RungEvent, SourceUnit};

const FRAME: u64 = 40_000_000;

/// H.264 with B-frames, a key frame every 25 pictures, and its set-up.
fn source(pictures: u32) -> (TrackSetup, Vec<SourceUnit>) {
    crate::ladder::init().unwrap();
    let text = format!(
        "videotestsrc num-buffers={pictures} ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 \
         ! x264enc bframes=2 b-adapt=false key-int-max=25 speed-preset=ultrafast option-string=scenecut=0 \
         ! video/x-h264,stream-format=avc,alignment=au,profile=main ! appsink name=out sync=false"
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let output = pipeline.by_name("out").unwrap().downcast::<AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let (mut units, mut config, mut segments) = (Vec::new(), Bytes::new(), 0);
    while let Ok(sample) = output.pull_sample() {
        let buffer = sample.buffer().unwrap();
        let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap();
        let pts = segment.to_running_time(buffer.pts().unwrap()).unwrap().nseconds();
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let codec_data =
            sample.caps().unwrap().structure(0).unwrap().get::<gst::Buffer>("codec_data").unwrap();
        config = Bytes::copy_from_slice(&codec_data.map_readable().unwrap());
        segments += u32::from(key);
        units.push(SourceUnit {
            // As sessions count: a key frame is decoded when it is shown, so B pictures are decoded after they are.
            dts_ns: 1_000_000_000 + units.len() as u64 * FRAME,
            pts_ns: 1_000_000_000 + pts,
            key,
            segment: key.then_some(segments),
            data: Bytes::copy_from_slice(&buffer.map_readable().unwrap()),
        });
    }
    pipeline.set_state(gst::State::Null).unwrap();
    (video_of(config), units)
}

/// The set-up of a picture of 320x180.
fn video_of(config: Bytes) -> TrackSetup {
    TrackSetup {
        language: None,
        kind: TrackKind::Video,
        codec: Codec::Avc,
        config,
        width: 320,
        height: 180,
        frame_rate: Some((25, 1)),
        sample_rate: 0,
        channels: 0,
        bitrate: None,
    }
}

fn profile() -> Profile {
    Profile {
        rungs: [(48, 100), (90, 200), (180, 500), (360, 900)]
            .map(|(lines, kbps)| RungSpec { lines, kbps })
            .to_vec(),
        speed: Speed::Ultrafast,
        ..Profile::default()
    }
}

fn ladders_with(store: Arc<Store>, most: usize) -> EncodedLadders {
    let options = LadderOptions { most, encoders: Vec::new(), program: None };
    let ladders = EncodedLadders::new(store, Arc::default(), options);
    EncodedLadders { budget: Budget::with_cores(4.0), ..ladders }
}

fn ladders(dir: &std::path::Path, most: usize) -> EncodedLadders {
    let store = Arc::new(Store::open(dir).unwrap());
    store.create("s").unwrap();
    ladders_with(store, most)
}

#[test]
fn every_rung_has_its_key_frames_where_the_sources_segments_begin() {
    let dir = tempfile::tempdir().unwrap();
    let (setup, units) = source(100);
    assert!(units.windows(2).any(|pair| pair[1].pts_ns < pair[0].pts_ns), "the source has B-frames");
    let ladders = ladders(dir.path(), 9);
    let (output, mut events) = mpsc::channel(64);
    let mut ladder = ladders.start("s", &setup, &profile(), output).unwrap();
    let names: Vec<String> = ladder.rungs().into_iter().map(|rung| rung.name).collect();
    assert_eq!(names, ["48p", "90p"], "below the source only");

    let mut times: Vec<u64> = units.iter().map(|unit| unit.pts_ns).collect();
    times.sort_unstable();
    let mut got: Vec<Vec<(u64, bool)>> = vec![Vec::new(); 2];
    let mut set_up = 0;
    for (n, unit) in units.iter().enumerate() {
        ladder.push(unit.clone());
        // At most five pictures under way: fewer than an encoder lets wait.
        while got.iter().any(|units| units.len() + 5 <= n) {
            match events.blocking_recv().expect("the ladder runs") {
                RungEvent::Setup { codec, config, .. } => {
                    assert_eq!((codec, config.first()), (Codec::Avc, Some(&1)));
                    set_up += 1;
                }
                RungEvent::Unit { rung, dts_ns, pts_ns, key, data } => {
                    assert!(dts_ns == pts_ns && !data.is_empty());
                    got[usize::from(rung == "90p")].push((pts_ns, key));
                }
                RungEvent::Interrupted { rung, why } | RungEvent::Lost { rung, why } => {
                    panic!("{rung} was lost: {why}")
                }
            }
        }
    }
    assert_eq!(set_up, 2);
    let cuts: Vec<u64> = units.iter().filter(|unit| unit.key).map(|unit| unit.pts_ns).collect();
    assert_eq!(cuts.len(), 4);
    for rung in &got {
        assert_eq!(rung.iter().map(|(pts, _)| *pts).collect::<Vec<_>>(), times[..rung.len()]);
        let keys: Vec<u64> = rung.iter().filter(|(_, key)| *key).map(|(pts, _)| *pts).collect();
        assert_eq!(keys, cuts);
    }
    drop(ladder);
    // The thread ends, and with it the last sender.
    while events.blocking_recv().is_some() {}
    let stream = ladders.store.get("s").unwrap();
    assert!(stream.poster().unwrap().starts_with(&[0xff, 0xd8]), "a JPEG");
    let index = String::from_utf8(stream.thumbnails().unwrap().to_vec()).unwrap();
    assert!(index.contains("00:00:01.000 --> 00:00:04"), "{index}");
    let (lines, _) = ladders.logs.of("s").lines();
    assert!(lines.iter().any(|line| line.from == "90p" && line.text.contains("x264enc")), "{lines:?}");
}

#[test]
fn a_ladder_that_is_told_that_nothing_follows_gives_every_picture_that_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let (setup, units) = source(60);
    let ladders = ladders(dir.path(), 9);
    let (output, mut events) = mpsc::channel(1);
    let mut ladder = ladders.start("s", &setup, &profile(), output).unwrap();
    // All of them wait before the first is encoded: nothing is taken out until then.
    for unit in &units {
        ladder.push(unit.clone());
    }
    ladder.finish();
    let free = *ladders.budget.free.lock().unwrap();
    assert!((free - 4.0).abs() < 1e-9, "the next take may have the machine: {free}");
    let mut got: Vec<Vec<u64>> = vec![Vec::new(); 2];
    while let Some(event) = events.blocking_recv() {
        match event {
            RungEvent::Unit { rung, pts_ns, .. } => got[usize::from(rung == "90p")].push(pts_ns),
            RungEvent::Setup { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let mut times: Vec<u64> = units.iter().map(|unit| unit.pts_ns).collect();
    times.sort_unstable();
    for rung in &got {
        assert_eq!(rung.last(), times.last(), "the last picture");
        assert_eq!(rung[rung.len() - 10..], times[times.len() - 10..], "none of the last is left out");
    }
}

#[test]
fn a_session_that_takes_nothing_back_is_not_held_up() {
    let dir = tempfile::tempdir().unwrap();
    let (setup, units) = source(50);
    let ladders = ladders(dir.path(), 9);
    let (output, mut events) = mpsc::channel(1);
    let mut ladder = ladders.start("s", &setup, &profile(), output).unwrap();
    for round in 0..40_u64 {
        for unit in &units {
            let later = round * 50 * FRAME;
            ladder.push(SourceUnit {
                pts_ns: unit.pts_ns + later,
                dts_ns: unit.dts_ns + later,
                ..unit.clone()
            });
        }
    }
    drop(ladder);
    while events.blocking_recv().is_some() {}
}

#[test]
fn what_cannot_be_decoded_costs_the_rungs_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (setup, units) = source(25);
    let ladders = ladders(dir.path(), 1);
    let (output, mut events) = mpsc::channel(64);
    let mut ladder = ladders.start("s", &setup, &profile(), output).unwrap();
    assert_eq!(ladder.rungs().len(), 1);
    let mut lost = None;
    for n in 0..20 * 25_u64 {
        let time = n * FRAME;
        let data = Bytes::from(vec![0xa5; units[0].data.len()]);
        ladder.push(SourceUnit { dts_ns: time, pts_ns: time, key: true, segment: None, data });
        // Room for all of it is not needed: the queue refuses what does not fit.
        if let Ok(event) = events.try_recv() {
            lost = Some(event);
            break;
        }
    }
    let event = lost.or_else(|| events.blocking_recv()).expect("a word before the end");
    assert!(matches!(&event, RungEvent::Lost { rung, .. } if rung == "48p"), "{event:?}");
}

#[test]
fn without_rungs_there_are_still_thumbnails() {
    let dir = tempfile::tempdir().unwrap();
    let (setup, units) = source(50);
    let ladders = ladders(dir.path(), 0);
    let (output, mut events) = mpsc::channel(64);
    let mut ladder = ladders.start("s", &setup, &profile(), output).unwrap();
    assert!(ladder.rungs().is_empty());
    // Key frames only, so as many as fill the decoder's reordering.
    for round in 0..20_u64 {
        for unit in &units {
            let later = round * 50 * FRAME;
            ladder.push(SourceUnit {
                pts_ns: unit.pts_ns + later,
                dts_ns: unit.dts_ns + later,
                ..unit.clone()
            });
        }
    }
    let stream = ladders.store.get("s").unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while stream.thumbnails().is_none() && std::time::Instant::now() < until {
        std::thread::yield_now();
    }
    assert!(stream.thumbnails().is_some() && stream.poster().is_some());
    drop(ladder);
    assert!(events.blocking_recv().is_none(), "nothing is encoded");
}

/// Ladders whose encoder process is a shell's; it says that it can encode when it is asked.
fn with_process(dir: &std::path::Path, script: &str) -> EncodedLadders {
    let store = Arc::new(Store::open(dir).unwrap());
    store.create("s").unwrap();
    let script = format!("case \"$0\" in --probe) echo '[\"x264\"]';; *) {script};; esac");
    let program = EncoderProgram::new("/bin/sh", &["-c", &script]);
    let ladders = ladders_with(store, 9);
    let ms = std::time::Duration::from_millis;
    let patience = Patience { pause: ms(1), deaths: 2, good: ms(60_000), stuck: ms(300) };
    let options = LadderOptions { program: Some(program), ..ladders.options.clone() };
    EncodedLadders { options, patience, ..ladders }
}

fn picture(n: u64, bytes: usize) -> SourceUnit {
    let data = Bytes::from(vec![0x65; bytes]);
    SourceUnit { dts_ns: n * FRAME, pts_ns: n * FRAME, key: true, segment: None, data }
}

/// What is told of a process that does `script` again and again, and what its log says.
fn deaths_of(script: &str) -> (Vec<RungEvent>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let ladders = with_process(dir.path(), script);
    let (output, mut events) = mpsc::channel(64);
    let setup = video_of(Bytes::from_static(b"avcC"));
    let mut ladder = ladders.start("s", &setup, &profile(), output).unwrap();
    assert_eq!(ladder.rungs().iter().map(|rung| rung.encoder.as_str()).collect::<Vec<_>>(), ["x264enc"; 2]);
    let mut told = Vec::new();
    for n in 0.. {
        // More than fits into its connection: it may not read.
        ladder.push(picture(n, 100_000));
        match events.try_recv() {
            Ok(event) => told.push(event),
            Err(mpsc::error::TryRecvError::Empty) => std::thread::yield_now(),
            Err(mpsc::error::TryRecvError::Disconnected) => break,
        }
    }
    let (lines, _) = ladders.logs.of("s").lines();
    let lines = lines.into_iter().filter(|line| line.level != LogLevel::Info);
    (told, lines.map(|line| format!("{}: {}", line.from, line.text)).collect())
}

fn assert_given_up(told: &[RungEvent], why: &str) {
    let names: Vec<_> = told
        .iter()
        .map(|event| match event {
            RungEvent::Interrupted { rung, why: told } => {
                assert!(told.contains(why), "{told}");
                format!("{rung} interrupted")
            }
            RungEvent::Lost { rung, why: told } => {
                assert!(told.contains(why) && told.contains("3 times"), "{told}");
                format!("{rung} lost")
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let both = |state| [format!("48p {state}"), format!("90p {state}")];
    assert_eq!(names, [both("interrupted"), both("interrupted"), both("lost")].concat());
}

#[test]
fn a_process_that_crashes_again_and_again_is_given_up_and_its_words_are_in_the_log() {
    let (told, lines) = deaths_of("echo 'boom: no such thing' >&2; kill -SEGV $$");
    assert_given_up(&told, "signal 11 (a memory error)");
    assert!(lines.contains(&"encoder: boom: no such thing".to_owned()), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("is not started again")), "{lines:?}");
}

#[test]
fn a_process_that_ends_too_early_is_a_death_too() {
    assert_given_up(&deaths_of("exit 3").0, "exit status 3");
}

#[test]
fn a_process_that_hangs_is_ended() {
    assert_given_up(&deaths_of("exec sleep 1000").0, "said nothing");
}

#[test]
fn a_process_that_talks_nonsense_is_ended() {
    // Its standard input is a socket, so it can write there.
    let (told, _) = deaths_of("while echo nonsense; do :; done >&0 2>/dev/null; exec sleep 1000");
    assert_given_up(&told, "the encoder process");
}

#[test]
fn without_a_program_that_answers_the_source_is_the_only_rung() {
    let dir = tempfile::tempdir().unwrap();
    let mut ladders = with_process(dir.path(), "exit 0");
    ladders.options.program = Some(EncoderProgram::new("/bin/sh", &["-c", "echo '[\"openh264\"]'"]));
    ladders.options.encoders = vec![VideoEncoderKind::X264];
    let (setup, _) = source(1);
    let (output, _events) = mpsc::channel(1);
    assert!(ladders.start("s", &setup, &profile(), output).is_none());
    let (lines, _) = ladders.logs.of("s").lines();
    assert!(lines[0].text.contains("x264enc"), "{lines:?}");
}
