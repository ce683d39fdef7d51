//! What other programs write. Ignored by default: it wants umoci, skopeo and docker-registry.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use wasmbatch_executor::Images as _;

use crate::Test;
use crate::node::{Node, names};
use crate::registry::Registry;

pub(crate) const TESTS: &[Test] =
    &[("what_other_programs_write_is_understood", what_other_programs_write_is_understood)];

#[expect(clippy::disallowed_methods, reason = "programs of the host, to hold ours against")]
fn program(name: &str, arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(folder);
    command
}

fn run(folder: &Path, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = program(words[0], &words[1..], folder).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What GNU tar makes of files with holes, in each of its forms.
fn holes_are_kept(at: &Path) {
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};
    let file = File::create(at.join("holes")).unwrap();
    for place in 0..40 {
        file.write_at(b"some bytes", place * 1_000_000).unwrap();
    }
    file.set_len(50_000_000).unwrap();
    let long = format!("{}/{}", "folder".repeat(30), "name".repeat(40));
    fs::create_dir(at.join(long.split('/').next().unwrap())).unwrap();
    fs::write(at.join(&long), b"long").unwrap();
    let registry = Registry::start();
    let node = Node::new(&registry);
    let forms = [
        "--format=gnu",
        "--format=posix --sparse-version=1.0",
        "--format=posix --sparse-version=0.1",
        "--format=posix --sparse-version=0.0",
    ];
    for (number, form) in forms.into_iter().enumerate() {
        run(at, &format!("tar -S {form} --owner=0 --group=0 -cf holes.tar holes {long}"));
        let tag = number.to_string();
        registry.image("holes", &tag, &[fs::read(at.join("holes.tar")).unwrap()], serde_json::json!({}));
        let image = node.image(&format!("{}/holes:{tag}", registry.host));
        let unpacked = image.layers[0].join("holes");
        assert_eq!(fs::read(&unpacked).unwrap(), fs::read(at.join("holes")).unwrap(), "{form}");
        assert!(fs::metadata(&unpacked).unwrap().blocks() < 2000, "{form}");
        assert_eq!(fs::read(image.layers[0].join(&long)).unwrap(), b"long");
    }
}

fn what_other_programs_write_is_understood() {
    let home = tempfile::tempdir().unwrap();
    let at = home.path();
    fs::create_dir_all(at.join("root/bin")).unwrap();
    fs::copy("/bin/busybox", at.join("root/bin/busybox")).unwrap();
    std::os::unix::fs::symlink("busybox", at.join("root/bin/sh")).unwrap();
    run(at, "umoci init --layout layout");
    run(at, "umoci new --image layout:latest");
    run(at, "umoci insert --image layout:latest root /");
    run(at, "umoci config --image layout:latest --config.entrypoint /bin/sh --config.env PATH=/bin");
    run(at, "umoci unpack --image layout:latest bundle");
    fs::remove_file(at.join("bundle/rootfs/bin/sh")).unwrap();
    fs::write(at.join("bundle/rootfs/new"), b"n").unwrap();
    run(at, "umoci repack --image layout:latest bundle");
    run(at, "skopeo copy oci:layout:latest docker-archive:saved.tar:example/busybox:latest");
    run(at, "skopeo copy oci:layout:latest oci-archive:layout.tar:example/busybox:oci");
    let port = free_port();
    let settings = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
        at.join("registry").display()
    );
    fs::write(at.join("registry.yml"), settings).unwrap();
    let _server = Server(
        program("docker-registry", &["serve", "registry.yml"], at)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    run(at, &format!("skopeo copy --dest-tls-verify=false oci:layout:latest docker://127.0.0.1:{port}/t/bb:oci"));
    let docker = "docker-archive:saved.tar";
    run(at, &format!("skopeo copy --dest-tls-verify=false {docker} docker://127.0.0.1:{port}/t/bb:docker"));
    let node = Node::with(&Registry::start(), |o| o.plain_http_registries.push(format!("127.0.0.1:{port}")));
    for archive in ["saved.tar", "layout.tar"] {
        let loaded = node.store.load(File::open(at.join(archive)).unwrap(), None).unwrap();
        eprintln!("{archive}: {}", loaded[0].name);
    }
    let pulled = ["oci", "docker"].map(|tag| format!("127.0.0.1:{port}/t/bb:{tag}"));
    for name in ["example/busybox", "example/busybox:oci", &pulled[0], &pulled[1]] {
        let image = node.image(name);
        assert_eq!(image.config.entrypoint, ["/bin/sh"], "{name}");
        let topmost = image.layers.iter().find(|layer| layer.join("new").exists()).unwrap();
        assert!(fs::symlink_metadata(topmost.join("bin/sh")).is_ok_and(|sh| !sh.is_symlink()));
        assert!(image.layers.iter().any(|layer| names(layer).contains(&"bin".to_owned())));
    }
    holes_are_kept(at);
    let said = node.error(&format!("127.0.0.1:{port}/t/none"));
    assert!(said.contains("MANIFEST_UNKNOWN: manifest unknown"), "{said}");
}
