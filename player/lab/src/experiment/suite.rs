//! What an experiment runs over: named sets of traces, each with its content and buffers.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{
    content::{Content, Spec},
    trace::{self, Link, Trace},
};

/// A file of sets, in JSON; paths are relative to a root folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// The sets.
    pub sets: Vec<SetSpec>,
}

/// One set as a suite file has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSpec {
    /// What it is called in tables.
    pub name: String,
    /// Trace files or folders.
    pub traces: Vec<PathBuf>,
    /// Content as on the command line.
    pub content: String,
    /// Largest buffers in seconds.
    pub buffers: Vec<f64>,
    /// Only traces on which the lowest rung alone stalls for 2 % of the time at most.
    #[serde(default)]
    pub feasible: bool,
}

/// A set that is ready to run.
#[derive(Clone, Debug)]
pub struct Set {
    /// What it is called in tables.
    pub name: String,
    /// Its traces.
    pub traces: Vec<Trace>,
    /// Its content.
    pub content: Content,
    /// Largest buffers in seconds.
    pub buffers: Vec<f64>,
}

/// Which traces of a set are used: for tuning on one half and judging on the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Half {
    /// All.
    #[default]
    All,
    /// The first, third, fifth ...
    Odd,
    /// The second, fourth, sixth ...
    Even,
}

/// Why a suite cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("reading the suite {}: {reason}", path.display())]
pub struct SuiteError {
    path: PathBuf,
    reason: String,
}

/// The sets of the project's published tables.
const REFERENCE: &str = include_str!("reference.json");

impl Suite {
    /// The sets of the project's published tables; their traces are not part of the project.
    pub fn reference() -> Result<Self, SuiteError> {
        Self::parse(REFERENCE, Path::new("reference"))
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, SuiteError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| SuiteError { path: path.to_owned(), reason: error.to_string() })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, SuiteError> {
        serde_json::from_str(text).map_err(|error| SuiteError {
            path: path.to_owned(),
            reason: format!("line {}: {error}", error.line()),
        })
    }

    /// Loads all of it; paths are looked for below `root`.
    pub fn load(&self, root: &Path) -> anyhow::Result<Vec<Set>> {
        self.sets
            .iter()
            .map(|set| set.load(root).with_context(|| format!("loading the set {:?}", set.name)))
            .collect()
    }
}

impl SetSpec {
    fn load(&self, root: &Path) -> anyhow::Result<Set> {
        let mut traces = Vec::new();
        for path in &self.traces {
            for file in trace_files(&root.join(path))? {
                traces.extend(trace::read(&file)?);
            }
        }
        let content = self.content.parse::<Spec>()?.load(root)?;
        let mut set = Set { name: self.name.clone(), traces, content, buffers: self.buffers.clone() };
        if self.feasible {
            set.keep_feasible();
        }
        Ok(set)
    }
}

impl Set {
    /// Keeps the traces on which the lowest rung alone, with the largest buffer, stalls for 2 % of the time at most.
    pub fn keep_feasible(&mut self) {
        let content = &self.content;
        let largest = self.buffers.iter().copied().fold(0.0, f64::max);
        let buffer = Duration::from_secs_f64(largest.clamp(1.0, 3600.0));
        self.traces.retain(|trace| content.is_feasible(&Link::new(trace), buffer, 0.02));
    }

    /// Keeps one half of the traces.
    pub fn keep_half(&mut self, half: Half) {
        let mut at = 0;
        self.traces.retain(|_| {
            at += 1;
            match half {
                Half::All => true,
                Half::Odd => at % 2 == 1,
                Half::Even => at % 2 == 0,
            }
        });
    }
}

/// The trace files at a path: itself, or those in the folder, in order of their names.
pub fn trace_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let reading = || format!("reading the folder {}", path.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(reading)? {
        let file = entry.with_context(reading)?.path();
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if file.is_file() && matches!(ending, "jsonl" | "json" | "log" | "txt" | "csv" | "down" | "up") {
            files.push(file);
        }
    }
    files.sort();
    anyhow::ensure!(!files.is_empty(), "there is no trace file in {}", path.display());
    Ok(files)
}
