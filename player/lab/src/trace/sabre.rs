//! The trace format of Sabre (Spiteri, Sitaraman, Sparacio: "From theory to practice", MMSys 2018).

use serde::Deserialize;

use super::{BadLine, Point, Trace};

/// Checked while it is read, so that the parser can say on which line it is.
#[derive(Deserialize)]
#[serde(try_from = "Raw")]
struct Period(Point);

#[derive(Deserialize)]
struct Raw {
    duration_ms: f64,
    bandwidth_kbps: f64,
    latency_ms: f64,
}

impl TryFrom<Raw> for Period {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let point =
            Point { duration_ms: raw.duration_ms, kbps: raw.bandwidth_kbps, latency_ms: raw.latency_ms };
        point.check(1).map_err(|invalid| invalid.to_string())?;
        Ok(Self(point))
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<Point>, BadLine> {
    let periods: Vec<Period> = serde_json::from_str(text).map_err(|error| {
        BadLine::new(
            error.line().max(1),
            format!("{error}; wanted [{{\"duration_ms\": ..., \"bandwidth_kbps\": ..., \"latency_ms\": ...}}, ...]"),
        )
    })?;
    Ok(periods.into_iter().map(|period| period.0).collect())
}

pub(super) fn write(trace: &Trace) -> String {
    let periods: Vec<String> = trace
        .points()
        .iter()
        .map(|point| {
            format!(
                "{{\"duration_ms\": {}, \"bandwidth_kbps\": {}, \"latency_ms\": {}}}",
                point.duration_ms, point.kbps, point.latency_ms
            )
        })
        .collect();
    format!("[{}]\n", periods.join(",\n "))
}
