//! Languages as containers write them and as playlists name them.

/// What ISO 639 has in two letters is written in two (RFC 5646, section 2.2.1): those that files are made in most. Where
/// there are two codes of three letters, the one that MP4 takes (ISO 639-2/T) comes first.
const SHORT: [(&str, &str); 26] = [
    ("eng", "en"),
    ("deu", "de"),
    ("ger", "de"),
    ("fra", "fr"),
    ("fre", "fr"),
    ("spa", "es"),
    ("ita", "it"),
    ("por", "pt"),
    ("rus", "ru"),
    ("ukr", "uk"),
    ("pol", "pl"),
    ("nld", "nl"),
    ("dut", "nl"),
    ("swe", "sv"),
    ("dan", "da"),
    ("nor", "no"),
    ("fin", "fi"),
    ("ces", "cs"),
    ("cze", "cs"),
    ("tur", "tr"),
    ("ara", "ar"),
    ("hin", "hi"),
    ("jpn", "ja"),
    ("kor", "ko"),
    ("zho", "zh"),
    ("chi", "zh"),
];

/// `mdhd`'s word for a language that is not known: `und`.
const UNDETERMINED: u16 = 0x55c4;

/// A language as containers write it, as RFC 5646 has it; none for one that says nothing.
#[must_use]
pub(crate) fn tag_of(code: &str) -> Option<String> {
    let code = code.to_ascii_lowercase();
    if !(2..=3).contains(&code.len()) || !code.bytes().all(|b| b.is_ascii_lowercase()) {
        return None;
    }
    if ["und", "zxx", "mis", "mul"].contains(&code.as_str()) {
        return None;
    }
    let short = SHORT.iter().find(|(long, _)| *long == code).map(|(_, short)| (*short).to_owned());
    Some(short.unwrap_or(code))
}

/// The language that a word of `mdhd` tells (ISO/IEC 14496-12, section 8.4.2): three letters in five bits each.
#[must_use]
pub(crate) fn unpacked(word: u16) -> Option<String> {
    let letter = |shift: u16| char::from(b'`' + ((word >> shift) & 0x1f) as u8);
    tag_of(&String::from_iter([letter(10), letter(5), letter(0)]))
}

/// A tag as `mdhd` writes its language; `und` for one that has no three letters.
#[must_use]
pub(crate) fn packed(tag: Option<&str>) -> u16 {
    let language = tag.and_then(|tag| tag.split('-').next()).unwrap_or_default();
    let long = SHORT.iter().find(|(_, short)| *short == language).map_or(language, |(long, _)| *long);
    let letters = long.as_bytes();
    if letters.len() != 3 || !letters.iter().all(u8::is_ascii_lowercase) {
        return UNDETERMINED;
    }
    letters.iter().fold(0, |word, letter| word << 5 | u16::from(letter - b'`'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_of_containers_become_tags() {
        for (code, tag) in [
            ("eng", Some("en")),
            ("ger", Some("de")),
            ("de", Some("de")),
            ("yue", Some("yue")),
            ("und", None),
            ("", None),
            ("english", None),
        ] {
            assert_eq!(tag_of(code).as_deref(), tag, "{code}");
        }
    }

    #[test]
    fn tags_become_the_words_of_mp4_and_come_back() {
        for (tag, word, back) in [
            (Some("de"), 0x10b5, Some("de")),
            (Some("pt-br"), 0x41f2, Some("pt")),
            (Some("yue"), 0x66a5, Some("yue")),
            (Some("xx"), UNDETERMINED, None),
            (Some("German"), UNDETERMINED, None),
            (None, UNDETERMINED, None),
        ] {
            assert_eq!((packed(tag), unpacked(word).as_deref()), (word, back), "{tag:?}");
        }
        // A word of QuickTime's, which counts languages.
        assert_eq!(unpacked(0), None);
    }
}
