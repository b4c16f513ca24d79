//! The lab as its user runs it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::{path::Path, process::Command};

fn lab(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_weir-lab")).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

fn traces(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/traces").join(file).display().to_string()
}

#[test]
fn sim_prints_a_table_and_writes_results_report_and_records() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("deep/out");
    let out = out.to_str().unwrap();
    let (step, walk) = (traces("step.jsonl"), traces("walk.jsonl"));
    let content = "vbr:300,1200,4300/4s/60s";
    let mut arguments =
        vec!["sim", "--traces", &step, &walk, "--algorithms", "weir,bola-e", "--content", content];
    arguments.extend(["--buffer", "10,25", "--oracle", "--records", "--timelines", "1", "--out", out]);
    let (ok, table, problem) = lab(&arguments);
    assert!(ok, "{problem}");
    for word in [
        "step, buffer 10 s",
        "walk, buffer 25 s",
        "weir",
        "bola-e",
        "oracle",
        "QoE_S",
        "Yin",
        "Means over sets",
    ] {
        assert!(table.contains(word), "{word} is missing in\n{table}");
    }
    let report = std::fs::read_to_string(Path::new(out).join("report.html")).unwrap();
    assert!(report.contains("\"timelines\":[{"));
    let rows: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(Path::new(out).join("results.json")).unwrap()).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 12);
    let record = Path::new(out).join("step-step_5-0.6-5-10-weir.events.jsonl");
    let record = record.to_str().unwrap();
    assert!(Path::new(&record.replace("events.jsonl", "p1203.json")).exists());

    let (ok, text, problem) = lab(&["explain", record, "--track", "video"]);
    assert!(ok && text.contains("QoE_S"), "{problem}{text}");
    let (ok, text, problem) = lab(&["replay", record, "--algorithms", "weir", "--json", "--buffer", "10"]);
    assert!(ok, "{problem}");
    let lines: serde_json::Value = serde_json::from_str(&text).unwrap();
    let names: Vec<_> =
        lines.as_array().unwrap().iter().map(|line| line["algorithm"].as_str().unwrap()).collect();
    assert_eq!(names, ["recorded", "weir", "oracle"]);
}

#[test]
fn content_is_taken_from_a_manifest_with_the_files_true_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "master.m3u8",
        b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=400000,RESOLUTION=640x360\nlow.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1600000,RESOLUTION=1280x720\nhigh.m3u8\n",
    );
    for (name, size) in [("low", 190_000), ("high", 770_000)] {
        let segments: String = (0..5).map(|at| format!("#EXTINF:4,\n{name}-{at}.m4s\n")).collect();
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{segments}#EXT-X-ENDLIST\n");
        write(&format!("{name}.m3u8"), text.as_bytes());
        for at in 0..5 {
            write(&format!("{name}-{at}.m4s"), &vec![0; size + at]);
        }
    }
    let path = folder.path().join("master.m3u8");
    let content = weir_lab::content::manifest::load(path.to_str().unwrap()).unwrap();
    assert_eq!(content.tracks.len(), 1);
    let sizes: Vec<_> = content.main().segments.iter().map(|segment| segment.sizes.to_vec()).collect();
    assert_eq!(sizes[0], [190_000, 770_000]);
    assert_eq!(sizes[4], [190_004, 770_004]);
    assert_eq!(content.main().ladder.rungs()[1].height, Some(720));

    std::fs::remove_file(folder.path().join("high-3.m4s")).unwrap();
    let error = format!("{:#}", weir_lab::content::manifest::load(path.to_str().unwrap()).unwrap_err());
    assert!(error.contains("high-3.m4s"), "{error}");
}

#[test]
fn traces_are_made_looked_at_and_converted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.down");
    let file = file.to_str().unwrap();
    let (ok, _, problem) =
        lab(&["trace", "steps", "--rates", "2M,0,4M", "--step", "2s", "--to", "mahimahi", "--out", file]);
    assert!(ok, "{problem}");
    let (ok, text, problem) = lab(&["trace", "info", file]);
    assert!(ok && text.contains("2000") && text.contains("33.3"), "{problem}{text}");
    let (ok, text, _) = lab(&["trace", "convert", file, "--to", "csv"]);
    assert!(ok && text.starts_with("duration_ms,kbps,latency_ms\n"));
}

#[test]
fn what_cannot_be_done_is_said_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.jsonl");
    std::fs::write(&bad, "{\"name\":\"a\",\"points\":[[1000,500,20]]}\n{\"name\":1}\n").unwrap();
    let bad = bad.to_str().unwrap();
    let step = traces("step.jsonl");
    let cases: [(&[&str], &str); 6] = [
        (&["sim", "--traces", bad], "bad.jsonl:2:"),
        (&["sim", "--traces", "/nowhere.jsonl"], "/nowhere.jsonl"),
        (&["sim", "--traces", &step, "--algorithms", "nobody"], "nobody"),
        (&["sim", "--traces", &step, "--buffer", "0"], "--buffer 0"),
        (&["explain", bad], "bad.jsonl:1:"),
        (&["proxy", "--upstream", "http://127.0.0.1:9", "--rate", "fast"], "1.5M"),
    ];
    for (arguments, word) in cases {
        let (ok, _, problem) = lab(arguments);
        assert!(!ok && problem.contains(word), "{arguments:?}: {problem}");
    }
}

#[test]
fn the_proxy_says_where_it_listens_in_its_first_line() {
    use std::io::{BufRead as _, BufReader};
    let mut proxy = Command::new(env!("CARGO_BIN_EXE_weir-lab"))
        .args(["proxy", "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--rate", "1M"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(proxy.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok(), "{address}");
    proxy.kill().unwrap();
    proxy.wait().unwrap();
}

#[test]
fn what_is_wrong_is_said_before_anything_runs() {
    let step = traces("step.jsonl");
    let with = |more: &[&str]| {
        let mut arguments = vec!["sim", "--traces", &step];
        arguments.extend(more);
        let (ok, table, problem) = lab(&arguments);
        assert!(!ok && table.is_empty(), "{more:?}: {table}");
        problem
    };
    for (more, part) in [
        (&["--algorithms", "wier"][..], "did you mean \"weir\"?"),
        (&["--algorithms", "weir,"], "no controller \"\""),
        (&["--algorithms", "weir:reserve=x"], "NAME=NUMBER"),
        (&["--algorithms", "soda:a=1"], "soda has no settings"),
        (&["--buffer", "-1"], "--buffer -1: wanted seconds"),
        (&["--out", &step], "nothing can be written into the folder"),
        (&["--content", "cbr:300,1e300/4s/40s"], "not a bitrate"),
        (&["--content", "nowhere.json"], "reading the movie nowhere.json"),
    ] {
        let problem = with(more);
        assert!(problem.contains(part), "{more:?}: {problem}");
        assert!(problem.matches("No such file").count() <= 1, "{problem}");
    }
}

#[test]
fn a_controller_that_is_named_twice_runs_once_and_sessions_without_an_end_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slow.csv");
    std::fs::write(&path, "duration_ms,kbps\n1000,0.001\n").unwrap();
    let content = "cbr:300,1000/4s/20s";
    let (ok, table, problem) =
        lab(&["sim", "--traces", path.to_str().unwrap(), "--algorithms", "weir,weir", "--content", content]);
    assert!(ok, "{problem}");
    assert!(table.contains("slow, buffer 25 s, 1 traces"), "{table}");
    assert!(table.contains("1 of 1 sessions did not get to the end"), "{table}");
}

#[test]
fn records_that_are_none_or_lie_are_refused_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let session =
        "{\"t_ms\":0.0,\"event\":\"session\",\"url\":\"u\",\"algorithm\":\"weir\",\"max_buffer_s\":25.0}\n";
    for (bytes, part) in [
        (
            format!("{session}{{\"t_ms\":1,\"event\":\"ended\",\"pos_s\":1e300}}\n").into_bytes(),
            ":2: 1e300 is beyond",
        ),
        (b"[{\n\"a\":1}]\n".to_vec(), "is it a session's record"),
        ([session.as_bytes(), b"\xFF\xFE\n"].concat(), ":2: it is no text"),
        (Vec::new(), "the record is empty"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        for command in ["explain", "replay"] {
            let (ok, text, problem) = lab(&[command, path.to_str().unwrap()]);
            assert!(!ok && text.is_empty() && problem.contains(part), "{command}: {problem}");
        }
    }
    std::fs::write(&path, format!("\u{feff}{session}")).unwrap();
    let (ok, text, problem) = lab(&["explain", path.to_str().unwrap()]);
    assert!(ok && text.contains("weir"), "{problem}");
}

#[test]
fn traces_beyond_reason_are_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fast.csv");
    std::fs::write(&path, "duration_ms,kbps\n30000000000,1000000000\n").unwrap();
    for (arguments, part) in [
        (&["trace", "convert", path.to_str().unwrap(), "--to", "mahimahi"][..], "a line for each packet"),
        (&["trace", "walk", "--length", "4294967295"], "1000000"),
        (&["trace", "sawtooth", "--period", "0"], "2..="),
    ] {
        let (ok, text, problem) = lab(arguments);
        assert!(!ok && text.is_empty() && problem.contains(part), "{arguments:?}: {problem}");
    }
    let (ok, text, problem) = lab(&["trace", "info", folder.path().to_str().unwrap()]);
    assert!(ok && text.contains("fast"), "{problem}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_experiment_keeps_what_was_finished() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let walk = traces("walk.jsonl");
    let mut child = Command::new(env!("CARGO_BIN_EXE_weir-lab"))
        .args(["sim", "--traces", &walk, "--buffer"])
        .arg((5..400).map(|buffer| buffer.to_string()).collect::<Vec<_>>().join(","))
        .args(["--out", out.to_str().unwrap()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The folder is made when the program listens, before the sessions begin.
    while !out.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended too soon");
        std::thread::yield_now();
    }
    // Long enough for some of them, on most machines; none will do as well.
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{problem}");
    assert!(
        problem.contains("interrupted after ") && problem.contains("what was finished is in"),
        "{problem}"
    );
    let rows: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("results.json")).unwrap()).unwrap();
    assert!(problem.contains(&format!("after {} of ", rows.as_array().unwrap().len())), "{problem}");
    assert!(out.join("report.html").exists() && out.join("results.csv").exists());
}
