//! The way out of a worker: frames gathered and sent in as few writes as possible.
//!
//! Most attempts are over before anybody could look, so their start, output and end leave in one
//! write. What waits for more than [`GATHER`] is sent by a thread of its own, so that a long attempt
//! is seen to run and its output to come. A pool that doesn't read holds the guest back.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::Thread;
use std::time::Duration;

use wasmbatch_executor::OutputStream;
use wasmbatch_executor::frame::{Bytes, FromWorker, MAX_FROM_WORKER, encode};
use wasmbatch_jail::socket;

/// Longest that a frame waits for company.
const GATHER: Duration = Duration::from_millis(20);
/// Rounds without anything to send after which the thread sleeps until it is woken.
const QUIET_ROUNDS: u32 = 50;
/// Most output in one frame.
const OUTPUT_FRAME: usize = 32 * 1024;
/// Gathered frames are sent when they are more than this.
const ENOUGH: usize = 60 * 1024;

/// The sending half of a worker's socket.
#[derive(Debug, Clone)]
pub(crate) struct Channel(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    socket: Arc<OwnedFd>,
    gathered: Mutex<Gathered>,
    sender_sleeps: AtomicBool,
    sender: std::sync::OnceLock<Thread>,
}

#[derive(Debug)]
struct Gathered {
    frames: Vec<u8>,
    /// Output that is no frame yet.
    output: Vec<u8>,
    stream: OutputStream,
    /// Bytes of output since they were last asked for.
    written: u64,
}

impl Channel {
    /// Starts the thread too.
    pub(crate) fn start(socket: Arc<OwnedFd>) -> std::io::Result<Self> {
        let gathered = Gathered {
            frames: Vec::with_capacity(2 * ENOUGH),
            output: Vec::with_capacity(OUTPUT_FRAME),
            stream: OutputStream::Stdout,
            written: 0,
        };
        let channel = Self(Arc::new(Shared {
            socket,
            gathered: Mutex::new(gathered),
            sender_sleeps: AtomicBool::new(false),
            sender: std::sync::OnceLock::new(),
        }));
        let for_thread = channel.clone();
        let thread = std::thread::Builder::new().name("sender".to_owned()).spawn(move || for_thread.send_late())?;
        // This is the only place that sets it.
        let _ = channel.0.sender.set(thread.thread().clone());
        Ok(channel)
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.0.gathered.lock().expect("no holder of this lock panics")
    }

    /// Adds a frame; it leaves soon.
    pub(crate) fn gather(&self, frame: &FromWorker<'_>) {
        let mut gathered = self.lock();
        gathered.add(frame);
        drop(gathered);
        self.wake();
    }

    /// Adds a frame and sends all that was gathered.
    pub(crate) fn send(&self, frame: &FromWorker<'_>) {
        let mut gathered = self.lock();
        gathered.add(frame);
        self.send_gathered(&mut gathered);
    }

    /// Bytes of output since this was called last.
    pub(crate) fn take_written(&self) -> u64 {
        std::mem::take(&mut self.lock().written)
    }

    /// Adds output; blocks while the pool doesn't read.
    pub(crate) fn output(&self, stream: OutputStream, bytes: &[u8]) {
        let mut gathered = self.lock();
        gathered.written = gathered.written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if gathered.stream != stream {
            gathered.frame_output();
            gathered.stream = stream;
        }
        for chunk in bytes.chunks(OUTPUT_FRAME) {
            if gathered.output.len() + chunk.len() > OUTPUT_FRAME {
                gathered.frame_output();
            }
            if gathered.frames.len() > ENOUGH {
                self.send_gathered(&mut gathered);
            }
            gathered.output.extend_from_slice(chunk);
        }
        drop(gathered);
        self.wake();
    }

    fn send_gathered(&self, gathered: &mut Gathered) {
        gathered.frame_output();
        if gathered.frames.is_empty() {
            return;
        }
        if socket::send(self.0.socket.as_fd(), &gathered.frames, &[]).is_err() {
            // The pool is gone, and with it every reason to be here.
            std::process::exit(0);
        }
        gathered.frames.clear();
    }

    fn wake(&self) {
        if self.0.sender_sleeps.load(Ordering::SeqCst)
            && self.0.sender_sleeps.swap(false, Ordering::SeqCst)
            && let Some(sender) = self.0.sender.get()
        {
            sender.unpark();
        }
    }

    fn send_late(&self) {
        let mut quiet = 0;
        loop {
            if quiet < QUIET_ROUNDS {
                std::thread::park_timeout(GATHER);
            } else {
                self.0.sender_sleeps.store(true, Ordering::SeqCst);
                // Looked at after the flag is up: whoever added before will not wake us.
                if self.lock().is_empty() {
                    std::thread::park();
                }
                quiet = 0;
                continue;
            }
            let mut gathered = self.lock();
            if gathered.is_empty() {
                quiet += 1;
            } else {
                quiet = 0;
                self.send_gathered(&mut gathered);
            }
        }
    }
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.output.is_empty()
    }

    fn add(&mut self, frame: &FromWorker<'_>) {
        self.frame_output();
        encode(frame, MAX_FROM_WORKER, &mut self.frames).expect("our own frames are short");
    }

    fn frame_output(&mut self) {
        if !self.output.is_empty() {
            let frame = FromWorker::Output { stream: self.stream, bytes: Bytes(&self.output) };
            encode(&frame, MAX_FROM_WORKER, &mut self.frames).expect("output frames are short");
            self.output.clear();
        }
    }
}
