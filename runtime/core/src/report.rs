//! What an executor says of an attempt. Reports may come late, twice or never; the machine copes.

use crate::id::{AttemptId, Digest};

/// Something happened to an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which attempt; a report of any other than the job's current one is dropped.
    pub attempt: AttemptId,
    /// What happened.
    pub event: AttemptEvent,
}

/// The two things that can happen to an attempt once it was told to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptEvent {
    /// The program is about to run: STARTING becomes RUNNING.
    Started {
        /// What the image reference turned out to be, where it has a digest.
        image_digest: Option<Digest>,
    },
    /// The attempt is over.
    Ended {
        /// How.
        ending: Ending,
        /// What it used; `None` where it never ran or nobody knows.
        usage: Option<Usage>,
    },
}

impl AttemptEvent {
    /// The end of an attempt of which nobody knows what it used.
    pub fn ended(ending: Ending) -> Self {
        Self::Ended { ending, usage: None }
    }
}

/// What a container of an attempt used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// CPU time, microseconds.
    pub cpu_microseconds: u64,
    /// Most memory at any time, bytes.
    pub peak_memory_bytes: u64,
    /// wasmtime fuel, where it was counted.
    pub fuel: Option<u64>,
    /// Bytes read from files. Sockets are not counted.
    pub read_bytes: u64,
    /// Bytes written to files and outputs. Sockets are not counted.
    pub written_bytes: u64,
}

/// How an attempt ended. The codes and reasons are fixed by the plan, since evaluateOnExit
/// patterns match on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The program ended by itself.
    Exited {
        /// 0 to 255.
        exit_code: u8,
        /// Only where the full value did not fit the exit code.
        reason: Option<String>,
    },
    /// A trap, out of memory, or a worker that crashed.
    Failed {
        /// 134 for a trap, 137 for memory, 128 + signal for a crash.
        exit_code: u8,
        /// Becomes `container.reason`.
        reason: String,
    },
    /// It never ran: no exit code, no startedAt, statusReason `Task failed to start`.
    CouldNotStart {
        /// Becomes `container.reason`.
        reason: String,
    },
    /// Ended because the machine asked for it.
    Stopped,
    /// Asked to end, it did so by itself, or was killed for not doing so.
    Complied {
        /// 0 to 255.
        exit_code: u8,
    },
    /// The node went down under it.
    Lost,
}
