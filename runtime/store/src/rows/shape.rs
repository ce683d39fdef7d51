//! What the jobs of a definition run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasmbatch_core::definition::{
    ContainerProperties, EnvironmentVariable, JobShape, LogConfiguration, MountPoint, Need, NodeProperties, NodeRange,
    NodeWork, ResourceKind, ResourceRequirement, Task, TaskContainer, TaskKind, Volume, VolumeSource,
};
use wasmbatch_core::layout::{Condition, Role};
use wasmbatch_core::{Document, limits};

use super::definition::{ConsumableRow, consumable_rows, consumables_of};
use super::settings::{SettingsRow, settings_of, settings_row};
use super::{DocumentRow, RowError, document_row};

/// Version 1 of a definition knew the first two.
#[derive(Serialize, Deserialize)]
pub(crate) enum ShapeRow<C> {
    Container(Box<C>),
    NotRunnable { member: String, kind: String },
    Task(TaskRow<C>),
    Nodes(NodesRow<C>),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct TaskRow<C> {
    kind: TaskKindRow,
    containers: Vec<TaskContainerRow<C>>,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum TaskKindRow {
    Ecs,
    Pod,
}

#[derive(Serialize, Deserialize)]
struct TaskContainerRow<C> {
    name: String,
    role: RoleRow,
    depends_on: Vec<(String, ConditionRow)>,
    args: Vec<String>,
    properties: C,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum RoleRow {
    Essential,
    Sidecar,
    Pod,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum ConditionRow {
    Start,
    Complete,
    Success,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct NodesRow<C> {
    count: u32,
    main: u32,
    ranges: Vec<NodeRangeRow<C>>,
}

#[derive(Serialize, Deserialize)]
struct NodeRangeRow<C> {
    first: u32,
    last: Option<u32>,
    work: NodeWorkRow<C>,
    consumables: Vec<ConsumableRow>,
}

#[derive(Serialize, Deserialize)]
enum NodeWorkRow<C> {
    Container(Box<C>),
    Task(TaskRow<C>),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ContainerRow {
    first: ContainerRow3,
    settings: SettingsRow,
}

/// A container in definitions of version 3, and the beginning of one in version 4.
#[derive(Serialize, Deserialize)]
pub(crate) struct ContainerRow3 {
    first: ContainerRow2,
    ephemeral_storage_gib: Option<u32>,
    assign_public_ip: bool,
    role: Option<String>,
}

/// A container in definitions of versions 1 and 2, and the beginning of one in version 3.
#[derive(Serialize, Deserialize)]
pub(crate) struct ContainerRow2 {
    image: String,
    command: Vec<String>,
    environment: Vec<(String, String)>,
    resource_requirements: Vec<(String, String)>,
    vcpus: Option<u32>,
    memory: Option<u32>,
    mount_points: Vec<(Option<String>, Option<bool>, Option<String>)>,
    volumes: Vec<(Option<String>, VolumeRow)>,
    log: Option<(String, BTreeMap<String, String>, DocumentRow)>,
    read_only_root: Option<bool>,
    needs: Vec<String>,
    rest: DocumentRow,
}

#[derive(Serialize, Deserialize)]
enum VolumeRow {
    Empty,
    EmptyHost,
    Host(String),
    Efs(String),
}

pub(crate) fn shape_row(shape: &JobShape) -> ShapeRow<ContainerRow> {
    match shape {
        JobShape::Container(container) => ShapeRow::Container(Box::new(container_row(container))),
        JobShape::NotRunnable { member, kind } => ShapeRow::NotRunnable { member: member.clone(), kind: kind.clone() },
        JobShape::Task(task) => ShapeRow::Task(task_row(task)),
        JobShape::Nodes(nodes) => {
            let NodeProperties { count, main, ranges } = &**nodes;
            ShapeRow::Nodes(NodesRow { count: *count, main: *main, ranges: ranges.iter().map(range_row).collect() })
        }
    }
}

pub(crate) fn shape_of<C: Into<ContainerRow>>(row: ShapeRow<C>) -> Result<JobShape, RowError> {
    Ok(match row {
        ShapeRow::Container(container) => JobShape::Container(Box::new(container_of((*container).into())?)),
        ShapeRow::NotRunnable { member, kind } => JobShape::NotRunnable { member, kind },
        ShapeRow::Task(task) => JobShape::Task(Box::new(task_of(task)?)),
        ShapeRow::Nodes(NodesRow { count, main, ranges }) => {
            let ranges = ranges.into_iter().map(range_of).collect::<Result<_, _>>()?;
            JobShape::Nodes(Box::new(NodeProperties { count, main, ranges }))
        }
    })
}

fn range_row(range: &NodeRange) -> NodeRangeRow<ContainerRow> {
    let NodeRange { first, last, work, consumables } = range;
    let work = match work {
        NodeWork::Container(container) => NodeWorkRow::Container(Box::new(container_row(container))),
        NodeWork::Task(task) => NodeWorkRow::Task(task_row(task)),
    };
    NodeRangeRow { first: *first, last: *last, work, consumables: consumable_rows(consumables) }
}

fn range_of<C: Into<ContainerRow>>(row: NodeRangeRow<C>) -> Result<NodeRange, RowError> {
    let NodeRangeRow { first, last, work, consumables } = row;
    let work = match work {
        NodeWorkRow::Container(container) => NodeWork::Container(Box::new(container_of((*container).into())?)),
        NodeWorkRow::Task(task) => NodeWork::Task(Box::new(task_of(task)?)),
    };
    Ok(NodeRange { first, last, work, consumables: consumables_of(consumables)? })
}

fn task_row(task: &Task) -> TaskRow<ContainerRow> {
    let Task { kind, containers } = task;
    let containers = containers
        .iter()
        .map(|TaskContainer { name, role, depends_on, args, properties }| TaskContainerRow {
            name: name.clone(),
            role: role_row(*role),
            depends_on: depends_on.iter().map(|(name, condition)| (name.clone(), condition_row(*condition))).collect(),
            args: args.clone(),
            properties: container_row(properties),
        })
        .collect();
    TaskRow { kind: task_kind_row(*kind), containers }
}

fn task_of<C: Into<ContainerRow>>(row: TaskRow<C>) -> Result<Task, RowError> {
    let TaskRow { kind, containers } = row;
    let containers = containers
        .into_iter()
        .map(|TaskContainerRow { name, role, depends_on, args, properties }| {
            Ok(TaskContainer {
                name,
                role: role_of(&role),
                depends_on: depends_on.into_iter().map(|(name, condition)| (name, condition_of(&condition))).collect(),
                args,
                properties: container_of(properties.into())?,
            })
        })
        .collect::<Result<_, RowError>>()?;
    Ok(Task { kind: task_kind_of(&kind), containers })
}

pub(crate) fn task_kind_row(kind: TaskKind) -> TaskKindRow {
    match kind {
        TaskKind::Ecs => TaskKindRow::Ecs,
        TaskKind::Pod => TaskKindRow::Pod,
    }
}

pub(crate) fn task_kind_of(row: &TaskKindRow) -> TaskKind {
    match row {
        TaskKindRow::Ecs => TaskKind::Ecs,
        TaskKindRow::Pod => TaskKind::Pod,
    }
}

pub(crate) fn role_row(role: Role) -> RoleRow {
    match role {
        Role::Essential => RoleRow::Essential,
        Role::Sidecar => RoleRow::Sidecar,
        Role::Pod => RoleRow::Pod,
    }
}

pub(crate) fn role_of(row: &RoleRow) -> Role {
    match row {
        RoleRow::Essential => Role::Essential,
        RoleRow::Sidecar => Role::Sidecar,
        RoleRow::Pod => Role::Pod,
    }
}

pub(crate) fn condition_row(condition: Condition) -> ConditionRow {
    match condition {
        Condition::Start => ConditionRow::Start,
        Condition::Complete => ConditionRow::Complete,
        Condition::Success => ConditionRow::Success,
    }
}

pub(crate) fn condition_of(row: &ConditionRow) -> Condition {
    match row {
        ConditionRow::Start => Condition::Start,
        ConditionRow::Complete => Condition::Complete,
        ConditionRow::Success => Condition::Success,
    }
}

fn container_row(container: &ContainerProperties) -> ContainerRow {
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
        ephemeral_storage_gib,
        assign_public_ip,
        role,
        settings,
        needs,
        rest,
    } = container;
    let first = ContainerRow2 {
        image: image.clone(),
        command: command.clone(),
        environment: environment_rows(environment),
        resource_requirements: requirement_rows(resource_requirements),
        vcpus: *vcpus,
        memory: *memory,
        mount_points: mount_points
            .iter()
            .map(|MountPoint { container_path, read_only, source_volume }| {
                (container_path.clone(), *read_only, source_volume.clone())
            })
            .collect(),
        volumes: volumes.iter().map(|Volume { name, source }| (name.clone(), volume_row(source))).collect(),
        log: log
            .as_ref()
            .map(|LogConfiguration { driver, options, rest }| (driver.clone(), options.clone(), document_row(rest))),
        read_only_root: *read_only_root,
        needs: needs.iter().map(|Need { what }| what.clone()).collect(),
        rest: document_row(rest),
    };
    let first = ContainerRow3 {
        first,
        ephemeral_storage_gib: *ephemeral_storage_gib,
        assign_public_ip: *assign_public_ip,
        role: role.clone(),
    };
    ContainerRow { first, settings: settings_row(settings) }
}

fn container_of(row: ContainerRow) -> Result<ContainerProperties, RowError> {
    let ContainerRow { first, settings } = row;
    let ContainerRow3 { first, ephemeral_storage_gib, assign_public_ip, role } = first;
    let ContainerRow2 {
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
        needs,
        rest,
    } = first;
    Ok(ContainerProperties {
        image,
        command,
        environment: environment_of(environment),
        resource_requirements: requirements_of(resource_requirements)?,
        vcpus,
        memory,
        mount_points: mount_points
            .into_iter()
            .map(|(container_path, read_only, source_volume)| MountPoint { container_path, read_only, source_volume })
            .collect(),
        volumes: volumes.into_iter().map(|(name, source)| Volume { name, source: volume_of(source) }).collect(),
        log: log.map(|(driver, options, rest)| LogConfiguration { driver, options, rest: Document::new(rest) }),
        read_only_root,
        ephemeral_storage_gib,
        assign_public_ip,
        role,
        settings: settings_of(settings),
        needs: needs.into_iter().map(|what| Need { what }).collect(),
        rest: Document::new(rest),
    })
}

/// Needs that earlier versions had no node for, and that are members of their own since.
const MET_SINCE: [&str; 2] = [
    "networkConfiguration.assignPublicIp is not available on this node",
    "resourceRequirements FUEL is not available in this version",
];

impl From<ContainerRow3> for ContainerRow {
    /// Earlier versions ran nothing that has a user, but answered it, and so it is known. What else they
    /// could not give stays a need until the definition is registered again.
    fn from(first: ContainerRow3) -> Self {
        // The text is JSON; a name with something to escape is no user.
        let quoted = |json: &String| json.strip_prefix('"')?.strip_suffix('"').map(str::to_owned);
        let user = first.first.rest.get("user").and_then(quoted);
        let user = user.filter(|user| !user.is_empty() && !user.contains('\\'));
        Self { first, settings: SettingsRow::of_user(user) }
    }
}

impl From<ContainerRow2> for ContainerRow {
    fn from(row: ContainerRow2) -> Self {
        ContainerRow3::from(row).into()
    }
}

impl From<ContainerRow2> for ContainerRow3 {
    fn from(mut first: ContainerRow2) -> Self {
        let assign_public_ip = first.needs.iter().any(|need| need == MET_SINCE[0]);
        first.needs.retain(|need| !MET_SINCE.contains(&need.as_str()));
        // The texts are JSON; neither an ARN nor the one member of this object has anything to escape.
        let role = first.rest.get("jobRoleArn").map(|json| json.trim_matches('"').to_owned());
        let size = first.rest.get("ephemeralStorage").map(|json| json.chars().filter(char::is_ascii_digit).collect());
        let size = size.and_then(|digits: String| digits.parse().ok());
        let ephemeral_storage_gib = size.filter(|size| limits::EPHEMERAL_STORAGE_GIB.contains(size));
        Self { first, ephemeral_storage_gib, assign_public_ip, role }
    }
}

fn volume_row(source: &VolumeSource) -> VolumeRow {
    match source {
        VolumeSource::Empty => VolumeRow::Empty,
        VolumeSource::EmptyHost => VolumeRow::EmptyHost,
        VolumeSource::Host(path) => VolumeRow::Host(path.clone()),
        VolumeSource::Efs(json) => VolumeRow::Efs(json.clone()),
    }
}

fn volume_of(row: VolumeRow) -> VolumeSource {
    match row {
        VolumeRow::Empty => VolumeSource::Empty,
        VolumeRow::EmptyHost => VolumeSource::EmptyHost,
        VolumeRow::Host(path) => VolumeSource::Host(path),
        VolumeRow::Efs(json) => VolumeSource::Efs(json),
    }
}

pub(crate) fn environment_rows(variables: &[EnvironmentVariable]) -> Vec<(String, String)> {
    variables.iter().map(|EnvironmentVariable { name, value }| (name.clone(), value.clone())).collect()
}

pub(crate) fn environment_of(rows: Vec<(String, String)>) -> Vec<EnvironmentVariable> {
    rows.into_iter().map(|(name, value)| EnvironmentVariable { name, value }).collect()
}

pub(crate) fn requirement_rows(requirements: &[ResourceRequirement]) -> Vec<(String, String)> {
    requirements.iter().map(|ResourceRequirement { kind, value }| (kind.as_str().to_owned(), value.clone())).collect()
}

pub(crate) fn requirements_of(rows: Vec<(String, String)>) -> Result<Vec<ResourceRequirement>, RowError> {
    rows.into_iter()
        .map(|(kind, value)| {
            let kind = ResourceKind::parse(&kind).ok_or(RowError::Invalid("resource requirement"))?;
            Ok(ResourceRequirement { kind, value })
        })
        .collect()
}
