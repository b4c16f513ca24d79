//! Delivery directives: the `_HLS_` keys of a playlist request's query (RFC 8216bis, section 6.2.5).

use url::form_urlencoded;

/// What a client asked of a live playlist. The rules that need the playlist's state are in [`super::front`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`: hold the answer until this segment is there.
    pub msn: Option<u64>,
    /// `_HLS_part`: hold it until this part of that segment is there.
    pub part: Option<u64>,
    /// `_HLS_skip=YES` or `v2`: a delta update will do.
    pub skip: bool,
}

/// Why directives are not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadDirective {
    /// Not a decimal integer.
    #[error("{0} must be a decimal integer of at most 64 bits")]
    NotANumber(&'static str),
    /// Given twice.
    #[error("{0} may be given once only")]
    Repeated(&'static str),
    /// `_HLS_part` alone.
    #[error("_HLS_part needs _HLS_msn: a part is one of a segment")]
    PartWithoutSegment,
}

impl Directives {
    /// Whether the answer may be held back.
    pub fn blocks(&self) -> bool {
        self.msn.is_some()
    }

    /// Reads a query string. Keys that do not begin with `_HLS_`, and those of that prefix that have no meaning yet, are
    /// passed over.
    ///
    /// # Errors
    /// See [`BadDirective`]; each is for an answer of 400.
    pub fn parse(query: Option<&str>) -> Result<Self, BadDirective> {
        let mut found = Self::default();
        let mut skip_seen = false;
        for (key, value) in form_urlencoded::parse(query.unwrap_or("").as_bytes()) {
            match &*key {
                "_HLS_msn" => number("_HLS_msn", &mut found.msn, &value)?,
                "_HLS_part" => number("_HLS_part", &mut found.part, &value)?,
                "_HLS_skip" => {
                    if std::mem::replace(&mut skip_seen, true) {
                        return Err(BadDirective::Repeated("_HLS_skip"));
                    }
                    // v2 allows to skip date ranges as well, of which these playlists have none.
                    found.skip = matches!(&*value, "YES" | "v2");
                }
                _ => {}
            }
        }
        if found.part.is_some() && found.msn.is_none() {
            return Err(BadDirective::PartWithoutSegment);
        }
        Ok(found)
    }
}

fn number(name: &'static str, slot: &mut Option<u64>, value: &str) -> Result<(), BadDirective> {
    if slot.is_some() {
        return Err(BadDirective::Repeated(name));
    }
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| value.parse().ok()).flatten().ok_or(BadDirective::NotANumber(name))?;
    *slot = Some(number);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_in_any_order_among_other_keys() {
        let all = Directives { msn: Some(7), part: Some(2), skip: true };
        let rows = [
            (None, Directives::default()),
            (Some(""), Directives::default()),
            (Some("sid=x&_HLS_msn=7&_HLS_part=2&_HLS_skip=YES"), all),
            (Some("_HLS_skip=v2&_HLS_part=2&_HLS_msn=7&CMCD=a%3D1"), all),
            (Some("%5FHLS_msn=7"), Directives { msn: Some(7), ..Directives::default() }),
            (Some("_HLS_skip=NO"), Directives::default()),
            (Some("_HLS_x=1&_HLS_x=2&_hls_msn=q"), Directives::default()),
            (Some("_HLS_msn=0"), Directives { msn: Some(0), ..Directives::default() }),
        ];
        for (query, expected) in rows {
            assert_eq!(Directives::parse(query), Ok(expected), "{query:?}");
        }
    }

    #[test]
    fn malformed_directives_are_told_apart() {
        let msn = BadDirective::NotANumber("_HLS_msn");
        let rows = [
            ("_HLS_part=1", BadDirective::PartWithoutSegment),
            ("_HLS_msn=", msn.clone()),
            ("_HLS_msn=-1", msn.clone()),
            ("_HLS_msn=%2B1", msn.clone()),
            ("_HLS_msn=1.5", msn.clone()),
            ("_HLS_msn=0x10", msn.clone()),
            ("_HLS_msn=seven", msn.clone()),
            ("_HLS_msn=99999999999999999999", msn),
            ("_HLS_msn=1&_HLS_part=x", BadDirective::NotANumber("_HLS_part")),
            ("_HLS_msn=1&_HLS_msn=1", BadDirective::Repeated("_HLS_msn")),
            ("_HLS_msn=1&_HLS_part=1&_HLS_part=2", BadDirective::Repeated("_HLS_part")),
            ("_HLS_skip=YES&_HLS_skip=YES", BadDirective::Repeated("_HLS_skip")),
        ];
        for (query, expected) in rows {
            assert_eq!(Directives::parse(Some(query)), Err(expected), "{query}");
        }
    }
}
