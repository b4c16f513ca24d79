//! Where else something can be had when its server is in trouble.

use std::{
    cmp::Reverse,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use url::Url;
use weir_manifest::{Address, Mirror, PathwayClone};

use super::{Ask, Body, Http, NetError, Progress, error::host_of, stream::Tap};

/// A server that failed is asked last for so long.
const AVOIDED: Duration = Duration::from_secs(30);

/// And a pathway of a steered stream for so long: there is a reason why another one comes first.
const PENALTY: Duration = Duration::from_secs(60);

/// So long a server may be silent while there is another one to ask.
const HURRIED: Duration = Duration::from_secs(3);

/// Servers that are remembered.
const REMEMBERED: usize = 32;

/// What the manifest says of mirrors, which of them come first, and which failed lately. Shared by all requests of a session.
#[derive(Debug, Default)]
pub(crate) struct Mirrors(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// As the manifest has them.
    listed: Vec<Mirror>,
    clones: Vec<PathwayClone>,
    /// Clones included.
    mirrors: Vec<Mirror>,
    /// Pathways, the preferred one first; empty where nobody steers.
    order: Vec<String>,
    /// Who, and when; oldest first.
    failed: Vec<(Whom, Instant)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whom {
    /// Host and port.
    Host(String),
    Pathway(String),
}

impl Whom {
    fn at(place: &Address) -> Self {
        place.pathway.clone().map_or_else(|| Self::Host(host_of(&place.url)), Self::Pathway)
    }
}

impl State {
    fn make(&mut self) {
        self.mirrors = self.listed.iter().map(|mirror| mirror.with_clones(&self.clones)).collect();
    }

    fn is_avoided(&self, whom: &Whom, now: Instant) -> bool {
        let at = self.failed.iter().find(|(failed, _)| failed == whom).map(|(_, at)| *at);
        let long = match whom {
            Whom::Host(_) => AVOIDED,
            Whom::Pathway(_) => PENALTY,
        };
        at.is_some_and(|at| now.saturating_duration_since(at) < long)
    }

    fn rank(&self, pathway: Option<&str>) -> usize {
        let at = pathway.and_then(|id| self.order.iter().position(|known| known == id));
        at.unwrap_or(self.order.len())
    }
}

impl Mirrors {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A manifest was read.
    pub(crate) fn set(&self, mirrors: &[Mirror]) {
        let mut state = self.lock();
        if state.listed != mirrors {
            state.listed = mirrors.to_vec();
            state.make();
        }
    }

    /// Who steers says which pathways come first, and what others there are.
    pub(crate) fn steer(&self, order: &[String], clones: &[PathwayClone]) {
        let mut state = self.lock();
        state.order = order.to_vec();
        if state.clones != clones {
            state.clones = clones.to_vec();
            state.make();
        }
    }

    /// The pathway that is asked first now.
    pub(crate) fn pathway(&self, now: Instant) -> Option<String> {
        let state = self.lock();
        let known = state.mirrors.iter().flat_map(Mirror::pathways);
        // The first of equals, as requests find it.
        let first = known
            .min_by_key(|id| (state.is_avoided(&Whom::Pathway((*id).to_owned()), now), state.rank(Some(id))));
        first.map(str::to_owned)
    }

    /// Media could not be had from a pathway lately.
    pub(crate) fn is_penalised(&self, pathway: &str, now: Instant) -> bool {
        self.lock().is_avoided(&Whom::Pathway(pathway.to_owned()), now)
    }

    /// Where `url` can be had, itself included: what failed lately comes last, else the preferred pathway first.
    fn addresses(&self, url: &Url, now: Instant) -> Vec<Address> {
        let state = self.lock();
        let mut fitting: Vec<(usize, &Mirror)> =
            state.mirrors.iter().filter_map(|mirror| Some((mirror.fit(url)?, mirror))).collect();
        fitting.sort_by_key(|(fit, _)| Reverse(*fit));
        let listed = fitting.first().is_some_and(|(fit, _)| *fit == usize::MAX);
        let mut addresses: Vec<Address> = Vec::new();
        // What lies in the folder of another address has its name there by chance.
        for (_, mirror) in fitting.into_iter().filter(|(fit, _)| !listed || *fit == usize::MAX) {
            for place in mirror.places(url) {
                if !addresses.iter().any(|known| known.url == place.url) {
                    addresses.push(place);
                }
            }
        }
        if addresses.is_empty() {
            // Nobody knows where else it is, but whose server it is on.
            let mut owners = state.mirrors.iter().flat_map(|mirror| mirror.pathways_at(url));
            let owner = owners.next().filter(|first| owners.all(|other| other == *first));
            addresses.push(Address { url: url.clone(), pathway: owner.map(str::to_owned) });
        }
        addresses.sort_by_key(|place| {
            (state.is_avoided(&Whom::at(place), now), state.rank(place.pathway.as_deref()))
        });
        addresses
    }

    /// Whether what is at `url` can be had from a pathway; also where nobody knows from which it can.
    pub(crate) fn has(&self, url: &Url, pathway: &str) -> bool {
        let addresses = self.addresses(url, Instant::now());
        let mut known = addresses.iter().filter_map(|place| place.pathway.as_deref()).peekable();
        known.peek().is_none() || known.any(|id| id == pathway)
    }

    /// The address at which a request for `url` begins.
    pub(crate) fn first(&self, url: &Url, now: Instant) -> Url {
        let first = self.addresses(url, now).into_iter().next();
        first.map_or_else(|| url.clone(), |place| place.url)
    }

    fn failed(&self, place: &Address, now: Instant) {
        let mut state = self.lock();
        let whom = Whom::at(place);
        state.failed.retain(|(failed, _)| *failed != whom);
        if state.failed.len() >= REMEMBERED {
            state.failed.remove(0);
        }
        state.failed.push((whom, now));
    }
}

/// It is the place that is in trouble, not what was asked for.
fn blames(place: &Address, error: &NetError) -> bool {
    match error {
        NetError::Status { status: 404, .. } => false,
        // Who refuses one viewer refuses all that he asks for; another pathway may not.
        NetError::Status { status: 400..500, .. } | NetError::Tls { .. } => place.pathway.is_some(),
        error => error.is_passing(),
    }
}

impl Http {
    /// As [`get`](Self::get), and at the next mirror when that fails. The error is that of the first address.
    pub async fn get_anywhere(&self, ask: Ask, mut progress: impl FnMut(Progress)) -> Result<Body, NetError> {
        self.read_anywhere(ask, &mut progress, None).await
    }

    /// As [`get_anywhere`](Self::get_anywhere); a tap gets each byte once, whatever address it comes from.
    pub(super) async fn read_anywhere(
        &self,
        ask: Ask,
        progress: &mut impl FnMut(Progress),
        mut tap: Option<&mut Tap>,
    ) -> Result<Body, NetError> {
        let mut first: Option<NetError> = None;
        let addresses = self.mirrors.addresses(&ask.url, Instant::now());
        let last = addresses.len().saturating_sub(1);
        for (at, place) in addresses.into_iter().enumerate() {
            let url = &place.url;
            // A request that the server holds on purpose is not hurried.
            let idle =
                if at < last && ask.idle <= self.limits.idle { ask.idle.min(HURRIED) } else { ask.idle };
            let error = match self
                .read(Ask { url: url.clone(), idle, ..ask.clone() }, progress, tap.as_deref_mut())
                .await
            {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            if blames(&place, &error) {
                self.mirrors.failed(&place, Instant::now());
            }
            let elsewhere =
                error.is_passing() || matches!(error, NetError::Status { .. } | NetError::Tls { .. });
            if !elsewhere {
                return Err(first.unwrap_or(error));
            }
            tracing::debug!(%url, %error, "trying the next mirror, if there is one");
            first.get_or_insert(error);
        }
        Err(first.unwrap_or(NetError::Scheme { url: ask.url }))
    }
}

#[cfg(test)]
mod tests {
    use weir_manifest::{Now, Source, SteeringManifest};

    use super::*;

    const LIST: &str = "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"/s\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1000,PATHWAY-ID=\"a\"\nhttp://a/v/1.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1000,PATHWAY-ID=\"b\"\nhttp://b/w/1.m3u8\n";

    fn steered() -> Mirrors {
        let url = Url::parse("http://h/m.m3u8").unwrap();
        let source = Source::new(&url, LIST.as_bytes(), Now::default()).unwrap();
        let mirrors = Mirrors::default();
        mirrors.set(&source.presentation().mirrors);
        mirrors
    }

    fn hosts(mirrors: &Mirrors, now: Instant) -> Vec<String> {
        let segment = Url::parse("http://a/v/7.ts").unwrap();
        mirrors.addresses(&segment, now).iter().map(|place| host_of(&place.url)).collect()
    }

    #[test]
    fn the_preferred_pathway_is_asked_first_and_one_that_failed_last_for_a_minute() {
        let (mirrors, now) = (steered(), Instant::now());
        assert_eq!(hosts(&mirrors, now), ["a", "b"]);
        let order = ["b", "a"].map(str::to_owned);
        mirrors.steer(&order, &[]);
        assert_eq!(hosts(&mirrors, now), ["b", "a"]);
        assert_eq!(mirrors.pathway(now).as_deref(), Some("b"));
        let listed = Url::parse("http://a/v/7.ts").unwrap();
        assert_eq!(mirrors.first(&listed, now).as_str(), "http://b/w/7.ts", "what the record names");

        let first = mirrors.addresses(&Url::parse("http://a/v/7.ts").unwrap(), now).remove(0);
        mirrors.failed(&first, now);
        assert_eq!(hosts(&mirrors, now), ["a", "b"]);
        assert_eq!(mirrors.pathway(now).as_deref(), Some("a"));
        assert!(mirrors.is_penalised("b", now));
        let later = now + PENALTY;
        assert_eq!(mirrors.pathway(later).as_deref(), Some("b"));
        assert_eq!(hosts(&mirrors, later), ["b", "a"]);
    }

    #[test]
    fn what_lies_elsewhere_on_a_pathways_server_is_that_pathways() {
        let mirrors = steered();
        let places = mirrors.addresses(&Url::parse("http://b/other/7.ts").unwrap(), Instant::now());
        assert_eq!(places.len(), 1, "{places:?}");
        assert_eq!(places[0].pathway.as_deref(), Some("b"));
        let nobodys = mirrors.addresses(&Url::parse("http://c/7.ts").unwrap(), Instant::now());
        assert_eq!(nobodys[0].pathway, None);
    }

    #[test]
    fn a_cloned_pathway_is_used_like_a_listed_one() {
        let (mirrors, now) = (steered(), Instant::now());
        let text = br#"{"VERSION":1,"PATHWAY-PRIORITY":["c","a"],
            "PATHWAY-CLONES":[{"BASE-ID":"b","ID":"c","URI-REPLACEMENT":{"HOST":"c:81"}}]}"#;
        let url = Url::parse("http://h/s").unwrap();
        let manifest = SteeringManifest::parse(text, &url).unwrap();
        mirrors.steer(&manifest.priority, &manifest.clones);
        assert_eq!(hosts(&mirrors, now), ["c:81", "a", "b"]);
        assert_eq!(mirrors.pathway(now).as_deref(), Some("c"));
    }

    #[test]
    fn a_missing_segment_is_no_fault_of_its_pathway_and_a_refusal_is() {
        let url = Url::parse("http://a/x").unwrap();
        let place = |pathway: Option<&str>| Address { url: url.clone(), pathway: pathway.map(str::to_owned) };
        let status = |status| NetError::Status { url: url.clone(), status, retry_after: None };
        assert!(!blames(&place(Some("a")), &status(404)));
        assert!(blames(&place(Some("a")), &status(403)));
        assert!(!blames(&place(None), &status(403)));
        assert!(blames(&place(None), &status(503)));
    }
}
