//! What viewers fetch: playlists and manifests as views on the store, media as shared bytes, one progressive stream.
//!
//! A viewer waits for nothing but the store's edge, and only where the answer says so. The texts are pure functions of a
//! [`Window`](crate::store::Window) ([`hls`], [`dash`]); what a request may ask of a live playlist is judged by pure functions
//! as well ([`directives`], [`front`], [`timing`]); handlers join both.

pub mod align;
mod beside;
pub mod dash;
pub mod directives;
pub mod extract;
mod files;
mod found;
pub mod front;
pub mod hls;
pub mod hold;
mod keyframes;
pub mod names;
pub mod pass;
mod playlists;
mod progressive;
pub mod rates;
pub mod rendered;
mod subtitles;
pub mod text;
pub mod timing;
mod trick;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::app::App;

pub use files::Wanted;
pub use found::Found;
pub use progressive::progressive;
pub(crate) use subtitles::address as subtitle_address;

/// Routes below `/stream/{id}/`.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/stream/{id}/hls/master.m3u8", get(playlists::multivariant))
        .route("/stream/{id}/dash/manifest.mpd", get(playlists::manifest))
        .route("/stream/{id}/{protocol}/{rendition}/{file}", get(files::file))
        .route("/stream/{id}/poster.jpg", get(files::poster))
        .route("/stream/{id}/thumbnails.vtt", get(beside::thumbnails))
        .route("/stream/{id}/thumbs/{file}", get(beside::sheet))
}
