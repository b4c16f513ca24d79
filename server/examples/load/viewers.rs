//! Simulated players of a live stream: some with blocking reloads and parts, some with whole segments.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use tokio::task::JoinSet;

use super::client::Client;
use super::process;

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// HOST:PORT of the server; it needs --max-connections-per-ip above the viewers
    host: String,
    /// Id of a live stream
    stream: String,
    /// Rendition that is watched
    #[arg(long, default_value = "source")]
    rendition: String,
    /// Viewers with blocking reloads and parts
    #[arg(long, default_value_t = 1000)]
    low_latency: usize,
    /// Viewers with whole segments
    #[arg(long, default_value_t = 2000)]
    plain: usize,
    /// What the viewers' session ids begin with
    #[arg(long, default_value = "load")]
    name: String,
    /// How long, in seconds, once all are there
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// The server's process
    #[arg(long)]
    pid: u32,
}

/// When each blocked reload was released, by what it waited for.
type Releases = Arc<Mutex<HashMap<(u64, u64), Vec<Instant>>>>;

#[derive(Debug, Default)]
struct Counts {
    requests: u64,
    bytes: u64,
    errors: Vec<String>,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let releases = Releases::default();
    let mut tasks = JoinSet::new();
    let all = options.low_latency + options.plain;
    // They come over five seconds, as a crowd does, and count from then on.
    let begin = Instant::now() + Duration::from_secs(6);
    let end = begin + Duration::from_secs(options.seconds);
    for number in 0..all {
        let (options, releases) = (options.clone(), Arc::clone(&releases));
        tasks.spawn(async move {
            let delay = Duration::from_secs_f64(5.0 * number as f64 / all as f64);
            tokio::time::sleep(delay).await;
            let mut counts = Counts::default();
            let low = number < options.low_latency;
            let outcome = if low {
                low_latency(&options, number, begin, end, &releases, &mut counts).await
            } else {
                plain(&options, number, end, &mut counts).await
            };
            if let Err(error) = outcome {
                counts.errors.push(format!("{error:#}"));
            }
            counts
        });
    }
    tokio::time::sleep_until(begin.into()).await;
    let (cpu_before, _) = process::cost(&[options.pid])?;
    tokio::time::sleep_until((end - Duration::from_secs(1)).into()).await;
    let (cpu_after, resident) = process::cost(&[options.pid])?;
    let counted = viewer_count(&options).await?;
    let (mut requests, mut bytes, mut errors) = (0, 0, Vec::new());
    while let Some(done) = tasks.join_next().await {
        let counts = done?;
        requests += counts.requests;
        bytes += counts.bytes;
        errors.extend(counts.errors);
    }
    let seconds = options.seconds as f64 - 1.0;
    let cores = (cpu_after - cpu_before) / seconds;
    println!(
        "viewers {} low-latency + {} plain, the server counts {counted}",
        options.low_latency, options.plain
    );
    println!("requests {requests}, {:.2} GB, errors {}", bytes as f64 / 1e9, errors.len());
    for error in errors.iter().take(5) {
        println!("  {error}");
    }
    println!("server: {cores:.2} cores, {resident:.0} MB resident");
    let mut skews: Vec<f64> = Vec::new();
    for times in releases.lock().map_err(|_| anyhow::anyhow!("a viewer panicked"))?.values() {
        // A handful is of viewers that had only just come.
        if let Some(first) = times.iter().min().filter(|_| times.len() * 2 > options.low_latency) {
            skews.extend(times.iter().map(|time| (*time - *first).as_secs_f64() * 1000.0));
        }
    }
    skews.sort_by(f64::total_cmp);
    println!(
        "blocked reloads: {} releases, skew p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        skews.len(),
        process::quantile(&skews, 0.5),
        process::quantile(&skews, 0.99),
        skews.last().copied().unwrap_or(0.0)
    );
    Ok(())
}

async fn viewer_count(options: &Options) -> anyhow::Result<u64> {
    let mut client = Client::connect(&options.host, String::new()).await?;
    let answer = client.get(&format!("/api/stream/{}", options.stream), true).await?;
    let stream: serde_json::Value = serde_json::from_slice(&answer.body)?;
    stream["viewers"]["current"].as_u64().context("no viewers in the stream's description")
}

fn session(options: &Options, number: usize) -> String {
    format!("X-Playback-Session-Id: {}-{number}\r\n", options.name)
}

/// What a playlist lists, as far as a player needs it.
#[derive(Debug, Default)]
struct Edge {
    /// Number of the segment that comes next, and of parts that it has already.
    next: (u64, u64),
    target: f64,
    /// Names of whole segments with their numbers, and of parts with segment and part numbers.
    segments: Vec<(u64, String)>,
    parts: Vec<((u64, u64), String)>,
}

fn read(playlist: &str) -> Edge {
    let mut edge = Edge::default();
    let (mut number, mut part) = (0, 0);
    for line in playlist.lines() {
        if let Some(value) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
            number = value.parse().unwrap_or(0);
        } else if let Some(value) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
            edge.target = value.parse().unwrap_or(0.0);
        } else if let Some(value) = line.strip_prefix("#EXT-X-PART:") {
            let uri = value.split("URI=\"").nth(1).and_then(|rest| rest.split('"').next());
            edge.parts.push(((number, part), uri.unwrap_or("").to_owned()));
            part += 1;
        } else if !line.is_empty() && !line.starts_with('#') {
            edge.segments.push((number, line.to_owned()));
            (number, part) = (number + 1, 0);
        }
    }
    edge.next = (number, part);
    edge
}

async fn low_latency(
    options: &Options,
    number: usize,
    begin: Instant,
    end: Instant,
    releases: &Releases,
    counts: &mut Counts,
) -> anyhow::Result<()> {
    let base = format!("/stream/{}/hls/{}", options.stream, options.rendition);
    let mut client = Client::connect(&options.host, session(options, number)).await?;
    let mut path = format!("{base}/index.m3u8");
    let mut seen = None;
    while Instant::now() < end {
        let answer = client.get(&path, true).await?;
        let released = Instant::now();
        counts.requests += 1;
        counts.bytes += answer.bytes as u64;
        anyhow::ensure!(answer.status == 200, "{path}: {}", answer.status);
        let edge = read(&String::from_utf8_lossy(&answer.body));
        if let Some(wanted) = seen
            && released > begin
            && let Ok(mut releases) = releases.lock()
        {
            releases.entry(wanted).or_default().push(released);
        }
        // The first time only the newest part, then every one that is new.
        let new = edge.parts.iter().filter(|(at, _)| seen.is_some_and(|seen| *at >= seen));
        let last = edge.parts.last().into_iter().filter(|_| seen.is_none());
        for (_, name) in new.chain(last) {
            let answer = client.get(&format!("{base}/{name}"), false).await?;
            counts.requests += 1;
            counts.bytes += answer.bytes as u64;
            anyhow::ensure!(answer.status == 200, "{name}: {}", answer.status);
        }
        let (segment, part) = edge.next;
        seen = Some((segment, part));
        path = format!("{base}/index.m3u8?_HLS_msn={segment}&_HLS_part={part}");
    }
    Ok(())
}

async fn plain(options: &Options, number: usize, end: Instant, counts: &mut Counts) -> anyhow::Result<()> {
    let base = format!("/stream/{}/hls/{}", options.stream, options.rendition);
    let mut client = Client::connect(&options.host, session(options, number)).await?;
    let mut next = 0;
    while Instant::now() < end {
        let begun = Instant::now();
        let answer = client.get(&format!("{base}/index.m3u8"), true).await?;
        counts.requests += 1;
        counts.bytes += answer.bytes as u64;
        anyhow::ensure!(answer.status == 200, "playlist: {}", answer.status);
        let edge = read(&String::from_utf8_lossy(&answer.body));
        if next == 0 {
            next = edge
                .segments
                .len()
                .checked_sub(3)
                .and_then(|at| edge.segments.get(at))
                .map_or(0, |(n, _)| *n);
        }
        let from = next;
        for (at, name) in edge.segments.iter().filter(|(at, _)| *at >= from) {
            let answer = client.get(&format!("{base}/{name}"), false).await?;
            counts.requests += 1;
            counts.bytes += answer.bytes as u64;
            anyhow::ensure!(answer.status == 200, "{name}: {}", answer.status);
            next = at + 1;
        }
        let wait = Duration::from_secs_f64(edge.target.max(1.0)).saturating_sub(begun.elapsed());
        tokio::time::sleep(wait).await;
    }
    Ok(())
}
