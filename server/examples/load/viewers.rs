//! Simulated players of a live stream: some with blocking reloads and parts, some with whole segments.
//!
//! One thread and one epoll serve them all, so that a crowd on the same machine takes as little from the server as it can.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use mio::{Events, Poll};

use super::connection::{self, Answer, Connection};
use super::process;

/// Time in which they come, as a crowd does.
const ARRIVAL: Duration = Duration::from_secs(5);

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

/// Where a viewer is.
#[derive(Debug)]
enum Step {
    /// Asked for the playlist, at the time given.
    Playlist(Instant),
    /// Asked for the media named first; the others follow.
    Media(VecDeque<String>),
    /// Nothing to ask for yet.
    Resting,
}

#[derive(Debug)]
struct Viewer {
    /// With blocking reloads and parts, or with whole segments.
    low_latency: bool,
    connection: Connection,
    step: Step,
    /// What it waits for or will want next: a segment, and a part of it.
    next: Option<(u64, u64)>,
    /// When it asks for the playlist again, for one with whole segments.
    again: Instant,
}

/// All viewers, and what they saw.
struct Crowd {
    options: Options,
    /// Address below which the rendition is.
    base: String,
    begin: Instant,
    viewers: Vec<Option<Viewer>>,
    /// When to do something for which viewer: soonest first.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    /// When each blocked reload was released, by what it waited for.
    releases: HashMap<(u64, u64), Vec<Instant>>,
    requests: u64,
    bytes: u64,
    errors: Vec<String>,
}

pub(crate) fn run(options: Options) -> anyhow::Result<()> {
    let address: SocketAddr = options.host.parse().context("the server's address")?;
    let all = options.low_latency + options.plain;
    let start = Instant::now();
    let begin = start + ARRIVAL + Duration::from_secs(1);
    let end = begin + Duration::from_secs(options.seconds);
    let arrival = |number| start + ARRIVAL.mul_f64(number as f64 / all as f64);
    let mut crowd = Crowd {
        base: format!("/stream/{}/hls/{}", options.stream, options.rendition),
        begin,
        viewers: (0..all).map(|_| None).collect(),
        due: (0..all).map(|number| Reverse((arrival(number), number))).collect(),
        releases: HashMap::new(),
        requests: 0,
        bytes: 0,
        errors: Vec::new(),
        options,
    };
    let pid = crowd.options.pid;
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; 256 * 1024];
    let (mut before, mut after, mut counting) = (None, None, None);
    loop {
        let now = Instant::now();
        if now >= begin && before.is_none() {
            before = Some(process::cost(&[pid])?.0);
        }
        if now >= end - Duration::from_secs(1) && after.is_none() {
            after = Some(process::cost(&[pid])?);
            let path = format!("/api/stream/{}", crowd.options.stream);
            counting = Some(thread::spawn(move || viewer_count(address, &path)));
        }
        if now >= end {
            break;
        }
        while let Some(Reverse((at, number))) = crowd.due.peek().copied()
            && at <= now
        {
            crowd.due.pop();
            crowd.wake(&poll, address, number);
        }
        let until = crowd
            .due
            .peek()
            .map_or(end, |Reverse((at, _))| *at)
            .min(end)
            .min(now + Duration::from_millis(100));
        poll.poll(&mut events, Some(until.saturating_duration_since(now)))?;
        for event in &events {
            crowd.ready(event.token().0, &mut scratch);
        }
    }
    let counted = counting
        .context("it was over too soon")?
        .join()
        .map_err(|_| anyhow::anyhow!("counting failed"))??;
    let (before, after) = (before.unwrap_or(0.0), after.unwrap_or((0.0, 0.0)));
    crowd.report(counted, (after.0 - before) / (crowd.options.seconds as f64 - 1.0), after.1);
    Ok(())
}

impl Crowd {
    /// A viewer's time has come: to arrive, or to ask for the playlist again.
    fn wake(&mut self, poll: &Poll, address: SocketAddr, number: usize) {
        let outcome = match self.viewers.get_mut(number) {
            Some(Some(viewer)) => viewer.ask_for_playlist(&self.base),
            Some(place @ None) => {
                let headers = format!("X-Playback-Session-Id: {}-{number}\r\n", self.options.name);
                Connection::open(poll, number, address, &headers).map_err(Into::into).and_then(|connection| {
                    let viewer = place.insert(Viewer {
                        low_latency: number < self.options.low_latency,
                        connection,
                        step: Step::Resting,
                        next: None,
                        again: Instant::now(),
                    });
                    viewer.ask_for_playlist(&self.base)
                })
            }
            None => Ok(()),
        };
        if let Err(error) = outcome {
            self.errors.push(format!("{error:#}"));
        }
    }

    /// Something came for a viewer.
    fn ready(&mut self, number: usize, scratch: &mut [u8]) {
        loop {
            let Some(Some(viewer)) = self.viewers.get_mut(number) else { return };
            if matches!(viewer.step, Step::Resting) {
                return;
            }
            let outcome = match viewer.connection.go_on(scratch) {
                Ok(None) => return,
                Ok(Some(answer)) => self.answered(number, answer),
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                self.errors.push(format!("{error:#}"));
                if let Some(place) = self.viewers.get_mut(number) {
                    *place = None;
                }
                return;
            }
        }
    }

    fn answered(&mut self, number: usize, answer: Answer) -> anyhow::Result<()> {
        let Some(Some(viewer)) = self.viewers.get_mut(number) else { return Ok(()) };
        self.requests += 1;
        self.bytes += answer.bytes as u64;
        anyhow::ensure!(answer.status == 200, "an answer of {} while {:?}", answer.status, viewer.step);
        let names = match std::mem::replace(&mut viewer.step, Step::Resting) {
            Step::Resting => return Ok(()),
            Step::Media(mut names) => {
                names.pop_front();
                names
            }
            Step::Playlist(asked) => {
                let now = Instant::now();
                if let Some(wanted) = viewer.next
                    && viewer.low_latency
                    && asked > self.begin
                {
                    self.releases.entry(wanted).or_default().push(now);
                }
                let text = viewer.connection.take_text();
                viewer.read(std::str::from_utf8(&text)?, asked)
            }
        };
        if let Some(name) = names.front() {
            viewer.connection.ask(&format!("{}/{name}", self.base), false)?;
            viewer.step = Step::Media(names);
        } else if viewer.low_latency {
            viewer.ask_for_playlist(&self.base)?;
        } else {
            self.due.push(Reverse((viewer.again, number)));
        }
        Ok(())
    }

    fn report(&self, counted: u64, cores: f64, resident: f64) {
        let Options { low_latency, plain, .. } = self.options;
        println!("viewers {low_latency} low-latency + {plain} plain, the server counts {counted}");
        println!(
            "requests {}, {:.2} GB, errors {}",
            self.requests,
            self.bytes as f64 / 1e9,
            self.errors.len()
        );
        for error in self.errors.iter().take(5) {
            println!("  {error}");
        }
        println!("server: {cores:.2} cores, {resident:.0} MB resident");
        let mut skews: Vec<f64> = Vec::new();
        for times in self.releases.values() {
            // A handful is of viewers that had only just come.
            if let Some(first) = times.iter().min().filter(|_| times.len() * 2 > low_latency) {
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
    }
}

impl Viewer {
    fn ask_for_playlist(&mut self, base: &str) -> anyhow::Result<()> {
        let path = match self.next {
            Some((segment, part)) if self.low_latency => {
                format!("{base}/index.m3u8?_HLS_msn={segment}&_HLS_part={part}&_HLS_skip=YES")
            }
            _ => format!("{base}/index.m3u8"),
        };
        self.step = Step::Playlist(Instant::now());
        self.connection.ask(&path, true)?;
        Ok(())
    }

    /// Takes from a playlist what is new: names of media, oldest first.
    fn read(&mut self, playlist: &str, asked: Instant) -> VecDeque<String> {
        let edge = read(playlist);
        if self.low_latency {
            // The first time only the newest part, then every one that is new.
            let from = self.next.or_else(|| edge.parts.last().map(|(at, _)| *at));
            self.next = Some(edge.next);
            return edge
                .parts
                .into_iter()
                .filter(|(at, _)| Some(*at) >= from)
                .map(|(_, name)| name)
                .collect();
        }
        self.again = asked + Duration::from_secs_f64(edge.target.max(1.0));
        let third_last = || edge.segments.iter().rev().nth(2).or(edge.segments.first()).map(|(at, _)| *at);
        let from = self.next.map(|(at, _)| at).or_else(third_last);
        self.next = Some(edge.next);
        edge.segments.into_iter().filter(|(at, _)| Some(*at) >= from).map(|(_, name)| name).collect()
    }
}

fn viewer_count(address: SocketAddr, path: &str) -> anyhow::Result<u64> {
    let text = connection::get(address, path)?;
    let stream: serde_json::Value = serde_json::from_slice(&text)?;
    stream["viewers"]["current"].as_u64().context("no viewers in the stream's description")
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
        } else if let Some(value) = line.strip_prefix("#EXT-X-SKIP:SKIPPED-SEGMENTS=") {
            number += value.split(',').next().and_then(|count| count.parse().ok()).unwrap_or(0);
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
