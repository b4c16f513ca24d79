//! What lies beside the renditions: thumbnails of the scrub bar.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use bytes::Bytes;

use super::Found;
use super::extract::StreamId;
use crate::app::App;
use crate::http::{Entity, Problem, entity::hash_tag};
use crate::store::StreamStore;

/// They grow with the stream; after that the tag says that nothing has changed.
const CACHE: &str = "public, max-age=30";

/// `GET /stream/{id}/thumbnails.vtt`
pub(super) async fn thumbnails(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let bytes = read(&app, &id, StreamStore::thumbnails).await?;
    let bytes =
        bytes.ok_or_else(|| Problem::not_found(format!("The stream \"{id}\" has no thumbnails yet.")))?;
    let tag = hash_tag(&bytes);
    Ok(Entity::media(bytes, tag, "text/vtt; charset=utf-8").cache(CACHE).answer(&method, &headers))
}

/// `GET /stream/{id}/thumbs/{file}`
pub(super) async fn sheet(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    Path((_, file)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let bytes = read(&app, &id, move |store| store.thumbnail_sheet(&file)).await?;
    let bytes = bytes.ok_or_else(|| {
        Problem::not_found("There is no such sheet; thumbnails.vtt names those that exist.")
    })?;
    let tag = hash_tag(&bytes);
    Ok(Entity::media(bytes, tag, "image/jpeg").cache(CACHE).answer(&method, &headers))
}

async fn read(
    app: &App,
    id: &str,
    what: impl FnOnce(&StreamStore) -> Option<Bytes> + Send + 'static,
) -> Result<Option<Bytes>, Problem> {
    let store = Found::now(app, id)?.store;
    tokio::task::spawn_blocking(move || what(&store))
        .await
        .map_err(|_| Problem::internal("reading a thumbnail"))
}
