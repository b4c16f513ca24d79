//! Faults on demand: which requests go wrong, and how.

use std::{
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{options, rng::Rng};

/// One rule: what goes wrong with which requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Piece of the path and query; `*` stands for any run of characters, `?` for one.
    pub pattern: String,
    /// First matching request that is hit, counted from 1.
    pub from: u64,
    /// Last matching request that is hit.
    pub to: u64,
    /// Chance of each of them, 0 to 1.
    pub probability: f64,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// This HTTP status instead of an answer.
    Status(u16),
    /// The connection is reset before an answer.
    Reset,
    /// The connection closes after this share of the body.
    TruncateShare(f64),
    /// The connection closes after so many bytes of the body.
    TruncateBytes(u64),
    /// Half of the body, then nothing for this long (`None`: until the client gives up).
    Stall(Option<Duration>),
    /// The answer begins this much later.
    Delay(Duration),
    /// Every 64th byte of the body is wrong.
    Corrupt,
}

/// A fault that could not be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot read the fault {text:?}: {problem}; write KIND[=VALUE]@URL-PART[#N][%PROBABILITY], for example 404@seg-3.m4s#1"
)]
pub struct ParseFaultError {
    text: String,
    problem: String,
}

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|problem| ParseFaultError { text: text.to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<Fault, String> {
    let (kind, rest) = text.split_once('@').ok_or("there is no @ before the URL part")?;
    let (rest, probability) = match rest.rsplit_once('%') {
        Some((rest, number)) => {
            let chance: f64 =
                number.parse().map_err(|_| format!("{number:?} after % is not a probability"))?;
            if !(0.0..=1.0).contains(&chance) {
                return Err(format!("the probability {chance} is not between 0 and 1"));
            }
            (rest, chance)
        }
        None => (rest, 1.0),
    };
    let (pattern, (from, to)) = match rest.rsplit_once('#') {
        Some((pattern, range)) => (pattern, parse_range(range)?),
        None => (rest, (1, u64::MAX)),
    };
    if pattern.is_empty() {
        return Err("the URL part is empty; write * for every request".to_owned());
    }
    Ok(Fault { kind: parse_kind(kind)?, pattern: pattern.to_owned(), from, to, probability })
}

fn parse_range(range: &str) -> Result<(u64, u64), String> {
    let number = |text: &str| match text.parse::<u64>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{range:?} after # is not a match number; write #2, #2-4 or #3+")),
    };
    if let Some(from) = range.strip_suffix('+') {
        return Ok((number(from)?, u64::MAX));
    }
    match range.split_once('-') {
        Some((from, to)) => Ok((number(from)?, number(to)?)),
        None => number(range).map(|n| (n, n)),
    }
}

fn parse_kind(kind: &str) -> Result<FaultKind, String> {
    let (name, value) = kind.split_once('=').map_or((kind, None), |(name, value)| (name, Some(value)));
    match (name, value) {
        ("reset", None) => Ok(FaultKind::Reset),
        ("corrupt", None) => Ok(FaultKind::Corrupt),
        ("truncate", None) => Ok(FaultKind::TruncateShare(0.5)),
        ("truncate", Some(value)) => match value.strip_suffix('%') {
            Some(percent) => match percent.parse::<f64>() {
                Ok(percent) if (0.0..100.0).contains(&percent) => {
                    Ok(FaultKind::TruncateShare(percent / 100.0))
                }
                _ => Err(format!("{value:?} is not a share below 100 %")),
            },
            None => value
                .parse()
                .map(FaultKind::TruncateBytes)
                .map_err(|_| format!("{value:?} is neither a share nor a number of bytes")),
        },
        ("stall", None) => Ok(FaultKind::Stall(None)),
        ("stall", Some(value)) => options::duration(value).map(|time| FaultKind::Stall(Some(time))),
        ("delay", Some(value)) => options::duration(value).map(FaultKind::Delay),
        ("status", Some(value)) => parse_status(value),
        (status, None) if status.bytes().all(|byte| byte.is_ascii_digit()) && !status.is_empty() => {
            parse_status(status)
        }
        _ => Err(format!("{kind:?} is not a kind of fault")),
    }
}

fn parse_status(text: &str) -> Result<FaultKind, String> {
    match text.parse() {
        Ok(status @ 400..=599) => Ok(FaultKind::Status(status)),
        _ => Err(format!("{text:?} is not an HTTP error status (400 to 599)")),
    }
}

/// Does `pattern` occur in `text`? `*` and `?` are wildcards.
fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = format!("*{pattern}*").chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go back to: the last `*`, and the text position it was tried with.
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, tried)) => {
                    p = at + 1;
                    t = tried + 1;
                    star = Some((at, tried + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The rules with their counters.
#[derive(Debug)]
pub(super) struct Faults {
    rules: Vec<Fault>,
    state: Mutex<(Vec<u64>, Rng)>,
}

impl Faults {
    pub(super) fn new(rules: Vec<Fault>, seed: u64) -> Self {
        let counters = vec![0; rules.len()];
        Self { rules, state: Mutex::new((counters, Rng::new(seed))) }
    }

    /// What goes wrong with this request: the first rule that hits it. Every matching rule counts it.
    pub(super) fn pick(&self, path_and_query: &str) -> Option<FaultKind> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (counters, rng) = &mut *state;
        let mut picked = None;
        for (rule, count) in self.rules.iter().zip(counters) {
            if !matches(&rule.pattern, path_and_query) {
                continue;
            }
            *count += 1;
            let chance = rng.next_f64();
            if (rule.from..=rule.to).contains(count) && chance < rule.probability && picked.is_none() {
                picked = Some(rule.kind);
            }
        }
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_from_the_command_line() {
        let fault: Fault = "404@seg-3.m4s#2".parse().unwrap();
        assert_eq!(fault.kind, FaultKind::Status(404));
        assert_eq!((fault.pattern.as_str(), fault.from, fault.to), ("seg-3.m4s", 2, 2));
        let fault: Fault = "truncate=25%@*.ts#3+%0.5".parse().unwrap();
        assert_eq!(fault.kind, FaultKind::TruncateShare(0.25));
        assert_eq!((fault.from, fault.to, fault.probability), (3, u64::MAX, 0.5));
        assert_eq!(
            "stall=5s@a".parse::<Fault>().unwrap().kind,
            FaultKind::Stall(Some(Duration::from_secs(5)))
        );
        for bad in ["404", "404@", "200@x", "explode@x", "404@x#0", "404@x%2", "delay@x", "truncate=100%@x"] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_match_pieces_of_the_url_with_wildcards() {
        assert!(matches("seg", "/v/seg-3.m4s"));
        assert!(matches("seg-*.m4s", "/v/seg-3.m4s?x=1"));
        assert!(matches("seg-?.m4s", "/v/seg-3.m4s"));
        assert!(matches("*", "/"));
        assert!(!matches("seg-?.m4s", "/v/seg-33.m4s"));
        assert!(!matches("audio", "/video/1"));
    }

    #[test]
    fn only_the_numbered_match_is_hit() {
        let faults = Faults::new(vec!["503@seg#2".parse().unwrap()], 1);
        let hits: Vec<bool> = (0..4).map(|_| faults.pick("/seg").is_some()).collect();
        assert_eq!(hits, [false, true, false, false]);
        assert_eq!(faults.pick("/other"), None);
    }

    #[test]
    fn a_probability_hits_its_share_and_repeats_with_its_seed() {
        let run = |seed| {
            let faults = Faults::new(vec!["503@seg%0.3".parse().unwrap()], seed);
            (0..2000).map(|_| faults.pick("/seg").is_some()).collect::<Vec<_>>()
        };
        let hits = run(7).iter().filter(|hit| **hit).count();
        assert!((500..700).contains(&hits), "{hits}");
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}
