//! Mutations that keep a manifest's structure, so that they get past the first line of defence: tags, attributes and
//! elements are moved, doubled, left out, and given values that mean trouble.
//!
//! A fixed number of inputs, the same every time; `WEIR_FUZZ_SECONDS=seconds` goes on with others for that long, and
//! `WEIR_FUZZ_CORPUS=folder` takes the manifests in a folder as seeds beside the built-in ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail"
)]

mod seeds;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use seeds::{PIECES, SEEDS, exercise};

/// Values that stand for a number, a time, an address or a word.
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "2",
    "0.0000000001",
    "1e9",
    "1e400",
    "-0",
    "NaN",
    "INF",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "4294967296",
    "PT0S",
    "PT0.000000001S",
    "P292277026596Y",
    "PT1H",
    "-PT1S",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "0-0",
    "0-18446744073709551615",
    "9-1",
    "YES",
    "NONE",
    "dynamic",
    "static",
    "$Number$",
    "$Time%09d$",
    "$RepresentationID$",
    "$$",
    "http://[",
    "//h/",
    "../../..",
    "?",
    "#",
    "data:,x",
    "\u{fffd}",
    "{$a}",
    "0x0",
    "10@18446744073709551615",
    "video/mp4",
    "1/0",
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// Lines of a playlist, or tags and texts of an XML document: what can be moved as one.
fn pieces(text: &str) -> Vec<String> {
    if text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
        let mut out: Vec<String> = Vec::new();
        for part in text.split_inclusive('>') {
            match part.find('<') {
                Some(at) if at > 0 => out.extend([part[..at].to_owned(), part[at..].to_owned()]),
                _ => out.push(part.to_owned()),
            }
        }
        out
    } else {
        text.split_inclusive('\n').map(str::to_owned).collect()
    }
}

/// One value in `piece`, between quotes or behind `=` or `:`, becomes another.
fn revalue(piece: &str, value: &str, random: &mut Random) -> String {
    let starts: Vec<usize> = piece
        .char_indices()
        .filter(|(_, c)| matches!(c, '=' | ':' | '>'))
        .map(|(at, c)| at + c.len_utf8())
        .collect();
    let Some(start) = starts.get(random.below(starts.len())).copied() else { return value.to_owned() };
    let quote = piece[start..].chars().next().filter(|c| matches!(c, '"' | '\''));
    let start = start + quote.map_or(0, char::len_utf8);
    let end = piece[start..]
        .find(|c: char| quote.map_or(matches!(c, ',' | '\n' | ' ' | '<' | '/'), |quote| c == quote))
        .map_or(piece.len(), |at| start + at);
    format!("{}{value}{}", &piece[..start], &piece[end..])
}

fn mutate(seeds: &[String], random: &mut Random) -> String {
    let mut all = pieces(&seeds[random.below(seeds.len())]);
    for _ in 0..=random.below(8) {
        if all.is_empty() {
            break;
        }
        let at = random.below(all.len());
        match random.below(10) {
            0 => drop(all.remove(at)),
            1 => {
                let to = random.below(all.len());
                let piece = all.remove(at);
                all.insert(to.min(all.len()), piece);
            }
            2 => {
                let copy = all[at].clone();
                all.extend(std::iter::repeat_n(copy, random.below(4)));
            }
            3 => {
                // A run of pieces, an element perhaps, once more.
                let end = (at + 1 + random.below(12)).min(all.len());
                let copy = all[at..end].to_vec();
                all.splice(end..end, copy);
            }
            4 => {
                let other = pieces(&seeds[random.below(seeds.len())]);
                if !other.is_empty() {
                    let from = random.below(other.len());
                    let end = (from + 1 + random.below(6)).min(other.len());
                    all.splice(at..at, other[from..end].iter().cloned());
                }
            }
            5 => all[at].push_str(random.pick(PIECES)),
            6 => all.truncate(at),
            _ => {
                let value = random.pick(VALUES);
                all[at] = revalue(&all[at], value, random);
            }
        }
        if all.iter().map(String::len).sum::<usize>() > 200_000 {
            break;
        }
    }
    all.concat()
}

fn corpus() -> Vec<String> {
    let mut seeds: Vec<String> = SEEDS.iter().map(|seed| (*seed).to_owned()).collect();
    if let Some(folder) = std::env::var_os("WEIR_FUZZ_CORPUS") {
        for entry in std::fs::read_dir(folder).expect("WEIR_FUZZ_CORPUS is a folder") {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
            if bytes.len() < 100_000 {
                seeds.push(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
    seeds
}

#[test]
fn manifests_of_the_right_shape_and_wrong_content_are_survived() {
    let seeds = corpus();
    let seconds: Option<u64> = std::env::var("WEIR_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let begun = Instant::now();
    let mut random = Random(if seconds.is_some() { std::process::id().into() } else { 1 });
    let mut count = 0;
    let more = |count: usize| match seconds {
        Some(seconds) => begun.elapsed() < Duration::from_secs(seconds),
        None => count < 2_000,
    };
    while more(count) {
        let (first, second) = (mutate(&seeds, &mut random), mutate(&seeds, &mut random));
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| exercise(first.as_bytes(), second.as_bytes())));
        if outcome.is_err() || start.elapsed() > Duration::from_secs(30) {
            let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
            std::fs::write(folder.join("weir-fuzz-first"), &first).unwrap();
            std::fs::write(folder.join("weir-fuzz-second"), &second).unwrap();
            panic!("input {count} failed after {:?}; it is in {}", start.elapsed(), folder.display());
        }
        count += 1;
    }
    eprintln!("{count} pairs of manifests in {:.1?}", begun.elapsed());
}
