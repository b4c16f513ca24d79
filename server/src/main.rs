//! `weir-server`: publishes video as adaptive streams.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, reload};
use weir_server::api;
use weir_server::app::App;
use weir_server::catalog::{Source, Stream};
use weir_server::config::{Config, EncodeIn, LogFormat, Options};
use weir_server::http::{Limits, Listener, Tls, redirect};
use weir_server::ingest::card_for_parent;
use weir_server::ingest::rtmp::{RtmpLimits, RtmpListen, RtmpServer};
use weir_server::jobs::package_for_parent;
use weir_server::ladder::{EncoderProgram, Profile, encode_for_parent, probe_for_parent};
use weir_server::reload::{Reloader, SetLog};
use weir_server::router::Site;
use weir_server::systemd;
use weir_server::viewers::SystemClock;

/// How often the certificate's files are looked at.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(3);

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
    /// Encodes for the server that has started this process
    #[command(hide = true)]
    Encoder {
        /// Only says which encoders work
        #[arg(long)]
        probe: bool,
        /// Packages a file instead of a live stream
        #[arg(long)]
        package: bool,
        /// Draws and encodes a live test card
        #[arg(long)]
        card: bool,
    },
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
    match cli.command {
        Some(Command::Encoder { probe: true, .. }) => return Ok(probe_for_parent()?),
        Some(Command::Encoder { package: true, .. }) => return Ok(package_for_parent()?),
        Some(Command::Encoder { card: true, .. }) => return Ok(card_for_parent()?),
        Some(Command::Encoder { .. }) => return Ok(encode_for_parent()?),
        Some(Command::CheckConfig) | None => {}
    }
    let file = cli.config.as_deref().map(Options::read).transpose()?.unwrap_or_default();
    let mut config = cli.options.clone().or(file).resolve()?;
    config.encoder_program = (config.encode_in == EncodeIn::Process).then(EncoderProgram::this);
    if matches!(cli.command, Some(Command::CheckConfig)) {
        let file = cli.config.as_deref();
        filter(&config.log).map_err(|error| at_line(file, "log", &error))?;
        if let Some(files) = &config.tls
            && let Err(error) = Tls::open(files.clone())
        {
            let of_key = error.path().is_some_and(|path| path == files.key && path != files.certificate);
            let name = if of_key { "tls-key" } else { "tls-cert" };
            // The message holds what is behind it.
            return Err(at_line(file, name, &anyhow::anyhow!("{error}")));
        }
        check_data(&config.data).map_err(|error| at_line(file, "data", &error))?;
        writeln!(std::io::stdout(), "{}", summary(&config))?;
        return Ok(());
    }
    let set_log = set_up_log(&config)?;
    // Fails when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    allow_descriptors(config.limits.connections);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Connections are served by threads of their own.
        .thread_name("weir-server")
        .build()
        .context("cannot start the runtime's threads")?;
    let result = runtime.block_on(serve(config, cli.options, cli.config, set_log));
    // A blocking read that is still under way must not hold the end up.
    runtime.shutdown_background();
    result
}

/// Raises the limit on open files to what the connections may need, as far as the system lets us.
fn allow_descriptors(connections: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    // A few hundred for files, the catalogue and the encoders.
    let wanted = connections as u64 + 500;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let allowed = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    limit.current = Some(allowed);
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit on open files");
    } else if allowed < wanted {
        tracing::warn!(
            allowed,
            wanted,
            "the system allows fewer open files than --max-connections may need (ulimit -n, LimitNOFILE=)"
        );
    }
}

async fn serve(
    config: Config,
    options: Options,
    file: Option<PathBuf>,
    set_log: SetLog,
) -> anyhow::Result<()> {
    let (listen, demo, data) = (config.listen, config.demo, config.data.clone());
    let (limits, redirect) = (config.limits, config.redirect_http);
    let tls = config.tls.clone().map(Tls::open).transpose()?;
    let mut listener = bind(listen, limits, "--listen").await?;
    if let Some(tls) = &tls {
        listener = listener.with_tls(Arc::clone(tls));
    }
    let address = listener.address();
    let redirect = match redirect {
        Some(address) => Some(bind(address, limits, "--redirect-http").await?),
        None => None,
    };
    let rtmp = bind_rtmp(config.rtmp, config.rtmp_limits).await?;
    let rtmps = match (config.rtmps, &tls) {
        (Some(address), Some(tls)) => {
            let bound = RtmpServer::bind(address, config.rtmp_limits).await;
            let bound =
                bound.with_context(|| format!("cannot listen on {address} for RTMPS; --rtmps changes it"))?;
            Some(bound.with_tls(Arc::clone(tls)))
        }
        _ => None,
    };
    let app = App::open(config, Arc::new(SystemClock::default())).await?;
    let reloader = Reloader { options, file, caps: listener.caps(), tls: tls.clone(), set_log };
    app.reloader.set(reloader).map_err(|_| anyhow::anyhow!("the settings' reader was set twice"))?;
    if demo {
        publish_samples(&app).await?;
    }
    // The one line on standard output, for people and for scripts that let the system choose the port.
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut out = std::io::stdout();
    writeln!(out, "listening on {scheme}://{address}")
        .and_then(|()| out.flush())
        .context("cannot write to stdout")?;
    tracing::info!(%address, scheme, data = %data.display(), "listening");
    if app.gate.needs_token() {
        tracing::info!(
            "writes need a token: the one given, or else the one in {}",
            data.join("token").display()
        );
    }
    let sweeper = Arc::clone(&app);
    tokio::task::spawn_blocking(move || api::sweep_uploads(&sweeper));
    watch_signals(&app)?;
    if let Some(tls) = tls {
        tokio::spawn(tls.watch(CERTIFICATE_LOOK, app.stop.clone()));
    }
    if let Some(listener) = redirect {
        tracing::info!(address = %listener.address(), "sending plain HTTP to HTTPS");
        tokio::spawn(listener.serve(redirect::router(address.port()), app.stop.clone()));
    }
    if let Some(rtmp) = rtmp {
        tracing::info!(address = %rtmp.address(), "publishers are taken by RTMP");
        tokio::spawn(rtmp.serve(Arc::clone(&app), app.stop.clone()));
    }
    if let Some(rtmps) = rtmps {
        tracing::info!(address = %rtmps.address(), "publishers are taken by RTMPS");
        tokio::spawn(rtmps.serve(Arc::clone(&app), app.stop.clone()));
    }
    let stopping = Arc::clone(&app);
    let jobs = tokio::spawn(async move {
        stopping.stop.cancelled().await;
        stopping.stop_jobs().await;
    });
    systemd::notify("READY=1");
    listener.serve(Site::new(Arc::clone(&app)), app.stop.clone()).await;
    // Open requests had their grace; the jobs had the same time. What they finished is on the disk.
    if tokio::time::timeout(Duration::from_secs(1), jobs).await.is_err() {
        tracing::warn!("a packaging job is cut; it is continued at the next start");
    }
    tracing::info!("stopped");
    Ok(())
}

async fn bind(address: SocketAddr, limits: Limits, flag: &str) -> anyhow::Result<Listener> {
    Listener::bind(address, limits).await.with_context(|| {
        format!("cannot listen on {address}; is another server running there? {flag} changes it")
    })
}

async fn bind_rtmp(listen: RtmpListen, limits: RtmpLimits) -> anyhow::Result<Option<RtmpServer>> {
    let Some(address) = listen.address() else { return Ok(None) };
    match RtmpServer::bind(address, limits).await {
        Ok(server) => Ok(Some(server)),
        Err(error) if matches!(listen, RtmpListen::Usual(_)) => {
            tracing::warn!(%address, %error, "nobody can publish by RTMP: cannot listen there; --rtmp chooses an address");
            Ok(None)
        }
        Err(error) => {
            Err(error).with_context(|| format!("cannot listen on {address} for RTMP; --rtmp changes it"))
        }
    }
}

/// SIGTERM and SIGINT stop the server in order, a second one ends it at once; SIGHUP reads the settings again.
fn watch_signals(app: &Arc<App>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    let mut hang_up = signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?;
    let stop = app.stop.clone();
    tokio::spawn(async move {
        let either = async |terminate: &mut Signal, interrupt: &mut Signal| {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping; a second signal ends at once");
        systemd::notify("STOPPING=1");
        stop.cancel();
        either(&mut terminate, &mut interrupt).await;
        std::process::exit(130);
    });
    let app = Arc::clone(app);
    tokio::spawn(async move {
        while hang_up.recv().await.is_some() {
            let app = Arc::clone(&app);
            let run = move || app.reloader.get().map(|reloader| reloader.run(&app));
            match tokio::task::spawn_blocking(run).await {
                Ok(Some(Ok(changes))) => changes.log(),
                Ok(Some(Err(error))) => {
                    tracing::error!("the settings stay as they were: {error:#}");
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "reading the settings failed"),
            }
        }
    });
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

/// Starts the log; what it gives back changes the filter later.
fn set_up_log(config: &Config) -> anyhow::Result<SetLog> {
    let (layer, handle) = reload::Layer::new(filter(&config.log)?);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(layer);
    match config.log_format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    }
    .map_err(|error| anyhow::anyhow!("cannot set up the log: {error}"))?;
    Ok(Box::new(move |text| handle.reload(filter(text)?).context("cannot change the log's filter")))
}

fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(text)
        .with_context(|| format!("log = \"{text}\" is no filter; \"info\" or \"info,weir_server=debug\" are"))
}

/// What is wrong with a setting, with its line where it stands in the file.
fn at_line(file: Option<&Path>, name: &str, why: &anyhow::Error) -> anyhow::Error {
    let place = file.and_then(|file| Some((file.display(), Options::line_of(file, name)?)));
    match place {
        Some((file, line)) => {
            anyhow::anyhow!("the settings in {file} are not right:\n  line {line}, {name}: {why:#}")
        }
        None => anyhow::anyhow!("{name}: {why:#}"),
    }
}

/// Whether the server could keep anything in its folder, or make it: tried, for what the permissions say is not all of it
/// (a file system that is read-only, `/proc`).
fn check_data(data: &Path) -> anyhow::Result<()> {
    use rustix::fs::{Access, access};
    let there = data.ancestors().find(|folder| folder.exists() || folder.as_os_str().is_empty());
    let nearest = there.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    anyhow::ensure!(nearest.is_dir(), "{}: {} is not a folder", data.display(), nearest.display());
    access(nearest, Access::WRITE_OK | Access::EXEC_OK).with_context(|| {
        let who = rustix::process::getuid().as_raw();
        format!("{}: user {who} cannot write to {}", data.display(), nearest.display())
    })?;
    let probe = nearest.join(format!(".weir-check-{}", std::process::id()));
    std::fs::create_dir(&probe)
        .and_then(|()| std::fs::write(probe.join("file"), "x"))
        .and_then(|()| std::fs::remove_dir_all(&probe))
        .inspect_err(|_| drop(std::fs::remove_dir_all(&probe)))
        .with_context(|| format!("{}: nothing can be kept in {}", data.display(), nearest.display()))
}

fn summary(config: &Config) -> String {
    let writes = match (&config.token, config.listen.ip().is_loopback()) {
        (Some(_), _) => "need the given token",
        (None, true) => "are open to this machine",
        (None, false) => "need the token in the data folder, which is made at the first start",
    };
    let roots: Vec<_> = config.roots.iter().map(|root| root.display().to_string()).collect();
    format!(
        "The settings are right.\nlisten                {} ({})\ndata                  {}\nwrites                {writes}\n\
         RTMP                  {}\nfiles by path         {}\nprivate sources       {}\nlargest source        {} MB\ndisk reserve          {} MB\n\
         jobs at a time        {}\nconnections           {}, {} from one address",
        config.listen,
        if config.tls.is_some() { "HTTPS" } else { "HTTP" },
        config.data.display(),
        config.rtmp.address().map_or_else(|| "off".to_owned(), |address| address.to_string()),
        if roots.is_empty() { "none".to_owned() } else { roots.join(", ") },
        if config.allow_private_sources { "allowed" } else { "refused" },
        config.max_source / 1_000_000,
        config.disk_reserve / 1_000_000,
        config.jobs,
        config.limits.connections,
        config.limits.per_address,
    )
}
