//! HTTP itself: the accept loop with its timers, conditional and range responses, problem documents.
//!
//! Nothing here knows what a stream is.

pub mod accept;
mod backing;
pub mod body;
pub mod cors;
pub mod entity;
mod io;
mod lanes;
pub mod listen;
pub mod problem;
pub mod redirect;
mod socket;
pub mod tls;

pub use backing::Backing;
pub use entity::Entity;
pub use io::ConnectionTimers;
pub use listen::{Answer, Caps, Limits, Listener, Peer};
pub use problem::Problem;
pub use tls::{Tls, TlsFiles};
