//! `wasmbatch serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use wasmbatch_executor::NetworkAccess;

use crate::node::{Options, RunningNode, WorkerOptions};
use crate::{config, containers, output, telemetry};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Address to listen on; loopback only, until there is authentication. Port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where everything is kept [default: ~/.local/share/wasmbatch]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Folder at or below which jobs may have host folders; repeatable
    #[arg(long, value_name = "DIR")]
    allow_mount: Vec<PathBuf>,
    /// What jobs that set assignPublicIp to ENABLED get of the network: nothing, so that they fail, or
    /// what this machine reaches
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = JobNetwork::None)]
    job_network: JobNetwork,
    /// Whether to start where a wall around the workers is missing, as `wasmbatch nodes` shows them:
    /// `any` starts and says what is missing, `full` doesn't start
    #[arg(long, value_name = "WALLS", value_enum, default_value_t = RequiredJail::Any)]
    require_jail: RequiredJail,
    /// Memory that compiling a module may take, MiB; a module that needs more is refused
    /// [default: 8192, at most half of this machine's]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(64..=1 << 20))]
    compile_memory: Option<u64>,
    /// Seconds that compiling a module may take; a module that needs more is refused
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    compile_seconds: Option<u64>,
    /// First of the user ids that workers run as, on a node that runs as root; no account of this
    /// machine may have one of the 65,536 from there
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..=4_294_000_000))]
    worker_uid_base: Option<u32>,
    #[command(flatten)]
    containers: containers::ContainerArguments,
    /// vCPUs that jobs may hold at once [default: all of this machine's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    vcpus: Option<u32>,
    /// Memory that jobs may hold at once, MiB [default: nine tenths of this machine's]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(4..=1 << 40))]
    memory: Option<u64>,
    /// Region of ARNs for requests that name none
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: String,
    /// Account of ARNs, 12 digits
    #[arg(long, value_name = "ID", default_value = "000000000000", value_parser = account_id)]
    account_id: String,
    /// How long finished jobs and what they wrote are kept: a number and s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = config::duration)]
    keep_finished: Duration,
    /// How long running attempts may go on after SIGTERM before they are ended, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_seconds: u64,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum JobNetwork {
    None,
    Host,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RequiredJail {
    Full,
    Any,
}

fn account_id(text: &str) -> Result<String, String> {
    let fits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { Ok(text.to_owned()) } else { Err("an account id has 12 digits".to_owned()) }
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    telemetry::start()?;
    let drain = Duration::from_secs(arguments.drain_seconds);
    // Before the node is up, so that a signal in between is not lost.
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let node = RunningNode::start(options(arguments)?).await?;
    output::line(&format!("wasmbatch is listening on {}", node.endpoint()))?;
    let failed = tokio::select! {
        _ = terminated.recv() => false,
        _ = interrupted.recv() => false,
        () = node.failed() => true,
    };
    if failed {
        // What memory has may not be on disk: end at once, the next start restores what was committed.
        anyhow::bail!("the store failed; see the log above. Nothing that was answered is lost");
    }
    tracing::info!("draining");
    tokio::select! {
        stopped = node.stop(drain) => stopped?,
        _ = terminated.recv() => anyhow::bail!("ended before all attempts had, at a second signal"),
        _ = interrupted.recv() => anyhow::bail!("ended before all attempts had, at a second signal"),
    }
    Ok(ExitCode::SUCCESS)
}

fn options(arguments: Arguments) -> anyhow::Result<Options> {
    let Arguments {
        listen,
        data_dir,
        allow_mount,
        job_network,
        require_jail,
        compile_memory,
        compile_seconds,
        worker_uid_base,
        containers,
        vcpus,
        memory,
        region,
        account_id,
        keep_finished,
        drain_seconds: _,
    } = arguments;
    let allow_mount = allow_mount
        .into_iter()
        .map(|folder| folder.canonicalize().with_context(|| format!("--allow-mount {}", folder.display())))
        .collect::<anyhow::Result<_>>()?;
    Ok(Options {
        listen,
        data_dir: data_dir.map_or_else(config::default_data_dir, Ok)?,
        allow_mount,
        job_network: match job_network {
            JobNetwork::None => NetworkAccess::None,
            JobNetwork::Host => NetworkAccess::Host,
        },
        workers: WorkerOptions {
            require_full_jail: match require_jail {
                RequiredJail::Full => true,
                RequiredJail::Any => false,
            },
            compile_memory_mib: compile_memory,
            compile_seconds,
            worker_uid_base,
        },
        containers,
        vcpus: vcpus.unwrap_or_else(config::machine_vcpus),
        memory_mib: memory.map_or_else(config::machine_memory_mib, Ok)?,
        region,
        account_id,
        keep_finished,
    })
}
