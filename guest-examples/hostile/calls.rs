//! Calls of the host with what nobody should give it.

use crate::Ends;
use crate::wasi::{self, Vector};

/// All kinds of calls on descriptors that aren't there or aren't of that kind.
pub fn wild_calls() -> Ends {
    let mut taken = 0;
    let mut number = 0_usize;
    let (mut three, mut wide, mut small) = ([0; 3], 0_u64, -1);
    let fds = (4..2000).chain([i32::MAX]);
    for fd in fds {
        // SAFETY: all that is pointed to is valid for the calls.
        let errnos = unsafe {
            [
                wasi::fd_fdstat_get(fd, &raw mut three),
                wasi::fd_seek(fd, i64::MIN, 2, &raw mut wide),
                wasi::fd_read(fd, std::ptr::null(), 0, &raw mut number),
                wasi::fd_readdir(fd, std::ptr::null_mut(), 0, i64::MAX, &raw mut number),
                wasi::fd_renumber(fd, fd.wrapping_add(1)),
                wasi::fd_filestat_set_times(fd, i64::MAX, 0, 0b0101),
                wasi::sock_accept(fd, 0, &raw mut small),
                wasi::sock_shutdown(fd, 3),
                wasi::fd_close(fd),
            ]
        };
        taken += errnos.iter().filter(|errno| **errno == 0).count();
    }
    // The streams and the folder are no sockets, and a folder is no file.
    for fd in 0..4 {
        // SAFETY: the number is valid for the call.
        let errnos = unsafe { [wasi::sock_accept(fd, 0, &raw mut small), wasi::sock_shutdown(fd, 3)] };
        taken += errnos.iter().filter(|errno| **errno == 0).count();
    }
    taken += usize::from(wasi::set_size(3, 1).is_ok()) + usize::from(wasi::write_at(3, b"x", 0).is_ok());
    println!("taken {taken}");
    Some(i32::from(taken > 0))
}

/// Every call with every flag, on a file, a folder and a link. What they come to doesn't matter, as long as
/// nobody is surprised by them.
pub fn every_call() -> Ends {
    wasi::make_folder(3, b"folder").expect("an empty folder takes a folder");
    wasi::symlink(b"file", 3, b"link").expect("an empty folder takes a link");
    let mut opened = 0;
    for (path, how, flags) in [&b"file"[..], b"folder", b"link"]
        .into_iter()
        .flat_map(|path| (0..16).flat_map(move |how| (0..32).map(move |flags| (path, how, flags))))
    {
        for (follow, rights) in [(true, wasi::READ), (false, wasi::WRITE)] {
            if let Ok(fd) = wasi::open_with(3, path, follow, how, rights, flags) {
                opened += 1;
                call_all(fd, flags);
                wasi::close(fd);
            }
        }
        let _ = wasi::look_at(3, path, flags & 1 == 0);
        let _ = wasi::set_times(3, path, flags & 1 == 0);
    }
    (0..3).for_each(|stream| call_all(stream, 0));
    call_all(3, 0);
    let mut number = 0;
    for clock in 0..4 {
        // SAFETY: the number is valid for the calls.
        unsafe {
            wasi::clock_res_get(clock, &raw mut number);
            wasi::clock_time_get(clock, 1, &raw mut number);
        }
    }
    println!("opened {opened}");
    Some(0)
}

fn call_all(fd: i32, flags: i32) {
    let mut room = [0; 256];
    let (mut number, mut used, mut three, mut stat) = (0_u64, 0_usize, [0; 3], [0; 8]);
    let (vectors, mut events) = ([Vector::room(&mut room)], [[0; 4]; 2]);
    let fd_number = u64::from(fd.unsigned_abs());
    // Of kinds 1 and 2: something to read, room to write.
    let wanted = [[0, 1, fd_number, 0, 0, 0], [0, 2, fd_number, 0, 0, 0]];
    // SAFETY: all that is pointed to is valid for the calls, and may be written to.
    unsafe {
        for advice in 0..6 {
            wasi::fd_advise(fd, 0, 4096, advice);
        }
        wasi::fd_allocate(fd, 0, 4096);
        wasi::fd_fdstat_get(fd, &raw mut three);
        wasi::fd_fdstat_set_flags(fd, flags & 5);
        wasi::fd_filestat_get(fd, &raw mut stat);
        if fd > 3 {
            wasi::fd_write(fd, vectors.as_ptr(), 1, &raw mut used);
            wasi::fd_pwrite(fd, vectors.as_ptr(), 1, 100, &raw mut used);
        }
        wasi::fd_read(fd, vectors.as_ptr(), 1, &raw mut used);
        wasi::fd_pread(fd, vectors.as_ptr(), 1, 100, &raw mut used);
        for whence in 0..3 {
            wasi::fd_seek(fd, 1, whence, &raw mut number);
        }
        wasi::fd_tell(fd, &raw mut number);
        wasi::fd_filestat_set_size(fd, 77);
        wasi::fd_filestat_set_times(fd, 0, 0, 0b1010);
        wasi::fd_readdir(fd, room.as_mut_ptr(), 256, 0, &raw mut used);
        wasi::fd_datasync(fd);
        wasi::fd_sync(fd);
        wasi::poll_oneoff(wanted.as_ptr(), events.as_mut_ptr(), 2, &raw mut used);
    }
}

/// A value that the call doesn't have.
pub fn wild_value() -> Ends {
    println!("asking");
    let mut opened = -1;
    // SAFETY: the number is valid for the call.
    let errno = unsafe { wasi::sock_accept(3, -1, &raw mut opened) };
    println!("errno {errno}");
    Some(0)
}

/// A write of what lies beyond the memory.
pub fn wild_pointer() -> Ends {
    println!("pointing");
    let vector = Vector { at: std::ptr::without_provenance(0xffff_fff0), length: 4096 };
    let mut written = 0;
    // SAFETY: none is needed, the host has to look at the pointer; the rest is valid.
    let errno = unsafe { wasi::fd_write(1, &raw const vector, 1, &raw mut written) };
    println!("errno {errno}, {written} bytes");
    Some(0)
}

/// The same MiB a thousand times over in one write.
pub fn large_write() -> Ends {
    let mebibyte = vec![b'x'; 1 << 20];
    let vectors: Vec<Vector> = (0..1024).map(|_| Vector::of(&mebibyte)).collect();
    let mut written = 0;
    let file = wasi::open(3, b"file", false, wasi::CREATE, wasi::WRITE).expect("an empty folder takes a file");
    // SAFETY: the vectors and the number are valid for the call.
    let errno = unsafe { wasi::fd_write(file, vectors.as_ptr(), 1024, &raw mut written) };
    println!("errno {errno}, {written} bytes");
    Some(0)
}

/// Times that no calendar has, given to a file and asked for.
pub fn far_times() -> Ends {
    let file = wasi::open(3, b"file", false, wasi::CREATE, wasi::WRITE).expect("an empty folder takes a file");
    let mut taken = 0;
    for time in [0, 1, i64::MAX, -1, i64::MIN, 1 << 62, 253_402_300_800_000_000] {
        // SAFETY: it takes numbers only.
        taken += usize::from(unsafe { wasi::fd_filestat_set_times(file, time, time, 0b0101) } == 0);
        wasi::look_at(3, b"file", true).expect("the file is there whatever its times are");
    }
    println!("looked at 7 times, of which some were taken: {}", taken > 0);
    Some(0)
}

/// Descriptors under the numbers of others: the folder's own, the streams', their own.
pub fn renumber() -> Ends {
    let file =
        |name: &[u8]| wasi::open(3, name, false, wasi::CREATE, wasi::WRITE).expect("there is room for some files");
    let first = file(b"first");
    for _ in 0..20_000 {
        let second = file(b"second");
        // SAFETY: it takes numbers only. Each time what was `first` has to go.
        let errno = unsafe { wasi::fd_renumber(second, first) };
        assert_eq!(errno, 0, "a file takes the number of another");
    }
    println!("written {}", wasi::write_at(first, b"still here", 0).is_ok());
    // SAFETY: it takes numbers only.
    let itself = unsafe { wasi::fd_renumber(first, first) };
    println!("itself {}", itself == 0);
    // SAFETY: it takes numbers only. What becomes of the folder doesn't matter, as long as nothing is gained.
    let _ = unsafe { wasi::fd_renumber(first, 3) };
    let reached = [3, first].into_iter().filter(|fd| wasi::open(*fd, b"../etc", true, 0, wasi::READ).is_ok()).count();
    println!("reached {reached}");
    Some(i32::from(reached > 0))
}
