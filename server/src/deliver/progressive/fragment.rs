//! Fragments as a progressive stream wants them: numbered across its tracks, on a timeline that begins at 0.

use std::io;

use bytes::Bytes;

/// A fragment of one of our segments under another `sequence` number, `earlier` ticks before its own time, in two pieces of
/// which the second, its samples, is not copied. What stands before its `moof` says nothing in a progressive stream, or
/// (`prft`) speaks of the times that it had: it is left out.
///
/// # Errors
/// When it is not a fragment of this server.
pub(super) fn moved(fragment: &Bytes, sequence: u32, earlier: u64) -> io::Result<[Bytes; 2]> {
    let bad = || io::Error::other("not a fragment of this server");
    let (begin, end) = find(fragment, 0, fragment.len(), *b"moof").ok_or_else(bad)?;
    let mut head = fragment.get(begin..end).ok_or_else(bad)?.to_vec();
    let whole = head.len();
    let (mfhd, _) = find(&head, 8, whole, *b"mfhd").ok_or_else(bad)?;
    put(&mut head, mfhd + 12, sequence.to_be_bytes()).ok_or_else(bad)?;
    let (traf, traf_end) = find(&head, 8, whole, *b"traf").ok_or_else(bad)?;
    let (tfdt, _) = find(&head, traf + 8, traf_end, *b"tfdt").ok_or_else(bad)?;
    // Ours are of version 1: 64 bits.
    let at = tfdt + 12;
    let time =
        head.get(at..).and_then(|rest| rest.first_chunk::<8>()).filter(|_| head.get(tfdt + 8) == Some(&1));
    let time = u64::from_be_bytes(*time.ok_or_else(bad)?);
    put(&mut head, at, time.saturating_sub(earlier).to_be_bytes()).ok_or_else(bad)?;
    Ok([head.into(), fragment.slice(end..)])
}

/// Where a box begins and ends among those from `from` to `to`.
fn find(bytes: &[u8], from: usize, to: usize, wanted: [u8; 4]) -> Option<(usize, usize)> {
    let mut at = from;
    while at < to {
        let size = u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?) as usize;
        let end = at.checked_add(size).filter(|end| size >= 8 && *end <= to)?;
        if bytes.get(at + 4..at + 8)? == wanted {
            return Some((at, end));
        }
        at = end;
    }
    None
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) -> Option<()> {
    bytes.get_mut(at..at.checked_add(N)?)?.copy_from_slice(&value);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::{ProducerTime, Sample, VIDEO_TRACK, chunk, media_segment};

    fn samples() -> [Sample; 1] {
        [Sample { duration: 3600, composition_offset: 0, key: true, data: Bytes::from_static(&[7; 40]) }]
    }

    #[test]
    fn a_fragment_gets_its_number_and_its_time_and_keeps_its_samples() {
        let produced = Some(ProducerTime { unix_ms: 1 });
        let live = chunk(VIDEO_TRACK, 9, 900_000, &samples(), true, produced).unwrap();
        let [head, rest] = moved(&live, 3, 890_000).unwrap();
        let plain = media_segment(VIDEO_TRACK, 3, 10_000, &samples()).unwrap();
        let from = plain.windows(4).position(|four| four == b"moof").unwrap() - 4;
        assert_eq!([head, rest].concat(), plain[from..], "as if it had been made so");
        let [early, _] = moved(&live, 1, u64::MAX).unwrap();
        assert_eq!(
            early.windows(8).filter(|eight| *eight == [0; 8]).count().min(1),
            1,
            "not before the beginning"
        );
    }

    #[test]
    fn what_is_no_fragment_of_ours_is_refused() {
        let good = media_segment(VIDEO_TRACK, 1, 5, &samples()).unwrap();
        for at in 0..good.len() - 48 {
            for value in [0, 1, 7, 0xff] {
                let mut bad = good.to_vec();
                bad[at] = value;
                let _ = moved(&bad.into(), 1, 1);
                let _ = moved(&good.slice(..at), 1, 1);
            }
        }
        assert!(moved(&Bytes::from_static(b"\0\0\0\x08free"), 1, 0).is_err());
    }
}
