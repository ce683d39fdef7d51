//! Manifests, indexes and configurations: JSON of strangers, read into what is needed of it.

use serde::Deserialize;
use wasmbatch_core::Digest;

use super::ImageConfig;
use super::error::PullError;

/// Most bytes of a manifest or an index.
pub(crate) const MOST_MANIFEST: u64 = 4 << 20;
/// Most bytes of a configuration.
pub(crate) const MOST_CONFIG: u64 = 8 << 20;
/// Most bytes of a module.
pub(crate) const MOST_MODULE: u64 = 1 << 30;
/// Entries of an index.
const MOST_ENTRIES: usize = 4096;
/// Arguments, variables: of each, and bytes of all.
const MOST_TEXTS: usize = 10_000;
const MOST_TEXT_BYTES: usize = 1 << 20;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const MODULE_CONFIGS: [&str; 2] = ["application/vnd.wasm.config.v0+json", "application/vnd.wasm.config.v1+json"];
const MODULE_LAYERS: [&str; 3] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];
const IMAGE_LAYERS: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// A blob, as a manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// What a manifest is of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Manifest {
    /// Of one for each platform; this one is for here.
    Index(Descriptor),
    /// Of an image.
    Image { config: Descriptor, layers: Vec<Descriptor> },
    /// Of a module.
    Module(Descriptor),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    schema_version: u32,
    media_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawDescriptor {
    media_type: Option<String>,
    digest: String,
    size: i64,
    platform: Option<Platform>,
    #[serde(default)]
    pub(crate) annotations: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    variant: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RawConfig {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    config: Option<RawContainer>,
    rootfs: Option<RawRootfs>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawContainer {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    stop_signal: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RawRootfs {
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

fn unsupported(text: impl Into<String>) -> PullError {
    PullError::Unsupported(text.into())
}

/// A type, fit for people.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

impl RawDescriptor {
    pub(crate) fn descriptor(&self) -> Result<Descriptor, PullError> {
        let digest = self.digest.parse();
        let digest =
            digest.map_err(|_| unsupported(format!("digest {} is not a sha256 digest", shown(&self.digest))))?;
        let size = u64::try_from(self.size).map_err(|_| unsupported("a size in the manifest is negative"))?;
        Ok(Descriptor { digest, size })
    }

    fn kind(&self) -> &str {
        self.media_type.as_deref().unwrap_or_default()
    }
}

/// Reads a manifest or an index.
///
/// # Errors
/// It is neither, or nothing that can run here.
pub(crate) fn parse(text: &[u8], most_layers: usize) -> Result<Manifest, PullError> {
    let raw = raw(text)?;
    let kind = raw.media_type.as_deref();
    match (&raw.manifests, &raw.config, &raw.layers) {
        (Some(entries), None, None) if kind.is_none_or(|kind| matches!(kind, OCI_INDEX | DOCKER_LIST)) => {
            choose(entries, std::env::consts::ARCH).map(Manifest::Index)
        }
        (None, Some(config), Some(layers))
            if kind.is_none_or(|kind| matches!(kind, OCI_MANIFEST | DOCKER_MANIFEST)) =>
        {
            content(config, layers, most_layers)
        }
        _ => Err(unsupported(format!("manifest of type {} is not an image's", shown(kind.unwrap_or("unknown"))))),
    }
}

/// The entries of an index.
///
/// # Errors
/// It isn't one.
pub(crate) fn entries(text: &[u8]) -> Result<Vec<RawDescriptor>, PullError> {
    let entries = raw(text)?.manifests.ok_or_else(|| unsupported("index.json has no manifests"))?;
    if entries.len() > MOST_ENTRIES {
        return Err(unsupported("the index has too many entries"));
    }
    Ok(entries)
}

/// The one of several that runs here.
///
/// # Errors
/// None does.
pub(crate) fn choose_here(entries: &[RawDescriptor]) -> Result<Descriptor, PullError> {
    choose(entries, std::env::consts::ARCH)
}

fn raw(text: &[u8]) -> Result<RawManifest, PullError> {
    let raw: RawManifest =
        serde_json::from_slice(text).map_err(|error| match serde_json::from_slice::<SchemaOne>(text) {
            Ok(SchemaOne { schema_version: 1 }) => schema_one(),
            _ => unsupported(format!("the manifest is not valid: {error}")),
        })?;
    match raw.schema_version {
        2 => Ok(raw),
        1 => Err(schema_one()),
        other => Err(unsupported(format!("manifest of schema version {other} is not supported"))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaOne {
    schema_version: u32,
}

fn schema_one() -> PullError {
    unsupported("Docker image manifest version 2 schema 1 is not supported: push the image anew")
}

/// The entry of an index that runs here: an image for this machine, else a module.
fn choose(entries: &[RawDescriptor], machine: &str) -> Result<Descriptor, PullError> {
    if entries.len() > MOST_ENTRIES {
        return Err(unsupported("the index has too many entries"));
    }
    let rank = |entry: &RawDescriptor| {
        let platform = entry.platform.as_ref()?;
        match platform.os.as_str() {
            "linux" => fits(platform, machine),
            "wasip1" | "wasi" if platform.architecture == "wasm" => Some(2),
            "wasip2" if platform.architecture == "wasm" => Some(1),
            _ => None,
        }
    };
    // Of equals the first.
    let ranked = entries.iter().filter_map(|entry| Some((rank(entry)?, entry)));
    let best = ranked.reduce(|best, next| if next.0 > best.0 { next } else { best });
    // An index of one that doesn't say what it is for: its configuration will.
    let only = || entries.first().filter(|entry| entries.len() == 1 && entry.platform.is_none());
    match best.map(|(_, entry)| entry).or_else(only) {
        Some(entry) => entry.descriptor(),
        None => Err(unsupported(format!("the image has nothing for linux/{}", go_name(machine)))),
    }
}

fn go_name(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "riscv64gc" => "riscv64",
        other => other,
    }
}

/// How well a Linux platform fits a machine, above what a module does.
fn fits(platform: &Platform, machine: &str) -> Option<u32> {
    if platform.architecture != go_name(machine) {
        return None;
    }
    let variant = platform.variant.as_deref().unwrap_or_default();
    match (machine, variant) {
        (_, "") => Some(20),
        ("aarch64", "v8") | ("x86_64", "v1") => Some(19),
        ("arm", "v7") => Some(18),
        ("arm", "v6") => Some(17),
        ("arm", "v5") => Some(16),
        // One that this machine may be too old for.
        _ => None,
    }
}

fn content(config: &RawDescriptor, layers: &[RawDescriptor], most_layers: usize) -> Result<Manifest, PullError> {
    if layers.len() > most_layers {
        return Err(unsupported(format!("the image has {} layers, the limit is {most_layers}", layers.len())));
    }
    let module = |layer: &RawDescriptor| MODULE_LAYERS.contains(&layer.kind());
    if MODULE_CONFIGS.contains(&config.kind()) || layers.iter().any(module) {
        let [layer] = layers else {
            return Err(unsupported(format!("a module has one layer, this artifact has {}", layers.len())));
        };
        if !module(layer) {
            return Err(unsupported(format!("a module's layer is not of type {}", shown(layer.kind()))));
        }
        let layer = layer.descriptor()?;
        check_size("the module", layer.size, MOST_MODULE)?;
        return Ok(Manifest::Module(layer));
    }
    for layer in layers {
        let kind = layer.kind();
        if kind.contains("nondistributable") || kind.contains("foreign") {
            return Err(unsupported(format!("layers of type {} are not supported", shown(kind))));
        }
        if !IMAGE_LAYERS.contains(&kind) {
            return Err(unsupported(format!("the artifact is no image: it has a layer of type {}", shown(kind))));
        }
    }
    let layers = layers.iter().map(RawDescriptor::descriptor).collect::<Result<_, _>>()?;
    let config = config.descriptor()?;
    check_size("the image's configuration", config.size, MOST_CONFIG)?;
    Ok(Manifest::Image { config, layers })
}

pub(crate) fn check_size(what: &str, bytes: u64, limit: u64) -> Result<(), PullError> {
    if bytes > limit {
        return Err(PullError::TooLarge { what: what.to_owned(), bytes, limit });
    }
    Ok(())
}

/// Reads an image's configuration: what it says of its container, and the digests of its layers
/// without compression.
///
/// # Errors
/// It isn't valid, says too much, or is for another machine.
pub(crate) fn parse_config(text: &[u8]) -> Result<(ImageConfig, Vec<Digest>), PullError> {
    let raw: RawConfig = serde_json::from_slice(text)
        .map_err(|error| unsupported(format!("the image's configuration is not valid: {error}")))?;
    if raw.architecture == "wasm" {
        return Err(unsupported(
            "an image with a module among its files is not supported: push the module as an artifact",
        ));
    }
    let here = go_name(std::env::consts::ARCH);
    if raw.os != "linux" || raw.architecture != here {
        let is = format!("{}/{}", shown(&raw.os), shown(&raw.architecture));
        return Err(unsupported(format!("the image is for {is}, this machine is linux/{here}")));
    }
    let diff_ids = raw.rootfs.and_then(|rootfs| rootfs.diff_ids).unwrap_or_default();
    let diff_ids = diff_ids.iter().map(|digest| digest.parse()).collect::<Result<Vec<Digest>, _>>();
    let diff_ids = diff_ids.map_err(|_| unsupported("the image's configuration has a diff_id that is no digest"))?;
    Ok((container(raw.config.unwrap_or_default())?, diff_ids))
}

fn container(raw: RawContainer) -> Result<ImageConfig, PullError> {
    let RawContainer { entrypoint, cmd, env, working_dir, user, stop_signal } = raw;
    let (entrypoint, command) = (entrypoint.unwrap_or_default(), cmd.unwrap_or_default());
    let env = env.unwrap_or_default();
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (working_directory, user, stop_signal) = (given(working_dir), given(user), given(stop_signal));
    let lists = [&entrypoint, &command, &env];
    let texts = lists.iter().flat_map(|list| list.iter()).chain(&working_directory).chain(&user).chain(&stop_signal);
    if lists.iter().any(|list| list.len() > MOST_TEXTS)
        || texts.clone().map(String::len).sum::<usize>() > MOST_TEXT_BYTES
    {
        return Err(unsupported("the image's configuration says too much"));
    }
    if texts.clone().any(|text| text.contains('\0')) {
        return Err(unsupported("the image's configuration has a text with a zero byte"));
    }
    if working_directory.as_ref().is_some_and(|folder| !folder.starts_with('/')) {
        return Err(unsupported("the image's working directory is not absolute"));
    }
    // What has no `=` is no variable.
    let environment = env.iter().filter_map(|text| text.split_once('=')).filter(|(name, _)| !name.is_empty());
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(ImageConfig { entrypoint, command, environment, working_directory, user, stop_signal })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn entry(number: u8, os: &str, architecture: &str, variant: Option<&str>) -> Value {
        let digest = Digest::from_bytes([number; 32]).to_string();
        json!({
            "mediaType": OCI_MANIFEST, "digest": digest, "size": 1,
            "platform": {"os": os, "architecture": architecture, "variant": variant},
        })
    }

    fn chosen(entries: &[Value], machine: &str) -> Option<u8> {
        let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
        let entries = super::entries(index.as_bytes()).unwrap();
        choose(&entries, machine).ok().map(|chosen| chosen.digest.as_bytes()[0])
    }

    #[test]
    fn the_entry_that_fits_best_is_chosen() {
        let arm = [
            entry(1, "linux", "arm", Some("v5")),
            entry(2, "linux", "arm", Some("v7")),
            entry(3, "linux", "arm", Some("v6")),
            entry(4, "linux", "arm", Some("v8")),
            entry(5, "linux", "arm64", Some("v8")),
        ];
        assert_eq!((chosen(&arm, "arm"), chosen(&arm, "aarch64"), chosen(&arm, "x86_64")), (Some(2), Some(5), None));
        let x86 = [
            entry(1, "wasip2", "wasm", None),
            entry(2, "linux", "amd64", Some("v3")),
            entry(3, "wasip1", "wasm", None),
            entry(4, "linux", "amd64", None),
            entry(5, "linux", "amd64", None),
            entry(6, "unknown", "unknown", None),
        ];
        assert_eq!(
            (chosen(&x86, "x86_64"), chosen(&x86[..3], "x86_64"), chosen(&x86[5..], "x86_64")),
            (Some(4), Some(3), None)
        );
        // An index of one that says nothing of it.
        let mut only = entry(7, "", "", None);
        only.as_object_mut().unwrap().remove("platform");
        assert_eq!(chosen(&[only], "x86_64"), Some(7));
    }

    fn texts() -> impl Strategy<Value = String> {
        let word = proptest::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "2",
            "-1",
            "null",
            "\"schemaVersion\":2",
            "\"manifests\":[",
            "\"layers\":[",
            "\"config\":{",
            "\"digest\":\"sha256:\"",
            "\"size\":99999999999999999999",
            "\"Env\":[\"=\"]",
            "\"os\":\"linux\"",
            "\"rootfs\":{\"diff_ids\":[\"x\"]}",
            "\"platform\":{}",
            "\"mediaType\":\"\"",
        ]);
        proptest::collection::vec(word, 0..20).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in prop_oneof![texts(), any::<String>()]) {
            let _ = parse(text.as_bytes(), 3);
            let _ = entries(text.as_bytes());
            let _ = parse_config(text.as_bytes());
        }
    }
}
