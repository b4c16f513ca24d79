//! The simulator: the player's own [`Planner`](weir_abr::Planner) against a link from a trace, on a virtual clock.
//!
//! It hands the planner the events that the engine would, in the order of their virtual times, and carries its
//! commands out; nothing waits, so that a session takes milliseconds. Equal inputs give equal sessions.

mod live;
mod network;
mod playback;
mod recorder;
mod session;

pub use live::LiveEdge;
pub use network::Transport;
pub use playback::{Played, Stall};
pub use session::{Circumstances, Session, Setup, simulate};
