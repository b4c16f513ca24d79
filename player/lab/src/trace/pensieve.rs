//! The "cooked" traces of Pensieve (Mao, Netravali, Alizadeh: "Neural adaptive video streaming with Pensieve", SIGCOMM 2017):
//! a time in seconds and a rate in Mbit/s a line. A rate holds from the line before until its own.

use super::{BadLine, Point, Trace};

/// Round-trip time that Pensieve's simulator adds to each request, in milliseconds.
const LATENCY_MS: f64 = 80.0;

pub(super) fn parse(text: &str) -> Result<Vec<Point>, BadLine> {
    let mut points = Vec::new();
    let mut last: Option<f64> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<f64> =
            line.split_whitespace().map(str::parse).collect::<Result<_, _>>().map_err(|_| {
                BadLine::new(at + 1, format!("{line:?} is not a time in s and a rate in Mbit/s (Pensieve)"))
            })?;
        let [time, mbps] = fields[..] else {
            return Err(BadLine::new(
                at + 1,
                format!("there are {} numbers; wanted 2: time and rate", fields.len()),
            ));
        };
        if !time.is_finite() || !mbps.is_finite() || mbps < 0.0 {
            return Err(BadLine::new(at + 1, "time and rate must be numbers, and the rate not below 0"));
        }
        if let Some(last) = last {
            if time <= last {
                return Err(BadLine::new(at + 1, format!("time {time} does not come after {last}")));
            }
            let point =
                Point { duration_ms: (time - last) * 1000.0, kbps: mbps * 1000.0, latency_ms: LATENCY_MS };
            point.check(points.len() + 1).map_err(|invalid| BadLine::new(at + 1, invalid.to_string()))?;
            points.push(point);
        }
        last = Some(time);
    }
    if points.is_empty() {
        return Err(BadLine::new(1, "a Pensieve trace needs two lines at least"));
    }
    Ok(points)
}

pub(super) fn write(trace: &Trace) -> String {
    let first = trace.points().first().map_or(0.0, |point| point.kbps);
    let mut out = format!("0\t{}\n", first / 1000.0);
    let mut time = 0.0;
    for point in trace.points() {
        time += point.duration_ms;
        out.push_str(&format!("{}\t{}\n", time / 1000.0, point.kbps / 1000.0));
    }
    out
}
