//! URL templates (ISO/IEC 23009-1, 5.3.9.4.4).

use std::fmt::Write as _;

/// What stands for the identifiers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a> {
    pub(crate) id: &'a str,
    pub(crate) bandwidth: u64,
    pub(crate) number: u64,
    pub(crate) time: u64,
    /// Which segment of a sequence, from 0.
    pub(crate) sub: u64,
}

/// Wider numbers than this are nothing but a way to fill memory.
const WIDEST: usize = 100;

/// `template` with its identifiers replaced. What is no identifier stays as it is written.
pub(crate) fn fill(template: &str, values: Values<'_>) -> String {
    let mut out = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let Some((identifier, next)) = after.split_once('$') else {
            out.push('$');
            rest = after;
            continue;
        };
        let (name, format) = identifier.split_once('%').map_or((identifier, None), |(n, f)| (n, Some(f)));
        let number = match name {
            "" if format.is_none() => {
                out.push('$');
                rest = next;
                continue;
            }
            "RepresentationID" => {
                out.push_str(values.id);
                rest = next;
                continue;
            }
            "Number" => values.number,
            "Bandwidth" => values.bandwidth,
            "Time" => values.time,
            "SubNumber" => values.sub,
            _ => {
                // The second "$" may open an identifier.
                out.push('$');
                rest = after;
                continue;
            }
        };
        // `%0Wd` is all that the standard has; `%0Wllu` and the like occur.
        let digits = format.map(|format| format.trim_end_matches(|c: char| c.is_ascii_alphabetic()));
        let width = digits.and_then(|digits| digits.parse().ok()).unwrap_or(1);
        // Writing to a string cannot fail.
        let _ = write!(out, "{number:0width$}", width = usize::min(width, WIDEST));
        rest = next;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_every_identifier() {
        let values = Values { id: "v0", bandwidth: 500_000, number: 7, time: 90_000, sub: 2 };
        for (template, expected) in [
            ("$RepresentationID$/$Number$.m4s", "v0/7.m4s"),
            ("$Number%05d$-$Time%9d$", "00007-000090000"),
            ("$Time%014llu$", "00000000090000"),
            ("$Bandwidth$-$$-$Number%01d$", "500000-$-7"),
            ("a$Unknown$Number$b", "a$Unknown7b"),
            ("$Number$_$SubNumber%02d$", "7_02"),
            ("tail$", "tail$"),
            (
                "$Number%0999999999d$",
                "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000007",
            ),
            ("plain", "plain"),
        ] {
            assert_eq!(fill(template, values), expected, "{template}");
        }
    }
}
