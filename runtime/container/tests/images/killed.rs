//! A process that is killed while it pulls.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use serde_json::json;
use wasmbatch_container::image::ImageStore;

use crate::Test;
use crate::archive::{Tar, noise};
use crate::node::{Node, options};
use crate::registry::Registry;

pub(crate) const TESTS: &[Test] = &[
    ("a_process_killed_while_it_downloads_leaves_a_beginning", a_process_killed_while_it_downloads_leaves_a_beginning),
    ("a_process_killed_while_it_unpacks_leaves_nothing", a_process_killed_while_it_unpacks_leaves_nothing),
];

pub(crate) const PULL_FLAG: &str = "--pull";

/// Pulls `reference` from `registry` into `home`, as a process of its own, until it is killed.
pub(crate) fn pull_until_killed(arguments: &[String]) -> ! {
    let [home, registry, reference] = arguments else { panic!("{arguments:?}") };
    let store = ImageStore::open(options(home.into(), registry)).unwrap();
    let _ticket = store.resolve(reference, Box::new(|_| ()));
    loop {
        std::thread::park();
    }
}

#[expect(clippy::disallowed_methods, reason = "this binary itself, to be killed")]
fn puller(home: &tempfile::TempDir, registry: &Registry) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(PULL_FLAG).arg(home.path()).arg(&registry.host).arg(format!("{}/a:1", registry.host));
    command.spawn().unwrap()
}

fn until(mut fits: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !fits() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it doesn't happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn a_process_killed_while_it_downloads_leaves_a_beginning() {
    let registry = Registry::start();
    registry.image("a", "1", &[Tar::new().file("x", &noise(1 << 20)).finish()], json!({}));
    let (arrived, waits) = sync_channel(8);
    registry.behave(move |request, mut reply| {
        if request.path.contains("/blobs/") && reply.body.len() > 100_000 {
            reply.part = 10_000;
            reply.pause = Duration::from_millis(10);
            let _ = arrived.send(());
        }
        reply
    });
    let home = tempfile::tempdir().unwrap();
    let mut child = puller(&home, &registry);
    waits.recv_timeout(Duration::from_secs(30)).unwrap();
    let tmp = home.path().join("images/tmp");
    let part = || fs::read_dir(&tmp).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>();
    until(|| part() > 50_000);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    registry.behave_well();
    registry.forget_requests();
    let node = Node::at(home, &registry);
    node.image(&format!("{}/a:1", registry.host));
    assert!(registry.requests().iter().any(|request| request.headers.contains_key("range")));
}

fn a_process_killed_while_it_unpacks_leaves_nothing() {
    let registry = Registry::start();
    let mut tar = Tar::new();
    for number in 0..20_000 {
        tar = tar.file(&format!("d{}/f{number}", number % 50), &[7; 700]);
    }
    registry.image("a", "1", &[tar.finish()], json!({}));
    let home = tempfile::tempdir().unwrap();
    let mut child = puller(&home, &registry);
    let tmp = home.path().join("images/tmp");
    let is_folder = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("folder");
    let unpacking = || {
        let entries = fs::read_dir(&tmp).into_iter().flatten().flatten();
        entries.filter(is_folder).any(|entry| fs::read_dir(entry.path()).is_ok_and(|inside| inside.count() > 5))
    };
    until(unpacking);
    child.kill().unwrap();
    child.wait().unwrap();
    // What it began ends with it.
    let exe = std::env::current_exe().unwrap();
    let unpackers = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter(|entry| {
                let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains(&format!("{}\0--unpack", exe.display()))
            })
            .count()
    };
    until(|| unpackers() == 0);
    assert!(home.path().join("images/layers").read_dir().unwrap().next().is_none());
    let node = Node::at(home, &registry);
    assert!(!node.names("tmp").iter().any(|name| name.starts_with("folder")));
    let image = node.image(&format!("{}/a:1", registry.host));
    assert_eq!(fs::read(image.layers[0].join("d49/f19999")).unwrap(), [7; 700]);
}
