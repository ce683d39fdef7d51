//! Images from archives.

use std::fs;
use std::io::{Seek as _, Write as _};

use serde_json::{Value, json};
use wasmbatch_container::image::Resolved;
use wasmbatch_executor::{ImageError, ImageInfo, Images as _};

use crate::Test;
use crate::archive::{Tar, digest, gzip};
use crate::node::Node;
use crate::pulls::small;
use crate::registry::{INDEX, MANIFEST, Registry};

pub(crate) const TESTS: &[Test] = &[
    ("what_docker_saves_is_loaded", what_docker_saves_is_loaded),
    ("an_oci_layout_is_loaded", an_oci_layout_is_loaded),
    ("the_mounts_of_the_host_may_be_shared", the_mounts_of_the_host_may_be_shared),
    ("a_layout_of_several_platforms_is_one_image", a_layout_of_several_platforms_is_one_image),
    ("a_module_is_loaded", a_module_is_loaded),
    ("loaded_names_win_and_stay", loaded_names_win_and_stay),
    ("an_image_without_a_name_is_known_by_its_digest", an_image_without_a_name_is_known_by_its_digest),
    ("hostile_archives_are_refused", hostile_archives_are_refused),
];

fn load(node: &Node, archive: &[u8], name: Option<&str>) -> Result<Vec<ImageInfo>, ImageError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(archive).unwrap();
    file.rewind().unwrap();
    node.store.load(file, name)
}

fn rejected(node: &Node, archive: &[u8]) -> String {
    match load(node, archive, None) {
        Err(ImageError::Rejected(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn config(layers: &[&[u8]]) -> Vec<u8> {
    let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer).to_string()).collect();
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    serde_json::to_vec(&config).unwrap()
}

fn saved(tags: Value) -> Tar {
    let (one, two) = (Tar::new().file("one", b"1").finish(), Tar::new().file("two", b"2").finish());
    let manifest = json!([{"Config": "config.json", "RepoTags": tags, "Layers": ["aa/layer.tar", "bb/layer.tar"]}]);
    Tar::new()
        .folder("aa/")
        .file("aa/layer.tar", &one)
        .file("two.tar", &two)
        .symlink("bb/layer.tar", "../two.tar")
        .file("config.json", &config(&[&one, &two]))
        .file("manifest.json", manifest.to_string().as_bytes())
}

fn what_docker_saves_is_loaded() {
    let node = Node::new(&Registry::start());
    let archive = saved(json!(["example/busybox:latest", "other:2"])).finish();
    for archive in [&archive, &gzip(&archive)] {
        let loaded = load(&node, archive, None).unwrap();
        let names: Vec<&str> = loaded.iter().map(|image| image.name.as_str()).collect();
        assert_eq!(names, ["docker.io/example/busybox:latest", "docker.io/library/other:2"]);
        assert!(loaded.iter().all(|image| image.loaded && image.size_bytes == 2), "{loaded:?}");
    }
    for name in ["example/busybox", "example/busybox:latest", "docker.io/example/busybox", "other:2"] {
        let image = node.image(name);
        assert_eq!(image.config.command, ["/bin/true"]);
        assert_eq!(fs::read(image.layers[0].join("two")).unwrap(), b"2");
        assert_eq!(fs::read(image.layers[1].join("one")).unwrap(), b"1");
    }
    assert_eq!(node.names("tmp"), [""; 0]);
}

/// A layout of what a registry has by these digests, and its index.
fn layout(registry: &Registry, blobs: &[wasmbatch_core::Digest], index: &Value) -> Tar {
    let layout = Tar::new().file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    let layout = blobs
        .iter()
        .fold(layout, |layout, blob| layout.file(&format!("blobs/sha256/{}", blob.hex()), &registry.bytes(blob)));
    layout.file("index.json", index.to_string().as_bytes())
}

/// Puts an image's manifest among the blobs, and says which there are then and how an index has it.
fn stored(registry: &Registry, manifest: &Value) -> (Vec<wasmbatch_core::Digest>, Value) {
    let text = serde_json::to_vec(manifest).unwrap();
    let own = registry.blob(&text);
    let mut blobs = vec![own, manifest["config"]["digest"].as_str().unwrap().parse().unwrap()];
    let layers = manifest["layers"].as_array().unwrap();
    blobs.extend(
        layers.iter().map(|layer| layer["digest"].as_str().unwrap().parse::<wasmbatch_core::Digest>().unwrap()),
    );
    (blobs, json!({"mediaType": MANIFEST, "digest": own.to_string(), "size": text.len()}))
}

fn index(entries: &[Value]) -> Value {
    json!({"schemaVersion": 2, "manifests": entries})
}

fn an_oci_layout_is_loaded() {
    let registry = Registry::start();
    let node = Node::new(&registry);
    let manifest = registry.image_manifest(&small("oci"), json!({"Cmd": ["x"]}));
    let (blobs, mut entry) = stored(&registry, &manifest);
    for (annotations, name, expected) in [
        (json!({"io.containerd.image.name": "ghcr.io/a/b:1"}), None, "ghcr.io/a/b:1"),
        (json!({"org.opencontainers.image.ref.name": "localhost/c:2"}), Some("ignored"), "localhost/c:2"),
        (json!({"org.opencontainers.image.ref.name": "latest"}), Some("given/name"), "docker.io/given/name:latest"),
        (json!({}), Some("given:3"), "docker.io/library/given:3"),
    ] {
        entry["annotations"] = annotations;
        let archive = layout(&registry, &blobs, &index(&[entry.clone()])).finish();
        let loaded = load(&node, &archive, name).unwrap();
        assert_eq!(loaded[0].name, expected);
        assert_eq!(loaded[0].digest, blobs[0]);
        assert_eq!(fs::read(node.image(expected).layers[0].join("etc/name")).unwrap(), b"oci");
    }
}

fn a_layout_of_several_platforms_is_one_image() {
    let registry = Registry::start();
    let node = Node::new(&registry);
    let (here, elsewhere) = if cfg!(target_arch = "x86_64") { ("amd64", "arm64") } else { ("arm64", "amd64") };
    let (blobs, mut ours) = stored(&registry, &registry.image_manifest(&small("ours"), json!({})));
    let (_, mut theirs) = stored(&registry, &registry.image_manifest(&small("theirs"), json!({})));
    ours["platform"] = json!({"os": "linux", "architecture": here});
    theirs["platform"] = json!({"os": "linux", "architecture": elsewhere});
    let flat = layout(&registry, &blobs, &index(&[theirs.clone(), ours.clone()])).finish();
    let loaded = load(&node, &flat, Some("multi")).unwrap();
    assert_eq!((loaded.len(), loaded[0].digest), (1, blobs[0]));
    // As docker has it: an index within the index.
    let inner =
        serde_json::to_vec(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [theirs, ours]})).unwrap();
    let nested = json!({
        "mediaType": INDEX, "digest": registry.blob(&inner).to_string(), "size": inner.len(),
        "annotations": {"io.containerd.image.name": "nested:1"},
    });
    let blobs = [blobs, vec![digest(&inner)]].concat();
    let loaded = load(&node, &layout(&registry, &blobs, &index(&[nested])).finish(), None).unwrap();
    assert_eq!(loaded[0].name, "docker.io/library/nested:1");
}

fn a_module_is_loaded() {
    let registry = Registry::start();
    let node = Node::new(&registry);
    let bytes = b"\0asm\x01\0\0\0";
    let manifest = json!({
        "schemaVersion": 2,
        "config": {
            "mediaType": "application/vnd.wasm.config.v0+json", "digest": registry.blob(b"{}").to_string(), "size": 2,
        },
        "layers": [{"mediaType": "application/wasm", "digest": registry.blob(bytes).to_string(), "size": 8}],
    });
    let (blobs, entry) = stored(&registry, &manifest);
    let loaded = load(&node, &layout(&registry, &blobs, &index(&[entry])).finish(), Some("mod:1")).unwrap();
    assert_eq!(loaded[0].size_bytes, 8);
    let Ok(Resolved::Module(module)) = node.resolve("mod:1") else { panic!("no module") };
    assert_eq!(fs::read(node.images().join("modules").join(module.hex())).unwrap(), bytes);
    let node = node.restart();
    assert!(node.resolve("mod:1").is_ok());
    assert_eq!(node.store.remove("mod:1"), Ok(true));
    assert_eq!(node.names("modules"), [""; 0]);
}

fn loaded_names_win_and_stay() {
    let registry = Registry::start();
    let node = Node::with(&registry, |options| options.most_store_bytes = 0);
    let name = format!("{}/a:1", registry.host);
    let pulled = registry.image("a", "1", &small("pulled"), json!({}));
    let loaded = load(&node, &saved(json!([name.clone()])).finish(), None).unwrap();
    assert_ne!(node.image(&name).digest, pulled);
    assert!(registry.requests().is_empty());
    // The collector leaves it alone, though there is no room for anything.
    registry.image("b", "1", &small("b"), json!({}));
    drop(node.image(&format!("{}/b:1", registry.host)));
    node.until(|node| node.store.list().len() == 1);
    let node = node.restart();
    assert_eq!(node.image(&name).digest, loaded[0].digest);
    assert_eq!(node.store.remove(&name), Ok(true));
    assert_eq!(node.image(&name).digest, pulled);
}

fn an_image_without_a_name_is_known_by_its_digest() {
    let node = Node::new(&Registry::start());
    let loaded = load(&node, &saved(Value::Null).finish(), None).unwrap();
    assert_eq!(loaded[0].name, loaded[0].digest.to_string());
    assert_eq!(node.image(&loaded[0].name).digest, loaded[0].digest);
    assert_eq!(node.store.remove(&loaded[0].name), Ok(true));
    assert_eq!(
        load(&node, &saved(Value::Null).finish(), Some("named")).unwrap()[0].name,
        "docker.io/library/named:latest"
    );
}

fn hostile_archives_are_refused() {
    let registry = Registry::start();
    let node = Node::with(&registry, |options| {
        options.most_image_bytes = 8 << 20;
        options.most_store_bytes = 8 << 20;
        options.most_layer_entries = 200;
    });
    let manifest = |config: &str, layer: &str| {
        let manifest = json!([{"Config": config, "RepoTags": ["a:1"], "Layers": [layer]}]);
        Tar::new().file("manifest.json", manifest.to_string().as_bytes())
    };
    let one = Tar::new().file("one", b"1").finish();
    let good = |tar: Tar| tar.file("c", &config(&[&one])).file("l", &one).finish();
    let secret = node.home.path().join("secret");
    fs::write(&secret, b"{}").unwrap();
    let secret = secret.to_str().unwrap();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"no archive".repeat(100), "not a tar archive"),
        (Tar::new().file("x", b"").finish(), "neither index.json nor manifest.json"),
        (manifest("missing", "l").finish(), "missing of the archive: not found"),
        (good(manifest("../../secret", "l")), "leads out of the allowed folder"),
        (good(manifest(secret, "l")), "leads out of the allowed folder"),
        (good(manifest("link", "l").symlink("link", secret)), "leads out of the allowed folder"),
        (good(manifest("link", "l").symlink("link", "../../../secret")), "leads out of the allowed folder"),
        (good(manifest("link", "l").symlink("link", "/proc/self/environ")), "leads out of the allowed folder"),
        (good(manifest("folder", "l").folder("folder")), "not a regular file"),
        (good(manifest("c", "folder").folder("folder")), "not a regular file"),
        (good(manifest("c", "c")), "cannot be unpacked"),
        (good(manifest("c", "m").file("m", &Tar::new().file("x", b"").finish())), "another digest"),
        (good(Tar::new().file("../x", b"")), "its name leads out of the archive"),
        (Tar::new().file("bomb", &vec![0; 9 << 20]).finish(), "larger than an image may be"),
        ((0..300).fold(Tar::new(), |tar, n| tar.file(&n.to_string(), b"")).finish(), "more entries"),
        (Tar::new().file("manifest.json", &vec![b' '; (4 << 20) + 1]).finish(), "too large"),
        (Tar::new().file("manifest.json", b"[{").finish(), "manifest.json is not valid"),
        (Tar::new().file("index.json", b"{}").finish(), "not valid"),
    ];
    for (archive, expected) in cases {
        let said = rejected(&node, &archive);
        assert!(said.contains(expected), "{said} without {expected}");
    }
    // Of a layout nothing is believed either.
    let (blobs, entry) = stored(&registry, &registry.image_manifest(&small("x"), json!({})));
    let changed = blobs[1..]
        .iter()
        .fold(Tar::new(), |tar, blob| tar.file(&format!("blobs/sha256/{}", blob.hex()), &registry.bytes(blob)));
    let changed = changed.file(&format!("blobs/sha256/{}", blobs[0].hex()), b"{}");
    let said = rejected(
        &node,
        &changed.file("index.json", index(std::slice::from_ref(&entry)).to_string().as_bytes()).finish(),
    );
    assert!(said.contains("has another digest"), "{said}");
    let named = |entry: &Value, name: &str| {
        let mut entry = entry.clone();
        entry["annotations"] = json!({"io.containerd.image.name": name});
        entry
    };
    let mut outside = named(&entry, "x");
    outside["digest"] = json!("sha256:../../secret");
    let said = rejected(&node, &layout(&registry, &blobs, &index(&[outside])).finish());
    assert!(said.contains("is not a sha256 digest"), "{said}");
    node.until(|node| node.names("layers").is_empty() && node.names("tmp").is_empty());
    assert!(node.store.list().is_empty());
}

/// As systemd makes them; where nobody did, they aren't.
#[expect(clippy::disallowed_methods, reason = "a test that needs mounts of its own")]
fn the_mounts_of_the_host_may_be_shared() {
    if !rustix::process::geteuid().is_root() {
        // An ordinary user's unpacking process gets its folder otherwise.
        return;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--propagation", "shared"]).arg(program).args(["--exact", "an_oci_layout_is_loaded"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
}
