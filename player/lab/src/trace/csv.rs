//! Tables: a head that names the columns, then one row a point.

use super::{BadLine, Point, Trace};

/// How a column is read.
#[derive(Clone, Copy, PartialEq)]
enum Column {
    /// Length of the row, in this many milliseconds a unit.
    Duration(f64),
    /// When the row begins, in this many milliseconds a unit.
    Time(f64),
    /// Rate, in this many kbit/s a unit.
    Rate(f64),
    Latency,
    Ignored,
}

fn column(name: &str) -> Column {
    match name.trim().trim_matches('"').to_ascii_lowercase().as_str() {
        "duration_ms" => Column::Duration(1.0),
        "duration_s" | "duration" => Column::Duration(1000.0),
        "time_ms" | "t_ms" | "timestamp_ms" => Column::Time(1.0),
        "time_s" | "t_s" | "time" | "timestamp" => Column::Time(1000.0),
        "bps" => Column::Rate(1e-3),
        "kbps" | "bandwidth_kbps" | "throughput_kbps" => Column::Rate(1.0),
        "mbps" | "bandwidth_mbps" | "throughput_mbps" => Column::Rate(1000.0),
        "latency_ms" | "rtt_ms" | "delay_ms" => Column::Latency,
        _ => Column::Ignored,
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<Point>, BadLine> {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let (head_line, head) = lines.next().ok_or_else(|| BadLine::new(1, "the table is empty"))?;
    let columns: Vec<Column> = head.split(',').map(column).collect();
    let time_at = columns.iter().find(|c| matches!(c, Column::Duration(_) | Column::Time(_)));
    let has_rate = columns.iter().any(|c| matches!(c, Column::Rate(_)));
    let (Some(time_at), true) = (time_at.copied(), has_rate) else {
        return Err(BadLine::new(
            head_line,
            "the head needs a time column (duration_ms, duration_s, time_ms or time_s) and a rate column (bps, kbps or mbps)",
        ));
    };
    // Points, and when each begins where the table says that instead of durations.
    let mut points: Vec<Point> = Vec::new();
    let mut last_start: Option<f64> = None;
    for (line, row) in lines {
        let mut point = Point { duration_ms: 0.0, kbps: 0.0, latency_ms: 0.0 };
        let mut start = None;
        let cells: Vec<&str> = row.split(',').collect();
        if cells.len() < columns.len() {
            return Err(BadLine::new(
                line,
                format!("there are {} cells; wanted {}", cells.len(), columns.len()),
            ));
        }
        for (column, cell) in columns.iter().zip(cells) {
            if *column == Column::Ignored {
                continue;
            }
            let cell = cell.trim();
            let value: f64 =
                cell.parse().map_err(|_| BadLine::new(line, format!("{cell:?} is not a number")))?;
            if !value.is_finite() || (value < 0.0 && !matches!(column, Column::Time(_))) {
                return Err(BadLine::new(line, format!("{cell} must be a number not below 0")));
            }
            match column {
                Column::Duration(unit) => point.duration_ms = value * unit,
                Column::Time(unit) => start = Some(value * unit),
                Column::Rate(unit) => point.kbps = value * unit,
                Column::Latency => point.latency_ms = value,
                Column::Ignored => {}
            }
        }
        if matches!(time_at, Column::Duration(_)) {
            if point.duration_ms <= 0.0 {
                return Err(BadLine::new(line, "the duration must be above 0"));
            }
        } else if let Some(start) = start {
            if let (Some(last), Some(before)) = (last_start, points.last_mut()) {
                if start <= last {
                    return Err(BadLine::new(line, format!("time {start} ms does not come after {last} ms")));
                }
                before.duration_ms = start - last;
            }
            last_start = Some(start);
        }
        points.push(point);
    }
    if matches!(time_at, Column::Time(_)) {
        // Nobody says how long the last row lasts: as long as the one before it.
        let before =
            points.len().checked_sub(2).and_then(|at| points.get(at)).map_or(1000.0, |p| p.duration_ms);
        if let Some(last) = points.last_mut() {
            last.duration_ms = before;
        }
    }
    Ok(points)
}

pub(super) fn write(trace: &Trace) -> String {
    let mut out = "duration_ms,kbps,latency_ms\n".to_owned();
    for point in trace.points() {
        out.push_str(&format!("{},{},{}\n", point.duration_ms, point.kbps, point.latency_ms));
    }
    out
}
