//! `EXT-X-DEFINE` and `{$name}` (RFC 8216bis, 4.3 and 4.4.2.3).

use std::{borrow::Cow, collections::BTreeMap};

use url::Url;

use super::attributes::Attributes;
use crate::Error;

/// Values by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    values: BTreeMap<String, String>,
    /// Bytes that substitution has added so far: a value may stand in a later value, which doubles at each step.
    added: usize,
}

/// Longest value, and longest line after substitution.
const MOST_BYTES: usize = 64 * 1024;
/// Most that substitution may add to one playlist.
const MOST_ADDED: usize = 64 * 1024 * 1024;

impl Variables {
    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Takes in one `EXT-X-DEFINE`. `url` is that of the playlist, `imported` what the multivariant playlist defined.
    pub(crate) fn define(
        &mut self,
        line: usize,
        list: &Attributes<'_>,
        url: &Url,
        imported: Option<&Self>,
    ) -> Result<(), Error> {
        let (name, value) = if let Some(name) = list.text("NAME") {
            let value = list
                .get("VALUE")
                .ok_or_else(|| Error::syntax(line, format_args!("EXT-X-DEFINE of {name:?} has no VALUE")))?;
            (name, value.to_owned())
        } else if let Some(name) = list.text("IMPORT") {
            let value = imported.and_then(|from| from.get(name)).ok_or_else(|| {
                Error::syntax(
                    line,
                    format_args!("EXT-X-DEFINE imports {name:?}, which no multivariant playlist defined"),
                )
            })?;
            (name, value.to_owned())
        } else if let Some(name) = list.text("QUERYPARAM") {
            let value = url.query_pairs().find(|(key, value)| key == name && !value.is_empty()).ok_or_else(|| {
                Error::syntax(
                    line,
                    format_args!(
                        "EXT-X-DEFINE wants a value of the query parameter {name:?}, which the address lacks"
                    ),
                )
            })?;
            (name, value.1.into_owned())
        } else {
            return Err(Error::syntax(line, "EXT-X-DEFINE has none of NAME, IMPORT, QUERYPARAM"));
        };
        if value.len() > MOST_BYTES || self.values.len() >= 10_000 {
            return Err(Error::TooLarge { what: "bytes of variables", limit: MOST_BYTES });
        }
        if self.values.insert(name.to_owned(), value).is_some() {
            return Err(Error::syntax(
                line,
                format_args!(
                    "EXT-X-DEFINE gives a second value to {name:?}, so that it is not clear which one counts"
                ),
            ));
        }
        Ok(())
    }

    /// `text` with its `{$name}` replaced, once: what a value brings in is not looked at again.
    pub(crate) fn substitute<'a>(&mut self, line: usize, text: &'a str) -> Result<Cow<'a, str>, Error> {
        // Looking for one byte is many times cheaper, and nearly always enough.
        if !text.contains('{') || !text.contains("{$") {
            return Ok(Cow::Borrowed(text));
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{$") {
            out.push_str(before);
            let name = after.split_once('}').map(|(name, _)| name).filter(|name| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            });
            let Some(name) = name else {
                out.push_str("{$");
                rest = after;
                continue;
            };
            let value = self.values.get(name).ok_or_else(|| {
                Error::syntax(line, format_args!("the variable {{${name}}} is used but not defined"))
            })?;
            out.push_str(value);
            self.added += value.len();
            rest = after.get(name.len() + 1..).unwrap_or_default();
            if out.len() > MOST_BYTES || self.added > MOST_ADDED {
                return Err(Error::TooLarge { what: "bytes in a line with variables", limit: MOST_BYTES });
            }
        }
        out.push_str(rest);
        Ok(Cow::Owned(out))
    }
}
