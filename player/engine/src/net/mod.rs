//! Requests: one client, keep-alive, bodies in chunks with timings.
//!
//! Nothing here decides what to fetch or whether to try a segment again: that is the brain's. A future that is
//! dropped closes its request at once and leaves the others alone.

mod body;
mod client;
mod error;
mod growth;
mod local;
mod mirrors;
mod segment;
mod stream;
mod text;

pub use body::{Ask, Body, Progress};
pub use client::{Http, Limits};
pub use error::NetError;
pub use growth::Growth;
pub use segment::{SegmentBody, SegmentFetcher};
pub(crate) use stream::{Piece, Unlock};
pub use text::{Document, Retry};
