//! Uploaded modules: bytes under their digest in the data folder, compiled in the background.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use wasmbatch_core::{Command, Digest, Module, ModuleName};
use wasmbatch_executor::{Executor, ModuleKind, PrepareError};
use wasmbatch_store::Store;

use crate::handle::{ExecuteError, Handle};

/// Compilations that may wait; a module beyond that is compiled when it is first used.
const WAITING_COMPILATIONS: usize = 64;
/// Digests whose compile state is remembered.
const REMEMBERED: usize = 10_000;

/// What is known of a module's compiled form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleState {
    /// Not asked for since this node started; it may be in the cache.
    NotCompiled,
    /// Waits or is being compiled.
    Compiling,
    /// Starts at once.
    Ready {
        /// A component rather than a core module.
        component: bool,
        /// Size of the compiled form.
        compiled_bytes: u64,
        /// How long it took; `None` when it was in the cache.
        compile_millis: Option<u64>,
    },
    /// It will not run.
    Refused {
        /// Why, for its owner.
        reason: String,
    },
}

/// A module could not be uploaded.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The data folder can't be written.
    #[error("the module could not be written")]
    Io(#[source] io::Error),
    /// Its name could not be put in place.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
}

#[derive(Debug)]
pub(crate) struct Modules {
    blobs: PathBuf,
    temporary: PathBuf,
    states: Mutex<BTreeMap<Digest, ModuleState>>,
    /// Held while a name and its blob are put or deleted together.
    names: tokio::sync::Mutex<()>,
    /// `None` once the node goes down.
    compilations: Mutex<Option<SyncSender<Digest>>>,
}

impl Modules {
    /// The modules of a data folder. What half-finished uploads left is removed.
    pub(crate) fn open(data_dir: &Path) -> io::Result<(Self, Receiver<Digest>)> {
        let blobs = data_dir.join("modules").join("sha256");
        let temporary = data_dir.join("tmp");
        std::fs::create_dir_all(&blobs)?;
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary)?;
        }
        std::fs::create_dir_all(&temporary)?;
        let (compilations, receiver) = sync_channel(WAITING_COMPILATIONS);
        let states = Mutex::default();
        Ok((
            Self {
                blobs,
                temporary,
                states,
                names: tokio::sync::Mutex::new(()),
                compilations: Mutex::new(Some(compilations)),
            },
            receiver,
        ))
    }

    /// Where an upload of this name may lie for as long as it lasts.
    pub(crate) fn temporary_path(&self, name: &str) -> PathBuf {
        self.temporary.join(name)
    }

    pub(crate) fn state(&self, digest: Digest) -> ModuleState {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(&digest).cloned().unwrap_or(ModuleState::NotCompiled)
    }

    fn set_state(&self, digest: Digest, state: ModuleState) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if states.len() >= REMEMBERED && !states.contains_key(&digest) {
            states.pop_first();
        }
        states.insert(digest, state);
    }

    pub(crate) fn compile_soon(&self, digest: Digest) {
        self.set_state(digest, ModuleState::Compiling);
        let compilations = self.compilations.lock().unwrap_or_else(PoisonError::into_inner);
        if compilations.as_ref().is_none_or(|queue| queue.try_send(digest).is_err()) {
            self.set_state(digest, ModuleState::NotCompiled);
        }
    }

    /// Ends [`Modules::compile_in_background`] after what it has in hand.
    pub(crate) fn close(&self) {
        self.compilations.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Compiles what was uploaded, one after the other, until closed.
    pub(crate) fn compile_in_background<E: Executor + ?Sized>(&self, digests: &Receiver<Digest>, executor: &E) {
        for digest in digests {
            let state = match executor.prepare(digest) {
                Ok(prepared) => ModuleState::Ready {
                    component: prepared.kind == ModuleKind::Component,
                    compiled_bytes: prepared.compiled_bytes,
                    compile_millis: prepared
                        .compile_duration
                        .map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
                },
                Err(PrepareError::Rejected { reason }) => ModuleState::Refused { reason },
                Err(PrepareError::NotFound(_) | PrepareError::Unavailable { .. }) => ModuleState::NotCompiled,
                Err(PrepareError::ShuttingDown) => return,
            };
            self.set_state(digest, state);
        }
    }

    pub(crate) async fn delete(&self, handle: &Handle, store: &Store, name: ModuleName) -> Result<(), ExecuteError> {
        let _names = self.names.lock().await;
        let reply = handle.submit_to_writer(Command::DeleteModule { name }).await?;
        let wasmbatch_core::Reply::ModuleDeleted { digest } = reply else {
            return Ok(());
        };
        let still_named = store.snapshot().and_then(|snapshot| snapshot.modules(None, usize::MAX));
        match still_named {
            Ok(modules) if modules.iter().all(|module| module.digest != digest) => {
                let path = self.blobs.join(digest.hex());
                if let Err(error) = std::fs::remove_file(&path) {
                    tracing::warn!(%digest, %error, "the bytes of a deleted module stay behind");
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%digest, ?error, "the bytes of a deleted module stay behind")
            }
        }
        Ok(())
    }
}

/// An upload under way. Dropped before [`ModuleUpload::finish`], it leaves nothing.
#[derive(Debug)]
pub struct ModuleUpload {
    handle: Handle,
    modules: Arc<Modules>,
    file: tokio::fs::File,
    path: PathBuf,
    hasher: Sha256,
    size_bytes: u64,
}

impl ModuleUpload {
    pub(crate) async fn begin(handle: Handle, modules: Arc<Modules>) -> Result<Self, UploadError> {
        let path = modules.temporary.join(handle.new_uuid());
        let file = tokio::fs::File::create_new(&path).await.map_err(UploadError::Io)?;
        Ok(Self { handle, modules, file, path, hasher: Sha256::new(), size_bytes: 0 })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// The data folder can't be written.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), UploadError> {
        self.hasher.update(&chunk);
        self.size_bytes += chunk.len() as u64;
        self.file.write_all(&chunk).await.map_err(UploadError::Io)
    }

    /// Bytes so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Makes the bytes durable and gives them their name; compiling goes on in the background.
    ///
    /// # Errors
    /// The data folder can't be written, or the name can't be put.
    pub async fn finish(mut self, name: ModuleName) -> Result<Module, UploadError> {
        let digest = Digest::from_bytes(std::mem::take(&mut self.hasher).finalize().into());
        self.file.flush().await.map_err(UploadError::Io)?;
        self.file.sync_all().await.map_err(UploadError::Io)?;
        let modules = Arc::clone(&self.modules);
        let _names = modules.names.lock().await;
        let place = modules.blobs.join(digest.hex());
        tokio::fs::rename(&self.path, &place).await.map_err(UploadError::Io)?;
        let folder = tokio::fs::File::open(&modules.blobs).await.map_err(UploadError::Io)?;
        folder.sync_all().await.map_err(UploadError::Io)?;
        let uploaded_at = self.handle.now();
        let module = Module { name, digest, size_bytes: self.size_bytes, uploaded_at };
        self.handle.submit_to_writer(Command::PutModule(module.clone())).await?;
        modules.compile_soon(digest);
        Ok(module)
    }
}

impl Drop for ModuleUpload {
    fn drop(&mut self) {
        // Gone already when it was finished.
        drop(std::fs::remove_file(&self.path));
    }
}
