//! What a submit overrides of its definition.

use serde::Serialize;
use wasmbatch_core::definition::{ContainerOverrides, NodeOverrides, Overrides, TaskContainerOverrides, TaskKind};
use wasmbatch_core::limits;
use wasmbatch_model::job::ContainerOverrides as WireContainerOverrides;
use wasmbatch_model::{Rest, task as wire};

use super::container::{to_image, to_overrides, to_requirements, to_variables};
use super::nodes::to_targets;
use super::{quantity, requirement, unsigned};
use crate::error::ApiError;

/// Member of a job's rest: `metadata` of an eksPropertiesOverride, which only an answer shows.
pub(crate) const POD_METADATA: &str = "podMetadata";
/// Member of a job's rest: the `instanceTypes` of each of the nodePropertyOverrides, or null.
pub(crate) const NODE_INSTANCE_TYPES: &str = "nodeInstanceTypes";

/// The members of a submit that override its definition.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) container: Option<WireContainerOverrides>,
    pub(crate) ecs: Option<wire::EcsPropertiesOverride>,
    pub(crate) eks: Option<wire::EksPropertiesOverride>,
    pub(crate) nodes: Option<wire::NodeOverrides>,
    pub(crate) consumables: Option<wire::ConsumableResourceProperties>,
}

/// The overrides, and what of them decides nothing but is answered.
pub(crate) fn to_all(given: Given) -> Result<(Overrides, Rest), ApiError> {
    let Given { container, ecs, eks, nodes, consumables } = given;
    let mut rest = Rest::new();
    let (pod, metadata) = to_pod_containers(eks)?;
    rest.extend(metadata.map(|metadata| (POD_METADATA.to_owned(), metadata.into())));
    let mut task = to_task_containers(ecs)?;
    if !task.is_empty() && !pod.is_empty() {
        return Err(ApiError::client("ecsPropertiesOverride and eksPropertiesOverride exclude each other"));
    }
    task.extend(pod);
    let wire::NodeOverrides { num_nodes, node_property_overrides } = nodes.unwrap_or_default();
    let mut instance_types = Vec::new();
    let nodes = node_property_overrides.unwrap_or_default();
    let nodes = nodes.into_iter().map(|one| to_node(one, &mut instance_types)).collect::<Result<_, _>>()?;
    if instance_types.iter().any(|types| !types.is_null()) {
        rest.insert(NODE_INSTANCE_TYPES.to_owned(), instance_types.into());
    }
    let overrides = Overrides {
        container: to_overrides(container)?,
        task,
        node_count: num_nodes.map(|count| unsigned(count, "nodeOverrides.numNodes")).transpose()?,
        nodes,
        consumables: requirement::to_override(consumables)?,
    };
    Ok((overrides, rest))
}

fn to_node(
    given: wire::NodePropertyOverride,
    all_instance_types: &mut Vec<serde_json::Value>,
) -> Result<NodeOverrides, ApiError> {
    let wire::NodePropertyOverride {
        target_nodes,
        container_overrides,
        instance_types,
        ecs_properties_override,
        eks_properties_override,
        consumable_resource_properties_override,
    } = given;
    all_instance_types.push(instance_types.filter(|types| !types.is_empty()).into());
    let (first, last) = to_targets(target_nodes)?;
    let (pod, metadata) = to_pod_containers(eks_properties_override)?;
    if metadata.is_some() {
        return Err(ApiError::unsupported("nodePropertyOverrides.eksPropertiesOverride.podProperties.metadata"));
    }
    let mut task = to_task_containers(ecs_properties_override)?;
    task.extend(pod);
    Ok(NodeOverrides {
        first,
        last,
        container: to_overrides(container_overrides)?,
        task,
        consumables: requirement::to_override(consumable_resource_properties_override)?,
    })
}

fn to_task_containers(given: Option<wire::EcsPropertiesOverride>) -> Result<Vec<TaskContainerOverrides>, ApiError> {
    let given = given.unwrap_or_default();
    check_length(&given)?;
    let mut tasks = given.task_properties.unwrap_or_default();
    let task = tasks.pop().unwrap_or_default();
    if !tasks.is_empty() {
        return Err(ApiError::client("ecsPropertiesOverride.taskProperties can have at most one entry"));
    }
    task.containers.unwrap_or_default().into_iter().map(to_task_container).collect()
}

fn to_task_container(given: wire::TaskContainerOverrides) -> Result<TaskContainerOverrides, ApiError> {
    let wire::TaskContainerOverrides { name, command, environment, resource_requirements } = given;
    let resource_requirements = to_requirements(resource_requirements.unwrap_or_default())?;
    Ok(TaskContainerOverrides {
        kind: TaskKind::Ecs,
        name,
        image: None,
        args: None,
        container: ContainerOverrides {
            command: to_command(command, "ecsPropertiesOverride")?,
            environment: to_variables(environment.unwrap_or_default())?,
            resource_requirements,
            ..ContainerOverrides::default()
        },
    })
}

/// The overrides of a pod's containers of both kinds, whose names are all different, and `metadata`.
fn to_pod_containers(
    given: Option<wire::EksPropertiesOverride>,
) -> Result<(Vec<TaskContainerOverrides>, Option<Rest>), ApiError> {
    let given = given.unwrap_or_default();
    check_length(&given)?;
    let wire::EksPodPropertiesOverride { containers, init_containers, metadata } =
        given.pod_properties.unwrap_or_default();
    let all = init_containers.unwrap_or_default().into_iter().chain(containers.unwrap_or_default());
    let containers = all.map(to_pod_container).collect::<Result<_, _>>()?;
    Ok((containers, metadata.filter(|members| !members.is_empty())))
}

fn to_pod_container(given: wire::EksContainerOverride) -> Result<TaskContainerOverrides, ApiError> {
    let wire::EksContainerOverride { name, image, command, args, env, resources } = given;
    Ok(TaskContainerOverrides {
        kind: TaskKind::Pod,
        name,
        image: image.map(|image| to_image(Some(image))).transpose()?,
        args: args.filter(|args| !args.is_empty()),
        container: ContainerOverrides {
            command: to_command(command, "eksPropertiesOverride")?,
            environment: to_variables(env.unwrap_or_default())?,
            resource_requirements: quantity::to_requirements(resources)?,
            ..ContainerOverrides::default()
        },
    })
}

/// An empty list overrides nothing: clients send it for "as the definition says".
fn to_command(command: Option<Vec<String>>, member: &str) -> Result<Option<Vec<String>>, ApiError> {
    if command.iter().flatten().any(String::is_empty) {
        return Err(ApiError::executing(format!("{member}.command must not contain an empty string")));
    }
    Ok(command.filter(|command| !command.is_empty()))
}

fn check_length(given: &impl Serialize) -> Result<(), ApiError> {
    let length = serde_json::to_string(given).map_or(usize::MAX, |json| json.len());
    if length > limits::OVERRIDES_BYTES {
        let most = limits::OVERRIDES_BYTES;
        return Err(ApiError::executing(format!("Container Overrides length must be at most {most}")));
    }
    Ok(())
}
