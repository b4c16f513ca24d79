//! The `weir` command line.

mod inspect;
mod play;
mod window;

use clap::{Parser, Subcommand};

use crate::address;

/// Plays adaptive streams, looks into them, and tests how they are played.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Server whose streams are listed; remembered.
    #[arg(long, value_name = "URL", value_parser = address::parse_server)]
    server: Option<url::Url>,
    #[command(flatten)]
    window: window::WindowArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play a stream, in a window or without a display.
    Play(Box<play::PlayArgs>),
    /// Say what an HLS playlist or a DASH manifest lists, as JSON.
    Inspect(inspect::InspectArgs),
    /// Shape the traffic between any player and a server by a network trace, without root.
    Proxy(Box<weir_lab::proxy::ProxyArgs>),
    /// Simulate, measure and compare.
    #[command(subcommand)]
    Lab(weir_lab::commands::Command),
}

/// Does what the command line says.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        None => window::home(cli.server, cli.window),
        Some(Command::Play(args)) => play::run(*args),
        Some(Command::Inspect(args)) => inspect::run(&args),
        Some(Command::Proxy(args)) => weir_lab::proxy::run(*args),
        Some(Command::Lab(command)) => weir_lab::commands::run(command),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_that_the_front_page_shows_is_understood() {
        for line in [
            "weir",
            "weir --server http://127.0.0.1:8080",
            "weir --window-size 800x600",
            "weir play http://h/a.m3u8",
            "weir play http://h/a.m3u8 --quality 720p --cap 3M --start 1:30 --rate 1.5 --volume 50 --max-buffer 20 --fullscreen",
            "weir play http://h/a.m3u8 --headless --events - --duration 60 --measure-sync --algorithm weir",
            "weir play http://h/a.m3u8 --window-size 640x360 --painter rgba --screenshot a.png --screenshot-after 3",
            "weir inspect --json a.m3u8 --base-url http://h/",
            "weir proxy --upstream http://127.0.0.1:8080 --listen 127.0.0.1:0 --rate 1.5M --latency 40ms",
            "weir lab proxy --upstream http://127.0.0.1:8080 --latency 40ms",
        ] {
            if let Err(error) = parse(line) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        for (line, part) in [
            ("weir play", "required"),
            ("weir play http://h/a --cap fast", "not a bitrate"),
            ("weir play http://h/a --start soon", "not a time"),
            ("weir play http://h/a --volume 300", "0..=100"),
            ("weir play http://h/a --volume -3", "0..=100"),
            ("weir play http://h/a --cap -3", "not a bitrate"),
            ("weir play http://h/a --max-buffer 0", "1 and 3600"),
            ("weir play http://h/a --rate 9", "0.25 to 4"),
            ("weir play http://h/a --window-size huge", "640x360"),
            ("weir play rtmp://h/a", "rtmp"),
            ("weir play http://h/a --algorithm magic", "weir"),
            ("weir play http://h/a --headless --fullscreen", "cannot be used with"),
            ("weir inspect --json a.m3u8", "--base-url"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
