//! The progressive stream: one init segment for two renditions, fragments renumbered.

use bytes::Bytes;

use super::boxes::{children, find, put_u32, write_box};
use super::{AUDIO_TRACK, PackageError};

/// One init segment with the tracks of a video and an audio rendition's.
///
/// # Errors
/// When one of them is not an init segment of this server.
pub fn muxed_init(video: &[u8], audio: &[u8]) -> Result<Bytes, PackageError> {
    let video = children(video)?;
    let audio = children(audio)?;
    let ftyp = find(&video, b"ftyp")?;
    let video_moov = children(find(&video, b"moov")?.body)?;
    let audio_moov = children(find(&audio, b"moov")?.body)?;
    let mvhd = find(&video_moov, b"mvhd")?.whole;
    let Some((mvhd_head, _next_track)) = mvhd.split_last_chunk::<4>() else {
        return Err(PackageError::Malformed("mvhd is empty".to_owned()));
    };
    let traks = [find(&video_moov, b"trak")?, find(&audio_moov, b"trak")?];
    let mut trexs = Vec::new();
    for moov in [&video_moov, &audio_moov] {
        let mvex = children(find(moov, b"mvex")?.body)?;
        trexs.push(find(&mvex, b"trex")?);
    }
    let mut out = Vec::with_capacity(2048);
    out.extend_from_slice(ftyp.whole);
    write_box(&mut out, b"moov", |out| {
        out.extend_from_slice(mvhd_head);
        put_u32(out, AUDIO_TRACK + 1);
        for trak in traks {
            out.extend_from_slice(trak.whole);
        }
        write_box(out, b"mvex", |out| {
            for trex in &trexs {
                out.extend_from_slice(trex.whole);
            }
        });
    });
    Ok(Bytes::from(out))
}

/// A stored segment with another fragment sequence number, in two pieces of which the second, by far the
/// larger, is not copied. Fragments of a muxed stream must count 1, 2, 3 ... across its tracks.
///
/// # Errors
/// When it is not a media segment of this server.
pub fn with_sequence(segment: &Bytes, sequence: u32) -> Result<[Bytes; 2], PackageError> {
    let top = children(segment)?;
    let moof = find(&top, b"moof")?;
    let mfhd = find(&children(moof.body)?, b"mfhd")?;
    // moof header (8), mfhd header (8), version and flags (4), then the number.
    let at = moof.offset + 8 + mfhd.offset + 12;
    let (Some(head), Some(_)) = (segment.get(..at), segment.get(at + 4..)) else {
        return Err(PackageError::Malformed("mfhd is cut short".to_owned()));
    };
    let mut head = head.to_vec();
    put_u32(&mut head, sequence);
    Ok([Bytes::from(head), segment.slice(at + 4..)])
}

/// [`with_sequence`] for a segment of any number of chunks, numbered from `first` on. Returns the pieces and how
/// many numbers they took. What a muxed stream has no use for (`prft` names a track of its own) stays in.
///
/// # Errors
/// When it is not a media segment of this server.
pub fn with_sequences(segment: &Bytes, first: u32) -> Result<(Vec<Bytes>, u32), PackageError> {
    let mut pieces = Vec::new();
    let (mut from, mut count) = (0, 0_u32);
    for moof in children(segment)?.iter().filter(|found| &found.kind == b"moof") {
        let mfhd = find(&children(moof.body)?, b"mfhd")?;
        let at = moof.offset + 8 + mfhd.offset + 12;
        if at + 4 > segment.len() || at < from {
            return Err(PackageError::Malformed("mfhd is cut short".to_owned()));
        }
        let mut head = segment.slice(from..at).to_vec();
        put_u32(&mut head, first.wrapping_add(count));
        // Up to the end of the fragment's head it is small; its samples, by far the larger, are not copied.
        let body = (moof.offset + moof.whole.len()).clamp(at + 4, segment.len());
        head.extend_from_slice(segment.get(at + 4..body).unwrap_or_default());
        pieces.push(Bytes::from(head));
        let next = children(segment)?
            .iter()
            .find(|found| found.offset >= body && matches!(&found.kind, b"moof" | b"prft" | b"styp"))
            .map_or(segment.len(), |found| found.offset);
        if next > body {
            pieces.push(segment.slice(body..next));
        }
        from = next;
        count += 1;
    }
    if count == 0 {
        return Err(PackageError::Malformed("no moof box".to_owned()));
    }
    Ok((pieces, count))
}
