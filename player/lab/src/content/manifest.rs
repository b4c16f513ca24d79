//! Content from a real manifest, with the true size of every segment.
//!
//! Local manifests give the sizes of the files beside them; over HTTP sizes are asked for with HEAD requests.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::task::JoinSet;
use url::Url;
use weir_manifest::{
    Now, Source,
    model::{MediaKind, Resource},
    to_brain_track,
};

use super::Content;

/// HEAD requests at a time.
const PARALLEL: usize = 8;
/// A manifest or index above this size is refused.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Longer content is a mistake in the manifest.
const MOST_HOURS: u64 = 100;

/// Reads a manifest: a path, or an `http(s)` URL.
///
/// # Errors
/// It cannot be loaded, is no manifest, is live, or a segment's size cannot be found out.
pub fn load(address: &str) -> anyhow::Result<Content> {
    // Another part of the program may have installed one; either will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting a runtime to load the manifest")?;
    runtime.block_on(read(address)).with_context(|| format!("reading the manifest {address}"))
}

fn to_url(address: &str) -> anyhow::Result<Url> {
    if address.starts_with("http://") || address.starts_with("https://") {
        return address.parse().context("the address is no URL");
    }
    let path = std::fs::canonicalize(address).context("there is no such file")?;
    Url::from_file_path(&path).map_err(|()| anyhow::anyhow!("{} is no absolute path", path.display()))
}

async fn read(address: &str) -> anyhow::Result<Content> {
    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(30))
        .build()
        .context("setting up HTTP")?;
    let now = Now {
        session: Duration::ZERO,
        unix: std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default(),
    };
    let whole = Resource { url: to_url(address)?, range: None };
    let (url, bytes) = fetch(&client, &whole).await?;
    let mut source = Source::new(&url, &bytes, now)?;
    anyhow::ensure!(!source.presentation().live, "it is live; a simulation needs one that has ended");
    let wanted: Vec<usize> = source
        .presentation()
        .tracks
        .iter()
        .enumerate()
        .filter(|(at, track)| *at == 0 || (track.kind == MediaKind::Audio && track.default))
        .map(|(at, _)| at)
        .take(2)
        .collect();
    for track in &wanted {
        let renditions = source.presentation().tracks.get(*track).map_or(0, |track| track.renditions.len());
        for rendition in 0..renditions {
            for request in source.wanted(*track, rendition) {
                let (url, bytes) = fetch(&client, &request.resource).await?;
                source.supply(&request, &url, &bytes, now)?;
            }
        }
    }
    let name = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or("manifest").to_owned();
    let mut tracks = Vec::new();
    for at in &wanted {
        let Some(model) = source.presentation().tracks.get(*at) else { continue };
        let Some(mut track) = to_brain_track(model, *at == 0) else { continue };
        anyhow::ensure!(!track.segments.is_empty(), "the track {:?} lists no segments", model.name);
        let mut sizes: Vec<Vec<u64>> = vec![Vec::new(); track.segments.len()];
        for rendition in &model.renditions {
            anyhow::ensure!(
                rendition.segments.len() == track.segments.len(),
                "the renditions of {:?} have different numbers of segments",
                model.name
            );
            let media: Vec<(Resource, Option<u64>)> =
                rendition.segments.iter().map(|segment| (segment.media.clone(), segment.size)).collect();
            for (row, size) in sizes.iter_mut().zip(all_sizes(&client, media).await?) {
                row.push(size);
            }
        }
        for (segment, row) in track.segments.iter_mut().zip(sizes) {
            segment.sizes = row.into();
        }
        tracks.push(Arc::new(track));
    }
    anyhow::ensure!(!tracks.is_empty(), "it has no track that can be played");
    let content = Content { name, tracks };
    let hours = content.duration().as_secs() / 3600;
    anyhow::ensure!(
        hours < MOST_HOURS,
        "it lasts {hours} hours; {MOST_HOURS} are the most that is simulated"
    );
    Ok(content)
}

async fn all_sizes(
    client: &reqwest::Client,
    media: Vec<(Resource, Option<u64>)>,
) -> anyhow::Result<Vec<u64>> {
    let mut sizes = vec![0; media.len()];
    let mut asking = JoinSet::new();
    for (at, (resource, known)) in media.into_iter().enumerate() {
        if let Some(known) = known {
            sizes[at] = known;
            continue;
        }
        while asking.len() >= PARALLEL {
            take(&mut asking, &mut sizes).await?;
        }
        let client = client.clone();
        asking.spawn(async move { Ok((at, size(&client, &resource).await?)) });
    }
    while !asking.is_empty() {
        take(&mut asking, &mut sizes).await?;
    }
    Ok(sizes)
}

async fn take(asking: &mut JoinSet<anyhow::Result<(usize, u64)>>, sizes: &mut [u64]) -> anyhow::Result<()> {
    if let Some(done) = asking.join_next().await {
        let (at, size) = done.context("asking for a segment's size")??;
        sizes[at] = size;
    }
    Ok(())
}

async fn size(client: &reqwest::Client, resource: &Resource) -> anyhow::Result<u64> {
    if let Some(range) = &resource.range {
        return Ok(range.end.saturating_sub(range.start));
    }
    let asking = || format!("finding out the size of {}", resource.url);
    if resource.url.scheme() == "file" {
        return Ok(std::fs::metadata(path(&resource.url)?).with_context(asking)?.len());
    }
    let response = client
        .head(resource.url.clone())
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .with_context(asking)?;
    // Not `content_length()`: that is the length of the answer's body, and HEAD has none.
    response
        .headers()
        .get(reqwest::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .with_context(|| format!("{} has no Content-Length", resource.url))
}

fn path(url: &Url) -> anyhow::Result<std::path::PathBuf> {
    url.to_file_path().map_err(|()| anyhow::anyhow!("{url} is no path on this machine"))
}

async fn fetch(client: &reqwest::Client, resource: &Resource) -> anyhow::Result<(Url, Vec<u8>)> {
    let loading = || format!("loading {}", resource.url);
    if resource.url.scheme() == "file" {
        let path = path(&resource.url)?;
        let length = std::fs::metadata(&path).with_context(loading)?.len();
        anyhow::ensure!(length <= MAX_BYTES || resource.range.is_some(), "{} is too large", path.display());
        let bytes = std::fs::read(&path).with_context(loading)?;
        let bytes = match &resource.range {
            Some(range) => {
                let at = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX).min(bytes.len());
                bytes.get(at(range.start)..at(range.end)).unwrap_or_default().to_vec()
            }
            None => bytes,
        };
        return Ok((resource.url.clone(), bytes));
    }
    let mut request = client.get(resource.url.clone());
    if let Some(range) = &resource.range {
        let last = range.end.saturating_sub(1);
        request = request.header(reqwest::header::RANGE, format!("bytes={}-{last}", range.start));
    }
    let mut response =
        request.send().await.and_then(reqwest::Response::error_for_status).with_context(loading)?;
    let url = response.url().clone();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.with_context(loading)? {
        bytes.extend_from_slice(&chunk);
        anyhow::ensure!(bytes.len() as u64 <= MAX_BYTES, "{url} is too large for a manifest");
    }
    Ok((url, bytes))
}
