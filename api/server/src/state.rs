//! What handlers have: the controller, the options, and facts of the request.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use wasmbatch_controller::{ExecuteError, Handle, LogReader, ReadError, Reader};
use wasmbatch_core::{Command, Reply};

use crate::arn::Arns;
use crate::error::{ApiError, chain};
use crate::options::Options;

/// Shared by all requests; cheap to clone.
#[derive(Debug, Clone)]
pub struct ServerState {
    pub(crate) handle: Handle,
    pub(crate) options: Arc<Options>,
    /// A permit for each request being worked on.
    pub(crate) requests: Arc<Semaphore>,
    /// A permit for each request that waits for a job.
    pub(crate) waiters: Arc<Semaphore>,
    /// Turns true when the server shuts down: those who wait answer at once.
    pub(crate) draining: watch::Receiver<bool>,
}

impl ServerState {
    /// State for a router. Requests that wait answer at once when `draining` turns true.
    pub fn new(options: Options, handle: Handle, draining: watch::Receiver<bool>) -> Self {
        Self {
            handle,
            requests: Arc::new(Semaphore::new(options.limits.requests)),
            waiters: Arc::new(Semaphore::new(options.limits.waiters)),
            options: Arc::new(options),
            draining,
        }
    }
}

/// The machine answered a command with what belongs to another.
pub(crate) fn misanswered(reply: &Reply) -> ApiError {
    tracing::error!(?reply, "a command was answered with something else");
    ApiError::server()
}

/// Facts of a request, found before its handler runs.
#[derive(Debug, Clone)]
pub(crate) struct RequestFacts {
    /// What `x-amzn-RequestId` says.
    pub(crate) request_id: String,
    pub(crate) arns: Arns,
}

/// One call of an operation.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) state: ServerState,
    pub(crate) facts: RequestFacts,
}

impl Call {
    /// Gives a command to the writer; answers after its commit.
    pub(crate) async fn execute(&self, command: Command) -> Result<Reply, ExecuteError> {
        self.state.handle.execute(command).await
    }

    /// Runs a reading function on a thread where it may block, with a snapshot of the store and
    /// the writer of ARNs.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Reader, &Arns) -> Result<T, ReadFailure> + Send + 'static,
    {
        let (handle, arns) = (self.state.handle.clone(), self.facts.arns.clone());
        blocking(move || {
            let reader = handle.reader()?;
            work(&reader, &arns)
        })
        .await
    }

    /// Asks the node itself on a thread where it may block.
    pub(crate) async fn on_node<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Handle) -> T + Send + 'static,
    {
        let handle = self.state.handle.clone();
        blocking(move || Ok(work(&handle))).await
    }

    /// Reads the logs on a thread where it may block.
    pub(crate) async fn read_logs<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&LogReader, &Arns) -> Result<T, ReadFailure> + Send + 'static,
    {
        let (handle, arns) = (self.state.handle.clone(), self.facts.arns.clone());
        blocking(move || work(&handle.logs(), &arns)).await
    }
}

/// Why a read has no answer: the store's fault or the client's.
#[derive(Debug)]
pub(crate) enum ReadFailure {
    Store(ReadError),
    Refused(ApiError),
}

impl From<ReadError> for ReadFailure {
    fn from(error: ReadError) -> Self {
        Self::Store(error)
    }
}

impl<E: Into<ApiError>> From<Refused<E>> for ReadFailure {
    fn from(Refused(error): Refused<E>) -> Self {
        Self::Refused(error.into())
    }
}

/// Marks an error as the client's inside a reading function.
#[derive(Debug)]
pub(crate) struct Refused<E>(pub(crate) E);

async fn blocking<T, F>(work: F) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, ReadFailure> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(ReadFailure::Store(error))) => Err(error.into()),
        Ok(Err(ReadFailure::Refused(error))) => Err(error),
        Err(panic) => {
            tracing::error!(error = chain(&panic), "a read panicked");
            Err(ApiError::server())
        }
    }
}
