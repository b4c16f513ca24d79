//! Trace files: every format is read and written, and what is wrong with a bad one is said.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::path::Path;

use weir_lab::trace::{Format, Link, Trace, generate, read, read_one};

fn parse(format: Format, text: &str) -> Vec<Trace> {
    format.parse(text, "t").unwrap()
}

fn problem(format: Format, text: &str) -> (usize, String) {
    let bad = format.parse(text, "t").unwrap_err();
    (bad.line, bad.reason)
}

#[test]
fn formats_that_hold_everything_give_back_what_was_written() {
    let trace = generate::walk("w", 3000.0, 60, 4, 50.0).unwrap();
    for format in [Format::Weir, Format::Sabre, Format::Csv] {
        let again = parse(format, &format.write(&trace));
        assert_eq!(again[0].points(), trace.points(), "{format:?}");
    }
    assert_eq!(parse(Format::Weir, &Format::Weir.write(&trace))[0].name(), "w");
}

#[test]
fn pensieve_keeps_rates_and_times() {
    let trace = generate::steps("s", &[5000.0, 600.0, 5000.0], 30_000.0, 80.0).unwrap();
    let again = &parse(Format::Pensieve, &Format::Pensieve.write(&trace))[0];
    assert_eq!(again.points().len(), 3);
    for (a, b) in again.points().iter().zip(trace.points()) {
        assert!((a.duration_ms - b.duration_ms).abs() < 1e-6 && (a.kbps - b.kbps).abs() < 1e-6);
        assert_eq!(a.latency_ms, 80.0);
    }
}

#[test]
fn mahimahi_carries_the_same_bits_over_time() {
    let trace = generate::steps("s", &[4000.0, 800.0, 0.0, 2400.0], 5000.0, 0.0).unwrap();
    let again = &parse(Format::Mahimahi, &Format::Mahimahi.write(&trace))[0];
    assert_eq!(again.duration_ms(), 20_000.0);
    let (a, b) = (Link::new(&trace), Link::new(again));
    for t in (0..20_000).step_by(400) {
        let (a, b) = (a.bits_until(f64::from(t)), b.bits_until(f64::from(t)));
        // A packet more or less, and half a bin.
        assert!((a - b).abs() < 12_000.0 * 2.0 + 1.0, "{t}: {a} {b}");
    }
}

#[test]
fn csv_with_time_columns_and_other_units_is_understood() {
    let trace = &parse(Format::Csv, "time_s,mbps,rtt_ms,note\n0,4,20,a\n2.5,0,20,b\n3,1.5,30,c\n")[0];
    let points: Vec<_> = trace.points().iter().map(|p| (p.duration_ms, p.kbps, p.latency_ms)).collect();
    assert_eq!(points, [(2500.0, 4000.0, 20.0), (500.0, 0.0, 20.0), (500.0, 1500.0, 30.0)]);
}

#[test]
fn formats_are_told_apart_by_name_and_content() {
    let guess = |name: &str, text: &str| Format::guess(Path::new(name), text);
    assert_eq!(guess("a.jsonl", ""), Format::Weir);
    assert_eq!(guess("a.json", " [ {"), Format::Sabre);
    assert_eq!(guess("a.json", "{\"name\""), Format::Weir);
    assert_eq!(guess("a.down", "1\n2"), Format::Mahimahi);
    assert_eq!(guess("trace_1", "1\n2"), Format::Mahimahi);
    assert_eq!(guess("report.log", "0.5 3.1\n"), Format::Pensieve);
    assert_eq!(guess("a.txt", "duration_ms,kbps\n"), Format::Csv);
}

#[test]
fn bad_input_is_named_with_its_line() {
    let cases = [
        (
            Format::Weir,
            "{\"name\":\"a\",\"points\":[[1,2,3]]}\n{\"name\":\"b\",\"points\":[[1,-2,3]]}",
            2,
            "kbps -2",
        ),
        (Format::Weir, "{\"name\":\"a\",\"points\":[[1,2]]}", 1, "points"),
        (Format::Weir, "\n\n", 1, "no trace"),
        (Format::Weir, "{\"name\":\"a\",\"points\":[[1,0,3]]}", 1, "0 at all times"),
        (
            Format::Sabre,
            "[{\"duration_ms\":1,\"bandwidth_kbps\":1,\"latency_ms\":1},\n{\"duration_ms\":0,\"bandwidth_kbps\":1,\"latency_ms\":1}]",
            2,
            "duration_ms 0",
        ),
        (Format::Sabre, "[{\"duration_ms\":1,\n\"bandwidth\":1}]", 2, "bandwidth_kbps"),
        (Format::Mahimahi, "1\n5\n4\n", 3, "must not fall"),
        (Format::Mahimahi, "1\nx\n", 2, "milliseconds"),
        (Format::Mahimahi, "", 1, "no time"),
        (Format::Pensieve, "0 1\n1 2 3\n", 2, "3 numbers"),
        (Format::Pensieve, "0 1\n0 2\n", 2, "after"),
        (Format::Csv, "a,b\n1,2\n", 1, "head"),
        (Format::Csv, "0,2\n1,3\n", 1, "no head"),
        (Format::Csv, "duration_ms,kbps\n10,1\n10\n", 3, "cells"),
        (Format::Csv, "time_s,kbps\n1,1\n1,2\n", 3, "after"),
        (Format::Csv, "duration_ms,kbps\n10,nan\n", 2, "not below 0"),
    ];
    for (format, text, line, word) in cases {
        let (at, reason) = problem(format, text);
        assert_eq!(at, line, "{format:?} {text:?}: {reason}");
        assert!(reason.contains(word), "{format:?} {text:?}: {reason}");
    }
}

#[test]
fn a_bad_file_is_named() {
    let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
    std::io::Write::write_all(&mut file, b"{\"name\":\"a\",\"points\":[[1,2,3]]}\n{}\n").unwrap();
    let error = read(file.path()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:2: ", file.path().display())), "{error}");
    let error = read(Path::new("/nowhere.jsonl")).unwrap_err().to_string();
    assert!(error.contains("/nowhere.jsonl"), "{error}");
}

#[test]
fn one_of_several_traces_is_picked_by_name_or_number() {
    let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
    let text = "{\"name\":\"a\",\"points\":[[1,2,3]]}\n{\"name\":\"b\",\"points\":[[4,5,6]]}\n";
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    let path = file.path().display().to_string();
    assert_eq!(read_one(&path).unwrap().name(), "a");
    assert_eq!(read_one(&format!("{path}#b")).unwrap().name(), "b");
    assert_eq!(read_one(&format!("{path}#2")).unwrap().name(), "b");
    let error = read_one(&format!("{path}#c")).unwrap_err().to_string();
    assert!(error.contains("\"c\"") && error.contains("a, b"), "{error}");
}

#[test]
fn the_projects_own_traces_are_what_their_commands_make() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/traces");
    let made = [
        ("step.jsonl", generate::steps("step 5-0.6-5", &[5000.0, 600.0, 5000.0], 30_000.0, 40.0)),
        ("sawtooth.jsonl", generate::sawtooth("sawtooth", (500.0, 6000.0), 60, 40.0)),
        (
            "outages.jsonl",
            generate::outages("outages", 4000.0, 60_000.0, &[2000.0, 5000.0, 10_000.0, 20_000.0], 40.0),
        ),
        ("walk.jsonl", generate::walk("walk", 4000.0, 300, 1, 40.0)),
    ];
    for (file, trace) in made {
        let stored = read(&folder.join(file)).unwrap();
        assert_eq!(stored, [trace.unwrap()], "{file}");
    }
}

#[test]
fn a_walk_has_the_mean_that_was_asked_for_and_fades() {
    let trace = generate::walk("w", 4000.0, 300, 1, 40.0).unwrap();
    assert!((trace.mean_kbps() - 4000.0).abs() < 5.0);
    let lowest = trace.points().iter().map(|point| point.kbps).fold(f64::INFINITY, f64::min);
    assert!(lowest < 800.0, "{lowest}");
}

#[test]
fn tables_are_read_as_spreadsheets_and_people_write_them() {
    let folder = tempfile::tempdir().unwrap();
    let points = |name: &str, bytes: &[u8]| -> Vec<(f64, f64)> {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let traces = read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        traces[0].points().iter().map(|point| (point.duration_ms, point.kbps)).collect()
    };
    let wanted = [(1000.0, 1500.0), (1000.0, 2500.0)];
    let plain = "duration_ms,kbps\n1000,1500\n1000,2500\n";
    for (name, text) in [
        ("a.csv", plain.to_owned()),
        ("crlf.csv", plain.replace('\n', "\r\n")),
        ("mark.csv", format!("\u{feff}# made by hand\n\n{plain}")),
        ("semicolon.csv", "time_s;mbps\n0;1,5\n1;2,5\n".to_owned()),
        ("tab.csv", "duration_s\tkbps\n1\t1500\n1\t2500\n".to_owned()),
        ("blank.txt", "duration_s kbps\n1 1500\n1 2500\n".to_owned()),
        (
            "quoted.csv",
            "\"duration_ms\",\"kbps\",\"note\"\n\"1000\",\"1500\",\"\"\n\"1000\",\"2500\",\"\"\n".to_owned(),
        ),
        ("units.csv", "Time [s],Bandwidth (Mbit/s),RTT (ms)\n0,1.5,20\n1,2.5,20\n".to_owned()),
        ("bytes.csv", "time_s,Rate [kB/s]\n0,187.5\n1,312.5\n".to_owned()),
        ("shouted.csv", "TIME_S,MBPS\n0,1.5\n1,2.5\n".to_owned()),
        ("bits.csv", "timestamp_ms,throughput_bps\n0,1500000\n1000,2500000\n".to_owned()),
    ] {
        assert_eq!(points(name, text.as_bytes()), wanted, "{name}");
    }
    let wide: Vec<u8> = format!("\u{feff}{plain}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(points("wide.csv", &wide), wanted);
    let seconds = parse(Format::Csv, "time_s,kbps,latency_s\n0,1500,0.05\n");
    assert_eq!(seconds[0].points()[0].latency_ms, 50.0);
    assert_eq!(
        points("mark.json", "\u{feff}[{\"duration_ms\":1,\"bandwidth_kbps\":2,\"latency_ms\":3}]".as_bytes()),
        [(1.0, 2.0)]
    );
}

#[test]
fn figures_beyond_reason_and_files_that_are_no_text_are_refused_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let error = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path).unwrap_err().to_string()
    };
    for (name, bytes, part) in [
        ("rate.csv", &b"duration_ms,kbps\n1000,1\n1000,1e300\n"[..], ":3: point 2 has kbps 1e300"),
        ("rate.log", b"0 1\n1 1e300\n", ":2: point 1 has kbps"),
        ("length.csv", b"duration_ms,kbps\n1e300,1000\n", "duration_ms"),
        ("wait.jsonl", b"{\"name\":\"a\",\"points\":[[1000,1000,1e12]]}\n", "latency_ms"),
        ("latin.csv", b"duration_ms,kbps\n1000,1\n# \xE9\n", ":3: the file is no text"),
        ("packed.csv", b"\x1F\x8B\x08\x00", "gzip"),
        ("dead.log", b"0 0\n1 0\n", "rate is 0"),
    ] {
        let error = error(name, bytes);
        assert!(error.contains(name) && error.contains(part), "{name}: {error}");
    }
    assert!(!read(Path::new("/nonexistent/x.csv")).unwrap_err().to_string().contains('\n'));
}

/// Texts of the right shape with numbers, separators and lines put wrong: read or refused, and what is read is a trace
/// that a session comes to an end on.
#[test]
fn mutated_traces_are_read_or_refused_and_end() {
    use weir_lab::{
        content::Spec,
        sim::{Setup, simulate},
    };
    let seeds = [
        (Format::Weir, "{\"name\":\"a\",\"points\":[[1000,2000,20],[500,0,20]]}\n"),
        (Format::Sabre, "[{\"duration_ms\":1000,\"bandwidth_kbps\":2000,\"latency_ms\":20}]"),
        (Format::Mahimahi, "1\n2\n200\n1000\n"),
        (Format::Pensieve, "0 1\n1 2\n2 0\n3 4\n"),
        (Format::Csv, "time_s,mbps,latency_ms\n0,1,20\n1,2,20\n2,0,20\n"),
    ];
    let values = [
        "",
        "0",
        "-1",
        "1e308",
        "1e-300",
        "NaN",
        "inf",
        ",",
        ";",
        "\n",
        "\"",
        "[",
        "}",
        "99999999999",
        "0.001",
        "\u{feff}",
    ];
    let content = "cbr:300,1000/2s/6s".parse::<Spec>().unwrap().load(Path::new("")).unwrap();
    let mut state = 1_u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    let mut read = 0;
    for _ in 0..3000 {
        let (format, seed) = seeds[below(seeds.len())];
        let mut text: Vec<char> = seed.chars().collect();
        for _ in 0..=below(3) {
            let at = below(text.len() + 1);
            let end = (at + below(6)).min(text.len());
            text.splice(at..end, values[below(values.len())].chars());
        }
        let text: String = text.into_iter().collect();
        if let Ok(traces) = format.parse(&text, "t") {
            read += 1;
            let link = Link::new(&traces[0]);
            let config = weir_abr::planner::Config { controller: "lowest".to_owned(), ..Default::default() };
            simulate(Setup::new(&content, &link), config).unwrap();
        }
    }
    assert!(read > 100, "{read}");
}
