//! Plays an address without a window, at real speed: `headless URL [--events FILE] [--duration SECONDS]
//! [--controller NAME] [--start SECONDS]`. Exit code 1 when it could not be played.

use std::{process::ExitCode, sync::Arc, time::Duration};

use weir_engine::{Options, State, open};

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let mut options = Options { headless: true, ..Options::default() };
    let mut address = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut seconds = || {
            let value = arguments.next()?.parse().ok()?;
            Duration::try_from_secs_f64(value).ok()
        };
        match argument.as_str() {
            "--duration" => options.stop_after = seconds(),
            "--start" => options.start_at = seconds(),
            "--events" => options.events = arguments.next().map(Into::into),
            "--controller" => options.planner.controller = arguments.next().unwrap_or_default(),
            "--sync" => options.measure_sync = true,
            _ => address = url::Url::parse(&argument).ok(),
        }
    }
    let Some(address) = address else {
        tracing::error!("give the address of a stream: headless http://host/master.m3u8");
        return ExitCode::FAILURE;
    };
    let last = open(address, options, Arc::new(|| ())).wait();
    tracing::info!(state = ?last.state, position = ?last.position, stalls = ?last.stalls, switches = last.switches);
    if last.state == State::Failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
