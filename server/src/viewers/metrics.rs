//! Viewers and their quality of experience in Prometheus' text form: series a stream, none a session.

use std::fmt::Write as _;

use super::session::StreamSessions;
use super::spread::Histogram;
use super::{Count, Qoe, Viewers};

/// Streams with series of their own; the rest is summed up under one label.
const MOST_STREAMS: usize = 200;
/// Label of the rest; no id starts with an underscore.
const REST: &str = "_rest";

struct Row {
    id: String,
    count: Count,
    current: Qoe,
    past: super::qoe::StreamQoe,
}

impl Viewers {
    /// Writes the families of all streams that are counted.
    pub fn write_metrics(&self, text: &mut String) {
        let now = self.clock.now();
        let mut rows: Vec<Row> = self.with(|streams| {
            let row = |(id, sessions): (&String, &mut StreamSessions)| Row {
                id: id.clone(),
                count: sessions.count(now),
                current: sessions.quality(now),
                past: sessions.qoe.clone(),
            };
            streams.iter_mut().map(row).collect()
        });
        rows.sort_by(|a, b| b.count.current.cmp(&a.count.current).then_with(|| a.id.cmp(&b.id)));
        let rest = rows.split_off(rows.len().min(MOST_STREAMS));
        counts(text, &rows, &rest);
        qualities(text, &rows);
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn counts(text: &mut String, rows: &[Row], rest: &[Row]) {
    // Ids are of a-z, 0-9 and '-', so labels need no escaping.
    let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(&Count) -> f64| {
        head(text, name, kind, help);
        for row in rows {
            let _ = writeln!(text, "{name}{{stream=\"{}\"}} {}", row.id, value(&row.count));
        }
        if !rest.is_empty() {
            let sum: f64 = rest.iter().map(|row| value(&row.count)).sum();
            let _ = writeln!(text, "{name}{{stream=\"{REST}\"}} {sum}");
        }
    };
    family("weir_viewers", "gauge", "Viewers now.", &|c| c.current as f64);
    family("weir_viewers_peak", "gauge", "Most viewers at one time.", &|c| c.peak as f64);
    // Not weir_viewers_total: to OpenMetrics that is the counter of a family that weir_viewers would be a gauge of.
    family("weir_viewer_sessions_total", "counter", "Viewers since the stream was made.", &|c| {
        c.total as f64
    });
    family("weir_watch_seconds_total", "counter", "Seconds watched.", &|c| c.watch_seconds);
    family("weir_viewers_estimated", "gauge", "Viewers now that are told apart by guess.", &|c| {
        c.by_method.heuristic as f64
    });
    head(text, "weir_viewers_by_protocol", "gauge", "Viewers now by protocol.");
    for row in rows {
        let by = row.count.by_protocol;
        for (protocol, value) in [("hls", by.hls), ("dash", by.dash), ("progressive", by.progressive)] {
            let id = &row.id;
            let _ =
                writeln!(text, "weir_viewers_by_protocol{{stream=\"{id}\",protocol=\"{protocol}\"}} {value}");
        }
    }
}

fn qualities(text: &mut String, rows: &[Row]) {
    let told = || rows.iter().filter(|row| row.current.sessions > 0);
    let mut histogram = |name: &str,
                         help: &str,
                         powers: std::ops::RangeInclusive<usize>,
                         unit: f64,
                         of: &dyn Fn(&Row) -> &Histogram| {
        head(text, name, "histogram", help);
        for row in told() {
            let (id, values) = (&row.id, of(row));
            for power in powers.clone() {
                let bound = (1_u64 << power) as f64 * unit;
                let _ = writeln!(
                    text,
                    "{name}_bucket{{stream=\"{id}\",le=\"{bound}\"}} {}",
                    values.up_to_power(power)
                );
            }
            let _ = writeln!(text, "{name}_bucket{{stream=\"{id}\",le=\"+Inf\"}} {}", values.count());
            let _ = writeln!(text, "{name}_sum{{stream=\"{id}\"}} {}", values.sum() * unit);
            let _ = writeln!(text, "{name}_count{{stream=\"{id}\"}} {}", values.count());
        }
    };
    histogram(
        "weir_qoe_startup_seconds",
        "Start-up time of sessions that are over.",
        6..=15,
        0.001,
        &|row| &row.past.startup_ms,
    );
    histogram(
        "weir_qoe_bitrate_bits_per_second",
        "Mean video bitrate of sessions that are over.",
        7..=16,
        1000.0,
        &|row| &row.past.bitrate_kbps,
    );
    let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(&Row) -> Option<f64>| {
        head(text, name, kind, help);
        for row in told() {
            if let Some(value) = value(row) {
                let _ = writeln!(text, "{name}{{stream=\"{}\"}} {value}", row.id);
            }
        }
    };
    // Of sessions that are over, so that a counter never goes back when a player corrects itself.
    family("weir_qoe_sessions_total", "counter", "Sessions over that told CMCD.", &|r| {
        Some(r.past.sessions as f64)
    });
    family("weir_qoe_stalled_sessions_total", "counter", "Those of them that stalled.", &|r| {
        Some(r.past.stalled_sessions as f64)
    });
    family("weir_qoe_stalls_total", "counter", "Their stalls.", &|r| Some(r.past.stalls as f64));
    family("weir_qoe_stall_seconds_total", "counter", "Seconds that they stood still.", &|r| {
        Some(r.past.stalled_ms as f64 / 1000.0)
    });
    family("weir_qoe_dropped_frames_total", "counter", "Frames that they dropped.", &|r| {
        Some(r.past.dropped as f64)
    });
    family("weir_qoe_reporting", "gauge", "Current sessions that tell CMCD.", &|r| {
        Some(r.current.reporting as f64)
    });
    let seconds = |ms: Option<u32>| ms.map(|ms| f64::from(ms) / 1000.0);
    family("weir_qoe_buffer_seconds_median", "gauge", "Buffer of the current sessions.", &|r| {
        seconds(r.current.buffer_ms.median)
    });
    family(
        "weir_qoe_latency_seconds_median",
        "gauge",
        "Distance of the current sessions from the live edge.",
        &|r| seconds(r.current.latency_ms.median),
    );
    family(
        "weir_qoe_throughput_bits_per_second_median",
        "gauge",
        "Throughput of the current sessions.",
        &|r| r.current.throughput_kbps.median.map(|kbps| f64::from(kbps) * 1000.0),
    );
}
