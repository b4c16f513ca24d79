//! What a server has to watch: asked for in a thread of its own, so that the window never waits.

use std::{
    collections::{HashMap, HashSet},
    io::Cursor,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use egui::ColorImage;
use serde::Deserialize;
use url::Url;

use crate::session::Wake;

/// Longest answer to the question what there is.
const LIST_BYTES: usize = 8 << 20;
/// Largest thumbnail.
const POSTER_BYTES: usize = 4 << 20;
/// Thumbnails that are kept; each is about half a megabyte.
const POSTERS: usize = 200;
/// Widest thumbnail that is kept, in pixels.
const POSTER_WIDTH: u32 = 480;
/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(6);

/// One stream of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its name in addresses.
    pub id: String,
    /// What to call it.
    pub title: String,
    /// How far it is.
    pub state: ItemState,
    /// How long it is, where that is known.
    pub duration: Option<Duration>,
    /// It goes on as it is watched.
    pub live: bool,
    /// Sessions that watch it now.
    pub viewers: u64,
    /// Lines of its best picture.
    pub height: Option<u32>,
    /// There is something to play already.
    pub playable: bool,
    /// How it is, in the server's words, where there is nothing to play.
    pub status: Option<String>,
    /// Where to play it from.
    pub play: Url,
    /// Its thumbnail.
    pub poster: Option<Url>,
    /// Why it failed.
    pub error: Option<String>,
}

/// How far a stream is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ItemState {
    /// Waits for its turn.
    Queued,
    /// So much of it is packaged, 0.0 to 1.0; what is finished can be watched.
    Packaging(f32),
    /// All there.
    Ready,
    /// Packaging failed.
    Failed,
}

/// What is known of the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Listing {
    /// It was asked for the first time.
    #[default]
    Asking,
    /// What it has.
    Streams(Arc<Vec<Item>>),
    /// It did not answer, or not as a Weir server does.
    Unreachable {
        /// What happened, in one sentence.
        why: String,
    },
}

#[derive(Default)]
struct Shared {
    server: Option<Url>,
    listing: Listing,
    asking: bool,
    posters: HashMap<Url, Option<Arc<ColorImage>>>,
    asked_posters: HashSet<Url>,
}

enum Job {
    List(Url),
    Poster(Url),
}

/// The server's streams and their thumbnails.
pub struct Catalog {
    shared: Arc<Mutex<Shared>>,
    jobs: SyncSender<Job>,
}

impl Catalog {
    /// Starts the thread; `wake` is called when something came.
    pub fn start(wake: Wake) -> std::io::Result<Self> {
        let shared = Arc::<Mutex<Shared>>::default();
        let (jobs, queue) = sync_channel(POSTERS);
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("weir-catalog".to_owned())
            .spawn(move || serve(&queue, &theirs, &wake))?;
        Ok(Self { shared, jobs })
    }

    /// Asks `server` what it has, unless it is being asked already. What was known stays until the answer comes.
    pub fn refresh(&self, server: &Url) {
        let mut shared = lock(&self.shared);
        if shared.server.as_ref() != Some(server) {
            shared.server = Some(server.clone());
            shared.listing = Listing::Asking;
        } else if shared.asking {
            return;
        }
        shared.asking = self.jobs.try_send(Job::List(server.clone())).is_ok();
    }

    /// What is known now.
    pub fn listing(&self) -> Listing {
        lock(&self.shared).listing.clone()
    }

    /// The server is being asked right now.
    pub fn is_asking(&self) -> bool {
        lock(&self.shared).asking
    }

    /// A thumbnail, when it has come; asked for at the first call.
    pub fn poster(&self, url: &Url) -> Option<Arc<ColorImage>> {
        let mut shared = lock(&self.shared);
        if let Some(known) = shared.posters.get(url) {
            return known.clone();
        }
        if shared.asked_posters.len() < POSTERS
            && !shared.asked_posters.contains(url)
            && self.jobs.try_send(Job::Poster(url.clone())).is_ok()
        {
            shared.asked_posters.insert(url.clone());
        }
        None
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(queue: &Receiver<Job>, shared: &Mutex<Shared>, wake: &Wake) {
    let ready = tokio::runtime::Builder::new_current_thread().enable_all().build().ok().zip(client());
    while let Ok(job) = queue.recv() {
        match job {
            Job::List(server) => {
                let listing = match &ready {
                    Some((runtime, client)) => runtime.block_on(list(client, &server)),
                    None => Err("the network cannot be used on this machine".to_owned()),
                };
                let mut shared = lock(shared);
                shared.asking = false;
                // Another server may have been chosen meanwhile.
                if shared.server.as_ref() == Some(&server) {
                    let new = match listing {
                        Ok(items) => Listing::Streams(Arc::new(items)),
                        Err(why) => Listing::Unreachable { why },
                    };
                    // A stream gets its thumbnail once it has a picture: what was not there may be there now.
                    let Shared { posters, asked_posters, .. } = &mut *shared;
                    posters.retain(|url, image| image.is_some() || !asked_posters.remove(url));
                    if shared.listing == new {
                        continue;
                    }
                    shared.listing = new;
                }
            }
            Job::Poster(url) => {
                let image = ready.as_ref().and_then(|(runtime, client)| {
                    runtime
                        .block_on(poster(client, &url))
                        .inspect_err(|why| tracing::debug!("no thumbnail from {url}: {why}"))
                        .ok()
                });
                lock(shared).posters.insert(url, image.map(Arc::new));
            }
        }
        wake();
    }
}

fn client() -> Option<reqwest::Client> {
    // Fails when it is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(PATIENCE / 2)
        .timeout(PATIENCE);
    builder.build().inspect_err(|error| tracing::warn!("no HTTP client: {error}")).ok()
}

async fn list(client: &reqwest::Client, server: &Url) -> Result<Vec<Item>, String> {
    let url = server.join("api/streams?per_page=200").map_err(|error| error.to_string())?;
    let body = get(client, &url, LIST_BYTES).await?;
    parse(&body, server)
}

async fn poster(client: &reqwest::Client, url: &Url) -> Result<ColorImage, String> {
    let body = get(client, url, POSTER_BYTES).await?;
    decode(&body)
}

async fn get(client: &reqwest::Client, url: &Url, most: usize) -> Result<Vec<u8>, String> {
    let mut answer = client
        .get(url.clone())
        .header("accept", "application/json, image/*")
        .send()
        .await
        .map_err(|error| plain(&error))?;
    if !answer.status().is_success() {
        return Err(format!("it answered {} to {url}", answer.status()));
    }
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|error| plain(&error))? {
        if body.len() + part.len() > most {
            return Err(format!("its answer to {url} is larger than {most} bytes"));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// What people need to know of a failed request; the chain of causes ends with the interesting one.
fn plain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("nothing came within {} seconds", PATIENCE.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    // The number means nothing to people who play a stream.
    let text = cause.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn decode(body: &[u8]) -> Result<ColorImage, String> {
    let mut reader =
        image::ImageReader::new(Cursor::new(body)).with_guessed_format().map_err(|e| e.to_string())?;
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(8192), Some(8192));
    limits.max_alloc = Some(256 << 20);
    reader.limits(limits);
    let image = reader.decode().map_err(|error| error.to_string())?;
    let image = if image.width() > POSTER_WIDTH { image.thumbnail(POSTER_WIDTH, u32::MAX) } else { image };
    let pixels = image.to_rgba8();
    let size = [pixels.width() as usize, pixels.height() as usize];
    Ok(ColorImage::from_rgba_unmultiplied(size, pixels.as_raw()))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawListing {
    Page { items: Vec<serde_json::Value> },
    Plain(Vec<serde_json::Value>),
}

#[derive(Deserialize)]
struct RawItem {
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    duration_s: Option<f64>,
    #[serde(default)]
    progress: Option<f64>,
    /// A flag, or how it goes on air; null for what never does.
    #[serde(default)]
    live: serde_json::Value,
    #[serde(default)]
    viewers: Option<RawViewers>,
    #[serde(default)]
    height: Option<u32>,
    #[serde(default, alias = "renditions")]
    rungs: Vec<RawRung>,
    #[serde(default)]
    playable: Option<bool>,
    #[serde(default)]
    hls_url: Option<String>,
    #[serde(default)]
    poster_url: Option<String>,
    #[serde(default)]
    urls: RawUrls,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
struct RawUrls {
    hls: Option<String>,
    poster: Option<String>,
}

#[derive(Deserialize)]
struct RawRung {
    #[serde(default)]
    height: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawViewers {
    Figures {
        #[serde(default)]
        current: u64,
    },
    Number(u64),
}

/// Reads the answer of `GET /api/streams`.
fn parse(body: &[u8], server: &Url) -> Result<Vec<Item>, String> {
    let listing: RawListing = serde_json::from_slice(body).map_err(|_| {
        "something answers there, but it is not a Weir server (no list of streams)".to_owned()
    })?;
    let (RawListing::Page { items } | RawListing::Plain(items)) = listing;
    let items = items.into_iter().filter_map(|raw| match serde_json::from_value(raw) {
        Ok(raw) => item(raw, server),
        // One that cannot be read is no reason to show none of the others.
        Err(error) => {
            tracing::warn!(%server, %error, "a stream of the list is left out");
            None
        }
    });
    Ok(items.collect())
}

fn item(raw: RawItem, server: &Url) -> Option<Item> {
    let resolve = |text: Option<String>| text.and_then(|text| server.join(&text).ok());
    let play = match resolve(raw.hls_url.or(raw.urls.hls)) {
        Some(url) => url,
        None => server.join(&format!("stream/{}/hls/master.m3u8", raw.id)).ok()?,
    };
    let state = match raw.state.as_str() {
        "queued" => ItemState::Queued,
        "packaging" => ItemState::Packaging(raw.progress.unwrap_or(0.0).clamp(0.0, 1.0) as f32),
        "failed" => ItemState::Failed,
        _ => ItemState::Ready,
    };
    let error = raw.error.and_then(|error| match error {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Object(map) => {
            map.get("detail").and_then(|detail| detail.as_str()).map(str::to_owned)
        }
        _ => None,
    });
    let playable = raw.playable.unwrap_or(match state {
        ItemState::Ready => true,
        ItemState::Packaging(progress) => progress > 0.0,
        ItemState::Queued | ItemState::Failed => false,
    });
    Some(Item {
        status: raw.status.filter(|status| !playable && !status.trim().is_empty()),
        title: if raw.title.trim().is_empty() { raw.id.clone() } else { raw.title },
        state,
        duration: raw.duration_s.and_then(|s| Duration::try_from_secs_f64(s).ok()),
        live: raw.live == true || raw.state == "live",
        viewers: match raw.viewers {
            Some(RawViewers::Figures { current } | RawViewers::Number(current)) => current,
            None => 0,
        },
        height: raw
            .height
            .or_else(|| raw.rungs.iter().filter_map(|rung| rung.height).max())
            .filter(|h| *h > 0),
        playable,
        play,
        poster: resolve(raw.poster_url.or(raw.urls.poster)),
        error,
        id: raw.id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Url {
        Url::parse("http://h:8080/").unwrap()
    }

    #[test]
    fn a_listing_is_read_with_everything_that_a_card_shows() {
        let body = br#"{"items":[
            {"id":"card","title":"Test card","state":"packaging","duration_s":60.5,"progress":0.25,
             "viewers":{"current":3,"peak":4,"total":9},"renditions":[{"height":240},{"height":720},{"height":0}],
             "urls":{"hls":"/stream/card/hls/master.m3u8","poster":"/stream/card/poster.jpg"}},
            {"id":"old","state":"failed","playable":false,"urls":{"poster":null},"error":"no video in it","something_new":1}]}"#;
        let items = parse(body, &server()).unwrap();
        assert_eq!(items.len(), 2);
        let card = &items[0];
        assert_eq!((card.title.as_str(), card.viewers, card.height), ("Test card", 3, Some(720)));
        assert_eq!(card.state, ItemState::Packaging(0.25));
        assert_eq!(card.duration, Some(Duration::from_millis(60_500)));
        assert_eq!(card.play.as_str(), "http://h:8080/stream/card/hls/master.m3u8");
        assert_eq!(card.poster.as_ref().unwrap().as_str(), "http://h:8080/stream/card/poster.jpg");
        assert!(card.playable);
        let old = &items[1];
        assert_eq!((old.title.as_str(), old.error.as_deref()), ("old", Some("no video in it")));
        assert_eq!(old.play.as_str(), "http://h:8080/stream/old/hls/master.m3u8");
        assert!(!old.playable);
    }

    #[test]
    fn files_and_live_streams_are_read_as_the_server_tells_of_them_and_a_rotten_row_hides_no_other() {
        let body = br#"{"items":[
            {"id":"film","mode":"vod","live":null,"state":"ready","playable":true,"viewers":{"current":0}},
            {"id":"cam","mode":"live","live":{"enabled":true,"session":null},"state":"live","playable":true,"status":"on air"},
            {"id":"idle","mode":"live","live":{"enabled":true},"state":"idle","playable":false,"status":"not on air: stopped"},
            {"id":7}]}"#;
        let items = parse(body, &server()).unwrap();
        let seen: Vec<_> = items.iter().map(|item| (item.title.as_str(), item.live)).collect();
        assert_eq!(seen, [("film", false), ("cam", true), ("idle", false)]);
        let status: Vec<_> = items.iter().map(|item| item.status.as_deref()).collect();
        assert_eq!(status, [None, None, Some("not on air: stopped")]);
    }

    #[test]
    fn something_else_than_a_weir_server_is_told_apart() {
        for body in [&b"<html>"[..], b"{}", b"42", b"", b"{\"items\":3}"] {
            assert!(parse(body, &server()).unwrap_err().contains("not a Weir server"));
        }
        assert_eq!(parse(b"[]", &server()), Ok(Vec::new()));
    }

    #[test]
    fn thumbnails_are_scaled_down_and_rubbish_is_refused() {
        let big = image::RgbImage::from_pixel(1920, 1080, image::Rgb([1, 2, 3]));
        let mut png = Vec::new();
        big.write_to(&mut Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
        let small = decode(&png).unwrap();
        assert_eq!(small.size, [480, 270]);
        assert!(decode(b"not a picture").is_err());
        assert!(decode(&png[..40]).is_err());
    }

    #[test]
    fn a_server_that_is_not_there_is_reported_in_plain_words() {
        // Bound and dropped: nothing listens on it now.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (sender, answers) = sync_channel(4);
        let catalog = Catalog::start(Arc::new(move || {
            let _ = sender.try_send(());
        }))
        .unwrap();
        let url = Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
        assert_eq!(catalog.listing(), Listing::Asking);
        catalog.refresh(&url);
        answers.recv_timeout(Duration::from_secs(20)).unwrap();
        let Listing::Unreachable { why } = catalog.listing() else { panic!("{:?}", catalog.listing()) };
        assert!(why.to_lowercase().contains("refused"), "{why}");
        assert!(!catalog.is_asking());
    }
}
