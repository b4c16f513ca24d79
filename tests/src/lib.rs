//! What the end-to-end tests share: the real programs as child processes, their logs as data, a screen to look at.
//!
//! The programs are those of this build (`cargo build --workspace --all-targets` makes them); nothing is faked here.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

pub mod events;
pub mod fixture;
pub mod http;
pub mod process;
pub mod screen;
pub mod test_card;

pub use events::Log;
pub use process::{Home, Player, Proxy, Server};
