//! A pool in a temporary data folder, and a sink that remembers.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use sha2::Digest as _;
use tempfile::TempDir;

use wasmbatch_core::{AttemptEvent, AttemptId, Digest, Ending, JobId, Report, Usage};
use wasmbatch_executor::{
    AttemptSink, AttemptSpec, ContainerSettings, Executor as _, Mount, MountSource, NetworkAccess, Options,
    OutputStream, Program, ScratchLimits, WorkerPool,
};

pub(crate) const WORKER_FLAG: &str = "--worker";
/// Makes this binary a worker whose system calls are reported.
pub(crate) const RECORDED_FLAG: &str = "--recorded-worker";
/// Both.
pub(crate) const RECORDED_DRILL_FLAG: &str = "--recorded-drill-worker";
/// Makes this binary a worker in which native code of ours runs in place of guests.
pub(crate) const DRILL_FLAG: &str = "--drill-worker";
/// Far more than any test needs; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// What happened to one attempt.
#[derive(Debug, Default, Clone)]
pub(crate) struct Story {
    pub(crate) started: u32,
    pub(crate) digest: Option<Digest>,
    pub(crate) endings: Vec<Ending>,
    pub(crate) usage: Option<Usage>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) output_after_end: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Recorder {
    stories: Mutex<BTreeMap<AttemptId, Story>>,
    changed: Condvar,
    gate: Mutex<bool>,
    gate_changed: Condvar,
}

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<AttemptId, Story>> {
        self.stories.lock().unwrap()
    }

    pub(crate) fn story(&self, attempt: AttemptId) -> Story {
        self.lock().get(&attempt).cloned().unwrap_or_default()
    }

    pub(crate) fn wait_for(&self, attempt: AttemptId, what: &str, reached: impl Fn(&Story) -> bool) -> Story {
        let missing = |stories: &mut BTreeMap<AttemptId, Story>| !stories.get(&attempt).is_some_and(&reached);
        let (stories, timeout) = self.changed.wait_timeout_while(self.lock(), PATIENCE, missing).unwrap();
        assert!(!timeout.timed_out(), "no {what}: {:?}", stories.get(&attempt));
        stories[&attempt].clone()
    }

    pub(crate) fn wait_started(&self, attempt: AttemptId) -> Story {
        self.wait_for(attempt, "start", |story| story.started > 0)
    }

    pub(crate) fn wait_ended(&self, attempt: AttemptId) -> Story {
        self.wait_for(attempt, "end", |story| !story.endings.is_empty())
    }

    /// While closed, nothing that guests write is taken.
    pub(crate) fn close_gate(&self, closed: bool) {
        *self.gate.lock().unwrap() = closed;
        self.gate_changed.notify_all();
    }
}

impl AttemptSink for Recorder {
    fn report(&self, report: Report) {
        let mut stories = self.lock();
        let story = stories.entry(report.attempt).or_default();
        match report.event {
            AttemptEvent::Started { image_digest } => {
                assert!(story.endings.is_empty(), "started after its end");
                story.started += 1;
                story.digest = image_digest;
            }
            AttemptEvent::Ended { ending, usage } => {
                story.endings.push(ending);
                story.usage = usage;
            }
        }
        self.changed.notify_all();
    }

    fn output(&self, attempt: AttemptId, stream: OutputStream, bytes: &[u8]) {
        let mut stories = self.lock();
        let story = stories.entry(attempt).or_default();
        story.output_after_end |= !story.endings.is_empty();
        match stream {
            OutputStream::Stdout => story.stdout.extend_from_slice(bytes),
            OutputStream::Stderr => story.stderr.extend_from_slice(bytes),
        }
        self.changed.notify_all();
        drop(stories);
        let gate = self.gate.lock().unwrap();
        drop(self.gate_changed.wait_while(gate, |closed| *closed).unwrap());
    }
}

pub(crate) struct Node {
    // The pool ends before its folder goes.
    pub(crate) pool: WorkerPool,
    pub(crate) sink: Arc<Recorder>,
    pub(crate) home: TempDir,
    pub(crate) shared: TempDir,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Node {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(adjust: impl FnOnce(&mut Options)) -> Self {
        Self::at(tempfile::tempdir().unwrap(), adjust)
    }

    pub(crate) fn at(home: TempDir, adjust: impl FnOnce(&mut Options)) -> Self {
        let flag = if crate::drill::is_recording() { RECORDED_FLAG } else { WORKER_FLAG };
        let command = vec![std::env::current_exe().unwrap().into(), flag.into()];
        let shared = tempfile::tempdir().unwrap();
        let mut options = Options::new(command, home.path().to_owned());
        options.allowed_mounts.push(shared.path().to_owned());
        adjust(&mut options);
        let sink = Arc::new(Recorder::default());
        let pool = WorkerPool::start(options, Arc::clone(&sink) as Arc<dyn AttemptSink>).unwrap();
        Self { pool, sink, home, shared }
    }

    pub(crate) fn put(&self, module: &[u8]) -> Digest {
        let digest = Digest::from_bytes(sha2::Sha256::digest(module).into());
        let folder = self.home.path().join("modules/sha256");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(digest.hex());
        // Never half written under its name: somebody may be compiling it.
        if !path.exists() {
            fs::write(path.with_extension("new"), module).unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        }
        digest
    }

    pub(crate) fn spec(&self, wat: &str) -> AttemptSpec {
        spec_of(Program::Stored { digest: self.put(&wat::parse_str(wat).unwrap()) })
    }

    pub(crate) fn start(&self, spec: AttemptSpec) -> AttemptId {
        let attempt = spec.attempt;
        self.pool.start(spec);
        attempt
    }

    /// Runs an attempt to its end, which must be one.
    pub(crate) fn run(&self, spec: AttemptSpec) -> (Story, Ending) {
        let attempt = self.start(spec);
        let story = self.sink.wait_ended(attempt);
        assert_eq!(story.endings.len(), 1);
        assert!(!story.output_after_end);
        let started = !matches!(story.endings[0], Ending::CouldNotStart { .. });
        assert_eq!(story.started, u32::from(started));
        let ending = story.endings[0].clone();
        (story, ending)
    }

    pub(crate) fn run_wat(&self, wat: &str) -> (Story, Ending) {
        self.run(self.spec(wat))
    }

    /// Files and folders that lie in the scratch folders of live workers.
    pub(crate) fn scratch_entries(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for worker in fs::read_dir(self.home.path().join("scratch")).unwrap() {
            let Ok(entries) = fs::read_dir(worker.unwrap().path().join("root")) else { continue };
            found.extend(entries.map(|entry| entry.unwrap().path()));
        }
        found
    }
}

pub(crate) fn spec_of(program: Program) -> AttemptSpec {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    AttemptSpec {
        attempt: AttemptId { job: JobId::from_bytes([7; 16]), number: 1, generation: number, member: 0 },
        program,
        arguments: vec!["program".to_owned()],
        environment: Vec::new(),
        memory_limit_bytes: 64 * 1024 * 1024,
        mounts: Vec::new(),
        read_only_root: false,
        cpu_thousandths: 1000,
        fuel: None,
        deterministic: false,
        cpu_limit: None,
        scratch: ScratchLimits::default(),
        network: NetworkAccess::None,
        trust_domain: "queue".to_owned(),
        container: ContainerSettings::default(),
    }
}

pub(crate) fn mount(source: impl Into<PathBuf>, container_path: &str, read_only: bool) -> Mount {
    Mount { source: MountSource::Host(source.into()), container_path: container_path.to_owned(), read_only }
}

pub(crate) fn exited(exit_code: u8) -> Ending {
    Ending::Exited { exit_code, reason: None }
}

#[track_caller]
pub(crate) fn reason_of(ending: Ending) -> String {
    match ending {
        Ending::CouldNotStart { reason } | Ending::Failed { reason, .. } => {
            let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | ' ');
            assert!(reason.chars().all(fine), "a pattern can't match {reason:?}");
            reason
        }
        other => panic!("no reason: {other:?}"),
    }
}

/// Processes whose parent is this one and that aren't reaped.
pub(crate) fn children() -> Vec<u32> {
    let own = std::process::id();
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let Ok(pid) = entry.unwrap().file_name().into_string().unwrap_or_default().parse::<u32>() else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // After the name in parentheses: state, parent.
        let after = stat.rsplit_once(") ").unwrap().1;
        if after.split(' ').nth(1) == Some(&own.to_string()) {
            children.push(pid);
        }
    }
    children
}

/// Waits for what has no event, by looking again and again.
pub(crate) fn until(what: &str, reached: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !reached() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}
