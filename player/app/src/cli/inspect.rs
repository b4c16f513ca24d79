//! `weir inspect`: what a manifest lists, without a network or a display.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use url::Url;

/// Larger than any playlist that a player should load.
const LARGEST: u64 = 64 << 20;

/// Options of `weir inspect`.
#[derive(Args, Debug)]
pub(super) struct InspectArgs {
    /// Print JSON, the keys of which docs/inspect.md explains.
    #[arg(long, required = true)]
    json: bool,
    /// The manifest; `-` reads standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where it would have been loaded from: relative addresses in it are resolved against this.
    #[arg(long, value_name = "URL")]
    base_url: Url,
}

/// Prints one JSON object, or fails without having printed anything.
pub(super) fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let name = args.file.display();
    let mut bytes = Vec::new();
    let read = if args.file.as_os_str() == "-" {
        std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        File::open(&args.file).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read {name}"))?;
    ensure!(bytes.len() as u64 <= LARGEST, "{name} is larger than {} MB: that is no manifest", LARGEST >> 20);
    let value =
        weir_manifest::inspect(&bytes, &args.base_url).with_context(|| format!("{name} cannot be used"))?;
    let mut text = serde_json::to_vec(&value).with_context(|| format!("writing what {name} says"))?;
    text.push(b'\n');
    match std::io::stdout().lock().write_all(&text) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("writing to standard output"),
    }
}
