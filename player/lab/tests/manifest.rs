//! Content from real manifests: HLS and DASH, one address or many, sound of its own, true sizes.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::{fs, path::Path, time::Duration};

use weir_abr::{RungId, TrackKind, planner::Config, record::Event};
use weir_lab::{
    content::{Content, manifest},
    sim::{Setup, simulate},
    trace::{Link, Point, Trace},
};

const SEGMENTS: u64 = 30;

/// Sizes that no nominal bitrate would give.
fn video(index: u64, rung: u64) -> u64 {
    (rung + 1) * 200_000 + index % 5 * 30_000 + 7
}

fn audio(index: u64) -> u64 {
    60_000 + index % 3 * 1000
}

/// Files of these sizes; sparse, so that nothing is written.
fn file(path: &Path, bytes: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(path).unwrap().set_len(bytes).unwrap();
}

fn segments(folder: &Path) {
    for index in 0..SEGMENTS {
        for rung in 0..3 {
            file(&folder.join(format!("v{rung}/{index}.m4s")), video(index, rung));
        }
        file(&folder.join(format!("a/{index}.m4s")), audio(index));
    }
}

/// Separate sound, three rungs: the multivariant playlist.
fn hls(folder: &Path) -> String {
    segments(folder);
    let list = |prefix: &str| {
        let entries: String =
            (0..SEGMENTS).map(|index| format!("#EXTINF:4,\n{prefix}/{index}.m4s\n")).collect();
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n{entries}#EXT-X-ENDLIST\n")
    };
    let mut master =
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",DEFAULT=YES,URI=\"a.m3u8\"\n".to_owned();
    fs::write(folder.join("a.m3u8"), list("a")).unwrap();
    for rung in 0..3 {
        fs::write(folder.join(format!("v{rung}.m3u8")), list(&format!("v{rung}"))).unwrap();
        let bandwidth = (rung + 1) * 500_000;
        master += &format!(
            "#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},CODECS=\"avc1.4d401e,mp4a.40.2\",AUDIO=\"a\",RESOLUTION=640x{}\nv{rung}.m3u8\n",
            (rung + 1) * 180
        );
    }
    let path = folder.join("master.m3u8");
    fs::write(&path, master).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The same as an MPD with numbered templates.
fn dash(folder: &Path) -> String {
    segments(folder);
    let template = |prefix: &str| {
        format!(
            "<SegmentTemplate media=\"{prefix}/$Number$.m4s\" startNumber=\"0\" timescale=\"1\" duration=\"4\"/>"
        )
    };
    let video: String = (0..3)
        .map(|rung| {
            format!(
                "<Representation id=\"v{rung}\" bandwidth=\"{}\" width=\"640\" height=\"{}\">{}</Representation>",
                (rung + 1) * 500_000,
                (rung + 1) * 180,
                template(&format!("v{rung}"))
            )
        })
        .collect();
    let seconds = SEGMENTS * 4;
    let text = format!(
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT{seconds}S\"><Period>\
         <AdaptationSet mimeType=\"video/mp4\" codecs=\"avc1.4d401e\">{video}</AdaptationSet>\
         <AdaptationSet mimeType=\"audio/mp4\" codecs=\"mp4a.40.2\" lang=\"en\">\
         <Representation id=\"a\" bandwidth=\"128000\">{}</Representation></AdaptationSet></Period></MPD>",
        template("a")
    );
    let path = folder.join("manifest.mpd");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn check(content: &Content) {
    let kinds: Vec<_> = content.tracks.iter().map(|track| track.kind).collect();
    assert_eq!(kinds, [TrackKind::Video, TrackKind::Audio]);
    assert_eq!(content.duration(), Duration::from_secs(SEGMENTS * 4));
    let (pictures, sound) = (&content.tracks[0], &content.tracks[1]);
    assert_eq!((pictures.ladder.len(), sound.ladder.len()), (3, 1));
    for index in 0..SEGMENTS {
        let segment = &pictures.segments[index as usize];
        assert_eq!(segment.start, Duration::from_secs(index * 4));
        for rung in 0..3 {
            assert_eq!(segment.size(RungId(rung as usize), &pictures.ladder), video(index, rung));
        }
        assert_eq!(sound.segments[index as usize].size(RungId(0), &sound.ladder), audio(index));
    }
}

fn link(kbps: f64) -> Link {
    Link::new(&Trace::new("t", vec![Point { duration_ms: 1e6, kbps, latency_ms: 20.0 }]).unwrap())
}

#[test]
fn hls_with_sound_of_its_own_has_the_sizes_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    check(&manifest::load(&hls(folder.path())).unwrap());
}

#[test]
fn dash_with_sound_of_its_own_has_the_sizes_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    check(&manifest::load(&dash(folder.path())).unwrap());
}

#[test]
fn a_session_downloads_pictures_and_sound_of_a_manifest_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let content = manifest::load(&dash(folder.path())).unwrap();
    let link = link(20_000.0);
    let config = Config { controller: "lowest".to_owned(), ..Config::default() };
    let session = simulate(Setup { record: true, ..Setup::new(&content, &link) }, config).unwrap();
    assert!(session.finished && session.stalls.is_empty(), "{:?}", session.stalls);
    let fetched = |kind: TrackKind| {
        session.record.iter().filter_map(move |entry| match &entry.event {
            Event::Segment { track, index, rung, bytes, .. } if *track == kind => {
                Some((*index, rung.0, *bytes))
            }
            _ => None,
        })
    };
    let (mut pictures, mut sound): (Vec<_>, Vec<_>) =
        (fetched(TrackKind::Video).collect(), fetched(TrackKind::Audio).collect());
    pictures.sort_unstable();
    sound.sort_unstable();
    // Only the first is not the lowest: nothing was known then.
    let numbers = content.main().first_index..content.main().first_index + SEGMENTS;
    let rung = |at: u64| if at == 0 { pictures[0].1 } else { 0 };
    assert!(
        pictures.iter().copied().eq(numbers
            .clone()
            .zip(0..)
            .map(|(index, at)| { (index, rung(at), video(at, rung(at) as u64)) })),
        "{pictures:?}"
    );
    assert!(sound.iter().copied().eq(numbers.zip(0..).map(|(index, at)| (index, 0, audio(at)))), "{sound:?}");
    let expected: u64 = pictures.iter().chain(&sound).map(|(.., bytes)| bytes).sum();
    assert!(session.bytes.abs_diff(expected) <= 1, "{} {expected}", session.bytes);
    // A link that carries the pictures but not the sound beside them stalls; one that carries both does not.
    let all_kbps = expected as f64 * 8.0 / (SEGMENTS as f64 * 4.0) / 1000.0;
    let play = |kbps: f64| {
        let config = Config { controller: "lowest".to_owned(), ..Config::default() };
        simulate(Setup::new(&content, &self::link(kbps)), config).unwrap().stalls.len()
    };
    assert_eq!(play(all_kbps * 1.3), 0);
    assert!(play(all_kbps * 0.8) > 0);
}

#[test]
fn a_manifest_with_a_missing_segment_is_refused_with_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let path = hls(folder.path());
    fs::remove_file(folder.path().join("v1/7.m4s")).unwrap();
    let error = format!("{:#}", manifest::load(&path).unwrap_err());
    assert!(error.contains("v1/7.m4s"), "{error}");
    let missing = manifest::load("/nowhere/at/all.mpd").unwrap_err();
    assert!(format!("{missing:#}").contains("/nowhere/at/all.mpd"));
}
