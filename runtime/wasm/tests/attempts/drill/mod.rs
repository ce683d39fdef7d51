//! The escape drill: native code of ours runs in a worker in place of a guest, as if wasmtime had been
//! broken, and tries what an attacker would. Every attempt has to fail, at the wall that is named.

mod attacks;
mod record;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use wasmbatch_core::Ending;
use wasmbatch_executor::{Executor as _, Program};

use crate::Test;
use crate::guests::NO_OP;
use crate::node::{DRILL_FLAG, Node, RECORDED_DRILL_FLAG, Story, exited, mount, spec_of};

pub(crate) use attacks::attack;
pub(crate) use record::{install, is_recording};

pub(crate) const TESTS: &[Test] = &[
    ("attacks_fail_at_their_walls", attacks_fail_at_their_walls),
    (
        "forbidden_calls_end_the_worker_and_lock_the_module_away",
        forbidden_calls_end_the_worker_and_lock_the_module_away,
    ),
    ("hostile_frames_end_the_worker_and_nothing_else", hostile_frames_end_the_worker_and_nothing_else),
    ("what_a_worker_may_take_is_bounded", what_a_worker_may_take_is_bounded),
    ("a_host_folder_has_no_way_out", a_host_folder_has_no_way_out),
    ("pages_are_scanned_inside_the_jail", pages_are_scanned_inside_the_jail),
    ("an_ordinary_users_node_has_a_jail_too", an_ordinary_users_node_has_a_jail_too),
    ("every_system_call_that_is_kept_is_used", record::every_system_call_that_is_kept_is_used),
];

/// Who is nobody in particular on every system.
const NOBODY: u32 = 65_534;

/// Runs the tests that show the jail once more, as an ordinary user.
fn an_ordinary_users_node_has_a_jail_too() {
    use std::os::unix::process::CommandExt as _;
    if !is_root() {
        // All tests of this binary have shown it already.
        return;
    }
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = home.path().join("attempts");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let tests = [crate::endings::TESTS, crate::folders::TESTS, &TESTS[..6]].concat();
    #[expect(clippy::disallowed_methods, reason = "this test is about processes")]
    let mut command = std::process::Command::new(program);
    command.arg("--exact").args(tests.iter().map(|(name, _)| name)).env("TMPDIR", home.path()).uid(NOBODY).gid(NOBODY);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains(&format!("test result: {} passed", tests.len())), "{told}");
}

fn drill() -> Node {
    drill_with(DRILL_FLAG)
}

fn drill_with(flag: &str) -> Node {
    Node::with(|options| options.worker_command = vec![std::env::current_exe().unwrap().into(), flag.into()])
}

/// Ends of threads and of processes, with workers that are recorded.
fn recorded_endings() {
    let node = drill_with(RECORDED_DRILL_FLAG);
    assert_eq!(attacked(&node, 6000, &["thread"]).1, exited(0));
    assert!(matches!(attacked(&node, 6001, &["abort"]).1, Ending::Failed { exit_code: 134, .. }));
}

/// A module that differs with its number, since one of them may be locked away.
fn module(number: usize) -> Vec<u8> {
    wat::parse_str(NO_OP.replacen("(module", &format!("(module (@custom \"drill\" \"{number}\")"), 1)).unwrap()
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    tempfile::tempfile().unwrap().metadata().unwrap().uid() == 0
}

fn attacked(node: &Node, number: usize, arguments: &[&str]) -> (Story, Ending) {
    let mut spec = spec_of(Program::Stored { digest: node.put(&module(number)) });
    spec.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    // What native code leaves in its worker is nobody else's trouble.
    spec.trust_domain = arguments.join(" ");
    node.run(spec)
}

/// Attacks that a wall answers with an error: what is told then, and which wall it is.
const REFUSED: &[(&str, &str, &str)] = &[
    ("open /etc/passwd", "ENOENT", "root"),
    ("open {home}/wasmbatch.redb", "ENOENT", "root"),
    ("open {home}/compiled", "ENOENT", "root"),
    ("open /proc/{daemon}/mem", "ENOENT", "root"),
    ("open /proc/self/environ", "ENOENT", "root"),
    ("open /proc/1/root/etc/passwd", "ENOENT", "root"),
    ("open /dev/kmsg", "ENOENT", "root"),
    ("open ../../../../../../etc/passwd", "ENOENT", "root"),
    ("create /attacker", "EROFS", "root"),
    ("create ../beside", "none", "scratch, which is its own"),
    ("exec-mapping", "EPERM", "scratch without execution"),
    ("write-program", "EBADF EACCES", "descriptors that only read"),
    ("link-out", "ENOENT", "root"),
    ("descriptors", "none", "descriptors"),
];

fn attacks_fail_at_their_walls() {
    let node = drill();
    let home = node.home.path().display().to_string();
    fs::write(node.home.path().join("wasmbatch.redb"), b"secret").unwrap();
    for (number, (attack, expected, wall)) in REFUSED.iter().enumerate() {
        let attack = attack.replace("{home}", &home).replace("{daemon}", &std::process::id().to_string());
        let arguments: Vec<&str> = attack.split(' ').collect();
        let (story, ending) = attacked(&node, number, &arguments);
        let told = String::from_utf8(story.stdout).unwrap();
        assert_eq!(ending, exited(0), "{attack}: {told}");
        assert_eq!(told.trim_end(), *expected, "{attack} should have failed at this wall: {wall}");
    }
    assert!(node.pool.quarantined().is_empty());
}

/// Attacks at which the allow list of system calls ends the worker.
const FORBIDDEN: &[&str] = &[
    "ptrace",
    "process_vm_readv",
    "socket",
    "socketpair",
    "fork",
    "vfork",
    "clone-process",
    "execve",
    "execveat",
    "kill",
    "tgkill",
    "pidfd_open",
    "mount",
    "umount2",
    "fsopen",
    "open_tree",
    "move_mount",
    "pivot_root",
    "chroot",
    "unshare",
    "setns",
    "bpf",
    "io_uring_setup",
    "keyctl",
    "add_key",
    "perf_event_open",
    "userfaultfd",
    "memfd_create",
    "setresuid",
    "capset",
    "mknodat",
    "fchmodat",
    "fchownat",
    "prlimit64",
    "setrlimit",
    "sethostname",
    "personality",
    "prctl",
    "seccomp",
    "sendmsg",
    "shmget",
    "msgget",
    "mq_open",
    "init_module",
    "kexec_load",
    "reboot",
    "swapon",
    "quotactl",
    "name_to_handle_at",
    "open_by_handle_at",
    "inotify_init1",
    "fanotify_init",
    "ioctl",
    "settimeofday",
    "iopl",
    "modify_ldt",
    "process_madvise",
    "pkey_alloc",
    "landlock_create_ruleset",
    "sched_setaffinity",
    "setpriority",
    "syslog",
    "acct",
    "unknown",
];

fn forbidden_calls_end_the_worker_and_lock_the_module_away() {
    let node = drill();
    for (number, call) in FORBIDDEN.iter().enumerate() {
        let (story, ending) = attacked(&node, 1000 + number, &["call", call]);
        let told = String::from_utf8(story.stdout).unwrap();
        let reason = "WorkerCrashed: signal 31".to_owned();
        assert_eq!(ending, Ending::Failed { exit_code: 159, reason }, "{call} was not stopped by seccomp: {told}");
    }
    let quarantined = node.pool.quarantined();
    assert_eq!(quarantined.len(), FORBIDDEN.len());
    assert!(quarantined.iter().all(|module| module.reason.contains("SIGSYS")), "{quarantined:?}");
    // It doesn't run again, others do, and it does once it is released.
    let (_, ending) = attacked(&node, 1000, &["open", "/etc/passwd"]);
    let Ending::CouldNotStart { reason } = ending else { panic!("{ending:?}") };
    assert!(reason.contains("is in quarantine: a system call that no worker makes SIGSYS"), "{reason}");
    assert_eq!(attacked(&node, 1, &["open", "/etc/passwd"]).1, exited(0));
    let first = node.put(&module(1000));
    assert!(node.pool.release(first).unwrap());
    assert_eq!(attacked(&node, 1000, &["open", "/etc/passwd"]).1, exited(0));
}

fn hostile_frames_end_the_worker_and_nothing_else() {
    let node = drill();
    for (number, frame) in
        ["garbage", "too-long", "empty", "hello", "started-twice", "output-too-long"].iter().enumerate()
    {
        let (_, ending) = attacked(&node, 2000 + number, &["frame", frame]);
        let Ending::Failed { exit_code: 137, reason } = ending else { panic!("{frame}: {ending:?}") };
        assert!(reason.starts_with("WorkerCrashed: "), "{frame}: {reason}");
        assert!(node.pool.quarantined().iter().any(|module| module.digest == node.put(&self::module(2000 + number))));
    }
    // Half a frame and then silence is ended like any other attempt that doesn't end.
    let mut spec = spec_of(Program::Stored { digest: node.put(&module(2100)) });
    spec.arguments.extend(["frame", "half"].map(str::to_owned));
    let attempt = node.start(spec);
    node.sink.wait_started(attempt);
    node.pool.stop(attempt);
    assert_eq!(node.sink.wait_ended(attempt).endings, [Ending::Stopped]);
    assert_eq!(attacked(&node, 3, &["open", "/etc/passwd"]).1, exited(0));
}

fn what_a_worker_may_take_is_bounded() {
    let node = drill();
    let told = |attack: &str, number: usize| {
        let mut spec = spec_of(Program::Stored { digest: node.put(&module(number)) });
        spec.scratch.bytes = 8 << 20;
        spec.scratch.inodes = 100;
        spec.arguments.push(attack.to_owned());
        spec.trust_domain = attack.to_owned();
        let (story, ending) = node.run(spec);
        (String::from_utf8(story.stdout).unwrap().trim_end().to_owned(), ending, story.usage)
    };
    let (text, ending, _) = told("threads", 3000);
    // By cgroup, or where there is none by the user's own bound.
    let bounds: &[&str] = if is_root() { &["EAGAIN before 64"] } else { &["EAGAIN before 64", "EAGAIN before 512"] };
    assert!(bounds.contains(&text.as_str()) && ending == exited(0), "{text}");
    assert_eq!(told("fill-bytes", 3001).0, "ENOSPC at 8 MiB");
    assert_eq!(told("fill-inodes", 3002).0, "ENOSPC at 100 inodes");
    assert_eq!(told("long-file", 3003).0, "EFBIG");
    assert_eq!(told("files", 3004).0, "EMFILE");
    let (text, ending, usage) = told("memory", 3005);
    let reason = "OutOfMemoryError: Container killed due to memory usage".to_owned();
    assert_eq!((text.as_str(), ending), ("", Ending::Failed { exit_code: 137, reason }));
    assert!(!is_root() || usage.unwrap().peak_memory_bytes > 32 << 20);
    let (_, ending, _) = told("abort", 3006);
    let reason = "WorkerCrashed: exit code 134".to_owned();
    assert_eq!(ending, Ending::Failed { exit_code: 134, reason });
    assert!(node.pool.quarantined().is_empty());
}

fn a_host_folder_has_no_way_out() {
    let node = drill();
    let granted = node.shared.path().join("granted");
    fs::create_dir(&granted).unwrap();
    fs::write(node.shared.path().join("secret"), b"x").unwrap();
    fs::write(granted.join("inside"), b"x").unwrap();
    // Root's node gives it a mount of its own; an ordinary user's has landlock alone.
    let own_user = Ok("a user of its own".to_owned());
    let is_mounted = node.pool.walls().iter().any(|wall| wall.name == "user" && wall.state == own_user);
    let expected = match is_mounted {
        true => ["open none, up ENOENT, create none", "open none, up ENOENT, create EROFS"],
        false => ["open none, up EACCES, create none", "open none, up EACCES, create EACCES"],
    };
    for (read_only, expected) in [false, true].into_iter().zip(expected) {
        let mut spec = spec_of(Program::Stored { digest: node.put(&module(4000)) });
        spec.mounts.push(mount(granted.clone(), "/data", read_only));
        spec.arguments.push("folder".to_owned());
        let (story, ending) = node.run(spec);
        assert_eq!((String::from_utf8(story.stdout).unwrap().trim_end(), ending), (expected, exited(0)));
    }
}

fn pages_are_scanned_inside_the_jail() {
    let node = drill();
    let (story, ending) = attacked(&node, 5000, &["pagemap"]);
    let told = String::from_utf8(story.stdout).unwrap();
    // Linux before 6.7 has no such request; the jail lets it through all the same.
    assert!(["none", "-1 ENOTTY"].contains(&told.trim_end()) && ending == exited(0), "{told}");
}
