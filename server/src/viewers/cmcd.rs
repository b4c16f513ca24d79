//! Common Media Client Data (CTA-5004 and its version 2): what a player says about itself.
//!
//! The text is a structured-field dictionary (RFC 9651), by query, headers or a posted line. It comes from strangers:
//! whatever is too long, malformed or beyond reason is passed over, key by key, and nothing is allocated but the two
//! ids.

/// Longest list that is read, in bytes; a longer one is ignored as a whole.
const LONGEST_LIST: usize = 8 * 1024;
/// Keys that are looked at in one list.
const MOST_KEYS: usize = 64;
/// CMCD's limit for `sid`.
const LONGEST_SID: usize = 64;
/// CMCD version 2's limit for `cid`.
const LONGEST_CID: usize = 128;

/// What the requested object is (`ot`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectType {
    /// Picture, with or without sound.
    Video,
    /// Sound alone.
    Audio,
    /// Playlists, init segments, captions, keys.
    Other,
}

/// What the player does (`sta`, version 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayerState {
    /// Told to play, nothing shown yet.
    Starting,
    /// Media is being shown.
    Playing,
    /// The playhead is on its way.
    Seeking,
    /// Stands still for want of media.
    Rebuffering,
    /// Stands still by wish.
    Paused,
    /// Came to the end.
    Ended,
    /// Gave up.
    Failed,
    /// The viewer left.
    Quit,
    /// Loads without having been told to play.
    Preloading,
}

/// One report, of a request or an event. Times in milliseconds, rates in kbit/s, as on the wire.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cmcd {
    /// Session (`sid`).
    pub sid: Option<String>,
    /// Content (`cid`).
    pub cid: Option<String>,
    /// Encoded bitrate of the object, or of what is played (`br`, else `pb`).
    pub bitrate_kbps: Option<u32>,
    /// Length of the object (`d`).
    pub duration_ms: Option<u32>,
    /// Buffered media (`bl`); of the picture where both are told.
    pub buffer_ms: Option<u32>,
    /// Measured throughput (`mtp`).
    pub throughput_kbps: Option<u32>,
    /// Best bitrate on offer (`tb`).
    pub top_kbps: Option<u32>,
    /// The buffer ran dry since the last request (`bs`).
    pub starved: bool,
    /// Wanted urgently: start-up, seek or recovery (`su`); `None` when not told.
    pub startup: Option<bool>,
    /// What the object is (`ot`).
    pub object: Option<ObjectType>,
    /// `h` for HLS, `d` for DASH (`sf`).
    pub format: Option<char>,
    /// What the player does (`sta`).
    pub state: Option<PlayerState>,
    /// From being told to play to the first picture (`msd`).
    pub start_delay_ms: Option<u32>,
    /// Behind the live edge (`ltc`).
    pub latency_ms: Option<u32>,
    /// Stalls since the session began (`bsa`).
    pub stalls: Option<u32>,
    /// Time stalled since the session began (`bsda`).
    pub stalled_ms: Option<u32>,
    /// Length of the last stall (`bsd`).
    pub stall_ms: Option<u32>,
    /// Frames dropped since the session began (`dfa`).
    pub dropped: Option<u32>,
    /// The player's clock at an event (`ts`), milliseconds since 1970.
    pub at_ms: Option<u64>,
    /// Whether the report is of an event (`e`), not of a request.
    pub event: bool,
}

/// Bounds past which a number is a mistake or a lie.
const MOST_KBPS: u64 = 10_000_000;
const MOST_MS: u64 = 24 * 3_600_000;

impl Cmcd {
    /// Reads a list such as `br=2800,sid="6e2fb550-c457-11e9",bl=(21300;v 19000;a)`.
    pub fn parse(list: &str) -> Self {
        let mut report = Self::default();
        report.add(list);
        report
    }

    /// Adds the keys of another list of the same report, as the four headers are.
    pub(super) fn add(&mut self, list: &str) {
        if list.len() > LONGEST_LIST {
            return;
        }
        let mut rest = list;
        for _ in 0..MOST_KEYS {
            if rest.is_empty() {
                return;
            }
            let (item, next) = next_item(rest, ',');
            rest = next;
            let item = item.trim();
            let (key, value) = match item.split_once('=') {
                Some((key, value)) => (key.trim(), value.trim()),
                None => (item.split(';').next().unwrap_or(""), "?1"),
            };
            self.take(key, value);
        }
    }

    fn take(&mut self, key: &str, value: &str) {
        let kbps = || number(value, MOST_KBPS);
        let ms = || number(value, MOST_MS);
        match key {
            "sid" => self.sid = text(value, LONGEST_SID),
            "cid" => self.cid = text(value, LONGEST_CID),
            "br" => self.bitrate_kbps = kbps(),
            "pb" => self.bitrate_kbps = self.bitrate_kbps.or_else(kbps),
            "d" => self.duration_ms = ms(),
            "bl" => self.buffer_ms = ms(),
            "mtp" => self.throughput_kbps = kbps(),
            "tb" => self.top_kbps = kbps(),
            "bs" => self.starved = flag(value),
            "su" => self.startup = Some(flag(value)),
            "ot" => {
                self.object = Some(match bare(value) {
                    "v" | "av" => ObjectType::Video,
                    "a" => ObjectType::Audio,
                    _ => ObjectType::Other,
                });
            }
            "sf" => self.format = bare(value).chars().next(),
            "sta" => self.state = state(bare(value)),
            "msd" => self.start_delay_ms = ms(),
            "ltc" => self.latency_ms = ms(),
            "bsa" => self.stalls = number(value, 1_000_000),
            "bsda" => self.stalled_ms = ms(),
            "bsd" => self.stall_ms = ms(),
            "dfa" => self.dropped = number(value, 1_000_000_000),
            "ts" => self.at_ms = bare(value).parse().ok(),
            "e" => self.event = true,
            _ => {}
        }
    }
}

/// Splits at the next `at` outside quotes and inner lists.
fn next_item(text: &str, at: char) -> (&str, &str) {
    let (mut quoted, mut escaped, mut depth) = (false, false, 0_u32);
    for (here, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            c if c == at && depth == 0 => {
                return (text.get(..here).unwrap_or(""), text.get(here + 1..).unwrap_or(""));
            }
            _ => {}
        }
    }
    (text, "")
}

/// A value without its parameters.
fn bare(value: &str) -> &str {
    next_item(value, ';').0.trim().trim_matches('"')
}

/// A string, quoted or (as some players send it) not; unescaped.
fn text(value: &str, longest: usize) -> Option<String> {
    let value = next_item(value, ';').0.trim();
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    let clean = inner.replace("\\\"", "\"").replace("\\\\", "\\");
    (!clean.is_empty() && clean.len() <= longest && !clean.contains(char::is_control)).then_some(clean)
}

/// A number from 0 to `most`; of an inner list the one that is marked as the picture's, else the first.
fn number(value: &str, most: u64) -> Option<u32> {
    let item = match value.strip_prefix('(') {
        None => value,
        Some(list) => {
            let items = || list.split(')').next().unwrap_or("").split(' ').filter(|item| !item.is_empty());
            let of_picture = |item: &&str| item.split(';').skip(1).any(|p| matches!(p.trim(), "v" | "av"));
            items().take(8).find(of_picture).or_else(|| items().next())?
        }
    };
    let number: f64 = bare(item).parse().ok()?;
    (number.is_finite() && number >= 0.0 && number <= most as f64).then_some(number.round() as u32)
}

fn flag(value: &str) -> bool {
    !matches!(bare(value), "?0" | "false" | "0")
}

fn state(token: &str) -> Option<PlayerState> {
    Some(match token {
        "s" => PlayerState::Starting,
        "p" => PlayerState::Playing,
        "k" => PlayerState::Seeking,
        "r" | "w" => PlayerState::Rebuffering,
        "a" => PlayerState::Paused,
        "e" => PlayerState::Ended,
        "f" => PlayerState::Failed,
        "q" => PlayerState::Quit,
        "d" => PlayerState::Preloading,
        _ => return None,
    })
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
            ("nor=(\"a,b\" \"c)d\"),sid=\"y\"", Some("y")),
            ("sid=bare", Some("bare")),
            ("sid=\"\"", None),
            ("xsid=\"abc\"", None),
            ("", None),
            (",,,", None),
            ("\"", None),
            ("sid=\"a\u{1}b\"", None),
            (long.as_str(), None),
        ];
        for (list, expected) in rows {
            assert_eq!(Cmcd::parse(list).sid.as_deref(), expected, "{list}");
        }
    }

    #[test]
    fn reads_version_1_and_version_2_alike() {
        let one = Cmcd::parse(
            "bl=21300,br=3200,bs,cid=\"film\",d=4004,mtp=25400,ot=v,sf=h,sid=\"s\",st=v,su,tb=6000",
        );
        assert_eq!(
            one,
            Cmcd {
                sid: Some("s".into()),
                cid: Some("film".into()),
                bitrate_kbps: Some(3200),
                duration_ms: Some(4004),
                buffer_ms: Some(21_300),
                throughput_kbps: Some(25_400),
                top_kbps: Some(6000),
                starved: true,
                startup: Some(true),
                object: Some(ObjectType::Video),
                format: Some('h'),
                ..Cmcd::default()
            }
        );
        let two = Cmcd::parse(
            "e=ps,ts=1764000000123,sta=r,bl=(900;a 300;v),br=(128;a 2800;av),mtp=(4200),bs=?0,su=?0,msd=850,ltc=3100,\
             bsa=(2),bsda=(1700;v),dfa=12,sn=4,v=2",
        );
        assert_eq!(
            (two.buffer_ms, two.bitrate_kbps, two.throughput_kbps),
            (Some(300), Some(2800), Some(4200))
        );
        assert_eq!((two.starved, two.startup, two.event), (false, Some(false), true));
        assert_eq!((two.start_delay_ms, two.latency_ms, two.dropped), (Some(850), Some(3100), Some(12)));
        assert_eq!((two.stalls, two.stalled_ms), (Some(2), Some(1700)));
        assert_eq!((two.state, two.at_ms), (Some(PlayerState::Rebuffering), Some(1_764_000_000_123)));
    }

    #[test]
    fn numbers_beyond_reason_are_passed_over() {
        for list in
            ["bl=-5", "bl=1e99", "bl=NaN", "bl=inf", "bl=(", "bl=()", "bl=", "bl=99999999999", "br=abc", "bl"]
        {
            let report = Cmcd::parse(list);
            assert_eq!((report.buffer_ms, report.bitrate_kbps), (None, None), "{list}");
        }
    }

    #[test]
    fn a_list_past_the_limits_costs_nothing() {
        assert_eq!(Cmcd::parse(&format!("sid=\"a\",x=\"{}\"", "y".repeat(LONGEST_LIST))), Cmcd::default());
        let many = format!("{}sid=\"late\"", "a,".repeat(MOST_KEYS));
        assert_eq!(Cmcd::parse(&many).sid, None);
    }

    #[test]
    fn mutations_neither_panic_nor_break_the_bounds() {
        let seeds = [
            "bl=21300,br=3200,bs,cid=\"film\",d=4004,mtp=25400,ot=v,sf=h,sid=\"6e2f\",st=v,su,tb=6000",
            "e=ps,ts=1764000000123,sta=r,bl=(900;a 300;v),nor=(\"a\\\"b\" \"c\";r=\"0-1\"),msd=850,v=2",
        ];
        let splices: [&[u8]; 10] = [
            b"\"",
            b"\\",
            b"(",
            b")",
            b",",
            b";",
            b"=",
            "\u{fffd}".as_bytes(),
            b"\0",
            b"99999999999999999999",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below.max(1)
        };
        for round in 0..20_000 {
            let mut bytes = seeds[round % 2].as_bytes().to_vec();
            for _ in 0..=next(4) {
                let at = next(bytes.len());
                match next(4) {
                    0 => bytes.truncate(at),
                    1 => bytes[at..=at].copy_from_slice(&[next(256) as u8]),
                    2 => drop(bytes.splice(at..at, splices[next(10)].iter().copied())),
                    _ => drop(bytes.drain(at..(at + next(9)).min(bytes.len()))),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            let report = Cmcd::parse(&String::from_utf8_lossy(&bytes));
            assert!(report.sid.is_none_or(|sid| (1..=LONGEST_SID).contains(&sid.len())));
            assert!(report.cid.is_none_or(|cid| (1..=LONGEST_CID).contains(&cid.len())));
            assert!(report.buffer_ms.is_none_or(|ms| u64::from(ms) <= MOST_MS));
            assert!(report.bitrate_kbps.is_none_or(|kbps| u64::from(kbps) <= MOST_KBPS));
        }
    }
}
