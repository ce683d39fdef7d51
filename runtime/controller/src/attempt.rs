//! From a stored job to what an executor is given: the job's own words resolved against this node.

use std::path::PathBuf;
use std::time::Duration;

use wasmbatch_core::definition::{ContainerProperties, MountPoint, Volume, VolumeSource, substitute};
use wasmbatch_core::layout::Layout;
use wasmbatch_core::plan::DEFAULT_CONTAINER;
use wasmbatch_core::settings as core;
use wasmbatch_core::{AttemptId, Digest, Job, JobDefinition, ModuleName, Name, limits};
use wasmbatch_executor::{
    AttemptSpec, ContainerSettings, Device, Mount, MountSource, NetworkAccess, Program, ScratchLimits, Tmpfs, Ulimit,
    matchable,
};
use wasmbatch_store::Snapshot;
use wasmbatch_store::logs::LogLimits;

use crate::ReadError;

/// Default group of `awslogs` at Batch.
const LOG_GROUP: &str = "/aws/batch/job";
/// Characters of the definition's name in a stream's name `[UG]` "Job states".
const STREAM_PREFIX_CHARS: usize = 200;

/// Characters of a whole stream's name `[API]` of CloudWatch Logs.
const STREAM_CHARS: usize = 512;

/// Where an attempt's log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogTarget {
    pub(crate) group: String,
    pub(crate) stream: String,
    pub(crate) limits: LogLimits,
}

/// The group and stream that the container's logConfiguration names for an attempt.
pub(crate) fn log_target(job: &Job, definition: &JobDefinition, attempt: AttemptId) -> LogTarget {
    let (node, container) = job.layout.place_of(attempt.member).unwrap_or_default();
    let defined = definition.spec.defined_container(&job.overrides, node, container);
    let (name, properties) = defined.map_or((DEFAULT_CONTAINER, None), |(name, found)| (name, Some(found)));
    let option = |name: &str| properties?.log.as_ref()?.options.get(name);
    let number = |name: &str, default: u64| option(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let group = option("awslogs-group").map_or(LOG_GROUP, String::as_str).to_owned();
    let prefix = match option("awslogs-stream-prefix") {
        Some(prefix) => prefix.clone(),
        None => job.definition.as_str().chars().take(STREAM_PREFIX_CHARS).collect(),
    };
    let defaults = LogLimits::default();
    let limits = LogLimits {
        bytes: number("wasmbatch-max-bytes", defaults.bytes),
        lines: number("wasmbatch-max-lines", defaults.lines),
    };
    let last = attempt.to_string();
    // Names have no end of their own that a stream's has room for; the last part tells them apart.
    let room = STREAM_CHARS.saturating_sub(prefix.chars().count() + last.len() + 2);
    let name: String = name.chars().take(room).collect();
    LogTarget { group, stream: format!("{prefix}/{name}/{last}"), limits }
}

/// Where an attempt runs.
#[derive(Debug)]
pub(crate) struct Host<'a> {
    /// This node's name.
    pub(crate) instance: &'a str,
    /// The compute environment it counts against.
    pub(crate) environment: &'a Name,
    /// What jobs that ask for the network may reach of it.
    pub(crate) network: NetworkAccess,
}

/// Why an attempt can't even be handed to the executor.
#[derive(Debug)]
pub(crate) enum Unstartable {
    /// Its `container.reason`.
    Reason(String),
    /// The store failed.
    Read(ReadError),
}

impl From<ReadError> for Unstartable {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// Everything an executor needs for an attempt of this job.
pub(crate) fn attempt_spec(
    snapshot: &Snapshot,
    attempt: AttemptId,
    job: &Job,
    definition: &JobDefinition,
    host: &Host<'_>,
) -> Result<AttemptSpec, Unstartable> {
    let (node, place) =
        job.layout.place_of(attempt.member).ok_or_else(|| initialization("there is no such container"))?;
    let missing = || initialization("the job definition has no such container");
    let work = definition.spec.node_work(&job.overrides, node).ok_or_else(missing)?;
    let is_pod = work.is_pod();
    let entrypoint = work.entrypoint(place);
    let container = work.into_container(place).ok_or_else(missing)?;
    if let Some(need) = container.needs.first() {
        return Err(initialization(&need.what));
    }
    let (program, name) = program(snapshot, &container.image)?;
    let settings = settings(&container, entrypoint, is_pod);
    check_module(&program, &settings)?;
    let batch = batch_variables(job, attempt, node, is_pod, host);
    let environment = environment_variables(&container, &batch);
    let arguments = arguments(name, &container, job, is_pod, &environment).ok_or_else(too_long)?;
    let resources = match &job.layout {
        Layout::Single => job.resources,
        Layout::Group(group) => group.members[attempt.member as usize].resources,
    };
    Ok(AttemptSpec {
        attempt,
        program,
        arguments,
        environment,
        memory_limit_bytes: resources.memory_mib << 20,
        mounts: mounts(&container)?,
        read_only_root: container.read_only_root.unwrap_or(false),
        cpu_thousandths: resources.vcpus.quarters().saturating_mul(250).max(1),
        fuel: container.fuel().map_err(|rejection| initialization(&rejection.to_string()))?,
        deterministic: job.extensions.deterministic,
        cpu_limit: job.extensions.cpu_limit_seconds.map(|seconds| Duration::from_secs(seconds.into())),
        scratch: scratch(&container),
        network: network(&container, host)?,
        trust_domain: trust_domain(job, &container),
        container: ContainerSettings { gpus: resources.gpus, ..settings },
    })
}

/// What the container asks of whatever runs it, in the executor's units.
fn settings(container: &ContainerProperties, entrypoint: Option<usize>, pod: bool) -> ContainerSettings {
    let core::ContainerSettings {
        user,
        privileged,
        must_not_be_root,
        init_process,
        shared_memory_mib,
        max_swap_mib,
        swappiness,
        tmpfs,
        devices,
        ulimits,
        stop_timeout_seconds,
    } = container.settings.clone();
    let bytes = |mib: u32| u64::from(mib) << 20;
    let default = ContainerSettings::default();
    ContainerSettings {
        entrypoint,
        user,
        pod,
        must_not_be_root,
        privileged,
        init_process,
        shared_memory_bytes: shared_memory_mib.map(bytes),
        swap_bytes: max_swap_mib.map(bytes),
        swappiness,
        tmpfs: tmpfs.into_iter().map(tmpfs_of).collect(),
        devices: devices.into_iter().map(device_of).collect(),
        ulimits: ulimits.into_iter().map(ulimit_of).collect(),
        gpus: default.gpus,
        stop_timeout: stop_timeout_seconds.map_or(default.stop_timeout, |seconds| Duration::from_secs(seconds.into())),
    }
}

fn tmpfs_of(core::Tmpfs { container_path, size_mib, options }: core::Tmpfs) -> Tmpfs {
    Tmpfs { container_path, bytes: u64::from(size_mib) << 20, options }
}

fn device_of(core::Device { host_path, container_path, permissions }: core::Device) -> Device {
    Device { container_path: container_path.unwrap_or_else(|| host_path.clone()), host_path, permissions }
}

fn ulimit_of(core::Ulimit { name, soft, hard }: core::Ulimit) -> Ulimit {
    Ulimit { name, soft, hard }
}

/// What is a module for certain is refused here what no module can have; of an image nobody knows yet.
fn check_module(program: &Program, settings: &ContainerSettings) -> Result<(), Unstartable> {
    match (program, settings.needs_of_a_module()) {
        (Program::Stored { .. } | Program::File { .. }, Some(need)) => Err(initialization(&need)),
        (Program::Stored { .. } | Program::File { .. }, None) | (Program::Image { .. }, _) => Ok(()),
    }
}

fn initialization(what: &str) -> Unstartable {
    Unstartable::Reason(format!("ResourceInitializationError: {}", matchable(what)))
}

/// The bound of the folder that the attempt has to itself.
fn scratch(container: &ContainerProperties) -> ScratchLimits {
    let gib = container.ephemeral_storage_gib.map(u64::from);
    gib.map_or_else(ScratchLimits::default, ScratchLimits::of_gib)
}

/// The node's network for a container that asks for it, where the node's owner allows it.
fn network(container: &ContainerProperties, host: &Host<'_>) -> Result<NetworkAccess, Unstartable> {
    match (container.assign_public_ip, host.network) {
        (false, _) => Ok(NetworkAccess::None),
        (true, NetworkAccess::Host) => Ok(NetworkAccess::Host),
        (true, NetworkAccess::None) => {
            Err(initialization("networkConfiguration.assignPublicIp is not allowed on this node"))
        }
    }
}

/// Who answers for what the attempt does: its queue, its share and the role it acts in. Neither of
/// the first two has a slash in it, so that no two of them give the same text.
fn trust_domain(job: &Job, container: &ContainerProperties) -> String {
    let share = job.share.as_deref().unwrap_or_default();
    let role = container.role.as_deref().unwrap_or_default();
    format!("{}/{share}/{role}", job.queue)
}

/// The whole argument vector; `None` where it and the environment come to more than
/// [`limits::ARGUMENT_BYTES`], each of them with its end.
fn arguments(
    name: String,
    container: &ContainerProperties,
    job: &Job,
    is_pod: bool,
    environment: &[(String, String)],
) -> Option<Vec<String>> {
    let given: usize = environment.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut left = limits::ARGUMENT_BYTES.checked_sub(given)?;
    let mut arguments = vec![name];
    for element in substitute(&container.command, &job.parameters, left)? {
        arguments.push(if is_pod { expand(&element, environment, left)? } else { element });
        left = left.checked_sub(arguments.last()?.len() + 1)?;
    }
    Some(arguments)
}

fn too_long() -> Unstartable {
    let mib = limits::ARGUMENT_BYTES >> 20;
    initialization(&format!("the arguments and the environment together have more than {mib} MiB"))
}

/// What the image reference names on this node, and the program's own name.
fn program(snapshot: &Snapshot, image: &str) -> Result<(Program, String), Unstartable> {
    if let Ok(digest) = image.parse::<Digest>() {
        // A module's or an image's: the executor knows both.
        return Ok((Program::Image { reference: image.to_owned() }, digest.hex()));
    }
    if let Some(path) = image.strip_prefix("file://") {
        let path = PathBuf::from(path);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("program").to_owned();
        return Ok((Program::File { path }, name));
    }
    if let Ok(name) = ModuleName::parse(image)
        && let Some(module) = snapshot.module(&name)?
    {
        return Ok((Program::Stored { digest: module.digest }, name.name().to_owned()));
    }
    Ok((Program::Image { reference: image.to_owned() }, image.to_owned()))
}

/// The job's own variables, then Batch's, which win.
fn environment_variables(container: &ContainerProperties, batch: &[(&str, String)]) -> Vec<(String, String)> {
    let own = container.environment.iter().filter(|own| batch.iter().all(|(name, _)| *name != own.name));
    own.map(|own| (own.name.clone(), own.value.clone()))
        .chain(batch.iter().map(|(name, value)| ((*name).to_owned(), value.clone())))
        .collect()
}

/// `[UG]` "AWS Batch job environment variables".
fn batch_variables(
    job: &Job,
    attempt: AttemptId,
    node: u32,
    is_pod: bool,
    host: &Host<'_>,
) -> Vec<(&'static str, String)> {
    let nodes = job.layout.group().and_then(|group| Some((group.nodes, group.main_node?)));
    let id = if nodes.is_some() { job.id.node(node) } else { attempt.job };
    let mut variables = vec![
        ("AWS_BATCH_CE_NAME", host.environment.to_string()),
        ("AWS_BATCH_JQ_NAME", job.queue.to_string()),
        ("AWS_BATCH_JOB_ID", id.to_string()),
        ("AWS_BATCH_JOB_ATTEMPT", attempt.number.to_string()),
    ];
    if let (Some(index), Some(size)) = (attempt.job.child_index(), job.array_size) {
        variables.push(("AWS_BATCH_JOB_ARRAY_INDEX", index.to_string()));
        variables.push(("AWS_BATCH_JOB_ARRAY_SIZE", size.to_string()));
    }
    if let Some((count, main)) = nodes {
        variables.push(("AWS_BATCH_JOB_NUM_NODES", count.to_string()));
        variables.push(("AWS_BATCH_JOB_NODE_INDEX", node.to_string()));
        variables.push(("AWS_BATCH_JOB_MAIN_NODE_INDEX", main.to_string()));
        if node != main {
            // All nodes are on this machine.
            variables.push(("AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS", "127.0.0.1".to_owned()));
        }
    }
    if is_pod {
        variables.push(("AWS_BATCH_JOB_KUBERNETES_NODE_UID", host.instance.to_owned()));
    }
    variables
}

/// Replaces `$(NAME)` by the variable's value, where there is one; `$$` stands for a `$` `[API]`
/// EksContainer. `None` where it comes to more than `most` bytes.
fn expand(text: &str, environment: &[(String, String)], most: usize) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let named = behind.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        let value = named.and_then(|(name, after)| {
            let (_, value) = environment.iter().rfind(|(known, _)| known == name)?;
            Some((value, after))
        });
        rest = match (behind.strip_prefix('$'), value) {
            (Some(after), _) => {
                out.push('$');
                after
            }
            (None, Some((value, after))) => {
                out.push_str(value);
                after
            }
            (None, None) => {
                out.push('$');
                behind
            }
        };
        if out.len() > most {
            return None;
        }
    }
    out.push_str(rest);
    Some(out)
}

fn mounts(container: &ContainerProperties) -> Result<Vec<Mount>, Unstartable> {
    container.mount_points.iter().map(|point| mount(point, &container.volumes)).collect()
}

fn mount(point: &MountPoint, volumes: &[Volume]) -> Result<Mount, Unstartable> {
    let MountPoint { container_path, read_only, source_volume } = point;
    let container_path = container_path.clone().ok_or_else(|| initialization("a mount point has no containerPath"))?;
    let volume = volumes.iter().find(|volume| volume.name.is_some() && volume.name == *source_volume);
    let source = match volume.map(|volume| &volume.source) {
        Some(VolumeSource::Host(path)) => MountSource::Host(PathBuf::from(path)),
        Some(VolumeSource::Empty | VolumeSource::EmptyHost) => MountSource::Empty,
        Some(VolumeSource::Efs(_)) => {
            return Err(initialization("an EFS volume is not available on this node"));
        }
        None => return Err(initialization("a mount point names no volume")),
    };
    Ok(Mount { source, container_path, read_only: read_only.unwrap_or(false) })
}

#[cfg(test)]
mod tests;
