//! Reports of attempts: how they begin, how they end, what then becomes of their jobs.

use std::time::Duration;

use crate::apply::queue::QUEUE_DELETED;
use crate::consumable::ConsumableKind;
use crate::effect::Effect;
use crate::environment::Lifecycle;
use crate::id::{Digest, JobId};
use crate::job::retry::{ExitAction, Failure};
use crate::job::{AttemptRecord, JobProgress, JobState, JobStatus, StopCause};
use crate::limits;
use crate::live::JobFacts;
use crate::machine::{Outputs, StateMachine};
use crate::report::{AttemptEvent, Ending, Report, Usage};
use crate::resource::{Allocation, Resources};
use crate::time::Timestamp;

const EXITED: &str = "Essential container in task exited";
const NOT_STARTED: &str = "Task failed to start";
const TIMED_OUT: &str = "Job attempt duration exceeded timeout";
/// 128 + SIGKILL, as a shell would say it of what was killed.
const KILLED: u8 = 137;

/// What an ended attempt makes of its job.
enum Verdict {
    Succeed,
    Fail,
    /// Ended by the machine itself: failed, and never tried again.
    FailForGood,
    /// The node went down under it.
    Interrupted,
}

impl StateMachine {
    pub(crate) fn report(&mut self, report: Report, now: Timestamp, out: &mut Outputs) {
        let Report { attempt, event } = report;
        let job = self.jobs.get(&attempt.job);
        let current = job.and_then(|job| job.progress.state.attempt()).map(|first| first.of_member(attempt.member));
        let known = job.is_some_and(|job| attempt.member < job.facts.layout.len());
        if current != Some(attempt) || !known {
            self.dropped_reports += 1;
            return;
        }
        let several = self.jobs[&attempt.job].facts.layout.group().is_some();
        match event {
            AttemptEvent::Started { image_digest } if several => self.member_started(attempt, image_digest, now, out),
            AttemptEvent::Ended { ending, usage } if several => self.member_ended(attempt, ending, usage, now, out),
            AttemptEvent::Started { image_digest } => self.attempt_started(attempt.job, image_digest, now, out),
            AttemptEvent::Ended { ending, usage } => self.attempt_ended(attempt.job, ending, usage, now, out),
        }
    }

    /// STARTING becomes RUNNING.
    pub(crate) fn attempt_started(&mut self, id: JobId, digest: Option<Digest>, now: Timestamp, out: &mut Outputs) {
        let job = self.jobs.get_mut(&id).expect("its attempt matched");
        let timeout = job.facts.timeout_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
        match std::mem::replace(&mut job.progress.state, JobState::Submitted) {
            JobState::Starting { attempt, held, stop } => {
                let deadline = timeout.map(|timeout| now.after(timeout));
                job.progress.state =
                    JobState::Running { attempt, held, started_at: now, deadline, image_digest: digest, stop };
            }
            // Told twice.
            other @ (JobState::Running { .. }
            | JobState::Submitted
            | JobState::Pending { .. }
            | JobState::Array { .. }
            | JobState::Runnable { .. }
            | JobState::Succeeded { .. }
            | JobState::Failed { .. }) => {
                job.progress.state = other;
                self.dropped_reports += 1;
                return;
            }
        }
        if let Some(deadline) = job.progress.state.deadline() {
            self.deadlines.insert((deadline, id));
        }
        self.record(id, Some(JobStatus::Starting), now, out);
    }

    /// The attempt is over, all its containers. `usage` is that of a lone one.
    pub(crate) fn attempt_ended(
        &mut self,
        id: JobId,
        ending: Ending,
        usage: Option<Usage>,
        now: Timestamp,
        out: &mut Outputs,
    ) {
        let job = self.jobs.get_mut(&id).expect("its attempt matched");
        if let Some(deadline) = job.progress.state.deadline() {
            self.deadlines.remove(&(deadline, id));
        }
        let previous = job.progress.state.status();
        let (held, started_at, image_digest, stop) =
            match std::mem::replace(&mut job.progress.state, JobState::Submitted) {
                JobState::Starting { held, stop, .. } => (held, None, None, stop),
                JobState::Running { held, started_at, image_digest, stop, .. } => {
                    (held, Some(started_at), image_digest, stop)
                }
                JobState::Submitted
                | JobState::Pending { .. }
                | JobState::Array { .. }
                | JobState::Runnable { .. }
                | JobState::Succeeded { .. }
                | JobState::Failed { .. } => unreachable!("only these two have an attempt"),
            };
        let (mut record, verdict) = judge(ending, stop, started_at, &self.node.instance, now);
        record.image_digest = image_digest;
        record.members = std::mem::take(&mut job.progress.members);
        record.usage = usage;
        job.progress.decided_by = None;
        job.progress.status_reason = Some(record.status_reason.clone());
        job.progress.attempts.push(record);
        let facts = std::sync::Arc::clone(&job.facts);
        job.progress.state = next_state(&verdict, &mut job.progress, &facts, now);
        let next = match job.progress.state {
            JobState::Runnable { not_before, .. } => Some(not_before),
            JobState::Submitted
            | JobState::Pending { .. }
            | JobState::Array { .. }
            | JobState::Starting { .. }
            | JobState::Running { .. }
            | JobState::Succeeded { .. }
            | JobState::Failed { .. } => None,
        };
        self.release(id, &held, now, out);
        match next {
            None => self.settle(id, previous, now, out),
            Some(not_before) => {
                match not_before {
                    Some(at) => {
                        self.delayed.insert((at, id));
                    }
                    None => self.enter_queue(id),
                }
                self.record(id, Some(previous), now, out);
            }
        }
    }

    /// Gives back what an attempt held.
    fn release(&mut self, id: JobId, held: &Allocation, now: Timestamp, out: &mut Outputs) {
        self.under_way.remove(&id);
        self.capacity.release(held.resources());
        let entry = self.environments.get_mut(held.environment()).expect("it outlives its attempts");
        entry.pool.release(held.resources());
        if entry.record.lifecycle == Lifecycle::Deleting && entry.pool.held == Resources::default() {
            self.forget_environment(held.environment(), out);
        }
        let facts = std::sync::Arc::clone(self.facts_of(id));
        self.queues.get_mut(&facts.queue).expect("a live job's queue is there").held -= held.resources().vcpus;
        self.count_share(&facts, -i64::from(held.resources().vcpus.quarters()), now);
        for used in &facts.consumables {
            let resource = self.consumables.get_mut(&used.resource).expect("what is in use is not deleted");
            resource.in_use -= used.quantity;
            if resource.kind == ConsumableKind::NonReplenishable {
                resource.total = resource.total.saturating_sub(used.quantity);
            }
            self.dirty.consumables.insert(used.resource.clone());
        }
        if let Some(array) = self.arrays.get_mut(&id.whole()) {
            array.holding -= 1;
            self.refresh_array(id.whole());
        }
    }

    /// Asks for the end of the attempt under way. The first cause stands, unless it was only to make
    /// room.
    pub(crate) fn stop_attempt(&mut self, id: JobId, cause: StopCause, now: Timestamp, out: &mut Outputs) {
        let job = self.jobs.get_mut(&id).expect("called for live jobs");
        if let Some(deadline) = job.progress.state.deadline() {
            self.deadlines.remove(&(deadline, id));
        }
        let status = job.progress.state.status();
        match &mut job.progress.state {
            JobState::Starting { stop, .. } | JobState::Running { stop, .. } if stop.is_none() => *stop = Some(cause),
            // It ends already, to make room; from now on it also doesn't come back.
            JobState::Starting { stop: stop @ Some(StopCause::Preempted), .. }
            | JobState::Running { stop: stop @ Some(StopCause::Preempted), .. } => {
                *stop = Some(cause);
                return self.record(id, Some(status), now, out);
            }
            JobState::Starting { .. } | JobState::Running { .. } => return,
            JobState::Submitted
            | JobState::Pending { .. }
            | JobState::Array { .. }
            | JobState::Runnable { .. }
            | JobState::Succeeded { .. }
            | JobState::Failed { .. } => unreachable!("only an attempt under way is stopped"),
        }
        let stopped = job.progress.containers_under_way().map(|attempt| Effect::StopAttempt { attempt });
        out.effects.extend(stopped);
        self.forgo_waiting_members(id);
        self.record(id, Some(status), now, out);
    }
}

/// The record of an attempt, and what it means.
fn judge(
    ending: Ending,
    stop: Option<StopCause>,
    started_at: Option<Timestamp>,
    node: &str,
    now: Timestamp,
) -> (AttemptRecord, Verdict) {
    let ran = started_at.is_some();
    let (exit_code, reason, own_status_reason, own_verdict) = match ending {
        Ending::Exited { exit_code: 0, reason } => (Some(0), reason, EXITED.to_owned(), Verdict::Succeed),
        Ending::Exited { exit_code, reason } => (Some(exit_code), reason, EXITED.to_owned(), Verdict::Fail),
        Ending::Failed { exit_code, reason } => (Some(exit_code), Some(reason), EXITED.to_owned(), Verdict::Fail),
        Ending::CouldNotStart { reason } => (None, Some(reason), NOT_STARTED.to_owned(), Verdict::Fail),
        Ending::Stopped if stop.as_ref().is_some_and(|cause| *cause != StopCause::Preempted) => {
            (ran.then_some(KILLED), None, EXITED.to_owned(), Verdict::FailForGood)
        }
        Ending::Complied { exit_code } if stop.as_ref().is_some_and(|cause| *cause != StopCause::Preempted) => {
            (Some(exit_code), None, EXITED.to_owned(), Verdict::FailForGood)
        }
        // Stopped though nobody asked: the executor went away under it, which is what Lost means.
        Ending::Stopped | Ending::Complied { .. } | Ending::Lost => {
            (None, None, format!("Host EC2 (instance {node}) terminated."), Verdict::Interrupted)
        }
    };
    let (status_reason, verdict) = match stop {
        // What was to make room and ended by itself before has ended as it did.
        None | Some(StopCause::Preempted) => (own_status_reason, own_verdict),
        Some(StopCause::Timeout) => (TIMED_OUT.to_owned(), Verdict::FailForGood),
        Some(StopCause::Terminate(reason)) => (reason, Verdict::FailForGood),
        Some(StopCause::QueueDeleted) => (QUEUE_DELETED.to_owned(), Verdict::FailForGood),
    };
    let reason = reason.map(|text| text.chars().take(limits::CONTAINER_REASON_CHARS).collect());
    // A program that ended though its start was never told did run.
    let started_at = started_at.or_else(|| exit_code.map(|_| now));
    let record = AttemptRecord {
        started_at,
        stopped_at: now,
        exit_code,
        reason,
        status_reason,
        image_digest: None,
        members: Vec::new(),
        usage: None,
    };
    (record, verdict)
}

/// Where the job goes, its attempts counted as the plan's "Interrupted attempts" says.
fn next_state(verdict: &Verdict, progress: &mut JobProgress, facts: &JobFacts, now: Timestamp) -> JobState {
    let retry = facts.retry.as_deref();
    let failed = JobState::Failed { stopped_at: now };
    let last = progress.attempts.last().expect("an attempt has just ended");
    let failure =
        Failure { exit_code: last.exit_code, reason: last.reason.as_deref(), status_reason: &last.status_reason };
    let action = retry.and_then(|strategy| strategy.action_for(failure));
    match verdict {
        Verdict::Succeed => return JobState::Succeeded { stopped_at: now },
        Verdict::FailForGood => return failed,
        Verdict::Fail => {}
        Verdict::Interrupted => {
            progress.interruptions += 1;
            if progress.interruptions <= limits::FREE_INTERRUPTIONS {
                progress.uncounted += 1;
            }
        }
    }
    if action == Some(ExitAction::Exit) {
        return failed;
    }
    let counted = progress.attempts.len() - progress.uncounted as usize;
    let allowed = retry.map_or(1, |strategy| strategy.attempts) as usize;
    if counted >= allowed {
        return failed;
    }
    let backoff = match verdict {
        Verdict::Fail => facts.retry_backoff_seconds.map(|seconds| backoff(seconds, counted)),
        Verdict::Interrupted | Verdict::Succeed | Verdict::FailForGood => None,
    };
    JobState::Runnable { not_before: backoff.map(|wait| now.after(wait)), blocked_since: None }
}

/// The wait before the next attempt: doubled with each that failed, up to a day.
fn backoff(seconds: u32, failed: usize) -> Duration {
    let doublings = u32::try_from(failed.saturating_sub(1)).unwrap_or(u32::MAX);
    let wait = u64::from(seconds).checked_shl(doublings.min(32)).unwrap_or(u64::MAX);
    Duration::from_secs(wait.min(u64::from(limits::RETRY_BACKOFF_SECONDS)))
}
