use super::{
    Controller,
    bba::Bba0,
    bola::{Bola, BolaE, Cap},
    dynamic::{Dynamic, DynamicDash},
    l2a::L2aLl,
    lolp::LolPlus,
    mpc::RobustMpc,
    presets::{DashJs, ExoPlayer, GStreamer, HlsJs, Lowest, Shaka},
    soda::Soda,
    throughput::Throughput,
    weir::{Weights, Weir},
};
use crate::planner::UnknownController;

/// Names of all controllers, the default first.
pub const NAMES: &[&str] = &[
    "weir",
    "throughput",
    "bola-basic",
    "bola",
    "bola-u",
    "bola-o",
    "bola-pl",
    "bola-e",
    "dynamic",
    "dynamic-dash",
    "robust-mpc",
    "soda",
    "bba-0",
    "l2a-ll",
    "lolp",
    "hlsjs",
    "dashjs",
    "shaka",
    "exoplayer",
    "gstreamer",
    "lowest",
];

/// The controller of this name; the error lists the names that exist.
///
/// `weir` takes other [`Weights`] behind a colon: `weir:switch=0.1/stall=3`.
pub fn create(name: &str) -> Result<Box<dyn Controller>, UnknownController> {
    Ok(match name {
        weighted if weighted.starts_with("weir:") => Box::new(weigh(weighted).ok_or_else(|| unknown(name))?),
        "weir" => Box::new(Weir::default()),
        "throughput" => Box::new(Throughput::default()),
        "bola-basic" => Box::new(Bola::basic()),
        "bola" => Box::new(Bola::finite(Cap::None)),
        "bola-u" => Box::new(Bola::finite(Cap::U)),
        "bola-o" => Box::new(Bola::finite(Cap::O)),
        "bola-pl" => Box::new(BolaE::without_short_buffer_rule()),
        "bola-e" => Box::new(BolaE::new()),
        "dynamic" => Box::new(Dynamic::default()),
        "dynamic-dash" => Box::new(DynamicDash::default()),
        "robust-mpc" => Box::new(RobustMpc::default()),
        "soda" => Box::new(Soda::default()),
        "bba-0" => Box::new(Bba0),
        "l2a-ll" => Box::new(L2aLl::default()),
        "lolp" => Box::new(LolPlus::default()),
        "hlsjs" => Box::new(HlsJs),
        "dashjs" => Box::new(DashJs::default()),
        "shaka" => Box::new(Shaka::default()),
        "exoplayer" => Box::new(ExoPlayer),
        "gstreamer" => Box::new(GStreamer),
        "lowest" => Box::new(Lowest),
        _ => return Err(unknown(name)),
    })
}

fn unknown(name: &str) -> UnknownController {
    UnknownController(name.to_owned(), NAMES.join(", "))
}

fn weigh(name: &str) -> Option<Weir> {
    let mut weights = Weights::default();
    for setting in name.strip_prefix("weir:")?.split('/').filter(|setting| !setting.is_empty()) {
        let (key, value) = setting.split_once('=')?;
        weights.set(key, value.parse().ok()?).then_some(())?;
    }
    Some(Weir::with_weights(weights))
}
