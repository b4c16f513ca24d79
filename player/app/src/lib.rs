//! The Weir desktop player: a window over [`weir_engine`], and the `weir` command line.
//!
//! It decides nothing about playback and never waits for the network in the window's thread: the
//! engine does both, the window draws [`weir_engine::Snapshot`]s and passes wishes on through
//! [`session::Session`].

pub mod address;
pub mod catalog;
pub mod cli;
pub mod command;
mod desktop;
pub mod session;
pub mod settings;
pub mod text;
pub mod ui;
pub mod video;
