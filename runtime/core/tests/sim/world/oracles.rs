//! What must hold whatever happens, written plainly from AWS's rules.

use std::collections::{BTreeMap, BTreeSet};

use wasmbatch_core::definition::{ResourceKind, ResourceRequirement};
use wasmbatch_core::environment::{EnvironmentKind, Platform};
use wasmbatch_core::job::{MemberPhase, StopCause};
use wasmbatch_core::layout::{Condition, Layout};
use wasmbatch_core::*;

use super::World;
use crate::rows::Rows;

impl World {
    pub(super) fn check_ends(&self) {
        assert_eq!(self.machine.next_wakeup(), None, "nothing is due when nothing is left");
        for id in self.jobs.iter().filter(|id| self.rows.jobs.contains_key(id)) {
            let progress = &self.rows.progress[id];
            assert!(progress.state.status().is_terminal(), "{id} has ended on disk too");
            match self.rows.jobs[id].array_size {
                None => self.check_end(*id, progress),
                Some(size) => self.check_array_end(*id, size, progress),
            }
        }
    }

    pub(super) fn check_array_end(&self, id: JobId, size: u32, progress: &JobProgress) {
        let mut counts = BTreeMap::<JobStatus, u32>::new();
        for child in (0..size).map(|index| id.child(index)) {
            let status = self.rows.status(child).unwrap();
            *counts.entry(status).or_default() += 1;
            match self.rows.progress.get(&child) {
                Some(progress) => self.check_end(child, progress),
                None => assert_eq!(status, JobStatus::Failed, "{child} never ran"),
            }
        }
        for status in JobStatus::ALL {
            let counted = counts.get(&status).copied().unwrap_or(0);
            assert_eq!(self.rows.summaries[&id].count(status), counted, "{id} counts its {status:?} children");
        }
        let all = counts.get(&JobStatus::Succeeded) == Some(&size);
        let wanted = if all { JobStatus::Succeeded } else { JobStatus::Failed };
        assert_eq!(progress.state.status(), wanted, "{id} ends as its children did");
        assert!(progress.attempts.is_empty(), "{id} has no attempts of its own");
    }

    pub(super) fn check_end(&self, id: JobId, progress: &JobProgress) {
        let job = &self.rows.jobs[&id.whole()];
        let allowed = job.retry.as_ref().map_or(1, |retry| retry.attempts);
        let counted = progress.attempts.len() - progress.uncounted as usize;
        assert!(counted <= allowed as usize, "{id} had no more attempts than it may");
        self.check_usage(id, progress);
        if progress.state.status() == JobStatus::Succeeded {
            let exited_well = progress.attempts.last().is_some_and(|last| last.exit_code == Some(0));
            assert!(exited_well, "{id} succeeded by exiting with 0");
            self.check_dependencies(id);
        }
        let failed =
            self.dependencies_of(id).into_iter().any(|other| self.rows.status(other) == Some(JobStatus::Failed));
        assert!(!failed || progress.state.status() == JobStatus::Failed, "{id} fails with what it depends on");
    }

    /// What is recorded of a container is what one of the reports of its end said.
    fn check_usage(&self, id: JobId, progress: &JobProgress) {
        for (number, attempt) in (1..).zip(&progress.attempts) {
            let lone = attempt.members.is_empty().then_some(attempt.usage);
            let recorded = lone.into_iter().chain(attempt.members.iter().map(|member| member.usage));
            for (member, recorded) in (0..).zip(recorded) {
                let reported = self.used.get(&(id, number, member)).map_or(&[][..], Vec::as_slice);
                let known = if reported.is_empty() { recorded.is_none() } else { reported.contains(&recorded) };
                assert!(known, "attempt {number} of {id}, member {member}: {recorded:?} of {reported:?}");
            }
            assert!(attempt.members.is_empty() || attempt.usage.is_none(), "several containers have their own");
        }
    }

    /// What the job or child must see succeed first: AWS's rules, written plainly.
    pub(super) fn dependencies_of(&self, id: JobId) -> Vec<JobId> {
        let depends_on = self.rows.jobs[&id.whole()].depends_on.iter();
        depends_on
            .filter_map(|dependency| match (dependency, id.child_index()) {
                (Dependency::On(other), _) => Some(*other),
                (Dependency::NToN(array), Some(index)) => Some(array.child(index)),
                (Dependency::Sequential, Some(index)) => index.checked_sub(1).map(|before| id.whole().child(before)),
                (Dependency::NToN(_) | Dependency::Sequential, None) => panic!("{id} is no array"),
            })
            .collect()
    }

    pub(super) fn check_dependencies(&self, id: JobId) {
        for other in self.dependencies_of(id) {
            assert_eq!(self.rows.status(other), Some(JobStatus::Succeeded), "{id} runs after {other} has succeeded");
        }
    }

    /// What was just decided to start may: it waits for nothing, holds all of its room at once, and
    /// overtakes nobody in its queue.
    pub(super) fn check_start(&self, attempt: AttemptId) {
        let id = attempt.job;
        let job = &self.rows.jobs[&id.whole()];
        let progress = &self.rows.progress[&id];
        self.check_dependencies(id);
        if job.extensions.deterministic {
            let fuel = |requirement: &ResourceRequirement| requirement.kind == ResourceKind::Fuel;
            assert!(job.overrides.container.resource_requirements.iter().any(fuel), "{id} is metered");
        }
        assert_eq!(progress.state.held().map(|held| held.resources()), Some(job.resources), "{id} holds it all");
        if let Some(most) = job.extensions.max_running {
            assert!(self.rows.holding(id.whole()) <= most as usize, "{id} is one too many of its array");
        }
        for wanted in &job.consumables {
            let resource = &self.rows.consumables[&wanted.resource];
            assert!(resource.in_use >= wanted.quantity, "{id} holds what it consumes");
        }
        if let Layout::Group(group) = &job.layout {
            let planned = &group.members[attempt.member as usize];
            for (other, condition) in &planned.depends_on {
                let other = &progress.members[*other as usize];
                let met = match condition {
                    Condition::Start => other.started_at.is_some(),
                    Condition::Complete => other.stopped_at.is_some() || other.phase == MemberPhase::NotStarted,
                    Condition::Success => other.exit_code == Some(0),
                };
                assert!(met, "{attempt} waits for its own dependencies");
            }
            let main = group.main_node.is_none_or(|main| planned.node == main);
            assert!(main || progress.state.status() == JobStatus::Running, "other nodes follow the main one");
        }
    }

    /// In a queue without a policy nobody starts before an earlier job that could.
    pub(super) fn check_order(&self, started: &BTreeSet<JobId>) {
        for id in started {
            let job = &self.rows.jobs[&id.whole()];
            if job.share.is_some() {
                continue;
            }
            for (other, progress) in &self.rows.progress {
                let before = &self.rows.jobs[&other.whole()];
                let waits = matches!(progress.state, JobState::Runnable { not_before: None, .. });
                let capped = before.extensions.max_running.is_some_and(|most| {
                    other.child_index().is_some() && self.rows.holding(other.whole()) >= most as usize
                });
                let same = before.queue_uid == job.queue_uid;
                assert!(!waits || capped || !same || before.order >= job.order, "{id} overtook {other}");
            }
        }
    }

    /// Whatever is to stop was told so, once its decision was on disk.
    pub(super) fn check_stops(&self) {
        for (id, progress) in &self.rows.progress {
            let (JobState::Starting { stop, held, .. } | JobState::Running { stop, held, .. }) = &progress.state else {
                continue;
            };
            if *stop == Some(StopCause::Preempted) {
                let kind = &self.rows.environments[held.environment()].kind;
                let spot = matches!(kind, EnvironmentKind::Managed { platform: Platform::Spot, .. });
                assert!(spot, "{id} makes room only where that was agreed");
            }
            if stop.is_none() && progress.decided_by.is_none() {
                continue;
            }
            for attempt in progress.containers_under_way() {
                assert!(self.stopped.contains(&attempt), "{attempt} is to stop and was not told so");
            }
        }
    }

    /// An attempt ends by a report of its own and no other, and no process outlives its attempt.
    pub(super) fn check_attempts(&self) {
        for (id, progress) in &self.rows.progress {
            let numbers = 1..=u32::try_from(progress.attempts.len()).unwrap();
            for number in numbers {
                assert!(self.ended.contains(&(*id, number)), "attempt {number} of {id} ended without a report");
            }
        }
        for process in &self.processes {
            let progress = &self.rows.progress[&process.job];
            assert!(
                progress.containers_under_way().any(|attempt| attempt == *process),
                "a process runs that no job knows of"
            );
        }
    }
}

impl Rows {
    /// Where a job, an array's parent or a child is, with or without a row of its own.
    pub(crate) fn status(&self, id: JobId) -> Option<JobStatus> {
        if let Some(progress) = self.progress.get(&id) {
            return Some(progress.state.status());
        }
        let (index, parent) = (id.child_index()?, self.progress.get(&id.whole())?);
        let dropped = parent.array.as_ref().and_then(|array| array.dropped_child(index));
        Some(if dropped.is_some() { JobStatus::Failed } else { JobStatus::Pending })
    }

    /// How many children of an array hold capacity.
    pub(crate) fn holding(&self, array: JobId) -> usize {
        let children = self.progress.range(array.child(0)..=array.child(u32::MAX));
        children.filter(|(_, progress)| progress.state.held().is_some()).count()
    }
}
