//! Attempts of several containers: when each may start, and which of them decides how all end.

use std::sync::Arc;

use crate::effect::Effect;
use crate::id::{AttemptId, Digest, JobId};
use crate::job::{JobProgress, JobState, MemberPhase, MemberRecord, StopCause};
use crate::layout::{Condition, Group, Role};
use crate::limits;
use crate::live::LiveJob;
use crate::machine::{Outputs, StateMachine};
use crate::report::{Ending, Usage};
use crate::time::Timestamp;

/// 128 + SIGKILL.
const KILLED: u8 = 137;

impl StateMachine {
    /// Lays out the containers of an attempt that has just been given its room, and starts those
    /// that wait for no other.
    pub(crate) fn begin_members(&mut self, id: JobId, out: &mut Outputs) {
        let job = self.jobs.get_mut(&id).expect("called for live jobs");
        if let Some(group) = job.facts.layout.group() {
            job.progress.members = group.members.iter().map(|_| MemberRecord::waiting()).collect();
            start_members(job, out);
        }
    }

    pub(crate) fn member_started(
        &mut self,
        attempt: AttemptId,
        digest: Option<Digest>,
        now: Timestamp,
        out: &mut Outputs,
    ) {
        let id = attempt.job;
        let job = self.jobs.get_mut(&id).expect("its attempt matched");
        let member = &mut job.progress.members[attempt.member as usize];
        if member.phase != MemberPhase::Starting {
            self.dropped_reports += 1;
            return;
        }
        member.phase = MemberPhase::Running;
        member.started_at = Some(now);
        member.image_digest = digest;
        let status = job.progress.state.status();
        match job.progress.state {
            // The first to run is of the main node: the others wait for this.
            JobState::Starting { .. } => self.attempt_started(id, digest, now, out),
            JobState::Running { .. }
            | JobState::Submitted
            | JobState::Pending { .. }
            | JobState::Array { .. }
            | JobState::Runnable { .. }
            | JobState::Succeeded { .. }
            | JobState::Failed { .. } => self.record(id, Some(status), now, out),
        }
        self.advance_members(attempt, now, out);
    }

    /// Whether an attempt under way was told to end: its job was, or the container that decides the
    /// end of all has ended, or that of its node.
    pub(crate) fn is_told_to_end(&self, attempt: AttemptId) -> bool {
        let job = &self.jobs[&attempt.job];
        let of_group = || {
            let group = job.facts.layout.group()?;
            let node = group.members.get(attempt.member as usize)?.node;
            let ended_apart = group.main_node.is_some_and(|main| main != node) && is_of_ended_node(job, attempt.member);
            Some(job.progress.decided_by.is_some() || ended_apart)
        };
        job.progress.state.stop().is_some() || of_group().unwrap_or(false)
    }

    pub(crate) fn member_ended(
        &mut self,
        attempt: AttemptId,
        ending: Ending,
        usage: Option<Usage>,
        now: Timestamp,
        out: &mut Outputs,
    ) {
        let job = self.jobs.get_mut(&attempt.job).expect("its attempt matched");
        let expected = job.progress.state.stop().is_some() || job.progress.decided_by.is_some();
        let member = &mut job.progress.members[attempt.member as usize];
        if !member.phase.is_under_way() {
            self.dropped_reports += 1;
            return;
        }
        let ran = member.started_at.is_some();
        let (phase, exit_code, reason) = match ending {
            Ending::Exited { exit_code, reason } => (MemberPhase::Exited, Some(exit_code), reason),
            Ending::Failed { exit_code, reason } => (MemberPhase::Exited, Some(exit_code), Some(reason)),
            Ending::CouldNotStart { reason } => (MemberPhase::NotStarted, None, Some(reason)),
            Ending::Stopped if expected || is_of_ended_node(job, attempt.member) => {
                (MemberPhase::Stopped, ran.then_some(KILLED), None)
            }
            Ending::Complied { exit_code } if expected || is_of_ended_node(job, attempt.member) => {
                (MemberPhase::Stopped, Some(exit_code), None)
            }
            Ending::Stopped | Ending::Complied { .. } | Ending::Lost => (MemberPhase::Lost, None, None),
        };
        let member = &mut job.progress.members[attempt.member as usize];
        member.phase = phase;
        member.exit_code = exit_code;
        member.reason = reason.map(|text| text.chars().take(limits::CONTAINER_REASON_CHARS).collect());
        member.started_at = member.started_at.or_else(|| exit_code.map(|_| now));
        member.stopped_at = Some(now);
        member.usage = usage;
        self.advance_members(attempt, now, out);
    }

    /// Starts what may start now that a container has come further, stops what is to stop, and ends
    /// the attempt when all is over.
    fn advance_members(&mut self, reported: AttemptId, now: Timestamp, out: &mut Outputs) {
        let id = reported.job;
        let job = self.jobs.get_mut(&id).expect("called for live jobs");
        let status = job.progress.state.status();
        let facts = Arc::clone(&job.facts);
        let group = facts.layout.group().expect("an attempt of several containers");
        while forgo_doomed(group, &mut job.progress) {}
        // What is to make room and ends by itself before has ended as it did.
        let decides = match job.progress.state.stop() {
            None | Some(StopCause::Preempted) => job.progress.decided_by.is_none(),
            Some(StopCause::Timeout | StopCause::Terminate(_) | StopCause::QueueDeleted) => false,
        };
        if decides {
            job.progress.decided_by = deciding_member(group, &job.progress);
            if job.progress.state.stop().is_some() {
                // Its containers have been told to stop already.
            } else if job.progress.decided_by.is_some() {
                let stopped = job.progress.containers_under_way().map(|attempt| Effect::StopAttempt { attempt });
                out.effects.extend(stopped);
            } else {
                stop_ended_node(group, reported, &mut job.progress, out);
                start_members(job, out);
            }
        }
        self.forgo_waiting_members(id);
        let job = self.jobs.get_mut(&id).expect("called for live jobs");
        if job.progress.members.iter().all(|member| member.phase.is_over()) {
            let ending = ending_of(&job.progress);
            self.attempt_ended(id, ending, None, now, out);
        } else {
            self.record(id, Some(status), now, out);
        }
    }

    /// Once an attempt is to end, nothing of it starts any more.
    pub(crate) fn forgo_waiting_members(&mut self, id: JobId) {
        let progress = &mut self.jobs.get_mut(&id).expect("called for live jobs").progress;
        if progress.state.stop().is_some() || progress.decided_by.is_some() {
            for member in progress.members.iter_mut().filter(|member| member.phase == MemberPhase::Waiting) {
                member.phase = MemberPhase::NotStarted;
            }
        }
    }
}

/// Tells the executor to start every container that nothing holds back.
fn start_members(job: &mut LiveJob, out: &mut Outputs) {
    let group = job.facts.layout.group().expect("an attempt of several containers");
    let JobProgress { state, members, .. } = &mut job.progress;
    let (Some(attempt), Some(held)) = (state.attempt(), state.held()) else {
        unreachable!("containers are of an attempt under way");
    };
    let runs = matches!(state, JobState::Running { .. });
    for (index, planned) in (0_u32..).zip(&group.members) {
        let may = group.main_node.is_none_or(|main| planned.node == main || runs)
            && planned.depends_on.iter().all(|(other, condition)| is_met(&members[*other as usize], *condition));
        let member = &mut members[index as usize];
        if member.phase == MemberPhase::Waiting && may {
            member.phase = MemberPhase::Starting;
            let environment = held.environment().clone();
            out.effects.push(Effect::StartAttempt { attempt: attempt.of_member(index), environment });
        }
    }
}

fn is_met(other: &MemberRecord, condition: Condition) -> bool {
    match condition {
        Condition::Start => other.started_at.is_some(),
        Condition::Complete => other.phase.is_over(),
        Condition::Success => other.exit_code == Some(0),
    }
}

/// Gives up containers that wait for what can no longer come; whether there was one.
fn forgo_doomed(group: &Group, progress: &mut JobProgress) -> bool {
    let doomed = |(other, condition): &(u32, Condition)| {
        let other = &progress.members[*other as usize];
        other.phase.is_over() && !is_met(other, *condition)
    };
    let found = group.members.iter().zip(0_u32..).find_map(|(planned, index)| {
        let waits = progress.members[index as usize].phase == MemberPhase::Waiting;
        planned.depends_on.iter().find(|wanted| waits && doomed(wanted)).map(|(other, _)| (index, *other))
    });
    let Some((index, other)) = found else {
        return false;
    };
    let name = &group.members[other as usize].name;
    let member = &mut progress.members[index as usize];
    member.phase = MemberPhase::NotStarted;
    member.reason = Some(format!("Dependency {name} did not come to its condition"));
    true
}

/// The container whose end ends the attempt, once there is one: the first to be lost, or of the
/// main node's task the first essential one, or of a pod the first that failed when all have ended.
fn deciding_member(group: &Group, progress: &JobProgress) -> Option<u32> {
    let members = || (0_u32..).zip(group.members.iter().zip(&progress.members));
    if let Some((index, _)) = members().find(|(_, (_, member))| member.phase == MemberPhase::Lost) {
        return Some(index);
    }
    task_end(group, progress, group.main_node.unwrap_or(0))
}

/// The container that ended a node's task, if one did.
fn task_end(group: &Group, progress: &JobProgress, node: u32) -> Option<u32> {
    let of_node = || (0_u32..).zip(group.members.iter().zip(&progress.members)).filter(|(_, (m, _))| m.node == node);
    let essential = of_node().find(|(_, (planned, member))| planned.role == Role::Essential && member.phase.is_over());
    if let Some((index, _)) = essential {
        return Some(index);
    }
    let is_pod = of_node().all(|(_, (planned, _))| planned.role == Role::Pod);
    if !is_pod || !of_node().all(|(_, (_, member))| member.phase.is_over()) {
        return None;
    }
    let failed = of_node().find(|(_, (_, member))| member.exit_code != Some(0));
    failed.or_else(|| of_node().last()).map(|(index, _)| index)
}

fn is_of_ended_node(job: &LiveJob, member: u32) -> bool {
    let group = job.facts.layout.group().expect("an attempt of several containers");
    task_end(group, &job.progress, group.members[member as usize].node).is_some()
}

/// Where the task of a node other than the main one has ended, ends what is left of it.
fn stop_ended_node(group: &Group, reported: AttemptId, progress: &mut JobProgress, out: &mut Outputs) {
    let node = group.members[reported.member as usize].node;
    if group.main_node.is_none_or(|main| main == node) || task_end(group, progress, node).is_none() {
        return;
    }
    for (index, _) in (0_u32..).zip(&group.members).filter(|(_, planned)| planned.node == node) {
        let member = &mut progress.members[index as usize];
        if member.phase == MemberPhase::Waiting {
            member.phase = MemberPhase::NotStarted;
        } else if member.phase.is_under_way() {
            out.effects.push(Effect::StopAttempt { attempt: reported.of_member(index) });
        }
    }
}

/// How the attempt has ended: as the container that decided it.
fn ending_of(progress: &JobProgress) -> Ending {
    let Some(decided) = progress.decided_by.map(|index| &progress.members[index as usize]) else {
        return Ending::Stopped;
    };
    let reason = decided.reason.clone();
    match (decided.phase, decided.exit_code) {
        (MemberPhase::Exited, Some(exit_code)) if exit_code == 0 || reason.is_none() => {
            Ending::Exited { exit_code, reason }
        }
        (MemberPhase::Exited, Some(exit_code)) => Ending::Failed { exit_code, reason: reason.unwrap_or_default() },
        (MemberPhase::NotStarted, _) => Ending::CouldNotStart { reason: reason.unwrap_or_default() },
        (MemberPhase::Lost, _) => Ending::Lost,
        (MemberPhase::Exited | MemberPhase::Stopped, _) => Ending::Stopped,
        (MemberPhase::Waiting | MemberPhase::Starting | MemberPhase::Running, _) => {
            unreachable!("what decided has ended")
        }
    }
}
