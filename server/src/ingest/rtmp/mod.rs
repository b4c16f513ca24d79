//! RTMP and Enhanced RTMP, for publishing: `rtmp://host/live/KEY`.
//!
//! The layers know nothing of the ones above: [`handshake`] and [`chunk`] turn bytes into messages, [`amf`] and
//! [`session`] hold the conversation without a socket, [`flv`], [`clock`] and [`tracks`] turn tags into what a live
//! session takes, [`connection`] drives one socket, and [`RtmpServer`] accepts and counts them.
//!
//! It never plays streams out: viewers are served by HTTP.

pub mod address;
pub mod amf;
pub mod chunk;
pub mod clock;
mod connection;
pub mod flv;
#[cfg(test)]
mod fuzz;
pub mod handshake;
mod limits;
mod server;
pub mod session;
pub mod tracks;

pub use address::RtmpListen;
pub use limits::RtmpLimits;
pub use server::RtmpServer;
pub use session::APP;
