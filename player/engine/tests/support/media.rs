//! Small streams, encoded by GStreamer: a moving ball and a tone.

use std::{fmt::Write as _, path::Path};

use aes::cipher::{BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use gstreamer as gst;
use gstreamer::prelude::*;

use super::server::Site;

/// Frames a second of all streams here.
pub const FPS: u32 = 25;

/// A rung of the test ladder.
pub struct TestRung {
    pub name: &'static str,
    pub width: u32,
    pub height: u32,
    pub kbps: u32,
}

pub const LOW: TestRung = TestRung { name: "low", width: 160, height: 90, kbps: 150 };
pub const HIGH: TestRung = TestRung { name: "high", width: 320, height: 180, kbps: 500 };

/// Runs a pipeline to its end.
fn run(description: &str) {
    gst::init().unwrap();
    end(&gst::parse::launch(description).unwrap(), description);
}

fn end(pipeline: &gst::Element, description: &str) {
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let message = bus
        .timed_pop_filtered(
            gst::ClockTime::from_seconds(60),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        )
        .expect("encoding the test media took over a minute");
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{description}: {message:?}");
}

fn video(rung: &TestRung, seconds: u32) -> String {
    format!(
        "videotestsrc num-buffers={} pattern=ball ! video/x-raw,format=I420,width={},height={},framerate={FPS}/1 \
         ! x264enc bitrate={} key-int-max={FPS} bframes=0 speed-preset=ultrafast option-string=scenecut=0 \
         ! h264parse",
        seconds * FPS,
        rung.width,
        rung.height,
        rung.kbps
    )
}

/// 48 kHz AAC; 1000 samples a buffer make whole seconds.
fn audio(seconds: u32) -> String {
    format!(
        "audiotestsrc num-buffers={} samplesperbuffer=1000 ! audio/x-raw,rate=48000,channels=2 \
         ! avenc_aac bitrate=64000 ! aacparse",
        seconds * 48
    )
}

/// As [`run`], with captions put into the H.264 (start codes, decode order) that leaves the element `captions`: a pop-on
/// caption each second, `say 00`, `say 01` ... in CC1 (or in `newer` form in SERVICE1), from its frame 12 to its frame 23.
fn run_captioned(description: &str, newer: bool) {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(description).unwrap();
    let element = pipeline.downcast_ref::<gst::Bin>().unwrap().by_name("captions").unwrap();
    let first = std::sync::OnceLock::new();
    element.static_pad("src").unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer_mut() {
            let pts = buffer.pts().unwrap();
            let since = pts - *first.get_or_init(|| pts);
            let frame = (since.nseconds() * u64::from(FPS) + 500_000_000) / 1_000_000_000;
            let mut data = buffer.map_readable().unwrap().to_vec();
            let picture =
                |at: &usize| data[*at..].starts_with(&[0, 0, 1]) && matches!(data[at + 3] & 0x1F, 1 | 5);
            let at = (0..data.len() - 4).find(picture).unwrap();
            data.splice(at..at, if newer { service_of(frame) } else { captions_of(frame) });
            let mut with = gst::Buffer::from_slice(data);
            buffer
                .copy_into(
                    with.get_mut().unwrap(),
                    gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS,
                    ..,
                )
                .unwrap();
            *buffer = with;
        }
        gst::PadProbeReturn::Ok
    });
    end(&pipeline, description);
}

/// The SEI message of a frame, with its start code.
fn captions_of(frame: u64) -> Vec<u8> {
    let (second, place) = (frame / u64::from(FPS), (frame % u64::from(FPS)) as usize);
    let mut pairs = vec![[0x14, 0x20], [0x14, 0x20], [0x14, 0x2E], [0x14, 0x2E], [0x14, 0x70], [0x14, 0x70]];
    pairs.extend(format!("say {second:02}").as_bytes().chunks(2).map(|two| [two[0], two[1]]));
    let pair = match place {
        0..9 => pairs[place],
        12 | 13 => [0x14, 0x2F],
        23 | 24 => [0x14, 0x2C],
        _ => [0, 0],
    };
    // Each byte has an odd number of ones.
    let odd = |byte: u8| if byte.count_ones().is_multiple_of(2) { byte | 0x80 } else { byte };
    let mut unit = vec![0, 0, 1, 6, 4, 14];
    unit.extend(b"\xB5\x00\x31GA94\x03\xC1\xFF");
    unit.extend([0xFC, odd(pair[0]), odd(pair[1]), 0xFF, 0x80]);
    unit
}

/// The same in CEA-708: a window that is written unseen, displayed, and deleted.
fn service_of(frame: u64) -> Vec<u8> {
    let (second, place) = (frame / u64::from(FPS), frame % u64::from(FPS));
    let block = match place {
        0 => [&[0x98, 0, 0x80 | 90, 50, 7 << 4, 31, 3 << 3 | 1][..], format!("say {second:02}").as_bytes()]
            .concat(),
        12 => vec![0x89, 1],
        23 => vec![0x8C, 1],
        _ => Vec::new(),
    };
    let mut packet = vec![0, 1 << 5 | block.len() as u8];
    packet.extend(&block);
    packet.resize(packet.len().next_multiple_of(2), 0);
    packet[0] = (frame as u8 & 3) << 6 | (packet.len() / 2) as u8;
    let count = if block.is_empty() { 0 } else { packet.len() / 2 };
    let mut unit = vec![0, 0, 1, 6, 4, (11 + 3 * count) as u8];
    unit.extend(b"\xB5\x00\x31GA94\x03");
    unit.extend([0xC0 | count as u8, 0xFF]);
    for (at, two) in packet.chunks(2).take(count).enumerate() {
        unit.extend([if at == 0 { 0xFF } else { 0xFE }, two[0], two[1]]);
    }
    // Nothing in it looks like a start code.
    unit.extend([0xFF, 0x80]);
    unit
}

/// Splits a fragmented MP4 into its init segment and its fragments.
fn fragments(file: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut init, mut parts, mut at) = (Vec::new(), Vec::<Vec<u8>>::new(), 0);
    while at + 8 <= file.len() {
        let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let whole = &file[at..at + size];
        match &file[at + 4..at + 8] {
            b"moof" => parts.push(whole.to_vec()),
            b"mdat" => parts.last_mut().unwrap().extend_from_slice(whole),
            b"mfra" => {}
            _ => init.extend_from_slice(whole),
        }
        at += size;
    }
    (init, parts)
}

fn mp4(elements: &str) -> (Vec<u8>, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    run(&format!("{elements} ! mp4mux fragment-duration=1000 ! filesink location={}", path.display()));
    fragments(&std::fs::read(path).unwrap())
}

fn media_playlist(head: &str, name: &str, extension: &str, durations: &[f64], tail: &str) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n{head}");
    for (number, duration) in durations.iter().enumerate() {
        let _ = write!(text, "#EXTINF:{duration:.5},\n{name}-{number}.{extension}\n");
    }
    text + tail
}

/// HLS with fMP4 segments of one second, audio in segments of its own, at `/fmp4/master.m3u8`.
pub fn fmp4(site: &Site, rungs: &[TestRung], seconds: u32) {
    let mut master = String::from(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"main\",DEFAULT=YES,AUTOSELECT=YES,URI=\"audio.m3u8\"\n",
    );
    for rung in rungs {
        let (init, parts) = mp4(&video(rung, seconds));
        assert_eq!(parts.len() as u32, seconds, "one fragment a second");
        site.put(&format!("/fmp4/{}-init.mp4", rung.name), init);
        let head = format!("#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MAP:URI=\"{}-init.mp4\"\n", rung.name);
        let durations = vec![1.0; parts.len()];
        site.put(
            &format!("/fmp4/{}.m3u8", rung.name),
            media_playlist(&head, rung.name, "m4s", &durations, "#EXT-X-ENDLIST\n"),
        );
        for (number, part) in parts.into_iter().enumerate() {
            site.put(&format!("/fmp4/{}-{number}.m4s", rung.name), part);
        }
        let _ = write!(
            master,
            "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},RESOLUTION={}x{},FRAME-RATE={FPS},\
             CODECS=\"avc1.42c00d,mp4a.40.2\",AUDIO=\"a\"\n{}.m3u8\n",
            rung.kbps * 1500,
            rung.kbps * 1000,
            rung.width,
            rung.height,
            rung.name
        );
    }
    let (init, parts) = mp4(&audio(seconds));
    site.put("/fmp4/audio-init.mp4", init);
    let durations = vec![f64::from(seconds) / parts.len() as f64; parts.len()];
    let head = "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MAP:URI=\"audio-init.mp4\"\n";
    site.put("/fmp4/audio.m3u8", media_playlist(head, "audio", "m4s", &durations, "#EXT-X-ENDLIST\n"));
    for (number, part) in parts.into_iter().enumerate() {
        site.put(&format!("/fmp4/audio-{number}.m4s"), part);
    }
    site.put("/fmp4/master.m3u8", master);
}

/// A live stream on air since `seconds` ago, at `/ll/low.m3u8`: segments of two seconds, each part of one, all of them
/// encrypted with AES-128, each by itself.
pub fn encrypted_parts(site: &Site, seconds: u32, ahead: u32) {
    let (key, iv) = ([7_u8; 16], [9_u8; 16]);
    let encrypt = |plain: &[u8]| {
        cbc::Encryptor::<aes::Aes128>::new(&key.into(), &iv.into()).encrypt_padded_vec::<Pkcs7>(plain)
    };
    let (init, parts) = mp4(&video(&LOW, seconds + ahead));
    // What stands before the key is not encrypted.
    site.put("/ll/init.mp4", init);
    site.put("/ll/key.bin", key.to_vec());
    for (number, part) in parts.iter().enumerate() {
        site.put(&format!("/ll/part-{number}.m4s"), encrypt(part));
    }
    for (number, two) in parts.chunks(2).enumerate() {
        site.put(&format!("/ll/whole-{number}.m4s"), encrypt(&two.concat()));
    }
    let (began, count) = (std::time::Instant::now(), parts.len());
    site.put_dynamic("/ll/low.m3u8", move || {
        let there = (seconds as usize + began.elapsed().as_secs() as usize).min(count);
        let mut text = String::from(
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=1\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3.5\n#EXT-X-MAP:URI=\"init.mp4\"\n\
             #EXT-X-KEY:METHOD=AES-128,URI=\"key.bin\",IV=0x09090909090909090909090909090909\n",
        );
        for part in 0..there {
            if part + 6 > there {
                let _ = writeln!(text, "#EXT-X-PART:DURATION=1,INDEPENDENT=YES,URI=\"part-{part}.m4s\"");
            }
            if part % 2 == 1 {
                let _ = write!(text, "#EXTINF:2,\nwhole-{}.m4s\n", part / 2);
            }
        }
        text
    });
}

/// HLS with captions in the pictures, in one fMP4 list or one of MPEG-TS, at `/cc/master.m3u8`.
pub fn captioned(site: &Site, seconds: u32, ts: bool, newer: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    // Pictures are decoded in another order than they are shown.
    let video = video(&LOW, seconds)
        .replace("bframes=0", "bframes=2")
        .replace(
            " ! h264parse",
            " ! video/x-h264,stream-format=byte-stream ! identity name=captions ! h264parse",
        )
        .replace("ultrafast", "veryfast");
    let mux = if ts { "mpegtsmux" } else { "mp4mux fragment-duration=1000" };
    run_captioned(&format!("{video} ! {mux} ! filesink location={}", path.display()), newer);
    let file = std::fs::read(path).unwrap();
    let list = if ts {
        site.put("/cc/low-0.ts", file);
        media_playlist("#EXT-X-PLAYLIST-TYPE:VOD\n", "low", "ts", &[f64::from(seconds)], "#EXT-X-ENDLIST\n")
            .replace("TARGETDURATION:2", &format!("TARGETDURATION:{seconds}"))
    } else {
        let (init, parts) = fragments(&file);
        site.put("/cc/init.mp4", init);
        let durations = vec![f64::from(seconds) / parts.len() as f64; parts.len()];
        for (number, part) in parts.into_iter().enumerate() {
            site.put(&format!("/cc/low-{number}.m4s"), part);
        }
        let head = "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MAP:URI=\"init.mp4\"\n";
        media_playlist(head, "low", "m4s", &durations, "#EXT-X-ENDLIST\n")
    };
    site.put("/cc/low.m3u8", list);
    let channel = if newer { "SERVICE1" } else { "CC1" };
    site.put(
        "/cc/master.m3u8",
        format!(
            "#EXTM3U\n#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,\
             INSTREAM-ID=\"{channel}\"\n#EXT-X-STREAM-INF:BANDWIDTH=300000,RESOLUTION=160x90,CODECS=\"avc1.64000c\",\
             CLOSED-CAPTIONS=\"cc\"\nlow.m3u8\n"
        ),
    );
}

/// Pictures that flash each half second.
fn flashes(seconds: u32) -> String {
    format!(
        "videotestsrc num-buffers={} pattern=blink ! video/x-raw,format=I420,width=160,height=90,framerate=4/1 \
         ! videorate ! video/x-raw,framerate={FPS}/1 \
         ! x264enc bitrate=200 key-int-max={FPS} bframes=0 speed-preset=ultrafast ! h264parse",
        seconds * 4
    )
}

/// A beep with each second flash, coded by `coding`.
fn beeps(seconds: u32, coding: &str) -> String {
    format!(
        "audiotestsrc num-buffers={} samplesperbuffer=1000 wave=ticks volume=0.8 \
         ! audio/x-raw,rate=48000,channels=2 ! audioconvert ! {coding}",
        seconds * 48
    )
}

/// HLS whose default sound is in the pictures' MPEG-TS segments, with other sound apart, coded by `other`, in one segment of
/// its own: flashes and beeps in both, at `/choice/master.m3u8`.
pub fn choice_of_sound(site: &Site, seconds: u32, other: &str) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    run(&format!(
        "{} ! queue ! sink.video {} ! queue ! sink.audio \
         hlssink2 name=sink target-duration=1 max-files=0 playlist-length=0 location={} playlist-location={}",
        flashes(seconds),
        beeps(seconds, "avenc_aac bitrate=96000 ! aacparse"),
        at("main-%d.ts"),
        at("list.m3u8"),
    ));
    run(&format!("{} ! mpegtsmux ! filesink location={}", beeps(seconds, other), at("other.ts")));
    let list = std::fs::read_to_string(at("list.m3u8")).unwrap();
    let durations: Vec<f64> = list
        .lines()
        .filter_map(|line| line.strip_prefix("#EXTINF:")?.trim_end_matches(',').parse().ok())
        .collect();
    for number in 0..durations.len() {
        site.put(&format!("/choice/main-{number}.ts"), read(folder.path(), &format!("main-{number}.ts")));
    }
    site.put("/choice/other-0.ts", read(folder.path(), "other.ts"));
    let head = "#EXT-X-PLAYLIST-TYPE:VOD\n";
    site.put("/choice/main.m3u8", media_playlist(head, "main", "ts", &durations, "#EXT-X-ENDLIST\n"));
    let whole = media_playlist(head, "other", "ts", &[f64::from(seconds)], "#EXT-X-ENDLIST\n");
    let whole = whole.replace("TARGETDURATION:2", &format!("TARGETDURATION:{seconds}"));
    site.put("/choice/other.m3u8", whole);
    site.put(
        "/choice/master.m3u8",
        "#EXTM3U\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Deutsch\",LANGUAGE=\"de\",AUTOSELECT=YES,URI=\"other.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=700000,RESOLUTION=160x90,CODECS=\"avc1.42c00d,mp4a.40.2\",AUDIO=\"a\"\nmain.m3u8\n",
    );
}

/// HLS of one segment of three seconds for each of `sounds` (encoders of sound), with a discontinuity between, at
/// `/spliced/list.m3u8`: flashes each half second, a beep with each second one.
pub fn spliced(site: &Site, sounds: &[&str], ts: bool) {
    let mut list =
        String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:3\n#EXT-X-PLAYLIST-TYPE:VOD\n");
    for (number, sound) in sounds.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mux = if ts { "mpegtsmux name=mux" } else { "mp4mux name=mux fragment-duration=10000" };
        run(&format!(
            "{mux} ! filesink location={} \
             {} ! queue ! mux. {} ! queue ! mux.",
            path.display(),
            flashes(3),
            beeps(3, sound)
        ));
        let file = std::fs::read(&path).unwrap();
        if number > 0 {
            list.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let name = format!("{number}.{}", if ts { "ts" } else { "m4s" });
        if ts {
            site.put(&format!("/spliced/{name}"), file);
        } else {
            let (init, parts) = fragments(&file);
            site.put(&format!("/spliced/{number}-init.mp4"), init);
            site.put(&format!("/spliced/{name}"), parts.concat());
            let _ = writeln!(list, "#EXT-X-MAP:URI=\"{number}-init.mp4\"");
        }
        let _ = write!(list, "#EXTINF:3.0,\n{name}\n");
    }
    site.put("/spliced/list.m3u8", list + "#EXT-X-ENDLIST\n");
}

/// HLS with MPEG-TS segments of about two seconds, video and audio in one, at `/ts/master.m3u8`; with a key, AES-128.
pub fn ts(site: &Site, seconds: u32, key: Option<[u8; 16]>) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    run(&format!(
        "{} ! queue ! sink.video {} ! queue ! sink.audio \
         hlssink2 name=sink target-duration=2 max-files=0 playlist-length=0 location={} playlist-location={}",
        video(&HIGH, seconds),
        audio(seconds),
        at("high-%d.ts"),
        at("list.m3u8"),
    ));
    let list = std::fs::read_to_string(at("list.m3u8")).unwrap();
    let durations: Vec<f64> = list
        .lines()
        .filter_map(|line| line.strip_prefix("#EXTINF:"))
        .map(|line| line.trim_end_matches(',').parse().unwrap())
        .collect();
    assert!(durations.len() >= 2, "{list}");
    for number in 0..durations.len() {
        let plain = read(folder.path(), &format!("high-{number}.ts"));
        let body = match key {
            None => plain,
            Some(key) => {
                // RFC 8216, 5.2: without IV the media sequence number is the IV.
                let iv = (number as u128).to_be_bytes();
                cbc::Encryptor::<aes::Aes128>::new(&key.into(), &iv.into())
                    .encrypt_padded_vec::<Pkcs7>(&plain)
            }
        };
        site.put(&format!("/ts/high-{number}.ts"), body);
    }
    let mut head = String::from("#EXT-X-PLAYLIST-TYPE:VOD\n");
    if let Some(key) = key {
        site.put("/ts/key.bin", key.to_vec());
        head.push_str("#EXT-X-KEY:METHOD=AES-128,URI=\"key.bin\"\n");
    }
    site.put("/ts/high.m3u8", media_playlist(&head, "high", "ts", &durations, "#EXT-X-ENDLIST\n"));
    site.put(
        "/ts/master.m3u8",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=700000,RESOLUTION=320x180,CODECS=\"avc1.42c00d,mp4a.40.2\"\nhigh.m3u8\n",
    );
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}
