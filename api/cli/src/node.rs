//! A node in this process: controller, worker pool and API server, from options to a clean end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use wasmbatch_container::Containers;
use wasmbatch_controller::{Controller, SystemClock};
use wasmbatch_core::{Node, Vcpus};
use wasmbatch_executor::{AttemptSink, Executor, NetworkAccess, Wall, WorkerPool};

use crate::{containers, output};

/// Commands of clients that may wait for the writer.
const INBOX_CAPACITY: usize = 4096;
/// Worker processes beyond which attempts wait for one, however small their share of a vCPU.
const MOST_WORKERS: usize = 1024;

/// How a node runs.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) allow_mount: Vec<PathBuf>,
    pub(crate) job_network: NetworkAccess,
    pub(crate) workers: WorkerOptions,
    pub(crate) containers: containers::ContainerArguments,
    pub(crate) vcpus: u32,
    pub(crate) memory_mib: u64,
    pub(crate) region: String,
    pub(crate) account_id: String,
    pub(crate) keep_finished: Duration,
}

/// How its workers are kept apart and what compiling may take; the executor's own where absent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WorkerOptions {
    /// Whether the node refuses to start where a wall is missing.
    pub(crate) require_full_jail: bool,
    pub(crate) compile_memory_mib: Option<u64>,
    pub(crate) compile_seconds: Option<u64>,
    pub(crate) worker_uid_base: Option<u32>,
}

/// A node that runs.
pub(crate) struct RunningNode {
    controller: Controller,
    address: SocketAddr,
    stop_server: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<Result<(), wasmbatch_server::ServeError>>,
}

impl RunningNode {
    /// Starts a node; it serves when this returns.
    pub(crate) async fn start(options: Options) -> anyhow::Result<Self> {
        wasmbatch_server::check_listen(options.listen)?;
        let listener = TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("can't listen on {}; is another node running?", options.listen))?;
        let address = listener.local_addr()?;
        let controller = tokio::task::spawn_blocking({
            let options = options.clone();
            move || start_controller(&options)
        })
        .await??;
        let server_options = wasmbatch_server::Options {
            listen: address,
            region: options.region,
            account_id: options.account_id,
            ..wasmbatch_server::Options::default()
        };
        let (stop_server, stopped) = oneshot::channel::<()>();
        let handle = controller.handle();
        #[expect(clippy::disallowed_methods, reason = "owned by the node, joined when it stops")]
        let server = tokio::task::spawn(wasmbatch_server::serve(listener, server_options, handle, async {
            // A dropped sender means the same.
            drop(stopped.await);
        }));
        Ok(Self { controller, address, stop_server, server })
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Resolves when the node can't go on.
    pub(crate) async fn failed(&self) {
        self.controller.ended().await;
    }

    /// Drains for at most `patience`, answering meanwhile, and ends.
    pub(crate) async fn stop(self, patience: Duration) -> anyhow::Result<()> {
        let Self { controller, stop_server, server, .. } = self;
        controller.shutdown(patience).await;
        // The server may be gone already.
        let _ = stop_server.send(());
        server.await?.context("the API server failed")
    }
}

/// Says which walls are missing, and whether the node may run without them.
fn check_walls(walls: &[Wall], require_full_jail: bool) -> anyhow::Result<()> {
    let missing = walls.iter().filter_map(|wall| Some((wall.name, wall.state.as_ref().err()?)));
    let mut names = Vec::new();
    for (name, why) in missing {
        tracing::warn!(wall = name, "a wall around jobs is missing: {}", output::visible(why));
        names.push(name);
    }
    if !require_full_jail {
        return Ok(());
    }
    anyhow::ensure!(!walls.is_empty(), "--require-jail full: nothing is known of the walls around jobs");
    anyhow::ensure!(names.is_empty(), "--require-jail full: missing are {}", names.join(", "));
    Ok(())
}

fn pool_options(options: &Options) -> anyhow::Result<wasmbatch_executor::Options> {
    let WorkerOptions { require_full_jail: _, compile_memory_mib, compile_seconds, worker_uid_base } = options.workers;
    let worker = std::env::current_exe().context("can't find this program's own file")?;
    let warm = usize::try_from(options.vcpus)?.clamp(1, MOST_WORKERS);
    let mut pool = wasmbatch_executor::Options::new(vec![worker.into(), "worker".into()], options.data_dir.clone());
    pool.allowed_mounts.clone_from(&options.allow_mount);
    pool.warm_workers = warm;
    pool.max_workers = warm.saturating_mul(4).min(MOST_WORKERS);
    if let Some(seconds) = compile_seconds {
        pool.compile_timeout = Duration::from_secs(seconds);
    }
    pool.compile_memory_bytes = match (compile_memory_mib, crate::config::machine_memory_mib()) {
        (Some(mebibytes), _) => mebibytes << 20,
        // A small machine keeps half of its memory for what runs.
        (None, Ok(machine)) => pool.compile_memory_bytes.min((machine / 2).max(64) << 20),
        (None, Err(_)) => pool.compile_memory_bytes,
    };
    if let Some(base) = worker_uid_base {
        pool.worker_uid_base = base;
    }
    Ok(pool)
}

fn start_controller(options: &Options) -> anyhow::Result<Controller> {
    let pool = pool_options(options)?;
    let containers = options.containers.options(&options.data_dir, &options.allow_mount)?;
    let controller = wasmbatch_controller::Options {
        data_dir: options.data_dir.clone(),
        node: Node {
            instance: crate::config::instance_name(),
            vcpus: Vcpus::whole(options.vcpus),
            memory_mib: options.memory_mib,
            gpus: u32::try_from(containers.gpus.len())?,
        },
        allowed_mounts: options.allow_mount.clone(),
        job_network: options.job_network,
        inbox_capacity: INBOX_CAPACITY,
        keep_finished: options.keep_finished,
    };
    let start_executor = |sink: Arc<dyn AttemptSink>| {
        let pool = Arc::new(WorkerPool::start(pool, Arc::clone(&sink))?);
        let containers = Containers::start(containers, pool, sink)?;
        // Before the first attempt is handed to it.
        if let Err(missing) = check_walls(&containers.walls(), options.workers.require_full_jail) {
            containers.shutdown();
            return Err(missing.into());
        }
        Ok(Arc::new(containers) as Arc<dyn Executor>)
    };
    Ok(Controller::start(controller, Arc::new(SystemClock), start_executor)?)
}
