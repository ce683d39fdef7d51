//! One blob, from a registry to a file: resumed where it broke off, and checked.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wasmbatch_core::Digest;

use super::error::PullError;
use super::manifest::Descriptor;
use super::reference::Reference;
use super::registry::{Blob, Client};

/// Tries in a row that bring less than this, bytes, before a download is given up.
const MOST_TRIES: u32 = 5;
const PROGRESS: u64 = 1 << 20;

/// A file whose bytes are known so far.
struct Partial {
    file: File,
    hash: Sha256,
    length: u64,
}

impl Partial {
    /// Opens what an earlier try left, if it isn't more than there should be.
    fn open(path: &Path, most: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut partial = Self { file, hash: Sha256::new(), length: 0 };
        if partial.file.metadata()?.len() > most {
            partial.restart()?;
        }
        let mut buffer = vec![0; 1 << 18];
        loop {
            match partial.file.read(&mut buffer)? {
                0 => return Ok(partial),
                read => {
                    partial.hash.update(&buffer[..read]);
                    partial.length += read as u64;
                }
            }
        }
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hash = Sha256::new();
        self.length = 0;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn digest(&self) -> Digest {
        Digest::from_bytes(self.hash.clone().finalize().into())
    }
}

/// Downloads a blob to `path`, going on from what is there. What is left there by a failure is the
/// beginning of the blob, as far as anybody can know.
///
/// # Errors
/// The registry fails, or what it gives isn't what was asked for.
pub(crate) async fn download(
    client: &Client,
    reference: &Reference,
    blob: &Descriptor,
    path: PathBuf,
    retry_delay: Duration,
) -> Result<PathBuf, PullError> {
    let stored = PullError::store("a download");
    let (opened, size) = (path.clone(), blob.size);
    let opened = tokio::task::spawn_blocking(move || Partial::open(&opened, size)).await;
    let mut partial = opened.map_err(|error| stored(io::Error::other(error)))?.map_err(&stored)?;
    let mut resumed = partial.length > 0;
    let mut tries = 0;
    loop {
        let before = partial.length;
        let outcome = match partial.length == blob.size {
            true => Ok(()),
            false => fetch(client, reference, blob, &mut partial).await,
        };
        match outcome {
            Ok(()) if partial.digest() == blob.digest => return Ok(path),
            Ok(()) => {
                let got = partial.digest();
                partial.restart().map_err(&stored)?;
                if !resumed {
                    // It is worth nothing to anybody.
                    let _ = std::fs::remove_file(&path);
                    let what = format!("blob of {}/{}", reference.registry, reference.repository);
                    return Err(PullError::Digest { what, expected: blob.digest, got });
                }
                resumed = false;
            }
            // It can't go on from there, for whatever reason.
            Err(PullError::Refused { status: 416, .. }) if partial.length > 0 => partial.restart().map_err(&stored)?,
            Err(error) if !error.is_unreachable() => {
                let _ = std::fs::remove_file(&path);
                return Err(error);
            }
            Err(error) => {
                tries = if partial.length >= before.saturating_add(PROGRESS) { 1 } else { tries + 1 };
                if tries >= MOST_TRIES {
                    return Err(error);
                }
                tracing::debug!(error = %error, blob = %blob.digest, "a download broke off, it goes on");
                resumed = true;
                tokio::time::sleep(retry_delay * (1 << (tries - 1))).await;
            }
        }
    }
}

/// Goes on with a download until its end or a failure.
async fn fetch(
    client: &Client,
    reference: &Reference,
    blob: &Descriptor,
    partial: &mut Partial,
) -> Result<(), PullError> {
    let stored = PullError::store("a download");
    let mut coming = client.blob(reference, blob.digest, partial.length).await?;
    if coming.offset != partial.length {
        partial.restart().map_err(&stored)?;
    }
    let what = || format!("blob {} of {}/{}", blob.digest, reference.registry, reference.repository);
    let size = |got| PullError::Size { what: what(), expected: blob.size, got };
    check_length(&coming, partial, blob, size)?;
    while let Some(chunk) = coming.chunk().await? {
        let length = partial.length.saturating_add(chunk.len() as u64);
        if length > blob.size {
            return Err(size(length));
        }
        partial.append(&chunk).map_err(&stored)?;
    }
    if partial.length < blob.size {
        let reason = format!("{} ended after {} of {} bytes", what(), partial.length, blob.size);
        return Err(PullError::Unreachable { registry: reference.address().to_owned(), reason });
    }
    Ok(())
}

fn check_length(
    coming: &Blob,
    partial: &Partial,
    blob: &Descriptor,
    size: impl Fn(u64) -> PullError,
) -> Result<(), PullError> {
    let Some(length) = coming.length() else { return Ok(()) };
    let all = partial.length.saturating_add(length);
    if all == blob.size { Ok(()) } else { Err(size(all)) }
}
