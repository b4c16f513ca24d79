//! The lab's commands, for its own binary and for `weir lab`.

mod explain;
mod p1203;
mod replay;
mod sim;
mod trace;

use clap::Subcommand;

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
        Command::Trace(command) => trace::run(command),
    }
}

/// Writes to stdout; a reader that has had enough is no error.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Into::into),
    }
}
