//! Jobs: what was submitted, and where it is.

pub mod array;
pub mod retry;
pub mod state;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use crate::consumable::ConsumableRequirement;
use crate::definition::Overrides;
use crate::document::Document;
use crate::extension::Extensions;
use crate::id::{AttemptId, Digest, JobId};
use crate::layout::Layout;
use crate::name::{JobName, Name};
use crate::report::Usage;
use crate::resource::Resources;
use crate::time::Timestamp;
pub use array::{ArrayOutcome, ArrayProgress, ArraySummary, Dropped};
pub use retry::RetryStrategy;
pub use state::{JobState, JobStatus, StopCause};

/// A job as submitted, resolved against its definition. Never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its name.
    pub name: JobName,
    /// Its queue, by name.
    pub queue: Name,
    /// `uid` of the queue.
    pub queue_uid: u64,
    /// Place in the order of submission.
    pub order: u64,
    /// The definition's name.
    pub definition: Name,
    /// The revision it resolved to at submit.
    pub revision: u32,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// The definition's with the submit's over them.
    pub parameters: BTreeMap<String, String>,
    /// What must come first.
    pub depends_on: Vec<Dependency>,
    /// How many children it has, if it is an array.
    pub array_size: Option<u32>,
    /// Its share, where its queue has a scheduling policy.
    pub share: Option<String>,
    /// 0 to 9999, higher first inside a share: the submit's, else the definition's.
    pub scheduling_priority: Option<u32>,
    /// The submit's own; laid over the definition when it is read or run.
    pub overrides: Overrides,
    /// The containers of an attempt.
    pub layout: Layout,
    /// What an attempt holds, all its containers together.
    pub resources: Resources,
    /// What an attempt holds beside the machine, each resource once.
    pub consumables: Vec<ConsumableRequirement>,
    /// What its `wasmbatch:` tags asked for.
    pub extensions: Extensions,
    /// The submit's, else the definition's.
    pub retry: Option<RetryStrategy>,
    /// The submit's, else the definition's.
    pub timeout_seconds: Option<u32>,
    /// The submit's, else the definition's.
    pub propagate_tags: Option<bool>,
    /// Other members of the submit, answered as they came.
    pub rest: Document,
}

/// One entry of `dependsOn` `[UG]` "Job dependencies", "Array jobs".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependency {
    /// The job, the whole array or the child of that id must succeed.
    On(JobId),
    /// Child `i` waits for child `i` of the array of that id.
    NToN(JobId),
    /// Child `i + 1` waits for child `i` of its own array.
    Sequential,
}

/// Where a job is and has been.
#[derive(Debug, PartialEq, Eq)]
pub struct JobProgress {
    /// The state.
    pub state: JobState,
    /// Ended attempts, oldest first.
    pub attempts: Vec<AttemptRecord>,
    /// `statusReason`, where there is one.
    pub status_reason: Option<String>,
    /// Attempts that the node went down under.
    pub interruptions: u32,
    /// Attempts that don't count against `retryStrategy.attempts`.
    pub uncounted: u32,
    /// Who ended it, if a client did.
    pub ended_by: EndedBy,
    /// The containers of the attempt under way, by their place in the layout; empty for
    /// [`Layout::Single`] and between attempts.
    pub members: Vec<MemberRecord>,
    /// Which of them decided how the attempt ends, once one did.
    pub decided_by: Option<u32>,
    /// For an array's parent: what is known of its children that have no row.
    pub array: Option<Box<ArrayProgress>>,
}

/// One container of an attempt that has several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberRecord {
    /// How far it has come.
    pub phase: MemberPhase,
    /// When it began to run.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub stopped_at: Option<Timestamp>,
    /// Absent when it never ran, was stopped before it ran, or was lost.
    pub exit_code: Option<u8>,
    /// Its `reason`.
    pub reason: Option<String>,
    /// What its image turned out to be.
    pub image_digest: Option<Digest>,
    /// What it used; absent until it has ended, and where nobody knows.
    pub usage: Option<Usage>,
}

/// How far a container of an attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemberPhase {
    /// Waits for other containers, or for the main node.
    #[default]
    Waiting,
    /// Told to start.
    Starting,
    /// Runs.
    Running,
    /// Ended by itself, with an exit code.
    Exited,
    /// Could not start, or was never to.
    NotStarted,
    /// Ended because the machine asked for it.
    Stopped,
    /// The node went down under it.
    Lost,
}

impl MemberPhase {
    /// Whether an executor has it in hand.
    pub const fn is_under_way(self) -> bool {
        match self {
            Self::Starting | Self::Running => true,
            Self::Waiting | Self::Exited | Self::NotStarted | Self::Stopped | Self::Lost => false,
        }
    }

    /// Whether nothing more comes of it.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Waiting | Self::Starting | Self::Running => false,
            Self::Exited | Self::NotStarted | Self::Stopped | Self::Lost => true,
        }
    }
}

impl MemberRecord {
    pub(crate) const fn waiting() -> Self {
        Self {
            phase: MemberPhase::Waiting,
            started_at: None,
            stopped_at: None,
            exit_code: None,
            reason: None,
            image_digest: None,
            usage: None,
        }
    }
}

/// Whether a client's call ended (or is ending) the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// None did.
    Itself,
    /// CancelJob: `isCancelled`.
    Cancel,
    /// TerminateJob: `isTerminated`.
    Terminate,
}

/// One attempt that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// STARTING to RUNNING; absent when it never ran.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub stopped_at: Timestamp,
    /// Absent when it never ran or was lost.
    pub exit_code: Option<u8>,
    /// `container.reason`.
    pub reason: Option<String>,
    /// `statusReason` of the attempt.
    pub status_reason: String,
    /// What the image turned out to be.
    pub image_digest: Option<Digest>,
    /// Its containers, where it had several.
    pub members: Vec<MemberRecord>,
    /// What it used, where it had one container and somebody knows; several have their own.
    pub usage: Option<Usage>,
}

impl JobProgress {
    /// A new job's.
    pub(crate) fn submitted() -> Self {
        Self {
            state: JobState::Submitted,
            attempts: Vec::new(),
            status_reason: None,
            interruptions: 0,
            uncounted: 0,
            ended_by: EndedBy::Itself,
            members: Vec::new(),
            decided_by: None,
            array: None,
        }
    }

    /// A child's that has no row, as long as its array goes on.
    pub fn waiting_child(waits: bool) -> Self {
        let state = if waits { JobState::Pending { unmet: NonZeroU32::MIN } } else { JobState::runnable() };
        Self { state, ..Self::submitted() }
    }

    /// A child's that has no row and has ended.
    pub fn dropped_child(dropped: &Dropped) -> Self {
        Self {
            state: JobState::Failed { stopped_at: dropped.stopped_at },
            status_reason: Some(dropped.reason.clone()),
            ended_by: dropped.ended_by,
            ..Self::submitted()
        }
    }

    /// The containers of the attempt under way that an executor has in hand.
    pub fn containers_under_way(&self) -> impl Iterator<Item = AttemptId> {
        let attempt = self.state.attempt();
        let single = attempt.filter(|_| self.members.is_empty());
        let several = (0..).zip(&self.members).filter(|(_, member)| member.phase.is_under_way());
        single.into_iter().chain(several.filter_map(move |(index, _)| Some(attempt?.of_member(index))))
    }

    /// A copy for a row or a reader. The allocation in it is never given back.
    pub(crate) fn copy_for_row(&self) -> Self {
        Self {
            state: self.state.copy_for_row(),
            attempts: self.attempts.clone(),
            status_reason: self.status_reason.clone(),
            interruptions: self.interruptions,
            uncounted: self.uncounted,
            ended_by: self.ended_by,
            members: self.members.clone(),
            decided_by: self.decided_by,
            array: self.array.clone(),
        }
    }
}

impl Clone for JobProgress {
    fn clone(&self) -> Self {
        self.copy_for_row()
    }
}
