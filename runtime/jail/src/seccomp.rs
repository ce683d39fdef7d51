//! The system calls that an enclosed process keeps, each with its reason. All others end it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

use crate::enclose::Purpose;

/// Who keeps a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Everybody.
    All,
    /// Processes that run guests.
    Run,
    /// Processes that compile.
    Compile,
    /// Processes that run guests with the host's network.
    Network,
    /// Processes that unpack archives; they have nothing that is only a guest's or a compiler's.
    Unpack,
}

/// What becomes of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is made.
    Kept,
    /// It is made if the argument of this number has this value, in all its 64 bits.
    KeptIf(u8, u64),
    /// It fails as if the kernel didn't have it, for callers that know what to do then.
    Missing,
    /// Likewise, if the argument of this number has this value.
    MissingIf(u8, u64),
}

/// One entry of the list.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The system call's number on this architecture.
    pub number: libc::c_long,
    /// As the kernel calls it.
    pub name: &'static str,
    /// Who keeps it.
    pub holder: Holder,
    /// What becomes of it.
    pub fate: Fate,
    /// Why.
    pub reason: &'static str,
}

macro_rules! entries {
    ($($holder:ident $fate:expr, $reason:literal: $($name:ident)+;)+) => {
        &[$($(Entry {
            number: libc::$name,
            name: stringify!($name),
            holder: Holder::$holder,
            fate: $fate,
            reason: $reason,
        },)+)+]
    };
}

/// What pthread_create asks of clone(2): a thread of this process and nothing else.
const THREAD_FLAGS: u64 = 0x003d_0f00;
const PR_SET_NAME: u64 = libc::PR_SET_NAME.cast_unsigned() as u64;
const SIGABRT: u64 = libc::SIGABRT.cast_unsigned() as u64;
const AF_UNIX: u64 = libc::AF_UNIX.cast_unsigned() as u64;
const AF_INET: u64 = libc::AF_INET.cast_unsigned() as u64;
const AF_INET6: u64 = libc::AF_INET6.cast_unsigned() as u64;
const AF_NETLINK: u64 = libc::AF_NETLINK.cast_unsigned() as u64;
const FIONBIO: u64 = libc::FIONBIO;
/// linux/fs.h, `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: u64 = 0xc060_6610;

use Fate::{Kept, KeptIf, Missing, MissingIf};

/// What every architecture has. Whoever adds to it says why; a test finds what nobody uses.
const EVERYWHERE: &[Entry] = entries! {
    All Kept, "frames from the pool": SYS_recvmsg;
    All Kept, "frames to the pool": SYS_sendto;
    All Kept, "modules, files of guests": SYS_read SYS_write;
    All Kept, "descriptors are closed": SYS_close;
    All Kept, "memory of the allocator, of guests and of compiled code": SYS_mmap SYS_munmap SYS_mprotect SYS_madvise SYS_mremap SYS_brk;
    All Kept, "locks, condition variables, the end of a thread": SYS_futex;
    All Kept, "the sender's, the guest's and the compiler's threads": SYS_set_robust_list SYS_rseq SYS_sigaltstack SYS_rt_sigprocmask SYS_sched_getaffinity SYS_sched_yield SYS_gettid;
    All KeptIf(0, PR_SET_NAME), "threads have names": SYS_prctl;
    All KeptIf(0, THREAD_FLAGS), "threads of this process, never another process": SYS_clone;
    All Missing, "the C library tries this first, and its flags lie where no filter sees them": SYS_clone3;
    All Kept, "handlers of faults in guests, and the way back from them": SYS_rt_sigaction SYS_rt_sigreturn;
    All Kept, "the end of a thread and of the process": SYS_exit SYS_exit_group;
    All Kept, "abort(3) asks who it is": SYS_getpid;
    All KeptIf(2, SIGABRT), "abort(3) of this process, which has no other in its namespace": SYS_tgkill;
    All Kept, "seeds of hash tables, random numbers of guests": SYS_getrandom;
    All Kept, "lengths of files": SYS_statx SYS_fstat;
    All Kept, "descriptors are duplicated, their flags read and set": SYS_fcntl;
    All Kept, "clocks where the kernel's page for them doesn't do": SYS_clock_gettime;
    Compile Missing, "threads ask how many CPUs a cgroup leaves them, and do without": SYS_openat;
    Run Kept, "guests open files below their folders": SYS_openat SYS_openat2;
    Run Kept, "guests look at, make, move and remove files": SYS_newfstatat SYS_mkdirat SYS_unlinkat SYS_renameat SYS_linkat SYS_symlinkat SYS_readlinkat SYS_utimensat SYS_ftruncate SYS_fsync SYS_fdatasync;
    Run Kept, "guests read and write at positions, and append": SYS_pread64 SYS_pwrite64 SYS_pwritev2 SYS_lseek SYS_fadvise64;
    Run Kept, "guests list folders, and so does the cleaning after them": SYS_getdents64;
    Run Kept, "folders become a guest's by way of the working folder": SYS_fchdir;
    Run Kept, "folders that may be entered, where the kernel has no openat2": SYS_faccessat SYS_faccessat2;
    Run Kept, "guests sleep, and wait for what else they may": SYS_clock_nanosleep SYS_epoll_ctl;
    Run Kept, "resolutions of clocks": SYS_clock_getres;
    Network KeptIf(0, AF_INET), "sockets of guests": SYS_socket;
    Network KeptIf(0, AF_INET6), "sockets of guests": SYS_socket;
    Network MissingIf(0, AF_UNIX), "name lookup asks a daemon first, and does without": SYS_socket;
    Network MissingIf(0, AF_NETLINK), "name lookup asks which addresses there are, and does without": SYS_socket;
    Network KeptIf(1, FIONBIO), "sockets that don't block": SYS_ioctl;
    Network Kept, "what guests do with sockets": SYS_connect SYS_bind SYS_listen SYS_accept4 SYS_getsockname SYS_getpeername SYS_setsockopt SYS_getsockopt SYS_shutdown SYS_recvfrom SYS_writev SYS_sendmmsg SYS_uname;
};

#[cfg(target_arch = "x86_64")]
const HERE: &[Entry] = entries! {
    Run Kept, "guests wait for what else they may": SYS_epoll_wait;
    Network Kept, "name lookup waits for its answer": SYS_poll;
};

#[cfg(not(target_arch = "x86_64"))]
const HERE: &[Entry] = entries! {
    Run Kept, "guests wait for what else they may": SYS_epoll_pwait;
    Network Kept, "name lookup waits for its answer": SYS_ppoll;
};

/// What unpacking an archive takes, beside what everybody has.
const UNPACKING: &[Entry] = entries! {
    Unpack Kept, "the places of an archive's entries are found and looked at": SYS_openat SYS_openat2 SYS_newfstatat SYS_readlinkat SYS_getdents64;
    Unpack Kept, "entries are made, and what they replace is removed": SYS_mkdirat SYS_mknodat SYS_symlinkat SYS_linkat SYS_unlinkat;
    Unpack Kept, "folders that lie too deep to be removed by path are moved up first": SYS_renameat;
    Unpack Kept, "owners, modes and times of entries, and the mark of a folder that hides others": SYS_fchown SYS_fchownat SYS_fchmod SYS_fchmodat SYS_utimensat SYS_fsetxattr;
    Unpack Kept, "files with holes": SYS_lseek SYS_ftruncate;
};

/// The list of processes that run guests or compile.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    EVERYWHERE.iter().chain(HERE)
}

/// The calls that a process may make on its `/proc/self/pagemap`, opened before it was enclosed.
fn pagemap_rule(pagemap: RawFd) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![
        condition(0, SeccompCmpOp::Eq, u64::from(pagemap.cast_unsigned()))?,
        condition(1, SeccompCmpOp::Eq, PAGEMAP_SCAN)?,
    ])
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)
}

/// The entries that hold for a process.
fn entries_of(purpose: Purpose, network: bool) -> impl Iterator<Item = &'static Entry> {
    entries().chain(UNPACKING).filter(move |entry| match entry.holder {
        Holder::All => true,
        Holder::Run => purpose == Purpose::Run,
        Holder::Compile => purpose == Purpose::Compile,
        Holder::Network => purpose == Purpose::Run && network,
        Holder::Unpack => purpose == Purpose::Unpack,
    })
}

/// Puts the list in force for this thread and all that it will start.
pub(crate) fn confine(purpose: Purpose, network: bool, pagemap: Option<RawFd>) -> io::Result<()> {
    let failed = |error: seccompiler::BackendError| io::Error::other(error.to_string());
    let (kept, failing) = filters(purpose, network, pagemap).map_err(failed)?;
    for filter in [failing, kept] {
        apply_filter(&filter).map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(())
}

/// Without a rule a system call matches whatever its arguments are.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The filter that lets through what is listed, and the one that makes what shall fail fail.
fn filters(
    purpose: Purpose,
    network: bool,
    pagemap: Option<RawFd>,
) -> Result<(BpfProgram, BpfProgram), seccompiler::BackendError> {
    let (mut kept, mut failing) = (Rules::new(), Rules::new());
    for entry in entries_of(purpose, network) {
        let rule = match entry.fate {
            Kept | Missing => None,
            KeptIf(argument, value) | MissingIf(argument, value) => {
                Some(SeccompRule::new(vec![condition(argument, SeccompCmpOp::Eq, value)?])?)
            }
        };
        if matches!(entry.fate, Missing | MissingIf(..)) {
            failing.entry(entry.number).or_default().extend(rule.clone());
        }
        // Of two filters the stricter one decides: what shall only fail must not be the end.
        kept.entry(entry.number).or_default().extend(rule);
    }
    if let Some(pagemap) = pagemap {
        kept.entry(libc::SYS_ioctl).or_default().push(pagemap_rule(pagemap)?);
    }
    let architecture: TargetArch = std::env::consts::ARCH.try_into()?;
    let kept = SeccompFilter::new(kept, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?;
    let missing = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let failing = SeccompFilter::new(failing, SeccompAction::Allow, missing, architecture)?;
    Ok((kept.try_into()?, failing.try_into()?))
}
