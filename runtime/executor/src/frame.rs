//! Frames between the pool and a worker: a length of four bytes, little endian, then postcard.
//!
//! Both directions are bounded before anything is allocated, and whatever does not decode in full
//! is refused. Descriptors travel beside the first byte of a frame, towards the worker only.

use std::io;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::spec::{EngineProfile, ModuleKind, NetworkAccess, OutputStream};

/// Longest frame to a worker: arguments and environment of an attempt.
pub const MAX_TO_WORKER: usize = 4 * 1024 * 1024;
/// Longest frame from a worker: one output and its envelope.
pub const MAX_FROM_WORKER: usize = 96 * 1024;
/// Most output in one frame.
pub const MAX_OUTPUT: usize = 64 * 1024;
/// Longest text of a reason.
pub const MAX_REASON: usize = 1024;
/// Programs a worker keeps loaded. The pool decides which: see [`Run::forget`].
pub const LOADED_PROGRAMS: usize = 16;
/// Changes when a frame does; part of [`FromWorker::Hello`].
pub const PROTOCOL: u32 = 2;

const HEADER: usize = 4;

/// What the pool asks of a worker.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker<'a> {
    /// First of all frames: what the worker is for. Descriptors: the host folders of the one attempt
    /// that it will run, if it has any.
    #[serde(borrow)]
    Begin(Begin<'a>),
    /// Check and compile the module of the first descriptor into the file of the second.
    Compile,
    /// Run a program.
    #[serde(borrow)]
    Run(Run<'a>),
}

/// What a worker is for, known before its jail closes and never changed afterwards.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin<'a> {
    /// What it will be asked.
    pub purpose: Purpose,
    /// The engine that it makes.
    pub profile: EngineProfile,
    /// What its guests may reach.
    pub network: NetworkAccess,
    /// Where its scratch folder comes from; a compiler has none.
    #[serde(borrow)]
    pub scratch: Option<ScratchSource<'a>>,
    /// The user and group that it becomes, unless it already is who it shall be.
    pub identity: Option<u32>,
    /// The namespaces that it was born into.
    pub namespaces: BornInto,
    /// Host folders that come with this frame, in the order in which [`FolderSource::Given`] counts,
    /// and whether each may only be read.
    pub read_only_folders: Vec<bool>,
}

/// The namespaces that a worker was born into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BornInto {
    /// The host's.
    Host,
    /// Its own, made by a privileged pool.
    Privileged,
    /// Its own, below a user namespace.
    Unprivileged,
}

/// What a worker will be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// To compile one module.
    Compile,
    /// To run attempts.
    Run,
}

/// Where a scratch folder comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScratchSource<'a> {
    /// The worker mounts memory.
    Memory {
        /// Most bytes.
        bytes: u64,
        /// Most files and folders.
        inodes: u64,
    },
    /// The worker mounts this block device, which holds an empty ext4.
    Device {
        /// Its path on the host.
        path: &'a str,
    },
    /// Neither is possible on this host: the folder comes as the last descriptor of the frame.
    Folder,
}

/// One attempt, as its worker sees it. Descriptors: the compiled program if it is attached.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run<'a> {
    /// SHA-256 of the program's source, the name by which the worker keeps it loaded.
    pub program: [u8; 32],
    /// What it is.
    pub kind: ModuleKind,
    /// Whether it comes with this frame; if not, the worker has it loaded.
    pub attached: bool,
    /// A loaded program to forget first.
    pub forget: Option<[u8; 32]>,
    /// The whole argument vector.
    #[serde(borrow)]
    pub arguments: Vec<&'a str>,
    /// The whole environment.
    #[serde(borrow)]
    pub environment: Vec<(&'a str, &'a str)>,
    /// Bound on all linear memory together.
    pub memory_limit_bytes: u64,
    /// Fuel, for an engine that counts it.
    pub fuel: Option<u64>,
    /// Whether the scratch folder may only be read.
    pub read_only_root: bool,
    /// Folders beside scratch.
    #[serde(borrow)]
    pub folders: Vec<Folder<'a>>,
}

/// One folder of an attempt.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder<'a> {
    /// Where the guest sees it; absolute and without a trailing slash, except `/` itself.
    pub path: &'a str,
    /// Whether it may only be read.
    pub read_only: bool,
    /// What is there.
    pub source: FolderSource,
}

/// What a folder of an attempt shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FolderSource {
    /// A descriptor that came with [`Begin`], by its place there.
    Given(u32),
    /// A new empty folder, in the scratch folder's file system and gone after the attempt.
    Empty,
}

/// What a worker says. All of it is hostile input to the pool.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker<'a> {
    /// First of all frames.
    Hello {
        /// [`PROTOCOL`] of the worker.
        protocol: u32,
        /// Compiled programs of engines with the same key are interchangeable. The key of the profile
        /// that the worker was begun with.
        engine: [u8; 16],
        /// The walls that it put up around itself.
        #[serde(borrow)]
        walls: Vec<WallReport<'a>>,
    },
    /// Answer to [`ToWorker::Compile`]: the file is written.
    Compiled {
        /// What the module is.
        kind: ModuleKind,
    },
    /// Answer to [`ToWorker::Compile`]: the module is at fault.
    CompileFailed {
        /// How.
        reason: &'a str,
    },
    /// The program is about to run.
    Started,
    /// It wrote something.
    Output {
        /// Where to.
        stream: OutputStream,
        /// What; 1 to [`MAX_OUTPUT`] bytes.
        #[serde(borrow)]
        bytes: Bytes<'a>,
    },
    /// The attempt is over.
    Ended {
        /// How.
        #[serde(borrow)]
        ending: WorkerEnding<'a>,
        /// The scratch folder is empty again and the worker waits for the next attempt. If not, it
        /// must be replaced.
        reusable: bool,
        /// What the attempt used, as far as only the worker knows.
        usage: GuestUsage,
    },
}

/// One wall, as a worker found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallReport<'a> {
    /// Its number in `wasmbatch_jail::WALLS`.
    pub wall: u8,
    /// Whether it stands.
    pub stands: bool,
    /// What it is made of, or why it doesn't stand.
    pub detail: &'a str,
}

/// What a guest used, as its worker counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GuestUsage {
    /// Most bytes of linear memory at any time.
    pub peak_memory_bytes: u64,
    /// Fuel used, where it was counted.
    pub fuel: Option<u64>,
    /// Bytes read from files. Sockets are not counted.
    pub read_bytes: u64,
    /// Bytes written to files and outputs. Sockets are not counted.
    pub written_bytes: u64,
}

/// How an attempt ended, as its worker saw it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerEnding<'a> {
    /// By itself.
    Exited {
        /// As the plan's table says.
        exit_code: u8,
        /// Only where the code didn't fit.
        reason: Option<&'a str>,
    },
    /// A trap, or out of memory.
    Failed {
        /// As the plan's table says.
        exit_code: u8,
        /// Likewise.
        reason: &'a str,
    },
    /// It never started.
    CouldNotStart {
        /// Why.
        reason: &'a str,
    },
}

/// Bytes that are copied as a whole, which serde doesn't do for slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes<'a>(pub &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a [u8]>::deserialize(deserializer).map(Self)
    }
}

/// Why a frame isn't read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Its length says more than may be.
    #[error("a frame of {0} bytes is too long")]
    TooLong(usize),
    /// The peer went away inside it.
    #[error("the peer went away inside a frame")]
    Truncated,
    /// It doesn't decode.
    #[error("a frame does not decode")]
    Malformed(#[source] postcard::Error),
    /// It decodes and leaves bytes over.
    #[error("a frame has bytes left over")]
    LeftOver,
    /// The socket failed.
    #[error("the socket failed")]
    Io(#[source] io::Error),
}

/// Appends a frame to `buffer`.
///
/// # Errors
/// It would be longer than `most`; the buffer is as before.
pub fn encode<T: Serialize>(frame: &T, most: usize, buffer: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER]);
    // The only error of serializing these types into memory would be a bug of theirs.
    let mut encoded = postcard::to_extend(frame, std::mem::take(buffer)).map_err(FrameError::Malformed)?;
    let length = encoded.len() - start - HEADER;
    let header = u32::try_from(length).ok().filter(|_| length <= most);
    match header {
        Some(header) => encoded[start..start + HEADER].copy_from_slice(&header.to_le_bytes()),
        None => encoded.truncate(start),
    }
    *buffer = encoded;
    header.map(|_| ()).ok_or(FrameError::TooLong(length))
}

/// Decodes the content of one frame, all of it.
///
/// # Errors
/// It is malformed.
pub fn decode<'a, T: Deserialize<'a>>(content: &'a [u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(content) {
        Ok((frame, [])) => Ok(frame),
        Ok(_) => Err(FrameError::LeftOver),
        Err(error) => Err(FrameError::Malformed(error)),
    }
}

/// Cuts a stream of bytes into frames.
#[derive(Debug)]
pub struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    most: usize,
}

impl FrameReader {
    /// A reader of frames of at most `most` bytes.
    pub fn new(most: usize) -> Self {
        Self { buffer: vec![0; 64 * 1024], start: 0, end: 0, most }
    }

    /// The content of the next frame, or `None` when the stream ends between two. `read` is called
    /// for more bytes as often as needed and says 0 at the end. After an error from `read` this may
    /// be called again.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn next(&mut self, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> Result<Option<&[u8]>, FrameError> {
        loop {
            let wanted = match self.buffer[self.start..self.end].first_chunk::<HEADER>() {
                None => HEADER,
                Some(header) => {
                    let length = u32::from_le_bytes(*header);
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    if length > self.most {
                        return Err(FrameError::TooLong(length));
                    }
                    HEADER + length
                }
            };
            if wanted > HEADER && self.end - self.start >= wanted {
                let content = self.start + HEADER..self.start + wanted;
                self.start = content.end;
                return Ok(Some(&self.buffer[content]));
            }
            if wanted == HEADER && self.end - self.start >= HEADER {
                // No frame of ours is empty, and an empty one must not be a way to spin.
                return Err(FrameError::LeftOver);
            }
            self.make_room(wanted);
            match read(&mut self.buffer[self.end..]).map_err(FrameError::Io)? {
                0 if self.start == self.end => return Ok(None),
                0 => return Err(FrameError::Truncated),
                received => self.end += received,
            }
        }
    }

    fn make_room(&mut self, wanted: usize) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.start + wanted > self.buffer.len() || self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if wanted > self.buffer.len() {
            self.buffer.resize(wanted, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_from<'a>(mut source: &'a [u8], step: usize) -> impl FnMut(&mut [u8]) -> io::Result<usize> + 'a {
        move |buffer| {
            let size = step.min(buffer.len()).min(source.len());
            buffer[..size].copy_from_slice(&source[..size]);
            source = &source[size..];
            Ok(size)
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000), step in 1..300_usize) {
            let mut reader = FrameReader::new(MAX_FROM_WORKER);
            let mut read = read_from(&bytes, step);
            while let Ok(Some(content)) = reader.next(&mut read) {
                let _ = decode::<FromWorker<'_>>(content);
                let _ = decode::<ToWorker<'_>>(content);
            }
        }

        #[test]
        fn arbitrary_content_never_panics(content in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode::<FromWorker<'_>>(&content);
            let _ = decode::<ToWorker<'_>>(&content);
        }

        #[test]
        fn frames_arrive_as_they_were_sent(
            outputs in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..5000), 1..40),
            step in 1..100_000_usize,
        ) {
            let mut stream = Vec::new();
            for bytes in &outputs {
                let frame = FromWorker::Output { stream: OutputStream::Stderr, bytes: Bytes(bytes) };
                encode(&frame, MAX_FROM_WORKER, &mut stream).unwrap();
            }
            let mut reader = FrameReader::new(MAX_FROM_WORKER);
            let mut read = read_from(&stream, step);
            for bytes in &outputs {
                let content = reader.next(&mut read).unwrap().unwrap();
                let expected = FromWorker::Output { stream: OutputStream::Stderr, bytes: Bytes(bytes) };
                prop_assert_eq!(decode::<FromWorker<'_>>(content).unwrap(), expected);
            }
            prop_assert!(reader.next(&mut read).unwrap().is_none());
        }
    }

    #[test]
    fn a_frame_is_bounded_on_both_sides() {
        let long = vec![7; MAX_FROM_WORKER];
        let frame = FromWorker::Output { stream: OutputStream::Stdout, bytes: Bytes(&long) };
        let mut buffer = vec![1, 2, 3];
        assert!(matches!(encode(&frame, MAX_FROM_WORKER, &mut buffer), Err(FrameError::TooLong(_))));
        assert_eq!(buffer, [1, 2, 3]);
        let header = u32::try_from(MAX_FROM_WORKER + 1).unwrap().to_le_bytes();
        let mut reader = FrameReader::new(MAX_FROM_WORKER);
        let refused = reader.next(read_from(&header, 4)).map(|_| ());
        assert!(matches!(refused, Err(FrameError::TooLong(_))));
    }

    #[test]
    fn empty_truncated_and_overlong_contents_are_refused() {
        let mut reader = FrameReader::new(MAX_FROM_WORKER);
        assert!(matches!(reader.next(read_from(&[0; 8], 8)).map(|_| ()), Err(FrameError::LeftOver)));
        let mut stream = Vec::new();
        encode(&FromWorker::Started, MAX_FROM_WORKER, &mut stream).unwrap();
        let mut reader = FrameReader::new(MAX_FROM_WORKER);
        let cut = reader.next(read_from(&stream[..4], 9)).map(|_| ());
        assert!(matches!(cut, Err(FrameError::Truncated)));
        stream.push(0);
        assert!(matches!(decode::<FromWorker<'_>>(&stream[4..]), Err(FrameError::LeftOver)));
    }
}
