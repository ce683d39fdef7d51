//! Durable state: one redb file of versioned rows, and log segments beside it.
//!
//! The only crate that knows redb. It turns [`wasmbatch_core::Change`]s into rows in one
//! transaction with one fsync, reads them back as domain types, and holds what jobs wrote. It
//! deliberately knows no rule of the domain; it only refuses writes that contradict a row (a
//! terminal status never changes, an index entry is where the machine thinks it is).
//!
//! Every commit uses redb's quick repair, so that opening after kill -9 takes milliseconds.
//! A released layout, key or table name is never reused: rows begin with their version, and
//! `tables.rs` is the one list of tables.

pub mod logs;

mod entities;
mod migrate;
mod purge;
mod read;
mod rows;
mod tables;
mod write;

use std::path::Path;

use redb::{Database, ReadableDatabase as _, ReadableTable as _};

pub use entities::{ConsumableJobsFilter, ServiceJobFilter, ServiceJobsPage};
pub use read::{ChildrenPage, DefinitionFilter, JobCursor, JobFilter, JobsPage, JobsQuery, Snapshot};
pub use write::{Transaction, WriteError};

/// The layout this build writes. Format 1 had no table of finished jobs; it is brought up to date.
const FORMAT: u8 = 2;
/// redb's page cache. Its default of 1 GiB is far too much for a small node.
const CACHE_BYTES: usize = 64 << 20;

/// The database.
#[derive(Debug)]
pub struct Store {
    database: Database,
}

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("another process uses this data folder")]
    InUse,
    /// It was written by a newer version.
    #[error("the data folder has format {found}; this version reads {FORMAT}")]
    Format {
        /// What is in the file.
        found: u8,
    },
    /// redb failed.
    #[error("the database could not be opened")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The store could not be read: an I/O error, or a row that this version can't read.
#[derive(Debug, thiserror::Error)]
#[error("the store could not be read")]
pub struct ReadError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl ReadError {
    pub(crate) fn new(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(source))
    }
}

/// How often and after what pause a database in use is tried again: two seconds in all.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

impl Store {
    /// Opens the database at `path`, creating it where there is none.
    ///
    /// # Errors
    /// It is in use and stays so for two seconds, of another format, or can't be read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if !path.exists() {
            create(path)?;
        }
        Self::open_file(path)
    }

    fn open_file(path: &Path) -> Result<Self, OpenError> {
        let mut tries = 0;
        let database = loop {
            match Database::builder().set_cache_size(CACHE_BYTES).create(path) {
                Ok(database) => break database,
                // A process that was killed a moment ago may have been beginning another, which has
                // its open files until it has ended too.
                Err(redb::DatabaseError::DatabaseAlreadyOpen) if tries < LOCK_TRIES => {
                    tries += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(redb::DatabaseError::DatabaseAlreadyOpen) => return Err(OpenError::InUse),
                Err(other) => return Err(OpenError::Database(Box::new(other))),
            }
        };
        let store = Self { database };
        store.check_format()?;
        Ok(store)
    }

    /// A store on a storage of the caller's, for tests that make it fail.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_backend(backend: impl redb::StorageBackend) -> Result<Self, OpenError> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(backend)
            .map_err(|error| OpenError::Database(Box::new(error)))?;
        let store = Self { database };
        store.check_format()?;
        Ok(store)
    }

    fn check_format(&self) -> Result<(), OpenError> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| OpenError::Database(error);
        let mut transaction = self.database.begin_write().map_err(|e| failed(Box::new(e)))?;
        transaction.set_quick_repair(true);
        {
            let mut meta = transaction.open_table(tables::META).map_err(|e| failed(Box::new(e)))?;
            let found = meta
                .get(tables::META_FORMAT)
                .map_err(|e| failed(Box::new(e)))?
                .map(|row| row.value().first().copied().unwrap_or_default());
            match found {
                Some(FORMAT) => return Ok(()),
                Some(1) | None => {
                    meta.insert(tables::META_FORMAT, [FORMAT].as_slice()).map_err(|e| failed(Box::new(e)))?;
                }
                Some(found) => return Err(OpenError::Format { found }),
            }
        }
        tables::create_all(&transaction).map_err(|e| failed(Box::new(e)))?;
        migrate::finished_jobs(&transaction).map_err(|e| failed(Box::new(e)))?;
        transaction.commit().map_err(|e| failed(Box::new(e)))
    }

    /// Runs `work` in a write transaction and commits it with one fsync. There is one writer; a
    /// second call waits.
    ///
    /// # Errors
    /// The transaction could not be written, or `work` failed; then nothing of it is kept.
    pub fn write<R, E: From<WriteError>>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut transaction = self.database.begin_write().map_err(WriteError::new)?;
        transaction.set_quick_repair(true);
        let result = {
            let mut tables = Transaction::open(&transaction)?;
            work(&mut tables)?
        };
        transaction.commit().map_err(WriteError::new)?;
        Ok(result)
    }

    /// A consistent view of what is committed now. It never waits for the writer.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn snapshot(&self) -> Result<Snapshot, ReadError> {
        Snapshot::open(&self.database.begin_read().map_err(ReadError::new)?)
    }
}

/// Makes the file under another name and moves it into place whole: a crash half-way through redb's
/// own creation leaves a file that redb refuses for good.
fn create(path: &Path) -> Result<(), OpenError> {
    let failed = |error: std::io::Error| OpenError::Database(Box::new(error));
    let unfinished = path.with_extension("new");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    drop(Store::open_file(&unfinished)?);
    std::fs::rename(&unfinished, path).map_err(failed)?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

impl From<WriteError> for OpenError {
    fn from(error: WriteError) -> Self {
        Self::Database(Box::new(error))
    }
}
