//! The reference server: video files and test cards in, adaptive streams out, viewers counted.
//!
//! Data flows one way: [`ingest`] -> [`ladder`] -> [`package`] -> [`store`] -> [`deliver`]. The packager never waits
//! on a viewer, and a viewer waits on nothing but the store's edge.

pub mod catalog;
pub mod http;
pub mod ingest;
pub mod jobs;
pub mod ladder;
pub mod package;
pub mod store;
pub mod viewers;
