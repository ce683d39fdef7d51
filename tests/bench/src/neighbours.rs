//! What an array that behaves loses by neighbours that don't: the same array on a node where as much is
//! held by programs that only sleep, and by programs that mean harm.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::stream;
use wasmbatch_client::Client;
use wasmbatch_client::model::definition::{ContainerProperties, RegisterJobDefinitionRequest, ResourceRequirement};
use wasmbatch_client::model::job::{ContainerOverrides, DescribeJobsRequest, EndJobRequest, SubmitJobRequest};
use wasmbatch_client::model::own::CompileState;

use crate::arrays::array;
use crate::attempts::median;
use crate::daemon::Daemon;
use crate::node::{prepare, submission};

/// Children of the array, of a quarter of a vCPU each.
const SIZE: u32 = 2_000;
/// Repetitions; the median counts.
const REPETITIONS: usize = 5;
/// Words of the module `hostile`; each holds a quarter of a vCPU.
const PEACEFUL: [&str; 4] = ["sleep-for-ever"; 4];
const HOSTILE: [&str; 4] = ["spin", "flood-bytes", "poll-for-ever", "list-for-ever"];

/// Medians of the time that the array takes.
#[derive(Debug)]
pub struct Figures {
    peaceful: Duration,
    hostile: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peaceful, hostile } = self;
        let ratio = hostile.as_secs_f64() / peaceful.as_secs_f64();
        writeln!(f, "array of {SIZE} no-op children beside neighbours that hold a vCPU")?;
        writeln!(f, "  that sleep                {peaceful:>9.2?}")?;
        write!(f, "  that mean harm            {hostile:>9.2?}  {ratio:.2}x")
    }
}

/// Measures both, in turns, on a node and a data folder of its own.
///
/// # Errors
/// Something doesn't work.
pub fn measure() -> Result<Figures> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let home = tempfile::tempdir()?;
        let (daemon, _) = Daemon::start(home.path()).await?;
        let figures = run(&daemon.client).await;
        daemon.stop()?;
        figures
    })
}

async fn run(client: &Client) -> Result<Figures> {
    prepare(client).await?;
    define_hostile(client).await?;
    array(client, SIZE, "0.25").await?;
    let (mut peaceful, mut hostile) = (Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        peaceful.push(beside(client, &PEACEFUL).await?);
        hostile.push(beside(client, &HOSTILE).await?);
    }
    Ok(Figures { peaceful: median(peaceful), hostile: median(hostile) })
}

async fn define_hostile(client: &Client) -> Result<()> {
    let wasm = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/prebuilt/hostile.wasm"))?;
    let size = wasm.len() as u64;
    let body = stream::iter([Ok(Bytes::from(wasm))]);
    let mut module = client.put_module("hostile:1", Some(size), body, |_sent| {}).await?;
    while module.compile.state == CompileState::Compiling {
        module = client.module("hostile:1").await?;
    }
    let requirement =
        |kind: &str, value: &str| ResourceRequirement { kind: Some(kind.to_owned()), value: Some(value.to_owned()) };
    let container = ContainerProperties {
        image: Some("hostile:1".to_owned()),
        resource_requirements: Some(vec![requirement("VCPU", "0.25"), requirement("MEMORY", "64")]),
        ..ContainerProperties::default()
    };
    let definition = RegisterJobDefinitionRequest {
        job_definition_name: Some("hostile".to_owned()),
        kind: Some("container".to_owned()),
        container_properties: Some(container),
        ..RegisterJobDefinitionRequest::default()
    };
    client.register_job_definition(&definition).await?;
    Ok(())
}

/// How long the array takes beside these.
async fn beside(client: &Client, words: &[&str]) -> Result<Duration> {
    let mut neighbours = Vec::new();
    for word in words {
        let overrides = ContainerOverrides { command: Some(vec![(*word).to_owned()]), ..ContainerOverrides::default() };
        let request = SubmitJobRequest {
            job_definition: Some("hostile".to_owned()),
            container_overrides: Some(overrides),
            ..submission("default")
        };
        neighbours.push(client.submit_job(&request).await?.job_id);
    }
    let (_, whole, _) = array(client, SIZE, "0.25").await?;
    for job in neighbours {
        let asked = DescribeJobsRequest { jobs: Some(vec![job.clone()]) };
        let states: Vec<String> = client.describe_jobs(&asked).await?.jobs.into_iter().map(|job| job.status).collect();
        ensure!(states == ["RUNNING"], "a neighbour is {states:?}");
        let request = EndJobRequest { job_id: Some(job.clone()), reason: Some("measured".to_owned()) };
        client.terminate_job(&request).await?;
        client.wait_for_job(&job, None).await?;
    }
    Ok(whole)
}
