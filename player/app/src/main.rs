//! The `weir` command.

use std::{io::IsTerminal as _, process::ExitCode};

use clap::Parser as _;
use tracing_subscriber::EnvFilter;
use weir_app::cli::{self, Cli};

/// What goes wrong with a session is in its event log, in the window and in this program's last line. What the desktop's
/// libraries complain of by themselves is of no use to anybody who plays a stream.
const QUIET: &str = "warn,weir_engine::session=off,rustls_platform_verifier=off,winit=error,egui_system_font_provider=error,sctk=error,zbus=error";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new(QUIET));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match cli::run(cli) {
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
    eprintln!("weir: {}", line.split_whitespace().collect::<Vec<_>>().join(" "));
}
