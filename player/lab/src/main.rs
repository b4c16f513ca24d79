//! `weir-lab`: the lab as a binary of its own, without the player.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Simulator, network traces and throttling proxy for adaptive streaming.
#[derive(Parser)]
#[command(name = "weir-lab", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shape the traffic between any player and a server by a network trace, without root.
    Proxy(weir_lab::proxy::ProxyArgs),
    #[command(flatten)]
    Lab(weir_lab::commands::Command),
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let done = match Cli::parse().command {
        Command::Proxy(args) => weir_lab::proxy::run(args),
        Command::Lab(command) => weir_lab::commands::run(command),
    };
    match done {
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
