//! The same content at several addresses: BaseURL elements side by side (ISO/IEC 23009-1, 5.6), redundant variants
//! (RFC 8216, 6.2.4).

use url::Url;

use crate::steering::{PathwayClone, Stable};

/// Addresses that stand for each other, and with them the folders in which they have the same path: what lies in one
/// lies in the others too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    addresses: Vec<Address>,
    /// Parts of each path that are the same in all, counted from its end.
    common: usize,
    stable: Option<Stable>,
}

/// One of several addresses of the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Absolute.
    pub url: Url,
    /// The pathway that it belongs to, where a stream is steered.
    pub pathway: Option<String>,
}

/// What `url` asks for beyond `base`, which is the same but for that (`_HLS_msn=7`).
fn directives<'a>(base: &Url, url: &'a Url) -> Option<&'a str> {
    let bare = |url: &Url| url.as_str().len() - url.query().map_or(0, |query| query.len() + 1);
    if base.as_str().get(..bare(base)) != url.as_str().get(..bare(url)) {
        return None;
    }
    match (url.query(), base.query()) {
        (None, None) => Some(""),
        (Some(query), None) => Some(query),
        (Some(query), Some(own)) if query == own => Some(""),
        (Some(query), Some(own)) => query.strip_prefix(own)?.strip_prefix('&'),
        (None, Some(_)) => None,
    }
}

/// Groups that are kept, and addresses in one.
pub(crate) const MOST: usize = 64;
const MOST_IN_ONE: usize = 16;

impl Mirror {
    #[cfg(test)]
    fn new(addresses: impl IntoIterator<Item = Url>) -> Option<Self> {
        Self::of(addresses.into_iter().map(|url| Address { url, pathway: None }), None)
    }

    /// The preferred one first; `None` when fewer than two of them differ. A single address is something only in a pathway:
    /// others may be made from that.
    pub(crate) fn of(addresses: impl IntoIterator<Item = Address>, stable: Option<Stable>) -> Option<Self> {
        let mut kept: Vec<Address> = Vec::new();
        for address in addresses {
            let http = matches!(address.url.scheme(), "http" | "https");
            if http && kept.len() < MOST_IN_ONE && !kept.iter().any(|known| known.url == address.url) {
                kept.push(address);
            }
        }
        if kept.len() < 2 && kept.iter().all(|address| address.pathway.is_none()) {
            return None;
        }
        let common = (0..64).take_while(|at| {
            let mut parts = kept.iter().map(|address| address.url.path().rsplit('/').nth(*at));
            let first = parts.next().flatten();
            first.is_some() && parts.all(|part| part == first)
        });
        // An address is at least in its own folder.
        let common = common.count().max(1);
        Some(Self { addresses: kept, common, stable })
    }

    /// The folder of an address, its slash included.
    fn folder<'a>(&self, address: &'a Url) -> &'a str {
        let mut folder = address.as_str().split(['?', '#']).next().unwrap_or_default();
        // The slashes of scheme and host are none of the path.
        let root = folder.len().saturating_sub(address.path().len());
        for _ in 0..self.common {
            let Some(slash) = folder.rfind('/').filter(|slash| *slash > root) else {
                return folder.get(..=root).unwrap_or(folder);
            };
            folder = folder.get(..slash).unwrap_or(folder);
        }
        address.as_str().get(..=folder.len()).unwrap_or(folder)
    }

    /// What `url`, which is `base` or lies in its folder, is at `other`.
    fn stands_for(&self, base: &Url, url: &Url, other: &Url) -> Option<Url> {
        if let Some(directives) = directives(base, url) {
            let mut there = other.clone();
            if !directives.is_empty() {
                let query = other.query().map_or_else(String::new, |query| format!("{query}&"));
                there.set_query(Some(&format!("{query}{directives}")));
            }
            return Some(there);
        }
        let rest = url.as_str().strip_prefix(self.folder(base))?;
        Url::parse(&format!("{}{rest}", self.folder(other))).ok()
    }

    /// With the addresses that it has in `clones` of its pathways.
    pub fn with_clones(&self, clones: &[PathwayClone]) -> Self {
        let mut addresses = self.addresses.clone();
        for clone in clones {
            let of = |id: &str| addresses.iter().find(|address| address.pathway.as_deref() == Some(id));
            if of(&clone.id).is_some() {
                continue;
            }
            let base = of(&clone.base);
            let url = base.and_then(|base| clone.address(&base.url, self.stable.as_ref()));
            addresses.extend(url.map(|url| Address { url, pathway: Some(clone.id.clone()) }));
        }
        Self::of(addresses, self.stable.clone()).unwrap_or_else(|| self.clone())
    }

    /// The pathways in which it can be had, in file order.
    pub fn pathways(&self) -> impl Iterator<Item = &str> {
        self.addresses.iter().filter_map(|address| address.pathway.as_deref())
    }

    /// How closely `url` belongs here: the more, the closer; `None` for what lies elsewhere.
    pub fn fit(&self, url: &Url) -> Option<usize> {
        if self.addresses.iter().any(|address| directives(&address.url, url).is_some()) {
            return Some(usize::MAX);
        }
        let folders = self.addresses.iter().map(|address| self.folder(&address.url));
        folders.filter(|folder| url.as_str().starts_with(folder)).map(str::len).max()
    }

    /// Pathways that have addresses on the server of `url`.
    pub fn pathways_at(&self, url: &Url) -> impl Iterator<Item = &str> {
        let at = url.origin();
        let here = self.addresses.iter().filter(move |address| address.url.origin() == at);
        here.filter_map(|address| address.pathway.as_deref())
    }

    /// Where `url` can be had: `url` itself, then the address after its own, then round to the one before it; empty for what
    /// lies elsewhere.
    pub fn places(&self, url: &Url) -> Vec<Address> {
        let exact = self.addresses.iter().position(|address| directives(&address.url, url).is_some());
        let within =
            || self.addresses.iter().position(|address| url.as_str().starts_with(self.folder(&address.url)));
        let Some(own) = exact.or_else(within) else { return Vec::new() };
        let (before, after) = self.addresses.split_at(own);
        let Some(base) = after.first() else { return Vec::new() };
        let mut places = vec![Address { url: url.clone(), pathway: base.pathway.clone() }];
        for other in after.iter().skip(1).chain(before) {
            if let Some(there) = self.stands_for(&base.url, url, &other.url)
                && !places.iter().any(|place| place.url == there)
            {
                places.push(Address { url: there, pathway: other.pathway.clone() });
            }
        }
        places
    }

    /// Where else `url` can be had.
    pub fn others(&self, url: &Url) -> Vec<Url> {
        self.places(url).into_iter().skip(1).map(|place| place.url).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn what_lies_beside_in_the_same_tree_is_found_too() {
        let mirror = Mirror::new(["http://a/x/v/1.m3u8", "http://b/y/v/1.m3u8"].map(url)).unwrap();
        let others = |text: &str| mirror.others(&url(text)).iter().map(Url::to_string).collect::<Vec<_>>();
        assert_eq!(others("http://a/x/audio/1.m4s"), ["http://b/y/audio/1.m4s"]);
        assert!(others("http://a/1.m4s").is_empty());
        let whole = Mirror::new(["http://a:1/s/v.m3u8", "http://b/s/v.m3u8"].map(url)).unwrap();
        assert_eq!(whole.others(&url("http://a:1/k")), [url("http://b/k")]);
    }

    #[test]
    fn what_lies_beside_an_address_lies_beside_the_others() {
        let mirror =
            Mirror::new(["http://a/x/v.m3u8", "http://b/y/z/v.m3u8?t=1", "https://c/v.m3u8"].map(url))
                .unwrap();
        let others = |text: &str| mirror.others(&url(text)).iter().map(Url::to_string).collect::<Vec<_>>();
        assert_eq!(others("http://a/x/v.m3u8"), ["http://b/y/z/v.m3u8?t=1", "https://c/v.m3u8"]);
        assert_eq!(others("http://a/x/s/1.m4s?q"), ["http://b/y/z/s/1.m4s?q", "https://c/s/1.m4s?q"]);
        assert_eq!(others("http://b/y/z/1.m4s"), ["https://c/1.m4s", "http://a/x/1.m4s"]);
        assert!(others("http://a/1.m4s").is_empty() && others("http://d/x/1.m4s").is_empty());
    }

    #[test]
    fn what_is_asked_for_beyond_an_address_is_asked_for_at_the_others() {
        let mirror = Mirror::new(["http://a/x/v.m3u8?t=1", "http://b/y/w.m3u8"].map(url)).unwrap();
        let others = |text: &str| mirror.others(&url(text)).iter().map(Url::to_string).collect::<Vec<_>>();
        assert_eq!(others("http://a/x/v.m3u8?t=1&_HLS_msn=7"), ["http://b/y/w.m3u8?_HLS_msn=7"]);
        assert_eq!(others("http://b/y/w.m3u8?_HLS_msn=7"), ["http://a/x/v.m3u8?t=1&_HLS_msn=7"]);
        let same_path = Mirror::new(["http://a/v?cdn=1", "http://a/v?cdn=2"].map(url)).unwrap();
        assert_eq!(same_path.others(&url("http://a/v?cdn=2")), [url("http://a/v?cdn=1")]);
    }

    #[test]
    fn one_address_is_no_mirror() {
        assert!(Mirror::new(["http://a/x", "http://a/x"].map(url)).is_none());
        assert!(Mirror::new(["http://a/x", "file:///x"].map(url)).is_none());
        let many = (0..100).map(|n| url(&format!("http://h{n}/")));
        assert_eq!(Mirror::new(many).unwrap().addresses.len(), MOST_IN_ONE);
    }
}
