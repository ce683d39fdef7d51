//! Hands effects to the executor, in order, on a thread of its own: looking a job up must not hold
//! the writer back.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use wasmbatch_core::{AttemptEvent, AttemptId, Effect, Ending, Name, Report};
use wasmbatch_executor::{AttemptSink as _, Executor, NetworkAccess};
use wasmbatch_store::Store;
use wasmbatch_store::logs::LogStore;

use crate::ReadError;
use crate::attempt::{Host, Unstartable, attempt_spec, log_target};
use crate::clock::Clock;
use crate::sink::Sink;

#[derive(Debug)]
pub(crate) struct Dispatcher<E: ?Sized> {
    pub(crate) store: Arc<Store>,
    pub(crate) logs: Arc<LogStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sink: Arc<Sink>,
    pub(crate) executor: Arc<E>,
    /// This node's name.
    pub(crate) instance: String,
    /// What jobs that ask for the network may reach of it.
    pub(crate) network: NetworkAccess,
}

impl<E: Executor + ?Sized> Dispatcher<E> {
    /// Runs until the writer is gone.
    pub(crate) fn run(self, effects: Receiver<Effect>) {
        for effect in effects {
            match effect {
                Effect::StartAttempt { attempt, environment } => self.start(attempt, &environment),
                Effect::StopAttempt { attempt } => self.executor.stop(attempt),
                Effect::StatusChanged { .. } => {}
            }
        }
    }

    fn start(&self, attempt: AttemptId, environment: &Name) {
        if let Err(unstartable) = self.try_start(attempt, environment) {
            let reason = match unstartable {
                Unstartable::Reason(reason) => reason,
                Unstartable::Read(error) => {
                    tracing::error!(job.id = %attempt.job, attempt = attempt.number, error = ?error, "a job could not be read");
                    "ResourceInitializationError: the job could not be read".to_owned()
                }
            };
            let event = AttemptEvent::ended(Ending::CouldNotStart { reason });
            self.sink.report(Report { attempt, event });
        }
    }

    fn try_start(&self, attempt: AttemptId, environment: &Name) -> Result<(), Unstartable> {
        let snapshot = self.store.snapshot()?;
        let missing = |what: &str| Unstartable::Read(ReadError(format!("{what} is missing").into()));
        let (job, _) = snapshot.job(attempt.job.whole())?.ok_or_else(|| missing("the job"))?;
        let definition =
            snapshot.definition(&job.definition, job.revision)?.ok_or_else(|| missing("the job definition"))?;
        let host = Host { instance: &self.instance, environment, network: self.network };
        let spec = attempt_spec(&snapshot, attempt, &job, &definition, &host)?;
        let target = log_target(&job, &definition, attempt);
        self.logs.begin(attempt, &target.group, &target.stream, target.limits, self.clock.now());
        self.executor.start(spec);
        Ok(())
    }
}
