//! ecsProperties.

use serde_json::Value;
use wasmbatch_core::ContainerProperties;
use wasmbatch_core::definition::{Need, Task, TaskContainer, TaskKind, Volume};
use wasmbatch_core::layout::{Condition, Role};
use wasmbatch_core::name::shortened;
use wasmbatch_core::plan::DEFAULT_CONTAINER;
use wasmbatch_model::Rest;
use wasmbatch_model::task::{EcsProperties, EcsTaskProperties, TaskContainerDependency, TaskContainerProperties};

use super::container::{
    Granted, SHARED_VOLUME, granted, mounts_one_twice, need, needs, to_image, to_log, to_mount_points, to_requirements,
    to_variables, to_volumes,
};
use super::settings::to_settings;
use super::{required_text, to_document};
use crate::error::ApiError;

/// Longest name of a container, in characters, as ECS has it.
const NAME_CHARS: usize = 255;
/// Shortest startTimeout and stopTimeout in seconds `[API]` TaskContainerProperties.
const MIN_TIMEOUT_SECONDS: i64 = 2;

/// The task of ecsProperties.
pub(crate) fn to_task(properties: EcsProperties) -> Result<Task, ApiError> {
    let mut tasks = properties.task_properties.unwrap_or_default();
    let (Some(task), true) = (tasks.pop(), tasks.is_empty()) else {
        return Err(ApiError::client("ecsProperties.taskProperties must have exactly one entry"));
    };
    let EcsTaskProperties { containers, volumes, rest } = task;
    let volumes = to_volumes(volumes.unwrap_or_default())?;
    let own_needs = task_needs(&rest)?;
    let mut containers = containers
        .unwrap_or_default()
        .into_iter()
        .map(|container| to_container(container, &volumes, &rest))
        .collect::<Result<Vec<_>, _>>()?;
    for container in &mut containers {
        container.properties.needs.extend(own_needs.iter().cloned());
    }
    refuse_sharing(&mut containers);
    Ok(Task::new(TaskKind::Ecs, containers)?)
}

fn to_container(
    container: TaskContainerProperties,
    volumes: &[Volume],
    task: &Rest,
) -> Result<TaskContainer, ApiError> {
    let TaskContainerProperties {
        name,
        essential,
        depends_on,
        image,
        command,
        environment,
        mount_points,
        resource_requirements,
        log_configuration,
        readonly_root_filesystem,
        mut rest,
    } = container;
    check_timeouts(&rest)?;
    let firelens = rest.remove("firelensConfiguration").is_some();
    let Granted { ephemeral_storage_gib, assign_public_ip, role } = granted(task, "taskRoleArn")?;
    let mut properties = ContainerProperties {
        image: to_image(image)?,
        command: command.unwrap_or_default(),
        environment: to_variables(environment.unwrap_or_default())?,
        mount_points: to_mount_points(mount_points.unwrap_or_default(), volumes)?,
        volumes: volumes.to_vec(),
        resource_requirements: to_requirements(resource_requirements.unwrap_or_default())?,
        vcpus: None,
        memory: None,
        log: log_configuration.map(to_log).transpose()?,
        read_only_root: readonly_root_filesystem,
        ephemeral_storage_gib,
        assign_public_ip,
        role,
        settings: to_settings(&rest)?,
        needs: Vec::new(),
        rest: to_document(Rest::new()),
    };
    properties.resources()?;
    properties.needs = needs(&properties, &rest);
    if firelens {
        properties.needs.push(need("firelensConfiguration is not available on this node"));
    }
    Ok(TaskContainer {
        name: to_name(name, DEFAULT_CONTAINER)?,
        role: if essential.unwrap_or(true) { Role::Essential } else { Role::Sidecar },
        depends_on: depends_on.unwrap_or_default().into_iter().map(to_dependency).collect::<Result<_, _>>()?,
        args: Vec::new(),
        properties,
    })
}

/// A container's name, which stands in the name of its log stream.
pub(super) fn to_name(name: Option<String>, default: &str) -> Result<String, ApiError> {
    let Some(name) = name else {
        return Ok(default.to_owned());
    };
    let fits = (1..=NAME_CHARS).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if fits {
        Ok(name)
    } else {
        let name = shortened(&name);
        Err(ApiError::client(format!(
            "containers.name {name} must be 1 to {NAME_CHARS} letters, digits, hyphens, underscores"
        )))
    }
}

fn to_dependency(given: TaskContainerDependency) -> Result<(String, Condition), ApiError> {
    let TaskContainerDependency { container_name, condition } = given;
    let name = required_text(container_name, "containers.dependsOn.containerName")?;
    let word = required_text(condition, "containers.dependsOn.condition")?;
    let condition = match word.as_str() {
        "START" => Condition::Start,
        "COMPLETE" => Condition::Complete,
        "SUCCESS" => Condition::Success,
        _ => {
            let word = shortened(&word);
            let words = "START | COMPLETE | SUCCESS";
            return Err(ApiError::client(format!("containers.dependsOn.condition {word} must be one of {words}")));
        }
    };
    Ok((name, condition))
}

fn check_timeouts(rest: &Rest) -> Result<(), ApiError> {
    for member in ["startTimeout", "stopTimeout"] {
        if rest.get(member).and_then(Value::as_i64).is_some_and(|seconds| seconds < MIN_TIMEOUT_SECONDS) {
            return Err(ApiError::client(format!("containers.{member} must be at least {MIN_TIMEOUT_SECONDS}")));
        }
    }
    Ok(())
}

/// What the task as a whole asks of the node. Roles, the platform version and the like are answered
/// as they came; networkMode has but one value, which is the default.
fn task_needs(rest: &Rest) -> Result<Vec<Need>, ApiError> {
    let word = |member: &str, words: &[&str]| match rest.get(member).and_then(Value::as_str) {
        None | Some("") => Ok(None),
        Some(word) if words.contains(&word) => Ok(Some(word.to_owned())),
        Some(word) => {
            let (word, words) = (shortened(word), words.join(" | "));
            Err(ApiError::client(format!("taskProperties.{member} {word} must be one of {words}")))
        }
    };
    word("networkMode", &["host"])?;
    let mut needs = Vec::new();
    if word("ipcMode", &["host", "task", "none"])?.is_some_and(|mode| mode != "none") {
        needs.push(need("ipcMode is not available on this node"));
    }
    if word("pidMode", &["host", "task"])?.is_some() {
        needs.push(need("pidMode is not available on this node"));
    }
    Ok(needs)
}

/// Every mount of an empty folder gets a folder of its own, which is not what those want that mount
/// the same one twice.
pub(super) fn refuse_sharing(containers: &mut [TaskContainer]) {
    if mounts_one_twice(containers.iter().map(|container| &container.properties)) {
        for container in containers {
            container.properties.needs.push(need(SHARED_VOLUME));
        }
    }
}
