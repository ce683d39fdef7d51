//! Where an executor reports to: output goes to the logs, reports to the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmbatch_core::{AttemptEvent, AttemptId, Ending, Report};
use wasmbatch_executor::{AttemptSink, OutputStream};
use wasmbatch_store::logs::{LogStore, Output};

use crate::clock::Clock;
use crate::inbox::{Inbox, IncomingReport};
use crate::pace::Pace;

#[derive(Debug)]
pub(crate) struct Sink {
    logs: Arc<LogStore>,
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    /// Whether the last write of a log failed: jobs can write a lot, the node's log says it once.
    failing: AtomicBool,
}

impl Sink {
    pub(crate) fn new(logs: Arc<LogStore>, inbox: Arc<Inbox>, clock: Arc<dyn Clock>) -> Self {
        Self { logs, inbox, clock, pace: Pace::default(), failing: AtomicBool::new(false) }
    }

    fn note<T>(&self, attempt: AttemptId, outcome: std::io::Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.failing.store(false, Ordering::Relaxed);
                Some(value)
            }
            Err(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(job.id = %attempt.job, attempt = attempt.number, %error, "output of jobs can't be written and is lost");
                }
                None
            }
        }
    }
}

impl AttemptSink for Sink {
    fn report(&self, report: Report) {
        let attempt = report.attempt;
        if matches!(report.event, AttemptEvent::Ended { .. }) {
            self.pace.forget(attempt);
        }
        let log = match &report.event {
            AttemptEvent::Started { .. } => None,
            // It never ran: no stream of its was ever named.
            AttemptEvent::Ended { ending: Ending::CouldNotStart { .. }, .. } => None,
            AttemptEvent::Ended {
                ending:
                    Ending::Exited { .. } | Ending::Failed { .. } | Ending::Complied { .. } | Ending::Stopped | Ending::Lost,
                ..
            } => {
                let sealed = self.logs.seal(attempt, self.clock.now());
                // An attempt that wrote nothing needs no row to say so.
                self.note(attempt, sealed).flatten().filter(|stream| stream.info().events > 0)
            }
        };
        self.inbox.report(IncomingReport { report, log });
    }

    fn output(&self, attempt: AttemptId, stream: OutputStream, bytes: &[u8]) {
        let output = match stream {
            OutputStream::Stdout => Output::Stdout,
            OutputStream::Stderr => Output::Stderr,
        };
        let now = self.clock.now();
        self.note(attempt, self.logs.append(attempt, output, bytes, now));
        let wait = self.pace.wrote(attempt, bytes.len(), now);
        if wait > Duration::ZERO {
            // Nothing of the attempt is read meanwhile, and so it waits too.
            std::thread::sleep(wait);
        }
    }
}
