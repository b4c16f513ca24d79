//! What viewers fetch: playlists and manifests as views on the store, media as shared bytes, one progressive stream.
//!
//! A viewer waits for nothing but the store's edge, and only where the answer says so.

mod beside;
pub mod dash;
pub mod extract;
pub mod hls;
mod media;
mod progressive;
pub mod rendered;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::routing::get;

use crate::app::App;
use crate::catalog::{State, Stream};
use crate::http::Problem;
use crate::store::StreamStore;

pub use progressive::progressive;

/// How long a request waits for a stream's first segments before it is told to come again.
const FIRST_SEGMENT_WAIT: Duration = Duration::from_secs(6);

/// Routes below `/stream/{id}/`.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/stream/{id}/hls/master.m3u8", get(media::multivariant))
        .route("/stream/{id}/hls/{rendition}/{file}", get(media::hls_file))
        .route("/stream/{id}/dash/manifest.mpd", get(media::manifest))
        .route("/stream/{id}/dash/{rendition}/{file}", get(media::dash_file))
        .route("/stream/{id}/poster.jpg", get(media::poster))
        .route("/stream/{id}/thumbnails.vtt", get(beside::thumbnails))
        .route("/stream/{id}/thumbs/{file}", get(beside::sheet))
}

/// A stream together with its media.
#[derive(Debug, Clone)]
pub struct Found {
    /// What the catalogue says.
    pub stream: Arc<Stream>,
    /// Its media.
    pub store: Arc<StreamStore>,
}

impl Found {
    /// The stream as it is now, when it has a place in the store.
    ///
    /// # Errors
    /// 404 when there is none, 503 when its first segment is still to come.
    pub fn now(app: &App, id: &str) -> Result<Self, Problem> {
        let stream = app.catalog.get(id).ok_or_else(|| Problem::no_stream(id))?;
        let store = app.media(id).ok_or_else(|| not_yet(&stream))?;
        Ok(Self { stream, store })
    }

    /// Waits a little for the first segment of every rendition.
    ///
    /// # Errors
    /// As [`now`](Self::now), and 404 for a stream that failed before it had anything to play.
    pub async fn playable(app: &App, id: &str) -> Result<Self, Problem> {
        let deadline = tokio::time::Instant::now() + FIRST_SEGMENT_WAIT;
        loop {
            let mut changes = app.catalog.changes();
            let found = match Self::now(app, id) {
                Ok(found) => Some(found),
                Err(problem) if problem.status() == StatusCode::NOT_FOUND => return Err(problem),
                Err(_) => None,
            };
            let mut edge = found.as_ref().map(|found| found.store.edge());
            if let (Some(found), Some(edge)) = (found, &mut edge) {
                if edge.borrow_and_update().playable() {
                    return Ok(found);
                }
                if found.stream.state == State::Failed {
                    return Err(failed(&found.stream));
                }
            }
            let edge_moves = async {
                match &mut edge {
                    Some(edge) => edge.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = edge_moves => {}
                _ = changes.changed() => {}
                () = app.stop.cancelled() => break,
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        match app.catalog.get(id) {
            Some(stream) if stream.state == State::Failed => Err(failed(&stream)),
            Some(stream) => Err(not_yet(&stream)),
            None => Err(Problem::no_stream(id)),
        }
    }

    /// Nothing will be added any more.
    pub fn ended(&self) -> bool {
        self.store.is_complete() || matches!(self.stream.state, State::Ready | State::Failed)
    }

    /// Part of media names; another one when a stream is deleted and made again under the same id.
    pub fn generation(&self) -> String {
        format!("{:x}", self.stream.created_ms)
    }
}

fn not_yet(stream: &Stream) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-yet-playable",
        "Not playable yet",
        format!(
            "The stream \"{}\" is {} and has no finished segment yet; ask again in a few seconds.",
            stream.id,
            stream.state.name()
        ),
    )
    .header(header::RETRY_AFTER, HeaderValue::from_static("2"))
}

fn failed(stream: &Stream) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "stream-failed",
        "The stream could not be made",
        format!(
            "Packaging \"{}\" failed before there was anything to play: {}",
            stream.id,
            stream.error.as_deref().unwrap_or("the log holds the cause")
        ),
    )
}
