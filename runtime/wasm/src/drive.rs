//! The thread that runs guests, and the one that waits for what guests wait for.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// Stack of the thread that runs guests: a guest gets 512 KiB of it, the rest is the host's.
const STACK_BYTES: usize = 8 * 1024 * 1024;
/// Threads for what WASI may only do beside the guest: reads and writes of files that a component
/// begins without waiting, and looking up names.
const BLOCKING_THREADS: usize = 2;

/// The runtime behind WASI's clocks, sockets and streams. It has what it needs from the operating
/// system from its making on and takes no path later.
pub(crate) struct Driver(Runtime);

impl Driver {
    /// For guests.
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_THREADS).build()?;
        Ok(Self(runtime))
    }

    /// For a compiler, which waits for nothing and has fewer system calls.
    pub(crate) fn without_waiting() -> io::Result<Self> {
        Ok(Self(Builder::new_current_thread().build()?))
    }

    /// Runs `guests` on a thread of its own, with this runtime as its own one, until it is done.
    ///
    /// The calling thread drives the runtime meanwhile: a guest's thread that waits only sleeps, and
    /// one that doesn't wait never enters the runtime's scheduler.
    pub(crate) fn run<T: Send>(self, guests: impl FnOnce() -> T + Send) -> io::Result<thread::Result<T>> {
        let result = thread::scope(|scope| {
            let handle = self.0.handle();
            let (alive, ended) = oneshot::channel::<()>();
            let thread = thread::Builder::new().name("guest".to_owned()).stack_size(STACK_BYTES);
            let thread = thread.spawn_scoped(scope, move || {
                // Dropped at the end, also by a panic, which is what the other side waits for.
                let _alive = alive;
                let _inside = handle.enter();
                guests()
            })?;
            let _ = self.0.block_on(ended);
            Ok(thread.join())
        });
        // A read of a terminal may never end; nobody waits for it.
        self.0.shutdown_background();
        result
    }
}

/// Makes a runtime this thread's own one while `body` runs, for what never waits.
pub(crate) fn beside<T>(body: impl FnOnce() -> T) -> io::Result<T> {
    let driver = Driver::new()?;
    let _inside = driver.0.enter();
    Ok(body())
}
