//! What a request tells about the one who plays.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, header};

use super::cmcd::Cmcd;

/// Longest identity that is taken from a request.
const LONGEST_ID: usize = 128;

/// Headers that carry CMCD, each with keys of its own.
static CMCD_HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("cmcd-session"),
    HeaderName::from_static("cmcd-object"),
    HeaderName::from_static("cmcd-request"),
    HeaderName::from_static("cmcd-status"),
];

/// The session's name that Apple's players send.
static PLAYBACK_SESSION: HeaderName = HeaderName::from_static("x-playback-session-id");

/// Headers that tell that nobody watches yet.
static PREFETCH_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("purpose"),
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("x-moz"),
];

/// Parts of user agents that fetch media without anybody watching.
const MACHINES: [&str; 16] = [
    "bot",
    "crawl",
    "spider",
    "slurp",
    "preview",
    "facebookexternalhit",
    "whatsapp",
    "embedly",
    "monitor",
    "uptime",
    "pingdom",
    "headlesscheck",
    "scanner",
    "archiver",
    "prefetch",
    "lighthouse",
];

/// Every sign of identity in a request, unjudged.
#[derive(Debug, Clone)]
pub struct Who {
    pub(super) token: Option<String>,
    /// What the player says about itself, also without naming its session.
    pub(super) cmcd: Option<Cmcd>,
    pub(super) playback: Option<String>,
    pub(super) own: Option<String>,
    pub(super) agent: String,
    pub(super) address: IpAddr,
    prefetch: bool,
}

impl Who {
    /// Someone of whom only address and user agent are known.
    pub fn from_address(address: IpAddr, agent: &str) -> Self {
        Self {
            token: None,
            cmcd: None,
            playback: None,
            own: None,
            agent: agent.to_owned(),
            address,
            prefetch: false,
        }
    }

    /// Reads a request.
    pub fn from_request(address: IpAddr, headers: &HeaderMap, query: Option<&str>) -> Self {
        let text = |name: &HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
        let mut who = Self::from_address(address, text(&header::USER_AGENT).unwrap_or(""));
        for (key, value) in url::form_urlencoded::parse(query.unwrap_or("").as_bytes()).take(32) {
            match &*key {
                "sid" => who.token = identity(&value),
                "CMCD" | "cmcd" => who.cmcd = Some(Cmcd::parse(&value)),
                "s" => who.own = identity(&value),
                _ => {}
            }
        }
        for name in &CMCD_HEADERS {
            if let Some(list) = text(name) {
                who.cmcd.get_or_insert_default().add(list);
            }
        }
        who.playback = text(&PLAYBACK_SESSION).and_then(identity);
        who.prefetch = PREFETCH_HEADERS
            .iter()
            .any(|name| text(name).is_some_and(|value| value.to_ascii_lowercase().contains("prefetch")));
        who
    }

    /// The one who posted an event, with what it says instead of what the request says.
    #[must_use]
    pub fn reporting(mut self, report: Cmcd) -> Self {
        self.cmcd = Some(report);
        self
    }

    /// Whether it is a crawler, a monitor or a prefetch: it gets media like anybody, and is no viewer.
    pub fn is_machine(&self) -> bool {
        let agent = self.agent.to_ascii_lowercase();
        self.prefetch || MACHINES.iter().any(|part| agent.contains(part))
    }

    /// The part of the address that one household keeps: all of IPv4, the /64 of IPv6.
    pub(super) fn prefix(&self) -> Vec<u8> {
        match self.address.to_canonical() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().into_iter().take(8).collect(),
        }
    }
}

fn identity(value: &str) -> Option<String> {
    let value = value.trim();
    (!value.is_empty() && value.len() <= LONGEST_ID).then(|| value.to_owned())
}
