//! Captions inside the pictures: CEA-608, which most live streams of the Americas carry, and CEA-708, from the pictures' SEI
//! messages to cues that a window can draw. No I/O, no clock.
//!
//! Hostile input gives fewer cues, never a panic, never unbounded work.

mod cea608;
mod cea708;
mod screen;
mod sei;
mod track;

pub(crate) use track::{CHANNELS, Captions, Channel, FIELD_CHANNELS};
