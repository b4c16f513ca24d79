//! Attribute lists (RFC 8216, 4.2).

/// The pairs of an attribute list, in order. Blanks around names and values are dropped; commas inside quotes are part
/// of the value; a quote that never closes takes the rest of the line.
#[derive(Clone, Debug)]
pub(crate) struct Attributes<'a>(Vec<(&'a str, &'a str)>);

/// More than any real tag has; the rest of a longer list is not looked at.
const MOST: usize = 256;

impl<'a> Attributes<'a> {
    pub(crate) fn new(mut rest: &'a str) -> Self {
        let mut pairs = Vec::new();
        while pairs.len() < MOST {
            let Some((name, after)) = rest.split_once('=') else { break };
            // A list entry without "=" would otherwise become part of the next name.
            let name = name.rsplit(',').next().unwrap_or(name).trim();
            let after = after.trim_start();
            let (value, next) = match after.strip_prefix('"') {
                Some(quoted) => {
                    let (value, next) = quoted.split_once('"').unwrap_or((quoted, ""));
                    (value, next.split_once(',').map_or("", |(_, next)| next))
                }
                None => {
                    after.split_once(',').map_or((after.trim_end(), ""), |(v, next)| (v.trim_end(), next))
                }
            };
            if !name.is_empty() {
                pairs.push((name, value));
            }
            rest = next;
        }
        Self(pairs)
    }

    /// The value of `name`, without its quotes; the first one where it is given twice.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    /// The value of `name`, unless it is empty.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// The value of `name` as a number; a fraction is cut off.
    pub(crate) fn integer(&self, name: &str) -> Option<u64> {
        let value = self.get(name)?;
        let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
        fraction.bytes().all(|b| b.is_ascii_digit()).then(|| whole.parse().ok())?
    }

    /// The value of `name` in seconds.
    pub(crate) fn seconds(&self, name: &str) -> Option<std::time::Duration> {
        crate::time::decimal_seconds(self.get(name)?)
    }

    /// Whether `name` is `YES`.
    pub(crate) fn yes(&self, name: &str) -> bool {
        self.get(name) == Some("YES")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_quotes_commas_blanks_and_broken_lists() {
        let list =
            Attributes::new(r#" BANDWIDTH = 5000.7 , CODECS="avc1.4d401e, mp4a.40.2",NAME="",X,Y=1,Z="open"#);
        assert_eq!(list.integer("BANDWIDTH"), Some(5000));
        assert_eq!(list.get("CODECS"), Some("avc1.4d401e, mp4a.40.2"));
        assert_eq!((list.get("NAME"), list.text("NAME")), (Some(""), None));
        assert_eq!((list.get("Y"), list.get("Z"), list.get("X")), (Some("1"), Some("open"), None));
    }
}
