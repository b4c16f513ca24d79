//! What the process itself costs and answers, for Prometheus.

use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;

/// Ticks a second in /proc (USER_HZ), the same on every machine that Linux runs on.
const TICKS: f64 = 100.0;

/// Answers by the first digit of their status.
#[derive(Debug, Default)]
pub struct Answers([AtomicU64; 4]);

impl Answers {
    /// Counts one.
    pub fn count(&self, status: StatusCode) {
        let at = usize::from(status.as_u16() / 100).checked_sub(2);
        if let Some(count) = at.and_then(|at| self.0.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes the family.
    pub(super) fn write(&self, text: &mut String) {
        text.push_str("# HELP weir_http_answers_total Answers to HTTP requests by class of status.\n");
        text.push_str("# TYPE weir_http_answers_total counter\n");
        for (count, class) in self.0.iter().zip(["2xx", "3xx", "4xx", "5xx"]) {
            let count = count.load(Ordering::Relaxed);
            let _ = writeln!(text, "weir_http_answers_total{{class=\"{class}\"}} {count}");
        }
    }
}

/// Writes version, processor time, memory and descriptors; what the system does not tell is left out.
pub(super) fn process(text: &mut String) {
    let mut family = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
    };
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).and_then(number);
    family(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory of the server, without its encoders.",
        kilobytes.map(|kb| kb * 1024.0),
    );
    let files = fs::read_dir("/proc/self/fd").ok().map(|list| list.count() as f64);
    family("process_open_fds", "gauge", "Open file descriptors.", files);
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold spaces: state is field 3, user and system time 14 and 15 (proc(5)).
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    let seconds = ticks(11).zip(ticks(12)).map(|(user, system)| (user + system) / TICKS);
    family(
        "process_cpu_seconds_total",
        "counter",
        "Processor time of the server, without its encoders.",
        seconds,
    );
    text.push_str("# HELP weir_build_info The server's version.\n# TYPE weir_build_info gauge\n");
    let _ = writeln!(text, "weir_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
}

fn number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_class() {
        let answers = Answers::default();
        for status in [200, 206, 304, 404, 503, 101] {
            answers.count(StatusCode::from_u16(status).unwrap());
        }
        let mut text = String::new();
        answers.write(&mut text);
        for line in ["{class=\"2xx\"} 2", "{class=\"3xx\"} 1", "{class=\"4xx\"} 1", "{class=\"5xx\"} 1"] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_process_tells_what_it_costs() {
        let mut text = String::new();
        process(&mut text);
        let value = |name: &str| {
            let line =
                text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}\n{text}"));
            number(line.split_once(' ').unwrap().1).unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 1e6 && value("process_open_fds ") > 2.0);
        assert!(value("process_cpu_seconds_total ") >= 0.0 && text.contains("weir_build_info{version="));
    }
}
