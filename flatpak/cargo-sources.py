#!/usr/bin/env python3
"""Writes flatpak/cargo-sources.json: every crate of Cargo.lock as a source that flatpak-builder can fetch and check.

With --check it writes nothing and fails when the file does not fit Cargo.lock.
"""

import json
import pathlib
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
TARGET = HERE / "cargo-sources.json"
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
CONFIG = """[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = "cargo/vendor"
"""


def sources():
    lock = tomllib.loads((HERE.parent / "Cargo.lock").read_text())
    for package in lock["package"]:
        origin = package.get("source")
        if origin is None:
            continue  # one of ours
        if origin != REGISTRY:
            sys.exit(f"{package['name']} comes from {origin}: only crates of the registry can be built offline")
        name = f"{package['name']}-{package['version']}"
        folder = f"cargo/vendor/{name}"
        yield {
            "type": "archive",
            "archive-type": "tar-gzip",
            "url": f"https://static.crates.io/crates/{package['name']}/{name}.crate",
            "sha256": package["checksum"],
            "dest": folder,
        }
        yield {
            "type": "inline",
            "contents": json.dumps({"package": package["checksum"], "files": {}}),
            "dest": folder,
            "dest-filename": ".cargo-checksum.json",
        }
    yield {"type": "inline", "contents": CONFIG, "dest": "cargo", "dest-filename": "config.toml"}


def main():
    text = json.dumps(list(sources()), indent=1) + "\n"
    if sys.argv[1:] == ["--check"]:
        if not TARGET.exists() or TARGET.read_text() != text:
            sys.exit("flatpak/cargo-sources.json does not fit Cargo.lock: run python3 flatpak/cargo-sources.py")
        return
    TARGET.write_text(text)
    print(f"{TARGET.name}: {text.count('.crate"')} crates")


main()
