use super::{
    Controller,
    bola::{Bola, BolaE, Cap},
    throughput::Throughput,
    weir::Weir,
};
use crate::planner::UnknownController;

/// Names of all controllers, the default first.
pub const NAMES: &[&str] =
    &["weir", "throughput", "bola-basic", "bola", "bola-u", "bola-o", "bola-pl", "bola-e"];

/// The controller of this name; the error lists the names that exist.
pub fn create(name: &str) -> Result<Box<dyn Controller>, UnknownController> {
    Ok(match name {
        "weir" => Box::new(Weir::default()),
        "throughput" => Box::new(Throughput::default()),
        "bola-basic" => Box::new(Bola::basic()),
        "bola" => Box::new(Bola::finite(Cap::None)),
        "bola-u" => Box::new(Bola::finite(Cap::U)),
        "bola-o" => Box::new(Bola::finite(Cap::O)),
        "bola-pl" => Box::new(BolaE::without_short_buffer_rule()),
        "bola-e" => Box::new(BolaE::new()),
        _ => return Err(UnknownController(name.to_owned(), NAMES.join(", "))),
    })
}
