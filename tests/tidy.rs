//! What the compiler and clippy can't enforce: who may depend on whom, which crate may know which
//! library, how long a file may be, which licences and doubled versions come with the dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Our crates and the ones of ours each may depend on: the plan's one direction.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("wasmbatch-core", &[]),
    ("wasmbatch-store", &["core"]),
    ("wasmbatch-jail", &[]),
    ("wasmbatch-executor", &["core", "jail"]),
    ("wasmbatch-controller", &["core", "store", "executor"]),
    ("wasmbatch-wasm", &["core", "executor", "jail"]),
    ("wasmbatch-container", &["core", "executor", "jail"]),
    ("wasmbatch-model", &[]),
    ("wasmbatch-server", &["core", "controller", "model"]),
    ("wasmbatch-client", &["model"]),
    ("wasmbatch", &["core", "controller", "executor", "wasm", "container", "server", "client"]),
    ("wasmbatch-tests", &[]),
    ("wasmbatch-bench", &["core", "store", "jail", "controller", "executor", "wasm", "container", "server", "client"]),
];

/// Libraries that only some of our crates may know.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("redb", &["wasmbatch-store", "wasmbatch-bench"]),
    ("wasmtime", &["wasmbatch-wasm"]),
    ("wasmtime-wasi", &["wasmbatch-wasm"]),
    ("axum", &["wasmbatch-server"]),
    ("nix", &["wasmbatch-jail", "wasmbatch-store"]),
    ("rustix", &["wasmbatch-jail", "wasmbatch-store", "wasmbatch-container"]),
    ("cap-std", &["wasmbatch-jail", "wasmbatch-store"]),
];

/// Crates that may not know tokio: the core decides, the store blocks, the model has no logic.
const WITHOUT_TOKIO: &[&str] = &["wasmbatch-core", "wasmbatch-store", "wasmbatch-model", "wasmbatch-jail"];

/// Licences that may come with a dependency; one of the alternatives must be here.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "0BSD",
    "CC0-1.0",
    "Unlicense",
    "BSL-1.0",
    // Of data, not of code: the certificates that web servers are checked against.
    "CDLA-Permissive-2.0",
];

/// Crates of which two versions are linked, each with who is to blame.
const DOUBLED: &[(&str, &str)] = &[
    ("cpufeatures", "rand, below wasmtime-wasi, is ahead of sha2"),
    ("embedded-io", "postcard offers both as options; neither is linked"),
    ("getrandom", "ring, below rustls, lags behind"),
    ("hashbrown", "gimli, below Cranelift, lags behind indexmap"),
    ("io-lifetimes", "fs-set-times, below cap-primitives, lags behind"),
    ("miniz_oxide", "png compresses by the older one and inflates through flate2 by the newer"),
    ("syn", "derive macros of wasmtime lag behind serde's; build time only"),
    ("thiserror", "witx, below wiggle's macros; build time only"),
    ("thiserror-impl", "the same"),
    ("wast", "witx again, and wat, which only tests use"),
];

const LINES: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is below the root").to_owned()
}

#[expect(clippy::disallowed_methods, reason = "cargo and git, to ask what there is")]
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root()).output().expect("it runs");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it writes UTF-8")
}

fn metadata() -> Value {
    let platform = "x86_64-unknown-linux-gnu";
    let text = output("cargo", &["metadata", "--format-version=1", "--locked", "--filter-platform", platform]);
    serde_json::from_str(&text).expect("cargo writes JSON")
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_default()
}

fn list<'v>(value: &'v Value, member: &str) -> &'v [Value] {
    value[member].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn ours(metadata: &Value) -> Vec<&Value> {
    list(metadata, "packages").iter().filter(|package| package["source"].is_null()).collect()
}

/// Names of the libraries a package links, without those of its tests and build scripts.
fn dependencies(package: &Value) -> impl Iterator<Item = &str> {
    list(package, "dependencies").iter().filter(|d| d["kind"].is_null()).map(|d| text(d, "name"))
}

#[test]
fn our_crates_depend_on_each_other_in_one_direction() {
    let metadata = metadata();
    let allowed: BTreeMap<_, _> = MAY_DEPEND_ON.iter().copied().collect();
    for package in ours(&metadata) {
        let name = text(package, "name");
        let allowed = allowed.get(name).unwrap_or_else(|| panic!("{name} is not in the table"));
        for dependency in dependencies(package).filter_map(|name| name.strip_prefix("wasmbatch-")) {
            assert!(allowed.contains(&dependency), "{name} may not depend on {dependency}");
        }
    }
}

#[test]
fn heavy_libraries_stay_in_their_crates() {
    let metadata = metadata();
    for package in ours(&metadata) {
        let name = text(package, "name");
        for dependency in dependencies(package) {
            if let Some((_, who)) = MAY_KNOW.iter().find(|(library, _)| *library == dependency) {
                assert!(who.contains(&name), "{name} may not know {dependency}");
            }
            assert!(dependency != "tokio" || !WITHOUT_TOKIO.contains(&name), "{name} may not know tokio");
        }
    }
}

#[test]
fn every_version_is_pinned_in_the_workspace() {
    let metadata = metadata();
    for package in ours(&metadata) {
        for dependency in list(package, "dependencies").iter().filter(|d| !d["source"].is_null()) {
            let requirement = text(dependency, "req");
            let name = text(dependency, "name");
            assert!(requirement.starts_with('='), "{}: {name} {requirement} is not exact", text(package, "name"));
        }
    }
}

#[test]
fn dependencies_come_with_licences_we_can_pass_on() {
    let metadata = metadata();
    for package in list(&metadata, "packages") {
        let licence = text(package, "license");
        let alternatives = licence.split(" OR ").flat_map(|part| part.split('/'));
        let fits = |part: &str| part.split(" AND ").all(|one| LICENCES.contains(&one.trim_matches(['(', ')', ' '])));
        let fine = fits(licence) || alternatives.into_iter().any(fits);
        assert!(fine, "{}: {licence}", text(package, "name"));
    }
}

#[test]
fn no_library_is_linked_in_two_versions_without_a_reason() {
    let metadata = metadata();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in list(&metadata, "packages") {
        versions.entry(text(package, "name")).or_default().insert(text(package, "version"));
    }
    let doubled: BTreeSet<&str> = versions.iter().filter(|(_, v)| v.len() > 1).map(|(name, _)| *name).collect();
    let known: BTreeSet<&str> = DOUBLED.iter().map(|(name, _)| *name).collect();
    assert_eq!(doubled, known, "{:?}", doubled.iter().map(|name| (name, &versions[name])).collect::<Vec<_>>());
}

#[test]
fn files_are_short_enough_to_read() {
    for file in output("git", &["ls-files", "*.rs", "*.py"]).lines() {
        let Ok(contents) = std::fs::read_to_string(root().join(file)) else { continue };
        let lines = contents.lines().count();
        assert!(lines <= LINES, "{file} has {lines} lines");
    }
}
