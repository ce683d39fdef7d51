//! A whole node, over HTTP, on a real data folder: durable submits, and one job from the sending
//! of SubmitJob to SUCCEEDED committed, beside the cost of a plain process.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinSet;
use wasmbatch_client::Client;
use wasmbatch_client::model::definition::{ContainerProperties, RegisterJobDefinitionRequest, ResourceRequirement};
use wasmbatch_client::model::environment::{CreateComputeEnvironmentRequest, UpdateComputeEnvironmentRequest};
use wasmbatch_client::model::job::SubmitJobRequest;
use wasmbatch_client::model::own::CompileState;
use wasmbatch_client::model::queue::{ComputeEnvironmentOrder, CreateJobQueueRequest};
use wasmbatch_controller::{Controller, Handle, Options, StatusEvent, SystemClock};
use wasmbatch_core::job::JobStatus;
use wasmbatch_core::{Node, Vcpus};
use wasmbatch_executor::{AttemptSink, Executor, WorkerPool};

use crate::attempts::WORKER_FLAG;

const NO_OP: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
/// Submits at one connection, and at many.
const SUBMITS: (u32, u32) = (1_000, 16_000);
const CONNECTIONS: u32 = 64;
/// Jobs whose way is timed one after the other.
const TIMED: usize = 500;
/// Jobs run as fast as they can be.
const STREAMED: u32 = 5_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// What was measured.
#[derive(Debug)]
pub struct Figures {
    submits_alone: f64,
    submits_together: f64,
    /// Sorted.
    latencies: Vec<Duration>,
    streamed: f64,
    process: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |percent: usize| self.latencies[self.latencies.len() * percent / 100];
        let processes = at(50).as_secs_f64() / self.process.as_secs_f64();
        writeln!(f, "node over HTTP, every commit on disk")?;
        writeln!(f, "  durable submits, 1 connection    {:>8.0}/s", self.submits_alone)?;
        writeln!(f, "  durable submits, {CONNECTIONS} connections  {:>8.0}/s", self.submits_together)?;
        writeln!(f, "  no-op jobs to SUCCEEDED, {CONNECTIONS} connections submitting  {:.0}/s", self.streamed)?;
        writeln!(f, "  one no-op job on an idle node, from sending SubmitJob to SUCCEEDED committed:")?;
        write!(
            f,
            "    p50 {:.2?}, p99 {:.2?}; p50 is {processes:.1}x one fork+exec+wait ({:.2?})",
            at(50),
            at(99),
            self.process
        )
    }
}

/// Measures everything.
///
/// # Errors
/// Something doesn't work.
pub fn measure() -> Result<Figures> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let home = tempfile::tempdir()?;
        let node = RunningNode::start(home.path()).await?;
        let figures = node.run().await;
        node.stop().await?;
        figures
    })
}

/// A node in this process.
pub(crate) struct RunningNode {
    controller: Controller,
    pub(crate) handle: Handle,
    pub(crate) endpoint: String,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<Result<(), wasmbatch_server::ServeError>>,
}

impl RunningNode {
    /// Starts one on this data folder, for as many jobs at once as there are CPUs; it serves when
    /// this returns.
    pub(crate) async fn start(home: &Path) -> Result<Self> {
        Self::begin(home, |pool, _| Ok(pool)).await
    }

    /// [`start`](Self::start), with an executor for images in front of the pool of workers.
    pub(crate) async fn begin(
        home: &Path,
        before: impl FnOnce(Arc<dyn Executor>, Arc<dyn AttemptSink>) -> Result<Arc<dyn Executor>>,
    ) -> Result<Self> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let command = vec![std::env::current_exe()?.into(), WORKER_FLAG.into()];
        let mut pool = wasmbatch_executor::Options::new(command, home.to_owned());
        pool.warm_workers = cpus;
        let options = Options {
            data_dir: home.to_owned(),
            node: Node {
                instance: "bench".to_owned(),
                vcpus: Vcpus::whole(u32::try_from(cpus)?),
                memory_mib: 4096,
                gpus: 0,
            },
            allowed_mounts: Vec::new(),
            job_network: wasmbatch_executor::NetworkAccess::None,
            inbox_capacity: 4096,
            keep_finished: std::time::Duration::from_secs(7 * 24 * 3600),
        };
        let controller = Controller::start(options, Arc::new(SystemClock), |sink| {
            Ok(before(Arc::new(WorkerPool::start(pool, Arc::clone(&sink))?), sink)?)
        })?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = controller.handle();
        let serve = wasmbatch_server::serve(listener, wasmbatch_server::Options::default(), handle.clone(), async {
            drop(stopped.await);
        });
        #[expect(clippy::disallowed_methods, reason = "owned by the bench, joined when it stops")]
        let server = tokio::task::spawn(serve);
        Ok(Self { controller, handle, endpoint, stop, server })
    }

    pub(crate) async fn stop(self) -> Result<()> {
        let Self { controller, handle, stop, server, .. } = self;
        drop(handle);
        controller.shutdown(Duration::ZERO).await;
        let _ = stop.send(());
        Ok(server.await??)
    }

    async fn run(&self) -> Result<Figures> {
        let client = Client::new(&self.endpoint)?;
        prepare(&client).await?;
        // A queue whose environment is disabled: submits alone, nothing runs beside them.
        let submits_alone = self.submits("held", SUBMITS.0, 1).await?;
        let submits_together = self.submits("held", SUBMITS.1, CONNECTIONS).await?;
        let mut events = self.handle.subscribe();
        let mut latencies = Vec::with_capacity(TIMED);
        for round in 0..TIMED + 20 {
            let begun = Instant::now();
            client.submit_job(&submission("default")).await?;
            succeeded(&mut events).await?;
            // The first ones warm the workers up.
            if round >= 20 {
                latencies.push(begun.elapsed());
            }
        }
        latencies.sort_unstable();
        let streamed = self.streamed(events).await?;
        Ok(Figures { submits_alone, submits_together, latencies, streamed, process: process()? })
    }

    /// Submits per second.
    async fn submits(&self, queue: &'static str, count: u32, connections: u32) -> Result<f64> {
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let client = Client::new(&self.endpoint)?;
            tasks.spawn(async move {
                let request = submission(queue);
                for _ in 0..count / connections {
                    client.submit_job(&request).await?;
                }
                Ok::<_, wasmbatch_client::Error>(())
            });
        }
        while let Some(task) = tasks.join_next().await {
            task??;
        }
        Ok(f64::from(count / connections * connections) / begun.elapsed().as_secs_f64())
    }

    /// Jobs per second from the first submit to the last SUCCEEDED.
    async fn streamed(&self, mut events: broadcast::Receiver<StatusEvent>) -> Result<f64> {
        let begun = Instant::now();
        let count = STREAMED / CONNECTIONS * CONNECTIONS;
        #[expect(clippy::disallowed_methods, reason = "joined below")]
        let counting = tokio::task::spawn(async move {
            for _ in 0..count {
                succeeded(&mut events).await?;
            }
            Ok::<_, anyhow::Error>(())
        });
        self.submits("default", STREAMED, CONNECTIONS).await?;
        counting.await??;
        Ok(f64::from(count) / begun.elapsed().as_secs_f64())
    }
}

async fn succeeded(events: &mut broadcast::Receiver<StatusEvent>) -> Result<()> {
    loop {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.context("no job ends any more")??;
        ensure!(event.status != JobStatus::Failed, "a job failed");
        if event.status == JobStatus::Succeeded {
            return Ok(());
        }
    }
}

pub(crate) fn submission(queue: &str) -> SubmitJobRequest {
    SubmitJobRequest {
        job_name: Some("no-op".to_owned()),
        job_queue: Some(queue.to_owned()),
        job_definition: Some("no-op".to_owned()),
        ..SubmitJobRequest::default()
    }
}

/// The no-op module and its definition, and a queue in which nothing starts.
pub(crate) async fn prepare(client: &Client) -> Result<()> {
    let wasm = Bytes::from(wat::parse_str(NO_OP)?);
    let size = wasm.len() as u64;
    let mut module = client.put_module("no-op:1", Some(size), stream::iter([Ok(wasm)]), |_sent| {}).await?;
    while module.compile.state == CompileState::Compiling {
        module = client.module("no-op:1").await?;
    }
    let requirement =
        |kind: &str, value: &str| ResourceRequirement { kind: Some(kind.to_owned()), value: Some(value.to_owned()) };
    let container = ContainerProperties {
        image: Some("no-op:1".to_owned()),
        resource_requirements: Some(vec![requirement("VCPU", "1"), requirement("MEMORY", "16")]),
        ..ContainerProperties::default()
    };
    let definition = RegisterJobDefinitionRequest {
        job_definition_name: Some("no-op".to_owned()),
        kind: Some("container".to_owned()),
        container_properties: Some(container),
        ..RegisterJobDefinitionRequest::default()
    };
    client.register_job_definition(&definition).await?;
    let environment = CreateComputeEnvironmentRequest {
        compute_environment_name: Some("held".to_owned()),
        kind: Some("UNMANAGED".to_owned()),
        ..CreateComputeEnvironmentRequest::default()
    };
    client.create_compute_environment(&environment).await?;
    let order = ComputeEnvironmentOrder { order: Some(1), compute_environment: Some("held".to_owned()) };
    let queue = CreateJobQueueRequest {
        job_queue_name: Some("held".to_owned()),
        priority: Some(1),
        compute_environment_order: Some(vec![order]),
        ..CreateJobQueueRequest::default()
    };
    client.create_job_queue(&queue).await?;
    let disabled = UpdateComputeEnvironmentRequest {
        compute_environment: Some("held".to_owned()),
        state: Some("DISABLED".to_owned()),
        ..UpdateComputeEnvironmentRequest::default()
    };
    client.update_compute_environment(&disabled).await?;
    Ok(())
}

/// Median time of starting `/bin/true` and waiting for its end.
#[expect(clippy::disallowed_methods, reason = "a plain process is what is measured")]
fn process() -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        ensure!(std::process::Command::new("/bin/true").status()?.success());
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
