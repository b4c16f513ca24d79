//! `weir inspect`: what a manifest lists, without a network or a display.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, anyhow, ensure};
use clap::Args;
use url::Url;

/// Larger than any manifest that anybody wrote.
const LARGEST: u64 = 128 << 20;

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
    base_url: String,
}

/// An address that others can be relative to.
fn base(text: &str) -> anyhow::Result<Url> {
    let example = "write an address with a scheme, for example http://example.org/live/master.m3u8";
    let url = Url::parse(text)
        .map_err(|reason| anyhow!("--base-url {text:?} cannot be used: {reason}; {example}"))?;
    ensure!(
        !url.cannot_be_a_base(),
        "--base-url {text:?} cannot be used: nothing is relative to it; {example}"
    );
    Ok(url)
}

/// Prints one JSON object, or fails without having printed anything.
pub(super) fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let base = base(&args.base_url)?;
    let name = args.file.display();
    let mut bytes = Vec::new();
    let read = if args.file.as_os_str() == "-" {
        std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        File::open(&args.file).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read {name}"))?;
    ensure!(bytes.len() as u64 <= LARGEST, "{name} is larger than {} MB: that is no manifest", LARGEST >> 20);
    let value = weir_manifest::inspect(&bytes, &base).with_context(|| format!("{name} cannot be used"))?;
    let mut text = serde_json::to_vec(&value).with_context(|| format!("writing what {name} says"))?;
    text.push(b'\n');
    match std::io::stdout().lock().write_all(&text) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("writing to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_that_nothing_can_be_relative_to_is_refused_with_a_reason() {
        assert_eq!(base("file:///a/b").unwrap().join("c").unwrap().as_str(), "file:///a/c");
        for bad in ["", "x.m3u8", "/a/", "mailto:a@b", "data:,x", "http://", "http://[::1"] {
            let error = base(bad).expect_err(bad).to_string();
            assert!(error.contains("--base-url") && !error.contains('\n'), "{bad}: {error}");
        }
    }
}
