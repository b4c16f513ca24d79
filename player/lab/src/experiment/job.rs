//! Runs sessions in parallel.

use std::time::Duration;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use weir_abr::planner::{Config, UnknownController};

use super::{Progress, Set};
use crate::{
    figures::Figures,
    oracle::{self, Objective, Resolution},
    sim::{LiveEdge, Session, Setup, Transport, simulate},
    trace::Link,
};

/// What applies to all sessions of an experiment.
#[derive(Clone, Debug)]
pub struct Options {
    /// Controllers by name.
    pub algorithms: Vec<String>,
    /// Transport effects.
    pub transport: Transport,
    /// The manifest says nothing of sizes.
    pub hide_sizes: bool,
    /// Published live.
    pub live: Option<LiveEdge>,
    /// What the oracle optimises.
    pub objective: Objective,
    /// How finely it searches.
    pub resolution: Resolution,
}

/// Name of the offline optimum among algorithms.
pub const ORACLE: &str = "oracle";

/// One session's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Set of traces.
    pub set: String,
    /// Name of the trace.
    pub trace: String,
    /// Its place in the set, counted from 1.
    pub trace_number: usize,
    /// Name of the content.
    pub content: String,
    /// Largest buffer in seconds.
    pub buffer_s: f64,
    /// Controller.
    pub algorithm: String,
    /// What it was like.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Runs every trace of every set with every algorithm and buffer. Rows come in that order; when `progress` was stopped,
/// only those of the sessions that had begun.
///
/// # Errors
/// There is no controller of one of the names.
pub fn run(sets: &[Set], options: &Options, progress: &Progress) -> Result<Vec<Row>, UnknownController> {
    let mut jobs = Vec::new();
    for set in sets {
        for buffer in &set.buffers {
            for at in 0..set.traces.len() {
                for algorithm in &options.algorithms {
                    jobs.push((set, *buffer, at, algorithm));
                }
            }
        }
    }
    progress.expect(jobs.len());
    jobs.par_iter()
        .filter(|_| !progress.is_stopped())
        .map(|(set, buffer, at, algorithm)| {
            let link = Link::new(&set.traces[*at]);
            let session = if *algorithm == ORACLE {
                let max_buffer = Duration::from_secs_f64(*buffer);
                oracle::best(&set.content, &link, max_buffer, options.objective, options.resolution)
            } else {
                one(set, &link, *buffer, algorithm, options, false)?
            };
            progress.step();
            Ok(Row {
                set: set.name.clone(),
                trace: set.traces[*at].name().to_owned(),
                trace_number: at + 1,
                content: set.content.name.clone(),
                buffer_s: *buffer,
                algorithm: (*algorithm).clone(),
                figures: figures(&session, set, &link),
            })
        })
        .collect()
}

/// One session of a set.
///
/// # Errors
/// There is no controller of this name.
pub fn one(
    set: &Set,
    link: &Link,
    buffer_s: f64,
    algorithm: &str,
    options: &Options,
    record: bool,
) -> Result<Session, UnknownController> {
    let config = Config {
        controller: algorithm.to_owned(),
        max_buffer: Duration::from_secs_f64(buffer_s),
        ..Config::default()
    };
    let setup = Setup {
        transport: options.transport,
        hide_sizes: options.hide_sizes,
        live: options.live,
        record,
        ..Setup::new(&set.content, link)
    };
    simulate(setup, config)
}

/// A session's figures with those that need the link.
pub fn figures(session: &Session, set: &Set, link: &Link) -> Figures {
    let end = session.end.as_secs_f64() * 1000.0;
    Figures::of(session, &set.content).with_rampup(session, &set.content, link.mean_kbps(0.0, end))
}
