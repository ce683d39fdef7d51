//! What waits for the writer. Clients' commands are bounded, and refused beyond that; reports are
//! bounded by the attempts there can be, and never refused: a lost one would leave its job behind.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use wasmbatch_core::{Command, Rejection, Reply, Report};
use wasmbatch_store::logs::SealedStream;

/// A client's command and where its answer goes.
#[derive(Debug)]
pub(crate) struct ClientCommand {
    pub(crate) command: Command,
    pub(crate) reply: oneshot::Sender<Result<Reply, Rejection>>,
}

/// A report, with the index of its attempt's log where the attempt has ended.
#[derive(Debug)]
pub(crate) struct IncomingReport {
    pub(crate) report: Report,
    pub(crate) log: Option<SealedStream>,
}

/// What the writer takes at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) reports: Vec<IncomingReport>,
    pub(crate) commands: Vec<ClientCommand>,
    /// No new attempts from now on.
    pub(crate) draining: bool,
    /// The last batch.
    pub(crate) closed: bool,
}

/// The inbox can't take a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    reports: VecDeque<IncomingReport>,
    commands: VecDeque<ClientCommand>,
    draining: bool,
    /// Set by a drain or a close that the writer has not seen yet.
    changed: bool,
    closed: bool,
}

impl Inbox {
    /// An inbox for at most `capacity` commands of clients.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new(), capacity }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn command(&self, command: ClientCommand) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed || (state.draining && !allowed_while_draining(&command.command)) {
            return Err(Refused::Closed);
        }
        if state.commands.len() >= self.capacity {
            return Err(Refused::Full);
        }
        state.commands.push_back(command);
        self.arrived.notify_one();
        Ok(())
    }

    pub(crate) fn report(&self, report: IncomingReport) {
        let mut state = self.lock();
        state.reports.push_back(report);
        self.arrived.notify_one();
    }

    pub(crate) fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        state.changed = true;
        self.arrived.notify_one();
    }

    /// Takes nothing more from clients; the writer ends with the batch that has the rest.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.changed = true;
        self.arrived.notify_one();
    }

    /// Waits until there is something to do, at most `patience`, and takes up to `most` of each.
    pub(crate) fn take(&self, most: usize, patience: Option<Duration>) -> Batch {
        let idle = |state: &mut State| state.reports.is_empty() && state.commands.is_empty() && !state.changed;
        let state = self.lock();
        let mut state = match patience {
            None => self.arrived.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                self.arrived.wait_timeout_while(state, patience, idle).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.changed = false;
        let reports = state.reports.len().min(most);
        let commands = state.commands.len().min(most);
        let batch = Batch {
            reports: state.reports.drain(..reports).collect(),
            commands: state.commands.drain(..commands).collect(),
            draining: state.draining,
            closed: state.closed && state.reports.is_empty() && state.commands.is_empty(),
        };
        state.changed = state.closed && !batch.closed;
        batch
    }
}

/// A node that drains takes no new work, but its jobs can still be ended.
fn allowed_while_draining(command: &Command) -> bool {
    matches!(command, Command::CancelJob { .. } | Command::TerminateJob { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmbatch_core::{AttemptEvent, AttemptId, Ending, JobId};

    fn client() -> ClientCommand {
        ClientCommand { command: Command::Tick, reply: oneshot::channel().0 }
    }

    fn report() -> IncomingReport {
        let attempt = AttemptId { job: JobId::from_bytes([1; 16]), number: 1, generation: 1, member: 0 };
        IncomingReport { report: Report { attempt, event: AttemptEvent::ended(Ending::Lost) }, log: None }
    }

    #[test]
    fn clients_are_refused_when_it_is_full_and_reports_never() {
        let inbox = Inbox::new(2);
        inbox.command(client()).unwrap();
        inbox.command(client()).unwrap();
        assert_eq!(inbox.command(client()), Err(Refused::Full));
        (0..10).for_each(|_| inbox.report(report()));
        let batch = inbox.take(5, None);
        assert_eq!((batch.reports.len(), batch.commands.len(), batch.closed), (5, 2, false));
    }

    #[test]
    fn what_came_before_it_closed_is_still_taken() {
        let inbox = Inbox::new(2);
        inbox.command(client()).unwrap();
        inbox.report(report());
        inbox.report(report());
        inbox.close();
        assert_eq!(inbox.command(client()), Err(Refused::Closed));
        let batch = inbox.take(1, None);
        assert_eq!((batch.reports.len(), batch.closed), (1, false));
        let batch = inbox.take(1, None);
        assert_eq!((batch.reports.len(), batch.closed), (1, true));
    }

    #[test]
    fn it_waits_no_longer_than_asked() {
        let batch = Inbox::new(1).take(1, Some(Duration::ZERO));
        assert!(batch.reports.is_empty() && batch.commands.is_empty());
    }
}
