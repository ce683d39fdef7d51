//! Job queues.

use wasmbatch_core::command::Command;
use wasmbatch_core::environment::{Enablement, Lifecycle};
use wasmbatch_core::name::shortened;
use wasmbatch_core::queue::{EnvironmentOrder, NewQueue, QueueUpdate};
use wasmbatch_core::{JobQueue, Name, Rejection, Tags, limits};
use wasmbatch_model::queue::{ComputeEnvironmentOrder, CreateJobQueueRequest, JobQueueDetail, UpdateJobQueueRequest};

use super::{
    environment, from_document, from_enablement, from_lifecycle, from_tags, refuse_unsupported, required,
    required_text, signed, to_document, to_enablement, to_tags, unsigned,
};
use crate::arn::{self, Arns};
use crate::error::ApiError;

/// Members that ask for what later versions do.
const LATER: [&str; 2] = ["serviceEnvironmentOrder", "jobStateTimeLimitActions"];

/// CreateJobQueue.
pub(crate) fn to_create(request: CreateJobQueueRequest) -> Result<Command, ApiError> {
    let CreateJobQueueRequest {
        job_queue_name,
        state,
        scheduling_policy_arn,
        priority,
        compute_environment_order,
        tags,
        mut rest,
    } = request;
    let name = Name::parse(&required_text(job_queue_name, "jobQueueName")?)
        .map_err(|invalid| ApiError::client(invalid.to_string()))?;
    let state = to_enablement(state.as_deref())?.unwrap_or(Enablement::Enabled);
    refuse_policy(scheduling_policy_arn.as_deref())?;
    refuse_unsupported(&mut rest, &LATER)?;
    if let Some(kind) = rest.get("jobQueueType").and_then(serde_json::Value::as_str)
        && matches!(kind, "EKS" | "SAGEMAKER_TRAINING")
    {
        return Err(ApiError::unsupported(&format!("jobQueueType {kind}")));
    }
    let queue = NewQueue {
        name,
        state,
        priority: unsigned(required(priority, "priority")?, "priority")?,
        environments: to_order(compute_environment_order.unwrap_or_default())?,
        rest: to_document(rest),
    };
    Ok(Command::CreateJobQueue { queue: Box::new(queue), tags: to_tags(tags)? })
}

/// UpdateJobQueue.
pub(crate) fn to_update(request: UpdateJobQueueRequest) -> Result<Command, ApiError> {
    let UpdateJobQueueRequest {
        job_queue,
        state,
        scheduling_policy_arn,
        priority,
        compute_environment_order,
        mut rest,
    } = request;
    let given = required_text(job_queue, "jobQueue")?;
    let state = to_enablement(state.as_deref())?;
    refuse_policy(scheduling_policy_arn.as_deref())?;
    refuse_unsupported(&mut rest, &LATER)?;
    let name = arn::queue_name(&given).ok_or_else(|| Rejection::QueueUpdateNotFound { name: shortened(&given) })?;
    Ok(Command::UpdateJobQueue(Box::new(QueueUpdate {
        name,
        state,
        priority: priority.map(|priority| unsigned(priority, "priority")).transpose()?,
        environments: compute_environment_order.map(to_order).transpose()?,
        rest: to_document(rest),
    })))
}

fn refuse_policy(arn: Option<&str>) -> Result<(), ApiError> {
    match arn {
        None | Some("") => Ok(()),
        Some(_) => Err(ApiError::unsupported("schedulingPolicyArn")),
    }
}

fn to_order(order: Vec<ComputeEnvironmentOrder>) -> Result<Vec<EnvironmentOrder>, ApiError> {
    if order.is_empty() {
        return Err(ApiError::client("At least 1 compute environment must be provided"));
    }
    if order.len() > limits::ENVIRONMENTS_PER_QUEUE {
        return Err(Rejection::TooManyEnvironments.into());
    }
    let entry = |ComputeEnvironmentOrder { order, compute_environment }| {
        let given = required_text(compute_environment, "computeEnvironmentOrder.computeEnvironment")?;
        Ok(EnvironmentOrder {
            order: required(order, "computeEnvironmentOrder.order")?,
            environment: arn::environment_name(&given).ok_or_else(|| environment::not_found(&given))?,
        })
    };
    order.into_iter().map(entry).collect()
}

/// An entry of DescribeJobQueues.
pub(crate) fn from_queue(queue: &JobQueue, tags: &Tags, arns: &Arns) -> JobQueueDetail {
    let JobQueue { name, uid: _, state, lifecycle, priority, environments, rest } = queue;
    let order = |EnvironmentOrder { order, environment }: &EnvironmentOrder| ComputeEnvironmentOrder {
        order: Some(*order),
        compute_environment: Some(arns.environment(environment)),
    };
    JobQueueDetail {
        job_queue_name: name.to_string(),
        job_queue_arn: arns.queue(name),
        state: from_enablement(*state),
        status: from_lifecycle(*lifecycle),
        status_reason: match lifecycle {
            Lifecycle::Valid => "JobQueue Healthy".to_owned(),
            Lifecycle::Deleting => "JobQueue is being deleted".to_owned(),
        },
        priority: signed(*priority),
        compute_environment_order: environments.iter().map(order).collect(),
        tags: from_tags(tags),
        rest: from_document(rest),
    }
}
