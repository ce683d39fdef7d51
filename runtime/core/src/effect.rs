//! Acts to perform, once the batch that decided them is durable.

use crate::id::{AttemptId, JobId};
use crate::job::JobStatus;
use crate::name::Name;

/// Something for the controller to do. Effects follow from state and are never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The attempt is durably STARTING: start it.
    StartAttempt {
        /// Which one.
        attempt: AttemptId,
        /// Where the scheduler placed it.
        environment: Name,
    },
    /// End the attempt now; a report of its end follows.
    StopAttempt {
        /// Which one.
        attempt: AttemptId,
    },
    /// A job came to another status.
    StatusChanged {
        /// Which job.
        job: JobId,
        /// What it came to.
        status: JobStatus,
    },
}
