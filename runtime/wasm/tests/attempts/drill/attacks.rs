//! What an attacker does who runs native code in a worker. Each says `none` where it succeeded, or the
//! name of the error.

#![expect(unsafe_code, reason = "an attacker knows no safety")]

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{FromRawFd as _, RawFd};
use std::ptr;

use libc::c_long;

const SOCKET: RawFd = 3;
const MOST_DESCRIPTORS: RawFd = 4096;

/// Stands for a guest that broke out.
pub(crate) fn attack(arguments: &[&str], out: &mut dyn Write) -> u8 {
    let told = match arguments[1..] {
        ["open", path] => open(path, libc::O_RDONLY),
        ["create", path] => open(path, libc::O_WRONLY | libc::O_CREAT),
        ["call", name] => call(name),
        ["frame", kind] => frame(kind),
        ["exec-mapping"] => executable_mapping(),
        ["write-program"] => write_program(),
        ["link-out"] => link_out(),
        ["descriptors"] => descriptors(),
        ["threads"] => threads(),
        ["fill-bytes"] => fill_bytes(),
        ["fill-inodes"] => fill_inodes(),
        ["long-file"] => long_file(),
        ["files"] => files(),
        ["memory"] => memory(),
        ["thread"] => std::thread::spawn(|| "none".to_owned()).join().unwrap(),
        ["abort"] => std::process::abort(),
        ["folder"] => folder(),
        ["pagemap"] => pagemap(),
        _ => "unknown attack".to_owned(),
    };
    writeln!(out, "{told}").map_or(9, |()| 0)
}

/// The name of the error that the last call gave, or `none`.
fn name_of(result: c_long) -> String {
    if result >= 0 {
        return "none".to_owned();
    }
    error_name(&io::Error::last_os_error())
}

fn error_name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM",
        Some(libc::ENOENT) => "ENOENT",
        Some(libc::EBADF) => "EBADF",
        Some(libc::EAGAIN) => "EAGAIN",
        Some(libc::ENOMEM) => "ENOMEM",
        Some(libc::EACCES) => "EACCES",
        Some(libc::EMFILE) => "EMFILE",
        Some(libc::EFBIG) => "EFBIG",
        Some(libc::ENOSPC) => "ENOSPC",
        Some(libc::EROFS) => "EROFS",
        Some(libc::EINVAL) => "EINVAL",
        Some(libc::ENOTTY) => "ENOTTY",
        _ => return format!("{error}"),
    }
    .to_owned()
}

fn open_at(folder: RawFd, path: &str, flags: libc::c_int) -> c_long {
    let path = CString::new(path).unwrap();
    // SAFETY: the path ends with a zero byte.
    unsafe { libc::syscall(libc::SYS_openat, folder, path.as_ptr(), flags, 0o600) }
}

fn open(path: &str, flags: libc::c_int) -> String {
    name_of(open_at(libc::AT_FDCWD, path, flags))
}

/// System calls that nobody in a worker makes, with arguments that would do harm where that takes any.
fn call(name: &str) -> String {
    let number = match name {
        "ptrace" => libc::SYS_ptrace,
        "process_vm_readv" => libc::SYS_process_vm_readv,
        "socket" => libc::SYS_socket,
        "socketpair" => libc::SYS_socketpair,
        "fork" => libc::SYS_fork,
        "vfork" => libc::SYS_vfork,
        "clone-process" => libc::SYS_clone,
        "execve" => libc::SYS_execve,
        "execveat" => libc::SYS_execveat,
        "kill" => libc::SYS_kill,
        "tgkill" => libc::SYS_tgkill,
        "pidfd_open" => libc::SYS_pidfd_open,
        "mount" => libc::SYS_mount,
        "umount2" => libc::SYS_umount2,
        "fsopen" => libc::SYS_fsopen,
        "open_tree" => libc::SYS_open_tree,
        "move_mount" => libc::SYS_move_mount,
        "pivot_root" => libc::SYS_pivot_root,
        "chroot" => libc::SYS_chroot,
        "unshare" => libc::SYS_unshare,
        "setns" => libc::SYS_setns,
        "bpf" => libc::SYS_bpf,
        "io_uring_setup" => libc::SYS_io_uring_setup,
        "keyctl" => libc::SYS_keyctl,
        "add_key" => libc::SYS_add_key,
        "perf_event_open" => libc::SYS_perf_event_open,
        "userfaultfd" => libc::SYS_userfaultfd,
        "memfd_create" => libc::SYS_memfd_create,
        "setresuid" => libc::SYS_setresuid,
        "capset" => libc::SYS_capset,
        "mknodat" => libc::SYS_mknodat,
        "fchmodat" => libc::SYS_fchmodat,
        "fchownat" => libc::SYS_fchownat,
        "prlimit64" => libc::SYS_prlimit64,
        "setrlimit" => libc::SYS_setrlimit,
        "sethostname" => libc::SYS_sethostname,
        "personality" => libc::SYS_personality,
        "prctl" => libc::SYS_prctl,
        "seccomp" => libc::SYS_seccomp,
        "sendmsg" => libc::SYS_sendmsg,
        "shmget" => libc::SYS_shmget,
        "msgget" => libc::SYS_msgget,
        "mq_open" => libc::SYS_mq_open,
        "init_module" => libc::SYS_init_module,
        "kexec_load" => libc::SYS_kexec_load,
        "reboot" => libc::SYS_reboot,
        "swapon" => libc::SYS_swapon,
        "quotactl" => libc::SYS_quotactl,
        "name_to_handle_at" => libc::SYS_name_to_handle_at,
        "open_by_handle_at" => libc::SYS_open_by_handle_at,
        "inotify_init1" => libc::SYS_inotify_init1,
        "fanotify_init" => libc::SYS_fanotify_init,
        "ioctl" => libc::SYS_ioctl,
        "settimeofday" => libc::SYS_settimeofday,
        "iopl" => libc::SYS_iopl,
        "modify_ldt" => libc::SYS_modify_ldt,
        "process_madvise" => libc::SYS_process_madvise,
        "pkey_alloc" => libc::SYS_pkey_alloc,
        "landlock_create_ruleset" => libc::SYS_landlock_create_ruleset,
        "sched_setaffinity" => libc::SYS_sched_setaffinity,
        "setpriority" => libc::SYS_setpriority,
        "syslog" => libc::SYS_syslog,
        "acct" => libc::SYS_acct,
        _ => 100_000,
    };
    // SAFETY: whatever it would do, it doesn't come to do it, and null pointers are refused.
    name_of(unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) })
}

/// What it writes to the pool's socket itself.
fn frame(kind: &str) -> String {
    let bytes: &[u8] = match kind {
        "garbage" => &[8, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        "too-long" => &[0xff; 64],
        "empty" => &[0, 0, 0, 0],
        // Variants by their place in the frame's list: 0 is the greeting, 3 the start, 4 an output.
        "hello" => &[19, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        "started-twice" => &[1, 0, 0, 0, 3, 1, 0, 0, 0, 3],
        "output-too-long" => {
            let mut frame = vec![0x04, 0x40, 0x01, 0x00, 4, 0, 0x80, 0x80, 0x05];
            frame.extend([b'x'; 82_000]);
            send(&frame);
            return "sent".to_owned();
        }
        _ => {
            // After what the worker itself had to say, or that would be taken for the other half.
            std::thread::sleep(std::time::Duration::from_millis(200));
            &[100, 0, 0, 0, 1]
        }
    };
    send(bytes);
    loop {
        std::thread::park();
    }
}

fn send(bytes: &[u8]) {
    // SAFETY: the bytes are valid for reading.
    unsafe { libc::syscall(libc::SYS_sendto, SOCKET, bytes.as_ptr(), bytes.len(), 0, 0, 0) };
}

/// Code in a file of its own.
fn executable_mapping() -> String {
    let file = open_at(libc::AT_FDCWD, "code", libc::O_RDWR | libc::O_CREAT);
    // SAFETY: a new mapping at an address of the kernel's choice.
    let mapped = unsafe {
        libc::syscall(libc::SYS_ftruncate, file, 4096);
        libc::syscall(libc::SYS_mmap, 0, 4096, libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE, file, 0)
    };
    name_of(mapped)
}

/// Changes the compiled program of which it has a descriptor, for those who run it later.
fn write_program() -> String {
    let Some(program) = open_descriptors().into_iter().find(|number| is_regular(*number) && *number > 2) else {
        // A module's descriptor is closed once it is mapped: nothing to write to.
        return "EBADF EACCES".to_owned();
    };
    // SAFETY: the bytes are valid for reading, the mapping is new.
    let (written, mapped) = unsafe {
        let written = name_of(libc::syscall(libc::SYS_write, program, b"x".as_ptr(), 1));
        let both = libc::PROT_READ | libc::PROT_WRITE;
        (written, name_of(libc::syscall(libc::SYS_mmap, 0, 4096, both, libc::MAP_SHARED, program, 0)))
    };
    format!("{written} {mapped}")
}

fn link_out() -> String {
    // SAFETY: both texts end with a zero byte.
    unsafe { libc::syscall(libc::SYS_symlinkat, c"/etc/passwd".as_ptr(), libc::AT_FDCWD, c"out".as_ptr()) };
    open("out", libc::O_RDONLY)
}

fn status_of(number: RawFd) -> Option<libc::stat> {
    // SAFETY: all zeros is a valid stat, and it is valid for writing.
    unsafe {
        let mut status: libc::stat = std::mem::zeroed();
        (libc::syscall(libc::SYS_fstat, number, &raw mut status) == 0).then_some(status)
    }
}

fn open_descriptors() -> Vec<RawFd> {
    (0..MOST_DESCRIPTORS).filter(|number| status_of(*number).is_some()).collect()
}

fn is_regular(number: RawFd) -> bool {
    status_of(number).is_some_and(|status| status.st_mode & libc::S_IFMT == libc::S_IFREG)
}

fn is_folder(number: RawFd) -> bool {
    status_of(number).is_some_and(|status| status.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

/// Everything it has: streams, one socket, folders that are its own, and nothing of the daemon's that
/// it could write to.
fn descriptors() -> String {
    let mut bad = Vec::new();
    let mut sockets = 0;
    for number in open_descriptors() {
        let status = status_of(number).unwrap();
        match status.st_mode & libc::S_IFMT {
            libc::S_IFSOCK => sockets += 1,
            libc::S_IFBLK => bad.push(format!("block device {number}")),
            libc::S_IFREG if number > 2 => {
                // SAFETY: it writes nothing.
                let written = unsafe { libc::syscall(libc::SYS_write, number, b"".as_ptr(), 0) };
                if written >= 0 {
                    bad.push(format!("a file that it can write to {number}"));
                }
            }
            libc::S_IFDIR if name_of(open_at(number, "../../../../etc/passwd", libc::O_RDONLY)) == "none" => {
                bad.push(format!("a folder with a way out {number}"));
            }
            _ => {}
        }
    }
    // The pool's, and three ends of a pair by which Rust's runtime for waits hears of signals.
    if sockets > 4 {
        bad.push(format!("{sockets} sockets"));
    }
    if bad.is_empty() { "none".to_owned() } else { bad.join(", ") }
}

/// A fork bomb of the only kind that is left.
fn threads() -> String {
    let mut begun = 0;
    loop {
        let builder = std::thread::Builder::new().stack_size(64 * 1024);
        match builder.spawn(|| {
            loop {
                std::thread::park();
            }
        }) {
            Ok(_) => begun += 1,
            Err(error) => {
                let bound = match begun {
                    0..64 => "before 64",
                    64..512 => "before 512",
                    _ => "far too late",
                };
                return format!("{} {bound}", error_name(&error));
            }
        }
        if begun > 10_000 {
            return "none".to_owned();
        }
    }
}

fn fill_bytes() -> String {
    // SAFETY: the kernel gave us this descriptor and nobody else has it.
    let mut file = unsafe { File::from_raw_fd(i32::try_from(open_at(-100, "big", 0o101)).unwrap()) };
    let block = vec![7; 64 * 1024];
    // Two files, since the length of one is bounded too.
    let mut written = 0;
    for name in ["second", "third", "fourth"] {
        while file.write_all(&block[..4096]).is_ok() {
            written += 4096;
        }
        let number = open_at(-100, name, 0o101);
        if number < 0 {
            break;
        }
        // SAFETY: as above.
        file = unsafe { File::from_raw_fd(i32::try_from(number).unwrap()) };
    }
    let error = file.write_all(&block).unwrap_err();
    format!("{} at {} MiB", error_name(&error), (written + (1 << 19)) >> 20)
}

fn fill_inodes() -> String {
    for number in 0..100_000 {
        let made = open_at(libc::AT_FDCWD, &format!("file-{number}"), libc::O_WRONLY | libc::O_CREAT);
        if made < 0 {
            return format!("{} at {number} inodes", error_name(&io::Error::last_os_error()));
        }
        // SAFETY: it is ours.
        unsafe { libc::syscall(libc::SYS_close, made) };
    }
    "none".to_owned()
}

fn long_file() -> String {
    let file = open_at(libc::AT_FDCWD, "long", libc::O_WRONLY | libc::O_CREAT);
    // SAFETY: it takes numbers only.
    name_of(unsafe { libc::syscall(libc::SYS_ftruncate, file, 1_i64 << 40) })
}

fn files() -> String {
    for _ in 0..100_000 {
        if open_at(libc::AT_FDCWD, ".", libc::O_RDONLY) < 0 {
            return error_name(&io::Error::last_os_error());
        }
    }
    "none".to_owned()
}

fn memory() -> String {
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1_u8; 16 << 20]);
        if taken.len() > 1000 {
            return "none".to_owned();
        }
    }
}

/// A folder of the host that was granted.
fn folder() -> String {
    let folders = open_descriptors().into_iter().filter(|number| is_folder(*number));
    let granted = folders.into_iter().find(|number| open_at(*number, "inside", libc::O_RDONLY) >= 0);
    let Some(granted) = granted else { return "there is none".to_owned() };
    let inside = name_of(open_at(granted, "inside", libc::O_RDONLY));
    let up = name_of(open_at(granted, "../secret", libc::O_RDONLY));
    let created = name_of(open_at(granted, "new", libc::O_WRONLY | libc::O_CREAT));
    format!("open {inside}, up {up}, create {created}")
}

/// linux/fs.h: struct pm_scan_arg.
#[repr(C)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// Not an attack: what the engine does to find a guest's pages has to work on its descriptor.
fn pagemap() -> String {
    let page = vec![1_u8; 8192];
    let start = (page.as_ptr() as u64 + 4095) & !4095;
    let mut regions = [0_u64; 3 * 4];
    // The engine opened it before anything else. With any other descriptor the process ends here.
    let pagemap = open_descriptors().into_iter().find(|number| *number > 2 && is_regular(*number));
    let Some(pagemap) = pagemap else { return "no pagemap".to_owned() };
    let scan = Scan {
        size: size_of::<Scan>() as u64,
        flags: 0,
        start,
        end: start + 4096,
        walk_end: 0,
        vec: ptr::addr_of_mut!(regions) as u64,
        vec_len: 4,
        max_pages: 0,
        category_inverted: 0,
        category_mask: 0,
        category_anyof_mask: 8,
        return_mask: 8,
    };
    // SAFETY: the request is valid for reading and writing, as is what it points to.
    let found = unsafe { libc::syscall(libc::SYS_ioctl, pagemap, 0xc060_6610_u64, &raw const scan) };
    if found == 1 { "none".to_owned() } else { format!("{found} {}", name_of(found)) }
}
