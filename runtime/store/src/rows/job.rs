//! Jobs: what was submitted. Where they are is written at every transition and stands in rows of its
//! own (`progress`).

mod job1;
mod job2;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasmbatch_core::extension::Extensions;
use wasmbatch_core::job::{Dependency, Job};
use wasmbatch_core::layout::{Group, Layout, Member};
use wasmbatch_core::{Document, JobId, JobName, Resources, Timestamp, Vcpus};

use super::definition::{ConsumableRow, RetryRow, consumable_rows, consumables_of, retry_of, retry_row};
use super::overrides::{OverridesRow, overrides_of, overrides_row};
use super::shape::{ConditionRow, RoleRow, condition_of, condition_row, role_of, role_row};
use super::{DocumentRow, RowError, document_row, encode_as, name, versioned};

/// Version 3 has what newer tags ask for.
const JOB_VERSION: u8 = 3;

#[derive(Serialize, Deserialize)]
struct JobRow {
    id: [u8; 16],
    name: String,
    queue: String,
    queue_uid: u64,
    order: u64,
    definition: String,
    revision: u32,
    created_at_millis: i64,
    parameters: BTreeMap<String, String>,
    depends_on: Vec<DependencyRow>,
    array_size: Option<u32>,
    share: Option<String>,
    scheduling_priority: Option<u32>,
    overrides: OverridesRow,
    layout: LayoutRow,
    resources: ResourcesRow,
    consumables: Vec<ConsumableRow>,
    extensions: ExtensionsRow,
    retry: Option<RetryRow>,
    timeout_seconds: Option<u32>,
    propagate_tags: Option<bool>,
    rest: DocumentRow,
}

#[derive(Serialize, Deserialize)]
enum DependencyRow {
    /// A job, or the child of that index of an array.
    On([u8; 16], Option<u32>),
    NToN([u8; 16]),
    Sequential,
}

#[derive(Serialize, Deserialize)]
struct ExtensionsRow {
    max_running: Option<u32>,
    retry_backoff_seconds: Option<u32>,
    client_token: Option<String>,
    deterministic: bool,
    cpu_limit_seconds: Option<u32>,
}

#[derive(Serialize, Deserialize)]
enum LayoutRow {
    Single,
    Group { nodes: u32, main_node: Option<u32>, members: Vec<MemberRow> },
}

#[derive(Serialize, Deserialize)]
struct MemberRow {
    node: u32,
    container: u32,
    name: String,
    role: RoleRow,
    depends_on: Vec<(u32, ConditionRow)>,
    resources: ResourcesRow,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ResourcesRow {
    vcpu_quarters: u32,
    memory_mib: u64,
    gpus: u32,
}

pub(crate) fn encode_job(job: &Job) -> Vec<u8> {
    let Job {
        id,
        name,
        queue,
        queue_uid,
        order,
        definition,
        revision,
        created_at,
        parameters,
        depends_on,
        array_size,
        share,
        scheduling_priority,
        overrides,
        layout,
        resources,
        consumables,
        extensions,
        retry,
        timeout_seconds,
        propagate_tags,
        rest,
    } = job;
    let row = JobRow {
        id: id.to_bytes(),
        name: name.to_string(),
        queue: queue.to_string(),
        queue_uid: *queue_uid,
        order: *order,
        definition: definition.to_string(),
        revision: *revision,
        created_at_millis: created_at.as_millis(),
        parameters: parameters.clone(),
        depends_on: depends_on.iter().copied().map(dependency_row).collect(),
        array_size: *array_size,
        share: share.clone(),
        scheduling_priority: *scheduling_priority,
        overrides: overrides_row(overrides),
        layout: layout_row(layout),
        resources: resources_row(*resources),
        consumables: consumable_rows(consumables),
        extensions: extensions_row(extensions),
        retry: retry.as_ref().map(retry_row),
        timeout_seconds: *timeout_seconds,
        propagate_tags: *propagate_tags,
        rest: document_row(rest),
    };
    encode_as(JOB_VERSION, &row)
}

/// What a list may be filtered by, of a job's row.
#[derive(Debug)]
pub(crate) struct JobHead<'r> {
    pub(crate) name: &'r str,
    pub(crate) definition: &'r str,
    pub(crate) revision: u32,
}

/// Reads the beginning of a row alone, which all versions have in common.
pub(crate) fn decode_job_head(bytes: &[u8]) -> Result<JobHead<'_>, RowError> {
    /// Id, name, queue, its uid, order, definition, revision.
    type Beginning<'r> = ([u8; 16], &'r str, &'r str, u64, u64, &'r str, u32);
    match versioned(bytes)? {
        (JOB_VERSION | job2::VERSION | 1, row) => {
            let ((_, name, _, _, _, definition, revision), _): (Beginning<'_>, _) = postcard::take_from_bytes(row)?;
            Ok(JobHead { name, definition, revision })
        }
        (other, _) => Err(RowError::Version(other)),
    }
}

pub(crate) fn decode_job(bytes: &[u8]) -> Result<Job, RowError> {
    let row = match versioned(bytes)? {
        (JOB_VERSION, row) => postcard::from_bytes(row)?,
        (job2::VERSION, row) => job2::read(row)?,
        (1, row) => return job1::job_of(postcard::from_bytes(row)?),
        (other, _) => return Err(RowError::Version(other)),
    };
    let JobRow {
        id,
        name: job_name,
        queue,
        queue_uid,
        order,
        definition,
        revision,
        created_at_millis,
        parameters,
        depends_on,
        array_size,
        share,
        scheduling_priority,
        overrides,
        layout,
        resources,
        consumables,
        extensions,
        retry,
        timeout_seconds,
        propagate_tags,
        rest,
    } = row;
    Ok(Job {
        id: JobId::from_bytes(id),
        name: job_name_of(&job_name)?,
        queue: name(&queue)?,
        queue_uid,
        order,
        definition: name(&definition)?,
        revision,
        created_at: Timestamp::from_millis(created_at_millis),
        parameters,
        depends_on: depends_on.into_iter().map(dependency_of).collect(),
        array_size,
        share,
        scheduling_priority,
        overrides: overrides_of(overrides)?,
        layout: layout_of(layout),
        resources: resources_of(&resources),
        consumables: consumables_of(consumables)?,
        extensions: extensions_of(extensions),
        retry: retry.map(retry_of),
        timeout_seconds,
        propagate_tags,
        rest: Document::new(rest),
    })
}

fn job_name_of(text: &str) -> Result<JobName, RowError> {
    JobName::parse(text).map_err(|_| RowError::Invalid("job name"))
}

fn dependency_row(dependency: Dependency) -> DependencyRow {
    match dependency {
        Dependency::On(id) => DependencyRow::On(id.to_bytes(), id.child_index()),
        Dependency::NToN(id) => DependencyRow::NToN(id.to_bytes()),
        Dependency::Sequential => DependencyRow::Sequential,
    }
}

fn dependency_of(row: DependencyRow) -> Dependency {
    match row {
        DependencyRow::On(id, child) => {
            let whole = JobId::from_bytes(id);
            Dependency::On(child.map_or(whole, |index| whole.child(index)))
        }
        DependencyRow::NToN(id) => Dependency::NToN(JobId::from_bytes(id)),
        DependencyRow::Sequential => Dependency::Sequential,
    }
}

fn extensions_row(extensions: &Extensions) -> ExtensionsRow {
    let Extensions { max_running, retry_backoff_seconds, client_token, deterministic, cpu_limit_seconds } = extensions;
    ExtensionsRow {
        max_running: *max_running,
        retry_backoff_seconds: *retry_backoff_seconds,
        client_token: client_token.clone(),
        deterministic: *deterministic,
        cpu_limit_seconds: *cpu_limit_seconds,
    }
}

fn extensions_of(row: ExtensionsRow) -> Extensions {
    let ExtensionsRow { max_running, retry_backoff_seconds, client_token, deterministic, cpu_limit_seconds } = row;
    Extensions { max_running, retry_backoff_seconds, client_token, deterministic, cpu_limit_seconds }
}

fn layout_row(layout: &Layout) -> LayoutRow {
    match layout {
        Layout::Single => LayoutRow::Single,
        Layout::Group(group) => {
            let Group { nodes, main_node, members } = &**group;
            let member = |Member { node, container, name, role, depends_on, resources }: &Member| MemberRow {
                node: *node,
                container: *container,
                name: name.clone(),
                role: role_row(*role),
                depends_on: depends_on.iter().map(|(member, condition)| (*member, condition_row(*condition))).collect(),
                resources: resources_row(*resources),
            };
            let members = members.iter().map(member).collect();
            LayoutRow::Group { nodes: *nodes, main_node: *main_node, members }
        }
    }
}

fn layout_of(row: LayoutRow) -> Layout {
    match row {
        LayoutRow::Single => Layout::Single,
        LayoutRow::Group { nodes, main_node, members } => {
            let member = |MemberRow { node, container, name, role, depends_on, resources }| Member {
                node,
                container,
                name,
                role: role_of(&role),
                depends_on: depends_on
                    .into_iter()
                    .map(|(member, condition)| (member, condition_of(&condition)))
                    .collect(),
                resources: resources_of(&resources),
            };
            let members = members.into_iter().map(member).collect();
            Layout::Group(Box::new(Group { nodes, main_node, members }))
        }
    }
}

pub(super) fn resources_row(resources: Resources) -> ResourcesRow {
    let Resources { vcpus, memory_mib, gpus } = resources;
    ResourcesRow { vcpu_quarters: vcpus.quarters(), memory_mib, gpus }
}

pub(super) fn resources_of(row: &ResourcesRow) -> Resources {
    let ResourcesRow { vcpu_quarters, memory_mib, gpus } = *row;
    Resources { vcpus: Vcpus::from_quarters(vcpu_quarters), memory_mib, gpus }
}
