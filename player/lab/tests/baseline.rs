//! The default controller on the project's own traces must not get worse than `baseline.tsv` says.
//!
//! A change that makes it better, or trades one figure for another on purpose, renews the file:
//! `WEIR_BASELINE=write cargo nextest run -p weir-lab --test baseline`, and the difference is part of the change.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::{fmt::Write as _, path::Path};

use weir_lab::{
    content::Spec,
    experiment::{self, Options, Progress, Row, Set, trace_files},
    oracle::{Objective, Resolution},
    sim::Transport,
    trace::{self, generate},
};

const CONTENT: &str = "vbr:300,750,1200,1850,2850,4300/4s/240s/seed=3";
const BUFFERS: [f64; 2] = [12.0, 30.0];
/// Walks beside the traces in files: single sessions say little.
const WALKS: u64 = 8;
/// A session may be worse than its baseline by so much in QoE_S, the mean of all by much less.
const WORSE: f64 = 0.08;
const MEAN_WORSE: f64 = 0.01;
/// And stall for so many seconds longer, all of them together.
const STALL_LONGER: f64 = 2.0;

fn sets() -> Vec<Set> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let content = CONTENT.parse::<Spec>().unwrap().load(root).unwrap();
    let files = trace_files(&root.join("../../assets/traces")).unwrap();
    let mut traces: Vec<_> = files.iter().flat_map(|file| trace::read(file).unwrap()).collect();
    traces.extend(
        (1..=WALKS).map(|seed| generate::walk(&format!("walk {seed}"), 2000.0, 240, seed, 50.0).unwrap()),
    );
    vec![Set { name: "own".to_owned(), traces, content, buffers: BUFFERS.to_vec() }]
}

fn run() -> Vec<Row> {
    let options = Options {
        algorithms: vec!["weir".to_owned(), "bola-e".to_owned()],
        transport: Transport::default(),
        hide_sizes: false,
        live: None,
        objective: Objective::QoeS,
        resolution: Resolution::default(),
    };
    experiment::run(&sets(), &options, &Progress::silent("sessions")).unwrap()
}

fn mean(rows: &[&Row]) -> f64 {
    rows.iter().map(|row| row.figures.qoe_s).sum::<f64>() / rows.len() as f64
}

fn table(rows: &[&Row]) -> String {
    let mut text = String::from("trace\tbuffer_s\tqoe_s\tqoe_lin\tstall_s\tswitches\n");
    for row in rows {
        let f = &row.figures;
        let _ = writeln!(
            text,
            "{}\t{}\t{:.4}\t{:.4}\t{:.2}\t{}",
            row.trace, row.buffer_s, f.qoe_s, f.qoe_lin, f.stall_s, f.switches
        );
    }
    text
}

#[test]
fn the_default_controller_is_not_worse_than_its_baseline() {
    let rows = run();
    let weir: Vec<&Row> = rows.iter().filter(|row| row.algorithm == "weir").collect();
    let others: Vec<&Row> = rows.iter().filter(|row| row.algorithm == "bola-e").collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/baseline.tsv");
    if std::env::var("WEIR_BASELINE").is_ok_and(|what| what == "write") {
        std::fs::write(&path, table(&weir)).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let baseline: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    assert_eq!(baseline.len(), weir.len(), "renew the baseline: its sessions are others");
    let (mut before, mut stalled_before) = (0.0, 0.0);
    for (fields, row) in baseline.iter().zip(&weir) {
        let number = |at: usize| fields[at].parse::<f64>().unwrap();
        assert_eq!((fields[0], number(1)), (row.trace.as_str(), row.buffer_s), "renew the baseline");
        assert!(
            row.figures.qoe_s >= number(2) - WORSE,
            "{} with {} s of buffer: QoE_S was {}, is {:.4}",
            row.trace,
            row.buffer_s,
            fields[2],
            row.figures.qoe_s
        );
        before += number(2) / baseline.len() as f64;
        stalled_before += number(4);
    }
    let stalled: f64 = weir.iter().map(|row| row.figures.stall_s).sum();
    let now = mean(&weir);
    assert!(now >= before - MEAN_WORSE, "mean QoE_S was {before:.4}, is {now:.4}");
    assert!(
        stalled <= stalled_before + STALL_LONGER,
        "stalls were {stalled_before:.2} s, are {stalled:.2} s"
    );
    assert!(now > mean(&others), "mean QoE_S {now:.4} against {:.4} of bola-e", mean(&others));
}
