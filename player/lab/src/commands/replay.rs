//! `replay`: what other controllers would have done on a recorded session's link.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use weir_abr::{
    planner::Config,
    qoe,
    record::{Entry, Event},
};

use super::print;
use crate::{
    content,
    figures::Figures,
    oracle::{self, Objective, Resolution},
    record::{self, Replay},
    sim::{Session, Setup, simulate},
    trace::Format,
};

/// Which record, and who plays it again.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// A session's record, as `weir play --events FILE` writes it.
    pub record: PathBuf,
    /// Controllers, comma-separated; all when left out.
    #[arg(long, value_delimiter = ',')]
    pub algorithms: Vec<String>,
    /// Manifest of what was played, a path or URL: exact sizes also of what was not downloaded.
    #[arg(long, value_name = "PATH|URL")]
    pub manifest: Option<String>,
    /// Largest buffer in seconds; the recorded one, else the player's own, when left out.
    #[arg(long)]
    pub buffer: Option<f64>,
    /// Results as JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Also write each simulated session's record into this folder, for `explain`.
    #[arg(long, value_name = "DIR")]
    pub records: Option<PathBuf>,
    /// Also write the rebuilt link to this trace file.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

/// One controller's session on the recorded link.
#[derive(Debug, Serialize)]
struct Line {
    /// `recorded` is the session itself.
    algorithm: String,
    /// Share of the recorded segments for which it chose the same rung (the one that was kept).
    same: f64,
    #[serde(flatten)]
    figures: Figures,
}

pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<()> {
    let names = super::algorithms(&args.algorithms, false)?;
    let reading = || format!("replaying {}", args.record.display());
    let entries = record::read(&args.record)?;
    let film = args.manifest.as_deref().map(content::manifest::load).transpose()?;
    let replay = Replay::new(&entries, film).with_context(reading)?;
    if let Some(path) = &args.trace {
        std::fs::write(path, Format::Weir.write(&replay.trace))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let link = replay.link();
    let mut config = Config::default();
    let recorded_buffer = entries.iter().find_map(|entry| match entry.event {
        Event::Session { max_buffer_s, .. } => Duration::try_from_secs_f64(max_buffer_s).ok(),
        _ => None,
    });
    if let Some(buffer) = recorded_buffer {
        config.max_buffer = buffer;
    }
    if let Some(buffer) = args.buffer {
        anyhow::ensure!(
            (1.0..=3600.0).contains(&buffer),
            "--buffer {buffer}: wanted seconds between 1 and 3600"
        );
        config.max_buffer = Duration::from_secs_f64(buffer);
    }
    let recorded = qoe::Figures::of(&qoe::Session::from_record(&entries));
    let mut lines =
        vec![Line { algorithm: "recorded".to_owned(), same: 1.0, figures: Figures::from(&recorded) }];
    for name in names {
        let config = Config { controller: name.clone(), ..config.clone() };
        let setup = Setup { record: args.records.is_some(), ..replay.setup(&link) };
        let session = simulate(setup, config)?;
        if let Some(folder) = &args.records {
            write_record(&folder.join(format!("{name}.events.jsonl")), &session.record)?;
        }
        lines.push(line(name, &session, &replay));
    }
    let best = oracle::best(&replay.seen(), &link, config.max_buffer, Objective::QoeS, Resolution::default());
    lines.push(line("oracle".to_owned(), &best, &replay));
    if args.json {
        let text = serde_json::to_string_pretty(&lines).context("writing the results as JSON")?;
        return print(&(text + "\n"));
    }
    print(&table(&lines, &replay))
}

fn write_record(path: &Path, record: &[Entry]) -> anyhow::Result<()> {
    let writing = || format!("writing {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(writing)?;
    }
    let mut text = String::new();
    for entry in record {
        text.push_str(&serde_json::to_string(entry).with_context(writing)?);
        text.push('\n');
    }
    std::fs::write(path, text).with_context(writing)
}

fn line(algorithm: String, session: &Session, replay: &Replay) -> Line {
    let kept = |index: u64| {
        let found = replay.chosen.binary_search_by_key(&index, |(index, ..)| *index);
        found.ok().and_then(|at| replay.chosen.get(at)).map(|(_, _, kept)| *kept)
    };
    let same = session.played.iter().filter(|played| kept(played.index) == Some(played.rung)).count();
    Line {
        algorithm,
        same: same as f64 / replay.chosen.len().max(1) as f64,
        figures: Figures::of(session, &replay.content),
    }
}

fn table(lines: &[Line], replay: &Replay) -> String {
    let mut out = format!(
        "link rebuilt over {:.1} s, mean {:.0} kbit/s; {} segments\n\n",
        replay.trace.duration_ms() / 1000.0,
        replay.trace.mean_kbps(),
        replay.chosen.len()
    );
    let width = lines.iter().map(|line| line.algorithm.len()).max().unwrap_or(0).max(9);
    let _ = writeln!(
        out,
        "{:width$}  {:>6} {:>7} {:>7} {:>7} {:>7}  {:>7} {:>7} {:>7} {:>6}",
        "algorithm", "same%", "QoE_S", "Yin", "log", "Sabre", "kbit/s", "stall s", "switch", "start"
    );
    for line in lines {
        let figures = &line.figures;
        let _ = writeln!(
            out,
            "{:width$}  {:6.1} {:7.3} {:7.3} {:7.3} {:7.3}  {:7.0} {:7.2} {:7} {:6.2}",
            line.algorithm,
            line.same * 100.0,
            figures.qoe_s,
            figures.qoe_lin,
            figures.qoe_log,
            figures.score,
            figures.kbps,
            figures.stall_s,
            figures.switches,
            figures.startup_s,
        );
    }
    out
}
