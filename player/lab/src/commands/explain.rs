//! `explain`: why a session chose what it chose.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use weir_abr::{TrackKind, qoe::Session};

use super::print;
use crate::record;

/// Which record, and how much of it.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// A session's record, as `weir play --events FILE` and `weir lab sim --records --out DIR` write it.
    pub record: PathBuf,
    /// Only decisions of this track.
    #[arg(long, value_enum)]
    pub track: Option<TrackName>,
    /// Also write the session as input of ITU-T P.1203 (mode 0) to this file.
    #[arg(long, value_name = "FILE")]
    pub p1203: Option<PathBuf>,
}

/// A track on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TrackName {
    /// The main track.
    Video,
    /// Separate audio.
    Audio,
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let entries = record::read(&args.record)?;
    if let Some(path) = &args.p1203 {
        super::p1203::write(path, &Session::from_record(&entries))?;
    }
    let track = args.track.map(|track| match track {
        TrackName::Video => TrackKind::Video,
        TrackName::Audio => TrackKind::Audio,
    });
    print(&record::explain(&entries, track))
}
