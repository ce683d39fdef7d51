//! Attempts of several containers: tasks, pods, nodes.

use super::*;
use crate::definition::{NodeProperties, NodeRange, NodeWork, Task, TaskContainer, TaskKind};
use crate::job::{MemberPhase, MemberRecord};
use crate::layout::{Condition, Role};

type On = &'static [(&'static str, Condition)];

fn container() -> ContainerProperties {
    let requirement = |kind, value: &str| ResourceRequirement { kind, value: value.to_owned() };
    ContainerProperties {
        resource_requirements: vec![requirement(ResourceKind::Vcpu, "0.5"), requirement(ResourceKind::Memory, "10")],
        ..ContainerProperties::default()
    }
}

fn task(kind: TaskKind, containers: &[(&str, Role, On)]) -> Task {
    let containers = containers.iter().map(|(name, role, depends_on)| TaskContainer {
        name: (*name).to_owned(),
        role: *role,
        depends_on: depends_on.iter().map(|(name, condition)| ((*name).to_owned(), *condition)).collect(),
        args: Vec::new(),
        properties: container(),
    });
    Task::new(kind, containers.collect()).unwrap()
}

impl Bench {
    pub(super) fn define_shape(&mut self, shape: JobShape) {
        let spec = DefinitionSpec::of(shape);
        self.run(Command::RegisterJobDefinition { name: name("d"), spec: Box::new(spec), tags: Tags::default() })
            .unwrap();
    }

    /// Submits a task of these containers.
    fn task(&mut self, containers: &[(&str, Role, On)]) -> JobId {
        self.define_shape(JobShape::Task(Box::new(task(TaskKind::Ecs, containers))));
        self.after(&[])
    }

    fn pod(&mut self, containers: &[(&str, Role, On)]) -> JobId {
        self.define_shape(JobShape::Task(Box::new(task(TaskKind::Pod, containers))));
        self.after(&[])
    }

    /// Submits a job of so many nodes, of which node 1 is the main one.
    fn nodes(&mut self, count: u32) -> JobId {
        let work = NodeWork::Container(Box::new(container()));
        let ranges = vec![NodeRange { first: 0, last: None, work, consumables: Vec::new() }];
        self.define_shape(JobShape::Nodes(Box::new(NodeProperties::new(count, 1, ranges).unwrap())));
        self.after(&[])
    }

    fn member(&mut self, job: JobId, member: u32, event: AttemptEvent) {
        let attempt = self.archive.progress[&job].state.attempt().expect("an attempt is under way");
        self.run(Command::Report(Report { attempt: attempt.of_member(member), event })).unwrap();
    }

    fn member_begins(&mut self, job: JobId, member: u32) {
        self.member(job, member, AttemptEvent::Started { image_digest: None });
    }

    fn member_ends(&mut self, job: JobId, member: u32, ending: Ending) {
        self.member(job, member, AttemptEvent::ended(ending));
    }

    fn member_exits(&mut self, job: JobId, member: u32, exit_code: u8) {
        self.member_ends(job, member, Ending::Exited { exit_code, reason: None });
    }

    /// Members that were told to start, since the last look.
    fn members_started(&mut self) -> Vec<u32> {
        self.starts.drain(..).map(|(attempt, _)| attempt.member).collect()
    }

    fn members_stopped(&mut self) -> Vec<u32> {
        self.stops.drain(..).map(|attempt| attempt.member).collect()
    }

    fn members(&self, job: JobId) -> &[MemberRecord] {
        let progress = &self.archive.progress[&job];
        progress.attempts.last().map_or(&progress.members, |last| &last.members)
    }
}

const FREE: On = &[];

#[test]
fn containers_start_when_those_they_wait_for_have_come_so_far() {
    let mut bench = Bench::new();
    let job = bench.task(&[
        ("prepare", Role::Sidecar, FREE),
        ("helper", Role::Sidecar, &[("prepare", Condition::Complete)]),
        ("main", Role::Essential, &[("prepare", Condition::Success), ("helper", Condition::Start)]),
    ]);
    assert_eq!(bench.members_started(), [0]);
    bench.member_begins(job, 0);
    assert_eq!((bench.status(job), bench.members_started()), (JobStatus::Running, vec![]));
    bench.member_exits(job, 0, 0);
    assert_eq!(bench.members_started(), [1], "COMPLETE");
    bench.member_begins(job, 1);
    assert_eq!(bench.members_started(), [2], "SUCCESS of one and START of the other");
}

#[test]
fn complete_takes_any_end_and_success_only_a_good_one() {
    let mut bench = Bench::new();
    let job = bench.task(&[
        ("prepare", Role::Sidecar, FREE),
        ("any", Role::Essential, &[("prepare", Condition::Complete)]),
        ("good", Role::Sidecar, &[("prepare", Condition::Success)]),
    ]);
    bench.member_exits(job, 0, 3);
    assert_eq!(bench.members_started(), [0, 1]);
    assert_eq!(bench.members(job)[2].phase, MemberPhase::NotStarted);
    assert_eq!(bench.members(job)[2].reason.as_deref(), Some("Dependency prepare did not come to its condition"));
}

#[test]
fn a_container_that_can_never_start_takes_those_behind_it_along() {
    let mut bench = Bench::new();
    let job = bench.task(&[
        ("first", Role::Sidecar, FREE),
        ("second", Role::Sidecar, &[("first", Condition::Success)]),
        ("main", Role::Essential, &[("second", Condition::Success)]),
    ]);
    bench.member_exits(job, 0, 1);
    assert_eq!((bench.status(job), bench.reason(job)), (JobStatus::Failed, "Task failed to start"));
    let last = &bench.archive.progress[&job].attempts[0];
    assert_eq!(last.reason.as_deref(), Some("Dependency second did not come to its condition"));
    assert_eq!(bench.members_started(), [0]);
}

#[test]
fn an_essential_containers_end_stops_the_others_and_is_the_jobs() {
    let mut bench = Bench::new();
    let job = bench.task(&[("main", Role::Essential, FREE), ("side", Role::Sidecar, FREE)]);
    bench.member_begins(job, 0);
    bench.member_begins(job, 1);
    bench.member_exits(job, 0, 0);
    assert_eq!((bench.members_stopped(), bench.status(job)), (vec![1], JobStatus::Running));
    bench.member_ends(job, 1, Ending::Stopped);
    assert_eq!(bench.status(job), JobStatus::Succeeded);
    let last = &bench.archive.progress[&job].attempts[0];
    assert_eq!((last.exit_code, bench.members(job)[1].exit_code), (Some(0), Some(137)));
}

#[test]
fn the_first_essential_container_to_end_decides() {
    let mut bench = Bench::new();
    let job = bench.task(&[("one", Role::Essential, FREE), ("two", Role::Essential, FREE)]);
    bench.member_begins(job, 0);
    bench.member_begins(job, 1);
    bench.member_ends(job, 1, Ending::Failed { exit_code: 134, reason: "WasmTrap: unreachable".to_owned() });
    bench.member_exits(job, 0, 0);
    assert_eq!(bench.status(job), JobStatus::Failed);
    let last = &bench.archive.progress[&job].attempts[0];
    assert_eq!((last.exit_code, last.reason.as_deref()), (Some(134), Some("WasmTrap: unreachable")));
}

#[test]
fn a_sidecars_end_stops_nobody() {
    let mut bench = Bench::new();
    let job = bench.task(&[("main", Role::Essential, FREE), ("side", Role::Sidecar, FREE)]);
    bench.member_begins(job, 0);
    bench.member_exits(job, 1, 9);
    assert_eq!((bench.members_stopped(), bench.status(job)), (vec![], JobStatus::Running));
    bench.member_exits(job, 0, 0);
    assert_eq!(bench.status(job), JobStatus::Succeeded);
}

#[test]
fn what_has_not_started_when_the_essential_one_ends_never_starts() {
    let mut bench = Bench::new();
    let job = bench.task(&[("main", Role::Essential, FREE), ("late", Role::Sidecar, &[("main", Condition::Start)])]);
    bench.member_exits(job, 0, 0);
    assert_eq!((bench.status(job), bench.members_started()), (JobStatus::Succeeded, vec![0]));
    assert_eq!(bench.members(job)[1].phase, MemberPhase::NotStarted);
}

#[test]
fn a_pod_ends_with_its_last_container_and_fails_if_one_failed() {
    for (codes, status) in [([0, 0], JobStatus::Succeeded), ([3, 0], JobStatus::Failed), ([0, 3], JobStatus::Failed)] {
        let mut bench = Bench::new();
        let job = bench.pod(&[("one", Role::Pod, FREE), ("two", Role::Pod, FREE)]);
        bench.member_begins(job, 0);
        bench.member_exits(job, 0, codes[0]);
        assert_eq!((bench.status(job), bench.members_stopped()), (JobStatus::Running, vec![]));
        bench.member_exits(job, 1, codes[1]);
        assert_eq!(bench.status(job), status, "{codes:?}");
        assert_eq!(bench.archive.progress[&job].attempts[0].exit_code, Some(codes[0].max(codes[1])));
    }
}

#[test]
fn a_pod_whose_first_container_failed_does_not_start_what_waits_for_its_success() {
    let mut bench = Bench::new();
    let job = bench.pod(&[("init", Role::Pod, FREE), ("main", Role::Pod, &[("init", Condition::Success)])]);
    bench.member_exits(job, 0, 1);
    assert_eq!((bench.status(job), bench.members_started()), (JobStatus::Failed, vec![0]));
    assert_eq!(
        bench.archive.progress[&job].attempts[0].exit_code,
        Some(1),
        "the cause, not what it kept from starting"
    );
}

#[test]
fn a_gang_holds_all_its_room_or_none() {
    let mut bench = Bench::new();
    let running = bench.sized("q", "2", "10");
    let job = bench.nodes(6);
    assert_eq!(bench.started(), [running], "3 vCPUs are not there, though some are");
    assert_eq!(bench.machine.capacity.held.vcpus, Vcpus::whole(2));
    bench.exit(running, 0);
    assert_eq!((bench.status(job), bench.machine.capacity.held.vcpus), (JobStatus::Starting, Vcpus::whole(3)));
    bench.member_begins(job, 1);
    bench.member_exits(job, 0, 0);
    assert_eq!(bench.machine.capacity.held.vcpus, Vcpus::whole(3), "until all have ended");
}

#[test]
fn other_nodes_start_once_the_main_node_runs() {
    let mut bench = Bench::new();
    let job = bench.nodes(3);
    assert_eq!(bench.members_started(), [1]);
    bench.member_begins(job, 1);
    assert_eq!((bench.members_started(), bench.status(job)), (vec![0, 2], JobStatus::Running));
}

#[test]
fn the_main_nodes_end_is_the_jobs() {
    for (exit_code, status) in [(0, JobStatus::Succeeded), (1, JobStatus::Failed)] {
        let mut bench = Bench::new();
        let job = bench.nodes(3);
        bench.member_begins(job, 1);
        bench.member_begins(job, 0);
        bench.member_exits(job, 1, exit_code);
        assert_eq!(bench.members_stopped(), [0, 2]);
        bench.member_ends(job, 0, Ending::Stopped);
        assert_eq!(bench.status(job), JobStatus::Running);
        bench.member_ends(job, 2, Ending::Stopped);
        assert_eq!(bench.status(job), status);
    }
}

#[test]
fn another_nodes_failure_ends_nothing() {
    let mut bench = Bench::new();
    let job = bench.nodes(3);
    bench.member_begins(job, 1);
    bench.member_exits(job, 0, 1);
    bench.member_ends(job, 2, Ending::CouldNotStart { reason: "no".to_owned() });
    assert_eq!((bench.status(job), bench.members_stopped()), (JobStatus::Running, vec![]));
    bench.member_exits(job, 1, 0);
    assert_eq!(bench.status(job), JobStatus::Succeeded);
}

#[test]
fn an_essential_containers_end_on_another_node_stops_that_node_alone() {
    let mut bench = Bench::new();
    let work = task(TaskKind::Ecs, &[("main", Role::Essential, FREE), ("side", Role::Sidecar, FREE)]);
    let work = NodeWork::Task(Box::new(work));
    let ranges = vec![NodeRange { first: 0, last: None, work, consumables: Vec::new() }];
    bench.define_shape(JobShape::Nodes(Box::new(NodeProperties::new(3, 0, ranges).unwrap())));
    let job = bench.after(&[]);
    bench.member_begins(job, 0);
    assert_eq!(bench.members_started(), [0, 1, 2, 3, 4, 5]);
    bench.member_exits(job, 2, 0);
    assert_eq!(bench.members_stopped(), [3]);
    bench.member_ends(job, 3, Ending::Stopped);
    assert_eq!((bench.members(job)[3].phase, bench.status(job)), (MemberPhase::Stopped, JobStatus::Running));
    assert!(bench.members_stopped().is_empty(), "asked once");
}

#[test]
fn a_timeout_stops_all_containers_and_is_not_retried() {
    let mut bench = Bench::new();
    bench.nodes(3);
    bench.started();
    let job = bench.submit_with("q", |submission| {
        submission.timeout_seconds = Some(5);
        submission.retry = Some(RetryStrategy { attempts: 3, rules: Vec::new() });
    });
    bench.member_begins(job, 1);
    bench.member_begins(job, 2);
    bench.pass(5);
    assert_eq!(bench.members_stopped(), [0, 1, 2]);
    for member in 0..3 {
        bench.member_ends(job, member, Ending::Stopped);
    }
    assert_eq!((bench.status(job), bench.reason(job)), (JobStatus::Failed, "Job attempt duration exceeded timeout"));
    assert_eq!(bench.members(job)[0].exit_code, None, "it had not run");
    assert_eq!(bench.members(job)[1].exit_code, Some(137));
}

#[test]
fn a_terminate_before_the_main_node_runs_ends_all() {
    let mut bench = Bench::new();
    let job = bench.nodes(3);
    bench.terminate(job);
    assert_eq!(bench.members_stopped(), [1]);
    bench.member_ends(job, 1, Ending::Stopped);
    assert_eq!((bench.status(job), bench.reason(job)), (JobStatus::Failed, "terminated"));
    assert_eq!(bench.members_started(), [1]);
}

#[test]
fn a_lost_container_interrupts_the_attempt_and_all_start_again() {
    let mut bench = Bench::new();
    let job = bench.nodes(3);
    bench.member_begins(job, 1);
    bench.member_ends(job, 2, Ending::Lost);
    assert_eq!(bench.members_stopped(), [0, 1]);
    bench.members_started();
    bench.member_ends(job, 0, Ending::Stopped);
    bench.member_ends(job, 1, Ending::Stopped);
    let progress = &bench.archive.progress[&job];
    assert_eq!((progress.interruptions, progress.uncounted, progress.attempts.len()), (1, 1, 1));
    assert_eq!(progress.attempts[0].status_reason, "Host EC2 (instance i-1) terminated.");
    assert_eq!((bench.status(job), bench.members_started()), (JobStatus::Starting, vec![1]));
}

#[test]
fn a_container_stopped_though_nobody_asked_counts_as_lost() {
    let mut bench = Bench::new();
    let job = bench.task(&[("main", Role::Essential, FREE), ("side", Role::Sidecar, FREE)]);
    bench.member_begins(job, 0);
    bench.member_ends(job, 1, Ending::Stopped);
    assert_eq!((bench.members(job)[1].phase, bench.members_stopped()), (MemberPhase::Lost, vec![0]));
}

#[test]
fn doubled_stale_and_unknown_reports_of_containers_change_nothing() {
    let mut bench = Bench::new();
    let job = bench.task(&[("main", Role::Essential, FREE), ("side", Role::Sidecar, FREE)]);
    let first = bench.starts[0].0;
    bench.member_begins(job, 0);
    bench.member_begins(job, 0);
    bench.member_exits(job, 1, 0);
    bench.member_exits(job, 1, 1);
    bench.member_begins(job, 1);
    bench.member_exits(job, 2, 0);
    assert_eq!(bench.machine.dropped_reports(), 4);
    assert_eq!(bench.members(job)[1].exit_code, Some(0));
    bench.member_ends(job, 0, Ending::Lost);
    let late = AttemptEvent::ended(Ending::Exited { exit_code: 0, reason: None });
    bench.run(Command::Report(Report { attempt: first, event: late })).unwrap();
    assert_eq!((bench.status(job), bench.machine.dropped_reports()), (JobStatus::Starting, 5));
}

#[test]
fn an_array_of_tasks_runs_each_child_with_all_its_containers() {
    let mut bench = Bench::new();
    let only = bench.task(&[("main", Role::Essential, FREE), ("side", Role::Sidecar, FREE)]);
    let array = bench.array(4, &[]);
    assert_eq!(bench.count(array, JobStatus::Starting), 3, "1 vCPU each");
    bench.member_exits(array.child(0), 0, 0);
    bench.member_ends(array.child(0), 1, Ending::Stopped);
    assert_eq!((bench.status(array.child(0)), bench.status(only)), (JobStatus::Succeeded, JobStatus::Starting));
    assert_eq!(bench.count(array, JobStatus::Starting), 3);
}

#[test]
fn a_multi_node_job_is_no_array() {
    let mut bench = Bench::new();
    bench.nodes(2);
    let refused = bench.refused("q", |submission| submission.array_size = Some(2));
    assert!(matches!(refused, Rejection::Shape { member: "arrayProperties", .. }));
}

#[test]
fn a_job_of_a_thousand_nodes_runs_to_its_end() {
    let mut bench = Bench::new();
    let node = Node { instance: "i-1".to_owned(), vcpus: Vcpus::whole(500), memory_mib: 10_000, gpus: 0 };
    bench.machine = StateMachine::restore(node, bench.archive.live()).unwrap();
    bench.environment("wide", 500);
    bench.queue("wide", 1, &["wide"]);
    bench.nodes(1000);
    let job = bench.submit_with("wide", |_| {});
    let first = bench.starts[0].0;
    let mut out = Outputs::default();
    let mut now = Timestamp::from_millis(bench.now);
    for event in [AttemptEvent::Started { image_digest: None }, AttemptEvent::ended(Ending::Stopped)] {
        for member in (1..1000).chain([0]) {
            let event = match (&event, member) {
                (AttemptEvent::Ended { .. }, 1) => AttemptEvent::ended(Ending::Exited { exit_code: 0, reason: None }),
                (event, _) => event.clone(),
            };
            now = now.after(std::time::Duration::from_millis(1));
            let report = Report { attempt: first.of_member(member), event };
            bench.machine.apply(&bench.archive, Command::Report(report), now, &mut out).unwrap();
            out.effects.clear();
            out.changes.drain(..).for_each(|change| bench.archive.write(&change));
        }
    }
    assert_eq!(bench.status(job), JobStatus::Succeeded);
}

#[test]
fn each_container_records_what_it_used() {
    let mut bench = Bench::new();
    let job = bench.task(&[("main", Role::Essential, FREE), ("side", Role::Sidecar, FREE)]);
    for member in [0, 1] {
        bench.member_begins(job, member);
    }
    let used = |cpu_microseconds| Usage { cpu_microseconds, fuel: Some(9), ..Usage::default() };
    let exited = Ending::Exited { exit_code: 0, reason: None };
    for (member, ending) in [(0, exited), (1, Ending::Stopped)] {
        let usage = Some(used(u64::from(member) + 5));
        bench.member(job, member, AttemptEvent::Ended { ending, usage });
    }
    let attempt = &bench.archive.progress[&job].attempts[0];
    let recorded: Vec<_> = attempt.members.iter().map(|member| member.usage).collect();
    assert_eq!((attempt.usage, recorded), (None, vec![Some(used(5)), Some(used(6))]));
}
