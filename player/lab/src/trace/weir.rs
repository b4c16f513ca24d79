//! Our own format: one trace a line.

use serde::{Deserialize, Serialize};

use super::{BadLine, Point, Trace};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    points: Vec<(f64, f64, f64)>,
}

pub(super) fn parse(text: &str) -> Result<Vec<Trace>, BadLine> {
    let mut traces = Vec::new();
    // One trace that something wrote over several lines.
    let whole = serde_json::from_str::<serde_json::Value>(text).ok().filter(|_| text.trim().contains('\n'));
    let whole = whole.map(|value| value.to_string());
    for (at, line) in whole.as_deref().unwrap_or(text).lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(line).map_err(|error| {
            BadLine::new(
                at + 1,
                format!(
                    "{error}; wanted {{\"name\": ..., \"points\": [[duration_ms, kbps, latency_ms], ...]}}"
                ),
            )
        })?;
        let points = line
            .points
            .into_iter()
            .map(|(duration_ms, kbps, latency_ms)| Point { duration_ms, kbps, latency_ms })
            .collect();
        let trace = Trace::new(&line.name, points)
            .map_err(|invalid| BadLine::new(at + 1, format!("trace {:?}: {invalid}", line.name)))?;
        traces.push(trace);
    }
    if traces.is_empty() {
        return Err(BadLine::new(1, "there is no trace in the file"));
    }
    Ok(traces)
}

pub(super) fn write(trace: &Trace) -> String {
    // Whole numbers without ".0": files stay small and easy to read.
    let points: Vec<String> = trace
        .points()
        .iter()
        .map(|point| format!("[{},{},{}]", point.duration_ms, point.kbps, point.latency_ms))
        .collect();
    let name = serde_json::Value::from(trace.name());
    format!("{{\"name\":{name},\"points\":[{}]}}\n", points.join(","))
}
