//! Progress rows of version 2, before attempts had a usage: read, never written.

use serde::Deserialize;

use super::{ArrayRow, AttemptRow, EndedByRow, MemberRow, PhaseRow, ProgressRow, StateRow};
use crate::rows::RowError;

pub(super) const VERSION: u8 = 2;

#[derive(Deserialize)]
struct ProgressRow2 {
    state: StateRow,
    attempts: Vec<AttemptRow2>,
    status_reason: Option<String>,
    interruptions: u32,
    uncounted: u32,
    ended_by: EndedByRow,
    members: Vec<MemberRow2>,
    decided_by: Option<u32>,
    array: Option<ArrayRow>,
}

#[derive(Deserialize)]
struct AttemptRow2 {
    started_at_millis: Option<i64>,
    stopped_at_millis: i64,
    exit_code: Option<u8>,
    reason: Option<String>,
    status_reason: String,
    image_digest: Option<[u8; 32]>,
    members: Vec<MemberRow2>,
}

#[derive(Deserialize)]
struct MemberRow2 {
    phase: PhaseRow,
    started_at_millis: Option<i64>,
    stopped_at_millis: Option<i64>,
    exit_code: Option<u8>,
    reason: Option<String>,
    image_digest: Option<[u8; 32]>,
}

pub(super) fn read(bytes: &[u8]) -> Result<ProgressRow, RowError> {
    let ProgressRow2 { state, attempts, status_reason, interruptions, uncounted, ended_by, members, decided_by, array } =
        postcard::from_bytes(bytes)?;
    Ok(ProgressRow {
        state,
        attempts: attempts.into_iter().map(attempt).collect(),
        status_reason,
        interruptions,
        uncounted,
        ended_by,
        members: members.into_iter().map(member).collect(),
        decided_by,
        array,
    })
}

fn attempt(row: AttemptRow2) -> AttemptRow {
    let AttemptRow2 { started_at_millis, stopped_at_millis, exit_code, reason, status_reason, image_digest, members } =
        row;
    AttemptRow {
        started_at_millis,
        stopped_at_millis,
        exit_code,
        reason,
        status_reason,
        image_digest,
        members: members.into_iter().map(member).collect(),
        usage: None,
    }
}

fn member(row: MemberRow2) -> MemberRow {
    let MemberRow2 { phase, started_at_millis, stopped_at_millis, exit_code, reason, image_digest } = row;
    MemberRow { phase, started_at_millis, stopped_at_millis, exit_code, reason, image_digest, usage: None }
}
