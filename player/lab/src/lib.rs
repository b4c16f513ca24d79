//! The lab: proves what the brain (`weir-abr`) does on networks as they are.
//!
//! - [`trace`]: network traces in the field's formats.
//! - [`proxy`]: a throttling reverse proxy that shapes any player's traffic by a trace.
//!
//! It never decodes media and needs neither GStreamer nor a display.

pub mod commands;
pub mod content;
pub mod experiment;
pub mod figures;
pub mod options;
pub mod oracle;
pub mod proxy;
pub mod record;
pub mod report;
pub mod rng;
pub mod sabre;
pub mod sim;
pub mod trace;
