//! Compute environments.

use crate::{Rest, TextMap};

wire! {
    /// CreateComputeEnvironment.
    CreateComputeEnvironmentRequest {
        optional {
            compute_environment_name: String,
            #[serde(rename = "type")]
            kind: String,
            state: String,
            unmanagedv_cpus: i32,
            compute_resources: ComputeResource,
            tags: TextMap,
        }
        flatten { rest: Rest }
    }
}

wire! {
    /// `computeResources`, of a create, an update and an answer.
    ComputeResource {
        optional {
            #[serde(rename = "type")]
            kind: String,
            maxv_cpus: i32,
        }
        flatten { rest: Rest }
    }
}

wire! {
    /// UpdateComputeEnvironment.
    UpdateComputeEnvironmentRequest {
        optional {
            compute_environment: String,
            state: String,
            unmanagedv_cpus: i32,
            compute_resources: ComputeResource,
        }
        flatten { rest: Rest }
    }
}

wire! {
    /// The answer of a create and an update.
    ComputeEnvironmentResponse {
        required {
            compute_environment_name: String,
            compute_environment_arn: String,
        }
    }
}

wire! {
    /// DeleteComputeEnvironment.
    DeleteComputeEnvironmentRequest {
        optional { compute_environment: String }
    }
}

wire! {
    /// DescribeComputeEnvironments.
    DescribeComputeEnvironmentsRequest {
        optional {
            compute_environments: Vec<String>,
            max_results: i32,
            next_token: String,
        }
    }
}

wire! {
    /// The answer of DescribeComputeEnvironments.
    DescribeComputeEnvironmentsResponse {
        required { compute_environments: Vec<ComputeEnvironmentDetail> }
        optional { next_token: String }
    }
}

wire! {
    /// A compute environment.
    ComputeEnvironmentDetail {
        required {
            compute_environment_name: String,
            compute_environment_arn: String,
            ecs_cluster_arn: String,
            tags: TextMap,
            #[serde(rename = "type")]
            kind: String,
            state: String,
            status: String,
            status_reason: String,
            container_orchestration_type: String,
            uuid: String,
        }
        optional {
            unmanagedv_cpus: i32,
            compute_resources: ComputeResource,
        }
        flatten { rest: Rest }
    }
}
