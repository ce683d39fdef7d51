//! Where a job, an array's parent or a child is. Written at every transition, so it holds nothing
//! that the job's row has.

mod progress1;
mod progress2;

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use wasmbatch_core::index_set::IndexSet;
use wasmbatch_core::job::{
    ArrayProgress, ArraySummary, AttemptRecord, Dropped, EndedBy, JobProgress, JobState, JobStatus, MemberPhase,
    MemberRecord, StopCause,
};
use wasmbatch_core::resource::Allocation;
use wasmbatch_core::{AttemptId, Digest, JobId, Timestamp, Usage};

use super::job::{ResourcesRow, resources_of, resources_row};
use super::{RowError, decode, encode, name};
use crate::tables::{status_byte, status_of_byte};

/// Version 3 has what attempts used.
const VERSION: u8 = 3;

#[derive(Serialize, Deserialize)]
struct ProgressRow {
    state: StateRow,
    attempts: Vec<AttemptRow>,
    status_reason: Option<String>,
    interruptions: u32,
    uncounted: u32,
    ended_by: EndedByRow,
    members: Vec<MemberRow>,
    decided_by: Option<u32>,
    array: Option<ArrayRow>,
}

#[derive(Serialize, Deserialize)]
enum StateRow {
    Submitted,
    Pending,
    Runnable {
        not_before_millis: Option<i64>,
        blocked_since_millis: Option<i64>,
    },
    /// Whether its children wait for other jobs.
    Array {
        waits: bool,
    },
    Starting {
        attempt: UnderWayRow,
    },
    Running {
        attempt: UnderWayRow,
        started_at_millis: i64,
        deadline_millis: Option<i64>,
        image_digest: Option<[u8; 32]>,
    },
    Succeeded {
        stopped_at_millis: i64,
    },
    Failed {
        stopped_at_millis: i64,
    },
}

#[derive(Serialize, Deserialize)]
struct UnderWayRow {
    number: u32,
    generation: u64,
    environment: String,
    held: ResourcesRow,
    stop: Option<StopRow>,
}

#[derive(Serialize, Deserialize)]
enum StopRow {
    Timeout,
    Terminate(String),
    QueueDeleted,
    Preempted,
}

#[derive(Serialize, Deserialize)]
enum EndedByRow {
    Itself,
    Cancel,
    Terminate,
}

#[derive(Serialize, Deserialize)]
struct AttemptRow {
    started_at_millis: Option<i64>,
    stopped_at_millis: i64,
    exit_code: Option<u8>,
    reason: Option<String>,
    status_reason: String,
    image_digest: Option<[u8; 32]>,
    members: Vec<MemberRow>,
    usage: Option<UsageRow>,
}

#[derive(Serialize, Deserialize)]
struct MemberRow {
    phase: PhaseRow,
    started_at_millis: Option<i64>,
    stopped_at_millis: Option<i64>,
    exit_code: Option<u8>,
    reason: Option<String>,
    image_digest: Option<[u8; 32]>,
    usage: Option<UsageRow>,
}

#[derive(Serialize, Deserialize)]
struct UsageRow {
    cpu_microseconds: u64,
    peak_memory_bytes: u64,
    fuel: Option<u64>,
    read_bytes: u64,
    written_bytes: u64,
}

#[derive(Serialize, Deserialize)]
enum PhaseRow {
    Waiting,
    Starting,
    Running,
    Exited,
    NotStarted,
    Stopped,
    Lost,
}

#[derive(Serialize, Deserialize)]
struct ArrayRow {
    dropped: Vec<DroppedRow>,
    failed: Option<SetRow>,
}

#[derive(Serialize, Deserialize)]
struct DroppedRow {
    children: SetRow,
    reason: String,
    stopped_at_millis: i64,
    ended_by: EndedByRow,
}

/// A set of indices as inclusive ranges: each by how many are left out before it and its length
/// less one, so that small numbers stay small.
#[derive(Serialize, Deserialize)]
struct SetRow {
    size: u32,
    ranges: Vec<(u32, u32)>,
}

/// Version, status byte, row: the status is read without decoding the rest.
pub(crate) fn encode_progress(progress: &JobProgress) -> Vec<u8> {
    let JobProgress { state, attempts, status_reason, interruptions, uncounted, ended_by, members, decided_by, array } =
        progress;
    let row = ProgressRow {
        state: state_row(state),
        attempts: attempts.iter().map(attempt_row).collect(),
        status_reason: status_reason.clone(),
        interruptions: *interruptions,
        uncounted: *uncounted,
        ended_by: ended_by_row(*ended_by),
        members: members.iter().map(member_row).collect(),
        decided_by: *decided_by,
        array: array.as_deref().map(array_row),
    };
    postcard::to_extend(&row, vec![VERSION, status_byte(state.status())])
        .expect("rows hold only what postcard can write")
}

/// The status in a progress row.
pub(crate) fn progress_status(bytes: &[u8]) -> Result<JobStatus, RowError> {
    match bytes {
        [VERSION | progress1::VERSION | progress2::VERSION, status, ..] => {
            status_of_byte(*status).ok_or(RowError::Invalid("status"))
        }
        [other, ..] => Err(RowError::Version(*other)),
        [] => Err(RowError::Empty),
    }
}

pub(crate) fn decode_progress(id: JobId, bytes: &[u8]) -> Result<JobProgress, RowError> {
    let status = progress_status(bytes)?;
    let row: ProgressRow = match bytes[0] {
        progress1::VERSION => progress1::read(&bytes[2..])?,
        progress2::VERSION => progress2::read(&bytes[2..])?,
        _ => postcard::from_bytes(&bytes[2..])?,
    };
    let ProgressRow { state, attempts, status_reason, interruptions, uncounted, ended_by, members, decided_by, array } =
        row;
    let state = state_of(id, state)?;
    if state.status() != status {
        return Err(RowError::Invalid("status byte"));
    }
    Ok(JobProgress {
        state,
        attempts: attempts.into_iter().map(attempt_of).collect(),
        status_reason,
        interruptions,
        uncounted,
        ended_by: ended_by_of(&ended_by),
        members: members.into_iter().map(member_of).collect(),
        decided_by,
        array: array.map(|array| Box::new(array_of(array))),
    })
}

fn ended_by_row(ended_by: EndedBy) -> EndedByRow {
    match ended_by {
        EndedBy::Itself => EndedByRow::Itself,
        EndedBy::Cancel => EndedByRow::Cancel,
        EndedBy::Terminate => EndedByRow::Terminate,
    }
}

fn ended_by_of(row: &EndedByRow) -> EndedBy {
    match row {
        EndedByRow::Itself => EndedBy::Itself,
        EndedByRow::Cancel => EndedBy::Cancel,
        EndedByRow::Terminate => EndedBy::Terminate,
    }
}

fn state_row(state: &JobState) -> StateRow {
    let under_way = |attempt: &AttemptId, held: &Allocation, stop: &Option<StopCause>| UnderWayRow {
        number: attempt.number,
        generation: attempt.generation,
        environment: held.environment().to_string(),
        held: resources_row(held.resources()),
        stop: stop.as_ref().map(|cause| match cause {
            StopCause::Timeout => StopRow::Timeout,
            StopCause::Terminate(reason) => StopRow::Terminate(reason.clone()),
            StopCause::QueueDeleted => StopRow::QueueDeleted,
            StopCause::Preempted => StopRow::Preempted,
        }),
    };
    match state {
        JobState::Submitted => StateRow::Submitted,
        // How many dependencies are unmet follows from their own rows.
        JobState::Pending { unmet: _ } => StateRow::Pending,
        JobState::Array { unmet } => StateRow::Array { waits: *unmet > 0 },
        JobState::Runnable { not_before, blocked_since } => StateRow::Runnable {
            not_before_millis: not_before.map(Timestamp::as_millis),
            blocked_since_millis: blocked_since.map(Timestamp::as_millis),
        },
        JobState::Starting { attempt, held, stop } => StateRow::Starting { attempt: under_way(attempt, held, stop) },
        JobState::Running { attempt, held, started_at, deadline, image_digest, stop } => StateRow::Running {
            attempt: under_way(attempt, held, stop),
            started_at_millis: started_at.as_millis(),
            deadline_millis: deadline.map(Timestamp::as_millis),
            image_digest: image_digest.map(|digest| *digest.as_bytes()),
        },
        JobState::Succeeded { stopped_at } => StateRow::Succeeded { stopped_at_millis: stopped_at.as_millis() },
        JobState::Failed { stopped_at } => StateRow::Failed { stopped_at_millis: stopped_at.as_millis() },
    }
}

fn state_of(job: JobId, row: StateRow) -> Result<JobState, RowError> {
    let under_way = |row: UnderWayRow| -> Result<_, RowError> {
        let UnderWayRow { number, generation, environment, held, stop } = row;
        let held = Allocation::restored(name(&environment)?, resources_of(&held));
        let stop = stop.map(|cause| match cause {
            StopRow::Timeout => StopCause::Timeout,
            StopRow::Terminate(reason) => StopCause::Terminate(reason),
            StopRow::QueueDeleted => StopCause::QueueDeleted,
            StopRow::Preempted => StopCause::Preempted,
        });
        Ok((AttemptId { job, number, generation, member: 0 }, held, stop))
    };
    let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
    Ok(match row {
        StateRow::Submitted => JobState::Submitted,
        StateRow::Pending => JobState::Pending { unmet: NonZeroU32::MIN },
        StateRow::Array { waits } => JobState::Array { unmet: u32::from(waits) },
        StateRow::Runnable { not_before_millis, blocked_since_millis } => {
            JobState::Runnable { not_before: time(not_before_millis), blocked_since: time(blocked_since_millis) }
        }
        StateRow::Starting { attempt } => {
            let (attempt, held, stop) = under_way(attempt)?;
            JobState::Starting { attempt, held, stop }
        }
        StateRow::Running { attempt, started_at_millis, deadline_millis, image_digest } => {
            let (attempt, held, stop) = under_way(attempt)?;
            JobState::Running {
                attempt,
                held,
                started_at: Timestamp::from_millis(started_at_millis),
                deadline: time(deadline_millis),
                image_digest: image_digest.map(Digest::from_bytes),
                stop,
            }
        }
        StateRow::Succeeded { stopped_at_millis } => {
            JobState::Succeeded { stopped_at: Timestamp::from_millis(stopped_at_millis) }
        }
        StateRow::Failed { stopped_at_millis } => {
            JobState::Failed { stopped_at: Timestamp::from_millis(stopped_at_millis) }
        }
    })
}

fn attempt_row(attempt: &AttemptRecord) -> AttemptRow {
    let AttemptRecord { started_at, stopped_at, exit_code, reason, status_reason, image_digest, members, usage } =
        attempt;
    AttemptRow {
        started_at_millis: started_at.map(Timestamp::as_millis),
        stopped_at_millis: stopped_at.as_millis(),
        exit_code: *exit_code,
        reason: reason.clone(),
        status_reason: status_reason.clone(),
        image_digest: image_digest.map(|digest| *digest.as_bytes()),
        members: members.iter().map(member_row).collect(),
        usage: usage.map(usage_row),
    }
}

fn attempt_of(row: AttemptRow) -> AttemptRecord {
    let AttemptRow {
        started_at_millis,
        stopped_at_millis,
        exit_code,
        reason,
        status_reason,
        image_digest,
        members,
        usage,
    } = row;
    AttemptRecord {
        started_at: started_at_millis.map(Timestamp::from_millis),
        stopped_at: Timestamp::from_millis(stopped_at_millis),
        exit_code,
        reason,
        status_reason,
        image_digest: image_digest.map(Digest::from_bytes),
        members: members.into_iter().map(member_of).collect(),
        usage: usage.map(usage_of),
    }
}

fn member_row(member: &MemberRecord) -> MemberRow {
    let MemberRecord { phase, started_at, stopped_at, exit_code, reason, image_digest, usage } = member;
    MemberRow {
        phase: match phase {
            MemberPhase::Waiting => PhaseRow::Waiting,
            MemberPhase::Starting => PhaseRow::Starting,
            MemberPhase::Running => PhaseRow::Running,
            MemberPhase::Exited => PhaseRow::Exited,
            MemberPhase::NotStarted => PhaseRow::NotStarted,
            MemberPhase::Stopped => PhaseRow::Stopped,
            MemberPhase::Lost => PhaseRow::Lost,
        },
        started_at_millis: started_at.map(Timestamp::as_millis),
        stopped_at_millis: stopped_at.map(Timestamp::as_millis),
        exit_code: *exit_code,
        reason: reason.clone(),
        image_digest: image_digest.map(|digest| *digest.as_bytes()),
        usage: usage.map(usage_row),
    }
}

fn member_of(row: MemberRow) -> MemberRecord {
    let MemberRow { phase, started_at_millis, stopped_at_millis, exit_code, reason, image_digest, usage } = row;
    MemberRecord {
        phase: match phase {
            PhaseRow::Waiting => MemberPhase::Waiting,
            PhaseRow::Starting => MemberPhase::Starting,
            PhaseRow::Running => MemberPhase::Running,
            PhaseRow::Exited => MemberPhase::Exited,
            PhaseRow::NotStarted => MemberPhase::NotStarted,
            PhaseRow::Stopped => MemberPhase::Stopped,
            PhaseRow::Lost => MemberPhase::Lost,
        },
        started_at: started_at_millis.map(Timestamp::from_millis),
        stopped_at: stopped_at_millis.map(Timestamp::from_millis),
        exit_code,
        reason,
        image_digest: image_digest.map(Digest::from_bytes),
        usage: usage.map(usage_of),
    }
}

fn usage_row(usage: Usage) -> UsageRow {
    let Usage { cpu_microseconds, peak_memory_bytes, fuel, read_bytes, written_bytes } = usage;
    UsageRow { cpu_microseconds, peak_memory_bytes, fuel, read_bytes, written_bytes }
}

fn usage_of(row: UsageRow) -> Usage {
    let UsageRow { cpu_microseconds, peak_memory_bytes, fuel, read_bytes, written_bytes } = row;
    Usage { cpu_microseconds, peak_memory_bytes, fuel, read_bytes, written_bytes }
}

fn array_row(array: &ArrayProgress) -> ArrayRow {
    let ArrayProgress { dropped, failed } = array;
    let dropped = dropped.iter().map(|Dropped { children, reason, stopped_at, ended_by }| DroppedRow {
        children: set_row(children),
        reason: reason.clone(),
        stopped_at_millis: stopped_at.as_millis(),
        ended_by: ended_by_row(*ended_by),
    });
    ArrayRow { dropped: dropped.collect(), failed: failed.as_ref().map(set_row) }
}

fn array_of(row: ArrayRow) -> ArrayProgress {
    let ArrayRow { dropped, failed } = row;
    let dropped = dropped.into_iter().map(|DroppedRow { children, reason, stopped_at_millis, ended_by }| Dropped {
        children: set_of(&children),
        reason,
        stopped_at: Timestamp::from_millis(stopped_at_millis),
        ended_by: ended_by_of(&ended_by),
    });
    ArrayProgress { dropped: dropped.collect(), failed: failed.as_ref().map(set_of) }
}

fn set_row(set: &IndexSet) -> SetRow {
    let mut next = 0;
    let mut ranges = Vec::new();
    for (first, last) in set.ranges() {
        ranges.push((first - next, last - first));
        next = last + 1;
    }
    SetRow { size: set.size(), ranges }
}

fn set_of(row: &SetRow) -> IndexSet {
    let SetRow { size, ranges } = row;
    let mut next = 0_u32;
    let ranges = ranges.iter().map(|(gap, more)| {
        let first = next.saturating_add(*gap);
        let last = first.saturating_add(*more);
        next = last.saturating_add(1);
        (first, last)
    });
    IndexSet::from_ranges(*size, ranges)
}

#[derive(Serialize, Deserialize)]
struct SummaryRow {
    /// By status, in the order of the status bytes.
    counts: [u32; 7],
    updated_at_millis: i64,
}

pub(crate) fn encode_summary(summary: &ArraySummary) -> Vec<u8> {
    let ArraySummary { counts: _, updated_at } = summary;
    let mut counts = [0; 7];
    for status in JobStatus::ALL {
        counts[usize::from(status_byte(status))] = summary.count(status);
    }
    encode(&SummaryRow { counts, updated_at_millis: updated_at.as_millis() })
}

pub(crate) fn decode_summary(bytes: &[u8]) -> Result<ArraySummary, RowError> {
    let SummaryRow { counts: stored, updated_at_millis } = decode(bytes)?;
    let counts = JobStatus::ALL.map(|status| stored[usize::from(status_byte(status))]);
    Ok(ArraySummary { counts, updated_at: Timestamp::from_millis(updated_at_millis) })
}
