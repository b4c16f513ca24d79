//! The reference server: video files and test cards in, adaptive streams out, viewers counted.
//!
//! Data flows one way: [`ingest`] -> [`ladder`] -> [`package`] -> [`store`] -> [`deliver`]. The packager never waits
//! on a viewer, and a viewer waits on nothing but the store's edge. [`catalog`] knows which streams exist, [`jobs`]
//! packages them, [`viewers`] counts who watches, [`api`] and [`web`] are what admins and browsers see.
//!
//! ```no_run
//! # async fn run() -> anyhow::Result<()> {
//! use std::sync::Arc;
//! use weir_server::{app::App, config::Options, http::Listener, router::Site, viewers::SystemClock};
//!
//! let config = Options::default().resolve()?;
//! let listener = Listener::bind(config.listen, config.limits).await?;
//! let app = App::open(config, Arc::new(SystemClock::default())).await?;
//! listener.serve(Site::new(Arc::clone(&app)), app.stop.clone()).await;
//! # Ok(())
//! # }
//! ```

pub mod api;
pub mod app;
pub mod catalog;
pub mod config;
pub mod deliver;
#[cfg(test)]
mod fuzz;
pub mod http;
pub mod ingest;
pub mod jobs;
pub mod ladder;
pub mod live;
pub mod package;
pub mod reload;
pub mod router;
pub mod store;
pub mod systemd;
pub mod viewers;
pub mod web;
pub mod webhooks;
