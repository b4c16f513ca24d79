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
