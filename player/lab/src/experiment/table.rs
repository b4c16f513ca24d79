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
    if count_sets(&groups) > 1 {
        out.push_str(&overall(&groups, width));
    }
    let broken: Vec<&Row> = rows.iter().filter(|row| !row.figures.finished).collect();
    if let Some(first) = broken.first() {
        let _ = writeln!(
            out,
            "\n{} of {} sessions did not get to the end (`finished` in the results), so their figures say little; the \
             first: {} on {}, trace {:?}.",
            broken.len(),
            rows.len(),
            first.algorithm,
            first.set,
            first.trace,
        );
    }
    out
}

fn count_sets(groups: &[Group<'_>]) -> usize {
    let mut sets: Vec<_> = groups.iter().map(|group| (group.set, group.buffer_s.to_bits())).collect();
    sets.dedup();
    sets.len()
}

/// Means over sets (each counts the same), and how each algorithm stands against BOLA-E and the oracle.
fn overall(groups: &[Group<'_>], width: usize) -> String {
    let mut names: Vec<&str> = Vec::new();
    for group in groups {
        if !names.contains(&group.algorithm) {
            names.push(group.algorithm);
        }
    }
    let find = |name: &str, like: &Group<'_>| {
        groups
            .iter()
            .find(|other| other.algorithm == name && other.set == like.set && other.buffer_s == like.buffer_s)
    };
    let mut out = String::from(
        "\nMeans over sets. Above: sets with a higher mean than bola-e. Gap: share of the way from bola-e to the oracle (QoE_S).\n",
    );
    let _ = writeln!(
        out,
        "{:width$}  {:>6} {:>7} {:>7} {:>7}  {:>7} {:>7}  {:>11} {:>9} {:>10} {:>6} {:>6}",
        "algorithm",
        "QoE_S",
        "Yin",
        "log",
        "Sabre",
        "stall%",
        "switch",
        "above QoE_S",
        "above Yin",
        "stall<=",
        "best%",
        "gap%"
    );
    for name in names {
        let own: Vec<&Group<'_>> = groups.iter().filter(|group| group.algorithm == name).collect();
        let over =
            |figure: &dyn Fn(&Figures) -> f64| mean(&own.iter().map(|g| g.mean(figure)).collect::<Vec<_>>());
        let against = |better: &dyn Fn(&Group<'_>, &Group<'_>) -> bool| {
            let pairs: Vec<bool> =
                own.iter().filter_map(|group| Some(better(group, find("bola-e", group)?))).collect();
            if pairs.is_empty() || name == "bola-e" {
                "-".to_owned()
            } else {
                format!("{}/{}", pairs.iter().filter(|won| **won).count(), pairs.len())
            }
        };
        // Best and gap as means over the sets for which there is an oracle.
        let shares: Vec<(f64, f64)> = own
            .iter()
            .filter_map(|group| {
                let value = group.mean(|f| f.qoe_s);
                let best = find(super::ORACLE, group)?.mean(|f| f.qoe_s);
                let base = find("bola-e", group)?.mean(|f| f.qoe_s);
                Some((value / best, (value - base) / (best - base)))
            })
            .collect();
        let share = |pick: &dyn Fn(&(f64, f64)) -> f64| {
            if shares.is_empty() {
                "-".to_owned()
            } else {
                format!("{:.1}", mean(&shares.iter().map(pick).collect::<Vec<_>>()) * 100.0)
            }
        };
        let _ = writeln!(
            out,
            "{name:width$}  {:6.3} {:7.3} {:7.3} {:7.3}  {:7.3} {:7.3}  {:>11} {:>9} {:>10} {:>6} {:>6}",
            over(&|f| f.qoe_s),
            over(&|f| f.qoe_lin),
            over(&|f| f.qoe_log),
            over(&|f| f.score),
            over(&|f| f.rebuffer_ratio * 100.0),
            over(&|f| f.switch_rate),
            against(&|a, b| a.mean(|f| f.qoe_s) > b.mean(|f| f.qoe_s)),
            against(&|a, b| a.mean(|f| f.qoe_lin) > b.mean(|f| f.qoe_lin)),
            against(&|a, b| a.mean(|f| f.rebuffer_ratio) <= b.mean(|f| f.rebuffer_ratio)),
            share(&|pair| pair.0),
            share(&|pair| pair.1),
        );
    }
    out
}
