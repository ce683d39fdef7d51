//! The controller's life: open, restore, recover; run; drain and end.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use wasmbatch_core::environment::{ComputeEnvironment, Enablement, EnvironmentKind, Lifecycle, Platform};
use wasmbatch_core::job::JobState;
use wasmbatch_core::queue::{EnvironmentOrder, NewQueue};
use wasmbatch_core::{
    AttemptEvent, AttemptId, Command, Corrupt, Document, Ending, Job, JobId, JobProgress, Name, Node, Record, Report,
    StateMachine, Tags, Timestamp,
};
use wasmbatch_executor::{Adopted, AttemptSink, Executor, NetworkAccess, Survivor};
use wasmbatch_store::logs::{InterruptedStream, LogStore};
use wasmbatch_store::{OpenError, Snapshot, Store};

use crate::ReadError;
use crate::attempt::{LogTarget, log_target};
use crate::clock::Clock;
use crate::dispatch::Dispatcher;
use crate::figures::Figures;
use crate::handle::{Handle, NodeFacts, Shared};
use crate::inbox::{Inbox, IncomingReport};
use crate::modules::Modules;
use crate::retention::Retention;
use crate::sink::Sink;
use crate::writer::{Fatal, Writer, apply_at_start};

/// Effects that wait for the dispatcher before the writer waits for it.
const WAITING_EFFECTS: usize = 4096;
/// Status changes a slow subscriber may be behind.
const WAITING_EVENTS: usize = 4096;
/// A power cut may lose this much of what jobs wrote; kill -9 loses none.
const LOG_SYNC_PAUSE: Duration = Duration::from_secs(1);
/// `maxvCpus` of the environment that a first start makes: no bound of its own on most machines.
const DEFAULT_MAX_VCPUS: u32 = 256;

/// How a controller runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// This machine, as jobs may use it.
    pub node: Node,
    /// Folders below which jobs may have host folders; shown, and enforced by the executor.
    pub allowed_mounts: Vec<PathBuf>,
    /// What jobs that ask for the network may reach of it.
    pub job_network: NetworkAccess,
    /// Clients' commands that may wait for the writer; more are refused.
    pub inbox_capacity: usize,
    /// How long finished jobs and what they wrote are kept.
    pub keep_finished: Duration,
}

/// The controller could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder can't be used.
    #[error("the data folder {path} can't be used")]
    DataDir {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The database contradicts itself.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The first commit failed.
    #[error("the first commit failed")]
    FirstCommit(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The executor could not be started.
    #[error("the executor could not be started")]
    Executor(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A running controller.
pub struct Controller {
    handle: Handle,
    executor: Arc<dyn Executor>,
    writer: JoinHandle<()>,
    others: Vec<JoinHandle<()>>,
    under_way: watch::Receiver<usize>,
    ended: watch::Receiver<bool>,
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controller").finish_non_exhaustive()
    }
}

impl Controller {
    /// Opens the data folder, restores what it has, deals with attempts that the last process left
    /// under way, and begins. `executor` is made once there is something to report to.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(
        options: Options,
        clock: Arc<dyn Clock>,
        executor: impl FnOnce(Arc<dyn AttemptSink>) -> Result<Arc<dyn Executor>, Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<Self, StartError> {
        let Options { data_dir, node, allowed_mounts, job_network, inbox_capacity, keep_finished } = options;
        let unusable = |source| StartError::DataDir { path: data_dir.clone(), source };
        make_private_folder(&data_dir).map_err(unusable)?;
        let store = Arc::new(Store::open(&data_dir.join("wasmbatch.redb"))?);
        let logs = Arc::new(LogStore::open(&data_dir.join("logs")).map_err(unusable)?);
        let (modules, compilations) = Modules::open(&data_dir).map_err(unusable)?;
        let inbox = Arc::new(Inbox::new(inbox_capacity));
        let sink = Arc::new(Sink::new(Arc::clone(&logs), Arc::clone(&inbox), Arc::clone(&clock)));

        let instance = node.instance.clone();
        let executor = executor(Arc::clone(&sink) as Arc<dyn AttemptSink>).map_err(StartError::Executor)?;
        let Restored { machine, adopted, told_to_end } =
            restore(&store, &logs, &inbox, node.clone(), &*clock, &executor.survivors())?;
        // Before anything starts, which could be given what these have.
        executor.adopt(adopted);
        for attempt in told_to_end {
            executor.stop(attempt);
        }
        let facts = NodeFacts {
            instance: node.instance,
            vcpus: node.vcpus,
            memory_mib: node.memory_mib,
            gpus: node.gpus,
            started_at: clock.now(),
            allowed_mounts,
            job_network,
        };
        let (events, _) = broadcast::channel(WAITING_EVENTS);
        let modules = Arc::new(modules);
        let figures = Arc::new(Figures::default());
        let shared = Shared {
            inbox: Arc::clone(&inbox),
            store: Arc::clone(&store),
            logs: Arc::clone(&logs),
            clock: Arc::clone(&clock),
            events: events.clone(),
            modules: Arc::clone(&modules),
            node: facts,
            figures: Arc::clone(&figures),
            executor: Arc::clone(&executor),
        };

        let (effects, effects_receiver) = sync_channel(WAITING_EFFECTS);
        let (under_way_sender, under_way) = watch::channel(usize::MAX);
        let (ended_sender, ended) = watch::channel(false);
        let dispatcher = Dispatcher {
            store: Arc::clone(&store),
            logs: Arc::clone(&logs),
            clock: Arc::clone(&clock),
            sink,
            executor: Arc::clone(&executor),
            instance,
            network: job_network,
        };
        let writer = Writer {
            machine,
            store,
            logs: Arc::clone(&logs),
            inbox: Arc::clone(&inbox),
            retention: Retention::new(keep_finished, clock.now()),
            figures,
            executor: Arc::clone(&executor),
            clock,
            effects,
            events,
            under_way: under_way_sender,
        };
        let compiler = Arc::clone(&executor);
        let others = vec![
            spawn("dispatcher", move || dispatcher.run(effects_receiver)),
            spawn("log-sync", move || sync_logs(&logs)),
            spawn("compiler", move || modules.compile_in_background(&compilations, &*compiler)),
        ];
        let writer = spawn("writer", move || run_writer(writer, &inbox, &ended_sender));
        let handle = Handle { shared: Arc::new(shared) };
        Ok(Self { handle, executor, writer, others, under_way, ended })
    }

    /// A handle for the API server.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Resolves when the writer has ended: after [`Controller::shutdown`], or because the store
    /// failed and the process must end.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error means the writer's thread is gone, which is the same.
        drop(ended.wait_for(|ended| *ended).await);
    }

    /// Takes no new work, lets running attempts end for at most `patience`, then ends them (they
    /// count as interrupted), commits and stops. Attempts that outlive this process are left alone.
    pub async fn shutdown(self, patience: Duration) {
        self.handle.shared.inbox.drain();
        let mut under_way = self.under_way.clone();
        let executor = &self.executor;
        let idle = under_way.wait_for(|attempts| *attempts <= executor.surviving());
        let idle = tokio::time::timeout(patience, idle).await.is_ok();
        if !idle {
            tracing::info!(attempts = *under_way.borrow(), "ending attempts that are still under way");
        }
        let Self { handle, executor, writer, others, .. } = self;
        let joined = tokio::task::spawn_blocking(move || {
            executor.shutdown();
            handle.shared.inbox.close();
            let mut panicked = writer.join().is_err();
            handle.shared.logs.close();
            handle.shared.modules.close();
            drop((executor, handle));
            for thread in others {
                panicked |= thread.join().is_err();
            }
            panicked
        });
        if joined.await.unwrap_or(true) {
            tracing::error!("a thread of the controller had panicked");
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).expect("the process can have a few threads")
}

/// Says that the writer has ended however it ended, a panic included.
struct EndGuard<'a>(&'a watch::Sender<bool>, &'a Inbox);

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        self.1.close();
        self.0.send_replace(true);
    }
}

fn run_writer(writer: Writer, inbox: &Inbox, ended: &watch::Sender<bool>) {
    let _guard = EndGuard(ended, inbox);
    if let Err(error) = writer.run() {
        tracing::error!(error = ?error, "the store failed; the node must end");
    }
}

fn sync_logs(logs: &LogStore) {
    loop {
        match logs.sync_next(LOG_SYNC_PAUSE) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::error!(%error, "logs can't be synced to disk");
                return;
            }
        }
    }
}

/// A machine, and what is to be done about attempts that have outlived the last process.
struct Restored {
    machine: StateMachine,
    adopted: Vec<Adopted>,
    told_to_end: Vec<AttemptId>,
}

/// The machine as the rows have it. Of attempts under way the survivors go on; the others died with
/// the last process: their logs are read back, and they are reported lost with the writer's first
/// batch.
fn restore(
    store: &Store,
    logs: &LogStore,
    inbox: &Inbox,
    node: Node,
    clock: &dyn Clock,
    survivors: &[Survivor],
) -> Result<Restored, StartError> {
    let since = |survivor: &Survivor| {
        let millis = survivor.started_at.and_then(|millis| i64::try_from(millis).ok());
        (survivor.attempt, millis.map_or_else(|| clock.now(), Timestamp::from_millis))
    };
    let survivors: BTreeMap<AttemptId, Timestamp> = survivors.iter().map(since).collect();
    let snapshot = store.snapshot()?;
    let records = snapshot.live_records()?;
    let streams = streams_under_way(&snapshot, &records, &survivors)?;
    logs.recover(streams).map_err(|error| StartError::Read(ReadError(Box::new(error))))?;
    let mut machine = StateMachine::restore(node, records)?;
    let (surviving, lost): (Vec<_>, Vec<_>) =
        machine.attempts_under_way().partition(|attempt| survivors.contains_key(attempt));
    if !surviving.is_empty() || !lost.is_empty() {
        let (surviving, lost) = (surviving.len(), lost.len());
        tracing::info!(lost, surviving, "attempts were under way when the node went down");
    }
    for attempt in lost {
        let log = logs.seal(attempt, clock.now()).map_err(|error| StartError::Read(ReadError(Box::new(error))))?;
        let report = Report { attempt, event: AttemptEvent::ended(Ending::Lost) };
        inbox.report(IncomingReport { report, log: log.filter(|stream| stream.info().events > 0) });
    }
    if machine.is_blank() {
        let commands = first_start();
        apply_at_start(&mut machine, store, commands, clock.now())
            .map_err(|error: Fatal| StartError::FirstCommit(Box::new(error)))?;
    }
    let told_to_end = machine.attempts_told_to_end().filter(|attempt| survivors.contains_key(attempt)).collect();
    let adopted = surviving.into_iter().map(|attempt| Adopted { attempt, lines: logs.lines(attempt) }).collect();
    Ok(Restored { machine, adopted, told_to_end })
}

/// The logs of attempts that ran, and of survivors whatever is known of them.
fn streams_under_way(
    snapshot: &Snapshot,
    records: &[Record],
    survivors: &BTreeMap<AttemptId, Timestamp>,
) -> Result<Vec<InterruptedStream>, ReadError> {
    let jobs: BTreeMap<JobId, &Job> = records.iter().filter_map(job_of).map(|(job, _)| (job.id, job)).collect();
    let parts = records.iter().filter_map(|record| match record {
        Record::Child(id, progress) => Some((*jobs.get(&id.whole())?, &**progress)),
        other => job_of(other),
    });
    let mut streams = Vec::new();
    for (job, progress) in parts {
        let began_at = match &progress.state {
            JobState::Running { started_at, .. } => Some(*started_at),
            JobState::Submitted
            | JobState::Pending { .. }
            | JobState::Runnable { .. }
            | JobState::Array { .. }
            | JobState::Starting { .. }
            | JobState::Succeeded { .. }
            | JobState::Failed { .. } => None,
        };
        let began = |attempt| began_at.into_iter().chain(survivors.get(&attempt).copied()).min();
        let begun: Vec<_> = progress.containers_under_way().filter_map(|one| Some((one, began(one)?))).collect();
        if begun.is_empty() {
            continue;
        }
        if let Some(definition) = snapshot.definition(&job.definition, job.revision)? {
            for (attempt, began_at) in begun {
                let LogTarget { group, stream: name, limits } = log_target(job, &definition, attempt);
                streams.push(InterruptedStream { attempt, group, name, limits, began_at });
            }
        }
    }
    Ok(streams)
}

fn job_of(record: &Record) -> Option<(&Job, &JobProgress)> {
    match record {
        Record::Job(job, progress) => Some((job, progress)),
        Record::Environment(_)
        | Record::Queue(_)
        | Record::Child(..)
        | Record::ArraySummary(..)
        | Record::ShareUsage(..)
        | Record::Policy(_)
        | Record::Consumable(_)
        | Record::ServiceEnvironment(_)
        | Record::QuotaShare(_)
        | Record::Counters(_) => None,
    }
}

/// The environment and the queue that a first start makes, so that the first submit needs nothing.
fn first_start() -> Vec<Command> {
    let name = Name::parse("default").expect("a valid name");
    let environment = ComputeEnvironment {
        name: name.clone(),
        uuid: uuid::Uuid::new_v4().to_string(),
        state: Enablement::Enabled,
        lifecycle: Lifecycle::Valid,
        kind: EnvironmentKind::Managed {
            platform: Platform::Ec2,
            max_vcpus: DEFAULT_MAX_VCPUS,
            resources: Document::default(),
        },
        rest: Document::default(),
    };
    let queue = NewQueue::new(name.clone(), 1, vec![EnvironmentOrder { order: 1, environment: name }]);
    vec![
        Command::CreateComputeEnvironment { environment: Box::new(environment), tags: Tags::default() },
        Command::CreateJobQueue { queue: Box::new(queue), tags: Tags::default() },
    ]
}

/// Makes a folder that nobody else may look into, unless there is one already: what jobs are given and
/// say lies in it.
fn make_private_folder(folder: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
