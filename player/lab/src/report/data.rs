//! What the page shows, as data.

use serde::Serialize;

use super::Timeline;
use crate::{
    experiment::{Group, ORACLE, Row, bootstrap_mean, groups, percentile},
    figures::Figures,
};

/// Everything on the page.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    title: String,
    /// How it was made, a line each.
    about: Vec<String>,
    columns: Vec<Column>,
    groups: Vec<Summary<'a>>,
    timelines: Vec<Timeline>,
}

/// A figure of the table.
#[derive(Debug, Serialize)]
struct Column {
    key: &'static str,
    name: &'static str,
    unit: &'static str,
    digits: u8,
    /// Higher is better.
    up: bool,
    help: &'static str,
}

/// One algorithm on one set with one buffer.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    set: &'a str,
    buffer_s: f64,
    algorithm: &'a str,
    /// Share of the oracle's QoE_S.
    of_best: Option<f64>,
    figures: Vec<Cell>,
}

/// One figure of a group: mean, 95 % interval, percentiles 5, 50 and 95, and every value in order of size.
#[derive(Debug, Serialize)]
struct Cell {
    mean: f64,
    low: f64,
    high: f64,
    p5: f64,
    p50: f64,
    p95: f64,
    values: Vec<f64>,
}

type Get = fn(&Figures) -> f64;

/// The columns, in the table's order.
const COLUMNS: &[(Column, Get)] = &[
    (col("qoe_s", "QoE_S", "", 3, true, "mean utility - 10 x rebuffer ratio - switch rate"), |f| f.qoe_s),
    (
        col("qoe_lin", "Yin linear", "Mbit/s", 3, true, "mean bitrate - change - top x stall, a segment"),
        |f| f.qoe_lin,
    ),
    (col("qoe_log", "log", "", 3, true, "mean ln utility - change - top x stall, a segment"), |f| f.qoe_log),
    (col("score", "Sabre", "", 3, true, "mean ln utility less 5 x stall, over time"), |f| f.score),
    (col("kbps", "bitrate", "kbit/s", 0, true, "mean nominal bitrate played"), |f| f.kbps),
    (col("utility", "utility", "ln", 3, true, "mean ln(rate / lowest)"), |f| f.utility),
    (col("rebuffer", "stalled", "%", 3, false, "stall / (stall + played)"), |f| f.rebuffer_ratio * 100.0),
    (col("stalls", "stalls", "", 2, false, "times without pictures after the first"), |f| {
        f64::from(f.stalls)
    }),
    (col("max_stall", "longest", "s", 2, false, "longest stall"), |f| f.max_stall_s),
    (col("switch", "switches", "a segment", 3, false, "changes of rung a segment"), |f| f.switch_rate),
    (col("change", "change", "kbit/s", 0, false, "mean change of bitrate a segment"), |f| f.change_kbps),
    (col("startup", "start-up", "s", 2, false, "until the first picture"), |f| f.startup_s),
    (col("rampup", "ramp-up", "s", 1, false, "until the sustainable rung is on screen"), |f| f.rampup_s),
    (col("lowest", "lowest", "%", 1, false, "time at the lowest rung"), |f| f.lowest_share * 100.0),
    (col("waste", "wasted", "%", 2, false, "bytes given up or replaced"), |f| {
        (f.aborted_share + f.replaced_share) * 100.0
    }),
    (col("bias", "bias", "%", 1, false, "mean error of the throughput estimate"), |f| {
        f.estimate_bias * 100.0
    }),
    (col("mape", "MAPE", "%", 1, false, "mean absolute error of the estimate"), |f| f.estimate_mape * 100.0),
];

const fn col(
    key: &'static str,
    name: &'static str,
    unit: &'static str,
    digits: u8,
    up: bool,
    help: &'static str,
) -> Column {
    Column { key, name, unit, digits, up, help }
}

impl Cell {
    fn new(mut values: Vec<f64>) -> Self {
        let interval = bootstrap_mean(&values, 1);
        values.sort_by(f64::total_cmp);
        let short = |value: f64| (value * 1e5).round() / 1e5;
        Self {
            mean: short(interval.mean),
            low: short(interval.low),
            high: short(interval.high),
            p5: short(percentile(&values, 0.05)),
            p50: short(percentile(&values, 0.5)),
            p95: short(percentile(&values, 0.95)),
            values: values.into_iter().map(short).collect(),
        }
    }
}

impl<'a> Report<'a> {
    /// Adds results up.
    pub fn new(title: String, about: Vec<String>, rows: &'a [Row], timelines: Vec<Timeline>) -> Self {
        let groups = groups(rows);
        let best = |group: &Group<'_>| {
            groups
                .iter()
                .find(|other| {
                    other.algorithm == ORACLE && other.set == group.set && other.buffer_s == group.buffer_s
                })
                .map(|best| best.mean(|f| f.qoe_s))
        };
        let summaries = groups
            .iter()
            .map(|group| Summary {
                set: group.set,
                buffer_s: group.buffer_s,
                algorithm: group.algorithm,
                of_best: best(group).filter(|best| *best > 0.0).map(|best| group.mean(|f| f.qoe_s) / best),
                figures: COLUMNS.iter().map(|(_, get)| Cell::new(group.values(get))).collect(),
            })
            .collect();
        let columns = COLUMNS
            .iter()
            .map(|(column, _)| {
                col(column.key, column.name, column.unit, column.digits, column.up, column.help)
            })
            .collect();
        Self { title, about, columns, groups: summaries, timelines }
    }
}
