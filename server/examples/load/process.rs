//! What processes cost, from /proc.

use anyhow::Context as _;

/// Ticks a second in /proc (USER_HZ), the same on every machine that Linux runs on.
const TICKS: f64 = 100.0;

/// Processor time of all these processes so far, in seconds, and their resident memory in MB.
pub(crate) fn cost(ids: &[u32]) -> anyhow::Result<(f64, f64)> {
    let (mut seconds, mut megabytes) = (0.0, 0.0);
    for id in ids {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))
            .with_context(|| format!("reading what process {id} costs"))?;
        // Behind the name, which may hold spaces: state is field 3, user and system time 14 and 15 (proc(5)).
        let rest = stat.rsplit(')').next().context("its form")?;
        let ticks: u64 =
            rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        seconds += ticks as f64 / TICKS;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes: f64 =
            resident.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0.0);
        megabytes += kilobytes / 1024.0;
    }
    Ok((seconds, megabytes))
}

/// The value at a share of sorted values, 0.0 without any.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
