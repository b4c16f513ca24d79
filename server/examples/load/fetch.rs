//! One object, again and again: what a request and a gigabyte cost the server.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use mio::{Events, Poll};

use super::connection::Connection;
use super::process;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// HOST:PORT of the server
    host: String,
    /// Path of the object
    path: String,
    /// Kept-alive connections
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How long, in seconds
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Processes whose cost is told
    #[arg(long, value_delimiter = ',')]
    pid: Vec<u32>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let address = options.host.parse().context("the server's address")?;
    let mut poll = Poll::new()?;
    let (mut events, mut scratch) = (Events::with_capacity(1024), vec![0; 256 * 1024]);
    let open = |number| Connection::open(&poll, number, address, "");
    let mut connections = (0..options.connections).map(open).collect::<Result<Vec<_>, _>>()?;
    let (before, _) = process::cost(&options.pid)?;
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let (mut requests, mut bytes, mut errors) = (0_u64, 0_u64, 0_u64);
    for connection in &mut connections {
        connection.ask(&options.path, false)?;
    }
    while Instant::now() < end {
        poll.poll(&mut events, Some(Duration::from_millis(100)))?;
        for event in &events {
            let Some(connection) = connections.get_mut(event.token().0) else { continue };
            while let Some(answer) = connection.go_on(&mut scratch)? {
                requests += 1;
                bytes += answer.bytes as u64;
                errors += u64::from(answer.status != 200);
                connection.ask(&options.path, false)?;
            }
        }
    }
    // What a refusal costs says nothing about what an answer costs.
    anyhow::ensure!(errors == 0, "{errors} of {requests} answers of {} were not 200", options.host);
    let (after, resident) = process::cost(&options.pid)?;
    let (cpu, gigabytes) = (after - before, bytes as f64 / 1e9);
    println!(
        "requests {requests} gigabytes {gigabytes:.2} cpu_s {cpu:.2} us_per_request {:.1} \
         cpu_s_per_gb {:.3} rss_mb {resident:.0}",
        cpu * 1e6 / requests as f64,
        cpu / gigabytes
    );
    Ok(())
}
