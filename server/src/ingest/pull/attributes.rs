//! Attribute lists of tags (RFC 8216, 4.2).

/// The attributes behind a tag's colon, quotes taken off. What is no attribute ends the list.
pub(super) fn attributes(list: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = list.trim();
    std::iter::from_fn(move || {
        let (name, value) = rest.split_once('=')?;
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_at(value.find(',').unwrap_or(value.len())),
        };
        rest = after.strip_prefix(',').unwrap_or_default().trim_start();
        Some((name.trim(), value))
    })
}

/// One attribute of a list.
pub(super) fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    attributes(list).find(|(found, _)| *found == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_protect_commas_and_what_is_no_attribute_ends_the_list() {
        let all = |list| attributes(list).collect::<Vec<_>>();
        assert_eq!(all("A=1,B=\"x,y=z\", C=0x1"), [("A", "1"), ("B", "x,y=z"), ("C", "0x1")]);
        assert_eq!(all("A=\"\",B"), [("A", "")]);
        assert_eq!(all("A=\"open,B=1"), []);
        assert_eq!(all(""), []);
        assert_eq!(attribute("URI=\"a\",BYTERANGE=\"1@2\"", "BYTERANGE"), Some("1@2"));
    }
}
