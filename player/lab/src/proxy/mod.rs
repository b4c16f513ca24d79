//! A throttling HTTP/1.1 reverse proxy: it shapes any player's downloads by a network trace, without root.
//!
//! Everything that one client receives (response heads, bodies and their framing, over all of its connections together)
//! passes through one link whose rate follows the trace, a few milliseconds' worth at a time, with the trace's latency
//! before each response and at connection set-up. Faults can be injected by URL. Requests going up are not shaped.
//! It never caches, and changes no manifest unless asked to (`--rewrite`).

mod args;
mod body;
mod fault;
mod forward;
mod io;
mod journal;
mod link;
mod server;

pub use args::{ProxyArgs, Share, TraceStart, UpstreamDown};
pub use fault::{Fault, FaultKind, ParseFaultError};
pub use server::Proxy;

use anyhow::Context as _;

/// Runs `proxy` until Ctrl-C. The first line on stdout is `listening on http://ADDRESS:PORT`.
pub fn run(args: ProxyArgs) -> anyhow::Result<()> {
    use std::io::Write as _;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("weir-proxy")
        .enable_all()
        .build()
        .context("starting the proxy's runtime")?;
    runtime.block_on(async {
        let proxy = Proxy::start(args).await?;
        let mut stdout = std::io::stdout();
        // A reader of the first line may close the pipe after it; that is no reason to stop.
        let _ = writeln!(stdout, "listening on http://{}", proxy.address()).and_then(|()| stdout.flush());
        tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")?;
        drop(proxy);
        Ok(())
    })
}
