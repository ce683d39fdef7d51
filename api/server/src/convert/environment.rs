//! Compute environments.

use wasmbatch_core::command::Command;
use wasmbatch_core::environment::{Enablement, EnvironmentKind, EnvironmentUpdate, Lifecycle, Platform};
use wasmbatch_core::{ComputeEnvironment, Name, Tags};
use wasmbatch_model::Rest;
use wasmbatch_model::environment::{
    ComputeEnvironmentDetail, ComputeResource, CreateComputeEnvironmentRequest, UpdateComputeEnvironmentRequest,
};

use super::{
    asks, from_document, from_enablement, from_lifecycle, from_tags, refuse_unsupported, required, required_text,
    signed, to_document, to_enablement, to_tags, unsigned,
};
use crate::arn::{self, Arns};
use crate::error::ApiError;

/// CreateComputeEnvironment; `uuid` was drawn for the answer's member of that name.
pub(crate) fn to_create(request: CreateComputeEnvironmentRequest, uuid: String) -> Result<Command, ApiError> {
    let CreateComputeEnvironmentRequest {
        compute_environment_name,
        kind,
        state,
        unmanagedv_cpus,
        compute_resources,
        tags,
        mut rest,
    } = request;
    let name = Name::parse(&required_text(compute_environment_name, "computeEnvironmentName")?)
        .map_err(|invalid| ApiError::client(invalid.to_string()))?;
    let state = to_enablement(state.as_deref())?.unwrap_or(Enablement::Enabled);
    refuse_unsupported(&mut rest, &["eksConfiguration"])?;
    let kind = match required(kind, "type")?.as_str() {
        "MANAGED" => managed(compute_resources, unmanagedv_cpus)?,
        _ => unmanaged(compute_resources, unmanagedv_cpus)?,
    };
    let environment =
        ComputeEnvironment { name, uuid, state, lifecycle: Lifecycle::Valid, kind, rest: to_document(rest) };
    Ok(Command::CreateComputeEnvironment { environment: Box::new(environment), tags: to_tags(tags)? })
}

fn managed(resources: Option<ComputeResource>, unmanagedv_cpus: Option<i32>) -> Result<EnvironmentKind, ApiError> {
    if unmanagedv_cpus.is_some() {
        return Err(ApiError::client("unmanagedvCpus can be set on an UNMANAGED compute environment only"));
    }
    let ComputeResource { kind, maxv_cpus, rest } = resources
        .ok_or_else(|| ApiError::client("computeResources must be specified when creating a MANAGED environment"))?;
    let platform = platform(&required(kind, "computeResources.type")?)?;
    let max_vcpus = unsigned(required(maxv_cpus, "computeResources.maxvCpus")?, "computeResources.maxvCpus")?;
    let min_vcpus = rest.get("minvCpus").and_then(serde_json::Value::as_i64);
    match platform {
        Platform::Ec2 | Platform::Spot => {
            if !rest.get("instanceRole").is_some_and(asks) {
                return Err(ApiError::executing("Instance role is required."));
            }
            if min_vcpus.is_none() {
                return Err(ApiError::executing("Resource minvCpus is required."));
            }
        }
        Platform::Fargate | Platform::FargateSpot => {}
    }
    if min_vcpus.is_some_and(|min| min < 0 || min > i64::from(max_vcpus)) {
        return Err(ApiError::client("computeResources.maxvCpus must not be less than computeResources.minvCpus"));
    }
    Ok(EnvironmentKind::Managed { platform, max_vcpus, resources: to_document(rest) })
}

fn unmanaged(resources: Option<ComputeResource>, unmanagedv_cpus: Option<i32>) -> Result<EnvironmentKind, ApiError> {
    if resources.is_some() {
        return Err(ApiError::client("computeResources can be set on a MANAGED compute environment only"));
    }
    let unmanaged_vcpus = unmanagedv_cpus.map(|vcpus| unsigned(vcpus, "unmanagedvCpus")).transpose()?;
    Ok(EnvironmentKind::Unmanaged { unmanaged_vcpus })
}

fn platform(word: &str) -> Result<Platform, ApiError> {
    Platform::parse(word).ok_or_else(|| ApiError::unsupported(&format!("computeResources.type {word}")))
}

/// UpdateComputeEnvironment.
pub(crate) fn to_update(request: UpdateComputeEnvironmentRequest) -> Result<Command, ApiError> {
    let UpdateComputeEnvironmentRequest { compute_environment, state, unmanagedv_cpus, compute_resources, mut rest } =
        request;
    let given = required_text(compute_environment, "computeEnvironment")?;
    let state = to_enablement(state.as_deref())?;
    refuse_unsupported(&mut rest, &["eksConfiguration"])?;
    let (max_vcpus, resources) = match compute_resources {
        None => (None, Rest::new()),
        Some(ComputeResource { kind: Some(_), .. }) => {
            return Err(ApiError::unsupported("a change of computeResources.type"));
        }
        Some(ComputeResource { kind: None, maxv_cpus, mut rest }) => {
            // An instruction, not a property: images are looked up at every start anyway.
            rest.remove("updateToLatestImageVersion");
            let max = maxv_cpus.map(|max| unsigned(max, "computeResources.maxvCpus")).transpose()?;
            (max, rest)
        }
    };
    let name = arn::environment_name(&given).ok_or_else(|| not_found(&given))?;
    Ok(Command::UpdateComputeEnvironment(Box::new(EnvironmentUpdate {
        name,
        state,
        max_vcpus,
        unmanaged_vcpus: unmanagedv_cpus.map(|vcpus| unsigned(vcpus, "unmanagedvCpus")).transpose()?,
        resources: to_document(resources),
        rest: to_document(rest),
    })))
}

/// No compute environment can be called that.
pub(crate) fn not_found(given: &str) -> ApiError {
    wasmbatch_core::Rejection::EnvironmentNotFound { name: wasmbatch_core::name::shortened(given) }.into()
}

/// An entry of DescribeComputeEnvironments.
pub(crate) fn from_environment(environment: &ComputeEnvironment, tags: &Tags, arns: &Arns) -> ComputeEnvironmentDetail {
    let ComputeEnvironment { name, uuid, state, lifecycle, kind, rest } = environment;
    let (word, compute_resources, unmanagedv_cpus) = match kind {
        EnvironmentKind::Managed { platform, max_vcpus, resources } => {
            let resources = ComputeResource {
                kind: Some(platform.as_str().to_owned()),
                maxv_cpus: Some(signed(*max_vcpus)),
                rest: from_document(resources),
            };
            ("MANAGED", Some(resources), None)
        }
        EnvironmentKind::Unmanaged { unmanaged_vcpus } => ("UNMANAGED", None, unmanaged_vcpus.map(signed)),
    };
    ComputeEnvironmentDetail {
        compute_environment_name: name.to_string(),
        compute_environment_arn: arns.environment(name),
        ecs_cluster_arn: arns.cluster(name, uuid),
        tags: from_tags(tags),
        kind: word.to_owned(),
        state: from_enablement(*state),
        status: from_lifecycle(*lifecycle),
        status_reason: match lifecycle {
            Lifecycle::Valid => "ComputeEnvironment Healthy".to_owned(),
            Lifecycle::Deleting => "ComputeEnvironment is being deleted".to_owned(),
        },
        container_orchestration_type: "ECS".to_owned(),
        uuid: uuid.clone(),
        unmanagedv_cpus,
        compute_resources,
        rest: from_document(rest),
    }
}
