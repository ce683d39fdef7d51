//! Progress rows of version 1, before there were arrays: read, never written.

use serde::Deserialize;

use super::{AttemptRow, EndedByRow, ProgressRow, StateRow, UnderWayRow};
use crate::rows::RowError;

pub(super) const VERSION: u8 = 1;

#[derive(Deserialize)]
struct ProgressRow1 {
    state: StateRow1,
    attempts: Vec<AttemptRow1>,
    status_reason: Option<String>,
    interruptions: u32,
    uncounted: u32,
    ended_by: EndedByRow,
}

#[derive(Deserialize)]
enum StateRow1 {
    Submitted,
    Pending,
    Runnable,
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

#[derive(Deserialize)]
struct AttemptRow1 {
    started_at_millis: Option<i64>,
    stopped_at_millis: i64,
    exit_code: Option<u8>,
    reason: Option<String>,
    status_reason: String,
    image_digest: Option<[u8; 32]>,
}

pub(super) fn read(bytes: &[u8]) -> Result<ProgressRow, RowError> {
    let ProgressRow1 { state, attempts, status_reason, interruptions, uncounted, ended_by } =
        postcard::from_bytes(bytes)?;
    let state = match state {
        StateRow1::Submitted => StateRow::Submitted,
        StateRow1::Pending => StateRow::Pending,
        StateRow1::Runnable => StateRow::Runnable { not_before_millis: None, blocked_since_millis: None },
        StateRow1::Starting { attempt } => StateRow::Starting { attempt },
        StateRow1::Running { attempt, started_at_millis, deadline_millis, image_digest } => {
            StateRow::Running { attempt, started_at_millis, deadline_millis, image_digest }
        }
        StateRow1::Succeeded { stopped_at_millis } => StateRow::Succeeded { stopped_at_millis },
        StateRow1::Failed { stopped_at_millis } => StateRow::Failed { stopped_at_millis },
    };
    let attempt = |row| {
        let AttemptRow1 { started_at_millis, stopped_at_millis, exit_code, reason, status_reason, image_digest } = row;
        AttemptRow {
            started_at_millis,
            stopped_at_millis,
            exit_code,
            reason,
            status_reason,
            image_digest,
            members: Vec::new(),
            usage: None,
        }
    };
    Ok(ProgressRow {
        state,
        attempts: attempts.into_iter().map(attempt).collect(),
        status_reason,
        interruptions,
        uncounted,
        ended_by,
        members: Vec::new(),
        decided_by: None,
        array: None,
    })
}
