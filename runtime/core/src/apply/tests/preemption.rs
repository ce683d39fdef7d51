//! Work on SPOT environments makes room for work that is not.

use super::*;
use crate::definition::{Task, TaskContainer, TaskKind};
use crate::layout::Role;

impl Bench {
    /// Beside `q` on the environments `a` and `b`: queue `spot` on a SPOT environment of 4 vCPUs.
    fn with_spot(priority: u32) -> Self {
        let mut bench = Self::new();
        let kind = EnvironmentKind::Managed { platform: Platform::Spot, max_vcpus: 4, resources: Document::default() };
        let environment = Box::new(ComputeEnvironment {
            name: name("s"),
            uuid: String::new(),
            state: Enablement::Enabled,
            lifecycle: Lifecycle::Valid,
            kind,
            rest: Document::default(),
        });
        bench.run(Command::CreateComputeEnvironment { environment, tags: Tags::default() }).unwrap();
        bench.queue("spot", priority, &["s"]);
        bench
    }

    fn fill(&mut self, queue: &str) -> Vec<JobId> {
        (0..4).map(|_| self.sized(queue, "1", "10")).collect()
    }

    fn stopped(&mut self) -> Vec<JobId> {
        self.stops.drain(..).map(|attempt| attempt.job).collect()
    }
}

#[test]
fn the_newest_spot_attempt_makes_room_and_goes_back_to_its_queue_uncounted() {
    let mut bench = Bench::with_spot(1);
    let spot = bench.fill("spot");
    bench.begin(spot[3]);
    let job = bench.sized("q", "1", "10");
    assert_eq!((bench.stopped(), bench.status(job)), (vec![spot[3]], JobStatus::Runnable));
    bench.end(spot[3], Ending::Stopped);
    assert_eq!((bench.status(job), bench.status(spot[3])), (JobStatus::Starting, JobStatus::Runnable));
    let progress = &bench.archive.progress[&spot[3]];
    assert_eq!((progress.interruptions, progress.uncounted), (1, 1));
    assert_eq!(progress.attempts[0].status_reason, "Host EC2 (instance i-1) terminated.");
    bench.exit(job, 0);
    assert_eq!(bench.status(spot[3]), JobStatus::Starting);
    bench.exit(spot[3], 0);
    assert_eq!(bench.status(spot[3]), JobStatus::Succeeded);
}

#[test]
fn room_is_asked_for_once() {
    let mut bench = Bench::with_spot(1);
    bench.fill("spot");
    bench.sized("q", "2", "10");
    assert_eq!(bench.stopped().len(), 2);
    bench.pass(1);
    bench.sized("q", "1", "10");
    assert!(bench.stopped().is_empty(), "the room that is being made is the first job's");
}

#[test]
fn the_job_that_room_was_made_for_gets_it_whatever_ranks_the_queues_have() {
    let mut bench = Bench::with_spot(9);
    let spot = bench.fill("spot");
    let more: Vec<JobId> = bench.fill("spot");
    let job = bench.sized("q", "2", "10");
    for stopped in bench.stopped() {
        bench.end(stopped, Ending::Stopped);
    }
    assert_eq!(bench.status(job), JobStatus::Starting);
    assert_eq!((bench.status(spot[2]), bench.status(more[0])), (JobStatus::Runnable, JobStatus::Runnable));
    bench.pass(1);
    assert!(bench.stopped().is_empty());
}

#[test]
fn work_of_lower_priority_makes_room_first_and_the_newest_of_it() {
    let mut bench = Bench::with_spot(5);
    bench.queue("low", 1, &["s"]);
    let low = [bench.sized("low", "1", "10"), bench.sized("low", "1", "10")];
    let high = [bench.sized("spot", "1", "10"), bench.sized("spot", "1", "10")];
    bench.sized("q", "3", "10");
    assert_eq!(bench.stopped(), [low[1], low[0], high[1]]);
}

#[test]
fn nothing_is_interrupted_where_that_would_not_help() {
    let mut bench = Bench::with_spot(1);
    let running = bench.sized("q", "2", "10");
    bench.sized("spot", "1", "10");
    bench.sized("spot", "1", "10");
    let job = bench.sized("q", "3", "10");
    assert_eq!((bench.status(running), bench.status(job)), (JobStatus::Starting, JobStatus::Runnable));
    assert!(bench.stops.is_empty());
}

#[test]
fn nothing_is_interrupted_for_a_job_that_waits_for_its_environment() {
    let mut bench = Bench::with_spot(1);
    bench.queue("small", 9, &["a"]);
    bench.sized("small", "2", "10");
    bench.sized("spot", "1", "10");
    bench.sized("small", "1", "10");
    assert!(bench.stops.is_empty(), "its environment a is full, not the node");
}

#[test]
fn work_of_the_same_queue_is_not_interrupted() {
    let mut bench = Bench::with_spot(1);
    bench.queue("mixed", 9, &["s", "a"]);
    bench.fill("mixed");
    let job = bench.sized("mixed", "1", "10");
    assert_eq!((bench.stops.len(), bench.status(job)), (0, JobStatus::Runnable));
}

#[test]
fn spot_work_interrupts_nobody() {
    let mut bench = Bench::with_spot(1);
    bench.queue("high", 9, &["s"]);
    bench.fill("spot");
    bench.sized("high", "1", "10");
    let mut other = Bench::with_spot(1);
    other.fill("q");
    other.sized("spot", "1", "10");
    assert!(bench.stops.is_empty() && other.stops.is_empty());
}

#[test]
fn work_that_is_not_on_spot_is_interrupted_for_nobody() {
    let mut bench = Bench::with_spot(1);
    bench.queue("high", 9, &["a"]);
    bench.sized("q", "0.25", "390");
    let job = bench.sized("high", "1", "100");
    assert_eq!((bench.stops.len(), bench.status(job)), (0, JobStatus::Runnable));
}

#[test]
fn what_ends_by_itself_before_it_made_room_has_ended_as_it_did() {
    let mut bench = Bench::with_spot(1);
    let spot = bench.fill("spot");
    bench.sized("q", "2", "10");
    bench.exit(spot[3], 0);
    bench.exit(spot[2], 1);
    assert_eq!((bench.status(spot[3]), bench.status(spot[2])), (JobStatus::Succeeded, JobStatus::Failed));
}

#[test]
fn what_complies_with_making_room_goes_back_to_its_queue_uncounted() {
    let mut bench = Bench::with_spot(1);
    let spot = bench.fill("spot");
    bench.begin(spot[3]);
    let job = bench.sized("q", "1", "10");
    assert_eq!(bench.stopped(), [spot[3]]);
    bench.end(spot[3], Ending::Complied { exit_code: 143 });
    assert_eq!((bench.status(spot[3]), bench.status(job)), (JobStatus::Runnable, JobStatus::Starting));
    let progress = &bench.archive.progress[&spot[3]];
    assert_eq!((progress.uncounted, progress.attempts[0].exit_code), (1, None));
}

#[test]
fn a_terminate_outranks_making_room() {
    let mut bench = Bench::with_spot(1);
    let spot = bench.fill("spot");
    bench.sized("q", "1", "10");
    bench.terminate(spot[3]);
    assert_eq!(bench.stopped(), [spot[3]], "it was told already");
    bench.end(spot[3], Ending::Stopped);
    assert_eq!((bench.status(spot[3]), bench.reason(spot[3])), (JobStatus::Failed, "terminated"));
    assert_eq!(bench.archive.progress[&spot[3]].ended_by, EndedBy::Terminate);
}

#[test]
fn a_deleted_queue_takes_along_what_is_making_room() {
    let mut bench = Bench::with_spot(1);
    let spot = bench.fill("spot");
    bench.sized("q", "1", "10");
    bench.enable_queue("spot", Enablement::Disabled);
    bench.run(Command::DeleteJobQueue { name: name("spot") }).unwrap();
    for job in spot {
        bench.end(job, Ending::Stopped);
        assert_eq!((bench.status(job), bench.reason(job)), (JobStatus::Failed, "JobQueue deleted"));
    }
    assert!(!bench.machine.queues.contains_key(&name("spot")));
}

#[test]
fn only_five_times_is_making_room_free() {
    let mut bench = Bench::with_spot(1);
    bench.run(Command::CancelJob { job: JobId::from_bytes([1; 16]), reason: String::new() }).unwrap();
    let spot = bench.sized("spot", "4", "10");
    for round in 1..=6 {
        let job = bench.sized("q", "1", "10");
        assert_eq!(bench.stopped(), [spot]);
        bench.end(spot, Ending::Stopped);
        assert_eq!(bench.archive.progress[&spot].attempts.len(), round);
        bench.exit(job, 0);
    }
    assert_eq!(bench.status(spot), JobStatus::Failed, "as for a node that goes down");
}

#[test]
fn a_task_that_is_to_make_room_and_ends_by_itself_has_ended_as_it_did() {
    let mut bench = Bench::with_spot(1);
    let container = ContainerProperties { vcpus: Some(2), memory: Some(10), ..ContainerProperties::default() };
    let one = |name: &str, role| TaskContainer {
        name: name.to_owned(),
        role,
        depends_on: Vec::new(),
        args: Vec::new(),
        properties: container.clone(),
    };
    let task = Task::new(TaskKind::Ecs, vec![one("main", Role::Essential), one("side", Role::Sidecar)]).unwrap();
    for exits_by_itself in [true, false] {
        bench.define_shape(JobShape::Task(Box::new(task.clone())));
        let spot = bench.submit_with("spot", |_| {});
        let first = bench.archive.progress[&spot].state.attempt().unwrap();
        bench.define(None);
        let job = bench.sized("q", "1", "10");
        assert_eq!(bench.stopped(), [spot, spot], "both containers");
        let ended = |bench: &mut Bench, member, ending| {
            let event = AttemptEvent::ended(ending);
            bench.run(Command::Report(Report { attempt: first.of_member(member), event })).unwrap();
        };
        let main = if exits_by_itself { Ending::Exited { exit_code: 0, reason: None } } else { Ending::Stopped };
        ended(&mut bench, 0, main);
        ended(&mut bench, 1, Ending::Stopped);
        let status = if exits_by_itself { JobStatus::Succeeded } else { JobStatus::Runnable };
        assert_eq!((bench.status(spot), bench.status(job)), (status, JobStatus::Starting));
        assert!(bench.stopped().is_empty(), "asked once");
        bench.exit(job, 0);
    }
}
