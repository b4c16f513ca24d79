//! What may go wrong in a server's life, each with the mark that it has to pass.
//!
//! `WEIR_FUZZ_SECONDS=seconds` lets each fuzz target run for that long.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    dead_code,
    reason = "helpers of integration tests; not every one is used here"
)]

mod access;
mod boxes;
mod cache;
mod crash;
mod disk;
mod encoders;
mod fuzz;
mod hostile;
mod mutate;
mod nginx;
mod process;
mod publishers;
mod reload;
#[path = "../http/rtmp_client.rs"]
mod rtmp_client;
mod slow;
mod stop;
#[path = "../http/support.rs"]
mod support;
mod tls;

use mutate::{Random, mutate, odd, pick};
