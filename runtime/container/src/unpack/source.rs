//! An archive's bytes: decompressed, counted, hashed.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use zstd::stream::read::Decoder;

/// Memory that a zstd stream may ask for, as a power of two: what `zstd` itself takes without being
/// told to take more.
const MOST_ZSTD_WINDOW: u32 = 27;

type Peeked = Chain<Cursor<Vec<u8>>, File>;

/// The decompressed bytes of an archive.
pub(crate) struct Source {
    bytes: Box<dyn Read>,
    left: u64,
    hash: Rc<RefCell<Sha256>>,
}

impl Source {
    /// Finds out by its first bytes how an archive is compressed.
    ///
    /// # Errors
    /// It can't be read, or is compressed in a way that images don't have.
    pub(crate) fn new(mut archive: File, most_bytes: u64) -> io::Result<Self> {
        let mut first = Vec::new();
        (&mut archive).take(6).read_to_end(&mut first)?;
        let refused = |what: &str| Err(io::Error::other(format!("the archive is compressed with {what}")));
        let whole = |first: Vec<u8>| -> Peeked { Cursor::new(first).chain(archive) };
        let bytes: Box<dyn Read> = match first.as_slice() {
            [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, whole(first)))),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let mut decoder = Decoder::new(whole(first))?;
                decoder.window_log_max(MOST_ZSTD_WINDOW)?;
                Box::new(decoder)
            }
            [b'B', b'Z', b'h', ..] => return refused("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => return refused("xz"),
            _ => Box::new(BufReader::with_capacity(1 << 16, whole(first))),
        };
        Ok(Self { bytes, left: most_bytes, hash: Rc::default() })
    }

    /// Knows the hash once all was read.
    pub(crate) fn hash(&self) -> Rc<RefCell<Sha256>> {
        Rc::clone(&self.hash)
    }
}

/// SHA-256 of all that was read.
pub(crate) fn finished(hash: &Rc<RefCell<Sha256>>) -> [u8; 32] {
    hash.borrow().clone().finalize().into()
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other("the archive is larger than an image may be"))?;
        self.hash.borrow_mut().update(&buffer[..read]);
        Ok(read)
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("left", &self.left).finish_non_exhaustive()
    }
}
