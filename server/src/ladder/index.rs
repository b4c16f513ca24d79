//! Looks through a source to find out whether it can pass through, and where it can be cut.

use std::path::Path;

use super::LadderError;
use super::log::Voice;
use super::units::{NextUnit, SourceFormat, UnitReader};

/// Ticks a second of the source rung.
pub(crate) const SOURCE_TIMESCALE: u32 = 90_000;
/// Units that are looked at: a day at 60 a second.
const MOST_UNITS: usize = 5_200_000;
/// How much later than its other tracks the video may begin or end.
const MARGIN_NS: i64 = 100_000_000;

/// A source that can be cut without being encoded.
#[derive(Debug, Clone)]
pub(crate) struct SourceIndex {
    pub(crate) format: SourceFormat,
    /// Presentation times of key frames that nothing after them refers across, on the file's timeline.
    keys: Vec<i64>,
    /// Presentation time of the first picture, and the end of the last.
    pub(crate) first_ns: i64,
    pub(crate) end_ns: i64,
    /// Longest that a picture is shown before its decode time when the times of presentation in rising order are
    /// the decode times, in ticks of [`SOURCE_TIMESCALE`], rounded up.
    pub(crate) delay: u32,
    /// Pictures a second, where they are more than anything is encoded with.
    pub(crate) fast: Option<(u32, u32)>,
    bytes: u64,
}

/// Pictures a second that rungs have at most.
const FASTEST_ENCODED: f64 = 60.0;

/// Nanoseconds in ticks of [`SOURCE_TIMESCALE`], rounded to the nearest.
pub(crate) fn source_ticks(ns: u64) -> u64 {
    ((u128::from(ns) * u128::from(SOURCE_TIMESCALE) + 500_000_000) / 1_000_000_000) as u64
}

/// Nanoseconds in ticks of [`SOURCE_TIMESCALE`], rounded up; the difference of two rounded times is no more.
fn ticks_above(ns: i64) -> u32 {
    let ticks = (i128::from(ns.max(0)) * i128::from(SOURCE_TIMESCALE) + 999_999_999) / 1_000_000_000;
    i32::try_from(ticks).map_or(0, i32::unsigned_abs)
}

impl SourceIndex {
    /// Reads the whole file once. The inner error is a sentence that says why the source cannot pass through: also where it
    /// cannot be read this way, which says nothing about whether it can be decoded.
    pub(crate) fn scan(
        path: &Path,
        nice: i32,
        stop: &dyn Fn() -> bool,
    ) -> Result<Result<Self, String>, LadderError> {
        match Self::read(path, nice, stop) {
            Err(error) if !stop() => Ok(Err(format!("it cannot be read without being decoded: {error}"))),
            result => result,
        }
    }

    fn read(path: &Path, nice: i32, stop: &dyn Fn() -> bool) -> Result<Result<Self, String>, LadderError> {
        // What goes wrong here is no error of the job's.
        let Some(reader) = UnitReader::open(path, nice, &Voice::unheard(), stop)? else {
            return Ok(Err("its video is not H.264, HEVC or AV1 in MP4 or Matroska".to_owned()));
        };
        reader.play()?;
        let mut times: Vec<i64> = Vec::new();
        let mut keys: Vec<i64> = Vec::new();
        let mut format: Option<SourceFormat> = None;
        let (mut bytes, mut end_ns) = (0_u64, i64::MIN);
        loop {
            if stop() {
                return Err(LadderError::Decode("cancelled".to_owned()));
            }
            let (unit, now) = match reader.next()? {
                NextUnit::Unit(unit, now) => (unit, now),
                NextUnit::Waiting => continue,
                NextUnit::End => break,
            };
            if !now.plain || now.turned {
                return Ok(Err(
                    "its pictures are interlaced, turned, or of pixels that are not square".to_owned()
                ));
            }
            if format.is_none()
                && let Err(error) = now.set_up()
            {
                return Ok(Err(error.to_string()));
            }
            if format.get_or_insert_with(|| now.clone()) != &now {
                return Ok(Err("its coding changes on the way".to_owned()));
            }
            if times.is_empty() && !unit.key {
                return Ok(Err("it does not begin with a key frame".to_owned()));
            }
            if times.len() >= MOST_UNITS {
                return Ok(Err("it has more pictures than can be indexed".to_owned()));
            }
            if unit.key {
                keys.push(unit.pts_ns);
            } else if keys.len() > 1 && keys.last().is_some_and(|key| unit.pts_ns < *key) {
                keys.pop(); // an open GOP: what follows the key frame is shown before it
            }
            times.push(unit.pts_ns);
            end_ns = end_ns.max(unit.pts_ns + unit.duration_ns.unwrap_or(0) as i64);
            bytes += unit.data.len() as u64;
        }
        let Some(format) = format else { return Ok(Err("it has no pictures".to_owned())) };
        Ok(Self::of(format, &times, keys, end_ns, bytes))
    }

    /// `times` in decode order.
    fn of(
        format: SourceFormat,
        times: &[i64],
        keys: Vec<i64>,
        end_ns: i64,
        bytes: u64,
    ) -> Result<Self, String> {
        let mut shown = times.to_vec();
        shown.sort_unstable();
        let early = shown.iter().zip(times).map(|(decode, time)| decode - time).max().unwrap_or(0);
        let times = shown.as_slice();
        let (Some(first_ns), Some(last)) = (times.first().copied(), times.last().copied()) else {
            return Err("it has no pictures".to_owned());
        };
        if keys.first() != Some(&first_ns) {
            return Err("pictures are shown before its first key frame".to_owned());
        }
        let ticks = |ns: i64| source_ticks((ns - first_ns).max(0) as u64);
        if times.windows(2).any(|pair| matches!(pair, [a, b] if ticks(*a) >= ticks(*b))) {
            return Err("pictures have the same time".to_owned());
        }
        let usual = match times {
            [.., before, last] => last - before,
            _ => 40_000_000,
        };
        // A container may leave out the last duration.
        let end_ns = if end_ns > last { end_ns } else { last + usual };
        let rate = times.len() as f64 * 1e9 / (end_ns - first_ns).max(1) as f64;
        let fast = (rate > FASTEST_ENCODED * 1.01).then(|| (rate.round().min(1000.0) as u32, 1));
        Ok(Self { format, keys, first_ns, end_ns, delay: ticks_above(early), fast, bytes })
    }

    /// Average bitrate in bit/s.
    pub(crate) fn bandwidth(&self) -> u64 {
        let ns = (self.end_ns - self.first_ns).max(1) as u128;
        (u128::from(self.bytes) * 8 * 1_000_000_000 / ns) as u64
    }

    /// Where segments begin, in nanoseconds from `origin_ns` of the file's time, the first at 0; or why none of
    /// about `segment_ms` can be made. `duration_ns` is the file's, with its sound.
    pub(crate) fn cuts(
        &self,
        origin_ns: i64,
        segment_ms: u32,
        duration_ns: Option<u64>,
    ) -> Result<Vec<u64>, String> {
        if self.first_ns - origin_ns > MARGIN_NS {
            return Err("its pictures begin later than its sound".to_owned());
        }
        if duration_ns.is_some_and(|ns| ns as i64 > self.end_ns - origin_ns + 1_000_000_000) {
            return Err("its sound is longer than its pictures".to_owned());
        }
        let wanted = i64::from(segment_ms) * 1_000_000;
        // What still rounds to the target duration that playlists announce (RFC 8216bis, 4.4.3.1).
        let limit = i64::from((segment_ms + 500) / 1000) * 1_000_000_000 + 499_000_000;
        let mut cuts = vec![0_u64];
        let mut start = self.first_ns;
        let mut keys = self.keys.iter().copied().skip(1).peekable();
        loop {
            let mut best = None;
            while let Some(key) = keys.peek().copied() {
                let near = key - start <= wanted + MARGIN_NS / 2;
                if !near && (best.is_some() || key - start > limit) {
                    break;
                }
                best = Some(key);
                keys.next();
                if !near {
                    break;
                }
            }
            let Some(key) = best else { break };
            // A rest that fits is not cut off.
            if self.end_ns - start <= wanted {
                break;
            }
            cuts.push((key - origin_ns).max(0) as u64);
            start = key;
        }
        let longest = keys.peek().copied().unwrap_or(self.end_ns) - start;
        if longest > limit {
            return Err(format!(
                "its key frames (of closed GOPs) are up to {:.1} s apart, more than the profile's segment_ms of {segment_ms} allows",
                longest as f64 / 1e9
            ));
        }
        Ok(cuts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::VideoCodec;

    const S: i64 = 1_000_000_000;

    fn index(keys: &[f64], end: f64) -> SourceIndex {
        let ns = |s: f64| (s * 1e9) as i64;
        let format = SourceFormat {
            codec: VideoCodec::Avc,
            config: bytes::Bytes::new(),
            width: 320,
            height: 180,
            plain: true,
            turned: false,
        };
        let times: Vec<i64> = (0..(end * 25.0) as i64).map(|n| n * S / 25).collect();
        SourceIndex::of(format, &times, keys.iter().map(|s| ns(*s)).collect(), ns(end), 1_000_000).unwrap()
    }

    fn seconds(cuts: &[u64]) -> Vec<f64> {
        cuts.iter().map(|ns| *ns as f64 / 1e9).collect()
    }

    #[test]
    fn segments_are_as_long_as_key_frames_allow_without_passing_the_target() {
        let two = index(&[0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0], 13.0);
        assert_eq!(seconds(&two.cuts(0, 4000, None).unwrap()), [0.0, 4.0, 8.0, 12.0]);
        assert_eq!(seconds(&two.cuts(0, 6000, None).unwrap()), [0.0, 6.0, 12.0]);
        let odd = index(&[0.0, 1.2, 3.6, 4.4, 8.0, 12.2, 12.6], 14.0);
        assert_eq!(seconds(&odd.cuts(0, 4000, None).unwrap()), [0.0, 3.6, 4.4, 8.0, 12.2]);
    }

    #[test]
    fn more_pictures_a_second_than_anything_is_encoded_with_are_told() {
        let of = |rate: i64| {
            let times: Vec<i64> = (0..rate * 2).map(|n| n * S / rate).collect();
            let format = index(&[0.0], 1.0).format;
            SourceIndex::of(format, &times, vec![0], 2 * S, 1000).unwrap().fast
        };
        assert_eq!([of(25), of(60), of(120), of(144)], [None, None, Some((120, 1)), Some((144, 1))]);
    }

    #[test]
    fn key_frames_too_far_apart_are_refused_with_their_distance() {
        let why = index(&[0.0, 10.0, 20.0], 30.0).cuts(0, 4000, None).unwrap_err();
        assert!(why.contains("10.0 s") && why.contains("4000"), "{why}");
        assert!(index(&[0.0, 2.0, 4.0], 30.0).cuts(0, 4000, None).is_err(), "the last stretch counts too");
        assert_eq!(index(&[0.0], 4.2).cuts(0, 4000, None).unwrap(), [0]);
    }

    #[test]
    fn pictures_that_do_not_cover_the_sound_are_refused() {
        let film = index(&[0.0, 2.0, 4.0], 6.0);
        assert!(film.cuts(-S, 4000, None).is_err() && film.cuts(-S / 20, 4000, None).is_ok());
        assert!(film.cuts(0, 4000, Some(8_000_000_000)).is_err());
        assert!(film.cuts(0, 4000, Some(6_500_000_000)).is_ok());
    }
}
