//! Whole sessions on the virtual clock, with the player's own planner.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::time::Duration;

use weir_abr::{Event, planner::Config, qoe};
use weir_lab::{
    content::{Content, Model},
    experiment::{self, Options, Progress, Set},
    figures::Figures,
    oracle::{Objective, Resolution},
    record::{Replay, explain},
    sim::{LiveEdge, Session, Setup, Transport, simulate},
    trace::{Link, Point, Trace, generate},
};

fn content(seconds: usize) -> Content {
    let model = Model {
        kbps: vec![300.0, 750.0, 1200.0, 2850.0, 4300.0],
        segment: Duration::from_secs(4),
        count: seconds / 4,
        spread: 0.3,
        seed: 1,
    };
    model.to_content("test").unwrap()
}

fn link(points: &[(f64, f64)]) -> Link {
    let points = points
        .iter()
        .map(|(seconds, kbps)| Point { duration_ms: seconds * 1000.0, kbps: *kbps, latency_ms: 40.0 })
        .collect();
    Link::new(&Trace::new("test", points).unwrap())
}

fn config(controller: &str, buffer: u64) -> Config {
    Config { controller: controller.to_owned(), max_buffer: Duration::from_secs(buffer), ..Config::default() }
}

fn stalled(session: &Session) -> f64 {
    session.stalls.iter().map(|stall| stall.length.as_secs_f64()).sum()
}

#[test]
fn every_controller_plays_to_the_end_without_stalls_on_a_fast_link() {
    let content = content(120);
    let link = link(&[(1000.0, 20_000.0)]);
    for name in weir_abr::control::NAMES {
        let session = simulate(Setup::new(&content, &link), config(name, 25)).unwrap();
        assert!(session.finished, "{name}: {:?}", session.failed);
        assert_eq!(session.played.len(), 30, "{name}");
        assert_eq!(stalled(&session), 0.0, "{name}");
        assert!(session.startup.unwrap() < Duration::from_secs(1), "{name}");
        // All of it was played in real time.
        assert!((session.end.as_secs_f64() - 120.0).abs() < 2.0, "{name}: {:?}", session.end);
    }
}

#[test]
fn a_link_that_is_slow_to_answer_but_fast_is_used_as_a_fast_one() {
    // A satellite link: what is waited for the first byte says nothing of the rate.
    let content = content(300);
    let satellite = Point { duration_ms: 1e6, kbps: 50_000.0, latency_ms: 2000.0 };
    let link = Link::new(&Trace::new("satellite", vec![satellite]).unwrap());
    let session = simulate(Setup::new(&content, &link), config("weir", 10)).unwrap();
    let figures = Figures::of(&session, &content);
    assert!(figures.lowest_share < 0.1, "{} of the time at the lowest rung", figures.lowest_share);
    assert!(stalled(&session) < 1.0, "{} s of stalls", stalled(&session));
}

#[test]
fn quality_is_back_soon_after_outages_that_the_buffer_cannot_bridge() {
    // How long a link is dead is no reason to fetch less of what comes after it.
    let content = content(300);
    let link = link(&[(36.0, 8000.0), (18.0, 0.0), (45.0, 8000.0), (20.0, 0.0), (63.0, 8000.0), (12.0, 0.0)]);
    let session = simulate(Setup::new(&content, &link), config("weir", 10)).unwrap();
    let figures = Figures::of(&session, &content);
    assert!(session.finished && stalled(&session) > 10.0, "{} s of stalls", stalled(&session));
    assert!(figures.lowest_share < 0.3, "{} of the time at the lowest rung", figures.lowest_share);
}

#[test]
fn equal_inputs_give_equal_sessions() {
    let content = content(200);
    let link = Link::new(&generate::walk("w", 2500.0, 200, 3, 40.0).unwrap());
    let run = || {
        let setup = Setup { record: true, ..Setup::new(&content, &link) };
        simulate(setup, config("weir", 25)).unwrap()
    };
    let (a, b) = (run(), run());
    assert_eq!(a.record, b.record);
    assert_eq!(a.played, b.played);
}

#[test]
fn an_outage_longer_than_the_buffer_is_a_stall_of_the_difference() {
    let content = content(200);
    let link = link(&[(60.0, 6000.0), (40.0, 0.0), (500.0, 6000.0)]);
    let session = simulate(Setup::new(&content, &link), config("bola-e", 12)).unwrap();
    assert!(session.finished);
    // 40 s without bytes, 8 to 12 s of them buffered.
    let stalled = stalled(&session);
    assert!((26.0..36.0).contains(&stalled), "{stalled}: {:?}", session.stalls);
    assert!((session.end.as_secs_f64() - 200.0 - stalled).abs() < 2.0);
}

#[test]
fn the_record_tells_the_same_figures_as_the_simulator() {
    let content = content(240);
    let link = Link::new(&generate::walk("w", 1800.0, 240, 8, 40.0).unwrap());
    let setup = Setup { record: true, ..Setup::new(&content, &link) };
    let session = simulate(setup, config("dynamic-dash", 20)).unwrap();
    let direct = Figures::of(&session, &content);
    let recorded = qoe::Figures::of(&qoe::Session::from_record(&session.record));
    assert!(
        (recorded.played_kbps / direct.kbps - 1.0).abs() < 0.02,
        "{} {}",
        recorded.played_kbps,
        direct.kbps
    );
    assert_eq!(recorded.rebuffer_count, direct.stalls);
    assert!((recorded.rebuffer_ms / 1000.0 - direct.stall_s).abs() < 0.01);
    assert_eq!(recorded.switches, direct.switches);
    // Downloads that were given up end between two bytes.
    assert!(recorded.bytes.abs_diff(direct.bytes) < 100, "{} {}", recorded.bytes, direct.bytes);
}

#[test]
fn every_byte_that_the_link_carried_is_accounted_for() {
    let content = content(240);
    let link = link(&[(20.0, 5000.0), (20.0, 500.0)]);
    let setup = Setup { record: true, ..Setup::new(&content, &link) };
    let session = simulate(setup, config("bola-e", 20)).unwrap();
    let kept: u64 = session
        .played
        .iter()
        .map(|played| content.main().segment(played.index).unwrap().size(played.rung, &content.main().ladder))
        .sum();
    let sum = kept + session.aborted_bytes + session.replaced_bytes;
    assert!(session.bytes.abs_diff(sum) < 1000, "{} carried, {sum} known", session.bytes);
}

#[test]
fn a_live_session_stays_near_its_target_latency() {
    let content = content(160);
    let link = link(&[(1000.0, 8000.0)]);
    let live = LiveEdge { target_latency: Duration::from_secs(12), head_start: Duration::from_secs(40) };
    let session =
        simulate(Setup { live: Some(live), ..Setup::new(&content, &link) }, config("weir", 25)).unwrap();
    assert!(session.finished, "{:?}", session.failed);
    let latency = session.live_latency_s.unwrap();
    assert!((8.0..20.0).contains(&latency), "{latency}");
    assert!(stalled(&session) < 4.0, "{:?}", session.stalls);
    // It began near the edge, not at the beginning.
    assert!(session.played[0].index >= 4, "{}", session.played[0].index);
}

#[test]
fn a_seek_outside_the_buffer_plays_on_at_its_target() {
    let content = content(400);
    let link = link(&[(1000.0, 6000.0)]);
    let script = [(Duration::from_secs(30), Event::Seek(Duration::from_secs(300)))];
    let setup = Setup { script: &script, record: true, ..Setup::new(&content, &link) };
    let session = simulate(setup, config("weir", 25)).unwrap();
    assert!(session.finished, "{:?}", session.failed);
    assert_eq!(session.seeks.len(), 1);
    assert!(session.seeks[0].1 < Duration::from_secs(3), "{:?}", session.seeks);
    assert!(session.played.iter().all(|played| played.index < 10 || played.index >= 75));
    assert_eq!(session.played.last().unwrap().index, 99);
}

#[test]
fn slow_start_and_queues_cost_time_but_not_the_session() {
    let content = content(120);
    let link = Link::new(&Trace::constant(3000.0, 80.0).unwrap());
    let plain = simulate(Setup::new(&content, &link), config("throughput", 20)).unwrap();
    let transport = Transport { slow_start: true, queue_ms: 150.0 };
    let real =
        simulate(Setup { transport, ..Setup::new(&content, &link) }, config("throughput", 20)).unwrap();
    assert!(real.finished && plain.finished);
    assert!(real.startup.unwrap() > plain.startup.unwrap());
}

#[test]
fn hidden_sizes_change_what_the_player_knows_not_what_is_downloaded() {
    let content = content(120);
    let link = link(&[(1000.0, 3000.0)]);
    let session =
        simulate(Setup { hide_sizes: true, ..Setup::new(&content, &link) }, config("weir", 20)).unwrap();
    assert!(session.finished);
    let exact: u64 = session
        .played
        .iter()
        .map(|played| content.main().segment(played.index).unwrap().sizes[played.rung.0])
        .sum();
    let known = exact + session.aborted_bytes + session.replaced_bytes;
    assert!(session.bytes.abs_diff(known) < 1000);
}

#[test]
fn an_unknown_controller_is_named_with_those_that_exist() {
    let content = content(20);
    let link = link(&[(100.0, 1000.0)]);
    let error = simulate(Setup::new(&content, &link), config("nobody", 20)).unwrap_err().to_string();
    assert!(error.contains("nobody") && error.contains("bola-e"), "{error}");
}

#[test]
fn an_experiment_runs_everything_once_and_its_results_can_be_read_back() {
    let traces = (1..=3).map(|seed| generate::walk("w", 2500.0, 100, seed, 40.0).unwrap()).collect();
    let set = Set { name: "set, one".to_owned(), traces, content: content(60), buffers: vec![10.0, 25.0] };
    let options = Options {
        algorithms: vec!["weir".to_owned(), "bola-e".to_owned(), experiment::ORACLE.to_owned()],
        transport: Transport::default(),
        hide_sizes: false,
        live: None,
        objective: Objective::QoeS,
        resolution: Resolution::default(),
    };
    let progress = Progress::silent("sessions");
    let rows = experiment::run(&[set], &options, &progress).unwrap();
    assert_eq!((rows.len(), progress.done()), (18, 18));
    let folder = tempfile::tempdir().unwrap();
    experiment::write_json(&folder.path().join("r.json"), &rows).unwrap();
    let read = experiment::read_json(&folder.path().join("r.json")).unwrap();
    assert_eq!(read.len(), rows.len());
    for (a, b) in read.iter().zip(&rows) {
        assert_eq!(
            (&a.set, &a.trace, a.trace_number, &a.algorithm),
            (&b.set, &b.trace, b.trace_number, &b.algorithm)
        );
        assert!((a.figures.qoe_s - b.figures.qoe_s).abs() < 1e-12 && a.figures.bytes == b.figures.bytes);
    }
    experiment::write_csv(&folder.path().join("r.csv"), &rows).unwrap();
    let text = std::fs::read_to_string(folder.path().join("r.csv")).unwrap();
    assert_eq!(text.lines().count(), 19);
    assert!(text.contains("\"set, one\""));
    // Nobody beats perfect knowledge (but for the search's resolution).
    for group in experiment::groups(&rows) {
        let best =
            rows.iter().filter(|row| row.algorithm == experiment::ORACLE && row.buffer_s == group.buffer_s);
        let best: f64 = best.map(|row| row.figures.qoe_s).sum::<f64>() / 3.0;
        assert!(group.mean(|f| f.qoe_s) <= best + 0.01, "{}", group.algorithm);
    }
}

#[test]
fn a_recorded_session_is_replayed_with_the_choices_that_it_made() {
    let content = content(240);
    for link in [link(&[(60.0, 5000.0), (30.0, 1200.0)]), link(&[(1000.0, 3000.0)])] {
        let setup = Setup { record: true, ..Setup::new(&content, &link) };
        let session = simulate(setup, config("bola-e", 25)).unwrap();
        let replay = Replay::new(&session.record, Some(content.clone())).unwrap();
        let again = simulate(replay.setup(&replay.link()), config("bola-e", 25)).unwrap();
        let same = again
            .played
            .iter()
            .filter(|played| {
                replay.chosen.iter().any(|(index, _, kept)| (*index, *kept) == (played.index, played.rung))
            })
            .count();
        assert!(same as f64 >= 0.95 * session.played.len() as f64, "{same} of {}", session.played.len());
        let (a, b) = (Figures::of(&session, &content).kbps, Figures::of(&again, &replay.content).kbps);
        assert!((a / b - 1.0).abs() < 0.03, "{a} {b}");
    }
}

#[test]
fn an_outage_in_a_record_is_an_outage_in_the_rebuilt_link() {
    let content = content(240);
    let link = link(&[(60.0, 4000.0), (15.0, 0.0), (400.0, 4000.0)]);
    let setup = Setup { record: true, ..Setup::new(&content, &link) };
    let session = simulate(setup, config("bola-e", 25)).unwrap();
    let replay = Replay::new(&session.record, None).unwrap();
    let rebuilt = Link::new(&replay.trace);
    let during = rebuilt.mean_kbps(60_000.0, 75_000.0);
    assert!(during < 1200.0, "{during}");
    let before = rebuilt.mean_kbps(5_000.0, 20_000.0);
    assert!((before / 4000.0 - 1.0).abs() < 0.1, "{before}");
}

#[test]
fn a_session_is_explained_decision_by_decision() {
    let content = content(120);
    let link = link(&[(40.0, 5000.0), (40.0, 0.0), (500.0, 5000.0)]);
    let setup = Setup { record: true, ..Setup::new(&content, &link) };
    let session = simulate(setup, config("weir", 12)).unwrap();
    let text = explain(&session.record, None);
    for word in ["first picture", "STALL", "goes on after", "ended at", "QoE_S", "estimate"] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
    assert!(text.lines().filter(|line| line.contains("video")).count() >= 30);
}

#[test]
fn a_link_is_feasible_when_the_lowest_rung_survives_it_with_the_buffer_there_is() {
    let content = content(240);
    let outage = link(&[(60.0, 3000.0), (40.0, 0.0), (500.0, 3000.0)]);
    assert!(!content.is_feasible(&outage, Duration::from_secs(25), 0.02));
    assert!(content.is_feasible(&outage, Duration::from_secs(60), 0.02));
    assert!(!content.is_feasible(&link(&[(100.0, 200.0)]), Duration::from_secs(60), 0.02));
}
