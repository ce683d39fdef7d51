//! containerProperties and containerOverrides.

use std::collections::BTreeSet;

use serde_json::Value;
use wasmbatch_core::definition::{
    EnvironmentVariable, LogConfiguration, MountPoint, Need, ResourceKind, ResourceRequirement, Volume, VolumeSource,
};
use wasmbatch_core::name::shortened;
use wasmbatch_core::{ContainerOverrides, ContainerProperties, limits};
use wasmbatch_model::{Rest, definition as wire, job as wire_job};

use super::settings::to_settings;
use super::{asks, from_document, required, required_text, signed, to_document, unsigned};
use crate::error::ApiError;

/// Longest image reference, in characters `[API]` ContainerProperties.
const IMAGE_CHARS: usize = 255;
/// Longest name of a volume, in characters `[API]` Volume.
const VOLUME_NAME_CHARS: usize = 255;
/// Longest name of a log group, and of the part of a stream's name that is the user's. A whole
/// stream's name has 512 `[API]`, of which the attempt takes up to 60.
const LOG_NAME_CHARS: usize = 440;

/// containerProperties of a definition.
pub(crate) fn to_properties(properties: wire::ContainerProperties) -> Result<ContainerProperties, ApiError> {
    let wire::ContainerProperties {
        image,
        vcpus,
        memory,
        command,
        volumes,
        environment,
        mount_points,
        resource_requirements,
        log_configuration,
        readonly_root_filesystem,
        rest,
    } = properties;
    let image = to_image(image)?;
    let volumes = to_volumes(volumes.unwrap_or_default())?;
    let resource_requirements = to_requirements(resource_requirements.unwrap_or_default())?;
    let log = log_configuration.map(to_log).transpose()?;
    let Granted { ephemeral_storage_gib, assign_public_ip, role } = granted(&rest, "jobRoleArn")?;
    let mut properties = ContainerProperties {
        image,
        command: command.unwrap_or_default(),
        environment: to_variables(environment.unwrap_or_default())?,
        mount_points: to_mount_points(mount_points.unwrap_or_default(), &volumes)?,
        volumes,
        resource_requirements,
        vcpus: vcpus.map(|vcpus| unsigned(vcpus, "containerProperties.vcpus")).transpose()?,
        memory: memory.map(|memory| unsigned(memory, "containerProperties.memory")).transpose()?,
        log,
        read_only_root: readonly_root_filesystem,
        ephemeral_storage_gib,
        assign_public_ip,
        role,
        settings: to_settings(&rest)?,
        needs: Vec::new(),
        rest: to_document(rest.clone()),
    };
    properties.resources()?;
    properties.needs = needs(&properties, &rest);
    if mounts_one_twice(std::iter::once(&properties)) {
        properties.needs.push(need(SHARED_VOLUME));
    }
    Ok(properties)
}

pub(super) fn to_image(image: Option<String>) -> Result<String, ApiError> {
    let image = image
        .filter(|image| !image.is_empty())
        .ok_or_else(|| ApiError::executing("containerProperties must contain image"))?;
    if image.chars().count() > IMAGE_CHARS || image.chars().any(char::is_control) {
        return Err(ApiError::client("containerProperties.image must have at most 255 characters, none a control"));
    }
    Ok(image)
}

pub(super) fn to_variables(environment: Vec<wire::KeyValuePair>) -> Result<Vec<EnvironmentVariable>, ApiError> {
    let variable = |wire::KeyValuePair { name, value }| {
        let name = name.unwrap_or_default();
        if name.is_empty() || name.contains('=') {
            return Err(ApiError::client("environment: a name must not be empty or contain '='"));
        }
        if name.starts_with("AWS_BATCH") {
            let message = "Environment variable names must not start with the reserved prefix AWS_BATCH";
            return Err(ApiError::executing(format!("{message}: {}", shortened(&name))));
        }
        Ok(EnvironmentVariable { name, value: value.unwrap_or_default() })
    };
    environment.into_iter().map(variable).collect()
}

pub(super) fn to_requirements(given: Vec<wire::ResourceRequirement>) -> Result<Vec<ResourceRequirement>, ApiError> {
    let mut kinds = BTreeSet::new();
    let mut requirements = Vec::with_capacity(given.len());
    for wire::ResourceRequirement { kind, value } in given {
        let word = required(kind, "resourceRequirements.type")?;
        let kind = ResourceKind::parse(&word).ok_or_else(|| {
            let word = shortened(&word);
            ApiError::client(format!("resourceRequirements.type {word} must be one of GPU | VCPU | MEMORY | FUEL"))
        })?;
        if !kinds.insert(kind) {
            return Err(ApiError::client(format!("resourceRequirements: {word} stands in it twice")));
        }
        requirements.push(ResourceRequirement { kind, value: required(value, "resourceRequirements.value")? });
    }
    Ok(requirements)
}

pub(super) fn to_volumes(given: Vec<wire::Volume>) -> Result<Vec<Volume>, ApiError> {
    let mut names = BTreeSet::new();
    let mut volumes = Vec::with_capacity(given.len());
    for wire::Volume { host, name, efs_volume_configuration, s3files_volume_configuration } in given {
        if let Some(name) = &name {
            check_volume_name(name)?;
            if !names.insert(name.clone()) {
                return Err(ApiError::client(format!("volumes: the name {} stands in it twice", shortened(name))));
            }
        }
        if s3files_volume_configuration.is_some() {
            return Err(ApiError::unsupported("volumes.s3filesVolumeConfiguration"));
        }
        let source = match (host, efs_volume_configuration) {
            (Some(_), Some(_)) => {
                return Err(ApiError::client("volumes: host and efsVolumeConfiguration exclude each other"));
            }
            (None, Some(efs)) => VolumeSource::Efs(Value::Object(efs).to_string()),
            (None, None) => VolumeSource::Empty,
            (Some(wire::Host { source_path }), None) => match source_path.filter(|path| !path.is_empty()) {
                None => VolumeSource::EmptyHost,
                Some(path) if path.starts_with('/') => VolumeSource::Host(path),
                Some(_) => return Err(ApiError::client("volumes.host.sourcePath must be an absolute path")),
            },
        };
        volumes.push(Volume { name, source });
    }
    Ok(volumes)
}

fn check_volume_name(name: &str) -> Result<(), ApiError> {
    let fits = (1..=VOLUME_NAME_CHARS).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if fits {
        Ok(())
    } else {
        let name = shortened(name);
        Err(ApiError::client(format!("volumes.name {name} must be 1 to 255 letters, digits, hyphens, underscores")))
    }
}

pub(super) fn to_mount_points(given: Vec<wire::MountPoint>, volumes: &[Volume]) -> Result<Vec<MountPoint>, ApiError> {
    let mut paths = BTreeSet::new();
    let mut mount_points = Vec::with_capacity(given.len());
    for wire::MountPoint { container_path, read_only, source_volume } in given {
        let path = required_text(container_path, "mountPoints.containerPath")?;
        let normal = normal_path(&path).ok_or_else(|| {
            ApiError::client("mountPoints.containerPath must be an absolute path without '.' and '..'")
        })?;
        if !paths.insert(normal) {
            let path = shortened(&path);
            return Err(ApiError::client(format!("mountPoints: the containerPath {path} stands in it twice")));
        }
        let volume = required_text(source_volume, "mountPoints.sourceVolume")?;
        if !volumes.iter().any(|known| known.name.as_deref() == Some(&volume)) {
            let volume = shortened(&volume);
            return Err(ApiError::client(format!("mountPoints.sourceVolume {volume} is not one of the volumes")));
        }
        mount_points.push(MountPoint { container_path: Some(path), read_only, source_volume: Some(volume) });
    }
    Ok(mount_points)
}

/// An absolute path's segments, so that `/a` and `/a//` are known to be one folder.
pub(super) fn normal_path(path: &str) -> Option<String> {
    let segments: Vec<_> = path.strip_prefix('/')?.split('/').filter(|segment| !segment.is_empty()).collect();
    let plain = segments.iter().all(|segment| *segment != "." && *segment != "..");
    plain.then(|| segments.join("/"))
}

pub(super) fn to_log(configuration: wire::LogConfiguration) -> Result<LogConfiguration, ApiError> {
    let wire::LogConfiguration { log_driver, options, rest } = configuration;
    let options = options.unwrap_or_default();
    for (name, value) in &options {
        if !is_log_option(name, value) {
            let value = shortened(value);
            return Err(ApiError::client(format!("logConfiguration.options: {name} can't be {value}")));
        }
    }
    Ok(LogConfiguration {
        driver: required_text(log_driver, "containerProperties.logConfiguration.logDriver")?,
        options,
        rest: to_document(rest),
    })
}

/// Whether an option that decides something has a value that can decide it. Names of groups and
/// streams have the characters of CloudWatch Logs `[API]`.
fn is_log_option(name: &str, value: &str) -> bool {
    let bounded = (1..=LOG_NAME_CHARS).contains(&value.chars().count());
    match name {
        "awslogs-group" => {
            bounded && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/' | b'#'))
        }
        "awslogs-stream-prefix" => bounded && !value.chars().any(|c| matches!(c, ':' | '*') || c.is_control()),
        "wasmbatch-max-bytes" | "wasmbatch-max-lines" => {
            value.bytes().all(|b| b.is_ascii_digit()) && value.parse::<u64>().is_ok()
        }
        _ => true,
    }
}

/// What this node can't give, so that an attempt fails and says so instead of running without it.
/// The texts end up in `ResourceInitializationError: <what>` and use only characters that
/// `onReason` patterns can match.
pub(super) fn needs(properties: &ContainerProperties, rest: &Rest) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut need = |wanted: bool, what: &str| {
        if wanted {
            needs.push(Need { what: what.to_owned() });
        }
    };
    let given = |member: &str| rest.get(member).is_some_and(asks);
    need(given("secrets"), "secrets are not available on this node");
    need(given("repositoryCredentials"), "repositoryCredentials are not available on this node");
    let efs = properties.volumes.iter().any(|volume| matches!(volume.source, VolumeSource::Efs(_)));
    need(efs, "volumes.efsVolumeConfiguration is not available on this node");
    needs
}

/// What a container or a task gets of the node beside what it holds, and in whose name.
pub(super) struct Granted {
    pub(super) ephemeral_storage_gib: Option<u32>,
    pub(super) assign_public_ip: bool,
    pub(super) role: Option<String>,
}

/// Reads it from the members that are answered as they came; `role` is the one with the role.
pub(super) fn granted(rest: &Rest, role: &str) -> Result<Granted, ApiError> {
    let size = rest.get("ephemeralStorage").and_then(|storage| storage.get("sizeInGiB")).and_then(Value::as_i64);
    let bounds = limits::EPHEMERAL_STORAGE_GIB;
    let within = |size: i64| u32::try_from(size).ok().filter(|size| bounds.contains(size));
    let ephemeral_storage_gib = size
        .map(|size| {
            within(size).ok_or_else(|| {
                let (least, most) = (bounds.start(), bounds.end());
                ApiError::client(format!("ephemeralStorage.sizeInGiB must be between {least} and {most}"))
            })
        })
        .transpose()?;
    let public = rest.get("networkConfiguration").and_then(|network| network.get("assignPublicIp"));
    Ok(Granted {
        ephemeral_storage_gib,
        assign_public_ip: public.and_then(Value::as_str) == Some("ENABLED"),
        role: rest.get(role).and_then(Value::as_str).filter(|role| !role.is_empty()).map(str::to_owned),
    })
}

/// containerOverrides of a submit.
pub(crate) fn to_overrides(overrides: Option<wire_job::ContainerOverrides>) -> Result<ContainerOverrides, ApiError> {
    let Some(overrides) = overrides else {
        return Ok(ContainerOverrides::default());
    };
    let length = serde_json::to_string(&overrides).map_or(usize::MAX, |json| json.len());
    if length > limits::OVERRIDES_BYTES {
        let most = limits::OVERRIDES_BYTES;
        return Err(ApiError::executing(format!("Container Overrides length must be at most {most}")));
    }
    let wire_job::ContainerOverrides { vcpus, memory, command, instance_type, environment, resource_requirements } =
        overrides;
    if command.iter().flatten().any(String::is_empty) {
        return Err(ApiError::executing("containerOverrides.command must not contain an empty string"));
    }
    let resource_requirements = to_requirements(resource_requirements.unwrap_or_default())?;
    let instance_type = instance_type.map(|kind| ("instanceType".to_owned(), Value::String(kind)));
    Ok(ContainerOverrides {
        // An empty list overrides nothing: clients send it for "as the definition says".
        command: command.filter(|command| !command.is_empty()),
        environment: to_variables(environment.unwrap_or_default())?,
        resource_requirements,
        vcpus: vcpus.map(|vcpus| unsigned(vcpus, "containerOverrides.vcpus")).transpose()?,
        memory: memory.map(|memory| unsigned(memory, "containerOverrides.memory")).transpose()?,
        rest: to_document(instance_type.into_iter().collect()),
    })
}

/// containerProperties as answered, with the members that AWS fills in.
pub(crate) fn from_properties(properties: &ContainerProperties) -> wire::ContainerProperties {
    let ContainerProperties {
        image,
        command,
        environment,
        resource_requirements,
        vcpus,
        memory,
        mount_points,
        volumes,
        log,
        read_only_root,
        // They stand in the rest as they came.
        ephemeral_storage_gib: _,
        assign_public_ip: _,
        role: _,
        settings: _,
        needs: _,
        rest,
    } = properties;
    let mut rest = from_document(rest);
    for member in ["secrets", "ulimits"] {
        rest.entry(member).or_insert_with(|| Value::Array(Vec::new()));
    }
    wire::ContainerProperties {
        image: Some(image.clone()),
        vcpus: vcpus.map(signed),
        memory: memory.map(signed),
        command: Some(command.clone()),
        volumes: Some(volumes.iter().map(from_volume).collect()),
        environment: Some(environment.iter().map(from_variable).collect()),
        mount_points: Some(mount_points.iter().map(from_mount_point).collect()),
        resource_requirements: Some(resource_requirements.iter().map(from_requirement).collect()),
        log_configuration: log.as_ref().map(from_log),
        readonly_root_filesystem: *read_only_root,
        rest,
    }
}

pub(super) fn from_variable(variable: &EnvironmentVariable) -> wire::KeyValuePair {
    let EnvironmentVariable { name, value } = variable.clone();
    wire::KeyValuePair { name: Some(name), value: Some(value) }
}

pub(super) fn from_requirement(requirement: &ResourceRequirement) -> wire::ResourceRequirement {
    let ResourceRequirement { kind, value } = requirement.clone();
    wire::ResourceRequirement { kind: Some(kind.as_str().to_owned()), value: Some(value) }
}

fn from_mount_point(mount_point: &MountPoint) -> wire::MountPoint {
    let MountPoint { container_path, read_only, source_volume } = mount_point.clone();
    wire::MountPoint { container_path, read_only, source_volume }
}

fn from_volume(volume: &Volume) -> wire::Volume {
    let Volume { name, source } = volume.clone();
    let mut wire = wire::Volume { name, ..wire::Volume::default() };
    match source {
        VolumeSource::Empty => {}
        VolumeSource::EmptyHost => wire.host = Some(wire::Host::default()),
        VolumeSource::Host(path) => wire.host = Some(wire::Host { source_path: Some(path) }),
        VolumeSource::Efs(json) => {
            let efs = serde_json::from_str(&json).expect("an EFS volume holds the JSON that was put into it");
            wire.efs_volume_configuration = Some(efs);
        }
    }
    wire
}

fn from_log(log: &LogConfiguration) -> wire::LogConfiguration {
    let LogConfiguration { driver, options, rest } = log;
    wire::LogConfiguration {
        log_driver: Some(driver.clone()),
        options: Some(options.clone()),
        rest: from_document(rest),
    }
}

pub(super) fn need(what: &str) -> Need {
    Need { what: what.to_owned() }
}

pub(super) const SHARED_VOLUME: &str = "an empty volume with several mounts is not available in this version";

/// Whether an empty volume is mounted more than once.
pub(super) fn mounts_one_twice<'c>(containers: impl Iterator<Item = &'c ContainerProperties>) -> bool {
    let mut mounts: Vec<String> = Vec::new();
    for properties in containers {
        let empty = |name: &str| {
            let volume = properties.volumes.iter().find(|volume| volume.name.as_deref() == Some(name));
            volume.is_some_and(|volume| matches!(volume.source, VolumeSource::Empty | VolumeSource::EmptyHost))
        };
        let sources = properties.mount_points.iter().filter_map(|point| point.source_volume.as_deref());
        // A sub-path is part of the same volume.
        let volumes =
            sources.filter(|name| empty(name)).map(|name| name.split_once('/').map_or(name, |(name, _)| name));
        mounts.extend(volumes.map(str::to_owned));
    }
    let total = mounts.len();
    mounts.sort_unstable();
    mounts.dedup();
    mounts.len() < total
}
