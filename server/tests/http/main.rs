//! The server as a client meets it: through a real socket, with media in its store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "clippy's leave for tests does not reach the helpers of integration tests"
)]

mod api;
mod connections;
mod delivery;
mod delivery_dash;
mod delivery_live;
mod describe;
mod live_api;
mod mpd_schema;
mod packaging;
mod pages;
mod private;
mod process;
mod pull;
mod rtmp;
mod rtmp_client;
mod rtmp_codecs;
mod stills;
mod subtitles;
mod support;
mod uploads;
mod viewers;
mod webhooks;
