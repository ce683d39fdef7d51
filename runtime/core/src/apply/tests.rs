//! The rules, one by one, on a machine of 4 vCPUs and 400 MiB.

mod arrays;
mod consumables;
mod entities;
mod groups;
mod preemption;
mod services;
mod shares;
mod waits;

use std::collections::BTreeMap;

use crate::command::{DefinitionReference, Submission};
use crate::definition::{ContainerProperties, DefinitionSpec, JobShape, Overrides, ResourceKind, ResourceRequirement};
use crate::environment::{ComputeEnvironment, Enablement, EnvironmentKind, EnvironmentUpdate, Lifecycle, Platform};
use crate::job::retry::{ExitAction, ExitRule, RetryStrategy};
use crate::job::{EndedBy, JobStatus};
use crate::queue::{EnvironmentOrder, NewQueue, QueueUpdate};
use crate::*;

#[path = "../../tests/sim/rows.rs"]
mod rows;

use rows::Rows;

struct Bench {
    machine: StateMachine,
    archive: Rows,
    now: i64,
    /// Attempts in the order they were told to start.
    starts: Vec<(AttemptId, Name)>,
    stops: Vec<AttemptId>,
    /// Rows that the last command wrote.
    changes: usize,
    next_id: u16,
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

impl Bench {
    /// Environments `a` (2 vCPUs) and `b` (3), queue `q` on both, definition `d`.
    fn new() -> Self {
        let node = Node { instance: "i-1".to_owned(), vcpus: Vcpus::whole(4), memory_mib: 400, gpus: 0 };
        let mut bench = Self {
            machine: StateMachine::new(node),
            archive: Rows::default(),
            now: 1_000,
            starts: Vec::new(),
            stops: Vec::new(),
            changes: 0,
            next_id: 0,
        };
        bench.environment("a", 2);
        bench.environment("b", 3);
        bench.queue("q", 1, &["a", "b"]);
        bench.define(None);
        bench
    }

    fn run(&mut self, command: Command) -> Result<Reply, Rejection> {
        let mut out = Outputs::default();
        let now = Timestamp::from_millis(self.now);
        let reply = self.machine.apply(&self.archive, command, now, &mut out);
        self.machine.schedule(now, &mut out);
        self.machine.check_invariants();
        assert!(self.machine.next_wakeup().is_none_or(|due| due > now), "what was due has been done");
        self.changes = out.changes.len();
        for change in &out.changes {
            self.archive.write(change);
        }
        let restored = StateMachine::restore(self.machine.node.clone(), self.archive.live()).unwrap();
        assert!(restored == self.machine, "restoring gives the same:\n{restored:#?}\n{:#?}", self.machine);
        for effect in out.effects {
            match effect {
                Effect::StartAttempt { attempt, environment } => self.starts.push((attempt, environment)),
                Effect::StopAttempt { attempt } => self.stops.push(attempt),
                Effect::StatusChanged { .. } => {}
            }
        }
        reply
    }

    fn environment(&mut self, text: &str, max_vcpus: u32) {
        let kind = EnvironmentKind::Managed { platform: Platform::Ec2, max_vcpus, resources: Document::default() };
        let environment = Box::new(ComputeEnvironment {
            name: name(text),
            uuid: String::new(),
            state: Enablement::Enabled,
            lifecycle: Lifecycle::Valid,
            kind,
            rest: Document::default(),
        });
        self.run(Command::CreateComputeEnvironment { environment, tags: Tags::default() }).unwrap();
    }

    fn new_queue(text: &str, priority: u32, environments: &[&str]) -> Command {
        let environments = (0..).zip(environments).map(|(order, e)| EnvironmentOrder { order, environment: name(e) });
        let queue = NewQueue::new(name(text), priority, environments.collect());
        Command::CreateJobQueue { queue: Box::new(queue), tags: Tags::default() }
    }

    fn queue(&mut self, text: &str, priority: u32, environments: &[&str]) {
        self.run(Self::new_queue(text, priority, environments)).unwrap();
    }

    fn define(&mut self, retry: Option<RetryStrategy>) {
        let container = ContainerProperties { vcpus: Some(1), memory: Some(10), ..ContainerProperties::default() };
        let spec = DefinitionSpec { retry, ..DefinitionSpec::of(JobShape::Container(Box::new(container))) };
        self.run(Command::RegisterJobDefinition { name: name("d"), spec: Box::new(spec), tags: Tags::default() })
            .unwrap();
    }

    fn new_id(&mut self) -> JobId {
        self.next_id += 1;
        let [high, low] = self.next_id.to_be_bytes();
        JobId::from_bytes([high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    }

    fn submission(&mut self, queue: &str) -> Submission {
        Submission {
            id: self.new_id(),
            name: JobName::parse("j").unwrap(),
            queue: name(queue),
            definition: DefinitionReference { name: name("d"), revision: None },
            parameters: BTreeMap::new(),
            depends_on: Vec::new(),
            array_size: None,
            share: None,
            scheduling_priority: None,
            overrides: Overrides::default(),
            fingerprint: [0; 32],
            retry: None,
            timeout_seconds: None,
            propagate_tags: None,
            tags: Tags::default(),
            rest: Document::default(),
        }
    }

    fn submit(&mut self, submission: Submission) -> JobId {
        let id = submission.id;
        self.run(Command::SubmitJob(Box::new(submission))).unwrap();
        id
    }

    fn submit_with(&mut self, queue: &str, change: impl FnOnce(&mut Submission)) -> JobId {
        let mut submission = self.submission(queue);
        change(&mut submission);
        self.submit(submission)
    }

    fn refused(&mut self, queue: &str, change: impl FnOnce(&mut Submission)) -> Rejection {
        let mut submission = self.submission(queue);
        change(&mut submission);
        self.run(Command::SubmitJob(Box::new(submission))).unwrap_err()
    }

    /// Submits an array of jobs of 1 vCPU.
    fn array(&mut self, size: u32, depends_on: &[Dependency]) -> JobId {
        self.submit_with("q", |submission| {
            submission.array_size = Some(size);
            submission.depends_on = depends_on.to_vec();
        })
    }

    /// Submits something that must start.
    fn after(&mut self, depends_on: &[Dependency]) -> JobId {
        self.submit_with("q", |submission| submission.depends_on = depends_on.to_vec())
    }

    /// Submits something large enough to keep all others waiting.
    fn blocker(&mut self) -> JobId {
        self.sized("q", "0.25", "400")
    }

    fn cancel(&mut self, job: JobId) {
        self.run(Command::CancelJob { job, reason: "cancelled".to_owned() }).unwrap();
    }

    fn terminate(&mut self, job: JobId) {
        self.run(Command::TerminateJob { job, reason: "terminated".to_owned() }).unwrap();
    }

    /// Lets time pass.
    fn pass(&mut self, seconds: i64) {
        self.now += seconds * 1000;
        self.run(Command::Tick).unwrap();
    }

    fn explain(&mut self, job: JobId) -> String {
        match self.run(Command::ExplainJob { job }) {
            Ok(Reply::Explanation(Some(explanation))) => explanation.sentence,
            other => panic!("an explanation of {job}: {other:?}"),
        }
    }

    fn snapshot(&mut self, queue: &str) -> snapshot::QueueSnapshot {
        match self.run(Command::SnapshotJobQueue { queue: name(queue) }) {
            Ok(Reply::Snapshot(snapshot)) => *snapshot,
            other => panic!("a snapshot of {queue}: {other:?}"),
        }
    }

    fn front(&mut self, queue: &str) -> Vec<JobId> {
        self.snapshot(queue).front.iter().map(|front| front.job).collect()
    }

    /// Jobs and children in the order they were told to start, since the last look.
    fn started(&mut self) -> Vec<JobId> {
        self.starts.drain(..).map(|(attempt, _)| attempt.job).collect()
    }

    /// Where a job, an array or a child of a live array is.
    fn whereabouts(&self, id: JobId) -> JobStatus {
        if let Some(progress) = self.archive.progress.get(&id) {
            return progress.state.status();
        }
        let (index, array) = (id.child_index().unwrap(), &self.machine.arrays.get(&id.whole()));
        match array {
            Some(array) if array.ready.contains(index) => JobStatus::Runnable,
            Some(array) if array.blocked.contains(index) => JobStatus::Pending,
            Some(_) | None => self.dropped(id).map(|_| JobStatus::Failed).unwrap(),
        }
    }

    /// What the parent's row says of a child that ended without a row.
    fn dropped(&self, id: JobId) -> Option<job::Dropped> {
        let known = self.archive.progress[&id.whole()].array.as_ref()?;
        known.dropped_child(id.child_index()?).cloned()
    }

    /// How many children are in this status, as the summary's row says.
    fn count(&self, array: JobId, status: JobStatus) -> u32 {
        self.archive.summaries[&array].count(status)
    }

    /// Submits to a queue with this much of the node.
    fn sized(&mut self, queue: &str, vcpus: &str, memory: &str) -> JobId {
        let mut submission = self.submission(queue);
        let requirement = |kind, value: &str| ResourceRequirement { kind, value: value.to_owned() };
        submission.overrides.container.resource_requirements =
            vec![requirement(ResourceKind::Vcpu, vcpus), requirement(ResourceKind::Memory, memory)];
        self.submit(submission)
    }

    fn report(&mut self, job: JobId, event: AttemptEvent) {
        let attempt = self.archive.progress[&job].state.attempt().expect("an attempt is under way");
        self.run(Command::Report(Report { attempt, event })).unwrap();
    }

    fn begin(&mut self, job: JobId) {
        self.report(job, AttemptEvent::Started { image_digest: None });
    }

    pub(super) fn end(&mut self, job: JobId, ending: Ending) {
        self.report(job, AttemptEvent::ended(ending));
    }

    fn exit(&mut self, job: JobId, exit_code: u8) {
        self.end(job, Ending::Exited { exit_code, reason: None });
    }

    fn status(&self, job: JobId) -> JobStatus {
        self.archive.progress[&job].state.status()
    }

    fn reason(&self, job: JobId) -> &str {
        self.archive.progress[&job].status_reason.as_deref().unwrap_or_default()
    }

    fn placed(&self) -> Vec<(JobId, &str)> {
        self.starts.iter().map(|(attempt, environment)| (attempt.job, environment.as_str())).collect()
    }

    fn enable_environment(&mut self, text: &str, state: Enablement) {
        let update = EnvironmentUpdate {
            name: name(text),
            state: Some(state),
            platform: None,
            max_vcpus: None,
            unmanaged_vcpus: None,
            resources: Document::default(),
            rest: Document::default(),
        };
        self.run(Command::UpdateComputeEnvironment(Box::new(update))).unwrap();
    }

    fn enable_queue(&mut self, text: &str, state: Enablement) {
        let update = QueueUpdate { state: Some(state), ..QueueUpdate::of(name(text)) };
        self.run(Command::UpdateJobQueue(Box::new(update))).unwrap();
    }
}

#[test]
fn environments_are_tried_in_order_and_the_node_bounds_them_all() {
    let mut bench = Bench::new();
    let jobs: Vec<JobId> = (0..5).map(|_| bench.sized("q", "1", "10")).collect();
    assert_eq!(bench.placed(), [(jobs[0], "a"), (jobs[1], "a"), (jobs[2], "b"), (jobs[3], "b")]);
    bench.exit(jobs[0], 0);
    assert_eq!(bench.placed()[4], (jobs[4], "a"));
}

#[test]
fn a_queue_is_first_in_first_out_even_behind_a_large_job() {
    let mut bench = Bench::new();
    let first = bench.sized("q", "2", "10");
    let large = bench.sized("q", "3", "390");
    let small = bench.sized("q", "0.25", "4");
    assert_eq!(bench.placed(), [(first, "a")]);
    assert_eq!((bench.status(large), bench.status(small)), (JobStatus::Runnable, JobStatus::Runnable));
    bench.exit(first, 0);
    assert_eq!(bench.placed()[1..], [(large, "b"), (small, "a")]);
}

#[test]
fn higher_priority_goes_first_and_is_not_starved_by_what_is_smaller() {
    let mut bench = Bench::new();
    bench.queue("high", 9, &["b"]);
    let running = bench.sized("q", "2", "10");
    let large = bench.sized("high", "3", "10");
    let small = bench.sized("q", "1", "10");
    assert_eq!(bench.status(large), JobStatus::Runnable);
    assert_eq!(bench.status(small), JobStatus::Runnable, "it would take what the large one waits for");
    bench.exit(running, 0);
    assert_eq!(bench.placed()[1..], [(large, "b"), (small, "a")]);
}

#[test]
fn a_head_that_waits_for_its_environment_leaves_the_others_alone() {
    let mut bench = Bench::new();
    bench.queue("only-a", 9, &["a"]);
    bench.queue("only-b", 1, &["b"]);
    let first = bench.sized("only-a", "2", "10");
    let second = bench.sized("only-a", "1", "10");
    let other = bench.sized("only-b", "1", "10");
    assert_eq!(bench.placed(), [(first, "a"), (other, "b")]);
    assert_eq!(bench.status(second), JobStatus::Runnable);
}

#[test]
fn a_job_that_never_fits_says_so_and_blocks_its_own_queue_alone() {
    let mut bench = Bench::new();
    bench.queue("other", 1, &["b"]);
    let huge = bench.sized("q", "5", "10");
    let behind = bench.sized("q", "1", "10");
    let other = bench.sized("other", "1", "10");
    assert!(bench.reason(huge).starts_with("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"));
    assert_eq!(bench.placed(), [(other, "b")]);
    bench.run(Command::CancelJob { job: huge, reason: "too large".to_owned() }).unwrap();
    assert_eq!(bench.placed()[1], (behind, "a"));
    let wide = bench.sized("q", "4", "10");
    assert!(bench.reason(wide).starts_with("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"));
}

#[test]
fn a_disabled_environment_takes_nothing_new_and_a_disabled_queue_refuses() {
    let mut bench = Bench::new();
    bench.enable_environment("a", Enablement::Disabled);
    let job = bench.sized("q", "1", "10");
    assert_eq!(bench.placed(), [(job, "b")]);
    let waiting = bench.sized("q", "3", "10");
    bench.enable_queue("q", Enablement::Disabled);
    let submission = bench.submission("q");
    let refused = bench.run(Command::SubmitJob(Box::new(submission)));
    assert!(matches!(refused, Err(Rejection::QueueDisabled { .. })));
    bench.exit(job, 0);
    assert_eq!(bench.status(waiting), JobStatus::Starting, "what is in a disabled queue drains");
}

#[test]
fn a_failed_attempt_is_retried_until_its_attempts_are_used_up() {
    let mut bench = Bench::new();
    bench.define(Some(RetryStrategy { attempts: 2, rules: Vec::new() }));
    let submission = bench.submission("q");
    let job = bench.submit(submission);
    bench.begin(job);
    bench.exit(job, 1);
    assert_eq!(bench.starts[1].0.number, 2);
    bench.end(job, Ending::CouldNotStart { reason: "no".to_owned() });
    let progress = &bench.archive.progress[&job];
    assert_eq!((bench.status(job), bench.reason(job)), (JobStatus::Failed, "Task failed to start"));
    assert_eq!(progress.attempts[0].exit_code, Some(1));
    assert_eq!((progress.attempts[1].exit_code, progress.attempts[1].started_at), (None, None));
}

#[test]
fn an_exit_rule_ends_a_job_that_has_attempts_left() {
    let mut bench = Bench::new();
    let rule = ExitRule {
        on_reason: None,
        on_status_reason: None,
        on_exit_code: Some("3".to_owned()),
        action: ExitAction::Exit,
    };
    let mut submission = bench.submission("q");
    submission.retry = Some(RetryStrategy { attempts: 5, rules: vec![rule] });
    let job = bench.submit(submission);
    bench.exit(job, 1);
    assert_eq!(bench.status(job), JobStatus::Starting);
    bench.exit(job, 3);
    assert_eq!(bench.status(job), JobStatus::Failed);
}

#[test]
fn five_interruptions_are_free_and_the_sixth_counts() {
    let mut bench = Bench::new();
    let submission = bench.submission("q");
    let job = bench.submit(submission);
    for _ in 0..5 {
        bench.end(job, Ending::Lost);
        assert_eq!(bench.status(job), JobStatus::Starting);
    }
    bench.end(job, Ending::Lost);
    assert_eq!(bench.status(job), JobStatus::Failed);
    assert_eq!(bench.reason(job), "Host EC2 (instance i-1) terminated.");
    assert_eq!(bench.archive.progress[&job].attempts.len(), 6);
}

#[test]
fn the_jobs_own_rules_see_an_interruption_first() {
    let mut bench = Bench::new();
    let rule = ExitRule {
        on_reason: None,
        on_status_reason: Some("Host EC2*".to_owned()),
        on_exit_code: None,
        action: ExitAction::Exit,
    };
    let mut submission = bench.submission("q");
    submission.retry = Some(RetryStrategy { attempts: 5, rules: vec![rule] });
    let job = bench.submit(submission);
    bench.end(job, Ending::Lost);
    assert_eq!(bench.status(job), JobStatus::Failed);
}

#[test]
fn time_runs_from_running_and_a_timeout_is_never_retried() {
    let mut bench = Bench::new();
    let mut submission = bench.submission("q");
    submission.timeout_seconds = Some(2);
    submission.retry = Some(RetryStrategy { attempts: 5, rules: Vec::new() });
    let job = bench.submit(submission);
    bench.now += 60_000;
    bench.begin(job);
    assert_eq!(bench.machine.next_wakeup(), Some(Timestamp::from_millis(bench.now + 2_000)));
    bench.now += 1_999;
    bench.run(Command::Tick).unwrap();
    assert!(bench.stops.is_empty());
    bench.now += 1;
    bench.run(Command::Tick).unwrap();
    bench.run(Command::Tick).unwrap();
    assert_eq!(bench.stops.len(), 1, "asked once");
    assert_eq!(bench.machine.next_wakeup(), None);
    bench.end(job, Ending::Stopped);
    assert_eq!((bench.status(job), bench.reason(job)), (JobStatus::Failed, "Job attempt duration exceeded timeout"));
    assert_eq!(bench.archive.progress[&job].attempts[0].exit_code, Some(137));
}

#[test]
fn what_ends_by_itself_when_asked_to_keeps_its_exit_code() {
    let mut bench = Bench::new();
    let mut submission = bench.submission("q");
    submission.timeout_seconds = Some(2);
    submission.retry = Some(RetryStrategy { attempts: 5, rules: Vec::new() });
    let job = bench.submit(submission);
    bench.begin(job);
    bench.now += 2_000;
    bench.run(Command::Tick).unwrap();
    bench.end(job, Ending::Complied { exit_code: 0 });
    assert_eq!((bench.status(job), bench.reason(job)), (JobStatus::Failed, "Job attempt duration exceeded timeout"));
    let attempts = &bench.archive.progress[&job].attempts;
    assert_eq!((attempts.len(), attempts[0].exit_code), (1, Some(0)), "what is out of time isn't tried again");
    let unasked = bench.sized("q", "1", "10");
    bench.begin(unasked);
    bench.end(unasked, Ending::Complied { exit_code: 0 });
    assert_eq!(bench.status(unasked), JobStatus::Starting, "nobody asked: it was interrupted, and begins anew");
}

#[test]
fn cancel_ends_what_waits_and_leaves_what_has_begun_to_start() {
    let mut bench = Bench::new();
    let running = bench.sized("q", "1", "10");
    let mut submission = bench.submission("q");
    submission.depends_on = vec![Dependency::On(running)];
    let pending = bench.submit(submission);
    let cancel = |job| Command::CancelJob { job, reason: "changed my mind".to_owned() };
    bench.run(cancel(running)).unwrap();
    bench.run(cancel(pending)).unwrap();
    bench.run(cancel(JobId::from_bytes([99; 16]))).unwrap();
    assert_eq!(bench.status(running), JobStatus::Starting);
    assert_eq!((bench.status(pending), bench.reason(pending)), (JobStatus::Failed, "changed my mind"));
    assert_eq!(bench.archive.progress[&pending].ended_by, EndedBy::Cancel);
}

#[test]
fn terminate_stops_a_running_job_once_and_its_first_reason_stands() {
    let mut bench = Bench::new();
    let job = bench.sized("q", "1", "10");
    bench.begin(job);
    for reason in ["first", "second"] {
        bench.run(Command::TerminateJob { job, reason: reason.to_owned() }).unwrap();
    }
    assert_eq!(bench.stops.len(), 1);
    bench.exit(job, 0);
    assert_eq!((bench.status(job), bench.reason(job)), (JobStatus::Failed, "first"), "what was answered stands");
    bench.run(Command::TerminateJob { job, reason: "late".to_owned() }).unwrap();
    assert_eq!(bench.reason(job), "first");
}

#[test]
fn dependents_wait_for_success_and_fail_with_what_they_depend_on() {
    let mut bench = Bench::new();
    let (good, bad) = (bench.sized("q", "1", "10"), bench.sized("q", "1", "10"));
    let mut depend = |on: Vec<JobId>| {
        let mut submission = bench.submission("q");
        submission.depends_on = on.into_iter().map(Dependency::On).collect();
        bench.submit(submission)
    };
    let after_good = depend(vec![good, good]);
    let after_both = depend(vec![good, bad]);
    let chained = depend(vec![after_both]);
    assert_eq!(bench.status(after_good), JobStatus::Pending);
    bench.exit(good, 0);
    assert_eq!(bench.status(after_good), JobStatus::Starting);
    assert_eq!(bench.status(after_both), JobStatus::Pending);
    bench.exit(bad, 1);
    for job in [after_both, chained] {
        assert_eq!((bench.status(job), bench.reason(job)), (JobStatus::Failed, "Dependent Job failed"));
    }
    let mut submission = bench.submission("q");
    submission.depends_on = vec![Dependency::On(bad)];
    let late = bench.submit(submission);
    assert_eq!((bench.status(late), bench.reason(late)), (JobStatus::Failed, "Dependent Job failed"));
    let mut submission = bench.submission("q");
    submission.depends_on = vec![Dependency::On(JobId::from_bytes([99; 16]))];
    let refused = bench.run(Command::SubmitJob(Box::new(submission)));
    assert!(matches!(refused, Err(Rejection::DependencyNotFound { .. })));
}

#[test]
fn a_stale_or_doubled_report_changes_nothing() {
    let mut bench = Bench::new();
    let job = bench.sized("q", "1", "10");
    let first = bench.starts[0].0;
    bench.begin(job);
    bench.begin(job);
    bench.end(job, Ending::Lost);
    let late = Report { attempt: first, event: AttemptEvent::ended(Ending::Exited { exit_code: 0, reason: None }) };
    bench.run(Command::Report(late)).unwrap();
    assert_eq!(bench.status(job), JobStatus::Starting);
    assert_eq!(bench.machine.dropped_reports(), 2);
}

#[test]
fn a_queue_is_deleted_once_disabled_and_takes_its_jobs_with_it() {
    let mut bench = Bench::new();
    let running = bench.sized("q", "4", "10");
    assert!(bench.starts.is_empty());
    bench.run(Command::CancelJob { job: running, reason: "x".to_owned() }).unwrap();
    let running = bench.sized("q", "3", "10");
    let waiting = bench.sized("q", "3", "10");
    let delete = Command::DeleteJobQueue { name: name("q") };
    assert_eq!(bench.run(delete.clone()), Err(Rejection::NotDisabled));
    bench.enable_queue("q", Enablement::Disabled);
    bench.run(delete.clone()).unwrap();
    assert_eq!((bench.status(waiting), bench.reason(waiting)), (JobStatus::Failed, "JobQueue deleted"));
    assert_eq!(bench.stops.len(), 1);
    let again = Bench::new_queue("q", 1, &["a"]);
    assert!(matches!(bench.run(again.clone()), Err(Rejection::QueueExists { .. })), "it goes with its last job");
    bench.end(running, Ending::Stopped);
    assert_eq!(bench.reason(running), "JobQueue deleted");
    bench.run(again).unwrap();
    bench.run(Command::DeleteJobQueue { name: name("unknown") }).unwrap();
}

#[test]
fn an_environment_is_deleted_once_disabled_and_unused() {
    let mut bench = Bench::new();
    bench.queue("r", 1, &["b"]);
    let delete = Command::DeleteComputeEnvironment { name: name("a") };
    assert_eq!(bench.run(delete.clone()), Err(Rejection::NotDisabled));
    let running = bench.sized("q", "1", "10");
    bench.enable_environment("a", Enablement::Disabled);
    assert_eq!(bench.run(delete.clone()), Err(Rejection::EnvironmentInUse));
    let environments = Some(vec![EnvironmentOrder { order: 1, environment: name("b") }]);
    let update = QueueUpdate { environments, ..QueueUpdate::of(name("q")) };
    bench.run(Command::UpdateJobQueue(Box::new(update))).unwrap();
    bench.run(delete.clone()).unwrap();
    assert!(bench.machine.environments.contains_key(&name("a")), "an attempt still holds of it");
    bench.exit(running, 0);
    assert!(!bench.machine.environments.contains_key(&name("a")));
    bench.run(delete).unwrap();
}

#[test]
fn revisions_go_on_after_deregistering_and_the_latest_active_one_is_taken() {
    let mut bench = Bench::new();
    bench.define(None);
    let deregister = |revision| Command::DeregisterJobDefinition { name: name("d"), revision };
    bench.run(deregister(2)).unwrap();
    assert_eq!(bench.archive.heads[&name("d")], DefinitionHead { last_revision: 2, latest_active: Some(1) });
    bench.run(deregister(1)).unwrap();
    let submission = bench.submission("q");
    let refused = bench.run(Command::SubmitJob(Box::new(submission)));
    assert!(matches!(refused, Err(Rejection::DefinitionNotActive { .. })));
    bench.define(None);
    assert_eq!(bench.archive.heads[&name("d")], DefinitionHead { last_revision: 3, latest_active: Some(3) });
    bench.run(deregister(77)).unwrap();
}

#[test]
fn more_than_fifty_tags_with_the_propagated_ones_fail_the_job() {
    let mut bench = Bench::new();
    let tags = |prefix: &str| Tags::new((0..30).map(|n| (format!("{prefix}{n}"), String::new())).collect()).unwrap();
    bench.archive.tags.insert(ResourceKey::JobDefinition(name("d"), 1), tags("d"));
    for (propagate_tags, prefix, status) in
        [(Some(true), "j", JobStatus::Failed), (Some(true), "d", JobStatus::Starting), (None, "j", JobStatus::Starting)]
    {
        let mut submission = bench.submission("q");
        (submission.propagate_tags, submission.tags) = (propagate_tags, tags(prefix));
        let job = bench.submit(submission);
        assert_eq!(bench.status(job), status, "{propagate_tags:?} {prefix}");
    }
}

#[test]
fn a_drained_node_starts_nothing_new() {
    let mut bench = Bench::new();
    bench.machine.hold_starts();
    let job = bench.sized("q", "1", "10");
    assert_eq!((bench.status(job), bench.starts.len()), (JobStatus::Runnable, 0));
}

#[test]
fn an_attempt_records_what_it_used_and_a_lost_one_nothing() {
    let mut bench = Bench::new();
    let job = bench.sized("q", "1", "10");
    bench.begin(job);
    bench.end(job, Ending::Lost);
    bench.begin(job);
    let usage = Usage { cpu_microseconds: 5, peak_memory_bytes: 6, fuel: Some(7), read_bytes: 8, written_bytes: 9 };
    let ending = Ending::Exited { exit_code: 0, reason: None };
    bench.report(job, AttemptEvent::Ended { ending, usage: Some(usage) });
    let recorded: Vec<_> = bench.archive.progress[&job].attempts.iter().map(|attempt| attempt.usage).collect();
    assert_eq!(recorded, [None, Some(usage)]);
}

#[test]
fn a_deterministic_job_is_refused_without_fuel() {
    let mut bench = Bench::new();
    let with = |bench: &mut Bench, value: &str, fuel: Option<&str>| {
        let mut submission = bench.submission("q");
        submission.tags = Tags::restored([(extension::DETERMINISTIC.to_owned(), value.to_owned())].into());
        let fuel = fuel.map(|value| ResourceRequirement { kind: ResourceKind::Fuel, value: value.to_owned() });
        submission.overrides.container.resource_requirements.extend(fuel);
        bench.run(Command::SubmitJob(Box::new(submission)))
    };
    assert_eq!(with(&mut bench, "true", None), Err(Rejection::DeterministicWithoutFuel));
    assert!(with(&mut bench, "false", None).is_ok());
    let Ok(Reply::Submitted { job }) = with(&mut bench, "true", Some("1000")) else { panic!("it has fuel") };
    assert!(bench.archive.jobs[&job].extensions.deterministic);
}
