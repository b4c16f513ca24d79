//! The house's rules that a compiler does not check: who may import whom.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

/// What each crate may import of ours, and which of the guarded libraries.
const ALLOWED: &[(&str, &[&str])] = &[
    ("weir-abr", &["serde", "thiserror"]),
    ("weir-manifest", &["weir-abr"]),
    ("weir-engine", &["weir-abr", "weir-manifest", "gstreamer*"]),
    ("weir-lab", &["weir-abr", "weir-manifest"]),
    ("weir", &["weir-abr", "weir-manifest", "weir-engine", "weir-lab", "eframe", "egui*"]),
    ("weir-server", &["gstreamer*"]),
    ("weir-tests", &["weir-abr", "weir-engine", "gstreamer-video"]),
];

/// Libraries that only some crates may name.
const GUARDED: &[&str] = &["gstreamer*", "eframe", "egui*", "weir*"];

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// Names of each crate's dependencies, those of tests left out.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let metadata = metadata();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| {
            let names = package["dependencies"].as_array().expect("dependencies").iter();
            let names = names
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| text(&dependency["name"]));
            (text(&package["name"]), names.collect())
        })
        .collect()
}

#[test]
fn imports_point_one_way() {
    let found = dependencies();
    assert_eq!(
        found.keys().map(String::as_str).collect::<Vec<_>>(),
        {
            let mut names: Vec<_> = ALLOWED.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            names
        },
        "a crate came or went: say here what it may import"
    );
    for (name, allowed) in ALLOWED {
        for dependency in &found[*name] {
            let guarded = GUARDED.iter().any(|pattern| matches(pattern, dependency));
            let fine = allowed.iter().any(|pattern| matches(pattern, dependency));
            assert!(!guarded || fine, "{name} must not import {dependency} (ARCHITECTURE.md)");
        }
    }
}

#[test]
fn the_brain_imports_nothing_but_serde_and_thiserror() {
    for dependency in &dependencies()["weir-abr"] {
        assert!(
            ["serde", "thiserror"].contains(&dependency.as_str()),
            "weir-abr must not import {dependency}"
        );
    }
}

#[test]
fn every_package_comes_from_the_registry_and_none_is_a_gstreamer_plugin() {
    let lock =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).expect("Cargo.lock");
    for line in lock.lines() {
        if let Some(source) = line.strip_prefix("source = ") {
            assert!(source.starts_with("\"registry+"), "no git dependencies: {source}");
        }
        assert!(!line.starts_with("name = \"gst-plugin-"), "no gst-plugin crates: {line}");
    }
}
