//! Files of many kinds, packaged.

use std::path::PathBuf;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::read::{decode, fragments, muxed_file, rendition_file};
use super::*;

/// Runs a pipeline that ends in `filesink name=out`.
pub(super) fn make_file(dir: &Path, name: &str, pipeline: &str) -> SourceSpec {
    crate::ladder::init().unwrap();
    let path = dir.join(name);
    let pipeline = gst::parse::launch(pipeline).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.by_name("out").unwrap().set_property("location", path.to_str().unwrap());
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let message = bus
        .timed_pop_filtered(
            gst::ClockTime::from_seconds(60),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        )
        .expect("the file is written");
    assert!(matches!(message.view(), gst::MessageView::Eos(_)), "{message:?}");
    pipeline.set_state(gst::State::Null).unwrap();
    file(path)
}

pub(super) fn file(path: PathBuf) -> SourceSpec {
    SourceSpec::File { path, remove_when_done: false }
}

pub(super) fn sizes(stream: &StreamStore) -> Vec<(String, u32, u32)> {
    stream.renditions().iter().map(|r| (r.name().to_owned(), r.info().width, r.info().height)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_its_frames_and_its_sync() {
    let dir = tempfile::tempdir().unwrap();
    // The card, packaged and muxed, is the source: what comes out must still carry its codes.
    let card =
        packaged(&dir.path().join("card"), SourceSpec::TestCard(card(10_000, 180)), small_profile()).await;
    let source = file(muxed_file(&card, "180p", dir.path()));
    let stream = packaged(&dir.path().join("file"), source, small_profile()).await;
    assert_eq!(sizes(&stream)[1], ("180p".to_owned(), 320, 180));
    let decoded = decode(&muxed_file(&stream, "180p", dir.path()));
    let frames: Vec<u64> = decoded.pictures.iter().map(|p| p.code.expect("a readable frame").frame).collect();
    assert_eq!(frames, (0..frames.len() as u64).collect::<Vec<_>>());
    assert!((250..=251).contains(&frames.len()), "{}", frames.len());
    let (flashes, beeps) = (decoded.flashes(), decoded.beeps());
    assert_eq!((flashes.len(), beeps.len()), (10, 10));
    for (flash, beep) in flashes.iter().zip(&beeps).skip(1) {
        assert!((flash - beep).abs() < 5_000_000, "flash at {flash} ns, beep at {beep} ns");
    }
    assert_eq!(fragments(&stream, "90p").len(), fragments(&stream, "audio").len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_file_job_resumes_at_the_right_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let card =
        packaged(&dir.path().join("card"), SourceSpec::TestCard(card(14_000, 180)), small_profile()).await;
    let source = file(muxed_file(&card, "180p", dir.path()));
    let data = dir.path().join("file");
    let (store, jobs) = manager(&data);
    let _status = jobs.start("s", source.clone(), small_profile()).unwrap();
    let mut edge = store.get_or_create("s").unwrap().edge();
    edge.wait_for(|edge| edge.segments >= 1).await.unwrap();
    assert!(jobs.cancel_and_wait("s").await);

    let (store, jobs) = manager(&data);
    let status = finish(&jobs, "s", source, small_profile()).await;
    assert_eq!((status.state, status.error), (JobState::Done, None));
    let stream = store.get("s").unwrap();
    let decoded = decode(&muxed_file(&stream, "180p", dir.path()));
    let frames: Vec<u64> = decoded.pictures.iter().map(|p| p.code.expect("a readable frame").frame).collect();
    assert_eq!(frames, (0..frames.len() as u64).collect::<Vec<_>>());
    assert!((350..=351).contains(&frames.len()));
    assert_eq!(decoded.beeps().len(), 14);
    for name in ["90p", "180p", "audio"] {
        assert_eq!(fragments(&stream, name).len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_of_odd_height_without_sound_gets_itself_as_top_rung() {
    let dir = tempfile::tempdir().unwrap();
    let source = make_file(
        dir.path(),
        "odd.mkv",
        "videotestsrc num-buffers=130 ! video/x-raw,format=I420,width=255,height=135,framerate=24000/1001 \
         ! jpegenc ! matroskamux ! filesink name=out",
    );
    let stream = packaged(&dir.path().join("data"), source, small_profile()).await;
    assert_eq!(sizes(&stream), [("90p".to_owned(), 170, 90), ("135p".to_owned(), 254, 134)]);
    let all = fragments(&stream, "135p");
    assert_eq!(all.iter().map(|f| f.keys.len()).collect::<Vec<_>>(), [96, 34]);
    assert!(all.iter().flat_map(|f| &f.durations).all(|d| *d == 1001));
    let decoded = decode(&rendition_file(&stream, "135p", dir.path()));
    assert_eq!(decoded.pictures.len(), 130);
    assert_eq!(decoded.pictures[0].size, (254, 134));
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_alone_is_a_stream_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let source = make_file(
        dir.path(),
        "surround.wav",
        "audiotestsrc wave=sine freq=440 num-buffers=220 samplesperbuffer=1024 \
         ! audio/x-raw,rate=44100,channels=6,channel-mask=(bitmask)0x3f ! wavenc ! filesink name=out",
    );
    let stream = packaged(&dir.path().join("data"), source, small_profile()).await;
    assert_eq!(sizes(&stream), [("audio".to_owned(), 0, 0)]);
    assert!(stream.edge().borrow().playable());
    let all = fragments(&stream, "audio");
    assert_eq!(all.iter().map(|f| f.start).collect::<Vec<_>>(), [0, 188 * 1024]);
    let decoded = decode(&rendition_file(&stream, "audio", dir.path()));
    let seconds = decoded.samples.len() as f64 / 48_000.0;
    assert!((seconds - 220.0 * 1024.0 / 44_100.0).abs() < 0.05, "{seconds}");
    let loud = decoded.samples.iter().filter(|s| s.abs() > 0.05).count();
    assert!(loud * 2 > decoded.samples.len(), "the mix-down is not silent");
}

/// Writes a quarter turn into the first track's display matrix, as a telephone held upright does.
fn turn(source: &SourceSpec) {
    let SourceSpec::File { path, .. } = source else { panic!("a file") };
    let mut bytes = std::fs::read(path).unwrap();
    let tkhd = bytes.windows(4).position(|name| name == b"tkhd").unwrap();
    let matrix: [u32; 9] = [0, 0x1_0000, 0, 0xffff_0000, 0, 0, 180 << 16, 0, 0x4000_0000];
    for (i, value) in matrix.into_iter().enumerate() {
        let at = tkhd + 44 + i * 4;
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn turned_and_stretched_pictures_are_shown_upright_and_in_shape() {
    let dir = tempfile::tempdir().unwrap();
    let anamorphic = make_file(
        dir.path(),
        "anamorphic.mkv",
        "videotestsrc num-buffers=30 ! video/x-raw,width=180,height=144,framerate=25/1,pixel-aspect-ratio=16/11 \
         ! x264enc speed-preset=ultrafast ! matroskamux ! filesink name=out",
    );
    let stream = packaged(&dir.path().join("a"), anamorphic, small_profile()).await;
    let (name, width, height) = sizes(&stream)[1].clone();
    assert_eq!((name.as_str(), height), ("144p", 144));
    assert!((260..=262).contains(&width), "180 * 16 / 11 is 261.8, not {width}");
    let turned = make_file(
        dir.path(),
        "turned.mp4",
        "videotestsrc num-buffers=30 ! video/x-raw,width=320,height=180,framerate=25/1 \
         ! x264enc speed-preset=ultrafast ! mp4mux ! filesink name=out",
    );
    turn(&turned);
    let stream = packaged(&dir.path().join("t"), turned, small_profile()).await;
    assert_eq!(sizes(&stream)[1], ("180p".to_owned(), 180, 320));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_sound_is_longer_than_pictures_the_last_picture_stays() {
    let dir = tempfile::tempdir().unwrap();
    let source = make_file(
        dir.path(),
        "uneven.mkv",
        "videotestsrc num-buffers=50 ! video/x-raw,width=160,height=90,framerate=25/1 ! jpegenc ! queue ! mux. \
         audiotestsrc num-buffers=281 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=1 ! opusenc ! queue \
         ! mux. matroskamux name=mux ! filesink name=out",
    );
    let stream = packaged(&dir.path().join("data"), source, small_profile()).await;
    let (video, audio) = (stream.rendition("90p").unwrap(), stream.rendition("audio").unwrap());
    assert!((video.end_seconds() - 6.0).abs() < 0.1, "{}", video.end_seconds());
    assert!((video.end_seconds() - audio.end_seconds()).abs() < 0.1);
    assert_eq!(video.len(), audio.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_played_fails_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, jobs) = manager(&dir.path().join("data"));
    let path = dir.path().join("notes.mp4");
    std::fs::write(&path, "this is not a film, however long it may be".repeat(50)).unwrap();
    for (id, source) in [("text", file(path)), ("none", file(dir.path().join("missing.mp4")))] {
        let status = finish(&jobs, id, source, small_profile()).await;
        assert_eq!(status.state, JobState::Failed);
        let error = status.error.unwrap();
        assert!(error.starts_with("cannot ") || error.contains("no video"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_deleted_once_it_is_packaged() {
    let dir = tempfile::tempdir().unwrap();
    let source = make_file(
        dir.path(),
        "upload.mkv",
        "videotestsrc num-buffers=25 ! video/x-raw,width=160,height=90,framerate=25/1 ! jpegenc ! matroskamux \
         ! filesink name=out",
    );
    let SourceSpec::File { path, .. } = source else { panic!("a file") };
    let upload = SourceSpec::File { path: path.clone(), remove_when_done: true };
    packaged(&dir.path().join("data"), upload, small_profile()).await;
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_begins_late_is_kept_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    for (pictures_ns, sound_ns) in [(0_u64, 1_500_000_000_u64), (1_500_000_000, 0)] {
        let name = format!("late-{sound_ns}");
        let source = make_file(
            dir.path(),
            &format!("{name}.mp4"),
            &format!(
                "mp4mux name=m ! filesink name=out \
                 videotestsrc num-buffers=75 pattern=white timestamp-offset={pictures_ns} \
                 ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 \
                 ! x264enc speed-preset=ultrafast key-int-max=50 ! h264parse ! queue ! m. \
                 audiotestsrc num-buffers=141 samplesperbuffer=1024 timestamp-offset={sound_ns} \
                 ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse ! queue ! m."
            ),
        );
        let stream = packaged(&dir.path().join(&name), source, small_profile()).await;
        let names: Vec<_> = sizes(&stream).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["90p", "180p", "audio"], "{name}");
        let decoded = decode(&muxed_file(&stream, "180p", dir.path()));
        let loud = decoded.samples.iter().position(|sample| sample.abs() > 0.1).expect("a tone");
        let begins = loud as f64 / 48_000.0;
        assert!((begins - sound_ns as f64 / 1e9).abs() < 0.06, "{name}: the tone begins at {begins} s");
        let seconds = decoded.pictures.len() as f64 / 25.0;
        assert!((seconds - 4.5).abs() < 0.15, "{name}: {seconds} s of pictures");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codecs_that_cannot_pass_through_are_encoded() {
    let dir = tempfile::tempdir().unwrap();
    let source = make_file(
        dir.path(),
        "film.webm",
        "webmmux name=m ! filesink name=out \
         videotestsrc num-buffers=50 ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 \
         ! vp8enc deadline=1 ! queue ! m. \
         audiotestsrc num-buffers=100 samplesperbuffer=960 ! audio/x-raw,rate=48000,channels=2 ! opusenc ! queue ! m.",
    );
    let profile = Profile { passthrough: Passthrough::Auto, ..small_profile() };
    let stream = packaged(&dir.path().join("data"), source, profile).await;
    let names: Vec<_> = sizes(&stream).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["90p", "180p", "audio"]);
    assert_eq!(decode(&rendition_file(&stream, "180p", dir.path())).pictures.len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_cut_short_is_packaged_as_far_as_it_goes_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let whole = make_file(
        dir.path(),
        "film.mp4",
        "mp4mux name=m faststart=true ! filesink name=out \
         videotestsrc num-buffers=250 pattern=ball ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 \
         ! x264enc speed-preset=ultrafast key-int-max=50 ! h264parse ! m.",
    );
    let SourceSpec::File { path, .. } = &whole else { panic!("a file") };
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    let (store, jobs) = manager(&dir.path().join("data"));
    let status = finish(&jobs, "s", whole, small_profile()).await;
    assert_eq!((status.state, &status.error), (JobState::Done, &None));
    let [warning] = &status.warnings[..] else { panic!("{:?}", status.warnings) };
    assert!(warning.contains("of the 10.0 s") && warning.contains("cut short"), "{warning}");
    let stored = store.get("s").unwrap().rendition("180p").unwrap().end_seconds();
    assert!((2.0..8.0).contains(&stored), "{stored} s");
    assert!((status.duration_s.unwrap() - stored).abs() < 0.1, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn joined_transport_streams_of_different_codecs_are_one_film() {
    let dir = tempfile::tempdir().unwrap();
    let mut joined = Vec::new();
    for (name, encoder) in [
        ("a.ts", "x264enc speed-preset=ultrafast ! h264parse"),
        ("b.ts", "x265enc speed-preset=ultrafast ! h265parse"),
    ] {
        let text = format!(
            "mpegtsmux name=m ! filesink name=out \
             videotestsrc num-buffers=50 ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 ! {encoder} ! queue ! m. \
             audiotestsrc num-buffers=93 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse ! queue ! m."
        );
        let SourceSpec::File { path, .. } = make_file(dir.path(), name, &text) else { panic!("a file") };
        joined.extend(std::fs::read(path).unwrap());
    }
    let path = dir.path().join("joined.ts");
    std::fs::write(&path, joined).unwrap();
    let stream = packaged(&dir.path().join("data"), file(path), small_profile()).await;
    let decoded = decode(&muxed_file(&stream, "180p", dir.path()));
    let seconds = (decoded.pictures.len() as f64 / 25.0, decoded.samples.len() as f64 / 48_000.0);
    assert!((seconds.0 - 4.0).abs() < 0.3 && (seconds.1 - 4.0).abs() < 0.3, "{seconds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_stamp_that_is_hours_off_makes_no_hours_of_film() {
    let dir = tempfile::tempdir().unwrap();
    let card =
        packaged(&dir.path().join("card"), SourceSpec::TestCard(card(10_000, 180)), small_profile()).await;
    let path = muxed_file(&card, "180p", dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    // From the third fragment of each track on: two segments of 4 s are right, the rest is days later.
    let found: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, four)| four == b"tfdt").map(|(at, _)| at).collect();
    assert!(found.len() >= 6, "{found:?}");
    for at in &found[4..] {
        // Version and flags, then 64 bits of time.
        bytes[at + 8 + 2] = 1;
    }
    std::fs::write(&path, bytes).unwrap();
    let (store, jobs) = manager(&dir.path().join("data"));
    let status = finish(&jobs, "s", file(path), small_profile()).await;
    assert_eq!((status.state, &status.error), (JobState::Done, &None));
    assert!(status.warnings.iter().any(|text| text.contains("far beyond its end")), "{:?}", status.warnings);
    let seconds = store.get("s").unwrap().rendition("180p").unwrap().end_seconds();
    assert!((7.5..9.0).contains(&seconds), "{seconds} s");
}

/// A GIF of pictures of one colour each, shown for as many hundredths of a second.
fn gif(side: u16, pictures: &[(u8, u16)]) -> Vec<u8> {
    let side_bytes = side.to_le_bytes();
    let mut bytes = [b"GIF89a".as_slice(), &side_bytes, &side_bytes, &[0x81, 0, 0]].concat();
    for level in [0, 85, 170, 255] {
        bytes.extend([level; 3]);
    }
    for (colour, hundredths) in pictures {
        bytes.extend([0x21, 0xf9, 4, 0]);
        bytes.extend(hundredths.to_le_bytes());
        bytes.extend([0, 0, 0x2c, 0, 0, 0, 0]);
        bytes.extend([side_bytes, side_bytes].concat());
        bytes.extend([0, 2]);
        // Codes of three bits, cleared before they would grow to four.
        let codes = (0..usize::from(side).pow(2) / 2).flat_map(|_| [4, *colour, *colour]).chain([5]);
        let (mut packed, mut bits, mut count) = (Vec::new(), 0_u32, 0);
        for code in codes {
            bits |= u32::from(code) << count;
            count += 3;
            while count >= 8 {
                packed.push(bits as u8);
                (bits, count) = (bits >> 8, count - 8);
            }
        }
        packed.push(bits as u8);
        for block in packed.chunks(255) {
            bytes.push(block.len() as u8);
            bytes.extend(block);
        }
        bytes.push(0);
    }
    bytes.push(0x3b);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gif_moves_at_the_times_that_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("moving.gif");
    // Half a second each.
    let pictures: Vec<_> = (0..8_u16).map(|at| ((at % 4) as u8, 50)).collect();
    std::fs::write(&path, gif(64, &pictures)).unwrap();
    let stream = packaged(&dir.path().join("data"), file(path), small_profile()).await;
    let name = stream.renditions()[0].name().to_owned();
    let frames: usize = fragments(&stream, &name).iter().map(|fragment| fragment.durations.len()).sum();
    let (rate, per) = stream.renditions()[0].info().frame_rate;
    let seconds = frames as f64 * f64::from(per) / f64::from(rate);
    assert!((3.4..=4.1).contains(&seconds), "{frames} pictures, {rate}/{per} a second");
    // Decoded without the tests' own decoder, which reads codes in the picture: how light each one is.
    let decoder = crate::ladder::Decoder::open(
        &rendition_file(&stream, &name, dir.path()),
        0,
        &crate::ladder::Voice::unheard(),
        &|| false,
    )
    .unwrap();
    decoder.play().unwrap();
    let mut changes = Vec::new();
    let mut before = None;
    loop {
        let picture = match decoder.next_video().unwrap() {
            crate::ladder::Next::Buffer(picture) => picture,
            crate::ladder::Next::Waiting => continue,
            crate::ladder::Next::End => break,
        };
        let level = picture.buffer.map_readable().unwrap()[0] / 32;
        if before.replace(level) != Some(level) {
            changes.push((picture.start_ns as f64 / 1e8).round() / 10.0);
        }
    }
    assert_eq!(changes, [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5]);
}

/// An MP4 of AV1 as FFmpeg writes it, which is GStreamer's with its `av1C` filled in; `marker` is the record's first byte.
fn av1_film(dir: &Path, name: &str, marker: u8) -> SourceSpec {
    let source = make_file(
        dir,
        name,
        "videotestsrc num-buffers=50 ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 \
         ! av1enc cpu-used=8 threads=1 lag-in-frames=0 usage-profile=realtime keyframe-max-dist=25 ! av1parse \
         ! mp4mux ! filesink name=out",
    );
    let SourceSpec::File { path, .. } = &source else { panic!("a file") };
    let mut file = std::fs::read(path).unwrap();
    let find = |file: &[u8], name: &[u8]| file.windows(4).rposition(|bytes| bytes == name).unwrap();
    let mdat = file.windows(4).position(|bytes| bytes == b"mdat").unwrap();
    let header = mdat + file[mdat..].windows(2).position(|bytes| bytes[0] == 0x0a && bytes[1] < 32).unwrap();
    let header = file[header..header + 2 + usize::from(file[header + 1])].to_vec();
    let record = [&[marker, 0, 0x0c, 0], &header[..]].concat();
    let at = find(&file, b"av1C");
    assert!(find(&file, b"moov") > mdat, "offsets of samples stay");
    let old = u32::from_be_bytes(*file[at - 4..].first_chunk().unwrap()) as usize;
    file.splice(at + 4..at - 4 + old, record.iter().copied());
    let more = (record.len() + 8) as i64 - old as i64;
    for name in [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"av01", b"av1C"] {
        let at = find(&file, name) - 4;
        let size = u32::from_be_bytes(*file[at..].first_chunk().unwrap());
        file[at..at + 4].copy_from_slice(&u32::try_from(i64::from(size) + more).unwrap().to_be_bytes());
    }
    std::fs::write(path, file).unwrap();
    source
}

#[tokio::test(flavor = "multi_thread")]
async fn av1_in_mp4_passes_through_and_with_a_set_up_that_is_no_use_it_is_encoded() {
    let dir = tempfile::tempdir().unwrap();
    for (name, marker, wanted) in
        [("good.mp4", 0x81, vec!["180p", "90p", "source"]), ("odd.mp4", 0x01, vec!["180p", "90p"])]
    {
        let source = av1_film(dir.path(), name, marker);
        let profile = Profile { passthrough: Passthrough::Auto, ..small_profile() };
        let stream = packaged(&dir.path().join(format!("data-{name}")), source, profile).await;
        let mut names: Vec<_> = sizes(&stream).into_iter().map(|(name, ..)| name).collect();
        names.sort_unstable();
        assert_eq!(names, wanted, "{name}");
        let top = wanted.last().copied().unwrap_or_default().replace("90p", "180p");
        assert_eq!(decode(&rendition_file(&stream, &top, dir.path())).pictures.len(), 50, "{name}");
    }
}
