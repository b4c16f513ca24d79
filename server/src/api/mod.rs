//! The JSON API: what an admin or a program asks about streams, and how it changes them.

pub mod auth;
mod create;
mod events;
mod live;
pub mod measures;
pub mod pace;
mod packaging;
mod sidecar;
mod source;
mod streams;
mod subtitles;
mod system;
mod upload;
pub(crate) mod view;
mod viewers;
mod viewing;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::app::App;

pub use create::{Draft, Published, publish};
pub use events::Feed;
pub use live::LiveView;
pub use source::check as check_source;
pub(crate) use streams::listed;
pub(crate) use upload::{check_room, store_whole};
pub use upload::{describe as describe_uploads, sweep as sweep_uploads};
pub use view::{StreamView, view};
pub use viewers::refuse_kicked;

/// Largest JSON body in bytes.
const JSON_LIMIT: usize = 64 * 1024;

/// Routes of the API and of operations.
pub fn routes() -> Router<Arc<App>> {
    let uploads = Router::new()
        .route("/api/upload", post(upload::receive))
        .route(
            "/api/upload/{id}",
            axum::routing::patch(upload::resume).head(upload::offset).delete(upload::discard),
        )
        // Their own cap is the configured one, checked before the first byte and at each one.
        .layer(DefaultBodyLimit::disable());
    let subtitles = Router::new()
        .route("/api/stream/{id}/subtitles", get(subtitles::list))
        .route(
            "/api/stream/{id}/subtitles/{lang}",
            axum::routing::put(subtitles::put).delete(subtitles::delete),
        )
        .layer(DefaultBodyLimit::max(crate::ingest::subtitles::MOST_BYTES));
    Router::new()
        .route("/api/streams", get(streams::list))
        .route("/api/stream/create", post(streams::create))
        .route("/api/stream/{id}", get(streams::one).patch(streams::patch).delete(streams::delete))
        .route("/api/stream/{id}/start", post(live::start))
        .route("/api/stream/{id}/stop", post(live::stop))
        .route("/api/stream/{id}/kick", post(live::kick))
        .route("/api/stream/{id}/rotate-key", post(live::rotate_key))
        .route("/api/stream/{id}/retry", post(packaging::retry))
        .route("/api/stream/{id}/log", get(packaging::log))
        .route("/api/stream/{id}/viewers", get(viewers::list))
        .route("/api/stream/{id}/tokens", post(viewing::make).delete(viewing::revoke))
        .route("/api/session/{id}", axum::routing::delete(viewers::kick))
        .route("/api/beacon", post(viewers::beacon))
        .route("/api/webhooks", get(webhooks::list).post(webhooks::add))
        .route("/api/webhooks/{id}", get(webhooks::one).patch(webhooks::patch).delete(webhooks::remove))
        .route("/api/webhooks/{id}/deliveries", get(webhooks::deliveries))
        .route("/api/webhooks/{id}/ping", post(webhooks::ping))
        .route("/api/events", get(events::events))
        .route("/api/time", get(system::time))
        .route("/api/reload", post(system::reload))
        .route("/healthz", get(system::healthz))
        .route("/readyz", get(system::readyz))
        .route("/metrics", get(system::metrics))
        .route("/openapi.json", get(system::openapi))
        .layer(DefaultBodyLimit::max(JSON_LIMIT))
        .merge(uploads)
        .merge(subtitles)
}
