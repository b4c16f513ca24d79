//! Reads segments back with a parser that is not ours.

use shiguredo_mp4::Decode;
use shiguredo_mp4::boxes::MoofBox;

use super::Rig;
use crate::package::init_delay;

/// A sample as a player would see it, in seconds.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub(super) decode: f64,
    pub(super) show: f64,
    pub(super) duration: f64,
    /// Its payload, as text: the tests write the publisher's time there.
    pub(super) text: String,
}

/// Top-level boxes as kind and place.
pub(super) fn boxes(bytes: &[u8]) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        found.push((String::from_utf8_lossy(&bytes[at + 4..at + 8]).into_owned(), at, size));
        at += size;
    }
    found
}

/// Every sample of one segment or part; the init segment's edit list takes off `delay` ticks.
pub(super) fn samples(bytes: &[u8], timescale: f64, delay: u32) -> Vec<Read> {
    let mut out = Vec::new();
    for (kind, at, size) in boxes(bytes) {
        if kind != "moof" {
            continue;
        }
        let moof = MoofBox::decode(&bytes[at..at + size]).unwrap().0;
        let traf = &moof.traf_boxes[0];
        let mut decode = traf.tfdt_box.as_ref().unwrap().base_media_decode_time;
        let trun = &traf.trun_boxes[0];
        let mut from = at + trun.data_offset.unwrap() as usize;
        for sample in &trun.samples {
            let duration = sample.duration.or(traf.tfhd_box.default_sample_duration).unwrap();
            let size = sample.size.unwrap() as usize;
            let offset = sample.composition_time_offset.unwrap_or(0);
            assert!(offset >= 0, "FFmpeg takes a negative offset for a delay: {offset}");
            let offset = offset - i64::from(delay);
            out.push(Read {
                decode: decode as f64 / timescale,
                show: (decode as f64 + offset as f64) / timescale,
                duration: f64::from(duration) / timescale,
                text: String::from_utf8_lossy(&bytes[from..from + size]).into_owned(),
            });
            decode += u64::from(duration);
            from += size;
        }
    }
    out
}

/// Every sample of a rendition's listed segments, checking that they follow one another.
pub(super) fn rendition(rig: &Rig, name: &str) -> Vec<Read> {
    let rendition = rig.stream.rendition(name).unwrap();
    let timescale = f64::from(rendition.info().timescale);
    let mut all: Vec<Read> = Vec::new();
    for entry in rendition.segments().iter().filter(|entry| !entry.is_gap()) {
        let bytes = rig.stream.segment_bytes(name, entry.number).unwrap();
        assert_eq!(bytes.len() as u64, entry.bytes);
        let delay = init_delay(&rendition.init(entry.init).unwrap());
        let read = samples(&bytes, timescale, delay);
        let sum: f64 = read.iter().map(|sample| sample.duration).sum();
        assert!((sum - entry.seconds(rendition.info().timescale)).abs() < 1e-6, "{name} {}", entry.number);
        assert!((read[0].decode - entry.start_seconds(rendition.info().timescale)).abs() < 1e-6);
        if let Some(last) = all.last()
            && !entry.discontinuity
        {
            let end = last.decode + last.duration;
            assert!((end - read[0].decode).abs() < 1e-6, "{name} {}: {end} {}", entry.number, read[0].decode);
        }
        all.extend(read);
    }
    all
}
