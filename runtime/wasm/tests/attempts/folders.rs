//! What a guest sees of files.

use std::fs;
use std::os::unix::fs::symlink;

use wasmbatch_core::Ending;
use wasmbatch_executor::{Executor as _, Mount, MountSource};

use crate::Test;
use crate::guests::{NO_OP, guest, open_to_read, print_file, print_folders, write_file};
use crate::node::{Node, exited, mount, reason_of};

pub(crate) const TESTS: &[Test] = &[
    ("scratch_is_writable_and_empty_for_the_next", scratch_is_writable_and_empty_for_the_next),
    ("a_deep_tree_in_scratch_is_removed", a_deep_tree_in_scratch_is_removed),
    ("a_read_only_root_is_not_written", a_read_only_root_is_not_written),
    ("a_mounted_folder_is_read_and_written", a_mounted_folder_is_read_and_written),
    ("a_read_only_folder_is_not_written", a_read_only_folder_is_not_written),
    ("a_mount_at_the_root_moves_scratch", a_mount_at_the_root_moves_scratch),
    ("an_empty_volume_is_writable_and_gone_afterwards", an_empty_volume_is_writable_and_gone_afterwards),
    ("folders_that_are_not_allowed_fail_the_start", folders_that_are_not_allowed_fail_the_start),
    ("links_lead_nowhere_outside", links_lead_nowhere_outside),
    ("everything_that_files_can_do_is_allowed", everything_that_files_can_do_is_allowed),
];

/// Does to files whatever preview 1 can, and ends with the number of the first step that fails.
fn all_of_files() -> String {
    let call = |name: &str, parameters: &str| {
        format!(r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {parameters}) (result i32)))"#)
    };
    let imports = [
        call("path_create_directory", "i32 i32 i32"),
        call("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32"),
        call("fd_write", "i32 i32 i32 i32"),
        call("fd_read", "i32 i32 i32 i32"),
        call("fd_pwrite", "i32 i32 i32 i64 i32"),
        call("fd_pread", "i32 i32 i32 i64 i32"),
        call("fd_seek", "i32 i64 i32 i32"),
        call("fd_sync", "i32"),
        call("fd_datasync", "i32"),
        call("fd_advise", "i32 i64 i64 i32"),
        call("fd_filestat_get", "i32 i32"),
        call("fd_filestat_set_size", "i32 i64"),
        call("fd_filestat_set_times", "i32 i64 i64 i32"),
        call("fd_fdstat_set_flags", "i32 i32"),
        call("fd_readdir", "i32 i32 i32 i64 i32"),
        call("path_filestat_get", "i32 i32 i32 i32 i32"),
        call("path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32"),
        call("path_link", "i32 i32 i32 i32 i32 i32 i32"),
        call("path_symlink", "i32 i32 i32 i32 i32"),
        call("path_readlink", "i32 i32 i32 i32 i32 i32"),
        call("path_rename", "i32 i32 i32 i32 i32 i32"),
        call("path_unlink_file", "i32 i32 i32"),
        call("path_remove_directory", "i32 i32 i32"),
        call("clock_res_get", "i32 i32"),
        call("clock_time_get", "i32 i64 i32"),
        call("poll_oneoff", "i32 i32 i32 i32"),
        call("fd_close", "i32"),
    ];
    // At 1024: "d" "f" "d/f" "l" "s" "r"; a vector of four bytes at 0.
    let (d, f, df, l, s, r) = (
        "1024) (i32.const 1",
        "1025) (i32.const 1",
        "1026) (i32.const 3",
        "1029) (i32.const 1",
        "1030) (i32.const 1",
        "1031) (i32.const 1",
    );
    let at = |path: &str| format!("(i32.const {path})");
    let file = "(global.get $file)";
    let numbers = |numbers: &[i64]| numbers.iter().fold(String::new(), |text, n| text + &format!("(i32.const {n}) "));
    let steps = [
        format!("(call $path_create_directory (i32.const 3) {})", at(d)),
        format!("(call $path_open (i32.const 3) (i32.const 0) {} (i32.const 1) (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 64))", at(df)),
        "(global.set $file (i32.load (i32.const 64))) (i32.const 0)".to_owned(),
        format!("(call $fd_write {file} {})", numbers(&[0, 1, 72])),
        format!("(call $fd_pwrite {file} (i32.const 0) (i32.const 1) (i64.const 8) (i32.const 72))"),
        format!("(call $fd_pread {file} (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 72))"),
        format!("(call $fd_seek {file} (i64.const -2) (i32.const 2) (i32.const 80))"),
        format!("(call $fd_read {file} {})", numbers(&[0, 1, 72])),
        format!("(call $fd_fdstat_set_flags {file} (i32.const 1))"),
        format!("(call $fd_write {file} {})", numbers(&[0, 1, 72])),
        format!("(call $fd_sync {file})"),
        format!("(call $fd_datasync {file})"),
        format!("(call $fd_advise {file} (i64.const 0) (i64.const 4) (i32.const 3))"),
        format!("(call $fd_filestat_get {file} (i32.const 128))"),
        format!("(call $fd_filestat_set_size {file} (i64.const 100))"),
        format!("(call $fd_filestat_set_times {file} (i64.const 1) (i64.const 1) (i32.const 5))"),
        format!("(call $path_filestat_get (i32.const 3) (i32.const 1) {} (i32.const 128))", at(df)),
        format!("(call $path_filestat_set_times (i32.const 3) (i32.const 1) {} (i64.const 1) (i64.const 1) (i32.const 5))", at(df)),
        format!("(call $path_link (i32.const 3) (i32.const 0) {} (i32.const 3) {})", at(df), at(l)),
        format!("(call $path_symlink {} (i32.const 3) {})", at(f), at(s)),
        format!("(call $path_filestat_set_times (i32.const 3) (i32.const 0) {} (i64.const 1) (i64.const 1) (i32.const 5))", at(s)),
        format!("(call $path_readlink (i32.const 3) {} (i32.const 200) (i32.const 50) (i32.const 72))", at(s)),
        format!("(call $path_rename (i32.const 3) {} (i32.const 3) {})", at(l), at(r)),
        "(call $fd_readdir (i32.const 3) (i32.const 256) (i32.const 512) (i64.const 0) (i32.const 72))".to_owned(),
        format!("(call $fd_close {file})"),
        format!("(call $path_unlink_file (i32.const 3) {})", at(df)),
        format!("(call $path_unlink_file (i32.const 3) {})", at(r)),
        format!("(call $path_remove_directory (i32.const 3) {})", at(d)),
        "(call $clock_res_get (i32.const 0) (i32.const 72))".to_owned(),
        "(call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 72))".to_owned(),
        // One subscription of zeros with the monotonic clock and ten milliseconds.
        "(i32.store (i32.const 816) (i32.const 1)) (i64.store (i32.const 824) (i64.const 10000000)) (call $poll_oneoff (i32.const 800) (i32.const 904) (i32.const 1) (i32.const 72))".to_owned(),
    ];
    let body = steps.iter().zip(1..).fold(String::new(), |text, (step, number)| {
        format!("{text}(local.set $n {step})(if (local.get $n) (then (call $exit (i32.const {number}))))\n")
    });
    let body = body.replacen(
        "(local.set $n (global.set $file (i32.load (i32.const 64))) (i32.const 0))",
        "(global.set $file (i32.load (i32.const 64)))",
        1,
    );
    let body = body.replace(
        "(local.set $n (i32.store (i32.const 816) (i32.const 1)) (i64.store (i32.const 824) (i64.const 10000000)) ",
        "(i32.store (i32.const 816) (i32.const 1)) (i64.store (i32.const 824) (i64.const 10000000)) (local.set $n ",
    );
    format!(
        r#"(module {} (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
           (memory (export "memory") 1) (data (i32.const 1024) "dfd/flsr") (data (i32.const 4) "\04")
           (global $file (mut i32) (i32.const 0))
           (func (export "_start") (local $n i32) {body}))"#,
        imports.concat()
    )
}

fn everything_that_files_can_do_is_allowed() {
    let node = Node::new();
    assert_eq!(node.run_wat(&all_of_files()).1, exited(0));
    let mut spec = node.spec(&all_of_files());
    spec.mounts.push(mount(node.shared.path(), "/", false));
    assert_eq!(node.run(spec).1, exited(0));
    assert!(node.pool.quarantined().is_empty());
}

/// wasi-libc's numbers.
const NO_ENTRY: u8 = 44;

fn scratch_is_writable_and_empty_for_the_next() {
    let node = Node::with(|options| options.max_workers = 2);
    assert_eq!(node.run_wat(&write_file(3, "out.txt", "content")).1, exited(0));
    assert!(node.scratch_entries().is_empty());
    assert_eq!(node.run_wat(&print_file(3, "out.txt")).1, exited(NO_ENTRY));
    let both = guest(
        "out.txtcontent",
        "
        (local.set $n (call $open (i32.const 3) (i32.const 1024) (i32.const 7) (i32.const 1) (i64.const 64)))
        (call $write (local.get $n) (i32.const 1031) (i32.const 7))
        (drop (call $fd_close (local.get $n)))
        (local.set $n (call $open (i32.const 3) (i32.const 1024) (i32.const 7) (i32.const 0) (i64.const 2)))
        (call $print (i32.const 4096) (call $read (local.get $n) (i32.const 4096) (i32.const 100)))",
    );
    let (story, ending) = node.run_wat(&both);
    assert_eq!((ending, &*story.stdout), (exited(0), &b"content"[..]));
    assert_eq!(node.run_wat(&print_folders()).0.stdout, b"/\n");
}

fn a_read_only_root_is_not_written() {
    let node = Node::new();
    let mut spec = node.spec(&write_file(3, "out.txt", "x"));
    spec.read_only_root = true;
    let ending = node.run(spec).1;
    assert!(!matches!(ending, Ending::Exited { exit_code: 0, .. }), "{ending:?}");
    assert!(node.scratch_entries().is_empty());
    // The next attempt in the same worker may write again.
    assert_eq!(node.run_wat(&write_file(3, "out.txt", "x")).1, exited(0));
}

fn a_deep_tree_in_scratch_is_removed() {
    let node = Node::new();
    // d/d/d/...: each turn makes one folder more and a link beside it.
    let deep = guest(&"d/".repeat(200), "
        (local.set $n (i32.const 1))
        (loop
          (call $check (call $path_create_directory (i32.const 3) (i32.const 1024) (local.get $n)))
          (local.set $n (i32.add (local.get $n) (i32.const 2)))
          (br_if 0 (i32.lt_u (local.get $n) (i32.const 399))))
        (call $check (call $path_symlink (i32.const 1024) (i32.const 1) (i32.const 3) (i32.const 1024) (i32.const 400)))");
    let (_, ending) = node.run_wat(&deep);
    assert!(matches!(ending, Ending::Exited { .. }), "{ending:?}");
    assert!(node.scratch_entries().is_empty());
}

fn a_mounted_folder_is_read_and_written() {
    let node = Node::new();
    let folder = node.shared.path().join("data");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("in.txt"), b"from the host").unwrap();
    let mut spec = node.spec(&print_file(4, "in.txt"));
    spec.mounts.push(mount(&folder, "/data/", false));
    assert_eq!(node.run(spec).0.stdout, b"from the host");
    let mut spec = node.spec(&write_file(4, "out.txt", "from the guest"));
    spec.mounts.push(mount(&folder, "/data", false));
    assert_eq!(node.run(spec).1, exited(0));
    assert_eq!(fs::read(folder.join("out.txt")).unwrap(), b"from the guest");
    let mut spec = node.spec(&print_folders());
    spec.mounts.push(mount(&folder, "/data/", true));
    assert_eq!(node.run(spec).0.stdout, b"/\n/data\n");
    // Without the mount the next attempt has nothing of it.
    assert_eq!(node.run_wat(&print_folders()).0.stdout, b"/\n");
}

fn a_read_only_folder_is_not_written() {
    let node = Node::new();
    fs::write(node.shared.path().join("in.txt"), b"kept").unwrap();
    for path in ["new.txt", "in.txt"] {
        let mut spec = node.spec(&write_file(4, path, "x"));
        spec.mounts.push(mount(node.shared.path(), "/data", true));
        let (_, ending) = node.run(spec);
        assert!(matches!(ending, Ending::Exited { exit_code: 1.., .. }), "{ending:?}");
    }
    assert_eq!(fs::read_dir(node.shared.path()).unwrap().count(), 1);
    assert_eq!(fs::read(node.shared.path().join("in.txt")).unwrap(), b"kept");
}

fn a_mount_at_the_root_moves_scratch() {
    let node = Node::new();
    let mut spec = node.spec(&print_folders());
    spec.mounts.push(mount(node.shared.path(), "/", false));
    assert_eq!(node.run(spec).0.stdout, b"/tmp\n/\n");
}

fn an_empty_volume_is_writable_and_gone_afterwards() {
    let node = Node::new();
    let empty = || Mount { source: MountSource::Empty, container_path: "/cache".to_owned(), read_only: false };
    for _ in 0..2 {
        let mut spec = node.spec(&print_file(4, "out.txt"));
        spec.mounts.push(empty());
        assert_eq!(node.run(spec).1, exited(NO_ENTRY));
        let mut spec = node.spec(&write_file(4, "out.txt", "x"));
        spec.mounts.push(empty());
        assert_eq!(node.run(spec).1, exited(0));
    }
}

fn folders_that_are_not_allowed_fail_the_start() {
    let node = Node::new();
    symlink("/etc", node.shared.path().join("link")).unwrap();
    let shared = node.shared.path().to_owned();
    let refused = [
        ("/etc".into(), "/data", "is not below a folder that this node allows"),
        (shared.join("../.."), "/data", "leads out of the folder that this node allows"),
        (shared.join("link"), "/data", "leads out of the folder that this node allows"),
        (shared.join("missing"), "/data", "does not exist"),
        ("relative".into(), "/data", "is not an absolute path"),
        (shared.clone(), "data", "ResourceInitializationError: container path data is not absolute"),
    ];
    for (source, container_path, expected) in refused {
        let mut spec = node.spec(NO_OP);
        spec.mounts.push(mount(source, container_path, false));
        let reason = reason_of(node.run(spec).1);
        assert!(reason.starts_with("ResourceInitializationError: "), "{reason}");
        assert!(reason.ends_with(expected), "{reason}");
    }
}

fn links_lead_nowhere_outside() {
    let node = Node::new();
    symlink("/etc", node.shared.path().join("absolute")).unwrap();
    symlink("../..", node.shared.path().join("relative")).unwrap();
    for path in ["absolute/passwd", "relative/etc/passwd", "../../etc/passwd", "/etc/passwd"] {
        let mut spec = node.spec(&open_to_read(4, path));
        spec.mounts.push(mount(node.shared.path(), "/data", false));
        let (_, ending) = node.run(spec);
        assert!(matches!(ending, Ending::Exited { exit_code: 1.., .. }), "{path}: {ending:?}");
    }
}
