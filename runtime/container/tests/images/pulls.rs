//! What is pulled arrives, whatever form it has.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use serde_json::{Value, json};
use wasmbatch_container::image::{OpenError, Resolved};

use crate::Test;
use crate::archive::{Header, Tar, digest};
use crate::node::{Node, names};
use crate::registry::{INDEX, LAYER, MANIFEST, Registry, Reply};

pub(crate) const TESTS: &[Test] = &[
    ("an_image_is_pulled_and_unpacked", an_image_is_pulled_and_unpacked),
    ("docker_types_are_taken", docker_types_are_taken),
    ("an_index_is_searched_for_this_machine", an_index_is_searched_for_this_machine),
    ("a_module_is_kept_as_it_is", a_module_is_kept_as_it_is),
    ("what_is_no_image_is_refused", what_is_no_image_is_refused),
    ("a_tag_is_asked_for_each_time_and_a_digest_never", a_tag_is_asked_for_each_time_and_a_digest_never),
    ("a_tag_that_moved_is_followed", a_tag_that_moved_is_followed),
    ("without_its_registry_an_image_is_used_as_it_was", without_its_registry_an_image_is_used_as_it_was),
    ("credentials_and_tokens_let_in", credentials_and_tokens_let_in),
    ("what_was_pulled_is_there_after_a_restart", what_was_pulled_is_there_after_a_restart),
    ("settings_that_cannot_work_are_told", settings_that_cannot_work_are_told),
];

pub(crate) fn small(text: &str) -> Vec<Vec<u8>> {
    vec![Tar::new().folder("etc/").file("etc/name", text.as_bytes()).finish()]
}

fn an_image_is_pulled_and_unpacked() {
    let registry = Registry::start();
    let base = Tar::new()
        .folder("etc/")
        .file("etc/motd", b"hello")
        .with(Header { name: "bin/tool", mode: 0o4755, user: 5, group: 65_535, ..Header::default() }, b"x")
        .symlink("var/run", "/run")
        .file("var/run/pid", b"1")
        .hard_link("etc/motd2", "etc/motd");
    let above = Tar::new().file("etc/.wh.motd", b"").file("srv/.wh..wh..opq", b"").file("srv/new", b"n");
    let third = Tar::new().file("third", b"3");
    let layers = [base.finish(), above.finish(), third.finish()];
    let config = json!({
        "Entrypoint": ["/bin/sh"], "Cmd": ["-c", "true"], "Env": ["PATH=/bin", "A=b=c"], "WorkingDir": "/srv",
        "User": "5:5", "StopSignal": "SIGINT",
    });
    let digest = registry.image("test/one", "latest", &layers, config);
    let node = Node::new(&registry);
    let image = node.image(&format!("{}/test/one", registry.host));
    assert_eq!(image.digest, digest);
    assert_eq!(image.config.entrypoint, ["/bin/sh"]);
    assert_eq!(image.config.command, ["-c", "true"]);
    assert_eq!(image.config.environment[1], ("A".to_owned(), "b=c".to_owned()));
    assert_eq!(image.config.working_directory.as_deref(), Some("/srv"));
    assert_eq!(image.config.user.as_deref(), Some("5:5"));
    assert_eq!(image.config.stop_signal.as_deref(), Some("SIGINT"));
    assert_eq!(image.layers.len(), 3);
    let [third, above, base] = [&image.layers[0], &image.layers[1], &image.layers[2]];
    assert_eq!(fs::read(third.join("third")).unwrap(), b"3");
    assert_eq!(fs::read(base.join("etc/motd2")).unwrap(), b"hello");
    assert_eq!(names(&base.join("run")), ["pid"]);
    let tool = fs::metadata(base.join("bin/tool")).unwrap();
    let (user, group) = (node.host_user(5), node.host_user(65_535));
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!((tool.uid(), tool.mode() & 0o7777), (user, 0o755));
    assert!(tool.gid() == group || !is_root);
    assert_eq!(fs::metadata(base.join("etc")).unwrap().mtime(), 0o14000000000);
    let whiteout = fs::symlink_metadata(above.join("etc/motd")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    let mut value = [0; 4];
    assert_eq!(rustix::fs::getxattr(above.join("srv"), "user.overlay.opaque", &mut value), Ok(1));
    assert_eq!(node.names("tmp"), [""; 0]);
}

fn docker_types_are_taken() {
    let registry = Registry::start();
    let mut manifest = registry.image_manifest(&small("docker"), json!({"Cmd": ["x"]}));
    manifest["mediaType"] = json!("application/vnd.docker.distribution.manifest.v2+json");
    manifest["config"]["mediaType"] = json!("application/vnd.docker.container.image.v1+json");
    manifest["layers"][0]["mediaType"] = json!("application/vnd.docker.image.rootfs.diff.tar.gzip");
    registry.manifest("a", "1", "application/vnd.docker.distribution.manifest.v2+json", &manifest);
    let node = Node::new(&registry);
    let image = node.image(&format!("{}/a:1", registry.host));
    assert_eq!(fs::read(image.layers[0].join("etc/name")).unwrap(), b"docker");
}

fn entry(manifest: &Value, os: &str, architecture: &str, variant: Option<&str>) -> Value {
    let text = serde_json::to_vec(manifest).unwrap();
    let mut platform = json!({"os": os, "architecture": architecture});
    if let Some(variant) = variant {
        platform["variant"] = json!(variant);
    }
    json!({"mediaType": MANIFEST, "digest": digest(&text).to_string(), "size": text.len(), "platform": platform})
}

fn here() -> (&'static str, &'static str) {
    if cfg!(target_arch = "x86_64") { ("amd64", "arm64") } else { ("arm64", "amd64") }
}

fn an_index_is_searched_for_this_machine() {
    let registry = Registry::start();
    let (here, elsewhere) = here();
    let ours = registry.image_manifest(&small("ours"), json!({}));
    let module = module(&registry, "application/vnd.wasm.config.v0+json", "application/wasm", b"\0asm");
    let wanted = registry.manifest("a", "ours", MANIFEST, &ours);
    registry.manifest("a", "module", MANIFEST, &module);
    let other = json!({"schemaVersion": 2});
    let index = |entries: Vec<Value>| json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let all = index(vec![
        entry(&module, "wasip1", "wasm", None),
        entry(&other, "linux", elsewhere, None),
        entry(&other, "windows", here, None),
        entry(&other, "unknown", "unknown", None),
        entry(&ours, "linux", here, None),
    ]);
    let top = registry.manifest("a", "latest", INDEX, &all);
    registry.manifest(
        "a",
        "wasm",
        INDEX,
        &index(vec![entry(&other, "linux", elsewhere, None), entry(&module, "wasip1", "wasm", None)]),
    );
    registry.manifest("a", "none", INDEX, &index(vec![entry(&other, "linux", elsewhere, None)]));
    let node = Node::new(&registry);
    let host = &registry.host;
    assert_eq!(node.image(&format!("{host}/a")).digest, wanted);
    assert!(matches!(node.resolve(&format!("{host}/a:wasm")), Ok(Resolved::Module(_))));
    assert_eq!(node.error(&format!("{host}/a:none")), format!("the image has nothing for linux/{here}"));
    // The index's digest names the image too, and costs nothing.
    registry.forget_requests();
    assert_eq!(node.image(&format!("{host}/a@{top}")).digest, wanted);
    assert!(registry.requests().is_empty());
}

fn module(registry: &Registry, config_type: &str, layer_type: &str, bytes: &[u8]) -> Value {
    let config = br#"{"os":"wasip1","architecture":"wasm"}"#;
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": config_type, "digest": registry.blob(config).to_string(), "size": config.len()},
        "layers": [{"mediaType": layer_type, "digest": registry.blob(bytes).to_string(), "size": bytes.len()}],
    })
}

fn a_module_is_kept_as_it_is() {
    let registry = Registry::start();
    let node = Node::new(&registry);
    let types = [
        ("application/vnd.wasm.config.v0+json", "application/wasm"),
        ("application/vnd.wasm.config.v1+json", "application/wasm"),
        ("application/vnd.oci.image.config.v1+json", "application/vnd.wasm.content.layer.v1+wasm"),
        ("application/vnd.module.wasm.config.v1+json", "application/vnd.module.wasm.content.layer.v1+wasm"),
    ];
    for (number, (config, layer)) in types.into_iter().enumerate() {
        let bytes = format!("\0asm\u{1}\0\0\0{number}").into_bytes();
        let tag = number.to_string();
        registry.manifest("wasm", &tag, MANIFEST, &module(&registry, config, layer, &bytes));
        let resolved = node.resolve(&format!("{}/wasm:{tag}", registry.host)).unwrap();
        let Resolved::Module(found) = resolved else { panic!("an image") };
        assert_eq!(found, digest(&bytes));
        assert_eq!(fs::read(node.images().join("modules").join(found.hex())).unwrap(), bytes);
    }
    let mut large = module(&registry, types[0].0, types[0].1, b"large");
    large["layers"][0]["size"] = json!((1_u64 << 30) + 1);
    registry.manifest("wasm", "large", MANIFEST, &large);
    let said = node.error(&format!("{}/wasm:large", registry.host));
    assert_eq!(said, "the module is too large: 1073741825 bytes, the limit is 1073741824");
}

fn what_is_no_image_is_refused() {
    let registry = Registry::start();
    let node = Node::with(&registry, |options| options.most_layers = 3);
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut manifest = registry.image_manifest(&small("x"), json!({}));
        change(&mut manifest);
        registry.manifest("a", "1", MANIFEST, &manifest);
        node.error(&format!("{}/a:1", registry.host))
    };
    let said = refused(&|m| *m = json!({"schemaVersion": 1, "name": "a", "tag": "1"}));
    assert_eq!(said, "Docker image manifest version 2 schema 1 is not supported: push the image anew");
    let said = refused(&|m| m["layers"][0]["mediaType"] = json!(format!("{LAYER}+nondistributable")));
    assert!(said.contains("nondistributable"), "{said}");
    let said = refused(&|m| m["layers"][0]["mediaType"] = json!("text/plain"));
    assert_eq!(said, "the artifact is no image: it has a layer of type text/plain");
    let said = refused(&|m| m["layers"] = json!(vec![m["layers"][0].clone(); 4]));
    assert_eq!(said, "the image has 4 layers, the limit is 3");
    let said = refused(&|m| m["layers"] = json!(vec![m["layers"][0].clone(); 2]));
    assert_eq!(said, "the image has 2 layers and 1 diff_ids");
    let said = refused(&|m| m["layers"][0]["digest"] = json!("md5:00"));
    assert_eq!(said, "digest md5:00 is not a sha256 digest");
    let said = refused(&|m| m["layers"][0]["size"] = json!(-1));
    assert_eq!(said, "a size in the manifest is negative");
    let said = refused(&|m| m["config"]["size"] = json!(9 << 20));
    assert!(said.starts_with("the image's configuration is too large"), "{said}");
    let said = refused(&|m| m["mediaType"] = json!("application/x"));
    assert_eq!(said, "manifest of type application/x is not an image's");
    let said = refused(&|m| *m = json!("x"));
    assert!(said.starts_with("the manifest is not valid"), "{said}");
    let config = |config: Value| {
        let text = serde_json::to_vec(&config).unwrap();
        refused(&|m| {
            m["config"]["digest"] = json!(registry.blob(&text).to_string());
            m["config"]["size"] = json!(text.len());
        })
    };
    let said = config(json!({"os": "windows", "architecture": "amd64"}));
    assert!(said.starts_with("the image is for windows/amd64"), "{said}");
    assert!(config(json!({"os": "wasip1", "architecture": "wasm"})).contains("push the module as an artifact"));
    let (here, _) = here();
    let with = |container: Value| config(json!({"os": "linux", "architecture": here, "config": container}));
    assert!(with(json!({"Cmd": ["a\u{0}b"]})).contains("zero byte"));
    assert!(with(json!({"WorkingDir": "relative"})).contains("working directory"));
    assert!(with(json!({"Env": vec!["x=y"; 10_001]})).contains("says too much"));
    // Two layers' digests for one layer of other bytes.
    let diff = json!({"diff_ids": [digest(b"other").to_string()]});
    let said = config(json!({"os": "linux", "architecture": here, "rootfs": diff}));
    assert!(said.contains("without compression has another digest: expected sha256:d9298a10d1b07358"), "{said}");
    // And nothing stays of all that, once the collector has been here.
    node.until(|node| node.names("layers").is_empty() && node.names("tmp").is_empty());
}

fn a_tag_is_asked_for_each_time_and_a_digest_never() {
    let registry = Registry::start();
    let digest = registry.image("a", "1", &small("x"), json!({}));
    let node = Node::new(&registry);
    let name = format!("{}/a:1", registry.host);
    let first = node.image(&name);
    registry.forget_requests();
    let second = node.image(&name);
    assert!(std::sync::Arc::ptr_eq(&first, &second));
    let requests = registry.requests();
    assert_eq!((requests.len(), requests[0].method.as_str()), (1, "HEAD"));
    registry.forget_requests();
    node.image(&format!("{}/a@{digest}", registry.host));
    node.image(&digest.to_string());
    assert!(registry.requests().is_empty());
    // A registry that doesn't say the digest of itself is asked for all of it.
    registry.behave(|_, mut reply| {
        reply.headers.retain(|(name, _)| name != "docker-content-digest");
        reply
    });
    assert_eq!(node.image(&name).digest, digest);
    let methods: Vec<String> = registry.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["HEAD", "GET"]);
}

fn a_tag_that_moved_is_followed() {
    let registry = Registry::start();
    let node = Node::new(&registry);
    let name = format!("{}/a:1", registry.host);
    registry.image("a", "1", &small("before"), json!({}));
    let before = node.image(&name);
    let moved = registry.image("a", "1", &small("after"), json!({}));
    let after = node.image(&name);
    assert_eq!(after.digest, moved);
    assert_eq!(fs::read(after.layers[0].join("etc/name")).unwrap(), b"after");
    assert_eq!(fs::read(before.layers[0].join("etc/name")).unwrap(), b"before");
}

fn without_its_registry_an_image_is_used_as_it_was() {
    let registry = Registry::start();
    let digest = registry.image("a", "1", &small("x"), json!({}));
    let node = Node::new(&registry);
    let name = format!("{}/a:1", registry.host);
    node.image(&name);
    for status in [500, 503, 429] {
        registry.behave(move |_, _| Reply::new(status, ""));
        assert_eq!(node.image(&name).digest, digest);
    }
    // What the registry knows to be gone or forbidden isn't used.
    for status in [401, 403, 404] {
        registry.behave(move |_, _| Reply::new(status, ""));
        let said = node.error(&name);
        assert!(said.contains(&format!("HTTP status {status}")), "{said}");
    }
    let other = format!("{}/b:1", registry.host);
    registry.behave(|_, _| Reply::new(503, ""));
    assert!(node.error(&other).contains("HTTP status 503"));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = Node::with(&registry, |options| options.plain_http_registries.push(closed.to_string()));
    let said = node.error(&format!("{closed}/a"));
    assert_eq!(said, format!("{closed} cannot be reached: Connection refused (os error 111)"));
}

fn credentials_and_tokens_let_in() {
    let registry = Registry::start();
    registry.image("team/private", "1", &small("x"), json!({}));
    let realm = format!("http://{}/token", registry.host);
    registry.behave(move |request, reply| {
        let authorization = request.headers.get("authorization").map(String::as_str);
        if request.path.starts_with("/token") {
            let expected = "/token?scope=repository%3Ateam%2Fprivate%3Apull&service=here";
            assert_eq!(request.path, expected);
            return match authorization {
                Some("Basic YW5uOnNlY3JldA==") => Reply::new(200, r#"{"token":"let-in","expires_in":300}"#),
                _ => Reply::new(401, r#"{"details":"incorrect username or password"}"#),
            };
        }
        if authorization == Some("Bearer let-in") {
            return reply;
        }
        let challenge = format!(r#"Bearer realm="{realm}",service="here",scope="repository:team/private:pull""#);
        Reply::new(401, "").header("www-authenticate", &challenge)
    });
    let name = format!("{}/team/private:1", registry.host);
    let said = Node::new(&registry).error(&name);
    let expected =
        format!("token for {}/team/private: incorrect username or password (HTTP status 401)", registry.host);
    assert_eq!(said, expected);
    let keys = tempfile::NamedTempFile::new().unwrap();
    let text = json!({"auths": {&registry.host: {"auth": "YW5uOnNlY3JldA=="}}}).to_string();
    fs::write(keys.path(), text).unwrap();
    let with_keys = || Node::with(&registry, |options| options.registry_auth = Some(keys.path().to_owned()));
    let node = with_keys();
    node.image(&name);
    // One token does for all of a pull.
    assert_eq!(registry.requests().iter().filter(|request| request.path.starts_with("/token")).count(), 2);

    registry.behave(|request, reply| match request.headers.get("authorization").map(String::as_str) {
        Some("Basic YW5uOnNlY3JldA==") => reply,
        _ => Reply::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
            .header("www-authenticate", "Basic realm=here"),
    });
    let said = Node::new(&registry).error(&name);
    assert!(said.ends_with("UNAUTHORIZED: authentication required (HTTP status 401)"), "{said}");
    with_keys().image(&name);
}

fn what_was_pulled_is_there_after_a_restart() {
    let registry = Registry::start();
    let digest = registry.image("a", "1", &small("x"), json!({"Cmd": ["x"]}));
    let node = Node::new(&registry);
    let name = format!("{}/a:1", registry.host);
    let config = node.image(&name).config.clone();
    // What a killed process leaves.
    fs::create_dir_all(node.images().join("tmp/folder-1-1/deep")).unwrap();
    fs::create_dir(node.images().join("layers").join("0".repeat(64))).unwrap();
    fs::write(node.images().join("records").join("1".repeat(64)), "{").unwrap();
    fs::write(node.images().join("names/stray"), "{}").unwrap();
    fs::write(node.images().join("modules").join("2".repeat(64)), "stray").unwrap();
    let node = node.restart();
    let image = node.store.lease(&digest).unwrap();
    assert_eq!(image.config, config);
    assert_eq!(fs::read(image.layers[0].join("etc/name")).unwrap(), b"x");
    assert_eq!(node.names("tmp"), [""; 0]);
    assert_eq!((node.names("records").len(), node.names("names").len()), (1, 1));
    assert_eq!((node.names("layers").len(), node.names("modules").len()), (2, 0));
    registry.forget_requests();
    node.image(&name);
    assert_eq!(registry.requests().len(), 1);
    // An image that lacks a part is pulled anew.
    drop(image);
    let layer = digest_of_layer(&node);
    let images = node.images();
    let node = {
        fs::remove_dir_all(images.join("layers").join(layer)).unwrap();
        node.restart()
    };
    assert!(node.store.lease(&digest).is_none());
    node.image(&name);
}

fn digest_of_layer(node: &Node) -> String {
    node.names("layers").into_iter().find(|name| !name.contains('.')).unwrap()
}

fn settings_that_cannot_work_are_told() {
    let registry = Registry::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    let open = |change: &dyn Fn(&mut wasmbatch_container::image::Options)| {
        let mut options = Node::new(&registry).options;
        let home = tempfile::tempdir().unwrap();
        options.data_dir = home.path().to_owned();
        change(&mut options);
        wasmbatch_container::image::ImageStore::open(options).map(|_| ()).map_err(|error: OpenError| error.to_string())
    };
    fs::write(file.path(), r#"{"credsStore":"desktop"}"#).unwrap();
    let said = open(&|options| options.registry_auth = Some(file.path().to_owned())).unwrap_err();
    assert!(said.contains("put the credentials in auths"), "{said}");
    fs::write(file.path(), "no certificate").unwrap();
    let said = open(&|options| options.registry_ca = Some(file.path().to_owned())).unwrap_err();
    assert!(said.ends_with("has no certificate"), "{said}");
    assert!(open(&|options| options.registry_ca = Some("/nowhere".into())).is_err());
    assert_eq!(open(&|_| ()), Ok(()));
}
