//! Times, bitrates and counts as people read and write them.

use std::time::Duration;

use weir_abr::Bitrate;

/// "0:07", "12:34", "1:02:03". Parts of a second are cut off, as clocks do.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A time on a bar of this length: with hours when the bar has some, so that the width never jumps.
pub fn clock_like(time: Duration, longest: Duration) -> String {
    let text = clock(time);
    if longest.as_secs() >= 3600 && time.as_secs() < 3600 {
        format!("0:{text:0>5}")
    } else if longest.as_secs() >= 600 && time.as_secs() < 600 {
        format!("0{text}")
    } else {
        text
    }
}

/// A short span: "320 ms", "4.2 s", "1:05".
pub fn span(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 60.0 => format!("{s:.1} s"),
        _ => clock(time),
    }
}

/// "2.8 Mbit/s", "750 kbit/s": one digit is enough to choose by.
pub fn bitrate(rate: Bitrate) -> String {
    if rate.bps() >= 1_000_000 {
        format!("{:.1} Mbit/s", rate.bps() as f64 / 1e6)
    } else {
        format!("{:.0} kbit/s", rate.kbps())
    }
}

/// A share in percent with as many digits as it needs: "0.2 %", "12 %".
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".to_owned();
    }
    match part as f64 * 100.0 / whole as f64 {
        0.0 => "0 %".to_owned(),
        p if p < 0.1 => "< 0.1 %".to_owned(),
        p if p < 10.0 => format!("{p:.1} %"),
        p => format!("{p:.0} %"),
    }
}

/// The rate menu's name of a playback rate: "1×", "1.25×".
pub fn rate(rate: f64) -> String {
    let text = format!("{rate:.2}");
    format!("{}×", text.trim_end_matches('0').trim_end_matches('.'))
}

/// "1 viewer", "3 viewers".
pub fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// As a sentence: a capital first, a full stop last.
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut rest = text.chars();
    let Some(first) = rest.next() else { return String::new() };
    // An address is not written with a capital.
    if text.split(' ').next().is_some_and(|word| word.contains("://")) {
        return format!("{text}{}", if text.ends_with('.') { "" } else { "." });
    }
    let stop = if text.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    format!("{}{}{stop}", first.to_uppercase(), rest.as_str())
}

/// What the page of a failure is headed with, by the failure's code (docs/events.md).
pub fn headline(code: &str) -> &'static str {
    match code {
        "server_unknown" => "There is no server of this name",
        "server_unreachable" => "The server cannot be reached",
        "server_silent" | "connection_lost" | "body_truncated" | "playlist_lost" => {
            "The connection to the stream was lost"
        }
        "tls_failed" => "The connection is not secure",
        "manifest_status" | "playlist_status" | "http_status" => "The server does not give out this stream",
        "manifest_invalid" => "This is not a stream",
        "nothing_to_play" => "There is nothing to play in this stream",
        "codec_unplayable" | "element_missing" => "This computer cannot decode the stream",
        "drm_protected" => "This stream is protected",
        "file_unreadable" => "The file cannot be read",
        _ => "This stream cannot be played",
    }
}

/// Reads "90", "1:30", "1:02:03.5".
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time: write seconds (90), or 1:30, or 1:02:03");
    let parts: Vec<&str> = text.trim().split(':').collect();
    if parts.len() > 3 {
        return Err(wrong());
    }
    let mut seconds = 0.0;
    for (place, part) in parts.iter().enumerate() {
        let value: f64 = part.parse().map_err(|_| wrong())?;
        // Behind a colon stand minutes or seconds.
        if !value.is_finite() || value < 0.0 || (place > 0 && value >= 60.0) {
            return Err(wrong());
        }
        seconds = seconds * 60.0 + value;
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// Reads "3M", "750k", "1.5 Mbit/s", "2000000".
pub fn parse_bitrate(text: &str) -> Result<Bitrate, String> {
    let wrong = || format!("{text:?} is not a bitrate: write 3M, 750k or bits per second");
    let plain = text.trim().trim_end_matches("bit/s").trim_end_matches("bps").trim_end();
    let (number, scale) = match plain.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&plain[..at], 1e3),
        Some((at, 'm' | 'M')) => (&plain[..at], 1e6),
        Some((at, 'g' | 'G')) => (&plain[..at], 1e9),
        _ => (plain, 1.0),
    };
    let bps = number.trim_end().parse::<f64>().map_err(|_| wrong())? * scale;
    if !(1.0..=1e12).contains(&bps) {
        return Err(wrong());
    }
    Ok(Bitrate::from_bps(bps.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn clock_shows_hours_only_when_there_are_some() {
        assert_eq!(clock(s(7)), "0:07");
        assert_eq!(clock(s(754)), "12:34");
        assert_eq!(clock(s(3723)), "1:02:03");
        assert_eq!(clock(Duration::from_millis(59_999)), "0:59");
    }

    #[test]
    fn a_clock_keeps_its_width_over_the_whole_bar() {
        for (longest, width) in [(59, 4), (599, 4), (3599, 5), (3600, 7), (35_999, 7)] {
            for time in [0, 9, 59, longest / 2, longest] {
                let text = clock_like(s(time), s(longest));
                assert_eq!(text.len(), width, "{text} of {longest}");
            }
        }
    }

    #[test]
    fn spans_choose_a_unit_that_reads_well() {
        assert_eq!(span(Duration::from_millis(320)), "320 ms");
        assert_eq!(span(Duration::from_millis(4_240)), "4.2 s");
        assert_eq!(span(s(65)), "1:05");
    }

    #[test]
    fn percentages_never_hide_a_small_share() {
        assert_eq!(percent(0, 0), "0 %");
        assert_eq!(percent(0, 10), "0 %");
        assert_eq!(percent(1, 10_000), "< 0.1 %");
        assert_eq!(percent(1, 400), "0.2 %");
        assert_eq!(percent(1, 3), "33 %");
    }

    #[test]
    fn messages_become_sentences() {
        assert_eq!(sentence("loading the list: no answer"), "Loading the list: no answer.");
        assert_eq!(sentence("Done."), "Done.");
        assert_eq!(sentence(" "), "");
    }

    #[test]
    fn rates_drop_trailing_zeros() {
        assert_eq!([1.0, 1.25, 0.5, 2.0].map(rate), ["1×", "1.25×", "0.5×", "2×"]);
    }

    #[test]
    fn times_are_read_in_seconds_or_with_colons() {
        assert_eq!(parse_time("90"), Ok(s(90)));
        assert_eq!(parse_time("1:30"), Ok(s(90)));
        assert_eq!(parse_time("1:02:03.5"), Ok(Duration::from_millis(3_723_500)));
        for bad in ["", "abc", "-3", "1:60", "1:2:3:4", "1::2", "inf", "NaN", "1e300"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bitrates_are_read_with_and_without_units() {
        let kbps = |text: &str| parse_bitrate(text).unwrap().kbps();
        assert_eq!(kbps("3M"), 3000.0);
        assert_eq!(kbps("750k"), 750.0);
        assert_eq!(kbps("1.5 Mbit/s"), 1500.0);
        assert_eq!(kbps("2000000"), 2000.0);
        for bad in ["", "M", "0", "-1M", "fast", "1e99", "3µ"] {
            assert!(parse_bitrate(bad).is_err(), "{bad}");
        }
    }
}
