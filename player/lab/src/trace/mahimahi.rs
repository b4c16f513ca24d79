//! Mahimahi's packet delivery traces (Netravali et al.: "Mahimahi: accurate record-and-replay for HTTP", USENIX ATC 2015).
//!
//! Each line is a time in whole milliseconds at which one packet of 1500 bytes may leave; the trace
//! starts over at its last time.

use super::{BadLine, Point, Trace};

/// Bits of one delivery opportunity.
const PACKET_BITS: f64 = 1500.0 * 8.0;
/// Opportunities are counted in bins of this length.
pub(super) const BIN_MS: u64 = 200;
/// A day; longer traces are a mistake in the file.
const MAX_MS: u64 = 24 * 3600 * 1000;

pub(super) fn parse(text: &str, bin_ms: u64) -> Result<Vec<Point>, BadLine> {
    let mut bins: Vec<u64> = Vec::new();
    let mut last = 0;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let time: u64 = line.parse().map_err(|_| {
            BadLine::new(
                at + 1,
                format!("{line:?} is not a time in whole milliseconds (Mahimahi: one a line)"),
            )
        })?;
        if time < last {
            return Err(BadLine::new(at + 1, format!("time {time} comes after {last}; times must not fall")));
        }
        if time > MAX_MS {
            return Err(BadLine::new(at + 1, format!("time {time} is more than a day; wanted milliseconds")));
        }
        last = time;
        // The opportunity at the end of a round and that at time 0 of the next coincide: count it to the bin before.
        let bin = usize::try_from(time.saturating_sub(1) / bin_ms).unwrap_or(usize::MAX);
        if bin >= bins.len() {
            bins.resize(bin + 1, 0);
        }
        bins[bin] += 1;
    }
    if last == 0 {
        return Err(BadLine::new(
            1,
            "there is no time above 0 in the file (Mahimahi: one time in ms a line)",
        ));
    }
    let count = bins.len();
    Ok(bins
        .into_iter()
        .enumerate()
        .map(|(index, packets)| {
            let end = if index + 1 == count { last } else { (index as u64 + 1) * bin_ms };
            let duration_ms = (end - index as u64 * bin_ms) as f64;
            Point { duration_ms, kbps: packets as f64 * PACKET_BITS / duration_ms, latency_ms: 0.0 }
        })
        .collect())
}

pub(super) fn write(trace: &Trace) -> String {
    let link = super::Link::new(trace);
    let duration = link.round_ms().round().max(1.0);
    let mut out = String::new();
    let mut sent = 1.0;
    loop {
        let time = link.finish_ms(0.0, sent * PACKET_BITS).ceil();
        if time > duration {
            break;
        }
        out.push_str(&format!("{time}\n"));
        sent += 1.0;
    }
    // The last line is the length of the round.
    if !out.ends_with(&format!("\n{duration}\n")) {
        out.push_str(&format!("{duration}\n"));
    }
    out
}
