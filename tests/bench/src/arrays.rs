//! A large array of no-op programs through a whole node, beside as many plain processes from `xargs`.

use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use wasmbatch_client::model::definition::ResourceRequirement;
use wasmbatch_client::model::job::{ArrayProperties, ContainerOverrides, DescribeJobsRequest, SubmitJobRequest};
use wasmbatch_client::{Client, WaitOutcome};

use crate::daemon::{Daemon, Usage};
use crate::node::{prepare, submission};

/// Children of an array that warms the workers up.
const WARM: u32 = 200;
/// Most children of the array whose children hold a quarter of a vCPU each.
const SMALL_CHILDREN: u32 = 10_000;
/// Processes that `xargs` starts.
const PROCESSES: u32 = 10_000;

/// What was measured of one array.
#[derive(Debug)]
pub struct Figures {
    size: u32,
    submit: Duration,
    whole: Duration,
    /// Children per second where four run on each vCPU.
    small: f64,
    usage: Usage,
    before: Usage,
    database_bytes: (u64, u64),
    /// Processes per second, before and after the array.
    xargs: (f64, f64),
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.whole.as_secs_f64();
        let rate = f64::from(self.size) / seconds;
        let (before, after) = self.xargs;
        let ratio = rate * 2.0 / (before + after);
        let Usage { peak, workers, worker_peak, .. } = self.usage;
        let cpu = (self.usage.cpu - self.before.cpu).as_secs_f64();
        let workers_cpu = (self.usage.workers_cpu.saturating_sub(self.before.workers_cpu)).as_secs_f64();
        let mib = |bytes: u64| bytes >> 20;
        writeln!(f, "array of {} no-op children through a node over HTTP", self.size)?;
        writeln!(f, "  SubmitJob answered after        {:>9.2?}", self.submit)?;
        writeln!(f, "  parent SUCCEEDED after          {:>9.2?}  {rate:.0} children/s", self.whole)?;
        writeln!(f, "  with 0.25 vCPU for each child   {:>9.0} children/s", self.small)?;
        writeln!(
            f,
            "  xargs -P2 -n1 /bin/true         {before:>9.0}/s, after it {after:.0}/s: the node is {ratio:.2}x"
        )?;
        writeln!(
            f,
            "  daemon                          {:>6} MiB at its peak, {cpu:.1} s of processors",
            mib(peak << 10)
        )?;
        writeln!(
            f,
            "  {workers} workers                       {:>6} MiB at most each, {workers_cpu:.1} s of processors",
            mib(worker_peak << 10)
        )?;
        let (empty, full) = self.database_bytes;
        write!(f, "  database                        {:>6} MiB, {} MiB before", mib(full), mib(empty))
    }
}

/// Measures one array on a node and a data folder of its own.
///
/// # Errors
/// Something doesn't work.
pub fn measure(size: u32) -> Result<Figures> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let home = tempfile::tempdir()?;
        let (daemon, _) = Daemon::start(home.path()).await?;
        let figures = run(&daemon, home.path(), size).await;
        daemon.stop()?;
        figures
    })
}

async fn run(daemon: &Daemon, home: &Path, size: u32) -> Result<Figures> {
    prepare(&daemon.client).await?;
    array(&daemon.client, WARM, "1").await?;
    let xargs_before = xargs()?;
    let (before, empty) = (daemon.usage()?, database_bytes(home)?);
    let (submit, whole, _) = array(&daemon.client, size, "1").await?;
    let (usage, full) = (daemon.usage()?, database_bytes(home)?);
    let small_size = size.min(SMALL_CHILDREN);
    let (_, small, _) = array(&daemon.client, small_size, "0.25").await?;
    let small = f64::from(small_size) / small.as_secs_f64();
    let xargs = (xargs_before, xargs()?);
    Ok(Figures { size, submit, whole, small, usage, before, database_bytes: (empty, full), xargs })
}

/// An array of children that want so many vCPUs each: how long the submit took, and the whole until the parent SUCCEEDED; which job it was.
pub(crate) async fn array(client: &Client, size: u32, vcpus: &str) -> Result<(Duration, Duration, String)> {
    array_of(client, submission("default"), size, vcpus).await
}

/// [`array`], of jobs like this one.
pub(crate) async fn array_of(
    client: &Client,
    one: SubmitJobRequest,
    size: u32,
    vcpus: &str,
) -> Result<(Duration, Duration, String)> {
    let properties = ArrayProperties { size: Some(i32::try_from(size)?) };
    let vcpus = ResourceRequirement { kind: Some("VCPU".to_owned()), value: Some(vcpus.to_owned()) };
    let overrides = ContainerOverrides { resource_requirements: Some(vec![vcpus]), ..ContainerOverrides::default() };
    let request = SubmitJobRequest { array_properties: Some(properties), container_overrides: Some(overrides), ..one };
    let begun = Instant::now();
    let job = client.submit_job(&request).await?.job_id;
    let submit = begun.elapsed();
    let WaitOutcome::Ended(detail) = client.wait_for_job(&job, None).await? else {
        anyhow::bail!("a wait without end has ended");
    };
    let whole = begun.elapsed();
    if detail.status != "SUCCEEDED" {
        anyhow::bail!("the array is {}: {}", detail.status, first_failure(client, &job, size).await?);
    }
    Ok((submit, whole, job))
}

/// What became of the first child that failed.
async fn first_failure(client: &Client, job: &str, size: u32) -> Result<String> {
    for first in (0..size).step_by(100) {
        let jobs = (first..size.min(first + 100)).map(|index| format!("{job}:{index}")).collect();
        let children = client.describe_jobs(&DescribeJobsRequest { jobs: Some(jobs) }).await?.jobs;
        if let Some(child) = children.iter().find(|child| child.status == "FAILED") {
            let reason = child.container.as_ref().and_then(|container| container.reason.clone());
            return Ok(format!("{:?}, {reason:?}", child.status_reason));
        }
    }
    Ok("no child failed".to_owned())
}

/// Length of the database's file, bytes.
pub(crate) fn database_bytes(home: &Path) -> Result<u64> {
    Ok(std::fs::metadata(home.join("wasmbatch.redb"))?.len())
}

/// Processes per second.
#[expect(clippy::disallowed_methods, reason = "plain processes are what is measured")]
fn xargs() -> Result<f64> {
    let numbers: String = (0..PROCESSES).map(|number| format!("{number}\n")).collect();
    let begun = Instant::now();
    let mut xargs = Command::new("xargs").args(["-P2", "-n1", "/bin/true"]).stdin(Stdio::piped()).spawn()?;
    xargs.stdin.take().context("it was piped")?.write_all(numbers.as_bytes())?;
    ensure!(xargs.wait()?.success(), "xargs failed");
    Ok(f64::from(PROCESSES) / begun.elapsed().as_secs_f64())
}
