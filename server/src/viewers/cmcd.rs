//! The session id out of Common Media Client Data (CTA-5004), query or header form.

/// CMCD's limit for `sid`.
const LONGEST_SID: usize = 64;

/// The `sid` of a CMCD list such as `br=2800,sid="6e2fb550-c457-11e9",bl=21300`; `None` when absent or not usable.
pub(super) fn sid(list: &str) -> Option<String> {
    let mut rest = list;
    while !rest.is_empty() {
        let (item, next) = next_item(rest);
        rest = next;
        if let Some(value) = item.trim().strip_prefix("sid=") {
            let bare = value.trim().strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
            let clean = bare.replace("\\\"", "\"").replace("\\\\", "\\");
            return (!clean.is_empty() && clean.len() <= LONGEST_SID).then_some(clean);
        }
    }
    None
}

/// Splits at the next comma outside quotes.
fn next_item(text: &str) -> (&str, &str) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => return (text.get(..at).unwrap_or(""), text.get(at + 1..).unwrap_or("")),
            _ => {}
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_session_id_among_other_keys() {
        let long = format!("sid=\"{}\"", "x".repeat(65));
        let rows = [
            ("sid=\"abc\"", Some("abc")),
            ("br=2800,bl=2100,sid=\"a,b\",sf=h", Some("a,b")),
            ("cid=\"sid=\\\"no\\\"\",sid=\"yes\"", Some("yes")),
            ("nor=\"..%2Fseg,sid=x\",sid=\"y\"", Some("y")),
            ("sid=bare", Some("bare")),
            ("sid=\"\"", None),
            ("xsid=\"abc\"", None),
            ("", None),
            (",,,", None),
            ("\"", None),
            (long.as_str(), None),
        ];
        for (list, expected) in rows {
            assert_eq!(sid(list).as_deref(), expected, "{list}");
        }
    }
}
