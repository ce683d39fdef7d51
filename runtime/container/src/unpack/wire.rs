//! What the store and its unpackers say to each other: one message there, one back, each JSON behind
//! its length.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wasmbatch_jail::socket;

/// Most bytes of a message.
const MOST_MESSAGE: u32 = 4 * 1024 * 1024;
/// The archive.
pub(crate) const ARCHIVE: i32 = 4;
/// The mount of the target folder, where the orders have no path for it.
pub(crate) const TARGET: i32 = 5;

/// What to unpack and how.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) form: Form,
    /// Where to unpack, if not in the mount that was passed.
    pub(crate) target: Option<PathBuf>,
    /// Most bytes that the archive may have, decompressed.
    pub(crate) most_bytes: u64,
    /// Most files, folders and links that may come to be.
    pub(crate) most_entries: u64,
    /// How many users there are, from 0 on: 1 means that owners aren't kept.
    pub(crate) users: u32,
}

/// What an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Form {
    /// A layer: with owners, modes and deletions.
    Layer,
    /// Files that only the store reads.
    Files,
    /// None: what is in the folder shall go. Only who can make owners can remove what they own.
    Nothing,
}

/// How it went.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    Unpacked(Unpacked),
    Refused(String),
}

/// What was unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unpacked {
    /// SHA-256 of the archive, decompressed.
    pub(crate) hash: [u8; 32],
    /// What its files have, bytes.
    pub(crate) bytes: u64,
    /// Files, folders and links.
    pub(crate) entries: u64,
    /// Folders that the archive only implies: what they are like is up to the layers below.
    pub(crate) implied: Vec<String>,
}

pub(crate) fn send(socket: BorrowedFd<'_>, message: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).ok().filter(|length| *length <= MOST_MESSAGE);
    let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    socket::send(socket, &length.to_be_bytes(), &[])?;
    socket::send(socket, &text, &[])
}

/// `None` when the peer is gone without a word.
pub(crate) fn receive<M: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<M>> {
    let mut length = [0; 4];
    if !fill(socket, &mut length)? {
        return Ok(None);
    }
    let length = u32::from_be_bytes(length);
    if length > MOST_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    if !fill(socket, &mut text)? {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&text)?))
}

fn fill(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match socket::receive_bytes(socket, &mut buffer[filled..])? {
            0 => return Ok(false),
            read => filled += read,
        }
    }
    Ok(true)
}
