//! The server as a client meets it: through a real socket, with media in its store.

mod api;
mod connections;
mod delivery;
mod describe;
mod pages;
mod process;
mod support;
mod uploads;
mod viewers;
