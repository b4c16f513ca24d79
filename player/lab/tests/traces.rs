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
