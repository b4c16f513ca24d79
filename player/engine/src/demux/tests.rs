use super::{
    test_media::{self as media, Cut, LARGE, Order, SMALL},
    *,
};
use crate::samples::SECOND;

const FRAME: i64 = SECOND / media::FPS as i64;
const SEGMENT: i64 = media::SEGMENT_S as i64 * SECOND;

fn append(cut: &Cut, at: usize) -> Demuxed {
    let init = cut.init.clone().map(|bytes| InitSegment { bytes });
    GstDemuxer::new().unwrap().append(init.as_ref(), cut.segments[at].clone()).unwrap()
}

fn stream(demuxed: &Demuxed, kind: StreamKind) -> &DemuxedStream {
    demuxed.streams.iter().find(|stream| stream.kind == kind).unwrap()
}

fn shown(stream: &DemuxedStream) -> Vec<i64> {
    let mut times: Vec<i64> = stream.samples.iter().map(|sample| sample.pts).collect();
    times.sort_unstable();
    times
}

#[track_caller]
fn assert_near(a: i64, b: i64, tolerance: i64) {
    assert!((a - b).abs() <= tolerance, "{a} is not within {tolerance} of {b}");
}

/// Segment `at` has the frames of its two seconds, at their times, with a key frame a second.
#[track_caller]
fn assert_frames(stream: &DemuxedStream, at: usize, offset: i64) {
    let times = shown(stream);
    assert_eq!(times.len() as i64, SEGMENT / FRAME);
    for (frame, time) in times.iter().enumerate() {
        assert_near(*time, offset + at as i64 * SEGMENT + frame as i64 * FRAME, SECOND / 10_000);
    }
    let keys: Vec<i64> = stream.samples.iter().filter(|s| s.key).map(|s| s.pts - times[0]).collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert_near(keys[1], SECOND, SECOND / 10_000);
    assert!(stream.samples.is_sorted_by_key(|sample| sample.dts), "decode order");
    for sample in &stream.samples {
        assert_near(sample.duration, FRAME, SECOND / 1000);
        assert!(sample.dts <= sample.pts + SECOND / 1000);
        assert!(sample.bytes > 0);
    }
}

#[test]
fn the_few_bytes_of_a_last_frame_of_sound_are_read() {
    // One frame of 5 bytes, as encoders leave it at the end of a film: less than the header of a box.
    let media = Bytes::from_static(
        b"\x00\x00\x00\x64\x6d\x6f\x6f\x66\x00\x00\x00\x10\x6d\x66\x68\x64\x00\x00\x00\x00\x00\x00\x00\x10\x00\
        \x00\x00\x4c\x74\x72\x61\x66\x00\x00\x00\x1c\x74\x66\x68\x64\x00\x02\x00\x38\x00\x00\x00\x01\x00\x00\
        \x01\x00\x00\x00\x00\x05\x02\x00\x00\x00\x00\x00\x00\x14\x74\x66\x64\x74\x01\x00\x00\x00\x00\x00\x00\
        \x00\x00\x15\xfc\x00\x00\x00\x00\x14\x74\x72\x75\x6e\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x6c\
        \x00\x00\x00\x0d\x6d\x64\x61\x74\x01\x18\x81\xb4\x70",
    );
    let init = InitSegment { bytes: media::audio_mp4(2).init.unwrap() };
    let whole = GstDemuxer::new().unwrap().append(Some(&init), media.clone()).unwrap();
    let mut growing = Growing::new(Some(init));
    growing.push(media.slice(..50));
    growing.push(media.slice(50..));
    for demuxed in [whole, growing.finish().unwrap()] {
        let samples = &stream(&demuxed, StreamKind::Audio).samples;
        assert_eq!(samples.iter().map(|sample| sample.bytes).collect::<Vec<_>>(), [5]);
        assert_eq!(demuxed.damage, None);
    }
}

#[test]
fn fragmented_mp4_keeps_its_times_in_any_order_of_segments_and_rungs() {
    let (small, large) =
        (media::video_mp4(SMALL, 6, Order::Straight), media::video_mp4(LARGE, 6, Order::Straight));
    assert_eq!(small.segments.len(), 3);
    for (cut, rung, at) in [(&small, SMALL, 2), (&large, LARGE, 0), (&small, SMALL, 1)] {
        let demuxed = append(cut, at);
        assert_eq!(demuxed.format, Format::Mp4);
        assert!(demuxed.timed && demuxed.damage.is_none() && demuxed.wrap.is_none());
        let video = stream(&demuxed, StreamKind::Video);
        assert_eq!(video.codec, "H.264");
        assert_eq!(video.caps.structure(0).unwrap().get::<i32>("width"), Ok(rung.width as i32));
        assert_frames(video, at, 0);
    }
}

#[test]
fn reordered_frames_are_at_their_places() {
    let cut = media::video_mp4(SMALL, 6, Order::Reordered);
    // This muxer writes no edit list: the first frame is shown two frames after the zero of decoding.
    let offset = 2 * FRAME;
    for at in 0..3 {
        let demuxed = append(&cut, at);
        let video = stream(&demuxed, StreamKind::Video);
        assert!(!video.samples.is_sorted_by_key(|sample| sample.pts), "the test's own media needs B-frames");
        assert_frames(video, at, offset);
    }
}

#[test]
fn edit_lists_shift_the_timeline() {
    let cut = media::video_mp4(SMALL, 6, Order::Straight);
    let init = media::with_edit_list(cut.init.as_ref().unwrap(), 100);
    let shifted = Cut { init: Some(init), ..cut.clone() };
    let plain = shown(stream(&append(&cut, 1), StreamKind::Video))[0];
    let edited = shown(stream(&append(&shifted, 1), StreamKind::Video))[0];
    let first = shown(stream(&append(&shifted, 0), StreamKind::Video))[0];
    assert!(first < 0, "what is cut off lies before zero, but it is {first}");
    assert_near(plain - edited, -first, SECOND / 1000);
}

#[test]
fn sound_in_mp4_is_on_the_same_timeline() {
    let cut = media::audio_mp4(6);
    let (mut end, mut count) = (None, 0);
    for at in 0..cut.segments.len() {
        let demuxed = append(&cut, at);
        let audio = stream(&demuxed, StreamKind::Audio);
        assert_eq!(audio.codec, "AAC");
        let times = shown(audio);
        if let Some(end) = end {
            assert_near(times[0], end, SECOND / 1000);
        } else {
            // Priming, if it is told at all, lies before zero.
            assert!((-SECOND / 10..=SECOND / 1000).contains(&times[0]), "{}", times[0]);
        }
        end = audio.samples.last().map(Sample::end);
        count += times.len() as u64;
    }
    assert_near(end.unwrap(), 6 * SECOND, SECOND / 20);
    assert_near(count as i64, (6 * media::AUDIO_RATE / 1024) as i64, 3);
}

#[test]
fn a_plain_file_is_one_segment() {
    let demuxed = GstDemuxer::new().unwrap().append(None, media::plain_mp4(SMALL, 2)).unwrap();
    assert!(demuxed.timed);
    assert_frames(stream(&demuxed, StreamKind::Video), 0, 0);
}

#[test]
fn transport_streams_keep_their_absolute_times() {
    for order in [Order::Straight, Order::Reordered] {
        let cut = media::muxed_ts(SMALL, 6, order);
        assert_eq!(cut.segments.len(), 3);
        let mut offset = None;
        for at in [1, 0, 2] {
            let demuxed = append(&cut, at);
            assert_eq!(demuxed.format, Format::MpegTs);
            assert!(
                demuxed.timed && demuxed.wrap.is_some() && demuxed.damage.is_none(),
                "{:?}",
                demuxed.damage
            );
            let video = stream(&demuxed, StreamKind::Video);
            assert_eq!(video.codec, "H.264");
            let start = shown(video)[0] - at as i64 * SEGMENT;
            // Where the muxer lets its clock start is its own affair, but it is the same for all segments.
            let offset = *offset.get_or_insert(start);
            assert_frames(video, at, offset);
            let audio = stream(&demuxed, StreamKind::Audio);
            assert_eq!(audio.codec, "AAC");
            // Interleaving lets sound lead or lag by a little at the cut.
            assert_near(shown(audio)[0] - offset, at as i64 * SEGMENT, SECOND / 2);
            assert!(audio.samples.iter().all(|sample| sample.key && sample.duration > 0));
        }
    }
}

#[test]
fn sound_and_picture_of_a_transport_stream_are_in_sync() {
    let cut = media::muxed_ts(SMALL, 4, Order::Straight);
    let raw = ts_time::first_timestamps(&cut.segments[0]);
    let demuxed = append(&cut, 0);
    let (video, audio) = (stream(&demuxed, StreamKind::Video), stream(&demuxed, StreamKind::Audio));
    let starts: Vec<i64> = raw.values().map(|ticks| (ticks * 100_000 / 9) as i64).collect();
    for first in [shown(video)[0], shown(audio)[0]] {
        assert!(starts.iter().any(|start| (start - first).abs() < SECOND / 1000), "{first} of {starts:?}");
    }
}

#[test]
fn packed_audio_starts_at_its_id3_timestamp() {
    let stamp = 0x1_0000_0000_u64;
    let mut bytes = id3::stamped(stamp);
    bytes.extend(media::adts(2));
    let mut demuxed = GstDemuxer::new().unwrap().append(None, bytes.into()).unwrap();
    assert_eq!(demuxed.format, Format::PackedAudio);
    assert!(demuxed.timed);
    let start = (stamp * 100_000 / 9) as i64;
    let audio = stream(&demuxed, StreamKind::Audio);
    let times = shown(audio);
    assert_near(times[0], start, SECOND / 1000);
    assert_near(audio.samples.last().unwrap().end(), start + 2 * SECOND, SECOND / 20);

    demuxed.align(SECOND);
    assert!(demuxed.start().unwrap().abs() < 60_000 * SECOND, "a whole turn back");
    demuxed.align(start);
    assert_near(demuxed.start().unwrap(), start, SECOND / 1000);
}

#[test]
fn packed_audio_without_a_timestamp_says_so() {
    let demuxed = GstDemuxer::new().unwrap().append(None, media::adts(1).into()).unwrap();
    assert!(!demuxed.timed && demuxed.wrap.is_none());
    assert_near(demuxed.start().unwrap(), 0, SECOND / 1000);
}

#[test]
fn truncated_segments_give_what_is_whole_and_say_that_they_are_damaged() {
    let mp4 = media::video_mp4(SMALL, 2, Order::Straight);
    let ts = media::muxed_ts(SMALL, 2, Order::Straight);
    for cut in [&mp4, &ts] {
        let whole = stream(&append(cut, 0), StreamKind::Video).samples.len();
        let media = &cut.segments[0];
        let half = Cut { init: cut.init.clone(), segments: vec![media.slice(..media.len() / 2 + 1)] };
        let demuxed = append(&half, 0);
        assert!(demuxed.damage.is_some());
        let good = stream(&demuxed, StreamKind::Video).samples.len();
        assert!((1..whole).contains(&good), "{good} of {whole}");
    }
}

#[test]
fn rubbish_is_an_error_and_does_no_harm() {
    let cut = media::video_mp4(SMALL, 2, Order::Straight);
    let init = InitSegment { bytes: cut.init.clone().unwrap() };
    let mut demuxer = GstDemuxer::new().unwrap();
    let unknown = demuxer.append(Some(&init), Bytes::from_static(b"<html>not found</html>"));
    assert!(matches!(unknown, Err(DemuxError::UnknownFormat { .. })), "{unknown:?}");
    let empty = demuxer.append(Some(&init), Bytes::new());
    assert!(matches!(empty, Err(DemuxError::UnknownFormat { .. })), "{empty:?}");
    let bare = demuxer.append(None, cut.segments[0].clone());
    assert!(matches!(bare, Err(DemuxError::MissingInit)), "{bare:?}");
    let noise = [b"\0\0\0\x10styp".to_vec(), vec![0xA5; 4000]].concat();
    let corrupt = demuxer.append(Some(&init), noise.into());
    assert!(matches!(corrupt, Err(DemuxError::Corrupt(_))), "{corrupt:?}");
    assert!(demuxer.append(Some(&init), cut.segments[0].clone()).is_ok(), "the next segment is fine");
}

#[test]
fn damaged_bytes_never_end_the_process() {
    let cuts = [media::video_mp4(SMALL, 2, Order::Straight), media::muxed_ts(SMALL, 2, Order::Straight)];
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let mut demuxer = GstDemuxer::new().unwrap();
    for cut in &cuts {
        let init = cut.init.clone().map(|bytes| InitSegment { bytes });
        for round in 0..60 {
            let mut bytes = cut.segments[0].to_vec();
            for _ in 0..=round {
                let at = random() % bytes.len().min(if round % 2 == 0 { usize::MAX } else { 800 });
                bytes[at] = random() as u8;
            }
            if let Ok(demuxed) = demuxer.append(init.as_ref(), bytes.into()) {
                assert!(demuxed.streams.iter().all(|stream| !stream.samples.is_empty()));
            }
        }
    }
}
