//! What a worker writes to its stderr, bounded without anybody reading it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

/// Most of a worker's stderr that is kept. Guests never write there: this is for our own panics.
const KEPT_BYTES: u16 = 16 * 1024;

/// Anonymous memory of fixed size: a write past its end fails in the worker.
#[derive(Debug)]
pub(crate) struct StderrNote(File);

impl StderrNote {
    pub(crate) fn new() -> io::Result<Self> {
        let memory = memfd_create("worker-stderr", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&memory, KEPT_BYTES.into())?;
        fcntl_add_seals(&memory, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(Self(File::from(memory)))
    }

    /// What the worker gets as its stderr.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// What was written so far, without what isn't text.
    pub(crate) fn text(&self) -> String {
        let mut bytes = vec![0; KEPT_BYTES.into()];
        let read = self.0.read_at(&mut bytes, 0).unwrap_or(0);
        bytes.truncate(read);
        let written = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..written]).chars().filter(|c| !c.is_control() || *c == '\n').collect()
    }
}
