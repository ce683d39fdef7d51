//! The calls of WASI preview 1 as the host has them, without the manners of a library.

use std::ffi::c_void;

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    pub fn clock_res_get(clock: i32, resolution: *mut u64) -> i32;
    pub fn clock_time_get(clock: i32, precision: i64, time: *mut u64) -> i32;
    pub fn fd_advise(fd: i32, from: i64, length: i64, advice: i32) -> i32;
    pub fn fd_allocate(fd: i32, from: i64, length: i64) -> i32;
    pub fn fd_datasync(fd: i32) -> i32;
    pub fn fd_fdstat_set_flags(fd: i32, flags: i32) -> i32;
    pub fn fd_filestat_get(fd: i32, stat: *mut [u64; 8]) -> i32;
    pub fn fd_sync(fd: i32) -> i32;
    pub fn fd_tell(fd: i32, at: *mut u64) -> i32;
    pub fn fd_fdstat_get(fd: i32, stat: *mut [u64; 3]) -> i32;
    pub fn fd_filestat_set_size(fd: i32, size: i64) -> i32;
    pub fn fd_filestat_set_times(fd: i32, accessed: i64, modified: i64, flags: i32) -> i32;
    pub fn fd_close(fd: i32) -> i32;
    pub fn fd_pread(fd: i32, vectors: *const Vector, count: i32, at: i64, read: *mut usize) -> i32;
    pub fn fd_prestat_dir_name(fd: i32, path: *mut u8, length: i32) -> i32;
    pub fn fd_prestat_get(fd: i32, stat: *mut [u32; 2]) -> i32;
    pub fn fd_pwrite(fd: i32, vectors: *const Vector, count: i32, at: i64, written: *mut usize) -> i32;
    pub fn fd_read(fd: i32, vectors: *const Vector, count: i32, read: *mut usize) -> i32;
    pub fn fd_readdir(fd: i32, buffer: *mut u8, length: i32, cookie: i64, used: *mut usize) -> i32;
    pub fn fd_renumber(from: i32, to: i32) -> i32;
    pub fn fd_seek(fd: i32, offset: i64, whence: i32, at: *mut u64) -> i32;
    pub fn fd_write(fd: i32, vectors: *const Vector, count: i32, written: *mut usize) -> i32;
    pub fn path_create_directory(fd: i32, path: *const u8, length: i32) -> i32;
    pub fn path_filestat_get(fd: i32, flags: i32, path: *const u8, length: i32, stat: *mut [u64; 8]) -> i32;
    pub fn path_filestat_set_times(
        fd: i32,
        flags: i32,
        path: *const u8,
        length: i32,
        accessed: i64,
        modified: i64,
        which: i32,
    ) -> i32;
    pub fn path_link(
        fd: i32,
        flags: i32,
        from: *const u8,
        from_length: i32,
        to_fd: i32,
        to: *const u8,
        to_length: i32,
    ) -> i32;
    pub fn path_open(
        fd: i32,
        follow: i32,
        path: *const u8,
        length: i32,
        how: i32,
        rights: i64,
        inheriting: i64,
        flags: i32,
        opened: *mut i32,
    ) -> i32;
    pub fn path_readlink(fd: i32, path: *const u8, length: i32, buffer: *mut u8, room: i32, used: *mut usize) -> i32;
    pub fn path_remove_directory(fd: i32, path: *const u8, length: i32) -> i32;
    pub fn path_rename(fd: i32, from: *const u8, from_length: i32, to_fd: i32, to: *const u8, to_length: i32) -> i32;
    pub fn path_symlink(target: *const u8, target_length: i32, fd: i32, path: *const u8, length: i32) -> i32;
    pub fn path_unlink_file(fd: i32, path: *const u8, length: i32) -> i32;
    pub fn poll_oneoff(wanted: *const Subscription, events: *mut Event, count: i32, told: *mut usize) -> i32;
    pub fn random_get(buffer: *mut u8, length: i32) -> i32;
    pub fn sched_yield() -> i32;
    pub fn sock_accept(fd: i32, flags: i32, opened: *mut i32) -> i32;
    pub fn sock_shutdown(fd: i32, how: i32) -> i32;
}

/// userdata; kind; clock or descriptor; timeout; precision; flags.
pub type Subscription = [u64; 6];
pub type Event = [u64; 4];

#[repr(C)]
pub struct Vector {
    pub at: *const c_void,
    pub length: usize,
}

impl Vector {
    pub fn of(bytes: &[u8]) -> Self {
        Self { at: bytes.as_ptr().cast(), length: bytes.len() }
    }

    pub fn room(bytes: &mut [u8]) -> Self {
        Self { at: bytes.as_mut_ptr().cast(), length: bytes.len() }
    }
}

/// The kind of a symbolic link among what is told of a file.
pub const LINK: u64 = 7;

pub const CREATE: i32 = 1;
pub const DIRECTORY: i32 = 2;
pub const TRUNCATE: i32 = 8;
pub const READ: i64 = 1 << 1 | 1 << 14;
pub const WRITE: i64 = READ | 1 << 6;

/// What the host said instead of doing it, by its number in WASI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal(pub i32);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.0 {
            2 => "acces",
            8 => "badf",
            20 => "exist",
            22 => "fbig",
            25 => "ilseq",
            28 => "inval",
            29 => "io",
            31 => "isdir",
            32 => "loop",
            33 => "mfile",
            34 => "mlink",
            37 => "nametoolong",
            44 => "noent",
            48 => "nomem",
            51 => "nospc",
            54 => "notdir",
            55 => "notempty",
            57 => "notsock",
            58 => "notsup",
            63 => "perm",
            69 => "rofs",
            75 => "xdev",
            76 => "notcapable",
            number => return write!(f, "errno {number}"),
        };
        f.write_str(name)
    }
}

pub type Answer<T> = Result<T, Refusal>;

pub fn answer(errno: i32) -> Answer<()> {
    if errno == 0 { Ok(()) } else { Err(Refusal(errno)) }
}

fn length(text: &[u8]) -> i32 {
    i32::try_from(text.len()).expect("no text here is that long")
}

pub fn open(fd: i32, path: &[u8], follow: bool, how: i32, rights: i64) -> Answer<i32> {
    open_with(fd, path, follow, how, rights, 0)
}

/// The same with flags for what is opened: 1 appends, 2, 8 and 16 write through, 4 doesn't wait.
pub fn open_with(fd: i32, path: &[u8], follow: bool, how: i32, rights: i64, flags: i32) -> Answer<i32> {
    let mut opened = -1;
    // SAFETY: the path and the number are valid for the call.
    let errno = unsafe {
        path_open(fd, follow.into(), path.as_ptr(), length(path), how, rights, rights, flags, &raw mut opened)
    };
    answer(errno).map(|()| opened)
}

pub fn close(fd: i32) {
    // SAFETY: it takes a number only.
    let _ = unsafe { fd_close(fd) };
}

pub fn write_at(fd: i32, bytes: &[u8], at: i64) -> Answer<usize> {
    let (vector, mut written) = (Vector::of(bytes), 0);
    // SAFETY: the vector and the number are valid for the call.
    answer(unsafe { fd_pwrite(fd, &raw const vector, 1, at, &raw mut written) }).map(|()| written)
}

pub fn read_at(fd: i32, room: &mut [u8], at: i64) -> Answer<usize> {
    let (vector, mut read) = (Vector::room(room), 0);
    // SAFETY: the vector and the number are valid for the call, and the room may be written to.
    answer(unsafe { fd_pread(fd, &raw const vector, 1, at, &raw mut read) }).map(|()| read)
}

pub fn set_size(fd: i32, size: i64) -> Answer<()> {
    // SAFETY: it takes numbers only.
    answer(unsafe { fd_filestat_set_size(fd, size) })
}

pub fn make_folder(fd: i32, path: &[u8]) -> Answer<()> {
    // SAFETY: the path is valid for the call.
    answer(unsafe { path_create_directory(fd, path.as_ptr(), length(path)) })
}

pub fn remove_folder(fd: i32, path: &[u8]) -> Answer<()> {
    // SAFETY: the path is valid for the call.
    answer(unsafe { path_remove_directory(fd, path.as_ptr(), length(path)) })
}

pub fn unlink(fd: i32, path: &[u8]) -> Answer<()> {
    // SAFETY: the path is valid for the call.
    answer(unsafe { path_unlink_file(fd, path.as_ptr(), length(path)) })
}

pub fn symlink(target: &[u8], fd: i32, path: &[u8]) -> Answer<()> {
    // SAFETY: both texts are valid for the call.
    answer(unsafe { path_symlink(target.as_ptr(), length(target), fd, path.as_ptr(), length(path)) })
}

pub fn hard_link(fd: i32, from: &[u8], follow: bool, to_fd: i32, to: &[u8]) -> Answer<()> {
    // SAFETY: both paths are valid for the call.
    answer(unsafe { path_link(fd, follow.into(), from.as_ptr(), length(from), to_fd, to.as_ptr(), length(to)) })
}

pub fn rename(fd: i32, from: &[u8], to_fd: i32, to: &[u8]) -> Answer<()> {
    // SAFETY: both paths are valid for the call.
    answer(unsafe { path_rename(fd, from.as_ptr(), length(from), to_fd, to.as_ptr(), length(to)) })
}

pub fn look_at(fd: i32, path: &[u8], follow: bool) -> Answer<[u64; 8]> {
    let mut stat = [0; 8];
    // SAFETY: the path and the figures are valid for the call.
    let errno = unsafe { path_filestat_get(fd, follow.into(), path.as_ptr(), length(path), &raw mut stat) };
    answer(errno).map(|()| stat)
}

pub fn set_times(fd: i32, path: &[u8], follow: bool) -> Answer<()> {
    // SAFETY: the path is valid for the call.
    answer(unsafe { path_filestat_set_times(fd, follow.into(), path.as_ptr(), length(path), 0, 0, 0b0101) })
}

pub fn read_link(fd: i32, path: &[u8]) -> Answer<Vec<u8>> {
    let (mut room, mut used) = (vec![0; 4096], 0);
    // SAFETY: the path, the room and the number are valid for the call.
    let errno = unsafe { path_readlink(fd, path.as_ptr(), length(path), room.as_mut_ptr(), 4096, &raw mut used) };
    room.truncate(used);
    answer(errno).map(|()| room)
}

/// As much of a folder's listing as there is room for.
pub fn list(fd: i32, room: &mut [u8]) -> Answer<&[u8]> {
    let mut used = 0;
    // SAFETY: the room and the number are valid for the call.
    let errno = unsafe { fd_readdir(fd, room.as_mut_ptr(), length(room), 0, &raw mut used) };
    answer(errno).map(|()| &room[..used])
}

/// The descriptor by which this program was given a folder.
pub fn given(folder: &str) -> i32 {
    for fd in 3.. {
        let mut stat = [0; 2];
        // SAFETY: the figures are valid for the call.
        if unsafe { fd_prestat_get(fd, &raw mut stat) } != 0 {
            break;
        }
        let mut name = vec![0; stat[1] as usize];
        // SAFETY: the room is valid for the call.
        let errno = unsafe { fd_prestat_dir_name(fd, name.as_mut_ptr(), length(&name)) };
        if errno == 0 && name == folder.as_bytes() {
            return fd;
        }
    }
    panic!("this program was not given {folder}");
}
