//! Descriptors a worker finds at known numbers when it begins.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// The socket to the pool.
pub const SOCKET: RawFd = 3;

static CLAIMED: AtomicU32 = AtomicU32::new(0);

/// Takes ownership of the inherited descriptor `number`, 3 to 31: once for each number, in a process
/// that was spawned with it by a [`Spawner`](crate::Spawner), and before it opens anything itself.
///
/// # Errors
/// It was claimed already, or nothing is open there.
pub fn claim(number: RawFd) -> io::Result<OwnedFd> {
    let bit = u32::try_from(number).ok().filter(|bit| (3..32).contains(bit));
    let Some(bit) = bit else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mask = 1 << bit;
    if CLAIMED.fetch_or(mask, Ordering::SeqCst) & mask != 0 {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    #[expect(unsafe_code, reason = "an inherited descriptor has no owner in this process until now")]
    // SAFETY: the parent put it there for us, no safe code made it, and it is claimed only once.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    match rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC) {
        Ok(()) => Ok(descriptor),
        Err(error) => {
            // Nothing is open there, so there is nothing to close either.
            std::mem::forget(descriptor);
            Err(error.into())
        }
    }
}

/// Sees to it that no descriptor above 2 that this process inherited reaches a child by accident.
pub(crate) fn close_on_exec() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse::<RawFd>().ok());
        let Some(number) = number.filter(|number| *number > 2) else { continue };
        #[expect(unsafe_code, reason = "inherited descriptors have no owner to borrow from")]
        // SAFETY: the number was open a moment ago; should its owner close it meanwhile, the call
        // fails or sets a flag that everything of ours has set anyway.
        let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
        // The listing's own descriptor is among them and may be gone.
        let _ = rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC);
    }
    Ok(())
}

/// Makes `directory` the working folder of this process, the only way in which the WASI host takes
/// a folder that is known by descriptor.
///
/// # Errors
/// Those of fchdir(2).
pub fn enter(directory: impl std::os::fd::AsFd) -> io::Result<()> {
    Ok(rustix::process::fchdir(directory)?)
}

/// The path by which this process can open its own descriptor anew.
pub fn reopen_path(descriptor: impl std::os::fd::AsFd) -> std::path::PathBuf {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd()).into()
}
