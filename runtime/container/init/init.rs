//! The first process of a container whose job asks for one: starts the program behind `--`, hands it the
//! signals that it gets itself, and waits for it and for all processes that lost their parent. It ends as the
//! program ends, with 128 and the signal's number where one ended it; with 127 if there is no such program and
//! 126 if it can't be executed.
//!
//! It runs in images of which nothing is known, so it is linked with nothing, not even the C library: system
//! calls are made by hand, and what the kernel gives is read through raw pointers. All `unsafe` here is one of
//! these two. It allocates nothing, indexes nothing and has no way to panic.

#![no_std]
#![no_main]
#![no_builtins]

use core::arch::{asm, global_asm};
use core::ffi::{CStr, c_char};
use core::ptr;

#[cfg(target_arch = "x86_64")]
mod number {
    pub(crate) const WRITE: usize = 1;
    pub(crate) const RT_SIGPROCMASK: usize = 14;
    pub(crate) const CLONE: usize = 56;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const WAIT4: usize = 61;
    pub(crate) const KILL: usize = 62;
    pub(crate) const SETPGID: usize = 109;
    pub(crate) const RT_SIGTIMEDWAIT: usize = 128;
    pub(crate) const EXIT_GROUP: usize = 231;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub(crate) const WRITE: usize = 64;
    pub(crate) const EXIT_GROUP: usize = 94;
    pub(crate) const KILL: usize = 129;
    pub(crate) const RT_SIGPROCMASK: usize = 135;
    pub(crate) const RT_SIGTIMEDWAIT: usize = 137;
    pub(crate) const SETPGID: usize = 154;
    pub(crate) const CLONE: usize = 220;
    pub(crate) const EXECVE: usize = 221;
    pub(crate) const WAIT4: usize = 260;
}

// The kernel leaves the number of arguments, the arguments, NULL, the environment and NULL on the stack.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    start = sym start,
);
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "bl {start}",
    start = sym start,
);

const SIGCHLD: i32 = 17;
/// What the kernel sends for what a process did itself: ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS.
const OWN_FAULTS: [i32; 7] = [4, 5, 6, 7, 8, 11, 31];
const SIG_BLOCK: usize = 0;
const SIG_SETMASK: usize = 2;
const WNOHANG: usize = 1;
const ENOENT: isize = -2;
const ENOEXEC: isize = -8;
const EACCES: isize = -13;
const ENOTDIR: isize = -20;
/// As Docker has it.
const PATH: &CStr = c"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const LONGEST_PATH: usize = 4096;

type Strings = *const *const c_char;

/// # Safety
/// As the system call of this number wants its arguments.
unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // Four arguments are all that is needed; a fifth, where a call has one, is 0.
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number.cast_signed() => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") 0_usize,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "svc 0",
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") 0_usize, in("x8") number,
            options(nostack),
        );
    }
    result
}

fn exit(code: i32) -> ! {
    loop {
        // SAFETY: it takes a number.
        unsafe { call(number::EXIT_GROUP, code.cast_unsigned() as usize, 0, 0, 0) };
    }
}

/// # Safety
/// `stack` is what the kernel started this program with.
unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: the count lies first, then so many strings and NULL, then the environment.
    let (count, arguments) = unsafe { (stack.read(), stack.add(1).cast::<*const c_char>()) };
    // SAFETY: as above.
    let environment = unsafe { arguments.add(count.wrapping_add(1)) };
    // SAFETY: only where there are so many.
    let program = unsafe {
        let dashes = count > 1 && CStr::from_ptr(*arguments.add(1)).to_bytes() == b"--";
        let first = if dashes { 2 } else { 1 };
        if count <= first {
            complain(c"no program given", c"");
            exit(127)
        }
        arguments.add(first)
    };
    let (all, mut before): (u64, u64) = (!0, 0);
    // SAFETY: both are sets of signals, of 8 bytes.
    unsafe { call(number::RT_SIGPROCMASK, SIG_BLOCK, address(&all), address_mut(&mut before), 8) };
    // SAFETY: without flags but the signal at its end a child shares nothing, as fork(2) has it.
    let child = unsafe { call(number::CLONE, SIGCHLD.cast_unsigned() as usize, 0, 0, 0) };
    match child {
        0 => {
            // SAFETY: a set of signals, and numbers.
            unsafe {
                call(number::SETPGID, 0, 0, 0, 0);
                call(number::RT_SIGPROCMASK, SIG_SETMASK, address(&before), 0, 8);
            }
            // SAFETY: both come from the kernel.
            unsafe { execute(program, environment) }
        }
        1.. => serve(child),
        _ => {
            complain(c"no process can be made", c"");
            exit(126)
        }
    }
}

/// Hands signals on and buries the dead until the program has ended.
fn serve(child: isize) -> ! {
    let all: u64 = !0;
    loop {
        // SAFETY: a set of signals of 8 bytes; nothing else is wanted of the signal, and there is no time limit.
        let signal = unsafe { call(number::RT_SIGTIMEDWAIT, address(&all), 0, 0, 8) } as i32;
        if signal == SIGCHLD {
            bury(child);
        } else if signal > 0 && !OWN_FAULTS.contains(&signal) {
            // SAFETY: it takes numbers.
            unsafe { call(number::KILL, child.cast_unsigned(), signal.cast_unsigned() as usize, 0, 0) };
        }
    }
}

fn bury(child: isize) {
    loop {
        let mut status: i32 = 0;
        // SAFETY: the status is what is written to.
        let dead = unsafe { call(number::WAIT4, usize::MAX, address_mut(&mut status), WNOHANG, 0) };
        // SAFETY: it was just written, by somebody whom the compiler doesn't see.
        let status = unsafe { ptr::read_volatile(&status) };
        if dead == child {
            let signal = status & 0x7f;
            exit(if signal == 0 { (status >> 8) & 0xff } else { 128 + signal });
        }
        if dead <= 0 {
            return;
        }
    }
}

/// Becomes the program, looked for as execvp(3) does, and tells why not.
///
/// # Safety
/// Both are arrays of strings with NULL at their end, and `program` has a first one.
unsafe fn execute(program: Strings, environment: Strings) -> ! {
    // SAFETY: the caller's.
    let name = unsafe { CStr::from_ptr(*program) };
    // SAFETY: three texts or arrays of them.
    let attempt =
        |path: *const c_char| unsafe { call(number::EXECVE, path.addr(), program.addr(), environment.addr(), 0) };
    let error = if name.to_bytes().contains(&b'/') {
        attempt(name.as_ptr())
    } else if name.is_empty() {
        ENOENT
    } else {
        // SAFETY: the caller's.
        search(unsafe { path_of(environment) }, name, attempt)
    };
    let (reason, code) = match error {
        ENOENT | ENOTDIR => (c"no such file or directory", 127),
        EACCES => (c"permission denied", 126),
        ENOEXEC => (c"exec format error", 126),
        _ => (c"can't be executed", 126),
    };
    complain(name, reason);
    exit(code)
}

/// Tries the name in each folder; what was there and could not be executed is told rather than that the
/// last folder doesn't have it.
fn search(path: &CStr, name: &CStr, attempt: impl Fn(*const c_char) -> isize) -> isize {
    let mut error = ENOENT;
    for folder in path.to_bytes().split(|byte| *byte == b':') {
        let mut buffer = [0_u8; LONGEST_PATH];
        let folder: &[u8] = if folder.is_empty() { b"." } else { folder };
        let whole = folder.iter().chain(b"/").chain(name.to_bytes());
        // One byte stays 0.
        if folder.len() + name.to_bytes().len() + 2 > LONGEST_PATH {
            continue;
        }
        for (to, from) in buffer.iter_mut().zip(whole) {
            *to = *from;
        }
        match attempt(buffer.as_ptr().cast()) {
            ENOENT | ENOTDIR => {}
            EACCES => error = EACCES,
            other => return other,
        }
    }
    error
}

/// # Safety
/// An array of strings with NULL at its end.
unsafe fn path_of(environment: Strings) -> &'static CStr {
    let mut variable = environment;
    // SAFETY: it goes on to the NULL and not beyond.
    while unsafe { !(*variable).is_null() } {
        // SAFETY: a string of the kernel's.
        let text = unsafe { CStr::from_ptr(*variable) };
        if let [b'P', b'A', b'T', b'H', b'=', value @ ..] = text.to_bytes_with_nul()
            && let Ok(value) = CStr::from_bytes_with_nul(value)
        {
            return value;
        }
        // SAFETY: this one was not the NULL.
        variable = unsafe { variable.add(1) };
    }
    PATH
}

fn complain(what: &CStr, reason: &CStr) {
    for text in [c"init: ", what, if reason.is_empty() { c"" } else { c": " }, reason, c"\n"] {
        // SAFETY: so many bytes are there.
        unsafe { call(number::WRITE, 2, text.as_ptr().addr(), text.to_bytes().len(), 0) };
    }
}

fn address<T>(what: &T) -> usize {
    ptr::from_ref(what).expose_provenance()
}

fn address_mut<T>(what: &mut T) -> usize {
    ptr::from_mut(what).expose_provenance()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(70)
}

// What compiled code takes for granted of a C library. `no_builtins` keeps these from calling themselves.

/// # Safety
/// A string with NUL at its end.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the caller's; it goes on to the NUL and not beyond.
    while unsafe { text.add(length).read() } != 0 {
        length += 1;
    }
    length
}

/// # Safety
/// So many bytes can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, length: usize) -> *mut u8 {
    for index in 0..length {
        // SAFETY: the caller's.
        unsafe { to.add(index).write(value as u8) };
    }
    to
}

/// # Safety
/// So many bytes can be read and written, and the two don't overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    for index in 0..length {
        // SAFETY: the caller's.
        unsafe { to.add(index).write(from.add(index).read()) };
    }
    to
}

/// # Safety
/// So many bytes can be read of both.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    for index in 0..length {
        // SAFETY: the caller's.
        let (one, other) = unsafe { (one.add(index).read(), other.add(index).read()) };
        if one != other {
            return i32::from(one) - i32::from(other);
        }
    }
    0
}

/// # Safety
/// As memcmp.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    // SAFETY: the caller's.
    unsafe { memcmp(one, other, length) }
}

/// The library's code names it for panics that unwind; here none does.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
