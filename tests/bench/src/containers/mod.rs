//! Images under runc through a whole node, beside runc alone on the same root folder with the same
//! specification, and beside plain processes.
//!
//! Everything that is compared is measured in one run and in turns, since absolute numbers move with
//! the machine's neighbours. Wanted are root, runc, and busybox-static at `/bin/busybox`.

mod archive;
mod bare;
mod layers;
mod registry;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use futures_util::stream;
use serde_json::Value;
use tokio::sync::broadcast;
use wasmbatch_client::Client;
use wasmbatch_client::model::definition::{ContainerProperties, RegisterJobDefinitionRequest, ResourceRequirement};
use wasmbatch_client::model::job::{ContainerOverrides, SubmitJobRequest};
use wasmbatch_container::{CONTAINER_UID_BASE, Containers, Options, RuntimeInfo, find_runtime, image};
use wasmbatch_controller::StatusEvent;
use wasmbatch_core::job::JobStatus;
use wasmbatch_executor::Executor;

use crate::arrays::array_of;
use crate::node::RunningNode;
use archive::Made;
use bare::Bare;

/// Makes this process the shim of the container whose folder is named next.
const SHIM_FLAG: &str = "--shim";
/// Makes this process one that unpacks.
const UNPACK_FLAG: &str = "--unpack";
const BUSYBOX: &str = "/bin/busybox";
/// Containers that are timed one after the other.
const TIMED: usize = 60;
/// Children of an array.
const CHILDREN: u32 = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// What this process is to be instead of a benchmark, if anything: how that ended.
///
/// # Errors
/// It is to mount a layer and can't.
pub fn other_process(arguments: &[String]) -> Result<Option<ExitCode>> {
    match arguments {
        [flag] if flag == UNPACK_FLAG => Ok(Some(wasmbatch_container::unpack_main())),
        [flag, folder] if flag == SHIM_FLAG => Ok(Some(wasmbatch_container::shim_main(Path::new(folder)))),
        [flag, layer, home] if flag == layers::MOUNT_FLAG => {
            layers::mount(Path::new(layer), Path::new(home)).map(|()| Some(ExitCode::SUCCESS))
        }
        _ => Ok(None),
    }
}

/// What of the things that are needed isn't there.
pub fn missing() -> Option<String> {
    if !wasmbatch_jail::namespace::is_root_of(CONTAINER_UID_BASE..=CONTAINER_UID_BASE) {
        return Some("only root can give containers users of their own".to_owned());
    }
    if let Err(why) = find_runtime(Path::new("runc")) {
        return Some(why);
    }
    (!Path::new(BUSYBOX).is_file()).then(|| format!("{BUSYBOX} is not there: install busybox-static"))
}

/// Times, the shortest first.
#[derive(Debug)]
pub(crate) struct Series(Vec<Duration>);

impl From<Vec<Duration>> for Series {
    fn from(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }
}

impl Series {
    fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    /// How many times the other's median this one's is.
    fn of(&self, other: &Self) -> f64 {
        self.median().as_secs_f64() / other.median().as_secs_f64()
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(f, "{:>8.2} ms, least {:>8.2} ms", millis(self.median()), millis(self.0[0]))
    }
}

/// Measures everything and hands it on part by part.
///
/// # Errors
/// Something is missing or doesn't work.
pub fn measure(mut part: impl FnMut(&dyn fmt::Display)) -> Result<()> {
    if let Some(what) = missing() {
        bail!("containers can't be measured: {what}");
    }
    let runtime = find_runtime(Path::new("runc")).map_err(anyhow::Error::msg)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let (home, bare_home) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let node = start(home.path(), &runtime).await?;
        let measured = on_node(&node, [home.path(), bare_home.path()], &runtime.program, &mut part).await;
        node.stop().await?;
        measured
    })?;
    let home = tempfile::tempdir()?;
    part(&layers::measure(home.path())?);
    Ok(())
}

async fn start(home: &Path, runtime: &RuntimeInfo) -> Result<RunningNode> {
    let own = std::env::current_exe()?;
    let command = |flag: &str| vec![own.clone().into(), flag.into()];
    let options = Options {
        data_dir: home.to_owned(),
        shim_command: command(SHIM_FLAG),
        runtime: Ok(runtime.clone()),
        allowed_mounts: Vec::new(),
        allowed_devices: Vec::new(),
        allow_privileged: false,
        require_limits: false,
        most_processes: 1024,
        container_uid_base: CONTAINER_UID_BASE,
        device_folders: Vec::new(),
        gpus: Vec::new(),
        images: image::Options::new(home.to_owned(), command(UNPACK_FLAG)),
    };
    RunningNode::begin(home, |pool, sink| Ok(Arc::new(Containers::start(options, pool, sink)?) as Arc<dyn Executor>))
        .await
}

async fn on_node(
    node: &RunningNode,
    [home, bare_home]: [&Path; 2],
    runtime: &Path,
    part: &mut impl FnMut(&dyn fmt::Display),
) -> Result<()> {
    let client = Client::new(&node.endpoint)?;
    let image = Made::of_busybox()?;
    prepare(&client, &image).await?;
    let specification = specification(node, &client, home).await?;
    let bare = Bare::new(runtime, bare_home, &image, specification)?;
    part(&starts(node, &client, &bare).await?);
    part(&arrays(&client, &bare).await?);
    Ok(())
}

/// The image and its definition.
async fn prepare(client: &Client, image: &Made) -> Result<()> {
    let archive = Bytes::from(image.archive()?);
    client.load_images(Some("bench/busybox"), stream::iter([Ok(archive)])).await?;
    let requirement =
        |kind: &str, value: &str| ResourceRequirement { kind: Some(kind.to_owned()), value: Some(value.to_owned()) };
    let container = ContainerProperties {
        image: Some("bench/busybox".to_owned()),
        command: Some(vec!["true".to_owned()]),
        resource_requirements: Some(vec![requirement("VCPU", "1"), requirement("MEMORY", "64")]),
        ..ContainerProperties::default()
    };
    let definition = RegisterJobDefinitionRequest {
        job_definition_name: Some("container".to_owned()),
        kind: Some("container".to_owned()),
        container_properties: Some(container),
        ..RegisterJobDefinitionRequest::default()
    };
    client.register_job_definition(&definition).await?;
    Ok(())
}

fn submission(command: Option<&[&str]>) -> SubmitJobRequest {
    let command = command.map(|command| command.iter().map(|&word| word.to_owned()).collect());
    SubmitJobRequest {
        job_name: Some("container".to_owned()),
        job_queue: Some("default".to_owned()),
        job_definition: Some("container".to_owned()),
        container_overrides: Some(ContainerOverrides { command, ..ContainerOverrides::default() }),
        ..SubmitJobRequest::default()
    }
}

/// When a job came to each of its states, from the sending of its submit.
async fn run(
    client: &Client,
    events: &mut broadcast::Receiver<StatusEvent>,
    command: Option<&[&str]>,
    mut at: impl FnMut(JobStatus, Duration) -> Result<()>,
) -> Result<()> {
    let begun = Instant::now();
    client.submit_job(&submission(command)).await?;
    loop {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.context("the job doesn't end")??;
        at(event.status, begun.elapsed())?;
        match event.status {
            JobStatus::Failed => bail!("a container failed; is {BUSYBOX} static?"),
            JobStatus::Succeeded => return Ok(()),
            _ => {}
        }
    }
}

/// The specification that a shim writes.
async fn specification(node: &RunningNode, client: &Client, home: &Path) -> Result<Value> {
    let mut found = None;
    run(client, &mut node.handle.subscribe(), Some(&["sleep", "1"]), |status, _| {
        if status == JobStatus::Running {
            let folder = std::fs::read_dir(home.join("containers"))?.next().context("there is no container")??;
            let path: PathBuf = folder.path().join("config.json");
            found = Some(serde_json::from_slice(&std::fs::read(path)?)?);
        }
        Ok(())
    })
    .await?;
    found.context("the container was never RUNNING")
}

/// One container after the other.
struct Starts {
    /// From the sending of SubmitJob to SUCCEEDED.
    whole: Series,
    /// From STARTING to SUCCEEDED.
    attempt: Series,
    /// From STARTING to RUNNING.
    begin: Series,
    bare: Series,
    process: Series,
}

async fn starts(node: &RunningNode, client: &Client, bare: &Bare) -> Result<Starts> {
    let [mut whole, mut attempt, mut begin, mut runs, mut processes] = [const { Vec::new() }; 5];
    let mut events = node.handle.subscribe();
    for round in 0..TIMED + 5 {
        let mut times = [Duration::ZERO; 3];
        run(client, &mut events, None, |status, time| {
            match status {
                JobStatus::Starting => times[0] = time,
                JobStatus::Running => times[1] = time,
                JobStatus::Succeeded => times[2] = time,
                _ => {}
            }
            Ok(())
        })
        .await?;
        let [starting, running, succeeded] = times;
        ensure!(Duration::ZERO < starting && starting < running, "a state was left out");
        let alone = bare.run(&format!("one-{round}"), 1)?;
        // Disks, folders and caches come into being in the first rounds.
        if round >= 5 {
            whole.push(succeeded);
            attempt.push(succeeded - starting);
            begin.push(running - starting);
            runs.extend(alone);
            processes.push(bare::process()?);
        }
    }
    Ok(Starts {
        whole: whole.into(),
        attempt: attempt.into(),
        begin: begin.into(),
        bare: runs.into(),
        process: processes.into(),
    })
}

impl fmt::Display for Starts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (runs, processes) = (self.whole.of(&self.bare), self.whole.of(&self.process));
        writeln!(f, "`true` of busybox in a container, {TIMED} one after the other")?;
        writeln!(
            f,
            "  SubmitJob to SUCCEEDED          {}  {runs:.2}x of runc, {processes:.0}x of a process",
            self.whole
        )?;
        writeln!(f, "    STARTING to SUCCEEDED         {}  {:.2}x of runc", self.attempt, self.attempt.of(&self.bare))?;
        writeln!(f, "    STARTING to RUNNING           {}  {:.2}x of runc", self.begin, self.begin.of(&self.bare))?;
        writeln!(f, "  runc run, the same              {}", self.bare)?;
        writeln!(f, "  fork+exec+wait of /bin/true     {}", self.process)
    }
}

/// Many containers.
struct Arrays {
    /// Children per second: one vCPU for each, a quarter for each.
    whole: f64,
    quarter: f64,
    /// Containers per second of runc alone, before and after.
    bare: [f64; 2],
}

async fn arrays(client: &Client, bare: &Bare) -> Result<Arrays> {
    let before = bare.rate("before", CHILDREN)?;
    let mut rates = [0.0; 2];
    for (rate, vcpus) in rates.iter_mut().zip(["1", "0.25"]) {
        let (_, time, _) = array_of(client, submission(None), CHILDREN, vcpus).await?;
        *rate = f64::from(CHILDREN) / time.as_secs_f64();
    }
    let [whole, quarter] = rates;
    Ok(Arrays { whole, quarter, bare: [before, bare.rate("after", CHILDREN)?] })
}

impl fmt::Display for Arrays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] = self.bare;
        let of = |rate: f64| rate * 2.0 / (before + after);
        writeln!(f, "array of {CHILDREN} containers")?;
        writeln!(f, "  with 1 vCPU for each            {:>8.1}/s  {:.2}x of runc", self.whole, of(self.whole))?;
        writeln!(f, "  with 0.25 vCPU for each         {:>8.1}/s  {:.2}x of runc", self.quarter, of(self.quarter))?;
        writeln!(f, "  runc run, two at a time         {before:>8.1}/s, after it {after:.1}/s")
    }
}
