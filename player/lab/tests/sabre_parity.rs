//! Sabre mode against what Sabre itself prints, for every row of its published traces that is at hand.

#![expect(clippy::panic, reason = "helpers of tests fail the test")]

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use weir_lab::{
    content::Movie,
    sabre::{Algorithm, Film, Options, simulate},
    trace::{self, Trace},
};

/// The folder of public traces: `WEIR_TRACES`, else `../shared/traces` beside the workspace.
fn folder() -> PathBuf {
    std::env::var_os("WEIR_TRACES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/traces"), PathBuf::from)
}

fn options(set: &str, algorithm: &str, buffer_s: f64) -> Options {
    let (name, replace) = algorithm.strip_suffix("+replace").map_or((algorithm, false), |name| (name, true));
    let algorithm = Algorithm::from_name(name).unwrap_or_else(|| panic!("unknown algorithm {name}"));
    let mut options = Options { replace, ..Options::new(algorithm, buffer_s) };
    if set.starts_with("fcc") {
        options.movie_length_s = Some(180.0);
        options.rampup_rung = Some(if set.contains("-sd-") { 9 } else { 4 });
    }
    options
}

#[test]
fn sabre_mode_prints_what_sabre_prints_in_every_row() {
    let folder = folder().join("sabre");
    let Ok(expected) = std::fs::read_to_string(folder.join("expected.tsv")) else {
        println!(
            "SKIPPED: no parity vectors in {}; set WEIR_TRACES to the folder of traces",
            folder.display()
        );
        eprintln!(
            "SKIPPED: no parity vectors in {}; set WEIR_TRACES to the folder of traces",
            folder.display()
        );
        return;
    };
    let mut films = HashMap::new();
    let mut sets: HashMap<String, HashMap<String, Trace>> = HashMap::new();
    let (mut rows, mut worst) = (0, 0.0f64);
    for line in expected.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let &[set, name, movie, buffer, algorithm, ref figures @ ..] = &cells[..] else {
            panic!("a row has too few cells: {line}")
        };
        let film = films
            .entry(movie.to_owned())
            .or_insert_with(|| Film::new(&Movie::read(&folder.join(format!("movie-{movie}.json"))).unwrap()));
        let traces = sets.entry(set.to_owned()).or_insert_with(|| {
            let traces = trace::read(&folder.join(format!("{set}.jsonl"))).unwrap();
            traces.into_iter().map(|trace| (trace.name().to_owned(), trace)).collect()
        });
        let outcome = simulate(film, &traces[name], &options(set, algorithm, buffer.parse().unwrap()));
        let got = [
            outcome.kbps,
            outcome.rebuffer_ratio,
            f64::from(outcome.rebuffer_events),
            outcome.change_kbps,
            outcome.utility,
            outcome.score,
            outcome.rampup_s,
        ];
        assert_eq!(figures.len(), got.len(), "{line}");
        for (want, got) in figures.iter().zip(got) {
            let want: f64 = want.parse().unwrap();
            // Six digits are printed: half a unit of the last one, and the rounding of the sum before it.
            let off = (want - got).abs();
            assert!(
                off <= 1e-6,
                "{set} {name} {algorithm} {buffer} s: {got} instead of {want}\n{line}\n{outcome:?}"
            );
            worst = worst.max(off);
        }
        rows += 1;
    }
    println!("{rows} rows agree with Sabre; the largest difference is {worst:e}");
    assert!(rows > 3000, "only {rows} rows");
}
