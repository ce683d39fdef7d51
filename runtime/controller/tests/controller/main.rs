//! The controller with an executor and a clock of the test's own, and a real data folder.

#![expect(clippy::unwrap_used, reason = "what can't fail in a test fails it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use wasmbatch_controller::{Clock, Controller, ExecuteError, Handle, Options};
use wasmbatch_core::command::{DefinitionReference, Submission};
use wasmbatch_core::definition::{
    ContainerProperties, DefinitionSpec, EnvironmentVariable, JobShape, MountPoint, Need, Overrides, Volume,
    VolumeSource,
};
use wasmbatch_core::job::JobStatus;
use wasmbatch_core::*;
use wasmbatch_executor::{
    Adopted, AttemptSink, AttemptSpec, Executor, ModuleKind, MountSource, NetworkAccess, OutputStream, PrepareError,
    Prepared, Program, Survivor,
};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Starts nothing; the test says what becomes of each attempt.
struct FakeExecutor {
    sink: Arc<dyn AttemptSink>,
    state: Mutex<BTreeMap<AttemptId, AttemptSpec>>,
    stopped: Mutex<Vec<AttemptId>>,
    changed: Condvar,
    /// What an earlier process left.
    survivors: Vec<Survivor>,
    adopted: Mutex<Vec<Adopted>>,
    /// Set, its attempts go on when it ends.
    outlived: AtomicBool,
}

impl FakeExecutor {
    fn started(&self) -> AttemptSpec {
        let state = self.state.lock().unwrap();
        let (state, _) = self.changed.wait_timeout_while(state, PATIENCE, |state| state.is_empty()).unwrap();
        state.values().next().expect("an attempt starts in time").clone()
    }

    fn begin(&self, attempt: AttemptId) {
        self.sink.report(Report { attempt, event: AttemptEvent::Started { image_digest: None } });
    }

    fn end(&self, attempt: AttemptId, ending: Ending) {
        self.state.lock().unwrap().remove(&attempt);
        self.sink.report(Report { attempt, event: AttemptEvent::ended(ending) });
    }
}

impl Executor for FakeExecutor {
    fn start(&self, spec: AttemptSpec) {
        self.state.lock().unwrap().insert(spec.attempt, spec);
        self.changed.notify_all();
    }

    fn stop(&self, attempt: AttemptId) {
        self.stopped.lock().unwrap().push(attempt);
        if !self.outlived.load(Ordering::SeqCst) {
            self.end(attempt, Ending::Stopped);
        }
    }

    fn prepare(&self, _digest: Digest) -> Result<Prepared, PrepareError> {
        Ok(Prepared { kind: ModuleKind::Module, compiled_bytes: 1, compile_duration: None })
    }

    fn survivors(&self) -> Vec<Survivor> {
        self.survivors.clone()
    }

    fn adopt(&self, survivors: Vec<Adopted>) {
        assert!(self.state.lock().unwrap().is_empty(), "survivors are taken over before anything starts");
        self.adopted.lock().unwrap().extend(survivors);
    }

    fn surviving(&self) -> usize {
        if self.outlived.load(Ordering::SeqCst) { self.state.lock().unwrap().len() } else { 0 }
    }

    fn shutdown(&self) {
        if self.outlived.load(Ordering::SeqCst) {
            return;
        }
        let left: Vec<AttemptId> = self.state.lock().unwrap().keys().copied().collect();
        for attempt in left {
            self.end(attempt, Ending::Lost);
        }
    }
}

struct Bench {
    controller: Controller,
    handle: Handle,
    executor: Arc<FakeExecutor>,
    clock: Arc<TestClock>,
}

impl Bench {
    fn start(folder: &Path) -> Self {
        Self::start_with(folder, Vec::new())
    }

    fn start_with(folder: &Path, survivors: Vec<Survivor>) -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(1_000_000)));
        let mut executor = None;
        let options = Options {
            data_dir: folder.to_owned(),
            node: Node { instance: "i-test".to_owned(), vcpus: Vcpus::whole(1), memory_mib: 256, gpus: 0 },
            allowed_mounts: Vec::new(),
            job_network: NetworkAccess::None,
            inbox_capacity: 16,
            keep_finished: Duration::from_secs(3600),
        };
        let controller = Controller::start(options, Arc::clone(&clock) as Arc<dyn Clock>, |sink| {
            let (state, stopped, changed) = (Mutex::default(), Mutex::default(), Condvar::new());
            let (adopted, outlived) = (Mutex::default(), AtomicBool::new(false));
            let made = Arc::new(FakeExecutor { sink, state, stopped, changed, survivors, adopted, outlived });
            executor = Some(Arc::clone(&made));
            Ok(made)
        })
        .unwrap();
        let handle = controller.handle();
        Self { controller, handle, executor: executor.unwrap(), clock }
    }

    async fn upload(&self, name: &str) -> Module {
        let mut upload = self.handle.begin_module_upload().await.unwrap();
        upload.write(Bytes::from_static(b"\0asm")).await.unwrap();
        upload.finish(ModuleName::parse(name).unwrap()).await.unwrap()
    }

    async fn register(&self, container: ContainerProperties) {
        let spec = DefinitionSpec {
            parameters: BTreeMap::from([("who".to_owned(), "world".to_owned())]),
            timeout_seconds: Some(10),
            ..DefinitionSpec::of(JobShape::Container(Box::new(container)))
        };
        let command = Command::RegisterJobDefinition {
            name: Name::parse("def").unwrap(),
            spec: Box::new(spec),
            tags: Tags::default(),
        };
        self.handle.execute(command).await.unwrap();
    }

    async fn submit(&self) -> JobId {
        let id = self.handle.new_job_id();
        let submission = Submission {
            id,
            name: JobName::parse("job").unwrap(),
            queue: Name::parse("default").unwrap(),
            definition: DefinitionReference { name: Name::parse("def").unwrap(), revision: None },
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
        };
        self.handle.execute(Command::SubmitJob(Box::new(submission))).await.unwrap();
        id
    }

    fn progress(&self, job: JobId) -> JobProgress {
        self.handle.reader().unwrap().job(job).unwrap().expect("it was submitted").1
    }

    async fn comes_to(&self, job: JobId, status: JobStatus) -> JobProgress {
        let mut events = self.handle.subscribe();
        let arrive = async {
            while self.progress(job).state.status() != status {
                events.recv().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, arrive).await.expect("the job comes to its status in time");
        self.progress(job)
    }

    fn log(&self, job: JobId) -> Vec<String> {
        let reader = self.handle.reader().unwrap();
        let first = AttemptId { job, number: 1, generation: 0, member: 0 };
        let (group, stream) = reader.log_stream(&reader.job(job).unwrap().unwrap().0, first).unwrap();
        assert_eq!((group.as_str(), stream), ("/aws/batch/job", format!("def/default/{job}")));
        let stream = format!("def/default/{job}");
        let page = self.handle.logs().events(&group, &stream, 0, 100, 1 << 20).unwrap().expect("the stream is there");
        page.events.into_iter().map(|event| event.message).collect()
    }
}

fn container(image: &str) -> ContainerProperties {
    ContainerProperties {
        image: image.to_owned(),
        command: vec!["hello Ref::who".to_owned()],
        environment: vec![EnvironmentVariable { name: "A".to_owned(), value: "1".to_owned() }],
        vcpus: Some(1),
        memory: Some(16),
        ..ContainerProperties::default()
    }
}

#[tokio::test]
async fn a_job_goes_all_the_way_and_its_log_is_read_before_and_after_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(folder.path());
    let module = bench.upload("hello:1").await;
    bench.register(container("hello:1")).await;
    let job = bench.submit().await;
    let spec = bench.executor.started();
    assert_eq!(spec.program, Program::Stored { digest: module.digest });
    assert_eq!(spec.arguments, ["hello", "hello world"]);
    assert_eq!(spec.memory_limit_bytes, 16 << 20);
    let variable = |name: &str| spec.environment.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    assert_eq!(variable("A"), Some("1"));
    assert_eq!(variable("AWS_BATCH_JOB_ID"), Some(job.to_string().as_str()));
    assert_eq!(variable("AWS_BATCH_JOB_ATTEMPT"), Some("1"));
    assert_eq!((variable("AWS_BATCH_JQ_NAME"), variable("AWS_BATCH_CE_NAME")), (Some("default"), Some("default")));

    bench.executor.begin(spec.attempt);
    bench.comes_to(job, JobStatus::Running).await;
    bench.executor.sink.output(spec.attempt, OutputStream::Stdout, b"one\ntw");
    assert_eq!(bench.log(job), ["one"]);
    bench.executor.sink.output(spec.attempt, OutputStream::Stdout, b"o");
    bench.executor.end(spec.attempt, Ending::Exited { exit_code: 0, reason: None });
    let progress = bench.comes_to(job, JobStatus::Succeeded).await;
    assert_eq!(progress.attempts[0].exit_code, Some(0));
    assert_eq!(bench.log(job), ["one", "two"]);
    bench.controller.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn an_attempt_is_stopped_when_its_time_is_up() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(folder.path());
    bench.upload("hello:1").await;
    bench.register(container("hello:1")).await;
    let job = bench.submit().await;
    let attempt = bench.executor.started().attempt;
    bench.executor.begin(attempt);
    bench.comes_to(job, JobStatus::Running).await;
    bench.clock.0.fetch_add(9_999, Ordering::SeqCst);
    bench.handle.execute(Command::Tick).await.unwrap();
    assert!(bench.executor.stopped.lock().unwrap().is_empty());
    bench.clock.0.fetch_add(1, Ordering::SeqCst);
    bench.handle.execute(Command::Tick).await.unwrap();
    let progress = bench.comes_to(job, JobStatus::Failed).await;
    assert_eq!(progress.status_reason.as_deref(), Some("Job attempt duration exceeded timeout"));
    assert_eq!(progress.attempts[0].exit_code, Some(137));
    assert_eq!(bench.log(job), [""; 0], "a silent attempt has an empty stream");
    bench.controller.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn what_this_node_cannot_give_fails_the_attempt_in_starting() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(folder.path());
    bench.upload("hello:1").await;
    let secret = ContainerProperties {
        needs: vec![Need { what: "secrets are not available on this node".to_owned() }],
        ..container("hello:1")
    };
    bench.register(secret).await;
    let job = bench.submit().await;
    let progress = bench.comes_to(job, JobStatus::Failed).await;
    assert_eq!(progress.status_reason.as_deref(), Some("Task failed to start"));
    let reason = progress.attempts[0].reason.clone().unwrap();
    assert!(reason.starts_with("ResourceInitializationError: secrets are not available"), "{reason}");
    assert_eq!((progress.attempts[0].exit_code, progress.attempts[0].started_at), (None, None));
    bench.controller.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn what_is_no_module_is_handed_on_as_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(folder.path());
    bench.register(container("registry.example/else:9")).await;
    bench.submit().await;
    let reference = "registry.example/else:9".to_owned();
    assert_eq!(bench.executor.started().program, Program::Image { reference });
    bench.controller.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn folders_are_handed_on_by_what_stands_behind_them() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(folder.path());
    bench.upload("hello:1").await;
    let volume = |name: &str, source| Volume { name: Some(name.to_owned()), source };
    let point = |name: &str, path: &str, read_only| MountPoint {
        container_path: Some(path.to_owned()),
        read_only,
        source_volume: Some(name.to_owned()),
    };
    let properties = ContainerProperties {
        volumes: vec![volume("host", VolumeSource::Host("/srv/data".to_owned())), volume("own", VolumeSource::Empty)],
        mount_points: vec![point("host", "/data", Some(true)), point("own", "/cache", None)],
        ..container("hello:1")
    };
    bench.register(properties).await;
    bench.submit().await;
    let mounts = bench.executor.started().mounts;
    assert_eq!(mounts[0].source, MountSource::Host("/srv/data".into()));
    assert_eq!((mounts[0].container_path.as_str(), mounts[0].read_only), ("/data", true));
    assert_eq!((&mounts[1].source, mounts[1].read_only), (&MountSource::Empty, false));
    bench.controller.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_attempt_the_node_goes_down_under_is_run_again_by_the_next_life() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(folder.path());
    bench.upload("hello:1").await;
    bench.register(container("hello:1")).await;
    let (job, waiting) = (bench.submit().await, bench.submit().await);
    let attempt = bench.executor.started().attempt;
    bench.executor.begin(attempt);
    bench.comes_to(job, JobStatus::Running).await;
    bench.executor.sink.output(attempt, OutputStream::Stderr, b"before\n");
    // A handle keeps the store open.
    let Bench { controller, handle, .. } = bench;
    drop(handle);
    controller.shutdown(Duration::ZERO).await;

    let bench = Bench::start(folder.path());
    let progress = bench.progress(job);
    assert_eq!(progress.attempts[0].status_reason, "Host EC2 (instance i-test) terminated.");
    assert_eq!(bench.log(job), ["before"]);
    let spec = bench.executor.started();
    assert_eq!((spec.attempt.job, spec.attempt.number), (job, 2), "in the order of submission");
    bench.executor.begin(spec.attempt);
    bench.executor.end(spec.attempt, Ending::Exited { exit_code: 0, reason: None });
    bench.comes_to(job, JobStatus::Succeeded).await;
    let spec = bench.executor.started();
    assert_eq!(spec.attempt.job, waiting);
    bench.controller.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_attempt_that_outlives_the_node_goes_on_with_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(folder.path());
    bench.upload("hello:1").await;
    bench.register(container("hello:1")).await;
    let job = bench.submit().await;
    let attempt = bench.executor.started().attempt;
    bench.executor.begin(attempt);
    bench.comes_to(job, JobStatus::Running).await;
    bench.executor.sink.output(attempt, OutputStream::Stdout, b"one\ntwo\nthr");
    bench.executor.outlived.store(true, Ordering::SeqCst);
    let Bench { controller, handle, .. } = bench;
    drop(handle);
    // There is nothing to wait for.
    tokio::time::timeout(PATIENCE / 2, controller.shutdown(PATIENCE)).await.expect("it ends at once");

    let survivor = Survivor { attempt, started_at: Some(1_000_000) };
    let stranger = AttemptId { number: 7, ..attempt };
    let strange = Survivor { attempt: stranger, started_at: None };
    let bench = Bench::start_with(folder.path(), vec![survivor, strange]);
    assert_eq!(*bench.executor.adopted.lock().unwrap(), [Adopted { attempt, lines: 2 }]);
    assert!(bench.executor.stopped.lock().unwrap().is_empty());
    bench.executor.begin(attempt);
    bench.executor.sink.output(attempt, OutputStream::Stdout, b"three\n");
    bench.executor.end(attempt, Ending::Exited { exit_code: 0, reason: None });
    let progress = bench.comes_to(job, JobStatus::Succeeded).await;
    assert_eq!((progress.attempts.len(), progress.interruptions), (1, 0));
    assert_eq!(bench.log(job), ["one", "two", "three"]);
    bench.controller.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn what_was_told_to_end_is_told_again_by_the_next_life() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(folder.path());
    bench.upload("hello:1").await;
    bench.register(container("hello:1")).await;
    let job = bench.submit().await;
    let attempt = bench.executor.started().attempt;
    bench.executor.begin(attempt);
    bench.comes_to(job, JobStatus::Running).await;
    // Nobody hears the first word.
    bench.executor.outlived.store(true, Ordering::SeqCst);
    bench.handle.execute(Command::TerminateJob { job, reason: "enough".to_owned() }).await.unwrap();
    let Bench { controller, handle, .. } = bench;
    drop(handle);
    controller.shutdown(PATIENCE).await;

    let survivor = Survivor { attempt, started_at: Some(1_000_000) };
    let bench = Bench::start_with(folder.path(), vec![survivor]);
    assert_eq!(*bench.executor.stopped.lock().unwrap(), [attempt]);
    let progress = bench.comes_to(job, JobStatus::Failed).await;
    assert_eq!((progress.status_reason.as_deref(), progress.attempts.len()), (Some("enough"), 1));
    bench.controller.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_draining_node_takes_no_work_but_lets_jobs_be_ended() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(folder.path());
    bench.upload("hello:1").await;
    bench.register(container("hello:1")).await;
    let job = bench.submit().await;
    let attempt = bench.executor.started().attempt;
    bench.executor.begin(attempt);
    bench.comes_to(job, JobStatus::Running).await;
    let handle = bench.handle.clone();
    let executor = Arc::clone(&bench.executor);
    #[expect(clippy::disallowed_methods, reason = "joined below")]
    let shutdown = tokio::spawn(bench.controller.shutdown(PATIENCE));
    let refused = async {
        while !matches!(handle.execute(Command::Tick).await, Err(ExecuteError::ShuttingDown)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("commands are refused in time");
    handle.execute(Command::TerminateJob { job, reason: "going down".to_owned() }).await.unwrap();
    shutdown.await.unwrap();
    assert_eq!(executor.stopped.lock().unwrap().as_slice(), [attempt]);
    let progress = handle.reader().unwrap().job(job).unwrap().unwrap().1;
    assert_eq!(progress.status_reason.as_deref(), Some("going down"));
}

#[tokio::test]
async fn a_modules_bytes_go_with_its_last_name() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(folder.path());
    let module = bench.upload("a:1").await;
    assert_eq!(bench.upload("b:1").await.digest, module.digest);
    let blob = folder.path().join("modules/sha256").join(module.digest.hex());
    let delete = |name: &str| Command::DeleteModule { name: ModuleName::parse(name).unwrap() };
    bench.handle.execute(delete("a:1")).await.unwrap();
    assert!(blob.exists());
    bench.handle.execute(delete("b:1")).await.unwrap();
    assert!(!blob.exists());
    let again = bench.handle.execute(delete("b:1")).await;
    assert!(matches!(again, Err(ExecuteError::Rejected(Rejection::ModuleNotFound { .. }))));
    let mut dropped = bench.handle.begin_module_upload().await.unwrap();
    dropped.write(Bytes::from_static(b"half")).await.unwrap();
    drop(dropped);
    assert_eq!(std::fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    bench.controller.shutdown(PATIENCE).await;
}
