//! What is pulled arrives, whatever form it has.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use serde_json::json;
use wasmbatch_container::image::Resolved;

use crate::Test;
use crate::archive::{Header, Tar};
use crate::node::{Node, names};
use crate::registry::{INDEX, MANIFEST, Registry};

pub(crate) const TESTS: &[Test] = &[("an_image_is_pulled_and_unpacked", an_image_is_pulled_and_unpacked)];

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
    assert_eq!(image.config.environment[1], ("A".to_owned(), "b=c".to_owned()));
    assert_eq!(image.layers.len(), 3);
    let [third, above, base] = [&image.layers[0], &image.layers[1], &image.layers[2]];
    assert_eq!(fs::read(third.join("third")).unwrap(), b"3");
    assert_eq!(fs::read(base.join("etc/motd2")).unwrap(), b"hello");
    assert_eq!(names(&base.join("run")), ["pid"]);
    let tool = fs::metadata(base.join("bin/tool")).unwrap();
    let first = node.options.image_uid_base;
    assert_eq!((tool.uid(), tool.gid(), tool.mode() & 0o7777), (first + 5, first + 65_535, 0o755));
    let whiteout = fs::symlink_metadata(above.join("etc/motd")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    let mut value = [0; 4];
    assert_eq!(rustix::fs::getxattr(above.join("srv"), "user.overlay.opaque", &mut value), Ok(1));
    assert_eq!(node.names("tmp"), [""; 0]);
}
