//! The same content at several addresses: BaseURL elements side by side (ISO/IEC 23009-1, 5.6), redundant variants
//! (RFC 8216, 6.2.4).

use url::Url;

/// Addresses that stand for each other, and with them the folders in which they have the same path: what lies in one
/// lies in the others too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    addresses: Vec<Url>,
    /// Parts of each path that are the same in all, counted from its end.
    common: usize,
}

/// Groups that are kept, and addresses in one.
pub(crate) const MOST: usize = 64;
const MOST_IN_ONE: usize = 8;

impl Mirror {
    /// The preferred one first; `None` when fewer than two of them differ.
    pub(crate) fn new(addresses: impl IntoIterator<Item = Url>) -> Option<Self> {
        let mut kept: Vec<Url> = Vec::new();
        for address in addresses {
            let http = matches!(address.scheme(), "http" | "https");
            if http && kept.len() < MOST_IN_ONE && !kept.contains(&address) {
                kept.push(address);
            }
        }
        if kept.len() < 2 {
            return None;
        }
        let common = (0..64).take_while(|at| {
            let mut parts = kept.iter().map(|address| address.path().rsplit('/').nth(*at));
            let first = parts.next().flatten();
            first.is_some() && parts.all(|part| part == first)
        });
        // An address is at least in its own folder.
        let common = common.count().max(1);
        Some(Self { addresses: kept, common })
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
        if url == base {
            return Some(other.clone());
        }
        let rest = url.as_str().strip_prefix(self.folder(base))?;
        Url::parse(&format!("{}{rest}", self.folder(other))).ok()
    }

    /// Where else `url` can be had: at the address after its own first, then round to the one before it.
    pub fn others(&self, url: &Url) -> Vec<Url> {
        let own = self.addresses.iter().position(|address| self.stands_for(address, url, address).is_some());
        let Some(own) = own else { return Vec::new() };
        let Some(base) = self.addresses.get(own) else { return Vec::new() };
        let (before, after) = self.addresses.split_at(own);
        let mut others: Vec<Url> = Vec::new();
        for other in after.iter().skip(1).chain(before).filter_map(|other| self.stands_for(base, url, other))
        {
            if other != *url && !others.contains(&other) {
                others.push(other);
            }
        }
        others
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
    fn one_address_is_no_mirror() {
        assert!(Mirror::new(["http://a/x", "http://a/x"].map(url)).is_none());
        assert!(Mirror::new(["http://a/x", "file:///x"].map(url)).is_none());
        let many = (0..100).map(|n| url(&format!("http://h{n}/")));
        assert_eq!(Mirror::new(many).unwrap().addresses.len(), MOST_IN_ONE);
    }
}
