//! What is written is what is read, and a restart finds the machine as it was.

use wasmbatch_core::job::JobStatus;
use wasmbatch_core::*;
use wasmbatch_store::{DefinitionFilter, JobCursor, JobFilter, JobsQuery, Store, WriteError};

use crate::samples::*;

struct Bench {
    store: Store,
    machine: StateMachine,
    now: i64,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("db")).unwrap();
        let mut bench = Self { store, machine: StateMachine::new(node()), now: 1_000, _folder: folder };
        for command in [environment("ce"), queue("queue", "ce"), definition("definition")] {
            bench.run(command);
        }
        bench
    }

    /// Runs a command as the writer does, and checks that a restart would find the same machine.
    fn run(&mut self, command: Command) -> Vec<Effect> {
        self.now += 1;
        let now = Timestamp::from_millis(self.now);
        let Self { store, machine, .. } = self;
        let effects = store
            .write(|transaction| {
                let mut out = Outputs::default();
                machine.apply(&*transaction, command, now, &mut out).expect("accepted");
                for change in out.changes.drain(..) {
                    transaction.put(&change)?;
                }
                machine.schedule(now, &mut out);
                for change in out.changes.drain(..) {
                    transaction.put(&change)?;
                }
                Ok::<_, WriteError>(out.effects)
            })
            .unwrap();
        let records = self.store.snapshot().unwrap().live_records().unwrap();
        let restored = StateMachine::restore(node(), records).unwrap();
        assert!(restored == self.machine, "{restored:#?}\n{:#?}", self.machine);
        effects
    }

    fn report(&mut self, event: AttemptEvent) {
        let attempt = self.machine.attempts_under_way().next().expect("one is under way");
        self.run(Command::Report(Report { attempt, event }));
    }

    fn list(&self, statuses: &[JobStatus], filter: Option<JobFilter>, page: usize) -> Vec<String> {
        let snapshot = self.store.snapshot().unwrap();
        let queue_uid = snapshot.queue(&name("queue")).unwrap().unwrap().uid;
        let query = JobsQuery { queue_uid, statuses: statuses.to_vec(), filter };
        let (mut names, mut after): (Vec<String>, Option<JobCursor>) = (Vec::new(), None);
        loop {
            let found = snapshot.jobs(&query, after, page).unwrap();
            assert!(found.jobs.len() <= page);
            names.extend(found.jobs.iter().map(|(job, _)| job.name.to_string()));
            match found.next {
                Some(next) => after = Some(next),
                None => return names,
            }
        }
    }
}

#[test]
fn a_job_is_read_back_in_every_state() {
    let mut bench = Bench::new();
    bench.run(submission(id(1), "queue", "first", vec![]));
    bench.run(submission(id(2), "queue", "second", vec![id(1)]));
    bench.report(AttemptEvent::Started { image_digest: Some(Digest::from_bytes([9; 32])) });
    bench.report(AttemptEvent::ended(Ending::Failed { exit_code: 137, reason: "OutOfMemoryError: x".to_owned() }));
    bench.run(Command::TerminateJob { job: id(1), reason: "enough".to_owned() });
    bench.report(AttemptEvent::ended(Ending::Stopped));

    let snapshot = bench.store.snapshot().unwrap();
    let (job, progress) = snapshot.job(id(1)).unwrap().unwrap();
    assert_eq!((job.timeout_seconds, job.retry), (Some(9), Some(retry())));
    assert_eq!(job.parameters.len(), 2);
    assert_eq!(progress.attempts.len(), 2);
    assert_eq!(progress.attempts[0].exit_code, Some(137));
    assert_eq!(progress.status_reason.as_deref(), Some("enough"));
    let (_, dependent) = snapshot.job(id(2)).unwrap().unwrap();
    assert_eq!(dependent.state.status(), JobStatus::Failed);
    assert_eq!(dependent.status_reason.as_deref(), Some("Dependent Job failed"));
    assert_eq!(snapshot.tags(&ResourceKey::Job(id(1))).unwrap(), tags());
    assert!(snapshot.job(id(9)).unwrap().is_none());
}

#[test]
fn definitions_are_read_back_and_listed_newest_first() {
    let mut bench = Bench::new();
    bench.run(definition("definition"));
    bench.run(unrunnable_definition("zebra"));
    bench.run(Command::DeregisterJobDefinition { name: name("definition"), revision: 2 });
    let snapshot = bench.store.snapshot().unwrap();
    let listed = |filter: &DefinitionFilter| {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = snapshot.definitions(filter, after, 1).unwrap();
            all.extend(page.iter().map(|found| format!("{}:{}", found.name, found.revision)));
            after = next;
            if after.is_none() {
                return all;
            }
        }
    };
    assert_eq!(listed(&DefinitionFilter::default()), ["definition:2", "definition:1", "zebra:1"]);
    let by_name = DefinitionFilter { name: Some(name("definition")), status: None };
    assert_eq!(listed(&by_name), ["definition:2", "definition:1"]);
    let head = snapshot.definition_head(&name("definition")).unwrap().unwrap();
    assert_eq!(head, DefinitionHead { last_revision: 2, latest_active: Some(1) });
    let Command::RegisterJobDefinition { spec, .. } = definition("definition") else { unreachable!() };
    assert_eq!(snapshot.definition(&name("definition"), 1).unwrap().unwrap().spec, *spec);
}

#[test]
fn jobs_are_listed_newest_first_page_by_page() {
    let mut bench = Bench::new();
    for number in 1..=6 {
        bench.run(submission(id(number), "queue", &format!("Job-{number}"), vec![]));
    }
    use JobStatus::*;
    let all = ["Job-6", "Job-5", "Job-4", "Job-3", "Job-2", "Job-1"];
    for page in [1, 2, 4, 100] {
        assert_eq!(bench.list(&JobStatus::ALL, None, page), all);
        assert_eq!(bench.list(&[Runnable], None, page).len() + bench.list(&[Starting], None, page).len(), 6);
    }
    let by_name = |text: &str| bench.list(&JobStatus::ALL, Some(JobFilter::Name(text.to_owned())), 2);
    assert_eq!(by_name("job-3"), ["Job-3"]);
    assert_eq!(by_name("JOB*"), all);
    let by_definition = |text: &str| bench.list(&JobStatus::ALL, Some(JobFilter::Definition(text.to_owned())), 3);
    assert_eq!(by_definition("definition:1").len(), 6);
    assert_eq!(by_definition("Definition").len(), 0);
    let snapshot = bench.store.snapshot().unwrap();
    let third = snapshot.job(id(3)).unwrap().unwrap().0.created_at;
    assert_eq!(bench.list(&JobStatus::ALL, Some(JobFilter::CreatedBefore(third)), 1), ["Job-2", "Job-1"]);
    assert_eq!(bench.list(&JobStatus::ALL, Some(JobFilter::CreatedAfter(third)), 1), ["Job-6", "Job-5", "Job-4"]);
}

#[test]
fn a_write_that_contradicts_a_row_is_refused() {
    let mut bench = Bench::new();
    bench.run(submission(id(1), "queue", "job", vec![]));
    bench.report(AttemptEvent::ended(Ending::Exited { exit_code: 0, reason: None }));
    let (job, progress) = bench.store.snapshot().unwrap().job(id(1)).unwrap().unwrap();
    let again = |previous| {
        bench.store.write(|transaction| {
            transaction.put(&Change::PutProgress {
                job: job.id,
                queue_uid: job.queue_uid,
                created_at: job.created_at,
                previous,
                progress: Box::new(progress.clone()),
            })
        })
    };
    assert!(again(Some(JobStatus::Running)).is_err(), "the row says SUCCEEDED");
    assert!(again(Some(JobStatus::Succeeded)).is_err(), "an ended job never changes");
    let twice = Change::InsertJob(Box::new(job.clone()));
    assert!(bench.store.write(|transaction| transaction.put(&twice)).is_err());
}

#[test]
fn entities_are_deleted_with_their_tags() {
    let mut bench = Bench::new();
    let disable = |bench: &mut Bench| {
        bench.run(Command::UpdateJobQueue(Box::new(queue::QueueUpdate {
            state: Some(environment::Enablement::Disabled),
            ..queue::QueueUpdate::of(name("queue"))
        })));
    };
    disable(&mut bench);
    bench.run(Command::DeleteJobQueue { name: name("queue") });
    let snapshot = bench.store.snapshot().unwrap();
    assert!(snapshot.queue(&name("queue")).unwrap().is_none());
    assert!(snapshot.tags(&ResourceKey::JobQueue(name("queue"))).unwrap().is_empty());
    assert_eq!(snapshot.environments(None, 10).unwrap().len(), 1);
}

#[test]
fn one_process_at_a_time_has_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let _first = Store::open(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(wasmbatch_store::OpenError::InUse)));
}
