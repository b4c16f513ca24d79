//! What may go wrong in a server's life, each with the mark that it has to pass.
//!
//! `WEIR_SOAK=seconds` lengthens what can be lengthened.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    dead_code,
    reason = "helpers of integration tests; not every one is used here"
)]

mod process;
mod reload;
#[path = "../http/support.rs"]
mod support;
mod tls;
