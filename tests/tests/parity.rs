//! One brain, two worlds: what the player chose over a real link is what the simulator chooses over the recorded one.

use std::fs;

use serde_json::Value;
use weir_abr::record::Event;
use weir_tests::{Player, Proxy, Server, fixture, process};

/// The least share of segments for which both choose the same, and how far the played bitrate may be off.
const SAME: f64 = 0.9;
const OFF: f64 = 0.05;

#[test]
fn the_simulator_chooses_on_the_recorded_link_what_the_player_chose_on_the_real_one() {
    let data = fixture::packaged().unwrap();
    let server = Server::start(data.path()).unwrap();
    let trace = data.path().join("steps.jsonl");
    // Steps that leave no doubt: where two rungs are worth the same, a millisecond of scheduling decides, in either world.
    fs::write(
        &trace,
        r#"{"name": "steps", "points": [[14000, 4000, 40], [16000, 600, 60], [600000, 8000, 40]]}"#,
    )
    .unwrap();
    let proxy = Proxy::start(&server.url, &["--trace".as_ref(), trace.as_os_str()]).unwrap();

    let player = Player::headless(&proxy.hls(fixture::LONG), &["--max-buffer", "12", "--duration", "58"]);
    let log = player.unwrap().finish(std::time::Duration::from_secs(100)).unwrap();

    let record = data.path().join("session.jsonl");
    fs::write(&record, log.tail(usize::MAX)).unwrap();
    let record = record.to_str().unwrap();
    let manifest = server.hls(fixture::LONG);
    let replay = ["lab", "replay", record, "--algorithms", "weir", "--manifest", &manifest, "--json"];
    let output = process::run("weir", &replay).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> = serde_json::from_str(&text).unwrap();
    let line = |name: &str| lines.iter().find(|line| line["algorithm"] == name).unwrap();
    let (recorded, simulated) = (line("recorded"), line("weir"));

    let rungs = log.count(|event| matches!(event, Event::Switch { .. }));
    assert!(rungs >= 2, "the link's steps made no switches: {}", log.tail(40));
    let same = simulated["same"].as_f64().unwrap();
    assert!(
        same >= SAME,
        "{:.0} % of the segments are the same\n{text}\n{}",
        same * 100.0,
        log.tail(usize::MAX)
    );
    let (played, again) = (recorded["kbps"].as_f64().unwrap(), simulated["kbps"].as_f64().unwrap());
    assert!((again / played - 1.0).abs() <= OFF, "played {played} kbit/s, simulated {again}\n{text}");
}
