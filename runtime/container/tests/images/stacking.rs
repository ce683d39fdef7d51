//! Layers as the kernel stacks them.

use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};
use serde_json::json;

use crate::Test;
use crate::archive::Tar;
use crate::node::{Node, may_mount};
use crate::registry::Registry;

pub(crate) const TESTS: &[Test] = &[
    ("deletions_hide_what_lies_below", deletions_hide_what_lies_below),
    ("a_layer_that_is_there_twice_is_stacked_once", a_layer_that_is_there_twice_is_stacked_once),
    ("implied_folders_are_like_those_below", implied_folders_are_like_those_below),
];

fn stacked(layers: &[impl AsRef<Path>]) -> std::os::fd::OwnedFd {
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    // One by one: a value has at most 255 bytes.
    for layer in layers {
        fsconfig_set_string(overlay.as_fd(), "lowerdir+", layer.as_ref()).unwrap();
    }
    fsconfig_set_flag(overlay.as_fd(), "userxattr").unwrap();
    fsconfig_create(overlay.as_fd()).unwrap();
    fsmount(overlay.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY).unwrap()
}

fn deletions_hide_what_lies_below() {
    if !may_mount("deletions_hide_what_lies_below") {
        return;
    }
    let registry = Registry::start();
    let base = Tar::new()
        .folder("etc/")
        .file("etc/gone", b"g")
        .file("etc/kept", b"k")
        .folder("opq/")
        .file("opq/below", b"b")
        .folder("replaced/")
        .file("replaced/below", b"b");
    let above = Tar::new()
        .folder("etc/")
        .file("etc/.wh.gone", b"")
        .folder("opq/")
        .file("opq/.wh..wh..opq", b"")
        .file("opq/own", b"o")
        .file(".wh.replaced", b"")
        .folder("replaced/")
        .file("replaced/own", b"o");
    registry.image("a", "1", &[base.finish(), above.finish()], json!({}));
    let node = Node::new(&registry);
    let image = node.image(&format!("{}/a:1", registry.host));
    let root = stacked(&image.layers);
    let there = |path: &str| match statat(&root, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => true,
        Err(Errno::NOENT) => false,
        Err(error) => panic!("{path}: {error}"),
    };
    assert!(!there("etc/gone") && there("etc/kept"));
    assert!(!there("opq/below") && there("opq/own"));
    assert!(!there("replaced/below") && there("replaced/own"));
}

fn a_layer_that_is_there_twice_is_stacked_once() {
    if !may_mount("a_layer_that_is_there_twice_is_stacked_once") {
        return;
    }
    let registry = Registry::start();
    // As builders have them that made no difference.
    let twice = Tar::new().file("a", b"twice").file(".wh.gone", b"").finish();
    let base = Tar::new().file("gone", b"g").file("a", b"base").file("b", b"base").finish();
    let between = Tar::new().file("a", b"between").file("gone", b"again").finish();
    // The same place modulo three: they are compressed alike, and so are one layer.
    let filler = Tar::new().file("c", b"c").finish();
    registry.image("a", "1", &[base, twice.clone(), between, filler, twice], json!({}));
    let node = Node::new(&registry);
    let image = node.image(&format!("{}/a:1", registry.host));
    assert_eq!(image.layers.len(), 4);
    let root = stacked(&image.layers);
    let read = |path: &str| {
        let file = openat(&root, path, OFlags::RDONLY, Mode::empty())?;
        let mut bytes = [0; 16];
        let read = rustix::io::read(file, &mut bytes)?;
        Ok::<_, Errno>(bytes[..read].to_vec())
    };
    assert_eq!((read("a").unwrap(), read("b").unwrap()), (b"twice".to_vec(), b"base".to_vec()));
    assert_eq!(read("gone"), Err(Errno::NOENT));
}

fn implied_folders_are_like_those_below() {
    if !may_mount("implied_folders_are_like_those_below") {
        return;
    }
    use crate::archive::Header;
    let registry = Registry::start();
    let tmp = Header { name: "tmp/", kind: b'5', mode: 0o1777, ..Header::default() };
    let home = Header { name: "home/ann/", kind: b'5', mode: 0o700, user: 1000, group: 1001, ..Header::default() };
    let base = Tar::new().with(tmp, b"").folder("home/").with(home, b"").folder("gone/");
    // As tools write them that only name files.
    let above = Tar::new().file("tmp/x", b"x").file("home/ann/deep/x", b"x").file(".wh.gone", b"").file("srv/x", b"x");
    let third = Tar::new().file("tmp/y", b"y").file("gone/x", b"x");
    registry.image("a", "1", &[base.finish(), above.finish(), third.finish()], json!({}));
    let node = Node::new(&registry);
    let image = node.image(&format!("{}/a:1", registry.host));
    let root = stacked(&image.layers);
    let first = node.options.image_uid_base;
    let like = |path: &str| {
        let folder = openat(&root, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let status = rustix::fs::fstat(folder).unwrap();
        (status.st_mode & 0o7777, status.st_uid - first, status.st_gid - first)
    };
    assert_eq!(like("tmp"), (0o1777, 0, 0));
    assert_eq!(like("home/ann"), (0o700, 1000, 1001));
    assert_eq!(like("home/ann/deep"), (0o755, 0, 0));
    assert_eq!(like("gone"), (0o755, 0, 0));
    assert_eq!(like("srv"), (0o755, 0, 0));
    for file in ["tmp/x", "tmp/y", "home/ann/deep/x", "gone/x"] {
        statat(&root, file, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
    // The image and its addition go together.
    let digest = image.digest;
    drop((image, root));
    let node = node.restart();
    assert!(node.store.lease(&digest).is_some());
    node.store_is_emptied();
}
