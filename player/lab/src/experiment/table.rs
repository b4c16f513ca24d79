//! Results by set, buffer and algorithm.

use std::fmt::Write as _;

use super::{Interval, Row, bootstrap_mean, mean, percentile};
use crate::figures::Figures;

/// The sessions of one algorithm on one set with one buffer.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// Set of traces.
    pub set: &'a str,
    /// Largest buffer in seconds.
    pub buffer_s: f64,
    /// Controller.
    pub algorithm: &'a str,
    /// Its sessions.
    pub rows: Vec<&'a Row>,
}

impl Group<'_> {
    /// All values of one figure.
    pub fn values(&self, figure: impl Fn(&Figures) -> f64) -> Vec<f64> {
        self.rows.iter().map(|row| figure(&row.figures)).collect()
    }

    /// Mean of one figure with its confidence interval.
    pub fn interval(&self, figure: impl Fn(&Figures) -> f64) -> Interval {
        bootstrap_mean(&self.values(figure), 1)
    }

    /// Mean of one figure.
    pub fn mean(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        mean(&self.values(figure))
    }

    /// Median of one figure.
    pub fn median(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        percentile(&self.values(figure), 0.5)
    }
}

/// Groups rows, in order of first appearance of set and buffer, then algorithm.
pub fn groups(rows: &[Row]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for row in rows {
        let found = groups.iter_mut().find(|group| {
            group.set == row.set && group.buffer_s == row.buffer_s && group.algorithm == row.algorithm
        });
        match found {
            Some(group) => group.rows.push(row),
            None => groups.push(Group {
                set: &row.set,
                buffer_s: row.buffer_s,
                algorithm: &row.algorithm,
                rows: vec![row],
            }),
        }
    }
    groups
}

/// The table as text for a terminal.
pub fn plain(rows: &[Row]) -> String {
    let groups = groups(rows);
    let mut out = String::new();
    let mut last = None;
    let width = groups.iter().map(|group| group.algorithm.len()).max().unwrap_or(0).max(9);
    for group in &groups {
        let here = (group.set, group.buffer_s.to_bits());
        if last != Some(here) {
            let _ =
                write!(out, "\n{}, buffer {} s, {} traces\n", group.set, group.buffer_s, group.rows.len());
            let _ = writeln!(
                out,
                "{:width$}  {:>6} {:>15}  {:>7} {:>7} {:>7}  {:>7} {:>7} {:>7} {:>6} {:>6} {:>6} {:>6}",
                "algorithm",
                "QoE_S",
                "95 %",
                "Yin",
                "log",
                "Sabre",
                "kbit/s",
                "stall%",
                "median",
                "switch",
                "start",
                "low%",
                "waste%",
            );
            last = Some(here);
        }
        let qoe = group.interval(|f| f.qoe_s);
        let _ = writeln!(
            out,
            "{:width$}  {:6.3} {:>15}  {:7.3} {:7.3} {:7.3}  {:7.0} {:7.3} {:7.3} {:6.3} {:6.2} {:6.1} {:6.2}",
            group.algorithm,
            qoe.mean,
            format!("[{:.3}, {:.3}]", qoe.low, qoe.high),
            group.mean(|f| f.qoe_lin),
            group.mean(|f| f.qoe_log),
            group.mean(|f| f.score),
            group.mean(|f| f.kbps),
            group.mean(|f| f.rebuffer_ratio * 100.0),
            group.median(|f| f.rebuffer_ratio * 100.0),
            group.mean(|f| f.switch_rate),
            group.mean(|f| f.startup_s),
            group.mean(|f| f.lowest_share * 100.0),
            group.mean(|f| (f.aborted_share + f.replaced_share) * 100.0),
        );
    }
    out
}
