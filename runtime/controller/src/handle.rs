//! All that the API server has of the controller.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{broadcast, oneshot};
use uuid::Uuid;
use wasmbatch_core::job::JobStatus;
use wasmbatch_core::{Command, Digest, JobId, Name, Rejection, Reply, Resources, Timestamp, Vcpus};
use wasmbatch_executor::{Executor, NetworkAccess, Quarantined, Wall};
use wasmbatch_store::Store;
use wasmbatch_store::logs::LogStore;

use crate::ReadError;
use crate::clock::Clock;
use crate::figures::Figures;
use crate::inbox::{ClientCommand, Inbox, Refused};
use crate::modules::{ModuleState, ModuleUpload, Modules, UploadError};
use crate::reader::{LogReader, Reader};

/// A command was not done.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The client's mistake; Display is its message.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// More commands wait than may. Nothing was done.
    #[error("too many commands wait")]
    Busy,
    /// The node is going down. Nothing was done, unless the writer ended with the command in hand.
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// A job came to a status; sent after the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusEvent {
    /// Which job.
    pub job: JobId,
    /// What it came to.
    pub status: JobStatus,
}

/// What there is to know of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// What a lost host is called by.
    pub instance: String,
    /// vCPUs that jobs may hold.
    pub vcpus: Vcpus,
    /// Memory that jobs may hold, MiB.
    pub memory_mib: u64,
    /// GPUs that jobs may hold.
    pub gpus: u32,
    /// When it came up.
    pub started_at: Timestamp,
    /// Folders below which jobs may have host folders.
    pub allowed_mounts: Vec<PathBuf>,
    /// What jobs that ask for the network may reach of it.
    pub job_network: NetworkAccess,
}

/// A handle of the controller. Cheap to clone; good from any thread.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) store: Arc<Store>,
    pub(crate) logs: Arc<LogStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: broadcast::Sender<StatusEvent>,
    pub(crate) modules: Arc<Modules>,
    pub(crate) node: NodeFacts,
    pub(crate) figures: Arc<Figures>,
    pub(crate) executor: Arc<dyn Executor>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Handle {
    /// Does a command; resolves after the commit of its batch. Dropping the future doesn't undo
    /// the command.
    ///
    /// # Errors
    /// See [`ExecuteError`].
    pub async fn execute(&self, command: Command) -> Result<Reply, ExecuteError> {
        match command {
            Command::DeleteModule { name } => {
                let Shared { modules, store, .. } = &*self.shared;
                modules.delete(self, store, name).await.map(|()| Reply::Done)
            }
            other => self.submit_to_writer(other).await,
        }
    }

    pub(crate) async fn submit_to_writer(&self, command: Command) -> Result<Reply, ExecuteError> {
        let (reply, answer) = oneshot::channel();
        self.shared.inbox.command(ClientCommand { command, reply }).map_err(|refused| match refused {
            Refused::Full => ExecuteError::Busy,
            Refused::Closed => ExecuteError::ShuttingDown,
        })?;
        Ok(answer.await.map_err(|_| ExecuteError::ShuttingDown)??)
    }

    /// A new random job id.
    pub fn new_job_id(&self) -> JobId {
        JobId::new(Uuid::new_v4())
    }

    /// A new random UUID, hyphenated.
    pub fn new_uuid(&self) -> String {
        Uuid::new_v4().to_string()
    }

    /// The controller's clock.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// A snapshot of what is committed.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn reader(&self) -> Result<Reader, ReadError> {
        Reader::open(&self.shared.store)
    }

    /// What jobs wrote.
    pub fn logs(&self) -> LogReader {
        LogReader { store: Arc::clone(&self.shared.store), logs: Arc::clone(&self.shared.logs) }
    }

    /// What there is to know of this node.
    pub fn node(&self) -> NodeFacts {
        self.shared.node.clone()
    }

    /// The vCPUs that the attempts of a compute environment hold, as of the last commit.
    pub fn held_vcpus(&self, environment: &Name) -> Vcpus {
        self.shared.figures.held(environment)
    }

    /// What the attempts of all compute environments hold together, as of the last commit.
    pub fn held(&self) -> Resources {
        self.shared.figures.held_in_all()
    }

    /// The walls around workers on this host. May block.
    pub fn walls(&self) -> Vec<Wall> {
        self.shared.executor.walls()
    }

    /// Modules that are not run any more. May block.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.shared.executor.quarantined()
    }

    /// Lets a quarantined module run again; `false` when it isn't quarantined. Blocks.
    ///
    /// # Errors
    /// The note on disk can't be removed.
    pub fn release_quarantined(&self, digest: Digest) -> io::Result<bool> {
        let released = self.shared.executor.release(digest)?;
        if released {
            // It may have been refused for being quarantined.
            self.shared.modules.compile_soon(digest);
        }
        Ok(released)
    }

    /// Status changes from now on. The channel is bounded: a receiver that lags loses the oldest,
    /// is told so, and must read again.
    pub fn subscribe(&self) -> broadcast::Receiver<StatusEvent> {
        self.shared.events.subscribe()
    }

    /// Begins to upload a module.
    ///
    /// # Errors
    /// The data folder can't be written.
    pub async fn begin_module_upload(&self) -> Result<ModuleUpload, UploadError> {
        ModuleUpload::begin(self.clone(), Arc::clone(&self.shared.modules)).await
    }

    /// What is known of a module's compiled form.
    pub fn module_state(&self, digest: Digest) -> ModuleState {
        self.shared.modules.state(digest)
    }
}
