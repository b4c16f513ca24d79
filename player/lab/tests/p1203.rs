//! The export for implementations of ITU-T P.1203 has the shape that they read (P.1203, table 2: I.11, I.13, I.14, I.GEN).

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::{fs, time::Duration};

use serde_json::Value;
use weir_abr::{Bitrate, Ladder, Rung, SegmentInfo, Track, TrackKind, planner::Config};
use weir_lab::{
    content::Content,
    sim::{Setup, simulate},
    trace::{Link, Point, Trace},
};

/// The keys of an object, sorted.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// Segments follow each other without a gap; the end of the last.
fn contiguous(segments: &[Value]) -> f64 {
    let mut end = 0.0;
    for segment in segments {
        assert!((number(&segment["start"]) - end).abs() < 1e-6, "{segment} does not begin at {end}");
        assert!(number(&segment["duration"]) > 0.0 && number(&segment["bitrate"]) > 0.0, "{segment}");
        end += number(&segment["duration"]);
    }
    end
}

/// A session of 400 s with stalls, as a record on disk, through the command.
fn exported() -> Value {
    let rung = |kbps: f64, height: u32| Rung {
        height: Some(height),
        ..Rung::with_bitrate(Bitrate::from_kbps(kbps))
    };
    let length = Duration::from_secs(4);
    let segments =
        (0..100).map(|at| SegmentInfo { start: length * at, duration: length, ..SegmentInfo::default() });
    let ladder = Ladder::new(vec![rung(400.0, 240), rung(1500.0, 480), rung(4000.0, 1080)]).unwrap();
    let track = Track { kind: TrackKind::Video, ladder, first_index: 0, segments: segments.collect() };
    let content = Content { name: "film".to_owned(), tracks: vec![track.into()] };
    let points = [(40.0, 5000.0), (45.0, 0.0), (1000.0, 3000.0)];
    let points = points
        .map(|(seconds, kbps)| Point { duration_ms: seconds * 1000.0, kbps, latency_ms: 20.0 })
        .to_vec();
    let link = Link::new(&Trace::new("outage", points).unwrap());
    let config = Config { max_buffer: Duration::from_secs(15), ..Config::default() };
    let session = simulate(Setup { record: true, ..Setup::new(&content, &link) }, config).unwrap();
    assert!(!session.stalls.is_empty());

    let folder = tempfile::tempdir().unwrap();
    let (record, out) = (folder.path().join("session.jsonl"), folder.path().join("input.json"));
    let lines: String =
        session.record.iter().map(|entry| serde_json::to_string(entry).unwrap() + "\n").collect();
    fs::write(&record, lines).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_weir-lab"))
        .args(["explain", record.to_str().unwrap(), "--p1203", out.to_str().unwrap()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for figure in ["QoE_S", "Yin", "log", "Sabre"] {
        assert!(text.contains(figure), "{figure} is missing in the figures:\n{text}");
    }
    serde_json::from_str(&fs::read_to_string(out).unwrap()).unwrap()
}

#[test]
fn the_export_has_the_keys_types_and_ranges_of_p1203_in_mode_0() {
    let input = exported();
    assert_eq!(keys(&input), ["I11", "I13", "I23", "IGen"]);

    let audio = input["I11"]["segments"].as_array().unwrap();
    let video = input["I13"]["segments"].as_array().unwrap();
    assert_eq!(keys(&input["I11"]), ["segments", "streamId"]);
    assert_eq!(keys(&input["I13"]), ["segments", "streamId"]);
    for segment in audio {
        assert_eq!(keys(segment), ["bitrate", "codec", "duration", "start"]);
        assert_eq!(segment["codec"], "aaclc");
    }
    for segment in video {
        assert_eq!(keys(segment), ["bitrate", "codec", "duration", "fps", "resolution", "start"]);
        assert_eq!(segment["codec"], "h264");
        assert!(number(&segment["fps"]) > 0.0);
        let (width, height) = segment["resolution"].as_str().unwrap().split_once('x').unwrap();
        let (width, height): (u32, u32) = (width.parse().unwrap(), height.parse().unwrap());
        assert!(width > height && width % 2 == 0, "{segment}");
    }
    // The standard covers five minutes; both streams are equally long.
    let (heard, seen) = (contiguous(audio), contiguous(video));
    assert!((seen - 300.0).abs() < 1e-6 && (heard - seen).abs() < 1e-6, "{heard} {seen}");

    assert_eq!(keys(&input["I23"]), ["stalling", "streamId"]);
    let stalls = input["I23"]["stalling"].as_array().unwrap();
    assert!(stalls.len() >= 2, "start-up and a stall: {stalls:?}");
    assert_eq!(stalls[0][0], 0.0, "start-up is a stall at 0");
    let mut before = -1.0;
    for stall in stalls {
        let [at, seconds] = stall.as_array().unwrap().as_slice() else { unreachable!("{stall}") };
        assert!(number(at) > before && number(at) <= seen && number(seconds) > 0.0, "{stalls:?}");
        before = number(at);
    }

    assert_eq!(keys(&input["IGen"]), ["device", "displaySize", "viewingDistance"]);
    assert!(["pc", "mobile"].contains(&input["IGen"]["device"].as_str().unwrap()));
    assert!(input["IGen"]["viewingDistance"].as_str().unwrap().ends_with("cm"));
}
