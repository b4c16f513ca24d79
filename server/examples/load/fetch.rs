//! One object, again and again: what a request and a gigabyte cost the server.

use std::time::{Duration, Instant};

use clap::Args;
use tokio::task::JoinSet;

use super::client::Client;
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

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let (before, _) = process::cost(&options.pid)?;
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let mut askers = JoinSet::new();
    for _ in 0..options.connections {
        let (host, path) = (options.host.clone(), options.path.clone());
        askers.spawn(async move {
            let mut client = Client::connect(&host, String::new()).await?;
            let (mut requests, mut bytes, mut errors) = (0_u64, 0_u64, 0_u64);
            while Instant::now() < end {
                let answer = client.get(&path, false).await?;
                requests += 1;
                bytes += answer.bytes as u64;
                errors += u64::from(answer.status != 200);
            }
            anyhow::Ok((requests, bytes, errors))
        });
    }
    let (mut requests, mut bytes, mut errors) = (0, 0, 0);
    while let Some(done) = askers.join_next().await {
        let (some, more, wrong) = done??;
        (requests, bytes, errors) = (requests + some, bytes + more, errors + wrong);
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
