//! Reads stored renditions back: boxes, and decoded pictures and samples.

use std::path::{Path, PathBuf};

use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;
use shiguredo_mp4::boxes::MoofBox;
use shiguredo_mp4::{BoxHeader, Decode};

use crate::ladder::{Decoder, Next, Voice};
use crate::package::{muxed_init, with_sequence};
use crate::store::StreamStore;

/// A fragment as its boxes describe it.
pub(super) struct Fragment {
    pub(super) sequence: u32,
    pub(super) start: u64,
    pub(super) durations: Vec<u32>,
    pub(super) keys: Vec<bool>,
    /// 0 where none is written.
    pub(super) offsets: Vec<i64>,
}

pub(super) fn fragment(segment: &[u8]) -> Fragment {
    let mut rest = segment;
    let moof = loop {
        let (header, _) = BoxHeader::decode(rest).unwrap();
        if header.box_type.as_bytes() == b"moof" {
            break MoofBox::decode(rest).unwrap().0;
        }
        rest = &rest[header.box_size.get() as usize..];
    };
    let traf = &moof.traf_boxes[0];
    let trun = &traf.trun_boxes[0];
    let default = traf.tfhd_box.default_sample_flags.unwrap();
    let flags = trun.samples.iter().enumerate().map(|(i, sample)| match (i, trun.first_sample_flags) {
        (0, Some(first)) => first,
        _ => sample.flags.unwrap_or(default),
    });
    Fragment {
        sequence: moof.mfhd_box.sequence_number,
        start: traf.tfdt_box.as_ref().unwrap().base_media_decode_time,
        durations: trun
            .samples
            .iter()
            .map(|s| s.duration.or(traf.tfhd_box.default_sample_duration).unwrap())
            .collect(),
        offsets: trun.samples.iter().map(|s| s.composition_time_offset.unwrap_or(0)).collect(),
        keys: flags.map(|f| !f.sample_is_non_sync_sample()).collect(),
    }
}

/// All fragments of a rendition, checked to be contiguous and to say what the journal says.
pub(super) fn fragments(stream: &StreamStore, name: &str) -> Vec<Fragment> {
    let rendition = stream.rendition(name).unwrap();
    let mut next = 0;
    let mut all = Vec::new();
    for entry in rendition.segments().iter() {
        let bytes = stream.segment_bytes(name, entry.number).unwrap();
        let fragment = fragment(&bytes);
        let duration: u64 = fragment.durations.iter().map(|d| u64::from(*d)).sum();
        assert_eq!(fragment.sequence, entry.number);
        assert_eq!((fragment.start, duration), (entry.start, entry.duration), "{name} {}", entry.number);
        assert_eq!(fragment.start, next, "{name} segment {} follows the one before", entry.number);
        assert!(fragment.keys[0], "{name} segment {} starts with a key frame", entry.number);
        next += duration;
        all.push(fragment);
    }
    all
}

/// One rendition as a file.
pub(super) fn rendition_file(stream: &StreamStore, name: &str, dir: &Path) -> PathBuf {
    let rendition = stream.rendition(name).unwrap();
    let mut bytes = rendition.init(0).unwrap().to_vec();
    for entry in rendition.segments().iter() {
        bytes.extend_from_slice(&stream.segment_bytes(name, entry.number).unwrap());
    }
    let path = dir.join(format!("{name}.mp4"));
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A video rendition and the sound as one progressive file.
pub(super) fn muxed_file(stream: &StreamStore, video: &str, dir: &Path) -> PathBuf {
    let (picture, sound) = (stream.rendition(video).unwrap(), stream.rendition("audio").unwrap());
    let mut bytes = muxed_init(&picture.init(0).unwrap(), &sound.init(0).unwrap()).unwrap().to_vec();
    let mut sequence = 0;
    for number in 1..=picture.len().max(sound.len()) as u32 {
        for name in [video, "audio"] {
            let Ok(segment) = stream.segment_bytes(name, number) else { continue };
            sequence += 1;
            for part in with_sequence(&segment, sequence).unwrap() {
                bytes.extend_from_slice(&part);
            }
        }
    }
    let path = dir.join(format!("muxed-{video}.mp4"));
    std::fs::write(&path, bytes).unwrap();
    path
}

/// What the test card's band says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) frame: u64,
    pub(super) rung: u32,
}

/// A decoded picture.
pub(super) struct Picture {
    pub(super) start_ns: i64,
    pub(super) size: (u32, u32),
    /// `None` when the band cannot be read without doubt.
    pub(super) code: Option<Code>,
    pub(super) flash: bool,
}

/// Decoded pictures and the left channel's samples with the time of the first, all on the file's timeline.
pub(super) struct Decoded {
    pub(super) pictures: Vec<Picture>,
    pub(super) samples: Vec<f32>,
    pub(super) first_sample_ns: i64,
}

pub(super) fn decode(path: &Path) -> Decoded {
    crate::ladder::init().unwrap();
    let decoder = Decoder::open(path, 0, &Voice::unheard(), &|| false).unwrap();
    decoder.play().unwrap();
    std::thread::scope(|scope| {
        let sound = scope.spawn(|| {
            let (mut samples, mut first) = (Vec::new(), None);
            loop {
                match decoder.next_audio().unwrap() {
                    Next::Buffer(block) => {
                        first.get_or_insert(block.start_ns);
                        let map = block.buffer.map_readable().unwrap();
                        let left = map.chunks_exact(8).map(|f| f32::from_le_bytes([f[0], f[1], f[2], f[3]]));
                        samples.extend(left);
                    }
                    Next::Waiting => (),
                    Next::End => break (samples, first.unwrap_or(0)),
                }
            }
        });
        let mut pictures = Vec::new();
        loop {
            match decoder.next_video().unwrap() {
                Next::Buffer(picture) => {
                    let info = gst_video::VideoInfo::from_caps(&picture.caps).unwrap();
                    let frame =
                        gst_video::VideoFrameRef::from_buffer_ref_readable(&picture.buffer, &info).unwrap();
                    let (width, height) = (info.width() as usize, info.height() as usize);
                    let luma = frame.plane_data(0).unwrap();
                    let stride = frame.plane_stride()[0] as usize;
                    pictures.push(Picture {
                        start_ns: picture.start_ns,
                        size: (info.width(), info.height()),
                        code: read_code(luma, stride, width, height),
                        flash: luma[height * 17 / 100 * stride + width * 89 / 100] > 128,
                    });
                }
                Next::Waiting => (),
                Next::End => break,
            }
        }
        let (samples, first_sample_ns) = sound.join().unwrap();
        Decoded { pictures, samples, first_sample_ns }
    })
}

fn read_code(luma: &[u8], stride: usize, width: usize, height: usize) -> Option<Code> {
    let band = (height / 12 / 2 * 2).max(16);
    let y = height - band / 2;
    let mut bits = 0_u32;
    for cell in 0..32 {
        let value = luma[y * stride + (2 * cell + 1) * width / 64];
        let bit = match value {
            0..=90 => 0,
            160..=255 => 1,
            _ => return None,
        };
        bits = bits << 1 | bit;
    }
    let (head, tail) = (bits >> 30, bits & 1);
    let checked = bits >> 1 & 0x1fff_ffff; // cells 2 to 30
    if head != 0b10 || tail != 0 || !checked.count_ones().is_multiple_of(2) {
        return None;
    }
    Some(Code { frame: u64::from(bits >> 6 & 0xff_ffff), rung: bits >> 2 & 15 })
}

impl Decoded {
    /// Times in nanoseconds at which the flash comes on.
    pub(super) fn flashes(&self) -> Vec<i64> {
        let mut was = false;
        let mut on = Vec::new();
        for picture in &self.pictures {
            if picture.flash && !was {
                on.push(picture.start_ns);
            }
            was = picture.flash;
        }
        on
    }

    /// Times in nanoseconds at which sound starts after at least half a second of silence.
    pub(super) fn beeps(&self) -> Vec<i64> {
        let mut quiet = 24_000;
        let mut on = Vec::new();
        for (i, sample) in self.samples.iter().enumerate() {
            if sample.abs() > 0.1 {
                if quiet >= 24_000 {
                    on.push(self.first_sample_ns + i as i64 * 1_000_000_000 / 48_000);
                }
                quiet = 0;
            } else {
                quiet += 1;
            }
        }
        on
    }
}
