//! The settings file: read as a whole or, when something in it is not right, told of line by line.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use clap::Args as _;
use toml::de::DeTable;

use super::Options;
use crate::webhooks::HookSetting;

/// Settings that mean something only together with others.
const TOGETHER: [&str; 6] = ["tls-cert", "tls-key", "redirect-http", "rtmps", "rtmp", "listen"];

/// Something in a file that is not right.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    line: usize,
    key: String,
    why: String,
}

/// Reads a TOML file with the same names as the flags.
///
/// # Errors
/// When it cannot be read, or with every name and value in it that is not right, its line, and what would be.
pub(super) fn read(path: &Path) -> anyhow::Result<Options> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the settings in {}", path.display()))?;
    parse(&text).map_err(|why| anyhow::anyhow!("the settings in {} are not right:{why}", path.display()))
}

/// The settings of a text, or a line for each that is not right.
pub(super) fn parse(text: &str) -> Result<Options, String> {
    let mut wrong = match DeTable::parse(text) {
        Ok(table) => each(text, table.get_ref()),
        // What is no TOML has no keys to go through.
        Err(error) => vec![Wrong {
            line: error.span().map_or(1, |span| line_of(text, span.start)),
            key: "TOML".to_owned(),
            why: error.message().replace('\n', ", "),
        }],
    };
    if wrong.is_empty() {
        match toml::from_str::<Options>(text) {
            Ok(options) => match options.clone().resolve() {
                Ok(_) => return Ok(options),
                Err(error) => wrong.push(together(text, &format!("{error:#}"))),
            },
            Err(error) => wrong.push(Wrong {
                line: error.span().map_or(1, |span| line_of(text, span.start)),
                key: "the file".to_owned(),
                why: error.message().to_owned(),
            }),
        }
    }
    wrong.sort_by_key(|wrong| wrong.line);
    let mut list = String::new();
    for Wrong { line, key, why } in &wrong {
        let _ = write!(list, "\n  line {line}, {key}: {why}");
        if let Some(help) = help(key) {
            let _ = write!(list, "\n      {key} is: {help}");
        }
    }
    Err(list)
}

/// Goes through the settings one by one.
fn each(text: &str, table: &DeTable<'_>) -> Vec<Wrong> {
    let values: toml::Table = text.parse().unwrap_or_default();
    let mut wrong = Vec::new();
    for key in table.keys() {
        let (line, name) = (line_of(text, key.span().start), key.get_ref().as_ref());
        let mut add = |why: String| wrong.push(Wrong { line, key: name.to_owned(), why });
        if name != "webhook" && help(name).is_none() {
            let near = nearest(name).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            add(format!("there is no such setting{near}"));
            continue;
        }
        let Some(value) = values.get(name) else { continue };
        if let (true, Some(hooks)) = (name == "webhook", value.as_array()) {
            hooks.iter().enumerate().filter_map(|(at, hook)| webhook(at, hook)).for_each(&mut add);
            continue;
        }
        let alone: toml::Table = [(name.to_owned(), value.clone())].into_iter().collect();
        match alone.try_into::<Options>() {
            Err(error) => add(plainly(error.message())),
            Ok(options) if !TOGETHER.contains(&name) => {
                // The message begins with the setting's name, which stands in front of it already.
                if let Err(error) = options.resolve() {
                    let why = format!("{error:#}");
                    add(why.strip_prefix(name).map_or(why.as_str(), str::trim_start).to_owned());
                }
            }
            Ok(_) => {}
        }
    }
    wrong
}

fn webhook(at: usize, value: &toml::Value) -> Option<String> {
    let number = at + 1;
    let setting = match value.clone().try_into::<HookSetting>() {
        Ok(setting) => setting,
        Err(error) => return Some(format!("number {number}: {}", plainly(error.message()))),
    };
    let why = setting.mistake()?;
    Some(format!("number {number}: {why}"))
}

/// What is wrong with settings that are right one by one.
fn together(text: &str, why: &str) -> Wrong {
    let named = |line: &str| {
        let key = line.split('=').next().unwrap_or("").trim();
        TOGETHER.contains(&key) && why.contains(key)
    };
    let line = text.lines().position(named).map_or(1, |at| at + 1);
    let key = text.lines().nth(line - 1).and_then(|line| line.split('=').next()).unwrap_or("").trim();
    Wrong { line, key: key.to_owned(), why: why.to_owned() }
}

/// The line in which a setting stands.
pub(super) fn line_of_setting(text: &str, name: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let key = table.get_ref().keys().find(|key| key.get_ref().as_ref() == name)?;
    Some(line_of(text, key.span().start))
}

fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).map_or(1, |before| before.matches('\n').count() + 1)
}

/// What a setting is, as `--help` tells it.
fn help(name: &str) -> Option<String> {
    let command = Options::augment_args(clap::Command::new("weir-server"));
    let argument = command.get_arguments().find(|argument| argument.get_long() == Some(name))?;
    let text = argument.get_help()?.to_string();
    Some(text.trim_end_matches('.').to_owned())
}

/// The known name that is most like this one.
fn nearest(name: &str) -> Option<String> {
    let command = Options::augment_args(clap::Command::new("weir-server"));
    let known = command.get_arguments().filter_map(clap::Arg::get_long).chain(["webhook"]);
    // Underscores and capitals are what people bring from other programs.
    let plain = name.replace('_', "-").to_ascii_lowercase();
    let (distance, best) = known.map(|known| (distance(&plain, known), known)).min()?;
    (distance <= 1 + name.len() / 4).then(|| best.to_owned())
}

/// Levenshtein's distance of two short names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().take(64).enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for ((corner, above), y) in row.iter().zip(row.iter().skip(1)).zip(b.bytes()) {
            left = (above + 1).min(left + 1).min(corner + usize::from(x != y));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// What the parser says, in words for people.
fn plainly(message: &str) -> String {
    let message = message.trim().trim_end_matches('.').replace('\n', ", ");
    let number = "a whole number, 0 or more, is needed";
    let rows = [
        ("expected usize", number),
        ("expected u64", number),
        ("expected u32", number),
        ("invalid socket address syntax", "an address with a port is needed, as \"127.0.0.1:8080\""),
        (
            "invalid IP address syntax",
            "an IP address is needed, as \"192.0.2.1\"; names and ranges are not taken",
        ),
    ];
    match rows.into_iter().find(|(said, _)| message.contains(said)) {
        Some((said, plain)) if message == said => plain.to_owned(),
        Some((said, plain)) => {
            let before = message.split(said).next().unwrap_or("").trim_end_matches([' ', ',']);
            format!("{before}; {plain}")
        }
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_that_is_not_right_is_named_with_its_line_and_what_would_be() {
        let text = "# weir\nlisen = \"127.0.0.1:9000\"\njobs = 0\nmax_connections = 5\ntoken = \"short\"\n\
                    rtmp = \"nonsense\"\nmax-source-mb = -5\nencode-in = \"cloud\"\nallow-path = [\"/no/such\"]\n\
                    trusted-proxy = [\"10.0.0.0/8\"]\nlisten = \"localhost\"\nencoder = [\"foo\"]\n\
                    [[webhook]]\nurl = \"ftp://example.org\"\nsecret = \"0123456789abcdef\"\n[[webhook]]\nurl = \"https://example.org\"\n\
                    secret = \"short\"\n";
        let list = parse(text).unwrap_err();
        for (line, words) in [
            (2, "lisen: there is no such setting; did you mean listen?"),
            (3, "jobs: must be at least 1"),
            (4, "max_connections: there is no such setting; did you mean max-connections?"),
            (5, "token: the token must have at least 16"),
            (6, "rtmp: \"nonsense\" is neither"),
            (7, "max-source-mb: invalid value: integer `-5`; a whole number"),
            (8, "encode-in: unknown variant `cloud`, expected `process` or `server`"),
            (9, "allow-path: cannot use the allowed folder /no/such"),
            (10, "trusted-proxy: an IP address is needed"),
            (11, "listen: an address with a port is needed"),
            (12, "encoder: "),
            (13, "webhook: number 1: url must be"),
            (13, "webhook: number 2: secret must be"),
        ] {
            assert!(list.contains(&format!("\n  line {line}, {words}")), "{line} {words}:{list}");
        }
        assert!(list.contains("jobs is: Streams that are packaged at the same time [default: 1]"), "{list}");
        assert_eq!(list.matches("\n  line ").count(), 13, "{list}");
    }

    #[test]
    fn what_is_no_toml_and_what_does_not_go_together_has_a_line_too() {
        for (text, line, words) in [
            ("a = [", 1, "TOML: "),
            ("jobs = 1\njobs = 2", 2, "TOML: duplicate key"),
            ("jobs = 1\ntls-cert = \"a.pem\"", 2, "tls-cert: HTTPS needs both"),
            ("redirect-http = \"127.0.0.1:80\"", 1, "redirect-http: "),
            ("rtmp = \"0.0.0.0:80\"\nlisten = \"0.0.0.0:80\"", 1, "rtmp: rtmp and listen are the same"),
        ] {
            let list = parse(text).unwrap_err();
            assert!(list.contains(&format!("line {line}, {words}")), "{text}:{list}");
        }
        assert!(parse("").is_ok());
        assert!(parse("rtmp = \"127.0.0.1:8080\"\nlisten = \"127.0.0.1:1935\"").is_ok());
        assert!(parse(include_str!("../../packaging/weir.toml")).is_ok(), "the sample is right");
    }

    #[test]
    fn names_far_from_any_are_not_guessed_at() {
        assert_eq!(nearest("colour"), None);
        assert_eq!(nearest("allow_paths").as_deref(), Some("allow-path"));
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
