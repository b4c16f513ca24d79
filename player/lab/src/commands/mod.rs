//! The lab's commands, for its own binary and for `weir lab`.

mod explain;
mod p1203;
mod replay;
mod sim;
mod trace;

use clap::Subcommand;

use crate::{experiment::ORACLE, options::nearest, proxy};

pub use explain::{ExplainArgs, TrackName};
pub use replay::ReplayArgs;
pub use sim::SimArgs;
pub use trace::TraceCommand;

/// What the lab can do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the player's brain over network traces, thousands of times faster than real time.
    Sim(Box<SimArgs>),
    /// Print why a recorded session chose what it chose.
    Explain(ExplainArgs),
    /// Play a recorded session's link again with other controllers.
    Replay(ReplayArgs),
    /// Shape the traffic between any player and a server by a network trace, without root.
    Proxy(Box<proxy::ProxyArgs>),
    /// Make, look at and convert network traces.
    #[command(subcommand)]
    Trace(TraceCommand),
}

/// Runs a command; results go to stdout.
pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Sim(args) => sim::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Proxy(args) => proxy::run(*args),
        Command::Trace(command) => trace::run(command),
    }
}

/// The controllers that a command line names, each once; all when it names none. `oracle` says whether the offline
/// optimum is one of them.
fn algorithms(names: &[String], oracle: bool) -> anyhow::Result<Vec<String>> {
    use weir_abr::control::{self, NAMES};
    if names.is_empty() {
        return Ok(NAMES.iter().map(|name| (*name).to_owned()).collect());
    }
    let mut out: Vec<String> = Vec::new();
    for name in names.iter().map(|name| name.trim()) {
        let known = (oracle && name == ORACLE) || control::create(name).is_ok();
        if !known {
            let hint = match (name.split_once(':'), nearest(name, NAMES)) {
                (Some(("weir", _)), _) => {
                    "the settings behind \"weir:\" are NAME=NUMBER, with slashes between them, the names and their \
                     meaning in docs/abr.md: weir:reserve=1.5/margin=0.3"
                        .to_owned()
                }
                (Some((before, _)), _) if NAMES.contains(&before) => format!("{before} has no settings"),
                (_, Some(near)) => format!("did you mean {near:?}? There are {}", NAMES.join(", ")),
                (_, None) => format!("there are {}", NAMES.join(", ")),
            };
            anyhow::bail!("--algorithms: there is no controller {name:?}; {hint}");
        }
        if !out.iter().any(|other| other == name) {
            out.push(name.to_owned());
        }
    }
    Ok(out)
}

/// Writes to stdout; a reader that has had enough is no error.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Into::into),
    }
}
