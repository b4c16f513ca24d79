//! Numbers and dates as playlists and manifests write them.

/// `ticks / timescale` as a decimal, exact where one of nine digits exists, rounded to them otherwise, without
/// passing through floating point.
pub fn decimal(ticks: u64, timescale: u64) -> String {
    const NANO: u128 = 1_000_000_000;
    let timescale = u128::from(timescale.max(1));
    let nanos = (u128::from(ticks) * NANO + timescale / 2) / timescale;
    let fraction = format!("{:09}", nanos % NANO);
    let fraction = fraction.trim_end_matches('0');
    let whole = nanos / NANO;
    if fraction.is_empty() { format!("{whole}.0") } else { format!("{whole}.{fraction}") }
}

/// `xs:dateTime` in UTC with milliseconds.
pub fn date_time(unix_ms: u64) -> String {
    let (days, in_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        in_day / 3_600_000,
        in_day / 60_000 % 60,
        in_day / 1000 % 60,
        in_day % 1000
    )
}

/// Days since 1970-01-01 as a date of the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    let leap = |y: u64| (y.is_multiple_of(4) && !y.is_multiple_of(100)) || y.is_multiple_of(400);
    // Whole cycles of 400 years first, so that the loops below stay short.
    let (mut year, mut left) = (1970 + days / 146_097 * 400, days % 146_097);
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let rows = [
            (360_000, 90_000, "4.0"),
            (360_360, 90_000, "4.004"),
            (192_512, 48_000, "4.010666667"),
            (1, 3, "0.333333333"),
            (2, 3, "0.666666667"),
            (u64::MAX, 1, "18446744073709551615.0"),
            (5, 0, "5.0"),
        ];
        for (ticks, timescale, text) in rows {
            assert_eq!(decimal(ticks, timescale), text);
        }
    }

    #[test]
    fn dates_follow_the_calendar() {
        let rows = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_772_323_199_999, "2026-02-28T23:59:59.999Z"),
            (1_772_323_200_000, "2026-03-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (ms, text) in rows {
            assert_eq!(date_time(ms), text);
        }
    }
}
