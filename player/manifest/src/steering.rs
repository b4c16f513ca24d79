//! Content steering: a server says from which of several places, called pathways, the same content is to be fetched
//! (RFC 8216bis, 4.4.6.6 and 7; for DASH ETSI TS 103 998).

use std::{collections::BTreeMap, time::Duration};

use base64::Engine as _;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use url::Url;

use crate::{Error, error::one_line, model::Protocol};

/// What a manifest says of its steering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentSteering {
    /// Where the [`SteeringManifest`] is; a `data:` address holds it.
    pub server: Url,
    /// Pathways to use until the steering manifest is there, the preferred one first; empty where nothing is said.
    pub first: Vec<String>,
    /// The steering manifest is to be read before any media are (`queryBeforeStart`, DASH).
    pub before_start: bool,
}

/// What a steering server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SteeringManifest {
    /// It is to be asked again after so long, 1 s to 1 day.
    pub ttl: Duration,
    /// Where to ask then; the same place where nothing is said.
    pub reload: Option<Url>,
    /// Pathways, the preferred one first.
    pub priority: Vec<String>,
    /// Pathways that the manifest does not list.
    pub clones: Vec<PathwayClone>,
}

/// A pathway that is like another one but for its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathwayClone {
    /// Pathway that it is made from.
    pub base: String,
    /// Its own name.
    pub id: String,
    host: Option<String>,
    params: BTreeMap<String, String>,
    /// Addresses by `STABLE-VARIANT-ID` and `STABLE-RENDITION-ID`.
    variants: BTreeMap<String, Url>,
    renditions: BTreeMap<String, Url>,
}

/// Stable name of what an address lists, where the playlist gives one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stable {
    Variant(String),
    Rendition(String),
}

/// Most pathways, and most clones, that are looked at.
const MOST: usize = 64;
/// Longest name of a pathway, in bytes.
const LONGEST: usize = 256;
/// Where nothing is said it is asked again after so many seconds.
const TTL: f64 = 300.0;

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct Written {
    version: serde_json::Value,
    ttl: Option<f64>,
    reload_uri: Option<String>,
    #[serde(alias = "SERVICE-LOCATION-PRIORITY")]
    pathway_priority: Option<Vec<String>>,
    #[serde(default)]
    pathway_clones: Vec<WrittenClone>,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct WrittenClone {
    base_id: String,
    id: String,
    uri_replacement: Replacement,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct Replacement {
    host: Option<String>,
    #[serde(default)]
    params: BTreeMap<String, String>,
    #[serde(default)]
    per_variant_uris: BTreeMap<String, String>,
    #[serde(default)]
    per_rendition_uris: BTreeMap<String, String>,
}

impl SteeringManifest {
    /// Reads one that was loaded from `url` (after redirects).
    ///
    /// # Errors
    /// It is no JSON of this form, of another version than 1, or names no pathway.
    pub fn parse(bytes: &[u8], url: &Url) -> Result<Self, Error> {
        let advice = "correct it at the steering server; playback goes on as before";
        let wrong = |what: String| Error::incomplete(format!("the steering manifest {what}"), advice);
        let written: Written =
            serde_json::from_slice(bytes).map_err(|reason| wrong(format!("cannot be read: {reason}")))?;
        if written.version.as_u64() != Some(1) {
            let version = one_line(&written.version.to_string(), 20);
            return Err(wrong(format!("has VERSION {version}; 1 is known")));
        }
        let named = |id: &String| !id.is_empty() && id.len() <= LONGEST;
        let mut priority: Vec<String> = Vec::new();
        for id in written.pathway_priority.unwrap_or_default().into_iter().filter(named).take(MOST) {
            if !priority.contains(&id) {
                priority.push(id);
            }
        }
        if priority.is_empty() {
            return Err(wrong("has no pathway in PATHWAY-PRIORITY".to_owned()));
        }
        let ttl = written.ttl.filter(|ttl| ttl.is_finite()).unwrap_or(TTL).clamp(1.0, 86_400.0);
        let clones = written.pathway_clones.into_iter().take(MOST);
        Ok(Self {
            ttl: Duration::from_secs_f64(ttl),
            reload: written.reload_uri.and_then(|reload| join(url, &reload)),
            priority,
            clones: clones
                .filter(|clone| named(&clone.id) && named(&clone.base_id))
                .map(|clone| clone.read(url))
                .collect(),
        })
    }
}

impl WrittenClone {
    fn read(self, url: &Url) -> PathwayClone {
        let Replacement { host, params, per_variant_uris, per_rendition_uris } = self.uri_replacement;
        let addresses = |list: BTreeMap<String, String>| {
            list.into_iter().filter_map(|(id, uri)| Some((id, join(url, &uri)?))).collect()
        };
        PathwayClone {
            base: self.base_id,
            id: self.id,
            host,
            params,
            variants: addresses(per_variant_uris),
            renditions: addresses(per_rendition_uris),
        }
    }
}

/// `uri`, which may be relative; to a `data:` address nothing can be.
fn join(base: &Url, uri: &str) -> Option<Url> {
    base.join(uri).ok().filter(|url| matches!(url.scheme(), "http" | "https" | "data"))
}

impl PathwayClone {
    /// The address that `url`, which is `stable`, has in this pathway.
    pub(crate) fn address(&self, url: &Url, stable: Option<&Stable>) -> Option<Url> {
        let given = match stable {
            Some(Stable::Variant(id)) => self.variants.get(id),
            Some(Stable::Rendition(id)) => self.renditions.get(id),
            None => None,
        };
        let mut url = given.unwrap_or(url).clone();
        if given.is_none()
            && let Some(host) = &self.host
        {
            // A port may stand behind the name; the one that the base had is another server's.
            let (name, port) = match host.rsplit_once(':') {
                Some((name, port)) if !port.ends_with(']') => (name, Some(port.parse::<u16>().ok()?)),
                _ => (host.as_str(), None),
            };
            url.set_host(Some(name)).ok()?;
            url.set_port(port).ok()?;
        }
        if !self.params.is_empty() {
            let kept: Vec<(String, String)> = url
                .query_pairs()
                .filter(|(name, _)| !self.params.contains_key(&**name))
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect();
            url.query_pairs_mut().clear().extend_pairs(kept).extend_pairs(&self.params);
        }
        Some(url)
    }
}

/// What to ask a steering server: where, from which pathways (quoted, RFC 8216bis 7.3) media were fetched and how fast, in bit/s.
pub fn steering_request(
    server: &Url,
    protocol: Protocol,
    pathways: &[String],
    throughput: Option<u64>,
) -> Url {
    let mut url = server.clone();
    let prefix = match protocol {
        Protocol::Hls => "_HLS",
        Protocol::Dash => "_DASH",
    };
    let own = [format!("{prefix}_pathway"), format!("{prefix}_throughput")];
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| !own.iter().any(|own| own == name))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    if kept.is_empty() {
        url.set_query(None);
    }
    let [pathway, rate] = own;
    let pathways = (!pathways.is_empty()).then(|| (pathway, format!("\"{}\"", pathways.join(","))));
    let rate = throughput.map(|throughput| (rate, throughput.to_string()));
    if kept.len() + usize::from(pathways.is_some()) + usize::from(rate.is_some()) > 0 {
        url.query_pairs_mut().clear().extend_pairs(kept).extend_pairs(pathways).extend_pairs(rate);
    }
    url
}

/// What a `data:` address holds (RFC 2397); `None` for another address, or one that cannot be read.
pub fn data_of(url: &Url) -> Option<Vec<u8>> {
    if url.scheme() != "data" {
        return None;
    }
    let (kind, data) = url.path().split_once(',')?;
    // A question mark is part of the data there.
    let data = match url.query() {
        Some(query) => format!("{data}?{query}"),
        None => data.to_owned(),
    };
    let bytes: Vec<u8> = percent_decode_str(&data).collect();
    if kind.trim_end().ends_with(";base64") {
        base64::engine::general_purpose::STANDARD.decode(bytes.trim_ascii()).ok()
    } else {
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn read(text: &str) -> Result<SteeringManifest, Error> {
        SteeringManifest::parse(text.as_bytes(), &url("https://steer.example/a/b?c"))
    }

    #[test]
    fn a_steering_manifest_is_read_with_its_bounds() {
        let good = |text| read(text).unwrap();
        let full = good(
            r#"{"VERSION":1,"TTL":12,"RELOAD-URI":"next?s=1","PATHWAY-PRIORITY":["b","a","b",""],"OTHER":[]}"#,
        );
        assert_eq!(full.ttl, Duration::from_secs(12));
        assert_eq!(full.reload, Some(url("https://steer.example/a/next?s=1")));
        assert_eq!(full.priority, ["b", "a"]);
        let dash = good(r#"{"VERSION":1,"SERVICE-LOCATION-PRIORITY":["x"]}"#);
        assert_eq!((dash.ttl, &dash.reload), (Duration::from_secs(300), &None));
        assert_eq!(good(r#"{"VERSION":1,"TTL":-4,"PATHWAY-PRIORITY":["x"]}"#).ttl, Duration::from_secs(1));
        assert_eq!(good(r#"{"VERSION":1,"TTL":1e300,"PATHWAY-PRIORITY":["x"]}"#).ttl.as_secs(), 86_400);
    }

    #[test]
    fn one_that_cannot_be_followed_says_why() {
        for (text, part) in [
            ("", "cannot be read"),
            ("[]", "cannot be read"),
            (r#"{"VERSION":2,"PATHWAY-PRIORITY":["a"]}"#, "VERSION 2"),
            (r#"{"VERSION":1,"PATHWAY-PRIORITY":[]}"#, "PATHWAY-PRIORITY"),
            (r#"{"VERSION":1}"#, "PATHWAY-PRIORITY"),
            (r#"{"PATHWAY-PRIORITY":["a"]}"#, "VERSION"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{text}: {error}");
        }
    }

    #[test]
    fn a_clone_has_the_addresses_of_its_base_but_for_what_is_replaced() {
        let manifest = read(
            r#"{"VERSION":1,"PATHWAY-PRIORITY":["c"],"PATHWAY-CLONES":[
                {"BASE-ID":"a","ID":"c","URI-REPLACEMENT":{"HOST":"c.example:81","PARAMS":{"t":"x y"},
                 "PER-VARIANT-URIS":{"hd":"https://hd.example/v.m3u8"}}},
                {"BASE-ID":"a","ID":"","URI-REPLACEMENT":{}}]}"#,
        )
        .unwrap();
        let [clone] = manifest.clones.as_slice() else { panic!("{manifest:?}") };
        let at = |text: &str, stable: Option<Stable>| {
            clone.address(&url(text), stable.as_ref()).unwrap().to_string()
        };
        assert_eq!(at("https://a:9/v/1?q=1&t=0", None), "https://c.example:81/v/1?q=1&t=x+y");
        let stable = |id: &str| Some(Stable::Variant(id.to_owned()));
        assert_eq!(at("https://a/v/1", stable("hd")), "https://hd.example/v.m3u8?t=x+y");
        assert_eq!(at("https://a/v/1", stable("sd")), "https://c.example:81/v/1?t=x+y");
    }

    #[test]
    fn the_server_hears_where_media_came_from_and_how_fast() {
        let server = url("https://steer.example/s?id=7&_HLS_pathway=old");
        let ask = |protocol, pathways: &[&str], rate| {
            let pathways: Vec<String> = pathways.iter().map(|id| (*id).to_owned()).collect();
            steering_request(&server, protocol, &pathways, rate).to_string()
        };
        assert_eq!(
            ask(Protocol::Hls, &["CDN-A"], Some(5_000_000)),
            "https://steer.example/s?id=7&_HLS_pathway=%22CDN-A%22&_HLS_throughput=5000000"
        );
        assert!(ask(Protocol::Dash, &["a", "b"], None).ends_with("&_DASH_pathway=%22a%2Cb%22"));
        let bare = steering_request(&url("https://s/x"), Protocol::Hls, &[], None);
        assert_eq!(bare.as_str(), "https://s/x");
    }

    #[test]
    fn a_data_address_holds_its_manifest() {
        let text = r#"{"VERSION":1}"#;
        let plain = url("data:application/json,%7B%22VERSION%22%3A1%7D");
        assert_eq!(data_of(&plain).unwrap(), text.as_bytes());
        let coded = base64::engine::general_purpose::STANDARD.encode(text);
        assert_eq!(data_of(&url(&format!("data:;base64,{coded}"))).unwrap(), text.as_bytes());
        assert_eq!(data_of(&url("data:,a?b")).unwrap(), b"a?b");
        assert_eq!(data_of(&url("http://a/,x")), None);
        assert_eq!(data_of(&url("data:;base64,***")), None);
        assert_eq!(data_of(&url("data:,%4")).unwrap(), b"%4");
    }
}
