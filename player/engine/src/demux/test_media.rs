//! Media for tests, made by GStreamer's encoders in memory. Pictures carry their frame number and rung in the test
//! card's band of 32 cells, and its flash; sound is its beep.

use std::{collections::BTreeSet, thread, time::Duration};

use bytes::Bytes;
use gstreamer::{self as gst, prelude::*};
use gstreamer_app as gst_app;

pub(crate) const FPS: u64 = 25;
pub(crate) const AUDIO_RATE: u64 = 48_000;
/// Media time of a segment, seconds.
pub(crate) const SEGMENT_S: u64 = 2;
const CELLS: usize = 32;

/// A stream cut into segments of [`SEGMENT_S`].
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) init: Option<Bytes>,
    pub(crate) segments: Vec<Bytes>,
}

/// A rung: its size and place on the ladder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rung {
    pub(crate) rung: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

pub(crate) const SMALL: Rung = Rung { rung: 0, width: 320, height: 180 };
pub(crate) const LARGE: Rung = Rung { rung: 1, width: 640, height: 360 };

/// What an H.264 stream looks like besides its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Frames are decoded in the order in which they are shown.
    Straight,
    /// B-frames, so that MP4 needs an edit list.
    Reordered,
}

pub(crate) fn video_mp4(rung: Rung, seconds: u64, order: Order) -> Cut {
    let mux =
        format!("{} ! mp4mux name=mux fragment-duration={} streamable=true", h264(order), SEGMENT_S * 1000);
    // The muxer starts a fragment at each key frame.
    cut_mp4(&run(&mux, None, Some((rung, seconds)), None), SEGMENT_S as usize)
}

pub(crate) fn audio_mp4(seconds: u64) -> Cut {
    let mux = format!(
        "avenc_aac ! aacparse ! mp4mux name=mux fragment-duration={} streamable=true",
        SEGMENT_S * 1000
    );
    cut_mp4(&run("", Some(&mux), None, Some(seconds)), 1)
}

/// H.265 instead of H.264.
pub(crate) fn hevc_mp4(rung: Rung, seconds: u64) -> Cut {
    let mux = format!(
        "x265enc speed-preset=ultrafast key-int-max={FPS} bitrate=600 option-string=\"bframes=0:scenecut=0\" ! \
         h265parse ! mp4mux name=mux fragment-duration={} streamable=true",
        SEGMENT_S * 1000
    );
    cut_mp4(&run(&mux, None, Some((rung, seconds)), None), SEGMENT_S as usize)
}

/// A file with its index in front, not in fragments.
pub(crate) fn plain_mp4(rung: Rung, seconds: u64) -> Bytes {
    let mux = format!("{} ! mp4mux name=mux faststart=true", h264(Order::Straight));
    Bytes::from(run(&mux, None, Some((rung, seconds)), None))
}

/// Picture and sound in one transport stream.
pub(crate) fn muxed_ts(rung: Rung, seconds: u64, order: Order) -> Cut {
    let video = format!("{} ! mpegtsmux name=mux", h264(order));
    cut_ts(&run(&video, Some("avenc_aac ! aacparse ! mux."), Some((rung, seconds)), Some(seconds)))
}

/// Pictures in a transport stream that say nothing about their colours: this encoder writes none.
pub(crate) fn untagged_ts(rung: Rung, seconds: u64) -> Cut {
    let video = format!("openh264enc gop-size={FPS} ! h264parse config-interval=-1 ! mpegtsmux name=mux");
    cut_ts(&run(&video, None, Some((rung, seconds)), None))
}

/// Bare ADTS frames.
pub(crate) fn adts(seconds: u64) -> Vec<u8> {
    run(
        "",
        Some("avenc_aac ! aacparse ! audio/mpeg,stream-format=adts ! identity name=mux"),
        None,
        Some(seconds),
    )
}

fn h264(order: Order) -> String {
    let order = match order {
        Order::Straight => "bframes=0",
        Order::Reordered => "bframes=2 b-adapt=false",
    };
    format!(
        "x264enc speed-preset=ultrafast key-int-max={FPS} option-string=\"scenecut=0:open-gop=0\" bitrate=600 \
         threads=1 rc-lookahead=0 {order} ! h264parse config-interval=-1"
    )
}

/// Runs raw pictures and sound through encoders into `mux`, which one of the two descriptions names.
fn run(video: &str, audio: Option<&str>, pictures: Option<(Rung, u64)>, sound: Option<u64>) -> Vec<u8> {
    gst::init().unwrap();
    let mut description = String::new();
    if let Some((rung, _)) = pictures {
        description += &format!(
            "appsrc name=pictures format=time block=true max-bytes=4000000 \
             caps=video/x-raw,format=I420,width={},height={},framerate={FPS}/1 ! {video} ",
            rung.width, rung.height
        );
    }
    if let (Some(audio), Some(_)) = (audio, sound) {
        description += &format!(
            "appsrc name=sound format=time block=true max-bytes=400000 \
             caps=audio/x-raw,format=F32LE,layout=interleaved,rate={AUDIO_RATE},channels=1 ! audioconvert ! {audio} "
        );
    }
    description += "mux. ! appsink name=out sync=false";
    if !description.contains("name=mux") {
        panic!("no mux in {description}");
    }
    let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
    let element = |name: &str| pipeline.by_name(name);
    let out = element("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();

    let mut feeders = Vec::new();
    if let (Some((rung, seconds)), Some(source)) = (pictures, element("pictures")) {
        let source = source.downcast::<gst_app::AppSrc>().unwrap();
        feeders.push(thread::spawn(move || {
            for frame in 0..seconds * FPS {
                let mut buffer = gst::Buffer::from_slice(picture(rung, frame));
                let times = buffer.get_mut().unwrap();
                times.set_pts(gst::ClockTime::from_nseconds(frame * 1_000_000_000 / FPS));
                times.set_duration(gst::ClockTime::from_nseconds(1_000_000_000 / FPS));
                source.push_buffer(buffer).unwrap();
            }
            source.end_of_stream().unwrap();
        }));
    }
    if let (Some(seconds), Some(source)) = (sound, element("sound")) {
        let source = source.downcast::<gst_app::AppSrc>().unwrap();
        feeders.push(thread::spawn(move || {
            for tenth in 0..seconds * 10 {
                let mut buffer = gst::Buffer::from_slice(beep(tenth));
                let times = buffer.get_mut().unwrap();
                times.set_pts(gst::ClockTime::from_mseconds(tenth * 100));
                times.set_duration(gst::ClockTime::from_mseconds(100));
                source.push_buffer(buffer).unwrap();
            }
            source.end_of_stream().unwrap();
        }));
    }
    let mut bytes = Vec::new();
    while let Ok(sample) = out.pull_sample() {
        let buffer = sample.buffer().unwrap();
        bytes.extend_from_slice(&buffer.map_readable().unwrap());
    }
    for feeder in feeders {
        feeder.join().unwrap();
    }
    let error = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::ZERO, &[gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(error.is_none(), "{error:?}");
    bytes
}

fn picture(rung: Rung, frame: u64) -> Vec<u8> {
    let (width, height) = (rung.width, rung.height);
    let mut data = vec![128; width * height * 3 / 2];
    let bits: Vec<bool> = (0..24)
        .map(|bit| frame >> (23 - bit) & 1 == 1)
        .chain((0..4).map(|bit| rung.rung >> (3 - bit) & 1 == 1))
        .collect();
    let mut cells = vec![true, false];
    cells.extend(&bits);
    cells.push(bits.iter().filter(|bit| **bit).count() % 2 == 1);
    cells.push(false);
    let flash = frame * 1_000_000_000 / FPS % 1_000_000_000 < 100_000_000;
    for y in 0..height {
        for x in 0..width {
            data[y * width + x] = if y >= height - band(height) {
                luma(cells[x * CELLS / width])
            } else if (width * 80..width * 98).contains(&(x * 100))
                && (height * 5..height * 30).contains(&(y * 100))
            {
                luma(flash)
            } else {
                (((x + y + frame as usize * 3) / 8) % 160 + 40) as u8
            };
        }
    }
    data
}

fn luma(white: bool) -> u8 {
    if white { 235 } else { 16 }
}

fn band(height: usize) -> usize {
    ((height / 12) & !1).max(16)
}

/// Frame number and rung from the band of a decoded picture; `None` if its parity is wrong.
pub(crate) fn read_band(luma: &[u8], stride: usize, width: usize, height: usize) -> Option<(u64, usize)> {
    let y = height - band(height) / 2;
    let cell = |at: usize| luma[y * stride + (2 * at + 1) * width / (2 * CELLS)] > 125;
    let bits = |range: std::ops::Range<usize>| range.fold(0, |value, at| value << 1 | u64::from(cell(at)));
    let ones = (2..30).filter(|at| cell(*at)).count();
    let good = cell(0) && !cell(1) && !cell(31) && cell(30) == (ones % 2 == 1);
    good.then(|| (bits(2..26), bits(26..30) as usize))
}

fn beep(tenth: u64) -> Vec<u8> {
    let count = AUDIO_RATE / 10;
    let loud = tenth.is_multiple_of(10);
    (0..count)
        .flat_map(|at| {
            let angle = at as f64 / AUDIO_RATE as f64 * 1000.0 * std::f64::consts::TAU;
            (if loud { (angle.sin() * 0.7) as f32 } else { 0.0 }).to_le_bytes()
        })
        .collect()
}

fn boxes(mut data: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut boxes = Vec::new();
    while data.len() >= 8 {
        let size = u32::from_be_bytes(data[..4].try_into().unwrap()) as usize;
        let (this, rest) = data.split_at(size);
        boxes.push((&this[4..8], this));
        data = rest;
    }
    boxes
}

/// The initialization segment with an edit list that starts the first track `ticks` of its time scale into the media.
pub(crate) fn with_edit_list(init: &[u8], ticks: u32) -> Bytes {
    let mut edit = Vec::new();
    edit.extend(36_u32.to_be_bytes());
    edit.extend(b"edts");
    edit.extend(28_u32.to_be_bytes());
    edit.extend(b"elst");
    for word in [0, 1, 0, ticks, 0x0001_0000] {
        edit.extend(word.to_be_bytes());
    }
    let mut out = Vec::new();
    for (kind, whole) in boxes(init) {
        out.extend_from_slice(&if kind == b"moov" {
            widen(whole, &mut Some(edit.clone()))
        } else {
            whole.to_vec()
        });
    }
    Bytes::from(out)
}

/// `container` with `extra` behind the first track header in it.
fn widen(container: &[u8], extra: &mut Option<Vec<u8>>) -> Vec<u8> {
    let mut out = container[..8].to_vec();
    for (kind, whole) in boxes(&container[8..]) {
        if kind == b"trak" {
            out.extend(widen(whole, extra));
        } else {
            out.extend_from_slice(whole);
        }
        if kind == b"tkhd" {
            out.extend(extra.take().unwrap_or_default());
        }
    }
    let size = (out.len() as u32).to_be_bytes();
    out[..4].copy_from_slice(&size);
    out
}

fn cut_mp4(file: &[u8], fragments: usize) -> Cut {
    let mut count = 0_usize;
    let mut init = Vec::new();
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for (kind, whole) in boxes(file) {
        match kind {
            b"ftyp" | b"moov" => init.extend_from_slice(whole),
            b"moof" => {
                if count.is_multiple_of(fragments) {
                    segments.push(Vec::new());
                }
                count += 1;
                segments.last_mut().unwrap().extend_from_slice(whole);
            }
            b"mdat" => segments.last_mut().unwrap().extend_from_slice(whole),
            _ => {}
        }
    }
    Cut { init: Some(init.into()), segments: segments.into_iter().map(Bytes::from).collect() }
}

/// Cuts at every second key frame, and puts the tables in front of each segment.
fn cut_ts(file: &[u8]) -> Cut {
    let pid = |packet: &[u8]| u16::from(packet[1] & 0x1F) << 8 | u16::from(packet[2]);
    let packets: Vec<&[u8]> = file.chunks_exact(188).collect();
    let stream_id = |packet: &[u8]| {
        let adaptation = if packet[3] & 0x20 == 0 { 0 } else { 1 + usize::from(packet[4]) };
        let payload = &packet[4 + adaptation..];
        (packet[1] & 0x40 != 0 && payload.len() > 8 && payload[..3] == [0, 0, 1]).then(|| payload[3])
    };
    let media: BTreeSet<u16> = packets.iter().filter(|p| stream_id(p).is_some()).map(|p| pid(p)).collect();
    let table_pids: BTreeSet<u16> = packets.iter().map(|p| pid(p)).filter(|p| !media.contains(p)).collect();
    let tables: Vec<u8> = table_pids
        .iter()
        .flat_map(|table| packets.iter().find(|p| pid(p) == *table && p[1] & 0x40 != 0).unwrap().to_vec())
        .collect();
    let mut segments: Vec<Vec<u8>> = Vec::new();
    let mut keys = 0_u64;
    for packet in packets {
        let video = stream_id(packet) == Some(0xE0);
        let random_access = packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x40 != 0;
        if video && random_access {
            if keys.is_multiple_of(SEGMENT_S) {
                segments.push(tables.clone());
            }
            keys += 1;
        }
        match segments.last_mut() {
            Some(segment) => segment.extend_from_slice(packet),
            None => segments.push(tables.iter().chain(packet).copied().collect()),
        }
    }
    // What came before the first key frame belongs to the first segment.
    if segments.len() > 1 && keys <= (segments.len() as u64 - 1) * SEGMENT_S {
        let head = segments.remove(0);
        segments[0].splice(0..0, head);
    }
    Cut { init: None, segments: segments.into_iter().map(Bytes::from).collect() }
}

/// Longest wait for something that takes milliseconds on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
