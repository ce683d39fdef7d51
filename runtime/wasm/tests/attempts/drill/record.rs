//! Which system calls workers make once they are enclosed: every call is reported to this process,
//! which writes it down and lets it go on.

#![expect(unsafe_code, reason = "the kernel's interface for this has no safe form")]

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmbatch_jail::seccomp::{Fate, entries};

use crate::node::{RECORDED_DRILL_FLAG, RECORDED_FLAG, children};

/// linux/seccomp.h
const SET_MODE_FILTER: libc::c_long = 1;
const NEW_LISTENER: libc::c_long = 8;
const RETURN_NOTIFY: u32 = 0x7fc0_0000;
const RECEIVE: libc::Ioctl = 0xc050_2100;
const SEND: libc::Ioctl = 0xc018_2101;
const CONTINUE: u32 = 1;
/// Filters that a worker installs; what it does afterwards is done in the jail.
const FILTERS: u32 = 2;

static RECORDING: AtomicBool = AtomicBool::new(false);

/// Whether workers shall be begun such that they are recorded.
pub(crate) fn is_recording() -> bool {
    RECORDING.load(Ordering::SeqCst)
}

/// Has every further system call of this process reported. It waits at the first one until somebody
/// has found it.
pub(crate) fn install() {
    let mut report = libc::sock_filter { code: 6, jt: 0, jf: 0, k: RETURN_NOTIFY };
    let program = libc::sock_fprog { len: 1, filter: &raw mut report };
    // SAFETY: the program is valid for reading; the kernel checks it.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, NEW_LISTENER, &raw const program);
    }
}

#[repr(C)]
struct Notification {
    id: u64,
    process: u32,
    flags: u32,
    number: i32,
    architecture: u32,
    pointer: u64,
    arguments: [u64; 6],
}

#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

type Used = Arc<Mutex<BTreeSet<i64>>>;

/// Finds recorded workers and serves them until it is dropped.
struct Recorder {
    used: Used,
    finder: Option<JoinHandle<()>>,
}

impl Recorder {
    fn start() -> Self {
        RECORDING.store(true, Ordering::SeqCst);
        let used = Used::default();
        let for_thread = Arc::clone(&used);
        let finder = std::thread::spawn(move || {
            let mut found = HashSet::new();
            let mut servers = Vec::new();
            while is_recording() {
                for process in children() {
                    if !found.contains(&process)
                        && let Some(listener) = listener_of(process)
                    {
                        found.insert(process);
                        let used = Arc::clone(&for_thread);
                        servers.push(std::thread::spawn(move || serve(&listener, &used)));
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            for server in servers {
                server.join().unwrap();
            }
        });
        Self { used, finder: Some(finder) }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        RECORDING.store(false, Ordering::SeqCst);
        if let Some(finder) = self.finder.take() {
            finder.join().unwrap();
        }
    }
}

fn listener_of(process: u32) -> Option<OwnedFd> {
    // Between fork and exec it still has this process's own listeners.
    let command = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let flags = [RECORDED_FLAG, RECORDED_DRILL_FLAG].map(|flag| format!("{flag}\0"));
    if !flags.iter().any(|flag| command.ends_with(flag.as_bytes())) {
        return None;
    }
    let entries = fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    let number: RawFd = entries.flatten().find_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        if !target.to_str()?.contains("seccomp notify") {
            return None;
        }
        entry.file_name().to_str()?.parse().ok()
    })?;
    // SAFETY: these take numbers; what they return is ours.
    unsafe {
        let process = libc::syscall(libc::SYS_pidfd_open, process, 0);
        let process = OwnedFd::from_raw_fd(i32::try_from(process).ok().filter(|number| *number >= 0)?);
        let listener = libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0);
        Some(OwnedFd::from_raw_fd(i32::try_from(listener).ok().filter(|number| *number >= 0)?))
    }
}

fn serve(listener: &OwnedFd, used: &Used) {
    let mut filters = 0;
    loop {
        let mut ready = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the one entry is valid for reading and writing.
        unsafe { libc::poll(&raw mut ready, 1, 100) };
        if ready.revents & libc::POLLHUP != 0 {
            return;
        }
        if ready.revents & libc::POLLIN == 0 {
            continue;
        }
        // SAFETY: all zeros is what the kernel wants, and it is valid for writing.
        let notification = unsafe {
            let mut notification: Notification = std::mem::zeroed();
            if libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut notification) != 0 {
                continue;
            }
            notification
        };
        let number = i64::from(notification.number);
        if filters >= FILTERS {
            used.lock().unwrap().insert(number);
        } else if number == libc::SYS_seccomp {
            filters += 1;
        }
        let answer = Answer { id: notification.id, value: 0, error: 0, flags: CONTINUE };
        // SAFETY: the answer is valid for reading. A caller that died meanwhile needs none.
        unsafe { libc::ioctl(listener.as_raw_fd(), SEND, &raw const answer) };
    }
}

/// Calls that these tests don't come to make, and why they are kept all the same.
const ELSEWHERE: &[(&str, &str)] = &[
    ("SYS_brk", "the allocator of a thread that isn't the first has other ways until those are used up"),
    ("SYS_madvise", "the engine gives pages back where the kernel can't tell which were written to"),
    ("SYS_clock_gettime", "hosts whose clock the kernel's page can't read"),
    ("SYS_faccessat", "kernels without openat2"),
    ("SYS_faccessat2", "kernels without openat2"),
    ("SYS_ioctl", "kernels that tell which pages were written to, from 6.7"),
    ("SYS_accept4", "guests that listen and are connected to"),
    ("SYS_getpeername", "guests that ask who they are connected to"),
    ("SYS_writev", "requests over HTTP, head and body at once"),
    ("SYS_poll", "name lookup where there is a server to ask"),
    ("SYS_sendmmsg", "name lookup where there is a server to ask"),
];

/// Runs tests whose workers are recorded, and holds what they used against the list. A call that only
/// fails is not reported, so those entries are not held to it.
pub(super) fn every_system_call_that_is_kept_is_used() {
    if !super::is_root() {
        // An ordinary user can't take a descriptor out of a worker.
        return;
    }
    let recorder = Recorder::start();
    let tests = [
        crate::endings::TESTS,
        crate::folders::TESTS,
        crate::components::TESTS,
        crate::asynchronous::TESTS,
        crate::network::TESTS,
        crate::hostile::TESTS,
    ];
    for (_, test) in tests.concat() {
        test();
    }
    super::recorded_endings();
    let used = recorder.used.lock().unwrap().clone();
    drop(recorder);
    let kept = entries().filter(|entry| !matches!(entry.fate, Fate::Missing | Fate::MissingIf(..)));
    let mut unused: HashMap<i64, &str> = kept.map(|entry| (entry.number, entry.name)).collect();
    unused.retain(|number, name| !used.contains(number) && ELSEWHERE.iter().all(|(known, _)| known != name));
    assert!(unused.is_empty(), "nobody makes these system calls: {:?}", unused.values());
}
