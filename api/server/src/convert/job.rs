//! Jobs as DescribeJobs and ListJobs show them.

pub(crate) mod attempts;
mod shapes;
pub(crate) mod summary;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use wasmbatch_core::consumable::ConsumableRequirement;
use wasmbatch_core::definition::{DefinitionSpec, JobShape, NodeWork, Task, TaskKind, substitute};
use wasmbatch_core::id::Part;
use wasmbatch_core::job::{ArraySummary, EndedBy};
use wasmbatch_core::{
    AttemptId, Dependency, Job, JobDefinition, JobId, JobProgress, Resources, Tags, Timestamp, limits,
};
use wasmbatch_model::Rest;
use wasmbatch_model::definition::{self as wire_definition, KeyValuePair};
use wasmbatch_model::job::{
    ArrayPropertiesDetail, AttemptContainerDetail, AttemptDetail, AttemptTaskContainerDetail, AttemptTaskDetail,
    ContainerDetail, EksAttemptContainerDetail, EksAttemptDetail, JobDependency, JobDetail, NodeDetails,
};

use self::attempts::{Attempt, attempts, node_state, started_at, stopped_at};
use self::shapes::{Shown, nodes_detail, task_detail};
use super::container::from_properties;
use super::requirement;
use super::retry::{from_retry, from_timeout};
use super::{from_document, from_tags, signed};
use crate::arn::Arns;

/// A job, a child or a node with what is kept elsewhere about it.
#[derive(Debug)]
pub(crate) struct JobView<'a> {
    /// What is shown: the job itself, one of its children or one of its nodes.
    pub(crate) id: JobId,
    /// The job as it was submitted.
    pub(crate) job: &'a Job,
    /// The job's own or the child's; a node has none of its own.
    pub(crate) progress: &'a JobProgress,
    /// Of an array as a whole.
    pub(crate) array: Option<&'a ArraySummary>,
    /// The revision it was submitted with.
    pub(crate) definition: Option<&'a JobDefinition>,
    pub(crate) tags: Tags,
    /// Attempt number and member to log stream, for the containers that ran.
    pub(crate) streams: BTreeMap<(u32, u32), String>,
    /// This node's name in ARNs.
    pub(crate) instance: &'a str,
}

impl JobView<'_> {
    fn spec(&self) -> Option<&DefinitionSpec> {
        self.definition.map(|definition| &definition.spec)
    }

    /// The node that is shown: the only one, or one of a multi-node job's; `None` is all of them.
    fn node(&self) -> Option<u32> {
        let multi_node = self.job.layout.group().is_some_and(|group| group.main_node.is_some());
        match self.id.part() {
            Part::Node(node) => Some(node),
            Part::Whole | Part::Child(_) => (!multi_node).then_some(0),
        }
    }

    /// The first of the node's members; they stand side by side.
    fn first_member(&self) -> u32 {
        let (Some(group), Some(node)) = (self.job.layout.group(), self.node()) else {
            return 0;
        };
        let members = (0..).zip(&group.members);
        members.into_iter().find(|(_, member)| member.node == node).map_or(0, |(index, _)| index)
    }

    fn task_arn(&self, number: u32, arns: &Arns) -> String {
        let job = match self.id.part() {
            Part::Child(_) => self.id,
            Part::Whole | Part::Node(_) => self.id.whole(),
        };
        arns.task(AttemptId { job, number, generation: 0, member: self.first_member() })
    }

    fn stream(&self, number: u32, member: u32) -> Option<String> {
        self.streams.get(&(number, member)).cloned()
    }
}

/// Whether a job of this id can be shown: a node that there is, a child that there is.
pub(crate) fn has_part(job: &Job, id: JobId) -> bool {
    let nodes = job.layout.group().filter(|group| group.main_node.is_some()).map_or(0, |group| group.nodes);
    match id.part() {
        Part::Whole => true,
        Part::Child(index) => job.array_size.is_some_and(|size| index < size),
        Part::Node(node) => node < nodes,
    }
}

/// An entry of DescribeJobs.
pub(crate) fn from_job(view: &JobView<'_>, arns: &Arns) -> JobDetail {
    let Job {
        id: _,
        name,
        queue,
        queue_uid: _,
        order: _,
        definition,
        revision,
        created_at,
        parameters,
        depends_on,
        array_size: _,
        share,
        scheduling_priority,
        overrides: _,
        layout: _,
        resources: _,
        consumables,
        extensions: _,
        retry,
        timeout_seconds,
        propagate_tags,
        rest: _,
    } = view.job;
    let JobProgress { status_reason, ended_by, .. } = view.progress;
    let spec = view.spec();
    let whereabouts = whereabouts(view);
    let detail = JobDetail {
        job_arn: arns.job(view.id),
        job_name: name.to_string(),
        job_id: view.id.to_string(),
        job_queue: arns.queue(queue),
        status: whereabouts.status.as_str().to_owned(),
        created_at: created_at.as_millis(),
        depends_on: depends_on.iter().map(from_dependency).collect(),
        job_definition: arns.definition(definition, *revision),
        parameters: parameters.clone(),
        tags: from_tags(&view.tags),
        platform_capabilities: spec.map(|spec| spec.platform_capabilities.clone()).unwrap_or_default(),
        is_cancelled: *ended_by == EndedBy::Cancel,
        is_terminated: *ended_by == EndedBy::Terminate,
        // A job of an older row has its definition's.
        scheduling_priority: scheduling_priority.or_else(|| spec?.scheduling_priority).map(signed),
        status_reason: status_reason.clone(),
        retry_strategy: retry.as_ref().map(from_retry),
        started_at: whereabouts.started_at.map_or(0, Timestamp::as_millis),
        stopped_at: whereabouts.stopped_at.map(Timestamp::as_millis),
        timeout: timeout_seconds.map(from_timeout),
        propagate_tags: *propagate_tags,
        share_identifier: share.clone(),
        array_properties: from_array(view.job, view.id, view.array),
        node_details: node_details(view),
        consumable_resource_properties: from_consumables(consumables),
        ..JobDetail::default()
    };
    with_shape(detail, view, arns)
}

/// The members that differ by what the job runs.
fn with_shape(mut detail: JobDetail, view: &JobView<'_>, arns: &Arns) -> JobDetail {
    let attempts = attempts(view.progress);
    let work = view.node().and_then(|node| view.spec()?.node_work(&view.job.overrides, node));
    let ended = || attempts.iter().filter(|attempt| attempt.ended.is_some());
    match work {
        Some(NodeWork::Container(_)) => {
            detail.container = Some(from_container(view, attempts.last(), arns));
            detail.attempts = ended().map(|attempt| from_attempt(view, arns, attempt, None)).collect();
        }
        Some(NodeWork::Task(task)) => {
            let shown = shown_task(view, &task, attempts.last(), arns);
            let properties = task_detail(&raw_task(view, task.kind), &task, view.job, &shown);
            match task.kind {
                TaskKind::Ecs => {
                    // `[API]` JobDetail: empty for a job of several containers.
                    detail.container = Some(ContainerDetail::default());
                    detail.ecs_properties = Some(properties);
                    detail.attempts = ended().map(|attempt| from_attempt(view, arns, attempt, Some(&task))).collect();
                }
                TaskKind::Pod => {
                    detail.eks_properties = Some(properties);
                    detail.eks_attempts = ended().map(|attempt| from_pod_attempt(view, attempt, &task)).collect();
                }
            }
        }
        None => {
            detail.attempts = ended().map(|attempt| from_attempt(view, arns, attempt, None)).collect();
            match view.spec().map(|spec| (&spec.shape, spec)) {
                Some((JobShape::Nodes(nodes), spec)) => {
                    detail.node_properties = Some(nodes_detail(spec, nodes, view.job));
                }
                Some((JobShape::Container(_) | JobShape::Task(_) | JobShape::NotRunnable { .. }, _)) | None => {
                    detail.container = Some(from_container(view, attempts.last(), arns));
                }
            }
        }
    }
    detail
}

/// The member of the definition that describes the task shown.
fn raw_task(view: &JobView<'_>, kind: TaskKind) -> serde_json::Value {
    let Some(spec) = view.spec() else {
        return serde_json::Value::Null;
    };
    let mut rest = from_document(&spec.rest);
    let raw = match (&spec.shape, view.node()) {
        (JobShape::Nodes(nodes), Some(node)) => {
            let count = view.job.overrides.node_count.unwrap_or(nodes.count);
            let range = nodes.range_of(node, count).unwrap_or_default();
            let pointer = format!("/nodeRangeProperties/{range}/{}", kind.member());
            rest.get("nodeProperties").and_then(|nodes| nodes.pointer(&pointer)).cloned()
        }
        (JobShape::Container(_) | JobShape::Task(_) | JobShape::Nodes(_) | JobShape::NotRunnable { .. }, _) => {
            rest.remove(kind.member())
        }
    };
    raw.unwrap_or_default()
}

/// A command with the job's parameters in place.
fn shown_command(command: &[String], job: &Job) -> Vec<String> {
    substitute(command, &job.parameters, limits::SHOWN_COMMAND_BYTES).unwrap_or_else(|| command.to_vec())
}

fn whereabouts(view: &JobView<'_>) -> attempts::NodeState {
    match view.id.part() {
        Part::Node(node) => node_state(view.job, node, view.progress),
        Part::Whole | Part::Child(_) => attempts::NodeState {
            status: view.progress.state.status(),
            started_at: started_at(view.progress),
            stopped_at: stopped_at(view.progress),
        },
    }
}

/// `arrayProperties` of an array and of a child.
fn from_array(job: &Job, id: JobId, summary: Option<&ArraySummary>) -> Option<ArrayPropertiesDetail> {
    let size = job.array_size?;
    let counts = |summary: &ArraySummary| {
        summary.by_status().map(|(status, count)| (status.as_str().to_owned(), count)).collect::<BTreeMap<_, _>>()
    };
    match id.part() {
        Part::Child(index) => Some(ArrayPropertiesDetail {
            status_summary: Some(BTreeMap::new()),
            index: Some(index),
            ..ArrayPropertiesDetail::default()
        }),
        Part::Whole | Part::Node(_) => Some(ArrayPropertiesDetail {
            status_summary: summary.map(counts),
            status_summary_last_updated_at: summary.map(|summary| summary.updated_at.as_millis()),
            size: Some(size),
            index: None,
        }),
    }
}

fn node_details(view: &JobView<'_>) -> Option<NodeDetails> {
    let main = view.job.layout.group()?.main_node?;
    match view.id.part() {
        Part::Node(node) => Some(NodeDetails { node_index: Some(node), is_main_node: Some(node == main) }),
        Part::Whole | Part::Child(_) => None,
    }
}

fn from_consumables(
    consumables: &[ConsumableRequirement],
) -> Option<wasmbatch_model::task::ConsumableResourceProperties> {
    (!consumables.is_empty()).then(|| requirement::from_requirements(consumables))
}

fn from_dependency(dependency: &Dependency) -> JobDependency {
    let (id, kind) = match dependency {
        Dependency::On(id) => (Some(id), None),
        Dependency::NToN(id) => (Some(id), Some("N_TO_N")),
        Dependency::Sequential => (None, Some("SEQUENTIAL")),
    };
    JobDependency { job_id: id.map(JobId::to_string), kind: kind.map(str::to_owned) }
}

/// An attempt that has ended. Of a task, the exit code is the one that decided, and the containers
/// stand beside it.
fn from_attempt(view: &JobView<'_>, arns: &Arns, attempt: &Attempt<'_>, task: Option<&Task>) -> AttemptDetail {
    let first = view.first_member();
    let lone = view.node().is_some() && task.is_none();
    let own = lone.then(|| attempt.member(&view.job.layout, first));
    let (exit_code, reason) = match (own, attempt.ended) {
        (Some(own), _) => (own.exit_code, own.reason),
        (None, Some(record)) => (record.exit_code, record.reason.clone()),
        (None, None) => (None, None),
    };
    let task_arn = view.task_arn(attempt.number, arns);
    let instance = arns.container_instance(view.instance);
    let containers = task.map(|task| containers_of(view, attempt, task));
    AttemptDetail {
        container: AttemptContainerDetail {
            network_interfaces: Vec::new(),
            container_instance_arn: Some(instance.clone()),
            task_arn: Some(task_arn.clone()),
            exit_code: exit_code.map(i32::from),
            reason,
            log_stream_name: view.stream(attempt.number, first).filter(|_| lone),
        },
        started_at: attempt.started_at.map(Timestamp::as_millis),
        stopped_at: attempt.ended.map(|record| record.stopped_at.as_millis()),
        status_reason: attempt.ended.map(|record| record.status_reason.clone()),
        task_properties: containers.map(|containers| {
            let containers = containers.into_iter().map(|(name, record, stream)| AttemptTaskContainerDetail {
                network_interfaces: Vec::new(),
                name: Some(name),
                exit_code: record.exit_code.map(i32::from),
                reason: record.reason,
                log_stream_name: stream,
            });
            let containers = containers.collect();
            vec![AttemptTaskDetail { containers, container_instance_arn: Some(instance), task_arn: Some(task_arn) }]
        }),
    }
}

type Container = (String, wasmbatch_core::job::MemberRecord, Option<String>);

/// Name, record and log stream of a task's containers in one attempt.
fn containers_of(view: &JobView<'_>, attempt: &Attempt<'_>, task: &Task) -> Vec<Container> {
    let container = |(member, container): (u32, &wasmbatch_core::definition::TaskContainer)| {
        let record = attempt.member(&view.job.layout, member);
        (container.name.clone(), record, view.stream(attempt.number, member))
    };
    (view.first_member()..).zip(&task.containers).map(container).collect()
}

fn from_pod_attempt(view: &JobView<'_>, attempt: &Attempt<'_>, task: &Task) -> EksAttemptDetail {
    let container = |(name, record, _): Container| EksAttemptContainerDetail {
        name: Some(name),
        exit_code: record.exit_code.map(i32::from),
        reason: record.reason,
    };
    let mut init_containers: Vec<_> = containers_of(view, attempt, task).into_iter().map(container).collect();
    let raw = raw_task(view, TaskKind::Pod);
    let inits = raw.pointer("/podProperties/initContainers").and_then(serde_json::Value::as_array).map_or(0, Vec::len);
    let containers = init_containers.split_off(inits.min(init_containers.len()));
    let namespace = raw.pointer("/podProperties/metadata/namespace").and_then(serde_json::Value::as_str);
    EksAttemptDetail {
        containers,
        init_containers,
        pod_name: Some(pod_name(view, attempt.number)),
        pod_namespace: Some(namespace.unwrap_or("default").to_owned()),
        node_name: Some(view.instance.to_owned()),
        started_at: attempt.started_at.map(Timestamp::as_millis),
        stopped_at: attempt.ended.map(|record| record.stopped_at.as_millis()),
        status_reason: attempt.ended.map(|record| record.status_reason.clone()),
    }
}

fn pod_name(view: &JobView<'_>, number: u32) -> String {
    let job = view.job.id;
    let job = view.id.child_index().map_or(job, |index| job.child(index));
    format!("aws-batch.{}", AttemptId { job, number, generation: 0, member: view.first_member() })
}

/// What became of a task's containers in the attempt shown, if there was one.
fn shown_task(view: &JobView<'_>, task: &Task, attempt: Option<&Attempt<'_>>, arns: &Arns) -> Shown {
    let Some(attempt) = attempt else {
        return Shown::default();
    };
    let members = match task.kind {
        TaskKind::Ecs => [
            ("containerInstanceArn", arns.container_instance(view.instance)),
            ("taskArn", view.task_arn(attempt.number, arns)),
        ],
        TaskKind::Pod => [("nodeName", view.instance.to_owned()), ("podName", pod_name(view, attempt.number))],
    };
    let containers = containers_of(view, attempt, task).into_iter().map(|(_, record, stream)| (record, stream));
    Shown {
        containers: containers.collect(),
        task: members.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect::<Rest>(),
    }
}

/// The properties with the overrides over them, and the attempt shown.
fn from_container(view: &JobView<'_>, attempt: Option<&Attempt<'_>>, arns: &Arns) -> ContainerDetail {
    let work = view.node().and_then(|node| view.spec()?.node_work(&view.job.overrides, node));
    let mut properties = match work {
        Some(NodeWork::Container(properties)) => from_properties(&properties),
        Some(NodeWork::Task(_)) | None => wire_definition::ContainerProperties::default(),
    };
    if let Some(command) = &mut properties.command {
        *command = shown_command(command, view.job);
    }
    // The effective numbers stand in the deprecated members too, where they are whole.
    let first = view.first_member();
    let Resources { vcpus, memory_mib, gpus: _ } = match view.job.layout.group() {
        Some(group) => group.members.get(first as usize).map_or(view.job.resources, |member| member.resources),
        None => view.job.resources,
    };
    if vcpus.quarters().is_multiple_of(4) {
        properties.vcpus = Some(signed(vcpus.quarters() / 4));
    }
    properties.memory = i32::try_from(memory_mib).ok();
    if let (Some(attempt), Some(environment)) = (attempt, &mut properties.environment) {
        environment.extend(batch_variables(view, attempt));
    }
    // A container of several may have ended before the attempt has.
    let ended = attempt.map(|attempt| attempt.member(&view.job.layout, first));
    let ended = ended.filter(|record| record.stopped_at.is_some());
    ContainerDetail {
        exit_code: ended.as_ref().and_then(|record| record.exit_code).map(i32::from),
        reason: ended.and_then(|record| record.reason),
        container_instance_arn: attempt.map(|_| arns.container_instance(view.instance)),
        task_arn: attempt.map(|attempt| view.task_arn(attempt.number, arns)),
        log_stream_name: attempt.and_then(|attempt| view.stream(attempt.number, first)),
        properties,
    }
}

/// The variables that Batch itself sets for an attempt, as far as they are known afterwards.
fn batch_variables(view: &JobView<'_>, attempt: &Attempt<'_>) -> Vec<KeyValuePair> {
    let variable = |name: &str, value: String| KeyValuePair { name: Some(name.to_owned()), value: Some(value) };
    let mut variables = vec![
        variable("AWS_BATCH_JOB_ID", view.id.to_string()),
        variable("AWS_BATCH_JQ_NAME", view.job.queue.to_string()),
        variable("AWS_BATCH_JOB_ATTEMPT", attempt.number.to_string()),
    ];
    if let (Some(index), Some(size)) = (view.id.child_index(), view.job.array_size) {
        variables.push(variable("AWS_BATCH_JOB_ARRAY_INDEX", index.to_string()));
        variables.push(variable("AWS_BATCH_JOB_ARRAY_SIZE", size.to_string()));
    }
    let multi_node = view.job.layout.group().and_then(|group| Some((group.nodes, group.main_node?)));
    if let (Some((count, main)), Part::Node(node)) = (multi_node, view.id.part()) {
        variables.push(variable("AWS_BATCH_JOB_NUM_NODES", count.to_string()));
        variables.push(variable("AWS_BATCH_JOB_NODE_INDEX", node.to_string()));
        variables.push(variable("AWS_BATCH_JOB_MAIN_NODE_INDEX", main.to_string()));
        if node != main {
            variables.push(variable("AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS", "127.0.0.1".to_owned()));
        }
    }
    if let Some(environment) = attempt.environment {
        variables.push(variable("AWS_BATCH_CE_NAME", environment.to_string()));
    }
    variables
}
