//! Sources that pass through: their own bytes, cut at their own key frames, beside encoded rungs.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;

use super::files::{make_file, sizes};
use super::read::{decode, fragments, muxed_file, rendition_file};
use super::*;
use crate::jobs::plan::SourceRung;
use crate::package::init_delay;

fn auto() -> Profile {
    Profile { passthrough: Passthrough::Auto, ..small_profile() }
}

/// The test card with its sound, coded anew with B-frames and a key frame every 2 s, as MP4 with edit lists.
async fn film(dir: &Path, ms: u64) -> SourceSpec {
    let card = packaged(&dir.join("card"), SourceSpec::TestCard(card(ms, 180)), small_profile()).await;
    let muxed = muxed_file(&card, "180p", dir);
    make_file(
        dir,
        "film.mp4",
        &format!(
            "filesrc location={} ! decodebin name=d d. ! queue ! videoconvert \
             ! x264enc bitrate=900 bframes=3 b-adapt=false key-int-max=50 speed-preset=ultrafast option-string=scenecut=0 \
             ! video/x-h264,profile=main ! queue ! mp4mux name=m ! filesink name=out \
             d. ! queue ! audioconvert ! avenc_aac ! queue ! m.",
            muxed.display()
        ),
    )
}

/// The source's access units as its container holds them, one behind the other.
fn original(source: &SourceSpec) -> Vec<u8> {
    let SourceSpec::File { path, .. } = source else { panic!("a file") };
    let text = format!(
        "filesrc location={} ! qtdemux name=d d.video_0 ! appsink name=out sync=false",
        path.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let output = pipeline.by_name("out").unwrap().downcast::<AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut bytes = Vec::new();
    while let Ok(sample) = output.pull_sample() {
        bytes.extend_from_slice(&sample.buffer().unwrap().map_readable().unwrap());
    }
    pipeline.set_state(gst::State::Null).unwrap();
    bytes
}

/// The bodies of a rendition's `mdat` boxes.
fn payload(stream: &StreamStore, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in stream.rendition(name).unwrap().segments().iter() {
        let segment = stream.segment_bytes(name, entry.number).unwrap();
        let mut rest = &segment[..];
        while rest.len() >= 8 {
            let size = u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
            if &rest[4..8] == b"mdat" {
                bytes.extend_from_slice(&rest[8..size]);
            }
            rest = &rest[size..];
        }
    }
    bytes
}

/// Starts of a rendition's segments in milliseconds.
fn starts(stream: &StreamStore, name: &str) -> Vec<i64> {
    let scale = f64::from(stream.rendition(name).unwrap().info().timescale);
    fragments(stream, name).iter().map(|f| (f.start as f64 * 1000.0 / scale).round() as i64).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_with_short_gops_passes_through_bit_by_bit_and_in_sync() {
    let dir = tempfile::tempdir().unwrap();
    let source = film(dir.path(), 11_000).await;
    let stream = packaged(&dir.path().join("data"), source.clone(), auto()).await;
    let names: Vec<_> = sizes(&stream);
    let wanted = [("90p", 160, 90), ("source", 320, 180), ("audio", 0, 0)];
    assert_eq!(names, wanted.map(|(name, width, height)| (name.to_owned(), width, height)));
    assert!(payload(&stream, "source") == original(&source), "the source's own bytes");

    assert_eq!(starts(&stream, "source"), [0, 4000, 8000]);
    assert_eq!(starts(&stream, "90p"), [0, 4000, 8000]);
    let sound = starts(&stream, "audio");
    assert!(
        sound.iter().zip([0, 4000, 8000]).all(|(a, b)| (a - b).abs() <= 22) && sound.len() == 3,
        "{sound:?}"
    );

    // Offsets are raised by just as much as the edit list takes off: two pictures of 40 ms.
    let delay = init_delay(&stream.rendition("source").unwrap().init(0).unwrap());
    let offsets: Vec<i64> = fragments(&stream, "source").into_iter().flat_map(|f| f.offsets).collect();
    assert_eq!((delay, offsets[0], offsets.iter().min()), (7200, 7200, Some(&0)));
    assert_eq!(init_delay(&stream.rendition("90p").unwrap().init(0).unwrap()), 0);

    for name in ["source", "90p"] {
        let decoded = decode(&muxed_file(&stream, name, dir.path()));
        let frames: Vec<u64> =
            decoded.pictures.iter().map(|p| p.code.expect("a readable frame").frame).collect();
        assert_eq!(frames[..275], (0..275).collect::<Vec<_>>(), "{name}");
        let (flashes, beeps) = (decoded.flashes(), decoded.beeps());
        assert_eq!((flashes.len(), beeps.len()), (11, 11), "{name}");
        for (flash, beep) in flashes.iter().zip(&beeps).skip(1) {
            assert!((flash - beep).abs() < 40_000_000, "{name}: flash at {flash} ns, beep at {beep} ns");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_pass_through_goes_on_with_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let source = film(dir.path(), 14_000).await;
    let data = dir.path().join("data");
    let (store, jobs) = manager(&data);
    let _status = jobs.start("s", source.clone(), auto()).unwrap();
    let mut edge = store.get_or_create("s").unwrap().edge();
    edge.wait_for(|edge| edge.segments >= 1).await.unwrap();
    assert!(jobs.cancel_and_wait("s").await);
    let (store, jobs) = manager(&data);
    let status = finish(&jobs, "s", source.clone(), auto()).await;
    assert_eq!((status.state, status.error), (JobState::Done, None));
    let stream = store.get("s").unwrap();
    assert!(payload(&stream, "source") == original(&source), "nothing twice, nothing missing");
    assert_eq!(starts(&stream, "source"), [0, 4000, 8000, 12_000]);
    assert_eq!(starts(&stream, "90p"), [0, 4000, 8000, 12_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_cut_is_encoded_or_refused_as_the_profile_says() {
    let dir = tempfile::tempdir().unwrap();
    let source = make_file(
        dir.path(),
        "long.mkv",
        "videotestsrc num-buffers=200 ! video/x-raw,format=I420,width=160,height=90,framerate=25/1 \
         ! x264enc key-int-max=500 speed-preset=ultrafast option-string=scenecut=0 ! matroskamux ! filesink name=out",
    );
    let stream = packaged(&dir.path().join("auto"), source.clone(), auto()).await;
    assert_eq!(sizes(&stream), [("90p".to_owned(), 160, 90)]);
    let (_, jobs) = manager(&dir.path().join("always"));
    let always = Profile { passthrough: Passthrough::Always, ..small_profile() };
    let status = finish(&jobs, "s", source, always).await;
    let error = status.error.unwrap();
    assert_eq!(status.state, JobState::Failed);
    assert!(error.contains("key frames") && error.contains("8.0 s") && error.contains("\"auto\""), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_matroska_film_without_decode_times_passes_through() {
    let dir = tempfile::tempdir().unwrap();
    let source = make_file(
        dir.path(),
        "film.mkv",
        "videotestsrc num-buffers=150 pattern=ball ! video/x-raw,format=I420,width=160,height=90,framerate=25/1 \
         ! x264enc bframes=2 b-adapt=false key-int-max=50 speed-preset=ultrafast option-string=scenecut=0 \
         ! video/x-h264,profile=main ! matroskamux ! filesink name=out",
    );
    let stream = packaged(&dir.path().join("data"), source, auto()).await;
    assert_eq!(sizes(&stream), [("source".to_owned(), 160, 90)]);
    let all = fragments(&stream, "source");
    assert_eq!(all.iter().map(|f| f.keys.len()).collect::<Vec<_>>(), [100, 50]);
    let decoded = decode(&rendition_file(&stream, "source", dir.path()));
    let times: Vec<i64> = decoded.pictures.iter().map(|p| p.start_ns / 1_000_000).collect();
    assert_eq!(times, (0..150).map(|n| n * 40).collect::<Vec<_>>());
    assert!(stream.thumbnails().is_some() && stream.poster().is_some(), "stills need no encoded rung");
}

#[test]
fn a_plan_from_before_edit_lists_goes_on_without() {
    let text = r#"{"cuts": [0, 4000000000], "end_ns": 8000000000, "bandwidth": 900000}"#;
    let rung: SourceRung = serde_json::from_str(text).unwrap();
    assert_eq!((rung.delay, rung.cuts.len()), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_few_players_decode_does_not_replace_the_rung_of_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let source = make_file(
        dir.path(),
        "full.mp4",
        "videotestsrc num-buffers=50 ! video/x-raw,format=Y444,width=320,height=180,framerate=25/1 \
         ! x264enc bitrate=2000 speed-preset=ultrafast key-int-max=50 ! video/x-h264,profile=high-4:4:4 ! h264parse \
         ! mp4mux ! filesink name=out",
    );
    let stream = packaged(&dir.path().join("data"), source, auto()).await;
    let names: Vec<_> = sizes(&stream).into_iter().map(|(name, ..)| name).collect();
    assert!(names.contains(&"source".to_owned()) && names.contains(&"180p".to_owned()), "{names:?}");
    let codecs = |name: &str| stream.rendition(name).unwrap().info().codecs.clone();
    assert!(codecs("source").starts_with("avc1.f4") && !codecs("180p").starts_with("avc1.f4"));
}

/// The units of a file's first track of sound as its container holds them.
fn original_sound(source: &SourceSpec) -> Vec<Vec<u8>> {
    let SourceSpec::File { path, .. } = source else { panic!("a file") };
    let demuxer = if path.extension().is_some_and(|end| end == "mkv") { "matroskademux" } else { "qtdemux" };
    let text = format!(
        "filesrc location={} ! {demuxer} name=d d.audio_0 ! appsink name=out sync=false",
        path.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let output = pipeline.by_name("out").unwrap().downcast::<AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut units = Vec::new();
    while let Ok(sample) = output.pull_sample() {
        units.push(sample.buffer().unwrap().map_readable().unwrap().to_vec());
    }
    pipeline.set_state(gst::State::Null).unwrap();
    units
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_in_aac_passes_through_bit_by_bit_and_in_sync() {
    let dir = tempfile::tempdir().unwrap();
    let source = film(dir.path(), 9_000).await;
    let stream = packaged(&dir.path().join("data"), source.clone(), auto()).await;
    let (units, sound) = (original_sound(&source), payload(&stream, "audio"));
    let kept = (0..4).find(|skip| sound.starts_with(&units[*skip..].concat()));
    assert!(kept.is_some(), "{} units of the file, {} bytes of sound", units.len(), sound.len());
    assert_eq!(fragments_from(&stream, "audio").len(), fragments(&stream, "source").len());
    // As far apart as in the file, whose encoder may have put the sound late.
    let SourceSpec::File { path, .. } = &source else { panic!("a file") };
    let (before, after) = (decode(path), decode(&muxed_file(&stream, "source", dir.path())));
    let apart = |decoded: &read::Decoded| {
        let (flashes, beeps) = (decoded.flashes(), decoded.beeps());
        assert_eq!((flashes.len(), beeps.len()), (9, 9));
        flashes.iter().zip(&beeps).skip(1).map(|(flash, beep)| beep - flash).collect::<Vec<_>>()
    };
    for (was, is) in apart(&before).into_iter().zip(apart(&after)) {
        assert!((was - is).abs() < 5_000_000, "{was} ns apart, then {is} ns");
    }
    let plan = std::fs::read_to_string(stream.folder().join("plan.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&plan).unwrap()["audio_encoder"],
        serde_json::Value::Null
    );
}

/// Starts of a rendition's fragments, checked to be contiguous.
fn fragments_from(stream: &StreamStore, name: &str) -> Vec<u64> {
    let entries = stream.rendition(name).unwrap().segments();
    let mut starts = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        if let Some(before) = at.checked_sub(1).and_then(|before| entries.get(before)) {
            assert_eq!(before.start + before.duration, entry.start, "{name} {}", entry.number);
        }
        starts.push(entry.start);
    }
    starts
}

#[tokio::test(flavor = "multi_thread")]
async fn surround_and_other_languages_are_renditions_beside_stereo() {
    let dir = tempfile::tempdir().unwrap();
    let source = make_file(
        dir.path(),
        "many.mp4",
        "videotestsrc num-buffers=150 ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 \
         ! x264enc key-int-max=50 option-string=scenecut=0 speed-preset=ultrafast ! video/x-h264,profile=main ! queue \
         ! mp4mux name=m ! filesink name=out \
         audiotestsrc num-buffers=282 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=6,channel-mask=(bitmask)0x3f \
         ! avenc_aac ! taginject tags=language-code=eng ! queue ! m. \
         audiotestsrc num-buffers=259 samplesperbuffer=1024 ! audio/x-raw,rate=44100,channels=2 ! avenc_aac \
         ! taginject tags=language-code=deu ! queue ! m.",
    );
    let stream = packaged(&dir.path().join("data"), source, auto()).await;
    let all = stream.renditions();
    let sound: Vec<_> = all
        .iter()
        .map(|rendition| rendition.info())
        .filter(|info| info.kind == crate::store::TrackKind::Audio)
        .map(|info| (info.name.as_str(), info.channels, info.sample_rate, info.language()))
        .collect();
    assert_eq!(
        sound,
        [
            ("audio", 2, 48_000, Some("en")),
            ("audio-de", 2, 44_100, Some("de")),
            ("audio-en_6ch", 6, 48_000, Some("en"))
        ]
    );
    let pictures = fragments(&stream, "source").len();
    for (name, ..) in sound {
        assert_eq!(fragments_from(&stream, name).len(), pictures, "{name}");
        assert!(rendition_file(&stream, name, dir.path()).is_file());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_language_of_the_only_sound_is_kept_whether_it_passes_or_is_encoded() {
    for (name, mux, encoder) in
        [("kept.mkv", "matroskamux", "avenc_aac"), ("made.mp4", "mp4mux", "lamemp3enc")]
    {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "{mux} name=m ! filesink name=out audiotestsrc num-buffers=100 samplesperbuffer=1024 \
             ! audio/x-raw,rate=48000,channels=2 ! {encoder} ! taginject tags=language-code=fra ! queue ! m."
        );
        let source = make_file(dir.path(), name, &text);
        let stream = packaged(&dir.path().join("data"), source, auto()).await;
        let sound = stream.rendition("audio").unwrap();
        assert_eq!(sound.info().language(), Some("fr"), "{name}");
        let again = Store::open(&dir.path().join("data")).unwrap();
        let kept = again.get(stream.id()).and_then(|stream| stream.rendition("audio"));
        assert_eq!(kept.map(|sound| sound.info().clone()), Some(sound.info().clone()), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_that_some_players_have_passes_through_beside_aac() {
    let dir = tempfile::tempdir().unwrap();
    let stereo = "audio/x-raw,rate=48000,channels=2";
    let surround = "audio/x-raw,rate=48000,channels=6,channel-mask=(bitmask)0x3f";
    let rows = [
        ("opus.mkv", "matroskamux", format!("{stereo} ! opusenc"), ("audio_opus", "opus", 2)),
        ("opus.mp4", "mp4mux", format!("{stereo} ! opusenc"), ("audio_opus", "opus", 2)),
        (
            "ac3.mp4",
            "mp4mux",
            format!("{surround} ! avenc_ac3 bitrate=384000 ! ac3parse"),
            ("audio_ac3", "ac-3", 6),
        ),
        ("eac3.mkv", "matroskamux", format!("{stereo} ! avenc_eac3 ! ac3parse"), ("audio_eac3", "ec-3", 2)),
    ];
    for (file, muxer, encoder, (name, codecs, channels)) in rows {
        let source = make_file(
            dir.path(),
            file,
            &format!(
                "videotestsrc num-buffers=150 ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 \
                 ! x264enc key-int-max=50 option-string=scenecut=0 speed-preset=ultrafast ! video/x-h264,profile=main \
                 ! queue ! {muxer} name=m ! filesink name=out \
                 audiotestsrc num-buffers=288 samplesperbuffer=1000 ! {encoder} ! queue ! m."
            ),
        );
        let stream = packaged(&dir.path().join(file).with_extension("data"), source.clone(), auto()).await;
        let all = stream.renditions();
        let sound: Vec<_> = all
            .iter()
            .map(|rendition| rendition.info())
            .filter(|info| info.kind == crate::store::TrackKind::Audio)
            .map(|info| (info.name.as_str(), info.codecs.as_str(), info.channels))
            .collect();
        assert_eq!(sound, [("audio", "mp4a.40.2", 2), (name, codecs, channels)], "{file}");
        let (units, kept) = (original_sound(&source), payload(&stream, name));
        let whole = (0..4).find(|skip| kept.starts_with(&units[*skip..].concat()));
        assert!(whole.is_some(), "{file}: {} units of the file, {} bytes of sound", units.len(), kept.len());
        assert_eq!(fragments_from(&stream, name).len(), fragments(&stream, "source").len(), "{file}");
        // Found in its set-up what the file's own says, and decoded to as much sound as there was.
        let decoded = decode(&rendition_file(&stream, name, dir.path()));
        let seconds = decoded.samples.len() as f64 / 48_000.0;
        assert!((5.9..6.2).contains(&seconds), "{file}: {seconds} s of sound");
    }
}
