//! One child process by clone3(2): namespaces and cgroup from its first instruction on, known by a
//! pidfd.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

/// What a child does between its creation and its program, put together before: it may not allocate.
#[derive(Debug)]
pub(crate) struct ChildPlan<'a> {
    /// `CLONE_NEW...` flags.
    pub(crate) namespaces: u64,
    /// The cgroup (version 2) to be born in.
    pub(crate) born_in: Option<BorrowedFd<'a>>,
    /// `tasks` files of cgroups (version 1) to enter.
    pub(crate) tasks: &'a [BorrowedFd<'a>],
    /// Whether it becomes user and group 0 of its user namespace once the gate opens.
    pub(crate) become_root: bool,
    /// Where to wait for a byte before anything else; its end is the end of the child.
    pub(crate) gate: BorrowedFd<'a>,
    /// The gate's other end, of which the child has a copy that it must not keep.
    pub(crate) opener: BorrowedFd<'a>,
    /// Where to write the number of the error that prevents the program.
    pub(crate) failure: BorrowedFd<'a>,
    /// Copied to these numbers, to be kept by the program. None of them lies among the numbers.
    pub(crate) descriptors: &'a [(BorrowedFd<'a>, RawFd)],
    /// The program, by path or descriptor.
    pub(crate) program: BorrowedFd<'a>,
    /// Its arguments.
    pub(crate) arguments: &'a [CString],
}

/// A child, not reaped yet.
#[derive(Debug)]
pub(crate) struct Forked {
    pub(crate) process: i32,
    pub(crate) pidfd: OwnedFd,
}

/// Creates the child and has it carry out the plan.
///
/// # Errors
/// Those of clone3(2).
pub(crate) fn clone_child(plan: &ChildPlan<'_>) -> io::Result<Forked> {
    let mut arguments: Vec<*const libc::c_char> = plan.arguments.iter().map(|text| text.as_ptr()).collect();
    arguments.push(ptr::null());
    clone_with(plan.namespaces, plan.born_in, || carry_out(plan, &arguments))
}

/// Creates a child that ends at once, to see whether this host lets us.
///
/// # Errors
/// Those of clone3(2).
pub(crate) fn try_namespaces(namespaces: u64) -> io::Result<()> {
    let forked = clone_with(namespaces, None, || 0)?;
    // A child that was never waited for would stay as a zombie.
    let _ = rustix::process::waitid(
        rustix::process::WaitId::PidFd(std::os::fd::AsFd::as_fd(&forked.pidfd)),
        rustix::process::WaitIdOptions::EXITED,
    );
    Ok(())
}

/// Creates a child in a user namespace that waits for its gate to close.
///
/// # Errors
/// Those of clone3(2).
pub(crate) fn clone_waiting(namespaces: u64, gate: BorrowedFd<'_>, opener: BorrowedFd<'_>) -> io::Result<Forked> {
    clone_with(namespaces, None, || {
        #[expect(unsafe_code, reason = "the child's copy of a descriptor that its parent owns")]
        // SAFETY: the copy is the child's own and nothing uses it later.
        unsafe {
            libc::close(opener.as_raw_fd());
        }
        wait_at(gate);
        0
    })
}

/// `child` runs in a copy of this process of which only this thread is left: it must neither
/// allocate nor lock. What it returns is the child's exit code.
fn clone_with(
    namespaces: u64,
    born_in: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> libc::c_int,
) -> io::Result<Forked> {
    let mut pidfd: libc::c_int = -1;
    let mut flags = namespaces | u64::from(libc::CLONE_PIDFD.cast_unsigned());
    if born_in.is_some() {
        flags |= CLONE_INTO_CGROUP;
    }
    let arguments = libc::clone_args {
        flags,
        pidfd: ptr::addr_of_mut!(pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: born_in.map_or(0, |cgroup| u64::from(cgroup.as_raw_fd().cast_unsigned())),
    };
    #[expect(unsafe_code, reason = "there is no safe way to make a process")]
    // SAFETY: without CLONE_VM the child has memory of its own and returns here as fork's does; it
    // runs `child`, which neither allocates nor locks, and ends.
    let process = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match process {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = child();
            #[expect(unsafe_code, reason = "nothing of the parent's may run in the child")]
            // SAFETY: ends the process without running anything else.
            unsafe {
                libc::_exit(code)
            }
        }
        process => {
            #[expect(unsafe_code, reason = "the kernel made this descriptor and nobody owns it yet")]
            // SAFETY: clone3 succeeded, so the number is a new descriptor of ours.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            let process = i32::try_from(process).expect("a process number has 32 bits");
            Ok(Forked { process, pidfd })
        }
    }
}

/// linux/sched.h; libc has it in a type that it doesn't fit.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Exit code of a child that never came to its program.
const NOT_BEGUN: libc::c_int = 127;

fn wait_at(gate: BorrowedFd<'_>) -> bool {
    let mut byte = 0_u8;
    loop {
        #[expect(unsafe_code, reason = "a system call and nothing else may happen here")]
        // SAFETY: the byte is valid for writing.
        let read = unsafe { libc::read(gate.as_raw_fd(), ptr::addr_of_mut!(byte).cast(), 1) };
        if read != -1 || errno() != libc::EINTR {
            return read == 1;
        }
    }
}

fn errno() -> libc::c_int {
    #[expect(unsafe_code, reason = "errno is a thread's own variable")]
    // SAFETY: the pointer is valid for as long as the thread lives.
    unsafe {
        *libc::__errno_location()
    }
}

fn carry_out(plan: &ChildPlan<'_>, arguments: &[*const libc::c_char]) -> libc::c_int {
    let begun = prepare(plan);
    if begun {
        execute(plan, arguments);
    }
    let number = errno().to_ne_bytes();
    #[expect(unsafe_code, reason = "a system call and nothing else may happen here")]
    // SAFETY: the bytes are valid for reading. Should writing fail, the exit code says enough.
    let _ = unsafe { libc::write(plan.failure.as_raw_fd(), number.as_ptr().cast(), number.len()) };
    NOT_BEGUN
}

/// Everything between the creation and the program.
fn prepare(plan: &ChildPlan<'_>) -> bool {
    #[expect(unsafe_code, reason = "system calls and nothing else may happen here")]
    // SAFETY: each of these takes numbers, or pointers to locals that are valid.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return false;
        }
        libc::close(plan.opener.as_raw_fd());
        // Whoever dies before writing has closed the gate, and with it this child's life.
        if !wait_at(plan.gate) {
            libc::_exit(NOT_BEGUN);
        }
        if plan.become_root && !become_root() {
            return false;
        }
        for tasks in plan.tasks {
            if libc::write(tasks.as_raw_fd(), c"0".as_ptr().cast(), 1) != 1 {
                return false;
            }
        }
        let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core) != 0 {
            return false;
        }
        plan.descriptors.iter().all(|(from, number)| libc::dup2(from.as_raw_fd(), *number) == *number)
    }
}

/// Becomes user and group 0. By the system calls themselves: those of the C library lock.
fn become_root() -> bool {
    #[expect(unsafe_code, reason = "system calls and nothing else may happen here")]
    // SAFETY: each of these takes numbers, and a list that is empty. The kernel forgets the parent
    // death signal when a process becomes somebody else, so it is set again.
    unsafe {
        libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>()) == 0
            && libc::syscall(libc::SYS_setresgid, 0, 0, 0) == 0
            && libc::syscall(libc::SYS_setresuid, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0
    }
}

/// Returns only when it failed.
fn execute(plan: &ChildPlan<'_>, arguments: &[*const libc::c_char]) {
    let no_environment: [*const libc::c_char; 1] = [ptr::null()];
    #[expect(unsafe_code, reason = "a system call and nothing else may happen here")]
    // SAFETY: both lists end with a null pointer and their texts with a zero byte.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            plan.program.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            no_environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
}
