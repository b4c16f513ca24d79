//! `weir-server`: publishes video as adaptive streams.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use weir_server::api;
use weir_server::app::App;
use weir_server::catalog::{Source, Stream};
use weir_server::config::{Config, LogFormat, Options};
use weir_server::http::Listener;
use weir_server::ladder::Profile;
use weir_server::router::router;
use weir_server::viewers::SystemClock;

/// Publishes video files and test cards as adaptive streams (HLS, DASH, progressive) and counts who watches
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    options: Options,
    /// TOML file with settings, named as the flags are; flags and environment win over it
    #[arg(long, env = "WEIR_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Says whether the settings are right, and what they come to, without starting
    CheckConfig,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The log may not be set up yet, and a start that fails must be seen.
            let _ = writeln!(std::io::stderr(), "weir-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let file = cli.config.as_deref().map(Options::read).transpose()?.unwrap_or_default();
    let config = cli.options.or(file).resolve()?;
    if matches!(cli.command, Some(Command::CheckConfig)) {
        writeln!(std::io::stdout(), "{}", summary(&config))?;
        return Ok(());
    }
    set_up_log(config.log_format)?;
    // Fails when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("weir-http")
        .build()
        .context("cannot start the runtime's threads")?;
    let result = runtime.block_on(serve(config));
    // A blocking read that is still under way must not hold the end up.
    runtime.shutdown_background();
    result
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let (listen, demo, data) = (config.listen, config.demo, config.data.clone());
    let listener = Listener::bind(listen, config.limits).await.with_context(|| {
        format!("cannot listen on {listen}; is another server running there? --listen changes it")
    })?;
    let address = listener.address();
    let app = App::open(config, Arc::new(SystemClock::default())).await?;
    if demo {
        publish_samples(&app).await?;
    }
    // The one line on standard output, for people and for scripts that let the system choose the port.
    let mut out = std::io::stdout();
    writeln!(out, "listening on http://{address}")
        .and_then(|()| out.flush())
        .context("cannot write to stdout")?;
    tracing::info!(%address, data = %data.display(), "listening");
    if app.gate.needs_token() {
        tracing::info!(
            "writes need a token: the one given, or else the one in {}",
            data.join("token").display()
        );
    }
    let sweeper = Arc::clone(&app);
    tokio::task::spawn_blocking(move || api::sweep_uploads(&sweeper));

    let stop = app.stop.clone();
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    tokio::spawn(async move {
        let either = async |terminate: &mut tokio::signal::unix::Signal,
                            interrupt: &mut tokio::signal::unix::Signal| {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping; a second signal ends at once");
        stop.cancel();
        either(&mut terminate, &mut interrupt).await;
        std::process::exit(130);
    });
    let stopping = Arc::clone(&app);
    let jobs = tokio::spawn(async move {
        stopping.stop.cancelled().await;
        stopping.stop_jobs().await;
    });
    listener.serve(router(Arc::clone(&app)), app.stop.clone()).await;
    // Open requests had their grace; the jobs had the same time. What they finished is on the disk.
    if tokio::time::timeout(std::time::Duration::from_secs(2), jobs).await.is_err() {
        tracing::warn!("a packaging job is cut; it is continued at the next start");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Two test cards for someone who has just started a server to look at.
async fn publish_samples(app: &Arc<App>) -> anyhow::Result<()> {
    if !app.catalog.list().is_empty() {
        return Ok(());
    }
    let samples = [
        ("test-card", "Test card 720p, two minutes", 720, 120.0),
        ("test-card-1080p", "Test card 1080p, one minute", 1080, 60.0),
    ];
    for (id, title, height, duration_s) in samples {
        let source = Source::TestCard { height, duration_s, frame_rate: 30.0 };
        app.create(Stream::new(id, title, source, Profile::default()), None)
            .await
            .with_context(|| format!("cannot publish the sample stream \"{id}\""))?;
    }
    Ok(())
}

fn set_up_log(format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    }
    .map_err(|error| anyhow::anyhow!("cannot set up the log: {error}"))
}

fn summary(config: &Config) -> String {
    let writes = match (&config.token, config.listen.ip().is_loopback()) {
        (Some(_), _) => "need the given token",
        (None, true) => "are open to this machine",
        (None, false) => "need the token in the data folder, which is made at the first start",
    };
    let roots: Vec<_> = config.roots.iter().map(|root| root.display().to_string()).collect();
    format!(
        "The settings are right.\nlisten                {}\ndata                  {}\nwrites                {writes}\n\
         files by path         {}\nprivate sources       {}\nlargest source        {} MB\ndisk reserve          {} MB\n\
         jobs at a time        {}\nconnections           {}, {} from one address",
        config.listen,
        config.data.display(),
        if roots.is_empty() { "none".to_owned() } else { roots.join(", ") },
        if config.allow_private_sources { "allowed" } else { "refused" },
        config.max_source / 1_000_000,
        config.disk_reserve / 1_000_000,
        config.jobs,
        config.limits.connections,
        config.limits.per_address,
    )
}
