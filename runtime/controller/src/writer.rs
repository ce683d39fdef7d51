//! The writer: applies a batch, schedules, commits, and only then answers and hands out effects.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use tokio::sync::{broadcast, watch};
use wasmbatch_core::{AttemptEvent, AttemptId, Command, Effect, Outputs, Rejection, Reply, StateMachine, Timestamp};
use wasmbatch_executor::Executor;
use wasmbatch_store::logs::LogStore;
use wasmbatch_store::{Store, Transaction, WriteError};

use crate::clock::Clock;
use crate::figures::Figures;
use crate::handle::StatusEvent;
use crate::inbox::{Batch, Inbox};
use crate::retention::{Retention, StepError};

/// Commands and reports of one commit. More would only make their clients wait longer.
const BATCH_MAX: usize = 512;

/// The store failed under the writer: what memory has may not be on disk, so nothing goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fatal {
    #[error("a batch could not be committed")]
    Write(#[from] WriteError),
    #[error("the store could not be read while a batch was applied")]
    Archive,
}

impl From<StepError> for Fatal {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Write(error) => Self::Write(error),
            StepError::Read(_) => Self::Archive,
        }
    }
}

pub(crate) struct Writer {
    pub(crate) machine: StateMachine,
    pub(crate) store: Arc<Store>,
    pub(crate) logs: Arc<LogStore>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) effects: SyncSender<Effect>,
    pub(crate) events: broadcast::Sender<StatusEvent>,
    pub(crate) retention: Retention,
    pub(crate) figures: Arc<Figures>,
    pub(crate) executor: Arc<dyn Executor>,
    /// Attempts under way, told while the node drains.
    pub(crate) under_way: watch::Sender<usize>,
}

type Answers = Vec<(tokio::sync::oneshot::Sender<Result<Reply, Rejection>>, Result<Reply, Rejection>)>;

impl Writer {
    /// Runs until the inbox is closed.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) fn run(mut self) -> Result<(), Fatal> {
        // What a restart left to do may not wait for the first command.
        self.commit(Batch::default())?;
        loop {
            let now = self.clock.now();
            let due = self.machine.next_wakeup().into_iter().chain([self.retention.due()]).min();
            let patience = due.map(|at| at.until_from(now));
            let batch = self.inbox.take(BATCH_MAX, patience);
            let (draining, closed) = (batch.draining, batch.closed);
            if draining {
                self.machine.hold_starts();
            }
            self.commit(batch)?;
            if draining {
                self.under_way.send_replace(self.machine.attempts_under_way().count());
            }
            if closed {
                return Ok(());
            }
        }
    }

    fn commit(&mut self, batch: Batch) -> Result<(), Fatal> {
        let Self { machine, store, clock, retention, .. } = self;
        let now = clock.now();
        let mut answers = Answers::new();
        let mut ended = Vec::new();
        let effects = store.write(|transaction| {
            let mut effects = Vec::new();
            let mut out = Outputs::default();
            for incoming in batch.reports {
                if let Some(log) = &incoming.log {
                    transaction.put_log_stream(log)?;
                }
                if matches!(incoming.report.event, AttemptEvent::Ended { .. }) {
                    ended.push(incoming.report.attempt);
                }
                let applied = machine.apply(&*transaction, Command::Report(incoming.report), now, &mut out);
                take(transaction, &mut out, &mut effects)?;
                check_archive(&applied)?;
            }
            for client in batch.commands {
                let applied = machine.apply(&*transaction, client.command, now, &mut out);
                take(transaction, &mut out, &mut effects)?;
                check_archive(&applied)?;
                answers.push((client.reply, applied));
            }
            machine.schedule(now, &mut out);
            take(transaction, &mut out, &mut effects)?;
            retention.step(transaction, now)?;
            Ok::<_, Fatal>(effects)
        })?;
        if let Err(error) = self.retention.expire_segments(&self.logs, now) {
            tracing::warn!(%error, "old log segments can't be deleted");
        }
        self.figures.set(self.machine.held_vcpus(), self.machine.held());
        self.after_commit(answers, effects, &ended);
        Ok(())
    }

    fn after_commit(&self, answers: Answers, effects: Vec<Effect>, ended: &[AttemptId]) {
        for attempt in ended {
            self.logs.forget(*attempt);
            self.executor.settled(*attempt);
        }
        for (reply, answer) in answers {
            // A client that went away gets no answer; its command is done all the same.
            drop(reply.send(answer));
        }
        for effect in effects {
            match effect {
                Effect::StatusChanged { job, status } => {
                    // Nobody may be listening.
                    drop(self.events.send(StatusEvent { job, status }));
                }
                Effect::StartAttempt { .. } | Effect::StopAttempt { .. } => {
                    self.effects.send(effect).expect("the dispatcher outlives the writer");
                }
            }
        }
    }
}

/// Rows are written after each command, so that the next one finds them.
fn take(transaction: &mut Transaction<'_>, out: &mut Outputs, effects: &mut Vec<Effect>) -> Result<(), WriteError> {
    for change in out.changes.drain(..) {
        transaction.put(&change)?;
    }
    effects.append(&mut out.effects);
    Ok(())
}

fn check_archive(applied: &Result<Reply, Rejection>) -> Result<(), Fatal> {
    if matches!(applied, Err(Rejection::Archive)) { Err(Fatal::Archive) } else { Ok(()) }
}

/// Applies commands of the controller itself before the writer runs, in one commit. They have no
/// effects: there is no job yet.
pub(crate) fn apply_at_start(
    machine: &mut StateMachine,
    store: &Store,
    commands: Vec<Command>,
    now: Timestamp,
) -> Result<(), Fatal> {
    store.write(|transaction| {
        let mut out = Outputs::default();
        for command in commands {
            let applied = machine.apply(&*transaction, command, now, &mut out);
            take(transaction, &mut out, &mut Vec::new())?;
            check_archive(&applied)?;
        }
        machine.schedule(now, &mut out);
        take(transaction, &mut out, &mut Vec::new())?;
        Ok(())
    })
}
