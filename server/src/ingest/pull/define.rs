//! Variables of playlists (RFC 8216bis, 4.3 and 4.4.2.3): `EXT-X-DEFINE`, and `{$name}` where it is used.

use std::borrow::Cow;
use std::collections::HashMap;

use url::Url;

use super::attributes::attributes;

const DEFINE: &str = "#EXT-X-DEFINE:";
/// Variables of one playlist.
const MOST: usize = 1000;
/// Longest text with everything put in: a few bytes could stand for very many.
const LONGEST: usize = 16 << 20;

/// Variables by name.
pub(super) type Variables = HashMap<String, String>;

/// The text with every variable put in, and the variables that it defines. `imported` are those of the multivariant
/// playlist that led to this one; none where there is none.
///
/// # Errors
/// A sentence: what is defined wrongly, or not at all.
pub(super) fn resolve<'a>(
    base: &Url,
    text: &'a str,
    imported: Option<&Variables>,
) -> Result<(Cow<'a, str>, Variables), String> {
    let mut known = Variables::new();
    // Only a playlist that defines something has variables: elsewhere "{$" is what it says.
    if !text.contains("#EXT-X-DEFINE") {
        return Ok((Cow::Borrowed(text), known));
    }
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let line = if line.starts_with('#') && !line.starts_with("#EXT-X-") {
            Cow::Borrowed(line)
        } else {
            put_in(line, &known)?
        };
        if let Some(list) = line.strip_prefix(DEFINE) {
            let (name, value) = define(base, list, imported)?;
            if known.len() >= MOST {
                return Err(format!("it defines more than {MOST} variables"));
            }
            if known.insert(name.clone(), value).is_some() {
                return Err(format!("it defines the variable {name:?} twice"));
            }
            continue;
        }
        out.push_str(&line);
        out.push('\n');
        if out.len() > LONGEST {
            return Err(format!("with its variables put in it is longer than {} MiB", LONGEST >> 20));
        }
    }
    Ok((Cow::Owned(out), known))
}

fn is_name(text: &str) -> bool {
    (1..=200).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// A line with its variables put in, once: what they stand for is not looked at again.
fn put_in<'a>(line: &'a str, known: &Variables) -> Result<Cow<'a, str>, String> {
    let mut out: Option<String> = None;
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("{$") {
        let reference = after.split_once('}').filter(|(name, _)| is_name(name));
        let built = out.get_or_insert_default();
        built.push_str(before);
        let Some((name, behind)) = reference else {
            built.push_str("{$");
            rest = after;
            continue;
        };
        let value = known
            .get(name)
            .ok_or_else(|| format!("it uses the variable {name:?}, which it does not define"))?;
        built.push_str(value);
        if built.len() > LONGEST {
            return Err(format!("with its variables put in it is longer than {} MiB", LONGEST >> 20));
        }
        rest = behind;
    }
    Ok(match out {
        Some(built) => Cow::Owned(built + rest),
        None => Cow::Borrowed(line),
    })
}

/// What a tag defines.
fn define(base: &Url, list: &str, imported: Option<&Variables>) -> Result<(String, String), String> {
    let (mut name, mut value, mut import, mut query) = (None, None, None, None);
    for (key, given) in attributes(list) {
        match key {
            "NAME" => name = Some(given),
            "VALUE" => value = Some(given),
            "IMPORT" => import = Some(given),
            "QUERYPARAM" => query = Some(given),
            _ => {}
        }
    }
    let (name, value) = match (name, value, import, query) {
        (Some(name), Some(value), None, None) => (name, value.to_owned()),
        (None, None, Some(name), None) => {
            let value = imported.and_then(|all| all.get(name)).ok_or_else(|| {
                format!("it imports the variable {name:?}, which no multivariant playlist before it defines")
            })?;
            (name, value.clone())
        }
        (None, None, None, Some(name)) => {
            let found = base.query_pairs().find(|(key, value)| key == name && !value.is_empty());
            let found = found.ok_or_else(|| {
                format!("it takes a variable from the parameter {name:?} of its address, which has none")
            })?;
            (name, found.1.into_owned())
        }
        _ => return Err("an EXT-X-DEFINE has neither NAME and VALUE nor IMPORT nor QUERYPARAM".to_owned()),
    };
    if is_name(name) {
        Ok((name.to_owned(), value))
    } else {
        Err(format!("{name:?} is no name of a variable"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("http://host/a.m3u8?token=a%20b&empty=").unwrap()
    }

    fn resolved(text: &str, imported: Option<&Variables>) -> Result<String, String> {
        resolve(&base(), text, imported).map(|(text, _)| text.into_owned())
    }

    #[test]
    fn variables_are_put_in_where_they_are_used() {
        let imported = Variables::from([("cdn".to_owned(), "http://cdn".to_owned())]);
        let text = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"x,y\"\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n\
                    #EXT-X-DEFINE:IMPORT=\"cdn\"\n#EXT-X-DEFINE:NAME=\"b\",VALUE=\"{$a}-{$token}\"\n\
                    #EXT-X-MAP:URI=\"{$b}/i.mp4\"\n#EXTINF:4,{$title}\n{$cdn}/{$a}/{$not a name}.ts\n# {$comment}\n";
        assert_eq!(
            resolved(text, Some(&imported)).unwrap(),
            "#EXTM3U\n#EXT-X-MAP:URI=\"x,y-a b/i.mp4\"\n#EXTINF:4,{$title}\nhttp://cdn/x,y/{$not a name}.ts\n# {$comment}\n"
        );
        let plain = "#EXTM3U\n{$a}.ts\n";
        assert_eq!(resolved(plain, None).unwrap(), plain, "without a definition it is what it says");
        // What a variable stands for is not looked at again.
        let twice = "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{$\"\n#EXT-X-DEFINE:NAME=\"c\",VALUE=\"1\"\n{$a}c}\n";
        assert_eq!(resolved(twice, None).unwrap(), "{$c}\n");
    }

    #[test]
    fn what_is_defined_wrongly_is_refused_with_its_name() {
        let rows = [
            ("#EXT-X-DEFINE:NAME=\"a\"\n", "neither"),
            ("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"1\",IMPORT=\"a\"\n", "neither"),
            ("#EXT-X-DEFINE:NAME=\"a b\",VALUE=\"1\"\n", "\"a b\" is no name"),
            ("#EXT-X-DEFINE:IMPORT=\"a\"\n", "imports the variable \"a\""),
            ("#EXT-X-DEFINE:QUERYPARAM=\"empty\"\n", "parameter \"empty\""),
            ("#EXT-X-DEFINE:QUERYPARAM=\"none\"\n", "parameter \"none\""),
            ("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"1\"\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"1\"\n", "twice"),
            ("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"1\"\n{$b}.ts\n", "\"b\""),
            ("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{$b}\"\n", "\"b\""),
        ];
        for (text, part) in rows {
            let why = resolved(text, None).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    #[test]
    fn what_variables_stand_for_is_bounded() {
        let mut text = format!("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{}\"\n", "x".repeat(1 << 16));
        text += &format!("{}\n", "{$a}".repeat(1000));
        assert!(resolved(&text, None).unwrap_err().contains("MiB"));
        let lines = format!("{}\n", "{$a}".repeat(100)).repeat(100);
        let text = format!("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{}\"\n{lines}", "x".repeat(1 << 14));
        assert!(resolved(&text, None).unwrap_err().contains("MiB"));
        let many: String = (0..1100).map(|n| format!("#EXT-X-DEFINE:NAME=\"v{n}\",VALUE=\"1\"\n")).collect();
        assert!(resolved(&many, None).unwrap_err().contains("more than 1000"));
    }
}
