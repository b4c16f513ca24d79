//! `make bench`: what a played second costs, how much memory it takes, how soon it starts.
//!
//! Runs the real server, the real player and, where they are installed, other players on the same stream in the
//! same run, so that the figures can be compared with each other. Prints a Markdown table.

#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use weir_abr::record::Event;
use weir_tests::{Log, Player, Server, fixture, process::program, screen::Screen};

const NONE: &[&str] = &[];
/// From here to there CPU time is counted, so that start-up is left out.
const FROM_S: f64 = 6.0;
const TO_S: f64 = 26.0;

/// What one run cost.
struct Cost {
    /// CPU seconds a played second.
    cpu: f64,
    /// Peak resident memory, MiB.
    peak_mib: f64,
}

/// CPU seconds that a process used so far (proc(5), fields 14 and 15; 100 ticks a second on Linux).
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit(')').next().context("stat has a name in brackets")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks =
        |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).context("stat field");
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

fn peak_mib(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("VmHWM")?;
    let kib: f64 = line.split_whitespace().nth(1).context("a number")?.parse()?;
    Ok(kib / 1024.0)
}

fn measure_weir(mut player: Player) -> anyhow::Result<(Cost, Log)> {
    let at = |player: &mut Player, seconds: f64| {
        player.wait_for(Duration::from_secs(60), |log| log.position() >= seconds)
    };
    at(&mut player, FROM_S)?;
    let before = cpu_seconds(player.id())?;
    let log = at(&mut player, TO_S)?;
    let cost = Cost {
        cpu: (cpu_seconds(player.id())? - before) / (TO_S - FROM_S),
        peak_mib: peak_mib(player.id())?,
    };
    Ok((cost, log))
}

/// Another player, by wall-clock time: it plays at real speed and says nothing about where it is.
fn measure_other(mut child: Child) -> anyhow::Result<Cost> {
    let start = Instant::now();
    let sleep_to = |seconds: f64| {
        thread::sleep((start + Duration::from_secs_f64(seconds)).saturating_duration_since(Instant::now()));
    };
    sleep_to(FROM_S);
    let before = cpu_seconds(child.id())?;
    sleep_to(TO_S);
    let cost = cpu_seconds(child.id()).and_then(|after| {
        Ok(Cost { cpu: (after - before) / (TO_S - FROM_S), peak_mib: peak_mib(child.id())? })
    });
    let _ = child.kill();
    let _ = child.wait();
    cost
}

fn installed(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).exists()))
}

fn startup_ms(log: &Log) -> Option<f64> {
    log.0.iter().find(|entry| matches!(entry.event, Event::FirstFrame { .. })).map(|entry| entry.t_ms)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> anyhow::Result<()> {
    let data = fixture::packaged()?;
    let server = Server::start(data.path())?;
    let url = server.hls(fixture::LONG);
    println!(
        "Stream: the test card, top rung 720p25, from this machine, unlimited link; {} CPUs.\n",
        thread::available_parallelism()?
    );

    let mut startups = Vec::new();
    let mut process = Vec::new();
    for _ in 0..7 {
        let started = Instant::now();
        let mut player = Player::headless(&url, NONE)?;
        let log = player.wait_for(Duration::from_secs(20), |log| startup_ms(log).is_some())?;
        process.push(started.elapsed().as_secs_f64() * 1000.0);
        startups.push(startup_ms(&log).context("just seen")?);
    }
    println!(
        "Start-up, median of 7: {:.0} ms from the URL to the first picture, {:.0} ms from the start of the process.\n",
        median(startups),
        median(process)
    );

    println!("| player | CPU seconds a played second | peak memory MiB |");
    println!("|---|---|---|");
    let row = |name: &str, cost: &Cost| println!("| {name} | {:.3} | {:.0} |", cost.cpu, cost.peak_mib);
    let (headless, _) = measure_weir(Player::headless(&url, NONE)?)?;
    row("weir, headless", &headless);
    {
        let screen = Screen::start(640, 360)?;
        let (window, log) =
            measure_weir(Player::window(&url, &screen.display, &["--window-size", "640x360"])?)?;
        row("weir, window 640x360, software GL", &window);
        if log.stalls() > 0 {
            bail!("the window stalled: the machine is too busy for these figures");
        }
    }
    let quiet = |command: &mut Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    };
    if installed("gst-play-1.0") {
        let mut command = Command::new("gst-play-1.0");
        command.args([
            "--use-playbin3",
            "--no-interactive",
            "--videosink=fakesink sync=true",
            "--audiosink=fakesink sync=true",
            &url,
        ]);
        row("gst-play-1.0 (playbin3), fake sinks", &measure_other(quiet(&mut command)?)?);
    }
    if installed("mpv") {
        let mut command = Command::new("mpv");
        command.args(["--no-config", "--vo=null", "--ao=null", &url]);
        row("mpv, null outputs", &measure_other(quiet(&mut command)?)?);
    }
    let size =
        |name: &str| fs::metadata(program(name)).map(|meta| meta.len() as f64 / 1e6).unwrap_or_default();
    println!("\nPrograms: weir {:.1} MB, weir-server {:.1} MB.", size("weir"), size("weir-server"));
    Ok(())
}
