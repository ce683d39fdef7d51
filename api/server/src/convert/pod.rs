//! eksProperties.

use serde_json::Value;
use wasmbatch_core::ContainerProperties;
use wasmbatch_core::definition::{
    MountPoint, Need, ResourceKind, ResourceRequirement, Task, TaskContainer, TaskKind, Volume, VolumeSource,
};
use wasmbatch_core::layout::{Condition, Role};
use wasmbatch_core::limits;
use wasmbatch_core::name::shortened;
use wasmbatch_model::Rest;
use wasmbatch_model::task::{EksContainer, EksHostPath, EksPodProperties, EksProperties, EksVolume, EksVolumeMount};

use super::container::{need, normal_path, to_image, to_variables};
use super::settings::to_pod_settings;
use super::task::{refuse_sharing, to_name};
use super::{asks, quantity, required_text, to_document};
use crate::error::ApiError;

/// What a container of a pod is called that has no name `[API]` EksContainerDetail.
const DEFAULT_NAME: &str = "Default";

/// What a container of a pod holds that says nothing of it.
const DEFAULT_VCPUS: &str = "1";
const DEFAULT_MEMORY_MIB: &str = "512";

/// The pod of eksProperties: its initContainers one after another, each to its success, then its
/// containers side by side.
pub(crate) fn to_pod(properties: EksProperties) -> Result<Task, ApiError> {
    let pod = properties.pod_properties;
    let pod = pod.ok_or_else(|| ApiError::client("eksProperties must contain podProperties"))?;
    let EksPodProperties { containers, init_containers, volumes, rest } = pod;
    let (containers, inits) = (containers.unwrap_or_default(), init_containers.unwrap_or_default());
    if containers.is_empty() {
        return Err(ApiError::client("podProperties must contain at least one container"));
    }
    if containers.len().max(inits.len()) > limits::TASK_CONTAINERS {
        let most = limits::TASK_CONTAINERS;
        return Err(ApiError::client(format!("podProperties can have at most {most} containers of each kind")));
    }
    let (volumes, mut needs) = to_volumes(volumes.unwrap_or_default())?;
    needs.extend(pod_needs(&rest));
    let mut all: Vec<TaskContainer> = Vec::new();
    let init_count = inits.len();
    for (index, container) in inits.into_iter().chain(containers).enumerate() {
        // The last init container that comes before.
        let before = index.min(init_count).checked_sub(1).map(|last| (all[last].name.clone(), Condition::Success));
        all.push(to_container(container, &volumes, (&rest, &needs), before)?);
        let role = rest.get("serviceAccountName").and_then(Value::as_str).filter(|role| !role.is_empty());
        all[index].properties.role = role.map(str::to_owned);
    }
    refuse_sharing(&mut all);
    Ok(Task::new(TaskKind::Pod, all)?)
}

fn to_container(
    container: EksContainer,
    volumes: &[Volume],
    (pod, pod_needs): (&Rest, &[Need]),
    before: Option<(String, Condition)>,
) -> Result<TaskContainer, ApiError> {
    let EksContainer { name, image, command, args, env, resources, volume_mounts, rest } = container;
    let (mount_points, volumes) = to_mounts(volume_mounts.unwrap_or_default(), volumes)?;
    let security = rest.get("securityContext");
    let read_only = security.and_then(|context| context.get("readOnlyRootFilesystem")).and_then(Value::as_bool);
    let mut needs = pod_needs.to_vec();
    needs.extend(security.map(security_needs).unwrap_or_default());
    let (settings, lacking) = to_pod_settings(pod.get("securityContext"), security)?;
    needs.extend(lacking);
    let properties = ContainerProperties {
        image: to_image(image)?,
        command: command.unwrap_or_default(),
        environment: to_variables(env.unwrap_or_default())?,
        resource_requirements: with_defaults(quantity::to_requirements(resources)?),
        vcpus: None,
        memory: None,
        mount_points,
        volumes,
        log: None,
        read_only_root: read_only,
        ephemeral_storage_gib: None,
        assign_public_ip: false,
        role: None,
        settings,
        needs,
        rest: to_document(Rest::new()),
    };
    Ok(TaskContainer {
        name: to_name(name, DEFAULT_NAME)?,
        role: Role::Pod,
        depends_on: before.into_iter().collect(),
        args: args.unwrap_or_default(),
        properties,
    })
}

/// A pod may say nothing of what it holds; then it holds this much of the node.
fn with_defaults(mut given: Vec<ResourceRequirement>) -> Vec<ResourceRequirement> {
    for (kind, value) in [(ResourceKind::Vcpu, DEFAULT_VCPUS), (ResourceKind::Memory, DEFAULT_MEMORY_MIB)] {
        if given.iter().all(|known| known.kind != kind) {
            given.push(ResourceRequirement { kind, value: value.to_owned() });
        }
    }
    given
}

/// Volumes that a node can give, and what it can't.
fn to_volumes(given: Vec<EksVolume>) -> Result<(Vec<Volume>, Vec<Need>), ApiError> {
    let mut volumes: Vec<Volume> = Vec::with_capacity(given.len());
    let mut needs = Vec::new();
    for EksVolume { name, host_path, empty_dir, secret, persistent_volume_claim } in given {
        let name = required_text(name, "volumes.name")?;
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
            let name = shortened(&name);
            return Err(ApiError::client(format!("volumes.name {name} must be letters, digits, hyphens and periods")));
        }
        if volumes.iter().any(|known| known.name.as_ref() == Some(&name)) {
            return Err(ApiError::client(format!("volumes: the name {} stands in it twice", shortened(&name))));
        }
        let source = match (host_path, empty_dir, secret, persistent_volume_claim) {
            (Some(EksHostPath { path }), None, None, None) => {
                let path = required_text(path, "volumes.hostPath.path")?;
                if !path.starts_with('/') {
                    return Err(ApiError::client("volumes.hostPath.path must be an absolute path"));
                }
                VolumeSource::Host(path)
            }
            (None, Some(_), None, None) => VolumeSource::Empty,
            (None, None, Some(secret), None) => {
                // A secret that may be missing is an empty folder where it is.
                if !secret.optional.unwrap_or(false) {
                    needs.push(need("volumes.secret is not available on this node"));
                }
                VolumeSource::Empty
            }
            (None, None, None, Some(_)) => {
                needs.push(need("volumes.persistentVolumeClaim is not available on this node"));
                VolumeSource::Empty
            }
            _ => {
                let kinds = "hostPath, emptyDir, secret and persistentVolumeClaim";
                return Err(ApiError::client(format!("volumes: {} must have one of {kinds}", shortened(&name))));
            }
        };
        volumes.push(Volume { name: Some(name), source });
    }
    Ok((volumes, needs))
}

/// Mount points, and a volume of its own for every sub-path.
fn to_mounts(given: Vec<EksVolumeMount>, volumes: &[Volume]) -> Result<(Vec<MountPoint>, Vec<Volume>), ApiError> {
    let mut volumes = volumes.to_vec();
    let mut points: Vec<MountPoint> = Vec::with_capacity(given.len());
    let mut paths = std::collections::BTreeSet::new();
    for EksVolumeMount { name, mount_path, sub_path, read_only } in given {
        let name = required_text(name, "volumeMounts.name")?;
        let path = required_text(mount_path, "volumeMounts.mountPath")?;
        let normal = normal_path(&path)
            .ok_or_else(|| ApiError::client("volumeMounts.mountPath must be an absolute path without '.' and '..'"))?;
        if !paths.insert(normal) {
            let path = shortened(&path);
            return Err(ApiError::client(format!("volumeMounts: the mountPath {path} stands in it twice")));
        }
        let Some(volume) = volumes.iter().find(|volume| volume.name.as_ref() == Some(&name)).cloned() else {
            let name = shortened(&name);
            return Err(ApiError::client(format!("volumeMounts.name {name} is not one of the volumes")));
        };
        let source_volume = match sub_path.filter(|path| !path.is_empty()) {
            None => name,
            Some(sub_path) => {
                let below = normal_path(&format!("/{sub_path}")).filter(|_| !sub_path.starts_with('/'));
                let below = below.ok_or_else(|| {
                    ApiError::client("volumeMounts.subPath must be a relative path without '.' and '..'")
                })?;
                // No volume has a slash in its name that another could meet.
                let own = format!("{name}/{below}");
                volumes.push(Volume { name: Some(own.clone()), source: beneath(&volume.source, &below) });
                own
            }
        };
        points.push(MountPoint { container_path: Some(path), read_only, source_volume: Some(source_volume) });
    }
    Ok((points, volumes))
}

fn beneath(source: &VolumeSource, below: &str) -> VolumeSource {
    match source {
        VolumeSource::Host(path) => VolumeSource::Host(format!("{}/{below}", path.trim_end_matches('/'))),
        VolumeSource::Empty | VolumeSource::EmptyHost | VolumeSource::Efs(_) => source.clone(),
    }
}

/// What the pod as a whole asks of the node. hostNetwork is on unless said, as the network of a
/// container of containerProperties is, so that it asks for nothing; a service account is answered
/// as it came, as a job role is.
fn pod_needs(rest: &Rest) -> Vec<Need> {
    let mut needs = Vec::new();
    if rest.get("imagePullSecrets").is_some_and(asks) {
        needs.push(need("imagePullSecrets are not available on this node"));
    }
    if rest.get("shareProcessNamespace").is_some_and(asks) {
        needs.push(need("shareProcessNamespace is not available on this node"));
    }
    needs.extend(rest.get("securityContext").map(security_needs).unwrap_or_default());
    needs
}

/// What a security context grants that no job here can have. What takes something away is so
/// already: a module has no user, no job's container more capabilities than it can do without and none
/// anything to escalate to.
fn security_needs(context: &Value) -> Vec<Need> {
    let mut needs = Vec::new();
    if context.get("fsGroup").is_some_and(asks) {
        needs.push(need("securityContext.fsGroup is not available on this node"));
    }
    if context.get("capabilities").and_then(|capabilities| capabilities.get("add")).is_some_and(asks) {
        needs.push(need("securityContext.capabilities.add is not available on this node"));
    }
    let profile = context.get("seccompProfile").and_then(|profile| profile.get("type")).and_then(Value::as_str);
    if profile.is_some_and(|profile| profile != "RuntimeDefault") {
        needs.push(need("securityContext.seccompProfile is not available on this node"));
    }
    needs
}
