//! Times as manifests write them, read exactly.

use std::time::Duration;

/// Longest time that is believed: a bit over three hundred years. Sums of such times still fit.
pub(crate) const LONGEST: Duration = Duration::from_secs(10_000_000_000);

/// Seconds as a decimal number, exact to the nanosecond; `None` when it is no number, negative or too large.
pub(crate) fn decimal_seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        // Exponents are not allowed in playlists but do occur.
        let seconds: f64 = text.parse().ok()?;
        return Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= LONGEST);
    }
    let seconds: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = 0_u32;
    for index in 0..9 {
        let digit = fraction.as_bytes().get(index).map_or(0, |b| u32::from(b - b'0'));
        nanos = nanos * 10 + digit;
    }
    Some(Duration::new(seconds, nanos)).filter(|time| *time <= LONGEST)
}

/// `ticks` of 1/`timescale` seconds, rounded to the nanosecond; capped at [`LONGEST`].
pub(crate) fn ticks(ticks: u128, timescale: u64) -> Duration {
    let nanos = ticks.saturating_mul(1_000_000_000) / u128::from(timescale.max(1));
    u64::try_from(nanos / 1_000_000_000)
        .ok()
        .map_or(LONGEST, |seconds| Duration::new(seconds, (nanos % 1_000_000_000) as u32))
        .min(LONGEST)
}

/// `xs:duration` (ISO 8601: `PT1H2M3.5S`, `P1DT12H`), a year counted as 365 days and a month as 30.
pub(crate) fn xs_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text).strip_prefix('P')?;
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let mut sum = Duration::ZERO;
    for (part, units) in [
        (date, &[('Y', 31_536_000_u32), ('M', 2_592_000), ('W', 604_800), ('D', 86_400)][..]),
        (time, &[('H', 3600), ('M', 60), ('S', 1)][..]),
    ] {
        let mut rest = part;
        while !rest.is_empty() {
            let at = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let (number, unit) = rest.split_at(at);
            let letter = unit.chars().next()?;
            let scale = units.iter().find(|(name, _)| *name == letter)?.1;
            sum = sum.saturating_add(decimal_seconds(number)?.checked_mul(scale)?);
            rest = unit.get(1..)?;
        }
    }
    Some(sum.min(LONGEST))
}

/// `xs:dateTime` in seconds since the Unix epoch; without a zone it is taken as UTC.
pub(crate) fn xs_date_time(text: &str) -> Option<f64> {
    let (date, time) = text.trim().split_once(['T', ' '])?;
    let mut fields = date.split('-');
    let year: i64 = fields.next()?.parse().ok()?;
    let month: i64 = fields.next()?.parse().ok()?;
    let day: i64 = fields.next()?.parse().ok()?;
    if fields.next().is_some()
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || !(0..=9999).contains(&year)
    {
        return None;
    }
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone_at);
    let mut clock = clock.split(':');
    let hour: u32 = clock.next()?.parse().ok()?;
    let minute: u32 = clock.next()?.parse().ok()?;
    let second = decimal_seconds(clock.next().unwrap_or("0"))?.as_secs_f64();
    if hour > 24 || minute > 59 || second >= 61.0 || clock.next().is_some() {
        return None;
    }
    let offset = match zone {
        "" | "Z" | "z" => 0,
        zone => {
            let (sign, rest) = zone.split_at(1);
            let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
            let hours: i64 = digits.get(0..2)?.parse().ok()?;
            let minutes: i64 = digits.get(2..4).unwrap_or("0").parse().ok()?;
            (hours * 60 + minutes) * if sign == "-" { -60 } else { 60 }
        }
    };
    // Days since the epoch in the proleptic Gregorian calendar, with March as the year's first month.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * m + 2) / 5 + day - 1;
    let days = era * 146_097 + day_of_era - 719_468;
    Some((days * 86_400 + i64::from(hour) * 3600 + i64::from(minute) * 60 - offset) as f64 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact() {
        for (text, nanos) in
            [("3.003", 3_003_000_000), ("9", 9_000_000_000), (" .5 ", 500_000_000), ("4.", 4_000_000_000)]
        {
            assert_eq!(decimal_seconds(text), Some(Duration::from_nanos(nanos)), "{text:?}");
        }
        assert_eq!(decimal_seconds("1e1"), Some(Duration::from_secs(10)));
        for text in ["", ".", "-1", "NaN", "inf", "abc", "99999999999999", "1,5"] {
            assert_eq!(decimal_seconds(text), None, "{text:?}");
        }
        let drift = (0..2400).map(|_| decimal_seconds("3.003").unwrap()).sum::<Duration>();
        assert_eq!(drift, Duration::from_millis(7_207_200));
    }

    #[test]
    fn reads_iso_8601() {
        assert_eq!(xs_duration("PT1H2M3.5S"), Some(Duration::from_millis(3_723_500)));
        assert_eq!(xs_duration("P1DT12H"), Some(Duration::from_secs(129_600)));
        assert_eq!(xs_duration("PT0S"), Some(Duration::ZERO));
        for text in ["", "P", "PT", "1S", "PT1X", "PTS", "-PT1S", "PT1"] {
            assert_eq!(xs_duration(text), None, "{text:?}");
        }
        assert_eq!(xs_date_time("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(xs_date_time("2026-11-22T18:56:19.25Z"), Some(1_795_373_779.25));
        assert_eq!(xs_date_time("2026-11-22T19:56:19+01:00"), Some(1_795_373_779.0));
        assert_eq!(xs_date_time("2026-11-22T18:56:19"), Some(1_795_373_779.0));
        for text in ["", "2026-13-01T00:00:00Z", "2026-01-01", "x", "2026-01-01T99:00:00Z"] {
            assert_eq!(xs_date_time(text), None, "{text:?}");
        }
    }

    #[test]
    fn ticks_never_overflow() {
        assert_eq!(ticks(90_000 * 10, 90_000), Duration::from_secs(10));
        assert_eq!(ticks(u128::MAX, 1), LONGEST);
        assert_eq!(ticks(1, 0), Duration::from_secs(1));
    }
}
