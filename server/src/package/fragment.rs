//! Media segments: `styp`, `moof`, `mdat`.

use bytes::Bytes;

use super::PackageError;
use super::boxes::{put_u32, put_u64, write_box, write_full_box};

/// One access unit.
#[derive(Debug, Clone)]
pub struct Sample {
    /// In ticks of the track's timescale.
    pub duration: u32,
    /// Presentation time minus decode time in ticks, plus the delay that the init segment takes off
    /// ([`video_init_delayed`](super::video_init_delayed)).
    pub composition_offset: i32,
    /// Decoding can start here.
    pub key: bool,
    /// The coded bytes; H.264 with four-byte NAL lengths.
    pub data: Bytes,
}

/// Sample flags of ISO/IEC 14496-12, 8.8.3.1: depends on no other sample.
const KEY_FLAGS: u32 = 0x0200_0000;
/// Depends on others; not a sync sample.
const DELTA_FLAGS: u32 = 0x0101_0000;
/// A segment's samples together; far above any bitrate in use.
const LIMIT: usize = 1 << 30;

/// When the first sample of a chunk was there to be coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerTime {
    /// Milliseconds since 1970-01-01 UTC.
    pub unix_ms: u64,
}

impl ProducerTime {
    /// As an NTP timestamp (RFC 5905): seconds since 1900 in 32.32 fixed point.
    fn ntp(self) -> u64 {
        const UNIX_IN_NTP: u64 = 2_208_988_800;
        let (seconds, ms) = (self.unix_ms / 1000, self.unix_ms % 1000);
        (seconds + UNIX_IN_NTP) << 32 | ((ms << 32) / 1000)
    }
}

/// Writes one segment with a single fragment.
///
/// `sequence` is the fragment's number within its rendition, from 1; `base_decode_time` the first sample's
/// decode time in ticks, counted from the stream's beginning. Decode times of the others follow from the
/// durations.
///
/// # Errors
/// When there is no sample, or more than 1 GiB of them.
pub fn media_segment(
    track: u32,
    sequence: u32,
    base_decode_time: u64,
    samples: &[Sample],
) -> Result<Bytes, PackageError> {
    fragment(track, sequence, base_decode_time, samples, true, None)
}

/// Writes one CMAF chunk (ISO/IEC 23000-19, 7.3.2.3): a part of a live segment. The `first` of a segment brings
/// the segment's `styp`, and the producer's reference time where it is given (`prft`, ISO/IEC 14496-12, 8.16.5).
///
/// # Errors
/// As [`media_segment`].
pub fn chunk(
    track: u32,
    sequence: u32,
    base_decode_time: u64,
    samples: &[Sample],
    first: bool,
    produced: Option<ProducerTime>,
) -> Result<Bytes, PackageError> {
    fragment(track, sequence, base_decode_time, samples, first, produced)
}

fn fragment(
    track: u32,
    sequence: u32,
    base_decode_time: u64,
    samples: &[Sample],
    styp: bool,
    produced: Option<ProducerTime>,
) -> Result<Bytes, PackageError> {
    let payload: usize = samples.iter().map(|sample| sample.data.len()).sum();
    let Some(first) = samples.first() else {
        return Err(PackageError::Malformed("a segment without samples".to_owned()));
    };
    if payload > LIMIT {
        return Err(PackageError::TooLarge(format!("{payload} bytes, the limit is {LIMIT}")));
    }
    let same_duration = samples.iter().all(|sample| sample.duration == first.duration);
    let all_key = samples.iter().all(|sample| sample.key);
    let only_first_key = samples.iter().skip(1).all(|sample| !sample.key);
    let shifted = samples.iter().any(|sample| sample.composition_offset != 0);

    let mut out = Vec::with_capacity(payload + 256 + samples.len() * 16);
    if styp {
        write_box(&mut out, b"styp", |out| {
            out.extend_from_slice(b"msdh");
            put_u32(out, 0);
            for brand in [b"msdh", b"cmfs", b"cmff"] {
                out.extend_from_slice(brand);
            }
        });
    }
    if let Some(produced) = produced {
        // Flags 24: the time at which the source was captured.
        write_full_box(&mut out, b"prft", 1, 24, |out| {
            put_u32(out, track);
            put_u64(out, produced.ntp());
            put_u64(out, base_decode_time);
        });
    }
    let moof_at = out.len();
    let mut offset_at = 0;
    write_box(&mut out, b"moof", |out| {
        write_full_box(out, b"mfhd", 0, 0, |out| put_u32(out, sequence));
        write_box(out, b"traf", |out| {
            // default-base-is-moof, default duration, default flags
            write_full_box(out, b"tfhd", 0, 0x02_0028, |out| {
                put_u32(out, track);
                put_u32(out, first.duration);
                put_u32(out, if all_key { KEY_FLAGS } else { DELTA_FLAGS });
            });
            write_full_box(out, b"tfdt", 1, 0, |out| put_u64(out, base_decode_time));
            let mut flags = 0x0201; // data offset, sizes
            if !same_duration {
                flags |= 0x0100;
            }
            let first_tells_all = only_first_key && first.key;
            let flags_each = !(all_key || first_tells_all);
            if flags_each {
                flags |= 0x0400;
            } else if !all_key {
                flags |= 0x0004; // flags of the first sample
            }
            if shifted {
                flags |= 0x0800;
            }
            write_full_box(out, b"trun", 1, flags, |out| {
                put_u32(out, samples.len() as u32);
                offset_at = out.len();
                put_u32(out, 0);
                if flags & 0x0004 != 0 {
                    put_u32(out, KEY_FLAGS);
                }
                for sample in samples {
                    if !same_duration {
                        put_u32(out, sample.duration);
                    }
                    put_u32(out, sample.data.len() as u32);
                    if flags_each {
                        put_u32(out, if sample.key { KEY_FLAGS } else { DELTA_FLAGS });
                    }
                    if shifted {
                        out.extend_from_slice(&sample.composition_offset.to_be_bytes());
                    }
                }
            });
        });
    });
    let data_offset = (out.len() - moof_at + 8) as u32;
    if let Some(field) = out.get_mut(offset_at..offset_at + 4) {
        field.copy_from_slice(&data_offset.to_be_bytes());
    }
    write_box(&mut out, b"mdat", |out| {
        for sample in samples {
            out.extend_from_slice(&sample.data);
        }
    });
    Ok(Bytes::from(out))
}
