//! Init segments: `ftyp` and a `moov` without samples.

use bytes::Bytes;

use super::boxes::{children, find, put_u16, put_u32, put_u64, write_box, write_full_box};
use super::{AUDIO_TRACK, AudioCodec, AudioConfig, VIDEO_TRACK, VideoConfig, language};

/// What an init segment of this server is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitFormat {
    /// RFC 6381 codec string.
    pub codecs: String,
    /// Pixels; 0 for sound.
    pub width: u32,
    /// Pixels; 0 for sound.
    pub height: u32,
    /// Hz; 0 for pictures.
    pub sample_rate: u32,
    /// Channels; 0 for pictures.
    pub channels: u32,
}

/// The unity matrix of `mvhd` and `tkhd`.
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// The init segment of a video rendition with `timescale` ticks a second.
#[must_use]
pub fn video_init(config: &VideoConfig, timescale: u32) -> Bytes {
    video_init_delayed(config, timescale, 0)
}

/// The init segment of a video rendition whose composition offsets were all raised by `delay` ticks, so that none
/// is negative: an edit list (ISO/IEC 14496-12, 8.6.6) takes the delay off again, and presentation times stay what
/// they are. Some players, those that stand on FFmpeg's demuxer among them, take the most negative offset for a delay
/// of the whole track where no edit list speaks. A `delay` of 0 writes none.
#[must_use]
pub fn video_init_delayed(config: &VideoConfig, timescale: u32, delay: u32) -> Bytes {
    init(VIDEO_TRACK, &|out| {
        let track = Track {
            id: VIDEO_TRACK,
            volume: 0,
            timescale,
            handler: *b"vide",
            delay,
            language: language::packed(None),
        };
        trak(out, track, (config.width, config.height), &|out| visual(out, config));
    })
}

/// The delay of [`video_init_delayed`] in an init segment of this server; 0 where it has no edit list.
#[must_use]
pub fn init_delay(init: &[u8]) -> u32 {
    let read = || {
        let mut body = init;
        for kind in [b"moov", b"trak", b"edts", b"elst"] {
            body = find(&children(body).ok()?, kind).ok()?.body;
        }
        // Version and flags, the count, the edit's duration, its media time.
        body.get(12..16)?.first_chunk().map(|four| u32::from_be_bytes(*four))
    };
    read().unwrap_or(0)
}

/// What an init segment of this server is for; `None` for bytes that are none.
#[must_use]
pub fn init_format(init: &[u8]) -> Option<InitFormat> {
    let mut body = init;
    for kind in [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"] {
        body = find(&children(body).ok()?, kind).ok()?.body;
    }
    // Version, flags and the count of entries.
    let entry = *children(body.get(8..)?).ok()?.first()?;
    let word = |at: usize| entry.body.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two));
    let record = |fixed: usize, kind: &[u8; 4]| -> Option<&[u8]> {
        Some(find(&children(entry.body.get(fixed..)?).ok()?, kind).ok()?.body)
    };
    let sound = |config: AudioConfig| InitFormat {
        codecs: config.codec_string(),
        width: 0,
        height: 0,
        sample_rate: config.sample_rate,
        channels: config.channels.into(),
    };
    let picture = |config: VideoConfig| InitFormat {
        codecs: config.codec_string(),
        width: config.width.into(),
        height: config.height.into(),
        sample_rate: 0,
        channels: 0,
    };
    let (width, height) = (word(24)?, word(26)?);
    match &entry.kind {
        b"avc1" => VideoConfig::from_avcc(width, height, record(78, b"avcC")?).ok().map(picture),
        b"hvc1" => VideoConfig::from_hvcc(width, height, record(78, b"hvcC")?).ok().map(picture),
        b"av01" => VideoConfig::from_av1c(width, height, record(78, b"av1C")?).ok().map(picture),
        b"Opus" => AudioConfig::from_dops(0, record(28, b"dOps")?).ok().map(sound),
        b"ac-3" => AudioConfig::from_dolby(AudioCodec::Ac3, 0, record(28, b"dac3")?).ok().map(sound),
        b"ec-3" => AudioConfig::from_dolby(AudioCodec::Eac3, 0, record(28, b"dec3")?).ok().map(sound),
        b"mp4a" => {
            // As `mp4a` writes it: every length is one byte.
            let descriptors = record(28, b"esds")?;
            let length = usize::from(*descriptors.get(25)?);
            let asc = descriptors.get(26..26 + length)?;
            AudioConfig::from_asc(u32::from(word(24)?), word(16)?, 0, asc).ok().map(sound)
        }
        _ => None,
    }
}

/// The init segment of an audio rendition; its timescale is the sample rate.
#[must_use]
pub fn audio_init(config: &AudioConfig) -> Bytes {
    audio_init_at(config, config.sample_rate)
}

/// The init segment of an audio rendition with `timescale` ticks a second: a live rendition keeps its own when
/// the publisher changes the sample rate.
#[must_use]
pub fn audio_init_at(config: &AudioConfig, timescale: u32) -> Bytes {
    audio_init_in(config, timescale, None)
}

/// The same of sound in a language (RFC 5646).
#[must_use]
pub fn audio_init_in(config: &AudioConfig, timescale: u32, language: Option<&str>) -> Bytes {
    let language = language::packed(language);
    init(AUDIO_TRACK, &|out| {
        let track =
            Track { id: AUDIO_TRACK, volume: 0x0100, timescale, handler: *b"soun", delay: 0, language };
        trak(out, track, (0, 0), &|out| match config.codec() {
            AudioCodec::Aac => mp4a(out, config),
            AudioCodec::Opus => other_sound(out, b"Opus", b"dOps", config),
            AudioCodec::Ac3 => other_sound(out, b"ac-3", b"dac3", config),
            AudioCodec::Eac3 => other_sound(out, b"ec-3", b"dec3", config),
        });
    })
}

fn init(track: u32, write_trak: &dyn Fn(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    write_box(&mut out, b"ftyp", |out| {
        out.extend_from_slice(b"iso6");
        put_u32(out, 0);
        for brand in [b"iso6", b"cmfc", b"mp41"] {
            out.extend_from_slice(brand);
        }
    });
    write_box(&mut out, b"moov", |out| {
        write_full_box(out, b"mvhd", 0, 0, |out| {
            for value in [0, 0, 1000, 0] {
                put_u32(out, value); // created, modified, timescale, duration
            }
            put_u32(out, 0x1_0000); // rate 1.0
            put_u16(out, 0x0100); // volume 1.0
            out.extend_from_slice(&[0; 10]);
            MATRIX.iter().for_each(|value| put_u32(out, *value));
            out.extend_from_slice(&[0; 24]);
            put_u32(out, track + 1); // next track
        });
        write_trak(out);
        write_box(out, b"mvex", |out| {
            write_full_box(out, b"trex", 0, 0, |out| {
                for value in [track, 1, 0, 0, 0] {
                    put_u32(out, value); // sample description 1; fragments bring their own defaults
                }
            });
        });
    });
    Bytes::from(out)
}

/// What tells one `trak` from another.
#[derive(Debug, Clone, Copy)]
struct Track {
    id: u32,
    volume: u16,
    timescale: u32,
    handler: [u8; 4],
    /// Media time at which the presentation begins.
    delay: u32,
    /// As `mdhd` writes it.
    language: u16,
}

fn trak(out: &mut Vec<u8>, track: Track, (width, height): (u16, u16), entry: &dyn Fn(&mut Vec<u8>)) {
    let Track { id, volume, timescale, handler, delay, language } = track;
    write_box(out, b"trak", |out| {
        // enabled, in movie
        write_full_box(out, b"tkhd", 0, 3, |out| {
            for value in [0, 0, id, 0, 0, 0, 0] {
                put_u32(out, value); // created, modified, id, reserved, duration, reserved x 2
            }
            put_u32(out, 0); // layer, alternate group
            put_u16(out, volume);
            put_u16(out, 0);
            MATRIX.iter().for_each(|value| put_u32(out, *value));
            put_u32(out, u32::from(width) << 16);
            put_u32(out, u32::from(height) << 16);
        });
        if delay > 0 {
            write_box(out, b"edts", |out| {
                write_full_box(out, b"elst", 0, 0, |out| {
                    // One edit, of everything the fragments bring (duration 0), at rate 1.0.
                    for value in [1, 0, delay, 0x1_0000] {
                        put_u32(out, value);
                    }
                });
            });
        }
        write_box(out, b"mdia", |out| {
            write_full_box(out, b"mdhd", 0, 0, |out| {
                for value in [0, 0, timescale, 0] {
                    put_u32(out, value);
                }
                put_u16(out, language);
                put_u16(out, 0);
            });
            write_full_box(out, b"hdlr", 0, 0, |out| {
                put_u32(out, 0);
                out.extend_from_slice(&handler);
                out.extend_from_slice(&[0; 12]);
                out.extend_from_slice(b"weir\0");
            });
            write_box(out, b"minf", |out| {
                if handler == *b"vide" {
                    write_full_box(out, b"vmhd", 0, 1, |out| put_u64(out, 0));
                } else {
                    write_full_box(out, b"smhd", 0, 0, |out| put_u32(out, 0));
                }
                write_box(out, b"dinf", |out| {
                    write_full_box(out, b"dref", 0, 0, |out| {
                        put_u32(out, 1);
                        write_full_box(out, b"url ", 0, 1, |_| ()); // in this file
                    });
                });
                write_box(out, b"stbl", |out| {
                    write_full_box(out, b"stsd", 0, 0, |out| {
                        put_u32(out, 1);
                        entry(out);
                    });
                    for empty in [b"stts", b"stsc", b"stco"] {
                        write_full_box(out, empty, 0, 0, |out| put_u32(out, 0));
                    }
                    write_full_box(out, b"stsz", 0, 0, |out| put_u64(out, 0));
                });
            });
        });
    });
}

fn visual(out: &mut Vec<u8>, config: &VideoConfig) {
    let (entry, record) = config.boxes();
    write_box(out, entry, |out| {
        out.extend_from_slice(&[0; 6]);
        put_u16(out, 1); // data reference
        out.extend_from_slice(&[0; 16]);
        put_u16(out, config.width);
        put_u16(out, config.height);
        put_u32(out, 0x48_0000); // 72 dpi
        put_u32(out, 0x48_0000);
        put_u32(out, 0);
        put_u16(out, 1); // frames a sample
        out.extend_from_slice(&[0; 32]); // compressor name
        put_u16(out, 24); // depth
        put_u16(out, 0xffff);
        write_box(out, record, |out| out.extend_from_slice(config.record()));
        write_box(out, b"pasp", |out| {
            put_u32(out, 1);
            put_u32(out, 1);
        });
    });
}

fn sound_entry(out: &mut Vec<u8>, config: &AudioConfig) {
    out.extend_from_slice(&[0; 6]);
    put_u16(out, 1); // data reference
    put_u64(out, 0);
    put_u16(out, config.channels);
    put_u16(out, 16); // sample size
    put_u32(out, 0);
    // 16.16; rates above 65535 Hz do not fit and are read from the AudioSpecificConfig anyway.
    put_u32(out, config.sample_rate.min(0xffff) << 16);
}

fn other_sound(out: &mut Vec<u8>, entry: &[u8; 4], record: &[u8; 4], config: &AudioConfig) {
    write_box(out, entry, |out| {
        sound_entry(out, config);
        write_box(out, record, |out| out.extend_from_slice(config.set_up()));
    });
}

fn mp4a(out: &mut Vec<u8>, config: &AudioConfig) {
    write_box(out, b"mp4a", |out| {
        sound_entry(out, config);
        write_full_box(out, b"esds", 0, 0, |out| {
            // ISO/IEC 14496-1: every length below fits one byte, for the config is at most 64 bytes long.
            let asc = config.set_up();
            let specific = asc.len() as u8;
            let decoder = 13 + 2 + specific;
            out.extend_from_slice(&[0x03, 3 + 2 + decoder + 3]); // ES descriptor
            put_u16(out, AUDIO_TRACK as u16);
            out.push(0);
            out.extend_from_slice(&[0x04, decoder]); // decoder configuration
            out.extend_from_slice(&[0x40, 0x15, 0, 0, 0]); // AAC, audio stream, buffer size unknown
            put_u32(out, config.bitrate); // maximum
            put_u32(out, config.bitrate); // average
            out.extend_from_slice(&[0x05, specific]); // decoder specific info
            out.extend_from_slice(asc);
            out.extend_from_slice(&[0x06, 1, 2]); // sync layer: MP4
        });
    });
}
