//! Why a session chose what it chose, line by line.

use std::fmt::Write as _;

use weir_abr::{
    RungId, TrackKind,
    qoe::{Figures, Session},
    record::{Entry, Event},
};

/// Ladders as they were announced.
#[derive(Default)]
struct Ladders {
    video: Vec<String>,
    audio: Vec<String>,
}

impl Ladders {
    fn label(&self, track: TrackKind, rung: RungId) -> String {
        let labels = match track {
            TrackKind::Video => &self.video,
            TrackKind::Audio => &self.audio,
        };
        labels.get(rung.0).cloned().unwrap_or_else(|| format!("rung {}", rung.0))
    }

    fn announce(&mut self, track: TrackKind, kbps: &[f64], heights: &[Option<u32>]) {
        let labels = kbps
            .iter()
            .enumerate()
            .map(|(at, kbps)| match heights.get(at).copied().flatten() {
                Some(height) => format!("{height}p {kbps:.0}k"),
                None => format!("{kbps:.0}k"),
            })
            .collect();
        match track {
            TrackKind::Video => self.video = labels,
            TrackKind::Audio => self.audio = labels,
        }
    }
}

/// The session as text: what was decided and why, what went wrong, and the figures at the end. `track` picks one.
pub fn explain(entries: &[Entry], track: Option<TrackKind>) -> String {
    let mut out = String::new();
    let mut ladders = Ladders::default();
    let shown = |kind: TrackKind| track.is_none_or(|track| track == kind);
    for entry in entries {
        let line = match &entry.event {
            Event::Ladder { track, kbps, heights } => {
                ladders.announce(*track, kbps, heights);
                None
            }
            Event::Decision { track, .. } | Event::Abort { track, .. } | Event::Skip { track, .. }
                if !shown(*track) =>
            {
                None
            }
            event => describe(event, &ladders),
        };
        if let Some(line) = line {
            let _ = writeln!(out, "{:>9.3} s  {line}", entry.t_ms / 1000.0);
        }
    }
    let figures = Figures::of(&Session::from_record(entries));
    let _ = writeln!(
        out,
        "\nstart-up {:.2} s, played {:.1} s at {:.0} kbit/s, {} switches, {} stalls of {:.2} s in all, {:.1} % of {:.1} MB wasted",
        figures.startup_ms.unwrap_or_default() / 1000.0,
        figures.played_s,
        figures.played_kbps,
        figures.switches,
        figures.rebuffer_count,
        figures.rebuffer_ms / 1000.0,
        figures.wasted_bytes as f64 / figures.bytes.max(1) as f64 * 100.0,
        figures.bytes as f64 / 1e6,
    );
    let _ = writeln!(
        out,
        "QoE_S {:.3}, Yin linear {:.3}, log {:.3}, Sabre score {:.3}",
        figures.qoe_s, figures.qoe_lin, figures.qoe_log, figures.sabre_score
    );
    out
}

fn describe(event: &Event, ladders: &Ladders) -> Option<String> {
    Some(match event {
        Event::Decision { track, index, rung, estimate_kbps, buffer_s, rule, reason, scores } => {
            let estimate = estimate_kbps.map_or_else(|| "?".to_owned(), |kbps| format!("{kbps:.0}"));
            let mut text = format!(
                "{} {index:>4}  {:<14} {rule:<12} {reason}  (estimate {estimate} kbit/s, buffer {buffer_s:.1} s",
                name(*track),
                ladders.label(*track, *rung),
            );
            if !scores.is_empty() {
                let scores: Vec<String> = scores.iter().map(|score| format!("{score:.3}")).collect();
                let _ = write!(text, ", scores {}", scores.join(" "));
            }
            text.push(')');
            text
        }
        Event::Abort { track, index, rung, bytes, reason, .. } => {
            let label = ladders.label(*track, *rung);
            format!("{} {index:>4}  {label:<14} given up after {bytes} bytes: {reason}", name(*track))
        }
        Event::Skip { track, index, reason } => {
            format!("{} {index:>4}  skipped: {reason}", name(*track))
        }
        Event::FirstFrame { height } => format!("first picture, {height} lines"),
        Event::Switch { from_kbps, to_kbps, pos_s } => {
            format!("on screen: {from_kbps:.0} -> {to_kbps:.0} kbit/s at {pos_s:.2} s")
        }
        Event::StallStart { pos_s } => format!("STALL at {pos_s:.2} s"),
        Event::StallEnd { ms, .. } => format!("goes on after {:.2} s", ms / 1000.0),
        Event::Seek { from_s, to_s, ms, in_buffer } => {
            let place = if *in_buffer { "in the buffer" } else { "outside the buffer" };
            format!("seek {from_s:.2} -> {to_s:.2} s, {place}, pictures after {ms:.0} ms")
        }
        Event::Quality { choice, .. } => format!("the viewer chose {choice}"),
        Event::Paused { paused, pos_s } => {
            format!("{} at {pos_s:.2} s", if *paused { "paused" } else { "resumed" })
        }
        Event::Error { fatal, code, reason } => {
            format!("{} {code}: {reason}", if *fatal { "FAILED" } else { "error" })
        }
        Event::LiveJump { from_s, to_s, reason } => format!("jumped {from_s:.2} -> {to_s:.2} s: {reason}"),
        Event::Steering { priority, .. } => format!("steered: {}", priority.join(", ")),
        Event::Pathway { from, to, reason } => {
            format!("pathway {} -> {to}: {reason}", from.as_deref().unwrap_or("none"))
        }
        Event::Ended { pos_s } => format!("ended at {pos_s:.2} s"),
        Event::Session { url, algorithm, max_buffer_s, remembered_kbps, .. } => {
            let known =
                remembered_kbps.map_or_else(String::new, |kbps| format!(", {kbps:.0} kbit/s remembered"));
            format!("{url}: {algorithm}, {max_buffer_s:.0} s of buffer{known}")
        }
        Event::Manifest { .. }
        | Event::Ladder { .. }
        | Event::Request { .. }
        | Event::Segment { .. }
        | Event::Start { .. }
        | Event::Position { .. }
        | Event::Latency { .. }
        | Event::Rate { .. }
        | Event::Subtitles { .. }
        | Event::Sound { .. }
        | Event::Sync { .. }
        | Event::Summary { .. } => return None,
    })
}

fn name(track: TrackKind) -> &'static str {
    match track {
        TrackKind::Video => "video",
        TrackKind::Audio => "audio",
    }
}
