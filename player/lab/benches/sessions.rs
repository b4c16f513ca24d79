//! How many sessions a second one core simulates.
//!
//! With Sabre's movie and traces where they are at hand (`WEIR_TRACES`), else with a model of the same shape.

use std::{hint::black_box, path::PathBuf, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_abr::planner::Config;
use weir_lab::{
    content::{Content, Movie},
    sabre::{Algorithm, Film, Options, simulate},
    sim::{Setup, simulate as plan},
    trace::{self, Link, Trace, generate},
};

fn movie() -> (Movie, Vec<Trace>) {
    let folder = std::env::var_os("WEIR_TRACES")
        .map_or_else(|| PathBuf::from("../../../shared/traces"), PathBuf::from)
        .join("sabre");
    let found = Movie::read(&folder.join("movie-bbb.json"))
        .ok()
        .zip(trace::read(&folder.join("3g-norway.jsonl")).ok());
    found.unwrap_or_else(|| {
        let kbps = vec![230.0, 331.0, 477.0, 688.0, 991.0, 1427.0, 2056.0, 2962.0, 5027.0, 6000.0];
        let sizes = (0..199)
            .map(|at| {
                kbps.iter().map(|kbps| kbps * 3000.0 * (1.0 + 0.5 * f64::from(at % 7 - 3) / 3.0)).collect()
            })
            .collect();
        let movie = Movie { segment_duration_ms: 3000.0, bitrates_kbps: kbps, segment_sizes_bits: sizes };
        let walks =
            (0..80).filter_map(|seed| generate::walk("walk", 1500.0, 300, seed, 100.0).ok()).collect();
        (movie, walks)
    })
}

fn sabre(c: &mut Criterion) {
    let (movie, traces) = movie();
    let film = Film::new(&movie);
    let mut group = c.benchmark_group("sabre");
    group.throughput(Throughput::Elements(traces.len() as u64));
    for (name, algorithm) in [("bola-e", Algorithm::BolaE), ("throughput", Algorithm::Throughput)] {
        let options = Options::new(algorithm, 25.0);
        group.bench_function(name, |b| {
            b.iter(|| {
                traces.iter().map(|trace| simulate(&film, black_box(trace), &options).score).sum::<f64>()
            });
        });
    }
    group.finish();
}

fn planner(c: &mut Criterion) {
    let (movie, traces) = movie();
    let Some(content) = movie.to_content("bench") else { return };
    let links: Vec<Link> = traces.iter().take(8).map(Link::new).collect();
    let mut group = c.benchmark_group("planner");
    group.throughput(Throughput::Elements(links.len() as u64));
    group.sample_size(10);
    for name in ["bola-e", "weir"] {
        group.bench_function(name, |b| {
            b.iter(|| links.iter().map(|link| session(&content, link, name)).sum::<usize>());
        });
    }
    group.finish();
}

fn session(content: &Content, link: &Link, controller: &str) -> usize {
    let config = Config {
        controller: controller.to_owned(),
        max_buffer: Duration::from_secs(25),
        ..Config::default()
    };
    plan(Setup::new(content, black_box(link)), config).map_or(0, |session| session.played.len())
}

criterion_group!(benches, sabre, planner);
criterion_main!(benches);
