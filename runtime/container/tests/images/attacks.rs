//! Archives that want out of their folder, or more than they may have.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::Test;
use crate::archive::{Header, Tar, gzip, zstd};
use crate::node::{Node, names};
use crate::registry::Registry;

pub(crate) const TESTS: &[Test] = &[
    ("attacks_end_in_a_text_that_names_the_entry", attacks_end_in_a_text_that_names_the_entry),
    ("what_only_looks_like_an_attack_stays_inside", what_only_looks_like_an_attack_stays_inside),
    ("legal_layers_are_as_they_should_be", legal_layers_are_as_they_should_be),
    ("deletions_are_kept_for_the_layers_below", deletions_are_kept_for_the_layers_below),
    ("limits_hold", limits_hold),
    ("broken_compression_is_told", broken_compression_is_told),
    ("a_deep_tree_without_permissions_goes_again", a_deep_tree_without_permissions_goes_again),
    ("the_unpacking_process_cannot_do_more", the_unpacking_process_cannot_do_more),
];

/// A registry, and a store that takes little.
struct Bench {
    registry: Registry,
    node: Node,
}

impl Bench {
    fn new() -> Self {
        let registry = Registry::start();
        let node = Node::with(&registry, |options| {
            options.most_image_bytes = 8 << 20;
            options.most_layer_entries = 500;
        });
        Self { registry, node }
    }

    fn put(&self, tar: Vec<u8>) -> String {
        self.registry.image("a", "1", &[tar], json!({}));
        format!("{}/a:1", self.registry.host)
    }

    /// Why a layer isn't taken.
    fn refused(&self, tar: Vec<u8>) -> String {
        let said = self.node.error(&self.put(tar));
        assert!(self.node.names("layers").is_empty());
        self.node.until(|node| node.names("tmp").is_empty());
        said
    }

    /// The folder of a layer that is taken.
    fn taken(&self, tar: Vec<u8>) -> PathBuf {
        self.node.image(&self.put(tar)).layers[0].clone()
    }
}

fn attacks_end_in_a_text_that_names_the_entry() {
    let bench = Bench::new();
    let long = format!("{}x", "d/".repeat(2100));
    let wide = "w".repeat(256);
    let whiteout =
        |kind: u8, name: &'static str| Tar::new().with(Header { name, kind, link: "x", ..Header::default() }, b"");
    let attacks: Vec<(Tar, &str)> = vec![
        (Tar::new().file("../escape", b"x"), "its name leads out of the archive, of entry ../escape"),
        (Tar::new().file("a/../../escape", b"x"), "its name leads out of the archive"),
        (Tar::new().file("/../escape", b"x"), "its name leads out of the archive"),
        (Tar::new().symlink("../link", "/etc"), "its name leads out of the archive"),
        (Tar::new().folder("a/.."), "its name leads out of the archive"),
        (Tar::new().file("x", b"").hard_link("y", "../../etc/passwd"), "its name leads out of the archive"),
        (Tar::new().hard_link("y", "/etc/passwd"), "it links to nothing that the archive has, of entry y"),
        (Tar::new().hard_link("y", "missing"), "it links to nothing that the archive has"),
        (Tar::new().hard_link("x", "x"), "it links to nothing that the archive has"),
        (Tar::new().folder("d").hard_link("y", "d"), "it links to a folder"),
        (Tar::new().hard_link("y", "/"), "it links to a folder"),
        (Tar::new().symlink("out", "/etc").hard_link("y", "out/passwd"), "it links to nothing that the archive has"),
        (Tar::new().file(".wh.gone", b"").hard_link("y", "gone"), "it links to nothing that the archive has"),
        (Tar::new().file("f", b"x").file("f/below", b"x"), "a file stands where its folder would be"),
        (Tar::new().symlink("l", "l").file("l/x", b"x"), "its folder is behind a forbidden link"),
        (Tar::new().symlink("a", "b").symlink("b", "a").file("a/x", b"x"), "its folder is behind a forbidden link"),
        (Tar::new().file(".wh.", b""), "it deletes nothing that has a name"),
        (Tar::new().file(".wh..", b""), "it deletes nothing that has a name"),
        (Tar::new().file("a/.wh...", b""), "it deletes nothing that has a name"),
        (whiteout(b'5', ".wh.x"), "a folder has the name of a deletion"),
        (whiteout(b'2', ".wh.x"), "a link has the name of a deletion"),
        (
            Tar::new().file("x", b"").with(Header { name: ".wh.y", kind: b'1', link: "x", ..Header::default() }, b""),
            "a link has the name of a deletion",
        ),
        (Tar::new().file(&long, b"x"), "its name is too long"),
        (Tar::new().file(&wide, b"x"), "a part of its name is too long"),
        (Tar::new().symlink("x", &long), "it links to nothing that has a name"),
        (Tar::new().symlink("x", ""), "it links to nothing that has a name"),
        (Tar::new().with(Header { name: "x", user: 65_536, ..Header::default() }, b""), "its owner is not below 65536"),
        (Tar::new().with(Header { name: "x", group: 1_900_000, ..Header::default() }, b""), "its owner is not below"),
        (Tar::new().file("/", b"x"), "it is no"),
        (Tar::new().with(Header { name: "x", size: 1 << 20, ..Header::default() }, b"short"), "ends within an entry"),
    ];
    assert!(attacks.len() >= 20);
    for (tar, expected) in attacks {
        let shown = tar.clone().finish();
        if expected == "it is no" {
            // A file that is the root can only be taken for a folder, which it is.
            bench.taken(shown);
            bench.node.store_is_emptied();
            continue;
        }
        let said = bench.refused(shown);
        assert!(said.starts_with("layer sha256:") && said.contains(expected), "{said} without {expected}");
    }
}

fn what_only_looks_like_an_attack_stays_inside() {
    let bench = Bench::new();
    let outside = bench.node.home.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let out = outside.to_str().unwrap().to_owned();
    let inside = out.trim_start_matches('/').to_owned();
    let up = format!("{}{inside}", "../".repeat(30));
    let tar = Tar::new()
        .file("/absolute", b"a")
        .symlink("abs", &out)
        .file("abs/x", b"1")
        .symlink("rel", &up)
        .file("rel/y", b"2")
        .symlink("file", &format!("{out}/z"))
        .file("file", b"3")
        .symlink("p", "/proc/self/root")
        .file("p/etc/shadow", b"4")
        .symlink("fd", "/proc/self/fd/3")
        .file("fd/x", b"5")
        .symlink("del", &out)
        .file("del/.wh.keep", b"")
        .with(Header { name: "dev/sda", kind: b'4', ..Header::default() }, b"")
        .with(Header { name: "dev/null", kind: b'3', ..Header::default() }, b"")
        .with(Header { name: "pipe", kind: b'6', ..Header::default() }, b"")
        .with(Header { name: "set", mode: 0o6755, ..Header::default() }, b"");
    fs::write(outside.join("keep"), b"k").unwrap();
    let layer = bench.taken(tar.finish());
    assert_eq!(names(&outside), ["keep"]);
    assert_eq!(fs::read(layer.join("absolute")).unwrap(), b"a");
    assert_eq!(fs::read(layer.join(&inside).join("x")).unwrap(), b"1");
    assert_eq!(fs::read(layer.join(&inside).join("y")).unwrap(), b"2");
    assert_eq!(fs::read(layer.join("file")).unwrap(), b"3");
    assert!(fs::symlink_metadata(layer.join("file")).unwrap().is_file());
    assert_eq!(fs::read(layer.join("proc/self/root/etc/shadow")).unwrap(), b"4");
    assert!(!layer.join("dev/sda").exists() && !layer.join("pipe").exists());
    assert_eq!(fs::metadata(layer.join("set")).unwrap().mode() & 0o7777, 0o755);
    for entry in walk(&layer) {
        let metadata = fs::symlink_metadata(&entry).unwrap();
        assert_eq!(metadata.uid(), bench.node.host_user(0), "{}", entry.display());
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn legal_layers_are_as_they_should_be() {
    let bench = Bench::new();
    let deep = format!("{}file", "deep/".repeat(300));
    let long = format!("{}/{}", "l".repeat(200), "n".repeat(200));
    let tar = Tar::new()
        .with(Header { name: "./", kind: b'5', mode: 0o711, ..Header::default() }, b"")
        .with(Header { name: "tmp/", kind: b'5', mode: 0o1777, user: 3, group: 4, ..Header::default() }, b"")
        .with(Header { name: "closed/", kind: b'5', mode: 0o000, ..Header::default() }, b"")
        .file("closed/inside", b"i")
        .file("twice", b"first, which is longer")
        .file("twice", b"second")
        .folder("was-folder/")
        .file("was-folder/x", b"x")
        .with(Header { name: "was-folder/locked", kind: b'5', mode: 0, ..Header::default() }, b"")
        .file("was-folder/locked/y", b"y")
        .symlink("was-folder", "tmp")
        .file("was-file", b"x")
        .folder("was-file/")
        .file("was-file/below", b"b")
        .symlink("dangling", "not/there/yet")
        .file("dangling/x", b"d")
        .file(&deep, b"deep")
        .file(&long, b"long")
        .file("late/child", b"c")
        .with(Header { name: "late/", kind: b'5', mode: 0o700, ..Header::default() }, b"");
    let layer = bench.taken(tar.finish());
    let mode = |path: &str| fs::symlink_metadata(layer.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("."), mode("tmp"), mode("closed"), mode("late")), (0o711, 0o1777, 0, 0o700));
    assert_eq!(fs::metadata(layer.join("tmp")).unwrap().uid(), bench.node.host_user(3));
    let closed = fs::read(layer.join("closed/inside"));
    assert!(closed.is_ok_and(|inside| inside == b"i") || !rustix::process::geteuid().is_root());
    assert_eq!(fs::read(layer.join("twice")).unwrap(), b"second");
    assert_eq!(fs::read_link(layer.join("was-folder")).unwrap(), Path::new("tmp"));
    assert_eq!(fs::read(layer.join("was-file/below")).unwrap(), b"b");
    assert_eq!(fs::read(layer.join("not/there/yet/x")).unwrap(), b"d");
    assert_eq!(fs::read(layer.join(&deep)).unwrap(), b"deep");
    assert_eq!(fs::read(layer.join(&long)).unwrap(), b"long");
    let row = bench.node.names("layers").into_iter().find(|name| name.ends_with(".json")).unwrap();
    let row = fs::read_to_string(bench.node.images().join("layers").join(row)).unwrap();
    let row: serde_json::Value = serde_json::from_str(&row).unwrap();
    let implied = row["implied"].as_array().unwrap();
    assert!(implied.contains(&json!("deep")) && !implied.contains(&json!("late")) && !implied.contains(&json!("tmp")));
}

fn deletions_are_kept_for_the_layers_below() {
    let bench = Bench::new();
    let tar = Tar::new()
        .file(".wh.gone", b"")
        .file("both", b"x")
        .file(".wh.both", b"")
        .file(".wh.later", b"")
        .file("later", b"x")
        .folder("folder/")
        .file(".wh.folder", b"")
        .file(".wh.again", b"")
        .folder("again/")
        .file(".wh.through", b"")
        .file("through/x", b"x")
        .file(".wh..wh.plnk", b"")
        .folder("opq/")
        .file("opq/own", b"x")
        .file("opq/.wh..wh..opq", b"");
    let layer = bench.taken(tar.finish());
    let gone = fs::symlink_metadata(layer.join("gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert!(layer.join("both").is_file() && layer.join("later").is_file() && layer.join("opq/own").is_file());
    let opaque = |path: &str| {
        let mut value = [0; 4];
        rustix::fs::getxattr(layer.join(path), "user.overlay.opaque", &mut value).is_ok_and(|n| value[..n] == *b"y")
    };
    assert!(opaque("folder") && opaque("again") && opaque("through") && opaque("opq"));
    assert_eq!(names(&layer), ["again", "both", "folder", "gone", "later", "opq", "through"]);
}

fn limits_hold() {
    let bench = Bench::new();
    let bomb = vec![0; 9 << 20];
    let said = bench.refused(Tar::new().file("bomb", &bomb).finish());
    assert!(said.contains("the archive is larger than an image may be"), "{said}");
    let mut many = Tar::new();
    for number in 0..600 {
        many = many.file(&format!("f{number}"), b"");
    }
    let said = bench.refused(many.finish());
    assert!(said.contains("more entries than a layer may have"), "{said}");
    // Folders that are only implied count too.
    let said = bench.refused(Tar::new().file(&format!("{}x", "a/".repeat(600)), b"").finish());
    assert!(said.contains("more entries than a layer may have"), "{said}");
    // Each layer fits, all of them don't.
    let half = |name: &str| Tar::new().file(name, &vec![7; 5 << 20]).finish();
    bench.registry.image("a", "1", &[half("a"), half("b")], json!({}));
    let said = bench.node.error(&format!("{}/a:1", bench.registry.host));
    assert_eq!(said, "the image is too large: 10485760 bytes, the limit is 8388608");
    bench.node.until(|node| node.names("layers").is_empty());
    // A long name is refused before it is read.
    let huge = Tar::new().with(Header { name: "x", kind: b'L', size: 1 << 30, ..Header::default() }, b"");
    let said = bench.refused(huge.finish());
    assert!(said.contains("a name is longer than 64 KiB"), "{said}");
}

fn broken_compression_is_told() {
    let bench = Bench::new();
    let tar = Tar::new().file("x", &[7; 5000]).finish();
    let raw = |bytes: Vec<u8>| {
        let mut manifest = bench.registry.image_manifest(std::slice::from_ref(&tar), json!({}));
        manifest["layers"][0]["digest"] = json!(bench.registry.blob(&bytes).to_string());
        manifest["layers"][0]["size"] = json!(bytes.len());
        bench.registry.manifest("a", "1", crate::registry::MANIFEST, &manifest);
        bench.node.error(&format!("{}/a:1", bench.registry.host))
    };
    let cut = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() / 2);
        raw(bytes)
    };
    for said in [cut(gzip(&tar)), cut(zstd(&tar)), raw(b"BZh91AY".to_vec()), raw(b"\xfd7zXZ\0".to_vec())] {
        assert!(said.starts_with("layer sha256:") && said.contains("cannot be unpacked"), "{said}");
    }
    let said = raw(b"no archive at all, but long enough to be a header ".repeat(20));
    assert!(said.contains("not a tar archive"), "{said}");
    // Not the bytes that the configuration means.
    let other = Tar::new().file("other", b"").finish();
    assert!(raw(gzip(&other)).contains("without compression has another digest"));
    // A window larger than anybody needs.
    let mut window = zstd(&tar);
    window[4] = 0;
    window[5] = 0xff;
    assert!(raw(window).contains("cannot be unpacked"));
}

fn a_deep_tree_without_permissions_goes_again() {
    let registry = Registry::start();
    let node = Node::with(&registry, |options| options.most_store_bytes = 0);
    let mut tar = Tar::new();
    let mut path = String::new();
    for _ in 0..300 {
        path.push_str("d/");
        tar = tar.with(Header { name: &path, kind: b'5', mode: 0, user: 9, ..Header::default() }, b"");
    }
    registry.image("a", "1", &[tar.file(&format!("{path}x"), b"x").finish()], json!({}));
    let image = node.image(&format!("{}/a:1", registry.host));
    assert_eq!(node.names("layers").len(), 2);
    drop(image);
    node.until(|node| node.names("layers").is_empty() && node.names("tmp").is_empty());
    assert_eq!((node.names("records").len(), node.names("names").len()), (0, 0));
}

/// What the process is like, as the kernel says it while it works.
fn the_unpacking_process_cannot_do_more() {
    let bench = Bench::new();
    // A pipe in place of an archive keeps it waiting.
    let (reader, writer) = std::io::pipe().unwrap();
    let (store, archive) = (&bench.node.store, fs::File::from(std::os::fd::OwnedFd::from(reader)));
    std::thread::scope(|scope| {
        use wasmbatch_executor::Images as _;
        let loading = scope.spawn(move || store.load(archive, None));
        let (number, child) = loop {
            let found = fs::read_dir("/proc").unwrap().filter_map(|entry| {
                let number: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
                let status = fs::read_to_string(format!("/proc/{number}/status")).ok()?;
                let mine = status.contains(&format!("PPid:\t{}\n", std::process::id()));
                (mine && status.contains("Seccomp:\t2")).then_some((number, status))
            });
            if let Some(found) = found.last() {
                break found;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        let first = bench.node.host_user(0);
        let line = |name: &str| child.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert_eq!(line("Uid:"), format!("Uid:\t{first}\t{first}\t{first}\t{first}"));
        assert!(line("Groups:").trim() == "Groups:" || first == rustix::process::geteuid().as_raw());
        // CHOWN, DAC_OVERRIDE and FOWNER, in a user namespace of its own.
        assert_eq!(line("CapEff:"), "CapEff:\t000000000000000b");
        assert_eq!(line("CapBnd:"), "CapBnd:\t0000000000000000");
        assert_eq!(line("NoNewPrivs:"), "NoNewPrivs:\t1");
        assert_eq!(line("Seccomp:"), "Seccomp:\t2");
        if rustix::process::geteuid().is_root() {
            let of_child = |file: &str| PathBuf::from(format!("/proc/{number}/{file}"));
            // Its streams, the socket, the archive, and where it is.
            assert_eq!(names(&of_child("fd")).len(), 6);
            let mounts = fs::read_to_string(of_child("mountinfo")).unwrap();
            assert_eq!(mounts.lines().count(), 1, "{mounts}");
            assert!(mounts.contains("nosuid,nodev,noexec"), "{mounts}");
            for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
                let of = |folder: PathBuf| fs::read_link(folder.join("ns").join(kind)).unwrap();
                assert_ne!(of(of_child("")), of("/proc/self".into()), "{kind}");
            }
        }
        drop(writer);
        let said = loading.join().unwrap().unwrap_err().to_string();
        assert!(said.contains("neither index.json nor manifest.json"), "{said}");
    });
}
