//! The lab: proves what the brain (`weir-abr`) does on networks as they are.
//!
//! - [`trace`]: network traces in the field's formats; [`content`]: what is streamed over them.
//! - [`sim`]: the player's own planner on a virtual clock; [`oracle`]: the best that was possible.
//! - [`experiment`]: many sessions at once, with their [`figures`]; [`report`]: drawn on one page.
//! - [`record`]: sessions read back, explained, and replayed with other controllers.
//! - [`sabre`]: Sabre's own model, to check the arithmetic against published results.
//! - [`proxy`]: a throttling reverse proxy that shapes any player's traffic by a trace.
//! - [`commands`]: all of it on the command line.
//!
//! It never decodes media, shows nothing, and needs neither GStreamer nor a display.
//!
//! ```
//! use std::{path::Path, time::Duration};
//! use weir_abr::planner::Config;
//! use weir_lab::{content::Spec, figures::Figures, sim::{Setup, simulate}, trace::{Link, generate}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let content = "vbr:300,1200,4300/4s/120s".parse::<Spec>()?.load(Path::new(""))?;
//! let link = Link::new(&generate::steps("step", &[5000.0, 600.0, 5000.0], 30_000.0, 40.0)?);
//! let config = Config { max_buffer: Duration::from_secs(25), ..Config::default() };
//! let session = simulate(Setup::new(&content, &link), config)?;
//! let figures = Figures::of(&session, &content);
//! assert!(figures.finished && figures.kbps > 300.0);
//! # Ok(())
//! # }
//! ```

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
