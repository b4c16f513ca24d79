//! `trace`: make, look at and convert network traces.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::print;
use crate::{
    experiment::trace_files,
    options,
    trace::{self, Format, Trace, generate},
};

/// Longest trace that is made, in seconds: eleven days.
const LONGEST_S: i64 = 1_000_000;
/// Packets of a Mahimahi trace.
const MOST_LINES: f64 = 1e8;

/// What to do with traces.
#[derive(Subcommand, Debug)]
pub enum TraceCommand {
    /// Print what is in trace files: name, length, rates, latency, outages.
    Info {
        /// Trace files in any known format, or folders of such.
        #[arg(required = true, value_name = "PATH")]
        files: Vec<PathBuf>,
    },
    /// Convert a trace file to another format.
    Convert {
        /// Trace file; `FILE#NAME` picks one trace of several.
        input: String,
        /// Format to write.
        #[arg(long, value_enum)]
        to: Format,
        /// Where to write; stdout when left out.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Rates in turn, each for the same time.
    Steps {
        /// The rates, e.g. `5M,0.6M,5M`; `0` is an outage.
        #[arg(long, value_delimiter = ',', value_parser = rate_or_outage, default_value = "5M,0.6M,5M")]
        rates: Vec<f64>,
        /// How long each holds.
        #[arg(long, value_parser = options::duration, default_value = "30s")]
        step: Duration,
        /// Latency, name, format and file.
        #[command(flatten)]
        common: Common,
    },
    /// Rises in a straight line and falls back at once.
    Sawtooth {
        /// Lowest rate.
        #[arg(long, value_parser = options::rate_kbps, default_value = "500k")]
        low: f64,
        /// Highest rate.
        #[arg(long, value_parser = options::rate_kbps, default_value = "6M")]
        high: f64,
        /// Length of a tooth in seconds.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(2..=LONGEST_S))]
        period: u32,
        /// Latency, name, format and file.
        #[command(flatten)]
        common: Common,
    },
    /// A steady rate with an outage at the end of each period.
    Outages {
        /// The rate.
        #[arg(long, value_parser = options::rate_kbps, default_value = "4M")]
        rate: f64,
        /// Length of a period, the outage in it included.
        #[arg(long, value_parser = options::duration, default_value = "60s")]
        period: Duration,
        /// Lengths of the outages in turn.
        #[arg(long, value_delimiter = ',', value_parser = options::duration, default_value = "2s,5s,10s,20s")]
        outages: Vec<Duration>,
        /// Latency, name, format and file.
        #[command(flatten)]
        common: Common,
    },
    /// A random walk with fades, like a mobile link.
    Walk {
        /// Mean rate.
        #[arg(long, value_parser = options::rate_kbps, default_value = "4M")]
        mean: f64,
        /// Length in seconds.
        #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=LONGEST_S))]
        length: u32,
        /// Equal seeds give equal traces.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Latency, name, format and file.
        #[command(flatten)]
        common: Common,
    },
}

/// What all generated traces have.
#[derive(Args, Debug)]
pub struct Common {
    /// Latency of each request.
    #[arg(long, value_parser = options::duration, default_value = "40ms")]
    latency: Duration,
    /// Name in the file.
    #[arg(long)]
    name: Option<String>,
    /// Format to write.
    #[arg(long, value_enum, default_value_t = Format::Weir)]
    to: Format,
    /// Where to write; stdout when left out.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn rate_or_outage(text: &str) -> Result<f64, String> {
    if text.trim() == "0" { Ok(0.0) } else { options::rate_kbps(text) }
}

pub(super) fn run(command: TraceCommand) -> anyhow::Result<()> {
    let (trace, common) = match command {
        TraceCommand::Info { files } => return info(&files),
        TraceCommand::Convert { input, to, out } => {
            // A whole file at once where the format holds many traces.
            let path = PathBuf::from(&input);
            let traces = if to == Format::Weir && path.exists() {
                trace::read(&path)?
            } else {
                vec![trace::read_one(&input)?]
            };
            for trace in traces.iter().filter(|_| to == Format::Mahimahi) {
                let lines = trace.mean_kbps() * trace.duration_ms() / (1500.0 * 8.0);
                anyhow::ensure!(
                    lines <= MOST_LINES,
                    "{input}: a Mahimahi trace has a line for each packet, and {:?} carries {lines:.0} of them; {MOST_LINES:.0} \
                     are the most that is written",
                    trace.name()
                );
            }
            let text: String = traces.iter().map(|trace| to.write(trace)).collect();
            return write(&text, out.as_ref());
        }
        TraceCommand::Steps { rates, step, common } => {
            (generate::steps("steps", &rates, ms(step), ms(common.latency)), common)
        }
        TraceCommand::Sawtooth { low, high, period, common } => {
            (generate::sawtooth("sawtooth", (low, high), period, ms(common.latency)), common)
        }
        TraceCommand::Outages { rate, period, outages, common } => {
            let outages: Vec<f64> = outages.into_iter().map(ms).collect();
            (generate::outages("outages", rate, ms(period), &outages, ms(common.latency)), common)
        }
        TraceCommand::Walk { mean, length, seed, common } => {
            (generate::walk("walk", mean, length, seed, ms(common.latency)), common)
        }
    };
    let trace = trace.context("making the trace")?;
    let trace = match common.name {
        Some(name) => trace.named(name),
        None => trace,
    };
    write(&common.to.write(&trace), common.out.as_ref())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn write(text: &str, out: Option<&PathBuf>) -> anyhow::Result<()> {
    match out {
        Some(path) => std::fs::write(path, text).with_context(|| format!("writing {}", path.display())),
        None => print(text),
    }
}

fn info(files: &[PathBuf]) -> anyhow::Result<()> {
    let mut out = format!(
        "{:40} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}\n",
        "trace", "s", "mean", "min", "max", "ms", "outage%"
    );
    for path in files {
        for file in trace_files(path)? {
            for trace in trace::read(&file)? {
                out.push_str(&line(&trace));
            }
        }
    }
    print(&out)
}

fn line(trace: &Trace) -> String {
    let points = trace.points();
    let rates = || points.iter().map(|point| point.kbps);
    let length = trace.duration_ms();
    let latency = points.iter().map(|point| point.latency_ms * point.duration_ms).sum::<f64>() / length;
    let out: f64 = points.iter().filter(|point| point.kbps == 0.0).map(|point| point.duration_ms).sum();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:40} {:8.0} {:8.0} {:8.0} {:8.0} {:8.0} {:8.1}",
        trace.name(),
        length / 1000.0,
        trace.mean_kbps(),
        rates().fold(f64::INFINITY, f64::min),
        rates().fold(0.0, f64::max),
        latency,
        (out / length * 100.0).abs(),
    );
    text
}
