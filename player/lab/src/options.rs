//! Values on the command line: rates, times, lists.

use std::time::Duration;

/// `800k`, `1.5M`, `1G` or plain bit/s, as kbit/s; above 0.
pub fn rate_kbps(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let body = lower.strip_suffix("bit/s").or_else(|| lower.strip_suffix("bps")).unwrap_or(&lower).trim_end();
    let (number, factor) = match body.chars().last() {
        Some('k') => (&body[..body.len() - 1], 1.0),
        Some('m') => (&body[..body.len() - 1], 1e3),
        Some('g') => (&body[..body.len() - 1], 1e6),
        _ => (body, 1e-3),
    };
    match number.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value * factor),
        _ => Err(format!("cannot read {text:?} as a rate; write for example 800k, 1.5M or 1500000")),
    }
}

/// `40ms`, `1.5s`, `2m` or plain seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    let (number, factor) = if let Some(number) = trimmed.strip_suffix("ms") {
        (number, 1e-3)
    } else if let Some(number) = trimmed.strip_suffix('s') {
        (number, 1.0)
    } else if let Some(number) = trimmed.strip_suffix('m') {
        (number, 60.0)
    } else {
        (trimmed, 1.0)
    };
    number
        .trim()
        .parse::<f64>()
        .ok()
        .and_then(|value| Duration::try_from_secs_f64(value * factor).ok())
        .ok_or_else(|| format!("cannot read {text:?} as a time; write for example 40ms, 1.5s or 2m"))
}

/// The one of `known` that `text` is most likely a slip of, if any comes close.
pub fn nearest<'a>(text: &str, known: &[&'a str]) -> Option<&'a str> {
    let text = text.get(..40).unwrap_or(text).to_ascii_lowercase();
    let of = |name: &str| if name.starts_with(&text) && text.len() > 2 { 1 } else { distance(&text, name) };
    let best = known.iter().map(|name| (of(name), *name)).min_by_key(|(distance, _)| *distance);
    best.filter(|(distance, name)| *distance <= 1 + name.len() / 4).map(|(_, name)| name)
}

/// Letters to put in, take out, change, or swap with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut least = (row[j] + 1).min(last[j + 1] + 1).min(last[j] + usize::from(a != b));
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_with_and_without_units() {
        assert_eq!(rate_kbps("1.5M"), Ok(1500.0));
        assert_eq!(rate_kbps("800k"), Ok(800.0));
        assert_eq!(rate_kbps("64000"), Ok(64.0));
        assert_eq!(rate_kbps("2 Mbit/s"), Ok(2000.0));
        for bad in ["", "k", "-1M", "0", "fast", "nan"] {
            assert!(rate_kbps(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_slip_is_told_from_a_stranger() {
        let known = ["weir", "bola-e", "dynamic-dash", "robust-mpc"];
        for (text, wanted) in [
            ("wier", Some("weir")),
            ("Weir", Some("weir")),
            ("bolae", Some("bola-e")),
            ("dynamic", Some("dynamic-dash")),
            ("robustmpc", Some("robust-mpc")),
            ("", None),
            ("pensieve", None),
        ] {
            assert_eq!(nearest(text, &known), wanted, "{text}");
        }
    }

    #[test]
    fn times_are_read_with_and_without_units() {
        assert_eq!(duration("40ms"), Ok(Duration::from_millis(40)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
        for bad in ["", "ms", "-1s", "soon", "nan"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
