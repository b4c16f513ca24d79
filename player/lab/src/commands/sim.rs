//! `sim`: an experiment from the command line.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;

use super::print;
use crate::{
    content::{Spec, manifest},
    experiment::{self, Half, Options, Progress, Set, Suite, trace_files},
    figures::to_qoe,
    options,
    oracle::{Objective, Resolution},
    report::{self, Report, Timeline},
    sim::{LiveEdge, Session, Transport},
    trace::{self, Link},
};

/// What `sim` runs.
#[derive(Args, Debug)]
pub struct SimArgs {
    /// Trace files or folders, in any known format. Each file is a set of its own in the results.
    #[arg(long, num_args = 1.., required_unless_present = "suite", value_name = "PATH")]
    pub traces: Vec<PathBuf>,
    /// Run the sets of a suite file instead, or `reference` for those of the published tables.
    #[arg(long, conflicts_with = "traces", value_name = "FILE")]
    pub suite: Option<String>,
    /// Folder to which paths in a suite are relative.
    #[arg(long, env = "WEIR_TRACES", default_value = ".", value_name = "DIR")]
    pub root: PathBuf,
    /// Only sets of the suite whose names contain one of these.
    #[arg(long, value_delimiter = ',', requires = "suite")]
    pub sets: Vec<String>,
    /// Controllers, comma-separated; all when left out. `weir:NAME=NUMBER/...` sets weights, see docs/abr.md.
    #[arg(long, value_delimiter = ',')]
    pub algorithms: Vec<String>,
    /// `FILE.json` (a Sabre movie), `cbr:KBPS,.../SEGMENT/LENGTH` or `vbr:...[/seed=N][/spread=X]`.
    #[arg(long, default_value = "vbr:300,750,1200,1850,2850,4300/4s/300s")]
    pub content: Spec,
    /// Take content and true sizes from an HLS or DASH manifest instead: a path, or an http(s) URL.
    #[arg(long, value_name = "PATH|URL")]
    pub manifest: Option<String>,
    /// Largest buffers in seconds, comma-separated.
    #[arg(long, value_delimiter = ',', default_value = "25", allow_negative_numbers = true)]
    pub buffer: Vec<f64>,
    /// Only traces on which the lowest rung alone stalls for 2 % of the time at most.
    #[arg(long)]
    pub feasible: bool,
    /// Use every other trace only: tune on one half, judge on the other.
    #[arg(long, value_enum, default_value_t = Half::All)]
    pub half: Half,
    /// Hide segment sizes from the player, as a plain HLS playlist does.
    #[arg(long)]
    pub hide_sizes: bool,
    /// Model TCP slow start.
    #[arg(long)]
    pub slow_start: bool,
    /// Standing queue of a saturated link, e.g. `100ms`.
    #[arg(long, value_parser = options::duration, value_name = "TIME", allow_hyphen_values = true)]
    pub queue: Option<Duration>,
    /// Publish the content live, with this target latency.
    #[arg(long, value_parser = options::duration, value_name = "TIME")]
    pub live: Option<Duration>,
    /// Add the offline optimum (`oracle`) to the algorithms, for this figure.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "qoe-s", value_name = "FIGURE")]
    pub oracle: Option<Objective>,
    /// Resolution of the oracle's search in time and buffer.
    #[arg(long, value_parser = options::duration, default_value = "500ms", value_name = "TIME")]
    pub oracle_cell: Duration,
    /// Most schedules that the oracle follows at a time.
    #[arg(long, default_value_t = 1500, value_name = "COUNT")]
    pub oracle_beam: usize,
    /// Put the sessions of so many traces of each set into the report, decision by decision.
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    pub timelines: usize,
    /// Write each drawn session's record (`.events.jsonl`) and P.1203 input (`.p1203.json`) beside the report.
    #[arg(long, requires = "out")]
    pub records: bool,
    /// Folder for results.json, results.csv and report.html; made if missing.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

pub(super) fn run(args: &SimArgs) -> anyhow::Result<()> {
    for buffer in &args.buffer {
        anyhow::ensure!(
            buffer.is_finite() && (1.0..=3600.0).contains(buffer),
            "--buffer {buffer}: wanted seconds between 1 and 3600"
        );
    }
    let algorithms = super::algorithms(&args.algorithms, true)?;
    let progress = Arc::new(Progress::new("sessions"));
    stop_on_interrupt(&progress)?;
    if let Some(out) = &args.out {
        // Hours of work are not to end in a folder that cannot be written.
        let probe = out.join(".weir-lab");
        std::fs::create_dir_all(out)
            .and_then(|()| std::fs::write(&probe, b""))
            .and_then(|()| std::fs::remove_file(&probe))
            .with_context(|| format!("--out: nothing can be written into the folder {}", out.display()))?;
    }
    let mut sets = load_sets(args)?;
    for set in &mut sets {
        if args.feasible {
            set.keep_feasible();
        }
        set.keep_half(args.half);
    }
    sets.retain(|set| !set.traces.is_empty());
    anyhow::ensure!(
        !sets.is_empty(),
        "no trace is left to run: --feasible and --half left none of those that were read"
    );
    let mut algorithms = algorithms;
    if args.oracle.is_some() && !algorithms.iter().any(|name| name == experiment::ORACLE) {
        algorithms.push(experiment::ORACLE.to_owned());
    }
    let options = Options {
        algorithms,
        transport: Transport {
            slow_start: args.slow_start,
            queue_ms: args.queue.map_or(0.0, |queue| queue.as_secs_f64() * 1000.0),
        },
        hide_sizes: args.hide_sizes,
        live: args.live.map(|target_latency| LiveEdge { target_latency, head_start: target_latency * 2 }),
        objective: args.oracle.unwrap_or(Objective::QoeS),
        resolution: Resolution { cell: args.oracle_cell, beam: args.oracle_beam.max(1) },
    };
    let rows = experiment::run(&sets, &options, &progress)?;
    if !rows.is_empty() {
        print(&experiment::plain(&rows))?;
    }
    if let Some(out) = &args.out {
        experiment::write_json(&out.join("results.json"), &rows)?;
        experiment::write_csv(&out.join("results.csv"), &rows)?;
        let timelines = if progress.is_stopped() { Vec::new() } else { timelines(args, &sets, &options)? };
        let whole = if progress.is_stopped() { format!(" of {}", progress.total()) } else { String::new() };
        let title = format!("Weir lab: {}{whole} sessions", rows.len());
        report::write(&out.join("report.html"), &Report::new(title, about(&sets), &rows, timelines))?;
    }
    if progress.is_stopped() {
        let kept = match &args.out {
            Some(out) => format!("what was finished is in {}", out.display()),
            None => "what was finished is above".to_owned(),
        };
        anyhow::bail!("interrupted after {} of {} sessions; {kept}", rows.len(), progress.total());
    }
    Ok(())
}

/// How the results were made, for whoever finds them later.
fn about(sets: &[Set]) -> Vec<String> {
    let words = std::env::args().skip(1).map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+.,:/@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    let words: Vec<String> = words.skip_while(|word| word == "lab").collect();
    let mut lines = vec![format!("Weir {}: weir lab {}", env!("CARGO_PKG_VERSION"), words.join(" "))];
    let mut contents: Vec<String> = Vec::new();
    for set in sets {
        let rungs: Vec<String> = set.content.kbps().iter().map(|kbps| format!("{kbps:.0}")).collect();
        let line = format!(
            "{}, {} segments, {:.0} s, rungs of {} kbit/s",
            set.content.name,
            set.content.main().segments.len(),
            set.content.duration().as_secs_f64(),
            rungs.join(", ")
        );
        if !contents.contains(&line) {
            contents.push(line);
        }
    }
    lines.extend(contents.into_iter().take(12).map(|content| format!("Content: {content}.")));
    lines
}

/// Ctrl-C lets the sessions that have begun come to their end; a second one does not wait for them.
fn stop_on_interrupt(progress: &Arc<Progress>) -> anyhow::Result<()> {
    let progress = Arc::clone(progress);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("getting ready for Ctrl-C")?;
    let (ready, heard) = mpsc::sync_channel(1);
    let wait = move || {
        runtime.block_on(async {
            let first = tokio::signal::ctrl_c();
            tokio::pin!(first);
            // Looked at once, it listens: from here on nothing is lost.
            let early = tokio::select! {
                biased;
                _ = &mut first => true,
                () = std::future::ready(()) => false,
            };
            let _ = ready.send(());
            if early || first.await.is_ok() {
                progress.stop();
                if tokio::signal::ctrl_c().await.is_ok() {
                    std::process::exit(130);
                }
            }
        });
    };
    std::thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(wait)
        .context("getting ready for Ctrl-C")?;
    let _ = heard.recv();
    Ok(())
}

fn load_sets(args: &SimArgs) -> anyhow::Result<Vec<Set>> {
    if let Some(suite) = &args.suite {
        let mut suite = if suite == "reference" { Suite::reference()? } else { Suite::read(suite.as_ref())? };
        if !args.sets.is_empty() {
            let known: Vec<String> = suite.sets.iter().map(|set| set.name.clone()).collect();
            suite.sets.retain(|set| args.sets.iter().any(|name| set.name.contains(name.as_str())));
            anyhow::ensure!(
                !suite.sets.is_empty(),
                "--sets {}: no set of the suite is called that; there are {}",
                args.sets.join(","),
                known.join(", ")
            );
        }
        return suite.load(&args.root);
    }
    let content = match &args.manifest {
        Some(address) => manifest::load(address)?,
        None => args.content.load(Path::new(""))?,
    };
    let mut sets = Vec::new();
    for path in &args.traces {
        for file in trace_files(path)? {
            let mut name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if sets.iter().any(|set: &Set| set.name == name) {
                // Equal names in two folders, or with two endings, are two sets all the same.
                name = file.to_string_lossy().into_owned();
            }
            sets.push(Set {
                name,
                traces: trace::read(&file)?,
                content: content.clone(),
                buffers: args.buffer.clone(),
            });
        }
    }
    Ok(sets)
}

/// The first sessions of each set once more, with their records.
fn timelines(args: &SimArgs, sets: &[Set], options: &Options) -> anyhow::Result<Vec<Timeline>> {
    let mut timelines = Vec::new();
    for set in sets {
        for trace in set.traces.iter().take(args.timelines) {
            let link = Link::new(trace);
            for buffer in &set.buffers {
                for algorithm in options.algorithms.iter().filter(|name| *name != experiment::ORACLE) {
                    let session = experiment::one(set, &link, *buffer, algorithm, options, true)?;
                    if let (true, Some(out)) = (args.records, &args.out) {
                        let name = format!("{}-{}-{buffer}-{algorithm}", set.name, trace.name());
                        write_record(out, &name, &session, set)?;
                    }
                    let about = (set.name.as_str(), *buffer, trace.name(), algorithm.as_str());
                    timelines.push(Timeline::new(about, &session.record, &link));
                }
            }
        }
    }
    Ok(timelines)
}

fn write_record(out: &Path, name: &str, session: &Session, set: &Set) -> anyhow::Result<()> {
    // Names of traces may hold anything; those of files may not.
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
    let name: String = name.chars().map(safe).collect();
    let mut text = String::new();
    for entry in &session.record {
        text.push_str(&serde_json::to_string(entry).context("writing a record")?);
        text.push('\n');
    }
    let path = out.join(format!("{name}.events.jsonl"));
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    super::p1203::write(&out.join(format!("{name}.p1203.json")), &to_qoe(session, &set.content))
}
