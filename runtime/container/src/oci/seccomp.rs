//! The system calls of a container. What isn't here doesn't exist for it.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator, LinuxSyscall,
};

/// Calls that are made, and what for.
struct Group {
    #[cfg_attr(not(test), expect(dead_code, reason = "it is there to be read"))]
    reason: &'static str,
    names: &'static [&'static str],
}

const fn group(reason: &'static str, names: &'static [&'static str]) -> Group {
    Group { reason, names }
}

/// What every architecture has. No entry reaches beyond the container's namespaces and users.
const ALLOWED: &[Group] = &[
    group(
        "files are opened, read and written",
        &[
            "close",
            "close_range",
            "copy_file_range",
            "fadvise64",
            "fallocate",
            "fcntl",
            "fdatasync",
            "flock",
            "fsync",
            "ftruncate",
            "lseek",
            "openat",
            "openat2",
            "pread64",
            "preadv",
            "preadv2",
            "pwrite64",
            "pwritev",
            "pwritev2",
            "read",
            "readahead",
            "readv",
            "sendfile",
            "splice",
            "sync",
            "sync_file_range",
            "syncfs",
            "tee",
            "truncate",
            "write",
            "writev",
            "dup",
            "dup3",
            "pipe2",
            "ioctl",
            "cachestat",
        ],
    ),
    group(
        "files are looked at, made, moved, removed and given away",
        &[
            "chdir",
            "faccessat",
            "faccessat2",
            "fchdir",
            "fchmod",
            "fchmodat",
            "fchmodat2",
            "fchown",
            "fchownat",
            "fstat",
            "fstatfs",
            "getcwd",
            "getdents64",
            "linkat",
            "mkdirat",
            "mknodat",
            "newfstatat",
            "readlinkat",
            "renameat",
            "renameat2",
            "statfs",
            "statx",
            "symlinkat",
            "umask",
            "unlinkat",
            "utimensat",
        ],
    ),
    group(
        "extended attributes of the container's own files",
        &[
            "fgetxattr",
            "flistxattr",
            "fremovexattr",
            "fsetxattr",
            "getxattr",
            "lgetxattr",
            "listxattr",
            "llistxattr",
            "lremovexattr",
            "lsetxattr",
            "removexattr",
            "setxattr",
        ],
    ),
    group("changes of files are waited for", &["inotify_add_watch", "inotify_init1", "inotify_rm_watch"]),
    group(
        "memory",
        &[
            "brk",
            "get_mempolicy",
            "madvise",
            "mbind",
            "memfd_create",
            "mincore",
            "mlock",
            "mlock2",
            "mlockall",
            "mmap",
            "mprotect",
            "mremap",
            "mseal",
            "msync",
            "munlock",
            "munlockall",
            "munmap",
            "pkey_alloc",
            "pkey_free",
            "pkey_mprotect",
            "remap_file_pages",
            "set_mempolicy",
            "map_shadow_stack",
        ],
    ),
    group(
        "threads and what they wait for",
        &[
            "futex",
            "futex_requeue",
            "futex_wait",
            "futex_waitv",
            "futex_wake",
            "get_robust_list",
            "gettid",
            "membarrier",
            "restart_syscall",
            "rseq",
            "set_robust_list",
            "set_tid_address",
        ],
    ),
    group(
        "processes",
        &[
            "execve",
            "execveat",
            "exit",
            "exit_group",
            "getpgid",
            "getpid",
            "getppid",
            "getsid",
            "kill",
            "pidfd_open",
            "pidfd_send_signal",
            "prctl",
            "setpgid",
            "setsid",
            "tgkill",
            "tkill",
            "wait4",
            "waitid",
        ],
    ),
    group(
        "signals",
        &[
            "rt_sigaction",
            "rt_sigpending",
            "rt_sigprocmask",
            "rt_sigqueueinfo",
            "rt_sigreturn",
            "rt_sigsuspend",
            "rt_sigtimedwait",
            "rt_tgsigqueueinfo",
            "sigaltstack",
            "signalfd4",
        ],
    ),
    group(
        "users, groups and rights, which noNewPrivileges and the user namespace bound",
        &[
            "capget",
            "capset",
            "getegid",
            "geteuid",
            "getgid",
            "getgroups",
            "getresgid",
            "getresuid",
            "getuid",
            "setfsgid",
            "setfsuid",
            "setgid",
            "setgroups",
            "setregid",
            "setresgid",
            "setresuid",
            "setreuid",
            "setuid",
        ],
    ),
    group(
        "a program encloses itself further",
        &["landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp"],
    ),
    group(
        "resources are read, and given up",
        &[
            "getcpu",
            "getpriority",
            "getrlimit",
            "getrusage",
            "ioprio_get",
            "ioprio_set",
            "prlimit64",
            "setpriority",
            "setrlimit",
            "sysinfo",
            "times",
            "uname",
        ],
    ),
    group(
        "scheduling within what the cgroup leaves",
        &[
            "sched_get_priority_max",
            "sched_get_priority_min",
            "sched_getaffinity",
            "sched_getattr",
            "sched_getparam",
            "sched_getscheduler",
            "sched_rr_get_interval",
            "sched_setaffinity",
            "sched_setattr",
            "sched_setparam",
            "sched_setscheduler",
            "sched_yield",
        ],
    ),
    group(
        "clocks are read, and time is waited for",
        &[
            "clock_getres",
            "clock_gettime",
            "clock_nanosleep",
            "getitimer",
            "gettimeofday",
            "nanosleep",
            "setitimer",
            "timer_create",
            "timer_delete",
            "timer_getoverrun",
            "timer_gettime",
            "timer_settime",
            "timerfd_create",
            "timerfd_gettime",
            "timerfd_settime",
        ],
    ),
    group(
        "several things are waited for",
        &["epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "eventfd2", "ppoll", "pselect6"],
    ),
    group(
        "asynchronous reads and writes of old",
        &["io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit"],
    ),
    group(
        "what is done with sockets",
        &[
            "accept",
            "accept4",
            "bind",
            "connect",
            "getpeername",
            "getsockname",
            "getsockopt",
            "listen",
            "recvfrom",
            "recvmmsg",
            "recvmsg",
            "sendmmsg",
            "sendmsg",
            "sendto",
            "setsockopt",
            "shutdown",
            "socketpair",
        ],
    ),
    group(
        "talk between processes, in a namespace of its own",
        &[
            "mq_getsetattr",
            "mq_notify",
            "mq_open",
            "mq_timedreceive",
            "mq_timedsend",
            "mq_unlink",
            "msgctl",
            "msgget",
            "msgrcv",
            "msgsnd",
            "semctl",
            "semget",
            "semop",
            "semtimedop",
            "shmat",
            "shmctl",
            "shmdt",
            "shmget",
        ],
    ),
    group("random numbers", &["getrandom"]),
];

/// Old forms of the above, which newer architectures leave out.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[Group] = &[
    group(
        "old forms of calls above",
        &[
            "access",
            "alarm",
            "chmod",
            "chown",
            "creat",
            "dup2",
            "epoll_create",
            "epoll_wait",
            "eventfd",
            "fork",
            "futimesat",
            "getdents",
            "getpgrp",
            "inotify_init",
            "lchown",
            "link",
            "lstat",
            "mkdir",
            "mknod",
            "open",
            "pause",
            "pipe",
            "poll",
            "readlink",
            "rename",
            "rmdir",
            "select",
            "signalfd",
            "stat",
            "symlink",
            "time",
            "unlink",
            "utime",
            "utimes",
            "vfork",
        ],
    ),
    group("where a thread has its own variables", &["arch_prctl"]),
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[Group] = &[];

/// What programs may try and are told that they may not; all else that is missing is as if the kernel
/// were older, for which programs have another way.
const REFUSED: &[Group] = &[
    group(
        "the container's file systems stay as they are",
        &[
            "chroot",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "pivot_root",
            "quotactl",
            "quotactl_fd",
            "swapoff",
            "swapon",
            "umount2",
            "listmount",
            "statmount",
        ],
    ),
    group("namespaces give rights in parts of the kernel that no container needs", &["setns", "unshare"]),
    group(
        "looking into other processes, and into the kernel",
        &[
            "bpf",
            "kcmp",
            "lookup_dcookie",
            "perf_event_open",
            "pidfd_getfd",
            "process_madvise",
            "process_mrelease",
            "process_vm_readv",
            "process_vm_writev",
            "ptrace",
            "syslog",
            "userfaultfd",
        ],
    ),
    group("keys are not all of a namespace", &["add_key", "keyctl", "request_key"]),
    group(
        "files are opened by path, never past it",
        &["fanotify_init", "fanotify_mark", "name_to_handle_at", "open_by_handle_at"],
    ),
    group(
        "too much of the kernel behind one door",
        &[
            "io_uring_enter",
            "io_uring_register",
            "io_uring_setup",
            "memfd_secret",
            "migrate_pages",
            "move_pages",
            "vmsplice",
        ],
    ),
    group(
        "the host's",
        &[
            "acct",
            "adjtimex",
            "clock_adjtime",
            "clock_settime",
            "delete_module",
            "finit_module",
            "init_module",
            "kexec_file_load",
            "kexec_load",
            "reboot",
            "setdomainname",
            "sethostname",
            "settimeofday",
            "vhangup",
        ],
    ),
];
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[Group] = &[group("the host's, and old", &["ioperm", "iopl", "modify_ldt", "uselib", "ustat"])];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[Group] = &[];

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// All of CLONE_NEW*, but for NEWTIME, which clone(2) doesn't take.
const NAMESPACES: u64 = 0x7e02_0000;
const AF_UNIX: u64 = 1;
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const AF_NETLINK: u64 = 16;
/// Addresses and routes; what getifaddrs(3) asks.
const NETLINK_ROUTE: u64 = 0;
/// Linux itself, uname of old, both, and the question which it is.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The filter of every container but one that is privileged.
pub(super) fn filter() -> LinuxSeccomp {
    let mut calls = vec![
        call(names(ALLOWED, ALLOWED_HERE), LinuxSeccompAction::ScmpActAllow, Vec::new()),
        call(names(REFUSED, REFUSED_HERE), LinuxSeccompAction::ScmpActErrno, Vec::new()),
        // clone3's flags lie where no filter sees them: it is missing, and the C library takes clone.
        allowed_if("clone", vec![argument(0, NAMESPACES, Some(0), LinuxSeccompOperator::ScmpCmpMaskedEq)]),
    ];
    let equal = |index, value| argument(index, value, None, LinuxSeccompOperator::ScmpCmpEq);
    calls.extend([AF_UNIX, AF_INET, AF_INET6].map(|family| allowed_if("socket", vec![equal(0, family)])));
    calls.push(allowed_if("socket", vec![equal(0, AF_NETLINK), equal(2, NETLINK_ROUTE)]));
    calls.extend(PERSONALITIES.map(|personality| allowed_if("personality", vec![equal(0, personality)])));
    let mut filter = LinuxSeccomp::default();
    filter
        .set_default_action(LinuxSeccompAction::ScmpActErrno)
        .set_default_errno_ret(Some(ENOSYS))
        .set_architectures(Some(vec![ARCHITECTURE]))
        .set_flags(None)
        .set_syscalls(Some(calls));
    filter
}

/// Programs of another architecture that this machine could run too would have other numbers.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: Arch = Arch::ScmpArchX86_64;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: Arch = Arch::ScmpArchAarch64;

fn names(everywhere: &[Group], here: &[Group]) -> Vec<String> {
    everywhere.iter().chain(here).flat_map(|group| group.names).map(|name| (*name).to_owned()).collect()
}

fn allowed_if(name: &str, arguments: Vec<LinuxSeccompArg>) -> LinuxSyscall {
    call(vec![name.to_owned()], LinuxSeccompAction::ScmpActAllow, arguments)
}

fn call(names: Vec<String>, action: LinuxSeccompAction, arguments: Vec<LinuxSeccompArg>) -> LinuxSyscall {
    let mut call = LinuxSyscall::default();
    let refused = action == LinuxSeccompAction::ScmpActErrno;
    call.set_names(names).set_action(action).set_errno_ret(refused.then_some(EPERM));
    call.set_args((!arguments.is_empty()).then_some(arguments));
    call
}

fn argument(index: usize, value: u64, second: Option<u64>, operator: LinuxSeccompOperator) -> LinuxSeccompArg {
    let mut argument = LinuxSeccompArgBuilder::default().index(index).value(value).op(operator);
    if let Some(second) = second {
        argument = argument.value_two(second);
    }
    argument.build().expect("all that it needs is given")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_call_has_one_fate() {
        let mut seen = BTreeSet::new();
        for name in names(ALLOWED, ALLOWED_HERE).into_iter().chain(names(REFUSED, REFUSED_HERE)) {
            assert!(!["clone", "clone3", "socket", "personality"].contains(&name.as_str()), "{name}");
            assert!(seen.insert(name.clone()), "{name}");
        }
        assert!(ALLOWED.iter().chain(REFUSED).all(|group| !group.reason.is_empty()));
    }
}
