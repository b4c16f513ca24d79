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
    /// Latency, in this many milliseconds a unit.
    Latency(f64),
    Ignored,
}

/// By name and unit, however they are written: `time_s`, `Time [s]`, `Bandwidth (Mbit/s)`, `rtt ms` ...
fn column(name: &str) -> Column {
    let name = plain(name).replace("/s", "ps");
    // `MBps` are megabytes a second, `MBPS` only a way to write Mbps.
    let bits = if name.contains("Bps") || name.to_ascii_lowercase().contains("byte") { 8.0 } else { 1.0 };
    let name = name.to_ascii_lowercase().replace("bytes", "b").replace("byte", "b").replace("bits", "b");
    let name = name.replace("bit", "b");
    let words: Vec<&str> =
        name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let (what, unit) = match words[..] {
        ["bps" | "kbps" | "mbps" | "gbps"] => ("rate", words.first().copied()),
        [what] => (what, None),
        [what, unit] => (what, Some(unit)),
        _ => return Column::Ignored,
    };
    match (what, unit) {
        ("duration", Some("ms")) => Column::Duration(1.0),
        ("duration", None | Some("s" | "sec")) => Column::Duration(1000.0),
        ("time" | "t" | "timestamp", Some("ms")) => Column::Time(1.0),
        ("time" | "t" | "timestamp", None | Some("s" | "sec")) => Column::Time(1000.0),
        ("rate" | "bandwidth" | "throughput" | "bitrate" | "download", Some(unit)) => match unit {
            "bps" => Column::Rate(1e-3 * bits),
            "kbps" => Column::Rate(bits),
            "mbps" => Column::Rate(1e3 * bits),
            "gbps" => Column::Rate(1e6 * bits),
            _ => Column::Ignored,
        },
        ("latency" | "rtt" | "delay" | "ping", None | Some("ms")) => Column::Latency(1.0),
        ("latency" | "rtt" | "delay" | "ping", Some("s" | "sec")) => Column::Latency(1000.0),
        _ => Column::Ignored,
    }
}

/// A cell without blanks and quotes around it.
fn plain(cell: &str) -> &str {
    cell.trim().trim_matches('"').trim()
}

/// What stands between the cells of a table with this head.
fn separator(head: &str) -> fn(char) -> bool {
    if head.contains('\t') {
        |c| c == '\t'
    } else if head.contains(';') {
        |c| c == ';'
    } else if head.contains(',') {
        |c| c == ','
    } else {
        char::is_whitespace
    }
}

fn columns(head: &str) -> Vec<Column> {
    head.split(separator(head)).map(column).collect()
}

/// The line names columns, whatever stands between them.
pub(super) fn is_head(line: &str) -> bool {
    columns(line).iter().any(|column| *column != Column::Ignored)
}

pub(super) fn parse(text: &str) -> Result<Vec<Point>, BadLine> {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let (head_line, head) = lines.next().ok_or_else(|| BadLine::new(1, "the table is empty"))?;
    let separator = separator(head);
    let columns = columns(head);
    let time_at = columns.iter().find(|c| matches!(c, Column::Duration(_) | Column::Time(_)));
    let has_rate = columns.iter().any(|c| matches!(c, Column::Rate(_)));
    let (Some(time_at), true) = (time_at.copied(), has_rate) else {
        let wanted = "a time column (duration_ms, duration_s, time_ms or time_s) and a rate column (bps, kbps or mbps)";
        let numbers = head.split(separator).all(|cell| plain(cell).parse::<f64>().is_ok());
        return Err(BadLine::new(
            head_line,
            if numbers {
                format!("there is no head that says what the numbers are; put one above them, with {wanted}")
            } else {
                format!("the head needs {wanted}")
            },
        ));
    };
    // Points, and when each begins where the table says that instead of durations.
    let mut points: Vec<Point> = Vec::new();
    let mut last_start: Option<f64> = None;
    for (line, row) in lines {
        let mut point = Point { duration_ms: 0.0, kbps: 0.0, latency_ms: 0.0 };
        let mut start = None;
        let cells: Vec<&str> = row.split(separator).collect();
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
            let cell = plain(cell);
            // Where commas are not between the cells, one may stand for the decimal point.
            let value: f64 = match cell.split_once(',') {
                Some((whole, part)) if !separator(',') => format!("{whole}.{part}").parse(),
                _ => cell.parse(),
            }
            .map_err(|_| BadLine::new(line, format!("{cell:?} is not a number")))?;
            if !value.is_finite() || (value < 0.0 && !matches!(column, Column::Time(_))) {
                return Err(BadLine::new(line, format!("{cell} must be a number not below 0")));
            }
            match column {
                Column::Duration(unit) => point.duration_ms = value * unit,
                Column::Time(unit) => start = Some(value * unit),
                Column::Rate(unit) => point.kbps = value * unit,
                Column::Latency(unit) => point.latency_ms = value * unit,
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
        // How long a row lasts, the next one may say.
        let known =
            Point { duration_ms: if point.duration_ms > 0.0 { point.duration_ms } else { 1.0 }, ..point };
        known.check(points.len() + 1).map_err(|invalid| BadLine::new(line, invalid.to_string()))?;
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
