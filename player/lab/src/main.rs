//! `weir-lab`: the lab as a binary of its own, without the player.

use std::process::ExitCode;

use clap::Parser;
use weir_lab::commands::Command;

/// Simulator, network traces and throttling proxy for adaptive streaming.
#[derive(Parser)]
#[command(name = "weir-lab", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match weir_lab::commands::run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// One line on standard error: what failed, then why.
#[expect(clippy::print_stderr, reason = "this line is the program's answer")]
fn complain(error: &anyhow::Error) {
    let line = format!("{error:#}");
    eprintln!("weir-lab: {}", line.split_whitespace().collect::<Vec<_>>().join(" "));
}
