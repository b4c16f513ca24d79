//! The test card, packaged.

use super::read::{decode, fragments, muxed_file, rendition_file};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_card_becomes_aligned_segments_whose_pictures_say_who_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let stream = packaged(dir.path(), SourceSpec::TestCard(card(9000, 180)), small_profile()).await;
    assert!(stream.edge().borrow().complete);
    assert!(stream.poster().unwrap().starts_with(&[0xff, 0xd8]), "a JPEG");
    let index = String::from_utf8(stream.thumbnails().unwrap().to_vec()).unwrap();
    let cues: Vec<_> = index.split("\n\n").skip(1).map(str::trim).collect();
    assert_eq!(cues.len(), 5);
    assert_eq!(cues[4], "00:00:08.000 --> 00:00:09.000\nthumbs/00001.jpg#xywh=640,0,160,90");
    assert!(stream.thumbnail_sheet("00001.jpg").unwrap().starts_with(&[0xff, 0xd8]), "a JPEG");
    let names: Vec<String> = stream.renditions().iter().map(|r| r.name().to_owned()).collect();
    assert_eq!(names, ["90p", "180p", "audio"]);

    let reference = fragments(&stream, "90p");
    assert_eq!(reference.iter().map(|f| f.start).collect::<Vec<_>>(), [0, 100_000, 200_000]);
    for (rung, name) in [(0, "90p"), (1, "180p")] {
        let all = fragments(&stream, name);
        assert!(all.iter().zip(&reference).all(|(a, b)| a.start == b.start && a.durations == b.durations));
        // Key frames every 2 s and nowhere else.
        let keys: Vec<bool> = all.iter().flat_map(|f| f.keys.iter().copied()).collect();
        assert!(keys.iter().enumerate().all(|(n, key)| *key == (n % 50 == 0)));
        let decoded = decode(&rendition_file(&stream, name, dir.path()));
        assert_eq!(decoded.pictures.len(), 225);
        for (n, picture) in decoded.pictures.iter().enumerate() {
            assert_eq!(picture.start_ns, n as i64 * 40_000_000);
            let code = picture.code.unwrap_or_else(|| panic!("{name} frame {n} cannot be read"));
            assert_eq!((code.frame, code.rung), (n as u64, rung));
        }
    }
    let audio = fragments(&stream, "audio");
    assert_eq!(audio.iter().map(|f| f.start).collect::<Vec<_>>(), [0, 188 * 1024, 375 * 1024]);
    assert_eq!(stream.rendition("audio").unwrap().info().codecs, "mp4a.40.2");
    let codecs = stream.rendition("180p").unwrap().info().codecs.clone();
    assert!(codecs.starts_with("avc1.") && codecs.len() == 11, "{codecs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn flash_and_beep_stay_together_in_the_progressive_stream() {
    let dir = tempfile::tempdir().unwrap();
    let stream = packaged(dir.path(), SourceSpec::TestCard(card(6500, 90)), small_profile()).await;
    let decoded = decode(&muxed_file(&stream, "90p", dir.path()));
    let (flashes, beeps) = (decoded.flashes(), decoded.beeps());
    assert_eq!((flashes.len(), beeps.len()), (7, 7));
    // The first beep fades in: no AAC frame before it overlaps with it.
    for (flash, beep) in flashes.iter().zip(&beeps).skip(1) {
        assert!((flash - beep).abs() < 5_000_000, "flash at {flash} ns, beep at {beep} ns");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ntsc_card_has_key_frames_at_the_first_frame_after_each_boundary() {
    let dir = tempfile::tempdir().unwrap();
    let spec = TestCardSpec { frame_rate: (30_000, 1001), audio: false, ..card(17_000, 90) };
    let stream = packaged(dir.path(), SourceSpec::TestCard(spec), small_profile()).await;
    let all = fragments(&stream, "90p");
    let counts: Vec<usize> = all.iter().map(|f| f.keys.len()).collect();
    assert_eq!(counts, [120, 120, 120, 120, 29]);
    let mut n = 0_u64;
    for fragment in &all {
        for key in &fragment.keys {
            // Boundaries every 2 s, in units of 1/30000 s.
            let first_after = n == 0 || (n * 1001) / 60_000 != ((n - 1) * 1001) / 60_000;
            assert_eq!(*key, first_after, "frame {n}");
            n += 1;
        }
    }
    assert!(all.iter().flat_map(|f| &f.durations).all(|d| *d == 1001));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_killed_continues_with_the_same_timeline() {
    let dir = tempfile::tempdir().unwrap();
    let source = SourceSpec::TestCard(card(13_000, 180));
    let whole = packaged(&dir.path().join("whole"), source.clone(), small_profile()).await;

    let data = dir.path().join("killed");
    let (store, jobs) = manager(&data);
    let status = jobs.start("s", source.clone(), small_profile()).unwrap();
    let mut edge = store.get_or_create("s").unwrap().edge();
    edge.wait_for(|edge| edge.segments >= 1).await.unwrap();
    assert!(jobs.cancel_and_wait("s").await);
    drop((store, status));
    // As a kill would leave it: a rung ahead of the others, a line torn, a temporary file.
    let folder = data.join("streams/s/90p");
    let journal = folder.join("journal");
    let mut text = std::fs::read_to_string(&journal).unwrap();
    let kept = text.lines().next().unwrap().len() + 1;
    assert!(kept <= text.len());
    text.truncate(kept);
    std::fs::write(&journal, format!("{text}2 100000 10")).unwrap();
    std::fs::write(folder.join("00002.tmp"), b"half").unwrap();

    let (store, jobs) = manager(&data);
    let before = store.get("s").unwrap().segment_bytes("90p", 1).unwrap();
    let status = finish(&jobs, "s", source.clone(), small_profile()).await;
    assert_eq!((status.state, status.error), (JobState::Done, None));
    let resumed = store.get("s").unwrap();
    assert_eq!(resumed.segment_bytes("90p", 1).unwrap(), before, "finished segments are not touched");
    for name in ["90p", "180p", "audio"] {
        let entries = |stream: &StreamStore| {
            let segments = stream.rendition(name).unwrap().segments();
            segments.iter().map(|s| (s.number, s.start, s.duration)).collect::<Vec<_>>()
        };
        assert_eq!(entries(&resumed), entries(&whole), "{name}");
        fragments(&resumed, name);
    }
    let decoded = decode(&muxed_file(&resumed, "180p", dir.path()));
    let frames: Vec<u64> = decoded.pictures.iter().map(|p| p.code.expect("a readable frame").frame).collect();
    assert_eq!(frames, (0..325).collect::<Vec<u64>>());
    let (flashes, beeps) = (decoded.flashes(), decoded.beeps());
    assert_eq!((flashes.len(), beeps.len()), (13, 13), "no click at the seam");
    for (flash, beep) in flashes.iter().zip(&beeps).skip(1) {
        assert!((flash - beep).abs() < 5_000_000);
    }

    // Starting a complete stream again does nothing.
    let again = finish(&jobs, "s", source, small_profile()).await;
    assert_eq!(again.state, JobState::Done);
    assert_eq!(resumed.rendition("90p").unwrap().len(), 4);
    let other = SourceSpec::TestCard(card(2000, 90));
    assert_eq!(finish(&jobs, "s", other, small_profile()).await.state, JobState::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rung_of_the_card_spends_its_bitrate() {
    let dir = tempfile::tempdir().unwrap();
    let profile = Profile { max_lines: Some(360), ..Profile::default() };
    let stream = packaged(dir.path(), SourceSpec::TestCard(card(12_000, 360)), profile).await;
    for rendition in stream.renditions().iter().filter(|r| r.info().height > 0) {
        let ratio = rendition.average_bandwidth().unwrap() as f64 / rendition.info().bandwidth as f64;
        let peak = rendition.peak_bandwidth().unwrap() as f64 / rendition.info().bandwidth as f64;
        assert!((0.85..1.15).contains(&ratio), "{} spends {ratio:.2} of its bitrate", rendition.name());
        assert!(peak < 1.7, "{} peaks at {peak:.2}", rendition.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renditions_grow_in_step() {
    let dir = tempfile::tempdir().unwrap();
    let (store, jobs) = manager(dir.path());
    let mut status = jobs.start("s", SourceSpec::TestCard(card(30_000, 180)), small_profile()).unwrap();
    let stream = store.get_or_create("s").unwrap();
    let mut edge = stream.edge();
    while !edge.borrow_and_update().complete && !status.borrow().state.is_over() {
        let lengths: Vec<(String, usize)> =
            stream.renditions().iter().map(|r| (r.name().to_owned(), r.len())).collect();
        let (min, max) = (lengths.iter().map(|l| l.1).min(), lengths.iter().map(|l| l.1).max());
        assert!(max.unwrap_or(0) - min.unwrap_or(0) <= 2, "{lengths:?}");
        tokio::select! {
            changed = edge.changed() => changed.unwrap(),
            changed = status.changed() => changed.unwrap(),
        }
    }
    let status = status.wait_for(|status| status.state.is_over()).await.unwrap().clone();
    assert_eq!((status.state, status.error), (JobState::Done, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_wait_their_turn_and_can_be_cancelled_while_they_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (store, jobs) = manager(dir.path());
    let source = || SourceSpec::TestCard(card(20_000, 180));
    let mut first = jobs.start("one", source(), small_profile()).unwrap();
    let second = jobs.start("two", source(), small_profile()).unwrap();
    assert!(matches!(jobs.start("two", source(), small_profile()), Err(StartError::Running(_))));
    first.wait_for(|status| status.state == JobState::Packaging).await.unwrap();
    assert_eq!(second.borrow().state, JobState::Queued);
    assert!(jobs.cancel_and_wait("two").await);
    assert_eq!(second.borrow().state, JobState::Cancelled);
    assert!(jobs.cancel_and_wait("one").await);
    assert_eq!(first.borrow().state, JobState::Cancelled);
    assert!(jobs.status("one").is_none());
    assert!(!store.get("one").unwrap().is_complete());
    let bad = Profile { gop_ms: 1500, ..small_profile() };
    assert!(matches!(jobs.start("three", source(), bad), Err(StartError::Invalid(_))));
    tokio::task::spawn_blocking({
        let jobs = jobs.clone();
        move || jobs.shutdown()
    })
    .await
    .unwrap();
    assert!(matches!(jobs.start("four", source(), small_profile()), Err(StartError::Stopping)));
}
