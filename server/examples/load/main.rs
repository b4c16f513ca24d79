//! Load on a running server: simulated viewers of a live stream, or the same object over and over.
//!
//! ```sh
//! cargo run --release -p weir-server --example load -- viewers 127.0.0.1:8080 live --low-latency 1000 --plain 2000 --pid PID
//! cargo run --release -p weir-server --example load -- fetch 127.0.0.1:8080 /stream/a/hls/360p/index.m3u8 --pid PID
//! ```

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

mod connection;
mod fetch;
mod process;
mod viewers;

use clap::{Parser, Subcommand};

/// Puts load on a server and says what it cost
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watches a live stream with many simulated players
    Viewers(viewers::Options),
    /// Fetches one object again and again
    Fetch(fetch::Options),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Viewers(options) => viewers::run(options),
        Command::Fetch(options) => fetch::run(&options),
    }
}
